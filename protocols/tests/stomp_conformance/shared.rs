//! Subscriptions to topics that sessions share.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use protocols::Session;
use protocols::broker::{
    BrokerError, BrokerErrorKind, Event, Message, Publication, SubscriptionId, Token,
};
use protocols::delivery::{DeliveryEncoder, SharedDelivery};
use protocols::session::{FrameKind, OutFrame, Shared};
use protocols::stomp::compat::{Compat, Switch};

use crate::client::{Client, WireFrame};

type Joined = (Token, SubscriptionId, Arc<dyn DeliveryEncoder>);

/// The join that a SUBSCRIBE to this topic leads to.
fn join(client: &mut Client, id: &str, topic: &str) -> Joined {
    let destination = format!("/topic/{topic}");
    client.send("SUBSCRIBE", &[("id", id), ("destination", &destination), ("receipt", "r")]);
    let Some(Shared::Join { token, subscription, topic: joined, encoder }) =
        client.pair.shared.pop_front()
    else {
        panic!("a join was expected, not {:?}", client.pair.commands);
    };
    assert_eq!(joined, topic);
    (token, subscription, encoder)
}

fn joined(client: &mut Client, id: &str, topic: &str) -> Joined {
    let joined = join(client, id, topic);
    client.pair.event(Event::Subscribed { token: joined.0 });
    assert_eq!(client.frame().verb, "RECEIPT");
    joined
}

fn encoded(encoder: &dyn DeliveryEncoder, body: &'static [u8]) -> (FrameKind, Bytes) {
    let message = Message { body: Bytes::from_static(body), ..Message::default() };
    let publication =
        Publication { exchange: "amq.topic".into(), routing_key: "news.a".into(), message };
    let delivery = SharedDelivery {
        inbox: "inbox",
        sequence: 7,
        redelivered: false,
        publication: &publication,
    };
    encoder.encode(&delivery).unwrap()
}

#[test]
fn server_shares_a_plain_subscription_to_a_topic() {
    let mut client = Client::connected("1.2");
    let (_, _, encoder) = joined(&mut client, "0", "news.*");
    assert!(client.pair.commands.is_empty(), "nothing of its own at the broker");
    let (kind, bytes) = encoded(&*encoder, b"hello");
    assert_eq!(kind, FrameKind::Text);
    let frame = WireFrame::read(&OutFrame::new(kind, bytes));
    assert_eq!(frame.verb, "MESSAGE");
    assert_eq!(frame.header("subscription"), Some("0"));
    assert_eq!(frame.header("destination"), Some("/topic/news.a"));
    assert_eq!(frame.header("message-id"), Some("T_0@@inbox@@7"));
    assert_eq!(frame.header("redelivered"), Some("false"));
    assert_eq!(frame.header("ack"), None);
    assert_eq!(frame.body, b"hello");
    assert_eq!(encoded(&*encoder, b"\xff").0, FrameKind::Binary);
}

#[test]
fn server_shares_no_more_than_a_few_subscriptions_of_a_client_to_one_topic() {
    let mut client = Client::connected("1.2");
    for id in ["1", "2", "3", "4", "5", "6", "7", "8"] {
        joined(&mut client, id, "news");
    }
    client.send("SUBSCRIBE", &[("id", "9"), ("destination", "/topic/news")]);
    assert!(client.pair.shared.is_empty(), "the others would wait for its frames");
    client.agree();
    joined(&mut client, "10", "other");
}

#[test]
fn server_writes_the_same_bytes_for_those_who_call_it_the_same_in_the_same_version() {
    let key = |version: &'static str, id: &str| {
        let mut client = Client::connected(version);
        join(&mut client, id, "news").2.key().clone()
    };
    assert_eq!(key("1.2", "0"), key("1.2", "0"));
    assert_ne!(key("1.2", "0"), key("1.2", "1"));
    assert_ne!(key("1.2", "0"), key("1.1", "0"));
}

#[test]
fn server_does_not_share_what_is_the_clients_own() {
    let own: [&[(&str, &str)]; 8] = [
        &[("ack", "client")],
        &[("ack", "client-individual")],
        &[("prefetch-count", "5")],
        &[("exclusive", "true")],
        &[("auto-delete", "false")],
        &[("persistent", "true")],
        &[("x-queue-name", "q")],
        &[("x-max-length", "5")],
    ];
    for headers in own {
        let mut client = Client::connected("1.2");
        let all = [&[("id", "0"), ("destination", "/topic/news")], headers].concat();
        client.send("SUBSCRIBE", &all);
        client.agree();
        assert!(client.pair.shared.is_empty(), "{headers:?}");
    }
    let many_words = format!("/topic/{}", ["a"; 33].join("."));
    for destination in ["/queue/news", "/exchange/amq.topic/news", "/topic/#.#.#.#.#", &many_words]
    {
        let mut client = Client::connected("1.2");
        client.send("SUBSCRIBE", &[("id", "0"), ("destination", destination)]);
        client.agree();
        assert!(client.pair.shared.is_empty(), "{destination}");
    }
    let mut policy = protocols::policy::Policy::default();
    policy.stomp.compat = Compat::NONE.with(Switch::OwnQueues);
    let mut client = Client::connected_with("1.2", policy);
    client.send("SUBSCRIBE", &[("id", "0"), ("destination", "/topic/news")]);
    client.agree();
}

#[test]
fn server_leaves_what_it_shares_when_the_client_unsubscribes() {
    let mut client = Client::connected("1.2");
    let (_, subscription, _) = joined(&mut client, "0", "news");
    client.send("UNSUBSCRIBE", &[("id", "0"), ("receipt", "u")]);
    let Some(Shared::Leave { token, subscription: left }) = client.pair.shared.pop_front() else {
        panic!("it leaves");
    };
    assert_eq!(left, subscription);
    client.pair.event(Event::Unsubscribed { token });
    assert_eq!(client.frame().header("receipt-id"), Some("u"));
    // The name is free again, and the old subscription is forgotten.
    joined(&mut client, "0", "news");
}

#[test]
fn server_tells_a_client_whose_shared_subscription_is_refused_or_ends() {
    let error = BrokerError::new(BrokerErrorKind::AccessRefused, "ACCESS_REFUSED - no");
    let mut refused = Client::connected("1.2");
    let (token, ..) = join(&mut refused, "0", "news");
    refused.pair.event(Event::Failed { token, error: error.clone() });
    let frame = refused.frame();
    assert_eq!((frame.verb.as_str(), frame.header("receipt-id")), ("ERROR", Some("r")));
    let mut canceled = Client::connected("1.2");
    let (_, subscription, _) = joined(&mut canceled, "0", "news");
    canceled.pair.event(Event::Canceled { subscription, error });
    assert_eq!(canceled.frame().header("subscription"), Some("0"));
    assert!(!canceled.is_open());
}

#[test]
fn server_shares_nothing_any_more_once_it_says_goodbye() {
    let mut client = Client::connected("1.2");
    joined(&mut client, "0", "news");
    client.send("DISCONNECT", &[("receipt", "bye")]);
    assert!(matches!(client.pair.shared.pop_front(), Some(Shared::LeaveAll)));
    assert!(client.pair.shared.is_empty());
}

#[test]
fn server_counts_shared_output_as_a_heart_beat() {
    let mut client = Client::new();
    client.send("CONNECT", &[("accept-version", "1.2"), ("heart-beat", "0,2000")]);
    client.granted();
    client.pair.advance(Duration::from_millis(1_500));
    client.pair.step(|session: &mut dyn Session, now, _| session.note_shared_output(now));
    client.pair.advance(Duration::from_millis(1_000));
    assert_eq!(client.beats(), 0, "the peer has just heard something");
    client.pair.advance(Duration::from_millis(1_000));
    assert_eq!(client.beats(), 1);
}
