//! The interrupt, for those who would rather sleep than poll.
//!
//! The card's mask is empty unless somebody armed it. Reading ICR acknowledges every cause, so only
//! this room reads it.

use crate::regs::{ALL_ONES, ICR, IMC, IMS, STATUS, icr};
use naio_device::Device;

/// What ends a sleep: a frame, few descriptors, an overrun, a finished transmission, the link.
const CAUSES: u32 = icr::RXT0 | icr::RXDMT0 | icr::RXO | icr::TXDW | icr::LSC;

/// Masks everything and forgets pending causes.
pub(crate) fn mask<D: Device>(device: &D) {
    device.write(IMC, ALL_ONES);
    device.read(STATUS);
    device.read(ICR);
}

/// Acknowledges what is pending and lets the next event raise the line. False without an interrupt.
pub(crate) fn arm<D: Device>(device: &mut D) -> bool {
    if device.irq().is_none() {
        match device.enable_irq() {
            Ok(()) => {}
            Err(e) => {
                log::info!("no interrupt, polling instead: {e}");
                return false;
            }
        }
    }
    let Some(irq) = device.irq() else { return false };
    // ICR first: the line is level-triggered and would fire again at once (8254x fact sheet 8.5).
    device.read(ICR);
    irq.acknowledge();
    device.write(IMS, CAUSES);
    true
}
