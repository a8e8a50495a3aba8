//! MDIC: one MDIO transfer at a time, with its delay (8254x SDM 13.4.6).

use super::{PHY_ADDRESS, Phy};
use crate::faults::MdicFault;

/// How long a transfer of 64 bits takes at the MDC rate of the family.
pub(crate) const MDIC_NS: u64 = 64_000;

const OP_WRITE: u32 = 1;
const OP_READ: u32 = 2;
const READY: u32 = 1 << 28;
const INTERRUPT: u32 = 1 << 29;
const ERROR: u32 = 1 << 30;

/// The register and the transfer under way.
#[derive(Debug, Default)]
pub(crate) struct Mdic {
    value: u32,
    done_ns: Option<u64>,
}

impl Mdic {
    pub(crate) fn read(&self) -> u32 {
        self.value
    }

    pub(crate) fn deadline_ns(&self) -> Option<u64> {
        self.done_ns
    }

    /// Starts a transfer; false if one is under way.
    pub(crate) fn write(&mut self, value: u32, now_ns: u64, after_ns: u64) -> bool {
        let idle = self.done_ns.is_none();
        self.value = value & !(READY | ERROR | 1 << 31);
        self.done_ns = Some(now_ns + after_ns);
        idle
    }

    /// Completes the transfer if it is due; true if software asked for an interrupt.
    pub(crate) fn expire(&mut self, phy: &mut Phy, now_ns: u64, fault: MdicFault) -> bool {
        if self.done_ns.is_none_or(|at| at > now_ns) || fault == MdicFault::NeverReady {
            return false;
        }
        self.done_ns = None;
        let register = self.value >> 16 & 0x1f;
        let ours = self.value >> 21 & 0x1f == PHY_ADDRESS && fault != MdicFault::AlwaysError;
        let answer = match self.value >> 26 & 3 {
            OP_READ if ours => phy.read(register).map(u32::from),
            OP_WRITE if ours => phy.write(register, self.value as u16, now_ns).then_some(self.value & 0xffff),
            _ => None,
        };
        self.value = self.value & !0xffff | READY | answer.unwrap_or(self.value & 0xffff);
        if answer.is_none() {
            self.value |= ERROR;
        }
        self.value & INTERRUPT != 0
    }
}
