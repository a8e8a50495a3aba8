//! Tests of the neighbour table: what it believes, whom, and for how long.

use super::*;
use crate::arp::{self, Arp};
use naio_testkit::segment::arp as arp_frame;
use std::net::Ipv4Addr;

const US: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const THEM: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const OUR_MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
const THEIR_MAC: Mac = Mac([2, 0, 0, 0, 0, 2]);
const EVIL_MAC: Mac = Mac([2, 0, 0, 0, 0, 66]);

fn table(max: usize) -> (Neighbors, Counters) {
    let config = Config { neighbors_max: max, ..Config::new(US, 24) };
    (Neighbors::new(&config, Key::new([3; 16])), Counters::default())
}

fn packet(operation: u16, mac: Mac, sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    arp_frame([0xff; 6], operation, (mac.0, sender.octets()), (OUR_MAC.0, target.octets()))[14..].to_vec()
}

fn hear(table: &mut Neighbors, now: Time, packet: &[u8], counters: &mut Counters) -> Arp {
    arp::ingest(table, (OUR_MAC, US), now, packet, counters)
}

fn resolve(table: &mut Neighbors, now: Time, address: Ipv4Addr, counters: &mut Counters) -> Resolution {
    table.resolve(now, address.into(), counters)
}

fn s(seconds: u64) -> Time {
    Time::from_micros(seconds * 1_000_000)
}

#[test]
fn asks_three_times_then_gives_up_then_asks_again() {
    let (mut table, mut counters) = table(4);
    assert_eq!(resolve(&mut table, s(0), THEM, &mut counters), Resolution::Pending);
    let mut asked = 0;
    for second in 0..3 {
        table.expire(s(second), &mut counters);
        while let Some(request) = table.next_request() {
            assert_eq!(request, (THEM.into(), None));
            asked += 1;
        }
        assert_eq!(resolve(&mut table, s(second), THEM, &mut counters), Resolution::Pending);
    }
    assert_eq!(asked, 3);
    table.expire(s(3), &mut counters);
    assert!(table.take_changed());
    assert_eq!(resolve(&mut table, s(3), THEM, &mut counters), Resolution::Failed);
    assert_eq!(resolve(&mut table, s(4), THEM, &mut counters), Resolution::Pending);
    assert!(table.has_requests());
}

#[test]
fn learns_only_from_answers_it_asked_for() {
    let (mut table, mut counters) = table(4);
    let reply = packet(2, THEIR_MAC, THEM, US);
    assert_eq!(hear(&mut table, s(0), &reply, &mut counters), Arp::Unasked);
    assert_eq!(resolve(&mut table, s(0), THEM, &mut counters), Resolution::Pending);
    assert_eq!(hear(&mut table, s(0), &reply, &mut counters), Arp::Learned);
    assert_eq!(resolve(&mut table, s(0), THEM, &mut counters), Resolution::Known(THEIR_MAC));
    let evil = packet(2, EVIL_MAC, THEM, US);
    assert_eq!(hear(&mut table, s(1), &evil, &mut counters), Arp::Conflict);
    let _ = hear(&mut table, s(1), &packet(1, EVIL_MAC, THEM, US), &mut counters);
    assert_eq!(
        resolve(&mut table, s(1), THEM, &mut counters),
        Resolution::Known(THEIR_MAC),
        "fresh entries stay"
    );
    assert_eq!(counters.neighbors_contested, 1);
}

#[test]
fn an_aged_neighbour_is_used_while_it_is_asked_alone() {
    let (mut table, mut counters) = table(4);
    let _ = hear(&mut table, s(0), &packet(1, THEIR_MAC, THEM, US), &mut counters);
    assert_eq!(resolve(&mut table, s(59), THEM, &mut counters), Resolution::Known(THEIR_MAC));
    assert!(!table.has_requests());
    assert_eq!(resolve(&mut table, s(61), THEM, &mut counters), Resolution::Known(THEIR_MAC));
    assert_eq!(table.next_request(), Some((THEM.into(), Some(THEIR_MAC))));
    // It has moved to another station: the last question goes to everybody.
    table.expire(s(62), &mut counters);
    assert_eq!(table.next_request(), Some((THEM.into(), Some(THEIR_MAC))));
    table.expire(s(63), &mut counters);
    assert_eq!(table.next_request(), Some((THEM.into(), None)));
    assert_eq!(hear(&mut table, s(63), &packet(2, EVIL_MAC, THEM, US), &mut counters), Arp::Learned);
    assert_eq!(resolve(&mut table, s(63), THEM, &mut counters), Resolution::Known(EVIL_MAC));
}

#[test]
fn answers_requests_for_us_and_nobody_else() {
    let (mut table, mut counters) = table(4);
    let Arp::Answer(to, answer) = hear(&mut table, s(0), &packet(1, THEIR_MAC, THEM, US), &mut counters)
    else {
        panic!("no answer");
    };
    assert_eq!(to, THEIR_MAC);
    let expected = arp_frame(THEIR_MAC.0, 2, (OUR_MAC.0, US.octets()), (THEIR_MAC.0, THEM.octets()));
    assert_eq!(answer, expected[14..42]);
    let other = Ipv4Addr::new(10, 0, 0, 3);
    assert_eq!(hear(&mut table, s(0), &packet(1, THEIR_MAC, THEM, other), &mut counters), Arp::Unasked);
    assert_eq!(hear(&mut table, s(0), &packet(1, THEIR_MAC, US, US), &mut counters), Arp::Conflict);
    assert_eq!(hear(&mut table, s(0), &packet(1, Mac::BROADCAST, THEM, US), &mut counters), Arp::Malformed);
    for len in 0..arp::ARP_LEN {
        let short = &packet(1, THEIR_MAC, THEM, US)[..len];
        assert_eq!(hear(&mut table, s(0), short, &mut counters), Arp::Malformed);
    }
}

#[test]
fn strangers_fill_the_table_but_push_nobody_out() {
    let (mut table, mut counters) = table(8);
    assert_eq!(resolve(&mut table, s(0), THEM, &mut counters), Resolution::Pending);
    let _ = hear(&mut table, s(0), &packet(2, THEIR_MAC, THEM, US), &mut counters);
    for host in 3..200 {
        let stranger = Ipv4Addr::new(10, 0, 0, host);
        let _ = hear(&mut table, s(0), &packet(1, EVIL_MAC, stranger, US), &mut counters);
    }
    assert_eq!(table.entries.len(), 8);
    assert_eq!(resolve(&mut table, s(1), THEM, &mut counters), Resolution::Known(THEIR_MAC));
    // Our own question makes room.
    assert_eq!(resolve(&mut table, s(2), Ipv4Addr::new(10, 0, 0, 250), &mut counters), Resolution::Pending);
    assert_eq!((table.entries.len(), counters.neighbors_evicted), (8, 1));
    assert_eq!(
        resolve(&mut table, s(2), THEM, &mut counters),
        Resolution::Known(THEIR_MAC),
        "the used one stays"
    );
}
