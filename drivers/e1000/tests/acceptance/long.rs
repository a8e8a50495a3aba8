//! Long TCP packets (8254x fact sheet 3.7, 5.3, 7.5 item 3): whoever cuts them, the wire sees the segments that
//! [`wishes`](crate::wishes) has, the card finds nothing wrong, and every extent comes back once, in order.

use crate::bench::{Bench, CLAIMED, PROFILES, of_profile, rings};
use crate::wishes::{ACK, FIN, PLAIN, PSH, Sender, Wish, any, mixture};
use naio_e1000_model::{Options, Slot};
use naio_nic::tx::{FRAGMENTS_MAX, PACKET_LEN_MAX, TxProtocol};
use naio_nic::{Fragment, Nic, Segmentation, TxPacket};
use naio_testkit::seeds;

/// Longest frame at an MTU of 1500, with a tag.
const FRAME_LEN_MAX: usize = 1518;

/// Payload lengths around every edge of an MSS, as far as a packet and patience go.
fn lengths(mss: usize, header: usize) -> Vec<usize> {
    let most = (PACKET_LEN_MAX - header).min(mss * 50);
    let near = |n: usize| [(n * mss).saturating_sub(1), n * mss, n * mss + 1, n * mss + 4, n * mss + 7];
    let mut all: Vec<usize> = [1, 2, 3, 7, 45].into_iter().flat_map(near).chain([0, 1, most]).collect();
    all.retain(|len| *len <= most);
    all.sort_unstable();
    all.dedup();
    all
}

#[test]
fn every_mss_and_every_length_of_payload_leaves_as_the_right_segments() {
    let mut sender =
        Sender::new(Bench::with(Options { errata: true, ..Options::default() }, &rings(80, 256)));
    let mut random = fastrand::Rng::with_seed(1);
    let shapes = [
        PLAIN,
        Wish { tcp_options: 12, flags: ACK | PSH | FIN, ..PLAIN },
        Wish { tcp_options: 40, ip_options: 8, id: 0xfffe, flags: ACK, ..PLAIN },
        Wish { tagged: true, tcp_options: 12, flags: ACK | FIN, ..PLAIN },
        Wish { ipv4: false, ..PLAIN },
        Wish { ipv4: false, tagged: true, ip_options: 8, tcp_options: 12, ..PLAIN },
    ];
    let edges =
        [1, 2, 3, 4, 5, 6, 7, 8, 9, 63, 64, 216, 255, 256, 535, 536, 537, 1000, 1023, 1024, 1025, 1220, 1448];
    for shape in shapes {
        let header = shape.header_len();
        let longest = FRAME_LEN_MAX - header;
        for mss in edges.into_iter().chain([longest]).filter(|mss| *mss <= longest) {
            let wish = Wish { mss: mss as u16, ..shape.clone() };
            for len in lengths(mss, header) {
                let count = if len == 0 { 0 } else { random.usize(1..=FRAGMENTS_MAX.min(len)) };
                let fragments = sender.scattered(&mut random, len, count);
                sender.long(&wish, &fragments);
            }
            sender.send(&format!("{wish:?}"));
        }
    }
    let counted = sender.bench.counters();
    assert!(counted.tx_cut_by_card > 200 && counted.tx_cut_by_driver > 200, "{counted:?}");
}

#[test]
fn any_mixture_of_packets_leaves_whole_from_every_part_in_every_slot() {
    for seed in seeds(1, 150) {
        let mut random = fastrand::Rng::with_seed(seed);
        let device_id = CLAIMED[random.usize(..CLAIMED.len())];
        let slot = [Slot::Pci33, Slot::Pci66, Slot::PciX66, Slot::PciX133][random.usize(..4)];
        let config = rings(80, 80 + 8 * random.u32(..=54));
        let what = format!("seed {seed}: {device_id:#x} in {slot:?}, a ring of {}", config.tx_ring);
        let options = Options { device_id, slot, errata: true, ..Options::default() };
        mixture(&mut Sender::new(Bench::with(options, &config)), &mut random, FRAME_LEN_MAX, &what);
    }
}

#[test]
fn emulators_send_the_same_segments_as_silicon() {
    for seed in seeds(1, 40) {
        let mut random = fastrand::Rng::with_seed(seed);
        let profile = PROFILES[random.usize(..PROFILES.len())];
        let bench = Bench::with(of_profile(0x100e, profile), &rings(80, 80 + 8 * random.u32(..=54)));
        mixture(&mut Sender::new(bench), &mut random, FRAME_LEN_MAX, &format!("seed {seed}: {profile:?}"));
    }
}

#[test]
fn the_card_cuts_ipv4_and_the_driver_what_the_card_would_get_wrong() {
    let mut sender =
        Sender::new(Bench::with(Options { errata: true, ..Options::default() }, &rings(80, 512)));
    let caps = sender.bench.nic.caps().clone();
    assert_eq!(
        (caps.tx_segmentation_ipv4, caps.tx_segmentation_ipv6),
        (Segmentation::Card, Segmentation::Driver)
    );
    let options = Wish { tcp_options: 12, ..PLAIN };
    // Where the end of one fragment of 10000 bytes lies, and who is to cut it.
    let cases = [
        ("an ordinary one", options.clone(), 10_000, 0x2_0000, true),
        ("a short last segment", Wish { mss: 1001, ..PLAIN }, 10_000, 0x2_0000, true),
        ("a last segment of less than 60 bytes", Wish { mss: 9_999 / 9, ..PLAIN }, 10_000, 0x2_0000, false),
        ("IPv6", Wish { ipv4: false, ..PLAIN }, 10_000, 0x2_0000, false),
        ("one segment", options.clone(), 1_000, 0x2_0000, false),
        ("no payload", options.clone(), 0, 0x2_0000, false),
        ("an end across 64 KB", options.clone(), 10_000, 0x2_0002, false),
        ("an end right behind 64 KB", options.clone(), 10_000, 0x2_0004, true),
        (
            "segments of a byte, far more than the ring",
            Wish { mss: 1, ..options.clone() },
            10_000,
            0x2_0000,
            false,
        ),
        ("segments of a byte, few", Wish { mss: 1, ..options.clone() }, 100, 0x2_0000, true),
    ];
    let mut by_card = 0;
    for (n, (what, wish, len, end, card)) in cases.into_iter().enumerate() {
        let fragments = if len == 0 { vec![] } else { vec![sender.memory.fragment(end - len, len)] };
        sender.long(&wish, &fragments);
        sender.send(what);
        by_card += u64::from(card);
        let counted = sender.bench.counters();
        assert_eq!(
            (counted.tx_cut_by_card, counted.tx_cut_by_driver),
            (by_card, n as u64 + 1 - by_card),
            "{what}"
        );
    }
    let tiny = [sender.memory.fragment(0, 5_000), sender.memory.fragment(9_000, 3)];
    sender.long(&options, &tiny);
    sender.send("a last fragment of less than four bytes");
    assert_eq!(sender.bench.counters().tx_cut_by_card, by_card);
}

#[test]
fn long_packets_that_nobody_can_cut_are_refused_counted_and_give_their_extents_back() {
    let mut sender = Sender::new(Bench::new(Options::default()));
    let from = sender.from;
    let fragments = [sender.memory.fragment(0, 5_000)];
    let good = PLAIN.packet(from, &fragments);
    let change = |how: &dyn Fn(&mut TxPacket)| {
        let mut packet = good.clone();
        how(&mut packet);
        packet
    };
    let too_long: Vec<Fragment> = (0..2).map(|_| sender.memory.fragment(0, 40_000)).collect();
    let bad = [
        ("no checksum", change(&|p| p.checksum = None)),
        ("UDP", change(&|p| p.checksum.as_mut().expect("one").protocol = TxProtocol::Udp)),
        ("payload in the header", change(&|p| p.header.push(0))),
        ("a header cut off", change(&|p| p.header.truncate(p.header.len() - 1))),
        ("no header", change(&|p| p.header.clear())),
        (
            "a transport inside its network header",
            change(&|p| p.checksum.as_mut().expect("one").ip_start = 20),
        ),
        ("a transport behind the end", change(&|p| p.checksum.as_mut().expect("one").start = 200)),
        ("segments longer than a frame", Wish { mss: 1465, ..PLAIN }.packet(from, &fragments)),
        ("more than 64 KB", PLAIN.packet(from, &too_long)),
    ];
    for (n, (what, packet)) in bad.into_iter().enumerate() {
        let extents: Vec<u32> = packet.fragments.iter().map(|fragment| fragment.extent.0).collect();
        assert_eq!(sender.bench.post(&mut vec![packet]), 1, "{what}");
        assert_eq!((sender.bench.sent().len(), sender.bench.released()), (0, extents), "{what}");
        assert_eq!(sender.bench.counters().tx_refused, n as u64 + 1, "{what}");
    }
    sender.bench.innocent("refused");
}

#[test]
fn the_wire_in_memory_cuts_as_this_test_does() {
    let mut sender = Sender::new(Bench::new(Options::default()));
    for seed in seeds(1, 300) {
        let mut random = fastrand::Rng::with_seed(seed);
        let wish = any(&mut random, FRAME_LEN_MAX);
        let payload = random.usize(..=(PACKET_LEN_MAX - wish.header_len()).min(usize::from(wish.mss) * 30));
        let fragments = if payload == 0 { vec![] } else { sender.scattered(&mut random, payload, 1) };
        let packet = wish.packet(sender.from, &fragments);
        let flat = sender.memory.flat(&packet);
        let mut frames = naio_testkit::cut::segments(&packet, &flat[..packet.len()]);
        frames.iter_mut().for_each(|frame| frame.resize(frame.len().max(60), 0));
        let wanted = wish.frames(sender.from, &flat[wish.header_len()..packet.len()]);
        assert!(frames == wanted, "seed {seed}: {wish:?}, {payload} bytes");
    }
}
