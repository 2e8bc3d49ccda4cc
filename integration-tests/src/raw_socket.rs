//! A client on RawSocket, written from the specification (WAMP §RawSocket Transport), byte by byte: it
//! sends what no library would. Its messages are in JSON.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::wait::within;

/// What a frame is, by its first byte.
pub mod frame_type {
    /// A message of WAMP.
    pub const MESSAGE: u8 = 0;
    /// To be answered by a [`PONG`] with the same payload.
    pub const PING: u8 = 1;
    /// The answer.
    pub const PONG: u8 = 2;
}

/// A frame, whose payload is shorter than 2^24 bytes.
pub fn raw_frame(frame_type: u8, payload: impl AsRef<[u8]>) -> Vec<u8> {
    let payload = payload.as_ref();
    let [.., high, middle, low] = payload.len().to_be_bytes();
    [&[frame_type, high, middle, low], payload].concat()
}

/// A client.
#[derive(Debug)]
pub struct RawSocketClient {
    stream: TcpStream,
}

impl RawSocketClient {
    /// One that has said nothing yet.
    pub async fn open(address: SocketAddr) -> Self {
        let stream = within("a connection", TcpStream::connect(address)).await;
        Self { stream: stream.expect("the listener takes connections") }
    }

    /// One that has shaken hands, takes messages of 2^(9 + `length`) bytes, and has joined this realm as
    /// nobody.
    pub async fn join(address: SocketAddr, length: u8, realm: &str) -> Self {
        let mut client = Self::open(address).await;
        let answer = client.shake_hands([0x7f, length << 4 | 1, 0, 0]).await;
        assert!(answer[0] == 0x7f && answer[1] & 0x0f == 1, "{answer:x?}");
        let roles: Value = ["publisher", "subscriber", "caller", "callee"]
            .into_iter()
            .map(|role| (role.to_owned(), Value::Object(serde_json::Map::new())))
            .collect();
        client.send(&serde_json::json!([1, realm, { "roles": roles }])).await;
        let welcome = client.recv().await;
        assert_eq!(welcome[0], 2, "{welcome}");
        client
    }

    /// Sends a handshake, right or wrong; returns what is answered.
    pub async fn shake_hands(&mut self, handshake: [u8; 4]) -> [u8; 4] {
        self.send_bytes(&handshake).await;
        let mut answer = [0; 4];
        let read = within("an answer", self.stream.read_exact(&mut answer)).await;
        read.expect("the server answers");
        answer
    }

    /// Sends bytes as they are. A server that has hung up does not matter.
    pub async fn send_bytes(&mut self, bytes: &[u8]) {
        let _ = within("room to send", self.stream.write_all(bytes)).await;
    }

    /// Sends a message, right or wrong.
    pub async fn send(&mut self, message: &Value) {
        self.send_bytes(&raw_frame(frame_type::MESSAGE, message.to_string())).await;
    }

    /// The next frame: its type and its payload; `None` if the server ends the connection before it.
    pub async fn frame(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut header = [0; 4];
        within("a frame", self.stream.read_exact(&mut header)).await.ok()?;
        let [frame_type, high, middle, low] = header;
        let length = u32::from_be_bytes([0, high, middle, low]);
        let mut payload = vec![0; length as usize];
        let read = within("a payload", self.stream.read_exact(&mut payload)).await;
        read.expect("a frame comes whole");
        Some((frame_type, payload))
    }

    /// The next frame, which must be a message.
    pub async fn recv(&mut self) -> Value {
        let (frame_type, payload) = self.frame().await.expect("a message");
        assert_eq!(frame_type, frame_type::MESSAGE, "{:?}", String::from_utf8_lossy(&payload));
        serde_json::from_slice(&payload).expect("messages are JSON")
    }

    /// Panics if there is anything but the end of the connection.
    pub async fn assert_ended(&mut self) {
        assert_eq!(self.frame().await, None);
    }
}
