//! The errors that need another machine: one without an IOMMU, and one where a foreign card shares our IOMMU group.
#![forbid(unsafe_code)]

mod common;

use common::{Rig, assert_clear_error, naio, naio_on_card, wanted};
use naio_rig::arm::CARD;
use naio_rig::qemu::{Card, E1000, Iommu, Machine, Wire};

/// The cards behind the bridge, whose bus is the first after the root's.
const BRIDGED: &str = "0000:01:02.0";
const NEIGHBOUR: &str = "0000:01:03.0";

#[test]
fn a_machine_without_an_iommu_is_a_clear_error() {
    if !wanted() {
        return;
    }
    let rig = Rig::ready();
    // vfio-pci refuses a card without a group, so the failing bind is part of what the user sees.
    let script = format!(
        "try vfio load vfio_iommu_type1\ntry vfio-pci load vfio-pci\n\
         step bind 10 sh -c '. /lib.sh; bind {CARD} vfio-pci'\n\
         step no-iommu 30 {}\nexit 0\n",
        naio_on_card(1, "")
    );
    let machine = Machine { iommu: Iommu::Absent, ..Machine::with_peer(Iommu::Absent) };
    let outcome = rig.boot(&machine, &script);
    assert_ne!(outcome.results.step("bind").unwrap().status, Some(0), "there is an IOMMU after all");
    assert_clear_error(&outcome, "no-iommu", &["IOMMU"]);
}

#[test]
fn a_group_shared_with_a_foreign_driver_is_a_clear_error() {
    if !wanted() {
        return;
    }
    let rig = Rig::ready();
    let script = format!(
        "try vfio load vfio_iommu_type1\ntry vfio-pci load vfio-pci\ntry e1000 load e1000\n\
         try bind bind {BRIDGED} vfio-pci\ntry bind bind {NEIGHBOUR} e1000\n\
         step group 10 ls /sys/bus/pci/devices/{BRIDGED}/iommu_group/devices\n\
         step not-viable 30 {}\nexit 0\n",
        naio(BRIDGED, 1, "")
    );
    let card = |slot| Card { slot, behind_bridge: true, model: E1000, wire: Wire::Hub(1) };
    let machine = Machine { cards: vec![card(2), card(3)], ..Machine::with_peer(Iommu::Translated) };
    let outcome = rig.boot(&machine, &script);
    let group = outcome.results.step("group").unwrap_or_else(|e| panic!("{e}"));
    assert!(group.stdout.contains(NEIGHBOUR), "the cards do not share a group: {}", group.stdout);
    assert_clear_error(&outcome, "not-viable", &[NEIGHBOUR]);
}
