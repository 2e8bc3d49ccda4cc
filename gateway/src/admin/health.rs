//! Whether new clients can be served, and why not.

use std::collections::BTreeMap;
use std::sync::Arc;

use broker_adapters::Broker;

use crate::drain::Drain;

/// What readiness is made of.
pub(crate) struct Health {
    /// Not ready once it has begun.
    pub(crate) drain: Drain,
    /// Not ready while one of them refuses logins; each with its name in the configuration.
    pub(crate) brokers: BTreeMap<String, Arc<dyn Broker>>,
}

impl Health {
    /// Whether new clients can be served.
    ///
    /// *Errors.* Every reason why not, a line each.
    pub(crate) fn ready(&self) -> Result<(), String> {
        let mut reasons = Vec::new();
        if self.drain.has_begun() {
            reasons.push(String::from("the gateway is shutting down"));
        }
        for (name, broker) in &self.brokers {
            if let Err(error) = broker.ready() {
                reasons.push(format!("broker {name}: {error}"));
            }
        }
        if reasons.is_empty() { Ok(()) } else { Err(reasons.join("\n")) }
    }
}
