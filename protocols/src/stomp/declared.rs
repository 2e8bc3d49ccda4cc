//! [`Declared`]: how a session has declared each `/queue/`, the first time.
//!
//! *Spec.* STOMP leaves it to the server; as with RabbitMQ's plugin, the first SEND or SUBSCRIBE of a
//! session says how a queue is declared, and later frames need not repeat it: what they say is not
//! looked at.

use std::collections::BTreeMap;

use crate::broker::{Address, QueueOptions};
use crate::text::Text;

/// Queues that are remembered. Beyond, all are forgotten, and frames have to say again what they
/// want.
const MAX_QUEUES: usize = 256;

/// Bytes of what a frame may say about a queue that is remembered.
const MAX_SIZE: usize = 4 << 10;

/// See the module. `None` stands for the defaults.
#[derive(Debug, Default)]
pub(super) struct Declared(BTreeMap<Text, Option<Box<QueueOptions>>>);

impl Declared {
    /// How the queue at this address was declared, if it was.
    pub(super) fn get(&self, address: &Address) -> Option<Option<Box<QueueOptions>>> {
        match address {
            Address::Queue(name) => self.0.get(name).cloned(),
            _ => None,
        }
    }

    /// A frame that passed every check declares the queue at this address.
    pub(super) fn note(&mut self, address: &Address, options: Option<&QueueOptions>) {
        let Address::Queue(name) = address else { return };
        let options = options.filter(|options| **options != QueueOptions::default());
        if self.0.contains_key(name) || options.is_some_and(|it| it.size() > MAX_SIZE) {
            return;
        }
        if self.0.len() >= MAX_QUEUES {
            self.0.clear();
        }
        self.0.insert(name.detached(), options.cloned().map(Box::new));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::Value;

    fn queue(name: &str) -> Address {
        Address::Queue(name.into())
    }

    #[test]
    fn the_first_declaration_counts() {
        let mut declared = Declared::default();
        let exclusive = QueueOptions { exclusive: Some(true), ..QueueOptions::default() };
        declared.note(&queue("a"), Some(&exclusive));
        declared.note(&queue("a"), None);
        declared.note(&queue("b"), Some(&QueueOptions::default()));
        assert_eq!(declared.get(&queue("a")), Some(Some(Box::new(exclusive))));
        assert_eq!(declared.get(&queue("b")), Some(None));
        assert_eq!(declared.get(&queue("c")), None);
        declared.note(&Address::Topic("t".into()), None);
        assert_eq!(declared.get(&Address::Topic("t".into())), None);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut declared = Declared::default();
        let long = vec![("x".into(), Value::Text("x".repeat(MAX_SIZE).into()))];
        let large = QueueOptions { arguments: long, ..QueueOptions::default() };
        declared.note(&queue("large"), Some(&large));
        assert_eq!(declared.get(&queue("large")), None);
        for number in 0..2 * MAX_QUEUES {
            declared.note(&queue(&number.to_string()), None);
            assert!(declared.0.len() <= MAX_QUEUES);
        }
    }
}
