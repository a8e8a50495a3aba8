//! One connection that carries bytes one way: the client sends, the server checks each byte and measures the silences.

use crate::endpoint::Program;
use crate::talk::PORT;
use aio_api::{Completion, EventQueue, Kind, RecvOptions, SocketId, SocketOptions};
use naio_dma::Buffer;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const SERVER: [u8; 4] = [10, 9, 0, 1];
const BUFFERS: usize = 4;
const BUFFER_LEN: usize = 65_536;
/// The name of the connection in completions.
const ID: u64 = 1;

fn byte(offset: u64) -> u8 {
    ((offset as u32).wrapping_mul(2_654_435_761) >> 11) as u8
}

/// Sends.
pub(crate) struct Source {
    len: u64,
    options: SocketOptions,
    sent: u64,
    sends: usize,
    spare: Vec<Buffer>,
    pub(crate) socket: Option<SocketId>,
    closed: bool,
}

impl Source {
    pub(crate) fn new(len: u64, options: SocketOptions) -> Source {
        Source { len, options, sent: 0, sends: 0, spare: Vec::new(), socket: None, closed: false }
    }

    fn send(&mut self, queue: &mut EventQueue) {
        let socket = self.socket.expect("it is connected");
        while self.sent < self.len
            && let Some(mut buffer) = self.spare.pop()
        {
            let len = (self.len - self.sent).min(BUFFER_LEN as u64) as usize;
            for (n, place) in buffer[..len].iter_mut().enumerate() {
                *place = byte(self.sent + n as u64);
            }
            queue.send(socket, buffer, 0..len, ID).expect("room for it");
            self.sent += len as u64;
            self.sends += 1;
        }
        if self.sent == self.len && self.sends == 0 {
            queue.close(socket, ID).expect("room for it");
        }
    }
}

impl Program for Source {
    fn begin(&mut self, queue: &mut EventQueue) {
        self.spare = queue.buffers(BUFFERS, BUFFER_LEN).expect("memory");
        let socket = queue.socket(self.options).expect("room");
        queue.connect(socket, (SERVER, PORT).into(), ID).expect("room for it");
        self.socket = Some(socket);
    }

    fn completed(&mut self, queue: &mut EventQueue, done: Completion) {
        assert_eq!(done.result, Ok(()), "{done:?}");
        match done.kind {
            Kind::Send => {
                self.sends -= 1;
                self.spare.extend(done.buffer);
                self.send(queue);
            }
            Kind::Connect => self.send(queue),
            Kind::Close => self.closed = true,
            _ => panic!("{done:?}"),
        }
    }

    fn is_done(&self) -> bool {
        self.closed
    }
}

/// Receives.
pub(crate) struct Sink {
    len: u64,
    time: Arc<AtomicU64>,
    socket: Option<SocketId>,
    pub(crate) received: u64,
    last_us: u64,
    /// The longest time between two arrivals, that of the end counted, in microseconds.
    pub(crate) silence_us: u64,
    /// From the accept to the last byte.
    pub(crate) took_us: u64,
    start_us: u64,
    closed: bool,
}

impl Sink {
    pub(crate) fn new(len: u64, time: &Arc<AtomicU64>) -> Sink {
        Sink {
            len,
            time: time.clone(),
            socket: None,
            received: 0,
            last_us: 0,
            silence_us: 0,
            took_us: 0,
            start_us: 0,
            closed: false,
        }
    }
}

impl Program for Sink {
    fn begin(&mut self, queue: &mut EventQueue) {
        let listener = queue.listen(PORT, 1).expect("a free port");
        queue.accept(listener, 0).expect("room for it");
    }

    fn completed(&mut self, queue: &mut EventQueue, done: Completion) {
        let now = self.time.load(Ordering::Relaxed);
        match done.kind {
            Kind::Accept => {
                self.socket = done.socket;
                (self.start_us, self.last_us) = (now, now);
                for buffer in queue.buffers(BUFFERS, BUFFER_LEN).expect("memory") {
                    let socket = done.socket.expect("an accept has one");
                    queue.recv(socket, buffer, RecvOptions::default(), ID).expect("room for it");
                }
            }
            Kind::Recv if self.closed || self.took_us > 0 => {}
            Kind::Recv => {
                assert_eq!(done.result, Ok(()), "{done:?}");
                let buffer = done.buffer.expect("a receive has one");
                for (n, got) in buffer[..done.bytes as usize].iter().enumerate() {
                    assert_eq!(*got, byte(self.received + n as u64), "byte {}", self.received + n as u64);
                }
                self.received += done.bytes;
                let socket = self.socket.expect("it is connected");
                self.silence_us = self.silence_us.max(now - self.last_us);
                self.last_us = now;
                if done.flags.is_eof() {
                    assert_eq!(self.received, self.len, "all of it");
                    self.took_us = now - self.start_us;
                    queue.close(socket, ID).expect("room for it");
                } else {
                    queue.recv(socket, buffer, RecvOptions::default(), ID).expect("room for it");
                }
            }
            Kind::Close => self.closed = true,
            _ => panic!("{done:?}"),
        }
    }

    fn is_done(&self) -> bool {
        self.closed
    }
}
