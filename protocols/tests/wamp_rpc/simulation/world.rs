//! The world: nodes with sessions, what is registered, and the exchange between them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::num::NonZeroU32;
use std::time::Instant;

use protocols::wamp::registry::Load;
use protocols::wamp::rpc::{Gone, Limit};

use super::super::*;
use super::peer::{Open, Peer, tagged};
use super::random::Random;

const PROCEDURES: [&str; 4] = ["a.one", "a.two", "b.one", "b.two"];

const SETTINGS: Settings = Settings {
    default_timeout: Duration::from_millis(200),
    most_timeout: Duration::from_millis(300),
    kill_timeout: Duration::from_millis(50),
    most_calls: 20,
    most_attempts: 3,
    most_held: 1000,
    most_registrations: 10,
    most_invocations: 12,
    linger: Duration::from_millis(100),
    most_remembered: 1000,
};

/// On its way from one session to another.
enum Packet {
    Ask(ToCallee),
    Answer(ToCaller),
    Gone(Gone),
    /// The exchange says that what was asked was not delivered.
    LostAsk(CallId),
    /// Likewise of what was answered.
    LostAnswer(CallId),
}

/// What keeps its order: from, to, and whether it may overtake the rest.
type Lane = (SessionAt, SessionAt, bool);

pub(super) struct World {
    random: Random,
    is_cruel: bool,
    now: Instant,
    registry: Registry,
    /// What callers still believe.
    stale: Registry,
    peers: BTreeMap<SessionAt, Peer>,
    /// What is on its way, when it comes, and whether it is a copy.
    lanes: BTreeMap<Lane, VecDeque<(Instant, Packet, bool)>>,
    next_session: u64,
    finished: usize,
    /// Calls that were sent to more than one callee.
    rerouted: BTreeSet<(u64, u64)>,
    sent: BTreeSet<(u64, u64)>,
    /// How often a call is run, without those who said that they did not run it.
    runs: BTreeMap<(u64, u64), i64>,
    /// Of a caller and a callee, the latest call that came.
    latest: BTreeMap<(u64, SessionAt), u64>,
}

impl World {
    pub(super) fn new(seed: u64, is_cruel: bool) -> Self {
        let registry = Registry::new(Text::from_static("realm1"));
        let mut world = Self {
            random: Random(seed),
            is_cruel,
            now: now(),
            stale: registry.clone(),
            registry,
            peers: BTreeMap::new(),
            lanes: BTreeMap::new(),
            next_session: 0,
            finished: 0,
            rerouted: BTreeSet::new(),
            sent: BTreeSet::new(),
            runs: BTreeMap::new(),
            latest: BTreeMap::new(),
        };
        (0..5).for_each(|_| world.join());
        world.stale = world.registry.clone();
        world
    }

    /// Calls that got their final answer.
    pub(super) fn finished(&self) -> usize {
        self.finished + self.peers.values().map(|peer| peer.finished).sum::<usize>()
    }

    pub(super) fn run(&mut self, steps: usize) {
        for _ in 0..steps {
            self.now += Duration::from_millis(self.random.below(4));
            if self.is_cruel && self.random.percent(2) {
                self.end_somebody();
            }
            if self.random.percent(30) {
                self.stale = self.registry.clone();
            }
            let who = self.anybody();
            match self.random.below(10) {
                0..4 => self.call(who),
                4 => self.send_part(who),
                5 => self.cancel(who),
                6 if self.is_cruel => self.change_registrations(who),
                _ => self.answer(who),
            }
            self.tick();
        }
    }

    /// Nobody does anything any more, but that time passes.
    pub(super) fn settle(&mut self) {
        for _ in 0..400 {
            self.now += millis(3);
            self.tick();
        }
        for peer in self.peers.values() {
            assert!(peer.open.is_empty(), "a call has no answer");
            assert!(peer.calls.is_empty() && peer.calls.next_timeout().is_none());
            assert!(peer.invocations.is_empty() && peer.invocations.next_timeout().is_none());
            assert_eq!(peer.invocations.remembered(), 0);
        }
    }

    fn anybody(&mut self) -> SessionAt {
        let place = usize::try_from(self.random.below(self.peers.len() as u64)).unwrap();
        *self.peers.keys().nth(place).unwrap()
    }

    fn join(&mut self) {
        self.next_session += 1;
        let node = NodeId(self.random.below(3));
        let at = SessionAt { node, session: id(self.next_session) };
        let features: Vec<Feature> =
            ALL.iter().filter(|_| !self.is_cruel || self.random.percent(80)).collect();
        self.peers.insert(at, Peer::new(at, Features::of(&features), SETTINGS));
        for procedure in PROCEDURES {
            if self.random.percent(60) {
                self.register(at, procedure);
            }
        }
    }

    fn register(&mut self, at: SessionAt, procedure: &str) {
        let is_limited = self.is_cruel && self.random.percent(30);
        let callee = Callee {
            at,
            registered: Timestamp(self.next_session),
            wants_caller: false,
            keeps_timeouts: self.random.percent(30),
            concurrency: NonZeroU32::new(if is_limited { 2 } else { 0 }),
            features: self.peers[&at].features,
        };
        let pattern = pattern(MatchPolicy::Exact, procedure);
        let shared = InvokePolicy::RoundRobin;
        if let Ok(registered) = self.registry.register(pattern, shared, callee, None) {
            let peer = self.peers.get_mut(&at).unwrap();
            // Callers do not know how many it has: it refuses what is too much.
            let limit = callee.concurrency.map(|most| Limit { most, load: Load::default() });
            peer.invocations.on_registered(registered.registration, limit);
        }
    }

    fn change_registrations(&mut self, who: SessionAt) {
        let registered = self.registry.of_session(who).next();
        match registered {
            Some(registration) if self.random.percent(50) => {
                self.registry.unregister(who, registration).unwrap();
                self.peers.get_mut(&who).unwrap().invocations.on_unregistered(registration);
            }
            _ => {
                let place = usize::try_from(self.random.below(4)).unwrap();
                self.register(who, PROCEDURES[place]);
            }
        }
    }

    /// A session or a node ends, and says so or not; others hear of it, sooner or later.
    fn end_somebody(&mut self) {
        let who = self.anybody();
        let gone = match self.random.percent(30) {
            true => Gone::Node(who.node),
            false => Gone::Session(who),
        };
        let ended: Vec<SessionAt> =
            self.peers.keys().copied().filter(|at| gone.includes(*at)).collect();
        for at in ended {
            let mut peer = self.peers.remove(&at).unwrap();
            self.registry.leave(at);
            self.finished += peer.finished;
            if gone == Gone::Session(at) && self.random.percent(70) {
                let asks = peer.calls.leave();
                asks.into_iter().for_each(|ask| self.send_ask(at, ask));
                let answers = peer.invocations.leave();
                answers.into_iter().for_each(|answer| self.send_answer(at, answer));
            }
            self.join();
        }
        let others: Vec<SessionAt> =
            self.peers.keys().copied().filter(|at| !gone.includes(*at)).collect();
        others.into_iter().for_each(|other| self.send(who, other, false, Packet::Gone(gone)));
    }

    fn with_routing(&mut self, who: SessionAt, run: impl FnOnce(&mut Peer, Instant, &Routing<'_>)) {
        let random = self.random.next();
        let Some(peer) = self.peers.get_mut(&who) else { return };
        let routing = Routing {
            registry: &self.stale,
            uris: UriRules::default(),
            may_call: &|_| Some(Disclosure::Allow),
            random,
        };
        run(peer, self.now, &routing);
    }

    fn call(&mut self, who: SessionAt) {
        let procedure = PROCEDURES[usize::try_from(self.random.below(4)).unwrap()];
        let in_parts = self.random.percent(30);
        let receive_progress = self.random.percent(40);
        let timeout = self.random.below(400);
        let options = CallOptions {
            progress: in_parts.then_some(true),
            receive_progress: receive_progress.then_some(true),
            timeout: Some(timeout),
            ..CallOptions::default()
        };
        self.with_routing(who, |peer, now, routing| {
            peer.last_request += 1;
            let request = peer.last_request;
            let timeout = if timeout == 0 { 200 } else { timeout.min(300) };
            let (timeout, parts) = (millis(timeout), 1);
            let open = Open { receive_progress, in_parts, parts, timeout, since: now };
            peer.open.insert(request, open);
            let call = Call {
                request: id(request),
                options,
                procedure: Text::from_static(procedure),
                payload: tagged(peer.at.session.get(), request, 0),
            };
            let output = &mut peer.calls_output;
            let outcome = peer.calls.on_call(now, RequestPlace::Next, call, routing, output);
            assert_eq!(outcome, Ok(()));
        });
    }

    fn send_part(&mut self, who: SessionAt) {
        let progress = self.random.percent(70);
        let procedures = PROCEDURES.map(Text::from_static);
        self.with_routing(who, |peer, now, routing| {
            let mut open = peer.open.iter_mut().rev();
            let Some((&request, open)) = open.find(|(_, open)| open.in_parts) else { return };
            let part = open.parts;
            open.parts += 1;
            open.in_parts = progress;
            open.since = now;
            // Which procedure it was is not kept: the wrong ones are dropped.
            for procedure in procedures {
                let options = CallOptions { progress: Some(progress), ..CallOptions::default() };
                let payload = tagged(peer.at.session.get(), request, part);
                let call = Call { request: id(request), options, procedure, payload };
                let (place, output) = (RequestPlace::Before, &mut peer.calls_output);
                assert_eq!(peer.calls.on_call(now, place, call, routing, output), Ok(()));
            }
        });
    }

    fn cancel(&mut self, who: SessionAt) {
        let modes = [CancelMode::Skip, CancelMode::Kill, CancelMode::KillNoWait];
        let mode = modes[usize::try_from(self.random.below(3)).unwrap()];
        let request = self.random.below(8);
        let peer = self.peers.get_mut(&who).unwrap();
        let request = peer.last_request.saturating_sub(request).max(1);
        let options = CancelOptions { mode: Some(Choice::Known(mode)), reason: None };
        let cancel = Cancel { request: id(request), options };
        peer.calls.on_cancel(self.now, &cancel, &mut peer.calls_output);
    }

    fn answer(&mut self, who: SessionAt) {
        for _ in 0..2 {
            let peer = self.peers.get_mut(&who).unwrap();
            if let Some(call) = peer.answer(self.now, &mut self.random) {
                *self.runs.get_mut(&call).unwrap() -= 1;
            }
        }
    }

    /// What is due is done, and what came of it is sent.
    fn tick(&mut self) {
        self.deliver();
        let sessions: Vec<SessionAt> = self.peers.keys().copied().collect();
        for at in sessions {
            let now = self.now;
            let peer = self.peers.get_mut(&at).unwrap();
            if peer.calls.next_timeout().is_some_and(|due| due <= now) {
                peer.calls.handle_timeout(now, &mut peer.calls_output);
            }
            if peer.invocations.next_timeout().is_some_and(|due| due <= now) {
                peer.invocations.handle_timeout(now, &mut peer.invocations_output);
            }
            peer.take_replies(now);
            let new = peer.take_work();
            let asks = std::mem::take(&mut peer.calls_output.asks);
            let answers = std::mem::take(&mut peer.invocations_output.answers);
            new.into_iter().for_each(|call| self.check_run(at, call));
            asks.into_iter().for_each(|ask| self.send_ask(at, ask));
            answers.into_iter().for_each(|answer| self.send_answer(at, answer));
        }
    }

    /// A callee begins with a call.
    fn check_run(&mut self, callee: SessionAt, call: (u64, u64)) {
        let runs = self.runs.entry(call).or_default();
        *runs += 1;
        assert!(*runs <= 1, "{call:?} runs twice");
        if !self.rerouted.contains(&call) {
            let latest = self.latest.entry((call.0, callee)).or_default();
            assert!(*latest < call.1, "call {} of {} came after {latest}", call.1, call.0);
            *latest = call.1;
        }
    }

    fn send_ask(&mut self, from: SessionAt, ask: ToCallee) {
        if matches!(ask.ask, Ask::Invoke(_)) {
            let call = (ask.call.caller.session.get(), ask.call.request.get());
            if !self.sent.insert(call) {
                self.rerouted.insert(call);
            }
        }
        let overtakes = matches!(ask.ask, Ask::Interrupt { .. });
        self.send(from, ask.to, overtakes, Packet::Ask(ask));
    }

    fn send_answer(&mut self, from: SessionAt, answer: ToCaller) {
        self.send(from, answer.call.caller, false, Packet::Answer(answer));
    }

    fn send(&mut self, from: SessionAt, to: SessionAt, overtakes: bool, packet: Packet) {
        let at = self.now + Duration::from_millis(self.random.below(10));
        let again = at + Duration::from_millis(self.random.below(40));
        let is_lost = self.is_cruel && self.random.percent(2);
        let is_twice = self.is_cruel && self.random.percent(3);
        let copy = match &packet {
            Packet::Ask(ask) => Some(Packet::Ask(ask.clone())),
            Packet::Answer(answer) => Some(Packet::Answer(answer.clone())),
            _ => None,
        };
        let lane = self.lanes.entry((from, to, overtakes)).or_default();
        if !is_lost {
            lane.push_back((at, packet, false));
        }
        lane.extend(copy.filter(|_| is_twice).map(|copy| (again, copy, true)));
    }

    fn deliver(&mut self) {
        self.lanes.retain(|_, packets| !packets.is_empty());
        let lanes: Vec<Lane> = self.lanes.keys().copied().collect();
        for lane in lanes {
            while let Some((at, ..)) = self.lanes[&lane].front()
                && *at <= self.now
            {
                let packets = self.lanes.get_mut(&lane).unwrap();
                let (_, packet, is_copy) = packets.pop_front().unwrap();
                self.arrive(lane, packet, is_copy);
            }
        }
    }

    fn arrive(&mut self, (from, to, _): Lane, packet: Packet, is_copy: bool) {
        if !self.peers.contains_key(&to) {
            // Some hear of it. What is said of a copy would be wrong: the first one may have come.
            let lost = match packet {
                Packet::Ask(ask) => Packet::LostAsk(ask.call),
                Packet::Answer(answer) => Packet::LostAnswer(answer.call),
                _ => return,
            };
            if !is_copy && self.random.percent(60) {
                self.send(to, from, false, lost);
            }
            return;
        }
        self.with_routing(to, |peer, now, routing| match packet {
            Packet::Ask(ask) => peer.invocations.on_ask(now, ask, &mut peer.invocations_output),
            Packet::Answer(answer) => {
                peer.calls.on_answer(now, answer, routing, &mut peer.calls_output);
            }
            Packet::LostAsk(call) => {
                peer.calls.on_undelivered(now, call, routing, &mut peer.calls_output);
            }
            Packet::LostAnswer(call) => {
                peer.invocations.on_undelivered(now, call, &mut peer.invocations_output);
            }
            Packet::Gone(gone) => {
                peer.calls.on_gone(gone, &mut peer.calls_output);
                peer.invocations.on_gone(now, gone, &mut peer.invocations_output);
            }
        });
    }
}
