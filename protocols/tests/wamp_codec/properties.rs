//! Properties of the codec over generated messages, and over bytes that are hardly any.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::{Index, select, subsequence};
use protocols::wamp::error::MessageError;
use protocols::wamp::message::{Feature, Message, Role};
use protocols::wamp::serializer::{Serializer, Syntax};
use serde_json::{Value, json};

use super::{LIMITS, decode, oracle};

/// What a key of options can say.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Flag,
    Number,
    Id,
    Ids,
    Text,
    Texts,
    Match,
    Dict,
    Roles,
}

use Kind::*;

/// Options or details: keys and kinds.
type Keys = &'static [(&'static str, Kind)];

/// An element of a message.
#[derive(Debug, Clone, Copy)]
enum Part {
    One(Kind),
    Options(Keys),
    RequestType,
    Payload,
}

const PPT: [(&str, Kind); 4] =
    [("ppt_scheme", Text), ("ppt_serializer", Text), ("ppt_cipher", Text), ("ppt_keyid", Text)];

const CANCEL: Keys = &[("mode", Text), ("reason", Text)];
const RESULT: Keys = &[("progress", Flag), PPT[0], PPT[1], PPT[2], PPT[3]];
const MESSAGE: Keys = &[("message", Text)];

/// Every message, told once more than in the code under test.
const MESSAGES: &[(u64, &[Part])] = &[
    (
        1,
        &[
            Part::One(Text),
            Part::Options(&[
                ("roles", Roles),
                ("agent", Text),
                ("authmethods", Texts),
                ("authid", Text),
                ("authrole", Text),
                ("authextra", Dict),
            ]),
        ],
    ),
    (
        2,
        &[
            Part::One(Id),
            Part::Options(&[
                ("roles", Roles),
                ("agent", Text),
                ("realm", Text),
                ("authid", Text),
                ("authrole", Text),
                ("authmethod", Text),
                ("authprovider", Text),
                ("authextra", Dict),
            ]),
        ],
    ),
    (3, &[Part::Options(MESSAGE), Part::One(Text), Part::Payload]),
    (4, &[Part::One(Text), Part::One(Dict)]),
    (5, &[Part::One(Text), Part::One(Dict)]),
    (6, &[Part::Options(MESSAGE), Part::One(Text)]),
    (8, &[Part::RequestType, Part::One(Id), Part::Options(&PPT), Part::One(Text), Part::Payload]),
    (
        16,
        &[
            Part::One(Id),
            Part::Options(&[
                ("acknowledge", Flag),
                ("exclude_me", Flag),
                ("exclude", Ids),
                ("exclude_authid", Texts),
                ("exclude_authrole", Texts),
                ("eligible", Ids),
                ("eligible_authid", Texts),
                ("eligible_authrole", Texts),
                ("disclose_me", Flag),
                ("retain", Flag),
                ("rkey", Text),
                PPT[0],
            ]),
            Part::One(Text),
            Part::Payload,
        ],
    ),
    (17, &[Part::One(Id), Part::One(Id)]),
    (
        32,
        &[
            Part::One(Id),
            Part::Options(&[("match", Match), ("get_retained", Flag), ("nkey", Text)]),
            Part::One(Text),
        ],
    ),
    (33, &[Part::One(Id), Part::One(Id)]),
    (34, &[Part::One(Id), Part::One(Id)]),
    (35, &[Part::One(Id), Part::Options(&[("subscription", Id), ("reason", Text)])]),
    (
        36,
        &[
            Part::One(Id),
            Part::One(Id),
            Part::Options(&[
                ("topic", Text),
                ("publisher", Id),
                ("publisher_authid", Text),
                ("publisher_authrole", Text),
                ("trustlevel", Number),
                ("retained", Flag),
                PPT[1],
            ]),
            Part::Payload,
        ],
    ),
    (
        48,
        &[
            Part::One(Id),
            Part::Options(&[
                ("timeout", Number),
                ("receive_progress", Flag),
                ("progress", Flag),
                ("disclose_me", Flag),
                ("rkey", Text),
                ("runmode", Text),
                PPT[2],
            ]),
            Part::One(Text),
            Part::Payload,
        ],
    ),
    (49, &[Part::One(Id), Part::Options(CANCEL)]),
    (50, &[Part::One(Id), Part::Options(RESULT), Part::Payload]),
    (
        64,
        &[
            Part::One(Id),
            Part::Options(&[
                ("match", Match),
                ("invoke", Text),
                ("disclose_caller", Flag),
                ("forward_timeout", Flag),
                ("concurrency", Number),
                ("force_reregister", Flag),
            ]),
            Part::One(Text),
        ],
    ),
    (65, &[Part::One(Id), Part::One(Id)]),
    (66, &[Part::One(Id), Part::One(Id)]),
    (67, &[Part::One(Id), Part::Options(&[("registration", Id), ("reason", Text)])]),
    (
        68,
        &[
            Part::One(Id),
            Part::One(Id),
            Part::Options(&[
                ("procedure", Text),
                ("caller", Id),
                ("caller_authid", Text),
                ("caller_authrole", Text),
                ("receive_progress", Flag),
                ("progress", Flag),
                ("timeout", Number),
                ("trustlevel", Number),
                PPT[3],
            ]),
            Part::Payload,
        ],
    ),
    (69, &[Part::One(Id), Part::Options(CANCEL)]),
    (70, &[Part::One(Id), Part::Options(RESULT), Part::Payload]),
];

/// Text with what must be escaped, and no NUL in front, which is binary in JSON.
fn text() -> impl Strategy<Value = String> {
    let characters = vec!['a', '.', '"', '\\', '/', '\n', '\u{1}', '\u{7f}', 'é', '€', '🦀'];
    vec(select(characters), 0..40).prop_map(|text| text.into_iter().collect())
}

fn id() -> impl Strategy<Value = u64> {
    prop_oneof![1..=300_u64, 1..=1_u64 << 53, Just(1 << 53)]
}

/// Any value that all serializers can carry.
fn tree() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        (-(1_i64 << 53)..=1 << 53).prop_map(Value::from),
        (-300_i64..300).prop_map(Value::from),
        any::<f64>()
            .prop_filter("JSON has no others", |float| float.is_finite())
            .prop_map(Value::from),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 20, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..20).prop_map(Value::from),
            btree_map(text(), inner, 0..20).prop_map(|dict| dict.into_iter().collect()),
        ]
    })
}

fn dict() -> impl Strategy<Value = Value> {
    btree_map(text(), tree(), 0..4).prop_map(|dict| dict.into_iter().collect())
}

fn value(kind: Kind) -> BoxedStrategy<Value> {
    match kind {
        Flag => any::<bool>().prop_map(Value::from).boxed(),
        Number => any::<u64>().prop_map(Value::from).boxed(),
        Id => id().prop_map(Value::from).boxed(),
        Ids => vec(id(), 0..20).prop_map(Value::from).boxed(),
        Text => text().prop_map(Value::from).boxed(),
        Texts => vec(text(), 0..4).prop_map(Value::from).boxed(),
        Match => select(vec!["exact", "prefix", "wildcard", "regex"]).prop_map(Value::from).boxed(),
        Dict => dict().boxed(),
        Roles => {
            let features = subsequence(Feature::ALL.to_vec(), 0..5).prop_map(|features| {
                if features.is_empty() {
                    return json!({});
                }
                let flags = features.iter().map(|feature| (feature.as_str(), true));
                json!({ "features": flags.collect::<std::collections::BTreeMap<_, _>>() })
            });
            let names: Vec<_> = Role::ALL.iter().map(|role| role.as_str().to_owned()).collect();
            btree_map(select(names), features, 0..4)
                .prop_map(|roles| roles.into_iter().collect())
                .boxed()
        }
    }
}

fn options(keys: Keys) -> BoxedStrategy<Value> {
    subsequence(keys.to_vec(), 0..=keys.len())
        .prop_flat_map(|keys| {
            keys.into_iter()
                .map(|(key, kind)| (Just(key.to_owned()), value(kind)))
                .collect::<Vec<_>>()
        })
        .prop_map(|pairs| pairs.into_iter().collect())
        .boxed()
}

fn part(part: Part) -> BoxedStrategy<Vec<Value>> {
    match part {
        Part::One(kind) => value(kind).prop_map(|value| vec![value]).boxed(),
        Part::Options(keys) => options(keys).prop_map(|options| vec![options]).boxed(),
        Part::RequestType => {
            select(vec![32, 34, 16, 64, 66, 68, 48]).prop_map(|code| vec![code.into()]).boxed()
        }
        Part::Payload => (vec(tree(), 0..4), dict(), 0..3_usize)
            .prop_map(|(args, kwargs, count)| vec![args.into(), kwargs][..count].to_vec())
            .boxed(),
    }
}

/// Any message, as a tree.
fn message() -> impl Strategy<Value = Value> {
    select(MESSAGES).prop_flat_map(|(code, parts)| {
        parts.iter().copied().map(part).collect::<Vec<_>>().prop_map(move |parts| {
            let elements = parts.into_iter().flatten();
            Value::Array(std::iter::once(Value::from(code)).chain(elements).collect())
        })
    })
}

fn serializer() -> impl Strategy<Value = Serializer> {
    select(&Serializer::ALL[..])
}

/// A message with some bytes changed, put in or taken out.
fn damaged() -> impl Strategy<Value = (Serializer, Vec<u8>)> {
    let changes = vec((any::<Index>(), any::<u8>(), 0..3_u8), 1..4);
    (serializer(), message(), changes).prop_map(|(serializer, message, changes)| {
        let mut bytes = oracle::encode(serializer, &message);
        for (at, byte, how) in changes {
            match how {
                0 if !bytes.is_empty() => {
                    let at = at.index(bytes.len());
                    bytes[at] = byte;
                }
                1 if !bytes.is_empty() => drop(bytes.remove(at.index(bytes.len()))),
                _ => bytes.insert(at.index(bytes.len() + 1), byte),
            }
        }
        (serializer, bytes)
    })
}

/// Bytes that mean something in one of the formats, mostly.
fn noise() -> impl Strategy<Value = (Serializer, Vec<u8>)> {
    let json = vec(select(&br#"[]{}",:\u0d8e-.1tn "#[..]), 0..40);
    let binary = vec(
        prop_oneof![
            any::<u8>(),
            select(&b"\x00\x81\x91\x9f\xbf\xff\x7f\x5f\x61\xa1\xc1\xc7\xd9\xf9"[..])
        ],
        0..40,
    );
    prop_oneof![(serializer(), json), (serializer(), binary)]
}

/// Decodes, and checks what must hold of whatever comes out.
fn examine(serializer: Serializer, bytes: &[u8]) -> Result<(), TestCaseError> {
    let outcome = decode(serializer, bytes);
    let is_well_formed = oracle::accepts(serializer, bytes);
    match &outcome {
        Ok(message) => {
            for to in Serializer::ALL {
                if let Ok(encoded) = message.encode(to, &LIMITS) {
                    let again = Message::decode(to, &encoded, &LIMITS);
                    prop_assert_eq!(
                        again.as_ref().map(Message::message_type),
                        Ok(message.message_type())
                    );
                    if to == serializer {
                        prop_assert_eq!(again.as_ref(), Ok(message));
                    }
                } else {
                    prop_assert_ne!(to, serializer, "what came can be passed on");
                }
            }
        }
        Err(MessageError::Malformed { syntax, at, .. }) => {
            prop_assert!(*at <= bytes.len());
            prop_assert!(!is_well_formed || is_stricter(serializer, *syntax), "{syntax:?}");
            return Ok(());
        }
        Err(_) => {}
    }
    // The other decoder of CBOR knows no simple values.
    let has_simple = bytes.iter().any(|byte| matches!(byte, 0xe0..=0xf3 | 0xf8));
    let is_known = serializer != Serializer::Cbor || !has_simple;
    prop_assert!(is_well_formed || !is_known, "{bytes:x?} {outcome:?}");
    Ok(())
}

/// What other decoders let through: they do not look into what they skip.
fn is_stricter(serializer: Serializer, syntax: Syntax) -> bool {
    match syntax {
        Syntax::NotUtf8 | Syntax::TooDeep { .. } => true,
        Syntax::BadChunk | Syntax::UnexpectedBreak | Syntax::Unexpected { .. } => {
            serializer == Serializer::Cbor
        }
        _ => false,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..Default::default() })]

    #[test]
    fn what_another_encoder_wrote_is_written_as_it_was(tree in message(), serializer in serializer()) {
        let message = decode(serializer, &oracle::encode(serializer, &tree)).unwrap();
        let encoded = message.encode(serializer, &LIMITS).unwrap();
        prop_assert_eq!(oracle::decode(serializer, &encoded), tree);
        prop_assert_eq!(Message::decode(serializer, &encoded, &LIMITS), Ok(message));
    }

    #[test]
    fn what_is_transcoded_says_the_same(tree in message(), from in serializer(), to in serializer()) {
        let message = decode(from, &oracle::encode(from, &tree)).unwrap();
        let encoded = message.encode(to, &LIMITS).unwrap();
        prop_assert_eq!(oracle::decode(to, &encoded), tree);
    }

    #[test]
    fn no_damage_makes_the_decoders_panic((serializer, bytes) in damaged()) {
        examine(serializer, &bytes)?;
    }

    #[test]
    fn no_noise_makes_the_decoders_panic((serializer, bytes) in noise()) {
        examine(serializer, &bytes)?;
    }

    #[test]
    fn noise_in_the_arguments_is_found((serializer, noise) in noise()) {
        let (before, after): (&[u8], &[u8]) = match serializer {
            Serializer::Json => (br#"[48,1,{},"a",["#, b"]]"),
            Serializer::MsgPack => (b"\x95\x30\x01\x80\xa1a\x91", b""),
            Serializer::Cbor => (b"\x85\x18\x30\x01\xa0\x61a\x81", b""),
        };
        examine(serializer, &[before, &noise, after].concat())?;
    }

    #[test]
    fn binary_goes_through_json_and_back(data in vec(any::<u8>(), 0..100), from in select(vec![Serializer::MsgPack, Serializer::Cbor])) {
        let head: &[u8] = if from == Serializer::Cbor { b"\x85\x18\x30\x01\xa0\x61a\x81\x58" } else { b"\x95\x30\x01\x80\xa1a\x91\xc4" };
        let bytes = [head, &[data.len() as u8], &data].concat();
        let json = decode(from, &bytes).unwrap().encode(Serializer::Json, &LIMITS).unwrap();
        let back = decode(Serializer::Json, &json).unwrap().encode(from, &LIMITS).unwrap();
        // Binary data has the shortest length that will do.
        let is_there = back.windows(data.len().max(1)).any(|part| part.starts_with(&data));
        prop_assert!(back == bytes || from == Serializer::Cbor && is_there);
    }
}
