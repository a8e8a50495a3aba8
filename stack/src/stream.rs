//! What a connection has been given to send and the peer has not acknowledged: where each byte lies.
//!
//! Receives copies of a user's bytes, or the name of the memory that they stay in; hands out, for any range of the
//! stream that smoltcp wants to send, the parts it consists of. smoltcp itself is told how many bytes there are and
//! nothing else: the ring that it believes to send from is never written.
//! Offsets count from the first byte of the stream; they never wrap.

use crate::extent::Extents;
use naio_dma::DmaSlice;
use std::collections::VecDeque;

/// Copies are kept in chunks of at most so many bytes, so that what is acknowledged is freed soon.
const CHUNK_LEN: usize = 16 << 10;

/// Where a piece of the stream lies.
enum Place {
    /// In a user's memory: the index of the stretch.
    Stretch(u32),
    /// Here.
    Copy(Vec<u8>),
}

struct Piece {
    start: u64,
    len: u32,
    place: Place,
}

impl Piece {
    fn end(&self) -> u64 {
        self.start + u64::from(self.len)
    }
}

/// A part of a range: as much of it as lies in one place.
pub(crate) enum Part<'a> {
    /// `len` bytes from `start` on of a stretch.
    Stretch { index: u32, start: u32, len: u32 },
    /// The bytes.
    Copy(&'a [u8]),
}

impl Part<'_> {
    pub(crate) fn len(&self) -> usize {
        match self {
            Part::Stretch { len, .. } => *len as usize,
            Part::Copy(bytes) => bytes.len(),
        }
    }
}

/// Everything between SND.UNA and the end of what was enqueued.
#[derive(Default)]
pub(crate) struct Stream {
    pieces: VecDeque<Piece>,
    end: u64,
    /// Bytes of copies among the pieces.
    copied: usize,
    copies: usize,
}

impl Stream {
    /// Keeps copies of `bytes` at the end.
    pub(crate) fn push_copy(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let chunk = match self.pieces.back_mut() {
                Some(Piece { place: Place::Copy(chunk), len, .. }) if chunk.len() < CHUNK_LEN => {
                    let taken = bytes.len().min(CHUNK_LEN - chunk.len());
                    chunk.extend_from_slice(&bytes[..taken]);
                    *len += taken as u32;
                    taken
                }
                _ => {
                    let chunk = bytes[..bytes.len().min(CHUNK_LEN)].to_vec();
                    let taken = chunk.len();
                    let piece = Piece { start: self.end, len: taken as u32, place: Place::Copy(chunk) };
                    self.pieces.push_back(piece);
                    self.copies += 1;
                    taken
                }
            };
            self.copied += chunk;
            self.end += chunk as u64;
            bytes = &bytes[chunk..];
        }
    }

    /// Remembers a user's memory at the end; false if there are too many stretches.
    pub(crate) fn push_stretch(&mut self, extents: &mut Extents, slice: DmaSlice, token: u64) -> bool {
        match self.pieces.back_mut() {
            Some(Piece { place: Place::Stretch(index), len, .. }) if extents.extend(*index, slice, token) => {
                *len += slice.len();
            }
            _ => {
                let Some(index) = extents.hold(slice, token) else { return false };
                let place = Place::Stretch(index);
                self.pieces.push_back(Piece { start: self.end, len: slice.len(), place });
            }
        }
        self.end += u64::from(slice.len());
        true
    }

    /// Forgets what is acknowledged entirely: everything before `offset`.
    #[inline]
    pub(crate) fn acknowledge(&mut self, extents: &mut Extents, offset: u64) {
        while let Some(piece) = self.pieces.front()
            && piece.end() <= offset
        {
            match &piece.place {
                Place::Stretch(index) => extents.let_go(*index),
                Place::Copy(chunk) => {
                    self.copied -= chunk.len();
                    self.copies -= 1;
                }
            }
            self.pieces.pop_front();
        }
    }

    /// Forgets everything: nothing of it will be sent again.
    pub(crate) fn clear(&mut self, extents: &mut Extents) {
        self.acknowledge(extents, u64::MAX);
    }

    /// The transmit pages that sending all of it at once could need, if a page holds `page_len` bytes.
    #[inline]
    pub(crate) fn pages(&self, page_len: usize) -> usize {
        if self.copies == 0 { 0 } else { self.copies + self.copied / page_len }
    }

    /// The bytes from `offset` on, as long as they are copies: writes them into `out` and says how many there were.
    pub(crate) fn copy_out(&self, offset: u64, out: &mut [u8]) -> usize {
        let mut known = 0;
        for part in self.parts(offset, out.len()) {
            let Part::Copy(bytes) = part else { break };
            out[known..known + bytes.len()].copy_from_slice(bytes);
            known += bytes.len();
        }
        known
    }

    /// How many of `len` bytes from `offset` on are copies, up to the first one that is not.
    pub(crate) fn copies(&self, offset: u64, len: usize) -> usize {
        let copies = self.parts(offset, len).take_while(|part| matches!(part, Part::Copy(_)));
        copies.map(|part| part.len()).sum()
    }

    /// The first part of `len` bytes from `offset` on, if those are known.
    #[inline]
    pub(crate) fn part(&self, offset: u64, len: usize) -> Option<Part<'_>> {
        let piece = self.pieces.get(self.first(offset))?;
        let from = offset.checked_sub(piece.start)? as u32;
        // The rest of the piece, or as much of it as is wanted.
        let len = (piece.len - from).min(u32::try_from(len).unwrap_or(u32::MAX));
        match &piece.place {
            Place::Stretch(index) => Some(Part::Stretch { index: *index, start: from, len }),
            Place::Copy(chunk) => Some(Part::Copy(chunk.get(from as usize..(from + len) as usize)?)),
        }
    }

    /// The piece that `offset` is in, or the next one.
    #[inline]
    fn first(&self, offset: u64) -> usize {
        match self.pieces.front() {
            // The common case without a search.
            Some(piece) if offset < piece.end() => 0,
            _ => self.pieces.partition_point(|piece| piece.end() <= offset),
        }
    }

    /// The parts of `len` bytes from `offset` on, as far as they are known here.
    pub(crate) fn parts(&self, offset: u64, len: usize) -> impl Iterator<Item = Part<'_>> {
        let end = offset + len as u64;
        let pieces = self.pieces.range(self.first(offset)..).take_while(move |piece| piece.start < end);
        pieces.filter_map(move |piece| {
            let from = offset.max(piece.start) - piece.start;
            let to = end.min(piece.end()) - piece.start;
            // Both are at most the length of the piece; before the first piece there is nothing.
            let (start, len) = (from as u32, to.checked_sub(from)? as u32);
            match &piece.place {
                Place::Stretch(index) => Some(Part::Stretch { index: *index, start, len }),
                Place::Copy(chunk) => Some(Part::Copy(chunk.get(from as usize..to as usize)?)),
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use naio_dma::{Buffer, Domain, Pool};
    use naio_testkit::seeds;

    fn extents(domain: &Domain) -> Extents {
        Extents::new(Pool::new(domain, 1, 2048).expect("memory"))
    }

    /// What the parts of a range say, read the way a card would.
    fn read(stream: &Stream, extents: &mut Extents, domain: &Domain, offset: u64, len: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for part in stream.parts(offset, len) {
            match part {
                Part::Copy(copy) => bytes.extend_from_slice(copy),
                Part::Stretch { index, start, len } => {
                    let fragment = extents.refer(index, start, len).expect("inside");
                    let mut seen = vec![0; len as usize];
                    domain.bus().read(fragment.slice.iova().as_u64(), &mut seen).expect("visible");
                    bytes.extend(seen);
                    assert!(extents.release(fragment.extent));
                }
            }
        }
        bytes
    }

    #[test]
    fn any_range_is_found_whatever_it_is_made_of() {
        for seed in seeds(1, 200) {
            let mut random = fastrand::Rng::with_seed(seed);
            let domain = Domain::new();
            let mut extents = extents(&domain);
            let mut buffer = Buffer::allocate(&domain, 1, 40_000).expect("memory").pop().expect("one");
            buffer.iter_mut().for_each(|byte| *byte = random.u8(..));
            let (mut stream, mut expected, mut acknowledged) = (Stream::default(), Vec::new(), 0);
            let mut at = 0;
            for step in 0..40 {
                match random.u8(..3) {
                    0 => {
                        let bytes: Vec<u8> =
                            (0..random.usize(1..30_000)).map(|n| (n * 7 + step) as u8).collect();
                        stream.push_copy(&bytes);
                        expected.extend(bytes);
                    }
                    1 if at < buffer.len() => {
                        let end = (at + random.usize(1..4_000)).min(buffer.len());
                        let slice = buffer.slice(at..end).expect("inside");
                        assert!(stream.push_stretch(&mut extents, slice, random.u64(..2)));
                        expected.extend_from_slice(&buffer[at..end]);
                        at = end;
                    }
                    _ => {
                        acknowledged = random.usize(acknowledged..=expected.len());
                        stream.acknowledge(&mut extents, acknowledged as u64);
                    }
                }
                let from = random.usize(acknowledged..=expected.len());
                let len = random.usize(..=(expected.len() - from).min(65_000));
                let seen = read(&stream, &mut extents, &domain, from as u64, len);
                assert_eq!(seen, expected[from..from + len], "seed {seed} step {step}");
            }
            stream.clear(&mut extents);
            assert_eq!(extents.stretches(), 0, "seed {seed}");
            assert_eq!((stream.copied, stream.copies), (0, 0));
        }
    }

    #[test]
    fn what_is_forgotten_has_no_parts() {
        let domain = Domain::new();
        let mut extents = extents(&domain);
        let mut stream = Stream::default();
        stream.push_copy(&[1; 10]);
        stream.acknowledge(&mut extents, 10);
        stream.push_copy(&[2; 10]);
        // A keep-alive repeats the byte before SND.UNA.
        assert_eq!(stream.parts(9, 1).count(), 0);
        assert_eq!(stream.parts(20, 5).count(), 0);
        assert_eq!(stream.parts(15, 50).map(|part| part.len()).sum::<usize>(), 5);
    }
}
