//! [`Topology`]: the queues, exchanges and bindings of one virtual host.
//!
//! A table and nothing else: who may change it, and under which lock, is [`super::vhost`]'s.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use protocols::text::Text;

use super::exchange::{self, Exchange};
use super::queue::Queue;

#[derive(Debug)]
pub(super) struct Topology {
    queues: HashMap<Text, Arc<Queue>, RandomState>,
    exchanges: [(&'static str, Exchange); 3],
}

impl Topology {
    pub(super) fn new() -> Self {
        Self { queues: HashMap::default(), exchanges: exchange::predeclared() }
    }

    pub(super) fn queue(&self, name: &str) -> Option<&Arc<Queue>> {
        self.queues.get(name)
    }

    pub(super) fn exchange(&self, name: &str) -> Option<&Exchange> {
        self.exchanges.iter().find(|(own, _)| *own == name).map(|(_, exchange)| exchange)
    }

    /// Adds a queue.
    pub(super) fn add(&mut self, queue: &Arc<Queue>) {
        self.queues.insert(queue.name.clone(), Arc::clone(queue));
    }

    /// Binds a queue to an exchange, if that exists and it is not bound so already.
    pub(super) fn bind(&mut self, queue: &Arc<Queue>, exchange: &Text, key: &Text) {
        if let Some(bound) = self.exchange_mut(exchange)
            && queue.add_binding(exchange, key)
        {
            bound.bind(key, Arc::clone(queue));
        }
    }

    /// Removes a queue and its bindings. How many of these there were; `None` if this very queue was
    /// not there.
    pub(super) fn remove(&mut self, queue: &Arc<Queue>) -> Option<usize> {
        if self.queues.get(&queue.name) != Some(queue) {
            return None;
        }
        self.queues.remove(&queue.name);
        let bindings = queue.take_bindings();
        for (exchange, key) in &bindings {
            if let Some(exchange) = self.exchange_mut(exchange) {
                exchange.unbind(key, queue);
            }
        }
        Some(bindings.len())
    }

    fn exchange_mut(&mut self, name: &str) -> Option<&mut Exchange> {
        self.exchanges.iter_mut().find(|(own, _)| *own == name).map(|(_, exchange)| exchange)
    }
}
