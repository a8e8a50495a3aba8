//! Segments of no connection that we know: what opens one, and what is told that there is none.
//!
//! Receives a segment whose four-tuple is in no table, well formed and with the right checksum; makes a connection of a
//! SYN or of a cookie that comes back, answers for connections that are over, and resets the rest, at a limited rate.

use crate::Stack;
use crate::coalesce;
use crate::demux::FlowKey;
use crate::flow::Owner;
use crate::ipv4::{ACK, RST, SYN, Tcp};
use crate::listen;
use crate::packet::Packet;
use crate::peer::Peer;
use crate::receive::Fate;
use crate::segment::{self, PureAck};
use crate::tombstone::Epitaph;
use naio_nic::Mac;
use smoltcp::socket::tcp::State;
use smoltcp::wire::IpListenEndpoint;

impl Stack {
    /// A segment for nobody: a SYN for a listener opens a connection, the rest is reset.
    pub(crate) fn stranger(&mut self, key: FlowKey, packet: &Packet<'_>, tcp: &Tcp, station: Mac) -> Fate {
        let mut isn_after = None;
        match self.tombstones.visit(self.now, key, tcp) {
            None => {}
            Some(Epitaph::Reopen(behind)) => isn_after = Some(behind),
            Some(Epitaph::Ignore) => {
                self.counters.rx_time_wait += 1;
                return Fate::Spent;
            }
            Some(Epitaph::Acknowledge(seq, ack)) => {
                self.answer_late(key, (seq, ack), station);
                return Fate::Spent;
            }
        }
        if tcp.flags & (SYN | ACK | RST) == SYN
            && let Some(at) = listen::find(&self.listeners, tcp.destination_port)
        {
            self.passive_open(at, key, packet, tcp, (isn_after, station));
            return Fate::Spent;
        }
        if tcp.has(ACK)
            && let Some(at) = listen::find(&self.listeners, tcp.destination_port)
            && let Some(fate) = self.take_cookie(at, key, packet, tcp)
        {
            return fate;
        }
        self.counters.drop_tcp_unknown += 1;
        if !tcp.has(RST) {
            self.reset_stranger(packet, tcp, station);
        }
        Fate::Spent
    }

    fn reset_stranger(&mut self, packet: &Packet<'_>, tcp: &Tcp, station: Mac) {
        if self.replies_are_full() || !self.resets.allows(self.now) {
            self.counters.tx_reset_limited += 1;
            return;
        }
        self.counters.tx_reset += 1;
        let (replies, counters) = (&mut self.replies, &mut self.counters);
        self.outbox.packet(replies, counters, Some(station), segment::reset_len(packet), |reset| {
            segment::write_reset(packet, tcp, reset);
        });
    }

    /// A segment of a connection that is over: the peer has not heard our last acknowledgment.
    fn answer_late(&mut self, key: FlowKey, numbers: (u32, u32), station: Mac) {
        self.counters.rx_time_wait += 1;
        if self.replies_are_full() || !self.resets.allows(self.now) {
            self.counters.tx_reset_limited += 1;
            return;
        }
        let ack = PureAck::to_peer(key, numbers, 0);
        let (replies, counters) = (&mut self.replies, &mut self.counters);
        self.outbox.packet(replies, counters, Some(station), ack.bytes().len(), |packet| {
            packet.copy_from_slice(ack.bytes());
        });
    }

    fn passive_open(
        &mut self,
        at: u32,
        key: FlowKey,
        packet: &Packet<'_>,
        tcp: &Tcp,
        (isn_after, station): (Option<u32>, Mac),
    ) {
        if self.listeners.at(at).is_none_or(listen::Listener::is_full) {
            if self.send_cookie(at, key, packet, tcp, station) {
                return self.counters.rx_tcp += 1;
            }
            self.counters.drop_tcp_backlog += 1;
            self.tell_full(at, "its backlog");
            return;
        }
        let (local, remote) = (packet.ends.destination(), packet.ends.source());
        let Some((_, next_hop)) = self.path_to_host(remote) else {
            self.counters.drop_ip_source += 1;
            return;
        };
        let Some(name) = self.insert_flow(self.config.accepted, Owner::Listener(at)) else {
            self.counters.drop_tcp_sockets += 1;
            self.tell_full(at, "the table of sockets");
            return;
        };
        let (now, index) = (self.now, name.index);
        let Some(flow) = self.flows.at_mut(index) else { return };
        flow.key = Some(key);
        flow.bound = true;
        flow.isn_after = isn_after;
        flow.next_hop = next_hop;
        flow.limit = Some(now.after(self.config.syn_received_timeout));
        let endpoint = IpListenEndpoint { addr: Some(local.into()), port: tcp.destination_port };
        // The socket is new and the port is not zero: there is no way for it to refuse.
        let _ = flow.socket_mut().listen(endpoint);
        let seed = flow.seed(self.key, now);
        let mut iface = self.interface(local, seed);
        self.demux.insert(key, index);
        if let Some(listener) = self.listeners.at_mut(at) {
            listener.add_embryonic(now);
        }
        self.counters.rx_tcp += 1;
        // Data in a SYN is not taken, so smoltcp need not see any (RFC 9293 3.10.7.2: it may be queued, or repeated).
        let mut bare = std::mem::take(&mut self.bare);
        let headers = &packet.bytes[..coalesce::headers_len(packet, tcp)];
        self.deliver(index, bare.packet(headers, tcp.payload_len as usize), Some(&mut iface));
        self.bare = bare;
        if let Some(flow) = self.flows.at_mut(index).filter(|flow| flow.state() == State::SynReceived) {
            flow.peer = Peer::of_syn(packet.payload);
            self.after_segment(index, State::Listen, tcp);
        } else {
            self.finish(index);
        }
    }
}
