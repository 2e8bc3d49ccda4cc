//! `[route.NAME]`, and what it means in the terms of [`protocols`].

use protocols::auth::Secret;
use protocols::policy::{self, Policy};
use protocols::stomp;
use protocols::stomp::compat::Compat;
use protocols::text::Text;
use protocols::wamp::{self, rpc, serializer, uri::UriRules};
use serde::{Deserialize, Serialize};

use super::units::{ByteSize, Millis};
use super::values;

/// What CONNECTED says in its `server` header, and WELCOME in its `agent`, where a route lets it.
const SERVER: &str = concat!("gateway/", env!("CARGO_PKG_VERSION"));

/// What one WebSocket message may hold beyond one frame: the line feeds around frames.
const MESSAGE_SLACK: usize = 4 << 10;

/// What is served at a path of a listener.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The listener's name.
    pub listener: String,
    /// The exact path of the URL. Default `/ws`.
    #[serde(default = "path")]
    pub path: String,
    /// Ids of the sub-protocols spoken; the first is meant by clients that name none.
    pub protocols: Vec<String>,
    /// The broker's name.
    pub broker: String,
    /// The virtual host of clients that name none. Default `/`.
    #[serde(default = "vhost")]
    pub vhost: String,
    /// The login of clients that send none; unset: they are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default_login: Option<String>,
    /// Its passcode.
    #[serde(
        default,
        deserialize_with = "values::optional_secret",
        serialize_with = "values::redact_optional",
        skip_serializing_if = "Option::is_none"
    )]
    pub default_passcode: Option<Secret>,
    /// The login that the sessions work under at the broker; unset: each under its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_login: Option<ServiceLogin>,
    /// Bytes of one WebSocket message once logged in. Default: `limits.frame_size` + 4 KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_message_size: Option<ByteSize>,
    /// What is done as RabbitMQ's STOMP plugin does it. Default: nothing.
    #[serde(default, deserialize_with = "values::compat", serialize_with = "values::show_compat")]
    pub compat: Compat,
    /// What happens to a client that takes shared deliveries too slowly. Default `disconnect`.
    #[serde(default, deserialize_with = "values::word")]
    pub slow_clients: SlowClients,
    /// The header by which a newer message makes an older one obsolete. Default `x-key`.
    #[serde(default = "conflate_by")]
    pub conflate_by: String,
    /// Bounds on what one client may use.
    #[serde(default)]
    pub limits: Limits,
    /// STOMP settings.
    #[serde(default)]
    pub stomp: Stomp,
    /// WAMP settings.
    #[serde(default)]
    pub wamp: Wamp,
}

fn path() -> String {
    "/ws".to_owned()
}

fn vhost() -> String {
    "/".to_owned()
}

fn conflate_by() -> String {
    "x-key".to_owned()
}

/// What happens to a client for which more than `limits.pending_bytes` wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SlowClients {
    /// It is told, and ended.
    #[default]
    Disconnect,
    /// It loses the oldest messages, and is told how many.
    DropOldest,
    /// It loses those that a newer one with the same key has made obsolete, and is told how many.
    Conflate,
}

impl Route {
    /// A route from a listener to a broker, by their names, with the default of every other key.
    pub fn between(listener: &str, protocols: &[&str], broker: &str) -> Self {
        Self {
            listener: listener.to_owned(),
            path: path(),
            protocols: protocols.iter().copied().map(str::to_owned).collect(),
            broker: broker.to_owned(),
            vhost: vhost(),
            default_login: None,
            default_passcode: None,
            service_login: None,
            max_message_size: None,
            compat: Compat::NONE,
            slow_clients: SlowClients::default(),
            conflate_by: conflate_by(),
            limits: Limits::default(),
            stomp: Stomp::default(),
            wamp: Wamp::default(),
        }
    }

    /// What the sessions of this route work under, but for the realms of its broker.
    pub fn policy(&self) -> Policy {
        let stomp = stomp::Settings { compat: self.compat, ..(&self.stomp).into() };
        Policy { limits: (&self.limits).into(), stomp, wamp: (&self.wamp).into() }
    }

    /// Bytes of one WebSocket message after the login.
    pub fn max_message_size(&self) -> usize {
        self.max_message_size
            .map_or_else(|| self.limits.frame_size.0.saturating_add(MESSAGE_SLACK), |size| size.0)
    }
}

/// `[route.NAME.service_login]`: a login of the gateway's own at the broker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServiceLogin {
    /// The user at the broker.
    pub login: String,
    /// What it logs in with.
    #[serde(deserialize_with = "values::secret", serialize_with = "values::redact")]
    pub passcode: Secret,
    /// Who decides about the client's own login. Default `broker`.
    #[serde(default = "verify", deserialize_with = "values::word")]
    pub verify: Verify,
}

fn verify() -> Verify {
    Verify::Broker
}

/// Who decides about the login that a client brings to a route with a service login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verify {
    /// The broker, as it would without a service login.
    Broker,
    /// Nobody: whoever reaches the route is in, with or without a login.
    None,
}

/// `[route.NAME.limits]`; see [`policy::Limits`], whose defaults these are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// Bytes of one frame.
    pub frame_size: ByteSize,
    /// Bytes a peer may send, in all, before its login has succeeded.
    pub frame_size_before_login: ByteSize,
    /// Headers of one frame.
    pub header_count: usize,
    /// Bytes of one header line.
    pub header_size: ByteSize,
    /// Time from the opened connection to a successful login.
    pub login_timeout: Millis,
    /// Time that receipts on their way may take to come before a goodbye.
    pub leave_timeout: Millis,
    /// Subscriptions held at a time.
    pub subscriptions: usize,
    /// Transactions open at a time.
    pub transactions: usize,
    /// Frames held by one transaction.
    pub transaction_frames: usize,
    /// Bytes held by all open transactions together.
    pub transaction_bytes: ByteSize,
    /// Receipts that may wait for the broker's confirm at a time.
    pub pending_receipts: usize,
    /// Bytes of shared deliveries that may wait for a client. Default 1 MiB.
    pub pending_bytes: ByteSize,
}

impl Default for Limits {
    fn default() -> Self {
        let policy::Limits {
            frame_size,
            frame_size_before_login,
            header_count,
            header_size,
            login_timeout,
            leave_timeout,
            subscriptions,
            transactions,
            transaction_frames,
            transaction_bytes,
            pending_receipts,
        } = policy::Limits::default();
        Self {
            frame_size: ByteSize(frame_size),
            frame_size_before_login: ByteSize(frame_size_before_login),
            header_count,
            header_size: ByteSize(header_size),
            login_timeout: Millis(login_timeout),
            leave_timeout: Millis(leave_timeout),
            subscriptions,
            transactions,
            transaction_frames,
            transaction_bytes: ByteSize(transaction_bytes),
            pending_receipts,
            pending_bytes: ByteSize(4 << 20),
        }
    }
}

impl From<&Limits> for policy::Limits {
    fn from(limits: &Limits) -> Self {
        Self {
            frame_size: limits.frame_size.0,
            frame_size_before_login: limits.frame_size_before_login.0,
            header_count: limits.header_count,
            header_size: limits.header_size.0,
            login_timeout: limits.login_timeout.0,
            leave_timeout: limits.leave_timeout.0,
            subscriptions: limits.subscriptions,
            transactions: limits.transactions,
            transaction_frames: limits.transaction_frames,
            transaction_bytes: limits.transaction_bytes.0,
            pending_receipts: limits.pending_receipts,
        }
    }
}

/// `[route.NAME.stomp]`; see [`stomp::Settings`], whose defaults these are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Stomp {
    /// The shortest heart-beat interval agreed to, either way.
    pub heartbeat_min: Millis,
    /// The longest heart-beat interval at which the gateway sends.
    pub heartbeat_max: Millis,
    /// What the gateway offers, and how often it probes a client that promised no heart-beats.
    pub heartbeat_default: Millis,
    /// Most deliveries outstanding for a subscription that says nothing else.
    pub prefetch: u16,
    /// Most deliveries outstanding that a client may ask for.
    pub max_prefetch: u16,
    /// Whether a NACK without `requeue` puts the message back.
    pub nack_requeue: bool,
    /// `auto`, `text` or `binary`.
    #[serde(deserialize_with = "values::word")]
    pub outgoing: Outgoing,
    /// Whether CONNECTED names the server and its version.
    pub server_header: bool,
    /// Logins that may send to the destinations of users.
    pub send_to_users: Vec<String>,
    /// The longest time that a session stays for a client that has lost its connection, if the client
    /// asked for that; zero: none stays.
    pub max_resume: Millis,
}

impl Default for Stomp {
    fn default() -> Self {
        let stomp::Settings {
            heartbeat,
            prefetch,
            max_prefetch,
            nack_requeue,
            outgoing,
            server,
            max_resume,
            ..
        } = stomp::Settings::default();
        Self {
            heartbeat_min: Millis(heartbeat.min),
            heartbeat_max: Millis(heartbeat.max),
            heartbeat_default: Millis(heartbeat.default),
            prefetch,
            max_prefetch,
            nack_requeue,
            outgoing: outgoing.into(),
            server_header: server.is_some(),
            send_to_users: Vec::new(),
            max_resume: Millis(max_resume),
        }
    }
}

impl From<&Stomp> for stomp::Settings {
    fn from(stomp: &Stomp) -> Self {
        Self {
            heartbeat: stomp::HeartbeatSettings {
                min: stomp.heartbeat_min.0,
                max: stomp.heartbeat_max.0,
                default: stomp.heartbeat_default.0,
            },
            prefetch: stomp.prefetch,
            max_prefetch: stomp.max_prefetch,
            nack_requeue: stomp.nack_requeue,
            outgoing: stomp.outgoing.into(),
            server: stomp.server_header.then_some(Text::from_static(SERVER)),
            send_to_users: stomp.send_to_users.iter().map(|it| Text::from(it.as_str())).collect(),
            max_resume: stomp.max_resume.0,
            ..Self::default()
        }
    }
}

/// `[route.NAME.wamp]`; see [`wamp::Settings`], whose defaults these are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Wamp {
    /// Whether components of URIs are of `a` to `z`, `0` to `9` and `_` alone.
    pub strict_uris: bool,
    /// Bytes of one URI.
    pub max_uri_length: usize,
    /// Lists and dictionaries inside of each other, the message included.
    pub max_depth: usize,
    /// Values of one message.
    pub max_values: usize,
    /// Bytes that one payload may have in another serializer than it came in.
    pub max_transcoded: ByteSize,
    /// How often a silent client is asked for a sign of life; zero: never.
    pub probe: Millis,
    /// Whether WELCOME names the router and its version.
    pub agent: bool,
    /// Procedures that a session has registered at a time.
    pub registrations: usize,
    /// Calls of a session that wait for their answers at a time.
    pub calls: usize,
    /// Calls that a session runs for others at a time.
    pub invocations: usize,
    /// How long a call waits that names no timeout.
    pub call_timeout: Millis,
    /// The longest timeout that a call can have.
    pub max_call_timeout: Millis,
    /// How long the answer of a callee is awaited that was told to stop.
    pub kill_timeout: Millis,
    /// Bytes of what a session has called, kept until it is certain that it arrives.
    pub max_held: ByteSize,
}

impl Default for Wamp {
    fn default() -> Self {
        let wamp::Settings { uris, limits, probe, agent, rpc, .. } = wamp::Settings::default();
        Self {
            strict_uris: uris.strict,
            max_uri_length: uris.max_length,
            max_depth: limits.depth,
            max_values: limits.values,
            max_transcoded: ByteSize(limits.transcoded),
            probe: Millis(probe),
            agent: agent.is_some(),
            registrations: rpc.most_registrations,
            calls: rpc.most_calls,
            invocations: rpc.most_invocations,
            call_timeout: Millis(rpc.default_timeout),
            max_call_timeout: Millis(rpc.most_timeout),
            kill_timeout: Millis(rpc.kill_timeout),
            max_held: ByteSize(rpc.most_held),
        }
    }
}

impl From<&Wamp> for wamp::Settings {
    fn from(wamp: &Wamp) -> Self {
        Self {
            uris: UriRules { strict: wamp.strict_uris, max_length: wamp.max_uri_length },
            limits: serializer::Limits {
                depth: wamp.max_depth,
                values: wamp.max_values,
                transcoded: wamp.max_transcoded.0,
            },
            probe: wamp.probe.0,
            agent: wamp.agent.then_some(Text::from_static(SERVER)),
            rpc: rpc::Settings {
                default_timeout: wamp.call_timeout.0,
                most_timeout: wamp.max_call_timeout.0,
                kill_timeout: wamp.kill_timeout.0,
                most_calls: wamp.calls,
                most_held: wamp.max_held.0,
                most_registrations: wamp.registrations,
                most_invocations: wamp.invocations,
                most_remembered: wamp.invocations,
                ..rpc::Settings::default()
            },
            ..Self::default()
        }
    }
}

/// How outgoing frames travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outgoing {
    /// Text if the frame is UTF-8 and the client has sent text.
    Auto,
    /// Text if the frame is UTF-8.
    Text,
    /// Always binary.
    Binary,
}

impl From<stomp::OutgoingKind> for Outgoing {
    fn from(kind: stomp::OutgoingKind) -> Self {
        match kind {
            stomp::OutgoingKind::Auto => Self::Auto,
            stomp::OutgoingKind::Text => Self::Text,
            stomp::OutgoingKind::Binary => Self::Binary,
        }
    }
}

impl From<Outgoing> for stomp::OutgoingKind {
    fn from(outgoing: Outgoing) -> Self {
        match outgoing {
            Outgoing::Auto => Self::Auto,
            Outgoing::Text => Self::Text,
            Outgoing::Binary => Self::Binary,
        }
    }
}

#[cfg(test)]
mod tests {
    use protocols::stomp::compat::Switch;

    use super::*;

    #[test]
    fn a_route_that_says_nothing_works_under_the_defaults_of_the_protocols() {
        let route = Route::between("web", &["stomp"], "main");
        assert_eq!(route.policy(), Policy::default());
        assert_eq!(route.max_message_size(), Policy::default().limits.frame_size + 4_096);
    }

    #[test]
    fn what_a_route_says_reaches_its_policy() {
        let mut route = Route::between("web", &["stomp"], "main");
        route.max_message_size = Some(ByteSize(77));
        route.limits.subscriptions = 7;
        route.stomp.heartbeat_max = Millis::seconds(70);
        route.stomp.outgoing = Outgoing::Binary;
        route.stomp.nack_requeue = false;
        route.stomp.max_resume = Millis::seconds(9);
        route.compat = Compat::NONE.with(Switch::Escapes);
        route.stomp.server_header = true;
        route.wamp.calls = 5;
        route.wamp.max_depth = 6;
        let policy = route.policy();
        assert_eq!(route.max_message_size(), 77);
        assert_eq!(policy.limits.subscriptions, 7);
        assert_eq!(policy.stomp.heartbeat.max.as_secs(), 70);
        assert_eq!(policy.stomp.outgoing, stomp::OutgoingKind::Binary);
        assert!(!policy.stomp.nack_requeue && policy.stomp.compat == route.compat);
        assert_eq!(policy.stomp.max_resume.as_secs(), 9);
        assert_eq!(policy.stomp.server.as_deref(), Some(SERVER));
        assert_eq!((policy.wamp.rpc.most_calls, policy.wamp.limits.depth), (5, 6));
    }
}
