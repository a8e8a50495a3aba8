//! What a stack is told at its birth: its addresses, its routes and its limits.

use crate::route::Route;
use crate::status::SocketOptions;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

/// Smallest MTU we work with: every IPv4 host takes datagrams of this size (RFC 1122 3.3.2).
const MTU_MIN: usize = 576;

/// Smallest MTU of a link that carries IPv6 (RFC 8200 5).
const MTU_MIN_IPV6: usize = 1280;
/// Most routes beside the gateway.
pub const ROUTES_MAX: usize = 32;

/// The address and the limits of a [`Stack`](crate::Stack). Every limit that is reached shows in
/// [`Counters`](crate::Counters).
#[derive(Clone, Debug)]
pub struct Config {
    /// Our address; 0.0.0.0 until [`Stack::set_address`](crate::Stack::set_address) says it.
    pub address: Ipv4Addr,
    /// Bits of it that name the network, 0 to 32.
    pub prefix_len: u8,
    /// The router for everything else, itself on the network.
    pub gateway: Option<Ipv4Addr>,
    /// Routes that go elsewhere than to the gateway, at most [`ROUTES_MAX`]. IPv4 gateways are on the
    /// network of `address`, IPv6 ones on the link.
    pub routes: Vec<StaticRoute>,
    /// IPv6, unless the host speaks IPv4 only.
    pub ipv6: Option<Ipv6Config>,
    /// Largest IP packet we send, if smaller than what the card can.
    pub mtu: Option<usize>,
    /// Connections and unconnected sockets, the closing ones included.
    pub sockets_max: usize,
    /// Listeners.
    pub listeners_max: usize,
    /// UDP sockets.
    pub udp_sockets_max: usize,
    /// How long in-order data may wait for more, as long as each burst of frames is followed by another: what a segment
    /// costs is paid once for all that have become one. None by default. The end of a message (PSH) and a look at the
    /// card that finds nothing end the wait at once.
    pub rx_coalesce: Duration,
    /// Bytes of all connections' streams that came before others that are missing. Beyond that such segments are
    /// dropped, as if the network had lost them; what is in order never is.
    pub rx_ahead_bytes_max: usize,
    /// Bytes of received datagrams, with [`DATAGRAM_COST`](crate::DATAGRAM_COST) for each, that one
    /// UDP socket keeps until they are fetched.
    pub udp_queue_bytes: usize,
    /// UDP packets that may wait for the next egress.
    pub udp_packets_max: usize,
    /// Bytes of IP packets that may wait until one neighbour's station address is known. Four times as
    /// many may wait for all neighbours together.
    pub unresolved_bytes_max: usize,
    /// Name servers, best first.
    pub dns_servers: Vec<IpAddr>,
    /// Queries to them that may be under way.
    pub dns_queries_max: usize,
    /// Multicast groups joined, our own ones not counted.
    pub groups_max: usize,
    /// IP datagrams of which only fragments have arrived.
    pub reassemblies_max: usize,
    /// Bytes of those.
    pub reassembly_bytes_max: usize,
    /// How long the missing fragments of a datagram are waited for (RFC 1122 3.3.2).
    pub reassembly_timeout: Duration,
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
    /// How long a connection may take to be established: three minutes (RFC 1122 4.2.3.5).
    pub connect_timeout: Duration,
    /// How long an accepted connection may stay in SYN-RECEIVED.
    pub syn_received_timeout: Duration,
    /// How long sent data may wait while the peer neither acknowledges anything new nor says that its
    /// window is closed (R2 of RFC 9293 3.8.3: at least 100 seconds).
    pub user_timeout: Duration,
    /// How long a closed connection may linger before it is reset, counted anew while a queue's peer takes what
    /// was submitted before the close; TIME-WAIT comes on top.
    pub linger: Duration,
    /// Resets a second for segments that belong to nobody.
    pub resets_per_s: u32,
    /// Echo replies a second.
    pub echoes_per_s: u32,
    /// ICMP errors a second that we send (RFC 1812 4.3.2.8, RFC 4443 2.4 f).
    pub errors_per_s: u32,
    /// Replies (ARP, echo, reset, immediate acknowledgments) that may wait for the next egress.
    pub replies_max: usize,
    /// Packets that one connection sends before the next one has its turn.
    pub egress_per_visit: usize,
    /// Bytes that one connection sends before the next one has its turn: a long packet counts as its bytes. What it
    /// sends beyond that (the last packet is not split) is taken off its next turn.
    pub egress_bytes_per_visit: usize,
    /// Bytes after which an egress ends though there is more: so that what arrives is looked at in between.
    pub egress_bytes_per_turn: usize,
    /// Options of accepted sockets.
    pub accepted: SocketOptions,
}

impl Config {
    /// The defaults, for a host with this address, no gateway and no IPv6.
    #[must_use]
    pub fn new(address: Ipv4Addr, prefix_len: u8) -> Config {
        Config {
            address,
            prefix_len,
            gateway: None,
            routes: Vec::new(),
            dns_servers: Vec::new(),
            dns_queries_max: 16,
            ipv6: None,
            mtu: None,
            sockets_max: 1024,
            listeners_max: 64,
            udp_sockets_max: 256,
            rx_coalesce: Duration::ZERO,
            rx_ahead_bytes_max: 64 << 20,
            udp_queue_bytes: 256 << 10,
            udp_packets_max: 256,
            unresolved_bytes_max: 128 << 10,
            groups_max: 64,
            reassemblies_max: 16,
            reassembly_bytes_max: 1 << 20,
            reassembly_timeout: Duration::from_secs(30),
            time_waits_max: 8192,
            neighbors_max: 256,
            neighbor_fresh: Duration::from_secs(60),
            neighbor_tries: 3,
            neighbor_retry: Duration::from_secs(1),
            connect_timeout: Duration::from_secs(180),
            syn_received_timeout: Duration::from_secs(20),
            user_timeout: Duration::from_secs(120),
            linger: Duration::from_secs(60),
            resets_per_s: 100,
            echoes_per_s: 1000,
            errors_per_s: 100,
            replies_max: 256,
            egress_per_visit: 64,
            egress_bytes_per_visit: 120 << 10,
            egress_bytes_per_turn: 120 << 10,
            accepted: SocketOptions::default(),
        }
    }

    /// The MTU to keep to, and the routes.
    pub(crate) fn check(
        &self,
        card_mtu: usize,
        page_len: usize,
        pages: usize,
    ) -> Result<(usize, Route), ConfigError> {
        let mtu = self.mtu.unwrap_or(card_mtu);
        let smallest = if self.ipv6.is_some() { MTU_MIN_IPV6 } else { MTU_MIN };
        if mtu < smallest || mtu > card_mtu || mtu > u16::MAX.into() {
            return Err(ConfigError::Mtu(mtu));
        }
        if page_len < mtu + crate::ether::HEADER_LEN {
            return Err(ConfigError::PageLen { page_len, mtu });
        }
        if pages == 0 {
            return Err(ConfigError::NoPages);
        }
        let sockets_max = 1..=crate::slab::COUNT_MAX;
        if !sockets_max.contains(&self.sockets_max) || self.neighbors_max == 0 {
            return Err(ConfigError::Limit);
        }
        let egress = [self.egress_per_visit, self.egress_bytes_per_visit, self.egress_bytes_per_turn];
        if egress.contains(&0) {
            return Err(ConfigError::Limit);
        }
        if self.routes.len() > ROUTES_MAX {
            return Err(ConfigError::TooManyRoutes);
        }
        let route = Route::new(self.address, self.prefix_len, self.gateway)?.with(&self.routes)?;
        Ok((mtu, route))
    }
}

/// A route to a network that is not ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StaticRoute {
    /// The network: an address whose bits behind the prefix are zero.
    pub prefix: IpAddr,
    /// Bits that name it.
    pub prefix_len: u8,
    /// The router, of the same family.
    pub gateway: IpAddr,
}

/// How a host speaks IPv6. It always has a link-local address, made as RFC 7217 says: stable for one
/// secret and card, and telling nobody the station address.
#[derive(Clone, Debug, Default)]
pub struct Ipv6Config {
    /// Addresses with their prefix lengths, at most [`Ipv6Config::ADDRESSES_MAX`]. They are used once
    /// nobody else has turned out to have them (RFC 4862 5.4).
    pub addresses: Vec<(Ipv6Addr, u8)>,
    /// The default router; those that advertise themselves come after it.
    pub gateway: Option<Ipv6Addr>,
    /// Look for routers and form addresses from the prefixes they advertise (RFC 4862).
    pub autoconfigure: bool,
}

impl Ipv6Config {
    /// Most addresses of `addresses`.
    pub const ADDRESSES_MAX: usize = 3;

    /// A host that forms its addresses by itself.
    #[must_use]
    pub fn automatic() -> Ipv6Config {
        Ipv6Config { autoconfigure: true, ..Ipv6Config::default() }
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
    /// The MTU, the card's or the configured one.
    #[error("an MTU of {0} bytes is below 576 (1280 with IPv6), or above 65535, or above the card's")]
    Mtu(usize),
    /// A route whose prefix has bits behind its length, or whose gateway is not a neighbour.
    #[error("the route to {prefix}/{prefix_len} is none: bits behind the prefix, or a gateway elsewhere")]
    Route {
        /// Its prefix.
        prefix: IpAddr,
        /// Bits of it.
        prefix_len: u8,
    },
    /// More than [`ROUTES_MAX`].
    #[error("more than {ROUTES_MAX} routes")]
    TooManyRoutes,
    /// No host can have this address, or there are too many.
    #[error("{0}/{1} is not an IPv6 address that a host can have, or one too many")]
    Ipv6Address(Ipv6Addr, u8),
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
