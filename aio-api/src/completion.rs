//! What comes out of the queue: one record for every source.

use crate::error::OpError;
use crate::lent::Lent;
use crate::op::OpKey;
use naio_dma::Buffer;
use naio_nic::Link;
use naio_stack::SocketId;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// What kind of operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// [`EventQueue::connect`](crate::EventQueue::connect): the connection is established, or not.
    Connect,
    /// [`EventQueue::recv`](crate::EventQueue::recv): bytes are in the buffer, or the stream ended.
    Recv,
    /// [`EventQueue::send`](crate::EventQueue::send), `sendv`, `sendfile`: the peer acknowledged the
    /// last byte.
    Send,
    /// [`EventQueue::shutdown`](crate::EventQueue::shutdown): the peer acknowledged the end.
    Shutdown,
    /// [`EventQueue::close`](crate::EventQueue::close): the socket is gone.
    Close,
    /// [`EventQueue::recv_from`](crate::EventQueue::recv_from): a datagram is in the buffer.
    RecvFrom,
    /// [`EventQueue::send_to`](crate::EventQueue::send_to): the datagram is on its way.
    SendTo,
    /// [`EventQueue::accept`](crate::EventQueue::accept): a peer has connected.
    Accept,
    /// [`EventQueue::resolve`](crate::EventQueue::resolve): a name has become addresses.
    Resolve,
    /// [`EventQueue::watch_address`](crate::EventQueue::watch_address): our address changed.
    Address {
        /// Our IPv4 address now; 0.0.0.0 while there is none, and at the end of the watch.
        address: Ipv4Addr,
    },
    /// [`EventQueue::timeout`](crate::EventQueue::timeout): the time has come.
    Timeout {
        /// Periods that have passed and that no completion has told of yet, also at the end; without
        /// a period 1 when the time has come and 0 when it ended before.
        expirations: u64,
    },
    /// [`EventQueue::watch_link`](crate::EventQueue::watch_link): the link changed.
    Link {
        /// What it is now; down at the end of the watch.
        link: Link,
    },
    /// [`EventQueue::post`](crate::EventQueue::post): the program's own event, with its value.
    Posted {
        /// The value given to `post`.
        value: u64,
    },
}

/// Facts about a completion that are no error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    pub(crate) eof: bool,
    pub(crate) copied: bool,
    pub(crate) more: bool,
    pub(crate) truncated: bool,
}

impl Flags {
    /// The peer has ended its stream and no byte will follow. [`Completion::bytes`] may still be
    /// more than zero: the last ones.
    #[must_use]
    pub fn is_eof(self) -> bool {
        self.eof
    }

    /// The bytes were copied on their way between the buffer and the card. Honest about every
    /// fall-back: not set means that the card itself read or wrote the buffer.
    #[must_use]
    pub fn is_copied(self) -> bool {
        self.copied
    }

    /// The datagram was longer than the buffer; its end is lost.
    #[must_use]
    pub fn is_truncated(self) -> bool {
        self.truncated
    }

    /// The operation goes on: more completions will follow. Not set means that this one is terminal.
    #[must_use]
    pub fn has_more(self) -> bool {
        self.more
    }
}

/// The end of an operation.
#[derive(Debug)]
#[must_use = "a completion may hold a buffer and an error"]
pub struct Completion {
    /// The operation, as its submission returned it. Valid for `cancel` only while [`Flags::has_more`] says that it goes on.
    pub key: OpKey,
    /// The program's cookie, untouched.
    pub user_data: u64,
    /// What ended.
    pub kind: Kind,
    /// How it ended.
    pub result: Result<(), OpError>,
    /// Bytes transferred, also if `result` is an error: filled from the start of the buffer, or sent
    /// from the start of the range. Zero for everything but receives and sends.
    pub bytes: u64,
    /// More about it.
    pub flags: Flags,
    /// The buffer that moved into the operation.
    pub buffer: Option<Buffer>,
    /// The buffers that moved into a `sendv`, in order.
    pub buffers: Vec<Buffer>,
    /// The bytes of a `recv_lent` or `recv_from_lent`, to be read where they lie; also with an error, if some had come.
    pub lent: Option<Lent>,
    /// The socket that an `accept` completed with.
    pub socket: Option<SocketId>,
    /// Who sent the datagram of a `recv_from`, or where one went that an error came back for.
    pub peer: Option<SocketAddr>,
    /// The addresses that a `resolve` found.
    pub addresses: Vec<IpAddr>,
}

impl Completion {
    /// One that carries nothing.
    pub(crate) fn new(key: OpKey, user_data: u64, kind: Kind, result: Result<(), OpError>) -> Completion {
        Completion {
            key,
            user_data,
            kind,
            result,
            bytes: 0,
            flags: Flags::default(),
            buffer: None,
            buffers: Vec::new(),
            lent: None,
            socket: None,
            peer: None,
            addresses: Vec::new(),
        }
    }
}
