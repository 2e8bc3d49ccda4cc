//! Clauses about resumable sessions, and the lasting subscriptions that they have.

use std::future::poll_fn;
use std::task::Poll;

use protocols::broker::{BrokerErrorKind, Event, Message, Outcome, Properties, QueueOptions};
use tokio::select;

use crate::support::resume::{LIFETIME, all, lasting, seen};
use crate::support::{Client, Fixture, exchange, message, queue, table, text, topic};

async fn publish_all(publisher: &mut Client, key: &str, bodies: impl IntoIterator<Item = &str>) {
    for body in bodies {
        publisher.publish(topic(key), body).await;
    }
}

pub(crate) async fn a_session_that_is_not_known_begins(fixture: Fixture) {
    let mut client = fixture.client().await;
    client.begin("one").await;
    let mut other = fixture.client().await;
    let resumed = other.try_resume(Some("unknown"), "two", LIFETIME).await.unwrap();
    assert!(!resumed.found);
    client.expect_nothing().await;
    // It is known by its own name, and by that alone.
    let mut third = fixture.client().await;
    third.go_on("two").await;
    other.canceled(resumed.subscription).await;
    let mut fourth = fixture.client().await;
    assert!(!fourth.try_resume(Some("unknown"), "three", LIFETIME).await.unwrap().found);
}

pub(crate) async fn what_was_published_meanwhile_is_there_in_order(fixture: Fixture) {
    let mut client = fixture.client().await;
    client.begin("s").await;
    let news = client.lasting("news", topic("news.*")).await;
    let mut publisher = fixture.client().await;
    publish_all(&mut publisher, "news.a", ["1", "2"]).await;
    assert_eq!(client.take(2).await, all(["1", "2"], false));
    client.unsubscribe(news).await;
    drop(client);
    for n in 3..50 {
        let key = if n % 2 == 0 { "news.a" } else { "news.b" };
        publisher.publish(topic(key), n.to_string()).await;
    }
    let mut client = fixture.client().await;
    client.go_on("s").await;
    client.lasting("news", topic("news.*")).await;
    publish_all(&mut publisher, "news.a", ["50"]).await;
    let bodies: Vec<String> = (3..=50).map(|n| n.to_string()).collect();
    assert_eq!(client.bodies(bodies.len()).await, bodies);
    client.expect_nothing().await;
}

pub(crate) async fn what_was_not_settled_comes_again_and_what_was_does_not(fixture: Fixture) {
    let mut client = fixture.client().await;
    client.begin("s").await;
    let news = client.lasting("news", topic("news")).await;
    let mut publisher = fixture.client().await;
    publish_all(&mut publisher, "news", ["1", "2", "3", "4"]).await;
    let mut deliveries = Vec::new();
    for _ in 0..4 {
        deliveries.push(client.delivery().await);
    }
    client.accept(&deliveries[0]);
    client.accept(&deliveries[2]);
    // It is answered after they are settled.
    client.unsubscribe(news).await;
    drop(client);
    publish_all(&mut publisher, "news", ["5"]).await;
    let mut client = fixture.client().await;
    client.go_on("s").await;
    client.lasting("news", topic("news")).await;
    assert_eq!(client.take(3).await, [all(["2", "4"], true), all(["5"], false)].concat());
    client.expect_nothing().await;
}

pub(crate) async fn a_link_that_goes_on_cancels_the_session_of_the_one_before(fixture: Fixture) {
    let mut old = fixture.client().await;
    let session = old.begin("s").await;
    let mut new = fixture.client().await;
    let taken = new.go_on("s").await;
    let error = old.canceled(session).await;
    assert_eq!(error.kind, BrokerErrorKind::ResourceLocked);
    // What it asks too late does no harm, nor does that it goes.
    old.end(session).await;
    drop(old);
    new.lasting("news", topic("news")).await;
    let mut third = fixture.client().await;
    third.go_on("s").await;
    new.canceled(taken).await;
}

pub(crate) async fn a_lasting_subscription_goes_on_once_the_one_before_has_left(fixture: Fixture) {
    let mut publisher = fixture.client().await;
    for (name, is_dropped) in [("told", false), ("dropped", true)] {
        let mut old = fixture.client().await;
        let session = old.begin(&format!("session {name}")).await;
        let news = old.lasting(name, topic(name)).await;
        publish_all(&mut publisher, name, ["1"]).await;
        let first = old.delivery().await;
        assert_eq!(seen(&first), ("1".to_owned(), false));
        let mut new = fixture.client().await;
        new.go_on(&format!("session {name}")).await;
        new.lasting(name, topic(name)).await;
        // The old link has not looked yet.
        new.expect_nothing().await;
        if is_dropped {
            drop(old);
            assert_eq!(new.take(1).await, all(["1"], true));
        } else {
            old.canceled(session).await;
            assert_eq!(new.take(1).await, all(["1"], true));
            // It is not the old link's any more.
            old.accept(&first);
            old.unsubscribe(news).await;
        }
        publish_all(&mut publisher, name, ["2"]).await;
        assert_eq!(new.take(1).await, all(["2"], false));
    }
}

pub(crate) async fn a_link_that_takes_no_events_lets_go_all_the_same(fixture: Fixture) {
    let mut publisher = fixture.client().await;
    let mut old = fixture.client().await;
    let session = old.begin("s").await;
    old.lasting("news", topic("news")).await;
    publish_all(&mut publisher, "news", ["1", "2"]).await;
    assert_eq!(seen(&old.delivery().await), ("1".to_owned(), false));
    let mut new = fixture.client().await;
    new.go_on("s").await;
    new.lasting("news", topic("news")).await;
    let attending = async {
        poll_fn(|cx| -> Poll<()> {
            old.link.attend(cx);
            Poll::Pending
        })
        .await;
    };
    // It was not told of the second one, but may have had it.
    let taking = async { new.bodies(2).await };
    select! {
        () = attending => unreachable!("it never ends"),
        bodies = taking => assert_eq!(bodies, ["1", "2"]),
    }
    // What it is told in the end: that it has lost the session, and perhaps what came before.
    loop {
        match old.event().await {
            Event::Canceled { subscription, .. } => break assert_eq!(subscription, session),
            Event::Delivery { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    old.expect_nothing().await;
}

pub(crate) async fn a_link_has_one_session_and_a_session_its_own_name(fixture: Fixture) {
    let mut client = fixture.client().await;
    client.begin("s").await;
    client.try_resume(None, "t", LIFETIME).await.unwrap_err();
    // It has that one still.
    client.lasting("news", topic("news")).await;
    client.publish(topic("news"), "m").await;
    assert_eq!(client.take(1).await, all(["m"], false));
    let mut other = fixture.client().await;
    assert!(!other.try_resume(Some("t"), "u", LIFETIME).await.unwrap().found);
}

pub(crate) async fn only_a_topic_or_an_exchange_in_a_session_lasts(fixture: Fixture) {
    let mut client = fixture.client().await;
    let error = client.try_subscribe(topic("news"), &lasting("news"), 1).await.unwrap_err();
    assert_eq!(error.kind, BrokerErrorKind::PreconditionFailed);
    client.begin("s").await;
    let error = client.try_subscribe(queue("q"), &lasting("q"), 1).await.unwrap_err();
    assert_eq!(error.kind, BrokerErrorKind::PreconditionFailed);
    client.lasting("news", topic("news")).await;
}

pub(crate) async fn an_unsubscribed_lasting_queue_goes_on_to_collect(fixture: Fixture) {
    let mut client = fixture.client().await;
    client.begin("s").await;
    let news = client.lasting("news", topic("news")).await;
    client.unsubscribe(news).await;
    client.publish(topic("news"), "1").await;
    client.lasting("news", topic("news")).await;
    assert_eq!(client.take(1).await, all(["1"], false));
}

pub(crate) async fn a_lasting_queue_that_was_deleted_begins_anew(fixture: Fixture) {
    let mut client = fixture.client().await;
    client.begin("s").await;
    for n in 0..3 {
        let news = client.lasting("news", topic("news")).await;
        client.publish(topic("news"), n.to_string()).await;
        assert_eq!(seen(&client.delivery().await), (n.to_string(), false));
        client.end(news).await;
        let outcome = client.try_publish(topic("news"), message("m")).await;
        assert_eq!(outcome, Ok(Outcome::Unroutable));
    }
    client.lasting("news", topic("news")).await;
    client.expect_nothing().await;
}

pub(crate) async fn a_session_that_was_ended_is_not_there(fixture: Fixture) {
    let mut client = fixture.client().await;
    let session = client.begin("s").await;
    client.end(session).await;
    client.expect_nothing().await;
    let mut other = fixture.client().await;
    assert!(!other.try_resume(Some("s"), "t", LIFETIME).await.unwrap().found);
}

pub(crate) async fn a_lasting_subscription_takes_what_fits_its_pattern_or_binding(
    fixture: Fixture,
) {
    let binding = table(&[("x-match", text("all")), ("kind", text("a"))]);
    let matched = QueueOptions { binding, ..lasting("headers") };
    let mut client = fixture.client().await;
    client.begin("s").await;
    client.lasting("deep", topic("news.#")).await;
    let headers = exchange("amq.headers", "");
    client.try_subscribe(headers.clone(), &matched, 10).await.unwrap();
    drop(client);
    let mut publisher = fixture.client().await;
    for (key, taken) in [("news", true), ("news.a.b", true), ("new", false)] {
        let outcome = publisher.try_publish(topic(key), message(key)).await;
        assert_eq!(outcome == Ok(Outcome::Accepted), taken, "{key}");
    }
    for (kind, taken) in [("a", true), ("b", false)] {
        let kinds = table(&[("kind", text(kind))]);
        let properties = Properties { headers: kinds, ..Properties::default() };
        let message = Message { properties, ..message(kind) };
        let outcome = publisher.try_publish(headers.clone(), message).await;
        assert_eq!(outcome == Ok(Outcome::Accepted), taken, "{kind}");
    }
    let mut client = fixture.client().await;
    client.go_on("s").await;
    client.try_subscribe(headers, &matched, 10).await.unwrap();
    assert_eq!(client.take(1).await, all(["a"], false));
    client.lasting("deep", topic("news.#")).await;
    assert_eq!(client.take(2).await, all(["news", "news.a.b"], false));
    client.expect_nothing().await;
}

pub(crate) async fn lasting_subscriptions_of_one_session_are_independent(fixture: Fixture) {
    let mut client = fixture.client().await;
    client.begin("s").await;
    let first = client.lasting("first", topic("news")).await;
    client.lasting("second", topic("news")).await;
    client.publish(topic("news"), "1").await;
    let deliveries = [client.delivery().await, client.delivery().await];
    let own = deliveries.iter().find(|it| it.subscription == first);
    client.accept(own.expect("each has a copy"));
    client.unsubscribe(first).await;
    drop(client);
    let mut client = fixture.client().await;
    client.go_on("s").await;
    let first = client.lasting("first", topic("news")).await;
    client.expect_nothing().await;
    client.end(first).await;
    client.lasting("second", topic("news")).await;
    assert_eq!(client.take(1).await, all(["1"], true));
    client.publish(topic("news"), "2").await;
    assert_eq!(client.take(1).await, all(["2"], false));
}
