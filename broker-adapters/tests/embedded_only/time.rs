//! Deadlines, in virtual time.

use std::time::Duration;

use protocols::broker::{Message, Outcome, Properties, QueueOptions, Value};
use tokio::time::advance;

use crate::support::{Client, Fixture, existing, message, queue, text, with};

const fn milliseconds(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn expiring(body: &str, after: &str) -> Message {
    let properties = Properties { expiration: Some(after.into()), ..Properties::default() };
    Message { properties, ..message(body) }
}

/// Lets whoever waits for a deadline that has come have its turn.
async fn settled() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

async fn is_there(client: &mut Client, name: &str) -> bool {
    client.try_publish(existing(name), message("probe")).await == Ok(Outcome::Accepted)
}

fn burying() -> QueueOptions {
    with(&[("x-dead-letter-exchange", text("")), ("x-dead-letter-routing-key", text("dead"))])
}

#[tokio::test(start_paused = true)]
async fn a_message_goes_at_its_time_and_not_before() {
    let fixture = Fixture::embedded();
    let mut dead = fixture.client().await;
    dead.subscribe(queue("dead"), 10).await;
    let mut client = fixture.client().await;
    let options = burying();
    client.publish_declaring(queue("work"), expiring("m", "100"), Some(&options)).await.unwrap();
    advance(milliseconds(99)).await;
    settled().await;
    assert!(dead.events_now().is_empty());
    advance(milliseconds(2)).await;
    assert_eq!(dead.delivery().await.body(), "m");
}

#[tokio::test(start_paused = true)]
async fn what_may_wait_longer_keeps_what_is_behind_it() {
    let fixture = Fixture::embedded();
    let mut dead = fixture.client().await;
    dead.subscribe(queue("dead"), 10).await;
    let mut client = fixture.client().await;
    let options = burying();
    for (body, after) in [("long", "1000"), ("short", "100"), ("longer", "5000")] {
        let message = expiring(body, after);
        client.publish_declaring(queue("work"), message, Some(&options)).await.unwrap();
    }
    advance(milliseconds(500)).await;
    settled().await;
    assert!(dead.events_now().is_empty(), "as with RabbitMQ: it is not its turn");
    advance(milliseconds(501)).await;
    assert_eq!(dead.bodies(2).await, ["long", "short"]);
    // Who comes late does not get what has expired.
    client.try_subscribe(queue("work"), &options, 10).await.unwrap();
    assert_eq!(client.delivery().await.body(), "longer");
    client.expect_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn what_comes_back_keeps_its_deadline() {
    let fixture = Fixture::embedded();
    let mut dead = fixture.client().await;
    dead.subscribe(queue("dead"), 10).await;
    let mut client = fixture.client().await;
    let options = burying();
    client.try_subscribe(queue("work"), &options, 1).await.unwrap();
    client.publish_declaring(queue("work"), expiring("m", "100"), Some(&options)).await.unwrap();
    let delivery = client.delivery().await;
    advance(milliseconds(1_000)).await;
    settled().await;
    assert!(dead.events_now().is_empty(), "whoever has it may keep it");
    client.requeue(&delivery);
    assert_eq!(dead.delivery().await.body(), "m");
    client.expect_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn many_expire_in_order() {
    const MESSAGES: usize = 5_000;
    let fixture = Fixture::embedded();
    let mut dead = fixture.client().await;
    dead.subscribe(queue("dead"), 10_000).await;
    let mut client = fixture.client().await;
    let options = burying();
    for n in 0..MESSAGES {
        let message = expiring(&n.to_string(), "100");
        client.publish_declaring(queue("work"), message, Some(&options)).await.unwrap();
    }
    advance(milliseconds(200)).await;
    let expected: Vec<String> = (0..MESSAGES).map(|n| n.to_string()).collect();
    assert_eq!(dead.bodies(MESSAGES).await, expected);
}

#[tokio::test(start_paused = true)]
async fn a_queue_goes_once_nobody_has_consumed_for_so_long() {
    let fixture = Fixture::embedded();
    let mut client = fixture.client().await;
    let options = with(&[("x-expires", Value::Integer(1_000))]);
    let mut other = fixture.client().await;
    let used = other.try_subscribe(queue("q"), &options, 10).await.unwrap();
    advance(milliseconds(5_000)).await;
    settled().await;
    assert!(is_there(&mut client, "q").await, "it is in use");
    other.unsubscribe(used).await;
    advance(milliseconds(600)).await;
    let used = other.try_subscribe(queue("q"), &options, 10).await.unwrap();
    other.unsubscribe(used).await;
    advance(milliseconds(600)).await;
    settled().await;
    assert!(
        is_there(&mut client, "q").await,
        "the time starts anew with each consumer that leaves"
    );
    advance(milliseconds(401)).await;
    settled().await;
    assert!(!is_there(&mut client, "q").await);
}

#[tokio::test(start_paused = true)]
async fn a_queue_that_only_publishers_know_goes_too() {
    let fixture = Fixture::embedded();
    let mut client = fixture.client().await;
    let options = with(&[("x-expires", Value::Integer(1_000))]);
    for _ in 0..4 {
        client.publish_declaring(queue("q"), message("m"), Some(&options)).await.unwrap();
        advance(milliseconds(300)).await;
        settled().await;
    }
    assert!(!is_there(&mut client, "q").await);
}

#[tokio::test(start_paused = true)]
async fn a_link_that_leaves_starts_the_time_of_its_queues() {
    let fixture = Fixture::embedded();
    let mut client = fixture.client().await;
    let options = with(&[("x-expires", Value::Integer(1_000))]);
    let mut leaving = fixture.client().await;
    leaving.try_subscribe(queue("q"), &options, 1).await.unwrap();
    advance(milliseconds(5_000)).await;
    drop(leaving);
    advance(milliseconds(999)).await;
    settled().await;
    assert!(is_there(&mut client, "q").await);
    advance(milliseconds(2)).await;
    settled().await;
    assert!(!is_there(&mut client, "q").await);
}
