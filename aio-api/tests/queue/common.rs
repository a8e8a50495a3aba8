//! An event queue joined by a wire in memory to a peer: a second stack that a test drives by hand.

use aio_api::{Builder, Completion, EventQueue, Pace, Wait};
use naio_dma::{Domain, Page, Pool};
use naio_nic::{Nic, RxFrame};
use naio_stack::{Config, ListenerId, SocketId, Stack};
use naio_sys::clock::Clock;
use naio_testkit::{Wire, WireNic, WireOptions};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// The queue's address is 10.0.0.1, the peer's 10.0.0.2.
const PEER: [u8; 4] = [10, 0, 0, 2];
/// Where the peer listens.
pub(crate) const PORT: u16 = 5001;
/// Turns after which a test has gone wrong.
const PATIENCE: usize = 200_000;
/// Virtual time that a turn of the peer takes, in microseconds.
const TURN_US: u64 = 50;

/// Address of the peer's listener.
pub(crate) fn listener() -> SocketAddr {
    (PEER, PORT).into()
}

/// The other end of the wire.
pub(crate) struct Peer {
    pub(crate) stack: Stack,
    nic: WireNic,
    listener: ListenerId,
    time: Arc<AtomicU64>,
    wire: Wire,
    pub(crate) accepted: Vec<SocketId>,
    frames: Vec<RxFrame>,
    spare: Vec<Page>,
}

impl Peer {
    fn new(mut nic: WireNic, domain: &Domain, wire: Wire, time: Arc<AtomicU64>) -> Peer {
        let pool = Pool::new(domain, 512, 2048).expect("memory for a test");
        let config = Config::new(PEER.into(), 24);
        let now = Clock::Manual(time.clone()).now();
        let mut stack = Stack::new(config, nic.caps(), nic.rx_pool().clone(), pool, [7; 16], now)
            .expect("a sane configuration");
        let listener = stack.listen(PORT, 8).expect("a free port");
        nic.ring();
        let (accepted, frames, spare) = (Vec::new(), Vec::new(), Vec::new());
        Peer { stack, nic, listener, time, wire, accepted, frames, spare }
    }

    /// One turn of the peer; time passes.
    pub(crate) fn pump(&mut self) {
        let micros = self.time.fetch_add(TURN_US, Ordering::Relaxed) + TURN_US;
        self.wire.advance_to(micros);
        let now = Clock::Manual(self.time.clone()).now();
        let mut released = Vec::new();
        self.nic.reap_tx(&mut released);
        self.stack.release(&mut released);
        self.nic.reap_rx(&mut self.frames, 64);
        self.stack.ingest(now, &mut self.frames);
        self.stack.expire(now);
        self.accepted.extend(self.stack.accept(self.listener));
        let mut packets = Vec::new();
        self.stack.egress(now, self.nic.tx_room(), &mut packets);
        self.stack.spare(&mut self.spare);
        self.nic.post_rx(&mut self.spare);
        self.nic.post_tx(&mut packets);
        self.nic.ring();
    }

    /// Starts a connection to the queue's side.
    pub(crate) fn connect(&mut self, to: SocketAddr) -> SocketId {
        let socket = self.stack.socket(aio_api::SocketOptions::default()).expect("room for a socket");
        self.stack.connect(Clock::Manual(self.time.clone()).now(), socket, to).expect("a sane address");
        socket
    }

    /// The first connection that was accepted.
    pub(crate) fn connection(&self) -> SocketId {
        self.accepted[0]
    }

    /// Sends as much of `bytes` as fits now and takes it off the front.
    pub(crate) fn send(&mut self, bytes: &mut &[u8]) {
        let sent = self.stack.send(self.connection(), bytes).expect("connected");
        *bytes = &bytes[sent..];
    }

    /// Appends what has arrived.
    pub(crate) fn receive(&mut self, into: &mut Vec<u8>) {
        let mut chunk = [0; 4096];
        while let Ok(bytes @ 1..) = self.stack.recv(self.connection(), &mut chunk) {
            into.extend_from_slice(&chunk[..bytes]);
        }
    }
}

/// A queue of `entries` completions, its peer, and the wire between them.
pub(crate) fn joined(entries: usize, options: &WireOptions) -> (EventQueue, Peer, Wire) {
    joined_with(entries, options, |builder| builder)
}

/// The same, with more settings.
pub(crate) fn joined_with(
    entries: usize,
    options: &WireOptions,
    change: impl FnOnce(Builder) -> Builder,
) -> (EventQueue, Peer, Wire) {
    let (ours, theirs) = (Domain::new(), Domain::new());
    let (a, b, wire) = Wire::pair(&ours, &theirs, options);
    let pace = Pace { rx_coalesce: Duration::ZERO, yield_when_empty: false };
    let time = Arc::new(AtomicU64::new(0));
    let builder = Builder::new("10.0.0.1/24".parse().expect("an address"))
        .completion_entries(entries)
        .pace(pace)
        .clock(Clock::Manual(time.clone()));
    let queue = change(builder).build(Box::new(a), ours).expect("a queue");
    let peer = Peer::new(b, &theirs, wire.clone(), time);
    (queue, peer, wire)
}

/// The same over a perfect wire.
pub(crate) fn queue_and_peer() -> (EventQueue, Peer) {
    let (queue, peer, _) = joined(64, &WireOptions::default());
    (queue, peer)
}

/// Turns both ends until `enough` says so; `each` runs once a turn on the peer.
pub(crate) fn run(
    queue: &mut EventQueue,
    peer: &mut Peer,
    mut each: impl FnMut(&mut Peer),
    mut enough: impl FnMut(&[Completion]) -> bool,
) -> Vec<Completion> {
    let mut completions = Vec::new();
    for _ in 0..PATIENCE {
        queue.poll(&mut completions);
        peer.pump();
        each(peer);
        if enough(&completions) {
            return completions;
        }
    }
    panic!("not done after {PATIENCE} turns; so far {completions:?}");
}

/// Turns both ends until there are `count` completions.
pub(crate) fn complete(queue: &mut EventQueue, peer: &mut Peer, count: usize) -> Vec<Completion> {
    run(queue, peer, |_| {}, |done| done.len() >= count)
}

/// A connected socket; the peer has accepted it.
pub(crate) fn connected(queue: &mut EventQueue, peer: &mut Peer) -> aio_api::SocketId {
    let socket = queue.socket(aio_api::SocketOptions::default()).expect("room for a socket");
    queue.connect(socket, listener(), 1).expect("submitted");
    let done = complete(queue, peer, 1);
    assert_eq!((done[0].user_data, done[0].result), (1, Ok(())));
    for _ in 0..8 {
        peer.pump();
        queue.wait(&mut Vec::new(), Wait::for_at_least(0)).expect("a turn");
    }
    assert_eq!(peer.accepted.len(), 1, "the peer has the connection");
    socket
}

/// Bytes in which every offset looks different.
pub(crate) fn pattern(len: usize) -> Vec<u8> {
    (0..len as u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 11) as u8).collect()
}
