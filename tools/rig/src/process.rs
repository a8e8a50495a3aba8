//! Other programs, each with a deadline and ended through our own handle, never by name.

use crate::deadline::Deadline;
use core::time::Duration;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

/// How often a running program is looked at.
const POLL: Duration = Duration::from_millis(20);
/// How much of a program's complaint goes into an error message.
const COMPLAINT_MAX: usize = 2000;
/// After so many bytes no further argument of a command goes in there.
const COMMAND_MAX: usize = 160;

/// Why a program did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It could not be started.
    #[error("cannot run {program}: {source}")]
    Start {
        /// The program.
        program: String,
        /// What the system said.
        source: io::Error,
    },
    /// It ended with a failure.
    #[error("`{command}` failed ({status}): {complaint}")]
    Failed {
        /// Program and arguments.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// The end of what it wrote to standard error.
        complaint: String,
    },
    /// It was still running at its deadline and was killed.
    #[error("`{command}` had not ended after {} s and was killed", limit.as_secs())]
    Late {
        /// Program and arguments.
        command: String,
        /// The deadline.
        limit: Duration,
    },
}

/// A child process that is killed and reaped when the value goes away.
#[derive(Debug)]
pub struct Guard {
    child: Child,
    command: String,
}

impl Guard {
    /// Starts the program.
    ///
    /// # Errors
    /// [`ProcessError::Start`].
    pub fn spawn(command: &mut Command) -> Result<Self, ProcessError> {
        let text = describe(command);
        match command.spawn() {
            Ok(child) => Ok(Self { child, command: text }),
            Err(source) => {
                Err(ProcessError::Start { program: command.get_program().to_string_lossy().into(), source })
            }
        }
    }

    /// How it ended, if it has.
    pub fn poll(&mut self) -> Option<ExitStatus> {
        // An error here means that somebody else reaped our child, which nobody does; "still running" then meets
        // the caller's deadline.
        self.child.try_wait().ok().flatten()
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// [`ProcessError::Late`]; the program has then been killed.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus, ProcessError> {
        let deadline = Deadline::after(limit);
        loop {
            if let Some(status) = self.poll() {
                return Ok(status);
            }
            if deadline.has_passed() {
                self.kill();
                return Err(ProcessError::Late { command: self.command.clone(), limit });
            }
            std::thread::sleep(POLL);
        }
    }

    /// Ends the program now. Ending it twice is fine.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Runs a program to its end and returns what it wrote to standard output.
///
/// # Errors
/// It cannot start, does not succeed, or is not done within `limit`.
pub fn output(command: &mut Command, limit: Duration) -> Result<Vec<u8>, ProcessError> {
    command.stdin(Stdio::null());
    let (status, stdout, stderr) = capture(command, limit)?;
    if status.success() {
        return Ok(stdout);
    }
    Err(ProcessError::Failed { command: describe(command), status, complaint: tail(&stderr) })
}

/// As [`output`], whatever the program's status; standard input is what the caller set.
///
/// # Errors
/// It cannot start, or is not done within `limit`.
pub fn capture(
    command: &mut Command,
    limit: Duration,
) -> Result<(ExitStatus, Vec<u8>, Vec<u8>), ProcessError> {
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut guard = Guard::spawn(command)?;
    // Both pipes are drained while it runs, or a chatty program would block on a full one for ever.
    let stdout = guard.child.stdout.take().map(drain);
    let stderr = guard.child.stderr.take().map(drain);
    let status = guard.wait(limit)?;
    let collect = |thread: Option<std::thread::JoinHandle<Vec<u8>>>| {
        thread.and_then(|t| t.join().ok()).unwrap_or_default()
    };
    Ok((status, collect(stdout), collect(stderr)))
}

fn drain(mut pipe: impl io::Read + Send + 'static) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut all = Vec::new();
        // A broken pipe ends the output; what was read is still worth having.
        let _ = pipe.read_to_end(&mut all);
        all
    })
}

/// Program and arguments as a person would type them; of many arguments, the first ones.
fn describe(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    let arguments = command.get_args();
    let count = arguments.len();
    for (index, argument) in arguments.enumerate() {
        if text.len() > COMMAND_MAX {
            text.push_str(&format!(" … and {} more arguments", count - index));
            break;
        }
        text.push(' ');
        text.push_str(&argument.to_string_lossy());
    }
    text
}

/// The end of a program's complaint.
#[must_use]
pub fn tail(bytes: &[u8]) -> String {
    let from = bytes.len().saturating_sub(COMPLAINT_MAX);
    String::from_utf8_lossy(&bytes[from..]).trim().to_owned()
}

/// Where a program is, looking along `PATH`, in the usual system folders and below `extra`.
#[must_use]
pub fn find(program: &str, extra: &Path) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/local/sbin", "/usr/sbin", "/sbin", "/usr/bin", "/bin"].map(PathBuf::from);
    let unpacked = ["usr/bin", "usr/sbin", "bin", "sbin"].map(|d| extra.join(d));
    std::env::split_paths(&path).chain(usual).chain(unpacked).map(|d| d.join(program)).find(|p| p.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_of_many_arguments_is_told_by_its_first_ones() {
        let mut few = Command::new("apt-get");
        few.args(["download", "one"]);
        assert_eq!(describe(&few), "apt-get download one");
        let mut many = Command::new("apt-get");
        many.args((0..100).map(|n| format!("librte-number-{n}")));
        let text = describe(&many);
        assert!(text.starts_with("apt-get librte-number-0 ") && text.len() < 250, "{text}");
        let shown = text.matches("librte").count();
        assert!(text.ends_with(&format!("… and {} more arguments", 100 - shown)), "{text}");
    }
}
