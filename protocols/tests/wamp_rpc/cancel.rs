//! What ends a call from the caller's side: CANCEL, timeouts, and that the caller leaves.

use super::*;
use CancelMode::{Kill, KillNoWait, Skip};

const CANCELED: &str = "wamp.error.canceled";
const TIMEOUT: &str = "wamp.error.timeout";

/// §Call Canceling: `skip`, `killnowait`, and the default.
#[test]
fn a_canceled_call_is_answered_at_once() {
    for (mode, sent) in [(Some(Skip), Skip), (Some(KillNoWait), KillNoWait), (None, KillNoWait)] {
        let mut caller = Caller::served_by(&[21]);
        caller.call(1);
        let (call, ..) = caller.invoke();
        caller.cancel(1, mode);
        assert_eq!(caller.reply(), CANCELED);
        assert_eq!(interrupts(caller.asks()), [(1, sent, CANCELED.to_owned())]);
        caller.answer(call, result("late", false));
        caller.cancel(1, mode);
        assert!(caller.replies().is_empty() && caller.asks().is_empty());
    }
}

/// §Call Canceling: `kill`.
#[test]
fn a_killed_call_is_answered_as_the_callee_answers_it() {
    let mut caller = Caller::served_by(&[21]);
    caller.call(1);
    let (call, ..) = caller.invoke();
    caller.cancel(1, Some(Kill));
    caller.cancel(1, Some(Kill));
    assert_eq!(interrupts(caller.asks()), [(1, Kill, CANCELED.to_owned())]);
    assert_eq!(caller.replies(), []);
    caller.answer(call, result("just in time", false));
    assert_eq!(caller.reply(), "just in time");

    caller.call(2);
    let (call, ..) = caller.invoke();
    caller.cancel(2, Some(Kill));
    caller.answer(call, Answer::Unavailable { why: "no room".to_owned() });
    assert_eq!(caller.reply(), CANCELED);
}

#[test]
fn a_killed_call_does_not_wait_forever_and_can_be_given_up_before() {
    let settings = Settings { kill_timeout: millis(5_000), ..Settings::default() };
    let mut caller = Caller::with(settings);
    caller.register(callee(21, ALL));
    caller.call(1);
    caller.call(2);
    caller.asks();
    caller.cancel(1, Some(Kill));
    caller.cancel(2, Some(Kill));
    caller.asks();
    caller.cancel(2, Some(KillNoWait));
    assert_eq!(caller.replies(), [(2, CANCELED.to_owned())]);
    caller.asks();
    caller.wait(4_999);
    assert_eq!(caller.replies(), []);
    caller.wait(1);
    assert_eq!(caller.replies(), [(1, CANCELED.to_owned())]);
    assert_eq!(interrupts(caller.asks()), [(1, KillNoWait, CANCELED.to_owned())]);
}

/// §Call Canceling: without the feature it is `skip`.
#[test]
fn a_callee_that_cannot_be_interrupted_makes_every_cancel_a_skip() {
    for mode in [Some(Skip), Some(Kill), Some(KillNoWait), None] {
        let mut caller = Caller::new();
        caller.register(callee(21, Features::NONE));
        caller.call(1);
        caller.asks();
        caller.cancel(1, mode);
        assert_eq!(caller.reply(), CANCELED);
        assert_eq!(interrupts(caller.asks()), [(1, Skip, CANCELED.to_owned())]);
    }
}

/// §Call Timeouts.
#[test]
fn a_call_fails_after_its_timeout_in_milliseconds_the_default_or_the_longest() {
    let settings = Settings {
        default_timeout: millis(1_000),
        most_timeout: millis(10_000),
        ..Settings::default()
    };
    for (asked, waits) in [(None, 1_000), (Some(0), 1_000), (Some(7), 7), (Some(99_999), 10_000)] {
        let mut caller = Caller::with(settings);
        caller.register(callee(21, ALL));
        caller.call_with(1, CallOptions { timeout: asked, ..CallOptions::default() });
        let (_, _, invoke) = caller.invoke();
        assert_eq!((invoke.timeout, invoke.within), (None, millis(waits)));
        assert_eq!(caller.calls.next_timeout(), Some(caller.now + millis(waits)));
        caller.wait(waits - 1);
        assert_eq!(caller.replies(), []);
        caller.wait(1);
        assert_eq!(caller.reply(), TIMEOUT);
        assert_eq!(interrupts(caller.asks()), [(1, KillNoWait, TIMEOUT.to_owned())]);
    }
}

#[test]
fn a_timeout_is_a_skip_for_a_callee_that_cannot_be_interrupted() {
    let mut caller = Caller::new();
    caller.register(callee(21, Features::NONE));
    caller.call_with(1, CallOptions { timeout: Some(5), ..CallOptions::default() });
    caller.asks();
    caller.wait(5);
    assert_eq!(interrupts(caller.asks()), [(1, Skip, TIMEOUT.to_owned())]);
}

/// §Progressive Call Results §Timeouts.
#[test]
fn the_timeout_counts_from_each_part_of_the_result() {
    let mut caller = Caller::served_by(&[21]);
    let (timeout, receive_progress) = (Some(100), Some(true));
    caller.call_with(1, CallOptions { timeout, receive_progress, ..CallOptions::default() });
    let (call, ..) = caller.invoke();
    for _ in 0..5 {
        caller.wait(99);
        caller.answer(call, result("x", true));
    }
    assert_eq!(caller.replies().len(), 5);
    // After a cancel the time runs out, whatever comes.
    caller.cancel(1, Some(Kill));
    caller.wait(99);
    caller.answer(call, result("x", true));
    caller.wait(1);
    assert_eq!(caller.replies(), [(1, "+x".to_owned()), (1, CANCELED.to_owned())]);
}

/// §Call Timeouts §Callee-Initiated Timeouts.
#[test]
fn a_callee_that_keeps_timeouts_is_told_and_gets_half_as_long_again() {
    for (features, keeps_timeouts, told, waits) in [
        (ALL, true, Some(100), 150),
        (ALL, false, None, 100),
        (Features::of(&[Feature::CallCanceling]), true, None, 100),
    ] {
        let mut caller = Caller::new();
        caller.register(Callee { keeps_timeouts, ..callee(21, features) });
        caller.call_with(1, CallOptions { timeout: Some(100), ..CallOptions::default() });
        assert_eq!(caller.invoke().2.timeout, told);
        assert_eq!(caller.calls.next_timeout(), Some(caller.now + millis(waits)));
    }
}

/// §Caller Leaving During an RPC Invocation.
#[test]
fn a_caller_that_leaves_interrupts_all_it_has_called() {
    let mut caller = Caller::served_by(&[21]);
    caller.register_pattern(&pattern(MatchPolicy::Exact, "a.b.c"), callee(22, Features::NONE));
    caller.call(1);
    let call = Call {
        request: id(2),
        options: CallOptions::default(),
        procedure: Text::from("a.b.c"),
        payload: payload("x"),
    };
    caller.try_call(RequestPlace::Next, call).unwrap();
    let told = interrupts(caller.calls.leave());
    assert_eq!(told, [(1, KillNoWait, CANCELED.to_owned()), (2, Skip, CANCELED.to_owned())]);
    assert_eq!((caller.calls.len(), caller.calls.next_timeout()), (0, None));
    assert_eq!(caller.replies(), []);
}
