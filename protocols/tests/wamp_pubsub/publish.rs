//! WAMP §Publishing, §Acknowledge, §Publisher Identification: what becomes of PUBLISH.

use protocols::broker::{BrokerError, BrokerErrorKind, Outcome, Value};
use protocols::wamp::message::Passthru;

use super::*;

fn acknowledged() -> PublishOptions {
    PublishOptions { acknowledge: Some(true), ..PublishOptions::default() }
}

fn failed(token: u64, kind: BrokerErrorKind) -> Event {
    Event::Failed { token: Token(token), error: BrokerError::new(kind, "it failed") }
}

fn headers(publication: &Publication) -> Vec<(&str, &Value)> {
    let headers = publication.message.properties.headers.iter();
    headers.map(|(name, value)| (name.as_str(), value)).collect()
}

#[test]
fn an_event_is_a_message_that_says_what_it_is() {
    for (serializer, content_type, body) in [
        (Serializer::Json, "application/vnd.wamp+json", &br#"[[1,"a"]]"#[..]),
        (Serializer::MsgPack, "application/vnd.wamp+msgpack", b"\x91\x92\x01\xa1a"),
        (Serializer::Cbor, "application/vnd.wamp+cbor", b"\x81\x82\x01\x61a"),
    ] {
        let mut client = Client::new(serializer);
        client.publish_args("com.app.a*b", PublishOptions::default(), r#"[1,"a"]"#).unwrap();
        let publication = client.published();
        assert_eq!(publication.exchange, "amq.topic");
        assert_eq!(publication.routing_key, "com.app.a%2Ab");
        let message = &publication.message;
        assert_eq!(message.body, body);
        let properties = &message.properties;
        assert_eq!(properties.content_type.as_deref(), Some(content_type));
        assert_eq!(properties.message_id.as_deref(), Some("1002"));
        assert_eq!(properties.kind.as_deref(), Some("wamp.event"));
        assert_eq!(properties.user_id.as_deref(), Some(GATEWAY));
        let uri = Value::Text("com.app.a*b".into());
        let expected = [("wamp-uri", &uri), ("wamp-pub", &Value::Integer(7))];
        assert_eq!(headers(&publication), expected);
    }
}

#[test]
fn options_travel_as_headers() {
    let options = PublishOptions {
        exclude_me: Some(false),
        eligible: Some(vec![id(1), Id::MAX]),
        exclude_authrole: Some(vec!["guest".into()]),
        eligible_authid: Some(Vec::new()),
        disclose_me: Some(true),
        passthru: Passthru {
            ppt_scheme: Some("x_mine".into()),
            ppt_keyid: Some("k".into()),
            ..Passthru::default()
        },
        ..PublishOptions::default()
    };
    let mut client = Client::new(Serializer::Json);
    client.publish("a", options).unwrap();
    let publication = client.published();
    assert_eq!(publication.exchange, "wamp.restricted");
    let text = |text: &str| Value::Text(text.into());
    let ppt = vec![("scheme".into(), text("x_mine")), ("keyid".into(), text("k"))];
    let expected = [
        ("wamp-uri", &text("a")),
        ("wamp-pub", &Value::Integer(7)),
        ("wamp-exme", &Value::Boolean(false)),
        ("wamp-elig", &Value::Array(vec![Value::Integer(1), Value::Integer(1 << 53)])),
        ("wamp-elig-authid", &Value::Array(Vec::new())),
        ("wamp-excl-authrole", &Value::Array(vec![text("guest")])),
        ("wamp-disclose", &Value::Boolean(true)),
        ("wamp-authid", &text("ann")),
        ("wamp-authrole", &text("staff")),
        ("wamp-ppt", &Value::Table(ppt)),
    ];
    assert_eq!(headers(&publication), expected);
}

#[test]
fn only_who_asks_for_it_is_told_that_an_event_was_taken() {
    let mut client = Client::new(Serializer::Json);
    client.publish("a", PublishOptions::default()).unwrap();
    client.publish("a", acknowledged()).unwrap();
    let confirms = client.actions.commands.iter().map(|command| match command {
        Command::Publish { confirm, mandatory, .. } => (*confirm, *mandatory),
        other => panic!("{other:?}"),
    });
    assert_eq!(confirms.collect::<Vec<_>>(), [(false, false), (true, false)]);
    assert_eq!(client.pubsub.on_event(&failed(1, BrokerErrorKind::NotFound)), None);
    let outcome = Outcome::Accepted;
    let answers = client.on(&Event::Confirmed { token: Token(2), outcome });
    assert_eq!(answers.iter().map(in_json).collect::<Vec<_>>(), ["[17,2,1003]"]);
}

#[test]
fn what_the_broker_does_not_take_is_an_error_and_an_unknown_outcome_is_said_to_be_one() {
    let unavailable = r#"{},"wamp.error.unavailable",["#;
    let unknown = r#"{},"wamp.error.network_failure",["it failed"],{"outcome":"unknown"}]"#;
    for (event, expected) in [
        (
            Event::Confirmed { token: Token(1), outcome: Outcome::Rejected },
            format!(r#"[8,16,1,{unavailable}"the broker has not taken the event"]]"#),
        ),
        (failed(1, BrokerErrorKind::NotFound), format!(r#"[8,16,1,{unavailable}"it failed"]]"#)),
        (
            failed(1, BrokerErrorKind::AccessRefused),
            r#"[8,16,1,{},"wamp.error.not_authorized",["it failed"]]"#.to_owned(),
        ),
        (failed(1, BrokerErrorKind::OutcomeUnknown), format!("[8,16,1,{unknown}")),
        (
            Event::Down { error: BrokerError::new(BrokerErrorKind::Unavailable, "gone") },
            format!("[8,16,1,{unknown}")
                .replace("it failed", "the broker may have the event or not: gone"),
        ),
    ] {
        let mut client = Client::new(Serializer::Json);
        client.publish("a", acknowledged()).unwrap();
        let answers = client.on(&event);
        assert_eq!(answers.iter().map(in_json).collect::<Vec<_>>(), [expected]);
        let again = Event::Confirmed { token: Token(1), outcome: Outcome::Accepted };
        assert_eq!(client.pubsub.on_event(&again), None, "it is answered once");
    }
}

#[test]
fn what_cannot_be_published_is_refused_and_told_to_who_asked() {
    for (topic, options, reason) in [
        ("a..b", PublishOptions::default(), Reason::InvalidUri),
        ("wamp.session.on_join", PublishOptions::default(), Reason::InvalidUri),
        ("denied", PublishOptions::default(), Reason::NotAuthorized),
        ("gw.user.ann.news", PublishOptions::default(), Reason::NotAuthorized),
        ("a", PublishOptions { retain: Some(true), ..Default::default() }, Reason::NotSupported),
        (
            "a",
            PublishOptions { eligible: Some(vec![Id::MAX; 10_000]), ..Default::default() },
            Reason::InvalidArgument,
        ),
    ] {
        let mut client = Client::new(Serializer::Json);
        let silent = client.publish(topic, options.clone()).unwrap_err();
        assert_eq!((silent.reason, silent.to_message(Serializer::Json)), (reason, None));
        let told = PublishOptions { acknowledge: Some(true), ..options };
        let told = client.publish(topic, told).unwrap_err();
        let Some(Message::Error(error)) = told.to_message(Serializer::Json) else {
            panic!("it is told")
        };
        assert_eq!((error.request, error.error.as_str()), (id(2), reason.uri()));
        assert!(client.actions.is_empty());
    }
}

#[test]
fn a_payload_may_be_as_large_as_the_realm_says() {
    let small = Realm { body_size: 7, ..realm() };
    let mut client = Client::of(Serializer::Json, principal(7, "ann", "staff"), small);
    client.publish_args("a", PublishOptions::default(), "[123]").unwrap();
    let refused = client.publish_args("a", PublishOptions::default(), "[1234]");
    assert_refused(refused, Reason::PayloadTooLarge);
}

#[test]
fn publishers_are_disclosed_as_the_realm_says() {
    let disclose = PublishOptions { disclose_me: Some(true), ..acknowledged() };
    for (disclosure, asked, expected) in [
        (Disclosure::Deny, false, Some(false)),
        (Disclosure::Deny, true, None),
        (Disclosure::Allow, false, Some(false)),
        (Disclosure::Allow, true, Some(true)),
        (Disclosure::Always, false, Some(true)),
        (Disclosure::Always, true, Some(true)),
    ] {
        let mut client = Client::new(Serializer::Json);
        client.rules.disclosure = disclosure;
        let options = if asked { disclose.clone() } else { PublishOptions::default() };
        let outcome = client.publish("a", options);
        let Some(is_disclosed) = expected else {
            assert_refused(outcome, Reason::DiscloseMeDisallowed);
            continue;
        };
        outcome.unwrap();
        let publication = client.published();
        let names: Vec<_> = headers(&publication).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names.contains(&"wamp-authid"), is_disclosed, "{disclosure:?} {asked}");
    }
}

#[test]
fn publications_that_wait_for_their_answer_are_bounded() {
    let mut client = Client::new(Serializer::Json);
    for _ in 0..4 {
        client.publish("a", acknowledged()).unwrap();
    }
    assert_refused(client.publish("a", acknowledged()), Reason::Unavailable);
    client.publish("a", PublishOptions::default()).unwrap();
    client.on(&Event::Confirmed { token: Token(1), outcome: Outcome::Accepted });
    client.publish("a", acknowledged()).unwrap();
}
