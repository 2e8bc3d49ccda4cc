//! §Remote Procedure Calls: clients in one realm, whose sessions reach each other through a realm of
//! the tests: one node, on which what is said is carried at once and in order.

mod call;
mod cancel;
mod leave;
mod meta;
mod parts;
mod payload;
mod realm;
mod register;
mod revoke;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use protocols::policy::Policy;
use protocols::wamp::Wamp;
use protocols::wamp::id::Id;
use protocols::wamp::message::{
    Call, CallOptions, CallResult, Error, ErrorDetails, Feature, Features, Hello, HelloDetails,
    Interrupt, Invocation, Message, Register, RegisterOptions, RequestType, Role, Roles,
    Unregister, Yield, YieldOptions,
};
use protocols::wamp::meta::Directory;
use protocols::wamp::payload::Payload;
use protocols::wamp::peers::{Notice, Realms};
use protocols::wamp::realm::Principal;
use protocols::wamp::registry::SessionAt;
use protocols::wamp::serializer::{Limits, Serializer};

use crate::client::{Client, Pair, policy};
use realm::Registered;

/// What a client announces that can do everything.
const ALL: &[Feature] = Feature::ALL;

/// The one that joins first in most tests, and the one that joins second.
const CALLEE: usize = 0;
const CALLER: usize = 1;

/// Clients, and what is between their sessions.
struct World {
    registered: Arc<Registered>,
    directory: Directory,
    policy: Policy,
    players: Vec<Player>,
    /// Who is in, and who that is.
    inside: BTreeMap<SessionAt, (usize, Arc<Principal>)>,
    /// Sessions that nothing reaches.
    unreachable: Vec<usize>,
    /// The realm's clock.
    time: u64,
}

struct Player {
    client: Client,
    /// The ID of its latest request.
    request: u64,
}

fn id(value: u64) -> Id {
    Id::new(value).unwrap()
}

/// A payload as JSON.
fn shown(payload: &Payload) -> String {
    let json = payload.transcoded(Serializer::Json, &Limits::DEFAULT).unwrap();
    String::from_utf8(json.args.unwrap_or_default().to_vec()).unwrap()
}

impl World {
    fn new() -> Self {
        Self::with(policy())
    }

    fn with(policy: Policy) -> Self {
        Self {
            registered: Arc::new(Registered::new()),
            directory: Directory::new("open", &[3; 32]),
            policy,
            players: Vec::new(),
            inside: BTreeMap::new(),
            unreachable: Vec::new(),
            time: 0,
        }
    }

    /// A callee and a caller that can do everything, of any two serializers; the procedure `a.b`.
    fn each(test: impl Fn(Self)) {
        for callee in Serializer::ALL {
            for caller in Serializer::ALL {
                let mut world = Self::new();
                world.join_as(callee, ALL, 0);
                world.join_as(caller, ALL, 1);
                world.register(CALLEE, "a.b", RegisterOptions::default());
                test(world);
            }
        }
    }

    /// One of those, whose serializers do not matter.
    fn pair() -> Self {
        let mut world = Self::new();
        world.join(ALL);
        world.join(ALL);
        world.register(CALLEE, "a.b", RegisterOptions::default());
        world
    }

    /// One more client, which announces these features; the last but those before.
    fn join(&mut self, features: &[Feature]) -> usize {
        let user = u8::try_from(self.players.len()).unwrap();
        self.join_as(Serializer::Json, features, user)
    }

    /// As [`join`](Self::join), with this serializer. Those with the same number are the same user.
    fn join_as(&mut self, serializer: Serializer, features: &[Feature], user: u8) -> usize {
        self.join_on(usize::MAX, serializer, features, user)
    }

    /// A client that can do everything, and takes messages of so many bytes.
    fn join_narrow(&mut self, most_output: usize) -> usize {
        let user = u8::try_from(self.players.len()).unwrap();
        self.join_on(most_output, Serializer::Json, ALL, user)
    }

    fn join_on(
        &mut self,
        most_output: usize,
        serializer: Serializer,
        features: &[Feature],
        user: u8,
    ) -> usize {
        let who = self.players.len();
        let realms: Arc<dyn Realms> = self.registered.clone();
        let name = Some(serializer.subprotocol());
        let pair = Pair::open_as(&Wamp, name, self.policy.clone(), |setup| {
            setup.realms = realms;
            setup.most_output = most_output;
            setup.random = [user; 32];
            setup.random[7] = u8::try_from(who).unwrap();
        });
        let mut client = Client { pair, serializer };
        let features = Features::of(features);
        let roles = [Role::Caller, Role::Callee, Role::Subscriber];
        let roles = roles.into_iter().fold(Roles::NONE, |roles, role| roles.with(role, features));
        let details = HelloDetails { roles: Some(roles), ..HelloDetails::default() };
        client.send(Hello { realm: "open".into(), details });
        client.welcomed();
        self.players.push(Player { client, request: 0 });
        self.settle();
        who
    }

    fn client(&mut self, who: usize) -> &mut Client {
        &mut self.players[who].client
    }

    /// The ID of the next request of a client.
    fn next(&mut self, who: usize) -> Id {
        self.players[who].request += 1;
        id(self.players[who].request)
    }

    fn at(&self, who: usize) -> SessionAt {
        let found = self.inside.iter().find(|(_, (player, _))| *player == who);
        *found.expect("it is in").0
    }

    /// The ID of what is registered for a procedure.
    fn registration(&self, procedure: &str) -> Id {
        let registry = self.registered.registry("open").unwrap();
        registry.best_match(procedure).unwrap().id()
    }

    fn send(&mut self, who: usize, message: impl Into<Message>) {
        self.client(who).send(message);
        self.settle();
    }

    fn notice(&mut self, who: usize, notice: Notice) {
        let pair = &mut self.client(who).pair;
        pair.step(|session, now, actions| session.handle_peers(now, notice, actions));
    }

    fn advance(&mut self, millis: u64) {
        for player in &mut self.players {
            player.client.pair.advance(Duration::from_millis(millis));
        }
        self.settle();
    }

    /// REGISTER, as the next request; what is said to that.
    fn try_register(&mut self, who: usize, uri: &str, options: RegisterOptions) -> Message {
        let request = self.next(who);
        self.send(who, Register { request, options, procedure: uri.into() });
        self.client(who).message()
    }

    fn register(&mut self, who: usize, uri: &str, options: RegisterOptions) -> Id {
        match self.try_register(who, uri, options) {
            Message::Registered(registered) => {
                assert_eq!(registered.request, id(self.players[who].request));
                registered.registration
            }
            other => panic!("REGISTERED, not {other:?}"),
        }
    }

    /// UNREGISTER; what is said to that.
    fn unregister(&mut self, who: usize, registration: Id) -> Message {
        let request = self.next(who);
        self.send(who, Unregister { request, registration });
        self.client(who).message()
    }

    /// CALL with a text; its ID.
    fn call(&mut self, who: usize, uri: &str, options: CallOptions) -> Id {
        let payload = Payload::of_text(self.client(who).serializer, "ping");
        self.call_with(who, uri, options, payload)
    }

    fn call_with(&mut self, who: usize, uri: &str, options: CallOptions, payload: Payload) -> Id {
        let request = self.next(who);
        self.send(who, Call { request, options, procedure: uri.into(), payload });
        request
    }

    /// YIELD with a text, the last one or not.
    fn answer(&mut self, who: usize, request: Id, text: &str, progress: bool) {
        let payload = Payload::of_text(self.client(who).serializer, text);
        let progress = progress.then_some(true);
        let options = YieldOptions { progress, ..YieldOptions::default() };
        self.send(who, Yield { request, options, payload });
    }

    /// ERROR for an INVOCATION, with a text.
    fn fail(&mut self, who: usize, request: Id, error: &str) {
        let payload = Payload::of_text(self.client(who).serializer, "why");
        let (request_type, details) = (RequestType::INVOCATION, ErrorDetails::default());
        self.send(who, Error { request_type, request, details, error: error.into(), payload });
    }

    fn invocation(&mut self, who: usize) -> Invocation {
        match self.client(who).message() {
            Message::Invocation(invocation) => invocation,
            other => panic!("INVOCATION, not {other:?}"),
        }
    }

    /// The INTERRUPT that was sent: which invocation, its mode and its reason.
    fn interrupt(&mut self, who: usize) -> Interrupt {
        match self.client(who).message() {
            Message::Interrupt(interrupt) => interrupt,
            other => panic!("INTERRUPT, not {other:?}"),
        }
    }

    fn result(&mut self, who: usize) -> CallResult {
        match self.client(who).message() {
            Message::CallResult(result) => result,
            other => panic!("RESULT, not {other:?}"),
        }
    }

    /// The ERROR that was sent to a CALL: which, and why as a URI.
    fn error(&mut self, who: usize) -> (Id, String) {
        match self.client(who).message() {
            Message::Error(error) => {
                assert_eq!(error.request_type, RequestType::CALL);
                (error.request, error.error.to_string())
            }
            other => panic!("ERROR, not {other:?}"),
        }
    }

    /// Nothing was sent to any client.
    fn assert_silent(&mut self) {
        for player in &mut self.players {
            assert_eq!(player.client.messages(), []);
        }
    }
}
