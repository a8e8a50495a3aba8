//! SYN cookies (RFC 4987 3.6): connections for a listener whose half-open ones are taken up by a flood, without
//! keeping anything until the peer has proved that it hears us.
//!
//! Receives SYNs that found no room among the half-open connections, and answers with a sequence number that says
//! everything worth keeping; receives acknowledgments for nobody, and makes a connection of those that carry such a
//! number. A peer that came in this way has no window scale: there is no place for it in 32 bits.

use crate::Stack;
use crate::demux::FlowKey;
use crate::flow::Owner;
use crate::hash::Key;
use crate::ipv4::{ACK, FIN, RST, SYN, Tcp};
use crate::listen::Listener;
use crate::packet::Packet;
use crate::peer::Peer;
use crate::port::Port;
use crate::receive::Fate;
use crate::secret;
use crate::segment::Handshake;
use naio_nic::Mac;
use naio_sys::clock::Time;
use smoltcp::socket::tcp::State;
use smoltcp::wire::IpListenEndpoint;
use std::time::Duration;

/// A cookie is good in the period it was made in and in the next one.
const PERIOD: Duration = Duration::from_secs(64);
const PERIOD_BITS: u32 = 5;
const MSS_BITS: u32 = 3;
const HASH_BITS: u32 = 32 - PERIOD_BITS - MSS_BITS;
/// The segment sizes that a cookie can say; the largest that the peer takes is chosen.
const MSS: [u16; 1 << MSS_BITS] = [256, 536, 1024, 1220, 1360, 1400, 1440, 1460];
/// Separates the uses of one key.
const DOMAIN_COOKIE: u64 = 3;
/// How long at least half of a listener's backlog must be half open before cookies are made: honest peers finish
/// their handshake earlier, and then have what a cookie cannot carry.
const PATIENCE: Duration = Duration::from_millis(100);

/// What makes a listener's cookies.
#[derive(Default)]
pub(crate) struct Pressure {
    /// Since when half of the backlog has been half open.
    since: Option<Time>,
    /// When a cookie was last sent.
    sent: Option<Time>,
}

impl Pressure {
    /// The number of half-open connections has changed.
    pub(crate) fn note(&mut self, now: Time, embryonic: usize, backlog: usize) {
        if embryonic * 2 < backlog.max(2) {
            self.since = None;
        } else {
            self.since.get_or_insert(now);
        }
    }

    fn is_high(&self, now: Time) -> bool {
        self.since.is_some_and(|since| now >= since.after(PATIENCE))
    }

    fn may_return(&self, now: Time) -> bool {
        self.sent.is_some_and(|sent| now <= sent.after(PERIOD * 2))
    }
}

/// Which of [`MSS`] a peer is served with.
fn mss_index(mss: u16) -> u32 {
    MSS.iter().rposition(|known| *known <= mss).unwrap_or(0) as u32
}

fn period(now: Time) -> u32 {
    (now.as_micros() / PERIOD.as_micros() as u64) as u32 & ((1 << PERIOD_BITS) - 1)
}

fn cookie(key: Key, flow: FlowKey, peer_isn: u32, period: u32, mss_index: u32) -> u32 {
    let [a, b, c, d, e] = flow.words();
    let facts = u64::from(peer_isn) << 32 | u64::from(period) << MSS_BITS | u64::from(mss_index);
    let hash = key.prf(&[DOMAIN_COOKIE, a, b, c, d, e, facts]) as u32 >> (32 - HASH_BITS);
    period << (MSS_BITS + HASH_BITS) | mss_index << HASH_BITS | hash
}

/// The segment size that a cookie of ours says; `None` if it is not ours, or too old.
fn open(key: Key, now: Time, flow: FlowKey, peer_isn: u32, seen: u32) -> Option<u16> {
    let made = seen >> (MSS_BITS + HASH_BITS);
    let mss_index = seen >> HASH_BITS & ((1 << MSS_BITS) - 1);
    let age = period(now).wrapping_sub(made) & ((1 << PERIOD_BITS) - 1);
    let is_ours = age <= 1 && cookie(key, flow, peer_isn, made, mss_index) == seen;
    is_ours.then(|| MSS[mss_index as usize])
}

impl Stack {
    /// A SYN that found the backlog full: true if it was answered with a cookie.
    pub(crate) fn send_cookie(
        &mut self,
        at: u32,
        key: FlowKey,
        packet: &Packet<'_>,
        tcp: &Tcp,
        station: Mac,
    ) -> bool {
        let now = self.now;
        let Some(listener) = self.listeners.at_mut(at) else { return false };
        if !listener.pressure.is_high(now)
            || listener.is_queue_full()
            || self.replies.len() >= self.config.replies_max
        {
            return false;
        }
        listener.pressure.sent = Some(now);
        let index = mss_index(Peer::of_syn(packet.payload).mss);
        let isn = cookie(self.key, key, tcp.seq, period(now), index);
        let window = self.config.accepted.rx_ring.bytes().min(u16::MAX.into()) as u16;
        let numbers = (isn, tcp.seq.wrapping_add(1));
        let answer = Handshake::to_peer(key, numbers, window, self.outbox.mss(packet.ends));
        self.counters.cookies_sent += 1;
        let (replies, counters) = (&mut self.replies, &mut self.counters);
        self.outbox.packet(replies, counters, Some(station), answer.bytes().len(), |packet| {
            packet.copy_from_slice(answer.bytes());
        });
        true
    }

    /// An acknowledgment for nobody: what became of it if it carries a cookie of the listener's, `None` if it does not.
    pub(crate) fn take_cookie(
        &mut self,
        at: u32,
        key: FlowKey,
        packet: &Packet<'_>,
        tcp: &Tcp,
    ) -> Option<Fate> {
        let now = self.now;
        if tcp.flags & (SYN | RST | FIN | ACK) != ACK {
            return None;
        }
        if !self.listeners.at(at).is_some_and(|listener| listener.pressure.may_return(now)) {
            return None;
        }
        let (peer_isn, isn) = (tcp.seq.wrapping_sub(1), tcp.ack.wrapping_sub(1));
        let Some(mss) = open(self.key, now, key, peer_isn, isn) else {
            self.counters.cookies_strange += 1;
            return None;
        };
        if self.listeners.at(at).is_none_or(Listener::is_queue_full) {
            // Not reset: the peer says it again with its data, and then there may be room.
            self.counters.drop_tcp_backlog += 1;
            return Some(Fate::Spent);
        }
        let (local, remote) = (packet.ends.destination(), packet.ends.source());
        let Some((_, next_hop)) = self.path_to_host(remote) else {
            self.counters.drop_ip_source += 1;
            return Some(Fate::Spent);
        };
        let Some(name) = self.insert_flow(self.config.accepted, Owner::Listener(at)) else {
            self.counters.drop_tcp_sockets += 1;
            return Some(Fate::Spent);
        };
        let index = name.index;
        let flow = self.flows.at_mut(index)?;
        flow.key = Some(key);
        flow.bound = true;
        flow.next_hop = next_hop;
        flow.limit = Some(now.after(self.config.syn_received_timeout));
        let endpoint = IpListenEndpoint { addr: Some(local.into()), port: tcp.destination_port };
        // The socket is new and the port is not zero: there is no way for it to refuse.
        let _ = flow.socket_mut().listen(endpoint);
        self.demux.insert(key, index);
        if let Some(listener) = self.listeners.at_mut(at) {
            listener.add_embryonic(now);
        }
        self.counters.cookies_taken += 1;
        self.counters.rx_tcp += 1;
        self.replay_handshake(index, key, (peer_isn, isn), mss, tcp.window);
        if self.flows.at(index).is_some_and(|flow| flow.state() == State::SynReceived) {
            return Some(self.segment_alone(index, packet, tcp));
        }
        self.finish(index);
        Some(Fate::Spent)
    }

    /// Lets smoltcp see the SYN that nobody kept, and throws its answer away: the peer has had one.
    fn replay_handshake(
        &mut self,
        index: u32,
        key: FlowKey,
        (peer_isn, isn): (u32, u32),
        mss: u16,
        window: u16,
    ) {
        let syn = Handshake::from_peer(key, peer_isn, window, mss);
        let mut iface = self.interface(key.local().0, secret::seed_for(isn));
        self.deliver(index, syn.bytes(), Some(&mut iface));
        let unresolved = self.counters.tx_unresolved;
        let (now, mtu, mut unsent) = (self.now, self.outbox.mtu(), Vec::new());
        let Some(flow) = self.flows.at_mut(index) else { return };
        flow.peer = Peer { mss, ..Peer::default() };
        flow.acked = Some(peer_isn.wrapping_add(1));
        let emitted = flow.emitted();
        let (set, source) = flow.parts(mtu);
        let mut port = Port {
            received: None,
            packets: &mut unsent,
            outbox: &mut self.outbox,
            counters: &mut self.counters,
            caps: &self.caps,
            to: None,
            source,
            emitted,
        };
        let _ = iface.poll_egress(crate::flow::instant(now), &mut port, set);
        let emitted = port.emitted;
        flow.note(now, emitted);
        self.counters.tx_unresolved = unresolved;
    }
}

#[cfg(test)]
#[path = "cookie_tests.rs"]
mod tests;
