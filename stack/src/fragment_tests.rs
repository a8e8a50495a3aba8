//! Tests of reassembly: order, duplicates, contradictions, limits.

use super::*;
use std::net::Ipv4Addr;

const WHOSE: Whose = Whose {
    ends: Ends::V4 { source: Ipv4Addr::new(10, 0, 0, 2), destination: Ipv4Addr::new(10, 0, 0, 1) },
    protocol: 17,
    id: 7,
};

struct Table {
    fragments: Fragments,
    counters: Counters,
    now: Time,
}

impl Table {
    fn new(tune: impl FnOnce(&mut Config)) -> Table {
        let mut config = Config::new(Ipv4Addr::new(10, 0, 0, 1), 24);
        tune(&mut config);
        let fragments = Fragments::new(&config);
        Table { fragments, counters: Counters::default(), now: Time::ZERO }
    }

    fn add_to(&mut self, id: u32, offset: usize, more: bool, payload: &[u8]) -> Taken {
        let whose = Whose { id, ..WHOSE };
        self.fragments.insert(self.now, whose, Place { offset, more }, payload, &mut self.counters)
    }

    fn add(&mut self, offset: usize, more: bool, payload: &[u8]) -> Taken {
        self.add_to(WHOSE.id, offset, more, payload)
    }
}

#[test]
fn pieces_in_every_order_make_the_same_whole() {
    let seed = naio_testkit::seeds(11, 1).next().expect("one");
    let mut random = fastrand::Rng::with_seed(seed);
    for _ in 0..500 {
        let len = random.usize(1..3_000);
        let whole: Vec<u8> = (0..len).map(|_| random.u8(..)).collect();
        let mut places = Vec::new();
        let mut at = 0;
        while at < len {
            let end = (at + random.usize(1..60) * 8).min(len);
            places.push((at, end));
            at = end;
        }
        if places.len() > STRETCHES_MAX {
            continue;
        }
        // Some come twice.
        let twice = random.usize(0..places.len());
        if places.len() > 1 {
            places.push(places[twice]);
        }
        random.shuffle(&mut places);
        let mut table = Table::new(|_| {});
        let mut done = Vec::new();
        for (start, end) in places {
            match table.add(start, end < len, &whole[start..end]) {
                Taken::Kept => {}
                Taken::Whole(bytes) => done.push(bytes),
                Taken::Refused => panic!("a good piece"),
            }
        }
        assert_eq!(done.len(), 1);
        assert_eq!(done[0][20..], whole);
        assert_eq!(usize::from(u16::from_be_bytes([done[0][2], done[0][3]])), 20 + len);
    }
}

#[test]
fn an_overlap_condemns_the_datagram() {
    let mut table = Table::new(|_| {});
    assert_eq!(table.add(0, true, &[1; 16]), Taken::Kept);
    assert_eq!(table.add(8, true, &[2; 16]), Taken::Refused);
    assert_eq!(table.add(16, false, &[3; 8]), Taken::Refused, "all of it");
    assert_eq!(table.counters.reassembly_overlaps, 1);
    table.now = table.now.after(Duration::from_secs(31));
    assert_eq!(table.add(0, true, &[1; 16]), Taken::Kept, "the identification is free again");
}

#[test]
fn two_ends_or_bytes_behind_the_end_are_contradictions() {
    let mut table = Table::new(|_| {});
    let _ = table.add_to(1, 16, false, &[1; 8]);
    assert_eq!(table.add_to(1, 24, true, &[1; 8]), Taken::Refused);
    let _ = table.add_to(2, 16, false, &[1; 8]);
    assert_eq!(table.add_to(2, 8, false, &[1; 8]), Taken::Refused);
    let _ = table.add_to(3, 32, true, &[1; 8]);
    assert_eq!(table.add_to(3, 8, false, &[1; 8]), Taken::Refused);
    assert_eq!(table.counters.reassembly_overlaps, 3);
}

#[test]
fn impossible_pieces_are_refused() {
    let mut table = Table::new(|_| {});
    assert_eq!(table.add(0, true, &[0; 7]), Taken::Refused);
    assert_eq!(table.add(0, true, &[]), Taken::Refused);
    assert_eq!(table.add(65_528, false, &[0; 8]), Taken::Refused, "beyond the length of a packet");
    assert_eq!(table.fragments.next_deadline(), None, "nothing was kept");
}

#[test]
fn too_many_too_much_and_too_late_are_given_up() {
    let mut table = Table::new(|config| config.reassemblies_max = 4);
    for id in 0..10 {
        table.now = Time::from_micros(id);
        assert_eq!(table.add_to(id as u32, 0, true, &[0; 8]), Taken::Kept);
    }
    assert_eq!((table.fragments.partials.len(), table.counters.reassembly_full), (4, 6));
    assert!(matches!(table.add_to(9, 8, false, &[0; 8]), Taken::Whole(_)), "the newest stay");
    table.now = table.now.after(Duration::from_secs(30));
    table.fragments.expire(table.now, &mut table.counters);
    assert_eq!((table.fragments.partials.len(), table.counters.reassembly_timeouts), (0, 3));

    let mut table = Table::new(|config| config.reassembly_bytes_max = 100_000);
    for id in 0..10 {
        let _ = table.add_to(id, 60_000, true, &[0; 8]);
    }
    assert!(table.fragments.bytes() <= 100_000);
    assert_eq!(table.counters.reassembly_full, 9);
}
