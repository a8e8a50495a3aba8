//! Transmit offloads over the whole range: pieces, tags, checksums, segmentation, on every part that
//! has them (fact sheet 7.5, rows 2, 3 and 9).

mod bench;

use bench::*;
use etherparse::{PacketBuilder, SlicedPacket, TransportSlice};
use naio_e1000_model::parts::{Mac, PARTS};
use naio_e1000_model::regs::*;
use naio_e1000_model::{Checks, Options, wire::Fcs};
use naio_testkit::seeds;

const VME: u32 = 1 << 30;
const TAG: u64 = 0xa123;

/// The sum of words, folded, not inverted.
fn sum(parts: &[&[u8]], more: u32) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let mut sum: u32 =
        words.map(|w| u32::from(w[0]) << 8 | u32::from(*w.get(1).unwrap_or(&0))).sum::<u32>() + more;
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    sum as u16
}

fn with_vlan(device_id: u16) -> Bench {
    let options = Options { device_id, checks: Checks::Light, ..Options::default() };
    let bench = Bench::new(options);
    bench.write(CTRL, bench.read(CTRL) | VME);
    bench.running(BAM | SECRC)
}

/// Posts `bytes` in `pieces` random pieces, each with `command`; the last gets EOP and RS.
fn post_pieces(bench: &mut Bench, bytes: &[u8], pieces: usize, command: u64, random: &mut fastrand::Rng) {
    let mut cuts: Vec<usize> = (1..pieces).map(|_| random.usize(1..bytes.len())).collect();
    cuts.extend([0, bytes.len()]);
    cuts.sort_unstable();
    for (n, cut) in cuts.windows(2).enumerate() {
        let at = bench.load(n, &bytes[cut[0]..cut[1]]);
        let last = if cut[1] == bytes.len() && n + 2 == cuts.len() { EOP | RS } else { 0 };
        bench.post(at, (cut[1] - cut[0]) as u64 | command | last);
    }
}

#[test]
fn one_to_sixteen_pieces_with_every_choice_of_tag_and_checksum() {
    for seed in seeds(1, 3) {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut bench = with_vlan(0x100e);
        for pieces in 1..=16 {
            for choice in 0..8u32 {
                let (tag, ip, tcp) = (choice & 1 != 0, choice & 2 != 0, choice & 4 != 0);
                let mut right = Vec::new();
                let payload: Vec<u8> = (0..random.usize(1..1400)).map(|_| random.u8(..)).collect();
                PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2])
                    .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
                    .tcp(1, 2, 3, 4)
                    .write(&mut right, &payload)
                    .expect("a packet");
                let mut bytes = right.clone();
                if ip {
                    bytes[24..26].fill(0);
                }
                if tcp {
                    let len = (bytes.len() - 34) as u32;
                    let seed = sum(&[&right[26..34]], 6 + len);
                    bytes[50..52].copy_from_slice(&seed.to_be_bytes());
                }
                bench.post(14 | 24 << 8 | 33 << 16 | (34 | 50 << 8) << 32, DEXT | 3 << 24);
                let bits = [(tag, VLE | TAG << 48), (ip, IXSM), (tcp, TXSM)];
                let wanted = bits.iter().filter(|(on, _)| *on).fold(0, |all, (_, bit)| all | bit);
                post_pieces(&mut bench, &bytes, pieces, DATA | IFCS | wanted, &mut random);
                bench.ring();
                let sent = bench.sent().expect("sent");
                let mut expected = right;
                if tag {
                    expected.splice(12..12, [0x81, 0x00, 0xa1, 0x23]);
                }
                expected.resize(expected.len().max(60), 0);
                assert_eq!((sent.bytes, sent.fcs), (expected, Fcs::Good), "seed {seed}, {pieces}, {choice}");
            }
        }
        bench.innocent();
    }
}

#[test]
fn a_tag_is_inserted_behind_the_addresses_of_legacy_packets_too() {
    let mut bench = with_vlan(0x100e);
    let bytes = frame(BROADCAST, 1500);
    // VLE and the tag count in the descriptor with EOP, and bring an FCS without IFCS.
    let at = bench.load(0, &bytes);
    bench.post(at, 700);
    bench.post(at + 700, 800 | EOP | VLE | RS | TAG << 48);
    bench.ring();
    let sent = bench.sent().expect("sent");
    assert_eq!((&sent.bytes[12..16], sent.bytes.len()), (&[0x81, 0x00, 0xa1, 0x23][..], 1504));
    assert_eq!((&sent.bytes[16..], sent.fcs), (&bytes[12..], Fcs::Good));
}

/// A large packet as software prepares it, before the payload.
struct Large {
    header: Vec<u8>,
    ip: usize,
    tcp: usize,
    v6: bool,
}

fn large(options: usize, v6: bool) -> Large {
    let ethernet = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
    let ip = if v6 {
        ethernet.ipv6([1; 16], [2; 16], 64)
    } else {
        ethernet.ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
    };
    let mut header = Vec::new();
    let nops = vec![1u8; options];
    let tcp = ip.tcp(1000, 80, u32::MAX - 500, 4000).psh().fin().ack(7).options_raw(&nops).expect("options");
    tcp.write(&mut header, &[]).expect("a packet");
    let (ip, tcp) = (14, if v6 { 54 } else { 34 });
    let addresses = if v6 { 22..54 } else { 26..34 };
    let seed = sum(&[&header[addresses]], 6);
    header[tcp + 16..tcp + 18].copy_from_slice(&seed.to_be_bytes());
    if v6 {
        header[18..20].fill(0);
    } else {
        header[16..18].fill(0);
        header[18..20].copy_from_slice(&0xffff_u16.to_be_bytes());
        header[24..26].fill(0);
    }
    Large { header, ip, tcp, v6 }
}

fn segment(
    bench: &mut Bench,
    large: &Large,
    payload: &[u8],
    mss: usize,
    command: u64,
    random: &mut fastrand::Rng,
) {
    let Large { header, ip, tcp, v6 } = large;
    let ip_span = if *v6 { ip | (ip + 10) << 8 } else { ip | (ip + 10) << 8 | (tcp - 1) << 16 };
    let low = ip_span as u64 | ((tcp | (tcp + 16) << 8) as u64) << 32;
    let kind = 1 << 24 | u64::from(!*v6) << 25;
    let lengths = payload.len() as u64 | (header.len() as u64) << 40 | (mss as u64) << 48;
    bench.post(low, DEXT | TSE | kind | lengths);
    let popts = if *v6 { TXSM } else { IXSM | TXSM };
    let at = bench.load(63, header);
    bench.post(at, header.len() as u64 | DATA | TSE | IFCS | popts | command);
    let mut rest = payload;
    for n in 0.. {
        let take = random.usize(1..=rest.len().min(8_000)).max(rest.len() / (40 - n));
        let at = bench.load(n, &rest[..take]);
        rest = &rest[take..];
        let last = if rest.is_empty() { EOP | RS } else { 0 };
        bench.post(at, take as u64 | DATA | TSE | IFCS | popts | command | last);
        if rest.is_empty() {
            break;
        }
    }
    bench.ring();
}

fn check(bench: &Bench, large: &Large, payload: &[u8], mss: usize, tagged: bool) {
    let mut got: Vec<u8> = Vec::new();
    let count = payload.len().div_ceil(mss);
    for n in 0..count {
        let mut bytes = bench.sent().unwrap_or_else(|| panic!("segment {n} of {count}")).bytes;
        if tagged {
            assert_eq!(bytes.drain(12..16).collect::<Vec<_>>(), [0x81, 0x00, 0xa1, 0x23]);
        }
        let len = large.header.len() + mss.min(payload.len() - got.len());
        assert!(bytes.len() == len || bytes.len() + 4 * usize::from(tagged) == 60, "segment {n}");
        bytes.truncate(len);
        let ip_len = (bytes.len() - large.ip) as u16;
        if large.v6 {
            // The datasheet's formula counts the IPv6 header; a right length is what software sees after.
            assert_eq!(bytes[18..20], ip_len.to_be_bytes());
            bytes[18..20].copy_from_slice(&(ip_len - 40).to_be_bytes());
        }
        let packet = SlicedPacket::from_ethernet(&bytes).expect("a packet");
        let Some(TransportSlice::Tcp(tcp)) = &packet.transport else { panic!("TCP") };
        if let Some(etherparse::NetSlice::Ipv4(ip)) = &packet.net {
            assert_eq!(ip.header().total_len(), ip_len);
            assert_eq!(ip.header().to_header().calc_header_checksum(), ip.header().header_checksum());
            assert_eq!(ip.header().identification(), 0xffff_u16.wrapping_add(n as u16), "it wraps");
        }
        let right = if large.v6 {
            tcp.to_header().calc_checksum_ipv6_raw([1; 16], [2; 16], tcp.payload())
        } else {
            tcp.to_header().calc_checksum_ipv4_raw([10, 0, 0, 1], [10, 0, 0, 2], tcp.payload())
        };
        assert_eq!(right, Ok(tcp.checksum()), "segment {n}");
        assert_eq!(tcp.sequence_number(), (u32::MAX - 500).wrapping_add(got.len() as u32), "it wraps");
        assert_eq!((tcp.psh(), tcp.fin(), tcp.ack()), (n + 1 == count, n + 1 == count, true));
        got.extend(tcp.payload());
    }
    assert!(got == payload && bench.sent().is_none());
}

#[test]
fn segmentation_of_every_size_around_whole_segments() {
    for seed in seeds(1, 1) {
        let mut random = fastrand::Rng::with_seed(seed);
        for (mss, times) in [(1usize, 40usize), (536, 20), (1460, 11), (9000, 4)] {
            for around in [-1isize, 0, 1] {
                for choice in 0..8u32 {
                    let (v6, options, tag) = (choice & 1 != 0, (choice & 2) as usize * 6, choice & 4 != 0);
                    let mut bench = with_vlan(0x100e);
                    let len = (mss * times).checked_add_signed(around).expect("positive");
                    let payload: Vec<u8> = (0..len).map(|_| random.u8(..)).collect();
                    let large = large(options, v6);
                    let command = if tag { VLE | TAG << 48 } else { 0 };
                    segment(&mut bench, &large, &payload, mss, command, &mut random);
                    check(&bench, &large, &payload, mss, tag);
                    assert_eq!((bench.count(0x40f8), bench.count(0x40fc)), (1, 0), "TSCTC, TSCTFC");
                    assert_eq!(bench.count(0x40d4), len.div_ceil(mss) as u64, "frames sent");
                }
            }
        }
    }
}

#[test]
fn every_part_has_the_offloads_of_its_matrix() {
    for part in PARTS.iter().copied().filter(|part| part.mac >= Mac::I82543) {
        let mut random = fastrand::Rng::with_seed(1);
        let bench = Bench::new(Options { device_id: part.id, checks: Checks::Light, ..Options::default() });
        bench.write(TXCW, 0x8000_01a0);
        let control = bench.read(CTRL) | VME;
        // The 82543 does not see what its PHY agreed on.
        bench.write(CTRL, if part.mac == Mac::I82543 { control | 0x1a01 } else { control });
        let mut bench = bench.running(BAM);
        let large = large(0, false);
        let payload: Vec<u8> = (0..4000).map(|_| random.u8(..)).collect();
        segment(&mut bench, &large, &payload, 1460, VLE | TAG << 48, &mut random);
        if part.has_tso() {
            check(&bench, &large, &payload, 1460, true);
        } else {
            assert!(bench.sent().is_none(), "{} does not segment", part.name);
            assert_eq!(bench.count(0x40fc), 1, "an aborted context");
        }
        // The non-TSO context is another one, and works after it everywhere.
        let mut bytes = frame(STATION, 200);
        bytes[100..102].fill(0);
        let expected = !sum(&[&bytes[20..]], 0);
        bench.post((20 | 100 << 8) << 32, DEXT | 1 << 24);
        let at = bench.load(0, &bytes);
        bench.post(at, 200 | DATA | EOP | IFCS | RS | TXSM);
        bench.ring();
        let sent = bench.sent().expect("sent").bytes;
        assert_eq!(sent[100..102], expected.to_be_bytes(), "{}", part.name);
    }
}
