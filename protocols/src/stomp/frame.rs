//! The parts of a STOMP frame: [`Verb`], [`Headers`], [`Frame`]. Slices of the input they came in.

use bytes::Bytes;
use smallvec::SmallVec;

use crate::text::Text;

/// A STOMP command (the specification's word is *command*; here that is the broker port's).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Client.
    Connect,
    /// Client; the same as CONNECT since 1.1.
    Stomp,
    /// Client; the one client frame with a body.
    Send,
    /// Client.
    Subscribe,
    /// Client.
    Unsubscribe,
    /// Client.
    Begin,
    /// Client.
    Commit,
    /// Client.
    Abort,
    /// Client.
    Ack,
    /// Client; since 1.1.
    Nack,
    /// Client.
    Disconnect,
    /// Server.
    Connected,
    /// Server; has a body.
    Message,
    /// Server.
    Receipt,
    /// Server; has a body.
    Error,
}

/// The longest verb: UNSUBSCRIBE.
pub const LONGEST_VERB: usize = 11;

impl Verb {
    /// As on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "CONNECT",
            Self::Stomp => "STOMP",
            Self::Send => "SEND",
            Self::Subscribe => "SUBSCRIBE",
            Self::Unsubscribe => "UNSUBSCRIBE",
            Self::Begin => "BEGIN",
            Self::Commit => "COMMIT",
            Self::Abort => "ABORT",
            Self::Ack => "ACK",
            Self::Nack => "NACK",
            Self::Disconnect => "DISCONNECT",
            Self::Connected => "CONNECTED",
            Self::Message => "MESSAGE",
            Self::Receipt => "RECEIPT",
            Self::Error => "ERROR",
        }
    }

    /// The verb with this spelling; verbs are upper case.
    pub fn parse(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"CONNECT" => Self::Connect,
            b"STOMP" => Self::Stomp,
            b"SEND" => Self::Send,
            b"SUBSCRIBE" => Self::Subscribe,
            b"UNSUBSCRIBE" => Self::Unsubscribe,
            b"BEGIN" => Self::Begin,
            b"COMMIT" => Self::Commit,
            b"ABORT" => Self::Abort,
            b"ACK" => Self::Ack,
            b"NACK" => Self::Nack,
            b"DISCONNECT" => Self::Disconnect,
            b"CONNECTED" => Self::Connected,
            b"MESSAGE" => Self::Message,
            b"RECEIPT" => Self::Receipt,
            b"ERROR" => Self::Error,
            _ => return None,
        })
    }

    /// Whether only servers send it.
    pub const fn is_server_only(self) -> bool {
        matches!(self, Self::Connected | Self::Message | Self::Receipt | Self::Error)
    }
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub verb: Verb,
    /// Its headers, unescaped.
    pub headers: Headers,
    /// Its body; empty for verbs that have none.
    pub body: Bytes,
}

/// The headers of a frame, in their order, repeated ones included.
///
/// *Shape.* One shared buffer and a list of places in it; a header that had to be unescaped is on
/// its own. Looking one up is a scan: frames have few headers.
#[derive(Debug, Clone, Default)]
pub struct Headers {
    /// The head of the frame as it came.
    head: Text,
    entries: SmallVec<[Entry; 12]>,
}

/// Where the parts of one header are.
#[derive(Debug, Clone)]
enum Entry {
    /// `head[name.0..name.1]` and `head[value.0..value.1]`.
    Slice { name: (u32, u32), value: (u32, u32) },
    /// Unescaped into allocations of their own.
    Owned { name: Text, value: Text },
}

impl Headers {
    /// The value of the first header of this name (STOMP 1.2 §Repeated Header Entries).
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// As [`get`](Self::get), sharing the frame's buffer.
    pub fn text(&self, name: &str) -> Option<Text> {
        self.iter_text().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// All headers in their order, repeated ones included.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|entry| match entry {
            Entry::Slice { name, value } => (self.part(*name), self.part(*value)),
            Entry::Owned { name, value } => (name.as_str(), value.as_str()),
        })
    }

    /// As [`iter`](Self::iter), sharing the frame's buffer.
    pub fn iter_text(&self) -> impl Iterator<Item = (Text, Text)> {
        self.entries.iter().map(|entry| match entry {
            Entry::Slice { name, value } => {
                (self.head.slice(self.part(*name)), self.head.slice(self.part(*value)))
            }
            Entry::Owned { name, value } => (name.clone(), value.clone()),
        })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn part(&self, (start, end): (u32, u32)) -> &str {
        &self.head[start as usize..end as usize]
    }
}

impl PartialEq for Headers {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Headers {}
