//! Resumable sessions: what they outlive, what they tell, what they need, and what they leave behind.

mod gaps;
mod handover;

use std::time::Duration;

use broker_adapters::Broker;
use broker_adapters::rabbitmq::{RabbitMq, Settings};
use protocols::broker::{
    Address, BrokerErrorKind, Command, Event, Lasting, Outcome, QueueOptions, SettleMode,
    SubscriptionId, Token, Verdict,
};
use protocols::text::Text;
use rabbitmq_node::{Cut, Permissions, Proxy, Vhost, eventually};

use super::{broker, broker_with, client, direct};
use crate::support::{Client, Delivery, credentials, exchange, existing, message, queue, topic};

/// Longer than any test takes.
const LONG: Duration = Duration::from_secs(3_600);

/// What the queue of the subscription `n` is called.
const QUEUE: &str = "stomp-subscription-gw-resume-n";

/// What the marker of the session `s` is called.
const MARKER: &str = "stomp-subscription-gw-resume-s";

fn ask(client: &mut Client, known: Option<&str>, fresh: &str, lifetime: Duration) -> Token {
    let (token, id) = (client.token(), client.id());
    let (known, fresh) = (known.map(Text::from), Text::from(fresh));
    let subscription = SubscriptionId(id);
    client.link.submit(Command::Resume { token, subscription, known, fresh, lifetime });
    token
}

/// Resumes or begins a session. Its subscription, and whether it was there.
async fn resume(client: &mut Client, known: Option<&str>, fresh: &str) -> (SubscriptionId, bool) {
    let token = ask(client, known, fresh, LONG);
    match client.event().await {
        Event::Resumed { token: of, found } => {
            assert_eq!(of, token);
            (SubscriptionId(token.0 + 1), found)
        }
        other => panic!("a session was expected, not {other:?}"),
    }
}

/// Begins the session `s`.
async fn begin(client: &mut Client) -> SubscriptionId {
    let (session, found) = resume(client, None, "s").await;
    assert!(!found);
    session
}

/// Goes on with the session `s`.
async fn go_on(client: &mut Client) -> SubscriptionId {
    let (session, found) = resume(client, Some("s"), "other").await;
    assert!(found);
    session
}

fn lasting_for(lifetime: Duration) -> QueueOptions {
    let lasting = Some(Lasting { name: "n".into(), lifetime });
    QueueOptions { lasting, ..QueueOptions::default() }
}

/// The subscription `n` to the topic `news`.
async fn subscribe(client: &mut Client, prefetch: u16) -> SubscriptionId {
    client.try_subscribe(topic("news"), &lasting_for(LONG), prefetch).await.unwrap()
}

fn submit_subscribe(client: &mut Client, from: Address) -> (Token, SubscriptionId) {
    let (token, id) = (client.token(), client.id());
    let subscription = SubscriptionId(id);
    client.link.submit(Command::Subscribe {
        token,
        subscription,
        from,
        queue: Box::new(lasting_for(LONG)),
        arguments: Vec::new(),
        prefetch: 10,
        settle: SettleMode::Manual,
    });
    (token, subscription)
}

async fn publish_all(publisher: &mut Client, bodies: std::ops::Range<u32>) {
    for body in bodies {
        publisher.publish(topic("news"), body.to_string()).await;
    }
}

async fn expect_gap(client: &mut Client, of: SubscriptionId) {
    let event = client.event().await;
    assert_eq!(event, Event::Gap { subscription: of });
}

async fn expect_taken_over(client: &mut Client, session: SubscriptionId) {
    match client.event().await {
        Event::Canceled { subscription, error } => {
            assert_eq!(subscription, session);
            assert_eq!(error.kind, BrokerErrorKind::ResourceLocked);
            assert!(error.text.contains("another connection goes on"), "{error}");
            assert!(!error.text.contains("resume-"), "{error}");
        }
        other => panic!("the end of the session was expected, not {other:?}"),
    }
}

/// What was said is at RabbitMQ, and nobody is there any more.
async fn leave(client: Client, vhost: &Vhost) {
    // They are listed a while after they have come, and after they have gone.
    eventually("its consumers", async || (vhost.consumers().await > 0).then_some(())).await;
    drop(client);
    until_consumers(vhost, 0).await;
}

async fn until_consumers(vhost: &Vhost, count: usize) {
    eventually("consumers", async || (vhost.consumers().await == count).then_some(())).await;
}

async fn until_holds(vhost: &Vhost, name: &str, messages: u64) {
    let holds = async || {
        let queue = vhost.queue(name).await?;
        (queue.messages == Some(messages)).then_some(())
    };
    eventually("messages in the queue", holds).await;
}

async fn names(vhost: &Vhost) -> Vec<String> {
    let mut names: Vec<_> = vhost.queues().await.into_iter().map(|it| it.name).collect();
    names.extend(vhost.exchanges().await);
    names.sort_unstable();
    names
}

/// Until RabbitMQ has forgotten that there was a gap; nothing comes to the client before that.
async fn until_told(client: &mut Client, vhost: &Vhost) {
    let told = format!("{QUEUE}-told");
    let is_told = async || {
        assert_eq!(client.events_now(), []);
        vhost.exchanges().await.contains(&told).then_some(())
    };
    eventually("the end of the gap", is_told).await;
}

async fn through_proxy(vhost: &Vhost) -> (Proxy, RabbitMq) {
    let proxy = Proxy::start(vhost.amqp_addr()).await;
    let broker = broker(proxy.addr());
    (proxy, broker)
}

async fn cut_off(proxy: &Proxy) {
    proxy.refuse().await;
    proxy.cut(Cut::Reset).await;
}

/// A broker whose lasting subscriptions hold three messages.
fn small(address: std::net::SocketAddr) -> RabbitMq {
    broker_with(address, Settings { resume_messages: 3, ..Settings::default() })
}

#[tokio::test]
async fn a_session_is_resumed_with_what_came_meanwhile_and_what_was_outstanding() {
    let (vhost, broker) = direct().await;
    let mut publisher = client(&broker, &vhost).await;
    let mut first = client(&broker, &vhost).await;
    begin(&mut first).await;
    subscribe(&mut first, 10).await;
    publish_all(&mut publisher, 0..4).await;
    for n in 0..4 {
        let delivery = first.delivery().await;
        assert_eq!((delivery.body(), delivery.redelivered), (&*n.to_string(), false));
        if n == 1 {
            first.settle(&delivery, Verdict::Accept, true);
        }
    }
    first.link.flush();
    leave(first, &vhost).await;
    publish_all(&mut publisher, 4..6).await;
    let mut second = client(&broker, &vhost).await;
    go_on(&mut second).await;
    subscribe(&mut second, 10).await;
    for n in 2..6 {
        let delivery = second.delivery().await;
        assert_eq!((delivery.body(), delivery.redelivered), (&*n.to_string(), n < 4));
        second.accept(&delivery);
    }
    second.expect_nothing().await;
}

#[tokio::test]
async fn a_session_that_is_not_there_is_begun_under_another_name() {
    let (vhost, broker) = direct().await;
    let mut client = client(&broker, &vhost).await;
    let (_, found) = resume(&mut client, Some("gone"), "s").await;
    assert!(!found);
    assert_eq!(names(&vhost).await, [MARKER]);
    let token = ask(&mut client, None, "second", LONG);
    match client.event().await {
        Event::Failed { token: of, error } => {
            assert_eq!((of, error.kind), (token, BrokerErrorKind::PreconditionFailed));
        }
        other => panic!("a refusal was expected, not {other:?}"),
    }
}

#[tokio::test]
async fn only_topics_and_exchanges_of_a_session_last() {
    let (vhost, broker) = direct().await;
    let mut client = client(&broker, &vhost).await;
    let refused = client.try_subscribe(topic("news"), &lasting_for(LONG), 1).await.unwrap_err();
    assert_eq!(refused.kind, BrokerErrorKind::PreconditionFailed);
    begin(&mut client).await;
    let refused = client.try_subscribe(queue("q"), &lasting_for(LONG), 1).await.unwrap_err();
    assert_eq!(refused.kind, BrokerErrorKind::PreconditionFailed);
    client.try_subscribe(exchange("amq.direct", "k"), &lasting_for(LONG), 1).await.unwrap();
    client.publish(exchange("amq.direct", "k"), "m").await;
    assert_eq!(client.delivery().await.body(), "m");
}

#[tokio::test]
async fn who_goes_on_with_a_session_ends_it_for_who_had_it() {
    let (vhost, broker) = direct().await;
    let mut publisher = client(&broker, &vhost).await;
    let mut old = client(&broker, &vhost).await;
    let session = begin(&mut old).await;
    let subscription = subscribe(&mut old, 2).await;
    publish_all(&mut publisher, 0..4).await;
    assert_eq!(old.bodies(2).await, ["0", "1"]);
    let mut new = client(&broker, &vhost).await;
    go_on(&mut new).await;
    // It stands behind the old one, which has not heard of it.
    subscribe(&mut new, 10).await;
    expect_taken_over(&mut old, session).await;
    for n in 0..4 {
        let delivery = new.delivery().await;
        assert_eq!((delivery.body(), delivery.redelivered), (&*n.to_string(), n < 2));
    }
    // It is the old one's no more, and that cannot subscribe to it again.
    for id in [subscription, session] {
        let answer = old.unsubscribe_and_delete(id).await;
        assert!(matches!(answer, Event::Unsubscribed { .. }), "{answer:?}");
    }
    let refused = old.try_subscribe(topic("news"), &lasting_for(LONG), 1).await.unwrap_err();
    assert_eq!(refused.kind, BrokerErrorKind::PreconditionFailed);
    old.expect_nothing().await;
    publish_all(&mut publisher, 4..5).await;
    assert_eq!(new.delivery().await.body(), "4");
    new.expect_nothing().await;
}

#[tokio::test]
async fn what_the_old_link_deletes_too_late_stays() {
    let (vhost, broker) = direct().await;
    let mut publisher = client(&broker, &vhost).await;
    for order in [["session", "subscription"], ["subscription", "session"]] {
        let mut old = client(&broker, &vhost).await;
        let session = begin(&mut old).await;
        let subscription = subscribe(&mut old, 2).await;
        let mut new = client(&broker, &vhost).await;
        go_on(&mut new).await;
        subscribe(&mut new, 10).await;
        // The old link has not been polled since, so does not know.
        for what in order {
            let token = old.token();
            let subscription = if what == "session" { session } else { subscription };
            old.link.submit(Command::Unsubscribe { token, subscription, delete: true });
        }
        if order[0] == "session" {
            drop(old);
        } else {
            while old.event().await != (Event::Unsubscribed { token: Token(session.0 + 4) }) {}
        }
        publish_all(&mut publisher, 0..1).await;
        assert_eq!(new.delivery().await.body(), "0");
        new.expect_nothing().await;
        let subscription = SubscriptionId(5);
        let end = new.unsubscribe_and_delete(subscription).await;
        assert!(matches!(end, Event::Unsubscribed { .. }), "{end:?}");
        drop(new);
        vhost.clear().await;
    }
}

#[tokio::test]
async fn a_link_that_comes_back_too_late_finds_another_in_its_place() {
    let (vhost, direct) = direct().await;
    let (proxy, through) = through_proxy(&vhost).await;
    for stays in [true, false] {
        let mut old = client(&through, &vhost).await;
        let session = begin(&mut old).await;
        subscribe(&mut old, 2).await;
        cut_off(&proxy).await;
        let mut new = client(&direct, &vhost).await;
        go_on(&mut new).await;
        let subscription = subscribe(&mut new, 10).await;
        let new = if stays { Some(new) } else { None };
        proxy.accept().await;
        expect_taken_over(&mut old, session).await;
        drop(old);
        if let Some(mut new) = new {
            new.publish(topic("news"), "m").await;
            assert_eq!(new.delivery().await.subscription, subscription);
        }
        vhost.clear().await;
    }
}

#[tokio::test]
async fn a_lost_connection_that_comes_back_is_not_noticed() {
    let (vhost, direct) = direct().await;
    let (proxy, through) = through_proxy(&vhost).await;
    let mut publisher = client(&direct, &vhost).await;
    let mut consumer = client(&through, &vhost).await;
    begin(&mut consumer).await;
    let subscription = subscribe(&mut consumer, 10).await;
    publish_all(&mut publisher, 0..2).await;
    assert_eq!(consumer.bodies(2).await, ["0", "1"]);
    cut_off(&proxy).await;
    publish_all(&mut publisher, 2..4).await;
    proxy.accept().await;
    for n in 0..4 {
        let delivery = consumer.delivery().await;
        assert_eq!(delivery.body(), n.to_string());
        consumer.accept(&delivery);
    }
    // What is asked for while the connection is lost is done when it is back.
    cut_off(&proxy).await;
    let token = consumer.token();
    consumer.link.submit(Command::Unsubscribe { token, subscription, delete: true });
    let (subscribed, _) = submit_subscribe(&mut consumer, topic("news"));
    publish_all(&mut publisher, 4..5).await;
    proxy.accept().await;
    assert_eq!(consumer.event().await, Event::Unsubscribed { token });
    assert_eq!(consumer.event().await, Event::Subscribed { token: subscribed });
    publish_all(&mut publisher, 5..6).await;
    assert_eq!(consumer.delivery().await.body(), "5");
}

#[tokio::test]
async fn a_consumer_that_rabbitmq_takes_for_alive_is_waited_for() {
    let (vhost, direct) = direct().await;
    let (proxy, through) = through_proxy(&vhost).await;
    let mut publisher = client(&direct, &vhost).await;
    let mut consumer = client(&through, &vhost).await;
    begin(&mut consumer).await;
    subscribe(&mut consumer, 10).await;
    cut_off(&proxy).await;
    until_consumers(&vhost, 0).await;
    // It stands for the link's own on a connection whose end RabbitMQ has not seen.
    let mut ghost = client(&direct, &vhost).await;
    let haunting = ghost.subscribe(existing(MARKER), 1).await;
    proxy.accept().await;
    proxy.await_accepted(2).await;
    publish_all(&mut publisher, 0..3).await;
    until_holds(&vhost, QUEUE, 3).await;
    assert_eq!(consumer.events_now(), []);
    ghost.unsubscribe(haunting).await;
    assert_eq!(consumer.bodies(3).await, ["0", "1", "2"]);
}

#[tokio::test]
async fn a_session_goes_by_itself_when_nobody_comes_for_it() {
    let (vhost, broker) = direct().await;
    let mut consumer = client(&broker, &vhost).await;
    let lifetime = Duration::from_millis(100);
    let token = ask(&mut consumer, None, "s", lifetime);
    assert_eq!(consumer.event().await, Event::Resumed { token, found: false });
    consumer.try_subscribe(topic("news"), &lasting_for(lifetime), 1).await.unwrap();
    assert_eq!(names(&vhost).await.len(), 6);
    // Not as long as the link is there.
    let nothing = tokio::time::timeout(5 * lifetime, consumer.event()).await;
    assert!(nothing.is_err(), "{nothing:?}");
    assert_eq!(names(&vhost).await.len(), 6);
    drop(consumer);
    let expired = async || {
        let left = names(&vhost).await;
        (left == [format!("{QUEUE}-gap"), format!("{QUEUE}-gap")]).then_some(())
    };
    eventually("the end of the session", expired).await;
    let mut publisher = client(&broker, &vhost).await;
    let outcome = publisher.try_publish(topic("news"), message("m")).await;
    assert_eq!(outcome, Ok(Outcome::Unroutable));
    let (_, found) = resume(&mut publisher, Some("s"), "fresh").await;
    assert!(!found);
}

#[tokio::test]
async fn a_name_that_is_unsubscribed_begins_empty_at_once() {
    let (vhost, broker) = direct().await;
    let mut publisher = client(&broker, &vhost).await;
    let mut consumer = client(&broker, &vhost).await;
    begin(&mut consumer).await;
    let mut subscription = subscribe(&mut consumer, 2).await;
    for round in 0..10 {
        publish_all(&mut publisher, 0..5).await;
        if round % 2 == 0 {
            assert_eq!(consumer.bodies(2).await, ["0", "1"]);
        }
        let token = consumer.token();
        consumer.link.submit(Command::Unsubscribe { token, subscription, delete: true });
        // Again before that was answered, and without waiting for its own answer.
        let (subscribed, hasty) = submit_subscribe(&mut consumer, topic("news"));
        let ended = consumer.token();
        let delete = true;
        let end = Command::Unsubscribe { token: ended, subscription: hasty, delete };
        consumer.link.submit(end);
        let (again, last) = submit_subscribe(&mut consumer, topic("news"));
        let mut answers = Vec::new();
        while answers.last() != Some(&again) {
            match consumer.event().await {
                Event::Unsubscribed { token } | Event::Subscribed { token } => answers.push(token),
                Event::Delivery { subscription: of, .. } => assert_eq!(of, subscription),
                other => panic!("an answer was expected, not {other:?}"),
            }
        }
        answers.sort_unstable();
        assert_eq!(answers, [token, subscribed, ended, again]);
        consumer.expect_nothing().await;
        subscription = last;
    }
    let answer = consumer.unsubscribe_and_delete(subscription).await;
    assert!(matches!(answer, Event::Unsubscribed { .. }), "{answer:?}");
    assert_eq!(names(&vhost).await, [MARKER]);
}

#[tokio::test]
async fn a_subscription_that_ends_without_deletion_collects() {
    let (vhost, broker) = direct().await;
    let mut publisher = client(&broker, &vhost).await;
    let mut consumer = client(&broker, &vhost).await;
    begin(&mut consumer).await;
    let mut subscription = subscribe(&mut consumer, 2).await;
    for round in 0..10 {
        publish_all(&mut publisher, 0..4).await;
        if round == 0 {
            let delivery = consumer.delivery().await;
            consumer.accept(&delivery);
        }
        // Another is there before it has ended.
        let token = consumer.token();
        consumer.link.submit(Command::Unsubscribe { token, subscription, delete: false });
        let (subscribed, next) = submit_subscribe(&mut consumer, topic("news"));
        let mut bodies = Vec::new();
        let mut answers = 0;
        let expected: &[_] = if round == 0 { &["1", "2", "3"] } else { &["0", "1", "2", "3"] };
        while bodies.len() < expected.len() || answers < 2 {
            match consumer.event().await {
                Event::Unsubscribed { token: of } | Event::Subscribed { token: of } => {
                    assert!([token, subscribed].contains(&of));
                    answers += 1;
                }
                Event::Delivery { subscription, tag, redelivered, publication } => {
                    if subscription == next {
                        let delivery = Delivery { subscription, tag, redelivered, publication };
                        bodies.push(delivery.body().to_owned());
                        consumer.accept(&delivery);
                    }
                }
                other => panic!("a delivery was expected, not {other:?}"),
            }
        }
        assert_eq!(bodies, expected, "{round}");
        subscription = next;
    }
    consumer.expect_nothing().await;
}

#[tokio::test]
async fn a_session_that_is_unsubscribed_is_gone() {
    let (vhost, broker) = direct().await;
    for is_dropped in [false, true] {
        let mut consumer = client(&broker, &vhost).await;
        let session = begin(&mut consumer).await;
        let subscription = subscribe(&mut consumer, 2).await;
        let tokens = [session, subscription].map(|subscription| {
            let token = consumer.token();
            consumer.link.submit(Command::Unsubscribe { token, subscription, delete: true });
            token
        });
        if is_dropped {
            drop(consumer);
            let gone = async || names(&vhost).await.is_empty().then_some(());
            eventually("the end of everything", gone).await;
        } else {
            for token in tokens {
                assert_eq!(consumer.answer(token).await, Event::Unsubscribed { token });
            }
            assert_eq!(names(&vhost).await, Vec::<String>::new());
        }
    }
}

#[tokio::test]
async fn what_is_refused_leaves_nothing_behind() {
    let (vhost, broker) = direct().await;
    let user = format!("{}-reader", vhost.user());
    vhost.set_passcode(&user, "cherry").await;
    vhost.permit(&user, Permissions::ALL).await;
    vhost.permit_topics(&user, "amq.topic", ".*", "^news$").await;
    let identity = || credentials((&user, "cherry")).into();
    let mut reader = Client::new(broker.open(vhost.name().into(), identity()).await.unwrap());
    begin(&mut reader).await;
    for resumed in [false, true] {
        if resumed {
            leave(reader, &vhost).await;
            reader = Client::new(broker.open(vhost.name().into(), identity()).await.unwrap());
            go_on(&mut reader).await;
        }
        for (from, kind) in [
            (topic("secret"), BrokerErrorKind::AccessRefused),
            (exchange("missing", "k"), BrokerErrorKind::NotFound),
        ] {
            let refused = reader.try_subscribe(from, &lasting_for(LONG), 1).await.unwrap_err();
            assert_eq!(refused.kind, kind, "{refused}");
            assert!(!refused.text.contains("resume-n"), "{refused}");
            assert_eq!(names(&vhost).await, [MARKER]);
        }
    }
    // What was there before stays, with what is in it, and comes back with the right.
    subscribe(&mut reader, 1).await;
    leave(reader, &vhost).await;
    let mut publisher = client(&broker, &vhost).await;
    publish_all(&mut publisher, 0..1).await;
    vhost.permit_topics(&user, "amq.topic", ".*", "^$").await;
    let mut reader = Client::new(broker.open(vhost.name().into(), identity()).await.unwrap());
    go_on(&mut reader).await;
    let refused = reader.try_subscribe(topic("news"), &lasting_for(LONG), 1).await.unwrap_err();
    assert_eq!(refused.kind, BrokerErrorKind::AccessRefused, "{refused}");
    vhost.permit_topics(&user, "amq.topic", ".*", "^news$").await;
    subscribe(&mut reader, 1).await;
    assert_eq!(reader.delivery().await.body(), "0");
    // Without the right to the names of its own.
    vhost.permit(&user, Permissions::NONE).await;
    let mut stranger = Client::new(broker.open(vhost.name().into(), identity()).await.unwrap());
    let token = ask(&mut stranger, Some("s"), "fresh", LONG);
    match stranger.event().await {
        Event::Failed { token: of, error } => {
            assert_eq!((of, error.kind), (token, BrokerErrorKind::AccessRefused));
            assert!(!error.text.contains("resume-fresh"), "{error}");
            assert!(!error.text.contains("resume-s"), "{error}");
        }
        other => panic!("a refusal was expected, not {other:?}"),
    }
}

#[tokio::test]
async fn permissions_of_plugin_users_are_enough() {
    let (vhost, direct) = direct().await;
    let mut publisher = client(&direct, &vhost).await;
    let user = format!("{}-plugin", vhost.user());
    vhost.set_passcode(&user, "cherry").await;
    let own = "^stomp-subscription-.*";
    let read = r"^(stomp-subscription-.*|amq\.topic$)";
    vhost.permit(&user, Permissions { configure: own, write: own, read }).await;
    let broker = small(vhost.amqp_addr());
    let identity = || credentials((&user, "cherry")).into();
    let mut reader = Client::new(broker.open(vhost.name().into(), identity()).await.unwrap());
    begin(&mut reader).await;
    subscribe(&mut reader, 10).await;
    leave(reader, &vhost).await;
    publish_all(&mut publisher, 0..4).await;
    let mut reader = Client::new(broker.open(vhost.name().into(), identity()).await.unwrap());
    let session = go_on(&mut reader).await;
    let subscription = subscribe(&mut reader, 10).await;
    expect_gap(&mut reader, subscription).await;
    let first = reader.delivery().await;
    assert_eq!(first.body(), "1");
    assert_eq!(reader.bodies(2).await, ["2", "3"]);
    reader.accept(&first);
    until_told(&mut reader, &vhost).await;
    reader.unsubscribe_and_delete(subscription).await;
    reader.unsubscribe_and_delete(session).await;
    assert_eq!(names(&vhost).await, Vec::<String>::new());
}

#[tokio::test]
async fn what_is_published_after_a_lasting_subscription_was_asked_for_reaches_it() {
    let (vhost, broker) = direct().await;
    for n in 0..10 {
        let mut client = client(&broker, &vhost).await;
        // Nor need its session be there before.
        let resumed = ask(&mut client, None, &format!("s{n}"), LONG);
        let (token, subscription) = submit_subscribe(&mut client, topic("news"));
        assert!(!client.is_ready());
        client.ready().await;
        client.publish(topic("news"), "m").await;
        assert_eq!(client.event().await, Event::Resumed { token: resumed, found: false });
        assert_eq!(client.event().await, Event::Subscribed { token });
        assert_eq!(client.delivery().await.body(), "m");
        let answer = client.unsubscribe_and_delete(subscription).await;
        assert!(matches!(answer, Event::Unsubscribed { .. }), "{answer:?}");
    }
}
