//! Header values: the types of AMQP 0-9-1 field tables, as plain data.

use bytes::Bytes;

use crate::text::{Text, TextPool};

/// A header value.
///
/// *Shape.* Arrays and tables nest at most [`MAX_DEPTH`](Self::MAX_DEPTH) deep: what makes a value
/// out of foreign bytes sees to that, and what walks through one may recurse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// AMQP long string, of UTF-8.
    Text(Text),
    /// A flag.
    Boolean(bool),
    /// Any AMQP integer.
    Integer(i64),
    /// AMQP float or double.
    Double(Double),
    /// `unscaled` divided by ten to the power of `scale`.
    Decimal {
        /// Digits behind the point.
        scale: u8,
        /// All digits.
        unscaled: i32,
    },
    /// Seconds since the epoch.
    Timestamp(u64),
    /// AMQP byte array, or a long string that is not UTF-8.
    Bytes(Bytes),
    /// Values in order.
    Array(Vec<Self>),
    /// Named values; names are unique.
    Table(Vec<(Text, Self)>),
    /// No value.
    Void,
}

/// A number of type [`f64`] that equals itself, whatever it is: it is compared by its bits.
#[derive(Debug, Clone, Copy, Default)]
pub struct Double(pub f64);

impl Value {
    /// Most arrays and tables that may lie in each other, the outermost included.
    pub const MAX_DEPTH: usize = 32;

    /// What a value in an array or a table costs beside its bytes, in bytes: there may be one for
    /// each byte of a message.
    pub const ENTRY_OVERHEAD: usize = size_of::<(Text, Self)>();

    /// Bytes that it holds outside of itself: text, bytes, and what lies in it, with
    /// [`ENTRY_OVERHEAD`](Self::ENTRY_OVERHEAD) for each of these.
    pub fn size(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
            Self::Array(values) => {
                values.iter().map(|value| Self::ENTRY_OVERHEAD + value.size()).sum()
            }
            Self::Table(entries) => entries
                .iter()
                .map(|(name, value)| Self::ENTRY_OVERHEAD + name.len() + value.size())
                .sum(),
            Self::Boolean(_)
            | Self::Integer(_)
            | Self::Double(_)
            | Self::Decimal { .. }
            | Self::Timestamp(_)
            | Self::Void => 0,
        }
    }

    /// A copy that keeps no input buffer alive.
    #[must_use]
    pub fn detached(&self) -> Self {
        let mut copy = self.clone();
        copy.detach(&mut TextPool::with_capacity(self.size()));
        copy
    }

    /// Moves its bytes into this pool.
    pub(super) fn detach(&mut self, pool: &mut TextPool) {
        match self {
            Self::Text(text) => *text = pool.text(text),
            Self::Bytes(bytes) => *bytes = pool.bytes(bytes),
            Self::Array(values) => values.iter_mut().for_each(|value| value.detach(pool)),
            Self::Table(entries) => {
                for (name, value) in entries {
                    *name = pool.text(name);
                    value.detach(pool);
                }
            }
            Self::Boolean(_)
            | Self::Integer(_)
            | Self::Double(_)
            | Self::Decimal { .. }
            | Self::Timestamp(_)
            | Self::Void => {}
        }
    }
}

impl PartialEq for Double {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Eq for Double {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_size_counts_what_lies_inside() {
        let flat = [
            (Value::Text("four".into()), 4),
            (Value::Bytes(Bytes::from_static(b"\xffx")), 2),
            (Value::Boolean(true), 0),
            (Value::Integer(1), 0),
            (Value::Double(Double(0.5)), 0),
            (Value::Decimal { scale: 2, unscaled: -1 }, 0),
            (Value::Timestamp(1), 0),
            (Value::Void, 0),
        ];
        for (value, size) in flat {
            assert_eq!(value.size(), size, "{value:?}");
        }
        let nested = Value::Array(vec![
            Value::Table(vec![("ab".into(), Value::Text("c".into())), ("d".into(), Value::Void)]),
            Value::Array(Vec::new()),
        ]);
        assert_eq!(nested.size(), 4 * Value::ENTRY_OVERHEAD + 4);
    }

    #[test]
    fn a_detached_value_is_equal_and_points_nowhere_into_the_input() {
        let buffer = Bytes::from(b"abcdef".to_vec());
        let text = Text::from_utf8(buffer.clone()).unwrap();
        let table = Value::Table(vec![(text.slice(&text[..1]), Value::Bytes(buffer.slice(1..3)))]);
        let value = Value::Array(vec![Value::Text(text), table]);
        let copy = value.detached();
        assert_eq!(copy, value);
        drop(value);
        assert!(buffer.is_unique(), "nothing else keeps the input alive");
    }

    #[test]
    fn a_number_equals_itself() {
        assert_eq!(Double(f64::NAN), Double(f64::NAN));
        assert_ne!(Double(0.0), Double(-0.0));
    }
}
