//! [`Outgoing`]: one message on its way to the queues it was routed to.

use std::sync::Arc;

use protocols::broker::Publication;
use smallvec::SmallVec;

use super::effects::Effects;
use super::held::Held;
use super::memory::Memory;
use super::queue::{Kept, Queue};

/// A message on its way to queues.
pub(super) struct Outgoing<'a> {
    original: Arc<Held>,
    memory: &'a Memory,
    /// Made for the first queue it has to wait in, and shared by all others.
    compacted: Option<Arc<Held>>,
    /// Queues that hold more than they may now.
    pub(super) beyond: SmallVec<[(Arc<Queue>, usize); 1]>,
    /// A queue did not take it.
    pub(super) is_rejected: bool,
    pub(super) effects: &'a mut Effects,
}

impl<'a> Outgoing<'a> {
    pub(super) fn new(
        publication: Arc<Publication>,
        memory: &'a Arc<Memory>,
        effects: &'a mut Effects,
    ) -> Self {
        let original = Held::new(publication, memory);
        let beyond = SmallVec::new();
        Self { original, memory, compacted: None, beyond, is_rejected: false, effects }
    }

    /// Hands the message over, or leaves a compacted copy.
    pub(super) fn deliver(&mut self, queue: &Arc<Queue>) {
        let kept = queue.hand_over(&self.original, self.effects).unwrap_or_else(|| {
            let compacted = self.compacted.get_or_insert_with(|| self.original.compacted());
            queue.keep(Arc::clone(compacted), self.memory.is_scarce(), self.effects)
        });
        match kept {
            Kept::Within => {}
            Kept::Beyond(bytes) => self.beyond.push((Arc::clone(queue), bytes)),
            Kept::Rejected => self.is_rejected = true,
        }
    }
}
