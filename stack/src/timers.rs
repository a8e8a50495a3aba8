//! The timer wheel: one deadline for each flow, a thousand flows or ten thousand alike.
//!
//! Receives a deadline per index and hands on the indices whose deadline has passed. A hashed wheel
//! of 1-ms ticks with intrusive lists: arming, moving and removing cost the same however many there
//! are, and nothing is allocated once an index has been seen. A deadline that moves *later* (a
//! retransmission timer does with every acknowledgment) costs one store: the entry is put in its
//! new place when its old one comes round.

use naio_sys::clock::Time;

/// Microseconds of a tick.
const TICK_US: u64 = 1_000;
/// Slots of the wheel: a round is about a second, the shortest retransmission timeout.
const SLOTS: usize = 1_024;
const NIL: u32 = u32::MAX;

#[derive(Clone, Copy)]
struct Node {
    next: u32,
    previous: u32,
    /// The tick under which it is linked; meaningful if `linked`.
    tick: u64,
    /// The real deadline, never before `tick`'s.
    due: Time,
    linked: bool,
}

pub(crate) struct Wheel {
    slots: Vec<u32>,
    occupied: [u64; SLOTS / 64],
    nodes: Vec<Node>,
    /// The first tick that has not been looked at.
    tick: u64,
}

impl Wheel {
    pub(crate) fn new(now: Time) -> Wheel {
        Wheel {
            slots: vec![NIL; SLOTS],
            occupied: [0; SLOTS / 64],
            nodes: Vec::new(),
            tick: now.as_micros() / TICK_US,
        }
    }

    /// Arms, moves or (with `None`) removes the deadline of `index`.
    pub(crate) fn set(&mut self, index: u32, due: Option<Time>) {
        let at = index as usize;
        let Some(due) = due.filter(|&due| due < Time::FAR_FUTURE) else {
            if self.nodes.get(at).is_some_and(|n| n.linked) {
                self.unlink(index);
            }
            return;
        };
        if at >= self.nodes.len() {
            let empty = Node { next: NIL, previous: NIL, tick: 0, due, linked: false };
            self.nodes.resize(at + 1, empty);
        }
        let tick = due.as_micros().div_ceil(TICK_US).max(self.tick);
        self.nodes[at].due = due;
        if self.nodes[at].linked {
            if self.nodes[at].tick <= tick {
                return;
            }
            self.unlink(index);
        }
        self.link(index, tick);
    }

    /// Appends every index whose deadline is not after `now`; those are no longer armed.
    pub(crate) fn expire(&mut self, now: Time, expired: &mut Vec<u32>) {
        let target = now.as_micros() / TICK_US;
        if target < self.tick {
            return;
        }
        let last = target.min(self.tick + SLOTS as u64 - 1);
        for tick in self.tick..=last {
            let slot = (tick % SLOTS as u64) as usize;
            if self.occupied[slot / 64] & 1 << (slot % 64) != 0 {
                self.expire_slot(slot, target, now, expired);
            }
        }
        self.tick = target + 1;
    }

    fn expire_slot(&mut self, slot: usize, target: u64, now: Time, expired: &mut Vec<u32>) {
        let mut index = self.slots[slot];
        while index != NIL {
            let node = self.nodes[index as usize];
            if node.tick <= target {
                self.unlink(index);
                if node.due <= now {
                    expired.push(index);
                } else {
                    self.link(index, node.due.as_micros().div_ceil(TICK_US).max(target + 1));
                }
            }
            index = node.next;
        }
    }

    /// Deadlines that are armed.
    pub(crate) fn armed(&self) -> usize {
        self.nodes.iter().filter(|node| node.linked).count()
    }

    /// A time before which no deadline passes; at most a round too early. `None`: nothing is armed.
    pub(crate) fn next(&self) -> Option<Time> {
        let start = (self.tick % SLOTS as u64) as usize;
        let words = SLOTS / 64;
        // One word more than there are: the first one is looked at in two halves.
        for step in 0..=words {
            let word = (start / 64 + step) % words;
            let mask = match step {
                0 => u64::MAX << (start % 64),
                s if s == words => !(u64::MAX << (start % 64)),
                _ => u64::MAX,
            };
            let bits = self.occupied[word] & mask;
            if bits != 0 {
                let slot = word * 64 + bits.trailing_zeros() as usize;
                let ahead = (slot + SLOTS - start) % SLOTS;
                return Some(Time::from_micros((self.tick + ahead as u64) * TICK_US));
            }
        }
        None
    }

    fn link(&mut self, index: u32, tick: u64) {
        let slot = (tick % SLOTS as u64) as usize;
        let head = self.slots[slot];
        let node = &mut self.nodes[index as usize];
        (node.next, node.previous, node.tick, node.linked) = (head, NIL, tick, true);
        if head != NIL {
            self.nodes[head as usize].previous = index;
        }
        self.slots[slot] = index;
        self.occupied[slot / 64] |= 1 << (slot % 64);
    }

    fn unlink(&mut self, index: u32) {
        let node = self.nodes[index as usize];
        let slot = (node.tick % SLOTS as u64) as usize;
        match node.previous {
            NIL => self.slots[slot] = node.next,
            previous => self.nodes[previous as usize].next = node.next,
        }
        if node.next != NIL {
            self.nodes[node.next as usize].previous = node.previous;
        }
        if self.slots[slot] == NIL {
            self.occupied[slot / 64] &= !(1 << (slot % 64));
        }
        self.nodes[index as usize].linked = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    fn ms(n: u64) -> Time {
        Time::from_micros(n * 1_000)
    }

    #[test]
    fn agrees_with_a_sorted_map_whatever_is_asked() {
        let seed = naio_testkit::seeds(7, 1).next().expect("one");
        let mut random = fastrand::Rng::with_seed(seed);
        let mut wheel = Wheel::new(Time::ZERO);
        let mut model: BTreeMap<u32, Time> = BTreeMap::new();
        let mut now = 0;
        for _ in 0..20_000 {
            let index = random.u32(0..40);
            match random.u32(0..4) {
                0 => {
                    wheel.set(index, None);
                    model.remove(&index);
                }
                1 => {
                    let span = random.choice([10, 5_000, 3_000_000]).expect("three");
                    now += random.u64(0..span);
                    let time = Time::from_micros(now);
                    let mut expired = Vec::new();
                    wheel.expire(time, &mut expired);
                    for index in expired {
                        assert!(model.remove(&index).is_some_and(|due| due <= time), "early or twice");
                    }
                    // Rounded up to whole ticks, so at most one tick late.
                    let overdue = Time::from_micros(now.saturating_sub(1_000));
                    assert!(model.values().all(|&due| due > overdue), "late");
                }
                _ => {
                    let span = random.choice([500, 30_000, 5_000_000]).expect("three");
                    let due = Time::from_micros(now + random.u64(0..span));
                    wheel.set(index, Some(due));
                    model.insert(index, due);
                }
            }
            let first = model.values().min().map(|due| due.as_micros().div_ceil(1_000));
            match (wheel.next(), first) {
                (None, None) => {}
                (Some(next), Some(first)) => {
                    assert!(next.as_micros() / 1_000 <= first.max(now / 1_000 + 1), "next is a lower bound");
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn a_deadline_that_moves_later_is_not_early() {
        let mut wheel = Wheel::new(Time::ZERO);
        let mut expired = Vec::new();
        wheel.set(3, Some(ms(10)));
        wheel.set(3, Some(ms(5_000)));
        wheel.expire(ms(100), &mut expired);
        assert!(expired.is_empty());
        wheel.expire(ms(5_000), &mut expired);
        assert_eq!(expired, [3]);
        assert_eq!(wheel.next(), None);
    }

    #[test]
    fn a_long_sleep_fires_everything_once() {
        let mut wheel = Wheel::new(Time::ZERO);
        for index in 0..2_000 {
            wheel.set(index, Some(ms(u64::from(index) * 7)));
        }
        let mut expired = Vec::new();
        wheel.expire(ms(1 << 30), &mut expired);
        expired.sort_unstable();
        assert_eq!(expired, (0..2_000).collect::<Vec<_>>());
    }
}
