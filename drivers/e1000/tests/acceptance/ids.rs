//! Every id of the family (8254x fact sheet 1.1, 7.5 item 9): the claimed ones work, the others are refused by name.

use crate::bench::{Bench, CLAIMED, Closed, Memory, PROFILES, innocent, of_profile, rings};
use naio_device::Identity;
use naio_e1000::ids::{Media, PartError};
use naio_e1000::{EepromError, OpenError};
use naio_e1000_model::parts::PARTS;
use naio_e1000_model::{EepromKind, Options, Slot};
use naio_nic::{Health, Link, Nic};

const GIGABIT: Link = Link::Up { mbit_per_s: 1000, full_duplex: true };

#[test]
fn every_claimed_id_comes_up_in_every_slot_and_moves_frames() {
    for device_id in CLAIMED {
        for slot in [Slot::Pci33, Slot::Pci66, Slot::PciX133] {
            let closed = Closed::new(Options { device_id, slot, errata: true, ..Options::default() });
            let what = format!("{device_id:#x} in {slot:?}");
            let mut bench = closed.open(&rings(80, 80)).unwrap_or_else(|e| panic!("{what}: {e}"));
            let part = bench.nic.part();
            assert_eq!((part.device, part.media), (device_id, Media::Copper));
            assert_eq!((bench.nic.caps().model, bench.mac()), (part.name, Options::default().mac));
            assert_eq!((bench.nic.link(), bench.nic.health()), (GIGABIT, Health::Alive), "{what}");
            let mut memory = Memory::new(&bench.domain);
            bench.exchange_in(&[bench.frame(60, 1), bench.frame(1514, 2)], &what);
            bench.exchange_out(&mut memory, 3, &what);
            bench.innocent(&what);
        }
    }
}

#[test]
fn every_other_id_of_the_family_is_refused_by_name_before_anything_is_touched() {
    let mut refused = 0;
    for part in PARTS.iter().filter(|part| !CLAIMED.contains(&part.id)) {
        let closed = Closed::new(Options { device_id: part.id, ..Options::default() });
        let before = closed.card.registers();
        match closed.open(&rings(80, 80)).err() {
            Some(OpenError::Part(e @ PartError::NotYet { device, .. })) if device == part.id => {
                let text = e.to_string();
                assert!(text.contains(part.name) && text.contains(&format!("{device:04x}")), "{text}");
            }
            other => panic!("{:#x}: {other:?}", part.id),
        }
        assert_eq!(closed.card.registers(), before, "{:#x}", part.id);
        closed.innocent(part.name);
        refused += 1;
    }
    assert_eq!(refused + CLAIMED.len(), PARTS.len());
}

#[test]
fn strangers_are_refused_whatever_they_look_like() {
    for (vendor, device) in [(0x8086, 0x10d3), (0x1af4, 0x100e), (0x8086, 0x1000 - 1), (0xffff, 0xffff)] {
        let closed = Closed::new(Options::default());
        let [subsystem_vendor, subsystem] = [0, 0];
        closed.socket.pretend(Identity { vendor, device, subsystem_vendor, subsystem, revision: 0 });
        match closed.open(&rings(80, 80)).err() {
            Some(OpenError::Part(e @ PartError::Unknown { .. })) => {
                assert!(e.to_string().starts_with(&format!("{vendor:04x}:{device:04x}")), "{e}");
            }
            other => panic!("{vendor:#x}:{device:#x}: {other:?}"),
        }
    }
}

/// 8254x fact sheet 4.3, step 15: port B's address is the EEPROM's with the last bit flipped.
#[test]
fn the_second_port_of_a_dual_part_differs_in_the_last_bit_of_its_address() {
    for device_id in CLAIMED {
        let dual = [0x1010, 0x101d, 0x1079, 0x108a, 0x1099, 0x10b5].contains(&device_id);
        let mut bench = Bench::new(Options { device_id, function: 1, ..Options::default() });
        let mut expected = Options::default().mac;
        expected[5] ^= u8::from(dual);
        assert_eq!(bench.mac(), expected, "{device_id:#x}");
        let frame = bench.frame(100, 1);
        bench.exchange_in(&[frame], "to the second port");
    }
}

#[test]
fn either_size_of_eeprom_is_read_and_a_card_without_one_is_refused() {
    for (device_id, profile) in CLAIMED.into_iter().flat_map(|id| PROFILES.map(|profile| (id, profile))) {
        let bench =
            Bench::new(Options { eeprom: EepromKind::Microwire256, ..of_profile(device_id, profile) });
        assert_eq!(bench.mac(), Options::default().mac, "{device_id:#x} {profile:?}");
        bench.innocent("a large EEPROM");
    }
    for device_id in CLAIMED {
        let closed = Closed::new(Options { device_id, eeprom: EepromKind::Absent, ..Options::default() });
        let refused = closed.open(&rings(80, 80)).err();
        let expected = matches!(
            refused,
            Some(OpenError::NoAddress(EepromError::Checksum { .. } | EepromError::Busy(_)))
        );
        assert!(expected, "{device_id:#x}: {refused:?}");
        innocent(&closed.card, "no EEPROM");
    }
}
