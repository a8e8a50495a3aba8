//! Losses that a peer's acknowledgments show before smoltcp's timeout; and peers that invent them.

use super::six::{THEM6, US6, introduce};
use super::*;
use crate::{Congestion, TcpOptions};
use naio_testkit::packets::ip;
use naio_testkit::seeds;

pub(super) const MSS: u32 = 1_460;

/// The round trip of these benches.
pub(super) const RTT_US: u64 = 4_000;

/// Data under way without a congestion window in the way, its round trip known.
pub(super) fn sending(bench: &mut Bench, bytes: usize) -> Peer {
    let tcp = TcpOptions { congestion: Congestion::None, ..TcpOptions::default() };
    let mut peer = bench.connected(SocketOptions { tcp, ..SocketOptions::default() });
    // The handshake took no time here; a few exchanges later nothing is left of it.
    for _ in 0..40 {
        bench.stack.send(peer.socket, &[1; 100]).expect("connected");
        assert_eq!(bench.segments().len(), 1);
        bench.now_us += RTT_US;
        peer.ack = peer.ack.wrapping_add(100);
        bench.feed(&peer.segment());
        assert!(bench.segments().is_empty());
    }
    bench.stack.send(peer.socket, &vec![2; bytes]).expect("connected");
    assert_eq!(bench.segments().len(), bytes.div_ceil(MSS as usize));
    peer
}

impl Peer {
    /// An acknowledgment with SACK blocks: offsets from what it acknowledges.
    pub(super) fn sack(&self, blocks: &[(u32, u32)]) -> Segment {
        let mut segment = self.segment();
        segment.options = vec![1, 1, 5, (2 + 8 * blocks.len()) as u8];
        for (left, right) in blocks {
            let number = |offset: &u32| self.ack.wrapping_add(*offset).to_be_bytes();
            segment.options.extend([number(left), number(right)].concat());
        }
        segment
    }

    /// It acknowledges so many segments more.
    pub(super) fn plus(&self, segments: u32) -> Peer {
        Peer { ack: self.ack.wrapping_add(segments * MSS), ..*self }
    }
}

/// Sequence numbers of what leaves now.
pub(super) fn leaving(bench: &mut Bench) -> Vec<u32> {
    bench.segments().iter().filter(|segment| !segment.payload.is_empty()).map(|segment| segment.seq).collect()
}

pub(super) fn frame(segment: &Segment) -> Vec<u8> {
    segment.ethernet(THEIR_MAC.0, OUR_MAC.0)
}

#[test]
fn one_selective_acknowledgment_of_three_segments_repeats_the_lost_one() {
    for (behind, repeats) in [(2 * MSS, 0), (3 * MSS, 1)] {
        let mut bench = Bench::new(|_| {});
        let peer = sending(&mut bench, 10 * MSS as usize);
        bench.now_us += RTT_US;
        bench.feed(&peer.sack(&[(MSS, MSS + behind)]));
        let seqs = leaving(&mut bench);
        assert_eq!(seqs, vec![peer.ack; repeats], "{behind} bytes arrived behind it");
        assert_eq!(bench.stack.counters().losses_by_sack, repeats as u64);
        bench.feed(&peer.sack(&[(MSS, MSS + behind)]));
        assert!(leaving(&mut bench).is_empty(), "once");
    }
}

#[test]
fn three_stretches_with_gaps_before_them_are_as_good_as_three_segments() {
    let mut bench = Bench::new(|_| {});
    let peer = sending(&mut bench, 10 * MSS as usize);
    bench.feed(&peer.sack(&[(10, 20), (30, 40)]));
    assert!(leaving(&mut bench).is_empty());
    bench.feed(&peer.sack(&[(10, 20), (30, 40), (50, 60)]));
    assert_eq!(leaving(&mut bench), [peer.ack]);
}

#[test]
fn a_partial_acknowledgment_repeats_the_next_lost_segment_at_once() {
    let mut bench = Bench::new(|_| {});
    let mut peer = sending(&mut bench, 10 * MSS as usize);
    bench.feed(&peer.sack(&[(MSS, 4 * MSS), (5 * MSS, 6 * MSS)]));
    assert_eq!(leaving(&mut bench), [peer.ack]);
    peer.ack = peer.ack.wrapping_add(4 * MSS);
    bench.feed(&peer.sack(&[(MSS, 2 * MSS)]));
    assert_eq!(leaving(&mut bench), [peer.ack], "one segment behind it is enough now");
    peer.ack = peer.ack.wrapping_add(2 * MSS);
    bench.feed(&peer.segment());
    assert!(leaving(&mut bench).is_empty(), "nothing says that this one is lost");
}

/// A peer without SACK (RFC 6582).
#[test]
fn without_selective_acknowledgments_a_partial_one_after_three_duplicates_is_enough() {
    let mut bench = Bench::new(|_| {});
    let mut peer = sending(&mut bench, 10 * MSS as usize);
    bench.feed_burst(&[(); 3].map(|()| peer.segment().ethernet(THEIR_MAC.0, OUR_MAC.0)));
    assert_eq!(leaving(&mut bench), [peer.ack]);
    peer.ack = peer.ack.wrapping_add(3 * MSS);
    bench.feed(&peer.segment());
    assert_eq!(leaving(&mut bench), [peer.ack]);
}

#[test]
fn blocks_of_what_was_never_sent_repeat_nothing() {
    let right = (MSS, 4 * MSS);
    for blocks in [(MSS, 4 * MSS + 1), (0, 4 * MSS), (u32::MAX - 5_000, u32::MAX), (5 * MSS, MSS), right] {
        let mut bench = Bench::new(|_| {});
        let peer = sending(&mut bench, 4 * MSS as usize);
        bench.feed(&peer.sack(&[blocks]));
        assert_eq!(leaving(&mut bench).len(), usize::from(blocks == right), "{blocks:?}");
    }
}

/// The options of a TCP segment are not where most packets have them.
#[test]
fn selective_acknowledgments_are_found_behind_options_of_ipv4() {
    let mut bench = Bench::new(|_| {});
    let peer = sending(&mut bench, 10 * MSS as usize);
    let mut frame = frame(&peer.sack(&[(MSS, 4 * MSS)]));
    // Four bytes that mean nothing, behind the IPv4 header.
    frame.splice(34..34, [1; 4]);
    frame[14] = 0x46;
    frame[17] += 4;
    frame[24..26].fill(0);
    let checksum = !sum::folded(&[&frame[14..38]]);
    frame[24..26].copy_from_slice(&checksum.to_be_bytes());
    bench.feed_frame(&frame);
    assert_eq!(leaving(&mut bench), [peer.ack]);
}

/// A segment of the peer's over IPv6.
fn over_ipv6(segment: &Segment) -> Vec<u8> {
    let mut tcp = frame(segment).split_off(34);
    tcp[16..18].fill(0);
    let len = (tcp.len() as u16).to_be_bytes();
    let checksum = !sum::folded(&[&THEM6.octets(), &US6.octets(), &[0, 6], &len, &tcp]);
    tcp[16..18].copy_from_slice(&checksum.to_be_bytes());
    ip((THEIR_MAC.0, OUR_MAC.0), (THEM6.into(), US6.into()), (6, 64), &tcp)
}

#[test]
fn selective_acknowledgments_count_over_ipv6() {
    let mut bench = super::six::six(|_| {});
    introduce(&mut bench);
    let listener = bench.stack.listen(PORT, 1).expect("a free port");
    let seq_of = |frame: &Vec<u8>| u32::from_be_bytes(frame[58..62].try_into().expect("four bytes"));
    let theirs = Segment::new(THEM.octets(), 999, US.octets(), PORT);
    bench.feed_frame(&over_ipv6(&theirs.clone().seq(PEER_ISN).syn(1_440, Some(7))));
    let isn = seq_of(&bench.frames()[0]);
    let (seq, ack) = (PEER_ISN.wrapping_add(1), isn.wrapping_add(1));
    let theirs = theirs.seq(seq).ack(ack);
    bench.feed_frame(&over_ipv6(&theirs));
    let socket = bench.stack.accept(listener).expect("established");
    bench.stack.send(socket, &[1; 6 * 1_440]).expect("connected");
    assert_eq!(bench.frames().len(), 6);
    let mut sack = Peer { socket, port: 0, seq, ack }.sack(&[(1_440, 6 * 1_440)]);
    (sack.source_port, sack.destination_port) = (999, PORT);
    bench.feed_frame(&over_ipv6(&sack));
    assert_eq!(bench.frames().iter().map(seq_of).collect::<Vec<_>>(), [ack]);
}

/// Whatever a peer says, what it makes us send again stays below what it acknowledges, and a few.
#[test]
fn a_peer_that_invents_losses_does_not_make_us_repeat_more_than_it_acknowledges() {
    for seed in seeds(1, 60) {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut bench = Bench::new(|_| {});
        let mut peer = bench.connected(SocketOptions::default());
        let start = peer.ack;
        let (mut end, mut repeated, mut packets, mut received) = (peer.ack, 0_u32, 0_u32, 0_u32);
        let kind = seed % 4;
        for _ in 0..400 {
            while bench.stack.send(peer.socket, &[7; 65_536]).expect("connected") > 0 {}
            for segment in bench.segments() {
                let behind = segment.seq.wrapping_add(segment.seq_len());
                packets += 1;
                if behind.wrapping_sub(end) as i32 > 0 {
                    end = behind;
                } else {
                    repeated += u32::from(!segment.payload.is_empty());
                }
            }
            bench.now_us += random.u64(0..3_000);
            let flight = end.wrapping_sub(peer.ack);
            let step = match kind {
                0 => random.u32(0..2),
                1 => random.u32(0..MSS),
                2 => random.u32(0..3 * MSS),
                _ => 0,
            };
            peer.ack = peer.ack.wrapping_add(step.min(flight));
            let left = end.wrapping_sub(peer.ack);
            let mut edge = || random.u32(0..left + 2);
            let blocks = [(edge(), edge()), (1, left), (edge(), left)];
            bench.feed(&peer.sack(&blocks));
            received += 1;
        }
        let acknowledged = peer.ack.wrapping_sub(start);
        let counters = bench.stack.counters();
        let told = counters.losses_by_sack + counters.losses_by_silence;
        let allowed = 3 * (acknowledged / MSS + 1);
        assert!(told <= allowed.into(), "seed {seed}: told {told} times for {acknowledged} bytes");
        assert!(kind != 2 || counters.losses_by_sack > 0, "seed {seed}: it is tried");
        // Up to three segments of new data for what it acknowledges, and one again.
        assert!(packets <= 4 * received + 10, "seed {seed}: {packets} packets for {received}");
        assert!(repeated <= received, "seed {seed}: {repeated} packets again for {received}");
    }
}

/// One segment that is sent again says nothing about the congestion window.
#[test]
fn a_repeated_segment_is_not_taken_for_the_congestion_window() {
    let mut bench = Bench::new(|_| {});
    let tcp = TcpOptions { congestion: Congestion::Reno, ..TcpOptions::default() };
    let mut peer = bench.connected(SocketOptions { tcp, ..SocketOptions::default() });
    let window = |bench: &Bench| bench.stack.info(peer.socket).expect("known").congestion_window;
    for loss in 0..2 {
        bench.stack.send(peer.socket, &[7; 40 * MSS as usize]).expect("connected");
        let flight = leaving(&mut bench).len() as u32;
        let before = window(&bench);
        bench.now_us += RTT_US;
        bench.feed(&peer.sack(&[(MSS, flight.min(4) * MSS)]));
        assert_eq!(leaving(&mut bench), [peer.ack]);
        if loss > 0 {
            assert_eq!(window(&bench), before, "as it was last seen");
        }
        peer.ack = peer.ack.wrapping_add(flight * MSS);
        bench.feed(&peer.segment());
    }
}
