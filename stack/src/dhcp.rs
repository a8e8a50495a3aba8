//! DHCP (RFC 2131), by smoltcp's client on a small Ethernet interface of its own.
//!
//! Receives the few frames that concern it and hands on leases. The rest of the stack has its own
//! link layer, so smoltcp's DHCP, which exists on an Ethernet medium only, gets an `Interface` that
//! sees nothing but DHCP and the ARP replies it asked for itself. It never touches a connection.

use crate::Stack;
use naio_nic::{Mac, TxPacket};
use naio_sys::clock::Time;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet, SocketStorage};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::dhcpv4::{self, Event};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpCidr};
use std::net::Ipv4Addr;
use std::time::Duration;

use crate::flow::{instant, time};

/// Frames that one visit may make: a request and an ARP question.
const FRAMES_PER_VISIT: usize = 4;
/// Separates this use of the stack's key from the others.
const DOMAIN_DHCP: u64 = 6;
/// Shortest time between two visits that nothing asked for.
const MOMENT: Duration = Duration::from_millis(1);
/// UDP port of DHCP clients (RFC 2131 4.1).
const CLIENT_PORT: u16 = 68;
/// Offsets in a frame without IP options, as DHCP servers send them.
const ETHER_TYPE: usize = 12;
const IP_VERSION: usize = 14;
const IP_PROTOCOL: usize = 23;
const ARP_OPERATION: usize = 20;

/// An address on loan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Our address.
    pub address: Ipv4Addr,
    /// Bits of it that name the network.
    pub prefix_len: u8,
    /// The way to other networks.
    pub gateway: Option<Ipv4Addr>,
    /// Name servers, best first; at most three.
    pub dns_servers: Vec<Ipv4Addr>,
}

/// The client, from its first question to the last renewal.
pub(crate) struct Client {
    iface: Interface,
    set: SocketSet<'static>,
    handle: SocketHandle,
    port: FramePort,
    /// When it has something to do by itself, as of the last call.
    due: Option<Time>,
}

impl Client {
    pub(crate) fn new(mac: Mac, mtu: usize, seed: u64, now: Time) -> Client {
        let mut caps = DeviceCapabilities::default();
        caps.medium = Medium::Ethernet;
        caps.max_transmission_unit = mtu + crate::ether::HEADER_LEN;
        let mut port = FramePort { caps, received: None, made: Vec::new() };
        let mut config = Config::new(HardwareAddress::Ethernet(EthernetAddress(mac.0)));
        config.random_seed = seed;
        let iface = Interface::new(config, &mut port, instant(now));
        let mut set = SocketSet::new(vec![SocketStorage::EMPTY]);
        let handle = set.add(dhcpv4::Socket::new());
        Client { iface, set, handle, port, due: Some(now) }
    }

    /// Whether a frame is for this client: DHCP, or an answer to an ARP question. Such frames may
    /// concern the rest of the stack as well.
    pub(crate) fn wants(frame: &[u8]) -> bool {
        let word = |at: usize| frame.get(at..at + 2).map(|two| u16::from_be_bytes([two[0], two[1]]));
        match word(ETHER_TYPE) {
            Some(crate::ether::TYPE_ARP) => word(ARP_OPERATION) == Some(2),
            Some(crate::ether::TYPE_IPV4) => {
                let header_len = usize::from(frame.get(IP_VERSION).map_or(0, |first| first & 15)) * 4;
                let is_udp = frame.get(IP_PROTOCOL) == Some(&17);
                is_udp && word(IP_VERSION + header_len + 2) == Some(CLIENT_PORT)
            }
            _ => false,
        }
    }

    /// Takes a frame in, whole.
    pub(crate) fn ingest(&mut self, now: Time, frame: &[u8]) {
        self.port.received = Some(frame.to_vec());
        // Whatever smoltcp makes of it shows in its socket.
        let _ = self.iface.poll_ingress_single(instant(now), &mut self.port, &mut self.set);
        self.port.received = None;
        self.due = self.iface.poll_at(instant(now), &self.set).map(time);
    }

    /// Lets time pass; returns the frames to be sent, whole, a few at most.
    pub(crate) fn egress(&mut self, now: Time) -> Vec<Vec<u8>> {
        let _ = self.iface.poll_egress(instant(now), &mut self.port, &mut self.set);
        // "Now" again, with nothing made, would be a loop: a moment later will do.
        self.due = self.iface.poll_at(instant(now), &self.set).map(|due| time(due).max(now.after(MOMENT)));
        std::mem::take(&mut self.port.made)
    }

    /// What changed since the last call: a lease was given or changed, or (inner `None`) lost.
    pub(crate) fn take_change(&mut self) -> Option<Option<Lease>> {
        let lease = match self.set.get_mut::<dhcpv4::Socket<'_>>(self.handle).poll()? {
            Event::Deconfigured => None,
            Event::Configured(config) => Some(Lease {
                address: config.address.address(),
                prefix_len: config.address.prefix_len(),
                gateway: config.router,
                dns_servers: config.dns_servers.iter().copied().collect(),
            }),
        };
        // A renewal is sent from the address itself, with ARP.
        self.iface.update_ip_addrs(|addresses| {
            addresses.clear();
            if let Some(Lease { address, prefix_len, .. }) = lease {
                // The list was cleared and holds at least one.
                let _ = addresses.push(IpCidr::new(address.into(), prefix_len));
            }
        });
        Some(lease)
    }

    /// When [`Client::egress`] has something to do by itself.
    pub(crate) fn next_deadline(&self) -> Option<Time> {
        self.due
    }

    pub(crate) fn is_due(&self, now: Time) -> bool {
        self.due.is_some_and(|due| due <= now)
    }
}

impl Stack {
    /// Asks for an address by DHCP, from the next egress on, and keeps it renewed. The address, its
    /// network, the gateway and the name servers are taken over by themselves, and given up when the
    /// lease is lost; [`Stack::take_lease_change`] says so. Asking again starts anew.
    pub fn start_dhcp(&mut self) {
        let seed = self.key.prf(&[DOMAIN_DHCP, self.now.as_micros()]);
        self.dhcp = Some(Box::new(Client::new(self.outbox.mac, self.outbox.mtu(), seed, self.now)));
    }

    /// What DHCP brought since the last call: a lease, or (inner `None`) the loss of it. Of several
    /// changes only the last one is told.
    pub fn take_lease_change(&mut self) -> Option<Option<Lease>> {
        self.lease_change.take()
    }

    /// A frame arrives; true if it was for DHCP alone.
    #[cold]
    pub(crate) fn dhcp_frame(&mut self, frame: &[u8]) -> bool {
        let Some(client) = &mut self.dhcp else { return false };
        if !Client::wants(frame) {
            return false;
        }
        client.ingest(self.now, frame);
        let change = client.take_change();
        if let Some(lease) = change {
            self.take_lease(lease);
        }
        // An ARP reply may be for the rest of us as well.
        let alone = frame[ETHER_TYPE..ETHER_TYPE + 2] == crate::ether::TYPE_IPV4.to_be_bytes();
        self.counters.rx_dhcp += u64::from(alone);
        alone
    }

    fn take_lease(&mut self, lease: Option<Lease>) {
        let (address, prefix_len, gateway) =
            lease.as_ref().map_or((Ipv4Addr::UNSPECIFIED, 0, None), |l| (l.address, l.prefix_len, l.gateway));
        if let Err(error) = self.set_address(address, prefix_len, gateway) {
            log::warn!("the DHCP server offers an impossible configuration: {error}");
            return;
        }
        if let Some(lease) = &lease {
            log::info!("DHCP: {}/{}", lease.address, lease.prefix_len);
            self.set_dns_servers(
                &lease.dns_servers.iter().map(|server| (*server).into()).collect::<Vec<_>>(),
            );
        }
        self.lease_change = Some(lease);
    }

    /// Questions of the client that are due.
    pub(crate) fn egress_dhcp(&mut self, end: usize, out: &mut Vec<TxPacket>) {
        let Some(client) = self.dhcp.as_mut().filter(|_| out.len() + FRAMES_PER_VISIT <= end) else { return };
        let frames = client.egress(self.now);
        let change = client.take_change();
        for frame in frames {
            self.outbox.whole(out, &mut self.counters, &frame);
        }
        if let Some(lease) = change {
            self.take_lease(lease);
        }
    }
}

/// The device of the client's interface: one frame in, a few out.
struct FramePort {
    caps: DeviceCapabilities,
    received: Option<Vec<u8>>,
    made: Vec<Vec<u8>>,
}

struct Received(Vec<u8>);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

struct Make<'a>(&'a mut Vec<Vec<u8>>);

impl TxToken for Make<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        let mut frame = vec![0; len];
        let result = write(&mut frame);
        self.0.push(frame);
        result
    }
}

impl Device for FramePort {
    type RxToken<'a> = Received;
    type TxToken<'a> = Make<'a>;

    fn receive(&mut self, _timestamp: Instant) -> Option<(Received, Make<'_>)> {
        Some((Received(self.received.take()?), Make(&mut self.made)))
    }

    fn transmit(&mut self, _timestamp: Instant) -> Option<Make<'_>> {
        // A client whose question finds no room asks again; it is no connection (guard b is not its).
        (self.made.len() < FRAMES_PER_VISIT).then_some(Make(&mut self.made))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.caps.clone()
    }
}

#[cfg(test)]
#[path = "dhcp_tests.rs"]
mod tests;
