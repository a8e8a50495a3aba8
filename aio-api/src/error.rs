//! Errors, one small enum for each verb.

use crate::open::OpenError;
use naio_dma::{Buffer, RegionError};
use std::net::SocketAddr;
use std::time::Duration;

/// Why an operation ended without success.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpError {
    /// The peer answered that nobody listens (RST in SYN-SENT).
    #[error("the peer refuses the connection: does anything listen on that port?")]
    Refused,
    /// The peer reset the connection.
    #[error("the peer reset the connection")]
    Reset,
    /// The peer did not answer in time.
    #[error("the peer did not answer in time")]
    TimedOut,
    /// The next hop does not answer ARP, or there is no route.
    #[error("the peer is unreachable: no route, or its next hop does not answer ARP")]
    Unreachable,
    /// [`EventQueue::cancel`](crate::EventQueue::cancel) ended it.
    #[error("the operation was cancelled")]
    Canceled,
    /// The socket was closed or aborted while the operation waited.
    #[error("the socket was closed")]
    Closed,
    /// The TCP engine failed inside: a defect. The log has the packet; other connections go on.
    #[error("the TCP engine failed inside and gave the connection up: please report what the log says")]
    Broken,
    /// The socket is not connected.
    #[error("the socket is not connected")]
    NotConnected,
    /// The datagram is longer than one can be, or than the path takes.
    #[error("the datagram is too long")]
    TooLong,
    /// There is no such host name.
    #[error("there is no such name")]
    NoName,
    /// The host has no address of the kind that was asked for.
    #[error("the name has no address of that kind")]
    NoAddress,
    /// The name servers refuse, or cannot find out.
    #[error("the name servers cannot answer")]
    ServerFailed,
    /// The file ended before the range that was to be sent.
    #[error("the file is shorter than the range that was to be sent")]
    FileTruncated,
    /// The file could not be read.
    #[error("the file cannot be read: {0}")]
    File(std::io::ErrorKind),
    /// The card is gone: it was unplugged, or taken back by the system.
    #[error("the network card is gone")]
    CardGone,
}

/// Why [`EventQueue::recv_now`](crate::EventQueue::recv_now) took nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecvNowError {
    /// The memory is empty.
    #[error("there is no room for a byte")]
    NoRoom,
    /// Receives are posted on the socket, and what arrives is theirs.
    #[error("receives are posted on the socket: let them complete, or cancel them first")]
    Posted,
    /// The socket is closed.
    #[error("no such socket")]
    Stale,
    /// There is no connection.
    #[error("the socket is not connected")]
    NotConnected,
    /// The connection ended other than in order; what had arrived has been received.
    #[error(transparent)]
    Failed(#[from] OpError),
}

/// Why a submission was refused. Nothing was submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubmitReason {
    /// As many operations and provided buffers as completions can be guaranteed for.
    #[error(
        "{limit} operations are outstanding or not yet collected, provided buffers included: collect completions first, or build the queue with more entries"
    )]
    QueueFull {
        /// [`Builder::completion_entries`](crate::Builder::completion_entries).
        limit: usize,
    },
    /// The socket is not one of this queue's, or closed.
    #[error("no such socket: it is closed, or of another queue")]
    NoSocket,
    /// The buffer, or the range of it, has no byte.
    #[error("the buffer or the range in it is empty or out of bounds")]
    Range,
    /// The socket is connecting or connected already.
    #[error("the socket is connecting or connected already")]
    AlreadyConnected,
    /// No host can have that address, or the port is 0, or it is not IPv4.
    #[error("{remote} cannot be connected to")]
    Address {
        /// The address.
        remote: SocketAddr,
    },
    /// Another network, and no gateway.
    #[error("no route to {remote}: it is on another network and there is no gateway")]
    NoRoute {
        /// The address.
        remote: SocketAddr,
    },
    /// No local port is free for this peer.
    #[error("no local port is free towards {remote}")]
    NoPort {
        /// The address.
        remote: SocketAddr,
    },
    /// The sending side was shut down.
    #[error("the socket's sending side is shut down")]
    ShutDown,
    /// The group of buffers is not one of this queue's, or removed.
    #[error("no such group of buffers: it is removed, or of another queue")]
    NoGroup,
    /// A receive into buffers of a group hands out whole buffers.
    #[error("a multishot receive hands out whole buffers: it cannot be incremental")]
    Incremental,
    /// The listener is not one of this queue's, or closed.
    #[error("no such listener: it is closed, or of another queue")]
    NoListener,
    /// The card is gone; what was outstanding has ended.
    #[error("the network card is gone")]
    CardGone,
    /// Not a host name.
    #[error("this is not a host name")]
    Name,
    /// No name server is known.
    #[error("no name server is known: wait for a DHCP lease, or configure one")]
    NoServer,
    /// As many name queries as the stack takes are under way.
    #[error("too many name queries are under way")]
    TooManyQueries,
    /// A period too short.
    #[error("a period must be at least {min:?}")]
    Period {
        /// The shortest.
        min: Duration,
    },
}

/// A refused submission, with the buffer that would have moved.
#[derive(Debug, thiserror::Error)]
#[error("{reason}")]
pub struct SubmitError {
    /// Why.
    pub reason: SubmitReason,
    /// The buffer, if the operation had one.
    pub buffer: Option<Buffer>,
    /// The buffers of a `sendv`.
    pub buffers: Vec<Buffer>,
}

impl From<SubmitReason> for SubmitError {
    fn from(reason: SubmitReason) -> SubmitError {
        SubmitError { reason, buffer: None, buffers: Vec::new() }
    }
}

/// A UDP socket cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct BindError(#[from] pub naio_stack::BindError);

/// A multicast group cannot be joined or left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct GroupError(#[from] pub naio_stack::GroupError);

/// A port cannot be listened on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct ListenError(#[from] pub naio_stack::ListenError);

/// A socket could not be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SocketError {
    /// As many as the queue may have, those included that are still closing.
    #[error(
        "all {limit} sockets of the queue are in use: close some, or build it with a higher `sockets_max`"
    )]
    TooMany {
        /// [`Builder::sockets_max`](crate::Builder::sockets_max).
        limit: usize,
    },
    /// Any other reason.
    #[error(transparent)]
    Stack(naio_stack::SocketError),
}

/// Buffers could not be registered.
#[derive(Debug, thiserror::Error)]
#[error("{count} buffers of {len} bytes cannot be registered")]
pub struct BufferError {
    /// How many were asked for.
    pub count: usize,
    /// Bytes of each.
    pub len: usize,
    /// Why.
    #[source]
    pub source: RegionError,
}

/// The queue could not be built.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The card.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A setting is out of its range.
    #[error("{what} is {value}; it must be {min} to {max}")]
    Setting {
        /// Which.
        what: &'static str,
        /// What was asked for.
        value: usize,
        /// Smallest.
        min: usize,
        /// Largest.
        max: usize,
    },
    /// Memory for transmit pages.
    #[error("no memory for transmit pages")]
    Memory(#[from] RegionError),
    /// The network configuration.
    #[error(transparent)]
    Network(#[from] naio_stack::ConfigError),
    /// The system's source of random numbers.
    #[error("no random numbers from the system")]
    Random(#[source] std::io::Error),
}

impl BuildError {
    /// What the user can do about it, if that is known.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        match self {
            BuildError::Open(e) => e.help(),
            BuildError::Memory(_) => Some("raise RLIMIT_MEMLOCK (`ulimit -l`), or use smaller rings".into()),
            _ => None,
        }
    }
}

/// Waiting ended without what was waited for, and never will get it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WaitError {
    /// Nothing is outstanding, so nothing could ever complete.
    #[error("nothing is outstanding: there is nothing to wait for")]
    NothingOutstanding,
    /// The card is gone and every operation has been completed and collected.
    #[error("the network card is gone")]
    CardGone,
}
