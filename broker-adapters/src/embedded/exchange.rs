//! [`Exchange`]: from a routing key, or headers, to queues, AMQP 0-9-1 §3.1.3.
//!
//! The default exchange is not among them: it is the table of queues itself.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState;
use protocols::broker::{BrokerError, ExchangeKind, Publication};
use protocols::text::Text;
use smallvec::SmallVec;

use super::matcher::Matcher;
use super::queue::{Binding, Queue};
use crate::trie::{Bounds, FEW, Trie};

/// The topic exchange, where [`protocols::broker::Address::Topic`] leads.
pub(super) const TOPIC: &str = "amq.topic";

/// The exchanges every virtual host has.
pub(super) const PREDECLARED: [(&str, ExchangeKind); 5] = [
    (TOPIC, ExchangeKind::Topic),
    ("amq.direct", ExchangeKind::Direct),
    ("amq.fanout", ExchangeKind::Fanout),
    ("amq.headers", ExchangeKind::Headers),
    ("amq.match", ExchangeKind::Headers),
];

/// An exchange of one virtual host.
#[derive(Debug)]
pub(super) struct Exchange {
    /// Clients may not publish to it.
    pub(super) is_internal: bool,
    bindings: Bindings,
}

#[derive(Debug)]
enum Bindings {
    Direct(HashMap<Text, BTreeSet<Arc<Queue>>, RandomState>),
    Fanout(BTreeSet<Arc<Queue>>),
    Topic(Trie<Arc<Queue>>),
    /// Those that match alike together.
    Headers(Vec<(Matcher, BTreeSet<Arc<Queue>>)>),
}

impl Exchange {
    pub(super) fn new(kind: ExchangeKind, is_internal: bool) -> Self {
        let bindings = match kind {
            ExchangeKind::Direct => Bindings::Direct(HashMap::default()),
            ExchangeKind::Fanout => Bindings::Fanout(BTreeSet::new()),
            ExchangeKind::Topic => Bindings::Topic(Trie::new()),
            ExchangeKind::Headers => Bindings::Headers(Vec::new()),
        };
        Self { is_internal, bindings }
    }

    pub(super) const fn kind(&self) -> ExchangeKind {
        match self.bindings {
            Bindings::Direct(_) => ExchangeKind::Direct,
            Bindings::Fanout(_) => ExchangeKind::Fanout,
            Bindings::Topic(_) => ExchangeKind::Topic,
            Bindings::Headers(_) => ExchangeKind::Headers,
        }
    }

    /// The binding as this exchange knows it: arguments mean something to headers exchanges only.
    ///
    /// *Errors.* A pattern beyond the bounds, or arguments that cannot be matched.
    pub(super) fn check_binding(
        &self,
        mut binding: Binding,
        bounds: Bounds,
    ) -> Result<Binding, BrokerError> {
        match &self.bindings {
            Bindings::Headers(_) => {
                Matcher::read(&binding.arguments)?;
            }
            Bindings::Topic(_) => {
                bounds.check_pattern(&binding.key)?;
                binding.arguments.clear();
            }
            Bindings::Direct(_) | Bindings::Fanout(_) => binding.arguments.clear(),
        }
        Ok(binding)
    }

    /// *Errors.* A routing key beyond the bounds.
    pub(super) fn check_key(&self, key: &str, bounds: Bounds) -> Result<(), BrokerError> {
        match self.bindings {
            Bindings::Topic(_) => bounds.check_key(key),
            _ => Ok(()),
        }
    }

    /// Adds a [checked](Self::check_binding) binding.
    pub(super) fn bind(&mut self, binding: &Binding, queue: Arc<Queue>) {
        let Binding { key, arguments, .. } = binding;
        match &mut self.bindings {
            Bindings::Direct(bindings) => {
                bindings.entry(key.detached()).or_default().insert(queue);
            }
            Bindings::Fanout(queues) => {
                queues.insert(queue);
            }
            Bindings::Topic(trie) => trie.insert(key, queue),
            Bindings::Headers(bindings) => {
                // What cannot be read was refused when it was checked.
                let Ok(matcher) = Matcher::read(arguments) else {
                    return;
                };
                match bindings.iter_mut().find(|(other, _)| *other == matcher) {
                    Some((_, queues)) => {
                        queues.insert(queue);
                    }
                    None => bindings.push((matcher, BTreeSet::from([queue]))),
                }
            }
        }
    }

    /// Removes a binding. Of those of a queue that match alike at a headers exchange, the first to go
    /// stands for all: they are only removed together.
    pub(super) fn unbind(&mut self, binding: &Binding, queue: &Arc<Queue>) {
        let Binding { key, arguments, .. } = binding;
        match &mut self.bindings {
            Bindings::Direct(bindings) => {
                let Some(queues) = bindings.get_mut(key) else {
                    return;
                };
                queues.remove(queue);
                if queues.is_empty() {
                    bindings.remove(key);
                }
            }
            Bindings::Fanout(queues) => {
                queues.remove(queue);
            }
            Bindings::Topic(trie) => trie.remove(key, queue),
            Bindings::Headers(bindings) => {
                let Ok(matcher) = Matcher::read(arguments) else {
                    return;
                };
                let Some(at) = bindings.iter().position(|(other, _)| *other == matcher) else {
                    return;
                };
                let (_, queues) = &mut bindings[at];
                queues.remove(queue);
                if queues.is_empty() {
                    bindings.swap_remove(at);
                }
            }
        }
    }

    /// The queues a message goes to, each once.
    ///
    /// *Cost.* At a headers exchange, what it costs to match every distinct set of arguments.
    pub(super) fn route(&self, publication: &Publication) -> SmallVec<[&Arc<Queue>; FEW]> {
        let key = &publication.routing_key;
        match &self.bindings {
            Bindings::Direct(bindings) => bindings.get(key).into_iter().flatten().collect(),
            Bindings::Fanout(queues) => queues.iter().collect(),
            Bindings::Topic(trie) => trie.matches(key),
            Bindings::Headers(bindings) => {
                let headers = &publication.message.properties.headers;
                let fitting = bindings.iter().filter(|(matcher, _)| matcher.matches(headers));
                let mut queues: SmallVec<_> = fitting.flat_map(|(_, queues)| queues).collect();
                queues.sort_unstable();
                queues.dedup();
                queues
            }
        }
    }
}
