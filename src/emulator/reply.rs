//! An answer on its way out.

use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;

use super::fate::Transport;

/// What is sent, and how well or badly.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) content_type: String,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Bytes,
    pub(super) delay: Duration,
    pub(super) transport: Transport,
}

impl Reply {
    pub(super) fn new(status: u16, content_type: &str, body: Bytes) -> Self {
        Self {
            status,
            content_type: content_type.to_owned(),
            headers: Vec::new(),
            body,
            delay: Duration::ZERO,
            transport: Transport::Whole,
        }
    }
}

/// The status a number stands for: final ones only, as an interim one would leave the client waiting.
pub(super) fn status_of(number: u16) -> StatusCode {
    StatusCode::from_u16(number)
        .ok()
        .filter(|status| (200..600).contains(&status.as_u16()))
        .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
