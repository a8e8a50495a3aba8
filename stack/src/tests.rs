//! A stack on a test bench: one peer, played by the test frame by frame, in virtual time. The tests
//! of the walks between the rooms are in the files below.

mod acknowledging;
mod afterlife;
mod closing;
mod conformance;
mod data_only;
mod datagrams;
mod differential;
mod forged;
mod fuzz;
mod fuzz_network;
mod holding;
mod last_ack;
mod opening;
mod plain;
mod recovery;
mod silence;
mod six;
mod slow_start;
mod strangers;

use crate::{Config, Phase, SocketId, SocketOptions, SocketStatus, Stack};
use naio_dma::{Domain, Page, Pool};
use naio_nic::{Caps, Mac, RxChecksum, RxFrame, TxPacket};
use naio_sys::clock::Time;
use naio_testkit::segment::arp;
use naio_testkit::{Segment, sum};
use std::net::{Ipv4Addr, SocketAddr};

pub(crate) const US: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
pub(crate) const THEM: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
pub(crate) const OUR_MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
pub(crate) const THEIR_MAC: Mac = Mac([2, 0, 0, 0, 0, 2]);
pub(crate) const PORT: u16 = 80;
const RX_PAGES: u32 = 128;
pub(crate) const PEER_ISN: u32 = 0xffff_f000;

/// The stack, and what its card would hold.
pub(crate) struct Bench {
    pub(crate) stack: Stack,
    pub(crate) now_us: u64,
    domain: Domain,
    rx_pool: Pool,
    spare: Vec<Page>,
    /// The peer answers ARP requests.
    is_there: bool,
    /// What the card says of each frame that arrives.
    checksum: RxChecksum,
}

impl Bench {
    pub(crate) fn new(tune: impl FnOnce(&mut Config)) -> Bench {
        let domain = Domain::new();
        let caps = Caps {
            mac: OUR_MAC,
            model: "bench",
            mtu: 1500,
            tx_checksum_ipv4: false,
            tx_checksum_ipv6: false,
            tx_fragments: 4,
            tx_segmentation_ipv4: naio_nic::Segmentation::None,
            tx_segmentation_ipv6: naio_nic::Segmentation::None,
            rx_ring: 8,
            tx_ring: 8,
        };
        let mut config = Config::new(US, 24);
        tune(&mut config);
        let tx_pool = Pool::new(&domain, 64, 2048).expect("memory");
        let rx_pool = Pool::new(&domain, RX_PAGES, 2048).expect("memory");
        let now_us = 1_000_000;
        let stack = Stack::new(config, &caps, rx_pool.clone(), tx_pool, [7; 16], Time::from_micros(now_us))
            .expect("good");
        let spare = std::iter::from_fn(|| rx_pool.take()).collect();
        Bench { stack, now_us, domain, rx_pool, spare, is_there: false, checksum: RxChecksum::Unknown }
    }

    pub(crate) fn now(&self) -> Time {
        Time::from_micros(self.now_us)
    }

    /// A frame arrives.
    pub(crate) fn feed_frame(&mut self, bytes: &[u8]) {
        self.feed_burst(&[bytes.to_vec()]);
    }

    /// Frames arrive together.
    pub(crate) fn feed_burst(&mut self, burst: &[Vec<u8>]) {
        self.stack.spare(&mut self.spare);
        let mut frames = Vec::new();
        for bytes in burst {
            let mut page = self.spare.pop().expect("every page comes back");
            self.rx_pool.bytes_mut(&mut page)[..bytes.len()].copy_from_slice(bytes);
            let len = bytes.len() as u16;
            frames.push(RxFrame { page, offset: 0, len, checksum: self.checksum });
        }
        let now = self.now();
        self.stack.ingest(now, &mut frames);
        self.stack.spare(&mut self.spare);
        let pages = self.spare.len() + self.stack.census().held_pages + self.stack.census().lent_rx_pages;
        assert_eq!((frames.len(), pages), (0, RX_PAGES as usize), "no page is lost");
        let counters = self.stack.counters();
        assert_eq!(counters.frames, counters.accounted(), "a frame is unaccounted for: {counters:#?}");
    }

    /// A segment arrives from the peer's station.
    pub(crate) fn feed(&mut self, segment: &Segment) {
        self.feed_frame(&segment.ethernet(THEIR_MAC.0, OUR_MAC.0));
    }

    /// The peer asks for our station address, so that its own is known.
    pub(crate) fn introduce(&mut self) {
        self.is_there = true;
        self.feed_frame(&arp([0xff; 6], 1, (THEIR_MAC.0, THEM.octets()), ([0; 6], US.octets())));
        assert_eq!(self.frames().len(), 1, "an ARP reply");
    }

    /// Packets that leave now, at most `room`; the card is done with them at once.
    pub(crate) fn packets(&mut self, room: usize) -> Vec<TxPacket> {
        let mut packets = Vec::new();
        let now = self.now();
        self.stack.expire(now);
        self.stack.egress(now, room, &mut packets);
        packets
    }

    /// Frames that leave now.
    pub(crate) fn frames(&mut self) -> Vec<Vec<u8>> {
        let packets = self.packets(1_000);
        let mut released = Vec::new();
        let mut frames = Vec::new();
        for packet in packets {
            let mut frame = packet.header.to_vec();
            for fragment in &packet.fragments {
                let start = frame.len();
                frame.resize(start + fragment.slice.len() as usize, 0);
                let iova = fragment.slice.iova().as_u64();
                self.domain.bus().read(iova, &mut frame[start..]).expect("mapped");
                released.push(fragment.extent);
            }
            assert!(sum::frame_is_right(&frame), "a checksum is wrong: {frame:02x?}");
            frames.push(frame);
        }
        self.stack.release(&mut released);
        assert!(released.is_empty());
        frames
    }

    /// The peer's answer to whoever asks for it.
    pub(crate) fn answer_arp(&mut self) {
        self.feed_frame(&arp(OUR_MAC.0, 2, (THEIR_MAC.0, THEM.octets()), (OUR_MAC.0, US.octets())));
    }

    /// Segments that leave now. Frames of another kind are forgotten, but ARP requests answered.
    pub(crate) fn segments(&mut self) -> Vec<Segment> {
        let frames = self.frames();
        if self.is_there && frames.iter().any(|f| f[12..14] == [8, 6] && f[38..42] == THEM.octets()) {
            self.answer_arp();
        }
        frames.iter().filter_map(|frame| Segment::parse(frame)).collect()
    }

    /// Virtual time passes, in steps at which the stack has something to do; what leaves meanwhile.
    pub(crate) fn wait_ms(&mut self, ms: u64) -> Vec<Segment> {
        let end = self.now_us + ms * 1_000;
        let mut segments = Vec::new();
        for _ in 0..100_000 {
            segments.extend(self.segments());
            let next = self.stack.next_deadline().map_or(u64::MAX, Time::as_micros);
            if self.now_us >= end {
                return segments;
            }
            self.now_us = next.clamp(self.now_us + 1, end);
        }
        panic!("the stack never comes to rest");
    }

    pub(crate) fn status(&self, socket: SocketId) -> SocketStatus {
        self.stack.status(socket).expect("a name that is not stale")
    }

    /// A socket that tries to reach the peer; its SYN.
    pub(crate) fn connecting(&mut self, options: SocketOptions) -> (SocketId, Segment) {
        self.introduce();
        let socket = self.stack.socket(options).expect("room");
        let remote = SocketAddr::new(THEM.into(), PORT);
        self.stack.connect(self.now(), socket, remote).expect("a good address");
        let syn = self.segments().pop().expect("a SYN");
        assert!(syn.flags.syn && !syn.flags.ack);
        (socket, syn)
    }

    /// An established connection, as the peer sees it.
    pub(crate) fn connected(&mut self, options: SocketOptions) -> Peer {
        let (socket, syn) = self.connecting(options);
        let peer = Peer {
            socket,
            port: syn.source_port,
            seq: PEER_ISN.wrapping_add(1),
            ack: syn.seq.wrapping_add(1),
        };
        self.feed(&peer.segment().seq(PEER_ISN).syn(1460, Some(7)));
        let acks = self.segments();
        assert_eq!(acks.len(), 1);
        assert_eq!((acks[0].ack, acks[0].seq), (peer.seq, peer.ack));
        assert_eq!(self.status(socket).phase, Phase::Established);
        peer
    }
}

/// The peer's side of a connection.
#[derive(Clone, Copy)]
pub(crate) struct Peer {
    pub(crate) socket: SocketId,
    pub(crate) port: u16,
    /// The peer's next sequence number.
    pub(crate) seq: u32,
    /// Our next sequence number, as far as it has seen.
    pub(crate) ack: u32,
}

impl Peer {
    /// A pure acknowledgment from the peer; build on it.
    pub(crate) fn segment(&self) -> Segment {
        Segment::new(THEM.octets(), PORT, US.octets(), self.port).seq(self.seq).ack(self.ack)
    }
}

#[test]
fn a_stack_may_move_between_threads() {
    fn is_send<T: Send>() {}
    is_send::<Stack>();
}

#[test]
fn at_rest_it_has_nothing_to_do() {
    let mut bench = Bench::new(|_| {});
    assert_eq!(bench.stack.next_deadline(), None);
    let peer = bench.connected(SocketOptions::default());
    assert!(bench.wait_ms(3_600_000).is_empty());
    assert_eq!(bench.status(peer.socket).phase, Phase::Established);
    assert_eq!(bench.stack.next_deadline(), None);
}

#[test]
fn egress_keeps_to_its_room_and_takes_up_where_it_stopped() {
    let mut bench = Bench::new(|_| {});
    let peer = bench.connected(SocketOptions::default());
    bench.stack.send(peer.socket, &[1; 2_000]).expect("connected");
    assert!(bench.packets(0).is_empty());
    let first = bench.packets(1);
    let second = bench.packets(1);
    assert_eq!((first.len(), second.len()), (1, 1));
    assert_eq!(first[0].len() + second[0].len(), 2_000 + 2 * 54);
    assert!(bench.packets(9).is_empty());
}
