//! [`Seat`]: one session's place in a realm.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll};

use protocols::wamp::peers::{Notice, Request};
use protocols::wamp::realm::Principal;
use protocols::wamp::registry::SessionAt;

use super::claims::Registrant;
use super::dealer::Dealer;
use super::member::Member;
use super::{Letter, Realms};
use crate::hub::outbox::Overflow;
use crate::hub::share::Pending;

/// A session in a realm: what it asks for is carried out here, and what comes to it waits here.
///
/// It leaves the realm when it says so, and when it is dropped.
#[derive(Debug)]
pub(crate) struct Seat {
    dealer: Arc<Dealer>,
    member: Arc<Member>,
    /// Taken from the mailbox last.
    batch: VecDeque<Letter>,
    has_left: bool,
}

impl Seat {
    /// The session is in. `None`: there is no such realm, or there is a session of that name.
    ///
    /// `pending` is what may wait for it.
    pub(crate) fn enter(
        realms: &Realms,
        realm: &str,
        entrant: (SessionAt, Arc<Principal>),
        pending: Pending,
    ) -> Option<Self> {
        Self::take(realms, realm, entrant, (pending, true))
    }

    /// As [`enter`](Self::enter), for what is no client's session: others call it, but do not see it.
    pub(crate) fn enter_unseen(
        realms: &Realms,
        realm: &str,
        entrant: (SessionAt, Arc<Principal>),
        bytes: usize,
    ) -> Option<Self> {
        let pending = Pending { bytes, overflow: Overflow::Disconnect };
        Self::take(realms, realm, entrant, (pending, false))
    }

    fn take(
        realms: &Realms,
        realm: &str,
        entrant: (SessionAt, Arc<Principal>),
        (pending, is_seen): (Pending, bool),
    ) -> Option<Self> {
        let dealer = Arc::clone(realms.dealer(realm)?);
        let member = dealer.enter(entrant, pending, is_seen)?;
        Some(Self { dealer, member, batch: VecDeque::new(), has_left: false })
    }

    /// Does what the session asks for.
    pub(crate) fn apply(&mut self, request: Request) {
        let Self { dealer, member, .. } = self;
        match request {
            // It is in already.
            Request::Enter { .. } => {}
            Request::Register { token, pattern, invoke, callee, force } => {
                let member = Arc::clone(member);
                let terms = callee;
                dealer.register(Registrant { member, token, pattern, invoke, terms, force });
            }
            Request::Unregister { token, registration } => {
                dealer.unregister(member, token, registration);
            }
            Request::Subscribed { subscription, pattern } => {
                dealer.subscribed(member, subscription, pattern);
            }
            Request::Unsubscribed { subscription } => dealer.unsubscribed(member, subscription),
            Request::Consult { request, query } => dealer.consult(member, request, query),
            Request::Ask(ask) => dealer.ask(member, ask),
            Request::Answer(answer) => dealer.answer(member, answer),
            Request::Leave => self.leave(),
        }
    }

    /// The next thing that has come to the session.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Notice> {
        loop {
            if let Some(letter) = self.batch.pop_front() {
                return Poll::Ready(letter.notice);
            }
            // Whoever was refused has been told, and does not wait: an empty batch says nothing.
            if self.has_left || self.member.poll_take(cx, &mut self.batch).is_pending() {
                return Poll::Pending;
            }
        }
    }

    fn leave(&mut self) {
        if !std::mem::replace(&mut self.has_left, true) {
            self.dealer.leave(&self.member, self.batch.drain(..));
        }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.leave();
    }
}
