//! The ledger of one subscription: which of its deliveries wait for an ACK or NACK.
//!
//! *Spec.* STOMP 1.2 §ACK, §SUBSCRIBE "ack": `client` is cumulative, within the subscription;
//! `client-individual` is not. An ACK or NACK inside a transaction holds its deliveries: they are
//! settled by COMMIT, free again after ABORT, and can be named by no other ACK in between.

use std::collections::VecDeque;

use crate::broker::{DeliveryTag, SettleMode};

/// Who acknowledges, and how (the `ack` header of SUBSCRIBE).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AckMode {
    /// Nobody: a delivery is accepted once it was written to the socket.
    Auto,
    /// The client; an ACK or NACK also covers every earlier delivery of the subscription.
    Client,
    /// The client, one by one.
    ClientIndividual,
}

impl AckMode {
    /// The mode with this spelling.
    pub(super) fn parse(value: &str) -> Option<Self> {
        Some(match value {
            "auto" => Self::Auto,
            "client" => Self::Client,
            "client-individual" => Self::ClientIndividual,
            _ => return None,
        })
    }

    /// What it is at the broker port.
    pub(super) const fn settle_mode(self) -> SettleMode {
        match self {
            Self::Auto => SettleMode::WhenWritten,
            Self::Client | Self::ClientIndividual => SettleMode::Manual,
        }
    }
}

/// Names the transaction that holds a delivery; never used twice in a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Holder(pub(super) u64);

/// The outstanding deliveries of a subscription, oldest first.
///
/// *Shape.* Never longer than the subscription's prefetch: the broker sends no more.
#[derive(Debug, Default)]
pub(super) struct Ledger(VecDeque<Outstanding>);

#[derive(Debug)]
struct Outstanding {
    tag: DeliveryTag,
    /// Its place among all deliveries of the session.
    order: u64,
    held_by: Option<Holder>,
}

impl Ledger {
    /// Adds a delivery, the `order`-th of the session. *Order.* Both grow.
    pub(super) fn record(&mut self, tag: DeliveryTag, order: u64) {
        self.0.push_back(Outstanding { tag, order, held_by: None });
    }

    /// The place of an outstanding delivery among all of the session.
    pub(super) fn order(&self, tag: DeliveryTag) -> Option<u64> {
        self.place(tag).map(|place| self.0[place].order)
    }

    /// The last outstanding delivery that is no later than this place.
    pub(super) fn last_until(&self, order: u64) -> Option<DeliveryTag> {
        let later = self.0.partition_point(|delivery| delivery.order <= order);
        later.checked_sub(1).map(|last| self.0[last].tag)
    }

    /// Whether this delivery is outstanding and held by no transaction.
    pub(super) fn is_free(&self, tag: DeliveryTag) -> bool {
        self.place(tag).is_some_and(|place| self.0[place].held_by.is_none())
    }

    /// Whether nothing is outstanding.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Holds a free delivery, and with `cumulative` every earlier free one, for a transaction.
    pub(super) fn hold(&mut self, up_to: DeliveryTag, cumulative: bool, holder: Holder) {
        let Some(last) = self.place(up_to) else {
            return;
        };
        let first = if cumulative { 0 } else { last };
        for delivery in self.0.range_mut(first..=last) {
            delivery.held_by.get_or_insert(holder);
        }
    }

    /// Frees everything this transaction holds.
    pub(super) fn release(&mut self, holder: Holder) {
        for delivery in &mut self.0 {
            if delivery.held_by == Some(holder) {
                delivery.held_by = None;
            }
        }
    }

    /// Takes out `up_to`, and with `cumulative` every earlier delivery, as far as `holder` holds
    /// them (`None`: as far as they are free), and calls `settle` with what to tell the broker: one
    /// cumulative settlement, or, where a delivery in between stays, one for each.
    pub(super) fn settle(
        &mut self,
        up_to: DeliveryTag,
        cumulative: bool,
        holder: Option<Holder>,
        mut settle: impl FnMut(DeliveryTag, bool),
    ) {
        let Some(last) = self.place(up_to) else {
            return;
        };
        if !cumulative {
            if self.0[last].held_by == holder {
                self.0.remove(last);
                settle(up_to, false);
            }
            return;
        }
        if self.0.range(..=last).all(|delivery| delivery.held_by == holder) {
            self.0.drain(..=last);
            settle(up_to, true);
            return;
        }
        self.0.retain(|delivery| {
            let taken = delivery.tag <= up_to && delivery.held_by == holder;
            if taken {
                settle(delivery.tag, false);
            }
            !taken
        });
    }

    fn place(&self, tag: DeliveryTag) -> Option<usize> {
        self.0.binary_search_by_key(&tag, |delivery| delivery.tag).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(tags: impl IntoIterator<Item = u64>) -> Ledger {
        let mut ledger = Ledger::default();
        tags.into_iter().for_each(|tag| ledger.record(DeliveryTag(tag), 10 * tag));
        ledger
    }

    fn settled(
        ledger: &mut Ledger,
        up_to: u64,
        cumulative: bool,
        holder: Option<Holder>,
    ) -> Vec<(u64, bool)> {
        let mut settled = Vec::new();
        ledger.settle(DeliveryTag(up_to), cumulative, holder, |tag, cumulative| {
            settled.push((tag.0, cumulative));
        });
        settled
    }

    #[test]
    fn cumulative_takes_every_earlier_one_and_individual_only_one() {
        let mut ledger = ledger([1, 4, 6, 9]);
        assert_eq!(settled(&mut ledger, 6, false, None), [(6, false)]);
        assert_eq!(settled(&mut ledger, 4, true, None), [(4, true)]);
        assert!(!ledger.is_free(DeliveryTag(1)) && ledger.is_free(DeliveryTag(9)));
        assert_eq!(settled(&mut ledger, 1, true, None), []);
        assert_eq!(settled(&mut ledger, 5, true, None), []);
    }

    #[test]
    fn a_place_among_all_deliveries_has_a_last_one_before_it() {
        let ledger = ledger([1, 4]);
        assert_eq!(ledger.order(DeliveryTag(4)), Some(40));
        assert_eq!(ledger.order(DeliveryTag(2)), None);
        for (order, last) in [(9, None), (10, Some(1)), (39, Some(1)), (99, Some(4))] {
            assert_eq!(ledger.last_until(order), last.map(DeliveryTag), "{order}");
        }
    }

    #[test]
    fn a_cumulative_settlement_leaves_out_what_a_transaction_holds() {
        let mut ledger = ledger(1..=4);
        ledger.hold(DeliveryTag(2), false, Holder(7));
        assert_eq!(settled(&mut ledger, 3, true, None), [(1, false), (3, false)]);
        assert!(!ledger.is_free(DeliveryTag(2)));
        assert_eq!(settled(&mut ledger, 2, true, Some(Holder(7))), [(2, true)]);
        assert!(ledger.is_free(DeliveryTag(4)));
    }

    #[test]
    fn a_transaction_holds_only_what_is_free_and_releases_only_its_own() {
        let mut ledger = ledger(1..=3);
        ledger.hold(DeliveryTag(1), true, Holder(1));
        ledger.hold(DeliveryTag(3), true, Holder(2));
        ledger.release(Holder(2));
        assert!(!ledger.is_free(DeliveryTag(1)));
        assert!(ledger.is_free(DeliveryTag(2)) && ledger.is_free(DeliveryTag(3)));
        ledger.release(Holder(1));
        assert!(ledger.is_free(DeliveryTag(1)));
    }
}
