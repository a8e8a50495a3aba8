//! What a segment says beside its data, remembered where smoltcp forgets it: the options of a SYN, and a FIN that came
//! before data that is missing.
//!
//! Receives segments that the guard has passed; hands smoltcp the FIN once everything before it is there. A second FIN
//! elsewhere changes nothing.

use crate::Stack;
use crate::ipv4::{ACK, FIN, SYN, Tcp};
use crate::packet::Packet;
use crate::peer::Peer;
use crate::segment::PureAck;
use smoltcp::socket::tcp::State;

impl Stack {
    /// The answer to our SYN says what the peer can do; if it is refused, a later one says it again. A FIN that
    /// comes before missing data is forgotten by smoltcp, so it is remembered here.
    #[cold]
    pub(crate) fn note_flags(&mut self, index: u32, packet: &Packet<'_>, tcp: &Tcp) {
        let Some(flow) = self.flows.at_mut(index) else { return };
        if flow.state() == State::SynSent && tcp.has(SYN) {
            flow.peer = Peer::of_syn(packet.payload);
        }
        let Some(next) = flow.rcv_nxt().filter(|_| tcp.has(FIN) && !flow.finished) else { return };
        let fin = tcp.seq.wrapping_add(tcp.payload_len);
        let ahead = fin.wrapping_sub(next);
        if tcp.seq.wrapping_sub(next) as i32 > 0 && (1..=flow.rx_len as u32).contains(&ahead) {
            flow.early_fin.get_or_insert(fin);
        }
    }

    /// The data that was missing before a FIN has come: smoltcp is told of the FIN again.
    #[cold]
    pub(crate) fn recall_fin(&mut self, index: u32) {
        let Some(flow) = self.flows.at_mut(index) else { return };
        let (Some(key), Some(fin), Some((ack, window))) = (flow.key, flow.early_fin, flow.heard_ack) else {
            return;
        };
        // Behind what has arrived the peer has contradicted itself; the data came first.
        let is_past = flow.rcv_nxt().is_some_and(|next| next.wrapping_sub(fin) as i32 > 0);
        if flow.finished || is_past {
            flow.early_fin = None;
        } else if flow.rcv_nxt() == Some(fin) {
            flow.early_fin = None;
            self.counters.fins_recalled += 1;
            let segment = PureAck::fin_from_peer(key, (fin, ack), window);
            let tcp = Tcp {
                source_port: key.remote().1,
                destination_port: key.local().1,
                seq: fin,
                ack,
                flags: FIN | ACK,
                window,
                payload_len: 0,
            };
            self.segment(index, segment.bytes(), &tcp);
        }
    }
}
