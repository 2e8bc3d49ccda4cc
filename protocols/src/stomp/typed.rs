//! Application headers of types that STOMP has not: AMQP field values as text.
//!
//! Numbers, flags and `null` (AMQP void) are written as in JSON, arrays and tables as compact JSON.
//! Bytes are text if they are UTF-8, else base64 (RFC 4648 §4). Numbers that JSON has not are
//! `NaN`, `Infinity` and `-Infinity`; inside JSON these are strings, and so are bytes.
//!
//! *Spec.* Headers of STOMP are text. RabbitMQ's plugin drops all but texts and some integers.

use std::io::{self, Write};

use crate::broker::Value;
use crate::stomp::encode::Encoder;
use crate::text::Text;

/// Adds a header with this value.
///
/// *Cost.* Nothing but room in the frame.
pub(super) fn write(name: &str, value: &Value, frame: &mut Encoder) {
    match value {
        Value::Text(text) => frame.header(name, text),
        Value::Boolean(flag) => frame.header(name, if *flag { "true" } else { "false" }),
        Value::Integer(number) if *number >= 0 => frame.number(name, number.unsigned_abs()),
        Value::Timestamp(seconds) => frame.number(name, *seconds),
        other => frame.composed(name, |to| write_bare(other, to).expect("a frame takes any value")),
    };
}

/// A value as a header of its own: a string without quotes.
fn write_bare(value: &Value, to: &mut impl Write) -> io::Result<()> {
    match value {
        Value::Text(text) => to.write_all(text.as_bytes()),
        Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => to.write_all(text.as_bytes()),
            Err(_) => write_base64(bytes, to),
        },
        Value::Double(number) if !number.0.is_finite() => to.write_all(name_of(number.0)),
        other => write_json(other, to),
    }
}

fn write_json(value: &Value, to: &mut impl Write) -> io::Result<()> {
    match value {
        Value::Text(text) => write_string(text, to),
        Value::Boolean(flag) => write!(to, "{flag}"),
        Value::Integer(number) => write!(to, "{number}"),
        // The shortest digits that mean this number, always with a point or an exponent.
        Value::Double(number) if number.0.is_finite() => write!(to, "{:?}", number.0),
        Value::Decimal { scale, unscaled } => write_decimal(*scale, *unscaled, to),
        Value::Timestamp(seconds) => write!(to, "{seconds}"),
        Value::Bytes(bytes) => match std::str::from_utf8(bytes) {
            Ok(text) => write_string(text, to),
            Err(_) => write_quoted(value, to),
        },
        Value::Double(_) => write_quoted(value, to),
        Value::Array(values) => write_array(values, to),
        Value::Table(entries) => write_object(entries, to),
        Value::Void => to.write_all(b"null"),
    }
}

fn write_array(values: &[Value], to: &mut impl Write) -> io::Result<()> {
    to.write_all(b"[")?;
    for (at, value) in values.iter().enumerate() {
        if at > 0 {
            to.write_all(b",")?;
        }
        write_json(value, to)?;
    }
    to.write_all(b"]")
}

fn write_object(entries: &[(Text, Value)], to: &mut impl Write) -> io::Result<()> {
    to.write_all(b"{")?;
    for (at, (name, value)) in entries.iter().enumerate() {
        if at > 0 {
            to.write_all(b",")?;
        }
        write_string(name, to)?;
        to.write_all(b":")?;
        write_json(value, to)?;
    }
    to.write_all(b"}")
}

fn write_string(text: &str, to: &mut impl Write) -> io::Result<()> {
    serde_json::to_writer(to, text).map_err(io::Error::from)
}

/// A value of which nothing needs a JSON escape.
fn write_quoted(value: &Value, to: &mut impl Write) -> io::Result<()> {
    to.write_all(b"\"")?;
    write_bare(value, to)?;
    to.write_all(b"\"")
}

fn write_decimal(scale: u8, unscaled: i32, to: &mut impl Write) -> io::Result<()> {
    let sign = if unscaled < 0 { "-" } else { "" };
    let digits = unscaled.unsigned_abs();
    if scale == 0 {
        return write!(to, "{sign}{digits}");
    }
    // Where the power is too large, so is it for these digits to reach beyond the point.
    let (whole, fraction) = match 10_u32.checked_pow(scale.into()) {
        Some(one) => (digits / one, digits % one),
        None => (0, digits),
    };
    write!(to, "{sign}{whole}.{fraction:0width$}", width = usize::from(scale))
}

/// The name of a number that JSON has not.
fn name_of(number: f64) -> &'static [u8] {
    if number.is_nan() {
        b"NaN"
    } else if number > 0.0 {
        b"Infinity"
    } else {
        b"-Infinity"
    }
}

fn write_base64(bytes: &[u8], to: &mut impl Write) -> io::Result<()> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for group in bytes.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        let mut digits = [18, 12, 6, 0].map(|shift| ALPHABET[(bits >> shift) as usize & 63]);
        digits[group.len() + 1..].fill(b'=');
        to.write_all(&digits)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::broker::Double;
    use crate::stomp::encode::Escaping;
    use crate::stomp::frame::Verb;

    fn bare(value: &Value) -> String {
        let mut encoder = Encoder::new(Verb::Message, Escaping::None, 0);
        write("n", value, &mut encoder);
        let frame = String::from_utf8(encoder.finish(b"").to_vec()).unwrap();
        frame.strip_prefix("MESSAGE\nn:").unwrap().strip_suffix("\n\n\0\n").unwrap().to_owned()
    }

    fn nested(value: Value) -> String {
        let json = bare(&Value::Array(vec![value]));
        json.strip_prefix('[').unwrap().strip_suffix(']').unwrap().to_owned()
    }

    #[test]
    fn each_type_has_a_form_of_its_own_and_one_inside_json() {
        let bytes = |bytes: &'static [u8]| Value::Bytes(Bytes::from_static(bytes));
        for (value, header, json) in [
            (Value::Text("a \"b\"".into()), "a \"b\"", "\"a \\\"b\\\"\""),
            (Value::Boolean(true), "true", "true"),
            (Value::Boolean(false), "false", "false"),
            (Value::Integer(7), "7", "7"),
            (Value::Integer(i64::MIN), "-9223372036854775808", "-9223372036854775808"),
            (Value::Double(Double(0.1)), "0.1", "0.1"),
            (Value::Double(Double(-1e300)), "-1e300", "-1e300"),
            (Value::Double(Double(2.0)), "2.0", "2.0"),
            (Value::Double(Double(f64::NAN)), "NaN", "\"NaN\""),
            (Value::Double(Double(f64::INFINITY)), "Infinity", "\"Infinity\""),
            (Value::Double(Double(f64::NEG_INFINITY)), "-Infinity", "\"-Infinity\""),
            (Value::Timestamp(u64::MAX), "18446744073709551615", "18446744073709551615"),
            (bytes(b"gr\xc3\xbcn"), "grün", "\"grün\""),
            (bytes(b"\xff\"\0"), "/yIA", "\"/yIA\""),
            (Value::Array(Vec::new()), "[]", "[]"),
            (Value::Table(Vec::new()), "{}", "{}"),
            (Value::Void, "null", "null"),
        ] {
            assert_eq!((bare(&value).as_str(), nested(value).as_str()), (header, json));
        }
    }

    #[test]
    fn decimals_have_all_their_digits() {
        for (scale, unscaled, expected) in [
            (0, 12, "12"),
            (2, 1234, "12.34"),
            (2, -5, "-0.05"),
            (3, -1000, "-1.000"),
            (9, i32::MAX, "2.147483647"),
            (10, i32::MIN, "-0.2147483648"),
            (12, 1, "0.000000000001"),
        ] {
            let value = Value::Decimal { scale, unscaled };
            assert_eq!((bare(&value), nested(value)), (expected.to_owned(), expected.to_owned()));
        }
        assert_eq!(bare(&Value::Decimal { scale: 255, unscaled: 1 }).len(), 2 + 255);
    }

    #[test]
    fn base64_is_padded() {
        for (bytes, expected) in
            [(&b"\xff"[..], "/w=="), (b"\xff\xfe", "//4="), (b"\xff\xfe\xfd", "//79")]
        {
            assert_eq!(bare(&Value::Bytes(bytes.into())), expected);
        }
    }

    #[test]
    fn json_of_any_nesting_is_what_a_parser_reads_back() {
        let mut value = Value::Text("in\u{1}nermost\n\\".into());
        for depth in 0..Value::MAX_DEPTH {
            value = match depth % 2 {
                0 => Value::Table(vec![("a:\n".into(), value), ("b".into(), Value::Void)]),
                _ => Value::Array(vec![Value::Integer(-1), value]),
            };
        }
        let mut read: serde_json::Value = serde_json::from_str(&bare(&value)).unwrap();
        for _ in 0..Value::MAX_DEPTH / 2 {
            assert_eq!(read[0], -1);
            assert_eq!(read[1]["b"], serde_json::Value::Null);
            read = read[1]["a:\n"].take();
        }
        assert_eq!(read, "in\u{1}nermost\n\\");
    }
}
