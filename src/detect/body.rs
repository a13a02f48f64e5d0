//! The paid request's body: it knows whether anyone began to send it, and can be taken back until
//! then.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

/// A body that is handed out once. It cannot be cloned, so nothing below can send it twice.
pub(super) struct OnceBody {
    bytes: Option<Bytes>,
    state: Arc<AtomicU8>,
}

/// The sender's hold on its body.
pub(super) struct Recall(Arc<AtomicU8>);

impl Recall {
    /// Takes the body back. True when nobody had asked for it: then nobody gets it any more, and
    /// nothing was sent. Without the taking back, a connection's task on another thread could ask
    /// for it just after one had looked.
    pub(super) fn take_back(&self) -> bool {
        self.0.compare_exchange(WAITING, TAKEN_BACK, Ordering::SeqCst, Ordering::SeqCst).is_ok()
    }
}

impl OnceBody {
    pub(super) fn new(bytes: Bytes) -> (Self, Recall) {
        let state = Arc::new(AtomicU8::new(WAITING));
        (Self { bytes: Some(bytes), state: Arc::clone(&state) }, Recall(state))
    }
}

impl Body for OnceBody {
    type Data = Bytes;
    type Error = TakenBack;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, TakenBack>>> {
        let Some(bytes) = self.bytes.take() else { return Poll::Ready(None) };
        let asked =
            self.state.compare_exchange(WAITING, HANDED_OUT, Ordering::SeqCst, Ordering::SeqCst);
        Poll::Ready(Some(match asked {
            Ok(_) => Ok(Frame::data(bytes)),
            Err(_) => Err(TakenBack),
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.bytes.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        let left = self.bytes.as_ref().map_or(0, Bytes::len);
        SizeHint::with_exact(u64::try_from(left).unwrap_or(u64::MAX))
    }
}

/// The sender gave up before the body was asked for.
#[derive(Debug, thiserror::Error)]
#[error("the request was taken back before it was sent")]
pub(super) struct TakenBack;

const WAITING: u8 = 0;
const HANDED_OUT: u8 = 1;
const TAKEN_BACK: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn poll(body: &mut OnceBody) -> Option<Result<Bytes, TakenBack>> {
        let mut context = Context::from_waker(std::task::Waker::noop());
        match Pin::new(body).poll_frame(&mut context) {
            Poll::Ready(frame) => frame.map(|f| f.map(|f| f.into_data().unwrap())),
            Poll::Pending => panic!("never pending"),
        }
    }

    #[test]
    fn what_was_asked_for_cannot_be_taken_back() {
        let (mut body, recall) = OnceBody::new(Bytes::from_static(b"{}"));
        assert_eq!(body.size_hint().exact(), Some(2));
        assert_eq!(poll(&mut body).unwrap().unwrap(), "{}");
        assert!(!recall.take_back());
        assert!(poll(&mut body).is_none());
    }

    #[test]
    fn what_was_taken_back_is_not_handed_out() {
        let (mut body, recall) = OnceBody::new(Bytes::from_static(b"{}"));
        assert!(recall.take_back());
        assert!(poll(&mut body).unwrap().is_err());
    }
}
