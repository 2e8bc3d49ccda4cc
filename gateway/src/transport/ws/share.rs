//! What a message keeps of tungstenite's read buffer.
//!
//! A whole message is a slice of that buffer, and a slice keeps all of it alive. A buffer that
//! nobody else has a share of is used again, and grown where it is too small: so it would become as
//! large as the largest message, for ever. One that somebody has a share of is left to them
//! (`BytesMut::reserve` in `bytes`), and the next one is as large as what is read next.
//!
//! Hence [`Share`]: it is the share that makes tungstenite leave a buffer when that is used up, and
//! it is given up as soon as tungstenite has done so.

use bytes::Bytes;

/// Messages up to this size are copied out of the buffer. A larger one is handed on in place, and
/// has the rest of its buffer to itself: there is none, see [`Intake`](super::intake::Intake).
pub(super) const SMALL_SIZE: usize = 16 << 10;

/// A share of the buffer that the last message was cut from.
#[derive(Debug, Default)]
pub(super) struct Share(Bytes);

impl Share {
    /// Takes a message out of the buffer.
    pub(super) fn detach(&mut self, message: Bytes) -> Bytes {
        if message.len() > SMALL_SIZE {
            self.0 = message.clone();
            return message;
        }
        let own = Bytes::copy_from_slice(&message);
        self.0 = message;
        own
    }

    /// To be called when tungstenite has begun to read again: it has left the buffer of a large
    /// message then. That of a small one is small, and may still be in use.
    pub(super) fn give_up_large(&mut self) {
        if self.0.len() > SMALL_SIZE {
            self.0 = Bytes::new();
        }
    }
}
