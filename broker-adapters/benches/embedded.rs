//! What a message costs in the embedded broker, beyond the protocols on either side.
//!
//! `round_trip`: publish to a queue, take the delivery, settle it; one link. `backlog`: the same,
//! but the message waits first. `fan_out_100`: one publish to a topic, taken and settled by 100
//! links. `route_10000`: one publish among 10,000 topic patterns of which one fits.

use std::hint::black_box;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use broker_adapters::embedded::{Embedded, Settings, User};
use broker_adapters::{Broker, Link};
use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use protocols::auth::{Credentials, Secret};
use protocols::broker::{
    Address, Command, Event, Message, SettleMode, SubscriptionId, Token, Verdict,
};
use protocols::text::Text;

fn broker() -> Embedded {
    let user = User { login: "ann".into(), passcode: Secret::new("apple"), vhosts: None };
    Embedded::new(Settings { users: vec![user], ..Settings::default() })
}

fn open(broker: &Embedded) -> Box<dyn Link> {
    let credentials = Credentials { login: "ann".into(), passcode: Secret::new("apple") };
    let mut opening = broker.open("/".into(), credentials.into());
    match opening.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(link)) => link,
        other => panic!("the embedded broker opens at once: {:?}", other.map(|_| ())),
    }
}

fn subscribe(link: &mut dyn Link, id: u64, from: Address) {
    link.submit(Command::Subscribe {
        token: Token(id),
        subscription: SubscriptionId(id),
        from,
        queue: Box::default(),
        arguments: Vec::new(),
        prefetch: 100,
        settle: SettleMode::Manual,
    });
    assert_eq!(next(link), Some(Event::Subscribed { token: Token(id) }));
}

fn publish(link: &mut dyn Link, to: &Address, message: &Message) {
    let (to, message) = (to.clone(), message.clone());
    link.submit(Command::Publish {
        token: Token(0),
        to,
        message,
        queue: None,
        confirm: false,
        mandatory: false,
    });
}

fn next(link: &mut dyn Link) -> Option<Event> {
    match link.poll_event(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(event) => Some(event),
        Poll::Pending => None,
    }
}

fn take_and_settle(link: &mut dyn Link) {
    let Some(Event::Delivery { subscription, tag, publication, .. }) = next(link) else {
        panic!("a delivery was expected");
    };
    black_box(publication);
    let (verdict, cumulative) = (Verdict::Accept, true);
    link.submit(Command::Settle { subscription, up_to: tag, verdict, cumulative });
}

/// 128 bytes with one header, as a parsed frame would hand them in.
fn message() -> Message {
    let mut message = Message { body: Bytes::from(vec![b'x'; 128]), ..Message::default() };
    message.properties.content_type = Some(Text::from("application/json"));
    message
}

fn round_trip(c: &mut Criterion) {
    let mut link = open(&broker());
    let to = Address::Queue(Text::from(String::from("orders")));
    subscribe(&mut *link, 1, to.clone());
    let message = message();
    c.bench_function("round_trip", |b| {
        b.iter(|| {
            publish(&mut *link, &to, &message);
            take_and_settle(&mut *link);
        });
    });
}

fn backlog(c: &mut Criterion) {
    let mut link = open(&broker());
    let to = Address::Queue(Text::from(String::from("orders")));
    subscribe(&mut *link, 1, to.clone());
    let message = message();
    for _ in 0..1_000 {
        publish(&mut *link, &to, &message);
    }
    c.bench_function("backlog", |b| {
        b.iter(|| {
            publish(&mut *link, &to, &message);
            take_and_settle(&mut *link);
        });
    });
}

fn fan_out(c: &mut Criterion) {
    let broker = broker();
    let to = Address::Topic(Text::from(String::from("news.today")));
    let mut links: Vec<_> = (0..100).map(|_| open(&broker)).collect();
    for link in &mut links {
        subscribe(&mut **link, 1, Address::Topic(Text::from("news.*")));
    }
    let mut publisher = open(&broker);
    let message = message();
    let mut group = c.benchmark_group("deliveries");
    group.throughput(Throughput::Elements(100));
    group.bench_function("fan_out_100", |b| {
        b.iter(|| {
            publish(&mut *publisher, &to, &message);
            links.iter_mut().for_each(|link| take_and_settle(&mut **link));
        });
    });
}

fn route(c: &mut Criterion) {
    let broker = broker();
    let mut link = open(&broker);
    for n in 0..10_000 {
        let pattern = match n % 3 {
            0 => format!("plant.{n}.*.state"),
            1 => format!("plant.{n}.#"),
            _ => format!("plant.{n}.pump.state"),
        };
        subscribe(&mut *link, n, Address::Topic(Text::from(pattern)));
    }
    let to = Address::Topic(Text::from(String::from("plant.4999.pump.state")));
    let message = message();
    c.bench_function("route_10000", |b| {
        b.iter(|| {
            publish(&mut *link, &to, &message);
            take_and_settle(&mut *link);
        });
    });
}

criterion_group! {
    name = embedded;
    config = Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(3));
    targets = round_trip, backlog, fan_out, route
}
criterion_main!(embedded);
