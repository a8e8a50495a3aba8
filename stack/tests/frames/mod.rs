//! The whole stack through its public face, between a peer, users, a card and a clock that do what a script of bytes
//! says: shared by the test beside it and by the fuzz target `stack_frames`.
//!
//! Whatever the bytes are, nothing panics, inside smoltcp neither; each frame is accounted for, each page comes back,
//! what is held stays within its limits, time gets on, streams have no gap, and once everybody has gone nothing is
//! left.

mod craft;
mod script;
mod segments;
mod users;

use craft::{OUR_MAC, Peer, THEIR_MAC, THEM, US, US6};
use naio_dma::{Domain, Page, Pool};
use naio_nic::{Caps, ExtentId, Mac, RxChecksum, RxFrame, TxPacket};
use naio_stack::{Config, Counters, Ipv6Config, Stack};
use naio_sys::clock::Time;
use naio_testkit::segment::arp;
use naio_testkit::sum;
use script::Script;
use std::net::IpAddr;
use users::Users;

const RX_PAGES: u32 = 32;
/// Most steps of one run.
const STEPS_MAX: usize = 600;
/// Room in the card when there is plenty.
const ROOM: usize = 256;
/// Packets that one turn may make: nobody may make us a storm.
const PACKETS_MAX: usize = 400;
/// How long it may take, in virtual time, until everything that was closed is gone: lingering, then TIME-WAIT.
const REST_US: u64 = 400_000_000;
/// Turns that this may take: some for each retransmission of each connection, and none in a tight loop.
const TURNS_MAX: usize = 30_000;
/// More than waits for neighbours can be in packets: `unresolved_bytes_max` times four, in the smallest packets.
const WAITING_MAX: usize = 4 * UNRESOLVED_BYTES / 28;
const UNRESOLVED_BYTES: usize = 20_000;

/// How far a script came.
#[derive(Clone, Debug, Default)]
pub(crate) struct Outcome {
    pub(crate) counters: Counters,
    /// Bytes received over TCP.
    pub(crate) received: u64,
    /// Datagrams received.
    pub(crate) datagrams: u64,
    /// Packets sent.
    pub(crate) sent: u64,
}

struct Run<'a> {
    script: Script<'a>,
    stack: Stack,
    users: Users,
    peer: Peer,
    /// The peer answers questions for its station address.
    is_there: bool,
    now_us: u64,
    config: Config,
    domain: Domain,
    rx_pool: Pool,
    spare: Vec<Page>,
    burst: Vec<Vec<u8>>,
    /// What the card has not given back yet.
    lent: Vec<ExtentId>,
    sent: u64,
}

/// Plays a script. Panics where the stack did what it must not do.
pub(crate) fn play(bytes: &[u8]) -> Outcome {
    let mut run = Run::new(Script::new(bytes));
    for _ in 0..STEPS_MAX {
        if run.script.is_over() {
            break;
        }
        run.step();
    }
    run.end()
}

fn limits(script: &mut Script<'_>) -> Config {
    let mut config = Config::new(US, 24);
    config.gateway = Some(THEM);
    let shape = script.byte();
    config.ipv6 = (shape & 1 == 0).then(|| Ipv6Config {
        addresses: vec![(US6, 64)],
        gateway: None,
        autoconfigure: shape & 2 != 0,
    });
    config.sockets_max = 16;
    config.listeners_max = 3;
    config.udp_sockets_max = 6;
    config.udp_queue_bytes = 4_000;
    config.udp_packets_max = 16;
    config.unresolved_bytes_max = UNRESOLVED_BYTES;
    config.dns_servers = vec![THEM.into()];
    config.dns_queries_max = 3;
    config.groups_max = 4;
    config.reassemblies_max = 4;
    config.reassembly_bytes_max = 40_000;
    config.time_waits_max = 6;
    config.neighbors_max = 8;
    config.replies_max = 16;
    config.egress_per_visit = if shape & 4 == 0 { 16 } else { 2 };
    config.accepted = users::socket_options(script);
    config
}

impl<'a> Run<'a> {
    fn new(mut script: Script<'a>) -> Run<'a> {
        let domain = Domain::new();
        let caps = Caps {
            mac: Mac(OUR_MAC),
            model: "frames",
            mtu: 1500,
            tx_checksum_ipv4: false,
            tx_checksum_ipv6: false,
            tx_fragments: 4,
            tx_segmentation_ipv4: naio_nic::Segmentation::None,
            tx_segmentation_ipv6: naio_nic::Segmentation::None,
            rx_ring: 8,
            tx_ring: 8,
        };
        let config = limits(&mut script);
        let tx_pages = script.choice(&[64, 16, 4, 1]);
        let tx_pool = Pool::new(&domain, tx_pages, 2048).expect("memory");
        let rx_pool = Pool::new(&domain, RX_PAGES, 2048).expect("memory");
        let spare = std::iter::from_fn(|| rx_pool.take()).collect();
        let now_us = 1_000_000;
        let now = Time::from_micros(now_us);
        let mut stack =
            Stack::new(config.clone(), &caps, rx_pool.clone(), tx_pool, [7; 16], now).expect("good");
        let users = Users::new(&mut stack);
        let is_there = script.byte() & 7 != 7;
        let mut run = Run {
            script,
            stack,
            users,
            peer: Peer::default(),
            is_there,
            now_us,
            config,
            domain,
            rx_pool,
            spare,
            burst: Vec::new(),
            lent: Vec::new(),
            sent: 0,
        };
        run.pass(3_000_000);
        run.peer.ours = run.stack.addresses().into_iter().filter_map(six).collect();
        run.burst.push(arp([0xff; 6], 1, (THEIR_MAC, THEM.octets()), ([0; 6], US.octets())));
        run.ingest();
        run.turn(ROOM);
        run
    }

    fn step(&mut self) {
        let verb = self.script.byte();
        let script = &mut self.script;
        let frames = match verb & 31 {
            0..=9 => vec![self.peer.segment(script)],
            10 | 11 => vec![self.peer.opening(script)],
            12 => self.peer.datagram(script),
            13 => vec![self.peer.fragment(script)],
            14 => vec![self.peer.address_resolution(script)],
            15 => vec![self.peer.discovery(script)],
            16 => vec![self.peer.message(script)],
            17 => {
                let len = script.below(200);
                vec![script.some(len).to_vec()]
            }
            18..=21 => {
                let now = Time::from_micros(self.now_us);
                self.users.act(&mut self.stack, now, script);
                vec![]
            }
            22 | 23 => {
                self.users.around(&mut self.stack, script);
                vec![]
            }
            24..=26 => {
                self.turn(ROOM);
                vec![]
            }
            27 => {
                let room = script.below(4);
                self.turn(room);
                vec![]
            }
            _ => {
                let us = script.choice(&[1_000, 50_000, 1_000_000, 30_000_000, 0]);
                self.ingest();
                if verb & 0x20 == 0 {
                    self.pass(us);
                } else {
                    // The card stands still, or nobody looks.
                    self.now_us += us;
                }
                vec![]
            }
        };
        let room = RX_PAGES as usize - self.burst.len();
        self.burst.extend(frames.into_iter().filter(|frame| frame.len() <= 2_048).take(room));
        if verb & 0x80 != 0 && verb & 31 < 18 {
            self.damage();
        }
        if verb & 0x40 == 0 || self.burst.len() == RX_PAGES as usize {
            self.ingest();
        }
        self.inspect();
    }

    /// Damages the last frame, and makes its checksums right again or not.
    fn damage(&mut self) {
        let Some(frame) = self.burst.last_mut().filter(|frame| !frame.is_empty()) else { return };
        self.users.tainted = true;
        let how = self.script.byte();
        for _ in 0..=how & 3 {
            let at = self.script.below(frame.len().min(100));
            frame[at] ^= self.script.byte();
        }
        if how & 4 != 0 {
            frame.truncate(self.script.below(frame.len()));
        }
        if how & 8 == 0 {
            craft::repair(frame);
        }
    }

    /// What has arrived goes in.
    fn ingest(&mut self) {
        self.stack.spare(&mut self.spare);
        let mut frames = Vec::new();
        for bytes in self.burst.drain(..) {
            // Others are with users who do not read, until the next egress; a driver drops the frame as well.
            let Some(mut page) = self.spare.pop() else { break };
            self.rx_pool.bytes_mut(&mut page)[..bytes.len()].copy_from_slice(&bytes);
            let len = bytes.len() as u16;
            frames.push(RxFrame { page, offset: 0, len, checksum: RxChecksum::Unknown });
        }
        let now = Time::from_micros(self.now_us);
        self.stack.ingest(now, &mut frames);
        self.stack.spare(&mut self.spare);
        let kept = self.stack.census().held_pages;
        assert_eq!((frames.len(), self.spare.len() + kept), (0, RX_PAGES as usize), "no page is lost");
    }

    /// One turn with this much room in the card, which gives back what it had before.
    fn turn(&mut self, room: usize) {
        self.stack.release(&mut self.lent);
        let now = Time::from_micros(self.now_us);
        self.stack.expire(now);
        let mut packets = Vec::new();
        self.stack.egress(now, room, &mut packets);
        assert!(packets.len() <= room.min(PACKETS_MAX), "{} packets, room for {room}", packets.len());
        self.sent += packets.len() as u64;
        for packet in packets {
            let frame = self.frame(&packet);
            assert!(sum::frame_is_right(&frame), "a checksum is wrong: {frame:02x?}");
            let answer = self.peer.hear(&frame, self.is_there);
            self.burst.extend(answer.filter(|_| self.burst.len() < RX_PAGES as usize));
        }
        if !self.burst.is_empty() {
            self.ingest();
        }
    }

    fn frame(&mut self, packet: &TxPacket) -> Vec<u8> {
        let mut frame = packet.header.to_vec();
        for fragment in &packet.fragments {
            let start = frame.len();
            frame.resize(start + fragment.slice.len() as usize, 0);
            self.domain.bus().read(fragment.slice.iova().as_u64(), &mut frame[start..]).expect("mapped");
            self.lent.push(fragment.extent);
        }
        frame
    }

    /// Time passes, in steps at which the stack has something to do.
    fn pass(&mut self, us: u64) {
        let end = self.now_us + us;
        for _ in 0..TURNS_MAX {
            self.turn(ROOM);
            if self.now_us >= end {
                return;
            }
            let next = self.stack.next_deadline().map_or(u64::MAX, Time::as_micros);
            self.now_us = next.clamp(self.now_us + 1, end);
        }
        let left = end - self.now_us;
        panic!("after {TURNS_MAX} turns {left} us are left: {:?}", self.stack.census());
    }

    fn inspect(&self) {
        let (counters, census, config) = (self.stack.counters(), self.stack.census(), &self.config);
        assert_eq!(counters.frames, counters.accounted(), "a frame is unaccounted for: {counters:#?}");
        let bugs = (counters.flows_broken, counters.tx_too_long, counters.tx_strange_extent);
        assert_eq!(counters.stream_missing, 0, "bytes that were accepted are not there");
        assert_eq!(bugs, (0, 0, 0), "smoltcp panicked, a packet was too long, an extent strange");
        assert_eq!(census.keys, census.bound_flows, "{census:?}");
        assert!(census.bound_flows <= census.flows && census.timers <= census.flows, "{census:?}");
        let within = census.flows <= config.sockets_max
            && census.tombstones <= config.time_waits_max
            && census.listeners <= config.listeners_max
            && census.udp_sockets <= config.udp_sockets_max
            && census.reassemblies <= config.reassemblies_max
            && census.groups <= config.groups_max
            && census.waiting_packets <= config.replies_max + config.udp_packets_max + 50 + WAITING_MAX;
        assert!(within, "a limit is exceeded: {census:?}");
    }

    /// Everybody goes, and everything comes to rest.
    fn end(mut self) -> Outcome {
        self.ingest();
        self.pass(1_000_000);
        self.users.leave(&mut self.stack);
        self.pass(REST_US);
        self.turn(ROOM);
        self.stack.release(&mut self.lent);
        self.inspect();
        let census = self.stack.census();
        let left = (census.flows, census.keys, census.timers, census.listeners, census.reassemblies);
        assert_eq!(left, (0, 0, 0, 0, 0), "something is left: {census:?}");
        assert_eq!(census.udp_sockets, 0, "{census:?}");
        Outcome {
            counters: *self.stack.counters(),
            received: self.users.received,
            datagrams: self.users.datagrams,
            sent: self.sent,
        }
    }
}

fn six(address: IpAddr) -> Option<std::net::Ipv6Addr> {
    match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => Some(address),
    }
}
