//! The event queue: what a program holds, and the calls that submit.

use crate::completion::Completion;
use crate::counters::{Counters, QueueCounters};
use crate::error::{BufferError, BuildError, SocketError, SubmitError, SubmitReason};
use crate::op::{Op, OpKey, OpTable, RecvOptions, Request};
use crate::open::{self, CardOptions};
use crate::pace::{Pace, RX_COALESCE_MAX};
use crate::socket::SocketTable;
use crate::timer::Timers;
use crate::turn::Batches;
use naio_dma::{Buffer, Domain, Pool};
use naio_nic::{Caps, Link, Nic};
use naio_stack::{Config, ConnectError, SocketId, SocketOptions, Stack};
use naio_sys::clock::{self, Time};
use std::collections::VecDeque;
use std::fs::File;
use std::io::Read;
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::str::FromStr;
use std::time::Duration;

/// Completions that may be outstanding or uncollected, by default.
const COMPLETION_ENTRIES: usize = 4096;
/// Bounds of that number.
const COMPLETION_ENTRIES_MIN: usize = 1;
const COMPLETION_ENTRIES_MAX: usize = 1 << 20;
/// Transmit pages: one packet each. Twice a full default ring.
const TX_PAGES: u32 = 1024;
const TX_PAGE_LEN: usize = 2048;

/// An IPv4 address and the length of its network's prefix: `10.9.0.2/24`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    /// The address.
    pub address: Ipv4Addr,
    /// Bits of the network, 0 to 32.
    pub prefix_len: u8,
}

/// Text that is no address with a prefix length.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no address with a prefix length; it looks like 10.9.0.2/24")]
pub struct CidrError {
    /// The text.
    pub text: String,
}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Cidr, CidrError> {
        let parse = || {
            let (address, prefix_len) = text.split_once('/')?;
            let prefix_len = prefix_len.parse().ok().filter(|len| *len <= 32)?;
            Some(Cidr { address: address.parse().ok()?, prefix_len })
        };
        parse().ok_or_else(|| CidrError { text: text.into() })
    }
}

/// Settings of a queue to be.
///
/// ```no_run
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let queue = aio_api::Builder::new("10.9.0.2/24".parse()?)
///     .gateway("10.9.0.254".parse()?)
///     .completion_entries(256)
///     .open("vfio:0000:00:02.0")?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Builder {
    address: Cidr,
    gateway: Option<Ipv4Addr>,
    completion_entries: usize,
    sockets_max: Option<usize>,
    pace: Pace,
    card: CardOptions,
}

impl Builder {
    /// A queue whose station has this address.
    #[must_use]
    pub fn new(address: Cidr) -> Builder {
        Builder {
            address,
            gateway: None,
            completion_entries: COMPLETION_ENTRIES,
            sockets_max: None,
            pace: Pace::default(),
            card: CardOptions::default(),
        }
    }

    /// Where packets for other networks go.
    #[must_use]
    pub fn gateway(mut self, gateway: Ipv4Addr) -> Builder {
        self.gateway = Some(gateway);
        self
    }

    /// How many operations may be outstanding or completed and not yet collected, 1 to 2²⁰; 4096 by
    /// default. Submissions beyond that are refused.
    #[must_use]
    pub fn completion_entries(mut self, entries: usize) -> Builder {
        self.completion_entries = entries;
        self
    }

    /// How many sockets may exist at a time.
    #[must_use]
    pub fn sockets_max(mut self, sockets: usize) -> Builder {
        self.sockets_max = Some(sockets);
        self
    }

    /// How eagerly to poll.
    #[must_use]
    pub fn pace(mut self, pace: Pace) -> Builder {
        self.pace = pace;
        self
    }

    /// How to run the card.
    #[must_use]
    pub fn card(mut self, card: CardOptions) -> Builder {
        self.card = card;
        self
    }

    /// Opens the card `name` and builds the queue on it; blocks until the link is up.
    ///
    /// # Errors
    /// [`BuildError`]; its `help` says what to do.
    pub fn open(self, name: &str) -> Result<EventQueue, BuildError> {
        let domain = Domain::new();
        let nic = open::open(name, self.card, &domain)?;
        self.build(nic, domain)
    }

    /// Builds the queue on any card that sees the memory of `domain`.
    ///
    /// # Errors
    /// A setting out of its range, or no memory for transmit pages.
    pub fn build(self, nic: Box<dyn Nic + Send>, domain: Domain) -> Result<EventQueue, BuildError> {
        within(
            "completion_entries",
            self.completion_entries,
            COMPLETION_ENTRIES_MIN,
            COMPLETION_ENTRIES_MAX,
        )?;
        let coalesce = self.pace.rx_coalesce.as_micros() as usize;
        within("rx_coalesce in µs", coalesce, 0, RX_COALESCE_MAX.as_micros() as usize)?;
        let now = clock::now();
        let tx_pool = Pool::new(&domain, TX_PAGES, TX_PAGE_LEN)?;
        let mut config = Config::new(self.address.address, self.address.prefix_len);
        config.gateway = self.gateway;
        config.sockets_max = self.sockets_max.unwrap_or(config.sockets_max);
        let stack = Stack::new(config, nic.caps(), tx_pool, secret().map_err(BuildError::Random)?, now)?;
        Ok(EventQueue {
            caps: nic.caps().clone(),
            nic: Some(nic),
            nic_counters: naio_nic::Counters::default(),
            stack,
            domain,
            ops: OpTable::new(self.completion_entries),
            sockets: SocketTable::default(),
            timers: Timers::default(),
            completed: VecDeque::with_capacity(self.completion_entries.min(COMPLETION_ENTRIES)),
            counters: QueueCounters::default(),
            batches: Batches::default(),
            pace: self.pace,
            now,
            last_burst: None,
            next_health: now,
        })
    }
}

fn within(what: &'static str, value: usize, min: usize, max: usize) -> Result<(), BuildError> {
    if (min..=max).contains(&value) { Ok(()) } else { Err(BuildError::Setting { what, value, min, max }) }
}

/// Key of the hash functions and of sequence and port numbers: a peer must not be able to guess it.
fn secret() -> std::io::Result<[u8; 16]> {
    let mut secret = [0; 16];
    File::open("/dev/urandom")?.read_exact(&mut secret)?;
    Ok(secret)
}

/// The queue: one card, one address, any number of sockets, one place where everything completes.
///
/// It belongs to one thread at a time. Dropping it resets what is still connected and gives the card
/// back.
pub struct EventQueue {
    // The card is dropped first: it must not write memory that is gone.
    pub(crate) nic: Option<Box<dyn Nic + Send>>,
    pub(crate) nic_counters: naio_nic::Counters,
    pub(crate) caps: Caps,
    pub(crate) stack: Stack,
    pub(crate) domain: Domain,
    pub(crate) ops: OpTable,
    pub(crate) sockets: SocketTable,
    pub(crate) timers: Timers,
    pub(crate) completed: VecDeque<Completion>,
    pub(crate) counters: QueueCounters,
    pub(crate) batches: Batches,
    pub(crate) pace: Pace,
    pub(crate) now: Time,
    /// When the last turn that found frames ended, if more are to be expected.
    pub(crate) last_burst: Option<Time>,
    pub(crate) next_health: Time,
}

impl EventQueue {
    /// Registers memory: `count` buffers of `len` bytes, zeroed, ready to move into operations.
    ///
    /// Not for the data path: it maps memory for the card. Buffers come back in completions, to be
    /// used again.
    ///
    /// # Errors
    /// The kernel or the IOMMU refuses; the reason says which limit.
    pub fn buffers(&self, count: usize, len: usize) -> Result<Vec<Buffer>, BufferError> {
        Buffer::allocate(&self.domain, count, len).map_err(|source| BufferError { count, len, source })
    }

    /// Makes a TCP socket, not connected.
    ///
    /// # Errors
    /// The limit on sockets.
    pub fn socket(&mut self, options: SocketOptions) -> Result<SocketId, SocketError> {
        let socket = self.stack.socket(options)?;
        self.sockets.insert(socket);
        Ok(socket)
    }

    /// Connects a socket to `remote`. Completes when the connection is established, or cannot be.
    ///
    /// # Errors
    /// [`SubmitReason`]; nothing was submitted.
    ///
    /// ```no_run
    /// # fn example(queue: &mut aio_api::EventQueue) -> Result<(), Box<dyn std::error::Error>> {
    /// let socket = queue.socket(aio_api::SocketOptions::default())?;
    /// let key = queue.connect(socket, "10.9.0.1:80".parse()?, 42)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn connect(
        &mut self,
        socket: SocketId,
        remote: SocketAddr,
        user_data: u64,
    ) -> Result<OpKey, SubmitError> {
        self.admit(Some(socket))?;
        if self.sockets.ops(socket).is_some_and(|ops| ops.connected) {
            return Err(SubmitReason::AlreadyConnected.into());
        }
        self.stack.connect(self.now, socket, remote).map_err(connect_reason)?;
        let key = self.insert(user_data, Request::Connect { socket })?;
        if let Some(ops) = self.sockets.ops(socket) {
            ops.connected = true;
            ops.connect = Some(key);
        }
        self.sockets.touch(socket);
        Ok(key)
    }

    /// Receives into `buffer`, from its start. May be submitted before the connection is there, and
    /// several at a time: they are filled in this order.
    ///
    /// Completes with at least the bytes that `options` asks for, or with fewer and
    /// [`Flags::is_eof`](crate::Flags::is_eof) at the end of the stream.
    ///
    /// # Errors
    /// [`SubmitError`], with the buffer in it.
    ///
    /// ```no_run
    /// # use aio_api::{EventQueue, RecvOptions, SocketId};
    /// # fn example(queue: &mut EventQueue, socket: SocketId) -> Result<(), Box<dyn std::error::Error>> {
    /// for buffer in queue.buffers(8, 256 * 1024)? {
    ///     queue.recv(socket, buffer, RecvOptions::at_least(1), 1)?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn recv(
        &mut self,
        socket: SocketId,
        buffer: Buffer,
        options: RecvOptions,
        user_data: u64,
    ) -> Result<OpKey, SubmitError> {
        let reason = self.admit(Some(socket)).err();
        let reason = reason.or(buffer.is_empty().then_some(SubmitReason::Range));
        if let Some(reason) = reason {
            return Err(SubmitError { reason, buffer: Some(buffer) });
        }
        let min = options.min_for(&buffer);
        let key = self.insert(user_data, Request::Recv { socket, buffer, min, filled: 0 })?;
        if let Some(ops) = self.sockets.ops(socket) {
            ops.recv.push_back(key);
        }
        self.sockets.touch(socket);
        Ok(key)
    }

    /// Sends `range` of `buffer`. Completes when the peer has acknowledged its last byte: from then
    /// on the buffer is the program's again. Several may be outstanding; they go out in this order.
    ///
    /// # Errors
    /// [`SubmitError`], with the buffer in it.
    ///
    /// ```no_run
    /// # use aio_api::{EventQueue, SocketId};
    /// # fn example(queue: &mut EventQueue, socket: SocketId) -> Result<(), Box<dyn std::error::Error>> {
    /// let mut buffer = queue.buffers(1, 4096)?.remove(0);
    /// buffer[..5].copy_from_slice(b"hello");
    /// queue.send(socket, buffer, 0..5, 9)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn send(
        &mut self,
        socket: SocketId,
        buffer: Buffer,
        range: Range<usize>,
        user_data: u64,
    ) -> Result<OpKey, SubmitError> {
        let reason = self.admit_send(socket).err();
        let fits = range.start < range.end && range.end <= buffer.len() && range.len() <= u32::MAX as usize;
        if let Some(reason) = reason.or((!fits).then_some(SubmitReason::Range)) {
            return Err(SubmitError { reason, buffer: Some(buffer) });
        }
        let request = Request::Send { socket, buffer, range, accepted: 0, end: None };
        self.insert_send(socket, user_data, request)
    }

    /// Ends the sending half of a connection after everything submitted before. Completes when the
    /// peer has acknowledged the end; receiving goes on.
    ///
    /// # Errors
    /// [`SubmitReason`]; nothing was submitted.
    pub fn shutdown(&mut self, socket: SocketId, user_data: u64) -> Result<OpKey, SubmitError> {
        self.admit_send(socket)?;
        let key = self.insert_send(socket, user_data, Request::Shutdown { socket, requested: false })?;
        if let Some(ops) = self.sockets.ops(socket) {
            ops.shut_down = true;
        }
        Ok(key)
    }

    /// Closes a socket: what was submitted to be sent still goes out, then the end of the stream;
    /// waiting receives end with [`OpError::Closed`](crate::OpError::Closed), and the socket takes no
    /// more operations. Completes when the peer has acknowledged everything; the socket is gone then.
    ///
    /// # Errors
    /// [`SubmitReason`]; nothing was submitted.
    ///
    /// ```no_run
    /// # fn example(queue: &mut aio_api::EventQueue, socket: aio_api::SocketId)
    /// #     -> Result<(), Box<dyn std::error::Error>> {
    /// queue.close(socket, 0)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn close(&mut self, socket: SocketId, user_data: u64) -> Result<OpKey, SubmitError> {
        self.admit(Some(socket))?;
        let key = self.insert_send(socket, user_data, Request::Close { socket, requested: false })?;
        if let Some(ops) = self.sockets.ops(socket) {
            ops.shut_down = true;
            ops.closing = true;
        }
        Ok(key)
    }

    /// Resets a connection at once. Everything outstanding on the socket ends with
    /// [`OpError::Closed`](crate::OpError::Closed), and the socket is gone. False if there was none.
    pub fn abort(&mut self, socket: SocketId) -> bool {
        self.forget_socket(socket)
    }

    /// Completes after `span`.
    ///
    /// # Errors
    /// [`SubmitReason::QueueFull`].
    ///
    /// ```no_run
    /// # fn example(queue: &mut aio_api::EventQueue) -> Result<(), Box<dyn std::error::Error>> {
    /// queue.timeout(std::time::Duration::from_millis(250), 3)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn timeout(&mut self, span: Duration, user_data: u64) -> Result<OpKey, SubmitError> {
        self.admit(None)?;
        let key = self.insert(user_data, Request::Timeout)?;
        self.timers.insert(clock::now().after(span), key);
        Ok(key)
    }

    /// Puts an event of the program's own into the queue; it comes out in order with the others.
    ///
    /// # Errors
    /// [`SubmitReason::QueueFull`].
    ///
    /// ```no_run
    /// # fn example(queue: &mut aio_api::EventQueue) -> Result<(), Box<dyn std::error::Error>> {
    /// queue.post(1, 0xfeed)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn post(&mut self, user_data: u64, value: u64) -> Result<OpKey, SubmitError> {
        self.admit(None)?;
        let key = self.insert(user_data, Request::Posted { value })?;
        self.finish(key, Ok(()));
        Ok(key)
    }

    /// The card.
    #[must_use]
    pub fn caps(&self) -> &Caps {
        &self.caps
    }

    /// The link now. Reads a register.
    pub fn link(&mut self) -> Link {
        self.nic.as_mut().map_or(Link::Down, |nic| nic.link())
    }

    /// Everything counted so far. Reads registers: not for the data path.
    pub fn counters(&mut self) -> Counters {
        if let Some(nic) = &mut self.nic {
            self.nic_counters = nic.counters();
        }
        Counters { nic: self.nic_counters, stack: self.stack.counters().clone(), queue: self.counters }
    }

    /// Operations submitted and not yet completed.
    #[must_use]
    pub fn outstanding(&self) -> usize {
        self.ops.outstanding()
    }

    pub(crate) fn now(&self) -> Time {
        self.now
    }

    pub(crate) fn is_down(&self) -> bool {
        self.nic.is_none()
    }

    pub(crate) fn completions_waiting(&self) -> usize {
        self.completed.len()
    }

    /// Moves every completion out.
    pub(crate) fn collect(&mut self, completions: &mut Vec<Completion>) -> usize {
        let count = self.completed.len();
        completions.extend(self.completed.drain(..));
        count
    }

    /// Whether one more operation can be guaranteed its completion.
    fn admit(&mut self, socket: Option<SocketId>) -> Result<(), SubmitReason> {
        if let Some(socket) = socket
            && self.sockets.ops(socket).is_none_or(|ops| ops.closing)
        {
            return Err(SubmitReason::NoSocket);
        }
        let limit = self.ops.limit();
        if self.ops.outstanding() + self.completed.len() >= limit {
            self.counters.refused_full += 1;
            return Err(SubmitReason::QueueFull { limit });
        }
        Ok(())
    }

    fn admit_send(&mut self, socket: SocketId) -> Result<(), SubmitReason> {
        self.admit(Some(socket))?;
        let shut_down = self.sockets.ops(socket).is_some_and(|ops| ops.shut_down);
        if shut_down { Err(SubmitReason::ShutDown) } else { Ok(()) }
    }

    fn insert(&mut self, user_data: u64, request: Request) -> Result<OpKey, SubmitError> {
        match self.ops.insert(Op { user_data, request }) {
            Ok(key) => {
                self.counters.submitted += 1;
                Ok(key)
            }
            Err(op) => {
                let limit = self.ops.limit();
                Err(SubmitError { reason: SubmitReason::QueueFull { limit }, buffer: op.into_buffer() })
            }
        }
    }

    fn insert_send(
        &mut self,
        socket: SocketId,
        user_data: u64,
        request: Request,
    ) -> Result<OpKey, SubmitError> {
        let key = self.insert(user_data, request)?;
        if let Some(ops) = self.sockets.ops(socket) {
            ops.send.push_back(key);
        }
        self.sockets.touch(socket);
        Ok(key)
    }
}

fn connect_reason(error: ConnectError) -> SubmitReason {
    match error {
        ConnectError::Stale => SubmitReason::NoSocket,
        ConnectError::InUse => SubmitReason::AlreadyConnected,
        ConnectError::Address(remote) => SubmitReason::Address { remote },
        ConnectError::NoRoute(remote) => SubmitReason::NoRoute { remote },
        ConnectError::NoPort(remote) => SubmitReason::NoPort { remote },
    }
}

impl std::fmt::Debug for EventQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EventQueue")
            .field("card", &self.caps.model)
            .field("outstanding", &self.ops.outstanding())
            .field("completed", &self.completed.len())
            .finish_non_exhaustive()
    }
}
