//! STOMP 1.0, 1.1 and 1.2, server side.
//!
//! | clause | where |
//! |---|---|
//! | frame grammar, value encoding, body, size limits | [`parse`], [`encode`] |
//!
//! # Deviations
//! - None recorded yet.

pub mod encode;
pub mod frame;
pub mod parse;

use std::time::Duration;

use crate::registry::{SessionSetup, Subprotocol};
use crate::session::Session;
use crate::text::Text;

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
        let _ = setup;
        unimplemented!("session.rs")
    }
}

/// A version of the protocol. Ordered: a later version is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Version {
    /// STOMP 1.0: no escaping, no heart-beats, no NACK.
    V10,
    /// STOMP 1.1: `\n`, `\c`, `\\` in headers; heart-beats; NACK.
    V11,
    /// STOMP 1.2: also `\r`; carriage returns before line feeds; ACK by `id`.
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
    /// How outgoing frames travel. Default [`OutgoingKind::Auto`].
    pub outgoing: OutgoingKind,
    /// The `server` header of CONNECTED; `None` sends none.
    pub server: Option<Text>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            heartbeat: HeartbeatSettings::default(),
            prefetch: 100,
            max_prefetch: 1_000,
            outgoing: OutgoingKind::Auto,
            server: None,
        }
    }
}

/// Bounds on heart-beats (STOMP 1.2 §Heart-beating).
///
/// A client's wish other than 0 is raised to `min` and lowered to `max`. A client that sends no
/// heart-beats of its own (`heart-beat` absent or `0,…`) is probed by the transport every
/// `default` instead, so that a dead one is still noticed.
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
