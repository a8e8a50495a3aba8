//! Exercises of limits that are reached: refused by name, nothing lost, and all is well again as soon as there is room.

use crate::drill::{Drill, Failed, Verdict, expect, expect_eq};
use crate::{GROUPS_MAX, LISTENERS_MAX, OPERATIONS_MAX, QUERIES_MAX, SOCKETS_MAX};
use aio_api::{Lookup, OpError, SocketError, SocketOptions, SubmitReason};
use naio_bench::services::manners::Manner;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// A first UDP port and a first TCP port that nobody has.
const PORT: u16 = 20_000;

/// Sockets, UDP sockets, listeners, groups and name queries up to their limits.
pub(crate) fn sockets(drill: &mut Drill) -> Verdict {
    let mut sockets = Vec::new();
    let refused = loop {
        match drill.queue.socket(SocketOptions::default()) {
            Ok(socket) => sockets.push(socket),
            Err(error) => break error,
        }
        expect("sockets without end", sockets.len() <= SOCKETS_MAX)?;
    };
    expect_eq("the refusal of a socket", refused, SocketError::TooMany { limit: SOCKETS_MAX })?;
    expect_eq(
        "sockets closed",
        sockets.into_iter().filter(|socket| drill.queue.abort(*socket)).count(),
        SOCKETS_MAX,
    )?;

    let udp: Vec<_> = (0..).map_while(|n| drill.queue.udp_bind(PORT + n).ok()).collect();
    expect("no UDP socket, or no end of them", (1..=100).contains(&udp.len()))?;
    expect("one that was refused is there", udp.into_iter().all(|socket| drill.queue.udp_close(socket)))?;

    let listeners: Vec<_> = (0..).map_while(|n| drill.queue.listen(PORT + n, 1).ok()).collect();
    expect_eq("listeners", listeners.len(), LISTENERS_MAX)?;
    expect(
        "one that was refused is there",
        listeners.into_iter().all(|one| drill.queue.close_listener(one)),
    )?;

    let group = |n: usize| IpAddr::from(Ipv4Addr::new(239, 8, 0, n as u8));
    let joined = (0..100).take_while(|n| drill.queue.join(group(*n)).is_ok()).count();
    expect_eq("groups", joined, GROUPS_MAX)?;
    (0..joined).try_for_each(|n| drill.queue.leave(group(n)))?;

    let mut queries = Vec::new();
    let refused = loop {
        match drill.queue.resolve("silent.test", Lookup::Ipv4, 0) {
            Ok(key) => queries.push(key),
            Err(error) => break error.reason,
        }
    };
    expect_eq("the refusal of a query", refused, SubmitReason::TooManyQueries)?;
    expect_eq("queries", queries.len(), QUERIES_MAX)?;
    for key in queries {
        expect("a query is not there", drill.queue.cancel(key))?;
        expect_eq("its end", drill.next(key)?.result, Err(OpError::Canceled))?;
    }
    all_is_well(drill)
}

/// Operations up to the limit; the buffer of the one that is refused comes back.
pub(crate) fn operations(drill: &mut Drill) -> Verdict {
    let refused_before = drill.queue.counters().queue.refused_full;
    let mut keys = Vec::new();
    let refused = loop {
        match drill.queue.timeout(Duration::from_secs(3600), 0) {
            Ok(key) => keys.push(key),
            Err(error) => break error,
        }
        expect("operations without end", keys.len() <= OPERATIONS_MAX)?;
    };
    expect_eq("the refusal", refused.reason, SubmitReason::QueueFull { limit: OPERATIONS_MAX })?;
    let socket = drill.queue.udp_bind(0)?;
    let buffer = drill.queue.buffers(1, 100)?.remove(0);
    let error = drill.queue.recv_from(socket, buffer, 0).err().ok_or("a full queue took an operation")?;
    expect("its buffer is lost", error.buffer.is_some())?;
    expect_eq("refusals counted", drill.queue.counters().queue.refused_full - refused_before, 2)?;
    expect("the socket is gone", drill.queue.udp_close(socket))?;
    for key in &keys {
        expect("an operation is not there", drill.queue.cancel(*key))?;
    }
    let ends = drill.in_order(keys.len())?;
    expect("another end than the cancel", ends.iter().all(|done| done.result == Err(OpError::Canceled)))?;
    all_is_well(drill)
}

fn all_is_well(drill: &mut Drill) -> Result<(), Failed> {
    let socket = drill.connect(Manner::Echo, SocketOptions::default())?;
    drill.send(socket, b"well")?;
    expect_eq("the echo", drill.read(socket, 4)?.0, b"well".to_vec())?;
    drill.close(socket)
}
