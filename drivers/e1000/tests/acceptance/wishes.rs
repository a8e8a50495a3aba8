//! Long TCP packets as a sender wants them cut, and the segments that must be on the wire for them, written field by
//! field by the test itself.

use crate::bench::{Bench, Memory, PEER, inline};
use naio_nic::tx::{FRAGMENTS_MAX, HEADER_LEN_MAX, PACKET_LEN_MAX, TxProtocol};
use naio_nic::{Fragment, TxChecksum, TxPacket};
use naio_testkit::sum;
use std::num::NonZeroU16;

/// Enough for several multiples of 64 KB.
const LONG_MEMORY_LEN: usize = 1 << 18;
pub(crate) const FIN: u8 = 1;
pub(crate) const PSH: u8 = 8;
pub(crate) const ACK: u8 = 16;

/// What a sender wants cut.
#[derive(Clone, Debug)]
pub(crate) struct Wish {
    pub(crate) tagged: bool,
    pub(crate) ipv4: bool,
    /// Bytes of options, multiples of four.
    pub(crate) ip_options: usize,
    pub(crate) tcp_options: usize,
    pub(crate) flags: u8,
    pub(crate) id: u16,
    pub(crate) sequence: u32,
    pub(crate) mss: u16,
}

pub(crate) const PLAIN: Wish = Wish {
    tagged: false,
    ipv4: true,
    ip_options: 0,
    tcp_options: 0,
    flags: ACK | PSH,
    id: 7,
    sequence: 0xffff_f000,
    mss: 1000,
};

impl Wish {
    fn ip_start(&self) -> usize {
        if self.tagged { 18 } else { 14 }
    }

    fn start(&self) -> usize {
        self.ip_start() + if self.ipv4 { 20 + self.ip_options } else { 40 + self.ip_options }
    }

    pub(crate) fn header_len(&self) -> usize {
        self.start() + 20 + self.tcp_options
    }

    /// Headers with every field that does not depend on the segment; the others are noise.
    fn template(&self, from: [u8; 6]) -> Vec<u8> {
        let mut header = [&PEER[..], &from].concat();
        if self.tagged {
            header.extend([0x81, 0, 0x20, 0x05]);
        }
        if self.ipv4 {
            let ihl = 0x40 | (5 + self.ip_options / 4) as u8;
            header.extend([8, 0, ihl, 0, 0xaa, 0xbb, 0, 0, 0x40, 0, 64, 6, 0xcc, 0xdd]);
            header.extend([10, 0, 0, 1, 10, 0, 0, 2]);
            header.extend(std::iter::repeat_n(1, self.ip_options));
        } else {
            // An extension header for options (RFC 8200 4.3), if there is one.
            let next = if self.ip_options > 0 { 60 } else { 6 };
            header.extend([0x86, 0xdd, 0x60, 0, 0, 0, 0xaa, 0xbb, next, 64]);
            header.extend([[0xfd; 16], [0xfe; 16]].concat());
            if self.ip_options > 0 {
                header.extend([6, (self.ip_options / 8 - 1) as u8, 1, (self.ip_options - 4) as u8]);
                header.extend(std::iter::repeat_n(0, self.ip_options - 4));
            }
        }
        header.extend([0x30, 0x39, 0x1f, 0x90, 0, 0, 0, 0, 0, 0, 0, 9]);
        header.extend([((5 + self.tcp_options / 4) << 4) as u8, self.flags, 0xff, 0xff, 0, 0, 0, 0]);
        header.extend((0..self.tcp_options).map(|n| n as u8 | 0x80));
        assert_eq!(header.len(), self.header_len());
        header
    }

    /// The pseudo-header without its length.
    fn seed(&self, header: &[u8]) -> u16 {
        let at = self.ip_start();
        let addresses = if self.ipv4 { at + 12..at + 20 } else { at + 8..at + 40 };
        sum::folded(&[&header[addresses], &[0, 6]])
    }

    /// The packet as it is posted.
    pub(crate) fn packet(&self, from: [u8; 6], fragments: &[Fragment]) -> TxPacket {
        let mut header = self.template(from);
        let (ip, tcp) = (self.ip_start(), self.start());
        if self.ipv4 {
            header[ip + 4..ip + 6].copy_from_slice(&self.id.to_be_bytes());
        }
        header[tcp + 4..tcp + 8].copy_from_slice(&self.sequence.to_be_bytes());
        let seed = self.seed(&header);
        header[tcp + 16..tcp + 18].copy_from_slice(&seed.to_be_bytes());
        let mut packet = inline(&header);
        packet.fragments.extend(fragments.iter().copied());
        let (ip_start, start) = (ip as u8, tcp as u8);
        packet.checksum = Some(TxChecksum { protocol: TxProtocol::Tcp, ipv4: self.ipv4, ip_start, start });
        packet.mss = NonZeroU16::new(self.mss);
        packet
    }

    /// The frames that must be on the wire for this payload, written field by field.
    pub(crate) fn frames(&self, from: [u8; 6], payload: &[u8]) -> Vec<Vec<u8>> {
        let (ip, tcp) = (self.ip_start(), self.start());
        let pieces: Vec<&[u8]> =
            if payload.is_empty() { vec![payload] } else { payload.chunks(self.mss.into()).collect() };
        let count = pieces.len();
        let frame = |(n, piece): (usize, &&[u8])| {
            let mut frame = [&self.template(from), *piece].concat();
            let ip_len = frame.len() - ip;
            if self.ipv4 {
                frame[ip + 2..ip + 4].copy_from_slice(&(ip_len as u16).to_be_bytes());
                frame[ip + 4..ip + 6].copy_from_slice(&self.id.wrapping_add(n as u16).to_be_bytes());
                frame[ip + 10..ip + 12].fill(0);
                let checksum = !sum::folded(&[&frame[ip..tcp]]);
                frame[ip + 10..ip + 12].copy_from_slice(&checksum.to_be_bytes());
            } else {
                frame[ip + 4..ip + 6].copy_from_slice(&((ip_len - 40) as u16).to_be_bytes());
            }
            let sequence = self.sequence.wrapping_add((n * usize::from(self.mss)) as u32);
            frame[tcp + 4..tcp + 8].copy_from_slice(&sequence.to_be_bytes());
            if n + 1 < count {
                frame[tcp + 13] &= !(FIN | PSH);
            }
            let length = ((frame.len() - tcp) as u16).to_be_bytes();
            let seed = sum::folded(&[&self.seed(&frame).to_be_bytes(), &length]);
            frame[tcp + 16..tcp + 18].copy_from_slice(&seed.to_be_bytes());
            sum::complete(&mut frame, tcp, 16);
            frame.resize(frame.len().max(60), 0);
            frame
        };
        pieces.iter().enumerate().map(frame).collect()
    }
}

/// Packets on their way, and what the wire must show for them.
pub(crate) struct Sender {
    pub(crate) bench: Bench,
    pub(crate) memory: Memory,
    pub(crate) from: [u8; 6],
    packets: Vec<TxPacket>,
    wanted: Vec<Vec<u8>>,
    extents: Vec<u32>,
    bytes: u64,
    frames: u64,
}

impl Sender {
    pub(crate) fn new(bench: Bench) -> Sender {
        let memory = Memory::of(&bench.domain, LONG_MEMORY_LEN);
        let from = bench.mac();
        let (packets, wanted, extents) = (Vec::new(), Vec::new(), Vec::new());
        Sender { bench, memory, from, packets, wanted, extents, bytes: 0, frames: 0 }
    }

    /// Adds a long packet whose payload lies in these fragments.
    pub(crate) fn long(&mut self, wish: &Wish, fragments: &[Fragment]) {
        let packet = wish.packet(self.from, fragments);
        let payload = TxPacket { header: Default::default(), ..packet.clone() };
        let len = payload.len();
        let flat = self.memory.flat(&payload);
        let frames = wish.frames(self.from, &flat[..len]);
        self.bytes += (len + frames.len() * wish.header_len()) as u64;
        self.wanted(packet, frames);
    }

    /// Adds a packet that is a frame as it is.
    pub(crate) fn plain(&mut self, packet: TxPacket) {
        self.bytes += packet.len() as u64;
        let frame = self.memory.flat(&packet);
        self.wanted(packet, vec![frame]);
    }

    fn wanted(&mut self, packet: TxPacket, frames: Vec<Vec<u8>>) {
        self.frames += frames.len() as u64;
        self.extents.extend(packet.fragments.iter().map(|fragment| fragment.extent.0));
        self.wanted.extend(frames);
        self.packets.push(packet);
    }

    /// Sends it all, however many turns that takes, and looks at everything.
    pub(crate) fn send(&mut self, what: &str) {
        let (mut sent, mut released) = (Vec::new(), Vec::new());
        while !self.packets.is_empty() || sent.len() < self.wanted.len() {
            let before = (self.packets.len(), sent.len());
            self.bench.post(&mut self.packets);
            sent.extend(self.bench.sent());
            released.extend(self.bench.released());
            assert!(before != (self.packets.len(), sent.len()), "{what}: stuck at {before:?}");
        }
        released.extend(self.bench.released());
        assert_eq!(sent.len(), self.wanted.len(), "{what}: frames");
        for (n, (sent, wanted)) in sent.iter().zip(&self.wanted).enumerate() {
            assert!(sent == wanted, "{what}: frame {n}\n{}", difference(sent, wanted));
        }
        assert_eq!(released, self.extents, "{what}: each extent once, in order");
        let counted = self.bench.counters();
        assert_eq!((counted.tx_frames, counted.tx_bytes), (self.frames, self.bytes), "{what}");
        assert_eq!(counted.tx_refused, 0, "{what}");
        self.bench.innocent(what);
        self.wanted.clear();
        self.extents.clear();
    }

    /// `len` bytes in `count` fragments at random places, some of them across a multiple of 64 KB.
    pub(crate) fn scattered(
        &mut self,
        random: &mut fastrand::Rng,
        len: usize,
        count: usize,
    ) -> Vec<Fragment> {
        let mut left = len;
        let pieces = (0..count).rev().map(|n| {
            let len = if n == 0 { left } else { random.usize(1..=(left - n).min(2 * left / (n + 1) + 1)) };
            left -= len;
            len
        });
        let pieces: Vec<usize> = pieces.collect();
        let place = |len: usize| match random.u8(..3) {
            0 => (0x1_0000 * random.usize(1..4)).saturating_sub(random.usize(..=len.min(0x1_0000))),
            _ => random.usize(..LONG_MEMORY_LEN - len),
        };
        let places: Vec<usize> = pieces.iter().copied().map(place).collect();
        places.into_iter().zip(pieces).map(|(at, len)| self.at(at, len)).collect()
    }

    fn at(&mut self, at: usize, len: usize) -> Fragment {
        self.memory.fragment(at.min(LONG_MEMORY_LEN - len), len)
    }
}

fn difference(sent: &[u8], wanted: &[u8]) -> String {
    let at = sent.iter().zip(wanted).position(|(a, b)| a != b);
    let head = |bytes: &[u8]| format!("{:02x?}", &bytes[..bytes.len().min(HEADER_LEN_MAX)]);
    format!("{} and {} bytes, first at {at:?}\n{}\n{}", sent.len(), wanted.len(), head(sent), head(wanted))
}

/// Any wish at all whose segments fit frames of `frame_len_max`.
pub(crate) fn any(random: &mut fastrand::Rng, frame_len_max: usize) -> Wish {
    let ipv4 = random.bool();
    let tagged = random.u8(..4) == 0;
    let fixed = 20 + if tagged { 18 } else { 14 } + if ipv4 { 20 } else { 40 };
    let tcp_options = 4 * random.usize(..=10);
    let room = (HEADER_LEN_MAX - fixed - tcp_options).min(40) / 8;
    let ip_options = if random.u8(..4) == 0 { 8 * random.usize(..=room) } else { 0 };
    let shape = Wish { tagged, ipv4, ip_options, tcp_options, ..PLAIN };
    let longest = (frame_len_max - shape.header_len()) as u16;
    let mss = match random.u8(..4) {
        0 => random.u16(1..=64),
        1 => longest - random.u16(..8),
        _ => random.u16(1..=longest),
    };
    let flags = ACK | [0, FIN, PSH, FIN | PSH][random.usize(..4)];
    let id = if random.bool() { random.u16(..) } else { 0xffff - random.u16(..8) };
    let sequence = if random.bool() { random.u32(..) } else { u32::MAX - random.u32(..70_000) };
    Wish { flags, id, sequence, mss, ..shape }
}

/// Batches of long packets and frames, under any ring.
pub(crate) fn mixture(sender: &mut Sender, random: &mut fastrand::Rng, frame_len_max: usize, what: &str) {
    for _ in 0..4 {
        for _ in 0..random.usize(1..8) {
            let from = sender.from;
            for _ in 0..random.usize(..3) {
                let len = random.usize(1..=HEADER_LEN_MAX);
                let mut packet = inline(&vec![random.u8(..); len]);
                for _ in 0..random.usize(..4) {
                    packet
                        .fragments
                        .push(sender.memory.random_fragment(random, (frame_len_max - HEADER_LEN_MAX) / 3));
                }
                sender.plain(packet);
            }
            if random.u8(..4) == 0 {
                // Without a header, so that a fragment is the packet's first buffer, or its only one.
                let mut packet = TxPacket::default();
                let fragment = sender.memory.random_fragment(random, frame_len_max - 4);
                packet.fragments.push(fragment);
                sender.plain(packet);
            }
            let wish = any(random, frame_len_max);
            let most = (PACKET_LEN_MAX - wish.header_len()).min(usize::from(wish.mss) * 60);
            let len = match random.u8(..4) {
                0 => usize::from(wish.mss) * random.usize(..=most / usize::from(wish.mss)),
                _ => random.usize(..=most),
            };
            let count = if len == 0 { 0 } else { random.usize(1..=FRAGMENTS_MAX.min(len)) };
            let fragments = sender.scattered(random, len, count);
            assert_eq!(wish.packet(from, &fragments).len(), wish.header_len() + len);
            sender.long(&wish, &fragments);
        }
        sender.send(what);
    }
}
