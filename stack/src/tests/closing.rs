//! Ending connections: in order, half, by force, by silence.

use super::*;
use crate::{Failure, RecvError, SendError, SocketError};

fn all(bench: &mut Bench, peer: &Peer) -> Result<Vec<u8>, RecvError> {
    let mut buffer = vec![0; 100_000];
    let len = bench.stack.recv(peer.socket, &mut buffer)?;
    buffer.truncate(len);
    Ok(buffer)
}

#[test]
fn data_then_fin_is_data_then_the_end() {
    let mut bench = Bench::new(|_| {});
    let peer = bench.connected(SocketOptions::default());
    bench.feed(&peer.segment().payload(b"last words").fin());
    let status = bench.status(peer.socket);
    assert_eq!((status.phase, status.readable, status.recv_finished), (Phase::CloseWait, 10, true));
    assert_eq!(all(&mut bench, &peer).as_deref(), Ok(&b"last words"[..]));
    assert_eq!(all(&mut bench, &peer), Err(RecvError::Finished));
    assert_eq!(all(&mut bench, &peer), Err(RecvError::Finished), "and again");
}

/// A FIN that overtook, the data it waited for, and more behind it, in one burst: what is kept back to be merged must
/// count before the next segment is judged.
#[test]
fn data_behind_a_fin_that_overtook_is_not_received_in_the_same_burst_either() {
    let mut bench = Bench::new(|_| {});
    let peer = bench.connected(SocketOptions::default());
    let frame = |segment: naio_testkit::Segment| segment.ethernet(super::THEIR_MAC.0, super::OUR_MAC.0);
    let at = |offset: u32| peer.segment().seq(peer.seq.wrapping_add(offset));
    bench.feed_burst(&[
        frame(at(4).payload(b"tail").fin()),
        frame(at(0).payload(b"head")),
        frame(at(7).payload(b"l?behind")),
    ]);
    assert_eq!(bench.stack.counters().drop_tcp_behind_fin, 1);
    assert_eq!(all(&mut bench, &peer).as_deref(), Ok(&b"headtail"[..]));
    assert_eq!(all(&mut bench, &peer), Err(RecvError::Finished));
}

/// smoltcp would take it, in CLOSE-WAIT and LAST-ACK, and the user would read on after the end.
#[test]
fn data_behind_the_end_of_a_stream_is_never_received() {
    for shut in [false, true] {
        let mut bench = Bench::new(|_| {});
        let mut peer = bench.connected(SocketOptions::default());
        bench.feed(&peer.segment().payload(b"all").fin());
        // Before our acknowledgment of the FIN, and after it.
        for _ in 0..2 {
            bench.feed(&peer.segment().seq(peer.seq.wrapping_add(4)).payload(b"more"));
            if shut {
                bench.stack.shutdown(peer.socket).expect("connected");
            }
            bench.segments();
        }
        assert_eq!(bench.stack.counters().drop_tcp_behind_fin, 2);
        bench.feed(&peer.segment().payload(b"all").fin());
        assert_eq!(bench.stack.counters().drop_tcp_behind_fin, 2, "what is repeated is not behind it");
        peer.seq = peer.seq.wrapping_add(4);
        assert_eq!(all(&mut bench, &peer).as_deref(), Ok(&b"all"[..]));
        assert_eq!(all(&mut bench, &peer), Err(RecvError::Finished));
    }
}

#[test]
fn half_closed_it_still_receives() {
    let mut bench = Bench::new(|_| {});
    let mut peer = bench.connected(SocketOptions::default());
    bench.stack.send(peer.socket, b"question").expect("connected");
    bench.stack.shutdown(peer.socket).expect("connected");
    assert_eq!(bench.stack.send(peer.socket, b"more"), Err(SendError::Shutdown));
    let sent = bench.segments();
    assert_eq!((sent.len(), &sent[0].payload[..], sent[0].flags.fin), (1, &b"question"[..], true));
    peer.ack = peer.ack.wrapping_add(9);
    bench.feed(&peer.segment());
    assert_eq!(bench.status(peer.socket).phase, Phase::FinWait2);
    bench.feed(&peer.segment().payload(b"answer"));
    assert_eq!(all(&mut bench, &peer).as_deref(), Ok(&b"answer"[..]));
    peer.seq = peer.seq.wrapping_add(6);
    bench.feed(&peer.segment().fin());
    assert_eq!(bench.status(peer.socket).phase, Phase::TimeWait);
    assert_eq!(all(&mut bench, &peer), Err(RecvError::Finished));
    bench.wait_ms(11_000);
    let status = bench.status(peer.socket);
    assert_eq!((status.phase, status.failure, status.recv_finished), (Phase::Closed, None, true));
    assert_eq!(all(&mut bench, &peer), Err(RecvError::Finished));
}

#[test]
fn the_end_of_time_wait_takes_no_unread_bytes_away() {
    let mut bench = Bench::new(|_| {});
    let mut peer = bench.connected(SocketOptions::default());
    bench.stack.shutdown(peer.socket).expect("connected");
    bench.segments();
    peer.ack = peer.ack.wrapping_add(1);
    bench.feed(&peer.segment().payload(b"unread").fin());
    assert_eq!(bench.status(peer.socket).phase, Phase::TimeWait);
    bench.wait_ms(60_000);
    assert_eq!(all(&mut bench, &peer).as_deref(), Ok(&b"unread"[..]));
    assert_eq!(all(&mut bench, &peer), Err(RecvError::Finished));
    bench.wait_ms(2_000);
    assert_eq!(bench.status(peer.socket).phase, Phase::Closed);
}

/// RFC 1337: the peer has forgotten the connection, and says so to our answer to an old segment of its own.
#[test]
fn a_reset_in_time_wait_takes_no_unread_bytes_away() {
    let mut bench = Bench::new(|_| {});
    let mut peer = bench.connected(SocketOptions::default());
    bench.stack.shutdown(peer.socket).expect("connected");
    bench.segments();
    peer.ack = peer.ack.wrapping_add(1);
    let last = peer.segment().payload(b"unread").fin();
    bench.feed(&last);
    bench.segments();
    peer.seq = peer.seq.wrapping_add(7);
    bench.feed(&last);
    assert_eq!(bench.segments().pop().map(|answer| answer.ack), Some(peer.seq));
    bench.feed(&peer.segment().rst());
    let status = bench.status(peer.socket);
    assert_eq!((status.phase, status.failure), (Phase::TimeWait, None));
    assert_eq!(all(&mut bench, &peer).as_deref(), Ok(&b"unread"[..]));
    assert_eq!(all(&mut bench, &peer), Err(RecvError::Finished));
    bench.wait_ms(11_000);
    let status = bench.status(peer.socket);
    assert_eq!((status.phase, status.failure), (Phase::Closed, None));
}

#[test]
fn a_peer_that_is_gone_does_not_keep_a_closed_connection_in_time_wait() {
    let mut bench = Bench::new(|config| config.neighbor_fresh = std::time::Duration::from_secs(2));
    let mut peer = bench.connected(SocketOptions::default());
    bench.stack.shutdown(peer.socket).expect("connected");
    bench.is_there = false;
    // The FIN is repeated until the next hop is asked for, and does not answer.
    bench.wait_ms(9_000);
    peer.ack = peer.ack.wrapping_add(1);
    bench.feed(&peer.segment().fin());
    assert_eq!(bench.status(peer.socket).phase, Phase::TimeWait);
    bench.stack.close(peer.socket).expect("known");
    bench.wait_ms(60_000);
    let census = bench.stack.census();
    assert_eq!((census.flows, census.keys, census.timers), (0, 0, 0));
}

#[test]
fn a_reset_from_the_peer_keeps_what_had_arrived() {
    let mut bench = Bench::new(|_| {});
    let mut peer = bench.connected(SocketOptions::default());
    bench.feed(&peer.segment().payload(b"before"));
    peer.seq = peer.seq.wrapping_add(6);
    bench.feed(&peer.segment().rst());
    let status = bench.status(peer.socket);
    assert_eq!((status.phase, status.failure, status.readable), (Phase::Closed, Some(Failure::Reset), 6));
    assert_eq!(all(&mut bench, &peer).as_deref(), Ok(&b"before"[..]));
    assert_eq!(all(&mut bench, &peer), Err(RecvError::Failed(Failure::Reset)));
    assert!(bench.segments().is_empty());
}

#[test]
fn abort_sends_one_reset() {
    let mut bench = Bench::new(|_| {});
    let peer = bench.connected(SocketOptions::default());
    bench.stack.send(peer.socket, &[1; 100]).expect("connected");
    bench.segments();
    bench.stack.abort(peer.socket).expect("connected");
    let sent = bench.wait_ms(100_000);
    assert_eq!(sent.len(), 1);
    assert!(sent[0].flags.rst && sent[0].seq == peer.ack.wrapping_add(100), "{sent:?}");
    assert_eq!(bench.status(peer.socket).failure, Some(Failure::Aborted));
    assert_eq!(bench.stack.abort(peer.socket), Err(SocketError::NotConnected));
}

/// An abort after retransmissions: the reset must lie in the peer's window, which has moved on.
#[test]
fn the_reset_of_an_abort_carries_the_next_sequence_number() {
    let mut bench = Bench::new(|_| {});
    let peer = bench.connected(SocketOptions::default());
    bench.stack.send(peer.socket, &[1; 4_000]).expect("connected");
    assert!(bench.segments().len() > 1);
    let repeated = bench.wait_ms(1_100);
    assert!(repeated.iter().any(|s| s.seq == peer.ack), "a retransmission: {repeated:?}");
    bench.stack.abort(peer.socket).expect("connected");
    let reset = bench.segments().pop().expect("a reset");
    assert!(reset.flags.rst);
    assert!(reset.seq.wrapping_sub(peer.ack) >= 2_000, "{}", reset.seq.wrapping_sub(peer.ack));
}

#[test]
fn close_with_unread_bytes_resets() {
    let mut bench = Bench::new(|_| {});
    let peer = bench.connected(SocketOptions::default());
    bench.feed(&peer.segment().payload(b"ignored"));
    bench.stack.close(peer.socket).expect("ours");
    let sent = bench.segments();
    assert!(sent.iter().any(|s| s.flags.rst), "{sent:?}");
    assert_eq!(bench.stack.status(peer.socket), None);
}

#[test]
fn close_delivers_and_ends_in_order_in_the_background() {
    let mut bench = Bench::new(|_| {});
    let mut peer = bench.connected(SocketOptions::default());
    bench.stack.send(peer.socket, b"farewell").expect("connected");
    bench.stack.close(peer.socket).expect("ours");
    assert_eq!(bench.stack.status(peer.socket), None);
    let sent = bench.segments();
    assert_eq!((&sent[0].payload[..], sent[0].flags.fin), (&b"farewell"[..], true));
    peer.ack = peer.ack.wrapping_add(9);
    bench.feed(&peer.segment().fin());
    let last = bench.segments();
    assert_eq!((last.len(), last[0].ack), (1, peer.seq.wrapping_add(1)));
    assert!(bench.wait_ms(20_000).is_empty());
    assert_eq!(bench.stack.flows.len(), 0, "nothing stays behind");
}

#[test]
fn data_after_close_is_answered_by_a_reset() {
    let mut bench = Bench::new(|_| {});
    let mut peer = bench.connected(SocketOptions::default());
    bench.stack.close(peer.socket).expect("ours");
    assert!(bench.segments()[0].flags.fin);
    peer.ack = peer.ack.wrapping_add(1);
    bench.feed(&peer.segment().payload(b"too late"));
    assert!(bench.segments().iter().any(|s| s.flags.rst));
    assert_eq!(bench.stack.flows.len(), 0);
}

#[test]
fn a_closed_connection_does_not_linger_for_ever() {
    let mut bench = Bench::new(|_| {});
    let mut peer = bench.connected(SocketOptions::default());
    bench.stack.close(peer.socket).expect("ours");
    bench.segments();
    peer.ack = peer.ack.wrapping_add(1);
    bench.feed(&peer.segment());
    // FIN-WAIT-2, and the peer never finishes.
    let sent = bench.wait_ms(61_000);
    assert!(sent.iter().any(|s| s.flags.rst), "{sent:?}");
    assert_eq!((bench.stack.flows.len(), bench.stack.counters().lingers_cut), (0, 1));
}

#[test]
fn silence_with_data_outstanding_ends_the_connection() {
    let mut bench = Bench::new(|_| {});
    let peer = bench.connected(SocketOptions::default());
    bench.wait_ms(1_000_000);
    bench.stack.send(peer.socket, b"anybody?").expect("connected");
    let repeated = bench.wait_ms(119_000);
    assert!(repeated.len() >= 6 && repeated.iter().all(|s| s.payload == b"anybody?"));
    assert_eq!(bench.status(peer.socket).failure, None);
    bench.wait_ms(70_000);
    assert_eq!(bench.status(peer.socket).failure, Some(Failure::TimedOut));
}

#[test]
fn a_closed_window_is_not_silence() {
    let mut bench = Bench::new(|_| {});
    let peer = bench.connected(SocketOptions::default());
    bench.feed(&peer.segment().window(0));
    bench.stack.send(peer.socket, b"wait").expect("connected");
    for _ in 0..20 {
        let probes = bench.wait_ms(61_000);
        assert!(!probes.is_empty(), "the window is probed");
        bench.feed(&peer.segment().window(0));
    }
    assert_eq!(bench.status(peer.socket).phase, Phase::Established);
    bench.feed(&peer.segment());
    assert_eq!(bench.wait_ms(1_000).first().map(|s| s.payload.clone()), Some(b"wait".to_vec()));
}

/// RFC 9293 3.10.7.4: a new connection of the same tuple need not wait for TIME-WAIT to end.
#[test]
fn a_new_syn_takes_the_place_of_time_wait() {
    let mut bench = Bench::new(|_| {});
    bench.introduce();
    let listener = bench.stack.listen(PORT, 4).expect("free");
    let open = |bench: &mut Bench, isn: u32| {
        let from = Segment::new(THEM.octets(), 999, US.octets(), PORT);
        bench.feed(&from.clone().seq(isn).syn(1460, None));
        let answer = bench.segments().pop().expect("a SYN-ACK");
        assert_eq!((answer.flags.syn, answer.ack), (true, isn.wrapping_add(1)));
        let peer_ack = answer.seq.wrapping_add(1);
        bench.feed(&from.seq(isn.wrapping_add(1)).ack(peer_ack));
        let socket = bench.stack.accept(listener).expect("established");
        Peer { socket, port: PORT, seq: isn.wrapping_add(1), ack: peer_ack }
    };
    let peer = open(&mut bench, 100);
    bench.stack.close(peer.socket).expect("ours");
    bench.segments();
    let from = Segment::new(THEM.octets(), 999, US.octets(), PORT);
    bench.feed(&from.clone().seq(101).ack(peer.ack.wrapping_add(1)).fin());
    bench.segments();
    // An old SYN is not a new connection.
    bench.feed(&from.seq(50).syn(1460, None));
    assert_eq!(bench.segments().iter().filter(|s| s.flags.syn).count(), 0);
    open(&mut bench, 5_000);
    assert_eq!(bench.stack.flows.len(), 1);
}

#[test]
fn time_wait_makes_room_when_the_table_is_full() {
    let mut bench = Bench::new(|config| config.sockets_max = 1);
    let mut peer = bench.connected(SocketOptions::default());
    bench.stack.close(peer.socket).expect("ours");
    bench.segments();
    assert_eq!(bench.stack.socket(SocketOptions::default()), Err(SocketError::TooMany), "FIN-WAIT-1 stays");
    peer.ack = peer.ack.wrapping_add(1);
    bench.feed(&peer.segment().fin());
    bench.segments();
    assert!(bench.stack.socket(SocketOptions::default()).is_ok());
}

/// A reset that has nowhere to go must not keep the connection for ever.
#[test]
fn a_reset_without_a_next_hop_is_given_up() {
    let mut bench = Bench::new(|_| {});
    let peer = bench.connected(SocketOptions::default());
    bench.feed(&peer.segment().payload(b"unread"));
    bench.is_there = false;
    // The neighbour ages, is asked for the next segment's sake, and does not answer.
    bench.wait_ms(61_000);
    bench.stack.send(peer.socket, b"anybody?").expect("connected");
    bench.wait_ms(5_000);
    bench.stack.close(peer.socket).expect("ours");
    bench.wait_ms(20_000);
    assert_eq!(bench.stack.flows.len(), 0);
    assert_eq!(bench.stack.next_deadline(), None);
}
