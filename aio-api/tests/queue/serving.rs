//! Listening, accepting, sending of several buffers and of files, and what completes more than once.

use crate::common::{PORT, Peer, complete, connected, joined, joined_with, pattern, queue_and_peer, run};
use aio_api::{Kind, Link, OpError, RecvOptions, SubmitReason, When};
use naio_stack::SocketOptions;
use naio_testkit::WireOptions;
use std::fs::File;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

#[test]
fn connections_go_to_the_accepts_in_order_and_carry_data() {
    let (mut queue, mut peer) = queue_and_peer();
    let listener = queue.listen(7, 8).expect("a free port");
    assert!(queue.listen(7, 8).is_err(), "and now it is taken");
    for n in 0..2 {
        queue.accept(listener, n).expect("submitted");
    }
    let dialled: Vec<_> = (0..2).map(|_| peer.connect(([10, 0, 0, 1], 7).into())).collect();
    let done = complete(&mut queue, &mut peer, 2);
    let sockets: Vec<_> = done.iter().map(|done| done.socket.expect("a connection")).collect();
    assert_eq!(
        done.iter().map(|done| (done.kind, done.user_data)).collect::<Vec<_>>(),
        [(Kind::Accept, 0), (Kind::Accept, 1)]
    );
    peer.stack.send(dialled[1], b"second").expect("connected");
    let buffer = queue.buffers(1, 100).expect("memory").remove(0);
    queue.recv(sockets[1], buffer, RecvOptions::at_least(6), 9).expect("submitted");
    let done = complete(&mut queue, &mut peer, 1);
    assert_eq!(&done[0].buffer.as_ref().expect("back")[..6], b"second");
}

#[test]
fn closing_a_listener_ends_what_waits_for_it() {
    let (mut queue, mut peer) = queue_and_peer();
    let listener = queue.listen(7, 8).expect("a free port");
    let cancelled = queue.accept(listener, 1).expect("submitted");
    queue.accept(listener, 2).expect("submitted");
    assert!(queue.cancel(cancelled));
    assert!(queue.close_listener(listener) && !queue.close_listener(listener));
    let done = complete(&mut queue, &mut peer, 2);
    let ends: Vec<_> = done.iter().map(|done| (done.user_data, done.result)).collect();
    assert_eq!(ends, [(1, Err(OpError::Canceled)), (2, Err(OpError::Closed))]);
    assert_eq!(queue.accept(listener, 3).expect_err("gone").reason, SubmitReason::NoListener);
}

#[test]
fn several_buffers_go_out_as_one_and_come_back_in_order() {
    let (mut queue, mut peer) = queue_and_peer();
    let socket = connected(&mut queue, &mut peer);
    let data = pattern(3 * 70_000);
    let mut parts = Vec::new();
    for (n, mut buffer) in queue.buffers(3, 70_001).expect("memory").into_iter().enumerate() {
        buffer[1..].copy_from_slice(&data[n * 70_000..(n + 1) * 70_000]);
        parts.push((buffer, 1..70_001));
    }
    queue.sendv(socket, parts, 4).expect("submitted");
    let mut got = Vec::new();
    let done = run(&mut queue, &mut peer, |peer| peer.receive(&mut got), |done| done.len() == 1);
    assert!(got == data);
    assert_eq!((done[0].kind, done[0].bytes, done[0].buffers.len()), (Kind::Send, 210_000, 3));
    assert_eq!(done[0].buffers[2][1..], data[140_000..]);
    let refused = queue.sendv(socket, Vec::new(), 5).expect_err("nothing to send");
    assert_eq!(refused.reason, SubmitReason::Range);
}

/// A file of this content, deleted already.
fn file_of(content: &[u8], name: &str) -> Arc<File> {
    let path = std::env::temp_dir().join(format!("naio-queue-{name}-{}", std::process::id()));
    File::create(&path)
        .and_then(|mut file| file.write_all(content))
        .expect("a file in the temporary directory");
    let file = File::open(&path).expect("just written");
    std::fs::remove_file(&path).expect("ours");
    Arc::new(file)
}

#[test]
fn a_range_of_a_file_is_sent_between_the_sends_around_it() {
    let (mut queue, mut peer) = queue_and_peer();
    let socket = connected(&mut queue, &mut peer);
    let data = pattern(500_000);
    let [mut before, mut after] = <[_; 2]>::try_from(queue.buffers(2, 5).expect("memory")).expect("two");
    before.copy_from_slice(b"head:");
    after.copy_from_slice(b":tail");
    queue.send(socket, before, 0..5, 1).expect("submitted");
    queue.sendfile(socket, file_of(&data, "range"), 1000, 400_000, 2).expect("submitted");
    queue.send(socket, after, 0..5, 3).expect("submitted");
    let mut got = Vec::new();
    let done = run(&mut queue, &mut peer, |peer| peer.receive(&mut got), |done| done.len() == 3);
    assert_eq!(
        done.iter().map(|done| (done.user_data, done.bytes)).collect::<Vec<_>>(),
        [(1, 5), (2, 400_000), (3, 5)]
    );
    assert!(!done[1].flags.is_copied(), "from the page cache to the card");
    assert!(got == [b"head:", &data[1000..401_000], b":tail"].concat());
}

#[test]
fn a_file_that_is_cut_while_the_peer_has_not_acknowledged_it_ends_its_send() {
    let (mut queue, mut peer) = queue_and_peer();
    let socket = connected(&mut queue, &mut peer);
    let path = std::env::temp_dir().join(format!("naio-queue-cut-{}", std::process::id()));
    std::fs::write(&path, pattern(100_000)).expect("a file in the temporary directory");
    let file = File::options().read(true).write(true).open(&path).expect("just written");
    std::fs::remove_file(&path).expect("ours");
    let file = Arc::new(file);
    queue.sendfile(socket, file.clone(), 0, 100_000, 1).expect("submitted");
    let buffer = queue.buffers(1, 3).expect("memory").remove(0);
    queue.send(socket, buffer, 0..3, 2).expect("submitted");
    let mut got = Vec::new();
    let mut is_cut = false;
    let receive = |peer: &mut Peer| {
        peer.receive(&mut got);
        if !is_cut && got.len() > 10_000 {
            is_cut = true;
            file.set_len(50).expect("cut");
        }
    };
    let done = run(&mut queue, &mut peer, receive, |done| done.len() == 2);
    assert_eq!((done[0].result, done[0].user_data), (Err(OpError::FileTruncated), 1));
    assert_eq!(done[1].result, Ok(()), "the connection goes on");
    assert_eq!(queue.counters().files.windows, 1);
    queue.release_files();
}

#[test]
fn what_cannot_be_shown_to_the_card_is_copied_and_says_so() {
    let (mut queue, mut peer) = queue_and_peer();
    let socket = connected(&mut queue, &mut peer);
    let zeros = Arc::new(File::open("/dev/zero").expect("a device"));
    queue.sendfile(socket, zeros, 1 << 40, 300_000, 1).expect("submitted");
    let folder = Arc::new(File::open(std::env::temp_dir()).expect("a folder"));
    queue.sendfile(socket, folder, 0, 10, 2).expect("submitted");
    let mut got = Vec::new();
    let done = run(&mut queue, &mut peer, |peer| peer.receive(&mut got), |done| done.len() == 2);
    let sent = done.iter().find(|done| done.user_data == 1).expect("completed");
    assert_eq!((sent.result, sent.bytes, sent.flags.is_copied()), (Ok(()), 300_000, true));
    let failed = done.iter().find(|done| done.user_data == 2).expect("completed");
    assert_eq!(failed.result, Err(OpError::File(std::io::ErrorKind::IsADirectory)));
    assert!(got == vec![0; 300_000]);
}

#[test]
fn a_file_that_is_too_short_ends_its_send_and_nothing_else() {
    let (mut queue, mut peer) = queue_and_peer();
    let socket = connected(&mut queue, &mut peer);
    queue.sendfile(socket, file_of(&[7; 1000], "short"), 0, 2000, 1).expect("submitted");
    let buffer = queue.buffers(1, 3).expect("memory").remove(0);
    queue.send(socket, buffer, 0..3, 2).expect("submitted");
    let mut got = Vec::new();
    let done = run(&mut queue, &mut peer, |peer| peer.receive(&mut got), |done| done.len() == 2);
    assert_eq!((done[0].result, done[0].bytes), (Err(OpError::FileTruncated), 1000));
    assert_eq!((done[1].result, got.len()), (Ok(()), 1003));
}

#[test]
fn a_periodic_timeout_never_floods_and_counts_what_was_missed() {
    let (mut queue, mut peer) = queue_and_peer();
    let short = queue.timeout(When::Every(Duration::from_micros(10)), 1).expect_err("too short");
    assert!(matches!(short.reason, SubmitReason::Period { .. }));
    let key = queue.timeout(When::Every(Duration::from_millis(1)), 1).expect("submitted");
    // 200 turns of 50 µs are ten periods, in which the queue is left alone.
    for _ in 0..200 {
        peer.pump();
    }
    let done = complete(&mut queue, &mut peer, 1);
    assert_eq!(done.iter().map(|done| done.kind).collect::<Vec<_>>(), [Kind::Timeout { expirations: 10 }]);
    assert!(queue.cancel(key));
    let done = complete(&mut queue, &mut peer, 1);
    let last = done.last().expect("the terminal one");
    assert_eq!((last.result, last.flags.has_more()), (Err(OpError::Canceled), false));
}

#[test]
fn periods_pass_one_by_one_for_a_program_that_keeps_up() {
    let (mut queue, mut peer) = queue_and_peer();
    let key = queue.timeout(When::Every(Duration::from_millis(2)), 1).expect("submitted");
    let done = run(&mut queue, &mut peer, |_| {}, |done| done.len() == 5);
    for tick in &done {
        assert_eq!((tick.key, tick.kind), (key, Kind::Timeout { expirations: 1 }));
        assert!(tick.flags.has_more());
    }
}

#[test]
fn a_watch_says_what_the_link_is_and_what_it_becomes() {
    let (mut queue, mut peer, wire) = joined(8, &WireOptions::default());
    let key = queue.watch_link(1).expect("submitted");
    let done = complete(&mut queue, &mut peer, 1);
    assert!(matches!(done[0].kind, Kind::Link { link: Link::Up { .. } }), "{:?}", done[0].kind);
    wire.set_link(false);
    let done = complete(&mut queue, &mut peer, 1);
    assert_eq!((done[0].kind, done[0].flags.has_more()), (Kind::Link { link: Link::Down }, true));
    assert!(queue.cancel(key));
    let done = complete(&mut queue, &mut peer, 1);
    assert_eq!((done[0].result, done[0].flags.has_more()), (Err(OpError::Canceled), false));
}

#[test]
fn a_multishot_operation_takes_two_places_in_the_queue() {
    let (mut queue, _peer, _) = joined(3, &WireOptions::default());
    queue.timeout(When::Every(Duration::from_secs(1)), 1).expect("two places");
    queue.post(2, 0).expect("the third");
    assert_eq!(queue.post(3, 0).expect_err("full").reason, SubmitReason::QueueFull { limit: 3 });
}

#[test]
fn two_hundred_connections_come_and_go_and_leave_nothing_behind() {
    let (mut queue, mut peer, _) = joined(64, &WireOptions::default());
    let listener = queue.listen(PORT + 1, 16).expect("a free port");
    for round in 0..200 {
        queue.accept(listener, round).expect("submitted");
        let theirs = peer.connect(([10, 0, 0, 1], PORT + 1).into());
        let socket = complete(&mut queue, &mut peer, 1)[0].socket.expect("a connection");
        peer.stack.close(theirs).expect("connected");
        queue.close(socket, round).expect("submitted");
        let done = complete(&mut queue, &mut peer, 1);
        assert_eq!((done[0].kind, done[0].result), (Kind::Close, Ok(())), "round {round}");
    }
    assert_eq!(queue.outstanding(), 0);
    let fresh = queue.socket(SocketOptions::default()).expect("sockets are not used up");
    assert!(queue.abort(fresh));
}

/// Four transmit pages for a transfer of hundreds of packets: it waits for the card, and nothing is lost.
#[test]
fn few_transmit_pages_make_it_slow_and_not_wrong() {
    let (mut queue, mut peer, _) = joined_with(16, &WireOptions::default(), |builder| builder.tx_pages(4));
    let socket = connected(&mut queue, &mut peer);
    let data = pattern(400_000);
    let mut buffer = queue.buffers(1, data.len()).expect("memory").remove(0);
    buffer.copy_from_slice(&data);
    queue.send(socket, buffer, 0..data.len(), 1).expect("submitted");
    let mut got = Vec::new();
    let done = run(&mut queue, &mut peer, |peer| peer.receive(&mut got), |done| done.len() == 1);
    assert_eq!((done[0].result, got == data), (Ok(()), true));
    assert_eq!((queue.counters().stack.tx_no_page, queue.census().lent_pages), (0, 0));
}

/// Long packets that consist of copies and of memory by reference, with hardly more pages than one of them needs: a
/// packet that is begun finds the pages for all of it.
#[test]
fn long_packets_with_copies_in_them_wait_for_their_pages() {
    let (mut queue, mut peer, _) = joined_with(16, &WireOptions::default(), |builder| builder.tx_pages(9));
    let socket = connected(&mut queue, &mut peer);
    let data = pattern(12 * 4 * 20_300);
    let mut rest = &data[..];
    for round in 0..12 {
        let mut parts = Vec::new();
        // The short ones are copied.
        for len in [200, 20_100].into_iter().cycle().take(8) {
            let mut buffer = queue.buffers(1, len).expect("memory").remove(0);
            buffer.copy_from_slice(&rest[..len]);
            rest = &rest[len..];
            parts.push((buffer, 0..len));
        }
        queue.sendv(socket, parts, round).expect("submitted");
    }
    let sent = data.len() - rest.len();
    let mut got = Vec::new();
    let done = run(&mut queue, &mut peer, |peer| peer.receive(&mut got), |done| done.len() == 12);
    assert!(done.iter().all(|done| done.result == Ok(()) && done.flags.is_copied()));
    assert!(got == data[..sent]);
    assert!(queue.counters().nic.tx_cut_by_driver > 0, "some were long");
    assert_eq!((queue.counters().stack.tx_no_page, queue.census().lent_pages), (0, 0));
}
