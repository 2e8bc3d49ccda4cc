//! Destinations of users.

use protocols::broker::{Address, Command, Message, Publication, SubscriptionId, Verdict};
use protocols::broker::{DeliveryTag, Event};
use protocols::policy::Policy;
use protocols::session::Shared;

use crate::client::Client;

/// A client whose user may send to users.
fn sender() -> Client {
    let mut policy = Policy::default();
    policy.stomp.send_to_users = vec!["guest".into()];
    Client::connected_with("1.2", policy)
}

fn deliver(client: &mut Client, subscription: SubscriptionId, key: &str) {
    let publication = Publication {
        exchange: "amq.topic".into(),
        routing_key: key.into(),
        message: Message::default(),
    };
    client.pair.event(Event::Delivery {
        subscription,
        tag: DeliveryTag(1),
        redelivered: false,
        publication: publication.into(),
    });
}

#[test]
fn server_subscribes_a_user_to_its_own_topic() {
    let mut client = Client::connected("1.2");
    client.send("SUBSCRIBE", &[("id", "0"), ("destination", "/user/queue/news.*")]);
    match client.pair.shared.pop_front() {
        Some(Shared::Join { topic, .. }) => assert_eq!(topic, "gw.user.guest.news.*"),
        other => panic!("{other:?}"),
    }
    let own = [("id", "1"), ("destination", "/user/queue/a%2Fb"), ("ack", "client")];
    client.send("SUBSCRIBE", &own);
    let Command::Subscribe { from, subscription, token, .. } = client.command() else {
        panic!("one of its own")
    };
    assert_eq!(from, Address::Topic("gw.user.guest.a/b".into()));
    client.pair.event(Event::Subscribed { token });
    deliver(&mut client, subscription, "gw.user.guest.a/b");
    assert_eq!(client.frame().header("destination"), Some("/user/queue/a%2Fb"));
}

#[test]
fn server_sends_to_a_user_where_the_route_allows_it() {
    let mut client = sender();
    for (destination, key) in [
        ("/user/bob/queue/news", "gw.user.bob.news"),
        ("/user/a.b/queue/c", "gw.user.a%2Eb.c"),
        ("/user/%2A/queue/c", "gw.user.%2A.c"),
        ("/topic/gw.user.bob.news", "gw.user.bob.news"),
    ] {
        client.send("SEND", &[("destination", destination)]);
        match client.command() {
            Command::Publish { to, .. } => assert_eq!(to, Address::Topic(key.into())),
            other => panic!("{other:?}"),
        }
    }
    for destination in
        ["/user/bob/queue/news", "/topic/gw.user.bob.news", "/exchange/amq.topic/gw.user.bob.news"]
    {
        let mut other = Client::connected("1.2");
        other.send("SEND", &[("destination", destination), ("receipt", "r")]);
        let error = other.policy_violation("access_refused");
        assert_eq!(error.header("receipt-id"), Some("r"));
    }
}

#[test]
fn server_refuses_whoever_names_what_is_for_another() {
    for destination in [
        "/topic/gw.user.bob.news",
        "/topic/gw.user.*.news",
        "/topic/gw.user.#",
        "/exchange/amq.topic/gw.user.bob.news",
        "/exchange/any/gw.user.bob.#",
        "/topic/gw%2Euser.bob.news",
    ] {
        let mut client = Client::connected("1.2");
        client.send("SUBSCRIBE", &[("id", "0"), ("destination", destination)]);
        client.policy_violation("access_refused");
    }
    for destination in
        ["/user", "/user/", "/user/queue", "/user/queue/", "/user/topic/a", "/user/queue/a/b"]
    {
        let mut client = Client::connected("1.2");
        client.send("SUBSCRIBE", &[("id", "0"), ("destination", destination)]);
        let error = client.policy_violation(if destination == "/user" {
            "Unknown destination"
        } else {
            "Invalid destination"
        });
        assert!(!error.body.is_empty());
    }
}

#[test]
fn server_keeps_what_is_for_a_user_from_everybodys_patterns() {
    let mut client = Client::connected("1.2");
    let patterns = [
        ("0", "/topic/#", true),
        ("1", "/topic/gw.*.bob.news", true),
        ("2", "/exchange/amq.topic/#", true),
        ("3", "/exchange/elsewhere", true),
        // Whoever put it into a queue by that name wanted it to be consumed there.
        ("4", "/queue/audit", false),
    ];
    for (id, destination, is_kept) in patterns {
        let headers = [("id", id), ("destination", destination), ("ack", "client")];
        client.send("SUBSCRIBE", &headers);
        let subscription = client.agree();
        deliver(&mut client, subscription, "gw.user.bob.news");
        if is_kept {
            assert!(client.frames().is_empty(), "{destination}");
            match client.command() {
                Command::Settle { verdict, .. } => assert_eq!(verdict, Verdict::Accept),
                other => panic!("{other:?}"),
            }
            deliver(&mut client, subscription, "gw.users");
        }
        assert_eq!(client.frame().verb, "MESSAGE");
    }
}
