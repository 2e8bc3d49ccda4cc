//! [`Private`]: options that the specification leaves to those who use them.
//!
//! *Spec.* WAMP §Messages: keys that begin with `_` are for private use. Of a key that is there twice, the
//! last one counts, and one whose value is null is as one that is not there, as for all options.

use std::borrow::Cow;

use bytes::Bytes;

use crate::text::Text;
use crate::wamp::envelope::Value;
use crate::wamp::payload::{Dictionary, put};
use crate::wamp::serializer::{Limits, Scalar, Serializer, Writer};
use crate::wamp::transcode::TranscodeError;

/// What a dictionary of options says under keys that begin with `_`, undecoded.
///
/// *Shape.* Shares the allocation of the message. *Cost.* To read one is to go through all options.
#[derive(Debug, Clone, Default)]
pub struct Private(
    /// All options, of which the others are left out of account. `None` if there are only others, as
    /// there are nearly always: it takes little room then.
    Option<Box<Dictionary>>,
);

impl Private {
    /// No such key.
    pub const NONE: Self = Self(None);

    /// Whether a key is private.
    pub(super) fn is_one(key: &str) -> bool {
        key.starts_with('_')
    }

    /// Those among `options`.
    pub(super) fn of(options: Value<'_>) -> Self {
        Self(Dictionary::read(options).map(Box::new))
    }

    /// The flag under a private key; `None` also if something else is there.
    pub fn bool(&self, key: &str) -> Option<bool> {
        self.options(key)?.bool(key)
    }

    /// The integer under a private key, likewise.
    pub fn unsigned(&self, key: &str) -> Option<u64> {
        self.options(key)?.unsigned(key)
    }

    /// The text under a private key, likewise.
    pub fn text(&self, key: &str) -> Option<Text> {
        self.options(key)?.text(key)
    }

    /// The dictionary under a private key, likewise.
    pub fn dictionary(&self, key: &str) -> Option<Dictionary> {
        self.options(key)?.dictionary(key)
    }

    fn options(&self, key: &str) -> Option<&Dictionary> {
        self.0.as_deref().filter(|_| Self::is_one(key))
    }

    /// Keys and values as they are written.
    fn entries(&self) -> impl Iterator<Item = (Serializer, Cow<'_, str>, Bytes)> {
        let pairs = self.0.iter().flat_map(|options| options.pairs());
        pairs.filter_map(|(key, value)| match key.scalar() {
            Scalar::Text(key) if Self::is_one(&key) && value.scalar() != Scalar::Null => {
                Some((value.serializer, key, value.to_bytes()))
            }
            _ => None,
        })
    }

    #[inline]
    pub(super) fn count(&self) -> usize {
        if self.0.is_none() { 0 } else { self.entries().count() }
    }

    #[inline]
    pub(super) fn size(&self) -> usize {
        self.0.as_ref().map_or(0, |options| options.bytes().len())
    }

    #[inline]
    pub(super) fn write(&self, writer: &mut Writer, limits: &Limits) -> Result<(), TranscodeError> {
        if self.0.is_none() { Ok(()) } else { self.write_entries(writer, limits) }
    }

    fn write_entries(&self, writer: &mut Writer, limits: &Limits) -> Result<(), TranscodeError> {
        self.entries().try_for_each(|(serializer, key, value)| {
            writer.key(&key);
            put(writer, serializer, &value, limits)
        })
    }
}

/// The same keys with the same bytes under them, in the same order.
impl PartialEq for Private {
    fn eq(&self, other: &Self) -> bool {
        self.entries().eq(other.entries())
    }
}

impl Eq for Private {}
