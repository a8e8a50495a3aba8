//! A hand on a card for whoever steps it, looks inside without side effects, or injects faults: tests
//! and people, never the driver.
//!
//! Receives requests from outside of the bus and hands on what the core shows. It never changes what
//! the driver sees, except where a fault is asked for.

use crate::faults::Faults;
use crate::model::Shared;
use crate::parts::Part;
use crate::phy::Partner;
use crate::port::Port;
use crate::regs::names;
use crate::violation::Violation;
use std::sync::Arc;
use std::time::Duration;

/// Lets `span` pass for cards that share one manual clock, event by event, so that what one sends
/// arrives at another in time. [`Card::advance`] moves the clock for one card and lets the others
/// catch up only when they are touched.
pub fn advance_together(cards: &[Card], span: Duration) {
    let Some(first) = cards.first() else { return };
    let end_us = first.shared.now_ns() / 1_000 + span.as_nanos().div_ceil(1_000) as u64;
    loop {
        while cards.iter().fold(false, |any, card| card.step(TOGETHER_BUDGET) | any) {}
        let next = cards.iter().filter_map(Card::next_event_us).filter(|at| *at <= end_us).min();
        let Some(next) = next else { break };
        first.shared.clock_to(next.max(first.shared.now_ns() / 1_000 + 1));
        if first.shared.clock.runs() {
            break;
        }
    }
    first.shared.clock_to(end_us);
    while cards.iter().fold(false, |any, card| card.step(TOGETHER_BUDGET) | any) {}
}

/// Frames and descriptors of one card before the next card's turn, when cards go on together.
const TOGETHER_BUDGET: usize = 32;

/// A register as [`Card::registers`] lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Register {
    /// What the datasheet calls it.
    pub name: names::Name,
    /// Where this part has it.
    pub offset: u32,
    /// What a read would give.
    pub value: u32,
}

/// A hand on a card: steps it, looks inside without side effects, injects faults. Clones are the
/// same hand.
#[derive(Clone)]
pub struct Card {
    pub(crate) shared: Arc<Shared>,
}

impl Card {
    /// The part it is.
    #[must_use]
    pub fn part(&self) -> Part {
        self.shared.core().part
    }

    /// Moves at most `budget` descriptors and frames at the present time; false if there was nothing
    /// to do.
    pub fn step(&self, budget: usize) -> bool {
        self.shared.present().work(budget)
    }

    /// Works until there is nothing to do at the present time.
    pub fn run(&self) {
        self.advance(Duration::ZERO);
    }

    /// Lets time pass (if the clock is manual) with everything that becomes due on the way.
    pub fn advance(&self, span: Duration) {
        self.shared.advance(span);
    }

    /// When something becomes due next, in microseconds of the clock, rounded up.
    #[must_use]
    pub fn next_event_us(&self) -> Option<u64> {
        self.shared.present().deadline_ns().map(|ns| ns.div_ceil(1_000))
    }

    /// A register or table word as it is, without side effects. Of a statistics pair, the low half
    /// gives its low 32 bits.
    #[must_use]
    pub fn peek(&self, offset: u32) -> u32 {
        self.shared.present().peek(offset)
    }

    /// Every register that this part has, with its value as it is, without side effects: first those
    /// that stand alone, then the tables. [`regs::names`](names) tells more of the names.
    #[must_use]
    pub fn registers(&self) -> Vec<Register> {
        let core = self.shared.present();
        let part = core.part;
        let (tables, single): (Vec<names::Entry>, Vec<names::Entry>) =
            names::ENTRIES.iter().copied().partition(|entry| entry.count > 1);
        let all = single.into_iter().chain(tables).flat_map(|entry| entry.registers(part));
        all.filter(|(_, offset)| core.has(*offset))
            .map(|(name, offset)| Register { name, offset, value: core.peek(offset) })
            .collect()
    }

    /// A statistics counter without clearing it; `None` where there is none.
    #[must_use]
    pub fn counter(&self, offset: u32) -> Option<u64> {
        self.shared.core().stats.peek(offset)
    }

    /// Sets every statistics counter to its ceiling.
    pub fn saturate_counters(&self) {
        self.shared.core().stats.saturate();
    }

    /// Pending causes (ICR), without clearing them.
    #[must_use]
    pub fn causes(&self) -> u32 {
        self.shared.core().irq.causes()
    }

    /// Whether the interrupt pin is up.
    #[must_use]
    pub fn interrupt_pin(&self) -> bool {
        self.shared.present().irq.pin()
    }

    /// How often the pin rose.
    #[must_use]
    pub fn assertions(&self) -> u64 {
        self.shared.core().irq.assertions
    }

    /// Signals an interrupt although nothing happened.
    pub fn spurious_interrupt(&self) {
        self.shared.core().irq.fire_spuriously();
    }

    /// Transfers that ended at an address the card may not see, as an IOMMU counts them.
    #[must_use]
    pub fn dma_faults(&self) -> u64 {
        self.shared.core().dma_faults
    }

    /// The card's connector: configuration space, regions, pins.
    #[must_use]
    pub fn port(&self) -> Port {
        Port { shared: self.shared.clone() }
    }

    /// Frames in the receive FIFO.
    #[must_use]
    pub fn fifo_frames(&self) -> usize {
        self.shared.core().rx.fifo_frames()
    }

    /// Whether the link is up as STATUS shows it.
    #[must_use]
    pub fn link_is_up(&self) -> bool {
        self.shared.present().link().is_some()
    }

    /// Replaces the partner at the other end of the cable; takes effect at the next negotiation.
    pub fn set_partner(&self, partner: Partner) {
        self.shared.core().phy.partner = partner;
    }

    /// The words of the EEPROM.
    #[must_use]
    pub fn eeprom(&self) -> Vec<u16> {
        self.shared.core().eeprom.words.clone()
    }

    /// Changes words of the EEPROM behind the card's back.
    pub fn edit_eeprom(&self, edit: impl FnOnce(&mut [u16])) {
        edit(&mut self.shared.core().eeprom.words);
    }

    /// Changes the script of faults.
    pub fn inject(&self, change: impl FnOnce(&mut Faults)) {
        let mut core = self.shared.core();
        let mut faults = core.faults.clone();
        change(&mut faults);
        core.set_faults(faults);
        drop(core);
        self.shared.worker.wake();
    }

    /// Replaces the script of faults `after` so much time from now.
    pub fn inject_after(&self, after: Duration, faults: Faults) {
        let mut core = self.shared.present();
        let at_ns = core.now_ns.saturating_add(after.as_nanos() as u64);
        core.late.plan(at_ns, faults);
        drop(core);
        self.shared.worker.wake();
    }

    /// Drives a software-definable pin from outside: 0 to 3 are CTRL's, 4 to 7 those of CTRL_EXT.
    pub fn drive_pin(&self, pin: u32, high: bool) {
        self.shared.present().drive_pin(pin, high);
    }

    /// The level that the card drives on such a pin; `None` while it is an input.
    #[must_use]
    pub fn driven_pin(&self, pin: u32) -> Option<bool> {
        self.shared.core().driven_pin(pin)
    }

    /// How often the card went to memory for descriptors: receive ring, transmit ring.
    #[must_use]
    pub fn descriptor_bursts(&self) -> (u64, u64) {
        let core = self.shared.core();
        (core.rx.prefetched.bursts, core.tx.prefetched.bursts)
    }

    /// What the driver did wrong so far; the first 256.
    #[must_use]
    pub fn violations(&self) -> Vec<Violation> {
        self.shared.core().violations.kept().to_vec()
    }

    /// The same, and forgets them.
    #[must_use]
    pub fn take_violations(&self) -> Vec<Violation> {
        self.shared.core().violations.take()
    }

    /// How many violations there were, kept or not.
    #[must_use]
    pub fn violation_count(&self) -> u64 {
        self.shared.core().violations.count()
    }

    /// Register offsets that this part does not have, and how often they were touched.
    #[must_use]
    pub fn unknown_registers(&self) -> Vec<(u32, u64)> {
        self.shared.core().unknown().iter().map(|(offset, count)| (*offset, *count)).collect()
    }
}
