//! The PHY, reached through MDIC: identification and autonegotiation.
//!
//! Receives nothing but the device and hands nothing on: a PHY that negotiates is the result. The
//! link itself is read from the MAC's STATUS (room `link`).

use crate::ids::Features;
use crate::regs::{MDIC, mdic};
use crate::wait::{self, Timeout};
use naio_device::Device;
use std::time::Duration;

/// The internal PHY answers at address 1 on every part (8254x fact sheet 1.1).
const PHY_ADDRESS: u32 = 1;
/// One MDIO frame takes 64 µs; the budget is that of the drivers of record.
const MDIC_PAUSE: Duration = Duration::from_micros(50);
const MDIC_WITHIN: Duration = Duration::from_millis(96);
/// BMCR.RESET must clear by itself within half a second (IEEE 802.3 22.2.4.1.1).
const RESET_PAUSE: Duration = Duration::from_millis(1);
const RESET_WITHIN: Duration = Duration::from_millis(500);

/// PHY registers (IEEE 802.3 clause 22; 0x10 and 0x14 are Marvell's).
const BMCR: u32 = 0;
const PHYID1: u32 = 2;
const PHYID2: u32 = 3;
const ANAR: u32 = 4;
const GBCR: u32 = 9;
const M88_PSCR: u32 = 0x10;
const M88_EPSCR: u32 = 0x14;

const BMCR_RESET: u16 = 1 << 15;
const BMCR_ANEN: u16 = 1 << 12;
const BMCR_RESTART: u16 = 1 << 9;
/// IEEE 802.3 selector, and 10 and 100 Mb/s in both duplexes. No PAUSE: a poll-mode driver that
/// keeps its ring filled has no use for stopping the whole segment.
const ANAR_10_100: u16 = 0x01e1;
/// 1000BASE-T full duplex; half duplex at that speed exists nowhere.
const GBCR_1000FD: u16 = 1 << 9;
/// Crossover detection on, polarity correction on, carrier sense on transmit.
const PSCR_AUTO_CROSSOVER: u16 = 0b11 << 5;
const PSCR_POLARITY_OFF: u16 = 1 << 1;
const PSCR_CRS_ON_TX: u16 = 1 << 11;
/// Early PHYs: 25 MHz TX_CLK, one attempt before the speed is lowered, as master and as slave
/// (8254x fact sheet 4.5, item 4).
const EPSCR_TX_CLK_25: u16 = 0x0070;
const EPSCR_DOWNSHIFT_MASK: u16 = 0x0f00;
const EPSCR_DOWNSHIFT_1X: u16 = 0x0100;
const EPSCR_REVISION_END: u32 = 4;
/// The low bits of PHYID2 are the revision.
const PHY_REVISION_MASK: u32 = 0xf;

/// The PHY could not be brought to negotiate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PhyError {
    /// No answer.
    #[error(transparent)]
    Silent(#[from] Timeout),
    /// MDIC reported an error.
    #[error("PHY register {register:#x} could not be accessed")]
    Refused {
        /// Which.
        register: u32,
    },
    /// Somebody else's PHY, or none.
    #[error("the PHY calls itself {found:#010x} and should be {expected:#010x}")]
    Stranger {
        /// What it says.
        found: u32,
        /// What the part has.
        expected: u32,
    },
}

/// Checks the PHY's id, advertises everything and restarts autonegotiation. Does not wait for it.
pub(crate) fn start<D: Device>(device: &D, features: &Features) -> Result<(), PhyError> {
    let found = u32::from(read(device, PHYID1)?) << 16 | u32::from(read(device, PHYID2)?);
    if (found ^ features.phy_id) & !PHY_REVISION_MASK != 0 {
        return Err(PhyError::Stranger { found, expected: features.phy_id });
    }
    let pscr = read(device, M88_PSCR)? & !PSCR_POLARITY_OFF | PSCR_AUTO_CROSSOVER | PSCR_CRS_ON_TX;
    write(device, M88_PSCR, pscr)?;
    if found & PHY_REVISION_MASK < EPSCR_REVISION_END {
        let epscr = read(device, M88_EPSCR)? & !EPSCR_DOWNSHIFT_MASK;
        write(device, M88_EPSCR, epscr | EPSCR_DOWNSHIFT_1X | EPSCR_TX_CLK_25)?;
    }
    write(device, ANAR, ANAR_10_100)?;
    write(device, GBCR, GBCR_1000FD)?;
    // PSCR takes effect with a reset only (8254x fact sheet 4.5, item 6).
    write(device, BMCR, BMCR_RESET | BMCR_ANEN)?;
    let reset_done = |d: &D| match read(d, BMCR) {
        Ok(bmcr) => (bmcr & BMCR_RESET == 0).then_some(Ok(())),
        Err(e) => Some(Err(e)),
    };
    wait::until(device, "finish its PHY reset", RESET_PAUSE, RESET_WITHIN, reset_done)??;
    write(device, BMCR, BMCR_ANEN | BMCR_RESTART)
}

fn read<D: Device>(device: &D, register: u32) -> Result<u16, PhyError> {
    let done = access(device, register, mdic::OP_READ)?;
    // The answer to another question is no answer (8254x fact sheet 2.5).
    if done & mdic::ADDRESS_MASK == address(register) {
        Ok(done as u16)
    } else {
        Err(PhyError::Refused { register })
    }
}

fn write<D: Device>(device: &D, register: u32, value: u16) -> Result<(), PhyError> {
    access(device, register, mdic::OP_WRITE | u32::from(value)).map(drop)
}

fn address(register: u32) -> u32 {
    register << mdic::REG_SHIFT | PHY_ADDRESS << mdic::PHY_SHIFT
}

fn access<D: Device>(device: &D, register: u32, operation: u32) -> Result<u32, PhyError> {
    device.write(MDIC, operation | address(register));
    let done = wait::until(device, "complete an MDIO access", MDIC_PAUSE, MDIC_WITHIN, |d| {
        Some(d.read(MDIC)).filter(|value| value & mdic::READY != 0)
    })?;
    if done & mdic::E != 0 { Err(PhyError::Refused { register }) } else { Ok(done) }
}
