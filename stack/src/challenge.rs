//! Challenge acknowledgments (RFC 5961): the answer to segments that may be invented.
//!
//! Receives the index of a connection that got one; queues an acknowledgment of what has really arrived. Whoever
//! did send the segment, and has forgotten the connection, answers with a reset that has the right number. Limited
//! for each connection and not for all together: a common limit tells one peer about the others.

use crate::Stack;
use crate::flow::Flow;
use crate::segment::PureAck;
use std::time::Duration;

/// Between two of one connection.
const CHALLENGE_EVERY: Duration = Duration::from_millis(500);

impl Flow {
    /// What the window field of a segment says now (RFC 7323 2.3).
    pub(crate) fn window_field(&self) -> u16 {
        let free = self.rx_len - self.socket().recv_queue();
        u16::try_from(free >> self.window_shift()).unwrap_or(u16::MAX)
    }

    /// How far our windows are shifted: what smoltcp offers for a ring of this length, if the peer scales at all.
    #[inline]
    pub(crate) fn window_shift(&self) -> u32 {
        let offered = (usize::BITS - self.rx_len.leading_zeros()).saturating_sub(u16::BITS);
        if self.peer.shift.is_some() { offered } else { 0 }
    }
}

impl Stack {
    /// Asks back, unless that was done just now.
    #[cold]
    pub(crate) fn challenge(&mut self, index: u32) {
        let full = self.replies_are_full();
        let Some(flow) = self.flows.at_mut(index) else { return };
        let (Some(key), Some(seq), Some(ack)) = (flow.key, flow.sent_end, flow.rcv_nxt()) else { return };
        let recent = flow.challenged.is_some_and(|at| self.now < at.after(CHALLENGE_EVERY));
        if recent || full {
            self.counters.tx_challenge_limited += 1;
            return;
        }
        flow.challenged = Some(self.now);
        let ack = PureAck::to_peer(key, (seq, ack), flow.window_field());
        let to = flow.mac;
        self.counters.tx_challenge += 1;
        let (replies, counters) = (&mut self.replies, &mut self.counters);
        self.outbox
            .packet(replies, counters, to, ack.bytes().len(), |packet| packet.copy_from_slice(ack.bytes()));
    }
}
