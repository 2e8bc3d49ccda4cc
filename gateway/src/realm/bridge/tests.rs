//! A bridge between a session and a link that does what the test says.

use std::mem;
use std::sync::{Mutex, MutexGuard};
use std::task::Waker;

use protocols::auth::{Credentials, Secret};
use protocols::broker::{DeliveryTag, Event, Message, Properties, Publication, SubscriptionId};
use protocols::wamp::id::Id;
use protocols::wamp::message::Passthru;
use protocols::wamp::payload::Payload;
use protocols::wamp::pubsub::Trust;
use protocols::wamp::registry::{NodeId, SessionAt};
use protocols::wamp::rpc::{self, Ask, CallId, Invoke, ToCallee};
use protocols::wamp::serializer::{Limits, Serializer};
use protocols::wamp::uri::UriRules;

use super::*;
use crate::hub::outbox::Overflow;
use crate::hub::share::Pending;

const NODE: NodeId = NodeId(7);

/// What the link and the test share.
#[derive(Debug, Default)]
struct World {
    submitted: Vec<Command>,
    events: VecDeque<Event>,
    /// The broker holds publishers back.
    is_blocked: bool,
    wakers: Vec<Waker>,
}

#[derive(Debug, Clone, Default)]
struct Shared(Arc<Mutex<World>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, World> {
        self.0.lock().unwrap()
    }

    /// Changes the world, and lets the bridge act until nothing moves any more.
    async fn change(&self, change: impl FnOnce(&mut World)) {
        change(&mut self.lock());
        let wakers = mem::take(&mut self.lock().wakers);
        wakers.into_iter().for_each(Waker::wake);
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
    }

    fn published(&self) -> usize {
        let is_publish = |command: &&Command| matches!(command, Command::Publish { .. });
        self.lock().submitted.iter().filter(is_publish).count()
    }
}

impl Broker for Shared {
    fn open(&self, _: Text, _: Identity) -> BoxFuture<'_, Result<Box<dyn Link>, Denial>> {
        Box::pin(async { Ok(Box::new(self.clone()) as Box<dyn Link>) })
    }

    fn ready(&self) -> Result<(), BrokerError> {
        Ok(())
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {})
    }
}

impl Link for Shared {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let mut world = self.lock();
        if world.is_blocked {
            world.wakers.push(cx.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(())
    }

    fn submit(&mut self, command: Command) {
        self.lock().submitted.push(command);
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        let mut world = self.lock();
        let event = world.events.pop_front();
        event.map_or_else(
            || {
                world.wakers.push(cx.waker().clone());
                Poll::Pending
            },
            Poll::Ready,
        )
    }
}

fn at(session: u64) -> SessionAt {
    SessionAt { node: NODE, session: Id::new(session).unwrap() }
}

fn principal(session: u64) -> Arc<Principal> {
    Arc::new(Principal {
        session: at(session).session,
        authid: Text::from_static("ann"),
        authrole: Text::from_static("member"),
        authmethod: "ticket",
        authprovider: "static",
    })
}

/// A bridge with a link on which all is answered, and a session that calls over it.
async fn bridged() -> (Shared, Seat) {
    let realms = Arc::new(Realms::new(NODE, &[7; 32], [Text::from_static("realm1")]));
    let world = Shared::default();
    let credentials =
        Credentials { login: Text::from_static("gateway"), passcode: Secret::new("secret") };
    let shore = Shore {
        broker: Arc::new(world.clone()),
        vhost: Text::from_static("/"),
        identity: Identity { credentials, is_service: true },
    };
    let settings = Settings {
        realm: Text::from_static("realm1"),
        at: at(9),
        trust: Trust { own: Text::from_static("gateway"), others: Vec::new() },
        uris: UriRules::default(),
        limits: Limits::DEFAULT,
        rpc: rpc::Settings::default(),
        random: [7; 32],
    };
    let worker = Worker::new(&realms, shore, settings, Vec::new(), 1 << 20).unwrap();
    tokio::spawn(worker.run(std::future::pending()));
    world.change(|_| {}).await;
    let answers = |command: &Command| match command {
        Command::DeclareExchange { token, .. } => Event::Declared { token: *token },
        Command::Subscribe { token, .. } => Event::Subscribed { token: *token },
        other => panic!("{other:?}"),
    };
    let events: VecDeque<_> = world.lock().submitted.drain(..).map(|it| answers(&it)).collect();
    world.change(|world| world.events = events).await;
    let pending = Pending { bytes: 1 << 20, overflow: Overflow::Disconnect };
    let caller = Seat::enter(&realms, "realm1", (at(2), principal(2)), pending).unwrap();
    (world, caller)
}

fn call(caller: &mut Seat, request: u64) {
    let call = CallId { caller: at(2), request: Id::new(request).unwrap(), attempt: 1 };
    let invoke = Invoke {
        registration: Id::new(5).unwrap(),
        procedure: Some(Text::from_static("far.away")),
        payload: Payload::empty(Serializer::Json),
        passthru: Passthru::default(),
        progress: false,
        receive_progress: false,
        timeout: None,
        within: Duration::from_secs(60),
        until: now() + Duration::from_secs(60),
        caller: None,
    };
    let ask = Ask::Invoke(Box::new(invoke));
    caller.apply(Request::Ask(ToCallee { to: at(9), call, ask }));
}

/// An answer to no call, by the queue of answers.
fn stray() -> Event {
    let message = Message { body: "".into(), properties: Properties::default() };
    let publication = Arc::new(Publication {
        exchange: Text::default(),
        routing_key: Text::from_static("replies"),
        message,
    });
    Event::Delivery {
        subscription: SubscriptionId(1),
        tag: DeliveryTag(1),
        redelivered: false,
        publication,
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_comes_together_with_an_answer_leaves_at_once() {
    let (world, mut caller) = bridged().await;
    call(&mut caller, 1);
    world.change(|_| {}).await;
    assert_eq!(world.published(), 1);
    call(&mut caller, 2);
    world.change(|world| world.events.push_back(stray())).await;
    assert_eq!(world.published(), 2);
}

#[tokio::test(start_paused = true)]
async fn calls_wait_in_order_while_the_broker_holds_publishers_back() {
    let (world, mut caller) = bridged().await;
    world.change(|world| world.is_blocked = true).await;
    for request in 1..=3 {
        call(&mut caller, request);
    }
    world.change(|world| world.events.push_back(stray())).await;
    assert_eq!(world.published(), 0);
    world.change(|world| world.is_blocked = false).await;
    let number = |command: &Command| match command {
        Command::Publish { message, .. } => {
            let correlation = message.properties.correlation_id.as_deref()?;
            correlation.split('.').next().map(str::to_owned)
        }
        _ => None,
    };
    let sent: Vec<_> = world.lock().submitted.iter().filter_map(number).collect();
    assert_eq!(sent, ["1", "2", "3"]);
}
