//! The contract *above* a driver: what any network card looks like to the data plane.
//!
//! A [`Nic`] takes empty pages and packets down and hands frames and finished extents up, always in
//! batches and always by value. It never calls anybody: the event queue's turn carries things from
//! room to room. Frames are described in [`rx`], packets in [`tx`], what a card can do in [`caps`]
//! and what it counted in [`counters`].
#![forbid(unsafe_code)]

pub mod caps;
pub mod counters;
pub mod rx;
pub mod tx;

pub use caps::{Caps, Link, Mac, Segmentation};
pub use counters::Counters;
pub use rx::{RxChecksum, RxFrame};
pub use tx::{ExtentId, Fragment, TxChecksum, TxPacket};

use naio_dma::{Page, Pool};
use std::os::fd::BorrowedFd;

/// How the card is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It works.
    Alive,
    /// Its owner wants it back: finish what can be finished soon, then drop the `Nic`.
    ReleaseRequested,
    /// It answers all ones: it is gone. Nothing moves any more; drop the `Nic`.
    Gone,
}

/// A network card behind its driver. Object-safe; each verb takes a batch.
///
/// A turn calls, in this order: `reap_tx`, `reap_rx`, …, `post_rx`, `post_tx`, `ring`. No verb
/// blocks, allocates in the steady state, or calls back.
pub trait Nic: Send {
    /// What the card can do. Constant for the life of the value.
    fn caps(&self) -> &Caps;

    /// The pool that received frames lie in, and whose pages `post_rx` takes.
    fn rx_pool(&self) -> &Pool;

    /// The link now, from the card's status register: not for every turn.
    fn link(&mut self) -> Link;

    /// Whether the card still answers, and whether somebody wants it back. Not for every turn.
    fn health(&mut self) -> Health;

    /// Pages of [`Nic::rx_pool`] that the driver holds: in the ring and spare. With those held above,
    /// they are all there are.
    fn rx_pages(&self) -> usize;

    /// Lets frames to these multicast groups in, and to no others but by accident (cards filter by a
    /// hash). Writes registers: not for every turn.
    fn set_multicast(&mut self, groups: &[Mac]);

    /// Hands received frames up, at most `budget`, oldest first, appended to `frames`. For every
    /// frame a spare page has taken its place in the ring already; without a spare page the frame is
    /// dropped and counted ([`Counters::rx_no_page`]), so a slow user never starves the card.
    /// Bad frames are counted and never handed up. Returns the number appended.
    fn reap_rx(&mut self, frames: &mut Vec<RxFrame>, budget: usize) -> usize;

    /// Takes empty pages (of [`Nic::rx_pool`]) as spares, all of them; `pages` is empty afterwards.
    fn post_rx(&mut self, pages: &mut Vec<Page>);

    /// How many packets it makes sense to bring now: `post_tx` takes that many of the common shape, and
    /// leaves over what does not fit.
    fn tx_room(&self) -> usize;

    /// Takes packets from the front of `packets`, in order, as long as the ring has room. Returns
    /// how many; the others stay where they are. A packet that is [cut](TxPacket::mss) below may be taken
    /// before all of it fits: the rest follows with the next `reap_tx` and `ring`.
    fn post_tx(&mut self, packets: &mut Vec<TxPacket>) -> usize;

    /// Appends the extents of packets that the card is done with, in the order they were posted: one
    /// entry for each fragment of each packet.
    fn reap_tx(&mut self, released: &mut Vec<ExtentId>);

    /// Tells the card about everything posted since the last call: at most one write per ring.
    fn ring(&mut self);

    /// Everything counted so far, hardware and software. Reads registers: not for every turn.
    fn counters(&mut self) -> Counters;

    /// The interrupt to wait for when idle, if the platform has one.
    fn irq_fd(&self) -> Option<BorrowedFd<'_>>;

    /// Asks for one interrupt at the next event (armed), or for none; arming also acknowledges.
    /// Returns false where there is no interrupt.
    fn arm_irq(&mut self, armed: bool) -> bool;
}
