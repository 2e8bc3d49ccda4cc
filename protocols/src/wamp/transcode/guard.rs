//! [`Guard`]: an encoder that refuses what its format cannot say.
//!
//! An error passes through decoder and encoder once for each level of nesting, and each may quote
//! the one before: left to themselves, they would make a text of it that doubles with each level.
//! So what passes through is a [`Stop`], which is never longer than what can be shown.

use std::fmt::{self, Write};

use data_encoding::BASE64;
use serde::ser::{self, Error, Impossible, Serialize, SerializeMap, SerializeSeq};

use super::Rules;
use crate::violation::SHOWN_LENGTH;
use crate::wamp::id::Id;

/// The end of transcoding, with the beginning of what the decoder or encoder says.
#[derive(Debug)]
pub(super) struct Stop(String);

impl Stop {
    fn of(error: impl fmt::Display) -> Self {
        let mut text = Self(String::new());
        // It fails once the text is long enough.
        let _is_whole = write!(text, "{error}").is_ok();
        text
    }
}

impl Write for Stop {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        for character in part.chars() {
            if self.0.len() >= SHOWN_LENGTH {
                return Err(fmt::Error);
            }
            self.0.push(character);
        }
        Ok(())
    }
}

impl Error for Stop {
    fn custom<T: fmt::Display>(text: T) -> Self {
        Self::of(text)
    }
}

impl std::error::Error for Stop {}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An encoder that writes only what its format can say.
pub(super) struct Guard<'a, S> {
    inner: S,
    rules: &'a Rules,
    /// Whether the value is the key of a pair.
    is_key: bool,
}

impl<'a, S: ser::Serializer> Guard<'a, S> {
    /// For a value that is no key.
    pub(super) const fn new(inner: S, rules: &'a Rules) -> Self {
        Self { inner, rules, is_key: false }
    }

    const fn is_to_json(&self) -> bool {
        self.rules.to.is_text()
    }

    /// JSON has no keys but texts; encoders of it would make texts of some others.
    fn check_key(&self, what: &str) -> Result<(), Stop> {
        if self.is_key && self.is_to_json() {
            return Err(self.rules.refuse(format!("{what} as a key")));
        }
        Ok(())
    }

    /// Whether readers of JSON that have doubles for numbers get this integer as it is.
    fn check_integer(&self, value: i128) -> Result<(), Stop> {
        self.check_key("a number")?;
        if self.is_to_json() && value.unsigned_abs() > u128::from(Id::MAX.get()) {
            return Err(self.rules.refuse(format!("the number {value}, which is beyond 2^53,")));
        }
        Ok(())
    }
}

/// Integers of every width go one way.
macro_rules! integers {
    ($($method:ident($type:ty) => $wide:ident),* $(,)?) => {
        $(fn $method(self, value: $type) -> Result<S::Ok, Stop> {
            self.check_integer(value.into())?;
            self.inner.$wide(value.into()).map_err(Stop::of)
        })*
    };
}

/// Values of Rust that no decoder of these formats yields.
macro_rules! never {
    ($($method:ident($($type:ty),*) -> $ok:ty),* $(,)?) => {
        $(fn $method(self, $(_: $type),*) -> Result<$ok, Stop> {
            Err(self.rules.refuse("a value of no known kind".to_owned()))
        })*
    };
}

impl<'a, S: ser::Serializer> ser::Serializer for Guard<'a, S> {
    type Ok = S::Ok;
    type Error = Stop;
    type SerializeSeq = GuardedSeq<'a, S::SerializeSeq>;
    type SerializeMap = GuardedMap<'a, S::SerializeMap>;
    type SerializeTuple = Impossible<S::Ok, Stop>;
    type SerializeTupleStruct = Impossible<S::Ok, Stop>;
    type SerializeTupleVariant = Impossible<S::Ok, Stop>;
    type SerializeStruct = Impossible<S::Ok, Stop>;
    type SerializeStructVariant = Impossible<S::Ok, Stop>;

    integers! {
        serialize_i8(i8) => serialize_i64,
        serialize_i16(i16) => serialize_i64,
        serialize_i32(i32) => serialize_i64,
        serialize_i64(i64) => serialize_i64,
        serialize_u8(u8) => serialize_u64,
        serialize_u16(u16) => serialize_u64,
        serialize_u32(u32) => serialize_u64,
        serialize_u64(u64) => serialize_u64,
    }

    never! {
        serialize_unit_struct(&'static str) -> S::Ok,
        serialize_unit_variant(&'static str, u32, &'static str) -> S::Ok,
        serialize_tuple(usize) -> Self::SerializeTuple,
        serialize_tuple_struct(&'static str, usize) -> Self::SerializeTupleStruct,
        serialize_tuple_variant(&'static str, u32, &'static str, usize)
            -> Self::SerializeTupleVariant,
        serialize_struct(&'static str, usize) -> Self::SerializeStruct,
        serialize_struct_variant(&'static str, u32, &'static str, usize)
            -> Self::SerializeStructVariant,
    }

    fn serialize_i128(self, value: i128) -> Result<S::Ok, Stop> {
        Err(self.rules.refuse(format!("the number {value}")))
    }

    fn serialize_u128(self, value: u128) -> Result<S::Ok, Stop> {
        Err(self.rules.refuse(format!("the number {value}")))
    }

    fn serialize_bool(self, value: bool) -> Result<S::Ok, Stop> {
        self.check_key("true or false")?;
        self.inner.serialize_bool(value).map_err(Stop::of)
    }

    /// JSON gets the digits of the double that it will be read as, not those of the float.
    fn serialize_f32(self, value: f32) -> Result<S::Ok, Stop> {
        if self.is_to_json() {
            return self.serialize_f64(value.into());
        }
        self.inner.serialize_f32(value).map_err(Stop::of)
    }

    fn serialize_f64(self, value: f64) -> Result<S::Ok, Stop> {
        self.check_key("a number")?;
        if self.is_to_json() && !value.is_finite() {
            return Err(self.rules.refuse(format!("the number {value}")));
        }
        self.inner.serialize_f64(value).map_err(Stop::of)
    }

    fn serialize_char(self, value: char) -> Result<S::Ok, Stop> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<S::Ok, Stop> {
        match value.strip_prefix('\0') {
            Some(base64) if self.rules.from.is_text() && !self.is_key => {
                let binary = BASE64.decode(base64.as_bytes()).map_err(|_| {
                    let what = "a text that starts with NUL and is not base64 behind it";
                    self.rules.refuse(what.to_owned())
                })?;
                self.inner.serialize_bytes(&binary).map_err(Stop::of)
            }
            Some(_) if self.is_to_json() && !self.is_key => {
                Err(self.rules.refuse("a text that starts with NUL".to_owned()))
            }
            _ => self.inner.serialize_str(value).map_err(Stop::of),
        }
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<S::Ok, Stop> {
        self.check_key("binary data")?;
        if !self.is_to_json() {
            return self.inner.serialize_bytes(value).map_err(Stop::of);
        }
        let mut text = String::with_capacity(1 + BASE64.encode_len(value.len()));
        text.push('\0');
        BASE64.encode_append(value, &mut text);
        self.inner.serialize_str(&text).map_err(Stop::of)
    }

    /// Not the encoder's unit, which is an empty list in CBOR.
    fn serialize_unit(self) -> Result<S::Ok, Stop> {
        self.serialize_none()
    }

    fn serialize_none(self) -> Result<S::Ok, Stop> {
        self.check_key("null")?;
        self.inner.serialize_none().map_err(Stop::of)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<S::Ok, Stop> {
        value.serialize(self)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: &T,
    ) -> Result<S::Ok, Stop> {
        Err(self.rules.refuse("an extension".to_owned()))
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<S::Ok, Stop> {
        Err(self.rules.refuse("a value of no known kind".to_owned()))
    }

    fn serialize_seq(self, len: Option<usize>) -> Result<Self::SerializeSeq, Stop> {
        self.check_key("a list")?;
        Ok(GuardedSeq {
            inner: self.inner.serialize_seq(self.rules.length(len)).map_err(Stop::of)?,
            rules: self.rules,
        })
    }

    fn serialize_map(self, len: Option<usize>) -> Result<Self::SerializeMap, Stop> {
        self.check_key("a dictionary")?;
        Ok(GuardedMap {
            inner: self.inner.serialize_map(self.rules.length(len)).map_err(Stop::of)?,
            rules: self.rules,
        })
    }
}

/// A list whose values are guarded.
pub(super) struct GuardedSeq<'a, S> {
    inner: S,
    rules: &'a Rules,
}

impl<S: SerializeSeq> SerializeSeq for GuardedSeq<'_, S> {
    type Ok = S::Ok;
    type Error = Stop;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Stop> {
        self.inner
            .serialize_element(&Guarded { value, rules: self.rules, is_key: false })
            .map_err(Stop::of)
    }

    fn end(self) -> Result<S::Ok, Stop> {
        self.inner.end().map_err(Stop::of)
    }
}

/// A dictionary whose keys and values are guarded.
pub(super) struct GuardedMap<'a, S> {
    inner: S,
    rules: &'a Rules,
}

impl<S: SerializeMap> SerializeMap for GuardedMap<'_, S> {
    type Ok = S::Ok;
    type Error = Stop;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Stop> {
        self.inner
            .serialize_key(&Guarded { value, rules: self.rules, is_key: true })
            .map_err(Stop::of)
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Stop> {
        self.inner
            .serialize_value(&Guarded { value, rules: self.rules, is_key: false })
            .map_err(Stop::of)
    }

    fn end(self) -> Result<S::Ok, Stop> {
        self.inner.end().map_err(Stop::of)
    }
}

/// A value that is written through a [`Guard`].
struct Guarded<'a, T: ?Sized> {
    value: &'a T,
    rules: &'a Rules,
    is_key: bool,
}

impl<T: Serialize + ?Sized> Serialize for Guarded<'_, T> {
    fn serialize<S: ser::Serializer>(&self, inner: S) -> Result<S::Ok, S::Error> {
        let guard = Guard { inner, rules: self.rules, is_key: self.is_key };
        self.value.serialize(guard).map_err(S::Error::custom)
    }
}
