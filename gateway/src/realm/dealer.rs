//! [`Dealer`]: what the sessions of one realm on this node have in common.

use std::collections::HashMap;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::task::{Context, Poll, Waker};
use std::time::SystemTime;

use arc_swap::ArcSwap;
use broker_adapters::mailbox::{Mailbox, Taken};
use protocols::broker::Token;
use protocols::text::Text;
use protocols::wamp::id::Id;
use protocols::wamp::message::{CancelMode, InvokePolicy};
use protocols::wamp::peers::{Notice, Terms};
use protocols::wamp::realm::Principal;
use protocols::wamp::reason;
use protocols::wamp::registry::{Callee, Delta, Registry, Removal, SessionAt, Timestamp};
use protocols::wamp::rpc::{Answer, Ask, CallId, ToCallee, ToCaller};
use protocols::wamp::uri::Pattern;

use super::Letter;

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
    /// What is registered; changed by sessions of this node.
    master: Mutex<Registry>,
    /// The same, for all to read.
    snapshot: ArcSwap<Registry>,
    members: RwLock<HashMap<SessionAt, Arc<Member>>>,
}

/// A session in a realm, as others see it.
#[derive(Debug)]
pub(super) struct Member {
    at: SessionAt,
    principal: Arc<Principal>,
    mailbox: Mailbox<Letter>,
}

/// Receivers to be woken once no lock is held.
#[derive(Default)]
struct Wakers(Vec<Waker>);

impl Wakers {
    fn wake(self) {
        self.0.into_iter().for_each(Waker::wake);
    }
}

impl Member {
    pub(super) fn poll_take(
        &self,
        cx: &mut Context<'_>,
        batch: &mut VecDeque<Letter>,
    ) -> Poll<Taken> {
        self.mailbox.poll_take(cx, batch)
    }

    /// What happens at most once for each thing that the session has asked for, or has registered.
    fn tell(&self, notice: Notice) -> Option<Waker> {
        self.mailbox.push(Letter::notice(notice))
    }
}

impl Dealer {
    pub(super) fn new(realm: Text) -> Self {
        let registry = Registry::new(realm);
        Self {
            snapshot: ArcSwap::from_pointee(registry.clone()),
            master: Mutex::new(registry),
            members: RwLock::default(),
        }
    }

    /// What is registered now.
    pub(super) fn registry(&self) -> Arc<Registry> {
        self.snapshot.load_full()
    }

    /// `None`: a session of that name is in already. Names are random, so that this is not to be
    /// expected.
    pub(super) fn enter(
        &self,
        at: SessionAt,
        principal: Arc<Principal>,
        capacity: usize,
    ) -> Option<Arc<Member>> {
        let mut members = self.members.write().unwrap_or_else(PoisonError::into_inner);
        if members.contains_key(&at) {
            return None;
        }
        let member = Arc::new(Member { at, principal, mailbox: Mailbox::new(capacity) });
        members.insert(at, Arc::clone(&member));
        Some(member)
    }

    pub(super) fn register(
        &self,
        member: &Member,
        token: Token,
        (pattern, invoke, terms): (Pattern, InvokePolicy, Terms),
        force: bool,
    ) {
        let mut wakers = Wakers::default();
        {
            let mut registry = self.master();
            let is_same_user = |callee: &Callee| {
                let other = self.member(callee.at);
                other.is_some_and(|other| other.principal.authid == member.principal.authid)
            };
            let callee = terms.of(member.at, now());
            let registered =
                registry.register(pattern, invoke, callee, force.then_some(&is_same_user));
            let notice = match registered {
                Ok(registered) => {
                    self.revoke(&registered.deltas, &mut wakers);
                    Notice::Registered { token, registration: registered.registration }
                }
                Err(error) => Notice::NotRegistered { token, error },
            };
            // Before anybody can find it: the callee hears of it before the first call.
            wakers.0.extend(member.tell(notice));
            self.publish(&registry);
        }
        wakers.wake();
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

    pub(super) fn unregister(&self, member: &Member, token: Token, registration: Id) {
        let mut registry = self.master();
        let notice = match registry.unregister(member.at, registration) {
            Ok(_) => Notice::Unregistered { token },
            Err(_) => Notice::NotUnregistered { token },
        };
        self.publish(&registry);
        drop(registry);
        wake(member.tell(notice));
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
        {
            let mut registry = self.master();
            if !registry.leave(member.at).is_empty() {
                self.publish(&registry);
            }
        }
        let mut members = self.members.write().unwrap_or_else(PoisonError::into_inner);
        members.remove(&member.at);
        drop(members);
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

    fn master(&self) -> MutexGuard<'_, Registry> {
        self.master.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish(&self, registry: &Registry) {
        self.snapshot.store(Arc::new(registry.clone()));
    }

    fn member(&self, at: SessionAt) -> Option<Arc<Member>> {
        let members = self.members.read().unwrap_or_else(PoisonError::into_inner);
        members.get(&at).cloned()
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
fn now() -> Timestamp {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
