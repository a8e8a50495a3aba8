//! The comparison as text: every run, the medians, and whether naio's driver needs no more than testpmd's.

use super::Record;
use super::job::{Mode, Who, Work};
use crate::table::{self, Row};
use core::fmt::{self, Write as _};

/// A job that both arms did.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict {
    /// Which way.
    pub mode: Mode,
    /// Bytes of a frame without FCS.
    pub size: u16,
    /// Medians of user instructions per frame.
    pub naio: f64,
    /// The other arm's.
    pub testpmd: f64,
}

impl Verdict {
    /// Whether naio needs no more.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.naio <= self.testpmd
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mode, verdict) = (self.mode.name(), if self.holds() { "kept" } else { "MISSED" });
        write!(
            f,
            "{mode} {:>4}: naio {:.1}, testpmd {:.1} user instructions per frame ({:.2}): {verdict}",
            self.size,
            self.naio,
            self.testpmd,
            self.naio / self.testpmd
        )
    }
}

/// One verdict for each job that both arms did, in order of first appearance.
#[must_use]
pub fn verdicts(records: &[Record]) -> Vec<Verdict> {
    let user = |work: Work| table::median_of(records, work).map(|record| record.insn_user_per_frame);
    let naio = table::kinds(records).into_iter().filter(|work| work.who == Who::Naio);
    naio.filter_map(|work| {
        let (naio, testpmd) = (user(work)?, user(Work { who: Who::Testpmd, ..work })?);
        Some(Verdict { mode: work.mode, size: work.size, naio, testpmd })
    })
    .collect()
}

pub(super) fn render(records: &[Record]) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail; the results are dropped for that reason throughout this file.
    let _ = writeln!(out, "driver, raw frames over vfio-pci behind the IOMMU, one CPU");
    let _ = writeln!(
        out,
        "{:<6} {:<4} {:>4} {:<10} {:>9} {:>7} {:>8} {:>8} {:>8} {:>8}",
        "run", "mode", "size", "arm", "frames/s", "frames", "user", "kernel", "empty", "rep"
    );
    let _ = writeln!(
        out,
        "{:<6} {:<4} {:>4} {:<10} {:>9} {:>7} {:>35}",
        "", "", "", "", "", "/poll", "guest instructions/frame "
    );
    table::rows(&mut out, records);
    let _ = writeln!(out);
    for verdict in verdicts(records) {
        let _ = writeln!(out, "{verdict}");
    }
    let _ = writeln!(
        out,
        "\nuser: from one poll to the next, with what the program does to each frame. naio hands over 42 bytes of headers\n\
         and the rest by reference, as its stack does, and the card completes the UDP checksum; naio-whole writes the\n\
         headers in front of the rest, as testpmd does into a buffer from its pool. Both programs count what they\n\
         receive and give the buffers back. empty: user instructions of turns that found nothing, apart: being fed,\n\
         and for testpmd its marks; that DPDK calls them, some ten instructions a poll, is in testpmd's figure. rep:\n\
         iterations of string instructions, apart. frames/s is the guest's clock without being fed, under emulation\n\
         and with the plugin: indicative at most."
    );
    out
}

impl Row for Record {
    type Kind = Work;

    fn kind(&self) -> Work {
        self.work
    }

    fn run(&self) -> u32 {
        self.run
    }

    fn figures(&mut self) -> Vec<&mut f64> {
        vec![
            &mut self.frames_per_poll,
            &mut self.seconds,
            &mut self.frames_per_s,
            &mut self.insn_user_per_frame,
            &mut self.insn_kernel_per_frame,
            &mut self.empty_insn_user_per_frame,
            &mut self.rep_user_per_frame,
        ]
    }

    fn cells(&self) -> String {
        format!(
            "{:<4} {:>4} {:<10} {:>9.0} {:>7.1} {:>8.1} {:>8.1} {:>8.1} {:>8.1}",
            self.mode,
            self.size,
            self.arm,
            self.frames_per_s,
            self.frames_per_poll,
            self.insn_user_per_frame,
            self.insn_kernel_per_frame,
            self.empty_insn_user_per_frame,
            self.rep_user_per_frame,
        )
    }
}

#[cfg(test)]
mod tests {
    use super::super::job::Report;
    use super::*;
    use crate::marks::{Counts, Split};

    fn record(mode: Mode, size: u16, who: Who, user: u64) -> Record {
        let report = Report { frames: 10, frames_per_s: 5.0, ..Report::default() };
        let insns = Split { user: user + 40, kernel: 30 };
        let counts = Counts { insns, empty: Split { user: 40, kernel: 10 }, ..Counts::default() };
        Record::new(Work { mode, size, who }, 1, &report, &counts)
    }

    #[test]
    fn a_job_is_judged_by_the_medians_of_its_own_runs() {
        let mut records = Vec::new();
        for (naio, testpmd) in [(900, 1000), (950, 990), (9_000, 1000)] {
            records.push(record(Mode::Tx, 64, Who::Naio, naio));
            records.push(record(Mode::Tx, 64, Who::Testpmd, testpmd));
            records.push(record(Mode::Rx, 64, Who::Naio, 1001));
            records.push(record(Mode::Rx, 64, Who::Testpmd, 1000));
        }
        let verdicts = verdicts(&records);
        let said: Vec<(Mode, f64, bool)> = verdicts.iter().map(|v| (v.mode, v.naio, v.holds())).collect();
        assert_eq!(said, [(Mode::Tx, 95.0, true), (Mode::Rx, 100.1, false)]);
        let text = render(&records);
        assert_eq!((text.matches("median").count(), text.matches("MISSED").count()), (4, 1), "{text}");
    }

    #[test]
    fn an_arm_alone_is_shown_and_not_judged() {
        let records = [record(Mode::Rx, 1500, Who::Naio, 700)];
        assert!(verdicts(&records).is_empty());
        let text = render(&records);
        assert!(text.contains("70.0") && !text.contains("testpmd 7"), "{text}");
    }

    #[test]
    fn json_has_the_promised_keys_and_empty_turns_are_apart() {
        let json = serde_json::to_value(record(Mode::Rx, 64, Who::Testpmd, 700)).unwrap();
        for key in "experiment mode size arm run frames frames_per_poll seconds frames_per_s".split(' ') {
            assert!(json.get(key).is_some(), "{key}");
        }
        assert_eq!(json["insn_user_per_frame"].as_f64(), Some(70.0));
        assert_eq!(json["insn_kernel_per_frame"].as_f64(), Some(2.0));
        assert_eq!(json["empty_insn_user_per_frame"].as_f64(), Some(4.0));
    }
}
