//! The buffers of one connection that sends with `MSG_ZEROCOPY`: which are free, and which the kernel still reads.
//!
//! Receives a socket and an amount, hands on what was sent. A buffer is used again only when the completion of its send
//! has come. It never waits.

use naio_sys::zerocopy;
use rustix::io::Errno;
use std::io;
use std::net::TcpStream;

/// Buffers of a connection: more than it has in flight on a card of 1 Gbit/s, and, for ten connections of 64 KiB each,
/// less than the 8 MiB that Linux lets a user pin.
const BUFFERS: usize = 4;

/// Why nothing was sent.
pub(crate) enum Sent<'a> {
    /// These bytes were.
    Bytes(&'a [u8]),
    /// The socket takes no more now.
    Full,
    /// Every buffer waits for its completion, or the kernel may not hold more.
    AllHeld,
}

struct Buffer {
    bytes: Vec<u8>,
    /// Number of the send that the kernel is not through with.
    held: Option<u32>,
}

/// The buffers of one connection.
#[derive(Default)]
pub(crate) struct Buffers {
    buffers: Vec<Buffer>,
    next: u32,
    /// Sends whose completion has come.
    pub(crate) completed: u64,
    /// Those of them for which the kernel copied after all.
    pub(crate) copied: u64,
}

impl Buffers {
    /// Buffers of `len` bytes, filled.
    pub(crate) fn new(len: usize, rng: &mut fastrand::Rng) -> Self {
        let buffer = |_| {
            let mut bytes = vec![0; len];
            rng.fill(&mut bytes);
            Buffer { bytes, held: None }
        };
        Self { buffers: (0..BUFFERS).map(buffer).collect(), ..Self::default() }
    }

    /// Whether the kernel is through with every send.
    pub(crate) fn is_idle(&self) -> bool {
        self.buffers.iter().all(|buffer| buffer.held.is_none())
    }

    /// Sends at most `most` bytes of a free buffer.
    pub(crate) fn send(&mut self, socket: &TcpStream, most: u64) -> io::Result<Sent<'_>> {
        let idle = self.is_idle();
        let Some(buffer) = self.buffers.iter_mut().find(|buffer| buffer.held.is_none()) else {
            return Ok(Sent::AllHeld);
        };
        let len = most.min(buffer.bytes.len() as u64) as usize;
        match zerocopy::send(socket, &buffer.bytes[..len]) {
            // Nothing taken: the caller sees an empty piece, and the kernel has given no number.
            Ok(0) => Ok(Sent::Bytes(&[])),
            Ok(bytes) => {
                buffer.held = Some(self.next);
                self.next = self.next.wrapping_add(1);
                Ok(Sent::Bytes(&buffer.bytes[..bytes]))
            }
            Err(e) if matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                Ok(Sent::Full)
            }
            Err(e) if e.raw_os_error() == Some(Errno::NOBUFS.raw_os_error()) && !idle => Ok(Sent::AllHeld),
            Err(e) if e.raw_os_error() == Some(Errno::NOBUFS.raw_os_error()) => Err(io::Error::other(
                "the kernel may not pin the buffers: raise `ulimit -l` or net.core.optmem_max",
            )),
            Err(e) => Err(e),
        }
    }

    /// Takes every completion that has come.
    pub(crate) fn reap(&mut self, socket: &TcpStream) -> io::Result<()> {
        while let Some(completion) = zerocopy::completion(socket)? {
            for buffer in &mut self.buffers {
                if buffer.held.is_some_and(|number| completion.covers(number)) {
                    buffer.held = None;
                    self.completed += 1;
                    self.copied += u64::from(completion.copied);
                }
            }
        }
        Ok(())
    }
}
