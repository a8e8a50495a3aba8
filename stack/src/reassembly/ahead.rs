//! Bytes that came before others that are missing.
//!
//! Receives what smoltcp's assembler has accepted, by its offset in the stream, and keeps exactly that: as many runs,
//! and of bytes that came twice the later ones, as smoltcp's ring would hold them. Copied at once, since a page is as
//! large for one byte as for a full segment, and one loss may keep a whole window waiting. Hands a run on, without
//! copying it again, when the stream has reached it.

use crate::store::Store;
use smoltcp::config::ASSEMBLER_MAX_SEGMENT_COUNT;

/// A stretch without gaps.
#[derive(Debug)]
struct Run {
    start: u64,
    bytes: Vec<u8>,
}

impl Run {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
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
            self.runs.insert(first, Run { start, bytes: bytes.to_vec() });
            store.ahead += bytes.len();
            return true;
        }
        let before: usize = self.runs[first..behind].iter().map(|run| run.bytes.len()).sum();
        let lead = &mut self.runs[first];
        let mut merged = match lead.start <= start {
            true => Run { start: lead.start, bytes: std::mem::take(&mut lead.bytes) },
            false => Run { start, bytes: Vec::new() },
        };
        let at = (start - merged.start) as usize;
        let inside = bytes.len().min(merged.bytes.len() - at);
        merged.bytes[at..at + inside].copy_from_slice(&bytes[..inside]);
        merged.bytes.extend_from_slice(&bytes[inside..]);
        // Of the others what reaches beyond; the first one was taken as a whole if it began before.
        for run in &self.runs[first..behind] {
            if run.end() > merged.end() {
                let over = (run.end() - merged.end()) as usize;
                merged.bytes.extend_from_slice(&run.bytes[run.bytes.len() - over..]);
            }
        }
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
        // Behind `to` smoltcp has nothing that begins there, but it may have some of what follows.
        let rest = self.runs[..reached]
            .last_mut()
            .filter(|run| run.end() > to)
            .map(|run| Run { start: to, bytes: run.bytes.split_off((to - run.start) as usize) });
        for run in self.runs.drain(..reached) {
            store.ahead -= run.bytes.len();
            if run.start <= from && from < to && run.end() == to {
                let mut bytes = run.bytes;
                bytes.drain(..(from - run.start) as usize);
                joined = Some(bytes);
            }
        }
        if let Some(rest) = rest {
            self.runs.insert(0, rest);
        }
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
            let joined = ahead.join(&mut store, from as u64, to as u64).expect("they are there");
            assert!(joined.iter().eq(ring[from..to].iter().flatten()), "NAIO_SEED={seed}");
            ahead.clear(&mut store);
            assert_eq!(store.ahead, 0, "NAIO_SEED={seed}");
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
