//! The elements of messages, of which most are passed over.

use integration_tests::Serializer;

use super::Message;
use crate::fault::Fault;

/// The message in these bytes.
///
/// *Errors.* There is none, or one with lists and dictionaries of a length that is not given in front.
pub(crate) fn read(serializer: Serializer, bytes: &[u8]) -> Result<Message<'_>, Fault> {
    let message = match serializer {
        Serializer::Json => Json(bytes).message(),
        Serializer::MsgPack => Binary { rest: bytes, head: msgpack_head }.message(),
        Serializer::Cbor => Binary { rest: bytes, head: cbor_head }.message(),
    };
    message.ok_or(Fault::Violation("this is no message of WAMP, or none that is understood here"))
}

/// An element.
enum Item<'a> {
    /// A number that can be an ID.
    Id(u64),
    Text(&'a [u8]),
    /// The begin of a list, with its length where that stands in front.
    List(u64),
    /// Something that was passed over.
    Other,
    /// The end of the list.
    End,
}

/// Elements of one serializer.
trait Elements<'a> {
    /// The next one of a list of which so many are left, if that is known.
    fn next(&mut self, left: &mut u64) -> Option<Item<'a>>;

    /// A code, IDs, a dictionary, and arguments or a text: all messages that a server sends are like
    /// this, but for what may follow.
    fn message(&mut self) -> Option<Message<'a>> {
        let Item::List(mut left) = self.next(&mut 1)? else { return None };
        let Item::Id(code) = self.next(&mut left)? else { return None };
        let mut message = Message { code, ..Message::default() };
        let mut ids = message.ids.iter_mut();
        loop {
            match self.next(&mut left)? {
                Item::Id(id) => *ids.next()? = id,
                Item::Other => {}
                Item::End => return Some(message),
                Item::Text(text) => {
                    message.text = text;
                    return Some(message);
                }
                Item::List(mut left) => {
                    if let Item::Text(text) = self.next(&mut left)? {
                        message.text = text;
                    }
                    return Some(message);
                }
            }
        }
    }
}

/// What is left of a message in JSON.
struct Json<'a>(&'a [u8]);

impl<'a> Elements<'a> for Json<'a> {
    fn next(&mut self, _: &mut u64) -> Option<Item<'a>> {
        let between = |byte: &u8| byte.is_ascii_whitespace() || *byte == b',';
        let start = self.0.iter().position(|byte| !between(byte))?;
        let rest = &self.0[start..];
        let (item, length) = match rest[0] {
            b'[' => (Item::List(0), 1),
            b']' => (Item::End, 1),
            b'"' => {
                let end = text_end(rest)?;
                (Item::Text(&rest[1..end - 1]), end)
            }
            b'{' => (Item::Other, dictionary_end(rest)?),
            b'0'..=b'9' => {
                let end = rest.iter().position(|byte| !byte.is_ascii_digit())?;
                let id = rest[..end].iter().try_fold(0_u64, |id, digit| {
                    id.checked_mul(10)?.checked_add(u64::from(digit - b'0'))
                });
                (Item::Id(id?), end)
            }
            // true, false, null, and numbers below 0.
            _ => (Item::Other, memchr::memchr2(b',', b']', rest)?),
        };
        self.0 = &rest[length..];
        Some(item)
    }
}

/// Where a text ends that begins here, quotes included.
fn text_end(bytes: &[u8]) -> Option<usize> {
    let mut at = 1;
    loop {
        at += memchr::memchr2(b'"', b'\\', bytes.get(at..)?)?;
        if bytes[at] == b'"' {
            return Some(at + 1);
        }
        at += 2;
    }
}

/// Where a dictionary ends that begins here, braces included.
fn dictionary_end(bytes: &[u8]) -> Option<usize> {
    let (mut at, mut depth) = (0, 0);
    loop {
        match bytes.get(at)? {
            b'"' => at += text_end(&bytes[at..])?,
            b'{' => (at, depth) = (at + 1, depth + 1),
            b'}' if depth == 1 => return Some(at + 1),
            b'}' => (at, depth) = (at + 1, depth - 1),
            _ => at += 1,
        }
    }
}

/// What a value begins with in MessagePack or CBOR.
enum Head {
    Id(u64),
    /// A text of so many bytes follows.
    Text(u64),
    List(u64),
    Dictionary(u64),
    /// So many bytes follow that mean nothing here.
    Other(u64),
    /// A value follows that is the same for us without this.
    Tag,
}

/// What is left of a message in MessagePack or CBOR.
struct Binary<'a> {
    rest: &'a [u8],
    /// Reads a head, and returns how long it is.
    head: fn(&[u8]) -> Option<(Head, usize)>,
}

impl<'a> Elements<'a> for Binary<'a> {
    fn next(&mut self, left: &mut u64) -> Option<Item<'a>> {
        let Some(rest) = left.checked_sub(1) else { return Some(Item::End) };
        *left = rest;
        Some(match self.head()? {
            Head::Id(id) => Item::Id(id),
            Head::Text(length) => Item::Text(self.take(length)?),
            Head::List(length) => Item::List(length),
            Head::Dictionary(entries) => {
                self.pass(entries.checked_mul(2)?)?;
                Item::Other
            }
            Head::Other(length) => {
                self.take(length)?;
                Item::Other
            }
            Head::Tag => {
                self.pass(1)?;
                Item::Other
            }
        })
    }
}

impl<'a> Binary<'a> {
    fn head(&mut self) -> Option<Head> {
        let (head, length) = (self.head)(self.rest)?;
        self.rest = self.rest.get(length..)?;
        Some(head)
    }

    fn take(&mut self, length: u64) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(usize::try_from(length).ok()?)?;
        self.rest = rest;
        Some(taken)
    }

    /// Passes over so many values, whatever is in them.
    fn pass(&mut self, values: u64) -> Option<()> {
        let mut left = values;
        while let Some(rest) = left.checked_sub(1) {
            let more = match self.head()? {
                Head::Id(_) => 0,
                Head::Text(length) | Head::Other(length) => {
                    self.take(length)?;
                    0
                }
                Head::List(length) => length,
                Head::Dictionary(entries) => entries.checked_mul(2)?,
                Head::Tag => 1,
            };
            left = rest.checked_add(more)?;
        }
        Some(())
    }
}

/// The number in the `length` bytes behind the first one.
fn number(bytes: &[u8], length: usize) -> Option<u64> {
    let bytes = bytes.get(1..=length)?;
    Some(bytes.iter().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}

/// The specification of MessagePack, §Formats.
fn msgpack_head(bytes: &[u8]) -> Option<(Head, usize)> {
    let first = *bytes.first()?;
    let low = |mask: u8| u64::from(first & mask);
    let long = |length: usize| Some((number(bytes, length)?, 1 + length));
    Some(match first {
        0x00..=0x7F => (Head::Id(low(0x7F)), 1),
        0x80..=0x8F => (Head::Dictionary(low(0x0F)), 1),
        0x90..=0x9F => (Head::List(low(0x0F)), 1),
        0xA0..=0xBF => (Head::Text(low(0x1F)), 1),
        0xC4..=0xC6 => long(1 << (first - 0xC4)).map(|(it, length)| (Head::Other(it), length))?,
        // An extension has a type behind its length.
        0xC7..=0xC9 => {
            long(1 << (first - 0xC7)).map(|(it, length)| (Head::Other(it + 1), length))?
        }
        0xCA => (Head::Other(4), 1),
        0xCB => (Head::Other(8), 1),
        0xCC..=0xCF => long(1 << (first - 0xCC)).map(|(it, length)| (Head::Id(it), length))?,
        0xD0..=0xD3 => (Head::Other(1 << (first - 0xD0)), 1),
        0xD4..=0xD8 => (Head::Other(1 + (1 << (first - 0xD4))), 1),
        0xD9..=0xDB => long(1 << (first - 0xD9)).map(|(it, length)| (Head::Text(it), length))?,
        0xDC..=0xDD => long(2 << (first - 0xDC)).map(|(it, length)| (Head::List(it), length))?,
        0xDE..=0xDF => {
            long(2 << (first - 0xDE)).map(|(it, length)| (Head::Dictionary(it), length))?
        }
        // nil, false, true, numbers below 0; one byte has no meaning.
        _ => (Head::Other(0), 1),
    })
}

/// RFC 8949 §3.
fn cbor_head(bytes: &[u8]) -> Option<(Head, usize)> {
    let first = *bytes.first()?;
    let (argument, length) = match first & 0x1F {
        short @ 0..=23 => (u64::from(short), 1),
        long @ 24..=27 => {
            let length = 1 << (long - 24);
            (number(bytes, length)?, 1 + length)
        }
        _ => return None,
    };
    let head = match first >> 5 {
        0 => Head::Id(argument),
        2 => Head::Other(argument),
        3 => Head::Text(argument),
        4 => Head::List(argument),
        5 => Head::Dictionary(argument),
        6 => Head::Tag,
        // Numbers below 0; and null, the truth values and floats, which are as long as their heads.
        _ => Head::Other(0),
    };
    Some((head, length))
}

#[cfg(test)]
mod tests {
    use super::*;
    use integration_tests::binary;
    use serde_json::{Value, json};

    /// Reads it in every serializer. What is cut off is no message, or at least another.
    fn same(message: &Value, code: u64, ids: [u64; 2], text: &str) {
        for serializer in Serializer::ALL {
            let bytes = serializer.encode(message);
            let expected = Message { code, ids, text: text.as_bytes() };
            assert_eq!(read(serializer, &bytes).unwrap(), expected, "{serializer:?} {message}");
            for cut in (0..bytes.len()).step_by(1 + bytes.len() / 1000) {
                let _ = read(serializer, &bytes[..cut]);
            }
        }
    }

    #[test]
    fn messages_are_read_in_every_serializer() {
        let large = 9_007_199_254_740_992;
        let details = json!({
            "a": [1, [2, {}], { "}": "]\"\\", "x": null }], "b": -1.5, "c": true, "d": binary([7; 300]),
            "e": -70000, "f": "x".repeat(70_000), "g": vec![0; 20], "": [[], 256, 70_000, -1, large],
        });
        same(&json!([36, 1, large, {}, ["body"]]), 36, [1, large], "body");
        same(&json!([36, 300, 70_000, details, ["body", 2], {}]), 36, [300, 70_000], "body");
        same(&json!([50, 24, {}]), 50, [24, 0], "");
        same(&json!([50, 24, {}, []]), 50, [24, 0], "");
        same(&json!([50, 24, {}, [7]]), 50, [24, 0], "");
        same(&json!([3, {}, "wamp.close.x"]), 3, [0, 0], "wamp.close.x");
        same(&json!([8, 48, 3, {}, "an.error", ["why"]]), 8, [48, 3], "an.error");
        same(&json!([2, large, details]), 2, [large, 0], "");
        let long = "x".repeat(300);
        same(&json!([36, 1, 2, {}, [long]]), 36, [1, 2], &long);
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for bytes in [&b""[..], b"{}", b"[]", b"[\"x\"]", b"[1,2,3,4]", b"[99999999999999999999]"] {
            assert!(read(Serializer::Json, bytes).is_err(), "{bytes:?}");
        }
        for bytes in [&b"\x80"[..], b"\x90", b"\x91\xA1x", b"\xDF", b"\x94\x01\x01\x01\x01"] {
            assert!(read(Serializer::MsgPack, bytes).is_err(), "{bytes:?}");
        }
        for bytes in [&b"\x9F\x01\xFF"[..], b"\x80", b"\x81\x61x", b"\xBB"] {
            assert!(read(Serializer::Cbor, bytes).is_err(), "{bytes:?}");
        }
    }
}
