//! Output of a RawSocket: whole frames in, bytes on the socket out.
//!
//! A frame is four bytes and the shared payload as it is: nothing is copied, and one call hands many
//! frames to the operating system. They go out in the order in which they came.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use protocols::wamp::rawsocket::{FrameHeader, FrameType};
use tokio::io::AsyncWrite;

/// Frames that one write hands to the operating system at most, and for which an idle connection keeps
/// room.
const FRAMES_PER_WRITE: usize = 32;

/// What waits to be written.
#[derive(Debug, Default)]
pub(super) struct Output {
    frames: VecDeque<Frame>,
    /// Bytes of the first of `frames` that the socket has taken: not all.
    begun: usize,
    /// Bytes that the socket has not taken.
    waiting: usize,
    /// Bytes that it has taken, ever.
    written: u64,
}

#[derive(Debug)]
struct Frame {
    header: [u8; 4],
    payload: Bytes,
}

impl Frame {
    fn len(&self) -> usize {
        self.header.len() + self.payload.len()
    }
}

impl Output {
    /// Adds a frame.
    pub(super) fn push(&mut self, frame_type: FrameType, payload: Bytes) {
        let Some(header) = FrameHeader::new(frame_type, payload.len()) else {
            // The peer has said how much it takes, and nobody takes so much.
            debug_assert!(false, "{} bytes are no frame", payload.len());
            return;
        };
        let frame = Frame { header: header.encode(), payload };
        self.waiting += frame.len();
        self.frames.push_back(frame);
    }

    /// Bytes that wait for the socket.
    pub(super) fn len(&self) -> usize {
        self.waiting
    }

    /// Bytes the socket has taken.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Writes. Ready once nothing is left.
    pub(super) fn poll_write<S>(&mut self, io: &mut S, cx: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        S: AsyncWrite + Unpin,
    {
        while !self.frames.is_empty() {
            let taken = ready!(self.poll_write_once(io, cx))?;
            if taken == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.advance(taken);
        }
        self.frames.shrink_to(FRAMES_PER_WRITE);
        Pin::new(io).poll_flush(cx)
    }

    fn poll_write_once<S>(&self, io: &mut S, cx: &mut Context<'_>) -> Poll<io::Result<usize>>
    where
        S: AsyncWrite + Unpin,
    {
        let mut slices = [IoSlice::new(&[]); 2 * FRAMES_PER_WRITE];
        let mut begun = self.begun;
        let parts = self.frames.iter().flat_map(|frame| [&frame.header[..], &frame.payload[..]]);
        let mut count = 0;
        for (slice, part) in slices.iter_mut().zip(parts) {
            let skipped = begun.min(part.len());
            begun -= skipped;
            *slice = IoSlice::new(&part[skipped..]);
            count += 1;
        }
        Pin::new(io).poll_write_vectored(cx, &slices[..count])
    }

    fn advance(&mut self, taken: usize) {
        self.waiting -= taken;
        self.written += taken as u64;
        self.begun += taken;
        while let Some(front) = self.frames.front()
            && front.len() <= self.begun
        {
            self.begun -= front.len();
            self.frames.pop_front();
        }
    }
}
