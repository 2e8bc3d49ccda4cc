//! What other sessions send, in the serializer of this one.
//!
//! A payload that cannot be carried over, or is longer than the client takes, ends the one call that it
//! belongs to, and nothing else.
//!
//! *Spec.* WAMP §Serializers, §Binary support in JSON, §RawSocket Transport (the longest message). The
//! specification does not say what becomes of what the other serializer has no form for, or the other
//! client no room.

use std::time::Instant;

use super::{Cause, Dealer};
use crate::text::Text;
use crate::violation::shown;
use crate::wamp::access::Rights;
use crate::wamp::message::{CancelMode, ErrorDetails};
use crate::wamp::payload::Payload;
use crate::wamp::pen::Pen;
use crate::wamp::refusal::Reason;
use crate::wamp::rpc::{Answer, Ask, ToCallee, ToCaller};
use crate::wamp::transcode::TranscodeError;

impl Dealer {
    /// The session of a caller asks for something.
    pub(super) fn on_ask(&mut self, now: Instant, mut ask: ToCallee) {
        let output = &mut self.outputs.1;
        let Err((reason, sentence)) = fit_ask(&mut ask.ask, &self.pen) else {
            return self.invocations.on_ask(now, ask, output);
        };
        let call = ask.call;
        let reason = Text::from_static(reason.uri());
        if let Ask::Continue { .. } = ask.ask {
            let (mode, reason) = (CancelMode::KillNoWait, reason.clone());
            let stop = Ask::Interrupt { mode, reason };
            self.invocations.on_ask(now, ToCallee { ask: stop, ..ask }, output);
        }
        let payload = Payload::of_text(self.pen.serializer, &sentence);
        let answer = Answer::Error { error: reason, details: ErrorDetails::default(), payload };
        output.answers.push(ToCaller { call, answer });
    }

    /// The session of a callee says something.
    pub(super) fn on_answer(&mut self, now: Instant, mut answer: ToCaller, rights: &Rights) {
        if let Err(cause) = fit_answer(&mut answer.answer, &self.pen) {
            return self.calls.fail(answer.call, cause, &mut self.outputs.0);
        }
        self.with_routing(rights, |calls, routing, output| {
            calls.on_answer(now, answer, routing, output);
        });
    }
}

/// For the callee.
fn fit_ask(ask: &mut Ask, pen: &Pen) -> Result<(), Cause> {
    let payload = match ask {
        Ask::Invoke(invoke) => &mut invoke.payload,
        Ask::Continue { payload, .. } => payload,
        Ask::Interrupt { .. } => return Ok(()),
    };
    fit(payload, pen).map_err(|(reason, why)| {
        (reason, format!("the arguments cannot be written for the callee: {why}"))
    })
}

/// For the caller.
fn fit_answer(answer: &mut Answer, pen: &Pen) -> Result<(), Cause> {
    match answer {
        Answer::Result { payload, .. } => fit(payload, pen).map_err(|(reason, why)| {
            (reason, format!("the result cannot be written for the caller: {why}"))
        }),
        Answer::Error { error: uri, payload, .. } => fit(payload, pen).map_err(|(reason, why)| {
            let uri = shown(uri);
            let sentence =
                format!("the callee has failed with {uri:?}, but why cannot be written: {why}");
            (reason, sentence)
        }),
        Answer::Accepted | Answer::Unavailable { .. } | Answer::Canceled { .. } => Ok(()),
    }
}

fn fit(payload: &mut Payload, pen: &Pen) -> Result<(), Cause> {
    if payload.serializer != pen.serializer {
        *payload = payload
            .transcoded(pen.serializer, &pen.limits)
            .map_err(|error| (reason(&error), error.to_string()))?;
    }
    let (limit, got) = (pen.most_arguments(), payload.size());
    if got > limit {
        let why = format!("this client takes {limit} bytes of them, and they have {got}");
        return Err((Reason::PayloadTooLarge, why));
    }
    Ok(())
}

const fn reason(error: &TranscodeError) -> Reason {
    match error {
        TranscodeError::TooLong { .. } => Reason::PayloadTooLarge,
        TranscodeError::Malformed { .. } | TranscodeError::Unrepresentable { .. } => {
            Reason::InvalidPayload
        }
    }
}
