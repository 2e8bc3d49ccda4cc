//! [`Losses`]: looks whether a guarded queue has lost messages.
//!
//! What was lost leaves a message in a queue of its own (see [`super::guarded`]). That queue has no
//! consumer: a guarded queue is to cost RabbitMQ one. It is asked how many messages it holds, soon after
//! there was a reason to, and at rest often enough that it does not expire.
//!
//! What an inbox has lost ends it, and every message that comes is a reason to look. Losses of a lasting
//! subscription are taken note of at RabbitMQ (see [`super::lasting`]) before they are told, and it goes
//! on. Who keeps up with what comes has nothing waiting, and loses nothing: what nearly fills its prefetch is
//! a reason to look soon, and what it settles then, for more is let through by that. So are many messages
//! at once. As not all of what RabbitMQ has sent may have come yet, any message is a reason to look a while
//! later. Before the first one of a queue that was there, it is always looked: what another link gives back
//! may be too much for it.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use futures_core::future::BoxFuture;
use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use protocols::text::Text;
use tokio::time::{Instant, Sleep, sleep};

use super::guarded::Guarded;
use super::lasting::Lasting;
use super::pool::Channel;

/// From a reason to look to the look that it leads to.
const SOON: Duration = Duration::from_secs(1);

/// The same where nothing speaks for a loss.
const LATER: Duration = Duration::from_secs(10);

/// See the module. Holds the channel open.
pub(super) struct Losses {
    channel: Channel,
    queue: Text,
    /// Whose losses are taken note of, and do not end it.
    lasting: Option<Arc<Lasting>>,
    /// Between two looks at rest.
    rest: Duration,
    /// When the last look began.
    looked: Instant,
    /// There was a reason to look since the last look began: within so long.
    reason: Option<Duration>,
    first: First,
    /// What was taken note of is settled, and RabbitMQ is to be told.
    is_settled: bool,
    step: Step,
}

/// The first message of a queue that was there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum First {
    /// It has not come.
    Awaited,
    /// It has, and waits for a look.
    Kept,
    /// It is on its way to the owner, or there is nothing about it.
    Past,
}

enum Step {
    Resting(Pin<Box<Sleep>>),
    /// Whether there are losses.
    Asking(BoxFuture<'static, lapin::Result<bool>>),
    /// Of losses.
    Noting(BoxFuture<'static, lapin::Result<()>>),
}

impl Losses {
    /// Of this queue, which is a lasting subscription's or an inbox's.
    pub(super) fn new(channel: Channel, guarded: &Guarded, lasting: Option<Arc<Lasting>>) -> Self {
        let rest = guarded.gap_expires() / 3;
        let step = Step::Resting(Box::pin(sleep(rest)));
        let queue = guarded.gap.clone();
        let looked = Instant::now();
        let (reason, first, is_settled) = (None, First::Past, false);
        Self { channel, queue, lasting, rest, looked, reason, first, is_settled, step }
    }

    /// The first message is to wait for a look, which may find what there was before it.
    pub(super) fn look_before_first(&mut self) {
        self.first = First::Awaited;
    }

    /// Messages have come, and more may have been lost.
    pub(super) fn look_soon(&mut self) {
        self.look_within(SOON);
    }

    /// Messages have come, though nothing speaks for a loss.
    pub(super) fn look_later(&mut self) {
        self.look_within(LATER);
    }

    fn look_within(&mut self, pause: Duration) {
        if self.reason.is_some_and(|before| before <= pause) {
            return;
        }
        self.reason = Some(pause);
        if let Step::Resting(sleep) = &mut self.step {
            let due = Instant::now() + pause;
            if sleep.deadline() > due {
                sleep.as_mut().reset(due);
            }
        }
    }

    /// A message has come. Whether it is to wait for a look, which begins: until nothing
    /// [is to be told](Self::is_about_to_tell) before it. To be polled afterwards.
    pub(super) fn keeps(&mut self) -> bool {
        let is_first = self.first == First::Awaited;
        if is_first {
            self.first = First::Kept;
            self.step = Step::Asking(self.look());
        }
        is_first
    }

    /// RabbitMQ is about to be told on this channel that it may send more, which what is lost is to be
    /// told before: looks now, unless that was just done. To be polled afterwards.
    pub(super) fn look_first(&mut self) {
        let is_resting = matches!(self.step, Step::Resting(_)) && !self.is_settled;
        if !is_resting || self.looked.elapsed() < SOON {
            return;
        }
        let mut answer = self.look();
        // A request of lapin's that was polled once is on its way.
        if let Poll::Ready(early) = answer.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            answer = Box::pin(async move { early });
        }
        self.step = Step::Asking(answer);
    }

    /// Nobody needs to be told again of the losses that there were. To be polled afterwards.
    pub(super) fn settle(&mut self) {
        self.is_settled = true;
    }

    /// Ready once messages are lost. Those of a lasting subscription are taken note of, and others may
    /// be lost later.
    ///
    /// *Errors.* It cannot be told: the queue is gone, or the connection.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<lapin::Result<()>> {
        loop {
            match &mut self.step {
                Step::Resting(sleep) => {
                    let settled = self.lasting.as_ref().filter(|_| self.is_settled).cloned();
                    self.is_settled = false;
                    self.step = Step::Asking(if let Some(settled) = settled {
                        forget(self.channel.clone(), settled)
                    } else {
                        ready!(sleep.as_mut().poll(cx));
                        self.look()
                    });
                }
                Step::Asking(answer) => {
                    let is_lost = ready!(answer.as_mut().poll(cx))?;
                    self.rest();
                    if !is_lost {
                        self.let_first_go();
                    }
                    match &self.lasting {
                        Some(lasting) if is_lost => {
                            self.step =
                                Step::Noting(note(self.channel.clone(), Arc::clone(lasting)));
                        }
                        None if is_lost => return Poll::Ready(Ok(())),
                        _ => {}
                    }
                }
                Step::Noting(noted) => {
                    ready!(noted.as_mut().poll(cx))?;
                    self.rest();
                    self.let_first_go();
                    // What was settled meanwhile came before.
                    self.is_settled = false;
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }

    /// There are losses, or there may be, which are to be told before what has come after them.
    pub(super) fn is_about_to_tell(&self) -> bool {
        self.first == First::Kept || matches!(self.step, Step::Noting(_))
    }

    fn let_first_go(&mut self) {
        if self.first == First::Kept {
            self.first = First::Past;
        }
    }

    fn rest(&mut self) {
        let pause = self.reason.unwrap_or(self.rest).min(self.rest);
        self.step = Step::Resting(Box::pin(sleep(pause)));
    }

    /// Looks for losses.
    fn look(&mut self) -> BoxFuture<'static, lapin::Result<bool>> {
        self.reason = None;
        self.looked = Instant::now();
        let (channel, queue) = (self.channel.clone(), self.queue.clone());
        Box::pin(async move { count(channel.amqp(), &queue).await.map(|lost| lost > 0) })
    }
}

fn forget(channel: Channel, settled: Arc<Lasting>) -> BoxFuture<'static, lapin::Result<bool>> {
    Box::pin(async move { settled.forget_losses(channel.amqp()).await.map(|()| false) })
}

fn note(channel: Channel, lasting: Arc<Lasting>) -> BoxFuture<'static, lapin::Result<()>> {
    Box::pin(async move { lasting.note_losses(channel.amqp()).await })
}

/// How many messages a queue holds.
async fn count(amqp: &lapin::Channel, queue: &Text) -> lapin::Result<u32> {
    let options = QueueDeclareOptions { passive: true, ..Default::default() };
    let found = amqp.queue_declare(queue.as_str().into(), options, FieldTable::default()).await?;
    Ok(found.message_count())
}
