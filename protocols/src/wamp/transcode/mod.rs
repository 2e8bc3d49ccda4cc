//! Values of one serializer written in another, for a receiver that speaks the other.
//!
//! The data goes from the decoder of one format to the encoder of the other without a tree in
//! between. A guard around the encoder sees every value and refuses those that the receiver
//! would not get as they were sent.
//!
//! *Spec.* WAMP §Binary support in JSON: binary data is the text `\0` and base64, both ways.
//!
//! # What is refused
//! - To JSON: NaN and infinities; integers beyond ±2^53, which most readers of JSON would round
//!   (RFC 8259 §6); keys that are no text; texts that start with NUL, which would be read as binary.
//! - From JSON: texts that start with NUL and are not base64 behind it; integers that have no room
//!   in 64 bits; numbers beyond the range of a double.
//! - Extensions of MessagePack (timestamps too), tags and undefined simple values of CBOR, integers
//!   of more than 64 bits.
//!
//! What is lost: one half of a surrogate pair in JSON, which becomes U+FFFD; that CBOR said `undefined`
//! and not `null`; the width of a float in JSON. Keys may be there twice, and are then passed on twice.

mod guard;

use std::cell::RefCell;
use std::io;

use bytes::BytesMut;
use cbor4ii::core::utils::SliceReader;
use serde::de::Deserializer;
use serde::ser::Error;

use guard::{Guard, Stop};

use super::serializer::{Budget, Limits, Serializer, Syntax, json};
use crate::violation::shown;

/// Why a value cannot be written in another serializer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TranscodeError {
    /// The value is not well-formed, or goes beyond a limit.
    #[error("{}", syntax.sentence(*serializer, *at))]
    Malformed {
        /// What it should be.
        serializer: Serializer,
        /// Bytes before the fault.
        at: usize,
        /// The fault.
        syntax: Syntax,
    },
    /// The receiver would not get a value in it as it was sent.
    #[error("{value} cannot be carried over from {from} to {to}")]
    Unrepresentable {
        /// The serializer that it is written in.
        from: Serializer,
        /// The serializer of the receiver.
        to: Serializer,
        /// What cannot be carried over, in words.
        value: String,
    },
    /// The outcome is longer than allowed.
    #[error("what is made of the value may have {limit} bytes")]
    TooLong {
        /// Allowed bytes.
        limit: usize,
    },
}

/// The deepest nesting that the recursion of decoders and encoders is trusted with.
const DEEPEST: usize = 100;

/// Appends `input`, one value of `from`, to `out` as a value of `to`.
///
/// *Errors.* Any; `out` is then as it was. *Cost.* The value is decoded and encoded; what `out`
/// grows by is at most what `limits` allow.
pub(super) fn transcode(
    from: Serializer,
    input: &[u8],
    to: Serializer,
    limits: &Limits,
    out: &mut BytesMut,
) -> Result<(), TranscodeError> {
    let limits = Limits { depth: limits.depth.min(DEEPEST), ..*limits };
    let mut budget = Budget::new(limits);
    // MessagePack says them, and JSON need not be told.
    budget.counts = (from != Serializer::MsgPack && !to.is_text()).then(|| Vec::with_capacity(16));
    from.check(input, &mut budget).map_err(|flaw| TranscodeError::Malformed {
        serializer: from,
        at: input.len() - flaw.left,
        syntax: flaw.syntax,
    })?;
    let counts = RefCell::new(budget.counts.take().unwrap_or_default().into_iter());
    let rules = Rules { from, to, counts, refused: RefCell::new(None) };
    if let Some(value) = budget.foreign {
        return Err(rules.unrepresentable(value.to_owned()));
    }
    let mended = budget.has_lone_surrogate.then(|| json::without_lone_surrogates(input));
    let input = mended.as_deref().unwrap_or(input);
    let start = out.len();
    let mut writer = Bounded { out, left: limits.transcoded, is_full: false };
    let outcome = match from {
        Serializer::Json => {
            rules.run(&mut serde_json::Deserializer::from_slice(input), &mut writer)
        }
        Serializer::MsgPack => {
            rules.run(&mut rmp_serde::Deserializer::from_read_ref(input), &mut writer)
        }
        Serializer::Cbor => {
            let reader = SliceReader::new(input);
            rules.run(&mut cbor4ii::serde::Deserializer::new(reader), &mut writer)
        }
    };
    outcome.map_err(|text| {
        let is_full = writer.is_full;
        out.truncate(start);
        match rules.refused.take() {
            Some(error) => error,
            None if is_full => TranscodeError::TooLong { limit: limits.transcoded },
            // A number that a double has no room for, say.
            None => rules.unrepresentable(shown(&text)),
        }
    })
}

/// What is transcoded into what, and the reason if that fails: decoders and encoders would make
/// text of it.
struct Rules {
    from: Serializer,
    to: Serializer,
    /// How long the lists and dictionaries are that are still to come, if their decoder does not say.
    counts: RefCell<std::vec::IntoIter<usize>>,
    /// Set by the first value that is refused.
    refused: RefCell<Option<TranscodeError>>,
}

impl Rules {
    fn run<'de>(&self, input: impl Deserializer<'de>, out: &mut Bounded<'_>) -> Result<(), String> {
        match self.to {
            Serializer::Json => {
                let mut serializer = serde_json::Serializer::new(out);
                let guard = Guard::new(&mut serializer, self);
                serde_transcode::transcode(input, guard).map_err(|error| error.to_string())
            }
            Serializer::MsgPack => {
                let mut serializer = rmp_serde::Serializer::new(out);
                let guard = Guard::new(&mut serializer, self);
                serde_transcode::transcode(input, guard).map_err(|error| error.to_string())
            }
            Serializer::Cbor => {
                let mut serializer = cbor4ii::serde::Serializer::new(out);
                let guard = Guard::new(&mut serializer, self);
                serde_transcode::transcode(input, guard).map_err(|error| error.to_string())
            }
        }
    }

    const fn unrepresentable(&self, value: String) -> TranscodeError {
        TranscodeError::Unrepresentable { from: self.from, to: self.to, value }
    }

    /// The length of the list or dictionary that begins: what was counted, or what its decoder says.
    ///
    /// Without one, the encoder of CBOR would write an indefinite one, and that of MessagePack keep
    /// all that is inside until it ends.
    fn length(&self, said: Option<usize>) -> Option<usize> {
        self.counts.borrow_mut().next().or(said)
    }

    /// Notes why, and makes an error to pass on.
    fn refuse(&self, value: String) -> Stop {
        let error = self.unrepresentable(value);
        self.refused.borrow_mut().get_or_insert(error);
        Stop::custom("refused")
    }
}

/// The end of a buffer that may grow by `left` bytes, and by none once it would have grown more.
struct Bounded<'a> {
    out: &'a mut BytesMut,
    left: usize,
    /// Whether it would have.
    is_full: bool,
}

impl Bounded<'_> {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self.left.checked_sub(bytes.len()) {
            Some(left) => self.left = left,
            None => {
                (self.left, self.is_full) = (0, true);
                return Err(io::ErrorKind::FileTooLarge.into());
            }
        }
        self.out.extend_from_slice(bytes);
        Ok(())
    }
}

impl io::Write for Bounded<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.append(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl cbor4ii::core::enc::Write for Bounded<'_> {
    type Error = io::Error;

    fn push(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.append(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Serializer::{Cbor, Json, MsgPack};

    fn run(from: Serializer, input: &[u8], to: Serializer) -> Result<Vec<u8>, TranscodeError> {
        let mut out = BytesMut::from(&b"before"[..]);
        let outcome = transcode(from, input, to, &Limits::DEFAULT, &mut out);
        assert!(outcome.is_ok() || out == "before", "a failure leaves nothing behind");
        outcome.map(|()| out[6..].to_vec())
    }

    fn to_json(from: Serializer, input: &[u8]) -> Result<String, TranscodeError> {
        run(from, input, Json).map(|json| String::from_utf8(json).unwrap())
    }

    #[track_caller]
    fn assert_refused(from: Serializer, input: &[u8], to: Serializer, what: &str) {
        let value = what.to_owned();
        assert_eq!(run(from, input, to), Err(TranscodeError::Unrepresentable { from, to, value }));
    }

    #[test]
    fn every_kind_of_value_is_carried_over() {
        let json = r#"[null,true,-1,1.5,"ä",{"a":[],"b":{}}]"#;
        for to in [MsgPack, Cbor] {
            let there = run(Json, json.as_bytes(), to).unwrap();
            assert_eq!(to_json(to, &there).unwrap(), json);
        }
        assert_eq!(run(Json, b"null", Cbor).unwrap(), b"\xf6");
        assert_eq!(run(MsgPack, b"\xc0", Cbor).unwrap(), b"\xf6");
        assert_eq!(run(Cbor, b"\xf7", MsgPack).unwrap(), b"\xc0");
        assert_eq!(
            to_json(Cbor, b"\x9f\xbf\x61a\x7f\x61b\x61c\xff\xff\xff").unwrap(),
            r#"[{"a":"bc"}]"#
        );
    }

    #[test]
    fn floats_keep_their_value() {
        assert_eq!(run(Json, b"0.1", MsgPack).unwrap(), b"\xcb\x3f\xb9\x99\x99\x99\x99\x99\x9a");
        assert_eq!(to_json(MsgPack, b"\xca\x3d\xcc\xcc\xcd").unwrap(), "0.10000000149011612");
        assert_eq!(to_json(Cbor, b"\xf9\x3e\x00").unwrap(), "1.5");
        assert_eq!(run(Cbor, b"\xfa\x7f\xc0\0\0", MsgPack).unwrap(), b"\xca\x7f\xc0\0\0");
        assert_refused(Cbor, b"\xf9\x7e\x00", Json, "the number NaN");
        assert_refused(MsgPack, b"\xcb\x7f\xf0\0\0\0\0\0\0", Json, "the number inf");
        assert!(matches!(run(Json, b"1e400", Cbor), Err(TranscodeError::Unrepresentable { .. })));
    }

    #[test]
    fn integers_that_a_reader_would_round_are_not_made_json() {
        assert_eq!(to_json(Cbor, b"\x1b\0\x20\0\0\0\0\0\0").unwrap(), "9007199254740992");
        assert_eq!(
            to_json(Cbor, b"\x3b\0\x1f\xff\xff\xff\xff\xff\xff").unwrap(),
            "-9007199254740992"
        );
        let beyond = "the number 9007199254740993, which is beyond 2^53,";
        assert_refused(MsgPack, b"\xcf\0\x20\0\0\0\0\0\x01", Json, beyond);
        assert_eq!(
            run(Json, b"18446744073709551615", Cbor).unwrap(),
            b"\x1b\xff\xff\xff\xff\xff\xff\xff\xff"
        );
        assert_refused(Json, b"18446744073709551616", Cbor, "an integer of more than 64 bits");
        let least = b"\x3b\xff\xff\xff\xff\xff\xff\xff\xff";
        assert_refused(Cbor, least, MsgPack, "the number -18446744073709551616");
    }

    #[test]
    fn binary_is_base64_behind_a_nul_in_json() {
        // The example of the specification.
        let json = br#""\u0000EOP/kFMHXFJvX8BtT+N82w==""#;
        let binary = b"\x50\x10\xe3\xff\x90\x53\x07\x5c\x52\x6f\x5f\xc0\x6d\x4f\xe3\x7c\xdb";
        assert_eq!(run(Json, json, Cbor).unwrap(), binary);
        assert_eq!(to_json(Cbor, binary).unwrap().as_bytes(), json);
        assert_eq!(run(Json, br#""\u0000""#, MsgPack).unwrap(), b"\xc4\0");
        let what = "a text that starts with NUL and is not base64 behind it";
        assert_refused(Json, br#"["\u0000a"]"#, MsgPack, what);
        assert_refused(MsgPack, b"\xa1\0", Json, "a text that starts with NUL");
        assert_eq!(run(MsgPack, b"\xa1\0", Cbor).unwrap(), b"\x61\0");
    }

    #[test]
    fn half_of_a_surrogate_pair_is_shown_as_one() {
        let json = br#"{"\ud83d":["a\udc00","\ud83e\udd80"]}"#;
        let mended = "{\"\u{fffd}\":[\"a\u{fffd}\",\"🦀\"]}";
        for to in [MsgPack, Cbor] {
            assert_eq!(to_json(to, &run(Json, json, to).unwrap()).unwrap(), mended);
        }
    }

    /// §Binary support in JSON is about values.
    #[test]
    fn a_key_that_starts_with_nul_is_a_text() {
        let json = r#"{"\u0000QQ==":1}"#;
        for (to, there) in [(MsgPack, &b"\x81\xa5\0QQ==\x01"[..]), (Cbor, b"\xa1\x65\0QQ==\x01")] {
            assert_eq!(run(Json, json.as_bytes(), to).unwrap(), there);
            assert_eq!(to_json(to, there).unwrap(), json);
        }
    }

    #[test]
    fn lengths_are_definite_whatever_they_were() {
        let json = br#"[[],{"a":[1,{}],"b":{"c":[2]}},3]"#;
        let msgpack = b"\x93\x90\x82\xa1a\x92\x01\x80\xa1b\x81\xa1c\x91\x02\x03";
        let cbor = b"\x83\x80\xa2\x61a\x82\x01\xa0\x61b\xa1\x61c\x81\x02\x03";
        assert_eq!(run(Json, json, Cbor).unwrap(), cbor);
        assert_eq!(run(Json, json, MsgPack).unwrap(), msgpack);
        let indefinite =
            b"\x9f\x9f\xff\xa2\x61a\x9f\x01\xbf\xff\xff\x61b\xbf\x61c\x81\x02\xff\x03\xff";
        assert_eq!(run(Cbor, indefinite, MsgPack).unwrap(), msgpack);
        // Keys that are lists have lengths, too.
        let keys = b"\xbf\x9f\x01\x02\xff\x9f\xff\xff";
        assert_eq!(run(Cbor, keys, MsgPack).unwrap(), b"\x81\x92\x01\x02\x90");
    }

    #[test]
    fn json_has_no_keys_but_texts() {
        assert_eq!(run(MsgPack, b"\x81\x01\x02", Cbor).unwrap(), b"\xa1\x01\x02");
        for (input, what) in [
            (&b"\xa1\x01\x02"[..], "a number as a key"),
            (b"\xa1\xf5\x02", "true or false as a key"),
            (b"\xa1\xf6\x02", "null as a key"),
            (b"\xa1\x41a\x02", "binary data as a key"),
            (b"\xa1\x80\x02", "a list as a key"),
            (b"\xa1\xa0\x02", "a dictionary as a key"),
            (b"\xa1\xf9\x3e\x00\x02", "a number as a key"),
        ] {
            assert_refused(Cbor, input, Json, what);
        }
    }

    #[test]
    fn what_only_one_format_has_is_refused() {
        assert_refused(MsgPack, b"\x91\xd6\xff\0\0\0\x01", Cbor, "a MessagePack extension");
        assert_refused(Cbor, b"\x81\xc1\x01", MsgPack, "a CBOR tag");
        assert_refused(Cbor, b"\xc2\x41\x01", Json, "a CBOR tag");
        assert_refused(Cbor, b"\x81\xe0", Json, "a CBOR simple value");
    }

    #[test]
    fn limits_hold_to_the_byte() {
        let run = |input: &[u8], transcoded, depth| {
            let limits = Limits { transcoded, depth, ..Limits::DEFAULT };
            transcode(MsgPack, input, Json, &limits, &mut BytesMut::new())
        };
        assert_eq!(run(b"\xc4\x03abc", 12, 64), Ok(()));
        assert_eq!(run(b"\xc4\x03abc", 11, 64), Err(TranscodeError::TooLong { limit: 11 }));
        // The list is there to the last byte that is allowed, when its value proves to be none.
        let outcome = transcode(
            Json,
            b"[1e400]",
            Cbor,
            &Limits { transcoded: 1, ..Limits::DEFAULT },
            &mut BytesMut::new(),
        );
        assert!(matches!(outcome, Err(TranscodeError::Unrepresentable { .. })), "{outcome:?}");
        let deep = [vec![0x91; 101], vec![0x90]].concat();
        let malformed = |limit| TranscodeError::Malformed {
            serializer: MsgPack,
            at: limit,
            syntax: Syntax::TooDeep { limit },
        };
        assert_eq!(run(&deep, 1000, 3), Err(malformed(3)));
        assert_eq!(run(&deep, 1000, 1000), Err(malformed(100)));
        for from in Serializer::ALL {
            for to in Serializer::ALL {
                let (open, close): (&[u8], &[u8]) = match from {
                    Json => (b"[", b"]"),
                    MsgPack => (b"\x91", b""),
                    Cbor => (b"\x81", b""),
                };
                let inner: &[u8] = if from == Json { b"1" } else { b"\x01" };
                let input = [open.repeat(100), inner.to_vec(), close.repeat(100)].concat();
                let limits = Limits { depth: 1000, ..Limits::DEFAULT };
                assert_eq!(transcode(from, &input, to, &limits, &mut BytesMut::new()), Ok(()));
            }
        }
    }
    #[test]
    fn a_refusal_is_as_long_from_deep_inside() {
        for (from, inner, to) in [
            (Json, &br#""\u0000\"""#[..], MsgPack),
            (Json, b"1e400", Cbor),
            (MsgPack, b"\xcf\xff\xff\xff\xff\xff\xff\xff\xff", Json),
            (MsgPack, b"\xa1\0", Json),
            (Cbor, b"\xf9\x7e\0", Json),
            (Cbor, b"\x3b\xff\xff\xff\xff\xff\xff\xff\xff", MsgPack),
        ] {
            let (open, close): (&[u8], &[u8]) = match from {
                Json => (br#"{"a":["#, b"]}"),
                MsgPack => (b"\x81\xa1a\x91", b""),
                Cbor => (b"\xa1\x61a\x81", b""),
            };
            let deep = [&open.repeat(30), inner, &close.repeat(30)].concat();
            let (shallow, deep) = (run(from, inner, to), run(from, &deep, to));
            if inner == b"1e400" {
                assert!(deep.unwrap_err().to_string().len() < 200);
            } else {
                assert_eq!(deep, shallow);
            }
        }
    }
}
