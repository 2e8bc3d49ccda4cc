//! What clients ask for, and what they get of it: publish and subscribe, calls, and the end.

use serde_json::{Value, json};

use super::client::WampClient;
use super::message::{Invocation, Payload, WampError, WampEvent, code};
use crate::raw_ws::Closing;

/// An ID that no subscription has: they are random, or made of a hash.
const NO_SUBSCRIPTION: u64 = 1;

impl WampClient {
    /// Subscribes to one topic; returns the ID of the subscription, which stands then.
    pub async fn subscribe(&mut self, topic: &str) -> u64 {
        self.subscribe_with(topic, json!({})).await.unwrap_or_else(|error| panic!("{error:?}"))
    }

    /// Subscribes to all topics that this pattern matches by `policy`.
    pub async fn subscribe_match(&mut self, topic: &str, policy: &str) -> u64 {
        let options = json!({ "match": policy });
        self.subscribe_with(topic, options).await.unwrap_or_else(|error| panic!("{error:?}"))
    }

    /// Subscribes with these options.
    pub async fn subscribe_with(&mut self, topic: &str, options: Value) -> Result<u64, WampError> {
        let request = self.request(code::SUBSCRIBE, json!([options, topic])).await;
        let answer = self.answer((code::SUBSCRIBE, request), code::SUBSCRIBED).await?;
        Ok(answer.id(2))
    }

    /// Ends a subscription. Events that were sent before are kept.
    pub async fn unsubscribe(&mut self, subscription: u64) {
        let request = self.request(code::UNSUBSCRIBE, json!([subscription])).await;
        let answer = self.answer((code::UNSUBSCRIBE, request), code::UNSUBSCRIBED).await;
        answer.unwrap_or_else(|error| panic!("{error:?}"));
        self.subscriptions.remove(&subscription);
    }

    /// Publishes, and is told nothing about it.
    pub async fn publish(&mut self, topic: &str, options: Value, args: Value, kwargs: Value) {
        self.request(code::PUBLISH, json!([options, topic, args, kwargs])).await;
    }

    /// Publishes, and waits until the broker has the event; returns the ID of the publication. What the
    /// event brings this client itself may come before the answer, and is kept.
    pub async fn publish_confirmed(
        &mut self,
        topic: &str,
        mut options: Value,
        args: Value,
        kwargs: Value,
    ) -> Result<u64, WampError> {
        options["acknowledge"] = json!(true);
        let request = self.request(code::PUBLISH, json!([options, topic, args, kwargs])).await;
        let answer = self.answer((code::PUBLISH, request), code::PUBLISHED).await?;
        Ok(answer.id(2))
    }

    /// Publishes one text, confirmed; panics if that is refused.
    pub async fn say(&mut self, topic: &str, text: &str) -> u64 {
        let published = self.publish_confirmed(topic, json!({}), json!([text]), json!({})).await;
        published.unwrap_or_else(|error| panic!("{topic}: {error:?}"))
    }

    /// The next message, which must be an EVENT.
    pub async fn event(&mut self) -> WampEvent {
        self.expect(code::EVENT).await.event()
    }

    /// The next message, which must be an EVENT with this text.
    pub async fn expect_text(&mut self, text: &str) -> WampEvent {
        let event = self.event().await;
        assert_eq!(event.args, json!([text]), "{event:?}");
        event
    }

    /// Panics unless all that has come so far has been taken: a request whose answer is known is
    /// answered before anything else.
    pub async fn expect_nothing(&mut self) {
        self.assert_all_taken();
        let request = self.request(code::UNSUBSCRIBE, json!([NO_SUBSCRIPTION])).await;
        let answer = self.answer((code::UNSUBSCRIBE, request), code::UNSUBSCRIBED).await;
        self.assert_all_taken();
        let error = answer.expect_err("there is no such subscription");
        assert_eq!(error.uri, "wamp.error.no_such_subscription");
    }

    /// Registers a procedure; returns the ID of the registration.
    pub async fn register(&mut self, procedure: &str, options: Value) -> Result<u64, WampError> {
        let request = self.request(code::REGISTER, json!([options, procedure])).await;
        let answer = self.answer((code::REGISTER, request), code::REGISTERED).await?;
        Ok(answer.id(2))
    }

    /// Calls a procedure, and waits for what that brings.
    pub async fn call(
        &mut self,
        procedure: &str,
        args: Value,
        kwargs: Value,
    ) -> Result<Payload, WampError> {
        let call = self.request(code::CALL, json!([{}, procedure, args, kwargs])).await;
        self.result(call).await
    }

    /// What a call brings that was sent as a [request](Self::request).
    pub async fn result(&mut self, call: u64) -> Result<Payload, WampError> {
        let answer = self.answer((code::CALL, call), code::RESULT).await?;
        Ok(answer.result())
    }

    /// The next message, which must be an INVOCATION.
    pub async fn invocation(&mut self) -> Invocation {
        self.expect(code::INVOCATION).await.invocation()
    }

    /// Answers an invocation.
    pub async fn yields(&mut self, invocation: &Invocation, args: Value, kwargs: Value) {
        self.send(json!([code::YIELD, invocation.request, {}, args, kwargs])).await;
    }

    /// Answers an invocation by ERROR.
    pub async fn fails(&mut self, invocation: &Invocation, uri: &str, args: Value) {
        let request = invocation.request;
        self.send(json!([code::ERROR, code::INVOCATION, request, {}, uri, args])).await;
    }

    /// Says goodbye; returns how the server, which must say so too, ended the connection.
    pub async fn leave(&mut self) -> Closing {
        self.send(json!([code::GOODBYE, {}, "wamp.close.close_realm"])).await;
        let goodbye = self.expect(code::GOODBYE).await;
        assert_eq!(goodbye.text(2), "wamp.close.goodbye_and_out");
        self.closing().await
    }
}
