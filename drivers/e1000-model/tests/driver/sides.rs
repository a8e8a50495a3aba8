//! Two drivers over two cards on one cable, and what passes between them.

use etherparse::PacketBuilder;
use naio_dma::{Buffer, Domain};
use naio_e1000::{Config, E1000};
use naio_e1000_model::wire::pair::{Cable, pair};
use naio_e1000_model::{Card, Model, Options};
use naio_nic::tx::TxProtocol;
use naio_nic::{ExtentId, Fragment, Nic, RxFrame, TxChecksum, TxPacket};
use naio_sys::clock::Clock;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

pub(crate) struct Side {
    pub(crate) nic: E1000<Model>,
    pub(crate) card: Card,
    pub(crate) domain: Domain,
}

/// Two drivers over two cards on one cable, in one virtual time.
pub(crate) fn sides(options: &Options) -> Result<([Side; 2], Cable), naio_e1000::OpenError> {
    sides_with_rings(options, 128)
}

pub(crate) fn sides_with_rings(
    options: &Options,
    ring: u32,
) -> Result<([Side; 2], Cable), naio_e1000::OpenError> {
    let (a, b, cable) = pair();
    let options = Options { clock: Clock::Manual(Arc::new(AtomicU64::new(0))), ..options.clone() };
    let side = |wire, last| {
        let mut options = options.clone();
        options.mac[5] = last;
        let domain = Domain::new();
        let model = Model::new(options, &domain, wire).expect("an id of the family");
        let card = model.card();
        let config = Config { rx_ring: ring, tx_ring: ring, rx_spare: 256, ..Config::default() };
        E1000::open(model, &config).map(|nic| Side { nic, card, domain })
    };
    // Both models must exist before either opens, or the first finds no partner.
    let sides = [side(a, 1)?, side(b, 2)?];
    Ok((sides, cable))
}

pub(crate) fn packet(to: [u8; 6], from: [u8; 6], len: usize, seed: u64) -> TxPacket {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut packet = TxPacket::default();
    packet.header.extend(to);
    packet.header.extend(from);
    packet.header.extend([0x88, 0xb5]);
    packet.header.extend(std::iter::repeat_with(|| random.u8(..)).take(len.min(128) - 14));
    packet
}

pub(crate) fn expected(packet: &TxPacket) -> Vec<u8> {
    let mut bytes = packet.header.to_vec();
    bytes.resize(bytes.len().max(60), 0);
    bytes
}

/// A packet of `len` bytes by reference, with the card completing its UDP checksum.
pub(crate) fn udp_packet(
    buffer: &mut Buffer,
    to: [u8; 6],
    from: [u8; 6],
    len: usize,
    seed: u64,
) -> (TxPacket, Vec<u8>) {
    let mut random = fastrand::Rng::with_seed(seed);
    let payload: Vec<u8> = std::iter::repeat_with(|| random.u8(..)).take(len).collect();
    let mut whole = Vec::new();
    PacketBuilder::ethernet2(from, to)
        .ipv4([10, 0, 0, 1], [10, 0, 0, 2], 64)
        .udp(1000, 2000)
        .write(&mut whole, &payload)
        .expect("a packet");
    let mut packet = TxPacket::default();
    packet.header.extend(whole[..42].iter().copied());
    // The seed: the sum of the pseudo-header, folded, not inverted.
    let sum = whole[26..34]
        .chunks(2)
        .fold(17 + 8 + len as u32, |sum, w| sum + u32::from(u16::from_be_bytes([w[0], w[1]])));
    let sum = (sum & 0xffff) + (sum >> 16);
    packet.header[40..42].copy_from_slice(&(sum as u16 + (sum >> 16) as u16).to_be_bytes());
    buffer[..len].copy_from_slice(&payload);
    let cut = random.usize(1..len);
    for range in [0..cut, cut..len] {
        let slice = buffer.slice(range).expect("inside");
        packet.fragments.push(Fragment { slice, extent: ExtentId(seed as u32) });
    }
    packet.checksum = Some(TxChecksum { protocol: TxProtocol::Udp, ipv4: true, ip_start: 14, start: 34 });
    (packet, whole)
}

pub(crate) fn take(side: &mut Side, into: &mut Vec<Vec<u8>>) {
    let mut frames: Vec<RxFrame> = Vec::new();
    side.nic.reap_rx(&mut frames, 64);
    let mut pages = Vec::new();
    for frame in frames {
        let bytes = side.nic.rx_pool().bytes(&frame.page);
        into.push(bytes[frame.offset.into()..(frame.offset + frame.len).into()].to_vec());
        pages.push(frame.page);
    }
    side.nic.post_rx(&mut pages);
    let mut released: Vec<ExtentId> = Vec::new();
    side.nic.reap_tx(&mut released);
    side.nic.ring();
}

/// Thousands of frames both ways; every one arrives, in order, as it left.
pub(crate) fn exchange(sides: &mut [Side; 2], frames: usize, seed: u64) {
    let macs = [sides[0].nic.caps().mac.0, sides[1].nic.caps().mac.0];
    let mut random = fastrand::Rng::with_seed(seed);
    let mut sent: [Vec<Vec<u8>>; 2] = Default::default();
    let mut got: [Vec<Vec<u8>>; 2] = Default::default();
    for round in 0..frames {
        for n in 0..2 {
            let burst = random.usize(0..24);
            let mut packets: Vec<TxPacket> = (0..burst)
                .map(|_| packet(macs[1 - n], macs[n], random.usize(14..128), random.u64(..)))
                .collect();
            let wanted: Vec<Vec<u8>> = packets.iter().map(expected).collect();
            let count = sides[n].nic.post_tx(&mut packets);
            sent[n].extend_from_slice(&wanted[..count]);
            sides[n].nic.ring();
        }
        for n in 0..2 {
            sides[n].card.step(random.usize(0..64));
            take(&mut sides[n], &mut got[n]);
        }
        if round % 64 == 0 {
            sides[0].card.advance(Duration::from_micros(50));
        }
        if sent[0].len() + sent[1].len() >= frames {
            break;
        }
    }
    assert!(sent[0].len() + sent[1].len() >= frames, "seed {seed}: the rings kept moving");
    for _ in 0..200 {
        for n in 0..2 {
            sides[n].card.advance(Duration::from_micros(20));
            take(&mut sides[n], &mut got[n]);
        }
    }
    for n in 0..2 {
        assert_eq!(got[1 - n].len(), sent[n].len(), "seed {seed}: every frame of side {n}");
        assert!(got[1 - n] == sent[n], "seed {seed}: as they left");
    }
}

pub(crate) fn innocent(side: &Side, name: &str) {
    let violations = side.card.violations();
    let shown: Vec<String> = violations.iter().map(ToString::to_string).collect();
    assert!(violations.is_empty(), "{name}: {shown:#?}");
}
