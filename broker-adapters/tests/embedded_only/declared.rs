//! Exchanges that the configuration declares, and what RabbitMQ's own faults keep out of the contract.

use broker_adapters::embedded::{DeclaredExchange, ExchangeKind, MAX_EXCHANGES, Settings};
use protocols::broker::{BrokerErrorKind, Command, Event, QueueOptions, Value, Verdict};

use crate::support::{Fixture, exchange, existing, message, queue, table, text, with};

fn declared(name: &str, kind: ExchangeKind) -> DeclaredExchange {
    DeclaredExchange { name: name.into(), kind, internal: false, vhosts: None }
}

fn with_exchanges(exchanges: Vec<DeclaredExchange>) -> Fixture {
    Fixture::embedded_with(Settings { exchanges, ..Settings::default() })
}

#[tokio::test]
async fn each_kind_can_be_declared() {
    let fixture = with_exchanges(vec![
        declared("by.key", ExchangeKind::Direct),
        declared("to.all", ExchangeKind::Fanout),
        declared("by.pattern", ExchangeKind::Topic),
        declared("by.headers", ExchangeKind::Headers),
    ]);
    let mut client = fixture.client().await;
    let any = QueueOptions { binding: table(&[("x-match", text("any"))]), ..Default::default() };
    for (name, key) in [("by.key", "k"), ("to.all", ""), ("by.pattern", "k.*")] {
        client.subscribe(exchange(name, key), 10).await;
    }
    client.try_subscribe(exchange("by.headers", ""), &any, 10).await.unwrap();
    for (name, key) in [("by.key", "k"), ("to.all", "any"), ("by.pattern", "k.x")] {
        client.publish(exchange(name, key), name).await;
        let delivery = client.delivery().await;
        assert_eq!((delivery.body(), &*delivery.publication.exchange), (name, name));
    }
}

#[tokio::test]
async fn an_exchange_is_in_the_virtual_hosts_it_was_declared_for() {
    let here = DeclaredExchange {
        vhosts: Some(vec!["/".into()]),
        ..declared("here", ExchangeKind::Fanout)
    };
    let fixture = with_exchanges(vec![here]);
    fixture.client().await.subscribe(exchange("here", ""), 1).await;
    let mut elsewhere = fixture.client_of(fixture.other_vhost()).await;
    let default = QueueOptions::default();
    let error = elsewhere.try_subscribe(exchange("here", ""), &default, 1).await.unwrap_err();
    assert_eq!(error.text, "NOT_FOUND - no exchange 'here' in vhost 'other'");
}

#[tokio::test]
async fn only_dead_letters_reach_an_internal_exchange() {
    let buried = DeclaredExchange { internal: true, ..declared("buried", ExchangeKind::Fanout) };
    let fixture = with_exchanges(vec![buried]);
    let mut dead = fixture.client().await;
    dead.subscribe(exchange("buried", ""), 10).await;
    let mut client = fixture.client().await;
    let error = client.try_publish(exchange("buried", "k"), message("m")).await.unwrap_err();
    assert_eq!(error.kind, BrokerErrorKind::AccessRefused);
    let expected = "ACCESS_REFUSED - cannot publish to internal exchange 'buried' in vhost '/'";
    assert_eq!(error.text, expected);
    let options = with(&[("x-dead-letter-exchange", text("buried"))]);
    client.try_subscribe(queue("work"), &options, 1).await.unwrap();
    client.publish(existing("work"), "m").await;
    let delivery = client.delivery().await;
    client.settle(&delivery, Verdict::Discard, false);
    assert_eq!(dead.delivery().await.body(), "m");
}

#[tokio::test]
async fn exchanges_that_clients_declare_are_bounded_over_all_virtual_hosts() {
    let fixture = with_exchanges(vec![declared("configured", ExchangeKind::Fanout)]);
    let mut here = fixture.client().await;
    let mut elsewhere = fixture.client_of(fixture.other_vhost()).await;
    let kind = ExchangeKind::Fanout;
    for n in 0..=MAX_EXCHANGES {
        let client = if n % 2 == 0 { &mut here } else { &mut elsewhere };
        let token = client.token();
        let name = format!("x-{n}").into();
        client.link.submit(Command::DeclareExchange { token, name, kind });
        let answer = client.answer(token).await;
        if n < MAX_EXCHANGES {
            assert_eq!(answer, Event::Declared { token });
            continue;
        }
        let Event::Failed { error, .. } = answer else { panic!("{answer:?}") };
        assert_eq!(error.kind, BrokerErrorKind::ResourceError);
        let expected = "RESOURCE_ERROR - cannot declare exchange 'x-1000' in vhost '/': clients have \
                        declared 1000 of 1000 exchanges";
        assert_eq!(error.text, expected);
    }
    // What is there can be asked for all the same.
    for name in ["x-0", "configured"] {
        let token = here.token();
        here.link.submit(Command::DeclareExchange { token, name: name.into(), kind });
        assert_eq!(here.answer(token).await, Event::Declared { token });
    }
}

#[tokio::test]
async fn an_internal_exchange_is_another_than_one_that_is_asked_for() {
    let kind = ExchangeKind::Fanout;
    let fixture =
        with_exchanges(vec![DeclaredExchange { internal: true, ..declared("buried", kind) }]);
    let mut client = fixture.client().await;
    let token = client.token();
    client.link.submit(Command::DeclareExchange { token, name: "buried".into(), kind });
    let Event::Failed { error, .. } = client.answer(token).await else { panic!("a refusal") };
    let expected = "PRECONDITION_FAILED - inequivalent arg 'internal' for exchange 'buried' in vhost \
                    '/': received 'false' but current is 'true'";
    assert_eq!(error.text, expected);
}

#[tokio::test]
async fn where_dead_letters_go_is_no_longer_than_a_name_or_key() {
    let fixture = Fixture::embedded();
    for name in ["x-dead-letter-exchange", "x-dead-letter-routing-key"] {
        let to = |bytes| {
            let (exchange, long) = (("x-dead-letter-exchange", text("")), text(&"k".repeat(bytes)));
            let arguments = [exchange, (name, long)];
            with(if name == arguments[0].0 { &arguments[1..] } else { &arguments })
        };
        let mut client = fixture.client().await;
        let error = client.try_subscribe(queue("q"), &to(256), 1).await.unwrap_err();
        let expected = format!(
            "PRECONDITION_FAILED - invalid arg '{name}' for queue 'q' in vhost '/': \
             256 bytes are more than 255"
        );
        assert_eq!(error.text, expected.as_str());
        let subscription = client.try_subscribe(queue("q"), &to(255), 1).await.unwrap();
        client.unsubscribe_and_delete(subscription).await;
    }
}

#[tokio::test]
async fn the_next_active_consumer_gets_what_waits() {
    let fixture = Fixture::embedded();
    let mut first = fixture.client().await;
    let mut second = fixture.client().await;
    let options = with(&[("x-single-active-consumer", Value::Boolean(true))]);
    let active = first.try_subscribe(queue("work"), &options, 2).await.unwrap();
    second.try_subscribe(queue("work"), &options, 10).await.unwrap();
    for body in ["0", "1", "2"] {
        first.publish(existing("work"), body).await;
    }
    // Its prefetch is used up, and still nobody else is served.
    assert_eq!(first.bodies(2).await, ["0", "1"]);
    second.expect_nothing().await;
    first.unsubscribe(active).await;
    assert_eq!(second.bodies(1).await, ["2"]);
    drop(first);
    assert_eq!(second.bodies(2).await, ["0", "1"]);
}

#[tokio::test]
async fn of_those_who_stand_by_the_highest_priority_is_next_and_then_the_first() {
    let fixture = Fixture::embedded();
    let options = with(&[("x-single-active-consumer", Value::Boolean(true))]);
    let mut clients = Vec::new();
    for priority in [0, 0, 7, 7] {
        let mut client = fixture.client().await;
        let rank = [("x-priority", Value::Integer(priority))];
        client.try_consume(queue("work"), &options, &rank, 1).await.unwrap();
        clients.push(client);
    }
    let mut publisher = fixture.client().await;
    for next in [0, 2, 3, 1] {
        publisher.publish(existing("work"), "m").await;
        let active = &mut clients[next];
        let delivery = active.delivery().await;
        active.accept(&delivery);
        // Its place in the list stays; the client is another, who does not consume.
        *active = fixture.client().await;
    }
}

#[tokio::test]
async fn queue_types_of_rabbitmq_are_refused_by_name() {
    let fixture = Fixture::embedded();
    for (name, value, what) in [
        ("x-queue-type", text("quorum"), "queue type 'quorum'"),
        ("x-queue-type", text("stream"), "queue type 'stream'"),
        ("x-consumer-timeout", Value::Integer(1), "queue argument 'x-consumer-timeout'"),
    ] {
        let mut client = fixture.client().await;
        let error = client.try_subscribe(queue("q"), &with(&[(name, value)]), 1).await.unwrap_err();
        let expected = format!("NOT_IMPLEMENTED - {what} is not offered by the embedded broker");
        assert_eq!(error.text, expected.as_str());
    }
}
