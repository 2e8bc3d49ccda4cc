//! CALL: which callee gets it, with what, and why it fails at once. RESULT and ERROR.

use protocols::wamp::message::ErrorDetails;
use protocols::wamp::rpc::Gone;

use super::*;

/// §Calling and Invocations.
#[test]
fn a_call_goes_to_the_callee_and_its_answer_to_the_caller() {
    let mut caller = Caller::served_by(&[21]);
    caller.call(1);
    let (call, to, invoke) = caller.invoke();
    assert_eq!((call.caller, call.request, to), (at(ME), id(1), 21));
    assert_eq!((invoke.payload, invoke.procedure, invoke.caller), (payload("1"), None, None));
    assert_eq!((invoke.progress, invoke.receive_progress, invoke.timeout), (false, false, None));
    assert_eq!(caller.calls.len(), 1);

    caller.answer(call, result("done", false));
    assert_eq!(caller.reply(), "done");
    assert!(caller.calls.is_empty());
    assert_eq!(caller.calls.next_timeout(), None);
}

#[test]
fn an_error_of_the_callee_is_passed_on_as_it_is() {
    let mut caller = Caller::served_by(&[21]);
    caller.call(1);
    let (call, ..) = caller.invoke();
    let (error, details) = (Text::from("com.app.broken"), ErrorDetails::default());
    caller.answer(call, Answer::Error { error, details, payload: payload("x") });
    let Reply::Error(error) = &caller.output.replies[0] else { panic!() };
    assert_eq!((error.payload.clone(), error.request), (payload("x"), id(1)));
    assert_eq!(caller.reply(), "callee: com.app.broken");
}

/// §Pattern-based Registrations: `INVOCATION.Details.procedure`.
#[test]
fn the_procedure_is_named_if_the_registration_is_a_pattern() {
    let mut caller = Caller::new();
    caller.register_pattern(&pattern(MatchPolicy::Prefix, "a."), callee(21, ALL));
    caller.call(1);
    assert_eq!(caller.invoke().2.procedure.as_deref(), Some("a.b"));
    caller.register_pattern(&pattern(MatchPolicy::Exact, "a.b"), callee(22, ALL));
    caller.call(2);
    let (_, to, invoke) = caller.invoke();
    assert_eq!((to, invoke.procedure), (22, None));
}

fn refusal(caller: &mut Caller, procedure: &str, options: CallOptions) -> (String, String) {
    let procedure = Text::from(procedure);
    let call = Call { request: id(1), options, procedure, payload: payload("x") };
    caller.try_call(RequestPlace::Next, call).unwrap();
    assert!(caller.asks().is_empty());
    let Some(Reply::Refused(refusal)) = caller.output.replies.pop() else { panic!() };
    (refusal.reason.uri().to_owned(), refusal.sentence)
}

/// §Predefined URIs.
#[test]
fn what_cannot_be_called_is_refused_with_a_reason() {
    let mut caller = Caller::served_by(&[21]);
    let none = CallOptions::default();
    for (procedure, error) in [
        ("a..b", "wamp.error.invalid_uri"),
        ("a.c", "wamp.error.no_such_procedure"),
        ("wamp.session.x", "wamp.error.no_such_procedure"),
    ] {
        assert_eq!(refusal(&mut caller, procedure, none.clone()).0, error);
    }
    caller.disclosure = None;
    let refused = refusal(&mut caller, "a.c", none);
    let sentence = r#""a.c" may not be called by this session"#;
    assert_eq!(refused, ("wamp.error.not_authorized".to_owned(), sentence.to_owned()));
    assert!(caller.calls.is_empty());
}

/// `concurrency`.
#[test]
fn a_call_fails_if_all_callees_are_busy() {
    let mut caller = Caller::new();
    caller.register(Callee { concurrency: std::num::NonZeroU32::new(2), ..callee(21, ALL) });
    let load = caller.registry.best_match("a.b").unwrap().load(callee(21, ALL).at).unwrap().clone();
    load.set(2);
    let refused = refusal(&mut caller, "a.b", CallOptions::default());
    assert_eq!(refused.0, "wamp.error.no_available_callee");
    load.set(1);
    caller.call(1);
    assert_eq!(caller.invoke().1, 21);
}

#[test]
fn so_many_calls_may_wait_for_their_answers() {
    let mut caller = Caller::with(Settings { most_calls: 2, ..Settings::default() });
    caller.register(callee(21, ALL));
    caller.call(1);
    caller.call(2);
    caller.asks();
    let (error, sentence) = refusal(&mut caller, "a.b", CallOptions::default());
    assert_eq!(error, "wamp.error.unavailable");
    assert!(sentence.starts_with("2 calls of this session wait"), "{sentence}");
}

/// §Caller Identification.
#[test]
fn callees_learn_who_calls_as_far_as_that_is_allowed() {
    use Disclosure::{Allow, Always, Deny};
    for (disclosure, caller_wants, callee_wants, is_told) in [
        (Allow, false, false, false),
        (Allow, true, false, true),
        (Allow, false, true, true),
        (Deny, false, true, false),
        (Always, false, false, true),
    ] {
        let mut caller = Caller::new();
        caller.register(Callee { wants_caller: callee_wants, ..callee(21, ALL) });
        caller.disclosure = Some(disclosure);
        let disclose_me = Some(caller_wants);
        caller.call_with(1, CallOptions { disclose_me, ..CallOptions::default() });
        let told = caller.invoke().2.caller.map(|identity| identity.authid.to_string());
        assert_eq!(told, is_told.then(|| "joe".to_owned()), "{disclosure:?}");
    }
    let mut caller = Caller::served_by(&[21]);
    caller.disclosure = Some(Deny);
    let options = CallOptions { disclose_me: Some(true), ..CallOptions::default() };
    let (error, _) = refusal(&mut caller, "a.b", options);
    assert_eq!(error, "wamp.error.option_disallowed.disclose_me");
}

/// §Progressive Call Results.
#[test]
fn parts_of_a_result_come_in_order_if_they_were_asked_for() {
    for asked in [true, false] {
        let mut caller = Caller::served_by(&[21]);
        let receive_progress = Some(asked);
        caller.call_with(1, CallOptions { receive_progress, ..CallOptions::default() });
        let (call, _, invoke) = caller.invoke();
        assert_eq!(invoke.receive_progress, asked);
        caller.answer(call, result("a", true));
        caller.answer(call, result("b", true));
        caller.answer(call, result("c", false));
        caller.answer(call, result("late", true));
        let replies: Vec<String> = caller.replies().into_iter().map(|(_, said)| said).collect();
        assert_eq!(replies, if asked { vec!["+a", "+b", "c"] } else { vec!["c"] });
    }
}

#[test]
fn a_part_of_a_result_is_passed_on_once_and_none_is_left_out() {
    let numbered = |number, progress| {
        let mut answer = result("x", progress);
        if let Answer::Result { part, .. } = &mut answer {
            *part = number;
        }
        answer
    };
    for (number, progress) in [(3, true), (3, false)] {
        let mut caller = Caller::served_by(&[21]);
        let receive_progress = Some(true);
        caller.call_with(1, CallOptions { receive_progress, ..CallOptions::default() });
        let (call, ..) = caller.invoke();
        for part in [0, 0, 1, 0] {
            caller.answer_as(call, numbered(part, true));
        }
        assert_eq!(caller.replies().len(), 2);
        caller.answer_as(call, numbered(number, progress));
        assert_eq!(caller.reply(), "wamp.error.network_failure");
        let reason = "wamp.error.network_failure".to_owned();
        assert_eq!(interrupts(caller.asks()), [(1, CancelMode::KillNoWait, reason)]);
        assert!(caller.calls.is_empty());
    }
}

/// §Progressive Call Results: a callee that cannot be canceled has the feature in vain.
#[test]
fn parts_of_a_result_are_not_asked_of_who_cannot_make_or_stop_them() {
    for features in [&[Feature::ProgressiveCallResults][..], &[Feature::CallCanceling]] {
        let mut caller = Caller::new();
        caller.register(callee(21, Features::of(features)));
        let receive_progress = Some(true);
        caller.call_with(1, CallOptions { receive_progress, ..CallOptions::default() });
        assert!(!caller.invoke().2.receive_progress);
    }
}

#[test]
fn answers_to_what_is_over_or_never_was_are_not_heard() {
    let mut caller = Caller::served_by(&[21]);
    caller.call(1);
    let (call, ..) = caller.invoke();
    for other in [
        CallId { attempt: call.attempt + 1, ..call },
        CallId { request: id(2), ..call },
        CallId { caller: at(12), ..call },
    ] {
        caller.answer(other, result("x", false));
        caller.undelivered(other);
    }
    assert_eq!((caller.replies().len(), caller.calls.len()), (0, 1));
    caller.answer(call, result("x", false));
    caller.answer(call, result("y", false));
    assert_eq!(caller.reply(), "x");
}

/// §Callee Leaving During an RPC Invocation.
#[test]
fn calls_of_a_callee_that_is_gone_are_canceled_at_once_and_once() {
    let canceled = |request| (request, "wamp.error.canceled".to_owned());
    let mut caller = Caller::served_by(&[21]);
    caller.register_pattern(&pattern(MatchPolicy::Exact, "a.c"), callee(31, ALL));
    (1..=3).for_each(|request| caller.call(request));
    let call = caller.asks().remove(0).call;
    caller.calls.on_gone(Gone::Session(at(22)), &mut caller.output);
    caller.calls.on_gone(Gone::Node(NodeId(3)), &mut caller.output);
    assert_eq!(caller.replies(), []);
    caller.calls.on_gone(Gone::Session(at(21)), &mut caller.output);
    caller.calls.on_gone(Gone::Node(NodeId(2)), &mut caller.output);
    caller.answer(call, result("late", false));
    assert_eq!(caller.replies(), [canceled(1), canceled(2), canceled(3)]);
    assert!(caller.asks().is_empty());
    caller.wait(1_000_000);
    assert_eq!(caller.replies(), []);
}

#[test]
fn a_refusal_is_an_error_with_its_sentence_as_the_argument() {
    let mut caller = Caller::new();
    caller.call(1);
    let message = caller.output.replies.remove(0).into_message(Serializer::Json);
    let bytes = message.encode(Serializer::Json, &Default::default()).unwrap();
    let expected =
        r#"[8,48,1,{},"wamp.error.no_such_procedure",["no procedure \"a.b\" is registered"]]"#;
    assert_eq!(bytes, expected);
}
