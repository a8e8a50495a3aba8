//! The counting plugin against a program whose instructions are known.
#![forbid(unsafe_code)]

mod common;

use common::{Rig, wanted};
use naio_rig::guest::Job;
use naio_rig::marks;
use naio_rig::process;
use naio_rig::qemu::{self, Boot, Iommu, Machine};
use std::process::Command;
use std::time::Duration;

const SOURCE: &str = include_str!("../plugin/calibrate.c");
const LIMIT: Duration = Duration::from_secs(90);

#[test]
fn known_instructions_are_counted_as_they_are() {
    if !wanted() {
        return;
    }
    let rig = Rig::ready();
    let source = rig.paths.root().join("calibrate.c");
    let program = rig.paths.root().join("calibrate");
    std::fs::write(&source, SOURCE).unwrap();
    let mut cc = Command::new("cc");
    cc.args(["-nostdlib", "-static", "-o"]).arg(&program).arg(&source);
    process::output(&mut cc, LIMIT).unwrap_or_else(|e| panic!("{e}"));

    let script = "step first 30 calibrate\nstep second 30 calibrate\nexit 0\n".to_owned();
    let job = Job { script, others: vec![("calibrate", program)], ..Job::default() };
    let machine = Machine { counting: true, cards: Vec::new(), ..Machine::with_peer(Iommu::Absent) };
    let boot =
        Boot { paths: &rig.paths, parts: &rig.parts, machine: &machine, job: &job, wire: None, limit: LIMIT };
    let outcome = qemu::boot(&boot, &mut |_| {}).unwrap_or_else(|e| panic!("{e}"));
    let runs = marks::runs(&outcome.marks).unwrap();
    assert_eq!(runs.len(), 2, "{}", outcome.marks);
    for run in &runs {
        // A block that an interrupt or a fault sends back to its beginning is entered, and counted, twice.
        let near = |counted: u64, known: u64| counted >= known && counted - known <= known / 1000 + 50;
        assert!(near(run.insns.user, 2 * 1_060_000), "{run:?}");
        assert!(near(run.empty.user, 2 * 40_000), "{run:?}");
        assert_eq!(run.empty_turns, 2, "{run:?}");
        assert!(near(run.rep.user, 4096) && near(run.rep_bytes.user, 4096), "{run:?}");
    }
}
