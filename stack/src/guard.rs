//! The guard before smoltcp 0.14: segments that would make it panic, hang or storm stop here, and so do those that
//! somebody beside the path may have invented (RFC 5961).
//!
//! Receives a segment for a connection, already well formed, and says whether smoltcp may see it.
//! Each rule names the defect it stands in front of and has a test that fails without it
//! (`guard_tests.rs`, `tests/forged.rs`). Guard (b), a device that never refuses a packet, is in `outbox` and `port`;
//! the capacity rule of guard (a) is `RingLen`; guard (d) acts after smoltcp and lives in `ingest`. What a verdict of
//! [`Verdict::Challenge`] sends is in `challenge`.

use crate::flow::Flow;
use crate::ipv4::{ACK, FIN, RST, SYN, Tcp};
use smoltcp::socket::tcp::State;

/// Whether smoltcp may see a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pass,
    /// (a) Data beyond the ring.
    BeyondRing,
    /// Data behind the peer's FIN.
    BehindFin,
    /// (e) A SYN that crosses ours.
    Simultaneous,
    /// The connection has not sent its SYN, or its answer to one: nothing can be for it. (q) smoltcp believes who guesses
    /// the number of a SYN that has not left, and answers with numbers that we cannot follow.
    Early,
    /// (c) A repeated acknowledgment while only our FIN is outstanding.
    RepeatedAck,
    /// Nothing that follows a SYN is without ACK (RFC 9293 3.10.7.4, fifth).
    NoAck,
    /// The same SYN again: our answer is repeated by its own timer.
    RepeatedSyn,
    /// (h) A reset that is nowhere near (RFC 5961 3.2), or (p) one in TIME-WAIT.
    Reset,
    /// Somebody may have invented it; whoever really sent it says so again after this answer.
    Challenge,
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
    if tcp.flags & (SYN | RST | ACK) != ACK
        && let Some(verdict) = inspect_flags(flow, state, tcp)
    {
        return verdict;
    }
    if state == State::SynReceived && flow.sent_end.is_none() && !tcp.has(RST) {
        return Verdict::Early;
    }
    if tcp.has(ACK) && is_impossible_ack(flow, state, tcp.ack) {
        return Verdict::Challenge;
    }
    if tcp.payload_len > 0 && is_beyond_ring(flow, tcp) {
        return Verdict::BeyondRing;
    }
    if flow.finished && tcp.payload_len > 0 && is_behind_fin(flow, tcp) {
        return Verdict::BehindFin;
    }
    let only_fin_outstanding =
        matches!(state, State::FinWait1 | State::Closing | State::LastAck) && flow.socket().send_queue() == 0;
    if only_fin_outstanding && is_repeated_ack(flow, tcp) {
        return Verdict::RepeatedAck;
    }
    Verdict::Pass
}

/// Whether a connection has both sequence numbers.
fn is_synchronized(state: State) -> bool {
    !matches!(state, State::Closed | State::Listen | State::SynSent)
}

/// Segments with SYN or RST, or without ACK. (h) smoltcp accepts a reset anywhere in its window: whoever tries
/// some ten thousand numbers ends a connection of others. RFC 5961 3.2 wants the very next number, and asks back
/// for the others; 4.2 asks back for every SYN.
#[cold]
fn inspect_flags(flow: &Flow, state: State, tcp: &Tcp) -> Option<Verdict> {
    if !is_synchronized(state) {
        // smoltcp takes a reset in SYN-SENT only if it acknowledges the SYN.
        return None;
    }
    let next = flow.rcv_nxt()?;
    if tcp.has(RST) {
        if state == State::TimeWait {
            // (p) smoltcp takes it: the answer of a peer that is gone to our answer to an old segment of its own. It
            // would take what is unread away, and the protection from old segments (RFC 1337, fix F1).
            return Some(Verdict::Reset);
        }
        // A FIN that was accepted but not acknowledged yet is one number more.
        let is_next = tcp.seq == next || (flow.finished && tcp.seq == next.wrapping_add(1));
        let is_near = tcp.seq.wrapping_sub(next) < flow.rx_len as u32;
        return Some(match (is_next, is_near) {
            (true, _) => Verdict::Pass,
            (false, true) => Verdict::Challenge,
            (false, false) => Verdict::Reset,
        });
    }
    if tcp.has(SYN) {
        let again = state == State::SynReceived && !tcp.has(ACK) && tcp.seq == next.wrapping_sub(1);
        return Some(if again { Verdict::RepeatedSyn } else { Verdict::Challenge });
    }
    Some(Verdict::NoAck)
}

/// Acknowledgments of what was never sent, which smoltcp takes as long as it is queued (RFC 9293 3.10.7.4), and
/// of what was acknowledged longer ago than the peer's largest window (RFC 5961 5.2).
#[inline(always)]
fn is_impossible_ack(flow: &Flow, state: State, ack: u32) -> bool {
    // In SYN-RECEIVED the answer is a reset, which smoltcp knows.
    if !is_synchronized(state) || state == State::SynReceived {
        return false;
    }
    let (Some(una), Some(end)) = (flow.snd_una(), flow.sent_end) else { return false };
    let ahead = ack.wrapping_sub(end) as i32;
    let behind = una.wrapping_sub(ack) as i32;
    ahead > 0 || behind > flow.window_max.max(WINDOW_MAX_UNSCALED) as i32
}

/// The largest window of a peer that has said nothing yet.
const WINDOW_MAX_UNSCALED: u32 = 65_535;

/// (a) Until our first acknowledgment, smoltcp accepts up to twice its ring if the ring's length is
/// not one of `RingLen`'s. Whatever it believes: nothing past the last acknowledgment we sent plus
/// the ring can be right, and no peer that keeps to any window we offered sends it.
fn is_beyond_ring(flow: &Flow, tcp: &Tcp) -> bool {
    let Some(acked) = flow.acked else { return false };
    let end = tcp.seq.wrapping_add(tcp.payload_len);
    // Sequence numbers compare by the sign of their difference (RFC 9293 3.4); rings are below 2^23.
    end.wrapping_sub(acked) as i32 > flow.rx_len as i32
}

/// (n) smoltcp takes data behind a FIN as if there had been none; a stream has ended there (RFC 9293 3.10.7.4,
/// seventh: CLOSE-WAIT and later ignore the text of a segment). What repeats the stream's last data passes.
fn is_behind_fin(flow: &Flow, tcp: &Tcp) -> bool {
    let end = tcp.seq.wrapping_add(tcp.payload_len);
    flow.rcv_nxt().is_some_and(|next| end.wrapping_sub(next) as i32 > 0)
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
