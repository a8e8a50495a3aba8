//! What smoltcp emits becomes packets: its headers, and payload from where it really lies.
//!
//! Receives an IP packet as smoltcp wrote it, of which only the headers mean anything (its payload comes from a ring
//! that nobody writes), and the [`Stream`] that knows the bytes. Hands on [`TxPacket`]s whose payload is named and not
//! touched, or copied into a page where it was copied before. Segments longer than the peer takes are left to whoever
//! cuts below ([`TxPacket::mss`]); one that consists of too many parts becomes several.

use crate::counters::Counters;
use crate::ether;
use crate::extent::Extents;
use crate::ipv4::{self, FIN, PSH, TCP_FLAGS_AT, TCP_HEADER_LEN};
use crate::ipv6;
use crate::outbox::{IP_START, Outbox, transport_checksum};
use crate::packet::{Ends, PROTOCOL_TCP};
use crate::stream::{Part, Stream};
use naio_nic::tx::{FRAGMENTS_MAX, HEADER_LEN_MAX, TxProtocol};
use naio_nic::{Mac, TxChecksum, TxPacket};
use naio_sys::checksum::Sum;
use std::num::NonZeroU16;

/// Where the payload of a connection's segments lies, and how much of it fits a segment.
pub(crate) struct Source<'a> {
    pub(crate) stream: &'a Stream,
    /// SND.UNA, as a sequence number and as an offset into the stream.
    pub(crate) una: u32,
    pub(crate) acknowledged: u64,
    /// Most bytes of a segment behind a TCP header without options.
    pub(crate) mss: u16,
}

/// The headers of an emitted segment, Ethernet's included.
struct Headers {
    bytes: [u8; HEADER_LEN_MAX],
    len: usize,
    /// First byte of the TCP header.
    transport: usize,
    ends: Ends,
    seq: u32,
    flags: u8,
}

impl Headers {
    /// Reads them from the front of a frame; `None` if it is no TCP segment as smoltcp writes them.
    #[inline]
    fn read(frame: &[u8]) -> Option<Headers> {
        let packet = frame.get(IP_START..)?;
        let ends = match packet.first()? >> 4 {
            4 => {
                let header = packet.first_chunk::<{ ipv4::HEADER_LEN }>()?;
                (header[9] == PROTOCOL_TCP).then(|| ipv4::ends(header))?
            }
            _ => {
                let header = packet.first_chunk::<{ ipv6::HEADER_LEN }>()?;
                (header[6] == PROTOCOL_TCP).then(|| ipv6::ends(header))?
            }
        };
        let transport = IP_START + ends.header_len();
        let tcp = frame.get(transport..)?.first_chunk::<TCP_HEADER_LEN>()?;
        let len = transport + usize::from(tcp[12] >> 4) * 4;
        let seq = u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]);
        let mut bytes = [0; HEADER_LEN_MAX];
        bytes.get_mut(..len)?.copy_from_slice(frame.get(..len)?);
        Some(Headers { bytes, len, transport, ends, seq, flags: tcp[TCP_FLAGS_AT] })
    }

    fn options_len(&self) -> usize {
        self.len - self.transport - TCP_HEADER_LEN
    }

    /// Makes them those of `len` bytes that begin `from` bytes into the payload; FIN and PSH are the last ones'.
    fn set_part(&mut self, from: usize, len: usize, is_last: bool) {
        let tcp = &mut self.bytes[self.transport..];
        // A segment has at most 65 535 bytes; sequence numbers wrap.
        tcp[4..8].copy_from_slice(&self.seq.wrapping_add(from as u32).to_be_bytes());
        tcp[TCP_FLAGS_AT] = if is_last { self.flags } else { self.flags & !(FIN | PSH) };
        let ip_len = self.len - IP_START + len;
        let ip = &mut self.bytes[IP_START..];
        match self.ends {
            Ends::V4 { .. } => {
                ip[2..4].copy_from_slice(&(ip_len as u16).to_be_bytes());
                ip[10..12].fill(0);
                let checksum = Sum::ZERO.bytes(&ip[..ipv4::HEADER_LEN]).checksum();
                ip[10..12].copy_from_slice(&checksum.to_be_bytes());
            }
            Ends::V6 { .. } => {
                ip[4..6].copy_from_slice(&((ip_len - ipv6::HEADER_LEN) as u16).to_be_bytes());
            }
        }
    }

    /// Puts the sum of the pseudo-header where the card expects it, and says what the card is to do.
    fn seed_checksum(&mut self, len: usize, is_cut: bool) -> TxChecksum {
        let checksum = TxChecksum {
            protocol: TxProtocol::Tcp,
            ipv4: matches!(self.ends, Ends::V4 { .. }),
            ip_start: IP_START as u8,
            start: self.transport as u8,
        };
        let counted = if is_cut { 0 } else { self.len - self.transport + len };
        let sum = self.ends.pseudo_header(PROTOCOL_TCP, counted).folded();
        let field = self.transport + usize::from(checksum.offset());
        self.bytes[field..field + 2].copy_from_slice(&sum.to_be_bytes());
        checksum
    }
}

impl Outbox {
    /// Appends what smoltcp writes with `write`, an IP packet of `len` bytes for the station `to`; the payload comes
    /// from `source`. As [`packet`](Outbox::packet) it never refuses: what cannot be sent is lost and counted.
    #[inline]
    pub(crate) fn segment<R>(
        &mut self,
        packets: &mut Vec<TxPacket>,
        counters: &mut Counters,
        to: Option<Mac>,
        len: usize,
        source: &Source<'_>,
        write: impl FnOnce(&mut [u8]) -> R,
    ) -> R {
        let mut scratch = std::mem::take(&mut self.scratch);
        let frame_len = ether::HEADER_LEN + len;
        if scratch.len() < frame_len {
            scratch.resize(frame_len, 0);
        }
        let frame = &mut scratch[..frame_len];
        let result = write(&mut frame[IP_START..]);
        match to {
            None => counters.tx_unresolved += 1,
            Some(to) => {
                let is_v4 = frame[IP_START] >> 4 == 4;
                let kind = if is_v4 { ether::TYPE_IPV4 } else { ether::TYPE_IPV6 };
                ether::write_header(frame, to, self.mac, kind);
                match Headers::read(frame) {
                    Some(headers) => {
                        let payload_len = frame_len - headers.len;
                        self.make(packets, counters, headers, payload_len, source);
                    }
                    // A multicast report, which smoltcp emits whenever it likes.
                    None => self.packet(packets, counters, Some(to), len, |packet| {
                        packet.copy_from_slice(&frame[IP_START..]);
                    }),
                }
            }
        }
        self.scratch = scratch;
        result
    }

    /// Makes as many packets of a segment as it needs.
    #[inline]
    fn make(
        &mut self,
        packets: &mut Vec<TxPacket>,
        counters: &mut Counters,
        mut headers: Headers,
        payload_len: usize,
        source: &Source<'_>,
    ) {
        let is_v4 = matches!(headers.ends, Ends::V4 { .. });
        let offset = source.acknowledged.checked_add_signed(distance(source.una, headers.seq));
        let mss = usize::from(source.mss).saturating_sub(headers.options_len()).max(1);
        let mut done = 0;
        loop {
            let left = payload_len - done;
            let at = offset.map(|offset| offset + done as u64);
            let len = self.fitting(source.stream, at.unwrap_or(0), left, mss, is_v4);
            // Only what was cut differs from what smoltcp wrote.
            if len < payload_len {
                headers.set_part(done, len, done + len == payload_len);
            }
            match self.make_one(&mut headers, at, len, mss, source.stream) {
                Some(packet) => {
                    counters.tx_packets += len.div_ceil(mss).max(1) as u64;
                    packets.push(packet);
                }
                None => counters.tx_no_page += 1,
            }
            done += len;
            if done >= payload_len {
                return;
            }
        }
    }

    /// How many of `left` bytes go into the next packet.
    #[inline]
    fn fitting(&self, stream: &Stream, at: u64, left: usize, mss: usize, is_v4: bool) -> usize {
        let most = if self.cuts(is_v4) { left } else { left.min(mss) };
        let (mut len, mut fragments) = (0, 0);
        for part in stream.parts(at, most) {
            if part.len() >= most {
                return most;
            }
            fragments += match part {
                Part::Stretch { .. } => 1,
                Part::Copy(bytes) => bytes.len().div_ceil(self.extents.page_len()),
            };
            if fragments > FRAGMENTS_MAX {
                // Whole segments, if it is several.
                return if len > mss { len - len % mss } else { len.max(1) };
            }
            len += part.len();
        }
        most
    }

    /// One packet; `None` if there is no page for what has to be copied, or nobody knows the bytes.
    #[inline]
    fn make_one(
        &mut self,
        headers: &mut Headers,
        at: Option<u64>,
        len: usize,
        mss: usize,
        stream: &Stream,
    ) -> Option<TxPacket> {
        if !self.offload(matches!(headers.ends, Ends::V4 { .. })) {
            return self.make_summed(headers, at, len, stream);
        }
        let is_cut = len > mss;
        let mut packet =
            TxPacket { checksum: Some(headers.seed_checksum(len, is_cut)), ..TxPacket::default() };
        // A segment on the wire is at most 65 535 bytes, and so is one that is not cut.
        packet.mss = if is_cut { NonZeroU16::new(mss as u16) } else { None };
        packet.header.try_extend_from_slice(&headers.bytes[..headers.len]).ok()?;
        let known = match at {
            Some(at) => fill(&mut packet, &mut self.extents, stream, at, len),
            None => 0,
        };
        if known == 0 && len == 1 {
            // The byte before SND.UNA, which a keep-alive repeats (RFC 1122 4.2.3.6): anything may be in it.
            packet.header.push(0);
            return Some(packet);
        }
        if known < len {
            for fragment in &packet.fragments {
                self.extents.release(fragment.extent);
            }
            return None;
        }
        Some(packet)
    }

    /// A packet whose checksum nobody below computes: all in one page, from copies only.
    #[cold]
    fn make_summed(
        &mut self,
        headers: &mut Headers,
        at: Option<u64>,
        len: usize,
        stream: &Stream,
    ) -> Option<TxPacket> {
        let field = headers.transport + 16;
        headers.bytes[field..field + 2].fill(0);
        let write = |frame: &mut [u8]| {
            frame[..headers.len].copy_from_slice(&headers.bytes[..headers.len]);
            let payload = &mut frame[headers.len..];
            let known = at.map_or(0, |at| stream.copy_out(at, payload));
            payload[known..].fill(0);
            // Of a keep-alive the byte does not matter, see above.
            let is_known = known == len || (known == 0 && len == 1);
            let sum = transport_checksum(headers.ends, PROTOCOL_TCP, &frame[headers.transport..]);
            frame[field..field + 2].copy_from_slice(&sum.to_be_bytes());
            is_known
        };
        let mut packet = TxPacket::default();
        let frame_len = headers.len + len;
        if frame_len <= HEADER_LEN_MAX {
            let mut frame = [0; HEADER_LEN_MAX];
            let is_known = write(&mut frame[..frame_len]);
            packet.header.try_extend_from_slice(&frame[..frame_len]).ok()?;
            return is_known.then_some(packet);
        }
        let (fragment, is_known) = self.extents.lend(frame_len, write)?;
        if !is_known {
            self.extents.release(fragment.extent);
            return None;
        }
        packet.fragments.push(fragment);
        Some(packet)
    }
}

/// Adds the `len` bytes at `at`: by name, copies in the header where they fit, in pages otherwise. Returns how many
/// bytes it found room for.
#[inline]
fn fill(packet: &mut TxPacket, extents: &mut Extents, stream: &Stream, at: u64, len: usize) -> usize {
    let mut known = 0;
    while known < len
        && let Some(part) = stream.parts(at + known as u64, len - known).next()
    {
        let fragment = match part {
            Part::Stretch { index, start, len } => extents.refer(index, start, len),
            Part::Copy(bytes) if is_short(packet, bytes) => {
                packet.header.extend(bytes.iter().copied());
                known += bytes.len();
                continue;
            }
            // Neighbouring copies share a page: a segment of copies needs one.
            Part::Copy(_) => {
                let from = at + known as u64;
                let len = stream.copies(from, len - known).min(extents.page_len());
                extents.lend(len, |page| stream.copy_out(from, page)).map(|(fragment, _)| fragment)
            }
        };
        let Some(fragment) = fragment else { return known };
        if packet.fragments.try_push(fragment).is_err() {
            extents.release(fragment.extent);
            return known;
        }
        known += fragment.slice.len() as usize;
    }
    known
}

/// Whether bytes may stand behind the headers: they belong to one segment and come first.
fn is_short(packet: &TxPacket, bytes: &[u8]) -> bool {
    packet.mss.is_none() && packet.fragments.is_empty() && bytes.len() <= packet.header.remaining_capacity()
}

/// How far sequence number `to` lies behind `from`.
fn distance(from: u32, to: u32) -> i64 {
    i64::from(to.wrapping_sub(from) as i32)
}
