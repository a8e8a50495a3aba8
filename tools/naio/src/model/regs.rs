//! `naio model regs`: registers by name, at moments of a card's life side by side.
//!
//! Looks at a card without touching it, so that what is seen is what was there.

use super::traffic::Traffic;
use crate::card::{CardArguments, drive};
use crate::failure::Failure;
use crate::say;
use naio_e1000_model::regs::names;
use naio_e1000_model::wire::{self, scripted::Scripted};
use naio_e1000_model::{Model, Register};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Registers to show, by their datasheet names: `CTRL`, `MTA[3]`, `GPRC` [default: all but tables full of zeros].
    names: Vec<String>,
    /// Bring the driver up and let FRAMES frames pass each way, and show what that moved.
    #[arg(long, value_name = "FRAMES")]
    frames: Option<u32>,
    /// Only registers that moved.
    #[arg(long, requires = "frames")]
    changed: bool,
    /// Table entries that are zero as well.
    #[arg(long)]
    all: bool,
    /// Seed of the frames.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(flatten)]
    card: CardArguments,
}

/// A moment of the card's life.
struct Moment {
    title: String,
    registers: Vec<Register>,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let part = arguments.card.part()?;
    if let Some(stranger) = arguments.names.iter().find(|name| names::offset(part, name).is_none()) {
        return Err(Failure::NoRegister { name: stranger.clone(), part: part.name });
    }
    let moments = moments(arguments)?;
    let wanted: Vec<u32> = arguments.names.iter().filter_map(|name| names::offset(part, name)).collect();
    let titles: Vec<String> = moments.iter().map(|moment| format!("{:>13}", moment.title)).collect();
    say(format!("{} ({:#06x})", part.name, part.id));
    say(format!("{:<10} {:>7}  {}", "register", "offset", titles.join(" ")));
    for (n, register) in moments[0].registers.iter().enumerate() {
        let values: Vec<u32> = moments
            .iter()
            .map(|moment| moment.registers.get(n).map_or(0, |register| register.value))
            .collect();
        let moved = values.iter().any(|value| *value != values[0]);
        let is_wanted = if wanted.is_empty() {
            arguments.all || register.name.index.is_none() || values.iter().any(|value| *value != 0)
        } else {
            wanted.contains(&register.offset)
        };
        if is_wanted && (moved || !arguments.changed) {
            let values: Vec<String> = values.iter().map(|value| format!("   {value:#010x}")).collect();
            let mark = if moved { " *" } else { "" };
            let name = register.name.to_string();
            say(format!("{name:<10} {:#07x}  {}{mark}", register.offset, values.join(" ")));
        }
    }
    Ok(())
}

fn moments(arguments: &Arguments) -> Result<Vec<Moment>, Failure> {
    let domain = naio_dma::Domain::new();
    let fresh = Model::new(arguments.card.options()?, &domain, wire::Null)?.card().registers();
    let mut moments = vec![Moment { title: "after reset".into(), registers: fresh }];
    let Some(frames) = arguments.frames else { return Ok(moments) };
    let (wire, script) = Scripted::new();
    let driven = drive(arguments.card.options()?, wire, |_| {})?;
    let card = driven.card.clone();
    moments.push(Moment { title: "driver up".into(), registers: card.registers() });
    // The driver resets the card when it goes: it stays until everything has been seen.
    let mut traffic = Traffic::new(driven, script, arguments.seed)?;
    traffic.pass(frames);
    moments.push(Moment { title: format!("{frames} frames"), registers: card.registers() });
    Ok(moments)
}
