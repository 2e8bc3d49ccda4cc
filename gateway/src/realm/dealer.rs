//! [`Dealer`]: what the sessions of one realm on this node have in common.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::task::Waker;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use broker_adapters::mailbox::Mailbox;
use protocols::broker::{BrokerError, Token};
use protocols::text::Text;
use protocols::violation::shown;
use protocols::wamp::bridge::Outcome;
use protocols::wamp::id::Id;
use protocols::wamp::message::{CancelMode, InvokePolicy, MatchPolicy};
use protocols::wamp::meta::Directory;
use protocols::wamp::peers::Notice;
use protocols::wamp::realm::Principal;
use protocols::wamp::reason;
use protocols::wamp::registry::{
    Callee, Delta, NodeId, RegisterError, Registered, Registry, Removal, SessionAt, Timestamp,
};
use protocols::wamp::rpc::{Answer, Ask, CallId, ToCallee, ToCaller};
use protocols::wamp::uri::Pattern;

use super::Letter;
use super::bridge::BRIDGE;
use super::claims::{Claims, Errand, Registrant};
use super::member::{Member, Wakers};
use crate::hub::share::Pending;

/// Said to a callee that has lost its registration.
const REPLACED: &str = "another session of the same user has registered it";

/// Said to a caller whose answer found no room.
pub(super) const TOO_SLOW: &str = "there was an answer, but the caller takes answers too slowly";

/// Said to a caller one of whose parts found no room.
const CALLEE_TOO_SLOW: &str = "the callee takes the parts of the call too slowly";

/// One realm on this node.
///
/// *Order of locks.* `master`, then `members`, then a mailbox. Nobody is woken under one.
#[derive(Debug)]
pub(crate) struct Dealer {
    node: NodeId,
    /// What is registered, and who is there; changed by sessions of this node.
    master: Mutex<Master>,
    /// What is registered, for all to read.
    snapshot: ArcSwap<Registry>,
    members: RwLock<HashMap<SessionAt, Arc<Member>>>,
}

#[derive(Debug)]
pub(super) struct Master {
    pub(super) registry: Registry,
    pub(super) directory: Directory,
    claims: Claims,
    /// What the bridge is asked for; `None` if there is none, and this node is by itself.
    errands: Option<Arc<Mailbox<Errand>>>,
}

impl Dealer {
    pub(super) fn new(node: NodeId, realm: Text, random: &[u8; 32]) -> Self {
        let directory = Directory::new(&realm, random);
        let registry = Registry::new(realm);
        let snapshot = ArcSwap::from_pointee(registry.clone());
        let master = Master { registry, directory, claims: Claims::default(), errands: None };
        Self { node, snapshot, master: Mutex::new(master), members: RwLock::default() }
    }

    pub(super) const fn node(&self) -> NodeId {
        self.node
    }

    /// From here on there is a bridge: it is the callee of what nobody has registered here, and of these
    /// procedures. What it is asked for comes by the mailbox.
    pub(super) fn attach(
        &self,
        callee: Callee,
        procedures: impl IntoIterator<Item = Text>,
    ) -> Arc<Mailbox<Errand>> {
        let mut master = self.master();
        master.registry = master.registry.clone().with_fallback(callee);
        for uri in procedures {
            let pattern = Pattern { policy: MatchPolicy::Exact, uri };
            let registered = master.registry.register(pattern, InvokePolicy::Single, callee, None);
            debug_assert!(registered.is_ok(), "before any session: {registered:?}");
        }
        let errands = Arc::new(Mailbox::new(0));
        master.errands = Some(Arc::clone(&errands));
        self.publish(&master.registry);
        errands
    }

    /// What is registered now.
    pub(super) fn registry(&self) -> Arc<Registry> {
        self.snapshot.load_full()
    }

    /// `None`: a session of that name is in already. Names are random, so that this is not to be
    /// expected. `is_seen`: others are told of it, and find it.
    pub(super) fn enter(
        &self,
        (at, principal): (SessionAt, Arc<Principal>),
        pending: Pending,
        is_seen: bool,
    ) -> Option<Arc<Member>> {
        let member = Arc::new(Member::new(at, principal, pending));
        let mut wakers = Wakers::default();
        {
            let mut master = self.master();
            let mut members = self.members.write().unwrap_or_else(PoisonError::into_inner);
            if members.contains_key(&at) {
                return None;
            }
            members.insert(at, Arc::clone(&member));
            drop(members);
            if is_seen {
                let told = master.directory.enter(&member.principal);
                self.deliver(&mut master.directory, told, &mut wakers);
            }
        }
        wakers.wake();
        Some(member)
    }

    pub(super) fn register(&self, registrant: Registrant) {
        let mut wakers = Wakers::default();
        {
            let mut master = self.master();
            let is_claimed = registrant.pattern.policy == MatchPolicy::Exact
                && master.errands.is_some()
                // What a route names is nobody's to claim.
                && (master.claims.holds(&registrant.pattern.uri)
                    || master.registry.lookup(&registrant.pattern).is_none());
            let decided =
                if is_claimed { master.claims.register(registrant) } else { Err(registrant) };
            match decided {
                Ok(errand) => master.ask(errand, &mut wakers),
                Err(registrant) => self.decide(&mut master, registrant, &mut wakers),
            }
        }
        wakers.wake();
    }

    /// A session becomes a callee, or is told why not.
    fn decide(&self, master: &mut Master, registrant: Registrant, wakers: &mut Wakers) {
        let Registrant { member, token, pattern, invoke, terms, force } = registrant;
        let is_same_user = |callee: &Callee| {
            let other = self.member(callee.at);
            other.is_some_and(|other| {
                let (other, user) = (&other.principal, &member.principal);
                // The gateway itself is nobody's user, whatever its login is called.
                other.authid == user.authid && other.authmethod != BRIDGE
            })
        };
        let callee = terms.of(member.at, now());
        let registry = &mut master.registry;
        let registered = registry.register(pattern, invoke, callee, force.then_some(&is_same_user));
        let (notice, deltas) = match registered {
            Ok(registered) => {
                self.revoke(&registered.deltas, wakers);
                let Registered { registration, load, deltas } = registered;
                (Notice::Registered { token, registration, load }, deltas)
            }
            Err(error) => (Notice::NotRegistered { token, error }, Vec::new()),
        };
        // Before anybody can find it: the callee hears of it before the first call.
        wakers.0.extend(member.tell(notice));
        self.publish(&master.registry);
        self.announce(master, &deltas, wakers);
    }

    /// Tells those who have subscribed to that what has become of registrations.
    fn announce(&self, master: &mut Master, deltas: &[Delta], wakers: &mut Wakers) {
        let told = master.directory.registered(deltas);
        self.deliver(&mut master.directory, told, wakers);
    }

    /// What became of a claim at the broker.
    pub(super) fn on_outcome(&self, outcome: Outcome) {
        let mut wakers = Wakers::default();
        {
            let mut master = self.master();
            match outcome {
                Outcome::Claimed(uri) => self.on_claimed(&mut master, &uri, &mut wakers),
                Outcome::Refused(uri, error) => {
                    for Registrant { member, token, .. } in master.claims.on_refused(&uri) {
                        let uri = shown(&uri);
                        let error = RegisterError::Elsewhere { uri, error: error.clone() };
                        wakers.0.extend(member.tell(Notice::NotRegistered { token, error }));
                    }
                }
                Outcome::Released(uri) => {
                    let (told, errand) = master.claims.on_released(&uri);
                    for (member, token) in told {
                        wakers.0.extend(member.tell(Notice::Unregistered { token }));
                    }
                    master.ask(errand, &mut wakers);
                }
                Outcome::Lost(uri, error) => self.on_lost(&mut master, &uri, &error, &mut wakers),
            }
        }
        wakers.wake();
    }

    fn on_claimed(&self, master: &mut Master, uri: &Text, wakers: &mut Wakers) {
        let Some((invoke, waiting)) = master.claims.on_claimed(uri) else { return };
        // Some may have left while they waited.
        let mut waiting: VecDeque<_> =
            waiting.into_iter().filter(|it| self.member(it.member.at).is_some()).collect();
        let is_as_claimed = |first: &&Registrant| first.invoke == invoke;
        if waiting.front().filter(is_as_claimed).is_none() {
            let errand = master.claims.release(uri, None, waiting.into());
            return master.ask(Some(errand), wakers);
        }
        for registrant in waiting.drain(..) {
            self.decide(master, registrant, wakers);
        }
        let pattern = Pattern { policy: MatchPolicy::Exact, uri: uri.clone() };
        if master.is_given_up(&pattern) {
            let errand = master.claims.release(uri, None, Vec::new());
            master.ask(Some(errand), wakers);
        }
    }

    /// The broker has taken a procedure away: its callees are none any more.
    fn on_lost(&self, master: &mut Master, uri: &Text, error: &BrokerError, wakers: &mut Wakers) {
        master.claims.on_lost(uri);
        let pattern = Pattern { policy: MatchPolicy::Exact, uri: uri.clone() };
        let Some(registration) = master.registry.lookup(&pattern).cloned() else { return };
        let mut deltas = Vec::new();
        for callee in registration.callees() {
            // It is one, or there would be nothing to lose.
            let lost = master.registry.unregister(callee.at, registration.id());
            deltas.extend(lost.unwrap_or_default());
            if let Some(member) = self.member(callee.at) {
                let reason = Text::from(format!("the broker has taken it away: {}", error.text));
                let notice = Notice::Revoked { registration: registration.id(), reason };
                wakers.0.extend(member.tell(notice));
            }
        }
        self.publish(&master.registry);
        self.announce(master, &deltas, wakers);
    }

    /// Tells those that are callees no more without having asked for that.
    fn revoke(&self, deltas: &[Delta], wakers: &mut Wakers) {
        for delta in deltas {
            if let Delta::CalleeRemoved { registration, at, cause: Removal::Revoked } = delta
                && let Some(callee) = self.member(*at)
            {
                let reason = Text::from_static(REPLACED);
                let notice = Notice::Revoked { registration: *registration, reason };
                wakers.0.extend(callee.tell(notice));
            }
        }
    }

    pub(super) fn unregister(&self, member: &Arc<Member>, token: Token, registration: Id) {
        let mut wakers = Wakers::default();
        {
            let mut master = self.master();
            let pattern = master.registry.get_of(member.at, registration);
            let pattern = pattern.map(|it| it.pattern().clone());
            let outcome = master.registry.unregister(member.at, registration);
            let is_done = outcome.is_ok();
            self.publish(&master.registry);
            let released = pattern.filter(|_| is_done).filter(|it| master.is_given_up(it));
            match released {
                // Told once it is free for others.
                Some(pattern) => {
                    let told = Some((Arc::clone(member), token));
                    let errand = master.claims.release(&pattern.uri, told, Vec::new());
                    master.ask(Some(errand), &mut wakers);
                }
                None if is_done => wakers.0.extend(member.tell(Notice::Unregistered { token })),
                None => wakers.0.extend(member.tell(Notice::NotUnregistered { token })),
            }
            self.announce(&mut master, &outcome.unwrap_or_default(), &mut wakers);
        }
        wakers.wake();
    }

    /// From a caller to a callee.
    pub(super) fn ask(&self, from: &Member, ask: ToCallee) {
        let call = ask.call;
        let Some(to) = self.member(ask.to) else {
            return wake(from.tell(Notice::AskUndelivered(call)));
        };
        let letter = |ask| Letter { from: Some(from.at), notice: Notice::Ask(ask) };
        match ask.ask {
            // Small, and once for each call.
            Ask::Interrupt { .. } => wake(to.mailbox.push(letter(ask))),
            Ask::Invoke(_) => match to.mailbox.reserve() {
                Some(slot) => wake(slot.put(letter(ask))),
                None => wake(from.tell(Notice::AskUndelivered(call))),
            },
            Ask::Continue { .. } => match to.mailbox.reserve() {
                Some(slot) => wake(slot.put(letter(ask))),
                // The callee has begun: it is not another one's turn.
                None => give_up(call, &to, from),
            },
        }
    }

    /// From a callee to a caller.
    pub(super) fn answer(&self, from: &Member, answer: ToCaller) {
        let call = answer.call;
        let Some(to) = self.member(call.caller) else {
            return wake(from.tell(Notice::AnswerUndelivered(call)));
        };
        let is_final = answer.answer.is_final();
        let letter = Letter { from: Some(from.at), notice: Notice::Answer(answer) };
        match to.mailbox.reserve() {
            Some(slot) => wake(slot.put(letter)),
            // One for each call that the session has made.
            None if is_final => wake(to.tell(canceled(call, TOO_SLOW))),
            None => wake(from.tell(Notice::AnswerUndelivered(call))),
        }
    }

    /// The session ends; `unread` has been taken, but not been looked at.
    pub(super) fn leave(&self, member: &Member, unread: impl Iterator<Item = Letter>) {
        let mut wakers = Wakers::default();
        {
            let mut master = self.master();
            // Whoever looks for it from here on, to make it a callee, does not find it.
            let mut members = self.members.write().unwrap_or_else(PoisonError::into_inner);
            members.remove(&member.at);
            drop(members);
            let registry = &mut master.registry;
            let ids: Vec<_> = registry.of_session(member.at).collect();
            let patterns: Vec<_> = ids
                .into_iter()
                .filter_map(|id| Some(registry.get_of(member.at, id)?.pattern().clone()))
                .collect();
            let deltas = registry.leave(member.at);
            if !deltas.is_empty() {
                self.publish(&master.registry);
            }
            let told = master.directory.leave(member.at.session, &deltas);
            self.deliver(&mut master.directory, told, &mut wakers);
            for pattern in patterns.iter().filter(|pattern| pattern.policy == MatchPolicy::Exact) {
                if master.is_given_up(pattern) {
                    let errand = master.claims.release(&pattern.uri, None, Vec::new());
                    master.ask(Some(errand), &mut wakers);
                }
            }
        }
        wakers.wake();
        let letters = unread.chain(member.mailbox.close());
        for letter in letters {
            let Some(sender) = letter.from.and_then(|from| self.member(from)) else {
                continue;
            };
            match letter.notice {
                Notice::Ask(ToCallee { call, ask: Ask::Invoke(_), .. }) => {
                    wake(sender.tell(Notice::AskUndelivered(call)));
                }
                Notice::Answer(answer) => {
                    wake(sender.tell(Notice::AnswerUndelivered(answer.call)));
                }
                _ => {}
            }
        }
    }

    pub(super) fn master(&self) -> MutexGuard<'_, Master> {
        self.master.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, registry: &Registry) {
        self.snapshot.store(Arc::new(registry.clone()));
    }

    pub(super) fn member(&self, at: SessionAt) -> Option<Arc<Member>> {
        let members = self.members.read().unwrap_or_else(PoisonError::into_inner);
        members.get(&at).cloned()
    }
}

impl Master {
    /// Whether it is this node's, and nobody is a callee of it any more.
    fn is_given_up(&self, pattern: &Pattern) -> bool {
        self.claims.holds(&pattern.uri) && self.registry.lookup(pattern).is_none()
    }

    fn ask(&self, errand: Option<Errand>, wakers: &mut Wakers) {
        if let (Some(errand), Some(errands)) = (errand, &self.errands) {
            wakers.0.extend(errands.push(errand));
        }
    }
}

/// A part of a call has found no room: the call is over, for both.
fn give_up(call: CallId, callee: &Member, caller: &Member) {
    let ask = Ask::Interrupt {
        mode: CancelMode::KillNoWait,
        reason: Text::from_static(reason::CANCELED),
    };
    wake(callee.tell(Notice::Ask(ToCallee { to: callee.at, call, ask })));
    wake(caller.tell(canceled(call, CALLEE_TOO_SLOW)));
}

fn canceled(call: CallId, why: &str) -> Notice {
    Notice::Answer(ToCaller { call, answer: Answer::Canceled { why: why.to_owned() } })
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

/// Milliseconds since 1970. A clock before that is wrong anyway.
pub(super) fn now() -> Timestamp {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
