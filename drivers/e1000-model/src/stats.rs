//! The statistics registers (8254x SDM 13.7): receives events, hands on counts, clears on read.
//!
//! Counters stick at all ones. Of a 64-bit pair, the low half reads without effect and the high half
//! clears both.

use crate::parts::{Mac, Part};
use crate::regs::STATS;

/// Counters, 4 bytes apart.
const COUNT: usize = 64;

macro_rules! counters {
    ($($name:ident $offset:literal)*) => { $(pub(crate) const $name: usize = ($offset - 0x4000) / 4;)* };
}

counters! {
    CRCERRS 0x4000 ALGNERRC 0x4004 SYMERRS 0x4008 RXERRC 0x400c MPC 0x4010 SCC 0x4014 ECOL 0x4018 MCC 0x401c
    LATECOL 0x4020 COLC 0x4028 DC 0x4030 TNCRS 0x4034 SEC 0x4038
    CEXTERR 0x403c RLEC 0x4040 XONRXC 0x4048 XONTXC 0x404c XOFFRXC 0x4050 XOFFTXC 0x4054 FCRUC 0x4058
    PRC64 0x405c GPRC 0x4074 BPRC 0x4078 MPRC 0x407c GPTC 0x4080 GORC 0x4088 GOTC 0x4090 RNBC 0x40a0
    RUC 0x40a4 RFC 0x40a8 ROC 0x40ac RJC 0x40b0 MGTPRC 0x40b4 TOR 0x40c0 TOT 0x40c8 TPR 0x40d0 TPT 0x40d4
    PTC64 0x40d8 MPTC 0x40f0 BPTC 0x40f4 TSCTC 0x40f8 TSCTFC 0x40fc
}

/// How a counter pair behaves when read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PairRule {
    /// Reading the high half clears both.
    HighClearsBoth,
    /// Each half clears itself (VirtualBox).
    EachClearsItself,
}

/// All counters of a card.
pub(crate) struct Stats {
    counts: [u64; COUNT],
    pub(crate) pair_rule: PairRule,
    /// MPC and RNBC are not cleared by reading (QEMU).
    pub(crate) missed_kept: bool,
    /// Counters that this card has; others read zero.
    present: [bool; COUNT],
}

impl Stats {
    pub(crate) fn new(part: Part) -> Stats {
        let mut present = [true; COUNT];
        // Never assigned on this family.
        for hole in [0x4024, 0x402c, 0x4044, 0x4084, 0x4098, 0x409c] {
            present[(hole - 0x4000) / 4] = false;
        }
        if part.mac < Mac::I82543 {
            for late in [0x4004, 0x400c, 0x4034, 0x403c, 0x40f8, 0x40fc] {
                present[(late - 0x4000) / 4] = false;
            }
        }
        if !part.is_82540_or_later() {
            present[MGTPRC..MGTPRC + 3].fill(false);
        }
        let pair_rule = PairRule::HighClearsBoth;
        Stats { counts: [0; COUNT], pair_rule, missed_kept: false, present }
    }

    pub(crate) fn reset(&mut self) {
        self.counts = [0; COUNT];
    }

    /// Only these counters are implemented (an emulator's subset).
    pub(crate) fn restrict(&mut self, to: &[usize]) {
        for (n, present) in self.present.iter_mut().enumerate() {
            let named = to.contains(&n) || to.contains(&(n.saturating_sub(1))) && is_pair(n - 1);
            *present &= named;
        }
    }

    pub(crate) fn add(&mut self, counter: usize, amount: u64) {
        let ceiling = if is_pair(counter) { u64::MAX } else { u64::from(u32::MAX) };
        let count = &mut self.counts[counter];
        *count = count.saturating_add(amount).min(ceiling);
    }

    pub(crate) fn saturate(&mut self) {
        for (n, count) in self.counts.iter_mut().enumerate() {
            *count = if is_pair(n) { u64::MAX } else { u64::from(u32::MAX) };
        }
    }

    /// One count without reading the register: for tests.
    pub(crate) fn peek(&self, offset: u32) -> Option<u64> {
        self.counts.get(index(offset)?).copied()
    }

    /// What a read of this register would give, without its side effect; `None` if there is none.
    pub(crate) fn peek_word(&self, offset: u32) -> Option<u32> {
        let n = index(offset).filter(|n| self.present[*n])?;
        let high = n > 0 && is_pair(n - 1);
        Some(if high { (self.counts[n - 1] >> 32) as u32 } else { self.counts[n] as u32 })
    }

    /// Reads a register with its side effect; `None` if this part has no such counter.
    pub(crate) fn read(&mut self, offset: u32) -> Option<u32> {
        let n = index(offset)?;
        if !self.present[n] {
            return None;
        }
        if n > 0 && is_pair(n - 1) {
            let high = (self.counts[n - 1] >> 32) as u32;
            match self.pair_rule {
                PairRule::HighClearsBoth => self.counts[n - 1] = 0,
                PairRule::EachClearsItself => self.counts[n - 1] &= 0xffff_ffff,
            }
            return Some(high);
        }
        let low = self.counts[n] as u32;
        match (is_pair(n), self.pair_rule) {
            (false, _) if self.missed_kept && matches!(n, MPC | RNBC) => {}
            (false, _) => self.counts[n] = 0,
            (true, PairRule::HighClearsBoth) => {}
            (true, PairRule::EachClearsItself) => self.counts[n] &= !0xffff_ffff,
        }
        Some(low)
    }

    /// Adds one to the size bin of a frame of `len` bytes with FCS; `first` is PRC64 or PTC64.
    pub(crate) fn bin(&mut self, first: usize, len: usize) {
        let bin = match len {
            0..=64 => 0,
            65..=127 => 1,
            128..=255 => 2,
            256..=511 => 3,
            512..=1023 => 4,
            _ => 5,
        };
        self.add(first + bin, 1);
    }
}

fn index(offset: u32) -> Option<usize> {
    let n = offset.checked_sub(STATS)? as usize / 4;
    (n < COUNT).then_some(n)
}

fn is_pair(counter: usize) -> bool {
    matches!(counter, GORC | GOTC | TOR | TOT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stats() -> Stats {
        Stats::new(Part::of_id(crate::parts::DEFAULT_ID).expect("in the table"))
    }

    #[test]
    fn a_pair_is_cleared_by_its_high_half_alone() {
        let mut stats = stats();
        stats.add(TOR, 5 << 32 | 7);
        assert_eq!(stats.read(0x40c0), Some(7));
        assert_eq!(stats.read(0x40c0), Some(7), "the low half does not clear");
        assert_eq!(stats.read(0x40c4), Some(5));
        assert_eq!((stats.read(0x40c0), stats.read(0x40c4)), (Some(0), Some(0)));
    }

    #[test]
    fn counters_stick_at_all_ones() {
        let mut stats = stats();
        stats.add(GPRC, u64::from(u32::MAX) - 1);
        stats.add(GPRC, 5);
        assert_eq!(stats.read(0x4074), Some(u32::MAX));
        assert_eq!(stats.read(0x4074), Some(0), "cleared by reading");
        stats.add(TOT, u64::MAX);
        stats.add(TOT, 1);
        assert_eq!((stats.read(0x40c8), stats.read(0x40cc)), (Some(u32::MAX), Some(u32::MAX)));
    }
}
