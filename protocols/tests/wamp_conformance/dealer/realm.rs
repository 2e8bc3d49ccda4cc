//! What is between the sessions of a realm.

use std::sync::{Arc, Mutex};

use protocols::text::Text;
use protocols::wamp::meta::Told;
use protocols::wamp::peers::{Notice, Realms, Request};
use protocols::wamp::realm::Principal;
use protocols::wamp::registry::{Callee, Delta, NodeId, Registry, Removal, SessionAt, Timestamp};

use super::World;

/// What is registered in the realm `open`.
#[derive(Debug)]
pub(super) struct Registered(Mutex<Arc<Registry>>);

impl Registered {
    pub(super) fn new() -> Self {
        Self(Mutex::new(Arc::new(Registry::new("open".into()))))
    }
}

impl Realms for Registered {
    fn node(&self) -> NodeId {
        NodeId(1)
    }

    fn registry(&self, realm: &str) -> Option<Arc<Registry>> {
        (realm == "open").then(|| Arc::clone(&self.0.lock().unwrap()))
    }
}

impl World {
    /// Carries what sessions ask of each other, until they ask nothing more.
    pub(super) fn settle(&mut self) {
        let mut players = self.players.iter_mut();
        while let Some(who) = players.position(|it| !it.client.pair.peers.is_empty()) {
            let request = self.players[who].client.pair.peers.pop_front().unwrap();
            self.carry(who, request);
            players = self.players.iter_mut();
        }
    }

    pub(super) fn carry(&mut self, who: usize, request: Request) {
        let from = self.inside.iter().find(|(_, (player, _))| *player == who);
        let from = from.map(|(at, (_, principal))| (*at, Arc::clone(principal)));
        match (request, from) {
            (Request::Enter { realm, at, principal }, None) => {
                assert_eq!((realm.as_str(), principal.session), ("open", at.session));
                let told = self.directory.enter(&principal);
                self.inside.insert(at, (who, principal));
                self.deliver(told);
            }
            (Request::Leave, Some((at, _))) => {
                let deltas = self.change(|registry| registry.leave(at));
                self.inside.remove(&at);
                let told = self.directory.leave(at.session, &deltas);
                self.deliver(told);
                assert!(self.client(who).pair.peers.is_empty(), "the last request");
            }
            (Request::Ask(ask), Some((at, _))) => {
                assert_eq!(ask.call.caller, at);
                match self.reachable(ask.to) {
                    Some(callee) => self.notice(callee, Notice::Ask(ask)),
                    None => self.notice(who, Notice::AskUndelivered(ask.call)),
                }
            }
            (Request::Answer(answer), Some(_)) => match self.reachable(answer.call.caller) {
                Some(caller) => self.notice(caller, Notice::Answer(answer)),
                None => self.notice(who, Notice::AnswerUndelivered(answer.call)),
            },
            (Request::Subscribed { subscription, pattern }, Some((at, _))) => {
                self.time += 1;
                let (what, now) = ((subscription, pattern), Timestamp(self.time));
                let told = self.directory.subscribe(at.session, what, now);
                self.deliver(told);
            }
            (Request::Unsubscribed { subscription }, Some((at, _))) => {
                let told = self.directory.unsubscribe(at.session, subscription);
                self.deliver(told);
            }
            (Request::Consult { request, query }, Some((at, _))) => {
                let registry = self.registered.registry("open").unwrap();
                let told = self.directory.consult(at.session, (request, query), &registry);
                self.deliver(told);
            }
            (request, Some(from)) => self.carry_registration(who, request, from),
            (request, None) => panic!("before ENTER, or after LEAVE: {request:?}"),
        }
    }

    fn carry_registration(
        &mut self,
        who: usize,
        request: Request,
        (at, principal): (SessionAt, Arc<Principal>),
    ) {
        self.time += 1;
        let now = Timestamp(self.time);
        let mut deltas = Vec::new();
        let notice = match request {
            Request::Register { token, pattern, invoke, callee, force } => {
                let users = self.inside.clone();
                let outcome = self.change(|registry| {
                    let is_same = |other: &Callee| {
                        users
                            .get(&other.at)
                            .is_some_and(|(_, user)| user.authid == principal.authid)
                    };
                    let may_replace = force.then_some(&is_same as _);
                    registry.register(pattern, invoke, callee.of(at, now), may_replace)
                });
                match outcome {
                    Ok(outcome) => {
                        self.revoke(&outcome.deltas);
                        deltas = outcome.deltas;
                        let registration = outcome.registration;
                        Notice::Registered { token, registration, load: outcome.load }
                    }
                    Err(error) => Notice::NotRegistered { token, error },
                }
            }
            Request::Unregister { token, registration } => {
                match self.change(|registry| registry.unregister(at, registration)) {
                    Ok(removed) => {
                        deltas = removed;
                        Notice::Unregistered { token }
                    }
                    Err(_) => Notice::NotUnregistered { token },
                }
            }
            other => panic!("{other:?}"),
        };
        self.notice(who, notice);
        let told = self.directory.registered(&deltas);
        self.deliver(told);
    }

    fn deliver(&mut self, told: Vec<Told>) {
        for (session, notice) in told {
            let who = self.inside.iter().find(|(at, _)| at.session == session);
            let who = who.expect("nobody else is told").1.0;
            self.notice(who, notice);
        }
    }

    fn revoke(&mut self, deltas: &[Delta]) {
        for delta in deltas {
            if let Delta::CalleeRemoved { registration, at, cause: Removal::Revoked } = delta
                && let Some((who, _)) = self.inside.get(at)
            {
                let reason = Text::from_static("com.app.replaced");
                let (who, registration) = (*who, *registration);
                self.notice(who, Notice::Revoked { registration, reason });
            }
        }
    }

    fn reachable(&self, at: SessionAt) -> Option<usize> {
        let (who, _) = self.inside.get(&at)?;
        (!self.unreachable.contains(who)).then_some(*who)
    }

    /// The next snapshot.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Registry) -> T) -> T {
        let mut registered = self.registered.0.lock().unwrap();
        change(Arc::make_mut(&mut registered))
    }
}
