//! CBOR: the beginning of a value, and how values are written.
//!
//! *Spec.* RFC 8949 §3 (major types, indefinite lengths), §5.3.1 (well-formedness). What is written
//! has definite lengths, in as few bytes as will do (§4.1).

use std::borrow::Cow;

use bytes::{BufMut, BytesMut};
use nom::bytes::complete::take;
use nom::number::complete::{be_f32, be_f64, be_u8, be_u16, be_u32, be_u64};

use super::scan::{Flaw, Head, Parsed, Scalar, Syntax};

/// Ends what has no definite length.
pub(super) const BREAK: u8 = 0xff;

const UNSIGNED: u8 = 0;
const NEGATIVE: u8 = 1;
const BINARY: u8 = 2;
const TEXT: u8 = 3;
const LIST: u8 = 4;
const DICT: u8 = 5;
const TAG: u8 = 6;

/// All of a scalar, or the length of a list or dictionary.
#[inline]
pub(super) fn head(input: &[u8]) -> Parsed<'_, Head<'_>> {
    let (rest, initial) = be_u8(input)?;
    let (major, info) = (initial >> 5, initial & 0x1f);
    if major > TAG {
        return simple(input, rest, info);
    }
    let (rest, argument) = argument(input, rest, info)?;
    let (rest, head) = match (major, argument) {
        (UNSIGNED, Some(value)) => (rest, Head::Scalar(Scalar::Unsigned(value))),
        (NEGATIVE, Some(value)) => (rest, Head::Scalar(Scalar::Negative(value))),
        (BINARY, length) => string(rest, BINARY, length).map(binary)?,
        (TEXT, length) => string(rest, TEXT, length).and_then(text)?,
        (LIST, count) => (rest, Head::List(count)),
        (DICT, pairs) => (rest, Head::Dict(pairs)),
        (TAG, Some(_)) => (rest, Head::Tag),
        _ => return Err(Flaw::unexpected(input, "a definite length")),
    };
    Ok((rest, head))
}

/// The number behind the initial byte, or in it. `None`: the length is indefinite.
fn argument<'a>(start: &[u8], input: &'a [u8], info: u8) -> Parsed<'a, Option<u64>> {
    let (rest, value) = match info {
        0..=23 => (input, u64::from(info)),
        24 => be_u8(input).map(|(rest, value)| (rest, value.into()))?,
        25 => be_u16(input).map(|(rest, value)| (rest, value.into()))?,
        26 => be_u32(input).map(|(rest, value)| (rest, value.into()))?,
        27 => be_u64(input)?,
        31 => return Ok((input, None)),
        _ => return Err(Flaw::unexpected(start, "an initial byte of a defined kind")),
    };
    Ok((rest, Some(value)))
}

/// Major type 7: flags, null, floats, the break.
fn simple<'a>(start: &[u8], input: &'a [u8], info: u8) -> Parsed<'a, Head<'a>> {
    let number = |value| Head::Scalar(Scalar::Number(value));
    let undefined = Scalar::Foreign("a CBOR simple value");
    let scalar = match info {
        20 | 21 => Scalar::Bool(info == 21),
        22 | 23 => Scalar::Null, // 23 is `undefined`
        24 => {
            let (rest, value) = be_u8(input)?;
            if value < 32 {
                return Err(Flaw::unexpected(input, "a simple value of at least 32"));
            }
            return Ok((rest, Head::Scalar(undefined)));
        }
        25 => return be_u16(input).map(|(rest, bits)| (rest, number(half(bits)))),
        26 => return be_f32(input).map(|(rest, value)| (rest, number(value.into()))),
        27 => return be_f64(input).map(|(rest, value)| (rest, number(value))),
        31 => return Ok((input, Head::Break)),
        0..=19 => undefined,
        _ => return Err(Flaw::unexpected(start, "an initial byte of a defined kind")),
    };
    Ok((input, Head::Scalar(scalar)))
}

/// The value of a float of 16 bits (RFC 8949 Appendix D).
fn half(bits: u16) -> f64 {
    let (exponent, mantissa) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff));
    let magnitude = match exponent {
        0 => mantissa * 2_f64.powi(-24),
        31 if mantissa == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1024.0 + mantissa) * 2_f64.powi(exponent - 25),
    };
    if bits >> 15 == 0 { magnitude } else { -magnitude }
}

/// The bytes of text or binary data. `length` is `None` for one in parts, which are joined.
fn string(input: &[u8], major: u8, length: Option<u64>) -> Parsed<'_, Cow<'_, [u8]>> {
    if let Some(length) = length {
        return bytes(input, length).map(|(rest, bytes)| (rest, Cow::Borrowed(bytes)));
    }
    let mut joined = Vec::new();
    let mut input = input;
    loop {
        let (rest, initial) = be_u8(input)?;
        if initial == BREAK {
            return Ok((rest, Cow::Owned(joined)));
        }
        if initial >> 5 != major {
            return Err(Flaw::at(input, Syntax::BadChunk));
        }
        let (rest, length) = argument(input, rest, initial & 0x1f)?;
        let length = length.ok_or_else(|| Flaw::at(input, Syntax::BadChunk))?;
        let (rest, part) = bytes(rest, length)?;
        // RFC 8949 §3.2.3: no character is split between parts.
        if major == TEXT && std::str::from_utf8(part).is_err() {
            return Err(Flaw::at(input, Syntax::NotUtf8));
        }
        joined.extend_from_slice(part);
        input = rest;
    }
}

fn bytes(input: &[u8], length: u64) -> Parsed<'_, &[u8]> {
    match usize::try_from(length) {
        Ok(length) => take(length)(input),
        Err(_) => Err(Flaw::at(&[], Syntax::CutShort)),
    }
}

fn binary<'a>((rest, _): (&'a [u8], Cow<'a, [u8]>)) -> (&'a [u8], Head<'a>) {
    (rest, Head::Scalar(Scalar::Binary))
}

fn text<'a>((rest, bytes): (&'a [u8], Cow<'a, [u8]>)) -> Parsed<'a, Head<'a>> {
    let text = match bytes {
        Cow::Borrowed(bytes) => std::str::from_utf8(bytes).map(Cow::Borrowed).ok(),
        Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).ok(),
    };
    let text = text.ok_or_else(|| Flaw::at(rest, Syntax::NotUtf8))?;
    Ok((rest, Head::Scalar(Scalar::Text(text))))
}

pub(super) fn put_bool(out: &mut BytesMut, value: bool) {
    out.put_u8(0xf4 + u8::from(value));
}

pub(super) fn put_unsigned(out: &mut BytesMut, value: u64) {
    put_argument(out, UNSIGNED, value);
}

pub(super) fn put_text(out: &mut BytesMut, text: &str) {
    put_argument(out, TEXT, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

pub(in crate::wamp) fn put_binary(out: &mut BytesMut, bytes: &[u8]) {
    put_argument(out, BINARY, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

pub(super) fn put_list(out: &mut BytesMut, count: usize) {
    put_argument(out, LIST, count as u64);
}

pub(super) fn put_dict(out: &mut BytesMut, pairs: usize) {
    put_argument(out, DICT, pairs as u64);
}

#[expect(clippy::cast_possible_truncation, reason = "each arm is for values of its size")]
fn put_argument(out: &mut BytesMut, major: u8, value: u64) {
    let major = major << 5;
    match value {
        0..=23 => out.put_u8(major | value as u8),
        24..=0xff => out.extend_from_slice(&[major | 24, value as u8]),
        0x100..=0xffff => {
            out.put_u8(major | 25);
            out.put_u16(value as u16);
        }
        0x1_0000..=0xffff_ffff => {
            out.put_u8(major | 26);
            out.put_u32(value as u32);
        }
        _ => {
            out.put_u8(major | 27);
            out.put_u64(value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wamp::serializer::{Budget, Limits, Serializer};

    fn scalar(input: &[u8]) -> Scalar<'_> {
        let (rest, scalar) = Serializer::Cbor.scalar(input).unwrap();
        assert_eq!(rest, b"");
        scalar
    }

    fn check(input: &[u8]) -> Result<(), Syntax> {
        let limits = Limits { depth: 3, ..Limits::DEFAULT };
        Serializer::Cbor.check(input, &mut Budget::new(limits)).map_err(|flaw| flaw.syntax)
    }

    #[test]
    fn integers_are_read_in_every_width() {
        assert_eq!(scalar(b"\x17"), Scalar::Unsigned(23));
        assert_eq!(scalar(b"\x18\x18"), Scalar::Unsigned(24));
        assert_eq!(scalar(b"\x3b\xff\xff\xff\xff\xff\xff\xff\xff"), Scalar::Negative(u64::MAX));
        for value in [0, 23, 24, 255, 256, 65_535, 65_536, 1 << 32, 1 << 53, u64::MAX] {
            let mut out = BytesMut::new();
            put_unsigned(&mut out, value);
            assert_eq!(scalar(&out), Scalar::Unsigned(value));
        }
    }

    #[test]
    fn floats_are_read_in_every_width() {
        // RFC 8949 Appendix A.
        for (input, value) in [
            (&b"\xf9\x3c\x00"[..], 1.0),
            (b"\xf9\x3e\x00", 1.5),
            (b"\xf9\x7b\xff", 65504.0),
            (b"\xf9\x00\x01", 5.960_464_477_539_063e-8),
            (b"\xf9\x04\x00", 0.000_061_035_156_25),
            (b"\xf9\xc4\x00", -4.0),
            (b"\xf9\x7c\x00", f64::INFINITY),
            (b"\xf9\xfc\x00", f64::NEG_INFINITY),
            (b"\xfa\x47\xc3\x50\x00", 100_000.0),
            (b"\xfb\xc0\x10\x66\x66\x66\x66\x66\x66", -4.1),
        ] {
            assert_eq!(scalar(input), Scalar::Number(value));
        }
        assert!(matches!(scalar(b"\xf9\x7e\x00"), Scalar::Number(nan) if nan.is_nan()));
        assert_eq!(check(b"\xfa\x47\xc3\x50"), Err(Syntax::CutShort));
    }

    #[test]
    fn texts_in_parts_are_joined() {
        assert_eq!(scalar(b"\x7f\x61a\x62bc\xff"), Scalar::Text("abc".into()));
        assert_eq!(scalar(b"\x7f\xff"), Scalar::Text("".into()));
        assert_eq!(check(b"\x5f\x41a\x40\xff"), Ok(()));
        assert_eq!(check(b"\x7f\x41a\xff"), Err(Syntax::BadChunk));
        assert_eq!(check(b"\x7f\x7f\x61a\xff\xff"), Err(Syntax::BadChunk));
        assert_eq!(check(b"\x7f\x61\xc3\x61\xa4\xff"), Err(Syntax::NotUtf8));
        assert_eq!(check(b"\x7f\x61a"), Err(Syntax::CutShort));
    }

    #[test]
    fn indefinite_lengths_end_with_a_break_after_whole_pairs() {
        assert_eq!(check(b"\x9f\x01\x9f\xff\xff"), Ok(()));
        assert_eq!(check(b"\xbf\x61a\x01\xff"), Ok(()));
        assert_eq!(check(b"\xbf\x61a\xff"), Err(Syntax::UnexpectedBreak));
        assert_eq!(check(b"\x81\xff"), Err(Syntax::UnexpectedBreak));
        assert_eq!(check(b"\xff"), Err(Syntax::UnexpectedBreak));
        assert_eq!(check(b"\x9f\xc0\xff"), Err(Syntax::UnexpectedBreak));
        assert_eq!(check(b"\x9f\x01"), Err(Syntax::CutShort));
        assert_eq!(check(b"\x9f\x9f\x9f\x9f"), Err(Syntax::TooDeep { limit: 3 }));
    }

    #[test]
    fn what_is_not_well_formed_is_refused() {
        assert_eq!(check(b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff"), Err(Syntax::CutShort));
        assert_eq!(check(b"\x7b\xff\xff\xff\xff\xff\xff\xff\xff"), Err(Syntax::CutShort));
        assert_eq!(check(b"\x61\xff"), Err(Syntax::NotUtf8));
        assert_eq!(check(b"\x01\x01"), Err(Syntax::TrailingBytes));
        for reserved in [b"\x1c", b"\x5d", b"\xfc", b"\x1f", b"\xdf"] {
            assert!(matches!(check(reserved), Err(Syntax::Unexpected { .. })), "{reserved:?}");
        }
        assert!(matches!(check(b"\xf8\x1f"), Err(Syntax::Unexpected { .. })));
    }

    #[test]
    fn tags_and_simple_values_are_let_through_and_noticed() {
        for (input, what) in [
            (&b"\xc1\x1a\0\0\0\x01"[..], "a CBOR tag"),
            (b"\x81\xc2\x41\x01", "a CBOR tag"),
            (b"\xe0", "a CBOR simple value"),
            (b"\xf8\x20", "a CBOR simple value"),
        ] {
            let mut budget = Budget::new(Limits::DEFAULT);
            assert_eq!(Serializer::Cbor.check(input, &mut budget), Ok(()));
            assert_eq!(budget.foreign, Some(what));
        }
    }

    #[test]
    fn many_tags_are_many_values() {
        let limits = Limits { values: 10, ..Limits::DEFAULT };
        let flaw = Serializer::Cbor.check(&[0xc0; 100], &mut Budget::new(limits)).unwrap_err();
        assert_eq!(flaw, Flaw { left: 90, syntax: Syntax::TooManyValues { limit: 10 } });
    }
}
