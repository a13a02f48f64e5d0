//! The stand-in over real sockets on loopback, seen as bytes rather than through an HTTP client.

#![cfg(feature = "emulator")]
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "emulator/fates.rs"]
mod fates;
#[path = "emulator/images.rs"]
mod images;
#[path = "emulator/server.rs"]
mod server;
#[path = "emulator/service.rs"]
mod service;
#[path = "emulator/wire.rs"]
mod wire;
