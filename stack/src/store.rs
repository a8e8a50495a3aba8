//! Pages that a card filled and nobody has read yet, and what they may cost.
//!
//! Receives the page of a frame whose payload somebody keeps; hands it back empty, on its way to the card. Counts how
//! many are out, so that whoever reads slowly cannot starve the card: beyond [`Store::is_low`] received bytes lie in
//! ordinary memory instead. It never looks for a page: each [`Piece`] carries its own.

use naio_dma::{Page, Pool};

/// Longest stretch of ordinary memory that received bytes are gathered in.
const CHUNK_LEN: usize = 64 << 10;

/// Received bytes, where they lie: in the page that the card wrote, or in a copy.
#[derive(Debug)]
#[must_use = "a page that is forgotten is lost to the card"]
pub enum Piece {
    /// A part of a page of the pool that the stack was made with. It comes back with
    /// [`Stack::take_back`](crate::Stack::take_back).
    Page {
        /// The page.
        page: Page,
        /// Where in it the bytes begin.
        start: u16,
        /// How many they are.
        len: u16,
    },
    /// Ordinary memory.
    Copy(Box<Copied>),
}

/// A part of ordinary memory. Boxed, so that a [`Piece`] is as small as a page's name: there are many of those.
#[derive(Debug)]
pub struct Copied {
    bytes: Vec<u8>,
    /// The bytes before have been read already.
    start: usize,
}

impl Piece {
    pub(crate) fn copy_of(bytes: &[u8]) -> Piece {
        Piece::of(bytes.to_vec())
    }

    /// Memory that is nobody else's.
    pub(crate) fn of(bytes: Vec<u8>) -> Piece {
        Piece::Copy(Box::new(Copied { bytes, start: 0 }))
    }

    /// Bytes in it.
    #[inline]
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Piece::Page { len, .. } => usize::from(*len),
            Piece::Copy(copy) => copy.bytes.len() - copy.start,
        }
    }

    /// Whether there are none: never of one that was handed out.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether it is a page.
    #[inline]
    #[must_use]
    pub fn is_page(&self) -> bool {
        matches!(self, Piece::Page { .. })
    }

    /// The bytes. `pool` is the one of the page.
    ///
    /// # Panics
    /// If it is another one.
    #[inline]
    #[must_use]
    pub fn bytes<'a>(&'a self, pool: &'a Pool) -> &'a [u8] {
        match self {
            // Both were inside the page when the piece was made.
            Piece::Page { page, start, len } => {
                &pool.bytes(page)[usize::from(*start)..usize::from(*start) + usize::from(*len)]
            }
            Piece::Copy(copy) => &copy.bytes[copy.start..],
        }
    }

    /// Forgets the first `count` bytes, at most all.
    #[inline]
    pub(crate) fn advance(&mut self, count: usize) {
        match self {
            Piece::Page { start, len, .. } => {
                // Both fit 16 bits: a page is at most 16 KiB long.
                let count = count.min(usize::from(*len)) as u16;
                (*start, *len) = (*start + count, *len - count);
            }
            Piece::Copy(copy) => copy.start = (copy.start + count).min(copy.bytes.len()),
        }
    }

    /// Keeps the first `count` bytes, at most all.
    pub(crate) fn truncate(&mut self, count: usize) {
        match self {
            Piece::Page { len, .. } => *len = count.min(usize::from(*len)) as u16,
            Piece::Copy(copy) => copy.bytes.truncate(copy.start + count),
        }
    }

    /// Adds bytes to a copy that has room for them.
    pub(crate) fn append(&mut self, more: &[u8]) -> bool {
        match self {
            Piece::Copy(copy) if copy.bytes.len() + more.len() <= CHUNK_LEN => {
                copy.bytes.extend_from_slice(more);
                true
            }
            _ => false,
        }
    }
}

/// The receive pool as the stack sees it.
pub(crate) struct Store {
    pool: Pool,
    /// Empty pages on their way to the card.
    spare: Vec<Page>,
    /// Pages in connections and datagram sockets.
    held: usize,
    /// Pages that users look at.
    lent: usize,
    /// Pages that may be either before received bytes are copied.
    out_max: usize,
    /// Bytes that came out of order, of all connections.
    pub(crate) ahead: usize,
}

impl Store {
    /// Of the pages that the card's ring of `ring` does not need, one half may be kept from turn to turn; the other
    /// half is for what arrives meanwhile.
    pub(crate) fn new(pool: Pool, ring: u32) -> Store {
        let out_max = pool.capacity().saturating_sub(ring) as usize / 2;
        Store { pool, spare: Vec::new(), held: 0, lent: 0, out_max, ahead: 0 }
    }

    #[inline]
    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Whether more pages are out than the card can do without for long.
    #[inline]
    pub(crate) fn is_low(&self) -> bool {
        self.held + self.lent > self.out_max
    }

    /// Whether so many pages are more than one connection may keep from turn to turn: half of what all may.
    #[inline]
    pub(crate) fn is_much(&self, pages: usize) -> bool {
        pages * 2 > self.out_max
    }

    pub(crate) fn held(&self) -> usize {
        self.held
    }

    pub(crate) fn lent(&self) -> usize {
        self.lent
    }

    /// A frame's page that nobody keeps.
    #[inline]
    pub(crate) fn spare(&mut self, page: Page) {
        self.spare.push(page);
    }

    /// A frame's page that is kept for `len` bytes from `start` on.
    #[inline]
    pub(crate) fn keep(&mut self, page: Page, start: u16, len: u16) -> Piece {
        self.held += 1;
        Piece::Page { page, start, len }
    }

    /// What was kept is not needed any more.
    #[inline]
    pub(crate) fn free(&mut self, piece: Piece) {
        if let Piece::Page { page, .. } = piece {
            self.held -= 1;
            self.spare.push(page);
        }
    }

    /// What was kept is not needed any more; says whether it was a page, which [`forget`](Store::forget) is told of.
    #[inline]
    pub(crate) fn reuse(&mut self, piece: Piece) -> bool {
        match piece {
            Piece::Page { page, .. } => {
                self.spare.push(page);
                true
            }
            Piece::Copy(_) => false,
        }
    }

    /// So many pages are not kept any more.
    #[inline]
    pub(crate) fn forget(&mut self, pages: usize) {
        self.held -= pages;
    }

    /// So many pages are kept.
    #[inline]
    pub(crate) fn count(&mut self, pages: usize) {
        self.held += pages;
    }

    /// Whether so many of the pages that are kept may go to users: none more are out then.
    #[inline]
    pub(crate) fn may_lend(&self, pages: usize) -> bool {
        !self.is_low() && pages <= self.held
    }

    /// So many pages that were kept have gone to users.
    #[inline]
    pub(crate) fn lend_pages(&mut self, pages: usize) {
        self.held -= pages;
        self.lent += pages;
    }

    /// What was kept goes to a user, as a copy if pages are short. Says whether it was copied.
    #[inline]
    pub(crate) fn lend(&mut self, piece: Piece) -> (Piece, bool) {
        match piece {
            Piece::Page { .. } if self.is_low() => {
                let copy = Piece::copy_of(piece.bytes(&self.pool));
                self.free(piece);
                (copy, true)
            }
            Piece::Page { .. } => {
                self.held -= 1;
                self.lent += 1;
                (piece, false)
            }
            Piece::Copy(_) => (piece, true),
        }
    }

    /// What was lent comes home.
    pub(crate) fn take_back(&mut self, pieces: &mut Vec<Piece>) {
        let before = self.spare.len();
        for piece in pieces.drain(..) {
            self.reuse(piece);
        }
        self.lent = self.lent.saturating_sub(self.spare.len() - before);
    }

    pub(crate) fn take_spare(&mut self, out: &mut Vec<Page>) {
        out.append(&mut self.spare);
    }
}
