//! Connections that give way: an origin that never stops sending must not keep a thread to itself.
//!
//! hyper reads on as long as there is something to read and passes over interim answers (RFC 9110,
//! section 15.2) by itself. Without a pause nobody else's clock runs meanwhile, and over HTTP/2 the
//! answers pile up before whoever waits for them gets to drop them.

use std::error::Error;
use std::io::{self, IoSlice};
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

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }
}

impl<T: Connection> Connection for Turns<T> {
    fn connected(&self) -> Connected {
        self.stream.connected()
    }
}

/// A part of a picture comes in one or two.
const READS_IN_A_ROW: u8 = 2;
