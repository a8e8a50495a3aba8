//! The operations in flight: a table of bounded size, with keys that do not outlive their entry.

use crate::group::Share;
use crate::lent::{Lending, Lent};
use crate::outgoing::Outgoing;
use crate::receiving::RecvOptions;
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
        options: RecvOptions,
        filled: usize,
    },
    /// Into buffers of a group; the one that is being filled, if it has bytes, is held.
    RecvMany {
        socket: SocketId,
        share: Share,
        options: RecvOptions,
        held: Option<Buffer>,
        filled: usize,
    },
    RecvLent {
        socket: SocketId,
        lending: Lending,
    },
    RecvFrom {
        socket: UdpId,
        buffer: Buffer,
        filled: usize,
    },
    RecvFromMany {
        socket: UdpId,
        share: Share,
    },
    RecvFromLent {
        socket: UdpId,
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
    },
    Resolve,
    WatchAddress {
        reported: Option<Ipv4Addr>,
    },
    WatchLink {
        reported: Option<Link>,
    },
    /// The program's own event, on its way through the queue.
    Posted {
        value: u64,
    },
}

impl Request {
    /// Whether it tells of things that are not its end, one at a time, and so needs a second place in the queue.
    pub(crate) fn tells(&self) -> bool {
        match self {
            Request::Recv { options, .. } => options.is_incremental(),
            Request::Timeout { period, .. } => period.is_some(),
            Request::RecvFromMany { .. } | Request::WatchLink { .. } | Request::WatchAddress { .. } => true,
            _ => false,
        }
    }

    /// Its share in a group of buffers.
    pub(crate) fn share(&self) -> Option<&Share> {
        match self {
            Request::RecvMany { share, .. } | Request::RecvFromMany { share, .. } => Some(share),
            _ => None,
        }
    }

    /// Whether it may end of itself before the program has collected what it told.
    fn may_end_untold(&self) -> bool {
        matches!(self, Request::Recv { .. })
    }

    pub(crate) fn socket(&self) -> Option<SocketId> {
        match self {
            Request::Connect { socket }
            | Request::Recv { socket, .. }
            | Request::RecvMany { socket, .. }
            | Request::RecvLent { socket, .. }
            | Request::Send { socket, .. }
            | Request::Shutdown { socket, .. }
            | Request::Close { socket, .. } => Some(*socket),
            Request::Accept { .. }
            | Request::RecvFrom { .. }
            | Request::RecvFromMany { .. }
            | Request::RecvFromLent { .. }
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
    /// What it holds for the program: buffers, or bytes that are lent.
    pub(crate) fn into_memory(self) -> (Option<Buffer>, Vec<Buffer>, Option<Lent>) {
        if let Request::RecvLent { lending, .. } = self.request {
            return (None, Vec::new(), Some(lending.into_lent()));
        }
        let (buffer, buffers) = self.into_buffers();
        (buffer, buffers, None)
    }

    /// The buffers that would have moved.
    pub(crate) fn into_buffers(self) -> (Option<Buffer>, Vec<Buffer>) {
        match self.request {
            Request::Recv { buffer, .. }
            | Request::RecvFrom { buffer, .. }
            | Request::SendTo { buffer, .. } => (Some(buffer), Vec::new()),
            Request::RecvMany { held, .. } => (held, Vec::new()),
            Request::Send { outgoing, .. } => outgoing.into_buffers(),
            _ => (None, Vec::new()),
        }
    }
}

#[derive(Debug, Default)]
struct Entry {
    generation: u32,
    op: Option<Op>,
    /// It has told something that is not its end, and the program has not collected that.
    told: bool,
}

/// All operations in flight, and the places that their completions need.
#[derive(Debug)]
pub(crate) struct OpTable {
    entries: Vec<Entry>,
    free: Vec<u32>,
    /// Operations with a second place.
    telling: usize,
    /// Those among them that use it.
    told: usize,
    /// Those whose end may come while they use it.
    restless: usize,
}

impl OpTable {
    pub(crate) fn new(limit: usize) -> OpTable {
        let entries = std::iter::repeat_with(Entry::default).take(limit).collect();
        OpTable { entries, free: (0..limit as u32).rev().collect(), telling: 0, told: 0, restless: 0 }
    }

    pub(crate) fn limit(&self) -> usize {
        self.entries.len()
    }

    pub(crate) fn outstanding(&self) -> usize {
        self.entries.len() - self.free.len()
    }

    /// Places in the queue that are kept for operations in flight: one each for its end, one more for what it may tell
    /// before. What was told and is not collected yet stands in its place already.
    pub(crate) fn places(&self) -> usize {
        self.outstanding() + self.telling - self.told
    }

    /// Completions that may come before any is collected.
    pub(crate) fn within_reach(&self) -> usize {
        self.outstanding() + self.restless - self.told
    }

    /// Remembers an operation, or gives it back if the table is full.
    pub(crate) fn insert(&mut self, op: Op) -> Result<OpKey, Op> {
        let Some(index) = self.free.pop() else { return Err(op) };
        self.telling += usize::from(op.request.tells());
        self.restless += usize::from(op.request.tells() && op.request.may_end_untold());
        let entry = &mut self.entries[index as usize];
        entry.op = Some(op);
        Ok(OpKey { index, generation: entry.generation })
    }

    /// Whether an operation may tell something now: it has a second place, and nothing uncollected stands there.
    pub(crate) fn may_tell(&self, key: OpKey) -> bool {
        self.entries.get(key.index as usize).is_some_and(|entry| {
            let op = entry.op.as_ref().filter(|_| entry.generation == key.generation && !entry.told);
            op.is_some_and(|op| op.request.tells())
        })
    }

    /// Uses the second place of an operation, if it [may](OpTable::may_tell).
    pub(crate) fn tell(&mut self, key: OpKey) -> bool {
        let may = self.may_tell(key);
        if let Some(entry) = self.entry(key).filter(|_| may) {
            entry.told = true;
            self.told += 1;
        }
        may
    }

    /// What an operation told has been collected. False if there is no such operation, or it told nothing.
    pub(crate) fn collected(&mut self, key: OpKey) -> bool {
        let told = self.entry(key).is_some_and(|entry| std::mem::take(&mut entry.told));
        self.told -= usize::from(told);
        told
    }

    fn entry(&mut self, key: OpKey) -> Option<&mut Entry> {
        self.entries.get_mut(key.index as usize).filter(|entry| entry.generation == key.generation)
    }

    pub(crate) fn peek(&self, key: OpKey) -> Option<&Op> {
        let entry = self.entries.get(key.index as usize)?;
        if entry.generation == key.generation { entry.op.as_ref() } else { None }
    }

    pub(crate) fn peek_mut(&mut self, key: OpKey) -> Option<&mut Op> {
        self.entry(key)?.op.as_mut()
    }

    /// Forgets an operation; its key is stale from here on.
    pub(crate) fn remove(&mut self, key: OpKey) -> Option<Op> {
        let entry = self.entry(key)?;
        let op = entry.op.take()?;
        let told = std::mem::take(&mut entry.told);
        // The top bit of a token tells loans of windows from operations.
        entry.generation = entry.generation.wrapping_add(1) & (u32::MAX >> 1);
        self.free.push(key.index);
        self.told -= usize::from(told);
        self.telling -= usize::from(op.request.tells());
        self.restless -= usize::from(op.request.tells() && op.request.may_end_untold());
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
