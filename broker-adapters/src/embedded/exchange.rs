//! [`Exchange`]: from a routing key to queues, AMQP 0-9-1 §3.1.3.
//!
//! The predeclared exchanges but the default one, which is the table of queues itself.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use foldhash::fast::RandomState;
use protocols::text::Text;
use smallvec::SmallVec;

use super::queue::Queue;
use super::trie::{FEW, Trie};

/// The topic exchange, where [`protocols::broker::Address::Topic`] leads.
pub(super) const TOPIC: &str = "amq.topic";
const DIRECT: &str = "amq.direct";
const FANOUT: &str = "amq.fanout";

/// How routing keys are held against binding keys.
#[derive(Debug)]
pub(super) enum Exchange {
    /// They are equal.
    Direct(HashMap<Text, BTreeSet<Arc<Queue>>, RandomState>),
    /// Not at all.
    Fanout(BTreeSet<Arc<Queue>>),
    /// As patterns.
    Topic(Trie<Arc<Queue>>),
}

/// The exchanges every virtual host has, by name.
pub(super) fn predeclared() -> [(&'static str, Exchange); 3] {
    [
        (TOPIC, Exchange::Topic(Trie::new())),
        (DIRECT, Exchange::Direct(HashMap::default())),
        (FANOUT, Exchange::Fanout(BTreeSet::new())),
    ]
}

impl Exchange {
    pub(super) fn bind(&mut self, key: &Text, queue: Arc<Queue>) {
        match self {
            Self::Direct(bindings) => {
                bindings.entry(key.detached()).or_default().insert(queue);
            }
            Self::Fanout(queues) => {
                queues.insert(queue);
            }
            Self::Topic(trie) => trie.insert(key, queue),
        }
    }

    pub(super) fn unbind(&mut self, key: &Text, queue: &Arc<Queue>) {
        match self {
            Self::Direct(bindings) => {
                let Some(queues) = bindings.get_mut(key) else {
                    return;
                };
                queues.remove(queue);
                if queues.is_empty() {
                    bindings.remove(key);
                }
            }
            Self::Fanout(queues) => {
                queues.remove(queue);
            }
            Self::Topic(trie) => trie.remove(key, queue),
        }
    }

    /// The queues a message with this routing key goes to, each once.
    pub(super) fn route(&self, key: &str) -> SmallVec<[&Arc<Queue>; FEW]> {
        match self {
            Self::Direct(bindings) => bindings.get(key).into_iter().flatten().collect(),
            Self::Fanout(queues) => queues.iter().collect(),
            Self::Topic(trie) => trie.matches(key),
        }
    }
}
