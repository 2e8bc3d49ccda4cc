//! SUBSCRIBE to a procedure: an offer to answer its calls; and the exchange that calls go by.
//!
//! *Spec.* [`procedure`]. The RECEIPT says that the procedure is registered, and
//! that of UNSUBSCRIBE that it is not any more. Each call is a MESSAGE, acknowledged as any other.

use crate::broker::{Command, ExchangeKind, QueueOptions, procedure as at_broker};
use crate::session::Actions;
use crate::stomp::client_frame::ClientFrame;
use crate::stomp::procedure;
use crate::stomp::subscription::Outlasting;
use crate::stomp::user;
use crate::text::Text;
use crate::violation::{Violation, shown};

use super::StompSession;
use super::subscribe::{ack_mode, consumer_name};

impl StompSession {
    /// Offers the procedure that the destination names. *Order.* It names one, or begins so.
    pub(super) fn offer(
        &mut self,
        frame: ClientFrame<'_>,
        destination: &str,
        actions: &mut Actions,
    ) -> Result<(), Violation> {
        let from = self.destinations.parse(destination)?;
        user::check_subscribe(destination, &from)?;
        let key = procedure::key_of(destination, &from).unwrap_or_default();
        procedure::check_offer(frame, &key)?;
        let name = consumer_name(frame)?;
        let mode = ack_mode(frame)?;
        let prefetch = self.prefetch(frame, mode)?;
        self.subscriptions.check_new(name)?;
        if self.subscriptions.offers(&key) {
            return Err(Violation::ProcedureInUse { got: shown(destination) });
        }
        let receipt = self.receipt_of(frame)?;
        self.declare_procedures(actions);
        let token = self.next_token();
        if let Some(receipt) = receipt {
            self.receipts.wait(token, receipt);
        }
        let subscription = self.subscriptions.add(name, mode, &self.session_id, token);
        if let Some(added) = self.subscriptions.get_mut(subscription) {
            added.outlasting = Outlasting::Procedure(key.detached());
        }
        let queue = Box::new(queue_of(&key));
        self.procedures.offer(token, key);
        let (arguments, settle) = (Vec::new(), mode.settle_mode());
        let command =
            Command::Subscribe { token, subscription, from, queue, arguments, prefetch, settle };
        actions.commands.push(command);
        Ok(())
    }

    /// Has the exchange be there that calls go by, before the first is asked for.
    pub(super) fn declare_procedures(&mut self, actions: &mut Actions) {
        if self.procedures.is_declared() {
            return;
        }
        let token = self.next_token();
        self.procedures.declare(token);
        let name = Text::from_static(at_broker::EXCHANGE);
        let command = Command::DeclareExchange { token, name, kind: ExchangeKind::Direct };
        actions.commands.push(command);
    }
}

/// Exclusive: so the broker lets nobody else offer the procedure. It is deleted with the subscription, and
/// not by itself: its name is free when that is answered.
fn queue_of(key: &str) -> QueueOptions {
    QueueOptions {
        name: Some(at_broker::queue(key)),
        durable: Some(false),
        exclusive: Some(true),
        auto_delete: Some(false),
        ..QueueOptions::default()
    }
}
