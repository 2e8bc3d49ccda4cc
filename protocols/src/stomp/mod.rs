//! STOMP 1.0, 1.1 and 1.2, server side.
//!
//! | clause (STOMP 1.2) | where |
//! |---|---|
//! | Augmented BNF, Body, Size Limits, Repeated Header Entries | [`parse`], [`frame`] |
//! | Value Encoding | [`parse`], [`encode`] |
//! | Connecting, Protocol Negotiation | `session/connect.rs` |
//! | Heart-beating | `heartbeat.rs`, [`HeartbeatSettings`] |
//! | SEND, Standard Headers (`content-type`, `receipt`) | `session/send.rs`, `properties.rs` |
//! | SUBSCRIBE, UNSUBSCRIBE | `session/subscribe.rs`, `subscription.rs`, `queue.rs`, `declared.rs` |
//! | ACK, NACK | `session/acknowledge.rs`, `acks.rs` |
//! | BEGIN, COMMIT, ABORT | `session/transact.rs`, `transaction.rs` |
//! | DISCONNECT, ERROR, Connection Lingering | `session/leave.rs`, `output.rs` |
//! | MESSAGE | `session/events.rs`, `delivery.rs`, `properties.rs`, `typed.rs` |
//! | RECEIPT | `receipts.rs` |
//! | sessions that outlast a connection (not in the specification) | `resume.rs` |
//! | destinations (the server's to define) | `destination.rs` |
//!
//! What 1.0 and 1.1 do otherwise is said where it is done. The states are Connecting →
//! Authenticating → Connected → Leaving → Closed; `session/mod.rs` has them all.
//!
//! # Choices that the specification leaves open
//! - RECEIPTs come strictly in the order of the frames that asked for them. The one of SEND waits
//!   for the broker's confirm, those of SUBSCRIBE and UNSUBSCRIBE for its answer, and that of COMMIT
//!   for the confirms of every message in it. A message that is not taken is an ERROR.
//! - ACK and NACK of a `client` subscription are cumulative within that subscription. One that
//!   comes after UNSUBSCRIBE counts as long as its message is outstanding; one that names anything
//!   else than an outstanding message of this connection is an ERROR.
//! - A message acknowledged inside a transaction can be acknowledged by no other frame until ABORT
//!   frees it. Frames of a transaction are checked when they arrive. The RECEIPT of an
//!   ACK or NACK comes at once; that of a SEND follows COMMIT, and never comes after ABORT.
//! - A message on its way when its subscription is given up goes back to the queue. A subscription
//!   counts against the bound until the broker has stopped it and nothing of it is outstanding.
//! - A subscription that the broker ends is an ERROR and the end of the connection.
//!
//! # Deviations
//! From the specification:
//! - CONNECT needs no `host`: the route's default stands in. Common clients send none.
//! - The version that the WebSocket sub-protocol's name stands for is used if `accept-version` has
//!   it too, even if that has a higher one; if not, the highest of `accept-version` is.
//! - A client of 1.0 may send any value of `ack`, and a `heart-beat`, which is then honoured. Blanks
//!   before its header values are dropped, and a body where none belongs is ignored.
//! - SUBSCRIBE needs no `id` in any version. Without one, the subscription is known by its
//!   destination, and its MESSAGEs have no `subscription`.
//! - ACK and NACK of 1.1 need no `subscription`; if they have one, it is the message's.
//! - A body where none belongs is an ERROR in 1.1 and 1.2, unless it consists of line ends: these
//!   are ignored.
//! - What the version of a receiver cannot escape in a header is replaced: [`encode::Escaping`].
//! - The names that a client gives to subscriptions, transactions and receipts have at most 255
//!   bytes, and none that the client could not get back: NUL, before 1.2 carriage return, in 1.0
//!   line feed.
//! - On decoding: see [`parse`].
//!
//! From RabbitMQ's plugin, which this follows otherwise ([`compat`] has switches for most):
//! - Every ERROR ends the connection, as the specification wants, and names the `receipt-id` of the
//!   frame that it answers. A fault of the framing has none: where it is found there is no frame yet
//!   whose headers could be relied on.
//! - Destinations are percent-decoded whole, not only `%2F`; except behind `/reply-queue/`.
//! - The name of a durable subscription's queue is made of the user too, so that two users with one
//!   `id` do not share it.
//! - The queue of a subscription to `/topic` or `/exchange` that is not durable and has no name is
//!   always exclusive, and goes with it: nobody could use it ever again.
//! - `persistent:false` on SEND is about the message alone, and not about the queue.
//! - The server's headers on MESSAGE always win, also over names that are theirs once they are
//!   trimmed. `receipt`, `transaction` and `content-length` of a SEND do not travel with the message.
//! - Headers of any AMQP type reach the client: numbers and flags as text, arrays and tables
//!   (`x-death`) as JSON, bytes that are no text as base64 (`typed.rs`). Headers of a SEND are text.
//! - Prefetch is bounded, also for clients that ask for no bound.
//! - Plain subscriptions to topics are shared with other sessions of the same login (`shared.rs`).
//! - `/user/queue/…` and `/user/USER/queue/…` are destinations (`user.rs`), `mandatory:true` on SEND asks
//!   for an ERROR where the message reaches no queue, and `soft-errors:true` in CONNECT turns ERRORs that
//!   leave everything else as it was into MESSAGEs (`output.rs`).
//! - `resume` in CONNECT makes a session that another connection can go on with (`resume.rs`).
//! - NACK is of 1.1 and later.
//! - Heart-beats are clamped, and a client that sends none is probed ([`HeartbeatSettings`]).
//! - BEGIN of an open transaction is an ERROR instead of a silent restart.
//! - Every queue argument that RabbitMQ knows is taken from the headers of SUBSCRIBE and SEND, and
//!   arguments of the binding from `x-bind-…` (`queue.rs`). One of the wrong kind is an ERROR.

mod acks;
mod client_frame;
pub mod compat;
mod declared;
mod delivery;
mod destination;
pub mod encode;
pub mod frame;
mod gateways;
mod heartbeat;
mod output;
pub mod parse;
mod procedure;
mod properties;
mod queue;
mod receipts;
mod resume;
mod session;
mod shared;
mod subscription;
mod transaction;
mod typed;
mod user;

use std::time::Duration;

use crate::registry::{SessionSetup, Subprotocol};
use crate::session::Session;
use crate::text::Text;
use compat::Compat;
pub use session::FRAMES_PER_CALL;
use session::StompSession;

/// The sub-protocol `stomp`: all three versions behind the names of RabbitMQ's Web-STOMP plugin.
#[derive(Debug, Clone, Copy, Default)]
pub struct Stomp;

impl Subprotocol for Stomp {
    fn id(&self) -> &'static str {
        "stomp"
    }

    fn names(&self) -> &'static [&'static str] {
        &["v12.stomp", "v11.stomp", "v10.stomp", "stomp"]
    }

    fn open(&self, setup: SessionSetup) -> Box<dyn Session> {
        Box::new(StompSession::new(setup))
    }
}

/// A version of the protocol. Ordered: a later version is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// STOMP 1.0: no escaping, no heart-beats, no NACK.
    V10,
    /// STOMP 1.1: `\n`, `\c`, `\\` in headers, and `\r` in those of clients; heart-beats; NACK.
    V11,
    /// STOMP 1.2: `\r` in all headers; carriage returns before line feeds; ACK by `id`.
    V12,
}

impl Version {
    /// As written in `accept-version` and `version`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V10 => "1.0",
            Self::V11 => "1.1",
            Self::V12 => "1.2",
        }
    }

    /// All versions, as written in the `version` header of an ERROR.
    pub const ALL_NAMES: &'static str = "1.0,1.1,1.2";

    /// The version that one of [`Stomp`]'s names stands for; `stomp` stands for none.
    fn of_subprotocol(name: &str) -> Option<Self> {
        Some(match name {
            "v10.stomp" => Self::V10,
            "v11.stomp" => Self::V11,
            "v12.stomp" => Self::V12,
            _ => return None,
        })
    }
}

/// Settings of STOMP sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Bounds on the agreed heart-beats.
    pub heartbeat: HeartbeatSettings,
    /// Most deliveries outstanding for a subscription that says nothing else. Default 100.
    pub prefetch: u16,
    /// Most deliveries outstanding that a client may ask for with `prefetch-count`; `0`, the
    /// client's "no limit", means this too. Default 1,000.
    pub max_prefetch: u16,
    /// Whether a NACK that does not say `requeue` puts the message back. Default true.
    pub nack_requeue: bool,
    /// How outgoing frames travel. Default [`OutgoingKind::Auto`].
    pub outgoing: OutgoingKind,
    /// Begins the names of the queues behind `reply-to:/temp-queue/…`. Default
    /// `stomp-subscription-gw-`.
    pub queue_prefix: Text,
    /// The `server` header of CONNECTED; `None` sends none.
    pub server: Option<Text>,
    /// Logins that may send to `/user/<name>/queue/…`, whoever that is. Default none.
    pub send_to_users: Vec<Text>,
    /// The longest time that a session stays for a client that has lost its connection, and asked for
    /// that. Zero: none stays. Default 10 minutes.
    pub max_resume: Duration,
    /// What is done as RabbitMQ's plugin does it. Default [`Compat::NONE`].
    pub compat: Compat,
}

impl Settings {
    /// Whether this login may send to the destinations of users.
    pub fn may_send_to_users(&self, login: &str) -> bool {
        self.send_to_users.iter().any(|allowed| *allowed == *login)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            heartbeat: HeartbeatSettings::default(),
            prefetch: 100,
            max_prefetch: 1_000,
            nack_requeue: true,
            outgoing: OutgoingKind::Auto,
            queue_prefix: Text::from_static("stomp-subscription-gw-"),
            server: None,
            send_to_users: Vec::new(),
            max_resume: Duration::from_secs(600),
            compat: Compat::NONE,
        }
    }
}

/// Bounds on heart-beats (STOMP 1.2 §Heart-beating).
///
/// | the client's header | agreed | `heart-beat` of CONNECTED |
/// |---|---|---|
/// | `…,0`: it wants none | the server sends none | `0,…` |
/// | `…,cy` | the server sends every `cy`, raised to `min`, lowered to `max` | `that,…` |
/// | `0,…`, or no header: it promises none | the transport probes it every `default` | `…,default` |
/// | `cx,…` | the client sends every `cx`, raised to `min` | `…,that` |
///
/// A heart-beat is sent when nothing else was for nine tenths of the interval, so that it is not
/// late. A client is given up after two intervals without any input; while reading is stopped by
/// backpressure that deadline is paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeartbeatSettings {
    /// The shortest interval agreed to, either way. Default 1 s.
    pub min: Duration,
    /// The longest interval at which the gateway sends. Default 60 s.
    pub max: Duration,
    /// What the gateway offers, and how often it probes a client that promised nothing. Zero: no
    /// probes. Default 30 s.
    pub default: Duration,
}

impl Default for HeartbeatSettings {
    fn default() -> Self {
        Self {
            min: Duration::from_secs(1),
            max: Duration::from_secs(60),
            default: Duration::from_secs(30),
        }
    }
}

/// How outgoing frames travel on a WebSocket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OutgoingKind {
    /// Text if the frame is UTF-8 and the client has sent text, else binary.
    Auto,
    /// Text if the frame is UTF-8, else binary: a text message must be UTF-8 (RFC 6455 §8.1).
    Text,
    /// Always binary.
    Binary,
}
