//! The meta API: what a session asks of its realm, and what happens there as those are told who have
//! subscribed to it.
//!
//! *Spec.* WAMP §Session Meta API, §Registration Meta API, §Subscription Meta API.

use protocols::wamp::id::Id;
use protocols::wamp::meta::{Directory, Query, Told};
use protocols::wamp::peers::Notice;
use protocols::wamp::refusal::Reason;
use protocols::wamp::registry::SessionAt;
use protocols::wamp::uri::Pattern;

use super::Letter;
use super::dealer::{Dealer, Master, now};
use super::member::{Member, Put, Wakers};

/// Said to a caller whose answers pile up.
const TOO_MUCH: &str = "results of this session's calls wait for it, and there is no room for more";

impl Dealer {
    /// A session has subscribed.
    pub(super) fn subscribed(&self, member: &Member, subscription: Id, pattern: Pattern) {
        let session = member.at.session;
        self.change(|master| master.directory.subscribe(session, (subscription, pattern), now()));
    }

    /// A session subscribes no more.
    pub(super) fn unsubscribed(&self, member: &Member, subscription: Id) {
        self.change(|master| master.directory.unsubscribe(member.at.session, subscription));
    }

    /// A session has called one of the protocol's own procedures.
    pub(super) fn consult(&self, member: &Member, request: Id, query: Query) {
        self.change(|master| {
            master.directory.consult(member.at.session, (request, query), &master.registry)
        });
    }

    fn change(&self, change: impl FnOnce(&mut Master) -> Vec<Told>) {
        let mut wakers = Wakers::default();
        {
            let mut master = self.master();
            let told = change(&mut master);
            self.deliver(&mut master.directory, told, &mut wakers);
        }
        wakers.wake();
    }

    /// Hands over what the directory says. All hear of it in the same order, for its lock is held.
    pub(super) fn deliver(&self, directory: &mut Directory, told: Vec<Told>, wakers: &mut Wakers) {
        for (session, notice) in told {
            let Some(member) = self.member(SessionAt { node: self.node(), session }) else {
                continue;
            };
            let waker = match notice {
                Notice::Event { subscription, .. } => match member.put_event(notice) {
                    Put::Taken(waker) => waker,
                    // Said once: what else is to be told here comes after it.
                    Put::TooSlow if directory.stop_telling(session, subscription) => {
                        member.tell(Notice::TooSlow { subscription })
                    }
                    Put::TooSlow => None,
                },
                Notice::Answered { request, answer } => match member.mailbox.reserve() {
                    Some(slot) => slot.put(Letter::notice(Notice::Answered { request, answer })),
                    None => {
                        let answer = Err((Reason::Unavailable, TOO_MUCH.to_owned()));
                        member.tell(Notice::Answered { request, answer })
                    }
                },
                // It is killed once.
                notice => member.tell(notice),
            };
            wakers.0.extend(waker);
        }
    }
}
