//! What a callee answers, and what ends an invocation that it does not answer.
//!
//! *Spec.* WAMP §Calling and Invocations (YIELD, ERROR), §Progressive Call Results, §Call Canceling
//! §Ignoring Results after Cancel, §Caller Leaving During an RPC Invocation, §Callee Leaving During
//! an RPC Invocation.

use std::time::Instant;

use super::recent::Fate;
use super::table::{Running, State};
use super::{Invocations, Output, interrupt};
use crate::text::Text;
use crate::wamp::id::Id;
use crate::wamp::message::{CancelMode, Error, Feature, MessageType, ResultDetails, Yield};
use crate::wamp::reason;
use crate::wamp::rpc::RpcViolation;
use crate::wamp::rpc::exchange::{Answer, CallId, Gone, ToCaller};

impl Invocations {
    /// YIELD. For what is over it is ignored.
    ///
    /// *Errors.* It answers what the callee has never been sent.
    pub fn on_yield(
        &mut self,
        now: Instant,
        answer: Yield,
        output: &mut Output,
    ) -> Result<(), RpcViolation> {
        let Yield { request, options, payload } = answer;
        self.check_sent(MessageType::Yield, request)?;
        let Some(mut running) = self.table.take(request) else { return Ok(()) };
        if options.progress == Some(true) {
            if running.state == State::Wanted {
                running.deadline = now + running.patience;
            }
            if running.receive_progress && running.state != State::Unwanted {
                let details = ResultDetails { progress: Some(true), passthru: options.passthru };
                let answer = Answer::Result { part: running.results, details, payload };
                running.results += 1;
                output.answers.push(ToCaller { call: running.call, answer });
            }
            self.table.put(running);
        } else {
            let details = ResultDetails { progress: None, passthru: options.passthru };
            let answer = Answer::Result { part: running.results, details, payload };
            self.finish(now, &running, answer, output);
        }
        Ok(())
    }

    /// ERROR that answers an INVOCATION. For what is over it is ignored.
    ///
    /// *Errors.* It answers what the callee has never been sent.
    pub fn on_error(
        &mut self,
        now: Instant,
        answer: Error,
        output: &mut Output,
    ) -> Result<(), RpcViolation> {
        let Error { request, details, error, payload, .. } = answer;
        self.check_sent(MessageType::Error, request)?;
        if let Some(running) = self.table.take(request) {
            let answer = Answer::Error { error, details, payload };
            self.finish(now, &running, answer, output);
        }
        Ok(())
    }

    /// What was answered could not be brought to the caller's session: nobody waits any more.
    pub fn on_undelivered(&mut self, now: Instant, call: CallId, output: &mut Output) {
        if let Some(running) = self.table.take_call(call) {
            self.abandon(now, running, output);
        }
    }

    /// A session or a node is there no more, and waits for nothing. *Cost.* Linear in invocations.
    pub fn on_gone(&mut self, now: Instant, gone: Gone, output: &mut Output) {
        for call in self.table.calls(|call| gone.includes(call.caller)) {
            self.on_undelivered(now, call, output);
        }
    }

    /// The time has come that [`next_timeout`](Self::next_timeout) named, or has passed.
    ///
    /// A caller has given up long before that. If its interrupt is still not here, it was lost.
    pub fn handle_timeout(&mut self, now: Instant, output: &mut Output) {
        while let Some(running) = self.table.take_due(now) {
            self.tell(&running, reason::TIMEOUT, output);
            self.recent.insert(now, running.call, Fate::Finished);
        }
        self.recent.forget_due(now);
    }

    /// The session ends: what it ran is canceled. What callers are to be told, in the order in which
    /// they were taken.
    pub fn leave(&mut self) -> Vec<ToCaller> {
        self.registrations.clear();
        let running = self.table.drain();
        let wanted = running.filter(|running| running.state != State::Unwanted);
        let canceled = |running: Running| {
            let why = "the callee left before it answered".to_owned();
            ToCaller { call: running.call, answer: Answer::Canceled { why } }
        };
        wanted.map(canceled).collect()
    }

    /// The callee has answered for the last time. The invocation has been taken out.
    fn finish(&mut self, now: Instant, running: &Running, answer: Answer, output: &mut Output) {
        let call = running.call;
        self.recent.insert(now, call, Fate::Finished);
        if running.state != State::Unwanted {
            output.answers.push(ToCaller { call, answer });
        }
    }

    /// Nobody waits any more. The invocation has been taken out.
    pub(super) fn abandon(&mut self, now: Instant, mut running: Running, output: &mut Output) {
        if self.tell(&running, reason::CANCELED, output) {
            self.recent.insert(now, running.call, Fate::Finished);
        } else {
            running.state = State::Unwanted;
            self.table.put(running);
        }
    }

    /// Tells the callee that it is not to answer, unless it knows. Whether it can be told.
    fn tell(&self, running: &Running, reason: &'static str, output: &mut Output) -> bool {
        let can_be_told = self.features.has(Feature::CallCanceling);
        if can_be_told && running.state != State::Killed {
            let reason = Text::from_static(reason);
            output.messages.push(interrupt(running.request, CancelMode::KillNoWait, reason));
        }
        can_be_told
    }

    /// Whether an INVOCATION with this ID was sent.
    fn check_sent(&self, message: MessageType, request: Id) -> Result<(), RpcViolation> {
        // Beyond 2^53 they would start again, which no session lives to see.
        if self.last_request.is_some_and(|last| request <= last) {
            return Ok(());
        }
        Err(RpcViolation::NeverInvoked { message, request })
    }
}
