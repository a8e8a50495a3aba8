//! Address and VLAN filters (8254x SDM 3.2.1, 13.5): receives a frame and the filter tables, hands
//! on whether the card takes it. It never counts and never changes a table.

use crate::core::Core;
use crate::parts::Mac;
use crate::regs::{self, MTA, RA, VET, VFTA, rctl};

/// Pairs of receive address registers.
const ADDRESSES: u32 = 16;
/// RAH.AV: the entry is valid.
const AV: u32 = 1 << 31;

/// What the filters say about a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Rejected,
    Accepted {
        /// By the hash table alone: software must look at the address.
        inexact: bool,
    },
}

/// The 12-bit hash of a multicast address for RCTL.MO (8254x SDM 13.5.1).
pub(crate) fn hash(address: &[u8], mo: u32) -> u32 {
    let (low, high) = (u32::from(address[4]), u32::from(address[5]));
    let shift = 4 - mo.min(2) - u32::from(mo == 3) * 2;
    ((low >> shift) | (high << (8 - shift))) & 0xfff
}

impl Core {
    /// Looks at a frame of at least 14 bytes.
    pub(crate) fn filter(&self, frame: &[u8]) -> Verdict {
        let control = self.reg(regs::RCTL);
        if control & rctl::VFE != 0 && !self.vlan_passes(frame, control) {
            return Verdict::Rejected;
        }
        let Some(address) = frame.first_chunk::<6>() else { return Verdict::Rejected };
        if self.station_matches(frame) {
            return Verdict::Accepted { inexact: false };
        }
        let exact = Verdict::Accepted { inexact: false };
        if *address == [0xff; 6] {
            return if control & rctl::BAM != 0 { exact } else { Verdict::Rejected };
        }
        if address[0] & 1 == 0 {
            return if control & rctl::UPE != 0 { exact } else { Verdict::Rejected };
        }
        if control & rctl::MPE != 0 {
            return exact;
        }
        let hash = hash(address, control >> rctl::MO_SHIFT & 3);
        let hit = self.reg(MTA + (hash >> 5) * 4) >> (hash & 31) & 1 != 0;
        if hit { Verdict::Accepted { inexact: true } } else { Verdict::Rejected }
    }

    /// A tagged frame must hit the VLAN table, and CFI must be as asked, even in promiscuous mode.
    fn vlan_passes(&self, frame: &[u8], control: u32) -> bool {
        let Some(tag) = self.tag(frame) else { return true };
        let id = u32::from(tag) & 0xfff;
        if self.reg(VFTA + (id >> 5) * 4) >> (id & 31) & 1 == 0 {
            return false;
        }
        let cfi = tag & 0x1000 != 0;
        control & rctl::CFIEN == 0 || cfi == (control & rctl::CFI != 0)
    }

    /// The tag of a frame whose type is VET.
    pub(crate) fn tag(&self, frame: &[u8]) -> Option<u16> {
        let at = frame.get(12..16)?;
        let kind = u16::from_be_bytes([at[0], at[1]]);
        let tagged = self.part.mac >= Mac::I82543 && u32::from(kind) == self.reg(VET);
        tagged.then(|| u16::from_be_bytes([at[2], at[3]]))
    }

    pub(crate) fn station_matches(&self, frame: &[u8]) -> bool {
        let entries = if self.quirks.secondary_addresses_ignored { 1 } else { ADDRESSES };
        (0..entries).any(|n| {
            let high = self.reg(RA + n * 8 + 4);
            if high & AV == 0 {
                return false;
            }
            let start = match high >> 16 & 3 {
                0 => 0,
                1 => 6,
                _ => return false,
            };
            frame.get(start..start + 6) == Some(&self.address(n)[..])
        })
    }

    /// Receive address register `n` as six bytes.
    pub(crate) fn address(&self, n: u32) -> [u8; 6] {
        let [a, b, c, d] = self.reg(RA + n * 8).to_le_bytes();
        let [e, f, ..] = self.reg(RA + n * 8 + 4).to_le_bytes();
        [a, b, c, d, e, f]
    }
}

#[cfg(test)]
mod tests {
    use super::hash;

    #[test]
    fn the_four_hashes_of_the_datasheets_example() {
        let address = [0x01, 0xaa, 0x00, 0x12, 0x34, 0x56];
        let hashes: Vec<u32> = (0..4).map(|mo| hash(&address, mo)).collect();
        assert_eq!(hashes, [0x563, 0xac6, 0x58d, 0x634]);
    }
}
