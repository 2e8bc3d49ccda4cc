//! What callees say of calls, and what becomes of a call that its callee does not answer.
//!
//! *Spec.* WAMP §Calling and Invocations (RESULT, ERROR), §Progressive Call Results, §Call
//! Rerouting, §Callee Leaving During an RPC Invocation.
//!
//! # Rerouting
//! A call goes on to another callee of its registration if the first one says that it did not run it,
//! or could not be reached. It does not if it may have run: if anything came of it, if further parts
//! of it were sent, or if the callee is simply gone.

use std::time::Instant;

use super::pending::Pending;
use super::{Calls, Cause, Output, Routing, give_up, refused};
use crate::wamp::message::{CallResult, Error, Feature, RequestType};
use crate::wamp::reason;
use crate::wamp::refusal::Reason;
use crate::wamp::rpc::calls::Reply;
use crate::wamp::rpc::exchange::{Answer, CallId, Gone, ToCallee, ToCaller};

impl Calls {
    /// The session of a callee says something. Of what is over, nothing is heard.
    pub fn on_answer(
        &mut self,
        now: Instant,
        answer: ToCaller,
        routing: &Routing<'_>,
        output: &mut Output,
    ) {
        let Some(mut pending) = self.take_running(answer.call) else { return };
        let request = pending.call.request;
        match answer.answer {
            Answer::Accepted => {
                on_accepted(&mut pending, output);
                self.table.put(pending);
            }
            Answer::Result { part, details, payload } => {
                let result = CallResult { request, details, payload };
                self.on_result(now, pending, part, result, output);
            }
            Answer::Unavailable { why } => self.reroute(now, pending, why, routing, output),
            Answer::Error { error, .. } if is_rerouted(&pending, &error) => {
                let why = "the callee was not available".to_owned();
                self.reroute(now, pending, why, routing, output);
            }
            Answer::Error { error, details, payload } => {
                let request_type = RequestType::CALL;
                let error = Error { request_type, request, details, error, payload };
                output.replies.push(Reply::Error(error));
            }
            Answer::Canceled { why } => {
                output.replies.push(refused(request, (Reason::Canceled, why)));
            }
        }
    }

    /// What was asked of a callee could not be brought to its session, and no copy of it was.
    pub fn on_undelivered(
        &mut self,
        now: Instant,
        call: CallId,
        routing: &Routing<'_>,
        output: &mut Output,
    ) {
        if let Some(pending) = self.take_running(call) {
            let why = "the callee could not be reached".to_owned();
            self.reroute(now, pending, why, routing, output);
        }
    }

    /// What the callee says of a call cannot be passed on: it fails. If the callee has not said its
    /// last, it is told to stop.
    pub fn fail(&mut self, call: CallId, cause: (Reason, String), output: &mut Output) {
        if let Some(pending) = self.take_running(call) {
            give_up(&pending, cause, output);
        }
    }

    /// A session or a node is there no more, and so runs no call. *Cost.* Linear in pending calls.
    pub fn on_gone(&mut self, gone: Gone, output: &mut Output) {
        for request in self.table.run_by(|callee| gone.includes(callee)) {
            self.table.take(request);
            let sentence = "the callee left before it answered".to_owned();
            output.replies.push(refused(request, (Reason::Canceled, sentence)));
        }
    }

    /// A call, if this is the attempt that is running.
    fn take_running(&mut self, call: CallId) -> Option<Pending> {
        let is_running = self.table.is_running(call);
        is_running.then(|| self.table.take(call.request)).flatten()
    }

    /// The result, or a part of it. The call has been taken out.
    fn on_result(
        &mut self,
        now: Instant,
        mut pending: Pending,
        part: u64,
        result: CallResult,
        output: &mut Output,
    ) {
        if part > pending.results {
            let sentence = "a part of the result was lost on the way".to_owned();
            return give_up(&pending, (Reason::NetworkFailure, sentence), output);
        }
        if part < pending.results {
            return self.table.put(pending);
        }
        if result.details.progress != Some(true) {
            return output.replies.push(Reply::Result(result));
        }
        pending.results += 1;
        if pending.receive_progress {
            output.replies.push(Reply::Result(result));
            pending.restart(now);
        }
        // It is running, whether the caller hears of it or not.
        on_accepted(&mut pending, output);
        pending.first = None;
        self.table.put(pending);
    }

    /// Asks another callee, if one can be asked. The call has been taken out.
    fn reroute(
        &mut self,
        now: Instant,
        mut pending: Pending,
        why: String,
        routing: &Routing<'_>,
        output: &mut Output,
    ) {
        let request = pending.call.request;
        match self.next_attempt(now, &mut pending, why, routing) {
            Ok(ask) => {
                output.asks.push(ask);
                self.table.put(pending);
            }
            Err(cause) => output.replies.push(refused(request, cause)),
        }
    }

    fn next_attempt(
        &mut self,
        now: Instant,
        pending: &mut Pending,
        why: String,
        routing: &Routing<'_>,
    ) -> Result<ToCallee, Cause> {
        if pending.first.is_none() {
            return Err((Reason::Canceled, why));
        }
        let (tried, most) = (pending.tried.len(), self.settings.most_attempts);
        if tried >= most {
            let sentence = format!("{why}; {most} callees were asked, which is as many as may be");
            return Err((Reason::NoAvailableCallee, sentence));
        }
        let found = routing.registry.route_by_id(&pending.procedure, pending.registration);
        let Some(registration) = found else {
            let sentence = format!("{why}; the procedure has no other callee");
            return Err((Reason::NoAvailableCallee, sentence));
        };
        self.attempt(now, pending, registration, routing)
    }
}

/// The callee has taken the first part of a call: the others can follow.
fn on_accepted(pending: &mut Pending, output: &mut Output) {
    let (call, to) = (pending.call, pending.callee());
    let (Some(parts), Some(to)) = (&mut pending.parts, to) else { return };
    if parts.is_accepted {
        return;
    }
    parts.is_accepted = true;
    parts.waiting_size = 0;
    let latest = parts.waiting_since.take();
    let waiting = std::mem::take(&mut parts.waiting);
    if !pending.is_killed {
        let asks = waiting.into_iter();
        let asks = asks.map(|(payload, progress)| parts.next(payload, progress));
        output.asks.extend(asks.map(|ask| ToCallee { to, call, ask }));
    }
    pending.first = None;
    if let Some(latest) = latest {
        pending.restart(latest);
    }
}

/// Whether an error of the callee says that another is to be asked (§Call Rerouting).
fn is_rerouted(pending: &Pending, error: &str) -> bool {
    error == reason::UNAVAILABLE
        && pending.features.has(Feature::CallReroute)
        && pending.first.is_some()
}
