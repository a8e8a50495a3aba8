//! One connection: a smoltcp socket in a set of its own, and what we know beside it.
//!
//! Receives nothing by itself: `ingest`, `egress` and `socket` act on it. A set of one socket costs
//! the same however many connections there are.

use crate::datagram::NetworkError;
use crate::demux::FlowKey;
use crate::emission::Source;
use crate::extent::Extents;
use crate::info::Meter;
use crate::ipv4::{self, SYN, Tcp};
use crate::ipv6;
use crate::options::TcpOptions;
use crate::peer::Peer;
use crate::port::Emitted;
use crate::reassembly::Reassembly;
use crate::recovery::Recovery;
use crate::secret;
use crate::slow_start::SlowStart;
use crate::status::{Failure, Phase, SendError, SocketOptions, SocketStatus};
use crate::stream::Stream;
use naio_nic::Mac;
use naio_sys::clock::Time;
use smoltcp::iface::{SocketHandle, SocketSet, SocketStorage};
use smoltcp::socket::tcp::{self, State};
use smoltcp::time::Instant;
use std::net::{IpAddr, Ipv4Addr};

/// Who holds the name of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Owner {
    User,
    /// Not accepted yet; the listener's index.
    Listener(u32),
    /// Closed by its user; it lives until its last segments are exchanged.
    Nobody,
}

/// What a user would notice. Totals, so that equal amounts at different times still differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    phase: Phase,
    received: u64,
    acknowledged: u64,
    finished: bool,
    failure: Option<Failure>,
}

pub(crate) struct Flow {
    pub(crate) set: SocketSet<'static>,
    handle: SocketHandle,
    /// Capacity of the receive ring.
    pub(crate) rx_len: usize,
    pub(crate) key: Option<FlowKey>,
    /// Whether the key is in the table: false before `connect` and after the end.
    pub(crate) bound: bool,
    pub(crate) owner: Owner,
    pub(crate) next_hop: IpAddr,
    /// Where the last visit found the next hop; replies between visits go there.
    pub(crate) mac: Option<Mac>,
    /// `connect` was called and smoltcp does not know yet: the next hop is being asked for. The SYN
    /// leaves in the very visit that tells smoltcp (guard e).
    pub(crate) unsent: bool,
    pub(crate) dirty: bool,
    pub(crate) waiting: bool,
    pub(crate) touched: bool,
    /// The peer's FIN has been accepted. Sticky: smoltcp forgets at the end of TIME-WAIT.
    pub(crate) finished: bool,
    /// Our half is closed, but smoltcp does not know yet.
    pub(crate) fin_waits: bool,
    pub(crate) failure: Option<Failure>,
    /// What the network last said about it.
    pub(crate) soft: Option<NetworkError>,
    /// When patience with the present state ends.
    pub(crate) limit: Option<Time>,
    /// Its user wants it closed: what `limit` ends is lingering.
    pub(crate) lingers: bool,
    /// When the peer last acknowledged something new, or said that it cannot take more.
    pub(crate) progress: Time,
    /// When anything was heard of the peer.
    pub(crate) heard: Time,
    /// Since when something of ours is outstanding.
    pub(crate) outstanding_since: Option<Time>,
    pub(crate) time_wait_since: Option<Time>,
    /// The first sequence number must be behind this one (RFC 9293 3.4.3).
    pub(crate) isn_after: Option<u32>,
    pub(crate) options: Option<TcpOptions>,
    pub(crate) meter: Meter,
    pub(crate) recovery: Recovery,
    /// Nothing has been lost yet, and the window is ours.
    pub(crate) start: Option<SlowStart>,
    /// Bytes that the user has received.
    pub(crate) consumed: u64,
    /// Bytes that the user has sent.
    pub(crate) enqueued: u64,
    /// Bytes that it sent beyond its last turn's worth.
    pub(crate) overdrawn: usize,
    /// Where what is sent lies, until it is acknowledged.
    pub(crate) stream: Stream,
    /// Bytes received by the user since our last segment told the peer about the window.
    pub(crate) unannounced: usize,
    /// The last acknowledgment number we sent (the peer's first sequence number at first).
    pub(crate) acked: Option<u32>,
    /// Bytes that had arrived in order when that was sent.
    received_at_ack: u64,
    /// What smoltcp last offered: from which sequence number on, and the window field, not scaled.
    pub(crate) offered_at: Option<u32>,
    pub(crate) offered: u16,
    /// The furthest that was offered.
    pub(crate) edge: Option<u32>,
    /// What has been received and not been taken.
    pub(crate) reassembly: Reassembly,
    /// The sequence number of our first byte.
    sent_start: Option<u32>,
    /// The sequence number behind everything we ever sent.
    pub(crate) sent_end: Option<u32>,
    /// Acknowledgment number and window of the peer's last segment, the window as one that is no SYN would say it.
    pub(crate) heard_ack: Option<(u32, u16)>,
    /// How often in a row the peer has repeated that acknowledgment without data.
    pub(crate) repeated_acks: u32,
    /// The largest window it offered, in bytes.
    pub(crate) window_max: u32,
    /// Since when it takes nothing though we have something.
    pub(crate) closed_since: Option<Time>,
    /// Where its FIN stands, if it came before data that is missing.
    pub(crate) early_fin: Option<u32>,
    /// When a segment of it was last asked back about.
    pub(crate) challenged: Option<Time>,
    /// How large its packets may be, if less than the card's.
    pub(crate) path_mtu: Option<u16>,
    /// Since when packets of the present size are repeated.
    pub(crate) tried: Option<Time>,
    /// smoltcp panicked over it.
    pub(crate) broken: bool,
    /// What it said in its SYN; nothing useful before.
    pub(crate) peer: Peer,
    reported: Progress,
}

impl Flow {
    pub(crate) fn new(options: SocketOptions, owner: Owner, now: Time) -> Flow {
        let ring = |len: usize| tcp::SocketBuffer::new(vec![0; len]);
        let mut socket = tcp::Socket::new(ring(options.rx_ring.bytes()), ring(options.tx_ring.bytes()));
        // One acknowledgment for each burst: a visit follows every burst anyway.
        socket.set_ack_delay(None);
        let mut set = SocketSet::new(vec![SocketStorage::EMPTY]);
        let handle = set.add(socket);
        let mut flow = Flow {
            set,
            handle,
            rx_len: options.rx_ring.bytes(),
            key: None,
            bound: false,
            owner,
            next_hop: Ipv4Addr::UNSPECIFIED.into(),
            mac: None,
            unsent: false,
            dirty: false,
            waiting: false,
            touched: false,
            finished: false,
            fin_waits: false,
            failure: None,
            soft: None,
            limit: None,
            lingers: false,
            progress: now,
            heard: now,
            outstanding_since: None,
            time_wait_since: None,
            isn_after: None,
            options: None,
            meter: Meter::default(),
            recovery: Recovery::default(),
            start: None,
            consumed: 0,
            enqueued: 0,
            overdrawn: 0,
            stream: Stream::default(),
            unannounced: 0,
            acked: None,
            received_at_ack: 0,
            offered_at: None,
            offered: 0,
            edge: None,
            reassembly: Reassembly::default(),
            sent_start: None,
            sent_end: None,
            heard_ack: None,
            repeated_acks: 0,
            window_max: 0,
            closed_since: None,
            early_fin: None,
            challenged: None,
            path_mtu: None,
            tried: None,
            broken: false,
            peer: Peer::default(),
            reported: Progress::default(),
        };
        flow.set_options(options.tcp);
        flow
    }

    #[inline]
    pub(crate) fn socket(&self) -> &tcp::Socket<'static> {
        self.set.get(self.handle)
    }

    #[inline]
    pub(crate) fn socket_mut(&mut self) -> &mut tcp::Socket<'static> {
        self.set.get_mut(self.handle)
    }

    #[inline]
    pub(crate) fn state(&self) -> State {
        self.socket().state()
    }

    /// Throws the socket away that a panic went through, and what it held; a new one stands in its place, closed.
    pub(crate) fn give_up_socket(&mut self) {
        self.broken = true;
        self.enqueued = self.acknowledged();
        let empty = || tcp::SocketBuffer::new(vec![0; 1]);
        let mut set = SocketSet::new(vec![SocketStorage::EMPTY]);
        self.handle = set.add(tcp::Socket::new(empty(), empty()));
        self.set = set;
        self.rx_len = 1;
    }

    pub(crate) fn is_broken(&self) -> bool {
        self.broken
    }

    /// Whether there is nothing to send, nor ever will be by itself: no data, no FIN, no timer of smoltcp's but that of
    /// keep-alive.
    #[inline]
    pub(crate) fn is_quiet(&self) -> bool {
        let socket = self.socket();
        matches!(socket.state(), State::Established | State::CloseWait) && socket.send_queue() == 0
    }

    /// Whether the peer's answer to something is missing: data, or our FIN.
    pub(crate) fn is_outstanding(&self) -> bool {
        let socket = self.socket();
        let fin = matches!(socket.state(), State::FinWait1 | State::Closing | State::LastAck);
        self.bound && (fin || socket.send_queue() > 0)
    }

    /// What a visit starts from.
    #[inline]
    pub(crate) fn emitted(&self) -> Emitted {
        Emitted { end: self.sent_end, ..Emitted::default() }
    }

    /// The set, and beside it where the payload of what it emits comes from. `mtu` is the card's.
    #[inline]
    pub(crate) fn parts(&mut self, mtu: usize) -> (&mut SocketSet<'static>, Source<'_>) {
        let acknowledged = self.acknowledged();
        let is_v6 = self.key.is_some_and(|key| key.remote().0.is_ipv6());
        let headers = if is_v6 { ipv6::HEADER_LEN } else { ipv4::HEADER_LEN } + ipv4::TCP_HEADER_LEN;
        let mtu = self.path_mtu.map_or(mtu, usize::from);
        let ours = u16::try_from(mtu.saturating_sub(headers)).unwrap_or(u16::MAX);
        let source = Source {
            stream: &self.stream,
            una: self.snd_una().unwrap_or(0),
            acknowledged,
            mss: self.peer.mss.min(ours),
        };
        (&mut self.set, source)
    }

    /// What a visit has emitted. Every segment tells the peer the window of this moment.
    #[inline]
    pub(crate) fn note(&mut self, now: Time, emitted: Emitted) {
        self.meter.sent(now, self.sent_end, emitted);
        self.sent_end = emitted.end;
        // The first thing ever sent is a SYN.
        self.sent_start = self.sent_start.or(emitted.end);
        if emitted.acked.is_some() {
            self.acked = emitted.acked;
            self.unannounced = 0;
            self.received_at_ack = self.received();
        }
        self.note_offer(emitted);
        self.note_sent(now, emitted);
    }

    /// What smoltcp has offered the peer.
    #[inline]
    fn note_offer(&mut self, emitted: Emitted) {
        self.offered = emitted.window.unwrap_or(self.offered);
        self.offered_at = emitted.acked.or(self.offered_at);
        self.edge = self.window_edge();
    }

    /// What a segment of the peer's says about its window.
    #[inline]
    pub(crate) fn note_window(&mut self, now: Time, tcp: &Tcp) {
        // The window of a SYN is never scaled (RFC 7323 2.2).
        let shift = if tcp.has(SYN) { 0 } else { self.peer.shift.unwrap_or(0) };
        let window = u32::from(tcp.window) << shift;
        self.window_max = self.window_max.max(window);
        if window == 0 && self.socket().send_queue() > 0 {
            self.closed_since.get_or_insert(now);
        } else {
            self.closed_since = None;
        }
    }

    /// Bytes that have arrived in order.
    #[inline]
    pub(crate) fn received(&self) -> u64 {
        self.consumed + self.socket().recv_queue() as u64
    }

    /// RCV.NXT as long as the peer has not finished; `None` before its SYN.
    #[inline]
    pub(crate) fn rcv_nxt(&self) -> Option<u32> {
        // Sequence numbers wrap, and so does the conversion.
        Some(self.acked?.wrapping_add(self.received().wrapping_sub(self.received_at_ack) as u32))
    }

    /// SND.UNA as long as our FIN is not acknowledged; `None` before our SYN.
    pub(crate) fn snd_una(&self) -> Option<u32> {
        Some(self.sent_start?.wrapping_add(self.acknowledged() as u32))
    }

    /// Bytes that the send ring has room for and the congestion window does not keep out of it; none before the connection is established.
    pub(crate) fn send_room(&self) -> Result<usize, SendError> {
        if let Some(failure) = self.failure {
            return Err(failure.into());
        }
        if !self.bound {
            return Err(if self.key.is_some() { SendError::Shutdown } else { SendError::NotConnected });
        }
        let socket = self.socket();
        match socket.state() {
            _ if self.unsent => Ok(0),
            State::SynSent | State::SynReceived => Ok(0),
            // The only states left in which nothing may be sent are those after our FIN.
            _ if !self.may_send() => Err(SendError::Shutdown),
            _ => Ok(self.writable()),
        }
    }

    /// Tells smoltcp that there are `bytes` more to send; at most as many as its ring has room for.
    pub(crate) fn enqueue(&mut self, bytes: usize) {
        let mut left = bytes;
        // Room that wraps around the end of the ring comes in two parts.
        for _ in 0..2 {
            let taken = self.socket_mut().send(|ring| {
                let taken = ring.len().min(left);
                (taken, taken)
            });
            left -= taken.unwrap_or(0);
        }
        debug_assert_eq!(left, 0, "the caller has looked at the room");
        self.enqueued += bytes as u64;
    }

    /// What is acknowledged need not be kept any longer.
    #[inline]
    pub(crate) fn forget_acknowledged(&mut self, extents: &mut Extents) {
        let acknowledged = self.acknowledged();
        self.stream.acknowledge(extents, acknowledged);
    }

    /// Bytes that the peer has acknowledged.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.enqueued - (self.socket().send_queue() as u64).min(self.enqueued)
    }

    pub(crate) fn phase(&self) -> Phase {
        if !self.bound {
            return Phase::Closed;
        }
        if self.unsent {
            return Phase::Connecting;
        }
        match self.state() {
            State::Closed | State::Listen => Phase::Closed,
            State::SynSent => Phase::Connecting,
            State::SynReceived => Phase::SynReceived,
            State::Established => Phase::Established,
            State::FinWait1 => Phase::FinWait1,
            State::FinWait2 => Phase::FinWait2,
            State::CloseWait if self.fin_waits => Phase::LastAck,
            State::CloseWait => Phase::CloseWait,
            State::Closing => Phase::Closing,
            State::LastAck => Phase::LastAck,
            State::TimeWait => Phase::TimeWait,
        }
    }

    pub(crate) fn status(&self) -> SocketStatus {
        let socket = self.socket();
        let open = self.bound && self.may_send();
        SocketStatus {
            phase: self.phase(),
            readable: self.reassembly.len(),
            writable: if open { self.writable() } else { 0 },
            unacknowledged: socket.send_queue(),
            recv_finished: self.finished,
            failure: self.failure,
            local: self.key.map(|key| key.local().into()),
            remote: self.key.map(|key| key.remote().into()),
        }
    }

    /// Whether our half is open.
    fn may_send(&self) -> bool {
        self.socket().may_send() && !self.fin_waits
    }

    /// Bytes that the ring has room for and the congestion window does not keep out of it.
    fn writable(&self) -> usize {
        (self.socket().send_capacity() - self.socket().send_queue()).min(self.allowance())
    }

    /// Whether a user would notice a difference to the last call that said so.
    pub(crate) fn take_progress(&mut self) -> bool {
        let progress = Progress {
            phase: self.phase(),
            received: self.received(),
            acknowledged: self.acknowledged(),
            finished: self.finished,
            failure: self.failure,
        };
        let changed = progress != self.reported;
        self.reported = progress;
        changed
    }

    /// The seed with which smoltcp draws the initial sequence number we want.
    pub(crate) fn seed(&self, key: crate::hash::Key, now: Time) -> u64 {
        let Some(flow) = self.key else { return 0 };
        let isn = secret::initial_seq(key, now, flow);
        let isn = self.isn_after.filter(|after| isn.wrapping_sub(*after) as i32 <= 0).unwrap_or(isn);
        secret::seed_for(isn)
    }
}

/// A time as smoltcp takes it.
#[inline]
pub(crate) fn instant(now: Time) -> Instant {
    // 2^62 µs are more than 100 000 years, and leave room for additions.
    Instant::from_micros(now.as_micros().min(1 << 62) as i64)
}

/// A time of smoltcp's as ours.
#[inline]
pub(crate) fn time(at: Instant) -> Time {
    Time::from_micros(u64::try_from(at.total_micros()).unwrap_or(0))
}
