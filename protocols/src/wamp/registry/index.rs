//! [`Index`]: the registrations by what they match, and the one that a call is for.
//!
//! *Spec.* WAMP §Pattern-based Registrations: the one whose URI is the procedure; else the one with
//! the longest prefix; else the wildcard with the most components before its first empty one; among
//! those alike, with the most between that and the next one; and so on. There is at most one.
//!
//! # How it is found
//! Exact URIs are in a tree under a hash and the URI itself. The hash spreads them, so that each is a
//! few nodes away, however alike they are. It needs no seed: those that collide are told apart by the
//! URI, at the cost of its bytes.
//!
//! Prefixes are in a tree under their URI. The walk to the procedure passes all of its prefixes, the
//! longest last.
//!
//! Wildcards are in another tree, those with as many components together. Where two that match one
//! procedure differ first, one names the component and the other leaves it empty; the one that
//! names it is the better one. So the best is found first, if the named component is tried before
//! the empty one each time.
//!
//! # Cost
//! Exact and prefix: a walk each, the bytes of the procedure. Wildcards: at most one such walk for
//! each [shape](MOST_SHAPES) that those with as many components have: nothing is walked twice, and
//! every way leads on to a wildcard, or to the component that rules it out.

use std::hash::{DefaultHasher, Hasher};
use std::sync::Arc;

use memchr::{memchr, memchr_iter};
use smallvec::{SmallVec, smallvec};

use super::registration::Registration;
use super::tree::{Cursor, Tree};
use crate::wamp::message::MatchPolicy;
use crate::wamp::uri::Pattern;

/// Shapes that wildcards of one number of components may have in a realm: a shape is which of the
/// components are empty.
///
/// Each may have to be tried for a call; without a bound, clients that mean harm could make each
/// call as dear as they have patterns. A node counts those that it knows of, so that there can be
/// some more where nodes register at once.
pub const MOST_SHAPES: usize = 64;

/// Registrations under their patterns.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Index {
    /// By [`hash`] and URI.
    exact: Tree<Arc<Registration>>,
    /// By URI.
    prefixes: Tree<Arc<Registration>>,
    /// By [`components`] and URI.
    wildcards: Tree<Arc<Registration>>,
    /// How many wildcards there are of a shape, by [`shape_key`].
    shapes: Tree<usize>,
}

impl Index {
    /// The one that calls of a procedure go to.
    pub(super) fn best(&self, procedure: &str) -> Option<&Arc<Registration>> {
        let uri = procedure.as_bytes();
        let exact = || self.exact.start().walk(&hash(uri))?.walk(uri)?.value();
        let prefix = || Some(self.prefixes.along(uri).last()?.1);
        exact().or_else(prefix).or_else(|| self.best_wildcard(uri))
    }

    fn best_wildcard(&self, procedure: &[u8]) -> Option<&Arc<Registration>> {
        let start = self.wildcards.start().walk(&components(procedure))?;
        // Components from which to go on, the best on top.
        let mut open: SmallVec<[(Cursor<'_, _>, &[u8]); 16]> = smallvec![(start, procedure)];
        while let Some((place, rest)) = open.pop() {
            match memchr(b'.', rest) {
                // An empty component is none.
                Some(0) => return None,
                Some(dot) => {
                    let next = &rest[dot + 1..];
                    open.extend(place.walk(b".").map(|place| (place, next)));
                    open.extend(place.walk(&rest[..=dot]).map(|place| (place, next)));
                }
                None if rest.is_empty() => return None,
                None => {
                    let named = place.walk(rest).and_then(Cursor::value);
                    if let Some(found) = named.or_else(|| place.value()) {
                        return Some(found);
                    }
                }
            }
        }
        None
    }

    /// The one with this very pattern.
    pub(super) fn get(&self, pattern: &Pattern) -> Option<&Arc<Registration>> {
        self.tree(pattern.policy).get(&key(pattern))
    }

    /// Puts a registration in, in the place of the one with its pattern.
    pub(super) fn insert(&mut self, registration: Arc<Registration>) {
        let pattern = registration.pattern().clone();
        let is_new = self.tree_mut(pattern.policy).insert(&key(&pattern), registration).is_none();
        if is_new && pattern.policy == MatchPolicy::Wildcard {
            *self.shapes.entry(&shape_key(&pattern), || 0) += 1;
        }
    }

    /// Takes the registration with this pattern out, if there is one.
    pub(super) fn remove(&mut self, pattern: &Pattern) {
        let removed = self.tree_mut(pattern.policy).remove(&key(pattern));
        if removed.is_some() && pattern.policy == MatchPolicy::Wildcard {
            let shape = shape_key(pattern);
            let count = self.shapes.entry(&shape, || 0);
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.shapes.remove(&shape);
            }
        }
    }

    /// Whether a wildcard has a shape that there is room for.
    pub(super) fn has_room(&self, wildcard: &Pattern) -> bool {
        let count = components(wildcard.uri.as_bytes());
        self.shapes.get(&shape_key(wildcard)).is_some()
            || self.shapes.under(&count).take(MOST_SHAPES).count() < MOST_SHAPES
    }

    /// All of one policy, in no particular order.
    pub(super) fn all(&self, policy: MatchPolicy) -> impl Iterator<Item = &Arc<Registration>> {
        self.tree(policy).values()
    }

    const fn tree(&self, policy: MatchPolicy) -> &Tree<Arc<Registration>> {
        match policy {
            MatchPolicy::Exact => &self.exact,
            MatchPolicy::Prefix => &self.prefixes,
            MatchPolicy::Wildcard => &self.wildcards,
        }
    }

    const fn tree_mut(&mut self, policy: MatchPolicy) -> &mut Tree<Arc<Registration>> {
        match policy {
            MatchPolicy::Exact => &mut self.exact,
            MatchPolicy::Prefix => &mut self.prefixes,
            MatchPolicy::Wildcard => &mut self.wildcards,
        }
    }
}

/// The key of a pattern in the tree of its policy.
fn key(pattern: &Pattern) -> Vec<u8> {
    let uri = pattern.uri.as_bytes();
    match pattern.policy {
        MatchPolicy::Exact => [&hash(uri), uri].concat(),
        MatchPolicy::Prefix => uri.to_vec(),
        MatchPolicy::Wildcard => [&components(uri), uri].concat(),
    }
}

/// What spreads exact URIs. The same for all registries of a process.
fn hash(uri: &[u8]) -> [u8; 8] {
    let mut hasher = DefaultHasher::new();
    hasher.write(uri);
    hasher.finish().to_be_bytes()
}

/// What begins the keys of all wildcards that may match a URI.
fn components(uri: &[u8]) -> [u8; 4] {
    let dots = memchr_iter(b'.', uri).count();
    u32::try_from(dots).unwrap_or(u32::MAX).to_be_bytes()
}

/// A byte for each component.
fn shape_key(pattern: &Pattern) -> Vec<u8> {
    let mut key = components(pattern.uri.as_bytes()).to_vec();
    key.extend(pattern.uri.split('.').map(|component| u8::from(component.is_empty())));
    key
}
