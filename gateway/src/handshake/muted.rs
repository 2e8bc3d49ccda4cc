//! hyper answers a request head that it cannot read by itself, without a word of what is wrong.
//! [`Muted`] lets nothing of hyper's pass until a request has been decided about; what comes
//! before is dropped, and the handshake says the sentence instead.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A socket on which hyper speaks only once `decided` is set.
#[derive(Debug)]
pub(super) struct Muted<S, D> {
    io: S,
    decided: Arc<OnceLock<D>>,
}

impl<S, D> Muted<S, D> {
    pub(super) const fn new(io: S, decided: Arc<OnceLock<D>>) -> Self {
        Self { io, decided }
    }

    pub(super) fn into_inner(self) -> S {
        self.io
    }
}

impl<S: AsyncRead + Unpin, D> AsyncRead for Muted<S, D> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin, D> AsyncWrite for Muted<S, D> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.decided.get().is_some() {
            return Pin::new(&mut self.io).poll_write(cx, bytes);
        }
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
