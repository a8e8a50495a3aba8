//! The driver beside DPDK's testpmd: both do every job, and the harness feeds them evenly.
#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, reason = "a test that cannot run says so")]

mod common;

use common::{Rig, wanted};
use naio_rig::driver::{self, Plan};
use naio_rig::setup::testpmd;

const PLAN: Plan = Plan { runs: 1, frames: 20_000 };
/// Both programs poll for 32 frames at a time.
const BURST: f64 = 32.0;

#[test]
fn every_job_is_done_in_full_bursts_and_costs_no_more_than_dpdks() {
    if !wanted() {
        return;
    }
    let rig = Rig::ready();
    let say = |line: &str| eprintln!("rig: {line}");
    // What needs no package is tested without it.
    let testpmd = testpmd::ensure(&rig.paths, &say)
        .inspect_err(|error| println!("skipped: testpmd, and the comparison with it: {error}"))
        .ok();
    let records = driver::run(&rig.paths, &rig.parts, testpmd.as_ref(), &PLAN, &say);
    let records = records.unwrap_or_else(|e| panic!("{e}"));
    println!("{}", driver::table(&records));
    assert_eq!(records.len(), if testpmd.is_some() { 10 } else { 6 });
    for record in &records {
        let (polled, cost) = (record.frames_per_poll, record.insn_user_per_frame);
        assert!(polled > BURST - 0.5 && polled <= BURST, "{record:?}");
        // A counter that is not there shows as nothing at all.
        assert!(record.frames >= PLAN.frames && cost > 10.0, "{record:?}");
    }
    for verdict in driver::verdicts(&records) {
        assert!(verdict.holds(), "{verdict}");
    }
}
