//! RawSocket, after the handshake: one message of WAMP in each frame, over a byte stream.
//!
//! *Spec.* WAMP §RawSocket Transport. How frames look is in [`protocols::wamp::rawsocket`].
//!
//! # Bounds
//! - Input: until the login all frames together may declare `limits.frame_size_before_login`, and each
//!   one ever what our handshake has said. Both are looked at when a header has come, before anything is
//!   kept of the payload.
//! - Pings: while [`PONG_ROOM`] bytes of output wait, none is answered and nothing behind it is read.
//! - Output: the caller asks for [`Transport::most_output`], what the handshake of the peer has said.
//!
//! # Deviations
//! - A frame of exactly 2^24 bytes is taken and never sent: its form was added to the specification late,
//!   and implementations that ignore reserved bits would read one of no bytes.
//! - The peer is sent pings only where the operator asks for them: autobahn for Python ends a connection
//!   on which it gets one.
//!
//! There is no goodbye: the stream ends. An idle connection keeps no buffer.

mod output;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use protocols::session::{Close, FrameKind, OutFrame, Unit};
use protocols::violation::Violation;
use protocols::wamp::rawsocket::{FrameDecoder, FrameError, FrameType, MaxLength};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::linger::poll_discard;
use super::{Transport, TransportError};
use output::Output;

/// Bytes read at a time; they lie on the stack until it is known how many there are.
const READ_SIZE: usize = 16 << 10;

/// Reads, and frames that are no messages, before other connections get their turn.
const BUDGET: usize = 64;

/// Bytes of waiting output at which pings are left where they are.
const PONG_ROOM: usize = 4 << 10;

/// What both ends have agreed on, and what the gateway takes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Agreement {
    /// How the peer's messages are marked, which a stream does not say.
    pub(crate) kind: FrameKind,
    /// The longest payload that the peer may send.
    pub(crate) input: MaxLength,
    /// The longest payload that the peer takes.
    pub(crate) output: MaxLength,
    /// Bytes of all its frames together, until [`Transport::establish`].
    pub(crate) before_login: usize,
    /// Whether it is sent pings.
    pub(crate) pings: bool,
}

/// A RawSocket connection.
#[derive(Debug)]
pub(crate) struct RawSocket<S> {
    io: S,
    decoder: FrameDecoder,
    agreed: Agreement,
    output: Output,
    heard: bool,
    /// The last question.
    question: u32,
    /// The peer has yet to answer it.
    is_asked: bool,
    /// The peer has answered it.
    is_confirmed: bool,
    /// Nothing is read until pongs are written.
    is_held: bool,
    /// The write side is closed: the peer may still be sending.
    is_shut: bool,
}

impl<S> RawSocket<S>
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    /// A connection whose handshake is done.
    pub(crate) fn new(io: S, agreed: Agreement) -> Self {
        Self {
            io,
            decoder: FrameDecoder::new(agreed.input).with_budget(agreed.before_login),
            agreed,
            output: Output::default(),
            heard: false,
            question: 0,
            is_asked: false,
            is_confirmed: false,
            is_held: false,
            is_shut: false,
        }
    }

    /// Hands what has come to the decoder. `false`: the peer has ended its side.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut space = [0; READ_SIZE];
        let mut buf = ReadBuf::new(&mut space);
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut buf))?;
        if buf.filled().is_empty() {
            return Poll::Ready(Ok(false));
        }
        self.heard = true;
        self.decoder.push(Bytes::copy_from_slice(buf.filled()));
        Poll::Ready(Ok(true))
    }

    /// A message, as the session takes it.
    fn unit(&self, payload: Bytes) -> Result<Unit, Violation> {
        let kind = self.agreed.kind;
        if kind == FrameKind::Text && std::str::from_utf8(&payload).is_err() {
            return Err(Violation::RawSocket("a message in JSON must be UTF-8".into()));
        }
        // Else a small message would keep what was read with it for as long as it lives.
        let is_small = payload.len() <= READ_SIZE;
        let bytes = if is_small { Bytes::copy_from_slice(&payload) } else { payload };
        Ok(Unit { kind, bytes })
    }

    fn on_ping(&mut self, payload: Bytes) -> Result<(), Violation> {
        let (limit, got) = (self.most_output(), payload.len());
        if got > limit {
            return Err(Violation::RawSocket(format!(
                "a ping of {got} bytes cannot be answered, for its sender takes {limit}"
            )));
        }
        self.output.push(FrameType::Pong, payload);
        self.is_held = self.output.len() >= PONG_ROOM;
        Ok(())
    }

    fn on_pong(&mut self, payload: &[u8]) {
        if self.is_asked && *payload == self.question.to_be_bytes() {
            (self.is_asked, self.is_confirmed) = (false, true);
        }
    }

    fn push_question(&mut self) {
        let payload = Bytes::copy_from_slice(&self.question.to_be_bytes());
        self.output.push(FrameType::Ping, payload);
    }

    /// The next message, among what has come and what comes.
    fn poll_unit(&mut self, cx: &mut Context<'_>) -> Poll<Result<Option<Unit>, TransportError>> {
        for _ in 0..BUDGET {
            if self.is_held {
                // Whoever writes the pongs goes on here.
                return Poll::Pending;
            }
            match self.decoder.next_frame().map_err(violation)? {
                Some((FrameType::Message, payload)) => {
                    return Poll::Ready(Ok(Some(self.unit(payload)?)));
                }
                Some((FrameType::Ping, payload)) => self.on_ping(payload)?,
                Some((FrameType::Pong, payload)) => self.on_pong(&payload),
                None => {
                    if !ready!(self.poll_read(cx))? {
                        return Poll::Ready(Ok(None));
                    }
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    fn poll_output(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let written = self.output.poll_write(&mut self.io, cx);
        if self.is_held && self.output.len() < PONG_ROOM {
            self.is_held = false;
            // The reading waits for this.
            cx.waker().wake_by_ref();
        }
        written
    }
}

impl<S> Transport for RawSocket<S>
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Unit, TransportError>>> {
        self.poll_unit(cx).map(Result::transpose)
    }

    fn queue(&mut self, frame: OutFrame) {
        self.output.push(FrameType::Message, frame.bytes);
    }

    fn most_output(&self) -> usize {
        // See the module.
        self.agreed.output.bytes().min(MaxLength::MAX.bytes() - 1)
    }

    fn buffered(&self) -> usize {
        self.output.len()
    }

    fn written(&self) -> u64 {
        self.output.written()
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.poll_output(cx).map_err(Into::into)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, _: &Close) -> Poll<()> {
        if !self.is_shut {
            if ready!(self.poll_output(cx)).is_err()
                || ready!(Pin::new(&mut self.io).poll_shutdown(cx)).is_err()
            {
                return Poll::Ready(());
            }
            self.is_shut = true;
        }
        // Else what is still coming would reset the connection, and destroy the last words.
        poll_discard(Pin::new(&mut self.io), cx)
    }

    fn establish(&mut self) {
        self.decoder.lift_budget();
    }

    fn can_probe(&self) -> bool {
        self.agreed.pings
    }

    fn probe(&mut self) {
        // Its answer serves as well as any other.
        if self.is_asked {
            self.push_question();
        } else if self.agreed.pings {
            self.output.push(FrameType::Ping, Bytes::new());
        }
    }

    fn ask(&mut self) -> bool {
        if self.agreed.pings {
            self.question = self.question.wrapping_add(1);
            self.is_asked = true;
            self.push_question();
        }
        self.agreed.pings
    }

    fn take_confirmed(&mut self) -> bool {
        std::mem::take(&mut self.is_confirmed)
    }

    fn take_heard(&mut self) -> bool {
        std::mem::take(&mut self.heard)
    }
}

/// What the peer did wrong.
fn violation(error: FrameError) -> Violation {
    match error {
        FrameError::TooLong { limit, got } => Violation::MessageTooLarge { limit, got },
        FrameError::OverBudget { limit, got } => Violation::TooMuchBeforeLogin { limit, got },
        error => Violation::RawSocket(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
