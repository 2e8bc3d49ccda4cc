//! [`Calls`]: the calls that a session makes, from CALL to their last answer.
//!
//! *Spec.* WAMP §Calling and Invocations, §Pattern-based Registrations, §Shared Registration (which
//! callee gets a call), §Call Timeouts, §Caller Identification; §Progressive Call Invocations
//! §Verification of CALL Request IDs (without the table of completed requests: what continues a
//! call that is over is dropped).
//!
//! | what | where |
//! |---|---|
//! | CALL, and each further part of one | here |
//! | CANCEL, the time that is up, the end of the session | `cancel.rs` |
//! | what the callee says, that it is gone; rerouting | `answers.rs` |
//!
//! # Deviations
//! - A call has a timeout if it names none, or 0.
//! - The timeout of a call in parts counts from the latest part, too: while the caller is sending,
//!   the callee need not answer.
//! - A callee that keeps the timeout itself has half as long again before the router gives it up.
//! - `progress` in a RESULT needs no more than that the call asked for it; whether the caller has
//!   announced the feature is not looked at.

mod answers;
mod cancel;
mod pending;
mod reply;

use std::sync::Arc;
use std::time::{Duration, Instant};

use pending::{Parts, Pending, Table};
pub use reply::{Reply, Routing};

use super::exchange::{Ask, CallId, Identity, Invoke, ToCallee};
use super::{RpcViolation, Settings, millis};
use crate::violation::shown;
use crate::wamp::access::Disclosure;
use crate::wamp::id::{Id, RequestPlace};
use crate::wamp::message::{
    Call, CallOptions, CancelMode, Feature, Features, MatchPolicy, Passthru, RequestType,
};
use crate::wamp::payload::Payload;
use crate::wamp::realm::Principal;
use crate::wamp::refusal::{Reason, Refusal};
use crate::wamp::registry::{Callee, Registration, SessionAt};
use crate::wamp::uri::is_reserved;

/// The calls of one session that have no final answer yet.
#[derive(Debug)]
pub struct Calls {
    at: SessionAt,
    principal: Arc<Principal>,
    /// What it announced as a caller.
    features: Features,
    settings: Settings,
    table: Table,
    /// Attempts to have calls answered, so far.
    attempts: u64,
}

/// What is to be done, each list in its order.
#[derive(Debug, Default)]
pub struct Output {
    /// To the caller.
    pub replies: Vec<Reply>,
    /// To the sessions of callees.
    pub asks: Vec<ToCallee>,
}

/// Why a call fails, also as a sentence.
type Cause = (Reason, String);

impl Calls {
    /// None yet. *Shape.* `features` are those that the session has announced as a caller.
    pub fn new(
        at: SessionAt,
        principal: Arc<Principal>,
        features: Features,
        settings: Settings,
    ) -> Self {
        Self { at, principal, features, settings, table: Table::default(), attempts: 0 }
    }

    /// Calls that wait for their answers.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// When [`handle_timeout`](Self::handle_timeout) is to be called.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.table.next_deadline()
    }

    /// CALL. A call that fails at once is refused in `output`.
    ///
    /// *Errors.* What breaks the protocol. *Order.* `place` is what the session's order of requests
    /// says. Procedures of the router's own have been answered elsewhere: here there are none.
    /// *Cost.* That of finding the registration, and of picking a callee.
    pub fn on_call(
        &mut self,
        now: Instant,
        place: RequestPlace,
        call: Call,
        routing: &Routing<'_>,
        output: &mut Output,
    ) -> Result<(), RpcViolation> {
        let request = call.request;
        let is_in_parts = place == RequestPlace::Before || call.options.progress == Some(true);
        if is_in_parts && !self.features.has(Feature::ProgressiveCallInvocations) {
            return Err(RpcViolation::NotAnnounced { request });
        }
        if place == RequestPlace::Before {
            return self.on_part(now, call, output);
        }
        match self.start(now, call, routing) {
            Ok(ask) => output.asks.push(ask),
            Err(cause) => output.replies.push(refused(request, cause)),
        }
        Ok(())
    }

    /// The first, and mostly the only, part of a call.
    fn start(
        &mut self,
        now: Instant,
        call: Call,
        routing: &Routing<'_>,
    ) -> Result<ToCallee, Cause> {
        let (registration, disclosure) = self.find(&call, routing)?;
        let Call { request, options, procedure, payload } = call;
        let timeout = self.timeout(&options);
        let is_in_parts = options.progress == Some(true);
        let mut pending = Pending {
            call: CallId { caller: self.at, request, attempt: self.attempts },
            procedure: procedure.detached(),
            registration: registration.id(),
            disclosure,
            disclose_me: options.disclose_me == Some(true),
            receive_progress: options.receive_progress == Some(true),
            first: Some((payload, options.passthru)),
            results: 0,
            parts: is_in_parts.then(Parts::default),
            features: Features::NONE,
            tried: Default::default(),
            timeout,
            patience: timeout,
            since: now,
            deadline: now + timeout,
            is_killed: false,
        };
        let ask = self.attempt(now, &mut pending, registration, routing)?;
        if self.table.held() + pending.held() > self.settings.most_held {
            pending.first = None;
        }
        self.table.put(pending);
        Ok(ask)
    }

    /// The registration that a call is for, and whether its callees learn who calls.
    fn find<'a>(
        &self,
        call: &Call,
        routing: &'a Routing<'_>,
    ) -> Result<(&'a Registration, Disclosure), Cause> {
        let procedure = &call.procedure;
        let uris = routing.uris.check(procedure);
        uris.map_err(|error| (Reason::InvalidUri, error.to_string()))?;
        let disclosure = (routing.may_call)(procedure).ok_or_else(|| {
            let sentence = format!("{:?} may not be called by this session", shown(procedure));
            (Reason::NotAuthorized, sentence)
        })?;
        let limit = self.settings.most_calls;
        if self.table.len() >= limit {
            let sentence = format!(
                "{limit} calls of this session wait for their answers, which is as many as may; \
                 call again when one has come"
            );
            return Err((Reason::Unavailable, sentence));
        }
        let is_known = !is_reserved(procedure);
        let found = is_known.then(|| routing.registry.route(procedure)).flatten();
        let found = found.ok_or_else(|| {
            let sentence = format!("no procedure {:?} is registered", shown(procedure));
            (Reason::NoSuchProcedure, sentence)
        })?;
        if call.options.disclose_me == Some(true) && disclosure == Disclosure::Deny {
            let sentence = format!("callees of {:?} do not learn who calls", shown(procedure));
            return Err((Reason::DiscloseMeDisallowed, sentence));
        }
        Ok((found, disclosure))
    }

    /// Picks a callee that was not asked before, and makes what it is sent.
    fn attempt(
        &mut self,
        now: Instant,
        pending: &mut Pending,
        registration: &Registration,
        routing: &Routing<'_>,
    ) -> Result<ToCallee, Cause> {
        let callee = registration
            .pick(routing.random, &pending.tried)
            .map_err(|none| (Reason::NoAvailableCallee, none.to_string()))?;
        let has = |feature| callee.features.has(feature);
        let can_stop = has(Feature::CallCanceling);
        if pending.parts.is_some() && !(has(Feature::ProgressiveCallInvocations) && can_stop) {
            let sentence = "the callee takes no calls in parts: it has not announced both \
                            progressive_call_invocations and call_canceling";
            return Err((Reason::NotSupported, sentence.to_owned()));
        }
        let Some(first) = pending.first.clone() else {
            return Err((Reason::Canceled, "the callee has begun already".to_owned()));
        };
        let timeout = pending.timeout;
        pending.patience = if keeps_timeout(callee) { timeout * 3 / 2 } else { timeout };
        pending.deadline = pending.since + pending.patience;
        pending.features = callee.features;
        pending.tried.push(callee.at);
        self.attempts += 1;
        pending.call.attempt = self.attempts;
        pending.results = 0;

        let invoke = self.invoke(now, pending, first, (registration, callee));
        Ok(ToCallee { to: callee.at, call: pending.call, ask: Ask::Invoke(Box::new(invoke)) })
    }

    /// What a callee is sent.
    fn invoke(
        &self,
        now: Instant,
        pending: &Pending,
        (payload, passthru): (Payload, Passthru),
        (registration, callee): (&Registration, &Callee),
    ) -> Invoke {
        let left = (pending.since + pending.timeout).saturating_duration_since(now);
        let has = |feature| callee.features.has(feature);
        let makes_parts = has(Feature::ProgressiveCallResults) && has(Feature::CallCanceling);
        let is_pattern = registration.pattern().policy != MatchPolicy::Exact;
        Invoke {
            registration: registration.id(),
            procedure: is_pattern.then(|| pending.procedure.clone()),
            payload,
            passthru,
            progress: pending.parts.is_some(),
            receive_progress: pending.receive_progress && makes_parts,
            timeout: keeps_timeout(callee).then(|| millis(left)),
            within: pending.patience,
            until: pending.deadline,
            caller: self.disclosed(pending, callee),
        }
    }

    /// Who calls, if the callee is to know.
    fn disclosed(&self, pending: &Pending, callee: &Callee) -> Option<Identity> {
        let is_disclosed = match pending.disclosure {
            Disclosure::Deny => false,
            Disclosure::Allow => pending.disclose_me || callee.wants_caller,
            Disclosure::Always => true,
        };
        is_disclosed.then(|| Identity::from(&*self.principal))
    }

    /// A CALL with the ID of one before it: one more part of that, if it is still running.
    fn on_part(
        &mut self,
        now: Instant,
        call: Call,
        output: &mut Output,
    ) -> Result<(), RpcViolation> {
        let request = call.request;
        // What is over is answered, or will be: the caller did not know yet.
        let Some(running) = self.table.get(request) else { return Ok(()) };
        if running.procedure != call.procedure {
            return Ok(());
        }
        let Some(parts) = &running.parts else {
            return Err(RpcViolation::NotInParts { request });
        };
        if parts.are_complete || running.is_killed {
            return Ok(());
        }
        let Some(mut pending) = self.table.take(request) else { return Ok(()) };
        let (Some(parts), Some(to)) = (&mut pending.parts, pending.tried.last().copied()) else {
            return Ok(());
        };
        let progress = call.options.progress == Some(true);
        parts.are_complete = !progress;
        if parts.is_accepted {
            let ask = parts.next(call.payload, progress);
            output.asks.push(ToCallee { to, call: pending.call, ask });
            pending.restart(now);
        } else {
            parts.hold(now, call.payload, progress);
            let (limit, got) = (self.settings.most_held, self.table.held() + pending.held());
            if got > limit {
                let sentence = format!(
                    "the calls of a session may hold {limit} bytes until their callees have taken \
                     them, these hold {got}"
                );
                give_up(&pending, (Reason::PayloadTooLarge, sentence), output);
                return Ok(());
            }
        }
        self.table.put(pending);
        Ok(())
    }

    fn timeout(&self, options: &CallOptions) -> Duration {
        let most = self.settings.most_timeout;
        let asked = options.timeout.filter(|millis| *millis > 0);
        asked.map_or(self.settings.default_timeout, Duration::from_millis).min(most)
    }
}

/// Whether a callee is told of timeouts.
const fn keeps_timeout(callee: &Callee) -> bool {
    callee.keeps_timeouts && callee.features.has(Feature::CallTimeout)
}

/// The callee is to stop, and the caller gets its answer at once. The call has been taken out.
fn give_up(pending: &Pending, cause: Cause, output: &mut Output) {
    output.asks.extend(pending.interrupt(CancelMode::KillNoWait, cause.0));
    output.replies.push(refused(pending.call.request, cause));
}

fn refused(request: Id, (reason, sentence): Cause) -> Reply {
    Reply::Refused(Refusal::new((RequestType::CALL, request), reason, sentence))
}
