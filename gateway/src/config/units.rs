//! Units in configuration: a [`Millis`] is written `"10s"`, a [`ByteSize`] `"4MiB"`.

use std::time::Duration;

/// A span of time, written as a number with a unit (`ms`, `s`, `m`, `h`), at least 1 ms or zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Millis(pub Duration);

/// A number of bytes, written as a number, or a number with `KiB`, `MiB` or `GiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ByteSize(pub usize);
