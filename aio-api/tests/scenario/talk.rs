//! A conversation: both ends of each connection send and receive at once, in pieces of any size, check every byte,
//! end their stream and close.

use crate::endpoint::{Program, World};
use crate::taking::{LATER, Taking, poisoned};
use aio_api::{Completion, EventQueue, Kind, Lent, ListenerId, OpError, SocketId, SocketOptions, TcpOptions};
use naio_dma::Buffer;
use std::collections::BTreeMap;
use std::net::{Ipv6Addr, SocketAddr};
use std::time::Duration;

/// Where the server listens.
pub(crate) const PORT: u16 = 7;
const SERVER: [u8; 4] = [10, 9, 0, 1];
/// The same in IPv6, and how long nobody has objected to its use when it begins (RFC 4862 5.4).
pub(crate) const SERVER_V6: Ipv6Addr = Ipv6Addr::new(0xfd00, 0, 0, 0, 0, 0, 0, 1);
const UNDISPUTED: Duration = Duration::from_secs(5);
/// Sends, and receives, that one connection has outstanding.
const DEPTH: usize = 3;
/// Most pieces of one send.
const PARTS_MAX: usize = 40;

/// Who only waits for a peer that is no more would wait for ever without keep-alive.
fn options() -> TcpOptions {
    TcpOptions {
        keep_alive: Some(Duration::from_secs(20)),
        persist_limit: Duration::from_secs(3_600),
        ..TcpOptions::default()
    }
}

/// What both ends know of a conversation.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan {
    pub(crate) seed: u64,
    pub(crate) connections: usize,
    /// Most bytes of one direction of one connection.
    pub(crate) bytes_max: u64,
    /// Bytes of each buffer.
    pub(crate) buffer_len: usize,
    /// Connections that are open at the same time.
    pub(crate) at_once: usize,
    /// Connections may end in an error, which is kept.
    pub(crate) may_fail: bool,
    /// They speak IPv6.
    pub(crate) ipv6: bool,
}

impl Plan {
    /// Bytes that the connection of `port` carries from or to the client.
    fn bytes(self, port: u16, from_client: bool) -> u64 {
        let mut random = fastrand::Rng::with_seed(self.seed ^ u64::from(port) << 1 ^ u64::from(from_client));
        random.u64(0..=self.bytes_max)
    }
}

fn byte(port: u16, from_client: bool, offset: u64) -> u8 {
    let word = offset as u32 ^ u32::from(port) << 16 ^ u32::from(from_client) << 31;
    (word.wrapping_mul(2_654_435_761) >> 11) as u8
}

struct Talk {
    port: u16,
    to_send: u64,
    sent: u64,
    to_receive: u64,
    received: u64,
    sends: usize,
    shutdown: bool,
    closing: bool,
    is_eof: bool,
}

/// One side.
pub(crate) struct Talker {
    plan: Plan,
    is_client: bool,
    random: fastrand::Rng,
    talks: BTreeMap<u64, Talk>,
    names: BTreeMap<u64, SocketId>,
    spare: Vec<Buffer>,
    pub(crate) taking: Taking,
    listener: Option<ListenerId>,
    next: u64,
    pub(crate) ended: usize,
    /// What connections ended in, if the plan allows it.
    pub(crate) errors: Vec<OpError>,
}

impl Talker {
    pub(crate) fn new(plan: Plan, is_client: bool) -> Talker {
        let random = fastrand::Rng::with_seed(plan.seed ^ u64::from(is_client));
        Talker {
            plan,
            is_client,
            random,
            talks: BTreeMap::new(),
            names: BTreeMap::new(),
            spare: Vec::new(),
            taking: Taking::default(),
            listener: None,
            next: 1,
            ended: 0,
            errors: Vec::new(),
        }
    }

    /// A connection is there: its name in completions is its number.
    fn connected(&mut self, queue: &mut EventQueue, id: u64, socket: SocketId) {
        let status = queue.status(socket).expect("it is there");
        let end = if self.is_client { status.local } else { status.remote };
        let port = end.map(|end| end.port()).expect("it is connected");
        let talk = Talk {
            port,
            to_send: self.plan.bytes(port, self.is_client),
            sent: 0,
            to_receive: self.plan.bytes(port, !self.is_client),
            received: 0,
            sends: 0,
            shutdown: false,
            closing: false,
            is_eof: false,
        };
        self.talks.insert(id, talk);
        self.names.insert(id, socket);
        if !self.taking.for_good(queue, &mut self.random, socket, id) {
            (0..DEPTH).for_each(|_| self.receive(queue, id));
        }
        self.send(queue, id);
    }

    /// Starts the next connection, if there is one to start.
    fn connect(&mut self, queue: &mut EventQueue) {
        if self.next > self.plan.connections as u64 || !self.is_client {
            return;
        }
        let socket =
            queue.socket(SocketOptions { tcp: options(), ..SocketOptions::default() }).expect("room");
        self.names.insert(self.next, socket);
        let server = if self.plan.ipv6 { SERVER_V6.into() } else { SERVER.into() };
        queue.connect(socket, SocketAddr::new(server, PORT), self.next).expect("room for it");
        self.next += 1;
    }

    /// A connection ended in an error: so do its other operations.
    fn failed(&mut self, queue: &mut EventQueue, id: u64, error: OpError) {
        if let Some(socket) = self.names.remove(&id) {
            self.errors.push(error);
            self.ended += 1;
            self.talks.remove(&id);
            queue.abort(socket);
        }
    }

    fn buffer(&mut self) -> Buffer {
        self.spare.pop().expect("as many as can be outstanding")
    }

    fn receive(&mut self, queue: &mut EventQueue, id: u64) {
        let buffer = self.buffer();
        self.taking.once(queue, &mut self.random, (self.names[&id], id), buffer);
    }

    fn send(&mut self, queue: &mut EventQueue, id: u64) {
        loop {
            let Some(talk) = self.talks.get(&id) else { return };
            if talk.shutdown || talk.sends >= DEPTH {
                return;
            }
            if talk.sent == talk.to_send {
                self.talks.get_mut(&id).expect("it is there").shutdown = true;
                queue.shutdown(self.names[&id], id).expect("room for it");
                return;
            }
            let (port, sent, left) = (talk.port, talk.sent, talk.to_send - talk.sent);
            let len = self.random.usize(1..=self.plan.buffer_len).min(left as usize);
            let len = self.submit(queue, id, (port, sent), len);
            let talk = self.talks.get_mut(&id).expect("it is there");
            talk.sent += len as u64;
            talk.sends += 1;
        }
    }

    /// Sends `len` bytes of the stream from `offset` on, or somewhat fewer, in one of the ways in which that can be done.
    fn submit(&mut self, queue: &mut EventQueue, id: u64, (port, offset): (u16, u64), len: usize) -> usize {
        let socket = self.names[&id];
        let is_client = self.is_client;
        let fill = |bytes: &mut [u8], from: u64| {
            bytes
                .iter_mut()
                .enumerate()
                .for_each(|(n, place)| *place = byte(port, is_client, from + n as u64));
        };
        match self.random.u8(..8) {
            0 => {
                let mut bytes = vec![0; len];
                fill(&mut bytes, offset);
                queue.send_copy(socket, &bytes, id).expect("room for it");
                len
            }
            // Pieces of every length, most of them tiny.
            1 => {
                let (mut parts, mut done) = (Vec::new(), 0);
                while done < len && parts.len() < PARTS_MAX {
                    let most = [20, 300, 3_000][self.random.usize(..3)];
                    let part = self.random.usize(1..=most).min(len - done);
                    let mut buffer = queue.buffers(1, part + 7).expect("memory").remove(0);
                    fill(&mut buffer[7..], offset + done as u64);
                    parts.push((buffer, 7..7 + part));
                    done += part;
                }
                queue.sendv(socket, parts, id).expect("room for it");
                done
            }
            _ => {
                let mut buffer = self.buffer();
                let start = self.random.usize(0..=buffer.len() - len);
                fill(&mut buffer[start..start + len], offset);
                queue.send(socket, buffer, start..start + len, id).expect("room for it");
                len
            }
        }
    }

    fn received(&mut self, queue: &mut EventQueue, id: u64, done: &Completion) {
        let talk = self.talks.get_mut(&id).expect("it is there");
        // The end of a stream may come without one.
        let lent = done.lent.as_ref().map(Lent::to_vec);
        let filled = done.buffer.as_ref().map(|buffer| &buffer[..done.bytes as usize]);
        let bytes = lent.as_deref().or(filled).unwrap_or(&[]);
        assert_eq!(bytes.len() as u64, done.bytes, "{:?}", self.plan);
        for (n, got) in bytes.iter().enumerate() {
            let wanted = byte(talk.port, !self.is_client, talk.received + n as u64);
            assert_eq!(*got, wanted, "{:?} port {} byte {}", self.plan, talk.port, talk.received + n as u64);
        }
        talk.received += done.bytes;
        if done.flags.is_eof() {
            assert_eq!(talk.received, talk.to_receive, "{:?} port {}", self.plan, talk.port);
            talk.is_eof = true;
        } else {
            assert!(!talk.is_eof, "bytes behind the end");
        }
        self.maybe_close(queue, id);
    }

    fn maybe_close(&mut self, queue: &mut EventQueue, id: u64) {
        let talk = self.talks.get_mut(&id).expect("it is there");
        if talk.is_eof && talk.shutdown && talk.sends == 0 && !talk.closing {
            talk.closing = true;
            queue.close(self.names[&id], id).expect("room for it");
        }
    }
}

impl World<Talker, Talker> {
    /// What both received into is theirs again.
    pub(crate) fn assert_whole(&mut self, seed: u64) {
        self.programs.0.borrow_mut().taking.assert_whole(&mut self.queues[0].borrow_mut(), seed);
        self.programs.1.borrow_mut().taking.assert_whole(&mut self.queues[1].borrow_mut(), seed);
    }
}

impl Program for Talker {
    fn begin(&mut self, queue: &mut EventQueue) {
        // On the server's side an old connection may still be closing while its successor is there.
        let count = (self.plan.at_once * 2 + 1).min(self.plan.connections) * DEPTH * 2;
        self.spare = queue.buffers(count, self.plan.buffer_len).expect("memory");
        self.taking.begin(queue, &mut self.random, self.plan.buffer_len);
        if self.is_client {
            if self.plan.ipv6 {
                queue.timeout(UNDISPUTED, 0).expect("room for it");
            } else {
                (0..self.plan.at_once).for_each(|_| self.connect(queue));
            }
        } else {
            let listener = queue.listen(PORT, self.plan.connections).expect("a free port");
            queue.accept(listener, 0).expect("room for it");
            self.listener = Some(listener);
        }
    }

    fn completed(&mut self, queue: &mut EventQueue, mut done: Completion) {
        let id = done.user_data;
        if id == LATER {
            return self.taking.later(queue);
        }
        if matches!(done.kind, Kind::Timeout { .. }) {
            return (0..self.plan.at_once).for_each(|_| self.connect(queue));
        }
        if done.kind == Kind::Accept {
            let (id, socket) = (self.next, done.socket.expect("an accept has one"));
            self.next += 1;
            assert!(queue.set_options(socket, options()));
            self.connected(queue, id, socket);
            queue.accept(self.listener.expect("it listens"), 0).expect("room for it");
            return;
        }
        if self.plan.may_fail
            && let Err(error) = done.result
        {
            self.spare.extend(self.taking.back(queue, &mut self.random, &mut done));
            return self.failed(queue, id, error);
        }
        let closing = self.talks.get(&id).is_some_and(|talk| talk.closing);
        // What was still posted when the socket closed ends with that.
        if !(closing && done.kind == Kind::Recv) {
            assert_eq!(done.result, Ok(()), "{:?} {done:?}", self.plan);
        }
        match done.kind {
            Kind::Connect => self.connected(queue, id, self.names[&id]),
            Kind::Recv if closing => {}
            Kind::Recv => {
                self.received(queue, id, &done);
                if let Some(buffer) = self.taking.back(queue, &mut self.random, &mut done) {
                    self.spare.push(buffer);
                    if !self.talks[&id].is_eof {
                        self.receive(queue, id);
                    }
                }
            }
            Kind::Send => {
                assert!(done.buffer.is_none() || !done.flags.is_copied(), "{:?}: {done:?}", self.plan);
                // Whatever is read of it from now on is wrong.
                self.spare.extend(done.buffer.map(poisoned));
                done.buffers.into_iter().for_each(|buffer| drop(poisoned(buffer)));
                self.talks.get_mut(&id).expect("it is there").sends -= 1;
                self.send(queue, id);
                return self.maybe_close(queue, id);
            }
            Kind::Shutdown => self.maybe_close(queue, id),
            Kind::Close => {
                self.talks.remove(&id);
                self.names.remove(&id);
                self.ended += 1;
                self.connect(queue);
            }
            _ => panic!("{done:?}"),
        }
        self.spare.extend(self.taking.back(queue, &mut self.random, &mut done));
    }

    fn is_done(&self) -> bool {
        // A server cannot know of connections that never came to it.
        let all = self.ended == self.plan.connections;
        if self.plan.may_fail && !self.is_client { self.talks.is_empty() } else { all }
    }
}
