//! smoltcp as it comes: one socket over rings of its own, to hold the stack against.
//!
//! Receives the segments that the stack receives, one by one, and hands on what smoltcp answers.

use super::{PORT, THEM, US};
use crate::SocketOptions;
use naio_testkit::Segment;
use smoltcp::iface::{Config, Interface, PollResult, SocketHandle, SocketSet};
use smoltcp::phy::{ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp::{Socket, SocketBuffer};
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};
use std::collections::VecDeque;

/// Where our end of the connection is.
const OUR_PORT: u16 = 40_000;

#[derive(Default)]
struct Line {
    received: VecDeque<Vec<u8>>,
    sent: Vec<Vec<u8>>,
}

struct Arrival(Vec<u8>);

impl RxToken for Arrival {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

struct Departure<'a>(&'a mut Vec<Vec<u8>>);

impl TxToken for Departure<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, len: usize, write: F) -> R {
        let mut packet = vec![0; len];
        let result = write(&mut packet);
        self.0.push(packet);
        result
    }
}

impl Device for Line {
    type RxToken<'a> = Arrival;
    type TxToken<'a> = Departure<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Arrival, Departure<'_>)> {
        Some((Arrival(self.received.pop_front()?), Departure(&mut self.sent)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Departure<'_>> {
        Some(Departure(&mut self.sent))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut caps = DeviceCapabilities::default();
        caps.medium = Medium::Ip;
        caps.max_transmission_unit = 1500;
        caps.checksum = ChecksumCapabilities::ignored();
        caps
    }
}

/// An established connection of plain smoltcp.
pub(super) struct Plain {
    iface: Interface,
    set: SocketSet<'static>,
    socket: SocketHandle,
    line: Line,
    now_us: u64,
    /// Our next sequence number, as far as the peer has seen.
    pub(super) ack: u32,
    /// The peer's next one.
    pub(super) seq: u32,
}

impl Plain {
    /// `syn` makes the peer's SYN of a bare segment.
    pub(super) fn connected(
        now_us: u64,
        options: SocketOptions,
        isn: u32,
        syn: impl Fn(Segment) -> Segment,
    ) -> Plain {
        let mut line = Line::default();
        let mut iface = Interface::new(Config::new(HardwareAddress::Ip), &mut line, Instant::ZERO);
        iface.update_ip_addrs(|list| list.push(IpCidr::new(IpAddress::from(US), 24)).expect("room"));
        let ring = |len: usize| SocketBuffer::new(vec![0; len]);
        let mut socket = Socket::new(ring(options.rx_ring.bytes()), ring(options.tx_ring.bytes()));
        socket.set_ack_delay(None);
        socket.set_nagle_enabled(!options.tcp.nodelay);
        socket.connect(iface.context(), (THEM, PORT), OUR_PORT).expect("a good address");
        let mut set = SocketSet::new(Vec::new());
        let socket = set.add(socket);
        let mut plain = Plain { iface, set, socket, line, now_us, ack: 0, seq: isn.wrapping_add(1) };
        let ours = plain.egress().pop().expect("a SYN");
        plain.ack = ours.seq.wrapping_add(1);
        plain.feed(&syn(plain.segment().seq(isn)));
        assert_eq!(plain.egress().len(), 1, "the handshake's last acknowledgment");
        plain
    }

    /// A pure acknowledgment from the peer; build on it.
    pub(super) fn segment(&self) -> Segment {
        Segment::new(THEM.octets(), PORT, US.octets(), OUR_PORT).seq(self.seq).ack(self.ack)
    }

    pub(super) fn feed(&mut self, segment: &Segment) {
        self.line.received.push_back(segment.ethernet([2; 6], [4; 6])[14..].to_vec());
        let now = Instant::from_micros(self.now_us as i64);
        let _ = self.iface.poll_ingress_single(now, &mut self.line, &mut self.set);
    }

    /// What has been answered, and what else wants to leave.
    pub(super) fn egress(&mut self) -> Vec<Segment> {
        let now = Instant::from_micros(self.now_us as i64);
        while self.iface.poll_egress(now, &mut self.line, &mut self.set) != PollResult::None {}
        let framed = |packet: Vec<u8>| [&[0; 12], &[8, 0][..], &packet].concat();
        let sent = std::mem::take(&mut self.line.sent);
        sent.into_iter().filter_map(|packet| Segment::parse(&framed(packet))).collect()
    }

    pub(super) fn wait_us(&mut self, us: u64) {
        self.now_us += us;
    }

    pub(super) fn recv(&mut self, most: usize) -> Vec<u8> {
        let mut bytes = vec![0; most];
        let len = self.set.get_mut::<Socket<'_>>(self.socket).recv_slice(&mut bytes).unwrap_or(0);
        bytes.truncate(len);
        bytes
    }

    pub(super) fn send(&mut self, bytes: &[u8]) -> usize {
        self.set.get_mut::<Socket<'_>>(self.socket).send_slice(bytes).expect("connected")
    }
}
