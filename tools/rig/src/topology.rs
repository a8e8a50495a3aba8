//! The wire to a peer outside the guest: a TAP in a network namespace of its own, with the host's native Linux at
//! its end. Needs root. (The other topology, two cards in one guest, is made of QEMU options and shell functions.)
//!
//! Nothing here touches the host's own network: the namespace has no way out. It is named after our process and is
//! removed when the value goes away; one that a killed process left behind is removed by the next.

use crate::arm::{REMOTE, THERE};
use crate::deadline::Deadline;
use crate::process::{self, Guard, ProcessError};
use core::time::Duration;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PREFIX: &str = "naio-rig-";
/// The TAP's name inside its namespace.
pub const TAP: &str = "tap0";
const LIMIT: Duration = Duration::from_secs(20);
const POLL: Duration = Duration::from_millis(20);

/// A namespace with a TAP in it.
#[derive(Debug)]
pub struct TapWire {
    ip: PathBuf,
    namespace: String,
}

/// Why there is no wire.
#[derive(Debug, thiserror::Error)]
pub enum TopologyError {
    /// Not root.
    #[error("a TAP needs root")]
    Root,
    /// No iproute2.
    #[error("there is no `ip` program (package iproute2)")]
    NoIp,
    /// The kernel or `ip` refuses.
    #[error("cannot make a TAP in a namespace: {0}")]
    Ip(#[from] ProcessError),
    /// The peer does not start.
    #[error("naio-remote does not start on the peer: {0}")]
    Peer(String),
    /// A log file cannot be written.
    #[error("cannot write the peer's log: {0}")]
    Log(#[from] io::Error),
}

/// Whether we may make a TAP.
#[must_use]
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

impl TapWire {
    /// Makes the namespace and the TAP with the peer's address. IPv6 is quiet, so that no frame is sent that nobody
    /// asked for.
    ///
    /// # Errors
    /// [`TopologyError`].
    pub fn create(ip: Option<&Path>) -> Result<Self, TopologyError> {
        if !is_root() {
            return Err(TopologyError::Root);
        }
        let ip = ip.ok_or(TopologyError::NoIp)?.to_owned();
        remove_stale(&ip);
        let namespace = format!("{PREFIX}{}", std::process::id());
        run(&ip, &["netns", "add", &namespace])?;
        // From here on Drop removes it.
        let wire = Self { ip, namespace };
        let ns = ["-n", &wire.namespace];
        for arguments in [
            &["link", "set", "lo", "up"][..],
            &["tuntap", "add", "dev", TAP, "mode", "tap"],
            &["link", "set", TAP, "addrgenmode", "none"],
            &["addr", "add", THERE, "dev", TAP],
            &["link", "set", TAP, "up"],
        ] {
            run(&wire.ip, &[&ns[..], arguments].concat())?;
        }
        Ok(wire)
    }

    /// A command that will run this program inside the namespace. `ip netns exec` replaces itself by the program,
    /// so that our child handle is the program's.
    #[must_use]
    pub fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(&self.ip);
        command.args(["netns", "exec", &self.namespace]).arg(program);
        command
    }

    /// Starts `naio-remote` as the peer, waits until it listens, and stops it when the guard goes away.
    ///
    /// # Errors
    /// [`TopologyError`].
    pub fn peer(&self, remote: &Path, log: &Path) -> Result<Guard, TopologyError> {
        let address = REMOTE.split(':').next().unwrap_or_default();
        let mut command = self.command(remote);
        command.args(["--listen", address]).stdin(Stdio::null());
        command.stdout(File::create(log)?).stderr(File::options().append(true).open(log)?);
        let mut guard = Guard::spawn(&mut command)?;
        let deadline = Deadline::after(LIMIT);
        loop {
            let said = fs::read_to_string(log)?;
            if said.contains("listening") {
                return Ok(guard);
            }
            if guard.poll().is_some() || deadline.has_passed() {
                return Err(TopologyError::Peer(said));
            }
            std::thread::sleep(POLL);
        }
    }

    /// Frames that the peer has sent and the guest's card has taken from the TAP. The peer's TCP hands over large
    /// segments; they are cut before this count, because the TAP takes none.
    ///
    /// # Errors
    /// [`TopologyError`].
    pub fn frames_sent(&self) -> Result<u64, TopologyError> {
        let mut command = self.command(Path::new("cat"));
        let text = process::output(command.arg("/proc/net/dev"), LIMIT)?;
        let text = String::from_utf8_lossy(&text).into_owned();
        let columns = text.lines().find_map(|line| line.trim().strip_prefix(TAP)?.strip_prefix(':'));
        // proc(5), /proc/net/dev: eight columns of reception, then transmission: bytes, packets.
        let packets = columns.and_then(|c| c.split_ascii_whitespace().nth(9)?.parse().ok());
        packets.ok_or_else(|| TopologyError::Peer(format!("no count of {TAP} in {text}")))
    }
}

impl Drop for TapWire {
    fn drop(&mut self) {
        // The TAP goes with its namespace. If this fails, the next run removes both.
        let _ = run(&self.ip, &["netns", "del", &self.namespace]);
    }
}

fn run(ip: &Path, arguments: &[&str]) -> Result<(), ProcessError> {
    process::output(Command::new(ip).args(arguments), LIMIT).map(drop)
}

/// Removes namespaces whose process is gone.
fn remove_stale(ip: &Path) {
    let Ok(list) = process::output(Command::new(ip).args(["netns", "list"]), LIMIT) else { return };
    for name in String::from_utf8_lossy(&list).lines().filter_map(|l| l.split_ascii_whitespace().next()) {
        let process = name.strip_prefix(PREFIX).and_then(|pid| pid.parse::<u32>().ok());
        if process.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            let _ = run(ip, &["netns", "del", name]);
        }
    }
}
