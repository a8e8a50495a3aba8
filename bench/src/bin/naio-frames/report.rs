//! What a run of raw frames prints, and how it fails.
//!
//! Receives counts poll by poll; hands on one JSON line or a text for people.

use core::fmt;
use naio_dma::RegionError;
use serde::Serialize;
use std::io;
use std::time::Duration;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("`{0}` names no card that can be driven directly; a name looks like vfio:0000:00:02.0")]
    Name(String),
    #[error(transparent)]
    Vfio(#[from] naio_vfio::OpenError),
    #[error(transparent)]
    Card(#[from] naio_e1000::OpenError),
    #[error("no memory for frames that the card can see: {0}")]
    Memory(RegionError),
    #[error("serve sends to whoever asks, and nobody can without --feed PATH")]
    NoFeed,
    #[error("cannot use {0}: {1}")]
    Feed(String, #[source] io::Error),
    #[error("whoever brings the frames has gone")]
    NoSender,
    #[error("nothing has arrived for {} s", .0.as_secs())]
    Silence(Duration),
    #[error("cannot write the report: {0}")]
    Print(io::Error),
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

impl Failure {
    /// What the user can do about it, if that is known.
    pub(crate) fn help(&self) -> Option<String> {
        match self {
            Failure::Vfio(error) => error.help(),
            Failure::Memory(_) => Some("raise RLIMIT_MEMLOCK (`ulimit -l`), or use a smaller --ring".into()),
            Failure::Feed(..) => Some("make both FIFOs first: mkfifo PATH.want PATH.here".into()),
            Failure::Silence(_) => Some("does anything send to this card? --feed lets rxonly ask".into()),
            Failure::Name(_) | Failure::NoFeed => Some("--help has examples".into()),
            _ => None,
        }
    }
}

/// What a run did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Report {
    pub(crate) program: &'static str,
    pub(crate) mode: &'static str,
    /// Bytes of a frame without FCS, as asked for.
    pub(crate) size: u16,
    pub(crate) frames: u64,
    /// Bytes of all of them without FCS.
    pub(crate) bytes: u64,
    /// Polls that moved frames.
    pub(crate) bursts: u64,
    /// Polls that moved none.
    pub(crate) empty_polls: u64,
    pub(crate) frames_per_poll: f64,
    /// Time of the measured part without waiting for a feed.
    pub(crate) seconds: f64,
    pub(crate) frames_per_s: f64,
    #[serde(skip)]
    pub(crate) waited: Duration,
}

impl Report {
    pub(crate) fn new(mode: &'static str, size: u16) -> Report {
        Report {
            program: "naio-frames",
            mode,
            size,
            frames: 0,
            bytes: 0,
            bursts: 0,
            empty_polls: 0,
            frames_per_poll: 0.0,
            seconds: 0.0,
            frames_per_s: 0.0,
            waited: Duration::ZERO,
        }
    }

    /// A poll that moved so many.
    #[inline]
    pub(crate) fn poll(&mut self, frames: u64) {
        self.frames += frames;
        if frames == 0 {
            self.empty_polls += 1;
        } else {
            self.bursts += 1;
        }
    }

    /// How long the measured part took, all in all.
    pub(crate) fn took(&mut self, all: Duration) {
        self.seconds = all.saturating_sub(self.waited).as_secs_f64();
        if self.seconds > 0.0 {
            self.frames_per_s = self.frames as f64 / self.seconds;
        }
        if self.bursts > 0 {
            self.frames_per_poll = self.frames as f64 / self.bursts as f64;
        }
    }

    pub(crate) fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {}, {} bytes", self.program, self.mode, self.size)?;
        writeln!(f, "  frames         {} ({} bytes)", self.frames, self.bytes)?;
        writeln!(
            f,
            "  frames / poll  {:.1} ({} polls, {} more in vain)",
            self.frames_per_poll, self.bursts, self.empty_polls
        )?;
        writeln!(f, "  rate           {:.0} frames/s in {:.3} s", self.frames_per_s, self.seconds)
    }
}
