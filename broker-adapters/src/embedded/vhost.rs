//! [`Vhost`]: one virtual host, and everything links do in it.
//!
//! *Locks*, in the order they may be taken: the topology of one virtual host, the state of one
//! queue, a mailbox, the timers or the memory's waiting list. None is held while a task is woken or a message
//! dropped, for both may run code of others: what an operation leaves to be done goes into
//! [`Effects`], which [`Vhost::conclude`] carries out. Publishing reads the topology, so publishers of one
//! virtual host meet only where they meet in a queue; queues come and go under its write lock.

use std::fmt;
use std::sync::{Arc, RwLock};

use protocols::broker::{
    Address, BrokerError, Message, Publication, QueueOptions, SubscriptionId, Value,
};
use protocols::text::Text;

use super::arguments::Arguments;
use super::consumers::ConsumerId;
use super::effects::Effects;
use super::exchange::{Exchange, TOPIC};
use super::memory::Memory;
use super::notice::{Consumer, Notice};
use super::outgoing::Outgoing;
use super::owned::Owned;
use super::queue::{Binding, Queue, Traits};
use super::ready::Ready;
use super::role::Role;
use super::shared::Shared;
use super::timers::Timers;
use super::topology::Topology;
use super::{LinkId, refusals};
use crate::expiration;
use crate::lock::{read, write};

/// A virtual host. Messages never pass from one to another.
#[derive(Debug)]
pub(super) struct Vhost {
    pub(super) name: Text,
    pub(super) shared: Arc<Shared>,
    pub(super) topology: RwLock<Topology>,
    pub(super) timers: Arc<Timers>,
}

/// Where a message went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Routed {
    /// To no queue.
    Nowhere,
    /// To every queue it was routed to.
    Taken,
    /// At least one queue was full and refused it.
    Rejected,
}

impl Vhost {
    /// With the predeclared exchanges and these.
    pub(super) fn new(
        name: Text,
        shared: Arc<Shared>,
        exchanges: impl IntoIterator<Item = (Text, Exchange)>,
    ) -> Self {
        let topology = RwLock::new(Topology::new(exchanges));
        Self { name, shared, topology, timers: Arc::default() }
    }

    pub(super) fn memory(&self) -> &Memory {
        &self.shared.memory
    }

    /// Routes a message to queues and on to whoever waits there.
    ///
    /// *Cost.* Nothing is copied unless it has to wait in a queue.
    pub(super) fn publish(
        &self,
        owned: &mut Owned,
        to: Address,
        message: Message,
        queue: Option<&QueueOptions>,
        effects: &mut Effects,
    ) -> Result<Routed, BrokerError> {
        let default = QueueOptions::default();
        let queue = queue.unwrap_or(&default);
        let (exchange, routing_key, declares) = match to {
            Address::Topic(key) => (Text::from_static(TOPIC), key, None),
            Address::Queue(name) => (Text::EMPTY, name, Some(queue)),
            Address::ExistingQueue(name) | Address::Private(name) => (Text::EMPTY, name, None),
            Address::Exchange { name, .. } if name.is_empty() => {
                return Err(refusals::default_exchange());
            }
            Address::Exchange { name, key } => (name, key, None),
        };
        check_length(&exchange)?;
        check_length(&routing_key)?;
        if let Some(expiration) = message.properties.expiration.as_deref() {
            expiration::parse(expiration)?;
        }
        let publication = Arc::new(Publication { exchange, routing_key, message });
        if publication.exchange.is_empty() {
            return self.publish_to_queue(owned, publication, declares, effects);
        }
        self.publish_to_exchange(publication, effects)
    }

    /// A consumer on what `from` means. Returns its queue and its name there.
    pub(super) fn subscribe(
        &self,
        owned: &mut Owned,
        from: Address,
        options: &QueueOptions,
        consumer: Consumer,
        effects: &mut Effects,
    ) -> Result<(Arc<Queue>, ConsumerId), BrokerError> {
        self.check_size(options)?;
        let (exchange, key) = match from {
            Address::Queue(name) => {
                return self.subscribe_to_queue(owned, &name, Some(options), consumer, effects);
            }
            Address::ExistingQueue(name) => {
                return self.subscribe_to_queue(owned, &name, None, consumer, effects);
            }
            Address::Topic(pattern) => (Text::from_static(TOPIC), pattern),
            Address::Exchange { name, key } => (name, key),
            Address::Private(name) => {
                check_length(&name)?;
                let mut topology = write(&self.topology);
                let purpose = format_args!("for replies");
                let queue =
                    self.declare_private(&mut topology, owned.link, Some(&name), &[], purpose)?;
                let id = queue.attach(consumer, effects);
                return Ok((queue, id));
            }
        };
        let mut topology = write(&self.topology);
        let binding = Binding { exchange, key, arguments: options.binding.clone() };
        let binding = self.check_binding(&topology, binding)?;
        let queue = match &options.name {
            Some(name) => self.declare_bound(&mut topology, owned, name, options, &binding)?,
            None => {
                let Binding { exchange, key, .. } = &binding;
                let purpose = format_args!("for '{key}' at exchange '{exchange}'");
                let arguments = &options.arguments;
                self.declare_private(&mut topology, owned.link, None, arguments, purpose)?
            }
        };
        topology.bind(&queue, &binding);
        let id = queue.attach(consumer, effects);
        Ok((queue, id))
    }

    /// A queue for many topics, and its consumer.
    pub(super) fn open_inbox(
        &self,
        link: LinkId,
        consumer: Consumer,
        effects: &mut Effects,
    ) -> Result<(Arc<Queue>, ConsumerId), BrokerError> {
        let mut topology = write(&self.topology);
        let purpose = format_args!("for many topics");
        let queue = self.declare_private(&mut topology, link, None, &[], purpose)?;
        let id = queue.attach(consumer, effects);
        Ok((queue, id))
    }

    /// Binds an inbox to a topic. Each binding beyond the first counts as a private queue, which
    /// whoever wants that topic would have otherwise.
    ///
    /// *Errors.* The inbox is gone: it was canceled, and its owner has not read that yet. There is no such
    /// exchange, or it takes no such topic.
    pub(super) fn bind(
        &self,
        id: SubscriptionId,
        inbox: &Arc<Queue>,
        binding: Binding,
    ) -> Result<(), BrokerError> {
        let mut topology = write(&self.topology);
        let binding = self.check_binding(&topology, binding)?;
        if !topology.holds(inbox) {
            return Err(refusals::no_inbox(id.0));
        }
        if inbox.is_bound(&binding) {
            return Ok(());
        }
        if inbox.binding_count() > 0 {
            let Binding { exchange, key, .. } = &binding;
            self.count_private(format_args!("for '{key}' at exchange '{exchange}'"))?;
        }
        topology.bind(inbox, &binding);
        Ok(())
    }

    /// Ends what [`bind`](Self::bind) began.
    ///
    /// *Errors.* The inbox is gone.
    pub(super) fn unbind(
        &self,
        id: SubscriptionId,
        inbox: &Arc<Queue>,
        binding: &Binding,
    ) -> Result<(), BrokerError> {
        let mut topology = write(&self.topology);
        if !topology.holds(inbox) {
            return Err(refusals::no_inbox(id.0));
        }
        if topology.unbind(inbox, binding) && inbox.binding_count() > 0 {
            self.shared.private.subtract(1);
        }
        Ok(())
    }

    /// The queue behind an exchange that others can name too, counted with the binding it is about
    /// to get. The two are refused together: nothing is left behind, and what was there stays.
    fn declare_bound(
        &self,
        topology: &mut Topology,
        owned: &mut Owned,
        name: &Text,
        options: &QueueOptions,
        binding: &Binding,
    ) -> Result<Arc<Queue>, BrokerError> {
        check_length(name)?;
        let asked = QueueOptions {
            durable: options.durable.or(Some(false)),
            exclusive: options.exclusive.or(Some(false)),
            auto_delete: options.auto_delete.or(Some(true)),
            ..options.clone()
        };
        if let Some(queue) = topology.queue(name) {
            self.check_owner(queue, owned.link)?;
            self.check_equivalence(queue, &asked)?;
            if !queue.is_bound(binding) {
                self.count_named(name, 1)?;
            }
            return Ok(Arc::clone(queue));
        }
        self.add_named(topology, name, owned, &asked, 1)
    }

    /// Deletes a queue that goes with its last consumer, if that has left.
    pub(super) fn delete_if_unused(&self, queue: &Arc<Queue>) {
        let mut topology = write(&self.topology);
        if !queue.traits.auto_delete || !queue.is_unused() {
            return;
        }
        let ended = self.remove(&mut topology, queue);
        drop(topology);
        drop(ended);
    }

    /// Deletes a queue. Returns who consumed from it.
    pub(super) fn delete(&self, queue: &Arc<Queue>) -> Vec<Consumer> {
        let mut topology = write(&self.topology);
        let ended = self.remove(&mut topology, queue);
        drop(topology);
        ended.map(|(consumers, _)| consumers).unwrap_or_default()
    }

    /// Deletes a queue, and cancels the subscriptions of those who consumed from it.
    pub(super) fn delete_for_all(&self, queue: &Arc<Queue>, effects: &mut Effects) {
        for Consumer { subscription, mailbox, .. } in self.delete(queue) {
            let error = refusals::queue_deleted(&queue.name);
            effects.wake(mailbox.push(Notice::Canceled { subscription, error }));
        }
    }

    fn publish_to_exchange(
        &self,
        publication: Arc<Publication>,
        effects: &mut Effects,
    ) -> Result<Routed, BrokerError> {
        let topology = read(&self.topology);
        let name = &publication.exchange;
        let exchange =
            topology.exchange(name).ok_or_else(|| refusals::no_exchange(name, &self.name))?;
        if exchange.is_internal {
            return Err(refusals::internal_exchange(name, &self.name));
        }
        exchange.check_key(&publication.routing_key, self.shared.topic_bounds)?;
        let queues = exchange.route(&publication);
        if queues.is_empty() {
            return Ok(Routed::Nowhere);
        }
        let mut outgoing = Outgoing::new(Arc::clone(&publication), &self.shared.memory, effects);
        for queue in queues {
            outgoing.deliver(queue);
        }
        drop(topology);
        Ok(self.finish(outgoing))
    }

    fn publish_to_queue(
        &self,
        owned: &mut Owned,
        publication: Arc<Publication>,
        declares: Option<&QueueOptions>,
        effects: &mut Effects,
    ) -> Result<Routed, BrokerError> {
        loop {
            let topology = read(&self.topology);
            if let Some(queue) = topology.queue(&publication.routing_key) {
                if let Some(options) = declares {
                    self.check_owner(queue, owned.link)?;
                    self.check_equivalence(queue, options)?;
                }
                let mut outgoing = Outgoing::new(publication, &self.shared.memory, effects);
                outgoing.deliver(queue);
                drop(topology);
                return Ok(self.finish(outgoing));
            }
            drop(topology);
            let Some(options) = declares else {
                return Ok(Routed::Nowhere);
            };
            self.check_size(options)?;
            self.declare(&publication.routing_key, owned, options)?;
        }
    }

    fn subscribe_to_queue(
        &self,
        owned: &mut Owned,
        name: &Text,
        declared: Option<&QueueOptions>,
        consumer: Consumer,
        effects: &mut Effects,
    ) -> Result<(Arc<Queue>, ConsumerId), BrokerError> {
        check_length(name)?;
        loop {
            let topology = read(&self.topology);
            if let Some(queue) = topology.queue(name) {
                self.check_owner(queue, owned.link)?;
                if let Some(options) = declared {
                    self.check_equivalence(queue, options)?;
                }
                let id = queue.attach(consumer, effects);
                return Ok((Arc::clone(queue), id));
            }
            drop(topology);
            let options = declared.ok_or_else(|| refusals::no_queue(name, &self.name))?;
            self.declare(name, owned, options)?;
        }
    }

    /// Makes a queue of this name, unless someone was faster.
    fn declare(
        &self,
        name: &Text,
        owned: &mut Owned,
        options: &QueueOptions,
    ) -> Result<(), BrokerError> {
        let mut topology = write(&self.topology);
        if topology.queue(name).is_some() {
            return Ok(());
        }
        self.add_named(&mut topology, name, owned, options, 0).map(drop)
    }

    /// Adds a queue that a client names, counted with this many bindings that it is about to get.
    fn add_named(
        &self,
        topology: &mut Topology,
        name: &Text,
        owned: &mut Owned,
        options: &QueueOptions,
        bindings: usize,
    ) -> Result<Arc<Queue>, BrokerError> {
        if name.is_empty() {
            return Err(refusals::empty_name());
        }
        if name.starts_with("amq.") {
            return Err(refusals::reserved_name(name));
        }
        let arguments = Arguments::read(&options.arguments, name, &self.name)?;
        self.count_named(name, 1 + bindings)?;
        let id = self.shared.queue_id();
        let traits = Traits::of_named(owned.link, options);
        let queue = Arc::new(Queue::new(id, name.detached(), traits, arguments, Role::Named));
        topology.add(&queue);
        if traits.owner.is_some() {
            owned.add(&queue);
        }
        Ok(queue)
    }

    /// A queue of this name and its bindings, or more of them: so many in all.
    fn count_named(&self, name: &Text, more: usize) -> Result<(), BrokerError> {
        let refuse = |current, max| refusals::too_many_queues(name, &self.name, current, max);
        self.shared.named.add(more, refuse)
    }

    /// Makes a queue for one consumer, with which it goes. The broker names it, unless the consumer
    /// did.
    fn declare_private(
        &self,
        topology: &mut Topology,
        link: LinkId,
        name: Option<&Text>,
        arguments: &[(Text, Value)],
        purpose: fmt::Arguments<'_>,
    ) -> Result<Arc<Queue>, BrokerError> {
        if let Some(name) = name.filter(|name| topology.queue(name).is_some()) {
            return Err(refusals::locked(name, &self.name));
        }
        let id = self.shared.queue_id();
        let name = name.map_or_else(|| self.shared.queue_name("gen", id), Text::detached);
        let arguments = Arguments::read(arguments, &name, &self.name)?;
        self.count_private(purpose)?;
        let traits = Traits { durable: false, auto_delete: true, owner: Some(link) };
        let role = Role::Private { limit: self.shared.private_queue_bytes };
        let queue = Arc::new(Queue::new(id, name, traits, arguments, role));
        topology.add(&queue);
        Ok(queue)
    }

    pub(super) fn count_private(&self, purpose: fmt::Arguments<'_>) -> Result<(), BrokerError> {
        self.shared.private.add(1, |current, max| {
            refusals::too_many_private_queues(purpose, &self.name, current, max)
        })
    }

    /// Ends a queue: it is here no more, and nor are its bindings and its deadline. Returns what
    /// [`Queue::end`] does, to be dropped once no lock is held; `None` if it was not here.
    pub(super) fn remove(
        &self,
        topology: &mut Topology,
        queue: &Arc<Queue>,
    ) -> Option<(Vec<Consumer>, Ready)> {
        let bindings = topology.remove(queue)?;
        self.shared.uncount(queue, bindings);
        let ended = queue.end();
        self.timers.forget(queue);
        Some(ended)
    }

    /// Cancels the subscriptions that the message left too far behind.
    pub(super) fn finish(&self, outgoing: Outgoing<'_>) -> Routed {
        let max = self.shared.private_queue_bytes;
        for (queue, bytes) in outgoing.beyond {
            tracing::warn!(vhost = %self.name, queue = %queue.name, bytes, max,
                "subscription canceled: it was too slow");
            let error = refusals::too_slow(&queue.name, &self.name, bytes, max);
            for Consumer { subscription, mailbox, .. } in self.delete(&queue) {
                let error = error.clone();
                outgoing.effects.wake(mailbox.push(Notice::Canceled { subscription, error }));
            }
        }
        if outgoing.is_rejected { Routed::Rejected } else { Routed::Taken }
    }

    /// The binding that a queue is to get, without what means nothing.
    ///
    /// *Errors.* Its exchange is not here, or takes none of the kind.
    pub(super) fn check_binding(
        &self,
        topology: &Topology,
        binding: Binding,
    ) -> Result<Binding, BrokerError> {
        let Binding { exchange, key, .. } = &binding;
        if exchange.is_empty() {
            return Err(refusals::default_exchange());
        }
        check_length(exchange)?;
        check_length(key)?;
        let bound = topology
            .exchange(exchange)
            .ok_or_else(|| refusals::no_exchange(exchange, &self.name))?;
        bound.check_binding(binding, self.shared.topic_bounds)
    }

    /// *Errors.* Arguments of a declaration that take more than they may.
    pub(super) fn check_size(&self, options: &QueueOptions) -> Result<(), BrokerError> {
        let arguments = options.arguments.iter().chain(&options.binding);
        let size =
            |(name, value): &(Text, Value)| Value::ENTRY_OVERHEAD + name.len() + value.size();
        let (bytes, max) = (arguments.map(size).sum(), self.shared.max_argument_bytes);
        if bytes > max { Err(refusals::arguments_too_large(bytes, max)) } else { Ok(()) }
    }

    fn check_owner(&self, queue: &Queue, link: LinkId) -> Result<(), BrokerError> {
        match queue.traits.owner {
            Some(owner) if owner != link => Err(refusals::locked(&queue.name, &self.name)),
            _ => Ok(()),
        }
    }

    /// AMQP 0-9-1 `queue.declare`, rule *equivalent*: what is asked for must be what is there.
    fn check_equivalence(&self, queue: &Queue, asked: &QueueOptions) -> Result<(), BrokerError> {
        let Traits { durable, auto_delete, owner } = queue.traits;
        if asked.exclusive.is_some_and(|asked| asked != owner.is_some()) {
            return Err(refusals::locked(&queue.name, &self.name));
        }
        let flags =
            [("durable", asked.durable, durable), ("auto_delete", asked.auto_delete, auto_delete)];
        for (arg, asked, current) in flags {
            if let Some(received) = asked.filter(|asked| *asked != current) {
                let name = &queue.name;
                let [received, current] = [received, current].map(|it| format!("'{it}'"));
                return Err(refusals::inequivalent(arg, name, &self.name, &received, &current));
            }
        }
        queue.arguments.check_equivalence(&asked.arguments, &queue.name, &self.name)
    }
}

impl Traits {
    fn of_named(link: LinkId, options: &QueueOptions) -> Self {
        Self {
            durable: options.durable.unwrap_or(true),
            auto_delete: options.auto_delete.unwrap_or(false),
            owner: options.exclusive.unwrap_or(false).then_some(link),
        }
    }
}

/// Nobody waits for the deadlines of a virtual host that is gone.
impl Drop for Vhost {
    fn drop(&mut self) {
        self.timers.stop();
    }
}

pub(super) fn check_length(name: &str) -> Result<(), BrokerError> {
    if name.len() > refusals::MAX_NAME {
        return Err(refusals::name_too_long(name.len()));
    }
    Ok(())
}
