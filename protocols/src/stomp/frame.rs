//! The parts of a STOMP frame: [`Verb`], [`Headers`], [`Frame`].
//!
//! Data only: slices of the input they came in. What a verb means, which headers it needs and
//! which values they may have is the session's business (STOMP 1.2 §STOMP Frames).

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
    /// Every verb: those of clients, then those of servers.
    pub const ALL: [Self; 15] = [
        Self::Connect,
        Self::Stomp,
        Self::Send,
        Self::Subscribe,
        Self::Unsubscribe,
        Self::Begin,
        Self::Commit,
        Self::Abort,
        Self::Ack,
        Self::Nack,
        Self::Disconnect,
        Self::Connected,
        Self::Message,
        Self::Receipt,
        Self::Error,
    ];

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
/// *Shape.* One shared buffer, the head, and the place of each header in it. A head that held
/// escapes is an unescaped copy, any other is a slice of the input. Looking a header up is a scan:
/// frames have few headers.
#[derive(Debug, Clone, Default)]
pub struct Headers {
    head: Text,
    lines: SmallVec<[HeaderLine; INLINE_HEADERS]>,
}

/// Up to this many headers a frame needs no allocation for the list of them.
const INLINE_HEADERS: usize = 10;

/// Where one header lies in its head: `head[start..colon]` is the name, `head[colon + 1..end]` the
/// value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeaderLine {
    /// First byte of the name.
    pub start: u32,
    /// The byte between name and value.
    pub colon: u32,
    /// First byte after the value.
    pub end: u32,
}

impl Headers {
    /// The headers that lie at `lines` in `head`.
    ///
    /// *Order.* Every place must lie inside `head`, its parts in order and cut between characters;
    /// a look-up panics otherwise.
    #[inline]
    pub fn from_lines(head: Text, lines: &[HeaderLine]) -> Self {
        Self { head, lines: SmallVec::from_slice(lines) }
    }

    /// The value of the first header of this name (STOMP 1.2 §Repeated Header Entries).
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// As [`get`](Self::get), sharing the frame's buffer.
    pub fn text(&self, name: &str) -> Option<Text> {
        self.get(name).map(|value| self.head.slice(value))
    }

    /// `part`, a slice of one of these headers, sharing the frame's buffer.
    ///
    /// # Panics
    /// If `part` does not lie inside one of these headers.
    pub fn share(&self, part: &str) -> Text {
        self.head.slice(part)
    }

    /// All headers in their order, repeated ones included.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.lines.iter().map(|line| {
            let (start, colon, end) = (line.start as usize, line.colon as usize, line.end as usize);
            (&self.head[start..colon], &self.head[colon + 1..end])
        })
    }

    /// As [`iter`](Self::iter), sharing the frame's buffer.
    pub fn iter_text(&self) -> impl Iterator<Item = (Text, Text)> {
        self.iter().map(|(name, value)| (self.head.slice(name), self.head.slice(value)))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

/// Equal if they hold the same names and values in the same order, wherever these lie.
impl PartialEq for Headers {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Headers {}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers() -> Headers {
        let lines = [
            HeaderLine { start: 0, colon: 1, end: 3 },
            HeaderLine { start: 4, colon: 5, end: 7 },
            HeaderLine { start: 8, colon: 8, end: 9 },
        ];
        Headers::from_lines(Text::from_static("a:1\na:2\n:\n"), &lines)
    }

    #[test]
    fn the_first_of_repeated_headers_is_found_and_all_are_listed() {
        let headers = headers();
        assert_eq!(headers.get("a"), Some("1"));
        assert_eq!(headers.get("b"), None);
        assert_eq!(headers.iter().collect::<Vec<_>>(), [("a", "1"), ("a", "2"), ("", "")]);
        assert_eq!(headers.len(), 3);
    }

    #[test]
    fn texts_share_the_buffer_of_the_head() {
        let headers = headers();
        let value = headers.text("a").unwrap();
        assert_eq!(value.as_ptr(), headers.get("a").unwrap().as_ptr());
        assert!(headers.iter_text().all(|(name, _)| name == "a" || name.is_empty()));
    }

    #[test]
    fn every_verb_is_parsed_from_its_own_spelling_and_none_is_longer_than_the_longest() {
        for verb in Verb::ALL {
            assert_eq!(Verb::parse(verb.as_str().as_bytes()), Some(verb));
            assert!(verb.as_str().len() <= LONGEST_VERB);
        }
        assert_eq!(Verb::parse(b"send"), None, "verbs are upper case");
    }
}
