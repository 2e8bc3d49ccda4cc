//! Transactions: frames that are held from BEGIN until COMMIT or ABORT.
//!
//! *Spec.* STOMP 1.2 §BEGIN, §COMMIT, §ABORT. A frame is checked when it arrives, so that its ERROR
//! names its own receipt, and carried out at COMMIT, in order. Transactions that are open when the
//! connection ends were aborted.

use crate::broker::{Address, DeliveryTag, Message, SubscriptionId, Verdict};
use crate::policy::Limits;
use crate::stomp::acks::Holder;
use crate::text::Text;
use crate::violation::{Violation, shown};

/// A frame of a transaction.
#[derive(Debug)]
pub(super) struct Held {
    /// What COMMIT does.
    pub(super) action: HeldAction,
    /// The receipt that the frame asked for; due after COMMIT.
    pub(super) receipt: Option<Text>,
}

/// What a frame of a transaction does once it is committed.
#[allow(
    clippy::large_enum_variant,
    reason = "most are SENDs: a box would cost each of them an allocation"
)]
#[derive(Debug)]
pub(super) enum HeldAction {
    /// A SEND.
    Publish { to: Address, message: Message },
    /// An ACK or NACK.
    Settle(Settlement),
}

/// What an ACK or NACK asks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settlement {
    pub(super) subscription: SubscriptionId,
    pub(super) up_to: DeliveryTag,
    pub(super) verdict: Verdict,
    pub(super) cumulative: bool,
}

/// One transaction.
#[derive(Debug)]
pub(super) struct Transaction {
    id: Text,
    /// The name under which it holds deliveries.
    pub(super) holder: Holder,
    /// What came since BEGIN, in order.
    pub(super) frames: Vec<Held>,
    bytes: usize,
}

/// The open transactions of a session.
///
/// *Shape.* At most `limits.transactions`, each of at most `limits.transaction_frames`; together
/// they hold at most `limits.transaction_bytes` of headers and bodies.
#[derive(Debug)]
pub(super) struct Transactions {
    open: Vec<Transaction>,
    bytes: usize,
    last_holder: u64,
    max_open: usize,
    max_frames: usize,
    max_bytes: usize,
}

impl Transactions {
    /// None, and never more than these limits allow.
    pub(super) const fn new(limits: &Limits) -> Self {
        Self {
            open: Vec::new(),
            bytes: 0,
            last_holder: 0,
            max_open: limits.transactions,
            max_frames: limits.transaction_frames,
            max_bytes: limits.transaction_bytes,
        }
    }

    /// Opens a transaction.
    ///
    /// *Errors.* [`Violation::TransactionInUse`], [`Violation::TooManyTransactions`].
    pub(super) fn begin(&mut self, id: &str) -> Result<(), Violation> {
        if self.place(id).is_ok() {
            return Err(Violation::TransactionInUse { id: shown(id) });
        }
        if self.open.len() >= self.max_open {
            return Err(Violation::TooManyTransactions { limit: self.max_open });
        }
        self.last_holder += 1;
        let holder = Holder(self.last_holder);
        self.open.push(Transaction { id: Text::from(id), holder, frames: Vec::new(), bytes: 0 });
        Ok(())
    }

    /// The transaction `id`, with room for a frame of `size` bytes, which the caller adds.
    ///
    /// *Errors.* [`Violation::UnknownTransaction`]; [`Violation::TransactionTooLong`] or
    /// [`Violation::TransactionTooLarge`] if there is no room.
    pub(super) fn admit(&mut self, id: &str, size: usize) -> Result<&mut Transaction, Violation> {
        let place = self.place(id)?;
        let transaction = &mut self.open[place];
        if transaction.frames.len() >= self.max_frames {
            return Err(Violation::TransactionTooLong { limit: self.max_frames });
        }
        let got = self.bytes.saturating_add(size);
        if got > self.max_bytes {
            return Err(Violation::TransactionTooLarge { limit: self.max_bytes, got });
        }
        self.bytes = got;
        transaction.bytes += size;
        Ok(transaction)
    }

    /// Closes a transaction and hands over what it held.
    ///
    /// *Errors.* [`Violation::UnknownTransaction`].
    pub(super) fn end(&mut self, id: &str) -> Result<Transaction, Violation> {
        let transaction = self.open.swap_remove(self.place(id)?);
        self.bytes -= transaction.bytes;
        Ok(transaction)
    }

    fn place(&self, id: &str) -> Result<usize, Violation> {
        self.open
            .iter()
            .position(|transaction| transaction.id == *id)
            .ok_or_else(|| Violation::UnknownTransaction { id: shown(id) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transactions() -> Transactions {
        Transactions::new(&Limits {
            transactions: 2,
            transaction_frames: 2,
            transaction_bytes: 100,
            ..Limits::default()
        })
    }

    #[test]
    fn bytes_are_counted_over_all_transactions_and_given_back_at_the_end() {
        let mut transactions = transactions();
        transactions.begin("a").unwrap();
        transactions.begin("b").unwrap();
        transactions.admit("a", 60).unwrap();
        let too_large = Violation::TransactionTooLarge { limit: 100, got: 101 };
        assert_eq!(transactions.admit("b", 41).unwrap_err(), too_large);
        transactions.end("a").unwrap();
        transactions.admit("b", 100).unwrap();
        assert!(transactions.admit("b", usize::MAX).is_err());
    }
}
