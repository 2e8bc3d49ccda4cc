//! WebSocket (RFC 6455), server side, after the handshake.
//!
//! tungstenite reads: it unmasks, puts fragments together, checks UTF-8, answers pings and keeps
//! the state of the close handshake. [`Output`](output::Output) writes; see there why. Below both
//! lies the [`Wire`]. No extension is negotiated.
//!
//! An idle connection keeps a read buffer of [`READ_SIZE`] and its [`Share`] of the one before, both
//! small however large its messages were. The exception is a client that sends messages in large
//! fragments: tungstenite copies each out of its buffer without showing it, and keeps the buffer of
//! the largest until a message above [`SMALL_SIZE`](share::SMALL_SIZE) comes in one piece.
//! `max_message_size` bounds that.

mod intake;
mod output;
mod share;
mod wire;

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::{Sink, Stream};
use protocols::session::{Close, FrameKind, OutFrame, Unit};
use protocols::violation::Violation;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{CloseFrame, FrameHeader};
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use super::linger::poll_discard;
use super::{Transport, TransportError};
use intake::OverBudget;
use share::Share;
use wire::Wire;

/// Bytes read at a time, and kept by an idle connection.
const READ_SIZE: usize = 4 << 10;

/// tungstenite writes control frames only, and hands each on at once.
const WRITE_SIZE: usize = 4 << 10;

/// RFC 6455 §5.5: a control frame carries at most 125 bytes, two of them are the close code.
const REASON_SIZE: usize = 123;

/// A ping without payload.
const PING: [u8; 2] = [0x89, 0];

/// The header of a ping with the number of a question, whose pong says that what was sent before it has
/// been received.
const QUESTION: [u8; 2] = [0x89, 4];

/// How much a peer may send.
#[derive(Debug, Clone, Copy)]
pub(crate) struct InputLimits {
    /// Bytes of all frames together, until [`Transport::establish`].
    pub(crate) before_login: usize,
    /// Bytes of one message.
    pub(crate) message_size: usize,
}

/// A WebSocket connection.
#[derive(Debug)]
pub(crate) struct Ws<S> {
    stream: WebSocketStream<Wire<S>>,
    share: Share,
    input: Input,
    /// The last question.
    question: u32,
    /// The peer has yet to answer it.
    is_asked: bool,
    /// The peer has answered it.
    is_confirmed: bool,
    goodbye: Goodbye,
}

/// What can be expected of the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Input {
    /// Frames.
    Open,
    /// Nothing: its close frame has come. tungstenite holds the answer to it until it is flushed,
    /// and what was queued before goes first.
    Closed,
    /// Bytes that mean nothing any more, for it broke a rule.
    Broken,
    /// Nothing: its side of the connection has ended.
    Ended,
}

/// How far [`Transport::poll_close`] has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Goodbye {
    /// Output queued before goes first.
    Unsaid,
    /// The close frame is on its way.
    Said,
    /// The peer has yet to answer it.
    Awaiting,
    /// The write side is being closed.
    ShuttingDown,
    /// The peer may still be sending.
    Lingering,
}

impl<S> Ws<S>
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    /// A connection whose handshake is done. `read_ahead` is what has come after it already.
    pub(crate) async fn new(io: S, read_ahead: Bytes, limits: InputLimits) -> Self {
        let wire = Wire::new(io, read_ahead, limits.before_login);
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_SIZE)
            .write_buffer_size(WRITE_SIZE)
            .max_write_buffer_size(2 * WRITE_SIZE)
            .max_message_size(Some(limits.message_size))
            .max_frame_size(Some(limits.message_size));
        let stream = WebSocketStream::from_raw_socket(wire, Role::Server, Some(config)).await;
        let (input, goodbye) = (Input::Open, Goodbye::Unsaid);
        let (question, is_asked, is_confirmed) = (0, false, false);
        let share = Share::default();
        Self { stream, share, input, question, is_asked, is_confirmed, goodbye }
    }

    fn wire(&mut self) -> &mut Wire<S> {
        self.stream.get_mut()
    }

    /// Moves tungstenite's own frames to the output. `false`: there is no room yet.
    fn collect_control(&mut self, cx: &mut Context<'_>) -> bool {
        // The only error left is that the close handshake is over, and there is nothing to say.
        Pin::new(&mut self.stream).poll_flush(cx).is_ready()
    }

    /// Answers the peer's close frame, once the driver has flushed what was queued before: only
    /// the driver may write that, for it must know.
    fn poll_answer_close(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let output = &mut self.wire().output;
        if !output.is_sealed() && output.len() > 0 {
            return Poll::Pending;
        }
        output.seal();
        self.poll_output(cx)
    }

    /// Writes what is queued, and tungstenite's own frames unless these are now to come last.
    fn poll_queued(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.input {
            Input::Closed => self.wire().poll_output(cx),
            Input::Open | Input::Broken | Input::Ended => self.poll_output(cx),
        }
    }

    /// Writes tungstenite's own frames and all other output.
    fn poll_output(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let collected = self.collect_control(cx);
            ready!(self.wire().poll_output(cx))?;
            if collected {
                return Poll::Ready(Ok(()));
            }
        }
    }

    /// The end of the input, for good.
    fn end_input(&mut self, error: Error) -> Option<TransportError> {
        let (input, error) = match error {
            Error::ConnectionClosed | Error::AlreadyClosed => (Input::Ended, None),
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
                let text = "the peer ended the connection without a close frame";
                let error = io::Error::new(io::ErrorKind::UnexpectedEof, text);
                (Input::Ended, Some(error.into()))
            }
            error => match violation(error) {
                Ok(violation) => (Input::Broken, Some(violation.into())),
                Err(error) => (Input::Ended, Some(error.into())),
            },
        };
        self.input = input;
        error
    }

    fn push_question(&mut self) -> bool {
        let mut ping = [0; 6];
        ping[..2].copy_from_slice(&QUESTION);
        ping[2..].copy_from_slice(&self.question.to_be_bytes());
        self.wire().output.push_control(&ping)
    }

    /// Hands the close frame to tungstenite, which from then on answers no pings and takes the
    /// peer's close frame for the answer. After the peer's own, tungstenite has an answer ready.
    fn say_goodbye(&mut self, close: &Close) {
        self.wire().output.seal();
        if matches!(self.input, Input::Open | Input::Broken) {
            let reason = Utf8Bytes::from(cut(&close.reason, REASON_SIZE));
            let frame = CloseFrame { code: close.code.value().into(), reason };
            if let Err(error) = Pin::new(&mut self.stream).start_send(Message::Close(Some(frame))) {
                tracing::debug!(%error, "cannot send a close frame");
            }
        }
    }
}

impl<S> Transport for Ws<S>
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Unit, TransportError>>> {
        while self.input == Input::Open {
            let received = Pin::new(&mut self.stream).poll_next(cx);
            self.share.give_up_large();
            let (kind, bytes) = match received {
                Poll::Ready(Some(Ok(Message::Text(text)))) => (FrameKind::Text, text.into()),
                Poll::Ready(Some(Ok(Message::Binary(bytes)))) => (FrameKind::Binary, bytes),
                Poll::Ready(Some(Ok(Message::Close(_)))) => {
                    self.input = Input::Closed;
                    continue;
                }
                Poll::Ready(Some(Ok(Message::Ping(_)))) => {
                    // So that the answer counts as output, and the driver sees to it.
                    self.collect_control(cx);
                    continue;
                }
                Poll::Ready(Some(Ok(Message::Pong(payload)))) => {
                    if self.is_asked && payload[..] == self.question.to_be_bytes() {
                        (self.is_asked, self.is_confirmed) = (false, true);
                    }
                    continue;
                }
                Poll::Ready(Some(Ok(Message::Frame(_)))) => continue,
                Poll::Ready(Some(Err(error))) => {
                    return Poll::Ready(self.end_input(error).map(Err));
                }
                Poll::Ready(None) => {
                    self.input = Input::Ended;
                    continue;
                }
                Poll::Pending => return Poll::Pending,
            };
            return Poll::Ready(Some(Ok(Unit { kind, bytes: self.share.detach(bytes) })));
        }
        if self.input == Input::Closed {
            let answered = ready!(self.poll_answer_close(cx));
            self.input = Input::Ended;
            if let Err(error) = answered {
                return Poll::Ready(Some(Err(error.into())));
            }
        }
        Poll::Ready(None)
    }

    fn queue(&mut self, frame: OutFrame) {
        self.wire().output.push(frame);
    }

    fn buffered(&self) -> usize {
        self.stream.get_ref().output.len()
    }

    fn written(&self) -> u64 {
        self.stream.get_ref().output.taken()
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        ready!(self.poll_queued(cx))?;
        if self.input == Input::Closed {
            // `poll_recv` may have waited for this.
            cx.waker().wake_by_ref();
        }
        if self.wire().output.has_undeliverable() {
            // Not written is not flushed: deliveries among it must not count as accepted.
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, close: &Close) -> Poll<()> {
        loop {
            self.goodbye = match self.goodbye {
                Goodbye::Unsaid => {
                    if ready!(self.poll_queued(cx)).is_err() {
                        return Poll::Ready(());
                    }
                    self.say_goodbye(close);
                    Goodbye::Said
                }
                Goodbye::Said => match ready!(self.poll_output(cx)) {
                    Err(_) => return Poll::Ready(()),
                    Ok(()) if self.input == Input::Open => Goodbye::Awaiting,
                    Ok(()) => Goodbye::ShuttingDown,
                },
                Goodbye::Awaiting => match ready!(self.poll_recv(cx)) {
                    Some(Ok(_)) => Goodbye::Awaiting,
                    Some(Err(_)) | None => Goodbye::ShuttingDown,
                },
                Goodbye::ShuttingDown => match ready!(Pin::new(self.wire()).poll_shutdown(cx)) {
                    Ok(()) if self.input == Input::Broken => Goodbye::Lingering,
                    Ok(()) | Err(_) => return Poll::Ready(()),
                },
                Goodbye::Lingering => return poll_discard(Pin::new(&mut self.wire().io), cx),
            };
        }
    }

    fn establish(&mut self) {
        self.wire().establish();
    }

    fn probe(&mut self) {
        // A peer may answer the last of several pings only (RFC 6455 §5.5.3): the question is repeated.
        // Without room there are pings or pongs waiting already; they serve as well.
        let _ = if self.is_asked {
            self.push_question()
        } else {
            self.wire().output.push_control(&PING)
        };
    }

    fn ask(&mut self) -> bool {
        self.question = self.question.wrapping_add(1);
        self.is_asked = self.push_question();
        self.is_asked
    }

    fn take_confirmed(&mut self) -> bool {
        std::mem::take(&mut self.is_confirmed)
    }

    fn take_heard(&mut self) -> bool {
        self.wire().take_heard()
    }
}

/// What the peer did wrong; else the connection itself is at fault.
fn violation(error: Error) -> Result<Violation, io::Error> {
    match error {
        Error::Capacity(CapacityError::MessageTooLong { size, max_size }) => {
            Ok(Violation::MessageTooLarge { limit: max_size, got: size })
        }
        Error::Utf8(_) => Ok(Violation::TextNotUtf8),
        Error::Protocol(error) => Ok(Violation::WebSocket(error.to_string())),
        Error::Io(error) => match OverBudget::of(&error) {
            Some(OverBudget { limit, got }) => Ok(Violation::TooMuchBeforeLogin { limit, got }),
            None => Err(error),
        },
        error => Err(io::Error::other(error)),
    }
}

/// The beginning of `text`, at most `size` bytes of it, cut between characters.
fn cut(text: &str, size: usize) -> &str {
    let end = (0..=size.min(text.len())).rfind(|&at| text.is_char_boundary(at));
    &text[..end.unwrap_or_default()]
}

#[cfg(test)]
mod tests;
