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

    /// Adds a queue and its binding, if its exchange exists.
    pub(super) fn add(&mut self, queue: &Arc<Queue>) {
        if let Some((exchange, key)) = &queue.binding
            && let Some(exchange) = self.exchange_mut(exchange)
        {
            exchange.bind(key, Arc::clone(queue));
        }
        self.queues.insert(queue.name.clone(), Arc::clone(queue));
    }

    /// Removes a queue and its binding; false if this very queue was not there.
    pub(super) fn remove(&mut self, queue: &Arc<Queue>) -> bool {
        if self.queues.get(&queue.name) != Some(queue) {
            return false;
        }
        self.queues.remove(&queue.name);
        if let Some((exchange, key)) = &queue.binding
            && let Some(exchange) = self.exchange_mut(exchange)
        {
            exchange.unbind(key, queue);
        }
        true
    }

    fn exchange_mut(&mut self, name: &str) -> Option<&mut Exchange> {
        self.exchanges.iter_mut().find(|(own, _)| *own == name).map(|(_, exchange)| exchange)
    }
}
