//! What passes from the socket to tungstenite at a time.
//!
//! [`Intake`] follows the headers of the incoming frames (RFC 6455 §5.2), for two reasons.
//!
//! *How much a peer may send before it has logged in.* tungstenite's limits are fixed when the
//! handshake is done and hold for each message alone. The intake adds up the lengths that frames
//! declare, and stops the input in front of the first byte that would complete a header above the
//! limit. So nothing is reserved for a frame that will not be taken. Control frames count too, and
//! an empty frame counts as one byte, lest a flood of them never ends.
//!
//! *How large tungstenite's buffer gets.* It reserves a frame's whole payload when it has read its
//! header, on top of what it has read of the payload already. The intake ends a read behind the
//! header of a frame above [`SMALL_SIZE`], so that the buffer fits the frame exactly; see
//! [`Share`](super::share::Share) for what follows from that.

use std::io::{self, Cursor};

use super::FrameHeader;
use super::share::SMALL_SIZE;

/// The longest header a frame can have (RFC 6455 §5.2).
const HEADER_SIZE: usize = 14;

/// The input went over the limit. Travels inside an [`io::Error`] through tungstenite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more than {limit} bytes before the login, {got} were declared")]
pub(super) struct OverBudget {
    /// Allowed bytes.
    pub(super) limit: usize,
    /// Bytes declared up to and including the frame that went over.
    pub(super) got: usize,
}

impl OverBudget {
    /// The value inside `error`, if it is one of ours.
    pub(super) fn of(error: &io::Error) -> Option<Self> {
        error.get_ref()?.downcast_ref().copied()
    }
}

impl From<OverBudget> for io::Error {
    fn from(over: OverBudget) -> Self {
        Self::other(over)
    }
}

/// Follows the input of a peer.
#[derive(Debug)]
pub(super) struct Intake {
    limit: usize,
    declared: usize,
    place: Place,
    /// Set once the limit was exceeded; nothing is let through while it is.
    over: Option<OverBudget>,
}

/// Where in a frame the input is.
#[derive(Debug)]
enum Place {
    /// In a header, of which these bytes have come.
    Header { bytes: [u8; HEADER_SIZE], filled: usize },
    /// In a payload with so many bytes to come.
    Payload { left: u64 },
    /// In something that is no frame. tungstenite refuses it, at the same byte.
    Lost,
}

impl Place {
    const START: Self = Self::Header { bytes: [0; HEADER_SIZE], filled: 0 };
}

impl Intake {
    /// An intake of so many bytes, until [`lift`](Self::lift).
    pub(super) const fn new(limit: usize) -> Self {
        Self { limit, declared: 0, place: Place::START, over: None }
    }

    /// Lifts the limit, also for the header that went over it: its last byte is still to come.
    pub(super) fn lift(&mut self) {
        self.limit = usize::MAX;
        self.over = None;
    }

    /// *Errors.* The limit was exceeded.
    pub(super) fn check(&self) -> Result<(), OverBudget> {
        self.over.map_or(Ok(()), Err)
    }

    /// Follows the next bytes of input. Returns how many of them may pass now: not more than up to
    /// the payload of a large frame, or to what exceeds the limit, as [`check`](Self::check) tells.
    pub(super) fn follow(&mut self, input: &[u8]) -> usize {
        let mut at = 0;
        while at < input.len() && self.over.is_none() {
            at += match &mut self.place {
                Place::Payload { left } => {
                    let here = (input.len() - at).min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= u64::try_from(here).expect("not more than what was left");
                    if *left == 0 {
                        self.place = Place::START;
                    }
                    here
                }
                Place::Header { .. } => {
                    let passing = at + usize::from(self.follow_header(input[at]));
                    if self.is_before_large_payload() {
                        return passing;
                    }
                    passing - at
                }
                Place::Lost => input.len() - at,
            };
        }
        at
    }

    fn is_before_large_payload(&self) -> bool {
        let Place::Payload { left } = self.place else {
            return false;
        };
        usize::try_from(left).map_or(true, |left| left > SMALL_SIZE)
    }

    /// Takes one byte of a header; `false` if it completes one that goes over the limit.
    fn follow_header(&mut self, byte: u8) -> bool {
        let Place::Header { bytes, filled } = &mut self.place else {
            return true;
        };
        bytes[*filled] = byte;
        if *filled == 0 || *filled + 1 < header_size(bytes[1]) {
            *filled += 1;
            return true;
        }
        match FrameHeader::parse(&mut Cursor::new(&bytes[..=*filled])) {
            Ok(Some((_, length))) => self.declare(length),
            Ok(None) | Err(_) => {
                self.place = Place::Lost;
                true
            }
        }
    }

    fn declare(&mut self, length: u64) -> bool {
        let cost = usize::try_from(length.max(1)).unwrap_or(usize::MAX);
        self.declared = self.declared.saturating_add(cost);
        if self.declared > self.limit {
            self.over = Some(OverBudget { limit: self.limit, got: self.declared });
            return false;
        }
        self.place = match length {
            0 => Place::START,
            left => Place::Payload { left },
        };
        true
    }
}

/// Bytes of a header with this second byte (RFC 6455 §5.2).
const fn header_size(second: u8) -> usize {
    let extended_length = match second & 0x7f {
        126 => 2,
        127 => 8,
        _ => 0,
    };
    let masking_key = if second & 0x80 == 0 { 0 } else { 4 };
    2 + extended_length + masking_key
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame as a client sends it, with the shortest form of its length.
    fn frame(first: u8, length: usize) -> Vec<u8> {
        let mut frame = vec![first];
        match (u8::try_from(length), u16::try_from(length)) {
            (Ok(short @ ..=125), _) => frame.push(0x80 | short),
            (_, Ok(medium)) => {
                frame.push(0x80 | 126);
                frame.extend(medium.to_be_bytes());
            }
            _ => {
                frame.push(0x80 | 127);
                frame.extend(u64::try_from(length).unwrap().to_be_bytes());
            }
        }
        frame.extend([1, 2, 3, 4]);
        frame.extend(std::iter::repeat_n(b'x', length));
        frame
    }

    /// Bytes that pass when `input` comes in pieces that end at `splits`.
    fn passing(limit: usize, input: &[u8], splits: &[usize]) -> (usize, Option<OverBudget>) {
        let mut intake = Intake::new(limit);
        let mut passed = 0;
        let mut start = 0;
        for &end in splits.iter().chain([&input.len()]) {
            passed += intake.follow(&input[start..end]);
            start = end;
        }
        (passed, intake.check().err())
    }

    #[test]
    fn what_is_within_the_limit_passes_whole() {
        let input = [frame(0x01, 100), frame(0x89, 5), frame(0x80, 200), frame(0x82, 0)].concat();
        assert_eq!(passing(306, &input, &[]), (input.len(), None));
    }

    #[test]
    fn the_header_that_goes_over_the_limit_is_never_complete_however_the_input_is_split() {
        for last in [frame(0x82, 7), frame(0x82, 300), frame(0x82, 70_000), frame(0x89, 7)] {
            let before = [frame(0x81, 3), frame(0x81, 126)].concat();
            let input = [&before[..], &last[..]].concat();
            let length = last.iter().filter(|&&byte| byte == b'x').count();
            let header = last.len() - length;
            let expected = Some(OverBudget { limit: 135, got: 129 + length });
            for split in 0..=before.len() + header {
                let (passed, over) = passing(135, &input, &[split]);
                assert_eq!(passed, before.len() + header - 1, "split at {split}");
                assert_eq!(over, expected, "split at {split}");
            }
            let everywhere: Vec<_> = (1..input.len()).collect();
            assert_eq!(passing(135, &input, &everywhere), (before.len() + header - 1, expected));
        }
    }

    #[test]
    fn a_lifted_limit_lets_the_header_pass_that_went_over_it() {
        let input = [frame(0x81, 3), frame(0x82, 300), frame(0x81, 3)].concat();
        let mut intake = Intake::new(10);
        let passed = intake.follow(&input);
        assert_eq!(passed, 9 + 7);
        assert_eq!(intake.follow(&input[passed..]), 0);
        intake.lift();
        intake.check().unwrap();
        assert_eq!(passed + intake.follow(&input[passed..]), input.len());
    }

    #[test]
    fn a_read_ends_behind_the_header_of_a_large_frame_and_nowhere_else() {
        let large = frame(0x82, SMALL_SIZE + 1);
        let input = [frame(0x81, 3), frame(0x82, SMALL_SIZE), large, frame(0x89, 1)].concat();
        let header_end = 9 + 8 + SMALL_SIZE + 8;
        for split in 0..header_end {
            let mut intake = Intake::new(usize::MAX);
            assert_eq!(intake.follow(&input[..split]), split);
            assert_eq!(split + intake.follow(&input[split..]), header_end);
            assert_eq!(header_end + intake.follow(&input[header_end..]), input.len());
        }
    }

    #[test]
    fn empty_frames_are_not_free() {
        let flood = frame(0x8a, 0).repeat(11);
        let (passed, over) = passing(10, &flood, &[]);
        assert_eq!(over, Some(OverBudget { limit: 10, got: 11 }));
        assert_eq!(passed, flood.len() - 1);
    }

    #[test]
    fn the_longest_length_does_not_overflow() {
        let mut header = vec![0x82, 0xff];
        header.extend([0xff; 8]);
        header.extend([1, 2, 3, 4]);
        let input = [frame(0x81, 5), header].concat();
        let over = passing(10, &input, &[]).1;
        assert_eq!(over, Some(OverBudget { limit: 10, got: usize::MAX }));
    }

    #[test]
    fn what_is_no_frame_is_left_to_the_reader_of_frames() {
        let input = [frame(0x81, 3), frame(0x83, 1000)].concat();
        assert_eq!(passing(10, &input, &[]), (input.len(), None));
    }

    #[test]
    fn the_error_is_found_again_inside_an_io_error() {
        let over = OverBudget { limit: 1, got: 2 };
        assert_eq!(OverBudget::of(&over.into()), Some(over));
        assert_eq!(OverBudget::of(&io::ErrorKind::ConnectionReset.into()), None);
    }
}
