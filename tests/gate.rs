//! The gate against the emulator, over real sockets: what each answer leads to, and what is paid.

#![cfg(all(feature = "client", feature = "emulator"))]
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

#[path = "gate/endings.rs"]
mod endings;
#[path = "gate/fates.rs"]
mod fates;
#[path = "gate/questions.rs"]
mod questions;
#[path = "gate/scene.rs"]
mod scene;
#[path = "gate/settings.rs"]
mod settings;
