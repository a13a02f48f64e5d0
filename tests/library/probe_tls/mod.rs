//! The local stage over TLS and HTTP/2, against origins with certificates of the tests' own
//! authority.

mod authority;
mod certificates;
mod front;
mod handshake;
mod http2;
mod redirects;
mod streams;
mod trouble;
