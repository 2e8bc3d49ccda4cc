//! §Binary support in JSON, and payloads that the other end's serializer has no form for, or the other
//! end no room (§RawSocket Transport): they end the call that they belong to, and nothing else.

use bytes::Bytes;
use protocols::wamp::message::{CallOptions, CancelMode, Choice, RegisterOptions};
use protocols::wamp::serializer::Serializer;

use super::*;

/// A callee and a caller of these serializers.
fn between(callee: Serializer, caller: Serializer) -> World {
    let mut world = World::new();
    world.join_as(callee, ALL, 0);
    world.join_as(caller, ALL, 1);
    world.register(CALLEE, "a.b", RegisterOptions::default());
    world
}

fn msgpack(args: &'static [u8]) -> Payload {
    let args = Some(Bytes::from_static(args));
    Payload { serializer: Serializer::MsgPack, args, kwargs: None }
}

/// Binary data, as the only argument.
const BINARY: &[u8] = b"\x91\xc4\x03abc";

/// A timestamp, which only MessagePack has.
const TIMESTAMP: &[u8] = b"\x91\xd6\xff\0\0\0\x01";

fn answer_with(world: &mut World, request: Id, progress: bool, payload: Payload) {
    let progress = progress.then_some(true);
    let options = YieldOptions { progress, ..YieldOptions::default() };
    world.send(CALLEE, Yield { request, options, payload });
}

#[test]
fn basic_binary_goes_from_json_to_messagepack_and_back() {
    let mut world = between(Serializer::MsgPack, Serializer::Json);
    let json = || Some(Bytes::from_static(br#"["\u0000YWJj"]"#));
    let payload = Payload { serializer: Serializer::Json, args: json(), kwargs: None };
    world.call_with(CALLER, "a.b", CallOptions::default(), payload);
    let invocation = world.invocation(CALLEE);
    assert_eq!(invocation.payload, msgpack(BINARY));
    answer_with(&mut world, invocation.request, false, msgpack(BINARY));
    assert_eq!(world.result(CALLER).payload.args, json());
}

#[test]
fn server_arguments_that_the_callee_cannot_get_fail_the_call_and_leave_no_gap() {
    let mut world = between(Serializer::Json, Serializer::MsgPack);
    let payload = msgpack(TIMESTAMP);
    let call = world.call_with(CALLER, "a.b", CallOptions::default(), payload);
    assert_eq!(world.error(CALLER), (call, "wamp.error.invalid_payload".into()));
    assert_eq!(world.client(CALLEE).messages(), []);
    world.call(CALLER, "a.b", CallOptions::default());
    assert_eq!(world.invocation(CALLEE).request, id(1));
}

#[test]
fn server_arguments_that_become_too_long_fail_the_call_with_that_reason() {
    let mut policy = policy();
    policy.wamp.limits.transcoded = 16;
    let mut world = World::with(policy);
    world.join_as(Serializer::Json, ALL, 0);
    world.join_as(Serializer::MsgPack, ALL, 1);
    world.register(CALLEE, "a.b", RegisterOptions::default());
    let payload = Payload::of_text(Serializer::MsgPack, "more than sixteen bytes");
    let call = world.call_with(CALLER, "a.b", CallOptions::default(), payload);
    assert_eq!(world.error(CALLER), (call, "wamp.error.payload_size_exceeded".into()));
}

#[test]
fn server_a_result_that_the_caller_cannot_get_is_an_error() {
    let mut world = between(Serializer::MsgPack, Serializer::Json);
    let call = world.call(CALLER, "a.b", CallOptions::default());
    let invocation = world.invocation(CALLEE);
    answer_with(&mut world, invocation.request, false, msgpack(TIMESTAMP));
    assert_eq!(world.error(CALLER), (call, "wamp.error.invalid_payload".into()));
    world.assert_silent();
}

#[test]
fn server_a_part_of_a_result_that_the_caller_cannot_get_ends_the_invocation_too() {
    let mut world = between(Serializer::MsgPack, Serializer::Json);
    let options = CallOptions { receive_progress: Some(true), ..CallOptions::default() };
    let call = world.call(CALLER, "a.b", options);
    let invocation = world.invocation(CALLEE);
    answer_with(&mut world, invocation.request, true, msgpack(TIMESTAMP));
    assert_eq!(world.error(CALLER), (call, "wamp.error.invalid_payload".into()));
    let interrupt = world.interrupt(CALLEE);
    assert_eq!(interrupt.request, invocation.request);
    assert_eq!(interrupt.options.reason, Some("wamp.error.invalid_payload".into()));
    answer_with(&mut world, invocation.request, false, msgpack(BINARY));
    world.assert_silent();
}

#[test]
fn server_an_error_whose_arguments_the_caller_cannot_get_is_told_with_its_uri() {
    let mut world = between(Serializer::MsgPack, Serializer::Json);
    let call = world.call(CALLER, "a.b", CallOptions::default());
    let request = world.invocation(CALLEE).request;
    let (request_type, details) = (RequestType::INVOCATION, ErrorDetails::default());
    let (error, payload) = ("com.app.broken".into(), msgpack(TIMESTAMP));
    world.send(CALLEE, Error { request_type, request, details, error, payload });
    let Message::Error(error) = world.client(CALLER).message() else { panic!("ERROR") };
    assert_eq!((error.request, error.error.as_str()), (call, "wamp.error.invalid_payload"));
    assert!(shown(&error.payload).contains("com.app.broken"));
}

#[test]
fn server_a_part_of_a_call_that_the_callee_cannot_get_ends_the_call_at_both_ends() {
    let mut world = between(Serializer::Json, Serializer::MsgPack);
    let options = CallOptions { progress: Some(true), ..CallOptions::default() };
    let call = world.call(CALLER, "a.b", options.clone());
    let invocation = world.invocation(CALLEE);
    world.players[CALLER].request -= 1;
    world.call_with(CALLER, "a.b", options, msgpack(TIMESTAMP));
    assert_eq!(world.error(CALLER), (call, "wamp.error.invalid_payload".into()));
    let interrupt = world.interrupt(CALLEE);
    assert_eq!(interrupt.request, invocation.request);
    assert_eq!(interrupt.options.mode, Some(Choice::Known(CancelMode::KillNoWait)));
    world.answer(CALLEE, invocation.request, "late", false);
    world.assert_silent();
}

/// A callee and a caller of which the callee takes 4 KiB, and the caller 2 KiB.
fn narrow() -> World {
    let mut world = World::new();
    world.join_narrow(4 << 10);
    world.join_narrow(2 << 10);
    world.register(CALLEE, "a.b", RegisterOptions::default());
    world
}

fn text_of(size: usize) -> Payload {
    Payload::of_text(Serializer::Json, &"x".repeat(size))
}

#[test]
fn server_arguments_for_which_the_callee_has_no_room_fail_the_call_alone() {
    let mut world = narrow();
    let call = world.call_with(CALLER, "a.b", CallOptions::default(), text_of(4 << 10));
    assert_eq!(world.error(CALLER), (call, "wamp.error.payload_size_exceeded".into()));
    world.call_with(CALLER, "a.b", CallOptions::default(), text_of(3000));
    assert_eq!(shown(&world.invocation(CALLEE).payload).len(), 3004);
}

#[test]
fn server_a_result_for_which_the_caller_has_no_room_is_an_error() {
    let mut world = narrow();
    for (size, is_taken) in [(2 << 10, false), (1500, true)] {
        let call = world.call(CALLER, "a.b", CallOptions::default());
        let invocation = world.invocation(CALLEE).request;
        answer_with(&mut world, invocation, false, text_of(size));
        if is_taken {
            assert_eq!(world.result(CALLER).request, call);
        } else {
            assert_eq!(world.error(CALLER), (call, "wamp.error.payload_size_exceeded".into()));
        }
    }
    world.assert_silent();
}

#[test]
fn server_a_part_of_a_result_for_which_the_caller_has_no_room_ends_the_invocation_too() {
    let mut world = narrow();
    let options = CallOptions { receive_progress: Some(true), ..CallOptions::default() };
    let call = world.call(CALLER, "a.b", options);
    let invocation = world.invocation(CALLEE).request;
    answer_with(&mut world, invocation, true, text_of(2 << 10));
    assert_eq!(world.error(CALLER), (call, "wamp.error.payload_size_exceeded".into()));
    assert_eq!(world.interrupt(CALLEE).request, invocation);
}
