//! What becomes of frames that are longer than the peer takes.
//!
//! What the peer has said of that is a promise it may rely on, so that no such frame is sent. One of the
//! session's would leave a gap that the peer cannot know of, an answer that never comes: it ends the
//! session, which says why. One that is shared was published to others as well, and who publishes must
//! not be able to end the sessions of those who take less: it is left out, and logged.

use std::time::Instant;

use protocols::session::OutFrame;
use protocols::violation::Violation;
use tracing::warn;

use super::{Driver, KEPT_ROOM};
use crate::transport::Transport;

impl<T: Transport> Driver<T> {
    /// Queues what the session has said.
    pub(super) fn queue_frames(&mut self, now: Instant) {
        let limit = self.transport.most_output();
        if let Some(got) = self.queue_up_to(limit) {
            let violation = Violation::PeerTakesLess { limit, got };
            self.session.handle_violation(now, violation, &mut self.actions);
            // What it says to that is said, or has no room either.
            self.queue_up_to(limit);
        }
        self.actions.frames.shrink_to(KEPT_ROOM);
    }

    /// Queues frames up to the first that is too long; it and those behind it are dropped. Its size.
    fn queue_up_to(&mut self, limit: usize) -> Option<usize> {
        for frame in self.actions.frames.drain(..) {
            if frame.bytes.len() > limit {
                return Some(frame.bytes.len());
            }
            self.settling.add(frame.settles);
            self.transport.queue(frame);
        }
        None
    }

    /// Queues a frame that others get as well. `false`: it is left out.
    pub(super) fn queue_shared(&mut self, frame: OutFrame) -> bool {
        let (limit, got) = (self.transport.most_output(), frame.bytes.len());
        let fits = got <= limit;
        if fits {
            self.transport.queue(frame);
        } else {
            self.left_out += 1;
            // Often enough to be seen, and never a flood.
            if self.left_out.is_power_of_two() {
                let left_out = self.left_out;
                warn!(
                    kind = "left_out",
                    left_out, got, limit, "left out what a client does not take"
                );
            }
        }
        fits
    }
}
