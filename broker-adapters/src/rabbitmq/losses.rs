//! [`Losses`]: looks whether an inbox has lost messages.
//!
//! What was lost leaves a message in a queue of its own (see [`super::inbox`]). That queue has no
//! consumer: an inbox is to cost RabbitMQ one. It is asked how many messages it holds, soon after messages have come, for
//! none is lost otherwise, and at rest often enough that it does not expire.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures_core::future::BoxFuture;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use protocols::text::Text;
use tokio::time::{Instant, Sleep, sleep};

use super::pool::Channel;

/// From a delivery to the look that it leads to.
const SOON: Duration = Duration::from_secs(1);

/// See the module. Holds the channel open.
pub(super) struct Losses {
    channel: Channel,
    queue: Text,
    /// Between two looks at rest.
    rest: Duration,
    /// Messages have come since the last look began.
    is_busy: bool,
    step: Step,
}

enum Step {
    Resting(Pin<Box<Sleep>>),
    Asking(BoxFuture<'static, lapin::Result<u32>>),
}

impl Losses {
    /// Of an inbox whose losses are in this queue, which goes when nobody asks for it for `expires`.
    pub(super) fn new(channel: Channel, queue: Text, expires: Duration) -> Self {
        let rest = expires / 3;
        let step = Step::Resting(Box::pin(sleep(rest)));
        Self { channel, queue, rest, is_busy: false, step }
    }

    /// A message has come.
    pub(super) fn note_delivery(&mut self) {
        if self.is_busy {
            return;
        }
        self.is_busy = true;
        if let Step::Resting(sleep) = &mut self.step {
            let soon = Instant::now() + SOON;
            if sleep.deadline() > soon {
                sleep.as_mut().reset(soon);
            }
        }
    }

    /// Ready once messages are lost.
    ///
    /// *Errors.* It cannot be told: the queue is gone, or the connection.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<lapin::Result<()>> {
        loop {
            match &mut self.step {
                Step::Resting(sleep) => {
                    ready!(sleep.as_mut().poll(cx));
                    self.is_busy = false;
                    let (amqp, queue) = (self.channel.amqp().clone(), self.queue.clone());
                    self.step = Step::Asking(Box::pin(async move { count(&amqp, &queue).await }));
                }
                Step::Asking(answer) => {
                    if ready!(answer.as_mut().poll(cx))? > 0 {
                        return Poll::Ready(Ok(()));
                    }
                    let pause = if self.is_busy { SOON } else { self.rest };
                    self.step = Step::Resting(Box::pin(sleep(pause)));
                }
            }
        }
    }
}

/// How many messages a queue holds.
async fn count(amqp: &lapin::Channel, queue: &Text) -> lapin::Result<u32> {
    let options = QueueDeclareOptions { passive: true, ..Default::default() };
    let found = amqp.queue_declare(queue.as_str().into(), options, FieldTable::default()).await?;
    Ok(found.message_count())
}
