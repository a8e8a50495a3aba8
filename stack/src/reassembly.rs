//! The received side of a connection's stream: the bytes that smoltcp has counted and nobody taken, where they lie.
//!
//! smoltcp sees headers and zeros; it alone decides what is accepted, by how far its receive queue grows. Receives the
//! pieces that it was told about and that growth; hands them on in order, each byte copied once or not at all. What
//! came out of order lies in [`ahead`](Ahead) until the gap before it is closed. It never reorders and never guesses:
//! bytes that smoltcp counts and that are not here break the connection.

mod ahead;

pub(crate) use ahead::Ahead;

use crate::store::{Piece, Store};

#[derive(Default)]
pub(crate) struct Reassembly {
    /// Those before `first` are used up, and only those are `None`.
    pieces: Vec<Option<Piece>>,
    first: usize,
    /// Bytes of them that smoltcp has accepted.
    ready: usize,
    /// How many of them, at the end, smoltcp has not decided on.
    undecided: usize,
    /// Bytes of those.
    undecided_len: usize,
    /// How many of the pieces lie in pages.
    pages: usize,
    pub(crate) ahead: Ahead,
    /// On the list of those that hold pages.
    pub(crate) listed: bool,
}

/// Bytes are missing that smoltcp has accepted.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Missing;

impl Reassembly {
    /// Bytes that can be taken.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.ready
    }

    /// Whether smoltcp has decided on everything.
    pub(crate) fn is_decided(&self) -> bool {
        self.undecided == 0
    }

    /// The next bytes of the stream, for smoltcp to decide on.
    #[inline]
    pub(crate) fn push(&mut self, piece: Piece) {
        self.pages += usize::from(piece.is_page());
        self.undecided += 1;
        self.undecided_len += piece.len();
        self.pieces.push(Some(piece));
    }

    /// The same for a page of a run; [`push_run`](Reassembly::push_run) counts them.
    #[inline]
    pub(crate) fn push_page(&mut self, piece: Piece) {
        self.pieces.push(Some(piece));
    }

    /// Pieces that are here or used up: how far this grows is how many have been pushed.
    #[inline]
    pub(crate) fn count(&self) -> usize {
        self.pieces.len()
    }

    /// `count` pages with `len` bytes have been pushed.
    #[inline]
    pub(crate) fn push_run(&mut self, count: usize, len: usize) {
        self.undecided += count;
        self.undecided_len += len;
        self.pages += count;
    }

    /// smoltcp has accepted `growth` bytes at `offset` of the stream: what was pushed, less what it cut off, and behind
    /// that what had come ahead.
    #[inline]
    pub(crate) fn settle(&mut self, store: &mut Store, offset: u64, growth: usize) -> Result<(), Missing> {
        if growth == self.undecided_len && self.ahead.is_empty() {
            self.ready += growth;
            (self.undecided, self.undecided_len) = (0, 0);
            return Ok(());
        }
        self.settle_apart(store, offset, growth)
    }

    #[inline(never)]
    fn settle_apart(&mut self, store: &mut Store, offset: u64, growth: usize) -> Result<(), Missing> {
        while self.undecided_len > growth {
            let Some(mut last) = self.pieces.pop().flatten() else { break };
            let (len, over) = (last.len(), self.undecided_len - growth);
            if len > over {
                last.truncate(len - over);
                self.pieces.push(Some(last));
                self.undecided_len = growth;
                break;
            }
            self.pages -= usize::from(last.is_page());
            store.free(last);
            self.undecided -= 1;
            self.undecided_len -= len;
        }
        let (from, to) = (offset + self.undecided_len as u64, offset + growth as u64);
        self.ready += self.undecided_len;
        (self.undecided, self.undecided_len) = (0, 0);
        let joined = self.ahead.join(store, from, to);
        if from < to {
            let bytes = joined.ok_or(Missing)?;
            self.ready += bytes.len();
            self.pieces.push(Some(Piece::of(bytes)));
        }
        Ok(())
    }

    /// Copies bytes out, at most as many as fit.
    #[inline(never)]
    pub(crate) fn read(&mut self, store: &mut Store, into: &mut [u8]) -> usize {
        // What is undecided begins with a piece of its own.
        let (most, mut taken, mut pages) = (self.ready.min(into.len()), 0, 0);
        for place in self.pieces.get_mut(self.first..).unwrap_or_default() {
            let Some(piece) = place.as_mut().filter(|_| taken < most) else { break };
            let bytes = piece.bytes(store.pool());
            let (len, count) = (bytes.len(), bytes.len().min(most - taken));
            into[taken..taken + count].copy_from_slice(&bytes[..count]);
            taken += count;
            if count < len {
                piece.advance(count);
                break;
            }
            pages += usize::from(place.take().is_some_and(|piece| store.reuse(piece)));
            self.first += 1;
        }
        store.forget(pages);
        self.pages -= pages;
        self.ready -= taken;
        self.tidy();
        taken
    }

    /// Forgets places that are used up, seldom enough to cost little.
    #[inline]
    fn tidy(&mut self) {
        if self.first == self.pieces.len() {
            self.pieces.clear();
            self.first = 0;
        } else if self.first > self.pieces.len() / 2 {
            self.pieces.drain(..self.first);
            self.first = 0;
        }
    }

    /// Takes whole pieces out as they are, as long as they have `most` bytes together or fewer, but at least one;
    /// appends them and says how many bytes they have, and whether any was copied.
    pub(crate) fn lend(&mut self, store: &mut Store, most: usize, out: &mut Vec<Piece>) -> (usize, bool) {
        let pieces = self.pieces.get(self.first..).unwrap_or_default();
        // The first one whatever its length; what is undecided begins with a piece of its own.
        let first = pieces.first().and_then(Option::as_ref).map_or(0, Piece::len);
        let most = most.max(first).min(self.ready);
        let (mut taken, mut whole, mut pages) = (0, 0, 0);
        for piece in pieces.iter().flatten() {
            let end = taken + piece.len();
            if end > most {
                break;
            }
            (taken, whole, pages) = (end, whole + 1, pages + usize::from(piece.is_page()));
        }
        let mut copied = pages < whole;
        // Where there are plenty, pages are counted once for all.
        if store.may_lend(self.pages) {
            self.take_out(whole, |piece| out.push(piece));
            store.lend_pages(pages);
        } else {
            self.take_out(whole, |piece| {
                let (piece, is_copy) = store.lend(piece);
                out.push(piece);
                copied |= is_copy;
            });
        }
        self.pages -= pages;
        self.ready -= taken;
        (taken, copied)
    }

    /// Takes out the first `whole` pieces.
    #[inline(always)]
    fn take_out(&mut self, whole: usize, mut each: impl FnMut(Piece)) {
        let end = self.first + whole;
        if end < self.pieces.len() {
            self.pieces[self.first..end].iter_mut().filter_map(Option::take).for_each(each);
        } else {
            for place in self.pieces.drain(self.first..) {
                let Some(piece) = place else { break };
                each(piece);
            }
        }
        self.first = end.min(self.pieces.len());
        self.tidy();
    }

    /// Pages that are held for whoever reads.
    #[inline]
    pub(crate) fn pages(&self) -> usize {
        self.pages
    }

    /// Moves what lies in pages into ordinary memory, so that the card gets them back; says how many.
    pub(crate) fn evacuate(&mut self, store: &mut Store) -> u64 {
        let moved = self.pages as u64;
        let mut copies: Vec<Option<Piece>> = Vec::new();
        for piece in self.pieces.drain(..).flatten() {
            if !piece.is_page() {
                copies.push(Some(piece));
                continue;
            }
            let bytes = piece.bytes(store.pool());
            if !copies.last_mut().and_then(Option::as_mut).is_some_and(|last| last.append(bytes)) {
                copies.push(Some(Piece::copy_of(bytes)));
            }
            store.free(piece);
        }
        (self.pieces, self.first, self.pages) = (copies, 0, 0);
        moved
    }

    /// Nobody will read any more.
    pub(crate) fn clear(&mut self, store: &mut Store) {
        self.pieces.drain(..).flatten().for_each(|piece| store.free(piece));
        self.ahead.clear(store);
        (self.ready, self.undecided, self.undecided_len, self.pages, self.first) = (0, 0, 0, 0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use naio_dma::{Domain, Pool};

    /// A slow reader's pages go back to the card, and the bytes stay in their order.
    #[test]
    fn evacuated_bytes_stay_in_order() {
        for seed in naio_testkit::seeds(1, 500) {
            let mut random = fastrand::Rng::with_seed(seed);
            let pool = Pool::new(&Domain::new(), 16, 256).expect("memory");
            let (mut store, mut reassembly) = (Store::new(pool.clone(), 0), Reassembly::default());
            let (mut written, mut read) = (Vec::new(), Vec::new());
            for _ in 0..200 {
                let len = random.usize(1..200);
                let bytes: Vec<u8> = (0..len).map(|_| random.u8(..)).collect();
                match random.u32(0..5) {
                    0 => reassembly.push(Piece::copy_of(&bytes)),
                    1 => {
                        let mut into = vec![0; random.usize(1..600)];
                        let taken = reassembly.read(&mut store, &mut into);
                        read.extend_from_slice(&into[..taken]);
                        continue;
                    }
                    2 => {
                        reassembly.evacuate(&mut store);
                        assert_eq!((reassembly.pages(), store.held()), (0, 0), "NAIO_SEED={seed}");
                        continue;
                    }
                    _ => {
                        let mut spare = Vec::new();
                        store.take_spare(&mut spare);
                        spare.into_iter().for_each(|page| pool.give(page));
                        let Some(mut page) = pool.take() else { continue };
                        pool.bytes_mut(&mut page)[7..7 + len].copy_from_slice(&bytes);
                        reassembly.push(store.keep(page, 7, len as u16));
                    }
                }
                written.extend_from_slice(&bytes);
                assert_eq!(reassembly.settle(&mut store, 0, len), Ok(()), "NAIO_SEED={seed}");
            }
            let mut rest = vec![0; reassembly.len()];
            reassembly.read(&mut store, &mut rest);
            read.extend(rest);
            assert!(read == written, "NAIO_SEED={seed}");
            assert_eq!((reassembly.len(), reassembly.pages(), store.held()), (0, 0, 0), "NAIO_SEED={seed}");
        }
    }
}
