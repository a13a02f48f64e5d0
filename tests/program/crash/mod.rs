//! The program never pays twice, whatever happens to its processes: the built binary is killed,
//! stopped and run several times over on one ledger, against the stand-in service, which counts
//! what it bills.
//!
//! The kill test is short by default. The long one, 200 kills in a batch of 600 images:
//!
//! ```sh
//! EMO_PREFLIGHT_KILLS=200 cargo test --release --all-features --test program crash:: -- --nocapture
//! ```
//!
//! `EMO_PREFLIGHT_SEED` repeats a run whose seed a failure printed, as far as the machine lets it.

mod kill;

/// The URL of a new database for a ledger: here it is a file.
fn database() -> Option<String> {
    None
}

mod scene;
mod share;
mod start;
mod stop;
