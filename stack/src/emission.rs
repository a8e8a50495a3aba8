//! What smoltcp emits becomes packets: its headers, and payload from where it really lies.
//!
//! Receives an IP packet as smoltcp wrote it, of which only the headers mean anything (its payload comes from a ring
//! that nobody writes), and the [`Stream`] that knows the bytes. Hands on [`TxPacket`]s whose payload is named and not
//! touched, or copied into a page where it was copied before. Segments longer than the peer takes are left to whoever
//! cuts below ([`TxPacket::mss`]); one that consists of too many parts becomes several.

use crate::counters::Counters;
use crate::ether;
use crate::extent::Extents;
use crate::ipv4::{self, FIN, PSH, SYN, TCP_FLAGS_AT, TCP_HEADER_LEN};
use crate::ipv6;
use crate::outbox::{IP_START, Outbox, transport_checksum};
use crate::packet::{Ends, PROTOCOL_TCP};
use crate::port::Emitted;
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

/// What is read of an emitted segment. Its headers stay where smoltcp wrote them and are changed there.
#[derive(Clone, Copy)]
pub(crate) struct Headers {
    /// Bytes of them, Ethernet's included: at most [`HEADER_LEN_MAX`].
    len: usize,
    /// First byte of the TCP header.
    transport: usize,
    ends: Ends,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: u8,
    pub(crate) window: u16,
    pub(crate) payload_len: usize,
}

impl Headers {
    /// Reads them from the front of a frame; `None` if it is no TCP segment as smoltcp writes them, which knows neither
    /// IPv4 options nor IPv6 extension headers.
    #[inline(always)]
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
        let payload_len = frame.len().checked_sub(len).filter(|_| len <= HEADER_LEN_MAX)?;
        let seq = u32::from_be_bytes([tcp[4], tcp[5], tcp[6], tcp[7]]);
        let ack = u32::from_be_bytes([tcp[8], tcp[9], tcp[10], tcp[11]]);
        let window = u16::from_be_bytes([tcp[14], tcp[15]]);
        Some(Headers { len, transport, ends, seq, ack, flags: tcp[TCP_FLAGS_AT], window, payload_len })
    }

    #[inline]
    pub(crate) fn has(&self, flag: u8) -> bool {
        self.flags & flag != 0
    }

    /// Sequence numbers that the segment takes.
    #[inline]
    pub(crate) fn seq_len(&self) -> u32 {
        self.payload_len as u32 + u32::from(self.has(SYN)) + u32::from(self.has(FIN))
    }

    /// Bytes of the IP packet.
    #[inline]
    pub(crate) fn packet_len(&self) -> usize {
        self.len - IP_START + self.payload_len
    }

    fn is_v4(&self) -> bool {
        matches!(self.ends, Ends::V4 { .. })
    }

    fn options_len(&self) -> usize {
        self.len - self.transport - TCP_HEADER_LEN
    }

    /// Writes another sequence number.
    #[inline]
    fn write_seq(&self, frame: &mut [u8], seq: u32) {
        frame[self.transport + 4..self.transport + 8].copy_from_slice(&seq.to_be_bytes());
    }

    /// Makes them those of `len` bytes that begin `from` bytes into the payload; FIN and PSH are the last ones'.
    fn write_part(&self, frame: &mut [u8], from: usize, len: usize) {
        // A segment has at most 65 535 bytes; sequence numbers wrap.
        self.write_seq(frame, self.seq.wrapping_add(from as u32));
        let is_last = from + len == self.payload_len;
        frame[self.transport + TCP_FLAGS_AT] = if is_last { self.flags } else { self.flags & !(FIN | PSH) };
        let ip_len = self.len - IP_START + len;
        let ip = &mut frame[IP_START..];
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
    #[inline(always)]
    fn seed_checksum(&self, frame: &mut [u8], len: usize, is_cut: bool) -> TxChecksum {
        let checksum = TxChecksum {
            protocol: TxProtocol::Tcp,
            ipv4: self.is_v4(),
            ip_start: IP_START as u8,
            start: self.transport as u8,
        };
        let counted = if is_cut { 0 } else { self.len - self.transport + len };
        let sum = self.ends.pseudo_header(PROTOCOL_TCP, counted).folded();
        let field = self.transport + CHECKSUM_AT;
        frame[field..field + 2].copy_from_slice(&sum.to_be_bytes());
        checksum
    }
}

/// The checksum in a TCP header (RFC 9293 3.1).
const CHECKSUM_AT: usize = 16;

impl Outbox {
    /// Appends what smoltcp writes with `write`, an IP packet of `len` bytes for the station `to`; the payload comes
    /// from `source`, and what it was is noted in `emitted`. As [`packet`](Outbox::packet) it never refuses: what cannot
    /// be sent is lost and counted.
    #[inline]
    pub(crate) fn segment<R>(
        &mut self,
        (packets, counters): (&mut Vec<TxPacket>, &mut Counters),
        to: Option<Mac>,
        len: usize,
        source: &Source<'_>,
        emitted: &mut Emitted,
        write: impl FnOnce(&mut [u8]) -> R,
    ) -> R {
        let mut scratch = std::mem::take(&mut self.scratch);
        let frame_len = ether::HEADER_LEN + len;
        if scratch.len() < frame_len {
            scratch.resize(frame_len, 0);
        }
        let frame = &mut scratch[..frame_len];
        let result = write(&mut frame[IP_START..]);
        let headers = Headers::read(frame);
        if let Some(headers) = &headers
            && let Some(seq) = emitted.note(headers, source.mss)
        {
            headers.write_seq(frame, seq);
        }
        match (to, headers) {
            (None, _) => counters.tx_unresolved += 1,
            (Some(to), Some(headers)) => {
                let kind = if headers.is_v4() { ether::TYPE_IPV4 } else { ether::TYPE_IPV6 };
                ether::write_header(frame, to, self.mac, kind);
                self.make(packets, counters, &mut frame[..headers.len], &headers, source);
            }
            // A multicast report, which smoltcp emits whenever it likes.
            (Some(to), None) => self.packet(packets, counters, Some(to), len, |packet| {
                packet.copy_from_slice(&frame[IP_START..]);
            }),
        }
        self.scratch = scratch;
        result
    }

    /// Makes as many packets of a segment as it needs; `frame` holds its headers.
    #[inline(always)]
    fn make(
        &mut self,
        packets: &mut Vec<TxPacket>,
        counters: &mut Counters,
        frame: &mut [u8],
        headers: &Headers,
        source: &Source<'_>,
    ) {
        let offset = source.acknowledged.checked_add_signed(distance(source.una, headers.seq));
        let mss = usize::from(source.mss).saturating_sub(headers.options_len()).max(1);
        let mut done = 0;
        loop {
            let left = headers.payload_len - done;
            let at = offset.map(|offset| offset + done as u64);
            let len = if left == 0 { 0 } else { self.fitting(source.stream, at, left, mss, headers.is_v4()) };
            // Only what was cut differs from what smoltcp wrote.
            if len < headers.payload_len {
                headers.write_part(frame, done, len);
            }
            packets.push(TxPacket::default());
            let made = match packets.last_mut() {
                Some(packet) => self.make_one(packet, frame, headers, (at, len), mss, source.stream),
                None => None,
            };
            if made.is_some() {
                counters.tx_packets += if len <= mss { 1 } else { len.div_ceil(mss) as u64 };
            } else {
                packets.pop();
                counters.tx_no_page += 1;
            }
            done += len;
            if done >= headers.payload_len {
                return;
            }
        }
    }

    /// How many of `left` bytes go into the next packet.
    #[inline]
    fn fitting(&self, stream: &Stream, at: Option<u64>, left: usize, mss: usize, is_v4: bool) -> usize {
        let most = if self.cuts(is_v4) { left } else { left.min(mss) };
        let Some(at) = at else { return most };
        match stream.part(at, most) {
            Some(part) if part.len() < most => self.fitting_parts(stream, at, most, mss),
            _ => most,
        }
    }

    #[cold]
    fn fitting_parts(&self, stream: &Stream, at: u64, most: usize, mss: usize) -> usize {
        let (mut len, mut fragments) = (0, 0);
        for part in stream.parts(at, most) {
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

    /// Fills one packet; `None` if there is no page for what has to be copied, or nobody knows the bytes.
    #[inline(always)]
    fn make_one(
        &mut self,
        packet: &mut TxPacket,
        frame: &mut [u8],
        headers: &Headers,
        (at, len): (Option<u64>, usize),
        mss: usize,
        stream: &Stream,
    ) -> Option<()> {
        if !self.offload(headers.is_v4()) {
            return self.make_summed(packet, frame, headers, (at, len), stream);
        }
        let is_cut = len > mss;
        packet.checksum = Some(headers.seed_checksum(frame, len, is_cut));
        // A segment on the wire is at most 65 535 bytes, and so is one that is not cut.
        packet.mss = if is_cut { NonZeroU16::new(mss as u16) } else { None };
        packet.header.try_extend_from_slice(frame).ok()?;
        if len == 0 {
            return Some(());
        }
        // Mostly it is a part of one stretch.
        if let Some(at) = at
            && let Some(Part::Stretch { index, start, len: all }) = stream.part(at, len)
            && all as usize == len
        {
            packet.fragments.push(self.extents.refer(index, start, all)?);
            return Some(());
        }
        self.fill_parts(packet, (at, len), stream)
    }

    #[inline(never)]
    fn fill_parts(
        &mut self,
        packet: &mut TxPacket,
        (at, len): (Option<u64>, usize),
        stream: &Stream,
    ) -> Option<()> {
        let known = at.map_or(0, |at| fill(packet, &mut self.extents, stream, at, len));
        if known == 0 && len == 1 {
            // The byte before SND.UNA, which a keep-alive repeats (RFC 1122 4.2.3.6): anything may be in it.
            packet.header.push(0);
            return Some(());
        }
        if known < len {
            for fragment in &packet.fragments {
                self.extents.release(fragment.extent);
            }
            return None;
        }
        Some(())
    }

    /// A packet whose checksum nobody below computes: all in one page, from copies only.
    #[cold]
    fn make_summed(
        &mut self,
        packet: &mut TxPacket,
        frame: &mut [u8],
        headers: &Headers,
        (at, len): (Option<u64>, usize),
        stream: &Stream,
    ) -> Option<()> {
        let field = headers.transport + CHECKSUM_AT;
        frame[field..field + 2].fill(0);
        let write = |whole: &mut [u8]| {
            whole[..headers.len].copy_from_slice(frame);
            let payload = &mut whole[headers.len..];
            let known = at.map_or(0, |at| stream.copy_out(at, payload));
            payload[known..].fill(0);
            // Of a keep-alive the byte does not matter, see above.
            let is_known = known == len || (known == 0 && len == 1);
            let sum = transport_checksum(headers.ends, PROTOCOL_TCP, &whole[headers.transport..]);
            whole[field..field + 2].copy_from_slice(&sum.to_be_bytes());
            is_known
        };
        let whole_len = headers.len + len;
        if whole_len <= HEADER_LEN_MAX {
            let mut whole = [0; HEADER_LEN_MAX];
            let is_known = write(&mut whole[..whole_len]);
            packet.header.try_extend_from_slice(&whole[..whole_len]).ok()?;
            return is_known.then_some(());
        }
        let (fragment, is_known) = self.extents.lend(whole_len, write)?;
        if !is_known {
            self.extents.release(fragment.extent);
            return None;
        }
        packet.fragments.push(fragment);
        Some(())
    }
}

/// Adds the `len` bytes at `at`: by name, copies in the header where they fit, in pages otherwise. Returns how many
/// bytes it found room for.
#[inline]
fn fill(packet: &mut TxPacket, extents: &mut Extents, stream: &Stream, at: u64, len: usize) -> usize {
    let mut known = 0;
    while known < len
        && let Some(part) = stream.part(at + known as u64, len - known)
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
