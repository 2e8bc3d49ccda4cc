//! [`Declaring`]: the exchanges that a link declares, and [`Barrier`], by which what comes later waits.
//!
//! Each on a throw-away channel, for RabbitMQ closes the channel on which it refuses; and one after
//! another, as they were asked for. Publishes and subscriptions travel on other connections: the port says
//! that commands are carried out in order, so those that come later take the latest barrier along.
//!
//! A topic exchange that is there is [known](Known) to the link: what it publishes there goes by the channel
//! of all topics.
//!
//! *Spec.* AMQP 0-9-1 `exchange.declare`.

use std::collections::{HashSet, VecDeque};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use futures_core::future::BoxFuture;
use futures_util::FutureExt;
use futures_util::future::Shared;
use lapin::options::ExchangeDeclareOptions;
use lapin::types::FieldTable;
use protocols::broker::{BrokerError, BrokerErrorKind, Event, ExchangeKind, Token};
use protocols::text::Text;

use super::error::broker_error;
use super::guarded::is_exchange;
use super::link::Events;
use super::pool::{Lease, Side};
use super::recover::persist;
use super::topology::fits;
use crate::lock::lock;

/// Something that must have ended, however, before something else begins. It goes on whenever one who
/// waits for it is polled, and costs nothing once it has ended.
pub(super) type Barrier = Shared<BoxFuture<'static, ()>>;

/// Topic exchanges that a link has asked for and that are there. There are no more than its owner has
/// declared.
#[derive(Debug, Clone, Default)]
pub(super) struct Known(Arc<Mutex<HashSet<Text>>>);

/// What the declaration of one exchange comes to.
type Declared = Shared<BoxFuture<'static, Result<(), BrokerError>>>;

/// See the module.
pub(super) struct Declaring {
    lease: Lease,
    /// In order; each waits for the one before.
    asked: VecDeque<(Token, Declared)>,
    /// The end of the last one.
    barrier: Option<Barrier>,
    known: Known,
}

impl Declaring {
    pub(super) fn new(lease: Lease, known: Known) -> Self {
        Self { lease, asked: VecDeque::new(), barrier: None, known }
    }

    /// To be polled afterwards.
    ///
    /// *Errors.* What can be refused without asking RabbitMQ.
    pub(super) fn ask(
        &mut self,
        token: Token,
        name: Text,
        kind: ExchangeKind,
    ) -> Result<(), BrokerError> {
        fits(&name)?;
        let (lease, earlier) = (self.lease.clone(), self.barrier.take());
        let known = self.known.clone();
        let declared = async move {
            if let Some(earlier) = earlier {
                earlier.await;
            }
            let patience = lease.settings().recovery_timeout;
            let declared = persist(patience, || declare(&lease, &name, kind)).await;
            // Before the barrier falls: what has waited goes by what is known then.
            if kind == ExchangeKind::Topic && is_there(&lease, &name, &declared).await {
                known.note(name);
            }
            declared
        };
        let declared = declared.boxed().shared();
        self.barrier = Some(declared.clone().map(drop).boxed().shared());
        self.asked.push_back((token, declared));
        Ok(())
    }

    /// What is to be carried out later waits for this; `None` if it need not wait.
    pub(super) fn barrier(&self) -> Option<Barrier> {
        self.barrier.clone()
    }

    /// Moves on, and reports what has ended.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, events: &mut Events) {
        while let Some((token, declared)) = self.asked.front_mut() {
            let Poll::Ready(outcome) = Pin::new(declared).poll(cx) else {
                return;
            };
            let token = *token;
            events.push_back(match outcome {
                Ok(()) => Event::Declared { token },
                Err(error) => Event::Failed { token, error },
            });
            self.asked.pop_front();
        }
        self.barrier = None;
    }
}

impl Known {
    fn note(&self, exchange: Text) {
        lock(&self.0).insert(exchange);
    }

    pub(super) fn has(&self, exchange: &str) -> bool {
        lock(&self.0).contains(exchange)
    }

    /// Forgets the exchange that a refusal is about: it is gone, or nobody may publish there.
    pub(super) fn forget_refused(&self, refusal: &BrokerError) {
        lock(&self.0).retain(|exchange| !is_about(refusal, exchange));
    }
}

/// Whether a refusal is about an exchange as a whole, and not about one of its topics.
pub(super) fn is_about(refusal: &BrokerError, exchange: &str) -> bool {
    let text = &refusal.text;
    match refusal.kind {
        BrokerErrorKind::NotFound => text.contains(&format!("no exchange '{exchange}'")),
        BrokerErrorKind::AccessRefused => {
            text.contains(&format!("access to exchange '{exchange}'"))
        }
        _ => false,
    }
}

/// Whether it is there, if whoever asks may not declare it.
async fn is_there(lease: &Lease, name: &Text, declared: &Result<(), BrokerError>) -> bool {
    let Err(error) = declared else { return true };
    if error.kind != BrokerErrorKind::AccessRefused {
        return false;
    }
    let patience = lease.settings().recovery_timeout;
    let look = async || {
        let channel = lease.channel(Side::Consume).await?;
        is_exchange(channel.amqp(), name).await.map_err(|error| broker_error(&error))
    };
    persist(patience, look).await.unwrap_or(false)
}

async fn declare(lease: &Lease, name: &Text, kind: ExchangeKind) -> Result<(), BrokerError> {
    let channel = lease.channel(Side::Consume).await?;
    let options = ExchangeDeclareOptions { durable: true, ..Default::default() };
    let (amqp, name, none) = (channel.amqp(), name.as_str().into(), FieldTable::default());
    let declared = amqp.exchange_declare(name, of_amqp(kind), options, none).await;
    declared.map_err(|error| broker_error(&error))
}

const fn of_amqp(kind: ExchangeKind) -> lapin::ExchangeKind {
    match kind {
        ExchangeKind::Direct => lapin::ExchangeKind::Direct,
        ExchangeKind::Fanout => lapin::ExchangeKind::Fanout,
        ExchangeKind::Topic => lapin::ExchangeKind::Topic,
        ExchangeKind::Headers => lapin::ExchangeKind::Headers,
    }
}
