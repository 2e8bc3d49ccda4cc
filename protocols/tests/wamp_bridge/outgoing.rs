//! Calls from sessions of this node to elsewhere.

use std::time::Duration;

use protocols::broker::{
    Address, BrokerError, BrokerErrorKind, Event, Message, Outcome, SubscriptionId, Token, Value,
};
use protocols::wamp::message::{CancelMode, Passthru};
use protocols::wamp::payload::Payload;
use protocols::wamp::peers::Notice;
use protocols::wamp::rpc::{Answer, Ask, CallId, Identity, Invoke, ToCallee, ToCaller};
use protocols::wamp::serializer::Serializer;

use crate::{World, at, epoch, header, id, message, registry, routes};

const REPLIES: SubscriptionId = SubscriptionId(1);

fn call(request: u64) -> CallId {
    CallId { caller: at(3), request: id(request), attempt: 1 }
}

fn payload(args: &'static str, kwargs: Option<&'static str>) -> Payload {
    let (args, kwargs) = (Some(args.into()), kwargs.map(Into::into));
    Payload { serializer: Serializer::Json, args, kwargs }
}

fn invoke(procedure: &str, payload: Payload) -> Invoke {
    let route = routes().into_iter().find(|route| route.uri == *procedure);
    let fallback = registry().route("nobody.has.this").expect("the fallback").id();
    Invoke {
        registration: route.as_ref().map_or(fallback, |route| route.registration("realm1")),
        procedure: route.is_none().then(|| procedure.into()),
        payload,
        passthru: Passthru::default(),
        progress: false,
        receive_progress: true,
        timeout: None,
        within: Duration::from_secs(60),
        until: epoch() + Duration::from_secs(3_600),
        caller: Some(Identity { session: id(3), authid: "ann".into(), authrole: "user".into() }),
    }
}

fn ask(world: &mut World, request: u64, ask: Ask) {
    let notice = Notice::Ask(ToCallee { to: at(9), call: call(request), ask });
    world.bridge.on_notice(world.now, notice, &mut world.output);
}

/// Calls, and says what is published for it.
fn called(world: &mut World, procedure: &str, payload: Payload) -> (Token, Address, Message) {
    ask(world, 1, Ask::Invoke(Box::new(invoke(procedure, payload))));
    world.published()
}

fn answers(world: &mut World) -> Vec<Answer> {
    world.output.answers.drain(..).map(|ToCaller { answer, .. }| answer).collect()
}

fn error(world: &mut World) -> String {
    match answers(world).as_slice() {
        [Answer::Error { error, .. }] => error.to_string(),
        other => panic!("one error, not {other:?}"),
    }
}

/// A worker's answer to the last call.
fn reply(world: &mut World, mut message: Message) {
    message.properties.correlation_id = world.correlation.clone();
    world.deliver(REPLIES, message, false);
}

#[test]
fn what_nobody_has_registered_goes_to_the_exchange_with_all_that_a_callee_needs() {
    let mut world = World::open();
    let (_, to, message) = called(&mut world, "far.*", payload("[1]", Some("{\"x\":2}")));
    assert_eq!(to, Address::Exchange { name: "wamp.rpc".into(), key: "far.%2A".into() });
    assert_eq!(message.body, "[[1],{\"x\":2}]");
    let properties = &message.properties;
    assert_eq!(properties.content_type.as_deref(), Some("application/vnd.wamp+json"));
    assert_eq!(properties.kind.as_deref(), Some("wamp.call"));
    let replies = properties.reply_to.clone().unwrap();
    assert!(replies.starts_with("wamp.node.") && replies.ends_with(".rep"), "{replies}");
    assert!(properties.correlation_id.as_deref().unwrap().starts_with("1."));
    assert_eq!(properties.user_id.as_deref(), Some("gateway"));
    assert_eq!(properties.expiration.as_deref(), Some("60000"));
    assert_eq!(header(&message, "wamp-uri"), Some(&Value::Text("far.*".into())));
    assert_eq!(header(&message, "wamp-caller"), Some(&Value::Integer(3)));
    assert_eq!(header(&message, "wamp-authid"), Some(&Value::Text("ann".into())));
    assert_eq!(header(&message, "wamp-recv-progress"), Some(&Value::Boolean(true)));
}

#[test]
fn a_result_comes_in_parts_or_at_once_and_what_comes_afterwards_is_dropped() {
    let mut world = World::open();
    called(&mut world, "far.a", payload("[]", None));
    for (kind, part) in [("wamp.progress", 0), ("wamp.result", 1)] {
        let mut result = message(Some("application/vnd.wamp+json"), "[[7]]");
        result.properties.kind = Some(kind.into());
        reply(&mut world, result);
        match answers(&mut world).as_slice() {
            [Answer::Result { part: got, details, payload }] => {
                assert_eq!((*got, details.progress), (part, (part == 0).then_some(true)));
                assert_eq!(payload.args.as_deref(), Some(&b"[7]"[..]));
            }
            other => panic!("{other:?}"),
        }
    }
    reply(&mut world, message(Some("text/plain"), "late"));
    assert_eq!(answers(&mut world), []);
    assert_eq!(world.bridge.next_timeout(), None);
}

fn part() -> Message {
    let mut part = message(Some("application/vnd.wamp+json"), "[[7]]");
    part.properties.kind = Some("wamp.progress".into());
    part
}

#[test]
fn parts_keep_a_call_alive_and_a_callee_that_stops_halfway_is_interrupted() {
    let mut world = World::open();
    called(&mut world, "far.a", payload("[]", None));
    for _ in 0..4 {
        world.now += Duration::from_secs(59);
        world.bridge.handle_timeout(world.now, &mut world.output);
        reply(&mut world, part());
        assert!(matches!(answers(&mut world).as_slice(), [Answer::Result { .. }]));
        assert_eq!(world.commands(), []);
    }
    world.now += Duration::from_secs(60);
    world.bridge.handle_timeout(world.now, &mut world.output);
    assert_eq!(error(&mut world), "wamp.error.timeout");
    let (_, _, message) = world.published();
    assert_eq!(message.properties.kind.as_deref(), Some("wamp.interrupt"));
    assert_eq!(world.bridge.next_timeout(), None);

    // As its caller's session says, if that is earlier.
    called(&mut world, "far.a", payload("[]", None));
    reply(&mut world, part());
    answers(&mut world);
    interrupt(&mut world, CancelMode::KillNoWait, "wamp.error.timeout");
    assert_eq!(world.published().2.properties.kind.as_deref(), Some("wamp.interrupt"));
}

#[test]
fn nobody_answers_a_call_who_has_not_got_it() {
    let mut world = World::open();
    ask(&mut world, 1, Ask::Invoke(Box::new(invoke("far.a", payload("[]", None)))));
    let (.., first) = world.published();
    ask(&mut world, 2, Ask::Invoke(Box::new(invoke("far.b", payload("[]", None)))));
    world.commands();
    let known = first.properties.correlation_id.unwrap();
    let guessed = known.replacen('1', "2", 1);
    for correlation in [&*guessed, "2", "2.", "1", "x", "", "1.0000000000000000"] {
        let mut forged = message(Some("application/json"), "7");
        forged.properties.correlation_id = Some(correlation.into());
        world.deliver(REPLIES, forged, false);
        assert_eq!(answers(&mut world), [], "{correlation}");
    }
    let mut answer = message(Some("application/json"), "7");
    answer.properties.correlation_id = Some(known);
    world.deliver(REPLIES, answer, false);
    assert!(matches!(answers(&mut world).as_slice(), [Answer::Result { .. }]));
}

#[test]
fn a_call_that_has_waited_too_long_does_not_leave() {
    let mut world = World::open();
    let until = |left| Invoke { until: epoch() + left, ..invoke("far.a", payload("[]", None)) };
    ask(&mut world, 1, Ask::Invoke(Box::new(until(Duration::ZERO))));
    assert_eq!(error(&mut world), "wamp.error.timeout");
    assert_eq!(world.commands(), []);
    ask(&mut world, 2, Ask::Invoke(Box::new(until(Duration::from_secs(3)))));
    let (.., message) = world.published();
    assert_eq!(message.properties.expiration.as_deref(), Some("3000"), "what is left");
}

#[test]
fn an_error_is_one_by_its_type_its_header_or_its_body() {
    let uri = || Value::Text("com.failed".into());
    for (name, kind, body, expected) in [
        ("wamp-error", None, "[[1]]", "com.failed"),
        ("x-error", None, "[[1]]", "com.failed"),
        ("x", Some("wamp.error"), "{\"error\":\"com.other\",\"args\":[1]}", "com.other"),
        ("x", Some("wamp.error"), "[[1]]", "wamp.error.runtime_error"),
    ] {
        let mut world = World::open();
        called(&mut world, "far.a", payload("[]", None));
        let mut failed = message(Some("application/vnd.wamp+json"), body);
        failed.properties.kind = kind.map(Into::into);
        failed.properties.headers = vec![(name.into(), uri())];
        reply(&mut world, failed);
        match answers(&mut world).as_slice() {
            [Answer::Error { error, payload, .. }] => {
                assert_eq!(error, expected);
                assert_eq!(payload.args.as_deref(), Some(&b"[1]"[..]), "{name} {kind:?}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_reaches_nobody_is_no_procedure_and_what_is_not_taken_is_unavailable() {
    let mut world = World::open();
    let (token, ..) = called(&mut world, "far.a", payload("[]", None));
    world.event(Event::Confirmed { token, outcome: Outcome::Unroutable });
    assert_eq!(error(&mut world), "wamp.error.no_such_procedure");

    let (token, ..) = called(&mut world, "far.a", payload("[]", None));
    world.event(Event::Confirmed { token, outcome: Outcome::Rejected });
    assert!(matches!(answers(&mut world).as_slice(), [Answer::Unavailable { .. }]));

    let (token, ..) = called(&mut world, "far.a", payload("[]", None));
    let refused = BrokerError::new(BrokerErrorKind::AccessRefused, "no");
    world.event(Event::Failed { token, error: refused });
    assert_eq!(error(&mut world), "wamp.error.not_authorized");

    let (token, ..) = called(&mut world, "far.a", payload("[]", None));
    world.event(Event::Confirmed { token, outcome: Outcome::Accepted });
    assert_eq!(answers(&mut world), [], "the answer is awaited");
}

#[test]
fn a_call_ends_when_its_time_is_up_or_the_link_is_lost() {
    let mut world = World::open();
    called(&mut world, "far.a", payload("[]", None));
    world.now += Duration::from_secs(60);
    assert_eq!(world.bridge.next_timeout(), Some(world.now));
    world.bridge.handle_timeout(world.now, &mut world.output);
    assert_eq!(error(&mut world), "wamp.error.timeout");

    called(&mut world, "far.a", payload("[]", None));
    let down = BrokerError::new(BrokerErrorKind::Unavailable, "gone");
    world.bridge.on_down(&down, &mut world.output);
    assert_eq!(error(&mut world), "wamp.error.network_failure");
    ask(&mut world, 2, Ask::Invoke(Box::new(invoke("far.a", payload("[]", None)))));
    assert_eq!(error(&mut world), "wamp.error.unavailable");
    assert_eq!(world.commands(), []);
}

fn interrupt(world: &mut World, mode: CancelMode, reason: &'static str) {
    ask(world, 1, Ask::Interrupt { mode, reason: reason.into() });
}

#[test]
fn that_a_call_is_canceled_is_said_to_all_gateways_and_with_kill_the_answer_awaited() {
    let canceled = "wamp.error.canceled";
    for mode in [CancelMode::Kill, CancelMode::KillNoWait] {
        let mut world = World::open();
        let (.., call) = called(&mut world, "far.a", payload("[]", None));
        interrupt(&mut world, mode, canceled);
        let (_, to, message) = world.published();
        let exchange = Address::Exchange { name: "wamp.interrupt".into(), key: "".into() };
        let properties = &message.properties;
        assert_eq!((to, properties.kind.as_deref()), (exchange, Some("wamp.interrupt")));
        assert_eq!(properties.correlation_id, call.properties.correlation_id);
        assert_eq!(properties.reply_to, call.properties.reply_to);
        assert_eq!(properties.user_id.as_deref(), Some("gateway"));
        assert_eq!(header(&message, "wamp-mode"), Some(&Value::Text(mode.as_str().into())));
        assert_eq!(answers(&mut world), []);
        let is_awaited = mode == CancelMode::Kill;
        assert_eq!(world.bridge.next_timeout().is_some(), is_awaited);
        let mut last = crate::message(Some("application/vnd.wamp+json"), "[[]]");
        last.properties.kind = Some("wamp.error".into());
        last.properties.headers = vec![("wamp-error".into(), Value::Text(canceled.into()))];
        reply(&mut world, last);
        if is_awaited {
            assert_eq!(error(&mut world), canceled);
        }
        assert_eq!(answers(&mut world), []);
    }
}

#[test]
fn what_is_skipped_or_timed_out_or_no_gateways_business_is_not_said() {
    for (procedure, mode, reason, is_answered) in [
        ("far.a", CancelMode::Skip, "wamp.error.canceled", false),
        ("far.a", CancelMode::KillNoWait, "wamp.error.timeout", false),
        ("route.json", CancelMode::KillNoWait, "wamp.error.canceled", false),
        ("route.json", CancelMode::Kill, "wamp.error.canceled", true),
    ] {
        let mut world = World::open();
        called(&mut world, procedure, payload("[]", None));
        interrupt(&mut world, mode, reason);
        assert_eq!(world.commands(), [], "{procedure} {mode:?} {reason}");
        assert_eq!(answers(&mut world).len(), usize::from(is_answered));
        assert_eq!(world.bridge.next_timeout(), None);
    }
}

#[test]
fn each_link_has_a_queue_of_its_own_for_answers() {
    let mut world = World::open();
    let (.., first) = called(&mut world, "far.a", payload("[]", None));
    world
        .bridge
        .on_down(&BrokerError::new(BrokerErrorKind::Unavailable, "gone"), &mut world.output);
    answers(&mut world);
    world.link();
    let (.., second) = called(&mut world, "far.a", payload("[]", None));
    assert_ne!(first.properties.reply_to, second.properties.reply_to);
}

#[test]
fn no_more_calls_leave_than_may() {
    let mut world = World::open();
    for request in 1..=3 {
        ask(&mut world, request, Ask::Invoke(Box::new(invoke("far.a", payload("[]", None)))));
    }
    assert_eq!(world.commands().len(), 3);
    ask(&mut world, 4, Ask::Invoke(Box::new(invoke("far.a", payload("[]", None)))));
    assert!(matches!(answers(&mut world).as_slice(), [Answer::Unavailable { .. }]));
}

#[test]
fn a_worker_that_a_route_names_gets_what_the_route_says() {
    let text = "application/json";
    for (procedure, args, kwargs, content_type, body) in [
        ("route.envelope", "[1]", Some("{\"x\":2}"), text, "{\"args\":[1],\"kwargs\":{\"x\":2}}"),
        ("route.json", "[{\"a\":1},2]", None, text, "{\"a\":1}"),
        ("route.json", "[]", None, text, "null"),
        ("route.raw", "[\"ü\"]", None, "text/plain", "ü"),
        ("route.raw", "[\"\\u0000AQI=\"]", None, "application/octet-stream", "\u{1}\u{2}"),
        ("route.raw", "[7]", None, text, "7"),
        ("route.kwargs", "[1]", Some("{\"x\":2}"), text, "{\"x\":2}"),
    ] {
        let mut world = World::open();
        let (_, to, message) = called(&mut world, procedure, payload(args, kwargs));
        let expected = match procedure {
            "route.json" => Address::Exchange { name: "workers".into(), key: "worker".into() },
            _ => Address::ExistingQueue("worker".into()),
        };
        assert_eq!(to, expected, "{procedure}");
        assert_eq!(message.body, body, "{procedure} {args}");
        assert_eq!(message.properties.content_type.as_deref(), Some(content_type), "{procedure}");
        assert_eq!(message.properties.expiration.as_deref(), Some("5000"), "the route's");
    }
}

#[test]
fn what_a_worker_says_is_what_its_content_type_says() {
    for (content_type, body, args) in [
        (Some("application/json"), "{\"a\":1}", "[{\"a\":1}]"),
        (Some("text/plain"), "ü", "[\"ü\"]"),
        (None, "\u{1}\u{2}", "[\"\\u0000AQI=\"]"),
    ] {
        let mut world = World::open();
        called(&mut world, "route.json", payload("[]", None));
        reply(&mut world, message(content_type, body));
        match answers(&mut world).as_slice() {
            [Answer::Result { payload, .. }] => {
                let limits = protocols::wamp::serializer::Limits::DEFAULT;
                let payload = payload.transcoded(Serializer::Json, &limits).unwrap();
                assert_eq!(payload.args.as_deref(), Some(args.as_bytes()));
            }
            other => panic!("{other:?}"),
        }
    }
}
