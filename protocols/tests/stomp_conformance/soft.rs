//! Soft errors: what a client that asks for them is told, and that it goes on.

use protocols::broker::{
    BrokerError, BrokerErrorKind, Command, Event, Outcome, SubscriptionId, Token,
};
use protocols::policy::Policy;
use protocols::session::Shared;

use crate::client::{Client, WireFrame, sentence};

/// A frame that is refused, and the code it is refused with.
type Case<'a> = (&'a str, &'a [(&'a str, &'a str)], &'a str);

fn soft() -> Client {
    let mut client = Client::new();
    client.send("CONNECT", &[("accept-version", "1.2"), ("soft-errors", "true")]);
    assert_eq!(client.granted().header("soft-errors"), Some("true"));
    client
}

/// The one frame that came is a notice of this kind.
fn notice(client: &mut Client, code: &str) -> WireFrame {
    let notice = client.frame();
    assert_eq!(notice.verb, "MESSAGE", "{notice:?}");
    assert_eq!(notice.header("destination"), Some("/gateway/errors"));
    assert_eq!(notice.header("code"), Some(code));
    assert!(notice.header("message-id").unwrap().starts_with("errors@@"));
    assert!(client.is_open());
    notice
}

fn send_asking(client: &mut Client, receipt: &str) -> Token {
    client.send("SEND", &[("destination", "/queue/a"), ("receipt", receipt)]);
    let (token, confirm) = client.publish();
    assert!(confirm);
    token
}

fn refusal(kind: BrokerErrorKind) -> BrokerError {
    BrokerError::new(kind, "the broker's words")
}

#[test]
fn server_tells_a_client_that_did_not_ask_for_them_by_error_and_close() {
    let mut client = Client::connected("1.2");
    client.send("SEND", &[("destination", "/nowhere/a"), ("receipt", "r")]);
    let error = client.policy_violation("Unknown destination");
    assert_eq!(error.header("code"), Some("unknown_destination"));
    assert_eq!(error.header("receipt-id"), Some("r"));
}

#[test]
fn server_tells_of_a_frame_that_is_refused_and_the_session_goes_on() {
    let mut client = soft();
    client.subscribe("0", "client");
    let cases: [Case<'_>; 9] = [
        ("SEND", &[("destination", "/nowhere/a")], "unknown_destination"),
        ("SEND", &[("destination", "/queue/a/b")], "invalid_destination"),
        ("SEND", &[], "missing_header"),
        ("SEND", &[("destination", "/queue/a"), ("priority", "high")], "bad_header"),
        ("SUBSCRIBE", &[("id", "0"), ("destination", "/queue/b")], "subscription_in_use"),
        ("UNSUBSCRIBE", &[("id", "9")], "unknown_subscription"),
        ("ACK", &[("id", "T_0@@session-1@@7")], "unknown_ack"),
        ("COMMIT", &[("transaction", "t")], "unknown_transaction"),
        ("SEND", &[("destination", "/user/bob/queue/a")], "access_refused"),
    ];
    for (verb, headers, code) in cases {
        client.send(verb, &[headers, &[("receipt", "r")]].concat());
        let notice = notice(&mut client, code);
        assert_eq!(notice.header("receipt-id"), Some("r"), "{code}");
        assert!(!sentence(&notice).is_empty());
        assert!(client.commands().is_empty(), "{code}");
    }
    let token = send_asking(&mut client, "after all that");
    client.confirm(token, Outcome::Accepted);
    assert_eq!(client.receipts(), ["after all that"]);
}

#[test]
fn server_still_ends_a_session_whose_framing_is_wrong() {
    let mut client = soft();
    client.send_raw(b"NONSENSE\n\n\0");
    assert_eq!(client.frame().verb, "ERROR");
    assert!(!client.is_open());
}

#[test]
fn server_tells_what_became_of_each_publish() {
    let mut client = soft();
    let tokens = ["a", "b", "c", "d", "e"].map(|receipt| send_asking(&mut client, receipt));
    client.confirm(tokens[1], Outcome::Rejected);
    assert_eq!(notice(&mut client, "rejected").header("receipt-id"), Some("b"));
    client.confirm(tokens[2], Outcome::Unroutable);
    assert_eq!(notice(&mut client, "unroutable").header("receipt-id"), Some("c"));
    let error = refusal(BrokerErrorKind::OutcomeUnknown);
    client.pair.event(Event::Failed { token: tokens[3], error });
    let unknown = notice(&mut client, "outcome_unknown");
    assert_eq!(unknown.header("receipt-id"), Some("d"));
    assert_eq!(sentence(&unknown), "the broker's words");
    // Those that have failed hold back nobody.
    client.confirm(tokens[4], Outcome::Accepted);
    client.confirm(tokens[0], Outcome::Accepted);
    assert_eq!(client.receipts(), ["a", "e"]);
}

#[test]
fn server_tells_of_a_publish_that_failed_without_a_receipt() {
    let mut client = soft();
    client.send("SEND", &[("destination", "/exchange/none")]);
    let (token, confirm) = client.publish();
    assert!(!confirm);
    let error = refusal(BrokerErrorKind::NotFound);
    client.pair.event(Event::Failed { token, error });
    assert_eq!(notice(&mut client, "not_found").header("receipt-id"), None);
}

#[test]
fn server_tells_of_a_subscription_that_is_refused_and_its_id_is_free() {
    for destination in ["/amq/queue/none", "/topic/news"] {
        let mut client = soft();
        let headers = [("id", "0"), ("destination", destination), ("receipt", "r")];
        client.send("SUBSCRIBE", &headers);
        let token = match client.commands().pop() {
            Some(Command::Subscribe { token, .. }) => token,
            None => match client.pair.shared.pop_front() {
                Some(Shared::Join { token, .. }) => token,
                other => panic!("{other:?}"),
            },
            other => panic!("{other:?}"),
        };
        let error = refusal(BrokerErrorKind::AccessRefused);
        client.pair.event(Event::Failed { token, error });
        let told = notice(&mut client, "access_refused");
        assert_eq!(told.header("receipt-id"), Some("r"));
        assert_eq!(told.header("subscription"), Some("0"));
        assert_eq!(told.header("failed-subscription"), Some("0"));
        client.subscribe("0", "auto");
    }
}

#[test]
fn server_tells_of_a_subscription_that_has_ended() {
    let mut client = soft();
    let subscription = client.subscribe("0", "client");
    let message = client.deliver(subscription, 1);
    let error = refusal(BrokerErrorKind::Unavailable);
    client.pair.event(Event::Canceled { subscription, error });
    let told = notice(&mut client, "broker_unavailable");
    assert_eq!(told.header("failed-subscription"), Some("0"));
    assert_eq!(told.header("message"), Some("Server cancelled subscription"));
    client.send("ACK", &[("id", message.header("ack").unwrap())]);
    client.commands();
    client.subscribe("0", "auto");
}

#[test]
fn server_sends_them_to_the_clients_subscription_if_it_has_one() {
    let mut client = soft();
    let headers = [("id", "errors"), ("destination", "/gateway/errors"), ("receipt", "r")];
    client.send("SUBSCRIBE", &headers);
    assert_eq!(client.receipts(), ["r"]);
    assert!(client.commands().is_empty());
    let subscription = client.subscribe("0", "auto");
    let error = refusal(BrokerErrorKind::NotFound);
    client.pair.event(Event::Canceled { subscription, error });
    let told = notice(&mut client, "not_found");
    assert_eq!(told.header("subscription"), Some("errors"));
    assert_eq!(told.header("failed-subscription"), Some("0"));
    client.send("UNSUBSCRIBE", &[("id", "errors"), ("receipt", "u")]);
    assert_eq!(client.receipts(), ["u"]);
    client.send("SEND", &[("destination", "/nowhere/a")]);
    assert_eq!(notice(&mut client, "unknown_destination").header("subscription"), None);
    // Who did not ask for them has no such destination.
    let mut other = Client::connected("1.2");
    other.send("SUBSCRIBE", &headers);
    other.policy_violation("Unknown destination");
}

#[test]
fn server_sends_them_to_the_newest_subscription_that_is_left() {
    let mut client = soft();
    let errors = ("destination", "/gateway/errors");
    for id in ["old", "new"] {
        client.send("SUBSCRIBE", &[("id", id), errors]);
    }
    let wrong = [("destination", "/nowhere/a")];
    client.send("SEND", &wrong);
    let told = notice(&mut client, "unknown_destination");
    assert_eq!(told.header("subscription"), Some("new"));
    client.send("UNSUBSCRIBE", &[("id", "new"), ("receipt", "u")]);
    assert_eq!(client.receipts(), ["u"]);
    client.send("SEND", &wrong);
    let told = notice(&mut client, "unknown_destination");
    assert_eq!(told.header("subscription"), Some("old"));
    client.send("UNSUBSCRIBE", &[("id", "old"), ("receipt", "u")]);
    assert_eq!(client.receipts(), ["u"]);
    // The broker knows of none of them.
    assert!(client.commands().is_empty());
}

#[test]
fn server_undoes_a_transaction_of_which_a_frame_was_refused() {
    let mut client = soft();
    let subscription = client.subscribe("0", "client");
    let ack = client.deliver(subscription, 1).header("ack").unwrap().to_owned();
    client.send("BEGIN", &[("transaction", "t")]);
    client.send("SEND", &[("destination", "/queue/a"), ("transaction", "t")]);
    client.send("ACK", &[("id", &ack), ("transaction", "t")]);
    client.send("SEND", &[("destination", "/nowhere/a"), ("transaction", "t")]);
    notice(&mut client, "unknown_destination");
    client.send("COMMIT", &[("transaction", "t"), ("receipt", "c")]);
    let told = notice(&mut client, "transaction_broken");
    assert_eq!(told.header("receipt-id"), Some("c"));
    assert!(client.commands().is_empty(), "nothing of it has had effect");
    // What it would have acknowledged can be acknowledged again.
    client.send("ACK", &[("id", &ack)]);
    assert_eq!(client.commands().len(), 1);
}

#[test]
fn server_does_not_confirm_a_commit_of_which_a_message_was_not_taken() {
    let mut client = soft();
    client.send("BEGIN", &[("transaction", "t")]);
    for _ in 0..2 {
        client.send("SEND", &[("destination", "/queue/a"), ("transaction", "t")]);
    }
    client.send("COMMIT", &[("transaction", "t"), ("receipt", "c")]);
    let tokens = publishes(&mut client);
    client.confirm(tokens[0], Outcome::Rejected);
    assert_eq!(notice(&mut client, "rejected").header("receipt-id"), Some("c"));
    client.confirm(tokens[1], Outcome::Accepted);
    assert!(client.frames().is_empty());
    let token = send_asking(&mut client, "next");
    client.confirm(token, Outcome::Accepted);
    assert_eq!(client.receipts(), ["next"]);
}

/// The tokens of the publishes since the last look.
fn publishes(client: &mut Client) -> Vec<Token> {
    let publish = |command| match command {
        Command::Publish { token, .. } => token,
        other => panic!("{other:?}"),
    };
    client.commands().into_iter().map(publish).collect()
}

/// A transaction of SENDs with these receipts, committed with the receipt `c`.
fn committed(client: &mut Client, receipts: &[Option<&str>]) -> Vec<Token> {
    client.send("BEGIN", &[("transaction", "t")]);
    for receipt in receipts {
        let mut headers = vec![("destination", "/queue/a"), ("transaction", "t")];
        headers.extend(receipt.map(|receipt| ("receipt", receipt)));
        client.send("SEND", &headers);
    }
    client.send("COMMIT", &[("transaction", "t"), ("receipt", "c")]);
    publishes(client)
}

#[test]
fn server_does_not_confirm_a_commit_of_which_a_message_with_a_receipt_was_not_taken() {
    let mut client = soft();
    let tokens = committed(&mut client, &[Some("own"), Some("taken"), Some("too")]);
    client.confirm(tokens[0], Outcome::Unroutable);
    let told: Vec<_> = client.frames();
    let named: Vec<_> = told.iter().map(|it| it.header("receipt-id").unwrap()).collect();
    assert_eq!(named, ["own", "c"]);
    assert!(told.iter().all(|it| it.header("code") == Some("unroutable")));
    client.confirm(tokens[1], Outcome::Accepted);
    assert_eq!(client.receipts(), ["taken"]);
    client.confirm(tokens[2], Outcome::Rejected);
    assert_eq!(notice(&mut client, "rejected").header("receipt-id"), Some("too"));
    let token = send_asking(&mut client, "next");
    client.confirm(token, Outcome::Accepted);
    assert_eq!(client.receipts(), ["next"]);
}

#[test]
fn server_names_the_commit_for_every_message_of_it_that_was_not_taken() {
    let mut client = soft();
    let tokens = committed(&mut client, &[None, None]);
    for token in tokens {
        client.confirm(token, Outcome::Rejected);
        assert_eq!(notice(&mut client, "rejected").header("receipt-id"), Some("c"));
    }
}

#[test]
fn server_confirms_what_has_the_same_receipt_as_a_commit_that_has_failed() {
    let mut client = soft();
    let tokens = committed(&mut client, &[None]);
    let next = send_asking(&mut client, "c");
    let again = committed(&mut client, &[None]);
    client.confirm(tokens[0], Outcome::Rejected);
    assert_eq!(notice(&mut client, "rejected").header("receipt-id"), Some("c"));
    client.confirm(next, Outcome::Accepted);
    assert_eq!(client.receipts(), ["c"]);
    client.confirm(again[0], Outcome::Accepted);
    assert_eq!(client.receipts(), ["c"]);
}

#[test]
fn server_tells_what_became_of_each_publish_after_disconnect_too() {
    let mut client = soft();
    client.send_raw(
        b"SEND\ndestination:/topic/none\nmandatory:true\nreceipt:a\n\n\0\
          SEND\ndestination:/topic/none\nreceipt:b\n\n\0\
          DISCONNECT\nreceipt:c\n\n\0",
    );
    let tokens = publishes(&mut client);
    client.confirm(tokens[0], Outcome::Unroutable);
    assert_eq!(notice(&mut client, "unroutable").header("receipt-id"), Some("a"));
    client.confirm(tokens[1], Outcome::Accepted);
    assert_eq!(client.receipts(), ["b", "c"]);
    assert!(!client.is_open());
}

#[test]
fn server_closes_after_disconnect_once_it_has_told_of_the_last_that_failed() {
    let mut client = soft();
    let token = send_asking(&mut client, "a");
    client.send("DISCONNECT", &[]);
    client.confirm(token, Outcome::Rejected);
    let told = client.frame();
    assert_eq!((told.header("code"), told.header("receipt-id")), (Some("rejected"), Some("a")));
    assert!(!client.is_open());
}

#[test]
fn server_tells_of_the_loss_of_the_broker_after_disconnect_by_error() {
    let mut client = soft();
    send_asking(&mut client, "a");
    client.send("DISCONNECT", &[("receipt", "b")]);
    client.pair.event(Event::Down { error: refusal(BrokerErrorKind::Unavailable) });
    assert_eq!(client.frame().verb, "ERROR");
    assert!(!client.is_open());
}

/// A client with room for three receipts, of which two are taken.
fn narrow() -> (Client, [Token; 2]) {
    let mut policy = Policy::default();
    policy.limits.pending_receipts = 3;
    let mut client = Client::with_policy(policy);
    client.send("CONNECT", &[("accept-version", "1.2"), ("soft-errors", "true")]);
    client.granted();
    let tokens = ["1", "2"].map(|receipt| send_asking(&mut client, receipt));
    (client, tokens)
}

#[test]
fn server_keeps_a_transaction_whose_commit_found_no_room_for_its_receipts() {
    let (mut client, [first, second]) = narrow();
    let subscription = client.subscribe("0", "client");
    let ack = client.deliver(subscription, 1).header("ack").unwrap().to_owned();
    client.send("BEGIN", &[("transaction", "t")]);
    client.send("ACK", &[("id", &ack), ("transaction", "t")]);
    client.send("SEND", &[("destination", "/queue/a"), ("transaction", "t")]);
    let commit = [("transaction", "t"), ("receipt", "c")];
    client.send("COMMIT", &commit);
    assert_eq!(notice(&mut client, "too_many_receipts").header("receipt-id"), Some("c"));
    assert!(client.commands().is_empty());
    client.confirm(first, Outcome::Accepted);
    client.confirm(second, Outcome::Accepted);
    assert_eq!(client.receipts(), ["1", "2"]);
    client.send("COMMIT", &commit);
    let commands = client.commands();
    assert!(matches!(commands[0], Command::Settle { .. }), "{commands:?}");
    let Command::Publish { token, .. } = commands[1] else { panic!("{commands:?}") };
    client.confirm(token, Outcome::Accepted);
    assert_eq!(client.receipts(), ["c"]);
}

#[test]
fn server_does_nothing_of_a_frame_whose_receipt_finds_no_room() {
    let (mut client, _) = narrow();
    let subscription = client.subscribe("0", "client-individual");
    let ack = client.deliver(subscription, 1).header("ack").unwrap().to_owned();
    client.send("BEGIN", &[("transaction", "open")]);
    send_asking(&mut client, "3");
    let errors = ("destination", "/gateway/errors");
    let reply = ("reply-to", "/temp-queue/r");
    let frames: [(&str, &[(&str, &str)]); 5] = [
        ("BEGIN", &[("transaction", "t")]),
        ("ABORT", &[("transaction", "open")]),
        ("ACK", &[("id", &ack)]),
        ("SUBSCRIBE", &[("id", "errors"), errors]),
        ("SEND", &[("destination", "/queue/a"), reply]),
    ];
    for (verb, headers) in frames {
        client.send(verb, &[headers, &[("receipt", "4")]].concat());
        assert_eq!(notice(&mut client, "too_many_receipts").header("receipt-id"), Some("4"));
        assert!(client.commands().is_empty(), "{verb}");
    }
    for (verb, headers) in frames {
        client.send(verb, headers);
        assert!(client.frames().is_empty(), "{verb}");
    }
    // The ACK, and the SEND with its queue for replies.
    assert_eq!(client.commands().len(), 3);
}

#[test]
fn server_gives_a_request_another_queue_for_its_replies_when_the_first_was_refused() {
    let mut client = soft();
    let ask = [("destination", "/queue/a"), ("reply-to", "/temp-queue/r")];
    client.send("SEND", &ask);
    let commands = client.commands();
    let Some(Command::Subscribe { token, .. }) = commands.first() else { panic!("{commands:?}") };
    let error = refusal(BrokerErrorKind::AccessRefused);
    client.pair.event(Event::Failed { token: *token, error });
    notice(&mut client, "access_refused");
    client.send("SEND", &ask);
    let commands = client.commands();
    assert!(matches!(commands[0], Command::Subscribe { subscription: SubscriptionId(2), .. }));
}
