//! Clients of WAMP that others wrote, each in each serializer, and what they can be told to do.

use std::path::PathBuf;
use std::sync::Arc;

use futures_util::future::join_all;
use integration_tests::{REALM, Serializer, World, node_script, python, python_script};
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::program::Program;

/// The libraries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Library {
    /// autobahn for Python.
    AutobahnPython,
    /// autobahn in Node.
    AutobahnNode,
    /// wampy in Node.
    Wampy,
    /// autobahn in Chromium.
    AutobahnBrowser,
}

impl Library {
    pub(crate) const ALL: [Self; 4] =
        [Self::AutobahnPython, Self::AutobahnNode, Self::Wampy, Self::AutobahnBrowser];

    fn start(self) -> Program {
        let node = || PathBuf::from("node");
        let (program, script) = match self {
            Self::AutobahnPython => (python(), python_script("wamp_autobahn.py")),
            Self::AutobahnNode => (node(), node_script("wamp_autobahn.mjs")),
            Self::Wampy => (node(), node_script("wamp_wampy.mjs")),
            Self::AutobahnBrowser => (node(), node_script("wamp_chromium.mjs")),
        };
        Program::start(program, script.as_os_str(), &[])
    }
}

/// Programs, and a gateway for them.
pub(crate) struct Stage {
    pub(crate) world: World,
    programs: Vec<(Library, Arc<Mutex<Program>>)>,
}

impl Stage {
    /// All libraries before this gateway.
    pub(crate) fn new(world: World) -> Self {
        Self::of(&Library::ALL, world)
    }

    /// These libraries before this gateway.
    pub(crate) fn of(libraries: &[Library], world: World) -> Self {
        let programs = libraries.iter().map(|it| (*it, Arc::new(Mutex::new(it.start()))));
        Self { world, programs: programs.collect() }
    }

    pub(crate) fn url(&self) -> String {
        format!("ws://{}/ws", self.world.ws_addr())
    }

    /// A client of each library in each serializer that is to join.
    pub(crate) fn outsiders(&self, name: &str) -> Vec<Client> {
        let mut clients = Vec::new();
        for (library, program) in &self.programs {
            for serializer in Serializer::ALL {
                let name = format!("{library:?} {serializer:?} {name}");
                let program = Arc::clone(program);
                clients.push(Client { library: *library, serializer, program, name });
            }
        }
        clients
    }

    /// A client of each library in each serializer that has joined.
    pub(crate) async fn clients(&self, name: &str) -> Vec<Client> {
        self.clients_at(&self.url(), name).await
    }

    /// The same, elsewhere than at the gateway's WebSocket.
    pub(crate) async fn clients_at(&self, url: &str, name: &str) -> Vec<Client> {
        let clients = self.outsiders(name);
        let joined = clients.iter().map(|client| client.join(url, json!(null)));
        for (session, client) in join_all(joined).await.into_iter().zip(&clients) {
            session.unwrap_or_else(|error| panic!("{}: {error}", client.name));
        }
        clients
    }

    /// All clients must have left.
    pub(crate) async fn end(self) {
        for (_, program) in self.programs {
            let program = Arc::into_inner(program).expect("the clients have left");
            program.into_inner().end().await;
        }
        let drained = self.world.gateway.stop().await;
        assert_eq!(drained.cut, 0, "every client had said goodbye");
    }
}

/// A client.
pub(crate) struct Client {
    pub(crate) library: Library,
    pub(crate) serializer: Serializer,
    program: Arc<Mutex<Program>>,
    pub(crate) name: String,
}

impl Client {
    async fn try_order(&self, order: &str, mut rest: Value) -> Result<Value, String> {
        rest["order"] = json!(order);
        rest["as"] = json!(self.name);
        self.program.lock().await.order(&rest).await
    }

    async fn order(&self, order: &str, rest: Value) -> Value {
        let outcome = self.try_order(order, rest).await;
        outcome.unwrap_or_else(|error| panic!("{}: {order}: {error}", self.name))
    }

    /// Joins with this login, or none; returns the session.
    pub(crate) async fn join(&self, url: &str, login: Value) -> Result<Value, String> {
        let serializer = match self.serializer {
            Serializer::Json => "json",
            Serializer::MsgPack => "msgpack",
            Serializer::Cbor => "cbor",
        };
        let how = json!({ "url": url, "serializer": serializer, "realm": REALM, "login": login });
        self.try_order("open", how).await
    }

    pub(crate) async fn subscribe(&self, topic: &str, policy: &str) {
        self.order("subscribe", json!({ "topic": topic, "match": policy })).await;
    }

    pub(crate) async fn unsubscribe(&self, topic: &str, policy: &str) {
        self.order("unsubscribe", json!({ "topic": topic, "match": policy })).await;
    }

    /// The policies of subscriptions that its library can end. wampy fails at those that were asked for
    /// with options, as it has to ask for all with MessagePack, and writes their IDs in CBOR as
    /// floating-point numbers.
    pub(crate) fn can_unsubscribe_from(&self) -> &'static [&'static str] {
        match (self.library, self.serializer) {
            (Library::Wampy, Serializer::Json) => &["exact"],
            (Library::Wampy, _) => &[],
            _ => &["exact", "prefix", "wildcard"],
        }
    }

    /// Publishes, and waits for the answer: the ID of the publication.
    pub(crate) async fn publish(&self, topic: &str, args: Value, kwargs: Value) -> Value {
        self.publish_with(topic, args, kwargs, json!({})).await
    }

    pub(crate) async fn publish_with(
        &self,
        topic: &str,
        args: Value,
        kwargs: Value,
        options: Value,
    ) -> Value {
        let publish = json!({ "topic": topic, "args": args, "kwargs": kwargs, "options": options });
        self.order("publish", publish).await
    }

    /// Publishes the numbers below `count` to the topics in turn.
    pub(crate) async fn burst(&self, topics: &[String], count: usize) {
        self.order("burst", json!({ "topics": topics, "count": count })).await;
    }

    /// The next event: `args`, `kwargs`, and the `topic` if the event names it.
    pub(crate) async fn next(&self) -> Value {
        self.order("next", json!({})).await
    }

    /// The next event, which must have these arguments.
    pub(crate) async fn expect(&self, args: &Value, kwargs: &Value) -> Value {
        let event = self.next().await;
        assert_eq!((&event["args"], &event["kwargs"]), (args, kwargs), "{}", self.name);
        event
    }

    /// Registers a procedure that gives back what it is called with: as an error, if `refused_as` is among it.
    pub(crate) async fn register(&self, procedure: &str) {
        self.order("register", json!({ "procedure": procedure })).await;
    }

    /// What a call brings: `args`, `kwargs`, and the `error` if it is one.
    pub(crate) async fn call(&self, procedure: &str, args: &Value, kwargs: &Value) -> Value {
        let call = json!({ "procedure": procedure, "args": args, "kwargs": kwargs });
        self.order("call", call).await
    }

    /// Waits for the router's goodbye: its reason. For autobahn for Python.
    pub(crate) async fn ended(self) -> Value {
        self.order("ended", json!({})).await
    }

    /// Says goodbye, which the router must answer.
    pub(crate) async fn leave(self) {
        let reason = self.order("leave", json!({})).await;
        // wampy keeps it to itself.
        if self.library != Library::Wampy {
            assert_eq!(reason, "wamp.close.goodbye_and_out", "{}", self.name);
        }
    }
}

/// All of them leave.
pub(crate) async fn all_leave(clients: impl IntoIterator<Item = Client>) {
    for client in clients {
        client.leave().await;
    }
}
