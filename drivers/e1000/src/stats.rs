//! The card's statistics, accumulated in 64 bits.
//!
//! Every register clears when read, so each read is an increment. A register at its ceiling has lost
//! counts: that is counted too, and never believed to be exact.

use crate::regs::ALL_ONES;
use naio_device::Registers;
use naio_nic::Counters;

/// Which counter a register feeds.
type Field = fn(&mut Counters) -> &mut u64;

/// 32-bit statistics (8254x SDM 13.7): offset and where the count goes.
const WORDS: &[(u32, Field)] = &[
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

/// Reads and forgets everything: what is in the registers before the start is undefined.
pub(crate) fn clear(registers: &impl Registers) {
    for offset in (FIRST..=LAST).step_by(4) {
        registers.read(offset);
    }
}

/// Adds what happened since the last call.
pub(crate) fn collect(registers: &impl Registers, into: &mut Counters) {
    for (offset, field) in WORDS {
        let value = registers.read(*offset);
        if value == ALL_ONES {
            into.hw_saturated += 1;
        }
        add(field(into), u64::from(value));
    }
    for (offset, field) in PAIRS {
        let low = registers.read(*offset);
        let high = registers.read(*offset + 4);
        if low == ALL_ONES && high == ALL_ONES {
            into.hw_saturated += 1;
            continue;
        }
        add(field(into), u64::from(high) << 32 | u64::from(low));
    }
}

fn add(total: &mut u64, increment: u64) {
    *total = total.saturating_add(increment);
}
