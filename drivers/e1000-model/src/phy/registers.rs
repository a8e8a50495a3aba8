//! The PHY's registers: numbers, bits, what they hold after a reset, and what two sets of abilities
//! agree on (IEEE 802.3 clauses 22, 28 and 40; 8254x SDM 13.4.7 for the vendor's own).

use super::{Partner, Speed};

pub(crate) const BMCR: usize = 0;
pub(crate) const BMSR: usize = 1;
pub(crate) const PHYID1: usize = 2;
pub(crate) const ANAR: usize = 4;
pub(crate) const LPAR: usize = 5;
pub(crate) const ANER: usize = 6;
pub(crate) const GTCR: usize = 9;
pub(crate) const GTSR: usize = 10;
pub(crate) const ESTATUS: usize = 15;
pub(crate) const CONTROL: usize = 0x10;
pub(crate) const STATUS: usize = 0x11;
pub(crate) const INT_ENABLE: usize = 0x12;
pub(crate) const INT_STATUS: usize = 0x13;
/// Link changed, in both interrupt registers.
pub(crate) const INT_LINK: u16 = 1 << 10;
/// Autonegotiation complete, in both interrupt registers.
pub(crate) const INT_COMPLETE: u16 = 1 << 11;
/// IGP: which page the registers above 0xF belong to.
pub(crate) const IGP_PAGE: usize = 0x1f;

/// Every speed below 1000, extended status, MF preamble suppression, autonegotiation (BMSR).
pub(crate) const BMSR_ABILITIES: u16 = 0x7949;

pub(crate) mod bmcr {
    pub(crate) const RESET: u16 = 1 << 15;
    pub(crate) const LOOPBACK: u16 = 1 << 14;
    pub(crate) const SPEED_100: u16 = 1 << 13;
    pub(crate) const ANEN: u16 = 1 << 12;
    pub(crate) const POWER_DOWN: u16 = 1 << 11;
    pub(crate) const RESTART: u16 = 1 << 9;
    pub(crate) const FULL_DUPLEX: u16 = 1 << 8;
    pub(crate) const SPEED_1000: u16 = 1 << 6;
}

/// Whose PHY it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Marvell,
    Igp,
}

pub(crate) fn defaults(kind: Kind, id: u32) -> [u16; 32] {
    let mut regs = [0; 32];
    regs[BMCR] = bmcr::ANEN | bmcr::FULL_DUPLEX | bmcr::SPEED_1000;
    regs[PHYID1] = (id >> 16) as u16;
    regs[PHYID1 + 1] = id as u16;
    // 10/100 both duplexes, both PAUSE bits, IEEE 802.3.
    regs[ANAR] = 0x0de1;
    regs[7] = 0x2001;
    regs[GTCR] = 0x0e00;
    regs[ESTATUS] = 0x3000;
    if kind == Kind::Marvell {
        regs[CONTROL] = 0x0360;
        regs[0x14] = 0x0d60;
    }
    regs
}

pub(crate) fn exists(kind: Kind, register: usize) -> bool {
    let vendor = match kind {
        Kind::Marvell => matches!(register, 0x1a | 0x1d | 0x1e),
        Kind::Igp => matches!(register, 0x16..=0x1f),
    };
    vendor || matches!(register, 0..=10 | 15..=0x15)
}

/// The registers that QEMU's card has.
pub(crate) fn is_common(register: usize) -> bool {
    matches!(register, 0..=6 | 9 | 10 | 0x10 | 0x11 | 0x14 | 0x15)
}

pub(crate) fn writable(kind: Kind, register: usize) -> bool {
    let vendor = match kind {
        Kind::Marvell => matches!(register, 0x1a | 0x1d | 0x1e),
        Kind::Igp => matches!(register, 0x13 | 0x15..=0x1f),
    };
    vendor || matches!(register, ANAR | 7 | GTCR | CONTROL | 0x12 | 0x14)
}

/// Register 0x11: the outcome of the negotiation in the vendor's own layout.
pub(crate) fn specific_status(kind: Kind, link: Option<Speed>) -> u16 {
    let Some(speed) = link else { return 0 };
    match kind {
        Kind::Marvell => {
            let duplex = if speed.full_duplex { 1 << 13 } else { 0 };
            // Resolved (bit 11) also when the speed is forced.
            (speed.code() as u16) << 14 | duplex | 1 << 11 | 1 << 10
        }
        // 01, 10, 11 for 10, 100, 1000; duplex in bit 9.
        Kind::Igp => (speed.code() as u16 + 1) << 14 | if speed.full_duplex { 1 << 9 } else { 0 },
    }
}

/// The best that both can do, as IEEE 802.3 28B.3 ranks it.
pub(crate) fn best(anar: u16, gtcr: u16, partner: Partner) -> Option<Speed> {
    let speed = |mbit_per_s, full_duplex| Some(Speed { mbit_per_s, full_duplex });
    if partner.negotiates && partner.gigabit && gtcr & 1 << 9 != 0 {
        return speed(1000, true);
    }
    let common = anar & partner.anar;
    let duplex_counts = partner.negotiates;
    match () {
        () if common & 1 << 8 != 0 && duplex_counts => speed(100, true),
        () if common & 1 << 7 != 0 => speed(100, false),
        () if common & 1 << 6 != 0 && duplex_counts => speed(10, true),
        () if common & 1 << 5 != 0 => speed(10, false),
        () => None,
    }
}
