//! Write-backs that reach memory late, and faults that come at a time of their own.
//!
//! Receives finished descriptor words and scheduled changes of the script; stores and applies them
//! when they are due. Order among late stores is kept.

use crate::core::Core;
use crate::faults::Faults;
use std::collections::VecDeque;

/// Most stores that wait; more go through at once.
const LATE_MAX: usize = 1 << 16;

/// What waits for its time.
#[derive(Default)]
pub(crate) struct Late {
    stores: VecDeque<Store>,
    /// By time.
    script: Vec<(u64, Faults)>,
}

struct Store {
    due_ns: u64,
    at: u64,
    word: u64,
    /// Raised with the store: software must not be told long before it can see.
    cause: u32,
}

impl Late {
    pub(crate) fn deadline_ns(&self) -> Option<u64> {
        let store = self.stores.front().map(|store| store.due_ns);
        let change = self.script.first().map(|(at, _)| *at);
        [store, change].into_iter().flatten().min()
    }

    /// CTRL.RST: what has not reached memory never will.
    pub(crate) fn reset(&mut self) {
        self.stores.clear();
    }

    pub(crate) fn plan(&mut self, at_ns: u64, faults: Faults) {
        let place = self.script.partition_point(|(at, _)| *at <= at_ns);
        self.script.insert(place, (at_ns, faults));
    }
}

impl Core {
    /// Stores the second half of a descriptor, now or as late as the script says.
    pub(crate) fn store_back(&mut self, at: u64, word: u64, cause: u32) {
        let delay_ns = self.faults.write_back_delay_us.saturating_mul(1_000);
        if delay_ns == 0 && self.late.stores.is_empty() || self.late.stores.len() >= LATE_MAX {
            // The ring was readable a moment ago; if it is gone by now there is nobody to tell.
            let _ = self.bus.store(at, word);
        } else {
            let due_ns = self.now_ns.saturating_add(delay_ns);
            self.late.stores.push_back(Store { due_ns, at, word, cause });
        }
    }

    /// Stores what is due.
    pub(crate) fn late_stores(&mut self) {
        while self.late.stores.front().is_some_and(|store| store.due_ns <= self.now_ns) {
            let Some(store) = self.late.stores.pop_front() else { break };
            let _ = self.bus.store(store.at, store.word);
            self.raise(store.cause);
        }
    }

    /// Changes the faults when their time has come, even those of a card that is gone.
    pub(crate) fn follow_script(&mut self) {
        while self.late.script.first().is_some_and(|(at, _)| *at <= self.now_ns) {
            let (_, faults) = self.late.script.remove(0);
            self.set_faults(faults);
        }
    }

    pub(crate) fn set_faults(&mut self, faults: Faults) {
        self.faults = faults;
        if let Some(id) = self.faults.phy_id {
            self.phy.set_id(id);
        }
    }
}
