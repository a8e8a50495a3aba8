//! The PHY: its registers behind MDIC, autonegotiation with a partner, and the link.
//!
//! Receives MDIO reads and writes, resets, and whether the wire has a carrier; hands on whether the
//! link is up and at what speed. The MAC's own view (STATUS, CTRL) is the core's.

pub(crate) mod mdic;
pub(crate) mod pins;
mod registers;

pub(crate) use registers::{IGP_PAGE, Kind};

use registers::{ANAR, BMCR, ESTATUS, GTCR, PHYID1, bmcr};
use std::collections::BTreeMap;

/// The address of every 8254x PHY on its MDIO bus.
pub(crate) const PHY_ADDRESS: u32 = 1;

/// A speed and duplex that two partners agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Speed {
    /// 10, 100 or 1000.
    pub mbit_per_s: u32,
    /// Both directions at once.
    pub full_duplex: bool,
}

impl Speed {
    /// What the family is for.
    pub const GIGABIT: Speed = Speed { mbit_per_s: 1000, full_duplex: true };

    /// The two speed bits of CTRL, STATUS and the PHY's own status.
    pub(crate) fn code(self) -> u32 {
        match self.mbit_per_s {
            10 => 0,
            100 => 1,
            _ => 2,
        }
    }

    pub(crate) fn of_code(code: u32, full_duplex: bool) -> Speed {
        let mbit_per_s = [10, 100, 1000, 1000][(code & 3) as usize];
        Speed { mbit_per_s, full_duplex }
    }
}

/// What the partner at the other end of the cable offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Partner {
    /// Its abilities as its register 4 holds them: 10/100, PAUSE, asymmetric PAUSE.
    pub anar: u16,
    /// It can do 1000 Mb/s full duplex.
    pub gigabit: bool,
    /// It negotiates; otherwise only its speed is sensed and half duplex assumed.
    pub negotiates: bool,
}

impl Default for Partner {
    fn default() -> Partner {
        Partner { anar: 0x0de1, gigabit: true, negotiates: true }
    }
}

/// The PHY of one card.
pub(crate) struct Phy {
    pub(crate) kind: Kind,
    id: u32,
    regs: [u16; 32],
    /// IGP registers beyond the first 32, by full offset; at most 65 536 of them.
    paged: BTreeMap<u16, u16>,
    /// BMCR as it takes effect: a restart or reset copies it (8254x SDM 13.4.6).
    in_effect: u16,
    pub(crate) partner: Partner,
    carrier: bool,
    autoneg_ns: u64,
    autoneg_done_ns: Option<u64>,
    complete: bool,
    link: Option<Speed>,
    /// The link failed since BMSR was read: its link bit latches low (IEEE 802.3 22.2.4.2.13).
    failed: bool,
    pub(crate) latch_stays_low: bool,
    powered: bool,
    interrupt: bool,
    held_in_reset: bool,
    /// How long a restarted autonegotiation takes.
    restart_ns: u64,
    few: bool,
    own_defaults: &'static [(u8, u16)],
}

impl Phy {
    pub(crate) fn new(kind: Kind, id: u32, autoneg_ns: u64, partner: Partner) -> Phy {
        let mut phy = Phy {
            kind,
            id,
            regs: [0; 32],
            paged: BTreeMap::new(),
            in_effect: 0,
            partner,
            carrier: false,
            autoneg_ns,
            autoneg_done_ns: None,
            complete: false,
            link: None,
            failed: false,
            latch_stays_low: false,
            powered: true,
            interrupt: false,
            held_in_reset: false,
            restart_ns: autoneg_ns,
            few: false,
            own_defaults: &[],
        };
        phy.defaults();
        phy
    }

    fn defaults(&mut self) {
        self.regs = registers::defaults(self.kind, self.id);
        for (register, value) in self.own_defaults {
            self.regs[usize::from(*register) & 0x1f] = *value;
        }
        self.paged.clear();
        self.in_effect = self.regs[BMCR];
        self.powered = true;
    }

    /// An emulator's PHY.
    pub(crate) fn set_quirks(&mut self, quirks: crate::quirks::Quirks) {
        self.few = quirks.phy_registers_few;
        self.own_defaults = quirks.phy_defaults;
        self.restart_ns = quirks.autoneg_restart_ns.unwrap_or(self.autoneg_ns);
        self.defaults();
    }

    /// The negotiation under way is over.
    pub(crate) fn finish(&mut self) {
        self.expire(u64::MAX);
    }

    pub(crate) fn set_id(&mut self, id: u32) {
        self.id = id;
        self.regs[PHYID1] = (id >> 16) as u16;
        self.regs[PHYID1 + 1] = id as u16;
    }

    /// The reset line (CTRL.PHY_RST, or SDP4 on an 82543).
    pub(crate) fn reset_line(&mut self, held: bool, now_ns: u64) {
        if self.held_in_reset && !held {
            self.defaults();
            self.start(now_ns, self.restart_ns);
        }
        self.held_in_reset = held;
        if held {
            self.lose();
        }
    }

    /// The cable: plugged with a live partner, or not.
    pub(crate) fn set_carrier(&mut self, carrier: bool, now_ns: u64) {
        if carrier != self.carrier {
            self.carrier = carrier;
            self.lose();
            if carrier {
                self.start(now_ns, self.autoneg_ns);
            }
        }
    }

    /// Link, if there is one, with its speed.
    pub(crate) fn link(&self) -> Option<Speed> {
        if self.loops() { Some(self.forced()) } else { self.link }
    }

    /// BMCR.LOOPBACK: what is sent comes back.
    pub(crate) fn loops(&self) -> bool {
        self.regs[BMCR] & bmcr::LOOPBACK != 0 && self.powered && !self.held_in_reset
    }

    fn forced(&self) -> Speed {
        let code = match (self.regs[BMCR] & bmcr::SPEED_1000 != 0, self.regs[BMCR] & bmcr::SPEED_100 != 0) {
            (true, _) => 2,
            (false, true) => 1,
            (false, false) => 0,
        };
        Speed::of_code(code, self.regs[BMCR] & bmcr::FULL_DUPLEX != 0)
    }

    fn lose(&mut self) {
        if self.link.take().is_some() {
            self.failed = true;
            self.note(registers::INT_LINK);
        }
        self.complete = false;
        self.autoneg_done_ns = None;
    }

    /// Autonegotiation or forced speed begins again with what BMCR says now.
    fn start(&mut self, now_ns: u64, span_ns: u64) {
        self.lose();
        self.in_effect = self.regs[BMCR];
        if self.carrier && self.powered && !self.held_in_reset {
            self.autoneg_done_ns = Some(now_ns + span_ns);
        }
    }

    pub(crate) fn deadline_ns(&self) -> Option<u64> {
        self.autoneg_done_ns
    }

    pub(crate) fn expire(&mut self, now_ns: u64) {
        if self.autoneg_done_ns.is_none_or(|at| at > now_ns) {
            return;
        }
        self.autoneg_done_ns = None;
        self.link = if self.in_effect & bmcr::ANEN == 0 {
            Some(self.forced())
        } else {
            self.complete = true;
            self.note(registers::INT_COMPLETE);
            registers::best(self.regs[ANAR], self.regs[GTCR], self.partner)
        };
        if self.link.is_some() {
            self.note(registers::INT_LINK);
        }
    }

    /// Something for the PHY's interrupt status register.
    fn note(&mut self, events: u16) {
        if self.kind == Kind::Marvell {
            self.regs[registers::INT_STATUS] |= events;
            self.interrupt |= self.regs[registers::INT_ENABLE] & events != 0;
        }
    }

    /// Whether the PHY interrupted the MAC since the last call.
    pub(crate) fn take_interrupt(&mut self) -> bool {
        std::mem::take(&mut self.interrupt)
    }

    /// Reads a register; `None` if the PHY has none there.
    pub(crate) fn read(&mut self, register: u32) -> Option<u16> {
        let register = register as usize & 0x1f;
        if let Some(full) = self.paged_address(register) {
            return Some(self.paged.get(&full).copied().unwrap_or(0));
        }
        if self.few && !registers::is_common(register) {
            return None;
        }
        let value = match register {
            registers::BMSR => self.bmsr(),
            registers::LPAR if self.complete => self.partner.anar | 0x4000,
            registers::ANER if self.complete => 1,
            registers::GTSR if self.complete && self.partner.gigabit => 0x3c00,
            registers::LPAR | registers::ANER | registers::GTSR => 0,
            registers::STATUS => registers::specific_status(self.kind, self.link),
            registers::INT_STATUS if self.kind == Kind::Marvell => std::mem::take(&mut self.regs[register]),
            n if registers::exists(self.kind, n) => self.regs[n],
            _ => return None,
        };
        Some(value)
    }

    /// Where a register of an IGP page lies, if that is not the first page.
    fn paged_address(&self, register: usize) -> Option<u16> {
        let page = self.regs[IGP_PAGE];
        let outside = self.kind == Kind::Igp && register != IGP_PAGE && page & !0x1f != 0 && register > 0xf;
        outside.then_some(page & !0x1f | register as u16)
    }

    fn bmsr(&mut self) -> u16 {
        let failed = std::mem::take(&mut self.failed);
        let latched = self.link.is_some() && !failed && !self.latch_stays_low;
        registers::BMSR_ABILITIES | if self.complete { 1 << 5 } else { 0 } | if latched { 1 << 2 } else { 0 }
    }

    /// Writes a register; false if the PHY has none there.
    pub(crate) fn write(&mut self, register: u32, value: u16, now_ns: u64) -> bool {
        let register = register as usize & 0x1f;
        if let Some(full) = self.paged_address(register) {
            self.paged.insert(full, value);
            return true;
        }
        if self.few && !registers::is_common(register) {
            return false;
        }
        match register {
            BMCR => self.write_bmcr(value, now_ns),
            n if registers::writable(self.kind, n) => self.regs[n] = value,
            n if registers::exists(self.kind, n) || n == ESTATUS => {}
            _ => return false,
        }
        true
    }

    fn write_bmcr(&mut self, value: u16, now_ns: u64) {
        let was_powered = self.powered;
        self.regs[BMCR] = value & !(bmcr::RESET | bmcr::RESTART);
        self.powered = value & bmcr::POWER_DOWN == 0;
        if !self.powered {
            self.lose();
        } else if value & (bmcr::RESET | bmcr::RESTART) != 0 || !was_powered {
            self.start(now_ns, self.restart_ns);
        }
    }
}
