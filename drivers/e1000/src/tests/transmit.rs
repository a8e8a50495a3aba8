//! Packets leave as they were given, and what they refer to comes back once.

use super::card::{Card, Event, TestCard};
use super::{pattern, rings, rng, up};
use crate::E1000;
use crate::regs::*;
use naio_dma::Buffer;
use naio_nic::tx::{FRAGMENTS_MAX, HEADER_LEN_MAX, TxProtocol};
use naio_nic::{ExtentId, Fragment, Nic, TxChecksum, TxPacket};
use naio_sys::checksum::Sum;
use std::collections::VecDeque;
use std::ops::Range;

/// A driver, its card, and user memory filled with a pattern.
pub(super) struct Bench {
    pub(super) driver: E1000<TestCard>,
    pub(super) card: Card,
    memory: Buffer,
}

const MEMORY_LEN: usize = 64 * 1024;

impl Bench {
    pub(super) fn new(rx_ring: u32, tx_ring: u32) -> Bench {
        let (device, card) = TestCard::new();
        let domain = naio_device::Device::domain(&device).clone();
        let mut memory = Buffer::allocate(&domain, 1, MEMORY_LEN).expect("memory").pop().expect("one");
        memory.as_mut().copy_from_slice(&pattern(MEMORY_LEN, 0));
        let driver = E1000::open(device, &rings(rx_ring, tx_ring, 64)).expect("up");
        Bench { driver, card, memory }
    }

    pub(super) fn fragment(&self, range: Range<usize>, extent: u32) -> Fragment {
        Fragment { slice: self.memory.slice(range).expect("inside"), extent: ExtentId(extent) }
    }

    pub(super) fn packet(&self, header: usize, fragments: &[(Range<usize>, u32)]) -> TxPacket {
        let fragments = fragments.iter().map(|(range, extent)| self.fragment(range.clone(), *extent));
        let header = pattern(header, 5).into_iter().collect();
        TxPacket { header, fragments: fragments.collect(), ..TxPacket::default() }
    }

    fn send(&mut self, packets: Vec<TxPacket>) -> usize {
        let mut packets = packets;
        let taken = self.driver.post_tx(&mut packets);
        self.driver.ring();
        taken
    }

    fn sent(&self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.card.lock().tx.sent)
    }

    fn reap(&mut self) -> Vec<u32> {
        let mut released = Vec::new();
        self.driver.reap_tx(&mut released);
        released.iter().map(|extent| extent.0).collect()
    }
}

fn padded(mut frame: Vec<u8>) -> Vec<u8> {
    frame.resize(frame.len().max(60), 0);
    frame
}

#[test]
fn frames_leave_whole_and_short_ones_padded_with_zeros() {
    let mut bench = Bench::new(80, 80);
    let data = pattern(MEMORY_LEN, 0);
    // Header pages hold something else before, so padding is really written.
    for _ in 0..30 {
        let full = bench.packet(HEADER_LEN_MAX, &[]);
        assert_eq!(bench.send(vec![full]), 1);
        assert_eq!(bench.reap(), [0; 0]);
    }
    bench.sent();
    for len in 1..=HEADER_LEN_MAX {
        let packet = bench.packet(len, &[]);
        bench.send(vec![packet]);
        assert_eq!(bench.sent(), [padded(pattern(len, 5))], "header only, {len}");
        assert_eq!(bench.card.lock().tx.pieces_sent.pop(), Some(1), "padding costs no slot here");
        bench.reap();
    }
    for len in 1..=80 {
        let (alone, behind) = (bench.packet(0, &[(100..100 + len, 1)]), bench.packet(14, &[(7..7 + len, 2)]));
        bench.send(vec![alone, behind]);
        let behind = [&pattern(14, 5), &data[7..7 + len]].concat();
        assert_eq!(
            bench.sent(),
            [padded(data[100..100 + len].to_vec()), padded(behind)],
            "fragment of {len}"
        );
        assert_eq!(bench.reap(), [1, 2]);
    }
    let cuts: Vec<(Range<usize>, u32)> =
        (0..FRAGMENTS_MAX).map(|n| (n * 99..n * 99 + 70, n as u32)).collect();
    let packet = bench.packet(54, &cuts);
    bench.send(vec![packet]);
    let whole: Vec<u8> =
        pattern(54, 5).into_iter().chain(cuts.iter().flat_map(|(r, _)| data[r.clone()].to_vec())).collect();
    assert_eq!(bench.sent(), [whole]);
    assert_eq!(bench.reap(), (0..FRAGMENTS_MAX as u32).collect::<Vec<u32>>());
}

const TCP: TxChecksum = TxChecksum { protocol: TxProtocol::Tcp, ipv4: true, ip_start: 14, start: 34 };
const UDP6: TxChecksum = TxChecksum { protocol: TxProtocol::Udp, ipv4: false, ip_start: 14, start: 54 };

#[test]
fn checksums_are_completed_also_over_padding_and_odd_lengths() {
    let mut bench = Bench::new(80, 80);
    for (wanted, payload) in [(TCP, 0), (TCP, 1), (TCP, 3), (TCP, 1400), (UDP6, 0), (UDP6, 1), (UDP6, 1399)] {
        let header_len = usize::from(wanted.start) + if wanted == TCP { 20 } else { 8 };
        let field = usize::from(wanted.start) + usize::from(wanted.offset());
        let extent = (payload > 0).then_some((1000..1000 + payload, 9));
        let mut packet = bench.packet(header_len, extent.as_slice());
        packet.header[field..field + 2].copy_from_slice(&0x1234u16.to_be_bytes());
        packet.checksum = Some(wanted);
        let mut expected = [&packet.header, &pattern(MEMORY_LEN, 0)[1000..1000 + payload]].concat();
        let sum = Sum::ZERO.bytes(&expected[usize::from(wanted.start)..]).checksum();
        expected[field..field + 2].copy_from_slice(&sum.to_be_bytes());
        bench.send(vec![packet]);
        assert_eq!(bench.sent(), [padded(expected)], "{wanted:?} {payload}");
    }
}

#[test]
fn a_context_is_written_when_it_changes_and_only_then() {
    let mut bench = Bench::new(80, 80);
    let mut batch = Vec::new();
    for checksum in [Some(TCP), Some(TCP), None, Some(TCP), Some(UDP6), Some(UDP6), Some(TCP)] {
        let mut packet = bench.packet(100, &[]);
        packet.checksum = checksum;
        batch.push(packet);
    }
    assert_eq!(bench.send(batch), 7);
    let contexts = bench.card.lock().tx.contexts.clone();
    // IPCSS 14, IPCSO 24, IPCSE 33 or none; TUCSS, TUCSO, TUCSE 0; DEXT with TCP and IP, or neither.
    let tcp = (0x0000_3222_0021_180e, 0x2300_0000);
    let udp6 = (0x0000_3c36_0000_180e, 0x2000_0000);
    assert_eq!(contexts, [tcp, udp6, tcp]);
    assert_eq!(bench.sent().len(), 7);
    let mut again = bench.packet(100, &[]);
    again.checksum = Some(TCP);
    bench.send(vec![again]);
    assert_eq!(bench.card.lock().tx.contexts.len(), 3, "the card remembers over batches");
}

#[test]
fn a_batch_costs_one_write_and_few_reports() {
    let mut bench = Bench::new(80, 512);
    let batch = (0..40).map(|n| bench.packet(60, &[(0..100, n)])).collect();
    bench.card.lock().trace.clear();
    assert_eq!(bench.send(batch), 40);
    bench.driver.ring();
    assert_eq!(std::mem::take(&mut bench.card.lock().trace), [Event::Ring(TDT, 80)]);
    assert_eq!(bench.card.lock().tx.reports, 3, "after 16, after 32, and at the end");
    assert_eq!(bench.reap(), (0..40).collect::<Vec<u32>>());
    let counters = bench.driver.counters();
    assert_eq!((counters.tx_frames, counters.tx_bytes), (40, 40 * 160));
}

#[test]
fn refused_packets_are_counted_and_lose_nothing() {
    let mut bench = Bench::new(80, 80);
    let mut impossible = bench.packet(54, &[(0..1000, 7)]);
    impossible.checksum = Some(TxChecksum { start: 255, ip_start: 20, ..TCP });
    let mut disordered = bench.packet(100, &[]);
    disordered.checksum = Some(TxChecksum { ip_start: 34, ..TCP });
    let mut outside = bench.packet(40, &[]);
    outside.checksum = Some(TCP);
    let batch = vec![
        bench.packet(60, &[(0..10, 1)]),
        bench.packet(60, &[(0..800, 2), (0..800, 3)]),
        bench.packet(0, &[]),
        bench.packet(60, &[(0..0, 4)]),
        impossible,
        disordered,
        outside,
        bench.packet(118, &[(0..1400, 5)]),
        bench.packet(119, &[(0..1400, 6)]),
    ];
    assert_eq!(bench.send(batch), 9, "refused ones are taken too");
    let mut back = bench.reap();
    back.sort_unstable();
    assert_eq!(back, [1, 2, 3, 4, 5, 6, 7]);
    let counters = bench.driver.counters();
    assert_eq!((counters.tx_frames, counters.tx_refused), (2, 7));
    assert_eq!(bench.sent().iter().map(Vec::len).collect::<Vec<_>>(), [70, 1518]);
}

#[test]
fn a_full_ring_takes_what_it_promised_and_no_more() {
    let mut bench = Bench::new(80, 80);
    bench.card.lock().lies.tx_frozen = true;
    assert_eq!(bench.driver.tx_room(), 19, "78 slots for packets of 4");
    let common = |n: u32| bench.packet(54, &[(0..700, 2 * n), (900..1600, 2 * n + 1)]);
    let mut batch: Vec<TxPacket> = (0..30).map(common).collect();
    batch.iter_mut().enumerate().for_each(|(n, packet)| packet.checksum = Some([TCP, UDP6][n % 2]));
    assert_eq!(bench.driver.post_tx(&mut batch), 19, "what was promised: a context, a header, two fragments");
    assert_eq!((batch.len(), bench.driver.tx_room()), (11, 0));
    bench.driver.ring();
    bench.card.lock().transmit(usize::MAX);
    assert_eq!(bench.reap(), (0..38).collect::<Vec<u32>>());
    let wide: Vec<(Range<usize>, u32)> = (0..FRAGMENTS_MAX as u32).map(|n| (0..40, n)).collect();
    let mut batch: Vec<TxPacket> = (0..5).map(|_| bench.packet(54, &wide)).collect();
    // Of 19 slots each.
    assert_eq!(bench.driver.post_tx(&mut batch), 4);
    assert_eq!((batch.len(), bench.driver.tx_room()), (1, 0));
    assert_eq!(bench.driver.post_tx(&mut batch), 0);
    assert_eq!(bench.reap(), [0; 0], "nothing is done, whatever lies in the ring");
    bench.driver.ring();
    bench.card.lock().transmit(usize::MAX);
    assert_eq!(bench.reap().len(), 4 * FRAGMENTS_MAX);
    assert_eq!(bench.driver.tx_room(), 19);
}

#[test]
fn extents_come_back_once_and_in_order_under_random_load() {
    let mut rng = rng();
    let mut bench = Bench::new(80, 80);
    bench.card.lock().lies.tx_frozen = true;
    let mut expected: VecDeque<u32> = VecDeque::new();
    let (mut next, mut taken, mut waiting) = (0, 0, Vec::new());
    for _ in 0..3000 {
        for _ in 0..rng.usize(0..4) {
            let cuts: Vec<(Range<usize>, u32)> = (0..rng.usize(0..=FRAGMENTS_MAX))
                .map(|n| (rng.usize(0..1000), rng.usize(1..78), next + n as u32))
                .map(|(at, len, extent)| (at..at + len, extent))
                .collect();
            next += cuts.len() as u32;
            let mut packet = bench.packet(rng.usize(62..=100), &cuts);
            packet.checksum = [None, Some(TCP), Some(UDP6)][rng.usize(0..3)];
            waiting.push(packet);
        }
        let all: Vec<Vec<u32>> =
            waiting.iter().map(|p: &TxPacket| p.fragments.iter().map(|f| f.extent.0).collect()).collect();
        let count = bench.driver.post_tx(&mut waiting);
        taken += count;
        all[..count].iter().flatten().for_each(|&extent| expected.push_back(extent));
        if rng.bool() {
            bench.driver.ring();
        }
        bench.card.lock().transmit(rng.usize(0..60));
        for extent in bench.reap() {
            assert_eq!(Some(extent), expected.pop_front());
        }
        waiting.truncate(6);
    }
    bench.driver.ring();
    bench.card.lock().transmit(usize::MAX);
    assert!(bench.reap().into_iter().eq(expected), "everything in the end");
    assert_eq!(bench.driver.tx_room(), 19);
    let counters = bench.driver.counters();
    assert_eq!((counters.tx_frames, counters.tx_refused), (taken as u64, 0));
    assert_eq!(bench.card.lock().tx.sent.len(), taken);
}

#[test]
fn the_largest_ring_works_too() {
    let (mut driver, card) = up(&rings(80, 4096, 8));
    for n in 0..3 {
        let packet =
            |salt| TxPacket { header: pattern(60, salt).into_iter().collect(), ..TxPacket::default() };
        let mut batch: Vec<TxPacket> = (0..4000).map(packet).collect();
        assert_eq!(driver.post_tx(&mut batch), 4000);
        driver.ring();
        assert_eq!(card.lock().tx.sent.len(), 4000 * (n + 1));
        driver.reap_tx(&mut Vec::new());
    }
    assert_eq!(driver.counters().tx_frames, 12_000);
}

#[test]
fn the_ring_is_never_filled_to_the_brim() {
    let mut bench = Bench::new(80, 80);
    bench.card.lock().lies.tx_frozen = true;
    // A context, a header, 18 fragments and padding: nothing is wider.
    let cuts: Vec<(Range<usize>, u32)> = (0..FRAGMENTS_MAX).map(|n| (n..n + 1, n as u32)).collect();
    for narrow in 50..80 {
        let mut batch: Vec<TxPacket> = (0..narrow).map(|_| bench.packet(60, &[])).collect();
        let mut wide = bench.packet(40, &cuts);
        wide.checksum = Some(TxChecksum { start: if narrow % 2 == 0 { 34 } else { 35 }, ..TCP });
        batch.push(wide);
        let taken = bench.driver.post_tx(&mut batch);
        bench.driver.ring();
        bench.card.lock().transmit(usize::MAX);
        assert_eq!(bench.sent().len(), taken, "TDT == TDH would mean that there is nothing to send");
        bench.reap();
    }
}
