//! SEND.
//!
//! `reply-to:/temp-queue/<name>` is RabbitMQ's: the reply comes back without a SUBSCRIBE. SEND to a
//! `/rpc/` is a call, see [`procedure`].
//!
//! *Spec.* STOMP 1.2 §SEND, §RECEIPT. With a `receipt` the broker is asked to confirm, and the
//! RECEIPT says that it has taken the message; without one nothing is reported, and nothing kept, but
//! for `mandatory:true`: then a message that reaches no queue is an ERROR.

use crate::broker::{Address, Command, Message, SettleMode};
use crate::session::Actions;
use crate::stomp::acks::{AckMode, Holder};
use crate::stomp::client_frame::ClientFrame;
use crate::stomp::subscription::ConsumerName;
use crate::stomp::transaction::{Held, Send};
use crate::stomp::{destination, gateways, procedure, properties, queue, user};
use crate::text::Text;
use crate::violation::Violation;

use super::StompSession;

/// Units up to this size may be kept alive by any slice of them; larger ones only by a message that
/// is at least half of them.
const FREELY_PINNED: usize = 4 << 10;

/// What reports the outcome of a publish.
pub(super) struct Reported {
    /// A RECEIPT of its own.
    pub(super) receipt: Option<Text>,
    /// The RECEIPT of the COMMIT of this transaction, which it is part of.
    pub(super) commit: Option<Holder>,
}

impl StompSession {
    pub(super) fn on_send(
        &mut self,
        frame: ClientFrame<'_>,
        actions: &mut Actions,
    ) -> Result<(), Violation> {
        let destination = frame.require("destination")?;
        let to = match user::of_send(destination, self.destinations.escapes())? {
            Some(key) => Address::Topic(key),
            None => self.destinations.parse(destination)?,
        };
        let is_allowed = self.policy.stomp.may_send_to_users(&self.user);
        user::check_send(destination, &to, is_allowed)?;
        gateways::check_send(destination, &to)?;
        let mut message =
            Message { body: frame.body().clone(), properties: properties::read(&frame)? };
        let queue = match self.declared.get(&to) {
            Some(known) => known,
            None => queue::of_send(frame, &to, self.policy.stomp.compat)?,
        };
        if let Some(queue) = &queue {
            user::check_dead_letters(destination, &to, queue, is_allowed)?;
            gateways::check_dead_letters(destination, queue)?;
        }
        let transaction = frame.get("transaction");
        let receipt = match transaction {
            Some(id) => {
                self.transactions.get(id)?;
                frame.receipt()?
            }
            None => self.receipt_of(frame)?,
        };
        if let Some(reply_to) = &mut message.properties.reply_to
            && destination::temporary(reply_to)?.is_some()
        {
            *reply_to = self.reply_queue(frame, reply_to, actions)?;
        }
        let calls = procedure::key_of(destination, &to);
        let mandatory = calls.is_some() || frame.flag("mandatory").unwrap_or(false);
        self.declared.note(&to, queue.as_deref());
        if let Some(id) = transaction {
            let send = Send { to, message, queue, mandatory, calls };
            self.transactions.hold(id, Held::Publish { send, receipt })?;
            return Ok(());
        }
        let message = if self.pins_its_unit(&message) { message.detached() } else { message };
        let reported = Reported { receipt, commit: None };
        self.publish(Send { to, message, queue, mandatory, calls }, reported, actions);
        Ok(())
    }

    /// The name of the queue of its own that the client calls `reply_to`. The first time, a
    /// subscription to it is begun, which is called that too and which the client cannot end.
    ///
    /// *Errors.* A name that cannot be sent back, or no room for another subscription.
    fn reply_queue(
        &mut self,
        frame: ClientFrame<'_>,
        reply_to: &str,
        actions: &mut Actions,
    ) -> Result<Text, Violation> {
        if let Some(queue) = self.reply_queues.get(reply_to) {
            return Ok(queue.clone());
        }
        let value = frame.get("reply-to").unwrap_or_default();
        let name = ConsumerName::Id(frame.name("reply-to", value)?);
        self.subscriptions.check_new(name)?;
        let number = self.reply_queues.len() + 1;
        let prefix = &self.policy.stomp.queue_prefix;
        let queue = Text::from(format!("{prefix}{}-{number}", self.session_id));
        self.reply_queues.insert(Text::from(reply_to), queue.clone());
        let token = self.next_token();
        let subscription = self.subscriptions.add(name, AckMode::Auto, &self.session_id, token);
        if let Some(added) = self.subscriptions.get_mut(subscription) {
            added.is_queue = true;
        }
        actions.commands.push(Command::Subscribe {
            token,
            subscription,
            from: Address::Private(queue.clone()),
            queue: Box::default(),
            arguments: Vec::new(),
            prefetch: self.policy.stomp.prefetch.max(1),
            settle: SettleMode::WhenWritten,
        });
        Ok(queue)
    }

    /// Whether a message is so small a part of its unit that keeping it would keep far more memory
    /// than anyone accounts for.
    fn pins_its_unit(&self, message: &Message) -> bool {
        self.unit_size > FREELY_PINNED && self.unit_size / 2 > message.size()
    }

    /// Hands a message to the broker. *Order.* There is room for its receipt.
    pub(super) fn publish(&mut self, send: Send, reported: Reported, actions: &mut Actions) {
        let Send { to, message, queue, mandatory, calls } = send;
        if calls.is_some() {
            self.declare_procedures(actions);
        }
        let token = self.next_token();
        let Reported { receipt, commit } = reported;
        let confirm = calls.is_some() || receipt.is_some() || commit.is_some();
        if let Some(key) = calls {
            self.procedures.call(token, key);
        }
        match (receipt, commit) {
            (receipt, Some(commit)) => self.receipts.wait_as_part(token, receipt, commit),
            (Some(receipt), None) => self.receipts.wait(token, receipt),
            (None, None) => {}
        }
        actions.commands.push(Command::Publish { token, to, message, queue, confirm, mandatory });
    }
}
