//! A stack with connections, fed by hand: frames of the peers are written here, what the stack sends is thrown away.

use naio_dma::{Domain, Page, Pool};
use naio_nic::{Caps, ExtentId, Mac, RxChecksum, RxFrame, TxPacket};
use naio_stack::{Config, ListenerId, RingLen, SocketId, SocketOptions, Stack};
use naio_sys::clock::Time;
use std::net::Ipv4Addr;

const US: [u8; 4] = [10, 0, 0, 1];
const OUR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const THEIR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
const PORT: u16 = 80;
/// Payload of a full segment.
pub(crate) const PAYLOAD: usize = 1_460;
const RING: usize = 32_768;
const TURN_US: u64 = 50;
/// Bytes in front of a segment's payload.
const HEADERS: usize = 54;
const SYN: u8 = 2;
const RST: u8 = 4;
const ACK: u8 = 16;

/// A frame of a peer's.
pub(crate) type Frame = Vec<u8>;

/// The stack and everything around it.
pub(crate) struct Server {
    stack: Stack,
    listener: ListenerId,
    rx_pool: Pool,
    domain: Domain,
    now_us: u64,
    spare: Vec<Page>,
    frames: Vec<RxFrame>,
    packets: Vec<TxPacket>,
    released: Vec<ExtentId>,
    ready: Vec<SocketId>,
    bytes: Vec<u8>,
    /// Our first sequence number in each connection.
    isns: Vec<u32>,
    received: u64,
}

/// A TCP segment of connection `n` of the peers. The card vouches for its checksums.
fn frame(n: u32, flags: u8, (seq, ack): (u32, u32), payload: usize) -> Frame {
    let mut frame = vec![0; HEADERS + payload];
    frame[..6].copy_from_slice(&OUR_MAC);
    frame[6..12].copy_from_slice(&THEIR_MAC);
    frame[12..14].copy_from_slice(&[8, 0]);
    let ip = &mut frame[14..];
    let len = (HEADERS - 14 + payload) as u16;
    ip[0] = 0x45;
    ip[2..4].copy_from_slice(&len.to_be_bytes());
    ip[6] = 0x40;
    ip[8] = 64;
    ip[9] = 6;
    ip[12..16].copy_from_slice(&[10, 0, 0, 2 + (n % 4) as u8]);
    ip[16..20].copy_from_slice(&US);
    let tcp = &mut ip[20..];
    tcp[..2].copy_from_slice(&(1_024 + (n / 4) as u16).to_be_bytes());
    tcp[2..4].copy_from_slice(&PORT.to_be_bytes());
    tcp[4..8].copy_from_slice(&seq.to_be_bytes());
    tcp[8..12].copy_from_slice(&ack.to_be_bytes());
    tcp[12] = 0x50;
    tcp[13] = flags;
    tcp[14..16].copy_from_slice(&u16::MAX.to_be_bytes());
    frame
}

/// An ARP request of host `n`, from which its station address is learnt.
fn arp(n: u8) -> Frame {
    let mut frame = vec![0xff; 6];
    frame.extend(THEIR_MAC);
    frame.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    frame.extend(THEIR_MAC);
    frame.extend([10, 0, 0, n]);
    frame.extend([0; 6]);
    frame.extend(US);
    frame
}

impl Server {
    /// With so many connections established, and room for `more`.
    pub(crate) fn new(connections: u32, more: u32) -> Server {
        let domain = Domain::new();
        let caps = Caps {
            mac: Mac(OUR_MAC),
            model: "none",
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
        let sockets_max = (connections + more) as usize;
        let config = Config { sockets_max, accepted, ..Config::new(Ipv4Addr::from(US), 24) };
        let tx_pool = Pool::new(&domain, 512, 2_048).expect("memory for 512 pages");
        let rx_pool = Pool::new(&domain, 512, 2_048).expect("memory for 512 pages");
        let start = Time::from_micros(1);
        let mut stack = Stack::new(config, &caps, rx_pool.clone(), tx_pool, [5; 16], start)
            .expect("a sane configuration");
        let listener = stack.listen(PORT, 64).expect("a free port");
        let spare = std::iter::from_fn(|| rx_pool.take()).collect();
        let mut server = Server {
            stack,
            listener,
            rx_pool,
            domain,
            now_us: 1_000_000,
            spare,
            frames: Vec::new(),
            packets: Vec::new(),
            released: Vec::new(),
            ready: Vec::new(),
            bytes: vec![0; 4 * PAYLOAD],
            isns: Vec::new(),
            received: 0,
        };
        for host in 2..6 {
            server.feed(&arp(host));
            server.turn();
        }
        for n in 0..connections {
            let (_, isn) = server.open(n);
            server.isns.push(isn);
        }
        server
    }

    /// `segments` full segments, `burst` of them at a time, each burst of the next connection.
    pub(crate) fn bursts(&self, segments: u32, burst: u32) -> Vec<Vec<Frame>> {
        let connections = self.isns.len() as u32;
        let one = |round: u32, place: u32| {
            let n = round % connections;
            let seq = 1 + (round / connections * burst + place) * PAYLOAD as u32;
            frame(n, ACK, (seq, self.isns[n as usize].wrapping_add(1)), PAYLOAD)
        };
        (0..segments / burst).map(|round| (0..burst).map(|place| one(round, place)).collect()).collect()
    }

    /// One burst arrives and is read; the second turn tells the peer that the window is open again.
    pub(crate) fn serve(&mut self, burst: &[Frame]) {
        burst.iter().for_each(|frame| self.feed(frame));
        self.turn();
        self.stack.ready(&mut self.ready);
        while let Some(socket) = self.ready.pop() {
            while let Ok(len @ 1..) = self.stack.recv(socket, &mut self.bytes) {
                self.received += len as u64;
            }
        }
        self.turn();
    }

    /// Bytes that have been read: of every segment, or something was measured that did not work.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// A turn that finds nothing.
    pub(crate) fn idle(&mut self) {
        self.turn();
    }

    /// A connection is opened, reset by its peer and closed. Its number is behind those that are held.
    pub(crate) fn come_and_go(&mut self, n: u32) {
        let n = self.isns.len() as u32 + n;
        let (socket, isn) = self.open(n);
        self.feed(&frame(n, RST | ACK, (1, isn.wrapping_add(1)), 0));
        self.turn();
        // It was there a moment ago.
        let _ = self.stack.close(socket);
        self.turn();
    }

    fn feed(&mut self, bytes: &[u8]) {
        let mut page = self.spare.pop().expect("pages come back with every turn");
        self.rx_pool.bytes_mut(&mut page)[..bytes.len()].copy_from_slice(bytes);
        let len = bytes.len() as u16;
        self.frames.push(RxFrame { page, offset: 0, len, checksum: RxChecksum::Good });
    }

    fn turn(&mut self) {
        self.now_us += TURN_US;
        let now = Time::from_micros(self.now_us);
        self.released
            .extend(self.packets.iter().flat_map(|packet| packet.fragments.iter().map(|f| f.extent)));
        self.packets.clear();
        self.stack.release(&mut self.released);
        if !self.frames.is_empty() {
            self.stack.ingest(now, &mut self.frames);
            self.stack.spare(&mut self.spare);
        }
        self.stack.expire(now);
        self.stack.egress(now, 256, &mut self.packets);
    }

    fn open(&mut self, n: u32) -> (SocketId, u32) {
        self.feed(&frame(n, SYN, (0, 0), 0));
        self.turn();
        let isn = self.answer();
        self.feed(&frame(n, ACK, (1, isn.wrapping_add(1)), 0));
        self.turn();
        (self.stack.accept(self.listener).expect("the handshake is complete"), isn)
    }

    /// The sequence number of what has just left: the answer to a SYN.
    fn answer(&self) -> u32 {
        let packet = self.packets.last().expect("a SYN is answered");
        let mut bytes = packet.header.to_vec();
        for fragment in &packet.fragments {
            let start = bytes.len();
            bytes.resize(start + fragment.slice.len() as usize, 0);
            self.domain
                .bus()
                .read(fragment.slice.iova().as_u64(), &mut bytes[start..])
                .expect("our own page");
        }
        u32::from_be_bytes([bytes[38], bytes[39], bytes[40], bytes[41]])
    }
}
