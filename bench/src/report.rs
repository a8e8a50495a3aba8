//! What an experiment's program prints when it is done: one struct, as a JSON line or as a table for people.
//!
//! Both arms fill the same [`Report`]; what an arm cannot know stays `None` and is left out of the table.

use crate::cpu::Usage;
use crate::fill::FillSummary;
use crate::size::MIB;
use core::fmt;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The result of one transfer.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// Name of the program, for example `naio-recv`.
    pub program: String,
    /// Payload bytes received or sent; a SHA-256 trailer is not counted.
    pub bytes: u64,
    /// Wall time from before the request until the last payload byte, or the last answer of the sink.
    pub seconds: f64,
    /// Payload rate in 10^6 bytes a second.
    pub mb_per_s: f64,
    /// User CPU time of the process in that time, seconds.
    pub user_s: f64,
    /// System CPU time of the process in that time, seconds.
    pub sys_s: f64,
    /// Share of all CPUs that were not idle, 0 to 1.
    pub cpu_busy: f64,
    /// `recv()`, `send()` or `sendfile()` calls, or completions of receives or sends.
    #[serde(default)]
    pub calls: u64,
    /// Connections that sent at the same time (senders).
    #[serde(default)]
    pub sockets: Option<usize>,
    /// Hash of the payload in lower-case hex, if asked for.
    #[serde(default)]
    pub sha256: Option<String>,
    /// Whether it equals the remote's hash, if asked for.
    #[serde(default)]
    pub sha256_ok: Option<bool>,
    /// TCP segments with payload that were received (naio).
    #[serde(default)]
    pub segments: Option<u64>,
    /// Turns of the event loop (naio).
    #[serde(default)]
    pub turns: Option<u64>,
    /// Turns that found nothing to do (naio).
    #[serde(default)]
    pub empty_turns: Option<u64>,
    /// Mean number of received frames in a turn that found any (naio).
    #[serde(default)]
    pub frames_per_turn: Option<f64>,
    /// How full completed buffers were (naio).
    #[serde(default)]
    pub bytes_per_completion: Option<FillSummary>,
    /// Driver counters by name: `rx_frames`, `tx_frames`, `mpc`, `rnbc`, `rx_dropped_*` … (naio).
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub counters: BTreeMap<String, u64>,
}

impl Report {
    /// A report with what every arm knows: the amount and the CPU accounts over it.
    #[must_use]
    pub fn new(program: &str, bytes: u64, usage: &Usage) -> Self {
        Self {
            program: program.to_owned(),
            bytes,
            seconds: usage.seconds,
            mb_per_s: if usage.seconds > 0.0 { bytes as f64 / 1e6 / usage.seconds } else { 0.0 },
            user_s: usage.user_s,
            sys_s: usage.sys_s,
            cpu_busy: usage.busy,
            ..Self::default()
        }
    }

    /// One line of JSON without a line end.
    ///
    /// # Errors
    /// None in practice: every field is a number, a text or a map with text keys. The error is passed on rather
    /// than hidden because `serde_json` cannot promise it in its type.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.program)?;
        writeln!(f, "  payload        {:.1} MiB in {:.3} s", self.bytes as f64 / MIB as f64, self.seconds)?;
        writeln!(f, "  rate           {:.1} MB/s", self.mb_per_s)?;
        writeln!(f, "  CPU            {:.2} s user, {:.2} s system", self.user_s, self.sys_s)?;
        writeln!(f, "  machine busy   {:.1} %", 100.0 * self.cpu_busy)?;
        writeln!(f, "  calls          {}", self.calls)?;
        if let Some(sockets) = self.sockets {
            writeln!(f, "  connections    {sockets}")?;
        }
        if let Some(segments) = self.segments {
            writeln!(f, "  segments       {segments}")?;
        }
        if let (Some(turns), Some(empty)) = (self.turns, self.empty_turns) {
            writeln!(f, "  turns          {turns}, of which empty {empty}")?;
        }
        if let Some(frames) = self.frames_per_turn {
            writeln!(f, "  frames / turn  {frames:.1} (turns that found any)")?;
        }
        if let Some(fill) = self.bytes_per_completion {
            writeln!(f, "  bytes / compl. median {}, 99 % {}, most {}", fill.p50, fill.p99, fill.max)?;
        }
        for (name, value) in self.counters.iter().filter(|(_, value)| **value != 0) {
            writeln!(f, "  {name:<14} {value}")?;
        }
        match (&self.sha256, self.sha256_ok) {
            (Some(digest), Some(true)) => writeln!(f, "  SHA-256        {digest} (the remote says the same)"),
            (Some(digest), _) => writeln!(f, "  SHA-256        {digest} DIFFERS from the remote's"),
            (None, Some(true)) => {
                writeln!(f, "  SHA-256        the remote says the same on every connection")
            }
            (None, Some(false)) => writeln!(f, "  SHA-256        DIFFERS from the remote's"),
            (None, None) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_reads_back_and_absent_fields_are_none() {
        let usage = Usage { seconds: 2.0, user_s: 0.5, sys_s: 1.0, busy: 0.75 };
        let report = Report::new("sync-recv", 4_000_000, &usage);
        let text = report.to_json().unwrap();
        assert_eq!(serde_json::from_str::<Report>(&text).unwrap(), report);
        assert!(text.contains("\"mb_per_s\":2.0"), "{text}");
    }

    #[test]
    fn a_wrong_hash_is_loud() {
        let mut report = Report::new("x", 1, &Usage::default());
        report.sha256 = Some("00".into());
        report.sha256_ok = Some(false);
        assert!(report.to_string().contains("DIFFERS"));
    }
}
