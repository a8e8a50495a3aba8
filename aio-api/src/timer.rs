//! Timeouts of the program, kept in a heap.

use crate::op::OpKey;
use naio_sys::clock::Time;
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Timeouts that have not come yet. Cancelled ones stay until their time and then name nothing; a
/// timeout occupies an entry of the operation table, so there are never more than twice as many
/// here as that table has (see `shrink`).
#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<(Time, u64)>>,
    /// Key of each timeout by the number in the heap: the order of submission among equals.
    keys: std::collections::HashMap<u64, OpKey>,
    next: u64,
}

impl Timers {
    pub(crate) fn insert(&mut self, at: Time, key: OpKey) {
        let number = self.next;
        self.next += 1;
        self.keys.insert(number, key);
        self.heap.push(Reverse((at, number)));
    }

    /// Takes a timeout out before its time.
    pub(crate) fn forget(&mut self, key: OpKey) {
        self.keys.retain(|_, waiting| *waiting != key);
        self.shrink();
    }

    /// The next timeout that is due, if any, and when it was.
    pub(crate) fn pop_due(&mut self, now: Time) -> Option<(Time, OpKey)> {
        while let Some(Reverse((at, number))) = self.heap.peek().copied() {
            if at > now {
                return None;
            }
            self.heap.pop();
            if let Some(key) = self.keys.remove(&number) {
                return Some((at, key));
            }
        }
        None
    }

    /// Drops the heap's dead entries once they outnumber the living.
    fn shrink(&mut self) {
        if self.heap.len() > 2 * self.keys.len() + 64 {
            let keys = &self.keys;
            self.heap.retain(|Reverse((_, number))| keys.contains_key(number));
        }
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
        assert!(timers.heap.len() <= 65, "cancelled timeouts do not pile up");
    }
}
