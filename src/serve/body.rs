//! Bodies: read whole within bounds, or line by line.

use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::BoxError;
use axum::body::{Body, HttpBody};
use axum::http::StatusCode;
use bytes::{Bytes, BytesMut};
use futures_util::stream::{self, Stream};
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::answer::Refusal;
use crate::rules::AspectRatio;
use crate::run::{Source, Stop, line};

/// A whole body.
pub(super) async fn whole(body: Body, within: Duration) -> Result<Bytes, Refusal> {
    let mut body = Limited::new(body, MOST);
    let reading = async {
        let mut taken = BytesMut::new();
        while let Some(frame) = body.frame().await {
            taken.extend(frame?.into_data());
        }
        Ok::<_, BoxError>(taken.freeze())
    };
    let (status, code, message) = match timeout(within, reading).await {
        Ok(Ok(whole)) => return Ok(whole),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let message = format!("the body must be at most {MOST} bytes, found more");
            (StatusCode::PAYLOAD_TOO_LARGE, "Preflight.TooLarge", message)
        }
        Ok(Err(error)) => {
            let message = format!("the body must be whole, found its end too soon: {error}");
            (StatusCode::BAD_REQUEST, "InvalidParameter", message)
        }
        Err(_) => {
            let message = format!("the body must arrive within {within:?}, found less of it");
            (StatusCode::REQUEST_TIMEOUT, "Preflight.Timeout", message)
        }
    };
    Err(Refusal::new(status, code, message))
}

/// Why a stream of sources ended before its end, where it did.
#[derive(Clone, Default)]
pub(super) struct BrokenOff(Arc<OnceLock<String>>);

impl BrokenOff {
    pub(super) fn why(&self) -> Option<&str> {
        self.0.get().map(String::as_str)
    }
}

/// The sources of a body of lines, read as they are taken and as there are places. A body that breaks
/// off ends the run: nobody is there for what is still under way.
pub(super) fn sources(
    body: Body,
    broken_off: BrokenOff,
    stop: Stop,
    places: Arc<Places>,
) -> impl Stream<Item = Source> + Send {
    let buffer = BytesMut::new();
    let lines = Lines { body, broken_off, stop, buffer, number: 0, is_over: false };
    stream::unfold((lines, places), |(mut lines, places)| async move {
        loop {
            let cut = lines.next().await?;
            lines.number += 1;
            let ratio = AspectRatio::default();
            if let Some(source) = line::source(&cut, lines.number, ratio, MOST) {
                // Not before: a client that sends slowly must not hold a place that another needs.
                places.take().await;
                return Some((source, (lines, places)));
            }
        }
    })
}

/// What one stream holds of the server's places.
pub(super) struct Places {
    all: Arc<Semaphore>,
    held: Mutex<Vec<OwnedSemaphorePermit>>,
}

impl Places {
    pub(super) fn of(all: Arc<Semaphore>) -> Arc<Self> {
        Arc::new(Self { all, held: Mutex::default() })
    }

    async fn take(&self) {
        // The semaphore is never closed.
        let permit = Arc::clone(&self.all).acquire_owned().await.ok();
        self.held.lock().unwrap_or_else(PoisonError::into_inner).extend(permit);
    }

    /// One of them is free: its report was taken.
    pub(super) fn give_back(&self) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).pop();
    }
}

struct Lines {
    body: Body,
    broken_off: BrokenOff,
    stop: Stop,
    buffer: BytesMut,
    /// Of the line before, from 1.
    number: u64,
    is_over: bool,
}

impl Lines {
    /// The next line; one that is too long is cut behind a byte more than it may have.
    async fn next(&mut self) -> Option<Bytes> {
        let mut too_long = None;
        let mut searched = 0;
        loop {
            let fresh = self.buffer.get(searched..).unwrap_or_default();
            if let Some(at) = fresh.iter().position(|byte| *byte == b'\n') {
                let mut line = self.buffer.split_to(searched + at + 1);
                line.truncate(searched + at);
                return Some(too_long.unwrap_or_else(|| line.freeze()));
            }
            searched = self.buffer.len();
            if searched > MOST {
                let start = self.buffer.split().freeze();
                too_long.get_or_insert(start.slice(..=MOST));
                searched = 0;
            }
            if self.is_over {
                let last = self.buffer.split().freeze();
                return too_long.or(Some(last).filter(|last| !last.is_empty()));
            }
            self.read().await;
        }
    }

    async fn read(&mut self) {
        let broken = match timeout(STREAM_PAUSE, self.body.frame()).await {
            Ok(Some(Ok(frame))) => {
                if let Ok(data) = frame.into_data() {
                    self.buffer.extend_from_slice(&data);
                }
                return;
            }
            Ok(None) => None,
            Ok(Some(Err(error))) => Some(error.to_string()),
            Err(_) => Some(format!("nothing came for {STREAM_PAUSE:?}")),
        };
        self.is_over = true;
        if let Some(why) = broken {
            // What was read of its last line may be a part of it.
            self.buffer.clear();
            let _ = self.broken_off.0.set(why);
            self.stop.interrupt();
        }
    }
}

/// A body that holds something until it was sent, or nobody wants it any more.
pub(super) fn holding<T: Send + Unpin + 'static>(body: Body, held: T) -> Body {
    Body::new(Holding { body, _held: held })
}

struct Holding<T> {
    body: Body,
    _held: T,
}

impl<T: Unpin> HttpBody for Holding<T> {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// In bytes, of a body or a line.
const MOST: usize = 64 * 1_024;
/// The longest between two parts of a stream.
const STREAM_PAUSE: Duration = Duration::from_secs(300);
