//! [`Outgoing`]: one message on its way to the queues it was routed to.

use std::sync::Arc;

use protocols::broker::Publication;
use smallvec::SmallVec;

use super::held::Held;
use super::memory::Memory;
use super::notice::Wakes;
use super::queue::{Kept, Queue};

/// A message on its way to queues.
pub(super) struct Outgoing<'a> {
    original: Arc<Held>,
    /// Made for the first queue it has to wait in, and shared by all others.
    compacted: Option<Arc<Held>>,
    /// Queues that hold more than they may now.
    pub(super) beyond: SmallVec<[(Arc<Queue>, usize); 1]>,
    pub(super) wakes: &'a mut Wakes,
}

impl<'a> Outgoing<'a> {
    pub(super) fn new(
        publication: Arc<Publication>,
        memory: &Arc<Memory>,
        wakes: &'a mut Wakes,
    ) -> Self {
        let original = Held::new(publication, memory);
        Self { original, compacted: None, beyond: SmallVec::new(), wakes }
    }

    /// Hands the message over, or leaves a compacted copy.
    pub(super) fn deliver(&mut self, queue: &Arc<Queue>) {
        if queue.hand_over(&self.original, self.wakes) {
            return;
        }
        let compacted = self.compacted.get_or_insert_with(|| self.original.compacted());
        if let Kept::Beyond(bytes) = queue.keep(Arc::clone(compacted), self.wakes) {
            self.beyond.push((Arc::clone(queue), bytes));
        }
    }
}
