//! A panic inside smoltcp ends one connection, not the process.
//!
//! Receives calls into smoltcp and hands back what they return, or nothing if they panicked; then the connection is
//! broken: reset, never visited again, and its place in the table is not used again, because nobody knows what state
//! the panic left it in. A defence in depth: every panic that is known stops at `guard`. With `panic = "abort"` it
//! does nothing.

use crate::Stack;
use crate::flow::Flow;
use crate::segment::PureAck;
use crate::status::Failure;
use smoltcp::iface::Interface;
use smoltcp::phy::DeviceCapabilities;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Bytes of a packet that the log shows: headers with all options.
const SHOWN_MAX: usize = 120;

/// Calls into smoltcp; `None` if that panicked. What it had borrowed must then not be used but to be thrown away.
#[inline(always)]
pub(crate) fn contained<R>(call: impl FnOnce() -> R) -> Option<R> {
    catch_unwind(AssertUnwindSafe(call)).ok()
}

impl Stack {
    /// smoltcp panicked over this connection; `packet` is what it was looking at, if anything.
    #[cold]
    pub(crate) fn broken(&mut self, index: u32, packet: &[u8]) {
        self.counters.flows_broken += 1;
        // Shared by all connections: a new one, since nobody knows what the old one is like.
        self.iface = self.fresh_interface(&self.caps);
        self.wide = self.fresh_interface(&self.wide_caps);
        self.paths.clear();
        let full = self.replies_are_full();
        let Some(flow) = self.flows.at_mut(index) else { return };
        log::error!(
            "connection {:?} is broken: the TCP engine panicked over {:02x?}",
            flow.key,
            &packet[..packet.len().min(SHOWN_MAX)]
        );
        flow.give_up_socket();
        flow.failure = Some(Failure::Broken);
        let reset = flow.key.zip(flow.sent_end).map(|(key, seq)| PureAck::reset_to_peer(key, seq));
        let to = flow.mac;
        if let Some(reset) = reset.filter(|_| !full) {
            let (replies, counters) = (&mut self.replies, &mut self.counters);
            self.outbox.packet(replies, counters, to, reset.bytes().len(), |packet| {
                packet.copy_from_slice(reset.bytes());
            });
        }
        self.finish(index);
    }

    /// As the one at the start, with the addresses of now.
    fn fresh_interface(&self, caps: &DeviceCapabilities) -> Interface {
        let seed = self.key.prf(&[self.now.as_micros()]);
        let mut iface = crate::interface(caps, None, seed);
        crate::set_addresses(&mut iface, self.addresses());
        iface
    }

    /// Takes a connection out of the table.
    pub(crate) fn remove_flow(&mut self, index: u32) {
        if let Some(flow) = self.flows.at_mut(index) {
            flow.reassembly.clear(&mut self.store);
        }
        // Its place may be another's before the burst is over.
        self.runs.retain(|run| run.index() != index);
        if self.flows.at(index).is_some_and(Flow::is_broken) {
            self.flows.retire(index);
        } else {
            self.flows.remove(index);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::tests::{Bench, Peer};
    use crate::{Failure, Phase, RingLen, SocketId, SocketOptions};

    /// What guard (a) stops, slipped in behind it: a segment behind the ring, then those before it.
    fn break_one(bench: &mut Bench) -> SocketId {
        let ring = 65_536;
        let options = SocketOptions { rx_ring: RingLen::illegal(ring), ..SocketOptions::default() };
        let (socket, syn) = bench.connecting(options);
        let peer = Peer { socket, port: syn.source_port, seq: 1, ack: syn.seq.wrapping_add(1) };
        // Before our first acknowledgment leaves.
        bench.feed(&peer.segment().seq(0).syn(1460, Some(7)));
        let index = bench.stack.flows.index(peer.socket.0).expect("known");
        for offset in [ring].into_iter().chain((0..ring).step_by(1_024)) {
            let seq = peer.seq.wrapping_add(offset as u32);
            let frame = peer.segment().seq(seq).payload(&[0x11; 1_024]).ethernet([2; 6], [4; 6]);
            bench.stack.deliver(index, &frame[14..], None);
        }
        peer.socket
    }

    #[test]
    fn a_panic_in_smoltcp_ends_its_connection_and_no_other() {
        let mut bench = Bench::new(|config| config.sockets_max = 4);
        let other = bench.connected(SocketOptions::default());
        let socket = break_one(&mut bench);
        let status = bench.status(socket);
        assert_eq!((status.phase, status.failure), (Phase::Closed, Some(Failure::Broken)));
        assert_eq!(bench.stack.counters().flows_broken, 1);
        bench.feed(&other.segment().payload(b"still here"));
        assert_eq!(bench.status(other.socket).readable, 10);
        bench.segments();
        bench.stack.close(socket).expect("known");
        assert!(bench.wait_ms(10_000).is_empty(), "nothing of it is left");
        let more: Vec<_> = (0..4).map(|_| bench.stack.socket(SocketOptions::default()).is_ok()).collect();
        assert_eq!(more, [true, true, false, false], "its place is not used again");
    }
}
