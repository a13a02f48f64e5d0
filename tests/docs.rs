//! The documents hold: the results' schema describes real results, and commands do what is said.

#![cfg(all(feature = "cli", unix))]
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "docs/commands.rs"]
mod commands;
mod rig;
#[path = "docs/schema.rs"]
mod schema;
