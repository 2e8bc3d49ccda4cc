//! [`Ledger`]: the unsettled deliveries of one subscription, and what is to be said about them.
//!
//! A subscription has a channel of its own, so its AMQP delivery tags grow without gaps that belong
//! to others, and `multiple` means its own deliveries only. Accepts are put together: a run from
//! the oldest delivery on is one `basic.ack`, which costs lapin and RabbitMQ a fifth of one for
//! each message.

use std::collections::VecDeque;

use protocols::broker::{DeliveryTag, Verdict};

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// In order of both tags.
    entries: VecDeque<Entry>,
    /// How many of `entries` are accepted and not yet said to be.
    unsaid: usize,
}

#[derive(Debug)]
struct Entry {
    tag: DeliveryTag,
    amqp: u64,
    accepted: bool,
}

/// One frame about deliveries, by their AMQP tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Saying {
    /// `basic.ack`
    Ack { tag: u64, multiple: bool },
    /// `basic.nack`
    Nack { tag: u64, multiple: bool, requeue: bool },
}

impl Ledger {
    /// A new delivery.
    pub(super) fn push(&mut self, tag: DeliveryTag, amqp: u64) {
        self.entries.push_back(Entry { tag, amqp, accepted: false });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// How many deliveries RabbitMQ takes for outstanding.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether RabbitMQ takes this delivery for outstanding.
    pub(super) fn contains(&self, tag: DeliveryTag) -> bool {
        self.find(tag).is_some()
    }

    /// Whether nothing was said of this delivery yet, not even here.
    pub(super) fn is_outstanding(&self, tag: DeliveryTag) -> bool {
        self.find(tag).is_some_and(|entry| !entry.accepted)
    }

    fn find(&self, tag: DeliveryTag) -> Option<&Entry> {
        let at = self.entries.binary_search_by_key(&tag, |entry| entry.tag).ok()?;
        self.entries.get(at)
    }

    /// How many accepted deliveries RabbitMQ has not been told about.
    pub(super) fn unsaid(&self) -> usize {
        self.unsaid
    }

    /// The channel is gone, and all that was outstanding went back.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.unsaid = 0;
    }

    /// Notes a verdict. An accept waits for [`say`](Self::say); anything else is said now, after
    /// what waits.
    pub(super) fn settle(
        &mut self,
        up_to: DeliveryTag,
        verdict: Verdict,
        cumulative: bool,
        out: &mut Vec<Saying>,
    ) {
        let end = self.entries.partition_point(|entry| entry.tag <= up_to);
        let last = end.checked_sub(1);
        let Some(last) = last.filter(|&last| cumulative || self.entries[last].tag == up_to) else {
            return;
        };
        let first = if cumulative { 0 } else { last };
        if verdict == Verdict::Accept {
            for entry in self.entries.range_mut(first..end).filter(|entry| !entry.accepted) {
                entry.accepted = true;
                self.unsaid += 1;
            }
            return;
        }
        if self.entries.range(first..end).all(|entry| entry.accepted) {
            return;
        }
        let requeue = verdict == Verdict::Requeue;
        if !cumulative {
            let tag = self.entries[last].amqp;
            self.entries.remove(last);
            out.push(Saying::Nack { tag, multiple: false, requeue });
            return;
        }
        self.say(out);
        // The last that is left: RabbitMQ closes the channel for one that was just accepted.
        let end = self.entries.partition_point(|entry| entry.tag <= up_to);
        if let Some(last) = self.entries.drain(..end).next_back() {
            out.push(Saying::Nack { tag: last.amqp, multiple: true, requeue });
        }
    }

    /// What is to be said about accepted deliveries: one frame for the run from the oldest on, and
    /// one for each that was accepted out of turn.
    pub(super) fn say(&mut self, out: &mut Vec<Saying>) {
        if self.unsaid == 0 {
            return;
        }
        self.unsaid = 0;
        let run = self.entries.iter().take_while(|entry| entry.accepted).count();
        if let Some(last) = self.entries.drain(..run).next_back() {
            out.push(Saying::Ack { tag: last.amqp, multiple: run > 1 });
        }
        self.entries.retain(|entry| {
            if entry.accepted {
                out.push(Saying::Ack { tag: entry.amqp, multiple: false });
            }
            !entry.accepted
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Deliveries 101… with the AMQP tags 1….
    fn ledger(count: u64) -> Ledger {
        let mut ledger = Ledger::default();
        for n in 1..=count {
            ledger.push(DeliveryTag(100 + n), n);
        }
        ledger
    }

    fn settle(ledger: &mut Ledger, n: u64, verdict: Verdict, cumulative: bool) -> Vec<Saying> {
        let mut out = Vec::new();
        ledger.settle(DeliveryTag(100 + n), verdict, cumulative, &mut out);
        out
    }

    fn say(ledger: &mut Ledger) -> Vec<Saying> {
        let mut out = Vec::new();
        ledger.say(&mut out);
        out
    }

    #[test]
    fn accepts_in_order_are_one_frame() {
        let mut ledger = ledger(5);
        for n in 1..=3 {
            assert!(settle(&mut ledger, n, Verdict::Accept, false).is_empty());
        }
        assert_eq!(ledger.unsaid(), 3);
        assert_eq!(say(&mut ledger), [Saying::Ack { tag: 3, multiple: true }]);
        assert!(say(&mut ledger).is_empty());
        assert!(settle(&mut ledger, 5, Verdict::Accept, true).is_empty());
        assert_eq!(say(&mut ledger), [Saying::Ack { tag: 5, multiple: true }]);
        assert!(ledger.is_empty());
    }

    #[test]
    fn an_accept_out_of_turn_is_a_frame_of_its_own() {
        let mut ledger = ledger(5);
        for n in [1, 3, 5] {
            settle(&mut ledger, n, Verdict::Accept, false);
        }
        let single = |tag| Saying::Ack { tag, multiple: false };
        assert_eq!(say(&mut ledger), [single(1), single(3), single(5)]);
        settle(&mut ledger, 4, Verdict::Accept, true);
        assert_eq!(say(&mut ledger), [Saying::Ack { tag: 4, multiple: true }]);
    }

    #[test]
    fn a_cumulative_refusal_spares_what_was_accepted_before() {
        let mut ledger = ledger(5);
        settle(&mut ledger, 2, Verdict::Accept, false);
        let said = settle(&mut ledger, 4, Verdict::Requeue, true);
        let ack = Saying::Ack { tag: 2, multiple: false };
        assert_eq!(said, [ack, Saying::Nack { tag: 4, multiple: true, requeue: true }]);
        settle(&mut ledger, 5, Verdict::Accept, false);
        assert_eq!(say(&mut ledger), [Saying::Ack { tag: 5, multiple: false }]);
    }

    #[test]
    fn a_cumulative_refusal_names_a_delivery_that_is_still_outstanding() {
        let mut ledger = ledger(4);
        settle(&mut ledger, 3, Verdict::Accept, false);
        let said = settle(&mut ledger, 3, Verdict::Requeue, true);
        let ack = Saying::Ack { tag: 3, multiple: false };
        assert_eq!(said, [ack, Saying::Nack { tag: 2, multiple: true, requeue: true }]);
    }

    #[test]
    fn a_single_refusal_leaves_the_others() {
        let mut ledger = ledger(3);
        let said = settle(&mut ledger, 2, Verdict::Discard, false);
        assert_eq!(said, [Saying::Nack { tag: 2, multiple: false, requeue: false }]);
        settle(&mut ledger, 3, Verdict::Accept, true);
        assert_eq!(say(&mut ledger), [Saying::Ack { tag: 3, multiple: true }]);
    }

    #[test]
    fn what_is_not_outstanding_cannot_be_settled() {
        let mut ledger = ledger(2);
        settle(&mut ledger, 1, Verdict::Accept, false);
        assert!(settle(&mut ledger, 1, Verdict::Requeue, false).is_empty(), "accepted before");
        say(&mut ledger);
        for cumulative in [false, true] {
            assert!(settle(&mut ledger, 1, Verdict::Requeue, cumulative).is_empty());
            assert!(settle(&mut ledger, 1, Verdict::Accept, cumulative).is_empty());
        }
        assert!(settle(&mut ledger, 9, Verdict::Requeue, false).is_empty());
        assert!(say(&mut ledger).is_empty());
    }
}
