//! What comes out can be parsed by lapin, and is otherwise as it came in.

use lapin::protocol::basic::{AMQPMethod as Basic, parse_properties};
use lapin::protocol::channel::AMQPMethod as Channel;
use lapin::protocol::connection::AMQPMethod as Connection;
use lapin::protocol::{AMQPClass, BasicProperties, parse_class};
use lapin::types::AMQPValue;
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
    let size = u32::try_from(payload.len()).unwrap().to_be_bytes();
    [&[kind, 0, 1], &size[..], payload, b"\xce"].concat()
}

fn header_frame(flags: u16, properties: &[u8]) -> Vec<u8> {
    let payload = [&[0, 60, 0, 0][..], &[0; 8], &flags.to_be_bytes(), properties].concat();
    frame(HEADER, &payload)
}

fn short(text: &[u8]) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()], text].concat()
}

fn long(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

const ONLY_HEADERS: u16 = 1 << 13;

/// A content header frame whose only header is this value, type and all.
fn with_value(value: &[u8]) -> Vec<u8> {
    header_frame(ONLY_HEADERS, &long(&[&short(b"a"), value].concat()))
}

/// These bytes once they are safe; whether they had to be changed.
fn passed(bytes: &[u8]) -> (Vec<u8>, bool) {
    let (mut screen, mut bytes) = (Screen::default(), bytes.to_vec());
    let safe = screen.pass(&mut bytes).unwrap();
    assert_eq!(safe, bytes.len());
    (bytes, screen.take_changed())
}

fn properties(frame: &[u8]) -> BasicProperties {
    let (rest, properties) = parse_properties(&frame[HEAD + 12..frame.len() - 1]).unwrap();
    assert!(rest.is_empty());
    properties
}

fn method(bytes: &[u8]) -> AMQPClass {
    let (rest, class) = parse_class(&bytes[HEAD..bytes.len() - 1]).unwrap();
    assert!(rest.is_empty());
    class
}

#[test]
fn a_property_that_is_not_utf8_is_put_right() {
    let (bytes, changed) = passed(&header_frame(1 << 10 | 1 << 2, b"\x04a\xff\xc3b\x02\xc3\xbc"));
    let properties = properties(&bytes);
    assert!(changed);
    assert_eq!(properties.correlation_id().as_ref().unwrap().as_str(), "a??b");
    assert_eq!(properties.cluster_id().as_ref().unwrap().as_str(), "ü");
}

#[test]
fn names_of_headers_are_put_right_however_deep() {
    let entry = [&short(b"\xffb")[..], b"t\x01"].concat();
    let inner = [b"F", &long(&entry)[..]].concat();
    let (bytes, changed) = passed(&with_value(&[b"A", &long(&inner)[..]].concat()));
    let properties = properties(&bytes);
    assert!(changed);
    let headers = properties.headers().as_ref().unwrap().inner();
    let AMQPValue::FieldArray(values) = &headers["a"] else { panic!("{headers:?}") };
    let [AMQPValue::FieldTable(table)] = values.as_slice() else { panic!("{values:?}") };
    assert_eq!(table.inner()["?b"], AMQPValue::Boolean(true));
}

#[test]
fn the_texts_of_methods_are_put_right() {
    let put_right = |id: [u8; 4], fields: &[&[u8]]| {
        let (bytes, changed) = passed(&frame(METHOD, &[&id[..], &fields.concat()].concat()));
        assert!(changed);
        method(&bytes)
    };
    let cut = short(b"no queue '\xc3...");
    let AMQPClass::Channel(Channel::Close(close)) =
        put_right([0, 20, 0, 40], &[&[1, 148], &cut, &[0, 50, 0, 10]])
    else {
        panic!("not a close")
    };
    assert_eq!((close.reply_code, close.reply_text.as_str()), (404, "no queue '?..."));
    let AMQPClass::Connection(Connection::Close(close)) =
        put_right([0, 10, 0, 50], &[&[1, 148], &cut, &[0; 4]])
    else {
        panic!("not a close")
    };
    assert_eq!(close.reply_text.as_str(), "no queue '?...");
    let AMQPClass::Connection(Connection::Blocked(blocked)) = put_right([0, 10, 0, 60], &[&cut])
    else {
        panic!("not blocked")
    };
    assert_eq!(blocked.reason.as_str(), "no queue '?...");
    let (exchange, key) = (short(b"x\xff"), short(b"\xffk"));
    let AMQPClass::Basic(Basic::Deliver(deliver)) =
        put_right([0, 60, 0, 60], &[&short(b"c"), &[0, 0, 0, 0, 0, 0, 0, 7, 1], &exchange, &key])
    else {
        panic!("not a delivery")
    };
    assert_eq!((deliver.exchange.as_str(), deliver.routing_key.as_str()), ("x?", "?k"));
    assert_eq!((deliver.delivery_tag, deliver.redelivered), (7, true));
    let AMQPClass::Basic(Basic::Return(returned)) =
        put_right([0, 60, 0, 50], &[&[1, 56], &cut, &exchange, &key])
    else {
        panic!("not a return")
    };
    assert_eq!((returned.exchange.as_str(), returned.routing_key.as_str()), ("x?", "?k"));
    let AMQPClass::Basic(Basic::GetOk(got)) =
        put_right([0, 60, 0, 71], &[&[0; 9], &exchange, &key, &[0; 4]])
    else {
        panic!("not a message")
    };
    assert_eq!((got.exchange.as_str(), got.routing_key.as_str()), ("x?", "?k"));
}

/// A value of arrays in each other.
fn arrays(depth: usize) -> Vec<u8> {
    (0..depth).fold(b"V".to_vec(), |inner, _| [b"A", &long(&inner)[..]].concat())
}

#[test]
fn what_lies_too_deep_becomes_bytes() {
    let deepest = with_value(&arrays(Value::MAX_DEPTH));
    assert_eq!(passed(&deepest), (deepest, false));
    // As deep as RabbitMQ's largest frame allows: nothing recurses that far.
    let deep = 26_000;
    let (bytes, changed) = passed(&with_value(&arrays(deep)));
    assert!(changed);
    let properties = properties(&bytes);
    let mut value = &properties.headers().as_ref().unwrap().inner()["a"];
    for _ in 0..Value::MAX_DEPTH {
        let AMQPValue::FieldArray(values) = value else { panic!("{value:?}") };
        value = &values.as_slice()[0];
    }
    let encoded = arrays(deep - Value::MAX_DEPTH);
    let AMQPValue::ByteArray(rest) = value else { panic!("{value:?}") };
    assert_eq!(rest.as_slice(), &encoded[1 + 4..]);
}

#[test]
fn what_cannot_be_parsed_stays_as_it_is() {
    for bytes in [
        with_value(b"?"),
        with_value(b"S\xff\xff\xff\xffa"),
        with_value(b"A\0\0\0\x02I\0"),
        header_frame(1 << 15, b"\xffa"),
        header_frame(1 << 6, b"a"),
        frame(HEADER, b"\0"),
        frame(METHOD, b"\0\x3c\0\x3c\xff"),
        frame(METHOD, b""),
        frame(3, b"\xff\xff"),
        frame(8, b""),
        b"AMQP\0\0\x09\x01".to_vec(),
    ] {
        assert_eq!(passed(&bytes), (bytes, false));
    }
}

#[test]
fn a_frame_that_would_have_to_be_held_back_for_too_long_is_an_error() {
    let mut head = *b"\x02\0\x01\x01\0\0\0";
    let error = Screen::default().pass(&mut head).unwrap_err();
    assert_eq!(error.to_string(), "a frame of 16777224 bytes is larger than 16777216");
    head[0] = 3;
    assert_eq!(Screen::default().pass(&mut head).unwrap(), HEAD, "bodies are not held back");
}

/// A value of which lapin's parser takes all, but for names that are not UTF-8.
fn value() -> impl Strategy<Value = Vec<u8>> {
    let number = |kind: u8, bytes: usize| {
        vec(any::<u8>(), bytes).prop_map(move |value| [&[kind], &value[..]].concat())
    };
    let bytes = |kind: u8| {
        vec(any::<u8>(), 0..6).prop_map(move |value| [&[kind], &long(&value)[..]].concat())
    };
    let flat = prop_oneof![
        Just(b"V".to_vec()),
        Just(b"t\x01".to_vec()),
        number(b'b', 1),
        number(b'B', 1),
        number(b's', 2),
        number(b'u', 2),
        number(b'I', 4),
        number(b'i', 4),
        number(b'D', 5),
        number(b'l', 8),
        number(b'L', 8),
        number(b'T', 8),
        number(b'f', 4),
        number(b'd', 8),
        bytes(b'S'),
        bytes(b'x'),
    ];
    flat.prop_recursive(4, 24, 4, |inner| {
        let entry = (vec(any::<u8>(), 0..4), inner.clone());
        let entry = entry.prop_map(|(name, value)| [short(&name), value].concat());
        prop_oneof![
            vec(inner, 0..4).prop_map(|values| [b"A", &long(&values.concat())[..]].concat()),
            vec(entry, 0..4).prop_map(|entries| [b"F", &long(&entries.concat())[..]].concat()),
        ]
    })
}

fn any_frame() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        value().prop_map(|value| with_value(&value)),
        vec(any::<u8>(), 0..9).prop_map(|text| header_frame(1 << 15, &short(&text))),
        vec(any::<u8>(), 0..9)
            .prop_map(|key| frame(METHOD, &[&[0, 60, 0, 71], &[0; 9][..], &short(&key)].concat())),
        vec(any::<u8>(), 0..30).prop_map(|body| frame(3, &body)),
        vec(any::<u8>(), 0..30).prop_map(|payload| frame(METHOD, &payload)),
        vec(any::<u8>(), 0..30).prop_map(|payload| frame(HEADER, &payload)),
        Just(frame(8, b"")),
    ]
}

/// These bytes, made safe as they come in pieces that end there.
fn passed_in_pieces(bytes: &[u8], ends: &[usize]) -> Vec<u8> {
    let (mut screen, mut held, mut out) = (Screen::default(), Vec::new(), Vec::new());
    let mut from = 0;
    for end in ends.iter().copied().chain([bytes.len()]) {
        held.extend_from_slice(&bytes[from..end]);
        from = end;
        let safe = screen.pass(&mut held).unwrap();
        out.extend(held.drain(..safe));
    }
    assert_eq!(held, b"", "whole frames are never held back");
    out
}

proptest! {
    #[test]
    fn whatever_a_publisher_can_write_can_be_read(value in value(), name in vec(any::<u8>(), 0..9)) {
        let bytes = with_value(&value);
        let (safe, _) = passed(&bytes);
        prop_assert_eq!(safe.len(), bytes.len());
        properties(&safe);
        properties(&passed(&header_frame(1 << 5, &short(&name))).0);
    }

    #[test]
    fn what_can_be_read_already_is_not_touched(value in value()) {
        let bytes = with_value(&value);
        let read = parse_properties(&bytes[HEAD + 12..bytes.len() - 1]);
        let (safe, changed) = passed(&bytes);
        prop_assert_eq!(read.is_ok(), !changed);
        if let Ok((_, before)) = read {
            prop_assert_eq!(&safe, &bytes);
            // By their digits: numbers that are none do not equal themselves.
            prop_assert_eq!(format!("{:?}", properties(&safe)), format!("{before:?}"));
        }
    }

    #[test]
    fn the_pieces_it_comes_in_do_not_matter(
        frames in vec(any_frame(), 0..6),
        ends in vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let bytes = frames.concat();
        let mut ends: Vec<usize> = ends.iter().map(|end| end.index(bytes.len() + 1)).collect();
        ends.sort_unstable();
        prop_assert_eq!(passed_in_pieces(&bytes, &ends), passed(&bytes).0);
    }
}
