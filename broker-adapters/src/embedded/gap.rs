//! [`Gap`]: what a lasting queue has lost, and whether those who go on with it know.
//!
//! Whoever is served is told, before it gets the first of what was behind the loss; and the loss is
//! remembered until that one is accepted or discarded: only then has a client gone on from there for good.
//! If it comes back instead, or another consumer takes the place of the one that has it, the loss is told
//! again. One that is done with unseen leaves that to the next.

use smallvec::SmallVec;

use super::consumers::{ConsumerId, Consumers};
use super::effects::Effects;
use super::notice::{Consumer, Notice};

/// What was lost of one queue. Nothing, at first.
///
/// *Shape.* What is remembered is at most as much as is outstanding.
#[derive(Debug, Default)]
pub(super) struct Gap {
    /// The first and the last place where messages were lost, while nothing behind the last one was
    /// given to someone who knows.
    open: Option<(u64, u64)>,
    /// Who was told last.
    receiver: Option<ConsumerId>,
    /// That one knows of what is open.
    is_told: bool,
    /// Places of what was behind a loss, was given to someone who had just been told, and is not
    /// settled.
    firsts: SmallVec<[u64; 1]>,
}

impl Gap {
    /// The message at this place was lost.
    pub(super) fn open(&mut self, place: u64) {
        let (first, last) = self.open.unwrap_or((place, place));
        self.open = Some((first.min(place), last.max(place)));
    }

    /// The message at this place is settled for good.
    pub(super) fn close(&mut self, place: u64) {
        self.firsts.retain(|first| *first != place);
    }

    /// The message at this place is done with, and nobody has seen it: the next one tells the loss.
    pub(super) fn skip(&mut self, place: u64) {
        if self.firsts.contains(&place) {
            self.close(place);
            self.open(place.saturating_sub(1));
            // It was told so, and has not shown it to anyone.
            self.is_told = true;
        }
    }

    /// The message at this place came back.
    pub(super) fn reopen(&mut self, place: u64) {
        if self.firsts.contains(&place) {
            self.close(place);
            self.open(place.saturating_sub(1));
        }
    }

    /// The message at this place was given to the active consumer, who [knows](Self::tell).
    pub(super) fn given(&mut self, place: u64) {
        let Some((first, last)) = self.open else {
            return;
        };
        if place > first {
            self.firsts.push(place);
        }
        if place > last {
            (self.open, self.is_told) = (None, false);
        }
    }

    /// Has the active consumer know of what it does not know yet, if there is one.
    ///
    /// *Order.* Before it is given anything, and whenever messages were lost: then the mailbox has
    /// the loss at its place between the deliveries.
    pub(super) fn tell(&mut self, consumers: &Consumers, effects: &mut Effects) {
        if self.open.is_none() && self.firsts.is_empty() {
            return;
        }
        let Some((id, Consumer { subscription, mailbox, .. })) = consumers.active() else {
            return;
        };
        if self.receiver != Some(id) {
            // What another one was told, and has not settled, this one does not know.
            (self.receiver, self.is_told) = (Some(id), false);
            if let Some(first) = self.firsts.iter().min() {
                self.open(first.saturating_sub(1));
            }
        }
        if self.open.is_some() && !self.is_told {
            self.is_told = true;
            effects.wake(mailbox.push(Notice::Gap { subscription: *subscription }));
        }
    }
}
