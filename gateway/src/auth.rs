//! Who may log in. The broker decides about login and passcode; the gateway about where a login
//! may come from, what stands for a missing one, and whose rights a session works with: its
//! client's own, or those of a service login. In a realm of WAMP it is always the realm's login, and who
//! gets in there the session has decided before it asks here.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use broker_adapters::{Broker, Identity, Link};
use protocols::auth::{AuthRequest, Credentials, Denial, DenialKind, Grant};
use protocols::text::Text;
use tracing::{error, warn};

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
    /// What the sessions work under at the broker; `None` for each client's own login.
    pub(crate) service: Option<Service>,
}

/// How the sessions of a route log in, in a realm or in none.
#[derive(Debug)]
pub(crate) struct Logins {
    /// Those of protocols without realms.
    pub(crate) plain: Login,
    /// By the realm's name.
    pub(crate) realms: BTreeMap<Text, RealmLogin>,
}

impl Logins {
    /// Decides about one request from `peer`.
    ///
    /// *Errors.* Why the login is refused, in words for the client.
    pub(crate) async fn log_in(
        &self,
        request: AuthRequest,
        peer: IpAddr,
    ) -> Result<Admitted, Denial> {
        let Some(name) = &request.realm else {
            return self.plain.log_in(request, peer).await;
        };
        match self.realms.get(name) {
            Some(realm) => realm.log_in(request.credentials, peer).await,
            None => Err(denial(DenialKind::VhostRefused, format!("there is no realm '{name}'"))),
        }
    }
}

/// How the sessions of a realm log in.
#[derive(Debug)]
pub(crate) struct RealmLogin {
    /// Where it is, and what goes for clients that bring a login of the broker. It has no service.
    pub(crate) door: Login,
    /// What the sessions work under.
    pub(crate) credentials: Credentials,
}

impl RealmLogin {
    /// The user is that of the realm, whoever the client is: the session knows that.
    async fn log_in(
        &self,
        credentials: Option<Credentials>,
        peer: IpAddr,
    ) -> Result<Admitted, Denial> {
        let Self { door, credentials: own } = self;
        let vhost = &door.vhost;
        if credentials.is_some() {
            // The link has shown that the broker lets this client in: it is not needed any more.
            door.open_as_client(credentials, peer, vhost.clone()).await?;
        }
        let (identity, link) = door.open_as_service(own, vhost.clone()).await?;
        let grant = Grant { user: own.login.clone(), vhost: vhost.clone() };
        Ok(Admitted { grant, link, identity })
    }
}

/// A login of the gateway's own.
#[derive(Debug)]
pub(crate) struct Service {
    /// What the broker is to let in.
    pub(crate) credentials: Credentials,
    /// Whether the broker must let a client's own login in first. If not, whoever comes is in.
    pub(crate) verifies: bool,
}

/// A client that is in.
pub(crate) struct Admitted {
    /// Who it is, and where.
    pub(crate) grant: Grant,
    /// Its view of the broker.
    pub(crate) link: Box<dyn Link>,
    /// Whom that works for.
    pub(crate) identity: Identity,
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
        let AuthRequest { credentials, vhost, .. } = request;
        let vhost = vhost.unwrap_or_else(|| self.vhost.clone());
        let Some(service) = &self.service else {
            let (identity, link) = self.open_as_client(credentials, peer, vhost.clone()).await?;
            let user = identity.credentials.login.clone();
            return Ok(Admitted { grant: Grant { user, vhost }, link, identity });
        };
        let user = if service.verifies {
            // The link has shown that the broker lets this client in: it is not needed any more.
            self.open_as_client(credentials, peer, vhost.clone()).await?.0.credentials.login
        } else {
            service.credentials.login.clone()
        };
        let (identity, link) = self.open_as_service(&service.credentials, vhost.clone()).await?;
        Ok(Admitted { grant: Grant { user, vhost }, link, identity })
    }

    /// A link as the client itself, and who that is.
    async fn open_as_client(
        &self,
        credentials: Option<Credentials>,
        peer: IpAddr,
        vhost: Text,
    ) -> Result<(Identity, Box<dyn Link>), Denial> {
        let credentials = credentials.or_else(|| self.default.clone()).ok_or_else(|| {
            denial(DenialKind::BadCredentials, "a login and a passcode are needed here")
        })?;
        let user = &credentials.login;
        if self.loopback_users.contains(user) && !peer.to_canonical().is_loopback() {
            let text = format!("user '{user}' can only connect from the gateway's own host");
            return Err(denial(DenialKind::NotLoopback, text));
        }
        let identity = Identity::from(credentials);
        let link = self.broker.open(vhost, identity.clone()).await?;
        Ok((identity, link))
    }

    /// A link under the service login. What is wrong with that is no fault of the client's, which may
    /// come back once it is mended, and not for it to read.
    async fn open_as_service(
        &self,
        credentials: &Credentials,
        vhost: Text,
    ) -> Result<(Identity, Box<dyn Link>), Denial> {
        let identity = Identity { credentials: credentials.clone(), is_service: true };
        let opened = self.broker.open(vhost, identity.clone()).await;
        opened.map(|link| (identity, link)).map_err(|refused| match refused.kind {
            DenialKind::BadCredentials | DenialKind::NotLoopback => {
                let login = &credentials.login;
                error!(%login, "the broker refuses the service login: {}", refused.text);
                denial(DenialKind::Unavailable, "the broker refuses the gateway's own login")
            }
            DenialKind::Unavailable => {
                warn!("no connection under the service login: {}", refused.text);
                denial(DenialKind::Unavailable, "the broker cannot be used now")
            }
            DenialKind::VhostRefused => refused,
        })
    }
}

fn denial(kind: DenialKind, text: impl Into<Text>) -> Denial {
    Denial { kind, text: text.into() }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::task::{Context, Poll};

    use futures_core::future::BoxFuture;
    use protocols::auth::Secret;
    use protocols::broker::{BrokerError, Command, Event};

    use super::*;

    /// Takes everybody whose passcode is `right`, but for the virtual host `closed`.
    #[derive(Debug, Default)]
    struct Lenient {
        /// Who came, and whether as a service.
        opened: Mutex<Vec<(String, bool)>>,
    }

    impl Broker for Lenient {
        fn open(
            &self,
            vhost: Text,
            identity: Identity,
        ) -> BoxFuture<'_, Result<Box<dyn Link>, Denial>> {
            let Identity { credentials, is_service } = identity;
            let answer: Result<Box<dyn Link>, _> = match credentials.passcode.expose() {
                "right" if vhost == "closed" => Err(denial(DenialKind::VhostRefused, "closed")),
                "right" => Ok(Box::new(Mute)),
                _ => Err(denial(DenialKind::BadCredentials, "wrong")),
            };
            self.opened.lock().unwrap().push((credentials.login.as_str().to_owned(), is_service));
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
            broker: Arc::new(Lenient::default()),
            vhost: Text::from_static("/"),
            default,
            loopback_users: Arc::new([Text::from_static("guest")]),
            service: None,
        };
        let request = AuthRequest { credentials: sent, vhost: vhost.map(Text::from), realm: None };
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

    /// Logs in on a route with the service login `svc`, and says too who came to the broker.
    async fn log_in_with_service(
        (passcode, verifies): (&str, bool),
        sent: Option<Credentials>,
        vhost: &str,
        peer: &str,
    ) -> (Result<Grant, Denial>, Vec<(String, bool)>) {
        let broker = Arc::new(Lenient::default());
        let login = Login {
            broker: Arc::clone(&broker) as Arc<dyn Broker>,
            vhost: Text::from(vhost),
            default: Some(credentials("guest", "right")),
            loopback_users: Arc::new([Text::from_static("guest"), Text::from_static("svc")]),
            service: Some(Service { credentials: credentials("svc", passcode), verifies }),
        };
        let request = AuthRequest { credentials: sent, vhost: None, realm: None };
        let answer = login.log_in(request, peer.parse().unwrap()).await;
        let opened = broker.opened.lock().unwrap().clone();
        (answer.map(|admitted| admitted.grant), opened)
    }

    fn came(login: &str, is_service: bool) -> (String, bool) {
        (login.to_owned(), is_service)
    }

    #[tokio::test]
    async fn a_session_works_under_the_service_login_once_its_clients_own_was_let_in() {
        let ann = Some(credentials("ann", "right"));
        let (grant, opened) = log_in_with_service(("right", true), ann, "/", "10.0.0.1").await;
        assert_eq!(grant.unwrap().user, "ann");
        assert_eq!(opened, [came("ann", false), came("svc", true)]);
    }

    #[tokio::test]
    async fn a_client_whose_own_login_is_refused_does_not_get_as_far_as_the_service_login() {
        let ann = Some(credentials("ann", "wrong"));
        let (answer, opened) = log_in_with_service(("right", true), ann, "/", "127.0.0.1").await;
        assert_eq!(answer.unwrap_err().kind, DenialKind::BadCredentials);
        assert_eq!(opened, [came("ann", false)]);
    }

    #[tokio::test]
    async fn default_login_and_loopback_users_hold_for_a_clients_login_that_is_verified() {
        let (grant, opened) = log_in_with_service(("right", true), None, "/", "127.0.0.1").await;
        assert_eq!(grant.unwrap().user, "guest");
        assert_eq!(opened, [came("guest", false), came("svc", true)]);
        let (answer, opened) = log_in_with_service(("right", true), None, "/", "10.0.0.1").await;
        assert_eq!(answer.unwrap_err().kind, DenialKind::NotLoopback);
        assert_eq!(opened, []);
    }

    #[tokio::test]
    async fn where_nothing_is_verified_everybody_is_the_service() {
        for sent in [None, Some(credentials("ann", "wrong")), Some(credentials("guest", "x"))] {
            let (grant, opened) =
                log_in_with_service(("right", false), sent, "/", "10.0.0.1").await;
            assert_eq!(grant.unwrap().user, "svc");
            assert_eq!(opened, [came("svc", true)]);
        }
    }

    #[tokio::test]
    async fn a_wrong_service_login_is_no_fault_of_the_clients() {
        for verifies in [true, false] {
            let ann = Some(credentials("ann", "right"));
            let service = ("wrong", verifies);
            let denied = log_in_with_service(service, ann, "/", "127.0.0.1").await.0.unwrap_err();
            assert_eq!(denied.kind, DenialKind::Unavailable);
            assert_eq!(denied.text, "the broker refuses the gateway's own login");
        }
    }

    /// Logs in to the realm `realm1`, which works as `gateway`.
    async fn join(
        name: &'static str,
        sent: Option<Credentials>,
        peer: &str,
    ) -> (Result<Grant, Denial>, Vec<(String, bool)>) {
        let broker = Arc::new(Lenient::default());
        let login = |vhost| Login {
            broker: Arc::clone(&broker) as Arc<dyn Broker>,
            vhost: Text::from_static(vhost),
            default: None,
            loopback_users: Arc::new([Text::from_static("guest")]),
            service: None,
        };
        let realm = RealmLogin { door: login("/r"), credentials: credentials("gateway", "right") };
        let realms = [(Text::from_static("realm1"), realm)].into();
        let logins = Logins { plain: login("/"), realms };
        let realm = Some(Text::from_static(name));
        let request = AuthRequest { credentials: sent, vhost: None, realm };
        let answer = logins.log_in(request, peer.parse().unwrap()).await;
        let opened = broker.opened.lock().unwrap().clone();
        (answer.map(|admitted| admitted.grant), opened)
    }

    #[tokio::test]
    async fn whoever_is_in_a_realm_works_under_its_login_in_its_vhost() {
        let (grant, opened) = join("realm1", None, "10.0.0.1").await;
        let grant = grant.unwrap();
        assert_eq!((grant.user.as_str(), grant.vhost.as_str()), ("gateway", "/r"));
        assert_eq!(opened, [came("gateway", true)]);
    }

    #[tokio::test]
    async fn a_ticket_that_is_a_passcode_of_the_broker_is_judged_by_it_and_by_where_it_comes_from()
    {
        let ann = Some(credentials("ann", "right"));
        let (grant, opened) = join("realm1", ann, "10.0.0.1").await;
        assert_eq!(grant.unwrap().user, "gateway", "whose headers count");
        assert_eq!(opened, [came("ann", false), came("gateway", true)]);
        let (refused, opened) = join("realm1", Some(credentials("ann", "wrong")), "10.0.0.1").await;
        assert_eq!(refused.unwrap_err().kind, DenialKind::BadCredentials);
        assert_eq!(opened, [came("ann", false)]);
        let guest = Some(credentials("guest", "right"));
        let (refused, opened) = join("realm1", guest, "10.0.0.1").await;
        assert_eq!(refused.unwrap_err().kind, DenialKind::NotLoopback);
        assert_eq!(opened, []);
    }

    #[tokio::test]
    async fn a_realm_that_is_not_there_lets_nobody_in() {
        let (refused, opened) = join("realm2", None, "127.0.0.1").await;
        assert_eq!(refused.unwrap_err().kind, DenialKind::VhostRefused);
        assert_eq!(opened, []);
    }

    #[tokio::test]
    async fn a_vhost_that_is_refused_is_refused_for_the_service_too() {
        let service = ("right", false);
        let denied = log_in_with_service(service, None, "closed", "127.0.0.1").await.0.unwrap_err();
        assert_eq!((denied.kind, denied.text.as_str()), (DenialKind::VhostRefused, "closed"));
    }
}
