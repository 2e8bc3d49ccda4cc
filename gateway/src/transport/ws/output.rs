//! Output of a WebSocket: whole frames in, bytes on the socket out.
//!
//! Data frames do not pass through tungstenite's write buffer: it would copy each payload, grow to
//! the largest frame ever sent without shrinking again, and refuse a frame larger than its bound.
//! A server's frames are not masked (RFC 6455 §5.1), so a frame is a header and the shared payload
//! as it is. Small frames are gathered into one write; the payload of a large one goes to the
//! socket from where it lies. Control frames go out before the next data frame (RFC 6455 §5.4).

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use protocols::session::{FrameKind, OutFrame};
use tokio::io::AsyncWrite;

use super::{Data, FrameHeader, OpCode};

/// Bytes gathered for one write; frames are added until this is reached.
const BATCH_SIZE: usize = 16 << 10;

/// Payloads up to this size are copied into the batch, larger ones are written in place.
const COPY_SIZE: usize = 4 << 10;

/// Capacity of the batch that an idle connection keeps.
const IDLE_CAPACITY: usize = 4 << 10;

/// Frames for which an idle connection keeps room.
const IDLE_FRAMES: usize = 32;

/// Bytes of control frames kept; while more are waiting none are taken.
const CONTROL_SIZE: usize = 4 << 10;

/// What waits to be written.
#[derive(Debug, Default)]
pub(super) struct Output {
    /// Data frames, not yet encoded.
    frames: VecDeque<OutFrame>,
    /// What `frames` cost together.
    queued: usize,
    /// Whole control frames, encoded.
    control: Vec<u8>,
    /// Encoded bytes, those before `written` are on the socket.
    batch: Vec<u8>,
    written: usize,
    /// What follows the batch: the rest of its last frame, if that was too large to copy.
    body: Bytes,
    /// Bytes the socket has taken.
    taken: u64,
    /// The close frame is the next and last to go out.
    sealed: bool,
}

impl Output {
    /// Adds a data frame.
    pub(super) fn push(&mut self, frame: OutFrame) {
        self.queued += cost(&frame);
        self.frames.push_back(frame);
    }

    /// Adds whole control frames, as encoded. `false`: there is no room, nothing was taken.
    pub(super) fn push_control(&mut self, frames: &[u8]) -> bool {
        let room = self.control.len() < CONTROL_SIZE;
        if room {
            self.control.extend_from_slice(frames);
        }
        room
    }

    /// Lets no data frame out any more: what comes is the close frame (RFC 6455 §5.5.1).
    pub(super) fn seal(&mut self) {
        self.sealed = true;
    }

    /// Whether [`seal`](Self::seal) was called.
    pub(super) fn is_sealed(&self) -> bool {
        self.sealed
    }

    /// Whether data frames were added that can never be written.
    pub(super) fn has_undeliverable(&self) -> bool {
        self.sealed && !self.frames.is_empty()
    }

    /// Bytes that wait for the socket. Headers count from when they are encoded.
    pub(super) fn len(&self) -> usize {
        let queued = if self.sealed { 0 } else { self.queued };
        queued + self.control.len() + self.batch.len() - self.written + self.body.len()
    }

    /// Bytes the socket has taken.
    pub(super) fn taken(&self) -> u64 {
        self.taken
    }

    /// Writes what may be written. Ready once nothing of it is left.
    pub(super) fn poll_write<S>(&mut self, io: &mut S, cx: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        S: AsyncWrite + Unpin,
    {
        while self.fill() {
            let parts = [IoSlice::new(&self.batch[self.written..]), IoSlice::new(&self.body)];
            let taken = ready!(Pin::new(&mut *io).poll_write_vectored(cx, &parts))?;
            if taken == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(taken);
        }
        Pin::new(io).poll_flush(cx)
    }

    /// Encodes the next batch if the last one is written. `false`: nothing is left.
    fn fill(&mut self) -> bool {
        if self.written < self.batch.len() || !self.body.is_empty() {
            return true;
        }
        self.batch.clear();
        self.written = 0;
        self.batch.append(&mut self.control);
        while !self.sealed
            && self.batch.len() < BATCH_SIZE
            && let Some(frame) = self.frames.pop_front()
        {
            self.queued -= cost(&frame);
            encode_header(&frame, &mut self.batch);
            if frame.bytes.len() > COPY_SIZE {
                self.body = frame.bytes;
                break;
            }
            self.batch.extend_from_slice(&frame.bytes);
        }
        if self.batch.is_empty() {
            self.batch.shrink_to(IDLE_CAPACITY);
            self.frames.shrink_to(IDLE_FRAMES);
        }
        !self.batch.is_empty()
    }

    fn advance(&mut self, taken: usize) {
        self.taken += u64::try_from(taken).expect("usize has at most 64 bits");
        let of_batch = taken.min(self.batch.len() - self.written);
        self.written += of_batch;
        self.body.advance(taken - of_batch);
        if self.body.is_empty() {
            // Else an empty slice at the end of a large payload would keep all of it alive.
            self.body = Bytes::new();
        }
    }
}

/// What a frame counts before it is encoded: its payload, or one byte, lest empty ones are
/// overlooked, or any number of them is free.
fn cost(frame: &OutFrame) -> usize {
    frame.bytes.len().max(1)
}

fn encode_header(frame: &OutFrame, batch: &mut Vec<u8>) {
    let opcode = OpCode::Data(match frame.kind {
        FrameKind::Text => Data::Text,
        FrameKind::Binary => Data::Binary,
    });
    let length = u64::try_from(frame.bytes.len()).expect("usize has at most 64 bits");
    FrameHeader { opcode, ..FrameHeader::default() }
        .format(length, batch)
        .expect("a Vec takes every write");
}

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    /// Takes at most `room` bytes a call.
    struct Narrow {
        taken: Vec<u8>,
        room: usize,
        calls: usize,
    }

    impl AsyncWrite for Narrow {
        fn poll_write(
            self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
        }

        fn poll_write_vectored(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            parts: &[IoSlice<'_>],
        ) -> Poll<io::Result<usize>> {
            self.calls += 1;
            let before = self.taken.len();
            for part in parts {
                let left = self.room - (self.taken.len() - before);
                self.taken.extend_from_slice(&part[..part.len().min(left)]);
            }
            Poll::Ready(Ok(self.taken.len() - before))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    fn written(output: &mut Output, room: usize) -> Narrow {
        let mut narrow = Narrow { taken: Vec::new(), room, calls: 0 };
        let mut cx = Context::from_waker(Waker::noop());
        assert!(matches!(output.poll_write(&mut narrow, &mut cx), Poll::Ready(Ok(()))));
        assert_eq!(output.len(), 0);
        narrow
    }

    fn frame(kind: FrameKind, length: usize) -> OutFrame {
        OutFrame::new(kind, Bytes::from(vec![b'x'; length]))
    }

    #[test]
    fn headers_say_kind_and_length_in_each_of_the_three_forms() {
        for (kind, length, head) in [
            (FrameKind::Text, 0, &[0x81, 0][..]),
            (FrameKind::Text, 125, &[0x81, 125]),
            (FrameKind::Binary, 126, &[0x82, 126, 0, 126]),
            (FrameKind::Binary, 0xffff, &[0x82, 126, 0xff, 0xff]),
            (FrameKind::Binary, 0x1_0000, &[0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]),
        ] {
            let mut output = Output::default();
            output.push(frame(kind, length));
            assert_eq!(output.len(), length.max(1));
            let taken = written(&mut output, usize::MAX).taken;
            assert_eq!(&taken[..head.len()], head);
            assert_eq!(taken[head.len()..], vec![b'x'; length]);
        }
    }

    #[test]
    fn an_empty_message_waits_for_the_socket_too() {
        let mut output = Output::default();
        output.push(frame(FrameKind::Text, 0));
        output.push(frame(FrameKind::Text, 0));
        assert_eq!(output.len(), 2);
        assert_eq!(written(&mut output, usize::MAX).taken, [0x81, 0, 0x81, 0]);
        output.push(frame(FrameKind::Text, 0));
        output.seal();
        assert_eq!(output.len(), 0);
    }

    #[test]
    fn the_bytes_are_the_same_however_little_the_socket_takes_at_a_time() {
        let fill = |output: &mut Output| {
            for length in [3, COPY_SIZE, COPY_SIZE + 1, 0, 70_000, 5] {
                output.push(frame(FrameKind::Text, length));
            }
        };
        let mut output = Output::default();
        fill(&mut output);
        let whole = written(&mut output, usize::MAX).taken;
        for room in [1, 2, 3, 1000, COPY_SIZE, COPY_SIZE + 7] {
            fill(&mut output);
            assert_eq!(written(&mut output, room).taken, whole, "{room} bytes at a time");
        }
    }

    #[test]
    fn small_frames_share_a_write_and_a_large_payload_is_written_in_place() {
        let mut output = Output::default();
        (0..64).for_each(|_| output.push(frame(FrameKind::Text, 128)));
        assert_eq!(written(&mut output, usize::MAX).calls, 1);
        output.push(frame(FrameKind::Text, 128));
        output.push(frame(FrameKind::Binary, 1 << 20));
        assert_eq!(written(&mut output, usize::MAX).calls, 1);
        assert!(output.batch.capacity() <= IDLE_CAPACITY, "an idle connection keeps little");
    }

    #[test]
    fn a_control_frame_waits_for_the_end_of_the_frame_being_written() {
        let mut output = Output::default();
        output.push(frame(FrameKind::Text, COPY_SIZE + 1));
        output.push(frame(FrameKind::Text, 1));
        assert!(output.fill());
        output.advance(10);
        assert!(output.push_control(&[0x8a, 0]));
        let taken = written(&mut output, 100).taken;
        assert_eq!(taken[taken.len() - 5..], [0x8a, 0, 0x81, 1, b'x']);
    }

    #[test]
    fn control_frames_are_bounded() {
        let mut output = Output::default();
        let accepted = (0..CONTROL_SIZE).take_while(|_| output.push_control(&[0x89, 0])).count();
        assert_eq!(accepted, CONTROL_SIZE / 2);
        assert_eq!(output.len(), CONTROL_SIZE);
    }

    #[test]
    fn a_sealed_output_lets_nothing_out_but_control_frames() {
        let mut output = Output::default();
        output.push(frame(FrameKind::Text, 1));
        written(&mut output, usize::MAX);
        output.seal();
        assert!(!output.has_undeliverable());
        output.push(frame(FrameKind::Text, 1));
        assert!(output.push_control(&[0x88, 0]));
        assert_eq!(written(&mut output, usize::MAX).taken, [0x88, 0]);
        assert!(output.has_undeliverable());
    }
}
