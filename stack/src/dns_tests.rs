//! A name server, written by hand after RFC 1035, against the resolver.

use super::*;
use crate::tests::{Bench, OUR_MAC, THEIR_MAC, THEM};
use naio_testkit::Udp;

const A: u16 = 1;
const AAAA: u16 = 28;
const CNAME: u16 = 5;

/// A stack with one name server, the peer.
fn bench() -> Bench {
    let mut bench = Bench::new(|config| config.dns_servers = vec![THEM.into()]);
    bench.introduce();
    bench
}

/// Questions that leave now.
fn questions(bench: &mut Bench) -> Vec<Udp> {
    bench
        .frames()
        .iter()
        .filter_map(|frame| Udp::parse(frame))
        .filter(|udp| udp.destination.port() == 53)
        .collect()
}

/// One record of an answer: a pointer to the question's name, or a name of its own.
fn record(name: &[u8], kind: u16, data: &[u8]) -> Vec<u8> {
    let mut bytes = name.to_vec();
    bytes.extend_from_slice(&kind.to_be_bytes());
    bytes.extend_from_slice(&[0, 1, 0, 0, 1, 0]);
    bytes.extend_from_slice(&(data.len() as u16).to_be_bytes());
    bytes.extend_from_slice(data);
    bytes
}

/// The answer of a server to `question`.
fn answer(question: &Udp, rcode: u8, records: &[Vec<u8>]) -> Udp {
    let mut bytes = question.payload.clone();
    bytes[2] = 0x81;
    bytes[3] = 0x80 | rcode;
    bytes[7] = records.len() as u8;
    bytes.extend(records.iter().flatten());
    Udp::new(question.destination, question.source, &bytes)
}

fn feed(bench: &mut Bench, udp: &Udp) {
    bench.feed_frame(&udp.ethernet(THEIR_MAC.0, OUR_MAC.0));
}

fn outcome(bench: &mut Bench) -> Option<Result<Vec<IpAddr>, LookupError>> {
    let now = bench.now();
    bench.stack.expire(now);
    let mut out = Vec::new();
    bench.stack.resolved(&mut out);
    assert!(out.len() <= 1);
    out.pop().map(|(_, outcome)| outcome)
}

#[test]
fn a_name_becomes_its_addresses_by_way_of_an_alias() {
    let mut bench = bench();
    bench.stack.resolve("www.Example.org", Lookup::Ipv4).expect("a good name");
    let asked = questions(&mut bench).pop().expect("a question");
    assert!(asked.payload.windows(17).any(|w| w == b"\x03www\x07Example\x03org\x00"), "{asked:?}");
    let alias = b"\x04host\xc0\x10";
    let records = [
        record(b"\xc0\x0c", CNAME, alias),
        record(b"\x04HOST\x07example\x03org\x00", A, &[192, 0, 2, 1]),
        record(b"\x05other\x07example\x03org\x00", A, &[192, 0, 2, 66]),
        record(b"\x04host\x07example\x03org\x00", A, &[192, 0, 2, 2]),
    ];
    feed(&mut bench, &answer(&asked, 0, &records));
    let addresses = outcome(&mut bench).expect("an outcome").expect("addresses");
    assert_eq!(addresses, [IpAddr::from([192, 0, 2, 1]), IpAddr::from([192, 0, 2, 2])]);
    assert_eq!(outcome(&mut bench), None, "once");
}

#[test]
fn ipv6_addresses_are_asked_for_and_told_apart() {
    let mut bench = bench();
    bench.stack.resolve("host.", Lookup::Ipv6).expect("a final dot is fine");
    let asked = questions(&mut bench).pop().expect("a question");
    let v6 = [0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 7];
    feed(
        &mut bench,
        &answer(&asked, 0, &[record(b"\xc0\x0c", A, &[1, 2, 3, 4]), record(b"\xc0\x0c", AAAA, &v6)]),
    );
    assert_eq!(outcome(&mut bench), Some(Ok(vec![IpAddr::from(v6)])));
}

#[test]
fn what_servers_say_instead_is_told_apart() {
    for (rcode, records, expected) in [(3, vec![], LookupError::NoName), (0, vec![], LookupError::NoAddress)]
    {
        let mut bench = bench();
        bench.stack.resolve("host", Lookup::Ipv4).expect("a good name");
        let asked = questions(&mut bench).pop().expect("a question");
        feed(&mut bench, &answer(&asked, rcode, &records));
        assert_eq!(outcome(&mut bench), Some(Err(expected)));
    }
}

/// Has every question answered in the same way until there is an outcome.
fn outcome_of(mut answer: impl FnMut(&Udp) -> Udp) -> Result<Vec<IpAddr>, LookupError> {
    let mut bench = bench();
    bench.stack.resolve("host", Lookup::Ipv4).expect("a good name");
    for _ in 0..200 {
        for asked in questions(&mut bench) {
            feed(&mut bench, &answer(&asked));
        }
        if let Some(outcome) = outcome(&mut bench) {
            return outcome;
        }
        bench.now_us += 100_000;
    }
    panic!("it never ends");
}

#[test]
fn a_server_that_only_refuses_is_not_called_silent() {
    for rcode in [1, 2, 4, 5] {
        assert_eq!(outcome_of(|asked| answer(asked, rcode, &[])), Err(LookupError::Refused), "{rcode}");
    }
}

#[test]
fn an_answer_cut_off_before_its_addresses_does_not_say_that_there_are_none() {
    let cut = |asked: &Udp, records: &[Vec<u8>]| {
        let mut answer = answer(asked, 0, records);
        answer.payload[2] |= 2;
        answer
    };
    assert_eq!(outcome_of(|asked| cut(asked, &[])), Err(LookupError::Refused));
    let some = [record(b"\xc0\x0c", A, &[1, 2, 3, 4])];
    assert_eq!(
        outcome_of(|asked| cut(asked, &some)),
        Ok(vec![IpAddr::from([1, 2, 3, 4])]),
        "better than none"
    );
}

#[test]
fn a_silent_server_is_asked_again_and_then_given_up() {
    let mut bench = bench();
    bench.stack.resolve("host", Lookup::Ipv4).expect("a good name");
    let mut asked = 0;
    for _ in 0..200 {
        asked += questions(&mut bench).len();
        if let Some(outcome) = outcome(&mut bench) {
            assert_eq!((outcome, asked), (Err(LookupError::TimedOut), 3));
            assert!(
                (6_500_000..8_500_000).contains(&(bench.now_us - 1_000_000)),
                "1 + 2 + 4 s: {}",
                bench.now_us
            );
            return;
        }
        bench.now_us += 100_000;
    }
    panic!("it never ends");
}

#[test]
fn answers_of_strangers_are_not_believed() {
    let mut bench = bench();
    bench.stack.resolve("host", Lookup::Ipv4).expect("a good name");
    let asked = questions(&mut bench).pop().expect("a question");
    let record = [record(b"\xc0\x0c", A, &[6, 6, 6, 6])];
    let good = answer(&asked, 0, &record);
    let mut wrong_id = good.clone();
    wrong_id.payload[0] ^= 1;
    let mut other_name = good.clone();
    other_name.payload[13] ^= 1;
    let mut no_response = good.clone();
    no_response.payload[2] &= 0x7f;
    let wrong_server = Udp::new((THEM, 54), good.destination, &good.payload);
    let attempts = [wrong_id, other_name, no_response, wrong_server];
    for bad in &attempts {
        feed(&mut bench, bad);
        assert_eq!(outcome(&mut bench), None);
    }
    assert_eq!(bench.stack.counters().dns_strange_answers, attempts.len() as u64);
    feed(&mut bench, &good);
    assert_eq!(outcome(&mut bench), Some(Ok(vec![IpAddr::from([6, 6, 6, 6])])));
}

#[test]
fn identifications_and_ports_differ_from_query_to_query() {
    let mut bench = bench();
    let mut seen = std::collections::HashSet::new();
    for _ in 0..16 {
        bench.stack.resolve("host", Lookup::Ipv4).expect("room for sixteen");
    }
    assert_eq!(bench.stack.resolve("host", Lookup::Ipv4), Err(ResolveError::TooMany));
    for asked in questions(&mut bench) {
        assert!(seen.insert((asked.source.port(), asked.payload[0], asked.payload[1])));
    }
    assert_eq!(seen.len(), 16);
}

#[test]
fn names_that_are_none_are_refused() {
    let mut bench = bench();
    let long = "a".repeat(64);
    let many = "abc.".repeat(70);
    for name in ["", ".", "a..b", &long, &many, "with space", "caf\u{e9}"] {
        assert_eq!(bench.stack.resolve(name, Lookup::Ipv4), Err(ResolveError::Name), "{name}");
    }
    bench.stack.set_dns_servers(&[]);
    assert_eq!(bench.stack.resolve("host", Lookup::Ipv4), Err(ResolveError::NoServer));
}

#[test]
fn no_bytes_make_it_panic_or_hang() {
    for seed in naio_testkit::seeds(1, 20) {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut bench = bench();
        for _ in 0..100 {
            let query = bench.stack.resolve("host.example.org", Lookup::Ipv4).expect("room");
            let asked = questions(&mut bench).pop().expect("a question");
            let records: Vec<_> = (0..random.usize(0..6))
                .map(|_| {
                    record(b"\xc0\x0c", random.choice([A, AAAA, CNAME]).expect("three"), b"\xc0\x0c\xc0\x10")
                })
                .collect();
            let mut bad = answer(&asked, 0, &records);
            for _ in 0..random.usize(0..6) {
                let at = random.usize(2..bad.payload.len());
                bad.payload[at] = random.u8(..);
            }
            bad.payload.truncate(random.usize(12..=bad.payload.len()));
            feed(&mut bench, &bad);
            outcome(&mut bench);
            bench.stack.cancel_resolve(query);
        }
    }
}

#[test]
fn outcomes_that_nobody_fetches_do_not_pile_up() {
    let mut bench = bench();
    for _ in 0..16 {
        bench.stack.resolve("host", Lookup::Ipv4).expect("room for sixteen");
    }
    bench.wait_ms(20_000);
    assert_eq!(bench.stack.resolve("host", Lookup::Ipv4), Err(ResolveError::TooMany));
    let mut out = Vec::new();
    bench.stack.resolved(&mut out);
    assert_eq!(out.len(), 16);
    bench.stack.resolve("host", Lookup::Ipv4).expect("room again");
}
