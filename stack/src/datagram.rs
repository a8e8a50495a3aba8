//! The vocabulary of UDP sockets, and the queue in which one keeps what arrived.

use crate::slab::Name;
use crate::store::{Piece, Store};
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

/// Received datagrams, oldest first.
#[derive(Default)]
pub(crate) struct Queue {
    heads: VecDeque<(SocketAddr, Piece)>,
    /// The sender of one whose payload is on its way.
    announced: Option<SocketAddr>,
    bytes: usize,
}

impl Queue {
    /// Whether a datagram of `len` bytes may be added to the queue, of at most `max` bytes; then
    /// [`fill`](Queue::fill) follows.
    pub(crate) fn announce(&mut self, from: SocketAddr, len: usize, max: usize) -> bool {
        let cost = self.bytes + (self.heads.len() + 1) * DATAGRAM_COST;
        let fits = cost + len <= max;
        self.announced = Some(from).filter(|_| fits);
        fits
    }

    /// Adds the datagram that was announced; gives back what was not.
    pub(crate) fn fill(&mut self, piece: Piece) -> Option<Piece> {
        let Some(from) = self.announced.take() else { return Some(piece) };
        self.bytes += piece.len();
        self.heads.push_back((from, piece));
        None
    }

    /// Moves what lies in pages into ordinary memory; says how many.
    pub(crate) fn evacuate(&mut self, store: &mut Store) -> u64 {
        let mut moved = 0;
        for (_, piece) in self.heads.iter_mut().filter(|(_, piece)| piece.is_page()) {
            let copy = Piece::copy_of(piece.bytes(store.pool()));
            store.free(std::mem::replace(piece, copy));
            moved += 1;
        }
        moved
    }

    /// Takes the oldest datagram out.
    pub(crate) fn pop(&mut self) -> Option<(SocketAddr, Piece)> {
        let (from, piece) = self.heads.pop_front()?;
        self.bytes -= piece.len();
        Some((from, piece))
    }

    pub(crate) fn len(&self) -> usize {
        self.heads.len()
    }
}
