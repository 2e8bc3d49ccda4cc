//! What the suites share: a broker to test, and a client of it that waits for what it expects.

pub(crate) mod resume;

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use broker_adapters::embedded::{Embedded, Settings, User};
use broker_adapters::rabbitmq::{self, RabbitMq};
use broker_adapters::{Broker, Identity, Link};
use bytes::Bytes;
use protocols::auth::{Credentials, Secret};
use protocols::broker::{
    Address, BrokerError, Command, DeliveryTag, Event, Message, Outcome, Publication, QueueOptions,
    SettleMode, SubscriptionId, Token, Value, Verdict,
};
use protocols::text::Text;
use rabbitmq_node::{Node, Permissions};

/// Nothing takes this long. Only guards against a test that would wait for ever.
pub(crate) const CEILING: Duration = Duration::from_secs(60);

/// A broker with two virtual hosts and two users, whose names are the fixture's.
pub(crate) struct Fixture {
    pub(crate) broker: Arc<dyn Broker>,
    names: Names,
}

/// On a broker that others use too, nobody else has them.
struct Names {
    vhost: String,
    other_vhost: String,
    user: Login,
    limited: Login,
}

/// Login and passcode.
type Login = (String, String);

impl Fixture {
    pub(crate) fn embedded() -> Self {
        Self::embedded_with(Settings::default())
    }

    /// `settings`, but with the users and virtual hosts of a fixture.
    pub(crate) fn embedded_with(settings: Settings) -> Self {
        let names = Names {
            vhost: "/".to_owned(),
            other_vhost: "other".to_owned(),
            user: ("ann".to_owned(), "apple".to_owned()),
            limited: ("bob".to_owned(), "banana".to_owned()),
        };
        let [vhost, other_vhost] =
            [&names.vhost, &names.other_vhost].map(|it| Text::from(it.as_str()));
        let user = |(login, passcode): &Login, vhosts| User {
            login: Text::from(login.as_str()),
            passcode: Secret::new(passcode.as_str()),
            vhosts,
        };
        let broker = Embedded::new(Settings {
            users: vec![user(&names.user, None), user(&names.limited, Some(vec![vhost.clone()]))],
            vhosts: vec![vhost, other_vhost],
            ..settings
        });
        Self { broker: Arc::new(broker), names }
    }

    /// New virtual hosts and users on the RabbitMQ that all tests of this process share.
    pub(crate) async fn rabbitmq() -> Self {
        let node = Node::shared().await;
        let (vhost, other) = (node.vhost().await, node.vhost().await);
        let limited = format!("{}-limited", vhost.user());
        vhost.set_passcode(&limited, "banana").await;
        vhost.permit(&limited, Permissions::ALL).await;
        other.permit(vhost.user(), Permissions::ALL).await;
        let endpoint = format!("amqp://{}", vhost.amqp_addr()).parse().unwrap();
        let settings = rabbitmq::Settings { endpoints: vec![endpoint], ..Default::default() };
        let names = Names {
            vhost: vhost.name().to_owned(),
            other_vhost: other.name().to_owned(),
            user: (vhost.user().to_owned(), vhost.passcode().to_owned()),
            limited: (limited, "banana".to_owned()),
        };
        Self { broker: Arc::new(RabbitMq::start(settings)), names }
    }

    /// The virtual host that clients are in unless they say otherwise.
    pub(crate) fn vhost(&self) -> &str {
        &self.names.vhost
    }

    /// A virtual host that is closed to [`limited`](Self::limited).
    pub(crate) fn other_vhost(&self) -> &str {
        &self.names.other_vhost
    }

    /// Login and passcode of a user with access to both virtual hosts.
    pub(crate) fn user(&self) -> (&str, &str) {
        let (login, passcode) = &self.names.user;
        (login, passcode)
    }

    /// Login and passcode of a user with access to [`vhost`](Self::vhost) only.
    pub(crate) fn limited(&self) -> (&str, &str) {
        let (login, passcode) = &self.names.limited;
        (login, passcode)
    }

    pub(crate) async fn client(&self) -> Client {
        self.client_of(self.vhost()).await
    }

    /// One that works under a service login, or under that of its own.
    pub(crate) async fn client_as(&self, is_service: bool) -> Client {
        let identity = Identity { is_service, ..credentials(self.user()).into() };
        let opened = self.broker.open(Text::from(self.vhost()), identity).await;
        Client::new(opened.unwrap_or_else(|denial| panic!("{denial:?}")))
    }

    pub(crate) async fn client_of(&self, vhost: &str) -> Client {
        let opened = self.broker.open(Text::from(vhost), credentials(self.user()).into()).await;
        Client::new(opened.unwrap_or_else(|denial| panic!("{denial:?}")))
    }
}

pub(crate) fn credentials((login, passcode): (&str, &str)) -> Credentials {
    Credentials { login: Text::from(login), passcode: Secret::new(passcode) }
}

pub(crate) fn queue(name: &str) -> Address {
    Address::Queue(Text::from(name))
}

pub(crate) fn existing(name: &str) -> Address {
    Address::ExistingQueue(Text::from(name))
}

pub(crate) fn topic(key: &str) -> Address {
    Address::Topic(Text::from(key))
}

pub(crate) fn exchange(name: &str, key: &str) -> Address {
    Address::Exchange { name: Text::from(name), key: Text::from(key) }
}

pub(crate) fn message(body: impl AsRef<[u8]>) -> Message {
    Message { body: Bytes::copy_from_slice(body.as_ref()), ..Message::default() }
}

pub(crate) fn table(entries: &[(&str, Value)]) -> Vec<(Text, Value)> {
    entries.iter().map(|(name, value)| (Text::from(*name), value.clone())).collect()
}

pub(crate) fn text(text: &str) -> Value {
    Value::Text(Text::from(text))
}

/// How a queue with these arguments is declared.
pub(crate) fn with(arguments: &[(&str, Value)]) -> QueueOptions {
    QueueOptions { arguments: table(arguments), ..QueueOptions::default() }
}

pub(crate) fn exclusive() -> QueueOptions {
    QueueOptions { exclusive: Some(true), ..QueueOptions::default() }
}

pub(crate) fn auto_delete() -> QueueOptions {
    QueueOptions { auto_delete: Some(true), ..QueueOptions::default() }
}

/// A delivery as a client sees it.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) subscription: SubscriptionId,
    pub(crate) tag: DeliveryTag,
    pub(crate) redelivered: bool,
    pub(crate) publication: Arc<Publication>,
}

impl Delivery {
    pub(crate) fn body(&self) -> &str {
        std::str::from_utf8(&self.publication.message.body).unwrap()
    }
}

/// A link, and what came over it while something else was awaited.
pub(crate) struct Client {
    pub(crate) link: Box<dyn Link>,
    next_id: u64,
    stash: VecDeque<Event>,
}

impl Client {
    pub(crate) fn new(link: Box<dyn Link>) -> Self {
        Self { link, next_id: 1, stash: VecDeque::new() }
    }

    pub(crate) fn token(&mut self) -> Token {
        Token(self.id())
    }

    pub(crate) fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// The next event.
    pub(crate) async fn event(&mut self) -> Event {
        if let Some(event) = self.stash.pop_front() {
            return event;
        }
        self.fresh_event().await
    }

    async fn fresh_event(&mut self) -> Event {
        self.link.flush();
        let event = poll_fn(|cx| self.link.poll_event(cx));
        tokio::time::timeout(CEILING, event).await.expect("an event before the ceiling")
    }

    /// What can be had without waiting.
    pub(crate) fn events_now(&mut self) -> Vec<Event> {
        self.link.flush();
        let mut events = Vec::from(std::mem::take(&mut self.stash));
        let mut cx = Context::from_waker(Waker::noop());
        while let std::task::Poll::Ready(event) = self.link.poll_event(&mut cx) {
            events.push(event);
        }
        events
    }

    /// The answer to `token`; other events are kept for later.
    pub(crate) async fn answer(&mut self, token: Token) -> Event {
        loop {
            let event = self.fresh_event().await;
            match &event {
                Event::Confirmed { token: of, .. }
                | Event::Subscribed { token: of }
                | Event::Unsubscribed { token: of }
                | Event::Declared { token: of }
                | Event::Resumed { token: of, .. }
                | Event::Failed { token: of, .. }
                    if *of == token =>
                {
                    return event;
                }
                _ => self.stash.push_back(event),
            }
        }
    }

    pub(crate) async fn delivery(&mut self) -> Delivery {
        match self.event().await {
            Event::Delivery { subscription, tag, redelivered, publication } => {
                Delivery { subscription, tag, redelivered, publication }
            }
            other => panic!("a delivery was expected, not {other:?}"),
        }
    }

    pub(crate) async fn bodies(&mut self, count: usize) -> Vec<String> {
        let mut bodies = Vec::new();
        for _ in 0..count {
            bodies.push(self.delivery().await.body().to_owned());
        }
        bodies
    }

    /// Nothing is on its way to this client: a command was answered, and nothing came before it.
    pub(crate) async fn expect_nothing(&mut self) {
        let token = self.token();
        let to = existing("the queue that is never there");
        let message = message("");
        self.link.submit(Command::Publish {
            token,
            to,
            message,
            queue: None,
            confirm: true,
            mandatory: false,
        });
        self.answer(token).await;
        let rest = self.events_now();
        assert!(rest.is_empty(), "nothing was expected, not {rest:?}");
    }

    /// Publishes, and waits until the broker has taken responsibility.
    pub(crate) async fn publish(&mut self, to: Address, body: impl AsRef<[u8]>) {
        let outcome = self.try_publish(to, message(body)).await;
        assert_eq!(outcome.unwrap(), Outcome::Accepted);
    }

    pub(crate) async fn try_publish(
        &mut self,
        to: Address,
        message: Message,
    ) -> Result<Outcome, BrokerError> {
        self.publish_declaring(to, message, None).await
    }

    /// Publishes to a queue that is declared so, and mandatory.
    pub(crate) async fn publish_declaring(
        &mut self,
        to: Address,
        message: Message,
        queue: Option<&QueueOptions>,
    ) -> Result<Outcome, BrokerError> {
        let token = self.token();
        self.link.submit(Command::Publish {
            token,
            to,
            message,
            queue: queue.cloned().map(Box::new),
            confirm: true,
            mandatory: true,
        });
        match self.answer(token).await {
            Event::Confirmed { outcome, .. } => Ok(outcome),
            Event::Failed { error, .. } => Err(error),
            other => panic!("the answer to a publish was expected, not {other:?}"),
        }
    }

    pub(crate) async fn subscribe(&mut self, from: Address, prefetch: u16) -> SubscriptionId {
        self.try_subscribe(from, &QueueOptions::default(), prefetch).await.unwrap()
    }

    pub(crate) async fn try_subscribe(
        &mut self,
        from: Address,
        queue: &QueueOptions,
        prefetch: u16,
    ) -> Result<SubscriptionId, BrokerError> {
        self.try_consume(from, queue, &[], prefetch).await
    }

    /// Subscribes with arguments of the consumer.
    pub(crate) async fn try_consume(
        &mut self,
        from: Address,
        queue: &QueueOptions,
        arguments: &[(&str, Value)],
        prefetch: u16,
    ) -> Result<SubscriptionId, BrokerError> {
        let arguments = table(arguments);
        let token = self.token();
        let subscription = SubscriptionId(self.id());
        let settle = SettleMode::Manual;
        self.link.submit(Command::Subscribe {
            token,
            subscription,
            from,
            queue: Box::new(queue.clone()),
            arguments,
            prefetch,
            settle,
        });
        match self.answer(token).await {
            Event::Subscribed { .. } => Ok(subscription),
            Event::Failed { error, .. } => Err(error),
            other => panic!("the answer to a subscribe was expected, not {other:?}"),
        }
    }

    pub(crate) async fn unsubscribe(&mut self, subscription: SubscriptionId) {
        let token = self.token();
        self.link.submit(Command::Unsubscribe { token, subscription, delete: false });
        let answer = self.answer(token).await;
        assert_eq!(answer, Event::Unsubscribed { token });
    }

    /// Ends a subscription and deletes its queue. The answer.
    pub(crate) async fn unsubscribe_and_delete(&mut self, subscription: SubscriptionId) -> Event {
        let token = self.token();
        self.link.submit(Command::Unsubscribe { token, subscription, delete: true });
        self.answer(token).await
    }

    pub(crate) fn accept(&mut self, delivery: &Delivery) {
        self.settle(delivery, Verdict::Accept, false);
    }

    pub(crate) fn requeue(&mut self, delivery: &Delivery) {
        self.settle(delivery, Verdict::Requeue, false);
    }

    pub(crate) fn settle(&mut self, delivery: &Delivery, verdict: Verdict, cumulative: bool) {
        let Delivery { subscription, tag, .. } = *delivery;
        self.link.submit(Command::Settle { subscription, up_to: tag, verdict, cumulative });
    }

    /// Waits until publishing is allowed.
    pub(crate) async fn ready(&mut self) {
        let ready = poll_fn(|cx| self.link.poll_ready(cx));
        tokio::time::timeout(CEILING, ready).await.expect("ready before the ceiling");
    }

    /// Waits until everything was handed to the broker.
    pub(crate) async fn taken(&mut self) {
        let taken = poll_fn(|cx| self.link.poll_taken(cx));
        tokio::time::timeout(CEILING, taken).await.expect("taken before the ceiling");
    }

    pub(crate) fn is_ready(&mut self) -> bool {
        self.link.poll_ready(&mut Context::from_waker(Waker::noop())).is_ready()
    }
}
