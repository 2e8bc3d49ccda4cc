//! What the broker reports: confirms, deliveries, refusals.
//!
//! *Spec.* STOMP 1.2 §MESSAGE, §RECEIPT, §ERROR. A refused command, a message that was not taken, a
//! subscription that the broker ended, and a broker that went away are answered by ERROR, and the
//! connection is closed: STOMP knows no lesser answer. [`Switch::OpenAfterError`] leaves it open
//! where only a subscription has ended, and a client that asked for soft errors is told of all but the
//! last by a MESSAGE.

use crate::broker::{
    BrokerError, BrokerErrorKind, Command, DeliveryTag, Event, Outcome, Publication,
    SubscriptionId, Token, Verdict,
};
use crate::session::{Actions, CloseCause, Once, Settled};
use crate::stomp::acks::AckMode;
use crate::stomp::compat::Switch;
use crate::stomp::receipts::Lost;
use crate::stomp::resume::SESSION;
use crate::text::Text;
use crate::violation::Report;

use super::leave::Failure;
use super::{Phase, StompSession};

impl StompSession {
    pub(super) fn on_event(&mut self, event: Event, actions: &mut Actions) {
        match event {
            Event::Delivery { subscription, tag, redelivered, publication } => {
                self.on_delivery(subscription, tag, redelivered, &publication, actions);
            }
            Event::Confirmed { token, outcome } => self.on_confirmed(token, outcome, actions),
            Event::Subscribed { token } => {
                self.procedures.answered(token);
                self.subscriptions.started(token);
                self.complete(token, actions);
            }
            Event::Unsubscribed { token } => {
                self.subscriptions.stopped(token);
                self.complete(token, actions);
            }
            Event::Failed { token, error } => self.on_failed(token, &error, actions),
            Event::Canceled { subscription, error } => {
                self.on_canceled(subscription, &error, actions);
            }
            Event::Resumed { found, .. } => self.on_resumed(found, actions),
            // What waited for it goes on at the broker.
            Event::Declared { token } => self.procedures.answered(token),
            Event::Gap { subscription } => {
                if let Some(subscription) = self.subscriptions.get_mut(subscription) {
                    subscription.has_gap = true;
                }
            }
            Event::Down { error } => self.fail_broker(error.kind.report(), &error.text, actions),
        }
    }

    fn on_delivery(
        &mut self,
        id: SubscriptionId,
        tag: DeliveryTag,
        redelivered: bool,
        publication: &Publication,
        actions: &mut Actions,
    ) {
        // A session that leaves lets go of its link, which returns what it has not settled.
        if !matches!(self.phase, Phase::Connected) {
            return;
        }
        let active = self.subscriptions.get_mut(id).filter(|it| it.is_active());
        let Some(subscription) = active else {
            actions.commands.push(settle_one(id, tag, Verdict::Requeue));
            return;
        };
        // What is for one user is for no pattern and no queue of another's.
        let sees_all = || self.policy.stomp.may_send_to_users(&self.user);
        if !subscription.may_see(publication, &self.user, sees_all) {
            actions.commands.push(settle_one(id, tag, Verdict::Skip));
            return;
        }
        let bytes = self.messages.encode(subscription, tag, redelivered, publication);
        let mut frame = self.output.frame(bytes, &publication.message.body);
        match subscription.mode {
            AckMode::Auto => {
                // Nothing that a session loses with its connection is to be lost without a word.
                let is_sure = self.resumable.is_some() && self.can_confirm;
                let once = if is_sure { Once::Received } else { Once::Written };
                frame.settles = Some(Settled { subscription: id, tag, once });
            }
            AckMode::Client | AckMode::ClientIndividual => {
                self.delivered += 1;
                subscription.ledger.record(tag, self.delivered);
            }
        }
        actions.frames.push(frame);
    }

    fn on_confirmed(&mut self, token: Token, outcome: Outcome, actions: &mut Actions) {
        let of_call = self.procedures.confirmed(token, outcome);
        let sentence = of_call.as_deref().unwrap_or_else(|| outcome.sentence());
        match outcome.report() {
            None => self.complete(token, actions),
            Some(report) => self.fail_command(token, report, sentence, actions),
        }
    }

    fn on_failed(&mut self, token: Token, error: &BrokerError, actions: &mut Actions) {
        let Ok(of_procedure) = self.procedures.refused(token, error) else {
            return;
        };
        let sentence = of_procedure.as_deref().unwrap_or(&error.text);
        self.fail_command(token, error.kind.report(), sentence, actions);
    }

    fn complete(&mut self, token: Token, actions: &mut Actions) {
        self.receipts.complete(token);
        self.release_receipts(actions);
    }

    fn on_canceled(&mut self, id: SubscriptionId, error: &BrokerError, actions: &mut Actions) {
        if id == SESSION {
            // Nothing more comes: whoever goes on with it has it all.
            self.resumable = None;
            let mut report = error.kind.report();
            if error.kind == BrokerErrorKind::ResourceLocked {
                report.message = RESUMED_ELSEWHERE;
            }
            return self.fail_broker(report, &error.text, actions);
        }
        let active = self.subscriptions.get_mut(id).filter(|it| it.is_active());
        let Some(subscription) = active else { return };
        // Without an `id` there is nothing else to tell it by.
        let name = Text::from(subscription.name());
        // The plugin goes with its broker, and its clients come back: none is left without a word.
        let is_lost = error.kind == BrokerErrorKind::Unavailable;
        let is_soft = self.has(Switch::OpenAfterError) && !is_lost;
        if is_soft || self.soft_errors {
            self.subscriptions.lost(id);
            self.forget_reply_queue(Some(&name));
        }
        let failure = Failure {
            report: Report { message: CANCELED, ..error.kind.report() },
            sentence: &error.text,
            receipt: None,
            subscription: Some(&name),
            cause: CloseCause::Broker,
        };
        if self.soft_errors {
            return self.notify(&failure, actions);
        }
        if is_soft {
            return self.report(&failure, actions);
        }
        self.fail(failure, actions);
    }

    fn fail_command(
        &mut self,
        token: Token,
        report: Report,
        sentence: &str,
        actions: &mut Actions,
    ) {
        // One that leaves is still owed the receipts of everything else.
        if self.soft_errors {
            return self.fail_softly(token, report, sentence, actions);
        }
        let receipt = self.receipts.named(token).cloned();
        let failure = Failure {
            report,
            sentence,
            receipt: receipt.as_deref(),
            subscription: None,
            cause: CloseCause::Broker,
        };
        self.fail(failure, actions);
    }

    /// Everything but what has failed is as before.
    fn fail_softly(&mut self, token: Token, report: Report, sentence: &str, actions: &mut Actions) {
        let Lost { own, of_commit } = self.receipts.fail(token);
        let subscription = self.subscriptions.refused(token);
        self.forget_reply_queue(subscription.as_deref());
        let mut notify = |receipt: Option<&Text>| {
            let failure = Failure {
                report,
                sentence,
                receipt: receipt.map(Text::as_str),
                subscription: subscription.as_deref(),
                cause: CloseCause::Broker,
            };
            self.notify(&failure, actions);
        };
        if own.is_some() || of_commit.is_none() {
            notify(own.as_ref());
        }
        // Who waits for the RECEIPT of COMMIT alone is told too.
        if of_commit.is_some() {
            notify(of_commit.as_ref());
        }
        self.release_receipts(actions);
    }

    /// The next request that wants replies gets another queue.
    fn forget_reply_queue(&mut self, subscription: Option<&str>) {
        if let Some(name) = subscription {
            self.reply_queues.remove(name);
        }
    }

    pub(super) fn fail_broker(&mut self, report: Report, sentence: &str, actions: &mut Actions) {
        let (receipt, subscription) = (None, None);
        let cause = CloseCause::Broker;
        self.fail(Failure { report, sentence, receipt, subscription, cause }, actions);
    }
}

/// The words of RabbitMQ's plugin.
const CANCELED: &str = "Server cancelled subscription";

/// There is one connection for a session at a time.
const RESUMED_ELSEWHERE: &str = "Session resumed elsewhere";

/// Ends a delivery that does not go to the client.
const fn settle_one(subscription: SubscriptionId, tag: DeliveryTag, verdict: Verdict) -> Command {
    Command::Settle { subscription, up_to: tag, verdict, cumulative: false }
}
