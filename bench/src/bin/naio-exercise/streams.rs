//! Exercises of TCP while both ends are willing: order, vectors, files, options, what is known of a connection.

use crate::drill::{Drill, Verdict, bytes, expect, expect_eq};
use aio_api::{Congestion, Phase, RecvOptions, RingLen, SocketOptions, TcpOptions};
use naio_bench::services::manners::Manner;
use std::fs::File;
use std::sync::Arc;
use std::time::Duration;

/// Bytes that one connection echoes where the amount is not the matter.
const ECHOED: usize = 200_000;
/// Lengths of sends and of receives, different ones: neither follows the other's bounds.
const SENDS: [usize; 7] = [1, 1459, 1460, 1461, 20_000, 3, 7777];
const RECEIVES: [usize; 6] = [5, 3000, 1, 9000, 1448, 18_707];
/// The period of keep-alive probes, and how long they are watched.
const PROBE_EVERY: Duration = Duration::from_millis(200);
const WATCHED: Duration = Duration::from_secs(1);

/// Sends complete in their order and their bytes arrive in it; receives are filled in theirs.
pub(crate) fn order(drill: &mut Drill) -> Verdict {
    let total: usize = SENDS.iter().sum();
    expect_eq("the lengths' sum", RECEIVES.iter().sum(), total)?;
    let all = bytes(1, total);
    for host in drill.peers() {
        let socket = drill.connect_at(host, Manner::Echo, SocketOptions::default())?;
        let mut keys = Vec::new();
        for (number, len) in RECEIVES.into_iter().enumerate() {
            let buffer = drill.queue.buffers(1, len)?.remove(0);
            keys.push(drill.queue.recv(socket, buffer, RecvOptions::wait_all(), number as u64)?);
        }
        let mut rest = &all[..];
        for (number, len) in SENDS.into_iter().enumerate() {
            let buffer = drill.buffer(&rest[..len])?;
            keys.push(drill.queue.send(socket, buffer, 0..len, (RECEIVES.len() + number) as u64)?);
            rest = &rest[len..];
        }
        let mut numbers = (Vec::new(), Vec::new());
        let mut received = Vec::new();
        for done in drill.in_order(keys.len())? {
            done.result?;
            match done.user_data as usize {
                number if number < RECEIVES.len() => {
                    numbers.0.push(number);
                    let buffer = done.buffer.ok_or("the buffer did not come back")?;
                    received.extend_from_slice(&buffer[..done.bytes as usize]);
                }
                number => numbers.1.push(number - RECEIVES.len()),
            }
        }
        expect_eq("order of receives", numbers.0, (0..RECEIVES.len()).collect())?;
        expect_eq("order of sends", numbers.1, (0..SENDS.len()).collect())?;
        expect("other bytes came back than were sent", received == all)?;
        drill.close(socket)?;
    }
    Ok(())
}

/// Ranges of several buffers go out as one operation and give the buffers back in their order.
pub(crate) fn vectors(drill: &mut Drill) -> Verdict {
    let socket = drill.connect(Manner::Echo, SocketOptions::default())?;
    let (head, body) = (bytes(2, 100), bytes(3, 5000));
    let parts = vec![(drill.buffer(&head)?, 10..100), (drill.buffer(&body)?, 0..4321)];
    let key = drill.queue.sendv(socket, parts, 0)?;
    let done = drill.good(key)?;
    expect_eq("bytes of the vector", done.bytes, 90 + 4321)?;
    expect_eq("its buffers", done.buffers.iter().map(|buffer| buffer.len()).collect(), vec![100, 5000])?;
    let (received, _) = drill.read(socket, 90 + 4321)?;
    expect("other bytes came back", received == [&head[10..], &body[..4321]].concat())?;
    drill.close(socket)
}

/// A range of a file goes out as it is.
pub(crate) fn sendfile(drill: &mut Drill) -> Verdict {
    // Some file that everybody has, longer than a window at the beginning of a connection.
    let path = std::env::current_exe()?;
    let content = std::fs::read(&path)?;
    let (offset, len) = (4097, ECHOED);
    let wanted = content.get(offset..offset + len).ok_or("the program is too short a file")?;
    let socket = drill.connect(Manner::Echo, SocketOptions::default())?;
    let key = drill.queue.sendfile(socket, Arc::new(File::open(&path)?), offset as u64, len as u64, 0)?;
    let (received, _) = drill.read(socket, len)?;
    expect_eq("bytes of the file", drill.good(key)?.bytes, len as u64)?;
    expect("other bytes came back than the file has", received == wanted)?;
    drill.close(socket)
}

/// Whatever the options, the bytes are right.
pub(crate) fn options(drill: &mut Drill) -> Verdict {
    let small = RingLen::at_least(4096);
    let small_rings = SocketOptions { rx_ring: small, tx_ring: small, ..SocketOptions::default() };
    let tcp = |tcp| SocketOptions { tcp, ..SocketOptions::default() };
    let plain = TcpOptions::default();
    let choices = [
        ("small rings", small_rings),
        ("Nagle", tcp(TcpOptions { nodelay: false, ..plain })),
        ("no congestion control", tcp(TcpOptions { congestion: Congestion::None, ..plain })),
        ("Reno", tcp(TcpOptions { congestion: Congestion::Reno, ..plain })),
        ("Cubic", tcp(TcpOptions { congestion: Congestion::Cubic, ..plain })),
        ("a user timeout", tcp(TcpOptions { user_timeout: Some(Duration::from_secs(20)), ..plain })),
    ];
    for (number, (what, options)) in choices.into_iter().enumerate() {
        let all = bytes(10 + number as u64, ECHOED);
        let socket = drill.connect(Manner::Echo, options)?;
        let into = drill.queue.buffers(1, ECHOED)?.remove(0);
        let receive = drill.queue.recv(socket, into, RecvOptions::wait_all(), 0)?;
        // Options may change while the connection lives: back to the usual ones in the middle.
        drill.send(socket, &all[..ECHOED / 2])?;
        expect("a living socket takes options", drill.queue.set_options(socket, plain))?;
        drill.send(socket, &all[ECHOED / 2..])?;
        let done = drill.good(receive)?;
        let right = done.buffer.is_some_and(|buffer| buffer[..] == all[..]);
        expect(&format!("other bytes came back with {what}"), right)?;
        drill.close(socket)?;
    }
    Ok(())
}

/// What is known of a connection is what happened on it.
pub(crate) fn info(drill: &mut Drill) -> Verdict {
    let socket = drill.connect(Manner::Echo, SocketOptions::default())?;
    let all = bytes(20, ECHOED);
    let into = drill.queue.buffers(1, ECHOED)?.remove(0);
    let receive = drill.queue.recv(socket, into, RecvOptions::wait_all(), 0)?;
    drill.send(socket, &all)?;
    drill.good(receive).map(drop)?;
    let info = drill.queue.info(socket).ok_or("nothing is known of a living connection")?;
    expect_eq("its phase", info.phase, Phase::Established)?;
    // One byte said in which manner we want to be treated.
    expect_eq("bytes sent", info.bytes_sent, 1 + ECHOED as u64)?;
    expect_eq("bytes acknowledged", info.bytes_acknowledged, 1 + ECHOED as u64)?;
    expect_eq("bytes received", info.bytes_received, ECHOED as u64)?;
    expect_eq("bytes in flight", info.bytes_in_flight, 0)?;
    expect("no round trip was measured", info.rtt.is_some() && info.rtt_min <= info.rtt)?;
    expect("too few segments", info.segments_received > 10 && info.segments_sent > 10)?;
    drill.close(socket)?;
    expect_eq("what is known of a closed socket", drill.queue.info(socket), None)
}

/// A silent peer is asked whether it lives, and answers.
pub(crate) fn keep_alive(drill: &mut Drill) -> Verdict {
    let tcp = TcpOptions { keep_alive: Some(PROBE_EVERY), ..TcpOptions::default() };
    let socket = drill.connect(Manner::Echo, SocketOptions { tcp, ..SocketOptions::default() })?;
    let before = drill.queue.info(socket).ok_or("nothing is known of a living connection")?;
    drill.run_for(WATCHED)?;
    let after = drill.queue.info(socket).ok_or("the connection is gone")?;
    let heard = after.segments_received - before.segments_received;
    expect(&format!("{heard} answers to probes"), heard >= 2)?;
    drill.send(socket, b"still there")?;
    expect_eq("the echo", drill.read(socket, 11)?.0, b"still there".to_vec())?;
    drill.close(socket)
}
