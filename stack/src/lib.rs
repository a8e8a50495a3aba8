//! TCP/IP without input or output of its own: frames and time come in, packets and readiness go out.
//!
//! [`Stack`] never calls anybody, never waits and never looks at a clock; the event queue's turn
//! carries things to it and from it. Around an unmodified smoltcp, which keeps sequence numbers,
//! windows and timers of TCP, this crate does everything else itself, at a cost that does not grow
//! with the number of connections.
//!
//! A received frame walks `ingest` → `ether` → `neighbor` (ARP) or `ipv4` (every length and checksum
//! proved) → `icmp` or `demux` (whose segment) → `guard` (what smoltcp must not see) → `coalesce`
//! (in-order segments become one) → `flow` (one smoltcp socket set per connection, through `port`). What belongs to nobody goes to `listen` or
//! gets a `reset`. A sent byte walks `socket` → `stream` (where it lies) → `flow` → `egress` (dirty connections, `timers`, the
//! next hop from `route` and `neighbor`) → `port` → `emission` (headers from smoltcp, payload by name) → `extent` (who refers
//! to which memory until the driver gives it back); what is no segment of a connection is made in `outbox`. `slow_start` and
//! `byte_count` stand in front of smoltcp's congestion control, `fin` in front of its LAST-ACK. `recovery` (with `sack`) stands beside both walks and has
//! lost segments sent again before smoltcp would. `config` holds every limit and
//! `counters` shows each one that was reached; `secret` and `hash` keep strangers from guessing.
//!
//! Packets of both IP versions are one kind behind `internet` and `internet6`, which put `fragment`s
//! together. `udp` keeps datagrams and sends them through `path` and `post`; `icmp` and `icmpv6` answer
//! echoes and carry errors to sockets; `autoconf` and `ndp` are what IPv6 needs of a host, `multicast`
//! tells routers what we hear; `dhcp` finds our address and `dns` those of others.
#![forbid(unsafe_code)]

mod arp;
mod autoconf;
mod bare;
mod byte_count;
mod census;
mod challenge;
mod coalesce;
mod config;
mod contain;
mod continuation;
mod cookie;
mod counters;
mod data_only;
mod datagram;
mod demux;
mod dhcp;
mod dns;
mod early;
mod egress;
mod emission;
mod ether;
mod extent;
mod fin;
mod flow;
mod fragment;
mod guard;
mod hash;
mod icmp;
mod icmpv6;
mod info;
mod ingest;
mod internet;
mod internet6;
mod ipv4;
mod ipv6;
mod limit;
mod listen;
mod multicast;
mod ndp;
mod neighbor;
mod options;
mod outbox;
mod packet;
mod path;
mod peer;
mod pmtu;
mod port;
mod post;
mod reassembly;
mod receive;
mod recovery;
mod ring;
mod route;
mod sack;
mod secret;
mod segment;
mod slab;
mod slow_start;
mod socket;
mod starved;
mod status;
mod store;
mod stranger;
mod stream;
mod time_wait;
mod timers;
mod tombstone;
mod udp;

pub use census::Census;
pub use config::{Config, ConfigError, Ipv6Config, ROUTES_MAX, StaticRoute};
pub use counters::Counters;
pub use datagram::{BindError, DATAGRAM_COST, Datagram, NetworkError, UdpError, UdpId, UdpSendError};
pub use dhcp::Lease;
pub use dns::{Lookup, LookupError, QueryId, Resolution, ResolveError};
pub use extent::Released;
pub use info::ConnectionInfo;
pub use multicast::GroupError;
pub use options::{Congestion, TcpOptions};
pub use receive::Lending;
pub use ring::RingLen;
pub use status::{
    ConnectError, Failure, ListenError, ListenerId, Phase, RecvError, SendError, SocketError, SocketId,
    SocketOptions, SocketStatus, Standing,
};
pub use store::{Copied, Piece};

use naio_dma::Pool;
use naio_nic::{Caps, TxPacket};
use naio_sys::clock::Time;
use smoltcp::iface::Interface;
use smoltcp::phy::DeviceCapabilities;
use smoltcp::wire::{HardwareAddress, IpCidr};
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};

/// A TCP/IP host with one card and one address.
///
/// Use from one thread; it may move between threads. A turn calls [`release`](Stack::release),
/// [`ingest`](Stack::ingest), [`expire`](Stack::expire), then does what its users asked for, then
/// [`egress`](Stack::egress). Time never goes backwards: an earlier `now` counts as the latest one.
pub struct Stack {
    config: Config,
    route: route::Route,
    key: hash::Key,
    now: Time,
    iface: Interface,
    /// For connections whose segments may be cut below.
    wide: Interface,
    /// For connections whose path is narrower.
    paths: pmtu::Paths,
    caps: DeviceCapabilities,
    wide_caps: DeviceCapabilities,
    flows: slab::Slab<flow::Flow>,
    demux: demux::Demux,
    tombstones: tombstone::Tombstones,
    orphans: time_wait::Orphans,
    dns: dns::Resolver,
    /// Present while an address is wanted by DHCP.
    dhcp: Option<Box<dhcp::Client>>,
    lease_change: Option<Option<Lease>>,
    listeners: slab::Slab<listen::Listener>,
    neighbors: neighbor::Neighbors,
    /// IPv6, if we speak it.
    autoconf: Option<autoconf::Autoconf>,
    /// Kept for its memory.
    questions: Vec<autoconf::Question>,
    groups: multicast::Groups,
    fragments: fragment::Fragments,
    udp: udp::Udp,
    posted: post::Posted,
    outbox: outbox::Outbox,
    wheel: timers::Wheel,
    /// Answers that wait for the next egress.
    replies: Vec<TxPacket>,
    /// Connections with something for the next egress.
    dirty: VecDeque<u32>,
    /// Bytes that the present egress has handed out.
    emitted_bytes: usize,
    /// Since when some of them find no room, or when they were last looked at.
    starved_since: Option<Time>,
    /// Connections that wait for a next hop.
    waiting: Vec<u32>,
    /// Connections whose users may have something to notice.
    touched: Vec<u32>,
    /// Kept for its memory.
    expired: Vec<u32>,
    /// Received pages.
    store: store::Store,
    /// Connections that may hold some.
    holders: Vec<u32>,
    /// Segments of the present burst that wait to become one.
    runs: Vec<coalesce::Run>,
    bare: bare::Bare,
    resets: limit::RateLimit,
    echoes: limit::RateLimit,
    errors: limit::RateLimit,
    counters: Counters,
}

impl Stack {
    /// A stack for one card, whose frames lie in pages of `rx_pool`. It takes every free page of `tx_pool`, each long enough for a frame of
    /// the card's MTU. `secret` keys the connection table, sequence numbers and ports: 16 bytes that
    /// nobody else knows, new for each start.
    ///
    /// # Errors
    /// A configuration that cannot work; see [`ConfigError`].
    pub fn new(
        config: Config,
        caps: &Caps,
        rx_pool: Pool,
        tx_pool: Pool,
        secret: [u8; 16],
        now: Time,
    ) -> Result<Stack, ConfigError> {
        let (mtu, route) = config.check(caps.mtu, tx_pool.page_len(), tx_pool.idle_count())?;
        let key = hash::Key::new(secret);
        let device = port::capabilities(mtu);
        let seed = key.prf(&[now.as_micros()]);
        let ipv6 = config.ipv6.as_ref();
        let autoconf =
            ipv6.map(|ipv6| autoconf::Autoconf::new(ipv6, &config.routes, caps.mac, key)).transpose()?;
        let outbox = outbox::Outbox::new(extent::Extents::new(tx_pool), caps, mtu);
        let wide = port::wide_capabilities(mtu, outbox.cuts(true), outbox.cuts(false));
        let mut stack = Stack {
            iface: interface(&device, Some(route.address().into()).filter(|_| route.has_address()), seed),
            wide: interface(&wide, Some(route.address().into()).filter(|_| route.has_address()), seed),
            paths: pmtu::Paths::default(),
            flows: slab::Slab::new(config.sockets_max),
            demux: demux::Demux::new(key),
            tombstones: tombstone::Tombstones::new(key, config.time_waits_max),
            orphans: time_wait::Orphans::new(),
            dns: dns::Resolver::new(&config.dns_servers, config.dns_queries_max),
            dhcp: None,
            lease_change: None,
            listeners: slab::Slab::new(config.listeners_max),
            neighbors: neighbor::Neighbors::new(&config, key),
            autoconf,
            questions: Vec::new(),
            groups: multicast::Groups::default(),
            fragments: fragment::Fragments::new(&config),
            udp: udp::Udp::new(config.udp_sockets_max, key),
            posted: post::Posted::default(),
            wide_caps: wide,
            outbox,
            wheel: timers::Wheel::new(now),
            replies: Vec::with_capacity(config.replies_max),
            dirty: VecDeque::new(),
            emitted_bytes: 0,
            starved_since: None,
            waiting: Vec::new(),
            touched: Vec::new(),
            expired: Vec::new(),
            store: store::Store::new(rx_pool, caps.rx_ring),
            holders: Vec::new(),
            runs: Vec::with_capacity(coalesce::RUNS_MAX),
            bare: bare::Bare::new(),
            resets: limit::RateLimit::new(config.resets_per_s, now),
            echoes: limit::RateLimit::new(config.echoes_per_s, now),
            errors: limit::RateLimit::new(config.errors_per_s, now),
            counters: Counters::default(),
            caps: device,
            config,
            route,
            key,
            now,
        };
        stack.own_groups_changed();
        Ok(stack)
    }

    /// Everything counted so far.
    #[must_use]
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// Our IPv4 address, 0.0.0.0 if there is none yet.
    #[must_use]
    pub fn address(&self) -> std::net::Ipv4Addr {
        self.route.address()
    }

    /// Every address that we may be reached at now.
    #[must_use]
    pub fn addresses(&self) -> Vec<IpAddr> {
        let v4 = Some(IpAddr::from(self.route.address())).filter(|_| self.route.has_address());
        let v6 = self.autoconf.iter().flat_map(|autoconf| autoconf.addresses().map(IpAddr::from));
        v4.into_iter().chain(v6).collect()
    }

    /// Gives us another IPv4 address, network and gateway, as DHCP finds them; 0.0.0.0 takes the
    /// address away. Connections of the old address end ([`Failure::Unreachable`]). Routes of the
    /// configuration stay.
    ///
    /// # Errors
    /// As [`Stack::new`]; nothing has changed then.
    pub fn set_address(
        &mut self,
        address: Ipv4Addr,
        prefix_len: u8,
        gateway: Option<Ipv4Addr>,
    ) -> Result<(), ConfigError> {
        self.route = route::Route::new(address, prefix_len, gateway)?.with(&self.config.routes)?;
        self.addresses_changed();
        Ok(())
    }

    /// An `Interface` for one handshake, which draws the sequence number that `seed` stands for.
    pub(crate) fn interface(&self, local: IpAddr, seed: u64) -> Interface {
        interface(&self.caps, Some(local), seed)
    }
}

fn interface(caps: &DeviceCapabilities, local: Option<IpAddr>, seed: u64) -> Interface {
    let mut config = smoltcp::iface::Config::new(HardwareAddress::Ip);
    config.random_seed = seed;
    let mut iface = Interface::new(config, &mut port::Plan(caps), smoltcp::time::Instant::ZERO);
    set_addresses(&mut iface, local);
    iface
}

/// Which addresses smoltcp takes for its own. Whatever network it believes in, the next hop is ours
/// to find.
fn set_addresses(iface: &mut Interface, ours: impl IntoIterator<Item = IpAddr>) {
    iface.update_ip_addrs(|addresses| {
        addresses.clear();
        for address in ours {
            // As many as fit: `autoconf` keeps fewer.
            let _ = addresses.push(IpCidr::new(address.into(), if address.is_ipv4() { 32 } else { 128 }));
        }
    });
}

#[cfg(test)]
mod tests;
