//! The other end of the wire: who it is, why, and what its work cost.
//!
//! Receives the user's choice of a wire, hands on an open queue on the measured side's card and a hand on the
//! partner. Both kinds of partner speak the protocol of [`naio_bench::protocol`], so that the measured side cannot
//! tell them apart.

mod linux;
mod naio;
pub(crate) mod process;

pub(crate) use linux::{Linux, Refused};

use super::record::Experiment;
use super::share::Share;
use super::station;
use super::wire::{self, Tally};
use crate::failure::Failure;
use aio_api::EventQueue;
use naio_bench::protocol::{SINK_PORT, SOURCE_PORT};
use naio_e1000_model::Card;
use naio_e1000_model::wire::pair::pair;
use naio_e1000_model::wire::tap::TapWire;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The measured side's address, and its partner's.
pub(crate) const HERE: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
pub(crate) const THERE: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);

/// What joins the two ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Wire {
    /// A TAP where that is allowed, a second card otherwise.
    Auto,
    /// A TAP to the TCP of this machine's Linux, in a private network.
    Tap,
    /// A wire in memory to a second card, with a second naio behind it.
    Pair,
}

/// Who is at the other end.
pub(crate) enum Remote {
    Linux(linux::Linux),
    Naio(naio::Naio),
}

/// Both ends, ready.
pub(crate) struct Ends {
    pub(crate) queue: EventQueue,
    /// The measured side's card.
    pub(crate) card: Card,
    pub(crate) remote: Remote,
    pub(crate) tally: Tally,
    /// Which wire it is and why, for the user.
    pub(crate) why: String,
}

impl Ends {
    /// Makes both ends.
    pub(crate) fn open(
        choice: Wire,
        loss: Option<Share>,
        pcap: Option<&Path>,
        pieces: &Arc<Vec<Vec<u8>>>,
    ) -> Result<Ends, Failure> {
        let refused = match choice {
            Wire::Pair => "as you asked with --wire pair".to_owned(),
            Wire::Auto | Wire::Tap => match linux::Linux::start() {
                Ok((linux, tap)) => {
                    let why = format!(
                        "a TAP to the TCP of this machine's Linux, which is a process of its own in a private \
                         network made {}",
                        linux.by_what_right()
                    );
                    let (wire, tally) = wire::wrap(TapWire::new(tap), loss, pcap)?;
                    let (queue, card) = station::open(wire, HERE)?;
                    return Ok(Ends { queue, card, remote: Remote::Linux(linux), tally, why });
                }
                Err(refused) if choice == Wire::Tap => return Err(refused.into()),
                Err(refused) => format!("a TAP to this machine's Linux is not to be had: {refused}"),
            },
        };
        let (mine, theirs, _) = pair();
        let (wire, tally) = wire::wrap(mine, loss, pcap)?;
        let remote = Remote::Naio(naio::Naio::start(theirs, pieces.clone())?);
        let (queue, card) = station::open(wire, HERE)?;
        let why = format!("a wire in memory to a second card with a second naio behind it ({refused})");
        Ok(Ends { queue, card, remote, tally, why })
    }
}

impl Remote {
    /// Where to connect to.
    pub(crate) fn address(experiment: Experiment) -> SocketAddr {
        let port = match experiment {
            Experiment::Receive => SOURCE_PORT,
            Experiment::Send => SINK_PORT,
        };
        (THERE, port).into()
    }

    /// As in the records.
    pub(crate) fn topology(&self) -> &'static str {
        match self {
            Remote::Linux(_) => "model-tap",
            Remote::Naio(_) => "model-pair",
        }
    }

    /// A run begins.
    pub(crate) fn begin(&mut self) -> Result<(), Failure> {
        match self {
            Remote::Linux(linux) => linux.begin(),
            // Its thread measures by itself, from the accept.
            Remote::Naio(_) => Ok(()),
        }
    }

    /// CPU time of the partner in the run that is over, driving `queue` until it is known: the partner may need our
    /// answers.
    pub(crate) fn cpu(&mut self, queue: &mut EventQueue) -> Result<Duration, Failure> {
        match self {
            Remote::Linux(linux) => linux.cpu(),
            Remote::Naio(naio) => naio.cpu(queue),
        }
    }

    /// CPU time that belongs to the partner but counts as this process's, of `cpu`.
    pub(crate) fn share_of_process(&self, cpu: Duration) -> Duration {
        match self {
            Remote::Linux(_) => Duration::ZERO,
            Remote::Naio(_) => cpu,
        }
    }
}
