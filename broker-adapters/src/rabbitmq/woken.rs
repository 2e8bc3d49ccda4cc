//! [`Woken`]: which of many streams are worth polling.
//!
//! A link may have a thousand consumers, each a stream of its own. Each is polled with a waker that
//! notes its name here, and wakes the link's task: a delivery costs the streams that have
//! something, not all of them.

use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Wake, Waker};

use crate::lock::lock;

/// The names of those that were woken. One receiver takes them.
#[derive(Debug)]
pub(super) struct Woken<K> {
    state: Mutex<State<K>>,
}

#[derive(Debug)]
struct State<K> {
    names: Vec<K>,
    receiver: Option<Waker>,
}

/// Wakes one stream.
#[derive(Debug)]
pub(super) struct Bell<K> {
    name: K,
    /// Already among the names.
    rung: AtomicBool,
    woken: Arc<Woken<K>>,
}

impl<K: Copy + Send + 'static> Woken<K> {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self { state: Mutex::new(State { names: Vec::new(), receiver: None }) })
    }

    /// A bell for the stream of this name.
    pub(super) fn bell(self: &Arc<Self>, name: K) -> Arc<Bell<K>> {
        Arc::new(Bell { name, rung: AtomicBool::new(false), woken: Arc::clone(self) })
    }

    /// Moves the names of all that were woken into `names`; from now on wakes `cx`.
    pub(super) fn take(&self, cx: &mut Context<'_>, names: &mut Vec<K>) {
        let mut state = lock(&self.state);
        names.append(&mut state.names);
        match &mut state.receiver {
            Some(receiver) => receiver.clone_from(cx.waker()),
            none => *none = Some(cx.waker().clone()),
        }
    }
}

impl<K: Copy + Send + Sync + 'static> Bell<K> {
    /// To be called before the stream is polled: what comes from now on rings again.
    pub(super) fn reset(&self) {
        self.rung.store(false, Ordering::SeqCst);
    }
}

impl<K: Copy + Send + Sync + 'static> Wake for Bell<K> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.rung.swap(true, Ordering::SeqCst) {
            return;
        }
        let receiver = {
            let mut state = lock(&self.woken.state);
            state.names.push(self.name);
            mem::take(&mut state.receiver)
        };
        if let Some(receiver) = receiver {
            receiver.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bell_notes_its_name_once_and_wakes_the_receiver() {
        let flag = Arc::new(Flag(AtomicBool::new(false)));
        let waker = Waker::from(Arc::clone(&flag));
        let mut cx = Context::from_waker(&waker);
        let woken = Woken::new();
        let (one, two) = (woken.bell(1), woken.bell(2));
        let mut names = Vec::new();
        woken.take(&mut cx, &mut names);
        assert!(names.is_empty());
        one.wake_by_ref();
        one.wake_by_ref();
        two.wake_by_ref();
        assert!(flag.0.swap(false, Ordering::SeqCst));
        woken.take(&mut cx, &mut names);
        assert_eq!(names, [1, 2]);
        names.clear();
        one.wake_by_ref();
        woken.take(&mut cx, &mut names);
        assert!(names.is_empty(), "not reset: the stream was not polled since");
        one.reset();
        one.wake_by_ref();
        woken.take(&mut cx, &mut names);
        assert_eq!(names, [1]);
    }

    struct Flag(AtomicBool);

    impl Wake for Flag {
        fn wake(self: Arc<Self>) {
            self.0.store(true, Ordering::SeqCst);
        }
    }
}
