//! The guard before smoltcp 0.14: segments that would make it panic, hang or storm stop here.
//!
//! Receives a segment for a connection, already well formed, and says whether smoltcp may see it.
//! Each rule names the defect it stands in front of and has a test that fails without it
//! (`guard_tests.rs`). Guard (b), a device that never refuses a packet, is in `outbox` and `port`;
//! the capacity rule of guard (a) is `RingLen`; guard (d) acts after smoltcp and lives in `ingest`.

use crate::flow::Flow;
use crate::ipv4::{ACK, FIN, RST, SYN, Tcp};
use smoltcp::socket::tcp::State;

/// Whether smoltcp may see a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pass,
    /// (a) Data beyond the ring.
    BeyondRing,
    /// (e) A SYN that crosses ours.
    Simultaneous,
    /// The connection has not sent its SYN: nothing can be for it.
    Early,
    /// (c) A repeated acknowledgment while only our FIN is outstanding.
    RepeatedAck,
}

#[inline(always)]
pub(crate) fn inspect(flow: &Flow, state: State, tcp: &Tcp) -> Verdict {
    if flow.unsent {
        return Verdict::Early;
    }
    // (e) Before our own SYN is out, smoltcp subtracts sequence numbers it has not got and panics;
    // simultaneous open (RFC 9293 3.5) is given up for it: the crossing SYN is repeated by nobody
    // who wants a connection, and ours is answered.
    if state == State::SynSent && tcp.has(SYN) && !tcp.has(ACK) {
        return Verdict::Simultaneous;
    }
    if tcp.payload_len > 0 && is_beyond_ring(flow, tcp) {
        return Verdict::BeyondRing;
    }
    let only_fin_outstanding =
        matches!(state, State::FinWait1 | State::Closing | State::LastAck) && flow.socket().send_queue() == 0;
    if only_fin_outstanding && is_repeated_ack(flow, tcp) {
        return Verdict::RepeatedAck;
    }
    Verdict::Pass
}

/// (a) Until our first acknowledgment, smoltcp accepts up to twice its ring if the ring's length is
/// not one of `RingLen`'s. Whatever it believes: nothing past the last acknowledgment we sent plus
/// the ring can be right, and no peer that keeps to any window we offered sends it.
fn is_beyond_ring(flow: &Flow, tcp: &Tcp) -> bool {
    let Some(acked) = flow.acked else { return false };
    let end = tcp.seq.wrapping_add(tcp.payload_len);
    // Sequence numbers compare by the sign of their difference (RFC 9293 3.4); rings are below 2^23.
    end.wrapping_sub(acked) as i32 > flow.rx_len as i32
}

/// (c) Three of these make smoltcp drop its retransmission timer and send nothing, for ever. They
/// say nothing new: the retransmission timer repeats the FIN.
fn is_repeated_ack(flow: &Flow, tcp: &Tcp) -> bool {
    tcp.flags & (SYN | FIN | RST | ACK) == ACK
        && tcp.payload_len == 0
        && flow.heard_ack == Some((tcp.ack, tcp.window))
}

#[cfg(test)]
#[path = "guard_tests.rs"]
mod tests;
