//! Round trips, refusals, and the size on the wire.

use std::fmt::Write as _;

use lapin::protocol::basic::{gen_properties, parse_properties};
use lapin::types::AMQPType;
use proptest::collection::{btree_map, vec};
use proptest::num::f64::{NEGATIVE, NORMAL, POSITIVE, SUBNORMAL, ZERO};
use proptest::option::of;
use proptest::prelude::*;
use protocols::broker::BrokerErrorKind;

use super::*;

const USER: &str = "guest";
const FRAME_SIZE: usize = 128 << 10;

/// These properties as they travel.
fn encoded(basic: &BasicProperties) -> Vec<u8> {
    gen_properties(basic)(Vec::new().into()).unwrap().write
}

/// What the other side of a connection reads, given what this one has sent.
fn received(basic: &BasicProperties) -> Properties {
    let bytes = encoded(basic);
    let (rest, basic) = parse_properties(&bytes[..]).unwrap();
    assert!(rest.is_empty());
    from_amqp(&basic, &mut TextPool::with_capacity(encoded_size(&basic)))
}

fn with_headers(headers: Vec<(Text, Value)>) -> Properties {
    Properties { headers, ..Properties::default() }
}

fn refusal(properties: &Properties) -> String {
    let error = to_amqp(properties, USER, FRAME_SIZE).unwrap_err();
    assert_eq!(error.kind, BrokerErrorKind::PreconditionFailed);
    error.text.to_string()
}

fn text() -> impl Strategy<Value = Text> {
    "\\PC{0,8}".prop_map(Text::from)
}

fn value() -> impl Strategy<Value = Value> {
    let flat = prop_oneof![
        text().prop_map(Value::Text),
        any::<bool>().prop_map(Value::Boolean),
        any::<i64>().prop_map(Value::Integer),
        any::<i32>().prop_map(|number| Value::Integer(number.into())),
        (POSITIVE | NEGATIVE | NORMAL | SUBNORMAL | ZERO)
            .prop_map(|number| Value::Double(Double(number))),
        any::<(u8, i32)>().prop_map(|(scale, unscaled)| Value::Decimal { scale, unscaled }),
        any::<u64>().prop_map(Value::Timestamp),
        vec(any::<u8>(), 0..8).prop_map(|bytes| Value::Bytes(bytes.into())),
        Just(Value::Void),
    ];
    flat.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::Array),
            table(inner).prop_map(Value::Table),
        ]
    })
}

/// Entries of which no two have the same name, in the order that AMQP gives them back.
fn table(of: impl Strategy<Value = Value>) -> impl Strategy<Value = Vec<(Text, Value)>> {
    btree_map(text(), of, 0..4).prop_map(|entries| entries.into_iter().collect())
}

prop_compose! {
    fn properties()(
        (content_type, content_encoding, correlation_id) in (of(text()), of(text()), of(text())),
        (reply_to, message_id, kind, app_id) in (of(text()), of(text()), of(text()), of(text())),
        user_id in of(Just(Text::from_static(USER))),
        expiration in of((0..=expiration::MAX_TTL).prop_map(|number| Text::from(number.to_string()))),
        (persistent, priority, timestamp) in (any::<bool>(), of(any::<u8>()), of(any::<u64>())),
        headers in table(value()),
    ) -> Properties {
        Properties {
            content_type, content_encoding, headers, persistent, priority, correlation_id, reply_to,
            expiration, message_id, timestamp, kind, user_id, app_id,
        }
    }
}

proptest! {
    #[test]
    fn what_is_sent_is_what_is_received(sent in properties()) {
        let basic = to_amqp(&sent, USER, FRAME_SIZE).unwrap();
        prop_assert_eq!(received(&basic), sent);
    }

    #[test]
    fn the_size_is_that_on_the_wire_and_decides(sent in properties()) {
        let basic = to_amqp(&sent, USER, FRAME_SIZE).unwrap();
        let size = encoded(&basic).len();
        prop_assert_eq!(encoded_size(&basic), size);
        prop_assert!(to_amqp(&sent, USER, HEADER_FRAME + size).is_ok());
        prop_assert!(to_amqp(&sent, USER, HEADER_FRAME + size - 1).is_err());
    }
}

#[test]
fn every_type_that_rabbitmq_knows_has_its_size_and_its_value() {
    let long = |bytes: &[u8]| AMQPValue::LongString(bytes.into());
    let decimal = DecimalValue { scale: 2, value: u32::MAX };
    let array = FieldArray::from(vec![AMQPValue::Void, long(b"a")]);
    let types = [
        (AMQPValue::Boolean(true), Value::Boolean(true)),
        (AMQPValue::ShortShortInt(-1), Value::Integer(-1)),
        (AMQPValue::ShortShortUInt(u8::MAX), Value::Integer(255)),
        (AMQPValue::ShortInt(-1), Value::Integer(-1)),
        (AMQPValue::ShortUInt(u16::MAX), Value::Integer(65_535)),
        (AMQPValue::LongInt(-1), Value::Integer(-1)),
        (AMQPValue::LongUInt(u32::MAX), Value::Integer(4_294_967_295)),
        (AMQPValue::LongLongInt(i64::MIN), Value::Integer(i64::MIN)),
        (AMQPValue::Float(0.5), Value::Double(Double(0.5))),
        (AMQPValue::Double(-0.1), Value::Double(Double(-0.1))),
        (AMQPValue::DecimalValue(decimal), Value::Decimal { scale: 2, unscaled: -1 }),
        (long("ü".as_bytes()), Value::Text("ü".into())),
        (long(b"\xff"), Value::Bytes(Bytes::from_static(b"\xff"))),
        (AMQPValue::ByteArray(b"ab"[..].into()), Value::Bytes(Bytes::from_static(b"ab"))),
        (AMQPValue::Timestamp(u64::MAX), Value::Timestamp(u64::MAX)),
        (array.into(), Value::Array(vec![Value::Void, Value::Text("a".into())])),
        (AMQPValue::Void, Value::Void),
    ];
    for (value, expected) in types {
        assert_ne!(value.get_type(), AMQPType::ShortString, "which is not on the wire");
        let mut table = FieldTable::default();
        table.insert("name".into(), value);
        let basic = BasicProperties::default().with_headers(table).with_cluster_id("c".into());
        assert_eq!(encoded_size(&basic), encoded(&basic).len());
        assert_eq!(received(&basic).headers, [("name".into(), expected)]);
    }
}

#[test]
fn a_message_without_headers_has_no_table() {
    let basic = to_amqp(&Properties::default(), USER, FRAME_SIZE).unwrap();
    assert_eq!(basic, BasicProperties::default());
    assert_eq!(encoded(&basic).len(), FLAGS);
}

#[test]
fn only_delivery_mode_2_is_persistent() {
    for (mode, persistent) in [(1, false), (2, true), (3, false)] {
        let basic = BasicProperties::default().with_delivery_mode(mode);
        assert_eq!(received(&basic).persistent, persistent);
    }
}

#[test]
fn of_headers_of_the_same_name_the_first_is_sent() {
    let header = |value: i64| (Text::from_static("a"), Value::Integer(value));
    let sent = with_headers(vec![header(1), header(2)]);
    let basic = to_amqp(&sent, USER, FRAME_SIZE).unwrap();
    assert_eq!(received(&basic).headers, [header(1)]);
}

#[test]
fn what_lies_too_deep_is_void() {
    let nested = |depth: usize| {
        let innermost = AMQPValue::LongInt(7);
        (0..depth).fold(innermost, |inner, _| FieldArray::from(vec![inner]).into())
    };
    for (depth, expected) in
        [(Value::MAX_DEPTH, Value::Integer(7)), (Value::MAX_DEPTH + 1, Value::Void)]
    {
        let mut table = FieldTable::default();
        table.insert("deep".into(), nested(depth));
        let mut got = received(&BasicProperties::default().with_headers(table)).headers;
        let mut value = got.pop().unwrap().1;
        for _ in 0..Value::MAX_DEPTH {
            let Value::Array(mut inner) = value else { panic!("{value:?}") };
            value = inner.pop().unwrap();
        }
        assert_eq!(value, expected);
    }
}

#[test]
fn another_users_id_is_refused_as_rabbitmq_does() {
    let claimed = |user: &'static str| Properties {
        user_id: Some(Text::from_static(user)),
        ..Properties::default()
    };
    assert_eq!(
        refusal(&claimed("admin")),
        "PRECONDITION_FAILED - user_id property set to 'admin' but authenticated user was 'guest'"
    );
    assert!(to_amqp(&claimed(USER), USER, FRAME_SIZE).is_ok());
}

#[test]
fn an_expiration_that_rabbitmq_does_not_take_is_refused() {
    let expiring =
        |after: &str| Properties { expiration: Some(Text::from(after)), ..Properties::default() };
    for after in ["0", "+10000", "0010000", "315360000000"] {
        assert!(to_amqp(&expiring(after), USER, FRAME_SIZE).is_ok(), "{after}");
    }
    for after in ["", " 1", "1 ", "-1", "+", "++1", "1.5", "1e3", "٣", "315360000001"] {
        let mut sentence = format!("PRECONDITION_FAILED - invalid expiration '{after}': ");
        sentence += "a number of milliseconds from 0 to 315360000000 is needed";
        assert_eq!(refusal(&expiring(after)), sentence);
    }
}

#[test]
fn further_recipients_are_refused_unless_they_are_an_array() {
    for name in ["CC", "BCC"] {
        let header = |value| with_headers(vec![(Text::from_static(name), value)]);
        assert_eq!(
            refusal(&header(Value::Text("queue".into()))),
            format!("PRECONDITION_FAILED - header '{name}' is not an array of routing keys")
        );
        let keys = Value::Array(vec![Value::Text("queue".into())]);
        assert!(to_amqp(&header(keys), USER, FRAME_SIZE).is_ok());
        let reply = Value::Text("amq.rabbitmq.reply-to.AAAA.x".into());
        assert!(refusal(&header(Value::Array(vec![reply]))).contains("direct reply-to"));
    }
}

#[test]
fn what_rabbitmq_would_close_for_is_refused() {
    let reply_to = Some(Text::from("amq.rabbitmq.reply-to"));
    let asking = Properties { reply_to, ..Properties::default() };
    assert!(refusal(&asking).contains("direct reply-to"));
    for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
        let value = Value::Array(vec![Value::Double(Double(number))]);
        let sentence = "PRECONDITION_FAILED - a header is an infinite number, or none";
        assert_eq!(refusal(&with_headers(vec![("n".into(), value)])), sentence);
    }
}

#[test]
fn texts_that_amqp_has_no_room_for_are_refused_by_name() {
    let long = Text::from("ü".repeat(128));
    let some = Some(long.clone());
    let default = Properties::default;
    for (name, properties) in [
        ("content-type", Properties { content_type: some.clone(), ..default() }),
        ("content-encoding", Properties { content_encoding: some.clone(), ..default() }),
        ("correlation-id", Properties { correlation_id: some.clone(), ..default() }),
        ("reply-to", Properties { reply_to: some.clone(), ..default() }),
        ("expiration", Properties { expiration: some.clone(), ..default() }),
        ("message-id", Properties { message_id: some.clone(), ..default() }),
        ("type", Properties { kind: some.clone(), ..default() }),
        ("user-id", Properties { user_id: some.clone(), ..default() }),
        ("app-id", Properties { app_id: some, ..default() }),
        ("the name of a header", with_headers(vec![(long.clone(), Value::Void)])),
        (
            "the name of a header",
            with_headers(vec![("t".into(), Value::Table(vec![(long, Value::Void)]))]),
        ),
    ] {
        let sentence = format!("PRECONDITION_FAILED - {name} has 256 bytes, more than 255");
        assert_eq!(refusal(&properties), sentence);
    }
    let longest = Some(Text::from("a".repeat(255)));
    let fits = Properties { reply_to: longest, ..default() };
    assert!(to_amqp(&fits, USER, FRAME_SIZE).is_ok());
}

#[test]
fn properties_that_fill_more_than_a_frame_are_refused_with_both_numbers() {
    let mut value = String::new();
    for line in 0..2_000 {
        writeln!(value, "line {line}").unwrap();
    }
    let sent = with_headers(vec![("x".into(), Value::Text(value.as_str().into()))]);
    let frame = HEADER_FRAME + FLAGS + LENGTH + 2 + 1 + LENGTH + value.len();
    let error = to_amqp(&sent, USER, 16 << 10).unwrap_err();
    let sentence = format!(
        "PRECONDITION_FAILED - properties and headers take a frame of {frame} bytes, more than 16384"
    );
    assert_eq!(error.text, *sentence);
}

#[test]
fn a_delivery_gives_its_body_away_and_keeps_its_tag() {
    let data = b"\xff\0body".to_vec();
    let body = data.as_ptr();
    let mut delivery = Delivery::mock(9, "x".into(), "k".into(), true, data);
    delivery.properties = BasicProperties::default().with_app_id("shop".into());
    let publication = publication(&mut delivery);
    assert_eq!((publication.exchange.as_str(), publication.routing_key.as_str()), ("x", "k"));
    assert_eq!(publication.message.properties.app_id.as_deref(), Some("shop"));
    assert_eq!(publication.message.body, &b"\xff\0body"[..]);
    assert_eq!(publication.message.body.as_ptr(), body, "it was not copied");
    assert_eq!((delivery.delivery_tag, delivery.redelivered), (9, true));
}
