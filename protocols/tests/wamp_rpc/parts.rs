//! §Progressive Call Invocations, from the caller's side.

use super::*;

const IN_PARTS: CallOptions = CallOptions {
    timeout: None,
    receive_progress: None,
    progress: Some(true),
    disclose_me: None,
    rkey: None,
    runmode: None,
    passthru: protocols::wamp::message::Passthru {
        ppt_scheme: None,
        ppt_serializer: None,
        ppt_cipher: None,
        ppt_keyid: None,
    },
    private: protocols::wamp::message::Private::NONE,
};

fn part(procedure: &str, text: &str, progress: bool) -> Call {
    let options = CallOptions { progress: Some(progress), ..CallOptions::default() };
    Call { request: id(1), options, procedure: Text::from(procedure), payload: payload(text) }
}

impl Caller {
    fn send_part(&mut self, text: &str, progress: bool) {
        self.try_call(RequestPlace::Before, part("a.b", text, progress)).unwrap();
    }
}

fn continues(asks: Vec<ToCallee>) -> Vec<(Payload, bool)> {
    let parts = asks.into_iter().map(|ask| match ask.ask {
        Ask::Continue { payload, progress, .. } => (payload, progress),
        other => panic!("{other:?}"),
    });
    parts.collect()
}

#[test]
fn parts_wait_until_the_first_is_taken_and_then_follow_in_order() {
    let mut caller = Caller::served_by(&[21]);
    caller.call_with(1, IN_PARTS);
    let (call, _, invoke) = caller.invoke();
    assert!(invoke.progress);
    caller.send_part("b", true);
    caller.send_part("c", true);
    assert_eq!(caller.asks(), []);
    caller.answer(call, Answer::Accepted);
    assert_eq!(continues(caller.asks()), [(payload("b"), true), (payload("c"), true)]);
    caller.answer(call, Answer::Accepted);
    caller.send_part("d", false);
    assert_eq!(continues(caller.asks()), [(payload("d"), false)]);
    caller.send_part("after the last", false);
    assert_eq!(caller.asks(), []);
    caller.answer(call, result("sum", false));
    assert_eq!(caller.reply(), "sum");
}

/// §Continuations on Completed Calls, §Verification of CALL Request IDs.
#[test]
fn what_continues_nothing_is_dropped() {
    let mut caller = Caller::served_by(&[21]);
    caller.call_with(1, IN_PARTS);
    let (call, ..) = caller.invoke();
    caller.answer(call, Answer::Accepted);
    let other = part("a.c", "x", true);
    assert_eq!(caller.try_call(RequestPlace::Before, other), Ok(()));
    caller.answer(call, result("enough", false));
    assert_eq!(caller.reply(), "enough");
    caller.send_part("late", true);
    assert!(caller.asks().is_empty() && caller.replies().is_empty());
}

#[test]
fn a_second_call_with_the_id_of_a_whole_one_breaks_the_protocol() {
    let mut caller = Caller::served_by(&[21]);
    caller.call(1);
    let broken = caller.try_call(RequestPlace::Before, part("a.b", "x", false));
    assert_eq!(broken, Err(RpcViolation::NotInParts { request: id(1) }));
}

#[test]
fn parts_of_who_has_not_announced_them_break_the_protocol() {
    let mut caller = Caller::served_by(&[21]);
    caller.calls = Calls::new(at(ME), principal(ME), Features::NONE, Settings::default());
    let broken = Err(RpcViolation::NotAnnounced { request: id(1) });
    assert_eq!(caller.try_call(RequestPlace::Next, part("a.b", "x", true)), broken);
    assert_eq!(caller.try_call(RequestPlace::Before, part("a.b", "x", false)), broken);
}

/// §Ignoring Progressive Call Invocations.
#[test]
fn a_callee_that_takes_no_parts_or_cannot_be_interrupted_makes_the_call_fail() {
    for features in [&[Feature::CallCanceling][..], &[Feature::ProgressiveCallInvocations]] {
        let mut caller = Caller::new();
        caller.register(callee(21, Features::of(features)));
        caller.call_with(1, IN_PARTS);
        assert_eq!(caller.reply(), "wamp.error.feature_not_supported");
        assert!(caller.calls.is_empty() && caller.asks().is_empty());
    }
}

#[test]
fn so_much_may_be_held() {
    let mut caller = Caller::with(Settings { most_held: 300, ..Settings::default() });
    caller.register(callee(21, ALL));
    caller.call_with(1, IN_PARTS);
    caller.asks();
    caller.send_part("12345", true);
    caller.send_part("12345", true);
    assert_eq!(caller.replies(), []);
    caller.send_part(&"x".repeat(200), true);
    assert_eq!(caller.reply(), "wamp.error.payload_size_exceeded");
    let reason = "wamp.error.payload_size_exceeded".to_owned();
    assert_eq!(interrupts(caller.asks()), [(1, CancelMode::KillNoWait, reason)]);
    assert!(caller.calls.is_empty());
}

/// That it was taken may be lost: a part of the result says as much.
#[test]
fn a_callee_that_answers_has_taken_the_call() {
    let mut caller = Caller::served_by(&[21]);
    caller.call_with(1, CallOptions { receive_progress: Some(true), ..IN_PARTS });
    let (call, ..) = caller.invoke();
    caller.send_part("b", true);
    caller.answer(call, result("x", true));
    assert_eq!(continues(caller.asks()), [(payload("b"), true)]);
    caller.answer(call, Answer::Accepted);
    assert_eq!(caller.asks(), []);
}

#[test]
fn nothing_follows_once_the_call_is_killed() {
    let mut caller = Caller::served_by(&[21]);
    caller.call_with(1, IN_PARTS);
    let (call, ..) = caller.invoke();
    caller.send_part("b", true);
    caller.cancel(1, Some(CancelMode::Kill));
    caller.asks();
    caller.answer(call, Answer::Accepted);
    caller.send_part("c", true);
    assert_eq!(caller.asks(), []);
    assert_eq!(caller.calls.len(), 1);
}

#[test]
fn while_the_caller_sends_the_callee_need_not_answer() {
    let mut caller = Caller::served_by(&[21]);
    caller.call_with(1, CallOptions { timeout: Some(100), ..IN_PARTS });
    let (call, ..) = caller.invoke();
    caller.answer(call, Answer::Accepted);
    for _ in 0..5 {
        caller.wait(99);
        caller.send_part("x", true);
    }
    caller.wait(99);
    assert_eq!(caller.replies(), []);
    caller.wait(1);
    assert_eq!(caller.reply(), "wamp.error.timeout");
}

/// Before the first part is taken all of them are there, and can be sent to another callee.
#[test]
fn a_call_in_parts_is_rerouted_with_all_of_them() {
    let mut caller = Caller::served_by(&[21, 22]);
    caller.call_with(1, IN_PARTS);
    let (first, ..) = caller.invoke();
    caller.send_part("b", false);
    caller.answer(first, Answer::Unavailable { why: "no room".to_owned() });
    let (second, to, invoke) = caller.invoke();
    assert_eq!((to, invoke.payload), (22, payload("1")));
    caller.answer(first, Answer::Accepted);
    assert_eq!(caller.asks(), []);
    caller.answer(second, Answer::Accepted);
    assert_eq!(continues(caller.asks()), [(payload("b"), false)]);
    caller.undelivered(second);
    assert_eq!(caller.reply(), "wamp.error.canceled");
}
