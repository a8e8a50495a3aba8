//! Long packets on parts whose bring-up is not written: the transmit ring alone, over the card in software.

use crate::desc::tx;
use crate::ids::{self, Features, MacType, PARTS};
use crate::offload::Offload;
use crate::regs::{TCTL, TDH, TDT, tctl};
use crate::tx::TxRing;
use crate::{LINK_HEADER_LEN_MAX, init, segmentation};
use naio_device::{Device, Identity, Registers};
use naio_dma::{Buffer, Bus, DescArray, Domain, Pool};
use naio_e1000_model::wire::scripted::{Script, Scripted};
use naio_e1000_model::{Card, Model, Options, Quirks, Tail};
use naio_nic::tx::{HEADER_LEN_MAX, TxProtocol};
use naio_nic::{ExtentId, Fragment, Segmentation, TxChecksum, TxPacket};
use naio_testkit::{cut, sum};
use std::num::NonZeroU16;

const RING_LEN: u32 = 80;
const MTU: usize = 9_000;
const PAYLOAD: usize = 60_000;

/// What is known of a part without its bring-up.
fn features(device: u16) -> Features {
    let part = PARTS.iter().find(|part| part.device == device).expect("of the family");
    let identity =
        Identity { vendor: 0x8086, device: 0x100e, subsystem_vendor: 0, subsystem: 0, revision: 0 };
    let (_, known) = ids::identify(identity).expect("an 82540EM");
    let small = part.mac >= MacType::I82547;
    Features {
        tx_segmentation: ids::cuts(part.mac),
        has_timers_and_manc: part.mac > MacType::I82544,
        // 8254x fact sheet 2.9.
        packet_buffer_kb: if small { 40 } else { 64 },
        rx_fifo_kb: match part.mac {
            MacType::I82547 => 22,
            MacType::I82547Rev2 => 30,
            _ => 48,
        },
        ..known
    }
}

struct Bench {
    ring: TxRing<Tail>,
    card: Card,
    wire: Script,
    memory: Buffer,
    bus: Bus,
    model: Model,
}

impl Bench {
    fn new(device_id: u16) -> Bench {
        let (domain, features) = (Domain::new(), features(device_id));
        let quirks = Quirks { tx_without_link: true, ..Quirks::default() };
        let (end, wire) = Scripted::new();
        let options = Options { device_id, quirks, errata: true, ..Options::default() };
        let mut model = Model::new(options, &domain, end).expect("of the family");
        model.set_bus_master(true).expect("always");
        let desc = DescArray::new(&domain, RING_LEN).expect("memory");
        let bell = model.doorbell(TDT).expect("a tail");
        init::program_tx(&model, &features, &desc, &bell).expect("a ring");
        let headers = Pool::new(&domain, RING_LEN, HEADER_LEN_MAX).expect("memory");
        let offload = Offload::new(&features, MTU + LINK_HEADER_LEN_MAX);
        let ring = TxRing::new(desc, headers, offload, false, bell);
        model.write(TCTL, tctl::EN | tctl::PSP);
        let mut memory = Buffer::allocate(&domain, 1, PAYLOAD).expect("memory").pop().expect("one");
        fastrand::Rng::with_seed(1).fill(&mut memory);
        Bench { ring, card: model.card(), wire, memory, bus: domain.bus(), model }
    }

    /// A long packet of this much payload in three fragments.
    fn packet(&self, mss: u16, len: usize) -> TxPacket {
        let mut header = [&[2; 12][..], &[8, 0, 0x45, 0, 0, 0, 0, 7, 0x40, 0, 64, 6, 0, 0]].concat();
        header.extend([10, 0, 0, 1, 10, 0, 0, 2, 0, 80, 0, 80, 0, 0, 0, 1, 0, 0, 0, 2, 0x50, 0x19, 1, 0]);
        let seed = sum::folded(&[&header[26..34], &[0, 6]]);
        header.extend(seed.to_be_bytes().into_iter().chain([0, 0]));
        let cuts = [0, len / 5, len / 2, len];
        let fragment = |n: usize| {
            let slice = self.memory.slice(cuts[n]..cuts[n + 1]).expect("inside");
            Fragment { slice, extent: ExtentId(n as u32) }
        };
        TxPacket {
            header: header.into_iter().collect(),
            fragments: (0..3).map(fragment).collect(),
            checksum: Some(TxChecksum { protocol: TxProtocol::Tcp, ipv4: true, ip_start: 14, start: 34 }),
            mss: NonZeroU16::new(mss),
        }
    }

    /// Sends a packet, however many rings full that takes; who cut it, and what left.
    fn send(&mut self, packet: TxPacket) -> (bool, Vec<Vec<u8>>) {
        let before = self.ring.counters().cut_by_card;
        let (mut packets, mut sent, mut released) = (vec![packet], Vec::new(), Vec::new());
        for _ in 0..PAYLOAD {
            self.ring.post(&mut packets);
            self.ring.ring();
            self.card.run();
            sent.extend(std::iter::from_fn(|| self.wire.take()).map(|frame| frame.bytes));
            self.ring.reap(&mut released);
            if released.len() == 3 {
                break;
            }
        }
        assert_eq!(released, [ExtentId(0), ExtentId(1), ExtentId(2)]);
        (self.ring.counters().cut_by_card > before, sent)
    }
}

#[test]
fn parts_without_segmentation_get_their_segments_from_the_driver() {
    // 82543, 82544, 82541EI, 82541PI, 82547EI, 82547GI.
    for (device, card) in
        [(0x1004, false), (0x1008, true), (0x1013, true), (0x107c, true), (0x1019, false), (0x1075, true)]
    {
        let mut bench = Bench::new(device);
        for mss in [10, 536, 1_460, 4_096, 8_960] {
            for len in [5 * usize::from(mss), 3 * usize::from(mss) + 17, 100 * usize::from(mss)] {
                let packet = bench.packet(mss, len.min(PAYLOAD));
                let bytes = [&packet.header[..], &bench.memory[..len.min(PAYLOAD)]].concat();
                let wanted = cut::segments(&packet, &bytes);
                let (by_card, sent) = bench.send(packet);
                assert_eq!(by_card, card, "{device:#x}: MSS {mss}, {len} bytes");
                assert!(sent == wanted, "{device:#x}: MSS {mss}, {len} bytes");
            }
        }
        let violations = bench.card.violations();
        assert!(violations.is_empty(), "{device:#x}: {violations:?}");
    }
}

/// Descriptors that are on the ring from `from` to `to`, as the card sees them.
fn contexts(bench: &Bench, from: u32, to: u32) -> Vec<(u32, bool)> {
    let base = bench.ring.desc().iova().as_u64();
    let word = |slot: u32| bench.bus.load(base + 16 * u64::from(slot % RING_LEN) + 8).expect("the ring");
    let context = |slot: u32| (word(slot) & tx::DTYP_DATA == 0).then(|| (slot, word(slot) & tx::TSE != 0));
    (from..to).filter_map(context).collect()
}

#[test]
fn the_card_is_told_each_kind_of_context_only_when_that_kind_changes() {
    let mut bench = Bench::new(0x1075);
    let long = |bench: &Bench, payload| bench.packet(1_000, payload);
    let plain = |bench: &Bench| TxPacket { mss: None, ..bench.packet(1_000, 500) };
    // What is sent, and where its contexts are: one of each kind is kept, whatever the other kind does.
    let packets = [
        (long(&bench, 3_000), vec![true]),
        (long(&bench, 3_000), vec![]),
        (plain(&bench), vec![false]),
        (long(&bench, 3_000), vec![]),
        (plain(&bench), vec![]),
        (long(&bench, 3_001 + 99), vec![true]),
        (plain(&bench), vec![]),
    ];
    let mut from = 0;
    for (n, (packet, wanted)) in packets.into_iter().enumerate() {
        bench.send(packet);
        let to = bench.model.read(TDH);
        let kinds: Vec<bool> = contexts(&bench, from, to).into_iter().map(|(_, tse)| tse).collect();
        assert_eq!(kinds, wanted, "packet {n}");
        from = to;
    }
}

#[test]
fn a_packet_that_was_begun_goes_on_without_being_posted_again() {
    let mut bench = Bench::new(0x1019);
    let packet = bench.packet(500, PAYLOAD);
    let wanted = cut::segments(&packet, &[&packet.header[..], &bench.memory[..]].concat());
    let mut packets = vec![packet];
    assert_eq!(bench.ring.post(&mut packets), 1, "taken, although it is longer than the ring");
    assert_eq!((packets.len(), bench.ring.room()), (0, 0));
    let (mut sent, mut released) = (Vec::new(), Vec::new());
    while released.len() < 3 {
        let before = sent.len();
        bench.ring.ring();
        bench.card.run();
        sent.extend(std::iter::from_fn(|| bench.wire.take()).map(|frame| frame.bytes));
        bench.ring.reap(&mut released);
        assert!(sent.len() > before, "stuck after {before} segments");
    }
    assert!(sent == wanted);
    assert_eq!(released, [ExtentId(0), ExtentId(1), ExtentId(2)]);
    assert!(bench.ring.room() > 0);
}

#[test]
fn who_cuts_follows_the_feature_matrix() {
    use MacType::*;
    let matrix = [
        (I82542, false),
        (I82543, false),
        (I82544, true),
        (I82540, true),
        (I82545, true),
        (I82545Rev3, true),
        (I82546, true),
        (I82546Rev3, true),
        (I82541, true),
        (I82541Rev2, true),
        (I82547, false),
        (I82547Rev2, true),
    ];
    for (mac, card) in matrix {
        assert_eq!(ids::cuts(mac), card, "{mac:?}");
    }
    // The 82542 completes no checksum (8254x fact sheet 1.2), so nobody may cut what the driver must not read.
    let old = Features { tx_checksum: false, tx_segmentation: false, ..features(0x1000) };
    assert_eq!(segmentation(&old, false), Segmentation::None);
    assert!(Offload::new(&old, 1_518).long(&Bench::new(0x100e).packet(1_000, 3_000)).is_none());
}
