//! Challenge and response: the client signs a text with a secret that it shares with the realm.
//!
//! *Spec.* WAMP §Challenge Response Authentication. The signature is HMAC-SHA256 (RFC 2104) over the
//! text of the challenge, in base64 (RFC 4648 §4). If the client is to make the secret of a password
//! first, `CHALLENGE.Extra` says how: by PBKDF2 (RFC 8018 §5.2) with HMAC-SHA256, whose outcome in
//! base64 is then the secret.
//!
//! What the challenge says of the time is for others that sign it on the client's behalf. Here its age
//! is bounded by the login deadline, and that it is used once by its nonce: it is never read back.

use std::time::Duration;

use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::Method;
use crate::auth::Secret;
use crate::text::Text;
use crate::wamp::message::ChallengeExtra;
use crate::wamp::realm::Principal;
use crate::wamp::serializer::{Serializer, Writer};
use crate::wamp::timestamp::iso_8601;

/// What a user shares with a realm.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cra {
    /// What challenges are signed with. With `salting` it is not the password but what is
    /// [derived](Self::of_password) from it, so that the password need not be kept.
    pub secret: Secret,
    /// How the client makes the secret of its password; `None` if the password is the secret.
    pub salting: Option<Salting>,
}

/// How a secret is made of a password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Salting {
    /// The salt: a text, whose bytes are used.
    pub salt: Text,
    /// Rounds of PBKDF2.
    pub iterations: u32,
    /// Bytes of the outcome, before base64.
    pub keylen: u16,
}

impl Cra {
    /// The secret of a password that is known.
    ///
    /// *Cost.* As many rounds as `salting` says: not for a session to call.
    pub fn of_password(password: &Secret, salting: Option<Salting>) -> Self {
        let secret = salting.as_ref().map_or_else(
            || password.clone(),
            |Salting { salt, iterations, keylen }| {
                let mut key = vec![0; usize::from(*keylen)];
                let (password, salt) = (password.expose().as_bytes(), salt.as_bytes());
                pbkdf2::pbkdf2_hmac::<Sha256>(password, salt, *iterations, &mut key);
                Secret::new(&BASE64.encode(&key))
            },
        );
        Self { secret, salting }
    }

    /// The same with another secret, and a salt as long, made of these bytes.
    pub(in crate::wamp) fn decoy(&self, secret: Secret, made_up: &[u8; 32]) -> Self {
        let salting = self.salting.as_ref().map(|salting| {
            let letters = BASE64URL_NOPAD.encode(made_up);
            let salt: String = letters.chars().cycle().take(salting.salt.len()).collect();
            Salting { salt: Text::from(salt), ..salting.clone() }
        });
        Self { secret, salting }
    }

    /// The signature of a challenge.
    pub fn sign(&self, challenge: &str) -> Secret {
        Secret::new(&BASE64.encode(&hmac(&self.secret, &[challenge.as_bytes()])))
    }

    /// `CHALLENGE.Extra`.
    pub(in crate::wamp) fn extra(&self, challenge: Text) -> ChallengeExtra {
        let salting = self.salting.as_ref();
        ChallengeExtra {
            challenge: Some(challenge),
            salt: salting.map(|it| it.salt.clone()),
            keylen: salting.map(|it| it.keylen.into()),
            iterations: salting.map(|it| it.iterations.into()),
        }
    }
}

/// The text that a client is to sign: who it will be, and what is there once.
pub(in crate::wamp) fn challenge(
    principal: &Principal,
    nonce: &[u8; 16],
    since_1970: Duration,
) -> Text {
    let nonce = HEXLOWER.encode(nonce);
    let timestamp = iso_8601(since_1970);
    let mut writer = Writer::new(Serializer::Json, 256);
    writer.dict(7);
    for (key, value) in [
        ("authid", principal.authid.as_str()),
        ("authrole", principal.authrole.as_str()),
        ("authmethod", Method::Wampcra.as_str()),
        ("authprovider", principal.authprovider),
        ("nonce", nonce.as_str()),
        ("timestamp", timestamp.as_str()),
    ] {
        writer.key(key);
        writer.text(value);
    }
    writer.key("session");
    writer.unsigned(principal.session.get());
    writer.end_dict();
    Text::from_utf8(writer.finish()).expect("JSON is written as UTF-8")
}

/// HMAC-SHA256 over all of the parts.
pub(in crate::wamp) fn hmac(key: &Secret, parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key.expose().as_bytes())
        .expect("HMAC takes keys of any length");
    for part in parts {
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wamp::id::Id;

    #[test]
    fn hmac_is_that_of_rfc_4231() {
        let mac = hmac(&Secret::new("Jefe"), &[b"what do ya want ", b"for nothing?"]);
        let expected = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(HEXLOWER.encode(&mac), expected);
    }

    #[test]
    fn a_secret_is_derived_as_rfc_7914_has_it_and_written_in_base64() {
        let salting = Salting { salt: Text::from_static("salt"), iterations: 1, keylen: 64 };
        let cra = Cra::of_password(&Secret::new("passwd"), Some(salting));
        let expected = "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc\
                        49ca9cccf179b645991664b39d77ef317c71b845b1e30bd509112041d3a19783";
        let expected = HEXLOWER.decode(expected.as_bytes()).unwrap();
        assert_eq!(cra.secret.expose(), BASE64.encode(&expected));
        let plain = Cra::of_password(&Secret::new("passwd"), None);
        assert_eq!(plain.secret, Secret::new("passwd"));
    }

    /// The specification gives a signature, but not the secret; these are of Autobahn's tests.
    #[test]
    fn a_secret_and_a_signature_are_those_of_other_implementations() {
        let password = Secret::new("L3L1YUE8Txlw");
        let plain = Cra::of_password(&password, None);
        let signature = "1njQtmmeYO41N5EWEzD2kAjjEKRZ5kPZt/TzpYXOzR0=";
        assert_eq!(plain.sign("[1, 2, 3]"), Secret::new(signature));
        let salting = Salting { salt: Text::from_static("salt123"), iterations: 1000, keylen: 32 };
        let salted = Cra::of_password(&password, Some(salting));
        let secret = "qzcdsr9uu/L5hnss3kjNTRe490ETgA70ZBaB5rvnJ5Y=";
        assert_eq!(salted.secret, Secret::new(secret));
    }

    #[test]
    fn a_challenge_is_an_object_of_all_that_it_must_name() {
        let principal = Principal {
            session: Id::new(3_251_278_072_152_162).unwrap(),
            authid: Text::from_static("pe\"ter"),
            authrole: Text::from_static("user"),
            authmethod: "wampcra",
            authprovider: "static",
        };
        let text = challenge(&principal, &[0xab; 16], Duration::from_millis(1_403_454_985_448));
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        let expected = serde_json::json!({
            "authid": "pe\"ter", "authrole": "user", "authmethod": "wampcra",
            "authprovider": "static", "nonce": "ab".repeat(16),
            "timestamp": "2014-06-22T16:36:25.448Z", "session": 3_251_278_072_152_162_u64,
        });
        assert_eq!(value, expected);
    }
}
