//! The productions of the grammar, as nom parsers with memchr at the leaves.
//!
//! They are of the streaming kind: [`Err::Incomplete`] means that the input ends too early, and
//! [`Err::Failure`] that nothing that follows could mend it. A production that can be long takes
//! `scanned`, the number of bytes of its input that a former attempt has searched in vain, so that
//! no byte is searched twice.

use memchr::memchr;
use nom::branch::alt;
use nom::bytes::streaming::{tag, take};
use nom::sequence::terminated;
use nom::{Err, IResult, Needed, Parser};

use crate::stomp::frame::{LONGEST_VERB, Verb};
use crate::violation::{SHOWN_LENGTH, Violation, shown};

/// `verb , eol`
pub(super) fn command_line(input: &[u8]) -> IResult<&[u8], Verb, Violation> {
    let too_long = || Violation::VerbTooLong { limit: LONGEST_VERB, got: LONGEST_VERB + 1 };
    let (rest, name) = line(input, LONGEST_VERB, 0, too_long).map_err(|error| {
        // A NUL ends a frame that has no lines: to wait for its line feed would be in vain.
        let start = &input[..input.len().min(LONGEST_VERB + 1)];
        if start.contains(&0) { unknown_verb(start) } else { error }
    })?;
    let verb = Verb::parse(name).ok_or_else(|| unknown_verb(name))?;
    Ok((rest, verb))
}

/// `name , ":" , value , eol` of at most `limit` bytes before the `eol`, or `eol` alone, which is
/// `None`. A header is told by the lengths of its name and of the line.
pub(super) fn header_line(
    input: &[u8],
    limit: usize,
    scanned: usize,
) -> IResult<&[u8], Option<(usize, usize)>, Violation> {
    let too_long = || Violation::HeaderTooLong { limit, got: limit + 1 };
    let (rest, line) = line(input, limit, scanned, too_long)?;
    if line.is_empty() {
        return Ok((rest, None));
    }
    let colon = memchr(b':', line)
        .ok_or_else(|| Err::Failure(Violation::HeaderWithoutColon { got: shown_bytes(line) }))?;
    Ok((rest, Some((colon, line.len()))))
}

/// `eol`, after `limit` header lines.
pub(super) fn end_of_headers(input: &[u8], limit: usize) -> IResult<&[u8], &[u8], Violation> {
    alt((tag("\n"), tag("\r\n")))
        .parse(input)
        .map_err(|error| error.map(|()| Violation::TooManyHeaders { limit }))
}

/// `length * octet , NUL`
pub(super) fn counted_body(input: &[u8], length: usize) -> IResult<&[u8], &[u8], Violation> {
    terminated(take(length), tag("\0"))
        .parse(input)
        .map_err(|error| error.map(|()| Violation::MissingNul { content_length: length }))
}

/// `{ octet - NUL } , NUL`
pub(super) fn open_body(input: &[u8], scanned: usize) -> IResult<&[u8], &[u8], Violation> {
    let found = memchr(0, &input[scanned..]).ok_or(Err::Incomplete(Needed::Unknown))?;
    let (body, rest) = input.split_at(scanned + found);
    Ok((&rest[1..], body))
}

/// `length`, the value of `content-length`. What is too large for a number becomes the largest: it
/// is too large for a frame as well.
pub(super) fn length(value: &[u8]) -> Result<usize, Violation> {
    let digits = value.trim_ascii();
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Violation::BadContentLength { got: shown_bytes(value) });
    }
    Ok(digits.iter().fold(0_usize, |number, digit| {
        number.saturating_mul(10).saturating_add(usize::from(digit - b'0'))
    }))
}

/// `{ octet - LF } , eol` with at most `limit` bytes before the `eol`.
fn line(
    input: &[u8],
    limit: usize,
    scanned: usize,
    too_long: impl FnOnce() -> Violation,
) -> IResult<&[u8], &[u8], Violation> {
    let window = &input[..input.len().min(limit + 2)];
    let scanned = scanned.min(window.len());
    let Some(found) = memchr(b'\n', &window[scanned..]) else {
        let fits = without_cr(window).len() <= limit;
        let incomplete = Err::Incomplete(Needed::Unknown);
        return Err(if fits { incomplete } else { Err::Failure(too_long()) });
    };
    let (line, rest) = input.split_at(scanned + found);
    let line = without_cr(line);
    if line.len() > limit {
        return Err(Err::Failure(too_long()));
    }
    Ok((&rest[1..], line))
}

fn without_cr(line: &[u8]) -> &[u8] {
    match line {
        [line @ .., b'\r'] => line,
        line => line,
    }
}

/// Shows `name` up to its first NUL, whatever has come after that.
fn unknown_verb(name: &[u8]) -> Err<Violation> {
    let end = memchr(0, name).map_or(name.len(), |nul| nul + 1);
    Err::Failure(Violation::UnknownVerb { got: shown_bytes(&name[..end]) })
}

fn shown_bytes(input: &[u8]) -> String {
    // Characters have four bytes at most; the rest of a long line need not be looked at.
    let start = &input[..input.len().min(4 * (SHOWN_LENGTH + 1))];
    shown(&String::from_utf8_lossy(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three(input: &[u8]) -> IResult<&[u8], &[u8], Violation> {
        line(input, 3, 0, || Violation::HeaderTooLong { limit: 3, got: 4 })
    }

    #[test]
    fn a_line_is_too_long_as_soon_as_no_line_end_can_save_it() {
        let too_long = Err(Err::Failure(Violation::HeaderTooLong { limit: 3, got: 4 }));
        assert_eq!(three(b"abc\r\nd"), Ok((&b"d"[..], &b"abc"[..])));
        assert_eq!(three(b"abc\r"), Err(Err::Incomplete(Needed::Unknown)));
        assert_eq!(three(b"abc\rd"), too_long);
        assert_eq!(three(b"abcd"), too_long);
        assert_eq!(three(b"abcd\n"), too_long);
    }

    #[test]
    fn a_header_is_cut_at_its_first_colon() {
        assert_eq!(header_line(b"a:b:c\n", 9, 0), Ok((&b""[..], Some((1, 5)))));
        assert_eq!(header_line(b":\n", 9, 0), Ok((&b""[..], Some((0, 1)))));
        assert_eq!(header_line(b"\r\n", 9, 0), Ok((&b""[..], None)));
        let got = String::from("ab");
        assert_eq!(
            header_line(b"ab\n", 9, 0),
            Err(Err::Failure(Violation::HeaderWithoutColon { got }))
        );
    }

    #[test]
    fn a_nul_in_the_command_line_is_a_fault_at_once() {
        let got = String::from("SEND\0");
        assert_eq!(command_line(b"SEND\0"), Err(Err::Failure(Violation::UnknownVerb { got })));
        assert_eq!(command_line(b"SEND\n\0"), Ok((&b"\0"[..], Verb::Send)));
        let too_long = Violation::VerbTooLong { limit: 11, got: 12 };
        assert_eq!(command_line(b"UNSUBSCRIBER\0\n"), Err(Err::Failure(too_long)));
    }

    #[test]
    fn a_counted_body_may_hold_nuls_and_must_be_followed_by_one() {
        assert_eq!(counted_body(b"\0\0\0.", 2), Ok((&b"."[..], &b"\0\0"[..])));
        assert_eq!(counted_body(b"ab", 2), Err(Err::Incomplete(Needed::new(1))));
        assert_eq!(
            counted_body(b"abc", 2),
            Err(Err::Error(Violation::MissingNul { content_length: 2 }))
        );
    }

    #[test]
    fn a_search_goes_on_where_the_last_one_ended() {
        assert_eq!(open_body(b"\0b\0.", 1), Ok((&b"."[..], &b"\0b"[..])));
        assert_eq!(header_line(b"a:b\n", 9, 3), Ok((&b""[..], Some((1, 3)))));
    }

    #[test]
    fn a_content_length_is_digits_with_blanks_around_them() {
        assert_eq!(length(b"0"), Ok(0));
        assert_eq!(length(b" \t12 "), Ok(12));
        assert_eq!(length(b"99999999999999999999999999"), Ok(usize::MAX));
        for bad in ["", " ", "-1", "+1", "1 2", "0x1", "1\\n"] {
            let got = bad.to_owned();
            assert_eq!(length(bad.as_bytes()), Err(Violation::BadContentLength { got }));
        }
    }
}
