//! §Registering and Unregistering, §Pattern-based Registrations, §Shared Registration.

use protocols::policy::Policy;
use protocols::wamp::message::{
    CallOptions, Choice, InvokePolicy, MatchPolicy, Message, Register, RegisterOptions, Unregister,
};
use protocols::wamp::peers::{Notice, Request};
use protocols::wamp::serializer::Serializer;

use super::*;
use crate::client::policy;

fn invoke(policy: InvokePolicy) -> RegisterOptions {
    RegisterOptions { invoke: Some(Choice::Known(policy)), ..RegisterOptions::default() }
}

fn matched(policy: MatchPolicy) -> RegisterOptions {
    RegisterOptions { match_policy: Some(Choice::Known(policy)), ..RegisterOptions::default() }
}

/// Why it was refused.
fn refused(message: Message) -> String {
    match message {
        Message::Error(error) => {
            assert!(error.payload.args.is_some(), "a sentence");
            error.error.to_string()
        }
        other => panic!("ERROR, not {other:?}"),
    }
}

#[test]
fn basic_registered_comes_once_the_realm_has_it_and_unregistered_once_it_has_it_no_more() {
    for serializer in Serializer::ALL {
        let mut world = World::new();
        let callee = world.join_as(serializer, &[], 0);
        let client = world.client(callee);
        let (options, procedure) = (RegisterOptions::default(), "a.b".into());
        client.send(Register { request: id(1), options, procedure });
        assert_eq!(client.messages(), []);
        let asked = client.pair.peers.pop_front();
        let Some(Request::Register { token, force, .. }) = asked else { panic!("{asked:?}") };
        assert!(!force);
        world.notice(callee, Notice::Registered { token, registration: id(9), load: None });
        let Message::Registered(registered) = world.client(callee).message() else { panic!() };
        assert_eq!((registered.request, registered.registration), (id(1), id(9)));

        let client = world.client(callee);
        client.send(Unregister { request: id(2), registration: id(9) });
        assert_eq!(client.messages(), []);
        let asked = client.pair.peers.pop_front();
        let Some(Request::Unregister { token, registration }) = asked else { panic!("{asked:?}") };
        assert_eq!(registration, id(9));
        world.notice(callee, Notice::Unregistered { token });
        let Message::Unregistered(unregistered) = world.client(callee).message() else { panic!() };
        assert_eq!((unregistered.request, unregistered.details), (Some(id(2)), None));
    }
}

#[test]
fn basic_what_is_unregistered_is_not_called_any_more_and_what_is_running_is_answered() {
    let mut world = World::new();
    let (callee, caller) = (world.join(ALL), world.join(ALL));
    let registration = world.register(callee, "a.b", RegisterOptions::default());
    let first = world.call(caller, "a.b", CallOptions::default());
    let invocation = world.invocation(callee);
    assert!(matches!(world.unregister(callee, registration), Message::Unregistered(_)));
    let second = world.call(caller, "a.b", CallOptions::default());
    assert_eq!(world.error(caller), (second, "wamp.error.no_such_procedure".into()));
    world.answer(callee, invocation.request, "pong", false);
    assert_eq!(world.result(caller).request, first);
}

#[test]
fn server_between_unregister_and_its_answer_no_call_comes() {
    let mut world = World::pair();
    let registration = world.registration("a.b");
    let request = world.next(CALLEE);
    world.client(CALLEE).send(Unregister { request, registration });
    let (caller, payload) = (&mut world.players[CALLER], Payload::empty(Serializer::Json));
    let (options, procedure) = (CallOptions::default(), "a.b".into());
    caller.client.send(Call { request: id(1), options, procedure, payload });
    let ask = caller.client.pair.peers.pop_front().unwrap();
    world.carry(CALLER, ask);
    assert_eq!(world.client(CALLEE).messages(), []);
    world.settle();
    assert_eq!(world.error(CALLER).1, "wamp.error.no_available_callee");
}

#[test]
fn basic_only_what_is_the_sessions_own_can_be_unregistered_and_once() {
    let mut world = World::pair();
    let registration = world.registration("a.b");
    let none = "wamp.error.no_such_registration";
    assert_eq!(refused(world.unregister(CALLER, registration)), none);
    assert_eq!(refused(world.unregister(CALLEE, id(77))), none);
    assert!(matches!(world.unregister(CALLEE, registration), Message::Unregistered(_)));
    assert_eq!(refused(world.unregister(CALLEE, registration)), none);
}

/// It was taken away before the realm had heard of UNREGISTER.
#[test]
fn server_what_the_realm_does_not_have_cannot_be_unregistered_either() {
    let mut world = World::pair();
    let registration = world.registration("a.b");
    let at = world.at(CALLEE);
    world.change(|registry| registry.leave(at));
    let answer = world.unregister(CALLEE, registration);
    assert_eq!(refused(answer), "wamp.error.no_such_registration");
}

#[test]
fn basic_a_procedure_is_registered_once() {
    for who in [CALLEE, CALLER] {
        let mut world = World::pair();
        let answer = world.try_register(who, "a.b", RegisterOptions::default());
        assert_eq!(refused(answer), "wamp.error.procedure_already_exists");
    }
}

#[test]
fn basic_a_procedure_is_a_uri_and_none_of_the_protocols_own() {
    let mut world = World::new();
    let who = world.join(ALL);
    for (policy, uri) in [
        (MatchPolicy::Exact, "a..b"),
        (MatchPolicy::Exact, "a b"),
        (MatchPolicy::Exact, "wamp.session.count"),
        (MatchPolicy::Prefix, "wamp."),
        (MatchPolicy::Wildcard, "wamp..x"),
        (MatchPolicy::Prefix, "a#"),
    ] {
        let answer = world.try_register(who, uri, matched(policy));
        assert_eq!(refused(answer), "wamp.error.invalid_uri", "{uri}");
    }
}

#[test]
fn server_a_pattern_does_not_get_calls_of_the_protocols_own_procedures() {
    let mut world = World::pair();
    world.register(CALLEE, "w", matched(MatchPolicy::Prefix));
    world.call(CALLER, "wamp.nonsense", CallOptions::default());
    assert_eq!(world.error(CALLER).1, "wamp.error.no_such_procedure");
    world.call(CALLER, "wampum", CallOptions::default());
    world.invocation(CALLEE);
}

#[test]
fn server_what_the_role_does_not_allow_is_not_registered() {
    let mut world = World::new();
    let who = world.join(ALL);
    for (policy, uri) in [
        (MatchPolicy::Exact, "secret.plans"),
        (MatchPolicy::Prefix, "secret"),
        (MatchPolicy::Prefix, ""),
        (MatchPolicy::Wildcard, ".plans"),
    ] {
        let answer = world.try_register(who, uri, matched(policy));
        assert_eq!(refused(answer), "wamp.error.not_authorized", "{uri}");
    }
}

#[test]
fn server_options_that_are_not_known_here_are_refused_and_the_session_goes_on() {
    let mut world = World::new();
    let who = world.join(ALL);
    let match_policy = Some(Choice::Other("regex".into()));
    let invoke = Some(Choice::Other("queue_least_loaded".into()));
    for (options, reason) in [
        (RegisterOptions { match_policy, ..RegisterOptions::default() }, "option_not_allowed"),
        (RegisterOptions { invoke, ..RegisterOptions::default() }, "option_not_allowed"),
        (
            RegisterOptions { concurrency: Some(0), ..RegisterOptions::default() },
            "invalid_argument",
        ),
    ] {
        let answer = world.try_register(who, "a.b", options);
        assert_eq!(refused(answer), format!("wamp.error.{reason}"));
    }
    world.register(who, "a.b", RegisterOptions::default());
}

#[test]
fn server_a_session_has_so_many_registrations() {
    let mut policy = policy();
    policy.wamp.rpc.most_registrations = 2;
    let mut world = World::with(Policy { ..policy });
    let who = world.join(ALL);
    let first = world.register(who, "a", RegisterOptions::default());
    // One that is not answered counts too.
    let request = world.next(who);
    let (options, procedure) = (RegisterOptions::default(), "b".into());
    world.client(who).send(Register { request, options, procedure });
    let request = world.next(who);
    let (options, procedure) = (RegisterOptions::default(), "c".into());
    world.client(who).send(Register { request, options, procedure });
    assert_eq!(refused(world.client(who).message()), "wamp.error.unavailable");
    world.settle();
    world.client(who).message();
    world.unregister(who, first);
    world.register(who, "c", RegisterOptions::default());
}

/// Which of two callees gets each of four calls.
fn called(policy: InvokePolicy) -> Vec<usize> {
    let mut world = World::new();
    let callees = [world.join(ALL), world.join(ALL)];
    let caller = world.join(ALL);
    for who in callees {
        world.register(who, "a.b", invoke(policy));
    }
    let call = |_| {
        world.call(caller, "a.b", CallOptions::default());
        let mut called =
            callees.into_iter().filter(|who| !world.client(*who).messages().is_empty());
        called.next().expect("one of them")
    };
    (0..4).map(call).collect()
}

#[test]
fn advanced_shared_registration_by_each_invocation_policy() {
    assert_eq!(called(InvokePolicy::First), [0; 4]);
    assert_eq!(called(InvokePolicy::Last), [1; 4]);
    assert_eq!(called(InvokePolicy::RoundRobin), [0, 1, 0, 1]);
    let random = called(InvokePolicy::Random);
    assert!(random.contains(&0) && random.contains(&1), "with these seeds: {random:?}");
}

#[test]
fn advanced_shared_registration_is_of_one_policy() {
    let mut world = World::new();
    let (first, second) = (world.join(ALL), world.join(ALL));
    world.register(first, "a.b", invoke(InvokePolicy::RoundRobin));
    let answer = world.try_register(second, "a.b", invoke(InvokePolicy::Random));
    assert_eq!(refused(answer), "wamp.error.procedure_already_exists");
}

#[test]
fn advanced_pattern_based_registration_the_best_match_gets_the_call_and_learns_the_procedure() {
    let mut world = World::new();
    let (callee, caller) = (world.join(ALL), world.join(ALL));
    let exact = world.register(callee, "a.b.c", RegisterOptions::default());
    let prefix = world.register(callee, "a.b", matched(MatchPolicy::Prefix));
    let wildcard = world.register(callee, "a..d", matched(MatchPolicy::Wildcard));
    for (procedure, registration, is_told) in [
        ("a.b.c", exact, false),
        ("a.b.d", prefix, true),
        ("a.bcd", prefix, true),
        ("a.x.d", wildcard, true),
    ] {
        world.call(caller, procedure, CallOptions::default());
        let invocation = world.invocation(callee);
        assert_eq!(invocation.registration, registration, "{procedure}");
        assert_eq!(invocation.details.procedure, is_told.then(|| procedure.into()));
    }
    world.call(caller, "a.x.e", CallOptions::default());
    assert_eq!(world.error(caller).1, "wamp.error.no_such_procedure");
}

#[test]
fn server_concurrency_a_callee_that_is_busy_is_passed_over() {
    let mut world = World::new();
    let (first, second) = (world.join(ALL), world.join(ALL));
    let caller = world.join(ALL);
    let options = RegisterOptions { concurrency: Some(1), ..invoke(InvokePolicy::First) };
    world.register(first, "a.b", options.clone());
    world.register(second, "a.b", options);
    world.call(caller, "a.b", CallOptions::default());
    let invocation = world.invocation(first);
    world.call(caller, "a.b", CallOptions::default());
    world.invocation(second);
    let third = world.call(caller, "a.b", CallOptions::default());
    assert_eq!(world.error(caller), (third, "wamp.error.no_available_callee".into()));
    world.answer(first, invocation.request, "pong", false);
    world.result(caller);
    world.call(caller, "a.b", CallOptions::default());
    world.invocation(first);
}

#[test]
fn server_concurrency_what_runs_of_a_registration_before_is_counted_and_ends() {
    for first in [Some(1), None] {
        let mut world = World::new();
        let (callee, caller) = (world.join(ALL), world.join(ALL));
        let options = |concurrency| RegisterOptions { concurrency, ..RegisterOptions::default() };
        let registration = world.register(callee, "a.b", options(first));
        world.call(caller, "a.b", CallOptions::default());
        let invocation = world.invocation(callee);
        let request = world.next(callee);
        world.send(callee, Unregister { request, registration });
        world.client(callee).messages();
        world.register(callee, "a.b", options(Some(1)));
        let busy = world.call(caller, "a.b", CallOptions::default());
        assert_eq!(world.error(caller), (busy, "wamp.error.no_available_callee".into()));
        world.answer(callee, invocation.request, "pong", false);
        world.result(caller);
        world.call(caller, "a.b", CallOptions::default());
        world.invocation(callee);
    }
}

#[test]
fn server_concurrency_busy_callees_are_not_asked_however_many() {
    let mut world = World::new();
    let caller = world.join(ALL);
    let options = RegisterOptions { concurrency: Some(1), ..invoke(InvokePolicy::First) };
    let callees: Vec<_> = (0..20).map(|_| world.join(ALL)).collect();
    for callee in &callees {
        world.register(*callee, "a.b", options.clone());
    }
    for callee in &callees {
        world.call(caller, "a.b", CallOptions::default());
        world.invocation(*callee);
    }
    let last = world.call(caller, "a.b", CallOptions::default());
    assert_eq!(world.error(caller), (last, "wamp.error.no_available_callee".into()));
}
