//! When smoltcp hears that our half is closed, if the peer's is already.
//!
//! Receives the wish to close; hands it on at once, or in a later visit of the connection. Guard (o): in LAST-ACK
//! smoltcp 0.14 throws away every acknowledgment that acknowledges nothing new, and with it what it says about the
//! window. Once that has closed over bytes that are still queued, nothing opens it again, and its probes begin behind
//! bytes that were lost, so the peer cannot take those either. Nor does it count repeated acknowledgments there: every
//! loss costs a retransmission timeout. So it stays in CLOSE-WAIT, where all of this works, until little is left, for
//! which the peer has room. Users see LAST-ACK.

use crate::Stack;
use crate::flow::Flow;
use smoltcp::socket::tcp::State;

/// Segments whose loss may cost a timeout, lest the FIN of a short answer be late: the first flight of a connection
/// (RFC 6928 2).
const TAIL_SEGMENTS: usize = 10;

impl Flow {
    /// Whether smoltcp may enter LAST-ACK.
    fn may_finish(&self) -> bool {
        let queued = self.socket().send_queue();
        let shift = self.peer.shift.unwrap_or(0);
        let window = self.heard_ack.map_or(0, |(_, window)| usize::from(window) << shift);
        // A peer rounds its window down to what the field can say (RFC 7323 2.3): its edge may go back by that.
        let rounding = (1 << shift) - 1;
        let tail = TAIL_SEGMENTS * usize::from(self.peer.mss);
        queued == 0 || (queued + rounding <= window && queued <= tail && !self.recovery.is_active())
    }

    /// Closes our half: a FIN follows what was sent.
    pub(crate) fn close_half(&mut self) {
        self.fin_waits = self.state() == State::CloseWait && !self.may_finish();
        if !self.fin_waits {
            self.socket_mut().close();
        }
    }
}

impl Stack {
    /// Before smoltcp may send: whether a FIN has waited long enough.
    #[inline]
    pub(crate) fn release_fin(&mut self, index: u32) {
        if let Some(flow) = self.flows.at_mut(index).filter(|flow| flow.fin_waits) {
            flow.close_half();
        }
    }
}
