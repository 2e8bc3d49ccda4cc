//! Sessions that another connection can go on with. The specification knows none.

use std::time::Duration;

use protocols::auth::{AuthReply, Grant};
use protocols::broker::{
    Address, BrokerError, BrokerErrorKind, Command, DeliveryTag, Event, Message, Properties,
    Publication, SubscriptionId, Token, Value, Verdict,
};
use protocols::policy::Policy;
use protocols::session::{CloseCause, CloseCode, Once, Settled};
use protocols::stomp::Stomp;

use crate::client::{Client, Pair, WireFrame, sentence};

const RESUME: &[(&str, &str)] = &[("accept-version", "1.2"), ("resume", "60000")];

/// What was asked of the broker when a session was to begin, or to be gone on with.
struct Asked {
    token: Token,
    known: Option<String>,
    fresh: String,
    lifetime: Duration,
}

fn asked(client: &mut Client) -> Asked {
    match client.command() {
        Command::Resume { token, subscription, known, fresh, lifetime } => {
            assert_eq!(subscription, SubscriptionId(0));
            let known = known.map(|it| it.to_string());
            Asked { token, known, fresh: fresh.to_string(), lifetime }
        }
        other => panic!("{other:?}"),
    }
}

fn connecting(headers: &[(&str, &str)], user: &str) -> (Client, Asked) {
    let mut client = Client::new();
    client.send("CONNECT", headers);
    client.login();
    let grant = Grant { user: user.into(), vhost: "/".into() };
    client.pair.reply(AuthReply::Granted(grant));
    assert!(client.frames().is_empty(), "CONNECTED waits for the broker");
    let asked = asked(&mut client);
    (client, asked)
}

fn answered(client: &mut Client, token: Token, found: bool) -> WireFrame {
    client.pair.event(Event::Resumed { token, found });
    let connected = client.frame();
    assert_eq!(connected.verb, "CONNECTED");
    connected
}

/// A client whose session has begun, and the token of that.
fn begun() -> (Client, String) {
    let (mut client, asked) = connecting(RESUME, "ann");
    let connected = answered(&mut client, asked.token, false);
    let token = connected.header("resume-token").unwrap().to_owned();
    (client, token)
}

/// The SUBSCRIBE that was sent last.
fn subscribing(client: &mut Client) -> (SubscriptionId, Option<String>) {
    match client.command() {
        Command::Subscribe { token, subscription, queue, .. } => {
            client.pair.event(Event::Subscribed { token });
            let lasting = queue.lasting.map(|it| it.name.to_string());
            (subscription, lasting)
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn server_begins_a_session_that_can_be_resumed_for_who_asks_for_it() {
    let (mut client, asked) = connecting(RESUME, "ann");
    assert_eq!((asked.known, asked.lifetime), (None, Duration::from_secs(60)));
    let connected = answered(&mut client, asked.token, false);
    assert_eq!(connected.header("resumed"), Some("false"));
    assert_eq!(connected.header("resume"), Some("60000"));
    assert_eq!(connected.header("resume-token"), Some("secret"));

    let connected = Client::new().connect(&[("accept-version", "1.2")]);
    for header in ["resume", "resumed", "resume-token"] {
        assert_eq!(connected.header(header), None);
    }
}

#[test]
fn server_goes_on_with_the_session_of_a_token_where_the_broker_has_it() {
    let (_, began) = connecting(RESUME, "ann");
    let headers = [RESUME, &[("resume-token", "secret")]].concat();
    for (found, token) in [(true, "known"), (false, "secret")] {
        let headers = [RESUME, &[("resume-token", "known")]].concat();
        let (mut client, asked) = connecting(&headers, "ann");
        assert_ne!(asked.known, Some(asked.fresh));
        let connected = answered(&mut client, asked.token, found);
        assert_eq!(connected.header("resumed"), Some(if found { "true" } else { "false" }));
        assert_eq!(connected.header("resume-token"), Some(token), "only the server makes them up");
    }
    let (_, resumed) = connecting(&headers, "ann");
    assert_eq!(resumed.known, Some(began.fresh.clone()), "the same on every node");
    let (_, other) = connecting(&headers, "bob");
    assert_ne!(other.known, Some(began.fresh), "it is of no use to another user");
}

#[test]
fn server_limits_how_long_a_session_stays() {
    let mut policy = Policy::default();
    policy.stomp.max_resume = Duration::from_secs(10);
    let mut client = Client::with_policy(policy.clone());
    client.send("CONNECT", RESUME);
    client.login();
    client.grant();
    let asked = asked(&mut client);
    assert_eq!(asked.lifetime, Duration::from_secs(10));
    assert_eq!(answered(&mut client, asked.token, false).header("resume"), Some("10000"));

    policy.stomp.max_resume = Duration::ZERO;
    let connected = Client::with_policy(policy).connect(RESUME);
    assert_eq!(connected.header("resume-token"), None, "none stays");
    let connected = Client::new().connect(&[("accept-version", "1.2"), ("resume", "0")]);
    assert_eq!(connected.header("resume-token"), None);
}

#[test]
fn server_refuses_a_time_that_is_none_and_a_token_without_a_time() {
    for (headers, message) in [
        ([("accept-version", "1.2"), ("resume", "long")], "Invalid header"),
        ([("accept-version", "1.2"), ("resume-token", "secret")], "Missing header"),
    ] {
        let mut client = Client::new();
        client.send("CONNECT", &headers);
        assert!(sentence(&client.policy_violation(message)).contains("resume"));
    }
}

#[test]
fn server_reads_nothing_until_the_broker_has_the_session() {
    let (mut client, asked) = connecting(RESUME, "ann");
    client.send("SEND", &[("destination", "/queue/a")]);
    assert!(client.commands().is_empty());
    answered(&mut client, asked.token, false);
    client.publish();

    let (mut client, _) = connecting(RESUME, "ann");
    client.send_raw(&[b'x'; 65_537]);
    client.violation("Frame too large", CloseCode::TooBig);

    let (mut client, _) = connecting(RESUME, "ann");
    client.advance(10_000);
    let refusal = client.refusal();
    assert_eq!(refusal.error.header("message"), Some("Broker unavailable"));
    assert_eq!(refusal.close.code, CloseCode::TryAgainLater, "it is not the client's fault");
}

#[test]
fn server_tells_why_there_can_be_no_session() {
    let (mut client, asked) = connecting(RESUME, "ann");
    let error = BrokerError::new(BrokerErrorKind::AccessRefused, "ACCESS_REFUSED - why");
    client.pair.event(Event::Failed { token: asked.token, error });
    let refusal = client.refusal();
    assert_eq!(sentence(&refusal.error), "ACCESS_REFUSED - why");
}

#[test]
fn server_keeps_what_is_subscribed_to_and_names_it_alike_on_every_connection() {
    let names = || {
        let (mut client, _) = begun();
        let mut names = Vec::new();
        for (id, destination, ack) in [
            ("0", "/topic/a.*", "auto"),
            ("1", "/topic/a.*", "client"),
            ("2", "/topic/b", "client-individual"),
            ("3", "/exchange/amq.fanout", "auto"),
            ("4", "/user/queue/news", "client"),
        ] {
            client.send("SUBSCRIBE", &[("id", id), ("destination", destination), ("ack", ack)]);
            names.push(subscribing(&mut client).1.expect("it lasts"));
        }
        assert!(client.pair.shared.is_empty());
        names
    };
    let all = names();
    assert_eq!(all, names());
    let distinct: std::collections::BTreeSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
}

#[test]
fn server_leaves_queues_with_names_as_they_are() {
    let (mut client, _) = begun();
    let durable = [("id", "1"), ("destination", "/topic/a"), ("durable", "true")];
    let lasting = [("auto-delete", "false")];
    for headers in [&[("id", "0"), ("destination", "/queue/a")][..], &[durable, durable].concat()] {
        let headers = [headers, &lasting].concat();
        client.send("SUBSCRIBE", &headers);
        assert_eq!(subscribing(&mut client).1, None);
    }
}

#[test]
fn server_refuses_a_queue_that_would_not_outlast_the_connection() {
    for (header, value) in [
        ("exclusive", "true"),
        ("auto-delete", "true"),
        ("x-message-ttl", "5"),
        ("x-priority", "1"),
        ("x-queue-name", "mine"),
        ("durable", "true"),
    ] {
        let (mut client, _) = begun();
        let topic = [("id", "0"), ("destination", "/topic/a"), (header, value)];
        client.send("SUBSCRIBE", &topic);
        let error = client.policy_violation("Invalid header");
        assert!(sentence(&error).contains("`resume`"), "{header}: {}", sentence(&error));
    }
}

#[test]
fn server_binds_as_the_client_says() {
    let (mut client, _) = begun();
    let mut named = |id: &str, value: &str| {
        let headers = [("id", id), ("destination", "/exchange/amq.headers"), ("x-bind-a", value)];
        client.send("SUBSCRIBE", &headers);
        let Command::Subscribe { queue, from, .. } = client.command() else {
            panic!("a subscribe")
        };
        assert_eq!(from, Address::Exchange { name: "amq.headers".into(), key: "".into() });
        assert_eq!(queue.binding, [("a".into(), Value::Text(value.into()))]);
        queue.lasting.unwrap().name
    };
    assert_ne!(named("0", "b"), named("1", "b"));
}

#[test]
fn server_settles_what_it_was_not_asked_to_acknowledge_once_the_client_has_received_it() {
    let (mut client, _) = begun();
    for (id, destination) in [("0", "/topic/a"), ("1", "/queue/a")] {
        client.send("SUBSCRIBE", &[("id", id), ("destination", destination)]);
        let (subscription, _) = subscribing(&mut client);
        client.event_delivery(subscription, 7, Message::default());
        let settled = Settled { subscription, tag: DeliveryTag(7), once: Once::Received };
        assert_eq!(client.pair.frames.pop_front().unwrap().settles, Some(settled));
    }
}

#[test]
fn server_wants_acknowledgements_where_nothing_tells_what_was_received() {
    let pair = Pair::open_as(&Stomp, None, Policy::default(), |setup| setup.can_confirm = false);
    let mut client = Client { pair };
    client.send("CONNECT", RESUME);
    client.login();
    client.grant();
    let asked = asked(&mut client);
    answered(&mut client, asked.token, false);
    client.send("SUBSCRIBE", &[("id", "0"), ("destination", "/topic/a"), ("ack", "client")]);
    assert!(subscribing(&mut client).1.is_some());
    client.send("SUBSCRIBE", &[("id", "1"), ("destination", "/queue/a"), ("ack", "client")]);
    assert!(subscribing(&mut client).1.is_none());
    client.send("SUBSCRIBE", &[("id", "2"), ("destination", "/queue/a")]);
    let error = client.policy_violation("Invalid header");
    assert!(sentence(&error).contains("client-individual"), "{}", sentence(&error));
}

#[test]
fn server_tells_of_a_gap_with_the_first_message_behind_it() {
    let (mut client, _) = begun();
    client.send("SUBSCRIBE", &[("id", "0"), ("destination", "/topic/a"), ("ack", "client")]);
    let (subscription, _) = subscribing(&mut client);
    assert_eq!(client.deliver(subscription, 1).header("x-gap"), None);
    client.pair.event(Event::Gap { subscription });
    assert!(client.frames().is_empty());
    assert_eq!(client.deliver(subscription, 2).header("x-gap"), Some("true"));
    let headers = [("x-gap".into(), Value::Text("true".into()))].into_iter().collect();
    let properties = Properties { headers, ..Properties::default() };
    client.event_delivery(subscription, 3, Message { properties, ..Message::default() });
    assert_eq!(client.frame().header("x-gap"), None, "no publisher says so");
}

#[test]
fn server_tells_of_a_gap_with_what_it_shows_the_client() {
    let (mut client, _) = begun();
    let all = [("id", "0"), ("destination", "/topic/#"), ("ack", "client-individual")];
    client.send("SUBSCRIBE", &all);
    let (subscription, _) = subscribing(&mut client);
    client.pair.event(Event::Gap { subscription });
    let publication = Publication {
        exchange: "amq.topic".into(),
        routing_key: "gw.user.bob.a".into(),
        message: Message::default(),
    };
    client.pair.event(Event::Delivery {
        subscription,
        tag: DeliveryTag(1),
        redelivered: false,
        publication: publication.into(),
    });
    assert!(client.frames().is_empty());
    match client.command() {
        Command::Settle { verdict, .. } => assert_eq!(verdict, Verdict::Skip),
        other => panic!("{other:?}"),
    }
    assert_eq!(client.deliver(subscription, 2).header("x-gap"), Some("true"));
}

#[test]
fn server_gives_up_what_the_client_gives_up() {
    let (mut client, _) = begun();
    client.send("SUBSCRIBE", &[("id", "0"), ("destination", "/topic/a")]);
    let (first, _) = subscribing(&mut client);
    client.send("SUBSCRIBE", &[("id", "1"), ("destination", "/topic/a")]);
    let (second, _) = subscribing(&mut client);
    client.send("SUBSCRIBE", &[("id", "2"), ("destination", "/queue/a")]);
    subscribing(&mut client);
    let deleted = |client: &mut Client| -> Vec<_> {
        let commands = client.commands().into_iter();
        let deleted = commands.map(|it| match it {
            Command::Unsubscribe { subscription, delete: true, .. } => subscription,
            other => panic!("{other:?}"),
        });
        deleted.collect()
    };
    client.send("UNSUBSCRIBE", &[("id", "0")]);
    assert_eq!(deleted(&mut client), [first]);
    client.send("DISCONNECT", &[("receipt", "bye")]);
    let last = client.pair.commands.back().cloned();
    assert_eq!(deleted(&mut client), [second, SubscriptionId(0)]);
    assert!(client.receipts().is_empty(), "the session is still there");
    let Some(Command::Unsubscribe { token, .. }) = last else { panic!("{last:?}") };
    client.pair.event(Event::Unsubscribed { token });
    assert_eq!(client.receipts(), ["bye"]);
}

#[test]
fn server_gives_up_nothing_when_it_ends_the_connection_itself() {
    let (mut client, _) = begun();
    client.send("SUBSCRIBE", &[("id", "0"), ("destination", "/topic/a")]);
    subscribing(&mut client);
    client.pair.start_drain();
    assert!(client.commands().is_empty());
    assert_eq!(client.frame().verb, "ERROR");
}

#[test]
fn server_tells_who_another_connection_has_taken_the_session_from() {
    for soft in ["true", "false"] {
        let headers = [RESUME, &[("soft-errors", soft)]].concat();
        let (mut client, asked) = connecting(&headers, "ann");
        answered(&mut client, asked.token, false);
        let error = BrokerError::new(BrokerErrorKind::ResourceLocked, "why");
        client.pair.event(Event::Canceled { subscription: SubscriptionId(0), error });
        let refusal = client.refusal();
        assert_eq!(refusal.error.header("message"), Some("Session resumed elsewhere"));
        assert_eq!(refusal.close.cause, CloseCause::Broker);
        assert!(client.commands().is_empty(), "it is another's now");
    }
}

#[test]
fn server_tells_who_has_lost_the_session_otherwise() {
    let (mut client, _) = begun();
    let error = BrokerError::new(BrokerErrorKind::Unavailable, "why");
    client.pair.event(Event::Canceled { subscription: SubscriptionId(0), error });
    assert_eq!(client.refusal().error.header("message"), Some("Broker unavailable"));
}

#[test]
fn v10_and_v11_clients_resume_too() {
    for version in ["1.0", "1.1"] {
        let headers = [("accept-version", version), ("resume", "60000"), ("resume-token", "known")];
        let (mut client, asked) = connecting(&headers, "ann");
        let connected = answered(&mut client, asked.token, true);
        assert_eq!(connected.header("version"), Some(version));
        assert_eq!(connected.header("resume-token"), Some("known"));
        client.send("SUBSCRIBE", &[("id", "0"), ("destination", "/topic/a"), ("ack", "client")]);
        let (subscription, lasting) = subscribing(&mut client);
        assert!(lasting.is_some());
        client.pair.event(Event::Gap { subscription });
        assert_eq!(client.deliver(subscription, 1).header("x-gap"), Some("true"));
    }
}

#[test]
fn server_gives_up_nothing_when_the_client_is_at_fault() {
    let (mut client, _) = begun();
    client.send("SUBSCRIBE", &[("id", "0"), ("destination", "/topic/a")]);
    subscribing(&mut client);
    client.send("SEND", &[("destination", "/nowhere")]);
    client.policy_violation("Unknown destination");
    assert!(client.commands().is_empty());
}

#[test]
fn server_says_goodbye_though_the_session_cannot_be_given_up() {
    let (mut client, _) = begun();
    client.send("DISCONNECT", &[("receipt", "bye")]);
    let Command::Unsubscribe { token, .. } = client.command() else { panic!("an unsubscribe") };
    let error = BrokerError::new(BrokerErrorKind::Unavailable, "why");
    client.pair.event(Event::Failed { token, error });
    let refusal = client.refusal();
    assert_eq!(refusal.error.header("receipt-id"), Some("bye"), "it is still there");
}
