//! [`Queue`]: messages in order, and the consumers that share them.
//!
//! A queue keeps what is *ready*; a delivery that was handed over belongs to the link that got it,
//! which settles it here. At every moment when no lock is held, nothing is ready or no consumer is
//! waiting for anything: so a message that finds a consumer waiting may be handed to it directly.
//!
//! Consumers take turns. One is out of turn while its prefetch is used up, until it settles, or
//! while its link's mailbox is full, until the link says there is room again.

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::mem;
use std::sync::{Arc, Mutex};

use protocols::text::Text;

use super::LinkId;
use super::held::Held;
use super::notice::{Consumer, Entry, Notice, Wakes};
use crate::lock::lock;

/// A queue of one virtual host. Two are equal if they are the same queue.
pub(super) struct Queue {
    pub(super) id: u64,
    pub(super) name: Text,
    pub(super) traits: Traits,
    /// It is for one subscription, and goes with it.
    pub(super) is_private: bool,
    /// Exchange and binding key of each of its bindings. Changed while the topology is locked.
    bindings: Mutex<Vec<(Text, Text)>>,
    /// Most bytes ready at a time, where that is bounded: in a private queue.
    limit: Option<usize>,
    state: Mutex<State>,
}

/// How a queue was declared. Fixed for its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Traits {
    pub(super) durable: bool,
    pub(super) auto_delete: bool,
    /// The one link that may use it, if it is exclusive.
    pub(super) owner: Option<LinkId>,
}

/// Names a consumer of a queue. Never used twice in one queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ConsumerId(u64);

/// What became of a message that was to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    Within,
    /// More is ready now than the queue's limit allows: so many bytes.
    Beyond(usize),
}

#[derive(Default)]
struct State {
    /// In order of their places.
    ready: VecDeque<Entry>,
    ready_bytes: usize,
    next_place: u64,
    consumers: BTreeMap<ConsumerId, Served>,
    next_consumer: u64,
    /// Consumers in [`Turn::Waiting`], the next one first.
    waiting: VecDeque<ConsumerId>,
    /// The queue was deleted: it takes nothing back.
    ended: bool,
}

struct Served {
    consumer: Consumer,
    outstanding: usize,
    turn: Turn,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Turn {
    /// In line for the next message.
    Waiting,
    /// Its prefetch is used up.
    Spent,
    /// The mailbox of its link is full.
    Paused,
}

impl Queue {
    pub(super) fn new(id: u64, name: Text, traits: Traits, limit: Option<usize>) -> Self {
        let is_private = limit.is_some();
        let (bindings, state) = (Mutex::default(), Mutex::default());
        Self { id, name, traits, limit, is_private, bindings, state }
    }

    /// Notes a binding; false if it was there.
    pub(super) fn add_binding(&self, exchange: &Text, key: &Text) -> bool {
        let mut bindings = lock(&self.bindings);
        let is_new = !bindings.iter().any(|(of, by)| of == exchange && by == key);
        if is_new {
            bindings.push((exchange.detached(), key.detached()));
        }
        is_new
    }

    /// Its bindings, and it has them no more.
    pub(super) fn take_bindings(&self) -> Vec<(Text, Text)> {
        mem::take(&mut lock(&self.bindings))
    }

    /// Whether it is bound so.
    pub(super) fn is_bound(&self, exchange: &Text, key: &Text) -> bool {
        lock(&self.bindings).iter().any(|(of, by)| of == exchange && by == key)
    }

    /// Hands a message to the consumer whose turn it is; false if none can take it now.
    pub(super) fn hand_over(&self, held: &Arc<Held>, wakes: &mut Wakes) -> bool {
        let mut state = lock(&self.state);
        if state.waiting.is_empty() {
            return false;
        }
        let entry = state.enter(Arc::clone(held));
        state.deliver(entry, wakes).is_ok()
    }

    /// Takes a message, compacted, at the end of the queue.
    pub(super) fn keep(&self, held: Arc<Held>, wakes: &mut Wakes) -> Kept {
        let mut state = lock(&self.state);
        let entry = state.enter(held);
        if let Err(entry) = state.deliver(entry, wakes) {
            state.ready_bytes += entry.held.size();
            state.ready.push_back(entry);
        }
        match self.limit {
            Some(limit) if state.ready_bytes > limit => Kept::Beyond(state.ready_bytes),
            _ => Kept::Within,
        }
    }

    /// Adds a consumer and gives it what is ready.
    ///
    /// *Order.* Under the lock of the topology the queue is in, so that it cannot end meanwhile.
    pub(super) fn attach(&self, consumer: Consumer, wakes: &mut Wakes) -> ConsumerId {
        let mut state = lock(&self.state);
        let id = ConsumerId(state.next_consumer);
        state.next_consumer += 1;
        state.consumers.insert(id, Served { consumer, outstanding: 0, turn: Turn::Waiting });
        state.waiting.push_back(id);
        state.dispatch(wakes);
        id
    }

    /// Ends a consumer and takes `returned` back, along with what still waits in its mailbox, in
    /// one step: no other consumer is given a later message first. What is left in `returned` is
    /// to be dropped once no lock is held.
    pub(super) fn detach(
        &self,
        id: ConsumerId,
        consumer: &Consumer,
        returned: &mut Vec<Entry>,
        wakes: &mut Wakes,
    ) {
        let mut state = lock(&self.state);
        state.remove(id);
        consumer.take_unseen(returned);
        state.take_back(returned);
        state.dispatch(wakes);
    }

    /// A link is gone: ends its consumers and takes back all it had, in one step. What is left in
    /// `returned` is to be dropped once no lock is held.
    pub(super) fn abandon(
        &self,
        consumers: &[ConsumerId],
        returned: &mut [Entry],
        wakes: &mut Wakes,
    ) {
        let mut state = lock(&self.state);
        consumers.iter().for_each(|id| state.remove(*id));
        state.take_back(returned);
        state.dispatch(wakes);
    }

    /// `count` deliveries of a consumer are no longer outstanding; `returned` go back to their
    /// places. What is left in `returned` is to be dropped once no lock is held.
    pub(super) fn settle(
        &self,
        consumer: Option<ConsumerId>,
        count: usize,
        returned: &mut [Entry],
        wakes: &mut Wakes,
    ) {
        let mut state = lock(&self.state);
        state.take_back(returned);
        let State { consumers, waiting, .. } = &mut *state;
        if let Some(id) = consumer
            && let Some(served) = consumers.get_mut(&id)
        {
            debug_assert!(served.outstanding >= count, "only what was delivered is settled");
            served.outstanding = served.outstanding.saturating_sub(count);
            if served.turn == Turn::Spent && served.has_credit() {
                served.turn = Turn::Waiting;
                waiting.push_back(id);
            }
        }
        state.dispatch(wakes);
    }

    /// The consumer's link has room again. Returns whether the consumer was given anything.
    pub(super) fn resume(&self, id: ConsumerId, wakes: &mut Wakes) -> bool {
        let mut state = lock(&self.state);
        let State { consumers, waiting, .. } = &mut *state;
        let Some(served) = consumers.get_mut(&id) else {
            return false;
        };
        if served.turn != Turn::Paused {
            return false;
        }
        if !served.has_credit() {
            served.turn = Turn::Spent;
            return false;
        }
        served.turn = Turn::Waiting;
        waiting.push_back(id);
        let ready = state.ready.len();
        state.dispatch(wakes);
        state.ready.len() < ready
    }

    pub(super) fn is_unused(&self) -> bool {
        lock(&self.state).consumers.is_empty()
    }

    /// Ends the queue. Returns who still consumed from it, and what was ready, to be dropped once
    /// no lock is held.
    pub(super) fn end(&self) -> (Vec<Consumer>, VecDeque<Entry>) {
        let mut state = lock(&self.state);
        state.ended = true;
        state.ready_bytes = 0;
        state.waiting.clear();
        let consumers = mem::take(&mut state.consumers);
        let consumers = consumers.into_values().map(|served| served.consumer).collect();
        (consumers, mem::take(&mut state.ready))
    }
}

impl State {
    fn enter(&mut self, held: Arc<Held>) -> Entry {
        let place = self.next_place;
        self.next_place += 1;
        Entry { place, redelivered: false, held }
    }

    fn remove(&mut self, id: ConsumerId) {
        self.consumers.remove(&id);
        self.waiting.retain(|waiting| *waiting != id);
    }

    /// Gives what is ready to those who wait for it.
    fn dispatch(&mut self, wakes: &mut Wakes) {
        while !self.waiting.is_empty() {
            let Some(entry) = self.ready.pop_front() else {
                return;
            };
            self.ready_bytes -= entry.held.size();
            if let Err(entry) = self.deliver(entry, wakes) {
                self.ready_bytes += entry.held.size();
                self.ready.push_front(entry);
            }
        }
    }

    /// Gives `entry` to the first in line whose mailbox has room, or returns it.
    fn deliver(&mut self, entry: Entry, wakes: &mut Wakes) -> Result<(), Entry> {
        while let Some(id) = self.waiting.pop_front() {
            let served = self.consumers.get_mut(&id).expect("who waits is a consumer");
            let Some(slot) = served.consumer.mailbox.reserve() else {
                served.turn = Turn::Paused;
                continue;
            };
            let subscription = served.consumer.subscription;
            wakes.add(slot.put(Notice::Delivery { subscription, entry }));
            served.outstanding += 1;
            if served.has_credit() {
                self.waiting.push_back(id);
            } else {
                served.turn = Turn::Spent;
            }
            return Ok(());
        }
        Err(entry)
    }

    /// Puts compacted copies of `returned` at their places; the originals stay where they are, for
    /// dropping them may wake publishers.
    fn take_back(&mut self, returned: &mut [Entry]) {
        if self.ended {
            return;
        }
        // The last one first: each lands before the one that went in before it, near the front.
        returned.sort_unstable_by_key(|entry| Reverse(entry.place));
        for &mut Entry { place, redelivered, ref held } in returned {
            let at = self.ready.partition_point(|ready| ready.place < place);
            let held = held.compacted();
            self.ready_bytes += held.size();
            self.ready.insert(at, Entry { place, redelivered, held });
        }
    }
}

impl Served {
    const fn has_credit(&self) -> bool {
        self.outstanding < self.consumer.prefetch
    }
}

impl PartialEq for Queue {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Queue {}

impl PartialOrd for Queue {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Queue {
    fn cmp(&self, other: &Self) -> Ordering {
        self.id.cmp(&other.id)
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("id", &self.id)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
