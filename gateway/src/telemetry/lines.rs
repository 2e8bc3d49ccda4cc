//! Log lines on their way out. Whoever logs must neither wait nor fail because nobody reads the
//! log: a connection's task hands its line over, and a thread of its own writes it.

use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Bytes that wait to be written; a line above it is dropped, and counted.
const CAPACITY: usize = 1 << 20;

/// Capacity kept when nothing waits.
const IDLE_CAPACITY: usize = 16 << 10;

/// How long the end of the process waits for the last lines to be written.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Takes whole lines, at once and always.
#[derive(Debug, Clone)]
pub(super) struct Lines(Arc<Shared>);

/// Keeps log lines flowing. Dropping it writes those that wait, if that is done within a second;
/// what is logged later is lost.
#[derive(Debug)]
#[must_use = "nothing is logged once it is dropped"]
pub struct Flow(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<u8>,
    /// Lines that found no room since the last were taken to be written.
    dropped: u64,
    closing: bool,
    ended: bool,
}

impl Lines {
    /// Lines that are written to `out`; `note` says how many had to be dropped.
    ///
    /// *Errors.* There is no thread to be had.
    pub(super) fn to<W>(out: W, note: fn(u64) -> String) -> io::Result<(Self, Flow)>
    where
        W: Write + Send + 'static,
    {
        let shared = Arc::<Shared>::default();
        let writer = shared.clone();
        thread::Builder::new().name("log".into()).spawn(move || writer.write_out(out, note))?;
        Ok((Self(shared.clone()), Flow(shared)))
    }
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut state = self.0.lock();
        if state.ended {
            return Ok(line.len());
        }
        if state.waiting.len() + line.len() > CAPACITY {
            state.dropped += 1;
        } else {
            state.waiting.extend_from_slice(line);
        }
        self.0.changed.notify_all();
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Flow {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.closing = true;
        self.0.changed.notify_all();
        // If it takes longer, nobody reads.
        let _ = self.0.changed.wait_timeout_while(state, LAST_LINES, |state| !state.ended);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes until the end. Failures are passed over: there is nobody left to be told.
    fn write_out(&self, mut out: impl Write, note: fn(u64) -> String) {
        let mut batch = Vec::new();
        while let Some(dropped) = self.take(&mut batch) {
            let _ = out.write_all(&batch);
            if dropped > 0 {
                let _ = writeln!(out, "{}", note(dropped));
            }
            let _ = out.flush();
            batch.clear();
            batch.shrink_to(IDLE_CAPACITY);
        }
    }

    /// Waits for lines and swaps them for `empty`. Returns how many were dropped behind them;
    /// `None` once the end has come.
    fn take(&self, empty: &mut Vec<u8>) -> Option<u64> {
        let is_idle = |state: &mut State| state.waiting.is_empty() && state.dropped == 0;
        let state = self.changed.wait_while(self.lock(), |it| is_idle(it) && !it.closing);
        let mut state = state.unwrap_or_else(PoisonError::into_inner);
        if is_idle(&mut state) {
            state.ended = true;
            self.changed.notify_all();
            return None;
        }
        std::mem::swap(&mut state.waiting, empty);
        Some(std::mem::take(&mut state.dropped))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    use super::*;

    fn note(dropped: u64) -> String {
        format!("{dropped} dropped")
    }

    /// Takes each write once it is let, and shows it.
    struct Gated {
        gate: Receiver<()>,
        shown: SyncSender<Vec<u8>>,
    }

    impl Write for Gated {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let _ = self.gate.recv();
            let _ = self.shown.send(bytes.to_vec());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn an_output_that_is_stuck_costs_lines_and_no_time_and_they_are_counted() {
        let (open, gate) = sync_channel(0);
        let (shown, written) = sync_channel(32);
        let (mut lines, flow) = Lines::to(Gated { gate, shown }, note).unwrap();
        let line = vec![b'x'; CAPACITY / 4];
        // One batch of up to four is stuck, four wait behind it, and the rest is too much.
        for _ in 0..20 {
            lines.write_all(&line).unwrap();
        }
        drop(open);
        drop(flow);
        let written = written.iter().flatten().collect::<Vec<_>>();
        let kept = written.iter().filter(|&&byte| byte == b'x').count() / line.len();
        assert!((4..=8).contains(&kept), "{kept} lines kept");
        let notes = String::from_utf8(written).unwrap().replace('x', "");
        let dropped = notes.lines().map(|note| note.strip_suffix(" dropped").unwrap());
        assert_eq!(dropped.map(|it| it.parse::<usize>().unwrap()).sum::<usize>(), 20 - kept);
    }

    #[test]
    fn an_output_that_fails_is_passed_over() {
        struct Closed;

        impl Write for Closed {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::BrokenPipe.into())
            }

            fn flush(&mut self) -> io::Result<()> {
                Err(io::ErrorKind::BrokenPipe.into())
            }
        }

        let (mut lines, flow) = Lines::to(Closed, note).unwrap();
        lines.write_all(b"one\n").unwrap();
        lines.write_all(b"two\n").unwrap();
        drop(flow);
        assert!(lines.0.lock().ended);
        lines.write_all(b"three\n").unwrap();
        assert!(lines.0.lock().waiting.is_empty());
    }
}
