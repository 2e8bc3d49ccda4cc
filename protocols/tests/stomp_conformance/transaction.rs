//! BEGIN, COMMIT and ABORT.

use protocols::broker::Verdict::{Accept, Requeue};
use protocols::broker::{Command, Outcome, Token, Value};
use protocols::policy::{Limits, Policy};
use protocols::session::FrameKind;
use protocols::text::Text;

use crate::client::{Client, Refusal, frame, sentence};

fn begun(version: &str) -> Client {
    let mut client = Client::connected(version);
    client.send("BEGIN", &[("transaction", "t")]);
    client
}

fn send_in(client: &mut Client, transaction: &str, body: &str, receipt: Option<&str>) {
    let mut headers = vec![("destination", "/queue/a"), ("transaction", transaction)];
    headers.extend(receipt.map(|receipt| ("receipt", receipt)));
    client.send_body("SEND", &headers, body.as_bytes());
}

/// The publishes since the last look: token, body, confirm.
fn publishes(client: &mut Client) -> Vec<(Token, String, bool)> {
    let publish = |command| match command {
        Command::Publish { token, message, queue: None, confirm, .. } => {
            (token, String::from_utf8(message.body.to_vec()).unwrap(), confirm)
        }
        other => panic!("a publish, not {other:?}"),
    };
    client.commands().into_iter().map(publish).collect()
}

fn limited(limits: Limits) -> Client {
    Client::connected_with("1.2", Policy { limits, ..Policy::default() })
}

#[test]
fn v12_sends_of_a_transaction_wait_for_commit_and_keep_their_order() {
    for version in ["1.0", "1.1", "1.2"] {
        let mut client = begun(version);
        for body in ["1", "2", "3"] {
            send_in(&mut client, "t", body, None);
        }
        assert_eq!(client.commands(), []);
        client.send("COMMIT", &[("transaction", "t")]);
        let bodies: Vec<_> = publishes(&mut client).into_iter().map(|it| (it.1, it.2)).collect();
        assert_eq!(bodies, [("1".into(), false), ("2".into(), false), ("3".into(), false)]);
        assert_eq!(client.frames(), []);
    }
}

#[test]
fn v12_abort_forgets() {
    let mut client = begun("1.2");
    send_in(&mut client, "t", "1", Some("r"));
    client.send("ABORT", &[("transaction", "t"), ("receipt", "abort")]);
    assert_eq!(client.commands(), []);
    assert_eq!(client.receipts(), ["abort"]);
    client.send("COMMIT", &[("transaction", "t")]);
    client.policy_violation("Bad transaction");
}

#[test]
fn v12_frames_outside_a_transaction_do_not_wait() {
    let mut client = begun("1.2");
    send_in(&mut client, "t", "inside", None);
    client.send_body("SEND", &[("destination", "/queue/a")], b"outside");
    assert_eq!(publishes(&mut client)[0].1, "outside");
    client.send("COMMIT", &[("transaction", "t")]);
    assert_eq!(publishes(&mut client)[0].1, "inside");
}

#[test]
fn v12_transactions_are_independent() {
    let mut client = begun("1.2");
    client.send("BEGIN", &[("transaction", "u")]);
    send_in(&mut client, "t", "t", None);
    send_in(&mut client, "u", "u", None);
    client.send("ABORT", &[("transaction", "t")]);
    client.send("COMMIT", &[("transaction", "u")]);
    assert_eq!(publishes(&mut client)[0].1, "u");
}

#[test]
fn v12_a_transaction_id_is_free_again_after_its_end() {
    for end in ["COMMIT", "ABORT"] {
        let mut client = begun("1.2");
        client.send(end, &[("transaction", "t")]);
        client.send("BEGIN", &[("transaction", "t"), ("receipt", "r")]);
        assert_eq!(client.receipts(), ["r"]);
    }
}

#[test]
fn v12_begin_commit_and_abort_need_a_transaction() {
    for verb in ["BEGIN", "COMMIT", "ABORT"] {
        let mut client = Client::connected("1.2");
        client.send(verb, &[("receipt", "r")]);
        let error = client.policy_violation("Missing transaction");
        assert!(sentence(&error).contains(verb) && sentence(&error).contains("transaction"));
        assert_eq!(error.header("receipt-id"), Some("r"));
    }
}

#[test]
fn v12_begin_of_an_open_transaction_is_refused() {
    let mut client = begun("1.2");
    client.send("BEGIN", &[("transaction", "t")]);
    client.policy_violation("Bad transaction");
}

#[test]
fn v12_a_transaction_that_is_not_open_is_refused() {
    for (verb, headers) in [
        ("COMMIT", &[("transaction", "x")][..]),
        ("ABORT", &[("transaction", "x")]),
        ("SEND", &[("destination", "/queue/a"), ("transaction", "x")]),
    ] {
        let mut client = begun("1.2");
        client.send(verb, headers);
        client.policy_violation("Bad transaction");
        assert_eq!(client.commands(), []);
    }
    let mut client = begun("1.2");
    let subscription = client.subscribe("0", "client");
    let message = client.deliver(subscription, 1);
    let id = message.header("ack").unwrap().to_owned();
    client.send("ACK", &[("id", &id), ("transaction", "x")]);
    client.policy_violation("Bad transaction");
}

#[test]
fn server_frames_of_a_transaction_are_checked_when_they_arrive() {
    for (verb, headers, message) in [
        (
            "SEND",
            &[("destination", "/nowhere"), ("transaction", "t"), ("receipt", "r")][..],
            "Unknown destination",
        ),
        ("SEND", &[("transaction", "t"), ("receipt", "r")], "Missing destination"),
        (
            "SEND",
            &[
                ("destination", "/queue/a"),
                ("transaction", "t"),
                ("message-id", "m"),
                ("receipt", "r"),
            ],
            "Invalid header",
        ),
        ("ACK", &[("id", "x"), ("transaction", "t"), ("receipt", "r")], "Message not found"),
    ] {
        let mut client = begun("1.2");
        client.send(verb, headers);
        let error = client.policy_violation(message);
        assert_eq!(error.header("receipt-id"), Some("r"));
    }
}

#[test]
fn v12_acks_of_a_transaction_wait_for_commit() {
    let mut client = begun("1.2");
    let subscription = client.subscribe("0", "client");
    for tag in 1..=3 {
        client.deliver(subscription, tag);
    }
    client.send("ACK", &[("id", "T_0@@session-1@@2"), ("transaction", "t")]);
    client.send("NACK", &[("id", "T_0@@session-1@@3"), ("transaction", "t")]);
    assert_eq!(client.commands(), []);
    client.send("COMMIT", &[("transaction", "t")]);
    assert_eq!(client.settlements(), [(2, Accept, true), (3, Requeue, true)]);
}

#[test]
fn server_a_delivery_acknowledged_in_a_transaction_is_free_again_after_abort() {
    let mut client = begun("1.2");
    let subscription = client.subscribe("0", "client-individual");
    client.deliver(subscription, 1);
    client.send("ACK", &[("id", "T_0@@session-1@@1"), ("transaction", "t")]);
    client.send("ABORT", &[("transaction", "t")]);
    client.send("ACK", &[("id", "T_0@@session-1@@1")]);
    assert_eq!(client.settlements(), [(1, Accept, false)]);
}

#[test]
fn server_a_delivery_acknowledged_in_a_transaction_cannot_be_acknowledged_again() {
    for transaction in [None, Some("t"), Some("u")] {
        let mut client = begun("1.2");
        client.send("BEGIN", &[("transaction", "u")]);
        let subscription = client.subscribe("0", "client");
        client.deliver(subscription, 1);
        client.send("ACK", &[("id", "T_0@@session-1@@1"), ("transaction", "t")]);
        let mut headers = vec![("id", "T_0@@session-1@@1")];
        headers.extend(transaction.map(|transaction| ("transaction", transaction)));
        client.send("ACK", &headers);
        client.policy_violation("Message not found");
        assert_eq!(client.commands(), []);
    }
}

#[test]
fn server_a_cumulative_ack_leaves_out_what_a_transaction_holds() {
    let mut client = begun("1.2");
    let subscription = client.subscribe("0", "client");
    client.deliver(subscription, 1);
    client.send("NACK", &[("id", "T_0@@session-1@@1"), ("transaction", "t")]);
    client.deliver(subscription, 2);
    client.deliver(subscription, 3);
    client.send("ACK", &[("id", "T_0@@session-1@@3")]);
    assert_eq!(client.settlements(), [(2, Accept, false), (3, Accept, false)]);
    client.send("COMMIT", &[("transaction", "t")]);
    assert_eq!(client.settlements(), [(1, Requeue, true)]);
}

#[test]
fn server_acks_of_a_transaction_count_although_the_subscription_was_given_up() {
    let mut client = begun("1.2");
    let subscription = client.subscribe("0", "client");
    client.deliver(subscription, 1);
    client.send("ACK", &[("id", "T_0@@session-1@@1"), ("transaction", "t")]);
    client.send("UNSUBSCRIBE", &[("id", "0")]);
    client.commands();
    client.send("COMMIT", &[("transaction", "t")]);
    assert_eq!(client.settlements(), [(1, Accept, true)]);
}

#[test]
fn v12_receipts_of_a_transactions_sends_come_after_commit_and_its_own_last() {
    let mut client = begun("1.2");
    let subscription = client.subscribe("0", "client");
    client.deliver(subscription, 1);
    send_in(&mut client, "t", "1", Some("first"));
    send_in(&mut client, "t", "2", None);
    client.send("ACK", &[("id", "T_0@@session-1@@1"), ("transaction", "t"), ("receipt", "ack")]);
    assert_eq!(client.receipts(), ["ack"], "an acknowledgement has been checked, and is noted");
    send_in(&mut client, "t", "3", Some("third"));
    assert_eq!(client.frames(), []);
    client.send("COMMIT", &[("transaction", "t"), ("receipt", "commit")]);
    let tokens: Vec<_> = client
        .commands()
        .into_iter()
        .filter_map(|command| match command {
            Command::Publish { token, confirm, .. } => {
                assert!(confirm, "COMMIT's receipt speaks for every message");
                Some(token)
            }
            _ => None,
        })
        .collect();
    assert_eq!(client.frames(), []);
    client.confirm(tokens[2], Outcome::Accepted);
    client.confirm(tokens[0], Outcome::Accepted);
    assert_eq!(client.receipts(), ["first"]);
    client.confirm(tokens[1], Outcome::Accepted);
    assert_eq!(client.receipts(), ["third", "commit"]);
}

#[test]
fn server_receipts_of_acknowledgements_in_a_transaction_come_at_once_and_in_order() {
    let mut client = begun("1.2");
    let subscription = client.subscribe("0", "client-individual");
    client.deliver(subscription, 1);
    client.deliver(subscription, 2);
    client.send("SEND", &[("destination", "/queue/a"), ("receipt", "send")]);
    let (token, _) = client.publish();
    let (first, second) = ("T_0@@session-1@@1", "T_0@@session-1@@2");
    client.send("ACK", &[("id", first), ("transaction", "t"), ("receipt", "ack")]);
    client.send("NACK", &[("id", second), ("transaction", "t"), ("receipt", "nack")]);
    assert_eq!(client.frames(), [], "none overtakes the SEND");
    client.confirm(token, Outcome::Accepted);
    assert_eq!(client.receipts(), ["send", "ack", "nack"]);
    client.send("ABORT", &[("transaction", "t"), ("receipt", "abort")]);
    assert_eq!(client.receipts(), ["abort"], "they do not come again");
}

#[test]
fn v12_an_empty_transaction_is_committed_at_once() {
    let mut client = begun("1.2");
    client.send("COMMIT", &[("transaction", "t"), ("receipt", "r")]);
    assert_eq!(client.receipts(), ["r"]);
}

#[test]
fn server_a_message_of_a_transaction_that_is_not_taken_is_blamed_on_its_frame_or_on_commit() {
    for (own, expected) in [(Some("own"), "own"), (None, "commit")] {
        let mut client = begun("1.2");
        send_in(&mut client, "t", "1", own);
        client.send("COMMIT", &[("transaction", "t"), ("receipt", "commit")]);
        let (token, _, _) = publishes(&mut client)[0];
        client.confirm(token, Outcome::Rejected);
        let Refusal { error, .. } = client.refusal();
        assert_eq!(error.header("receipt-id"), Some(expected));
    }
}

#[test]
fn v12_a_transaction_that_is_open_at_the_end_is_aborted() {
    let mut client = begun("1.2");
    send_in(&mut client, "t", "1", None);
    client.send("DISCONNECT", &[("receipt", "r")]);
    assert_eq!(client.receipts(), ["r"]);
    assert_eq!(client.commands(), []);
}

#[test]
fn server_subscribe_knows_no_transaction() {
    let mut client = Client::connected("1.2");
    client.send("SUBSCRIBE", &[("id", "0"), ("destination", "/queue/a"), ("transaction", "x")]);
    client.agree();
    client.send("UNSUBSCRIBE", &[("id", "0"), ("transaction", "x")]);
    assert_eq!(client.commands().len(), 1);
}

#[test]
fn server_open_transactions_are_bounded() {
    let mut client = limited(Limits { transactions: 2, ..Limits::default() });
    client.send("BEGIN", &[("transaction", "1")]);
    client.send("BEGIN", &[("transaction", "2")]);
    client.send("ABORT", &[("transaction", "1")]);
    client.send("BEGIN", &[("transaction", "3")]);
    assert!(client.is_open());
    client.send("BEGIN", &[("transaction", "4")]);
    let error = client.policy_violation("Transaction limit exceeded");
    assert!(sentence(&error).contains('2'));
}

#[test]
fn server_frames_of_a_transaction_are_bounded() {
    let mut client = limited(Limits { transaction_frames: 2, ..Limits::default() });
    client.send("BEGIN", &[("transaction", "t")]);
    send_in(&mut client, "t", "1", None);
    send_in(&mut client, "t", "2", None);
    assert!(client.is_open());
    send_in(&mut client, "t", "3", None);
    let error = client.policy_violation("Transaction too large");
    assert!(sentence(&error).contains('2'));
}

#[test]
fn server_bytes_of_all_transactions_are_bounded() {
    let mut client = limited(Limits { transaction_bytes: 20_000, ..Limits::default() });
    client.send("BEGIN", &[("transaction", "t")]);
    client.send("BEGIN", &[("transaction", "u")]);
    let body = "x".repeat(10_000);
    send_in(&mut client, "t", &body, None);
    client.send("COMMIT", &[("transaction", "t")]);
    send_in(&mut client, "u", &body, None);
    assert!(client.is_open());
    client.commands();
    send_in(&mut client, "u", &body, None);
    let error = client.policy_violation("Transaction too large");
    assert!(sentence(&error).contains("20000"));
}

#[test]
fn server_many_tiny_headers_reach_the_bound_on_bytes() {
    let (bound, per_frame) = (100_000, 90);
    let mut client = limited(Limits { transaction_bytes: bound, ..Limits::default() });
    client.send("BEGIN", &[("transaction", "t")]);
    let names: Vec<_> = (0..per_frame).map(|number| number.to_string()).collect();
    let mut headers = vec![("destination", "/queue/a"), ("transaction", "t")];
    headers.extend(names.iter().map(|name| (name.as_str(), "")));
    let most = bound / (per_frame * size_of::<(Text, Value)>());
    let sent = (0..=most).take_while(|_| {
        client.send("SEND", &headers);
        client.is_open()
    });
    assert!((1..=most).contains(&sent.count()));
    let error = client.policy_violation("Transaction too large");
    assert!(sentence(&error).contains("100000 bytes"));
}

#[test]
fn server_a_transaction_does_not_keep_the_input_alive() {
    let mut client = begun("1.2");
    let headers = [("destination", "/queue/a"), ("transaction", "t"), ("k", "v"), ("receipt", "r")];
    let unit = bytes::Bytes::from(frame("SEND", &headers, b"body"));
    client.pair.input(FrameKind::Text, unit.clone());
    assert!(unit.is_unique());
    client.send("COMMIT", &[("transaction", "t")]);
    assert_eq!(publishes(&mut client)[0].1, "body");
}

#[test]
fn server_receipts_of_a_commit_are_bounded() {
    let mut client = limited(Limits { pending_receipts: 2, ..Limits::default() });
    client.send("BEGIN", &[("transaction", "t")]);
    send_in(&mut client, "t", "1", None);
    send_in(&mut client, "t", "2", None);
    client.send("COMMIT", &[("transaction", "t"), ("receipt", "commit")]);
    client.policy_violation("Receipt limit exceeded");
    assert_eq!(client.commands(), [], "none or all");
}

#[test]
fn server_acknowledgements_of_a_commit_need_no_room_for_receipts() {
    let mut client = limited(Limits { pending_receipts: 1, ..Limits::default() });
    let subscription = client.subscribe("0", "client-individual");
    client.send("BEGIN", &[("transaction", "t")]);
    for tag in 1..=3 {
        let id = client.deliver(subscription, tag).header("ack").unwrap().to_owned();
        client.send("ACK", &[("id", &id), ("transaction", "t")]);
    }
    client.send("COMMIT", &[("transaction", "t"), ("receipt", "commit")]);
    assert_eq!(client.receipts(), ["commit"]);
    assert_eq!(client.settlements().len(), 3);
}
