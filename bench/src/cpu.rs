//! CPU accounts before and after a run: the process's own user and system time, and how busy the machine was.
//!
//! Receives two [`Snapshot`]s, hands on a [`Usage`]. The figures come from `/proc` in clock ticks (10 ms on a
//! usual kernel), which is coarse for runs under a second and never the figure that decides anything.

use naio_sys::clock::{self, Time};
use std::fs;

/// What `/proc` said at one moment. A figure that could not be read is zero.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Snapshot {
    at: Time,
    user_ticks: u64,
    system_ticks: u64,
    machine_busy: u64,
    machine_idle: u64,
}

/// The difference of two snapshots.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Usage {
    /// Wall time, seconds.
    pub seconds: f64,
    /// User time of this process with all its threads, seconds.
    pub user_s: f64,
    /// System time of this process with all its threads, seconds. Work the kernel does for it in an interrupt or
    /// a kernel thread is NOT in here, but is in `busy`.
    pub sys_s: f64,
    /// Share of all CPUs of the machine that were not idle, 0 to 1.
    pub busy: f64,
}

impl Snapshot {
    /// Reads the accounts now.
    #[must_use]
    pub fn take() -> Self {
        let process = fs::read_to_string("/proc/self/stat").unwrap_or_default();
        let machine = fs::read_to_string("/proc/stat").unwrap_or_default();
        let (user_ticks, system_ticks) = process_ticks(&process).unwrap_or_default();
        let (machine_busy, machine_idle) = machine_ticks(&machine).unwrap_or_default();
        Self { at: clock::now(), user_ticks, system_ticks, machine_busy, machine_idle }
    }

    /// What passed between `earlier` and this snapshot.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Usage {
        let hz = rustix::param::clock_ticks_per_second().max(1) as f64;
        let busy = self.machine_busy.saturating_sub(earlier.machine_busy) as f64;
        let idle = self.machine_idle.saturating_sub(earlier.machine_idle) as f64;
        Usage {
            seconds: self.at.since(earlier.at).as_secs_f64(),
            user_s: self.user_ticks.saturating_sub(earlier.user_ticks) as f64 / hz,
            sys_s: self.system_ticks.saturating_sub(earlier.system_ticks) as f64 / hz,
            busy: if busy + idle > 0.0 { busy / (busy + idle) } else { 0.0 },
        }
    }
}

/// `utime` and `stime` of `/proc/PID/stat` (proc(5): fields 14 and 15). The command name may hold spaces and
/// parentheses, so fields are counted from the last `)`.
fn process_ticks(stat: &str) -> Option<(u64, u64)> {
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_ascii_whitespace().skip(11);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

/// Busy and idle ticks of the `cpu` line (proc(5): user nice system idle iowait irq softirq steal).
fn machine_ticks(stat: &str) -> Option<(u64, u64)> {
    let line = stat.lines().find(|line| line.starts_with("cpu "))?;
    let ticks: Vec<u64> =
        line.split_ascii_whitespace().skip(1).take(8).filter_map(|n| n.parse().ok()).collect();
    let idle = ticks.get(3)? + ticks.get(4)?;
    Some((ticks.iter().sum::<u64>() - idle, idle))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_command_name_does_not_shift_the_fields() {
        let stat = "7 (a) R 1 2 (b) S 1 2 3 4 5 6 7 8 9 10 111 222 0 0 20 0";
        assert_eq!(process_ticks(stat), Some((111, 222)));
        assert_eq!(process_ticks("garbage"), None);
    }

    #[test]
    fn idle_and_iowait_are_the_idle_part() {
        assert_eq!(machine_ticks("cpu  10 1 20 100 5 2 3 4 50 60\ncpu0 1"), Some((40, 105)));
        assert_eq!(machine_ticks("intr 5"), None);
    }

    #[test]
    fn nothing_passed_is_no_division_by_zero() {
        let s = Snapshot::default();
        assert_eq!(s.since(&s), Usage::default());
    }
}
