//! The state machine of one STOMP connection: Connecting → Authenticating → Connected → Leaving →
//! Closed; with Resuming before Connected for a client that asks for a session to go on with.
//!
//! Each client frame is one method, in the module of its clause; events of the broker are in
//! [`events`]. A method that returns a [`Violation`] ends the session: the violation becomes an
//! ERROR that names the frame's receipt, and the connection is closed, as STOMP demands, unless a
//! [`Switch`] leaves it open. No other thing ends it but DISCONNECT, the broker and the server's own
//! shutdown.
//!
//! Must not: read a clock, wait, or panic on anything a peer or a broker does.

mod acknowledge;
mod connect;
mod events;
mod leave;
mod offer;
mod send;
mod subscribe;
mod transact;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;

use crate::auth::{AuthReply, Secret};
use crate::broker::{BrokerErrorKind, Event, SubscriptionId, Token};
use crate::policy::Policy;
use crate::registry::SessionSetup;
use crate::session::{Actions, Session, Unit};
use crate::stomp::Version;
use crate::stomp::client_frame::ClientFrame;
use crate::stomp::compat::Switch;
use crate::stomp::declared::Declared;
use crate::stomp::delivery::MessageEncoder;
use crate::stomp::destination::{Escapes, LastDestination};
use crate::stomp::encode::Escaping;
use crate::stomp::frame::{Frame, Verb};
use crate::stomp::heartbeat::Heartbeat;
use crate::stomp::output::Output;
use crate::stomp::parse::{Decoder, DecoderLimits};
use crate::stomp::procedure::Procedures;
use crate::stomp::receipts::Receipts;
use crate::stomp::resume::{Resumable, Resuming};
use crate::stomp::shared;
use crate::stomp::subscription::Subscriptions;
use crate::stomp::transaction::Transactions;
use crate::text::Text;
use crate::violation::Violation;
use connect::Connect;
use leave::Farewell;

const NO_SESSION_IN_TIME: &str = "the broker has not answered in time whether the session can be \
                                  resumed; try again later";

/// Frames handled in one call. A unit of the largest size can hold a hundred thousand small ones:
/// what they lead to is handed over in portions, so that backpressure holds between them.
pub const FRAMES_PER_CALL: usize = 64;

/// One STOMP connection.
#[derive(Debug)]
pub(super) struct StompSession {
    policy: Arc<Policy>,
    /// Sent as `session`, and part of every `message-id`.
    session_id: Text,
    /// What it makes a token of.
    secret: Secret,
    /// The transport can tell when the client has received something.
    can_confirm: bool,
    /// The version that the name of the WebSocket sub-protocol stands for.
    named_version: Option<Version>,
    /// The version in force; before one is agreed on, the highest, which changes nothing.
    version: Version,
    phase: Phase,
    decoder: Decoder,
    output: Output,
    messages: MessageEncoder,
    heartbeat: Heartbeat,
    destinations: LastDestination,
    declared: Declared,
    subscriptions: Subscriptions,
    transactions: Transactions,
    receipts: Receipts,
    /// The user at the broker; empty before the login.
    user: Text,
    /// The client wants to go on after errors that leave everything else as it was.
    soft_errors: bool,
    /// Errors it was told of so.
    notices: u64,
    /// Its subscriptions to these. They come by the newest.
    errors: Vec<SubscriptionId>,
    /// Some of its subscriptions are, or were, shared with other sessions.
    shares: bool,
    /// The queues behind `reply-to:/temp-queue/…`, by that. Each has a subscription.
    reply_queues: BTreeMap<Text, Text>,
    /// What it has asked for to call and to offer procedures.
    procedures: Procedures,
    /// Set if another connection can go on with it.
    resumable: Option<Resumable>,
    /// It goes on with what another connection has begun.
    resumed: bool,
    last_token: u64,
    /// Deliveries that wait, or waited, for an acknowledgement of the client's.
    delivered: u64,
    /// Bytes of the unit that is being read.
    unit_size: usize,
    /// When the current call began.
    now: Instant,
}

#[derive(Debug)]
enum Phase {
    /// Waits for CONNECT.
    Connecting { deadline: Instant },
    /// Waits for the answer to a login. Input is kept, not read.
    Authenticating { deadline: Instant, connect: Connect },
    /// Waits for the session that it goes on with. Input is kept, not read.
    Resuming { deadline: Instant, connect: Connect, resuming: Resuming },
    /// Logged in.
    Connected,
    /// Takes no more input, and says goodbye once every receipt is out, or at the deadline.
    Leaving { deadline: Instant, farewell: Farewell },
    /// Has said what it had to say.
    Closed,
}

impl Session for StompSession {
    fn handle_input(&mut self, now: Instant, unit: Unit, actions: &mut Actions) {
        self.now = now;
        if self.refuses_input(&unit, actions) {
            return;
        }
        self.output.note_input(unit.kind);
        self.heartbeat.heard(now);
        self.unit_size = unit.bytes.len();
        self.decoder.push(unit.bytes);
        self.read_frames(actions);
        self.note_output(actions);
    }

    fn resume_input(&mut self, now: Instant, actions: &mut Actions) {
        self.now = now;
        self.read_frames(actions);
        self.note_output(actions);
    }

    fn handle_event(&mut self, now: Instant, event: Event, actions: &mut Actions) {
        self.now = now;
        match self.phase {
            Phase::Connected | Phase::Leaving { .. } => self.on_event(event, actions),
            Phase::Resuming { .. } => {
                self.on_event(event, actions);
                self.read_frames(actions);
            }
            Phase::Connecting { .. } | Phase::Authenticating { .. } | Phase::Closed => return,
        }
        self.note_output(actions);
    }

    fn handle_auth(&mut self, now: Instant, reply: AuthReply, actions: &mut Actions) {
        self.now = now;
        self.on_auth(reply, actions);
        self.read_frames(actions);
        self.note_output(actions);
    }

    fn handle_timeout(&mut self, now: Instant, actions: &mut Actions) {
        self.now = now;
        match self.phase {
            Phase::Connecting { deadline } | Phase::Authenticating { deadline, .. } => {
                if deadline <= now {
                    self.fail_login_timeout(actions);
                }
            }
            Phase::Resuming { deadline, .. } if deadline <= now => {
                // Not the client's fault.
                let report = BrokerErrorKind::Unavailable.report();
                self.fail_broker(report, NO_SESSION_IN_TIME, actions);
            }
            Phase::Leaving { deadline, .. } if deadline <= now => self.say_farewell(actions),
            Phase::Connected | Phase::Leaving { .. } | Phase::Resuming { .. } => {
                if let Err(violation) = self.heartbeat.check(now) {
                    self.fail_violation(violation, None, actions);
                } else if self.heartbeat.is_due(now) {
                    actions.frames.push(self.output.heartbeat());
                }
            }
            Phase::Closed => {}
        }
        self.note_output(actions);
    }

    fn handle_violation(&mut self, now: Instant, violation: Violation, actions: &mut Actions) {
        self.now = now;
        self.fail_violation(violation, None, actions);
        self.note_output(actions);
    }

    fn next_timeout(&self) -> Option<Instant> {
        match &self.phase {
            Phase::Connecting { deadline }
            | Phase::Authenticating { deadline, .. }
            | Phase::Resuming { deadline, .. } => Some(*deadline),
            Phase::Connected => self.heartbeat.next_deadline(),
            Phase::Leaving { deadline, .. } => {
                self.heartbeat.next_deadline().into_iter().chain([*deadline]).min()
            }
            Phase::Closed => None,
        }
    }

    fn set_reading(&mut self, now: Instant, reading: bool) {
        self.heartbeat.set_reading(now, reading);
    }

    fn note_shared_output(&mut self, now: Instant) {
        self.heartbeat.sent(now);
    }

    fn tell_dropped(&self, frame: Bytes, dropped: u64) -> Bytes {
        shared::tell_dropped(&frame, dropped)
    }

    fn start_drain(&mut self, now: Instant, actions: &mut Actions) {
        self.now = now;
        self.on_drain(actions);
        self.note_output(actions);
    }
}

impl StompSession {
    /// A session that waits for CONNECT.
    pub(super) fn new(setup: SessionSetup) -> Self {
        let SessionSetup { name, session_id, secret, can_confirm, policy, now, .. } = setup;
        let limits = &policy.limits;
        let compat = policy.stomp.compat;
        let mut decoder = Decoder::new(DecoderLimits {
            frame_size: limits.frame_size_before_login,
            header_count: limits.header_count,
            header_size: limits.header_size,
        });
        if compat.has(Switch::Escapes) {
            decoder.set_escaping(Escaping::Every);
        }
        let escapes =
            if compat.has(Switch::SlashEscapes) { Escapes::Slashes } else { Escapes::Bytes };
        Self {
            session_id,
            secret,
            can_confirm,
            named_version: name.and_then(Version::of_subprotocol),
            version: Version::V12,
            phase: Phase::Connecting { deadline: now + limits.login_timeout },
            decoder,
            output: Output::new(policy.stomp.outgoing),
            messages: MessageEncoder::new(Version::V12, Escaping::V12),
            heartbeat: Heartbeat::default(),
            destinations: LastDestination::new(escapes),
            declared: Declared::default(),
            subscriptions: Subscriptions::new(limits.subscriptions),
            transactions: Transactions::new(limits),
            receipts: Receipts::new(limits.pending_receipts),
            user: Text::EMPTY,
            soft_errors: false,
            notices: 0,
            errors: Vec::new(),
            shares: false,
            reply_queues: BTreeMap::new(),
            procedures: Procedures::default(),
            resumable: None,
            resumed: false,
            last_token: 0,
            delivered: 0,
            unit_size: 0,
            now,
            policy,
        }
    }

    /// Whether input is ignored, or is more than is kept while a login is being decided.
    fn refuses_input(&mut self, unit: &Unit, actions: &mut Actions) -> bool {
        match self.phase {
            Phase::Connecting { .. } | Phase::Connected => false,
            Phase::Leaving { .. } | Phase::Closed => true,
            Phase::Authenticating { .. } | Phase::Resuming { .. } => {
                let limit = self.policy.limits.frame_size_before_login;
                let got = self.decoder.buffered() + unit.bytes.len();
                if got > limit {
                    let violation = Violation::TooMuchBeforeLogin { limit, got };
                    self.fail_violation(violation, None, actions);
                }
                got > limit
            }
        }
    }

    /// Reads frames while there are any and the phase allows it, up to [`FRAMES_PER_CALL`].
    fn read_frames(&mut self, actions: &mut Actions) {
        for _ in 0..FRAMES_PER_CALL {
            if !matches!(self.phase, Phase::Connecting { .. } | Phase::Connected) {
                return;
            }
            match self.decoder.next_frame() {
                Ok(Some(frame)) => self.on_frame(&frame, actions),
                Ok(None) => return,
                Err(violation) => return self.fail_violation(violation, None, actions),
            }
        }
        actions.more_input = matches!(self.phase, Phase::Connected);
    }

    fn on_frame(&mut self, frame: &Frame, actions: &mut Actions) {
        let handled = if matches!(self.phase, Phase::Connected) {
            self.on_connected_frame(ClientFrame::new(frame, self.version), actions)
        } else {
            self.on_first_frame(frame, actions)
        };
        if let Err(violation) = handled {
            self.refuse(violation, ClientFrame::new(frame, self.version), actions);
        }
    }

    fn on_connected_frame(
        &mut self,
        frame: ClientFrame<'_>,
        actions: &mut Actions,
    ) -> Result<(), Violation> {
        let verb = frame.verb();
        if verb != Verb::Send && !self.has(Switch::IgnoredBodies) {
            frame.check_no_body()?;
        }
        match verb {
            Verb::Send => self.on_send(frame, actions),
            Verb::Ack | Verb::Nack => self.on_acknowledgement(frame, actions),
            Verb::Subscribe => self.on_subscribe(frame, actions),
            Verb::Unsubscribe => self.on_unsubscribe(frame, actions),
            Verb::Begin => self.on_begin(frame, actions),
            Verb::Commit => self.on_commit(frame, actions),
            Verb::Abort => self.on_abort(frame, actions),
            Verb::Disconnect => self.on_disconnect(frame, actions),
            Verb::Connect | Verb::Stomp => Err(Violation::AlreadyConnected { verb: verb.as_str() }),
            Verb::Connected | Verb::Message | Verb::Receipt | Verb::Error => {
                Err(Violation::ServerVerb { verb: verb.as_str() })
            }
        }
    }

    /// Whether this is done as RabbitMQ's plugin does it.
    fn has(&self, switch: Switch) -> bool {
        self.policy.stomp.compat.has(switch)
    }

    /// The receipt that a frame asks for, and room for it. *Order.* Before the frame has any effect: one
    /// that is refused has none.
    fn receipt_of(&self, frame: ClientFrame<'_>) -> Result<Option<Text>, Violation> {
        let receipt = frame.receipt()?;
        if receipt.is_some() {
            self.receipts.reserve(1)?;
        }
        Ok(receipt)
    }

    /// Sends the receipt of a frame that is done with, after those of earlier frames. *Order.* After
    /// [`receipt_of`](Self::receipt_of).
    fn answer(&mut self, receipt: Option<Text>, actions: &mut Actions) {
        let Some(receipt) = receipt else {
            return;
        };
        if self.receipts.is_empty() {
            actions.frames.push(self.output.receipt(&receipt));
            return;
        }
        let token = self.next_token();
        self.receipts.ready(token, receipt);
    }

    /// Sends the receipts whose turn has come, and then the goodbye if that was all.
    fn release_receipts(&mut self, actions: &mut Actions) {
        while let Some(receipt) = self.receipts.next_released() {
            actions.frames.push(self.output.receipt(&receipt));
        }
        if self.receipts.is_empty() && matches!(self.phase, Phase::Leaving { .. }) {
            self.say_farewell(actions);
        }
    }

    /// Any frame counts as a heart-beat.
    fn note_output(&mut self, actions: &Actions) {
        if !actions.frames.is_empty() {
            self.heartbeat.sent(self.now);
        }
    }

    fn next_token(&mut self) -> Token {
        self.last_token += 1;
        Token(self.last_token)
    }
}
