//! [`Text`]: UTF-8 text that is a slice of shared bytes; [`TextPool`]: many of them in one allocation.
//!
//! A header value parsed from a frame is a `Text` that points into the buffer the frame arrived
//! in: cloning it counts a reference, slicing it copies nothing.

use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::str::Utf8Error;

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;

/// Immutable UTF-8 text whose clones and slices share one allocation.
///
/// *Cost.* Clone and slice are O(1). A `Text` keeps the whole buffer it points into alive: what is
/// kept for long (the name of a subscription, a message waiting in a queue) is
/// [`detached`](Self::detached) first.
#[derive(Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Text(ByteString);

impl Text {
    /// The empty text.
    pub const EMPTY: Self = Self::from_static("");

    /// A text that lives as long as the program; allocates nothing.
    pub const fn from_static(text: &'static str) -> Self {
        Self(ByteString::from_static(text))
    }

    /// Takes `bytes` as they are if they are UTF-8.
    ///
    /// *Errors.* Where and how the bytes stop being UTF-8. *Cost.* One scan, no copy.
    pub fn from_utf8(bytes: Bytes) -> Result<Self, Utf8Error> {
        ByteString::try_from(bytes).map(Self)
    }

    /// The part `subset` of this text, sharing its allocation.
    ///
    /// # Panics
    /// If `subset` does not lie inside this text.
    pub fn slice(&self, subset: &str) -> Self {
        Self(self.0.slice_ref(subset))
    }

    /// A copy in an allocation of its own, so that a small text does not keep a large buffer alive.
    pub fn detached(&self) -> Self {
        Self::from(self.as_str())
    }

    /// The text as a string slice.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The bytes of the text, sharing its allocation.
    pub fn into_bytes(self) -> Bytes {
        self.0.into_bytes()
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Text {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for Text {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self(ByteString::from(text))
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(ByteString::from(text))
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// Copies of many texts in one allocation, which all of them keep alive.
///
/// *Cost.* One allocation, if the capacity suffices; another where it does not.
#[derive(Debug)]
pub struct TextPool(BytesMut);

impl TextPool {
    /// Room for this many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self(BytesMut::with_capacity(bytes))
    }

    /// A copy of a text.
    pub fn text(&mut self, text: &str) -> Text {
        Text::from_utf8(self.bytes(text.as_bytes())).expect("a copy of UTF-8 is UTF-8")
    }

    /// A copy of bytes.
    pub fn bytes(&mut self, bytes: &[u8]) -> Bytes {
        if bytes.is_empty() {
            return Bytes::new();
        }
        self.0.extend_from_slice(bytes);
        self.0.split().freeze()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slice_shares_the_allocation_and_a_detached_one_does_not() {
        let whole = Text::from(String::from("/queue/orders"));
        let part = whole.slice(&whole[7..]);
        assert_eq!(part, "orders");
        assert_eq!(part.as_ptr(), whole[7..].as_ptr());
        assert_ne!(part.detached().as_ptr(), part.as_ptr());
    }

    #[test]
    fn bytes_that_are_not_utf8_are_refused() {
        let error = Text::from_utf8(Bytes::from_static(b"ab\xff")).unwrap_err();
        assert_eq!(error.valid_up_to(), 2);
    }

    #[test]
    fn texts_of_a_pool_lie_side_by_side() {
        let mut pool = TextPool::with_capacity(5);
        let (ab, c, empty) = (pool.text("ab"), pool.bytes(b"c"), pool.text(""));
        assert_eq!((ab.as_str(), &c[..], empty.as_str()), ("ab", &b"c"[..], ""));
        assert_eq!(ab.as_ptr().wrapping_add(2), c.as_ptr());
        assert_eq!(pool.text("longer than five"), "longer than five");
        assert_eq!(ab, "ab", "what was there before stays");
    }
}
