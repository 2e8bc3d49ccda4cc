//! A node of one's own: what it offers, how it stops, and that it is gone afterwards.

#![allow(missing_docs, clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

use rabbitmq_node::{Node, Options, Permissions, Vhost, eventually, within};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// What a server answers a client that speaks first, up to this many bytes.
async fn answer(address: SocketAddr, hello: &[u8], length: usize) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(hello).await.unwrap();
    let mut answer = vec![0; length];
    within("an answer", stream.read_exact(&mut answer)).await.unwrap();
    answer
}

/// AMQP 0-9-1 §4.2.2, §4.2.3: `connection.start` (10, 10) in a frame on channel 0.
async fn expect_amqp(address: SocketAddr) {
    let start = answer(address, b"AMQP\0\0\x09\x01", 11).await;
    assert_eq!((start[0], &start[1..3], &start[7..]), (1, &[0, 0][..], &[0, 10, 0, 10][..]));
}

fn is_there(process: u32) -> bool {
    Path::new(&format!("/proc/{process}")).exists()
}

#[tokio::test]
async fn a_node_stops_and_starts_with_its_data_and_is_gone_when_it_is_dropped() {
    let node = Node::start(Options::default().plugin("rabbitmq_web_stomp")).await;
    expect_amqp(node.amqp_addr()).await;
    let stomp = b"CONNECT\naccept-version:1.2\nhost:/\nlogin:no\npasscode:no\n\n\0";
    assert_eq!(answer(node.stomp_addr(), stomp, 6).await, b"ERROR\n");
    let http = answer(node.web_stomp_addr(), b"GET /ws HTTP/1.0\r\n\r\n", 9).await;
    assert_eq!(http, b"HTTP/1.1 ");
    expect_trusted_certificate(&node);

    let vhost = node.vhost().await;
    vhost.declare_queue("lasting", json!({ "x-max-length": 7 })).await;
    node.set_memory_alarm(true).await;
    node.set_memory_alarm(false).await;

    node.stop().await;
    assert_eq!(node.process(), None);
    assert!(TcpStream::connect(node.amqp_addr()).await.is_err());
    node.start_again().await;
    expect_amqp(node.amqp_addr()).await;
    let queue = vhost.queue("lasting").await.unwrap();
    assert_eq!((queue.durable, &queue.arguments), (true, &json!({ "x-max-length": 7 })));

    node.kill().await;
    assert!(TcpStream::connect(node.amqp_addr()).await.is_err());
    node.start_again().await;
    assert!(vhost.queue("lasting").await.is_some());

    let process = node.process().unwrap();
    let authority = node.authority().to_owned();
    assert!(is_there(process) && authority.exists());
    drop(node);
    assert!(!is_there(process) && !authority.parent().unwrap().exists());
}

/// A client that has only the authority's certificate believes the node.
fn expect_trusted_certificate(node: &Node) {
    let output = Command::new("openssl")
        .args(["s_client", "-brief", "-verify_return_error", "-verify_ip", "127.0.0.1", "-CAfile"])
        .arg(node.authority())
        .args(["-connect", &node.tls_addr().to_string()])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// Runs itself again as the process that is killed.
#[tokio::test]
async fn a_node_does_not_outlive_a_process_that_is_killed() {
    const NAME: &str = "a_node_does_not_outlive_a_process_that_is_killed";
    const VARIABLE: &str = "RABBITMQ_NODE_TEST_TELL";
    if let Some(file) = std::env::var_os(VARIABLE) {
        let node = Node::start(Options::default()).await;
        let directory = node.authority().parent().unwrap().display().to_string();
        fs::write(file, format!("{} {directory}\n", node.process().unwrap())).unwrap();
        return std::future::pending().await;
    }
    let told = std::env::temp_dir().join(format!("rabbitmq-node-test-{}", std::process::id()));
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", NAME])
        .env(VARIABLE, &told)
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let line = eventually("a node in another process", async || {
        let text = fs::read_to_string(&told).ok()?;
        assert!(child.try_wait().unwrap().is_none(), "the other process has ended");
        text.strip_suffix('\n').map(str::to_owned)
    })
    .await;
    fs::remove_file(&told).unwrap();
    let (process, directory) = line.split_once(' ').unwrap();
    let process = process.parse().unwrap();
    assert!(is_there(process) && Path::new(directory).exists());
    child.kill().unwrap();
    child.wait().unwrap();
    eventually("its end", async || {
        (!is_there(process) && !Path::new(directory).exists()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_virtual_host_is_ones_own() {
    let node = Node::shared().await;
    let vhost = node.vhost().await;
    let other = node.vhost().await;
    assert_ne!((vhost.name(), vhost.user()), (other.name(), other.user()));
    vhost.declare_queue("a queue/b", json!({})).await;
    vhost.declare_exchange("x", "headers").await;
    assert_eq!(vhost.queues().await.len(), 1);
    assert_eq!(other.queues().await, []);
    let messages = async || vhost.queue("a queue/b").await.unwrap().messages;
    assert_eq!(eventually("a count", messages).await, 0);
    assert!(vhost.delete_queue("a queue/b").await);
    assert!(!vhost.delete_queue("a queue/b").await);
    assert!(vhost.delete_exchange("x").await);
    assert_eq!((vhost.channels().await, vhost.consumers().await), (0, 0));
    assert_eq!(vhost.connections().await, []);
    assert!(!vhost.close_connection("none").await);
    expect_rights(node, &vhost).await;
    vhost.limit("max-queues", 1).await;
    vhost.delete().await;
}

async fn expect_rights(node: &Node, vhost: &Vhost) {
    let user = format!("{}-second", vhost.user());
    let path = format!("/users/{user}/permissions");
    vhost.set_passcode(&user, "one").await;
    assert_eq!(node.api().get(&path).await, json!([]));
    let read_only = Permissions { read: "^a", ..Permissions::NONE };
    vhost.permit(&user, read_only).await;
    let listed = json!([{ "user": user, "vhost": vhost.name(), "configure": "^$", "write": "^$",
                          "read": "^a" }]);
    assert_eq!(node.api().get(&path).await, listed);
    vhost.exclude(&user).await;
    assert_eq!(node.api().get(&path).await, json!([]));
    vhost.delete_user(&user).await;
}
