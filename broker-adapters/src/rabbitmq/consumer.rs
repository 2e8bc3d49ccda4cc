//! [`Consumer`]: a stream of deliveries.

use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use super::pool::Channel;

/// What lapin calls a consumer: when it is dropped, lapin sends `basic.cancel`, unless it has ended.
pub(super) struct Consumer {
    stream: Option<lapin::Consumer>,
    /// Set if it ends with its channel instead: RabbitMQ must not be asked to cancel it.
    channel: Option<Channel>,
}

impl Consumer {
    /// One that others may stand next to.
    pub(super) fn new(stream: lapin::Consumer) -> Self {
        Self { stream: Some(stream), channel: None }
    }

    /// One that others may wait behind (see [`super::guarded`]).
    pub(super) fn ending_with(channel: Channel, stream: lapin::Consumer) -> Self {
        Self { stream: Some(stream), channel: Some(channel) }
    }

    /// Ends it, and resolves when RabbitMQ has seen that.
    pub(super) async fn close(mut self) {
        if let Some(channel) = self.channel.take() {
            channel.close().await;
        }
    }

    pub(super) fn poll_next(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<lapin::Result<lapin::message::Delivery>>> {
        match &mut self.stream {
            Some(stream) => Pin::new(stream).poll_next(cx),
            None => Poll::Ready(None),
        }
    }
}

impl Drop for Consumer {
    fn drop(&mut self) {
        if let (Some(channel), Some(stream)) = (self.channel.take(), self.stream.take()) {
            channel.close_before(stream);
        }
    }
}
