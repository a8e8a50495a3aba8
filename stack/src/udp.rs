//! UDP sockets (RFC 768): datagrams in and out, each whole or not at all.
//!
//! Receives packets whose IP lengths have been proved and keeps their payload, boundedly, until it is
//! fetched; hands payload to `post` to be sent, in fragments if it is larger than the MTU. A socket
//! has one port of both IP versions and is connected to nobody: whoever uses it looks at
//! [`Datagram::from`].

use crate::Stack;
use crate::datagram::{BindError, Datagram, ERRORS_MAX, NetworkError, Queue, UdpError, UdpId, UdpSendError};
use crate::demux::FlowKey;
use crate::hash::Key;
use crate::packet::{Ends, PROTOCOL_UDP, Packet};
use crate::post::{Outcome, Post};
use crate::receive::Fate;
use crate::secret;
use crate::slab::Slab;
use crate::status::SocketError;
use crate::store::{Piece, Store};
use naio_nic::Mac;
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

/// Bytes of a UDP header.
pub(crate) const HEADER_LEN: usize = 8;
/// Most bytes behind an IPv4 header, and all that the length field of UDP can say.
const LEN_MAX_IPV4: usize = 65_535 - 20;
const LEN_MAX: usize = 65_535;

struct Socket {
    port: u16,
    queue: Queue,
    errors: VecDeque<UdpError>,
    /// Named by `udp_ready` next time.
    touched: bool,
}

/// All UDP sockets.
pub(crate) struct Udp {
    sockets: Slab<Socket>,
    ports: HashMap<u16, u32, Key>,
    touched: Vec<u32>,
    /// Ports handed out so far.
    count: u64,
}

impl Udp {
    pub(crate) fn new(sockets_max: usize, key: Key) -> Udp {
        let ports = HashMap::with_hasher(key);
        Udp { sockets: Slab::new(sockets_max), ports, touched: Vec::new(), count: 0 }
    }

    pub(crate) fn len(&self) -> usize {
        self.sockets.len()
    }

    fn touch(&mut self, index: u32) {
        if let Some(socket) = self.sockets.at_mut(index)
            && !socket.touched
        {
            socket.touched = true;
            self.touched.push(index);
        }
    }

    /// Moves what nobody has fetched into ordinary memory; says how many pages that gave back.
    pub(crate) fn evacuate(&mut self, store: &mut Store) -> u64 {
        self.sockets.iter_mut().map(|socket| socket.queue.evacuate(store)).sum()
    }

    fn at_mut(&mut self, id: UdpId) -> Option<&mut Socket> {
        let index = self.sockets.index(id.0)?;
        self.sockets.at_mut(index)
    }
}

/// A UDP header whose lengths have been proved.
struct Header<'a> {
    source_port: u16,
    destination_port: u16,
    has_checksum: bool,
    /// Header and data, without what IP carried behind them.
    bytes: &'a [u8],
}

fn parse(bytes: &[u8]) -> Option<Header<'_>> {
    let &[s0, s1, d0, d1, l0, l1, c0, c1] = bytes.first_chunk::<HEADER_LEN>()?;
    let len = usize::from(u16::from_be_bytes([l0, l1]));
    let destination_port = u16::from_be_bytes([d0, d1]);
    if len < HEADER_LEN || destination_port == 0 {
        return None;
    }
    Some(Header {
        source_port: u16::from_be_bytes([s0, s1]),
        destination_port,
        has_checksum: [c0, c1] != [0, 0],
        bytes: bytes.get(..len)?,
    })
}

impl Stack {
    /// A UDP socket with this port, or with one that nobody can foresee (RFC 6056) if it is 0.
    ///
    /// # Errors
    /// The port is in use, or there are too many sockets.
    pub fn udp_bind(&mut self, port: u16) -> Result<UdpId, BindError> {
        let udp = &mut self.udp;
        let port = match port {
            0 => {
                let nobody = FlowKey::new(([0; 4], 0), ([0; 4], 0));
                udp.count += 1;
                secret::local_port(self.key, udp.count, nobody, |port| udp.ports.contains_key(&port))
                    .ok_or(BindError::NoPort)?
            }
            _ if udp.ports.contains_key(&port) => return Err(BindError::Port(port)),
            _ => port,
        };
        let socket = Socket { port, queue: Queue::default(), errors: VecDeque::new(), touched: false };
        let name = udp.sockets.insert(socket).ok_or(BindError::TooMany)?;
        udp.ports.insert(port, name.index);
        Ok(UdpId(name))
    }

    /// The port of a socket, `None` for a stale name.
    #[must_use]
    pub fn udp_port(&self, socket: UdpId) -> Option<u16> {
        let index = self.udp.sockets.index(socket.0)?;
        self.udp.sockets.at(index).map(|socket| socket.port)
    }

    /// Datagrams that wait to be received, `None` for a stale name.
    #[must_use]
    pub fn udp_waiting(&self, socket: UdpId) -> Option<usize> {
        let index = self.udp.sockets.index(socket.0)?;
        self.udp.sockets.at(index).map(|socket| socket.queue.len())
    }

    /// Sends one datagram, copied: it leaves with the next egress, or once the next hop's station
    /// address is known. Multicast stays on the link (a time to live of 1); broadcast is allowed.
    ///
    /// # Errors
    /// Nothing of it has left then. [`UdpSendError::Busy`] passes with the next egress.
    pub fn udp_send(&mut self, socket: UdpId, to: SocketAddr, bytes: &[u8]) -> Result<(), UdpSendError> {
        let source_port = self.udp_port(socket).ok_or(UdpSendError::Stale)?;
        if to.port() == 0 || !self.may_be_sent_to(to.ip()) {
            return Err(UdpSendError::Address(to));
        }
        let (source, hop) = self.path(to.ip()).ok_or(UdpSendError::NoRoute(to))?;
        let len = HEADER_LEN + bytes.len();
        if len > if to.is_ipv4() { LEN_MAX_IPV4 } else { LEN_MAX } {
            return Err(UdpSendError::TooLong(bytes.len()));
        }
        let mut header = [0; HEADER_LEN];
        header[0..2].copy_from_slice(&source_port.to_be_bytes());
        header[2..4].copy_from_slice(&to.port().to_be_bytes());
        // At most 65 535, as was seen to above.
        header[4..6].copy_from_slice(&(len as u16).to_be_bytes());
        let post = Post { ends: Ends::new(source, to.ip()), protocol: PROTOCOL_UDP, header: &header, bytes };
        match self.post(hop, &post) {
            Outcome::Posted => {
                self.counters.tx_udp += 1;
                Ok(())
            }
            Outcome::Busy => {
                self.counters.tx_udp_busy += 1;
                Err(UdpSendError::Busy)
            }
            Outcome::Unreachable => Err(UdpSendError::Unreachable),
        }
    }

    /// Copies the oldest received datagram into `into`, `None` if there is none or the name is stale.
    /// What does not fit is lost, and said so.
    pub fn udp_recv(&mut self, socket: UdpId, into: &mut [u8]) -> Option<Datagram> {
        let (from, piece) = self.udp.at_mut(socket)?.queue.pop()?;
        let bytes = piece.bytes(self.store.pool());
        let (len, whole) = (bytes.len().min(into.len()), bytes.len());
        into[..len].copy_from_slice(&bytes[..len]);
        self.store.free(piece);
        Some(Datagram { from, len, truncated: whole - len })
    }

    /// Hands out the oldest received datagram as it lies, `None` if there is none or the name is stale; and says
    /// whether it is a copy. A page must come home with [`take_back`](Stack::take_back), as those of
    /// [`lend`](Stack::lend) do.
    pub fn udp_lend(&mut self, socket: UdpId) -> Option<(SocketAddr, Piece, bool)> {
        let (from, piece) = self.udp.at_mut(socket)?.queue.pop()?;
        let (piece, copied) = self.store.lend(piece);
        Some((from, piece, copied))
    }

    /// The oldest error that came back for a datagram of this socket. Anybody near the path can
    /// invent one: a hint, not proof.
    pub fn udp_take_error(&mut self, socket: UdpId) -> Option<UdpError> {
        self.udp.at_mut(socket)?.errors.pop_front()
    }

    /// Gives a socket up, and what it has not handed out.
    ///
    /// # Errors
    /// [`SocketError::Stale`] if it was closed before.
    pub fn udp_close(&mut self, socket: UdpId) -> Result<(), SocketError> {
        let index = self.udp.sockets.index(socket.0).ok_or(SocketError::Stale)?;
        if let Some(mut socket) = self.udp.sockets.remove(index) {
            self.udp.ports.remove(&socket.port);
            while let Some((_, piece)) = socket.queue.pop() {
                self.store.free(piece);
            }
        }
        Ok(())
    }

    /// Appends the sockets for which a datagram or an error has arrived since they were last named
    /// here, each once, in the order of the first arrival.
    pub fn udp_ready(&mut self, out: &mut Vec<UdpId>) {
        for index in self.udp.touched.drain(..) {
            // Closed meanwhile, or closed and its place taken by another one that is not touched.
            if let Some(socket) = self.udp.sockets.at_mut(index)
                && std::mem::take(&mut socket.touched)
            {
                out.push(UdpId(self.udp.sockets.name(index)));
            }
        }
    }

    /// A datagram arrives. `reply_to` is where an error goes; none for multicast and broadcast.
    pub(crate) fn udp(&mut self, packet: &Packet<'_>, verified: bool, reply_to: Option<Mac>) -> Fate {
        let Some(header) = parse(packet.payload) else {
            self.counters.drop_udp_header += 1;
            return Fate::Spent;
        };
        let whole = Packet { payload: header.bytes, ..*packet };
        // IPv6 knows no datagram without a checksum (RFC 8200 8.1).
        let checked = match packet.ends {
            Ends::V4 { .. } => !header.has_checksum || verified || whole.checksum_is_valid(),
            Ends::V6 { .. } => header.has_checksum && whole.checksum_is_valid(),
        };
        if !checked {
            self.counters.drop_udp_checksum += 1;
            return Fate::Spent;
        }
        let Some(&index) = self.udp.ports.get(&header.destination_port) else {
            self.counters.drop_udp_unknown += 1;
            if let Some(station) = reply_to {
                self.port_unreachable(packet, station);
            }
            return Fate::Spent;
        };
        let Some(socket) = self.udp.sockets.at_mut(index) else { return Fate::Spent };
        let from = SocketAddr::new(packet.ends.source(), header.source_port);
        let len = header.bytes.len() - HEADER_LEN;
        if !socket.queue.announce(from, len, self.config.udp_queue_bytes) {
            self.counters.drop_udp_full += 1;
            return Fate::Spent;
        }
        self.counters.rx_udp += 1;
        self.udp.touch(index);
        let start = packet.bytes.len() - packet.payload.len() + HEADER_LEN;
        // A packet is at most 65 535 bytes long.
        Fate::Datagram { index, start: start as u16, len: len as u16 }
    }

    /// The payload of the datagram that was announced last.
    pub(crate) fn keep_datagram(&mut self, index: u32, piece: Piece) {
        let left = match self.udp.sockets.at_mut(index) {
            Some(socket) => socket.queue.fill(piece),
            None => Some(piece),
        };
        if let Some(piece) = left {
            self.store.free(piece);
        }
    }

    /// The network says something about a datagram of ours. False if it cannot have been ours.
    pub(crate) fn udp_error(&mut self, port: u16, to: (IpAddr, u16), error: NetworkError) -> bool {
        let Some(&index) = self.udp.ports.get(&port) else { return false };
        let Some(socket) = self.udp.sockets.at_mut(index) else { return false };
        if socket.errors.len() >= ERRORS_MAX {
            self.counters.udp_errors_forgotten += 1;
            return true;
        }
        socket.errors.push_back(UdpError { to: to.into(), error });
        self.udp.touch(index);
        true
    }
}
