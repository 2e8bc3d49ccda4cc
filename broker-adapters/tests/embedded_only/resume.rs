//! Resumable sessions: their lifetime, in virtual time, and what is lost when they are full.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker_adapters::embedded::Settings;
use protocols::broker::{
    BrokerErrorKind, Event, Message, Outcome, Properties, SubscriptionId, Verdict,
};
use tokio::task::JoinSet;
use tokio::time::advance;

use crate::support::resume::{LIFETIME, all, lasting, seen};
use crate::support::{Client, Delivery, Fixture, exchange, existing, message, queue, topic};

const KIB: usize = 1 << 10;

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

/// Lets time pass, and whoever waited for a deadline that has come have its turn.
async fn pass(time: Duration) {
    advance(time).await;
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

/// Whether anyone takes messages of this topic.
async fn is_taken(publisher: &mut Client, key: &str) -> bool {
    publisher.try_publish(topic(key), message("probe")).await == Ok(Outcome::Accepted)
}

/// At most three messages wait in the queue of a lasting subscription.
fn small() -> Fixture {
    Fixture::embedded_with(Settings { resume_messages: 3, ..Settings::default() })
}

async fn publish_all(publisher: &mut Client, bodies: impl IntoIterator<Item = &str>) {
    for body in bodies {
        publisher.publish(topic("news"), body).await;
    }
}

/// A client that has begun a session with one lasting subscription, for one delivery at a time.
async fn one_by_one(fixture: &Fixture) -> (Client, SubscriptionId) {
    let mut client = fixture.client().await;
    client.begin("s").await;
    let news = client.try_subscribe(topic("news"), &lasting("news"), 1).await.unwrap();
    (client, news)
}

/// Another client goes on with it.
async fn next_one(fixture: &Fixture) -> (Client, SubscriptionId) {
    let mut client = fixture.client().await;
    client.go_on("s").await;
    let news = client.try_subscribe(topic("news"), &lasting("news"), 1).await.unwrap();
    (client, news)
}

async fn accepted(client: &mut Client) -> Delivery {
    let delivery = client.delivery().await;
    client.accept(&delivery);
    delivery
}

// Lifetime

#[tokio::test(start_paused = true)]
async fn a_session_goes_with_all_it_has_once_no_link_has_had_it_for_so_long() {
    let settings = Settings { max_private_queues: 3, ..Settings::default() };
    let fixture = Fixture::embedded_with(settings);
    let mut client = fixture.client().await;
    client.begin("s").await;
    client.lasting("a", topic("a")).await;
    client.lasting("b", topic("b")).await;
    drop(client);
    let mut publisher = fixture.client().await;
    pass(LIFETIME - seconds(1)).await;
    for key in ["a", "b"] {
        assert!(is_taken(&mut publisher, key).await);
    }
    pass(seconds(2)).await;
    for key in ["a", "b"] {
        assert!(!is_taken(&mut publisher, key).await);
    }
    // Nothing of it is counted any more, and its name is free.
    let mut client = fixture.client().await;
    let resumed = client.try_resume(Some("s"), "s", LIFETIME).await.unwrap();
    assert!(!resumed.found);
    for name in ["a", "b"] {
        client.lasting(name, topic(name)).await;
    }
    client.expect_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn a_session_that_a_link_has_stays() {
    let fixture = Fixture::embedded();
    let mut client = fixture.client().await;
    client.begin("s").await;
    client.lasting("news", topic("news")).await;
    pass(LIFETIME * 10).await;
    client.publish(topic("news"), "m").await;
    assert_eq!(client.take(1).await, all(["m"], false));
}

#[tokio::test(start_paused = true)]
async fn the_time_starts_anew_with_each_link_and_is_what_that_link_asks_for() {
    let fixture = Fixture::embedded();
    let mut publisher = fixture.client().await;
    let mut first = fixture.client().await;
    first.try_resume(None, "s", seconds(10)).await.unwrap();
    first.lasting("news", topic("news")).await;
    drop(first);
    pass(seconds(9)).await;
    let mut second = fixture.client().await;
    assert!(second.try_resume(Some("s"), "t", seconds(100)).await.unwrap().found);
    pass(seconds(50)).await;
    drop(second);
    pass(seconds(99)).await;
    assert!(is_taken(&mut publisher, "news").await);
    pass(seconds(2)).await;
    assert!(!is_taken(&mut publisher, "news").await);
}

#[tokio::test(start_paused = true)]
async fn a_link_that_lost_the_session_does_not_lengthen_its_time() {
    let fixture = Fixture::embedded();
    let mut publisher = fixture.client().await;
    let mut first = fixture.client().await;
    first.begin("s").await;
    let news = first.lasting("news", topic("news")).await;
    let mut second = fixture.client().await;
    second.go_on("s").await;
    drop(second);
    pass(LIFETIME - seconds(1)).await;
    // It has not even read that it has lost the session.
    first.unsubscribe(news).await;
    drop(first);
    assert!(is_taken(&mut publisher, "news").await);
    pass(seconds(2)).await;
    assert!(!is_taken(&mut publisher, "news").await);
}

#[tokio::test(start_paused = true)]
async fn who_lost_the_session_is_told_so_once() {
    let fixture = Fixture::embedded();
    let mut first = fixture.client().await;
    let session = first.begin("s").await;
    first.lasting("news", topic("news")).await;
    let mut second = fixture.client().await;
    second.go_on("s").await;
    drop(second);
    pass(LIFETIME + seconds(1)).await;
    assert_eq!(first.canceled(session).await.kind, BrokerErrorKind::ResourceLocked);
    first.expect_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn a_lifetime_without_end_is_one() {
    let fixture = Fixture::embedded();
    let mut client = fixture.client().await;
    client.try_resume(None, "s", Duration::MAX).await.unwrap();
    drop(client);
    pass(LIFETIME * 1_000).await;
    fixture.client().await.go_on("s").await;
}

// Losses

#[tokio::test]
async fn who_comes_back_to_a_queue_that_was_full_is_told_first() {
    let fixture = small();
    let (client, _) = one_by_one(&fixture).await;
    drop(client);
    let mut publisher = fixture.client().await;
    publish_all(&mut publisher, ["1", "2", "3"]).await;
    let (mut client, _) = next_one(&fixture).await;
    assert_eq!(seen(&client.delivery().await), ("1".to_owned(), false), "nothing is missing");
    drop(client);
    publish_all(&mut publisher, ["4", "5"]).await;
    let (mut client, news) = next_one(&fixture).await;
    client.gap(news).await;
    assert_eq!(client.take(3).await, all(["3", "4", "5"], false));
    client.expect_nothing().await;
    // It has gone on from there: nobody is told again.
    drop(client);
    let (mut client, _) = next_one(&fixture).await;
    client.expect_nothing().await;
}

#[tokio::test]
async fn who_is_there_is_told_at_once_and_once_for_each_place() {
    let fixture = small();
    let (mut client, news) = one_by_one(&fixture).await;
    let mut publisher = fixture.client().await;
    publish_all(&mut publisher, ["1", "2", "3", "4"]).await;
    let first = client.delivery().await;
    client.expect_nothing().await;
    publish_all(&mut publisher, ["5", "6"]).await;
    client.gap(news).await;
    publish_all(&mut publisher, ["7"]).await;
    client.expect_nothing().await;
    client.accept(&first);
    let fifth = client.delivery().await;
    assert_eq!(fifth.body(), "5");
    publish_all(&mut publisher, ["8", "9"]).await;
    client.gap(news).await;
    client.accept(&fifth);
    assert_eq!(client.take(3).await, all(["7", "8", "9"], false));
    client.expect_nothing().await;
}

#[tokio::test]
async fn a_loss_is_told_again_until_what_follows_it_is_settled_for_good() {
    let fixture = small();
    let mut publisher = fixture.client().await;
    let (client, _) = one_by_one(&fixture).await;
    drop(client);
    publish_all(&mut publisher, ["1", "2", "3", "4"]).await;
    // One who reads nothing, one who does not even read the delivery, and one who does not settle it.
    for reads in 0..3 {
        let (mut client, news) = next_one(&fixture).await;
        if reads > 0 {
            client.gap(news).await;
        }
        if reads > 1 {
            assert_eq!(client.delivery().await.body(), "2");
        }
    }
    let (mut client, news) = next_one(&fixture).await;
    client.gap(news).await;
    let delivery = client.delivery().await;
    assert_eq!(seen(&delivery), ("2".to_owned(), true));
    client.requeue(&delivery);
    client.gap(news).await;
    let delivery = client.delivery().await;
    client.settle(&delivery, Verdict::Discard, false);
    assert_eq!(client.delivery().await.body(), "3");
    drop(client);
    let (mut client, _) = next_one(&fixture).await;
    assert_eq!(client.take(2).await, [all(["3"], true), all(["4"], false)].concat());
}

#[tokio::test]
async fn each_of_two_losses_is_told_again_by_itself() {
    let fixture = small();
    let mut publisher = fixture.client().await;
    let mut client = fixture.client().await;
    client.begin("s").await;
    let news = client.try_subscribe(topic("news"), &lasting("news"), 2).await.unwrap();
    publish_all(&mut publisher, ["1", "2", "3", "4", "5", "6"]).await;
    client.take(2).await;
    client.gap(news).await;
    assert_eq!(client.delivery().await.body(), "4");
    assert_eq!(accepted(&mut client).await.body(), "5");
    let before_second = client.delivery().await;
    assert_eq!(before_second.body(), "6");
    publish_all(&mut publisher, ["7", "8", "9", "10"]).await;
    client.gap(news).await;
    client.accept(&before_second);
    // What follows the second loss is settled, what follows the first one is not.
    assert_eq!(accepted(&mut client).await.body(), "8");
    drop(client);
    let (mut client, news) = next_one(&fixture).await;
    client.gap(news).await;
    assert_eq!(client.take(3).await, [all(["4"], true), all(["9", "10"], false)].concat());
}

#[tokio::test]
async fn a_gap_before_what_nobody_has_seen_is_told_with_the_next() {
    let fixture = small();
    let mut publisher = fixture.client().await;
    let (client, _) = one_by_one(&fixture).await;
    drop(client);
    publish_all(&mut publisher, ["1", "2", "3", "4", "5"]).await;
    let (mut client, news) = next_one(&fixture).await;
    client.gap(news).await;
    let hidden = client.delivery().await;
    client.settle(&hidden, Verdict::Skip, false);
    // It knows: it is not told twice.
    assert_eq!(client.delivery().await.body(), "4");
    drop(client);
    let (mut client, news) = next_one(&fixture).await;
    client.gap(news).await;
    assert_eq!(client.take(2).await, [all(["4"], true), all(["5"], false)].concat());
    drop(client);
    let (mut client, _) = next_one(&fixture).await;
    client.expect_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn what_nobody_comes_for_expires_though_the_session_goes_on() {
    let settings = Settings { max_private_queues: 3, ..Settings::default() };
    let fixture = Fixture::embedded_with(settings);
    let mut client = fixture.client().await;
    client.begin("s").await;
    client.lasting("a", topic("a")).await;
    client.lasting("b", topic("b")).await;
    drop(client);
    let mut client = fixture.client().await;
    client.go_on("s").await;
    client.lasting("a", topic("a")).await;
    pass(LIFETIME + seconds(1)).await;
    let mut publisher = fixture.client().await;
    assert!(is_taken(&mut publisher, "a").await);
    assert!(!is_taken(&mut publisher, "b").await);
    client.take(1).await;
    // It is counted no more; and whoever comes for it after all is told.
    let late = client.lasting("b", topic("b")).await;
    client.gap(late).await;
    publisher.publish(topic("b"), "m").await;
    assert_eq!(client.take(1).await, all(["m"], false));
    drop(client);
    let mut client = fixture.client().await;
    client.go_on("s").await;
    client.lasting("b", topic("b")).await;
    client.expect_nothing().await;
}

#[tokio::test]
async fn what_an_unsubscribed_link_settles_late_counts() {
    let fixture = small();
    let mut publisher = fixture.client().await;
    let (client, _) = one_by_one(&fixture).await;
    drop(client);
    publish_all(&mut publisher, ["1", "2", "3", "4"]).await;
    let (mut client, news) = next_one(&fixture).await;
    client.gap(news).await;
    let second = client.delivery().await;
    client.unsubscribe(news).await;
    let again = client.try_subscribe(topic("news"), &lasting("news"), 1).await.unwrap();
    client.gap(again).await;
    assert_eq!(client.take(1).await, all(["3"], false));
    client.accept(&second);
    drop(client);
    let (mut client, _) = next_one(&fixture).await;
    assert_eq!(client.take(1).await, all(["4"], false));
}

#[tokio::test]
async fn bytes_bound_a_lasting_queue_too_and_cancel_nobody() {
    let settings = Settings { resume_bytes: 10 * KIB, ..Settings::default() };
    let fixture = Fixture::embedded_with(settings);
    let (mut client, news) = one_by_one(&fixture).await;
    let mut publisher = fixture.client().await;
    for _ in 0..20 {
        publisher.publish(topic("news"), [b'm'; KIB]).await;
    }
    let first = client.delivery().await;
    client.gap(news).await;
    client.accept(&first);
    for _ in 0..6 {
        accepted(&mut client).await;
    }
    client.expect_nothing().await;
    // What is larger than all that may wait is lost as well.
    drop(client);
    publisher.publish(topic("news"), vec![b'm'; 20 * KIB]).await;
    let (mut client, news) = next_one(&fixture).await;
    client.gap(news).await;
    client.expect_nothing().await;
}

#[tokio::test]
async fn clients_that_are_away_hold_no_publisher_back() {
    let settings = Settings { memory_limit: 400 * KIB, ..Settings::default() };
    let fixture = Fixture::embedded_with(settings);
    drop(one_by_one(&fixture).await);
    let mut publisher = fixture.client().await;
    for n in 0..1_000 {
        publisher.publish(topic("news"), format!("{n} {}", "m".repeat(KIB))).await;
        assert!(publisher.is_ready(), "held back by {n}");
    }
    let (mut client, news) = next_one(&fixture).await;
    client.gap(news).await;
    let first = client.delivery().await;
    let number = first.body().split(' ').next().unwrap().parse::<usize>().unwrap();
    // About half of the memory, a message taking more than its own bytes.
    assert!((750..900).contains(&number), "{number}");
    client.accept(&first);
    for _ in number + 1..1_000 {
        accepted(&mut client).await;
    }
    client.expect_nothing().await;
}

#[tokio::test]
async fn what_comes_back_to_a_full_queue_is_lost_and_that_is_told() {
    let fixture = small();
    let mut publisher = fixture.client().await;
    let (mut client, _) = one_by_one(&fixture).await;
    publish_all(&mut publisher, ["1", "2", "3", "4"]).await;
    client.delivery().await;
    drop(client);
    let (mut client, news) = next_one(&fixture).await;
    client.gap(news).await;
    assert_eq!(client.take(3).await, all(["2", "3", "4"], false));
}

#[tokio::test(start_paused = true)]
async fn what_has_expired_is_not_lost() {
    let fixture = small();
    let mut publisher = fixture.client().await;
    let (client, _) = one_by_one(&fixture).await;
    drop(client);
    for body in ["1", "2", "3"] {
        let properties = Properties { expiration: Some("100".into()), ..Properties::default() };
        let brief = Message { properties, ..message(body) };
        publisher.try_publish(topic("news"), brief).await.unwrap();
    }
    // They are over, and it may be that nobody has looked yet.
    advance(seconds(1)).await;
    publish_all(&mut publisher, ["4"]).await;
    let (mut client, _) = next_one(&fixture).await;
    assert_eq!(client.take(1).await, all(["4"], false));
    client.expect_nothing().await;
}

// Bounds and refusals

#[tokio::test]
async fn sessions_and_what_they_have_count_as_private_queues() {
    let settings = Settings { max_private_queues: 2, ..Settings::default() };
    let fixture = Fixture::embedded_with(settings);
    let mut client = fixture.client().await;
    let session = client.begin("s").await;
    let news = client.lasting("news", topic("news")).await;
    let refused = client.try_subscribe(topic("stock.#"), &lasting("stock"), 1).await.unwrap_err();
    let expected = "RESOURCE_ERROR - cannot declare a private queue for 'stock.#' at exchange \
                    'amq.topic' in vhost '/': there are 2 of 2 private queues";
    assert_eq!(refused.text, expected);
    let mut other = fixture.client().await;
    let refused = other.try_resume(None, "t", LIFETIME).await.unwrap_err();
    let expected = "RESOURCE_ERROR - cannot declare a private queue for a resumable session in \
                    vhost '/': there are 2 of 2 private queues";
    assert_eq!(refused.text, expected);
    client.end(news).await;
    client.lasting("stock", topic("stock.#")).await;
    client.end(session).await;
    other.begin("t").await;
    other.lasting("news", topic("news")).await;
}

#[tokio::test]
async fn what_a_resume_or_a_lasting_subscription_cannot_have_is_refused() {
    let fixture = Fixture::embedded();
    let mut client = fixture.client().await;
    let mut other = fixture.client().await;
    let error = client.try_subscribe(topic("news"), &lasting("news"), 1).await.unwrap_err();
    let expected = "PRECONDITION_FAILED - a lasting subscription needs a resumable session";
    assert_eq!(error.text, expected);
    client.begin("s").await;
    let error = client.try_resume(None, "t", LIFETIME).await.unwrap_err();
    let expected = "PRECONDITION_FAILED - this connection has a resumable session already";
    assert_eq!(error.text, expected);
    let error = other.try_resume(Some("t"), "s", LIFETIME).await.unwrap_err();
    let expected = "PRECONDITION_FAILED - there is a resumable session of this name already";
    assert_eq!(error.text, expected);
    for from in [queue("q"), existing("q")] {
        let error = client.try_subscribe(from, &lasting("q"), 1).await.unwrap_err();
        let expected =
            "PRECONDITION_FAILED - only the queue behind a topic or an exchange can be lasting";
        assert_eq!(error.text, expected);
    }
    for (from, kind) in [
        (exchange("missing", ""), BrokerErrorKind::NotFound),
        (exchange("", "q"), BrokerErrorKind::AccessRefused),
        (topic(&"x".repeat(256)), BrokerErrorKind::PreconditionFailed),
    ] {
        let error = client.try_subscribe(from, &lasting("q"), 1).await.unwrap_err();
        assert_eq!(error.kind, kind, "{error}");
    }
    let long = "x".repeat(256);
    let error = client.try_subscribe(topic("news"), &lasting(&long), 1).await.unwrap_err();
    assert_eq!(error.kind, BrokerErrorKind::PreconditionFailed);
    let error = other.try_resume(None, &long, LIFETIME).await.unwrap_err();
    assert_eq!(error.kind, BrokerErrorKind::PreconditionFailed);
    // A link that was refused may ask again.
    other.begin("t").await;
}

#[tokio::test]
async fn a_session_that_is_ended_takes_with_it_all_it_has_and_no_other() {
    let fixture = Fixture::embedded();
    let mut client = fixture.client().await;
    let session = client.begin("s").await;
    let consumed = client.lasting("a", topic("a")).await;
    let left = client.lasting("b", topic("b")).await;
    client.unsubscribe(left).await;
    let mut other = fixture.client().await;
    other.begin("t").await;
    other.lasting("a", topic("a")).await;
    client.end(session).await;
    assert_eq!(client.canceled(consumed).await.kind, BrokerErrorKind::NotFound);
    assert!(!is_taken(&mut client, "b").await);
    client.publish(topic("a"), "m").await;
    assert_eq!(other.take(1).await, all(["m"], false));
    client.expect_nothing().await;
    // A link whose session is over may begin another.
    client.begin("s").await;
}

#[tokio::test]
async fn sessions_of_other_virtual_hosts_are_others() {
    let fixture = Fixture::embedded();
    let mut here = fixture.client().await;
    here.begin("s").await;
    let mut there = fixture.client_of("other").await;
    assert!(!there.try_resume(Some("s"), "s", LIFETIME).await.unwrap().found);
    here.expect_nothing().await;
}

// Links that are late

#[tokio::test]
async fn a_link_that_lost_the_session_ends_nothing_and_begins_nothing_in_it() {
    let fixture = Fixture::embedded();
    let mut publisher = fixture.client().await;
    for reads in [false, true] {
        let mut old = fixture.client().await;
        let session = old.begin("s").await;
        let news = old.lasting("news", topic("news")).await;
        let mut new = fixture.client().await;
        let taken = new.go_on("s").await;
        new.lasting("news", topic("news")).await;
        publisher.publish(topic("news"), "1").await;
        if reads {
            old.canceled(session).await;
        }
        let error = old.try_subscribe(topic("news"), &lasting("more"), 1).await.unwrap_err();
        assert_eq!(error.kind, BrokerErrorKind::PreconditionFailed);
        old.end(news).await;
        old.end(session).await;
        publisher.publish(topic("news"), "2").await;
        old.expect_nothing().await;
        assert_eq!(new.take(2).await, all(["1", "2"], false));
        new.end(taken).await;
    }
}

#[tokio::test]
async fn a_name_that_is_used_again_is_another_session() {
    let fixture = Fixture::embedded();
    let mut old = fixture.client().await;
    let session = old.begin("s").await;
    let news = old.lasting("news", topic("news")).await;
    let mut new = fixture.client().await;
    let taken = new.go_on("s").await;
    new.end(taken).await;
    let again = new.try_resume(Some("s"), "s", LIFETIME).await.unwrap();
    assert!(!again.found);
    new.lasting("news", topic("news")).await;
    old.end(news).await;
    old.end(session).await;
    drop(old);
    new.publish(topic("news"), "m").await;
    assert_eq!(new.take(1).await, all(["m"], false));
}

#[tokio::test]
async fn a_link_that_lost_the_session_may_have_it_back() {
    let fixture = Fixture::embedded();
    let mut old = fixture.client().await;
    let session = old.begin("s").await;
    old.lasting("news", topic("news")).await;
    let mut new = fixture.client().await;
    let taken = new.go_on("s").await;
    old.canceled(session).await;
    old.go_on("s").await;
    new.canceled(taken).await;
    let news = old.lasting("news", topic("news")).await;
    old.end(news).await;
    assert!(!is_taken(&mut new, "news").await);
}

/// What one link after the other accepts of a session that others want too, until there is nothing more.
async fn compete(fixture: Arc<Fixture>, accepted: Arc<Mutex<BTreeSet<usize>>>) {
    for turn in 0.. {
        let mut client = fixture.client().await;
        client.go_on("s").await;
        // It may have been lost to another one by now.
        let subscribed = client.try_subscribe(topic("news"), &lasting("news"), 10).await;
        for _ in 0..if subscribed.is_ok() { 20 } else { 0 } {
            let events = client.events_now();
            if events.iter().any(|event| matches!(event, Event::Canceled { .. })) {
                // What it was given is not its own any more.
                break;
            }
            for event in events {
                let Event::Delivery { subscription, tag, redelivered, publication } = event else {
                    panic!("a delivery was expected, not {event:?}");
                };
                let delivery = Delivery { subscription, tag, redelivered, publication };
                let number: usize = delivery.body().parse().unwrap();
                // Some are left to whoever comes next.
                if !(number + turn).is_multiple_of(3) {
                    client.accept(&delivery);
                    assert!(accepted.lock().unwrap().insert(number), "{number} came again");
                }
            }
            tokio::task::yield_now().await;
        }
        if accepted.lock().unwrap().len() == COMPETED_FOR {
            return;
        }
    }
}

const COMPETED_FOR: usize = 2_000;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn links_that_take_a_session_from_each_other_lose_nothing() {
    let fixture = Arc::new(Fixture::embedded());
    drop(one_by_one(&fixture).await);
    let accepted = Arc::new(Mutex::new(BTreeSet::new()));
    let mut competing = JoinSet::new();
    for _ in 0..4 {
        competing.spawn(compete(Arc::clone(&fixture), Arc::clone(&accepted)));
    }
    let mut publisher = fixture.client().await;
    for n in 0..COMPETED_FOR {
        publisher.publish(topic("news"), n.to_string()).await;
    }
    while let Some(ended) = competing.join_next().await {
        ended.unwrap();
    }
    let (mut client, _) = next_one(&fixture).await;
    client.expect_nothing().await;
}
