//! ACK and NACK.

use protocols::broker::Verdict::{Accept, Discard, Requeue};
use protocols::broker::{Command, Event, SubscriptionId};
use protocols::policy::Policy;
use protocols::stomp;
use protocols::stomp::compat::{Compat, Switch};

use crate::client::{Client, sentence};

/// A client with three deliveries outstanding.
fn with_deliveries(version: &str, ack: &str) -> (Client, SubscriptionId) {
    let mut client = Client::connected(version);
    let subscription = client.subscribe("0", ack);
    for tag in 1..=3 {
        client.deliver(subscription, tag);
    }
    (client, subscription)
}

fn id(tag: u64) -> String {
    format!("T_0@@session-1@@{tag}")
}

fn acknowledge(client: &mut Client, verb: &str, tag: u64) {
    client.send(verb, &[("id", &id(tag))]);
}

fn refused(client: &mut Client, verb: &str, headers: &[(&str, &str)]) {
    client.send(verb, headers);
    let error = client.policy_violation("Message not found");
    assert!(sentence(&error).contains(verb));
    assert_eq!(client.commands(), []);
}

#[test]
fn v12_ack_client_mode_is_cumulative() {
    let (mut client, _) = with_deliveries("1.2", "client");
    acknowledge(&mut client, "ACK", 2);
    assert_eq!(client.settlements(), [(2, Accept, true)]);
    acknowledge(&mut client, "ACK", 3);
    assert_eq!(client.settlements(), [(3, Accept, true)]);
}

#[test]
fn v12_ack_client_mode_covers_its_own_subscription_only() {
    let (mut client, first) = with_deliveries("1.2", "client");
    let second = client.subscribe("1", "client");
    client.deliver(second, 4);
    client.deliver(first, 5);
    client.send("ACK", &[("id", "T_1@@session-1@@4")]);
    match client.command() {
        Command::Settle { subscription, .. } => assert_eq!(subscription, second),
        other => panic!("{other:?}"),
    }
    acknowledge(&mut client, "ACK", 1);
    assert_eq!(client.settlements(), [(1, Accept, true)]);
}

#[test]
fn v11_ack_client_individual_mode_is_not_cumulative() {
    let (mut client, _) = with_deliveries("1.2", "client-individual");
    acknowledge(&mut client, "ACK", 2);
    assert_eq!(client.settlements(), [(2, Accept, false)]);
    acknowledge(&mut client, "ACK", 1);
    acknowledge(&mut client, "ACK", 3);
    assert_eq!(client.settlements(), [(1, Accept, false), (3, Accept, false)]);
}

#[test]
fn v12_ack_names_the_message_by_id() {
    let (mut client, _) = with_deliveries("1.2", "client");
    client.send("ACK", &[("message-id", &id(1)), ("subscription", "0")]);
    let error = client.policy_violation("Missing header");
    assert!(sentence(&error).contains("\"id\""));
}

#[test]
fn v11_ack_names_the_message_by_message_id_and_subscription() {
    let (mut client, _) = with_deliveries("1.1", "client");
    client.send("ACK", &[("message-id", &id(1)), ("subscription", "0")]);
    assert_eq!(client.settlements(), [(1, Accept, true)]);
}

#[test]
fn server_ack_needs_no_subscription_in_1_1() {
    let (mut client, _) = with_deliveries("1.1", "client-individual");
    client.send("ACK", &[("message-id", &id(1))]);
    client.send("NACK", &[("message-id", &id(2))]);
    assert_eq!(client.settlements(), [(1, Accept, false), (2, Requeue, false)]);
}

#[test]
fn server_ack_of_a_subscription_without_id_names_none_in_1_1() {
    let mut client = Client::connected("1.1");
    client.send("SUBSCRIBE", &[("destination", "/queue/a"), ("ack", "client")]);
    let subscription = client.agree();
    let message = client.deliver(subscription, 1);
    let id = message.header("message-id").unwrap();
    client.send("ACK", &[("message-id", id)]);
    assert_eq!(client.settlements(), [(1, Accept, true)]);
    client.deliver(subscription, 2);
    let id = "Q_/queue/a@@session-1@@2";
    refused(&mut client, "ACK", &[("message-id", id), ("subscription", "/queue/a")]);
}

#[test]
fn v11_ack_needs_a_message_id() {
    let (mut client, _) = with_deliveries("1.1", "client");
    client.send("ACK", &[("id", &id(1)), ("subscription", "0")]);
    let error = client.policy_violation("Missing header");
    assert!(sentence(&error).contains("message-id"));
}

#[test]
fn v11_ack_of_another_subscription_than_the_messages_is_refused() {
    let (mut client, _) = with_deliveries("1.1", "client");
    client.subscribe("1", "client");
    refused(&mut client, "ACK", &[("message-id", &id(1)), ("subscription", "1")]);
}

#[test]
fn v10_ack_names_the_message_by_message_id() {
    let (mut client, _) = with_deliveries("1.0", "client");
    client.send("ACK", &[("message-id", &id(2))]);
    assert_eq!(client.settlements(), [(2, Accept, true)]);
}

#[test]
fn v10_ack_of_a_subscription_without_id() {
    let mut client = Client::connected("1.0");
    client.send("SUBSCRIBE", &[("destination", "/queue/a"), ("ack", "client")]);
    let subscription = client.agree();
    let message = client.deliver(subscription, 1);
    client.send("ACK", &[("message-id", message.header("message-id").unwrap())]);
    assert_eq!(client.settlements(), [(1, Accept, true)]);
}

#[test]
fn v10_has_no_nack() {
    let (mut client, _) = with_deliveries("1.0", "client");
    client.send("NACK", &[("message-id", &id(1)), ("receipt", "r")]);
    let error = client.violation("Bad command", protocols::session::CloseCode::Protocol);
    assert!(sentence(&error).contains("NACK") && sentence(&error).contains("1.0"));
    assert_eq!(error.header("receipt-id"), Some("r"));
}

#[test]
fn v10_has_nack_for_those_who_want_it_so() {
    let compat = Compat::NONE.with(Switch::NackIn10);
    let stomp = stomp::Settings { compat, ..Policy::default().stomp };
    let mut client = Client::connected_with("1.0", Policy { stomp, ..Policy::default() });
    let subscription = client.subscribe("0", "client");
    client.deliver(subscription, 1);
    client.send("NACK", &[("message-id", &id(1))]);
    assert_eq!(client.settlements(), [(1, Requeue, true)]);
}

#[test]
fn v11_nack_puts_back_and_is_cumulative_as_ack_is() {
    let (mut client, _) = with_deliveries("1.1", "client");
    client.send("NACK", &[("message-id", &id(2)), ("subscription", "0")]);
    assert_eq!(client.settlements(), [(2, Requeue, true)]);
}

#[test]
fn v12_nack_client_individual_mode_is_not_cumulative() {
    let (mut client, _) = with_deliveries("1.2", "client-individual");
    acknowledge(&mut client, "NACK", 2);
    assert_eq!(client.settlements(), [(2, Requeue, false)]);
}

#[test]
fn server_nack_may_discard() {
    let (mut client, _) = with_deliveries("1.2", "client-individual");
    client.send("NACK", &[("id", &id(1)), ("requeue", "false")]);
    client.send("NACK", &[("id", &id(2)), ("requeue", "true")]);
    assert_eq!(client.settlements(), [(1, Discard, false), (2, Requeue, false)]);
    client.send("NACK", &[("id", &id(3)), ("requeue", "maybe")]);
    assert_eq!(client.settlements(), [(3, Requeue, false)], "as without it");
}

#[test]
fn v12_ack_of_a_message_that_is_not_outstanding_is_refused() {
    for verb in ["ACK", "NACK"] {
        for unknown in [
            "",
            "1",
            "T_0@@session-1@@4",
            "T_0@@session-1@@0",
            "T_0@@session-1@@01",
            "T_0@@session-1@@+1",
            "T_0@@session-1@@18446744073709551616",
            "T_0@@session-2@@1",
            "T_1@@session-1@@1",
            "Q_0@@session-1@@1",
            "@@@@",
        ] {
            let (mut client, _) = with_deliveries("1.2", "client");
            refused(&mut client, verb, &[("id", unknown)]);
        }
    }
}

#[test]
fn v12_ack_twice_is_refused() {
    let (mut client, _) = with_deliveries("1.2", "client-individual");
    acknowledge(&mut client, "ACK", 2);
    client.settlements();
    refused(&mut client, "ACK", &[("id", &id(2))]);
    let (mut client, _) = with_deliveries("1.2", "client");
    acknowledge(&mut client, "ACK", 2);
    client.settlements();
    refused(&mut client, "NACK", &[("id", &id(1))]);
}

#[test]
fn v12_ack_of_an_auto_subscriptions_message_is_refused() {
    let (mut client, _) = with_deliveries("1.2", "auto");
    refused(&mut client, "ACK", &[("id", &id(1))]);
}

#[test]
fn server_ack_after_unsubscribe_still_counts() {
    let (mut client, subscription) = with_deliveries("1.2", "client");
    client.send("UNSUBSCRIBE", &[("id", "0")]);
    let Command::Unsubscribe { token, .. } = client.command() else { panic!() };
    acknowledge(&mut client, "ACK", 1);
    assert_eq!(client.settlements(), [(1, Accept, true)]);
    client.pair.event(Event::Unsubscribed { token });
    acknowledge(&mut client, "ACK", 2);
    match client.command() {
        Command::Settle { subscription: settled, .. } => assert_eq!(settled, subscription),
        other => panic!("{other:?}"),
    }
    acknowledge(&mut client, "NACK", 3);
    client.settlements();
    refused(&mut client, "ACK", &[("id", &id(3))]);
}

#[test]
fn server_ack_finds_its_subscription_although_the_id_was_used_again() {
    let (mut client, first) = with_deliveries("1.2", "client");
    client.send("UNSUBSCRIBE", &[("id", "0")]);
    client.commands();
    let second = client.subscribe("0", "client-individual");
    client.deliver(second, 4);
    acknowledge(&mut client, "ACK", 4);
    acknowledge(&mut client, "ACK", 3);
    let settled: Vec<_> = client
        .commands()
        .into_iter()
        .map(|command| match command {
            Command::Settle { subscription, up_to, cumulative, .. } => {
                (subscription, up_to.0, cumulative)
            }
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(settled, [(second, 4, false), (first, 3, true)]);
}

#[test]
fn v12_the_receipt_of_ack_comes_at_once() {
    let (mut client, _) = with_deliveries("1.2", "client");
    client.send("ACK", &[("id", &id(1)), ("receipt", "a")]);
    client.send("NACK", &[("id", &id(2)), ("receipt", "n")]);
    assert_eq!(client.receipts(), ["a", "n"]);
}
