//! BEGIN, COMMIT and ABORT.
//!
//! *Spec.* STOMP 1.2 §BEGIN, §COMMIT, §ABORT. COMMIT carries the held frames out in their order;
//! the RECEIPTs of SENDs follow, and COMMIT's comes last, once the broker has confirmed every
//! message; if it has not taken one, COMMIT's does not come. It is not atomic at the broker: if the connection fails on the way, earlier frames have
//! had effect.

use crate::session::Actions;
use crate::stomp::client_frame::ClientFrame;
use crate::stomp::compat::Switch;
use crate::stomp::transaction::{Held, Transaction};
use crate::text::Text;
use crate::violation::{Violation, shown};

use super::StompSession;
use super::send::Reported;

impl StompSession {
    pub(super) fn on_begin(
        &mut self,
        frame: ClientFrame<'_>,
        actions: &mut Actions,
    ) -> Result<(), Violation> {
        let id = frame.name("transaction", frame.require("transaction")?)?;
        let receipt = self.receipt_of(frame)?;
        if self.has(Switch::RestartedTransactions)
            && let Ok(transaction) = self.transactions.end(id)
        {
            self.release(&transaction);
        }
        self.transactions.begin(id)?;
        self.answer(receipt, actions);
        Ok(())
    }

    pub(super) fn on_commit(
        &mut self,
        frame: ClientFrame<'_>,
        actions: &mut Actions,
    ) -> Result<(), Violation> {
        let id = frame.require("transaction")?;
        let receipt = frame.receipt()?;
        let open = self.transactions.get(id)?;
        if !open.is_broken {
            self.receipts.reserve(receipts_of(open, receipt.as_ref()))?;
        }
        let transaction = self.transactions.end(id)?;
        if transaction.is_broken {
            self.release(&transaction);
            return Err(Violation::TransactionBroken { id: shown(id) });
        }
        let holder = transaction.holder;
        let commit = receipt.as_ref().map(|_| holder);
        for held in transaction.frames {
            match held {
                Held::Publish { send, receipt } => {
                    self.publish(send, Reported { receipt, commit }, actions);
                }
                Held::Settle(settlement) => self.settle(settlement, Some(holder), actions),
            }
        }
        match receipt {
            Some(receipt) if !self.receipts.is_empty() => {
                let token = self.next_token();
                self.receipts.ready_commit(token, receipt, holder);
            }
            receipt => self.answer(receipt, actions),
        }
        Ok(())
    }

    pub(super) fn on_abort(
        &mut self,
        frame: ClientFrame<'_>,
        actions: &mut Actions,
    ) -> Result<(), Violation> {
        let id = frame.require("transaction")?;
        let receipt = self.receipt_of(frame)?;
        let transaction = self.transactions.end(id)?;
        self.release(&transaction);
        self.answer(receipt, actions);
        Ok(())
    }

    /// What this transaction would have acknowledged waits again.
    fn release(&mut self, transaction: &Transaction) {
        for held in &transaction.frames {
            if let Held::Settle(settlement) = held
                && let Some(subscription) = self.subscriptions.get_mut(settlement.subscription)
            {
                subscription.ledger.release(transaction.holder);
            }
        }
    }
}

/// How many receipts a COMMIT may leave waiting.
fn receipts_of(transaction: &Transaction, of_commit: Option<&Text>) -> usize {
    let waits = |held: &&Held| match held {
        Held::Publish { receipt, .. } => receipt.is_some() || of_commit.is_some(),
        Held::Settle(_) => false,
    };
    transaction.frames.iter().filter(waits).count() + usize::from(of_commit.is_some())
}
