//! Reading in pieces; and what ended connections, or the process, against a RabbitMQ.

use std::sync::Arc;
use std::task::Waker;

use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use proptest::collection::vec;
use proptest::prelude::*;
use protocols::auth::{Credentials, Secret};
use rabbitmq_node::{Node, Vhost, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::rabbitmq::connection::{Connection, Side};
use crate::rabbitmq::login::Login;
use crate::rabbitmq::tls::Trust;
use crate::rabbitmq::{Endpoint, Settings};

/// Gives what it has in pieces of these sizes, then in one piece.
struct Pieces {
    bytes: Vec<u8>,
    sizes: Vec<usize>,
}

impl AsyncRead for Pieces {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let size = self.sizes.pop().unwrap_or(usize::MAX);
        let count = size.min(buffer.len()).min(self.bytes.len());
        buffer[..count].copy_from_slice(&self.bytes[..count]);
        self.bytes.drain(..count);
        Poll::Ready(Ok(count))
    }
}

/// A content header frame with this correlation-id.
fn header(correlation_id: &[u8]) -> Vec<u8> {
    let length = u8::try_from(correlation_id.len()).unwrap();
    let head = [2, 0, 1, 0, 0, 0, 15 + length, 0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    [&head, &[4, 0, length][..], correlation_id, &[0xce]].concat()
}

/// A body frame.
fn body(size: u8) -> Vec<u8> {
    [&[3, 0, 1, 0, 0, 0, size], &vec![0xff; size.into()][..], &[0xce]].concat()
}

/// All that comes, read through buffers of these sizes.
fn read(stream: Pieces, mut buffers: impl Iterator<Item = usize>) -> Vec<u8> {
    let mut screened = Screened::new(stream, Arc::default());
    let mut all = Vec::new();
    let mut cx = Context::from_waker(Waker::noop());
    loop {
        let mut buffer = vec![0; buffers.next().unwrap()];
        let read = Pin::new(&mut screened).poll_read(&mut cx, &mut buffer);
        let Poll::Ready(Ok(count)) = read else { panic!("{read:?}") };
        if count == 0 {
            assert_eq!((screened.held.capacity(), screened.safe), (0, 0), "nothing is kept");
            return all;
        }
        all.extend_from_slice(&buffer[..count]);
    }
}

proptest! {
    #[test]
    fn pieces_and_buffers_of_any_size_give_the_same(
        texts in vec((vec(any::<u8>(), 0..40), 0_u8..60), 0..8),
        sizes in vec(1_usize..50, 0..20),
        buffers in vec(1_usize..50, 1..9),
    ) {
        let frames: Vec<u8> =
            texts.iter().flat_map(|(text, size)| [header(text), body(*size)].concat()).collect();
        let mut expected = frames.clone();
        prop_assert_eq!(Screen::default().pass(&mut expected).unwrap(), frames.len());
        let got = read(Pieces { bytes: frames, sizes }, buffers.into_iter().cycle());
        prop_assert_eq!(got, expected);
    }
}

#[test]
fn a_frame_that_does_not_end_is_the_end_of_the_stream() {
    let mut bytes = [body(3), header(b"\xff")].concat();
    bytes.pop();
    let expected = body(3);
    let mut screened = Screened::new(Pieces { bytes, sizes: Vec::new() }, Arc::default());
    let (mut buffer, mut cx) = ([0; 99], Context::from_waker(Waker::noop()));
    let mut next = || match Pin::new(&mut screened).poll_read(&mut cx, &mut buffer) {
        Poll::Ready(Ok(count)) => buffer[..count].to_vec(),
        other => panic!("{other:?}"),
    };
    assert_eq!((next(), next()), (expected, Vec::new()));
}

/// A publisher that writes its bytes itself: no library would write these.
struct Publisher(TcpStream);

impl Publisher {
    /// Logs in and opens channel 1.
    async fn connected(vhost: &Vhost) -> Self {
        let mut it = Self(TcpStream::connect(vhost.amqp_addr()).await.unwrap());
        it.0.write_all(b"AMQP\0\0\x09\x01").await.unwrap();
        it.await_method([0, 10, 0, 10]).await;
        let login = format!("\0{}\0{}", vhost.user(), vhost.passcode());
        let answer = [&[0, 10, 0, 11, 0, 0, 0, 0][..], &short(b"PLAIN"), &long(login.as_bytes())];
        it.send(1, 0, &[&answer.concat()[..], &short(b"en_US")].concat()).await;
        it.await_method([0, 10, 0, 30]).await;
        it.send(1, 0, &[0, 10, 0, 31, 0, 9, 0, 2, 0, 0, 0, 0]).await;
        it.send(1, 0, &[&[0, 10, 0, 40][..], &short(vhost.name().as_bytes()), &[0, 0]].concat())
            .await;
        it.await_method([0, 10, 0, 41]).await;
        it.send(1, 1, &[0, 20, 0, 10, 0]).await;
        it.await_method([0, 20, 0, 11]).await;
        it
    }

    /// Publishes a message without a body.
    async fn publish(&mut self, exchange: &[u8], key: &[u8], flags: u16, properties: &[u8]) {
        let publish = [&[0, 60, 0, 40, 0, 0][..], &short(exchange), &short(key), &[0]];
        self.send(1, 1, &publish.concat()).await;
        let header = [&[0, 60][..], &[0; 10], &flags.to_be_bytes(), properties];
        self.send(2, 1, &header.concat()).await;
    }

    /// Waits until RabbitMQ has taken everything.
    async fn close(mut self) {
        self.send(1, 1, &[0, 20, 0, 40, 0, 200, 0, 0, 0, 0, 0]).await;
        self.await_method([0, 20, 0, 41]).await;
    }

    async fn send(&mut self, kind: u8, channel: u8, payload: &[u8]) {
        let frame = [&[kind, 0, channel][..], &long(payload), &[0xce]].concat();
        self.0.write_all(&frame).await.unwrap();
    }

    async fn await_method(&mut self, id: [u8; 4]) {
        let mut head = [0; 7];
        self.0.read_exact(&mut head).await.unwrap();
        let mut payload = vec![0; 1 + usize::from(head[5]) * 256 + usize::from(head[6])];
        self.0.read_exact(&mut payload).await.unwrap();
        assert_eq!(payload[..4], id, "{:?}", String::from_utf8_lossy(&payload));
    }
}

fn short(text: &[u8]) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()], text].concat()
}

fn long(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

async fn connected(vhost: &Vhost) -> Arc<Connection> {
    let address = vhost.amqp_addr();
    let endpoint = Endpoint { tls: false, host: address.ip().to_string(), port: address.port() };
    let credentials =
        Credentials { login: vhost.user().into(), passcode: Secret::new(vhost.passcode()) };
    let login = Login::new(vhost.name().into(), credentials).unwrap();
    let (settings, trust) = (Settings::default(), Trust::new(None));
    Arc::new(Connection::open(&endpoint, &login, Side::Consume, &settings, &trust).await.unwrap())
}

async fn next(consumer: &mut lapin::Consumer) -> Delivery {
    use futures_util::StreamExt as _;
    let delivery = within("a delivery", consumer.next()).await.unwrap().unwrap();
    delivery.ack(BasicAckOptions::default()).await.unwrap();
    delivery
}

#[tokio::test]
async fn whatever_a_publisher_writes_is_delivered_and_ends_nothing() {
    let vhost = Node::shared().await.vhost().await;
    let connection = connected(&vhost).await;
    let channel = connection.channel().await.unwrap();
    let amqp = channel.amqp();
    let declare = amqp.queue_declare("q".into(), Default::default(), FieldTable::default());
    declare.await.unwrap();
    let (all, nothing) = ("amq.fanout".into(), FieldTable::default());
    amqp.queue_bind("q".into(), all, "".into(), Default::default(), nothing).await.unwrap();

    // As deep as a frame of RabbitMQ's allows.
    let deep = (0..26_000).fold(b"V".to_vec(), |inner, _| [b"A", &long(&inner)[..]].concat());
    let headers = long(&[&short(b"\xffdeep")[..], &deep].concat());
    let mut publisher = Publisher::connected(&vhost).await;
    publisher.publish(b"", b"q", 1 << 10, &short(b"caf\xe9")).await;
    publisher.publish(b"", b"q", 1 << 13, &headers).await;
    publisher.publish(b"amq.fanout", b"\xc3", 0, b"").await;
    publisher.close().await;

    let options = BasicConsumeOptions::default();
    let consumer = amqp.basic_consume("q".into(), "".into(), options, FieldTable::default());
    let mut consumer = consumer.await.unwrap();
    let first = next(&mut consumer).await;
    assert_eq!(first.properties.correlation_id().as_ref().unwrap().as_str(), "caf?");
    let second = next(&mut consumer).await;
    assert!(second.properties.headers().as_ref().unwrap().contains_key("?deep"));
    assert_eq!(next(&mut consumer).await.routing_key.as_str(), "?");
    assert!(connection.is_open());
}

#[tokio::test]
async fn a_refusal_that_was_cut_inside_a_character_closes_its_channel_only() {
    let vhost = Node::shared().await.vhost().await;
    let connection = connected(&vhost).await;
    for name in ["ü".repeat(120), format!("a{}", "ü".repeat(120))] {
        let channel = connection.channel().await.unwrap();
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let declare =
            channel.amqp().queue_declare(name.as_str().into(), options, FieldTable::default());
        let error = within("an answer", declare).await.unwrap_err().to_string();
        assert!(error.contains("NOT_FOUND"), "{error}");
        assert!(connection.is_open());
    }
}
