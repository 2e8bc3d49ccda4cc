//! HELLO, WELCOME, ABORT before a session; the deadline and the bounds until then; and what is said in
//! the wrong place.

use std::time::Duration;

use protocols::auth::{AuthRequest, DenialKind};
use protocols::policy::{Limits, Policy};
use protocols::session::{CloseCause, CloseCode, Established, FrameKind};
use protocols::violation::Violation;
use protocols::wamp::message::{
    Call, CallOptions, Hello, HelloDetails, Message, Published, RequestType, Role, Roles,
    Subscribe, SubscribeOptions,
};
use protocols::wamp::message::{Feature, Welcome};
use protocols::wamp::payload::Payload;
use protocols::wamp::serializer::Serializer;
use protocols::wamp::{Settings, Wamp, id::Id};
use protocols::{Registry, Subprotocol};

use crate::client::{Client, Pair, client, denial, each, policy};

fn id(value: u64) -> Id {
    Id::new(value).unwrap()
}

fn subscribe(request: u64) -> Subscribe {
    let options = SubscribeOptions::default();
    Subscribe { request: id(request), options, topic: "a.b".into() }
}

#[test]
fn basic_hello_is_answered_by_welcome_once_the_broker_lets_the_gateway_in() {
    each(|mut client| {
        client.hello("open", HelloDetails::default());
        let login = client.login();
        assert_eq!(
            login,
            AuthRequest { credentials: None, vhost: None, realm: Some("open".into()) }
        );
        assert_eq!(client.messages(), []);
        assert_eq!(client.pair.established, None);
        client.grant();
        let Message::Welcome(Welcome { session, details }) = client.message() else {
            panic!("WELCOME");
        };
        assert_eq!(session, Id::from_bits(0x0001_0203_0405_0607));
        let roles = details.roles.unwrap();
        assert!(roles.features(Role::Broker).is_some(), "a broker");
        assert_eq!(roles.features(Role::Dealer), None, "no roles but those that exist");
        let has_meta = |feature| roles.has(Role::Broker, feature);
        assert!(!has_meta(Feature::SessionMetaApi) && !has_meta(Feature::SubscriptionMetaApi));
        let expected = Established { probe: Duration::from_secs(30) };
        assert_eq!(client.pair.established, Some(expected));
        assert_eq!(client.pair.next_timeout(), None);
    });
}

#[test]
fn basic_the_router_names_itself_if_it_is_to() {
    for agent in [None, Some("gateway".into())] {
        let mut policy = policy();
        policy.wamp = Settings { agent: agent.clone(), ..policy.wamp };
        let mut client = Client::with_policy(Serializer::Cbor, policy);
        client.hello("open", HelloDetails::default());
        assert_eq!(client.welcomed().details.agent, agent);
    }
}

#[test]
fn basic_a_realm_that_is_not_there_is_an_abort() {
    each(|mut client| {
        client.hello("nowhere", HelloDetails::default());
        let sentence = client.refused("wamp.error.no_such_realm");
        assert!(sentence.contains("\"nowhere\""), "{sentence}");
    });
    let mut client = Client::with_policy(Serializer::Json, Policy::default());
    client.hello("open", HelloDetails::default());
    client.refused("wamp.error.no_such_realm");
}

#[test]
fn basic_a_client_must_have_a_role() {
    for roles in [None, Some(Roles::NONE)] {
        let mut client = client();
        let details = HelloDetails { roles, ..HelloDetails::default() };
        client.send(Hello { realm: "open".into(), details });
        let sentence = client.protocol_violation();
        assert!(sentence.contains("HELLO.Details.roles"), "{sentence}");
    }
    let mut client = client();
    client.send_raw(r#"[1,"open",{"roles":{"janitor":{}}}]"#);
    client.protocol_violation();
}

#[test]
fn basic_hello_must_be_the_first_message() {
    each(|mut client| {
        client.send(subscribe(1));
        let sentence = client.protocol_violation();
        assert_eq!(sentence, "SUBSCRIBE must not come first; a session begins with HELLO");
    });
    for first in [r#"[5,"x",{}]"#, r#"[6,{},"wamp.close.normal"]"#, r#"[2,1,{"roles":{}}]"#] {
        let mut client = client();
        client.send_raw(first);
        client.protocol_violation();
    }
}

#[test]
fn basic_a_second_hello_is_a_violation() {
    each(|client| {
        let mut client = client.joined();
        client.hello("open", HelloDetails::default());
        let sentence = client.protocol_violation();
        assert_eq!(sentence, "HELLO must not come in a session; it is sent before WELCOME");
    });
    let mut client = client();
    client.hello("open", HelloDetails::default());
    client.hello("open", HelloDetails::default());
    let sentence = client.protocol_violation();
    assert!(sentence.contains("before WELCOME or ABORT"), "{sentence}");
    client.grant();
    assert_eq!(client.messages(), [], "a login that is granted too late");
}

#[test]
fn basic_a_message_of_routers_is_a_violation() {
    each(|client| {
        let mut client = client.joined();
        client.send(Published { request: Id::MIN, publication: Id::MAX });
        let sentence = client.protocol_violation();
        assert_eq!(sentence, "PUBLISHED must not come from a client; routers send it");
    });
}

#[test]
fn basic_no_message_of_routers_may_come_at_any_time() {
    for message in [
        r#"[2,1,{"roles":{}}]"#,
        r#"[4,"ticket",{}]"#,
        "[17,1,1]",
        "[33,1,1]",
        "[35,1]",
        "[36,1,1,{}]",
        "[50,1,{}]",
        "[65,1,1]",
        "[67,1]",
        "[68,1,1,{}]",
        "[69,1,{}]",
    ] {
        let mut challenged = client();
        challenged.hello_as("closed", "ann", &["ticket"]);
        challenged.challenge();
        for mut client in [client(), challenged, client().joined()] {
            client.send_raw(message);
            client.protocol_violation();
        }
    }
}

#[test]
fn basic_what_is_no_message_is_a_violation_with_the_reason() {
    for (serializer, bytes, expected) in [
        (Serializer::Json, &b"{}"[..], "a message is a list, not a dictionary"),
        (Serializer::MsgPack, b"\xc1", "this is not MessagePack"),
        (Serializer::Cbor, b"\x82\x01", "this is not CBOR"),
    ] {
        for is_joined in [false, true] {
            let client = Client::with_policy(serializer, policy());
            let mut client = if is_joined { client.joined() } else { client };
            client.send_raw(bytes);
            let sentence = client.protocol_violation();
            assert!(sentence.starts_with(expected), "{sentence}");
        }
    }
}

#[test]
fn basic_json_is_text_and_the_others_are_binary() {
    each(|mut client| {
        let wrong = if client.serializer.is_text() { FrameKind::Binary } else { FrameKind::Text };
        client.pair.input(wrong, r#"[1,"open",{"roles":{"caller":{}}}]"#);
        let sentence = client.protocol_violation();
        let right = if client.serializer.is_text() { "text" } else { "binary" };
        assert!(sentence.contains(right), "{sentence}");
    });
}

#[test]
fn basic_requests_are_counted_from_one_without_a_gap() {
    each(|client| {
        let mut client = client.joined();
        client.send(subscribe(1));
        client.send(subscribe(2));
        assert!(client.is_open());
        client.send(subscribe(4));
        let sentence = client.protocol_violation();
        assert_eq!(sentence, "SUBSCRIBE: the next request must have the ID 3, not 4");
    });
    let mut client = client().joined();
    client.send(subscribe(2));
    client.protocol_violation();
}

/// Until the router has roles.
#[test]
fn server_a_request_that_no_role_is_for_is_an_error() {
    each(|client| {
        let mut client = client.joined();
        let payload = Payload::empty(client.serializer);
        client.send(Call {
            request: id(1),
            options: CallOptions::default(),
            procedure: "a.b".into(),
            payload,
        });
        let Message::Error(error) = client.message() else { panic!("ERROR") };
        assert_eq!((error.request_type, error.request), (RequestType::CALL, id(1)));
        assert_eq!(error.error, "wamp.error.feature_not_supported");
        assert!(client.is_open());
    });
}

#[test]
fn server_a_refused_login_of_the_gateways_is_not_the_clients_fault() {
    for kind in [DenialKind::BadCredentials, DenialKind::NotLoopback, DenialKind::Unavailable] {
        let mut client = client();
        client.hello("open", HelloDetails::default());
        client.login();
        client.pair.reply(denial(kind));
        let (_, close) = client.aborted("wamp.error.authentication_failed");
        assert_eq!((close.code, close.cause), (CloseCode::TryAgainLater, CloseCause::LoginRefused));
    }
    let mut client = client();
    client.hello("open", HelloDetails::default());
    client.login();
    client.pair.reply(denial(DenialKind::VhostRefused));
    client.refused("wamp.error.not_authorized");
}

#[test]
fn server_a_client_must_be_in_in_time_whatever_it_waits_for() {
    let hello = |client: &mut Client| client.hello("open", HelloDetails::default());
    let challenge = |client: &mut Client| {
        client.hello_as("closed", "ann", &["ticket"]);
        client.challenge();
    };
    for until in [&(|_: &mut Client| ()) as &dyn Fn(&mut Client), &hello, &challenge] {
        let mut client = client();
        client.advance(6_000);
        until(&mut client);
        client.advance(3_999);
        assert!(client.is_open());
        client.advance(1);
        let sentence = client.violation("wamp.error.timeout", CloseCode::Policy);
        assert!(sentence.contains("10000"), "{sentence}");
        client.grant();
        assert_eq!(client.messages(), [], "a login that is granted too late");
    }
}

#[test]
fn server_little_may_come_before_welcome() {
    let limits = Limits { frame_size_before_login: 100, frame_size: 500, ..Limits::default() };
    let mut client = Client::with_limits(limits.clone());
    client.send_raw(vec![b' '; 101]);
    let sentence = client.violation("wamp.error.payload_size_exceeded", CloseCode::TooBig);
    assert!(sentence.contains("100") && sentence.contains("101"), "{sentence}");

    // All messages together.
    let mut client = Client::with_limits(limits.clone());
    client.hello_as("closed", "ann", &["ticket"]);
    client.challenge();
    client.authenticate(&"x".repeat(60));
    client.violation("wamp.error.payload_size_exceeded", CloseCode::TooBig);

    let mut client = Client::with_limits(limits).joined();
    let mut subscribe = subscribe(1);
    subscribe.topic = "a".repeat(400).into();
    client.send(subscribe.clone());
    assert_eq!(client.messages().len(), 1);
    (subscribe.request, subscribe.topic) = (id(2), "a".repeat(500).into());
    client.send(subscribe);
    client.violation("wamp.error.payload_size_exceeded", CloseCode::TooBig);
}

#[test]
fn server_few_values_may_come_before_welcome() {
    let exclude = format!("[{}1]", "1,".repeat(2_000));
    let mut client = client();
    client.send_raw(format!(r#"[1,"open",{{"roles":{{"caller":{{}}}},"x":{exclude}}}]"#));
    let sentence = client.protocol_violation();
    assert!(sentence.contains("1000"), "{sentence}");

    let mut client = Client::with_limits(Limits::default()).joined();
    client.send_raw(format!(r#"[16,1,{{"acknowledge":true,"exclude":{exclude}}},"a"]"#));
    assert!(client.is_open());
}

#[test]
fn server_a_fault_of_the_transports_is_told_too() {
    each(|client| {
        let mut client = client.joined();
        let silent = Violation::Silent { millis: 60_000 };
        client.pair.step(|session, now, actions| session.handle_violation(now, silent, actions));
        client.violation("wamp.error.network_failure", CloseCode::Policy);
        let again = Violation::TextNotUtf8;
        client.pair.step(|session, now, actions| session.handle_violation(now, again, actions));
    });
}

#[test]
fn server_an_answer_that_nobody_asked_for_changes_nothing() {
    let mut client = client();
    client.grant();
    assert!(client.messages().is_empty() && client.is_open());
    let mut client = client.joined();
    client.grant();
    client.pair.reply(denial(DenialKind::BadCredentials));
    assert!(client.messages().is_empty() && client.is_open());
}

#[test]
fn server_a_client_that_names_no_sub_protocol_speaks_json() {
    let pair = Pair::open(&Wamp, None, policy());
    let client = Client { pair, serializer: Serializer::Json };
    client.joined();
}

#[test]
fn server_the_best_sub_protocol_comes_first() {
    assert_eq!(Wamp.names(), ["wamp.2.cbor", "wamp.2.msgpack", "wamp.2.json"]);
    assert_eq!(Wamp.id(), "wamp");
    assert!(Registry::standard().find("wamp").is_some());
}
