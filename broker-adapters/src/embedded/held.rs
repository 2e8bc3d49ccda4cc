//! [`Held`]: a publication while the broker holds it, and what it costs in memory.
//!
//! Its fields are slices of the buffer its frame arrived in, and keep all of that buffer alive. A
//! publication handed straight to a consumer stays so: nothing is copied, and the buffer lives
//! until the delivery is settled, which the prefetch and the link's buffer bound. One that has to
//! wait in a queue is compacted first ([`Publication::detached`]): copied into allocations of its own, once,
//! however many queues it waits in, so that a small message does not keep a large buffer.

use std::fmt;
use std::mem::size_of;
use std::sync::Arc;
use std::time::Duration;

use protocols::broker::{Publication, Value};
use protocols::text::Text;

use super::memory::Memory;
use super::notice::Entry;
use crate::expiration;

/// What a message costs beside its bytes: the structures that hold it, in one queue. The
/// documentation of the settings that count bytes names the number.
pub(super) const OVERHEAD: usize =
    size_of::<Publication>() + size_of::<Held>() + size_of::<Entry>() + 4 * size_of::<usize>();

/// What each of its headers costs beside its bytes. The same is true of this number.
const HEADER_OVERHEAD: usize = size_of::<(Text, Value)>();

/// A publication that is charged to the broker's memory for as long as this value lives.
///
/// *Order.* Dropping the last reference may wake publishers: it is done without any lock held.
pub(super) struct Held {
    publication: Arc<Publication>,
    size: usize,
    is_compact: bool,
    memory: Arc<Memory>,
}

impl Held {
    pub(super) fn new(publication: Arc<Publication>, memory: &Arc<Memory>) -> Arc<Self> {
        Self::charged(publication, memory, false)
    }

    /// This publication in a form that may wait in a queue.
    pub(super) fn compacted(self: &Arc<Self>) -> Arc<Self> {
        if self.is_compact {
            return Arc::clone(self);
        }
        Self::charged(Arc::new(self.publication.detached()), &self.memory, true)
    }

    pub(super) const fn publication(&self) -> &Arc<Publication> {
        &self.publication
    }

    /// Bytes of its body.
    pub(super) fn body_size(&self) -> usize {
        self.publication.message.body.len()
    }

    /// Its priority; none counts as 0.
    pub(super) fn priority(&self) -> u8 {
        self.publication.message.properties.priority.unwrap_or(0)
    }

    /// How long it may wait in a queue, if its publisher said so.
    pub(super) fn time_to_live(&self) -> Option<Duration> {
        let expiration = self.publication.message.properties.expiration.as_deref()?;
        // What cannot be read was refused when it was published.
        expiration::parse(expiration).ok()
    }

    /// Bytes it is charged for.
    pub(super) const fn size(&self) -> usize {
        self.size
    }

    fn charged(publication: Arc<Publication>, memory: &Arc<Memory>, is_compact: bool) -> Arc<Self> {
        let size = retained_size(&publication);
        memory.charge(size);
        Arc::new(Self { publication, size, is_compact, memory: Arc::clone(memory) })
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.memory.release(self.size);
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held")
            .field("size", &self.size)
            .field("is_compact", &self.is_compact)
            .finish_non_exhaustive()
    }
}

fn retained_size(publication: &Publication) -> usize {
    let headers = publication.message.properties.headers.len() * HEADER_OVERHEAD;
    OVERHEAD + headers + publication.size()
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use bytes::Bytes;
    use protocols::broker::{Message, Properties};

    use super::*;
    use crate::embedded::LinkId;

    #[test]
    #[cfg(target_pointer_width = "64")]
    fn the_overhead_is_what_the_settings_say() {
        assert_eq!((OVERHEAD, HEADER_OVERHEAD), (536, 72));
    }

    #[test]
    fn every_copy_is_charged_while_it_lives_and_compacted_once() {
        let memory = Arc::new(Memory::new(1));
        let headers = vec![(Text::from("name"), Value::Text(Text::from("value")))];
        let properties = Properties { headers, ..Properties::default() };
        let publication = Publication {
            exchange: Text::EMPTY,
            routing_key: Text::from("q"),
            message: Message { body: Bytes::from_static(b"body"), properties },
        };
        let held = Held::new(Arc::new(publication), &memory);
        let bytes = "q".len() + "name".len() + "value".len() + "body".len();
        assert_eq!(held.size(), OVERHEAD + HEADER_OVERHEAD + bytes);
        let compacted = held.compacted();
        assert!(!Arc::ptr_eq(&held, &compacted));
        assert!(Arc::ptr_eq(&compacted, &compacted.compacted()));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(memory.poll_room(LinkId(0), &mut cx).is_pending());
        drop((held, compacted));
        assert!(memory.poll_room(LinkId(0), &mut cx).is_ready());
    }
}
