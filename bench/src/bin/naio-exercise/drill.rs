//! What the exercises share: the queue and the peer, operations waited for by their key, a connection in the manner of
//! the peer's server.
//!
//! Receives submissions, hands on their completions in whatever order the exercise asks for them. Judges nothing.

use aio_api::{Buffer, Completion, EventQueue, OpError, OpKey, RecvOptions, SocketId, SocketOptions, Wait};
use naio_bench::services::manners::{self, Manner};
use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// How long any one completion may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why an exercise failed.
pub(crate) type Failed = Box<dyn Error>;
/// How an exercise ends.
pub(crate) type Verdict = Result<(), Failed>;

/// An open queue and its peer.
pub(crate) struct Drill {
    pub(crate) queue: EventQueue,
    pub(crate) peer: IpAddr,
    /// The peer's IPv6 address, if we speak that.
    pub(crate) peer6: Option<IpAddr>,
    /// Completions that nobody has asked for yet.
    early: Vec<Completion>,
}

impl Drill {
    pub(crate) fn new(queue: EventQueue, peer: IpAddr, peer6: Option<IpAddr>) -> Drill {
        Drill { queue, peer, peer6, early: Vec::new() }
    }

    /// Whoever of the peer's addresses there are.
    pub(crate) fn peers(&self) -> Vec<IpAddr> {
        [Some(self.peer), self.peer6].into_iter().flatten().collect()
    }

    /// The next completion of an operation.
    pub(crate) fn next(&mut self, key: OpKey) -> Result<Completion, Failed> {
        let done = self.next_within(key, PATIENCE)?;
        done.ok_or_else(|| format!("an operation did not complete within {PATIENCE:?}").into())
    }

    /// The same, if it comes within `span`.
    pub(crate) fn next_within(&mut self, key: OpKey, span: Duration) -> Result<Option<Completion>, Failed> {
        let deadline = self.queue.now().after(span);
        loop {
            if let Some(at) = self.early.iter().position(|done| done.key == key) {
                return Ok(Some(self.early.remove(at)));
            }
            if self.queue.now() >= deadline {
                return Ok(None);
            }
            let left = deadline.since(self.queue.now());
            self.queue.wait(&mut self.early, Wait::for_one().within(left))?;
        }
    }

    /// The same; it must have succeeded.
    pub(crate) fn good(&mut self, key: OpKey) -> Result<Completion, Failed> {
        let done = self.next(key)?;
        done.result.map_err(|error| format!("{:?}: {error}", done.kind))?;
        Ok(done)
    }

    /// Keys in the order in which they complete.
    pub(crate) fn in_order(&mut self, count: usize) -> Result<Vec<Completion>, Failed> {
        while self.early.len() < count {
            if self.queue.wait(&mut self.early, Wait::for_one().within(PATIENCE))? == 0 {
                return Err(format!("{} of {count} completed within {PATIENCE:?}", self.early.len()).into());
            }
        }
        Ok(self.early.drain(..count).collect())
    }

    /// Lets the queue run for a while.
    pub(crate) fn run_for(&mut self, span: Duration) -> Verdict {
        let end = self.queue.timeout(span, 0)?;
        self.good(end).map(drop)
    }

    /// Forgets what completed and nobody asked for: an exercise is over.
    pub(crate) fn forget_rest(&mut self) {
        self.queue.poll(&mut self.early);
        self.early.clear();
    }

    /// A buffer with these bytes.
    pub(crate) fn buffer(&self, bytes: &[u8]) -> Result<Buffer, Failed> {
        let mut buffer = self.queue.buffers(1, bytes.len())?.remove(0);
        buffer.copy_from_slice(bytes);
        Ok(buffer)
    }

    /// A connection to a port of `host`.
    pub(crate) fn connect_to(
        &mut self,
        remote: SocketAddr,
        options: SocketOptions,
    ) -> Result<(SocketId, Result<(), OpError>), Failed> {
        let socket = self.queue.socket(options)?;
        let key = self.queue.connect(socket, remote, 0)?;
        Ok((socket, self.next(key)?.result))
    }

    /// A connection to the peer's server that is treated in this manner.
    pub(crate) fn connect(&mut self, manner: Manner, options: SocketOptions) -> Result<SocketId, Failed> {
        self.connect_at(self.peer, manner, options)
    }

    /// The same, at another of the peer's addresses.
    pub(crate) fn connect_at(
        &mut self,
        host: IpAddr,
        manner: Manner,
        options: SocketOptions,
    ) -> Result<SocketId, Failed> {
        let (socket, connected) = self.connect_to((host, manners::PORT).into(), options)?;
        connected?;
        self.send(socket, &[manner.byte()])?;
        Ok(socket)
    }

    /// Sends bytes and waits until they are acknowledged.
    pub(crate) fn send(&mut self, socket: SocketId, bytes: &[u8]) -> Verdict {
        let buffer = self.buffer(bytes)?;
        let key = self.queue.send(socket, buffer, 0..bytes.len(), 0)?;
        let done = self.good(key)?;
        expect_eq("bytes sent", done.bytes, bytes.len() as u64)
    }

    /// Receives that many bytes, fewer if the stream ends before, and whether it has ended.
    pub(crate) fn read(&mut self, socket: SocketId, len: usize) -> Result<(Vec<u8>, bool), Failed> {
        let buffer = self.queue.buffers(1, len)?.remove(0);
        let key = self.queue.recv(socket, buffer, RecvOptions::wait_all(), 0)?;
        let done = self.good(key)?;
        let buffer = done.buffer.ok_or("the buffer did not come back")?;
        Ok((buffer[..done.bytes as usize].to_vec(), done.flags.is_eof()))
    }

    /// The stream must end here.
    pub(crate) fn expect_end(&mut self, socket: SocketId) -> Verdict {
        let (rest, ended) = self.read(socket, 1)?;
        expect_eq("bytes at the end, and the end", (rest.len(), ended), (0, true))
    }

    /// Closes a socket in order.
    pub(crate) fn close(&mut self, socket: SocketId) -> Verdict {
        let key = self.queue.close(socket, 0)?;
        self.good(key).map(drop)
    }

    /// What the peer saw of the last connection that has an outcome.
    pub(crate) fn outcome(&mut self) -> Result<String, Failed> {
        let socket = self.connect(Manner::Outcome, SocketOptions::default())?;
        let (text, _) = self.read(socket, 200)?;
        self.close(socket)?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }
}

/// Two values that must be the same.
pub(crate) fn expect_eq<T: PartialEq + std::fmt::Debug>(what: &str, is: T, wanted: T) -> Verdict {
    if is == wanted { Ok(()) } else { Err(format!("{what}: {is:?} instead of {wanted:?}").into()) }
}

/// Something that must be true.
pub(crate) fn expect(what: &str, is: bool) -> Verdict {
    if is { Ok(()) } else { Err(what.into()) }
}

/// Bytes that depend on `seed` alone.
pub(crate) fn bytes(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes
}
