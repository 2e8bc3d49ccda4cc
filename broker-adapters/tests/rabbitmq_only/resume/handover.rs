//! From one link to the next, while the first one is still there, or comes back.

use super::*;

/// Bodies and gaps, in order, until so many bodies have come; they are accepted.
async fn take(client: &mut Client, count: usize) -> Vec<String> {
    let mut seen = Vec::new();
    let mut bodies = 0;
    while bodies < count {
        match client.event().await {
            Event::Delivery { subscription, tag, redelivered, publication } => {
                let delivery = Delivery { subscription, tag, redelivered, publication };
                seen.push(delivery.body().to_owned());
                client.accept(&delivery);
                bodies += 1;
            }
            Event::Gap { .. } => seen.push("gap".to_owned()),
            other => panic!("{other:?}"),
        }
        client.link.flush();
    }
    seen
}

/// A link that is subscribing when its connection is lost, the broker that it is of, and the way to
/// RabbitMQ that it has not.
async fn interrupted(vhost: &Vhost) -> (Client, RabbitMq, Proxy) {
    let (proxy, through) = through_proxy(vhost).await;
    let mut old = client(&through, vhost).await;
    begin(&mut old).await;
    submit_subscribe(&mut old, topic("news"));
    assert_eq!(old.events_now(), []);
    cut_off(&proxy).await;
    // It notices that.
    for _ in 0..20 {
        assert_eq!(old.events_now(), []);
        tokio::task::yield_now().await;
    }
    (old, through, proxy)
}

/// What the link says once it is there again.
async fn expect_lost(old: &mut Client) {
    match old.event().await {
        Event::Canceled { error, .. } | Event::Failed { error, .. } => {
            assert_eq!(error.kind, BrokerErrorKind::ResourceLocked, "{error}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_the_one_before_gives_back_may_be_too_much() {
    let (vhost, direct) = direct().await;
    let mut publisher = client(&direct, &vhost).await;
    let broker = small(vhost.amqp_addr());
    let mut old = client(&broker, &vhost).await;
    let session = begin(&mut old).await;
    subscribe(&mut old, 100).await;
    publish_all(&mut publisher, 0..60).await;
    old.bodies(60).await;
    let mut new = client(&broker, &vhost).await;
    go_on(&mut new).await;
    subscribe(&mut new, 100).await;
    expect_taken_over(&mut old, session).await;
    assert_eq!(take(&mut new, 3).await, ["gap", "57", "58", "59"]);
}

#[tokio::test]
async fn many_that_are_settled_at_once_are_behind_a_gap_in_time() {
    let (vhost, direct) = direct().await;
    let mut publisher = client(&direct, &vhost).await;
    let broker = small(vhost.amqp_addr());
    let mut consumer = client(&broker, &vhost).await;
    begin(&mut consumer).await;
    let subscription = subscribe(&mut consumer, 100).await;
    // Nobody asks for events meanwhile.
    publish_all(&mut publisher, 0..300).await;
    until_holds(&vhost, QUEUE, 103).await;
    let mut seen = take(&mut consumer, 103).await;
    if !seen.contains(&"gap".to_owned()) {
        expect_gap(&mut consumer, subscription).await;
        seen.push("gap".to_owned());
    }
    assert_eq!(seen.iter().filter(|it| *it == "gap").count(), 1);
}

#[tokio::test]
async fn what_was_settled_when_the_session_was_lost_does_not_come_again() {
    let (vhost, direct) = direct().await;
    let mut publisher = client(&direct, &vhost).await;
    let mut old = client(&direct, &vhost).await;
    let session = begin(&mut old).await;
    subscribe(&mut old, 10).await;
    publish_all(&mut publisher, 0..2).await;
    let first = old.delivery().await;
    assert_eq!(old.delivery().await.body(), "1");
    let mut new = client(&direct, &vhost).await;
    go_on(&mut new).await;
    subscribe(&mut new, 10).await;
    // It is not told RabbitMQ before the end of a turn.
    old.accept(&first);
    expect_taken_over(&mut old, session).await;
    assert_eq!(take(&mut new, 1).await, ["1"]);
    new.expect_nothing().await;
}

#[tokio::test]
async fn an_attempt_of_a_link_that_lost_the_session_has_no_gap_of_anothers_forgotten() {
    let (vhost, direct) = direct().await;
    let mut publisher = client(&direct, &vhost).await;
    let (mut old, _through, proxy) = interrupted(&vhost).await;
    let broker = small(vhost.amqp_addr());
    let mut new = client(&broker, &vhost).await;
    go_on(&mut new).await;
    let subscription = subscribe(&mut new, 1).await;
    publish_all(&mut publisher, 0..6).await;
    let first = new.delivery().await;
    expect_gap(&mut new, subscription).await;
    new.accept(&first);
    new.link.flush();
    assert_eq!(new.delivery().await.body(), "3");
    proxy.accept().await;
    expect_lost(&mut old).await;
    leave(new, &vhost).await;
    drop(old);
    let mut third = client(&broker, &vhost).await;
    go_on(&mut third).await;
    subscribe(&mut third, 10).await;
    assert_eq!(take(&mut third, 3).await, ["gap", "3", "4", "5"]);
}

#[tokio::test]
async fn an_attempt_of_a_link_that_lost_the_session_deletes_nothing_of_anothers() {
    let (vhost, direct) = direct().await;
    let mut publisher = client(&direct, &vhost).await;
    let (mut old, _through, proxy) = interrupted(&vhost).await;
    // Declared otherwise: RabbitMQ refuses what the old link asks for.
    let broker = small(vhost.amqp_addr());
    let mut new = client(&broker, &vhost).await;
    go_on(&mut new).await;
    subscribe(&mut new, 10).await;
    proxy.accept().await;
    expect_lost(&mut old).await;
    drop(old);
    publish_all(&mut publisher, 0..1).await;
    assert_eq!(take(&mut new, 1).await, ["0"]);
    new.expect_nothing().await;
}
