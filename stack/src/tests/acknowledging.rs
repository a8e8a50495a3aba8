//! Acknowledgments in bursts: of the peer's the last is enough if it says what all say, and ours is one.

use super::recovery::{MSS, RTT_US, frame, leaving, sending};
use super::*;

#[test]
fn of_growing_acknowledgments_in_one_burst_the_last_is_enough() {
    let mut bench = Bench::new(|_| {});
    let peer = sending(&mut bench, 20 * MSS as usize);
    let merged = bench.stack.counters().rx_tcp_merged;
    let burst: Vec<_> = (1..=20).map(|n| frame(&peer.plus(n).segment())).collect();
    bench.feed_burst(&burst);
    assert_eq!(bench.stack.counters().rx_tcp_merged - merged, 19);
    assert_eq!(bench.status(peer.socket).unacknowledged, 0);
    assert!(bench.segments().is_empty());
}

#[test]
fn acknowledgments_that_say_anything_else_are_all_handed_on() {
    let growing = |peer: &Peer| peer.plus(1).segment();
    let others: [fn(&Peer) -> Segment; 6] = [
        // A duplicate, one that goes back, a window update, a selective one, data, a FIN.
        |peer| peer.plus(1).segment(),
        |peer| peer.segment(),
        |peer| peer.plus(2).segment().window(0xfff0),
        |peer| peer.plus(2).sack(&[(MSS, 2 * MSS)]),
        |peer| peer.plus(2).segment().payload(b"data"),
        |peer| peer.plus(2).segment().fin(),
    ];
    for (n, other) in others.iter().enumerate() {
        let mut bench = Bench::new(|_| {});
        let peer = sending(&mut bench, 5 * MSS as usize);
        let before = bench.stack.info(peer.socket).expect("known").segments_received;
        bench.feed_burst(&[frame(&growing(&peer)), frame(&other(&peer))]);
        let after = bench.stack.info(peer.socket).expect("known").segments_received;
        assert_eq!((bench.stack.counters().rx_tcp_merged, after - before), (0, 2), "{n}");
    }
}

/// Guard (c) looks at what was acknowledged before: three duplicates of an acknowledgment that waits must not pass it.
#[test]
fn once_our_fin_is_out_no_acknowledgment_waits() {
    let mut bench = Bench::new(|_| {});
    let peer = sending(&mut bench, 2 * MSS as usize);
    bench.stack.shutdown(peer.socket).expect("connected");
    assert!(bench.segments()[0].flags.fin);
    bench.feed_burst(&[(); 5].map(|()| frame(&peer.plus(2).segment())));
    assert_eq!(bench.stack.counters().drop_tcp_repeated_ack, 4);
    assert!(bench.wait_ms(1_100).iter().any(|segment| segment.flags.fin), "its timer runs");
}

/// smoltcp's controllers grow by the acknowledgment.
#[test]
fn a_connection_that_its_congestion_window_limits_hears_each_acknowledgment() {
    let mut bench = Bench::new(|_| {});
    let mut peer = bench.connected(SocketOptions::default());
    bench.stack.send(peer.socket, &[1; 14_600]).expect("connected");
    assert_eq!(bench.segments().len(), 10);
    // The first is lost, which smoltcp learns: from here on the window is its own.
    bench.feed_burst(&[(); 4].map(|()| frame(&peer.segment())));
    assert_eq!(leaving(&mut bench), [peer.ack]);
    peer.ack = peer.ack.wrapping_add(10 * MSS);
    bench.feed(&peer.segment());
    let merged = bench.stack.counters().rx_tcp_merged;
    let mut flights = Vec::new();
    for _ in 0..5 {
        bench.stack.send(peer.socket, &[1; 65_535]).expect("connected");
        let flight = bench.segments();
        flights.push(flight.len());
        bench.now_us += RTT_US;
        let mut burst = Vec::new();
        for segment in flight {
            peer.ack = segment.seq.wrapping_add(segment.seq_len());
            burst.push(frame(&peer.segment()));
        }
        bench.feed_burst(&burst);
    }
    assert_eq!(bench.stack.counters().rx_tcp_merged, merged);
    assert!(flights[0] >= 7 && flights[4] > flights[0], "congestion avoidance: {flights:?}");
}

#[test]
fn a_burst_of_data_is_acknowledged_once_and_at_once() {
    let mut bench = Bench::new(|_| {});
    let peer = bench.connected(SocketOptions::default());
    let data = |n: u32| {
        let mut segment = peer.segment().seq(peer.seq.wrapping_add(n * 100)).payload(&[3; 100]);
        // Nothing merges behind a push.
        segment.flags.psh = true;
        frame(&segment)
    };
    bench.feed_burst(&(0..6).map(data).collect::<Vec<_>>());
    let acks = bench.segments();
    assert_eq!((acks.len(), acks[0].ack), (1, peer.seq.wrapping_add(600)));
}
