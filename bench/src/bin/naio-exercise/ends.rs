//! Exercises of how connections end: in order, in halves, badly, and what may come right after.

use crate::drill::{Drill, Verdict, bytes, expect, expect_eq};
use aio_api::{OpError, RecvOptions, SocketOptions, TcpOptions};
use naio_bench::services::manners::{self, Manner};
use std::time::Duration;

/// Port that the peer is asked to call.
const CALLED_PORT: u16 = 7010;
/// What the first and the second caller are told.
const FIRST: &[u8] = b"the first";
const SECOND: &[u8] = b"the second";
/// Within this, every client has tried to connect once.
const CROWDED: Duration = Duration::from_millis(600);
/// More than the window of a peer that does not read, and less than our ring: all of it is on its way at the close.
const TOO_MUCH: usize = 250_000;
/// How long the peer may be silent in `user_timeout`.
const USER_TIMEOUT: Duration = Duration::from_secs(3);
/// How long it takes whoever starts us to silence it.
const SILENCED_WITHIN: Duration = Duration::from_secs(60);

/// We end our half; what the peer sends after that still comes, all of it.
pub(crate) fn half_close_here(drill: &mut Drill) -> Verdict {
    let sent = bytes(30, 70_000);
    for host in drill.peers() {
        let socket = drill.connect_at(host, Manner::Count, SocketOptions::default())?;
        drill.send(socket, &sent)?;
        let key = drill.queue.shutdown(socket, 0)?;
        drill.good(key).map(drop)?;
        let (answer, _) = drill.read(socket, manners::ANSWER_LEN)?;
        expect("another answer came", answer == manners::answer())?;
        let (count, _) = drill.read(socket, 8)?;
        expect_eq("what the peer has read", count, (sent.len() as u64).to_le_bytes().to_vec())?;
        drill.expect_end(socket)?;
        drill.close(socket)?;
    }
    Ok(())
}

/// The peer ends its half; what we send after that still arrives, all of it.
pub(crate) fn half_close_there(drill: &mut Drill) -> Verdict {
    let socket = drill.connect(Manner::EndFirst, SocketOptions::default())?;
    drill.expect_end(socket)?;
    drill.send(socket, &bytes(31, 90_000))?;
    drill.close(socket)?;
    expect_eq("what the peer saw", drill.outcome()?.as_str(), "90000 bytes, ended")
}

/// Nobody listens: an error, and the socket can be closed.
pub(crate) fn refused(drill: &mut Drill) -> Verdict {
    for host in drill.peers() {
        let remote = (host, manners::CLOSED_PORT).into();
        let (socket, connected) = drill.connect_to(remote, SocketOptions::default())?;
        expect_eq("the end of the connect", connected, Err(OpError::Refused))?;
        let key = drill.queue.close(socket, 0)?;
        drill.next(key).map(drop)?;
    }
    Ok(())
}

/// The peer resets: what waits ends with that.
pub(crate) fn reset(drill: &mut Drill) -> Verdict {
    let socket = drill.connect(Manner::Reset, SocketOptions::default())?;
    let buffer = drill.queue.buffers(1, 100)?.remove(0);
    let key = drill.queue.recv(socket, buffer, RecvOptions::default(), 0)?;
    let done = drill.next(key)?;
    expect_eq("the end of the receive", done.result, Err(OpError::Reset))?;
    expect("the buffer did not come back", done.buffer.is_some())?;
    expect("a reset socket is still there", drill.queue.abort(socket))
}

/// We abort: the peer sees a reset, and what waits here ends.
pub(crate) fn abort(drill: &mut Drill) -> Verdict {
    let socket = drill.connect(Manner::EndFirst, SocketOptions::default())?;
    drill.send(socket, &bytes(32, 5000))?;
    // A receive and an end that never come to pass.
    drill.expect_end(socket)?;
    let buffer = drill.buffer(&bytes(33, 100))?;
    let key = drill.queue.send(socket, buffer, 0..100, 0)?;
    expect("there was nothing to abort", drill.queue.abort(socket))?;
    expect_eq("the end of the send", drill.next(key)?.result, Err(OpError::Closed))?;
    expect("a stale socket was aborted", !drill.queue.abort(socket))?;
    let outcome = drill.outcome()?;
    expect(&format!("the peer saw {outcome}"), outcome.ends_with("bytes, reset"))
}

/// A close waits for the peer only as long as it is told to; then the connection is reset.
pub(crate) fn linger(drill: &mut Drill) -> Verdict {
    let cut = drill.queue.counters().stack.lingers_cut;
    let socket = drill.connect(Manner::Stall, SocketOptions::default())?;
    let buffer = drill.queue.buffers(1, TOO_MUCH)?.remove(0);
    let sending = drill.queue.send(socket, buffer, 0..TOO_MUCH, 0)?;
    let closing = drill.queue.close(socket, 0)?;
    let (sent, closed) = (drill.next(sending)?, drill.next(closing)?);
    expect("a send that nobody read succeeded", sent.result.is_err() && sent.buffer.is_some())?;
    expect("a close that was cut short succeeded", closed.result.is_err())?;
    expect_eq("closes cut short", drill.queue.counters().stack.lingers_cut - cut, 1)?;
    let outcome = drill.outcome()?;
    expect(&format!("the peer saw {outcome}"), outcome.ends_with("bytes, reset"))
}

/// A connection is over and in TIME-WAIT here; its peer comes again from the same port and is let in.
pub(crate) fn time_wait(drill: &mut Drill) -> Verdict {
    let listener = drill.queue.listen(CALLED_PORT, 4)?;
    let caller = drill.connect(Manner::Call, SocketOptions::default())?;
    drill.send(caller, &CALLED_PORT.to_le_bytes())?;
    for text in [FIRST, SECOND] {
        let key = drill.queue.accept(listener, 0)?;
        let socket = drill.good(key)?.socket.ok_or("an accept without a socket")?;
        let remote = drill.queue.status(socket).and_then(|status| status.remote);
        let wanted = (drill.peer, manners::CALLER_PORT).into();
        expect_eq("who calls", remote, Some(wanted))?;
        drill.send(socket, text)?;
        // We end first, so it is we who remember the connection.
        drill.close(socket)?;
        expect("nothing is in TIME-WAIT", drill.queue.census().tombstones > 0)?;
    }
    drill.close(caller)?;
    expect("the listener is gone", drill.queue.close_listener(listener))?;
    let wanted = format!("{} bytes, ended; {} bytes, ended", FIRST.len(), SECOND.len());
    expect_eq("what the callers saw", drill.outcome()?, wanted)
}

/// More clients than the backlog holds: the others are left out, counted, come again, and are all served.
pub(crate) fn backlog(drill: &mut Drill) -> Verdict {
    let left_out = drill.queue.counters().stack.drop_tcp_backlog;
    let listener = drill.queue.listen(CALLED_PORT, 1)?;
    let caller = drill.connect(Manner::Crowd, SocketOptions::default())?;
    drill.send(caller, &CALLED_PORT.to_le_bytes())?;
    drill.run_for(CROWDED)?;
    let left_out = drill.queue.counters().stack.drop_tcp_backlog - left_out;
    expect(&format!("{left_out} SYNs were left out"), left_out >= manners::CROWD as u64 - 1)?;
    for _ in 0..manners::CROWD {
        let key = drill.queue.accept(listener, 0)?;
        let socket = drill.good(key)?.socket.ok_or("an accept without a socket")?;
        drill.send(socket, FIRST)?;
        drill.close(socket)?;
    }
    drill.close(caller)?;
    expect("the listener is gone", drill.queue.close_listener(listener))?;
    let each = format!("{} bytes, ended", FIRST.len());
    expect_eq("what the clients saw", drill.outcome()?, vec![each; manners::CROWD].join("; "))
}

/// A cancelled receive gives its buffer back, and the bytes go to the next one.
pub(crate) fn cancel(drill: &mut Drill) -> Verdict {
    let socket = drill.connect(Manner::Echo, SocketOptions::default())?;
    let buffer = drill.queue.buffers(1, 100)?.remove(0);
    let key = drill.queue.recv(socket, buffer, RecvOptions::default(), 0)?;
    expect("it was not there", drill.queue.cancel(key))?;
    let done = drill.next(key)?;
    expect_eq("its end", done.result, Err(OpError::Canceled))?;
    expect("the buffer did not come back", done.buffer.is_some())?;
    expect("it was cancelled twice", !drill.queue.cancel(key))?;
    drill.send(socket, b"not lost")?;
    expect_eq("the echo", drill.read(socket, 8)?.0, b"not lost".to_vec())?;
    drill.close(socket)
}

/// The peer falls silent while data is on its way: the connection is given up in the time that its socket was given.
pub(crate) fn user_timeout(drill: &mut Drill) -> Verdict {
    let tcp = TcpOptions { user_timeout: Some(USER_TIMEOUT), ..TcpOptions::default() };
    let socket = drill.connect(Manner::Echo, SocketOptions { tcp, ..SocketOptions::default() })?;
    // A byte every now and then, until one is not acknowledged any more.
    let deadline = drill.queue.now().after(SILENCED_WITHIN);
    let end = loop {
        let buffer = drill.buffer(b"?")?;
        let key = drill.queue.send(socket, buffer, 0..1, 0)?;
        if let Err(error) = drill.next(key)?.result {
            break error;
        }
        expect("the peer was never silent", drill.queue.now() < deadline)?;
        drill.run_for(Duration::from_millis(100))?;
    };
    expect_eq("the end of the connection", end, OpError::TimedOut)?;
    expect("a connection that timed out is still there", drill.queue.abort(socket))
}
