//! The MAC's view of the link: STATUS, the ten-bit interface, and the loops (8254x SDM 13.4.2, 8.6).

use super::Core;
use crate::parts::{Mac, Media};
use crate::phy::Speed;
use crate::regs::{self, ctrl, icr, rctl};

/// How long the ten-bit interface negotiates (IEEE 802.3 37.3.1.4: the link timer is 10 ms).
const TBI_AUTONEG_NS: u64 = 20_000_000;
/// The partner's word: full duplex, both PAUSE bits, acknowledge.
const TBI_PARTNER: u32 = 0x41a0;

/// TXCW.ANE: the ten-bit interface negotiates.
const ANE: u32 = 1 << 31;

impl Core {
    pub(super) fn watch_carrier(&mut self) {
        let carrier = self.wire.carrier(self.now_ns);
        self.phy.latch_stays_low = self.faults.bmsr_low;
        if carrier != self.carrier {
            self.carrier = carrier;
            self.phy.set_carrier(carrier, self.now_ns);
        }
        if self.part.media != Media::Copper {
            let begins = carrier && self.reg(regs::CTRL) & ctrl::LRST == 0;
            match (begins, self.tbi_since_ns) {
                (true, None) => {
                    self.tbi_since_ns = Some(self.now_ns);
                    self.raise(icr::RXCFG);
                }
                (false, Some(_)) => self.tbi_since_ns = None,
                _ => {}
            }
        }
    }

    pub(super) fn tbi_deadline_ns(&self) -> Option<u64> {
        self.tbi_since_ns.map(|since| since + TBI_AUTONEG_NS)
    }

    fn tbi_negotiated(&self) -> bool {
        self.tbi_deadline_ns().is_some_and(|at| at <= self.now_ns)
    }

    /// The link as STATUS shows it.
    pub(crate) fn link(&self) -> Option<Speed> {
        self.link
    }

    fn mac_link(&self) -> Option<Speed> {
        let control = self.reg(regs::CTRL);
        let slu = control & ctrl::SLU != 0;
        let physical = if self.part.media == Media::Copper {
            self.phy.link().filter(|_| slu || self.quirks.slu_ignored)
        } else {
            let negotiates = self.reg(regs::TXCW) & ANE != 0;
            let up = if negotiates { self.tbi_negotiated() } else { self.tbi_since_ns.is_some() && slu };
            up.then_some(Speed::GIGABIT)
        }?;
        let forced = Speed::of_code(control >> ctrl::SPEED_SHIFT, control & ctrl::FD != 0);
        // The 82543 does not see what its external PHY agreed on: software copies it.
        let blind = self.part.mac == Mac::I82543 && self.part.media == Media::Copper;
        let speed = if control & ctrl::FRCSPD != 0 || blind { forced } else { physical };
        let duplex = if control & ctrl::FRCDPX != 0 || blind { forced } else { physical };
        Some(Speed { full_duplex: duplex.full_duplex, ..speed })
    }

    /// Recomputes the link; LSC if it went up or down.
    pub(crate) fn refresh_link(&mut self) {
        let link = self.mac_link();
        let changed = link.is_some() != self.link.is_some();
        self.link = link;
        if changed {
            self.raise(icr::LSC);
            if !self.config.is_awake() {
                self.link_changed_asleep();
            }
        }
    }

    pub(super) fn status(&mut self) -> u32 {
        let lie = u32::from(self.faults.status_flaps && self.random.bool()) << 1;
        self.true_status() ^ lie
    }

    /// STATUS without an injected fault.
    pub(super) fn true_status(&self) -> u32 {
        let mut value = self.quirks.status_always;
        if let Some(speed) = self.link {
            value |= 1 << 1 | speed.code() << 6 | u32::from(speed.full_duplex);
        } else {
            value |= 2 << 6;
        }
        if self.part.mac == Mac::I82542 {
            value |= 3 << 2;
        } else if self.part.is_dual() {
            value |= u32::from(self.options.function & 3) << 2;
        }
        if self.tx.is_paused(self.now_ns) {
            value |= 1 << 4;
        }
        if self.part.media == Media::Copper {
            value |= 1 << 10;
        } else {
            value |= 1 << 5;
        }
        value |= self.asdv << 8 | self.options.slot.seen_by(self.part).mac_status();
        value & !self.quirks.status_never
    }

    /// CTRL_EXT.ASDCHK: the speed that the clock of the PHY shows.
    pub(super) fn detect_speed(&mut self) {
        self.asdv = self.phy.link().map_or(0, Speed::code);
    }

    /// RXCW of the ten-bit interface.
    pub(super) fn rxcw(&self) -> u32 {
        if self.part.media == Media::Copper {
            return 0;
        }
        if !self.carrier {
            return 1 << 26;
        }
        let negotiating = self.tbi_since_ns.is_some() && !self.tbi_negotiated();
        let complete = self.tbi_negotiated() && self.reg(regs::TXCW) & ANE != 0;
        let invalid = u32::from(self.invalid_symbol) << 27;
        TBI_PARTNER | 1 << 30 | u32::from(negotiating) << 29 | u32::from(complete) << 31 | invalid
    }

    /// SWDPIN1 as an input: the optics' signal-detect. Older parts have it the other way round.
    pub(super) fn signal_pin(&self) -> u32 {
        let signal = self.carrier == (self.part.mac > Mac::I82544);
        if self.part.media == Media::Fiber && signal { ctrl::SWDPIN1 } else { 0 }
    }

    /// Whether what is sent comes back instead of leaving (8254x SDM 13.4.22 LBM, 8.8).
    pub(crate) fn loops(&self) -> bool {
        let mode = self.reg(regs::RCTL) >> rctl::LBM_SHIFT & 3;
        let mac = mode == 1 && !self.quirks.mac_loopback_ignored;
        let transceiver = mode == 3 && self.part.media != Media::Copper;
        let phy = self.part.media == Media::Copper && self.phy.loops();
        mac || transceiver || phy
    }
}
