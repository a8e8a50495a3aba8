//! What a card can do, and the state of its link.

/// An Ethernet address in wire order.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Every station on the segment.
    pub const BROADCAST: Mac = Mac([0xff; 6]);

    /// Whether a station may have this address: unicast and not zero.
    #[must_use]
    pub fn is_station(self) -> bool {
        self.0[0] & 1 == 0 && self.0 != [0; 6]
    }
}

impl std::fmt::Display for Mac {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl std::fmt::Debug for Mac {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// Who cuts a TCP packet that is longer than a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Segmentation {
    /// Nobody: such a packet is refused.
    None,
    /// The driver, before the card sees it: headers are written for each segment, payload is only named.
    Driver,
    /// The card.
    Card,
}

impl Segmentation {
    /// Whether long packets may be posted at all.
    #[must_use]
    pub fn is_offered(self) -> bool {
        self != Segmentation::None
    }
}

/// What a card can do. The data plane does in software what is missing here.
#[derive(Clone, Debug)]
pub struct Caps {
    /// The station address.
    pub mac: Mac,
    /// The part, for people: `82540EM`.
    pub model: &'static str,
    /// Largest IP packet that fits in a frame and in a receive page, in bytes.
    pub mtu: usize,
    /// The card completes TCP and UDP checksums of IPv4 packets ([`TxChecksum`](crate::TxChecksum)).
    pub tx_checksum_ipv4: bool,
    /// The same for IPv6.
    pub tx_checksum_ipv6: bool,
    /// Most fragments a packet may have.
    pub tx_fragments: usize,
    /// Who cuts long TCP packets of IPv4 into segments ([`TxPacket::mss`](crate::TxPacket::mss)).
    pub tx_segmentation_ipv4: Segmentation,
    /// The same for IPv6.
    pub tx_segmentation_ipv6: Segmentation,
    /// Descriptors of the receive ring.
    pub rx_ring: u32,
    /// Descriptors of the transmit ring.
    pub tx_ring: u32,
}

/// The link as the card reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// No partner.
    Down,
    /// Frames pass.
    Up {
        /// 10, 100 or 1000.
        mbit_per_s: u32,
        /// Both directions at once.
        full_duplex: bool,
    },
}

impl Link {
    /// Whether frames pass.
    #[must_use]
    pub fn is_up(self) -> bool {
        matches!(self, Link::Up { .. })
    }
}
