//! Errata of single parts that a driver must work around (fact sheet section 5).
//!
//! Receives what the driver gave to the card and hands on findings, where [`Options::errata`] asks for
//! them: a driver that relies on luck is told so. Apart from the filter tables of the 82544, which are
//! really corrupted, the card goes on as if nothing were.
//!
//! [`Options::errata`]: crate::Options::errata

use crate::config::Slot;
use crate::core::Core;
use crate::parts::Mac;
use crate::regs::{MTA, RA, VFTA};
use crate::tx::desc::Descriptor;
use crate::violation::{Ring, Wrong};

/// Buffers and rings must not cross a multiple of this on the first 82545 and 82546 (errata 23).
const BLOCK: u64 = 0x1_0000;
/// Most bytes of a packet's first buffer in PCI-X mode (errata 10).
const FIRST_LEN_MAX: usize = 2_015;
/// A last buffer of a segmentation up to this needs no sentinel.
const SENTINEL_LEN_MAX: usize = 8;

/// The last buffer of a segmentation has at least this, so that it is not reported before it is fetched.
const SENTINEL_LEN_MIN: usize = 4;
/// Longest buffer of a segmentation, also in segments: the engine wants room for so many.
const SEGMENTED_LEN_MAX: usize = 4_096;
const SEGMENTED_SEGMENTS_MAX: usize = 4;

/// An erratum that a driver ran into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Erratum {
    /// A ring or buffer crosses a multiple of 64 KB (82545, 82546).
    Crosses64K,
    /// The first buffer of a packet is longer than 2015 bytes in PCI-X mode.
    LongFirstBuffer,
    /// A buffer's last byte lies in an even dword (82544 in PCI-X mode).
    EndsInEvenDword,
    /// The last buffer of a segmentation, or of the single-buffer packet after it, has no sentinel of 4
    /// bytes: it may be reported before it is fetched.
    NoSentinel,
    /// A buffer of a segmentation is longer than four segments or 4096 bytes.
    LongSegmentedBuffer,
    /// An address above 4 GB outside of PCI-X mode.
    HighAddress,
    /// RDTR is not 0: reception may hang.
    ReceiveTimer,
    /// A packet of less than 60 bytes is left to the hardware to pad.
    HardwarePadding,
}

impl Core {
    fn erratum(&mut self, what: Erratum, place: Option<(Ring, u32)>) {
        self.violations.add(self.now_ns, Wrong::Erratum { what }, place);
    }

    fn in_pci_x(&self) -> bool {
        self.options.slot.seen_by(self.part) > Slot::Pci66
    }

    /// Memory that the card writes.
    pub(crate) fn errata_of_area(&mut self, iova: u64, len: u64, place: (Ring, u32)) {
        if !self.options.errata || len == 0 {
            return;
        }
        let first_revision = matches!(self.part.mac, Mac::I82545 | Mac::I82546);
        if first_revision && iova / BLOCK != iova.saturating_add(len - 1) / BLOCK {
            self.erratum(Erratum::Crosses64K, Some(place));
        }
        self.errata_of_address(iova, place);
    }

    fn errata_of_address(&mut self, iova: u64, place: (Ring, u32)) {
        if iova >> 32 != 0 && !self.in_pci_x() {
            self.erratum(Erratum::HighAddress, Some(place));
        }
    }

    /// A transmit descriptor with data; `first` of its packet.
    pub(crate) fn errata_of_buffer(&mut self, descriptor: Descriptor, first: bool, index: u32) {
        let len = descriptor.len();
        if !self.options.errata || len == 0 || descriptor.low == 0 {
            return;
        }
        let place = (Ring::Transmit, index);
        self.errata_of_address(descriptor.low, place);
        if self.in_pci_x() && first && len > FIRST_LEN_MAX {
            self.erratum(Erratum::LongFirstBuffer, Some(place));
        }
        let end = descriptor.low.wrapping_add(len as u64 - 1);
        if self.in_pci_x() && self.part.mac == Mac::I82544 && len > 4 && end & 4 == 0 {
            self.erratum(Erratum::EndsInEvenDword, Some(place));
        }
        let single = first && descriptor.eop() && self.tx.after_segmentation && self.part.mac != Mac::I82544;
        let last = descriptor.tse() && descriptor.eop();
        let no_sentinel = (last || single && !descriptor.tse()) && len > SENTINEL_LEN_MAX;
        if no_sentinel || last && len < SENTINEL_LEN_MIN {
            self.erratum(Erratum::NoSentinel, Some(place));
        }
        let first_revision = matches!(self.part.mac, Mac::I82545 | Mac::I82546);
        if first_revision && descriptor.low / BLOCK != end / BLOCK {
            self.erratum(Erratum::Crosses64K, Some(place));
        }
        // The first buffer holds the header, which is fetched once.
        let most = (self.tx.segmentation_mss() * SEGMENTED_SEGMENTS_MAX).min(SEGMENTED_LEN_MAX);
        if descriptor.tse() && !first && len > most {
            self.erratum(Erratum::LongSegmentedBuffer, Some(place));
        }
        if descriptor.eop() {
            self.tx.after_segmentation = descriptor.tse();
        }
    }

    /// RDTR is written.
    pub(crate) fn errata_of_timer(&mut self, value: u32) {
        if self.options.errata && value & 0xffff != 0 {
            self.erratum(Erratum::ReceiveTimer, None);
        }
    }

    /// A packet leaves before padding.
    pub(crate) fn errata_of_length(&mut self, len: usize, index: u32) {
        if self.options.errata && len < 60 {
            self.erratum(Erratum::HardwarePadding, Some((Ring::Transmit, index)));
        }
    }

    /// The 82544 writes an odd entry of MTA or VFTA into the even one before it as well.
    pub(crate) fn errata_of_table(&mut self, at: u32, value: u32) {
        let table = (MTA..RA).contains(&at) || (VFTA..VFTA + 0x200).contains(&at);
        if self.options.errata && self.part.mac == Mac::I82544 && table && at & 4 != 0 {
            self.set_reg(at - 4, value);
        }
    }
}
