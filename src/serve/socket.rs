//! A connection's socket, which can be watched beside the HTTP library that reads and writes it: the
//! library does not see a hang-up while it has bytes that nobody read, nor a reader that never reads.

use std::io;
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_util::FutureExt as _;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// Cheap to clone; clones are the same socket.
#[derive(Clone)]
pub(super) struct Socket(Arc<Shared>);

struct Shared {
    stream: TcpStream,
    opened: Instant,
    /// Since when nothing could be written, in milliseconds from `opened`; 0 when something can.
    blocked_ms: AtomicU64,
}

impl Socket {
    pub(super) fn new(stream: TcpStream) -> Self {
        // A small answer must not wait for the client's delayed acknowledgement.
        let _ = stream.set_nodelay(true);
        Self(Arc::new(Shared { stream, opened: Instant::now(), blocked_ms: AtomicU64::new(0) }))
    }

    /// Whether the peer has closed its half, whatever it sent before.
    pub(super) fn is_hung_up(&self) -> bool {
        let ready = self.0.stream.ready(Interest::READABLE).now_or_never();
        matches!(ready, Some(Ok(ready)) if ready.is_read_closed())
    }

    /// How long the peer has taken nothing of what is there for it.
    pub(super) fn blocked_for(&self) -> Duration {
        match self.0.blocked_ms.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            since => self.0.opened.elapsed().saturating_sub(Duration::from_millis(since)),
        }
    }

    /// Closing it resets the connection: what was sent so far must not look whole.
    pub(super) fn reset_on_close(&self) {
        let _ = self.0.stream.set_zero_linger();
    }

    fn note_blocked(&self, is_blocked: bool) {
        let at = || u64::try_from(self.0.opened.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        let blocked_ms = &self.0.blocked_ms;
        match (is_blocked, blocked_ms.load(Ordering::Relaxed)) {
            (true, 0) => blocked_ms.store(at(), Ordering::Relaxed),
            (false, 1..) => blocked_ms.store(0, Ordering::Relaxed),
            _ => {}
        }
    }

    fn poll_write_with(
        &self,
        context: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            let ready = self.0.stream.poll_write_ready(context);
            self.note_blocked(ready.is_pending());
            ready!(ready)?;
            match write(&self.0.stream) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Poll::Ready(done),
            }
        }
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.stream.poll_read_ready(context))?;
            match self.0.stream.try_read(buffer.initialize_unfilled()) {
                Ok(read) => {
                    buffer.advance(read);
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(context, |stream| stream.try_write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_with(context, |stream| stream.try_write_vectored(parts))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(SockRef::from(&self.0.stream).shutdown(Shutdown::Write))
    }
}
