//! The switches of a route that does as RabbitMQ's plugin does: each alone, beside what the same
//! frames mean without it.

use protocols::broker::{
    Address, BrokerError, BrokerErrorKind, Command, DeliveryTag, Event, QueueOptions,
    SubscriptionId, Verdict,
};
use protocols::policy::Policy;
use protocols::stomp;
use protocols::stomp::compat::{Compat, Switch};

use crate::client::{Client, sentence};

fn policy(switch: Switch) -> Policy {
    let compat = Compat::NONE.with(switch);
    Policy { stomp: stomp::Settings { compat, ..Policy::default().stomp }, ..Policy::default() }
}

fn client(switch: Switch) -> Client {
    Client::connected_with("1.2", policy(switch))
}

/// The queue that this frame names, if it names one.
fn queue_of(client: &mut Client, verb: &str, headers: &[(&str, &str)]) -> Option<QueueOptions> {
    client.send(verb, headers);
    match client.command() {
        Command::Subscribe { queue, .. } => Some(*queue),
        Command::Publish { queue, .. } => queue.map(|queue| *queue),
        other => panic!("a queue was to be named, not {other:?}"),
    }
}

#[test]
fn server_open_after_error_goes_on_after_a_frame_that_was_wrong() {
    let mut client = client(Switch::OpenAfterError);
    for (verb, headers, message) in [
        ("SEND", &[("receipt", "r")][..], "Missing destination"),
        ("SEND", &[("destination", "/nowhere/a")], "Unknown destination"),
        ("SEND", &[("destination", "/queue/a/b")], "Invalid destination"),
        ("SEND", &[("destination", "/queue/a"), ("message-id", "1")], "Invalid header"),
        ("SEND", &[("destination", "/queue/a"), ("transaction", "t")], "Bad transaction"),
        ("SUBSCRIBE", &[("id", "0"), ("destination", "/queue/a"), ("ack", "x")], "Invalid header"),
        ("UNSUBSCRIBE", &[("receipt", "r")], "Missing destination or id"),
        ("UNSUBSCRIBE", &[("id", "0")], "No subscription found"),
        ("ACK", &[("id", "0")], "Message not found"),
        ("BEGIN", &[], "Missing transaction"),
        ("COMMIT", &[("transaction", "t")], "Bad transaction"),
    ] {
        client.send(verb, headers);
        let error = client.frame();
        assert_eq!((error.verb.as_str(), error.header("message")), ("ERROR", Some(message)));
        let receipt = headers.iter().find(|(name, _)| *name == "receipt").map(|(_, value)| *value);
        assert_eq!(error.header("receipt-id"), receipt);
        assert!(client.commands().is_empty() && client.is_open(), "{verb} {headers:?}");
    }
    client.send("SEND", &[("destination", "/queue/a")]);
    client.publish();
}

#[test]
fn server_open_after_error_ends_where_nothing_can_be_understood_or_taken_back() {
    let mut unreadable = client(Switch::OpenAfterError);
    unreadable.send_raw(b"NONSENSE\n\n\0");
    unreadable.refusal();
    let mut twice = client(Switch::OpenAfterError);
    twice.subscribe("0", "auto");
    twice.send("SUBSCRIBE", &[("id", "0"), ("destination", "/queue/b")]);
    twice.policy_violation("Duplicated subscription identifier");
    let mut early = Client::with_policy(policy(Switch::OpenAfterError));
    early.send("SEND", &[("destination", "/queue/a")]);
    early.policy_violation("Illegal command");
}

#[test]
fn server_open_after_error_outlives_a_subscription_that_the_broker_ends() {
    let mut client = client(Switch::OpenAfterError);
    let subscription = client.subscribe("0", "client");
    let message = client.deliver(subscription, 1);
    let error = BrokerError::new(BrokerErrorKind::NotFound, "the queue was deleted");
    client.pair.event(Event::Canceled { subscription, error });
    let error = client.frame();
    assert_eq!(error.header("message"), Some("Server cancelled subscription"));
    assert_eq!(error.header("subscription"), Some("0"));
    assert_eq!(sentence(&error), "the queue was deleted");
    // What it had delivered can still be acknowledged, and its name is free.
    client.send("ACK", &[("id", message.header("ack").unwrap())]);
    assert_eq!(client.settlements(), [(1, Verdict::Accept, true)]);
    client.subscribe("0", "auto");
    assert!(client.is_open());
}

#[test]
fn server_open_after_error_does_not_leave_a_client_mute_whose_broker_was_lost() {
    let mut client = client(Switch::OpenAfterError);
    let subscription = client.subscribe("0", "auto");
    let error = BrokerError::new(BrokerErrorKind::Unavailable, "the connection was lost");
    client.pair.event(Event::Canceled { subscription, error });
    assert_eq!(client.frame().header("message"), Some("Server cancelled subscription"));
    assert!(!client.is_open());
}

/// Three messages over two subscriptions: `0` got the first and the third, `1` the second.
fn interleaved(client: &mut Client) -> [(SubscriptionId, String); 3] {
    let first = client.subscribe("0", "client");
    let second = client.subscribe("1", "client-individual");
    [(first, 1), (second, 1), (first, 2)].map(|(subscription, tag)| {
        (subscription, client.deliver(subscription, tag).header("ack").unwrap().to_owned())
    })
}

#[test]
fn server_connection_acks_are_cumulative_over_all_subscriptions() {
    let settled = |client: &mut Client| {
        let settled = |command| match command {
            Command::Settle { subscription, up_to: DeliveryTag(tag), verdict, cumulative } => {
                (subscription, tag, verdict, cumulative)
            }
            other => panic!("a settlement, not {other:?}"),
        };
        client.commands().into_iter().map(settled).collect::<Vec<_>>()
    };
    for (verb, verdict) in [("ACK", Verdict::Accept), ("NACK", Verdict::Requeue)] {
        let mut client = client(Switch::ConnectionAcks);
        let [(first, _), (second, _), (_, last)] = interleaved(&mut client);
        client.send(verb, &[("id", &last)]);
        assert_eq!(settled(&mut client), [(first, 2, verdict, true), (second, 1, verdict, true)]);
    }
    // One of the subscription that acknowledges one by one means itself.
    let mut one = client(Switch::ConnectionAcks);
    let [_, (second, ack), _] = interleaved(&mut one);
    one.send("ACK", &[("id", &ack)]);
    assert_eq!(settled(&mut one), [(second, 1, Verdict::Accept, false)]);
    // What came later is not meant, and in a transaction all of it waits for COMMIT.
    let mut held = client(Switch::ConnectionAcks);
    let [(first, ack), ..] = interleaved(&mut held);
    held.send("BEGIN", &[("transaction", "t")]);
    held.send("ACK", &[("id", &ack), ("transaction", "t")]);
    assert_eq!(settled(&mut held), []);
    held.send("COMMIT", &[("transaction", "t")]);
    assert_eq!(settled(&mut held), [(first, 1, Verdict::Accept, true)]);
}

#[test]
fn server_restarted_transactions_forget_what_they_held() {
    let mut client = client(Switch::RestartedTransactions);
    let subscription = client.subscribe("0", "client");
    let message = client.deliver(subscription, 1);
    let ack = message.header("ack").unwrap();
    client.send("BEGIN", &[("transaction", "t")]);
    client.send("SEND", &[("destination", "/queue/a"), ("transaction", "t")]);
    client.send("ACK", &[("id", ack), ("transaction", "t")]);
    client.send("BEGIN", &[("transaction", "t")]);
    client.send("ACK", &[("id", ack)]);
    assert_eq!(client.settlements(), [(1, Verdict::Accept, true)]);
    client.send("COMMIT", &[("transaction", "t")]);
    assert!(client.commands().is_empty() && client.is_open());
}

#[test]
fn server_ignored_bodies_are_passed_over() {
    let mut client = Client::with_policy(policy(Switch::IgnoredBodies));
    client.send_body("CONNECT", &[("accept-version", "1.2"), ("host", "/")], b"hello");
    client.granted();
    client.send_body("SUBSCRIBE", &[("id", "0"), ("destination", "/queue/a")], b"hello");
    client.agree();
}

#[test]
fn server_escapes_hold_in_every_frame_of_every_version() {
    let mut client = Client::with_policy(policy(Switch::Escapes));
    client.send("CONNECT", &[("login", "a\\cb"), ("passcode", "c\\\\d")]);
    let credentials = client.login().credentials.unwrap();
    assert_eq!((credentials.login.as_str(), credentials.passcode.expose()), ("a:b", "c\\d"));
    client.grant();
    client.frames();
    client.send("SEND", &[("destination", "/queue/a\\cb"), ("receipt", "r\\c")]);
    let (token, _) = client.publish();
    client.confirm(token, protocols::broker::Outcome::Accepted);
    assert_eq!(client.receipts(), ["r\\c"]);
}

#[test]
fn server_slash_escapes_leave_every_other_percent_sign() {
    let mut client = client(Switch::SlashEscapes);
    client.send("SEND", &[("destination", "/queue/a%2Fb%20")]);
    match client.command() {
        Command::Publish { to, .. } => assert_eq!(to, Address::Queue("a/b%20".into())),
        other => panic!("a publish, not {other:?}"),
    }
}

#[test]
fn server_prefetch_is_the_clients_own_if_it_acknowledges() {
    let mut client = client(Switch::Prefetch);
    let mut asked = |ack, prefetch: Option<&str>| {
        let mut headers = vec![("destination", "/queue/a"), ("ack", ack), ("id", "0")];
        headers.extend(prefetch.map(|prefetch| ("prefetch-count", prefetch)));
        client.send("SUBSCRIBE", &headers);
        let Command::Subscribe { prefetch, .. } = client.command() else { panic!("a subscribe") };
        client.send("UNSUBSCRIBE", &[("id", "0")]);
        client.command();
        prefetch
    };
    for (prefetch, expected) in
        [(None, u16::MAX), (Some("0"), u16::MAX), (Some("2000"), 2000), (Some("99999"), u16::MAX)]
    {
        assert_eq!(asked("client", prefetch), expected);
    }
    assert_eq!(asked("auto", None), 100);
    assert_eq!(asked("auto", Some("2000")), 1_000);
}

#[test]
fn server_durable_names_are_the_plugins() {
    let mut client = client(Switch::DurableNames);
    // What RabbitMQ 3.10.8 computes for {"a.b", "0"} and {"", "x"}.
    for (destination, id, name) in [
        ("/topic/a.b", "0", "stomp-subscription-RjF00De9Gg20UjWXdx0ewQ"),
        ("/exchange/y/a.b", "0", "stomp-subscription-RjF00De9Gg20UjWXdx0ewQ"),
        ("/exchange/y", "x", "stomp-subscription-h-fwebydKM-y5XzgjiGmqA"),
    ] {
        let headers = [("destination", destination), ("id", id), ("durable", "true")];
        let queue = queue_of(&mut client, "SUBSCRIBE", &headers).unwrap();
        assert_eq!(queue.name.as_deref(), Some(name));
        client.send("UNSUBSCRIBE", &[("id", id)]);
        client.commands();
    }
}

#[test]
fn server_persistent_queues_are_declared_as_the_message_is_marked() {
    let declared = |policy: Policy, headers: &[(&str, &str)]| {
        let mut client = Client::connected_with("1.2", policy);
        queue_of(&mut client, "SEND", &[&[("destination", "/queue/a")], headers].concat())
    };
    let by_message = || policy(Switch::PersistentQueues);
    let fleeting = declared(by_message(), &[("persistent", "false")]).unwrap();
    assert_eq!((fleeting.durable, fleeting.exclusive), (Some(false), Some(true)));
    assert_eq!(declared(by_message(), &[("persistent", "true")]), None);
    let both = declared(by_message(), &[("durable", "true"), ("persistent", "false")]).unwrap();
    assert_eq!(both.durable, Some(false), "persistent goes first");
    let both = declared(by_message(), &[("durable", "false"), ("persistent", "true")]).unwrap();
    assert_eq!(both.durable, Some(true));
    assert_eq!(declared(Policy::default(), &[("persistent", "false")]), None);
}

#[test]
fn server_fewer_arguments_are_taken() {
    let mut client = client(Switch::FewerArguments);
    let headers = [
        ("destination", "/queue/a"),
        ("id", "0"),
        ("x-overflow", "reject-publish"),
        ("x-max-length", "5"),
        ("x-delivery-limit", "many"),
    ];
    let queue = queue_of(&mut client, "SUBSCRIBE", &headers).unwrap();
    let names: Vec<_> = queue.arguments.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["x-max-length"]);
}
