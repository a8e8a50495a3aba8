//! Receive coalescing: in-order segments of one connection become one before smoltcp sees them.
//!
//! Receives segments that the guard has passed and hands smoltcp fewer, longer ones: most of what a
//! segment costs is the same however long it is. Only what sequence numbers make one stretch of data
//! is merged: the first is the next one the connection waits for (merging out-of-order segments
//! would swallow the duplicate acknowledgments that the sender recovers by), the others follow it
//! without a gap, and all say the same about acknowledgment, window and options. PSH ends a run. A
//! segment that stays alone is not copied.
//!
//! Of acknowledgments that follow each other, each for more, only the last is handed on: it says all the others said.
//! Duplicates, selective ones and changes of the window are never among them, nor any while the congestion window is
//! what limits a connection: smoltcp grows it by the acknowledgment, not by the byte.

use crate::Stack;
use crate::flow::Flow;
use crate::ipv4::{self, ACK, PSH, Tcp};
use crate::ipv6;
use crate::packet::{Ends, Packet};
use smoltcp::socket::tcp::State;

/// Longest merged packet: what an IPv4 total length can say (an IPv6 packet may be longer).
const LEN_MAX: usize = 65_535;

/// A segment that waits for its successors, for the time of one burst of frames.
pub(crate) struct Held<'a> {
    index: u32,
    packet: Packet<'a>,
    tcp: Tcp,
    /// The sequence number its successor has.
    next: u32,
    /// Successors have been added: the bytes are in `Stack::merged`.
    merged: bool,
}

/// Whether a segment is plain data: nothing in it but ACK and perhaps PSH.
fn is_plain(tcp: &Tcp) -> bool {
    tcp.payload_len > 0 && tcp.flags & !PSH == ACK
}

/// Whether a segment may be the first of a run.
#[inline(always)]
fn may_lead(flow: &Flow, state: State, tcp: &Tcp) -> bool {
    is_plain(tcp)
        && tcp.flags & PSH == 0
        && matches!(state, State::Established | State::FinWait1 | State::FinWait2)
        && flow.rcv_nxt() == Some(tcp.seq)
}

/// Whether a segment acknowledges more than is known and says nothing else. Not once our FIN is out: guard (c) has to
/// know what was acknowledged before it judges the next segment.
#[inline(always)]
fn may_wait(flow: &Flow, state: State, packet: &Packet<'_>, tcp: &Tcp) -> bool {
    tcp.flags == ACK
        && packet.payload.len() == ipv4::TCP_HEADER_LEN
        && state == State::Established
        && flow.rcv_nxt() == Some(tcp.seq)
        && flow.snd_una().is_some_and(|una| tcp.ack.wrapping_sub(una) as i32 > 0)
        && flow.heard_ack.is_some_and(|(_, window)| window == tcp.window)
        && !flow.meter.is_limited()
}

impl<'a> Held<'a> {
    /// Whether another acknowledgment says all that this one says, and more.
    #[inline(always)]
    fn is_overtaken_by(&self, index: u32, packet: &Packet<'_>, tcp: &Tcp) -> bool {
        self.index == index
            && tcp.flags == ACK
            && packet.payload.len() == ipv4::TCP_HEADER_LEN
            && self.tcp.seq == tcp.seq
            && self.tcp.window == tcp.window
            && tcp.ack.wrapping_sub(self.tcp.ack) as i32 > 0
    }

    #[inline(always)]
    fn is_followed_by(&self, index: u32, packet: &Packet<'_>, tcp: &Tcp, len: usize) -> bool {
        self.index == index
            && self.tcp.payload_len > 0
            && self.next == tcp.seq
            && self.tcp.ack == tcp.ack
            && self.tcp.window == tcp.window
            && is_plain(tcp)
            && options(&self.packet, &self.tcp) == options(packet, tcp)
            && len + tcp.payload_len as usize <= LEN_MAX
    }
}

/// Everything between the fixed TCP header and the data.
#[inline(always)]
fn options<'p>(packet: &Packet<'p>, tcp: &Tcp) -> &'p [u8] {
    &packet.payload[ipv4::TCP_HEADER_LEN..packet.payload.len() - tcp.payload_len as usize]
}

impl Stack {
    /// Takes a segment that the guard has passed: keeps it for the next one, adds it to the one that
    /// is kept, or hands both on.
    #[inline(always)]
    pub(crate) fn coalesce<'a>(
        &mut self,
        held: &mut Option<Held<'a>>,
        index: u32,
        packet: &Packet<'a>,
        tcp: &Tcp,
    ) {
        if let Some(first) = held {
            let len = if first.merged { self.merged.len() } else { first.packet.bytes.len() };
            if first.is_followed_by(index, packet, tcp, len) {
                if !first.merged {
                    first.merged = true;
                    self.merged.clear();
                    self.merged.extend_from_slice(first.packet.bytes);
                }
                let data = packet.payload.len() - tcp.payload_len as usize;
                self.merged.extend_from_slice(&packet.payload[data..]);
                self.counters.rx_tcp_merged += 1;
                first.next = first.next.wrapping_add(tcp.payload_len);
                first.tcp.flags |= tcp.flags;
                if tcp.flags & PSH != 0 {
                    self.flush(held);
                }
                return;
            }
            if first.tcp.payload_len == 0 && first.is_overtaken_by(index, packet, tcp) {
                self.counters.rx_tcp_merged += 1;
                (first.packet, first.tcp) = (*packet, *tcp);
                return;
            }
            self.flush(held);
            // What was kept back may have changed what the guard goes by: a FIN that overtook it counts now.
            self.counters.rx_tcp -= 1;
            if !self.passes(index, tcp) {
                return;
            }
        }
        let Some(flow) = self.flows.at(index) else { return };
        let state = flow.state();
        if may_lead(flow, state, tcp) || may_wait(flow, state, packet, tcp) {
            let next = tcp.seq.wrapping_add(tcp.payload_len);
            *held = Some(Held { index, packet: *packet, tcp: *tcp, next, merged: false });
        } else {
            self.segment(index, packet.bytes, tcp);
        }
    }

    /// Hands on what is kept.
    pub(crate) fn flush(&mut self, held: &mut Option<Held<'_>>) {
        let Some(held) = held.take() else { return };
        if !held.merged {
            return self.segment(held.index, held.packet.bytes, &held.tcp);
        }
        let mut merged = std::mem::take(&mut self.merged);
        // At most LEN_MAX. The header checksum is not looked at again.
        let len = merged.len() as u16;
        match held.packet.ends {
            Ends::V4 { .. } => merged[2..4].copy_from_slice(&len.to_be_bytes()),
            Ends::V6 { .. } => merged[4..6].copy_from_slice(&(len - ipv6::HEADER_LEN as u16).to_be_bytes()),
        }
        let flags_at = held.packet.bytes.len() - held.packet.payload.len() + ipv4::TCP_FLAGS_AT;
        merged[flags_at] = held.tcp.flags;
        self.segment(held.index, &merged, &held.tcp);
        self.merged = merged;
    }
}

#[cfg(test)]
#[path = "coalesce_tests.rs"]
mod tests;
