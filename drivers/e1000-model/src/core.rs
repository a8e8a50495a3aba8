//! The card's inside: everything behind its registers, in one place, without a lock and without a
//! clock of its own.
//!
//! Receives register accesses (`access`), the passing of time, and what arrives on the wire; works
//! in steps that the owner calls. It never blocks, never panics for anything it reads from memory,
//! and touches memory only through the [`Bus`].

mod access;
mod fifo;
mod link;
mod pins;
mod reset;

use crate::config::{Config, Facts};
use crate::eeprom::{Eeprom, EepromKind};
use crate::faults::{Faults, MdicFault};
use crate::irq::Interrupts;
use crate::model::Options;
use crate::parts::Part;
use crate::phy::mdic::Mdic;
use crate::phy::pins::MdioPins;
use crate::phy::{Kind, Phy, Speed};
use crate::quirks::Quirks;
use crate::regs::{self, WINDOW_LEN, icr};
use crate::rx::Receiver;
use crate::stats::{PairRule, Stats};
use crate::tx::Transmitter;
use crate::violation::{Ring, Violations, Wrong};
use crate::watch::Watch;
use crate::wire::Wire;
use naio_dma::Bus;
use std::collections::{BTreeMap, VecDeque};

/// Most frames and descriptors for one event, so that a wire that never dries up cannot either.
const WORK_MAX: usize = 1 << 20;

/// Most events in one advance of the clock, so that no timer can keep it for ever.
const EVENTS_MAX: usize = 1_000_000;

/// One card.
pub(crate) struct Core {
    pub(crate) part: Part,
    pub(crate) quirks: Quirks,
    pub(crate) options: Options,
    pub(crate) faults: Faults,
    pub(crate) random: fastrand::Rng,
    pub(crate) bus: Bus,
    pub(crate) wire: Box<dyn Wire>,
    /// Nanoseconds of the card's clock.
    pub(crate) now_ns: u64,
    /// The register file, a word for each offset; only plain registers live here.
    words: Vec<u32>,
    pub(crate) irq: Interrupts,
    pub(crate) stats: Stats,
    pub(crate) eeprom: Eeprom,
    pub(crate) phy: Phy,
    mdic: Mdic,
    pins: MdioPins,
    /// Levels that the outside drives on the software-definable pins.
    pin_levels: u8,
    pub(crate) rx: Receiver,
    pub(crate) tx: Transmitter,
    pub(crate) violations: Violations,
    pub(crate) watch: Watch,
    unknown: BTreeMap<u32, u64>,
    /// PCI configuration space.
    pub(crate) config: Config,
    /// The card may start transfers: COMMAND bit 2, and not asleep.
    pub(crate) master: bool,
    /// What waits for its time.
    pub(crate) late: crate::late::Late,
    /// Transfers that no mapping answered.
    pub(crate) dma_faults: u64,
    /// The register that IODATA leads to.
    pub(crate) ioaddr: u32,
    /// The receive share of the packet buffer in effect: PBA counts only from the next reset on.
    pub(crate) rx_buffer_kb: u32,
    /// CTRL.RST reads as set, and nothing answers, until then.
    reset_done_ns: Option<u64>,
    /// The driver must not touch a register before.
    settled_ns: u64,
    link: Option<Speed>,
    carrier: bool,
    /// When the ten-bit interface began to negotiate.
    tbi_since_ns: Option<u64>,
    asdv: u32,
    /// RXCW.IV: a symbol was invalid since RXCW was read.
    pub(crate) invalid_symbol: bool,
    /// A write that a flush should follow.
    unflushed: Option<u32>,
    /// Which tails have a doorbell: receive, transmit.
    pub(crate) doorbells: [bool; 2],
    /// Frames on the way back in loopback.
    pub(crate) looped: VecDeque<crate::wire::Frame>,
}

impl Core {
    pub(crate) fn new(part: Part, options: Options, bus: Bus, wire: Box<dyn Wire>) -> Core {
        let quirks = options.quirks;
        let kind = if options.eeprom.is_spi() && !part.is_82541_or_82547() {
            EepromKind::Microwire64
        } else {
            options.eeprom
        };
        let subsystem = quirks.subsystem_of(part.id);
        let words = options
            .eeprom_words
            .clone()
            .unwrap_or_else(|| crate::eeprom::image(kind, part, options.mac, subsystem));
        let phy_kind = if part.is_82541_or_82547() { Kind::Igp } else { Kind::Marvell };
        let autoneg_ns = quirks.autoneg_ns.unwrap_or(options.autoneg.as_nanos() as u64);
        let facts = facts(part, &options, &words);
        let mut core = Core {
            part,
            quirks,
            faults: Faults::default(),
            random: fastrand::Rng::with_seed(options.seed),
            bus,
            wire,
            now_ns: 0,
            words: vec![0; (WINDOW_LEN / 4) as usize],
            irq: Interrupts::default(),
            stats: Stats::new(part),
            eeprom: Eeprom::new(kind, words, part),
            phy: Phy::new(phy_kind, part.phy_id(), autoneg_ns, options.partner),
            mdic: Mdic::default(),
            pins: MdioPins::default(),
            pin_levels: 0,
            rx: Receiver::default(),
            tx: Transmitter::default(),
            violations: Violations::default(),
            watch: Watch::new(options.checks),
            unknown: BTreeMap::new(),
            config: Config::new(&facts),
            master: false,
            dma_faults: 0,
            late: Default::default(),
            ioaddr: 0,
            rx_buffer_kb: part.rx_buffer_kb(),
            reset_done_ns: None,
            settled_ns: 0,
            link: None,
            carrier: false,
            tbi_since_ns: None,
            asdv: 0,
            invalid_symbol: false,
            unflushed: None,
            doorbells: [false; 2],
            looped: VecDeque::new(),
            options,
        };
        core.apply_quirks();
        core.power_on();
        core
    }

    fn apply_quirks(&mut self) {
        if let Some(layout) = self.quirks.eerd_layout {
            self.eeprom.set_eerd_layout(layout);
        }
        if self.quirks.eeprom_grant_not_needed {
            self.eeprom.set_needs_grant(false);
        }
        if self.quirks.stats_halves_clear_alone {
            self.stats.pair_rule = PairRule::EachClearsItself;
        }
        self.stats.missed_kept = self.quirks.stats_missed_kept;
        if self.quirks.stats_subset {
            use crate::stats::*;
            let bins = (PRC64..PRC64 + 6).chain(PTC64..PTC64 + 6);
            let others =
                [TPT, TPR, TOT, TOR, GPTC, GPRC, GORC, GOTC, BPRC, MPRC, BPTC, MPTC, ROC, RUC, MPC, RNBC];
            let named: Vec<usize> = bins.chain(others).collect();
            self.stats.restrict(&named);
        }
        self.irq.itr_ignored = self.quirks.itr_ignored;
        self.phy.set_quirks(self.quirks);
        if let Some(gap) = self.quirks.interrupt_gap {
            self.irq.set_itr(gap);
        }
    }

    /// A plain register's value. `offset` is inside the window.
    #[inline]
    pub(crate) fn reg(&self, offset: u32) -> u32 {
        self.words[(offset / 4) as usize]
    }

    #[inline]
    pub(crate) fn set_reg(&mut self, offset: u32, value: u32) {
        self.words[(offset / 4) as usize] = value;
    }

    pub(crate) fn blame(&mut self, wrong: Wrong) {
        self.violations.add(self.now_ns, wrong, None);
    }

    pub(crate) fn blame_at(&mut self, wrong: Wrong, ring: Ring, index: u32) {
        if matches!(wrong, Wrong::DmaOutside { .. }) {
            self.dma_faults += 1;
            self.config.note_master_abort();
        }
        self.violations.add(self.now_ns, wrong, Some((ring, index)));
    }

    pub(crate) fn raise(&mut self, causes: u32) {
        let mask = self.quirks.icr_mask.unwrap_or(u32::MAX);
        let part = if self.part.is_82540_or_later() { u32::MAX } else { !(icr::TXD_LOW | icr::SRPD) };
        self.irq.raise(causes & mask & part, self.now_ns);
    }

    /// Offsets that nothing is known of, and how often each was touched.
    pub(crate) fn unknown(&self) -> &BTreeMap<u32, u64> {
        &self.unknown
    }

    fn count_unknown(&mut self, offset: u32) {
        *self.unknown.entry(offset).or_default() += 1;
    }

    pub(crate) fn resetting(&self) -> bool {
        self.reset_done_ns.is_some()
    }

    /// Carries out what is due at `now_ns`; frames are moved by [`Core::work`].
    pub(crate) fn tick(&mut self, now_ns: u64) {
        self.now_ns = self.now_ns.max(now_ns);
        let now = self.now_ns;
        self.follow_script();
        if self.faults.gone {
            return;
        }
        self.end_reset();
        self.watch_carrier();
        self.eeprom.expire(now, self.faults.eerd_never_done);
        if self.mdic.expire(&mut self.phy, now, self.faults.mdic) {
            self.raise(icr::MDAC);
        }
        self.phy.expire(now);
        if self.phy.take_interrupt() && self.part.is_82540_or_later() && !self.part.is_82541_or_82547() {
            self.raise(icr::PHYINT);
        }
        self.late_stores();
        self.receive_timers();
        self.transmit_timers();
        self.refresh_link();
        self.irq.update(now);
    }

    /// When something becomes due next, later than now.
    pub(crate) fn deadline_ns(&self) -> Option<u64> {
        let mdic = self.mdic.deadline_ns().filter(|_| self.faults.mdic != MdicFault::NeverReady);
        let arrival = self.wire.next_arrival_ns();
        [
            mdic,
            arrival,
            self.reset_done_ns,
            self.eeprom.deadline_ns(),
            self.phy.deadline_ns(),
            self.tbi_deadline_ns(),
        ]
        .into_iter()
        .chain([
            self.irq.deadline_ns(),
            self.rx.deadline_ns(),
            self.tx.deadline_ns(),
            self.late.deadline_ns(),
        ])
        .flatten()
        .filter(|at| *at > self.now_ns)
        .min()
    }

    /// Moves at most `budget` descriptors and frames; false if there was nothing to do.
    pub(crate) fn work(&mut self, budget: usize) -> bool {
        if self.faults.gone || self.resetting() {
            return false;
        }
        if self.chance(self.faults.chaos.interrupt) {
            self.irq.fire_spuriously();
        }
        if self.faults.cause_storm != 0 {
            self.raise(self.faults.cause_storm);
        }
        let mut any = false;
        for _ in 0..budget {
            let progress = self.deliver_one() | self.receive_one() | self.transmit_one();
            if !progress {
                break;
            }
            any = true;
        }
        any
    }

    /// Lets time pass until `target_ns`, with everything that becomes due on the way.
    pub(crate) fn advance_to(&mut self, target_ns: u64) {
        for _ in 0..EVENTS_MAX {
            self.work(WORK_MAX);
            let Some(next) = self.deadline_ns().filter(|at| *at <= target_ns) else { break };
            self.tick(next);
        }
        self.tick(target_ns);
        self.work(WORK_MAX);
    }

    /// A delay begins: whatever was written should have been flushed before.
    pub(crate) fn delay_begins(&mut self) {
        if let Some(offset) = self.unflushed.take() {
            self.blame(Wrong::MissingFlush { offset });
        }
    }

    /// True with `per_10_000`.
    pub(crate) fn chance(&mut self, per_10_000: u32) -> bool {
        per_10_000 > 0 && self.random.u32(0..10_000) < per_10_000
    }

    /// The ring behind these base, length and head registers, if they make one.
    pub(crate) fn ring(&self, first: u32) -> Option<RingShape> {
        let base = u64::from(self.reg(first + 4)) << 32 | u64::from(self.reg(first));
        let len = self.reg(first + 8) / 16;
        let (head, tail) = (self.reg(first + 0x10), self.reg(first + 0x18));
        let tail = if self.quirks.tail_may_be_ring_size && tail == len { 0 } else { tail };
        (len > 0 && head < len && tail < len).then_some(RingShape { base, len, head, tail })
    }
}

/// What configuration space is made from. An EEPROM without a signature leaves the chip's own ids.
fn facts(part: Part, options: &Options, words: &[u16]) -> Facts {
    let valid = words.get(0x0a).is_some_and(|control| control >> 14 == reset::SIGNATURE);
    let subsystem = match (words.get(0x0c), words.get(0x0b)) {
        (Some(vendor), Some(id)) if valid => (*vendor, *id),
        _ => crate::quirks::BLANK_SUBSYSTEM,
    };
    Facts {
        part,
        quirks: options.quirks,
        revision: options.revision.or(options.quirks.revision).unwrap_or(part.revision()),
        subsystem,
        function: options.function,
        slot: options.slot.seen_by(part),
        flash_kb: if options.flash_kb == 0 { 0 } else { options.flash_kb.next_power_of_two().clamp(64, 512) },
    }
}

/// A ring as its registers describe it: `len` > 0, `head` and `tail` below it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RingShape {
    pub(crate) base: u64,
    pub(crate) len: u32,
    pub(crate) head: u32,
    pub(crate) tail: u32,
}

impl RingShape {
    /// Descriptors that the card owns.
    pub(crate) fn owned(self) -> u32 {
        (self.tail + self.len - self.head) % self.len
    }

    /// The address of descriptor `index`, wrapping: whatever the driver wrote into the registers.
    pub(crate) fn at(self, index: u32) -> u64 {
        self.base.wrapping_add(u64::from(index) * 16)
    }
}

/// The first register of each ring.
pub(crate) const RX_RING: u32 = regs::RDBAL;
/// The first register of the transmit ring.
pub(crate) const TX_RING: u32 = regs::TDBAL;
