//! Ledger on disk: what is known is given again, what may be billed is not repeated, and the quota
//! and the cap hold, over gates that share one file as processes do.

#![cfg(all(feature = "ledger", feature = "emulator"))]
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
#[cfg(feature = "postgres")]
mod pg;

/// What the tests are about here; those of `ledger_postgres` are the same.
const ENGINE: scene::Engine = scene::Engine::Sqlite;

#[path = "ledger/file.rs"]
mod file;
#[path = "ledger/once.rs"]
mod once;
#[path = "ledger/quota.rs"]
mod quota;
#[path = "ledger/reuse.rs"]
mod reuse;
#[path = "ledger/scene.rs"]
mod scene;
#[path = "ledger/trouble.rs"]
mod trouble;
