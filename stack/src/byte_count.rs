//! Acknowledgments in pieces: what makes smoltcp's congestion window grow by the byte (RFC 3465).
//!
//! smoltcp's controllers grow by the acknowledgment, and a peer that merges what it receives sends one for forty
//! segments. Receives an acknowledgment of new data before smoltcp sees it, and hands smoltcp one for each segment's
//! length of it first. Only while the congestion window limits the connection and nothing is lost: what follows a loss
//! may be acknowledged at once without having just left the network (RFC 3465 2.3).

use crate::Stack;
use crate::flow::Flow;
use crate::ipv4::{ACK, RST, SYN, Tcp};
use crate::segment::PureAck;

/// The longest piece: what smoltcp's controllers take for a segment that have not heard of another.
const PIECE: u32 = 1_024;
/// Pieces of one acknowledgment, at the most: what a packet of 64 KiB carries.
const PIECES_MAX: u32 = 64;

impl Flow {
    /// Where the pieces of an acknowledgment begin, if it should be handed on in pieces.
    #[inline]
    fn pieces_begin(&self, tcp: &Tcp) -> Option<u32> {
        if !self.meter.is_limited() || tcp.flags & (SYN | RST | ACK) != ACK {
            return None;
        }
        let una = self.snd_una()?;
        let acknowledged = tcp.ack.wrapping_sub(una);
        // Data only, of a segment that smoltcp cannot but take.
        let is_data = acknowledged > PIECE && acknowledged as usize <= self.socket().send_queue();
        (is_data && self.rcv_nxt() == Some(tcp.seq) && !self.recovery.is_active()).then_some(una)
    }
}

impl Stack {
    /// Hands smoltcp all of an acknowledgment but its last piece.
    #[inline]
    pub(crate) fn acknowledge_in_pieces(&mut self, index: u32, tcp: &Tcp) {
        let Some(flow) = self.flows.at(index) else { return };
        let (Some(una), Some(key)) = (flow.pieces_begin(tcp), flow.key) else { return };
        let pieces = tcp.ack.wrapping_sub(una).div_ceil(PIECE).min(PIECES_MAX);
        for n in 1..pieces {
            let piece = PureAck::from_peer(key, (tcp.seq, una.wrapping_add(n * PIECE)), tcp.window);
            self.deliver(index, piece.bytes(), None);
        }
    }
}
