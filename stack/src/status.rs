//! The vocabulary of sockets as users see them: options, states, failures, errors.

use crate::options::TcpOptions;
use crate::ring::RingLen;
use crate::slab::Name;
use std::net::SocketAddr;

/// Names a socket. Goes stale when the socket is closed; a stale name is refused and never means
/// another socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SocketId(pub(crate) Name);

impl SocketId {
    /// A small number that no other socket of the same stack has at the same time: to index a table
    /// with. A later socket may have it again, so compare the whole name as well.
    #[must_use]
    pub fn index(self) -> usize {
        self.0.index as usize
    }
}

/// Names a listener, like [`SocketId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ListenerId(pub(crate) Name);

/// What a socket is made with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketOptions {
    /// The receive ring: the largest window we offer.
    pub rx_ring: RingLen,
    /// The send ring: the most data under way or waiting.
    pub tx_ring: RingLen,
    /// What may change later.
    pub tcp: TcpOptions,
}

impl Default for SocketOptions {
    /// 256 KiB, or the legal length next to it, both ways.
    fn default() -> SocketOptions {
        let ring = RingLen::at_least(65_535 << 2);
        SocketOptions { rx_ring: ring, tx_ring: ring, tcp: TcpOptions::default() }
    }
}

/// The state of a connection (RFC 9293 3.3.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Phase {
    /// No connection, or none any more; see [`SocketStatus::failure`].
    #[default]
    Closed,
    /// SYN-SENT, or still asking for the next hop's station address.
    Connecting,
    /// SYN-RECEIVED.
    SynReceived,
    /// ESTABLISHED.
    Established,
    /// FIN-WAIT-1: our half is closed, not yet acknowledged.
    FinWait1,
    /// FIN-WAIT-2: our half is closed.
    FinWait2,
    /// CLOSE-WAIT: the peer's half is closed.
    CloseWait,
    /// CLOSING: both halves are closed, ours not yet acknowledged.
    Closing,
    /// LAST-ACK: as CLOSING, the peer closed first.
    LastAck,
    /// TIME-WAIT: over; old segments may still arrive.
    TimeWait,
}

/// Why a connection ended other than in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Nobody listens there.
    #[error("connection refused")]
    Refused,
    /// The peer reset it.
    #[error("connection reset by peer")]
    Reset,
    /// Nothing heard for too long.
    #[error("connection timed out")]
    TimedOut,
    /// The next hop does not answer.
    #[error("host is unreachable")]
    Unreachable,
    /// Reset from this side.
    #[error("connection aborted")]
    Aborted,
    /// The TCP engine failed inside; the log has the packet. Other connections go on.
    #[error("the TCP engine failed, and the connection was given up")]
    Broken,
}

/// A socket at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketStatus {
    /// Its state.
    pub phase: Phase,
    /// Bytes that can be received now.
    pub readable: usize,
    /// Bytes that can be sent now; 0 unless data may be sent in this state.
    pub writable: usize,
    /// Bytes taken by `send` and not yet acknowledged by the peer.
    pub unacknowledged: usize,
    /// The peer has finished sending: after `readable` bytes comes the end.
    pub recv_finished: bool,
    /// Why it is closed, if not in order.
    pub failure: Option<Failure>,
    /// Our end, once there is a connection.
    pub local: Option<SocketAddr>,
    /// The other end, once there is a connection.
    pub remote: Option<SocketAddr>,
}

/// What decides about the operations of a connection: a part of [`SocketStatus`] that costs little.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Its state.
    pub phase: Phase,
    /// Bytes taken by `send` and not yet acknowledged by the peer.
    pub unacknowledged: usize,
    /// Why it is closed, if not in order.
    pub failure: Option<Failure>,
}

/// A socket cannot be had, or the name is stale.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SocketError {
    /// As many as `Config::sockets_max` are in use.
    #[error("too many sockets")]
    TooMany,
    /// The socket has been closed.
    #[error("no such socket")]
    Stale,
    /// There is no connection (yet).
    #[error("the socket is not connected")]
    NotConnected,
}

/// A connection cannot even be tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// The socket has been closed.
    #[error("no such socket")]
    Stale,
    /// It has, or had, a connection.
    #[error("the socket is connected, or was")]
    InUse,
    /// No host can have that address, or the port is 0, or it is not IPv4.
    #[error("{0} cannot be connected to")]
    Address(SocketAddr),
    /// It is not on our network and there is no gateway.
    #[error("no route to {0}")]
    NoRoute(SocketAddr),
    /// Every local port is in use towards that address.
    #[error("no free local port towards {0}")]
    NoPort(SocketAddr),
}

/// Data cannot be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The socket has been closed.
    #[error("no such socket")]
    Stale,
    /// There is no connection.
    #[error("the socket is not connected")]
    NotConnected,
    /// Our half of the connection is closed.
    #[error("the sending half is closed")]
    Shutdown,
    /// The card computes no checksums for this connection, so its bytes must pass through us.
    #[error("the card computes no checksums here: only copies can be sent")]
    OnlyCopies,
    /// The connection broke.
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// No data, and none will come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecvError {
    /// The socket has been closed.
    #[error("no such socket")]
    Stale,
    /// There is no connection.
    #[error("the socket is not connected")]
    NotConnected,
    /// The peer has finished, and everything it sent has been received.
    #[error("end of stream")]
    Finished,
    /// The connection broke; what had arrived before has been received.
    #[error(transparent)]
    Failed(#[from] Failure),
}

/// A listener cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListenError {
    /// Another listener has that port, or it is 0.
    #[error("port {0} is in use or zero")]
    Port(u16),
    /// A backlog of 0.
    #[error("a backlog must be at least 1")]
    Backlog,
    /// As many as `Config::listeners_max` exist.
    #[error("too many listeners")]
    TooMany,
}
