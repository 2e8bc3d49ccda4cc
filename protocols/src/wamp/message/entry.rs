//! Options and details: dictionaries of which a router reads some keys.
//!
//! *Spec.* WAMP §Messages: keys that are not known are ignored; those that begin with `_` are for
//! private use, and [kept](super::Private) where clients ask for something. Left open there, and done
//! so here: of a key that is there twice, the last one counts; a key whose value is null is as one that
//! is not there.

use crate::text::Text;
use crate::wamp::envelope::Value;
use crate::wamp::id::Id;
use crate::wamp::payload::{self, Dictionary};
use crate::wamp::serializer::{Limits, Writer};
use crate::wamp::transcode::TranscodeError;

/// What a key can say.
pub(in crate::wamp) trait Entry: Sized {
    /// In words, for who sent something else.
    const EXPECTED: &'static str;

    /// Whether anything else is as none, and no fault.
    const IS_OPTIONAL: bool = false;

    /// `None` if the value is something else.
    fn read(value: Value<'_>) -> Option<Self>;

    fn write(&self, writer: &mut Writer, limits: &Limits) -> Result<(), TranscodeError>;

    /// Bytes that it takes, roughly.
    fn size(&self) -> usize;
}

/// A dictionary with a fixed set of keys.
pub(in crate::wamp) trait Entries: Default {
    /// Reads a pair, if the key is known.
    ///
    /// *Errors.* The key, and what must be there.
    fn read_entry(
        &mut self,
        key: &str,
        value: Value<'_>,
    ) -> Result<(), (&'static str, &'static str)>;

    /// Takes what is under [private](super::Private) keys, if somebody reads it.
    fn keep_private(&mut self, _: Value<'_>) {}

    /// Pairs that are written.
    fn count(&self) -> usize;

    fn write_entries(&self, writer: &mut Writer, limits: &Limits) -> Result<(), TranscodeError>;

    /// Bytes that it takes, roughly.
    fn size(&self) -> usize;
}

/// Makes a structure of options of the keys that are read and written. `..` includes another one, `_`
/// keeps the private ones.
macro_rules! entries {
    ($(
        $(#[$about:meta])*
        $name:ident {
            $($(#[$doc:meta])* $key:literal $field:ident: $type:ty,)*
            $(.. $(#[$included_doc:meta])* $included:ident: $included_type:ty,)?
            $(_ $(#[$private_doc:meta])* $private:ident: $private_type:ty,)?
        }
    )*) => {$(
        $(#[$about])*
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct $name {
            $($(#[$doc])* pub $field: Option<$type>,)*
            $($(#[$included_doc])* pub $included: $included_type,)?
            $($(#[$private_doc])* pub $private: $private_type,)?
        }

        impl Entries for $name {
            fn read_entry(
                &mut self,
                key: &str,
                #[allow(unused_variables, reason = "there may be no keys")]
                value: Value<'_>,
            ) -> Result<(), (&'static str, &'static str)> {
                match key {
                    $($key => {
                        let read = Entry::read(value);
                        let is_optional = <$type as Entry>::IS_OPTIONAL;
                        if read.is_none() && !is_optional && value.scalar() != Scalar::Null {
                            return Err(($key, <$type as Entry>::EXPECTED));
                        }
                        self.$field = read;
                    })*
                    _ => {
                        $(self.$included.read_entry(key, value)?;)?
                    }
                }
                Ok(())
            }

            $(fn keep_private(&mut self, options: Value<'_>) {
                self.$private = <$private_type>::of(options);
            })?

            fn count(&self) -> usize {
                0 $(+ usize::from(self.$field.is_some()))* $(+ self.$included.count())?
                $(+ self.$private.count())?
            }

            fn write_entries(
                &self,
                writer: &mut Writer,
                limits: &Limits,
            ) -> Result<(), TranscodeError> {
                $(if let Some(value) = &self.$field {
                    writer.key($key);
                    value.write(writer, limits)?;
                })*
                $(self.$included.write_entries(writer, limits)?;)?
                $(self.$private.write(writer, limits)?;)?
                Ok(())
            }

            fn size(&self) -> usize {
                0 $(+ self.$field.as_ref().map_or(0, |value| $key.len() + 4 + value.size()))*
                $(+ self.$included.size())?
                $(+ self.$private.size())?
            }
        }
    )*};
}
pub(super) use entries;

impl Entry for bool {
    const EXPECTED: &'static str = "true or false";

    fn read(value: Value<'_>) -> Option<Self> {
        value.bool()
    }

    fn write(&self, writer: &mut Writer, _: &Limits) -> Result<(), TranscodeError> {
        writer.bool(*self);
        Ok(())
    }

    fn size(&self) -> usize {
        5
    }
}

impl Entry for u64 {
    const EXPECTED: &'static str = "an integer of at least 0";

    fn read(value: Value<'_>) -> Option<Self> {
        value.unsigned()
    }

    fn write(&self, writer: &mut Writer, _: &Limits) -> Result<(), TranscodeError> {
        writer.unsigned(*self);
        Ok(())
    }

    fn size(&self) -> usize {
        20
    }
}

impl Entry for Id {
    const EXPECTED: &'static str = "an ID, from 1 to 2^53";

    fn read(value: Value<'_>) -> Option<Self> {
        payload::id(value)
    }

    fn write(&self, writer: &mut Writer, _: &Limits) -> Result<(), TranscodeError> {
        writer.unsigned(self.get());
        Ok(())
    }

    fn size(&self) -> usize {
        17
    }
}

impl Entry for Text {
    const EXPECTED: &'static str = "text";

    fn read(value: Value<'_>) -> Option<Self> {
        value.text()
    }

    fn write(&self, writer: &mut Writer, _: &Limits) -> Result<(), TranscodeError> {
        writer.text(self);
        Ok(())
    }

    fn size(&self) -> usize {
        self.len() + 5
    }
}

/// What an option of §Sharded Registration and §Sharded Subscription says: a text, or an integer, which
/// is as the text of its digits.
///
/// Anything else is as none. Both clauses are sketches, no router announces the features, and so nobody
/// knows what may come; a session is not to end for it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Shard(pub Text);

impl Entry for Shard {
    const EXPECTED: &'static str = "text or an integer";
    const IS_OPTIONAL: bool = true;

    fn read(value: Value<'_>) -> Option<Self> {
        let text = value.text();
        text.or_else(|| value.integer().map(|number| Text::from(number.to_string()))).map(Self)
    }

    fn write(&self, writer: &mut Writer, limits: &Limits) -> Result<(), TranscodeError> {
        Entry::write(&self.0, writer, limits)
    }

    fn size(&self) -> usize {
        Entry::size(&self.0)
    }
}

/// Values that an option may list. Of what names sessions and users one by one, more would be no use;
/// and the values of a list take up to forty times the bytes that they are written with.
const MOST_LISTED: usize = 10_000;

/// Lists of what `EXPECTED` says of `Vec<Id>` and `Vec<Text>`.
macro_rules! list {
    ($type:ty, $expected:literal) => {
        impl Entry for Vec<$type> {
            const EXPECTED: &'static str = $expected;

            fn read(value: Value<'_>) -> Option<Self> {
                // No more are read than may be, however many there are.
                let values = value.list()?.take(MOST_LISTED + 1).map(<$type>::read);
                values.collect::<Option<Self>>().filter(|list| list.len() <= MOST_LISTED)
            }

            fn write(&self, writer: &mut Writer, limits: &Limits) -> Result<(), TranscodeError> {
                writer.list(self.len());
                self.iter().try_for_each(|value| value.write(writer, limits))?;
                writer.end_list();
                Ok(())
            }

            fn size(&self) -> usize {
                5 + self.iter().map(|value| value.size() + 1).sum::<usize>()
            }
        }
    };
}

list!(Id, "a list of at most 10,000 IDs, from 1 to 2^53");
list!(Text, "a list of at most 10,000 texts");

impl Entry for Dictionary {
    const EXPECTED: &'static str = "a dictionary";

    fn read(value: Value<'_>) -> Option<Self> {
        Self::read(value)
    }

    fn write(&self, writer: &mut Writer, limits: &Limits) -> Result<(), TranscodeError> {
        self.write(writer, limits)
    }

    fn size(&self) -> usize {
        self.bytes().len()
    }
}

/// A word that stands for one of a few things, or for one that is not known here.
///
/// What is not known may be the feature of another router: to refuse the request is the session's
/// business, and no reason to end it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice<T> {
    /// One of those that the specification has.
    Known(T),
    /// Any other word.
    Other(Text),
}

/// What the words of a [`Choice`] stand for.
pub(in crate::wamp) trait Word: Copy + 'static {
    const WORDS: &'static [(&'static str, Self)];

    fn as_str(self) -> &'static str;

    fn of_word(text: Text) -> Choice<Self> {
        let known = Self::WORDS.iter().find(|(word, _)| text == **word);
        known.map_or(Choice::Other(text), |(_, known)| Choice::Known(*known))
    }
}

/// Makes an enumeration of the words that an option may have.
macro_rules! words {
    ($(
        $(#[$about:meta])*
        $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)* }
    )*) => {$(
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$doc])* $variant,)*
        }

        impl $name {
            /// As it is written.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }

        impl Word for $name {
            const WORDS: &'static [(&'static str, Self)] = &[$(($word, Self::$variant)),*];

            fn as_str(self) -> &'static str {
                self.as_str()
            }
        }
    )*};
}
pub(super) use words;

impl<T: Word> Entry for Choice<T> {
    const EXPECTED: &'static str = "text";

    fn read(value: Value<'_>) -> Option<Self> {
        value.text().map(T::of_word)
    }

    fn write(&self, writer: &mut Writer, _: &Limits) -> Result<(), TranscodeError> {
        writer.text(match self {
            Self::Known(known) => known.as_str(),
            Self::Other(word) => word,
        });
        Ok(())
    }

    fn size(&self) -> usize {
        match self {
            Self::Known(_) => 16,
            Self::Other(word) => word.len() + 5,
        }
    }
}
