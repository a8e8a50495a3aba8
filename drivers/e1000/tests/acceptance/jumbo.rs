//! Jumbo frames (8254x fact sheet 1.3, 4.4; 7.5 items 1 and 3): every length up to the MTU both ways, whole in one page,
//! longer ones in a drop counter, and long packets cut into long segments.

use crate::bench::{Bench, CLAIMED, Closed, Memory, PEER, PROFILES, bytes, inline, of_profile, rings};
use crate::wishes::{PLAIN, Sender, Wish, mixture};
use naio_e1000::{Config, OpenError};
use naio_e1000_model::faults::{Faults, TxFault};
use naio_e1000_model::{Options, Slot};
use naio_nic::tx::{FRAGMENTS_MAX, PACKET_LEN_MAX};
use naio_nic::{Health, Nic};
use naio_testkit::seeds;
use std::time::Duration;

/// Ethernet header and one VLAN tag.
const LINK_HEADER_LEN: usize = 18;
/// The driver's limit on parts with 64 KB of packet buffer (8254x fact sheet 1.3).
const MTU_MAX: usize = 16_110;

fn of_mtu(mtu: usize, tx_ring: u32) -> Config {
    Config { mtu, ..rings(80, tx_ring) }
}

#[test]
fn every_length_up_to_the_mtu_passes_both_ways_and_longer_ones_are_counted() {
    // Each page length, at its edges: 2048, 4096, 8192, 16384.
    for mtu in [1_501, 2_030, 2_031, 4_078, 4_079, 8_174, 8_175, 9_000, MTU_MAX] {
        let frame_len_max = mtu + LINK_HEADER_LEN;
        let page_len = frame_len_max.next_power_of_two();
        let options = Options { errata: true, ..Options::default() };
        let mut bench = Bench::with(options, &of_mtu(mtu, 80));
        let (mac, mut memory) = (bench.mac(), Memory::new(&bench.domain));
        assert_eq!((bench.nic.caps().mtu, bench.nic.rx_pool().page_len()), (mtu, page_len));
        let lengths: Vec<usize> =
            (60..frame_len_max).step_by(173).chain(frame_len_max - 20..=frame_len_max).collect();
        for len in &lengths {
            let frame = bench.frame(*len, 3);
            bench.exchange_in(&[frame], &format!("MTU {mtu}: {len} bytes in"));
            let packet = memory.packet(mac, *len);
            let wanted = memory.flat(&packet);
            assert_eq!(bench.post(&mut vec![packet]), 1);
            assert!(bench.sent() == [wanted], "MTU {mtu}: {len} bytes out");
            assert_eq!(bench.released().len(), 1);
        }
        // Frames that the card stores, and that span pages.
        let long: Vec<usize> =
            [page_len + 1, page_len + 500, 16_380].into_iter().filter(|l| *l <= 16_380).collect();
        let longer = long.iter().filter(|len| **len > page_len).count() as u64;
        for len in long {
            bench.arrive(&[bench.frame(len, 1), bench.frame(100, len as u64)]);
            let got = bench.taken();
            assert_eq!(got.len(), 1 + usize::from(len <= page_len), "MTU {mtu}: {len}");
        }
        assert_eq!(bench.counters().rx_length_errors, longer, "MTU {mtu}");
        let mut over = vec![inline(&[0x5a; 14])];
        over[0].fragments.push(memory.fragment(0, frame_len_max - 13));
        assert_eq!((bench.post(&mut over), bench.sent().len()), (1, 0));
        assert_eq!(bench.counters().tx_refused, 1, "MTU {mtu}: a byte too many");
        bench.released();
        bench.innocent(&format!("MTU {mtu}"));
    }
}

#[test]
fn every_claimed_part_and_emulator_carries_9000_bytes() {
    let cases = CLAIMED.map(|id| Options { device_id: id, ..Options::default() });
    for options in cases.into_iter().chain(PROFILES.map(|profile| of_profile(0x100e, profile))) {
        let what = format!("{:#x}", options.device_id);
        let mut bench = Bench::with(options, &of_mtu(9_000, 80));
        let mut memory = Memory::new(&bench.domain);
        let frames: Vec<_> = [60, 1_518, 9_013, 9_014, 9_018].map(|len| bench.frame(len, 5)).to_vec();
        bench.exchange_in(&frames, &what);
        let mut packets: Vec<_> = [9_014, 9_018].map(|len| memory.packet(bench.mac(), len)).to_vec();
        let wanted: Vec<_> = packets.iter().map(|packet| memory.flat(packet)).collect();
        assert_eq!(bench.post(&mut packets), 2, "{what}");
        assert!(bench.sent() == wanted, "{what}");
        bench.released();
        bench.innocent(&what);
    }
}

#[test]
fn long_segments_are_cut_as_well_as_short_ones() {
    let options = Options { errata: true, ..Options::default() };
    let mut sender = Sender::new(Bench::with(options, &of_mtu(9_100, 512)));
    let mut random = fastrand::Rng::with_seed(1);
    for mss in [1_460, 2_047, 2_048, 4_095, 4_096, 4_097, 8_191, 8_192, 8_193, 8_948, 8_960, 8_999, 9_000] {
        for shape in [PLAIN, Wish { tcp_options: 12, tagged: true, ..PLAIN }, Wish { ipv4: false, ..PLAIN }] {
            let wish = Wish { mss, ..shape };
            let (mss, most) = (usize::from(mss), PACKET_LEN_MAX - wish.header_len());
            let counts = (1..=7).flat_map(|n| [n * mss - 1, n * mss, n * mss + 1, n * mss + 9]).chain([most]);
            for len in counts.filter(|len| *len <= most) {
                let count = random.usize(1..=FRAGMENTS_MAX);
                let fragments = sender.scattered(&mut random, len, count);
                sender.long(&wish, &fragments);
            }
            sender.send(&format!("{wish:?}"));
        }
    }
    assert!(sender.bench.counters().tx_cut_by_card > 100);
}

#[test]
fn any_mixture_of_packets_leaves_whole_at_any_mtu() {
    for seed in seeds(1, 60) {
        let mut random = fastrand::Rng::with_seed(seed);
        let device_id = CLAIMED[random.usize(..CLAIMED.len())];
        let slot = [Slot::Pci33, Slot::PciX133][random.usize(..2)];
        let mtu = [9_000, random.usize(700..=MTU_MAX)][random.usize(..2)];
        let config = of_mtu(mtu, 80 + 8 * random.u32(..=54));
        let options = Options { device_id, slot, errata: true, ..Options::default() };
        let what =
            format!("seed {seed}: {device_id:#x} in {slot:?}, MTU {mtu}, a ring of {}", config.tx_ring);
        let mut sender = Sender::new(Bench::with(options, &config));
        mixture(&mut sender, &mut random, mtu + LINK_HEADER_LEN, &what);
    }
}

#[test]
fn mtus_that_no_part_has_are_refused_by_name() {
    for bad in [0, 67, MTU_MAX + 1, usize::MAX] {
        let closed = Closed::new(Options::default());
        match closed.open(&of_mtu(bad, 80)).err() {
            Some(OpenError::Mtu { mtu, max: MTU_MAX }) => assert_eq!(mtu, bad),
            other => panic!("{bad}: {other:?}"),
        }
    }
    for good in [68, MTU_MAX] {
        let mut bench = Bench::with(Options::default(), &of_mtu(good, 80));
        let frame = bytes(bench.mac(), PEER, 60, 1);
        bench.exchange_in(&[frame], "the shortest frame");
    }
}

#[test]
fn a_card_that_was_reset_in_the_middle_of_a_long_packet_carries_the_same_frames_as_before() {
    let mut sender = Sender::new(Bench::with(Options::default(), &of_mtu(9_000, 80)));
    let wish = Wish { ipv4: false, ..PLAIN };
    // Far more segments than the ring has room for; the card sends none of them.
    sender.bench.card.inject(|faults| faults.tx = TxFault::Stalled);
    let fragments = [sender.memory.fragment(0, 30_000), sender.memory.fragment(40_000, 20_000)];
    let packet = wish.packet(sender.bench.mac(), &fragments);
    let extents: Vec<u32> = fragments.iter().map(|fragment| fragment.extent.0).collect();
    assert_eq!(sender.bench.post(&mut vec![packet]), 1);
    for _ in 0..40 {
        assert_eq!(sender.bench.nic.health(), Health::Alive);
    }
    sender.bench.card.inject(|faults| *faults = Faults::default());
    assert_eq!(sender.bench.released(), extents, "what it referred to comes back");
    let lost = sender.bench.counters();
    assert!(lost.resets > 0 && lost.tx_reset == 50 && lost.tx_frames == 0, "{lost:?}");
    sender.bench.card.advance(Duration::from_secs(6));
    let frames = [9_014, 9_018].map(|len| sender.bench.frame(len, 5));
    sender.bench.exchange_in(&frames, "after the reset");
    for wish in [wish, Wish { tcp_options: 12, ..PLAIN }] {
        let fragments = [sender.memory.fragment(0, 30_000)];
        sender.long(&wish, &fragments);
    }
    sender.send("after the reset");
}
