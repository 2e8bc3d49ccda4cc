//! The last way of a connection: what is still handed over and written, and how it has ended.

use std::task::{Context, Poll};
use std::time::Instant;

use protocols::broker::Event;
use protocols::session::{Close, CloseCause};
use protocols::violation::shown;
use tracing::{info, warn};

use super::Driver;
use crate::transport::Transport;

/// How a connection ended.
#[derive(Debug)]
pub(super) enum End {
    /// The session closed it, for the reason given, and the peer was told.
    Closed(Close),
    /// The peer went away without a goodbye of its protocol.
    PeerGone,
    /// The socket failed.
    Broken(std::io::Error),
    /// The peer took no byte of waiting output for `write_timeout`.
    WriteTimeout { buffered: usize },
    /// Another session of the realm has the same random ID.
    NameTaken,
    /// The peer said goodbye, but its last messages were not taken in time, or the broker was lost.
    NotTaken { why: &'static str },
}

impl End {
    pub(super) fn log(self) {
        match self {
            Self::Closed(Close { cause: CloseCause::Violation(violation), .. }) => {
                warn!(kind = violation.report().label, "closed the connection: {violation}");
            }
            Self::Closed(Close { cause: CloseCause::LoginRefused, reason, .. }) => {
                warn!(kind = "login_refused", "closed the connection: {reason}");
            }
            Self::Closed(Close { cause: CloseCause::Broker, reason, .. }) => {
                warn!(kind = "broker", "closed the connection: {reason}");
            }
            Self::Closed(Close { cause: CloseCause::Drain, .. }) => {
                info!(kind = "drain", "closed the connection");
            }
            Self::Closed(Close { cause: CloseCause::Peer, .. }) => {
                info!(kind = "peer", "the client disconnected");
            }
            Self::Closed(Close { cause: CloseCause::Killed, reason, .. }) => {
                let reason = shown(&reason);
                info!(kind = "killed", "another session has ended this one: {reason:?}");
            }
            Self::PeerGone => info!(kind = "gone", "the client went away"),
            Self::Broken(error) => info!(kind = "broken", "the connection broke: {error}"),
            Self::WriteTimeout { buffered } => {
                warn!(kind = "write_timeout", buffered, "cut a client that takes no output");
            }
            Self::NameTaken => warn!(kind = "id", "cut a client: another session has its ID"),
            Self::NotTaken { why } => {
                warn!(kind = why, "cut a client whose last messages the broker has not taken");
            }
        }
    }
}

/// A connection on its last way.
pub(super) struct Closing {
    /// How it will have ended. [`End::Closed`] wants a goodbye; at any other nothing more is said.
    pub(super) end: End,
    /// When it is cut, said or not.
    pub(super) deadline: Instant,
    /// The link was let go: what was outstanding is back in its queue.
    pub(super) released: bool,
}

impl<T: Transport> Driver<T> {
    /// Begins the end; what was asked for before is still carried out.
    pub(super) fn start_close(&mut self, now: Instant, end: End) {
        let deadline = now + self.tuning.close_timeout;
        self.closing.get_or_insert(Closing { end, deadline, released: false });
    }

    /// Whether the peer has said goodbye and the broker has not yet taken all it sent before. The
    /// answer, by which the peer knows that nothing was lost, is not written until then.
    pub(super) fn withholds_goodbye(&mut self, cx: &mut Context<'_>) -> bool {
        let is_goodbye = |closing: &Closing| {
            matches!(&closing.end, End::Closed(Close { cause: CloseCause::Peer, .. }))
        };
        if !self.closing.as_ref().is_some_and(is_goodbye) {
            return false;
        }
        let Some(link) = &mut self.link else {
            return false;
        };
        let is_taken = self.held.is_empty() && link.poll_taken(cx).is_ready();
        // Nothing else is heeded any more. There are no more events than the prefetches allow.
        while let Poll::Ready(event) = link.poll_event(cx) {
            if matches!(event, Event::Down { .. })
                && !is_taken
                && let Some(closing) = &mut self.closing
            {
                self.held.clear();
                closing.end = End::NotTaken { why: "broker" };
                return false;
            }
        }
        !is_taken
    }

    /// Whether nothing more may be said to the peer.
    pub(super) fn ends_silently(&self) -> bool {
        self.closing.as_ref().is_some_and(|closing| !matches!(closing.end, End::Closed(_)))
    }

    /// Hands over what is held, writes what is buffered, lets go of the link, says goodbye.
    pub(super) fn drive_close(&mut self, now: Instant, cx: &mut Context<'_>) -> Result<(), End> {
        self.release_held(now, cx);
        if let Some(link) = &mut self.link {
            link.attend(cx);
        }
        let withholds_goodbye = self.withholds_goodbye(cx);
        self.untaken_since = withholds_goodbye.then(|| self.untaken_since.unwrap_or(now));
        let Some(mut closing) = self.closing.take() else {
            return Ok(());
        };
        if withholds_goodbye {
            // The time for saying it begins when it may be said; until then `publish_timeout` runs.
            closing.deadline = now + self.tuning.close_timeout;
        }
        let goodbye = if let End::Closed(close) = &closing.end { Some(close) } else { None };
        let unwritten = goodbye.is_some() && self.transport.buffered() > 0;
        let unfinished = !closing.released && (!self.held.is_empty() || unwritten);
        let expired = closing.deadline <= now;
        if !unfinished || expired {
            self.login = None;
            self.link = None;
            self.share = None;
            self.held.clear();
            closing.released = true;
            let said = goodbye.is_none_or(|close| self.transport.poll_close(cx, close).is_ready());
            if said || expired {
                return Err(closing.end);
            }
        }
        self.closing = Some(closing);
        self.arm(cx);
        Ok(())
    }
}
