//! `[broker.NAME]`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use broker_adapters::embedded;
use broker_adapters::rabbitmq::{self, Endpoint};
use protocols::auth::Secret;
use protocols::text::Text;
use serde::{Deserialize, Serialize};

use super::units::{ByteSize, Millis};
use super::values;

/// A broker; `kind` decides which other keys there are.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Broker {
    /// `kind = "embedded"`: in this process, in memory.
    Embedded(Embedded),
    /// `kind = "rabbitmq"`: a RabbitMQ, reached over AMQP 0-9-1.
    Rabbitmq(Rabbitmq),
}

/// Users that RabbitMQ lets in from its own host only, and so does the gateway.
fn loopback_users() -> Vec<String> {
    vec!["guest".to_owned()]
}

/// The embedded broker. Where it counts bytes, each message counts as its own and 536 more, and 72
/// for each header, or value in one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Embedded {
    /// Its virtual hosts. Default `["/"]`.
    pub vhosts: Vec<String>,
    /// Bytes of messages kept in memory at which publishers are held back. Default 256 MiB.
    pub memory_limit: ByteSize,
    /// Bytes of undelivered messages handed to one connection at a time. Default 1 MiB.
    pub link_buffer: ByteSize,
    /// Bytes waiting in the private queue of one topic subscription before that subscription is
    /// ended as too slow. Default 64 MiB.
    pub private_queue_bytes: ByteSize,
    /// Messages that wait at most for a subscription of a session that can be resumed. Default 10,000.
    pub resume_messages: usize,
    /// Bytes of such messages. Default 4 MiB.
    pub resume_bytes: ByteSize,
    /// Most queues at a time that clients have named. Default 100,000.
    pub max_queues: usize,
    /// Most private queues at a time, each of one subscription to a topic or an exchange. Default
    /// 100,000.
    pub max_private_queues: usize,
    /// Most words of a topic's key or pattern. Default 32.
    pub max_topic_words: usize,
    /// Most `#` in a topic pattern. Default 4.
    pub max_topic_hashes: usize,
    /// Most bytes of the arguments of one queue and its binding. Default 4 KiB.
    pub max_argument_bytes: ByteSize,
    /// Users that may log in from the gateway's own host only. Default `["guest"]`, which may
    /// stand although there is no such user.
    pub loopback_users: Vec<String>,
    /// `[broker.NAME.exchange.NAME]`. Default: none but the predeclared ones.
    pub exchange: BTreeMap<String, Exchange>,
    /// `[broker.NAME.user.LOGIN]`. Default: `guest` with passcode `guest`.
    pub user: BTreeMap<String, User>,
}

impl Default for Embedded {
    fn default() -> Self {
        let guest = User { passcode: Secret::new("guest"), vhosts: None };
        Self {
            vhosts: vec!["/".to_owned()],
            memory_limit: ByteSize(256 << 20),
            link_buffer: ByteSize(1 << 20),
            private_queue_bytes: ByteSize(64 << 20),
            resume_messages: 10_000,
            resume_bytes: ByteSize(4 << 20),
            max_queues: 100_000,
            max_private_queues: 100_000,
            max_topic_words: 32,
            max_topic_hashes: 4,
            max_argument_bytes: ByteSize(4 << 10),
            loopback_users: loopback_users(),
            exchange: BTreeMap::new(),
            user: BTreeMap::from([("guest".to_owned(), guest)]),
        }
    }
}

/// An exchange of the embedded broker, beside the predeclared ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    /// How it routes. No default.
    pub kind: ExchangeKind,
    /// Whether only dead letters reach it, and not what clients publish. Default false.
    #[serde(default)]
    pub internal: bool,
    /// Virtual hosts it is in. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vhosts: Option<Vec<String>>,
}

/// AMQP 0-9-1's types of exchanges.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExchangeKind {
    /// By the key.
    Direct,
    /// To all that are bound.
    Fanout,
    /// By the key, as a pattern.
    Topic,
    /// By headers.
    Headers,
}

impl From<ExchangeKind> for embedded::ExchangeKind {
    fn from(kind: ExchangeKind) -> Self {
        match kind {
            ExchangeKind::Direct => Self::Direct,
            ExchangeKind::Fanout => Self::Fanout,
            ExchangeKind::Topic => Self::Topic,
            ExchangeKind::Headers => Self::Headers,
        }
    }
}

/// A user of the embedded broker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// What it logs in with.
    #[serde(deserialize_with = "values::secret", serialize_with = "values::redact")]
    pub passcode: Secret,
    /// Virtual hosts it may use. Default: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vhosts: Option<Vec<String>>,
}

/// A RabbitMQ; see [`rabbitmq::Settings`], whose defaults these are.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rabbitmq {
    /// Where it listens; tried in turn. No default.
    #[serde(deserialize_with = "values::endpoints", serialize_with = "values::show_endpoints")]
    pub url: Vec<Endpoint>,
    /// A PEM file of the certificate authorities to trust for `amqps`. Default: the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls_ca: Option<PathBuf>,
    /// Longest time for opening one connection.
    pub connect_timeout: Millis,
    /// AMQP heart-beats, in whole seconds: a broker that is silent for twice as long is given up.
    pub heartbeat: Millis,
    /// How long an open connection vouches for the login it was opened with.
    pub login_cache: Millis,
    /// How long a connection stays open when nobody uses it.
    pub idle_timeout: Millis,
    /// Most identities, each of virtual host, login and passcode, with connections at a time.
    pub max_identities: usize,
    /// Bytes of the largest AMQP frame on connections that publish.
    pub publish_frame_size: ByteSize,
    /// Messages of one client that the broker has not confirmed yet, before it is held back.
    pub window_messages: usize,
    /// Bytes of such messages.
    pub window_bytes: ByteSize,
    /// Publishing channels that the sessions of a service login share.
    pub shared_channels: usize,
    /// How long sessions wait for a broker that went away.
    pub recovery_timeout: Millis,
    /// Messages that are handed over before they are distributed to those who share a subscription.
    pub inbox_prefetch: u16,
    /// How long an inbox, the queue behind topics that sessions share, collects for a gateway that
    /// lost its connection.
    pub inbox_expires: Millis,
    /// Messages that wait in an inbox at most, before its subscribers are told that some are lost.
    pub inbox_messages: usize,
    /// Messages that wait at most for a subscription of a session that can be resumed.
    pub resume_messages: usize,
    /// Bytes of their bodies, likewise.
    pub resume_bytes: ByteSize,
    /// The exchange that topics live in.
    pub topic_exchange: String,
    /// What the names of queues begin with that the gateway makes.
    pub queue_prefix: String,
    /// Users that may log in from the gateway's own host only. Default `["guest"]`.
    pub loopback_users: Vec<String>,
}

impl Default for Rabbitmq {
    fn default() -> Self {
        let rabbitmq::Settings {
            endpoints,
            tls_ca,
            connect_timeout,
            heartbeat,
            login_cache,
            idle_timeout,
            max_identities,
            publish_frame_size,
            window_messages,
            window_bytes,
            shared_channels,
            recovery_timeout,
            inbox_expires,
            inbox_messages,
            resume_messages,
            resume_bytes,
            topic_exchange,
            queue_prefix,
            ..
        } = rabbitmq::Settings::default();
        Self {
            url: endpoints,
            tls_ca,
            connect_timeout: Millis(connect_timeout),
            heartbeat: Millis(heartbeat),
            login_cache: Millis(login_cache),
            idle_timeout: Millis(idle_timeout),
            max_identities,
            publish_frame_size: ByteSize(publish_frame_size),
            window_messages,
            window_bytes: ByteSize(window_bytes),
            shared_channels,
            recovery_timeout: Millis(recovery_timeout),
            inbox_prefetch: 1_000,
            inbox_expires: Millis(inbox_expires),
            inbox_messages,
            resume_messages,
            resume_bytes: ByteSize(resume_bytes),
            topic_exchange: topic_exchange.as_str().to_owned(),
            queue_prefix: queue_prefix.as_str().to_owned(),
            loopback_users: loopback_users(),
        }
    }
}

impl From<&Rabbitmq> for rabbitmq::Settings {
    fn from(broker: &Rabbitmq) -> Self {
        Self {
            endpoints: broker.url.clone(),
            tls_ca: broker.tls_ca.clone(),
            connect_timeout: broker.connect_timeout.0,
            heartbeat: broker.heartbeat.0,
            login_cache: broker.login_cache.0,
            idle_timeout: broker.idle_timeout.0,
            max_identities: broker.max_identities,
            publish_frame_size: broker.publish_frame_size.0,
            window_messages: broker.window_messages,
            window_bytes: broker.window_bytes.0,
            shared_channels: broker.shared_channels,
            recovery_timeout: broker.recovery_timeout.0,
            inbox_expires: broker.inbox_expires.0,
            inbox_messages: broker.inbox_messages,
            resume_messages: broker.resume_messages,
            resume_bytes: broker.resume_bytes.0,
            topic_exchange: Text::from(broker.topic_exchange.as_str()),
            queue_prefix: Text::from(broker.queue_prefix.as_str()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_rabbitmq_that_says_nothing_is_used_with_the_adapters_defaults() {
        assert_eq!(rabbitmq::Settings::from(&Rabbitmq::default()), rabbitmq::Settings::default());
    }

    #[test]
    fn what_is_said_of_a_rabbitmq_reaches_the_adapter() {
        let broker = Rabbitmq {
            url: vec!["amqps://mq".parse().unwrap()],
            tls_ca: Some("ca.pem".into()),
            heartbeat: Millis::seconds(7),
            window_bytes: ByteSize(77),
            inbox_expires: Millis::seconds(8),
            inbox_messages: 9,
            resume_messages: 10,
            resume_bytes: ByteSize(11),
            queue_prefix: "mine-".to_owned(),
            ..Rabbitmq::default()
        };
        let expected = rabbitmq::Settings {
            endpoints: vec![Endpoint { tls: true, host: "mq".to_owned(), port: 5671 }],
            tls_ca: Some("ca.pem".into()),
            heartbeat: Duration::from_secs(7),
            window_bytes: 77,
            inbox_expires: Duration::from_secs(8),
            inbox_messages: 9,
            resume_messages: 10,
            resume_bytes: 11,
            queue_prefix: Text::from_static("mine-"),
            ..rabbitmq::Settings::default()
        };
        assert_eq!(rabbitmq::Settings::from(&broker), expected);
    }
}
