//! How queues are declared, bound, named and deleted by headers; and queues for replies.

use protocols::broker::{
    Address, BrokerError, BrokerErrorKind, Command, Event, Message, Properties, QueueOptions,
    SettleMode, SubscriptionId, Token, Value,
};
use protocols::policy::{Limits, Policy};
use protocols::session::CloseCause;
use protocols::stomp;
use protocols::stomp::compat::{Compat, Switch};

use crate::client::{Client, sentence};

/// What a SUBSCRIBE asks the broker for.
struct Asked {
    token: Token,
    subscription: SubscriptionId,
    from: Address,
    queue: QueueOptions,
    arguments: Vec<(String, Value)>,
}

fn named(entries: &[(protocols::text::Text, Value)]) -> Vec<(String, Value)> {
    entries.iter().map(|(name, value)| (name.to_string(), value.clone())).collect()
}

impl Asked {
    fn by(command: Command) -> Self {
        match command {
            Command::Subscribe { token, subscription, from, queue, arguments, .. } => {
                Self { token, subscription, from, queue: *queue, arguments: named(&arguments) }
            }
            other => panic!("a subscribe, not {other:?}"),
        }
    }
}

fn asked(client: &mut Client) -> Asked {
    Asked::by(client.command())
}

fn subscribed(destination: &str, headers: &[(&str, &str)]) -> Asked {
    let mut client = Client::connected("1.2");
    client.send("SUBSCRIBE", &[&[("id", "0"), ("destination", destination)], headers].concat());
    asked(&mut client)
}

fn text(value: &str) -> Value {
    Value::Text(value.into())
}

#[test]
fn server_queue_arguments_are_headers_of_subscribe() {
    let headers = [
        ("x-message-ttl", " 1000 "),
        ("x-dead-letter-exchange", "dlx"),
        ("x-single-active-consumer", "true"),
        ("x-overflow", "reject-publish"),
        ("x-message-ttl", "2000"),
        ("x-unknown", "1"),
    ];
    let expected = [
        ("x-message-ttl", Value::Integer(1000)),
        ("x-dead-letter-exchange", text("dlx")),
        ("x-single-active-consumer", Value::Boolean(true)),
        ("x-overflow", text("reject-publish")),
    ];
    for destination in ["/queue/a", "/topic/a", "/exchange/x/k"] {
        let Asked { queue, arguments, .. } = subscribed(destination, &headers);
        let got = named(&queue.arguments);
        assert_eq!(got, expected.clone().map(|(name, value)| (name.to_owned(), value)));
        assert_eq!(arguments, []);
    }
}

#[test]
fn server_an_argument_of_the_wrong_kind_is_refused() {
    for (name, value) in [
        ("x-message-ttl", "soon"),
        ("x-max-length", ""),
        ("x-single-active-consumer", "maybe"),
        ("x-priority", "high"),
        ("x-stream-offset", "here"),
        ("x-stream-offset", "offset="),
    ] {
        let mut client = Client::connected("1.2");
        let headers = [("id", "0"), ("destination", "/queue/a"), (name, value), ("receipt", "r")];
        client.send("SUBSCRIBE", &headers);
        let error = client.policy_violation("Invalid header");
        assert!(sentence(&error).contains(name), "{}", sentence(&error));
        assert_eq!(error.header("receipt-id"), Some("r"));
    }
}

#[test]
fn server_consumer_arguments_are_headers_of_subscribe() {
    let headers = [("x-priority", "-5"), ("x-stream-offset", "timestamp=1600000000")];
    let Asked { queue, arguments, .. } = subscribed("/queue/a", &headers);
    let expected =
        [("x-priority", Value::Integer(-5)), ("x-stream-offset", Value::Timestamp(1_600_000_000))];
    assert_eq!(arguments, expected.map(|(name, value)| (name.to_owned(), value)));
    assert_eq!(queue, QueueOptions::default());
}

#[test]
fn server_binding_arguments_are_headers_of_subscribe() {
    let headers = [("x-bind-x-match", "any"), ("x-bind-kind", "order"), ("x-bind-kind", "other")];
    let Asked { queue, .. } = subscribed("/exchange/amq.headers", &headers);
    let expected = [("x-match", text("any")), ("kind", text("order"))];
    assert_eq!(named(&queue.binding), expected.map(|(name, value)| (name.to_owned(), value)));
}

#[test]
fn server_a_queue_that_does_not_last_is_the_clients_own_and_not_left_behind() {
    let flags = |headers: &[(&str, &str)]| {
        let queue = subscribed("/queue/a", headers).queue;
        (queue.durable, queue.exclusive, queue.auto_delete)
    };
    assert_eq!(flags(&[("durable", "false")]), (Some(false), Some(true), Some(true)));
    let all = [("durable", "false"), ("exclusive", "false"), ("auto-delete", "false")];
    assert_eq!(flags(&all), (Some(false), Some(false), Some(false)));
    assert_eq!(flags(&[("durable", "true")]), (Some(true), None, None));
}

#[test]
fn server_a_durable_subscription_has_a_name_of_user_destination_and_id() {
    let name = |destination: &str, headers: &[(&str, &str)]| {
        subscribed(destination, headers).queue.name.map(|name| name.to_string())
    };
    let durable = name("/topic/a", &[("durable", "true")]).unwrap();
    assert!(durable.starts_with("stomp-subscription-"), "{durable}");
    assert_eq!(name("/topic/a", &[("persistent", "true")]).unwrap(), durable);
    assert_ne!(name("/topic/b", &[("durable", "true")]).unwrap(), durable);
    assert_ne!(name("/exchange/x/a", &[("durable", "true")]).unwrap(), durable);
    assert_eq!(name("/exchange/x/a", &[]), None);
    assert_eq!(name("/exchange/x/a", &[("durable", "true"), ("persistent", "false")]), None);
    assert!(name("/topic/a", &[("durable", "false"), ("persistent", "true")]).is_some());
    assert_eq!(name("/queue/a", &[("durable", "true")]), None);
    let both = [("durable", "true"), ("x-queue-name", "mine")];
    assert_eq!(name("/topic/a", &both).unwrap(), "mine");
    assert_eq!(name("/exchange/x", &both[1..]).unwrap(), "mine");
    assert_eq!(name("/queue/a", &both), None);
}

#[test]
fn server_a_durable_subscription_needs_an_id() {
    for destination in ["/topic/a", "/exchange/x"] {
        let mut client = Client::connected("1.2");
        client.send("SUBSCRIBE", &[("destination", destination), ("durable", "true")]);
        client.policy_violation("Missing header");
    }
    let mut client = Client::connected("1.2");
    let headers = [("id", "0"), ("destination", "/topic/a"), ("x-queue-name", "")];
    client.send("SUBSCRIBE", &headers);
    client.policy_violation("Invalid header");
}

#[test]
fn server_unsubscribe_that_says_durable_deletes_the_queue_of_a_topic() {
    let deletes = |subscribe: &[(&str, &str)], unsubscribe: &[(&str, &str)]| {
        let mut client = Client::connected("1.2");
        client.send("SUBSCRIBE", &[&[("id", "0")], subscribe].concat());
        client.agree();
        client.send("UNSUBSCRIBE", &[&[("id", "0")], unsubscribe].concat());
        match client.command() {
            Command::Unsubscribe { delete, .. } => delete,
            other => panic!("{other:?}"),
        }
    };
    let (topic, durable) = (("destination", "/topic/a"), ("durable", "true"));
    assert!(deletes(&[topic, durable], &[durable]));
    assert!(deletes(&[topic, durable], &[("persistent", "true")]));
    let named = ("x-queue-name", "q");
    assert!(deletes(&[topic, named], &[durable, named]));
    assert!(!deletes(&[topic, named], &[durable]), "others may use it");
    assert!(!deletes(&[topic, named], &[durable, ("x-queue-name", "other")]));
    assert!(!deletes(&[topic, durable], &[durable, named]));
    assert!(!deletes(&[topic, durable], &[]));
    assert!(!deletes(&[topic, durable], &[("durable", "false")]));
    assert!(!deletes(&[topic, ("exclusive", "true")], &[durable]), "it goes by itself");
    assert!(!deletes(&[("destination", "/queue/a"), durable], &[durable]));
    assert!(!deletes(&[("destination", "/exchange/x"), durable], &[durable]), "as with RabbitMQ");
}

#[test]
fn server_a_queue_that_may_not_be_deleted_is_an_error() {
    let mut client = Client::connected("1.2");
    let durable = ("durable", "true");
    client.send("SUBSCRIBE", &[("id", "0"), ("destination", "/topic/a"), durable]);
    client.agree();
    client.send("UNSUBSCRIBE", &[("id", "0"), durable, ("receipt", "r")]);
    let Command::Unsubscribe { token, .. } = client.command() else { panic!("an unsubscribe") };
    let error = BrokerError::new(BrokerErrorKind::AccessRefused, "ACCESS_REFUSED - no");
    client.pair.event(Event::Failed { token, error });
    let error = client.frame();
    assert_eq!((error.verb.as_str(), error.header("receipt-id")), ("ERROR", Some("r")));
}

fn sent(destination: &str, headers: &[(&str, &str)]) -> Option<QueueOptions> {
    let mut client = Client::connected("1.2");
    client.send("SEND", &[&[("destination", destination)], headers].concat());
    match client.command() {
        Command::Publish { queue, .. } => queue.map(|queue| *queue),
        other => panic!("{other:?}"),
    }
}

#[test]
fn server_send_declares_its_queue_by_headers() {
    assert_eq!(sent("/queue/a", &[("persistent", "true"), ("x-other", "1")]), None);
    assert_eq!(sent("/queue/a", &[("persistent", "false")]), None, "it is about the message");
    let queue = sent("/queue/a", &[("x-max-length", "7"), ("auto-delete", "true")]).unwrap();
    assert_eq!(named(&queue.arguments), [("x-max-length".to_owned(), Value::Integer(7))]);
    assert_eq!((queue.durable, queue.auto_delete), (None, Some(true)));
    for destination in ["/topic/a", "/exchange/x", "/amq/queue/a", "/reply-queue/a"] {
        assert_eq!(sent(destination, &[("x-max-length", "7")]), None, "nothing is declared");
    }
    let mut client = Client::connected("1.2");
    client.send("SEND", &[("destination", "/queue/a"), ("x-max-length", "many")]);
    client.policy_violation("Invalid header");
}

#[test]
fn server_a_held_send_declares_its_queue_at_commit() {
    let mut client = Client::connected("1.2");
    client.send("BEGIN", &[("transaction", "t")]);
    let headers = [("destination", "/queue/a"), ("x-expires", "5"), ("transaction", "t")];
    client.send("SEND", &headers);
    assert_eq!(client.commands(), []);
    client.send("COMMIT", &[("transaction", "t")]);
    let Command::Publish { queue: Some(queue), .. } = client.command() else { panic!("a publish") };
    assert_eq!(named(&queue.arguments), [("x-expires".to_owned(), Value::Integer(5))]);
}

/// Sends a request that wants its reply at `reply_to`. The queue that this stands for.
fn request(client: &mut Client, reply_to: &str) -> (Option<Asked>, String) {
    client.send("SEND", &[("destination", "/queue/service"), ("reply-to", reply_to)]);
    let mut commands = client.commands();
    let Some(Command::Publish { message, .. }) = commands.pop() else { panic!("a publish") };
    let queue = message.properties.reply_to.expect("a reply-to").to_string();
    let subscribe = commands.pop().map(Asked::by);
    assert_eq!(commands, []);
    (subscribe, queue)
}

#[test]
fn server_a_reply_to_a_temporary_queue_begins_a_subscription() {
    let mut client = Client::connected("1.2");
    let (asked, queue) = request(&mut client, "/temp-queue/r");
    let asked = asked.expect("the first time");
    assert_eq!(asked.from, Address::Private(queue.as_str().into()));
    client.pair.event(Event::Subscribed { token: asked.token });
    let (again, same) = request(&mut client, "/temp-queue/r");
    assert!(again.is_none());
    assert_eq!(same, queue);
    let (other, another) = request(&mut client, "/temp-queue/s");
    assert!(other.is_some());
    assert_ne!(another, queue);

    client.event_delivery(asked.subscription, 1, Message::default());
    let message = client.frame();
    assert_eq!(message.header("subscription"), Some("/temp-queue/r"));
    assert!(message.header("message-id").unwrap().starts_with("T_/temp-queue/r@@"));
    assert_eq!(message.header("ack"), None);
}

#[test]
fn server_a_request_in_a_transaction_has_its_queue_at_once() {
    let mut client = Client::connected("1.2");
    client.send("BEGIN", &[("transaction", "t")]);
    let headers =
        [("destination", "/queue/a"), ("reply-to", "/temp-queue/r"), ("transaction", "t")];
    client.send("SEND", &headers);
    let Address::Private(queue) = asked(&mut client).from else { panic!("a private queue") };
    client.send("COMMIT", &[("transaction", "t")]);
    assert_eq!(client.message().properties.reply_to, Some(queue));
}

#[test]
fn server_temporary_queues_settle_by_themselves_and_count_as_subscriptions() {
    let limits = Limits { subscriptions: 1, ..Limits::default() };
    let mut client = Client::connected_with("1.2", Policy { limits, ..Policy::default() });
    client.send("SEND", &[("destination", "/queue/a"), ("reply-to", "/temp-queue/r")]);
    let commands = client.commands();
    let settle = commands.iter().find_map(|command| match command {
        Command::Subscribe { settle, .. } => Some(*settle),
        _ => None,
    });
    assert_eq!(settle, Some(SettleMode::WhenWritten));
    client.send("SEND", &[("destination", "/queue/a"), ("reply-to", "/temp-queue/s")]);
    client.policy_violation("Subscription limit exceeded");
}

#[test]
fn server_a_temporary_queue_belongs_to_the_server() {
    for verb in ["SUBSCRIBE", "UNSUBSCRIBE"] {
        let mut client = Client::connected("1.2");
        client.send(verb, &[("id", "/temp-queue/r"), ("destination", "/queue/a")]);
        client.policy_violation("Invalid header");
    }
    for reply_to in ["/temp-queue/", "/temp-queue/a/b"] {
        let mut client = Client::connected("1.2");
        client.send("SEND", &[("destination", "/queue/a"), ("reply-to", reply_to)]);
        client.policy_violation("Invalid destination");
        assert_eq!(client.commands(), []);
    }
}

#[test]
fn server_a_reply_queue_that_is_lost_is_told_by_its_name() {
    let mut client = Client::connected("1.2");
    let (asked, _) = request(&mut client, "/temp-queue/r");
    let Asked { token, subscription, .. } = asked.expect("the first time");
    client.pair.event(Event::Subscribed { token });
    let error = BrokerError::new(BrokerErrorKind::Unavailable, "gone");
    client.pair.event(Event::Canceled { subscription, error });
    let error = client.frame();
    assert_eq!(error.header("subscription"), Some("/temp-queue/r"));
    assert!(matches!(client.pair.close.as_ref().map(|it| &it.cause), Some(CloseCause::Broker)));
}

#[test]
fn server_a_reply_to_is_a_destination() {
    let shown = |reply_to: &str| {
        let mut client = Client::connected("1.2");
        let subscription = client.subscribe("0", "auto");
        let properties = Properties { reply_to: Some(reply_to.into()), ..Properties::default() };
        client.event_delivery(subscription, 1, Message { properties, ..Message::default() });
        client.frame().header("reply-to").unwrap().to_owned()
    };
    for known in ["/queue/a", "/topic/a", "/exchange/x/k", "/amq/queue/a", "/reply-queue/a"] {
        assert_eq!(shown(known), known);
    }
    assert_eq!(shown("amq.gen-1"), "/reply-queue/amq.gen-1");
    assert_eq!(shown("/other"), "/reply-queue//other");
    let mut client = Client::connected("1.2");
    client.send("SEND", &[("destination", &shown("a/b%2Fc"))]);
    match client.command() {
        Command::Publish { to, .. } => assert_eq!(to, Address::ExistingQueue("a/b%2Fc".into())),
        other => panic!("{other:?}"),
    }
}

#[test]
fn server_the_first_frame_of_a_session_says_how_a_queue_is_declared() {
    let mut client = Client::connected("1.2");
    let place = ("destination", "/queue/a");
    client.send("SUBSCRIBE", &[("id", "0"), place, ("x-max-length", "5")]);
    let first = asked(&mut client).queue;
    assert_eq!(named(&first.arguments), [("x-max-length".to_owned(), Value::Integer(5))]);
    for headers in [&[place][..], &[place, ("x-max-length", "6")], &[place, ("durable", "false")]] {
        client.send("SEND", headers);
        match client.command() {
            Command::Publish { queue, .. } => assert_eq!(queue.as_deref(), Some(&first)),
            other => panic!("a publish, not {other:?}"),
        }
    }
    client.send("SUBSCRIBE", &[("id", "1"), place]);
    assert_eq!(asked(&mut client).queue, first);
    client.send("SEND", &[("destination", "/queue/b")]);
    client.command();
    client.send("SUBSCRIBE", &[("id", "2"), ("destination", "/queue/b"), ("exclusive", "true")]);
    assert_eq!(asked(&mut client).queue, QueueOptions::default());
    // A frame that was refused has declared nothing.
    let mut refused = Client::connected_with("1.2", soft());
    refused.send("SUBSCRIBE", &[("id", "0"), place, ("exclusive", "true"), ("ack", "later")]);
    refused.frame();
    refused.send("SUBSCRIBE", &[("id", "0"), place]);
    assert_eq!(asked(&mut refused).queue, QueueOptions::default());
}

fn soft() -> Policy {
    let compat = Compat::NONE.with(Switch::OpenAfterError);
    Policy { stomp: stomp::Settings { compat, ..Policy::default().stomp }, ..Policy::default() }
}
