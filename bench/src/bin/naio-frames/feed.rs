//! How a receiver asks for frames: one byte through a FIFO, and one byte back when they are on the wire.
//!
//! Receives the path both sides name; hands on bytes that mean nothing but their arrival. It carries no frame.

use crate::report::Failure;
use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::path::Path;

/// One side's ends of the two FIFOs.
pub(crate) struct Feed {
    from: File,
    to: File,
}

impl Feed {
    /// The receiver's side. Opening waits for the other one (fifo(7)), in the same order on both sides.
    pub(crate) fn receiver(path: &Path) -> Result<Feed, Failure> {
        let (want, here) = names(path);
        let to = open(&want, File::options().write(true))?;
        Ok(Feed { from: open(&here, File::options().read(true))?, to })
    }

    /// The sender's side.
    pub(crate) fn sender(path: &Path) -> Result<Feed, Failure> {
        let (want, here) = names(path);
        let from = open(&want, File::options().read(true))?;
        Ok(Feed { to: open(&here, File::options().write(true))?, from })
    }

    /// Both sides in one process, receiver first.
    #[cfg(test)]
    pub(crate) fn pair() -> (Feed, Feed) {
        let end = |fd: std::os::fd::OwnedFd| File::from(fd);
        let (want, here) = (io::pipe().expect("a pipe"), io::pipe().expect("a pipe"));
        let receiver = Feed { from: end(here.0.into()), to: end(want.1.into()) };
        (receiver, Feed { from: end(want.0.into()), to: end(here.1.into()) })
    }

    /// Asks for a batch and waits until it is on the wire.
    pub(crate) fn ask(&mut self) -> Result<(), Failure> {
        self.say()?;
        self.wait()?.then_some(()).ok_or(Failure::NoSender)
    }

    /// Waits for the other side; false when it has gone.
    pub(crate) fn wait(&mut self) -> Result<bool, Failure> {
        let mut byte = [0];
        match self.from.read(&mut byte) {
            Ok(count) => Ok(count > 0),
            Err(error) => Err(Failure::Feed("the feed".to_owned(), error)),
        }
    }

    /// Lets the other side go on.
    pub(crate) fn say(&mut self) -> Result<(), Failure> {
        self.to.write_all(&[1]).map_err(|error| Failure::Feed("the feed".to_owned(), error))
    }
}

fn names(path: &Path) -> (String, String) {
    let path = path.display();
    (format!("{path}.want"), format!("{path}.here"))
}

fn open(name: &str, how: &std::fs::OpenOptions) -> Result<File, Failure> {
    how.open(name).map_err(|error: io::Error| Failure::Feed(name.to_owned(), error))
}
