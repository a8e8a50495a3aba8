//! The peer has finished first, and we finish while bytes of ours are still to be delivered.

use super::*;
use crate::SendError;

const MSS: u32 = 1_460;

/// A connection whose peer has finished.
fn half_closed(bench: &mut Bench) -> Peer {
    let mut peer = bench.connected(SocketOptions::default());
    bench.feed(&peer.segment().fin());
    bench.segments();
    peer.seq = peer.seq.wrapping_add(1);
    peer
}

fn payload(segments: &[Segment]) -> usize {
    segments.iter().map(|segment| segment.payload.len()).sum()
}

fn has_fin(segments: &[Segment]) -> bool {
    segments.iter().any(|segment| segment.flags.fin)
}

/// Guard (o).
#[test]
fn a_window_that_closes_over_the_last_bytes_of_a_stream_opens_again() {
    // All of them, or as many as a peer that scales its windows by 128 may have meant: then some of what is sent is lost.
    for (window, fits) in [(8, 1_024), (30, 3_840)] {
        let mut bench = Bench::new(|_| {});
        let mut peer = half_closed(&mut bench);
        bench.feed(&peer.segment().window(window));
        bench.stack.send(peer.socket, &[1; 3_840]).expect("connected");
        bench.stack.shutdown(peer.socket).expect("connected");
        assert_eq!(bench.status(peer.socket).phase, Phase::LastAck);
        let sent = bench.segments();
        assert_eq!((payload(&sent), has_fin(&sent)), (fits, false));
        // The last byte found no room.
        peer.ack = peer.ack.wrapping_add(fits as u32 - 1);
        bench.feed(&peer.segment().window(0));
        let probes = bench.wait_ms(10_000);
        assert!(!has_fin(&probes));
        bench.feed(&peer.segment().window(100));
        let rest = bench.wait_ms(3_000);
        assert!(rest.iter().any(|segment| segment.seq == peer.ack), "the byte that was lost: {rest:?}");
        peer.ack = peer.ack.wrapping_add(3_841 - fits as u32);
        bench.feed(&peer.segment().window(100));
        assert!(has_fin(&rest) || has_fin(&bench.segments()), "{rest:?}");
        peer.ack = peer.ack.wrapping_add(1);
        bench.feed(&peer.segment());
        let status = bench.status(peer.socket);
        assert_eq!((status.phase, status.failure, status.unacknowledged), (Phase::Closed, None, 0));
    }
}

#[test]
fn a_short_answer_and_the_end_leave_together() {
    let mut bench = Bench::new(|_| {});
    let peer = half_closed(&mut bench);
    bench.stack.send(peer.socket, b"answer").expect("connected");
    bench.stack.shutdown(peer.socket).expect("connected");
    let sent = bench.segments();
    assert_eq!((sent.len(), &sent[0].payload[..], sent[0].flags.fin), (1, &b"answer"[..], true));
}

/// smoltcp does not count repeated acknowledgments in LAST-ACK.
#[test]
fn a_loss_in_a_long_answer_is_repaired_at_once_though_it_is_closed_behind_it() {
    let mut bench = Bench::new(|_| {});
    let mut peer = half_closed(&mut bench);
    // Until twenty segments may be under way.
    bench.stack.send(peer.socket, &[1; 10 * MSS as usize]).expect("connected");
    bench.segments();
    peer.ack = peer.ack.wrapping_add(10 * MSS);
    bench.feed(&peer.segment());
    let answer = [2; 20 * MSS as usize];
    assert_eq!(bench.stack.send(peer.socket, &answer), Ok(answer.len()));
    bench.stack.shutdown(peer.socket).expect("connected");
    assert_eq!(bench.stack.send(peer.socket, b"more"), Err(SendError::Shutdown));
    assert_eq!((bench.status(peer.socket).phase, bench.status(peer.socket).writable), (Phase::LastAck, 0));
    let sent = bench.segments();
    assert_eq!((payload(&sent), has_fin(&sent)), (answer.len(), false));
    // The twelfth is lost.
    peer.ack = peer.ack.wrapping_add(11 * MSS);
    (0..4).for_each(|_| bench.feed(&peer.segment()));
    let again = bench.segments();
    assert!(again.iter().any(|segment| segment.seq == peer.ack && segment.payload.len() == MSS as usize));
    peer.ack = peer.ack.wrapping_add(9 * MSS);
    bench.feed(&peer.segment());
    assert!(has_fin(&bench.segments()) || has_fin(&again));
    peer.ack = peer.ack.wrapping_add(1);
    bench.feed(&peer.segment());
    assert_eq!(bench.status(peer.socket).phase, Phase::Closed);
    assert_eq!(bench.stack.counters().timeouts, 0);
}

#[test]
fn a_closed_connection_that_waits_to_finish_is_forgotten_in_the_end() {
    let mut bench = Bench::new(|_| {});
    let peer = half_closed(&mut bench);
    bench.feed(&peer.segment().window(1));
    bench.stack.send(peer.socket, &[1; 1_000]).expect("connected");
    bench.stack.close(peer.socket).expect("ours");
    let sent = bench.wait_ms(300_000);
    assert!(sent.iter().any(|segment| segment.flags.rst), "{sent:?}");
    let census = bench.stack.census();
    assert_eq!((census.flows, census.keys, census.timers), (0, 0, 0));
}
