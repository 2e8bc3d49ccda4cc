//! [`EmbeddedLink`]: one owner's view of a virtual host.
//!
//! The ledger of outstanding deliveries is here and needs no lock: a delivery gets its tag when the
//! owner takes it from the mailbox. What still lies in the mailbox is nobody's yet, and goes back
//! unmarked when its subscription ends.

use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::ops::Bound;
use std::sync::Arc;
use std::task::{Context, Poll};

use protocols::broker::{
    Address, BrokerError, Command, DeliveryTag, Event, Message, Outcome, QueueOptions,
    SubscriptionId, Token, Value, Verdict,
};
use protocols::text::Text;
use smallvec::SmallVec;

use super::arguments::integer;
use super::consumers::ConsumerId;
use super::effects::{Effects, Reason};
use super::notice::{Consumer, Entry, Notice};
use super::owned::Owned;
use super::queue::{Binding, Queue};
use super::resume::{Asked, Resumed};
use super::vhost::{Routed, Vhost};
use super::{LinkId, refusals};
use crate::Link;
use crate::mailbox::{Mailbox, Taken};

pub(super) struct EmbeddedLink {
    id: LinkId,
    user: Text,
    vhost: Arc<Vhost>,
    /// What queues hand over, from any thread.
    mailbox: Arc<Mailbox<Notice>>,
    /// The batch taken from the mailbox last.
    batch: VecDeque<Notice>,
    /// Answers to commands, at most one for each since the owner last took events.
    answers: VecDeque<Event>,
    /// Running subscriptions, and ended ones that have deliveries outstanding.
    subscriptions: BTreeMap<SubscriptionId, Subscription>,
    /// Exclusive queues, which go with this link.
    owned: Owned,
    /// The subscription that stands for the resumable session it has, until that is over or
    /// another link goes on with the session.
    session: Option<SubscriptionId>,
    /// The subscription that was given something last when the mailbox had room again. Any at first.
    resumed_last: SubscriptionId,
    next_tag: u64,
    /// The owner was told that there is nothing to report, and was not woken since by an answer.
    is_parked: bool,
    effects: Effects,
}

struct Subscription {
    queue: Arc<Queue>,
    consumer: Consumer,
    /// Its name in the queue; `None` once it was unsubscribed.
    running: Option<ConsumerId>,
    /// In order of their tags.
    outstanding: VecDeque<Outstanding>,
}

struct Outstanding {
    tag: DeliveryTag,
    entry: Entry,
}

/// What a dropped link gives back to one queue, at once: its subscriptions to the same queue are
/// not served with each other's deliveries.
struct Leaving {
    queue: Arc<Queue>,
    consumers: Vec<ConsumerId>,
    returned: Vec<Entry>,
}

impl EmbeddedLink {
    pub(super) fn new(id: LinkId, user: Text, vhost: Arc<Vhost>, buffer: usize) -> Self {
        Self {
            id,
            user,
            vhost,
            mailbox: Arc::new(Mailbox::new(buffer)),
            batch: VecDeque::new(),
            answers: VecDeque::new(),
            subscriptions: BTreeMap::new(),
            owned: Owned::by(id),
            session: None,
            resumed_last: SubscriptionId(0),
            next_tag: 1,
            is_parked: false,
            effects: Effects::default(),
        }
    }

    fn publish(
        &mut self,
        to: Address,
        message: Message,
        queue: Option<&QueueOptions>,
    ) -> Result<Routed, BrokerError> {
        if let Some(claimed) = &message.properties.user_id
            && *claimed != self.user
        {
            return Err(refusals::foreign_user_id(claimed, &self.user));
        }
        self.vhost.publish(&mut self.owned, to, message, queue, &mut self.effects)
    }

    fn subscribe(
        &mut self,
        id: SubscriptionId,
        from: Address,
        options: &QueueOptions,
        (arguments, prefetch): (&[(Text, Value)], u16),
    ) -> Result<(), BrokerError> {
        let priority = self.priority(arguments, named(&from, options))?;
        let consumer = self.new_consumer(id, prefetch, priority)?;
        let (queue, running) = if let Some(lasting) = &options.lasting {
            let session = self.session.and_then(|id| self.subscriptions.get(&id));
            let session = &session.ok_or_else(refusals::no_session)?.queue;
            let (options, own) = ((options, lasting), consumer.clone());
            self.vhost.subscribe_lasting(self.id, session, from, options, own, &mut self.effects)?
        } else {
            let (owned, own) = (&mut self.owned, consumer.clone());
            self.vhost.subscribe(owned, from, options, own, &mut self.effects)?
        };
        self.subscriptions.insert(id, Subscription::new(queue, consumer, running));
        Ok(())
    }

    /// Whether the session was there.
    fn resume_session(&mut self, id: SubscriptionId, asked: Asked) -> Result<bool, BrokerError> {
        if self.session.is_some() {
            return Err(refusals::session_held());
        }
        let consumer = self.new_consumer(id, 1, 0)?;
        let own = consumer.clone();
        let Resumed { queue, consumer: running, found } =
            self.vhost.resume_session(self.id, asked, own, &mut self.effects)?;
        self.subscriptions.insert(id, Subscription::new(queue, consumer, running));
        self.session = Some(id);
        Ok(found)
    }

    fn open_inbox(&mut self, id: SubscriptionId, prefetch: u16) -> Result<(), BrokerError> {
        let consumer = self.new_consumer(id, prefetch, 0)?;
        let (queue, running) =
            self.vhost.open_inbox(self.id, consumer.clone(), &mut self.effects)?;
        self.subscriptions.insert(id, Subscription::new(queue, consumer, running));
        Ok(())
    }

    /// *Errors.* The subscription exists.
    fn new_consumer(
        &self,
        subscription: SubscriptionId,
        prefetch: u16,
        priority: i64,
    ) -> Result<Consumer, BrokerError> {
        if self.subscriptions.contains_key(&subscription) {
            return Err(refusals::subscription_exists(subscription.0));
        }
        let mailbox = Arc::clone(&self.mailbox);
        Ok(Consumer { subscription, mailbox, prefetch: usize::from(prefetch.max(1)), priority })
    }

    /// The queue of an inbox.
    ///
    /// *Errors.* It is not there, or no more.
    fn inbox(&self, id: SubscriptionId) -> Result<&Arc<Queue>, BrokerError> {
        let running = self.subscriptions.get(&id).filter(|it| it.running.is_some());
        running.map(|it| &it.queue).ok_or_else(|| refusals::no_inbox(id.0))
    }

    /// What the arguments of a consumer say of its priority.
    ///
    /// *Errors.* It is no number, or there are others: those that streams have, or none has.
    fn priority(&self, arguments: &[(Text, Value)], queue: &str) -> Result<i64, BrokerError> {
        let mut priority = 0;
        for (name, value) in arguments {
            let vhost = &self.vhost.name;
            priority = match &**name {
                "x-priority" => integer(value)
                    .map_err(|why| refusals::invalid_argument(name, queue, vhost, &why))?,
                name if name.starts_with("x-stream-") => {
                    return Err(refusals::argument_of_other_type(name, queue, vhost));
                }
                _ => return Err(refusals::not_offered(format_args!("consumer argument '{name}'"))),
            };
        }
        Ok(priority)
    }

    fn unsubscribe(&mut self, id: SubscriptionId, delete: bool) {
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        let Some(running) = subscription.running.take() else {
            return;
        };
        let mut returned = take_of(&mut self.batch, id).collect();
        let Subscription { queue, consumer, .. } = subscription;
        queue.detach(running, consumer, &mut returned, &mut self.effects);
        if delete && queue.role.is_resumable() {
            self.vhost.end(self.id, queue, &mut self.effects);
        } else if delete {
            self.vhost.delete_for_all(queue, &mut self.effects);
            self.owned.forget(queue);
        } else if queue.traits.auto_delete {
            self.vhost.delete_if_unused(queue);
        }
        if self.session == Some(id) {
            self.session = None;
        }
        if subscription.outstanding.is_empty() {
            self.subscriptions.remove(&id);
        }
    }

    fn settle(
        &mut self,
        id: SubscriptionId,
        up_to: DeliveryTag,
        verdict: Verdict,
        cumulative: bool,
    ) {
        let Some(subscription) = self.subscriptions.get_mut(&id) else {
            return;
        };
        let mut settled = subscription.take(up_to, cumulative);
        let count = settled.len();
        if count == 0 {
            return;
        }
        let Subscription { queue, running, .. } = subscription;
        if queue.role.is_lasting() && verdict != Verdict::Requeue {
            let places = settled.iter().map(|settled| settled.entry.place);
            queue.close_gaps(places, verdict != Verdict::Skip);
        }
        let mut returned = Vec::new();
        match verdict {
            Verdict::Accept | Verdict::Skip => {}
            Verdict::Requeue => returned.extend(settled.drain(..).map(Outstanding::seen)),
            Verdict::Discard => {
                for Outstanding { entry, .. } in settled.drain(..) {
                    self.effects.drop(queue, Reason::Rejected, entry.held);
                }
            }
        }
        queue.settle(*running, count, &mut returned, &mut self.effects);
        if subscription.running.is_none() && subscription.outstanding.is_empty() {
            self.subscriptions.remove(&id);
        }
    }

    /// Takes a delivery into the ledger, or notes that a subscription is over.
    fn report(&mut self, notice: Notice) -> Option<Event> {
        match notice {
            Notice::Delivery { subscription: id, entry } => {
                let subscription = self.subscriptions.get_mut(&id)?;
                let tag = DeliveryTag(self.next_tag);
                self.next_tag += 1;
                let redelivered = entry.redelivered;
                let publication = Arc::clone(entry.held.publication());
                subscription.outstanding.push_back(Outstanding { tag, entry });
                Some(Event::Delivery { subscription: id, tag, redelivered, publication })
            }
            Notice::Gap { subscription } => self
                .subscriptions
                .contains_key(&subscription)
                .then_some(Event::Gap { subscription }),
            Notice::Canceled { subscription: id, error } => {
                if self.session == Some(id) {
                    self.session = None;
                    self.leave_lasting();
                }
                // Its queue is no more: there is nothing that what is outstanding could go back to.
                let subscription = self.subscriptions.remove(&id)?;
                subscription.running?;
                Some(Event::Canceled { subscription: id, error })
            }
        }
    }

    /// Another link has the session: its lasting subscriptions end, and what they have goes back at once.
    fn leave_lasting(&mut self) {
        let lasting = self.subscriptions.iter().filter(|(_, it)| it.queue.role.is_lasting());
        for id in lasting.map(|(id, _)| *id).collect::<Vec<_>>() {
            let Some(lost) = self.subscriptions.remove(&id) else {
                continue;
            };
            let Subscription { queue, consumer, running, outstanding } = lost;
            let mut returned: Vec<_> = outstanding.into_iter().map(Outstanding::seen).collect();
            returned.extend(take_of(&mut self.batch, id));
            match running {
                Some(running) => {
                    queue.detach(running, &consumer, &mut returned, &mut self.effects);
                }
                None => queue.settle(None, 0, &mut returned, &mut self.effects),
            }
        }
        self.vhost.conclude(&mut self.effects);
    }

    /// The mailbox has room again: queues may go on, in turns. A deep queue takes all the room there
    /// is, so the next ones come first the next time.
    fn resume(&mut self) {
        let last = self.resumed_last;
        let after = self.subscriptions.range((Bound::Excluded(last), Bound::Unbounded));
        for (id, subscription) in after.chain(self.subscriptions.range(..=last)) {
            if let Some(running) = subscription.running
                && subscription.queue.resume(running, &mut self.effects)
            {
                self.resumed_last = *id;
            }
        }
        self.vhost.conclude(&mut self.effects);
    }
}

impl Link for EmbeddedLink {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.vhost.memory().poll_room(self.id, cx)
    }

    fn submit(&mut self, command: Command) {
        let answer = match command {
            Command::Publish { token, to, message, queue, confirm, mandatory } => {
                match self.publish(to, message, queue.as_deref()) {
                    Err(error) => Some(Event::Failed { token, error }),
                    Ok(Routed::Nowhere) if mandatory => Some(confirmed(token, Outcome::Unroutable)),
                    Ok(Routed::Rejected) => confirm.then(|| confirmed(token, Outcome::Rejected)),
                    Ok(Routed::Nowhere | Routed::Taken) => {
                        confirm.then(|| confirmed(token, Outcome::Accepted))
                    }
                }
            }
            Command::Subscribe {
                token,
                subscription,
                from,
                queue,
                arguments,
                prefetch,
                settle: _,
            } => {
                let outcome = self.subscribe(subscription, from, &queue, (&arguments, prefetch));
                Some(answered(outcome, token, Event::Subscribed { token }))
            }
            Command::OpenInbox { token, subscription, prefetch } => {
                let outcome = self.open_inbox(subscription, prefetch);
                Some(answered(outcome, token, Event::Subscribed { token }))
            }
            Command::DeclareExchange { token, name, kind } => {
                let outcome = self.vhost.declare_exchange(&name, kind);
                Some(answered(outcome, token, Event::Declared { token }))
            }
            Command::Resume { token, subscription, known, fresh, lifetime } => {
                let asked = Asked { known, fresh, lifetime };
                Some(match self.resume_session(subscription, asked) {
                    Ok(found) => Event::Resumed { token, found },
                    Err(error) => Event::Failed { token, error },
                })
            }
            Command::Bind { token, inbox, exchange, topic } => {
                let binding = Binding::topic(exchange, topic);
                let outcome =
                    self.inbox(inbox).and_then(|queue| self.vhost.bind(inbox, queue, binding));
                Some(answered(outcome, token, Event::Subscribed { token }))
            }
            Command::Unbind { token, inbox, exchange, topic } => {
                let binding = Binding::topic(exchange, topic);
                let outcome =
                    self.inbox(inbox).and_then(|queue| self.vhost.unbind(inbox, queue, &binding));
                Some(answered(outcome, token, Event::Unsubscribed { token }))
            }
            Command::Unsubscribe { token, subscription, delete } => {
                self.unsubscribe(subscription, delete);
                Some(Event::Unsubscribed { token })
            }
            Command::Settle { subscription, up_to, verdict, cumulative } => {
                self.settle(subscription, up_to, verdict, cumulative);
                None
            }
        };
        if let Some(answer) = answer {
            self.answers.push_back(answer);
            if mem::take(&mut self.is_parked) {
                self.effects.wake(self.mailbox.take_waker());
            }
        }
        self.vhost.conclude(&mut self.effects);
    }

    fn attend(&mut self, cx: &mut Context<'_>) {
        let Some(session) = self.session else { return };
        let is_loss = |notice: &Notice| matches!(notice, Notice::Canceled { subscription, .. } if *subscription == session);
        if self.batch.iter().any(is_loss) || self.mailbox.poll_any(cx, is_loss).is_ready() {
            self.session = None;
            self.leave_lasting();
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        loop {
            if let Some(answer) = self.answers.pop_front() {
                return Poll::Ready(answer);
            }
            while let Some(notice) = self.batch.pop_front() {
                if let Some(event) = self.report(notice) {
                    return Poll::Ready(event);
                }
            }
            match self.mailbox.poll_take(cx, &mut self.batch) {
                Poll::Ready(Taken { has_room_again: true }) => self.resume(),
                Poll::Ready(_) => {}
                Poll::Pending => {
                    self.is_parked = true;
                    return Poll::Pending;
                }
            }
        }
    }
}

impl Drop for EmbeddedLink {
    fn drop(&mut self) {
        self.vhost.memory().forget(self.id);
        for queue in self.owned.take() {
            // Only this link could consume from it: there is nobody to tell.
            self.vhost.delete(&queue);
        }
        let mut leaving: BTreeMap<u64, Leaving> = BTreeMap::new();
        let unseen = mem::take(&mut self.batch).into_iter().chain(self.mailbox.close());
        for notice in unseen {
            let Some(subscription) = self.subscriptions.get(&notice.subscription()) else {
                continue;
            };
            let returned = &mut Leaving::of(&mut leaving, &subscription.queue).returned;
            returned.extend(notice.into_entry().map(Entry::compacted));
        }
        for Subscription { queue, running, outstanding, .. } in
            mem::take(&mut self.subscriptions).into_values()
        {
            let leaving = Leaving::of(&mut leaving, &queue);
            leaving.consumers.extend(running);
            leaving.returned.extend(outstanding.into_iter().map(Outstanding::seen));
        }
        for Leaving { queue, consumers, mut returned } in leaving.into_values() {
            queue.abandon(&consumers, &mut returned, &mut self.effects);
            if queue.traits.auto_delete {
                self.vhost.delete_if_unused(&queue);
            }
        }
        self.vhost.conclude(&mut self.effects);
    }
}

impl Leaving {
    fn of<'a>(all: &'a mut BTreeMap<u64, Self>, queue: &Arc<Queue>) -> &'a mut Self {
        all.entry(queue.id).or_insert_with(|| Self {
            queue: Arc::clone(queue),
            consumers: Vec::new(),
            returned: Vec::new(),
        })
    }
}

impl Subscription {
    fn new(queue: Arc<Queue>, consumer: Consumer, running: ConsumerId) -> Self {
        Self { queue, consumer, running: Some(running), outstanding: VecDeque::new() }
    }

    /// Takes one delivery, or all up to one, out of the ledger.
    fn take(&mut self, up_to: DeliveryTag, cumulative: bool) -> SmallVec<[Outstanding; 1]> {
        if cumulative {
            let end = self.outstanding.partition_point(|one| one.tag <= up_to);
            return self.outstanding.drain(..end).collect();
        }
        match self.outstanding.binary_search_by_key(&up_to, |one| one.tag) {
            Ok(at) => self.outstanding.remove(at).into_iter().collect(),
            Err(_) => SmallVec::new(),
        }
    }
}

impl Outstanding {
    /// The entry, to go back to its queue as one that was seen.
    fn seen(self) -> Entry {
        Entry { redelivered: true, ..self.entry.compacted() }
    }
}

/// Takes the entries of one subscription out.
fn take_of(
    batch: &mut VecDeque<Notice>,
    id: SubscriptionId,
) -> impl Iterator<Item = Entry> + use<> {
    let all = mem::take(batch).into_iter();
    let (own, others): (VecDeque<_>, VecDeque<_>) = all.partition(|it| it.subscription() == id);
    *batch = others;
    own.into_iter().filter_map(Notice::into_entry)
}

/// What the client calls the queue, if it does.
fn named<'a>(from: &'a Address, options: &'a QueueOptions) -> &'a str {
    match from {
        Address::Queue(name) | Address::ExistingQueue(name) | Address::Private(name) => name,
        Address::Topic(_) | Address::Exchange { .. } => options.name.as_deref().unwrap_or_default(),
    }
}

fn answered(outcome: Result<(), BrokerError>, token: Token, answer: Event) -> Event {
    match outcome {
        Ok(()) => answer,
        Err(error) => Event::Failed { token, error },
    }
}

fn confirmed(token: Token, outcome: Outcome) -> Event {
    Event::Confirmed { token, outcome }
}
