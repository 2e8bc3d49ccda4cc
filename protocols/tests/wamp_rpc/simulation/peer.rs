//! A session with its client: what the client does, and what it must and must not be sent.

use std::collections::BTreeMap;
use std::time::Instant;

use protocols::wamp::message::{
    Error, ErrorDetails, Interrupt, Invocation, Message, RequestType, Yield,
};
use protocols::wamp::rpc::{Invocations, invocations};

use super::super::*;
use super::random::Random;

/// A session and its client.
pub(super) struct Peer {
    pub(super) at: SessionAt,
    pub(super) features: Features,
    pub(super) calls: Calls,
    pub(super) invocations: Invocations,
    pub(super) calls_output: Output,
    pub(super) invocations_output: invocations::Output,
    /// What the client has called and knows no answer of.
    pub(super) open: BTreeMap<u64, Open>,
    /// What it was asked to run and has not answered.
    pub(super) work: BTreeMap<u64, Work>,
    pub(super) last_request: u64,
    pub(super) finished: usize,
}

/// A call, as the caller's client knows it.
pub(super) struct Open {
    pub(super) receive_progress: bool,
    /// More parts can be sent.
    pub(super) in_parts: bool,
    pub(super) parts: u64,
    pub(super) timeout: Duration,
    /// The latest sign of life.
    pub(super) since: Instant,
}

/// An invocation, as the callee's client knows it.
pub(super) struct Work {
    /// The session that called, and its request.
    pub(super) call: (u64, u64),
    pub(super) receive_progress: bool,
    pub(super) parts: u64,
    pub(super) is_complete: bool,
}

/// A call as it is known everywhere: the session, the request, the number of the part.
pub(super) fn tagged(caller: u64, request: u64, part: u64) -> Payload {
    let args = Bytes::from(format!("[{caller},{request},{part}]"));
    Payload { serializer: Serializer::Json, args: Some(args), kwargs: None }
}

fn tag(payload: &Payload) -> [u64; 3] {
    let args = String::from_utf8(payload.args.as_ref().unwrap().to_vec()).unwrap();
    let numbers = args.trim_matches(['[', ']']).split(',').map(|number| number.parse().unwrap());
    numbers.collect::<Vec<u64>>().try_into().unwrap()
}

impl Peer {
    pub(super) fn new(at: SessionAt, features: Features, settings: Settings) -> Self {
        Self {
            at,
            features,
            calls: Calls::new(at, principal(at.session.get()), ALL, settings),
            invocations: Invocations::new(features, settings),
            calls_output: Output::default(),
            invocations_output: invocations::Output::default(),
            open: BTreeMap::new(),
            work: BTreeMap::new(),
            last_request: 0,
            finished: 0,
        }
    }

    /// The caller's client gets its answers.
    pub(super) fn take_replies(&mut self, now: Instant) {
        for reply in std::mem::take(&mut self.calls_output.replies) {
            let request = reply.request().get();
            let open = self.open.get_mut(&request);
            let open = open.unwrap_or_else(|| panic!("an answer to what has one: {reply:?}"));
            if reply.is_final() {
                self.open.remove(&request);
                self.finished += 1;
            } else {
                assert!(open.receive_progress, "progress was not asked for: {reply:?}");
                open.since = now;
            }
        }
        for (request, open) in &self.open {
            // Callees that keep the timeout themselves have half as long again.
            let deadline = open.since + open.timeout * 3 / 2;
            assert!(now < deadline, "call {request} is older than its timeout");
        }
    }

    /// The callee's client gets what it is to run and to stop. The calls that are new to it.
    pub(super) fn take_work(&mut self) -> Vec<(u64, u64)> {
        let mut new = Vec::new();
        for message in std::mem::take(&mut self.invocations_output.messages) {
            match message {
                Message::Invocation(invocation) => new.extend(self.on_invocation(&invocation)),
                Message::Interrupt(interrupt) => self.on_interrupt(&interrupt),
                other => panic!("{other:?}"),
            }
        }
        new
    }

    fn on_invocation(&mut self, invocation: &Invocation) -> Option<(u64, u64)> {
        let [caller, request, part] = tag(&invocation.payload);
        let details = &invocation.details;
        let has = |feature| self.features.has(feature);
        let progress = details.progress == Some(true);
        if details.receive_progress == Some(true) {
            assert!(has(Feature::ProgressiveCallResults) && has(Feature::CallCanceling));
        }
        if progress || part > 0 {
            assert!(has(Feature::ProgressiveCallInvocations) && has(Feature::CallCanceling));
        }
        let id = invocation.request.get();
        if part == 0 {
            let receive_progress = details.receive_progress == Some(true);
            let (call, is_complete) = ((caller, request), !progress);
            let work = Work { call, receive_progress, parts: 1, is_complete };
            assert!(self.work.insert(id, work).is_none(), "an ID was given twice");
            return Some((caller, request));
        }
        // A part can come for what the client has answered.
        if let Some(work) = self.work.get_mut(&id) {
            assert_eq!((work.call, work.parts), ((caller, request), part));
            assert!(!work.is_complete);
            work.parts += 1;
            work.is_complete = !progress;
        }
        None
    }

    fn on_interrupt(&mut self, interrupt: &Interrupt) {
        assert!(self.features.has(Feature::CallCanceling));
        assert!(interrupt.options.mode.is_some());
    }

    /// The callee's client says something of something, or does not. The call, if it said that it
    /// was not run.
    pub(super) fn answer(&mut self, now: Instant, random: &mut Random) -> Option<(u64, u64)> {
        let place = usize::try_from(random.below(self.work.len().max(1) as u64)).unwrap();
        let (&request, work) = self.work.iter().nth(place)?;
        let call = work.call;
        let progress = work.receive_progress && random.percent(50);
        let (output, payload) = (&mut self.invocations_output, payload("x"));
        if random.percent(75) {
            let options =
                YieldOptions { progress: progress.then_some(true), ..YieldOptions::default() };
            let answer = Yield { request: id(request), options, payload };
            assert_eq!(self.invocations.on_yield(now, answer, output), Ok(()));
            // Some answer what they have answered.
            if !progress && random.percent(90) {
                self.work.remove(&request);
            }
            return None;
        }
        let is_unavailable = random.percent(50);
        let error = if is_unavailable { "wamp.error.unavailable" } else { "com.app.broken" };
        let answer = Error {
            request_type: RequestType::INVOCATION,
            request: id(request),
            details: ErrorDetails::default(),
            error: Text::from_static(error),
            payload,
        };
        assert_eq!(self.invocations.on_error(now, answer, output), Ok(()));
        self.work.remove(&request);
        is_unavailable.then_some(call)
    }
}
