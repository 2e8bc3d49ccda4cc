//! [`Subscriptions`]: what the sessions of a realm have subscribed to on this node.
//!
//! *Spec.* WAMP §Subscription Meta API.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use smallvec::SmallVec;

use super::details::Details;
use crate::text::Text;
use crate::wamp::id::Id;
use crate::wamp::message::MatchPolicy;
use crate::wamp::registry::{Listing, Timestamp};
use crate::wamp::uri::Pattern;

/// All of them, by what they are of.
///
/// IDs are hashes, and two patterns with one can be searched for: the meta API tells of the one that
/// was there first. What a session has under an ID is one alone.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    all: HashMap<Pattern, Subscription>,
    by_id: HashMap<Id, SmallVec<[Pattern; 1]>>,
    /// Those that may match several topics.
    patterns: HashSet<Pattern>,
    /// By session and ID.
    of_session: BTreeMap<(Id, Id), Pattern>,
}

#[derive(Debug)]
struct Subscription {
    id: Id,
    created: Timestamp,
    subscribers: BTreeSet<Id>,
}

impl Subscriptions {
    /// A session subscribes. What was created by that, if anything was; `None` if it has subscribed to
    /// it already.
    pub(super) fn add(
        &mut self,
        session: Id,
        (id, pattern): (Id, &Pattern),
        now: Timestamp,
    ) -> Option<Option<Details>> {
        if self.of_session.contains_key(&(session, id)) {
            return None;
        }
        self.of_session.insert((session, id), pattern.clone());
        let mut created = None;
        let subscription = self.all.entry(pattern.clone()).or_insert_with(|| {
            let details = Details { id, created: now, pattern: pattern.clone(), invoke: None };
            created = Some(details);
            Subscription { id, created: now, subscribers: BTreeSet::new() }
        });
        subscription.subscribers.insert(session);
        if created.is_some() {
            self.by_id.entry(id).or_default().push(pattern.clone());
            if pattern.policy != MatchPolicy::Exact {
                self.patterns.insert(pattern.clone());
            }
        }
        Some(created)
    }

    /// A session subscribes no more: to what, and whether it was the last one. `None` if it had not.
    pub(super) fn remove(&mut self, session: Id, id: Id) -> Option<(Pattern, bool)> {
        let pattern = self.of_session.remove(&(session, id))?;
        let subscription = self.all.get_mut(&pattern)?;
        subscription.subscribers.remove(&session);
        let is_last = subscription.subscribers.is_empty();
        if is_last {
            self.all.remove(&pattern);
            self.patterns.remove(&pattern);
            if let Some(patterns) = self.by_id.get_mut(&id) {
                patterns.retain(|other| *other != pattern);
                if patterns.is_empty() {
                    self.by_id.remove(&id);
                }
            }
        }
        Some((pattern, is_last))
    }

    /// The IDs of what a session has subscribed to.
    pub(super) fn of(&self, session: Id) -> Vec<Id> {
        let all = self.of_session.range((session, Id::MIN)..=(session, Id::MAX));
        all.map(|((_, id), _)| *id).collect()
    }

    pub(super) fn list(&self) -> Listing {
        let mut listing = Listing::default();
        for (pattern, subscription) in &self.all {
            let ids = match pattern.policy {
                MatchPolicy::Exact => &mut listing.exact,
                MatchPolicy::Prefix => &mut listing.prefix,
                MatchPolicy::Wildcard => &mut listing.wildcard,
            };
            ids.push(subscription.id);
        }
        listing
    }

    pub(super) fn look_up(&self, pattern: &Pattern) -> Option<Id> {
        self.all.get(pattern).map(|subscription| subscription.id)
    }

    /// Those that mean a topic. *Cost.* Linear in patterns.
    pub(super) fn matching(&self, topic: &Text) -> Vec<Id> {
        let exact = Pattern { policy: MatchPolicy::Exact, uri: topic.clone() };
        let exact = self.look_up(&exact);
        let patterns = self.patterns.iter().filter(|pattern| pattern.matches(topic));
        let mut ids: Vec<_> =
            exact.into_iter().chain(patterns.filter_map(|it| self.look_up(it))).collect();
        ids.sort_unstable();
        ids
    }

    pub(super) fn details(&self, id: Id) -> Option<Details> {
        let (pattern, Subscription { created, .. }) = self.get(id)?;
        Some(Details { id, created: *created, pattern: pattern.clone(), invoke: None })
    }

    pub(super) fn subscribers(&self, id: Id) -> Option<&BTreeSet<Id>> {
        self.get(id).map(|(_, subscription)| &subscription.subscribers)
    }

    fn get(&self, id: Id) -> Option<(&Pattern, &Subscription)> {
        let pattern = self.by_id.get(&id)?.first()?;
        Some((pattern, self.all.get(pattern)?))
    }
}
