//! What a talker receives into, in every way in which that can be done: posted buffers, whole or used part by part,
//! those of a group that its connections share and that is empty now and then, and none at all, where bytes are lent
//! and kept for a while.

use aio_api::{
    Buffer, BufferGroupId, Completion, EventQueue, Kind, Lent, OpKey, RecvOptions, SocketId, SubmitReason,
};
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::time::Duration;

/// Name of the timeouts that end a want of buffers.
pub(crate) const LATER: u64 = u64::MAX;
/// Most buffers of the group, and how long it has none, at most.
const SHARED_MAX: usize = 4;
const WANT_MS_MAX: u64 = 300;
/// Most receives whose bytes are kept where the card put them.
const LENT_MAX: usize = 40;

/// A buffer that came back: a card that still reads it sends what nobody expects, and so does a receive that counts
/// bytes it did not write.
pub(crate) fn poisoned(mut buffer: Buffer) -> Buffer {
    buffer.fill(0xee);
    buffer
}

#[derive(Default)]
pub(crate) struct Taking {
    /// Bytes of each posted buffer.
    len: usize,
    group: Option<BufferGroupId>,
    shared: usize,
    /// Buffers of the group that it does not have at the moment.
    kept: Vec<Buffer>,
    /// A timeout will give them back.
    in_want: bool,
    /// Connections that receive from the group.
    multishot: BTreeSet<u64>,
    /// What has come of each receive that is under way.
    fronts: HashMap<OpKey, Buffer>,
    /// Receives that lend, and the buffers that they do without.
    lending: HashSet<OpKey>,
    unused: Vec<Buffer>,
    /// Lent bytes that are kept, and what they were.
    lent: VecDeque<(Lent, Vec<u8>)>,
}

impl Taking {
    pub(crate) fn begin(&mut self, queue: &mut EventQueue, random: &mut fastrand::Rng, len: usize) {
        (self.len, self.shared) = (len, random.usize(1..=SHARED_MAX));
        self.group = Some(queue.buffer_group());
        for _ in 0..self.shared {
            self.kept.extend(queue.buffers(1, random.usize(1.max(len / 10)..=len)).expect("memory"));
        }
        self.provide(queue);
    }

    /// Receives on a connection once and for all, if chance has it so.
    pub(crate) fn for_good(
        &mut self,
        queue: &mut EventQueue,
        random: &mut fastrand::Rng,
        socket: SocketId,
        id: u64,
    ) -> bool {
        let Some(group) = self.group.filter(|_| random.u8(..3) == 0) else { return false };
        queue.recv_multishot(socket, group, any_min(random), id).expect("room for it");
        self.multishot.insert(id)
    }

    /// Receives into one buffer, all at once or part by part, or without it.
    pub(crate) fn once(
        &mut self,
        queue: &mut EventQueue,
        random: &mut fastrand::Rng,
        (socket, id): (SocketId, u64),
        buffer: Buffer,
    ) {
        let options = any_min(random);
        if random.u8(..3) == 0 {
            let most = random.usize(1..=2 * self.len);
            self.lending.insert(queue.recv_lent(socket, most, options, id).expect("room for it"));
            return self.unused.push(buffer);
        }
        let options = if random.u8(..3) == 0 { options.incremental() } else { options };
        queue.recv(socket, poisoned(buffer), options, id).expect("room for it");
    }

    /// Keeps lent bytes for a while. Most are dropped in another order than they came in.
    fn keep(&mut self, random: &mut fastrand::Rng, lent: Lent) {
        let bytes = lent.to_vec();
        self.lent.push_back((lent, bytes));
        let most = if random.u8(..16) == 0 { random.usize(..LENT_MAX) } else { LENT_MAX };
        while self.lent.len() > most {
            let kept = if random.u8(..3) > 0 { self.lent.pop_back() } else { self.lent.pop_front() };
            kept.into_iter().for_each(assert_untouched);
        }
    }

    /// Takes the buffer or the lent bytes out of a completion; what is posted next, if all of it is back.
    pub(crate) fn back(
        &mut self,
        queue: &mut EventQueue,
        random: &mut fastrand::Rng,
        done: &mut Completion,
    ) -> Option<Buffer> {
        if self.lending.remove(&done.key) {
            done.lent.take().into_iter().for_each(|lent| self.keep(random, lent));
            return self.unused.pop();
        }
        let buffer = poisoned(done.buffer.take()?);
        if done.kind != Kind::Recv {
            return Some(buffer);
        }
        if self.multishot.contains(&done.user_data) {
            self.kept.push(buffer);
            self.refill(queue, random);
            return None;
        }
        let whole = match self.fronts.remove(&done.key) {
            Some(front) => front.unsplit(buffer).expect("parts are neighbours"),
            None => buffer,
        };
        if done.flags.has_more() {
            self.fronts.insert(done.key, whole);
            return None;
        }
        assert_eq!(whole.len(), self.len, "all parts are back");
        Some(whole)
    }

    fn refill(&mut self, queue: &mut EventQueue, random: &mut fastrand::Rng) {
        if self.in_want {
            return;
        }
        if random.u8(..32) == 0 {
            let want = Duration::from_millis(random.u64(1..=WANT_MS_MAX));
            self.in_want = queue.timeout(want, LATER).is_ok();
        }
        let is_empty = self.group.and_then(|group| queue.buffers_provided(group)) == Some(0);
        if !self.in_want && (is_empty || random.bool()) {
            self.provide(queue);
        }
    }

    /// A want of buffers is over.
    pub(crate) fn later(&mut self, queue: &mut EventQueue) {
        self.in_want = false;
        self.provide(queue);
    }

    fn provide(&mut self, queue: &mut EventQueue) {
        let Some(group) = self.group else { return };
        while let Some(buffer) = self.kept.pop() {
            if let Err(refused) = queue.provide(group, buffer) {
                assert_eq!(refused.reason, SubmitReason::CardGone);
                self.kept.extend(refused.buffer);
                return;
            }
        }
    }

    /// Every buffer is back, in the group or here, and so is every page.
    pub(crate) fn assert_whole(&mut self, queue: &mut EventQueue, seed: u64) {
        self.lent.drain(..).for_each(assert_untouched);
        queue.poll(&mut Vec::new());
        let census = queue.census();
        assert_eq!((census.lent_rx_pages, census.held_pages), (0, 0), "seed {seed}: {census:?}");
        assert_eq!((self.lending.len(), self.unused.len()), (0, 0), "seed {seed}: receives that lend");
        let Some(group) = self.group else { return };
        let back = queue.reclaim(group).len() + self.kept.len();
        assert_eq!((back, self.fronts.len()), (self.shared, 0), "seed {seed}: buffers of the group");
    }
}

/// Nobody writes what is lent.
fn assert_untouched((lent, bytes): (Lent, Vec<u8>)) {
    assert!(lent.to_vec() == bytes, "{} lent bytes have changed", bytes.len());
}

fn any_min(random: &mut fastrand::Rng) -> RecvOptions {
    match random.u8(..4) {
        0 => RecvOptions::wait_all(),
        1 => RecvOptions::at_least(random.u32(1..5_000)),
        _ => RecvOptions::default(),
    }
}
