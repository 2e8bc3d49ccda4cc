//! [`Topology`]: the queues, exchanges, bindings and resumable sessions of one virtual host.
//!
//! A table and nothing else: who may change it, and under which lock, is [`super::vhost`]'s.

use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::RandomState;
use protocols::text::Text;

use super::exchange::{Exchange, PREDECLARED};
use super::queue::{Binding, Queue};
use super::resume::Sessions;

#[derive(Debug)]
pub(super) struct Topology {
    queues: HashMap<Text, Arc<Queue>, RandomState>,
    exchanges: HashMap<Text, Exchange, RandomState>,
    /// Their queues are among the others.
    pub(super) sessions: Sessions,
}

impl Topology {
    /// With the predeclared exchanges and these.
    pub(super) fn new(declared: impl IntoIterator<Item = (Text, Exchange)>) -> Self {
        let predeclared = PREDECLARED
            .into_iter()
            .map(|(name, kind)| (Text::from_static(name), Exchange::new(kind, false)));
        let exchanges = predeclared.chain(declared).collect();
        Self { queues: HashMap::default(), exchanges, sessions: Sessions::default() }
    }

    pub(super) fn queue(&self, name: &str) -> Option<&Arc<Queue>> {
        self.queues.get(name)
    }

    pub(super) fn exchange(&self, name: &str) -> Option<&Exchange> {
        self.exchanges.get(name)
    }

    /// Adds an exchange. *Order.* There is none of this name: its bindings would be forgotten.
    pub(super) fn add_exchange(&mut self, name: Text, exchange: Exchange) {
        self.exchanges.insert(name, exchange);
    }

    /// Adds a queue.
    pub(super) fn add(&mut self, queue: &Arc<Queue>) {
        self.queues.insert(queue.name.clone(), Arc::clone(queue));
    }

    /// Whether this very queue is here: not one that has gone, nor another of its name.
    pub(super) fn holds(&self, queue: &Arc<Queue>) -> bool {
        self.queues.get(&queue.name) == Some(queue)
    }

    /// Adds a binding, if queue and exchange are here and the queue is not bound so already. What
    /// is bound must be here: nobody would ever take the bindings of another away.
    pub(super) fn bind(&mut self, queue: &Arc<Queue>, binding: &Binding) {
        if self.holds(queue)
            && let Some(exchange) = self.exchanges.get_mut(&binding.exchange)
            && queue.add_binding(binding)
        {
            exchange.bind(binding, Arc::clone(queue));
        }
    }

    /// Removes a binding. False if it was not there.
    pub(super) fn unbind(&mut self, queue: &Arc<Queue>, binding: &Binding) -> bool {
        let is_there = queue.remove_binding(binding);
        if is_there && let Some(exchange) = self.exchanges.get_mut(&binding.exchange) {
            exchange.unbind(binding, queue);
        }
        is_there
    }

    /// Removes a queue and its bindings. How many of these there were; `None` if this very queue was
    /// not there.
    pub(super) fn remove(&mut self, queue: &Arc<Queue>) -> Option<usize> {
        if !self.holds(queue) {
            return None;
        }
        self.queues.remove(&queue.name);
        let bindings = queue.take_bindings();
        for binding in &bindings {
            if let Some(exchange) = self.exchanges.get_mut(&binding.exchange) {
                exchange.unbind(binding, queue);
            }
        }
        Some(bindings.len())
    }
}
