//! Who may log in. The broker decides about login and passcode; the gateway about where a login
//! may come from, and what stands for a missing one.

use std::net::IpAddr;
use std::sync::Arc;

use broker_adapters::{Broker, Link};
use protocols::auth::{AuthRequest, Credentials, Denial, DenialKind, Grant};
use protocols::text::Text;

/// How the sessions of a route log in.
#[derive(Debug)]
pub(crate) struct Login {
    /// Opens the link; a refused open is a refused login.
    pub(crate) broker: Arc<dyn Broker>,
    /// The virtual host of clients that name none.
    pub(crate) vhost: Text,
    /// What stands for the credentials of clients that send none.
    pub(crate) default: Option<Credentials>,
    /// Users that may come from the gateway's own host only: RabbitMQ's `loopback_users`, held
    /// here against the client's address because a broker behind the gateway cannot see it.
    pub(crate) loopback_users: Arc<[Text]>,
}

/// A client that is in.
pub(crate) struct Admitted {
    /// Who it is, and where.
    pub(crate) grant: Grant,
    /// Its view of the broker.
    pub(crate) link: Box<dyn Link>,
}

impl Login {
    /// Decides about one request from `peer`.
    ///
    /// *Errors.* Why the login is refused, in words for the client.
    pub(crate) async fn log_in(
        &self,
        request: AuthRequest,
        peer: IpAddr,
    ) -> Result<Admitted, Denial> {
        let credentials =
            request.credentials.or_else(|| self.default.clone()).ok_or_else(|| {
                denial(DenialKind::BadCredentials, "a login and a passcode are needed here")
            })?;
        let user = credentials.login.clone();
        if self.loopback_users.contains(&user) && !peer.to_canonical().is_loopback() {
            let text = format!("user '{user}' can only connect from the gateway's own host");
            return Err(denial(DenialKind::NotLoopback, text));
        }
        let vhost = request.vhost.unwrap_or_else(|| self.vhost.clone());
        let link = self.broker.open(vhost.clone(), credentials.into()).await?;
        Ok(Admitted { grant: Grant { user, vhost }, link })
    }
}

fn denial(kind: DenialKind, text: impl Into<Text>) -> Denial {
    Denial { kind, text: text.into() }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll};

    use broker_adapters::Identity;
    use futures_core::future::BoxFuture;
    use protocols::auth::Secret;
    use protocols::broker::{BrokerError, Command, Event};

    use super::*;

    /// Takes everybody whose passcode is `right`.
    #[derive(Debug)]
    struct Lenient;

    impl Broker for Lenient {
        fn open(
            &self,
            _: Text,
            identity: Identity,
        ) -> BoxFuture<'_, Result<Box<dyn Link>, Denial>> {
            let answer: Result<Box<dyn Link>, _> = match identity.credentials.passcode.expose() {
                "right" => Ok(Box::new(Mute)),
                _ => Err(denial(DenialKind::BadCredentials, "wrong")),
            };
            Box::pin(std::future::ready(answer))
        }

        fn ready(&self) -> Result<(), BrokerError> {
            Ok(())
        }

        fn close(&self) -> BoxFuture<'_, ()> {
            Box::pin(std::future::ready(()))
        }
    }

    struct Mute;

    impl Link for Mute {
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<()> {
            Poll::Pending
        }

        fn submit(&mut self, _: Command) {}

        fn poll_event(&mut self, _: &mut Context<'_>) -> Poll<Event> {
            Poll::Pending
        }
    }

    fn credentials(login: &str, passcode: &str) -> Credentials {
        Credentials { login: Text::from(login), passcode: Secret::new(passcode) }
    }

    async fn log_in(
        default: Option<Credentials>,
        sent: Option<Credentials>,
        vhost: Option<&str>,
        peer: &str,
    ) -> Result<Grant, DenialKind> {
        let login = Login {
            broker: Arc::new(Lenient),
            vhost: Text::from_static("/"),
            default,
            loopback_users: Arc::new([Text::from_static("guest")]),
        };
        let request = AuthRequest { credentials: sent, vhost: vhost.map(Text::from) };
        let answer = login.log_in(request, peer.parse().unwrap()).await;
        answer.map(|admitted| admitted.grant).map_err(|denial| denial.kind)
    }

    #[tokio::test]
    async fn a_loopback_user_is_let_in_from_this_host_only() {
        let guest = || Some(credentials("guest", "right"));
        for peer in ["127.0.0.1", "127.8.9.1", "::1", "::ffff:127.0.0.1"] {
            assert!(log_in(None, guest(), None, peer).await.is_ok(), "{peer}");
        }
        for peer in ["10.0.0.1", "::ffff:10.0.0.1", "2001:db8::1"] {
            assert_eq!(log_in(None, guest(), None, peer).await, Err(DenialKind::NotLoopback));
        }
        let ann = Some(credentials("ann", "right"));
        assert!(log_in(None, ann, None, "10.0.0.1").await.is_ok());
    }

    #[tokio::test]
    async fn a_default_login_stands_for_a_missing_one_and_is_held_to_the_same_rules() {
        let default = || Some(credentials("guest", "right"));
        let grant = log_in(default(), None, None, "127.0.0.1").await.unwrap();
        assert_eq!((grant.user.as_str(), grant.vhost.as_str()), ("guest", "/"));
        let denied = log_in(default(), None, None, "10.0.0.1").await;
        assert_eq!(denied, Err(DenialKind::NotLoopback));
        let sent = Some(credentials("guest", "wrong"));
        let denied = log_in(default(), sent, None, "127.0.0.1").await;
        assert_eq!(denied, Err(DenialKind::BadCredentials));
    }

    #[tokio::test]
    async fn without_any_login_nobody_is_let_in() {
        let denied = log_in(None, None, None, "127.0.0.1").await;
        assert_eq!(denied, Err(DenialKind::BadCredentials));
    }

    #[tokio::test]
    async fn the_clients_vhost_wins_over_the_routes() {
        let ann = Some(credentials("ann", "right"));
        let grant = log_in(None, ann, Some("other"), "127.0.0.1").await.unwrap();
        assert_eq!(grant.vhost, "other");
    }
}
