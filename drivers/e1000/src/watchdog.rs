//! Transmit descriptors that the card sits on: without a link it sends nothing, and an engine may hang.
//!
//! Looks at every question after the card's health whether anything was sent since the last one. If for many of them
//! nothing was, although something is to be sent, the card is reset and set up again, and what its descriptors referred
//! to goes back to whoever owns it: counted, and lost like frames on the wire. Frames that lay unread in the receive
//! ring are lost with it, and counted too.

use crate::filter::MulticastTable;
use crate::{E1000, OpenError, init};
use naio_device::Device;
use naio_nic::Mac;

/// Questions after the health without any progress: with one each tenth of a second, as the queue asks, two seconds
/// (8254x fact sheet 5.1: drivers of record take the same).
const LOOKS_MAX: u32 = 20;

/// What was seen at the last look.
#[derive(Debug, Default)]
pub(crate) struct Watchdog {
    /// Frames reported as sent by then.
    sent: u64,
    /// Looks since that changed.
    looks: u32,
    /// Times the card was reset.
    pub(crate) resets: u64,
    /// What its filter lets in, to tell it again.
    pub(crate) groups: Vec<Mac>,
}

impl Watchdog {
    /// Whether it is time for a reset, `sent` being the frames sent so far.
    fn bites(&mut self, sent: u64, is_pending: bool) -> bool {
        if self.sent != sent || !is_pending {
            (self.sent, self.looks) = (sent, 0);
        }
        self.looks += 1;
        self.looks > LOOKS_MAX
    }
}

impl<D: Device> E1000<D> {
    /// Looks, and resets the card if it has stood still for too long. A reset that fails leaves a card that does nothing,
    /// and is tried again after as long.
    pub(crate) fn watch(&mut self) {
        let (sent, is_pending) = (self.tx.counters().frames, self.tx.is_pending());
        if !self.watchdog.bites(sent, is_pending) {
            return;
        }
        self.watchdog.looks = 0;
        log::warn!("the card has sent nothing for long though there is something to send: it is reset");
        if let Err(error) = self.restart()
            && !self.is_gone()
        {
            log::error!("the card cannot be set up again: {error}");
        }
    }

    /// A full reset, after which both rings are empty and work; the link comes up when it likes.
    fn restart(&mut self) -> Result<(), OpenError> {
        self.watchdog.resets += 1;
        // Only a card that was reset no longer reads what its descriptors name.
        init::reset(&self.device, &self.features)?;
        self.tx.give_up();
        self.rx.refill();
        init::filters(&self.device, &self.features, self.caps.mac);
        self.multicast = MulticastTable::new();
        self.multicast.set(&self.device, &self.features, &self.watchdog.groups);
        init::start_link(&self.device, &self.features)?;
        init::program_tx(&self.device, &self.features, self.tx.desc(), self.tx.bell())?;
        init::program_rx(&self.device, &self.features, self.rx.desc(), self.rx.bell())?;
        let mut statistics = self.enable();
        if let Some(before) = self.statistics.take() {
            statistics.counters = before.counters;
        }
        self.statistics = Some(statistics);
        self.rx.ring();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_bites_after_twenty_looks_at_something_that_stands_still() {
        let mut dog = Watchdog::default();
        assert!((0..100).all(|_| !dog.bites(0, false)), "nothing to send");
        assert!((0..100).all(|sent| !dog.bites(sent, true)), "it sends");
        assert_eq!((0..100).position(|_| dog.bites(99, true)), Some(19));
    }
}
