//! Resumable sessions: queues that outlast their links, and whose they are.
//!
//! A session is an empty queue that no client can name. The link that has the session is its one
//! consumer, so it expires as every queue with `x-expires` does; and what it has goes with it. Its lasting
//! queues expire likewise, if nobody comes for them though the session goes on: that there were such is
//! remembered, and whoever comes later is told of a gap. A link that goes on with a session takes the
//! place of the consumer at once. Its lasting subscriptions stand by until those of the link before have
//! left, for only then is it known what comes back (a single active consumer, as with RabbitMQ).
//!
//! *Locks.* Which sessions there are, who has them, and what is theirs is the topology's, under its lock.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use foldhash::fast::RandomState;
use protocols::broker::{Address, BrokerError, Lasting, QueueOptions};
use protocols::text::Text;

use super::arguments::Arguments;
use super::consumers::ConsumerId;
use super::effects::Effects;
use super::exchange::TOPIC;
use super::notice::{Consumer, Notice};
use super::queue::{Binding, Queue, Traits};
use super::ready::Ready;
use super::role::Role;
use super::topology::Topology;
use super::vhost::{Vhost, check_length};
use super::{LinkId, refusals};
use crate::lock::write;

/// Nobody has asked for these queues by name, and nobody may.
const TRAITS: Traits = Traits { durable: false, auto_delete: false, owner: Some(LinkId::NONE) };

/// The resumable sessions of a virtual host, by what links know them by.
#[derive(Debug, Default)]
pub(super) struct Sessions(HashMap<Text, Session, RandomState>);

#[derive(Debug)]
struct Session {
    /// What links know it by.
    name: Text,
    /// It stands for the session.
    queue: Arc<Queue>,
    /// Which link has it, or had it last.
    holder: LinkId,
    /// By what links know them by.
    lasting: HashMap<Text, Arc<Queue>, RandomState>,
    /// Those that have expired.
    expired: HashSet<Text, RandomState>,
}

/// Expired queues that a session remembers. Beyond, all are forgotten, and begin anew without a word.
const MAX_EXPIRED: usize = 1_000;

/// What a link asks to go on with, or to begin: see [`protocols::broker::Command::Resume`].
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) known: Option<Text>,
    pub(super) fresh: Text,
    pub(super) lifetime: Duration,
}

/// A session that a link has.
#[derive(Debug)]
pub(super) struct Resumed {
    /// It stands for the session.
    pub(super) queue: Arc<Queue>,
    /// The link's name there.
    pub(super) consumer: ConsumerId,
    /// It was there.
    pub(super) found: bool,
}

/// What is left of queues that have ended: to be dropped once no lock is held.
type Ended = Vec<(Vec<Consumer>, Ready)>;

impl Sessions {
    /// The session that this queue stands for or belongs to, if the link has it.
    fn held(&mut self, link: LinkId, queue: &Queue) -> Option<&mut Session> {
        let (Role::Session(name) | Role::Lasting { session: name, .. }) = &queue.role else {
            return None;
        };
        // There may be another of that name by now.
        let session = self.0.get_mut(name).filter(|session| session.holder == link)?;
        session.has(queue).then_some(session)
    }
}

impl Session {
    fn note_expired(&mut self, name: &Text) {
        if self.expired.len() >= MAX_EXPIRED {
            self.expired.clear();
        }
        self.expired.insert(name.clone());
    }

    fn has(&self, queue: &Queue) -> bool {
        match &queue.role {
            Role::Session(_) => *self.queue == *queue,
            Role::Lasting { name, .. } => self.lasting.get(name).is_some_and(|it| **it == *queue),
            Role::Named | Role::Private { .. } => false,
        }
    }
}

impl Vhost {
    /// Has a link go on with a session, or begin one.
    ///
    /// *Errors.* What is to begin has the name of another, or is one too many.
    pub(super) fn resume_session(
        &self,
        link: LinkId,
        Asked { known, fresh, lifetime }: Asked,
        consumer: Consumer,
        effects: &mut Effects,
    ) -> Result<Resumed, BrokerError> {
        check_length(&fresh)?;
        let mut topology = write(&self.topology);
        if let Some(session) = known.and_then(|known| topology.sessions.0.get_mut(&known)) {
            session.holder = link;
            let queue = Arc::clone(&session.queue);
            let (before, consumer) = queue.pass_on(consumer, lifetime, effects);
            cancel(before, &refusals::session_taken(), effects);
            return Ok(Resumed { queue, consumer, found: true });
        }
        if topology.sessions.0.contains_key(&fresh) {
            return Err(refusals::session_exists());
        }
        self.count_private(format_args!("for a resumable session"))?;
        let name = fresh.detached();
        let role = Role::Session(name.clone());
        let queue = self.add_resumable(&mut topology, Arguments::of_session(lifetime), role);
        let session = Session {
            name: name.clone(),
            queue: Arc::clone(&queue),
            holder: link,
            lasting: HashMap::default(),
            expired: HashSet::default(),
        };
        topology.sessions.0.insert(name, session);
        let consumer = queue.attach(consumer, effects);
        Ok(Resumed { queue, consumer, found: false })
    }

    /// A consumer on a lasting queue of the session that `session` stands for. The queue is declared if it
    /// is not there, and bound; otherwise it is as it was.
    ///
    /// *Errors.* The link does not have the session, or no more; or the queue is one too many.
    pub(super) fn subscribe_lasting(
        &self,
        link: LinkId,
        session: &Queue,
        from: Address,
        (options, lasting): (&QueueOptions, &Lasting),
        consumer: Consumer,
        effects: &mut Effects,
    ) -> Result<(Arc<Queue>, ConsumerId), BrokerError> {
        self.check_size(options)?;
        let (exchange, key) = match from {
            Address::Topic(pattern) => (Text::from_static(TOPIC), pattern),
            Address::Exchange { name, key } => (name, key),
            Address::Queue(_) | Address::ExistingQueue(_) | Address::Private(_) => {
                return Err(refusals::lasting_queue());
            }
        };
        check_length(&lasting.name)?;
        let mut topology = write(&self.topology);
        let held = topology.sessions.held(link, session).ok_or_else(refusals::no_session)?;
        if let Some(queue) = held.lasting.get(&lasting.name) {
            let id = queue.attach(consumer, effects);
            return Ok((Arc::clone(queue), id));
        }
        let role = Role::Lasting {
            session: held.name.clone(),
            name: lasting.name.detached(),
            limit: self.shared.resume_bytes,
        };
        let binding = Binding { exchange, key, arguments: options.binding.clone() };
        let binding = self.check_binding(&topology, binding)?;
        let Binding { exchange, key, .. } = &binding;
        self.count_private(format_args!("for '{key}' at exchange '{exchange}'"))?;
        let arguments = Arguments::of_lasting(self.shared.resume_messages, lasting.lifetime);
        let queue = self.add_resumable(&mut topology, arguments, role);
        topology.bind(&queue, &binding);
        if let Some(session) = topology.sessions.held(link, session) {
            if session.expired.remove(&lasting.name) {
                queue.open_gap();
            }
            session.lasting.insert(lasting.name.detached(), Arc::clone(&queue));
        }
        let id = queue.attach(consumer, effects);
        Ok((queue, id))
    }

    /// Ends what a queue stands for, as a link asks: a session with all it has, or one of its lasting
    /// queues. The subscriptions of those who still consumed are canceled. A link that has lost the
    /// session ends nothing.
    pub(super) fn end(&self, link: LinkId, queue: &Arc<Queue>, effects: &mut Effects) {
        let mut topology = write(&self.topology);
        if topology.sessions.held(link, queue).is_none() {
            return;
        }
        let ended = self.remove_resumable(&mut topology, queue);
        drop(topology);
        cancel_all(ended, effects);
    }

    /// Ends the session that the queue stands for, if no link has had it for as long as it stays; or a
    /// lasting queue that nobody has consumed from for as long.
    pub(super) fn end_if_expired(&self, queue: &Arc<Queue>, effects: &mut Effects) {
        let mut topology = write(&self.topology);
        if !queue.is_expired() {
            return;
        }
        let ended = self.remove_resumable(&mut topology, queue);
        if let Role::Lasting { session, name, .. } = &queue.role
            && !ended.is_empty()
            && let Some(session) = topology.sessions.0.get_mut(session)
        {
            session.note_expired(name);
        }
        drop(topology);
        tracing::debug!(vhost = %self.name, queue = %queue.name,
            "what could have been resumed has expired: no link had it");
        cancel_all(ended, effects);
    }

    /// Adds a queue, which has been counted.
    fn add_resumable(
        &self,
        topology: &mut Topology,
        arguments: Arguments,
        role: Role,
    ) -> Arc<Queue> {
        let id = self.shared.queue_id();
        let name = self.shared.queue_name("resume", id);
        let queue = Arc::new(Queue::new(id, name, TRAITS, arguments, role));
        topology.add(&queue);
        queue
    }

    /// Removes a lasting queue; or the queue that stands for a session, and all that is the session's.
    fn remove_resumable(&self, topology: &mut Topology, queue: &Arc<Queue>) -> Ended {
        let mut ended: Ended = self.remove(topology, queue).into_iter().collect();
        match &queue.role {
            Role::Session(name) => {
                let session = topology.sessions.0.remove(name);
                let lasting = session.into_iter().flat_map(|it| it.lasting.into_values());
                ended.extend(lasting.filter_map(|queue| self.remove(topology, &queue)));
            }
            Role::Lasting { session, name, .. } => {
                if let Some(session) = topology.sessions.0.get_mut(session) {
                    session.lasting.remove(name);
                }
            }
            Role::Named | Role::Private { .. } => {}
        }
        ended
    }
}

/// *Order.* With no lock held: messages are dropped.
fn cancel_all(ended: Ended, effects: &mut Effects) {
    for (consumers, _) in ended {
        cancel(consumers, &refusals::session_ended(), effects);
    }
}

fn cancel(consumers: Vec<Consumer>, error: &BrokerError, effects: &mut Effects) {
    for Consumer { subscription, mailbox, .. } in consumers {
        let error = error.clone();
        effects.wake(mailbox.push(Notice::Canceled { subscription, error }));
    }
}
