//! Every bound of the embedded broker, reached.

use broker_adapters::embedded::Settings;
use bytes::Bytes;
use protocols::broker::{BrokerErrorKind, Event, Message, Outcome, QueueOptions, Value, Verdict};

use crate::support::{
    Fixture, auto_delete, exchange, exclusive, existing, message, queue, table, text, topic, with,
};

const KIB: usize = 1 << 10;

#[tokio::test]
async fn a_full_broker_holds_every_publisher_back_until_consumers_have_freed_a_tenth() {
    let settings = Settings { memory_limit: 100 * KIB, ..Settings::default() };
    let fixture = Fixture::embedded_with(settings);
    let mut publisher = fixture.client().await;
    let mut other = fixture.client_of("other").await;
    let mut sent = 0;
    while publisher.is_ready() {
        publisher.publish(queue("orders"), [0; KIB]).await;
        sent += 1;
    }
    assert!((60..=100).contains(&sent), "{sent} messages of 1 KiB and their overhead");
    assert!(!other.is_ready(), "the limit is the whole broker's");
    publisher.publish(queue("orders"), "what was on its way is taken").await;

    let mut consumer = fixture.client().await;
    consumer.subscribe(queue("orders"), 1_000).await;
    for _ in 0..sent / 20 {
        let delivery = consumer.delivery().await;
        consumer.accept(&delivery);
    }
    assert!(!publisher.is_ready(), "a twentieth is free");
    let waiting = tokio::spawn(async move {
        publisher.ready().await;
        other.ready().await;
    });
    for _ in sent / 20..=sent {
        tokio::task::yield_now().await;
        let delivery = consumer.delivery().await;
        consumer.accept(&delivery);
    }
    waiting.await.unwrap();
}

#[tokio::test]
async fn arguments_are_bounded() {
    let settings = Settings { max_argument_bytes: 400, ..Settings::default() };
    let fixture = Fixture::embedded_with(settings);
    let mut client = fixture.client().await;
    let exchange_name = text(&"x".repeat(400));
    let large = with(&[("x-dead-letter-exchange", exchange_name.clone())]);
    let bound = QueueOptions { binding: table(&[("k", exchange_name)]), ..Default::default() };
    for (from, options, bytes) in
        [(queue("q"), large, 494), (exchange("amq.headers", ""), bound, 473)]
    {
        let error = client.try_subscribe(from, &options, 1).await.unwrap_err();
        assert_eq!(error.kind, BrokerErrorKind::PreconditionFailed);
        let expected = format!("PRECONDITION_FAILED - arguments take {bytes} bytes, more than 400");
        assert_eq!(error.text, expected.as_str());
    }
}

#[tokio::test]
async fn queues_that_all_dead_letter_into_each_other_make_so_many_dead_letters_and_no_more() {
    let fixture = Fixture::embedded();
    let mut dead = fixture.client().await;
    dead.subscribe(exchange("amq.fanout", ""), 60_000).await;
    let mut client = fixture.client().await;
    let options = QueueOptions {
        arguments: table(&[
            ("x-max-length", Value::Integer(0)),
            ("x-dead-letter-exchange", text("amq.fanout")),
        ]),
        ..QueueOptions::default()
    };
    // Without a bound there were some 100,000,000 ways through them.
    const QUEUES: usize = 11;
    for _ in 0..QUEUES {
        client.try_subscribe(exchange("amq.fanout", ""), &options, 1).await.unwrap();
    }
    client.publish(exchange("amq.fanout", ""), "fills the prefetch").await;
    client.publish(exchange("amq.fanout", ""), "falls through").await;
    // The first copy, those of the first dead letters, and what these led to.
    let copies = dead.events_now().len();
    assert!((1 + QUEUES..=1_200).contains(&copies), "{copies} copies");
    client.publish(exchange("amq.fanout", ""), "and the broker goes on").await;
    assert!(dead.events_now().len() > QUEUES);
}

#[tokio::test]
async fn a_chain_of_dead_letters_is_followed_for_every_message_of_many_that_expire_at_once() {
    let fixture = Fixture::embedded();
    let mut client = fixture.client().await;
    let mut dead = fixture.client().await;
    dead.subscribe(queue("end"), 10_000).await;
    let to = |next: &str, name, value| {
        let next = text(next);
        let route = [("x-dead-letter-exchange", text("")), ("x-dead-letter-routing-key", next)];
        with(&[&route[..], &[(name, Value::Integer(value))]].concat())
    };
    let full = to("end", "x-max-length", 0);
    client.publish_declaring(queue("middle"), message("first"), Some(&full)).await.unwrap();
    let waiting = to("middle", "x-max-length", 3_000);
    for n in 0..3_000 {
        let m = message(n.to_string());
        client.publish_declaring(queue("start"), m, Some(&waiting)).await.unwrap();
    }
    client.try_subscribe(existing("start"), &QueueOptions::default(), 5_000).await.unwrap();
    let mut last = None;
    for _ in 0..3_000 {
        last = Some(client.delivery().await);
    }
    client.settle(&last.unwrap(), Verdict::Discard, true);
    let mut expected = vec!["first".to_owned()];
    expected.extend((0..3_000).map(|n| n.to_string()));
    assert_eq!(dead.bodies(3_001).await, expected);
}

#[tokio::test]
async fn a_refused_binding_leaves_the_queue_that_was_there_and_what_is_in_it() {
    let fixture = Fixture::embedded_with(Settings { max_queues: 1, ..Settings::default() });
    let mut client = fixture.client().await;
    let options = QueueOptions { durable: Some(false), exclusive: Some(false), ..auto_delete() };
    client.publish_declaring(queue("jobs"), message("first"), Some(&options)).await.unwrap();
    let named = QueueOptions { name: Some("jobs".into()), ..QueueOptions::default() };
    let error = client.try_subscribe(topic("t"), &named, 1).await.unwrap_err();
    assert_eq!(error.kind, BrokerErrorKind::ResourceError);
    client.try_subscribe(existing("jobs"), &QueueOptions::default(), 1).await.unwrap();
    assert_eq!(client.delivery().await.body(), "first");
}

#[tokio::test]
async fn a_refused_binding_leaves_no_queue_and_counts_as_none() {
    let fixture = Fixture::embedded_with(Settings { max_queues: 1, ..Settings::default() });
    let mut client = fixture.client().await;
    for auto_delete in [false, true] {
        let named = QueueOptions {
            name: Some("jobs".into()),
            auto_delete: Some(auto_delete),
            ..QueueOptions::default()
        };
        client.try_subscribe(topic("t"), &named, 1).await.unwrap_err();
        let outcome = client.try_publish(existing("jobs"), message("m")).await;
        assert_eq!(outcome, Ok(Outcome::Unroutable));
    }
    client.publish(queue("other"), "there is room for one").await;
}

/// So many that this does not end if any of it takes the square of their number.
#[tokio::test]
async fn an_inbox_has_as_many_topics_as_there_may_be_private_queues() {
    const TOPICS: usize = 100_000;
    let fixture = Fixture::embedded();
    let mut client = fixture.client().await;
    let inbox = client.open_inbox(1).await;
    for n in 0..TOPICS {
        client.try_bind(inbox, &format!("t.{n}")).await.unwrap();
    }
    let error = client.try_bind(inbox, "one.more").await.unwrap_err();
    assert_eq!(error.kind, BrokerErrorKind::ResourceError);
    client.publish(topic("t.99999"), "m").await;
    assert_eq!(client.delivery().await.body(), "m");
    drop(client);
    let mut other = fixture.client().await;
    assert_eq!(other.try_publish(topic("t.0"), message("m")).await, Ok(Outcome::Unroutable));
    let inbox = other.open_inbox(1).await;
    other.bind(inbox, &["all", "are", "free", "again"]).await;
}

#[tokio::test]
async fn a_message_in_many_queues_is_counted_once() {
    let settings = Settings { memory_limit: 100 * KIB, ..Settings::default() };
    let fixture = Fixture::embedded_with(settings);
    let mut consumer = fixture.client().await;
    for _ in 0..50 {
        consumer.subscribe(topic("news"), 1).await;
    }
    let mut publisher = fixture.client().await;
    publisher.publish(topic("news"), [0; 10 * KIB]).await;
    assert!(publisher.is_ready(), "50 × 10 KiB would be too much");
    for _ in 0..50 {
        consumer.delivery().await;
    }
    assert!(publisher.is_ready());
}

#[tokio::test]
async fn memory_is_free_again_when_a_message_has_no_holder_left() {
    let settings = Settings { memory_limit: 10 * KIB, ..Settings::default() };
    let fixture = Fixture::embedded_with(settings);
    let mut publisher = fixture.client().await;
    let mut consumer = fixture.client().await;
    let subscription = consumer.subscribe(topic("news"), 1).await;
    for _ in 0..3 {
        publisher.publish(topic("news"), [0; 8 * KIB]).await;
    }
    assert!(!publisher.is_ready());
    consumer.unsubscribe(subscription).await;
    assert!(publisher.is_ready(), "the private queue is gone, and nothing was taken from it");

    consumer.try_subscribe(queue("mine"), &exclusive(), 1).await.unwrap();
    for _ in 0..3 {
        consumer.publish(queue("mine"), [0; 8 * KIB]).await;
    }
    assert!(!publisher.is_ready());
    drop(consumer);
    publisher.ready().await;
}

#[tokio::test]
async fn a_waiting_message_lets_go_of_its_input_and_a_handed_over_one_shares_it() {
    let fixture = Fixture::embedded();
    let mut client = fixture.client().await;
    let input = Bytes::from(vec![b'x'; 64 * KIB]);
    let message = |range| Message { body: input.slice(range), ..Message::default() };

    client.try_publish(queue("orders"), message(10..20)).await.unwrap();
    assert!(input.is_unique(), "the queue has a copy");
    client.subscribe(queue("orders"), 10).await;
    let waited = client.delivery().await;
    assert_eq!(waited.publication.message.body, input.slice(10..20));
    client.requeue(&waited);
    assert!(client.delivery().await.redelivered);

    client.try_publish(queue("orders"), message(20..30)).await.unwrap();
    let direct = client.delivery().await;
    assert_eq!(direct.publication.message.body.as_ptr(), input[20..].as_ptr());
    client.requeue(&direct);
    drop(direct);
    let direct = client.delivery().await;
    assert_ne!(direct.publication.message.body.as_ptr(), input[20..].as_ptr());
    assert!(input.is_unique(), "what went back to the queue was copied");
}

#[tokio::test]
async fn one_copy_serves_every_queue_a_message_waits_in() {
    let fixture = Fixture::embedded();
    let mut client = fixture.client().await;
    let first = client.subscribe(topic("news"), 1).await;
    let second = client.subscribe(topic("#"), 1).await;
    client.publish(topic("news"), "fills both").await;
    client.publish(topic("news"), "waits in both").await;
    let taken = [client.delivery().await, client.delivery().await];
    taken.iter().for_each(|delivery| client.accept(delivery));
    let waited = [client.delivery().await, client.delivery().await];
    assert_ne!(waited[0].subscription, waited[1].subscription);
    assert!(waited.iter().all(|one| [first, second].contains(&one.subscription)));
    assert!(std::sync::Arc::ptr_eq(&waited[0].publication, &waited[1].publication));
}

#[tokio::test]
async fn a_link_that_does_not_take_is_handed_no_more_than_its_buffer_and_goes_on_later() {
    let settings = Settings { link_buffer: 10 * KIB, ..Settings::default() };
    let fixture = Fixture::embedded_with(settings);
    let mut slow = fixture.client().await;
    let mut quick = fixture.client().await;
    slow.subscribe(queue("orders"), 1_000).await;
    quick.subscribe(queue("orders"), 1_000).await;
    let mut publisher = fixture.client().await;
    for n in 0..100 {
        let body = format!("{n:>1024}");
        publisher.publish(queue("orders"), body).await;
        while let [Event::Delivery { .. }] = quick.events_now()[..] {}
    }
    // All that the quick one did not get is the slow one's: at most its buffer and one more.
    let mut taken = slow.events_now().len();
    assert!((3..=11).contains(&taken), "{taken} messages of more than 1 KiB");
    drop(quick);
    while taken < 100 {
        slow.delivery().await;
        taken += 1;
    }
    slow.expect_nothing().await;
}

#[tokio::test]
async fn a_deep_queue_does_not_keep_other_subscriptions_of_its_link_waiting() {
    let settings = Settings { link_buffer: 10 * KIB, ..Settings::default() };
    let fixture = Fixture::embedded_with(settings);
    let mut publisher = fixture.client().await;
    for _ in 0..200 {
        publisher.publish(queue("deep"), [0; KIB]).await;
    }
    let mut client = fixture.client().await;
    client.subscribe(queue("deep"), 1_000).await;
    let mut shallow = Vec::new();
    for name in ["first", "second", "third"] {
        shallow.push(client.subscribe(queue(name), 1_000).await);
        publisher.publish(queue(name), "m").await;
    }
    let mut from_deep = 0;
    while !shallow.is_empty() {
        let served = client.delivery().await.subscription;
        match shallow.iter().position(|subscription| *subscription == served) {
            Some(at) => drop(shallow.remove(at)),
            None => from_deep += 1,
        }
    }
    assert!(from_deep <= 40, "{from_deep} deliveries: each gets its turn in a few fillings of ten");
}

#[tokio::test]
async fn a_message_larger_than_the_buffer_passes() {
    let settings = Settings { link_buffer: 1, ..Settings::default() };
    let fixture = Fixture::embedded_with(settings);
    let mut client = fixture.client().await;
    client.subscribe(queue("orders"), 1_000).await;
    for n in 0..10 {
        client.publish(queue("orders"), n.to_string()).await;
    }
    let expected: Vec<String> = (0..10).map(|n| n.to_string()).collect();
    assert_eq!(client.bodies(10).await, expected);
}

#[tokio::test]
async fn a_topic_subscription_that_is_too_slow_is_canceled_and_no_other() {
    let settings = Settings { private_queue_bytes: 10 * KIB, ..Settings::default() };
    let fixture = Fixture::embedded_with(settings);
    let mut slow = fixture.client().await;
    let mut quick = fixture.client().await;
    let canceled = slow.subscribe(topic("news"), 1).await;
    quick.subscribe(topic("news"), 1_000).await;
    let mut publisher = fixture.client().await;
    for _ in 0..20 {
        publisher.publish(topic("news"), [0; KIB]).await;
    }
    let first = slow.delivery().await;
    assert_eq!(first.subscription, canceled);
    let Event::Canceled { subscription, error } = slow.event().await else {
        panic!("a cancellation was expected");
    };
    assert_eq!((subscription, error.kind), (canceled, BrokerErrorKind::ResourceError));
    assert!(error.text.contains("more than 10240: its subscription was too slow"), "{error}");
    slow.accept(&first);
    slow.unsubscribe(canceled).await;
    slow.expect_nothing().await;
    for _ in 0..20 {
        quick.delivery().await;
    }
    // It may come back.
    slow.subscribe(topic("news"), 1).await;
    publisher.publish(topic("news"), "again").await;
    assert_eq!(slow.delivery().await.body(), "again");
}

#[tokio::test]
async fn an_unsubscribe_that_crosses_a_cancellation_is_answered_and_silent() {
    let settings = Settings { private_queue_bytes: KIB, ..Settings::default() };
    let fixture = Fixture::embedded_with(settings);
    let mut slow = fixture.client().await;
    let canceled = slow.subscribe(topic("news"), 1).await;
    let mut publisher = fixture.client().await;
    for _ in 0..2 {
        publisher.publish(topic("news"), [0; KIB]).await;
    }
    slow.unsubscribe(canceled).await;
    slow.expect_nothing().await;
}

#[tokio::test]
async fn a_shared_queue_is_bounded_by_the_brokers_memory_alone() {
    let settings = Settings { private_queue_bytes: 1, ..Settings::default() };
    let fixture = Fixture::embedded_with(settings);
    let mut client = fixture.client().await;
    client.subscribe(queue("orders"), 1).await;
    for n in 0..10 {
        client.publish(queue("orders"), n.to_string()).await;
    }
    for n in 0..10 {
        let delivery = client.delivery().await;
        assert_eq!(delivery.body(), n.to_string());
        client.accept(&delivery);
    }
}

#[tokio::test]
async fn one_queue_too_many_is_refused_until_one_is_gone() {
    let settings = Settings { max_queues: 2, ..Settings::default() };
    let fixture = Fixture::embedded_with(settings);
    let mut client = fixture.client().await;
    let mut other = fixture.client_of("other").await;
    let subscription = client.try_subscribe(queue("brief"), &auto_delete(), 1).await.unwrap();
    other.publish(queue("orders"), "m").await;
    let refused = client.try_publish(queue("orders"), message("m")).await.unwrap_err();
    assert_eq!(refused.kind, BrokerErrorKind::ResourceError);
    let expected = "RESOURCE_ERROR - cannot declare queue 'orders' in vhost '/': \
                    there are 2 of 2 queues";
    assert_eq!(refused.text, expected);
    client.unsubscribe(subscription).await;
    assert_eq!(client.try_publish(queue("orders"), message("m")).await, Ok(Outcome::Accepted));
}

#[tokio::test]
async fn one_private_queue_too_many_is_refused_until_one_is_gone() {
    let settings = Settings { max_private_queues: 2, ..Settings::default() };
    let fixture = Fixture::embedded_with(settings);
    let mut client = fixture.client().await;
    let mut other = fixture.client_of("other").await;
    let subscription = client.subscribe(topic("news"), 1).await;
    other.subscribe(topic("news"), 1).await;
    let default = QueueOptions::default();
    let refused = client.try_subscribe(topic("stock.#"), &default, 1).await.unwrap_err();
    assert_eq!(refused.kind, BrokerErrorKind::ResourceError);
    let expected = "RESOURCE_ERROR - cannot declare a private queue for 'stock.#' at exchange \
                    'amq.topic' in vhost '/': there are 2 of 2 private queues";
    assert_eq!(refused.text, expected);
    client.unsubscribe(subscription).await;
    client.subscribe(topic("stock.#"), 1).await;
}

#[tokio::test]
async fn named_queues_leave_room_for_private_ones_and_private_ones_for_named_ones() {
    let settings = Settings { max_queues: 2, max_private_queues: 2, ..Settings::default() };
    let fixture = Fixture::embedded_with(settings);
    let mut client = fixture.client().await;
    for n in 0..3 {
        let outcome = client.try_publish(queue(&n.to_string()), message("m")).await;
        assert_eq!(outcome.is_ok(), n < 2);
    }
    client.subscribe(topic("news"), 1).await;
    client.subscribe(topic("news"), 1).await;

    let fixture = Fixture::embedded_with(Settings { max_queues: 1, ..Settings::default() });
    let mut client = fixture.client().await;
    client.subscribe(topic("news"), 1).await;
    client.subscribe(exchange("amq.direct", "k"), 1).await;
    client.publish(queue("orders"), "m").await;
}

#[tokio::test]
async fn a_topic_pattern_or_key_of_too_many_words_is_refused_with_both_numbers() {
    let settings = Settings { max_topic_words: 3, max_topic_hashes: 1, ..Settings::default() };
    let fixture = Fixture::embedded_with(settings);
    let mut client = fixture.client().await;
    let default = QueueOptions::default();
    for (pattern, expected) in [
        ("a.b.c.d", "a topic pattern of 4 words has more than 3"),
        ("#.a.#", "a topic pattern with 2 '#' has more than 1"),
    ] {
        for from in [topic(pattern), exchange("amq.topic", pattern)] {
            let refused = client.try_subscribe(from, &default, 1).await.unwrap_err();
            assert_eq!(refused.kind, BrokerErrorKind::PreconditionFailed);
            assert_eq!(refused.text.as_str(), format!("PRECONDITION_FAILED - {expected}"));
        }
    }
    for to in [topic("a.b.c.d"), exchange("amq.topic", "a.b.c.d")] {
        let refused = client.try_publish(to, message("m")).await.unwrap_err();
        assert_eq!(refused.kind, BrokerErrorKind::PreconditionFailed);
        let expected = "PRECONDITION_FAILED - a routing key of 4 words has more than 3";
        assert_eq!(refused.text, expected);
    }
    client.subscribe(topic("a.#.#.#.c"), 10).await;
    client.subscribe(exchange("amq.direct", "a.b.c.d"), 10).await;
    client.publish(topic("a.b.c"), "topic").await;
    client.publish(exchange("amq.direct", "a.b.c.d"), "no topic").await;
    assert_eq!(client.bodies(2).await, ["topic", "no topic"]);
}

#[tokio::test]
async fn private_queues_are_gone_with_their_link_however_they_were_asked_for() {
    let settings = Settings { max_private_queues: 1, ..Settings::default() };
    let fixture = Fixture::embedded_with(settings);
    let lasting =
        QueueOptions { exclusive: Some(false), auto_delete: Some(false), ..Default::default() };
    for _ in 0..3 {
        let mut client = fixture.client().await;
        client.try_subscribe(topic("news"), &lasting, 1).await.unwrap();
    }
    let mut publisher = fixture.client().await;
    let outcome = publisher.try_publish(topic("news"), message("m")).await;
    assert_eq!(outcome, Ok(Outcome::Unroutable));
}

#[tokio::test]
async fn server_named_queues_have_unguessable_names_and_cannot_be_taken_over() {
    let fixture = Fixture::embedded();
    let mut client = fixture.client().await;
    for n in 0..100 {
        let name = format!("amq.gen-{n}");
        let outcome = client.try_publish(existing(&name), message("m")).await;
        assert_eq!(outcome, Ok(Outcome::Unroutable));
        client.subscribe(topic("news"), 1).await;
    }
}

#[tokio::test]
async fn what_was_not_seen_goes_back_unmarked() {
    let fixture = Fixture::embedded();
    let mut client = fixture.client().await;
    let subscription = client.subscribe(queue("orders"), 10).await;
    let mut publisher = fixture.client().await;
    for n in 0..3 {
        publisher.publish(queue("orders"), n.to_string()).await;
    }
    let seen = client.delivery().await;
    client.requeue(&seen);
    client.unsubscribe(subscription).await;
    let mut dropped = fixture.client().await;
    dropped.subscribe(queue("orders"), 10).await;
    drop(dropped);
    let mut other = fixture.client().await;
    other.subscribe(queue("orders"), 10).await;
    for (n, redelivered) in [(0, true), (1, false), (2, false)] {
        let delivery = other.delivery().await;
        assert_eq!((delivery.body(), delivery.redelivered), (&*n.to_string(), redelivered));
    }
}

#[test]
fn debug_output_shows_no_passcode() {
    let fixture = Fixture::embedded();
    let shown = format!("{:?}", fixture.broker);
    assert!(shown.contains("vhosts"));
    assert!(!shown.contains("apple") && !shown.contains("banana"));
}
