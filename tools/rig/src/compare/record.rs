//! One run as it goes into the table and the JSON file.

use super::Topology;
use crate::arm::{Arm, Report};
use crate::marks::Counts;
use crate::qemu::{E1000, Iommu};
use serde::Serialize;

/// One binary megabyte.
const MIB: f64 = 1_048_576.0;

/// A measured run. Fields an arm does not have are `null` in JSON.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Record {
    /// `recv`, `send` or `sendfile`.
    pub experiment: &'static str,
    /// `tap` (the measured side alone) or `two-cards` (both sides).
    pub topology: &'static str,
    /// `naio-recv`, `kernel-recv`, `naio-send` …
    pub arm: &'static str,
    /// `translated` or `pt`.
    pub iommu: &'static str,
    /// QEMU's card model.
    pub model: &'static str,
    /// Round, from 1.
    pub run: u32,
    /// Payload moved.
    pub bytes: u64,
    /// Wall time between the marks, under emulation and with the plugin: indicative.
    pub seconds: f64,
    /// The same as a rate, 10^6 bytes a second.
    pub mb_per_s: f64,
    /// Share of the guest's one CPU that was not idle, 0 to 1.
    pub cpu_busy: f64,
    /// Guest user instructions per MiB, `rep` iterations apart, and over a TAP empty turns apart.
    pub insn_user_per_mib: f64,
    /// The same in the kernel.
    pub insn_kernel_per_mib: f64,
    /// Instructions in turns that found nothing, per MiB, user and kernel together; the kernel's arm has no turns.
    pub empty_turn_insn_per_mib: f64,
    /// How many such turns there were, per MiB.
    pub empty_turns_per_mib: f64,
    /// Iterations of `rep` string instructions per MiB, user mode; not in the figures above.
    pub rep_user_per_mib: f64,
    /// The same in the kernel, where payload is copied so.
    pub rep_kernel_per_mib: f64,
    /// Mean frames in a turn that found any (naio only).
    pub frames_per_turn: Option<f64>,
    /// Whether the hashed run of this arm with the same arguments was right.
    pub sha256_ok: Option<bool>,
    /// The arm again, for code.
    #[serde(skip)]
    pub who: Arm,
}

impl Record {
    pub(super) fn new(
        who: Arm,
        (topology, iommu): (Topology, Iommu),
        run: u32,
        report: &Report,
        counts: &Counts,
    ) -> Self {
        // A run of no bytes has no figure per MiB; dividing by one byte shows that as absurd figures, not as NaN.
        let mib = report.bytes.max(1) as f64 / MIB;
        let per_mib = |n: u64| n as f64 / mib;
        // A turn that finds nothing gives the CPU away, and with both sides on one CPU that is when the remote works.
        let figure = if topology == Topology::TwoCards { counts.insns } else { counts.insns - counts.empty };
        Self {
            experiment: who.experiment().name(),
            topology: topology.name(),
            arm: who.name(),
            iommu: iommu.name(),
            model: E1000,
            run,
            bytes: report.bytes,
            seconds: report.seconds,
            mb_per_s: report.mb_per_s,
            cpu_busy: report.cpu_busy,
            insn_user_per_mib: per_mib(figure.user),
            insn_kernel_per_mib: per_mib(figure.kernel),
            empty_turn_insn_per_mib: per_mib(counts.empty.total()),
            empty_turns_per_mib: per_mib(counts.empty_turns),
            rep_user_per_mib: per_mib(counts.rep.user),
            rep_kernel_per_mib: per_mib(counts.rep.kernel),
            frames_per_turn: report.frames_per_turn,
            sha256_ok: report.sha256_ok,
            who,
        }
    }

    /// User and kernel together: the figure that is compared.
    #[must_use]
    pub fn insn_per_mib(&self) -> f64 {
        self.insn_user_per_mib + self.insn_kernel_per_mib
    }

    pub(super) fn brief(&self) -> String {
        format!(
            "{} {}: {:.3} M instructions/MiB, {:.1} MB/s",
            self.arm,
            self.iommu,
            self.insn_per_mib() / 1e6,
            self.mb_per_s
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::marks::Split;

    #[test]
    fn empty_turns_are_taken_off_and_shown() {
        let report = Report { bytes: 2 << 20, mb_per_s: 5.0, ..Report::default() };
        let counts = Counts {
            insns: Split { user: 1000, kernel: 500 },
            empty: Split { user: 200, kernel: 100 },
            empty_turns: 4,
            ..Counts::default()
        };
        let record = Record::new(Arm::NaioRecv, (Topology::Tap, Iommu::Translated), 1, &report, &counts);
        assert_eq!((record.insn_user_per_mib, record.insn_kernel_per_mib), (400.0, 200.0));
        assert_eq!((record.empty_turn_insn_per_mib, record.empty_turns_per_mib), (150.0, 2.0));
    }

    #[test]
    fn json_has_the_promised_keys_with_bare_numbers() {
        let record = Record::new(
            Arm::KernelRecv,
            (Topology::Tap, Iommu::PassThrough),
            3,
            &Report { bytes: 1, ..Report::default() },
            &Counts::default(),
        );
        let json = serde_json::to_value(&record).unwrap();
        for key in
            "experiment topology arm iommu model run bytes seconds mb_per_s cpu_busy insn_user_per_mib \
                    insn_kernel_per_mib empty_turn_insn_per_mib frames_per_turn sha256_ok"
                .split_ascii_whitespace()
        {
            assert!(json.get(key).is_some(), "{key}");
        }
        assert_eq!((json["arm"].as_str(), json["iommu"].as_str()), (Some("kernel-recv"), Some("pt")));
        assert!(json["insn_user_per_mib"].is_number() && json["run"].is_u64());
    }
}
