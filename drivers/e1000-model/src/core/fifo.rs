//! The packet buffer's pointers for diagnosis (8254x SDM 13.8.1 to 13.8.10): receives what the FIFOs
//! hold and hands on heads, tails and packet counts, in words of 8 bytes. While a FIFO is empty its
//! pointers are equal, and what software wrote last.

use super::Core;
use crate::regs::{RDFH, RDFHS, RDFPC, RDFT, RDFTS, TDFH, TDFHS, TDFPC, TDFT, TDFTS};

/// Bytes of a word of the packet buffer.
const WORD: usize = 8;
/// Pointers have this many values.
const POINTERS: u32 = 1 << 13;

impl Core {
    /// A FIFO register as it reads; `None` if `at` is none.
    pub(super) fn fifo_register(&self, at: u32) -> Option<u32> {
        let (rx, tx) = (self.rx.fifo_used(), self.tx.fifo_used());
        let tail = |head: u32, used: usize| (self.reg(head) + used.div_ceil(WORD) as u32) % POINTERS;
        Some(match at {
            RDFT if rx > 0 => tail(RDFH, rx),
            RDFTS if rx > 0 => tail(RDFHS, rx),
            TDFT if tx > 0 => tail(TDFH, tx),
            TDFTS if tx > 0 => tail(TDFHS, tx),
            RDFH | RDFT | RDFHS | RDFTS | TDFH | TDFT | TDFHS | TDFTS => self.reg(at),
            RDFPC => self.rx.fifo_frames() as u32 & (POINTERS - 1),
            // A packet leaves as soon as it is complete.
            TDFPC => 0,
            _ => return None,
        })
    }
}
