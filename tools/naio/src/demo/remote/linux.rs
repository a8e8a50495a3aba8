//! The host's own TCP as a partner: starts our own program again as a process in a private network, and takes the
//! TAP from it.
//!
//! Receives nothing, hands on the TAP and a hand on the process. Nothing here or there changes the host's network:
//! the process makes its own, which goes when it ends, and it ends when its line to us does.

use super::process::{GO_AHEAD, HOW_MUCH};
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
        let user = match Linux::start_by(Right::User) {
            Ok(started) => return Ok(started),
            Err(why) => why,
        };
        Linux::start_by(Right::Root).map_err(|root| Refused { user, root })
    }

    fn start_by(right: Right) -> Result<(Linux, Tap), String> {
        let told = |error: io::Error| format!("no process: {error}");
        let (line, theirs) = Line::pair().map_err(told)?;
        let mut command = Command::new(OURSELVES);
        command.arg0("naio").arg("remote").stdin(Stdio::from(theirs.into_fd())).stdout(Stdio::null());
        if right == Right::Root {
            command.arg("--root");
        }
        let child = command.spawn().map_err(told)?;
        // The command still holds their end of the line: without this, its end would never show.
        drop(command);
        let mut linux = Linux { child, line: Some(line), right, before: Duration::ZERO };
        match linux.hear() {
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
        if let Some(line) = &self.line {
            line.send(HOW_MUCH, None).map_err(Failure::Remote)?;
        }
        let Message { bytes, .. } = self.hear().map_err(Failure::Remote)?;
        let nanoseconds = bytes.first_chunk().map(|bytes| u64::from_le_bytes(*bytes));
        let nonsense = || Failure::Remote(io::ErrorKind::InvalidData.into());
        nanoseconds.map(Duration::from_nanos).ok_or_else(nonsense)
    }

    fn hear(&mut self) -> io::Result<Message> {
        let gone = || io::Error::from(io::ErrorKind::UnexpectedEof);
        let line = self.line.as_ref().ok_or_else(gone)?;
        line.receive(Some(ANSWER_WITHIN))?.ok_or_else(gone)
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
