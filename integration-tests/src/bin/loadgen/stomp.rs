//! STOMP 1.2 as far as the load generator speaks it.
//!
//! Header values are written and compared as they are. Those the load generator chooses hold nothing
//! that would have to be escaped, and those the server chooses are only sent back.

use crate::fault::Fault;

/// A frame from the server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Frame<'a> {
    /// The command.
    pub(crate) verb: &'a [u8],
    /// All header lines, each with its line feed.
    headers: &'a [u8],
    /// The body.
    pub(crate) body: &'a [u8],
}

impl<'a> Frame<'a> {
    /// The first header of this name, as it came.
    pub(crate) fn header(&self, name: &[u8]) -> Option<&'a [u8]> {
        header(self.headers, name)
    }

    /// As [`header`](Self::header), for people.
    pub(crate) fn shown(&self, name: &[u8]) -> String {
        String::from_utf8_lossy(self.header(name).unwrap_or_default()).into_owned()
    }
}

/// A frame as on the wire. `head` is the verb and the headers, each on a line of its own.
pub(crate) fn frame(head: &str, body: &[u8]) -> Vec<u8> {
    [head.as_bytes(), b"\n\n", body, b"\0"].concat()
}

/// The first frame in `bytes`, and how many bytes it takes there, line feeds before it included;
/// `None` while it is not whole.
///
/// *Errors.* What a server must not send.
pub(crate) fn next_frame(bytes: &[u8]) -> Result<Option<(Frame<'_>, usize)>, Fault> {
    let heart_beats = bytes.iter().take_while(|byte| **byte == b'\n').count();
    let text = &bytes[heart_beats..];
    let Some(head_end) = memchr::memmem::find(text, b"\n\n") else {
        return Ok(None);
    };
    let head = &text[..=head_end];
    let verb_end = memchr::memchr(b'\n', head).expect("a head ends with a line feed");
    let (verb, headers) = (&head[..verb_end], &head[verb_end + 1..]);
    let rest = &text[head_end + 2..];
    let length = match header(headers, b"content-length") {
        Some(digits) => number(digits).ok_or(Fault::Violation("content-length is no number"))?,
        None => match memchr::memchr(0, rest) {
            Some(length) => length,
            None => return Ok(None),
        },
    };
    match rest.get(length) {
        None => Ok(None),
        Some(0) => {
            let end = heart_beats + head_end + 2 + length + 1;
            Ok(Some((Frame { verb, headers, body: &rest[..length] }, end)))
        }
        Some(_) => Err(Fault::Violation("a STOMP body is not followed by a NUL")),
    }
}

/// The value of the first header of this name; `headers` has a line feed after each.
fn header<'a>(mut headers: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    while let Some(end) = memchr::memchr(b'\n', headers) {
        let line = &headers[..end];
        if line.starts_with(name) && line.get(name.len()) == Some(&b':') {
            return Some(&line[name.len() + 1..]);
        }
        headers = &headers[end + 1..];
    }
    None
}

fn number(digits: &[u8]) -> Option<usize> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_back_as_they_are_written() {
        let bytes = [b"\n\n", &frame("MESSAGE\ncontent-length:3\nack:7", b"x\0y")[..]].concat();
        let (message, end) = next_frame(&bytes).unwrap().unwrap();
        assert_eq!(end, bytes.len());
        assert_eq!((message.verb, message.body), (&b"MESSAGE"[..], &b"x\0y"[..]));
        assert_eq!(message.header(b"ack"), Some(&b"7"[..]));
        assert_eq!(message.header(b"ac"), None);
        for cut in 0..bytes.len() {
            assert_eq!(next_frame(&bytes[..cut]).unwrap(), None, "{cut}");
        }
    }

    #[test]
    fn a_body_without_a_length_ends_at_the_first_nul() {
        let bytes = frame("RECEIPT\nreceipt-id:1", b"");
        let (receipt, end) = next_frame(&bytes).unwrap().unwrap();
        assert_eq!((receipt.body, end), (&b""[..], bytes.len()));
        assert_eq!(next_frame(b"RECEIPT\n\nabc").unwrap(), None);
    }

    #[test]
    fn a_length_that_is_wrong_is_refused() {
        assert!(next_frame(b"MESSAGE\ncontent-length:2\n\nabc\0").is_err());
        assert!(next_frame(b"MESSAGE\ncontent-length:x\n\nabc\0").is_err());
    }
}
