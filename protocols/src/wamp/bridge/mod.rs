//! [`Bridge`]: the calls of a realm that leave this node, and those that come to it, over the broker.
//!
//! A procedure that is registered on one node is called from another, and by STOMP clients and plain
//! AMQP peers, through one exchange: its routing keys are the procedures' URIs. What is registered here has
//! a queue there, which nobody else can have: that is how two nodes cannot both register a procedure. What
//! nobody has registered here is called there, and so is what a route of the configuration names.
//! Pure: no IO, no clock, no randomness.
//!
//! | what | where |
//! |---|---|
//! | queues of what is registered here | `claims.rs` |
//! | calls from here to elsewhere, and to routes | `outgoing.rs` |
//! | calls from elsewhere to callees of this node | `incoming.rs` |
//! | what a call and its answer are as messages of the broker | `form.rs` |
//!
//! *Spec.* WAMP §Calling and Invocations leaves open how routers are connected; AMQP 0-9-1 §Basic
//! (`reply-to`, `correlation-id`) has no more than the words for request and reply.
//!
//! # What is promised
//! - A call gets one answer, or its time runs out: that is the business of its caller's session.
//! - A call that may have been run, because it was delivered before, is not run again.
//! - Nobody answers a call but who has got it: answers name it by something that only then is known.
//!
//! # What is not done
//! - Plain AMQP workers and STOMP clients are not told that a call is canceled: it runs to its end, and its
//!   answer is dropped.
//! - Calls in parts stay on their node. Results in parts do not.
//! - Patterns are not known elsewhere, nor does a callee elsewhere learn who calls because *it* wants that.

mod claims;
mod form;
mod incoming;
mod outgoing;

use std::sync::Arc;
use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

pub use form::Form;
pub use outgoing::Route;

use super::message::{Feature, Features};
use super::peers::{Notice, Realms};
use super::pubsub::Trust;
use super::realm::Principal;
use super::registry::SessionAt;
use super::rpc::{self, ToCallee, ToCaller};
use super::serializer;
use super::uri::UriRules;
use crate::broker::{
    Address, BrokerError, BrokerErrorKind, Command, Event, ExchangeKind, QueueOptions, SettleMode,
    SubscriptionId, Token, Verdict, procedure,
};
use crate::text::Text;
use claims::Claims;
use incoming::Incoming;
use outgoing::Outgoing;

/// Calls from elsewhere that are on their way to callees of one procedure, and answers of callees
/// elsewhere: deliveries outstanding at a time.
const PREFETCH: u16 = 1_000;

/// The subscription that answers come by.
const REPLIES: SubscriptionId = SubscriptionId(1);

/// The subscription that interrupts come by. Those of procedures follow.
const INTERRUPTS: SubscriptionId = SubscriptionId(2);

/// What the bridge can do as a callee.
pub const FEATURES: Features =
    Features::of(&[Feature::ProgressiveCallResults, Feature::CallCanceling]);

/// What a bridge goes by.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The realm.
    pub realm: Text,
    /// The bridge itself, as a session of the realm.
    pub at: SessionAt,
    /// Whose headers count. It publishes as `own`.
    pub trust: Trust,
    /// Which procedures there may be.
    pub uris: UriRules,
    /// Bounds on what is read.
    pub limits: serializer::Limits,
    /// Bounds and times of calls from elsewhere; `most_calls` of calls from here, too.
    pub rpc: rpc::Settings,
    /// Random bits that nobody else knows.
    pub random: [u8; 32],
}

/// What is to be done, each list in its order.
#[derive(Debug, Default)]
pub struct Output {
    /// To the broker.
    pub commands: Vec<Command>,
    /// To sessions of callees on this node.
    pub asks: Vec<ToCallee>,
    /// To sessions of callers on this node.
    pub answers: Vec<ToCaller>,
    /// What became of claims.
    pub outcomes: Vec<Outcome>,
    /// Why the broker has not taken an answer, or an interrupt: nobody is told of that.
    pub unsaid: Vec<BrokerError>,
}

/// What became of a claim to a procedure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It is this node's.
    Claimed(Text),
    /// It is not: somebody else has it, or the broker has refused.
    Refused(Text, BrokerError),
    /// It is this node's no more, as was asked for.
    Released(Text),
    /// It was this node's and is no more, without having been given up.
    Lost(Text, BrokerError),
}

/// The calls of a realm between this node and others.
#[derive(Debug)]
pub struct Bridge {
    settings: Arc<Settings>,
    names: Names,
    claims: Claims,
    outgoing: Outgoing,
    incoming: Incoming,
    /// Links that there have been.
    links: u64,
    /// The declarations of the exchanges, and the queues of answers and interrupts, while they are not
    /// answered.
    opening: Vec<Token>,
    is_open: bool,
}

/// What commands and subscriptions are called.
#[derive(Debug)]
struct Names {
    token: u64,
    subscription: u64,
}

impl Names {
    const fn token(&mut self) -> Token {
        self.token += 1;
        Token(self.token)
    }

    const fn subscription(&mut self) -> SubscriptionId {
        self.subscription += 1;
        SubscriptionId(self.subscription)
    }
}

impl Bridge {
    /// One without a link to the broker.
    ///
    /// *Shape.* `principal` is what callees are told that call, where they are told and nothing better is
    /// known.
    pub fn new(
        settings: Settings,
        principal: Arc<Principal>,
        realms: Arc<dyn Realms>,
        routes: Vec<Route>,
    ) -> Self {
        let settings = Arc::new(settings);
        Self {
            names: Names { token: 0, subscription: INTERRUPTS.0 },
            claims: Claims::default(),
            outgoing: Outgoing::new(Arc::clone(&settings), routes),
            incoming: Incoming::new(Arc::clone(&settings), principal, realms),
            settings,
            links: 0,
            opening: Vec::new(),
            is_open: false,
        }
    }

    /// There is a link to the broker, a new one. What is claimed is claimed anew once the bridge is open.
    pub fn on_link(&mut self, output: &mut Output) {
        self.opening.clear();
        self.links += 1;
        let replies = self.reply_queue();
        self.outgoing.answer_to(replies.clone());
        let interrupts = Text::from_static(procedure::INTERRUPT_EXCHANGE);
        for (name, kind) in [
            (Text::from_static(procedure::EXCHANGE), ExchangeKind::Direct),
            (interrupts.clone(), ExchangeKind::Fanout),
        ] {
            let token = self.names.token();
            self.opening.push(token);
            output.commands.push(Command::DeclareExchange { token, name, kind });
        }
        for (subscription, from) in [
            (REPLIES, Address::Private(replies)),
            (INTERRUPTS, Address::Exchange { name: interrupts, key: Text::default() }),
        ] {
            let token = self.names.token();
            self.opening.push(token);
            output.commands.push(Command::Subscribe {
                token,
                subscription,
                from,
                queue: Box::default(),
                arguments: Vec::new(),
                prefetch: PREFETCH,
                settle: SettleMode::Manual,
            });
        }
    }

    /// The queue that answers come to. Whoever answers a call knows its name, and the broker may keep it for
    /// a link that is lost: so each link has another, and what comes to the old one reaches nobody.
    fn reply_queue(&self) -> Text {
        let name = Sha256::new()
            .chain_update(b"replies")
            .chain_update(self.settings.random)
            .chain_update(self.links.to_be_bytes())
            .finalize();
        let name: String = name.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Text::from(format!("{}{name}.rep", procedure::NODE_QUEUES))
    }

    /// Whether calls can leave, and come.
    pub const fn is_open(&self) -> bool {
        self.is_open
    }

    /// The link is gone. What was under way fails; what is claimed stays so until it cannot be claimed anew.
    pub fn on_down(&mut self, error: &BrokerError, output: &mut Output) {
        self.is_open = false;
        self.opening.clear();
        self.outgoing.on_down(error, output);
        self.incoming.on_down();
        self.claims.on_down(error, output);
    }

    /// A procedure is to be this node's. Answered by an [`Outcome`]; refused if the bridge is not open. Nobody
    /// claims it twice without having released it.
    pub fn claim(&mut self, procedure: &Text, is_shared: Option<u16>, output: &mut Output) {
        self.claims.claim(procedure, is_shared, &mut self.names, output);
    }

    /// It is to be so no more. Answered by [`Outcome::Released`].
    pub fn release(&mut self, procedure: &Text, output: &mut Output) {
        self.claims.release(procedure, &mut self.names, output);
    }

    /// Something comes from sessions of this node.
    pub fn on_notice(&mut self, now: Instant, notice: Notice, output: &mut Output) {
        match notice {
            Notice::Ask(ask) if self.is_open => {
                self.outgoing.on_ask(now, ask, &mut self.names, output);
            }
            Notice::Ask(ask) => self.outgoing.refuse(ask, output),
            other => self.incoming.on_notice(now, other, &mut self.names, output),
        }
    }

    /// The broker reports something, but for the end of the link.
    pub fn on_event(&mut self, now: Instant, event: Event, output: &mut Output) {
        match event {
            Event::Delivery { subscription, tag, redelivered, publication } => {
                output.commands.push(Command::Settle {
                    subscription,
                    up_to: tag,
                    verdict: Verdict::Accept,
                    cumulative: false,
                });
                if subscription == REPLIES {
                    self.outgoing.on_reply(now, &publication, output);
                } else if subscription == INTERRUPTS {
                    self.incoming.on_interrupt(now, &publication, &mut self.names, output);
                } else if let Some(procedure) = self.claims.procedure(subscription) {
                    let arrival = (procedure.clone(), redelivered);
                    self.incoming.on_call(now, arrival, &publication, &mut self.names, output);
                }
            }
            Event::Declared { token } | Event::Subscribed { token } => {
                if self.opening.contains(&token) {
                    self.opening.retain(|it| *it != token);
                    self.is_open = self.opening.is_empty();
                    if self.is_open {
                        self.claims.on_open(now, &mut self.names, output);
                    }
                } else {
                    self.claims.on_subscribed(token, output);
                }
            }
            Event::Unsubscribed { token } => self.claims.on_unsubscribed(token, output),
            Event::Confirmed { token, outcome } => {
                self.outgoing.on_confirmed(token, outcome, output);
                self.incoming.on_confirmed(now, token, outcome, &mut self.names, output);
            }
            Event::Failed { token, error } => {
                let names = &mut self.names;
                let is_known = self.claims.on_failed(now, token, &error, names, output)
                    || self.outgoing.on_failed(token, &error, output)
                    || self.incoming.on_failed(now, token, names, output);
                if !is_known {
                    output.unsaid.push(error);
                }
            }
            Event::Canceled { subscription, error } => {
                self.claims.on_canceled(subscription, error, output);
            }
            Event::Down { error } => self.on_down(&error, output),
            Event::Resumed { .. } | Event::Gap { .. } => {}
        }
    }

    /// Whether an event says that the link is of no use: without the exchanges and the queues of its own no
    /// call leaves.
    pub fn is_fatal(&self, event: &Event) -> Option<BrokerError> {
        match event {
            Event::Failed { token, error } if self.opening.contains(token) => Some(error.clone()),
            Event::Canceled { subscription, error }
                if matches!(*subscription, REPLIES | INTERRUPTS)
                    || error.kind == BrokerErrorKind::Unavailable =>
            {
                Some(error.clone())
            }
            // The connection is lost, and not the procedure.
            Event::Failed { token, error }
                if error.kind == BrokerErrorKind::Unavailable && self.claims.has_asked(*token) =>
            {
                Some(error.clone())
            }
            Event::Down { error } => Some(error.clone()),
            _ => None,
        }
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called.
    pub fn next_timeout(&self) -> Option<Instant> {
        let deadlines = [
            self.outgoing.next_timeout(),
            self.incoming.next_timeout(),
            self.claims.next_timeout(),
        ];
        deadlines.into_iter().flatten().min()
    }

    /// The time has come that [`next_timeout`](Self::next_timeout) named.
    pub fn handle_timeout(&mut self, now: Instant, output: &mut Output) {
        self.outgoing.handle_timeout(now, &mut self.names, output);
        self.incoming.handle_timeout(now, &mut self.names, output);
        self.claims.handle_timeout(now, &mut self.names, output);
    }
}

/// How a queue of a procedure is declared; the number says how its callees share it.
fn queue_options(name: Text, is_shared: Option<u16>) -> QueueOptions {
    let Some(policy) = is_shared else {
        // Nobody else's, and gone with the link: whoever declares it first has it.
        return QueueOptions {
            name: Some(name),
            durable: Some(false),
            exclusive: Some(true),
            auto_delete: Some(true),
            ..QueueOptions::default()
        };
    };
    // It goes with the last node that has callees: what nobody has is called by nobody, and can be had by
    // everybody. RabbitMQ holds the arguments that it knows against those of the first: so this tells
    // nodes apart that share in another way.
    let expires = Duration::from_secs(60).as_millis() as i64 + i64::from(policy);
    QueueOptions {
        name: Some(name),
        durable: Some(true),
        auto_delete: Some(true),
        arguments: vec![(Text::from_static("x-expires"), crate::broker::Value::Integer(expires))],
        ..QueueOptions::default()
    }
}
