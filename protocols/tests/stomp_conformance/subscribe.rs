//! SUBSCRIBE and UNSUBSCRIBE.

use protocols::broker::{
    Address, Command, DeliveryTag, Event, Message, QueueOptions, SettleMode, Verdict,
};
use protocols::policy::{Limits, Policy};
use protocols::session::{CloseCause, CloseCode};
use protocols::stomp::Settings;

use crate::client::{Client, Refusal, not_found, sentence};

struct Subscribed {
    from: Address,
    queue: QueueOptions,
    prefetch: u16,
    settle: SettleMode,
}

fn subscribed_with(settings: Settings, headers: &[(&str, &str)]) -> Subscribed {
    let policy = Policy { stomp: settings, ..Policy::default() };
    let mut client = Client::connected_with("1.2", policy);
    let mut all = vec![("id", "0")];
    all.extend(headers);
    all.push(("destination", "/exchange/x/a.#"));
    client.send("SUBSCRIBE", &all);
    match client.command() {
        Command::Subscribe { from, queue, prefetch, settle, .. } => {
            Subscribed { from, queue: *queue, prefetch, settle }
        }
        other => panic!("{other:?}"),
    }
}

fn subscribed(headers: &[(&str, &str)]) -> Subscribed {
    subscribed_with(Settings::default(), headers)
}

#[test]
fn v12_subscribe_starts_a_consumer() {
    let got = subscribed(&[]);
    assert_eq!(got.from, Address::Exchange { name: "x".into(), key: "a.#".into() });
    assert_eq!(got.queue, QueueOptions::default());
    assert_eq!(got.prefetch, 100);
    assert_eq!(got.settle, SettleMode::WhenWritten, "auto is the default");
}

#[test]
fn v12_ack_says_who_settles() {
    assert_eq!(subscribed(&[("ack", "auto")]).settle, SettleMode::WhenWritten);
    assert_eq!(subscribed(&[("ack", "client")]).settle, SettleMode::Manual);
    assert_eq!(subscribed(&[("ack", "client-individual")]).settle, SettleMode::Manual);
}

#[test]
fn v12_any_other_ack_is_refused() {
    for value in ["", "Client", "individual", "auto "] {
        let mut client = Client::connected("1.2");
        client.send("SUBSCRIBE", &[("id", "0"), ("destination", "/queue/a"), ("ack", value)]);
        let error = client.policy_violation("Invalid header");
        assert!(sentence(&error).contains("client-individual"));
    }
}

#[test]
fn v12_subscribe_needs_a_destination() {
    for version in ["1.0", "1.1", "1.2"] {
        let mut client = Client::connected(version);
        client.send("SUBSCRIBE", &[("id", "0")]);
        let error = client.policy_violation("Missing destination");
        assert!(sentence(&error).contains("destination"));
    }
}

#[test]
fn server_a_subscription_without_id_is_known_by_its_destination() {
    for version in ["1.0", "1.1", "1.2"] {
        let mut client = Client::connected(version);
        client.send("SUBSCRIBE", &[("destination", "/queue/a")]);
        let subscription = client.agree();
        let message = client.deliver(subscription, 1);
        assert_eq!(message.header("subscription"), None);
        assert_eq!(message.header("message-id"), Some("Q_/queue/a@@session-1@@1"));
        client.send("UNSUBSCRIBE", &[("destination", "/queue/a")]);
        let Command::Unsubscribe { subscription: stopped, .. } = client.command() else { panic!() };
        assert_eq!(stopped, subscription);
    }
}

#[test]
fn server_a_second_subscription_to_the_same_destination_needs_an_id() {
    for version in ["1.0", "1.1", "1.2"] {
        let mut client = Client::connected(version);
        client.send("SUBSCRIBE", &[("destination", "/queue/a")]);
        client.agree();
        client.send("SUBSCRIBE", &[("destination", "/queue/a"), ("id", "1")]);
        client.agree();
        client.send("SUBSCRIBE", &[("destination", "/queue/a")]);
        client.policy_violation("Duplicated subscription identifier");
    }
}

#[test]
fn v12_a_second_subscription_of_the_same_id_is_refused() {
    let mut client = Client::connected("1.2");
    client.subscribe("0", "auto");
    client.send("SUBSCRIBE", &[("id", "0"), ("destination", "/queue/b"), ("receipt", "r")]);
    let error = client.policy_violation("Duplicated subscription identifier");
    assert_eq!(error.header("receipt-id"), Some("r"));
    assert_eq!(client.commands(), []);
}

#[test]
fn v12_subscriptions_to_the_same_destination_are_several() {
    let mut client = Client::connected("1.2");
    let first = client.subscribe("0", "auto");
    let second = client.subscribe("1", "auto");
    assert_ne!(first, second);
    assert_eq!(client.deliver(first, 1).header("subscription"), Some("0"));
    assert_eq!(client.deliver(second, 2).header("subscription"), Some("1"));
}

#[test]
fn server_prefetch_count_is_clamped() {
    let settings = Settings { prefetch: 10, max_prefetch: 50, ..Settings::default() };
    let prefetch = |value| {
        subscribed_with(settings.clone(), &[("ack", "client"), ("prefetch-count", value)]).prefetch
    };
    assert_eq!(subscribed_with(settings.clone(), &[]).prefetch, 10);
    assert_eq!(prefetch("1"), 1);
    assert_eq!(prefetch("50"), 50);
    assert_eq!(prefetch(" 7\t"), 7, "blanks do not matter");
    assert_eq!(prefetch("51"), 50);
    assert_eq!(prefetch("0"), 50, "no limit");
    assert_eq!(prefetch("18446744073709551615"), 50);
}

#[test]
fn server_prefetch_is_never_zero() {
    let settings = Settings { prefetch: 0, max_prefetch: 0, ..Settings::default() };
    for value in ["0", "1"] {
        let headers = [("prefetch-count", value)];
        assert_eq!(subscribed_with(settings.clone(), &headers).prefetch, 1);
    }
    assert_eq!(subscribed_with(settings, &[]).prefetch, 1);
}

#[test]
fn server_prefetch_count_must_be_a_number() {
    for value in ["", "many", "-1", "1.5"] {
        let mut client = Client::connected("1.2");
        let headers = [("id", "0"), ("destination", "/queue/a"), ("prefetch-count", value)];
        client.send("SUBSCRIBE", &headers);
        client.policy_violation("Invalid header");
    }
}

#[test]
fn server_queue_options_are_headers() {
    let all = QueueOptions {
        durable: Some(true),
        exclusive: Some(false),
        auto_delete: Some(true),
        ..QueueOptions::default()
    };
    let queue = |headers: &[(&str, &str)]| {
        subscribed(&[&[("destination", "/queue/a")], headers].concat()).queue
    };
    let headers = [("durable", "true"), ("exclusive", "false"), ("auto-delete", "True")];
    assert_eq!(queue(&headers), all);
    let durable = |headers: &[(&str, &str)]| queue(headers).durable;
    assert_eq!(durable(&[("persistent", "true")]), Some(true));
    assert_eq!(durable(&[("persistent", "true"), ("durable", "false")]), Some(true));
    for name in ["durable", "persistent", "exclusive", "auto-delete"] {
        for value in ["1", "yes", "", "tRUE"] {
            assert_eq!(subscribed(&[(name, value)]).queue, QueueOptions::default());
        }
    }
    assert_eq!(durable(&[("durable", "maybe"), ("persistent", "TRUE")]), Some(true));
}

#[test]
fn server_unknown_headers_of_subscribe_are_ignored() {
    let got = subscribed(&[("selector", "a = 1"), ("x-other", "q"), ("transaction", "t")]);
    assert_eq!(got.queue, QueueOptions::default());
}

#[test]
fn server_subscriptions_are_bounded() {
    let limits = Limits { subscriptions: 2, ..Limits::default() };
    let mut client = Client::connected_with("1.2", Policy { limits, ..Policy::default() });
    client.subscribe("0", "auto");
    client.subscribe("1", "auto");
    client.send("SUBSCRIBE", &[("id", "2"), ("destination", "/queue/a")]);
    let error = client.policy_violation("Subscription limit exceeded");
    assert!(sentence(&error).contains("2 subscriptions"));
}

#[test]
fn server_subscriptions_given_up_count_until_nothing_of_them_is_left() {
    let limits = Limits { subscriptions: 1, ..Limits::default() };
    let mut client = Client::connected_with("1.2", Policy { limits, ..Policy::default() });
    let first = client.subscribe("0", "client");
    let ack = client.deliver(first, 1).header("ack").unwrap().to_owned();
    client.send("UNSUBSCRIBE", &[("id", "0")]);
    let Command::Unsubscribe { token, .. } = client.command() else { panic!("an unsubscribe") };
    client.pair.event(Event::Unsubscribed { token });
    client.send("ACK", &[("id", &ack)]);
    client.settlements();
    client.subscribe("0", "client");
    client.send("UNSUBSCRIBE", &[("id", "0")]);
    client.send("SUBSCRIBE", &[("id", "0"), ("destination", "/queue/a")]);
    client.policy_violation("Subscription limit exceeded");
}

#[test]
fn server_the_bound_on_subscriptions_tells_active_ones_from_those_given_up() {
    let limits = Limits { subscriptions: 3, ..Limits::default() };
    let mut client = Client::connected_with("1.2", Policy { limits, ..Policy::default() });
    client.subscribe("active", "client");
    for id in ["0", "1"] {
        let subscription = client.subscribe(id, "client");
        client.deliver(subscription, 1);
        client.send("UNSUBSCRIBE", &[("id", id)]);
        let Command::Unsubscribe { token, .. } = client.command() else { panic!("an unsubscribe") };
        client.pair.event(Event::Unsubscribed { token });
    }
    client.send("SUBSCRIBE", &[("id", "2"), ("destination", "/queue/a")]);
    let error = client.policy_violation("Subscription limit exceeded");
    let sentence = sentence(&error);
    assert!(sentence.contains("3 subscriptions"), "{sentence}");
    assert!(sentence.contains("1 active"), "{sentence}");
    assert!(sentence.contains("2 given up"), "{sentence}");
}

#[test]
fn v12_the_receipt_of_subscribe_waits_for_the_broker() {
    let mut client = Client::connected("1.2");
    client.send("SUBSCRIBE", &[("id", "0"), ("destination", "/queue/a"), ("receipt", "r")]);
    assert_eq!(client.frames(), []);
    client.agree();
    assert_eq!(client.receipts(), ["r"]);
}

#[test]
fn v12_a_subscription_that_the_broker_refuses_is_an_error() {
    for receipt in [None, Some("r")] {
        let mut client = Client::connected("1.2");
        let mut headers = vec![("id", "0"), ("destination", "/amq/queue/a")];
        headers.extend(receipt.map(|receipt| ("receipt", receipt)));
        client.send("SUBSCRIBE", &headers);
        let Command::Subscribe { token, .. } = client.command() else { panic!("a subscribe") };
        client.pair.event(Event::Failed { token, error: not_found() });
        let Refusal { error, close } = client.refusal();
        assert_eq!(error.header("message"), Some("not_found"));
        assert_eq!(error.header("receipt-id"), receipt);
        assert_eq!(sentence(&error), "NOT_FOUND - no queue 'a' in vhost '/'");
        assert_eq!((close.code, close.cause), (CloseCode::Policy, CloseCause::Broker));
    }
}

#[test]
fn v12_unsubscribe_stops_the_consumer_and_its_receipt_waits_for_the_broker() {
    let mut client = Client::connected("1.2");
    let subscription = client.subscribe("0", "auto");
    client.send("UNSUBSCRIBE", &[("id", "0"), ("receipt", "r")]);
    let Command::Unsubscribe { token, subscription: stopped, delete: false } = client.command()
    else {
        panic!("an unsubscribe")
    };
    assert_eq!(stopped, subscription);
    assert_eq!(client.frames(), []);
    client.pair.event(Event::Unsubscribed { token });
    assert_eq!(client.receipts(), ["r"]);
}

#[test]
fn server_unsubscribe_by_destination_does_not_end_a_subscription_that_has_an_id() {
    for version in ["1.0", "1.1", "1.2"] {
        let mut client = Client::connected(version);
        client.subscribe("0", "auto");
        client.send("UNSUBSCRIBE", &[("destination", "/queue/a")]);
        let error = client.policy_violation("No subscription found");
        assert!(sentence(&error).contains("/queue/a"));
    }
}

#[test]
fn v12_unsubscribe_needs_an_id_or_a_destination() {
    for version in ["1.0", "1.1", "1.2"] {
        let mut client = Client::connected(version);
        client.subscribe("0", "auto");
        client.send("UNSUBSCRIBE", &[]);
        let error = client.policy_violation("Missing destination or id");
        assert!(sentence(&error).contains("id") && sentence(&error).contains("destination"));
    }
}

#[test]
fn v12_unsubscribe_of_nothing_is_refused() {
    let mut client = Client::connected("1.2");
    client.send("UNSUBSCRIBE", &[("id", "0"), ("receipt", "r")]);
    let error = client.policy_violation("No subscription found");
    assert_eq!(error.header("receipt-id"), Some("r"));

    let mut client = Client::connected("1.2");
    client.subscribe("0", "auto");
    client.send("UNSUBSCRIBE", &[("id", "0")]);
    client.commands();
    client.send("UNSUBSCRIBE", &[("id", "0")]);
    client.policy_violation("No subscription found");
}

#[test]
fn v12_no_message_comes_after_unsubscribe_and_what_was_on_its_way_goes_back() {
    for ack in ["auto", "client", "client-individual"] {
        let mut client = Client::connected("1.2");
        let subscription = client.subscribe("0", ack);
        client.send("UNSUBSCRIBE", &[("id", "0")]);
        let Command::Unsubscribe { token, .. } = client.command() else { panic!() };
        client.event_delivery(subscription, 7, Message::default());
        assert_eq!(client.frames(), []);
        let requeue = Command::Settle {
            subscription,
            up_to: DeliveryTag(7),
            verdict: Verdict::Requeue,
            cumulative: false,
        };
        assert_eq!(client.commands(), [requeue]);
        client.pair.event(Event::Unsubscribed { token });
        assert!(client.is_open());
    }
}

#[test]
fn v12_an_id_is_free_again_after_unsubscribe() {
    let mut client = Client::connected("1.2");
    let first = client.subscribe("0", "auto");
    client.send("UNSUBSCRIBE", &[("id", "0")]);
    client.commands();
    let second = client.subscribe("0", "auto");
    assert_ne!(first, second);
    client.event_delivery(first, 1, Message::default());
    assert_eq!(client.frames(), []);
    assert_eq!(client.deliver(second, 2).header("subscription"), Some("0"));
}

#[test]
fn v12_a_subscription_ended_by_the_broker_is_an_error_that_names_it() {
    let mut client = Client::connected("1.2");
    client.subscribe("0", "auto");
    let second = client.subscribe("1", "auto");
    client.pair.event(Event::Canceled { subscription: second, error: not_found() });
    let Refusal { error, close } = client.refusal();
    assert_eq!(error.header("message"), Some("Server cancelled subscription"));
    assert_eq!(error.header("subscription"), Some("1"));
    assert_eq!((close.code, close.cause), (CloseCode::Policy, CloseCause::Broker));
}

#[test]
fn server_a_subscription_without_id_is_named_by_its_destination_when_it_ends() {
    let mut client = Client::connected("1.2");
    client.send("SUBSCRIBE", &[("destination", "/queue/a_b")]);
    let subscription = client.agree();
    client.pair.event(Event::Canceled { subscription, error: not_found() });
    assert_eq!(client.refusal().error.header("subscription"), Some("/queue/a_b"));
}

#[test]
fn v12_a_subscription_given_up_may_be_ended_by_the_broker_as_well() {
    let mut client = Client::connected("1.2");
    let subscription = client.subscribe("0", "auto");
    client.send("UNSUBSCRIBE", &[("id", "0"), ("receipt", "r")]);
    client.pair.event(Event::Canceled { subscription, error: not_found() });
    assert!(client.is_open());
}
