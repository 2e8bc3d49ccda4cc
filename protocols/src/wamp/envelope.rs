//! The list that a message is: splitting it into elements, without decoding what they hold.
//!
//! Each element is recognized once, when the list is split. What is recognized is well-formed, so
//! that reading an option later cannot fail for its syntax, and a payload can be passed on as the
//! bytes that came.
//!
//! *Spec.* WAMP §Messages: a message is a list; its first element is the number of its type.

use std::borrow::Cow;

use bytes::Bytes;
use smallvec::SmallVec;

use super::error::{Field, MessageError, describe};
use super::message::MessageType;
use super::serializer::{Budget, Flaw, Items, Limits, Scalar, Serializer};
use crate::text::Text;

/// The most elements that a message of any type has: those of ERROR.
const MOST_ELEMENTS: usize = 7;

/// A value of a message, recognized but not decoded.
#[derive(Debug, Clone, Copy)]
pub(super) struct Value<'a> {
    pub(super) serializer: Serializer,
    /// What `bytes` are a part of.
    source: &'a Bytes,
    bytes: &'a [u8],
}

/// How clients in JavaScript say in MessagePack that an option has no value: an extension of theirs.
const UNDEFINED: &[u8] = b"\xd4\0\0";

impl<'a> Value<'a> {
    /// All of `source`, which must have been checked.
    pub(super) fn whole(serializer: Serializer, source: &'a Bytes) -> Self {
        Self { serializer, source, bytes: source }
    }

    fn part(self, bytes: &'a [u8]) -> Self {
        Self { bytes, ..self }
    }

    /// The value as it is written, sharing the allocation of the message.
    pub(super) fn to_bytes(self) -> Bytes {
        self.source.slice_ref(self.bytes)
    }

    /// What the value says if it is a scalar, or what else it is.
    pub(super) fn scalar(self) -> Scalar<'a> {
        if self.serializer == Serializer::MsgPack && self.bytes == UNDEFINED {
            return Scalar::Null;
        }
        // What was recognized can be decoded.
        self.serializer.scalar(self.bytes).map_or(Scalar::Null, |(_, scalar)| scalar)
    }

    pub(super) fn bool(self) -> Option<bool> {
        match self.scalar() {
            Scalar::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// An integer, whatever way it is written: as a float, up to 2^53.
    pub(super) fn unsigned(self) -> Option<u64> {
        match self.scalar() {
            Scalar::Unsigned(value) => Some(value),
            Scalar::Number(value) => integer(value),
            _ => None,
        }
    }

    /// An integer, and be it negative.
    pub(super) fn integer(self) -> Option<i128> {
        match self.scalar() {
            Scalar::Negative(value) => Some(-1 - i128::from(value)),
            _ => self.unsigned().map(i128::from),
        }
    }

    /// A text, but none that starts with NUL: to readers of JSON that is binary data (§Binary support in
    /// JSON).
    ///
    /// *Cost.* No copy, unless JSON has escapes in it or CBOR has it in parts.
    pub(super) fn text(self) -> Option<Text> {
        match self.scalar() {
            Scalar::Text(text) if text.starts_with('\0') => None,
            Scalar::Text(Cow::Borrowed(text)) => {
                Text::from_utf8(self.source.slice_ref(text.as_bytes())).ok()
            }
            Scalar::Text(Cow::Owned(text)) => Some(Text::from(text)),
            _ => None,
        }
    }

    /// The values of a list.
    pub(super) fn list(self) -> Option<impl Iterator<Item = Self>> {
        let items = self.open().filter(|items| !items.is_dict())?;
        Some(self.items(items))
    }

    /// Keys and values of a dictionary in their order, double keys included.
    pub(super) fn dict(self) -> Option<impl Iterator<Item = (Self, Self)>> {
        let items = self.open().filter(Items::is_dict)?;
        let mut items = self.items(items);
        Some(std::iter::from_fn(move || Some((items.next()?, items.next()?))))
    }

    fn open(self) -> Option<Items<'a>> {
        Items::open(self.serializer, self.bytes).ok().flatten()
    }

    fn items(self, mut items: Items<'a>) -> impl Iterator<Item = Self> {
        let mut budget = Budget::unlimited();
        std::iter::from_fn(move || {
            let item = items.next(&mut budget).ok().flatten()?;
            Some(self.part(item))
        })
    }
}

/// The integer that a double is, if it is one from 0 to 2^53: beyond, it stands for others too.
fn integer(value: f64) -> Option<u64> {
    const MOST: f64 = 9_007_199_254_740_992.0;
    let is_exact = (0.0..=MOST).contains(&value) && value.fract() == 0.0;
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is in range")]
    is_exact.then_some(value as u64)
}

/// The elements of a message, taken one after another.
#[derive(Debug)]
pub(super) struct Elements<'a> {
    message: MessageType,
    source: Value<'a>,
    /// Without the type.
    parts: SmallVec<[&'a [u8]; MOST_ELEMENTS]>,
    /// How many were there, the type included.
    count: usize,
    /// How many of `parts` were taken.
    taken: usize,
}

impl<'a> Elements<'a> {
    /// Splits a message.
    ///
    /// *Errors.* `Malformed`, `NotAList`, `Empty`, `UnknownType`.
    pub(super) fn split(
        serializer: Serializer,
        source: &'a Bytes,
        limits: &Limits,
    ) -> Result<Self, MessageError> {
        let malformed = |flaw: Flaw| MessageError::Malformed {
            serializer,
            at: source.len() - flaw.left,
            syntax: flaw.syntax,
        };
        let mut budget = Budget::new(*limits);
        serializer.check_text(source).map_err(malformed)?;
        let whole = Value::whole(serializer, source);
        let items = Items::open(serializer, source).map_err(malformed)?;
        let Some(mut items) = items.filter(|items| !items.is_dict()) else {
            serializer.check(source, &mut budget).map_err(malformed)?;
            return Err(MessageError::NotAList { got: describe(&whole.scalar()) });
        };
        let mut parts = SmallVec::new();
        let mut first = None;
        let mut count = 0;
        while let Some(part) = items.next(&mut budget).map_err(malformed)? {
            count += 1;
            if first.is_none() {
                first = Some(part);
            } else if parts.len() < MOST_ELEMENTS {
                parts.push(part);
            }
        }
        serializer.check_end(items.rest()).map_err(malformed)?;
        let kind = whole.part(first.ok_or(MessageError::Empty)?);
        let message = kind.unsigned().and_then(MessageType::of_code);
        let message =
            message.ok_or_else(|| MessageError::UnknownType { got: describe(&kind.scalar()) })?;
        Ok(Self { message, source: whole, parts, count, taken: 0 })
    }

    pub(super) const fn message(&self) -> MessageType {
        self.message
    }

    pub(super) const fn serializer(&self) -> Serializer {
        self.source.serializer
    }

    /// The next element, if there is one.
    pub(super) fn next(&mut self) -> Option<Value<'a>> {
        let part = *self.parts.get(self.taken)?;
        self.taken += 1;
        Some(self.source.part(part))
    }

    /// The next element, which must be there.
    pub(super) fn required(&mut self, field: &'static str) -> Result<Value<'a>, MessageError> {
        self.next().ok_or(MessageError::Missing { message: self.message, field })
    }

    /// The fault of an element that is something else than it must be.
    pub(super) fn unfit(
        &self,
        element: &'static str,
        key: Option<&'static str>,
        expected: &'static str,
        got: Value<'_>,
    ) -> MessageError {
        let got = describe(&got.scalar());
        MessageError::Unfit { message: self.message, field: Field { element, key }, expected, got }
    }

    /// *Errors.* `TooLong` if there are elements that nobody took.
    pub(super) fn finish(&self) -> Result<(), MessageError> {
        let most = self.taken + 1;
        if self.count > most {
            return Err(MessageError::TooLong { message: self.message, most, got: self.count });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wamp::serializer::Syntax;

    fn split(serializer: Serializer, source: &[u8]) -> Result<Vec<Vec<u8>>, MessageError> {
        let source = Bytes::copy_from_slice(source);
        let mut elements = Elements::split(serializer, &source, &Limits::DEFAULT)?;
        let mut parts = vec![elements.message().code().to_string().into_bytes()];
        while let Some(part) = elements.next() {
            parts.push(part.bytes.to_vec());
        }
        Ok(parts)
    }

    #[test]
    fn a_message_is_cut_between_its_elements() {
        let json = split(Serializer::Json, br#" [ 48 , 1, { } ,"a.b" , [1, [2]] ] "#).unwrap();
        assert_eq!(json, ["48", "1", "{ }", "\"a.b\"", "[1, [2]]"].map(str::as_bytes));
        let expected = ["48".as_bytes(), b"\x01", b"\xa0", b"\x61a"];
        assert_eq!(split(Serializer::Cbor, b"\x84\x18\x30\x01\xa0\x61a").unwrap(), expected);
        assert_eq!(split(Serializer::Cbor, b"\x9f\x18\x30\x01\xa0\x61a\xff").unwrap(), expected);
        assert_eq!(
            split(Serializer::MsgPack, b"\x93\x30\x01\x80").unwrap(),
            ["48".as_bytes(), b"\x01", b"\x80"]
        );
    }

    #[test]
    fn what_is_no_message_is_refused_with_what_came() {
        let json = |source: &str| split(Serializer::Json, source.as_bytes()).unwrap_err();
        let got = |got: &str| got.to_owned();
        assert_eq!(json("{}"), MessageError::NotAList { got: got("a dictionary") });
        assert_eq!(json("[]"), MessageError::Empty);
        assert_eq!(json("[-1]"), MessageError::UnknownType { got: got("the number -1") });
        assert_eq!(json("[7]"), MessageError::UnknownType { got: got("the number 7") });
        assert_eq!(
            json(r#"["CALL"]"#),
            MessageError::UnknownType { got: got(r#"the text "CALL""#) }
        );
        let malformed =
            |at, syntax| MessageError::Malformed { serializer: Serializer::Json, at, syntax };
        assert_eq!(json("[48,1,"), malformed(6, Syntax::CutShort));
        assert_eq!(json("[48] x"), malformed(5, Syntax::TrailingBytes));
        assert_eq!(json("5 5"), malformed(2, Syntax::TrailingBytes));
        let long = format!("[\"{}\"]", "x".repeat(1000));
        assert!(json(&long).to_string().len() < 200);
    }

    #[test]
    fn the_depth_counts_the_message() {
        let limits = Limits { depth: 2, ..Limits::DEFAULT };
        let split = |source: &'static [u8]| {
            Elements::split(Serializer::Json, &Bytes::from_static(source), &limits).map(drop)
        };
        assert_eq!(split(b"[48,[1]]"), Ok(()));
        let syntax = Syntax::TooDeep { limit: 2 };
        let serializer = Serializer::Json;
        assert_eq!(split(b"[48,[[]]]"), Err(MessageError::Malformed { serializer, at: 5, syntax }));
    }
}
