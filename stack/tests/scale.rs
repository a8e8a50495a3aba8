//! Ten thousand connections: what each holds, what a segment allocates, and that nothing is left of those that come
//! and go. What a segment costs is measured by `naio-scale` in `bench`.

use naio_dma::{Domain, Page, Pool};
use naio_nic::{Caps, Mac, RxChecksum, RxFrame, TxPacket};
use naio_stack::{Config, ListenerId, RingLen, SocketId, SocketOptions, Stack};
use naio_sys::allocations::Counting;
use naio_sys::clock::Time;
use naio_testkit::Segment;
use naio_testkit::segment::arp;
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::Mutex;

#[global_allocator]
static ALLOCATOR: Counting = Counting::new();
/// The counter is of the whole program: one test at a time.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

const US: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const OUR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const THEIR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
const PORT: u16 = 80;
const CONNECTIONS: u32 = 10_000;
const RING: usize = 4_096;
/// The most that a connection may hold beside its rings.
const IDLE_BYTES_MAX: u64 = 4_096;

/// The stack, its card, and the peers' side of the connections.
struct Server {
    stack: Stack,
    listener: ListenerId,
    rx_pool: Pool,
    domain: Domain,
    now_us: u64,
    spare: Vec<Page>,
    frames: Vec<RxFrame>,
    packets: Vec<TxPacket>,
    sockets: Vec<(SocketId, u32)>,
}

/// Connection number `n` of the peers: four hosts, a port each.
fn segment(n: u32) -> Segment {
    Segment::new([10, 0, 0, 2 + (n % 4) as u8], 1_024 + (n / 4) as u16, US.octets(), PORT)
}

impl Server {
    fn new() -> Server {
        let domain = Domain::new();
        let caps = Caps {
            mac: Mac(OUR_MAC),
            model: "bench",
            mtu: 1_500,
            tx_checksum_ipv4: true,
            tx_checksum_ipv6: true,
            tx_fragments: 4,
            tx_segmentation_ipv4: naio_nic::Segmentation::None,
            tx_segmentation_ipv6: naio_nic::Segmentation::None,
            rx_ring: 256,
            tx_ring: 256,
        };
        let ring = RingLen::at_least(RING);
        let accepted = SocketOptions { rx_ring: ring, tx_ring: ring, ..SocketOptions::default() };
        let config = Config { sockets_max: CONNECTIONS as usize + 100, accepted, ..Config::new(US, 24) };
        let tx_pool = Pool::new(&domain, 512, 2_048).expect("memory");
        let rx_pool = Pool::new(&domain, 512, 2_048).expect("memory");
        let mut stack =
            Stack::new(config, &caps, rx_pool.clone(), tx_pool, [5; 16], Time::from_micros(1)).expect("sane");
        let listener = stack.listen(PORT, 64).expect("a free port");
        let spare = std::iter::from_fn(|| rx_pool.take()).collect();
        let mut server = Server {
            stack,
            listener,
            rx_pool,
            domain,
            now_us: 1_000_000,
            spare,
            frames: Vec::with_capacity(256),
            packets: Vec::with_capacity(256),
            sockets: Vec::new(),
        };
        for host in 2..6 {
            server.feed(&arp([0xff; 6], 1, (THEIR_MAC, [10, 0, 0, host]), ([0; 6], US.octets())));
            server.turn();
        }
        server
    }

    /// A frame arrives with the next turn.
    fn feed(&mut self, bytes: &[u8]) {
        let mut page = self.spare.pop().expect("pages come back");
        self.rx_pool.bytes_mut(&mut page)[..bytes.len()].copy_from_slice(bytes);
        let len = bytes.len() as u16;
        self.frames.push(RxFrame { page, offset: 0, len, checksum: RxChecksum::Good });
    }

    /// What arrived goes in, what leaves is thrown away.
    fn turn(&mut self) {
        self.now_us += 50;
        let now = Time::from_micros(self.now_us);
        self.stack.ingest(now, &mut self.frames);
        self.stack.spare(&mut self.spare);
        self.stack.expire(now);
        self.stack.egress(now, 256, &mut self.packets);
    }

    /// The card is done with everything; the packets are forgotten.
    fn sent(&mut self) {
        let mut released: Vec<_> =
            self.packets.iter().flat_map(|packet| packet.fragments.iter().map(|f| f.extent)).collect();
        self.stack.release(&mut released);
        self.packets.clear();
    }

    /// Opens connection `n`; its socket, and our first sequence number in it.
    fn open(&mut self, n: u32) -> (SocketId, u32) {
        let mut syn = segment(n).seq(0).syn(1_460, Some(7));
        syn.flags.ack = false;
        self.feed(&syn.ethernet(THEIR_MAC, OUR_MAC));
        self.turn();
        let isn =
            self.answers().get(&(segment(n).source, segment(n).source_port)).copied().expect("a SYN-ACK");
        self.sent();
        self.feed(&segment(n).seq(1).ack(isn.wrapping_add(1)).ethernet(THEIR_MAC, OUR_MAC));
        self.turn();
        self.sent();
        (self.stack.accept(self.listener).expect("established"), isn.wrapping_add(1))
    }

    /// The sequence numbers of what leaves, by whom it is for.
    fn answers(&self) -> HashMap<([u8; 4], u16), u32> {
        let parse = |packet: &TxPacket| {
            let mut frame = packet.header.to_vec();
            for fragment in &packet.fragments {
                let start = frame.len();
                frame.resize(start + fragment.slice.len() as usize, 0);
                self.domain.bus().read(fragment.slice.iova().as_u64(), &mut frame[start..]).expect("mapped");
            }
            let segment = Segment::parse(&frame)?;
            Some(((segment.destination, segment.destination_port), segment.seq))
        };
        self.packets.iter().filter_map(parse).collect()
    }
}

#[test]
#[expect(clippy::print_stdout, reason = "the figure, for whoever asks with --nocapture")]
fn an_idle_connection_holds_less_than_four_kibibytes_beside_its_rings() {
    let _one = ONE_AT_A_TIME.lock().expect("no test has failed");
    let mut server = Server::new();
    server.sockets.reserve(CONNECTIONS as usize);
    let before = ALLOCATOR.held();
    for n in 0..CONNECTIONS {
        let socket = server.open(n);
        server.sockets.push(socket);
    }
    let each = (ALLOCATOR.held() - before) / u64::from(CONNECTIONS);
    let beside = each - 2 * RING as u64;
    println!("{each} bytes each, {beside} beside the rings");
    assert!(beside < IDLE_BYTES_MAX, "{beside}");
    assert_eq!(server.stack.census().bound_flows, CONNECTIONS as usize);
}

#[test]
fn segments_allocate_nothing() {
    let _one = ONE_AT_A_TIME.lock().expect("no test has failed");
    let mut server = Server::new();
    let sockets: Vec<_> = (0..100).map(|n| server.open(n)).collect();
    let frames: Vec<Vec<Vec<u8>>> = (0..30_u32)
        .map(|round| {
            let burst = |n: u32| {
                let seq = 1 + round * 1_000;
                segment(n)
                    .seq(seq)
                    .ack(sockets[n as usize].1)
                    .payload(&[7; 1_000])
                    .ethernet(THEIR_MAC, OUR_MAC)
            };
            (0..100).map(burst).collect()
        })
        .collect();
    let mut bytes = [0; 2_000];
    let (mut ready, mut released) = (Vec::with_capacity(256), Vec::with_capacity(256));
    let mut before = 0;
    for (round, burst) in frames.iter().enumerate() {
        if round == 10 {
            // Tables and batches have the size they need.
            before = ALLOCATOR.allocations_of_thread();
        }
        burst.iter().for_each(|frame| server.feed(frame));
        server.turn();
        server.stack.ready(&mut ready);
        for socket in ready.drain(..) {
            assert_eq!(server.stack.recv(socket, &mut bytes), Ok(1_000));
        }
        released.extend(server.packets.iter().flat_map(|packet| packet.fragments.iter().map(|f| f.extent)));
        server.stack.release(&mut released);
        server.packets.clear();
    }
    assert_eq!(ALLOCATOR.allocations_of_thread() - before, 0, "for 2000 segments and their acknowledgments");
    assert_eq!(server.stack.counters().rx_tcp, 100 * 30 + 200);
}

#[test]
fn connections_that_come_and_go_leave_no_memory_behind() {
    let _one = ONE_AT_A_TIME.lock().expect("no test has failed");
    let mut server = Server::new();
    let mut held = Vec::new();
    for round in 0..6 {
        for n in 0..1_000 {
            let (socket, seq) = server.open(n);
            server.feed(&segment(n).seq(1).ack(seq).rst().ethernet(THEIR_MAC, OUR_MAC));
            server.turn();
            server.stack.close(socket).expect("known");
            server.turn();
            server.sent();
        }
        assert_eq!(server.stack.census().flows, 0, "round {round}");
        held.push(ALLOCATOR.held());
    }
    assert!(held[5] <= held[1] + 64 * 1024, "{held:?}");
}
