//! Exercises of UDP: datagrams whole and in fragments, too long for their buffer, and to where nobody is.

use crate::drill::{Drill, Failed, Verdict, bytes, expect, expect_eq};
use aio_api::{Completion, OpError, OpKey, UdpId};
use naio_bench::services::manners;
use std::net::SocketAddr;
use std::time::Duration;

/// Lengths: none, some, as long as fits an MTU of 1400, one more, and in many pieces.
const LENGTHS: [usize; 6] = [0, 499, 1372, 1373, 5000, 20_000];
/// Datagrams may be lost; each is sent again after this, so often.
const AGAIN_AFTER: Duration = Duration::from_secs(1);
const TRIES: u32 = 8;
/// The longest that is received.
const ROOM: usize = 1 << 16;

/// Sends a datagram again and again until something comes for the socket.
fn ask(drill: &mut Drill, socket: UdpId, to: SocketAddr, text: &[u8]) -> Result<Completion, Failed> {
    let into = drill.queue.buffers(1, ROOM)?.remove(0);
    let receive = drill.queue.recv_from(socket, into, 0)?;
    ask_into(drill, socket, to, text, receive)
}

fn ask_into(
    drill: &mut Drill,
    socket: UdpId,
    to: SocketAddr,
    text: &[u8],
    receive: OpKey,
) -> Result<Completion, Failed> {
    for _ in 0..TRIES {
        let mut buffer = drill.queue.buffers(1, text.len().max(1))?.remove(0);
        buffer[..text.len()].copy_from_slice(text);
        let send = drill.queue.send_to(socket, buffer, 0..text.len(), to, 0)?;
        expect_eq("bytes of the datagram", drill.good(send)?.bytes, text.len() as u64)?;
        if let Some(done) = drill.next_within(receive, AGAIN_AFTER)? {
            return Ok(done);
        }
    }
    drill.queue.cancel(receive);
    Err(format!("no answer to {TRIES} datagrams of {} bytes", text.len()).into())
}

/// Each comes back whole, with its bounds and from whom.
pub(crate) fn whole_and_in_fragments(drill: &mut Drill) -> Verdict {
    for host in drill.peers() {
        let to = SocketAddr::new(host, manners::PORT);
        for (number, len) in LENGTHS.into_iter().enumerate() {
            // A socket for each: an echo that comes late is another one's.
            let socket = drill.queue.udp_bind(0)?;
            let text = bytes(40 + number as u64, len);
            let done = ask(drill, socket, to, &text)?;
            done.result?;
            expect_eq("who answers", done.peer, Some(to))?;
            let buffer = done.buffer.ok_or("the buffer did not come back")?;
            expect(
                &format!("another datagram than the one of {len} bytes"),
                buffer[..done.bytes as usize] == text[..],
            )?;
            expect("a whole datagram is not cut", !done.flags.is_truncated())?;
            expect("the socket is gone", drill.queue.udp_close(socket))?;
        }
    }
    let counters = drill.queue.counters().stack;
    expect("nothing went out in fragments", counters.tx_fragments > 4)?;
    expect("nothing came in fragments", counters.reassembled > 0)
}

/// What does not fit is lost, and said to be.
pub(crate) fn truncated(drill: &mut Drill) -> Verdict {
    let socket = drill.queue.udp_bind(0)?;
    let text = bytes(50, 100);
    let into = drill.queue.buffers(1, 10)?.remove(0);
    let receive = drill.queue.recv_from(socket, into, 0)?;
    let done = ask_into(drill, socket, (drill.peer, manners::PORT).into(), &text, receive)?;
    expect_eq("bytes, and that they are not all", (done.bytes, done.flags.is_truncated()), (10, true))?;
    expect("the socket is gone", drill.queue.udp_close(socket))
}

/// Nobody has the port: the error of the network comes back to the socket, with the address.
pub(crate) fn closed_port(drill: &mut Drill) -> Verdict {
    for host in drill.peers() {
        let socket = drill.queue.udp_bind(0)?;
        let to = SocketAddr::new(host, manners::CLOSED_PORT);
        let done = ask(drill, socket, to, b"anybody?")?;
        expect_eq("the end of the receive", (done.result, done.peer), (Err(OpError::Refused), Some(to)))?;
        expect("the socket is gone", drill.queue.udp_close(socket))?;
    }
    Ok(())
}
