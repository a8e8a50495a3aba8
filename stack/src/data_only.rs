//! The short way through smoltcp for what most runs are: more data, for a connection that has nothing under way itself.
//!
//! Receives a run and hands smoltcp its headers, as `ingest` does for all others, but looks the connection up once and
//! leaves out what such a segment cannot change: it repeats the acknowledgment and the window that were heard last, so
//! it acknowledges nothing, is no duplicate, samples no round trip and says nothing about losses. What is not exactly
//! that is left to `ingest`.

use crate::Stack;
use crate::contain::contained;
use crate::emission::Source;
use crate::flow::{Flow, Owner, instant};
use crate::ipv4::{ACK, PSH, Tcp};
use crate::port::Port;
use smoltcp::socket::tcp::State;

/// What has become of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Nothing: it is for the long way.
    Untouched,
    /// smoltcp has taken all of it and said nothing.
    Taken,
    /// smoltcp has seen it, and its bytes are settled.
    Seen,
    /// Its connection is broken, and the run is gone.
    Broken,
}

/// Whether a segment says nothing that is new, but for its data.
#[inline(always)]
fn is_data_only(flow: &Flow, tcp: &Tcp) -> bool {
    let socket = flow.socket();
    tcp.payload_len > 0
        && tcp.flags & !PSH == ACK
        && tcp.window != 0
        && flow.heard_ack == Some((tcp.ack, tcp.window))
        && socket.state() == State::Established
        && socket.send_queue() == 0
        && !flow.recovery.is_active()
        && flow.early_fin.is_none()
        && flow.owner != Owner::Nobody
}

impl Stack {
    /// Hands smoltcp the run at this place if it is nothing but data; its headers are written. It stays where it is,
    /// unless its connection breaks.
    #[inline]
    pub(crate) fn data_only(&mut self, at: usize) -> Outcome {
        #[cfg(test)]
        if watch::IS_OFF.get() {
            return Outcome::Untouched;
        }
        let is_full = self.replies_are_full();
        let Some(run) = self.runs.get(at).filter(|_| !is_full) else { return Outcome::Untouched };
        let (index, tcp) = (run.index(), &run.tcp);
        let Some(flow) = self.flows.at_mut(index).filter(|flow| is_data_only(flow, tcp)) else {
            return Outcome::Untouched;
        };
        let (unread, emitted) = (flow.socket().recv_queue(), flow.emitted());
        let source = Source {
            stream: &flow.stream,
            // Everything is acknowledged.
            una: tcp.ack,
            acknowledged: flow.enqueued,
            mss: flow.peer.mss,
        };
        let headers = &run.headers[..run.headers_len];
        let mut port = Port {
            received: Some(self.bare.packet(headers, tcp.payload_len as usize)),
            packets: &mut self.replies,
            outbox: &mut self.outbox,
            counters: &mut self.counters,
            caps: &self.caps,
            to: flow.mac,
            source,
            emitted,
        };
        let (iface, set) = (&mut self.iface, &mut flow.set);
        let now = instant(self.now);
        let is_whole = contained(|| {
            #[cfg(test)]
            assert!(!watch::PANICS.get(), "as smoltcp might");
            iface.poll_ingress_single(now, &mut port, set)
        })
        .is_some();
        let emitted = port.emitted;
        let is_answered = emitted.segments > 0;
        if is_answered {
            flow.note(self.now, emitted);
        }
        flow.heard = self.now;
        flow.meter.segments_received += 1;
        flow.repeated_acks = 0;
        let growth = flow.socket().recv_queue().saturating_sub(unread);
        let offset = flow.consumed + unread as u64;
        if !is_whole || flow.reassembly.settle(&mut self.store, offset, growth).is_err() {
            let run = self.runs.remove(at);
            self.data_is_lost(index, is_whole, &run.headers[..run.headers_len]);
            return Outcome::Broken;
        }
        let taken = !is_answered && growth == tcp.payload_len as usize;
        if !flow.dirty {
            flow.dirty = true;
            self.dirty.push_back(index);
        }
        if !flow.touched {
            flow.touched = true;
            self.touched.push(index);
        }
        #[cfg(test)]
        watch::TAKEN.set(watch::TAKEN.get() + u64::from(taken));
        if taken { Outcome::Taken } else { Outcome::Seen }
    }

    /// smoltcp panicked over a run, or counts bytes that nobody has.
    #[cold]
    fn data_is_lost(&mut self, index: u32, is_seen: bool, headers: &[u8]) {
        if is_seen {
            self.stream_is_missing(index);
        } else {
            self.broken(index, headers);
            // Nobody will decide on them any more.
            self.settle(index, 0, 0);
        }
    }
}

/// Lets tests see which way is taken, and choose the long one.
#[cfg(test)]
pub(crate) mod watch {
    use std::cell::Cell;

    thread_local! {
        /// Everything goes the long way.
        pub(crate) static IS_OFF: Cell<bool> = const { Cell::new(false) };
        /// smoltcp panics over everything that goes the short way.
        pub(crate) static PANICS: Cell<bool> = const { Cell::new(false) };
        /// Runs that smoltcp took whole, the short way.
        pub(crate) static TAKEN: Cell<u64> = const { Cell::new(0) };
        /// Frames that continued a run which was over.
        pub(crate) static RENEWED: Cell<u64> = const { Cell::new(0) };
    }
}
