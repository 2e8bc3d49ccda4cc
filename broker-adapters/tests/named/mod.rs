//! Clauses about queues with a name of their own behind an exchange, queues for replies, and the
//! deletion of a queue with its subscription.

use protocols::broker::{Address, BrokerErrorKind, Event, Outcome, QueueOptions};

use crate::support::{Client, Fixture, exchange, existing, message, topic};

fn named(name: &str) -> QueueOptions {
    QueueOptions { name: Some(name.into()), ..QueueOptions::default() }
}

fn durable(name: &str) -> QueueOptions {
    QueueOptions { durable: Some(true), auto_delete: Some(false), ..named(name) }
}

fn private(name: &str) -> Address {
    Address::Private(name.into())
}

async fn reaches(client: &mut Client, to: Address) -> Outcome {
    client.try_publish(to, message("m")).await.unwrap()
}

pub(crate) async fn a_named_queue_behind_a_topic_is_shared(fixture: Fixture) {
    let mut first = fixture.client().await;
    let mut second = fixture.client().await;
    first.try_subscribe(topic("news.*"), &named("readers"), 1).await.unwrap();
    second.try_subscribe(topic("news.*"), &named("readers"), 1).await.unwrap();
    for n in ["0", "1"] {
        first.publish(topic("news.a"), n).await;
    }
    let mut got = [first.delivery().await.body().to_owned(), second.bodies(1).await.remove(0)];
    got.sort_unstable();
    assert_eq!(got, ["0", "1"]);
    first.expect_nothing().await;
}

pub(crate) async fn a_named_queue_goes_with_its_last_consumer_unless_it_is_to_stay(
    fixture: Fixture,
) {
    let mut client = fixture.client().await;
    let brief = client.try_subscribe(topic("news"), &named("brief"), 1).await.unwrap();
    let lasting = client.try_subscribe(topic("news"), &durable("lasting"), 1).await.unwrap();
    client.unsubscribe(brief).await;
    client.unsubscribe(lasting).await;
    assert_eq!(reaches(&mut client, existing("brief")).await, Outcome::Unroutable);
    client.publish(topic("news"), "while nobody was there").await;
    drop(client);
    let mut later = fixture.client().await;
    later.try_subscribe(topic("news"), &durable("lasting"), 1).await.unwrap();
    assert_eq!(later.delivery().await.body(), "while nobody was there");
}

pub(crate) async fn a_named_queue_may_have_many_bindings_and_gets_a_message_once(fixture: Fixture) {
    let mut client = fixture.client().await;
    for from in [topic("news.#"), topic("news.a"), topic("news.a"), exchange("amq.direct", "k")] {
        client.try_subscribe(from, &named("all"), 10).await.unwrap();
    }
    client.publish(topic("news.a"), "topic").await;
    client.publish(exchange("amq.direct", "k"), "direct").await;
    assert_eq!(client.bodies(2).await, ["topic", "direct"]);
    client.expect_nothing().await;
}

pub(crate) async fn a_named_queue_that_exists_with_other_options_is_refused(fixture: Fixture) {
    let mut client = fixture.client().await;
    client.try_subscribe(topic("news"), &durable("mine"), 1).await.unwrap();
    let other = QueueOptions { durable: Some(false), ..durable("mine") };
    let error = client.try_subscribe(topic("news"), &other, 1).await.unwrap_err();
    assert_eq!(error.kind, BrokerErrorKind::PreconditionFailed);
    let expected = format!(
        "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'mine' in vhost '{}': \
         received 'false' but current is 'true'",
        fixture.vhost()
    );
    assert_eq!(error.text, expected.as_str());
    let error = client.try_subscribe(topic("news"), &named("amq.mine"), 1).await.unwrap_err();
    assert_eq!(error.kind, BrokerErrorKind::AccessRefused);
}

pub(crate) async fn unsubscribing_can_delete_the_queue(fixture: Fixture) {
    let mut client = fixture.client().await;
    let mut other = fixture.client().await;
    let mine = client.try_subscribe(topic("news"), &durable("shared"), 1).await.unwrap();
    let theirs = other.try_subscribe(topic("news"), &durable("shared"), 1).await.unwrap();
    let deleted = client.unsubscribe_and_delete(mine).await;
    assert!(matches!(deleted, Event::Unsubscribed { .. }), "{deleted:?}");
    assert_eq!(reaches(&mut client, existing("shared")).await, Outcome::Unroutable);
    match other.event().await {
        Event::Canceled { subscription, error } => {
            assert_eq!((subscription, error.kind), (theirs, BrokerErrorKind::NotFound));
        }
        other => panic!("a canceled subscription was expected, not {other:?}"),
    }
}

pub(crate) async fn a_private_queue_with_a_name_takes_what_is_sent_to_that(fixture: Fixture) {
    let mut client = fixture.client().await;
    let mut other = fixture.client().await;
    let default = QueueOptions::default();
    let replies = client.try_subscribe(private("replies-1"), &default, 10).await.unwrap();
    other.publish(existing("replies-1"), "reply").await;
    assert_eq!(client.delivery().await.body(), "reply");
    for from in [private("replies-1"), existing("replies-1")] {
        let error = other.try_subscribe(from, &default, 1).await.unwrap_err();
        assert_eq!(error.kind, BrokerErrorKind::ResourceLocked, "{error}");
    }
    client.unsubscribe(replies).await;
    assert_eq!(reaches(&mut other, existing("replies-1")).await, Outcome::Unroutable);
}

pub(crate) async fn a_private_queue_with_a_name_goes_with_its_link(fixture: Fixture) {
    let mut client = fixture.client().await;
    let mut other = fixture.client().await;
    client.try_subscribe(private("replies-2"), &QueueOptions::default(), 10).await.unwrap();
    drop(client);
    while reaches(&mut other, existing("replies-2")).await != Outcome::Unroutable {
        tokio::task::yield_now().await;
    }
}
