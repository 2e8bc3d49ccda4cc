//! What the grammars have in common: limits, faults, scalars, and a loop that recognizes a value
//! of a format whose lists say how long they are.

use std::borrow::Cow;

use nom::error::{ErrorKind, ParseError};
use nom::{Err, IResult};
use smallvec::SmallVec;

use super::{Serializer, json};

/// Bounds on one message.
///
/// How many bytes it has is the transport's to bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Lists and dictionaries inside of each other, the message included. Default 64; transcoding
    /// knows no more than 100 whatever this says.
    pub depth: usize,
    /// Values, those in lists and dictionaries and the keys of these included. Default 1,000,000.
    pub values: usize,
    /// Bytes that transcoding may make of one payload or dictionary. Default 16 MiB.
    pub transcoded: usize,
}

impl Limits {
    /// The defaults.
    pub const DEFAULT: Self = Self { depth: 64, values: 1_000_000, transcoded: 16 << 20 };

    /// What is enough for HELLO and AUTHENTICATE. A value of one byte may take forty once it is read, and
    /// who sends these may be anybody.
    pub const HANDSHAKE: Self = Self { depth: 16, values: 1_000, transcoded: 64 << 10 };

    /// These, and [`HANDSHAKE`](Self::HANDSHAKE) where it is tighter.
    #[must_use]
    pub fn before_welcome(self) -> Self {
        let most = Self::HANDSHAKE;
        Self {
            depth: self.depth.min(most.depth),
            values: self.values.min(most.values),
            transcoded: self.transcoded.min(most.transcoded),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// What is wrong with bytes that should be a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Syntax {
    /// The input ends too early; where a length is declared, as soon as that shows.
    #[error("it ends inside a value")]
    CutShort,
    /// The value ends before the input does.
    #[error("something follows the value")]
    TrailingBytes,
    /// A byte that may not come here.
    #[error("{expected} must come here, not the byte 0x{got:02x}")]
    Unexpected {
        /// What may come.
        expected: &'static str,
        /// What came.
        got: u8,
    },
    /// A text, or JSON as a whole, that is not UTF-8.
    #[error("text must be UTF-8")]
    NotUtf8,
    /// JSON: a character of a text that must be escaped.
    #[error("a control character in a text must be escaped")]
    Unescaped,
    /// CBOR: a part of a text or of binary data of indefinite length that is something else.
    #[error("parts of a text or of binary data must be of the same kind and of definite length")]
    BadChunk,
    /// CBOR: an end where nothing of indefinite length is open, or where a value is due.
    #[error("an indefinite length ends where none is open or a value is due")]
    UnexpectedBreak,
    /// More lists and dictionaries inside of each other than allowed.
    #[error("lists and dictionaries may be nested {limit} deep")]
    TooDeep {
        /// Allowed depth.
        limit: usize,
    },
    /// More values than allowed.
    #[error("there may be {limit} values")]
    TooManyValues {
        /// Allowed values.
        limit: usize,
    },
}

impl Syntax {
    /// What is wrong with a value that should be one of this serializer, for who sent it.
    pub(in crate::wamp) fn sentence(self, serializer: Serializer, at: usize) -> String {
        match self {
            // It may well be one.
            Self::TooDeep { .. } | Self::TooManyValues { .. } => {
                format!("this is more than is allowed here: {self}, at byte {at}")
            }
            _ => format!("this is not {serializer}: {self}, at byte {at}"),
        }
    }
}

/// A fault, and how many bytes of the input were left where it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::wamp) struct Flaw {
    pub(in crate::wamp) left: usize,
    pub(in crate::wamp) syntax: Syntax,
}

impl Flaw {
    /// The flaw in nom's wrapping. The grammars are of the complete kind: none is `Incomplete`.
    pub(in crate::wamp) fn of(error: Err<Self>) -> Self {
        match error {
            Err::Error(flaw) | Err::Failure(flaw) => flaw,
            Err::Incomplete(_) => Self { left: 0, syntax: Syntax::CutShort },
        }
    }

    /// A fault where `rest` begins, that no alternative could mend.
    pub(super) const fn at(rest: &[u8], syntax: Syntax) -> Err<Self> {
        Err::Failure(Self { left: rest.len(), syntax })
    }

    /// Something else than `expected` comes next, or nothing does.
    pub(super) fn unexpected(rest: &[u8], expected: &'static str) -> Err<Self> {
        Self::at(
            rest,
            match rest.first() {
                Some(&got) => Syntax::Unexpected { expected, got },
                None => Syntax::CutShort,
            },
        )
    }
}

/// The parsers of nom that are used fail for one reason only: there are fewer bytes than they take.
impl ParseError<&[u8]> for Flaw {
    fn from_error_kind(input: &[u8], _: ErrorKind) -> Self {
        Self { left: input.len(), syntax: Syntax::CutShort }
    }

    fn append(_: &[u8], _: ErrorKind, other: Self) -> Self {
        other
    }
}

/// The outcome of a production.
pub(in crate::wamp) type Parsed<'a, T> = IResult<&'a [u8], T, Flaw>;

/// What is left of the [`Limits`], and what was seen that transcoding cannot carry.
#[derive(Debug)]
pub(in crate::wamp) struct Budget {
    limits: Limits,
    values: usize,
    /// Depth at which the next value starts.
    depth: usize,
    /// Set by the first value that only its own format has.
    pub(in crate::wamp) foreign: Option<&'static str>,
    /// Whether a text of JSON has one half of a surrogate pair, which no UTF-8 text can hold.
    pub(in crate::wamp) has_lone_surrogate: bool,
    /// The values of each list and the pairs of each dictionary, in the order in which these begin. `None`: nobody asks.
    pub(in crate::wamp) counts: Option<Vec<usize>>,
}

impl Budget {
    pub(in crate::wamp) const fn new(limits: Limits) -> Self {
        let (foreign, has_lone_surrogate, counts) = (None, false, None);
        Self { values: limits.values, limits, depth: 0, foreign, has_lone_surrogate, counts }
    }

    /// For values that were checked before.
    pub(in crate::wamp) const fn unlimited() -> Self {
        Self::new(Limits { depth: usize::MAX, values: usize::MAX, transcoded: 0 })
    }

    /// A value starts where `rest` does.
    pub(super) fn take_value(&mut self, rest: &[u8]) -> Result<(), Err<Flaw>> {
        match self.values.checked_sub(1) {
            Some(values) => self.values = values,
            None => {
                return Err(Flaw::at(rest, Syntax::TooManyValues { limit: self.limits.values }));
            }
        }
        Ok(())
    }

    /// A list or dictionary begins, whose length is 0 until it is known. The outcome is its place among
    /// the counts.
    pub(super) fn begin(&mut self, count: u64) -> usize {
        let Some(counts) = &mut self.counts else {
            return 0;
        };
        counts.push(usize::try_from(count).unwrap_or(usize::MAX));
        counts.len() - 1
    }

    /// The length of one is known.
    pub(super) fn end(&mut self, place: usize, count: usize) {
        if let Some(counts) = &mut self.counts {
            counts[place] = count;
        }
    }

    /// A list or dictionary starts where `rest` does, inside of `open` others.
    pub(super) fn check_depth(&self, rest: &[u8], open: usize) -> Result<(), Err<Flaw>> {
        if self.depth + open >= self.limits.depth {
            return Err(Flaw::at(rest, Syntax::TooDeep { limit: self.limits.depth }));
        }
        Ok(())
    }
}

/// A scalar decoded, or what else a value is.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::wamp) enum Scalar<'a> {
    Null,
    Bool(bool),
    Unsigned(u64),
    /// -1 less this number, as CBOR has it.
    Negative(u64),
    /// A number that is not written as an integer, or as one that 64 bits have no room for: the
    /// double that is next to it.
    Number(f64),
    Text(Cow<'a, str>),
    Binary,
    List,
    Dict,
    /// A value that only its format has, in words.
    Foreign(&'static str),
}

impl Scalar<'_> {
    pub(super) const fn signed(value: i64) -> Self {
        match value {
            0.. => Self::Unsigned(value.cast_unsigned()),
            ..0 => Self::Negative((!value).cast_unsigned()),
        }
    }
}

/// The beginning of a value in a binary format: all of a scalar, the length of others.
#[derive(Debug)]
pub(super) enum Head<'a> {
    Scalar(Scalar<'a>),
    /// Elements that follow. `None`: until a [`Head::Break`].
    List(Option<u64>),
    /// Pairs that follow, likewise.
    Dict(Option<u64>),
    /// A tag, which belongs to the value behind it.
    Tag,
    /// The end of something of indefinite length.
    Break,
}

/// A list or dictionary whose end has not come.
enum Open {
    /// It needs so many more values, keys included.
    Counted(u64),
    /// A list that a break ends.
    List { taken: usize, place: usize },
    /// A dictionary that a break ends. Keys are taken, too.
    Dict { taken: usize, place: usize },
}

impl Open {
    /// `None` if it is complete at once.
    fn new(head: &Head<'_>, rest: &[u8], budget: &mut Budget) -> Result<Option<Self>, Err<Flaw>> {
        let (count, values) = match *head {
            Head::Dict(pairs) => (pairs, pairs.map(|pairs| pairs.saturating_mul(2))),
            Head::List(count) => (count, count),
            Head::Scalar(_) | Head::Tag | Head::Break => return Ok(None),
        };
        // A value has at least a byte.
        if values.is_some_and(|values| values > rest.len() as u64) {
            return Err(Flaw::at(&[], Syntax::CutShort));
        }
        let (taken, place) = (0, budget.begin(count.unwrap_or(0)));
        Ok(match (values, head) {
            (Some(0), _) => None,
            (Some(values), _) => Some(Self::Counted(values)),
            (None, Head::Dict(_)) => Some(Self::Dict { taken, place }),
            (None, _) => Some(Self::List { taken, place }),
        })
    }

    /// One of its values is complete. Whether it is so itself.
    const fn take(&mut self) -> bool {
        match self {
            Self::Counted(left) => {
                *left -= 1;
                *left == 0
            }
            Self::List { taken, .. } | Self::Dict { taken, .. } => {
                *taken += 1;
                false
            }
        }
    }

    /// A break comes. Whether it may: not between a key and its value.
    fn end(&self, budget: &mut Budget) -> bool {
        match *self {
            Self::List { taken, place } => budget.end(place, taken),
            Self::Dict { taken, place } if taken % 2 == 0 => budget.end(place, taken / 2),
            Self::Counted(_) | Self::Dict { .. } => return false,
        }
        true
    }
}

/// Recognizes a value of the format whose productions `head` has.
pub(super) fn value<'a>(
    mut input: &'a [u8],
    head: impl Fn(&'a [u8]) -> Parsed<'a, Head<'a>>,
    budget: &mut Budget,
) -> Parsed<'a, ()> {
    // The value itself is as the only one of a list that nobody sees.
    let mut top = Open::Counted(1);
    let mut parents: SmallVec<[Open; 8]> = SmallVec::new();
    let mut is_tagged = false;
    loop {
        let (rest, head) = head(input)?;
        let start = std::mem::replace(&mut input, rest);
        let after_tag = std::mem::replace(&mut is_tagged, matches!(head, Head::Tag));
        match head {
            Head::Break => match parents.pop() {
                Some(parent) if !after_tag && top.end(budget) => top = parent,
                _ => return Err(Flaw::at(start, Syntax::UnexpectedBreak)),
            },
            Head::Tag => {
                budget.take_value(start)?;
                budget.foreign.get_or_insert("a CBOR tag");
                continue;
            }
            Head::Scalar(scalar) => {
                budget.take_value(start)?;
                if let Scalar::Foreign(what) = scalar {
                    budget.foreign.get_or_insert(what);
                }
            }
            Head::List(_) | Head::Dict(_) => {
                budget.take_value(start)?;
                budget.check_depth(start, parents.len())?;
                if let Some(opened) = Open::new(&head, rest, budget)? {
                    parents.push(std::mem::replace(&mut top, opened));
                    continue;
                }
            }
        }
        // A value is complete, and with it those of which it is the last.
        while top.take() {
            match parents.pop() {
                Some(parent) => top = parent,
                None => return Ok((input, ())),
            }
        }
    }
}

/// Decodes a scalar of the format whose productions `head` has.
pub(super) fn scalar<'a>(
    input: &'a [u8],
    head: impl Fn(&'a [u8]) -> Parsed<'a, Head<'a>>,
) -> Parsed<'a, Scalar<'a>> {
    let (rest, head) = head(input)?;
    let scalar = match head {
        Head::Scalar(scalar) => scalar,
        Head::List(_) => Scalar::List,
        Head::Dict(_) => Scalar::Dict,
        Head::Tag => Scalar::Foreign("a CBOR tag"),
        Head::Break => return Err(Flaw::at(input, Syntax::UnexpectedBreak)),
    };
    Ok((rest, scalar))
}

/// The values of a list, or the keys and values of a dictionary one after another, undecoded.
///
/// *Order.* A dictionary has been checked: that its last key has a value is not checked here.
pub(in crate::wamp) struct Items<'a> {
    serializer: Serializer,
    rest: &'a [u8],
    end: End,
    is_dict: bool,
}

/// How the end of a list is told.
enum End {
    /// By the number of values that are left.
    Counted(u64),
    /// By a break.
    Break,
    /// By a bracket.
    Bracket(json::Place),
}

impl<'a> Items<'a> {
    /// `None` if `input` starts with something else.
    pub(in crate::wamp) fn open(
        serializer: Serializer,
        input: &'a [u8],
    ) -> Result<Option<Self>, Flaw> {
        let head = match serializer {
            Serializer::Json => {
                let (rest, place) = json::open(input);
                return Ok(place.map(|place| Self {
                    serializer,
                    rest,
                    end: End::Bracket(place),
                    is_dict: place.is_dict(),
                }));
            }
            Serializer::MsgPack => super::msgpack::head(input),
            Serializer::Cbor => super::cbor::head(input),
        };
        let (rest, head) = head.map_err(Flaw::of)?;
        let (count, is_dict) = match head {
            Head::List(count) => (count, false),
            Head::Dict(pairs) => (pairs.map(|pairs| pairs.saturating_mul(2)), true),
            Head::Scalar(_) | Head::Tag | Head::Break => return Ok(None),
        };
        let end = count.map_or(End::Break, End::Counted);
        Ok(Some(Self { serializer, rest, end, is_dict }))
    }

    /// The next value, or `None` at the end, which is then consumed.
    pub(in crate::wamp) fn next(&mut self, budget: &mut Budget) -> Result<Option<&'a [u8]>, Flaw> {
        let more = match &mut self.end {
            End::Counted(0) => false,
            End::Counted(left) => {
                *left -= 1;
                true
            }
            End::Break => match self.rest {
                [super::cbor::BREAK, rest @ ..] => {
                    self.rest = rest;
                    false
                }
                _ => true,
            },
            End::Bracket(place) => {
                let (rest, more) = json::go_on(self.rest, place).map_err(Flaw::of)?;
                self.rest = json::blanks(rest);
                more
            }
        };
        if !more {
            self.end = End::Counted(0);
            return Ok(None);
        }
        budget.depth = 1;
        let start = self.rest;
        let (rest, ()) = self.serializer.skip(start, budget).map_err(Flaw::of)?;
        self.rest = rest;
        Ok(Some(&start[..start.len() - rest.len()]))
    }

    /// Whether the values are keys and what is under them.
    pub(in crate::wamp) const fn is_dict(&self) -> bool {
        self.is_dict
    }

    /// What follows the last value that was taken.
    pub(in crate::wamp) const fn rest(&self) -> &'a [u8] {
        self.rest
    }
}
