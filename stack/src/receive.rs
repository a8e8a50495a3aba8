//! Received payload: from the frame it came in to whoever reads it.
//!
//! Receives what the walk through `ingest` decided about a frame, its [`Fate`], and its page; keeps the page for the
//! connection or socket that it is for, or hands it back to the card. Users take the bytes from here: copied, or lent
//! as they lie.

use crate::Stack;
use crate::flow::{Flow, Owner};
use crate::ipv4::Tcp;
use crate::status::{RecvError, SocketId};
use crate::store::Piece;
use naio_dma::Page;
use smoltcp::socket::tcp::State;

/// A window update is worth a packet once the user has taken this part of the ring since the last
/// one (RFC 1122 4.2.3.3: no small advances).
const WINDOW_UPDATE_PART: usize = 8;

/// What becomes of a packet's bytes.
#[must_use]
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fate {
    /// Nobody needs them any more.
    Spent,
    /// They are part of a connection's stream.
    Kept(Keep),
    /// They are a datagram's, for this socket: the newest in its queue.
    Datagram { index: u32, start: u16, len: u16 },
}

/// Bytes of a packet that continue a stream.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keep {
    pub(crate) index: u32,
    /// Where in the packet they begin, and how many they are.
    pub(crate) start: u16,
    pub(crate) len: u16,
    pub(crate) then: Then,
}

/// What follows when they are kept.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Then {
    /// More of the same run may come.
    Wait,
    /// The run ends here.
    Flush,
    /// smoltcp has decided: its queue grew by so many bytes at this offset of the stream.
    Settle { offset: u64, growth: usize },
}

/// What [`Stack::lend`] handed out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lending {
    /// Bytes of the stream.
    pub bytes: usize,
    /// Some of them are copies.
    pub copied: bool,
}

/// Whether anybody reads the stream, or will once it is accepted: what comes for nobody is not kept.
#[inline]
pub(crate) fn has_reader(flow: &&mut Flow) -> bool {
    flow.owner != Owner::Nobody
}

impl Stack {
    /// Keeps the page of a frame whose packet begins at `base`, or gives it back.
    #[inline(never)]
    pub(crate) fn conclude(&mut self, fate: Fate, page: Page, base: u16) {
        match fate {
            Fate::Spent => self.store.spare(page),
            Fate::Kept(keep) => {
                let piece = self.store.keep(page, base + keep.start, keep.len);
                self.keep(keep, piece);
            }
            Fate::Datagram { index, start, len } if !self.store.is_low() => {
                let piece = self.store.keep(page, base + start, len);
                self.keep_datagram(index, piece);
            }
            Fate::Datagram { index, start, len } => {
                let from = usize::from(base + start);
                let copy = Piece::copy_of(&self.store.pool().bytes(&page)[from..from + usize::from(len)]);
                self.counters.pages_copied += 1;
                self.store.spare(page);
                self.keep_datagram(index, copy);
            }
        }
    }

    /// The same for a packet that lies in no page.
    #[cold]
    pub(crate) fn conclude_copied(&mut self, fate: Fate, packet: &[u8]) {
        let copy = |start: u16, len: u16| Piece::copy_of(&packet[usize::from(start)..][..usize::from(len)]);
        match fate {
            Fate::Spent => {}
            Fate::Kept(keep) => self.keep(keep, copy(keep.start, keep.len)),
            Fate::Datagram { index, start, len } => self.keep_datagram(index, copy(start, len)),
        }
    }

    #[inline(always)]
    pub(crate) fn keep(&mut self, keep: Keep, piece: Piece) {
        let Some(flow) = self.flows.at_mut(keep.index).filter(has_reader) else {
            // The segment itself ended the connection, or nobody will read.
            return self.store.free(piece);
        };
        flow.reassembly.push(piece);
        if !flow.reassembly.listed {
            flow.reassembly.listed = true;
            self.holders.push(keep.index);
        }
        match keep.then {
            Then::Wait => {}
            Then::Flush => self.end_run(keep.index),
            Then::Settle { offset, growth } => self.settle(keep.index, offset, growth),
        }
    }

    /// smoltcp has accepted `growth` bytes of what a connection keeps, from `offset` on.
    #[inline]
    pub(crate) fn settle(&mut self, index: u32, offset: u64, growth: usize) {
        let Some(flow) = self.flows.at_mut(index).filter(has_reader) else { return };
        if flow.reassembly.settle(&mut self.store, offset, growth).is_err() {
            self.stream_is_missing(index);
        }
    }

    /// smoltcp counts bytes that nobody has. Never a wrong byte: rather no connection.
    #[cold]
    pub(crate) fn stream_is_missing(&mut self, index: u32) {
        self.counters.stream_missing += 1;
        if let Some(flow) = self.flows.at_mut(index) {
            flow.reassembly.clear(&mut self.store);
        }
        self.broken(index, &[]);
    }

    /// Gives pages back that are kept for readers who do not come, as many as the card may need. What smoltcp has not
    /// decided on is no reader's yet.
    pub(crate) fn relieve(&mut self) {
        let mut at = 0;
        while let Some(&index) = self.holders.get(at) {
            let flow = self.flows.at_mut(index).filter(|flow| flow.reassembly.listed);
            let Some(flow) = flow else {
                self.holders.swap_remove(at);
                continue;
            };
            if flow.reassembly.is_decided()
                && (self.store.is_low() || self.store.is_much(flow.reassembly.pages()))
            {
                self.counters.pages_copied += flow.reassembly.evacuate(&mut self.store);
            }
            if flow.reassembly.pages() == 0 {
                flow.reassembly.listed = false;
                self.holders.swap_remove(at);
            } else {
                at += 1;
            }
        }
        if self.store.is_low() {
            self.counters.pages_copied += self.udp.evacuate(&mut self.store);
        }
    }

    /// Copies received bytes into `into`: once, from where the card put them. `Ok(0)` means that there are none now.
    ///
    /// # Errors
    /// [`RecvError::Finished`] after the last byte of a stream that the peer finished in order; else
    /// why no more will come. Bytes that arrived before a failure are received first.
    pub fn recv(&mut self, socket: SocketId, into: &mut [u8]) -> Result<usize, RecvError> {
        let index = self.flows.index(socket.0).ok_or(RecvError::Stale)?;
        let flow = self.flows.at_mut(index).ok_or(RecvError::Stale)?;
        let taken = flow.reassembly.read(&mut self.store, into);
        if taken == 0 {
            return flow.nothing_received().map(|()| 0);
        }
        self.taken(index, taken);
        Ok(taken)
    }

    /// Hands out received bytes as they lie, appended to `out` in the order of the stream: as many whole pieces as have
    /// at most `most` bytes together, but at least one. Each [`Piece::Page`] is a page that the card lacks until it
    /// comes home with [`take_back`](Stack::take_back); while too many are out, copies are handed out instead. `Ok` with
    /// no bytes means that there are none now.
    ///
    /// # Errors
    /// As [`recv`](Stack::recv).
    pub fn lend(
        &mut self,
        socket: SocketId,
        most: usize,
        out: &mut Vec<Piece>,
    ) -> Result<Lending, RecvError> {
        let index = self.flows.index(socket.0).ok_or(RecvError::Stale)?;
        let flow = self.flows.at_mut(index).ok_or(RecvError::Stale)?;
        let (bytes, copied) = flow.reassembly.lend(&mut self.store, most, out);
        if bytes == 0 {
            return flow.nothing_received().map(|()| Lending::default());
        }
        self.taken(index, bytes);
        Ok(Lending { bytes, copied })
    }

    /// A user has taken bytes: the window opens again.
    #[inline]
    fn taken(&mut self, index: u32, bytes: usize) {
        let Some(flow) = self.flows.at_mut(index) else { return };
        flow.consume(bytes);
        flow.unannounced += bytes;
        if flow.bound && flow.unannounced * WINDOW_UPDATE_PART >= flow.rx_len {
            self.mark_dirty(index);
        }
    }

    /// What was lent comes home; `pieces` is empty afterwards.
    pub fn take_back(&mut self, pieces: &mut Vec<Piece>) {
        self.store.take_back(pieces);
    }

    /// Appends the pages that are free for the card again.
    pub fn spare(&mut self, out: &mut Vec<Page>) {
        self.store.take_spare(out);
    }
}

impl Flow {
    /// Why there is nothing to receive: an error if there never will be.
    fn nothing_received(&self) -> Result<(), RecvError> {
        match self.failure {
            _ if self.reassembly.len() > 0 => Ok(()),
            _ if self.finished => Err(RecvError::Finished),
            Some(failure) => Err(failure.into()),
            None if !self.bound => Err(RecvError::NotConnected),
            None => Ok(()),
        }
    }

    /// Takes zeros out of smoltcp's ring for bytes that a user has taken.
    #[inline]
    fn consume(&mut self, bytes: usize) {
        self.consumed += bytes as u64;
        let mut left = bytes;
        // What wraps around the end of the ring comes in two parts.
        for _ in 0..2 {
            let taken = self.socket_mut().recv(|ring| {
                let taken = ring.len().min(left);
                (taken, taken)
            });
            left -= taken.unwrap_or(0);
            if left == 0 {
                break;
            }
        }
    }

    /// How many bytes of a segment that begins behind the next expected one smoltcp will take, and at which offset of
    /// the stream: as its `Socket::process` decides (smoltcp 0.14), which does not say. `None` if it takes nothing.
    pub(crate) fn admits_ahead(&self, tcp: &Tcp) -> Option<(u64, usize)> {
        let next = self.rcv_nxt()?;
        let gap = tcp.seq.wrapping_sub(next);
        let una = self.snd_una();
        // Our FIN takes a number, which counts as acknowledged from FIN-WAIT-2 on.
        let ack_is_old = |una: u32| (tcp.ack.wrapping_sub(una) as i32) < 0;
        match self.state() {
            State::Established | State::FinWait1 if una.is_some_and(ack_is_old) => return None,
            State::FinWait2 if una.is_some_and(|una| ack_is_old(una.wrapping_add(1))) => return None,
            State::SynReceived if self.sent_end != Some(tcp.ack) => return None,
            State::Established | State::FinWait1 | State::FinWait2 | State::SynReceived => {}
            _ => return None,
        }
        let room = self.window_edge()?.wrapping_sub(next);
        let is_inside = (gap as i32) > 0 && (room as i32) > 0 && gap < room;
        is_inside.then(|| (self.received() + u64::from(gap), (room - gap).min(tcp.payload_len) as usize))
    }

    /// The sequence number behind the last byte that smoltcp takes, or a few bytes further; `None` before it has offered
    /// any window. It never goes back: smoltcp does not remember what its probes said, and a window that is scaled may
    /// end a little before the last one. What is kept though smoltcp refused it is no harm, the other way round is.
    #[inline]
    pub(crate) fn window_edge(&self) -> Option<u32> {
        let edge = self.offered_at?.wrapping_add(u32::from(self.offered) << self.window_shift());
        let furthest = self.edge.filter(|furthest| furthest.wrapping_sub(edge) as i32 > 0);
        Some(furthest.unwrap_or(edge))
    }
}
