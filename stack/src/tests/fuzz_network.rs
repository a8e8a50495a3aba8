//! Damaged and invented frames of everything around TCP: UDP, fragments, ICMP, IPv6 with its
//! extension headers, neighbour discovery, multicast. No panic, no storm, nothing unaccounted for.

use super::six::{THEM6, US6, icmpv6};
use super::*;
use crate::{Ipv6Config, UdpId};
use naio_testkit::Udp;
use naio_testkit::packets::{cut, ip};
use std::net::{IpAddr, Ipv6Addr};

const RUNS: u64 = 150;
const BURSTS_PER_RUN: u32 = 250;
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);

struct Chaos {
    random: fastrand::Rng,
    bench: Bench,
    sockets: Vec<UdpId>,
    /// Frames of ours that errors may quote.
    sent: Vec<Vec<u8>>,
}

impl Chaos {
    fn new(seed: u64) -> Chaos {
        let mut bench = Bench::new(|config| {
            config.ipv6 = Some(Ipv6Config {
                addresses: vec![(US6, 64)],
                gateway: None,
                autoconfigure: !seed.is_multiple_of(4),
            });
            config.unresolved_bytes_max = 20_000;
            config.udp_queue_bytes = 3_000;
            config.reassemblies_max = 5;
            config.reassembly_bytes_max = 100_000;
        });
        let sockets = [9, 53].map(|port| bench.stack.udp_bind(port).expect("free")).to_vec();
        bench.stack.join(GROUP.into()).expect("room");
        bench.wait_ms(2_000);
        bench.introduce();
        let socket = bench.stack.socket(SocketOptions::default()).expect("room");
        bench.stack.connect(bench.now(), socket, (THEM6, 80).into()).expect("near");
        Chaos { random: fastrand::Rng::with_seed(seed), bench, sockets, sent: Vec::new() }
    }

    fn bytes(&mut self, max: usize) -> Vec<u8> {
        let random = &mut self.random;
        (0..random.usize(0..max)).map(|_| random.u8(..)).collect()
    }

    fn udp(&mut self) -> Vec<Vec<u8>> {
        let payload = self.bytes(3_000);
        let port = self.random.choice([9, 53, 77]).expect("three");
        let v4 = self.random.bool();
        if !v4 {
            let payload = &payload[..payload.len().min(1_400)];
            return vec![Udp::new((THEM6, 7), (US6, port), payload).ethernet(THEIR_MAC.0, OUR_MAC.0)];
        }
        let to = self.random.choice([US, US, Ipv4Addr::BROADCAST, GROUP]).expect("four");
        let mac = match to {
            US => OUR_MAC.0,
            GROUP => [1, 0, 0x5e, 1, 2, 3],
            _ => [0xff; 6],
        };
        let frame = Udp::new((THEM, 7), (to, port), &payload).ethernet(THEIR_MAC.0, mac);
        let step = self.random.usize(1..180) * 8;
        let id = self.random.u16(0..6);
        let mut pieces = if payload.len() > 1_400 { cut(&frame, step.max(200), id) } else { vec![frame] };
        self.random.shuffle(&mut pieces);
        pieces.truncate(self.random.usize(1..=pieces.len()));
        pieces
    }

    fn fragment6(&mut self) -> Vec<u8> {
        let random = &mut self.random;
        let next = random.choice([17, 58, 6, 0, 60, 44]).expect("some");
        let field = (random.u16(0..400) & !7) | u16::from(random.bool());
        let mut payload = vec![next, 0, (field >> 8) as u8, field as u8, 0, 0, 0, random.u8(0..5)];
        payload.extend(std::iter::repeat_n(7, random.usize(0..20) * 8));
        ip((THEIR_MAC.0, OUR_MAC.0), (THEM6.into(), US6.into()), (44, 64), &payload)
    }

    fn discovery(&mut self) -> Vec<u8> {
        let kind = self.random.choice([130, 133, 134, 134, 134, 135, 136, 137]).expect("some");
        let mut message = vec![kind, 0, 0, 0, self.random.u8(..), 0, 0, self.random.u8(..)];
        let own: Vec<Ipv6Addr> = self.bench.stack.addresses().into_iter().filter_map(six).collect();
        let target = self.random.choice(own).filter(|_| self.random.bool()).unwrap_or(THEM6);
        if kind == 134 {
            message.extend([0; 8]);
        } else {
            message.extend(target.octets());
        }
        for _ in 0..self.random.usize(0..4) {
            match self.random.u32(0..3) {
                0 => {
                    message.extend([self.random.u8(1..3), 1]);
                    message.extend(THEIR_MAC.0);
                }
                1 => {
                    message.extend([3, 4, 64, 0xc0, 0, 0, self.random.u8(..), 1, 0, 0, 0, 1, 0, 0, 0, 0]);
                    let n = self.random.u16(0..20);
                    message.extend(Ipv6Addr::new(0x2001, 0xdb8, n, 0, 0, 0, 0, 0).octets());
                }
                _ => message.extend(self.bytes(12)),
            }
        }
        let router = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, self.random.u16(0..9));
        let source = self.random.choice([THEM6, router, Ipv6Addr::UNSPECIFIED]).expect("three");
        let source = if kind == 134 { router } else { source };
        let (to, destination) =
            if self.random.bool() { (OUR_MAC.0, US6) } else { ([0x33, 0x33, 0, 0, 0, 1], ALL_NODES) };
        let hop_limit = if kind == 130 { 1 } else { 255 };
        icmpv6(to, (source, destination), hop_limit, &message)
    }

    fn error(&mut self) -> Vec<u8> {
        let Some(quoted) = self.random.choice(&self.sent).cloned() else { return vec![] };
        let v4 = quoted[12..14] == [8, 0];
        let kinds = if v4 { [3, 4, 5, 11] } else { [1, 2, 3, 4] };
        let kind = self.random.choice(kinds).expect("four");
        let mut message = vec![kind, self.random.u8(0..16), 0, 0, 0, 0, 0, 0];
        message.extend_from_slice(&quoted[14..self.random.usize(14..=quoted.len().min(200))]);
        if v4 {
            let checksum = !sum::folded(&[&message]);
            message[2..4].copy_from_slice(&checksum.to_be_bytes());
            return ip((THEIR_MAC.0, OUR_MAC.0), (THEM.into(), US.into()), (1, 64), &message);
        }
        icmpv6(OUR_MAC.0, (THEM6, US6), 64, &message)
    }

    fn options6(&mut self) -> Vec<u8> {
        let inner = Udp::new((THEM6, 7), (US6, 9), b"text").ethernet(THEIR_MAC.0, OUR_MAC.0);
        let kinds: Vec<u8> =
            (0..self.random.usize(1..5)).map(|_| self.random.choice([0, 43, 60]).expect("three")).collect();
        let mut payload = Vec::new();
        for n in 0..kinds.len() {
            let next = kinds.get(n + 1).copied().unwrap_or(17);
            let len = if self.random.u32(0..8) == 0 { self.random.u8(..) } else { 0 };
            payload.extend([next, len, self.random.u8(0..4), self.random.u8(0..6), 0, 0, 0, 0]);
        }
        payload.extend_from_slice(&inner[54..]);
        ip((THEIR_MAC.0, OUR_MAC.0), (THEM6.into(), US6.into()), (kinds[0], 64), &payload)
    }

    fn query(&mut self) -> Vec<u8> {
        let mut message = vec![self.random.choice([0x11, 0x16, 0x22]).expect("three"), self.random.u8(..)];
        message.extend(vec![0; self.random.choice([6, 10, 3]).expect("three")]);
        if let Some(field) = message.get_mut(2..4) {
            field.fill(0);
            let checksum = !sum::folded(&[&message]);
            message[2..4].copy_from_slice(&checksum.to_be_bytes());
        }
        let all = Ipv4Addr::new(224, 0, 0, 1);
        ip((THEIR_MAC.0, [1, 0, 0x5e, 0, 0, 1]), (THEM.into(), all.into()), (2, 1), &message)
    }

    fn burst(&mut self) -> Vec<Vec<u8>> {
        let mut burst = Vec::new();
        for _ in 0..self.random.usize(1..4) {
            match self.random.u32(0..8) {
                0 | 1 => burst.extend(self.udp()),
                2 => burst.push(self.fragment6()),
                3 | 4 => burst.push(self.discovery()),
                5 => burst.push(self.error()),
                6 => burst.push(self.options6()),
                _ => burst.push(self.query()),
            }
        }
        burst.truncate(40);
        for frame in &mut burst {
            for _ in 0..self.random.u32(0..12).saturating_sub(8) {
                if !frame.is_empty() {
                    let at = self.random.usize(0..frame.len().min(120));
                    frame[at] = self.random.u8(..);
                }
            }
            if self.random.u32(0..12) == 0 {
                frame.truncate(self.random.usize(0..=frame.len()));
            }
            frame.truncate(1_514);
        }
        burst
    }

    fn act(&mut self) {
        let mut buffer = [0; 2_000];
        let socket = self.random.choice(self.sockets.clone()).expect("two");
        let len = self.random.choice([0, 10, 1_400, 5_000]).expect("some");
        let stack = &mut self.bench.stack;
        let to: IpAddr =
            self.random.choice([THEM.into(), THEM6.into(), GROUP.into(), ALL_NODES.into()]).expect("some");
        match self.random.u32(0..12) {
            0..3 => drop(stack.udp_send(socket, (to, 7).into(), &vec![3; len])),
            3..6 => while stack.udp_recv(socket, &mut buffer).is_some() {},
            6 => while stack.udp_take_error(socket).is_some() {},
            7 => drop(stack.join("ff15::1".parse().expect("a group"))),
            8 => drop(stack.leave("ff15::1".parse().expect("a group"))),
            9 if self.random.u32(0..30) == 0 => {
                let _ = stack.set_address(US, self.random.u8(8..31), Some(THEM));
            }
            10 => drop(stack.multicast_groups()),
            _ => {}
        }
    }

    fn run(&mut self) {
        for _ in 0..BURSTS_PER_RUN {
            self.bench.now_us += self.random.choice([0, 100, 50_000, 1_000_000, 20_000_000]).expect("some");
            let burst = self.burst();
            self.bench.feed_burst(&burst);
            self.act();
            if self.random.bool() {
                let sent = self.bench.frames();
                assert!(sent.len() < 400, "a storm of {} packets", sent.len());
                self.sent.extend(sent.into_iter().filter(|frame| frame.len() > 54));
                self.sent.truncate(50);
            }
        }
        let end = self.bench.now_us + 400_000_000;
        let mut sent = 0;
        while self.bench.now_us < end {
            sent += self.bench.frames().len();
            let next = self.bench.stack.next_deadline().map_or(u64::MAX, Time::as_micros);
            self.bench.now_us = next.clamp(self.bench.now_us + 1, end);
        }
        assert!(sent < 3_000, "a storm of {sent} packets");
    }
}

fn six(address: IpAddr) -> Option<Ipv6Addr> {
    match address {
        IpAddr::V4(_) => None,
        IpAddr::V6(address) => Some(address),
    }
}

#[test]
fn damaged_frames_around_tcp_never_panic() {
    let mut total = crate::Counters::default().by_name();
    for seed in naio_testkit::seeds(40_000, RUNS) {
        let mut chaos = Chaos::new(seed);
        chaos.run();
        for (sum, (_, count)) in total.iter_mut().zip(chaos.bench.stack.counters().by_name()) {
            sum.1 += count;
        }
    }
    // The generator reaches what it is meant to reach.
    for name in [
        "rx_udp",
        "rx_ip_fragment",
        "reassembled",
        "reassembly_overlaps",
        "reassembly_full",
        "rx_ndp",
        "rx_group_query",
        "rx_icmp_error",
        "drop_ip_extension",
        "drop_udp_full",
        "ipv6_refused",
        "tx_fragments",
    ] {
        let count = total.iter().find(|(known, _)| *known == name).map(|(_, count)| *count);
        assert!(count > Some(0) || std::env::var_os("NAIO_SEED").is_some(), "{name}: {count:?}");
    }
}
