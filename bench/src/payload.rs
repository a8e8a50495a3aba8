//! The bytes a source sends: a file, repeated for ever. Receives a path or makes a pseudo-random file in memory,
//! hands on a descriptor for `sendfile()` and the SHA-256 of any prefix of the repetition.

use crate::sha::{Digest, Hasher};
use rustix::fs::MemfdFlags;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::Mutex;

/// Seed of the made-up payload. Fixed, so that two remotes send the same bytes and a failure can be repeated.
const SEED: u64 = 0x6e61_696f;
/// Read size while hashing.
const HASH_CHUNK: usize = 1 << 18;

/// A payload file and its length at the time it was opened.
#[derive(Debug)]
pub struct Payload {
    file: File,
    len: u64,
    /// The last digest asked for: experiments ask for the same length again and again, and inside a guest
    /// hashing takes longer than sending.
    digest: Mutex<Option<(u64, Digest)>>,
}

impl Payload {
    /// Opens `path` as payload. The file must not change while it is served.
    ///
    /// # Errors
    /// The file cannot be opened or is empty.
    pub fn open(path: &Path) -> io::Result<Self> {
        Self::from_file(File::open(path)?)
    }

    /// Makes pseudo-random payload of `len` bytes, less one if that is even, in memory.
    ///
    /// The length is odd on purpose: each repetition then begins at another offset within a page and within a
    /// segment, so that a receiver that mixes up two offsets cannot be right by chance.
    ///
    /// # Errors
    /// No memory file can be made, or there is no room for it.
    pub fn random(len: u64) -> io::Result<Self> {
        let len = if len.is_multiple_of(2) { len.saturating_sub(1) } else { len };
        let mut file = File::from(rustix::fs::memfd_create("naio-payload", MemfdFlags::CLOEXEC)?);
        let mut rng = fastrand::Rng::with_seed(SEED);
        let mut chunk = vec![0u8; HASH_CHUNK];
        let mut left = len;
        while left > 0 {
            let piece = usize::try_from(left).unwrap_or(usize::MAX).min(chunk.len());
            rng.fill(&mut chunk[..piece]);
            file.write_all(&chunk[..piece])?;
            left -= piece as u64;
        }
        Self::from_file(file)
    }

    fn from_file(file: File) -> io::Result<Self> {
        let len = file.metadata()?.len();
        if len == 0 {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "the payload is empty"));
        }
        Ok(Self { file, len, digest: Mutex::new(None) })
    }

    /// The file to send from.
    #[must_use]
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Length of one repetition in bytes, at least 1.
    #[must_use]
    #[allow(clippy::len_without_is_empty, reason = "an empty payload cannot be constructed")]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// SHA-256 of the first `bytes` bytes of the repetition.
    ///
    /// # Errors
    /// The file cannot be read, or has become shorter.
    pub fn digest(&self, bytes: u64) -> io::Result<Digest> {
        // A poisoned lock only means that another connection's thread died; the cached value is still whole.
        let mut cached = self.digest.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((_, digest)) = cached.filter(|(len, _)| *len == bytes) {
            return Ok(digest);
        }
        let mut hasher = Hasher::new();
        let mut chunk = vec![0u8; HASH_CHUNK];
        let (mut left, mut offset) = (bytes, 0);
        while left > 0 {
            let room = left.min(self.len - offset);
            let piece = usize::try_from(room).unwrap_or(usize::MAX).min(chunk.len());
            self.file.read_exact_at(&mut chunk[..piece], offset)?;
            hasher.update(&chunk[..piece]);
            left -= piece as u64;
            offset = (offset + piece as u64) % self.len;
        }
        let digest = hasher.finish();
        *cached = Some((bytes, digest));
        Ok(digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_covers_repetitions_and_a_partial_one() {
        let payload = Payload::random(1000).unwrap();
        assert_eq!(payload.len(), 999);
        let mut once = vec![0; 999];
        payload.file().read_exact_at(&mut once, 0).unwrap();
        let flat: Vec<u8> = once.iter().copied().cycle().take(2500).collect();
        let mut hasher = Hasher::new();
        hasher.update(&flat);
        assert_eq!(payload.digest(2500).unwrap(), hasher.finish());
    }

    #[test]
    fn no_payload_is_an_error() {
        assert_eq!(Payload::random(0).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
