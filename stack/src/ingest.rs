//! From the card to the connections: each frame is taken apart, checked, and handed to whom it is
//! for, or dropped into a counter with a name.
//!
//! Receives frames in pages; what becomes of a page is decided on the way and done at its end (`receive`). Replies that
//! arise (ARP, echo, reset, immediate acknowledgments) wait for the next egress, boundedly.

use crate::Stack;
use crate::coalesce::{self, Run};
use crate::contain::contained;
use crate::demux::FlowKey;
use crate::ether;
use crate::flow::{Flow, Owner, instant};
use crate::guard::{self, Verdict};
use crate::internet::Arrival;
use crate::ipv4::{self, ACK, FIN, RST, SYN, Tcp};
use crate::packet::Packet;
use crate::port::Port;
use crate::receive::{Fate, Keep, Then};
use crate::segment::PureAck;
use crate::status::Failure;
use naio_nic::{Mac, RxChecksum, RxFrame};
use naio_sys::clock::Time;
use smoltcp::iface::Interface;
use smoltcp::socket::tcp::State;

/// What smoltcp made of a segment.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Taken {
    /// Bytes by which its receive queue has grown.
    pub(crate) growth: usize,
    /// It answered at once.
    pub(crate) answered: bool,
}

impl Stack {
    /// Takes in all frames, oldest first. Their pages are kept as long as somebody is to read from them; all others
    /// are in [`spare`](Stack::spare) from now on. What the frames changed shows in [`ready`](Stack::ready); what
    /// answers them leaves with the next [`egress`](Stack::egress). Without frames it only ends the wait for more that
    /// [`Config::rx_coalesce`](crate::Config::rx_coalesce) allows.
    ///
    /// # Panics
    /// If a page is not one of the receive pool that the stack was made with.
    pub fn ingest(&mut self, now: Time, frames: &mut Vec<RxFrame>) {
        self.now = self.now.max(now);
        self.counters.frames += frames.len() as u64;
        let pool = self.store.pool().clone();
        let is_idle = frames.is_empty();
        self.flush_overdue();
        let mut frames = frames.drain(..);
        loop {
            self.follow(&mut frames);
            let Some(RxFrame { page, offset, len, checksum }) = frames.next() else { break };
            let start = usize::from(offset);
            let fate = match pool.bytes(&page).get(start..start + usize::from(len)) {
                Some(bytes) => self.frame(bytes, checksum == RxChecksum::Good),
                None => {
                    self.counters.drop_ether_length += 1;
                    Fate::Spent
                }
            };
            // A page is at most 16 KiB long.
            self.conclude(fate, page, offset + ether::HEADER_LEN as u16);
        }
        self.flush_due(is_idle);
        if self.neighbors.take_changed() {
            self.wake_waiting();
        }
    }

    /// The common frame, an IPv4 packet for us alone, goes one way that is inlined from here to
    /// `coalesce`; everything else costs a call.
    #[inline]
    fn frame(&mut self, bytes: &[u8], verified: bool) -> Fate {
        let Some(frame) = ether::parse(bytes) else {
            self.counters.drop_ether_length += 1;
            return Fate::Spent;
        };
        if self.dhcp.is_some() && self.dhcp_frame(bytes) {
            return Fate::Spent;
        }
        if frame.destination == self.outbox.mac && frame.ether_type == ether::TYPE_IPV4 {
            let arrival = Arrival { station: frame.source, unicast: true, verified };
            return self.ipv4(frame.payload, arrival);
        }
        self.rare_frame(&frame, verified)
    }

    #[inline(never)]
    fn rare_frame(&mut self, frame: &ether::Frame<'_>, verified: bool) -> Fate {
        let for_us = frame.destination == self.outbox.mac;
        if !for_us && frame.destination != Mac::BROADCAST && !self.groups.hears_station(frame.destination) {
            self.counters.drop_ether_address += 1;
            return Fate::Spent;
        }
        let arrival = Arrival { station: frame.source, unicast: for_us, verified };
        match frame.ether_type {
            ether::TYPE_IPV4 => return self.ipv4_cast(frame.payload, arrival),
            ether::TYPE_IPV6 if self.autoconf.is_some() => return self.ipv6(frame.payload, arrival),
            ether::TYPE_ARP => self.arp(frame.payload),
            _ => self.counters.drop_ether_type += 1,
        }
        Fate::Spent
    }

    /// What [`tcp`](Stack::tcp) is, for segments that came another way than most.
    #[inline(never)]
    pub(crate) fn rare_tcp(&mut self, packet: &Packet<'_>, station: Mac) -> Fate {
        self.tcp(packet, false, station)
    }

    #[inline(always)]
    pub(crate) fn tcp(&mut self, packet: &Packet<'_>, verified: bool, station: Mac) -> Fate {
        let Some(tcp) = ipv4::parse_tcp(packet.payload) else {
            self.counters.drop_tcp_header += 1;
            return Fate::Spent;
        };
        if !verified && !packet.checksum_is_valid() {
            self.counters.drop_tcp_checksum += 1;
            return Fate::Spent;
        }
        let key = FlowKey::of_received(packet.ends, tcp.source_port, tcp.destination_port);
        match self.demux.find(key) {
            Some(index) if !self.makes_way(index, &tcp) => self.guarded(index, packet, &tcp),
            _ => self.stranger(key, packet, &tcp, station),
        }
    }

    /// A SYN beyond everything a connection in TIME-WAIT has received opens a new one in its place
    /// (RFC 9293 3.10.7.4, "TIME-WAIT STATE").
    #[inline(always)]
    fn makes_way(&mut self, index: u32, tcp: &Tcp) -> bool {
        if tcp.flags & (SYN | ACK | RST) != SYN {
            return false;
        }
        let Some(flow) = self.flows.at(index) else { return true };
        let newer = flow.acked.is_some_and(|acked| tcp.seq.wrapping_sub(acked) as i32 > 0);
        let way = flow.state() == State::TimeWait && newer;
        if way {
            self.finish(index);
        }
        way
    }

    /// A segment for a connection we know.
    #[inline(always)]
    fn guarded(&mut self, index: u32, packet: &Packet<'_>, tcp: &Tcp) -> Fate {
        if tcp.flags & (SYN | RST | FIN) != 0 {
            // Judged by the number it should have, which what is kept back decides.
            self.flush(index);
        }
        if !self.passes(index, tcp) || self.is_too_far_ahead(index, tcp) {
            return Fate::Spent;
        }
        if tcp.flags & (SYN | FIN) != 0 {
            self.note_flags(index, packet, tcp);
        }
        self.coalesce(index, packet, tcp)
    }

    /// Whether a segment that came before its turn is one too many for all connections together: dropped as if the
    /// network had. What is in order is never refused, so a connection that waits for its gap to be closed goes on.
    #[inline(always)]
    fn is_too_far_ahead(&mut self, index: u32, tcp: &Tcp) -> bool {
        let too_much = self.store.ahead + tcp.payload_len as usize > self.config.rx_ahead_bytes_max;
        if !too_much || tcp.payload_len == 0 {
            return false;
        }
        let next = self.flows.at(index).and_then(Flow::rcv_nxt);
        // Of the same connection what is kept back comes first.
        let next = self.runs.iter().find(|run| run.index() == index).map(Run::next).or(next);
        let is_ahead = next.is_some_and(|next| tcp.seq.wrapping_sub(next) as i32 > 0);
        if is_ahead {
            self.counters.rx_tcp -= 1;
            self.counters.drop_tcp_ahead += 1;
        }
        is_ahead
    }

    /// Whether the guard lets a segment through; counts it, whatever it says.
    #[inline(always)]
    pub(crate) fn passes(&mut self, index: u32, tcp: &Tcp) -> bool {
        let Some(flow) = self.flows.at(index) else {
            // Its connection ended a moment ago, with what was kept back.
            self.counters.drop_tcp_unknown += 1;
            return false;
        };
        let verdict = guard::inspect(flow, flow.state(), tcp);
        match verdict {
            Verdict::Pass => self.counters.rx_tcp += 1,
            Verdict::BeyondRing => self.counters.drop_tcp_beyond_ring += 1,
            Verdict::BehindFin => self.counters.drop_tcp_behind_fin += 1,
            Verdict::Simultaneous => self.counters.drop_tcp_simultaneous += 1,
            Verdict::Early => self.counters.drop_tcp_early += 1,
            Verdict::RepeatedAck => self.counters.drop_tcp_repeated_ack += 1,
            Verdict::NoAck => self.counters.drop_tcp_no_ack += 1,
            Verdict::RepeatedSyn => self.counters.drop_tcp_repeated_syn += 1,
            Verdict::Reset => self.counters.drop_tcp_reset += 1,
            Verdict::Challenge => {
                self.counters.drop_tcp_challenged += 1;
                self.challenge(index);
            }
        }
        verdict == Verdict::Pass
    }

    /// A segment that is not one of a run.
    #[inline]
    pub(crate) fn segment_alone(&mut self, index: u32, packet: &Packet<'_>, tcp: &Tcp) -> Fate {
        let Some(flow) = self.flows.at(index) else { return Fate::Spent };
        let (next, edge, offset) = (flow.rcv_nxt(), flow.window_edge(), flow.received());
        let ahead = if tcp.payload_len == 0 { None } else { flow.admits_ahead(tcp) };
        let start = coalesce::headers_len(packet, tcp);
        let Taken { growth, answered } = self.segment(index, &packet.bytes[..start], tcp);
        if growth > 0 {
            // The segment has the byte that was waited for, and its bytes are the latest as far as the window goes.
            let Some(next) = next else { return Fate::Spent };
            let before = next.wrapping_sub(tcp.seq);
            let inside = edge.map_or(u32::MAX, |edge| edge.wrapping_sub(next));
            let len = tcp.payload_len.saturating_sub(before).min(growth as u32);
            // What it has beyond the window smoltcp has cut off: what had come ahead counts there.
            let has_more = self.flows.at(index).is_some_and(|flow| {
                inside < len && flow.reassembly.ahead.reaches(offset + u64::from(inside))
            });
            let len = if has_more { inside } else { len };
            // Offsets in a packet of at most 65 535 bytes.
            let (start, len) = ((start as u32 + before.min(tcp.payload_len)) as u16, len as u16);
            return Fate::Kept(Keep { index, start, len, then: Then::Settle { offset, growth } });
        }
        let flow = self.flows.at_mut(index).filter(|flow| flow.owner != Owner::Nobody);
        // What it takes ahead of its turn smoltcp answers at once; not what it cannot read, or has no room to remember.
        if let (Some(flow), Some((at, len)), true) = (flow, ahead, answered) {
            let bytes = &packet.bytes[start..start + len];
            self.counters.ahead_kept += u64::from(flow.reassembly.ahead.insert(&mut self.store, at, bytes));
        }
        Fate::Spent
    }

    /// A segment, or several as one, for smoltcp, which sees `headers` and zeros for the payload.
    #[inline]
    pub(crate) fn segment(&mut self, index: u32, headers: &[u8], tcp: &Tcp) -> Taken {
        let Some(flow) = self.flows.at(index) else { return Taken::default() };
        let (before, unacknowledged) = (flow.state(), flow.socket().send_queue());
        let unread = flow.socket().recv_queue();
        self.acknowledge_in_pieces(index, tcp);
        let answered = if tcp.payload_len == 0 {
            self.deliver(index, headers, None)
        } else {
            let mut bare = std::mem::take(&mut self.bare);
            let answered = self.deliver(index, bare.packet(headers, tcp.payload_len as usize), None);
            self.bare = bare;
            answered
        };
        let Some(flow) = self.flows.at_mut(index) else { return Taken::default() };
        let growth = flow.socket().recv_queue().saturating_sub(unread);
        flow.heard = self.now;
        flow.meter.segments_received += 1;
        if tcp.has(ACK) {
            flow.meter.acknowledged(self.now, tcp.ack);
            self.counters.losses_in_vain += u64::from(flow.heard_of_losses(self.now, headers, tcp));
        }
        let acknowledged = unacknowledged.saturating_sub(flow.socket().send_queue());
        flow.grow_window(self.now, acknowledged);
        // A closed window is no failure of the peer's (RFC 9293 3.8.6.1).
        if tcp.window == 0 || flow.socket().send_queue() != unacknowledged {
            flow.progress = self.now;
        }
        self.after_segment(index, before, tcp);
        Taken { growth, answered }
    }

    /// Lets smoltcp see a packet; `iface` is the common one unless given. Whether it answered at once.
    #[inline]
    pub(crate) fn deliver(&mut self, index: u32, packet: &[u8], iface: Option<&mut Interface>) -> bool {
        let full = self.replies_are_full();
        let unresolved = self.counters.tx_unresolved;
        let mtu = self.outbox.mtu();
        let Some(flow) = self.flows.at_mut(index) else { return false };
        let (to, emitted) = (if full { None } else { flow.mac }, flow.emitted());
        let (set, source) = flow.parts(mtu);
        let mut port = Port {
            received: Some(packet),
            packets: &mut self.replies,
            outbox: &mut self.outbox,
            counters: &mut self.counters,
            caps: &self.caps,
            to,
            source,
            emitted,
        };
        let iface = iface.unwrap_or(&mut self.iface);
        let at = instant(self.now);
        if contained(|| iface.poll_ingress_single(at, &mut port, set)).is_none() {
            self.broken(index, packet);
            return false;
        }
        let emitted = port.emitted;
        flow.note(self.now, emitted);
        flow.forget_acknowledged(&mut self.outbox.extents);
        if full {
            // It is not the station that was missing.
            let lost = self.counters.tx_unresolved - unresolved;
            self.counters.tx_unresolved = unresolved;
            self.counters.tx_replies_full += lost;
        }
        emitted.segments > 0
    }

    /// What a segment changed: states, timers, who has something to notice.
    #[inline]
    pub(crate) fn after_segment(&mut self, index: u32, before: State, tcp: &Tcp) {
        let Some(flow) = self.flows.at_mut(index) else { return };
        let after = flow.state();
        let repeated = flow.heard_ack == Some((tcp.ack, tcp.window)) && tcp.payload_len == 0;
        // Nothing is repeated when nothing is under way (RFC 5681 2, "duplicate acknowledgment").
        let repeated = repeated && flow.sent_end.is_some_and(|end| end != tcp.ack);
        flow.repeated_acks = if repeated { flow.repeated_acks.saturating_add(1) } else { 0 };
        // The window of a SYN is never scaled (RFC 7323 2.2).
        let shift = if tcp.has(SYN) { flow.peer.shift.unwrap_or(0) } else { 0 };
        flow.heard_ack = Some((tcp.ack, tcp.window >> shift));
        flow.note_window(self.now, tcp);
        if matches!(before, State::SynSent | State::Listen) && tcp.has(SYN) {
            // Until our first acknowledgment leaves, the ring starts behind the SYN.
            flow.acked = Some(tcp.seq.wrapping_add(1));
            if before == State::SynSent {
                // smoltcp counts the SYN as acknowledged by itself.
                flow.offered_at = Some(tcp.seq);
            }
        }
        if flow.outstanding_since.is_some() && !flow.is_outstanding() {
            flow.outstanding_since = None;
        }
        // A user that has closed takes no more data: the peer should know (RFC 1122 4.2.2.13).
        if flow.owner == Owner::Nobody && flow.socket().recv_queue() > 0 {
            return self.break_off(index, None);
        }
        if before != after && !self.after_transition(index, before, after, tcp) {
            return;
        }
        if before != after {
            self.note_orphan(index);
        }
        if tcp.window == 0 && after == State::FinWait2 {
            self.repair_zero_window(index, tcp);
        }
        self.mark_dirty(index);
        self.touch(index);
        if self.flows.at(index).is_some_and(|flow| flow.early_fin.is_some()) {
            self.recall_fin(index);
        }
    }

    /// False if the connection ended.
    fn after_transition(&mut self, index: u32, before: State, after: State, tcp: &Tcp) -> bool {
        let now = self.now;
        let Some(flow) = self.flows.at_mut(index) else { return false };
        if matches!(before, State::SynSent | State::SynReceived)
            && matches!(after, State::Established | State::CloseWait)
            && let Some(key) = flow.key
        {
            flow.begin_slow_start(now, self.outbox.mss(key.ends_of_sent()));
        }
        match after {
            State::CloseWait | State::Closing | State::LastAck => flow.finished = true,
            State::TimeWait => {
                flow.finished = true;
                flow.time_wait_since = Some(now);
                flow.limit = None;
            }
            _ => {}
        }
        match after {
            State::Closed => {
                if tcp.has(RST) {
                    let failure = if before == State::SynSent { Failure::Refused } else { Failure::Reset };
                    flow.failure = flow.failure.or(Some(failure));
                    self.counters.resets += 1;
                    if let Some(key) = flow.key {
                        log::debug!("connection to {:?}: {failure}", key.remote());
                    }
                }
                self.finish(index);
                return false;
            }
            // smoltcp listens again after a reset in SYN-RECEIVED; our listeners do that themselves.
            State::Listen => {
                self.finish(index);
                return false;
            }
            State::Established | State::CloseWait if before == State::SynReceived => self.established(index),
            State::Established => flow.limit = None,
            _ => {}
        }
        true
    }

    /// A passive open is complete: it waits to be accepted.
    fn established(&mut self, index: u32) {
        let now = self.now;
        let Some(flow) = self.flows.at_mut(index) else { return };
        flow.limit = None;
        if let Owner::Listener(at) = flow.owner
            && let Some(listener) = self.listeners.at_mut(at)
        {
            listener.remove_embryonic(now);
            listener.queue.push_back(index);
            self.counters.accepts += 1;
        }
    }

    /// Guard (d): with a zero window, smoltcp enters FIN-WAIT-2 with its probe timer running and then
    /// emits an acknowledgment on every visit, for ever. The same acknowledgment with a window of
    /// one stops that timer; there is nothing left to send into the window.
    fn repair_zero_window(&mut self, index: u32, tcp: &Tcp) {
        let Some(flow) = self.flows.at(index) else { return };
        let (Some(key), Some(seq)) = (flow.key, flow.rcv_nxt()) else { return };
        let ack = PureAck::from_peer(key, (seq, tcp.ack), 1);
        self.counters.zero_window_repaired += 1;
        self.deliver(index, ack.bytes(), None);
    }

    pub(crate) fn replies_are_full(&self) -> bool {
        self.replies.len() >= self.config.replies_max
    }
}
