//! The proxy: what it does to a connection, seen from both ends.
//!
//! That nothing comes through is told by what comes through once it may.

#![allow(missing_docs, clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::io::ErrorKind;

use rabbitmq_node::{Cut, Direction, Proxy, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A proxy in front of a server, and the means to connect through it.
struct World {
    server: TcpListener,
    proxy: Proxy,
}

impl World {
    async fn new() -> Self {
        let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let proxy = Proxy::start(server.local_addr().unwrap()).await;
        Self { server, proxy }
    }

    /// Both ends of a new connection: the client's, the server's.
    async fn connect(&self) -> (TcpStream, TcpStream) {
        let client = TcpStream::connect(self.proxy.addr()).await.unwrap();
        let (server, _) = within("a connection", self.server.accept()).await.unwrap();
        (client, server)
    }
}

async fn expect(stream: &mut TcpStream, expected: &[u8]) {
    let mut got = vec![0; expected.len()];
    within("bytes", stream.read_exact(&mut got)).await.unwrap();
    assert_eq!(got, expected);
}

/// How the next read ends: with a number of bytes, or an error.
async fn next(stream: &mut TcpStream) -> Result<usize, ErrorKind> {
    let read = within("a read", stream.read(&mut [0; 64])).await;
    read.map_err(|error| error.kind())
}

#[tokio::test]
async fn bytes_and_ends_pass_both_ways() {
    let world = World::new().await;
    let (mut client, mut server) = world.connect().await;
    client.write_all(b"question").await.unwrap();
    expect(&mut server, b"question").await;
    client.shutdown().await.unwrap();
    assert_eq!(next(&mut server).await, Ok(0));
    server.write_all(b"answer").await.unwrap();
    expect(&mut client, b"answer").await;
    drop(server);
    assert_eq!(next(&mut client).await, Ok(0));
}

#[tokio::test]
async fn a_cut_ends_the_connections_there_are() {
    let world = World::new().await;
    for (how, seen) in [(Cut::Reset, Err(ErrorKind::ConnectionReset)), (Cut::Close, Ok(0))] {
        let (mut client, mut server) = world.connect().await;
        world.proxy.cut(how).await;
        assert_eq!(world.proxy.open(), 0);
        assert_eq!(next(&mut client).await, seen);
        assert_eq!(next(&mut server).await, seen);
        let (mut client, mut server) = world.connect().await;
        client.write_all(b"new").await.unwrap();
        expect(&mut server, b"new").await;
    }
    world.proxy.await_accepted(4).await;
    assert_eq!(world.proxy.accepted(), 4);
}

#[tokio::test]
async fn a_stalled_direction_passes_nothing_until_it_is_resumed() {
    let world = World::new().await;
    let (client, mut server) = world.connect().await;
    world.proxy.stall(Direction::ToServer);
    // More than both sockets can hold: the sender has to wait.
    let sent = vec![7; 32 << 20];
    let (mut reader, mut writer) = client.into_split();
    let sending = tokio::spawn(async move { writer.write_all(&sent).await.unwrap() });
    server.write_all(b"the other way").await.unwrap();
    let mut got = [0; 13];
    within("the other way", reader.read_exact(&mut got)).await.unwrap();
    assert_eq!(&got, b"the other way");
    let mut nothing = [0];
    let kind = server.try_read(&mut nothing).map_err(|error| error.kind());
    assert_eq!(kind, Err(ErrorKind::WouldBlock));
    assert!(!sending.is_finished());
    world.proxy.resume(Direction::ToServer);
    let mut got = vec![0; 32 << 20];
    within("all of it", server.read_exact(&mut got)).await.unwrap();
    assert!(got.iter().all(|byte| *byte == 7));
    within("the sender", sending).await.unwrap();
}

#[tokio::test]
async fn a_slowed_direction_passes_small_portions() {
    let world = World::new().await;
    let (mut client, mut server) = world.connect().await;
    world.proxy.slow(Direction::ToClient, 100);
    server.write_all(b"0123456789").await.unwrap();
    let mut portion = [0; 10];
    let read = within("a portion", client.read(&mut portion)).await.unwrap();
    assert_eq!(&portion[..read], b"01234", "5 bytes 20 times a second");
    expect(&mut client, b"56789").await;
}

#[tokio::test]
async fn connections_are_refused_until_they_are_accepted_again() {
    let world = World::new().await;
    let (mut client, mut server) = world.connect().await;
    world.proxy.refuse().await;
    let refused = TcpStream::connect(world.proxy.addr()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    client.write_all(b"still there").await.unwrap();
    expect(&mut server, b"still there").await;
    world.proxy.accept().await;
    world.connect().await;
}

#[tokio::test]
async fn a_server_that_is_away_looks_like_one_that_closes() {
    let World { server, proxy } = World::new().await;
    drop(server);
    let mut client = TcpStream::connect(proxy.addr()).await.unwrap();
    assert_eq!(next(&mut client).await, Ok(0));
}

#[tokio::test]
async fn connections_end_with_the_proxy() {
    let world = World::new().await;
    let (mut client, mut server) = world.connect().await;
    let address = world.proxy.addr();
    drop(world.proxy);
    assert_eq!(next(&mut client).await, Ok(0));
    assert_eq!(next(&mut server).await, Ok(0));
    assert!(TcpStream::connect(address).await.is_err());
}
