//! Units in configuration: a [`Millis`] is written `"10s"`, a [`ByteSize`] `"4MiB"`.
//!
//! Both have a ceiling far above any sensible setting, so that whoever adds to one or adds it to an
//! instant need not think of overflow.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::de::{self, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A span of time, written as a whole number with a unit (`ms`, `s`, `m`, `h`); zero is `"0s"`.
/// *Shape.* Whole milliseconds, at most [`Millis::MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis(pub Duration);

/// A number of bytes, written as a whole number, or one with `KiB`, `MiB` or `GiB`.
/// *Shape.* At most [`ByteSize::MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub usize);

/// What a text that is no [`Millis`] or [`ByteSize`] should have been.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected {0}")]
pub struct UnitError(&'static str);

const TIME_UNITS: [(&str, u64); 4] = [("h", 3_600_000), ("m", 60_000), ("s", 1_000), ("ms", 1)];
const SIZE_UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

const A_TIME: &str = "a time such as \"250ms\", \"10s\" or \"5m\"";
const A_SHORTER_TIME: &str = "a time of at most \"8760h\"";
const A_SIZE: &str = "a number of bytes such as 65536, \"64KiB\" or \"4MiB\"";
const A_SMALLER_SIZE: &str = "at most \"1024GiB\"";

impl Millis {
    /// The longest time that can be configured: a year of 365 days.
    pub const MAX: Self = Self(Duration::from_secs(365 * 24 * 3_600));

    /// So many seconds.
    pub const fn seconds(seconds: u64) -> Self {
        Self(Duration::from_secs(seconds))
    }
}

impl FromStr for Millis {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (number, unit) = split(text).ok_or(UnitError(A_TIME))?;
        let (_, factor) =
            TIME_UNITS.iter().find(|(name, _)| *name == unit).ok_or(UnitError(A_TIME))?;
        let millis = number.checked_mul(*factor).ok_or(UnitError(A_SHORTER_TIME))?;
        let time = Self(Duration::from_millis(millis));
        if time > Self::MAX { Err(UnitError(A_SHORTER_TIME)) } else { Ok(time) }
    }
}

impl fmt::Display for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = self.0.as_millis();
        if millis == 0 {
            return f.write_str("0s");
        }
        let (unit, factor) = TIME_UNITS
            .into_iter()
            .find(|(_, factor)| millis.is_multiple_of(u128::from(*factor)))
            .unwrap_or(("ms", 1));
        write!(f, "{}{unit}", millis / u128::from(factor))
    }
}

impl ByteSize {
    /// The largest size that can be configured.
    pub const MAX: Self = Self(1 << 40);

    fn at_most_max(bytes: u64) -> Result<Self, UnitError> {
        usize::try_from(bytes)
            .ok()
            .map(Self)
            .filter(|size| *size <= Self::MAX)
            .ok_or(UnitError(A_SMALLER_SIZE))
    }
}

impl FromStr for ByteSize {
    type Err = UnitError;

    fn from_str(text: &str) -> Result<Self, UnitError> {
        let (number, unit) = split(text).ok_or(UnitError(A_SIZE))?;
        if unit.is_empty() {
            return Self::at_most_max(number);
        }
        let (_, factor) =
            SIZE_UNITS.iter().find(|(name, _)| *name == unit).ok_or(UnitError(A_SIZE))?;
        let bytes = number.checked_mul(*factor).ok_or(UnitError(A_SMALLER_SIZE))?;
        Self::at_most_max(bytes)
    }
}

impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = SIZE_UNITS
            .into_iter()
            .filter_map(|(name, factor)| Some((name, usize::try_from(factor).ok()?)))
            .find(|(_, factor)| self.0 > 0 && self.0.is_multiple_of(*factor));
        match unit {
            Some((name, factor)) => write!(f, "{}{name}", self.0 / factor),
            None => write!(f, "{}", self.0),
        }
    }
}

/// The digits at the start, as a number, and what follows them.
fn split(text: &str) -> Option<(u64, &str)> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.trim_start()))
}

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Time;

        impl Visitor<'_> for Time {
            type Value = Millis;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(A_TIME)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Millis, E> {
                text.parse().map_err(|UnitError(expected)| {
                    E::invalid_value(Unexpected::Str(text), &expected)
                })
            }
        }

        deserializer.deserialize_str(Time)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Size;

        impl Visitor<'_> for Size {
            type Value = ByteSize;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(A_SIZE)
            }

            fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<ByteSize, E> {
                ByteSize::at_most_max(bytes).map_err(|UnitError(expected)| {
                    E::invalid_value(Unexpected::Unsigned(bytes), &expected)
                })
            }

            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<ByteSize, E> {
                let positive = u64::try_from(bytes)
                    .map_err(|_| E::invalid_value(Unexpected::Signed(bytes), &self))?;
                self.visit_u64(positive)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ByteSize, E> {
                text.parse().map_err(|UnitError(expected)| {
                    E::invalid_value(Unexpected::Str(text), &expected)
                })
            }
        }

        deserializer.deserialize_any(Size)
    }
}

impl Serialize for Millis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_with_their_unit() {
        for (text, millis) in
            [("0s", 0), ("250ms", 250), ("10s", 10_000), ("5m", 300_000), ("8760h", 31_536_000_000)]
        {
            assert_eq!(text.parse(), Ok(Millis(Duration::from_millis(millis))), "{text}");
        }
    }

    #[test]
    fn a_time_without_a_known_unit_or_a_whole_number_is_refused() {
        for text in ["", "10", "s", "1.5s", "-1s", "10 parsecs", "10S", "99999999999999999999s"] {
            assert_eq!(text.parse::<Millis>(), Err(UnitError(A_TIME)), "{text}");
        }
    }

    #[test]
    fn a_time_beyond_the_ceiling_is_refused_also_where_the_product_overflows() {
        for text in ["8761h", "18446744073709551615h", "18446744073709551615ms"] {
            assert_eq!(text.parse::<Millis>(), Err(UnitError(A_SHORTER_TIME)), "{text}");
        }
    }

    #[test]
    fn sizes_are_read_with_and_without_a_unit() {
        for (text, bytes) in [
            ("0", 0),
            ("65536", 65_536),
            ("64KiB", 65_536),
            ("4 MiB", 4 << 20),
            ("1024GiB", ByteSize::MAX.0),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
    }

    #[test]
    fn a_size_with_an_unknown_unit_or_no_whole_number_is_refused() {
        for text in ["", "KiB", "64KB", "64kib", "1.5MiB", "-1", "lots"] {
            assert_eq!(text.parse::<ByteSize>(), Err(UnitError(A_SIZE)), "{text}");
        }
    }

    #[test]
    fn a_size_beyond_the_ceiling_is_refused_also_where_the_product_overflows() {
        for text in ["1025GiB", "1099511627777", "18446744073709551615GiB"] {
            assert_eq!(text.parse::<ByteSize>(), Err(UnitError(A_SMALLER_SIZE)), "{text}");
        }
    }

    #[test]
    fn what_is_shown_is_read_back_as_the_same_value() {
        for text in ["0s", "1ms", "1500ms", "90s", "2m", "3h"] {
            assert_eq!(text.parse::<Millis>().map(|it| it.to_string()), Ok(text.to_owned()));
        }
        for text in ["0", "1", "1025", "3KiB", "1536KiB", "256MiB", "2GiB"] {
            assert_eq!(text.parse::<ByteSize>().map(|it| it.to_string()), Ok(text.to_owned()));
        }
    }
}
