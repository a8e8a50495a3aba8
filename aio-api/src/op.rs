//! The operations in flight: a table of bounded size, with keys that do not outlive their entry.

use crate::outgoing::Outgoing;
use crate::sending::Sending;
use naio_dma::Buffer;
use naio_nic::Link;
use naio_stack::{ListenerId, SocketId, UdpId};
use std::net::{Ipv4Addr, SocketAddr};
use std::ops::Range;
use std::time::Duration;

/// Names an operation in flight. A key is never reused: a stale one names nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct OpKey {
    index: u32,
    generation: u32,
}

impl OpKey {
    /// The key as a number, to name it to the stack.
    pub(crate) fn token(self) -> u64 {
        u64::from(self.generation) << 32 | u64::from(self.index)
    }

    /// The key that has this number.
    pub(crate) fn of_token(token: u64) -> OpKey {
        // The halves, as `token` put them together.
        OpKey { index: token as u32, generation: (token >> 32) as u32 }
    }
}

/// When a receive is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecvOptions {
    min: u32,
}

impl Default for RecvOptions {
    /// As soon as there is one byte.
    fn default() -> RecvOptions {
        RecvOptions { min: 1 }
    }
}

impl RecvOptions {
    /// Complete with at least `min` bytes (clamped to 1 and the buffer's length), unless the stream
    /// ends or fails before.
    #[must_use]
    pub fn at_least(min: u32) -> RecvOptions {
        RecvOptions { min: min.max(1) }
    }

    /// Complete with a full buffer only, unless the stream ends or fails before.
    #[must_use]
    pub fn wait_all() -> RecvOptions {
        RecvOptions { min: u32::MAX }
    }

    pub(crate) fn min_for(self, buffer: &Buffer) -> usize {
        (self.min as usize).min(buffer.len())
    }
}

/// What was asked for, and how far it is.
#[derive(Debug)]
pub(crate) enum Request {
    Connect {
        socket: SocketId,
    },
    Accept {
        listener: ListenerId,
    },
    Recv {
        socket: SocketId,
        buffer: Buffer,
        min: usize,
        filled: usize,
    },
    RecvFrom {
        socket: UdpId,
        buffer: Buffer,
        filled: usize,
    },
    SendTo {
        socket: UdpId,
        buffer: Buffer,
        range: Range<usize>,
        to: SocketAddr,
        sent: usize,
    },
    Send {
        socket: SocketId,
        outgoing: Outgoing,
        sending: Sending,
    },
    Shutdown {
        socket: SocketId,
        requested: bool,
    },
    Close {
        socket: SocketId,
        requested: bool,
    },
    Timeout {
        period: Option<Duration>,
        expirations: u64,
        uncollected: bool,
    },
    Resolve,
    WatchAddress {
        reported: Option<Ipv4Addr>,
        uncollected: bool,
    },
    WatchLink {
        reported: Option<Link>,
        uncollected: bool,
    },
    /// The program's own event, on its way through the queue.
    Posted {
        value: u64,
    },
}

impl Request {
    /// Whether it may complete more than once, and so needs a second place in the queue.
    pub(crate) fn is_multishot(&self) -> bool {
        matches!(
            self,
            Request::Timeout { period: Some(_), .. }
                | Request::WatchLink { .. }
                | Request::WatchAddress { .. }
        )
    }

    pub(crate) fn socket(&self) -> Option<SocketId> {
        match self {
            Request::Connect { socket }
            | Request::Recv { socket, .. }
            | Request::Send { socket, .. }
            | Request::Shutdown { socket, .. }
            | Request::Close { socket, .. } => Some(*socket),
            Request::Accept { .. }
            | Request::RecvFrom { .. }
            | Request::SendTo { .. }
            | Request::Timeout { .. }
            | Request::Resolve
            | Request::WatchAddress { .. }
            | Request::WatchLink { .. }
            | Request::Posted { .. } => None,
        }
    }
}

#[derive(Debug)]
pub(crate) struct Op {
    pub(crate) user_data: u64,
    pub(crate) request: Request,
}

impl Op {
    /// The buffers that would have moved.
    pub(crate) fn into_buffers(self) -> (Option<Buffer>, Vec<Buffer>) {
        match self.request {
            Request::Recv { buffer, .. }
            | Request::RecvFrom { buffer, .. }
            | Request::SendTo { buffer, .. } => (Some(buffer), Vec::new()),
            Request::Send { outgoing, .. } => outgoing.into_buffers(),
            _ => (None, Vec::new()),
        }
    }
}

#[derive(Debug, Default)]
struct Entry {
    generation: u32,
    op: Option<Op>,
}

/// All operations in flight.
#[derive(Debug)]
pub(crate) struct OpTable {
    entries: Vec<Entry>,
    free: Vec<u32>,
    multishot: usize,
}

impl OpTable {
    pub(crate) fn new(limit: usize) -> OpTable {
        let entries = std::iter::repeat_with(Entry::default).take(limit).collect();
        OpTable { entries, free: (0..limit as u32).rev().collect(), multishot: 0 }
    }

    pub(crate) fn limit(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn outstanding(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// Places in the queue that operations in flight may need: one each, two for a multishot one.
    pub(crate) fn places(&self) -> usize {
        self.outstanding() + self.multishot
    }

    /// Remembers an operation, or gives it back if the table is full.
    pub(crate) fn insert(&mut self, op: Op) -> Result<OpKey, Op> {
        let Some(index) = self.free.pop() else { return Err(op) };
        self.multishot += usize::from(op.request.is_multishot());
        let entry = &mut self.entries[index as usize];
        entry.op = Some(op);
        Ok(OpKey { index, generation: entry.generation })
    }

    pub(crate) fn peek(&self, key: OpKey) -> Option<&Op> {
        let entry = self.entries.get(key.index as usize)?;
        if entry.generation == key.generation { entry.op.as_ref() } else { None }
    }

    pub(crate) fn peek_mut(&mut self, key: OpKey) -> Option<&mut Op> {
        let entry = self.entries.get_mut(key.index as usize)?;
        if entry.generation == key.generation { entry.op.as_mut() } else { None }
    }

    /// Forgets an operation; its key is stale from here on.
    pub(crate) fn remove(&mut self, key: OpKey) -> Option<Op> {
        let entry = self.entries.get_mut(key.index as usize)?;
        if entry.generation != key.generation {
            return None;
        }
        let op = entry.op.take()?;
        // The top bit of a token tells loans of windows from operations.
        entry.generation = entry.generation.wrapping_add(1) & (u32::MAX >> 1);
        self.free.push(key.index);
        self.multishot -= usize::from(op.request.is_multishot());
        Some(op)
    }

    /// Keys of everything in flight, in no particular order.
    pub(crate) fn keys(&self) -> Vec<OpKey> {
        let occupied = self.entries.iter().enumerate().filter(|(_, entry)| entry.op.is_some());
        occupied.map(|(n, entry)| OpKey { index: n as u32, generation: entry.generation }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stale_key_names_nothing() {
        let mut table = OpTable::new(1);
        let request = || Request::Posted { value: 0 };
        let first = table.insert(Op { user_data: 1, request: request() }).expect("room for one");
        assert!(table.insert(Op { user_data: 2, request: request() }).is_err(), "and no more");
        assert_eq!(table.remove(first).expect("there").user_data, 1);
        let second = table.insert(Op { user_data: 3, request: request() }).expect("room again");
        assert_ne!(first, second);
        assert!(table.peek(first).is_none() && table.remove(first).is_none());
        assert_eq!(table.peek(second).expect("there").user_data, 3);
    }
}
