//! Seats: what one session asks for, and what the others hear of it.

mod meta;

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use protocols::broker::Token;
use protocols::text::Text;
use protocols::wamp::id::Id;
use protocols::wamp::message::{Features, InvokePolicy, MatchPolicy, Passthru, ResultDetails};
use protocols::wamp::payload::Payload;
use protocols::wamp::peers::{Notice, Realms as _, Request, Terms};
use protocols::wamp::realm::Principal;
use protocols::wamp::registry::{NodeId, RegisterError, SessionAt};
use protocols::wamp::rpc::{Answer, Ask, CallId, Invoke, ToCallee, ToCaller};
use protocols::wamp::serializer::Serializer;
use protocols::wamp::uri::Pattern;

use super::{Realms, Seat};
use crate::hub::outbox::Overflow;
use crate::hub::share::Pending;

const NODE: NodeId = NodeId(7);

/// Room for what waits for a session; what is as large fills it.
const CAPACITY: usize = 4_096;

fn realms() -> Realms {
    Realms::new(NODE, &[0; 32], [Text::from_static("realm1"), Text::from_static("other")])
}

fn at(session: u64) -> SessionAt {
    SessionAt { node: NODE, session: Id::new(session).unwrap() }
}

fn entrant(session: u64, authid: &'static str) -> (SessionAt, Arc<Principal>) {
    let principal = Principal {
        session: at(session).session,
        authid: Text::from_static(authid),
        authrole: Text::from_static("member"),
        authmethod: "ticket",
        authprovider: "static",
    };
    (at(session), Arc::new(principal))
}

fn enter_as(realms: &Realms, session: u64, authid: &'static str) -> Option<Seat> {
    let pending = Pending { bytes: CAPACITY, overflow: Overflow::Disconnect };
    Seat::enter(realms, "realm1", entrant(session, authid), pending)
}

fn enter(realms: &Realms, session: u64) -> Seat {
    enter_as(realms, session, "ann").unwrap()
}

fn register(seat: &mut Seat, token: u64, procedure: &str, invoke: InvokePolicy, force: bool) {
    seat.apply(Request::Register {
        token: Token(token),
        pattern: Pattern { policy: MatchPolicy::Exact, uri: Text::from(procedure) },
        invoke,
        callee: Terms {
            wants_caller: false,
            keeps_timeouts: false,
            concurrency: NonZeroU32::new(3),
            features: Features::NONE,
        },
        force,
    });
}

fn next(seat: &mut Seat) -> Option<Notice> {
    match seat.poll_next(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(notice) => Some(notice),
        Poll::Pending => None,
    }
}

/// Registers alone, and says what the registration is called.
fn registered(seat: &mut Seat, procedure: &str) -> Id {
    register(seat, 1, procedure, InvokePolicy::Single, false);
    match next(seat) {
        Some(Notice::Registered { token: Token(1), registration, .. }) => registration,
        other => panic!("{other:?}"),
    }
}

fn call(caller: u64, request: u64) -> CallId {
    CallId { caller: at(caller), request: Id::new(request).unwrap(), attempt: 1 }
}

fn payload(bytes: usize) -> Payload {
    Payload::of_text(Serializer::Cbor, &"x".repeat(bytes))
}

fn invoke(call: CallId, callee: u64, registration: Id, bytes: usize) -> Request {
    let invoke = Invoke {
        registration,
        procedure: None,
        payload: payload(bytes),
        passthru: Passthru::default(),
        progress: false,
        receive_progress: false,
        timeout: None,
        within: Duration::from_secs(1),
        until: tokio::time::Instant::now().into_std() + Duration::from_secs(1),
        caller: None,
    };
    Request::Ask(ToCallee { to: at(callee), call, ask: Ask::Invoke(Box::new(invoke)) })
}

fn result(call: CallId, bytes: usize, progress: bool) -> Request {
    let details = ResultDetails { progress: Some(progress), ..ResultDetails::default() };
    let answer = Answer::Result { part: 0, details, payload: payload(bytes) };
    Request::Answer(ToCaller { call, answer })
}

fn has(realms: &Realms, procedure: &str) -> bool {
    realms.registry("realm1").unwrap().best_match(procedure).is_some()
}

#[test]
fn a_call_goes_to_the_callee_and_its_answer_to_the_caller() {
    let realms = realms();
    let (mut callee, mut caller) = (enter(&realms, 1), enter(&realms, 2));
    let registration = registered(&mut callee, "a.b");
    assert!(has(&realms, "a.b") && !has(&realms, "a.c"));
    assert!(realms.registry("other").unwrap().best_match("a.b").is_none(), "another realm");
    assert!(realms.registry("nowhere").is_none());

    caller.apply(invoke(call(2, 5), 1, registration, 3));
    let Some(Notice::Ask(ToCallee { call: got, ask: Ask::Invoke(_), .. })) = next(&mut callee)
    else {
        panic!("a call");
    };
    assert_eq!(got, call(2, 5));
    callee.apply(result(got, 3, false));
    assert!(matches!(next(&mut caller), Some(Notice::Answer(answer)) if answer.call == got));
    assert!(next(&mut callee).is_none() && next(&mut caller).is_none());
}

#[test]
fn basic_a_procedure_has_one_callee_unless_it_is_shared() {
    let realms = realms();
    let (mut one, mut two) = (enter(&realms, 1), enter_as(&realms, 2, "bob").unwrap());
    registered(&mut one, "a.b");
    register(&mut two, 2, "a.b", InvokePolicy::Single, false);
    let Some(Notice::NotRegistered { token: Token(2), error }) = next(&mut two) else {
        panic!("it is taken");
    };
    assert!(matches!(error, RegisterError::AlreadyExists { .. }));
    for (token, seat) in [(3, &mut one), (4, &mut two)] {
        register(seat, token, "a.shared", InvokePolicy::RoundRobin, false);
        assert!(matches!(next(seat), Some(Notice::Registered { .. })));
    }
}

#[test]
fn what_is_unregistered_or_whose_session_ends_is_not_found_any_more() {
    let realms = realms();
    let (mut one, mut two) = (enter(&realms, 1), enter(&realms, 2));
    let registration = registered(&mut one, "a.b");
    registered(&mut one, "a.c");
    two.apply(Request::Unregister { token: Token(5), registration });
    assert_eq!(next(&mut two), Some(Notice::NotUnregistered { token: Token(5) }));
    one.apply(Request::Unregister { token: Token(6), registration });
    assert_eq!(next(&mut one), Some(Notice::Unregistered { token: Token(6) }));
    assert!(!has(&realms, "a.b") && has(&realms, "a.c"));
    drop(one);
    assert!(!has(&realms, "a.c"));
}

#[test]
fn advanced_the_same_user_takes_a_registration_over_and_nobody_else_does() {
    let realms = realms();
    let (mut old, mut new) = (enter(&realms, 1), enter(&realms, 2));
    let mut stranger = enter_as(&realms, 3, "bob").unwrap();
    let registration = registered(&mut old, "a.b");
    register(&mut stranger, 2, "a.b", InvokePolicy::Single, true);
    assert!(matches!(next(&mut stranger), Some(Notice::NotRegistered { .. })));
    register(&mut new, 2, "a.b", InvokePolicy::Single, true);
    assert!(matches!(next(&mut new), Some(Notice::Registered { .. })));
    match next(&mut old) {
        Some(Notice::Revoked { registration: lost, .. }) => assert_eq!(lost, registration),
        other => panic!("{other:?}"),
    }
    let registry = realms.registry("realm1").unwrap();
    let callees: Vec<_> = registry.best_match("a.b").unwrap().callees().map(|it| it.at).collect();
    assert_eq!(callees, [at(2)]);
}

#[test]
fn whoever_asks_somebody_who_is_gone_hears_of_it() {
    let realms = realms();
    let (mut callee, mut caller) = (enter(&realms, 1), enter(&realms, 2));
    let registration = registered(&mut callee, "a.b");
    // One that was looked at by nobody, and one that was taken out of the mailbox with it.
    for request in [1, 2] {
        caller.apply(invoke(call(2, request), 1, registration, 3));
    }
    assert!(matches!(next(&mut callee), Some(Notice::Ask(_))));
    caller.apply(invoke(call(2, 3), 1, registration, 3));
    drop(callee);
    for request in [2, 3] {
        assert_eq!(next(&mut caller), Some(Notice::AskUndelivered(call(2, request))));
    }
    caller.apply(invoke(call(2, 4), 1, registration, 3));
    assert_eq!(next(&mut caller), Some(Notice::AskUndelivered(call(2, 4))));
    assert!(next(&mut caller).is_none());

    let mut callee = enter(&realms, 3);
    drop(caller);
    callee.apply(result(call(2, 1), 3, false));
    assert_eq!(next(&mut callee), Some(Notice::AnswerUndelivered(call(2, 1))));
}

#[test]
fn what_waits_for_a_session_is_bounded_and_every_call_is_answered() {
    let realms = realms();
    let (mut callee, mut caller) = (enter(&realms, 1), enter(&realms, 2));
    let registration = registered(&mut callee, "a.b");
    // One more than there is room for is let in.
    caller.apply(invoke(call(2, 1), 1, registration, CAPACITY));
    caller.apply(invoke(call(2, 2), 1, registration, 1));
    assert_eq!(next(&mut caller), Some(Notice::AskUndelivered(call(2, 2))));

    callee.apply(result(call(2, 3), CAPACITY, true));
    callee.apply(result(call(2, 3), 1, true));
    callee.apply(result(call(2, 4), 1, false));
    assert!(matches!(next(&mut callee), Some(Notice::Ask(_))));
    assert_eq!(next(&mut callee), Some(Notice::AnswerUndelivered(call(2, 3))));
    assert!(matches!(next(&mut caller), Some(Notice::Answer(it)) if it.call == call(2, 3)));
    match next(&mut caller) {
        Some(Notice::Answer(ToCaller { call: got, answer: Answer::Canceled { why } })) => {
            assert_eq!((got, why.as_str()), (call(2, 4), super::dealer::TOO_SLOW));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_part_that_finds_no_room_ends_the_call_for_both() {
    let realms = realms();
    let (mut callee, mut caller) = (enter(&realms, 1), enter(&realms, 2));
    let registration = registered(&mut callee, "a.b");
    caller.apply(invoke(call(2, 1), 1, registration, CAPACITY));
    let ask = Ask::Continue { part: 1, payload: payload(1), progress: false };
    caller.apply(Request::Ask(ToCallee { to: at(1), call: call(2, 1), ask }));
    assert!(matches!(
        next(&mut caller),
        Some(Notice::Answer(ToCaller { answer: Answer::Canceled { .. }, .. }))
    ));
    let asks: Vec<_> = std::iter::from_fn(|| next(&mut callee)).collect();
    assert!(matches!(
        asks.as_slice(),
        [
            Notice::Ask(ToCallee { ask: Ask::Invoke(_), .. }),
            Notice::Ask(ToCallee { ask: Ask::Interrupt { .. }, .. })
        ]
    ));
}

#[test]
fn a_name_is_taken_once_and_is_free_again() {
    let realms = realms();
    let seat = enter(&realms, 1);
    assert!(enter_as(&realms, 1, "bob").is_none());
    drop(seat);
    assert!(enter_as(&realms, 1, "bob").is_some());
}

#[test]
fn a_receiver_is_woken_once_for_a_burst() {
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    let realms = realms();
    let (mut callee, mut caller) = (enter(&realms, 1), enter(&realms, 2));
    let registration = registered(&mut callee, "a.b");
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&count));
    assert!(callee.poll_next(&mut Context::from_waker(&waker)).is_pending());
    let requests: VecDeque<_> = (1..=3).map(|it| invoke(call(2, it), 1, registration, 1)).collect();
    requests.into_iter().for_each(|request| caller.apply(request));
    assert_eq!(count.0.load(Ordering::Relaxed), 1);
}
