//! What the stack holds at one moment: for tests and reports, and to find what was forgotten.

use crate::Stack;

/// Numbers of things held now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Census {
    /// Connections and unconnected sockets, those that close in the background included.
    pub flows: usize,
    /// Of those, connections that segments can find.
    pub bound_flows: usize,
    /// Entries of the connection table; equal to `bound_flows`.
    pub keys: usize,
    /// Timers that are armed, at most one for each flow.
    pub timers: usize,
    /// Connections in TIME-WAIT without a socket.
    pub tombstones: usize,
    /// Transmit pages that packets on their way refer to.
    pub lent_pages: usize,
    /// Receive pages with bytes that nobody has read.
    pub held_pages: usize,
    /// Receive pages that users look at.
    pub lent_rx_pages: usize,
    /// Bytes that came out of order and wait for those before them.
    pub ahead_bytes: usize,
    /// Stretches of users' memory that are not theirs again.
    pub stretches: usize,
    /// Listeners.
    pub listeners: usize,
    /// UDP sockets.
    pub udp_sockets: usize,
    /// Datagrams of which only fragments have arrived.
    pub reassemblies: usize,
    /// Packets that wait for the next egress or for a next hop: replies and datagrams.
    pub waiting_packets: usize,
    /// Multicast groups that users have joined.
    pub groups: usize,
}

impl Stack {
    /// Counts everything. Walks the tables: not for the data path.
    #[must_use]
    pub fn census(&self) -> Census {
        Census {
            flows: self.flows.len(),
            bound_flows: self.flows.iter().filter(|(_, flow)| flow.bound).count(),
            keys: self.demux.len(),
            timers: self.wheel.armed(),
            tombstones: self.tombstones.len(),
            lent_pages: self.outbox.extents.lent(),
            held_pages: self.store.held(),
            lent_rx_pages: self.store.lent(),
            ahead_bytes: self.store.ahead,
            stretches: self.outbox.extents.stretches(),
            listeners: self.listeners.len(),
            udp_sockets: self.udp.len(),
            reassemblies: self.fragments.len(),
            waiting_packets: self.replies.len() + self.posted.len(),
            groups: self.groups.joined(),
        }
    }
}
