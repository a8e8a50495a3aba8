//! The same traffic on every emulator's card (8254x fact sheet 7.5 item 10), and each line of the consequence table
//! 6.4 as a test of its own.

use crate::bench::{Bench, CLAIMED, Closed, Memory, PEER, PROFILES, bytes, inline, of_profile, rings};
use naio_device::{Device, Doorbell, Registers};
use naio_e1000::{Config, OpenError};
use naio_e1000_model::parts::EerdLayout;
use naio_e1000_model::{Card, Options, Profile, Quirks};
use naio_nic::{Nic, RxChecksum};
use naio_testkit::{Segment, Udp};
use std::time::Duration;

const MTA: u32 = 0x5200;
const RAL0: u32 = 0x5400;
const VFTA: u32 = 0x5600;
const RCTL: u32 = 0x0100;
const TCTL: u32 = 0x0400;

#[test]
fn every_claimed_id_works_the_same_on_every_emulator() {
    for (device_id, profile) in CLAIMED.into_iter().flat_map(|id| PROFILES.map(|profile| (id, profile))) {
        let what = format!("{device_id:#x} {profile:?}");
        let mut bench = Bench::new(of_profile(device_id, profile));
        let mut memory = Memory::new(&bench.domain);
        for round in 0..8 {
            let frames: Vec<Vec<u8>> = (0..20).map(|n| bench.frame(60 + n * 73, round)).collect();
            bench.exchange_in(&frames, &what);
            bench.exchange_out(&mut memory, 20, &what);
        }
        bench.innocent(&what);
        let mut bench = bench.reopen();
        bench.exchange_in(&[bench.frame(100, 1)], &what);
        bench.innocent(&what);
    }
}

fn pending(card: &Card) -> usize {
    card.fifo_frames()
}

/// "Write every register you use explicitly, zero filters": a predecessor left everything as wrong as it could.
#[test]
fn nothing_that_a_driver_before_left_in_a_register_matters() {
    for profile in PROFILES {
        let closed = Closed::new(of_profile(0x100e, profile));
        {
            let before = closed.socket.device();
            before.doorbell(0x2818).expect("a tail").ring(77);
            before.doorbell(0x3818).expect("a tail").ring(99);
            // Timers, thresholds, checksum offsets, flow control, wake-up, interrupts; then the filters wide open.
            let wrong = [
                (0x0028, 1),
                (0x002c, 2),
                (0x0030, 3),
                (0x0038, 0x8100),
                (0x00c4, 0xffff),
                (0x00d0, 0x1_ffff),
                (0x0170, 0xffff),
                (0x0410, 0x3fff_ffff),
                (0x2160, 0xfff8),
                (0x2168, 0xfff8),
                (0x2820, 0xffff),
                (0x2828, 0x003f_3f3f),
                (0x282c, 0xffff),
                (0x3820, 0xffff),
                (0x3828, 0x003f_3f3f),
                (0x382c, 0xffff),
                (0x5000, 0x7ff),
                (0x5800, 7),
                (0x2810, 55),
                (0x3810, 66),
                (0x2804, 9),
                (0x3804, 9),
            ];
            wrong.iter().for_each(|(offset, value)| before.write(*offset, *value));
            for n in 0..128 {
                before.write(MTA + 4 * n, u32::MAX);
                before.write(VFTA + 4 * n, u32::MAX);
            }
            // RA15 is firmware's (8254x fact sheet 4.3, step 17).
            for n in 0..30 {
                before.write(RAL0 + 4 * n, 0x8000_1234);
            }
            // Promiscuous, storing bad frames, VLAN filter on, buffers of 256; no padding, wrong thresholds.
            before.write(TCTL, 0x003f_f000);
            before.write(RCTL, 0x0003_001c | 1 << 18);
        }
        let _ = closed.card.take_violations();
        let mut bench = closed.open(&rings(80, 80)).unwrap_or_else(|e| panic!("{profile:?}: {e}"));
        let what = format!("{profile:?} after a bad predecessor");
        // RA0 is ours; the others, and both tables, are empty.
        let filters = (0..128).flat_map(|n| [MTA + 4 * n, VFTA + 4 * n]).chain((2..30).map(|n| RAL0 + 4 * n));
        for offset in filters {
            assert_eq!(bench.card.peek(offset), 0, "{what}: {offset:#x}");
        }
        let mut memory = Memory::new(&bench.domain);
        bench.exchange_in(&[bench.frame(60, 1), bench.frame(1514, 2)], &what);
        bench.exchange_out(&mut memory, 5, &what);
        let (other, group) = ([0x34, 0x12, 0, 0x80, 0x34, 0x12], [1, 0, 0x5e, 0, 0, 1]);
        bench.arrive(&[bytes(other, PEER, 100, 1), bytes(group, PEER, 100, 1)]);
        assert!(bench.taken().is_empty() && pending(&bench.card) == 0, "{what}: filters are empty");
        // A VLAN tag is neither filtered nor stripped.
        let mut tagged = bench.frame(100, 3);
        tagged[12..16].copy_from_slice(&[0x81, 0, 0x0f, 0xff]);
        bench.exchange_in(&[tagged], &what);
        assert!(!bench.card.interrupt_pin(), "{what}: nobody asked for an interrupt");
        bench.innocent(&what);
    }
}

/// "After RCTL write, write RDT": QEMU takes nothing for a second otherwise.
#[test]
fn the_first_frame_after_opening_is_received_at_once() {
    for profile in PROFILES {
        let mut bench = Bench::new(of_profile(0x100e, profile));
        let now = bench.card.next_event_us();
        bench.exchange_in(&[bench.frame(100, 1)], &format!("{profile:?}, next event {now:?}"));
        bench.nic.set_multicast(&[naio_nic::Mac([1, 0, 0x5e, 0, 0, 1])]);
        bench.exchange_in(&[bench.frame(100, 2)], &format!("{profile:?} after the filter changed"));
    }
}

/// "Read EEPROM for MAC, accept either EERD layout": the pins grant nothing, so that EERD is all there is.
#[test]
fn the_address_is_read_in_either_layout_of_the_read_register() {
    for (device_id, layout) in
        CLAIMED.into_iter().flat_map(|id| [EerdLayout::A, EerdLayout::B].map(|layout| (id, layout)))
    {
        let quirks =
            Quirks { eerd_layout: Some(layout), reset_leaves_address_invalid: true, ..Quirks::default() };
        let closed = Closed::new(Options { device_id, quirks, ..Options::default() });
        closed.card.inject(|faults| faults.eecd_never_grants = true);
        // The 82544 asks for no grant: its pins work.
        let bench = closed.open(&rings(80, 80)).unwrap_or_else(|e| panic!("{device_id:#x} {layout:?}: {e}"));
        assert_eq!(bench.mac(), Options::default().mac, "{device_id:#x} {layout:?}");
        bench.innocent("EERD");
    }
}

/// "Honour IXSM": a verdict only where the card gives one.
#[test]
fn a_checksum_is_vouched_for_where_the_card_has_judged_it_and_it_is_right() {
    for profile in PROFILES {
        let judges = matches!(profile, Profile::Silicon | Profile::Vmware);
        for device_id in CLAIMED {
            let mut bench = Bench::new(of_profile(device_id, profile));
            let (a, b) = ([10, 0, 0, 1], [10, 0, 0, 2]);
            let mac = bench.mac();
            let tcp = Segment::new(a, 1, b, 2).payload(&[1; 100]).ethernet(PEER, mac);
            let udp = Udp::new((a, 1), (b, 2), &[2; 100]).ethernet(PEER, mac);
            let mut wrong = udp.clone();
            wrong[100] ^= 1;
            let mut wrong_header = tcp.clone();
            wrong_header[22] ^= 1;
            let plain = bench.frame(100, 1);
            let good = if judges { RxChecksum::Good } else { RxChecksum::Unknown };
            for (frame, expected) in [
                (tcp, good),
                (udp, good),
                (wrong, RxChecksum::Unknown),
                (wrong_header, RxChecksum::Unknown),
                (plain, RxChecksum::Unknown),
            ] {
                bench.arrive(std::slice::from_ref(&frame));
                assert!(bench.take() == [(frame, expected)], "{device_id:#x} {profile:?}: {expected:?}");
            }
            bench.innocent("checksums");
        }
    }
}

/// IXSM, with verdicts beside it that say the checksums are right, of a frame whose checksum is not.
#[test]
fn a_verdict_that_the_card_says_to_ignore_is_ignored() {
    const IXSM_TCPCS_IPCS: u8 = 1 << 2 | 1 << 5 | 1 << 6;
    for profile in PROFILES {
        let mut bench = Bench::new(of_profile(0x100e, profile));
        bench.card.inject(|faults| faults.rx_status = IXSM_TCPCS_IPCS);
        let mut wrong =
            Udp::new(([10, 0, 0, 1], 1), ([10, 0, 0, 2], 2), &[2; 100]).ethernet(PEER, bench.mac());
        wrong[100] ^= 1;
        let plain = bench.frame(100, 1);
        bench.arrive(&[wrong.clone(), plain.clone()]);
        let unknown = RxChecksum::Unknown;
        assert!(bench.take() == [(wrong, unknown), (plain, unknown)], "{profile:?}");
        bench.innocent("ignored");
    }
}

/// "Pad to 60 bytes": nobody else does, on QEMU.
#[test]
fn short_packets_leave_with_60_bytes_of_which_the_last_are_zeros() {
    for profile in PROFILES {
        let mut bench = Bench::new(of_profile(0x100e, profile));
        let header = [&PEER[..], &bench.mac(), &[8, 6]].concat();
        bench.post(&mut vec![inline(&header)]);
        let padded = [header, vec![0; 46]].concat();
        assert_eq!(bench.sent(), [padded], "{profile:?}");
        bench.innocent("padding");
    }
}

/// "Wait up to 6 s for link": VirtualBox takes five.
#[test]
fn the_usual_configuration_waits_long_enough_for_every_emulators_link() {
    for profile in PROFILES {
        let closed = Closed::new(of_profile(0x100e, profile));
        let mut bench = closed.open(&Config::default()).unwrap_or_else(|e| panic!("{profile:?}: {e}"));
        assert!(bench.nic.link().is_up());
        let closed = Closed::new(of_profile(0x100e, profile));
        let hasty = Config { link_within: Duration::from_millis(100), ..rings(80, 80) };
        let refused = closed.open(&hasty).err();
        assert!(matches!(refused, Some(OpenError::NoLink(_))), "{profile:?}: {refused:?}");
    }
}

/// "Allow for RX burst at once after RDT": QEMU's queue was waiting for the ring.
#[test]
fn what_waited_on_the_wire_arrives_in_one_burst_when_there_is_room() {
    let mut bench = Bench::new(of_profile(0x100e, Profile::Qemu));
    let frames: Vec<Vec<u8>> = (0..300).map(|n| bench.frame(1514, n)).collect();
    bench.arrive(&frames);
    assert!(bench.wire.waiting() > 100, "the ring has 127 descriptors");
    assert!(bench.taken() == frames, "none is lost");
    let counted = bench.counters();
    assert_eq!((counted.rx_frames, counted.hw_missed, counted.hw_no_buffer), (300, 0, 0));
    bench.innocent("burst");
}

/// "Tolerate TDT write latency" and its opposite: QEMU sends the whole ring inside the tail write.
#[test]
fn packets_are_reported_sent_whenever_the_card_comes_to_it() {
    for profile in PROFILES {
        let mut bench = Bench::new(of_profile(0x100e, profile));
        let mut memory = Memory::new(&bench.domain);
        let mut packets = vec![memory.packet(bench.mac(), 100)];
        bench.nic.post_tx(&mut packets);
        assert!(bench.sent().is_empty() && bench.released().is_empty(), "not before the doorbell");
        bench.nic.ring();
        let at_once = bench.sent().len();
        assert_eq!(at_once, usize::from(profile == Profile::Qemu), "{profile:?}");
        assert_eq!(bench.released().len(), at_once);
        bench.card.run();
        assert_eq!((at_once + bench.sent().len(), at_once + bench.released().len()), (1, 1));
        bench.innocent("latency");
    }
}
