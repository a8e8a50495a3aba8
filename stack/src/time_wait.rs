//! Connections in TIME-WAIT that nobody holds any more, in the order in which they came there: whoever needs a place
//! in a full table gets that of the first.
//!
//! Receives names, hands them out again while they are good; a connection that ends otherwise is not taken out, its name
//! has gone stale then. It never looks at the table as a whole.

use crate::slab::Name;
use std::collections::VecDeque;

/// Names that are kept before the stale ones among them are thrown away.
const COMPACT_MIN: usize = 64;

/// The queue.
pub(crate) struct Orphans {
    names: VecDeque<Name>,
    /// How long it may grow.
    compact_at: usize,
    /// Names looked at so far: what all of this costs.
    looked_at: u64,
}

impl Orphans {
    pub(crate) fn new() -> Orphans {
        Orphans { names: VecDeque::new(), compact_at: COMPACT_MIN, looked_at: 0 }
    }

    /// Adds one; `is_good` says whether a name still means a connection. What it costs to throw the others away is
    /// spread over the pushes since the last time.
    pub(crate) fn push(&mut self, name: Name, is_good: impl Fn(Name) -> bool) {
        if self.names.len() >= self.compact_at {
            self.looked_at += self.names.len() as u64;
            self.names.retain(|name| is_good(*name));
            self.compact_at = COMPACT_MIN.max(2 * self.names.len());
        }
        self.names.push_back(name);
    }

    /// The first, if there is one.
    pub(crate) fn pop(&mut self, is_good: impl Fn(Name) -> bool) -> Option<Name> {
        while let Some(name) = self.names.pop_front() {
            self.looked_at += 1;
            if is_good(name) {
                return Some(name);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::{Bench, PEER_ISN, PORT, THEM, US};
    use crate::{ListenerId, SocketError, SocketOptions};
    use naio_testkit::Segment;
    use std::collections::HashSet;

    fn name(index: u32) -> Name {
        Name { index, generation: 0 }
    }

    #[test]
    fn the_first_that_is_still_there_goes_first() {
        let mut orphans = Orphans::new();
        (0..5).for_each(|index| orphans.push(name(index), |_| true));
        assert_eq!(orphans.pop(|name| name.index > 1), Some(name(2)));
        assert_eq!(orphans.pop(|_| true), Some(name(3)));
        assert_eq!(orphans.pop(|name| name.index != 4), None);
    }

    /// Connections that come and go, most of them otherwise than through here.
    #[test]
    fn each_costs_a_few_looks_however_many_there_are() {
        for live in [1, 1_000] {
            let mut orphans = Orphans::new();
            let mut good: HashSet<u32> = HashSet::new();
            let pushes = 100_000;
            for index in 0..pushes {
                good.insert(index);
                orphans.push(name(index), |name| good.contains(&name.index));
                if index >= live {
                    good.remove(&(index - live));
                }
                assert!(orphans.names.len() <= COMPACT_MIN.max(2 * live as usize + 2));
            }
            assert!(orphans.looked_at <= 3 * u64::from(pushes), "{live}: {}", orphans.looked_at);
        }
    }

    /// A connection whose user has closed it, and the peer's last segment, which makes it wait.
    fn closing(bench: &mut Bench, listener: ListenerId, port: u16) -> Segment {
        let theirs = Segment::new(THEM.octets(), port, US.octets(), PORT).window(8_000);
        bench.feed(&theirs.clone().seq(PEER_ISN).syn(1_460, None));
        let isn = bench.segments().pop().expect("a SYN").seq;
        let theirs = theirs.seq(PEER_ISN.wrapping_add(1));
        bench.feed(&theirs.clone().ack(isn.wrapping_add(1)));
        let socket = bench.stack.accept(listener).expect("established");
        bench.stack.close(socket).expect("known");
        assert!(bench.segments().pop().expect("a FIN").flags.fin);
        theirs.ack(isn.wrapping_add(2)).fin()
    }

    #[test]
    fn a_full_table_gives_away_the_places_of_time_wait_without_being_searched() {
        for others in [10, 2_000] {
            let mut bench = Bench::new(|config| config.sockets_max = others + 3);
            bench.introduce();
            let listener = bench.stack.listen(PORT, 4).expect("a free port");
            let last: Vec<_> = (0..3).map(|n| closing(&mut bench, listener, 1_000 + n)).collect();
            // None is visited before its place is needed.
            last.iter().for_each(|segment| bench.feed(segment));
            for _ in 0..others {
                bench.stack.socket(SocketOptions::default()).expect("room");
            }
            let first = bench.stack.orphans.names[0];
            for _ in 0..3 {
                bench.stack.socket(SocketOptions::default()).expect("the place of one in TIME-WAIT");
            }
            assert_eq!(bench.stack.flows.index(first), None, "the first went first");
            assert_eq!(bench.stack.socket(SocketOptions::default()), Err(SocketError::TooMany));
            assert_eq!(bench.stack.counters().lingers_cut, 3);
            assert_eq!(bench.stack.orphans.looked_at, 3, "beside {others} others");
        }
    }
}
