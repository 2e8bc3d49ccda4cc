//! MESSAGE.

use std::sync::Arc;

use protocols::broker::{DeliveryTag, Event, Message, Properties, Publication, Value};
use protocols::policy::Policy;
use protocols::session::{FrameKind, Once, Settled};
use protocols::stomp::{OutgoingKind, Settings};
use protocols::text::Text;

use crate::client::{Client, WireFrame};

fn published(exchange: &str, key: &str, message: Message) -> Arc<Publication> {
    Arc::new(Publication { exchange: exchange.into(), routing_key: key.into(), message })
}

/// What a client gets of this message through an `ack` subscription.
fn received(version: &str, ack: &str, publication: Arc<Publication>) -> WireFrame {
    let mut client = Client::connected(version);
    let subscription = client.subscribe("0", ack);
    let (tag, redelivered) = (DeliveryTag(1), false);
    client.pair.event(Event::Delivery { subscription, tag, redelivered, publication });
    client.frame()
}

fn body(body: &'static [u8]) -> Message {
    Message { body: body.into(), ..Message::default() }
}

fn with_headers(headers: &[(&str, &str)]) -> Message {
    let value = |value: &str| Value::Text(value.into());
    let headers = headers.iter().map(|(name, of)| ((*name).into(), value(of))).collect();
    Message { properties: Properties { headers, ..Properties::default() }, ..Message::default() }
}

#[test]
fn v12_message_names_subscription_destination_and_itself() {
    let message = received("1.2", "auto", published("", "a", body(b"hello")));
    assert_eq!(message.verb, "MESSAGE");
    assert_eq!(message.header("subscription"), Some("0"));
    assert_eq!(message.header("destination"), Some("/queue/a"));
    assert_eq!(message.header("message-id"), Some("T_0@@session-1@@1"));
    assert_eq!(message.header("redelivered"), Some("false"));
    assert_eq!(message.header("content-length"), Some("5"));
    assert_eq!(message.body, b"hello");
}

#[test]
fn v12_ack_is_there_if_the_client_must_acknowledge() {
    for (version, ack, expected) in [
        ("1.2", "client", true),
        ("1.2", "client-individual", true),
        ("1.2", "auto", false),
        ("1.1", "client", false),
        ("1.0", "client", false),
    ] {
        let message = received(version, ack, published("", "a", Message::default()));
        let id = message.header("message-id");
        assert_eq!(message.header("ack"), if expected { id } else { None }, "{version} {ack}");
    }
}

#[test]
fn server_the_destination_is_where_the_message_was_published() {
    for (exchange, key, expected) in [
        ("", "q", "/queue/q"),
        ("amq.topic", "a.b", "/topic/a.b"),
        ("x", "k", "/exchange/x/k"),
        ("x", "", "/exchange/x"),
        ("", "a/b%", "/queue/a%2Fb%25"),
        ("", "a:b\n", "/queue/a\\cb%0A"),
        ("", "ü", "/queue/%C3%BC"),
    ] {
        let message = received("1.2", "auto", published(exchange, key, Message::default()));
        assert_eq!(message.header("destination"), Some(expected));
    }
}

#[test]
fn server_a_delivery_that_comes_again_says_so() {
    let mut client = Client::connected("1.2");
    let subscription = client.subscribe("0", "client");
    let publication = published("", "a", Message::default());
    let (tag, redelivered) = (DeliveryTag(1), true);
    client.pair.event(Event::Delivery { subscription, tag, redelivered, publication });
    assert_eq!(client.frame().header("redelivered"), Some("true"));
}

/// What a queue adds to a message that it dead-letters.
fn dead_lettered() -> Message {
    let death = Value::Table(vec![
        ("count".into(), Value::Integer(2)),
        ("exchange".into(), Value::Text(Text::EMPTY)),
        ("queue".into(), Value::Text("a\\b".into())),
        ("reason".into(), Value::Text("expired".into())),
        ("routing-keys".into(), Value::Array(vec![Value::Text("k:1".into())])),
        ("time".into(), Value::Timestamp(1_700_000_000)),
    ]);
    let headers = vec![
        ("x-death".into(), Value::Array(vec![death])),
        ("x-first-death-queue".into(), Value::Text("a\\b".into())),
        ("flag".into(), Value::Boolean(true)),
        ("ack".into(), Value::Table(Vec::new())),
    ];
    Message { properties: Properties { headers, ..Properties::default() }, ..Message::default() }
}

#[test]
fn server_headers_of_other_types_than_text_are_text_or_json() {
    let json = r#"[{"count":2,"exchange":"","queue":"a\\b","reason":"expired","routing-keys":["k:1"],"time":1700000000}]"#;
    let escaped = json.replace('\\', "\\\\").replace(':', "\\c");
    for (version, expected) in [("1.2", &*escaped), ("1.1", &*escaped), ("1.0", json)] {
        let got = received(version, "auto", published("", "a", dead_lettered()));
        assert_eq!(got.header("x-death"), Some(expected), "{version}");
        assert_eq!(got.header("flag"), Some("true"));
        assert_eq!(got.header("ack"), None, "the server's names stay the server's");
    }
}

#[test]
fn server_properties_are_headers() {
    let properties = Properties {
        content_type: Some("text/plain".into()),
        content_encoding: Some("gzip".into()),
        headers: vec![
            ("x".into(), Value::Text("1".into())),
            ("n".into(), Value::Integer(-7)),
            ("p".into(), Value::Integer(7)),
        ],
        persistent: true,
        priority: Some(7),
        correlation_id: Some("c".into()),
        reply_to: Some("r".into()),
        expiration: Some("60000".into()),
        message_id: Some("m-1".into()),
        timestamp: Some(1_700_000_000),
        kind: Some("order".into()),
        user_id: Some("guest".into()),
        app_id: Some("shop".into()),
    };
    let message = Message { properties, ..Message::default() };
    let got = received("1.2", "auto", published("", "a", message));
    for (name, value) in [
        ("content-type", "text/plain"),
        ("content-encoding", "gzip"),
        ("persistent", "true"),
        ("priority", "7"),
        ("correlation-id", "c"),
        ("reply-to", "/reply-queue/r"),
        ("expiration", "60000"),
        ("amqp-message-id", "m-1"),
        ("timestamp", "1700000000"),
        ("type", "order"),
        ("user-id", "guest"),
        ("app-id", "shop"),
        ("x", "1"),
        ("n", "-7"),
        ("p", "7"),
    ] {
        assert_eq!(got.header(name), Some(value), "{name}");
    }
}

#[test]
fn server_properties_that_are_not_set_are_not_mentioned() {
    let got = received("1.2", "auto", published("", "a", Message::default()));
    let names: Vec<_> = got.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["subscription", "destination", "message-id", "redelivered"]);
}

const SERVERS_HEADERS: [&str; 20] = [
    "subscription",
    "message-id",
    "destination",
    "redelivered",
    "ack",
    "content-length",
    "receipt-id",
    "content-type",
    "content-encoding",
    "persistent",
    "priority",
    "correlation-id",
    "reply-to",
    "expiration",
    "amqp-message-id",
    "timestamp",
    "type",
    "user-id",
    "app-id",
    "x-dropped",
];

#[test]
fn server_a_header_of_the_servers_is_never_the_publishers() {
    let forged: Vec<_> = SERVERS_HEADERS.iter().map(|name| (*name, "forged")).collect();
    for version in ["1.0", "1.1", "1.2"] {
        let got = received(version, "client", published("", "a", with_headers(&forged)));
        assert!(got.headers.iter().all(|(_, value)| value != "forged"), "{got:?}");
    }
}

#[test]
fn server_a_header_of_the_servers_cannot_be_forged_for_receivers_that_trim_names() {
    let around = [
        " ", "\t", "\r", "\n", "\r\n", "\0", "\u{b}", "\u{7f}", "\u{a0}", "\u{feff}", ":", " \0\r",
    ];
    for version in ["1.0", "1.1", "1.2"] {
        for name in SERVERS_HEADERS {
            let spellings: Vec<_> = around
                .iter()
                .flat_map(|it| {
                    [format!("{name}{it}"), format!("{it}{name}"), format!("{it}{name}{it}")]
                })
                .collect();
            let forged: Vec<_> = spellings.iter().map(|it| (it.as_str(), "forged")).collect();
            let mut message = with_headers(&forged);
            message.body = "a body".into();
            let got = received(version, "client", published("", "a", message));
            assert!(got.headers.iter().all(|(_, value)| value != "forged"), "{got:?}");
        }
    }
}

#[test]
fn server_its_headers_come_before_those_of_the_publisher() {
    let mut message = with_headers(&[("x", "1")]);
    message.body = "a body".into();
    message.properties.content_type = Some("text/plain".into());
    let got = received("1.2", "client", published("", "a", message));
    let names: Vec<_> = got.headers.iter().map(|(name, _)| name.as_str()).collect();
    let servers =
        ["subscription", "destination", "message-id", "ack", "redelivered", "content-length"];
    assert_eq!(names[..6], servers);
    assert_eq!(names[6..], ["content-type", "x"]);
}

#[test]
fn server_other_names_that_only_hold_one_of_the_servers_travel() {
    let names = ["x-ack", "ack-x", "Ack", "ack x", "", " "];
    let headers: Vec<_> = names.iter().map(|name| (*name, "mine")).collect();
    let got = received("1.2", "client", published("", "a", with_headers(&headers)));
    assert_eq!(got.headers.iter().filter(|(_, value)| value == "mine").count(), names.len());
}

#[test]
fn v12_headers_are_escaped() {
    let got = received("1.2", "auto", published("", "a", with_headers(&[("a:b", "c\\d\ne\rf:g")])));
    assert_eq!(got.header(r"a\cb"), Some(r"c\\d\ne\rf\cg"));
}

#[test]
fn v11_headers_are_escaped_except_for_carriage_return() {
    let got = received("1.1", "auto", published("", "a", with_headers(&[("a:b", "c\\d\ne\rf:g")])));
    assert_eq!(got.header(r"a\cb"), Some("c\\\\d\\ne\rf\\cg"));
}

#[test]
fn v10_headers_are_not_escaped_and_cannot_forge_others() {
    let forged = with_headers(&[("k", "v:w\\\nack:forged"), ("a\nb", "c")]);
    let got = received("1.0", "client", published("", "a", forged));
    assert_eq!(got.header("ack"), None);
    assert_eq!(got.header("k"), Some("v:w\\ ack:forged"));
}

#[test]
fn v12_the_subscription_id_is_escaped_on_the_way_back() {
    let mut client = Client::connected("1.2");
    client.send("SUBSCRIBE", &[("id", r"a\c\n@@"), ("destination", "/queue/a"), ("ack", "client")]);
    let subscription = client.agree();
    let message = client.deliver(subscription, 1);
    assert_eq!(message.header("subscription"), Some(r"a\c\n@@"));
    let ack = message.header("ack").unwrap().to_owned();
    assert_eq!(ack, r"T_a\c\n@@@@session-1@@1");
    client.send("ACK", &[("id", &ack)]);
    assert_eq!(client.settlements().len(), 1);
}

#[test]
fn v12_message_ids_are_unique() {
    let mut client = Client::connected("1.2");
    let subscription = client.subscribe("0", "client");
    let ids: Vec<_> = [1, 9, 10, 11, 100]
        .map(|tag| client.deliver(subscription, tag).header("message-id").unwrap().to_owned())
        .into();
    assert_eq!(ids[4], "T_0@@session-1@@100");
    let unique: std::collections::BTreeSet<_> = ids.iter().collect();
    assert_eq!(unique.len(), ids.len());
}

#[test]
fn server_an_auto_subscription_is_settled_when_written_and_another_is_not() {
    for (ack, expected) in [("auto", true), ("client", false), ("client-individual", false)] {
        let mut client = Client::connected("1.2");
        let subscription = client.subscribe("0", ack);
        client.event_delivery(subscription, 5, Message::default());
        let settled = Settled { subscription, tag: DeliveryTag(5), once: Once::Written };
        assert_eq!(client.pair.frames[0].settles, expected.then_some(settled));
        assert_eq!(client.commands(), [], "the driver settles");
    }
}

#[test]
fn server_a_delivery_for_a_subscription_that_never_was_goes_back() {
    let mut client = Client::connected("1.2");
    client.event_delivery(protocols::broker::SubscriptionId(99), 1, Message::default());
    assert_eq!(client.frames(), []);
    assert_eq!(client.settlements(), [(1, protocols::broker::Verdict::Requeue, false)]);
}

#[test]
fn v12_a_binary_body_is_sent_as_it_is_and_in_a_binary_unit() {
    let got = received("1.2", "auto", published("", "a", body(b"\0\xff\0")));
    assert_eq!(got.header("content-length"), Some("3"));
    assert_eq!(got.body, b"\0\xff\0");
    assert_eq!(got.kind, FrameKind::Binary);
}

fn kind_of(outgoing: OutgoingKind, client_sends: FrameKind, of_body: &'static [u8]) -> FrameKind {
    let stomp = Settings { outgoing, ..Settings::default() };
    let mut client = Client::with_policy(Policy { stomp, ..Policy::default() });
    let unit = |verb, headers: &[_]| crate::client::frame(verb, headers, b"");
    client.pair.input(client_sends, unit("CONNECT", &[("accept-version", "1.2")]));
    client.granted();
    let headers = [("id", "0"), ("destination", "/queue/a")];
    client.pair.input(client_sends, unit("SUBSCRIBE", &headers));
    let subscription = client.agree();
    client.event_delivery(subscription, 1, body(of_body));
    client.frame().kind
}

#[test]
fn server_a_unit_is_text_if_it_is_utf8_and_the_client_has_sent_text() {
    use FrameKind::{Binary, Text};
    let cases: [(OutgoingKind, FrameKind, &'static [u8], FrameKind); 8] = [
        (OutgoingKind::Auto, Text, "ü".as_bytes(), Text),
        (OutgoingKind::Auto, Text, b"\xff", Binary),
        (OutgoingKind::Auto, Binary, b"x", Binary),
        (OutgoingKind::Text, Binary, b"x", Text),
        (OutgoingKind::Text, Binary, b"\xc3", Binary),
        (OutgoingKind::Text, Text, b"x", Text),
        (OutgoingKind::Binary, Text, b"x", Binary),
        (OutgoingKind::Binary, Binary, b"x", Binary),
    ];
    for (outgoing, sends, body, expected) in cases {
        assert_eq!(kind_of(outgoing, sends, body), expected, "{outgoing:?} {sends:?} {body:?}");
    }
}
