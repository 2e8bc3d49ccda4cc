//! The incremental [`Decoder`]: units of input in, frames out.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};

use super::head;
use super::progress::Progress;
use crate::stomp::encode::Escaping;
use crate::stomp::frame::{Frame, Headers, Verb};
use crate::violation::Violation;

/// Bounds on one frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DecoderLimits {
    /// Bytes of verb, headers and body together, without the closing NUL. Above 4 GiB it means
    /// 4 GiB.
    pub frame_size: usize,
    /// Header lines.
    pub header_count: usize,
    /// Bytes of one header line, without its line end.
    pub header_size: usize,
}

/// Turns units of input, cut anywhere, into frames.
///
/// *Shape.* A frame that lies whole in one unit is a slice of it. Of an unfinished frame the bytes
/// are kept, and nothing else; what is reserved for them at most doubles as they arrive, whatever
/// the frame declares.
///
/// *Cost.* Linear in the input, however small the units are.
#[derive(Debug)]
pub struct Decoder {
    limits: DecoderLimits,
    escaping: Escaping,
    /// Input that has not been looked at.
    unit: Bytes,
    /// Units that were pushed before the one above was used up.
    later: VecDeque<Bytes>,
    /// The beginning of a frame, all of `unit` being behind it; never more than the frame. Empty
    /// while none has come in part.
    partial: Vec<u8>,
    /// Of the frame in `partial`.
    progress: Progress,
    /// Set by the first violation.
    failed: bool,
}

impl Decoder {
    /// A decoder that unescapes nothing yet.
    pub fn new(limits: DecoderLimits) -> Self {
        let limits = DecoderLimits {
            frame_size: limits.frame_size.min(LARGEST_FRAME),
            header_size: limits.header_size.min(LARGEST_FRAME),
            ..limits
        };
        Self {
            limits,
            escaping: Escaping::None,
            unit: Bytes::new(),
            later: VecDeque::new(),
            partial: Vec::new(),
            progress: Progress::default(),
            failed: false,
        }
    }

    /// Unescapes the frames decoded from now on in this way, those of input that was pushed before
    /// included. CONNECT, STOMP and CONNECTED are unescaped by [`Escaping::Every`] only.
    pub const fn set_escaping(&mut self, escaping: Escaping) {
        self.escaping = escaping;
    }

    /// Changes the limit on the size of a frame, from the next call of
    /// [`next_frame`](Self::next_frame) on.
    pub fn set_frame_size(&mut self, limit: usize) {
        self.limits.frame_size = limit.min(LARGEST_FRAME);
    }

    /// Adds input. It is not looked at, nor copied.
    ///
    /// *Order.* A unit is kept as it is until [`next_frame`](Self::next_frame) has returned `None`:
    /// who pushes more before that has to bound how much.
    pub fn push(&mut self, unit: Bytes) {
        if self.failed || unit.is_empty() {
            return;
        }
        if self.unit.is_empty() {
            self.unit = unit;
        } else {
            self.later.push_back(unit);
        }
    }

    /// The next frame; `None` if more input is needed. Line ends (heart-beats) and NULs between
    /// frames are skipped.
    ///
    /// *Errors.* The violations of the framing. A stream that broke a rule cannot be understood any
    /// more: after an error there are no more frames.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, Violation> {
        let verb = match self.whole_frame() {
            Ok(Some(verb)) => verb,
            Ok(None) => return Ok(None),
            Err(violation) => return Err(self.fail(violation)),
        };
        let progress = &mut self.progress;
        let bytes = if self.partial.is_empty() {
            self.unit.split_to(progress.head_len() + progress.body_len + 1)
        } else {
            Bytes::from(std::mem::take(&mut self.partial))
        };
        match head::head_and_body(bytes, verb, progress, self.escaping) {
            Ok((head, body)) => {
                Ok(Some(Frame { verb, headers: Headers::from_lines(head, &progress.lines), body }))
            }
            Err(violation) => Err(self.fail(violation)),
        }
    }

    /// Bytes held. Once [`next_frame`](Self::next_frame) has returned `None` they are those of an
    /// unfinished frame.
    pub fn buffered(&self) -> usize {
        self.partial.len() + self.unit.len() + self.later.iter().map(Bytes::len).sum::<usize>()
    }

    /// Forgets all input, and frees the memory held for it. Limits, escaping, and whether a rule was
    /// broken stay.
    pub fn clear(&mut self) {
        self.unit = Bytes::new();
        self.later = VecDeque::new();
        self.partial = Vec::new();
        self.progress = Progress::default();
    }

    #[cold]
    fn fail(&mut self, violation: Violation) -> Violation {
        self.clear();
        self.failed = true;
        violation
    }

    /// Looks for a whole frame: all of `partial`, or else the beginning of `unit`. Returns its verb.
    fn whole_frame(&mut self) -> Result<Option<Verb>, Violation> {
        loop {
            if self.unit.is_empty() {
                let Some(unit) = self.later.pop_front() else {
                    return Ok(None);
                };
                self.unit = unit;
            }
            let verb = if self.partial.is_empty() { self.begin()? } else { self.resume()? };
            if verb.is_some() {
                return Ok(verb);
            }
        }
    }

    /// Looks for a frame at the beginning of the unit, and keeps what is there of an unfinished one.
    fn begin(&mut self) -> Result<Option<Verb>, Violation> {
        let is_between = |byte: &&u8| matches!(byte, b'\n' | b'\r' | 0);
        let skipped = self.unit.iter().take_while(is_between).count();
        self.unit.advance(skipped);
        if self.unit.is_empty() {
            self.unit = Bytes::new(); // frees what was skipped
            return Ok(None);
        }
        self.progress.restart();
        let verb = self.progress.advance(&self.unit, &self.limits)?;
        if verb.is_none() {
            let beginning = std::mem::take(&mut self.unit);
            self.keep(&beginning);
        }
        Ok(verb)
    }

    /// Goes on with an unfinished frame, by one line or body.
    fn resume(&mut self) -> Result<Option<Verb>, Violation> {
        let held = self.partial.len();
        let room = (self.limits.frame_size + 1).saturating_sub(held).min(self.unit.len());
        let claimed = self.progress.claim(held, &self.unit[..room]);
        let claimed = self.unit.split_to(claimed);
        self.keep(&claimed);
        self.progress.advance(&self.partial, &self.limits)
    }

    /// Adds to the unfinished frame. Reserves at most as much again as is there, and no more than
    /// the frame needs.
    fn keep(&mut self, bytes: &[u8]) {
        let needed = self.partial.len() + bytes.len();
        if needed > self.partial.capacity() {
            let most = self.progress.declared_size().unwrap_or(self.limits.frame_size + 1);
            let wanted = (2 * self.partial.capacity()).min(most).max(needed);
            self.partial.reserve_exact(wanted - self.partial.len());
        }
        self.partial.extend_from_slice(bytes);
    }
}

/// Places in a frame are 32 bits wide.
const LARGEST_FRAME: usize = u32::MAX as usize - 1;

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: DecoderLimits =
        DecoderLimits { frame_size: 1 << 20, header_count: 8, header_size: 64 };

    fn decoder(escaping: Escaping) -> Decoder {
        let mut decoder = Decoder::new(LIMITS);
        decoder.set_escaping(escaping);
        decoder
    }

    fn push(decoder: &mut Decoder, unit: &'static str) -> Result<Option<Frame>, Violation> {
        decoder.push(Bytes::from_static(unit.as_bytes()));
        decoder.next_frame()
    }

    #[test]
    fn a_frame_whole_in_one_unit_is_a_slice_of_it() {
        let unit = Bytes::from("\nSEND\ndestination:/queue/a\n\nhello\0".to_owned());
        let mut decoder = decoder(Escaping::V12);
        decoder.push(unit.clone());
        let frame = decoder.next_frame().unwrap().unwrap();
        let input = unit.as_ptr_range();
        assert!(input.contains(&frame.headers.get("destination").unwrap().as_ptr()));
        assert!(input.contains(&frame.body.as_ptr()));
        assert_eq!(frame.verb, Verb::Send);
        assert_eq!(frame.body, "hello");
        assert_eq!(decoder.buffered(), 0);
    }

    #[test]
    fn escaping_holds_for_input_pushed_before_it_was_set() {
        let mut decoder = decoder(Escaping::None);
        let connect =
            push(&mut decoder, "CONNECT\npasscode:a\\n\n\n\0SEND\na:\\n\n\n\0SEND\nb:\\c\n\n");
        assert_eq!(connect.unwrap().unwrap().headers.get("passcode"), Some("a\\n"));
        let first = decoder.next_frame().unwrap().unwrap();
        assert_eq!(first.headers.get("a"), Some("\\n"));
        assert_eq!(decoder.next_frame(), Ok(None));
        decoder.set_escaping(Escaping::V12);
        let second = push(&mut decoder, "\0").unwrap().unwrap();
        assert_eq!(second.headers.get("b"), Some(":"));
    }

    #[test]
    fn connect_stomp_and_connected_are_never_unescaped() {
        let mut decoder = decoder(Escaping::V12);
        for frame in ["CONNECT\na:\\t\n\n\0", "STOMP\na:\\t\n\n\0", "CONNECTED\na:\\t\n\n\0"] {
            assert_eq!(push(&mut decoder, frame).unwrap().unwrap().headers.get("a"), Some("\\t"));
        }
    }

    #[test]
    fn undefined_escapes_are_fatal_in_each_version() {
        let allowed = r"\n, \r, \c and \\";
        for escaping in [Escaping::V11, Escaping::V12] {
            let undefined = push(&mut decoder(escaping), "SEND\na:x\\ty\n\n\0");
            assert_eq!(undefined, Err(Violation::BadEscape { got: "\\t".into(), allowed }));
            let trailing = push(&mut decoder(escaping), "SEND\na\\:b\n\n\0");
            assert_eq!(trailing, Err(Violation::BadEscape { got: "\\".into(), allowed }));
        }
    }

    #[test]
    fn an_escaped_carriage_return_is_one_in_1_1_as_well() {
        for escaping in [Escaping::V11, Escaping::V12] {
            let frame = push(&mut decoder(escaping), "SEND\na\\r:\\rb\n\n\0").unwrap().unwrap();
            assert_eq!(frame.headers.get("a\r"), Some("\rb"));
        }
    }

    #[test]
    fn after_a_violation_there_is_nothing_more() {
        let mut decoder = decoder(Escaping::V12);
        let fault = push(&mut decoder, "HELLO\n\n\0SEND\n\n\0");
        assert_eq!(fault, Err(Violation::UnknownVerb { got: "HELLO".into() }));
        assert_eq!(decoder.buffered(), 0);
        assert_eq!(push(&mut decoder, "SEND\n\n\0"), Ok(None));
        decoder.clear();
        assert_eq!(push(&mut decoder, "SEND\n\n\0"), Ok(None));
        assert_eq!(decoder.buffered(), 0);
    }

    #[test]
    fn the_declared_size_is_refused_before_the_body_comes_and_is_never_reserved_at_once() {
        let mut decoder = decoder(Escaping::V12);
        assert_eq!(push(&mut decoder, "SEND\ncontent-length:1000000\n\n"), Ok(None));
        assert_eq!(decoder.partial.capacity(), 29);
        assert_eq!(push(&mut decoder, "x"), Ok(None));
        assert_eq!(decoder.partial.capacity(), 58);
        let mut decoder = self::decoder(Escaping::V12);
        assert_eq!(
            push(&mut decoder, "SEND\ncontent-length:1048577\n\n"),
            Err(Violation::FrameTooLarge { limit: 1 << 20, got: (1 << 20) + 30 })
        );
    }

    #[test]
    fn an_unfinished_frame_holds_its_own_bytes_only_and_grows_to_its_size_at_most() {
        let mut decoder = decoder(Escaping::V12);
        assert_eq!(push(&mut decoder, "SEND\ncontent-length:40\n\n0123456789"), Ok(None));
        assert_eq!(decoder.buffered(), 34);
        assert_eq!(push(&mut decoder, "0123456789"), Ok(None));
        assert_eq!(decoder.partial.capacity(), 65);
        let frame = push(&mut decoder, "01234567890123456789\0SEND\n\nnext").unwrap().unwrap();
        assert_eq!(frame.body.len(), 40);
        assert_eq!(decoder.next_frame(), Ok(None));
        assert_eq!(decoder.buffered(), "SEND\n\nnext".len());
    }

    #[test]
    fn units_may_be_pushed_before_frames_are_taken() {
        let mut decoder = decoder(Escaping::V12);
        for unit in ["SEND\n\na\0SE", "ND\n", "\nb", "\0\r\n"] {
            decoder.push(Bytes::from_static(unit.as_bytes()));
        }
        assert_eq!(decoder.next_frame().unwrap().unwrap().body, "a");
        assert_eq!(decoder.next_frame().unwrap().unwrap().body, "b");
        assert_eq!(decoder.next_frame(), Ok(None));
        assert_eq!(decoder.buffered(), 0);
    }

    #[test]
    fn line_ends_and_nuls_between_frames_are_skipped() {
        let mut decoder = decoder(Escaping::V12);
        for unit in ["\0", "\n\0\r\n", "SEND\n\na\0\0", "\0\nSEND\n\nb\0\0\n"] {
            decoder.push(Bytes::from_static(unit.as_bytes()));
        }
        assert_eq!(decoder.next_frame().unwrap().unwrap().body, "a");
        assert_eq!(decoder.next_frame().unwrap().unwrap().body, "b");
        assert_eq!(decoder.next_frame(), Ok(None));
        assert_eq!(decoder.buffered(), 0);
    }

    #[test]
    fn a_lowered_limit_holds_for_the_frame_that_is_under_way() {
        for start in
            ["SEND\n\n0123456789", "SEND\ncontent-length:30\n\n0123456789", "SEND\na:0123456789"]
        {
            let mut decoder = decoder(Escaping::V12);
            assert_eq!(push(&mut decoder, start), Ok(None));
            decoder.set_frame_size(8);
            let got = push(&mut decoder, "x");
            assert!(matches!(got, Err(Violation::FrameTooLarge { limit: 8, .. })), "{got:?}");
        }
    }

    #[test]
    fn a_long_line_that_came_in_parts_is_too_long() {
        let mut decoder = decoder(Escaping::V12);
        assert_eq!(push(&mut decoder, "SEND\na:"), Ok(None));
        decoder.push(Bytes::from("x".repeat(1_000) + "\n"));
        assert_eq!(decoder.next_frame(), Err(Violation::HeaderTooLong { limit: 64, got: 65 }));
    }
}
