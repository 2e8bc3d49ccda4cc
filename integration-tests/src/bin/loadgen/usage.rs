//! What processes have used of the processors, as Linux counts it.

use std::fs;

use crate::fault::Fault;

/// Microseconds in one tick of `/proc/PID/stat`: Linux shows 100 ticks a second to programs,
/// whatever the kernel counts in.
const TICK: u64 = 10_000;

/// A process to be watched, by a name for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Watched {
    /// What it is called in the result.
    pub(crate) name: String,
    /// Its id, or `self`.
    pid: String,
}

impl Watched {
    /// This process.
    pub(crate) fn own() -> Self {
        Self { name: "loadgen".to_owned(), pid: "self".to_owned() }
    }

    /// Microseconds of processor time so far, by all threads, in user mode and in the kernel.
    ///
    /// *Errors.* There is no such process.
    pub(crate) fn used(&self) -> Result<u64, Fault> {
        let path = format!("/proc/{}/stat", self.pid);
        let text = fs::read_to_string(&path).map_err(Fault::system(&path))?;
        parse(&text).map(|ticks| ticks * TICK).ok_or(Fault::Violation("/proc has changed"))
    }
}

impl std::str::FromStr for Watched {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, pid) = text.split_once('=').ok_or("NAME=PID is needed")?;
        pid.parse::<u32>().map_err(|_| "the process id is a number")?;
        Ok(Self { name: name.to_owned(), pid: pid.to_owned() })
    }
}

/// The sum of `utime` and `stime` (proc(5)). The second field is a name in parentheses that may hold
/// anything, parentheses too.
fn parse(stat: &str) -> Option<u64> {
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let (user, system) = (fields.next()?, fields.next()?);
    Some(user.parse::<u64>().ok()? + system.parse::<u64>().ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_time_are_added() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 99 0 0 0 123 45 0 0 20 0 3 0 5 6 7";
        assert_eq!(parse(stat), Some(168));
        assert_eq!(parse("7 (a) S 1"), None);
    }

    #[test]
    fn a_process_is_watched_by_name_and_id() {
        assert!("gateway=12".parse::<Watched>().is_ok());
        for wrong in ["gateway", "gateway=", "12", "gateway=self"] {
            assert!(wrong.parse::<Watched>().is_err(), "{wrong}");
        }
        assert!(Watched::own().used().is_ok());
    }
}
