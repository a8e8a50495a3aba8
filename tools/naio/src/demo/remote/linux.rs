//! The host's own TCP as a partner: starts our own program again as a process in a private network, and takes the
//! TAP from it.
//!
//! Receives nothing, hands on the TAP and a hand on the process. Nothing here or there changes the host's network:
//! the process makes its own, which goes when it ends, and it ends when its line to us does.

use super::process::{GO_AHEAD, HOW_MUCH, RECEIVE, SEND};
use crate::demo::record::Experiment;
use crate::failure::Failure;
use naio_sys::handover::{Line, Message};
use naio_sys::namespace::Right;
use naio_sys::tap::Tap;
use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Ourselves, wherever the file is by now (proc(5)).
const OURSELVES: &str = "/proc/self/exe";
/// How long the process may take to say that its network is there, or to answer a question.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// How long a transfer may take.
const TRANSFER_WITHIN: Duration = Duration::from_secs(3_600);
/// Bytes of an answer that is a span of time.
const ANSWER_LEN: usize = 8;

/// Why there is no private network, for each right that we tried.
#[derive(Debug, thiserror::Error)]
#[error("without root: {user}; as root: {root}")]
pub(crate) struct Refused {
    user: String,
    root: String,
}

/// The process. When it is dropped, its network goes.
pub(crate) struct Linux {
    child: Child,
    /// `None` once it is to end.
    line: Option<Line>,
    right: Right,
    before: Duration,
}

impl Linux {
    /// Starts it, without root if the system lets everybody have a network, as root otherwise.
    pub(crate) fn start() -> Result<(Linux, Tap), Refused> {
        Linux::start_as(&[])
    }

    /// Starts one that is a client, at the measured side's address.
    pub(crate) fn start_client() -> Result<(Linux, Tap), Refused> {
        Linux::start_as(&["--client"])
    }

    fn start_as(arguments: &[&str]) -> Result<(Linux, Tap), Refused> {
        let user = match Linux::start_by(Right::User, arguments) {
            Ok(started) => return Ok(started),
            Err(why) => why,
        };
        Linux::start_by(Right::Root, arguments).map_err(|root| Refused { user, root })
    }

    fn start_by(right: Right, arguments: &[&str]) -> Result<(Linux, Tap), String> {
        let told = |error: io::Error| format!("no process: {error}");
        let (line, theirs) = Line::pair().map_err(told)?;
        let mut command = Command::new(OURSELVES);
        command.arg0("naio").arg("remote").stdin(Stdio::from(theirs.into_fd())).stdout(Stdio::null());
        command.args(arguments);
        if right == Right::Root {
            command.arg("--root");
        }
        let child = command.spawn().map_err(told)?;
        // The command still holds their end of the line: without this, its end would never show.
        drop(command);
        let mut linux = Linux { child, line: Some(line), right, before: Duration::ZERO };
        match linux.hear(ANSWER_WITHIN) {
            Ok(Message { bytes, fd: Some(fd) }) if bytes == GO_AHEAD => Ok((linux, Tap::from(fd))),
            Ok(Message { bytes, .. }) => Err(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) => Err(format!("its process says nothing ({error})")),
        }
    }

    /// For the user.
    pub(crate) fn by_what_right(&self) -> &'static str {
        match self.right {
            Right::User => "without root, in a user namespace",
            Right::Root => "as root, because user namespaces are not allowed here",
        }
    }

    pub(super) fn begin(&mut self) -> Result<(), Failure> {
        self.before = self.spent()?;
        Ok(())
    }

    /// CPU time of the process since the run began.
    pub(super) fn cpu(&mut self) -> Result<Duration, Failure> {
        Ok(self.spent()?.saturating_sub(self.before))
    }

    /// CPU time of the process so far.
    fn spent(&mut self) -> Result<Duration, Failure> {
        self.ask(HOW_MUCH, ANSWER_WITHIN)
    }

    /// Lets a client move `bytes` bytes, hashed; how long that took.
    pub(crate) fn transfer(&mut self, experiment: Experiment, bytes: u64) -> Result<Duration, Failure> {
        let what = if experiment == Experiment::Send { SEND } else { RECEIVE };
        self.ask(&[what, &bytes.to_le_bytes()].concat(), TRANSFER_WITHIN)
    }

    fn ask(&mut self, question: &[u8], within: Duration) -> Result<Duration, Failure> {
        if let Some(line) = &self.line {
            line.send(question, None).map_err(Failure::Remote)?;
        }
        let Message { bytes, .. } = self.hear(within).map_err(Failure::Remote)?;
        match bytes.first_chunk().filter(|_| bytes.len() == ANSWER_LEN) {
            Some(nanoseconds) => Ok(Duration::from_nanos(u64::from_le_bytes(*nanoseconds))),
            None => {
                let told = String::from_utf8_lossy(&bytes).trim().to_owned();
                Err(Failure::Remote(io::Error::new(io::ErrorKind::InvalidData, told)))
            }
        }
    }

    fn hear(&mut self, within: Duration) -> io::Result<Message> {
        let gone = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let line = self.line.as_ref().ok_or_else(gone)?;
        line.receive(Some(within))?.ok_or_else(gone)
    }
}

impl Drop for Linux {
    fn drop(&mut self) {
        // It would end with its line, but may be about to write; it has nothing to save.
        self.line = None;
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
