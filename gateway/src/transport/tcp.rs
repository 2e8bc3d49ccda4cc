//! A plain byte stream: what the session wrote goes out as it is, and what comes in is handed over
//! in the chunks it came in. Protocols that frame themselves, such as STOMP, need no more.
//!
//! There is no sign of life that a peer would have to answer: that it is gone is noticed by its
//! heart-beats, if it promised some, or by TCP's own keep-alive. An idle connection keeps no buffer.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use protocols::session::{Close, FrameKind, OutFrame, Unit};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::linger::poll_discard;
use super::{Transport, TransportError};

/// Bytes read at a time; they lie on the stack until it is known how many there are.
const READ_SIZE: usize = 16 << 10;

/// Frames that one write hands to the operating system at most.
const FRAMES_PER_WRITE: usize = 32;

/// A connection over plain TCP.
#[derive(Debug)]
pub(crate) struct Tcp<S> {
    io: S,
    /// Frames not yet written, the first perhaps in part. None is empty.
    output: VecDeque<Bytes>,
    buffered: usize,
    written: u64,
    heard: bool,
    /// The write side is closed: the peer may still be sending.
    is_shut: bool,
}

impl<S> Tcp<S>
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    /// An open connection.
    pub(crate) fn new(io: S) -> Self {
        Self { io, output: VecDeque::new(), buffered: 0, written: 0, heard: false, is_shut: false }
    }

    fn poll_write_once(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut slices = [IoSlice::new(&[]); FRAMES_PER_WRITE];
        let frames = self.output.len().min(FRAMES_PER_WRITE);
        for (slice, frame) in slices.iter_mut().zip(&self.output) {
            *slice = IoSlice::new(frame);
        }
        let write = Pin::new(&mut self.io).poll_write_vectored(cx, &slices[..frames]);
        let mut taken = ready!(write)?;
        if taken == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.buffered -= taken;
        self.written += taken as u64;
        while let Some(front) = self.output.front_mut() {
            if front.len() > taken {
                front.advance(taken);
                break;
            }
            taken -= front.len();
            self.output.pop_front();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_output(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.output.is_empty() {
            ready!(self.poll_write_once(cx))?;
        }
        self.output.shrink_to(FRAMES_PER_WRITE);
        Pin::new(&mut self.io).poll_flush(cx)
    }
}

impl<S> Transport for Tcp<S>
where
    S: AsyncRead + AsyncWrite + Send + Unpin,
{
    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Unit, TransportError>>> {
        let mut space = [0; READ_SIZE];
        let mut buf = ReadBuf::new(&mut space);
        if let Err(error) = ready!(Pin::new(&mut self.io).poll_read(cx, &mut buf)) {
            return Poll::Ready(Some(Err(error.into())));
        }
        if buf.filled().is_empty() {
            return Poll::Ready(None);
        }
        self.heard = true;
        let bytes = Bytes::copy_from_slice(buf.filled());
        Poll::Ready(Some(Ok(Unit { kind: FrameKind::Binary, bytes })))
    }

    fn queue(&mut self, frame: OutFrame) {
        if !frame.bytes.is_empty() {
            self.buffered += frame.bytes.len();
            self.output.push_back(frame.bytes);
        }
    }

    fn buffered(&self) -> usize {
        self.buffered
    }

    fn written(&self) -> u64 {
        self.written
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TransportError>> {
        self.poll_output(cx).map_err(Into::into)
    }

    fn poll_close(&mut self, cx: &mut Context<'_>, _: &Close) -> Poll<()> {
        if !self.is_shut {
            if ready!(self.poll_output(cx)).is_err()
                || ready!(Pin::new(&mut self.io).poll_shutdown(cx)).is_err()
            {
                return Poll::Ready(());
            }
            self.is_shut = true;
        }
        // Else what is still coming would reset the connection, and destroy the last words.
        poll_discard(Pin::new(&mut self.io), cx)
    }

    fn establish(&mut self) {}

    fn can_probe(&self) -> bool {
        false
    }

    fn probe(&mut self) {}

    fn ask(&mut self) -> bool {
        false
    }

    fn take_confirmed(&mut self) -> bool {
        false
    }

    fn take_heard(&mut self) -> bool {
        std::mem::take(&mut self.heard)
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use protocols::session::{CloseCause, CloseCode};
    use protocols::text::Text;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    use super::*;

    fn frame(bytes: Vec<u8>) -> OutFrame {
        OutFrame { kind: FrameKind::Binary, bytes: bytes.into(), settles: None }
    }

    fn pair(room: usize) -> (Tcp<DuplexStream>, DuplexStream) {
        let (ours, theirs) = duplex(room);
        (Tcp::new(ours), theirs)
    }

    #[tokio::test]
    async fn frames_go_out_in_order_however_little_the_socket_takes() {
        for room in [1, 7, 64 << 10] {
            let (mut tcp, mut peer) = pair(room);
            let frames: Vec<Vec<u8>> = (0..100).map(|n| vec![n; usize::from(n) % 5]).collect();
            let expected = frames.concat();
            frames.into_iter().for_each(|it| tcp.queue(frame(it)));
            assert_eq!(tcp.buffered(), expected.len());
            let length = expected.len();
            let reading = tokio::spawn(async move {
                let mut got = vec![0; length];
                peer.read_exact(&mut got).await.unwrap();
                got
            });
            poll_fn(|cx| tcp.poll_flush(cx)).await.unwrap();
            assert_eq!((tcp.buffered(), tcp.written()), (0, length as u64));
            assert_eq!(reading.await.unwrap(), expected);
        }
    }

    #[tokio::test]
    async fn what_comes_is_handed_over_as_it_comes_up_to_the_end() {
        let (mut tcp, mut peer) = pair(64 << 10);
        assert!(!tcp.take_heard());
        let sent: Vec<u8> = (0..40_000_u32).map(|n| n.to_le_bytes()[0]).collect();
        peer.write_all(&sent).await.unwrap();
        drop(peer);
        let mut got = Vec::new();
        while let Some(unit) = poll_fn(|cx| tcp.poll_recv(cx)).await {
            got.extend_from_slice(&unit.unwrap().bytes);
        }
        assert_eq!(got, sent);
        assert!(tcp.take_heard() && !tcp.take_heard());
    }

    #[tokio::test]
    async fn the_last_words_arrive_though_the_peer_is_still_sending() {
        let (mut tcp, mut peer) = pair(16);
        tcp.queue(frame(b"the last words, longer than the room".to_vec()));
        let (code, reason, cause) = (CloseCode::Normal, Text::EMPTY, CloseCause::Peer);
        let close = Close { code, reason, cause };
        let closing = tokio::spawn(async move {
            poll_fn(|cx| tcp.poll_close(cx, &close)).await;
        });
        let mut words = Vec::new();
        peer.read_to_end(&mut words).await.unwrap();
        assert_eq!(words, b"the last words, longer than the room");
        peer.write_all(&[b'x'; 1000]).await.unwrap();
        assert!(!closing.is_finished());
        drop(peer);
        closing.await.unwrap();
    }
}
