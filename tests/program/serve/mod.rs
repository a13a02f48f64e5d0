//! The gate as an HTTP service: over real sockets, before the stand-in service.

mod crowd;
mod ending;
mod endpoint;
#[cfg(feature = "faces")]
mod faces;
mod hostile;
mod log;
mod pass_through;
mod reports;
mod scene;
mod sdk;
mod tokens;
