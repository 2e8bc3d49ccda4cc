//! §Call Rerouting, and calls that do not reach their callee.

use protocols::wamp::message::ErrorDetails;

use super::*;

fn unavailable() -> Answer {
    let (error, details) = (Text::from("wamp.error.unavailable"), ErrorDetails::default());
    Answer::Error { error, details, payload: payload("busy") }
}

fn not_run() -> Answer {
    Answer::Unavailable { why: "it is not registered".to_owned() }
}

#[test]
fn who_is_unavailable_is_not_asked_again() {
    for answer in [unavailable(), not_run()] {
        let mut caller = Caller::served_by(&[21, 22, 23]);
        caller.call(1);
        for session in [21, 22, 23] {
            let (call, to, invoke) = caller.invoke();
            assert_eq!((to, invoke.payload), (session, payload("1")));
            caller.answer(call, answer.clone());
        }
        assert_eq!(caller.reply(), "wamp.error.no_available_callee");
        assert!(caller.asks().is_empty() && caller.calls.is_empty());
    }
}

#[test]
fn a_callee_that_was_given_up_cannot_answer_for_the_next() {
    let mut caller = Caller::served_by(&[21, 22]);
    caller.call(1);
    let (first, ..) = caller.invoke();
    caller.undelivered(first);
    let (second, ..) = caller.invoke();
    caller.answer(first, result("wrong", false));
    caller.undelivered(first);
    caller.answer(second, result("right", false));
    assert_eq!(caller.reply(), "right");
}

#[test]
fn without_the_feature_an_error_is_no_more_than_an_error() {
    let mut caller = Caller::new();
    caller.register(callee(21, Features::NONE));
    caller.register(callee(22, Features::NONE));
    caller.call(1);
    let (call, ..) = caller.invoke();
    caller.answer(call, unavailable());
    assert_eq!(caller.reply(), "callee: wamp.error.unavailable");
    assert_eq!(caller.asks(), []);
}

/// What has begun to answer has run.
#[test]
fn a_call_of_which_something_came_is_not_rerouted() {
    for (answer, reply) in
        [(unavailable(), "callee: wamp.error.unavailable"), (not_run(), "wamp.error.canceled")]
    {
        for receive_progress in [Some(true), None] {
            let mut caller = Caller::served_by(&[21, 22]);
            caller.call_with(1, CallOptions { receive_progress, ..CallOptions::default() });
            let (call, ..) = caller.invoke();
            caller.answer(call, result("a", true));
            caller.replies();
            caller.answer(call, answer.clone());
            assert_eq!(caller.reply(), reply);
            assert_eq!(caller.asks(), []);
        }
    }
}

#[test]
fn so_many_callees_are_asked() {
    let mut caller = Caller::with(Settings { most_attempts: 2, ..Settings::default() });
    [21, 22, 23].into_iter().for_each(|session| caller.register(callee(session, ALL)));
    caller.call(1);
    for _ in 0..2 {
        let (call, ..) = caller.invoke();
        caller.answer(call, not_run());
    }
    assert_eq!(caller.reply(), "wamp.error.no_available_callee");
}

#[test]
fn a_registration_that_is_gone_has_no_other_callee() {
    let mut caller = Caller::served_by(&[21]);
    caller.call(1);
    let (call, ..) = caller.invoke();
    caller.registry.leave(at(21));
    caller.undelivered(call);
    assert_eq!(caller.reply(), "wamp.error.no_available_callee");
}

/// The second callee has no more time than the first one has left.
#[test]
fn a_rerouted_call_has_the_timeout_that_it_had() {
    let mut caller = Caller::new();
    for session in [21, 22] {
        caller.register(Callee { keeps_timeouts: session == 22, ..callee(session, ALL) });
    }
    caller.call_with(1, CallOptions { timeout: Some(100), ..CallOptions::default() });
    let began = caller.now;
    let (call, ..) = caller.invoke();
    caller.wait(60);
    caller.answer(call, not_run());
    assert_eq!(caller.invoke().2.timeout, Some(40));
    assert_eq!(caller.calls.next_timeout(), Some(began + millis(150)));
}

#[test]
fn a_call_that_is_too_large_to_be_held_goes_to_one_callee() {
    let mut caller = Caller::with(Settings { most_held: 12, ..Settings::default() });
    [21, 22].into_iter().for_each(|session| caller.register(callee(session, ALL)));
    caller.call(1);
    caller.call(2);
    let (first, second) = (caller.output.asks[0].call, caller.output.asks[1].call);
    caller.asks();
    caller.undelivered(second);
    assert_eq!(caller.reply(), "wamp.error.canceled");
    caller.undelivered(first);
    assert_eq!(caller.invoke().1, 22);
    // There is room again.
    caller.answer(CallId { attempt: 3, ..first }, result("x", false));
    caller.call(3);
    let (third, ..) = caller.invoke();
    caller.undelivered(third);
    assert_eq!(caller.invoke().1, 22);
}
