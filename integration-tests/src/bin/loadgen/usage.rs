//! What processes use of the processors and the memory, as Linux counts it.
//!
//! A process is watched together with those that it has started, and those that they have: servers
//! such as Crossbar.io do their work in a child.

use std::fs;

use crate::fault::Fault;

/// Microseconds in one tick of `/proc/PID/stat`: Linux shows 100 ticks a second to programs,
/// whatever the kernel counts in.
const TICK: u64 = 10_000;

/// What a process and its descendants use.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Usage {
    /// Microseconds of processor time so far, by all threads, in user mode and in the kernel.
    pub(crate) cpu: u64,
    /// Bytes of memory that are there now. What processes share counts in each.
    pub(crate) memory: u64,
}

/// A process to be watched, by a name for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Watched {
    /// What it is called in the result.
    pub(crate) name: String,
    pid: u32,
}

impl Watched {
    /// This process.
    pub(crate) fn own() -> Self {
        Self { name: "loadgen".to_owned(), pid: std::process::id() }
    }

    /// What it uses, and those below it do.
    ///
    /// *Errors.* There is no such process.
    pub(crate) fn usage(&self) -> Result<Usage, Fault> {
        let processes = processes()?;
        if !processes.iter().any(|it| it.pid == self.pid) {
            return Err(Fault::NoProcess(self.pid));
        }
        let tree = tree(self.pid, &processes);
        let members = processes.iter().filter(|it| tree.contains(&it.pid));
        Ok(members.fold(Usage::default(), |sum, it| Usage {
            cpu: sum.cpu + it.ticks * TICK,
            memory: sum.memory + memory(it.pid),
        }))
    }
}

impl std::str::FromStr for Watched {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, pid) = text.split_once('=').ok_or("NAME=PID is needed")?;
        let pid = pid.parse().map_err(|_| "the process id is a number")?;
        Ok(Self { name: name.to_owned(), pid })
    }
}

/// A process of the system.
#[derive(Debug, PartialEq, Eq)]
struct Process {
    pid: u32,
    parent: u32,
    ticks: u64,
}

/// All that there are. One that ends meanwhile is left out.
fn processes() -> Result<Vec<Process>, Fault> {
    let directory = fs::read_dir("/proc").map_err(Fault::system("/proc"))?;
    let stats = directory.filter_map(|entry| {
        let path = entry.ok()?.path();
        path.file_name()?.to_str()?.parse::<u32>().ok()?;
        fs::read_to_string(path.join("stat")).ok()
    });
    stats.map(|stat| parse(&stat).ok_or(Fault::Violation("/proc has changed"))).collect()
}

/// A process and all below it.
fn tree(root: u32, processes: &[Process]) -> Vec<u32> {
    let mut tree = vec![root];
    let mut next = 0;
    while let Some(parent) = tree.get(next).copied() {
        tree.extend(processes.iter().filter(|it| it.parent == parent).map(|it| it.pid));
        next += 1;
    }
    tree
}

/// `pid`, `ppid`, and the sum of `utime` and `stime` (proc(5)). The second field is a name in
/// parentheses that may hold anything, parentheses too.
fn parse(stat: &str) -> Option<Process> {
    let (pid, _) = stat.split_once(' ')?;
    let (_, after_name) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
    let ticks = |field: usize| fields.get(field)?.parse::<u64>().ok();
    Some(Process {
        pid: pid.parse().ok()?,
        parent: fields.get(1)?.parse().ok()?,
        ticks: ticks(11)? + ticks(12)?,
    })
}

/// `VmRSS`, in bytes; 0 of a process that has none, or is gone.
fn memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|it| it.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    kibibytes.unwrap_or_default() << 10
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_time_are_added() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 99 0 0 0 123 45 0 0 20 0 3 0 5 6 7";
        assert_eq!(parse(stat), Some(Process { pid: 7, parent: 1, ticks: 168 }));
        assert_eq!(parse("7 (a) S 1"), None);
    }

    #[test]
    fn a_process_is_watched_by_name_and_id() {
        assert!("gateway=12".parse::<Watched>().is_ok());
        for wrong in ["gateway", "gateway=", "12", "gateway=self"] {
            assert!(wrong.parse::<Watched>().is_err(), "{wrong}");
        }
        assert!("gone=4294967295".parse::<Watched>().unwrap().usage().is_err());
    }

    #[test]
    fn those_that_a_process_has_started_count_too() {
        let processes = [(1, 0), (5, 4), (2, 1), (4, 2), (3, 1), (9, 1)]
            .map(|(pid, parent)| Process { pid, parent, ticks: 0 });
        assert_eq!(tree(2, &processes), [2, 4, 5]);
        assert_eq!(tree(3, &processes), [3]);
        assert!(Watched::own().usage().unwrap().memory > 0);
    }
}
