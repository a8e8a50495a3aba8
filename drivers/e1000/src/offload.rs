//! Transmit offloads: which packets the card can complete, and the context it keeps for them.
//!
//! Receives a packet's wish and hands on descriptor words. The card remembers the last context, so
//! one that did not change costs neither a slot nor the pipeline stall of a new one.

use crate::desc;
use naio_dma::DmaSlice;
use naio_nic::{TxChecksum, TxPacket};

/// Longest buffer of one descriptor (8254x SDM; fact sheet 1.3).
const PIECE_LEN_MAX: u32 = 16_288;

/// Shortest IP header of either version (RFC 791 3.1).
const IPV4_HEADER_LEN_MIN: usize = 20;

/// Address and length of one data descriptor.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Piece {
    pub(crate) address: u64,
    len: u32,
}

impl Piece {
    /// No data: consumed by the card without effect.
    pub(crate) const EMPTY: Piece = Piece { address: 0, len: 0 };

    pub(crate) fn of(slice: DmaSlice) -> Piece {
        Piece { address: slice.iova().as_u64(), len: slice.len() }
    }

    /// The second quadword: length and command.
    pub(crate) fn word(self, command: u64) -> u64 {
        u64::from(self.len) | command
    }
}

/// What the card is told once and keeps.
#[derive(Debug)]
pub(crate) struct Offload {
    checksum: bool,
    current: Option<TxChecksum>,
}

impl Offload {
    pub(crate) fn new(checksum: bool) -> Offload {
        Offload { checksum, current: None }
    }

    /// Whether every piece fits a descriptor and the card can complete what is asked.
    pub(crate) fn can(&self, packet: &TxPacket) -> bool {
        let pieces = packet.fragments.iter().all(|f| (1..=PIECE_LEN_MAX).contains(&f.slice.len()));
        pieces && packet.checksum.is_none_or(|wanted| self.checksum && can_complete(wanted, packet.len()))
    }

    /// The context descriptor to put before the packet, `None` if the card holds it already.
    pub(crate) fn context(&mut self, wanted: TxChecksum) -> Option<(u64, u64)> {
        if self.current == Some(wanted) {
            return None;
        }
        self.current = Some(wanted);
        Some(desc::context(wanted))
    }
}

/// The field must lie inside the frame (8254x fact sheet 3.6), the headers must stand in order, and
/// every offset must fit its byte of the context: what spills over lands in the field next to it.
fn can_complete(wanted: TxChecksum, frame_len: usize) -> bool {
    let field = usize::from(wanted.start) + usize::from(wanted.offset());
    let ordered = usize::from(wanted.ip_start) + IPV4_HEADER_LEN_MIN <= usize::from(wanted.start);
    ordered && field <= usize::from(u8::MAX) && field + 2 <= frame_len
}
