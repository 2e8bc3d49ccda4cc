//! [`FrameDecoder`]: a stream of RawSocket, cut into frames.
//!
//! *Spec.* WAMP §RawSocket Transport.

use std::mem;

use bytes::{Buf, Bytes, BytesMut};

use super::{FrameError, FrameHeader, FrameType, MaxLength, PREFIX};

/// Cuts a stream that follows a handshake into frames.
///
/// *Shape.* A payload that lies in one unit shares its allocation. *Cost.* Holds what has come of a
/// frame, never what is only declared; as it grows, in up to twice the room. And, copied, of units that
/// were pushed before all frames of the one before were taken.
#[derive(Debug)]
pub struct FrameDecoder {
    limit: MaxLength,
    /// Set until it is [lifted](Self::lift_budget).
    budget: Option<Budget>,
    /// What came in units before, all of `unit` being behind it: the part of a frame, as a rule.
    held: BytesMut,
    /// What is left of the last unit.
    unit: Bytes,
    /// Of the frame whose payload is not all there.
    header: Option<FrameHeader>,
    /// Set by a fault: nothing comes after it.
    is_over: bool,
}

/// What frames may have together, prefixes included, and what those had whose headers came.
#[derive(Debug)]
struct Budget {
    limit: usize,
    declared: usize,
}

impl FrameDecoder {
    /// For frames whose payloads have at most this many bytes.
    pub fn new(limit: MaxLength) -> Self {
        Self {
            limit,
            budget: None,
            held: BytesMut::new(),
            unit: Bytes::new(),
            header: None,
            is_over: false,
        }
    }

    /// All frames together may have `budget` bytes, of what they declare. Prefixes count, so that empty
    /// frames do not come without end.
    #[must_use]
    pub fn with_budget(mut self, budget: usize) -> Self {
        self.budget = Some(Budget { limit: budget, declared: 0 });
        self
    }

    /// From here on only the bound on each frame holds.
    pub fn lift_budget(&mut self) {
        self.budget = None;
    }

    /// Takes the next unit of the stream.
    pub fn push(&mut self, unit: Bytes) {
        if self.is_over {
            return;
        }
        self.hold(self.unit.len());
        self.unit = unit;
    }

    /// The next frame that is whole.
    ///
    /// *Errors.* What is no frame; after that, none comes.
    pub fn next_frame(&mut self) -> Result<Option<(FrameType, Bytes)>, FrameError> {
        if self.is_over {
            return Ok(None);
        }
        let frame = self.parse();
        if frame.is_err() {
            self.is_over = true;
            (self.held, self.unit) = (BytesMut::new(), Bytes::new());
        }
        frame
    }

    fn parse(&mut self) -> Result<Option<(FrameType, Bytes)>, FrameError> {
        let Some(FrameHeader { frame_type, length }) = self.poll_header()? else {
            return Ok(None);
        };
        let Some(payload) = self.take(length) else {
            return Ok(None);
        };
        self.header = None;
        Ok(Some((frame_type, payload)))
    }

    /// The header of the frame that is next, which is counted once.
    fn poll_header(&mut self) -> Result<Option<FrameHeader>, FrameError> {
        if self.header.is_some() {
            return Ok(self.header);
        }
        let Some(prefix) = self.take(PREFIX) else {
            return Ok(None);
        };
        let header = FrameHeader::parse(&prefix, self.limit)?;
        if let Some(budget) = &mut self.budget
            && let Some(header) = header
        {
            budget.declared = budget.declared.saturating_add(PREFIX + header.length);
            if budget.declared > budget.limit {
                let Budget { limit, declared: got } = *budget;
                return Err(FrameError::OverBudget { limit, got });
            }
        }
        self.header = header;
        Ok(header)
    }

    /// The next bytes, if so many are there; else what there is, is held.
    fn take(&mut self, size: usize) -> Option<Bytes> {
        if self.held.is_empty() && self.unit.len() >= size {
            let taken = self.unit.split_to(size);
            if self.unit.is_empty() {
                // An empty slice would keep the unit alive.
                self.unit = Bytes::new();
            }
            return Some(taken);
        }
        self.hold(size.saturating_sub(self.held.len()));
        match self.held.len() {
            held if held < size => None,
            held if held == size => Some(mem::take(&mut self.held).freeze()),
            _ => Some(self.held.split_to(size).freeze()),
        }
    }

    /// Moves as many bytes from the unit to what is held, or all there are.
    fn hold(&mut self, count: usize) {
        let count = count.min(self.unit.len());
        self.held.extend_from_slice(&self.unit[..count]);
        self.unit.advance(count);
        if self.unit.is_empty() {
            self.unit = Bytes::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_has_the_same_frames_however_it_is_cut() {
        let stream = b"\0\0\0\x02ab\x01\0\0\0\x02\0\0\x01c\0\0\0\x03def";
        let expected = [
            (FrameType::Message, "ab"),
            (FrameType::Ping, ""),
            (FrameType::Pong, "c"),
            (FrameType::Message, "def"),
        ];
        for size in 1..=stream.len() {
            let mut decoder = FrameDecoder::new(MaxLength::MIN);
            let mut frames = Vec::new();
            for unit in stream.chunks(size) {
                decoder.push(Bytes::copy_from_slice(unit));
                while let Some((frame_type, payload)) = decoder.next_frame().unwrap() {
                    frames.push((frame_type, String::from_utf8(payload.to_vec()).unwrap()));
                }
            }
            let frames: Vec<_> = frames.iter().map(|(kind, text)| (*kind, text.as_str())).collect();
            assert_eq!(frames, expected, "in units of {size}");
        }
    }

    #[test]
    fn units_may_be_pushed_before_the_one_before_is_used_up() {
        let mut decoder = FrameDecoder::new(MaxLength::MIN);
        for unit in [&b"\0\0\0\x01a\0\0\0\x01b\0\0"[..], b"\0\x01", b"c\0\0\0\0"] {
            decoder.push(Bytes::from_static(unit));
        }
        for expected in ["a", "b", "c", ""] {
            let (_, payload) = decoder.next_frame().unwrap().unwrap();
            assert_eq!(payload, expected);
        }
        assert_eq!(decoder.next_frame(), Ok(None));
    }

    #[test]
    fn nothing_comes_after_a_fault() {
        let mut decoder = FrameDecoder::new(MaxLength::MIN);
        decoder.push(Bytes::from_static(b"\x07\0\0\0\0\0\0\0"));
        assert_eq!(decoder.next_frame(), Err(FrameError::UnknownType { got: 7 }));
        assert_eq!(decoder.next_frame(), Ok(None));
    }

    #[test]
    fn a_budget_is_used_up_by_what_frames_declare_before_it_comes() {
        let fill = |stream: &'static [u8], size: usize| {
            let mut decoder = FrameDecoder::new(MaxLength::MIN).with_budget(20);
            let mut frames = 0;
            for unit in stream.chunks(size) {
                decoder.push(Bytes::from_static(unit));
                loop {
                    match decoder.next_frame() {
                        Ok(Some(_)) => frames += 1,
                        Ok(None) => break,
                        Err(error) => return (frames, Some(error)),
                    }
                }
            }
            (frames, None)
        };
        let over = |got| Some(FrameError::OverBudget { limit: 20, got });
        for size in 1..=24 {
            assert_eq!(fill(b"\0\0\0\x0cabcdefghijkl\0\0\0\0", size), (2, None));
            assert_eq!(fill(b"\0\0\0\x0cabcdefghijkl\0\0\0\x01", size), (1, over(21)));
            assert_eq!(fill(b"\x01\0\0\0\x01\0\0\0\x01\0\0\x09", size), (2, over(21)));
            assert_eq!(fill(b"\0\0\x02\0", size), (0, over(516)));
        }
    }

    #[test]
    fn a_budget_that_is_lifted_bounds_nothing_that_comes_later() {
        let mut decoder = FrameDecoder::new(MaxLength::MIN).with_budget(5);
        decoder.push(Bytes::from_static(b"\0\0\0\x01a\0\0\0\x03def"));
        assert_eq!(decoder.next_frame().unwrap().unwrap().1, "a");
        decoder.lift_budget();
        assert_eq!(decoder.next_frame().unwrap().unwrap().1, "def");
    }
}
