//! Every shape of a packet (8254x fact sheet 7.5 item 2, for what the driver sends today): header lengths, 1 to 18
//! fragments cut anywhere, with and without a checksum to complete.

use crate::bench::{Bench, CLAIMED, Memory, PEER, PROFILES, inline, of_profile, rings};
use naio_e1000_model::Options;
use naio_nic::tx::{FRAGMENTS_MAX, HEADER_LEN_MAX, TxProtocol};
use naio_nic::{TxChecksum, TxPacket};
use naio_testkit::{Segment, Udp, seeds, sum};

/// Longest frame the driver sends: 1500 bytes of IP, Ethernet header, one VLAN tag.
const TX_LEN_MAX: usize = 1518;

/// A packet and the bytes that must be on the wire for it.
type Wanted = (TxPacket, Vec<u8>);

/// `header` inline, then `len` more bytes in `count` fragments cut at random.
fn cut(memory: &mut Memory, random: &mut fastrand::Rng, header: &[u8], len: usize, count: usize) -> TxPacket {
    let mut packet = inline(header);
    let mut left = len;
    for n in (0..count).rev() {
        // At least a byte for each that follows.
        let piece = if n == 0 { left } else { random.usize(1..=left - n) };
        packet.fragments.push(memory.random_fragment(random, piece));
        left -= piece;
    }
    packet
}

fn plain(memory: &mut Memory, random: &mut fastrand::Rng, from: [u8; 6], count: usize) -> Wanted {
    let header_len = random.usize(14..=HEADER_LEN_MAX);
    let mut header = [&PEER[..], &from, &[0x88, 0xb5]].concat();
    header.extend(std::iter::repeat_with(|| random.u8(..)).take(header_len - 14));
    let len = if count == 0 { 0 } else { random.usize(count..=TX_LEN_MAX - header_len) };
    let packet = cut(memory, random, &header, len, count);
    let wire = memory.flat(&packet);
    (packet, wire)
}

/// Headers of a real packet for `len` bytes of payload, without the transport checksum.
fn headers(checksum: TxChecksum, from: [u8; 6], len: usize) -> Vec<u8> {
    let payload = vec![0; len];
    let (a, b) = ([10, 0, 0, 1], [10, 0, 0, 2]);
    let (a6, b6) = ("[fd00::1]:9", "[fd00::2]:9");
    let frame = match (checksum.protocol, checksum.ipv4) {
        (TxProtocol::Tcp, true) => Segment::new(a, 9, b, 9).payload(&payload).ethernet(from, PEER),
        (TxProtocol::Udp, true) => Udp::new((a, 9), (b, 9), &payload).ethernet(from, PEER),
        (_, false) => {
            let ends = (a6.parse::<std::net::SocketAddr>(), b6.parse::<std::net::SocketAddr>());
            let (Ok(source), Ok(destination)) = ends else { panic!("two addresses") };
            let mut frame = Udp::new(source, destination, &payload).ethernet(from, PEER);
            if checksum.protocol == TxProtocol::Tcp {
                // Twelve bytes more of header: the rest of a TCP header.
                frame[20] = 6;
                frame.splice(62..62, [0, 0, 0, 0, 0x50, 0x10, 1, 0, 0, 0, 0, 0]);
                frame[18..20].copy_from_slice(&(20 + len as u16).to_be_bytes());
            }
            frame
        }
    };
    frame[..frame.len() - len].to_vec()
}

fn offloaded(memory: &mut Memory, random: &mut fastrand::Rng, from: [u8; 6], count: usize) -> Wanted {
    let protocol = if random.bool() { TxProtocol::Tcp } else { TxProtocol::Udp };
    let ipv4 = random.bool();
    let checksum = TxChecksum { protocol, ipv4, ip_start: 14, start: if ipv4 { 34 } else { 54 } };
    let len = if count == 0 { 0 } else { random.usize(count..=1400) };
    let mut header = headers(checksum, from, len);
    let (start, field) = (usize::from(checksum.start), usize::from(checksum.start + checksum.offset()));
    let addresses = if ipv4 { 26..34 } else { 22..54 };
    let transport_len = (header.len() - start + len) as u16;
    let number = if protocol == TxProtocol::Tcp { 6 } else { 17 };
    let pseudo = sum::folded(&[&header[addresses], &[0, number], &transport_len.to_be_bytes()]);
    header[field..field + 2].copy_from_slice(&pseudo.to_be_bytes());
    let mut packet = cut(memory, random, &header, len, count);
    packet.checksum = Some(checksum);
    let mut wire = memory.flat(&packet);
    sum::complete(&mut wire, start, usize::from(checksum.offset()));
    assert!(sum::frame_is_right(&wire), "the test's own packet: {checksum:?} {len}");
    (packet, wire)
}

fn exchange(bench: &mut Bench, batch: Vec<Wanted>, what: &str) {
    let (mut packets, wanted): (Vec<TxPacket>, Vec<Vec<u8>>) = batch.into_iter().unzip();
    let extents: Vec<u32> =
        packets.iter().flat_map(|p| p.fragments.iter().map(|fragment| fragment.extent.0)).collect();
    let (mut sent, mut released) = (Vec::new(), Vec::new());
    while !packets.is_empty() {
        assert!(bench.post(&mut packets) > 0, "{what}: an empty ring takes any packet");
        sent.extend(bench.sent());
        released.extend(bench.released());
    }
    assert_eq!(sent.len(), wanted.len(), "{what}");
    for (n, (sent, wanted)) in sent.iter().zip(&wanted).enumerate() {
        assert!(sent == wanted, "{what}: packet {n} of {} bytes", wanted.len());
    }
    assert_eq!(released, extents, "{what}: each extent once, in order");
}

#[test]
fn every_number_of_fragments_leaves_whole_on_every_claimed_id() {
    let mut random = fastrand::Rng::with_seed(1);
    for device_id in CLAIMED {
        let mut bench = Bench::new(Options { device_id, errata: true, ..Options::default() });
        let (from, mut memory) = (bench.mac(), Memory::new(&bench.domain));
        let mut batch = Vec::new();
        for count in (0..=FRAGMENTS_MAX).chain((0..=FRAGMENTS_MAX).rev()) {
            batch.push(plain(&mut memory, &mut random, from, count));
            batch.push(offloaded(&mut memory, &mut random, from, count));
        }
        let total: usize = batch.iter().map(|(packet, _)| packet.len()).sum();
        let on_wire: usize = batch.iter().map(|(_, wire)| wire.len() + 4).sum();
        let count = batch.len() as u64;
        exchange(&mut bench, batch, &format!("{device_id:#x}"));
        let counted = bench.counters();
        assert_eq!((counted.tx_frames, counted.tx_bytes, counted.tx_refused), (count, total as u64, 0));
        assert_eq!((counted.hw_tx_good, counted.hw_tx_bytes), (count, on_wire as u64));
        bench.innocent(&format!("{device_id:#x}"));
    }
}

#[test]
fn every_length_leaves_padded_to_60_and_as_it_is_above_on_every_emulator() {
    for profile in PROFILES {
        let mut bench = Bench::new(of_profile(0x100e, profile));
        let mut memory = Memory::new(&bench.domain);
        for first in (1..=TX_LEN_MAX).step_by(16) {
            let batch = (first..=TX_LEN_MAX.min(first + 15)).map(|len| {
                let header_len = len.min(14 * (len & 1));
                let mut packet = inline(&[0x5a; 14][..header_len]);
                if len > header_len {
                    packet.fragments.push(memory.fragment(len, len - header_len));
                }
                let wire = memory.flat(&packet);
                (packet, wire)
            });
            let batch = batch.collect();
            exchange(&mut bench, batch, &format!("{profile:?} from {first}"));
        }
        bench.innocent(&format!("{profile:?}"));
    }
}

#[test]
fn what_no_card_can_send_is_refused_counted_and_gives_its_extents_back() {
    let mut bench = Bench::new(Options::default());
    let mut memory = Memory::new(&bench.domain);
    let with = |header: &[u8], memory: &mut Memory, lengths: &[usize], checksum: Option<TxChecksum>| {
        let mut packet = inline(header);
        lengths.iter().for_each(|len| packet.fragments.push(memory.fragment(0, *len)));
        packet.checksum = checksum;
        packet
    };
    let sum = |ip_start, start| Some(TxChecksum { protocol: TxProtocol::Tcp, ipv4: true, ip_start, start });
    let bad = [
        ("no byte at all", with(&[], &mut memory, &[], None)),
        ("longer than a frame", with(&[0; 14], &mut memory, &[TX_LEN_MAX - 13], None)),
        ("an empty fragment", with(&[0; 14], &mut memory, &[100, 0, 100], None)),
        ("a fragment beyond a descriptor", with(&[], &mut memory, &[16_289], None)),
        ("a checksum behind the end", with(&[0; 50], &mut memory, &[], sum(14, 34))),
        ("a transport inside its network header", with(&[0; 14], &mut memory, &[100], sum(14, 33))),
        ("a checksum that no offset reaches", with(&[0; 14], &mut memory, &[1000], sum(14, 250))),
    ];
    for (n, (what, packet)) in bad.into_iter().enumerate() {
        let extents: Vec<u32> = packet.fragments.iter().map(|fragment| fragment.extent.0).collect();
        let good = with(&[1; 14], &mut memory, &[100], None);
        let behind = good.fragments[0].extent.0;
        assert_eq!(bench.post(&mut vec![packet, good]), 2, "{what}");
        assert_eq!(bench.sent().len(), 1, "{what}: only the good one leaves");
        let mut released = bench.released();
        released.sort_unstable();
        assert_eq!(released, [extents, vec![behind]].concat(), "{what}");
        assert_eq!(bench.counters().tx_refused, n as u64 + 1, "{what}");
    }
    bench.innocent("refused");
}

#[test]
fn any_batch_of_any_packets_leaves_whole_and_in_order() {
    for seed in seeds(1, 80) {
        let mut random = fastrand::Rng::with_seed(seed);
        let device_id = CLAIMED[random.usize(..CLAIMED.len())];
        let profile = PROFILES[random.usize(..PROFILES.len())];
        let config = rings(80, 80 + 8 * random.u32(..32));
        let mut bench = Bench::with(of_profile(device_id, profile), &config);
        let (from, mut memory) = (bench.mac(), Memory::new(&bench.domain));
        for _ in 0..20 {
            let batch = (0..random.usize(1..60)).map(|_| {
                let count = random.usize(0..=FRAGMENTS_MAX);
                let kind = if random.bool() { plain } else { offloaded };
                kind(&mut memory, &mut random, from, count)
            });
            let batch = batch.collect();
            exchange(&mut bench, batch, &format!("seed {seed}: {device_id:#x} {profile:?}"));
        }
        bench.innocent(&format!("seed {seed}"));
    }
}
