//! One rig run at a time: two would share two cores and trample each other's figures.

use crate::deadline::Deadline;
use crate::paths::Paths;
use core::time::Duration;
use rustix::fs::{FlockOperation, flock};
use std::fs::{self, File, OpenOptions};
use std::io;

/// How long another run is waited for.
const PATIENCE: Duration = Duration::from_secs(20 * 60);
const POLL: Duration = Duration::from_millis(250);

/// The rig is ours until this value goes away; the kernel also releases it if we die.
#[derive(Debug)]
pub struct Lock {
    _file: File,
}

/// Why the rig could not be had.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The lock file cannot be made.
    #[error("cannot make the rig's lock file: {0}")]
    File(#[from] io::Error),
    /// Somebody else holds it for too long.
    #[error("another rig run still holds {0} after {min} minutes", min = PATIENCE.as_secs() / 60)]
    Busy(String),
}

/// Waits for the rig; says so once through `say` if it has to wait.
///
/// # Errors
/// [`LockError`].
pub fn acquire(paths: &Paths, say: &dyn Fn(&str)) -> Result<Lock, LockError> {
    fs::create_dir_all(paths.root())?;
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(paths.lock())?;
    let deadline = Deadline::after(PATIENCE);
    let mut said = false;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(Lock { _file: file }),
            Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => {}
            Err(error) => return Err(io::Error::from(error).into()),
        }
        if deadline.has_passed() {
            return Err(LockError::Busy(paths.lock().display().to_string()));
        }
        if !said {
            say("another rig run is under way; waiting for it");
            said = true;
        }
        std::thread::sleep(POLL);
    }
}
