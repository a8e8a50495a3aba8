//! Faults to inject: a script of what the card does wrong on purpose (fact sheet 7.3 and 7.4).
//!
//! Receives settings from a test at any moment and hands them to whoever would do right otherwise.
//! Nothing here reaches beyond memory that the driver posted: a lying card lies in what it writes
//! into descriptors and registers, never by writing a stranger's buffer.

mod seeded;

/// What MDIC does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MdicFault {
    /// Works.
    #[default]
    None,
    /// READY never comes.
    NeverReady,
    /// Every transfer ends with E.
    AlwaysError,
}

/// What CTRL.RST does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ResetFault {
    /// Works.
    #[default]
    None,
    /// The bit never clears.
    Never,
    /// The bit clears after so many reads of CTRL.
    AfterReads(u32),
}

/// What the transmit engine does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TxFault {
    /// Works.
    #[default]
    None,
    /// Stops; TDH does not move.
    Stalled,
    /// Works for so many more descriptors, then stops.
    StallsAfter(u32),
    /// Sends, but never writes a descriptor back.
    NeverDone,
    /// Reports descriptors two by two in the wrong order.
    OutOfOrder,
    /// Sets DD in every descriptor, asked for or not.
    DoneUnasked,
    /// Sets DD before it fetches the data, which it does at the next step.
    DoneEarly,
}

/// What a received descriptor says about its length.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LengthFault {
    /// The truth.
    #[default]
    None,
    /// Always this.
    Always(u16),
    /// This much more than the buffer holds.
    BeyondBuffer(u16),
}

/// What happens to frames sent in half duplex: so many more of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HalfDuplex {
    /// One collision, then sent (SCC).
    pub single: u32,
    /// Two to fifteen collisions, then sent (MCC).
    pub multiple: u32,
    /// Sixteen collisions: lost (ECOL, STA.EC).
    pub excessive: u32,
    /// A collision after the slot time: lost unless TCTL.RTLC (LATECOL, STA.LC).
    pub late: u32,
    /// Deferred because the line was busy (DC).
    pub deferred: u32,
    /// No carrier sense while sending (TNCRS).
    pub no_carrier: u32,
}

/// A way in which an EEPROM can be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EepromFault {
    /// One bit differs: the checksum is wrong.
    Checksum,
    /// Erased: all ones.
    Blank,
    /// All zeros.
    Zero,
    /// The station address is a multicast address, with a right checksum.
    MulticastAddress,
}

impl EepromFault {
    /// Changes the words accordingly.
    pub fn apply(self, words: &mut [u16]) {
        match (self, words) {
            (EepromFault::Blank, words) => words.fill(u16::MAX),
            (EepromFault::Zero, words) => words.fill(0),
            (EepromFault::Checksum, [.., last]) => *last ^= 1,
            (EepromFault::MulticastAddress, words) if words.len() >= 0x40 => {
                words[0] |= 1;
                let sum = words[..0x3f].iter().fold(0u16, |sum, word| sum.wrapping_add(*word));
                words[0x3f] = crate::eeprom::CHECKSUM.wrapping_sub(sum);
            }
            _ => {}
        }
    }
}

/// How often the random faults strike, in events of 10 000.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Chaos {
    /// A register read returns a random word.
    pub read: u32,
    /// A write-back carries random status, errors, length.
    pub write_back: u32,
    /// A spurious interrupt.
    pub interrupt: u32,
}

/// The script. `Default` is a card that works.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Faults {
    /// The card is gone: reads give all ones, writes are lost, nothing moves.
    pub gone: bool,
    /// MDIC.
    pub mdic: MdicFault,
    /// EERD never sets DONE.
    pub eerd_never_done: bool,
    /// EECD never grants the pins.
    pub eecd_never_grants: bool,
    /// CTRL.RST.
    pub reset: ResetFault,
    /// The PHY says it is this (0 and all ones are good lies).
    pub phy_id: Option<u32>,
    /// BMSR's link bit stays low.
    pub bmsr_low: bool,
    /// STATUS.LU toggles at every read.
    pub status_flaps: bool,
    /// The transmit engine.
    pub tx: TxFault,
    /// Received lengths.
    pub rx_length: LengthFault,
    /// So many more received descriptors lack EOP.
    pub rx_without_eop: u32,
    /// So many more received frames end in an extra descriptor with EOP and no bytes.
    pub rx_empty_eop: u32,
    /// So many more write-backs are done twice, the second time in the descriptor before.
    pub rx_done_again: u32,
    /// So many more descriptors that the driver still owns are marked done.
    pub rx_done_unposted: u32,
    /// ORed into the status of every received descriptor.
    pub rx_status: u8,
    /// ORed into the errors of every received descriptor.
    pub rx_errors: u8,
    /// Received descriptors come back with another address.
    pub rx_address_changed: bool,
    /// Received descriptors are written in two steps, DD first, the rest at the next step.
    pub rx_torn: bool,
    /// Pairs of received descriptors are written back in the wrong order.
    pub rx_out_of_order: bool,
    /// Write-backs, received and transmitted, are kept until this is false again.
    pub held: bool,
    /// What RDH reads.
    pub rdh: Option<u32>,
    /// What TDH reads.
    pub tdh: Option<u32>,
    /// What RDLEN and TDLEN read.
    pub ring_len: Option<u32>,
    /// What ICR reads.
    pub icr: Option<u32>,
    /// Interrupts are signalled once and never again.
    pub unmask_lost: bool,
    /// So many overruns happen: RXO, MPC and RNBC for nothing.
    pub overruns: u32,
    /// RDH and TDH read a random word each time.
    pub heads_jump: bool,
    /// Statistics read a random word each time (and are cleared as ever).
    pub counters_lie: bool,
    /// These causes are raised again and again, whatever happens.
    pub cause_storm: u32,
    /// Every register access takes this long.
    pub slow_mmio_us: u64,
    /// Descriptors are written back this much later, with their interrupt again.
    pub write_back_delay_us: u64,
    /// Descriptors are written back two at a time, a single one when another follows or a timer ends.
    pub combined: bool,
    /// The last so many bytes (1 to 4) of a received frame, of its FCS if that is kept, come in a
    /// descriptor of their own.
    pub rx_fcs_apart: u8,
    /// A byte 0x0F follows every received frame, as from some PHYs on the 82543's ten-bit interface.
    pub rx_extra_byte: bool,
    /// So many more writes into receive buffers would run beyond their end. They are counted as IOMMU
    /// faults and not done.
    pub rx_strays: u32,
    /// What happens on a half-duplex line.
    pub half_duplex: HalfDuplex,
    /// So many more frames suffer an underrun (82544: STA.TU; lost if TCTL.NRTU).
    pub tx_underruns: u32,
    /// The transmit FIFO of an 82547 stalls in half duplex where its erratum says it can.
    pub fifo_stall: bool,
    /// Random faults on top.
    pub chaos: Chaos,
}

impl Faults {
    /// Takes one from a counter of faults still to come.
    pub(crate) fn spend(left: &mut u32) -> bool {
        let struck = *left > 0;
        *left = left.saturating_sub(1);
        struck
    }
}
