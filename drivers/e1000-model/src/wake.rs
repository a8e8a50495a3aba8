//! Wake-up: what a sleeping card does with frames and link changes (8254x SDM 6.4, 13.5.17 to 13.5.27).
//!
//! Receives frames that arrive in D3hot and the wake-up registers; hands on WUS, WUPL, WUPM, the PME
//! status, and nothing else: a sleeping card stores no frame in memory.

use crate::core::Core;
use crate::filter::Verdict;
use crate::regs::{self, FFLT, FFMT, FFVT, IP4AT, IP6AT, IPAV, WUC, WUFC, WUPL, WUPM, WUS};

/// WUC.
const APME: u32 = 1;
pub(crate) const PME_STATUS: u32 = 1 << 2;
/// WUFC and WUS.
const LNKC: u32 = 1;
const MAG: u32 = 1 << 1;
const EX: u32 = 1 << 2;
const MC: u32 = 1 << 3;
const BC: u32 = 1 << 4;
const ARP: u32 = 1 << 5;
const IPV4: u32 = 1 << 6;
const IPV6: u32 = 1 << 7;
const FLX0: u32 = 1 << 16;
/// The IPv6 address is valid (IPAV).
const IPV6_VALID: u32 = 1 << 16;
/// Bytes of a frame that WUPM keeps.
const KEPT: usize = 128;
const FLEXIBLE_FILTERS: u32 = 4;

impl Core {
    /// A frame arrives while the card sleeps.
    pub(crate) fn frame_asleep(&mut self, bytes: &[u8]) {
        let magic = self.is_magic(bytes);
        let mut causes = if magic { MAG } else { 0 };
        let kind = bytes.get(12..14).map_or(0, |kind| u16::from_be_bytes([kind[0], kind[1]]));
        let mine = matches!(self.filter(bytes), Verdict::Accepted { .. });
        match bytes.first() {
            _ if bytes.starts_with(&[0xff; 6]) => causes |= BC,
            Some(first) if first & 1 != 0 && mine => causes |= MC,
            Some(first) if first & 1 == 0 && self.station_matches(bytes) => causes |= EX,
            _ => {}
        }
        let ours = |at: usize| bytes.get(at..at + 4).is_some_and(|address| self.is_own_ipv4(address));
        causes |= if causes & BC != 0 && kind == 0x0806 && ours(38) { ARP } else { 0 };
        causes |= if causes & EX != 0 && kind == 0x0800 && ours(30) { IPV4 } else { 0 };
        causes |= if kind == 0x86dd && self.is_own_ipv6(bytes.get(38..54)) { IPV6 } else { 0 };
        for filter in 0..FLEXIBLE_FILTERS {
            causes |= if self.flexible_hits(filter, bytes) { FLX0 << filter } else { 0 };
        }
        let hits = causes & self.reg(WUFC);
        let by_magic = magic && self.reg(WUC) & APME != 0;
        if hits == 0 && !by_magic {
            return;
        }
        self.set_reg(WUPL, bytes.len().min(0xfff) as u32);
        for (n, word) in bytes[..bytes.len().min(KEPT)].chunks(4).enumerate() {
            let mut dword = [0; 4];
            dword[..word.len()].copy_from_slice(word);
            self.set_reg(WUPM + 4 * n as u32, u32::from_le_bytes(dword));
        }
        self.wake_up(hits | if by_magic { MAG } else { 0 });
    }

    /// The link went up or down while the card sleeps.
    pub(crate) fn link_changed_asleep(&mut self) {
        if self.reg(WUFC) & LNKC != 0 {
            self.wake_up(LNKC);
        }
    }

    fn wake_up(&mut self, causes: u32) {
        self.set_reg(WUS, self.reg(WUS) | causes);
        self.set_reg(WUC, self.reg(WUC) | PME_STATUS);
        self.config.note_power_event();
    }

    /// Six bytes of ones and sixteen times our address, anywhere.
    fn is_magic(&self, bytes: &[u8]) -> bool {
        let own = self.address(0);
        bytes.windows(6 + 16 * 6).any(|window| {
            window[..6] == [0xff; 6] && window[6..].chunks_exact(6).all(|address| address == own)
        })
    }

    fn is_own_ipv4(&self, address: &[u8]) -> bool {
        (0..4).any(|n| {
            let valid = self.reg(IPAV) >> n & 1 != 0;
            valid && self.reg(IP4AT + 8 * n).to_le_bytes() == address
        })
    }

    fn is_own_ipv6(&self, address: Option<&[u8]>) -> bool {
        let Some(address) = address.filter(|_| self.reg(IPAV) & IPV6_VALID != 0) else { return false };
        address.chunks_exact(4).zip(0..).all(|(part, n)| self.reg(IP6AT + 4 * n).to_le_bytes() == part)
    }

    /// A flexible filter compares the bytes that its mask names, up to its length.
    fn flexible_hits(&self, filter: u32, bytes: &[u8]) -> bool {
        let len = self.reg(FFLT + 8 * filter) as usize & 0x7f;
        let hit = |(n, byte): (u32, &u8)| {
            let counts = self.reg(FFMT + 8 * n) >> filter & 1 != 0;
            !counts || self.reg(FFVT + 8 * n).to_le_bytes()[filter as usize] == *byte
        };
        len > 0 && bytes.len() >= len && (0..).zip(&bytes[..len]).all(hit)
    }

    /// WUC is written: its status bit is cleared by a one.
    pub(crate) fn write_wuc(&mut self, value: u32, mask: u32) {
        let status = self.reg(WUC) & PME_STATUS & !value;
        self.set_reg(regs::WUC, value & mask | status);
    }
}
