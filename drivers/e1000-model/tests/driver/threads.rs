//! Cards that are threads of their own.

use crate::sides::{Side, innocent, packet, udp_packet};
use naio_dma::{Buffer, Domain};
use naio_e1000::{Config, E1000};
use naio_e1000_model::wire::pair::pair;
use naio_e1000_model::{Checks, Model, Options};
use naio_nic::{Nic, RxFrame};
use naio_sys::clock::Clock;
use std::time::Duration;

#[test]
fn with_threads_every_frame_arrives_too() {
    threads(false);
}

#[test]
fn with_threads_and_a_gigabit_line_every_frame_arrives_too() {
    threads(true);
}

fn threads(paced: bool) {
    let (a, b, _cable) = pair();
    let side = |wire, last| {
        let mut options = Options {
            clock: Clock::Monotonic,
            checks: Checks::Light,
            autoneg: Duration::from_millis(1),
            paced,
            ..Options::default()
        };
        options.mac[5] = last;
        let domain = Domain::new();
        let mut model = Model::new(options, &domain, wire).expect("the default part");
        model.start().expect("a thread");
        let card = model.card();
        let nic = E1000::open(model, &Config { rx_ring: 1024, rx_spare: 512, ..Config::default() })
            .expect("comes up");
        Side { nic, card, domain }
    };
    let mut sides = [side(a, 1), side(b, 2)];
    let macs = [sides[0].nic.caps().mac.0, sides[1].nic.caps().mac.0];
    let mut buffers = Buffer::allocate(&sides[0].domain, 1, 2048).expect("memory");
    let (packet, whole) = udp_packet(&mut buffers[0], macs[1], macs[0], 1472, 3);
    let total: usize = std::env::var("NAIO_FRAMES").ok().and_then(|n| n.parse().ok()).unwrap_or(5_000);
    let (mut posted, mut got) = (0, 0);
    let begin = naio_sys::clock::now();
    let mut packets = Vec::new();
    while got < total {
        // No more under way than the receiver has pages for: this is no test of overruns.
        while packets.len() < 32 && posted + packets.len() < total && posted + packets.len() - got < 900 {
            packets.push(packet.clone());
        }
        posted += sides[0].nic.post_tx(&mut packets);
        sides[0].nic.ring();
        let mut released = Vec::new();
        sides[0].nic.reap_tx(&mut released);
        let mut frames: Vec<RxFrame> = Vec::new();
        if sides[1].nic.reap_rx(&mut frames, 256) == 0 {
            std::thread::yield_now();
        }
        let mut pages = Vec::new();
        for frame in frames {
            assert_eq!(sides[1].nic.rx_pool().bytes(&frame.page)[frame.offset.into()..][..60], whole[..60]);
            pages.push(frame.page);
            got += 1;
        }
        sides[1].nic.post_rx(&mut pages);
        sides[1].nic.ring();
        let waited = naio_sys::clock::now().since(begin);
        assert!(waited < Duration::from_secs(60), "{got} of {total} after {waited:?}");
    }
    let took = naio_sys::clock::now().since(begin);
    report(got, got * whole.len(), took);
    sides.iter().for_each(|side| innocent(side, "threads"));
}

#[expect(clippy::print_stdout, reason = "shown with --nocapture: a figure, not an assertion")]
fn report(frames: usize, bytes: usize, took: Duration) {
    println!("{frames} frames, {:.0} MB/s", bytes as f64 / took.as_secs_f64() / 1e6);
}

#[test]
fn one_end_may_leave_while_the_other_sends() {
    for threaded in [false, true] {
        let (a, b, _cable) = pair();
        let [mut first, second] = [a, b].map(|wire| {
            let clock = if threaded { Clock::Monotonic } else { Options::default().clock };
            let options = Options { clock, autoneg: Duration::from_millis(1), ..Options::default() };
            let mut model = Model::new(options, &Domain::new(), wire).expect("the default part");
            if threaded {
                model.start().expect("a thread");
            }
            let card = model.card();
            (E1000::open(model, &Config::default()).expect("comes up"), card)
        });
        let (to, from) = ([2, 0, 0, 0, 0, 1], first.0.caps().mac.0);
        let mut left = Some(second);
        for round in 0..200 {
            let mut packets = vec![packet(to, from, 100, round)];
            first.0.post_tx(&mut packets);
            first.0.ring();
            let mut released = Vec::new();
            first.0.reap_tx(&mut released);
            first.1.run();
            if round == 50 {
                left = None;
            }
        }
        assert!(left.is_none());
        assert!(!first.0.link().is_up(), "threaded {threaded}: the partner is gone");
    }
}
