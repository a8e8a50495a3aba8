//! Sender and receiver face each other over two cards in software, each with a thread of its own.

use crate::card::Card;
use crate::feed::Feed;
use crate::measure::Plan;
use crate::report::{Failure, Report};
use crate::transmit::Sender;
use crate::{Shape, receive, serve};
use naio_dma::Domain;
use naio_e1000::{Config, E1000};
use naio_e1000_model::wire::pair::{Pair, pair};
use naio_e1000_model::{Model, Options};
use naio_sys::checksum::Sum;
use naio_sys::clock::Clock;
use std::time::Duration;

const RING: u32 = 128;
const PATIENCE: Duration = Duration::from_secs(30);

/// A card at one end of a cable that negotiates at once. The sender's frames are for the station that ends in 2.
fn card(wire: Pair, last: u8) -> Card {
    let domain = Domain::new();
    let mac = [0x52, 0x54, 0x00, 0x09, 0x00, last];
    let autoneg = Duration::from_millis(1);
    let options = Options { mac, autoneg, clock: Clock::Monotonic, ..Options::default() };
    let mut model = Model::new(options, &domain, wire).expect("the default part is one of the family");
    model.start().expect("a thread");
    let config = Config { rx_ring: RING, tx_ring: RING, rx_spare: RING, ..Config::default() };
    Card::new(Box::new(E1000::open(model, &config).expect("comes up")), &domain, RING).expect("memory")
}

fn plan(size: u16, frames: u64, warm_up: u64) -> Plan {
    Plan { size, frames, warm_up, burst: 32 }
}

/// What both sides report of a run in which the receiver wants so many frames and is brought 100 at a time.
fn exchange(size: u16, shape: Shape, frames: u64) -> (Report, Report) {
    let (a, b, _cable) = pair();
    let (ours, theirs) = Feed::pair();
    std::thread::scope(|scope| {
        // Both must come up at the same time, or neither sees a link.
        let sender = scope.spawn(move || {
            let (mut card, mut feed) = (card(a, 1), theirs);
            serve::run(&mut card, &mut feed, &plan(size, 0, 0), shape, 100)
        });
        let mut card = card(b, 2);
        let mut feed = ours;
        let received = receive::run(card.nic.as_mut(), Some(&mut feed), &plan(size, frames, 100), PATIENCE);
        drop(feed);
        let sent = sender.join().expect("the sender ends with its receiver");
        (received.expect("all arrives"), sent.expect("all is sent"))
    })
}

#[test]
fn every_frame_arrives_with_its_length_however_it_is_described() {
    for (size, shape) in
        [(64, Shape::Header), (1500, Shape::Header), (60, Shape::Whole), (1514, Shape::Whole)]
    {
        let (received, sent) = exchange(size, shape, 500);
        assert!(received.frames >= 500 && received.frames < 600, "{shape:?} {received:?}");
        assert_eq!(received.bytes, received.frames * u64::from(size), "{shape:?}");
        assert_eq!(sent.frames % 100, 0, "{sent:?}");
        assert!(received.frames_per_poll <= 32.0 && received.bursts * 32 >= received.frames, "{received:?}");
    }
}

#[test]
fn what_is_sent_is_a_datagram_whose_checksums_hold() {
    let (a, b, _cable) = pair();
    std::thread::scope(|scope| {
        let other = scope.spawn(move || card(b, 2));
        let mut from = card(a, 1);
        let mut to = other.join().expect("a card");
        for shape in [Shape::Header, Shape::Whole] {
            // What is left of one sender's pages is not the next one's: it waits for its own.
            let mut sender = Sender::new(&mut from, &plan(301, 0, 0), shape);
            assert_eq!(sender.send(1), 1);
            while !sender.is_done() {}
            let mut frames = Vec::new();
            while frames.is_empty() {
                to.nic.reap_rx(&mut frames, 1);
            }
            let frame = frames.remove(0);
            let start = usize::from(frame.offset);
            let bytes = to.nic.rx_pool().bytes(&frame.page)[start..start + usize::from(frame.len)].to_vec();
            let (ip, udp) = (&bytes[14..34], &bytes[34..]);
            assert_eq!(bytes.len(), 301);
            assert!(Sum::ZERO.bytes(ip).is_valid(), "{shape:?} {ip:?}");
            let pseudo = Sum::ZERO.bytes(&ip[12..20]).word(17).word(udp.len() as u16);
            assert!(pseudo.bytes(udp).is_valid() && udp[6..8] != [0, 0], "{shape:?} {:?}", &udp[..8]);
            to.nic.post_rx(&mut vec![frame.page]);
            to.nic.ring();
        }
    });
}

#[test]
fn a_receiver_whose_sender_has_gone_says_so() {
    let (a, b, _cable) = pair();
    let (mut ours, theirs) = Feed::pair();
    drop(theirs);
    std::thread::scope(|scope| {
        let other = scope.spawn(move || card(a, 1));
        let mut card = card(b, 2);
        let failure = receive::run(card.nic.as_mut(), Some(&mut ours), &plan(64, 1, 0), PATIENCE)
            .expect_err("nobody sends");
        assert!(matches!(failure, Failure::Feed(..) | Failure::NoSender), "{failure}");
        drop(other.join());
    });
}

#[test]
fn time_spent_waiting_for_frames_is_not_in_the_rate() {
    let mut report = Report::new("rxonly", 64);
    report.poll(30);
    report.poll(0);
    report.poll(10);
    report.waited = Duration::from_secs(3);
    report.took(Duration::from_secs(5));
    assert_eq!((report.frames_per_s, report.frames_per_poll, report.empty_polls), (20.0, 20.0, 1));
}
