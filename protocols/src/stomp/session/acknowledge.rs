//! ACK and NACK.
//!
//! *Spec.* STOMP 1.2 §ACK, §NACK: the message is named by `id`; 1.1: by `message-id` and
//! `subscription`, which may be missing, as with RabbitMQ, but not be another; 1.0: by `message-id`,
//! and there is no NACK, unless [`Switch::NackIn10`] is set. `requeue:false` on NACK is RabbitMQ's. The RECEIPT is due at once, in a
//! transaction too: what it asks for has been checked and noted. With [`Switch::ConnectionAcks`] a
//! cumulative one means the earlier messages of all subscriptions, as on an AMQP channel.

use std::iter::once;

use crate::broker::{Command, Verdict};
use crate::session::Actions;
use crate::stomp::Version;
use crate::stomp::acks::{AckMode, Holder};
use crate::stomp::client_frame::ClientFrame;
use crate::stomp::compat::Switch;
use crate::stomp::frame::Verb;
use crate::stomp::subscription::DeliveryName;
use crate::stomp::transaction::{Held, Settlement};
use crate::violation::{Violation, shown};

use super::StompSession;

impl StompSession {
    pub(super) fn on_acknowledgement(
        &mut self,
        frame: ClientFrame<'_>,
        actions: &mut Actions,
    ) -> Result<(), Violation> {
        let settlement = self.settlement(frame)?;
        let receipt = self.receipt_of(frame)?;
        let of_others = if settlement.cumulative && self.has(Switch::ConnectionAcks) {
            self.subscriptions.earlier_of_others(settlement)
        } else {
            Vec::new()
        };
        for settlement in once(settlement).chain(of_others) {
            match frame.get("transaction") {
                None => self.settle(settlement, None, actions),
                Some(id) => self.hold(id, settlement)?,
            }
        }
        self.answer(receipt, actions);
        Ok(())
    }

    fn hold(&mut self, transaction: &str, settlement: Settlement) -> Result<(), Violation> {
        let holder = self.transactions.hold(transaction, Held::Settle(settlement))?;
        if let Some(subscription) = self.subscriptions.get_mut(settlement.subscription) {
            let Settlement { up_to, cumulative, .. } = settlement;
            subscription.ledger.hold(up_to, cumulative, holder);
        }
        Ok(())
    }

    /// Takes deliveries out of the ledger, as far as `holder` holds them, and tells the broker.
    pub(super) fn settle(
        &mut self,
        settlement: Settlement,
        holder: Option<Holder>,
        actions: &mut Actions,
    ) {
        let Settlement { subscription, up_to, verdict, cumulative } = settlement;
        let Some(known) = self.subscriptions.get_mut(subscription) else {
            return;
        };
        known.ledger.settle(up_to, cumulative, holder, |up_to, cumulative| {
            actions.commands.push(Command::Settle { subscription, up_to, verdict, cumulative });
        });
        self.subscriptions.forget_if_over(subscription);
    }

    /// What an ACK or NACK asks for.
    ///
    /// *Errors.* [`Violation::UnknownAck`] unless it names a delivery of this session that waits
    /// for it.
    fn settlement(&mut self, frame: ClientFrame<'_>) -> Result<Settlement, Violation> {
        let verb = frame.verb().as_str();
        let is_too_early = frame.verb() == Verb::Nack && frame.version() == Version::V10;
        if is_too_early && !self.has(Switch::NackIn10) {
            let version = frame.version().as_str();
            return Err(Violation::VerbNotInVersion { verb, version });
        }
        let id =
            frame.require(if frame.version() >= Version::V12 { "id" } else { "message-id" })?;
        let subscription = match frame.version() {
            Version::V11 => frame.get("subscription"),
            Version::V10 | Version::V12 => None,
        };
        let verdict = verdict(frame, self.policy.stomp.nack_requeue);
        let unknown = || Violation::UnknownAck { verb, id: shown(id) };
        let delivery = DeliveryName::parse(id, &self.session_id).ok_or_else(unknown)?;
        if subscription.is_some_and(|id| !delivery.is_of(id)) {
            return Err(unknown());
        }
        let subscription = self.subscriptions.find_free(delivery).ok_or_else(unknown)?;
        let mode = self.subscriptions.get_mut(subscription).map(|it| it.mode);
        let cumulative = mode == Some(AckMode::Client);
        Ok(Settlement { subscription, up_to: delivery.tag, verdict, cumulative })
    }
}

fn verdict(frame: ClientFrame<'_>, requeues: bool) -> Verdict {
    match (frame.verb(), frame.flag("requeue").unwrap_or(requeues)) {
        (Verb::Ack, _) => Verdict::Accept,
        (_, false) => Verdict::Discard,
        (_, true) => Verdict::Requeue,
    }
}
