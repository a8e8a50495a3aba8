//! The comparison as text: every run, then for each arm the medians, then the ratios.

use super::Topology;
use super::record::Record;
use crate::arm::{Arm, Experiment};
use crate::table::{self, Row};
use core::fmt::Write as _;

/// What a rig of this kind showed for the kernel when it was designed (Debian 12, kernel 6.1, QEMU 7.2), instructions
/// per MiB, translated and `pt`. A rig that is far from them counts something else. Sending over a TAP has none: it
/// varied by half.
fn reference(experiment: Experiment, topology: Topology) -> Option<[(&'static str, f64); 2]> {
    let (translated, pt) = match (experiment, topology) {
        (Experiment::Recv, Topology::Tap) => (3.28e6, 1.76e6),
        (Experiment::Recv, Topology::TwoCards) => (5.2e6, 3.04e6),
        (Experiment::Send, Topology::TwoCards) => (5.3e6, 2.92e6),
        _ => return None,
    };
    Some([("translated", translated), ("pt", pt)])
}

/// One kind of run: an arm in an IOMMU mode.
type Kind = (Arm, &'static str);

pub(super) fn render(experiment: Experiment, topology: Topology, records: &[Record]) -> String {
    let mut out = String::new();
    // Writing to a String cannot fail; the results are dropped for that reason throughout this file.
    let sides = match topology {
        Topology::Tap => "over a TAP: the measured side alone",
        Topology::TwoCards => "two cards in one guest: both sides together, the remote's included",
    };
    let _ = writeln!(out, "{}, {sides}", experiment.name());
    let _ = writeln!(
        out,
        "{:<6} {:<20} {:<10} {:>7} {:>6} {:>9} {:>9} {:>9} {:>9} {:>9} {:>7} {:>6}",
        "run", "arm", "iommu", "MB/s", "busy", "user", "kernel", "together", "empty", "rep", "frames", "sha"
    );
    let _ = writeln!(
        out,
        "{:<6} {:<20} {:<10} {:>7} {:>6} {:>49} {:>7} {:>6}",
        "", "", "", "", "%", "guest instructions/MiB, thousands ", "/turn", "256"
    );
    table::rows(&mut out, records);
    let kinds = table::kinds(records);
    ratios(&mut out, records, &kinds);
    references(&mut out, experiment, topology, records);
    let _ = writeln!(
        out,
        "\nempty: turns that found nothing, {}. rep: iterations of string instructions\n\
         (the kernel copies payload so), apart. MB/s is {}.",
        match topology {
            Topology::Tap => "apart from the figures",
            Topology::TwoCards => "in the figures, because the remote works in them",
        },
        match topology {
            Topology::Tap => "indicative: it moves from run to run by tens of per cent",
            Topology::TwoCards => "of the guest's clock, 4 ns an instruction",
        }
    );
    out
}

impl Row for Record {
    type Kind = Kind;

    fn kind(&self) -> Kind {
        (self.who, self.iommu)
    }

    fn run(&self) -> u32 {
        self.run
    }

    fn figures(&mut self) -> Vec<&mut f64> {
        let mut figures = vec![
            &mut self.seconds,
            &mut self.mb_per_s,
            &mut self.cpu_busy,
            &mut self.insn_user_per_mib,
            &mut self.insn_kernel_per_mib,
            &mut self.rep_user_per_mib,
            &mut self.rep_kernel_per_mib,
            &mut self.empty_turn_insn_per_mib,
            &mut self.empty_turns_per_mib,
        ];
        figures.extend(&mut self.frames_per_turn);
        figures
    }

    fn cells(&self) -> String {
        let thousands = |n: f64| format!("{:.1}", n / 1e3);
        format!(
            "{:<20} {:<10} {:>7.1} {:>6.1} {:>9} {:>9} {:>9} {:>9} {:>9} {:>7} {:>6}",
            self.arm,
            self.iommu,
            self.mb_per_s,
            100.0 * self.cpu_busy,
            thousands(self.insn_user_per_mib),
            thousands(self.insn_kernel_per_mib),
            thousands(self.insn_per_mib()),
            thousands(self.empty_turn_insn_per_mib),
            thousands(self.rep_user_per_mib + self.rep_kernel_per_mib),
            self.frames_per_turn.map_or("-".to_owned(), |f| format!("{f:.1}")),
            self.sha256_ok.map_or("-", |ok| if ok { "ok" } else { "WRONG" }),
        )
    }
}

fn ratios(out: &mut String, records: &[Record], kinds: &[Kind]) {
    let _ = writeln!(out);
    let ours = kinds.iter().filter(|(arm, _)| arm.is_naio());
    let pairs = ours.flat_map(|ours| kinds.iter().map(move |theirs| (ours, theirs)));
    for (ours, theirs) in pairs.filter(|(_, (arm, _))| !arm.is_naio()) {
        // Over a TAP naio runs in one mode only, because the mode means nothing to it.
        if ours.1 != theirs.1 && kinds.contains(&(ours.0, theirs.1)) {
            continue;
        }
        let medians = (table::median_of(records, *ours), table::median_of(records, *theirs));
        let (Some(naio), Some(kernel)) = medians else { continue };
        let _ = writeln!(
            out,
            "{} / {} {:<10}  instructions {:.2}, MB/s {:.2}",
            naio.arm,
            kernel.arm,
            kernel.iommu,
            naio.insn_per_mib() / kernel.insn_per_mib(),
            naio.mb_per_s / kernel.mb_per_s
        );
    }
}

fn references(out: &mut String, experiment: Experiment, topology: Topology, records: &[Record]) {
    // The figures of the design are those of the kernel's usual arm.
    let Some(&kernel) = experiment.arms().iter().find(|arm| !arm.is_naio()) else { return };
    for (mode, reference) in reference(experiment, topology).into_iter().flatten() {
        if let Some(here) = table::median_of(records, (kernel, mode)) {
            let here = here.insn_per_mib();
            let _ = writeln!(
                out,
                "{} {mode:<10} {:.2} M here, {:.2} M when the rig was designed ({:+.1} %)",
                kernel.name(),
                here / 1e6,
                reference / 1e6,
                100.0 * (here / reference - 1.0)
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arm::Report;
    use crate::marks::{Counts, Split};
    use crate::qemu::Iommu;

    fn record(arm: Arm, iommu: Iommu, run: u32, user: u64) -> Record {
        let report = Report { bytes: 1 << 20, mb_per_s: 50.0, sha256_ok: Some(true), ..Report::default() };
        let insns = Split { user, kernel: 0 };
        Record::new(arm, (Topology::Tap, iommu), run, &report, &Counts { insns, ..Counts::default() })
    }

    #[test]
    fn medians_and_ratio_are_over_the_right_runs() {
        let mut records = Vec::new();
        for (run, naio) in [(1, 880_000), (2, 900_000), (3, 5_000_000)] {
            records.push(record(Arm::NaioRecv, Iommu::Translated, run, naio));
            records.push(record(Arm::KernelRecv, Iommu::PassThrough, run, 1_800_000));
        }
        let text = render(Experiment::Recv, Topology::Tap, &records);
        assert!(text.contains("naio-recv / kernel-recv pt          instructions 0.50, MB/s 1.00"), "{text}");
        assert!(text.contains("(+2.3 %)"), "{text}");
        assert_eq!(text.matches("median").count(), 2, "{text}");
    }
}
