//! The face screen: from bytes in memory, and on its way before the paid call.
//!
//! The faces are the emulator's drawings. `EMO_PREFLIGHT_FACES` names a folder of labelled images to
//! look at too; without it that test says that it did not run.

#![cfg(all(feature = "faces", feature = "emulator"))]
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

#[path = "faces/bounds.rs"]
mod bounds;
#[path = "faces/draw.rs"]
mod draw;
#[path = "faces/fetch.rs"]
mod fetch;
#[path = "faces/gate.rs"]
mod gate;
#[path = "faces/inspect.rs"]
mod inspect;
#[path = "faces/labelled.rs"]
mod labelled;
