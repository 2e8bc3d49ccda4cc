//! The byte stream below a WebSocket: what tungstenite reads and writes goes through here.
//!
//! Reading starts with what the HTTP handshake had read ahead; how much of it passes at a time is up
//! to the [`Intake`]. Writing ends in the [`Output`], which alone decides about the order of frames:
//! tungstenite is used for control frames only, so each of its writes is a number of whole frames.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::intake::Intake;
use super::output::Output;

/// A socket with the buffers of its WebSocket.
#[derive(Debug)]
pub(super) struct Wire<S> {
    pub(super) io: S,
    pub(super) output: Output,
    /// Input to be passed on before more is read.
    held: Bytes,
    intake: Intake,
    heard: bool,
}

impl<S> Wire<S> {
    /// A stream that begins with `read_ahead`. Frames may declare `before_login` bytes in all until
    /// [`establish`](Self::establish).
    pub(super) fn new(io: S, read_ahead: Bytes, before_login: usize) -> Self {
        Self {
            io,
            output: Output::default(),
            // Else nothing, at the end of hyper's buffer, would keep that buffer.
            held: if read_ahead.is_empty() { Bytes::new() } else { read_ahead },
            intake: Intake::new(before_login),
            heard: false,
        }
    }

    /// Lifts the bound on input, for bytes that were held because of it as well.
    pub(super) fn establish(&mut self) {
        self.intake.lift();
    }

    /// Whether anything was received since the last call.
    pub(super) fn take_heard(&mut self) -> bool {
        std::mem::take(&mut self.heard)
    }
}

impl<S: AsyncWrite + Unpin> Wire<S> {
    /// Writes the output. Ready once nothing is left.
    pub(super) fn poll_output(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.output.poll_write(&mut self.io, cx)
    }
}

impl<S: AsyncRead + Unpin> Wire<S> {
    /// Fills `buf` from what is held, else from the socket.
    fn poll_fill(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.held.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        let length = self.held.len().min(buf.remaining());
        buf.put_slice(&self.held[..length]);
        self.held.advance(length);
        if self.held.is_empty() {
            self.held = Bytes::new();
        }
        Poll::Ready(Ok(()))
    }

    /// Takes back what may not pass now.
    fn hold(&mut self, over: &[u8]) {
        self.held = [over, &self.held].concat().into();
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Wire<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        this.intake.check()?;
        let before = buf.filled().len();
        ready!(this.poll_fill(cx, buf))?;
        let input = &buf.filled()[before..];
        this.heard |= !input.is_empty();
        let passing = this.intake.follow(input);
        if passing < input.len() {
            let over = this.intake.check();
            this.hold(&buf.filled()[before + passing..]);
            buf.set_filled(before + passing);
            if passing == 0 {
                over?;
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Wire<S> {
    /// *Order.* Pending leaves no waker behind: whoever drives [`Wire::poll_output`] tries again.
    fn poll_write(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        frames: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.output.push_control(frames) {
            return Poll::Ready(Ok(frames.len()));
        }
        Poll::Pending
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt;

    use super::super::intake::OverBudget;
    use super::*;

    /// Two frames, of 3 and of 9 bytes.
    const INPUT: &[u8] = b"\x81\x83\0\0\0\0abc\x81\x89\0\0\0\x00123456789";

    /// Where the second header ends.
    const SECOND: usize = 9 + 6;

    #[tokio::test]
    async fn what_was_read_ahead_comes_first_and_counts() {
        for split in 0..=INPUT.len() {
            let (ahead, rest) = INPUT.split_at(split);
            let mut wire = Wire::new(rest, Bytes::copy_from_slice(ahead), 12);
            let mut read = Vec::new();
            wire.read_to_end(&mut read).await.unwrap();
            assert_eq!(read, INPUT, "{split} bytes read ahead");

            let mut wire = Wire::new(rest, Bytes::copy_from_slice(ahead), 11);
            let mut read = Vec::new();
            let error = wire.read_to_end(&mut read).await.unwrap_err();
            assert_eq!(OverBudget::of(&error), Some(OverBudget { limit: 11, got: 12 }));
            assert_eq!(read, INPUT[..SECOND - 1], "{split} bytes read ahead");
        }
    }

    #[tokio::test]
    async fn a_login_lifts_the_limit_for_what_was_held_as_well() {
        let mut wire = Wire::new(INPUT, Bytes::new(), 11);
        let mut read = vec![0; 64];
        let before = wire.read(&mut read).await.unwrap();
        assert_eq!(before, SECOND - 1);
        wire.establish();
        let after = wire.read(&mut read[before..]).await.unwrap();
        assert_eq!(read[..before + after], *INPUT);
    }

    #[tokio::test]
    async fn every_byte_is_a_sign_of_life() {
        let mut wire = Wire::new(&INPUT[..1], Bytes::new(), 11);
        assert!(!wire.take_heard());
        wire.read_u8().await.unwrap();
        assert!(wire.take_heard());
        assert!(!wire.take_heard());
        wire.read_u8().await.unwrap_err();
        assert!(!wire.take_heard(), "the end is none");
    }
}
