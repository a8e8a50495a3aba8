//! The multicast filter: a table of 4096 bits, one for each hash of a group address (8254x SDM
//! 13.5.1, fact sheet 2.11).
//!
//! Receives the groups that are wanted and makes the table let them in; others that share a hash come
//! in as well, which is for the software above to notice.

use crate::ids::Features;
use crate::regs::{MTA, MTA_WORDS, STATUS};
use naio_device::Registers;
use naio_nic::Mac;

/// The table, as it was written last: the card's own copy is never read.
#[derive(Debug)]
pub(crate) struct MulticastTable {
    words: [u32; MTA_WORDS as usize],
}

impl MulticastTable {
    /// Empty, as bring-up leaves it.
    pub(crate) fn new() -> MulticastTable {
        MulticastTable { words: [0; MTA_WORDS as usize] }
    }

    /// Lets in these groups and no others (but for equal hashes). Only words that change are written,
    /// and the even one of a pair again after its odd one (82544 erratum).
    pub(crate) fn set(&mut self, registers: &impl Registers, features: &Features, groups: &[Mac]) {
        let mut wanted = [0; MTA_WORDS as usize];
        for group in groups {
            let hash = hash(*group);
            wanted[hash / 32] |= 1 << (hash % 32);
        }
        for n in (0..wanted.len()).rev() {
            let after_odd =
                features.table_words_from_the_top && n % 2 == 0 && wanted[n + 1] != self.words[n + 1];
            if wanted[n] != self.words[n] || after_odd {
                registers.write(MTA + 4 * n as u32, wanted[n]);
                // Bridges that merge two neighbouring writes break some parts (8254x fact sheet 4.1).
                registers.read(STATUS);
            }
        }
        self.words = wanted;
    }
}

/// Bits 47:36 of the address, for RCTL.MO = 00.
fn hash(group: Mac) -> usize {
    let [.., e, f] = group.0;
    usize::from(e >> 4) | usize::from(f) << 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_fact_sheet_2_11() {
        assert_eq!(hash(Mac([0x01, 0xaa, 0x00, 0x12, 0x34, 0x56])), 0x563);
    }
}
