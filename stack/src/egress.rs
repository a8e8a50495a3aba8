//! From the connections to the card, and everything that happens because time passes.
//!
//! Hands on packets: waiting replies, ARP requests, and whatever smoltcp emits for connections that
//! are dirty (something came in, a user did something, a timer is due). One visit per connection
//! and burst, bounded; a connection whose next hop is not known is not visited at all, so smoltcp
//! never meets a device that refuses (guard b).

use crate::Stack;
use crate::arp;
use crate::autoconf::Autoconf;
use crate::contain::contained;
use crate::datagram::NetworkError;
use crate::ether;
use crate::flow::{Owner, instant, time};
use crate::neighbor::Resolution;
use crate::pmtu;
use crate::port::{Emitted, Port};
use crate::segment::PureAck;
use crate::status::Failure;
use naio_nic::{ExtentId, Mac, TxPacket};
use naio_sys::clock::Time;
use smoltcp::iface::PollResult;
use smoltcp::socket::tcp::State;
use std::net::IpAddr;
use std::time::Duration;

/// How long smoltcp stays in TIME-WAIT (its `CLOSE_DELAY`), for sockets whose users keep them.
const TIME_WAIT: Duration = Duration::from_secs(10);
/// Turns of each connection in one egress, at the most: even one that always says that it has more (guard d).
const ROUNDS_MAX: usize = 8;
/// Transmit pages that one long packet may take.
const CUT_PAGES_MAX: usize = 8;
/// How often a connection that has to wait for something outside is looked at.
const RECHECK: Duration = Duration::from_secs(1);

impl Stack {
    /// Appends packets for the card, at most `room`, in the order they are to leave. What finds no
    /// room, or no free page, stays for the next call.
    pub fn egress(&mut self, now: Time, room: usize, out: &mut Vec<TxPacket>) {
        self.now = self.now.max(now);
        self.relieve();
        let end = out.len() + room;
        self.egress_requests(end, out);
        self.egress_posted(end, out);
        if self.dhcp.as_ref().is_some_and(|client| client.is_due(self.now)) {
            self.egress_dhcp(end, out);
        }
        // Several rounds, as long as the card has room: a turn costs more than a visit.
        let visits = self.dirty.len().saturating_mul(ROUNDS_MAX);
        self.emitted_bytes = 0;
        for _ in 0..visits {
            let is_full = out.len() >= end || self.outbox.extents.idle() == 0;
            if is_full || self.emitted_bytes >= self.config.egress_bytes_per_turn {
                break;
            }
            let Some(index) = self.dirty.pop_front() else { break };
            self.visit(index, end, out);
        }
        self.note_starved();
        self.egress_requests(end, out);
    }

    fn egress_requests(&mut self, end: usize, out: &mut Vec<TxPacket>) {
        while out.len() < end {
            let Some((address, to)) = self.neighbors.next_request() else { break };
            let address = match address {
                IpAddr::V4(address) => address,
                IpAddr::V6(address) => {
                    self.solicit_neighbor(address, to);
                    continue;
                }
            };
            self.counters.tx_arp_request += 1;
            let request = arp::request((self.outbox.mac, self.route.address()), address);
            let kind = (to.unwrap_or(Mac::BROADCAST), ether::TYPE_ARP);
            self.outbox.other(out, &mut self.counters, kind, &request);
        }
        let replies = self.replies.len().min(end.saturating_sub(out.len()));
        out.extend(self.replies.drain(..replies));
    }

    fn visit(&mut self, index: u32, end: usize, out: &mut Vec<TxPacket>) {
        let now = self.now;
        let Some(flow) = self.flows.at_mut(index) else { return };
        if !std::mem::take(&mut flow.dirty) || !flow.bound {
            return;
        }
        if flow.is_outstanding() {
            flow.outstanding_since.get_or_insert(now);
        }
        if flow.patience(self.config.user_timeout).is_some_and(|end| now > end) {
            return self.give_up(index, Failure::TimedOut);
        }
        match self.neighbors.resolve(now, flow.next_hop, &mut self.counters) {
            Resolution::Known(mac) => flow.mac = Some(mac),
            Resolution::Failed if flow.unsent => return self.give_up(index, Failure::Unreachable),
            // Only the reset of an abort is left, and it is not worth waiting for.
            Resolution::Failed if flow.state() == State::Closed => return self.finish(index),
            // It only waits for time to pass; its tombstone can do that.
            Resolution::Failed if flow.owner == Owner::Nobody && flow.state() == State::TimeWait => {
                return self.bury(index);
            }
            Resolution::Pending | Resolution::Failed => {
                if !flow.waiting {
                    flow.waiting = true;
                    self.waiting.push(index);
                }
                let recheck = now.after(RECHECK);
                self.wheel.set(index, Some(flow.limit.map_or(recheck, |limit| limit.min(recheck))));
                return;
            }
        }
        if flow.unsent {
            self.start(index);
        }
        if self.flows.at(index).is_some_and(|flow| flow.recovery.is_due(now)) {
            self.recover(index);
        }
        self.watch_slow_start(index);
        self.release_fin(index);
        self.emit(index, end, out);
    }

    /// Tells smoltcp to connect; its SYN leaves in the same visit.
    pub(crate) fn start(&mut self, index: u32) {
        let now = self.now;
        let Some(flow) = self.flows.at_mut(index) else { return };
        let Some(key) = flow.key else { return };
        flow.unsent = false;
        flow.progress = now;
        let seed = flow.seed(self.key, now);
        let mut iface = self.interface(key.local().0, seed);
        let Some(flow) = self.flows.at_mut(index) else { return };
        // The socket is closed and the addresses were checked by `connect`: it has no reason to
        // refuse, and if it did, the connect timeout would end it.
        let _ = flow.socket_mut().connect(iface.context(), key.remote(), key.local());
    }

    /// Lets smoltcp send what it wants to send, boundedly (guard d), and arms the timer.
    fn emit(&mut self, index: u32, end: usize, out: &mut Vec<TxPacket>) {
        let now = self.now;
        let is_wide = self.may_be_cut(index);
        if !is_wide {
            self.prepare_path(index);
        }
        let Some(flow) = self.flows.at_mut(index) else { return };
        if flow.state() == State::TimeWait
            && flow.owner == Owner::User
            && flow.socket().recv_queue() > 0
            && flow.time_wait_since.is_some_and(|since| now >= since.after(TIME_WAIT))
        {
            // At the end of TIME-WAIT smoltcp clears its rings; the user has not read them yet.
            self.wheel.set(index, Some(now.after(RECHECK)));
            return;
        }
        let Some((done, emitted)) = self.emit_some(index, is_wide, end, out) else {
            return self.broken(index, &[]);
        };
        let Some(flow) = self.flows.at_mut(index) else { return };
        flow.note(now, emitted);
        if done {
            flow.observe_congestion_window(emitted);
        }
        if flow.repeats_large(emitted) {
            self.suspect_black_hole(index);
        }
        let Some(flow) = self.flows.at(index) else { return };
        if flow.state() == State::Closed && flow.socket().local_endpoint().is_none() {
            return self.finish(index);
        }
        if done && flow.owner == Owner::Nobody && flow.state() == State::TimeWait {
            return self.bury(index);
        }
        if !done {
            self.counters.egress_bounded += 1;
            self.mark_dirty(index);
            return;
        }
        self.plan(index, is_wide);
    }

    /// As much as the connection's turn is worth: deficit round-robin, so that one that sends long packets gets no more
    /// of the wire than one that sends short ones. Whether that was all, and what it was; `None` if smoltcp panicked.
    #[inline]
    fn emit_some(
        &mut self,
        index: u32,
        is_wide: bool,
        end: usize,
        out: &mut Vec<TxPacket>,
    ) -> Option<(bool, Emitted)> {
        let at = instant(self.now);
        let mtu = self.outbox.mtu();
        let flow = self.flows.at_mut(index)?;
        let iface = match is_wide {
            true => &mut self.wide,
            false => pmtu::interface(&mut self.paths, &mut self.iface, flow.path_mtu),
        };
        // What it sent too much the last time is taken off.
        let quantum = self.config.egress_bytes_per_visit.saturating_sub(flow.overdrawn).max(1);
        let (to, emitted, is_quiet) = (flow.mac, flow.emitted(), flow.is_quiet());
        let (set, source) = flow.parts(mtu);
        let mut port = Port {
            received: None,
            packets: out,
            outbox: &mut self.outbox,
            counters: &mut self.counters,
            caps: &self.caps,
            to,
            source,
            emitted,
        };
        let bound = end.min(port.packets.len() + self.config.egress_per_visit);
        let mut done = false;
        while !done
            && port.packets.len() < bound
            && (port.emitted.bytes as usize) < quantum
            && port.outbox.extents.idle() > 0
        {
            done = contained(|| iface.poll_egress(at, &mut port, set))? == PollResult::None;
            // One acknowledgment says everything; another look would find that out.
            done |= is_quiet && port.emitted.segments > 0;
        }
        let emitted = port.emitted;
        self.emitted_bytes += emitted.bytes as usize;
        flow.overdrawn = if done { 0 } else { (emitted.bytes as usize).saturating_sub(quantum) };
        Some((done, emitted))
    }

    /// When the connection wants to be looked at again, though nothing is heard.
    fn plan(&mut self, index: u32, is_wide: bool) {
        let now = self.now;
        let at = instant(now);
        let Some(flow) = self.flows.at(index) else { return };
        if flow.is_quiet() && flow.is_left_alone() {
            return self.wheel.set(index, flow.limit);
        }
        // The same one that it was emitted with: when smoltcp sends depends on the segment size.
        let iface = if is_wide { &mut self.wide } else { &mut self.iface };
        let Some(mut due) = contained(|| iface.poll_at(at, &flow.set).map(time)) else {
            return self.broken(index, &[]);
        };
        if due.is_none() && flow.is_outstanding() {
            self.restart_persist(index);
            let Some(flow) = self.flows.at_mut(index) else { return };
            // In LAST-ACK even that starts nothing; then only the user timeout is left, which looks
            // again at the next visit.
            let Some(again) = contained(|| self.iface.poll_at(at, &flow.set).map(time)) else {
                return self.broken(index, &[]);
            };
            due = Some(again.unwrap_or(now.after(RECHECK)));
        }
        let Some(flow) = self.flows.at_mut(index) else { return };
        let ends = [due, flow.limit, flow.patience(self.config.user_timeout), flow.plan_probe()];
        let due = ends.into_iter().flatten().min();
        // "Now" again, though it has nothing to send: a moment later, never in a tight loop.
        self.wheel.set(index, due.map(|due| due.max(now)));
    }

    /// Whether smoltcp may emit segments longer than the peer takes: somebody below cuts them, and what has to be
    /// copied for one fits into a few pages. Not before the handshake is over: a SYN says our real segment size.
    fn may_be_cut(&self, index: u32) -> bool {
        let Some(flow) = self.flows.at(index) else { return false };
        let is_v4 = flow.key.is_some_and(|key| key.remote().0.is_ipv4());
        let extents = &self.outbox.extents;
        let pages = flow.stream.pages(extents.page_len());
        let is_handshake = matches!(flow.state(), State::SynSent | State::SynReceived);
        self.outbox.cuts(is_v4) && !is_handshake && pages <= extents.idle().min(CUT_PAGES_MAX)
    }

    /// Guard (m): if the peer's window closes while smoltcp's retransmission timer runs, the timeout
    /// finds nothing that may be sent and leaves no timer at all. Unless the peer opens the window by
    /// itself, and that segment arrives, nothing ever moves again. An acknowledgment that says what is
    /// known already (everything up to SND.UNA, window closed) starts the persist timer.
    fn restart_persist(&mut self, index: u32) {
        let Some(flow) = self.flows.at(index).filter(|flow| flow.socket().send_queue() > 0) else { return };
        let (Some(key), Some(seq), Some(ack)) = (flow.key, flow.rcv_nxt(), flow.snd_una()) else { return };
        let packet = PureAck::from_peer(key, (seq, ack), 0);
        self.counters.persist_restarted += 1;
        self.deliver(index, packet.bytes(), None);
    }

    /// A connection in TIME-WAIT that nobody holds any more: its socket and its rings go, its name on
    /// the network stays for a while.
    fn bury(&mut self, index: u32) {
        let Some(flow) = self.flows.at(index) else { return };
        if let (Some(key), Some(sent_end), Some(received_end)) = (flow.key, flow.sent_end, flow.acked) {
            let evicts = self.tombstones.insert(self.now, key, sent_end, received_end);
            self.counters.time_waits_evicted += u64::from(evicts);
        }
        self.finish(index);
    }

    /// A connection ends because nothing is heard.
    pub(crate) fn give_up(&mut self, index: u32, failure: Failure) {
        self.counters.timeouts += 1;
        // The network said why, though it was no reason to give up at once (RFC 1122 4.2.3.9).
        let soft = self.flows.at(index).and_then(|flow| flow.soft);
        let said = matches!(soft, Some(NetworkError::Unreachable | NetworkError::Prohibited));
        let failure = if said { Failure::Unreachable } else { failure };
        if let Some(key) = self.flows.at(index).and_then(|flow| flow.key) {
            log::info!("connection to {:?} given up: {failure}", key.remote());
        }
        self.break_off(index, Some(failure));
    }

    /// Lets time pass: timers that are due, questions to neighbours, connections that took too long.
    pub fn expire(&mut self, now: Time) {
        self.now = self.now.max(now);
        let now = self.now;
        self.fragments.expire(now, &mut self.counters);
        self.expire_autoconf();
        self.expire_groups();
        self.neighbors.expire(now, &mut self.counters);
        if self.neighbors.take_changed() {
            self.wake_waiting();
        }
        self.tombstones.expire(now);
        self.progress_dns();
        let mut expired = std::mem::take(&mut self.expired);
        self.wheel.expire(now, &mut expired);
        for index in expired.drain(..) {
            self.expire_flow(index);
        }
        self.expired = expired;
        self.expire_starved();
    }

    pub(crate) fn expire_flow(&mut self, index: u32) {
        let now = self.now;
        let Some(flow) = self.flows.at_mut(index) else { return };
        if flow.limit.is_none_or(|limit| limit > now) {
            self.mark_dirty(index);
            // smoltcp may change state by its timers alone.
            self.touch(index);
            return;
        }
        flow.limit = None;
        match flow.owner {
            Owner::User if flow.lingers => {
                self.counters.lingers_cut += 1;
                self.break_off(index, Some(Failure::TimedOut));
            }
            Owner::User => self.give_up(index, Failure::TimedOut),
            // Nobody knows of it but a peer that never answered.
            Owner::Listener(_) => self.finish(index),
            Owner::Nobody => {
                self.counters.lingers_cut += 1;
                self.break_off(index, None);
            }
        }
    }

    /// Connections that wait for a next hop are looked at again.
    pub(crate) fn wake_waiting(&mut self) {
        let mut waiting = std::mem::take(&mut self.waiting);
        for index in waiting.drain(..) {
            if let Some(flow) = self.flows.at_mut(index) {
                flow.waiting = false;
                self.mark_dirty(index);
            }
        }
        self.waiting = waiting;
    }

    /// Takes back what the driver is done with; `extents` is empty afterwards.
    pub fn release(&mut self, extents: &mut Vec<ExtentId>) {
        for extent in extents.drain(..) {
            if !self.outbox.extents.release(extent) {
                self.counters.tx_strange_extent += 1;
            }
        }
    }

    /// When [`expire`](Stack::expire) and [`egress`](Stack::egress) next have something to do though
    /// nothing arrives: a time that has passed if they have now, `None` if never. It may be early by
    /// up to a second, never late.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Time> {
        let waiting = !self.dirty.is_empty() || !self.replies.is_empty() || self.has_posted();
        if waiting || self.neighbors.has_requests() || self.is_gathering() {
            return Some(self.now);
        }
        let deadlines = [
            self.wheel.next(),
            self.neighbors.next_deadline(),
            self.fragments.next_deadline(),
            self.groups.next_deadline(),
            self.autoconf.as_ref().and_then(Autoconf::next_deadline),
            self.dns.next_deadline(),
            self.dhcp.as_ref().and_then(|client| client.next_deadline()),
        ];
        deadlines.into_iter().flatten().min()
    }
}
