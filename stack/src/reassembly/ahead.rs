//! Bytes that came before others that are missing.
//!
//! Receives what smoltcp's assembler has accepted, by its offset in the stream, and keeps exactly that: as many runs,
//! and of bytes that came twice the later ones, as smoltcp's ring would hold them. Copied at once, since a page is as
//! large for one byte as for a full segment, and one loss may keep a whole window waiting. Hands a whole run on
//! in its own memory when the stream has reached it. It never moves a run for each segment that is added to it.

use crate::store::Store;
use smoltcp::config::ASSEMBLER_MAX_SEGMENT_COUNT;
use std::collections::VecDeque;
use std::ops::Range;

/// A stretch without gaps. It grows at both ends for what is added: a peer that sends a window backwards makes nobody
/// move the whole of it for each segment.
#[derive(Debug, Default)]
struct Run {
    start: u64,
    bytes: VecDeque<u8>,
}

impl Run {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }

    /// Bytes that touch these or overlap with them: in place of what is here, and beyond it at both ends.
    fn put(&mut self, start: u64, bytes: &[u8]) {
        let before = self.start.saturating_sub(start) as usize;
        let (before, bytes) = bytes.split_at(before);
        let at = start.saturating_sub(self.start) as usize;
        let (inside, behind) = bytes.split_at(bytes.len().min(self.bytes.len() - at));
        moved(inside.len());
        self.bytes.range_mut(at..at + inside.len()).zip(inside).for_each(|(to, from)| *to = *from);
        self.append(behind);
        self.prepend(before);
    }

    /// What another run that touches this one or overlaps with it has beyond its ends.
    fn take_in(&mut self, other: &Run) {
        let len = other.bytes.len();
        let before = len.min(self.start.saturating_sub(other.start) as usize);
        let behind = len.min(other.end().saturating_sub(self.end()) as usize);
        other.slices(len - behind..len).into_iter().for_each(|bytes| self.append(bytes));
        other.slices(0..before).into_iter().rev().for_each(|bytes| self.prepend(bytes));
    }

    /// Takes out what lies before an offset that is not beyond the end. The shorter part is copied.
    fn split_to(&mut self, to: u64) -> VecDeque<u8> {
        let count = (to - self.start) as usize;
        self.start = to;
        let rest = self.bytes.len() - count;
        moved(count.min(rest));
        if rest < count {
            let rest = self.bytes.split_off(count);
            return std::mem::replace(&mut self.bytes, rest);
        }
        let taken = self.bytes.drain(..count).collect();
        // No more memory than a few times what is here and counted.
        if rest < self.bytes.capacity() / 4 {
            moved(rest);
            self.bytes.shrink_to_fit();
        }
        taken
    }

    fn append(&mut self, bytes: &[u8]) {
        self.reserve(bytes.len());
        moved(bytes.len());
        self.bytes.extend(bytes);
    }

    fn prepend(&mut self, bytes: &[u8]) {
        let (count, len) = (bytes.len(), self.bytes.len());
        self.append(bytes);
        // The shorter part goes to the other end.
        moved(count.min(len));
        self.bytes.rotate_right(count);
        self.start -= count as u64;
    }

    fn reserve(&mut self, more: usize) {
        if self.bytes.capacity() - self.bytes.len() < more {
            moved(self.bytes.len());
            self.bytes.reserve(more);
        }
    }

    fn slices(&self, range: Range<usize>) -> [&[u8]; 2] {
        let (one, two) = self.bytes.as_slices();
        let (Range { start, end }, cut) = (range, one.len());
        [&one[start.min(cut)..end.min(cut)], &two[start.saturating_sub(cut)..end.saturating_sub(cut)]]
    }
}

#[cfg(test)]
thread_local! {
    /// Bytes that were written somewhere, by this thread.
    static MOVED: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Counts for the tests, which have no clock.
#[inline]
fn moved(_count: usize) {
    #[cfg(test)]
    MOVED.set(MOVED.get() + _count);
}

/// Runs in order; between two of them something is missing.
#[derive(Debug, Default)]
pub(crate) struct Ahead {
    runs: Vec<Run>,
}

impl Ahead {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.runs.is_empty()
    }

    /// Adds bytes at an offset beyond the end of what is in order. False if smoltcp refuses them, too: another gap is
    /// more than it can remember.
    pub(crate) fn insert(&mut self, store: &mut Store, start: u64, bytes: &[u8]) -> bool {
        let end = start + bytes.len() as u64;
        // Runs that the new bytes touch or overlap.
        let first = self.runs.partition_point(|run| run.end() < start);
        let behind = self.runs.partition_point(|run| run.start <= end);
        if first >= behind {
            if self.runs.len() >= ASSEMBLER_MAX_SEGMENT_COUNT {
                return false;
            }
            moved(bytes.len());
            self.runs.insert(first, Run { start, bytes: bytes.to_vec().into() });
            store.ahead += bytes.len();
            return true;
        }
        let touched = &mut self.runs[first..behind];
        let before: usize = touched.iter().map(|run| run.bytes.len()).sum();
        // The longest takes in the others: a byte that is moved to another run is in one twice as long from then on.
        let longest = touched.iter_mut().max_by_key(|run| run.bytes.len());
        let mut merged = longest.map(std::mem::take).unwrap_or_default();
        merged.put(start, bytes);
        touched.iter().for_each(|run| merged.take_in(run));
        store.ahead = store.ahead + merged.bytes.len() - before;
        self.runs[first] = merged;
        self.runs.drain(first + 1..behind);
        true
    }

    /// Whether the byte at an offset is here.
    pub(crate) fn reaches(&self, at: u64) -> bool {
        self.runs.iter().any(|run| run.start <= at && at < run.end())
    }

    /// The stream is in order up to `from`, and smoltcp says up to `to`: takes out the bytes between them, if they are
    /// here, and forgets what lies before.
    pub(crate) fn join(&mut self, store: &mut Store, from: u64, to: u64) -> Option<Vec<u8>> {
        let mut joined = None;
        let reached = self.runs.partition_point(|run| run.start <= to);
        for run in &mut self.runs[..reached] {
            // Behind `to` smoltcp has nothing that begins there, but it may have some of what follows.
            let (start, end) = (run.start, run.end().min(to));
            let mut bytes = run.split_to(end);
            store.ahead -= bytes.len();
            if start <= from && from < to && end == to {
                bytes.drain(..(from - start) as usize);
                moved(bytes.len());
                joined = Some(bytes.into());
            }
        }
        self.runs.retain(|run| !run.bytes.is_empty());
        joined
    }

    pub(crate) fn clear(&mut self, store: &mut Store) {
        store.ahead -= self.runs.drain(..).map(|run| run.bytes.len()).sum::<usize>();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use naio_dma::{Domain, Pool};

    /// Against one byte for each offset, as a ring would have it.
    #[test]
    fn runs_hold_what_a_ring_would() {
        const LEN: usize = 200;
        for seed in naio_testkit::seeds(1, 2_000) {
            let mut random = fastrand::Rng::with_seed(seed);
            let pool = Pool::new(&Domain::new(), 1, 2_048).expect("memory");
            let (mut store, mut ahead) = (Store::new(pool, 0), Ahead::default());
            let mut ring: [Option<u8>; LEN] = [None; LEN];
            for _ in 0..random.usize(1..60) {
                let start = random.usize(1..LEN - 1);
                let bytes: Vec<u8> =
                    (0..random.usize(1..20.min(LEN - start + 1))).map(|_| random.u8(..)).collect();
                let bytes = &bytes[..bytes.len().min(LEN - start)];
                assert!(ahead.insert(&mut store, start as u64, bytes), "NAIO_SEED={seed}");
                ring[start..start + bytes.len()]
                    .iter_mut()
                    .zip(bytes)
                    .for_each(|(to, from)| *to = Some(*from));
                let mut mirrored = [None; LEN];
                for run in &ahead.runs {
                    let at = run.start as usize;
                    mirrored[at..at + run.bytes.len()]
                        .iter_mut()
                        .zip(&run.bytes)
                        .for_each(|(to, b)| *to = Some(*b));
                }
                assert_eq!(mirrored, ring, "NAIO_SEED={seed}");
                assert!(ahead.runs.windows(2).all(|two| two[0].end() < two[1].start), "NAIO_SEED={seed}");
                assert_eq!(store.ahead, ring.iter().flatten().count(), "NAIO_SEED={seed}");
            }
            let from = ring.iter().position(Option::is_some).expect("something was added");
            let to = from + ring[from..].iter().position(Option::is_none).unwrap_or(LEN - from);
            let kept = ring[to..].iter().flatten().count();
            let middle = random.usize(from + 1..=to);
            for part in [from..middle, middle..to].into_iter().filter(|part| !part.is_empty()) {
                let joined =
                    ahead.join(&mut store, part.start as u64, part.end as u64).expect("they are there");
                assert!(joined.iter().eq(ring[part.clone()].iter().flatten()), "NAIO_SEED={seed}");
                assert_eq!(store.ahead, kept + to - part.end, "NAIO_SEED={seed}");
            }
            ahead.clear(&mut store);
            assert_eq!(store.ahead, 0, "NAIO_SEED={seed}");
        }
    }

    /// In whatever order a window comes and however it leaves, byte by byte at worst.
    #[test]
    fn a_window_in_small_pieces_is_moved_a_few_times() {
        const LEN: u64 = 64 << 10;
        let backwards: Vec<u64> = (1..=LEN).rev().collect();
        let forwards: Vec<u64> = (1..=LEN).collect();
        // Each second one closes the gap between the one before and all the others.
        let backwards_in_pairs: Vec<u64> = backwards.chunks(2).flat_map(|two| [two[1], two[0]]).collect();
        let forwards_in_pairs: Vec<u64> = forwards.chunks(2).flat_map(|two| [two[1], two[0]]).collect();
        // Both ends in turn.
        let outwards: Vec<u64> = (0..LEN / 2).flat_map(|n| [LEN / 2 - n, LEN / 2 + 1 + n]).collect();
        for order in [backwards, forwards, backwards_in_pairs, forwards_in_pairs, outwards] {
            for step in [LEN, LEN / 2 + 1, 1] {
                let pool = Pool::new(&Domain::new(), 1, 2_048).expect("memory");
                let (mut store, mut ahead) = (Store::new(pool, 0), Ahead::default());
                MOVED.set(0);
                for &at in &order {
                    assert!(ahead.insert(&mut store, at, &[at as u8]));
                }
                assert_eq!((ahead.runs.len(), store.ahead as u64), (1, LEN));
                let mut next = 1;
                while next <= LEN {
                    let to = (next + step).min(LEN + 1);
                    let bytes = ahead.join(&mut store, next, to).expect("they are there");
                    assert!(bytes.iter().copied().eq((next..to).map(|at| at as u8)));
                    next = to;
                }
                assert_eq!((ahead.is_empty(), store.ahead), (true, 0));
                assert!(MOVED.get() as u64 <= 8 * LEN, "{} for {LEN} in steps of {step}", MOVED.get());
            }
        }
    }

    #[test]
    fn no_more_gaps_than_the_engine_remembers() {
        let pool = Pool::new(&Domain::new(), 1, 2_048).expect("memory");
        let (mut store, mut ahead) = (Store::new(pool, 0), Ahead::default());
        for n in 0..ASSEMBLER_MAX_SEGMENT_COUNT as u64 {
            assert!(ahead.insert(&mut store, 10 + 2 * n, &[1]));
        }
        assert!(!ahead.insert(&mut store, 1_000, &[1]));
        assert!(ahead.insert(&mut store, 11, &[1]), "what closes a gap is no new one");
        assert!(ahead.insert(&mut store, 1_000, &[1]));
    }
}
