//! A received frame on its way up.

use naio_dma::Page;

/// What the card says about a frame's checksums. "Unknown" is the honest answer of most emulators;
/// whoever consumes the frame then checks in software.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RxChecksum {
    /// Not looked at, or the verdict is not to be trusted for this packet.
    Unknown,
    /// The IPv4 header and the TCP or UDP checksum are right.
    Good,
}

/// A frame as the card received it: destination address first, without FCS, in one page.
///
/// Owning it is owning its page, which goes back with [`Nic::post_rx`](crate::Nic::post_rx).
#[derive(Debug)]
#[must_use = "a frame that is forgotten takes its page along"]
pub struct RxFrame {
    /// The page that holds the frame.
    pub page: Page,
    /// Where in the page the frame starts.
    pub offset: u16,
    /// Bytes of the frame. `offset + len` is inside the page: the driver has checked.
    pub len: u16,
    /// What the card says about its checksums.
    pub checksum: RxChecksum,
}
