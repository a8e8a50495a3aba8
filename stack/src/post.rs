//! Datagrams on their way out: one packet if it fits the MTU, fragments if not, at once if the next
//! hop's station address is known, from a bounded waiting list if not yet.
//!
//! Receives a transport header and payload, and appends packets for the next egress. Everything of
//! a datagram is taken or nothing. It never uses the last quarter of the transmit pages: those are
//! TCP's.

use crate::Stack;
use crate::ipv6;
use crate::neighbor::Resolution;
use crate::outbox::transport_checksum;
use crate::packet::{Ends, PROTOCOL_UDP};
use naio_nic::tx::HEADER_LEN_MAX;
use naio_nic::{Mac, TxPacket};
use naio_sys::checksum::Sum;
use std::collections::VecDeque;
use std::net::IpAddr;

/// How many times the bound of one neighbour may wait for all of them together.
const NEIGHBORS_WAITED_FOR: usize = 4;
/// Neighbours that are waited for at a time.
const HOPS_MAX: usize = 64;
/// Part of the transmit pages that datagrams leave alone.
const RESERVE_PART: usize = 4;
/// More-fragments, in the field of IPv4 that also holds the offset (RFC 791 3.1).
const MORE_FRAGMENTS: u16 = 0x2000;
/// Separates the uses of one key.
const DOMAIN_IDENTIFICATION: u64 = 3;

/// Where a packet goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hop {
    /// To everybody, or to a group.
    Station(Mac),
    Neighbor(IpAddr),
}

/// What became of a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Posted,
    Busy,
    Unreachable,
}

/// A datagram to be sent: `header` is the transport's, its checksum field still zero if it is UDP.
pub(crate) struct Post<'a> {
    pub(crate) ends: Ends,
    pub(crate) protocol: u8,
    pub(crate) header: &'a [u8; 8],
    pub(crate) bytes: &'a [u8],
}

/// Packets that wait for one neighbour.
struct Waiting {
    hop: IpAddr,
    packets: VecDeque<Box<[u8]>>,
    bytes: usize,
}

/// Datagrams between their users and the card.
#[derive(Default)]
pub(crate) struct Posted {
    /// Made, for the next egress.
    pub(crate) packets: Vec<TxPacket>,
    waiting: Vec<Waiting>,
    /// Grows with each datagram that may be fragmented.
    identification: u32,
}

impl Posted {
    /// Packets, made or waiting.
    pub(crate) fn len(&self) -> usize {
        self.packets.len() + self.waiting.iter().map(|waiting| waiting.packets.len()).sum::<usize>()
    }

    fn waiting_bytes(&self) -> usize {
        self.waiting.iter().map(|waiting| waiting.bytes).sum()
    }
}

/// One piece of a datagram: this many bytes from here, of header and payload together.
#[derive(Clone, Copy)]
struct Piece {
    start: usize,
    len: usize,
    /// Offsets and more-fragments matter, and the identification does.
    fragment: Option<u32>,
    last: bool,
}

impl Post<'_> {
    fn len(&self) -> usize {
        self.header.len() + self.bytes.len()
    }

    /// The pieces for an MTU. A datagram that is cut needs the identification.
    fn pieces(&self, mtu: usize, identification: u32) -> impl Iterator<Item = Piece> + use<> {
        let (len, header_len) = (self.len(), self.ends.header_len());
        let whole = header_len + len <= mtu;
        let extension = if matches!(self.ends, Ends::V6 { .. }) { 8 } else { 0 };
        // Every fragment but the last is a multiple of eight bytes.
        let step = if whole { len } else { (mtu - header_len - extension) & !7 };
        (0..len).step_by(step).map(move |start| Piece {
            start,
            len: step.min(len - start),
            fragment: (!whole).then_some(identification),
            last: start + step >= len,
        })
    }

    fn packet_len(&self, piece: Piece) -> usize {
        let extension = piece.fragment.is_some() && matches!(self.ends, Ends::V6 { .. });
        self.ends.header_len() + if extension { 8 } else { 0 } + piece.len
    }

    /// Writes the packet of a piece. The checksum of an uncut one is left to whoever sends it.
    fn write(&self, piece: Piece, identification: u16, packet: &mut [u8]) {
        let header_len = self.ends.header_len();
        let mut start = header_len;
        match self.ends {
            Ends::V4 { .. } => {
                self.ends.write_header(packet, self.protocol);
                let more = if piece.last { 0 } else { MORE_FRAGMENTS };
                // Offsets are below 65 536 and a multiple of eight.
                let field = (piece.start / 8) as u16 | more;
                self.finish_ipv4(packet, identification, field);
            }
            Ends::V6 { .. } => {
                let protocol = if piece.fragment.is_some() { ipv6::FRAGMENT } else { self.protocol };
                self.ends.write_header(packet, protocol);
                if self.ends.destination().is_multicast() {
                    packet[7] = 1;
                }
                if let Some(id) = piece.fragment {
                    let field = piece.start as u16 | u16::from(!piece.last);
                    packet[40..42].copy_from_slice(&[self.protocol, 0]);
                    packet[42..44].copy_from_slice(&field.to_be_bytes());
                    packet[44..48].copy_from_slice(&id.to_be_bytes());
                    start += 8;
                }
            }
        }
        let body = &mut packet[start..];
        let header = piece.start..(piece.start + piece.len).min(self.header.len()).max(piece.start);
        let header = self.header.get(header).unwrap_or(&[]);
        body[..header.len()].copy_from_slice(header);
        let from = piece.start.saturating_sub(self.header.len());
        let len = piece.len - header.len();
        body[header.len()..].copy_from_slice(&self.bytes[from..from + len]);
    }

    /// May be fragmented, with an identification (RFC 6864 4.1: such a datagram is not atomic).
    fn finish_ipv4(&self, packet: &mut [u8], identification: u16, field: u16) {
        packet[4..6].copy_from_slice(&identification.to_be_bytes());
        packet[6..8].copy_from_slice(&field.to_be_bytes());
        if self.ends.destination().is_multicast() {
            packet[8] = 1;
        }
        packet[10..12].fill(0);
        let checksum = Sum::ZERO.bytes(&packet[..20]).checksum();
        packet[10..12].copy_from_slice(&checksum.to_be_bytes());
    }

    /// The whole checksum, for a datagram that is cut: nobody behind this sees all of it.
    fn checksummed_header(&self) -> [u8; 8] {
        let sum = self.ends.pseudo_header(self.protocol, self.len()).bytes(self.header).bytes(self.bytes);
        let checksum = if sum.checksum() == 0 { u16::MAX } else { sum.checksum() };
        let mut header = *self.header;
        header[6..8].copy_from_slice(&checksum.to_be_bytes());
        header
    }
}

impl Stack {
    /// Sends a datagram.
    pub(crate) fn post(&mut self, hop: Hop, post: &Post<'_>) -> Outcome {
        let mtu = self.outbox.mtu();
        let id = self.next_identification(post.ends);
        let cut = post.ends.header_len() + post.len() > mtu;
        // Other protocols come with their checksum.
        let bare = cut && post.protocol == PROTOCOL_UDP;
        let header = if bare { post.checksummed_header() } else { *post.header };
        let post = Post { header: &header, ..*post };
        let count = post.pieces(mtu, id).count();
        let station = match hop {
            Hop::Station(mac) => mac,
            Hop::Neighbor(address) => match self.neighbors.resolve(self.now, address, &mut self.counters) {
                Resolution::Known(mac) => mac,
                Resolution::Failed => return Outcome::Unreachable,
                Resolution::Pending => return self.wait(address, &post, id),
            },
        };
        let inline =
            count == 1 && crate::ether::HEADER_LEN + post.ends.header_len() + post.len() <= HEADER_LEN_MAX;
        let pages = if inline { 0 } else { count };
        let room = self.posted.packets.len() + count <= self.config.udp_packets_max.max(count);
        if !room || !self.may_use_pages(pages) {
            return Outcome::Busy;
        }
        self.counters.tx_fragments += if cut { count as u64 } else { 0 };
        for piece in post.pieces(mtu, id) {
            let (packets, counters) = (&mut self.posted.packets, &mut self.counters);
            self.outbox.packet(packets, counters, Some(station), post.packet_len(piece), |packet| {
                // The lower half is what IPv4 has room for.
                post.write(piece, id as u16, packet);
            });
        }
        Outcome::Posted
    }

    /// Whether datagrams may take that many pages.
    fn may_use_pages(&self, pages: usize) -> bool {
        let extents = &self.outbox.extents;
        pages == 0 || pages + extents.len() / RESERVE_PART <= extents.idle()
    }

    /// Unforeseeable for those who get no packets from us (RFC 7739): a keyed start for each pair of
    /// hosts, then one after the other.
    fn next_identification(&mut self, ends: Ends) -> u32 {
        self.posted.identification = self.posted.identification.wrapping_add(1);
        let words = crate::demux::FlowKey::of_received(ends, 0, 0).words();
        let start = self.key.prf(&[DOMAIN_IDENTIFICATION, words[1], words[2], words[3], words[4]]);
        (start as u32).wrapping_add(self.posted.identification)
    }

    /// Keeps a datagram until its next hop is known (RFC 1122 2.3.2.2).
    fn wait(&mut self, hop: IpAddr, post: &Post<'_>, id: u32) -> Outcome {
        let mtu = self.outbox.mtu();
        let bytes: usize = post.pieces(mtu, id).map(|piece| post.packet_len(piece)).sum();
        let max = self.config.unresolved_bytes_max;
        let total = self.posted.waiting_bytes() + bytes;
        let waiting = &mut self.posted.waiting;
        let at = waiting.iter().position(|waiting| waiting.hop == hop);
        let here = at.map_or(0, |at| waiting[at].bytes);
        let crowded = at.is_none() && waiting.len() >= HOPS_MAX;
        if crowded || here + bytes > max || total > max.saturating_mul(NEIGHBORS_WAITED_FOR) {
            return Outcome::Busy;
        }
        let at = at.unwrap_or_else(|| {
            waiting.push(Waiting { hop, packets: VecDeque::new(), bytes: 0 });
            waiting.len() - 1
        });
        waiting[at].bytes += bytes;
        for piece in post.pieces(mtu, id) {
            let mut packet = vec![0; post.packet_len(piece)].into_boxed_slice();
            post.write(piece, id as u16, &mut packet);
            waiting[at].packets.push_back(packet);
        }
        self.counters.tx_waited += 1;
        Outcome::Posted
    }

    /// Neighbours have answered or failed, or there are pages again: packets that waited for them
    /// move on.
    pub(crate) fn wake_posted(&mut self) {
        let mut waiting = std::mem::take(&mut self.posted.waiting);
        waiting.retain_mut(|waiting| {
            match self.neighbors.resolve(self.now, waiting.hop, &mut self.counters) {
                Resolution::Pending => return true,
                Resolution::Failed => {
                    self.counters.tx_unresolved += waiting.packets.len() as u64;
                    return false;
                }
                Resolution::Known(mac) => {
                    while self.may_use_pages(1)
                        && let Some(bytes) = waiting.packets.pop_front()
                    {
                        waiting.bytes -= bytes.len();
                        let (packets, counters) = (&mut self.posted.packets, &mut self.counters);
                        self.outbox.packet(packets, counters, Some(mac), bytes.len(), |packet| {
                            packet.copy_from_slice(&bytes);
                        });
                    }
                }
            }
            !waiting.packets.is_empty()
        });
        self.posted.waiting = waiting;
    }

    /// Hands out what has been posted, at most up to `end`.
    pub(crate) fn egress_posted(&mut self, end: usize, out: &mut Vec<TxPacket>) {
        if !self.posted.waiting.is_empty() {
            self.wake_posted();
        }
        let count = self.posted.packets.len().min(end.saturating_sub(out.len()));
        out.extend(self.posted.packets.drain(..count));
    }

    pub(crate) fn has_posted(&self) -> bool {
        !self.posted.packets.is_empty()
    }
}

/// The checksum of ICMPv6 and of others whose field lies at byte 2 of `message`.
pub(crate) fn finish_message(ends: Ends, protocol: u8, message: &mut [u8]) {
    message[2..4].fill(0);
    let checksum = match ends {
        Ends::V4 { .. } => Sum::ZERO.bytes(message).checksum(),
        Ends::V6 { .. } => transport_checksum(ends, protocol, message),
    };
    message[2..4].copy_from_slice(&checksum.to_be_bytes());
}
