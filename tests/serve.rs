//! The gate as an HTTP service: over real sockets, before the stand-in service.

#![cfg(feature = "cli")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "serve/crowd.rs"]
mod crowd;
#[path = "serve/ending.rs"]
mod ending;
#[path = "serve/endpoint.rs"]
mod endpoint;
#[cfg(feature = "faces")]
#[path = "serve/faces.rs"]
mod faces;
#[path = "serve/hostile.rs"]
mod hostile;
#[path = "serve/log.rs"]
mod log;
#[path = "serve/pass_through.rs"]
mod pass_through;
#[path = "pg/mod.rs"]
mod pg;
#[path = "serve/reports.rs"]
mod reports;
#[path = "rig/mod.rs"]
mod rig;
#[path = "serve/scene.rs"]
mod scene;
#[path = "serve/sdk.rs"]
mod sdk;
#[path = "serve/tokens.rs"]
mod tokens;
