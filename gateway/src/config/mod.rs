//! The configuration, as the operator writes it.
//!
//! Layers, later ones win: the defaults of each key, the TOML file (or the built-in one where no
//! file is given), the environment (`GATEWAY_SECTION__NAME__KEY`), flags. Sections that can occur
//! more than once are tables by name. The gateway checks a [`Config`] once and turns it into the
//! values it runs on; nothing else reads it.

pub mod units;

use std::collections::BTreeMap;
use std::net::SocketAddr;

use protocols::auth::Secret;

use units::{ByteSize, Millis};

/// Everything an operator can set.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// `[listener.NAME]`: what is listened on.
    pub listener: BTreeMap<String, Listener>,
    /// `[route.NAME]`: what is served there.
    pub route: BTreeMap<String, Route>,
    /// `[broker.NAME]`: where messages go.
    pub broker: BTreeMap<String, Broker>,
    /// `[admin]`: health checks.
    pub admin: Admin,
    /// `[drain]`: how the gateway stops.
    pub drain: Drain,
    /// `[log]`: what is logged.
    pub log: Log,
}

/// A socket that accepts connections.
#[derive(Debug, Clone, PartialEq)]
pub struct Listener {
    /// Address and port; port 0 takes a free one.
    pub bind: SocketAddr,
    /// Connections at a time; one more is told so with HTTP 503. Default 10,000.
    pub max_connections: usize,
    /// From the accepted connection to the finished WebSocket handshake. Default 10 s.
    pub handshake_timeout: Millis,
    /// A connection whose socket takes no byte for so long while output waits is cut. Default 30 s.
    pub write_timeout: Millis,
    /// How long a closing connection may take to say goodbye. Default 5 s.
    pub close_timeout: Millis,
    /// Bytes of output buffered for one connection before nothing more is read from the peer and
    /// the broker on its behalf. Default 256 KiB.
    pub output_high_water: ByteSize,
}

/// What is served at a path of a listener.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// The listener's name.
    pub listener: String,
    /// The exact path of the URL. Default `/ws`.
    pub path: String,
    /// Ids of the sub-protocols spoken; the first is meant by clients that name none.
    pub protocols: Vec<String>,
    /// The broker's name.
    pub broker: String,
    /// The virtual host of clients that name none. Default `/`.
    pub vhost: String,
    /// The login of clients that send none; unset: they are refused.
    pub default_login: Option<String>,
    /// Its passcode.
    pub default_passcode: Option<Secret>,
    /// Bytes of one WebSocket message once logged in. Default: `limits.frame_size` + 4 KiB.
    pub max_message_size: Option<ByteSize>,
    /// Bounds on what one client may use.
    pub limits: Limits,
    /// STOMP settings.
    pub stomp: Stomp,
}

/// `[route.NAME.limits]`; see [`protocols::policy::Limits`], whose defaults these are.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub struct Limits {
    pub frame_size: ByteSize,
    pub frame_size_before_login: ByteSize,
    pub header_count: usize,
    pub header_size: ByteSize,
    pub login_timeout: Millis,
    pub subscriptions: usize,
    pub transactions: usize,
    pub transaction_frames: usize,
    pub transaction_bytes: ByteSize,
    pub pending_receipts: usize,
}

/// `[route.NAME.stomp]`; see [`protocols::stomp::Settings`], whose defaults these are.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs)]
pub struct Stomp {
    pub heartbeat_min: Millis,
    pub heartbeat_max: Millis,
    pub heartbeat_default: Millis,
    pub prefetch: u16,
    pub max_prefetch: u16,
    /// `auto`, `text` or `binary`.
    pub outgoing: Outgoing,
    /// Whether CONNECTED names the server and its version.
    pub server_header: bool,
}

/// How outgoing frames travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outgoing {
    /// Text if the frame is UTF-8 and the client has sent text.
    Auto,
    /// Text if the frame is UTF-8.
    Text,
    /// Always binary.
    Binary,
}

/// A broker; `kind` decides which other keys there are.
#[derive(Debug, Clone, PartialEq)]
pub enum Broker {
    /// `kind = "embedded"`: in this process, in memory.
    Embedded(Embedded),
}

/// The embedded broker.
#[derive(Debug, Clone, PartialEq)]
pub struct Embedded {
    /// Its virtual hosts. Default `["/"]`.
    pub vhosts: Vec<String>,
    /// Bytes of messages kept in memory at which publishers are held back. Default 256 MiB.
    pub memory_limit: ByteSize,
    /// Bytes of undelivered messages handed to one connection at a time. Default 1 MiB.
    pub link_buffer: ByteSize,
    /// Most queues at a time. Default 100,000.
    pub max_queues: usize,
    /// Users that may log in from the gateway's own host only. Default `["guest"]`.
    pub loopback_users: Vec<String>,
    /// `[broker.NAME.user.LOGIN]`. Default: `guest` with passcode `guest`.
    pub user: BTreeMap<String, User>,
}

/// A user of the embedded broker.
#[derive(Debug, Clone, PartialEq)]
pub struct User {
    /// What it logs in with.
    pub passcode: Secret,
    /// Virtual hosts it may use. Default: all.
    pub vhosts: Option<Vec<String>>,
}

/// The admin listener.
#[derive(Debug, Clone, PartialEq)]
pub struct Admin {
    /// Address and port; unset: none. Default `127.0.0.1:15679`.
    pub bind: Option<SocketAddr>,
}

/// How the gateway stops.
#[derive(Debug, Clone, PartialEq)]
pub struct Drain {
    /// Time over which the goodbyes are spread. Default 1 s.
    pub spread: Millis,
    /// Time after which what is left is cut. Default 10 s.
    pub grace: Millis,
}

/// What is logged, to standard error.
#[derive(Debug, Clone, PartialEq)]
pub struct Log {
    /// A `tracing` filter. Default `info`.
    pub filter: String,
    /// `text` or `json`.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}
