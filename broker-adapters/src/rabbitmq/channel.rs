//! [`Channel`]: an AMQP channel that knows how its connection is.

use std::sync::{Arc, Mutex, OnceLock};

use futures_core::future::BoxFuture;
use lapin::options::BasicQosOptions;
use lapin::protocol::constants::REPLY_SUCCESS;
use protocols::broker::BrokerError;
use tokio::sync::watch;

use super::connection::{Condition, Connection};
use super::returns::Returned;
use crate::lock::lock;

/// An open channel, with its connection. Closed in order when the last clone is dropped.
#[derive(Clone)]
pub(super) struct Channel(Arc<Held>);

/// What clones of a channel share.
struct Held {
    amqp: lapin::Channel,
    connection: Arc<Connection>,
    refusal: Arc<OnceLock<BrokerError>>,
    /// How far the condition of the connection was seen by those who waited for it to change.
    seen: Arc<Mutex<watch::Receiver<Condition>>>,
    returned: Arc<Returned>,
}

impl Drop for Held {
    /// Left alone, lapin sends `channel.close`. If RabbitMQ has just closed the channel because of what
    /// came before, lapin takes that for a fault of the connection, and ends it for everybody. An
    /// answer to any request says that RabbitMQ has seen all before it, and found nothing wrong.
    fn drop(&mut self) {
        if !self.amqp.status().connected() {
            return;
        }
        let (amqp, connection) = (self.amqp.clone(), Arc::clone(&self.connection));
        self.connection.runtime().spawn(async move {
            close(&amqp).await;
            drop(connection);
        });
    }
}

async fn close(amqp: &lapin::Channel) {
    if amqp.basic_qos(1, BasicQosOptions::default()).await.is_ok() {
        drop(amqp.close(REPLY_SUCCESS, "OK".into()).await);
    }
}

impl Channel {
    pub(super) fn new(
        amqp: lapin::Channel,
        connection: Arc<Connection>,
        refusal: Arc<OnceLock<BrokerError>>,
        seen: Arc<Mutex<watch::Receiver<Condition>>>,
        returned: Arc<Returned>,
    ) -> Self {
        Self(Arc::new(Held { amqp, connection, refusal, seen, returned }))
    }

    /// The channel itself.
    pub(super) fn amqp(&self) -> &lapin::Channel {
        &self.0.amqp
    }

    /// Closes it in order, also for those who have clones. RabbitMQ has seen it when this resolves.
    pub(super) async fn close(self) {
        if self.is_open() {
            close(self.amqp()).await;
        }
    }

    /// Closes it in order, and drops `last` only then.
    pub(super) fn close_before<T: Send + 'static>(self, last: T) {
        let connection = Arc::clone(&self.0.connection);
        connection.runtime().spawn(async move {
            self.close().await;
            drop(last);
        });
    }

    /// Whether RabbitMQ holds the connection back. *Cost.* One relaxed load.
    pub(super) fn is_blocked(&self) -> bool {
        self.0.connection.is_blocked()
    }

    /// Neither the channel has closed nor its connection.
    pub(super) fn is_open(&self) -> bool {
        self.0.amqp.status().connected()
    }

    /// Why RabbitMQ closed this channel, if it did and it is a publishing one. Known once
    /// [`disturbed`](Self::disturbed) has told of it.
    pub(super) fn refusal(&self) -> Option<BrokerError> {
        self.0.refusal.get().cloned()
    }

    /// Whether RabbitMQ has returned messages on this channel since this was asked last.
    /// [`disturbed`](Self::disturbed) tells of it.
    pub(super) fn take_returned(&self) -> bool {
        self.0.returned.take()
    }

    /// Resolves when something has happened that no such future has told yet: the connection was
    /// held back, let go or lost, or RabbitMQ closed a channel on it, this one or another, or returned
    /// messages on this one. Does not keep the channel open.
    pub(super) fn disturbed(&self) -> BoxFuture<'static, ()> {
        let seen = Arc::clone(&self.0.seen);
        let returned = Arc::clone(&self.0.returned);
        let mut condition = lock(&seen).clone();
        Box::pin(async move {
            // Its sender lives in the connection, so an error says the same as `Over`.
            tokio::select! {
                _ = condition.changed() => lock(&seen).mark_unchanged(),
                () = returned.come() => {}
            }
        })
    }

    /// Bytes of the largest frame, as negotiated.
    pub(super) fn frame_size(&self) -> usize {
        self.0.connection.configuration().frame_max() as usize
    }

    /// How many channels fit on its connection, as negotiated.
    #[cfg(test)]
    pub(super) fn channel_max(&self) -> u16 {
        self.0.connection.configuration().channel_max()
    }
}
