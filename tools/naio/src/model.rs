//! `naio model`: a card in software to play with. What parts there are, what their registers hold, and what happens
//! when frames pass, or when the card is broken.
//!
//! Receives the command line and hands it to the room of its verb.

mod fault;
mod info;
mod regs;
mod run;
mod traffic;

use crate::failure::Failure;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Lists the parts of the family with what each can do, or tells all about one.
    ///
    /// Examples:
    ///   naio model info
    ///   naio model info --part 82545EM
    ///   naio model info --id 0x1000 --profile qemu
    #[command(verbatim_doc_comment)]
    Info(info::Arguments),
    /// Shows the registers by name: after a reset, after the driver has brought the card up, after frames have passed.
    ///
    /// Looking changes nothing: counters are not cleared. A star marks a register that moved.
    ///
    /// Examples:
    ///   naio model regs                          every register of a freshly reset 82540EM
    ///   naio model regs --frames 100 --changed   what a driver and 100 frames each way move
    ///   naio model regs --frames 10 RDH RDT GPRC TPT
    #[command(verbatim_doc_comment)]
    Regs(regs::Arguments),
    /// Lets frames pass through a card under the driver, both ways, and shows what card and driver counted.
    ///
    /// The frames carry no protocol: this is about the card. With --fault the card is broken in one way or several;
    /// the driver must neither hang nor hand up what it did not get, and the card watches whether it breaks a rule.
    ///
    /// Examples:
    ///   naio model run --frames 5000
    ///   naio model run --profile qemu --part 82545EM
    ///   naio model run --fault rx-length-beyond --fault tx-out-of-order
    ///   naio model run --fault gone --frames 50
    #[command(verbatim_doc_comment)]
    Run(run::Arguments),
}

/// Does what the verb says.
pub(crate) fn run(verb: &Verb) -> Result<(), Failure> {
    match verb {
        Verb::Info(arguments) => info::run(arguments),
        Verb::Regs(arguments) => regs::run(arguments),
        Verb::Run(arguments) => run::run(arguments),
    }
}
