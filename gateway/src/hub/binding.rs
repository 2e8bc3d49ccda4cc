//! [`Binding`]: how far the broker is with a topic at one of its [sources](Source).

use std::sync::Arc;
use std::time::Instant;

use protocols::broker::{Publication, restricted};
use protocols::delivery::DeliveryEncoder;
use protocols::text::Text;

/// Where messages of a topic come from: an exchange.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Source {
    /// That of topics, for everybody.
    Topics,
    /// That of what is for [some receivers only](restricted).
    Restricted,
}

/// Some of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sources {
    topics: bool,
    restricted: bool,
}

/// A topic at one source.
#[derive(Debug, Default)]
pub(super) struct Binding {
    pub(super) state: State,
    /// Asked for, or asked for again to see whether they still may.
    pub(super) is_asked: bool,
    /// Who takes from there, or is about to.
    pub(super) takers: usize,
    /// Since when nobody does.
    pub(super) idle_since: Option<Instant>,
}

/// What the broker has said last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum State {
    /// Nothing, or that it is bound no more.
    #[default]
    Unbound,
    /// That it is bound, and may be: when.
    Bound { at: Instant },
    /// It was asked to unbind it.
    Unbinding,
}

impl Source {
    pub(super) const ALL: [Self; 2] = [Self::Topics, Self::Restricted];

    /// Where a message has come from.
    pub(super) fn of(publication: &Publication) -> Self {
        if restricted::is_restricted(publication) { Self::Restricted } else { Self::Topics }
    }

    /// The exchange, if it is not that of topics.
    pub(super) fn exchange(self) -> Option<Text> {
        match self {
            Self::Topics => None,
            Self::Restricted => Some(Text::from_static(restricted::EXCHANGE)),
        }
    }
}

impl Sources {
    pub(super) const NONE: Self = Self { topics: false, restricted: false };

    /// What a subscription takes from.
    pub(super) fn of(encoder: &Arc<dyn DeliveryEncoder>) -> Self {
        Self { topics: true, restricted: encoder.takes_restricted() }
    }

    pub(super) fn has(self, source: Source) -> bool {
        match source {
            Source::Topics => self.topics,
            Source::Restricted => self.restricted,
        }
    }

    pub(super) fn set(&mut self, source: Source, is_in: bool) {
        match source {
            Source::Topics => self.topics = is_in,
            Source::Restricted => self.restricted = is_in,
        }
    }
}
