//! SEND: headers to properties, and the body.

use protocols::broker::{Command, Properties, Value};

use crate::client::{Client, frame, sentence};

fn properties(headers: &[(&str, &str)]) -> Properties {
    let mut client = Client::connected("1.2");
    let mut all = vec![("destination", "/queue/a")];
    all.extend(headers);
    client.send("SEND", &all);
    client.message().properties
}

fn text(value: &str) -> Value {
    Value::Text(value.into())
}

#[test]
fn v12_send_without_receipt_is_a_publish_without_confirm() {
    let mut client = Client::connected("1.2");
    client.send_body("SEND", &[("destination", "/queue/a")], b"hello");
    match client.command() {
        Command::Publish { message, queue: None, confirm, mandatory, .. } => {
            assert_eq!(message.body, "hello");
            assert!(!confirm && !mandatory);
            assert_eq!(message.properties, Properties::default());
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(client.frames(), []);
}

#[test]
fn v12_send_needs_a_destination() {
    let mut client = Client::connected("1.2");
    client.send("SEND", &[("content-type", "text/plain")]);
    let error = client.policy_violation("Missing destination");
    assert!(sentence(&error).contains("SEND") && sentence(&error).contains("destination"));
}

#[test]
fn v12_content_length_lets_a_body_hold_nul() {
    let mut client = Client::connected("1.2");
    let headers = [("destination", "/queue/a"), ("content-length", "5")];
    client.send_raw(&frame("SEND", &headers, b"a\0b\0\xff"));
    assert_eq!(client.message().body, &b"a\0b\0\xff"[..]);
}

#[test]
fn v12_a_body_without_content_length_ends_at_the_first_nul() {
    let mut client = Client::connected("1.2");
    client.send_raw(b"SEND\ndestination:/queue/a\n\nab\0SEND\ndestination:/queue/b\n\ncd\0");
    let bodies: Vec<_> = client
        .commands()
        .into_iter()
        .map(|command| match command {
            Command::Publish { message, .. } => message.body,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(bodies, ["ab", "cd"]);
}

#[test]
fn server_known_headers_are_properties() {
    let got = properties(&[
        ("content-type", "text/plain"),
        ("content-encoding", "gzip"),
        ("priority", "7"),
        ("correlation-id", "c"),
        ("reply-to", "/queue/r"),
        ("expiration", "60000"),
        ("timestamp", "1700000000"),
        ("type", "order"),
        ("user-id", "guest"),
        ("app-id", "shop"),
        ("amqp-message-id", "m-1"),
        ("persistent", "true"),
    ]);
    let expected = Properties {
        content_type: Some("text/plain".into()),
        content_encoding: Some("gzip".into()),
        headers: vec![],
        persistent: true,
        priority: Some(7),
        correlation_id: Some("c".into()),
        reply_to: Some("/queue/r".into()),
        expiration: Some("60000".into()),
        message_id: Some("m-1".into()),
        timestamp: Some(1_700_000_000),
        kind: Some("order".into()),
        user_id: Some("guest".into()),
        app_id: Some("shop".into()),
    };
    assert_eq!(got, expected);
}

#[test]
fn v12_other_headers_travel_with_the_message_in_their_order() {
    let got = properties(&[("x", "1"), ("a", ""), ("Content-Type", "upper"), ("id", "i")]);
    let expected = [
        ("x".into(), text("1")),
        ("a".into(), text("")),
        ("Content-Type".into(), text("upper")),
        ("id".into(), text("i")),
    ];
    assert_eq!(got.headers, expected);
}

#[test]
fn server_headers_of_the_protocol_do_not_travel() {
    let mut client = Client::connected("1.2");
    let headers = [("destination", "/queue/a"), ("receipt", "r"), ("content-length", "1")];
    client.send_raw(&frame("SEND", &headers, b"x"));
    assert_eq!(client.message().properties, Properties::default());
}

#[test]
fn choice_headers_of_gateways_are_not_taken_from_a_client() {
    let got = properties(&[("user-id", "guest"), ("wamp-pub", "7"), ("wamp", "1")]);
    assert_eq!(got.headers, [("wamp".into(), text("1"))]);
}

#[test]
fn v12_of_repeated_headers_the_first_counts_and_the_others_are_dropped() {
    let got = properties(&[
        ("x", "1"),
        ("x", "2"),
        ("content-type", "a"),
        ("content-type", "b"),
        ("priority", "1"),
        ("priority", "2"),
        ("persistent", "false"),
        ("persistent", "true"),
        ("destination", "/nowhere"),
    ]);
    assert_eq!(got.headers, [("x".into(), text("1"))]);
    assert_eq!(got.content_type.as_deref(), Some("a"));
    assert_eq!(got.priority, Some(1));
    assert!(!got.persistent);
}

#[test]
fn v12_headers_are_unescaped() {
    let got = properties(&[(r"a\cb", r"c\\d\ne\rf\cg")]);
    assert_eq!(got.headers, [("a:b".into(), text("c\\d\ne\rf:g"))]);
}

#[test]
fn v11_headers_are_unescaped_and_carriage_returns_as_well() {
    let mut client = Client::connected("1.1");
    client.send("SEND", &[("destination", "/queue/a"), (r"a\cb", r"c\\d\ne\rf")]);
    assert_eq!(client.message().properties.headers, [("a:b".into(), text("c\\d\ne\rf"))]);
    client.send("SEND", &[("destination", "/queue/a"), ("k", r"\t")]);
    client.violation("Invalid header", protocols::session::CloseCode::Protocol);
}

#[test]
fn v10_headers_are_not_unescaped() {
    let mut client = Client::connected("1.0");
    client.send("SEND", &[("destination", "/queue/a"), ("k", r"a\nb:\x")]);
    assert_eq!(client.message().properties.headers, [("k".into(), text(r"a\nb:\x"))]);
}

#[test]
fn v10_blanks_before_a_value_are_dropped() {
    let mut client = Client::connected("1.0");
    client.send("SEND", &[("destination", " /queue/a"), ("k", "  v "), ("priority", " 3")]);
    let properties = client.message().properties;
    assert_eq!(properties.headers, [("k".into(), text("v "))]);
    assert_eq!(properties.priority, Some(3));
}

#[test]
fn v11_blanks_of_a_value_are_kept() {
    for version in ["1.1", "1.2"] {
        let mut client = Client::connected(version);
        client.send("SEND", &[("destination", "/queue/a"), ("k", " v ")]);
        assert_eq!(client.message().properties.headers, [("k".into(), text(" v "))]);
    }
}

#[test]
fn server_message_id_is_not_the_clients_to_set() {
    let mut client = Client::connected("1.2");
    client.send("SEND", &[("destination", "/queue/a"), ("message-id", "m")]);
    let error = client.policy_violation("Invalid header");
    assert!(sentence(&error).contains("message-id"));
    assert_eq!(client.commands(), []);
}

#[test]
fn server_numbers_that_are_none_are_refused() {
    for (name, value) in [
        ("priority", "256"),
        ("priority", "-1"),
        ("priority", "high"),
        ("priority", "1 2"),
        ("priority", ""),
        ("timestamp", "now"),
        ("timestamp", "-1"),
    ] {
        let mut client = Client::connected("1.2");
        client.send("SEND", &[("destination", "/queue/a"), (name, value)]);
        let error = client.policy_violation("Invalid header");
        assert!(sentence(&error).contains(name) && sentence(&error).contains(value));
    }
}

#[test]
fn server_a_flag_that_is_neither_true_nor_false_counts_as_absent() {
    for value in ["true", "True", "TRUE"] {
        assert!(properties(&[("persistent", value)]).persistent, "{value}");
    }
    for value in ["false", "False", "FALSE", "yes", "1", "", " true", "tRUE"] {
        let got = properties(&[("persistent", value), ("persistent", "true")]);
        assert_eq!(got, Properties::default(), "{value}: of repeated headers the first counts");
    }
}

#[test]
fn server_blanks_around_a_number_are_ignored() {
    let got = properties(&[("priority", " 7 "), ("timestamp", "\t1700000000 ")]);
    assert_eq!((got.priority, got.timestamp), (Some(7), Some(1_700_000_000)));
}

#[test]
fn v12_a_body_belongs_to_send_only() {
    for (verb, headers) in [
        ("SUBSCRIBE", &[("id", "0"), ("destination", "/queue/a")][..]),
        ("BEGIN", &[("transaction", "t")]),
        ("DISCONNECT", &[]),
    ] {
        for version in ["1.1", "1.2"] {
            let mut client = Client::connected(version);
            client.send_body(verb, headers, b"body");
            let error = client.policy_violation("Invalid frame");
            assert!(sentence(&error).contains(verb));
        }
        let mut client = Client::connected("1.0");
        client.send_body(verb, headers, b"body");
        assert_eq!(client.frames(), [], "1.0 ignores it");
    }
}

#[test]
fn server_blank_lines_where_a_body_would_be_are_ignored() {
    for version in ["1.0", "1.1", "1.2"] {
        for blank in [&b"\n"[..], b"\r\n", b"\r\n\r\n\n"] {
            let mut client = Client::new();
            client.send_body("CONNECT", &[("accept-version", version)], blank);
            client.granted();
            client.send_body("BEGIN", &[("transaction", "t"), ("receipt", "r")], blank);
            assert_eq!(client.receipts(), ["r"]);
        }
    }
    for body in [&b" "[..], b"\n.", b"\0"] {
        let mut client = Client::connected("1.2");
        let length = body.len().to_string();
        client.send_body("BEGIN", &[("transaction", "t"), ("content-length", &length)], body);
        client.policy_violation("Invalid frame");
    }
}

#[test]
fn v12_a_body_of_blank_lines_is_a_body_of_send() {
    let mut client = Client::connected("1.2");
    client.send_body("SEND", &[("destination", "/queue/a")], b"\r\n");
    assert_eq!(client.message().body, "\r\n");
}

#[test]
fn server_a_small_message_does_not_keep_a_large_unit_alive() {
    let frame = b"SEND\ndestination:/queue/a\nk:v\n\nbody\0";
    let mut unit = frame.to_vec();
    unit.resize(100_000, b'\n');
    let unit = bytes::Bytes::from(unit);
    let mut client = Client::connected("1.2");
    client.pair.input(protocols::session::FrameKind::Text, unit.clone());
    let message = client.message();
    assert_eq!(message.body, "body");
    assert!(unit.is_unique(), "nothing else keeps the unit alive");
}

#[test]
fn server_a_message_that_is_most_of_its_unit_is_not_copied() {
    let mut unit = b"SEND\ndestination:/queue/a\n\n".to_vec();
    unit.resize(100_000, b'x');
    unit.push(0);
    let unit = bytes::Bytes::from(unit);
    let mut client = Client::connected("1.2");
    client.pair.input(protocols::session::FrameKind::Text, unit.clone());
    assert!(unit.as_ptr_range().contains(&client.message().body.as_ptr()));
}

#[test]
fn server_mandatory_asks_the_broker_to_tell_if_a_message_reaches_no_queue() {
    for (value, expected) in [("true", true), ("false", false), ("maybe", false)] {
        let mut client = Client::connected("1.2");
        client.send("SEND", &[("destination", "/exchange/x/k"), ("mandatory", value)]);
        match client.command() {
            Command::Publish { mandatory, confirm, message, .. } => {
                assert_eq!((mandatory, confirm), (expected, false));
                assert!(message.properties.headers.is_empty(), "it does not travel");
            }
            other => panic!("{other:?}"),
        }
        client.send("BEGIN", &[("transaction", "t")]);
        let headers = [("destination", "/queue/a"), ("mandatory", value), ("transaction", "t")];
        client.send("SEND", &headers);
        client.send("COMMIT", &[("transaction", "t")]);
        match client.command() {
            Command::Publish { mandatory, .. } => assert_eq!(mandatory, expected),
            other => panic!("{other:?}"),
        }
    }
}
