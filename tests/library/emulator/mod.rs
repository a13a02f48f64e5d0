//! The stand-in over real sockets on loopback, seen as bytes rather than through an HTTP client.

mod fates;
mod images;
mod server;
mod service;
mod wire;
