//! IDs, and the scopes in which they are unique.
//!
//! *Spec.* WAMP §IDs: an ID is an integer from 1 to 2^53. Those of global scope are random; those
//! of router scope are the router's to choose; those of session scope are counted up by one from 1,
//! by each end for the requests that it makes. §Progressive Call Invocations: a CALL may have the
//! ID of one before it.
//!
//! Randomness comes in as an argument.

use std::fmt;
use std::num::NonZeroU64;

/// An integer from 1 to 2^53: all of them are exact in a double.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id(NonZeroU64);

impl Id {
    /// The first of session scope.
    pub const MIN: Self = Self(NonZeroU64::MIN);

    /// 2^53.
    pub const MAX: Self = Self(NonZeroU64::MIN.saturating_add((1 << 53) - 1));

    /// `None` outside of 1 to 2^53.
    pub const fn new(value: u64) -> Option<Self> {
        match NonZeroU64::new(value) {
            Some(value) if value.get() <= Self::MAX.get() => Some(Self(value)),
            _ => None,
        }
    }

    /// An ID of global scope, made of random bits; or one of router scope, made of a hash.
    ///
    /// Every ID stands for the same number of values of `bits`.
    pub const fn from_bits(bits: u64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(bits & ((1 << 53) - 1)))
    }

    /// The ID as a number.
    pub const fn get(self) -> u64 {
        self.0.get()
    }

    /// The next of session scope. 1 follows 2^53.
    #[must_use]
    pub const fn next(self) -> Self {
        match Self::new(self.get() + 1) {
            Some(next) => next,
            None => Self::MIN,
        }
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// The IDs of the requests that this end makes: session scope.
#[derive(Debug, Clone)]
pub struct RequestIds {
    next: Id,
}

impl RequestIds {
    /// Starts with 1.
    pub const fn new() -> Self {
        Self { next: Id::MIN }
    }

    /// The ID of the next request.
    pub const fn take(&mut self) -> Id {
        let id = self.next;
        self.next = id.next();
        id
    }
}

impl Default for RequestIds {
    fn default() -> Self {
        Self::new()
    }
}

/// The order of the requests that the peer makes, all types of them together: session scope.
#[derive(Debug, Clone)]
pub struct RequestOrder {
    expected: Id,
}

/// How a request fits in its order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestPlace {
    /// It is the next one.
    Next,
    /// Its ID was that of a request before. A CALL may be the continuation of that one; any other
    /// message breaks the protocol.
    Before,
}

impl RequestOrder {
    /// Expects 1.
    pub const fn new() -> Self {
        Self { expected: Id::MIN }
    }

    /// The peer made a request.
    ///
    /// *Errors.* The ID leaves others out: that breaks the protocol, whatever the message is.
    pub fn check(&mut self, got: Id) -> Result<RequestPlace, OutOfSequence> {
        let expected = self.expected;
        if got < expected {
            return Ok(RequestPlace::Before);
        }
        if got > expected {
            return Err(OutOfSequence { expected, got });
        }
        self.expected = expected.next();
        Ok(RequestPlace::Next)
    }

    /// As [`check`](Self::check), for messages that continue nothing.
    ///
    /// *Errors.* The ID is another than the next.
    pub fn check_next(&mut self, got: Id) -> Result<(), OutOfSequence> {
        match self.check(got)? {
            RequestPlace::Next => Ok(()),
            RequestPlace::Before => Err(OutOfSequence { expected: self.expected, got }),
        }
    }
}

impl Default for RequestOrder {
    fn default() -> Self {
        Self::new()
    }
}

/// A request whose ID is not the next one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the next request must have the ID {expected}, not {got}")]
pub struct OutOfSequence {
    /// The ID that is due.
    pub expected: Id,
    /// The ID that came.
    pub got: Id,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(value: u64) -> Id {
        Id::new(value).unwrap()
    }

    #[test]
    fn ids_are_exact_in_a_double() {
        assert_eq!(Id::MAX.get(), 1 << 53);
        assert_eq!((Id::new(0), Id::new((1 << 53) + 1)), (None, None));
        assert_eq!((Id::new(1), Id::new(1 << 53)), (Some(Id::MIN), Some(Id::MAX)));
    }

    #[test]
    fn any_bits_make_an_id() {
        assert_eq!(Id::from_bits(0), Id::MIN);
        assert_eq!(Id::from_bits(u64::MAX), Id::MAX);
        assert_eq!(Id::from_bits(1 << 53), Id::MIN);
    }

    #[test]
    fn requests_are_counted_from_one_and_start_again_behind_the_last() {
        let mut ids = RequestIds::new();
        assert_eq!((ids.take(), ids.take()), (id(1), id(2)));
        assert_eq!(Id::MAX.next(), Id::MIN);
    }

    #[test]
    fn a_gap_breaks_the_order_and_a_step_back_only_what_continues_nothing() {
        let mut order = RequestOrder::new();
        assert_eq!(order.check_next(id(1)), Ok(()));
        assert_eq!(order.check(id(2)), Ok(RequestPlace::Next));
        assert_eq!(order.check(id(1)), Ok(RequestPlace::Before));
        assert_eq!(order.check(id(4)), Err(OutOfSequence { expected: id(3), got: id(4) }));
        assert_eq!(order.check_next(id(2)), Err(OutOfSequence { expected: id(3), got: id(2) }));
        assert_eq!(order.check_next(id(3)), Ok(()));
    }
}
