//! JSON: where a value ends, what a scalar says, and how values are written.
//!
//! *Spec.* RFC 8259, whose grammar this is, with nothing added:
//!
//! ```ebnf
//! value  = blanks , ( "null" | "true" | "false" | number | text | list | dict ) ;
//! list   = "[" , [ value , { blanks , "," , value } ] , blanks , "]" ;
//! dict   = "{" , [ pair , { blanks , "," , pair } ] , blanks , "}" ;
//! pair   = blanks , text , blanks , ":" , value ;
//! number = [ "-" ] , ( "0" | nonzero , { digit } ) , [ "." , digits ] ,
//!          [ ( "e" | "E" ) , [ "+" | "-" ] , digits ] ;
//! ```
//!
//! That the input is UTF-8 is checked before, once for all of it.

use std::borrow::Cow;

use bytes::{BufMut, BytesMut};
use memchr::{memchr, memchr2};
use nom::bytes::complete::{take, take_while, take_while1};
use smallvec::SmallVec;

use super::scan::{Budget, Flaw, Parsed, Scalar, Syntax};

/// Recognizes a value and the blanks before it.
pub(super) fn value<'a>(mut input: &'a [u8], budget: &mut Budget) -> Parsed<'a, ()> {
    let mut open: SmallVec<[(Place, usize); 16]> = SmallVec::new();
    loop {
        input = blanks(input);
        budget.take_value(input)?;
        if let (rest, Some(place)) = self::open(input) {
            budget.check_depth(input, open.len())?;
            open.push((place, budget.begin(0)));
            input = rest;
        } else {
            (input, ()) = skip_scalar(input, budget)?;
        }
        loop {
            let Some((top, among_counts)) = open.last_mut() else {
                return Ok((input, ()));
            };
            let (rest, more) = go_on(input, top)?;
            input = rest;
            if more {
                break;
            }
            budget.end(*among_counts, top.count);
            open.pop();
        }
    }
}

/// Where in a list or dictionary the parsing is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place {
    is_dict: bool,
    due: Due,
    /// Values of a list that began, or pairs of a dictionary.
    count: usize,
}

impl Place {
    const fn new(is_dict: bool) -> Self {
        Self { is_dict, due: Due::First, count: 0 }
    }

    pub(super) const fn is_dict(self) -> bool {
        self.is_dict
    }
}

#[derive(Debug, Clone, Copy)]
enum Due {
    /// The first value or key, or the end.
    First,
    /// A colon, for a key came.
    Colon,
    /// A comma or the end.
    Comma,
}

/// Enters a list or dictionary, if one starts here.
pub(super) fn open(input: &[u8]) -> (&[u8], Option<Place>) {
    match blanks(input) {
        [b'[', rest @ ..] => (rest, Some(Place::new(false))),
        [b'{', rest @ ..] => (rest, Some(Place::new(true))),
        rest => (rest, None),
    }
}

/// Goes on to the next value, or key, of a list or dictionary; `false` at its end.
pub(super) fn go_on<'a>(input: &'a [u8], place: &mut Place) -> Parsed<'a, bool> {
    let input = blanks(input);
    let Some((&byte, rest)) = input.split_first() else {
        return Err(Flaw::at(input, Syntax::CutShort));
    };
    let is_end = byte == if place.is_dict { b'}' } else { b']' };
    let next = match (place.due, byte) {
        (Due::First | Due::Comma, _) if is_end => return Ok((rest, false)),
        (Due::First, _) => input,
        (Due::Colon, b':') | (Due::Comma, b',') => rest,
        (Due::Colon, _) => return Err(Flaw::unexpected(input, "a colon")),
        (Due::Comma, _) => return Err(Flaw::unexpected(input, "a comma or the end")),
    };
    let is_next = !matches!(place.due, Due::Colon);
    place.count += usize::from(is_next);
    let is_key = place.is_dict && is_next;
    place.due = if is_key { Due::Colon } else { Due::Comma };
    if is_key && !blanks(next).starts_with(b"\"") {
        return Err(Flaw::unexpected(blanks(next), "the text that is a key"));
    }
    Ok((next, true))
}

/// What follows the blanks at the beginning.
pub(super) fn blanks(input: &[u8]) -> &[u8] {
    match input.first() {
        Some(b' ' | b'\t' | b'\n' | b'\r') => {
            let count = input.iter().take_while(|byte| b" \t\n\r".contains(byte)).count();
            &input[count..]
        }
        _ => input,
    }
}

/// Recognizes a scalar, and notes what transcoding must know of it.
fn skip_scalar<'a>(input: &'a [u8], budget: &mut Budget) -> Parsed<'a, ()> {
    match input.first() {
        Some(b'"') => {
            let (rest, text) = text(input)?;
            budget.has_lone_surrogate |= text.has_lone_surrogate;
            Ok((rest, ()))
        }
        Some(b'-' | b'0'..=b'9') => {
            let (rest, (digits, is_integer)) = number(input)?;
            if is_integer && digits.len() > 18 && integer(digits).is_none() {
                budget.foreign.get_or_insert("an integer of more than 64 bits");
            }
            Ok((rest, ()))
        }
        _ => literal(input).map(|(rest, _)| (rest, ())),
    }
}

/// Decodes a scalar, or says what else the value is.
pub(super) fn scalar(input: &[u8]) -> Parsed<'_, Scalar<'_>> {
    let input = blanks(input);
    match input.first() {
        Some(b'"') => {
            let (rest, text) = text(input)?;
            if text.has_lone_surrogate {
                return Ok((rest, Scalar::Foreign("a text with one half of a surrogate pair")));
            }
            let inside = std::str::from_utf8(text.inside);
            let inside = inside.map_err(|_| Flaw::at(input, Syntax::NotUtf8))?;
            Ok((rest, Scalar::Text(unescape(inside))))
        }
        Some(b'-' | b'0'..=b'9') => {
            let (rest, (digits, is_integer)) = number(input)?;
            let integer = if is_integer { integer(digits) } else { None };
            Ok((rest, integer.unwrap_or_else(|| Scalar::Number(double(digits)))))
        }
        Some(b'[') => Ok((&input[1..], Scalar::List)),
        Some(b'{') => Ok((&input[1..], Scalar::Dict)),
        _ => literal(input),
    }
}

fn literal(input: &[u8]) -> Parsed<'_, Scalar<'_>> {
    for (word, scalar) in
        [("null", Scalar::Null), ("true", Scalar::Bool(true)), ("false", Scalar::Bool(false))]
    {
        if let Some(rest) = input.strip_prefix(word.as_bytes()) {
            return Ok((rest, scalar));
        }
    }
    let is_cut_short =
        ["null", "true", "false"].iter().any(|word| word.as_bytes().starts_with(input));
    if is_cut_short {
        return Err(Flaw::at(&[], Syntax::CutShort));
    }
    Err(Flaw::unexpected(input, "a value"))
}

/// The value of an integer if 64 bits have room for it.
fn integer(digits: &[u8]) -> Option<Scalar<'static>> {
    let digits = std::str::from_utf8(digits).ok()?;
    digits.parse().map(Scalar::Unsigned).or_else(|_| digits.parse().map(Scalar::signed)).ok()
}

/// The value of any number. One beyond the range of doubles is an infinity.
fn double(digits: &[u8]) -> f64 {
    // What was recognized can be parsed.
    std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok()).unwrap_or(f64::NAN)
}

/// A number as it is written, and whether it is an integer.
fn number(input: &[u8]) -> Parsed<'_, (&[u8], bool)> {
    let digits = |rest| {
        take_while1(|byte: u8| byte.is_ascii_digit())(rest)
            .map_err(|_: nom::Err<Flaw>| Flaw::unexpected(rest, "a digit"))
            .map(|(rest, _)| rest)
    };
    let after_sign = input.strip_prefix(b"-").unwrap_or(input);
    let mut rest = match after_sign {
        [b'0', rest @ ..] => rest,
        _ => digits(after_sign)?,
    };
    let mut is_integer = true;
    if let [b'.', fraction @ ..] = rest {
        rest = digits(fraction)?;
        is_integer = false;
    }
    if let [b'e' | b'E', exponent @ ..] = rest {
        let exponent = match exponent {
            [b'+' | b'-', exponent @ ..] => exponent,
            _ => exponent,
        };
        rest = digits(exponent)?;
        is_integer = false;
    }
    Ok((rest, (&input[..input.len() - rest.len()], is_integer)))
}

/// A text, its escapes checked but not resolved.
struct Quoted<'a> {
    /// What stands between the quotes.
    inside: &'a [u8],
    has_lone_surrogate: bool,
}

fn text(input: &[u8]) -> Parsed<'_, Quoted<'_>> {
    let start = &input[1..];
    let mut rest = start;
    let mut has_lone_surrogate = false;
    loop {
        let Some(at) = memchr2(b'"', b'\\', rest) else {
            return Err(Flaw::at(&[], Syntax::CutShort));
        };
        if let Some(control) = rest[..at].iter().position(|byte| *byte < b' ') {
            return Err(Flaw::at(&rest[control..], Syntax::Unescaped));
        }
        if rest[at] == b'"' {
            let inside = &start[..start.len() - rest.len() + at];
            return Ok((&rest[at + 1..], Quoted { inside, has_lone_surrogate }));
        }
        let character;
        (rest, character) = escape(&rest[at..])?;
        has_lone_surrogate |= character.is_none();
    }
}

/// An escape, at whose backslash `input` starts, and the character that it stands for; `None` for one
/// half of a surrogate pair.
fn escape(input: &[u8]) -> Parsed<'_, Option<char>> {
    let (rest, letter) = match input {
        [_, letter, rest @ ..] => (rest, *letter),
        _ => return Err(Flaw::at(&[], Syntax::CutShort)),
    };
    let character = match letter {
        b'"' | b'\\' | b'/' => char::from(letter),
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return code_point(rest),
        _ => return Err(Flaw::unexpected(&input[1..], "a letter that makes an escape")),
    };
    Ok((rest, Some(character)))
}

/// One `\uXXXX`, or two that are a surrogate pair, behind the first `\u`.
fn code_point(input: &[u8]) -> Parsed<'_, Option<char>> {
    let (rest, first) = hex(input)?;
    if let 0xd800..0xdc00 = first
        && let Some(second) = rest.strip_prefix(br"\u")
        && let Ok((behind, second @ 0xdc00..0xe000)) = hex(second)
    {
        let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        return Ok((behind, char::from_u32(code)));
    }
    Ok((rest, char::from_u32(first)))
}

/// The same value with U+FFFD in the place of each half of a surrogate pair, as those show it who read
/// JSON into texts that must not have any. The value must have been checked.
pub(in crate::wamp) fn without_lone_surrogates(input: &[u8]) -> Vec<u8> {
    let mut mended = input.to_vec();
    let mut at = 0;
    // A backslash is nowhere but in a text.
    while let Some(backslash) = memchr(b'\\', &input[at..]).map(|offset| at + offset) {
        let Ok((rest, character)) = escape(&input[backslash..]) else {
            break;
        };
        at = input.len() - rest.len();
        if character.is_none() {
            mended[backslash..at].copy_from_slice(br"\ufffd");
        }
    }
    mended
}

fn hex(input: &[u8]) -> Parsed<'_, u32> {
    let (rest, digits) = take(4_usize)(input)?;
    let mut value = 0;
    for (at, digit) in digits.iter().enumerate() {
        let digit = char::from(*digit).to_digit(16);
        value = value * 16
            + digit.ok_or_else(|| Flaw::unexpected(&input[at..], "a hexadecimal digit"))?;
    }
    Ok((rest, value))
}

/// Resolves the escapes of a text that [`text`] has checked. Borrowed if there are none.
fn unescape(inside: &str) -> Cow<'_, str> {
    let Some(first) = inside.find('\\') else {
        return Cow::Borrowed(inside);
    };
    let mut unescaped = String::with_capacity(inside.len());
    let mut rest = inside;
    let mut next = Some(first);
    while let Some(at) = next {
        unescaped.push_str(&rest[..at]);
        let Ok((behind, character)) = escape(&rest.as_bytes()[at..]) else {
            break;
        };
        unescaped.push(character.unwrap_or(char::REPLACEMENT_CHARACTER));
        rest = &rest[rest.len() - behind.len()..];
        next = rest.find('\\');
    }
    unescaped.push_str(rest);
    Cow::Owned(unescaped)
}

/// A text in quotes, with the escapes that must be (RFC 8259 §7).
pub(super) fn put_text(out: &mut BytesMut, text: &str) {
    out.put_u8(b'"');
    let mut rest = text.as_bytes();
    loop {
        let (behind, plain) = plain(rest);
        out.extend_from_slice(plain);
        let Some((&byte, behind)) = behind.split_first() else {
            break;
        };
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
            b'\n' => out.extend_from_slice(br"\n"),
            b'\r' => out.extend_from_slice(br"\r"),
            b'\t' => out.extend_from_slice(br"\t"),
            _ => {
                const HEX: &[u8; 16] = b"0123456789abcdef";
                out.extend_from_slice(br"\u00");
                out.put_u8(HEX[usize::from(byte >> 4)]);
                out.put_u8(HEX[usize::from(byte & 0x0f)]);
            }
        }
        rest = behind;
    }
    out.put_u8(b'"');
}

/// What may stand in a text as it is, up to the first byte that may not.
fn plain(input: &[u8]) -> (&[u8], &[u8]) {
    let is_plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
    let parsed: Parsed<'_, &[u8]> = take_while(is_plain)(input);
    parsed.unwrap_or((input, &[]))
}

pub(super) fn put_unsigned(out: &mut BytesMut, mut value: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(value % 10).unwrap_or_default();
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wamp::serializer::{Limits, Serializer};

    fn check(input: &str) -> Result<(), Syntax> {
        let limits = Limits { depth: 3, ..Limits::DEFAULT };
        Serializer::Json
            .check(input.as_bytes(), &mut Budget::new(limits))
            .map_err(|flaw| flaw.syntax)
    }

    fn decoded(input: &str) -> Scalar<'_> {
        let (rest, scalar) = scalar(input.as_bytes()).unwrap();
        assert_eq!(rest, b"");
        scalar
    }

    #[test]
    fn values_with_blanks_anywhere_are_recognized() {
        for good in ["null", " [ ] ", "{}", r#"{ "a" : [ 1 , -0.5e+3 ] , "b":{}}"#, "[[[]]]", "0"] {
            assert_eq!(check(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn what_is_not_well_formed_is_refused() {
        use Syntax::*;
        let unexpected = |expected, got| Unexpected { expected, got };
        for (bad, syntax) in [
            ("", CutShort),
            ("[1,", CutShort),
            ("nul", CutShort),
            (r#""abc"#, CutShort),
            (r#""a\"#, CutShort),
            (r#""\u12"#, CutShort),
            ("[1]]", TrailingBytes),
            ("[1,]", unexpected("a value", b']')),
            ("[1 2]", unexpected("a comma or the end", b'2')),
            ("[1}", unexpected("a comma or the end", b'}')),
            (r#"{"a" 1}"#, unexpected("a colon", b'1')),
            (r#"{"a"}"#, unexpected("a colon", b'}')),
            (r#"{"a":}"#, unexpected("a value", b'}')),
            ("{1:2}", unexpected("the text that is a key", b'1')),
            (r#"{"a":1,}"#, unexpected("the text that is a key", b'}')),
            ("01", TrailingBytes),
            ("-", CutShort),
            ("1.x", unexpected("a digit", b'x')),
            ("1e", CutShort),
            ("+1", unexpected("a value", b'+')),
            ("NaN", unexpected("a value", b'N')),
            ("\"a\nb\"", Unescaped),
            (r#""\x""#, unexpected("a letter that makes an escape", b'x')),
            (r#""\u00g0""#, unexpected("a hexadecimal digit", b'g')),
            (r#""\ud83d\u12x""#, unexpected("a hexadecimal digit", b'x')),
            ("[[[[]]]]", TooDeep { limit: 3 }),
        ] {
            assert_eq!(check(bad), Err(syntax), "{bad}");
        }
        let flaw = Serializer::Json.check(b"\"a\xff\"", &mut Budget::unlimited()).unwrap_err();
        assert_eq!(flaw, Flaw { left: 2, syntax: NotUtf8 });
    }

    #[test]
    fn escapes_are_resolved() {
        let text = |text: &str| Scalar::Text(Cow::Owned(text.to_owned()));
        assert_eq!(decoded(r#""a\"\\\/\b\f\n\r\tz""#), text("a\"\\/\u{8}\u{c}\n\r\tz"));
        assert_eq!(decoded(r#""\u00e4\ud83e\udd80\u0000""#), text("ä🦀\0"));
        assert!(matches!(decoded(r#""plain ä""#), Scalar::Text(Cow::Borrowed("plain ä"))));
    }

    #[test]
    fn half_of_a_surrogate_pair_is_let_through_and_noticed() {
        for (input, mended) in [
            (r#"["\ud83d"]"#, r#"["\ufffd"]"#),
            (r#"["\ud83d\u0041\\ud83d"]"#, r#"["\ufffd\u0041\\ud83d"]"#),
            (r#"["\udc00\ud800\ud83e\udd80"]"#, r#"["\ufffd\ufffd\ud83e\udd80"]"#),
            (r#"{"\uDE00":"\ud83dx\""}"#, r#"{"\ufffd":"\ufffdx\""}"#),
        ] {
            let mut budget = Budget::new(Limits::DEFAULT);
            assert_eq!(Serializer::Json.check(input.as_bytes(), &mut budget), Ok(()));
            assert!(budget.has_lone_surrogate);
            assert_eq!(without_lone_surrogates(input.as_bytes()), mended.as_bytes());
        }
        let what = "a text with one half of a surrogate pair";
        assert_eq!(decoded(r#""a\ud83d""#), Scalar::Foreign(what));
        let mut budget = Budget::new(Limits::DEFAULT);
        assert_eq!(Serializer::Json.check(br#"["\ud83e\udd80\\ud83e"]"#, &mut budget), Ok(()));
        assert!(!budget.has_lone_surrogate);
    }

    #[test]
    fn a_written_text_is_read_as_it_was() {
        let every: String = (0..0x100_u32).filter_map(char::from_u32).chain(['🦀']).collect();
        let mut out = BytesMut::new();
        put_text(&mut out, &every);
        let (rest, scalar) = scalar(&out).unwrap();
        assert_eq!((rest, scalar), (&b""[..], Scalar::Text(Cow::Borrowed(every.as_str()))));
    }

    #[test]
    fn integers_are_told_from_other_numbers() {
        assert_eq!(decoded("-9223372036854775808"), Scalar::signed(i64::MIN));
        assert_eq!(decoded("18446744073709551615"), Scalar::Unsigned(u64::MAX));
        for (other, double) in [
            ("18446744073709551616", 18_446_744_073_709_551_616.0),
            ("1.0", 1.0),
            ("1e3", 1000.0),
            ("-0.5E-1", -0.05),
            ("1e400", f64::INFINITY),
        ] {
            assert_eq!(decoded(other), Scalar::Number(double), "{other}");
        }
        let mut budget = Budget::new(Limits::DEFAULT);
        assert_eq!(Serializer::Json.check(b"[18446744073709551616]", &mut budget), Ok(()));
        assert_eq!(budget.foreign, Some("an integer of more than 64 bits"));
        for value in [0, 9, 10, 1 << 53, u64::MAX] {
            let mut out = BytesMut::new();
            put_unsigned(&mut out, value);
            assert_eq!(out, value.to_string());
        }
    }
}
