//! The calls of sessions, clause by clause, and many of them at once where everything goes wrong.
#![allow(missing_docs, clippy::unwrap_used, reason = "a panic is how a test fails")]

mod calls;
mod cancel;
mod invocations;

mod parts;
mod reroute;
mod simulation;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use protocols::text::Text;
use protocols::wamp::access::Disclosure;
use protocols::wamp::id::{Id, RequestPlace};
use protocols::wamp::message::{
    Call, CallOptions, Cancel, CancelMode, CancelOptions, Choice, Feature, Features, InvokePolicy,
    MatchPolicy, ResultDetails, YieldOptions,
};
use protocols::wamp::payload::Payload;
use protocols::wamp::realm::Principal;
use protocols::wamp::registry::{Callee, NodeId, Registry, SessionAt, Timestamp};
use protocols::wamp::rpc::calls::Output;
use protocols::wamp::rpc::{
    Answer, Ask, CallId, Calls, Identity, Invoke, Reply, Routing, RpcViolation, Settings, ToCallee,
    ToCaller,
};
use protocols::wamp::serializer::Serializer;
use protocols::wamp::uri::{Pattern, UriRules};

/// Everything that a callee can announce and that matters here.
const ALL: Features = Features::of(&[
    Feature::CallCanceling,
    Feature::CallTimeout,
    Feature::CallReroute,
    Feature::ProgressiveCallResults,
    Feature::ProgressiveCallInvocations,
]);

/// The caller of most tests.
const ME: u64 = 11;

fn id(value: u64) -> Id {
    Id::new(value).unwrap()
}

/// Sessions are numbered through all nodes: 12 is one on node 1.
fn at(session: u64) -> SessionAt {
    SessionAt { node: NodeId(session / 10), session: id(session) }
}

fn principal(session: u64) -> Arc<Principal> {
    Arc::new(Principal {
        session: id(session),
        authid: "joe".into(),
        authrole: "user".into(),
        authmethod: "anonymous",
        authprovider: "static",
    })
}

/// Time begins now, and passes when a test says so.
#[allow(clippy::disallowed_methods, reason = "there is no other way to make an instant")]
fn now() -> Instant {
    Instant::now()
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn payload(text: &str) -> Payload {
    let args = Bytes::from(format!("[{text:?}]"));
    Payload { serializer: Serializer::Json, args: Some(args), kwargs: None }
}

fn pattern(policy: MatchPolicy, uri: &str) -> Pattern {
    Pattern { policy, uri: Text::from(uri) }
}

fn callee(session: u64, features: Features) -> Callee {
    Callee {
        at: at(session),
        registered: Timestamp(session),
        wants_caller: false,
        keeps_timeouts: false,
        concurrency: None,
        features,
    }
}

fn result(text: &str, progress: bool) -> Answer {
    let details = ResultDetails { progress: progress.then_some(true), ..ResultDetails::default() };
    Answer::Result { part: 0, details, payload: payload(text) }
}

/// A caller's session, and all that it is told of the world.
struct Caller {
    now: Instant,
    calls: Calls,
    registry: Registry,
    output: Output,
    /// As far as the caller may call.
    disclosure: Option<Disclosure>,
    random: u64,
    /// Parts of results that were answered, by call.
    results: BTreeMap<CallId, u64>,
}

impl Caller {
    fn new() -> Self {
        Self::with(Settings::default())
    }

    fn with(settings: Settings) -> Self {
        Self {
            now: now(),
            calls: Calls::new(at(ME), principal(ME), ALL, settings),
            registry: Registry::new(Text::from_static("realm1")),
            output: Output::default(),
            disclosure: Some(Disclosure::Allow),
            random: 0,
            results: BTreeMap::new(),
        }
    }

    /// Callees of `a.b`, all with all features.
    fn served_by(sessions: &[u64]) -> Self {
        let mut caller = Self::new();
        sessions.iter().for_each(|session| caller.register(callee(*session, ALL)));
        caller
    }

    fn register(&mut self, callee: Callee) {
        self.register_pattern(&pattern(MatchPolicy::Exact, "a.b"), callee);
    }

    fn register_pattern(&mut self, pattern: &Pattern, callee: Callee) {
        self.registry.register(pattern.clone(), InvokePolicy::First, callee, None).unwrap();
    }

    fn with_routing(&mut self, run: impl FnOnce(&mut Calls, Instant, &Routing<'_>, &mut Output)) {
        let disclosure = self.disclosure;
        let routing = Routing {
            registry: &self.registry,
            uris: UriRules::default(),
            may_call: &|_| disclosure,
            random: self.random,
        };
        run(&mut self.calls, self.now, &routing, &mut self.output);
    }

    fn try_call(&mut self, place: RequestPlace, call: Call) -> Result<(), RpcViolation> {
        let mut outcome = Ok(());
        self.with_routing(|calls, now, routing, output| {
            outcome = calls.on_call(now, place, call, routing, output);
        });
        outcome
    }

    fn call_with(&mut self, request: u64, options: CallOptions) {
        let call = Call {
            request: id(request),
            options,
            procedure: Text::from("a.b"),
            payload: payload(&request.to_string()),
        };
        self.try_call(RequestPlace::Next, call).unwrap();
    }

    fn call(&mut self, request: u64) {
        self.call_with(request, CallOptions::default());
    }

    fn cancel(&mut self, request: u64, mode: Option<CancelMode>) {
        let options = CancelOptions { mode: mode.map(Choice::Known), reason: None };
        let cancel = Cancel { request: id(request), options };
        self.calls.on_cancel(self.now, &cancel, &mut self.output);
    }

    /// Results get the numbers that they should have.
    fn answer(&mut self, call: CallId, mut answer: Answer) {
        if let Answer::Result { part, .. } = &mut answer {
            let next = self.results.entry(call).or_default();
            *part = *next;
            *next += 1;
        }
        self.answer_as(call, answer);
    }

    fn answer_as(&mut self, call: CallId, answer: Answer) {
        self.with_routing(|calls, now, routing, output| {
            calls.on_answer(now, ToCaller { call, answer }, routing, output);
        });
    }

    fn undelivered(&mut self, call: CallId) {
        self.with_routing(|calls, now, routing, output| {
            calls.on_undelivered(now, call, routing, output);
        });
    }

    fn wait(&mut self, millis: u64) {
        self.now += Duration::from_millis(millis);
        self.calls.handle_timeout(self.now, &mut self.output);
    }

    fn asks(&mut self) -> Vec<ToCallee> {
        std::mem::take(&mut self.output.asks)
    }

    /// The only thing that was asked.
    fn ask(&mut self) -> ToCallee {
        let mut asks = self.asks();
        assert_eq!(asks.len(), 1, "{asks:?}");
        asks.remove(0)
    }

    /// The only thing that was asked, which is to run a procedure.
    fn invoke(&mut self) -> (CallId, u64, Invoke) {
        let ToCallee { to, call, ask } = self.ask();
        match ask {
            Ask::Invoke(invoke) => (call, to.session.get(), *invoke),
            other => panic!("{other:?}"),
        }
    }

    /// What the caller got: of each call the URI of an error, or what the result says.
    fn replies(&mut self) -> Vec<(u64, String)> {
        let said = |payload: Payload| {
            let args = String::from_utf8(payload.args.unwrap().to_vec()).unwrap();
            args.trim_matches(['[', ']', '"']).to_owned()
        };
        let told = |reply: Reply| match reply {
            Reply::Result(result) if result.details.progress == Some(true) => {
                (result.request.get(), format!("+{}", said(result.payload)))
            }
            Reply::Result(result) => (result.request.get(), said(result.payload)),
            Reply::Error(error) => (error.request.get(), format!("callee: {}", error.error)),
            Reply::Refused(refusal) => (refusal.request.get(), refusal.reason.uri().to_owned()),
        };
        std::mem::take(&mut self.output.replies).into_iter().map(told).collect()
    }

    /// The only thing that the caller got.
    fn reply(&mut self) -> String {
        let replies = self.replies();
        assert_eq!(replies.len(), 1, "{replies:?}");
        replies.into_iter().next().unwrap().1
    }
}

/// What a callee is told to stop with.
fn interrupts(asks: Vec<ToCallee>) -> Vec<(u64, CancelMode, String)> {
    let interrupts = asks.into_iter().map(|ask| match ask.ask {
        Ask::Interrupt { mode, reason } => (ask.call.request.get(), mode, reason.to_string()),
        other => panic!("{other:?}"),
    });
    interrupts.collect()
}
