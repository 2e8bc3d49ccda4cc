//! What a session costs between the socket and the broker: nanoseconds per frame, either way.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use protocols::auth::{AuthReply, Grant};
use protocols::broker::{
    Command, DeliveryTag, Event, Message, Outcome, Properties, Publication, SubscriptionId, Value,
};
use protocols::policy::{Limits, Policy};
use protocols::session::{FrameKind, Unit};
use protocols::stomp::Stomp;
use protocols::{Actions, Session, SessionSetup, Subprotocol};

struct Connected {
    session: Box<dyn Session>,
    now: Instant,
    actions: Actions,
}

impl Connected {
    fn new() -> Self {
        #[allow(clippy::disallowed_methods, reason = "time must begin somewhere")]
        let now = Instant::now();
        let limits = Limits { pending_receipts: usize::MAX, ..Limits::default() };
        let session = Stomp.open(SessionSetup {
            name: Some("v12.stomp"),
            session_id: "0123456789abcdef".into(),
            secret: protocols::auth::Secret::new("secret"),
            random: [7; 32],
            is_local: true,
            realms: Arc::new(protocols::wamp::peers::NoRealms),
            can_confirm: true,
            most_output: usize::MAX,
            policy: Arc::new(Policy { limits, ..Policy::default() }),
            now,
            time_of_day: std::time::Duration::ZERO,
        });
        let mut connected = Self { session, now, actions: Actions::default() };
        connected.input("CONNECT\naccept-version:1.2\nheart-beat:10000,10000\n\n\0".into());
        let grant = Grant { user: "guest".into(), vhost: "/".into() };
        connected.session.handle_auth(now, AuthReply::Granted(grant), &mut connected.actions);
        connected.input("SUBSCRIBE\nid:sub-0\ndestination:/queue/orders\n\n\0".into());
        connected.actions = Actions::default();
        connected
    }

    fn input(&mut self, bytes: Bytes) {
        let unit = Unit { kind: FrameKind::Text, bytes };
        self.session.handle_input(self.now, unit, &mut self.actions);
    }

    fn event(&mut self, event: Event) {
        self.session.handle_event(self.now, event, &mut self.actions);
    }
}

fn send_frame(headers: &str, body_length: usize) -> Bytes {
    let body = "x".repeat(body_length);
    let head = "SEND\ndestination:/queue/orders\ncontent-type:application/json\n";
    format!("{head}{headers}content-length:{body_length}\n\n{body}\0").into()
}

fn send(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("session/send");
    group.throughput(Throughput::Elements(1));
    for body_length in [100, 1_000] {
        let frame = send_frame("x-kind:order\n", body_length);
        let mut connected = Connected::new();
        group.bench_function(format!("{body_length} B to a command"), |bencher| {
            bencher.iter(|| {
                connected.input(frame.clone());
                black_box(&connected.actions.commands);
                connected.actions.commands.clear();
            });
        });
    }
    let frame = send_frame("receipt:r-123\n", 100);
    let mut connected = Connected::new();
    group.bench_function("100 B to a command, confirm to a RECEIPT", |bencher| {
        bencher.iter(|| {
            connected.input(frame.clone());
            let Some(Command::Publish { token, .. }) = connected.actions.commands.pop() else {
                unreachable!("a SEND is a publish");
            };
            connected.event(Event::Confirmed { token, outcome: Outcome::Accepted });
            black_box(&connected.actions.frames);
            connected.actions.frames.clear();
        });
    });
    group.finish();
}

fn deliver(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("session/deliver");
    group.throughput(Throughput::Elements(1));
    for body_length in [100, 1_000] {
        let publication = Arc::new(Publication {
            exchange: "".into(),
            routing_key: "orders".into(),
            message: Message {
                body: "x".repeat(body_length).into(),
                properties: Properties {
                    content_type: Some("application/json".into()),
                    headers: vec![("x-kind".into(), Value::Text("order".into()))],
                    ..Properties::default()
                },
            },
        });
        let mut connected = Connected::new();
        let mut tag = 1_000_000;
        group.bench_function(format!("{body_length} B to a MESSAGE"), |bencher| {
            bencher.iter_batched(
                || Arc::clone(&publication),
                |publication| {
                    tag += 1;
                    connected.event(Event::Delivery {
                        subscription: SubscriptionId(1),
                        tag: DeliveryTag(tag),
                        redelivered: false,
                        publication,
                    });
                    black_box(&connected.actions.frames);
                    connected.actions.frames.clear();
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

criterion_group!(benches, send, deliver);
criterion_main!(benches);
