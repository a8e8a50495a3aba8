//! The receive checksum verdict against packets made by `etherparse`, on each generation.

mod bench;
use bench::*;
use etherparse::PacketBuilder;
use naio_e1000_model::regs::*;
use naio_e1000_model::{Checks, Options};

const IXSM_BIT: u8 = 4;
const TCPCS: u8 = 0x20;
const IPCS: u8 = 0x40;
const TCPE: u8 = 0x20;
const IPE: u8 = 0x40;

fn bench(id: u16, rxcsum: u32) -> Bench {
    let bench = Bench::new(Options { device_id: id, checks: Checks::Light, ..Options::default() });
    bench.write(RXCSUM, rxcsum);
    bench.running(BAM | UPE | SECRC)
}

fn verdict(bench: &mut Bench, bytes: &[u8]) -> (u8, u8) {
    bench.put(bytes);
    let (_, last) = bench.receive_frame().expect("received");
    (last.status() & (IXSM_BIT | TCPCS | IPCS), last.errors())
}

fn tcp(len: usize) -> Vec<u8> {
    let builder = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], STATION)
        .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
        .tcp(1000, 80, 12345, 4000);
    let payload: Vec<u8> = (0..len).map(|n| (n * 7) as u8).collect();
    let mut bytes = Vec::new();
    builder.write(&mut bytes, &payload).expect("a packet");
    bytes
}

fn udp(len: usize, v6: bool) -> Vec<u8> {
    let ethernet = PacketBuilder::ethernet2([2, 0, 0, 0, 0, 1], STATION);
    let ip = if v6 {
        ethernet.ipv6([1; 16], [2; 16], 64)
    } else {
        ethernet.ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
    };
    let payload: Vec<u8> = (0..len).map(|n| (n * 7) as u8).collect();
    let mut bytes = Vec::new();
    ip.udp(53, 53).write(&mut bytes, &payload).expect("a packet");
    bytes
}

#[test]
fn good_packets_are_checked_and_good() {
    let mut bench = bench(0x100e, 0x700);
    for len in [6, 7, 100, 1447, 1460] {
        assert_eq!(verdict(&mut bench, &tcp(len)), (TCPCS | IPCS, 0), "TCP {len}");
        assert_eq!(verdict(&mut bench, &udp(len.max(18), false)), (TCPCS | IPCS, 0), "UDP {len}");
        assert_eq!(verdict(&mut bench, &udp(len.clamp(18, 1400), true)), (TCPCS, 0), "UDP over IPv6 {len}");
    }
}

#[test]
fn broken_packets_are_found() {
    let mut bench = bench(0x100e, 0x700);
    let mut bytes = tcp(100);
    bytes[60] ^= 1;
    assert_eq!(verdict(&mut bench, &bytes), (TCPCS | IPCS, TCPE));
    let mut bytes = tcp(100);
    bytes[22] ^= 1;
    assert_eq!(verdict(&mut bench, &bytes), (TCPCS | IPCS, IPE));
}

#[test]
fn padding_is_no_part_of_a_segment_but_of_the_raw_checksum() {
    let mut bench = bench(0x100e, 0x300 | 14);
    let mut bytes = tcp(0);
    bytes.extend([0xab; 6]);
    bench.put(&bytes);
    let (_, last) = bench.receive_frame().expect("received");
    assert_eq!((last.status() & 0x64, last.errors()), (TCPCS | IPCS, 0));
    let sum = bytes[14..].chunks(2).fold(0u32, |sum, w| {
        let sum = sum + u32::from(u16::from_be_bytes([w[0], *w.get(1).unwrap_or(&0)]));
        (sum & 0xffff) + (sum >> 16)
    });
    assert_eq!(last.checksum(), !(sum as u16), "complement of the sum from PCSS");
}

#[test]
fn fragments_and_strangers_are_left_alone() {
    let mut bench = bench(0x100e, 0x700);
    let mut bytes = tcp(100);
    bytes[20] |= 0x20;
    let fixed = {
        bytes[24] = 0;
        bytes[25] = 0;
        let sum = bytes[14..34].chunks(2).fold(0u32, |s, w| s + u32::from(u16::from_be_bytes([w[0], w[1]])));
        !((sum & 0xffff) as u16 + (sum >> 16) as u16)
    };
    bytes[24..26].copy_from_slice(&fixed.to_be_bytes());
    assert_eq!(verdict(&mut bench, &bytes), (IPCS, 0), "a fragment: only the header");
    assert_eq!(verdict(&mut bench, &frame(STATION, 80)), (IXSM_BIT, 0));
    let mut zero = udp(40, false);
    zero[40..42].fill(0);
    assert_eq!(verdict(&mut bench, &zero).0, IPCS, "UDP without checksum");
}

#[test]
fn each_generation_checks_what_it_can() {
    let cases = [
        (0x1000, 0, 0, 0),
        (0x1004, TCPCS, 0, 0),
        (0x1008, TCPCS | IPCS, TCPCS | IPCS, 0),
        (0x100e, TCPCS | IPCS, TCPCS | IPCS, TCPCS),
    ];
    for (id, for_tcp, for_udp, for_udp6) in cases {
        let mut bench = bench(id, 0x700);
        let checked = |status: u8| status & (TCPCS | IPCS);
        assert_eq!(checked(verdict(&mut bench, &tcp(100)).0), for_tcp, "{id:#x} TCP");
        assert_eq!(checked(verdict(&mut bench, &udp(100, false)).0), for_udp, "{id:#x} UDP");
        assert_eq!(checked(verdict(&mut bench, &udp(100, true)).0), for_udp6, "{id:#x} UDP over IPv6");
    }
}
