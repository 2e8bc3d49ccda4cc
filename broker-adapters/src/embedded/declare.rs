//! Exchanges that clients declare.
//!
//! They are durable and stay, for nobody says when they are needed no more: how many there may be is
//! bounded. RabbitMQ's words, in the order in which it looks.
//!
//! *Spec.* AMQP 0-9-1 `exchange.declare`, rules *reserved* and *equivalent*.

use protocols::broker::{BrokerError, ExchangeKind};
use protocols::text::Text;

use super::exchange::Exchange;
use super::refusals;
use super::vhost::{Vhost, check_length};
use crate::lock::write;

impl Vhost {
    /// Has an exchange be there, and stay.
    ///
    /// *Errors.* It is there, and another; or it may not be made.
    pub(super) fn declare_exchange(
        &self,
        name: &Text,
        kind: ExchangeKind,
    ) -> Result<(), BrokerError> {
        check_length(name)?;
        if name.is_empty() {
            return Err(refusals::default_exchange());
        }
        let mut topology = write(&self.topology);
        if let Some(exchange) = topology.exchange(name) {
            return self.check_exchange(name, exchange, kind);
        }
        if name.starts_with("amq.") {
            return Err(refusals::reserved_exchange(name));
        }
        let refuse = |current, max| refusals::too_many_exchanges(name, &self.name, current, max);
        self.shared.exchanges.add(1, refuse)?;
        topology.add_exchange(name.detached(), Exchange::new(kind, false));
        Ok(())
    }

    /// AMQP 0-9-1 `exchange.declare`, rule *equivalent*. All that are here are
    /// durable.
    fn check_exchange(
        &self,
        name: &Text,
        exchange: &Exchange,
        kind: ExchangeKind,
    ) -> Result<(), BrokerError> {
        let differs = |arg, received: &str, current: &str| {
            Err(refusals::inequivalent_exchange(arg, name, &self.name, received, current))
        };
        if exchange.kind() != kind {
            return differs("type", kind.name(), exchange.kind().name());
        }
        if exchange.is_internal { differs("internal", "false", "true") } else { Ok(()) }
    }
}
