//! Connections that give way: an origin that never stops sending must not keep a thread to itself.
//!
//! hyper reads on as long as there is something to read and passes over interim answers (RFC 9110,
//! section 15.2) by itself. Tokio's own pause comes after 128 reads: over HTTP/2 as many interim answers
//! would pile up in memory before the fetch gets to drop them.

use std::error::Error;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::future::BoxFuture;
use hyper::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use tower_service::Service;

/// A connector whose connections give way.
#[derive(Clone)]
pub(super) struct InTurns<C>(pub(super) C);

impl<C> Service<Uri> for InTurns<C>
where
    C: Service<Uri, Error = Box<dyn Error + Send + Sync>>,
    C::Response: Send,
    C::Future: Send + 'static,
{
    type Response = Turns<C::Response>;
    type Error = C::Error;
    type Future = BoxFuture<'static, Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let connecting = self.0.call(to);
        Box::pin(async move { Ok(Turns { stream: connecting.await?, reads: 0 }) })
    }
}

/// A stream that gives way after a few reads in a row.
pub(super) struct Turns<T> {
    stream: T,
    reads: u8,
}

impl<T: Read + Unpin> Read for Turns<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        if self.reads == READS_IN_A_ROW {
            self.reads = 0;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        // One that has to wait gives way as it is.
        let reads = std::mem::take(&mut self.reads);
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, buffer));
        self.reads = reads + 1;
        Poll::Ready(read)
    }
}

impl<T: Write + Unpin> Write for Turns<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

impl<T: Connection> Connection for Turns<T> {
    fn connected(&self) -> Connected {
        self.stream.connected()
    }
}

/// A part of an image comes in one or two.
const READS_IN_A_ROW: u8 = 2;

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use hyper::rt::ReadBuf;

    use super::*;

    /// A peer that has a byte to read at each look but every nth.
    struct Peer {
        looks: usize,
        silent_every: usize,
    }

    impl Read for Peer {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            mut buffer: ReadBufCursor<'_>,
        ) -> Poll<io::Result<()>> {
            self.looks += 1;
            if self.looks.is_multiple_of(self.silent_every) {
                return Poll::Pending;
            }
            buffer.put_slice(b"x");
            Poll::Ready(Ok(()))
        }
    }

    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    #[test]
    fn a_peer_that_never_stops_is_left_alone_now_and_then_and_come_back_to() {
        for (silent_every, ready, wakes) in [
            // Every third look is ours not to take.
            (usize::MAX, "xx.xx.xx.", 3),
            // A peer that pauses by itself is not paused for.
            (2, "x.x.x.x.x", 0),
            (3, "xx..xx..x", 2),
        ] {
            let mut stream = Turns { stream: Peer { looks: 0, silent_every }, reads: 0 };
            let woken = Arc::new(Wakes(AtomicUsize::new(0)));
            let waker = Arc::clone(&woken).into();
            let mut context = Context::from_waker(&waker);
            let mut seen = String::new();
            for _ in 0..9 {
                let mut bytes = [0; 4];
                let mut buffer = ReadBuf::new(&mut bytes);
                let read = Pin::new(&mut stream).poll_read(&mut context, buffer.unfilled());
                seen.push(if read.is_ready() { 'x' } else { '.' });
            }
            assert_eq!((seen.as_str(), woken.0.load(Ordering::SeqCst)), (ready, wakes));
        }
    }
}
