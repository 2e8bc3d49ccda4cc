//! [`Vhost`]: a virtual host of one test's own.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::api::Api;
use crate::node::Node;
use crate::wait::eventually;

/// A virtual host and a user with all permissions in it, both with names that nothing else on the
/// node has. They stay until the node ends.
#[derive(Debug, Clone)]
pub struct Vhost {
    name: String,
    user: String,
    passcode: String,
    amqp: SocketAddr,
    api: Api,
}

/// What a user may do in a virtual host: for each right, the regular expression of the queues and
/// exchanges it is given for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Permissions<'a> {
    /// To declare and delete.
    pub configure: &'a str,
    /// To publish to, and to bind.
    pub write: &'a str,
    /// To consume from, and to bind to.
    pub read: &'a str,
}

impl Permissions<'_> {
    /// For everything.
    pub const ALL: Self = Self { configure: ".*", write: ".*", read: ".*" };
    /// For nothing; enough to open a connection.
    pub const NONE: Self = Self { configure: "^$", write: "^$", read: "^$" };
}

/// A queue, as RabbitMQ's statistics know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// Messages that wait or are unacknowledged; `None` until this was counted for the first time.
    pub messages: Option<u64>,
    /// Survives a restart.
    pub durable: bool,
    /// Gone with its last consumer.
    pub auto_delete: bool,
    /// Gone with the connection that declared it.
    pub exclusive: bool,
    /// What it was declared with besides, e.g. `x-expires`: an object.
    pub arguments: Value,
}

/// A connection, as RabbitMQ knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// Its name, for [`Vhost::close_connection`].
    pub name: String,
    /// Whose it is.
    pub user: String,
    /// The client's port.
    pub peer_port: u16,
    /// What the client said of itself (`connection.start-ok`): an object.
    pub client_properties: Value,
}

impl Vhost {
    pub(crate) async fn make(node: &Node, number: u32) -> Self {
        let vhost = Self {
            name: format!("vhost-{number}"),
            user: format!("user-{number}"),
            passcode: format!("passcode-{number}"),
            amqp: node.amqp_addr(),
            api: node.api(),
        };
        vhost.api.put(&vhost.path(), json!({})).await;
        vhost.set_passcode(&vhost.user, &vhost.passcode).await;
        vhost.permit(&vhost.user, Permissions::ALL).await;
        vhost
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The user who may do everything in it.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// What the user proves himself with.
    pub fn passcode(&self) -> &str {
        &self.passcode
    }

    /// Where to reach it by AMQP.
    pub const fn amqp_addr(&self) -> SocketAddr {
        self.amqp
    }

    /// The HTTP API of its node.
    pub const fn api(&self) -> Api {
        self.api
    }

    /// Makes a user with this passcode and no permission at all, or gives a user a new passcode.
    /// Users are the node's: their names have to begin with something of this virtual host's own.
    pub async fn set_passcode(&self, user: &str, passcode: &str) {
        let path = format!("/users/{}", Api::segment(user));
        self.api.put(&path, json!({ "password": passcode, "tags": "" })).await;
    }

    /// Gives a user these permissions here, instead of those he had.
    pub async fn permit(&self, user: &str, permissions: Permissions<'_>) {
        let Permissions { configure, write, read } = permissions;
        let value = json!({ "configure": configure, "write": write, "read": read });
        self.api.put(&self.permissions(user), value).await;
    }

    /// Gives a user these permissions for the topics of an exchange here: for each right, the regular
    /// expression of the routing keys it is given for.
    pub async fn permit_topics(&self, user: &str, exchange: &str, write: &str, read: &str) {
        let value = json!({ "exchange": exchange, "write": write, "read": read });
        self.api.put(&self.in_vhost("topic-permissions", user), value).await;
    }

    /// Takes all permissions here from a user: the virtual host is closed to him.
    pub async fn exclude(&self, user: &str) {
        self.api.delete(&self.permissions(user)).await;
    }

    /// Deletes a user.
    pub async fn delete_user(&self, user: &str) {
        self.api.delete(&format!("/users/{}", Api::segment(user))).await;
    }

    /// Sets a limit: `max-connections` or `max-queues`.
    pub async fn limit(&self, what: &str, most: u32) {
        let path = format!("/vhost-limits/{}/{what}", Api::segment(&self.name));
        self.api.put(&path, json!({ "value": most })).await;
    }

    /// Deletes the virtual host, with everything in it.
    pub async fn delete(&self) {
        self.api.delete(&self.path()).await;
    }

    /// Declares a durable queue with these arguments, an object.
    pub async fn declare_queue(&self, name: &str, arguments: Value) {
        let value = json!({ "durable": true, "auto_delete": false, "arguments": arguments });
        self.api.put(&self.in_vhost("queues", name), value).await;
    }

    /// Publishes a text to a queue with these properties, an object such as `{"headers":{"n":1}}`.
    pub async fn publish(&self, queue: &str, properties: Value, text: &str) {
        self.publish_to("amq.default", queue, properties, text).await;
    }

    /// Publishes a text to an exchange, with a routing key and these properties.
    pub async fn publish_to(&self, exchange: &str, key: &str, properties: Value, text: &str) {
        let path = format!("{}/publish", self.in_vhost("exchanges", exchange));
        let value = json!({
            "properties": properties,
            "routing_key": key,
            "payload": text,
            "payload_encoding": "string",
        });
        self.api.post(&path, value).await;
    }

    /// Binds a queue to an exchange.
    pub async fn bind_queue(&self, queue: &str, exchange: &str, key: &str) {
        let [vhost, exchange, queue] = [&self.name, exchange, queue].map(Api::segment);
        let path = format!("/bindings/{vhost}/e/{exchange}/q/{queue}");
        self.api.post(&path, json!({ "routing_key": key, "arguments": {} })).await;
    }

    /// Takes at most so many messages out of a queue: their routing keys.
    pub async fn take(&self, queue: &str, most: usize) -> Vec<String> {
        let path = format!("{}/get", self.in_vhost("queues", queue));
        let value = json!({ "count": most, "ackmode": "ack_requeue_false", "encoding": "auto" });
        let taken = self.api.post(&path, value).await;
        list(&taken).iter().map(|message| text(&message["routing_key"])).collect()
    }

    /// Deletes a queue; says whether there was one.
    pub async fn delete_queue(&self, name: &str) -> bool {
        self.api.delete(&self.in_vhost("queues", name)).await
    }

    /// Declares a durable exchange of this kind, e.g. `headers`.
    pub async fn declare_exchange(&self, name: &str, kind: &str) {
        let value = json!({ "type": kind, "durable": true, "auto_delete": false });
        self.api.put(&self.in_vhost("exchanges", name), value).await;
    }

    /// Deletes every queue, once those of clients that have gone are gone, and every exchange that
    /// was declared.
    pub async fn clear(&self) {
        let lasting = async || {
            let queues = self.queues_at_once().await;
            (!queues.iter().any(|queue| queue.exclusive)).then_some(queues)
        };
        for queue in eventually("the end of exclusive queues", lasting).await {
            self.delete_queue(&queue.name).await;
        }
        let path = format!("/exchanges/{}", Api::segment(&self.name));
        for exchange in list(&self.api.get(&path).await) {
            let name = text(&exchange["name"]);
            if !name.is_empty() && !name.starts_with("amq.") {
                self.delete_exchange(&name).await;
            }
        }
    }

    /// Deletes an exchange; says whether there was one.
    pub async fn delete_exchange(&self, name: &str) -> bool {
        self.api.delete(&self.in_vhost("exchanges", name)).await
    }

    /// The names of the exchanges that somebody has declared.
    pub async fn exchanges(&self) -> Vec<String> {
        let listed = self.api.get(&format!("/exchanges/{}", Api::segment(&self.name))).await;
        let names = list(&listed).iter().map(|it| text(&it["name"]));
        names.filter(|name| !name.is_empty() && !name.starts_with("amq.")).collect()
    }

    /// The queues there are. Their messages are counted several times a second, not at once.
    pub async fn queues(&self) -> Vec<Queue> {
        self.listed_queues("").await
    }

    /// As [`queues`](Self::queues), past RabbitMQ's statistics, which are seconds old for some: a
    /// queue that was not counted yet has no messages.
    pub async fn queues_at_once(&self) -> Vec<Queue> {
        self.listed_queues("?disable_stats=true&enable_queue_totals=true").await
    }

    async fn listed_queues(&self, how: &str) -> Vec<Queue> {
        let path = format!("/queues/{}{how}", Api::segment(&self.name));
        let listed = self.api.get(&path).await;
        let queue = |it: &Value| Queue {
            name: text(&it["name"]),
            messages: it["messages"].as_u64(),
            durable: it["durable"] == true,
            auto_delete: it["auto_delete"] == true,
            exclusive: it["exclusive"] == true,
            arguments: it["arguments"].clone(),
        };
        list(&listed).iter().map(queue).collect()
    }

    /// The queue of this name, if there is one.
    pub async fn queue(&self, name: &str) -> Option<Queue> {
        self.queues().await.into_iter().find(|queue| queue.name == name)
    }

    /// The open connections. A new one is known after a fraction of a second.
    pub async fn connections(&self) -> Vec<Connection> {
        let listed = self.api.get(&format!("{}/connections", self.path())).await;
        let connection = |it: &Value| Connection {
            name: text(&it["name"]),
            user: text(&it["user"]),
            peer_port: it["peer_port"].as_u64().and_then(|it| it.try_into().ok()).unwrap_or(0),
            client_properties: it["client_properties"].clone(),
        };
        // One that is just being closed is listed by its name alone.
        list(&listed).iter().filter(|it| it["user"].is_string()).map(connection).collect()
    }

    /// Closes a connection as an operator would; says whether there was one.
    pub async fn close_connection(&self, name: &str) -> bool {
        self.api.delete(&format!("/connections/{}", Api::segment(name))).await
    }

    /// How many channels are open.
    pub async fn channels(&self) -> usize {
        list(&self.api.get(&format!("{}/channels", self.path())).await).len()
    }

    /// How many consumers there are.
    pub async fn consumers(&self) -> usize {
        list(&self.api.get(&format!("/consumers/{}", Api::segment(&self.name))).await).len()
    }

    fn path(&self) -> String {
        format!("/vhosts/{}", Api::segment(&self.name))
    }

    fn permissions(&self, user: &str) -> String {
        self.in_vhost("permissions", user)
    }

    fn in_vhost(&self, kind: &str, name: &str) -> String {
        format!("/{kind}/{}/{}", Api::segment(&self.name), Api::segment(name))
    }
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or_else(|| panic!("a list was expected, not {value}"), Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_else(|| panic!("a text was expected, not {value}")).to_owned()
}
