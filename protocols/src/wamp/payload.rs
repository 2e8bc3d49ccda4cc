//! What a router passes on without reading it: the arguments of a message, and dictionaries whose
//! keys are between the peers.
//!
//! *Spec.* WAMP §Messages: a message ends with `Arguments|list` and `ArgumentsKw|dict`, or with the
//! first alone, or with neither. Left open there: null in the place of one is as none.

use bytes::{Bytes, BytesMut};

use super::envelope::{Elements, Value};
use super::error::{MessageError, describe};
use super::id::Id;
use super::message::Entries;
use super::serializer::cbor;
use super::serializer::{Budget, Flaw, Limits, Scalar, Serializer, Syntax, Writer};
use super::transcode::{TranscodeError, transcode};
use crate::text::Text;

/// The arguments of a message, undecoded.
///
/// *Shape.* `args` is a list and `kwargs` a dictionary in the form of `serializer`. Those of a decoded
/// message, and of [`of_body`](Self::of_body), are well-formed and share its allocation; whoever makes
/// others vouches for them, since they are written as they are. If there are `kwargs`, an encoded message
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

    /// A text as the only argument.
    pub fn of_text(serializer: Serializer, text: &str) -> Self {
        Self::of_one(serializer, text.len(), |writer| writer.text(text))
    }

    /// Binary data as the only argument. In CBOR: JSON has none, and gets it by
    /// [transcoding](Self::transcoded).
    pub fn of_binary(bytes: &[u8]) -> Self {
        let put = |writer: &mut Writer| cbor::put_binary(writer.raw(), bytes);
        Self::of_one(Serializer::Cbor, bytes.len(), put)
    }

    /// A value that is written in this serializer as the only argument.
    ///
    /// *Errors.* It is not well-formed, or goes beyond `limits`.
    pub fn of_value(
        serializer: Serializer,
        value: &Bytes,
        limits: &Limits,
    ) -> Result<Self, BodyError> {
        serializer.check(value, &mut Budget::new(*limits)).map_err(|flaw| {
            let at = value.len() - flaw.left;
            BodyError::Malformed { serializer, at, syntax: flaw.syntax }
        })?;
        let put = |writer: &mut Writer| writer.raw().extend_from_slice(value);
        Ok(Self::of_one(serializer, value.len(), put))
    }

    fn of_one(serializer: Serializer, size: usize, put: impl FnOnce(&mut Writer)) -> Self {
        let mut writer = Writer::new(serializer, size + 16);
        writer.list(1);
        put(&mut writer);
        writer.end_list();
        Self { serializer, args: Some(writer.finish()), kwargs: None }
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

    /// The arguments of which a list of their own consists, as they travel where no message is
    /// around them: `[]`, `[args]` or `[args, kwargs]`, of which each may be null.
    ///
    /// *Shape.* What comes out shares the allocation of `body`. *Errors.* What is no such list, or
    /// goes beyond `limits`.
    pub fn of_body(
        serializer: Serializer,
        body: &Bytes,
        limits: &Limits,
    ) -> Result<Self, BodyError> {
        let malformed = |flaw: Flaw| BodyError::Malformed {
            serializer,
            at: body.len() - flaw.left,
            syntax: flaw.syntax,
        };
        serializer.check(body, &mut Budget::new(*limits)).map_err(malformed)?;
        let whole = Value::whole(serializer, body);
        let unfit = |expected, value: Value<'_>| BodyError::Unfit {
            expected,
            got: describe(&value.scalar()),
        };
        let mut parts = whole.list().ok_or_else(|| unfit("a list", whole))?;
        let mut part = |kind: &Scalar<'_>, expected| {
            part(parts.next(), kind).map_err(|value| unfit(expected, value))
        };
        let args = part(&Scalar::List, "a list of arguments")?;
        let kwargs = part(&Scalar::Dict, "a dictionary of arguments")?;
        match parts.next() {
            Some(value) => Err(unfit("the end after both kinds of arguments", value)),
            None => Ok(Self::of_parts(serializer, args, kwargs)),
        }
    }

    /// The arguments as a list of their own, which [`of_body`](Self::of_body) reads.
    ///
    /// *Cost.* One allocation, one copy.
    pub fn to_body(&self) -> Bytes {
        let mut writer = Writer::new(self.serializer, self.size());
        writer.list(self.count());
        self.encode(&mut writer, &Limits::DEFAULT).expect("it is in this serializer already");
        writer.end_list();
        writer.finish()
    }

    /// Elements at the end of a message.
    pub(super) const fn count(&self) -> usize {
        match (&self.args, &self.kwargs) {
            (_, Some(_)) => 2,
            (Some(_), None) => 1,
            (None, None) => 0,
        }
    }

    /// Bytes that it takes at the end of a message, or some more.
    pub fn size(&self) -> usize {
        let size = |part: &Option<Bytes>| part.as_ref().map_or(1, Bytes::len);
        size(&self.args) + size(&self.kwargs) + 3
    }

    /// What is left of a message.
    pub(super) fn decode(elements: &mut Elements<'_>) -> Result<Self, MessageError> {
        let serializer = elements.serializer();
        let args = part(elements.next(), &Scalar::List)
            .map_err(|value| elements.unfit("Arguments", None, "a list", value))?;
        let kwargs = part(elements.next(), &Scalar::Dict)
            .map_err(|value| elements.unfit("ArgumentsKw", None, "a dictionary", value))?;
        Ok(Self::of_parts(serializer, args, kwargs))
    }

    /// As they are written if there is no null among them: with empty `args` if there are `kwargs`.
    fn of_parts(serializer: Serializer, args: Option<Bytes>, kwargs: Option<Bytes>) -> Self {
        let empty: &[u8] = match serializer {
            Serializer::Json => b"[]",
            Serializer::MsgPack => b"\x90",
            Serializer::Cbor => b"\x80",
        };
        let args = args.or_else(|| kwargs.is_some().then_some(Bytes::from_static(empty)));
        Self { serializer, args, kwargs }
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

/// Bytes that are not the arguments of a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// The bytes are not one value of the serializer.
    #[error("{}", syntax.sentence(*serializer, *at))]
    Malformed {
        /// What they should be.
        serializer: Serializer,
        /// Bytes before the fault.
        at: usize,
        /// The fault.
        syntax: Syntax,
    },
    /// The value, or a part of it, is something else than it must be.
    #[error("{expected} must come here, not {got}")]
    Unfit {
        /// What must come.
        expected: &'static str,
        /// What came, cut to what can be shown.
        got: String,
    },
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

    /// One of options, or what is written as they are.
    ///
    /// *Errors.* As those of [`transcoded`](Self::transcoded), if there is a dictionary in it.
    pub(super) fn of_entries(
        serializer: Serializer,
        entries: &impl Entries,
        limits: &Limits,
    ) -> Result<Self, TranscodeError> {
        let mut writer = Writer::new(serializer, entries.size() + 8);
        writer.dict(entries.count());
        entries.write_entries(&mut writer, limits)?;
        writer.end_dict();
        Ok(Self { serializer, bytes: writer.finish() })
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
        let is_wanted =
            |name: Value<'_>| matches!(name.scalar(), Scalar::Text(name) if name == key);
        self.pairs().filter(|(name, _)| is_wanted(*name)).last().map(|(_, value)| value)
    }

    /// Keys and values in their order, double keys included.
    pub(super) fn pairs(&self) -> impl Iterator<Item = (Value<'_>, Value<'_>)> {
        Value::whole(self.serializer, &self.bytes).dict().into_iter().flatten()
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

/// Arguments of one kind, of which there may be none. The error is what came instead.
#[inline]
fn part<'a>(value: Option<Value<'a>>, kind: &Scalar<'_>) -> Result<Option<Bytes>, Value<'a>> {
    let Some(value) = value else {
        return Ok(None);
    };
    match value.scalar() {
        scalar if scalar == *kind => Ok(Some(value.to_bytes())),
        Scalar::Null => Ok(None),
        _ => Err(value),
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
pub(super) fn put(
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

#[cfg(test)]
mod tests {
    use super::*;

    fn of_body(serializer: Serializer, body: &'static [u8]) -> Result<Payload, BodyError> {
        Payload::of_body(serializer, &Bytes::from_static(body), &Limits::DEFAULT)
    }

    #[test]
    fn arguments_travel_as_a_list_of_their_own() {
        for (serializer, body) in [
            (Serializer::Json, &b"[]"[..]),
            (Serializer::Json, b"[[1,2]]"),
            (Serializer::Json, br#"[[],{"a":1}]"#),
            (Serializer::MsgPack, b"\x92\x91\x01\x81\xa1a\x02"),
            (Serializer::Cbor, b"\x82\x81\x01\xa1\x61a\x02"),
        ] {
            assert_eq!(of_body(serializer, body).unwrap().to_body(), body);
        }
        let payload = of_body(Serializer::Cbor, b"\x9f\x81\x01\xa0\xff").unwrap();
        assert_eq!(payload.args.as_deref(), Some(&b"\x81\x01"[..]));
        assert_eq!(payload.kwargs.as_deref(), Some(&b"\xa0"[..]));
        let kwargs = Some(Bytes::from_static(b"{}"));
        let payload = Payload { serializer: Serializer::Json, args: None, kwargs };
        assert_eq!(payload.to_body(), "[[],{}]");
        let null_args = of_body(Serializer::Json, b"[null,{}]").unwrap();
        assert_eq!(null_args.to_body(), "[[],{}]");
        assert_eq!(of_body(Serializer::Json, b"[[],null]").unwrap().to_body(), "[[]]");
        assert_eq!(of_body(Serializer::Json, b"[null,null]").unwrap().to_body(), "[]");
    }

    #[test]
    fn one_argument_is_a_list_of_it() {
        let args = |payload: Payload| payload.args.unwrap();
        assert_eq!(args(Payload::of_text(Serializer::Json, "a\"")), r#"["a\""]"#);
        assert_eq!(args(Payload::of_text(Serializer::MsgPack, "a")), &b"\x91\xa1a"[..]);
        let binary = Payload::of_binary(b"\0\xff");
        assert_eq!(args(binary.clone()), &b"\x81\x42\0\xff"[..]);
        let json = binary.transcoded(Serializer::Json, &Limits::DEFAULT).unwrap();
        assert_eq!(args(json), r#"["\u0000AP8="]"#);
        let of_value = |value: &'static [u8]| {
            Payload::of_value(Serializer::Json, &Bytes::from_static(value), &Limits::DEFAULT)
        };
        assert_eq!(args(of_value(b" {\"a\": 1} ").unwrap()), "[ {\"a\": 1} ]");
        let error = of_value(b"1]").unwrap_err().to_string();
        assert_eq!(error, "this is not JSON: something follows the value, at byte 1");
    }

    #[test]
    fn what_is_no_such_list_is_refused() {
        let sentence = |body| of_body(Serializer::Json, body).unwrap_err().to_string();
        assert_eq!(sentence(b"{}"), "a list must come here, not a dictionary");
        assert_eq!(sentence(b"[1]"), "a list of arguments must come here, not the number 1");
        assert_eq!(sentence(b"[[],[]]"), "a dictionary of arguments must come here, not a list");
        assert_eq!(
            sentence(b"[[],{},null]"),
            "the end after both kinds of arguments must come here, not null"
        );
        assert_eq!(sentence(b"[[]"), "this is not JSON: it ends inside a value, at byte 3");
    }
}
