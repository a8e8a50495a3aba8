//! The card's fast side: frames into posted descriptors, and out of them.

use super::State;
use crate::desc::{rx, tx};
use crate::regs::*;
use naio_sys::checksum::Sum;

/// What the card remembers between transmit descriptors, and what left it.
#[derive(Default)]
pub(crate) struct Transmitter {
    /// Frames on the wire, padding included.
    pub(crate) sent: Vec<Vec<u8>>,
    /// Every context descriptor, in order.
    pub(crate) contexts: Vec<(u64, u64)>,
    /// Descriptors of the frame under way, and of each frame sent.
    pieces: Vec<(u64, u64)>,
    pub(crate) pieces_sent: Vec<usize>,
    /// Slots reported done.
    pub(crate) reports: usize,
    /// Sends whatever is in the ring without looking, as a ring that was scribbled on must be.
    pub(crate) lawless: bool,
}

const RX_BUFFER_LEN: usize = 2048;
const COMMAND: u64 = tx::DEXT | tx::DTYP_DATA | tx::IFCS | tx::TXSM;

impl State {
    /// Where descriptor `index` of the ring at `base` stands.
    pub(crate) fn slot(&self, base: u32, index: u32) -> u64 {
        u64::from(self.reg(base)) + 16 * u64::from(index)
    }

    fn after(&self, len: u32, index: u32) -> u32 {
        (index + 1) % (self.reg(len) / 16)
    }

    /// Descriptors the card may fill.
    pub(crate) fn rx_owned(&self) -> u32 {
        // No ring at all, after a reset.
        let count = (self.reg(RDLEN) / 16).max(1);
        (self.reg(RDT) + count - self.reg(RDH)) % count
    }

    /// Fills the next buffer with `data` and writes `word` back, true or not.
    pub(crate) fn write_back(&mut self, data: &[u8], word: u64) -> bool {
        if self.rx_owned() == 0 || !self.master || self.reg(RCTL) & rctl::EN == 0 {
            return false;
        }
        let slot = self.slot(RDBAL, self.reg(RDH));
        let address = self.bus.load(slot).expect("the ring is there");
        // An IOMMU would stop it here too, and the descriptor would be written all the same.
        self.faults += u32::from(self.bus.write(address, data).is_err());
        self.bus.store(slot + 8, word).expect("the ring is there");
        self.set(RDH, self.after(RDLEN, self.reg(RDH)));
        true
    }

    /// Receives a frame as QEMU does: no checksum verdict, FCS stripped. False without room.
    pub(crate) fn deliver(&mut self, frame: &[u8]) -> bool {
        let pieces: Vec<&[u8]> = frame.chunks(RX_BUFFER_LEN).collect();
        if (self.rx_owned() as usize) < pieces.len() || !self.link() {
            return false;
        }
        let count = pieces.len();
        pieces.iter().enumerate().all(|(n, piece)| {
            let end = if n + 1 == count { rx::EOP | rx::IXSM } else { 0 };
            self.write_back(piece, rx::DD | end | piece.len() as u64)
        })
    }

    /// Works off the transmit ring, at most `limit` descriptors, and insists on the rules.
    pub(crate) fn transmit(&mut self, limit: usize) {
        for _ in 0..limit {
            let head = self.reg(TDH);
            if head == self.reg(TDT) || !self.master || self.reg(TCTL) & tctl::EN == 0 {
                break;
            }
            let slot = self.slot(TDBAL, head);
            if self.tx.lawless {
                let high = self.bus.load(slot + 8).expect("ring");
                self.bus.store(slot + 8, high | tx::DD).expect("ring");
                self.set(TDH, self.after(TDLEN, head));
                continue;
            }
            let (low, high) = (self.bus.load(slot).expect("ring"), self.bus.load(slot + 8).expect("ring"));
            assert!(high & tx::DEXT != 0, "extended descriptors only");
            assert!(high & tx::DD == 0, "a stale report would be believed");
            if high & tx::DTYP_DATA == 0 {
                assert!(self.tx.pieces.is_empty(), "a context does not stand inside a packet");
                self.tx.contexts.push((low, high));
            } else {
                self.tx.pieces.push((low, high));
                if high & tx::EOP != 0 {
                    self.finish_frame();
                }
            }
            if high & tx::RS != 0 {
                self.tx.reports += 1;
                self.bus.store(slot + 8, high | tx::DD).expect("ring");
            }
            self.set(TDH, self.after(TDLEN, head));
        }
    }

    fn finish_frame(&mut self) {
        let pieces = std::mem::take(&mut self.tx.pieces);
        let mut frame = Vec::new();
        for &(address, high) in &pieces {
            let start = frame.len();
            let len = (high & 0xf_ffff) as usize;
            assert!(len > 0 && address != 0, "no empty descriptors");
            assert_eq!(high & COMMAND, pieces[0].1 & COMMAND, "one command for the whole packet");
            assert!(high & tx::IFCS != 0, "a frame without FCS is none");
            frame.resize(start + len, 0);
            self.bus.read(address, &mut frame[start..]).expect("inside the domain");
        }
        assert!(frame.len() >= 60, "padding is the driver's");
        if pieces[0].1 & tx::TXSM != 0 {
            let (low, _) = *self.tx.contexts.last().expect("a context comes first");
            let (start, field) = ((low >> 32) as usize & 0xff, (low >> 40) as usize & 0xff);
            assert_eq!(low >> 48, 0, "TUCSE: to the end");
            let sum = Sum::ZERO.bytes(&frame[start..]).checksum();
            frame[field..field + 2].copy_from_slice(&sum.to_be_bytes());
        }
        self.tx.pieces_sent.push(pieces.len());
        self.tx.sent.push(frame);
    }
}
