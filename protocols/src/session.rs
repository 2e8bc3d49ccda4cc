//! The sans-IO contract: what a session takes, what it gives, and who owns what in between.
//!
//! A driver calls one `handle_` method at a time and then drains [`Actions`]; because the driver
//! passes the buffer in, nothing a session decided can be forgotten. Order inside each list of
//! `Actions` is the order of execution; between the lists there is none, except that `close` is
//! carried out after `frames` were written.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;

use crate::auth::{AuthReply, AuthRequest};
use crate::broker::{Command, DeliveryTag, Event, SubscriptionId, Token};
use crate::delivery::DeliveryEncoder;
use crate::text::Text;
use crate::violation::Violation;
use crate::wamp::peers;

/// One client's protocol state. Pure: no IO, no clock, no locks. A session never fails; it closes.
///
/// After [`Actions::close`] was set a session ignores every further call. The methods with a default
/// concern what a session has asked for: one that asks for no login, broker or deadline hears of
/// none.
pub trait Session: Send {
    /// Input from the peer: one WebSocket message, or one chunk of a byte stream. Frames may span
    /// units, and a unit may hold many frames.
    ///
    /// One unit can hold a great many frames. A session handles a limited number of them in a call
    /// and sets [`Actions::more_input`] if it has left some.
    fn handle_input(&mut self, now: Instant, unit: Unit, actions: &mut Actions);

    /// Goes on with the input it has left. *Order.* After [`Actions::more_input`] was set, once
    /// what the last call led to has been dealt with, and before any other input.
    fn resume_input(&mut self, _now: Instant, _actions: &mut Actions) {}

    /// The broker link answered a command, or has a delivery.
    fn handle_event(&mut self, _now: Instant, _event: Event, _actions: &mut Actions) {}

    /// Another session has something for this one, or whoever carries what sessions ask of each other
    /// has an answer. *Order.* After [`peers::Request::Enter`], and not after [`peers::Request::Leave`].
    fn handle_peers(&mut self, _now: Instant, _notice: peers::Notice, _actions: &mut Actions) {}

    /// The answer to [`Actions::auth`]. *Order.* Once for each request, while it is pending.
    fn handle_auth(&mut self, _now: Instant, _reply: AuthReply, _actions: &mut Actions) {}

    /// The deadline of [`next_timeout`](Self::next_timeout) has come. Calling it earlier does no harm.
    fn handle_timeout(&mut self, _now: Instant, _actions: &mut Actions) {}

    /// The peer broke a rule below the protocol (its WebSocket, or a limit the transport keeps):
    /// the session says so in its protocol's words and closes.
    fn handle_violation(&mut self, now: Instant, violation: Violation, actions: &mut Actions);

    /// The earliest instant at which [`handle_timeout`](Self::handle_timeout) wants to be called.
    fn next_timeout(&self) -> Option<Instant> {
        None
    }

    /// Reading from the peer stopped (`false`) or resumed (`true`) because of backpressure. While
    /// it is stopped the peer's heart-beats cannot be seen, so their deadline is paused.
    fn set_reading(&mut self, _now: Instant, _reading: bool) {}

    /// Frames that did not come from the session were handed to the peer: they keep a connection
    /// alive as its own do.
    fn note_shared_output(&mut self, _now: Instant) {}

    /// `frame`, of a shared subscription, as it tells its peer that so many before it were left out,
    /// because the peer was too slow.
    fn tell_dropped(&self, frame: Bytes, _dropped: u64) -> Bytes {
        frame
    }

    /// The connection is lost, or has ended. Only what concerns others is carried out of what follows:
    /// [`Actions::peers`] and [`Actions::shared`]. *Order.* Once, however the session ends; nothing
    /// comes after it.
    fn handle_gone(&mut self, _now: Instant, _actions: &mut Actions) {}

    /// The server is going away: say so in protocol terms, accept no new work, close.
    fn start_drain(&mut self, now: Instant, actions: &mut Actions);
}

/// What a session wants done. Owned and drained by the driver, and reused from call to call.
#[derive(Debug, Default)]
pub struct Actions {
    /// To the peer, in order.
    pub frames: Vec<OutFrame>,
    /// To this session's broker link, in order.
    pub commands: Vec<Command>,
    /// To whoever distributes what many sessions have subscribed to alike, in order. What is published
    /// by a command of the same call, or later, reaches a subscription that is joined here.
    pub shared: Vec<Shared>,
    /// To whoever carries what sessions ask of each other, in order. The answers come to
    /// [`Session::handle_peers`].
    pub peers: Vec<peers::Request>,
    /// Ask for a login. The answer comes to [`Session::handle_auth`]; until then the driver reads
    /// nothing more from the peer.
    pub auth: Option<AuthRequest>,
    /// The login succeeded: the limits on input that hold before a login are lifted, and a peer
    /// that agreed to no heart-beat is probed by the transport at this interval (zero: never).
    pub established: Option<Established>,
    /// Input was left; [`Session::resume_input`] goes on with it.
    pub more_input: bool,
    /// End the connection once `frames` are written.
    pub close: Option<Close>,
}

impl Actions {
    /// Whether nothing is left to do.
    pub fn is_empty(&self) -> bool {
        self.frames.is_empty()
            && self.commands.is_empty()
            && self.shared.is_empty()
            && self.peers.is_empty()
            && self.auth.is_none()
            && self.established.is_none()
            && !self.more_input
            && self.close.is_none()
    }
}

/// A subscription that a session shares with others: what it gets does not depend on whose it is. Its
/// deliveries go to the peer without passing through the session.
#[derive(Debug, Clone)]
pub enum Shared {
    /// Begin to take the messages of a topic.
    Join {
        /// Answered by [`Event::Subscribed`] or [`Event::Failed`].
        token: Token,
        /// The name of the new subscription; [`Event::Canceled`] tells of its end.
        subscription: SubscriptionId,
        /// A pattern, as in [`Address::Topic`](crate::broker::Address::Topic).
        topic: Text,
        /// How its frames are written.
        encoder: Arc<dyn DeliveryEncoder>,
    },
    /// Take no more. Nothing of it reaches the peer after this.
    Leave {
        /// Answered by [`Event::Unsubscribed`].
        token: Token,
        /// Which one.
        subscription: SubscriptionId,
    },
    /// Take no more of any of them; has no answer.
    LeaveAll,
}

/// How a unit travels: RFC 6455 §5.6 opcodes 1 and 2. A byte-stream transport says `Binary`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FrameKind {
    /// Opcode 1; the bytes must be UTF-8.
    Text,
    /// Opcode 2.
    Binary,
}

/// One unit of input, whole as the transport delivered it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unit {
    /// How the peer sent it.
    pub kind: FrameKind,
    /// The payload. For [`FrameKind::Text`] the transport has checked that it is UTF-8.
    pub bytes: Bytes,
}

/// One unit of output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutFrame {
    /// How to send it. `Text` only for bytes that are UTF-8.
    pub kind: FrameKind,
    /// The encoded frame.
    pub bytes: Bytes,
    /// A delivery to accept at the broker once these bytes have left.
    pub settles: Option<Settled>,
}

impl OutFrame {
    /// A frame that settles nothing.
    pub const fn new(kind: FrameKind, bytes: Bytes) -> Self {
        Self { kind, bytes, settles: None }
    }
}

/// A delivery that counts as accepted without a word of the peer's (automatic acknowledgement).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settled {
    /// Whose delivery it was.
    pub subscription: SubscriptionId,
    /// Which one.
    pub tag: DeliveryTag,
    /// When that is.
    pub once: Once,
}

/// When a delivery counts as accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Once {
    /// Its frame was written to the socket: if the connection breaks, it may be lost.
    Written,
    /// The peer's end of the connection has received its frame (RFC 6455 §5.5.3: it has answered a ping
    /// that was sent behind it). If the connection breaks before that is known, it comes again. Only
    /// where [`SessionSetup::can_confirm`](crate::SessionSetup::can_confirm) is set.
    Received,
}

/// What changes for the driver when a login has succeeded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Established {
    /// Probe a silent peer at this interval by means of the transport (a ping), and end
    /// the connection if it stays silent for two of them. Zero: never.
    pub probe: Duration,
}

/// The end of a session: what the transport says, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Close {
    /// The WebSocket close code; a byte stream ignores it.
    pub code: CloseCode,
    /// A short sentence for the close frame, at most 123 bytes (RFC 6455 §5.5); longer ones are cut.
    pub reason: Text,
    /// Whose doing it was.
    pub cause: CloseCause,
}

/// WebSocket close codes in use here (RFC 6455 §7.4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CloseCode {
    /// 1000: the peer asked for it.
    Normal,
    /// 1001: the server is going away.
    GoingAway,
    /// 1002: the peer broke the WebSocket protocol or its sub-protocol.
    Protocol,
    /// 1007: a text message was not UTF-8.
    Invalid,
    /// 1008: a rule of the server's was broken: login, deadline, number of things.
    Policy,
    /// 1009: something was larger than allowed.
    TooBig,
    /// 1011: the server, or the broker behind it, failed.
    Internal,
    /// 1013: the server cannot take more now.
    TryAgainLater,
}

impl CloseCode {
    /// The number on the wire.
    pub const fn value(self) -> u16 {
        match self {
            Self::Normal => 1000,
            Self::GoingAway => 1001,
            Self::Protocol => 1002,
            Self::Invalid => 1007,
            Self::Policy => 1008,
            Self::TooBig => 1009,
            Self::Internal => 1011,
            Self::TryAgainLater => 1013,
        }
    }
}

/// Whose doing the end of a session was. Decides how it is logged and counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CloseCause {
    /// The peer said goodbye.
    Peer,
    /// The peer broke a rule.
    Violation(Violation),
    /// The login was refused.
    LoginRefused,
    /// The broker refused a command, canceled a subscription or went away; or the realm took away
    /// what the session had registered.
    Broker,
    /// The server is shutting down.
    Drain,
    /// Another session has ended it.
    Killed,
}
