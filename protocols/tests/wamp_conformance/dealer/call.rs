//! §Calling and Invocations, §Caller Identification, §Call Rerouting.

use protocols::session::CloseCode;
use protocols::wamp::access::Disclosure;
use protocols::wamp::message::{
    CallOptions, Choice, Feature, InvokePolicy, Passthru, RegisterOptions, RequestType, Role,
};
use protocols::wamp::serializer::Serializer;

use super::*;

fn shared() -> RegisterOptions {
    let invoke = Some(Choice::Known(InvokePolicy::First));
    RegisterOptions { invoke, ..RegisterOptions::default() }
}

#[test]
fn basic_the_dealer_is_announced_where_there_is_one_with_what_it_can_do() {
    let mut world = World::new();
    let realms: Arc<dyn Realms> = world.registered.clone();
    let name = Some(Serializer::Json.subprotocol());
    let pair = Pair::open_as(&Wamp, name, policy(), |setup| setup.realms = realms);
    let mut client = Client { pair, serializer: Serializer::Json };
    client.hello("open", HelloDetails::default());
    let roles = client.welcomed().details.roles.unwrap();
    let expected = Features::of(&[
        Feature::ProgressiveCallResults,
        Feature::ProgressiveCallInvocations,
        Feature::CallTimeout,
        Feature::CallCanceling,
        Feature::CallerIdentification,
        Feature::CallReroute,
        Feature::PatternBasedRegistration,
        Feature::SharedRegistration,
        Feature::RegistrationRevocation,
        Feature::RegistrationMetaApi,
        Feature::SessionMetaApi,
    ]);
    assert_eq!(roles.features(Role::Dealer), Some(expected));
    assert!(roles.has(Role::Broker, Feature::SessionMetaApi));
    assert!(roles.has(Role::Broker, Feature::SubscriptionMetaApi));
    world.settle();
}

#[test]
fn basic_a_call_is_an_invocation_and_what_is_yielded_its_result() {
    World::each(|mut world| {
        let registration = world.registration("a.b");
        let call = world.call(CALLER, "a.b", CallOptions::default());
        let invocation = world.invocation(CALLEE);
        assert_eq!((invocation.request, invocation.registration), (id(1), registration));
        assert_eq!(shown(&invocation.payload), r#"["ping"]"#);
        assert_eq!(invocation.details, Default::default());
        world.answer(CALLEE, invocation.request, "pong", false);
        let result = world.result(CALLER);
        assert_eq!((result.request, shown(&result.payload)), (call, r#"["pong"]"#.into()));
        assert_eq!(result.details.progress, None);
        // What is over is over.
        world.answer(CALLEE, invocation.request, "again", false);
        world.fail(CALLEE, invocation.request, "com.app.broken");
        world.assert_silent();
    });
}

#[test]
fn basic_an_error_of_the_callee_is_the_callers() {
    World::each(|mut world| {
        let call = world.call(CALLER, "a.b", CallOptions::default());
        let invocation = world.invocation(CALLEE);
        world.fail(CALLEE, invocation.request, "com.app.broken");
        let Message::Error(error) = world.client(CALLER).message() else { panic!("ERROR") };
        assert_eq!((error.request_type, error.request), (RequestType::CALL, call));
        assert_eq!(
            (error.error.as_str(), shown(&error.payload).as_str()),
            ("com.app.broken", r#"["why"]"#)
        );
    });
}

#[test]
fn basic_calls_come_to_a_callee_in_the_order_in_which_they_were_made() {
    let mut world = World::pair();
    world.register(CALLEE, "a.c", RegisterOptions::default());
    for number in 0..6 {
        let uri = if number % 2 == 0 { "a.b" } else { "a.c" };
        let payload = Payload::of_text(Serializer::Json, &number.to_string());
        world.call_with(CALLER, uri, CallOptions::default(), payload);
    }
    for (number, message) in world.client(CALLEE).messages().into_iter().enumerate() {
        let Message::Invocation(invocation) = message else { panic!("{message:?}") };
        assert_eq!(shown(&invocation.payload), format!("[\"{number}\"]"));
        assert_eq!(invocation.request.get(), number as u64 + 1);
    }
}

#[test]
fn basic_what_cannot_be_called_is_an_error_with_the_reason() {
    World::each(|mut world| {
        for (uri, reason) in [
            ("a.c", "no_such_procedure"),
            ("wamp.session.nonsense", "no_such_procedure"),
            ("a..b", "invalid_uri"),
            ("secret.plans", "not_authorized"),
        ] {
            let call = world.call(CALLER, uri, CallOptions::default());
            assert_eq!(world.error(CALLER), (call, format!("wamp.error.{reason}")));
        }
        assert_eq!(world.client(CALLEE).messages(), []);
    });
}

#[test]
fn basic_a_session_can_call_what_it_has_registered_itself() {
    let mut world = World::pair();
    let call = world.call(CALLEE, "a.b", CallOptions::default());
    let invocation = world.invocation(CALLEE);
    world.answer(CALLEE, invocation.request, "pong", false);
    assert_eq!(world.result(CALLEE).request, call);
}

#[test]
fn basic_an_answer_to_what_was_never_asked_ends_the_session() {
    for is_error in [true, false] {
        let mut world = World::pair();
        world.call(CALLER, "a.b", CallOptions::default());
        world.invocation(CALLEE);
        if is_error {
            world.fail(CALLEE, id(2), "com.app.broken");
        } else {
            world.answer(CALLEE, id(2), "pong", false);
        }
        let sentence = world.client(CALLEE).protocol_violation();
        assert!(
            sentence.contains("INVOCATION 2, which the callee has not been sent"),
            "{sentence}"
        );
        world.settle();
        assert_eq!(world.error(CALLER).1, "wamp.error.canceled");
    }
}

#[test]
fn basic_clients_answer_invocations_alone_with_error() {
    let mut world = World::pair();
    let payload = Payload::empty(Serializer::Json);
    let (request_type, details) = (RequestType::CALL, ErrorDetails::default());
    let error = "com.app.broken".into();
    world.send(CALLEE, Error { request_type, request: id(1), details, error, payload });
    let client = world.client(CALLEE);
    let sentence = client.violation("wamp.error.protocol_violation", CloseCode::Protocol);
    assert!(sentence.starts_with("ERROR must not come but to answer INVOCATION"), "{sentence}");
}

#[test]
fn basic_a_call_with_the_id_of_another_ends_the_session_unless_it_may_continue_that() {
    let mut world = World::new();
    let (callee, caller) = (world.join(ALL), world.join(&[]));
    world.register(callee, "a.b", RegisterOptions::default());
    world.call(caller, "a.b", CallOptions::default());
    world.players[caller].request = 0;
    world.call(caller, "a.b", CallOptions::default());
    let sentence = world.client(caller).protocol_violation();
    assert!(sentence.contains("has not announced progressive_call_invocations"), "{sentence}");
}

#[test]
fn server_a_reason_that_is_no_uri_does_not_reach_the_caller() {
    let mut world = World::pair();
    let call = world.call(CALLER, "a.b", CallOptions::default());
    let invocation = world.invocation(CALLEE);
    world.fail(CALLEE, invocation.request, "it just failed");
    assert_eq!(world.error(CALLER), (call, "wamp.error.invalid_uri".into()));
    assert!(world.client(CALLEE).is_open());
}

#[test]
fn server_how_a_payload_is_to_be_understood_is_passed_on_both_ways() {
    let mut world = World::pair();
    let scheme =
        |scheme: &'static str| Passthru { ppt_scheme: Some(scheme.into()), ..Passthru::default() };
    let options = CallOptions { passthru: scheme("x_one"), ..CallOptions::default() };
    world.call(CALLER, "a.b", options);
    let invocation = world.invocation(CALLEE);
    assert_eq!(invocation.details.passthru, scheme("x_one"));
    let (request, payload) = (invocation.request, Payload::empty(Serializer::Json));
    let options = YieldOptions { passthru: scheme("x_two"), ..YieldOptions::default() };
    world.send(CALLEE, Yield { request, options, payload });
    assert_eq!(world.result(CALLER).details.passthru, scheme("x_two"));
}

#[test]
fn advanced_caller_identification_if_the_caller_or_the_callee_wants_it() {
    for (caller_wants, callee_wants) in [(false, false), (true, false), (false, true)] {
        let mut world = World::new();
        let (callee, caller) = (world.join(ALL), world.join(ALL));
        let disclose_caller = Some(callee_wants);
        let options = RegisterOptions { disclose_caller, ..RegisterOptions::default() };
        world.register(callee, "a.b", options);
        let disclose_me = Some(caller_wants);
        world.call(caller, "a.b", CallOptions { disclose_me, ..CallOptions::default() });
        let details = world.invocation(callee).details;
        let (_, principal) = &world.inside[&world.at(caller)];
        let told = (details.caller, details.caller_authid, details.caller_authrole);
        let (authid, authrole) = (principal.authid.clone(), principal.authrole.clone());
        let expected = (Some(principal.session), Some(authid), Some(authrole));
        assert_eq!(told, if caller_wants || callee_wants { expected } else { (None, None, None) });
    }
}

#[test]
fn advanced_caller_identification_is_refused_where_the_realm_forbids_it() {
    let mut policy = policy();
    for realm in policy.wamp.realms.values_mut() {
        for role in Arc::make_mut(realm).roles.values_mut() {
            for rule in &mut role.rules {
                if let protocols::wamp::access::Effect::Allow(disclosure) = &mut rule.effect {
                    *disclosure = Disclosure::Deny;
                }
            }
        }
    }
    let mut world = World::with(policy);
    let (callee, caller) = (world.join(ALL), world.join(ALL));
    let disclose_caller = Some(true);
    let options = RegisterOptions { disclose_caller, ..RegisterOptions::default() };
    world.register(callee, "a.b", options);
    world.call(caller, "a.b", CallOptions::default());
    assert_eq!(world.invocation(callee).details.caller, None);
    let disclose_me = Some(true);
    world.call(caller, "a.b", CallOptions { disclose_me, ..CallOptions::default() });
    assert_eq!(world.error(caller).1, "wamp.error.option_disallowed.disclose_me");
}

#[test]
fn advanced_call_rerouting_another_callee_is_asked_if_one_is_not_available() {
    let mut world = World::new();
    let (first, second) = (world.join(ALL), world.join(ALL));
    let caller = world.join(ALL);
    world.register(first, "a.b", shared());
    world.register(second, "a.b", shared());
    let call = world.call(caller, "a.b", CallOptions::default());
    let invocation = world.invocation(first);
    world.fail(first, invocation.request, "wamp.error.unavailable");
    let invocation = world.invocation(second);
    assert_eq!(shown(&invocation.payload), r#"["ping"]"#);
    world.fail(second, invocation.request, "wamp.error.unavailable");
    assert_eq!(world.error(caller), (call, "wamp.error.no_available_callee".into()));
}

#[test]
fn server_a_callee_that_cannot_be_reached_was_not_asked_and_another_is() {
    let mut world = World::new();
    let (first, second) = (world.join(ALL), world.join(ALL));
    let caller = world.join(ALL);
    world.register(first, "a.b", shared());
    world.register(second, "a.b", shared());
    world.unreachable.push(first);
    let call = world.call(caller, "a.b", CallOptions::default());
    let invocation = world.invocation(second);
    world.answer(second, invocation.request, "pong", false);
    assert_eq!(world.result(caller).request, call);
}
