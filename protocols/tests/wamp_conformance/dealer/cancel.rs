//! §Call Canceling, §Call Timeouts.

use protocols::wamp::message::{
    CallOptions, Cancel, CancelMode, CancelOptions, Choice, Feature, RegisterOptions,
};

use super::*;

fn cancel(world: &mut World, request: Id, mode: Option<CancelMode>) {
    let options = CancelOptions { mode: mode.map(Choice::Known), reason: None };
    world.send(CALLER, Cancel { request, options });
}

fn canceled(call: Id) -> (Id, String) {
    (call, "wamp.error.canceled".into())
}

#[test]
fn advanced_call_canceling_skip_leaves_the_callee_alone_and_drops_its_result() {
    World::each(|mut world| {
        let call = world.call(CALLER, "a.b", CallOptions::default());
        let invocation = world.invocation(CALLEE);
        cancel(&mut world, call, Some(CancelMode::Skip));
        assert_eq!(world.error(CALLER), canceled(call));
        assert_eq!(world.client(CALLEE).messages(), []);
        world.answer(CALLEE, invocation.request, "late", false);
        world.assert_silent();
        assert!(world.client(CALLEE).is_open());
    });
}

#[test]
fn advanced_call_canceling_killnowait_interrupts_the_callee_and_answers_at_once() {
    for mode in [Some(CancelMode::KillNoWait), None] {
        World::each(|mut world| {
            let call = world.call(CALLER, "a.b", CallOptions::default());
            let invocation = world.invocation(CALLEE);
            cancel(&mut world, call, mode);
            assert_eq!(world.error(CALLER), canceled(call));
            let interrupt = world.interrupt(CALLEE);
            assert_eq!(interrupt.request, invocation.request);
            assert_eq!(interrupt.options.mode, Some(Choice::Known(CancelMode::KillNoWait)));
            // §Ignoring Results after Cancel.
            world.answer(CALLEE, invocation.request, "late", false);
            world.fail(CALLEE, invocation.request, "wamp.error.canceled");
            world.assert_silent();
            assert!(world.client(CALLEE).is_open());
        });
    }
}

#[test]
fn advanced_call_canceling_kill_interrupts_the_callee_and_waits_for_what_it_says() {
    World::each(|mut world| {
        for answers in [true, false] {
            let call = world.call(CALLER, "a.b", CallOptions::default());
            let invocation = world.invocation(CALLEE);
            cancel(&mut world, call, Some(CancelMode::Kill));
            assert_eq!(world.client(CALLER).messages(), []);
            let interrupt = world.interrupt(CALLEE);
            assert_eq!(interrupt.options.mode, Some(Choice::Known(CancelMode::Kill)));
            if answers {
                world.answer(CALLEE, invocation.request, "done", false);
                assert_eq!(world.result(CALLER).request, call);
            } else {
                world.fail(CALLEE, invocation.request, "wamp.error.canceled");
                assert_eq!(world.error(CALLER), canceled(call));
            }
        }
    });
}

#[test]
fn server_a_callee_that_does_not_answer_a_kill_is_not_waited_for_forever() {
    let mut world = World::pair();
    let call = world.call(CALLER, "a.b", CallOptions::default());
    world.invocation(CALLEE);
    cancel(&mut world, call, Some(CancelMode::Kill));
    world.interrupt(CALLEE);
    world.advance(29_999);
    assert_eq!(world.client(CALLER).messages(), []);
    world.advance(1);
    assert_eq!(world.error(CALLER), canceled(call));
}

#[test]
fn advanced_call_canceling_a_callee_without_it_is_never_interrupted() {
    for mode in [CancelMode::Skip, CancelMode::Kill, CancelMode::KillNoWait] {
        let mut world = World::new();
        world.join(&[]);
        world.join(ALL);
        world.register(CALLEE, "a.b", RegisterOptions::default());
        let call = world.call(CALLER, "a.b", CallOptions::default());
        let invocation = world.invocation(CALLEE);
        cancel(&mut world, call, Some(mode));
        assert_eq!(world.error(CALLER), canceled(call));
        world.answer(CALLEE, invocation.request, "late", false);
        world.assert_silent();
    }
}

#[test]
fn advanced_call_canceling_what_is_over_or_unknown_is_not_canceled() {
    let mut world = World::pair();
    let call = world.call(CALLER, "a.b", CallOptions::default());
    let invocation = world.invocation(CALLEE);
    world.answer(CALLEE, invocation.request, "pong", false);
    world.result(CALLER);
    cancel(&mut world, call, None);
    cancel(&mut world, id(77), None);
    world.assert_silent();
    assert!(world.client(CALLER).is_open());
}

#[test]
fn advanced_call_timeout_the_caller_gets_an_error_and_the_callee_an_interrupt() {
    World::each(|mut world| {
        let options = CallOptions { timeout: Some(500), ..CallOptions::default() };
        let call = world.call(CALLER, "a.b", options);
        assert_eq!(world.invocation(CALLEE).details.timeout, None);
        world.advance(499);
        world.assert_silent();
        world.advance(1);
        assert_eq!(world.error(CALLER), (call, "wamp.error.timeout".into()));
        let interrupt = world.interrupt(CALLEE);
        assert_eq!(interrupt.options.reason, Some("wamp.error.timeout".into()));
    });
}

#[test]
fn advanced_call_timeout_counts_from_each_part_of_a_result() {
    let mut world = World::pair();
    let receive_progress = Some(true);
    let options = CallOptions { timeout: Some(500), receive_progress, ..CallOptions::default() };
    world.call(CALLER, "a.b", options);
    let invocation = world.invocation(CALLEE);
    world.advance(400);
    world.answer(CALLEE, invocation.request, "one", true);
    world.result(CALLER);
    world.advance(499);
    world.assert_silent();
    world.advance(1);
    assert_eq!(world.error(CALLER).1, "wamp.error.timeout");
}

#[test]
fn advanced_call_timeout_is_told_to_callees_that_keep_it() {
    for keeps in [true, false] {
        let mut world = World::new();
        world.join(if keeps { ALL } else { &[Feature::CallCanceling] });
        world.join(ALL);
        let forward_timeout = Some(true);
        let options = RegisterOptions { forward_timeout, ..RegisterOptions::default() };
        world.register(CALLEE, "a.b", options);
        world.call(CALLER, "a.b", CallOptions { timeout: Some(500), ..CallOptions::default() });
        assert_eq!(world.invocation(CALLEE).details.timeout, keeps.then_some(500));
    }
}

#[test]
fn server_a_call_without_a_timeout_has_one() {
    let mut policy = policy();
    policy.wamp.rpc.default_timeout = Duration::from_millis(50);
    let mut world = World::with(policy);
    world.join(ALL);
    world.join(ALL);
    world.register(CALLEE, "a.b", RegisterOptions::default());
    world.call(CALLER, "a.b", CallOptions::default());
    world.invocation(CALLEE);
    world.advance(50);
    assert_eq!(world.error(CALLER).1, "wamp.error.timeout");
}

/// Deadlines of all that has an answer, or is remembered for a while, come to an end.
#[test]
fn server_a_session_that_is_idle_has_no_deadline() {
    let mut world = World::pair();
    world.call(CALLER, "a.b", CallOptions::default());
    let invocation = world.invocation(CALLEE);
    assert!(world.client(CALLER).pair.next_timeout().is_some());
    world.answer(CALLEE, invocation.request, "pong", false);
    assert_eq!(world.client(CALLER).pair.next_timeout(), None);
    world.advance(60_000);
    assert_eq!(world.client(CALLEE).pair.next_timeout(), None);
}

/// A session that both calls and runs what others call.
#[test]
fn server_of_all_deadlines_the_first_one_counts() {
    let mut world = World::pair();
    world.register(CALLER, "a.c", RegisterOptions::default());
    world.call(CALLEE, "a.c", CallOptions::default());
    world.invocation(CALLER);
    world.call(CALLER, "a.b", CallOptions { timeout: Some(500), ..CallOptions::default() });
    world.client(CALLER).advance(500);
    assert_eq!(world.error(CALLER).1, "wamp.error.timeout");
}
