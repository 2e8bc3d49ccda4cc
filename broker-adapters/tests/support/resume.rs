//! What the suites about resumable sessions share.

use std::time::Duration;

use protocols::broker::{
    Address, BrokerError, Command, Event, Lasting, QueueOptions, SubscriptionId,
};
use protocols::text::Text;

use super::{Client, Delivery};

/// How long sessions stay unless a test is about that: longer than a test.
pub(crate) const LIFETIME: Duration = Duration::from_secs(600);

/// How a queue is asked for that outlasts its link under this name.
pub(crate) fn lasting(name: &str) -> QueueOptions {
    let lasting = Lasting { name: Text::from(name), lifetime: LIFETIME };
    QueueOptions { lasting: Some(lasting), ..QueueOptions::default() }
}

/// A session that a client has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Resumed {
    pub(crate) subscription: SubscriptionId,
    pub(crate) found: bool,
}

impl Client {
    /// Begins a session.
    pub(crate) async fn begin(&mut self, fresh: &str) -> SubscriptionId {
        let resumed = self.try_resume(None, fresh, LIFETIME).await.unwrap();
        assert!(!resumed.found);
        resumed.subscription
    }

    /// Goes on with a session, which is there.
    pub(crate) async fn go_on(&mut self, known: &str) -> SubscriptionId {
        let resumed = self.try_resume(Some(known), "not needed", LIFETIME).await.unwrap();
        assert!(resumed.found);
        resumed.subscription
    }

    pub(crate) async fn try_resume(
        &mut self,
        known: Option<&str>,
        fresh: &str,
        lifetime: Duration,
    ) -> Result<Resumed, BrokerError> {
        let (token, subscription) = (self.token(), SubscriptionId(self.id()));
        self.link.submit(Command::Resume {
            token,
            subscription,
            known: known.map(Text::from),
            fresh: Text::from(fresh),
            lifetime,
        });
        match self.answer(token).await {
            Event::Resumed { found, .. } => Ok(Resumed { subscription, found }),
            Event::Failed { error, .. } => Err(error),
            other => panic!("the answer to a resume was expected, not {other:?}"),
        }
    }

    /// Subscribes under a name that outlasts the link.
    pub(crate) async fn lasting(&mut self, name: &str, from: Address) -> SubscriptionId {
        self.try_subscribe(from, &lasting(name), 100).await.unwrap()
    }

    /// Ends a session, or a lasting subscription with its queue.
    pub(crate) async fn end(&mut self, subscription: SubscriptionId) {
        let answer = self.unsubscribe_and_delete(subscription).await;
        assert!(matches!(answer, Event::Unsubscribed { .. }), "{answer:?}");
    }

    /// The next event, which tells of a loss.
    pub(crate) async fn gap(&mut self, of: SubscriptionId) {
        assert_eq!(self.event().await, Event::Gap { subscription: of });
    }

    /// The next event, which ends this subscription.
    pub(crate) async fn canceled(&mut self, of: SubscriptionId) -> BrokerError {
        match self.event().await {
            Event::Canceled { subscription, error } if subscription == of => error,
            other => panic!("the end of {of:?} was expected, not {other:?}"),
        }
    }

    /// The next deliveries: their bodies, and whether they were delivered before. They are accepted.
    pub(crate) async fn take(&mut self, count: usize) -> Vec<(String, bool)> {
        let mut taken = Vec::new();
        for _ in 0..count {
            let delivery = self.delivery().await;
            self.accept(&delivery);
            taken.push(seen(&delivery));
        }
        taken
    }
}

/// Its body, and whether it was delivered before.
pub(crate) fn seen(delivery: &Delivery) -> (String, bool) {
    (delivery.body().to_owned(), delivery.redelivered)
}

/// These bodies, none or all of which were delivered before.
pub(crate) fn all<'a>(
    bodies: impl IntoIterator<Item = &'a str>,
    redelivered: bool,
) -> Vec<(String, bool)> {
    bodies.into_iter().map(|body| (body.to_owned(), redelivered)).collect()
}
