//! A packet on its way down: header bytes inline, payload by reference.

use arrayvec::ArrayVec;
use naio_dma::DmaSlice;
use std::num::NonZeroU16;

/// Most header bytes of one packet: Ethernet 14 + VLAN 4 + IPv6 40 + TCP 60, rounded up.
pub const HEADER_LEN_MAX: usize = 128;

/// Most payload references of one packet: 64 KiB of payload in 4 KiB pieces, and two ends.
pub const FRAGMENTS_MAX: usize = 18;

/// Names memory that a packet refers to. The driver gives it back, once for each fragment, when the
/// card no longer reads that memory; what it means is the sender's own affair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ExtentId(pub u32);

/// A stretch of payload that the card fetches by itself.
#[derive(Clone, Copy, Debug)]
pub struct Fragment {
    /// The bytes, as the card sees them. Their owner keeps them until the extent comes back.
    pub slice: DmaSlice,
    /// What to give back when the card is done with them.
    pub extent: ExtentId,
}

/// A checksum that the card completes.
///
/// The field at `start + offset` holds the folded, not inverted sum of the pseudo-header including
/// the length; the card adds everything from `start` to the end of the packet, inverts, stores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TxChecksum {
    /// Which transport header.
    pub protocol: TxProtocol,
    /// IPv4, with a header checksum that is already right; otherwise IPv6.
    pub ipv4: bool,
    /// First byte of the IP header, from the first byte of the frame.
    pub ip_start: u8,
    /// First byte of the transport header, from the first byte of the frame.
    pub start: u8,
}

/// The transport protocols whose checksum a card completes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TxProtocol {
    /// Checksum field at byte 16 of the header (RFC 9293 3.1).
    Tcp,
    /// Checksum field at byte 6 of the header (RFC 768).
    Udp,
}

impl TxChecksum {
    /// All of it as one number, which is compared faster than four: two are equal where these are.
    #[inline]
    #[must_use]
    pub const fn word(self) -> u32 {
        u32::from_ne_bytes([self.protocol as u8, self.ipv4 as u8, self.ip_start, self.start])
    }

    /// Offset of the checksum field from `start`.
    #[must_use]
    pub const fn offset(self) -> u8 {
        match self.protocol {
            TxProtocol::Tcp => 16,
            TxProtocol::Udp => 6,
        }
    }
}

/// Most bytes of one packet with its header, cut or not: what an IPv4 length could say.
pub const PACKET_LEN_MAX: usize = 65_535;

/// A packet for the wire: destination address first, without FCS.
///
/// The frame is `header` followed by the fragments. Shorter than 60 bytes it is padded by the
/// driver.
#[derive(Clone, Debug, Default)]
pub struct TxPacket {
    /// The first bytes of the frame, copied by the driver when posted; may be empty if there are
    /// fragments.
    pub header: ArrayVec<u8, HEADER_LEN_MAX>,
    /// The rest of the frame, by reference.
    pub fragments: ArrayVec<Fragment, FRAGMENTS_MAX>,
    /// The checksum the card is to complete, if any.
    pub checksum: Option<TxChecksum>,
    /// Cut the TCP payload into segments of this many bytes; the last one is what remains.
    ///
    /// Then `header` is exactly the Ethernet (with a VLAN tag or without), IP and TCP headers, `checksum` is that of TCP, and the
    /// payload is in `fragments`. What differs from segment to segment is filled in by whoever cuts: the
    /// IP length (whatever is there is ignored), the IPv4 identification (counted up from what is there)
    /// and header checksum, the sequence number, PSH and FIN (kept in the last segment only), and the
    /// length in the pseudo-header: the checksum field holds the folded, not inverted sum *without* it.
    /// A packet of one segment may be described like this too.
    pub mss: Option<NonZeroU16>,
}

impl TxPacket {
    /// Bytes of the frame before padding; with [`mss`](TxPacket::mss), of all segments and one header.
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "an empty packet is no packet")]
    pub fn len(&self) -> usize {
        self.header.len() + self.fragments.iter().map(|f| f.slice.len() as usize).sum::<usize>()
    }
}
