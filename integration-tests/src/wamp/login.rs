//! How a client proves who it is (WAMP §Authentication Methods).

use data_encoding::BASE64;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

/// Who a client says it is, and how it proves that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login<'a> {
    /// Nobody.
    Anonymous,
    /// A user with a ticket.
    Ticket {
        /// The user.
        authid: &'a str,
        /// The ticket.
        ticket: &'a str,
    },
    /// A user that shares a secret with the realm.
    Wampcra {
        /// The user.
        authid: &'a str,
        /// The secret, or the password of which it is made.
        secret: &'a str,
    },
}

impl Login<'_> {
    /// `HELLO.Details`, with all roles of a client.
    pub fn hello_details(&self) -> Value {
        let calls = json!({
            "features": {
                "progressive_call_results": true,
                "call_canceling": true,
                "registration_revocation": true,
            },
        });
        let subscriber = json!({ "features": { "subscription_revocation": true } });
        let mut details = json!({
            "roles": {
                "publisher": {}, "subscriber": subscriber, "caller": calls, "callee": calls,
            },
        });
        let (method, authid) = match self {
            Self::Anonymous => ("anonymous", None),
            Self::Ticket { authid, .. } => ("ticket", Some(authid)),
            Self::Wampcra { authid, .. } => ("wampcra", Some(authid)),
        };
        details["authmethods"] = json!([method]);
        if let Some(authid) = authid {
            details["authid"] = json!(authid);
        }
        details
    }

    /// The answer to a CHALLENGE with this method and `Extra`; panics if it is another's.
    pub fn signature(&self, method: &str, extra: &Value) -> String {
        match (self, method) {
            (Self::Ticket { ticket, .. }, "ticket") => (*ticket).to_owned(),
            (Self::Wampcra { secret, .. }, "wampcra") => cra_signature(secret, extra),
            _ => panic!("{self:?} is challenged by {method}: {extra}"),
        }
    }
}

/// WAMP §Challenge Response Authentication: `keylen` and `iterations` have defaults.
fn cra_signature(secret: &str, extra: &Value) -> String {
    let text = |name: &str| extra[name].as_str();
    let number = |name: &str, default| extra[name].as_u64().unwrap_or(default);
    let key = text("salt").map_or_else(
        || secret.to_owned(),
        |salt| {
            let length = usize::try_from(number("keylen", 32)).expect("a key fits into memory");
            let rounds = u32::try_from(number("iterations", 1000)).expect("rounds are bounded");
            let mut key = vec![0; length];
            pbkdf2::pbkdf2_hmac::<Sha256>(secret.as_bytes(), salt.as_bytes(), rounds, &mut key);
            BASE64.encode(&key)
        },
    );
    let challenge = text("challenge").unwrap_or_else(|| panic!("no challenge in {extra}"));
    let mut mac = Hmac::<Sha256>::new_from_slice(key.as_bytes()).expect("keys have any length");
    mac.update(challenge.as_bytes());
    BASE64.encode(&mac.finalize().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of the tests of Autobahn for Python (`test_wamp_cra.py`).
    #[test]
    fn signatures_are_those_of_another_client() {
        let extra = json!({ "challenge": "[1, 2, 3]" });
        let signature = "1njQtmmeYO41N5EWEzD2kAjjEKRZ5kPZt/TzpYXOzR0=";
        assert_eq!(cra_signature("L3L1YUE8Txlw", &extra), signature);
        // "salt123", 1000 rounds and 32 bytes make this key of it.
        let salted = json!({ "challenge": "[1, 2, 3]", "salt": "salt123" });
        let key = "qzcdsr9uu/L5hnss3kjNTRe490ETgA70ZBaB5rvnJ5Y=";
        assert_eq!(cra_signature("L3L1YUE8Txlw", &salted), cra_signature(key, &extra));
    }
}
