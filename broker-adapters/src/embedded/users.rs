//! [`Users`]: who may log in, with what, and where.

use std::collections::BTreeMap;
use std::iter;

use protocols::auth::{Credentials, Denial, DenialKind, Secret};
use protocols::text::Text;
use subtle::{Choice, ConstantTimeEq};

/// A user of the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// What it logs in with.
    pub login: Text,
    /// What it proves that with.
    pub passcode: Secret,
    /// The virtual hosts it may use; `None` is all.
    pub vhosts: Option<Vec<Text>>,
}

#[derive(Debug)]
pub(super) struct Users(BTreeMap<Text, User>);

impl Users {
    pub(super) fn new(users: Vec<User>) -> Self {
        Self(users.into_iter().map(|user| (user.login.clone(), user)).collect())
    }

    /// The user with these credentials.
    ///
    /// *Errors.* The same for a login that is not known and a passcode that is wrong, and after the
    /// same work: how long it takes depends on the passcode that was presented alone.
    pub(super) fn check(&self, credentials: &Credentials) -> Result<&User, Denial> {
        let Credentials { login, passcode } = credentials;
        let user = self.0.get(login);
        let stored = user.map_or("", |user| user.passcode.expose());
        let is_right = bool::from(is_equal(passcode.expose(), stored));
        user.filter(|_| is_right).ok_or_else(|| Denial {
            kind: DenialKind::BadCredentials,
            text: Text::from(format!("Access refused for user '{login}'")),
        })
    }
}

impl User {
    pub(super) fn may_use(&self, vhost: &Text) -> bool {
        self.vhosts.as_ref().is_none_or(|vhosts| vhosts.contains(vhost))
    }
}

/// Compares every byte presented, whatever is stored.
fn is_equal(presented: &str, stored: &str) -> Choice {
    let padded = stored.bytes().chain(iter::repeat(0));
    let same_length = presented.len().ct_eq(&stored.len());
    presented.bytes().zip(padded).fold(same_length, |same, (a, b)| same & a.ct_eq(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_needs_its_own_passcode_whole() {
        let users = Users::new(vec![
            User { login: "ann".into(), passcode: Secret::new("hunter2"), vhosts: None },
            User { login: "eve".into(), passcode: Secret::new(""), vhosts: None },
        ]);
        let check = |login: &str, passcode: &str| {
            users.check(&Credentials { login: login.into(), passcode: Secret::new(passcode) })
        };
        assert_eq!(check("ann", "hunter2").unwrap().login, "ann");
        for wrong in ["", "hunter", "hunter3", "hunter2\0", "hunter22"] {
            let denial = check("ann", wrong).unwrap_err();
            assert_eq!(denial.kind, DenialKind::BadCredentials);
            assert_eq!(denial.text, "Access refused for user 'ann'");
        }
        assert_eq!(check("bob", "").unwrap_err().text, "Access refused for user 'bob'");
        assert!(check("eve", "").is_ok());
    }
}
