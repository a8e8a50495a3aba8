//! Thousands of damaged, reordered and invented frames against a connection: no panic, no storm, no
//! frame unaccounted for. Debug assertions and overflow checks of this crate and of smoltcp are on.

use super::*;
use crate::RingLen;

const BURSTS_PER_RUN: u32 = 250;
const RUNS: u64 = 150;

struct Chaos {
    random: fastrand::Rng,
    bench: Bench,
    socket: SocketId,
    peer: Peer,
    /// What the stack last said: its next sequence number and the one it expects.
    seen: (u32, u32),
}

impl Chaos {
    fn new(seed: u64) -> Chaos {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut bench = Bench::new(|_| {});
        let mut ring =
            || RingLen::at_least(random.choice([1, 4096, 16_384, 65_535, 65_536, 200_000]).expect("some"));
        let options = SocketOptions { rx_ring: ring(), tx_ring: ring(), ..SocketOptions::default() };
        // A third of the runs starts before the handshake.
        let peer = if seed.is_multiple_of(3) {
            let (socket, syn) = bench.connecting(options);
            Peer { socket, port: syn.source_port, seq: 0, ack: syn.seq.wrapping_add(1) }
        } else {
            bench.connected(options)
        };
        Chaos { random, bench, socket: peer.socket, seen: (peer.ack, peer.seq), peer }
    }

    fn near(&mut self, value: u32) -> u32 {
        match self.random.u32(0..8) {
            0 => self.random.u32(..),
            1 => value.wrapping_add(self.random.u32(0..1 << 20)),
            2 => value.wrapping_sub(self.random.u32(0..70_000)),
            3 => value.wrapping_add(1),
            4 => value.wrapping_sub(1),
            _ => value,
        }
    }

    fn segment(&mut self) -> Segment {
        let (ack, seq) = (self.near(self.seen.0), self.near(self.seen.1));
        let random = &mut self.random;
        let mut segment = self.peer.segment().seq(seq).ack(ack);
        segment.window = random.choice([0, 1, 500, 0xffff]).expect("some");
        match random.u32(0..12) {
            0 => segment.flags = Default::default(),
            1 => segment = segment.syn(random.u16(..), Some(random.u8(0..20))),
            2 => segment = segment.fin(),
            3 => segment = segment.rst(),
            4 => {
                segment = segment.syn(1460, None);
                segment.flags.ack = false;
            }
            5 => segment.options = (0..random.usize(0..11) * 4).map(|_| random.u8(..)).collect(),
            _ => {}
        }
        let len = match random.u32(0..4) {
            0 => 0,
            1 => random.usize(0..10),
            _ => random.usize(0..1400),
        };
        segment.payload = vec![7; len];
        segment
    }

    /// Damages a frame, and half of the time makes its checksums right again.
    fn damage(&mut self, frame: &mut Vec<u8>) {
        let random = &mut self.random;
        match random.u32(0..6) {
            0 => {
                for _ in 0..random.u32(1..5) {
                    let at = random.usize(0..frame.len().min(90));
                    frame[at] = random.u8(..);
                }
            }
            1 => frame.truncate(random.usize(0..=frame.len())),
            2 => frame[14] = 0x40 | random.u8(0..16),
            3 => frame[46] = random.u8(..),
            _ => return,
        }
        if random.bool() && frame.len() >= 34 {
            repair(frame);
        }
    }

    fn frame(&mut self) -> Vec<u8> {
        let segment = self.segment();
        // What comes next may follow without a gap.
        if self.random.bool() {
            self.seen.1 = segment.seq.wrapping_add(segment.seq_len());
        }
        let mut frame = segment.ethernet(THEIR_MAC.0, OUR_MAC.0);
        self.damage(&mut frame);
        frame
    }

    fn act(&mut self) {
        let (stack, socket) = (&mut self.bench.stack, self.socket);
        match self.random.u32(0..20) {
            0..4 => drop(stack.send(socket, &vec![1; self.random.usize(0..50_000)])),
            4..10 => while stack.recv(socket, &mut [0; 4096]).is_ok_and(|n| n > 0) {},
            10 => drop(stack.shutdown(socket)),
            11 if self.random.u32(0..20) == 0 => drop(stack.abort(socket)),
            12 if self.random.u32(0..20) == 0 => drop(stack.close(socket)),
            _ => {}
        }
    }

    fn run(&mut self) {
        for _ in 0..BURSTS_PER_RUN {
            self.bench.now_us += self.random.choice([0, 100, 5_000, 300_000, 3_000_000]).expect("some");
            let burst: Vec<_> = (0..self.random.usize(1..5)).map(|_| self.frame()).collect();
            self.bench.feed_burst(&burst);
            self.act();
            if self.random.u32(0..3) > 0 {
                let sent = self.bench.frames();
                assert!(sent.len() < 400, "a storm of {} packets", sent.len());
                if let Some(last) = sent.iter().rev().find_map(|f| Segment::parse(f)) {
                    self.seen = (last.seq.wrapping_add(last.seq_len()), last.ack);
                }
            }
        }
        // Whatever happened, it comes to rest.
        let sent = self.bench.wait_ms(400_000);
        assert!(sent.len() < 5_000, "a storm of {} packets", sent.len());
    }
}

fn repair(frame: &mut [u8]) {
    let header_len = usize::from(frame[14] & 15) * 4;
    let Some(header) = frame.get_mut(14..14 + header_len).filter(|h| h.len() >= 20) else { return };
    header[10..12].fill(0);
    let checksum = !sum::folded(&[header]);
    header[10..12].copy_from_slice(&checksum.to_be_bytes());
    let addresses: [u8; 8] = header[12..20].try_into().expect("eight bytes");
    let total_len = usize::from(u16::from_be_bytes([header[2], header[3]]));
    let Some(tcp) = frame.get_mut(14 + header_len..14 + total_len).filter(|tcp| tcp.len() >= 18) else {
        return;
    };
    tcp[16..18].fill(0);
    let len = (tcp.len() as u16).to_be_bytes();
    let checksum = !sum::folded(&[&addresses, &[0, 6], &len, tcp]);
    tcp[16..18].copy_from_slice(&checksum.to_be_bytes());
}

#[test]
fn damaged_frames_never_panic() {
    for seed in naio_testkit::seeds(1, RUNS) {
        Chaos::new(seed).run();
    }
}
