//! MessagePack: the beginning of a value, and how values are written.
//!
//! *Spec.* MessagePack specification §Formats. WAMP asks for the version that tells text from
//! binary data.

use std::borrow::Cow;

use bytes::{BufMut, BytesMut};
use nom::bytes::complete::take;
use nom::number::complete::{be_f32, be_f64, be_u8, be_u16, be_u32, be_u64};

use super::scan::{Flaw, Head, Parsed, Scalar, Syntax};

/// All of a scalar, or the length of a list or dictionary.
#[inline]
pub(super) fn head(input: &[u8]) -> Parsed<'_, Head<'_>> {
    let (rest, marker) = be_u8(input)?;
    let scalar = |scalar| Ok((rest, Head::Scalar(scalar)));
    match marker {
        0x00..=0x7f => scalar(Scalar::Unsigned(u64::from(marker))),
        0xe0..=0xff => scalar(Scalar::signed(i64::from(marker.cast_signed()))),
        0x80..=0x8f => Ok((rest, Head::Dict(Some(u64::from(marker & 0x0f))))),
        0x90..=0x9f => Ok((rest, Head::List(Some(u64::from(marker & 0x0f))))),
        0xa0..=0xbf => text(rest, u32::from(marker & 0x1f)),
        0xc0 => scalar(Scalar::Null),
        0xc2 | 0xc3 => scalar(Scalar::Bool(marker == 0xc3)),
        0xc4..=0xc6 => length(rest, marker - 0xc4).and_then(|(rest, length)| binary(rest, length)),
        0xc7..=0xc9 => {
            length(rest, marker - 0xc7).and_then(|(rest, length)| extension(rest, length))
        }
        0xca => be_f32(rest).map(|(rest, value)| (rest, number(value.into()))),
        0xcb => be_f64(rest).map(|(rest, value)| (rest, number(value))),
        0xcc..=0xcf => integer(rest, marker - 0xcc, |value, _| Scalar::Unsigned(value)),
        0xd0..=0xd3 => integer(rest, marker - 0xd0, |value, bits| {
            // The sign is the uppermost of the bits that came.
            Scalar::signed((value << (64 - bits)).cast_signed() >> (64 - bits))
        }),
        0xd4..=0xd8 => extension(rest, 1 << (marker - 0xd4)),
        0xd9..=0xdb => length(rest, marker - 0xd9).and_then(|(rest, length)| text(rest, length)),
        0xdc => be_u16(rest).map(|(rest, count)| (rest, Head::List(Some(count.into())))),
        0xdd => be_u32(rest).map(|(rest, count)| (rest, Head::List(Some(count.into())))),
        0xde => be_u16(rest).map(|(rest, pairs)| (rest, Head::Dict(Some(pairs.into())))),
        0xdf => be_u32(rest).map(|(rest, pairs)| (rest, Head::Dict(Some(pairs.into())))),
        0xc1 => Err(Flaw::unexpected(input, "the marker of a value")),
    }
}

/// A length of 1, 2 or 4 bytes.
fn length(input: &[u8], width: u8) -> Parsed<'_, u32> {
    match width {
        0 => be_u8(input).map(|(rest, length)| (rest, length.into())),
        1 => be_u16(input).map(|(rest, length)| (rest, length.into())),
        _ => be_u32(input),
    }
}

/// An integer of 1, 2, 4 or 8 bytes, which `value` makes of them and of their number of bits.
#[inline]
fn integer(
    input: &[u8],
    width: u8,
    value: fn(u64, u32) -> Scalar<'static>,
) -> Parsed<'_, Head<'_>> {
    let (rest, unsigned) = match width {
        0 => be_u8(input).map(|(rest, value)| (rest, value.into()))?,
        1 => be_u16(input).map(|(rest, value)| (rest, value.into()))?,
        2 => be_u32(input).map(|(rest, value)| (rest, value.into()))?,
        _ => be_u64(input)?,
    };
    Ok((rest, Head::Scalar(value(unsigned, 8 << width))))
}

const fn number(value: f64) -> Head<'static> {
    Head::Scalar(Scalar::Number(value))
}

fn text(input: &[u8], length: u32) -> Parsed<'_, Head<'_>> {
    let (rest, bytes) = take(length)(input)?;
    let text = std::str::from_utf8(bytes).map_err(|_| Flaw::at(input, Syntax::NotUtf8))?;
    Ok((rest, Head::Scalar(Scalar::Text(Cow::Borrowed(text)))))
}

fn binary(input: &[u8], length: u32) -> Parsed<'_, Head<'_>> {
    let (rest, _) = take(length)(input)?;
    Ok((rest, Head::Scalar(Scalar::Binary)))
}

/// A type of one byte and the data; timestamps are such.
fn extension(input: &[u8], length: u32) -> Parsed<'_, Head<'_>> {
    let (rest, _) = be_u8(input)?;
    let (rest, _) = take(length)(rest)?;
    Ok((rest, Head::Scalar(Scalar::Foreign("a MessagePack extension"))))
}

pub(super) fn put_bool(out: &mut BytesMut, value: bool) {
    out.put_u8(0xc2 + u8::from(value));
}

/// In as few bytes as will do.
#[expect(clippy::cast_possible_truncation, reason = "each arm is for values of its size")]
pub(super) fn put_unsigned(out: &mut BytesMut, value: u64) {
    match value {
        0..=0x7f => out.put_u8(value as u8),
        0x80..=0xff => put_marked(out, 0xcc, &[value as u8]),
        0x100..=0xffff => put_marked(out, 0xcd, &(value as u16).to_be_bytes()),
        0x1_0000..=0xffff_ffff => put_marked(out, 0xce, &(value as u32).to_be_bytes()),
        _ => put_marked(out, 0xcf, &value.to_be_bytes()),
    }
}

pub(super) fn put_text(out: &mut BytesMut, text: &str) {
    match text.len() {
        length @ 0..=31 => out.put_u8(0xa0 | low_byte(length)),
        length @ 32..=0xff => put_marked(out, 0xd9, &[low_byte(length)]),
        length => put_length(out, [0xda, 0xdb], length),
    }
    out.extend_from_slice(text.as_bytes());
}

pub(super) fn put_list(out: &mut BytesMut, count: usize) {
    match count {
        0..=15 => out.put_u8(0x90 | low_byte(count)),
        _ => put_length(out, [0xdc, 0xdd], count),
    }
}

pub(super) fn put_dict(out: &mut BytesMut, pairs: usize) {
    match pairs {
        0..=15 => out.put_u8(0x80 | low_byte(pairs)),
        _ => put_length(out, [0xde, 0xdf], pairs),
    }
}

/// A length of 2 or 4 bytes behind the marker for it.
fn put_length(out: &mut BytesMut, markers: [u8; 2], length: usize) {
    match u16::try_from(length) {
        Ok(length) => put_marked(out, markers[0], &length.to_be_bytes()),
        Err(_) => {
            let length = u32::try_from(length).expect("no message has 4 GiB");
            put_marked(out, markers[1], &length.to_be_bytes());
        }
    }
}

fn put_marked(out: &mut BytesMut, marker: u8, bytes: &[u8]) {
    out.put_u8(marker);
    out.extend_from_slice(bytes);
}

#[expect(clippy::cast_possible_truncation, reason = "what is wanted")]
const fn low_byte(length: usize) -> u8 {
    length as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wamp::serializer::{Budget, Limits, Serializer};

    fn scalar(input: &[u8]) -> Scalar<'_> {
        let (rest, scalar) = Serializer::MsgPack.scalar(input).unwrap();
        assert_eq!(rest, b"");
        scalar
    }

    fn check(input: &[u8]) -> Result<(), Syntax> {
        let limits = Limits { depth: 3, ..Limits::DEFAULT };
        Serializer::MsgPack.check(input, &mut Budget::new(limits)).map_err(|flaw| flaw.syntax)
    }

    #[test]
    fn integers_keep_their_sign_and_size() {
        assert_eq!(scalar(b"\x7f"), Scalar::Unsigned(127));
        assert_eq!(scalar(b"\xe0"), Scalar::signed(-32));
        assert_eq!(scalar(b"\xcc\xff"), Scalar::Unsigned(255));
        assert_eq!(scalar(b"\xd0\xff"), Scalar::signed(-1));
        assert_eq!(scalar(b"\xd1\x80\x00"), Scalar::signed(-32768));
        assert_eq!(scalar(b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff"), Scalar::Unsigned(u64::MAX));
        assert_eq!(scalar(b"\xd3\x80\0\0\0\0\0\0\0"), Scalar::signed(i64::MIN));
    }

    #[test]
    fn floats_are_read_in_both_widths() {
        assert_eq!(scalar(b"\xca\x3f\xc0\0\0"), Scalar::Number(1.5));
        assert_eq!(scalar(b"\xcb\xc0\x24\0\0\0\0\0\0"), Scalar::Number(-10.0));
        assert_eq!(check(b"\xca\x3f\xc0\0"), Err(Syntax::CutShort));
        assert_eq!(check(b"\xcb"), Err(Syntax::CutShort));
    }

    #[test]
    fn a_written_integer_is_read_as_it_was() {
        for value in [0, 127, 128, 255, 256, 65_535, 65_536, 1 << 32, 1 << 53, u64::MAX] {
            let mut out = BytesMut::new();
            put_unsigned(&mut out, value);
            assert_eq!(scalar(&out), Scalar::Unsigned(value));
        }
    }

    #[test]
    fn texts_of_every_length_are_read_as_they_were() {
        for length in [0, 31, 32, 255, 256, 65_535, 65_536] {
            let text = "x".repeat(length);
            let mut out = BytesMut::new();
            put_text(&mut out, &text);
            assert_eq!(scalar(&out), Scalar::Text(Cow::Borrowed(&text)));
        }
    }

    #[test]
    fn what_is_not_well_formed_is_refused() {
        assert_eq!(check(b"\x92\x01\x81\xa1a\xc4\x01\xff"), Ok(()));
        assert_eq!(check(b""), Err(Syntax::CutShort));
        assert_eq!(check(b"\x92\x01"), Err(Syntax::CutShort));
        assert_eq!(check(b"\xdd\xff\xff\xff\xff\x01"), Err(Syntax::CutShort));
        assert_eq!(check(b"\xa2a"), Err(Syntax::CutShort));
        assert_eq!(check(b"\xa1\xff"), Err(Syntax::NotUtf8));
        assert_eq!(check(b"\x01\x01"), Err(Syntax::TrailingBytes));
        let expected = "the marker of a value";
        assert_eq!(check(b"\xc1"), Err(Syntax::Unexpected { expected, got: 0xc1 }));
        assert_eq!(check(b"\x91\x91\x90"), Ok(()));
        assert_eq!(check(b"\x91\x91\x91\x90"), Err(Syntax::TooDeep { limit: 3 }));
    }

    #[test]
    fn extensions_are_let_through_and_noticed() {
        for input in [&b"\xd6\xff\0\0\0\x01"[..], b"\xc7\x02\x05ab", b"\xd4\x05a"] {
            let mut budget = Budget::new(Limits::DEFAULT);
            assert_eq!(Serializer::MsgPack.check(input, &mut budget), Ok(()));
            assert_eq!(budget.foreign, Some("a MessagePack extension"));
        }
    }
}
