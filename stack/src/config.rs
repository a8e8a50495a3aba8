//! What a stack is told at its birth: its address and its limits.

use crate::route::Route;
use crate::status::SocketOptions;
use std::net::Ipv4Addr;
use std::time::Duration;

/// Smallest MTU we work with: every IPv4 host takes datagrams of this size (RFC 1122 3.3.2).
const MTU_MIN: usize = 576;

/// The address and the limits of a [`Stack`](crate::Stack). Every limit that is reached shows in
/// [`Counters`](crate::Counters).
#[derive(Clone, Debug)]
pub struct Config {
    /// Our address.
    pub address: Ipv4Addr,
    /// Bits of it that name the network, 0 to 32.
    pub prefix_len: u8,
    /// The router for everything else, itself on the network.
    pub gateway: Option<Ipv4Addr>,
    /// Connections and unconnected sockets, the closing ones included.
    pub sockets_max: usize,
    /// Listeners.
    pub listeners_max: usize,
    /// Connections remembered in TIME-WAIT after their sockets are gone.
    pub time_waits_max: usize,
    /// Neighbours remembered.
    pub neighbors_max: usize,
    /// How long a neighbour is believed before it is asked again.
    pub neighbor_fresh: Duration,
    /// Requests to a neighbour before it counts as unreachable.
    pub neighbor_tries: u32,
    /// Time between two of them, and before an unreachable neighbour is tried again.
    pub neighbor_retry: Duration,
    /// How long a connection may take to be established.
    pub connect_timeout: Duration,
    /// How long an accepted connection may stay in SYN-RECEIVED.
    pub syn_received_timeout: Duration,
    /// How long sent data may wait while the peer neither acknowledges anything new nor says that its
    /// window is closed (R2 of RFC 9293 3.8.3: at least 100 seconds).
    pub user_timeout: Duration,
    /// How long a closed connection may linger before it is reset; TIME-WAIT comes on top.
    pub linger: Duration,
    /// Resets a second for segments that belong to nobody.
    pub resets_per_s: u32,
    /// Echo replies a second.
    pub echoes_per_s: u32,
    /// Replies (ARP, echo, reset, immediate acknowledgments) that may wait for the next egress.
    pub replies_max: usize,
    /// Packets that one connection sends before the next one has its turn.
    pub egress_per_visit: usize,
    /// Options of accepted sockets.
    pub accepted: SocketOptions,
}

impl Config {
    /// The defaults, for a host with this address and no gateway.
    #[must_use]
    pub fn new(address: Ipv4Addr, prefix_len: u8) -> Config {
        Config {
            address,
            prefix_len,
            gateway: None,
            sockets_max: 1024,
            listeners_max: 64,
            time_waits_max: 8192,
            neighbors_max: 256,
            neighbor_fresh: Duration::from_secs(60),
            neighbor_tries: 3,
            neighbor_retry: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(60),
            syn_received_timeout: Duration::from_secs(20),
            user_timeout: Duration::from_secs(120),
            linger: Duration::from_secs(60),
            resets_per_s: 100,
            echoes_per_s: 1000,
            replies_max: 256,
            egress_per_visit: 64,
            accepted: SocketOptions::default(),
        }
    }

    pub(crate) fn check(&self, mtu: usize, page_len: usize, pages: usize) -> Result<Route, ConfigError> {
        if mtu < MTU_MIN || mtu > u16::MAX.into() {
            return Err(ConfigError::Mtu(mtu));
        }
        if page_len < mtu + crate::ether::HEADER_LEN {
            return Err(ConfigError::PageLen { page_len, mtu });
        }
        if pages == 0 {
            return Err(ConfigError::NoPages);
        }
        let sockets_max = 1..=crate::slab::COUNT_MAX;
        if !sockets_max.contains(&self.sockets_max) || self.neighbors_max == 0 || self.egress_per_visit == 0 {
            return Err(ConfigError::Limit);
        }
        Route::new(self.address, self.prefix_len, self.gateway)
    }
}

/// Why a stack cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// No host can have this address in this network.
    #[error("{0}/{1} is not an address that a host can have")]
    Address(Ipv4Addr, u8),
    /// The gateway is not a neighbour.
    #[error("the gateway {0} is not another host of the network")]
    Gateway(Ipv4Addr),
    /// The card's MTU.
    #[error("an MTU of {0} bytes is outside of 576 to 65535")]
    Mtu(usize),
    /// Transmit pages too short for a frame.
    #[error("transmit pages of {page_len} bytes cannot hold a frame of the MTU {mtu}")]
    PageLen {
        /// Bytes of each page.
        page_len: usize,
        /// The card's MTU.
        mtu: usize,
    },
    /// Nothing to send with.
    #[error("the transmit pool has no free page")]
    NoPages,
    /// A limit of zero, or one beyond what an index can say.
    #[error("sockets, neighbours and packets per visit must be at least 1, sockets at most 2^24")]
    Limit,
}
