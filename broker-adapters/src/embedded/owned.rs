//! [`Owned`]: the exclusive queues of one link.

use std::collections::BTreeMap;
use std::mem;
use std::sync::Arc;

use super::LinkId;
use super::queue::Queue;

/// So many are kept before it is first looked whether they are still there.
const FEW: usize = 16;

/// The exclusive queues that a link has declared by name, for they go with it: AMQP 0-9-1,
/// `queue.declare`, *exclusive*. Whether they would go with their last consumer makes no difference,
/// as there may never be one.
#[derive(Debug)]
pub(super) struct Owned {
    pub(super) link: LinkId,
    queues: BTreeMap<u64, Arc<Queue>>,
    /// At so many, those that have gone are let go.
    sweep_at: usize,
}

impl Owned {
    pub(super) const fn by(link: LinkId) -> Self {
        Self { link, queues: BTreeMap::new(), sweep_at: FEW }
    }

    /// *Cost.* Queues go by many ways that nobody reports; that they are looked for only once there
    /// are twice as many as were left the last time makes it a constant for each.
    pub(super) fn add(&mut self, queue: &Arc<Queue>) {
        if self.queues.len() >= self.sweep_at {
            self.queues.retain(|_, queue| !queue.is_ended());
            self.sweep_at = FEW.max(2 * self.queues.len());
        }
        self.queues.insert(queue.id, Arc::clone(queue));
    }

    pub(super) fn forget(&mut self, queue: &Queue) {
        self.queues.remove(&queue.id);
    }

    pub(super) fn take(&mut self) -> impl Iterator<Item = Arc<Queue>> + use<> {
        mem::take(&mut self.queues).into_values()
    }
}

#[cfg(test)]
mod tests {
    use protocols::text::Text;

    use super::super::arguments::Arguments;
    use super::super::queue::Traits;
    use super::super::role::Role;
    use super::*;

    #[test]
    fn queues_that_have_gone_are_not_kept() {
        let mut owned = Owned::by(LinkId(1));
        let traits = Traits { durable: false, auto_delete: true, owner: Some(LinkId(1)) };
        let queue = |id| {
            let name = Text::from_static("mine");
            Arc::new(Queue::new(id, name, traits, Arguments::default(), Role::Named))
        };
        let staying = queue(0);
        owned.add(&staying);
        for id in 1..1_000 {
            let queue = queue(id);
            owned.add(&queue);
            queue.end();
            assert!(owned.queues.len() <= FEW);
        }
        assert!(owned.take().any(|queue| queue == staying));
    }
}
