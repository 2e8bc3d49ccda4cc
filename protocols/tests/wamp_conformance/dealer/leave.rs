//! §Caller Leaving During an RPC Invocation, §Callee Leaving During an RPC Invocation: however the
//! session ends.

use protocols::broker::{BrokerError, BrokerErrorKind, Event};
use protocols::wamp::message::{CallOptions, CancelMode, Choice};
use protocols::wamp::peers::Request;
use protocols::wamp::registry::NodeId;
use protocols::wamp::rpc::Gone;
use protocols::wamp::serializer::Serializer;

use super::*;

/// A way for a session to end.
type Ending = (&'static str, fn(&mut World, usize));

const ENDINGS: [Ending; 6] = [
    ("GOODBYE", |world, who| world.client(who).goodbye("wamp.close.close_realm")),
    ("ABORT", |world, who| world.client(who).abort()),
    ("a violation", |world, who| world.client(who).send_raw("{")),
    ("a shutdown", |world, who| world.client(who).pair.start_drain()),
    ("the broker is lost", |world, who| {
        let error = BrokerError::new(BrokerErrorKind::Unavailable, "gone");
        world.client(who).pair.event(Event::Down { error });
    }),
    ("the connection is lost", |world, who| {
        let pair = &mut world.client(who).pair;
        pair.step(|session, now, actions| session.handle_gone(now, actions));
    }),
];

#[test]
fn advanced_callers_that_leave_have_their_invocations_interrupted() {
    for (how, end) in ENDINGS {
        World::each(|mut world| {
            world.call(CALLER, "a.b", CallOptions::default());
            let invocation = world.invocation(CALLEE);
            end(&mut world, CALLER);
            world.settle();
            let interrupt = world.interrupt(CALLEE);
            assert_eq!(interrupt.request, invocation.request, "{how}");
            assert_eq!(interrupt.options.mode, Some(Choice::Known(CancelMode::KillNoWait)));
            world.answer(CALLEE, invocation.request, "late", false);
            assert_eq!(world.client(CALLEE).messages(), []);
            assert!(world.client(CALLEE).is_open(), "{how}");
        });
    }
}

#[test]
fn advanced_callees_that_leave_cancel_each_call_that_they_run() {
    for (how, end) in ENDINGS {
        World::each(|mut world| {
            let first = world.call(CALLER, "a.b", CallOptions::default());
            let second = world.call(CALLER, "a.b", CallOptions::default());
            world.client(CALLEE).messages();
            end(&mut world, CALLEE);
            world.settle();
            let messages = world.client(CALLER).messages();
            let errors = messages.into_iter().map(|message| match message {
                Message::Error(error) => (error.request, error.error.to_string()),
                other => panic!("{how}: {other:?}"),
            });
            let canceled = "wamp.error.canceled".to_owned();
            let expected = [(first, canceled.clone()), (second, canceled)];
            assert_eq!(errors.collect::<Vec<_>>(), expected, "{how}");
            // It is no callee of anything any more.
            world.call(CALLER, "a.b", CallOptions::default());
            assert_eq!(world.error(CALLER).1, "wamp.error.no_such_procedure", "{how}");
        });
    }
}

/// The end of the connection comes after every other one.
#[test]
fn server_a_session_leaves_its_realm_once_and_last_of_all() {
    for (how, end) in ENDINGS {
        let mut world = World::pair();
        world.call(CALLER, "a.b", CallOptions::default());
        world.call(CALLEE, "a.b", CallOptions::default());
        world.client(CALLEE).messages();
        end(&mut world, CALLEE);
        let asked: Vec<Request> = world.client(CALLEE).pair.peers.drain(..).collect();
        let ends = asked.iter().filter(|request| matches!(request, Request::Leave)).count();
        assert!(ends == 1 && asked.last() == Some(&Request::Leave), "{how}: {asked:?}");
        assert_eq!(asked.len(), 4, "its own call, and both that it runs: {asked:?}");
        if how != "the connection is lost" {
            world.client(CALLEE).messages();
            let pair = &mut world.client(CALLEE).pair;
            pair.step(|session, now, actions| session.handle_gone(now, actions));
            assert!(pair.peers.is_empty(), "{how}");
        }
    }
}

#[test]
fn server_a_session_that_was_not_let_in_leaves_nothing() {
    let mut client = crate::client::client();
    client.hello("open", HelloDetails::default());
    client.pair.step(|session, now, actions| session.handle_gone(now, actions));
    assert!(client.pair.peers.is_empty() && client.pair.shared.is_empty());
    assert_eq!(client.pair.next_timeout(), None);
}

#[test]
fn server_after_goodbye_nothing_of_what_others_say_is_heard() {
    let mut world = World::pair();
    world.call(CALLER, "a.b", CallOptions::default());
    let invocation = world.invocation(CALLEE);
    let at = world.at(CALLER);
    world.client(CALLER).pair.start_drain();
    world.client(CALLER).farewell();
    world.answer(CALLEE, invocation.request, "late", false);
    let gone = Gone::Session(at);
    world.notice(CALLER, Notice::Gone(gone));
    assert_eq!(world.client(CALLER).messages(), []);
    assert!(world.client(CALLER).is_open());
}

#[test]
fn server_a_node_that_is_gone_runs_and_awaits_nothing() {
    for serializer in Serializer::ALL {
        let mut world = World::new();
        world.join_as(serializer, ALL, 0);
        world.join_as(serializer, ALL, 1);
        world.register(CALLEE, "a.b", Default::default());
        let call = world.call(CALLER, "a.b", CallOptions::default());
        world.invocation(CALLEE);
        world.notice(CALLER, Notice::Gone(Gone::Node(NodeId(1))));
        assert_eq!(world.error(CALLER), (call, "wamp.error.canceled".into()));
        world.notice(CALLEE, Notice::Gone(Gone::Node(NodeId(1))));
        world.interrupt(CALLEE);
    }
}

#[test]
fn server_an_answer_that_reaches_nobody_stops_the_callee() {
    let mut world = World::pair();
    let receive_progress = Some(true);
    world.call(CALLER, "a.b", CallOptions { receive_progress, ..CallOptions::default() });
    let invocation = world.invocation(CALLEE);
    world.unreachable.push(CALLER);
    world.answer(CALLEE, invocation.request, "one", true);
    assert_eq!(world.interrupt(CALLEE).request, invocation.request);
}
