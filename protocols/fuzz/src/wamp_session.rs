//! Two WAMP sessions of one realm: whatever their clients, the broker, the clock, and the way between
//! the two do, in whatever order.

mod client;
mod realm;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use protocols::auth::{AuthReply, Grant};
use protocols::policy::{Limits, Policy};
use protocols::wamp::Settings;
use protocols::wamp::access::{Access, ActionSet, Disclosure, Effect, Rule};
use protocols::wamp::message::MatchPolicy;
use protocols::wamp::peers::Request;
use protocols::wamp::realm::{Anonymous, Realm};
use protocols::wamp::rpc;
use protocols::wamp::serializer::Serializer;
use protocols::wamp::uri::Pattern;

use client::{PHRASES, Side};
use realm::Between;

/// Carries out the operations that `data` stands for on two sessions, one of JSON and one of
/// MessagePack, and checks after each what must hold of every session: messages that a router sends,
/// whole and of the session's serializer, each request answered once at most and none that was not made,
/// invocations counted from 1, interrupts for those alone that run, one login, no command before it,
/// tokens used once, deadlines that lie ahead, silence after the close. At the end, when nothing is on
/// its way and time has passed, a client that is still in waits for no call.
///
/// *Shape.* Each operation is a byte, modulo [`OPERATIONS`] for what and by bit 7 for whom, and an
/// operand byte. An input of the client's own words takes that many bytes more.
pub fn wamp_session(data: &[u8]) {
    let mut world = World::new();
    let mut rest = data;
    while let [operation, operand, after @ ..] = rest {
        rest = after;
        let who = usize::from(operation >> 7);
        let operation = (operation & 0x7f) % OPERATIONS;
        if operation == 0 {
            let (words, after) = rest.split_at(rest.len().min(usize::from(*operand)));
            rest = after;
            world.sides[who].input(world.now, words);
        } else {
            world.operate(who, operation, *operand);
        }
        world.check();
    }
    world.finish();
}

/// How many operations there are.
const OPERATIONS: u8 = 16;

/// Longer than any call may take, and what is remembered of it.
const LONG: Duration = Duration::from_secs(60);

/// The sessions, and what is between them.
struct World {
    sides: [Side; 2],
    between: Between,
    /// What they have asked of each other, in order.
    on_way: VecDeque<(usize, Request)>,
    now: Instant,
}

impl World {
    fn new() -> Self {
        #[allow(clippy::disallowed_methods, reason = "virtual time must begin somewhere")]
        let now = Instant::now();
        let between = Between::new();
        let policy = Arc::new(policy());
        let side = |who: u8, serializer| Side::new(who, serializer, &policy, between.realms(), now);
        let sides = [side(0, Serializer::Json), side(1, Serializer::MsgPack)];
        Self { sides, between, on_way: VecDeque::new(), now }
    }

    fn operate(&mut self, who: usize, operation: u8, operand: u8) {
        let side = &mut self.sides[who];
        match operation {
            1..=5 => side.say(self.now, PHRASES[usize::from(operand) % PHRASES.len()]),
            6..=8 => (0..=operand % 4).for_each(|_| self.carry(Way::Through)),
            9 => self.carry(match operand % 3 {
                0 => Way::Undelivered,
                1 => Way::Lost,
                _ => Way::Twice,
            }),
            10 | 11 => side.answer(self.now, operand),
            12 => side.grant(
                self.now,
                &match operand % 4 {
                    0 => AuthReply::Denied(protocols::auth::Denial {
                        kind: protocols::auth::DenialKind::BadCredentials,
                        text: "no".into(),
                    }),
                    _ => AuthReply::Granted(Grant { user: "gateway".into(), vhost: "/".into() }),
                },
            ),
            13 => self.pass(Duration::from_millis(u64::from(operand) * 50)),
            14 => self.pass(Duration::from_secs(u64::from(operand) / 4)),
            _ => side.disturb(self.now, operand),
        }
    }

    /// Brings the first of what they have asked of each other to where it goes.
    fn carry(&mut self, way: Way) {
        if let Some((who, request)) = self.on_way.pop_front() {
            self.between.carry(&mut self.sides, self.now, (who, request), way);
            self.check();
        }
    }

    fn pass(&mut self, by: Duration) {
        let target = self.now + by;
        while let Some(deadline) = self.sides.iter().filter_map(Side::next_timeout).min()
            && deadline <= target
        {
            self.now = self.now.max(deadline);
            for side in &mut self.sides {
                side.timeout(self.now);
            }
            self.check();
        }
        self.now = target;
    }

    /// What must hold after each operation, and after the rest of the input that it left.
    fn check(&mut self) {
        for (who, side) in self.sides.iter_mut().enumerate() {
            side.check(self.now, |request| self.on_way.push_back((who, request)));
        }
    }

    /// Lets everything end that is under way.
    fn finish(&mut self) {
        for _ in 0..3 {
            while !self.on_way.is_empty() {
                self.carry(Way::Through);
            }
            for side in &mut self.sides {
                side.answer_all(self.now);
            }
            self.check();
            self.pass(LONG);
        }
        self.sides.iter().for_each(Side::assert_nothing_waits);
    }
}

/// What becomes of something on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Through,
    /// Whoever has sent it is told so.
    Undelivered,
    /// Nobody is told.
    Lost,
    Twice,
}

/// A realm in which everybody may do everything, and little of it at a time.
fn policy() -> Policy {
    let uris = Pattern { policy: MatchPolicy::Prefix, uri: "".into() };
    let effect = Effect::Allow(Disclosure::Allow);
    let rules = vec![Rule { uris, actions: ActionSet::ALL, effect }];
    let realm = Realm {
        anonymous: Some(Anonymous { role: "guest".into(), from_anywhere: true }),
        roles: [("guest".into(), Access { rules })].into_iter().collect(),
        ..Realm::new("r")
    };
    let rpc = rpc::Settings {
        default_timeout: Duration::from_secs(5),
        most_timeout: Duration::from_secs(10),
        kill_timeout: Duration::from_secs(3),
        most_calls: 4,
        most_attempts: 2,
        most_held: 1_000,
        most_registrations: 3,
        most_invocations: 3,
        linger: Duration::from_secs(2),
        most_remembered: 4,
    };
    let realms = [("r".into(), Arc::new(realm))].into_iter().collect();
    let limits = Limits {
        frame_size: 4 << 10,
        frame_size_before_login: 1 << 10,
        subscriptions: 3,
        pending_receipts: 4,
        ..Limits::default()
    };
    Policy { limits, wamp: Settings { realms, rpc, ..Settings::default() }, ..Policy::default() }
}
