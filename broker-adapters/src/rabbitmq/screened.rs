//! [`Screened`]: a stream whose input goes through a [`Screen`] before lapin reads it, and the
//! runtime that lapin wants for such a stream.

use std::future::Future;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use async_rs::traits::Reactor;
use async_rs::util::RuntimeParts;
use async_rs::{Runtime, Tokio};
use futures_core::Stream;
use futures_io::{AsyncRead, AsyncWrite};
use lapin::tcp::AsyncTcpStream;
use tokio::net::TcpStream;
use tokio_util::compat::{Compat, TokioAsyncReadCompatExt};
use tracing::warn;

use super::returns::Returns;
use super::screen::Screen;

/// A connection to RabbitMQ, with or without TLS.
pub(super) trait Socket:
    tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin
{
}

impl<S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Send + Unpin> Socket for S {}

/// What lapin reads and writes.
pub(super) type AmqpStream = AsyncTcpStream<Screened<Compat<Box<dyn Socket>>>>;

/// Puts the screen before this connection.
pub(super) fn screened(socket: Box<dyn Socket>, returns: Arc<Returns>) -> AmqpStream {
    AsyncTcpStream::Plain(Screened::new(socket.compat(), returns))
}

/// A stream whose input is safe for lapin to read.
#[derive(Debug)]
pub(super) struct Screened<S> {
    stream: S,
    screen: Screen,
    /// What has been read and not been given: up to `safe` because there was no room, behind it
    /// because it is part of a frame. Bounded by what [`Screen`] takes and one read.
    held: Vec<u8>,
    /// Bytes of `held` that have been given.
    given: usize,
    /// Bytes of `held` that may be given.
    safe: usize,
    has_warned: bool,
    /// Who is told of messages that come back.
    returns: Arc<Returns>,
}

impl<S> Screened<S> {
    pub(super) fn new(stream: S, returns: Arc<Returns>) -> Self {
        let (screen, held) = (Screen::default(), Vec::new());
        Self { stream, screen, held, given: 0, safe: 0, has_warned: false, returns }
    }

    /// Gives what is safe of what is held.
    fn give(&mut self, buffer: &mut [u8]) -> usize {
        let count = buffer.len().min(self.safe - self.given);
        buffer[..count].copy_from_slice(&self.held[self.given..self.given + count]);
        self.given += count;
        if self.given == self.safe {
            self.held.drain(..self.safe);
            (self.given, self.safe) = (0, 0);
            if self.held.is_empty() {
                // It is rarely wanted, and may have been large.
                self.held = Vec::new();
            }
        }
        count
    }

    /// Looks through what has just been read into `buffer`; says how much of it may be read.
    fn look_through(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let safe = if self.held.is_empty() {
            // The usual case: nothing is copied.
            let safe = self.screen.pass(buffer)?;
            self.held.extend_from_slice(&buffer[safe..]);
            safe
        } else {
            self.held.extend_from_slice(buffer);
            self.safe = self.screen.pass(&mut self.held)?;
            0
        };
        for channel in self.screen.take_returned() {
            self.returns.note(channel);
        }
        if self.screen.take_changed() && !self.has_warned {
            self.has_warned = true;
            warn!(
                "a message from RabbitMQ had a text that is not UTF-8, or headers nested too deep: \
                 that was changed; further ones of this connection are not reported"
            );
        }
        Ok(safe)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Screened<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        if buffer.is_empty() {
            return Poll::Ready(Ok(0));
        }
        loop {
            if self.given < self.safe {
                return Poll::Ready(Ok(self.give(buffer)));
            }
            let count = ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
            if count == 0 {
                return Poll::Ready(Ok(0));
            }
            let safe = self.look_through(&mut buffer[..count])?;
            if safe > 0 {
                return Poll::Ready(Ok(safe));
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Screened<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_close(cx)
    }
}

/// tokio, with [`Screened`] for its streams. To be called inside a tokio runtime.
pub(super) fn runtime() -> Runtime<RuntimeParts<Tokio, Sockets>> {
    Runtime::new(RuntimeParts::new(Tokio::current(), Sockets(Tokio::current())))
}

/// tokio's timers and sockets, screened.
#[derive(Debug, Clone)]
pub(super) struct Sockets(Tokio);

impl Reactor for Sockets {
    type TcpStream = Screened<Compat<Box<dyn Socket>>>;
    type Sleep = <Tokio as Reactor>::Sleep;

    /// Refused: nobody asks for it.
    fn register<H: Read + Write + Send + 'static>(
        &self,
        _: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        Err::<Self::TcpStream, _>(io::ErrorKind::Unsupported.into())
    }

    fn sleep(&self, duration: Duration) -> Self::Sleep {
        self.0.sleep(duration)
    }

    fn interval(&self, duration: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.0.interval(duration)
    }

    fn tcp_connect_addr(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<Self::TcpStream>> + Send + 'static {
        let connecting = TcpStream::connect(address);
        async move {
            let socket: Box<dyn Socket> = Box::new(connecting.await?);
            Ok(Screened::new(socket.compat(), Arc::default()))
        }
    }
}

#[cfg(test)]
mod tests;
