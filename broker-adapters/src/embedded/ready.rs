//! [`Ready`]: the messages of a queue that wait, in the order in which they go.
//!
//! *Spec.* AMQP 0-9-1 §4.7: first in, first out for one priority; RabbitMQ's `x-max-priority` for
//! several.

use std::collections::VecDeque;

use smallvec::{SmallVec, smallvec};

use super::notice::Entry;

/// Waiting messages. The highest priority goes first, and within one, the lowest place.
pub(super) struct Ready {
    /// By priority, from 0 up, each in order of the places.
    lanes: SmallVec<[VecDeque<Entry>; 1]>,
    len: usize,
    held_bytes: usize,
    body_bytes: usize,
}

impl Ready {
    /// With priorities from 0 to `max_priority`; those above count as that.
    pub(super) fn new(max_priority: u8) -> Self {
        let mut lanes = smallvec![VecDeque::new()];
        lanes.resize_with(usize::from(max_priority) + 1, VecDeque::new);
        Self { lanes, len: 0, held_bytes: 0, body_bytes: 0 }
    }

    pub(super) const fn len(&self) -> usize {
        self.len
    }

    /// What they cost in memory.
    pub(super) const fn held_bytes(&self) -> usize {
        self.held_bytes
    }

    /// Of their bodies alone.
    pub(super) const fn body_bytes(&self) -> usize {
        self.body_bytes
    }

    /// The next to go.
    pub(super) fn front(&self) -> Option<&Entry> {
        self.lanes.iter().rev().find_map(VecDeque::front)
    }

    pub(super) fn pop_front(&mut self) -> Option<Entry> {
        let entry = self.lanes.iter_mut().rev().find_map(VecDeque::pop_front)?;
        self.len -= 1;
        self.held_bytes -= entry.held.size();
        self.body_bytes -= entry.held.body_size();
        Some(entry)
    }

    /// Puts one at its place.
    ///
    /// *Cost.* None to speak of at either end, where nearly all belong.
    pub(super) fn insert(&mut self, entry: Entry) {
        self.len += 1;
        self.held_bytes += entry.held.size();
        self.body_bytes += entry.held.body_size();
        let highest = self.lanes.len() - 1;
        let lane = &mut self.lanes[usize::from(entry.held.priority()).min(highest)];
        if lane.back().is_none_or(|last| last.place < entry.place) {
            lane.push_back(entry);
        } else {
            let at = lane.partition_point(|waiting| waiting.place < entry.place);
            lane.insert(at, entry);
        }
    }
}
