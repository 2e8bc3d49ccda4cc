//! What a session says to other sessions of its realm, and they to it.

use std::task::{Context, Poll};
use std::time::Instant;

use protocols::wamp::peers::Request;

use super::closing::{Closing, End};
use super::{BUDGET, Driver};
use crate::realm::Seat;
use crate::transport::Transport;

impl<T: Transport> Driver<T> {
    /// What others have for the session. True if the budget was spent.
    pub(super) fn drive_peers(&mut self, now: Instant, cx: &mut Context<'_>) -> bool {
        for _ in 0..BUDGET {
            if self.closing.is_some() {
                return false;
            }
            let is_throttled = self.is_above_high_water();
            let Some(seat) = &mut self.seat else {
                return false;
            };
            if is_throttled {
                self.throttled = true;
                return false;
            }
            let Poll::Ready(notice) = seat.poll_next(cx) else {
                return false;
            };
            self.session.handle_peers(now, notice, &mut self.actions);
            self.dispatch(now, cx);
        }
        true
    }

    /// Does what the session asks of its realm.
    pub(super) fn apply_requests(&mut self, now: Instant, cx: &mut Context<'_>) {
        for request in self.actions.peers.drain(..) {
            match (request, &mut self.seat) {
                (Request::Enter { realm, at, principal }, seat @ None) => {
                    let pending = self.route.pending.clone();
                    *seat = Seat::enter(&self.route.realms, &realm, (at, principal), pending);
                    // What comes to it has nobody to wake yet; the turn that follows looks.
                    cx.waker().wake_by_ref();
                    if seat.is_none() {
                        let deadline = now + self.tuning.close_timeout;
                        let end = End::NameTaken;
                        self.closing.get_or_insert(Closing { end, deadline, released: false });
                    }
                }
                (request, Some(seat)) => seat.apply(request),
                (request, None) => debug_assert!(false, "before it is in: {request:?}"),
            }
        }
    }

    /// The connection has ended, however it did: nobody is to wait for this session.
    pub(super) fn leave_realm(&mut self, now: Instant) {
        if let Some(mut seat) = self.seat.take() {
            self.session.handle_gone(now, &mut self.actions);
            self.actions.peers.drain(..).for_each(|request| seat.apply(request));
        }
    }
}
