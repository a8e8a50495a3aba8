//! Tests of autoconfiguration: what is believed of advertisements, for how long, and how much of it.

use super::*;

const MAC: Mac = Mac([2, 0, 0, 0, 0, 1]);

fn s(seconds: u64) -> Time {
    Time::from_micros(seconds * 1_000_000)
}

fn automatic() -> Autoconf {
    Autoconf::new(&Ipv6Config::automatic(), &[], MAC, Key::new([5; 16])).expect("good")
}

fn prefix(n: u16, valid_s: u32) -> PrefixInfo {
    PrefixInfo {
        prefix: Ipv6Addr::new(0x2001, 0xdb8, n, 0, 0, 0, 0, 0),
        prefix_len: 64,
        on_link: true,
        autonomous: true,
        valid_s,
        preferred_s: valid_s / 2,
    }
}

/// Lets time pass; the questions on the way.
fn pass(autoconf: &mut Autoconf, seconds: std::ops::Range<u64>) -> Vec<Question> {
    let mut questions = Vec::new();
    for second in seconds {
        autoconf.expire(s(second), &mut questions);
    }
    questions
}

const ROUTER: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x99);

#[test]
fn an_address_is_asked_about_then_used_and_then_routers_are_sought() {
    let mut autoconf = automatic();
    let questions = pass(&mut autoconf, 0..30);
    let own = autoconf.link_local().expect("nobody objected");
    let routers = Question::Routers(own);
    assert_eq!(questions, [Question::Duplicate(own), routers, routers, routers]);
    assert!(!own.octets()[8..].starts_with(&[0, 0, 0, 0xff, 0xfe]), "not the station address");
    let mut other = Autoconf::new(&Ipv6Config::automatic(), &[], MAC, Key::new([6; 16])).expect("good");
    pass(&mut other, 0..3);
    assert_ne!(other.link_local(), Some(own), "another secret, another address");
    assert_eq!(autoconf.next_deadline(), None);
}

#[test]
fn a_duplicate_is_given_up_and_another_one_formed_a_few_times() {
    let mut autoconf = automatic();
    let mut seen = Vec::new();
    let mut questions = Vec::new();
    for _ in 0..10 {
        autoconf.expire(s(0), &mut questions);
        let Some(Question::Duplicate(address)) = questions.pop() else { break };
        assert!(autoconf.is_tentative(address) && !seen.contains(&address));
        seen.push(address);
        autoconf.is_duplicate(address);
    }
    assert_eq!((seen.len(), autoconf.duplicates, autoconf.all_addresses().count()), (3, 3, 0));
}

#[test]
fn prefixes_make_addresses_that_end_with_their_lifetime() {
    let mut autoconf = automatic();
    pass(&mut autoconf, 0..3);
    autoconf.prefix(s(3), prefix(1, 9_000));
    autoconf.router(s(3), ROUTER, 1_800);
    pass(&mut autoconf, 3..6);
    let own = autoconf.addresses().find(|own| own.segments()[2] == 1).expect("formed");
    let near = Ipv6Addr::new(0x2001, 0xdb8, 1, 0, 0, 0, 0, 7);
    let far = Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 7);
    assert_eq!(autoconf.source_for(s(6), far), Some(own));
    assert_eq!(
        (autoconf.next_hop(near, |_| false), autoconf.next_hop(far, |_| false)),
        (Some(near), Some(ROUTER))
    );
    assert_eq!(autoconf.source_for(s(6), ROUTER), autoconf.link_local());
    // Nobody shortens it below two hours; the prefix itself goes off the link at once.
    autoconf.prefix(s(10), prefix(1, 1));
    pass(&mut autoconf, 12..14);
    assert!(autoconf.has(own));
    assert_eq!(autoconf.next_hop(near, |_| false), Some(ROUTER));
    pass(&mut autoconf, 7_300..7_301);
    assert!(!autoconf.has(own));
    assert_eq!(autoconf.next_hop(far, |_| false), None, "the router has not been heard for long");
}

#[test]
fn advertisements_cannot_make_us_grow() {
    let mut autoconf = automatic();
    for n in 0..1_000 {
        autoconf.prefix(s(0), prefix(n, 3_600));
        let router = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 1, n);
        autoconf.router(s(0), router, 1_800);
    }
    assert_eq!((autoconf.addresses.len(), autoconf.prefixes.len()), (ADDRESSES_MAX, PREFIXES_MAX));
    assert_eq!((autoconf.routers.len(), autoconf.refused), (ROUTERS_MAX, 994 + 992 + 996));
    autoconf.router(s(1), Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 1, 0), 0);
    assert_eq!(autoconf.routers.len(), ROUTERS_MAX - 1, "one says that it is none any more");
}

#[test]
fn a_router_that_does_not_answer_gives_way() {
    let mut autoconf = automatic();
    let other = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 0x98);
    autoconf.router(s(0), ROUTER, 1_800);
    autoconf.router(s(0), other, 1_800);
    let far = Ipv6Addr::new(0x2001, 0xdb8, 9, 0, 0, 0, 0, 7);
    assert_eq!(autoconf.next_hop(far, |_| false), Some(ROUTER));
    assert_eq!(autoconf.next_hop(far, |router| router == ROUTER), Some(other));
    assert_eq!(autoconf.next_hop(far, |_| true), Some(ROUTER), "better than none");
}

#[test]
fn nonsense_prefixes_are_ignored() {
    let mut autoconf = automatic();
    for text in ["fe80::", "ff02::", "::", "::ffff:0:0"] {
        let address: Ipv6Addr = text.parse().expect("an address");
        autoconf.prefix(s(0), PrefixInfo { prefix: address, ..prefix(0, 3_600) });
    }
    autoconf.prefix(s(0), PrefixInfo { prefix_len: 200, ..prefix(1, 3_600) });
    autoconf.prefix(s(0), PrefixInfo { prefix_len: 0, ..prefix(1, 3_600) });
    assert_eq!((autoconf.addresses.len(), autoconf.prefixes.len()), (1, 0));
    autoconf.prefix(s(0), PrefixInfo { prefix_len: 48, ..prefix(1, 3_600) });
    assert_eq!((autoconf.addresses.len(), autoconf.prefixes.len()), (1, 1), "on the link, but no address");
}

#[test]
fn configured_addresses_routes_and_gateway() {
    let ours = Ipv6Addr::new(0x2001, 0xdb8, 5, 0, 0, 0, 0, 1);
    let gateway = Ipv6Addr::new(0x2001, 0xdb8, 5, 0, 0, 0, 0, 0xff);
    let config = Ipv6Config { addresses: vec![(ours, 64)], gateway: Some(gateway), autoconfigure: false };
    let route = StaticRoute {
        prefix: Ipv6Addr::new(0x2001, 0xdb8, 6, 0, 0, 0, 0, 0).into(),
        prefix_len: 48,
        gateway: ROUTER.into(),
    };
    let mut autoconf = Autoconf::new(&config, &[route], MAC, Key::new([5; 16])).expect("good");
    pass(&mut autoconf, 0..30);
    assert!(autoconf.has(ours));
    assert_eq!(autoconf.next_hop(Ipv6Addr::new(0x2001, 0xdb8, 6, 1, 0, 0, 0, 1), |_| false), Some(ROUTER));
    assert_eq!(autoconf.next_hop(Ipv6Addr::new(0x2001, 0xdb8, 7, 1, 0, 0, 0, 1), |_| false), Some(gateway));
    autoconf.router(s(30), ROUTER, 1_800);
    assert!(autoconf.routers.is_empty(), "nobody asked");
    let wrong = StaticRoute { prefix_len: 47, gateway: far_away(), ..route };
    assert!(Autoconf::new(&config, &[wrong], MAC, Key::new([5; 16])).is_err());
    let loopback = Ipv6Config { addresses: vec![(Ipv6Addr::LOCALHOST, 64)], ..Ipv6Config::default() };
    assert!(Autoconf::new(&loopback, &[], MAC, Key::new([5; 16])).is_err());
}

fn far_away() -> IpAddr {
    Ipv6Addr::new(0x2001, 0xdb8, 0xffff, 0, 0, 0, 0, 1).into()
}
