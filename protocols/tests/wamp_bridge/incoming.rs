//! Calls from elsewhere to callees of this node.

use std::time::Duration;

use protocols::broker::{Address, Command, Event, Message, Outcome, SubscriptionId, Value};
use protocols::wamp::message::{CancelMode, ErrorDetails, ResultDetails};
use protocols::wamp::payload::Payload;
use protocols::wamp::peers::Notice;
use protocols::wamp::rpc::{Answer, Ask, CallId, Identity, Invoke, ToCaller};
use protocols::wamp::serializer::Serializer;

use crate::{World, at, header, id, message};

const INTERRUPTS: SubscriptionId = SubscriptionId(2);

/// Has `here.a`, of which session 5 is the callee.
fn serving() -> (World, SubscriptionId) {
    let mut world = World::open();
    world.bridge.claim(&"here.a".into(), None, &mut world.output);
    let (token, subscription) = match world.commands().as_slice() {
        [Command::Subscribe { token, subscription, .. }] => (*token, *subscription),
        other => panic!("{other:?}"),
    };
    world.event(Event::Subscribed { token });
    (world, subscription)
}

fn call(content_type: Option<&'static str>, body: &'static str) -> Message {
    let mut message = message(content_type, body);
    message.properties.reply_to = Some("caller".into());
    message.properties.correlation_id = Some("c1".into());
    message
}

/// As a gateway sends it.
fn gateways_call() -> Message {
    let mut message = call(Some("application/vnd.wamp+cbor"), "\u{1}");
    message.body = vec![0x81, 0x81, 0x07].into();
    message.properties.kind = Some("wamp.call".into());
    message.properties.user_id = Some("other".into());
    message.properties.headers = vec![
        ("wamp-uri".into(), Value::Text("here.a".into())),
        ("wamp-caller".into(), Value::Integer(77)),
        ("wamp-authid".into(), Value::Text("bob".into())),
        ("wamp-authrole".into(), Value::Text("user".into())),
        ("wamp-recv-progress".into(), Value::Boolean(true)),
        ("wamp-timeout".into(), Value::Integer(1_000)),
    ];
    message
}

/// The one call that a callee gets.
fn invoked(world: &mut World) -> (CallId, Invoke) {
    match world.output.asks.drain(..).collect::<Vec<_>>().as_slice() {
        [ask] => {
            assert_eq!(ask.to, at(5));
            let Ask::Invoke(invoke) = &ask.ask else { panic!("{ask:?}") };
            (ask.call, (**invoke).clone())
        }
        other => panic!("one call, not {other:?}"),
    }
}

fn answer(world: &mut World, call: CallId, answer: Answer) {
    let notice = Notice::Answer(ToCaller { call, answer });
    world.bridge.on_notice(world.now, notice, &mut world.output);
}

fn result(args: &'static str, kwargs: Option<&'static str>, part: u64, is_last: bool) -> Answer {
    let progress = (!is_last).then_some(true);
    let (args, kwargs) = (Some(args.into()), kwargs.map(Into::into));
    Answer::Result {
        part,
        details: ResultDetails { progress, ..ResultDetails::default() },
        payload: Payload { serializer: Serializer::Json, args, kwargs },
    }
}

/// The one answer that leaves.
fn replied(world: &mut World) -> Message {
    let (_, to, message) = world.published();
    assert_eq!(to, Address::ExistingQueue("caller".into()));
    assert_eq!(message.properties.correlation_id.as_deref(), Some("c1"));
    assert_eq!(message.properties.user_id.as_deref(), Some("gateway"));
    message
}

#[test]
fn a_plain_amqp_peer_calls_and_is_answered_in_its_own_terms() {
    let json = Some("application/json");
    for (content_type, body, args, expected_type, expected) in [
        (json, "[1,2]", "[5]", "application/json", "5"),
        (json, "7", "[{\"a\":1}]", "application/json", "{\"a\":1}"),
        (json, "7", "[]", "application/json", "null"),
        (json, "7", "[\"text\"]", "application/json", "\"text\""),
        (Some("text/plain"), "hi", "[\"ü\"]", "text/plain", "ü"),
        (Some("text/plain"), "hi", "[5]", "application/json", "5"),
        (None, "hi", "[\"\\u0000AQI=\"]", "application/octet-stream", "\u{1}\u{2}"),
        (json, "7", "[1,2]", "application/json", "{\"args\":[1,2],\"kwargs\":{}}"),
    ] {
        let (mut world, procedure) = serving();
        world.deliver(procedure, call(content_type, body), false);
        let (call, invoke) = invoked(&mut world);
        assert_eq!(invoke.caller, None, "nobody knows who");
        answer(&mut world, call, result(args, None, 0, true));
        let reply = replied(&mut world);
        assert_eq!(
            (reply.properties.content_type.as_deref(), &reply.body[..]),
            (Some(expected_type), expected.as_bytes())
        );
        assert_eq!(reply.properties.kind.as_deref(), Some("wamp.result"));
        let is_envelope = expected.starts_with("{\"args\"");
        assert_eq!(header(&reply, "wamp-envelope").is_some(), is_envelope);
        assert_eq!(world.bridge.next_timeout(), None);
    }
}

#[test]
fn arguments_by_name_come_and_go_in_an_envelope() {
    let (mut world, procedure) = serving();
    let mut enveloped = call(Some("application/json"), "{\"args\":[1],\"kwargs\":{\"x\":2}}");
    enveloped.properties.headers = vec![("wamp-envelope".into(), Value::Boolean(true))];
    world.deliver(procedure, enveloped, false);
    let (call, invoke) = invoked(&mut world);
    assert_eq!(invoke.payload.args.as_deref(), Some(&b"[1]"[..]));
    assert_eq!(invoke.payload.kwargs.as_deref(), Some(&b"{\"x\":2}"[..]));
    answer(&mut world, call, result("[1]", Some("{\"y\":3}"), 0, true));
    let reply = replied(&mut world);
    assert_eq!(reply.body, "{\"args\":[1],\"kwargs\":{\"y\":3}}");
    assert_eq!(header(&reply, "wamp-envelope"), Some(&Value::Boolean(true)));
}

#[test]
fn a_gateway_calls_with_all_that_wamp_has() {
    let (mut world, procedure) = serving();
    world.deliver(procedure, gateways_call(), false);
    let (call, invoke) = invoked(&mut world);
    let bob = Identity { session: id(77), authid: "bob".into(), authrole: "user".into() };
    assert_eq!(invoke.caller, Some(bob));
    assert_eq!(invoke.payload.args.as_deref(), Some(&[0x81, 0x07][..]));
    assert_eq!(invoke.within, Duration::from_secs(1));
    for (part, kind) in [(0, "wamp.progress"), (1, "wamp.result")] {
        answer(&mut world, call, result("[5]", None, part, part == 1));
        let reply = replied(&mut world);
        assert_eq!(reply.body, "[[5]]");
        assert_eq!(reply.properties.content_type.as_deref(), Some("application/vnd.wamp+json"));
        assert_eq!(reply.properties.kind.as_deref(), Some(kind));
    }
}

#[test]
fn who_is_no_gateway_says_nothing_about_who_calls() {
    let (mut world, procedure) = serving();
    let (mut other_login, mut no_header) = (gateways_call(), gateways_call());
    // A queue has given these up, and sent them here: the gateway has called somebody else.
    let (mut dead, mut strayed) = (gateways_call(), gateways_call());
    dead.properties.headers.push(("x-death".into(), Value::Array(Vec::new())));
    strayed.properties.headers[0].1 = Value::Text("here.b".into());
    other_login.properties.user_id = Some("mallory".into());
    no_header.properties.headers.retain(|(name, _)| name != "wamp-uri");
    for forged in [other_login, no_header, dead, strayed] {
        world.deliver(procedure, forged, false);
        let (call, invoke) = invoked(&mut world);
        assert_eq!(invoke.caller, None);
        answer(&mut world, call, result("[5]", None, 0, true));
        assert_eq!(replied(&mut world).body, "5", "and is answered as others are");
    }
}

#[test]
fn an_error_says_which_and_why() {
    let (mut world, procedure) = serving();
    world.deliver(procedure, call(Some("application/json"), "7"), false);
    let (call, _) = invoked(&mut world);
    let payload = Payload::of_text(Serializer::Json, "why");
    let failed =
        Answer::Error { error: "com.failed".into(), details: ErrorDetails::default(), payload };
    answer(&mut world, call, failed);
    let reply = replied(&mut world);
    assert_eq!(reply.properties.kind.as_deref(), Some("wamp.error"));
    assert_eq!(header(&reply, "wamp-error"), Some(&Value::Text("com.failed".into())));
    assert_eq!(reply.body, "{\"args\":[\"why\"],\"error\":\"com.failed\",\"kwargs\":{}}");
}

/// That the call of a gateway is canceled.
fn interrupt(mode: &'static str) -> Message {
    let mut message = call(None, "");
    message.properties.kind = Some("wamp.interrupt".into());
    message.properties.user_id = Some("other".into());
    message.properties.headers = vec![
        ("wamp-uri".into(), Value::Text("here.a".into())),
        ("wamp-mode".into(), Value::Text(mode.into())),
    ];
    message
}

/// The mode in which the callee is interrupted, if it is.
fn interrupted(world: &mut World, call: CallId) -> Option<CancelMode> {
    let ask = world.output.asks.pop()?;
    assert_eq!((ask.to, ask.call), (at(5), call));
    match ask.ask {
        Ask::Interrupt { mode, .. } => Some(mode),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_gateway_cancels_what_it_has_called() {
    let (mut world, procedure) = serving();
    world.deliver(procedure, gateways_call(), false);
    let (call, _) = invoked(&mut world);
    world.deliver(INTERRUPTS, interrupt("kill"), false);
    assert_eq!(interrupted(&mut world, call), Some(CancelMode::Kill));
    assert_eq!(world.commands(), [], "the callee is still to answer");
    answer(&mut world, call, Answer::Canceled { why: "it was interrupted".into() });
    let reply = replied(&mut world);
    let uri = Value::Text("wamp.error.canceled".into());
    assert_eq!(header(&reply, "wamp-error"), Some(&uri));

    world.deliver(procedure, gateways_call(), false);
    let (call, _) = invoked(&mut world);
    world.deliver(INTERRUPTS, interrupt("killnowait"), false);
    assert_eq!(interrupted(&mut world, call), Some(CancelMode::KillNoWait));
    assert_eq!(world.commands(), [], "nobody waits");
    assert_eq!(world.bridge.next_timeout(), None);
    world.deliver(INTERRUPTS, interrupt("killnowait"), false);
    assert_eq!(interrupted(&mut world, call), None, "it is over");
}

#[test]
fn a_call_that_comes_after_its_interrupt_is_not_run() {
    let (mut world, procedure) = serving();
    world.deliver(INTERRUPTS, interrupt("kill"), false);
    assert_eq!(world.commands(), []);
    world.deliver(procedure, gateways_call(), false);
    assert_eq!(world.output.asks, []);
    let uri = Value::Text("wamp.error.canceled".into());
    assert_eq!(header(&replied(&mut world), "wamp-error"), Some(&uri));
    // Another has another name, or comes later.
    world.deliver(procedure, gateways_call(), false);
    invoked(&mut world);
}

#[test]
fn a_result_in_parts_ends_when_its_caller_is_gone() {
    for (outcome, is_over) in [(Outcome::Accepted, false), (Outcome::Unroutable, true)] {
        let (mut world, procedure) = serving();
        world.deliver(procedure, gateways_call(), false);
        let (call, _) = invoked(&mut world);
        answer(&mut world, call, result("[0]", None, 0, false));
        assert!(matches!(world.commands().as_slice(), [Command::Publish { mandatory: false, .. }]));
        for part in 1..=20 {
            world.now += Duration::from_millis(500);
            answer(&mut world, call, result("[1]", None, part, false));
        }
        let commands = world.commands();
        let probes: Vec<_> = commands
            .iter()
            .filter_map(|command| match command {
                Command::Publish { token, mandatory: true, confirm: true, .. } => Some(*token),
                _ => None,
            })
            .collect();
        assert_eq!(probes.len(), 1, "one in ten seconds");
        world.event(Event::Confirmed { token: probes[0], outcome });
        let mode = is_over.then_some(CancelMode::KillNoWait);
        assert_eq!(interrupted(&mut world, call), mode);
        assert_eq!(world.commands(), []);
    }
}

#[test]
fn who_is_no_gateway_names_its_timeout_as_amqp_does() {
    let (mut world, procedure) = serving();
    let mut foreign = call(Some("application/json"), "7");
    foreign.properties.headers = vec![("wamp-timeout".into(), Value::Integer(1))];
    foreign.properties.expiration = Some("250".into());
    world.deliver(procedure, foreign, false);
    assert_eq!(invoked(&mut world).1.within, Duration::from_millis(250));
}

#[test]
fn nobody_cancels_what_others_have_called() {
    let (mut world, procedure) = serving();
    world.deliver(procedure, gateways_call(), false);
    let (call, _) = invoked(&mut world);
    let mut forged = interrupt("kill");
    forged.properties.user_id = Some("mallory".into());
    let mut others = interrupt("kill");
    others.properties.reply_to = Some("another".into());
    let mut unlike = interrupt("kill");
    unlike.properties.kind = Some("wamp.call".into());
    for message in [forged, others, unlike] {
        world.deliver(INTERRUPTS, message, false);
        assert_eq!(interrupted(&mut world, call), None);
    }
    // Nor is what came from elsewhere than a gateway.
    let (mut world, procedure) = serving();
    world.deliver(procedure, self::call(None, "7"), false);
    let (call, _) = invoked(&mut world);
    world.deliver(INTERRUPTS, interrupt("kill"), false);
    assert_eq!(interrupted(&mut world, call), None);
}

#[test]
fn a_call_that_may_have_been_run_or_cannot_be_read_is_not_run() {
    for (message, was_delivered, uri) in [
        (call(Some("application/json"), "7"), true, "wamp.error.canceled"),
        (call(Some("application/json"), "{"), false, "wamp.error.invalid_argument"),
    ] {
        let (mut world, procedure) = serving();
        world.deliver(procedure, message, was_delivered);
        assert_eq!(world.output.asks, []);
        let reply = replied(&mut world);
        assert_eq!(header(&reply, "wamp-error"), Some(&Value::Text(uri.into())));
    }
}

#[test]
fn who_wants_no_answer_gets_none_and_who_waits_too_long_an_error() {
    let (mut world, procedure) = serving();
    world.deliver(procedure, message(Some("application/json"), "7"), false);
    let (id, _) = invoked(&mut world);
    answer(&mut world, id, result("[5]", None, 0, true));
    assert_eq!(world.commands(), []);

    let mut short = call(Some("application/json"), "7");
    short.properties.expiration = Some("250".into());
    world.deliver(procedure, short, false);
    invoked(&mut world);
    world.now += Duration::from_millis(250);
    world.bridge.handle_timeout(world.now, &mut world.output);
    let reply = replied(&mut world);
    assert_eq!(header(&reply, "wamp-error"), Some(&Value::Text("wamp.error.timeout".into())));
}

#[test]
fn a_callee_that_is_gone_is_no_procedure() {
    let (mut world, procedure) = serving();
    world.deliver(procedure, call(Some("application/json"), "7"), false);
    let (call, _) = invoked(&mut world);
    world.bridge.on_notice(world.now, Notice::AskUndelivered(call), &mut world.output);
    let reply = replied(&mut world);
    let uri = Value::Text("wamp.error.no_available_callee".into());
    assert_eq!(header(&reply, "wamp-error"), Some(&uri));
}
