//! [`Declaring`]: the exchanges that a link declares, and [`Barrier`], by which what comes later waits.
//!
//! Each on a throw-away channel, for RabbitMQ closes the channel on which it refuses; and one after
//! another, as they were asked for. Publishes and subscriptions travel on other connections: the port says
//! that commands are carried out in order, so those that come later take the latest barrier along.
//!
//! *Spec.* AMQP 0-9-1 `exchange.declare`.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::future::BoxFuture;
use futures_util::FutureExt;
use futures_util::future::Shared;
use lapin::options::ExchangeDeclareOptions;
use lapin::types::FieldTable;
use protocols::broker::{BrokerError, Event, ExchangeKind, Token};
use protocols::text::Text;

use super::error::broker_error;
use super::link::Events;
use super::pool::{Lease, Side};
use super::recover::persist;
use super::topology::fits;

/// Something that must have ended, however, before something else begins. It goes on whenever one who
/// waits for it is polled, and costs nothing once it has ended.
pub(super) type Barrier = Shared<BoxFuture<'static, ()>>;

/// What the declaration of one exchange comes to.
type Declared = Shared<BoxFuture<'static, Result<(), BrokerError>>>;

/// See the module.
pub(super) struct Declaring {
    lease: Lease,
    /// In order; each waits for the one before.
    asked: VecDeque<(Token, Declared)>,
    /// The end of the last one.
    barrier: Option<Barrier>,
}

impl Declaring {
    pub(super) const fn new(lease: Lease) -> Self {
        Self { lease, asked: VecDeque::new(), barrier: None }
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
        let declared = async move {
            if let Some(earlier) = earlier {
                earlier.await;
            }
            let patience = lease.settings().recovery_timeout;
            persist(patience, || declare(&lease, &name, kind)).await
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
