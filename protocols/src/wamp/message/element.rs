//! The elements of the list that a message is, each of its own type.
//!
//! *Spec.* WAMP §Messages: `Request|id`, `Options|dict`, `Topic|uri` and so on. Left open there: null in
//! the place of a dictionary is as an empty one.

use super::MessageType;
use super::entry::{Entries, Entry};
use super::private::Private;
use crate::text::Text;
use crate::wamp::envelope::{Elements, Value};
use crate::wamp::error::MessageError;
use crate::wamp::id::Id;
use crate::wamp::payload::{self, Dictionary, Payload};
use crate::wamp::serializer::{Limits, Scalar, Writer};
use crate::wamp::transcode::TranscodeError;

/// One or more elements of the list that a message is.
pub(super) trait Element: Sized {
    fn decode(elements: &mut Elements<'_>, name: &'static str) -> Result<Self, MessageError>;

    /// Elements that it has. One, but for those at the end of a message.
    fn count(&self) -> usize {
        1
    }

    fn encode(&self, writer: &mut Writer, limits: &Limits) -> Result<(), TranscodeError>;

    /// Bytes that it takes, roughly.
    fn size(&self) -> usize;
}

/// The messages that can fail with ERROR (WAMP §Error, `REQUEST.Type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RequestType(MessageType);

impl RequestType {
    /// SUBSCRIBE.
    pub const SUBSCRIBE: Self = Self(MessageType::Subscribe);
    /// UNSUBSCRIBE.
    pub const UNSUBSCRIBE: Self = Self(MessageType::Unsubscribe);
    /// PUBLISH.
    pub const PUBLISH: Self = Self(MessageType::Publish);
    /// REGISTER.
    pub const REGISTER: Self = Self(MessageType::Register);
    /// UNREGISTER.
    pub const UNREGISTER: Self = Self(MessageType::Unregister);
    /// INVOCATION.
    pub const INVOCATION: Self = Self(MessageType::Invocation);
    /// CALL.
    pub const CALL: Self = Self(MessageType::Call);

    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::SUBSCRIBE,
        Self::UNSUBSCRIBE,
        Self::PUBLISH,
        Self::REGISTER,
        Self::UNREGISTER,
        Self::INVOCATION,
        Self::CALL,
    ];

    /// The type as one among all.
    pub const fn message_type(self) -> MessageType {
        self.0
    }
}

impl Element for RequestType {
    fn decode(elements: &mut Elements<'_>, name: &'static str) -> Result<Self, MessageError> {
        let value = elements.required(name)?;
        let message = value.unsigned().and_then(MessageType::of_code);
        Self::ALL.into_iter().find(|request| Some(request.0) == message).ok_or_else(|| {
            elements.unfit(name, None, "the type of a request, which ERROR can answer", value)
        })
    }

    fn encode(&self, writer: &mut Writer, _: &Limits) -> Result<(), TranscodeError> {
        writer.unsigned(self.0.code());
        Ok(())
    }

    fn size(&self) -> usize {
        2
    }
}

/// Elements that are what a key can say, too.
macro_rules! simple_elements {
    ($($type:ty),*) => {$(
        impl Element for $type {
            fn decode(
                elements: &mut Elements<'_>,
                name: &'static str,
            ) -> Result<Self, MessageError> {
                let value = elements.required(name)?;
                <$type as Entry>::read(value)
                    .ok_or_else(|| elements.unfit(name, None, Self::EXPECTED, value))
            }

            fn encode(&self, writer: &mut Writer, limits: &Limits) -> Result<(), TranscodeError> {
                Entry::write(self, writer, limits)
            }

            fn size(&self) -> usize {
                Entry::size(self)
            }
        }
    )*};
}

simple_elements!(Id, Text);

impl Element for Dictionary {
    fn decode(elements: &mut Elements<'_>, name: &'static str) -> Result<Self, MessageError> {
        let value = elements.required(name)?;
        if value.scalar() == Scalar::Null {
            return Ok(Self::empty(elements.serializer()));
        }
        Self::read(value)
            .ok_or_else(|| elements.unfit(name, None, <Self as Entry>::EXPECTED, value))
    }

    fn encode(&self, writer: &mut Writer, limits: &Limits) -> Result<(), TranscodeError> {
        self.write(writer, limits)
    }

    fn size(&self) -> usize {
        Entry::size(self)
    }
}

/// The ID of a request, or 0 if there was none.
impl Element for Option<Id> {
    fn decode(elements: &mut Elements<'_>, name: &'static str) -> Result<Self, MessageError> {
        let value = elements.required(name)?;
        match (value.unsigned(), payload::id(value)) {
            (Some(0), _) => Ok(None),
            (_, Some(id)) => Ok(Some(id)),
            _ => Err(elements.unfit(name, None, "an ID, from 1 to 2^53, or 0", value)),
        }
    }

    fn encode(&self, writer: &mut Writer, _: &Limits) -> Result<(), TranscodeError> {
        writer.unsigned(self.map_or(0, Id::get));
        Ok(())
    }

    fn size(&self) -> usize {
        17
    }
}

impl Element for Payload {
    fn decode(elements: &mut Elements<'_>, _: &'static str) -> Result<Self, MessageError> {
        Self::decode(elements)
    }

    fn count(&self) -> usize {
        self.count()
    }

    fn encode(&self, writer: &mut Writer, limits: &Limits) -> Result<(), TranscodeError> {
        self.encode(writer, limits)
    }

    fn size(&self) -> usize {
        self.size()
    }
}

/// Options and details.
impl<T: Entries> Element for T {
    fn decode(elements: &mut Elements<'_>, name: &'static str) -> Result<Self, MessageError> {
        let value = elements.required(name)?;
        read_entries(elements, name, value)
    }

    fn encode(&self, writer: &mut Writer, limits: &Limits) -> Result<(), TranscodeError> {
        writer.dict(Entries::count(self));
        self.write_entries(writer, limits)?;
        writer.end_dict();
        Ok(())
    }

    fn size(&self) -> usize {
        2 + Entries::size(self)
    }
}

/// Details at the end of a message, which may be missing.
impl<T: Entries> Element for Option<T> {
    fn decode(elements: &mut Elements<'_>, name: &'static str) -> Result<Self, MessageError> {
        match elements.next() {
            Some(value) if value.scalar() != Scalar::Null => {
                read_entries(elements, name, value).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn count(&self) -> usize {
        usize::from(self.is_some())
    }

    fn encode(&self, writer: &mut Writer, limits: &Limits) -> Result<(), TranscodeError> {
        self.as_ref().map_or(Ok(()), |entries| Element::encode(entries, writer, limits))
    }

    fn size(&self) -> usize {
        self.as_ref().map_or(0, |entries| Element::size(entries))
    }
}

fn read_entries<T: Entries>(
    elements: &Elements<'_>,
    name: &'static str,
    dict: Value<'_>,
) -> Result<T, MessageError> {
    let mut entries = T::default();
    let mut has_private = false;
    let Some(pairs) = dict.dict() else {
        let is_null = dict.scalar() == Scalar::Null;
        return if is_null {
            Ok(entries)
        } else {
            Err(elements.unfit(name, None, "a dictionary", dict))
        };
    };
    for (key, value) in pairs {
        let Scalar::Text(key) = key.scalar() else {
            return Err(elements.unfit(name, None, "a dictionary whose keys are texts", key));
        };
        has_private |= Private::is_one(&key);
        entries
            .read_entry(&key, value)
            .map_err(|(key, expected)| elements.unfit(name, Some(key), expected, value))?;
    }
    if has_private {
        entries.keep_private(dict);
    }
    Ok(entries)
}
