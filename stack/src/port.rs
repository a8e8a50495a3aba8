//! What smoltcp takes for its network device: one received packet, and packets to be made.
//!
//! Receives an IP packet for one connection and lends it; hands what smoltcp emits to the
//! [`Outbox`]. Notes the acknowledgment number that was emitted last, which the guard needs.

use crate::counters::Counters;
use crate::ipv4::{self, ACK, PROTOCOL_TCP};
use crate::outbox::Outbox;
use naio_nic::{Mac, TxPacket};
use smoltcp::phy::{ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;

/// The device as smoltcp is told: IP packets of the card's MTU, checksums not its affair.
pub(crate) fn capabilities(mtu: usize) -> DeviceCapabilities {
    let mut caps = DeviceCapabilities::default();
    caps.medium = Medium::Ip;
    caps.max_transmission_unit = mtu;
    caps.max_burst_size = None;
    caps.checksum = ChecksumCapabilities::ignored();
    // The IPv4 header checksum of what it sends is the one thing nobody else computes.
    caps.checksum.ipv4 = smoltcp::phy::Checksum::Tx;
    caps
}

/// The device for one visit to one connection.
pub(crate) struct Port<'a> {
    pub(crate) received: Option<&'a [u8]>,
    pub(crate) packets: &'a mut Vec<TxPacket>,
    pub(crate) outbox: &'a mut Outbox,
    pub(crate) counters: &'a mut Counters,
    pub(crate) caps: &'a DeviceCapabilities,
    /// Where packets go; without it they are lost.
    pub(crate) to: Option<Mac>,
    /// The acknowledgment number of the last segment that smoltcp emitted.
    pub(crate) acked: Option<u32>,
}

impl<'a> Device for Port<'a> {
    type RxToken<'t>
        = Received<'t>
    where
        Self: 't;
    type TxToken<'t>
        = Emit<'t, 'a>
    where
        Self: 't;

    #[inline]
    fn receive(&mut self, _timestamp: Instant) -> Option<(Received<'_>, Emit<'_, 'a>)> {
        Some((Received(self.received.take()?), Emit(self)))
    }

    #[inline]
    fn transmit(&mut self, _timestamp: Instant) -> Option<Emit<'_, 'a>> {
        // Never `None`: guard b.
        Some(Emit(self))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.caps.clone()
    }
}

/// The packet that came in.
pub(crate) struct Received<'t>(&'t [u8]);

impl RxToken for Received<'_> {
    #[inline]
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(self.0)
    }
}

/// Room for one packet to go out.
pub(crate) struct Emit<'t, 'a>(&'t mut Port<'a>);

impl TxToken for Emit<'_, '_> {
    #[inline]
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        let port = self.0;
        let acked = &mut port.acked;
        port.outbox.ipv4(port.packets, port.counters, port.to, len, |packet| {
            let result = write(packet);
            note_acknowledgment(packet, acked);
            result
        })
    }
}

#[inline]
fn note_acknowledgment(packet: &[u8], acked: &mut Option<u32>) {
    if packet.get(9) != Some(&PROTOCOL_TCP) {
        return;
    }
    if let Some(tcp) = packet.get(ipv4::HEADER_LEN..).and_then(ipv4::parse_tcp)
        && tcp.has(ACK)
    {
        *acked = Some(tcp.ack);
    }
}

/// The device as it is when an `Interface` is made: it only says what it can do.
pub(crate) struct Plan<'a>(pub(crate) &'a DeviceCapabilities);

/// Nothing is ever sent through a [`Plan`].
pub(crate) enum Nothing {}

impl TxToken for Nothing {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, _len: usize, _write: F) -> R {
        match self {}
    }
}

impl Device for Plan<'_> {
    type RxToken<'t>
        = Received<'t>
    where
        Self: 't;
    type TxToken<'t>
        = Nothing
    where
        Self: 't;

    fn receive(&mut self, _timestamp: Instant) -> Option<(Received<'_>, Nothing)> {
        None
    }

    fn transmit(&mut self, _timestamp: Instant) -> Option<Nothing> {
        None
    }

    fn capabilities(&self) -> DeviceCapabilities {
        self.0.clone()
    }
}
