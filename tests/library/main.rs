//! The library over real sockets, files and databases, in the test's own process: each group with the
//! features that it needs.

#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]
// The same tests run on each kind of ledger.
#![allow(clippy::duplicate_mod)]

mod common;
#[cfg(feature = "postgres")]
#[path = "../pg/mod.rs"]
mod pg;

#[cfg(feature = "emulator")]
mod emulator;
#[cfg(all(feature = "faces", feature = "emulator"))]
mod faces;
#[cfg(feature = "emulator")]
mod gate;
#[cfg(all(feature = "ledger", feature = "emulator"))]
mod ledger;
#[cfg(all(feature = "postgres", feature = "emulator"))]
mod ledger_postgres;
mod probe;
mod probe_broken;
mod probe_ranges;
mod probe_redirects;
mod probe_sources;
mod probe_timeouts;
mod probe_tls;
mod probe_trouble;
mod run;
