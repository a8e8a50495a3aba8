//! Where packets are made: a frame in one piece, inline if it is small, in a page otherwise.
//!
//! Receives a length and whoever writes the IP packet, and appends a [`TxPacket`]: Ethernet header
//! in front, the TCP checksum left to the card or computed. It never refuses: a packet that cannot
//! be sent is written into a scratch buffer, counted and forgotten, which is loss, and TCP knows
//! what to do about loss (guard b: smoltcp forgets a fast retransmission that is *refused*).

use crate::counters::Counters;
use crate::ether;
use crate::extent::Extents;
use crate::ipv4::{self, PROTOCOL_TCP};
use naio_nic::tx::{HEADER_LEN_MAX, TxProtocol};
use naio_nic::{Caps, Mac, TxChecksum, TxPacket};

/// First byte of the IP header in a frame.
const IP_START: usize = ether::HEADER_LEN;
/// First byte of the TCP header in a frame: packets we make have no IP options.
const TCP_START: usize = IP_START + ipv4::HEADER_LEN;
/// The checksum field of a TCP header.
const TCP_CHECKSUM: usize = TCP_START + 16;

pub(crate) struct Outbox {
    pub(crate) extents: Extents,
    pub(crate) mac: Mac,
    mtu: usize,
    offload: bool,
    /// Receives packets that go nowhere.
    scratch: Vec<u8>,
}

impl Outbox {
    pub(crate) fn new(extents: Extents, caps: &Caps) -> Outbox {
        let scratch = vec![0; ether::HEADER_LEN + caps.mtu];
        Outbox { extents, mac: caps.mac, mtu: caps.mtu, offload: caps.tx_checksum_ipv4, scratch }
    }

    /// Appends an IPv4 packet of `len` bytes, written by `write`, for the station `to`. Returns what
    /// `write` returned. Without a station, or without a page, the packet is counted as lost.
    #[inline]
    pub(crate) fn ipv4<R>(
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
            ether::write_header(frame, to, mac, ether::TYPE_IPV4);
            let result = write(&mut frame[IP_START..]);
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

    /// Whether an IPv4 packet of `len` bytes would leave, rather than be lost.
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

/// Leaves a TCP checksum to the card (its field then holds the sum of the pseudo-header), or
/// computes it.
#[inline]
fn finish_checksum(frame: &mut [u8], offload: bool) -> Option<TxChecksum> {
    if frame[IP_START + 9] != PROTOCOL_TCP || frame.len() < TCP_START + ipv4::TCP_HEADER_LEN {
        return None;
    }
    let addresses = std::array::from_fn(|n| frame[IP_START + 12 + n]);
    let pseudo = ipv4::pseudo_header(addresses, PROTOCOL_TCP, frame.len() - TCP_START);
    if offload {
        frame[TCP_CHECKSUM..TCP_CHECKSUM + 2].copy_from_slice(&pseudo.folded().to_be_bytes());
        return Some(TxChecksum {
            protocol: TxProtocol::Tcp,
            ipv4: true,
            ip_start: IP_START as u8,
            start: TCP_START as u8,
        });
    }
    frame[TCP_CHECKSUM..TCP_CHECKSUM + 2].fill(0);
    let checksum = pseudo.bytes(&frame[TCP_START..]).checksum();
    frame[TCP_CHECKSUM..TCP_CHECKSUM + 2].copy_from_slice(&checksum.to_be_bytes());
    None
}
