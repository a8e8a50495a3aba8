//! Faults drawn from a seed, for tests that want many different broken cards.

use super::{Chaos, Faults, HalfDuplex, LengthFault, MdicFault, ResetFault, TxFault};

/// How many single faults [`Faults::seeded`] chooses from.
const KINDS: usize = 30;
/// Most faults that one draw combines.
const FAULTS_MAX: usize = 3;

impl Faults {
    /// One to three faults out of all that leave the card on the bus; the same seed gives the same.
    #[must_use]
    pub fn seeded(seed: u64) -> Faults {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut faults = Faults::default();
        for _ in 0..random.usize(1..=FAULTS_MAX) {
            let kind = random.usize(..KINDS);
            faults.add(kind, &mut random);
        }
        faults
    }

    fn add(&mut self, kind: usize, random: &mut fastrand::Rng) {
        let some = random.u32(1..8);
        match kind {
            0 => self.mdic = *pick(random, &[MdicFault::NeverReady, MdicFault::AlwaysError]),
            1 => self.eerd_never_done = true,
            2 => self.eecd_never_grants = true,
            3 => self.reset = *pick(random, &[ResetFault::Never, ResetFault::AfterReads(some)]),
            4 => self.phy_id = Some(*pick(random, &[0, u32::MAX, 0x1234_5678])),
            5 => self.bmsr_low = true,
            6 => self.status_flaps = true,
            7 => self.tx = self.drawn_tx(random, some),
            8 => self.rx_length = *pick(random, &[LengthFault::Always(0), LengthFault::BeyondBuffer(1)]),
            9 => self.rx_without_eop = some,
            10 => self.rx_empty_eop = some,
            11 => self.rx_done_again = some,
            12 => self.rx_done_unposted = some,
            13 => self.rx_status = random.u8(..),
            14 => self.rx_errors = random.u8(..),
            15 => self.rx_address_changed = true,
            16 => self.rx_torn = true,
            17 => self.rx_out_of_order = true,
            18 => self.heads_jump = true,
            19 => self.ring_len = Some(random.u32(..)),
            20 => self.icr = Some(*pick(random, &[0, u32::MAX, 1 << 20])),
            21 => self.unmask_lost = true,
            22 => self.overruns = some,
            23 => self.rx_fcs_apart = random.u8(1..=4),
            24 => self.write_back_delay_us = random.u64(1..2_000),
            25 => self.combined = true,
            26 => self.slow_mmio_us = random.u64(1..50),
            27 => self.counters_lie = true,
            28 => self.cause_storm = 1 << random.u32(0..17),
            _ => {
                self.chaos = Chaos { read: some, write_back: some, interrupt: some };
                self.half_duplex = HalfDuplex { single: some, multiple: some, ..HalfDuplex::default() };
            }
        }
    }

    fn drawn_tx(&self, random: &mut fastrand::Rng, some: u32) -> TxFault {
        *pick(
            random,
            &[
                TxFault::Stalled,
                TxFault::StallsAfter(some),
                TxFault::NeverDone,
                TxFault::OutOfOrder,
                TxFault::DoneUnasked,
                TxFault::DoneEarly,
            ],
        )
    }
}

fn pick<'a, T>(random: &mut fastrand::Rng, from: &'a [T]) -> &'a T {
    &from[random.usize(..from.len())]
}
