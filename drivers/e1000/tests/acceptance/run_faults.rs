//! The injections that the card knows at run time (8254x fact sheet 7.3), each with what it must end in.

use naio_e1000_model::faults::{Chaos, Faults, HalfDuplex, LengthFault, TxFault};
use naio_nic::Counters;

/// A change of the card's script.
pub(crate) type Inject = fn(&mut Faults);

/// What traffic under a fault comes to.
#[derive(Clone, Copy)]
pub(crate) enum Means {
    /// Every frame arrives and every packet leaves; nothing is counted.
    Nothing,
    /// The same, and the card's own counters are wrong or grow for a reason.
    OnlyHardwareCounters,
    /// Of the frames so many arrive; the counter says this for the others.
    Loses { arrive: usize, counter: fn(&Counters) -> u64, counts: u64 },
    /// Packets do not leave, or are not reported, until the fault ends.
    HoldsPackets,
    /// Packets leave and are never reported: their memory is with the card until it is reset.
    NeverReports,
    /// Frames and packets become visible when the fault ends.
    HoldsEverything,
    /// Packets are lost on the line, as the card reports.
    LosesOnTheLine(u64),
    /// The driver says [`Health::Gone`] and touches nothing any more.
    Gone,
    /// Random answers: bounded, no page lost, and a driver that opens the card afterwards works.
    Bounded,
}

/// Frames that come in while a fault is on: two laps and more of a ring of 80, and an even number, for those in pairs.
pub(crate) const FRAMES: usize = 200;
/// Packets that go out meanwhile: no more than the ring holds, should none be reported.
pub(crate) const PACKETS: usize = 16;
const N: u64 = FRAMES as u64;

pub(crate) struct Row {
    /// The field of [`Faults`], or its beginning.
    pub(crate) field: &'static str,
    pub(crate) inject: Inject,
    pub(crate) means: Means,
}

const fn row(field: &'static str, inject: Inject, means: Means) -> Row {
    Row { field, inject, means }
}

const fn length(arrive: usize, counts: u64) -> Means {
    Means::Loses { arrive, counter: |c| c.rx_length_errors, counts }
}

const fn damaged(arrive: usize) -> Means {
    Means::Loses { arrive, counter: |c| c.rx_frame_errors, counts: N - arrive as u64 }
}

use Means::{Bounded, Gone, HoldsEverything, HoldsPackets, NeverReports, Nothing, OnlyHardwareCounters};

/// What happens at run time. Frames come one by one: the driver looks after each.
pub(crate) const TABLE: &[Row] = &[
    row("gone", |f| f.gone = true, Gone),
    row("bmsr_low", |f| f.bmsr_low = true, Nothing),
    row("status_flaps", |f| f.status_flaps = true, Nothing),
    row("tx", |f| f.tx = TxFault::Stalled, HoldsPackets),
    row("tx", |f| f.tx = TxFault::StallsAfter(5), HoldsPackets),
    row("tx", |f| f.tx = TxFault::NeverDone, NeverReports),
    row("tx", |f| f.tx = TxFault::OutOfOrder, Nothing),
    row("tx", |f| f.tx = TxFault::DoneUnasked, Nothing),
    row("tx", |f| f.tx = TxFault::DoneEarly, Nothing),
    row("rx_length", |f| f.rx_length = LengthFault::Always(0), length(0, N)),
    row("rx_length", |f| f.rx_length = LengthFault::Always(3), length(0, N)),
    row("rx_length", |f| f.rx_length = LengthFault::Always(13), length(0, N)),
    row("rx_length", |f| f.rx_length = LengthFault::Always(u16::MAX), length(0, N)),
    row("rx_length", |f| f.rx_length = LengthFault::BeyondBuffer(1), length(0, N)),
    row("rx_length", |f| f.rx_length = LengthFault::BeyondBuffer(u16::MAX), length(0, N)),
    // Three pieces and the frame that ends them: one broken frame.
    row("rx_without_eop", |f| f.rx_without_eop = 3, length(FRAMES - 4, 1)),
    row("rx_without_eop", |f| f.rx_without_eop = u32::MAX, length(0, 1)),
    row("rx_empty_eop", |f| f.rx_empty_eop = 3, length(FRAMES, 3)),
    row("rx_done_again", |f| f.rx_done_again = u32::MAX, Nothing),
    row("rx_done_unposted", |f| f.rx_done_unposted = u32::MAX, Nothing),
    // IXSM with garbage beside it; VP and PIF, which nobody asked about.
    row("rx_status", |f| f.rx_status = 0xff, Nothing),
    row("rx_errors", |f| f.rx_errors = 0x01, damaged(0)),
    row("rx_errors", |f| f.rx_errors = 0x02, damaged(0)),
    row("rx_errors", |f| f.rx_errors = 0x04, damaged(0)),
    row("rx_errors", |f| f.rx_errors = 0x10, damaged(0)),
    row("rx_errors", |f| f.rx_errors = 0x80, damaged(0)),
    row("rx_errors", |f| f.rx_errors = 0xff, damaged(0)),
    // Reserved, TCPE and IPE: no reason to drop anything.
    row("rx_errors", |f| f.rx_errors = 0x08 | 0x20 | 0x40, Nothing),
    row("rx_address_changed", |f| f.rx_address_changed = true, Nothing),
    // Whole again before anybody looks; `defences` looks in between.
    row("rx_torn", |f| f.rx_torn = true, Nothing),
    row("rx_out_of_order", |f| f.rx_out_of_order = true, Nothing),
    row("held", |f| f.held = true, HoldsEverything),
    row("rdh", |f| f.rdh = Some(u32::MAX), Nothing),
    row("tdh", |f| f.tdh = Some(u32::MAX), Nothing),
    row("ring_len", |f| f.ring_len = Some(u32::MAX), Nothing),
    row("icr", |f| f.icr = Some(0), Nothing),
    row("icr", |f| f.icr = Some(u32::MAX), Nothing),
    row("icr", |f| f.icr = Some(1 << 20), Nothing),
    row("unmask_lost", |f| f.unmask_lost = true, Nothing),
    row("overruns", |f| f.overruns = 1_000, OnlyHardwareCounters),
    row("heads_jump", |f| f.heads_jump = true, Nothing),
    row("counters_lie", |f| f.counters_lie = true, OnlyHardwareCounters),
    row("cause_storm", |f| f.cause_storm = 0x1_ffff, Nothing),
    row("slow_mmio_us", |f| f.slow_mmio_us = 1_000, Nothing),
    row("write_back_delay_us", |f| f.write_back_delay_us = 100, Nothing),
    row("combined", |f| f.combined = true, Nothing),
    row("rx_fcs_apart", |f| f.rx_fcs_apart = 1, length(0, N)),
    row("rx_fcs_apart", |f| f.rx_fcs_apart = 3, length(0, N)),
    row("rx_fcs_apart", |f| f.rx_fcs_apart = 4, length(0, N)),
    row(
        "rx_extra_byte",
        |f| f.rx_extra_byte = true,
        Means::Loses { arrive: 0, counter: |c| c.hw_rx_errors, counts: N },
    ),
    row("rx_strays", |f| f.rx_strays = 1_000, Nothing),
    row("half_duplex", |f| f.half_duplex = HalfDuplex { single: 2, multiple: 2, ..NONE }, Nothing),
    row("half_duplex", |f| f.half_duplex = HalfDuplex { deferred: 2, no_carrier: 2, ..NONE }, Nothing),
    row("half_duplex", |f| f.half_duplex = HalfDuplex { excessive: 3, ..NONE }, Means::LosesOnTheLine(3)),
    // TCTL.RTLC: sent again.
    row("half_duplex", |f| f.half_duplex = HalfDuplex { late: 3, ..NONE }, Nothing),
    // Sent again too, for TCTL.NRTU is 0.
    row("tx_underruns", |f| f.tx_underruns = 3, Nothing),
    row("fifo_stall", |f| f.fifo_stall = true, Nothing),
    row("chaos", |f| f.chaos = Chaos { read: 10_000, write_back: 0, interrupt: 10_000 }, Bounded),
    row("chaos", |f| f.chaos = Chaos { read: 0, write_back: 5_000, interrupt: 100 }, Bounded),
];

const NONE: HalfDuplex =
    HalfDuplex { single: 0, multiple: 0, excessive: 0, late: 0, deferred: 0, no_carrier: 0 };
