//! The other card models of the family, the 82544GC and the 82545EM: received, sent and served right, each in one boot.
#![forbid(unsafe_code)]

mod common;

use common::{BIG_STEP, Rig, Shared, assert_report, echo_steps, prepare_two_cards};
use naio_rig::arm::Arm;
use naio_rig::qemu::{Iommu, Machine, OTHER_MODELS, Outcome};

/// Payload in each direction.
const MIB: u64 = 8;

static GUESTS: [Shared<Outcome>; 2] = [Shared::new(), Shared::new()];

fn assert_works(number: usize) {
    let outcome = GUESTS[number].outcome(|| {
        let machine = Machine::with_peer(Iommu::Translated).model(OTHER_MODELS[number]);
        let steps = [Arm::NaioRecv, Arm::NaioSend]
            .map(|arm| format!("step {} {BIG_STEP} {}\n", arm.name(), arm.command(MIB, true)));
        let bind = Arm::NaioRecv.prepare();
        let script = [prepare_two_cards(), bind, steps.concat(), echo_steps(2, 10, 1), "exit 0\n".into()];
        Rig::ready().boot(&machine, &script.concat())
    });
    let Some(outcome) = outcome else { return };
    for arm in [Arm::NaioRecv, Arm::NaioSend] {
        let report = assert_report(outcome, arm.name());
        assert_eq!((report.bytes, report.sha256_ok), (MIB << 20, Some(true)), "{}", arm.name());
    }
    let (client, server) = (assert_report(outcome, "sync-echo"), assert_report(outcome, "naio-echo"));
    assert!(client.bytes > 1 << 20 && client.bytes == server.bytes, "{client:?} {server:?}");
}

#[test]
fn the_82544gc_receives_sends_and_serves() {
    assert_works(0);
}

#[test]
fn the_82545em_receives_sends_and_serves() {
    assert_works(1);
}
