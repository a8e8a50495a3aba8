//! What all senders share, on naio and on the kernel: flags, how the payload is split, the sink's answer.

use crate::failure::Failure;
use crate::payload::Payload;
use crate::protocol::{DIGEST_LEN, Request};
use crate::session::OutputArguments;
use crate::sha::Digest;
use crate::size::Size;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Connections that are believed to be meant.
const SOCKETS_MAX: usize = 4096;
/// Largest piece that one call or operation sends.
const PIECE_MAX: u64 = 1 << 30;
/// The length of the payload that the sink counted, in front of its answer.
const COUNT_LEN: usize = 8;
/// The longest answer of the sink.
pub const ANSWER_MAX: usize = COUNT_LEN + DIGEST_LEN;

/// Where to, how much, over how many connections.
#[derive(Debug, Clone, clap::Args)]
pub struct SendArguments {
    /// Sink port of a naio-remote.
    #[arg(long, default_value = "10.9.0.1:5002")]
    pub remote: SocketAddr,
    /// Connections that send at the same time.
    #[arg(long, default_value_t = 10)]
    pub sockets: usize,
    /// Payload of all connections together.
    #[arg(long, default_value_t = Size(256 << 20))]
    pub size: Size,
    /// Have the remote hash what each connection sent, and compare; costs more than sending does.
    #[arg(long)]
    pub sha256: bool,
    #[command(flatten)]
    #[allow(missing_docs, reason = "clap would show it as help")]
    pub output: OutputArguments,
}

/// Which file.
#[derive(Debug, Clone, clap::Args)]
pub struct FileArguments {
    /// Send this file, repeated, instead of pseudo-random bytes in a file in memory.
    #[arg(long)]
    pub file: Option<PathBuf>,
    /// Length of the pseudo-random file before it repeats; made odd by leaving off one byte.
    #[arg(long, default_value_t = Size(16 << 20), conflicts_with = "file")]
    pub file_size: Size,
}

impl SendArguments {
    /// Payload bytes of each connection: equal, the first one also takes what is left over.
    ///
    /// # Errors
    /// [`Failure::Usage`] for an absurd number of connections.
    pub fn shares(&self) -> Result<Vec<u64>, Failure> {
        if !(1..=SOCKETS_MAX).contains(&self.sockets) {
            return Err(Failure::Usage(format!("--sockets must be 1 to {SOCKETS_MAX}")));
        }
        let sockets = self.sockets as u64;
        let mut shares = vec![self.size.0 / sockets; self.sockets];
        shares[0] += self.size.0 % sockets;
        Ok(shares)
    }

    /// The request that opens each connection.
    #[must_use]
    pub fn request(&self) -> Request {
        Request { bytes: 0, sha256: self.sha256 }
    }

    /// Bytes that the sink answers with.
    #[must_use]
    pub fn answer_len(&self) -> usize {
        if self.sha256 { ANSWER_MAX } else { COUNT_LEN }
    }
}

impl FileArguments {
    /// Opens or makes the file.
    ///
    /// # Errors
    /// [`Failure::Io`].
    pub fn payload(&self) -> Result<Payload, Failure> {
        match &self.file {
            Some(path) => Payload::open(path).map_err(Failure::io(format!("cannot read {}", path.display()))),
            None => Payload::random(self.file_size.0).map_err(Failure::io("cannot make a payload")),
        }
    }
}

/// A size flag as a length in memory.
///
/// # Errors
/// [`Failure::Usage`] if it is zero or more than 1 GiB.
pub fn length(flag: &str, size: Size) -> Result<usize, Failure> {
    let len = usize::try_from(size.0).ok().filter(|_| (1..=PIECE_MAX).contains(&size.0));
    len.ok_or_else(|| Failure::Usage(format!("{flag} must be 1 byte to 1 GiB")))
}

/// Checks a sink's answer; `None` if no hash was asked for, otherwise whether it is the expected one.
///
/// # Errors
/// [`Failure::Miscounted`], [`Failure::Unanswered`].
pub fn check_answer(answer: &[u8], sent: u64, digest: Option<&Digest>) -> Result<Option<bool>, Failure> {
    let expected = COUNT_LEN + digest.map_or(0, |_| DIGEST_LEN);
    let (Some(count), true) = (answer.first_chunk::<COUNT_LEN>(), answer.len() == expected) else {
        return Err(Failure::Unanswered);
    };
    let read = u64::from_le_bytes(*count);
    if read != sent {
        return Err(Failure::Miscounted { sent, read });
    }
    Ok(digest.map(|digest| answer[COUNT_LEN..] == digest[..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_must_be_whole_and_say_what_was_sent() {
        let digest = [7; DIGEST_LEN];
        let mut answer = 5u64.to_le_bytes().to_vec();
        assert!(matches!(check_answer(&answer, 5, None), Ok(None)));
        assert!(matches!(check_answer(&answer, 6, None), Err(Failure::Miscounted { sent: 6, read: 5 })));
        assert!(matches!(check_answer(&answer, 5, Some(&digest)), Err(Failure::Unanswered)));
        answer.extend(digest);
        assert!(matches!(check_answer(&answer, 5, Some(&digest)), Ok(Some(true))));
        answer[20] ^= 1;
        assert!(matches!(check_answer(&answer, 5, Some(&digest)), Ok(Some(false))));
    }
}
