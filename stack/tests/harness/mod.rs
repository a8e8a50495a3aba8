//! Two stacks on a wire in virtual time, and transfers between them whose every byte is checked.

#![allow(dead_code, unreachable_pub, reason = "each test program uses its own part of this module")]

use naio_dma::{Domain, Page, Pool};
use naio_nic::{ExtentId, Nic, RxFrame, TxPacket};
use naio_stack::{Config, Phase, RecvError, SendError, SocketId, SocketOptions, Stack};
use naio_sys::clock::Time;
use naio_testkit::{ManualClock, Wire, WireNic, WireOptions};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// Frames taken from the card at once.
const BURST: usize = 64;

/// One stack and its card.
pub struct Host {
    pub stack: Stack,
    pub nic: WireNic,
    frames: Vec<RxFrame>,
    spare: Vec<Page>,
    packets: Vec<TxPacket>,
    released: Vec<ExtentId>,
}

impl Host {
    fn new(domain: &Domain, nic: WireNic, config: Config, tx_pages: u32) -> Host {
        let pool = Pool::new(domain, tx_pages, 2048).expect("memory");
        let secret = [config.address.octets()[3]; 16];
        let stack = Stack::new(config, nic.caps(), nic.rx_pool().clone(), pool, secret, Time::ZERO)
            .expect("a good configuration");
        Host { stack, nic, frames: vec![], spare: vec![], packets: vec![], released: vec![] }
    }

    fn turn(&mut self, now: Time) {
        self.nic.reap_tx(&mut self.released);
        self.stack.release(&mut self.released);
        self.nic.reap_rx(&mut self.frames, BURST);
        self.stack.ingest(now, &mut self.frames);
        assert!(self.frames.is_empty());
        self.stack.expire(now);
        let counters = self.stack.counters();
        assert_eq!(counters.frames, counters.accounted(), "a frame is unaccounted for: {counters:#?}");
    }

    fn flush(&mut self, now: Time) {
        let room = self.nic.tx_room() - self.packets.len();
        let before = self.packets.len();
        self.stack.egress(now, room, &mut self.packets);
        assert!(self.packets.len() <= before + room, "egress keeps to its room");
        self.stack.spare(&mut self.spare);
        self.nic.post_rx(&mut self.spare);
        self.nic.post_tx(&mut self.packets);
        self.nic.ring();
        self.nic.transmit();
    }
}

/// Two hosts, 10.0.0.1 and 10.0.0.2, and the wire between them.
pub struct World {
    pub hosts: [Host; 2],
    pub wire: Wire,
    pub clock: ManualClock,
}

pub const A: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
pub const B: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
pub const PORT: u16 = 5001;

impl World {
    pub fn new(options: &WireOptions, tx_pages: u32) -> World {
        World::with(options, tx_pages, |_| {})
    }

    pub fn with(options: &WireOptions, tx_pages: u32, tune: impl Fn(&mut Config)) -> World {
        let domains = [Domain::new(), Domain::new()];
        let (a, b, wire) = Wire::pair(&domains[0], &domains[1], options);
        let host = |domain: &Domain, nic, address| {
            let mut config = Config::new(address, 24);
            tune(&mut config);
            Host::new(domain, nic, config, tx_pages)
        };
        let hosts = [host(&domains[0], a, A), host(&domains[1], b, B)];
        World { hosts, wire, clock: ManualClock::at(1_000_000) }
    }

    pub fn now(&self) -> Time {
        Time::from_micros(self.clock.micros())
    }

    /// One turn of both hosts, `act` in the middle, then time moves to the next event. False if
    /// nothing will ever happen by itself.
    pub fn step(&mut self, mut act: impl FnMut(&mut [Host; 2], Time)) -> bool {
        self.wire.advance_to(self.clock.micros());
        let now = self.now();
        for host in &mut self.hosts {
            host.turn(now);
        }
        act(&mut self.hosts, now);
        for host in &mut self.hosts {
            host.flush(now);
        }
        let deadlines = self.hosts.iter().filter_map(|h| h.stack.next_deadline()).map(Time::as_micros);
        let next = deadlines.chain(self.wire.next_arrival_us()).min();
        self.clock.advance_to(next.unwrap_or(0).max(self.clock.micros() + 1));
        next.is_some()
    }

    /// Steps until `done`, at most `seconds` of virtual time.
    pub fn run_until(&mut self, seconds: u64, mut done: impl FnMut(&mut [Host; 2]) -> bool) -> bool {
        let end = self.clock.micros() + seconds * 1_000_000;
        while self.clock.micros() < end {
            let mut finished = false;
            let more = self.step(|hosts, _| finished = done(hosts));
            if finished {
                return true;
            }
            if !more {
                return false;
            }
        }
        false
    }

    /// Connects the first host to the second.
    pub fn connect(&mut self, options: SocketOptions) -> (SocketId, SocketId) {
        self.connect_to(B.into(), options)
    }

    /// The same, by an address of the second host.
    pub fn connect_to(&mut self, address: IpAddr, options: SocketOptions) -> (SocketId, SocketId) {
        let listener = self.hosts[1].stack.listen(PORT, 8).expect("a free port");
        let client = self.hosts[0].stack.socket(options).expect("room");
        let now = self.now();
        self.hosts[0].stack.connect(now, client, SocketAddr::new(address, PORT)).expect("an address");
        let mut server = None;
        let connected = self.run_until(120, |hosts| {
            server = server.or_else(|| hosts[1].stack.accept(listener));
            let status = hosts[0].stack.status(client).expect("ours");
            assert_eq!(status.failure, None);
            server.is_some() && status.phase == Phase::Established
        });
        assert!(connected, "no connection: {:?}", self.hosts[0].stack.status(client));
        self.hosts[1].stack.close_listener(listener).expect("open");
        (client, server.expect("accepted"))
    }
}

/// Byte `n` of a stream.
pub fn pattern(n: u64, salt: u8) -> u8 {
    ((n.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8) ^ salt
}

/// One direction of a transfer.
pub struct Stream {
    pub len: u64,
    pub sent: u64,
    pub received: u64,
    pub finished: bool,
    salt: u8,
    shut: bool,
    buffer: Vec<u8>,
}

impl Stream {
    pub fn new(len: u64, salt: u8) -> Stream {
        Stream { len, sent: 0, received: 0, finished: false, salt, shut: false, buffer: vec![0; 16 * 1024] }
    }

    /// Sends what fits, then the end.
    pub fn pump(&mut self, stack: &mut Stack, socket: SocketId) {
        while self.sent < self.len {
            let count = (self.len - self.sent).min(self.buffer.len() as u64) as usize;
            for (n, byte) in self.buffer[..count].iter_mut().enumerate() {
                *byte = pattern(self.sent + n as u64, self.salt);
            }
            match stack.send(socket, &self.buffer[..count]) {
                Ok(0) => return,
                Ok(taken) => self.sent += taken as u64,
                Err(SendError::Stale | SendError::NotConnected) => return,
                Err(error) => panic!("after {} bytes: {error}", self.sent),
            }
        }
        if !self.shut {
            stack.shutdown(socket).expect("connected");
            self.shut = true;
        }
    }

    /// Receives at most `most` bytes and checks each.
    pub fn drain(&mut self, stack: &mut Stack, socket: SocketId, most: usize) {
        let mut left = most;
        while left > 0 && !self.finished {
            let count = left.min(self.buffer.len());
            match stack.recv(socket, &mut self.buffer[..count]) {
                Ok(0) => return,
                Ok(taken) => {
                    for &byte in &self.buffer[..taken] {
                        assert_eq!(byte, pattern(self.received, self.salt), "byte {}", self.received);
                        self.received += 1;
                    }
                    left -= taken;
                }
                Err(RecvError::Finished) => self.finished = true,
                Err(error) => panic!("after {} bytes: {error}", self.received),
            }
        }
        assert!(self.received <= self.len);
        assert!(!self.finished || self.received == self.len, "the end came after {}", self.received);
    }
}
