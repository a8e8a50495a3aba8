//! The vocabulary of UDP sockets, and the queue in which one keeps what arrived.

use crate::slab::Name;
use std::collections::VecDeque;
use std::net::SocketAddr;

/// What each datagram of a queue costs on top of its bytes, so that empty ones are bounded too.
pub const DATAGRAM_COST: usize = 64;
/// Errors that a socket keeps until they are fetched; later ones are counted and forgotten.
pub(crate) const ERRORS_MAX: usize = 16;

/// Names a UDP socket. Goes stale when the socket is closed; a stale name is refused and never means
/// another socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct UdpId(pub(crate) Name);

/// A received datagram, its bytes copied out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Datagram {
    /// Who sent it.
    pub from: SocketAddr,
    /// Bytes of it that were copied.
    pub len: usize,
    /// Bytes of it that did not fit and are lost.
    pub truncated: usize,
}

/// What the network said about packets of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// No way to the network or host.
    #[error("host is unreachable")]
    Unreachable,
    /// Nobody has that port, or nobody speaks that protocol.
    #[error("port is unreachable")]
    Refused,
    /// Some filter is in the way.
    #[error("communication is prohibited")]
    Prohibited,
    /// It was under way for too long.
    #[error("time to live exceeded")]
    TimeExceeded,
    /// It is larger than some link takes.
    #[error("larger than the path's MTU of {0} bytes")]
    TooBig(u32),
}

/// An error that came back for a datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UdpError {
    /// Where the datagram had gone.
    pub to: SocketAddr,
    /// What happened to it.
    pub error: NetworkError,
}

/// A UDP socket cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BindError {
    /// Another socket has that port.
    #[error("port {0} is in use")]
    Port(u16),
    /// Every ephemeral port is in use.
    #[error("no free port")]
    NoPort,
    /// As many as `Config::udp_sockets_max` are in use.
    #[error("too many UDP sockets")]
    TooMany,
}

/// A datagram cannot be sent. Nothing of it has left.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UdpSendError {
    /// The socket has been closed.
    #[error("no such socket")]
    Stale,
    /// No host can have that address, or the port is 0.
    #[error("{0} cannot be sent to")]
    Address(SocketAddr),
    /// No gateway, or no address of ours to send from.
    #[error("no route to {0}")]
    NoRoute(SocketAddr),
    /// Longer than a datagram can be.
    #[error("{0} bytes are more than a datagram holds")]
    TooLong(usize),
    /// Too many packets wait for the card, or for this neighbour: again after the next egress.
    #[error("too many datagrams are waiting to leave")]
    Busy,
    /// The next hop does not answer.
    #[error("host is unreachable")]
    Unreachable,
}

/// Received datagrams, oldest first, in one stretch of bytes: nothing is allocated for each.
#[derive(Default)]
pub(crate) struct Queue {
    bytes: VecDeque<u8>,
    heads: VecDeque<(SocketAddr, u32)>,
}

impl Queue {
    /// Adds a datagram unless the queue, of at most `max` bytes, is full.
    pub(crate) fn push(&mut self, from: SocketAddr, payload: &[u8], max: usize) -> bool {
        if self.cost() + payload.len() + DATAGRAM_COST > max {
            return false;
        }
        self.bytes.extend(payload);
        // A payload lies in a packet of at most 64 KiB.
        self.heads.push_back((from, payload.len() as u32));
        true
    }

    /// Takes the oldest datagram out; what does not fit into `into` is lost.
    pub(crate) fn pop(&mut self, into: &mut [u8]) -> Option<Datagram> {
        let (from, whole) = self.heads.pop_front()?;
        let whole = whole as usize;
        let len = whole.min(into.len());
        let (front, back) = self.bytes.as_slices();
        let first = len.min(front.len());
        into[..first].copy_from_slice(&front[..first]);
        into[first..len].copy_from_slice(&back[..len - first]);
        self.bytes.drain(..whole);
        Some(Datagram { from, len, truncated: whole - len })
    }

    pub(crate) fn len(&self) -> usize {
        self.heads.len()
    }

    fn cost(&self) -> usize {
        self.bytes.len() + self.heads.len() * DATAGRAM_COST
    }
}
