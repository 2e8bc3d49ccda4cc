//! How far the parsing of one frame has come.
//!
//! [`Progress`] runs the productions of the [grammar] one after another, checks the limits, and
//! can be taken up again when more of the frame is there. It holds places, never bytes: every call
//! is given the frame from its first byte on.

use memchr::memchr;
use nom::Err;

use super::{DecoderLimits, grammar};
use crate::stomp::frame::{HeaderLine, Verb};
use crate::violation::Violation;

/// The parsed part of a frame.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// One for each header line so far. Keeps its allocation from frame to frame.
    pub(super) lines: Vec<HeaderLine>,
    /// Bytes of the body, once the frame is whole.
    pub(super) body_len: usize,
    /// Set by the command line.
    verb: Option<Verb>,
    /// Set by the first header line that is a `content-length`.
    declared: Option<HeaderLine>,
    /// Set by the blank line.
    body: Option<BodyLength>,
    /// Where the first line starts that has not matched yet; after the blank line, the body.
    at: usize,
    /// Where the search for its end goes on; at least `at`.
    scanned: usize,
}

/// How the end of a body is told.
#[derive(Debug, Clone, Copy)]
enum BodyLength {
    /// By `content-length`.
    Counted(usize),
    /// By the first NUL.
    Open,
}

impl Progress {
    /// Prepares for the next frame.
    pub(super) fn restart(&mut self) {
        self.lines.clear();
        self.verb = None;
        self.declared = None;
        self.body = None;
        self.at = 0;
        self.scanned = 0;
    }

    /// Goes on with the frame that `input` starts with. The verb of it, once it is whole; `None` if
    /// more of it is needed.
    ///
    /// *Errors.* Every fault of the framing but those that [`super::head`] finds.
    pub(super) fn advance(
        &mut self,
        input: &[u8],
        limits: &DecoderLimits,
    ) -> Result<Option<Verb>, Violation> {
        // What lies behind the limit must not be looked at: whether it is there depends on how the
        // stream was cut. One byte more than the limit is needed, for the NUL.
        let input = &input[..input.len().min(limits.frame_size + 1)];
        if self.scanned > input.len() {
            return Err(too_large(limits, self.scanned)); // the limit was lowered meanwhile
        }
        match self.parse(input, limits) {
            Ok(verb) => Ok(Some(verb)),
            Err(Err::Error(violation) | Err::Failure(violation)) => Err(violation),
            Err(Err::Incomplete(_)) if input.len() > limits.frame_size => {
                Err(too_large(limits, input.len()))
            }
            Err(Err::Incomplete(_)) => {
                self.scanned = input.len();
                Ok(None)
            }
        }
    }

    /// Bytes before the body, once the frame is whole.
    pub(super) const fn head_len(&self) -> usize {
        self.at
    }

    /// How many bytes at the beginning of `unit` surely belong to the frame, of which `held` bytes
    /// came before: those up to the end of the line or body that is awaited.
    pub(super) fn claim(&mut self, held: usize, unit: &[u8]) -> usize {
        let terminator = match self.body {
            Some(BodyLength::Counted(length)) => {
                return unit.len().min((self.at + length + 1).saturating_sub(held));
            }
            Some(BodyLength::Open) => 0,
            None => b'\n',
        };
        let found = memchr(terminator, unit);
        self.scanned = held + found.unwrap_or(unit.len());
        found.map_or(unit.len(), |at| at + 1)
    }

    /// Bytes of the frame including its NUL, if its `content-length` is known.
    pub(super) const fn declared_size(&self) -> Option<usize> {
        match self.body {
            Some(BodyLength::Counted(length)) => Some(self.at + length + 1),
            Some(BodyLength::Open) | None => None,
        }
    }

    fn parse(&mut self, input: &[u8], limits: &DecoderLimits) -> Result<Verb, Err<Violation>> {
        let verb = match self.verb {
            Some(verb) => verb,
            None => self.command_line(input)?,
        };
        let length = loop {
            match self.body {
                Some(length) => break length,
                None => self.header_line(input, limits)?,
            }
        };
        let rest = &input[self.at..];
        let (_, body) = match length {
            BodyLength::Counted(length) => grammar::counted_body(rest, length)?,
            BodyLength::Open => grammar::open_body(rest, self.scanned - self.at)?,
        };
        self.body_len = body.len();
        Ok(verb)
    }

    fn command_line(&mut self, input: &[u8]) -> Result<Verb, Err<Violation>> {
        let (rest, verb) = grammar::command_line(input)?;
        self.verb = Some(verb);
        self.matched(input, rest);
        Ok(verb)
    }

    /// One header, or the blank line after the last one.
    fn header_line(&mut self, input: &[u8], limits: &DecoderLimits) -> Result<(), Err<Violation>> {
        let at = self.at;
        if self.lines.len() >= limits.header_count {
            let (rest, _) = grammar::end_of_headers(&input[at..], limits.header_count)?;
            return self.blank_line(input, rest, limits);
        }
        let (rest, header) =
            grammar::header_line(&input[at..], limits.header_size, self.scanned - at)?;
        let Some((colon, end)) = header else {
            return self.blank_line(input, rest, limits);
        };
        let line = HeaderLine { start: place(at), colon: place(at + colon), end: place(at + end) };
        if self.declared.is_none() && &input[at..at + colon] == b"content-length" {
            self.declared = Some(line);
        }
        self.lines.push(line);
        self.matched(input, rest);
        Ok(())
    }

    #[inline]
    fn blank_line(
        &mut self,
        input: &[u8],
        rest: &[u8],
        limits: &DecoderLimits,
    ) -> Result<(), Err<Violation>> {
        self.matched(input, rest);
        let Some(line) = self.declared else {
            self.body = Some(BodyLength::Open);
            return Ok(());
        };
        let value = &input[line.colon as usize + 1..line.end as usize];
        let length = grammar::length(value).map_err(Err::Failure)?;
        let size = self.at.saturating_add(length);
        if size > limits.frame_size {
            return Err(Err::Failure(too_large(limits, size)));
        }
        self.body = Some(BodyLength::Counted(length));
        Ok(())
    }

    /// A production has matched `input` up to `rest`.
    const fn matched(&mut self, input: &[u8], rest: &[u8]) {
        self.at = input.len() - rest.len();
        self.scanned = self.at;
    }
}

const fn too_large(limits: &DecoderLimits, got: usize) -> Violation {
    Violation::FrameTooLarge { limit: limits.frame_size, got }
}

/// A place in a head, as [`HeaderLine`] has it.
pub(super) fn place(at: usize) -> u32 {
    u32::try_from(at).expect("a place in a frame, and frames have less than 4 GiB")
}
