//! §Progressive Call Results, §Progressive Call Invocations.

use protocols::wamp::message::{CallOptions, Feature, RegisterOptions};

use super::*;

fn receiving() -> CallOptions {
    CallOptions { receive_progress: Some(true), ..CallOptions::default() }
}

fn sending(progress: bool) -> CallOptions {
    CallOptions { progress: Some(progress), ..CallOptions::default() }
}

/// One more part of the latest call.
fn go_on(world: &mut World, text: &str, progress: bool) {
    world.players[CALLER].request -= 1;
    let payload = Payload::of_text(world.client(CALLER).serializer, text);
    world.call_with(CALLER, "a.b", sending(progress), payload);
}

#[test]
fn advanced_progressive_call_results_come_in_order_and_end_with_one_that_is_none() {
    World::each(|mut world| {
        let call = world.call(CALLER, "a.b", receiving());
        let invocation = world.invocation(CALLEE);
        assert_eq!(invocation.details.receive_progress, Some(true));
        for (text, progress) in [("one", true), ("two", true), ("three", false)] {
            world.answer(CALLEE, invocation.request, text, progress);
            let result = world.result(CALLER);
            assert_eq!((result.request, shown(&result.payload)), (call, format!("[\"{text}\"]")));
            assert_eq!(result.details.progress, progress.then_some(true));
        }
        world.answer(CALLEE, invocation.request, "late", true);
        world.assert_silent();
    });
}

#[test]
fn advanced_progressive_call_results_only_for_callers_that_want_them() {
    let mut world = World::pair();
    let call = world.call(CALLER, "a.b", CallOptions::default());
    let invocation = world.invocation(CALLEE);
    assert_eq!(invocation.details.receive_progress, None);
    world.answer(CALLEE, invocation.request, "one", true);
    world.assert_silent();
    world.answer(CALLEE, invocation.request, "two", false);
    assert_eq!(world.result(CALLER).request, call);
}

#[test]
fn advanced_progressive_call_results_only_of_callees_that_can_be_stopped() {
    let mut world = World::new();
    world.join(&[Feature::ProgressiveCallResults]);
    world.join(ALL);
    world.register(CALLEE, "a.b", RegisterOptions::default());
    world.call(CALLER, "a.b", receiving());
    assert_eq!(world.invocation(CALLEE).details.receive_progress, None);
}

#[test]
fn advanced_progressive_call_invocations_are_one_invocation_in_parts() {
    World::each(|mut world| {
        let call = world.call(CALLER, "a.b", sending(true));
        let first = world.invocation(CALLEE);
        assert_eq!(first.details.progress, Some(true));
        for (text, progress) in [("two", true), ("three", false)] {
            go_on(&mut world, text, progress);
            let invocation = world.invocation(CALLEE);
            assert_eq!(invocation.request, first.request);
            assert_eq!(invocation.details.progress, progress.then_some(true));
            assert_eq!(shown(&invocation.payload), format!("[\"{text}\"]"));
        }
        world.answer(CALLEE, first.request, "pong", false);
        assert_eq!(world.result(CALLER).request, call);
        // The next call has the next ID.
        assert_eq!(world.call(CALLER, "a.b", CallOptions::default()), id(2));
        world.invocation(CALLEE);
    });
}

#[test]
fn advanced_progressive_call_invocations_what_continues_a_call_that_is_over_is_dropped() {
    let mut world = World::pair();
    world.call(CALLER, "a.b", sending(true));
    let invocation = world.invocation(CALLEE);
    world.answer(CALLEE, invocation.request, "enough", false);
    world.result(CALLER);
    go_on(&mut world, "more", false);
    world.assert_silent();
    assert!(world.client(CALLER).is_open());
}

#[test]
fn advanced_progressive_call_invocations_only_to_callees_that_take_them() {
    let mut world = World::new();
    world.join(&[Feature::CallCanceling]);
    world.join(ALL);
    world.register(CALLEE, "a.b", RegisterOptions::default());
    world.call(CALLER, "a.b", sending(true));
    assert_eq!(world.error(CALLER).1, "wamp.error.feature_not_supported");
    world.assert_silent();
}

#[test]
fn advanced_progressive_call_invocations_only_of_callers_that_announce_them() {
    let mut world = World::new();
    world.join(ALL);
    world.join(&[]);
    world.register(CALLEE, "a.b", RegisterOptions::default());
    world.call(CALLER, "a.b", sending(true));
    let sentence = world.client(CALLER).protocol_violation();
    assert!(sentence.contains("progressive_call_invocations"), "{sentence}");
}
