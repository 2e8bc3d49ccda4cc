//! The callee's side: INVOCATION, INTERRUPT, YIELD, ERROR.

use std::num::NonZeroU32;

use protocols::wamp::message::{
    Error, ErrorDetails, Message, MessageType, Passthru, RequestType, Yield,
};
use protocols::wamp::registry::Load;
use protocols::wamp::rpc::{Gone, Invocations, Limit, invocations};

use super::*;
use CancelMode::{Kill, KillNoWait, Skip};

const REGISTRATION: u64 = 7;

/// A callee's session, with one registration.
struct Callee {
    now: Instant,
    invocations: Invocations,
    output: invocations::Output,
}

impl Callee {
    fn new(features: Features) -> Self {
        Self::with(features, Settings::default(), None)
    }

    fn with(features: Features, settings: Settings, concurrency: Option<u32>) -> Self {
        let mut invocations = Invocations::new(features, settings);
        let most = concurrency.and_then(NonZeroU32::new);
        let limit = most.map(|most| Limit { most, load: Load::default() });
        invocations.on_registered(id(REGISTRATION), limit);
        Self { now: now(), invocations, output: invocations::Output::default() }
    }

    fn ask(&mut self, call: CallId, ask: Ask) {
        let ask = ToCallee { to: at(21), call, ask };
        self.invocations.on_ask(self.now, ask, &mut self.output);
    }

    fn invoke(&mut self, number: u64) {
        self.ask(call(number), invoke());
    }

    fn interrupt(&mut self, number: u64, mode: CancelMode) {
        let reason = Text::from_static("wamp.error.canceled");
        self.ask(call(number), Ask::Interrupt { mode, reason });
    }

    fn answer(&mut self, request: u64, text: &str, progress: bool) -> Result<(), RpcViolation> {
        let options =
            YieldOptions { progress: progress.then_some(true), ..YieldOptions::default() };
        let answer = Yield { request: id(request), options, payload: payload(text) };
        self.invocations.on_yield(self.now, answer, &mut self.output)
    }

    fn error(&mut self, request: u64) -> Result<(), RpcViolation> {
        let (request_type, details) = (RequestType::INVOCATION, ErrorDetails::default());
        let (request, error) = (id(request), Text::from_static("com.app.broken"));
        let answer = Error { request_type, request, details, error, payload: payload("x") };
        self.invocations.on_error(self.now, answer, &mut self.output)
    }

    fn wait(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
        self.invocations.handle_timeout(self.now, &mut self.output);
    }

    /// What the callee got, by type and request.
    fn messages(&mut self) -> Vec<(MessageType, u64)> {
        let request = |message: &Message| match message {
            Message::Invocation(invocation) => invocation.request.get(),
            Message::Interrupt(interrupt) => interrupt.request.get(),
            other => panic!("{other:?}"),
        };
        let messages = std::mem::take(&mut self.output.messages);
        messages.iter().map(|message| (message.message_type(), request(message))).collect()
    }

    /// What callers were told, by call.
    fn answers(&mut self) -> Vec<(u64, &'static str)> {
        told(std::mem::take(&mut self.output.answers))
    }
}

fn told(answers: Vec<ToCaller>) -> Vec<(u64, &'static str)> {
    let told = answers.into_iter().map(|answer| {
        let what = match answer.answer {
            Answer::Accepted => "accepted",
            Answer::Unavailable { .. } => "unavailable",
            Answer::Result { details, .. } if details.progress == Some(true) => "progress",
            Answer::Result { .. } => "result",
            Answer::Error { .. } => "error",
            Answer::Canceled { .. } => "canceled",
        };
        (answer.call.attempt, what)
    });
    told.collect()
}

fn call(number: u64) -> CallId {
    CallId { caller: at(ME), request: id(number), attempt: number }
}

fn plain() -> Invoke {
    Invoke {
        registration: id(REGISTRATION),
        procedure: None,
        payload: payload("x"),
        passthru: Passthru::default(),
        progress: false,
        receive_progress: false,
        timeout: None,
        within: millis(1_000),
        until: now() + millis(1_000),
        caller: None,
    }
}

fn invoke() -> Ask {
    Ask::Invoke(Box::new(plain()))
}

const INVOCATION: MessageType = MessageType::Invocation;
const INTERRUPT: MessageType = MessageType::Interrupt;

/// §Calling and Invocations; §IDs (session scope).
#[test]
fn calls_become_invocations_in_order_each_with_the_next_id() {
    let mut callee = Callee::new(ALL);
    (8..11).for_each(|number| callee.invoke(number));
    assert_eq!(callee.messages(), [(INVOCATION, 1), (INVOCATION, 2), (INVOCATION, 3)]);
    assert_eq!(callee.answer(2, "x", false), Ok(()));
    assert_eq!(callee.error(1), Ok(()));
    assert_eq!(callee.answers(), [(9, "result"), (8, "error")]);
    assert_eq!(callee.invocations.len(), 1);
}

#[test]
fn details_say_what_the_caller_wants_said() {
    let mut callee = Callee::new(ALL);
    let caller = Identity { session: id(5), authid: "joe".into(), authrole: "user".into() };
    let ppt_scheme = Some(Text::from_static("x_app"));
    let asked = Invoke {
        procedure: Some(Text::from_static("a.b")),
        receive_progress: true,
        timeout: Some(40),
        caller: Some(caller),
        passthru: Passthru { ppt_scheme, ..Passthru::default() },
        ..plain()
    };
    callee.ask(call(1), Ask::Invoke(Box::new(asked)));
    let message = callee.output.messages.remove(0);
    let bytes = message.encode(Serializer::Json, &Default::default()).unwrap();
    let expected = "[68,1,7,{\"procedure\":\"a.b\",\"caller\":5,\"caller_authid\":\"joe\",\
                    \"caller_authrole\":\"user\",\"receive_progress\":true,\"timeout\":40,\
                    \"ppt_scheme\":\"x_app\"},[\"x\"]]";
    assert_eq!(bytes, expected);
}

#[test]
fn a_call_that_comes_twice_is_run_once() {
    let mut callee = Callee::new(ALL);
    callee.invoke(1);
    callee.invoke(1);
    callee.answer(1, "x", false).unwrap();
    callee.invoke(1);
    assert_eq!(callee.messages(), [(INVOCATION, 1)]);
    assert_eq!(callee.answers(), [(1, "result")]);
}

/// UNREGISTER: what runs goes on, what comes is not run.
#[test]
fn after_unregistering_calls_are_answered_but_not_taken() {
    let mut callee = Callee::new(ALL);
    callee.invoke(1);
    callee.invocations.on_unregistered(id(REGISTRATION));
    callee.invoke(2);
    assert_eq!(callee.answers(), [(2, "unavailable")]);
    assert_eq!(callee.answer(1, "x", false), Ok(()));
    assert_eq!(callee.answers(), [(1, "result")]);
    assert_eq!(callee.messages(), [(INVOCATION, 1)]);
}

#[test]
fn a_callee_takes_as_many_calls_as_it_said_and_as_it_may() {
    let settings = Settings { most_invocations: 3, ..Settings::default() };
    for (concurrency, most) in [(Some(2), 2), (None, 3)] {
        let mut callee = Callee::with(ALL, settings, concurrency);
        (1..=4).for_each(|number| callee.invoke(number));
        assert_eq!(callee.messages().len(), most);
        assert_eq!(callee.invocations.load(id(REGISTRATION)), most as u32);
        assert!(callee.answers().iter().all(|(_, what)| *what == "unavailable"));
        callee.answer(1, "x", false).unwrap();
        callee.answers();
        callee.invoke(5);
        assert_eq!(callee.messages(), [(INVOCATION, most as u64 + 1)]);
    }
}

/// §Progressive Call Results.
#[test]
fn parts_of_a_result_are_passed_on_if_the_caller_asked_for_them() {
    for (receive_progress, expected) in
        [(true, &[(1, "progress"), (1, "result")][..]), (false, &[(1, "result")])]
    {
        let mut callee = Callee::new(ALL);
        callee.ask(call(1), Ask::Invoke(Box::new(Invoke { receive_progress, ..plain() })));
        callee.answer(1, "a", true).unwrap();
        callee.answer(1, "b", false).unwrap();
        callee.answer(1, "c", true).unwrap();
        assert_eq!(callee.answers(), expected);
    }
}

/// §Progressive Call Invocations.
#[test]
fn parts_of_a_call_have_one_id_and_the_details_of_the_first() {
    let mut callee = Callee::new(ALL);
    let (procedure, progress) = (Some(Text::from_static("a.b")), true);
    let first = Invoke { procedure, progress, ..plain() };
    callee.ask(call(1), Ask::Invoke(Box::new(first)));
    assert_eq!(callee.answers(), [(1, "accepted")]);
    callee.ask(call(1), Ask::Continue { part: 1, payload: payload("b"), progress: true });
    callee.ask(call(1), Ask::Continue { part: 2, payload: payload("c"), progress: false });
    callee.ask(call(1), Ask::Continue { part: 3, payload: payload("d"), progress: false });
    callee.ask(call(2), Ask::Continue { part: 1, payload: payload("e"), progress: false });
    let parts = std::mem::take(&mut callee.output.messages).into_iter().map(|message| {
        let Message::Invocation(part) = message else { panic!() };
        assert_eq!((part.request, part.details.procedure.as_deref()), (id(1), Some("a.b")));
        (part.payload, part.details.progress)
    });
    let parts: Vec<_> = parts.collect();
    let expected = [(payload("x"), Some(true)), (payload("b"), Some(true)), (payload("c"), None)];
    assert_eq!(parts, expected);
    callee.answer(1, "x", false).unwrap();
    callee.ask(call(1), Ask::Continue { part: 4, payload: payload("late"), progress: true });
    assert_eq!(callee.messages(), []);
}

#[test]
fn a_part_of_a_call_is_taken_once_and_none_is_left_out() {
    let mut callee = Callee::new(ALL);
    callee.ask(call(1), Ask::Invoke(Box::new(Invoke { progress: true, ..plain() })));
    let part = |part| Ask::Continue { part, payload: payload("x"), progress: true };
    [1, 1, 2, 1].into_iter().for_each(|number| callee.ask(call(1), part(number)));
    assert_eq!(callee.messages(), [(INVOCATION, 1); 3]);
    assert_eq!(callee.answers(), [(1, "accepted")]);
    callee.ask(call(1), part(4));
    assert_eq!(callee.messages(), [(INTERRUPT, 1)]);
    assert_eq!(callee.answers(), [(1, "canceled")]);
    assert!(callee.invocations.is_empty());
}

#[test]
fn parts_of_a_result_are_numbered_to_the_last() {
    let mut callee = Callee::new(ALL);
    callee.ask(call(1), Ask::Invoke(Box::new(Invoke { receive_progress: true, ..plain() })));
    callee.answer(1, "a", true).unwrap();
    callee.answer(1, "b", true).unwrap();
    callee.answer(1, "c", false).unwrap();
    let numbers = callee.output.answers.iter().map(|answer| match answer.answer {
        Answer::Result { part, .. } => part,
        _ => panic!(),
    });
    assert_eq!(numbers.collect::<Vec<_>>(), [0, 1, 2]);
}

/// §Call Canceling: `kill`.
#[test]
fn a_killed_invocation_is_answered_as_the_callee_answers_it() {
    let mut callee = Callee::new(ALL);
    callee.invoke(1);
    callee.interrupt(1, Kill);
    callee.interrupt(1, Kill);
    assert_eq!(callee.messages(), [(INVOCATION, 1), (INTERRUPT, 1)]);
    callee.error(1).unwrap();
    assert_eq!(callee.answers(), [(1, "error")]);
    assert!(callee.invocations.is_empty());
}

/// §Ignoring Results after Cancel.
#[test]
fn what_nobody_waits_for_is_dropped_when_it_comes() {
    for (features, mode, is_told) in
        [(ALL, KillNoWait, true), (ALL, Skip, false), (Features::NONE, KillNoWait, false)]
    {
        let mut callee = Callee::new(features);
        callee.invoke(1);
        callee.interrupt(1, mode);
        callee.interrupt(1, mode);
        let told = [(INVOCATION, 1), (INTERRUPT, 1)];
        assert_eq!(callee.messages(), told[..if is_told { 2 } else { 1 }]);
        // Who was not told is still at work.
        assert_eq!(callee.invocations.load(id(REGISTRATION)), u32::from(!is_told));
        assert_eq!(callee.answer(1, "late", true), Ok(()));
        assert_eq!(callee.answer(1, "late", false), Ok(()));
        assert_eq!(callee.error(1), Ok(()));
        assert_eq!(callee.answers(), []);
        assert!(callee.invocations.is_empty());
    }
}

#[test]
fn an_interrupt_says_how_and_why() {
    let mut callee = Callee::new(ALL);
    callee.invoke(1);
    callee.interrupt(1, KillNoWait);
    let bytes = callee.output.messages[1].encode(Serializer::Json, &Default::default()).unwrap();
    let expected = r#"[69,1,{"mode":"killnowait","reason":"wamp.error.canceled"}]"#;
    assert_eq!(bytes, expected);
}

/// An interrupt can overtake the call that it is about.
#[test]
fn a_call_that_was_interrupted_before_it_came_is_not_run() {
    let mut callee = Callee::new(ALL);
    callee.interrupt(1, KillNoWait);
    callee.interrupt(2, Kill);
    callee.invoke(1);
    callee.invoke(2);
    callee.invoke(2);
    assert_eq!(callee.messages(), []);
    assert_eq!(callee.answers(), [(2, "canceled")]);
}

/// §Protocol Errors.
#[test]
fn only_an_answer_to_what_was_never_asked_breaks_the_protocol() {
    let mut callee = Callee::new(ALL);
    let never =
        |message, request| Err(RpcViolation::NeverInvoked { message, request: id(request) });
    assert_eq!(callee.answer(1, "x", false), never(MessageType::Yield, 1));
    callee.invoke(1);
    assert_eq!(callee.error(2), never(MessageType::Error, 2));
    assert_eq!(callee.error(1), Ok(()));
    assert_eq!(callee.error(1), Ok(()));
}

/// §Callee Leaving During an RPC Invocation.
#[test]
fn a_callee_that_leaves_cancels_what_somebody_waits_for() {
    let mut callee = Callee::new(ALL);
    (1..=4).for_each(|number| callee.invoke(number));
    callee.answer(1, "x", false).unwrap();
    callee.interrupt(2, Skip);
    callee.interrupt(3, Kill);
    assert_eq!(told(callee.invocations.leave()), [(3, "canceled"), (4, "canceled")]);
    assert!(callee.invocations.is_empty());
    assert_eq!(callee.invocations.load(id(REGISTRATION)), 0);
}

/// §Caller Leaving During an RPC Invocation.
#[test]
fn invocations_of_a_caller_that_is_gone_are_interrupted() {
    for (features, gone, told) in [
        (ALL, Gone::Session(at(ME)), 2),
        (ALL, Gone::Node(NodeId(1)), 2),
        (ALL, Gone::Session(at(12)), 0),
        (Features::NONE, Gone::Session(at(ME)), 0),
    ] {
        let mut callee = Callee::new(features);
        callee.invoke(1);
        callee.invoke(2);
        callee.messages();
        callee.invocations.on_gone(callee.now, gone, &mut callee.output);
        assert_eq!(callee.messages(), [(INTERRUPT, 1), (INTERRUPT, 2)][..told]);
        let is_meant = gone != Gone::Session(at(12));
        callee.answer(1, "x", false).unwrap();
        assert_eq!(callee.answers().len(), usize::from(!is_meant));
    }
}

#[test]
fn a_caller_that_cannot_be_reached_is_gone() {
    let mut callee = Callee::new(ALL);
    let receive_progress = true;
    callee.ask(call(1), Ask::Invoke(Box::new(Invoke { receive_progress, ..plain() })));
    callee.answer(1, "a", true).unwrap();
    callee.invocations.on_undelivered(callee.now, call(1), &mut callee.output);
    assert_eq!(callee.messages(), [(INVOCATION, 1), (INTERRUPT, 1)]);
    assert!(callee.invocations.is_empty());
}

/// Interrupts may be lost: nothing is kept for longer than its caller waits, and some more.
#[test]
fn an_invocation_that_nobody_hears_of_any_more_is_over_in_time() {
    for (features, told) in [(ALL, 1), (Features::NONE, 0)] {
        let settings = Settings { linger: millis(500), ..Settings::default() };
        let mut callee = Callee::with(features, settings, None);
        callee.invoke(1);
        callee.messages();
        callee.wait(1_499);
        assert_eq!(callee.invocations.len(), 1);
        callee.wait(1);
        assert_eq!(callee.messages(), [(INTERRUPT, 1)][..told]);
        assert_eq!((callee.invocations.len(), callee.invocations.remembered()), (0, 1));
        callee.wait(500);
        assert_eq!(callee.invocations.remembered(), 0);
        assert_eq!(callee.invocations.next_timeout(), None);
        assert_eq!(callee.answer(1, "late", false), Ok(()));
        assert_eq!(callee.answers(), []);
    }
}

#[test]
fn so_much_is_remembered() {
    let settings = Settings { most_remembered: 2, ..Settings::default() };
    let mut callee = Callee::with(ALL, settings, None);
    (1..=5).for_each(|number| callee.interrupt(number, KillNoWait));
    assert_eq!(callee.invocations.remembered(), 2);
}
