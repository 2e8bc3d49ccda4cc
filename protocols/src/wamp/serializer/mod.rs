//! The serializers of WAMP, and what is the same in all of them: recognizing a value without
//! decoding it.
//!
//! A router reads little of a message. The grammar of each format (`json.rs`, `msgpack.rs`,
//! `cbor.rs`) is therefore one of nom parsers that say where a value ends, and that the value is
//! well-formed; what a scalar says is decoded when a field is read. Nothing here is recursive: open
//! lists and dictionaries are on a stack whose height [`Limits`] bounds.
//!
//! *Spec.* WAMP §Serializers; RFC 8259, the MessagePack specification, RFC 8949.
//!
//! # What is refused
//! Faults of what is passed on would be found by its receivers, who have done nothing. So all of a
//! message is checked, its payload too: that texts are UTF-8, that lists and dictionaries are as long
//! as they say. Extensions of MessagePack, tags and undefined simple values of CBOR, and integers of
//! any size are let through: only [transcoding](super::transcode) cannot carry them. So is an escape of
//! JSON that is one half of a surrogate pair: JavaScript has such texts where it cut one in two, and
//! whoever takes JSON has to do with them. It is no text where the router reads one.

pub(super) mod cbor;
pub(super) mod json;
pub(super) mod msgpack;
mod scan;
mod writer;

use std::fmt;

pub(super) use scan::{Budget, Flaw, Items, Parsed, Scalar};
pub use scan::{Limits, Syntax};
pub(super) use writer::Writer;

/// How the messages of a session are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Serializer {
    /// JSON, in text messages.
    Json,
    /// MessagePack, in binary messages.
    MsgPack,
    /// CBOR, in binary messages.
    Cbor,
}

impl Serializer {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Json, Self::MsgPack, Self::Cbor];

    /// The WebSocket sub-protocol that stands for it (WAMP §WebSocket Transport).
    pub const fn subprotocol(self) -> &'static str {
        match self {
            Self::Json => "wamp.2.json",
            Self::MsgPack => "wamp.2.msgpack",
            Self::Cbor => "wamp.2.cbor",
        }
    }

    /// The serializer that the name of a WebSocket sub-protocol stands for.
    pub fn of_subprotocol(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|serializer| serializer.subprotocol() == name)
    }

    /// Whether its messages are text. If not, they are binary.
    pub const fn is_text(self) -> bool {
        matches!(self, Self::Json)
    }

    /// Recognizes one value.
    pub(super) fn skip<'a>(self, input: &'a [u8], budget: &mut Budget) -> Parsed<'a, ()> {
        match self {
            Self::Json => json::value(input, budget),
            Self::MsgPack => scan::value(input, msgpack::head, budget),
            Self::Cbor => scan::value(input, cbor::head, budget),
        }
    }

    /// Decodes the beginning of a value: all of a scalar, and of others what they are.
    pub(super) fn scalar(self, input: &[u8]) -> Parsed<'_, Scalar<'_>> {
        match self {
            Self::Json => json::scalar(input),
            Self::MsgPack => scan::scalar(input, msgpack::head),
            Self::Cbor => scan::scalar(input, cbor::head),
        }
    }

    /// Checks that `input` is one value and nothing else.
    pub(super) fn check(self, input: &[u8], budget: &mut Budget) -> Result<(), Flaw> {
        self.check_text(input)?;
        let (rest, ()) = self.skip(input, budget).map_err(Flaw::of)?;
        self.check_end(rest)
    }

    /// The part of the grammar of JSON that concerns the input as a whole: it is UTF-8.
    pub(super) fn check_text(self, input: &[u8]) -> Result<(), Flaw> {
        match self {
            Self::Json => std::str::from_utf8(input).map(drop).map_err(|error| Flaw {
                left: input.len() - error.valid_up_to(),
                syntax: Syntax::NotUtf8,
            }),
            Self::MsgPack | Self::Cbor => Ok(()),
        }
    }

    /// Checks that nothing follows a value: of JSON, nothing but blanks.
    pub(super) fn check_end(self, rest: &[u8]) -> Result<(), Flaw> {
        let rest = if self.is_text() { json::blanks(rest) } else { rest };
        match rest.len() {
            0 => Ok(()),
            left => Err(Flaw { left, syntax: Syntax::TrailingBytes }),
        }
    }
}

/// The name of the format.
impl fmt::Display for Serializer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Json => "JSON",
            Self::MsgPack => "MessagePack",
            Self::Cbor => "CBOR",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sub_protocol_stands_for_its_serializer() {
        for serializer in Serializer::ALL {
            let name = serializer.subprotocol();
            assert_eq!(Serializer::of_subprotocol(name), Some(serializer));
        }
        assert_eq!(Serializer::of_subprotocol("wamp.2.json.batched"), None);
    }
}
