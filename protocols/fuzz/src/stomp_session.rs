//! The STOMP session: whatever client, broker and clock do, in whatever order.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use protocols::auth::{AuthReply, Denial, DenialKind, Grant};
use protocols::broker::{
    BrokerError, BrokerErrorKind, Command, DeliveryTag, Event, Message, Outcome, Publication,
    SettleMode, SubscriptionId, Token,
};
use protocols::policy::{Limits, Policy};
use protocols::session::{FrameKind, Shared, Unit};
use protocols::stomp::Stomp;
use protocols::stomp::parse::{Decoder, DecoderLimits};
use protocols::violation::Violation;
use protocols::{Actions, Session, SessionSetup, Subprotocol};

/// Carries out the operations that `data` stands for, and checks after each what must hold of every
/// session: one login, no command before it, tokens and subscription ids used once, deliveries
/// settled once and only if outstanding, frames that are whole, the server's, and text only if they
/// are UTF-8, deadlines that lie ahead, and silence after the close.
///
/// *Shape.* Each operation is a byte, modulo [`OPERATIONS`], and an operand byte. An input of the
/// client's own words takes that many bytes more.
pub fn stomp_session(data: &[u8]) {
    let mut world = World::new();
    let mut rest = data;
    while let [operation, operand, after @ ..] = rest {
        rest = after;
        if operation % OPERATIONS == 0 {
            let (words, after) = rest.split_at(rest.len().min(usize::from(*operand)));
            rest = after;
            world.input(words);
        } else {
            world.operate(operation % OPERATIONS, *operand);
        }
        world.check();
    }
}

/// How many operations there are.
const OPERATIONS: u8 = 16;

/// What a client may say, for operands to choose from; `@` is the last `message-id`.
const PHRASES: [&str; 42] = [
    "CONNECT\n\n\0",
    "CONNECT\naccept-version:1.1\nheart-beat:5000,5000\n\n\0",
    "STOMP\naccept-version:1.2\nheart-beat:5000,5000\n\n\0",
    "CONNECT\naccept-version:9\n\n\0",
    "SEND\ndestination:/queue/a\n\nbody\0",
    "SEND\ndestination:/topic/a.b\nreceipt:s\nk:v\n\nbody\0",
    "SEND\ndestination:/queue/a\ntransaction:t\n\n\0",
    "SEND\ndestination:/exchange/x/k\ntransaction:t\nreceipt:st\n\n\0",
    "SEND\ndestination:/queue/a\npriority:many\n\n\0",
    "SUBSCRIBE\ndestination:/queue/a\n\n\0",
    "SUBSCRIBE\nid:0\ndestination:/queue/a\n\n\0",
    "SUBSCRIBE\nid:0\ndestination:/queue/a\nack:client\nreceipt:sub\n\n\0",
    "SUBSCRIBE\nid:1\ndestination:/topic/#\nack:client-individual\nprefetch-count:2\n\n\0",
    "CONNECT\naccept-version:1.2\nsoft-errors:true\n\n\0",
    "CONNECT\naccept-version:1.2\nresume:60000\n\n\0",
    "CONNECT\naccept-version:1.2\nresume:1\nresume-token:x\nsoft-errors:true\n\n\0",
    "SUBSCRIBE\nid:5\ndestination:/topic/a\nack:client\nreceipt:lasting\n\n\0",
    "SEND\ndestination:/nowhere\nreceipt:s\ntransaction:t\n\n\0",
    "SEND\ndestination:/user/bob/queue/a\nmandatory:true\n\n\0",
    "SUBSCRIBE\nid:3\ndestination:/gateway/errors\n\n\0",
    "SUBSCRIBE\nid:4\ndestination:/user/queue/a\n\n\0",
    "SUBSCRIBE\nid:2\ndestination:/topic/a.*\nreceipt:shared\n\n\0",
    "UNSUBSCRIBE\nid:2\n\n\0",
    "UNSUBSCRIBE\nid:0\n\n\0",
    "UNSUBSCRIBE\nid:0\ndestination:/queue/a\nreceipt:unsub\n\n\0",
    "UNSUBSCRIBE\nid:1\ndestination:/queue/a\n\n\0",
    "UNSUBSCRIBE\ndestination:/queue/a\n\n\0",
    "ACK\nid:@\nmessage-id:@\nsubscription:0\n\n\0",
    "ACK\nid:@\nmessage-id:@\nsubscription:0\nreceipt:ack\n\n\0",
    "ACK\nid:@\nmessage-id:@\nsubscription:1\ntransaction:t\n\n\0",
    "ACK\nid:@\nmessage-id:@\nsubscription:0\ntransaction:u\nreceipt:at\n\n\0",
    "NACK\nid:@\nmessage-id:@\nsubscription:0\n\n\0",
    "NACK\nid:@\nmessage-id:@\nsubscription:1\nrequeue:false\n\n\0",
    "BEGIN\ntransaction:t\n\n\0",
    "BEGIN\ntransaction:u\nreceipt:begin\n\n\0",
    "COMMIT\ntransaction:t\n\n\0",
    "COMMIT\ntransaction:u\nreceipt:commit\n\n\0",
    "ABORT\ntransaction:t\nreceipt:abort\n\n\0",
    "ABORT\ntransaction:u\n\n\0",
    "DISCONNECT\n\n\0",
    "DISCONNECT\nreceipt:bye\n\n\0",
    "\n",
];

/// A session, and what its surroundings remember.
struct World {
    session: Box<dyn Session>,
    now: Instant,
    actions: Actions,
    has_asked: bool,
    is_closed: bool,
    message_id: String,
    waiting: Vec<Token>,
    tokens: BTreeSet<Token>,
    subscriptions: BTreeMap<SubscriptionId, (SettleMode, BTreeSet<DeliveryTag>)>,
    shared: BTreeSet<SubscriptionId>,
    /// It has asked for a session that can be resumed, and not given it up.
    resumable: bool,
    last_tag: u64,
}

impl World {
    fn new() -> Self {
        #[allow(clippy::disallowed_methods, reason = "virtual time must begin somewhere")]
        let now = Instant::now();
        let limits = Limits {
            frame_size: 4 << 10,
            frame_size_before_login: 1 << 10,
            subscriptions: 3,
            transactions: 2,
            transaction_frames: 4,
            transaction_bytes: 256,
            pending_receipts: 8,
            ..Limits::default()
        };
        let session = Stomp.open(SessionSetup {
            name: None,
            session_id: "s".into(),
            secret: protocols::auth::Secret::new("secret"),
            random: [7; 32],
            is_local: true,
            realms: Arc::new(protocols::wamp::peers::NoRealms),
            can_confirm: true,
            most_output: usize::MAX,
            policy: Arc::new(Policy { limits, ..Policy::default() }),
            now,
            time_of_day: std::time::Duration::ZERO,
        });
        Self {
            session,
            now,
            actions: Actions::default(),
            has_asked: false,
            is_closed: false,
            message_id: String::new(),
            waiting: Vec::new(),
            tokens: BTreeSet::new(),
            subscriptions: BTreeMap::new(),
            shared: BTreeSet::new(),
            resumable: false,
            last_tag: 0,
        }
    }

    fn operate(&mut self, operation: u8, operand: u8) {
        match operation {
            1..=6 => {
                let phrase = PHRASES[usize::from(operand) % PHRASES.len()];
                self.input(phrase.replace('@', &self.message_id).as_bytes());
            }
            7 => self.answer_login(operand),
            8 | 9 => self.answer(operand),
            10 | 11 => self.deliver(operand),
            12 => self.pass(Duration::from_millis(u64::from(operand) * 100)),
            13 => self.session.set_reading(self.now, operand.is_multiple_of(2)),
            _ => self.disturb(operand),
        }
    }

    fn input(&mut self, bytes: &[u8]) {
        let is_text = std::str::from_utf8(bytes).is_ok();
        let kind = if is_text { FrameKind::Text } else { FrameKind::Binary };
        let unit = Unit { kind, bytes: Bytes::copy_from_slice(bytes) };
        self.session.handle_input(self.now, unit, &mut self.actions);
    }

    fn event(&mut self, event: Event) {
        self.session.handle_event(self.now, event, &mut self.actions);
    }

    fn answer_login(&mut self, operand: u8) {
        let reply = if operand == 0 {
            let text = "no".into();
            AuthReply::Denied(Denial { kind: DenialKind::BadCredentials, text })
        } else {
            AuthReply::Granted(Grant { user: "guest".into(), vhost: "/".into() })
        };
        self.session.handle_auth(self.now, reply, &mut self.actions);
    }

    /// Answers a command, whatever it was, with something that a broker says.
    fn answer(&mut self, operand: u8) {
        if self.waiting.is_empty() {
            return;
        }
        let token = self.waiting.remove(usize::from(operand / 8) % self.waiting.len());
        self.event(match operand % 8 {
            0 => Event::Failed { token, error: error() },
            1 => Event::Confirmed { token, outcome: Outcome::Rejected },
            2 | 3 => Event::Subscribed { token },
            4 => Event::Unsubscribed { token },
            5 => Event::Resumed { token, found: operand.is_multiple_of(16) },
            6 => Event::Declared { token },
            _ => Event::Confirmed { token, outcome: Outcome::Accepted },
        });
    }

    fn deliver(&mut self, operand: u8) {
        if self.subscriptions.is_empty() {
            return;
        }
        let place = usize::from(operand) % self.subscriptions.len();
        let Some((&subscription, (settle, outstanding))) = self.subscriptions.iter_mut().nth(place)
        else {
            return;
        };
        self.last_tag += 1;
        let tag = DeliveryTag(self.last_tag);
        let is_auto = *settle == SettleMode::WhenWritten;
        outstanding.insert(tag);
        let publication = Arc::new(Publication {
            exchange: "".into(),
            routing_key: "a/b".into(),
            message: Message { body: vec![operand; 3].into(), ..Message::default() },
        });
        let redelivered = operand.is_multiple_of(2);
        self.event(Event::Delivery { subscription, tag, redelivered, publication });
        let settles = self.actions.frames.iter().find_map(|frame| frame.settles);
        if settles.is_some() {
            assert!(is_auto, "a delivery that the client acknowledges");
            self.settle(subscription, tag, false);
        }
    }

    fn pass(&mut self, by: Duration) {
        let target = self.now + by;
        while let Some(deadline) = self.session.next_timeout().filter(|it| *it <= target) {
            self.now = self.now.max(deadline);
            self.session.handle_timeout(self.now, &mut self.actions);
            let next = self.session.next_timeout();
            assert!(next.is_none_or(|next| next > self.now), "a deadline that is over stays");
            self.check();
        }
        self.now = target;
    }

    fn disturb(&mut self, operand: u8) {
        match operand % 5 {
            4 => {
                let subscription = SubscriptionId(u64::from(operand / 4));
                self.event(Event::Gap { subscription });
            }
            0 => self.session.start_drain(self.now, &mut self.actions),
            1 => self.event(Event::Down { error: error() }),
            2 => {
                let subscription = SubscriptionId(u64::from(operand / 4));
                self.event(Event::Canceled { subscription, error: error() });
            }
            _ => {
                let violation = Violation::TextNotUtf8;
                self.session.handle_violation(self.now, violation, &mut self.actions);
            }
        }
    }

    /// What must hold after each operation, and after the rest of the input that it left.
    fn check(&mut self) {
        self.check_actions();
        while std::mem::take(&mut self.actions.more_input) {
            self.session.resume_input(self.now, &mut self.actions);
            self.check_actions();
        }
    }

    fn check_actions(&mut self) {
        assert!(!self.is_closed || self.actions.is_empty(), "something after the close");
        if self.actions.auth.take().is_some() {
            assert!(!self.has_asked, "a second login");
            self.has_asked = true;
        }
        self.actions.established = None;
        for frame in std::mem::take(&mut self.actions.frames) {
            self.check_frame(frame.kind, &frame.bytes);
        }
        for command in std::mem::take(&mut self.actions.commands) {
            assert!(self.has_asked, "a command before the login");
            self.carry_out(command);
        }
        for shared in std::mem::take(&mut self.actions.shared) {
            assert!(self.has_asked, "something shared before the login");
            self.share(shared);
        }
        self.is_closed |= self.actions.close.take().is_some();
        if self.is_closed {
            assert!(self.shared.is_empty(), "nothing may come after the close");
            assert_eq!(self.session.next_timeout(), None);
        }
    }

    fn check_frame(&mut self, kind: FrameKind, bytes: &Bytes) {
        if kind == FrameKind::Text {
            assert!(std::str::from_utf8(bytes).is_ok());
        }
        let large = usize::MAX;
        let mut decoder = Decoder::new(DecoderLimits {
            frame_size: large,
            header_count: large,
            header_size: large,
        });
        decoder.push(bytes.clone());
        let Some(frame) = decoder.next_frame().expect("a frame") else {
            assert_eq!(&bytes[..], b"\n", "a heart-beat");
            return;
        };
        assert!(frame.verb.is_server_only());
        assert_eq!(decoder.next_frame(), Ok(None), "one frame in a unit");
        if let Some(message_id) = frame.headers.get("message-id") {
            self.message_id = message_id.to_owned();
        }
    }

    fn carry_out(&mut self, command: Command) {
        match command {
            Command::Publish { token, confirm, .. } => self.note(token, confirm),
            Command::Unsubscribe { token, subscription, delete } => {
                let ends = subscription == SubscriptionId(0) && delete && self.resumable;
                self.resumable &= !ends;
                assert!(ends || self.subscriptions.contains_key(&subscription));
                self.note(token, true);
            }
            Command::Resume { token, subscription, .. } => {
                assert_eq!(subscription, SubscriptionId(0));
                assert!(!std::mem::replace(&mut self.resumable, true), "one session");
                self.note(token, true);
            }
            Command::Subscribe { token, subscription, prefetch, settle, .. } => {
                assert!(prefetch > 0);
                self.note(token, true);
                let before = self.subscriptions.insert(subscription, (settle, BTreeSet::new()));
                assert_eq!(before, None, "a subscription id is used once");
            }
            Command::DeclareExchange { token, .. } => self.note(token, true),
            Command::Settle { subscription, up_to, cumulative, .. } => {
                self.settle(subscription, up_to, cumulative);
            }
            Command::OpenInbox { .. } | Command::Bind { .. } | Command::Unbind { .. } => {
                panic!("inboxes are not a session's");
            }
        }
    }

    /// What the session shares with others. Its deliveries do not pass through it.
    fn share(&mut self, shared: Shared) {
        match shared {
            Shared::Join { token, subscription, topic, encoder } => {
                assert!(!topic.is_empty() && !encoder.key().0.is_empty());
                self.note(token, true);
                assert!(self.shared.insert(subscription), "a subscription id is used once");
            }
            Shared::Leave { token, subscription } => {
                self.note(token, true);
                assert!(self.shared.remove(&subscription), "it was joined, and left once");
            }
            Shared::LeaveAll => self.shared.clear(),
        }
    }

    fn note(&mut self, token: Token, is_answered: bool) {
        assert!(self.tokens.insert(token), "a token is used once");
        if is_answered {
            self.waiting.push(token);
        }
    }

    fn settle(&mut self, subscription: SubscriptionId, up_to: DeliveryTag, cumulative: bool) {
        let (_, outstanding) = self.subscriptions.get_mut(&subscription).expect("a subscription");
        assert!(outstanding.remove(&up_to), "a delivery is settled once");
        if cumulative {
            *outstanding = outstanding.split_off(&up_to);
        }
    }
}

fn error() -> BrokerError {
    BrokerError::new(BrokerErrorKind::NotFound, "NOT_FOUND - no such thing")
}
