//! Encoding frames: one buffer each, escaped as the version in force wants.
//!
//! Writes what it is told: which headers a frame needs is the session's business. Whatever the
//! names and values hold, the frame has these headers and no others: bytes that would end a line
//! or a frame and cannot be escaped are replaced (see [`Escaping`]).
//!
//! *Spec.* STOMP 1.0, 1.1 §Value Encoding, 1.2 §Value Encoding, §Body. A frame ends with NUL and a
//! line feed, which the specification allows and clients of RabbitMQ are used to.

use std::io;

use bytes::Bytes;

use crate::stomp::Version;
use crate::stomp::frame::Verb;

/// How header names and values are escaped: by version, and not at all in CONNECT and CONNECTED, but
/// for [`Every`](Self::Every).
///
/// Messages from other protocols bring headers with any bytes in them. What the version cannot
/// escape is replaced by a space:
/// - NUL, always. It is allowed in a header, yet clients split their input at it, and the headers
///   that follow would become those of a forged frame.
/// - line feed and carriage return, and a colon in a name, where nothing is escaped: they would
///   forge a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Escaping {
    /// STOMP 1.0, and CONNECT, STOMP and CONNECTED of every version.
    None,
    /// STOMP 1.1: `\n`, `\c` and `\\`. A carriage return stays as it is, as this version wants; one
    /// that ends a value is lost on readers that take CR LF for a line end.
    V11,
    /// STOMP 1.2: also `\r`.
    V12,
    /// As in 1.2, and in the frames that no version escapes too: RabbitMQ's plugin does so.
    Every,
}

impl Escaping {
    /// The escaping of this version, for all frames but CONNECT, STOMP and CONNECTED.
    pub const fn of(version: Version) -> Self {
        match version {
            Version::V10 => Self::None,
            Version::V11 => Self::V11,
            Version::V12 => Self::V12,
        }
    }

    /// What stands for `byte` in a header, if it cannot stand for itself.
    const fn substitute(self, byte: u8, part: Part) -> Option<&'static [u8]> {
        Some(match (byte, self) {
            (0, _) | (b'\n' | b'\r', Self::None) => b" ",
            (b':', Self::None) => match part {
                Part::Name => b" ",
                Part::Value => return None,
            },
            (b'\n', _) => b"\\n",
            (b':', _) => b"\\c",
            (b'\\', Self::V11 | Self::V12 | Self::Every) => b"\\\\",
            (b'\r', Self::V12 | Self::Every) => b"\\r",
            _ => return None,
        })
    }
}

/// Builds one frame.
///
/// *Cost.* One buffer, allocated once if the headers are no longer than usual; nothing per header.
#[derive(Debug)]
pub struct Encoder {
    buffer: Vec<u8>,
    escaping: Escaping,
    has_length: bool,
}

impl Encoder {
    /// A frame of this verb. `body_len` is the expected length of its body, so that the buffer is
    /// large enough from the start.
    pub fn new(verb: Verb, escaping: Escaping, body_len: usize) -> Self {
        let mut buffer = Vec::with_capacity(USUAL_HEAD + body_len);
        buffer.extend_from_slice(verb.as_str().as_bytes());
        buffer.push(b'\n');
        Self { buffer, escaping, has_length: false }
    }

    /// Adds a header. Of headers of the same name the first counts.
    pub fn header(&mut self, name: &str, value: &str) -> &mut Self {
        self.part(name.as_bytes(), Part::Name);
        self.buffer.push(b':');
        self.part(value.as_bytes(), Part::Value);
        self.buffer.push(b'\n');
        self
    }

    /// Adds a header whose value is written piece by piece.
    ///
    /// *Errors.* Writing never fails. *Cost.* No buffer but the frame's.
    pub fn composed(&mut self, name: &str, write: impl FnOnce(&mut HeaderValue<'_>)) -> &mut Self {
        self.part(name.as_bytes(), Part::Name);
        self.buffer.push(b':');
        write(&mut HeaderValue { frame: self });
        self.buffer.push(b'\n');
        self
    }

    /// Adds a header with a decimal number as its value.
    pub fn number(&mut self, name: &str, value: u64) -> &mut Self {
        let mut digits = [0; LONGEST_NUMBER];
        let start = decimal(value, &mut digits);
        self.part(name.as_bytes(), Part::Name);
        self.buffer.push(b':');
        self.buffer.extend_from_slice(&digits[start..]);
        self.buffer.push(b'\n');
        self
    }

    /// Adds `content-length` here, if there will be a body: before headers that others have named.
    ///
    /// *Order.* The body that [`finish`](Self::finish) is given has this length.
    pub fn body_length(&mut self, length: usize) -> &mut Self {
        self.has_length = true;
        if length > 0 {
            self.number("content-length", length as u64);
        }
        self
    }

    /// Adds `content-length` if there is a body and [`body_length`](Self::body_length) has not, then
    /// the body, and ends the frame.
    pub fn finish(mut self, body: &[u8]) -> Bytes {
        if !self.has_length {
            self.body_length(body.len());
        }
        self.buffer.reserve(body.len() + 3);
        self.buffer.push(b'\n');
        self.buffer.extend_from_slice(body);
        self.buffer.extend_from_slice(b"\0\n");
        Bytes::from(self.buffer)
    }

    fn part(&mut self, bytes: &[u8], part: Part) {
        if may_need_substitutes(bytes) {
            self.substituted(bytes, part);
        } else {
            self.buffer.extend_from_slice(bytes);
        }
    }

    #[cold]
    fn substituted(&mut self, bytes: &[u8], part: Part) {
        let mut copied = 0;
        for (at, &byte) in bytes.iter().enumerate() {
            if let Some(substitute) = self.escaping.substitute(byte, part) {
                self.buffer.extend_from_slice(&bytes[copied..at]);
                self.buffer.extend_from_slice(substitute);
                copied = at + 1;
            }
        }
        self.buffer.extend_from_slice(&bytes[copied..]);
    }
}

/// The value of a header, while it is written: escaped as it comes. It takes UTF-8 only, in pieces
/// of any kind.
#[derive(Debug)]
pub struct HeaderValue<'a> {
    frame: &'a mut Encoder,
}

impl io::Write for HeaderValue<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.frame.part(bytes, Part::Value);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Room for verb, headers and the end of a frame in a fresh buffer.
const USUAL_HEAD: usize = 384;

/// Digits of [`u64::MAX`].
const LONGEST_NUMBER: usize = 20;

/// Which side of the colon.
#[derive(Clone, Copy)]
enum Part {
    Name,
    Value,
}

/// Whether a byte is in there that some version has a substitute for.
fn may_need_substitutes(bytes: &[u8]) -> bool {
    // Without leaving early: names and values are short, and hardly one needs a substitute.
    bytes.iter().fold(false, |found, &byte| found | SUBSTITUTED[usize::from(byte)])
}

/// The bytes that some version has a substitute for: 1.2 has one for each of them.
const SUBSTITUTED: [bool; 256] = {
    let mut substituted = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        substituted[byte] = Escaping::V12.substitute(byte as u8, Part::Name).is_some();
        byte += 1;
    }
    substituted
};

/// Writes `value` to the end of `digits` and says where it starts.
fn decimal(mut value: u64, digits: &mut [u8; LONGEST_NUMBER]) -> usize {
    let mut start = LONGEST_NUMBER;
    loop {
        start -= 1;
        digits[start] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            return start;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn with_header(escaping: Escaping, name: &str, value: &str) -> Bytes {
        let mut encoder = Encoder::new(Verb::Message, escaping, 0);
        encoder.header(name, value);
        encoder.finish(b"")
    }

    #[test]
    fn a_frame_is_verb_headers_blank_line_body_nul_and_line_feed() {
        let mut encoder = Encoder::new(Verb::Message, Escaping::V12, 3);
        encoder.header("destination", "/queue/a").number("subscription", 7);
        let expected =
            "MESSAGE\ndestination:/queue/a\nsubscription:7\ncontent-length:3\n\na\0b\0\n";
        assert_eq!(encoder.finish(b"a\0b"), expected);
    }

    #[test]
    fn an_empty_body_has_no_content_length() {
        assert_eq!(Encoder::new(Verb::Receipt, Escaping::V12, 0).finish(b""), "RECEIPT\n\n\0\n");
    }

    #[test]
    fn the_length_of_the_body_is_said_once_where_it_is_asked_for() {
        let mut encoder = Encoder::new(Verb::Message, Escaping::V12, 3);
        encoder.body_length(3).header("content-length ", "1");
        let expected = "MESSAGE\ncontent-length:3\ncontent-length :1\n\nabc\0\n";
        assert_eq!(encoder.finish(b"abc"), expected);
        let mut encoder = Encoder::new(Verb::Message, Escaping::V12, 0);
        encoder.body_length(0);
        assert_eq!(encoder.finish(b""), "MESSAGE\n\n\0\n");
    }

    #[test]
    fn each_version_escapes_what_it_can_in_names_and_values() {
        assert_eq!(
            with_header(Escaping::V12, "a:\\", "b:\n\r\\"),
            "MESSAGE\na\\c\\\\:b\\c\\n\\r\\\\\n\n\0\n"
        );
        assert_eq!(
            with_header(Escaping::V11, "a:\\", "b:\n\r\\"),
            "MESSAGE\na\\c\\\\:b\\c\\n\r\\\\\n\n\0\n"
        );
    }

    #[test]
    fn a_composed_value_is_escaped_as_a_whole_one() {
        for escaping in [Escaping::None, Escaping::V11, Escaping::V12] {
            let mut encoder = Encoder::new(Verb::Message, escaping, 0);
            encoder.composed("a:", |value| {
                for piece in ["{\"b", "\":", "\\", "\n\0ü", "}"] {
                    value.write_all(piece.as_bytes()).unwrap();
                }
            });
            let whole = with_header(escaping, "a:", "{\"b\":\\\n\0ü}");
            assert_eq!(encoder.finish(b""), whole);
        }
    }

    #[test]
    fn without_escapes_nothing_can_forge_a_header() {
        assert_eq!(
            with_header(Escaping::None, "a:b\nc", "d:e\\\r\nforged:1"),
            "MESSAGE\na b c:d:e\\  forged:1\n\n\0\n"
        );
    }

    #[test]
    fn no_version_lets_a_header_end_the_frame() {
        for escaping in [Escaping::None, Escaping::V11, Escaping::V12] {
            assert_eq!(with_header(escaping, "a\0", "b\0ERROR"), "MESSAGE\na :b ERROR\n\n\0\n");
        }
    }

    #[test]
    fn numbers_are_decimal() {
        for value in [0, 9, 10, 12_345, u64::MAX] {
            let mut encoder = Encoder::new(Verb::Message, Escaping::V12, 0);
            encoder.number("n", value);
            assert_eq!(encoder.finish(b""), format!("MESSAGE\nn:{value}\n\n\0\n"));
        }
    }

    #[test]
    fn usual_frames_are_built_in_one_buffer() {
        let mut encoder = Encoder::new(Verb::Message, Escaping::V12, 1_000);
        let before = encoder.buffer.as_ptr();
        encoder.header("destination", "/queue/a").header("message-id", "T_1@@session@@1");
        assert_eq!(encoder.finish(&[b'x'; 1_000]).as_ptr(), before);
    }
}
