//! The local stage over TLS and HTTP/2, against origins with certificates of the tests' own
//! authority.

#![cfg(feature = "client")]
#![allow(clippy::indexing_slicing, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[path = "probe_tls/authority.rs"]
mod authority;
#[path = "probe_tls/certificates.rs"]
mod certificates;
mod common;
#[path = "probe_tls/front.rs"]
mod front;
#[path = "probe_tls/handshake.rs"]
mod handshake;
#[path = "probe_tls/http2.rs"]
mod http2;
#[path = "probe_tls/redirects.rs"]
mod redirects;
#[path = "probe_tls/streams.rs"]
mod streams;
#[path = "probe_tls/trouble.rs"]
mod trouble;
