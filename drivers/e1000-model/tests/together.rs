//! Two cards in one virtual time: pacing and delay on an impaired cable, to the microsecond.

use naio_device::{Device, Doorbell, Registers};
use naio_dma::{Buffer, DescArray, Domain, Pool};
use naio_e1000_model::regs::*;
use naio_e1000_model::wire::impair::{Harm, Impair};
use naio_e1000_model::wire::pair::pair;
use naio_e1000_model::{Card, Model, Options, Wire, advance_together};
use naio_sys::clock::Clock;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

fn card(clock: &Arc<AtomicU64>, wire: impl Wire + 'static) -> (Model, Card, Domain) {
    let domain = Domain::new();
    let options = Options { clock: Clock::Manual(clock.clone()), paced: true, ..Options::default() };
    let mut model = Model::new(options, &domain, wire).expect("the default part");
    model.set_bus_master(true).expect("always");
    model.write(CTRL, model.read(CTRL) | 0x40);
    let card = model.card();
    (model, card, domain)
}

fn ring(model: &Model, first: u32, ring: &DescArray) {
    model.write(first, ring.iova().low());
    model.write(first + 8, ring.byte_len());
}

#[test]
fn a_frame_takes_its_time_on_the_line_and_on_the_way() {
    let clock = Arc::new(AtomicU64::new(0));
    let (a, b, _cable) = pair();
    let (a, _knob) = Impair::new(a, Harm { delay_us: 1_000, ..Harm::default() }, 1);
    let (sender, sending, domain_a) = card(&clock, a);
    let (receiver, receiving, domain_b) = card(&clock, b);
    let cards = [sending, receiving];
    advance_together(&cards, Duration::from_secs(2));
    let buffer = Buffer::allocate(&domain_a, 1, 2048).expect("memory");
    let (tx, rx) =
        (DescArray::new(&domain_a, 8).expect("memory"), DescArray::new(&domain_b, 8).expect("memory"));
    ring(&sender, TDBAL, &tx);
    ring(&receiver, RDBAL, &rx);
    let pool = Pool::new(&domain_b, 8, 2048).expect("memory");
    for n in 0..8 {
        rx.store(n, pool.iova(&pool.take().expect("eight pages")).as_u64(), 0);
    }
    receiver.write(RCTL, 2 | 8 | 1 << 15);
    receiver.doorbell(RDT).expect("a tail").ring(7);
    sender.write(TIDV, 8);
    sender.write(TCTL, 0x0103_f0fa);
    for n in 0..5 {
        tx.store(n, buffer[0].slice(0..1514).expect("inside").iova().as_u64(), 1514 | 0x0b00_0000);
    }
    sender.doorbell(TDT).expect("a tail").ring(5);
    let begin = clock.load(Ordering::Relaxed);
    advance_together(&cards, Duration::from_micros(999));
    assert!(rx.done(0, 1 << 32).is_none());
    advance_together(&cards, Duration::from_micros(2));
    assert!(rx.done(0, 1 << 32).is_some(), "a millisecond on the way");
    assert!(rx.done(1, 1 << 32).is_none(), "the second follows 12.3 µs later");
    advance_together(&cards, Duration::from_micros(50));
    assert!(rx.done(4, 1 << 32).is_some());
    assert_eq!(clock.load(Ordering::Relaxed), begin + 1_051, "the clock moved as asked");
    assert_eq!(receiver.card().violations(), []);
}
