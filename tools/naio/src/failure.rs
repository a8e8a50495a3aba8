//! Why the demonstration stopped, and what the user can do about it.

use aio_api::{BufferError, BuildError, ListenError, OpError, SocketError, SubmitError, WaitError};
use std::error::Error;
use std::io;
use std::path::PathBuf;

/// Why there are no figures.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("cannot open {name}")]
    Open { name: String, source: BuildError },
    #[error("an operation was refused")]
    Submit(#[from] SubmitError),
    #[error("no buffers")]
    Buffers(#[from] BufferError),
    #[error("no socket")]
    Socket(#[from] SocketError),
    #[error("cannot listen")]
    Listen(#[from] ListenError),
    #[error("waiting failed")]
    Wait(#[from] WaitError),
    #[error("{0} failed")]
    Operation(&'static str, #[source] OpError),
    #[error("nothing moved for {0} s")]
    Stalled(u64),
    #[error("the transfer ended after {moved} of {expected} bytes")]
    EndedEarly { moved: u64, expected: u64 },
    #[error("the remote's thread has ended")]
    RemoteGone,
    #[error("no thread for the remote")]
    Thread(#[source] io::Error),
    #[error("{arm} moved wrong bytes: SHA-256 {got} instead of {expected}")]
    Hash { arm: &'static str, got: String, expected: String },
    #[error("cannot write {}", path.display())]
    Write { path: PathBuf, source: io::Error },
    #[error("cannot draw {}: {why}", path.display())]
    Draw { path: PathBuf, why: String },
    #[error("the figures cannot be written as JSON")]
    Json(#[from] serde_json::Error),
}

impl Failure {
    /// Everything to tell the user: what, why, and what to do.
    pub(crate) fn told(&self) -> String {
        let mut told = format!("naio: {self}");
        let mut source = self.source();
        while let Some(error) = source {
            told += &format!(": {error}");
            source = error.source();
        }
        if let Failure::Open { source, .. } = self
            && let Some(help) = source.help()
        {
            told += &format!("\n  {help}");
        }
        told
    }
}
