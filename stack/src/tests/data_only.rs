//! The short way of plain data against the long one: the same frames leave the same connection behind, whichever way
//! they went.
//!
//! Two benches get the same frames at the same times; one of them has no short way. After each burst everything that is
//! known of each connection is compared, and what leaves, and what is counted.

use super::{Bench, OUR_MAC, Peer, THEIR_MAC};
use crate::data_only::watch;
use crate::{Config, Phase, RingLen, SocketOptions};
use fastrand::Rng;
use naio_nic::RxChecksum;
use naio_testkit::Segment;
use naio_testkit::packets::cut;
use std::time::Duration;

/// Bursts of one pair.
const BURSTS: usize = 40;
/// Frames of a burst.
const FRAMES_MAX: u32 = 16;

fn byte(n: u32) -> u8 {
    (n.wrapping_mul(0x9e37_79b9) >> 24) as u8
}

fn frame(segment: &Segment) -> Vec<u8> {
    segment.ethernet(THEIR_MAC.0, OUR_MAC.0)
}

/// A segment with PSH, of bytes `start..start + len` of the peer's stream.
fn message(peer: &Peer, start: u32, len: u32) -> Segment {
    let data: Vec<u8> = (start..start + len).map(byte).collect();
    let mut segment = peer.segment().seq(peer.seq.wrapping_add(start)).payload(&data);
    segment.flags.psh = true;
    segment
}

/// What the peer of one connection knows.
struct Side {
    peer: Peer,
    index: u32,
    /// Bytes of its stream that came in order.
    at: u32,
    /// Of ours how many it could acknowledge.
    sent: u32,
    window: u16,
    is_open: bool,
}

/// The short way and the long one.
struct Pair {
    benches: [Bench; 2],
    sides: Vec<Side>,
    seed: u64,
    has_timestamps: bool,
}

impl Pair {
    fn new(seed: u64, random: &mut Rng) -> Pair {
        let coalesce = Duration::from_micros(random.choice([0, 60]).expect("some"));
        let replies = random.choice([3, 64]).expect("some");
        let tune = |config: &mut Config| (config.rx_coalesce, config.replies_max) = (coalesce, replies);
        let mut benches = [Bench::new(tune), Bench::new(tune)];
        let ring = RingLen::at_least(random.choice([3_000, 20_000, 131_070]).expect("some"));
        let options = SocketOptions { rx_ring: ring, ..SocketOptions::default() };
        let mut sides = Vec::new();
        for _ in 0..random.u32(1..5) {
            let [peer, other] = benches.each_mut().map(|bench| bench.connected(options));
            assert_eq!((peer.ack, peer.port), (other.ack, other.port));
            let index = benches[0].stack.flows.index(peer.socket.0).expect("known");
            sides.push(Side { peer, index, at: 0, sent: 0, window: 0xffff, is_open: true });
        }
        Pair { benches, sides, seed, has_timestamps: random.bool() }
    }

    fn both<R: PartialEq + std::fmt::Debug>(&mut self, act: impl Fn(&mut Bench) -> R) -> R {
        watch::IS_OFF.set(true);
        let long = act(&mut self.benches[1]);
        watch::IS_OFF.set(false);
        let short = act(&mut self.benches[0]);
        assert_eq!(short, long, "NAIO_SEED={}", self.seed);
        short
    }

    /// A burst of one mood: quiet ones are messages in order and nothing else.
    fn burst(&mut self, random: &mut Rng) -> Vec<Vec<u8>> {
        let is_quiet = random.u32(0..3) > 0;
        let (tiny, mut n) = (random.u32(0..4) == 0, random.usize(..self.sides.len()));
        let mut burst = Vec::new();
        for time in 0..random.u32(1..=FRAMES_MAX) {
            n = if random.u32(0..5) == 0 { random.usize(..self.sides.len()) } else { n };
            let options = if self.has_timestamps {
                [&[1, 1, 8, 10, 0, 0, 0][..], &[time as u8; 5]].concat()
            } else {
                vec![]
            };
            let side = &mut self.sides[n];
            let rare = |random: &mut Rng, one_of: u32| !is_quiet && random.u32(0..one_of) == 0;
            let len = if tiny { random.u32(1..20) } else { random.u32(1..1_400) };
            let start = match random.u32(0..10) {
                0 if !is_quiet => side.at.saturating_sub(random.u32(0..3_000)),
                1 if !is_quiet => side.at + random.u32(1..3_000),
                _ => side.at,
            };
            let len = if rare(random, 6) { 0 } else { len };
            let mut segment = message(&side.peer, start, len);
            if random.u32(0..30) == 0 {
                side.window = random.choice([0, 1, 200, 9_000, 0xffff]).expect("some");
            }
            let ack = if rare(random, 5) { random.u32(0..=side.sent) } else { side.sent };
            segment.ack = segment.ack.wrapping_add(ack);
            segment.window = side.window;
            segment.flags.psh = random.u32(0..3) > 0;
            segment.flags.fin = rare(random, 60);
            segment.flags.rst = rare(random, 300);
            segment.options = options;
            if start == side.at {
                side.at += len;
            }
            let mut bytes = frame(&segment);
            // Seldom: behind a gap there are no runs.
            match random.u32(0..80) {
                0 => bytes[random.usize(14..54)] ^= 1 << random.u32(0..8),
                1 => bytes.truncate(random.usize(14..bytes.len())),
                2 => bytes[random.usize(0..6)] ^= 2,
                3 if !self.has_timestamps => {
                    burst.extend(cut(&bytes, 512, time as u16));
                    continue;
                }
                4 => bytes.resize(bytes.len() + 3, 0xee),
                _ => {}
            }
            burst.push(bytes);
        }
        burst
    }

    fn step(&mut self, random: &mut Rng) {
        for n in 0..self.sides.len() {
            let Side { peer, is_open, .. } = self.sides[n];
            let socket = peer.socket;
            let (bytes, act) = (vec![7; random.usize(1..4_000)], random.u32(0..120));
            match act {
                0..12 if is_open => drop(self.both(|bench| bench.stack.send(socket, &bytes))),
                12 if is_open => drop(self.both(|bench| bench.stack.shutdown(socket))),
                13 if is_open => {
                    self.both(|bench| bench.stack.close(socket)).expect("known");
                    self.sides[n].is_open = false;
                }
                _ => {}
            }
        }
        // What was sent has not been heard of yet.
        self.leave(random.u32(0..3) > 0);
        let burst = self.burst(random);
        self.both(|bench| bench.feed_burst(&burst));
        self.compare();
        self.leave(true);
        self.read(random);
        self.both(|bench| {
            let mut ready = Vec::new();
            bench.stack.ready(&mut ready);
            format!("{ready:?}")
        });
        self.compare();
        let wait = random.choice([30, 30, 100, 5_000, 300_000]).expect("some");
        self.benches.iter_mut().for_each(|bench| bench.now_us += wait);
        if random.bool() {
            self.both(|bench| bench.feed_burst(&[]));
        }
    }

    /// Frames leave; the peers hear of them if they come through.
    fn leave(&mut self, come_through: bool) {
        let frames = self.both(Bench::frames);
        for segment in frames.iter().filter_map(|frame| Segment::parse(frame)).filter(|_| come_through) {
            let side = self.sides.iter_mut().find(|side| side.peer.port == segment.source_port);
            let Some(side) = side.filter(|_| !segment.flags.rst) else { continue };
            let end = segment.seq.wrapping_add(segment.seq_len()).wrapping_sub(side.peer.ack);
            side.sent = if end < 1 << 24 { side.sent.max(end) } else { side.sent };
            // The peer goes on where we wait for it.
            side.at = segment.ack.wrapping_sub(side.peer.seq).min(1 << 24);
        }
    }

    fn read(&mut self, random: &mut Rng) {
        for n in 0..self.sides.len() {
            let Side { peer, is_open: true, .. } = self.sides[n] else { continue };
            let (most, lends) = (random.usize(1..20_000), random.bool());
            let _ = self.both(|bench| {
                if !lends {
                    let mut bytes = vec![0; most];
                    return (bench.stack.recv(peer.socket, &mut bytes).map_err(|e| e.to_string()), bytes);
                }
                let mut pieces = Vec::new();
                let lending = bench.stack.lend(peer.socket, most, &mut pieces).map_err(|e| e.to_string());
                let bytes = pieces.iter().flat_map(|piece| piece.bytes(&bench.rx_pool).to_vec()).collect();
                bench.stack.take_back(&mut pieces);
                (lending.map(|lending| lending.bytes), bytes)
            });
        }
    }

    /// Everything that may be known of what was received.
    fn compare(&mut self) {
        let indices: Vec<u32> = self.sides.iter().map(|side| side.index).collect();
        self.both(|bench| {
            let stack = &bench.stack;
            assert!(stack.runs.iter().all(|run| !run.is_over), "its place stays for the next frame only");
            let held = (stack.store.held(), stack.store.lent(), stack.store.ahead, stack.holders.clone());
            let common = format!("{:?} {held:?} {:?}", stack.counters(), stack.next_deadline());
            let flows = indices.iter().filter_map(|&index| stack.flows.at(index)).map(|flow| {
                let heard = (flow.heard_ack, flow.repeated_acks, flow.window_max, flow.early_fin, flow.heard);
                let times = (flow.closed_since, flow.outstanding_since, flow.progress, flow.limit);
                let said = (flow.acked, flow.offered_at, flow.offered, flow.edge, flow.unannounced);
                let numbers =
                    (flow.snd_una(), flow.rcv_nxt(), flow.sent_end, flow.received(), flow.acknowledged());
                let flags = (flow.dirty, flow.touched, flow.waiting, flow.finished, flow.owner, flow.state());
                let pieces = &flow.reassembly;
                let kept = (pieces.len(), pieces.pages(), pieces.is_decided(), pieces.ahead.is_empty());
                format!(
                    "{heard:?} {times:?} {said:?} {numbers:?} {flags:?} {kept:?} {:?} {:?} {:?}\n",
                    flow.meter, flow.recovery, flow.start
                )
            });
            (common, stack.dirty.clone(), stack.touched.clone(), stack.runs.len(), flows.collect::<String>())
        });
    }
}

#[test]
fn the_short_way_leaves_everything_as_the_long_way_does() {
    let (taken, renewed) = (watch::TAKEN.get(), watch::RENEWED.get());
    for seed in naio_testkit::seeds(1, 300) {
        let mut random = Rng::with_seed(seed);
        let mut pair = Pair::new(seed, &mut random);
        for _ in 0..BURSTS {
            pair.step(&mut random);
        }
    }
    let is_one = std::env::var_os("NAIO_SEED").is_some();
    assert!(
        is_one || watch::TAKEN.get() > taken && watch::RENEWED.get() > renewed,
        "the short ways were taken"
    );
}

/// Messages of a quiet connection, each with PSH: smoltcp sees each, and all but the first are not taken apart.
#[test]
fn messages_that_follow_each_other_in_a_burst_go_the_short_way_to_the_last() {
    let mut bench = Bench::new(|_| {});
    let options = SocketOptions { rx_ring: RingLen::at_least(1 << 20), ..SocketOptions::default() };
    let peer = bench.connected(options);
    // The window that the others repeat.
    bench.feed(&peer.segment());
    let (taken, renewed) = (watch::TAKEN.get(), watch::RENEWED.get());
    let burst: Vec<_> = (0..50).map(|n| frame(&message(&peer, n * 1_460, 1_460))).collect();
    bench.feed_burst(&burst);
    // More than one packet could say: each time there is room for as much as at first.
    assert_eq!((watch::TAKEN.get() - taken, watch::RENEWED.get() - renewed), (50, 49));
    let counters = bench.stack.counters();
    assert_eq!((counters.rx_tcp, counters.rx_tcp_merged), (2 + 50, 0));
    assert!(!bench.stack.is_gathering());
    let acks = bench.segments();
    assert_eq!((acks.len(), acks[0].ack), (1, peer.seq.wrapping_add(50 * 1_460)));
    let mut all = vec![0; 100_000];
    assert_eq!(bench.stack.recv(peer.socket, &mut all), Ok(50 * 1_460));
    assert!(all.iter().zip(0..50 * 1_460).all(|(&b, n)| b == byte(n)));
}

/// Guard (a), for frames that the guard does not see: messages end at the offered window.
#[test]
fn what_continues_a_message_stays_inside_the_window() {
    let mut bench = Bench::new(|_| {});
    let peer =
        bench.connected(SocketOptions { rx_ring: RingLen::at_least(3_000), ..SocketOptions::default() });
    let index = bench.stack.flows.index(peer.socket.0).expect("known");
    let ring = bench.stack.flows.at(index).expect("known").rx_len as u32;
    let count = ring / 100 + 3;
    let burst: Vec<_> = (0..count).map(|n| frame(&message(&peer, n * 100, 100))).collect();
    bench.feed(&peer.segment());
    let renewed = watch::RENEWED.get();
    bench.feed_burst(&burst);
    assert_eq!(watch::RENEWED.get() - renewed, u64::from(ring / 100 - 1));
    assert_eq!(bench.stack.counters().drop_tcp_beyond_ring, 3);
    assert_eq!(bench.status(peer.socket).readable as u32, ring / 100 * 100);
    let acks = bench.segments();
    assert_eq!(acks.last().map(|ack| ack.ack), Some(peer.seq.wrapping_add(ring / 100 * 100)));
}

/// What smoltcp refuses though it looked as if it would take it, wholly or in part: nothing follows that.
#[test]
fn of_a_message_beyond_what_smoltcp_takes_the_long_way_knows_no_more() {
    // Bytes that there is room for, and whether answers find any.
    for (room, is_full) in [(0, false), (0, true), (50, false), (50, true)] {
        let outcomes = [true, false].map(|is_off| {
            let mut bench = Bench::new(|_| {});
            let options = SocketOptions { rx_ring: RingLen::at_least(3_000), ..SocketOptions::default() };
            let peer = bench.connected(options);
            bench.feed(&peer.segment());
            let index = bench.stack.flows.index(peer.socket.0).expect("known");
            let len = bench.stack.flows.at(index).expect("known").rx_len as u32 - room;
            bench.feed_burst(&[0, len / 2].map(|start| frame(&message(&peer, start, len / 2))));
            bench.segments();
            let flow = bench.stack.flows.at_mut(index).expect("known");
            flow.edge = flow.window_edge().map(|edge| edge.wrapping_add(500));
            bench.stack.config.replies_max = if is_full { 0 } else { 64 };
            let renewed = watch::RENEWED.get();
            watch::IS_OFF.set(is_off);
            let len = len / 2 * 2;
            bench.feed_burst(&[0, 100].map(|n| frame(&message(&peer, len + n, 100))));
            watch::IS_OFF.set(false);
            assert_eq!(watch::RENEWED.get(), renewed, "nothing that it takes");
            let counters = format!("{:?} {:?}", bench.stack.counters(), bench.stack.info(peer.socket));
            let mut bytes = vec![0; 8_000];
            (counters, bench.segments(), bench.stack.recv(peer.socket, &mut bytes).is_ok(), bytes)
        });
        assert_eq!(outcomes[0], outcomes[1], "{room} {is_full}");
    }
}

/// What follows a message is a run as any other.
#[test]
fn a_run_behind_a_message_is_no_longer_than_a_packet_and_waits_as_long() {
    let mut bench = Bench::new(|config| config.rx_coalesce = Duration::from_micros(50));
    let options = SocketOptions { rx_ring: RingLen::at_least(1 << 20), ..SocketOptions::default() };
    let peer = bench.connected(options);
    let rest = |from: u32, to: u32| {
        (from..to).map(move |n| {
            let mut segment = message(&peer, n * 1_460, 1_460);
            segment.flags.psh = false;
            frame(&segment)
        })
    };
    // The window of what is no SYN is scaled, and one that is larger than a packet.
    bench.feed(&message(&peer, 0, 1_460));
    bench.segments();
    let mut feed = |after_us: u64, burst: Vec<Vec<u8>>| {
        bench.now_us += after_us;
        bench.feed_burst(&burst);
        bench.status(peer.socket).readable / 1_460
    };
    assert_eq!(feed(0, rest(1, 2).collect()), 1);
    let renewed = watch::RENEWED.get();
    let behind = |n: u32, end: u32| {
        let first = frame(&message(&peer, n * 1_460, 1_460));
        [first].into_iter().chain(rest(n + 1, end)).collect()
    };
    assert_eq!(feed(40, behind(2, 6)), 3);
    assert_eq!(feed(40, rest(6, 7).collect()), 3, "it has not waited for long");
    assert_eq!(feed(0, vec![]), 7);
    assert_eq!(feed(0, behind(7, 58)), 8 + 44, "the rest of them waits");
    assert_eq!(watch::RENEWED.get() - renewed, 2);
    assert_eq!(feed(0, vec![]), 58);
    let mut all = vec![0; 100_000];
    assert_eq!(bench.stack.recv(peer.socket, &mut all), Ok(58 * 1_460));
    assert!(all.iter().zip(0..58 * 1_460).all(|(&b, n)| b == byte(n)));
}

/// A frame that is cut off in a run is as long as it is, whatever it says.
#[test]
fn a_frame_that_ends_early_is_dropped_from_a_run() {
    for is_message in [true, false] {
        let mut bench = Bench::new(|_| {});
        let peer = bench.connected(SocketOptions::default());
        bench.feed(&peer.segment());
        bench.checksum = RxChecksum::Good;
        let mut burst: Vec<_> = (0..3)
            .map(|n| {
                let mut segment = message(&peer, n * 100, 100);
                segment.flags.psh = is_message;
                frame(&segment)
            })
            .collect();
        burst[2].truncate(100);
        bench.feed_burst(&burst);
        assert_eq!((bench.status(peer.socket).readable, bench.stack.counters().rx_tcp), (200, 2 + 2));
    }
}

/// smoltcp panics over a run: its pages are not kept for a decision that nobody will make.
#[test]
fn a_panic_over_a_run_leaves_no_page_undecided() {
    let mut bench = Bench::new(|_| {});
    let peer = bench.connected(SocketOptions::default());
    bench.feed(&message(&peer, 0, 100));
    bench.segments();
    watch::PANICS.set(true);
    bench.feed_burst(&[frame(&message(&peer, 100, 100)), frame(&message(&peer, 200, 100))]);
    watch::PANICS.set(false);
    assert_eq!((bench.stack.counters().flows_broken, bench.stack.counters().stream_missing), (1, 0));
    assert_eq!((bench.stack.census().held_pages, bench.stack.runs.len()), (1, 0));
    // What came before is received first.
    assert_eq!(bench.stack.recv(peer.socket, &mut [0; 1_000]), Ok(100));
    assert_eq!((bench.status(peer.socket).phase, bench.stack.census().held_pages), (Phase::Closed, 0));
}
