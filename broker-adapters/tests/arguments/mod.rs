//! Clauses about the arguments of queues, bindings and consumers: what RabbitMQ's classic queues and
//! headers exchanges do, and the words with which it refuses.

use protocols::broker::{
    Address, BrokerErrorKind, Message, Outcome, Properties, QueueOptions, Value, Verdict,
};
use protocols::text::Text;
use rabbitmq_node::eventually;

use crate::support::{
    Client, Delivery, Fixture, exchange, existing, message, queue, table, text, topic, with,
};

const LONG: Value = Value::Integer(600_000);

/// Beside other arguments: sends what is given up to the queue `dead`.
fn to_dead() -> [(&'static str, Value); 2] {
    [("x-dead-letter-exchange", text("")), ("x-dead-letter-routing-key", text("dead"))]
}

/// These arguments, and what is given up goes to the queue `dead`.
fn burying(arguments: &[(&str, Value)]) -> QueueOptions {
    let to_dead = to_dead();
    with(&[arguments, &to_dead].concat())
}

fn expiring(body: &str, after: &str) -> Message {
    let expiration = Some(Text::from(after));
    Message { properties: Properties { expiration, ..Properties::default() }, ..message(body) }
}

fn with_headers(body: &str, headers: &[(&str, Value)]) -> Message {
    let headers = table(headers);
    Message { properties: Properties { headers, ..Properties::default() }, ..message(body) }
}

/// A client that has subscribed to the queue `dead`.
async fn undertaker(fixture: &Fixture) -> Client {
    let mut client = fixture.client().await;
    client.subscribe(queue("dead"), 100).await;
    client
}

async fn declare(client: &mut Client, name: &str, options: &QueueOptions) {
    let outcome = client.publish_declaring(queue(name), message("first"), Some(options)).await;
    assert_eq!(outcome, Ok(Outcome::Accepted), "{name}");
}

fn header<'a>(delivery: &'a Delivery, name: &str) -> Option<&'a Value> {
    let headers = &delivery.publication.message.properties.headers;
    headers.iter().find(|(own, _)| *own == name).map(|(_, value)| value)
}

/// The fields of the deaths of a message but for their times, by name.
fn deaths(delivery: &Delivery) -> Vec<Vec<(String, Value)>> {
    let Some(Value::Array(deaths)) = header(delivery, "x-death") else {
        panic!("no deaths: {delivery:?}");
    };
    let fields = |death: &Value| {
        let Value::Table(fields) = death else { panic!("no table: {death:?}") };
        let is_timed = fields.iter().any(|(name, value)| {
            *name == "time" && matches!(value, Value::Timestamp(at) if *at > 1_700_000_000)
        });
        assert!(is_timed, "{fields:?}");
        let rest = fields.iter().filter(|(name, _)| *name != "time");
        let mut rest: Vec<_> = rest.map(|(name, it)| (name.to_string(), it.clone())).collect();
        rest.sort_by(|(a, _), (b, _)| a.cmp(b));
        rest
    };
    deaths.iter().map(fields).collect()
}

fn death(count: i64, queue: &str, reason: &str, (at, key): (&str, &str)) -> Vec<(String, Value)> {
    let fields = [
        ("count", Value::Integer(count)),
        ("exchange", text(at)),
        ("queue", text(queue)),
        ("reason", text(reason)),
        ("routing-keys", Value::Array(vec![text(key)])),
    ];
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

// Time to live

pub(crate) async fn a_message_that_waits_too_long_is_dead_lettered(fixture: Fixture) {
    let mut dead = undertaker(&fixture).await;
    let mut client = fixture.client().await;
    declare(&mut client, "work", &burying(&[("x-message-ttl", Value::Integer(20))])).await;
    let expired = dead.delivery().await;
    assert_eq!(expired.body(), "first");
    assert_eq!((&*expired.publication.exchange, &*expired.publication.routing_key), ("", "dead"));
    assert_eq!(deaths(&expired), [death(1, "work", "expired", ("", "work"))]);
    let first = ["exchange", "queue", "reason"].map(|what| format!("x-first-death-{what}"));
    let first = first.iter().map(|name| header(&expired, name).cloned().unwrap());
    assert_eq!(first.collect::<Vec<_>>(), [text(""), text("work"), text("expired")]);
    client.try_subscribe(existing("work"), &QueueOptions::default(), 1).await.unwrap();
    client.expect_nothing().await;
}

pub(crate) async fn the_shorter_of_both_times_to_live_counts(fixture: Fixture) {
    let mut dead = undertaker(&fixture).await;
    let mut client = fixture.client().await;
    let options = burying(&[("x-message-ttl", LONG)]);
    let brief = expiring("brief", "20");
    client.publish_declaring(queue("work"), brief, Some(&options)).await.unwrap();
    let expired = dead.delivery().await;
    assert_eq!(expired.body(), "brief");
    assert_eq!(expired.publication.message.properties.expiration, None);
    let mut expected = death(1, "work", "expired", ("", "work"));
    expected.insert(2, ("original-expiration".to_owned(), text("20")));
    assert_eq!(deaths(&expired), [expected]);
}

pub(crate) async fn who_waits_for_it_gets_a_message_that_may_not_wait(fixture: Fixture) {
    let mut dead = undertaker(&fixture).await;
    let mut client = fixture.client().await;
    let options = burying(&[("x-message-ttl", Value::Integer(0))]);
    declare(&mut client, "work", &options).await;
    assert_eq!(dead.delivery().await.body(), "first");
    client.try_subscribe(queue("work"), &options, 1).await.unwrap();
    client.publish_declaring(queue("work"), message("second"), Some(&options)).await.unwrap();
    assert_eq!(client.delivery().await.body(), "second");
}

pub(crate) async fn an_expiration_that_is_no_number_is_refused(fixture: Fixture) {
    let mut client = fixture.client().await;
    let error = client.try_publish(queue("work"), expiring("m", "soon")).await.unwrap_err();
    assert_eq!(error.kind, BrokerErrorKind::PreconditionFailed);
    assert!(error.text.starts_with("PRECONDITION_FAILED - invalid expiration 'soon': "), "{error}");
}

pub(crate) async fn a_queue_that_nobody_uses_goes(fixture: Fixture) {
    let mut client = fixture.client().await;
    let options = with(&[("x-expires", Value::Integer(300))]);
    let used = client.try_subscribe(queue("used"), &options, 1).await.unwrap();
    declare(&mut client, "unused", &options).await;
    until_unroutable(&mut client, "unused").await;
    assert_eq!(client.try_publish(existing("used"), message("m")).await, Ok(Outcome::Accepted));
    assert_eq!(client.delivery().await.body(), "m");
    client.unsubscribe(used).await;
    until_unroutable(&mut client, "used").await;
}

async fn until_unroutable(client: &mut Client, name: &str) {
    eventually("the queue to be gone", async || {
        let outcome = client.try_publish(existing(name), message("m")).await;
        (outcome == Ok(Outcome::Unroutable)).then_some(())
    })
    .await;
}

// Length

pub(crate) async fn the_oldest_make_room_in_a_full_queue(fixture: Fixture) {
    let mut dead = undertaker(&fixture).await;
    let mut client = fixture.client().await;
    let options = burying(&[("x-max-length", Value::Integer(2))]);
    for body in ["0", "1", "2", "3"] {
        client.publish_declaring(queue("work"), message(body), Some(&options)).await.unwrap();
    }
    assert_eq!(dead.bodies(1).await, ["0"]);
    let dropped = dead.delivery().await;
    assert_eq!(dropped.body(), "1");
    assert_eq!(deaths(&dropped), [death(1, "work", "maxlen", ("", "work"))]);
    client.try_subscribe(queue("work"), &options, 10).await.unwrap();
    assert_eq!(client.bodies(2).await, ["2", "3"]);
    client.expect_nothing().await;
}

pub(crate) async fn bytes_are_those_of_the_bodies(fixture: Fixture) {
    let mut client = fixture.client().await;
    let options = with(&[("x-max-length-bytes", Value::Integer(10))]);
    for body in ["aaaa", "bbbb", "cc", "d"] {
        let message = with_headers(body, &[("some", text("header"))]);
        client.publish_declaring(queue("work"), message, Some(&options)).await.unwrap();
    }
    client.try_subscribe(queue("work"), &options, 10).await.unwrap();
    assert_eq!(client.bodies(3).await, ["bbbb", "cc", "d"]);
}

pub(crate) async fn a_full_queue_can_refuse_what_is_new(fixture: Fixture) {
    let mut client = fixture.client().await;
    let length = ("x-max-length", Value::Integer(1));
    let options = with(&[length, ("x-overflow", text("reject-publish"))]);
    declare(&mut client, "work", &options).await;
    let second = client.publish_declaring(queue("work"), message("second"), Some(&options)).await;
    assert_eq!(second, Ok(Outcome::Rejected));
    client.try_subscribe(queue("work"), &options, 10).await.unwrap();
    assert_eq!(client.delivery().await.body(), "first");
    client.publish(existing("work"), "third").await;
    assert_eq!(client.delivery().await.body(), "third");
}

pub(crate) async fn what_a_full_queue_refuses_can_be_dead_lettered(fixture: Fixture) {
    let mut dead = undertaker(&fixture).await;
    let mut client = fixture.client().await;
    let length = ("x-max-length", Value::Integer(1));
    let options = burying(&[length, ("x-overflow", text("reject-publish-dlx"))]);
    declare(&mut client, "work", &options).await;
    let second = client.publish_declaring(queue("work"), message("second"), Some(&options)).await;
    assert_eq!(second, Ok(Outcome::Rejected));
    let refused = dead.delivery().await;
    assert_eq!(refused.body(), "second");
    assert_eq!(deaths(&refused), [death(1, "work", "maxlen", ("", "work"))]);
}

pub(crate) async fn one_full_queue_of_several_refuses_for_all(fixture: Fixture) {
    let mut client = fixture.client().await;
    let length = ("x-max-length", Value::Integer(0));
    let full = with(&[length, ("x-overflow", text("reject-publish"))]);
    client.try_subscribe(exchange("amq.fanout", ""), &full, 10).await.unwrap();
    let roomy = client.subscribe(exchange("amq.fanout", ""), 10).await;
    let outcome = client.try_publish(exchange("amq.fanout", ""), message("m")).await;
    assert_eq!(outcome, Ok(Outcome::Rejected));
    assert_eq!(client.delivery().await.subscription, roomy);
    client.expect_nothing().await;
}

pub(crate) async fn the_queue_of_a_topic_can_be_bounded(fixture: Fixture) {
    let mut client = fixture.client().await;
    let options = with(&[("x-max-length", Value::Integer(2))]);
    client.try_subscribe(topic("news"), &options, 1).await.unwrap();
    for body in ["0", "1", "2", "3"] {
        client.publish(topic("news"), body).await;
    }
    for body in ["0", "2", "3"] {
        let delivery = client.delivery().await;
        assert_eq!(delivery.body(), body);
        client.accept(&delivery);
    }
}

// Dead lettering

pub(crate) async fn a_rejected_message_is_dead_lettered_with_its_own_key(fixture: Fixture) {
    let mut dead = fixture.client().await;
    dead.subscribe(exchange("amq.direct", "work"), 10).await;
    let mut client = fixture.client().await;
    let options = with(&[("x-dead-letter-exchange", text("amq.direct"))]);
    client.try_subscribe(queue("work"), &options, 10).await.unwrap();
    for body in ["bad", "good"] {
        client.publish_declaring(queue("work"), message(body), Some(&options)).await.unwrap();
    }
    let bad = client.delivery().await;
    client.settle(&bad, Verdict::Discard, false);
    let good = client.delivery().await;
    client.accept(&good);
    let rejected = dead.delivery().await;
    assert_eq!(rejected.body(), "bad");
    assert!(!rejected.redelivered);
    let at = (&*rejected.publication.exchange, &*rejected.publication.routing_key);
    assert_eq!(at, ("amq.direct", "work"));
    assert_eq!(deaths(&rejected), [death(1, "work", "rejected", ("", "work"))]);
    client.expect_nothing().await;
}

pub(crate) async fn what_died_before_is_counted(fixture: Fixture) {
    let mut client = fixture.client().await;
    let again =
        with(&[("x-dead-letter-exchange", text("")), ("x-dead-letter-routing-key", text("work"))]);
    let work = burying(&[]);
    client.try_subscribe(queue("work"), &work, 1).await.unwrap();
    client.try_subscribe(queue("dead"), &again, 1).await.unwrap();
    client.publish_declaring(queue("work"), message("m"), Some(&work)).await.unwrap();
    for _ in 0..4 {
        let delivery = client.delivery().await;
        client.settle(&delivery, Verdict::Discard, false);
    }
    let fifth = client.delivery().await;
    let expected =
        [death(2, "dead", "rejected", ("", "dead")), death(2, "work", "rejected", ("", "work"))];
    assert_eq!(deaths(&fifth), expected);
    assert_eq!(header(&fifth, "x-first-death-queue"), Some(&text("work")));
}

pub(crate) async fn what_goes_round_by_itself_is_dropped(fixture: Fixture) {
    let mut witness = fixture.client().await;
    witness.subscribe(exchange("amq.fanout", ""), 10).await;
    let mut client = fixture.client().await;
    let ttl = ("x-message-ttl", Value::Integer(20));
    let circle = QueueOptions {
        name: Some("circle".into()),
        auto_delete: Some(false),
        ..with(&[ttl, ("x-dead-letter-exchange", text("amq.fanout"))])
    };
    // It is bound to where its own dead messages go.
    let bound = client.try_subscribe(exchange("amq.fanout", ""), &circle, 1).await.unwrap();
    client.unsubscribe(bound).await;
    client.publish(existing("circle"), "m").await;
    assert_eq!(witness.delivery().await.body(), "m");
    client.subscribe(existing("circle"), 1).await;
    client.expect_nothing().await;
    witness.expect_nothing().await;
}

pub(crate) async fn dead_letters_that_lead_nowhere_are_gone(fixture: Fixture) {
    let mut client = fixture.client().await;
    let options = with(&[("x-dead-letter-exchange", text("never.declared"))]);
    client.try_subscribe(queue("work"), &options, 1).await.unwrap();
    client.publish(existing("work"), "m").await;
    let delivery = client.delivery().await;
    client.settle(&delivery, Verdict::Discard, false);
    client.publish(existing("work"), "next").await;
    assert_eq!(client.delivery().await.body(), "next");
}

// Who is served

pub(crate) async fn one_consumer_is_active_until_it_leaves(fixture: Fixture) {
    let mut first = fixture.client().await;
    let mut second = fixture.client().await;
    let options = with(&[("x-single-active-consumer", Value::Boolean(true))]);
    let active = first.try_subscribe(queue("work"), &options, 10).await.unwrap();
    second.try_subscribe(queue("work"), &options, 10).await.unwrap();
    for body in ["0", "1"] {
        first.publish(existing("work"), body).await;
    }
    for body in ["0", "1"] {
        let delivery = first.delivery().await;
        assert_eq!(delivery.body(), body);
        first.accept(&delivery);
    }
    second.expect_nothing().await;
    // With messages waiting, this is where RabbitMQ 3.10's queue crashes.
    first.unsubscribe(active).await;
    first.publish(existing("work"), "2").await;
    assert_eq!(second.bodies(1).await, ["2"]);
}

pub(crate) async fn consumers_of_a_higher_priority_go_first(fixture: Fixture) {
    let mut low = fixture.client().await;
    let mut high = fixture.client().await;
    let rank = |rank| [("x-priority", Value::Integer(rank))];
    let default = QueueOptions::default();
    low.try_consume(queue("work"), &default, &rank(-3), 10).await.unwrap();
    high.try_consume(queue("work"), &default, &[], 2).await.unwrap();
    for body in ["0", "1", "2"] {
        low.publish(existing("work"), body).await;
    }
    assert_eq!(high.bodies(2).await, ["0", "1"]);
    assert_eq!(low.bodies(1).await, ["2"]);
}

pub(crate) async fn messages_of_a_higher_priority_go_first(fixture: Fixture) {
    let mut client = fixture.client().await;
    let options = with(&[("x-max-priority", Value::Integer(5))]);
    for (body, priority) in
        [("none", None), ("0", Some(0)), ("5", Some(5)), ("3", Some(3)), ("9", Some(9))]
    {
        let properties = Properties { priority, ..Properties::default() };
        let message = Message { properties, ..message(body) };
        client.publish_declaring(queue("work"), message, Some(&options)).await.unwrap();
    }
    client.try_subscribe(queue("work"), &options, 10).await.unwrap();
    assert_eq!(client.bodies(5).await, ["5", "9", "3", "none", "0"]);
}

// Headers exchanges

pub(crate) async fn a_headers_exchange_matches_what_the_binding_says(fixture: Fixture) {
    let mut client = fixture.client().await;
    let bound = |name: &str, binding: &[(&str, Value)]| QueueOptions {
        name: Some(name.into()),
        binding: table(binding),
        ..QueueOptions::default()
    };
    let (order, eu) = (("kind", text("order")), ("region", text("eu")));
    let all = bound("all", &[order.clone(), eu.clone()]);
    let any = bound("any", &[("x-match", text("any")), order.clone(), eu.clone()]);
    // The second binding of one queue, and the key means nothing.
    let also = bound("any", &[("kind", text("bill"))]);
    let at = |key: &str| exchange("amq.headers", key);
    let all = client.try_subscribe(at(""), &all, 10).await.unwrap();
    let any = client.try_subscribe(at(""), &any, 10).await.unwrap();
    client.try_subscribe(exchange("amq.match", "k"), &also, 10).await.unwrap();
    let mut routed = Vec::new();
    for (to, headers) in [
        (at(""), vec![order.clone(), eu.clone(), ("more", text("of it"))]),
        (at("key"), vec![order.clone(), ("region", text("us"))]),
        (at(""), vec![("kind", Value::Integer(1))]),
        (at(""), vec![]),
        (exchange("amq.match", ""), vec![("kind", text("bill"))]),
    ] {
        let outcome = client.try_publish(to, with_headers("m", &headers)).await.unwrap();
        routed.push(outcome == Outcome::Accepted);
    }
    assert_eq!(routed, [true, true, false, false, true]);
    let mut got = Vec::new();
    for _ in 0..4 {
        let delivery = client.delivery().await;
        got.push(delivery.subscription == all);
    }
    assert_eq!(got.iter().filter(|is_all| **is_all).count(), 1);
    assert_ne!(all, any);
    client.expect_nothing().await;
}

// Refusals

/// The error of a SUBSCRIBE to `queue` with this argument.
async fn refused(fixture: &Fixture, name: &str, value: Value) -> String {
    let mut client = fixture.client().await;
    let options = with(&[(name, value)]);
    let error = client.try_subscribe(queue("odd"), &options, 1).await.unwrap_err();
    assert_eq!(error.kind, BrokerErrorKind::PreconditionFailed, "{error}");
    error.text.as_str().replace(fixture.vhost(), "V")
}

pub(crate) async fn arguments_that_make_no_sense_are_refused(fixture: Fixture) {
    let cases = [
        ("x-message-ttl", Value::Integer(-1), "{value_negative,-1}"),
        ("x-message-ttl", text("soon"), "\"expected integer, got longstr\""),
        ("x-expires", Value::Integer(0), "{value_zero,0}"),
        ("x-expires", Value::Integer(1 << 40), "{value_too_large,1099511627776}"),
        ("x-max-length", Value::Integer(-2), "{value_negative,-2}"),
        ("x-max-length-bytes", Value::Boolean(true), "\"expected integer, got bool\""),
        ("x-max-priority", Value::Integer(256), "{max_value_exceeded,256}"),
        ("x-overflow", text("spill"), "invalid_overflow"),
        ("x-overflow", Value::Integer(1), "{unacceptable_type,signedint}"),
        ("x-single-active-consumer", text("yes"), "{unacceptable_type,longstr}"),
        ("x-dead-letter-routing-key", text("k"), "routing_key_but_no_dlx_defined"),
        ("x-queue-type", text("odd"), "\"unsupported queue type 'odd'\""),
        ("x-queue-mode", text("odd"), "\"unsupported queue mode 'odd'\""),
    ];
    for (name, value, why) in cases {
        let expected = format!(
            "PRECONDITION_FAILED - invalid arg '{name}' for queue 'odd' in vhost 'V': {why}"
        );
        assert_eq!(refused(&fixture, name, value).await, expected);
    }
    let of_others = [
        ("x-max-age", text("1h")),
        ("x-delivery-limit", Value::Integer(3)),
        ("x-queue-leader-locator", text("balanced")),
        ("x-stream-max-segment-size-bytes", Value::Integer(1_000)),
    ];
    for (name, value) in of_others {
        let expected = format!(
            "PRECONDITION_FAILED - invalid arg '{name}' for queue 'odd' in vhost 'V' of queue type \
             rabbit_classic_queue"
        );
        assert_eq!(refused(&fixture, name, value).await, expected);
    }
}

pub(crate) async fn other_arguments_than_a_queue_has_are_refused(fixture: Fixture) {
    let mut client = fixture.client().await;
    let length = |length| ("x-max-length", Value::Integer(length));
    let drop_head = ("x-overflow", text("drop-head"));
    let options = with(&[length(10), drop_head.clone(), ("x-queue-type", text("classic"))]);
    declare(&mut client, "work", &options).await;
    let cases = [
        (vec![length(11), drop_head.clone()], "x-max-length", "'11'", "'10'"),
        (vec![length(10)], "x-overflow", "none", "the value 'drop-head' of type 'longstr'"),
        (
            vec![length(10), drop_head.clone(), ("x-message-ttl", Value::Integer(1 << 33))],
            "x-message-ttl",
            "the value '8589934592' of type 'long'",
            "none",
        ),
        (
            vec![length(10), drop_head.clone(), ("x-single-active-consumer", Value::Boolean(true))],
            "x-single-active-consumer",
            "the value 'true' of type 'bool'",
            "none",
        ),
    ];
    for (arguments, name, received, current) in cases {
        let mut other = fixture.client().await;
        let asked = with(&arguments);
        let error = other.try_subscribe(queue("work"), &asked, 1).await.unwrap_err();
        assert_eq!(error.kind, BrokerErrorKind::PreconditionFailed);
        let expected = format!(
            "PRECONDITION_FAILED - inequivalent arg '{name}' for queue 'work' in vhost 'V': \
             received {received} but current is {current}"
        );
        assert_eq!(error.text.as_str().replace(fixture.vhost(), "V"), expected);
    }
    // The order means nothing, nor does naming the type there is by default.
    let same = with(&[drop_head, length(10)]);
    client.try_subscribe(queue("work"), &same, 1).await.unwrap();
    assert_eq!(client.delivery().await.body(), "first");
}

pub(crate) async fn arguments_of_bindings_and_consumers_are_checked(fixture: Fixture) {
    let mut client = fixture.client().await;
    let bound = |mode| QueueOptions { binding: table(&[("x-match", mode)]), ..Default::default() };
    for (mode, expected) in [
        (
            text("some"),
            "Invalid x-match field value <<\"some\">>; \
             expected all, any, all-with-x, or any-with-x",
        ),
        (Value::Integer(1), "Invalid x-match field type signedint (value 1); expected longstr"),
    ] {
        let at = exchange("amq.headers", "");
        let error = client.try_subscribe(at, &bound(mode), 1).await.unwrap_err();
        assert_eq!(error.kind, BrokerErrorKind::PreconditionFailed);
        assert_eq!(error.text, format!("PRECONDITION_FAILED - {expected}").as_str());
    }
    let default = QueueOptions::default();
    let consume: [(&str, Value, &str); 2] = [
        ("x-priority", text("high"), ": \"expected integer, got longstr\""),
        ("x-stream-offset", text("first"), " of queue type rabbit_classic_queue"),
    ];
    for (name, value, why) in consume {
        let from: Address = queue("work");
        let error = client.try_consume(from, &default, &[(name, value)], 1).await.unwrap_err();
        let expected = format!(
            "PRECONDITION_FAILED - invalid arg '{name}' for queue 'work' in vhost 'V'{why}"
        );
        assert_eq!(error.text.as_str().replace(fixture.vhost(), "V"), expected);
    }
}
