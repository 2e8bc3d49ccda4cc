//! What carries units between a peer and a session.
//!
//! A [`Transport`] frames bytes and enforces what its own protocol demands; it knows neither STOMP
//! nor brokers. It is polled by the driver from one task, and buffers only what
//! [`Transport::queue`] was given.

pub(crate) mod linger;
pub(crate) mod rawsocket;
pub(crate) mod tcp;
pub(crate) mod ws;

use std::io;
use std::task::{Context, Poll};

use protocols::session::{Close, OutFrame, Unit};
use protocols::violation::Violation;

/// A connection that carries units, in order, both ways.
pub trait Transport: Send + Unpin {
    /// The next unit from the peer; `None` once the peer has ended the connection in order.
    /// *Order.* Not polled again after `None` or an error.
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Unit, TransportError>>>;

    /// Appends a unit to the output buffer. The caller bounds it by means of
    /// [`buffered`](Self::buffered), and each unit by [`most_output`](Self::most_output).
    fn queue(&mut self, frame: OutFrame);

    /// Bytes of the longest unit that the peer takes. It never changes.
    fn most_output(&self) -> usize {
        usize::MAX
    }

    /// Bytes queued and not yet taken by the socket.
    fn buffered(&self) -> usize;

    /// Bytes the socket has taken so far, framing included; tells a slow socket from a stuck one.
    fn written(&self) -> u64;

    /// Writes what is buffered. Ready once nothing is left.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>>;

    /// Writes what is buffered, says goodbye and ends the connection. Ready once that is done or
    /// cannot be done. *Order.* The last call; repeated until ready, with the same `close`.
    fn poll_close(&mut self, cx: &mut Context<'_>, close: &Close) -> Poll<()>;

    /// Lifts the bound on input that holds before a login.
    fn establish(&mut self);

    /// Whether a peer that is alive answers [`probe`](Self::probe), and [`ask`](Self::ask).
    fn can_probe(&self) -> bool {
        true
    }

    /// Asks the peer for a sign of life (a ping).
    fn probe(&mut self);

    /// Asks the peer to confirm that it has received everything queued before. *Order.* With nothing
    /// buffered, and not again before it has. `false`: there is no room for the question now.
    fn ask(&mut self) -> bool;

    /// Whether the peer has confirmed since the last call.
    fn take_confirmed(&mut self) -> bool;

    /// Whether anything at all was received since the last call, signs of life included.
    fn take_heard(&mut self) -> bool;
}

/// Why a transport stopped.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The peer broke a rule. Output still works, so that the peer can be told.
    #[error("{0}")]
    Violation(#[from] Violation),
    /// The connection broke.
    #[error("{0}")]
    Io(#[from] io::Error),
}
