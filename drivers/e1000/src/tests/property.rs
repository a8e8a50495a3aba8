//! Whatever the card does: no panic, no page twice, no page lost, no extent twice, every call ends.

use super::card::{Card, State, TestCard};
use super::transmit::Bench;
use super::{pattern, rng};
use crate::E1000;
use crate::desc::{rx, tx};
use crate::regs::*;
use naio_dma::Iova;
use naio_nic::tx::FRAGMENTS_MAX;
use naio_nic::{Health, Nic, RxFrame, TxPacket};
use std::collections::{BTreeSet, VecDeque};

/// One random thing that a broken card may do to memory it can reach, or to its registers.
fn misbehave(state: &mut State, rng: &mut fastrand::Rng) {
    let index = rng.u32(0..80);
    let word = if rng.bool() { rng.u64(..) } else { rx::DD | rx::EOP | rng.u64(0..3000) };
    match rng.u32(0..12) {
        0..=3 => drop(state.deliver(&pattern(rng.usize(14..5000), 1))),
        4 => drop(state.write_back(&[0x55; 2048], word)),
        5 => state.bus.store(state.slot(RDBAL, index) + rng.u64(0..2) * 8, word).expect("ring"),
        6 => {
            let slot = state.slot(TDBAL, index) + 8;
            let old = state.bus.load(slot).expect("ring");
            state.bus.store(slot, old | tx::DD).expect("ring");
        }
        7 => (0x4000..0x4100).step_by(4).for_each(|counter| state.set(counter, rng.u32(..))),
        8 => state.lies.stuck = Some((*rng.choice(&[STATUS, RDH, TDH, ICR]).expect("some"), rng.u32(..))),
        9 => state.lies.stuck = None,
        10 => state.lies.tx_frozen = rng.bool(),
        _ => {
            // An honest head again, so that honest frames find their way in.
            let tail = state.reg(RDT);
            state.set(RDH, (tail + 1) % 80);
        }
    }
}

struct Above {
    held: Vec<RxFrame>,
    extents: VecDeque<u32>,
    next_extent: u32,
}

impl Above {
    fn receive(&mut self, driver: &mut E1000<TestCard>, rng: &mut fastrand::Rng) {
        let budget = rng.usize(0..100);
        let before = self.held.len();
        let count = driver.reap_rx(&mut self.held, budget);
        assert!(count <= budget && self.held.len() == before + count);
        for frame in &self.held[before..] {
            assert!((14..=2048).contains(&frame.len) && frame.offset == 0);
            assert_eq!(driver.rx_pool().bytes(&frame.page).len(), 2048);
        }
        while !self.held.is_empty() && rng.bool() {
            let frame = self.held.swap_remove(rng.usize(0..self.held.len()));
            driver.post_rx(&mut vec![frame.page]);
        }
    }

    fn send(&mut self, bench: &mut Bench, rng: &mut fastrand::Rng) {
        let fragments = rng.usize(0..=FRAGMENTS_MAX);
        let cuts: Vec<_> = (0..fragments)
            .map(|n| (n * 100..n * 100 + rng.usize(1..80), self.next_extent + n as u32))
            .collect();
        self.next_extent += fragments as u32;
        let mut batch: Vec<TxPacket> = vec![bench.packet(rng.usize(1..=60), &cuts)];
        if bench.driver.post_tx(&mut batch) == 1 {
            self.extents.extend(cuts.iter().map(|(_, extent)| *extent));
        }
    }

    fn check(&self, driver: &E1000<TestCard>) {
        let pool = driver.rx_pool();
        let above = self.held.iter().map(|frame| pool.iova(&frame.page));
        let all: Vec<Iova> = driver.rx.held().into_iter().chain(above).collect();
        assert_eq!(all.len(), pool.capacity() as usize, "no page is lost");
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len(), "no page is there twice");
        assert_eq!(pool.idle_count(), 0);
    }
}

fn run(rng: &mut fastrand::Rng) {
    let mut bench = Bench::new(80, 80);
    let card: Card = bench.card.clone();
    card.lock().tx.lawless = true;
    let mut above = Above { held: Vec::new(), extents: VecDeque::new(), next_extent: 0 };
    let mut released = Vec::new();
    for _ in 0..rng.usize(0..400) {
        misbehave(&mut card.lock(), rng);
        match rng.u32(0..8) {
            0..=2 => above.receive(&mut bench.driver, rng),
            3 => above.send(&mut bench, rng),
            4 => bench.driver.reap_tx(&mut released),
            5 => bench.driver.ring(),
            6 => drop(bench.driver.counters()),
            _ => drop(bench.driver.link()),
        }
        for extent in released.drain(..) {
            assert_eq!(Some(extent.0), above.extents.pop_front(), "in order, once");
        }
        assert!(bench.driver.tx_room() <= 19);
    }
    above.check(&bench.driver);
    if rng.bool() {
        let accesses = card.lock().accesses;
        card.lock().lies.gone_from = Some(accesses + rng.u64(0..4));
    }
    assert_ne!(bench.driver.health(), Health::ReleaseRequested);
}

#[test]
fn whatever_the_card_does_pages_and_extents_are_conserved() {
    let mut rng = rng();
    for _ in 0..150 {
        run(&mut rng);
    }
}
