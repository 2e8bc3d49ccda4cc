//! WAMP §Event: what subscribers get of what anybody publishes, and who gets nothing.

use MatchPolicy::{Exact, Prefix, Wildcard};
use protocols::broker::{Properties, Value};
use protocols::wamp::message::Passthru;
use protocols::wamp::pubsub::subscription_id;

use super::*;

fn of_topic(policy: MatchPolicy, uri: &str) -> Id {
    subscription_id("realm1", &Pattern { policy, uri: uri.into() })
}

fn subscriber(serializer: Serializer) -> Client {
    Client::of(serializer, principal(8, "bob", "guest"), realm())
}

fn typed(content_type: Option<&str>, body: &[u8]) -> Body {
    let content_type = content_type.map(Text::from);
    let properties = Properties { content_type, ..Properties::default() };
    Body { body: Bytes::copy_from_slice(body), properties }
}

#[test]
fn an_event_goes_from_any_serializer_to_any() {
    let args = r#"[1,"ä",[true,null],{"k":[1.5]}]"#;
    for from in Serializer::ALL {
        let mut publisher = Client::new(from);
        publisher.publish_args("a.b", PublishOptions::default(), args).unwrap();
        let publication = publisher.published();
        for to in Serializer::ALL {
            let encoder = subscriber(to).encoder(Exact, "a.b");
            assert!(encoder.fits(&publication) && encoder.accepts(&publication));
            let (kind, bytes) = encode(&*encoder, &publication).unwrap();
            assert_eq!(kind == FrameKind::Text, to == Serializer::Json);
            let message = Message::decode(to, &bytes, &Limits::DEFAULT).unwrap();
            let expected = format!("[36,{},1002,{{}},{args}]", of_topic(Exact, "a.b"));
            assert_eq!(in_json(&message), expected, "{from} {to}");
        }
    }
}

#[test]
fn sessions_with_one_serializer_share_the_frames_of_a_subscription() {
    let key = |serializer, policy, uri| {
        let mut one = subscriber(serializer);
        let mut other = Client::new(serializer);
        let key = one.encoder(policy, uri).key().clone();
        assert_eq!(other.encoder(policy, uri).key(), &key);
        key
    };
    let keys = [
        key(Serializer::Json, Exact, "a.b"),
        key(Serializer::Cbor, Exact, "a.b"),
        key(Serializer::MsgPack, Exact, "a.b"),
        key(Serializer::Json, Prefix, "a.b"),
        key(Serializer::Json, Exact, "a.c"),
    ];
    for (at, key) in keys.iter().enumerate() {
        assert!(!keys[..at].contains(key));
    }
}

#[test]
fn patterns_say_the_topic_and_get_what_they_stand_for() {
    for (policy, uri, fitting, others) in [
        (Prefix, "a.em", &["a.em", "a.emer", "a.em.x"][..], &["a.e", "a.x", "a"][..]),
        (Prefix, "a.", &["a.b", "a.b.c"], &["a", "b.a"]),
        (Wildcard, "a..c", &["a.b.c"], &["a..c", "a.c", "a.b.b.c", "a.b.c."]),
        (Wildcard, "a.", &["a.%2A"], &["a.", "a", "a.*", "a.b c"]),
    ] {
        let encoder = subscriber(Serializer::Json).encoder(policy, uri);
        for key in fitting {
            let publication = foreign(key, typed(Some("application/json"), b"1"));
            let topic = key.replace("%2A", "*");
            let frame = json_of(&*encoder, &publication);
            assert!(frame.ends_with(&format!(r#"{{"topic":"{topic}"}},[1]]"#)), "{frame}");
        }
        for key in others {
            assert!(!encoder.fits(&foreign(key, typed(None, b""))), "{uri} {key}");
        }
    }
}

#[test]
fn a_message_fits_by_the_keys_of_its_copies_too() {
    let mut message = typed(Some("application/json"), b"1");
    let copies = ["gw.user.ann.x", "a.b"].map(|key| Value::Text(key.into()));
    message.properties.headers = vec![("CC".into(), Value::Array(copies.into()))];
    let publication = foreign("x", message);
    let mut client = subscriber(Serializer::Json);
    let encoder = client.encoder(Prefix, "a.");
    assert!(json_of(&*encoder, &publication).contains(r#""topic":"a.b""#));
    assert!(!client.encoder(Prefix, "gw.").fits(&publication));
    assert!(client.encoder(Exact, "x").fits(&publication));
}

#[test]
fn what_is_for_one_user_of_stomp_or_not_a_topic_for_clients_is_left_out() {
    let encoder = subscriber(Serializer::Json).encoder(Prefix, "gw.");
    assert!(!encoder.fits(&foreign("gw.user.bob.news", typed(None, b""))));
    assert!(encoder.fits(&foreign("gw.users", typed(None, b""))));
}

/// Nobody publishes to the protocol's own topics, whatever it says of itself.
#[test]
fn what_comes_from_the_broker_under_a_topic_of_the_protocols_own_is_left_out() {
    let mut meta = foreign("wamp.session.on_join", typed(None, b""));
    let uri = Value::Text("wamp.session.on_join".into());
    meta.message.properties.headers = vec![("wamp-uri".into(), uri)];
    for (policy, uri) in [(Wildcard, "..on_join"), (Wildcard, "..")] {
        let encoder = subscriber(Serializer::Json).encoder(policy, uri);
        for user in [None, Some("eve"), Some(GATEWAY), Some("other-gateway")] {
            meta.message.properties.user_id = user.map(Text::from);
            assert!(!encoder.fits(&meta), "{uri} {user:?}");
        }
        assert!(encoder.fits(&foreign("wampum.session.on_join", typed(None, b""))));
    }
}

#[test]
fn messages_of_others_are_events_by_their_content_type() {
    for (content_type, body, arguments) in [
        (Some("application/json"), &br#"{"a":1}"#[..], r#",[{"a":1}]"#),
        (Some("Application/JSON; charset=utf-8"), b"null", ",[null]"),
        (Some("text/plain"), b"a\"b", r#",["a\"b"]"#),
        (Some("text/plain"), b"\xff", r#",["\u0000/w=="]"#),
        (None, b"a", r#",["\u0000YQ=="]"#),
        (Some("application/octet-stream"), b"", r#",["\u0000"]"#),
        (Some("application/vnd.wamp+msgpack"), b"\x92\x90\x81\xa1k\x01", r#",[],{"k":1}"#),
        (Some("application/vnd.wamp+json"), b"[]", ""),
    ] {
        let publication = foreign("a", typed(content_type, body));
        let frame = json_of(&*subscriber(Serializer::Json).encoder(Exact, "a"), &publication);
        assert!(frame.ends_with(&format!("{{}}{arguments}]")), "{content_type:?}: {frame}");
        for to in [Serializer::MsgPack, Serializer::Cbor] {
            let encoder = subscriber(to).encoder(Exact, "a");
            let (_, bytes) = encode(&*encoder, &publication).unwrap();
            let message = Message::decode(to, &bytes, &Limits::DEFAULT).unwrap();
            assert_eq!(in_json(&message), frame, "{content_type:?}: {to}");
        }
    }
}

#[test]
fn a_body_that_is_encoded_is_binary_data_unless_that_is_its_charset() {
    for (encoding, is_binary) in [("gzip", true), ("UTF-8", false), ("identity", false)] {
        let mut publication = foreign("a", typed(Some("text/plain"), b"a"));
        publication.message.properties.content_encoding = Some(encoding.into());
        let frame = json_of(&*subscriber(Serializer::Json).encoder(Exact, "a"), &publication);
        assert_eq!(frame.contains(r"\u0000"), is_binary, "{frame}");
    }
}

#[test]
fn what_cannot_be_said_in_a_serializer_is_left_out_for_that_one() {
    for (content_type, body, to, can_others) in [
        ("application/json", &b"{"[..], Serializer::Json, false),
        ("application/vnd.wamp+cbor", b"\x81\x01", Serializer::Cbor, false),
        ("application/vnd.wamp+cbor", b"\x81\x81\xf9\x7e\x00", Serializer::Json, true),
        ("application/vnd.wamp+msgpack", b"\x91\x91\xd4\x01\x01", Serializer::Cbor, true),
        ("text/plain", b"\0", Serializer::Json, true),
    ] {
        let publication = foreign("a", typed(Some(content_type), body));
        let encoder = subscriber(to).encoder(Exact, "a");
        assert!(encoder.fits(&publication) && encoder.accepts(&publication));
        assert!(!encode(&*encoder, &publication).unwrap_err().is_empty());
        let encoder = subscriber(Serializer::MsgPack).encoder(Exact, "a");
        assert_eq!(encode(&*encoder, &publication).is_ok(), can_others, "{content_type}");
    }
}

#[test]
fn events_of_others_have_ids_that_all_nodes_say() {
    let frame = |publication: &Publication| {
        let encoder = subscriber(Serializer::Cbor).encoder(Exact, "a");
        let (_, bytes) = encode(&*encoder, publication).unwrap();
        match Message::decode(Serializer::Cbor, &bytes, &Limits::DEFAULT).unwrap() {
            Message::Event(event) => event.publication,
            other => panic!("{other:?}"),
        }
    };
    let plain = foreign("a", typed(None, b"x"));
    assert_eq!(frame(&plain), frame(&plain.clone()));
    let mut other = plain.clone();
    other.message.properties.timestamp = Some(1);
    assert_ne!(frame(&other), frame(&plain));
    other.message.properties.message_id = Some("1002".into());
    let named = frame(&other);
    other.message.body = Bytes::from_static(b"y");
    assert_eq!(frame(&other), named, "by its message-id, which is its publisher's");
    assert_ne!(named, id(1002), "and no gateway's");
    // Whoever has the login of a gateway can say that it is one, but not in all that one says.
    other.message.properties.user_id = Some(GATEWAY.into());
    assert_eq!(frame(&other), named);
    other.message.properties.headers = vec![("wamp-uri".into(), Value::Text("a".into()))];
    assert_eq!(frame(&other), id(1002));
    // Nor is it a gateway's where a queue has sent it that has given it up.
    let strayed = Publication { routing_key: "b".into(), ..other.clone() };
    other.message.properties.headers.push(("x-death".into(), Value::Array(Vec::new())));
    let encoder = subscriber(Serializer::Json).encoder(Exact, "b");
    let shown = json_of(&*encoder, &strayed);
    assert!(!shown.contains("1002"), "{shown}");
    assert_eq!(frame(&other), named);
}

#[test]
fn who_published_and_how_the_payload_is_written_is_said_where_it_may_be() {
    let passthru = Passthru {
        ppt_scheme: Some("x_mine".into()),
        ppt_serializer: Some("cbor".into()),
        ..Passthru::default()
    };
    let disclosed = PublishOptions {
        disclose_me: Some(true),
        passthru: passthru.clone(),
        ..PublishOptions::default()
    };
    let mut publisher = Client::new(Serializer::Json);
    publisher.publish("a", disclosed).unwrap();
    let mut publication = publisher.published();
    let encoder = subscriber(Serializer::Json).encoder(Exact, "a");
    let of = of_topic(Exact, "a");
    let details = r#"{"publisher":7,"publisher_authid":"ann","publisher_authrole":"staff","ppt_scheme":"x_mine","ppt_serializer":"cbor"}"#;
    assert_eq!(json_of(&*encoder, &publication), format!("[36,{of},1002,{details},[]]"));
    // The same from anybody else says nothing of the kind.
    publication.message.properties.user_id = Some("eve".into());
    let frame = json_of(&*encoder, &publication);
    assert!(frame.ends_with(",{},[]]"), "{frame}");
    // And who does not ask for it is not named.
    publisher.publish("a", PublishOptions { passthru, ..PublishOptions::default() }).unwrap();
    let frame = json_of(&*encoder, &publisher.published());
    assert!(!frame.contains("publisher") && frame.contains("ppt_scheme"), "{frame}");
}

#[test]
fn a_publisher_gets_its_own_event_only_if_it_says_so() {
    let mut client = Client::new(Serializer::Json);
    let encoder = client.encoder(Exact, "a");
    for (exclude_me, gets) in [(None, false), (Some(true), false), (Some(false), true)] {
        client.publish("a", PublishOptions { exclude_me, ..PublishOptions::default() }).unwrap();
        let mut publication = client.published();
        assert!(encoder.fits(&publication));
        assert_eq!(encoder.accepts(&publication), gets, "{exclude_me:?}");
        // Nobody but a gateway says who has published.
        publication.message.properties.user_id = None;
        assert!(encoder.accepts(&publication));
    }
}

#[test]
fn a_list_that_is_none_leaves_everybody_out() {
    let encoder = subscriber(Serializer::Json).encoder(Exact, "a");
    for header in ["wamp-elig", "wamp-excl", "wamp-elig-authid", "wamp-excl-authrole"] {
        let mut message = typed(None, b"");
        message.properties.user_id = Some(GATEWAY.into());
        message.properties.headers = vec![
            ("wamp-uri".into(), Value::Text("a".into())),
            (header.into(), Value::Text("x".into())),
        ];
        assert!(!encoder.accepts(&foreign("a", message)), "{header}");
    }
}
