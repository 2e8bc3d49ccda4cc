//! Neighbours of WAMP at the same broker: stomp.py behind the gateway, and pika at RabbitMQ.

use data_encoding::BASE64;
use integration_tests::{
    REALM, Serializer, TestGateway, WampClient, World, python, python_script, serve_wamp,
};
use rabbitmq_node::{Node, Permissions};
use serde_json::{Value, json};

use crate::clients::{Stage, all_leave};
use crate::program::{Program, binary};
use crate::{arguments, on_embedded, on_rabbitmq};

/// A neighbour.
pub(crate) struct Neighbour(Program);

/// A message as it comes to one.
pub(crate) struct Arrived {
    pub(crate) content_type: Value,
    pub(crate) body: Vec<u8>,
    pub(crate) headers: Value,
}

impl Neighbour {
    /// stomp.py, at the gateway.
    pub(crate) fn stomp(stage: &Stage) -> Self {
        let World { vhost, user, passcode, .. } = &stage.world;
        Self::start(&[&stage.url(), user, passcode, vhost])
    }

    /// pika, at the RabbitMQ behind it.
    pub(crate) fn pika(world: &World) -> Self {
        Self::pika_as(world, &world.user, &world.passcode)
    }

    pub(crate) fn pika_as(world: &World, login: &str, passcode: &str) -> Self {
        let address = world.rabbitmq.as_ref().expect("it is before a RabbitMQ").amqp_addr();
        let vhost = &world.vhost;
        Self::start(&[&format!("amqp://{login}:{passcode}@{address}/{vhost}")])
    }

    fn start(arguments: &[&str]) -> Self {
        let script = python_script("neighbour.py");
        Self(Program::start(python(), script.as_os_str(), arguments))
    }

    async fn order(&mut self, order: &str, mut rest: Value) -> Value {
        rest["order"] = json!(order);
        let outcome = self.0.order(&rest).await;
        outcome.unwrap_or_else(|error| panic!("{rest}: {error}"))
    }

    async fn subscribe(&mut self, topic: &str) {
        self.order("subscribe", json!({ "topic": topic })).await;
    }

    async fn publish(&mut self, topic: &str, content_type: Option<&str>, body: &[u8]) {
        self.publish_with(topic, content_type, body, json!({})).await;
    }

    async fn publish_with(
        &mut self,
        topic: &str,
        content_type: Option<&str>,
        body: &[u8],
        headers: Value,
    ) {
        let mut message = message(content_type, body, headers);
        message["topic"] = json!(topic);
        self.order("publish", message).await;
    }

    /// Consumes this queue of RabbitMQ instead of its own.
    pub(crate) async fn serve(&mut self, queue: &str) {
        self.order("serve", json!({ "queue": queue })).await;
    }

    /// Binds the queue that it consumes.
    pub(crate) async fn bind(&mut self, exchange: &str, key: &str) {
        self.order("bind", json!({ "exchange": exchange, "key": key })).await;
    }

    /// Has calls of this procedure come to it.
    pub(crate) async fn offer(&mut self, procedure: &str) {
        self.order("offer", json!({ "procedure": procedure })).await;
    }

    /// Calls a procedure; `more` are keys of the order besides. The answer comes next, with `correlation_id`.
    pub(crate) async fn call(&mut self, procedure: &str, correlation_id: &str, mut more: Value) {
        more["procedure"] = json!(procedure);
        more["correlation_id"] = json!(correlation_id);
        self.order("call", more).await;
    }

    /// Calls a procedure; whether nobody could take the call.
    pub(crate) async fn is_unroutable(&mut self, procedure: &str) -> bool {
        let unroutable = self.order("is_unroutable", json!({ "procedure": procedure })).await;
        unroutable.as_bool().expect("a yes or a no")
    }

    /// Answers the call that came last with this message.
    pub(crate) async fn answer(&mut self, message: Value) {
        self.order("answer", message).await;
    }

    pub(crate) async fn next(&mut self) -> Arrived {
        let mut message = self.order("next", json!({})).await;
        let body = BASE64.decode(message["body"].as_str().unwrap().as_bytes()).unwrap();
        let [content_type, headers] =
            ["content_type", "headers"].map(|field| message[field].take());
        Arrived { content_type, body, headers }
    }

    pub(crate) async fn leave(mut self) {
        self.order("leave", json!({})).await;
        self.0.end().await;
    }
}

/// A message in an order.
pub(crate) fn message(content_type: Option<&str>, body: &[u8], headers: Value) -> Value {
    json!({ "content_type": content_type, "body": BASE64.encode(body), "headers": headers })
}

/// What each client of WAMP publishes comes to the neighbour as `[args, kwargs]`, in the serializer that
/// its `content-type` names.
async fn hears_them(stage: Stage, mut neighbour: Neighbour) {
    neighbour.subscribe("interop.out").await;
    let clients = stage.clients("p").await;
    let (args, kwargs) = arguments();
    for client in &clients {
        client.publish("interop.out", args.clone(), kwargs.clone()).await;
        let Arrived { content_type, body, headers } = neighbour.next().await;
        assert_eq!(content_type, client.serializer.content_type(), "{}", client.name);
        let expected = as_values(&json!([args, kwargs]));
        assert_eq!(client.serializer.decode(&body), expected, "{}", client.name);
        assert_eq!(headers["wamp-uri"], "interop.out", "{}", client.name);
        assert_eq!(headers["type"], "wamp.event", "{}", client.name);
    }
    all_leave(clients).await;
    neighbour.leave().await;
    stage.end().await;
}

/// Binary data of orders as that of the test's own client.
pub(crate) fn as_values(value: &Value) -> Value {
    match value {
        Value::Array(items) => items.iter().map(as_values).collect(),
        Value::Object(entries) => match entries.get("$binary") {
            Some(base64) => json!(format!("\0{}", base64.as_str().unwrap())),
            None => entries.iter().map(|(key, value)| (key.clone(), as_values(value))).collect(),
        },
        other => other.clone(),
    }
}

/// What the neighbour publishes comes to each client of WAMP as its `content-type` says.
async fn is_heard_by_them(stage: Stage, mut neighbour: Neighbour) {
    let clients = stage.clients("s").await;
    for client in &clients {
        client.subscribe("interop.in", "exact").await;
    }
    let value = json!({ "größe": [1, -7, 2.5, null, { "x": "世界 🦀" }] });
    let (args, kwargs) = arguments();
    let both = as_values(&json!([args, kwargs]));
    let json = Some("application/json");
    let none = json!({});
    let mut cases = vec![
        (Some("text/plain"), "grüße, 世界 🦀".into(), json!(["grüße, 世界 🦀"]), &none),
        (Some("text/csv;charset=utf-8"), "a,b".into(), json!(["a,b"]), &none),
        (json, value.to_string().into_bytes(), json!([value]), &none),
        (json, b" [1, 2] ".to_vec(), json!([[1, 2]]), &none),
        (Some("application/octet-stream"), vec![0, 255, 10], json!([binary("AP8K")]), &none),
        (None, b"text?".to_vec(), json!([binary("dGV4dD8=")]), &none),
    ];
    for serializer in Serializer::ALL {
        let body = serializer.encode(&both);
        cases.push((Some(serializer.content_type()), body, args.clone(), &kwargs));
    }
    for (content_type, body, args, kwargs) in cases {
        neighbour.publish("interop.in", content_type, &body).await;
        for client in &clients {
            client.expect(&args, kwargs).await;
        }
    }
    all_leave(clients).await;
    neighbour.leave().await;
    stage.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stomp_py_hears_wamp_on_the_embedded_broker() {
    let stage = on_embedded().await;
    let neighbour = Neighbour::stomp(&stage);
    hears_them(stage, neighbour).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn stomp_py_hears_wamp_on_rabbitmq() {
    let stage = on_rabbitmq().await;
    let neighbour = Neighbour::stomp(&stage);
    hears_them(stage, neighbour).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn pika_hears_wamp() {
    let stage = on_rabbitmq().await;
    let neighbour = Neighbour::pika(&stage.world);
    hears_them(stage, neighbour).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wamp_hears_stomp_py_on_the_embedded_broker() {
    let stage = on_embedded().await;
    let neighbour = Neighbour::stomp(&stage);
    is_heard_by_them(stage, neighbour).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wamp_hears_stomp_py_on_rabbitmq() {
    let stage = on_rabbitmq().await;
    let neighbour = Neighbour::stomp(&stage);
    is_heard_by_them(stage, neighbour).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wamp_hears_pika() {
    let stage = on_rabbitmq().await;
    let neighbour = Neighbour::pika(&stage.world);
    is_heard_by_them(stage, neighbour).await;
}

/// What gateways prove themselves with that have a login of their own.
pub(crate) const PASSCODE: &str = "theirs";

/// Before a RabbitMQ at which the realm has a login that no client has; with that login.
pub(crate) async fn gateways_have_a_login() -> (World, String) {
    let host = Node::shared().await.vhost().await;
    let gateways = format!("{}-gateways", host.user());
    host.set_passcode(&gateways, PASSCODE).await;
    host.permit(&gateways, Permissions::ALL).await;
    let realm = json!({ "login": gateways, "passcode": PASSCODE });
    let settings = TestGateway::rabbitmq(&host).config(|config| serve_wamp(config, realm));
    (World::rabbitmq_at(settings.start().await, host), gateways)
}

/// Headers by which gateways tell each other who has published, and who may get it, count only in what a
/// gateway's login has published. RabbitMQ sees to it that the user is the right one.
#[tokio::test(flavor = "multi_thread")]
async fn headers_of_gateways_count_only_under_their_login() {
    let (world, gateways) = gateways_have_a_login().await;
    let mut client = WampClient::connect(world.ws_addr(), Serializer::Json, REALM).await;
    client.subscribe("interop.forged").await;
    let forged = json!({
        "wamp-uri": "interop.forged",
        "wamp-pub": client.session(),
        "wamp-elig": [],
        "wamp-excl": [client.session()],
        "wamp-disclose": true,
        "wamp-authid": "root",
        "wamp-authrole": "admin",
    });
    let mut pika = Neighbour::pika(&world);
    for user in [None, Some(&world.user)] {
        let mut headers = forged.clone();
        if let Some(user) = user {
            headers["user-id"] = json!(user);
        }
        pika.publish_with("interop.forged", Some("text/plain"), b"forged", headers).await;
        let event = client.expect_text("forged").await;
        assert_eq!(event.details, json!({}), "published as {user:?}");
    }
    pika.leave().await;

    let mut gateway = Neighbour::pika_as(&world, &gateways, PASSCODE);
    let mut headers = forged;
    headers["user-id"] = json!(gateways);
    let text = Some("text/plain");
    gateway.publish_with("interop.forged", text, b"not for this client", headers).await;
    let headers = json!({
        "user-id": gateways, "wamp-uri": "interop.forged", "wamp-pub": 7,
        "wamp-disclose": true, "wamp-authid": "ann",
    });
    gateway.publish_with("interop.forged", text, b"disclosed", headers).await;
    let event = client.expect_text("disclosed").await;
    assert_eq!(event.details, json!({ "publisher": 7, "publisher_authid": "ann" }));
    gateway.leave().await;
    client.leave().await;
}
