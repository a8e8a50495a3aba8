//! The comparison as text: every run, then for each arm the medians, then the ratios.

use super::Topology;
use super::record::Record;
use crate::arm::{Arm, Experiment};
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

/// One kind of run: an arm in an IOMMU mode, in order of first appearance.
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
    for record in records {
        row(&mut out, &record.run.to_string(), record);
    }
    let kinds = kinds(records);
    for kind in &kinds {
        row(&mut out, "median", &median_of(records, *kind));
    }
    ratios(&mut out, records, &kinds);
    references(&mut out, experiment, topology, records, &kinds);
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

fn row(out: &mut String, name: &str, r: &Record) {
    let thousands = |n: f64| format!("{:.1}", n / 1e3);
    let _ = writeln!(
        out,
        "{:<6} {:<20} {:<10} {:>7.1} {:>6.1} {:>9} {:>9} {:>9} {:>9} {:>9} {:>7} {:>6}",
        name,
        r.arm,
        r.iommu,
        r.mb_per_s,
        100.0 * r.cpu_busy,
        thousands(r.insn_user_per_mib),
        thousands(r.insn_kernel_per_mib),
        thousands(r.insn_per_mib()),
        thousands(r.empty_turn_insn_per_mib),
        thousands(r.rep_user_per_mib + r.rep_kernel_per_mib),
        r.frames_per_turn.map_or("-".to_owned(), |f| format!("{f:.1}")),
        r.sha256_ok.map_or("-", |ok| if ok { "ok" } else { "WRONG" }),
    );
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
        let (naio, kernel) = (median_of(records, *ours), median_of(records, *theirs));
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

fn references(
    out: &mut String,
    experiment: Experiment,
    topology: Topology,
    records: &[Record],
    kinds: &[Kind],
) {
    // The figures of the design are those of the kernel's usual arm.
    let Some(&kernel) = experiment.arms().iter().find(|arm| !arm.is_naio()) else { return };
    for (mode, reference) in reference(experiment, topology).into_iter().flatten() {
        if kinds.contains(&(kernel, mode)) {
            let here = median_of(records, (kernel, mode)).insn_per_mib();
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

fn kinds(records: &[Record]) -> Vec<Kind> {
    let mut kinds = Vec::new();
    for record in records {
        if !kinds.contains(&(record.who, record.iommu)) {
            kinds.push((record.who, record.iommu));
        }
    }
    kinds
}

/// Each column's median over the runs of one kind. The kind has at least one run.
fn median_of(records: &[Record], kind: Kind) -> Record {
    let runs: Vec<&Record> = records.iter().filter(|r| (r.who, r.iommu) == kind).collect();
    let column = |f: &dyn Fn(&Record) -> f64| median(runs.iter().map(|r| f(r)).collect());
    let optional = |f: &dyn Fn(&Record) -> Option<f64>| {
        let some: Vec<f64> = runs.iter().filter_map(|r| f(r)).collect();
        (!some.is_empty()).then(|| median(some))
    };
    let mut result = runs[0].clone();
    result.seconds = column(&|r| r.seconds);
    result.mb_per_s = column(&|r| r.mb_per_s);
    result.cpu_busy = column(&|r| r.cpu_busy);
    result.insn_user_per_mib = column(&|r| r.insn_user_per_mib);
    result.insn_kernel_per_mib = column(&|r| r.insn_kernel_per_mib);
    result.rep_user_per_mib = column(&|r| r.rep_user_per_mib);
    result.rep_kernel_per_mib = column(&|r| r.rep_kernel_per_mib);
    result.empty_turn_insn_per_mib = column(&|r| r.empty_turn_insn_per_mib);
    result.empty_turns_per_mib = column(&|r| r.empty_turns_per_mib);
    result.frames_per_turn = optional(&|r| r.frames_per_turn);
    result
}

/// The middle value, or the mean of the two in the middle; `values` is not empty.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 { values[middle] } else { f64::midpoint(values[middle - 1], values[middle]) }
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

    #[test]
    fn the_median_of_an_even_number_is_in_between() {
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), 2.5);
        assert_eq!(median(vec![7.0]), 7.0);
    }
}
