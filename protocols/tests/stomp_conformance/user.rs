//! Destinations of users.

use protocols::broker::{Address, Command, Message, Publication, SubscriptionId, Verdict};
use protocols::broker::{DeliveryTag, Event, Properties, Value};
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
    deliver_from(client, subscription, "amq.topic", key);
}

fn deliver_from(client: &mut Client, subscription: SubscriptionId, exchange: &str, key: &str) {
    let message = Message::default();
    let publication = Publication { exchange: exchange.into(), routing_key: key.into(), message };
    deliver_it(client, subscription, publication);
}

/// What was sent to this key, and comes by a queue that has given it up.
fn deliver_dead(client: &mut Client, subscription: SubscriptionId, key: &str) {
    let death = Value::Table(vec![
        ("exchange".into(), Value::Text("amq.topic".into())),
        ("routing-keys".into(), Value::Array(vec![Value::Text(key.into())])),
    ]);
    let headers = [("x-death".into(), Value::Array(vec![death]))].into_iter().collect();
    let properties = Properties { headers, ..Properties::default() };
    let message = Message { properties, ..Message::default() };
    let publication =
        Publication { exchange: "amq.topic".into(), routing_key: "evil".into(), message };
    deliver_it(client, subscription, publication);
}

/// A message came that the client is not to see: it is done with.
fn expect_kept(client: &mut Client) {
    assert!(client.frames().is_empty());
    match client.command() {
        Command::Settle { verdict, .. } => assert_eq!(verdict, Verdict::Skip),
        other => panic!("{other:?}"),
    }
}

fn deliver_it(client: &mut Client, subscription: SubscriptionId, publication: Publication) {
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
        ("0", "/topic/#"),
        ("1", "/topic/gw.*.bob.news"),
        ("2", "/exchange/amq.topic/#"),
        ("3", "/exchange/elsewhere"),
    ];
    for (id, destination) in patterns {
        let headers = [("id", id), ("destination", destination), ("ack", "client")];
        client.send("SUBSCRIBE", &headers);
        let subscription = client.agree();
        deliver(&mut client, subscription, "gw.user.bob.news");
        expect_kept(&mut client);
        deliver(&mut client, subscription, "gw.users");
        assert_eq!(client.frame().verb, "MESSAGE");
    }
    // Whichever exchange topics live in.
    client
        .send("SUBSCRIBE", &[("id", "4"), ("destination", "/exchange/other/#"), ("ack", "client")]);
    let subscription = client.agree();
    deliver_from(&mut client, subscription, "other", "gw.user.bob.news");
    expect_kept(&mut client);
}

/// Ways to a queue that holds what `/topic/#` or a backend has bound it to.
const QUEUES: [&[(&str, &str)]; 5] = [
    &[("destination", "/amq/queue/bobs")],
    &[("destination", "/queue/bobs")],
    &[("destination", "/reply-queue/bobs")],
    &[("destination", "/user/queue/x"), ("x-queue-name", "bobs")],
    &[("destination", "/user/queue/x"), ("durable", "true")],
];

#[test]
fn server_keeps_what_is_for_a_user_from_who_consumes_a_queue_that_has_it() {
    for headers in QUEUES {
        let mut client = Client::connected("1.2");
        client.send("SUBSCRIBE", &[headers, &[("id", "0")]].concat());
        let subscription = client.agree();
        deliver(&mut client, subscription, "gw.user.ann.news");
        expect_kept(&mut client);
        deliver_dead(&mut client, subscription, "gw.user.ann.news");
        expect_kept(&mut client);
        deliver(&mut client, subscription, "gw.user.guest.news");
        assert_eq!(client.frame().header("destination"), Some("/user/queue/news"));
        deliver_dead(&mut client, subscription, "gw.user.guest.news");
        deliver_dead(&mut client, subscription, "news");
        deliver_from(&mut client, subscription, "", "gw.user.ann.news");
        assert_eq!(client.frames().len(), 3, "{headers:?}");
    }
}

#[test]
fn server_gives_it_from_queues_to_who_may_send_to_users() {
    for headers in QUEUES {
        let mut client = sender();
        client.send("SUBSCRIBE", &[headers, &[("id", "0")]].concat());
        let subscription = client.agree();
        deliver(&mut client, subscription, "gw.user.ann.news");
        deliver_dead(&mut client, subscription, "gw.user.ann.news");
        assert_eq!(client.frames().len(), 2, "{headers:?}");
    }
}

#[test]
fn server_keeps_from_topics_what_was_for_a_user_before_a_queue_gave_it_up() {
    let mut client = Client::connected("1.2");
    client.send("SUBSCRIBE", &[("id", "0"), ("destination", "/topic/evil"), ("ack", "client")]);
    let subscription = client.agree();
    deliver_dead(&mut client, subscription, "gw.user.ann.news");
    expect_kept(&mut client);
    deliver_dead(&mut client, subscription, "news");
    assert_eq!(client.frame().verb, "MESSAGE");
}

#[test]
fn server_refuses_queues_that_would_send_to_users_what_they_give_up() {
    let forged = ("x-dead-letter-routing-key", "gw.user.ann.news");
    let elsewhere = ("x-dead-letter-exchange", "amq.topic");
    let cases: [(&str, &[(&str, &str)]); 9] = [
        ("SEND", &[("destination", "/queue/f"), elsewhere, forged]),
        ("SEND", &[("destination", "/queue/f"), ("transaction", "t"), elsewhere, forged]),
        ("SUBSCRIBE", &[("destination", "/queue/f"), elsewhere, forged]),
        ("SUBSCRIBE", &[("destination", "/topic/f"), elsewhere, forged]),
        ("SUBSCRIBE", &[("destination", "/exchange/amq.topic/f"), elsewhere, forged]),
        // A queue gives up under its own name what was sent to that.
        ("SEND", &[("destination", "/queue/gw.user.ann.news"), elsewhere]),
        ("SEND", &[("destination", "/amq/queue/gw.user.ann.news")]),
        ("SUBSCRIBE", &[("destination", "/queue/gw.user.ann.news"), elsewhere]),
        (
            "SUBSCRIBE",
            &[("destination", "/topic/f"), ("x-queue-name", "gw.user.ann.news"), elsewhere],
        ),
    ];
    for (verb, headers) in cases {
        let mut client = Client::connected("1.2");
        client.send("BEGIN", &[("transaction", "t")]);
        client.send(verb, &[headers, &[("id", "0"), ("receipt", "r")]].concat());
        let error = client.policy_violation("access_refused");
        assert_eq!(error.header("receipt-id"), Some("r"), "{headers:?}");
        assert!(client.commands().is_empty(), "{headers:?}");
        let mut client = sender();
        client.send("BEGIN", &[("transaction", "t")]);
        client.send(verb, &[headers, &[("id", "0")]].concat());
        assert!(client.is_open(), "{headers:?}");
    }
    let mut client = Client::connected("1.2");
    let plain = ("x-dead-letter-routing-key", "gw.users");
    client.send("SEND", &[("destination", "/queue/f"), elsewhere, plain]);
    client.publish();
}
