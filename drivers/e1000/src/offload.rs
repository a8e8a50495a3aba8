//! Transmit offloads: which packets the card can complete or cut, and the contexts it keeps for them.
//!
//! Receives a packet's wish and hands on who fulfils it, and descriptor words. The card remembers the last context
//! of each kind, so one that did not change costs neither a slot nor the pipeline stall of a new one. How buffers
//! are cut to descriptors is in [`pieces`], what the driver's own segments look like in [`segment`].

pub(crate) mod pieces;
pub(crate) mod segment;

use crate::desc::{self, tx::TXSM};
use crate::ids::Features;
use naio_nic::tx::{PACKET_LEN_MAX, TxProtocol};
use naio_nic::{TxChecksum, TxPacket};
use pieces::Piece;

/// Shortest IP headers (RFC 791 3.1, RFC 8200 3).
const IPV4_HEADER_LEN_MIN: usize = 20;
const IPV6_HEADER_LEN: usize = 40;
/// Shortest TCP header, and where its length stands in it (RFC 9293 3.1).
const TCP_HEADER_LEN_MIN: usize = 20;
const TCP_DATA_OFFSET: usize = 12;
/// Shortest frame without FCS; shorter ones are padded by the driver, because hardware padding is faulty on
/// some parts and missing in QEMU (8254x fact sheet 3.8, item 10).
pub(crate) const FRAME_LEN_MIN: usize = 60;
/// Longest buffer of a packet that the card cuts, and how many segments it may hold: the engine needs room for
/// that many at once (8254x fact sheet 3.7).
const LONG_PIECE_LEN_MAX: u32 = 4_096;
const LONG_PIECE_SEGMENTS: u32 = 4;
/// What the last descriptor of such a packet carries: it may be reported before more were fetched (8254x fact
/// sheet 5.3).
pub(crate) const SENTINEL_LEN: u32 = 4;
/// Bytes of the transmit FIFO that a frame leaves free (8254x SDM 3.5.4).
const FIFO_SLACK: usize = 80;

/// A packet that is to be cut, as far as everybody who might cut it must know it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Long {
    pub(crate) checksum: TxChecksum,
    pub(crate) mss: u16,
    pub(crate) payload: u32,
}

impl Long {
    /// Frames it becomes.
    pub(crate) fn frames(&self) -> u32 {
        self.payload.div_ceil(self.mss.into()).max(1)
    }

    /// Longest buffer of a descriptor when the card cuts.
    pub(crate) fn piece_len_max(&self) -> u32 {
        (u32::from(self.mss) * LONG_PIECE_SEGMENTS).min(LONG_PIECE_LEN_MAX)
    }
}

/// What the card can do, what it is told once and keeps, and what it must not be given next.
#[derive(Debug)]
pub(crate) struct Offload {
    checksum: bool,
    segmentation: bool,
    /// The packet after one that was cut needs a sentinel too.
    sentinel_behind: bool,
    frame_len_max: usize,
    fifo_len: usize,
    /// [`TxChecksum::word`] of the last plain context.
    plain: Option<u32>,
    /// Where the checksum of `plain` ends.
    plain_end: usize,
    long: Option<(u64, u64)>,
    after_long: bool,
}

impl Offload {
    /// For a card that sends frames of at most `frame_len_max` bytes.
    pub(crate) fn new(features: &Features, frame_len_max: usize) -> Offload {
        Offload {
            checksum: features.tx_checksum,
            segmentation: features.tx_segmentation,
            sentinel_behind: features.tx_sentinel_behind,
            frame_len_max,
            fifo_len: features.tx_fifo_len(),
            plain: None,
            plain_end: 0,
            long: None,
            after_long: false,
        }
    }

    /// Bytes of a packet that is not to be cut, if it is a frame and the card can complete what is asked.
    #[inline]
    pub(crate) fn frame_len(&self, packet: &TxPacket) -> Option<usize> {
        let mut len = packet.header.len();
        for fragment in &packet.fragments {
            if fragment.slice.len() == 0 {
                return None;
            }
            len += fragment.slice.len() as usize;
        }
        let fits = (1..=self.frame_len_max).contains(&len);
        let completes = match packet.checksum {
            None => true,
            // What was completed before needs no more than to be there.
            Some(wanted) if self.plain == Some(wanted.word()) => field_end(wanted) <= len,
            Some(wanted) => self.checksum && can_complete(wanted, len),
        };
        (fits && completes).then_some(len)
    }

    /// What completes a packet of `len` bytes that is not to be cut and needs no padding, no sentinel and nothing that
    /// the card was not told for one before it: [`TXSM`] or nothing. `None` if it is another one.
    #[inline]
    pub(crate) fn as_before(&self, packet: &TxPacket, len: usize) -> Option<u64> {
        if self.after_long || packet.mss.is_some() || !(FRAME_LEN_MIN..=self.frame_len_max).contains(&len) {
            return None;
        }
        match packet.checksum {
            None => Some(0),
            Some(wanted) => (self.plain == Some(wanted.word()) && self.plain_end <= len).then_some(TXSM),
        }
    }

    /// A packet that is to be cut, if that can be done: the contract of [`TxPacket::mss`] holds, the card
    /// completes its checksum, and no segment is longer than a frame.
    pub(crate) fn long(&self, packet: &TxPacket) -> Option<Long> {
        let (mss, checksum) = (packet.mss?.get(), packet.checksum?);
        let (header, len) = (packet.header.as_slice(), packet.len());
        let tcp = header.get(usize::from(checksum.start)..)?;
        let tcp_len = usize::from(tcp.get(TCP_DATA_OFFSET)? >> 4) * 4;
        let ip_min = if checksum.ipv4 { IPV4_HEADER_LEN_MIN } else { IPV6_HEADER_LEN };
        let ordered = usize::from(checksum.ip_start) + ip_min <= usize::from(checksum.start);
        let exact = tcp_len >= TCP_HEADER_LEN_MIN && tcp_len == tcp.len();
        let payload = len - header.len();
        let fits =
            len <= PACKET_LEN_MAX && header.len() + payload.min(usize::from(mss)) <= self.frame_len_max;
        let whole = packet.fragments.iter().all(|f| f.slice.len() > 0);
        let tcp = self.checksum && checksum.protocol == TxProtocol::Tcp;
        // At most 65535, as just seen.
        (tcp && ordered && exact && fits && whole).then_some(Long { checksum, mss, payload: payload as u32 })
    }

    /// Whether the card may cut it; otherwise the driver does.
    ///
    /// It may not: what becomes one frame (cheaper without), IPv6 (whose length it gets wrong), a segment that would
    /// have to be padded, one beyond its FIFO, and an end that makes no separate last descriptor (8254x fact sheet
    /// 3.7, 3.8 and 5.3).
    pub(crate) fn card_cuts(&self, packet: &TxPacket, long: Long) -> bool {
        let mss = u32::from(long.mss);
        if !self.segmentation || !long.checksum.ipv4 || long.payload <= mss {
            return false;
        }
        let Some(last) = packet.fragments.last().map(|fragment| Piece::of(fragment.slice)) else {
            return false;
        };
        let Some(body) = last.len.checked_sub(SENTINEL_LEN) else { return false };
        let sentinel = Piece { address: last.address + u64::from(body), len: SENTINEL_LEN };
        let header = packet.header.len();
        let shortest = match long.payload % mss {
            0 => mss,
            rest => rest,
        };
        sentinel.is_whole(SENTINEL_LEN)
            && header + shortest as usize >= FRAME_LEN_MIN
            && header + usize::from(long.mss) + FIFO_SLACK <= self.fifo_len
    }

    /// The context descriptor to put before a plain packet, `None` if the card holds it already.
    pub(crate) fn context(&mut self, wanted: TxChecksum) -> Option<(u64, u64)> {
        if self.plain == Some(wanted.word()) {
            return None;
        }
        (self.plain, self.plain_end) = (Some(wanted.word()), field_end(wanted));
        Some(desc::context(wanted))
    }

    /// The same for a packet that the card cuts; it keeps this one apart from the others.
    pub(crate) fn long_context(&mut self, long: Long, header_len: usize) -> Option<(u64, u64)> {
        let wanted = desc::segmentation(long.checksum, header_len, long.mss, long.payload);
        self.after_long = self.sentinel_behind;
        (self.long.replace(wanted) != Some(wanted)).then_some(wanted)
    }

    /// The card was reset: it holds nothing any more.
    pub(crate) fn forget(&mut self) {
        (self.plain, self.long, self.after_long) = (None, None, false);
    }

    /// Whether a packet of a single descriptor needs a sentinel, being the first since the card cut one.
    pub(crate) fn needs_sentinel(&self) -> bool {
        self.after_long
    }

    pub(crate) fn has_sentinel(&mut self) {
        self.after_long = false;
    }
}

/// The field must lie inside the frame (8254x fact sheet 3.6), the headers must stand in order, and
/// every offset must fit its byte of the context: what spills over lands in the field next to it.
fn can_complete(wanted: TxChecksum, frame_len: usize) -> bool {
    let end = field_end(wanted);
    let ordered = usize::from(wanted.ip_start) + IPV4_HEADER_LEN_MIN <= usize::from(wanted.start);
    ordered && end - 2 <= usize::from(u8::MAX) && end <= frame_len
}

/// One past the checksum.
fn field_end(wanted: TxChecksum) -> usize {
    usize::from(wanted.start) + usize::from(wanted.offset()) + 2
}
