//! [`Invocations`]: the calls that a session runs for others, from INVOCATION to their last answer.
//!
//! *Spec.* WAMP §Calling and Invocations, §Progressive Call Invocations, §Caller Leaving During an
//! RPC Invocation, §Callee Leaving During an RPC Invocation; `concurrency` is not of the
//! specification.
//!
//! | what | where |
//! |---|---|
//! | INVOCATION, and each further part of one; INTERRUPT | here |
//! | YIELD and ERROR, the time that is up, the end of the session | `answers.rs` |
//! | what is remembered of calls that are over | `recent.rs` |
//!
//! # Who still has work
//! A callee that is told to stop need not answer, and its invocation is over at once. One that is
//! not told is still at work: its invocation counts until it answers, or for as long as the caller
//! would have waited and [`Settings::linger`] longer.
//!
//! # UNREGISTER
//! The specification does not say what becomes of calls that are running then. They run on, and are
//! answered. Calls that come later are not run.

mod answers;
mod recent;
mod table;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Instant;

use recent::{Fate, Recent};
use table::{Running, State, Table};

use super::Settings;
use super::exchange::{Answer, Ask, CallId, Identity, Invoke, ToCallee, ToCaller};
use crate::text::Text;
use crate::wamp::id::{Id, RequestIds};
use crate::wamp::message::{
    CancelMode, CancelOptions, Choice, Feature, Features, Interrupt, Invocation, InvocationDetails,
    Message,
};
use crate::wamp::payload::Payload;
use crate::wamp::registry::Load;

/// The calls that one session runs for others.
#[derive(Debug)]
pub struct Invocations {
    /// What it announced as a callee.
    features: Features,
    settings: Settings,
    /// What it has registered, and how many calls of each it takes at once.
    registrations: BTreeMap<Id, Option<NonZeroU32>>,
    requests: RequestIds,
    /// Of the latest INVOCATION.
    last_request: Option<Id>,
    table: Table,
    recent: Recent,
}

/// What is to be done, each list in its order.
#[derive(Debug, Default)]
pub struct Output {
    /// To the callee.
    pub messages: Vec<Message>,
    /// To the sessions of callers.
    pub answers: Vec<ToCaller>,
}

/// How many calls of a registration a callee takes at once.
#[derive(Debug, Clone)]
pub struct Limit {
    /// So many.
    pub most: NonZeroU32,
    /// Where it says how many it has.
    pub load: Load,
}

impl Invocations {
    /// None yet. *Shape.* `features` are those that the session has announced as a callee.
    pub fn new(features: Features, settings: Settings) -> Self {
        Self {
            features,
            settings,
            registrations: BTreeMap::new(),
            requests: RequestIds::new(),
            last_request: None,
            table: Table::default(),
            recent: Recent::new(settings.linger, settings.most_remembered),
        }
    }

    /// Calls that the callee has and has not answered.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls of which it is remembered that they are over.
    pub fn remembered(&self) -> usize {
        self.recent.len()
    }

    /// How many registrations the session has.
    pub fn registrations(&self) -> usize {
        self.registrations.len()
    }

    /// Whether it has this one.
    pub fn has_registered(&self, registration: Id) -> bool {
        self.registrations.contains_key(&registration)
    }

    /// How many calls of a registration the callee has.
    pub fn load(&self, registration: Id) -> u32 {
        self.table.load(registration)
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.table.next_deadline().into_iter().chain(self.recent.next_deadline()).min()
    }

    /// The session is a callee of a registration: before REGISTERED is sent, so that calls find it.
    pub fn on_registered(&mut self, registration: Id, limit: Option<Limit>) {
        self.table.tell_at(registration, limit.as_ref().map(|limit| limit.load.clone()));
        self.registrations.insert(registration, limit.map(|limit| limit.most));
    }

    /// The session is no callee of it any more: it asked not to be, or its registration was revoked.
    pub fn on_unregistered(&mut self, registration: Id) {
        self.table.tell_at(registration, None);
        self.registrations.remove(&registration);
    }

    /// The session of a caller asks for something.
    pub fn on_ask(&mut self, now: Instant, ask: ToCallee, output: &mut Output) {
        let call = ask.call;
        match ask.ask {
            Ask::Invoke(invoke) => self.on_invoke(now, call, *invoke, output),
            Ask::Continue { part, payload, progress } => {
                self.on_continue(now, call, (part, payload), progress, output);
            }
            Ask::Interrupt { mode, reason } => self.on_interrupt(now, call, mode, reason, output),
        }
    }

    fn on_invoke(&mut self, now: Instant, call: CallId, invoke: Invoke, output: &mut Output) {
        if self.table.has(call) {
            return;
        }
        match self.recent.fate(call) {
            None => {}
            Some(Fate::InterruptedBefore { is_awaited: true }) => {
                self.recent.insert(now, call, Fate::Finished);
                let why = "the call was canceled before it came to the callee".to_owned();
                output.answers.push(ToCaller { call, answer: Answer::Canceled { why } });
                return;
            }
            Some(Fate::Finished | Fate::InterruptedBefore { is_awaited: false }) => return,
        }
        if let Err(why) = self.check_room(invoke.registration) {
            self.recent.insert(now, call, Fate::Finished);
            output.answers.push(ToCaller { call, answer: Answer::Unavailable { why } });
            return;
        }
        self.start(now, call, invoke, output);
    }

    /// Whether one more call can be run. Else why not.
    fn check_room(&self, registration: Id) -> Result<(), String> {
        let Some(concurrency) = self.registrations.get(&registration) else {
            return Err("the callee has not registered the procedure any more".to_owned());
        };
        let load = self.table.load(registration);
        if let Some(limit) = concurrency.filter(|limit| load >= limit.get()) {
            return Err(format!("the callee takes {limit} calls of it at once, and has {load}"));
        }
        let (limit, got) = (self.settings.most_invocations, self.table.len());
        if got >= limit {
            return Err(format!("a callee may have {limit} calls at once, and this one has {got}"));
        }
        Ok(())
    }

    fn start(&mut self, now: Instant, call: CallId, invoke: Invoke, output: &mut Output) {
        let request = self.requests.take();
        self.last_request = Some(request);
        let (caller, caller_authid, caller_authrole) = match invoke.caller {
            Some(Identity { session, authid, authrole }) => {
                (Some(session), Some(authid), Some(authrole))
            }
            None => (None, None, None),
        };
        let details = InvocationDetails {
            procedure: invoke.procedure,
            caller,
            caller_authid,
            caller_authrole,
            receive_progress: invoke.receive_progress.then_some(true),
            progress: invoke.progress.then_some(true),
            timeout: invoke.timeout,
            trustlevel: None,
            passthru: invoke.passthru,
        };
        let patience = invoke.within + self.settings.linger;
        self.table.put(Running {
            request,
            call,
            registration: invoke.registration,
            receive_progress: invoke.receive_progress,
            details: invoke.progress.then(|| Box::new(details.clone())),
            state: State::Wanted,
            parts: 1,
            results: 0,
            patience,
            deadline: now + patience,
        });
        let (registration, payload) = (invoke.registration, invoke.payload);
        let invocation = Invocation { request, registration, details, payload };
        output.messages.push(invocation.into());
        if invoke.progress {
            output.answers.push(ToCaller { call, answer: Answer::Accepted });
        }
    }

    /// One more part of a call. Of what is over, or to be, nothing follows.
    fn on_continue(
        &mut self,
        now: Instant,
        call: CallId,
        (part, payload): (u64, Payload),
        progress: bool,
        output: &mut Output,
    ) {
        let Some(mut running) = self.table.take_call(call) else { return };
        if running.state == State::Wanted && part > running.parts {
            let why = "a part of the call was lost on the way".to_owned();
            output.answers.push(ToCaller { call, answer: Answer::Canceled { why } });
            return self.abandon(now, running, output);
        }
        if running.state == State::Wanted
            && part == running.parts
            && let Some(mut details) = running.details.take()
        {
            details.progress = progress.then_some(true);
            if progress {
                running.details = Some(details.clone());
            }
            running.parts += 1;
            running.deadline = now + running.patience;
            let (request, registration) = (running.request, running.registration);
            let invocation = Invocation { request, registration, details: *details, payload };
            output.messages.push(invocation.into());
        }
        self.table.put(running);
    }

    /// Nobody waits for a call any more, or not for all of it.
    fn on_interrupt(
        &mut self,
        now: Instant,
        call: CallId,
        mode: CancelMode,
        reason: Text,
        output: &mut Output,
    ) {
        let is_awaited = mode == CancelMode::Kill;
        let Some(mut running) = self.table.take_call(call) else {
            if self.recent.fate(call).is_none() {
                self.recent.insert(now, call, Fate::InterruptedBefore { is_awaited });
            }
            return;
        };
        if running.state == State::Unwanted {
            return self.table.put(running);
        }
        let is_told = mode != CancelMode::Skip && self.features.has(Feature::CallCanceling);
        if !is_told {
            // Without the feature a kill is no more than a wait for what comes.
            if !is_awaited {
                running.state = State::Unwanted;
            }
            return self.table.put(running);
        }
        if running.state == State::Wanted {
            output.messages.push(interrupt(running.request, mode, reason));
        }
        if is_awaited {
            running.state = State::Killed;
            running.deadline = now + running.patience;
            self.table.put(running);
        } else {
            self.recent.insert(now, call, Fate::Finished);
        }
    }
}

fn interrupt(request: Id, mode: CancelMode, reason: Text) -> Message {
    let options = CancelOptions { mode: Some(Choice::Known(mode)), reason: Some(reason) };
    Interrupt { request, options }.into()
}
