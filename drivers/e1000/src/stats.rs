//! The card's statistics, accumulated in 64 bits.
//!
//! Every register of silicon clears when read, so each read is an increment; QEMU keeps some of them,
//! and then the difference is. A register at its ceiling has lost
//! counts: that is counted too, and never believed to be exact.

use crate::regs::ALL_ONES;
use naio_device::Registers;
use naio_nic::Counters;

/// Which counter a register feeds.
type Field = fn(&mut Counters) -> &mut u64;

/// 32-bit statistics (8254x SDM 13.7): offset and where the count goes.
const WORDS: [(u32, Field); 12] = [
    (0x4000, |c| &mut c.hw_rx_errors),        // CRCERRS
    (0x4004, |c| &mut c.hw_rx_errors),        // ALGNERRC
    (0x4008, |c| &mut c.hw_rx_errors),        // SYMERRS
    (0x400c, |c| &mut c.hw_rx_errors),        // RXERRC
    (0x4010, |c| &mut c.hw_missed),           // MPC
    (0x40a0, |c| &mut c.hw_no_buffer),        // RNBC
    (0x4074, |c| &mut c.hw_rx_good),          // GPRC
    (0x4080, |c| &mut c.hw_tx_good),          // GPTC
    (0x40a4, |c| &mut c.hw_rx_length_errors), // RUC
    (0x40a8, |c| &mut c.hw_rx_length_errors), // RFC
    (0x40ac, |c| &mut c.hw_rx_length_errors), // ROC
    (0x40b0, |c| &mut c.hw_rx_length_errors), // RJC
];

/// 64-bit pairs: low half first, then the high half, whose reading clears both.
const PAIRS: &[(u32, Field)] = &[
    (0x4088, |c| &mut c.hw_rx_bytes), // GORCL, GORCH
    (0x4090, |c| &mut c.hw_tx_bytes), // GOTCL, GOTCH
];

/// Every statistics register of the family, for the first read that throws the contents away.
const FIRST: u32 = 0x4000;
const LAST: u32 = 0x40fc;

/// What was counted since the card was enabled, and what its registers held when last read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Statistics {
    pub(crate) counters: Counters,
    /// What each of [`WORDS`] still held after it was read: zero, unless the card keeps it.
    kept: [u32; WORDS.len()],
}

impl Statistics {
    /// Reads and forgets everything: what is in the registers before the start is undefined.
    pub(crate) fn start(registers: &impl Registers) -> Statistics {
        for offset in (FIRST..=LAST).step_by(4) {
            registers.read(offset);
        }
        Statistics { counters: Counters::default(), kept: WORDS.map(|(offset, _)| registers.read(offset)) }
    }

    /// Adds what happened since the last call.
    pub(crate) fn collect(&mut self, registers: &impl Registers) {
        for ((offset, field), kept) in WORDS.into_iter().zip(&mut self.kept) {
            let value = registers.read(offset);
            if value == ALL_ONES {
                self.counters.hw_saturated += 1;
            }
            add(field(&mut self.counters), u64::from(increment(registers, offset, value, kept)));
        }
        for (offset, field) in PAIRS {
            let low = registers.read(*offset);
            let high = registers.read(*offset + 4);
            if low == ALL_ONES && high == ALL_ONES {
                self.counters.hw_saturated += 1;
                continue;
            }
            add(field(&mut self.counters), u64::from(high) << 32 | u64::from(low));
        }
    }
}

/// What came on top since the last read. QEMU keeps MPC, RNBC and others when they are read, where
/// silicon clears them (8254x SDM 13.7): a second read tells which kind of register this is. `kept`
/// is what it held after the last read, and is brought up to date.
fn increment(registers: &impl Registers, offset: u32, value: u32, kept: &mut u32) -> u32 {
    if value == 0 {
        *kept = 0;
        return 0;
    }
    let again = registers.read(offset);
    let before = std::mem::replace(kept, again);
    if again < value {
        // Cleared. What was counted between the two reads is on top, and forgotten by the card.
        *kept = 0;
        return value.saturating_add(again);
    }
    again.saturating_sub(before)
}

fn add(total: &mut u64, increment: u64) {
    *total = total.saturating_add(increment);
}
