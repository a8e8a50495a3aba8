//! Timeouts of the program, in the order of their time.

use crate::op::OpKey;
use naio_sys::clock::Time;
use std::collections::{BTreeMap, HashMap};

/// Timeouts that have not come yet. Each occupies an entry of the operation table, so there are never
/// more of them than that table has.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    /// By time, and by the order of submission among equals.
    due: BTreeMap<(Time, u64), OpKey>,
    /// Where each stands in `due`: a server cancels most of its timeouts, so that must be cheap.
    places: HashMap<OpKey, (Time, u64)>,
    next: u64,
}

impl Timers {
    pub(crate) fn insert(&mut self, at: Time, key: OpKey) {
        let place = (at, self.next);
        self.next += 1;
        self.due.insert(place, key);
        self.places.insert(key, place);
    }

    /// Takes a timeout out before its time.
    pub(crate) fn forget(&mut self, key: OpKey) {
        if let Some(place) = self.places.remove(&key) {
            self.due.remove(&place);
        }
    }

    /// When the next one comes.
    pub(crate) fn next(&self) -> Option<Time> {
        self.due.first_key_value().map(|(&(at, _), _)| at)
    }

    /// The next timeout that is due, if any, and when it was.
    pub(crate) fn pop_due(&mut self, now: Time) -> Option<(Time, OpKey)> {
        let first = self.due.first_entry().filter(|first| first.key().0 <= now)?;
        let ((at, _), key) = first.remove_entry();
        self.places.remove(&key);
        Some((at, key))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::{Op, OpTable, Request};

    #[test]
    fn due_ones_come_in_order_and_cancelled_ones_do_not_come() {
        let mut table = OpTable::new(300);
        let mut key =
            || table.insert(Op { user_data: 0, request: Request::Posted { value: 0 } }).expect("room");
        let (a, b, c) = (key(), key(), key());
        let mut timers = Timers::default();
        let at = |us| Time::from_micros(us);
        timers.insert(at(30), a);
        timers.insert(at(10), b);
        timers.insert(at(10), c);
        timers.forget(b);
        assert_eq!(timers.pop_due(at(9)), None);
        assert_eq!(timers.pop_due(at(50)), Some((at(10), c)));
        assert_eq!(timers.pop_due(at(50)), Some((at(30), a)));
        assert_eq!(timers.pop_due(at(50)), None);
        for _ in 0..200 {
            let k = key();
            timers.insert(at(1_000_000), k);
            timers.forget(k);
        }
        assert!(timers.due.is_empty() && timers.places.is_empty(), "cancelled timeouts do not pile up");
    }
}
