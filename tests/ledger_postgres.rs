//! What `ledger` shows of an SQLite file, of PostgreSQL: the same tests.

#![cfg(all(feature = "postgres", feature = "emulator"))]
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;
mod pg;

const ENGINE: scene::Engine = scene::Engine::Postgres;

#[path = "ledger/address.rs"]
mod address;
#[path = "ledger/cut.rs"]
mod cut;
#[path = "ledger/quota.rs"]
mod quota;
#[path = "ledger/reuse.rs"]
mod reuse;
#[path = "ledger/scene.rs"]
mod scene;
#[path = "ledger/trouble.rs"]
mod trouble;
