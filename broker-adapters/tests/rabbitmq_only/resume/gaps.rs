//! Gaps of lasting subscriptions: what is one, how it is told, and for how long.

use std::time::Duration;

use broker_adapters::rabbitmq::Settings;
use protocols::broker::{BrokerErrorKind, Event, Message, Properties, Verdict};
use rabbitmq_node::{Node, Options};

use super::{
    QUEUE, begin, cut_off, expect_gap, go_on, leave, names, publish_all, small, subscribe,
    through_proxy, until_holds, until_told,
};
use crate::rabbitmq_only::{broker, broker_with, client, direct};
use crate::support::{message, topic};

fn brief() -> Message {
    let expiration = Some("1".into());
    Message { properties: Properties { expiration, ..Properties::default() }, ..message("brief") }
}

fn persistent(body: &str) -> Message {
    let properties = Properties { persistent: true, ..Properties::default() };
    Message { properties, ..message(body) }
}

#[tokio::test]
async fn a_restart_of_the_broker_is_a_gap() {
    let node = Node::start(Options::default()).await;
    let vhost = node.vhost().await;
    let broker = broker(vhost.amqp_addr());
    let mut publisher = client(&broker, &vhost).await;
    let mut consumer = client(&broker, &vhost).await;
    begin(&mut consumer).await;
    let subscription = subscribe(&mut consumer, 1).await;
    publish_all(&mut publisher, 0..1).await;
    for message in [persistent("kept"), message("transient")] {
        publisher.try_publish(topic("news"), message).await.unwrap();
    }
    assert_eq!(consumer.delivery().await.body(), "0");
    node.kill().await;
    node.start_again().await;
    expect_gap(&mut consumer, subscription).await;
    let kept = consumer.delivery().await;
    assert_eq!(kept.body(), "kept");
    publisher.try_publish(topic("news"), persistent("more")).await.unwrap();
    consumer.accept(&kept);
    assert_eq!(consumer.delivery().await.body(), "more");
    until_told(&mut consumer, &vhost).await;
    // While nobody is there.
    leave(consumer, &vhost).await;
    node.stop().await;
    node.start_again().await;
    let mut consumer = client(&broker, &vhost).await;
    go_on(&mut consumer).await;
    let subscription = subscribe(&mut consumer, 10).await;
    expect_gap(&mut consumer, subscription).await;
    assert_eq!(consumer.delivery().await.body(), "more");
    publish_all(&mut publisher, 1..2).await;
    assert_eq!(consumer.delivery().await.body(), "1");
}

#[tokio::test]
async fn more_than_fits_is_a_gap_until_that_is_settled() {
    let (vhost, direct) = direct().await;
    let mut publisher = client(&direct, &vhost).await;
    let broker = small(vhost.amqp_addr());
    let mut consumer = client(&broker, &vhost).await;
    begin(&mut consumer).await;
    subscribe(&mut consumer, 10).await;
    leave(consumer, &vhost).await;
    publish_all(&mut publisher, 0..5).await;
    until_holds(&vhost, QUEUE, 3).await;
    // Again and again, as long as nothing is settled for good.
    for how in ["unsettled", "requeued", "skipped", "accepted"] {
        let mut consumer = client(&broker, &vhost).await;
        go_on(&mut consumer).await;
        let subscription = subscribe(&mut consumer, 10).await;
        expect_gap(&mut consumer, subscription).await;
        let first = consumer.delivery().await;
        assert_eq!(first.body(), if how == "accepted" { "3" } else { "2" });
        let rest: &[&str] = if how == "accepted" { &["4"] } else { &["3", "4"] };
        assert_eq!(consumer.bodies(rest.len()).await, rest);
        match how {
            "skipped" => {
                // It is done with, and nobody has seen it.
                consumer.settle(&first, Verdict::Skip, false);
                consumer.link.flush();
                consumer.expect_nothing().await;
            }
            "requeued" => {
                consumer.requeue(&first);
                assert_eq!(consumer.delivery().await.body(), "2");
            }
            "accepted" => {
                consumer.accept(&first);
                consumer.link.flush();
                consumer.expect_nothing().await;
                until_told(&mut consumer, &vhost).await;
            }
            _ => {}
        }
        leave(consumer, &vhost).await;
    }
    let mut consumer = client(&broker, &vhost).await;
    go_on(&mut consumer).await;
    subscribe(&mut consumer, 10).await;
    assert_eq!(consumer.bodies(1).await, ["4"]);
    consumer.expect_nothing().await;
}

#[tokio::test]
async fn more_than_fits_is_a_gap_while_the_subscription_runs_too() {
    let (vhost, direct) = direct().await;
    let mut publisher = client(&direct, &vhost).await;
    let broker = small(vhost.amqp_addr());
    let mut consumer = client(&broker, &vhost).await;
    begin(&mut consumer).await;
    let subscription = subscribe(&mut consumer, 1).await;
    for round in 0..2 {
        publish_all(&mut publisher, 0..6).await;
        let first = consumer.delivery().await;
        assert_eq!(first.body(), "0");
        expect_gap(&mut consumer, subscription).await;
        consumer.accept(&first);
        for n in 3..6 {
            let delivery = consumer.delivery().await;
            assert_eq!(delivery.body(), n.to_string());
            let verdict = if round == 0 { Verdict::Discard } else { Verdict::Accept };
            consumer.settle(&delivery, verdict, false);
        }
        consumer.expect_nothing().await;
        until_told(&mut consumer, &vhost).await;
    }
    leave(consumer, &vhost).await;
    let mut consumer = client(&broker, &vhost).await;
    go_on(&mut consumer).await;
    subscribe(&mut consumer, 1).await;
    publish_all(&mut publisher, 6..7).await;
    assert_eq!(consumer.delivery().await.body(), "6");
}

#[tokio::test]
async fn who_falls_behind_is_told_of_a_gap_before_what_follows_it() {
    let (vhost, direct) = direct().await;
    let mut publisher = client(&direct, &vhost).await;
    let broker = small(vhost.amqp_addr());
    let mut consumer = client(&broker, &vhost).await;
    begin(&mut consumer).await;
    let subscription = subscribe(&mut consumer, 1).await;
    publish_all(&mut publisher, 0..1).await;
    let first = consumer.delivery().await;
    // The look that this delivery leads to finds nothing.
    let nothing = tokio::time::timeout(Duration::from_secs(3), consumer.event()).await;
    assert!(nothing.is_err(), "{nothing:?}");
    publish_all(&mut publisher, 1..6).await;
    until_holds(&vhost, QUEUE, 4).await;
    consumer.accept(&first);
    expect_gap(&mut consumer, subscription).await;
    assert_eq!(consumer.delivery().await.body(), "3");
}

#[tokio::test]
async fn bytes_are_bounded_too() {
    let (vhost, direct) = direct().await;
    let mut publisher = client(&direct, &vhost).await;
    let settings = Settings { resume_bytes: 250, ..Settings::default() };
    let broker = broker_with(vhost.amqp_addr(), settings);
    let mut consumer = client(&broker, &vhost).await;
    begin(&mut consumer).await;
    subscribe(&mut consumer, 10).await;
    leave(consumer, &vhost).await;
    for n in 0..4 {
        publisher.publish(topic("news"), [n; 100]).await;
    }
    let mut consumer = client(&broker, &vhost).await;
    go_on(&mut consumer).await;
    let subscription = subscribe(&mut consumer, 10).await;
    expect_gap(&mut consumer, subscription).await;
    for n in 2..4 {
        assert_eq!(consumer.delivery().await.body().as_bytes(), [n; 100]);
    }
}

#[tokio::test]
async fn what_is_missing_is_a_gap_and_declared_again() {
    for suffix in ["", "-gap"] {
        for how in ["away", "lost", "running"] {
            let (vhost, direct) = direct().await;
            let (proxy, through) = through_proxy(&vhost).await;
            let mut publisher = client(&direct, &vhost).await;
            let mut consumer = client(&through, &vhost).await;
            begin(&mut consumer).await;
            let mut subscription = subscribe(&mut consumer, 1).await;
            let name = format!("{QUEUE}{suffix}");
            match how {
                "away" => {
                    leave(consumer, &vhost).await;
                    assert!(vhost.delete_queue(&name).await);
                    consumer = client(&through, &vhost).await;
                    go_on(&mut consumer).await;
                    subscription = subscribe(&mut consumer, 1).await;
                }
                "lost" => {
                    cut_off(&proxy).await;
                    assert!(vhost.delete_queue(&name).await);
                    proxy.accept().await;
                }
                _ => {
                    assert!(vhost.delete_queue(&name).await);
                    if suffix.is_empty() {
                        // Whoever deletes the queue of somebody who is there ends that.
                        match consumer.event().await {
                            Event::Canceled { subscription: of, error } => {
                                assert_eq!(of, subscription);
                                assert_eq!(error.kind, BrokerErrorKind::NotFound, "{error}");
                                assert!(!error.text.contains("resume-"), "{error}");
                            }
                            other => panic!("an end was expected, not {other:?}"),
                        }
                        subscription = subscribe(&mut consumer, 1).await;
                    } else {
                        publish_all(&mut publisher, 0..1).await;
                        let delivery = consumer.delivery().await;
                        consumer.accept(&delivery);
                    }
                }
            }
            expect_gap(&mut consumer, subscription).await;
            publish_all(&mut publisher, 1..2).await;
            let delivery = consumer.delivery().await;
            assert_eq!(delivery.body(), "1");
            consumer.accept(&delivery);
            consumer.link.flush();
            until_told(&mut consumer, &vhost).await;
            assert_eq!(names(&vhost).await.len(), 6);
        }
    }
}

#[tokio::test]
async fn what_expires_by_its_publishers_wish_is_no_gap() {
    let (vhost, broker) = direct().await;
    let mut publisher = client(&broker, &vhost).await;
    let mut consumer = client(&broker, &vhost).await;
    begin(&mut consumer).await;
    subscribe(&mut consumer, 10).await;
    leave(consumer, &vhost).await;
    for _ in 0..5 {
        publisher.try_publish(topic("news"), brief()).await.unwrap();
    }
    until_holds(&vhost, QUEUE, 0).await;
    publish_all(&mut publisher, 0..1).await;
    let mut consumer = client(&broker, &vhost).await;
    go_on(&mut consumer).await;
    subscribe(&mut consumer, 10).await;
    let delivery = consumer.delivery().await;
    assert_eq!(delivery.body(), "0");
    // Nor is what its owner refuses.
    consumer.settle(&delivery, Verdict::Discard, false);
    consumer.link.flush();
    until_holds(&vhost, QUEUE, 0).await;
    leave(consumer, &vhost).await;
    let mut consumer = client(&broker, &vhost).await;
    go_on(&mut consumer).await;
    subscribe(&mut consumer, 10).await;
    consumer.expect_nothing().await;
}
