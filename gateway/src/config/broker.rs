//! `[broker.NAME]`.

use std::collections::BTreeMap;

use protocols::auth::Secret;
use serde::{Deserialize, Serialize};

use super::units::ByteSize;
use super::values;

/// A broker; `kind` decides which other keys there are.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Broker {
    /// `kind = "embedded"`: in this process, in memory.
    Embedded(Embedded),
}

/// The embedded broker. Where it counts bytes, each message counts as its own and 520 more, and 72
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
    /// Most queues at a time that clients have named. Default 100,000.
    pub max_queues: usize,
    /// Most private queues at a time, each of one subscription to a topic or an exchange. Default
    /// 100,000.
    pub max_private_queues: usize,
    /// Most words of a topic's key or pattern. Default 32.
    pub max_topic_words: usize,
    /// Most `#` in a topic pattern. Default 4.
    pub max_topic_hashes: usize,
    /// Users that may log in from the gateway's own host only. Default `["guest"]`, which may
    /// stand although there is no such user.
    pub loopback_users: Vec<String>,
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
            max_queues: 100_000,
            max_private_queues: 100_000,
            max_topic_words: 32,
            max_topic_hashes: 4,
            loopback_users: vec!["guest".to_owned()],
            user: BTreeMap::from([("guest".to_owned(), guest)]),
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
