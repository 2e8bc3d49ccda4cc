//! ERROR: every fault of the framing and of the transport, and what holds of all of them.

use protocols::broker::Outcome;
use protocols::policy::{Limits, Policy};
use protocols::session::{CloseCause, CloseCode};
use protocols::violation::Violation;

use crate::client::{Client, Refusal, sentence};

#[test]
fn v12_a_fault_of_the_framing_is_an_error_and_a_close() {
    let cases: [(&[u8], &str, CloseCode); 10] = [
        (b"NONSENSE\n\n\0", "Bad command", CloseCode::Protocol),
        (b"send\n\n\0", "Bad command", CloseCode::Protocol),
        (b"THISISMUCHTOOLONG", "Bad command", CloseCode::Protocol),
        (b"SEND\ndestination\n\n\0", "Invalid header", CloseCode::Protocol),
        (b"SEND\ndestination:\\x\n\n\0", "Invalid header", CloseCode::Protocol),
        (b"SEND\ndestination:\\t\n\n\0", "Invalid header", CloseCode::Protocol),
        (b"SEND\nk:\xff\n\n\0", "Invalid header", CloseCode::Protocol),
        (b"SEND\ncontent-length:many\n\n\0", "Invalid header", CloseCode::Protocol),
        (b"SEND\ncontent-length:1\n\nabc\0", "Invalid frame", CloseCode::Protocol),
        (b"SEND\ncontent-length:99999999\n\n", "Frame too large", CloseCode::TooBig),
    ];
    for (input, message, code) in cases {
        let mut client = Client::connected("1.2");
        client.send_raw(input);
        let error = client.violation(message, code);
        assert_eq!(error.header("receipt-id"), None, "{message}");
        assert_eq!(client.commands(), []);
    }
}

#[test]
fn v12_size_limits_are_settings_and_are_named() {
    let limits =
        Limits { header_count: 3, header_size: 100, frame_size: 1_000, ..Limits::default() };
    let policy = Policy { limits, ..Policy::default() };
    let many = "k:v\n".repeat(4);
    let long = format!("k:{}\n", "v".repeat(100));
    for (headers, message, code, limit) in [
        (many.as_str(), "Too many headers", CloseCode::Protocol, "3"),
        (long.as_str(), "Header too long", CloseCode::TooBig, "100"),
        ("content-length:2000\n", "Frame too large", CloseCode::TooBig, "1000"),
    ] {
        let mut client = Client::connected_with("1.2", policy.clone());
        client.send_raw(format!("SEND\n{headers}\n\0").as_bytes());
        let error = client.violation(message, code);
        assert!(sentence(&error).contains(limit), "{message}");
    }
}

#[test]
fn v12_a_server_frame_from_a_client_is_refused() {
    for verb in ["CONNECTED", "MESSAGE", "RECEIPT", "ERROR"] {
        let mut client = Client::connected("1.2");
        client.send(verb, &[("receipt", "r")]);
        let error = client.violation("Bad command", CloseCode::Protocol);
        assert!(sentence(&error).contains(verb));
        assert_eq!(error.header("receipt-id"), Some("r"));
    }
}

#[test]
fn server_a_fault_of_the_framing_names_no_receipt() {
    for fault in ["content-length:many", "k:\\x", "no colon"] {
        let mut client = Client::connected("1.2");
        client.send_raw(format!("BEGIN\nreceipt:r\n{fault}\n\n\0").as_bytes());
        let error = client.violation("Invalid header", CloseCode::Protocol);
        assert_eq!(error.header("receipt-id"), None, "what was read of the frame may be wrong too");
    }
}

#[test]
fn v12_an_error_names_the_receipt_of_the_frame() {
    let mut client = Client::connected("1.2");
    client.send("SEND", &[("receipt", r"a\cb")]);
    let error = client.policy_violation("Missing destination");
    assert_eq!(error.header("receipt-id"), Some(r"a\cb"));
    assert_eq!(error.header("version"), None);
}

#[test]
fn v12_an_error_before_connect_is_not_escaped_nor_unescaped() {
    let mut client = Client::new();
    client.send("SEND", &[("receipt", r"a\cb\n:")]);
    let error = client.policy_violation("Illegal command");
    assert_eq!(error.header("receipt-id"), Some(r"a\cb\n:"));
}

#[test]
fn server_a_fault_below_the_protocol_is_told_in_its_words() {
    let violation = Violation::MessageTooLarge { limit: 10, got: 20 };
    for connected in [false, true] {
        let mut client = if connected { Client::connected("1.2") } else { Client::new() };
        client.pair.step(|session, now, actions| {
            session.handle_violation(now, violation.clone(), actions);
        });
        let Refusal { error, close } = client.refusal();
        assert_eq!(error.header("message"), Some("Message too large"));
        assert_eq!(sentence(&error), violation.to_string());
        let cause = CloseCause::Violation(violation.clone());
        assert_eq!((close.code, close.cause), (CloseCode::TooBig, cause));
    }
}

#[test]
fn v12_frames_before_the_faulty_one_count_and_those_behind_it_do_not() {
    let mut client = Client::connected("1.2");
    client
        .send_raw(b"SEND\ndestination:/queue/a\n\n1\0SEND\n\n2\0SEND\ndestination:/queue/a\n\n3\0");
    client.policy_violation("Missing destination");
    assert_eq!(client.message().body, "1");
}

#[test]
fn v12_nothing_comes_after_an_error() {
    let mut client = Client::connected("1.2");
    let subscription = client.subscribe("0", "auto");
    client.send("SEND", &[]);
    client.refusal();
    client.send("BEGIN", &[("transaction", "t"), ("receipt", "r")]);
    client.event_delivery(subscription, 1, protocols::broker::Message::default());
    client.pair.start_drain();
    client.pair.set_reading(true);
    client.pair.step(|session, now, actions| {
        session.handle_violation(now, Violation::TextNotUtf8, actions);
        session.handle_timeout(now, actions);
    });
    assert!(client.frames().is_empty() && client.commands().is_empty());
}

#[test]
fn server_what_is_shown_of_input_is_bounded() {
    let mut client = Client::connected("1.2");
    let destination = format!("/nowhere/{}", "x".repeat(10_000));
    client.send("SEND", &[("destination", &destination)]);
    let error = client.policy_violation("Unknown destination");
    assert!(error.body.len() < 500);
}

#[test]
fn server_names_that_a_client_gives_are_bounded() {
    let at_most = "n".repeat(255);
    let too_long = "n".repeat(256);
    for (verb, header) in [("SUBSCRIBE", "id"), ("BEGIN", "transaction"), ("SEND", "receipt")] {
        let frame = |value| {
            [("destination", "/queue/a"), ("id", "0"), ("transaction", "t"), ("receipt", "r")]
                .map(|(name, usual)| (name, if name == header { value } else { usual }))
                .into_iter()
                .filter(|(name, _)| verb != "SEND" || *name != "transaction")
                .collect::<Vec<_>>()
        };
        let mut client = Client::connected("1.2");
        client.send(verb, &frame(&at_most));
        assert!(client.is_open(), "{verb}");
        let mut client = Client::connected("1.2");
        client.send(verb, &frame(&too_long));
        let error = client.policy_violation("Invalid header");
        assert!(sentence(&error).contains(header) && sentence(&error).contains("255"));
    }
}

#[test]
fn v12_receipts_of_frames_before_the_faulty_one_come_before_the_error() {
    let mut client = Client::connected("1.2");
    client.send_raw(b"SEND\ndestination:/queue/a\nreceipt:1\n\n\0SEND\nreceipt:2\n\n\0");
    let (token, _) = client.publish();
    assert!(client.frames().is_empty() && client.is_open());
    client.send("SEND", &[("destination", "/queue/a")]);
    assert_eq!(client.commands(), [], "nothing is read any more");
    client.confirm(token, Outcome::Accepted);
    let frames = client.frames();
    let verbs: Vec<_> = frames.iter().map(|frame| frame.verb.as_str()).collect();
    assert_eq!(verbs, ["RECEIPT", "ERROR"]);
    assert_eq!(frames[1].header("receipt-id"), Some("2"));
    assert_eq!(client.pair.close.unwrap().code, CloseCode::Policy);
}

#[test]
fn server_an_error_waits_for_receipts_no_longer_than_the_leave_timeout() {
    let mut client = Client::connected("1.2");
    client.send("SEND", &[("destination", "/queue/a"), ("receipt", "1")]);
    client.publish();
    client.send("SEND", &[]);
    client.advance(7_999);
    assert!(client.is_open());
    client.advance(1);
    client.policy_violation("Missing destination");
}

#[test]
fn server_a_unit_of_many_frames_is_handled_in_portions() {
    let mut client = Client::connected("1.2");
    client.send_raw(&b"SEND\ndestination:/queue/a\n\n\0".repeat(1_000));
    assert_eq!(client.commands().len(), 1_000);
    assert!(client.pair.largest_step <= 64, "{}", client.pair.largest_step);
}

#[test]
fn server_names_that_the_client_could_not_get_back_are_refused() {
    for (version, name, is_taken) in [
        ("1.0", "a\0b", false),
        ("1.0", "a\rb", false),
        ("1.0", r"a\nb\r", true),
        ("1.1", "a\0b", false),
        ("1.1", "a\rb", false),
        ("1.1", r"a\rb", false),
        ("1.1", r"a\nb", true),
        ("1.2", "a\0b", false),
        ("1.2", "a\rb", true),
        ("1.2", r"a\nb\r", true),
    ] {
        let frames = [
            ("SUBSCRIBE", [("id", name), ("destination", "/queue/a")], "id"),
            ("SUBSCRIBE", [("destination", name), ("ack", "client")], "destination"),
            ("BEGIN", [("transaction", name), ("receipt", "r")], "transaction"),
            ("BEGIN", [("transaction", "t"), ("receipt", name)], "receipt"),
        ];
        for (verb, headers, culprit) in frames {
            let mut client = Client::connected(version);
            client.send(verb, &headers);
            assert_eq!(client.is_open(), is_taken, "{version} {culprit} {name:?}");
            if !is_taken {
                let error = client.policy_violation("Invalid header");
                assert!(sentence(&error).contains(culprit) && sentence(&error).contains("NUL"));
            }
        }
    }
}
