//! `naio model run`: frames pass, and card and driver say what they counted.
//!
//! Receives the command line, hands frames to the traffic and its counts to the user. A violation of the datasheet by
//! the driver fails the command; frames that a broken card lost do not.

use super::fault::Fault;
use super::traffic::{Passed, Traffic};
use crate::card::{CardArguments, drive};
use crate::failure::Failure;
use crate::say;
use naio_e1000_model::Card;
use naio_e1000_model::regs::{self, names};
use naio_e1000_model::wire::scripted::Scripted;
use naio_nic::Nic as _;

/// Violations that are told in full.
const VIOLATIONS_TOLD: usize = 10;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Frames each way.
    #[arg(long, default_value_t = 1000)]
    frames: u32,
    /// What is broken; may be given several times. --help lists all.
    #[arg(long, value_enum)]
    fault: Vec<Fault>,
    /// Seed of the frames and of everything random in the card.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    card: CardArguments,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut options = arguments.card.options()?;
    options.seed = arguments.seed;
    let (wire, script) = Scripted::new();
    let (first, later): (Vec<Fault>, Vec<Fault>) =
        arguments.fault.iter().copied().partition(|fault| fault.is_from_the_beginning());
    let driven = drive(options, wire, |faults| first.iter().for_each(|fault| fault.apply(faults)))?;
    let card = driven.card.clone();
    let part = card.part();
    say(format!(
        "{} ({:#06x}), {} frames each way, seed {}",
        part.name, part.id, arguments.frames, arguments.seed
    ));
    card.inject(|faults| later.iter().for_each(|fault| fault.apply(faults)));

    let mut traffic = Traffic::new(driven, script, arguments.seed)?;
    traffic.pass(arguments.frames);
    say("");
    say(format!("{:<10} {:>8} {:>8} {:>8} {:>8}", "", "given", "intact", "missing", "strange"));
    passed("received", traffic.received);
    passed("sent", traffic.sent);
    say(format!("{:<10} {:>8} frames whose memory came back to the program", "released", traffic.released));
    statistics(&card);
    driver(&mut traffic);
    violations(&card)
}

fn passed(way: &str, passed: Passed) {
    let Passed { given, intact, strange } = passed;
    say(format!("{way:<10} {given:>8} {intact:>8} {:>8} {strange:>8}", passed.missing()));
}

/// The card's own statistics, as they are: looking does not clear them.
fn statistics(card: &Card) {
    say("\nthe card counted");
    let part = card.part();
    for entry in names::ENTRIES.iter().filter(|entry| (regs::STATS..regs::STATS_END).contains(&entry.offset))
    {
        // The high half of a pair is in the count of its low half.
        let count = names::offset(part, entry.name).and_then(|at| card.counter(at)).unwrap_or(0);
        if count > 0 && !is_high_half(entry.name) {
            say(format!("  {:<10} {count:>10}", entry.name));
        }
    }
    for (offset, times) in card.unknown_registers() {
        say(format!("  unknown register {offset:#07x} touched {times} times"));
    }
}

fn is_high_half(name: &str) -> bool {
    ["GORCH", "GOTCH", "TORH", "TOTH"].contains(&name)
}

fn driver(traffic: &mut Traffic) {
    let nic = traffic.driven.nic.counters();
    say("\nthe driver counted");
    for (name, count) in [
        ("frames handed up", nic.rx_frames),
        ("frames sent", nic.tx_frames),
        ("dropped: the card marked them as broken", nic.rx_frame_errors),
        ("dropped: lengths that make no sense", nic.rx_length_errors),
        ("dropped: no spare page", nic.rx_no_page),
        ("refused to send", nic.tx_refused),
        ("long packets left to the card to cut", nic.tx_cut_by_card),
        ("long packets cut by the driver", nic.tx_cut_by_driver),
        ("missed by the card (MPC)", nic.hw_missed),
        ("arrived without a descriptor (RNBC)", nic.hw_no_buffer),
        ("receive errors of the card", nic.hw_rx_errors),
        ("lengths that the card refused", nic.hw_rx_length_errors),
        ("tail writes", nic.doorbells),
    ] {
        if count > 0 {
            say(format!("  {name:<40} {count:>10}"));
        }
    }
    say(format!(
        "  {:<40} {:>10}",
        "the card is",
        format!("{:?}", traffic.driven.nic.health()).to_lowercase()
    ));
}

fn violations(card: &Card) -> Result<(), Failure> {
    let count = card.violation_count();
    say(format!("\nviolations of the datasheet by the driver: {count}"));
    for violation in card.violations().iter().take(VIOLATIONS_TOLD) {
        say(format!("  {violation}"));
    }
    if count > 0 { Err(Failure::Violations(count)) } else { Ok(()) }
}
