//! [`Registration`]: procedures that match a pattern, and the sessions that run them.
//!
//! *Spec.* WAMP §Registering and Unregistering, §Shared Registration, §Pattern-based Registrations;
//! §IDs (router scope).
//!
//! # The same everywhere
//! A registration is no more than the sum of its [rows](Row), one for each callee. A row comes from
//! the node of its callee, and from nowhere else. Whatever order the rows of several nodes come in,
//! they make the same registration: its callees are in the order of their [`Callee::rank`], its
//! creation is the earliest that a row tells of, and its policy is what the first callee wanted.
//!
//! What is not the same everywhere is whose turn it is in round-robin, and how much a callee has to do: see
//! `pick.rs`.

use std::fmt;
use std::num::NonZeroU32;

use sha2::{Digest, Sha256};

use super::pick::{Load, Turn};
use crate::wamp::id::Id;
use crate::wamp::message::{Features, InvokePolicy};
use crate::wamp::uri::Pattern;

/// Milliseconds since the beginning of 1970, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The first one after this.
    pub(super) const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// Names a node, for as long as its process runs. Which one it is is not known here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(pub u64);

/// Names a session, wherever it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SessionAt {
    /// The node that it is on: the only one that says what it registers.
    pub node: NodeId,
    /// Its ID, of global scope.
    pub session: Id,
}

impl fmt::Display for SessionAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "session {}", self.session)
    }
}

/// A session that runs procedures, and how it wants to be called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Callee {
    /// Which session.
    pub at: SessionAt,
    /// When it registered. Later than every callee that its node knew of then.
    pub registered: Timestamp,
    /// `REGISTER.Options.disclose_caller`.
    pub wants_caller: bool,
    /// `REGISTER.Options.forward_timeout`.
    pub keeps_timeouts: bool,
    /// `REGISTER.Options.concurrency`: calls of this registration that it takes at once. `None`:
    /// any number.
    pub concurrency: Option<NonZeroU32>,
    /// What it announced for its role.
    pub features: Features,
}

impl Callee {
    /// Its place among the callees of a registration, on every node.
    pub const fn rank(&self) -> (Timestamp, NodeId, Id) {
        (self.registered, self.at.node, self.at.session)
    }
}

/// What a node says of one of its sessions: that it is a callee, and of what.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// What is registered.
    pub pattern: Pattern,
    /// Which callee gets a call.
    pub invoke: InvokePolicy,
    /// When it was first registered, by this callee or by one that was there before it.
    pub created: Timestamp,
    /// The callee.
    pub callee: Callee,
}

/// A pattern of procedures with its callees: at least one.
///
/// *Shape.* Immutable. Two are equal without regard to whose turn it is, and what callees have to do.
#[derive(Debug, PartialEq, Eq)]
pub struct Registration {
    id: Id,
    pattern: Pattern,
    /// Of the first callee.
    invoke: InvokePolicy,
    /// The earliest of all.
    created: Timestamp,
    /// In the order of their ranks. Never empty.
    seats: Vec<Seat>,
    turn: Turn,
}

/// A [`Row`] without what all of a registration have in common, and what a callee has to do now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Seat {
    pub(super) callee: Callee,
    invoke: InvokePolicy,
    created: Timestamp,
    /// Of a callee that takes so many calls at once.
    pub(super) load: Option<Load>,
}

impl From<&Row> for Seat {
    fn from(row: &Row) -> Self {
        let load = row.callee.concurrency.map(|_| Load::default());
        Self { callee: row.callee, invoke: row.invoke, created: row.created, load }
    }
}

impl Registration {
    pub(super) fn new(id: Id, row: &Row) -> Self {
        Self {
            id,
            pattern: row.pattern.clone(),
            invoke: row.invoke,
            created: row.created,
            seats: vec![row.into()],
            turn: Turn::default(),
        }
    }

    /// With one more callee. *Order.* It is not one already. *Cost.* A copy of all callees.
    pub(super) fn with(&self, row: &Row) -> Self {
        let place = self.seats.partition_point(|other| other.callee.rank() < row.callee.rank());
        let mut seats = Vec::with_capacity(self.seats.len() + 1);
        seats.extend_from_slice(&self.seats[..place]);
        seats.push(row.into());
        seats.extend_from_slice(&self.seats[place..]);
        self.with_seats(seats)
    }

    /// Without one of its callees; `None` if that was the last. *Cost.* A copy of all callees.
    pub(super) fn without(&self, at: SessionAt) -> Option<Self> {
        let others = self.seats.iter().filter(|seat| seat.callee.at != at);
        let seats: Vec<Seat> = others.cloned().collect();
        (!seats.is_empty()).then(|| self.with_seats(seats))
    }

    fn with_seats(&self, seats: Vec<Seat>) -> Self {
        let invoke = seats.first().map_or(self.invoke, |first| first.invoke);
        let created = seats.iter().map(|seat| seat.created).min().unwrap_or(self.created);
        let (pattern, turn) = (self.pattern.clone(), self.turn.clone());
        Self { id: self.id, pattern, invoke, created, seats, turn }
    }

    /// Of router scope, and the same on all nodes.
    pub const fn id(&self) -> Id {
        self.id
    }

    /// What is registered.
    pub const fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    /// Which callee gets a call.
    pub const fn invoke(&self) -> InvokePolicy {
        self.invoke
    }

    /// When it was first registered.
    pub const fn created(&self) -> Timestamp {
        self.created
    }

    /// Those that are called, the one that registered first before the others. At least one.
    pub fn callees(&self) -> impl DoubleEndedIterator<Item = &Callee> + ExactSizeIterator {
        self.seats.iter().map(|seat| &seat.callee)
    }

    /// The callee that is this session. *Cost.* Linear in callees.
    pub fn callee(&self, at: SessionAt) -> Option<&Callee> {
        self.callees().find(|callee| callee.at == at)
    }

    /// What a callee has to do now, if it takes so many calls at once. *Cost.* Linear in callees.
    pub fn load(&self, at: SessionAt) -> Option<&Load> {
        self.seats.iter().find(|seat| seat.callee.at == at)?.load.as_ref()
    }

    pub(super) fn seats(&self) -> &[Seat] {
        &self.seats
    }

    pub(super) const fn turn(&self) -> &Turn {
        &self.turn
    }

    /// What the nodes of the callees said.
    pub fn rows(&self) -> impl Iterator<Item = Row> {
        self.seats.iter().map(|seat| self.row(seat))
    }

    /// What its node said of a callee. *Cost.* Linear in callees.
    pub(super) fn row_of(&self, at: SessionAt) -> Option<Row> {
        self.seats.iter().find(|seat| seat.callee.at == at).map(|seat| self.row(seat))
    }

    fn row(&self, seat: &Seat) -> Row {
        let Seat { callee, invoke, created, .. } = *seat;
        Row { pattern: self.pattern.clone(), invoke, created, callee }
    }
}

/// The ID of the registration of a pattern: 53 bits of the SHA-256 of `reg|realm|match|uri`.
///
/// All nodes find the same one without a word. Two patterns of a realm that have the same are not
/// to be expected by chance: among a million there are, with a probability of one in 18,000. Whoever
/// wants such a pair can find it within hours, so that they have to get on with each other; a session
/// that has one is [refused](super::RegisterError::IdTaken) the other.
pub fn registration_id(realm: &str, pattern: &Pattern) -> Id {
    let mut hash = Sha256::new();
    for part in ["reg|", realm, "|", pattern.policy.as_str(), "|", &pattern.uri] {
        hash.update(part);
    }
    let digest = hash.finalize();
    // The last bytes are the low bits.
    let bits = digest.iter().skip(digest.len() - 8);
    Id::from_bits(bits.fold(0, |bits, byte| bits << 8 | u64::from(*byte)))
}
