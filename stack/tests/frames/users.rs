//! What users do with the stack meanwhile.

use super::craft::{GROUP, THEM, THEM6, US};
use super::script::Script;
use naio_stack::{
    Congestion, ListenerId, Lookup, QueryId, RecvError, RingLen, SocketId, SocketOptions, Stack, TcpOptions,
    UdpId,
};
use naio_sys::clock::Time;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// Names that users keep, those of closed sockets included.
const NAMES_MAX: usize = 24;

/// A socket, and the last byte that it received.
struct Held {
    id: SocketId,
    last: Option<u8>,
}

/// Everything that users hold.
#[derive(Default)]
pub(crate) struct Users {
    sockets: Vec<Held>,
    listeners: Vec<ListenerId>,
    udp: Vec<UdpId>,
    queries: Vec<QueryId>,
    /// Bytes received over TCP.
    pub(crate) received: u64,
    /// Datagrams received.
    pub(crate) datagrams: u64,
    /// Frames were damaged, so the content of streams proves nothing.
    pub(crate) tainted: bool,
}

fn options(script: &mut Script<'_>) -> TcpOptions {
    let shape = script.byte();
    let seconds = |bit: u8, count| (shape & bit != 0).then(|| Duration::from_secs(count));
    TcpOptions {
        nodelay: shape & 1 == 0,
        keep_alive: seconds(2, 5),
        user_timeout: seconds(4, 20),
        idle_timeout: seconds(8, 30),
        congestion: [Congestion::Cubic, Congestion::Reno, Congestion::None][usize::from(shape >> 4) % 3],
        ..TcpOptions::default()
    }
}

pub(crate) fn socket_options(script: &mut Script<'_>) -> SocketOptions {
    let lens = [16_384, 65_535, 1, 100, 4_096, 131_070, 262_140, 1_460];
    let rings = script.byte();
    let ring = |n: u8| RingLen::at_least(lens[usize::from(n & 7)]);
    SocketOptions { rx_ring: ring(rings), tx_ring: ring(rings >> 3), tcp: TcpOptions::default() }
}

impl Users {
    /// What is there from the start.
    pub(crate) fn new(stack: &mut Stack) -> Users {
        let listeners = vec![stack.listen(80, 4).expect("a free port")];
        let udp = [9, 53].map(|port| stack.udp_bind(port).expect("a free port")).to_vec();
        stack.join(GROUP.into()).expect("room");
        Users { listeners, udp, ..Users::default() }
    }

    fn keep(&mut self, stack: &Stack, id: SocketId) {
        if self.sockets.len() == NAMES_MAX {
            let stale = self.sockets.iter().position(|held| stack.status(held.id).is_none());
            self.sockets.remove(stale.expect("more names than sockets"));
        }
        self.sockets.push(Held { id, last: None });
    }

    /// Receives with one socket until there is no more.
    fn receive(&mut self, stack: &mut Stack, at: usize, most: usize) {
        let mut buffer = [0; 4_096];
        let mut left = most;
        let Some(held) = self.sockets.get_mut(at) else { return };
        while left > 0 {
            let count = left.min(buffer.len());
            let readable = stack.status(held.id).map_or(0, |status| status.readable);
            let taken = match stack.recv(held.id, &mut buffer[..count]) {
                Ok(taken) => taken,
                Err(error) => {
                    assert!(readable == 0 || error == RecvError::Stale, "{error} before {readable} bytes");
                    return;
                }
            };
            assert!(taken <= readable, "{taken} bytes of {readable}");
            if taken == 0 {
                return;
            }
            for &byte in &buffer[..taken] {
                let follows = held.last.is_none_or(|last| byte == last.wrapping_add(1));
                assert!(follows || self.tainted, "{byte} after {:?}", held.last);
                held.last = Some(byte);
            }
            self.received += taken as u64;
            left -= taken;
        }
    }

    pub(crate) fn act(&mut self, stack: &mut Stack, now: Time, script: &mut Script<'_>) {
        let what = script.byte();
        let at = usize::from(what >> 4);
        let Some(id) = self.sockets.get(at % self.sockets.len().max(1)).map(|held| held.id) else {
            return self.open(stack, now, script);
        };
        match what & 15 {
            0..=2 => {
                let len = script.choice(&[1, 100, 1_460, 5_000, 60_000]);
                let _ = stack.send(id, &vec![what; len]);
            }
            3..=5 => {
                let most = script.choice(&[usize::MAX, 1, 100, 5_000]);
                self.receive(stack, at % self.sockets.len(), most);
            }
            6 => drop(stack.shutdown(id)),
            7 => drop(stack.close(id)),
            8 => drop(stack.abort(id)),
            9 => drop(stack.set_options(id, options(script))),
            10 => stack.linger(id),
            11 => {
                let (status, info) = (stack.status(id), stack.info(id));
                assert_eq!(status.is_some(), info.is_some());
                let _ = stack.network_error(id);
            }
            _ => self.open(stack, now, script),
        }
    }

    /// Sockets and listeners come and go.
    fn open(&mut self, stack: &mut Stack, now: Time, script: &mut Script<'_>) {
        match script.byte() % 8 {
            0..=3 => {
                for n in 0..self.listeners.len() {
                    while let Some(id) = stack.accept(self.listeners[n]) {
                        self.keep(stack, id);
                    }
                }
            }
            4 | 5 => {
                let Ok(id) = stack.socket(socket_options(script)) else { return };
                self.keep(stack, id);
                let far = IpAddr::from([192, 0, 2, 1]);
                let nobody = IpAddr::from([10, 0, 0, 77]);
                let to = script.choice(&[THEM.into(), THEM6.into(), THEM.into(), far, nobody, US.into()]);
                let _ = stack.connect(now, id, SocketAddr::new(to, script.choice(&[80, 81, 0])));
            }
            6 => {
                let port = script.choice(&[81, 443, 80, 0]);
                self.listeners.extend(stack.listen(port, script.below(5)));
            }
            _ => {
                if self.listeners.len() > 1 {
                    let listener = self.listeners.remove(0);
                    stack.close_listener(listener).expect("open");
                }
            }
        }
    }

    pub(crate) fn around(&mut self, stack: &mut Stack, script: &mut Script<'_>) {
        let what = script.byte();
        let mut buffer = [0; 2_000];
        let udp = self.udp.get(usize::from(what >> 4) % self.udp.len().max(1)).copied();
        match (what & 15, udp) {
            (0..=3, Some(udp)) => {
                let to: IpAddr =
                    script.choice(&[THEM.into(), THEM6.into(), GROUP.into(), [10, 0, 0, 78].into()]);
                let len = script.choice(&[0, 10, 1_400, 5_000, 60_000]);
                let _ = stack.udp_send(udp, (to, 7).into(), &vec![3; len]);
            }
            (4 | 5, Some(udp)) => {
                while stack.udp_recv(udp, &mut buffer).is_some() {
                    self.datagrams += 1;
                }
                while stack.udp_take_error(udp).is_some() {}
            }
            (6, Some(udp)) => {
                stack.udp_close(udp).expect("open");
                self.udp.retain(|&open| open != udp);
            }
            (7, _) => self.udp.extend(stack.udp_bind(script.choice(&[9, 53, 0]))),
            (8, _) => drop(stack.join([239, 1, 2, script.byte()].into())),
            (9, _) => drop(stack.leave([239, 1, 2, script.byte()].into())),
            (10, _) => {
                let lookup = if what & 0x10 == 0 { Lookup::Ipv4 } else { Lookup::Ipv6 };
                self.queries.extend(stack.resolve("host.example", lookup));
            }
            (11, _) => {
                let mut outcomes = Vec::new();
                stack.resolved(&mut outcomes);
                if let Some(query) = self.queries.pop() {
                    stack.cancel_resolve(query);
                }
            }
            (12, _) if what >> 4 == 0 => {
                let (address, prefix) = script.choice(&[(US, 24), (THEM, 24), (US, 31)]);
                let _ = stack.set_address(address, prefix, None);
            }
            (13, _) if what >> 4 == 0 => stack.start_dhcp(),
            (14, _) => {
                let _ = (stack.take_lease_change(), stack.multicast_groups(), stack.take_multicast_change());
            }
            _ => {
                let (mut sockets, mut datagrams) = (Vec::new(), Vec::new());
                stack.ready(&mut sockets);
                stack.udp_ready(&mut datagrams);
            }
        }
    }

    /// Everybody goes.
    pub(crate) fn leave(&mut self, stack: &mut Stack) {
        for listener in self.listeners.drain(..) {
            stack.close_listener(listener).expect("open");
        }
        for at in 0..self.sockets.len() {
            self.receive(stack, at, usize::MAX);
            let _ = stack.close(self.sockets[at].id);
        }
        for udp in self.udp.drain(..) {
            stack.udp_close(udp).expect("open");
        }
        let mut outcomes = Vec::new();
        stack.resolved(&mut outcomes);
        for query in self.queries.drain(..) {
            stack.cancel_resolve(query);
        }
    }
}
