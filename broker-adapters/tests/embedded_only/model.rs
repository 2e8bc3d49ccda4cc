//! One queue against a naive model of it: any order of publishing, consuming, settling, leaving; plain,
//! bounded in length, with priorities, and with a single active consumer.

use std::cmp::Reverse;
use std::collections::{BTreeMap, VecDeque};
use std::task::{Context, Poll, Waker};

use broker_adapters::Link;
use proptest::prelude::*;
use protocols::broker::{
    Command, DeliveryTag, Event, Message, Properties, QueueOptions, SettleMode, SubscriptionId,
    Token, Value, Verdict,
};

use crate::support::{Fixture, credentials, message, queue, with};

#[derive(Debug, Clone)]
enum Operation {
    Publish,
    /// With this prefetch, on this link.
    Subscribe(u16, usize),
    /// One of the running ones.
    Unsubscribe(usize),
    /// One of the outstanding ones.
    Settle(usize, Verdict, bool),
    DropLink(usize),
}

const LINKS: usize = 2;

fn operation() -> impl Strategy<Value = Operation> {
    let verdict =
        prop_oneof![Just(Verdict::Accept), Just(Verdict::Requeue), Just(Verdict::Discard)];
    prop_oneof![
        6 => Just(Operation::Publish),
        2 => (1..4_u16, 0..LINKS).prop_map(|(prefetch, link)| Operation::Subscribe(prefetch, link)),
        1 => (0..8_usize).prop_map(Operation::Unsubscribe),
        8 => (0..16_usize, verdict, any::<bool>())
            .prop_map(|(nth, verdict, cumulative)| Operation::Settle(nth, verdict, cumulative)),
        1 => (0..LINKS).prop_map(Operation::DropLink),
    ]
}

/// How the queue is declared.
#[derive(Debug, Clone, Copy)]
struct Kind {
    max_length: Option<usize>,
    has_priorities: bool,
    is_single: bool,
}

fn kind() -> impl Strategy<Value = Kind> {
    (proptest::option::of(0..6_usize), any::<bool>(), any::<bool>()).prop_map(
        |(max_length, has_priorities, is_single)| Kind { max_length, has_priorities, is_single },
    )
}

impl Kind {
    fn options(self) -> QueueOptions {
        let mut arguments = Vec::new();
        if let Some(length) = self.max_length {
            arguments.push(("x-max-length", Value::Integer(length.try_into().unwrap())));
        }
        if self.has_priorities {
            arguments.push(("x-max-priority", Value::Integer(2)));
        }
        if self.is_single {
            arguments.push(("x-single-active-consumer", Value::Boolean(true)));
        }
        with(&arguments)
    }

    /// Where a message belongs among others.
    fn place(self, number: u64) -> (Reverse<u8>, u64) {
        let priority = if self.has_priorities { priority(number).min(2) } else { 0 };
        (Reverse(priority), number)
    }
}

fn priority(number: u64) -> u8 {
    u8::try_from(number % 4).unwrap()
}

/// What the queue must do, by the book.
#[derive(Default)]
struct Model {
    /// Place → whether it was seen.
    ready: BTreeMap<(Reverse<u8>, u64), bool>,
    published: u64,
    consumers: BTreeMap<SubscriptionId, ModelConsumer>,
    next_id: u64,
}

struct ModelConsumer {
    link: usize,
    prefetch: usize,
    running: bool,
    outstanding: VecDeque<(DeliveryTag, u64)>,
}

impl ModelConsumer {
    fn has_credit(&self) -> bool {
        self.running && self.outstanding.len() < self.prefetch
    }
}

impl Model {
    /// The first ones make room.
    fn trim(&mut self, kind: Kind) {
        while kind.max_length.is_some_and(|max| self.ready.len() > max) {
            self.ready.pop_first();
        }
    }

    /// Whether it may be given something.
    fn is_served(&self, id: SubscriptionId, kind: Kind) -> bool {
        let mut running = self.consumers.iter().filter(|(_, one)| one.running);
        let is_active = !kind.is_single || running.next().is_some_and(|(first, _)| *first == id);
        is_active && self.consumers[&id].has_credit()
    }
}

struct Run {
    kind: Kind,
    fixture: Fixture,
    links: Vec<Box<dyn Link>>,
    model: Model,
}

impl Run {
    fn new(kind: Kind) -> Self {
        let fixture = Fixture::embedded();
        let links = (0..LINKS).map(|_| open(&fixture)).collect();
        Self { kind, fixture, links, model: Model::default() }
    }

    fn token(&mut self) -> Token {
        self.model.next_id += 1;
        Token(self.model.next_id)
    }

    fn carry_out(&mut self, operation: Operation) {
        match operation {
            Operation::Publish => {
                let token = self.token();
                let number = self.model.published;
                self.model.published += 1;
                self.model.ready.insert(self.kind.place(number), false);
                let priority = Some(priority(number));
                let properties = Properties { priority, ..Properties::default() };
                let message = Message { properties, ..message(number.to_string()) };
                let (confirm, mandatory) = (false, false);
                let to = queue("q");
                self.links[0].submit(Command::Publish {
                    token,
                    to,
                    message,
                    queue: Some(Box::new(self.kind.options())),
                    confirm,
                    mandatory,
                });
            }
            Operation::Subscribe(prefetch, link) => self.subscribe(prefetch, link),
            Operation::Unsubscribe(nth) => self.unsubscribe(nth),
            Operation::Settle(nth, verdict, cumulative) => self.settle(nth, verdict, cumulative),
            Operation::DropLink(link) => {
                self.links[link] = open(&self.fixture);
                self.model.consumers.retain(|_, one| {
                    if one.link == link {
                        let place = |&(_, number): &(_, u64)| (self.kind.place(number), true);
                        self.model.ready.extend(one.outstanding.iter().map(place));
                    }
                    one.link != link
                });
                self.model.trim(self.kind);
            }
        }
    }

    fn subscribe(&mut self, prefetch: u16, link: usize) {
        let token = self.token();
        let subscription = SubscriptionId(token.0);
        let consumer = ModelConsumer {
            link,
            prefetch: usize::from(prefetch),
            running: true,
            outstanding: VecDeque::new(),
        };
        self.model.consumers.insert(subscription, consumer);
        self.links[link].submit(Command::Subscribe {
            token,
            subscription,
            from: queue("q"),
            queue: Box::new(self.kind.options()),
            arguments: Vec::new(),
            prefetch,
            settle: SettleMode::Manual,
        });
    }

    fn unsubscribe(&mut self, nth: usize) {
        let token = self.token();
        let mut running = self.model.consumers.iter_mut().filter(|(_, one)| one.running);
        let Some((&subscription, consumer)) = running.nth(nth) else {
            return;
        };
        consumer.running = false;
        self.links[consumer.link].submit(Command::Unsubscribe {
            token,
            subscription,
            delete: false,
        });
    }

    fn settle(&mut self, nth: usize, verdict: Verdict, cumulative: bool) {
        let all = self
            .model
            .consumers
            .iter()
            .flat_map(|(id, one)| one.outstanding.iter().map(|(tag, _)| (*id, *tag)));
        let Some((subscription, up_to)) = { all }.nth(nth) else {
            return;
        };
        let consumer = self.model.consumers.get_mut(&subscription).unwrap();
        consumer.outstanding.retain(|&(tag, number)| {
            let is_meant = if cumulative { tag <= up_to } else { tag == up_to };
            if is_meant && verdict == Verdict::Requeue {
                self.model.ready.insert(self.kind.place(number), true);
            }
            !is_meant
        });
        let link = consumer.link;
        self.model.trim(self.kind);
        let command = Command::Settle { subscription, up_to, verdict, cumulative };
        self.links[link].submit(command);
    }

    /// Takes all deliveries and holds each against the model.
    fn check(&mut self) {
        let mut delivered = Vec::new();
        for link in &mut self.links {
            let mut cx = Context::from_waker(Waker::noop());
            while let Poll::Ready(event) = link.poll_event(&mut cx) {
                match event {
                    Event::Subscribed { .. } | Event::Unsubscribed { .. } => {}
                    Event::Delivery { subscription, tag, redelivered, publication } => {
                        let body = std::str::from_utf8(&publication.message.body).unwrap();
                        let number: u64 = body.parse().unwrap();
                        delivered.push((number, subscription, tag, redelivered));
                    }
                    other => panic!("{other:?}"),
                }
            }
        }
        let ready: Vec<_> = self.model.ready.keys().copied().collect();
        let mut places: Vec<_> =
            delivered.iter().map(|(number, ..)| self.kind.place(*number)).collect();
        places.sort_unstable();
        assert_eq!(places, ready[..places.len()], "the first ones are delivered");
        for (number, subscription, tag, redelivered) in delivered {
            let is_served = self.model.is_served(subscription, self.kind);
            assert!(is_served, "within the prefetch of a running consumer, whose turn it is");
            let place = self.kind.place(number);
            assert_eq!(self.model.ready.remove(&place), Some(redelivered), "marked if seen");
            let consumer = self.model.consumers.get_mut(&subscription).expect("a consumer");
            let last = consumer.outstanding.back();
            assert!(last.is_none_or(|(before, _)| *before < tag), "tags grow");
            consumer.outstanding.push_back((tag, number));
        }
        let mut all = self.model.consumers.keys();
        let idle = all.any(|id| self.model.is_served(*id, self.kind));
        assert!(!idle || self.model.ready.is_empty(), "nobody waits while something is ready");
        self.model.trim(self.kind);
    }
}

fn open(fixture: &Fixture) -> Box<dyn Link> {
    let identity = credentials(fixture.user()).into();
    let mut opening = fixture.broker.open(fixture.vhost().into(), identity);
    match opening.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(link) => link.unwrap_or_else(|denial| panic!("{denial:?}")),
        Poll::Pending => panic!("the embedded broker opens at once"),
    }
}

proptest! {
    #[test]
    fn a_queue_does_what_its_model_does(
        kind in kind(),
        operations in proptest::collection::vec(operation(), 1..80),
    ) {
        let mut run = Run::new(kind);
        for operation in operations {
            run.carry_out(operation);
            run.check();
        }
    }
}
