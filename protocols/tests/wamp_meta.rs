//! WAMP §Session Meta API, §Registration Meta API, §Subscription Meta API, for generated sessions: who
//! is told of all that happens, and has asked for nothing, knows what the procedures answer.
#![allow(missing_docs, clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use protocols::wamp::id::Id;
use protocols::wamp::message::{Features, InvokePolicy, MatchPolicy};
use protocols::wamp::meta::{
    Answer, Change, Directory, Event, Farewell, Kind, Query, Question, Told, Victims,
};
use protocols::wamp::peers::Notice;
use protocols::wamp::pubsub::subscription_id;
use protocols::wamp::realm::Principal;
use protocols::wamp::registry::{Callee, NodeId, Registry, SessionAt, Timestamp};
use protocols::wamp::uri::Pattern;

const REALM: &str = "realm1";
const NODE: NodeId = NodeId(1);

/// The session that is told everything, and is there all the time.
const WATCHER: u64 = 100;

#[derive(Debug, Clone)]
enum Step {
    Enter(u64),
    Leave(u64),
    Subscribe(u64, Pattern),
    Unsubscribe(u64, Pattern),
    Register(u64, Pattern),
    Unregister(u64, Pattern),
    Kill(u64),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let sessions = || 1..5_u64;
    let patterns = || {
        select(vec![
            (MatchPolicy::Exact, "a.b"),
            (MatchPolicy::Prefix, "a."),
            (MatchPolicy::Wildcard, "a."),
            (MatchPolicy::Exact, "wamp.session.on_join"),
            (MatchPolicy::Wildcard, "..on_leave"),
        ])
        .prop_map(|(policy, uri)| Pattern { policy, uri: uri.into() })
    };
    let both = || (sessions(), patterns());
    let step = prop_oneof![
        4 => sessions().prop_map(Step::Enter),
        2 => sessions().prop_map(Step::Leave),
        4 => both().prop_map(|(session, pattern)| Step::Subscribe(session, pattern)),
        3 => both().prop_map(|(session, pattern)| Step::Unsubscribe(session, pattern)),
        4 => both().prop_map(|(session, pattern)| Step::Register(session, pattern)),
        3 => both().prop_map(|(session, pattern)| Step::Unregister(session, pattern)),
        1 => sessions().prop_map(Step::Kill),
    ];
    vec(step, 0..80)
}

fn id(session: u64) -> Id {
    Id::new(session).unwrap()
}

fn at(session: u64) -> SessionAt {
    SessionAt { node: NODE, session: id(session) }
}

fn principal(session: u64) -> Arc<Principal> {
    Arc::new(Principal {
        session: id(session),
        authid: "ann".into(),
        authrole: "staff".into(),
        authmethod: "ticket",
        authprovider: "static",
    })
}

/// What somebody knows who is told what happens.
#[derive(Debug, Default, PartialEq)]
struct Known {
    sessions: BTreeSet<Id>,
    /// By what they are, and their IDs: what they are of, and who is in them.
    members: BTreeMap<(bool, Id), (Pattern, BTreeSet<Id>)>,
}

impl Known {
    fn hear(&mut self, event: &Event) {
        match event {
            Event::Joined(principal) => assert!(self.sessions.insert(principal.session)),
            Event::Left(principal) => {
                assert!(self.sessions.remove(&principal.session));
                let has =
                    |(_, members): &(Pattern, BTreeSet<Id>)| members.contains(&principal.session);
                assert!(!self.members.values().any(has), "it had nothing any more");
            }
            Event::Changed { kind, session, change } => self.hear_of(*kind, *session, change),
        }
    }

    fn hear_of(&mut self, kind: Kind, session: Id, change: &Change) {
        let is_registration = kind == Kind::Registration;
        match change {
            Change::Created(details) => {
                assert_eq!(details.invoke.is_some(), is_registration);
                let fresh = (details.pattern.clone(), BTreeSet::new());
                let before = self.members.insert((is_registration, details.id), fresh);
                assert_eq!(before, None, "it was not there");
            }
            Change::Added(id) => {
                let (_, members) = self.members.get_mut(&(is_registration, *id)).unwrap();
                assert!(members.insert(session));
            }
            Change::Removed(id) => {
                let (_, members) = self.members.get_mut(&(is_registration, *id)).unwrap();
                assert!(members.remove(&session));
            }
            Change::Deleted(id) => {
                let (_, members) = self.members.remove(&(is_registration, *id)).unwrap();
                assert!(members.is_empty(), "after the last one was removed");
            }
        }
    }
}

struct World {
    directory: Directory,
    registry: Registry,
    /// Those who have come and not gone, and whether they were killed.
    there: BTreeMap<u64, bool>,
    known: Known,
    /// The subscription on which all is told.
    watching: Id,
    time: u64,
}

impl World {
    fn new() -> Self {
        let mut directory = Directory::new(REALM, &[1; 32]);
        assert_eq!(directory.enter(&principal(WATCHER)), []);
        let pattern = Pattern { policy: MatchPolicy::Prefix, uri: "wamp.".into() };
        let watching = subscription_id(REALM, &pattern);
        let own = (watching, pattern);
        assert_eq!(directory.subscribe(id(WATCHER), own, Timestamp(0)), []);
        let mut known = Known::default();
        known.sessions.insert(id(WATCHER));
        let registry = Registry::new(REALM.into());
        Self { directory, registry, there: BTreeMap::new(), known, watching, time: 1 }
    }

    fn step(&mut self, step: Step) {
        self.time += 1;
        let now = Timestamp(self.time);
        let is_there = |session: &u64| self.there.contains_key(session);
        let told = match step {
            Step::Enter(session) if !is_there(&session) => {
                self.there.insert(session, false);
                self.directory.enter(&principal(session))
            }
            Step::Leave(session) if is_there(&session) => {
                self.there.remove(&session);
                let deltas = self.registry.leave(at(session));
                self.directory.leave(id(session), &deltas)
            }
            Step::Subscribe(session, pattern) if is_there(&session) => {
                let what = (subscription_id(REALM, &pattern), pattern);
                self.directory.subscribe(id(session), what, now)
            }
            Step::Unsubscribe(session, pattern) => {
                self.directory.unsubscribe(id(session), subscription_id(REALM, &pattern))
            }
            Step::Register(session, pattern) if is_there(&session) => {
                let callee = Callee {
                    at: at(session),
                    registered: now,
                    wants_caller: false,
                    keeps_timeouts: false,
                    concurrency: None,
                    features: Features::NONE,
                };
                let outcome = self.registry.register(pattern, InvokePolicy::Random, callee, None);
                let deltas = outcome.map(|outcome| outcome.deltas).unwrap_or_default();
                self.directory.registered(&deltas)
            }
            Step::Unregister(session, pattern) => {
                let registration = self.registry.lookup(&pattern).map(|it| it.id());
                let registration = registration.unwrap_or(Id::MIN);
                let deltas = self.registry.unregister(at(session), registration);
                self.directory.registered(&deltas.unwrap_or_default())
            }
            Step::Kill(session) => return self.kill(session),
            Step::Enter(_) | Step::Leave(_) | Step::Subscribe(..) | Step::Register(..) => return,
        };
        self.deliver(told);
    }

    fn kill(&mut self, session: u64) {
        let farewell = Farewell { reason: "com.app.over".into(), message: None };
        let query = Query::Kill { victims: Victims::Session(id(session)), farewell };
        let mut told = self.directory.consult(id(WATCHER), (Id::MIN, query), &self.registry);
        let Some((_, Notice::Answered { answer, .. })) = told.pop() else { panic!("{told:?}") };
        let is_killed = self.there.get_mut(&session).map(|is_killed| {
            let before = *is_killed;
            *is_killed = true;
            before
        });
        assert_eq!(answer.is_ok(), is_killed == Some(false));
        assert_eq!(told.len(), usize::from(answer.is_ok()));
    }

    fn deliver(&mut self, told: Vec<Told>) {
        for (session, notice) in told {
            let Notice::Event { subscription, event, .. } = notice else { panic!("{notice:?}") };
            if subscription == self.watching {
                assert_eq!(session, id(WATCHER));
                self.known.hear(&event);
            } else {
                assert!(self.there.contains_key(&session.get()), "who has left is told nothing");
            }
        }
    }

    fn ask(&mut self, query: Query) -> Answer {
        let mut told = self.directory.consult(id(WATCHER), (Id::MIN, query), &self.registry);
        match told.pop() {
            Some((_, Notice::Answered { answer: Ok(answer), .. })) if told.is_empty() => answer,
            other => panic!("{other:?} after {told:?}"),
        }
    }

    fn ids(&mut self, query: Query) -> BTreeSet<Id> {
        match self.ask(query) {
            Answer::Ids(ids) => ids.into_iter().collect(),
            other => panic!("{other:?}"),
        }
    }

    /// What there is, as the procedures say.
    fn check(&mut self) {
        let killed = self.there.iter().filter(|(_, is_killed)| **is_killed).map(|(it, _)| id(*it));
        let killed: BTreeSet<Id> = killed.collect();
        let living: BTreeSet<Id> = self.known.sessions.difference(&killed).copied().collect();
        assert_eq!(self.ask(Query::CountSessions(None)), Answer::Count(living.len()));
        assert_eq!(self.ids(Query::ListSessions(None)), living);
        let mut found = BTreeMap::new();
        for (is_registration, kind) in [(true, Kind::Registration), (false, Kind::Subscription)] {
            let Answer::Lists(lists) = self.ask(Query::About(kind, Question::List)) else {
                panic!()
            };
            for id in lists.exact.into_iter().chain(lists.prefix).chain(lists.wildcard) {
                let details = self.ask(Query::About(kind, Question::Get(id)));
                let Answer::Details(details) = details else { panic!("{details:?}") };
                let members = self.ids(Query::About(kind, Question::ListMembers(id)));
                let count = self.ask(Query::About(kind, Question::CountMembers(id)));
                assert_eq!(count, Answer::Count(members.len()));
                let look_up = Question::LookUp(details.pattern.clone());
                assert_eq!(self.ask(Query::About(kind, look_up)), Answer::Found(Some(id)));
                found.insert((is_registration, id), (details.pattern, members));
            }
        }
        // Nobody is told of subscriptions to what happens.
        let mut told = found.clone();
        told.retain(|(is_registration, _), (pattern, _)| {
            *is_registration || !pattern.is_reserved()
        });
        assert_eq!(told, self.known.members);
        let topic = "a.b";
        let Answer::Matching(matching) =
            self.ask(Query::About(Kind::Subscription, Question::Match(topic.into())))
        else {
            panic!("IDs")
        };
        let subscriptions = found.iter().filter(|((is_registration, _), _)| !is_registration);
        let expected = subscriptions.filter(|(_, (pattern, _))| pattern.matches(topic));
        assert_eq!(BTreeSet::from_iter(matching), expected.map(|((_, id), _)| *id).collect());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn what_was_told_is_what_is_there(steps in steps()) {
        let mut world = World::new();
        for step in steps {
            world.step(step);
        }
        world.check();
        let left: Vec<u64> = world.there.keys().copied().collect();
        left.into_iter().for_each(|session| world.step(Step::Leave(session)));
        world.check();
        prop_assert_eq!(world.known, World::new().known, "nothing is left of anybody");
    }
}
