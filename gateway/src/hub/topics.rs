//! [`Topics`]: who shares which topics of one inbox, and what the broker has to be asked for.
//!
//! A plain value: joins, leaves, the broker's answers and the time go in; orders to bind and unbind come
//! out. A topic is bound with its first member and stays bound for [`LINGER`] after its last, so
//! that a wave of reconnects costs the broker nothing. Members whose frames have the same bytes are one
//! group: a message is encoded once for each, unless its encoder says that none of them gets it.

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
    Bind(Text),
    Unbind(Text),
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
    idle: VecDeque<(Instant, Text)>,
    orders: VecDeque<Order>,
    next_member: u64,
}

#[derive(Debug)]
struct Topic {
    pattern: Text,
    binding: Binding,
    /// Asked for, or asked for again to see whether they still may.
    is_binding: bool,
    groups: BTreeMap<FormatKey, Group>,
    /// Who becomes a member once it is bound.
    waiting: BTreeMap<MemberId, Joining>,
    /// Since when nobody is there.
    idle_since: Option<Instant>,
}

/// What the broker has said last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Binding {
    /// Nothing, or that it is bound no more.
    Unbound,
    /// That it is bound, and may be: when.
    Bound { at: Instant },
    /// It was asked to unbind it.
    Unbinding,
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
        topic.idle_since = None;
        match topic.binding {
            Binding::Bound { at } if now.saturating_duration_since(at) < trusted => {
                topic.admit(id, joining, wakers);
            }
            binding => {
                topic.waiting.insert(id, joining);
                // While it is being unbound, it is bound again after that.
                if !topic.is_binding && binding != Binding::Unbinding {
                    topic.is_binding = true;
                    self.orders.push_back(Order::Bind(topic.pattern.clone()));
                }
            }
        }
        id
    }

    /// A member is gone, or has not become one.
    pub(super) fn leave(&mut self, pattern: &Text, key: &FormatKey, id: MemberId, now: Instant) {
        let Some(&at) = self.by_pattern.get(pattern) else {
            return;
        };
        let topic = self.all[at].as_mut().expect("a place that is in use");
        if topic.waiting.remove(&id).is_none()
            && let Some(group) = topic.groups.get_mut(key)
        {
            group.members.remove(&id);
            if group.members.is_empty() {
                topic.groups.remove(key);
            }
        }
        self.look_at(at, now);
    }

    /// The broker has bound a topic: all who wait for it are in.
    pub(super) fn bound(&mut self, pattern: &Text, now: Instant, wakers: &mut Wakers) {
        let Some(&at) = self.by_pattern.get(pattern) else {
            return;
        };
        let topic = self.all[at].as_mut().expect("a place that is in use");
        topic.binding = Binding::Bound { at: now };
        topic.is_binding = false;
        for (id, joining) in mem::take(&mut topic.waiting) {
            topic.admit(id, joining, wakers);
        }
        self.look_at(at, now);
    }

    /// The broker has refused to bind a topic: who waits for it is told. Who is in stays.
    pub(super) fn refused(
        &mut self,
        pattern: &Text,
        error: &BrokerError,
        now: Instant,
        wakers: &mut Wakers,
    ) {
        let Some(&at) = self.by_pattern.get(pattern) else {
            return;
        };
        let topic = self.all[at].as_mut().expect("a place that is in use");
        topic.is_binding = false;
        for Joining { token, outbox, .. } in mem::take(&mut topic.waiting).into_values() {
            wakers.extend(outbox.tell(Event::Failed { token, error: error.clone() }));
        }
        self.look_at(at, now);
    }

    /// The broker has unbound a topic; or has not, and it is as it was.
    pub(super) fn unbound(&mut self, pattern: &Text, is_done: bool, now: Instant) {
        let Some(&at) = self.by_pattern.get(pattern) else {
            return;
        };
        let topic = self.all[at].as_mut().expect("a place that is in use");
        topic.binding = if is_done {
            Binding::Unbound
        } else {
            // Long enough ago that whoever comes next is asked for.
            Binding::Bound { at: now.checked_sub(Duration::from_secs(86_400)).unwrap_or(now) }
        };
        if !topic.waiting.is_empty() {
            topic.is_binding = true;
            self.orders.push_back(Order::Bind(topic.pattern.clone()));
        }
        self.look_at(at, now);
    }

    /// Orders that unbind what nobody has wanted for long enough are added.
    pub(super) fn expire(&mut self, now: Instant) {
        while let Some((since, _)) = self.idle.front()
            && *since + LINGER <= now
        {
            let Some((since, pattern)) = self.idle.pop_front() else {
                return;
            };
            let topic = self.by_pattern.get(&pattern).and_then(|at| self.all[*at].as_mut());
            if let Some(topic) = topic.filter(|topic| topic.idle_since == Some(since)) {
                topic.idle_since = None;
                topic.binding = Binding::Unbinding;
                self.orders.push_back(Order::Unbind(pattern));
            }
        }
    }

    /// When [`expire`](Self::expire) has something to do.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.idle.front().map(|(since, _)| *since + LINGER)
    }

    pub(super) fn has_orders(&self) -> bool {
        !self.orders.is_empty()
    }

    /// What the broker is to be asked for next; not for what nobody waits for any more.
    pub(super) fn next_order(&mut self, now: Instant) -> Option<Order> {
        loop {
            let order = self.orders.pop_front()?;
            let Order::Bind(pattern) = &order else {
                return Some(order);
            };
            let Some(&at) = self.by_pattern.get(pattern) else {
                continue;
            };
            let topic = self.all[at].as_mut().expect("a place that is in use");
            if !topic.waiting.is_empty() {
                return Some(order);
            }
            topic.is_binding = false;
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

    /// Hands a message to every member whose topic fits and whose encoder does not say otherwise,
    /// encoded once for all whose frames are the same, and not at all for nobody.
    pub(super) fn distribute(
        &mut self,
        delivery: &SharedDelivery<'_>,
        now: Instant,
        wakers: &mut Wakers,
    ) -> Distributed {
        let mut done = Distributed::default();
        let mut encoded = Encoded::new(delivery);
        let mut slow: Vec<(Text, FormatKey, MemberId)> = Vec::new();
        let fitting = self.fitting(delivery.publication);
        done.is_unwanted = fitting.is_empty();
        for at in fitting {
            let topic = self.used(at);
            for (key, group) in &topic.groups {
                if !group.encoder.fits(delivery.publication) {
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
            for Joining { token, outbox, .. } in topic.waiting.into_values() {
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
            binding: Binding::Unbound,
            is_binding: false,
            groups: BTreeMap::new(),
            waiting: BTreeMap::new(),
            idle_since: None,
        });
        at
    }

    /// A topic without anybody becomes idle, or is forgotten if it is not bound.
    fn look_at(&mut self, at: usize, now: Instant) {
        let topic = self.all[at].as_mut().expect("a place that is in use");
        if topic.is_binding || !topic.waiting.is_empty() || !topic.groups.is_empty() {
            return;
        }
        match topic.binding {
            Binding::Bound { .. } => {
                if topic.idle_since.is_none() {
                    topic.idle_since = Some(now);
                    self.idle.push_back((now, topic.pattern.clone()));
                }
            }
            Binding::Unbinding => {}
            Binding::Unbound => {
                self.trie.remove(&topic.pattern, &at);
                self.by_pattern.remove(&topic.pattern);
                self.all[at] = None;
                self.free.push(at);
            }
        }
    }
}

impl Topic {
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
