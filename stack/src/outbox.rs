//! Where packets are made: a frame in one piece, inline if it is small, in a page otherwise.
//!
//! Receives a length and whoever writes the IP packet, and appends a [`TxPacket`]: Ethernet header
//! in front, the TCP checksum left to the card or computed. It never refuses: a packet that cannot
//! be sent is written into a scratch buffer, counted and forgotten, which is loss, and TCP knows
//! what to do about loss (guard b: smoltcp forgets a fast retransmission that is *refused*).

use crate::counters::Counters;
use crate::ether;
use crate::extent::Extents;
use crate::packet::{Ends, PROTOCOL_TCP, PROTOCOL_UDP};
use crate::{ipv4, ipv6};
use naio_nic::tx::{HEADER_LEN_MAX, TxProtocol};
use naio_nic::{Caps, Mac, TxChecksum, TxPacket};

/// First byte of the IP header in a frame.
pub(crate) const IP_START: usize = ether::HEADER_LEN;

/// The checksums that the card completes.
#[derive(Clone, Copy)]
struct Offload {
    ipv4: bool,
    ipv6: bool,
}

/// Whether somebody below cuts long packets.
#[derive(Clone, Copy)]
struct Cuts {
    ipv4: bool,
    ipv6: bool,
}

pub(crate) struct Outbox {
    pub(crate) extents: Extents,
    pub(crate) mac: Mac,
    mtu: usize,
    offload: Offload,
    cuts: Cuts,
    /// Receives packets that go nowhere, and those of which only the headers matter.
    pub(crate) scratch: Vec<u8>,
}

impl Outbox {
    pub(crate) fn new(extents: Extents, caps: &Caps, mtu: usize) -> Outbox {
        let scratch = vec![0; ether::HEADER_LEN + mtu];
        let offload = Offload { ipv4: caps.tx_checksum_ipv4, ipv6: caps.tx_checksum_ipv6 };
        // Without the checksums nobody may cut what it must not read.
        let cuts = Cuts {
            ipv4: caps.tx_segmentation_ipv4.is_offered() && offload.ipv4,
            ipv6: caps.tx_segmentation_ipv6.is_offered() && offload.ipv6,
        };
        Outbox { extents, mac: caps.mac, mtu, offload, cuts, scratch }
    }

    /// Whether the card completes the checksums of this family, so that payload need not be read.
    #[inline]
    pub(crate) fn offload(&self, is_v4: bool) -> bool {
        if is_v4 { self.offload.ipv4 } else { self.offload.ipv6 }
    }

    /// Whether packets of this family may be longer than the MTU ([`TxPacket::mss`]).
    #[inline]
    pub(crate) fn cuts(&self, is_v4: bool) -> bool {
        if is_v4 { self.cuts.ipv4 } else { self.cuts.ipv6 }
    }

    /// Appends an IP packet of `len` bytes, written by `write`, for the station `to`. Returns what
    /// `write` returned. Without a station, or without a page, the packet is counted as lost.
    #[inline]
    pub(crate) fn packet<R>(
        &mut self,
        packets: &mut Vec<TxPacket>,
        counters: &mut Counters,
        to: Option<Mac>,
        len: usize,
        write: impl FnOnce(&mut [u8]) -> R,
    ) -> R {
        let Some(to) = to else {
            counters.tx_unresolved += 1;
            return write(self.scratch(len));
        };
        let frame_len = ether::HEADER_LEN + len;
        let inline = frame_len <= HEADER_LEN_MAX;
        if len > self.mtu {
            counters.tx_too_long += 1;
            return write(self.scratch(len));
        }
        if !inline && self.extents.idle() == 0 {
            counters.tx_no_page += 1;
            return write(self.scratch(len));
        }
        counters.tx_packets += 1;
        let (mac, offload) = (self.mac, self.offload);
        let fill = |frame: &mut [u8]| {
            let result = write(&mut frame[IP_START..]);
            let is_v4 = frame[IP_START] >> 4 == 4;
            ether::write_header(frame, to, mac, if is_v4 { ether::TYPE_IPV4 } else { ether::TYPE_IPV6 });
            (result, finish_checksum(frame, offload))
        };
        if inline {
            let packet = push_inline(packets, frame_len);
            let (result, checksum) = fill(&mut packet.header);
            packet.checksum = checksum;
            return result;
        }
        let (fragment, (result, checksum)) =
            self.extents.lend(frame_len, fill).expect("a page is idle and holds the MTU: Config::check");
        packets.push(TxPacket::default());
        let packet = packets.last_mut().expect("pushed one line above");
        packet.fragments.push(fragment);
        packet.checksum = checksum;
        result
    }

    /// Bytes of the largest packet.
    pub(crate) fn mtu(&self) -> usize {
        self.mtu
    }

    /// The largest segment that we take, as a SYN says it.
    pub(crate) fn mss(&self, ends: Ends) -> u16 {
        let headers = ends.header_len() + ipv4::TCP_HEADER_LEN;
        u16::try_from(self.mtu.saturating_sub(headers)).unwrap_or(u16::MAX)
    }

    /// Whether a packet of `len` bytes would leave, rather than be lost.
    pub(crate) fn can_make(&self, len: usize) -> bool {
        ether::HEADER_LEN + len <= HEADER_LEN_MAX || (len <= self.mtu && self.extents.idle() > 0)
    }

    /// Appends a short frame of another protocol, at most [`HEADER_LEN_MAX`] bytes with its header.
    pub(crate) fn other(
        &mut self,
        packets: &mut Vec<TxPacket>,
        counters: &mut Counters,
        (to, ether_type): (Mac, u16),
        payload: &[u8],
    ) {
        let packet = push_inline(packets, ether::HEADER_LEN + payload.len());
        ether::write_header(&mut packet.header, to, self.mac, ether_type);
        packet.header[ether::HEADER_LEN..].copy_from_slice(payload);
        counters.tx_packets += 1;
    }

    /// Appends a frame that is complete, its checksums included; lost without a page, like others.
    pub(crate) fn whole(&mut self, packets: &mut Vec<TxPacket>, counters: &mut Counters, frame: &[u8]) {
        let mut packet = TxPacket::default();
        if packet.header.try_extend_from_slice(frame).is_err() {
            match self.extents.lend(frame.len(), |page| page.copy_from_slice(frame)) {
                Some((fragment, ())) => packet.fragments.push(fragment),
                None => {
                    counters.tx_no_page += 1;
                    return;
                }
            }
        }
        counters.tx_packets += 1;
        packets.push(packet);
    }

    fn scratch(&mut self, len: usize) -> &mut [u8] {
        if self.scratch.len() < len {
            self.scratch.resize(len, 0);
        }
        &mut self.scratch[..len]
    }
}

#[inline]
fn push_inline(packets: &mut Vec<TxPacket>, frame_len: usize) -> &mut TxPacket {
    packets.push(TxPacket::default());
    let packet = packets.last_mut().expect("pushed one line above");
    let zeroes = [0; HEADER_LEN_MAX];
    packet.header.try_extend_from_slice(&zeroes[..frame_len]).expect("the callers keep to HEADER_LEN_MAX");
    packet
}

/// Leaves a TCP or UDP checksum to the card (its field then holds the sum of the pseudo-header), or
/// computes it. Packets we make have no IP options; those with a fragment header, or a part of a
/// datagram that is not the first, are as they should be already.
#[inline]
fn finish_checksum(frame: &mut [u8], offload: Offload) -> Option<TxChecksum> {
    let packet = &frame[IP_START..];
    let (ends, protocol, offload, is_v4) = match packet[0] >> 4 {
        4 => {
            let header = packet.first_chunk::<{ ipv4::HEADER_LEN }>()?;
            if header[6] & 0x3f != 0 || header[7] != 0 {
                return None;
            }
            (ipv4::ends(header), header[9], offload.ipv4, true)
        }
        _ => {
            let header = packet.first_chunk::<{ ipv6::HEADER_LEN }>()?;
            (ipv6::ends(header), header[6], offload.ipv6, false)
        }
    };
    let transport = match protocol {
        PROTOCOL_TCP => TxProtocol::Tcp,
        PROTOCOL_UDP => TxProtocol::Udp,
        _ => return None,
    };
    let start = IP_START + ends.header_len();
    let checksum =
        TxChecksum { protocol: transport, ipv4: is_v4, ip_start: IP_START as u8, start: start as u8 };
    let field = start + usize::from(checksum.offset());
    if frame.len() < field + 2 {
        return None;
    }
    if offload {
        let pseudo = ends.pseudo_header(protocol, frame.len() - start);
        frame[field..field + 2].copy_from_slice(&pseudo.folded().to_be_bytes());
        return Some(checksum);
    }
    frame[field..field + 2].fill(0);
    let sum = transport_checksum(ends, protocol, &frame[start..]);
    frame[field..field + 2].copy_from_slice(&sum.to_be_bytes());
    None
}

/// The checksum of a TCP segment, UDP datagram or ICMPv6 message whose own field is zero.
pub(crate) fn transport_checksum(ends: Ends, protocol: u8, payload: &[u8]) -> u16 {
    let checksum = ends.pseudo_header(protocol, payload.len()).bytes(payload).checksum();
    // For UDP zero says that there is none (RFC 768); its other form is the same number.
    if protocol == PROTOCOL_UDP && checksum == 0 { u16::MAX } else { checksum }
}
