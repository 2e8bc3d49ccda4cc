//! GOODBYE and ABORT, from either end, and what ends a session without either.

use protocols::broker::{BrokerError, BrokerErrorKind, Event};
use protocols::session::{CloseCause, CloseCode};
use protocols::wamp::message::HelloDetails;

use crate::client::{Client, client, each};

fn lose_broker(client: &mut Client) {
    let error = BrokerError::new(BrokerErrorKind::Unavailable, "the broker went away");
    client.pair.event(Event::Down { error });
}

#[test]
fn basic_goodbye_is_answered_and_the_connection_closed() {
    each(|client| {
        let mut client = client.joined();
        client.goodbye("wamp.close.close_realm");
        assert_eq!(client.farewell(), ("wamp.close.goodbye_and_out".into(), None));
        let close = client.closed();
        assert_eq!((close.code, &close.cause), (CloseCode::Normal, &CloseCause::Peer));
    });
}

#[test]
fn basic_abort_is_not_answered() {
    let states: [&dyn Fn(Client) -> Client; 4] = [
        &|client| client,
        &|mut client| {
            client.hello_as("closed", "ann", &["ticket"]);
            client.challenge();
            client
        },
        &|mut client| {
            client.hello("open", HelloDetails::default());
            client
        },
        &Client::joined,
    ];
    for state in states {
        each(|client| {
            let mut client = state(client);
            client.abort();
            assert_eq!(client.messages(), []);
            assert_eq!(client.closed().cause, CloseCause::Peer);
            client.grant();
        });
    }
}

#[test]
fn basic_a_shutdown_is_a_goodbye_and_the_close_follows_its_answer() {
    each(|client| {
        let mut client = client.joined();
        client.pair.start_drain();
        let (reason, sentence) = client.farewell();
        assert_eq!(reason, "wamp.close.system_shutdown");
        assert!(sentence.is_some());
        assert!(client.is_open());
        client.goodbye("wamp.close.goodbye_and_out");
        assert_eq!(client.messages(), []);
        let close = client.closed();
        assert_eq!((close.code, &close.cause), (CloseCode::GoingAway, &CloseCause::Drain));
    });
}

#[test]
fn basic_what_comes_between_both_goodbyes_is_ignored() {
    each(|client| {
        let mut client = client.joined();
        client.pair.start_drain();
        client.farewell();
        client.hello("open", HelloDetails::default());
        lose_broker(&mut client);
        client.pair.start_drain();
        assert!(client.messages().is_empty() && client.is_open());
        client.abort();
        assert_eq!(client.closed().cause, CloseCause::Drain);
    });
}

#[test]
fn server_a_goodbye_that_is_not_answered_is_enough_after_a_while() {
    let mut client = client().joined();
    client.pair.start_drain();
    client.farewell();
    client.advance(7_999);
    assert!(client.is_open());
    client.advance(1);
    assert_eq!(client.messages(), []);
    assert_eq!(client.closed().cause, CloseCause::Drain);
}

#[test]
fn server_a_fault_after_goodbye_is_the_end_and_not_told() {
    each(|client| {
        let mut client = client.joined();
        client.pair.start_drain();
        client.farewell();
        client.send_raw("{");
        assert_eq!(client.messages(), []);
        assert_eq!(client.closed().cause, CloseCause::Drain);
    });
}

#[test]
fn server_a_shutdown_before_welcome_is_an_abort() {
    let mut waiting = client();
    waiting.hello("open", HelloDetails::default());
    let mut challenged = client();
    challenged.hello_as("closed", "ann", &["ticket"]);
    challenged.challenge();
    for mut client in [client(), waiting, challenged] {
        client.pair.start_drain();
        let (_, close) = client.aborted("wamp.close.system_shutdown");
        assert_eq!((close.code, close.cause), (CloseCode::GoingAway, CloseCause::Drain));
    }
}

#[test]
fn server_a_lost_broker_is_a_goodbye_with_the_reason() {
    each(|client| {
        let mut client = client.joined();
        lose_broker(&mut client);
        let (reason, sentence) = client.farewell();
        assert_eq!(reason, "wamp.error.network_failure");
        assert_eq!(sentence, Some("the broker went away".into()));
        client.goodbye("wamp.close.goodbye_and_out");
        let close = client.closed();
        assert_eq!((close.code, &close.cause), (CloseCode::TryAgainLater, &CloseCause::Broker));
    });
}

#[test]
fn server_deadlines_hold_while_nothing_is_read() {
    let mut client = client().joined();
    client.pair.set_reading(false);
    client.pair.start_drain();
    client.farewell();
    client.advance(10_000);
    assert_eq!(client.closed().cause, CloseCause::Drain);
}
