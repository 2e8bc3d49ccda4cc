//! What a router passes on without reading it: the arguments of a message, and dictionaries whose
//! keys are between the peers.
//!
//! *Spec.* WAMP §Messages: a message ends with `Arguments|list` and `ArgumentsKw|dict`, or with the
//! first alone, or with neither.

use bytes::{Bytes, BytesMut};

use super::envelope::{Elements, Value};
use super::error::MessageError;
use super::id::Id;
use super::serializer::{Limits, Scalar, Serializer, Writer};
use super::transcode::{TranscodeError, transcode};
use crate::text::Text;

/// The arguments of a message, undecoded.
///
/// *Shape.* `args` is a list and `kwargs` a dictionary in the form of `serializer`. Decoded ones are
/// well-formed and share the allocation of the message. If there are `kwargs`, an encoded message
/// has `args` too, empty if need be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Payload {
    /// What both are written in.
    pub serializer: Serializer,
    /// `Arguments|list`.
    pub args: Option<Bytes>,
    /// `ArgumentsKw|dict`.
    pub kwargs: Option<Bytes>,
}

impl Payload {
    /// No arguments.
    pub const fn empty(serializer: Serializer) -> Self {
        Self { serializer, args: None, kwargs: None }
    }

    /// The same arguments in another serializer. Without a copy if it is the same one.
    ///
    /// *Errors.* What cannot be carried over, or goes beyond `limits`. *Cost.* Decodes and encodes;
    /// whoever sends a payload to many keeps the outcome.
    pub fn transcoded(&self, to: Serializer, limits: &Limits) -> Result<Self, TranscodeError> {
        let part = |part: &Option<Bytes>| {
            part.as_ref().map(|part| transcoded(self.serializer, part, to, limits)).transpose()
        };
        Ok(Self { serializer: to, args: part(&self.args)?, kwargs: part(&self.kwargs)? })
    }

    /// Elements at the end of a message.
    pub(super) const fn count(&self) -> usize {
        match (&self.args, &self.kwargs) {
            (_, Some(_)) => 2,
            (Some(_), None) => 1,
            (None, None) => 0,
        }
    }

    pub(super) fn size(&self) -> usize {
        let size = |part: &Option<Bytes>| part.as_ref().map_or(1, Bytes::len);
        size(&self.args) + size(&self.kwargs) + 3
    }

    /// What is left of a message.
    pub(super) fn decode(elements: &mut Elements<'_>) -> Result<Self, MessageError> {
        let serializer = elements.serializer();
        let args = match elements.next() {
            Some(value) if value.scalar() == Scalar::List => Some(value.to_bytes()),
            Some(value) => return Err(elements.unfit("Arguments", None, "a list", value)),
            None => None,
        };
        let kwargs = match elements.next() {
            Some(value) if value.scalar() == Scalar::Dict => Some(value.to_bytes()),
            Some(value) => return Err(elements.unfit("ArgumentsKw", None, "a dictionary", value)),
            None => None,
        };
        Ok(Self { serializer, args, kwargs })
    }

    pub(super) fn encode(
        &self,
        writer: &mut Writer,
        limits: &Limits,
    ) -> Result<(), TranscodeError> {
        match (&self.args, &self.kwargs) {
            (Some(args), _) => put(writer, self.serializer, args, limits)?,
            (None, Some(_)) => {
                writer.list(0);
                writer.end_list();
            }
            (None, None) => {}
        }
        match &self.kwargs {
            Some(kwargs) => put(writer, self.serializer, kwargs, limits),
            None => Ok(()),
        }
    }
}

/// A dictionary that is between the peers, undecoded: what a message says in `authextra`, say.
///
/// Of a key that is there twice, the last one counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dictionary {
    serializer: Serializer,
    bytes: Bytes,
}

impl Dictionary {
    /// One with nothing in it.
    pub const fn empty(serializer: Serializer) -> Self {
        let bytes: &[u8] = match serializer {
            Serializer::Json => b"{}",
            Serializer::MsgPack => b"\x80",
            Serializer::Cbor => b"\xa0",
        };
        Self { serializer, bytes: Bytes::from_static(bytes) }
    }

    /// One whose values are all texts.
    pub fn of_texts<'a>(
        serializer: Serializer,
        pairs: impl IntoIterator<Item = (&'a str, &'a str), IntoIter: ExactSizeIterator>,
    ) -> Self {
        let pairs = pairs.into_iter();
        let mut writer = Writer::new(serializer, 64);
        writer.dict(pairs.len());
        for (key, value) in pairs {
            writer.key(key);
            writer.text(value);
        }
        writer.end_dict();
        Self { serializer, bytes: writer.finish() }
    }

    /// What it is written in.
    pub const fn serializer(&self) -> Serializer {
        self.serializer
    }

    /// As it is written.
    pub const fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The text under a key; `None` also if something else is there.
    pub fn text(&self, key: &str) -> Option<Text> {
        self.value(key)?.text()
    }

    /// The integer under a key, likewise.
    pub fn unsigned(&self, key: &str) -> Option<u64> {
        self.value(key)?.unsigned()
    }

    /// The flag under a key, likewise.
    pub fn bool(&self, key: &str) -> Option<bool> {
        self.value(key)?.bool()
    }

    /// The dictionary under a key, likewise.
    pub fn dictionary(&self, key: &str) -> Option<Self> {
        Self::read(self.value(key)?)
    }

    /// The same in another serializer. Without a copy if it is the same one.
    ///
    /// *Errors.* What cannot be carried over, or goes beyond `limits`.
    pub fn transcoded(&self, to: Serializer, limits: &Limits) -> Result<Self, TranscodeError> {
        let bytes = transcoded(self.serializer, &self.bytes, to, limits)?;
        Ok(Self { serializer: to, bytes })
    }

    fn value(&self, key: &str) -> Option<Value<'_>> {
        let pairs = Value::whole(self.serializer, &self.bytes).dict()?;
        let is_wanted =
            |name: Value<'_>| matches!(name.scalar(), Scalar::Text(name) if name == key);
        pairs.filter(|(name, _)| is_wanted(*name)).last().map(|(_, value)| value)
    }

    /// `None` if the value is something else.
    pub(super) fn read(value: Value<'_>) -> Option<Self> {
        let is_dict = value.scalar() == Scalar::Dict;
        is_dict.then(|| Self { serializer: value.serializer, bytes: value.to_bytes() })
    }

    pub(super) fn write(&self, writer: &mut Writer, limits: &Limits) -> Result<(), TranscodeError> {
        put(writer, self.serializer, &self.bytes, limits)
    }
}

/// Any ID in a list, a key, or an element must be one.
pub(super) fn id(value: Value<'_>) -> Option<Id> {
    value.unsigned().and_then(Id::new)
}

fn transcoded(
    from: Serializer,
    bytes: &Bytes,
    to: Serializer,
    limits: &Limits,
) -> Result<Bytes, TranscodeError> {
    if from == to {
        return Ok(bytes.clone());
    }
    let mut out = BytesMut::with_capacity(bytes.len());
    transcode(from, bytes, to, limits, &mut out)?;
    Ok(out.freeze())
}

/// Writes a value that is written already, as it is if it can be.
fn put(
    writer: &mut Writer,
    from: Serializer,
    bytes: &Bytes,
    limits: &Limits,
) -> Result<(), TranscodeError> {
    let to = writer.serializer();
    let out = writer.raw();
    if from == to {
        out.extend_from_slice(bytes);
        return Ok(());
    }
    transcode(from, bytes, to, limits, out)
}
