//! SUBSCRIBE and UNSUBSCRIBE.
//!
//! *Spec.* STOMP 1.2 §SUBSCRIBE, §UNSUBSCRIBE; `prefetch-count` and the headers of `queue.rs` are
//! RabbitMQ's, and so are that `id` may be missing in 1.1 and 1.2, and that an UNSUBSCRIBE from a
//! topic that says `durable` deletes the queue: one that was given a name only if it says that too. The RECEIPT waits for the broker.

use std::sync::Arc;

use crate::broker::{Address, Command};
use crate::session::{Actions, Shared};
use crate::stomp::acks::AckMode;
use crate::stomp::client_frame::ClientFrame;
use crate::stomp::compat::{Switch, UNBOUNDED_PREFETCH};
use crate::stomp::destination::TEMP_QUEUE;
use crate::stomp::gateways;
use crate::stomp::output::ERRORS;
use crate::stomp::procedure;
use crate::stomp::queue::{self, QUEUE_NAME};
use crate::stomp::resume;
use crate::stomp::shared::{self, SharedEncoder};
use crate::stomp::subscription::{ConsumerName, Outlasting};
use crate::stomp::user;
use crate::text::Text;
use crate::violation::Violation;

use super::StompSession;

impl StompSession {
    pub(super) fn on_subscribe(
        &mut self,
        frame: ClientFrame<'_>,
        actions: &mut Actions,
    ) -> Result<(), Violation> {
        let destination = frame.require("destination")?;
        if destination == ERRORS && self.soft_errors {
            return self.subscribe_to_errors(frame, actions);
        }
        if procedure::is_procedure(destination) {
            return self.offer(frame, destination, actions);
        }
        let users = user::of_subscribe(destination, &self.user, self.destinations.escapes())?;
        let is_users = users.is_some();
        let from = match users {
            Some(key) => Address::Topic(key),
            None => self.destinations.parse(destination)?,
        };
        if !is_users {
            user::check_subscribe(destination, &from)?;
        }
        let name = consumer_name(frame)?;
        let mode = ack_mode(frame)?;
        if let Address::Topic(topic) = &from
            && mode == AckMode::Auto
            && self.resumable.is_none()
            && !self.has(Switch::OwnQueues)
            && shared::is_shareable(frame, topic)
            && self.subscriptions.sharing(topic) < shared::MOST_ALIKE
        {
            return self.share(frame, name, topic.clone(), actions);
        }
        let compat = self.policy.stomp.compat;
        let mut queue = match self.declared.get(&from) {
            Some(known) => known.unwrap_or_default(),
            None => Box::new(queue::of_subscribe(frame, &from, compat)?),
        };
        queue.name = queue::name(frame, &from, &self.user, compat)?;
        let may_send = self.policy.stomp.may_send_to_users(&self.user);
        user::check_dead_letters(destination, &from, &queue, may_send)?;
        gateways::check_subscribe(destination, &from, &queue)?;
        gateways::check_dead_letters(destination, &queue)?;
        let arguments = queue::of_consumer(frame)?;
        if self.resumable.is_some() && mode == AckMode::Auto && !self.can_confirm {
            let expected = "client or client-individual, in a session with `resume` on plain TCP: \
                            what it has received is known by its ACK alone";
            return Err(frame.bad("ack", expected, frame.get("ack").unwrap_or("auto")));
        }
        if let Some(resumable) = &self.resumable
            && resume::lasts(frame, &from, &queue, &arguments)?
        {
            queue.lasting = Some(resumable.lasting(name.tag().as_str(), &from, &queue.binding));
            // Whatever it said, it is what a lasting one is.
            (queue.durable, queue.exclusive, queue.auto_delete) = (None, None, None);
        }
        let prefetch = self.prefetch(frame, mode)?;
        self.subscriptions.check_new(name)?;
        let receipt = self.receipt_of(frame)?;
        self.declared.note(&from, Some(&queue));
        let token = self.next_token();
        if let Some(receipt) = receipt {
            self.receipts.wait(token, receipt);
        }
        let subscription = self.subscriptions.add(name, mode, &self.session_id, token);
        if let Some(added) = self.subscriptions.get_mut(subscription) {
            added.outlasting = match (&from, &queue.name) {
                _ if queue.lasting.is_some() => Outlasting::Session,
                (Address::Topic(_), Some(name)) if frame.get(QUEUE_NAME).is_some() => {
                    Outlasting::Named(name.clone())
                }
                (Address::Topic(_), Some(_)) => Outlasting::Own,
                _ => Outlasting::No,
            };
            added.is_queue = !matches!(from, Address::Topic(_) | Address::Exchange { .. });
            added.is_users = is_users;
        }
        let settle = mode.settle_mode();
        let command =
            Command::Subscribe { token, subscription, from, queue, arguments, prefetch, settle };
        actions.commands.push(command);
        Ok(())
    }

    /// Has the errors after which the client goes on come by this name.
    fn subscribe_to_errors(
        &mut self,
        frame: ClientFrame<'_>,
        actions: &mut Actions,
    ) -> Result<(), Violation> {
        let name = consumer_name(frame)?;
        self.subscriptions.check_new(name)?;
        let receipt = self.receipt_of(frame)?;
        let token = self.next_token();
        let subscription = self.subscriptions.add(name, AckMode::Auto, &self.session_id, token);
        self.subscriptions.started(token);
        self.errors.push(subscription);
        self.answer(receipt, actions);
        Ok(())
    }

    /// Subscribes to what other sessions have subscribed to alike.
    fn share(
        &mut self,
        frame: ClientFrame<'_>,
        name: ConsumerName<'_>,
        topic: Text,
        actions: &mut Actions,
    ) -> Result<(), Violation> {
        self.subscriptions.check_new(name)?;
        let receipt = self.receipt_of(frame)?;
        let token = self.next_token();
        if let Some(receipt) = receipt {
            self.receipts.wait(token, receipt);
        }
        let subscription = self.subscriptions.add(name, AckMode::Auto, &self.session_id, token);
        let Some(added) = self.subscriptions.get_mut(subscription) else {
            return Ok(());
        };
        added.shares = Some(topic.clone());
        self.shares = true;
        let (header, tag) = (added.header.clone(), Text::from(added.consumer_tag()));
        let encoder = Arc::new(SharedEncoder::new(&self.output, header, tag));
        actions.shared.push(Shared::Join { token, subscription, topic, encoder });
        Ok(())
    }

    pub(super) fn on_unsubscribe(
        &mut self,
        frame: ClientFrame<'_>,
        actions: &mut Actions,
    ) -> Result<(), Violation> {
        let name = consumer_name(frame)?;
        let receipt = self.receipt_of(frame)?;
        let token = self.next_token();
        let subscription = self.subscriptions.retire(name, token)?;
        if let Some(at) = self.errors.iter().position(|it| *it == subscription) {
            self.errors.remove(at);
            self.subscriptions.stopped(token);
            self.answer(receipt, actions);
            return Ok(());
        }
        let known = self.subscriptions.get_mut(subscription);
        let is_shared = known.as_ref().is_some_and(|it| it.shares.is_some());
        let ends = known.as_ref().is_some_and(|it| {
            matches!(it.outlasting, Outlasting::Session | Outlasting::Procedure(_))
        });
        let is_meant = match (known.map(|it| &it.outlasting), frame.get(QUEUE_NAME)) {
            (Some(Outlasting::Own), None) => true,
            (Some(Outlasting::Named(name)), Some(said)) => *name == *said,
            _ => false,
        };
        let delete = ends || is_meant && queue::is_durable(frame);
        if let Some(receipt) = receipt {
            self.receipts.wait(token, receipt);
        }
        if is_shared {
            actions.shared.push(Shared::Leave { token, subscription });
            return Ok(());
        }
        actions.commands.push(Command::Unsubscribe { token, subscription, delete });
        Ok(())
    }

    pub(super) fn prefetch(&self, frame: ClientFrame<'_>, mode: AckMode) -> Result<u16, Violation> {
        let settings = &self.policy.stomp;
        let (usual, most) = if mode != AckMode::Auto && self.has(Switch::Prefetch) {
            (UNBOUNDED_PREFETCH, UNBOUNDED_PREFETCH)
        } else {
            (settings.prefetch, settings.max_prefetch)
        };
        let prefetch = match frame.get("prefetch-count") {
            None => usual,
            Some(value) => {
                match frame.number::<u64>("prefetch-count", "a number of messages", value)? {
                    0 => most,
                    asked => u16::try_from(asked).unwrap_or(u16::MAX).min(most),
                }
            }
        };
        Ok(prefetch.max(1))
    }
}

/// `id`; a client may go without, and is then known by its destination.
pub(super) fn consumer_name(frame: ClientFrame<'_>) -> Result<ConsumerName<'_>, Violation> {
    if let Some(id) = frame.get("id") {
        if id.starts_with(TEMP_QUEUE) {
            return Err(frame.bad("id", "a name that does not begin with /temp-queue/", id));
        }
        return frame.name("id", id).map(ConsumerName::Id);
    }
    let header = "id or destination";
    let missing = Violation::MissingHeader { verb: frame.verb().as_str(), header };
    let destination = frame.get("destination").ok_or(missing)?;
    frame.returnable("destination", destination).map(ConsumerName::Destination)
}

pub(super) fn ack_mode(frame: ClientFrame<'_>) -> Result<AckMode, Violation> {
    let Some(value) = frame.get("ack") else {
        return Ok(AckMode::Auto);
    };
    AckMode::parse(value)
        .ok_or_else(|| frame.bad("ack", "auto, client or client-individual", value))
}
