//! RECEIPT.

use protocols::broker::{BrokerError, BrokerErrorKind, Command, Event, Outcome, Token};
use protocols::policy::{Limits, Policy};
use protocols::session::{CloseCause, CloseCode};

use crate::client::{Client, Refusal, sentence};

fn send_asking(client: &mut Client, receipt: &str) -> Token {
    client.send("SEND", &[("destination", "/queue/a"), ("receipt", receipt)]);
    let (token, confirm) = client.publish();
    assert!(confirm);
    token
}

#[test]
fn v12_the_receipt_of_send_waits_for_the_brokers_confirm() {
    for version in ["1.0", "1.1", "1.2"] {
        let mut client = Client::connected(version);
        let token = send_asking(&mut client, "r");
        assert_eq!(client.frames(), []);
        client.confirm(token, Outcome::Accepted);
        assert_eq!(client.receipts(), ["r"]);
    }
}

#[test]
fn v12_receipts_come_in_the_order_of_the_frames() {
    let mut client = Client::connected("1.2");
    let first = send_asking(&mut client, "1");
    let second = send_asking(&mut client, "2");
    client.send("BEGIN", &[("transaction", "t"), ("receipt", "3")]);
    client.send("SUBSCRIBE", &[("id", "0"), ("destination", "/queue/a"), ("receipt", "4")]);
    client.agree();
    client.confirm(second, Outcome::Accepted);
    assert_eq!(client.frames(), [], "none overtakes the first");
    client.confirm(first, Outcome::Accepted);
    assert_eq!(client.receipts(), ["1", "2", "3", "4"]);
}

#[test]
fn v12_frames_without_receipt_hold_back_none() {
    let mut client = Client::connected("1.2");
    client.send("SEND", &[("destination", "/queue/a")]);
    client.send("SUBSCRIBE", &[("id", "0"), ("destination", "/queue/a")]);
    client.send("BEGIN", &[("transaction", "t"), ("receipt", "r")]);
    assert_eq!(client.receipts(), ["r"]);
}

#[test]
fn v12_every_frame_but_connect_may_ask_for_a_receipt() {
    let mut client = Client::connected("1.2");
    let subscription = client.subscribe("0", "client-individual");
    client.deliver(subscription, 1);
    client.deliver(subscription, 2);
    let frames: [(&str, &[(&str, &str)]); 6] = [
        ("BEGIN", &[("transaction", "t")]),
        ("COMMIT", &[("transaction", "t")]),
        ("BEGIN", &[("transaction", "t")]),
        ("ABORT", &[("transaction", "t")]),
        ("ACK", &[("id", "T_0@@session-1@@1")]),
        ("NACK", &[("id", "T_0@@session-1@@2")]),
    ];
    for (verb, headers) in frames {
        let mut headers = headers.to_vec();
        headers.push(("receipt", verb));
        client.send(verb, &headers);
        assert_eq!(client.receipts(), [verb]);
    }
    client.commands();
    client.send("UNSUBSCRIBE", &[("id", "0"), ("receipt", "UNSUBSCRIBE")]);
    let Command::Unsubscribe { token, .. } = client.command() else { panic!() };
    client.pair.event(Event::Unsubscribed { token });
    client.send("DISCONNECT", &[("receipt", "DISCONNECT")]);
    assert_eq!(client.receipts(), ["UNSUBSCRIBE", "DISCONNECT"]);
}

#[test]
fn v12_connect_has_no_receipt() {
    let mut client = Client::new();
    client.send("CONNECT", &[("accept-version", "1.2"), ("receipt", "r")]);
    assert_eq!(client.granted().header("receipt-id"), None);
}

#[test]
fn v12_a_receipt_id_is_escaped() {
    let mut client = Client::connected("1.2");
    client.send("BEGIN", &[("transaction", "t"), ("receipt", r"a\cb\nc")]);
    assert_eq!(client.receipts(), [r"a\cb\nc"]);
}

#[test]
fn v12_an_empty_receipt_is_a_receipt() {
    let mut client = Client::connected("1.2");
    client.send("BEGIN", &[("transaction", "t"), ("receipt", "")]);
    assert_eq!(client.receipts(), [""]);
}

#[test]
fn server_a_message_that_the_broker_does_not_take_is_an_error() {
    for (outcome, message) in
        [(Outcome::Rejected, "Message rejected"), (Outcome::Unroutable, "Message unroutable")]
    {
        let mut client = Client::connected("1.2");
        let earlier = send_asking(&mut client, "earlier");
        let token = send_asking(&mut client, "r");
        client.confirm(token, outcome);
        let Refusal { error, close } = client.refusal();
        assert_eq!(error.header("message"), Some(message));
        assert_eq!(error.header("receipt-id"), Some("r"));
        let code = if outcome == Outcome::Rejected { "rejected" } else { "unroutable" };
        assert_eq!(error.header("code"), Some(code));
        assert_eq!((close.code, close.cause), (CloseCode::Policy, CloseCause::Broker));
        client.confirm(earlier, Outcome::Accepted);
        assert_eq!(client.frames(), [], "nothing comes after the close");
    }
}

#[test]
fn v12_a_send_that_the_broker_refuses_is_an_error_with_its_receipt() {
    for (kind, message, code) in [
        (BrokerErrorKind::NotFound, "not_found", CloseCode::Policy),
        (BrokerErrorKind::AccessRefused, "access_refused", CloseCode::Policy),
        (BrokerErrorKind::ResourceLocked, "resource_locked", CloseCode::Policy),
        (BrokerErrorKind::PreconditionFailed, "precondition_failed", CloseCode::Policy),
        (BrokerErrorKind::ResourceError, "resource_error", CloseCode::Policy),
        (BrokerErrorKind::Unavailable, "Broker unavailable", CloseCode::TryAgainLater),
        (BrokerErrorKind::OutcomeUnknown, "Outcome unknown", CloseCode::TryAgainLater),
    ] {
        let mut client = Client::connected("1.2");
        let token = send_asking(&mut client, "r");
        client.pair.event(Event::Failed { token, error: BrokerError::new(kind, "the words") });
        let Refusal { error, close } = client.refusal();
        assert_eq!(error.header("message"), Some(message));
        assert_eq!(error.header("receipt-id"), Some("r"));
        assert_eq!(sentence(&error), "the words");
        assert_eq!((close.code, close.cause), (code, CloseCause::Broker));
    }
}

#[test]
fn v12_a_send_without_receipt_that_the_broker_refuses_is_an_error_as_well() {
    let mut client = Client::connected("1.2");
    client.send("SEND", &[("destination", "/exchange/x")]);
    let (token, _) = client.publish();
    let error = BrokerError::new(BrokerErrorKind::NotFound, "NOT_FOUND - no exchange 'x'");
    client.pair.event(Event::Failed { token, error });
    let Refusal { error, .. } = client.refusal();
    assert_eq!(error.header("receipt-id"), None);
}

#[test]
fn server_receipts_that_wait_are_bounded() {
    let limits = Limits { pending_receipts: 2, ..Limits::default() };
    let policy = Policy { limits, ..Policy::default() };
    for (verb, headers) in [
        ("SEND", &[("destination", "/queue/a"), ("receipt", "3")][..]),
        ("SUBSCRIBE", &[("id", "0"), ("destination", "/queue/a"), ("receipt", "3")]),
        ("BEGIN", &[("transaction", "t"), ("receipt", "3")]),
        ("DISCONNECT", &[("receipt", "3")]),
    ] {
        let mut client = Client::connected_with("1.2", policy.clone());
        let first = send_asking(&mut client, "1");
        let second = send_asking(&mut client, "2");
        client.confirm(second, Outcome::Accepted);
        client.send(verb, headers);
        assert_eq!(client.commands(), []);
        client.confirm(first, Outcome::Accepted);
        let frames = client.frames();
        let verbs: Vec<_> = frames.iter().map(|frame| frame.verb.as_str()).collect();
        assert_eq!(verbs, ["RECEIPT", "RECEIPT", "ERROR"]);
        assert_eq!(frames[2].header("message"), Some("Receipt limit exceeded"));
        assert_eq!(frames[2].header("receipt-id"), Some("3"));
        assert!(sentence(&frames[2]).contains('2'));
    }
}

#[test]
fn server_answers_to_nothing_are_ignored() {
    let mut client = Client::connected("1.2");
    let token = send_asking(&mut client, "r");
    client.confirm(Token(token.0 + 100), Outcome::Accepted);
    client.pair.event(Event::Subscribed { token: Token(token.0 + 100) });
    client.pair.event(Event::Unsubscribed { token: Token(0) });
    assert!(client.frames().is_empty() && client.is_open());
    client.confirm(token, Outcome::Accepted);
    client.confirm(token, Outcome::Accepted);
    assert_eq!(client.receipts(), ["r"], "once");
}
