//! Tests of the neighbour table: what it believes, whom, and for how long.

use super::*;
use naio_testkit::segment::arp;

const US: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const THEM: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const OUR_MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);
const THEIR_MAC: Mac = Mac([2, 0, 0, 0, 0, 2]);
const EVIL_MAC: Mac = Mac([2, 0, 0, 0, 0, 66]);

fn table(max: usize) -> (Neighbors, Counters) {
    let config = Config { neighbors_max: max, ..Config::new(US, 24) };
    (Neighbors::new(&config, OUR_MAC, Key::new([3; 16])), Counters::default())
}

fn packet(operation: u16, mac: Mac, sender: Ipv4Addr, target: Ipv4Addr) -> Vec<u8> {
    arp([0xff; 6], operation, (mac.0, sender.octets()), (OUR_MAC.0, target.octets()))[14..].to_vec()
}

fn s(seconds: u64) -> Time {
    Time::from_micros(seconds * 1_000_000)
}

#[test]
fn asks_three_times_then_gives_up_then_asks_again() {
    let (mut table, mut counters) = table(4);
    assert_eq!(table.resolve(s(0), THEM, &mut counters), Resolution::Pending);
    let mut asked = 0;
    for second in 0..3 {
        table.expire(s(second), &mut counters);
        while let Some((to, request)) = table.next_request() {
            assert_eq!((to, &request[24..28]), (Mac::BROADCAST, &THEM.octets()[..]));
            asked += 1;
        }
        assert_eq!(table.resolve(s(second), THEM, &mut counters), Resolution::Pending);
    }
    assert_eq!(asked, 3);
    table.expire(s(3), &mut counters);
    assert!(table.take_changed());
    assert_eq!(table.resolve(s(3), THEM, &mut counters), Resolution::Failed);
    assert_eq!(table.resolve(s(4), THEM, &mut counters), Resolution::Pending);
    assert!(table.has_requests());
}

#[test]
fn learns_only_from_answers_it_asked_for() {
    let (mut table, mut counters) = table(4);
    let reply = packet(2, THEIR_MAC, THEM, US);
    assert_eq!(table.ingest(s(0), &reply, &mut counters), Arp::Unasked);
    assert_eq!(table.resolve(s(0), THEM, &mut counters), Resolution::Pending);
    assert_eq!(table.ingest(s(0), &reply, &mut counters), Arp::Learned);
    assert_eq!(table.resolve(s(0), THEM, &mut counters), Resolution::Known(THEIR_MAC));
    let evil = packet(2, EVIL_MAC, THEM, US);
    assert_eq!(table.ingest(s(1), &evil, &mut counters), Arp::Conflict);
    let _ = table.ingest(s(1), &packet(1, EVIL_MAC, THEM, US), &mut counters);
    assert_eq!(table.resolve(s(1), THEM, &mut counters), Resolution::Known(THEIR_MAC), "fresh entries stay");
    assert_eq!(counters.neighbors_contested, 1);
}

#[test]
fn an_aged_neighbour_is_used_while_it_is_asked_alone() {
    let (mut table, mut counters) = table(4);
    let _ = table.ingest(s(0), &packet(1, THEIR_MAC, THEM, US), &mut counters);
    assert_eq!(table.resolve(s(59), THEM, &mut counters), Resolution::Known(THEIR_MAC));
    assert!(!table.has_requests());
    assert_eq!(table.resolve(s(61), THEM, &mut counters), Resolution::Known(THEIR_MAC));
    assert_eq!(table.next_request().map(|(to, _)| to), Some(THEIR_MAC));
    // It has moved to another station: the last question goes to everybody.
    table.expire(s(62), &mut counters);
    assert_eq!(table.next_request().map(|(to, _)| to), Some(THEIR_MAC));
    table.expire(s(63), &mut counters);
    assert_eq!(table.next_request().map(|(to, _)| to), Some(Mac::BROADCAST));
    assert_eq!(table.ingest(s(63), &packet(2, EVIL_MAC, THEM, US), &mut counters), Arp::Learned);
    assert_eq!(table.resolve(s(63), THEM, &mut counters), Resolution::Known(EVIL_MAC));
}

#[test]
fn answers_requests_for_us_and_nobody_else() {
    let (mut table, mut counters) = table(4);
    let Arp::Answer(to, answer) = table.ingest(s(0), &packet(1, THEIR_MAC, THEM, US), &mut counters) else {
        panic!("no answer");
    };
    assert_eq!(to, THEIR_MAC);
    let expected = arp(THEIR_MAC.0, 2, (OUR_MAC.0, US.octets()), (THEIR_MAC.0, THEM.octets()));
    assert_eq!(answer, expected[14..42]);
    let other = Ipv4Addr::new(10, 0, 0, 3);
    assert_eq!(table.ingest(s(0), &packet(1, THEIR_MAC, THEM, other), &mut counters), Arp::Unasked);
    assert_eq!(table.ingest(s(0), &packet(1, THEIR_MAC, US, US), &mut counters), Arp::Conflict);
    assert_eq!(table.ingest(s(0), &packet(1, Mac::BROADCAST, THEM, US), &mut counters), Arp::Malformed);
    for len in 0..ARP_LEN {
        let short = &packet(1, THEIR_MAC, THEM, US)[..len];
        assert_eq!(table.ingest(s(0), short, &mut counters), Arp::Malformed);
    }
}

#[test]
fn strangers_fill_the_table_but_push_nobody_out() {
    let (mut table, mut counters) = table(8);
    assert_eq!(table.resolve(s(0), THEM, &mut counters), Resolution::Pending);
    let _ = table.ingest(s(0), &packet(2, THEIR_MAC, THEM, US), &mut counters);
    for host in 3..200 {
        let stranger = Ipv4Addr::new(10, 0, 0, host);
        let _ = table.ingest(s(0), &packet(1, EVIL_MAC, stranger, US), &mut counters);
    }
    assert_eq!(table.entries.len(), 8);
    assert_eq!(table.resolve(s(1), THEM, &mut counters), Resolution::Known(THEIR_MAC));
    // Our own question makes room.
    assert_eq!(table.resolve(s(2), Ipv4Addr::new(10, 0, 0, 250), &mut counters), Resolution::Pending);
    assert_eq!((table.entries.len(), counters.neighbors_evicted), (8, 1));
    assert_eq!(table.resolve(s(2), THEM, &mut counters), Resolution::Known(THEIR_MAC), "the used one stays");
}
