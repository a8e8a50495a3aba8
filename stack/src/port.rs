//! What smoltcp takes for its network device: one received packet, and packets to be made.
//!
//! Receives an IP packet for one connection and lends it; hands what smoltcp emits to the
//! [`Outbox`]. Notes what was emitted, which the guard needs, and repairs the sequence number of
//! pure acknowledgments.

use crate::counters::Counters;
use crate::emission::{Headers, Source};
use crate::ipv4::{self, ACK, RST};
use crate::ipv6;
use crate::outbox::Outbox;
use naio_nic::tx::PACKET_LEN_MAX;
use naio_nic::{Mac, TxPacket};
use smoltcp::phy::{ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::time::Instant;
use std::num::NonZeroUsize;

/// Payload of the longest packet for somebody below to cut, for packets of `mtu`: whole segments.
fn cut_payload_max(mtu: usize) -> usize {
    let headers = ipv6::HEADER_LEN + ipv4::TCP_HEADER_LEN;
    let segment = mtu.saturating_sub(ipv4::HEADER_LEN + ipv4::TCP_HEADER_LEN).max(1);
    (PACKET_LEN_MAX - headers) / segment * segment
}

/// The device for connections whose packets somebody below cuts: `ipv4` and `ipv6` say for which family. smoltcp takes
/// the longest packet of IPv6 from the MTU alone; how long a segment is that leaves is decided in `emission`.
pub(crate) fn wide_capabilities(mtu: usize, ipv4: bool, ipv6: bool) -> DeviceCapabilities {
    let mut caps = capabilities(PACKET_LEN_MAX);
    let payload = cut_payload_max(mtu);
    let size = |is_offered: bool, ip_header_len: usize| {
        NonZeroUsize::new(payload + ip_header_len + ipv4::TCP_HEADER_LEN).filter(|_| is_offered)
    };
    caps.segmentation.tcpv4 = size(ipv4, ipv4::HEADER_LEN);
    caps.segmentation.tcpv6 = size(ipv6, ipv6::HEADER_LEN);
    caps
}

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
    /// Where the payload of segments comes from.
    pub(crate) source: Source<'a>,
    pub(crate) emitted: Emitted,
}

/// What has been emitted for a connection so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Emitted {
    /// The acknowledgment number of the last segment of this visit.
    pub(crate) acked: Option<u32>,
    /// Its window field.
    pub(crate) window: Option<u16>,
    /// The sequence number behind the last byte ever sent, SYN and FIN counted: SND.NXT as the RFC
    /// means it.
    pub(crate) end: Option<u32>,
    /// The sequence number behind the last data of this visit.
    pub(crate) data_end: Option<u32>,
    /// Bytes of the longest packet of this visit, after cutting.
    pub(crate) longest: u32,
    /// Segments of this visit, after cutting.
    pub(crate) segments: u32,
    /// Bytes of its packets.
    pub(crate) bytes: u32,
    /// Of those, with data or a FIN that had been sent before.
    pub(crate) repeated: u32,
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
        let out = (&mut *port.packets, &mut *port.counters);
        port.outbox.segment(out, port.to, len, &port.source, &mut port.emitted, write)
    }
}

impl Emitted {
    /// Guard (l): after a retransmission timeout smoltcp rewinds its SND.NXT and puts the rewound
    /// number into pure acknowledgments. A peer that has received more finds those outside of its
    /// window and must not look at what they acknowledge (RFC 9293 3.10.7.4): two such ends deadlock
    /// once both lost an acknowledgment. A pure acknowledgment is <SEQ=SND.NXT>, so that is put in.
    /// `mss` is what a segment is cut to. Hands on the sequence number that it should have, if that is another.
    #[inline(always)]
    pub(crate) fn note(&mut self, segment: &Headers, mss: u16) -> Option<u32> {
        if segment.has(RST) && !segment.has(ACK) {
            // The answer to a segment that is not right has that one's numbers and no window.
            self.segments += 1;
            self.bytes += segment.packet_len() as u32;
            return None;
        }
        self.window = Some(segment.window);
        if segment.has(ACK) {
            self.acked = Some(segment.ack);
        }
        let end = segment.seq.wrapping_add(segment.seq_len());
        let (mss, payload_len) = (usize::from(mss), segment.payload_len);
        // A packet, cut or not, is at most 65 535 bytes long.
        let count = if payload_len <= mss { 1 } else { payload_len.div_ceil(mss) as u32 };
        let packet_len = segment.packet_len();
        self.segments += count;
        self.bytes += packet_len as u32;
        self.longest = self.longest.max((packet_len - payload_len.saturating_sub(mss)) as u32);
        if payload_len > 0 {
            self.data_end = Some(end);
        }
        let repeats = |latest: u32| (end.wrapping_sub(latest) as i32) <= 0;
        if segment.seq_len() > 0 && self.end.is_some_and(repeats) {
            self.repeated += count;
        }
        match self.end {
            // Of serial numbers the later one is the one with the non-negative difference.
            Some(latest) if (end.wrapping_sub(latest) as i32) < 0 => {
                // The reset of an abort is <SEQ=SND.NXT> too.
                (segment.seq_len() == 0).then_some(latest)
            }
            _ => {
                self.end = Some(end);
                None
            }
        }
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
