//! [`Queue`]: messages in order, and the consumers that share them.
//!
//! A queue keeps what is *ready*; a delivery that was handed over belongs to the link that got it,
//! which settles it here. At every moment when no lock is held, nothing is ready or no consumer is
//! waiting for anything: so a message that finds a consumer waiting may be handed to it directly.
//!
//! *Time.* A message whose time is over goes once it is the next one, as with RabbitMQ's classic
//! queues: behind one that may wait longer it stays. Nothing that has expired is handed to a link;
//! what a link has been handed, and has not taken from its mailbox, expires no more unless it comes
//! back. A queue asks to be looked at again ([`Effects::timers`]) when the next of its deadlines
//! comes.
//!
//! *Losses.* A lasting queue that is full lets go of its oldest messages, and remembers that (`gap.rs`).

use std::cmp::{Ordering, Reverse};
use std::collections::HashSet;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::mem;
use std::sync::atomic::{self, AtomicBool};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use foldhash::fast::RandomState;
use protocols::broker::Value;
use protocols::text::Text;
use tokio::time::Instant;

use super::LinkId;
use super::arguments::{Arguments, Overflow};
use super::consumers::{ConsumerId, Consumers};
use super::effects::{Effects, Reason};
use super::exchange::TOPIC;
use super::gap::Gap;
use super::held::Held;
use super::notice::{Consumer, Entry};
use super::ready::Ready;
use super::role::Role;
use crate::lock::lock;

/// Most messages that expire under one lock when a timer looks, or a message is left. The timer sees
/// to the rest.
const EXPIRED_AT_ONCE: usize = 1_000;

/// A queue of one virtual host. Two are equal if they are the same queue.
pub(super) struct Queue {
    pub(super) id: u64,
    pub(super) name: Text,
    pub(super) traits: Traits,
    pub(super) arguments: Arguments,
    pub(super) role: Role,
    /// Changed while the topology is locked.
    bindings: Mutex<HashSet<Binding, RandomState>>,
    state: Mutex<State>,
    /// The queue was deleted: it takes nothing more, nor anything back. Changed while the state is
    /// locked, once.
    ended: AtomicBool,
}

/// How a queue was declared. Fixed for its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Traits {
    pub(super) durable: bool,
    pub(super) auto_delete: bool,
    /// The one link that may use it, if it is exclusive.
    pub(super) owner: Option<LinkId>,
}

/// A binding, as its queue knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Binding {
    pub(super) exchange: Text,
    pub(super) key: Text,
    /// What a headers exchange matches; empty for others.
    pub(super) arguments: Vec<(Text, Value)>,
}

/// What became of a message that was to be kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kept {
    Within,
    /// More is ready now than the queue's limit allows: so many bytes.
    Beyond(usize),
    /// The queue is full, and takes no more.
    Rejected,
}

struct State {
    ready: Ready,
    next_place: u64,
    consumers: Consumers,
    /// What a lasting queue has lost.
    gap: Gap,
    /// How long it stays without a consumer, where that is bounded.
    expires: Option<Duration>,
    /// Since when nobody consumes, where that is bounded.
    unused_since: Option<Instant>,
    /// When the queue asked last to be looked at again.
    armed: Option<Instant>,
}

/// A queue while its state is locked, and what follows from the changes.
struct Locked<'a> {
    queue: &'a Arc<Queue>,
    state: MutexGuard<'a, State>,
    effects: &'a mut Effects,
}

impl Binding {
    /// To a topic exchange; `None` for the one that topics live in.
    pub(super) fn topic(exchange: Option<Text>, key: Text) -> Self {
        let exchange = exchange.unwrap_or_else(|| Text::from_static(TOPIC));
        Self { exchange, key, arguments: Vec::new() }
    }

    /// A copy that keeps no input buffer alive.
    fn detached(&self) -> Self {
        let arguments = self.arguments.iter();
        Self {
            exchange: self.exchange.detached(),
            key: self.key.detached(),
            arguments: arguments.map(|(name, it)| (name.detached(), it.detached())).collect(),
        }
    }
}

/// Without the arguments: only a headers exchange has any, and it looks through all of its bindings
/// itself.
impl Hash for Binding {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.exchange.hash(state);
        self.key.hash(state);
    }
}

impl Queue {
    pub(super) fn new(
        id: u64,
        name: Text,
        traits: Traits,
        arguments: Arguments,
        role: Role,
    ) -> Self {
        let state = State {
            ready: Ready::new(arguments.max_priority),
            next_place: 0,
            consumers: Consumers::new(arguments.single_active_consumer),
            gap: Gap::default(),
            expires: arguments.expires,
            unused_since: arguments.expires.map(|_| Instant::now()),
            armed: None,
        };
        let (bindings, state) = (Mutex::default(), Mutex::new(state));
        Self { id, name, traits, arguments, role, bindings, state, ended: AtomicBool::new(false) }
    }

    /// Notes a binding; false if it was there.
    pub(super) fn add_binding(&self, binding: &Binding) -> bool {
        let mut bindings = lock(&self.bindings);
        !bindings.contains(binding) && bindings.insert(binding.detached())
    }

    /// Forgets a binding; false if it was not there.
    pub(super) fn remove_binding(&self, binding: &Binding) -> bool {
        lock(&self.bindings).remove(binding)
    }

    pub(super) fn binding_count(&self) -> usize {
        lock(&self.bindings).len()
    }

    /// Its bindings, and it has them no more.
    pub(super) fn take_bindings(&self) -> HashSet<Binding, RandomState> {
        mem::take(&mut lock(&self.bindings))
    }

    /// Whether it is bound so.
    pub(super) fn is_bound(&self, binding: &Binding) -> bool {
        lock(&self.bindings).contains(binding)
    }

    /// Hands a message to the consumer whose turn it is; `None` if nobody can take it now.
    pub(super) fn hand_over(
        self: &Arc<Self>,
        held: &Arc<Held>,
        effects: &mut Effects,
    ) -> Option<Kept> {
        let mut locked = self.locked(effects);
        if !locked.state.consumers.is_waiting() {
            return None;
        }
        if locked.is_rejected(held) {
            return Some(Kept::Rejected);
        }
        let entry = locked.enter(Arc::clone(held));
        locked.give(entry).is_ok().then_some(Kept::Within)
    }

    /// Takes a message, compacted, at the end of the queue. Once the queue has ended it takes none,
    /// for there it would stay for ever.
    ///
    /// Where memory `is_scarce`, a lasting queue that nobody consumes from grows no more, lest clients
    /// that are away hold publishers back: its oldest messages make room.
    pub(super) fn keep(
        self: &Arc<Self>,
        held: Arc<Held>,
        is_scarce: bool,
        effects: &mut Effects,
    ) -> Kept {
        let mut locked = self.locked(effects);
        if locked.queue.is_ended() {
            return Kept::Within;
        }
        if locked.is_rejected(&held) {
            return Kept::Rejected;
        }
        let entry = locked.enter(held);
        if let Err(entry) = locked.give(entry) {
            let before = locked.state.ready.held_bytes();
            locked.state.ready.insert(entry);
            locked.expire_some(EXPIRED_AT_ONCE);
            let is_away = self.role.is_lasting() && locked.state.consumers.is_empty();
            locked.trim(if is_scarce && is_away { before } else { usize::MAX });
        }
        match self.role {
            Role::Private { limit } if locked.state.ready.held_bytes() > limit => {
                Kept::Beyond(locked.state.ready.held_bytes())
            }
            _ => Kept::Within,
        }
    }

    /// Adds a consumer and gives it what is ready.
    ///
    /// *Order.* Under the lock of the topology the queue is in, so that it cannot end meanwhile.
    pub(super) fn attach(
        self: &Arc<Self>,
        consumer: Consumer,
        effects: &mut Effects,
    ) -> ConsumerId {
        let mut locked = self.locked(effects);
        let id = locked.state.consumers.add(consumer);
        locked.state.unused_since = None;
        locked.dispatch();
        id
    }

    /// The session that the queue stands for goes to another consumer, and stays for `lifetime`
    /// without one. Returns who had it.
    ///
    /// *Order.* As with [`attach`](Self::attach).
    pub(super) fn pass_on(
        self: &Arc<Self>,
        consumer: Consumer,
        lifetime: Duration,
        effects: &mut Effects,
    ) -> (Vec<Consumer>, ConsumerId) {
        let mut locked = self.locked(effects);
        let before = locked.state.consumers.take();
        locked.state.expires = Some(lifetime);
        locked.state.unused_since = None;
        (before, locked.state.consumers.add(consumer))
    }

    /// Ends a consumer and takes `returned` back, along with what still waits in its mailbox, in
    /// one step: no other consumer is given a later message first. What is left in `returned` is
    /// to be dropped once no lock is held.
    pub(super) fn detach(
        self: &Arc<Self>,
        id: ConsumerId,
        consumer: &Consumer,
        returned: &mut Vec<Entry>,
        effects: &mut Effects,
    ) {
        let mut locked = self.locked(effects);
        locked.remove(id);
        consumer.take_unseen(returned);
        locked.take_back(returned);
        locked.dispatch();
    }

    /// A link is gone: ends its consumers and takes back all it had, in one step. What is left in
    /// `returned` is to be dropped once no lock is held.
    pub(super) fn abandon(
        self: &Arc<Self>,
        consumers: &[ConsumerId],
        returned: &mut [Entry],
        effects: &mut Effects,
    ) {
        let mut locked = self.locked(effects);
        consumers.iter().for_each(|id| locked.remove(*id));
        locked.take_back(returned);
        locked.dispatch();
    }

    /// `count` deliveries of a consumer are no longer outstanding; `returned` go back to their
    /// places. What is left in `returned` is to be dropped once no lock is held.
    pub(super) fn settle(
        self: &Arc<Self>,
        consumer: Option<ConsumerId>,
        count: usize,
        returned: &mut [Entry],
        effects: &mut Effects,
    ) {
        let mut locked = self.locked(effects);
        locked.take_back(returned);
        if let Some(id) = consumer {
            locked.state.consumers.settle(id, count);
        }
        locked.dispatch();
    }

    /// A new queue takes the place of one that was lost, with all that was in it.
    pub(super) fn open_gap(&self) {
        let mut state = lock(&self.state);
        let place = state.next_place;
        state.next_place += 1;
        state.gap.open(place);
    }

    /// The messages at these places of a lasting queue are done with. If they `are_seen`, who was told of
    /// a loss before one of them has gone on from there.
    pub(super) fn close_gaps(&self, places: impl Iterator<Item = u64>, are_seen: bool) {
        let mut state = lock(&self.state);
        for place in places {
            if are_seen { state.gap.close(place) } else { state.gap.skip(place) }
        }
    }

    /// The consumer's link has room again. Returns whether anything was delivered.
    pub(super) fn resume(self: &Arc<Self>, id: ConsumerId, effects: &mut Effects) -> bool {
        let mut locked = self.locked(effects);
        locked.state.consumers.resume(id) && locked.dispatch() > 0
    }

    /// The queue asked to be looked at: some of what has expired goes. What is left has it look
    /// again.
    pub(super) fn look_again(self: &Arc<Self>, effects: &mut Effects) {
        let mut locked = self.locked(effects);
        locked.state.armed = None;
        locked.expire_some(EXPIRED_AT_ONCE);
    }

    pub(super) fn is_ended(&self) -> bool {
        self.ended.load(atomic::Ordering::Acquire)
    }

    pub(super) fn is_unused(&self) -> bool {
        lock(&self.state).consumers.is_empty()
    }

    /// Whether nobody has consumed for as long as a queue with `x-expires` stays.
    pub(super) fn is_expired(&self) -> bool {
        let state = lock(&self.state);
        state.unused_until().is_some_and(|until| until <= Instant::now())
    }

    /// Ends the queue. Returns who still consumed from it, and what was ready, to be dropped once
    /// no lock is held.
    pub(super) fn end(&self) -> (Vec<Consumer>, Ready) {
        let mut state = lock(&self.state);
        self.ended.store(true, atomic::Ordering::Release);
        state.unused_since = None;
        let consumers = state.consumers.take();
        (consumers, mem::replace(&mut state.ready, Ready::new(0)))
    }

    fn locked<'a>(self: &'a Arc<Self>, effects: &'a mut Effects) -> Locked<'a> {
        Locked { queue: self, state: lock(&self.state), effects }
    }
}

impl State {
    /// When it goes if nobody comes.
    fn unused_until(&self) -> Option<Instant> {
        self.unused_since?.checked_add(self.expires?)
    }
}

impl Locked<'_> {
    fn enter(&mut self, held: Arc<Held>) -> Entry {
        let place = self.state.next_place;
        self.state.next_place += 1;
        let times = [self.queue.arguments.message_ttl, held.time_to_live()];
        let expires = times.into_iter().flatten().min().map(|time| Instant::now() + time);
        Entry { place, redelivered: false, expires, held }
    }

    /// Whether the queue has no room for it and says so to publishers.
    fn is_rejected(&mut self, held: &Arc<Held>) -> bool {
        let Arguments { overflow, .. } = self.queue.arguments;
        if overflow == Overflow::DropHead || !self.overflows(1, held.body_size()) {
            return false;
        }
        if overflow == Overflow::RejectPublishDlx {
            self.effects.drop(self.queue, Reason::MaxLen, Arc::clone(held));
        }
        true
    }

    /// Whether so much more would be more than may wait.
    fn overflows(&self, messages: usize, bytes: usize) -> bool {
        let Arguments { max_length, max_length_bytes, .. } = self.queue.arguments;
        let ready = &self.state.ready;
        if let Role::Lasting { limit, .. } = self.queue.role
            && ready.held_bytes() + bytes > limit
        {
            return true;
        }
        max_length.is_some_and(|max| ready.len() + messages > max)
            || max_length_bytes.is_some_and(|max| ready.body_bytes() + bytes > max)
    }

    fn remove(&mut self, id: ConsumerId) {
        // Who leaves a queue that has ended starts nothing: it would expire for ever. Nor does who was
        // there no more.
        if self.state.consumers.remove(id)
            && !self.queue.is_ended()
            && self.state.consumers.is_empty()
            && self.state.expires.is_some()
        {
            self.state.unused_since = Some(Instant::now());
        }
    }

    fn give(&mut self, entry: Entry) -> Result<(), Entry> {
        let place = entry.place;
        self.state.consumers.give(entry, self.effects)?;
        self.state.gap.given(place);
        Ok(())
    }

    /// Has whoever is served next know of what was lost.
    fn tell(&mut self) {
        let State { gap, consumers, .. } = &mut *self.state;
        gap.tell(consumers, self.effects);
    }

    /// Gives what is ready to those who wait for it. How many messages that were.
    fn dispatch(&mut self) -> usize {
        let mut given = 0;
        self.tell();
        self.expire();
        while self.state.consumers.is_waiting() {
            let Some(entry) = self.state.ready.pop_front() else {
                break;
            };
            match self.give(entry) {
                Ok(()) => given += 1,
                Err(entry) => self.state.ready.insert(entry),
            }
            self.expire();
        }
        given
    }

    /// Lets go of what has expired and is next.
    fn expire(&mut self) {
        self.expire_some(usize::MAX);
    }

    fn expire_some(&mut self, most: usize) {
        for _ in 0..most {
            if !self.is_next_expired() {
                return;
            }
            self.drop_head(Reason::Expired);
        }
    }

    fn is_next_expired(&self) -> bool {
        let next = self.state.ready.front().and_then(|entry| entry.expires);
        next.is_some_and(|expires| expires <= Instant::now())
    }

    /// Lets go of the oldest that are too many, or take more than so many bytes.
    fn trim(&mut self, bytes: usize) {
        let Arguments { overflow, .. } = self.queue.arguments;
        while overflow == Overflow::DropHead
            && (self.overflows(0, 0) || self.state.ready.held_bytes() > bytes)
        {
            if self.is_next_expired() {
                self.drop_head(Reason::Expired);
                continue;
            }
            let dropped = self.drop_head(Reason::MaxLen);
            if let Some(place) = dropped.filter(|_| self.queue.role.is_lasting()) {
                self.state.gap.open(place);
            }
        }
        self.tell();
    }

    /// The place of what was the next one.
    fn drop_head(&mut self, reason: Reason) -> Option<u64> {
        let Entry { place, held, .. } = self.state.ready.pop_front()?;
        self.effects.drop(self.queue, reason, held);
        Some(place)
    }

    /// Puts compacted copies of `returned` at their places; the originals stay where they are, for
    /// dropping them may wake publishers.
    fn take_back(&mut self, returned: &mut [Entry]) {
        if self.queue.is_ended() {
            return;
        }
        // The last one first: each lands before the one that went in before it, near the front.
        returned.sort_unstable_by_key(|entry| Reverse(entry.place));
        for &mut Entry { place, redelivered, expires, ref held } in returned {
            let held = held.compacted();
            self.state.gap.reopen(place);
            self.state.ready.insert(Entry { place, redelivered, expires, held });
        }
        self.trim(usize::MAX);
    }
}

/// Whatever changed, the queue is looked at again when the next of its deadlines comes. One that
/// has ended has none.
impl Drop for Locked<'_> {
    fn drop(&mut self) {
        if self.queue.is_ended() {
            return;
        }
        let state = &mut *self.state;
        let message = state.ready.front().and_then(|entry| entry.expires);
        let unused = state.unused_until();
        let Some(next) = [message, unused].into_iter().flatten().min() else {
            return;
        };
        if state.armed.is_none_or(|armed| next < armed) {
            state.armed = Some(next);
            self.effects.timers.push((next, Arc::clone(self.queue)));
        }
    }
}

impl PartialEq for Queue {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Queue {}

impl PartialOrd for Queue {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Queue {
    fn cmp(&self, other: &Self) -> Ordering {
        self.id.cmp(&other.id)
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("id", &self.id)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use protocols::broker::{Message, Publication};
    use tokio::time::advance;

    use super::super::memory::Memory;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_publisher_does_not_see_to_all_that_has_expired() {
        let memory = Arc::new(Memory::new(usize::MAX));
        let given = [(Text::from_static("x-message-ttl"), Value::Integer(1_000))];
        let arguments = Arguments::read(&given, "q", "/").unwrap();
        let traits = Traits { durable: false, auto_delete: false, owner: None };
        let queue = Arc::new(Queue::new(0, Text::from_static("q"), traits, arguments, Role::Named));
        let mut effects = Effects::default();
        let keep = |effects: &mut Effects| {
            let (exchange, routing_key) = (Text::EMPTY, Text::from_static("q"));
            let publication = Publication { exchange, routing_key, message: Message::default() };
            queue.keep(Held::new(Arc::new(publication), &memory), false, effects);
        };
        for _ in 0..EXPIRED_AT_ONCE + 1 {
            keep(&mut effects);
        }
        assert_eq!((effects.dropped.len(), effects.timers.len()), (0, 1));
        advance(Duration::from_secs(1)).await;
        keep(&mut effects);
        assert_eq!(effects.dropped.len(), EXPIRED_AT_ONCE);
        queue.look_again(&mut effects);
        assert_eq!(effects.dropped.len(), EXPIRED_AT_ONCE + 1);
        assert_eq!(effects.timers.len(), 2, "one is left, which has its own time");
    }
}
