//! DISCONNECT, and the server's own goodbye.

use bytes::Bytes;
use protocols::broker::{BrokerError, BrokerErrorKind, Event, Message, Outcome};
use protocols::session::{Close, CloseCause, CloseCode, FrameKind};

use crate::client::{Client, Refusal, sentence};

fn closed_normally(client: &Client) -> bool {
    let close = Close { code: CloseCode::Normal, reason: "".into(), cause: CloseCause::Peer };
    client.pair.close == Some(close)
}

#[test]
fn v12_disconnect_is_answered_before_the_close() {
    for version in ["1.0", "1.1", "1.2"] {
        let mut client = Client::connected(version);
        client.send("DISCONNECT", &[("receipt", "bye")]);
        assert_eq!(client.receipts(), ["bye"]);
        assert!(closed_normally(&client));
    }
}

#[test]
fn v10_disconnect_without_receipt_is_just_a_close() {
    let mut client = Client::connected("1.0");
    client.send("DISCONNECT", &[]);
    assert_eq!(client.frames(), []);
    assert!(closed_normally(&client));
}

#[test]
fn v12_the_receipt_of_disconnect_comes_after_every_other() {
    let mut client = Client::connected("1.2");
    client.send("SEND", &[("destination", "/queue/a"), ("receipt", "1")]);
    let (token, _) = client.publish();
    client.send("DISCONNECT", &[("receipt", "bye")]);
    assert!(client.frames().is_empty() && client.is_open());
    client.confirm(token, Outcome::Accepted);
    assert_eq!(client.receipts(), ["1", "bye"]);
    assert!(closed_normally(&client));
}

#[test]
fn v12_receipts_asked_for_before_disconnect_come_before_the_close() {
    let mut client = Client::connected("1.2");
    client.send("SEND", &[("destination", "/queue/a"), ("receipt", "1")]);
    let (token, _) = client.publish();
    client.send("DISCONNECT", &[]);
    assert!(client.is_open());
    client.confirm(token, Outcome::Accepted);
    assert_eq!(client.receipts(), ["1"]);
    assert!(closed_normally(&client));
}

#[test]
fn server_a_disconnect_waits_for_receipts_no_longer_than_the_leave_timeout() {
    let mut client = Client::connected("1.2");
    client.send("SEND", &[("destination", "/queue/a"), ("receipt", "1")]);
    client.publish();
    client.send("DISCONNECT", &[("receipt", "bye")]);
    client.advance(7_999);
    assert!(client.is_open());
    client.advance(1);
    assert_eq!(client.frames(), []);
    assert!(closed_normally(&client));
}

#[test]
fn v12_nothing_is_read_after_disconnect() {
    let mut client = Client::connected("1.2");
    client.send("SEND", &[("destination", "/queue/a"), ("receipt", "1")]);
    let (token, _) = client.publish();
    client.send_raw(b"DISCONNECT\n\n\0SEND\ndestination:/queue/a\n\n\0");
    client.send("SEND", &[("destination", "/queue/a")]);
    client.send_raw(b"nonsense\n");
    assert!(client.commands().is_empty() && client.frames().is_empty());
    client.confirm(token, Outcome::Accepted);
    assert_eq!(client.receipts(), ["1"]);
    assert!(closed_normally(&client));
}

#[test]
fn server_input_after_disconnect_is_not_kept() {
    let mut client = Client::connected("1.2");
    client.send("SEND", &[("destination", "/queue/a"), ("receipt", "1")]);
    client.publish();
    let same_unit = Bytes::from(b"DISCONNECT\n\n\0SEND\ndest".to_vec());
    client.pair.input(FrameKind::Text, same_unit.clone());
    assert!(same_unit.is_unique() && client.is_open());
    let next_unit = Bytes::from(b"ination:/queue/a\n".to_vec());
    client.pair.input(FrameKind::Text, next_unit.clone());
    assert!(next_unit.is_unique());
}

#[test]
fn server_nothing_is_delivered_after_disconnect() {
    let mut client = Client::connected("1.2");
    let subscription = client.subscribe("0", "client");
    client.send("SEND", &[("destination", "/queue/a"), ("receipt", "1")]);
    let (token, _) = client.publish();
    client.send("DISCONNECT", &[]);
    client.event_delivery(subscription, 1, Message::default());
    assert!(client.commands().is_empty() && client.frames().is_empty());
    client.confirm(token, Outcome::Accepted);
    assert!(closed_normally(&client));
}

#[test]
fn server_a_refusal_that_comes_after_disconnect_is_still_told() {
    let mut client = Client::connected("1.2");
    client.send("SEND", &[("destination", "/queue/a"), ("receipt", "1")]);
    let (token, _) = client.publish();
    client.send("DISCONNECT", &[("receipt", "bye")]);
    client.confirm(token, Outcome::Rejected);
    let Refusal { error, .. } = client.refusal();
    assert_eq!(error.header("receipt-id"), Some("1"));
}

#[test]
fn server_drain_is_an_error_and_going_away() {
    let mut client = Client::connected("1.2");
    client.pair.start_drain();
    let Refusal { error, close } = client.refusal();
    assert_eq!(error.header("message"), Some("Server shutting down"));
    assert!(sentence(&error).contains("connect again"));
    assert_eq!((close.code, close.cause), (CloseCode::GoingAway, CloseCause::Drain));
}

#[test]
fn server_drain_lets_receipts_out_first_and_takes_no_new_work() {
    let mut client = Client::connected("1.2");
    client.send("SEND", &[("destination", "/queue/a"), ("receipt", "1")]);
    let (token, _) = client.publish();
    client.pair.start_drain();
    assert!(client.frames().is_empty() && client.is_open());
    client.send("SEND", &[("destination", "/queue/a")]);
    assert_eq!(client.commands(), []);
    client.confirm(token, Outcome::Accepted);
    let verbs: Vec<_> = client.frames().into_iter().map(|frame| frame.verb).collect();
    assert_eq!(verbs, ["RECEIPT", "ERROR"]);
    assert_eq!(client.pair.close.unwrap().code, CloseCode::GoingAway);
}

#[test]
fn server_drain_before_the_login_is_just_going_away() {
    for connecting in [false, true] {
        let mut client = Client::new();
        if connecting {
            client.send("CONNECT", &[("accept-version", "1.2")]);
        }
        client.pair.start_drain();
        assert_eq!(client.frames(), []);
        let close = client.pair.close.clone().unwrap();
        assert_eq!((close.code, close.cause), (CloseCode::GoingAway, CloseCause::Drain));
        client.grant();
        assert_eq!(client.frames(), []);
    }
}

#[test]
fn server_drain_does_not_turn_a_goodbye_into_an_error() {
    let mut client = Client::connected("1.2");
    client.send("SEND", &[("destination", "/queue/a"), ("receipt", "1")]);
    let (token, _) = client.publish();
    client.send("DISCONNECT", &[("receipt", "bye")]);
    client.pair.start_drain();
    client.confirm(token, Outcome::Accepted);
    assert_eq!(client.receipts(), ["1", "bye"]);
    assert!(closed_normally(&client));
}

#[test]
fn server_a_broker_that_goes_away_is_an_error_and_try_again_later() {
    for leaving in [false, true] {
        let mut client = Client::connected("1.2");
        if leaving {
            client.send("SEND", &[("destination", "/queue/a"), ("receipt", "1")]);
            client.send("DISCONNECT", &[]);
        }
        let error = BrokerError::new(BrokerErrorKind::Unavailable, "connection reset");
        client.pair.event(Event::Down { error });
        let Refusal { error, close } = client.refusal();
        assert_eq!(error.header("message"), Some("Broker unavailable"));
        assert_eq!(sentence(&error), "connection reset");
        assert_eq!((close.code, close.cause), (CloseCode::TryAgainLater, CloseCause::Broker));
    }
}
