//! What every broker adapter must do, stated against [`Broker`](broker_adapters::Broker) alone.
//!
//! Each clause is a function that takes a [`Fixture`]; [`contract!`] runs all of them against one
//! adapter. A new adapter adds one line at the end of this file.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod arguments;
mod embedded_only;
mod exchanges;
mod inbox;
mod named;
mod rabbitmq_only;
mod resume;
mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Wake, Waker};

use arguments::*;
use exchanges::*;
use inbox::*;
use named::*;
use protocols::auth::DenialKind;
use protocols::broker::{
    BrokerErrorKind, Command, Event, Message, Outcome, Properties, QueueOptions, Value, Verdict,
};
use protocols::text::Text;
use resume::*;
use support::{
    Client, Delivery, Fixture, auto_delete, credentials, exchange, exclusive, existing, message,
    queue, topic,
};

// Logins

async fn a_wrong_passcode_and_an_unknown_login_are_answered_alike(fixture: Fixture) {
    for (login, passcode) in [(fixture.user().0, "pear"), ("nobody", "pear"), ("nobody", "")] {
        let identity = credentials((login, passcode)).into();
        let opened = fixture.broker.open(fixture.vhost().into(), identity).await;
        let denial = opened.err().expect("refused");
        assert_eq!(denial.kind, DenialKind::BadCredentials);
        assert_eq!(denial.text.as_str(), format!("Access refused for user '{login}'"));
    }
}

async fn a_virtual_host_that_is_missing_or_closed_to_the_user_is_refused(fixture: Fixture) {
    for (vhost, user) in [("missing", fixture.user()), (fixture.other_vhost(), fixture.limited())] {
        let opened = fixture.broker.open(vhost.into(), credentials(user).into()).await;
        let denial = opened.err().expect("refused");
        assert_eq!(denial.kind, DenialKind::VhostRefused);
        assert_eq!(denial.text.as_str(), format!("Virtual host '{vhost}' access denied"));
    }
    let identity = credentials(fixture.limited()).into();
    let opened = fixture.broker.open(fixture.vhost().into(), identity).await;
    assert!(opened.is_ok());
}

async fn a_broker_that_takes_logins_is_ready(fixture: Fixture) {
    let _client = fixture.client().await;
    assert_eq!(fixture.broker.ready(), Ok(()));
}

// Publishing

async fn a_message_arrives_with_all_its_properties(fixture: Fixture) {
    let mut client = fixture.client().await;
    client.subscribe(queue("orders"), 10).await;
    let text = |text: &str| Some(Text::from(text));
    let properties = Properties {
        content_type: text("text/plain"),
        content_encoding: text("identity"),
        // By name: the order of a field table means nothing (AMQP 0-9-1 §4.2.5.5).
        headers: vec![
            (Text::from("colour"), Value::Text(Text::from("grün"))),
            (Text::from("count"), Value::Integer(-3)),
        ],
        persistent: true,
        priority: Some(3),
        correlation_id: text("c-1"),
        reply_to: text("replies"),
        expiration: text("60000"),
        message_id: text("m-1"),
        timestamp: Some(1_700_000_000),
        kind: text("order"),
        user_id: text(fixture.user().0),
        app_id: text("shop"),
    };
    let sent = Message { body: b"\x00binary\xff"[..].into(), properties };
    assert_eq!(client.try_publish(queue("orders"), sent.clone()).await, Ok(Outcome::Accepted));
    let received = client.delivery().await;
    assert_eq!(received.publication.message, sent);
    assert_eq!(received.publication.exchange, "");
    assert_eq!(received.publication.routing_key, "orders");
    assert!(!received.redelivered);
}

async fn messages_wait_in_a_queue_in_order_until_someone_comes(fixture: Fixture) {
    let mut publisher = fixture.client().await;
    for n in 0..50 {
        publisher.publish(queue("orders"), n.to_string()).await;
    }
    let mut consumer = fixture.client().await;
    consumer.subscribe(queue("orders"), 100).await;
    let expected: Vec<String> = (0..50).map(|n| n.to_string()).collect();
    assert_eq!(consumer.bodies(50).await, expected);
}

async fn a_waiting_consumer_gets_messages_in_order(fixture: Fixture) {
    let mut consumer = fixture.client().await;
    consumer.subscribe(queue("orders"), 100).await;
    let mut publisher = fixture.client().await;
    for n in 0..50 {
        publisher.publish(queue("orders"), n.to_string()).await;
    }
    let expected: Vec<String> = (0..50).map(|n| n.to_string()).collect();
    assert_eq!(consumer.bodies(50).await, expected);
}

async fn publishes_are_confirmed_in_order(fixture: Fixture) {
    let mut client = fixture.client().await;
    let tokens: Vec<_> = (0..100).map(|_| client.token()).collect();
    for &token in &tokens {
        client.link.submit(Command::Publish {
            token,
            to: queue("orders"),
            message: message("m"),
            queue: None,
            confirm: true,
            mandatory: false,
        });
    }
    for token in tokens {
        let confirmed = Event::Confirmed { token, outcome: Outcome::Accepted };
        assert_eq!(client.event().await, confirmed);
    }
}

async fn a_publish_that_asks_for_nothing_is_answered_with_nothing(fixture: Fixture) {
    let mut client = fixture.client().await;
    let token = client.token();
    client.link.submit(Command::Publish {
        token,
        to: queue("orders"),
        message: message("m"),
        queue: None,
        confirm: false,
        mandatory: false,
    });
    client.expect_nothing().await;
}

async fn a_mandatory_message_without_a_queue_is_unroutable_and_others_are_accepted(
    fixture: Fixture,
) {
    let mut client = fixture.client().await;
    for to in [topic("nobody.listens"), existing("missing"), exchange("amq.direct", "k")] {
        let outcome = client.try_publish(to.clone(), message("m")).await;
        assert_eq!(outcome, Ok(Outcome::Unroutable));
        let token = client.token();
        let message = message("m");
        client.link.submit(Command::Publish {
            token,
            to,
            message,
            queue: None,
            confirm: true,
            mandatory: false,
        });
        let accepted = Event::Confirmed { token, outcome: Outcome::Accepted };
        assert_eq!(client.answer(token).await, accepted);
    }
    assert_eq!(client.try_publish(queue("new"), message("m")).await, Ok(Outcome::Accepted));
}

async fn a_user_id_must_be_the_login(fixture: Fixture) {
    let mut client = fixture.client().await;
    let properties = Properties { user_id: Some("bob".into()), ..Properties::default() };
    let forged = Message { properties, ..message("m") };
    let error = client.try_publish(queue("orders"), forged).await.unwrap_err();
    assert_eq!(error.kind, BrokerErrorKind::PreconditionFailed);
    let expected = format!(
        "PRECONDITION_FAILED - user_id property set to 'bob' but authenticated user was '{}'",
        fixture.user().0
    );
    assert_eq!(error.text.as_str(), expected);
}

async fn an_answer_wakes_whoever_waits_for_events(fixture: Fixture) {
    let mut client = fixture.client().await;
    let woken = Arc::new(Flag::default());
    let waker = Waker::from(Arc::clone(&woken));
    for _ in 0..2 {
        assert!(client.link.poll_event(&mut Context::from_waker(&waker)).is_pending());
        let token = client.token();
        client.link.submit(Command::Publish {
            token,
            to: queue("orders"),
            message: message("m"),
            queue: None,
            confirm: true,
            mandatory: false,
        });
        while !woken.0.swap(false, Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
        let confirmed = Event::Confirmed { token, outcome: Outcome::Accepted };
        assert_eq!(client.event().await, confirmed);
    }
}

// Addresses

async fn a_topic_subscription_gets_what_fits_its_pattern(fixture: Fixture) {
    let mut consumer = fixture.client().await;
    consumer.subscribe(topic("stock.*.paris"), 100).await;
    let mut all = fixture.client().await;
    all.subscribe(topic("stock.#"), 100).await;
    let mut publisher = fixture.client().await;
    for key in ["stock.abc.paris", "stock.abc.london", "stock", "bond.abc.paris", "stock.x.paris"] {
        publisher.try_publish(topic(key), message(key)).await.unwrap();
    }
    assert_eq!(consumer.bodies(2).await, ["stock.abc.paris", "stock.x.paris"]);
    consumer.expect_nothing().await;
    let expected = ["stock.abc.paris", "stock.abc.london", "stock", "stock.x.paris"];
    assert_eq!(all.bodies(4).await, expected);
}

async fn a_pattern_that_fits_in_many_ways_gets_a_message_once(fixture: Fixture) {
    let mut consumer = fixture.client().await;
    consumer.subscribe(topic("#.a.#"), 100).await;
    let mut publisher = fixture.client().await;
    publisher.publish(topic("a.a.a"), "one").await;
    publisher.publish(topic("a"), "two").await;
    assert_eq!(consumer.bodies(2).await, ["one", "two"]);
    consumer.expect_nothing().await;
}

async fn every_topic_subscription_has_a_queue_of_its_own(fixture: Fixture) {
    let mut consumer = fixture.client().await;
    let first = consumer.subscribe(topic("news"), 100).await;
    let second = consumer.subscribe(topic("news"), 100).await;
    let mut publisher = fixture.client().await;
    publisher.publish(topic("news"), "extra").await;
    let receivers = BTreeSet::from([
        consumer.delivery().await.subscription,
        consumer.delivery().await.subscription,
    ]);
    assert_eq!(receivers, BTreeSet::from([first, second]));
    consumer.unsubscribe(first).await;
    publisher.publish(topic("news"), "again").await;
    assert_eq!(consumer.delivery().await.subscription, second);
    consumer.unsubscribe(second).await;
    let outcome = publisher.try_publish(topic("news"), message("m")).await;
    assert_eq!(outcome, Ok(Outcome::Unroutable));
}

async fn an_exchange_routes_by_its_kind(fixture: Fixture) {
    let mut consumer = fixture.client().await;
    let direct = consumer.subscribe(exchange("amq.direct", "k"), 100).await;
    let fanout = consumer.subscribe(exchange("amq.fanout", "ignored"), 100).await;
    let by_topic = consumer.subscribe(exchange("amq.topic", "k.#"), 100).await;
    let mut publisher = fixture.client().await;
    publisher.publish(exchange("amq.direct", "k"), "direct").await;
    let outcome = publisher.try_publish(exchange("amq.direct", "k.x"), message("m")).await;
    assert_eq!(outcome, Ok(Outcome::Unroutable));
    publisher.publish(exchange("amq.fanout", "any"), "fanout").await;
    publisher.publish(exchange("amq.topic", "k.x"), "topic").await;
    // Between queues there is no order.
    let mut got = deliveries(&mut consumer, 3).await;
    got.sort_by_key(|delivery| delivery.subscription);
    for (delivery, (subscription, body, name)) in got.iter().zip([
        (direct, "direct", "amq.direct"),
        (fanout, "fanout", "amq.fanout"),
        (by_topic, "topic", "amq.topic"),
    ]) {
        assert_eq!((delivery.subscription, delivery.body()), (subscription, body));
        assert_eq!(delivery.publication.exchange, name);
    }
    consumer.expect_nothing().await;
}

async fn what_does_not_exist_is_not_found(fixture: Fixture) {
    let mut client = fixture.client().await;
    let default = QueueOptions::default();
    let missing = format!("NOT_FOUND - no exchange 'missing' in vhost '{}'", fixture.vhost());
    let error = client.try_publish(exchange("missing", "k"), message("m")).await.unwrap_err();
    assert_eq!((error.kind, error.text.as_str()), (BrokerErrorKind::NotFound, missing.as_str()));
    let error = client.try_subscribe(exchange("missing", "k"), &default, 1).await.unwrap_err();
    assert_eq!((error.kind, error.text.as_str()), (BrokerErrorKind::NotFound, missing.as_str()));
    let missing = format!("NOT_FOUND - no queue 'missing' in vhost '{}'", fixture.vhost());
    let error = client.try_subscribe(existing("missing"), &default, 1).await.unwrap_err();
    assert_eq!((error.kind, error.text.as_str()), (BrokerErrorKind::NotFound, missing.as_str()));
    client.publish(queue("missing"), "now it is there").await;
    client.subscribe(existing("missing"), 1).await;
    assert_eq!(client.delivery().await.body(), "now it is there");
}

async fn reserved_and_overlong_names_are_refused(fixture: Fixture) {
    let mut client = fixture.client().await;
    let default = QueueOptions::default();
    let error = client.try_publish(queue("amq.mine"), message("m")).await.unwrap_err();
    assert_eq!(error.kind, BrokerErrorKind::AccessRefused);
    let error = client.try_subscribe(queue("amq.mine"), &default, 1).await.unwrap_err();
    assert_eq!(error.kind, BrokerErrorKind::AccessRefused);
    let long = "n".repeat(256);
    for address in [queue(&long), existing(&long), topic(&long), exchange("amq.direct", &long)] {
        let error = client.try_publish(address.clone(), message("m")).await.unwrap_err();
        assert_eq!(error.kind, BrokerErrorKind::PreconditionFailed, "{error}");
        let error = client.try_subscribe(address, &default, 1).await.unwrap_err();
        assert_eq!(error.kind, BrokerErrorKind::PreconditionFailed, "{error}");
    }
    client.publish(queue(&long[..255]), "m").await;
}

async fn a_queue_that_exists_with_other_options_is_refused(fixture: Fixture) {
    let mut client = fixture.client().await;
    client.subscribe(queue("orders"), 1).await;
    let transient = QueueOptions { durable: Some(false), ..QueueOptions::default() };
    let error = client.try_subscribe(queue("orders"), &transient, 1).await.unwrap_err();
    assert_eq!(error.kind, BrokerErrorKind::PreconditionFailed);
    let expected = format!(
        "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'orders' in vhost '{}': \
         received 'false' but current is 'true'",
        fixture.vhost()
    );
    assert_eq!(error.text.as_str(), expected);
    let error = client.try_subscribe(queue("orders"), &auto_delete(), 1).await.unwrap_err();
    assert_eq!(error.kind, BrokerErrorKind::PreconditionFailed);
    let same = QueueOptions {
        durable: Some(true),
        exclusive: Some(false),
        auto_delete: Some(false),
        ..QueueOptions::default()
    };
    client.try_subscribe(queue("orders"), &same, 1).await.unwrap();
}

async fn virtual_hosts_do_not_mix(fixture: Fixture) {
    let mut here = fixture.client().await;
    let mut there = fixture.client_of(fixture.other_vhost()).await;
    here.subscribe(queue("orders"), 10).await;
    here.subscribe(topic("#"), 10).await;
    there.publish(queue("orders"), "there").await;
    let outcome = there.try_publish(topic("news"), message("m")).await;
    assert_eq!(outcome, Ok(Outcome::Unroutable));
    here.expect_nothing().await;
    there.subscribe(queue("orders"), 10).await;
    assert_eq!(there.delivery().await.body(), "there");
}

// Consumers

async fn no_more_than_the_prefetch_is_outstanding(fixture: Fixture) {
    let mut client = fixture.client().await;
    client.subscribe(queue("orders"), 2).await;
    for n in 0..5 {
        client.publish(queue("orders"), n.to_string()).await;
    }
    let first = client.delivery().await;
    let second = client.delivery().await;
    client.expect_nothing().await;
    client.accept(&second);
    assert_eq!(client.delivery().await.body(), "2");
    client.expect_nothing().await;
    client.settle(&first, Verdict::Discard, false);
    assert_eq!(client.delivery().await.body(), "3");
    client.expect_nothing().await;
}

async fn consumers_of_a_queue_take_turns(fixture: Fixture) {
    let mut first = fixture.client().await;
    let mut second = fixture.client().await;
    first.subscribe(queue("orders"), 100).await;
    second.subscribe(queue("orders"), 100).await;
    let mut publisher = fixture.client().await;
    for n in 0..10 {
        publisher.publish(queue("orders"), n.to_string()).await;
    }
    let even = first.bodies(5).await;
    let odd = second.bodies(5).await;
    assert_eq!(even, ["0", "2", "4", "6", "8"]);
    assert_eq!(odd, ["1", "3", "5", "7", "9"]);
}

async fn a_consumer_without_credit_is_passed_over(fixture: Fixture) {
    let mut narrow = fixture.client().await;
    let mut wide = fixture.client().await;
    narrow.subscribe(queue("orders"), 1).await;
    wide.subscribe(queue("orders"), 100).await;
    let mut publisher = fixture.client().await;
    for n in 0..6 {
        publisher.publish(queue("orders"), n.to_string()).await;
    }
    assert_eq!(narrow.bodies(1).await, ["0"]);
    assert_eq!(wide.bodies(5).await, ["1", "2", "3", "4", "5"]);
    narrow.expect_nothing().await;
}

async fn tags_grow_in_the_order_of_delivery(fixture: Fixture) {
    let mut client = fixture.client().await;
    client.subscribe(queue("orders"), 100).await;
    for _ in 0..5 {
        client.publish(queue("orders"), "m").await;
    }
    let deliveries = deliveries(&mut client, 5).await;
    assert!(deliveries.windows(2).all(|pair| pair[0].tag < pair[1].tag));
}

// Settling

async fn what_is_requeued_goes_to_its_old_place_and_is_marked(fixture: Fixture) {
    let mut client = fixture.client().await;
    client.subscribe(queue("orders"), 3).await;
    for n in 0..5 {
        client.publish(queue("orders"), n.to_string()).await;
    }
    let taken = deliveries(&mut client, 3).await;
    client.requeue(&taken[1]);
    let again = client.delivery().await;
    assert_eq!((again.body(), again.redelivered), ("1", true));
    client.settle(&again, Verdict::Requeue, true);
    let mut seen = Vec::new();
    for _ in 0..3 {
        let delivery = client.delivery().await;
        seen.push((delivery.body().to_owned(), delivery.redelivered));
        if delivery.redelivered {
            client.accept(&delivery);
        }
    }
    let expected = [("0", true), ("1", true), ("2", true)];
    assert_eq!(seen, expected.map(|(body, marked)| (body.to_owned(), marked)));
    let fresh = deliveries(&mut client, 2).await;
    assert!(fresh.iter().all(|delivery| !delivery.redelivered));
    assert_eq!((fresh[0].body(), fresh[1].body()), ("3", "4"));
}

async fn a_discarded_message_does_not_come_back(fixture: Fixture) {
    let mut client = fixture.client().await;
    client.subscribe(queue("orders"), 1).await;
    client.publish(queue("orders"), "bad").await;
    client.publish(queue("orders"), "good").await;
    let bad = client.delivery().await;
    client.settle(&bad, Verdict::Discard, false);
    assert_eq!(client.delivery().await.body(), "good");
    client.expect_nothing().await;
}

async fn a_cumulative_settle_means_its_own_subscription_only(fixture: Fixture) {
    let mut client = fixture.client().await;
    let orders = client.subscribe(queue("orders"), 3).await;
    client.subscribe(queue("bills"), 1).await;
    for n in 0..6 {
        client.publish(queue("orders"), n.to_string()).await;
    }
    client.publish(queue("bills"), "b0").await;
    client.publish(queue("bills"), "b1").await;
    let taken = deliveries(&mut client, 4).await;
    let own: Vec<_> = taken.iter().filter(|one| one.subscription == orders).collect();
    assert_eq!(own.len(), 3);
    client.settle(own[1], Verdict::Accept, true);
    let more = deliveries(&mut client, 2).await;
    assert_eq!((more[0].body(), more[1].body()), ("3", "4"));
    client.expect_nothing().await;
}

async fn settling_twice_is_without_effect(fixture: Fixture) {
    let mut client = fixture.client().await;
    client.subscribe(queue("orders"), 1).await;
    for n in 0..3 {
        client.publish(queue("orders"), n.to_string()).await;
    }
    let first = client.delivery().await;
    client.accept(&first);
    client.requeue(&first);
    let second = client.delivery().await;
    assert_eq!(second.body(), "1");
    client.expect_nothing().await;
}

async fn deliveries_outlive_their_subscription(fixture: Fixture) {
    let mut client = fixture.client().await;
    let subscription = client.subscribe(queue("orders"), 3).await;
    for n in 0..3 {
        client.publish(queue("orders"), n.to_string()).await;
    }
    let taken = deliveries(&mut client, 3).await;
    client.unsubscribe(subscription).await;
    client.accept(&taken[0]);
    client.requeue(&taken[1]);
    let mut other = fixture.client().await;
    other.subscribe(queue("orders"), 10).await;
    let again = other.delivery().await;
    assert_eq!((again.body(), again.redelivered), ("1", true));
    other.expect_nothing().await;
    drop(client);
    let again = other.delivery().await;
    assert_eq!((again.body(), again.redelivered), ("2", true));
}

async fn no_delivery_follows_an_unsubscribe(fixture: Fixture) {
    let mut client = fixture.client().await;
    let subscription = client.subscribe(queue("orders"), 10).await;
    let mut publisher = fixture.client().await;
    client.unsubscribe(subscription).await;
    publisher.publish(queue("orders"), "later").await;
    client.expect_nothing().await;
}

// Lifetimes

async fn a_dropped_link_returns_what_it_had(fixture: Fixture) {
    let mut client = fixture.client().await;
    client.subscribe(queue("orders"), 3).await;
    for n in 0..5 {
        client.publish(queue("orders"), n.to_string()).await;
    }
    let taken = deliveries(&mut client, 3).await;
    client.accept(&taken[1]);
    let last = client.delivery().await;
    assert_eq!(last.body(), "3");
    drop(client);
    let mut other = fixture.client().await;
    other.subscribe(queue("orders"), 10).await;
    let got = deliveries(&mut other, 4).await;
    let mut got: Vec<_> = got.iter().map(|one| (one.body(), one.redelivered)).collect();
    // What never left the queue may be taken before the rest is back.
    got.sort_unstable();
    assert_eq!(got, [("0", true), ("2", true), ("3", true), ("4", false)]);
}

async fn an_exclusive_queue_is_its_links_own_and_gone_with_it(fixture: Fixture) {
    let mut owner = fixture.client().await;
    owner.try_subscribe(queue("mine"), &exclusive(), 10).await.unwrap();
    owner.publish(queue("mine"), "m").await;
    assert_eq!(owner.delivery().await.body(), "m");
    let mut other = fixture.client().await;
    let default = QueueOptions::default();
    let expected = format!(
        "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'mine' in vhost '{}'",
        fixture.vhost()
    );
    for address in [queue("mine"), existing("mine")] {
        let error = other.try_subscribe(address, &default, 1).await.unwrap_err();
        assert_eq!(error.kind, BrokerErrorKind::ResourceLocked);
        assert!(error.text.starts_with(&expected), "{error}");
    }
    let error = other.try_publish(queue("mine"), message("m")).await.unwrap_err();
    assert_eq!(error.kind, BrokerErrorKind::ResourceLocked);
    drop(owner);
    loop {
        let error = other.try_subscribe(existing("mine"), &default, 1).await.unwrap_err();
        if error.kind == BrokerErrorKind::NotFound {
            break;
        }
        assert_eq!(error.kind, BrokerErrorKind::ResourceLocked);
        tokio::task::yield_now().await;
    }
}

async fn an_auto_delete_queue_goes_with_its_last_consumer(fixture: Fixture) {
    let mut first = fixture.client().await;
    let mut second = fixture.client().await;
    let a = first.try_subscribe(queue("brief"), &auto_delete(), 10).await.unwrap();
    let b = second.try_subscribe(queue("brief"), &auto_delete(), 10).await.unwrap();
    first.unsubscribe(a).await;
    assert_eq!(first.try_publish(existing("brief"), message("m")).await, Ok(Outcome::Accepted));
    second.unsubscribe(b).await;
    assert_eq!(first.try_publish(existing("brief"), message("m")).await, Ok(Outcome::Unroutable));
}

async fn a_private_queue_goes_with_its_subscription_however_it_was_asked_for(fixture: Fixture) {
    let lasting = QueueOptions {
        exclusive: Some(false),
        auto_delete: Some(false),
        ..QueueOptions::default()
    };
    let mut client = fixture.client().await;
    for to in [topic("news"), exchange("amq.direct", "k"), exchange("amq.fanout", "")] {
        let ended = client.try_subscribe(to.clone(), &lasting, 10).await.unwrap();
        let outcome = client.try_publish(to.clone(), message("m")).await;
        assert_eq!(outcome, Ok(Outcome::Accepted));
        client.unsubscribe(ended).await;
        let outcome = client.try_publish(to, message("m")).await;
        assert_eq!(outcome, Ok(Outcome::Unroutable));
    }
}

async fn a_queue_that_is_not_auto_delete_stays(fixture: Fixture) {
    let mut client = fixture.client().await;
    let subscription = client.subscribe(queue("orders"), 10).await;
    client.unsubscribe(subscription).await;
    client.publish(existing("orders"), "kept").await;
    client.subscribe(existing("orders"), 10).await;
    assert_eq!(client.delivery().await.body(), "kept");
}

async fn a_subscriber_is_served_only_after_it_was_told_so(fixture: Fixture) {
    let mut client = fixture.client().await;
    client.publish(queue("orders"), "waiting").await;
    let token = client.token();
    client.link.submit(Command::Subscribe {
        token,
        subscription: protocols::broker::SubscriptionId(999),
        from: queue("orders"),
        queue: Box::default(),
        arguments: Vec::new(),
        prefetch: 10,
        settle: protocols::broker::SettleMode::Manual,
    });
    assert_eq!(client.event().await, Event::Subscribed { token });
    assert_eq!(client.delivery().await.body(), "waiting");
}

async fn what_is_published_after_a_subscription_was_asked_for_reaches_it(fixture: Fixture) {
    let mut client = fixture.client().await;
    // By a channel that is open already.
    assert_eq!(client.try_publish(topic("news"), message("m")).await, Ok(Outcome::Unroutable));
    let token = client.token();
    client.link.submit(Command::Subscribe {
        token,
        subscription: protocols::broker::SubscriptionId(999),
        from: topic("news"),
        queue: Box::default(),
        arguments: Vec::new(),
        prefetch: 10,
        settle: protocols::broker::SettleMode::Manual,
    });
    client.ready().await;
    assert_eq!(client.try_publish(topic("news"), message("m")).await, Ok(Outcome::Accepted));
}

async fn deliveries(client: &mut Client, count: usize) -> Vec<Delivery> {
    let mut deliveries = Vec::new();
    for _ in 0..count {
        deliveries.push(client.delivery().await);
    }
    deliveries
}

/// Set by a wake.
#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Runs every clause against a fresh fixture of one adapter.
macro_rules! contract {
    ($adapter:ident, $fixture:expr, [$($clause:ident),* $(,)?]) => {
        mod $adapter {
            $(
                #[tokio::test]
                async fn $clause() {
                    super::$clause($fixture).await;
                }
            )*
        }
    };
    ($adapter:ident, $fixture:expr) => {
        contract!($adapter, $fixture, [
            a_wrong_passcode_and_an_unknown_login_are_answered_alike,
            a_virtual_host_that_is_missing_or_closed_to_the_user_is_refused,
            a_broker_that_takes_logins_is_ready,
            a_message_arrives_with_all_its_properties,
            messages_wait_in_a_queue_in_order_until_someone_comes,
            a_waiting_consumer_gets_messages_in_order,
            publishes_are_confirmed_in_order,
            an_answer_wakes_whoever_waits_for_events,
            a_publish_that_asks_for_nothing_is_answered_with_nothing,
            a_mandatory_message_without_a_queue_is_unroutable_and_others_are_accepted,
            a_user_id_must_be_the_login,
            a_topic_subscription_gets_what_fits_its_pattern,
            a_pattern_that_fits_in_many_ways_gets_a_message_once,
            every_topic_subscription_has_a_queue_of_its_own,
            an_exchange_routes_by_its_kind,
            what_does_not_exist_is_not_found,
            reserved_and_overlong_names_are_refused,
            a_queue_that_exists_with_other_options_is_refused,
            virtual_hosts_do_not_mix,
            no_more_than_the_prefetch_is_outstanding,
            consumers_of_a_queue_take_turns,
            a_consumer_without_credit_is_passed_over,
            tags_grow_in_the_order_of_delivery,
            what_is_requeued_goes_to_its_old_place_and_is_marked,
            a_discarded_message_does_not_come_back,
            a_cumulative_settle_means_its_own_subscription_only,
            settling_twice_is_without_effect,
            deliveries_outlive_their_subscription,
            no_delivery_follows_an_unsubscribe,
            a_dropped_link_returns_what_it_had,
            an_exclusive_queue_is_its_links_own_and_gone_with_it,
            an_auto_delete_queue_goes_with_its_last_consumer,
            a_private_queue_goes_with_its_subscription_however_it_was_asked_for,
            a_queue_that_is_not_auto_delete_stays,
            a_named_queue_behind_a_topic_is_shared,
            a_named_queue_goes_with_its_last_consumer_unless_it_is_to_stay,
            a_named_queue_may_have_many_bindings_and_gets_a_message_once,
            a_named_queue_that_exists_with_other_options_is_refused,
            unsubscribing_can_delete_the_queue,
            a_private_queue_with_a_name_takes_what_is_sent_to_that,
            a_private_queue_with_a_name_goes_with_its_link,
            a_declared_exchange_routes_by_its_kind,
            an_exchange_that_is_there_stays_as_it_is,
            an_exchange_of_another_kind_is_refused,
            names_of_the_brokers_own_exchanges_are_reserved,
            what_is_asked_for_after_an_exchange_finds_it,
            what_waits_for_an_exchange_goes_on_if_that_is_refused,
            what_waits_for_an_exchange_is_published_when_its_link_has_left,
            an_exclusive_queue_is_free_for_others_once_it_is_deleted,
            an_exclusive_queue_that_is_asked_for_again_at_once_is_a_new_one,
            a_refused_subscription_leaves_no_queue_of_its_own,
            a_message_that_waits_too_long_is_dead_lettered,
            the_shorter_of_both_times_to_live_counts,
            who_waits_for_it_gets_a_message_that_may_not_wait,
            an_expiration_that_is_no_number_is_refused,
            a_queue_that_nobody_uses_goes,
            the_oldest_make_room_in_a_full_queue,
            bytes_are_those_of_the_bodies,
            a_full_queue_can_refuse_what_is_new,
            what_a_full_queue_refuses_can_be_dead_lettered,
            one_full_queue_of_several_refuses_for_all,
            the_queue_of_a_topic_can_be_bounded,
            a_rejected_message_is_dead_lettered_with_its_own_key,
            what_died_before_is_counted,
            what_goes_round_by_itself_is_dropped,
            dead_letters_that_lead_nowhere_are_gone,
            one_consumer_is_active_until_it_leaves,
            consumers_of_a_higher_priority_go_first,
            messages_of_a_higher_priority_go_first,
            a_headers_exchange_matches_what_the_binding_says,
            arguments_that_make_no_sense_are_refused,
            other_arguments_than_a_queue_has_are_refused,
            arguments_of_bindings_and_consumers_are_checked,
            an_inbox_takes_the_topics_it_is_bound_to,
            an_inbox_gets_a_message_once_however_many_topics_fit,
            an_inbox_takes_a_topic_no_more_once_it_is_unbound,
            a_topic_that_cannot_be_bound_is_refused_and_the_inbox_goes_on,
            an_inbox_keeps_to_its_prefetch_and_the_order_over_topics,
            an_inbox_goes_with_its_subscription_or_its_link,
            an_inbox_takes_topics_of_several_exchanges,
            a_topic_of_an_exchange_that_is_not_there_is_refused,
            messages_to_several_exchanges_keep_their_order_in_an_inbox,
            a_subscriber_is_served_only_after_it_was_told_so,
            what_is_published_after_a_subscription_was_asked_for_reaches_it,
            a_session_that_is_not_known_begins,
            what_was_published_meanwhile_is_there_in_order,
            what_was_not_settled_comes_again_and_what_was_does_not,
            a_link_that_goes_on_cancels_the_session_of_the_one_before,
            a_lasting_subscription_goes_on_once_the_one_before_has_left,
            a_link_that_takes_no_events_lets_go_all_the_same,
            a_link_has_one_session_and_a_session_its_own_name,
            only_a_topic_or_an_exchange_in_a_session_lasts,
            an_unsubscribed_lasting_queue_goes_on_to_collect,
            a_lasting_queue_that_was_deleted_begins_anew,
            a_session_that_was_ended_is_not_there,
            a_lasting_subscription_takes_what_fits_its_pattern_or_binding,
            lasting_subscriptions_of_one_session_are_independent,
        ]);
    };
}

contract!(embedded, super::Fixture::embedded());
contract!(rabbitmq, super::Fixture::rabbitmq().await);
