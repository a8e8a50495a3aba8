//! A DHCP server, written by hand after RFC 2131 and 2132, against the client.

use super::*;
use naio_testkit::sum;
use std::time::Duration;

const OURS: Mac = Mac([2, 0, 0, 0, 0, 1]);
const SERVER_MAC: [u8; 6] = [2, 0, 0, 0, 0, 9];
const SERVER: [u8; 4] = [10, 0, 0, 9];
const OFFERED: [u8; 4] = [10, 0, 0, 77];
/// Start of the BOOTP message in a frame.
const BOOTP: usize = 14 + 20 + 8;
const OPTIONS: usize = BOOTP + 240;
const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const ACK: u8 = 5;
const NAK: u8 = 6;

/// The value of an option in a frame from the client.
fn option(frame: &[u8], wanted: u8) -> Option<&[u8]> {
    let mut rest = frame.get(OPTIONS..)?;
    while let [code, len, tail @ ..] = rest {
        let (value, next) = tail.split_at_checked(usize::from(*len))?;
        if *code == wanted {
            return Some(value);
        }
        rest = next;
    }
    None
}

/// A server's answer to `question`.
fn answer(question: &[u8], kind: u8, lease_s: u32) -> Vec<u8> {
    let mut frame = vec![0; OPTIONS];
    frame[..6].copy_from_slice(&OURS.0);
    frame[6..12].copy_from_slice(&SERVER_MAC);
    frame[12..14].copy_from_slice(&[8, 0]);
    frame[BOOTP..BOOTP + 4].copy_from_slice(&[2, 1, 6, 0]);
    frame[BOOTP + 4..BOOTP + 8].copy_from_slice(&question[BOOTP + 4..BOOTP + 8]);
    frame[BOOTP + 16..BOOTP + 20].copy_from_slice(&OFFERED);
    frame[BOOTP + 28..BOOTP + 34].copy_from_slice(&OURS.0);
    frame[BOOTP + 236..BOOTP + 240].copy_from_slice(&[99, 130, 83, 99]);
    frame.extend_from_slice(&[53, 1, kind, 54, 4, 10, 0, 0, 9, 51, 4]);
    frame.extend_from_slice(&lease_s.to_be_bytes());
    frame
        .extend_from_slice(&[1, 4, 255, 255, 255, 0, 3, 4, 10, 0, 0, 1, 6, 8, 10, 0, 0, 2, 10, 0, 0, 3, 255]);
    let ip_len = (frame.len() - 14) as u16;
    let udp_len = ip_len - 20;
    frame[14..24].copy_from_slice(&[0x45, 0, (ip_len >> 8) as u8, ip_len as u8, 0, 0, 0, 0, 64, 17]);
    frame[26..30].copy_from_slice(&SERVER);
    frame[30..34].copy_from_slice(&OFFERED);
    // A UDP checksum of zero is none (RFC 768); the IP header's is needed.
    frame[34..42].copy_from_slice(&[0, 67, 0, 68, (udp_len >> 8) as u8, udp_len as u8, 0, 0]);
    let header =
        frame[14..34].chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(pair[1])).sum::<u32>();
    let folded = !(((header & 0xffff) + (header >> 16)) as u16);
    frame[24..26].copy_from_slice(&folded.to_be_bytes());
    frame
}

/// A client that has been given a lease, and when.
fn leased(lease_s: u32) -> (Client, Time) {
    let mut client = Client::new(OURS, 1500, 7, Time::ZERO);
    let mut now = Time::ZERO;
    let ask = |client: &mut Client, now: &mut Time| loop {
        if let Some(frame) = client.egress(*now).pop() {
            assert!(sum::frame_is_right(&frame), "checksums of {frame:02x?}");
            return frame;
        }
        *now = client.next_deadline().expect("it goes on").max(now.after(Duration::from_micros(1)));
    };
    let discover = ask(&mut client, &mut now);
    assert_eq!(option(&discover, 53), Some(&[DISCOVER][..]));
    assert_eq!(&discover[..6], &[0xff; 6], "to everybody");
    let offer = answer(&discover, OFFER, lease_s);
    assert!(Client::wants(&offer));
    client.ingest(now, &offer);
    let request = ask(&mut client, &mut now);
    assert_eq!(option(&request, 53), Some(&[REQUEST][..]));
    assert_eq!(option(&request, 50), Some(&OFFERED[..]));
    client.ingest(now, &answer(&request, ACK, lease_s));
    (client, now)
}

#[test]
fn a_lease_brings_address_gateway_and_name_servers() {
    let (mut client, _) = leased(3600);
    let lease = client.take_change().expect("a change").expect("a lease");
    assert_eq!((lease.address.octets(), lease.prefix_len), (OFFERED, 24));
    assert_eq!(lease.gateway, Some([10, 0, 0, 1].into()));
    assert_eq!(lease.dns_servers, [Ipv4Addr::from([10, 0, 0, 2]), [10, 0, 0, 3].into()]);
    assert_eq!(client.take_change(), None, "and nothing more");
}

#[test]
fn a_lease_that_is_not_renewed_is_lost() {
    let (mut client, mut now) = leased(60);
    assert!(client.take_change().is_some_and(|lease| lease.is_some()));
    for _ in 0..10_000 {
        client.egress(now);
        if let Some(change) = client.take_change() {
            assert_eq!(change, None);
            assert!(now >= Time::from_micros(59_000_000), "not before it is over: {now:?}");
            return;
        }
        now = client.next_deadline().expect("it asks again").max(now.after(Duration::from_micros(1)));
    }
    panic!("the lease never ends");
}

#[test]
fn a_refusal_starts_again() {
    let mut client = Client::new(OURS, 1500, 7, Time::ZERO);
    let mut now = Time::ZERO;
    let discover = loop {
        if let Some(frame) = client.egress(now).pop() {
            break frame;
        }
        now = client.next_deadline().expect("it starts");
    };
    client.ingest(now, &answer(&discover, OFFER, 60));
    let request = client.egress(now).pop().expect("a request");
    client.ingest(now, &answer(&request, NAK, 60));
    assert_eq!(client.take_change().flatten(), None);
}

/// The whole way: a stack without an address gets one, uses it, and loses it again.
#[test]
fn a_stack_takes_its_lease_over_and_gives_it_up() {
    use crate::tests::{Bench, OUR_MAC};
    let mut bench = Bench::new(|config| (config.address, config.prefix_len) = (Ipv4Addr::UNSPECIFIED, 0));
    bench.stack.start_dhcp();
    let ask = |bench: &mut Bench| {
        for _ in 0..1_000 {
            if let Some(frame) = bench.frames().into_iter().find(|frame| option(frame, 53).is_some()) {
                return frame;
            }
            bench.now_us += 10_000;
        }
        panic!("it asks nothing");
    };
    assert_eq!(OUR_MAC, OURS);
    let discover = ask(&mut bench);
    bench.feed_frame(&answer(&discover, OFFER, 60));
    let request = ask(&mut bench);
    assert_eq!(bench.stack.address(), Ipv4Addr::UNSPECIFIED);
    bench.feed_frame(&answer(&request, ACK, 60));
    let lease = bench.stack.take_lease_change().expect("a change").expect("a lease");
    assert_eq!((bench.stack.address(), lease.prefix_len), (OFFERED.into(), 24));
    assert_eq!(bench.stack.counters().rx_dhcp, 2);
    assert!(bench.stack.resolve("host", crate::Lookup::Ipv4).is_ok(), "its name servers are known");
    bench.wait_ms(70_000);
    assert_eq!(bench.stack.take_lease_change(), Some(None));
    assert_eq!(bench.stack.address(), Ipv4Addr::UNSPECIFIED);
}

#[test]
fn no_bytes_make_it_panic() {
    for seed in naio_testkit::seeds(1, 50) {
        let mut random = fastrand::Rng::with_seed(seed);
        let (mut client, now) = leased(60);
        let question = vec![0; OPTIONS];
        for _ in 0..200 {
            let mut frame = answer(&question, random.u8(0..9), random.u32(..));
            for _ in 0..random.usize(0..8) {
                let at = random.usize(0..frame.len());
                frame[at] = random.u8(..);
            }
            frame.truncate(random.usize(0..=frame.len()));
            let _ = Client::wants(&frame);
            client.ingest(now, &frame);
            client.egress(now);
            let _ = client.take_change();
        }
    }
}
