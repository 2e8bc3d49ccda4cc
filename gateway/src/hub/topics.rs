//! [`Topics`]: who shares which topics of one inbox, and what the broker has to be asked for.
//!
//! A plain value: joins, leaves, the broker's answers and the time go in; orders to bind and unbind come
//! out. A topic is bound with its first member and stays bound for [`LINGER`] after its last, so
//! that a wave of reconnects costs the broker nothing; and so at each [source](Source) by itself, for not all
//! members take from all. Members whose frames have the same bytes are one group: a message is encoded once
//! for each, unless its encoder says that none of them gets it.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::mem;
use std::sync::Arc;
use std::task::Waker;
use std::time::{Duration, Instant};

use broker_adapters::trie::Trie;
use protocols::broker::{BrokerError, Event, Publication, SubscriptionId, Token, Value, user};
use protocols::delivery::{DeliveryEncoder, FormatKey, SharedDelivery};
use protocols::text::Text;
use smallvec::SmallVec;

use super::binding::{Binding, Source, Sources, State};
use super::encoded::Encoded;
use super::outbox::{Outbox, Put};

/// How long a topic stays bound without a member.
pub(super) const LINGER: Duration = Duration::from_secs(1);

/// Names a member of a topic. Never used twice in one inbox; grows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct MemberId(u64);

/// What the broker is to be asked for. They go in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Order {
    Bind(Source, Text),
    Unbind(Source, Text),
}

/// Who wants to become a member.
#[derive(Debug, Clone)]
pub(crate) struct Joining {
    pub(crate) token: Token,
    pub(crate) subscription: SubscriptionId,
    pub(crate) encoder: Arc<dyn DeliveryEncoder>,
    pub(crate) outbox: Arc<Outbox>,
}

/// Receivers to be woken once no lock is held.
pub(super) type Wakers = Vec<Waker>;

/// The topics of an inbox.
#[derive(Debug, Default)]
pub(super) struct Topics {
    /// Those that are bound, or may be.
    trie: Trie<usize>,
    all: Vec<Option<Topic>>,
    free: Vec<usize>,
    by_pattern: HashMap<Text, usize>,
    /// In the order in which they became idle, with when that was.
    idle: VecDeque<(Instant, Source, Text)>,
    orders: VecDeque<Order>,
    next_member: u64,
}

#[derive(Debug)]
struct Topic {
    pattern: Text,
    /// At each source.
    bindings: [Binding; Source::ALL.len()],
    groups: BTreeMap<FormatKey, Group>,
    /// Who becomes a member once it is bound.
    waiting: BTreeMap<MemberId, Waiting>,
}

#[derive(Debug)]
struct Waiting {
    joining: Joining,
    /// What the broker has to answer for first; something.
    needs: Sources,
}

/// Members whose frames are the same.
#[derive(Debug)]
struct Group {
    encoder: Arc<dyn DeliveryEncoder>,
    members: BTreeMap<MemberId, Member>,
}

#[derive(Debug)]
struct Member {
    subscription: SubscriptionId,
    outbox: Arc<Outbox>,
    /// Asked whether the member gets a message; `None` if it gets all that the group does.
    choice: Option<Arc<dyn DeliveryEncoder>>,
}

/// How a message was distributed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Distributed {
    /// Frames handed over.
    pub(super) frames: usize,
    /// Frames dropped from sessions that are too slow, this message's or older ones.
    pub(super) dropped: u64,
    /// Sessions ended because they are too slow.
    pub(super) ended: usize,
    /// Groups that it could not be written for.
    pub(super) unwritable: usize,
    /// It fits no topic.
    pub(super) is_unwanted: bool,
}

impl Topics {
    /// Takes a new member. One whose topic is bound, and was found to be allowed no longer than `trusted`
    /// ago, is in at once.
    pub(super) fn join(
        &mut self,
        pattern: &Text,
        joining: Joining,
        (now, trusted): (Instant, Duration),
        wakers: &mut Wakers,
    ) -> MemberId {
        let id = MemberId(self.next_member);
        self.next_member += 1;
        let at = self.place(pattern);
        let topic = self.all[at].as_mut().expect("a place that is in use");
        let wanted = Sources::of(&joining.encoder);
        let mut needs = Sources::NONE;
        for source in Source::ALL.into_iter().filter(|source| wanted.has(*source)) {
            let binding = &mut topic.bindings[source as usize];
            binding.takers += 1;
            binding.idle_since = None;
            match binding.state {
                State::Bound { at } if now.saturating_duration_since(at) < trusted => {}
                state => {
                    needs.set(source, true);
                    // While it is being unbound, it is bound again after that.
                    if !binding.is_asked && state != State::Unbinding {
                        binding.is_asked = true;
                        self.orders.push_back(Order::Bind(source, topic.pattern.clone()));
                    }
                }
            }
        }
        if needs == Sources::NONE {
            topic.admit(id, joining, wakers);
        } else {
            topic.waiting.insert(id, Waiting { joining, needs });
        }
        id
    }

    /// A member is gone, or has not become one.
    pub(super) fn leave(&mut self, pattern: &Text, key: &FormatKey, id: MemberId, now: Instant) {
        let Some(&at) = self.by_pattern.get(pattern) else {
            return;
        };
        let topic = self.all[at].as_mut().expect("a place that is in use");
        if let Some(waiting) = topic.waiting.remove(&id) {
            topic.uncount(Sources::of(&waiting.joining.encoder));
        } else if let Some(group) = topic.groups.get_mut(key)
            && group.members.remove(&id).is_some()
        {
            let taken = Sources::of(&group.encoder);
            if group.members.is_empty() {
                topic.groups.remove(key);
            }
            topic.uncount(taken);
        }
        self.look_at(at, now);
    }

    /// The broker has bound a topic: all who wait for nothing else are in.
    pub(super) fn bound(
        &mut self,
        (source, pattern): (Source, &Text),
        now: Instant,
        wakers: &mut Wakers,
    ) {
        let Some(&at) = self.by_pattern.get(pattern) else {
            return;
        };
        let topic = self.all[at].as_mut().expect("a place that is in use");
        let binding = &mut topic.bindings[source as usize];
        binding.state = State::Bound { at: now };
        binding.is_asked = false;
        for (id, mut waiting) in mem::take(&mut topic.waiting) {
            waiting.needs.set(source, false);
            if waiting.needs == Sources::NONE {
                topic.admit(id, waiting.joining, wakers);
            } else {
                topic.waiting.insert(id, waiting);
            }
        }
        self.look_at(at, now);
    }

    /// The broker has refused to bind a topic: who waits for it is told. Who is in stays.
    pub(super) fn refused(
        &mut self,
        (source, pattern): (Source, &Text),
        error: &BrokerError,
        now: Instant,
        wakers: &mut Wakers,
    ) {
        let Some(&at) = self.by_pattern.get(pattern) else {
            return;
        };
        let topic = self.all[at].as_mut().expect("a place that is in use");
        topic.bindings[source as usize].is_asked = false;
        for (id, waiting) in mem::take(&mut topic.waiting) {
            if !waiting.needs.has(source) {
                topic.waiting.insert(id, waiting);
                continue;
            }
            let Joining { token, encoder, outbox, .. } = waiting.joining;
            topic.uncount(Sources::of(&encoder));
            wakers.extend(outbox.tell(Event::Failed { token, error: error.clone() }));
        }
        self.look_at(at, now);
    }

    /// The broker has unbound a topic; or has not, and it is as it was.
    pub(super) fn unbound(
        &mut self,
        (source, pattern): (Source, &Text),
        is_done: bool,
        now: Instant,
    ) {
        let Some(&at) = self.by_pattern.get(pattern) else {
            return;
        };
        let topic = self.all[at].as_mut().expect("a place that is in use");
        let is_needed = topic.is_needed(source);
        let binding = &mut topic.bindings[source as usize];
        binding.state = if is_done {
            State::Unbound
        } else {
            // Long enough ago that whoever comes next is asked for.
            State::Bound { at: now.checked_sub(Duration::from_secs(86_400)).unwrap_or(now) }
        };
        if is_needed {
            binding.is_asked = true;
            self.orders.push_back(Order::Bind(source, topic.pattern.clone()));
        }
        self.look_at(at, now);
    }

    /// Orders that unbind what nobody has wanted for long enough are added.
    pub(super) fn expire(&mut self, now: Instant) {
        while let Some((since, ..)) = self.idle.front()
            && *since + LINGER <= now
        {
            let Some((since, source, pattern)) = self.idle.pop_front() else {
                return;
            };
            let topic = self.by_pattern.get(&pattern).and_then(|at| self.all[*at].as_mut());
            let binding = topic.map(|topic| &mut topic.bindings[source as usize]);
            if let Some(binding) = binding.filter(|binding| binding.idle_since == Some(since)) {
                binding.idle_since = None;
                binding.state = State::Unbinding;
                self.orders.push_back(Order::Unbind(source, pattern));
            }
        }
    }

    /// When [`expire`](Self::expire) has something to do.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.idle.front().map(|(since, ..)| *since + LINGER)
    }

    pub(super) fn has_orders(&self) -> bool {
        !self.orders.is_empty()
    }

    /// What the broker is to be asked for next; not for what nobody waits for any more.
    pub(super) fn next_order(&mut self, now: Instant) -> Option<Order> {
        loop {
            let order = self.orders.pop_front()?;
            let Order::Bind(source, pattern) = &order else {
                return Some(order);
            };
            let Some(&at) = self.by_pattern.get(pattern) else {
                continue;
            };
            let topic = self.all[at].as_mut().expect("a place that is in use");
            if topic.is_needed(*source) {
                return Some(order);
            }
            topic.bindings[*source as usize].is_asked = false;
            self.look_at(at, now);
        }
    }

    /// Whether there is no topic, and nothing to ask for.
    pub(super) fn is_empty(&self) -> bool {
        self.by_pattern.is_empty() && self.orders.is_empty()
    }

    /// Where the topics are that fit a message: by its routing key, or by one of its copies', under which
    /// it does not come a second time.
    fn fitting(&self, publication: &Publication) -> SmallVec<[usize; 8]> {
        let mut fitting = SmallVec::new();
        let mut add = |key: &str| {
            let is_visible = |at: &usize| user::is_visible(&self.used(*at).pattern, key);
            fitting.extend(self.trie.matches(key).into_iter().copied().filter(is_visible));
        };
        add(&publication.routing_key);
        let copies = publication.message.properties.headers.iter().find(|(name, _)| name == "CC");
        if let Some((_, Value::Array(keys))) = copies {
            for key in keys {
                if let Value::Text(key) = key {
                    add(key);
                }
            }
            fitting.sort_unstable();
            fitting.dedup();
        }
        fitting.retain(|at| user::may_get(&self.used(*at).pattern, publication));
        fitting
    }

    fn used(&self, at: usize) -> &Topic {
        self.all[at].as_ref().expect("a place that is in use")
    }

    /// Hands a message to every member whose topic fits, who takes from where it comes, and whose encoder
    /// does not say otherwise, encoded once for all whose frames are the same, and not at all for nobody.
    pub(super) fn distribute(
        &mut self,
        delivery: &SharedDelivery<'_>,
        now: Instant,
        wakers: &mut Wakers,
    ) -> Distributed {
        let mut done = Distributed::default();
        let mut encoded = Encoded::new(delivery);
        let mut slow: Vec<(Text, FormatKey, MemberId)> = Vec::new();
        let source = Source::of(delivery.publication);
        let fitting = self.fitting(delivery.publication);
        done.is_unwanted = fitting.is_empty();
        for at in fitting {
            let topic = self.used(at);
            for (key, group) in &topic.groups {
                let is_taken = Sources::of(&group.encoder).has(source);
                if !is_taken || !group.encoder.fits(delivery.publication) {
                    continue;
                }
                let mut frame = None;
                for (id, member) in &group.members {
                    let Member { subscription, outbox, choice } = member;
                    let is_out =
                        |choice: &Arc<dyn DeliveryEncoder>| !choice.accepts(delivery.publication);
                    if choice.as_ref().is_some_and(is_out) {
                        continue;
                    }
                    let Ok(frame) = frame.get_or_insert_with(|| encoded.by(&*group.encoder)) else {
                        done.unwritable += 1;
                        break;
                    };
                    match outbox.put(*subscription, frame.clone(), delivery.publication) {
                        Put::Waits(waker) => wakers.extend(waker),
                        Put::Displaced(count) => done.dropped += count,
                        Put::TooSlow(error) => {
                            let subscription = *subscription;
                            wakers.extend(outbox.tell(Event::Canceled { subscription, error }));
                            slow.push((topic.pattern.clone(), key.clone(), *id));
                            continue;
                        }
                    }
                    done.frames += 1;
                }
            }
        }
        done.ended = slow.len();
        for (pattern, key, id) in slow {
            self.leave(&pattern, &key, id, now);
        }
        done
    }

    /// The inbox is no more: everybody is told.
    pub(super) fn end(&mut self, error: &BrokerError, wakers: &mut Wakers) {
        for topic in mem::take(self).all.into_iter().flatten() {
            for Waiting { joining, .. } in topic.waiting.into_values() {
                let Joining { token, outbox, .. } = joining;
                wakers.extend(outbox.tell(Event::Failed { token, error: error.clone() }));
            }
            for member in topic.groups.into_values().flat_map(|group| group.members.into_values()) {
                let Member { subscription, outbox, .. } = member;
                wakers.extend(outbox.tell(Event::Canceled { subscription, error: error.clone() }));
            }
        }
    }

    /// Where a topic is; a new one is nowhere bound.
    fn place(&mut self, pattern: &Text) -> usize {
        if let Some(at) = self.by_pattern.get(pattern) {
            return *at;
        }
        let pattern = pattern.detached();
        let at = self.free.pop().unwrap_or_else(|| {
            self.all.push(None);
            self.all.len() - 1
        });
        self.trie.insert(&pattern, at);
        self.by_pattern.insert(pattern.clone(), at);
        self.all[at] = Some(Topic {
            pattern,
            bindings: Default::default(),
            groups: BTreeMap::new(),
            waiting: BTreeMap::new(),
        });
        at
    }

    /// A topic without anybody at a source becomes idle there, or is forgotten if it is bound nowhere.
    fn look_at(&mut self, at: usize, now: Instant) {
        let topic = self.all[at].as_mut().expect("a place that is in use");
        let mut is_over = topic.waiting.is_empty() && topic.groups.is_empty();
        for source in Source::ALL {
            let binding = &mut topic.bindings[source as usize];
            is_over &= !binding.is_asked && binding.state == State::Unbound;
            let may_go = binding.takers == 0 && !binding.is_asked && binding.idle_since.is_none();
            let may_go = may_go && matches!(binding.state, State::Bound { .. });
            if may_go {
                binding.idle_since = Some(now);
                self.idle.push_back((now, source, topic.pattern.clone()));
            }
        }
        if is_over {
            self.trie.remove(&topic.pattern, &at);
            self.by_pattern.remove(&topic.pattern);
            self.all[at] = None;
            self.free.push(at);
        }
    }
}

impl Topic {
    /// One who takes from these is there no more.
    fn uncount(&mut self, taken: Sources) {
        for source in Source::ALL.into_iter().filter(|source| taken.has(*source)) {
            self.bindings[source as usize].takers -= 1;
        }
    }

    /// Whether somebody waits for the broker's answer about it.
    fn is_needed(&self, source: Source) -> bool {
        self.waiting.values().any(|waiting| waiting.needs.has(source))
    }

    /// Makes it a member. *Order.* What comes after the answer comes after this.
    fn admit(&mut self, id: MemberId, joining: Joining, wakers: &mut Wakers) {
        let Joining { token, subscription, encoder, outbox } = joining;
        wakers.extend(outbox.tell(Event::Subscribed { token }));
        let choice = encoder.is_choosy().then(|| Arc::clone(&encoder));
        let member = Member { subscription, outbox, choice };
        let group = self
            .groups
            .entry(encoder.key().clone())
            .or_insert_with(|| Group { encoder, members: BTreeMap::new() });
        group.members.insert(id, member);
    }
}
