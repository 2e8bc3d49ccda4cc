//! What is between two sessions: one node, whose realm `r` both may join, and who is told of what in it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use protocols::wamp::meta::{Directory, Told};
use protocols::wamp::peers::{Notice, Realms, Request};
use protocols::wamp::realm::Principal;
use protocols::wamp::registry::{Callee, Delta, NodeId, Registry, Removal, SessionAt, Timestamp};
use protocols::wamp::rpc::Ask;

use super::Way;
use super::client::Side;

/// What is registered.
#[derive(Debug)]
struct Registered(Mutex<Arc<Registry>>);

impl Realms for Registered {
    fn node(&self) -> NodeId {
        NodeId(1)
    }

    fn registry(&self, realm: &str) -> Option<Arc<Registry>> {
        (realm == "r").then(|| Arc::clone(&self.0.lock().expect("one thread")))
    }
}

/// Who is in the realm, and what they have registered.
pub(super) struct Between {
    registered: Arc<Registered>,
    inside: BTreeMap<SessionAt, (usize, Arc<Principal>)>,
    directory: Directory,
    time: u64,
}

impl Between {
    pub(super) fn new() -> Self {
        let registry = Arc::new(Registry::new("r".into()));
        let registered = Arc::new(Registered(Mutex::new(registry)));
        let (inside, directory) = (BTreeMap::new(), Directory::new("r", &[7; 32]));
        Self { registered, inside, directory, time: 0 }
    }

    pub(super) fn realms(&self) -> Arc<dyn Realms> {
        Arc::clone(&self.registered) as _
    }

    /// Does what a session has asked. What goes from one to another may get lost; what is about
    /// registrations does not.
    pub(super) fn carry(
        &mut self,
        sides: &mut [Side; 2],
        now: Instant,
        (who, request): (usize, Request),
        way: Way,
    ) {
        let mut notices = Vec::new();
        match request {
            Request::Enter { realm, at, principal } => {
                assert_eq!((&*realm, principal.session), ("r", at.session));
                let told = self.directory.enter(&principal);
                let before = self.inside.insert(at, (who, principal));
                assert!(before.is_none(), "a session enters once");
                self.tell(told, &mut notices);
            }
            Request::Leave => {
                let at = self.at(who);
                let deltas = self.change(|registry| registry.leave(at));
                self.inside.remove(&at);
                let told = self.directory.leave(at.session, &deltas);
                self.tell(told, &mut notices);
            }
            Request::Ask(ask) => {
                let may_be_told = !matches!(ask.ask, Ask::Interrupt { .. });
                let (to, call) = (ask.to, ask.call);
                match self.inside.get(&to).filter(|_| way != Way::Undelivered) {
                    Some((callee, _)) => send(&mut notices, *callee, Notice::Ask(ask), way),
                    None if may_be_told => notices.push((who, Notice::AskUndelivered(call))),
                    None => {}
                }
            }
            Request::Answer(answer) => {
                let call = answer.call;
                match self.inside.get(&call.caller).filter(|_| way != Way::Undelivered) {
                    Some((caller, _)) => send(&mut notices, *caller, Notice::Answer(answer), way),
                    None => notices.push((who, Notice::AnswerUndelivered(call))),
                }
            }
            Request::Subscribed { subscription, pattern } => {
                self.time += 1;
                let (what, now) = ((subscription, pattern), Timestamp(self.time));
                let told = self.directory.subscribe(self.at(who).session, what, now);
                self.tell(told, &mut notices);
            }
            Request::Unsubscribed { subscription } => {
                let told = self.directory.unsubscribe(self.at(who).session, subscription);
                self.tell(told, &mut notices);
            }
            Request::Consult { request, query } => {
                let registry = self.registered.registry("r").expect("that realm");
                let session = self.at(who).session;
                let told = self.directory.consult(session, (request, query), &registry);
                self.tell(told, &mut notices);
            }
            other => self.register(who, other, &mut notices),
        }
        for (to, notice) in notices {
            // What had come and was not handed over is undelivered, and nobody is there to be told.
            if self.inside.values().any(|(side, _)| *side == to) {
                sides[to].notice(now, notice);
            }
        }
    }

    fn tell(&self, told: Vec<Told>, notices: &mut Vec<(usize, Notice)>) {
        for (session, notice) in told {
            let who = self.inside.iter().find(|(at, _)| at.session == session);
            notices.push((who.expect("nobody else is told").1.0, notice));
        }
    }

    fn register(&mut self, who: usize, request: Request, notices: &mut Vec<(usize, Notice)>) {
        self.time += 1;
        let (at, now) = (self.at(who), Timestamp(self.time));
        let mut deltas = Vec::new();
        let notice = match request {
            Request::Register { token, pattern, invoke, callee, force } => {
                let is_anybody = |_: &Callee| true;
                let may_replace = force.then_some(&is_anybody as _);
                let callee = callee.of(at, now);
                let done = self.change(|it| it.register(pattern, invoke, callee, may_replace));
                match done {
                    Ok(done) => {
                        self.revoke(&done.deltas, notices);
                        deltas = done.deltas;
                        Notice::Registered {
                            token,
                            registration: done.registration,
                            load: done.load,
                        }
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
        notices.push((who, notice));
        let told = self.directory.registered(&deltas);
        self.tell(told, notices);
    }

    fn revoke(&self, deltas: &[Delta], notices: &mut Vec<(usize, Notice)>) {
        for delta in deltas {
            if let Delta::CalleeRemoved { registration, at, cause: Removal::Revoked } = delta
                && let Some((who, _)) = self.inside.get(at)
            {
                let (registration, reason) = (*registration, "replaced".into());
                notices.push((*who, Notice::Revoked { registration, reason }));
            }
        }
    }

    fn at(&self, who: usize) -> SessionAt {
        let found = self.inside.iter().find(|(_, (side, _))| *side == who);
        *found.expect("after ENTER, and before LEAVE").0
    }

    fn change<T>(&self, change: impl FnOnce(&mut Registry) -> T) -> T {
        change(Arc::make_mut(&mut self.registered.0.lock().expect("one thread")))
    }
}

fn send(notices: &mut Vec<(usize, Notice)>, to: usize, notice: Notice, way: Way) {
    match way {
        Way::Lost => {}
        Way::Twice => notices.extend([(to, notice.clone()), (to, notice)]),
        _ => notices.push((to, notice)),
    }
}
