//! Who is let in, and under whose login its session then works. The `user-id` of a message tells:
//! the broker takes none but the user's own.

#![allow(missing_docs, clippy::unwrap_used, reason = "a panic is how a test fails")]

use gateway::config::{Broker, Config, Route, Secret, ServiceLogin, User, Verify};
use integration_tests::{RawWs, Request, StompClient, StompFrame, TestGateway};

/// Beside the built-in route, `/verified` and `/open`, both with the service login `svc`; and a
/// user `ann`. None has a default login.
fn with_service_logins(config: &mut Config) {
    let Some(Broker::Embedded(broker)) = config.broker.get_mut("main") else {
        panic!("the built-in broker is the embedded one");
    };
    for login in ["ann", "svc"] {
        let user = User { passcode: Secret::new("right"), vhosts: None };
        broker.user.insert(login.to_owned(), user);
    }
    let stomp = &config.route["stomp"];
    let route = |name: &str, verify| {
        let service_login =
            Some(ServiceLogin { login: "svc".to_owned(), passcode: Secret::new("right"), verify });
        let route = Route {
            path: format!("/{name}"),
            default_login: None,
            default_passcode: None,
            service_login,
            ..stomp.clone()
        };
        (name.to_owned(), route)
    };
    let routes = [route("verified", Verify::Broker), route("open", Verify::None)];
    config.route.extend(routes);
}

/// What CONNECT with these headers is answered at `path`, and the client.
async fn connect(
    gateway: &TestGateway,
    path: &str,
    headers: &[(&str, &str)],
) -> (StompFrame, StompClient) {
    let mut client =
        StompClient::over(RawWs::open(gateway.ws_addr(), &Request::upgrade(path)).await);
    client.send("CONNECT", &[&[("accept-version", "1.2")], headers].concat(), "").await;
    (client.recv().await, client)
}

/// Whether the client works at the broker as this user and nobody else.
async fn assert_works_as(client: &mut StompClient, user: &str) {
    let send = |user_id| [("destination", "/queue/login"), ("user-id", user_id)];
    client.send_confirmed("SEND", &send(user), "").await;
    client.send("SEND", &send("somebody else"), "").await;
    let error = client.expect("ERROR").await;
    assert_eq!(error.header("message"), Some("precondition_failed"), "{error:?}");
}

#[tokio::test]
async fn without_a_service_login_a_session_works_under_its_clients_own() {
    let gateway = TestGateway::embedded().config(with_service_logins).start().await;
    let ann = [("login", "ann"), ("passcode", "right")];
    let (frame, mut client) = connect(&gateway, "/ws", &ann).await;
    assert_eq!(frame.verb, "CONNECTED", "{frame:?}");
    assert_works_as(&mut client, "ann").await;
}

#[tokio::test]
async fn with_a_service_login_the_clients_own_is_verified_and_the_session_works_under_the_service()
{
    let gateway = TestGateway::embedded().config(with_service_logins).start().await;
    let ann = [("login", "ann"), ("passcode", "right")];
    let (frame, mut client) = connect(&gateway, "/verified", &ann).await;
    assert_eq!(frame.verb, "CONNECTED", "{frame:?}");
    assert_works_as(&mut client, "svc").await;

    let wrong = [("login", "ann"), ("passcode", "wrong")];
    for headers in [&wrong[..], &[]] {
        let (frame, mut client) = connect(&gateway, "/verified", headers).await;
        assert_eq!((frame.verb.as_str(), frame.header("message")), ("ERROR", Some("Bad CONNECT")));
        assert_eq!(client.closing().await.code, Some(1008));
    }
}

#[tokio::test]
async fn with_a_service_login_that_verifies_nothing_everybody_is_in() {
    let gateway = TestGateway::embedded().config(with_service_logins).start().await;
    let wrong = [("login", "ann"), ("passcode", "wrong")];
    for headers in [&wrong[..], &[]] {
        let (frame, mut client) = connect(&gateway, "/open", headers).await;
        assert_eq!(frame.verb, "CONNECTED", "{frame:?}");
        assert_works_as(&mut client, "svc").await;
    }
}
