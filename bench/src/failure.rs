//! How a program of ours ends: with a report, or with one line that says what happened and one that says what to do.
//!
//! Receives the result of a run, prints it, hands on the exit status. Never ends the process itself.

use crate::report::Report;
use aio_api::{BuildError, OpError, WaitError};
use std::error::Error;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A flag makes no sense.
    #[error("{0}")]
    Usage(String),
    /// The card could not be opened.
    #[error("cannot open {device}")]
    Open {
        /// Its name.
        device: String,
        /// Why.
        source: BuildError,
    },
    /// The kernel refuses `SO_ZEROCOPY`.
    #[error("this kernel has no MSG_ZEROCOPY for TCP: {0}")]
    NoZeroCopy(io::Error),
    /// The network gives us no address.
    #[error("{0}")]
    NoAddress(&'static str),
    /// The queue refused a submission; the text names the limit.
    #[error("{0}")]
    Submit(String),
    /// An operation ended with an error.
    #[error("{what}: {source}")]
    Operation {
        /// What it was for.
        what: &'static str,
        /// Why.
        source: OpError,
    },
    /// The peer was silent for too long.
    #[error("nothing was heard from {peer} for {} s", within.as_secs())]
    Silence {
        /// Who.
        peer: String,
        /// How long.
        within: Duration,
    },
    /// The remote closed too early.
    #[error("the remote ended after {received} of {expected} bytes")]
    EndedEarly {
        /// Bytes that came.
        received: u64,
        /// Bytes that should have come.
        expected: u64,
    },
    /// The remote closed a connection without saying what it read.
    #[error("the peer closed the connection before it had answered")]
    Unanswered,
    /// The sink counted another number of bytes than were sent.
    #[error("{sent} bytes were sent, but the remote has read {read}")]
    Miscounted {
        /// Bytes sent.
        sent: u64,
        /// Bytes that the remote says it read.
        read: u64,
    },
    /// Waiting cannot lead to anything.
    #[error(transparent)]
    Wait(#[from] WaitError),
    /// The kernel, a file or a kernel socket.
    #[error("{what}: {source}")]
    Io {
        /// What was tried.
        what: String,
        /// What the system said.
        source: io::Error,
    },
}

impl Failure {
    /// An operation of the queue.
    pub fn operation(what: &'static str) -> impl FnOnce(OpError) -> Failure {
        move |source| Failure::Operation { what, source }
    }

    /// A call of the system.
    pub fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Failure {
        move |source| Failure::Io { what: what.into(), source }
    }

    /// A refused submission, with its causes.
    #[must_use]
    #[allow(clippy::needless_pass_by_value, reason = "it stands in `map_err`")]
    pub fn submit(error: impl Error) -> Failure {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(deeper) = cause {
            text.push_str(&format!(": {deeper}"));
            cause = deeper.source();
        }
        Failure::Submit(text)
    }

    /// What the user can do about it, if that is known.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            Failure::Open { source, .. } => {
                source.help().or_else(|| Some("--help says what each flag takes".into()))
            }
            Failure::Operation { source: OpError::CardGone, .. } | Failure::Wait(WaitError::CardGone) => {
                Some("the card was unbound or unplugged: bind it to vfio-pci again, then start again".into())
            }
            Failure::Submit(_) => Some("--help lists the flags that set the queue's limits".into()),
            Failure::NoAddress(_) => Some(
                "is the cable in the right network? --address and --ipv6 ADDRESS/LENGTH need no server"
                    .into(),
            ),
            Failure::NoZeroCopy(_) => {
                Some("Linux 4.14 and newer have it; without --zerocopy the kernel copies".into())
            }
            Failure::Usage(_) => Some("--help says what each flag takes".into()),
            Failure::Operation { .. }
            | Failure::Silence { .. }
            | Failure::EndedEarly { .. }
            | Failure::Unanswered
            | Failure::Io { .. } => {
                Some("is naio-remote running there, and does the address answer a ping?".into())
            }
            Failure::Miscounted { .. } | Failure::Wait(_) => None,
        }
    }
}

/// Prints the report, or the failure with its causes and its help; false hashes are failures too.
#[must_use]
pub fn conclude(result: Result<Report, Failure>, json: bool) -> ExitCode {
    match result {
        Ok(report) => {
            let text = if json { report.to_json().map(|t| t + "\n") } else { Ok(report.to_string()) };
            let printed =
                text.map_err(io::Error::from).and_then(|t| io::stdout().lock().write_all(t.as_bytes()));
            if let Err(error) = printed {
                eprintln!("error: cannot write the report: {error}");
                return ExitCode::FAILURE;
            }
            if report.sha256_ok == Some(false) {
                eprintln!("error: SHA-256 here and at the remote differ");
                return ExitCode::FAILURE;
            }
            ExitCode::SUCCESS
        }
        Err(failure) => {
            eprintln!("error: {failure}");
            // The texts of operations contain their cause already.
            let mut cause = match &failure {
                Failure::Open { source, .. } => Some(source as &dyn Error),
                _ => None,
            };
            while let Some(deeper) = cause {
                eprintln!("  because: {deeper}");
                cause = deeper.source();
            }
            if let Some(help) = failure.help() {
                eprintln!("help: {help}");
            }
            ExitCode::FAILURE
        }
    }
}
