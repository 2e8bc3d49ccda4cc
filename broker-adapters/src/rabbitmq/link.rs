//! [`RabbitLink`]: one owner's view of RabbitMQ.
//!
//! It has no task of its own: everything moves on when its owner polls. Commands are handed to
//! lapin inside [`Link::submit`] where nothing stands before them.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use protocols::broker::{BrokerError, Command, Event, SubscriptionId};

use super::binder::Asked;
use super::consume::Consuming;
use super::declaring::{Declaring, Known};
use super::lasting::Lasting;
use super::pool::Lease;
use super::publish::{Publish, Publishing};
use super::session::Session;
use super::topology::{Plan, Target};
use crate::Link;

/// What a link has to report, in order. Bounded by what its owner asked for: one answer for each
/// command, and as many deliveries as the prefetches of its subscriptions allow.
pub(super) type Events = VecDeque<Event>;

/// See the module.
pub(super) struct RabbitLink {
    lease: Lease,
    publishing: Publishing,
    consuming: Consuming,
    declaring: Declaring,
    events: Events,
    /// Whoever found nothing to report, or no room for a publish.
    waiting: Option<Waker>,
    /// Nothing more comes of this link.
    is_down: bool,
}

impl RabbitLink {
    pub(super) fn new(lease: Lease) -> Self {
        static COUNT: AtomicU64 = AtomicU64::new(1);
        let id = COUNT.fetch_add(1, Ordering::Relaxed);
        let known = Known::default();
        Self {
            publishing: Publishing::new(lease.clone(), id, known.clone()),
            consuming: Consuming::new(lease.clone(), id),
            declaring: Declaring::new(lease.clone(), known),
            lease,
            events: Events::new(),
            waiting: None,
            is_down: false,
        }
    }

    fn advance(&mut self, cx: &mut Context<'_>) {
        if self.is_down {
            return;
        }
        // First: that an exchange is there is told before what has waited for it.
        self.declaring.poll(cx, &mut self.events);
        if let Err(error) = self.publishing.poll(cx, &mut self.events) {
            self.is_down = true;
            self.events.push_back(Event::Down { error });
            return;
        }
        self.consuming.poll(cx, &mut self.events);
    }

    fn wait(&mut self, cx: &Context<'_>) {
        match &mut self.waiting {
            Some(waiting) => waiting.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }

    /// Carries a command out, or begins to. True if its owner must poll for it to go on.
    ///
    /// *Errors.* What can be refused without asking RabbitMQ, with the token of the answer.
    fn carry_out(&mut self, command: Command) -> Result<bool, Event> {
        let settings = self.lease.settings();
        match command {
            Command::Publish { token, to, message, queue, confirm, mandatory } => {
                let failed = |error: BrokerError| Event::Failed { token, error };
                let target = Target::of(to, queue.as_deref(), settings).map_err(failed)?;
                let after = self.declaring.barrier();
                let publish =
                    Publish { token, after, target, message, confirm, mandatory, returned: 0 };
                Ok(self.publishing.publish(publish, &mut self.events))
            }
            Command::Subscribe {
                token,
                subscription,
                from,
                queue,
                arguments,
                prefetch,
                settle: _,
            } => {
                let failed = |error: BrokerError| Event::Failed { token, error };
                let consumer = (arguments.as_slice(), prefetch);
                if let Some(asked) = &queue.lasting {
                    let session = self.consuming.session().map_err(failed)?;
                    let of = (session, &**settings);
                    let lasting = Lasting::new(from, &queue, asked, consumer, of);
                    let lasting = lasting.map_err(failed)?;
                    let begun = self.consuming.subscribe_lasting(subscription, token, lasting);
                    begun.map_err(failed)?;
                    return Ok(true);
                }
                let plan = Plan::new(from, &queue, consumer, settings).map_err(failed)?;
                self.consuming.subscribe(subscription, token, plan).map_err(failed)?;
                Ok(true)
            }
            Command::OpenInbox { token, subscription, prefetch } => {
                let opened = self.consuming.open_inbox(subscription, token, prefetch);
                opened.map_err(|error| Event::Failed { token, error })?;
                Ok(true)
            }
            Command::DeclareExchange { token, name, kind } => {
                let asked = self.declaring.ask(token, name, kind);
                asked.map_err(|error| Event::Failed { token, error })?;
                self.consuming.wait_for(self.declaring.barrier());
                Ok(true)
            }
            Command::Resume { token, subscription, known, fresh, lifetime } => {
                let failed = |error: BrokerError| Event::Failed { token, error };
                let session = Session::new(known.as_ref(), &fresh, lifetime, settings);
                let session = session.map_err(failed)?;
                self.consuming.resume(subscription, token, session).map_err(failed)?;
                Ok(true)
            }
            Command::Bind { token, inbox, exchange, topic } => {
                self.bind(inbox, Asked { token, exchange, topic, binds: true })
            }
            Command::Unbind { token, inbox, exchange, topic } => {
                self.bind(inbox, Asked { token, exchange, topic, binds: false })
            }
            Command::Unsubscribe { token, subscription, delete } => {
                self.consuming.unsubscribe(subscription, token, delete, &mut self.events);
                Ok(true)
            }
            Command::Settle { subscription, up_to, verdict, cumulative } => {
                self.consuming.settle(subscription, up_to, verdict, cumulative);
                Ok(false)
            }
        }
    }

    fn bind(&mut self, inbox: SubscriptionId, asked: Asked) -> Result<bool, Event> {
        let token = asked.token;
        self.consuming.bind(inbox, asked).map_err(|error| Event::Failed { token, error })?;
        Ok(true)
    }
}

impl Link for RabbitLink {
    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.advance(cx);
        if self.publishing.is_ready() && !self.consuming.is_starting() {
            return Poll::Ready(());
        }
        self.wait(cx);
        Poll::Pending
    }

    fn submit(&mut self, command: Command) {
        if self.is_down {
            return;
        }
        let must_poll = match self.carry_out(command) {
            Ok(must_poll) => must_poll,
            Err(answer) => {
                self.events.push_back(answer);
                true
            }
        };
        if must_poll && let Some(waiting) = self.waiting.take() {
            waiting.wake();
        }
    }

    fn poll_taken(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.advance(cx);
        if self.publishing.is_idle() {
            return Poll::Ready(());
        }
        self.wait(cx);
        Poll::Pending
    }

    fn flush(&mut self) {
        self.consuming.flush();
    }

    fn attend(&mut self, cx: &mut Context<'_>) {
        // There are no more events by it than the prefetches allow.
        if self.consuming.session().is_ok() {
            self.advance(cx);
        }
    }

    fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        if self.events.is_empty() {
            self.advance(cx);
        }
        if let Some(event) = self.events.pop_front() {
            return Poll::Ready(event);
        }
        self.wait(cx);
        Poll::Pending
    }
}

impl Drop for RabbitLink {
    /// What was handed over is still carried to RabbitMQ: an owner that leaves has said its last
    /// word, but not taken it back.
    fn drop(&mut self) {
        if self.is_down || self.publishing.is_idle() {
            return;
        }
        let patience = self.lease.settings().recovery_timeout;
        let mut publishing = self.publishing.take();
        let finish = async move {
            let mut events = Events::new();
            poll_fn(|cx| {
                let down = publishing.poll(cx, &mut events).is_err();
                events.clear();
                if down || publishing.is_idle() { Poll::Ready(()) } else { Poll::Pending }
            })
            .await;
        };
        let tracker = self.lease.pool().tracker();
        tracker.spawn(async move { drop(tokio::time::timeout(patience, finish).await) });
    }
}
