//! Tickets: the client sends a secret as it is.
//!
//! *Spec.* WAMP §Ticket-based Authentication. `CHALLENGE.Extra` is empty, and the `Signature` of
//! AUTHENTICATE is the ticket.

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::auth::Secret;

/// Whether what came is what was expected.
///
/// *Cost.* The same wherever they differ, and whatever the length of the expected one: compared are
/// hashes.
pub(in crate::wamp) fn is_same(expected: &Secret, came: &str) -> bool {
    let hash = |text: &str| Sha256::digest(text.as_bytes());
    hash(expected.expose()).as_slice().ct_eq(hash(came).as_slice()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_ticket_itself_is_the_ticket() {
        let ticket = Secret::new("secret!!!");
        assert!(is_same(&ticket, "secret!!!"));
        for wrong in ["", "secret!!", "secret!!!!", "Secret!!!"] {
            assert!(!is_same(&ticket, wrong), "{wrong}");
        }
    }
}
