//! The receive path against smoltcp as it comes: the same frames, the same bytes, the same acknowledgments.
//!
//! What the stack changes is what a segment costs: frames are merged, smoltcp sees zeros, the bytes lie elsewhere. None
//! of that may show, whatever is lost, repeated, reordered, cut otherwise, contradicted or sent beyond the window.

use super::plain::Plain;
use super::{Bench, OUR_MAC, PEER_ISN, Peer, THEIR_MAC};
use crate::data_only::watch;
use crate::{RingLen, SocketOptions, TcpOptions};
use fastrand::Rng;
use naio_testkit::Segment;

/// Bursts of one connection.
const BURSTS: usize = 40;
/// Reading pauses for so many bursts at most.
const PAUSE_MAX: u32 = 6;

/// One connection twice.
struct Twins {
    bench: Bench,
    peer: Peer,
    plain: Plain,
    ring: u32,
    seed: u64,
    received: [Vec<u8>; 2],
    /// What both acknowledged last, as an offset in the stream.
    acked: u32,
    /// Bytes that our side sent, and the peer acknowledged.
    sent: u32,
    heard: u32,
    finished: bool,
}

/// Byte `n` of the stream; another version of it contradicts it.
fn byte(n: u32, version: u8) -> u8 {
    ((n.wrapping_mul(0x9e37_79b9) >> 24) as u8).wrapping_add(version.wrapping_mul(77))
}

impl Twins {
    fn new(seed: u64, random: &mut Rng) -> Twins {
        let ring =
            RingLen::at_least(random.choice([700, 3_000, 20_000, 65_535, 131_070, 262_140]).expect("some"));
        let tcp = TcpOptions { nodelay: true, ..TcpOptions::default() };
        let options = SocketOptions { rx_ring: ring, tcp, ..SocketOptions::default() };
        let (scale, sack) = (random.bool().then_some(7), random.bool());
        let syn = |segment: Segment| {
            let mut syn = segment.syn(1460, scale);
            syn.options.extend_from_slice(if sack { &[1, 1, 4, 2] } else { &[] });
            syn
        };
        let mut bench = Bench::new(|_| {});
        let plain = Plain::connected(bench.now_us, options, PEER_ISN, syn);
        let (socket, ours) = bench.connecting(options);
        let (seq, ack) = (PEER_ISN.wrapping_add(1), ours.seq.wrapping_add(1));
        let peer = Peer { socket, port: ours.source_port, seq, ack };
        bench.feed(&syn(peer.segment().seq(PEER_ISN)));
        assert_eq!(bench.segments().len(), 1);
        let received = [Vec::new(), Vec::new()];
        let ring = ring.bytes() as u32;
        Twins { bench, peer, plain, ring, seed, received, acked: 0, sent: 0, heard: 0, finished: false }
    }

    /// A segment for both, by its place in the stream.
    fn segments(&self, start: u32, payload: &[u8], ack: u32, change: impl Fn(&mut Segment)) -> [Segment; 2] {
        let seq = self.peer.seq.wrapping_add(start);
        [self.peer.segment(), self.plain.segment()].map(|segment| {
            let mut segment = segment.seq(seq).payload(payload);
            segment.ack = segment.ack.wrapping_add(ack);
            change(&mut segment);
            segment
        })
    }

    /// What a sender may do, and what it may not.
    fn burst(&self, random: &mut Rng) -> Vec<[Segment; 2]> {
        let mut burst = Vec::new();
        let mut at = self.received[0].len() as u32 + self.unread();
        let tiny = random.u32(0..6) == 0;
        // Messages in order, and nothing else: what goes the short ways.
        let is_quiet = random.u32(0..3) == 0;
        for _ in 0..random.u32(1..if tiny { 48 } else { 24 }) {
            let len = if tiny { random.u32(1..12) } else { random.u32(1..1_400) };
            let start = match random.u32(0..12) {
                _ if is_quiet => at,
                0 => at.saturating_sub(random.u32(0..3_000)),
                1 | 2 => at + random.u32(1..3_000),
                3 if tiny => at + 2 * random.u32(1..200),
                _ => at,
            };
            // Beyond the ring the guard drops what smoltcp would cut.
            let len = len.min((self.acked + self.ring).saturating_sub(start));
            let version = if !is_quiet && random.u32(0..6) == 0 { random.u8(1..) } else { 0 };
            let mut payload: Vec<u8> = (start..start + len).map(|n| byte(n, version)).collect();
            if !is_quiet && random.u32(0..20) == 0 {
                payload.clear();
            }
            // Sometimes as old as a reordered segment would say.
            let ack =
                if !is_quiet && random.u32(0..6) == 0 { random.u32(0..=self.heard) } else { self.heard };
            let psh = if is_quiet { random.u32(0..4) > 0 } else { random.u32(0..8) == 0 };
            let window = if random.u32(0..15) == 0 { 9_000 } else { 0xffff };
            let fin = !self.finished && random.u32(0..400) == 0;
            burst.push(self.segments(start, &payload, ack, |segment| {
                (segment.flags.psh, segment.window, segment.flags.fin) = (psh, window, fin);
            }));
            if start == at {
                at += payload.len() as u32;
            }
            if fin {
                // What follows a FIN is the guard's affair and not smoltcp's.
                break;
            }
        }
        burst
    }

    fn unread(&self) -> u32 {
        self.bench.status(self.peer.socket).readable as u32
    }

    fn step(&mut self, random: &mut Rng, reads: bool) {
        if self.sent == self.heard && random.u32(0..4) == 0 {
            let bytes = vec![7; random.usize(1..500)];
            self.bench.stack.send(self.peer.socket, &bytes).expect("connected");
            assert_eq!(self.plain.send(&bytes), bytes.len());
            self.sent += bytes.len() as u32;
        }
        let burst = self.burst(random);
        self.finished |= burst.iter().any(|pair| pair[0].flags.fin);
        let frames: Vec<_> = burst.iter().map(|[ours, _]| ours.ethernet(THEIR_MAC.0, OUR_MAC.0)).collect();
        self.bench.feed_burst(&frames);
        burst.iter().for_each(|[_, plain]| self.plain.feed(plain));
        if reads {
            self.read(random.usize(1..100_000));
        }
        self.compare();
        let wait = random.choice([0, 100, 5_000]).expect("some");
        self.bench.now_us += wait;
        self.plain.wait_us(wait);
        // The peer has heard what was sent.
        self.heard = self.sent;
    }

    fn read(&mut self, most: usize) {
        let mut bytes = vec![0; most];
        let len = self.bench.stack.recv(self.peer.socket, &mut bytes).unwrap_or(0);
        self.received[0].extend_from_slice(&bytes[..len]);
        // smoltcp's ring hands out a part at a time.
        let mut left = most;
        while left > 0 {
            let part = self.plain.recv(left);
            left = if part.is_empty() { 0 } else { left - part.len() };
            self.received[1].extend(part);
        }
        assert_eq!(self.received[0], self.received[1], "NAIO_SEED={}", self.seed);
    }

    fn compare(&mut self) {
        let theirs = self.peer;
        let relative = |all: Vec<Segment>, ack: u32, seq: u32| -> Vec<_> {
            let offset = |s: &Segment| (s.seq.wrapping_sub(ack), s.ack.wrapping_sub(seq), s.window);
            all.iter().map(|s| (offset(s), s.options.clone(), s.payload.len(), s.flags.fin)).collect()
        };
        let ours = relative(self.bench.segments(), theirs.ack, theirs.seq);
        let plain = relative(self.plain.egress(), self.plain.ack, self.plain.seq);
        let counters = self.bench.stack.counters();
        if counters.losses_by_silence + counters.losses_by_sack > 0 {
            // What smoltcp would send again much later, or never: recovery is no part of this.
            self.finished = true;
            return;
        }
        assert_eq!(ours, plain, "NAIO_SEED={}", self.seed);
        if let Some(((_, acked, _), ..)) = ours.last() {
            self.acked = *acked;
        }
    }
}

#[test]
fn the_same_frames_give_the_same_bytes_and_the_same_acknowledgments() {
    let (mut merged, mut ahead, mut bytes) = (0, 0, 0);
    let (taken, renewed) = (watch::TAKEN.get(), watch::RENEWED.get());
    for seed in naio_testkit::seeds(1, 2_000) {
        let mut random = Rng::with_seed(seed);
        let mut twins = Twins::new(seed, &mut random);
        let mut pause = 0;
        for _ in 0..BURSTS {
            pause = if pause == 0 && random.u32(0..8) == 0 { random.u32(1..PAUSE_MAX) } else { pause };
            twins.step(&mut random, pause == 0);
            pause = pause.saturating_sub(1);
            if twins.finished {
                break;
            }
        }
        twins.read(1 << 20);
        let counters = twins.bench.stack.counters();
        assert_eq!((counters.stream_missing, counters.flows_broken), (0, 0), "NAIO_SEED={seed}");
        assert_eq!(
            counters.drop_tcp_beyond_ring, 0,
            "the test keeps to what reaches smoltcp: NAIO_SEED={seed}"
        );
        merged += counters.rx_tcp_merged;
        ahead += counters.ahead_kept;
        bytes += twins.received[0].len();
    }
    let is_one = std::env::var_os("NAIO_SEED").is_some();
    assert!(is_one || merged > 0 && ahead > 0 && bytes > 0);
    assert!(
        is_one || watch::TAKEN.get() > taken && watch::RENEWED.get() > renewed,
        "the short ways were taken"
    );
}

/// The reset that answers a segment with a wrong acknowledgment says nothing about our window or our numbers.
#[test]
fn a_reset_that_answers_a_strange_segment_leaves_the_offered_window_as_it_was() {
    let mut bench = Bench::new(|_| {});
    bench.introduce();
    let listener = bench.stack.listen(super::PORT, 4).expect("a free port");
    let syn = Segment::new(super::THEM.octets(), 9, super::US.octets(), super::PORT).seq(PEER_ISN);
    bench.feed(&syn.clone().syn(1460, None));
    let ours = bench.segments().pop().expect("an answer");
    let next = syn.seq(PEER_ISN.wrapping_add(1));
    bench.feed(&next.clone().ack(ours.seq.wrapping_add(2)));
    assert!(bench.segments().iter().all(|segment| segment.flags.rst), "it acknowledges what was not sent");
    bench.feed(&next.ack(ours.seq.wrapping_add(1)).payload(b"hello"));
    let socket = bench.stack.accept(listener).expect("the handshake is over");
    let mut bytes = [0; 10];
    assert_eq!(bench.stack.recv(socket, &mut bytes), Ok(5));
    assert_eq!(&bytes[..5], b"hello");
    assert_eq!(bench.stack.counters().stream_missing, 0);
}

/// smoltcp drops a segment whose options it cannot read, so its bytes are not there when the gap before it is closed.
#[test]
fn what_smoltcp_cannot_read_is_not_kept_ahead() {
    let mut bench = Bench::new(|_| {});
    let peer = bench.connected(SocketOptions::default());
    let stretch = |start: u32| {
        let data: Vec<u8> = (start..start + 100).map(|n| byte(n, 0)).collect();
        peer.segment().seq(peer.seq.wrapping_add(start)).payload(&data)
    };
    let mut unreadable = stretch(100);
    // Timestamps of no length at all.
    unreadable.options = vec![8, 0, 0, 0];
    bench.feed(&unreadable);
    bench.feed(&stretch(200));
    assert_eq!(bench.stack.counters().ahead_kept, 1);
    bench.feed(&stretch(0));
    assert_eq!(bench.status(peer.socket).readable, 100);
    bench.feed(&stretch(100));
    let mut bytes = [0; 400];
    assert_eq!(bench.stack.recv(peer.socket, &mut bytes), Ok(300));
    assert!(bytes[..300].iter().zip(0..).all(|(&b, n)| b == byte(n, 0)));
    assert_eq!(bench.stack.counters().stream_missing, 0);
}
