//! [`Directory`]: who is in a realm on this node, and who is told what happens there.
//!
//! A value that whoever carries things between the sessions of a realm keeps and changes: it is told who
//! comes and goes, and says what is to be told to whom, in that order.
//!
//! *Spec.* WAMP §Session Meta API, §Registration Meta API, §Subscription Meta API.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::subscriptions::Subscriptions;
use super::{Answer, Cause, Change, Details, Event, Filter, Kind, Query, Question, Victims};
use crate::wamp::id::Id;
use crate::wamp::peers::Notice;
use crate::wamp::publications::Publications;
use crate::wamp::realm::Principal;
use crate::wamp::refusal::Reason;
use crate::wamp::registry::{Delta, Registration, Registry, Timestamp};
use crate::wamp::uri::{Pattern, is_reserved};

/// What comes to a session of this node.
pub type Told = (Id, Notice);

/// The sessions of a realm, what they have subscribed to, and what the realm's own publications are called.
#[derive(Debug)]
pub struct Directory {
    sessions: BTreeMap<Id, Session>,
    subscriptions: Subscriptions,
    /// Subscriptions to what happens, by its topics: session and ID.
    watching: BTreeMap<&'static str, BTreeSet<(Id, Id)>>,
    publications: Publications,
}

#[derive(Debug)]
struct Session {
    principal: Arc<Principal>,
    /// It has been told to end, and is there no more for whoever asks.
    is_killed: bool,
}

impl Directory {
    /// Nobody is there yet. *Shape.* `random` bits that nobody else knows.
    pub fn new(realm: &str, random: &[u8; 32]) -> Self {
        let key = Sha256::new().chain_update(random).chain_update(realm).finalize();
        Self {
            sessions: BTreeMap::new(),
            subscriptions: Subscriptions::default(),
            watching: BTreeMap::new(),
            publications: Publications::new(&key.into()),
        }
    }

    /// A session has joined.
    pub fn enter(&mut self, principal: &Arc<Principal>) -> Vec<Told> {
        let session = Session { principal: Arc::clone(principal), is_killed: false };
        self.sessions.insert(principal.session, session);
        self.tell(|| Event::Joined(Arc::clone(principal)))
    }

    /// A session has ended; `deltas` are what has become of what it had registered.
    pub fn leave(&mut self, session: Id, deltas: &[Delta]) -> Vec<Told> {
        let subscriptions = self.subscriptions.of(session);
        for id in &subscriptions {
            self.stop_telling(session, *id);
        }
        let mut told = self.registered(deltas);
        for id in subscriptions {
            told.extend(self.unsubscribe(session, id));
        }
        if let Some(Session { principal, .. }) = self.sessions.remove(&session) {
            told.extend(self.tell(|| Event::Left(principal)));
        }
        told
    }

    /// A session has subscribed. To what happens it has done so only then: it is not told of it there.
    pub fn subscribe(
        &mut self,
        session: Id,
        (id, pattern): (Id, Pattern),
        now: Timestamp,
    ) -> Vec<Told> {
        if !self.sessions.contains_key(&session) {
            return Vec::new();
        }
        let Some(created) = self.subscriptions.add(session, (id, &pattern), now) else {
            return Vec::new();
        };
        let mut told = Vec::new();
        if !pattern.is_reserved() {
            if let Some(details) = created {
                told = self.tell(|| subscription(session, Change::Created(details)));
            }
            told.extend(self.tell(|| subscription(session, Change::Added(id))));
        }
        if pattern.may_be_reserved() {
            for topic in Event::TOPICS.into_iter().filter(|topic| pattern.matches(topic)) {
                self.watching.entry(topic).or_default().insert((session, id));
            }
        }
        told
    }

    /// A session subscribes no more.
    pub fn unsubscribe(&mut self, session: Id, id: Id) -> Vec<Told> {
        self.stop_telling(session, id);
        let removed = self.subscriptions.remove(session, id);
        let Some((_, is_last)) = removed.filter(|(pattern, _)| !pattern.is_reserved()) else {
            return Vec::new();
        };
        let mut told = self.tell(|| subscription(session, Change::Removed(id)));
        if is_last {
            told.extend(self.tell(|| subscription(session, Change::Deleted(id))));
        }
        told
    }

    /// Nothing that happens is for this subscription any more: its session takes it too slowly.
    /// False if it was told nothing any more.
    pub fn stop_telling(&mut self, session: Id, subscription: Id) -> bool {
        let mut was_told = false;
        self.watching.retain(|_, watching| {
            was_told |= watching.remove(&(session, subscription));
            !watching.is_empty()
        });
        was_told
    }

    /// Registrations have changed.
    pub fn registered(&mut self, deltas: &[Delta]) -> Vec<Told> {
        deltas.iter().flat_map(|delta| self.tell(|| Event::from(delta))).collect()
    }

    /// A call of one of the protocol's own procedures: what comes of it, for its caller and for others.
    pub fn consult(
        &mut self,
        caller: Id,
        (request, query): (Id, Query),
        registry: &Registry,
    ) -> Vec<Told> {
        let mut told = Vec::new();
        let answer = match query {
            _ if self.session(caller).is_err() => {
                Err((Reason::Unavailable, "this session has been killed".to_owned()))
            }
            Query::CountSessions(filter) => Ok(Answer::Count(self.in_roles(&filter).count())),
            Query::ListSessions(filter) => {
                Ok(Answer::Ids(self.in_roles(&filter).map(|it| it.session).collect()))
            }
            Query::Session(id) => self.session(id).cloned().map(Answer::Session),
            Query::About(Kind::Registration, question) => about_registrations(question, registry),
            Query::About(Kind::Subscription, question) => self.about_subscriptions(question),
            Query::Kill { victims, farewell } => self.kill(caller, &victims).map(|killed| {
                told.extend(killed.iter().map(|it| (*it, Notice::Killed(farewell.clone()))));
                match victims {
                    Victims::Session(_) => Answer::Done,
                    Victims::OfUser(_) | Victims::InRole(_) => Answer::Ids(killed),
                    Victims::All => Answer::Count(killed.len()),
                }
            }),
        };
        told.push((caller, Notice::Answered { request, answer }));
        told
    }

    fn living(&self) -> impl Iterator<Item = &Arc<Principal>> {
        self.sessions.values().filter(|it| !it.is_killed).map(|it| &it.principal)
    }

    fn in_roles(&self, filter: &Filter) -> impl Iterator<Item = &Arc<Principal>> {
        let fits = |principal: &&Arc<Principal>| {
            filter.as_ref().is_none_or(|roles| roles.contains(&principal.authrole))
        };
        self.living().filter(fits)
    }

    fn session(&self, id: Id) -> Result<&Arc<Principal>, Cause> {
        let session = self.sessions.get(&id).filter(|it| !it.is_killed);
        session.map(|it| &it.principal).ok_or_else(|| {
            (Reason::NoSuchSession, format!("there is no session with the ID {id} here"))
        })
    }

    /// Those who are there no more by that.
    fn kill(&mut self, caller: Id, victims: &Victims) -> Result<Vec<Id>, Cause> {
        let killed: Vec<Id> = match victims {
            Victims::Session(id) if *id == caller => {
                let sentence = format!("there is no other session with the ID {id} here");
                return Err((Reason::NoSuchSession, sentence));
            }
            Victims::Session(id) => vec![self.session(*id)?.session],
            _ => {
                let is_meant = |it: &&Arc<Principal>| match victims {
                    Victims::OfUser(authid) => it.authid == *authid,
                    Victims::InRole(authrole) => it.authrole == *authrole,
                    Victims::All | Victims::Session(_) => true,
                };
                let others = self.living().filter(|it| it.session != caller);
                others.filter(is_meant).map(|it| it.session).collect()
            }
        };
        for id in &killed {
            if let Some(session) = self.sessions.get_mut(id) {
                session.is_killed = true;
            }
        }
        Ok(killed)
    }

    fn about_subscriptions(&self, question: Question) -> Result<Answer, Cause> {
        let all = &self.subscriptions;
        let missing = |id: Id| {
            let sentence = format!("there is no subscription with the ID {id}");
            (Reason::NoSuchSubscription, sentence)
        };
        Ok(match question {
            Question::List => Answer::Lists(all.list()),
            Question::LookUp(pattern) => Answer::Found(all.look_up(&pattern)),
            Question::Match(topic) => Answer::Matching(all.matching(&topic)),
            Question::Get(id) => Answer::Details(all.details(id).ok_or_else(|| missing(id))?),
            Question::ListMembers(id) => {
                let subscribers = all.subscribers(id).ok_or_else(|| missing(id))?;
                Answer::Ids(subscribers.iter().copied().collect())
            }
            Question::CountMembers(id) => {
                Answer::Count(all.subscribers(id).ok_or_else(|| missing(id))?.len())
            }
        })
    }

    /// Who hears of something, on which subscriptions. *Cost.* Linear in those; without any to what happens
    /// at all, it is not even made.
    fn tell(&mut self, event: impl FnOnce() -> Event) -> Vec<Told> {
        if self.watching.is_empty() {
            return Vec::new();
        }
        let event = Arc::new(event());
        let Some(watching) = self.watching.get(event.topic()) else { return Vec::new() };
        let publication = Id::from_bits(self.publications.next());
        let told = watching.iter().map(|(session, subscription)| {
            let (subscription, event) = (*subscription, Arc::clone(&event));
            (*session, Notice::Event { subscription, publication, event })
        });
        told.collect()
    }
}

fn about_registrations(question: Question, registry: &Registry) -> Result<Answer, Cause> {
    let find = |id: Id| -> Result<&Arc<Registration>, Cause> {
        registry.get(id).ok_or_else(|| {
            let sentence = format!("there is no registration with the ID {id}");
            (Reason::NoSuchRegistration, sentence)
        })
    };
    let id = |it: Option<&Arc<Registration>>| it.map(|registration| registration.id());
    Ok(match question {
        Question::List => Answer::Lists(registry.list()),
        Question::LookUp(pattern) => Answer::Found(id(registry.lookup(&pattern))),
        // Calls of the protocol's own procedures are for no registration.
        Question::Match(procedure) if is_reserved(&procedure) => Answer::Found(None),
        Question::Match(procedure) => Answer::Found(id(registry.best_match(&procedure))),
        Question::Get(id) => Answer::Details(Details::from(&**find(id)?)),
        Question::ListMembers(id) => {
            Answer::Ids(find(id)?.callees().map(|callee| callee.at.session).collect())
        }
        Question::CountMembers(id) => Answer::Count(find(id)?.callees().len()),
    })
}

const fn subscription(session: Id, change: Change) -> Event {
    Event::Changed { kind: Kind::Subscription, session, change }
}
