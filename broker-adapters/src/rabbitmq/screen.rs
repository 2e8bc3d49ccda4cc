//! What RabbitMQ sends, made safe for lapin to read.
//!
//! RabbitMQ hands on what publishers wrote without looking at it, and lapin's parser is not made
//! for all of it:
//! - a short string that is not UTF-8 (a routing key, a property, the name of a header, a reply
//!   text that was cut inside a character) is an error, and the end of the connection; if it was a
//!   delivery, it comes again;
//! - arrays and tables are parsed by recursion without a bound: some hundred of them in each other
//!   overflow the stack, which ends the process.
//!
//! Both are changed on the way in, without changing any length: bytes that are not UTF-8 become
//! `?`, and an array or a table deeper than [`Value::MAX_DEPTH`] becomes a byte array of what it
//! was encoded as. All else is left as it is, also what cannot be parsed at all.
//!
//! *Spec.* AMQP 0-9-1 §2.3.5 (frames), §4.2 (wire format).

use std::io;

use protocols::broker::Value;

/// Bytes before a frame's payload: type, channel, size.
const HEAD: usize = 1 + 2 + 4;
/// Bytes around a frame's payload.
const OVERHEAD: usize = HEAD + 1;

const METHOD: u8 = 1;
/// Class and method.
const BASIC_RETURN: [u8; 4] = [0, 60, 0, 50];
const HEADER: u8 = 2;

/// Bytes of the largest frame that is looked at, which is held back until it is complete; those of
/// RabbitMQ are 128 KiB unless it is told otherwise.
const MAX_FRAME: usize = 16 << 20;

/// Looks through one connection's input.
#[derive(Debug, Default)]
pub(super) struct Screen {
    /// Bytes to come of a frame that need not be looked at.
    passing: usize,
    /// Whether something was changed.
    has_changed: bool,
    /// Channels that a message comes back on.
    returned: Vec<u16>,
}

impl Screen {
    /// Makes these bytes safe, which follow those that were safe before, and says how many are.
    /// The rest is part of a frame, and wanted again with what follows it.
    ///
    /// *Errors.* A frame is too large to be held back.
    pub(super) fn pass(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut at = 0;
        loop {
            let passed = self.passing.min(bytes.len() - at);
            self.passing -= passed;
            at += passed;
            let Some(head) = bytes[at..].first_chunk::<HEAD>() else {
                return Ok(at);
            };
            let [kind, high, low, size @ ..] = *head;
            let size = u32::from_be_bytes(size) as usize + OVERHEAD;
            match kind {
                METHOD | HEADER if size > MAX_FRAME => return Err(too_large(size)),
                METHOD | HEADER => {
                    let Some(frame) = bytes.get_mut(at..at + size) else {
                        return Ok(at);
                    };
                    let payload = &mut frame[HEAD..size - 1];
                    if kind == METHOD && payload.starts_with(&BASIC_RETURN) {
                        self.returned.push(u16::from_be_bytes([high, low]));
                    }
                    let mut payload = Unread { bytes: payload, has_changed: &mut self.has_changed };
                    // What breaks off cannot be parsed: lapin comes as far, and says so.
                    let _broken_off = match kind {
                        METHOD => payload.method(),
                        _ => payload.header(),
                    };
                    at += size;
                }
                _ => self.passing = size,
            }
        }
    }

    /// Whether something was changed since this was asked last.
    pub(super) const fn take_changed(&mut self) -> bool {
        std::mem::replace(&mut self.has_changed, false)
    }

    /// The channels that messages have come back on since this was asked last.
    pub(super) fn take_returned(&mut self) -> impl Iterator<Item = u16> {
        self.returned.drain(..)
    }
}

fn too_large(size: usize) -> io::Error {
    let text = format!("a frame of {size} bytes is larger than {MAX_FRAME}");
    io::Error::new(io::ErrorKind::InvalidData, text)
}

/// What is still to be looked at of a payload, in the order in which lapin parses it.
struct Unread<'a> {
    bytes: &'a mut [u8],
    has_changed: &'a mut bool,
}

impl Unread<'_> {
    /// The texts of those methods that bring texts of others: publishers' and RabbitMQ's own, which
    /// it cuts at 255 bytes wherever that is.
    fn method(&mut self) -> Option<()> {
        match self.array()? {
            // connection.close, channel.close: code, text.
            [0, 10, 0, 50] | [0, 20, 0, 40] => self.skip(2)?.short(),
            // connection.blocked: reason.
            [0, 10, 0, 60] => self.short(),
            // basic.return: code, text, exchange, routing key.
            BASIC_RETURN => self.skip(2)?.short()?.short()?.short(),
            // basic.deliver: consumer, tag, redelivered, exchange, routing key.
            [0, 60, 0, 60] => self.short()?.skip(9)?.short()?.short(),
            // basic.get-ok: tag, redelivered, exchange, routing key.
            [0, 60, 0, 71] => self.skip(9)?.short()?.short(),
            _ => return None,
        }?;
        Some(())
    }

    fn header(&mut self) -> Option<()> {
        // Class, weight, size of the body.
        self.skip(2 + 2 + 8)?;
        let flags = u16::from_be_bytes(self.array()?);
        for (at, property) in PROPERTIES.into_iter().enumerate() {
            if flags & 1 << (15 - at) != 0 {
                match property {
                    Property::Text => self.short()?,
                    Property::Table => self.table(Value::MAX_DEPTH)?,
                    Property::Number(bytes) => self.skip(bytes)?,
                };
            }
        }
        Some(())
    }

    /// A table in which arrays and tables may lie `depth` deep.
    fn table(&mut self, depth: usize) -> Option<&mut Self> {
        let mut entries = self.long()?;
        while !entries.bytes.is_empty() {
            entries.short()?.value(depth)?;
        }
        Some(self)
    }

    fn array_of_values(&mut self, depth: usize) -> Option<&mut Self> {
        let mut values = self.long()?;
        while !values.bytes.is_empty() {
            values.value(depth)?;
        }
        Some(self)
    }

    /// A value with its type. `depth`: see [`table`](Self::table).
    fn value(&mut self, depth: usize) -> Option<&mut Self> {
        let (kind, _) = self.bytes.split_first_mut()?;
        if depth == 0 && matches!(*kind, b'A' | b'F') {
            *kind = b'x';
            *self.has_changed = true;
        }
        let [kind] = self.array()?;
        match kind {
            b'V' => Some(self),
            b't' | b'b' | b'B' => self.skip(1),
            b's' | b'u' | b'U' => self.skip(2),
            b'I' | b'i' | b'f' => self.skip(4),
            b'D' => self.skip(5),
            b'l' | b'L' | b'd' | b'T' => self.skip(8),
            b'S' | b'x' => {
                self.long()?;
                Some(self)
            }
            b'A' => self.array_of_values(depth - 1),
            b'F' => self.table(depth - 1),
            _ => None,
        }
    }

    /// A short string.
    fn short(&mut self) -> Option<&mut Self> {
        let [length] = self.array()?;
        let text = self.take(length.into())?;
        let mut at = 0;
        while let Err(error) = str::from_utf8(&text[at..]) {
            at += error.valid_up_to();
            let bad = error.error_len().unwrap_or(text.len() - at);
            text[at..at + bad].fill(b'?');
            *self.has_changed = true;
        }
        Some(self)
    }

    /// What lies behind a length of four bytes.
    fn long(&mut self) -> Option<Unread<'_>> {
        let length = u32::from_be_bytes(self.array()?);
        let bytes = self.take(length as usize)?;
        Some(Unread { bytes, has_changed: self.has_changed })
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.first_chunk().copied()
    }

    fn skip(&mut self, count: usize) -> Option<&mut Self> {
        self.take(count)?;
        Some(self)
    }
}

impl<'a> Unread<'a> {
    fn take(&mut self, count: usize) -> Option<&'a mut [u8]> {
        let (taken, rest) = std::mem::take(&mut self.bytes).split_at_mut_checked(count)?;
        self.bytes = rest;
        Some(taken)
    }
}

/// How a property is written.
#[derive(Clone, Copy)]
enum Property {
    Text,
    Table,
    Number(usize),
}

/// Those of a content header, by their flags from the highest down.
const PROPERTIES: [Property; 14] = [
    Property::Text,      // content-type
    Property::Text,      // content-encoding
    Property::Table,     // headers
    Property::Number(1), // delivery-mode
    Property::Number(1), // priority
    Property::Text,      // correlation-id
    Property::Text,      // reply-to
    Property::Text,      // expiration
    Property::Text,      // message-id
    Property::Number(8), // timestamp
    Property::Text,      // type
    Property::Text,      // user-id
    Property::Text,      // app-id
    Property::Text,      // cluster-id
];

#[cfg(test)]
mod tests;
