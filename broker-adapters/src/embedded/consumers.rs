//! [`Consumers`]: those who take from one queue, and whose turn it is.
//!
//! They take turns, those of a higher priority before all others (RabbitMQ's consumer priorities). One is
//! out of turn while its prefetch is used up, until it settles, or while its link's mailbox is full,
//! until the link says there is room again. With a single active consumer
//! (`x-single-active-consumer`), the others stand by until it leaves.

use std::collections::{BTreeMap, VecDeque};
use std::mem;

use super::effects::Effects;
use super::notice::{Consumer, Entry, Notice};

/// Names a consumer of a queue. Never used twice in one queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ConsumerId(u64);

/// The consumers of a queue.
pub(super) struct Consumers {
    all: BTreeMap<ConsumerId, Served>,
    next: u64,
    /// Those in [`Turn::Waiting`] and their priorities, the next one first.
    waiting: VecDeque<(i64, ConsumerId)>,
    /// Only one at a time is served.
    is_single: bool,
    /// That one.
    active: Option<ConsumerId>,
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
    /// Another one is the single active consumer.
    Standby,
}

impl Consumers {
    /// Nobody yet.
    pub(super) const fn new(is_single: bool) -> Self {
        Self { all: BTreeMap::new(), next: 0, waiting: VecDeque::new(), is_single, active: None }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Whether somebody is in line for the next message.
    pub(super) fn is_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    pub(super) fn add(&mut self, consumer: Consumer) -> ConsumerId {
        let id = ConsumerId(self.next);
        self.next += 1;
        self.all.insert(id, Served { consumer, outstanding: 0, turn: Turn::Standby });
        if self.is_single {
            self.activate();
        } else {
            self.line_up(id);
        }
        id
    }

    /// Whether it was there.
    pub(super) fn remove(&mut self, id: ConsumerId) -> bool {
        let was_there = self.all.remove(&id).is_some();
        self.waiting.retain(|(_, waiting)| *waiting != id);
        if self.active == Some(id) {
            self.active = None;
            self.activate();
        }
        was_there
    }

    /// The single active consumer, if there is one.
    pub(super) fn active(&self) -> Option<(ConsumerId, &Consumer)> {
        let id = self.active?;
        self.all.get(&id).map(|served| (id, &served.consumer))
    }

    /// Removes all of them.
    pub(super) fn take(&mut self) -> Vec<Consumer> {
        self.waiting.clear();
        self.active = None;
        mem::take(&mut self.all).into_values().map(|served| served.consumer).collect()
    }

    /// Gives `entry` to the first in line whose mailbox has room, or returns it.
    pub(super) fn give(&mut self, entry: Entry, effects: &mut Effects) -> Result<(), Entry> {
        while let Some((_, id)) = self.waiting.pop_front() {
            let served = self.all.get_mut(&id).expect("who waits is a consumer");
            let Some(slot) = served.consumer.mailbox.reserve() else {
                served.turn = Turn::Paused;
                continue;
            };
            let subscription = served.consumer.subscription;
            effects.wake(slot.put(Notice::Delivery { subscription, entry }));
            served.outstanding += 1;
            if served.has_credit() {
                self.line_up(id);
            } else {
                served.turn = Turn::Spent;
            }
            return Ok(());
        }
        Err(entry)
    }

    /// `count` deliveries of a consumer are no longer outstanding.
    pub(super) fn settle(&mut self, id: ConsumerId, count: usize) {
        let Some(served) = self.all.get_mut(&id) else {
            return;
        };
        debug_assert!(served.outstanding >= count, "only what was delivered is settled");
        served.outstanding = served.outstanding.saturating_sub(count);
        if served.turn == Turn::Spent && served.has_credit() {
            self.line_up(id);
        }
    }

    /// The consumer's link has room again. Whether it is in line now because of that.
    pub(super) fn resume(&mut self, id: ConsumerId) -> bool {
        let Some(served) = self.all.get_mut(&id).filter(|served| served.turn == Turn::Paused)
        else {
            return false;
        };
        if !served.has_credit() {
            served.turn = Turn::Spent;
            return false;
        }
        self.line_up(id);
        true
    }

    /// Puts it behind all of its priority, which have waited longer.
    fn line_up(&mut self, id: ConsumerId) {
        let served = self.all.get_mut(&id).expect("who lines up is a consumer");
        served.turn = Turn::Waiting;
        let priority = served.consumer.priority;
        if self.waiting.back().is_none_or(|(last, _)| *last >= priority) {
            self.waiting.push_back((priority, id));
        } else {
            let at = self.waiting.partition_point(|(other, _)| *other >= priority);
            self.waiting.insert(at, (priority, id));
        }
    }

    /// Makes the first of the highest priority the active one, where there is none.
    fn activate(&mut self) {
        if self.active.is_some() {
            return;
        }
        let first = self.all.iter().rev().max_by_key(|(_, served)| served.consumer.priority);
        if let Some(id) = first.map(|(id, _)| *id) {
            self.active = Some(id);
            self.line_up(id);
        }
    }
}

impl Served {
    const fn has_credit(&self) -> bool {
        self.outstanding < self.consumer.prefetch
    }
}
