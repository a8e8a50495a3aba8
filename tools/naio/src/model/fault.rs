//! The faults that can be asked for by name, and when each strikes.
//!
//! Receives a name from the command line, changes the card's script of faults. How a fault works is the model's.

use naio_e1000_model::faults::{Chaos, Faults, LengthFault, MdicFault, ResetFault, TxFault};

/// How often a counted fault strikes.
const TIMES: u32 = 10;
/// How often a random fault strikes, of 10 000 events.
const OFTEN: u32 = 300;
/// Errors of a received descriptor: CE, a CRC error (8254x SDM 3.2.3.2).
const CRC_ERROR: u8 = 1;

/// A way in which the card is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Fault {
    /// From the beginning: CTRL.RST never clears.
    ResetNever,
    /// From the beginning: MDIC never becomes ready.
    MdicNeverReady,
    /// From the beginning: the EEPROM read register is never done.
    EerdNeverDone,
    /// From the beginning: there is another PHY.
    PhyStrange,
    /// The card is gone: every read gives all ones.
    Gone,
    /// The transmitter stops.
    TxStalled,
    /// Sent descriptors are never reported.
    TxNeverDone,
    /// Sent descriptors are reported in the wrong order.
    TxOutOfOrder,
    /// Sent descriptors are reported before their data is fetched.
    TxDoneEarly,
    /// Received descriptors claim more bytes than their buffer has.
    RxLengthBeyond,
    /// Every received descriptor claims to hold nothing.
    RxLengthZero,
    /// Every received descriptor carries a CRC error.
    RxErrors,
    /// Ten received descriptors lack their end.
    RxWithoutEop,
    /// Ten descriptors are marked done that the driver owns.
    RxDoneUnposted,
    /// Ten write-backs are done twice.
    RxDoneAgain,
    /// Received descriptors come back with another address.
    RxAddressChanged,
    /// Received descriptors are written in two steps, the status first.
    RxTorn,
    /// Received descriptors are written back in the wrong order.
    RxOutOfOrder,
    /// Ten overruns of the receive FIFO are reported that never were.
    Overruns,
    /// Random status, errors and lengths in three of a hundred write-backs.
    Chaos,
    /// Statistics registers read as random words.
    CountersLie,
    /// The heads of both rings read as random words.
    HeadsJump,
}

impl Fault {
    /// Whether it strikes while the driver brings the card up.
    pub(super) fn is_from_the_beginning(self) -> bool {
        matches!(self, Fault::ResetNever | Fault::MdicNeverReady | Fault::EerdNeverDone | Fault::PhyStrange)
    }

    /// Writes it into the script.
    pub(super) fn apply(self, faults: &mut Faults) {
        match self {
            Fault::ResetNever => faults.reset = ResetFault::Never,
            Fault::MdicNeverReady => faults.mdic = MdicFault::NeverReady,
            Fault::EerdNeverDone => faults.eerd_never_done = true,
            Fault::PhyStrange => faults.phy_id = Some(0),
            Fault::Gone => faults.gone = true,
            Fault::TxStalled => faults.tx = TxFault::Stalled,
            Fault::TxNeverDone => faults.tx = TxFault::NeverDone,
            Fault::TxOutOfOrder => faults.tx = TxFault::OutOfOrder,
            Fault::TxDoneEarly => faults.tx = TxFault::DoneEarly,
            Fault::RxLengthBeyond => faults.rx_length = LengthFault::BeyondBuffer(64),
            Fault::RxLengthZero => faults.rx_length = LengthFault::Always(0),
            Fault::RxErrors => faults.rx_errors = CRC_ERROR,
            Fault::RxWithoutEop => faults.rx_without_eop = TIMES,
            Fault::RxDoneUnposted => faults.rx_done_unposted = TIMES,
            Fault::RxDoneAgain => faults.rx_done_again = TIMES,
            Fault::RxAddressChanged => faults.rx_address_changed = true,
            Fault::RxTorn => faults.rx_torn = true,
            Fault::RxOutOfOrder => faults.rx_out_of_order = true,
            Fault::Overruns => faults.overruns = TIMES,
            Fault::Chaos => faults.chaos = Chaos { write_back: OFTEN, ..Chaos::default() },
            Fault::CountersLie => faults.counters_lie = true,
            Fault::HeadsJump => faults.heads_jump = true,
        }
    }
}
