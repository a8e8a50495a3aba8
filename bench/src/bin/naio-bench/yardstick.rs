//! How many instructions a copy takes: the yardstick that turns instructions of copies into bytes.
//!
//! Receives lengths; hands on how to convert. Copies go through a buffer as received bytes do, piece behind piece, so
//! that their addresses are aligned alike. Copies that a compiler makes of single moves are none here: they are shorter.

use crate::callgrind::Counted;
use crate::origin::PAYLOAD;

/// Copies of each length.
const COPIES: usize = 2_000;
/// What is copied through.
const BUFFER_LEN: usize = 64 << 10;

/// Length of the short and of the long ones: a segment, and a burst that is copied at once.
const SHORT_LEN: usize = PAYLOAD as usize;
const LONG_LEN: usize = 20 * SHORT_LEN;

/// Functions whose copies are the short and the long ones.
const SHORT: &str = "yardstick::measured_short";
const LONG: &str = "yardstick::measured_long";

/// Makes the copies that are counted.
pub(crate) fn play() {
    let from = vec![1; BUFFER_LEN];
    let mut to = vec![0; BUFFER_LEN];
    measured_short(&from[..SHORT_LEN], &mut to);
    measured_long(&from[..LONG_LEN], &mut to);
    std::hint::black_box(&to);
}

#[inline(never)]
fn measured_short(from: &[u8], to: &mut [u8]) {
    copy(from, to);
}

/// Not the same function twice: it would be merged with the other one.
#[inline(never)]
fn measured_long(from: &[u8], to: &mut [u8]) {
    copy(std::hint::black_box(from), to);
}

#[inline(always)]
fn copy(from: &[u8], to: &mut [u8]) {
    let mut at = 0;
    for _ in 0..COPIES {
        if at + from.len() > to.len() {
            at = 0;
        }
        to[at..at + from.len()].copy_from_slice(from);
        at += from.len();
    }
}

/// What a copy costs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Yardstick {
    per_call: f64,
    per_byte: f64,
}

impl Yardstick {
    /// From a profile in which [`play`] took part; `None` if it did not.
    pub(crate) fn of(counted: &Counted) -> Option<Yardstick> {
        let cost = |name: &str| {
            let copies = counted.copies.iter().filter(|copy| copy.caller.contains(name));
            let (calls, cost) = copies.fold((0, 0), |(n, cost), copy| (n + copy.calls, cost + copy.cost));
            (calls > 0).then(|| cost as f64 / calls as f64)
        };
        let (cheap, dear) = (cost(SHORT)?, cost(LONG)?);
        let per_byte = (dear - cheap) / (LONG_LEN - SHORT_LEN) as f64;
        (per_byte > 0.0).then_some(Yardstick { per_call: cheap - per_byte * SHORT_LEN as f64, per_byte })
    }

    /// Bytes copied on behalf of one of these rooms.
    pub(crate) fn bytes(self, counted: &Counted, rooms: &[&str]) -> f64 {
        let copies = counted.copies.iter().filter(|copy| rooms.contains(&copy.room));
        copies.fold(0.0, |bytes, copy| bytes + self.length(copy.cost as f64, copy.calls as f64))
    }

    /// Bytes of so many copies together. Where some are of nothing, as of a ring that does not wrap, the mean call is
    /// shorter than a segment, and no call has its full price.
    fn length(self, cost: f64, calls: f64) -> f64 {
        let short = self.per_call + self.per_byte * SHORT_LEN as f64;
        if cost < short * calls {
            return cost / short * SHORT_LEN as f64;
        }
        (cost - self.per_call * calls) / self.per_byte
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::callgrind::Copy;

    fn copy(caller: &str, room: &'static str, calls: u64, cost: u64) -> Copy {
        Copy { caller: caller.into(), room, calls, cost }
    }

    #[test]
    fn instructions_of_copies_become_bytes() {
        // Ten instructions for a call, one for ten bytes: 156 for a short one.
        let copies = vec![
            copy("naio_bench::yardstick::measured_short", "program", 2, 2 * 156),
            copy("naio_bench::yardstick::measured_long", "program", 4, 4 * 2_930),
            copy("naio_stack::deliver", "stack", 3, 3 * 210),
            copy("aio_api::fill", "queue", 3, 156),
        ];
        let counted = Counted { copies, ..Counted::default() };
        let yardstick = Yardstick::of(&counted).expect("both are there");
        let bytes = |rooms: &[&str]| yardstick.bytes(&counted, rooms).round();
        assert_eq!((bytes(&["stack"]), bytes(&["smoltcp"])), (6_000.0, 0.0));
        assert_eq!(bytes(&["stack", "queue"]), 7_460.0, "one short copy and two of nothing");
        assert!(Yardstick::of(&Counted::default()).is_none());
    }
}
