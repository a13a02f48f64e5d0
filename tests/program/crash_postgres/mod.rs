//! As `crash`, with the ledger in PostgreSQL: its processes may be on as many machines, and its server
//! goes down too.
//!
//! ```sh
//! EMO_PREFLIGHT_KILLS=60 cargo test --release --all-features --test program crash_postgres -- --nocapture
//! ```

#[path = "../crash/away.rs"]
mod away;
#[path = "../crash/cluster.rs"]
mod cluster;
#[path = "../crash/distance.rs"]
mod distance;
#[path = "../crash/scene.rs"]
mod scene;
#[path = "../crash/share.rs"]
mod share;

use crate::pg;

/// The URL of a new database for a ledger. Without a server the tests run on SQLite once more.
fn database() -> Option<String> {
    pg::server().map(pg::Server::database)
}
