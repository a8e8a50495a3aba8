//! Bring-up and shut-down, in the order of the 8254x fact sheet, 4.2, 4.3 and 4.12.
//!
//! Receives a card in any state and hands on one with both rings programmed and enabled; the way
//! back ends with a card that can no longer touch memory. Emulators keep registers over a reset, so
//! every register this driver uses is written.

use crate::eeprom;
use crate::ids::Features;
use crate::irq;
use crate::phy::{self, PhyError};
use crate::regs::{
    ALL_ONES, CTRL, CTRL_EXT, FCAH, FCAL, FCRTH, FCRTL, FCT, FCTTV, IMC, ITR, MANC, MTA, MTA_WORDS, PBA,
    RA_PAIRS, RADV, RAH0, RAL0, RCTL, RDBAH, RDBAL, RDH, RDLEN, RDTR, RXCSUM, STATUS, TADV, TCTL, TDBAH,
    TDBAL, TDH, TDLEN, TIDV, TIPG, TXDCTL, VET, VFTA, VFTA_WORDS, WUC, ctrl, ctrl_ext, manc, rah, rctl,
    rxcsum, tctl, txdctl,
};
use crate::stats::Statistics;
use crate::wait::{self, Timeout};
use crate::{OpenError, is_gone};
use naio_device::{Device, Doorbell};
use naio_dma::DescArray;
use naio_nic::Mac;
use std::time::Duration;

/// Outstanding DMA drains after the units are disabled (8254x fact sheet 4.14).
const DRAIN: Duration = Duration::from_millis(10);
/// CTRL.RST clears by itself within a microsecond; the settling time has passed before.
const RESET_PAUSE: Duration = Duration::from_micros(100);
const RESET_WITHIN: Duration = Duration::from_millis(10);
/// After CTRL_EXT.EE_RST (8254x fact sheet 4.2, step 9).
const EEPROM_RELOAD: Duration = Duration::from_millis(2);
/// Pause frame address and type (IEEE 802.3 31B), as FCAL, FCAH and FCT hold them.
const PAUSE_ADDRESS_LOW: u32 = 0x00c2_8001;
const PAUSE_ADDRESS_HIGH: u32 = 0x0000_0100;
const PAUSE_TYPE: u32 = 0x8808;
/// IPGT 8, IPGR1 8, IPGR2 6: copper, as the drivers of record set it (8254x fact sheet 2.8).
const TIPG_COPPER: u32 = 8 | 8 << 10 | 6 << 20;
/// TIDV must not be zero (8254x fact sheet 2.10); no descriptor of ours asks for the delay.
const TIDV_UNUSED: u32 = 8;
const TADV_UNUSED: u32 = 32;
/// How to transmit, and not yet.
const TCTL_DISABLED: u32 = tctl::PSP | tctl::CT_15 | tctl::COLD_FULL_DUPLEX | tctl::RTLC;

/// Steps 3 to 13: a full reset. Nothing of the card's is running afterwards.
pub(crate) fn reset<D: Device>(device: &D, features: &Features) -> Result<(), Timeout> {
    device.write(IMC, ALL_ONES);
    device.write(RCTL, 0);
    device.write(TCTL, tctl::PSP);
    device.read(STATUS);
    device.delay(DRAIN);
    // The split of the packet buffer takes effect with the reset (8254x fact sheet 2.9).
    device.write(PBA, features.rx_fifo_kb);
    device.write(CTRL, device.read(CTRL) | ctrl::RST);
    // No register is touched before the card has settled: reads may return anything.
    device.delay(features.reset_settle);
    if features.reset_reloads_eeprom_by_hand {
        device.write(CTRL_EXT, device.read(CTRL_EXT) | ctrl_ext::EE_RST);
        device.read(STATUS);
        device.delay(EEPROM_RELOAD);
    }
    wait::until(device, "leave its reset", RESET_PAUSE, RESET_WITHIN, |d| {
        (d.read(CTRL) & ctrl::RST == 0).then_some(())
    })?;
    if features.has_timers_and_manc {
        // ARP belongs to us, not to the management firmware.
        device.write(MANC, device.read(MANC) & !manc::ARP_EN);
    }
    irq::mask(device);
    Ok(())
}

/// Step 15: the station address, from the EEPROM; from RA0 if the EEPROM is unusable.
pub(crate) fn station_address<D: Device>(device: &D, features: &Features) -> Result<Mac, OpenError> {
    eeprom::station_address(device, features).or_else(|e| {
        log::warn!("{e}; looking at receive address 0 instead");
        receive_address_0(device).ok_or(OpenError::NoAddress(e))
    })
}

fn receive_address_0<D: Device>(device: &D) -> Option<Mac> {
    let (low, high) = (device.read(RAL0), device.read(RAH0));
    let [a, b, c, d] = low.to_le_bytes();
    let [e, f, ..] = high.to_le_bytes();
    let mac = Mac([a, b, c, d, e, f]);
    (high & rah::AV != 0 && high != ALL_ONES && mac.is_station()).then_some(mac)
}

/// Steps 16 to 20: filters empty but for our own address and broadcast, flow control idle.
pub(crate) fn filters<D: Device>(device: &D, features: &Features, mac: Mac) {
    if features.clear_vet_first {
        device.write(VET, 0);
    }
    clear_table(device, features, VFTA, VFTA_WORDS);
    let [a, b, c, d, e, f] = mac.0;
    flushed(device, RAL0, u32::from_le_bytes([a, b, c, d]));
    flushed(device, RAH0, u32::from_le_bytes([e, f, 0, 0]) | rah::AV);
    for pair in 1..RA_PAIRS {
        // The valid bit goes first.
        flushed(device, RAH0 + 8 * pair, 0);
        flushed(device, RAL0 + 8 * pair, 0);
    }
    clear_table(device, features, MTA, MTA_WORDS);
    device.write(FCAL, PAUSE_ADDRESS_LOW);
    device.write(FCAH, PAUSE_ADDRESS_HIGH);
    device.write(FCT, PAUSE_TYPE);
    device.write(FCTTV, 0);
    device.write(FCRTL, 0);
    device.write(FCRTH, 0);
}

fn clear_table<D: Device>(device: &D, features: &Features, table: u32, words: u32) {
    for n in 0..words {
        let word = if features.table_words_from_the_top { words - 1 - n } else { n };
        flushed(device, table + 4 * word, 0);
    }
}

/// Bridges that merge two neighbouring writes break some parts (8254x fact sheet 4.1).
fn flushed<D: Device>(device: &D, offset: u32, value: u32) {
    device.write(offset, value);
    device.read(STATUS);
}

/// Step 21: the MAC follows the PHY, and the PHY negotiates.
pub(crate) fn start_link<D: Device>(device: &D, features: &Features) -> Result<(), PhyError> {
    let clear = ctrl::FRCSPD
        | ctrl::FRCDPX
        | ctrl::ILOS
        | ctrl::ASDE
        | ctrl::PHY_RST
        | ctrl::RFCE
        | ctrl::TFCE
        | ctrl::VME;
    device.write(CTRL, device.read(CTRL) & !clear | ctrl::SLU);
    device.read(STATUS);
    phy::start(device, features)
}

/// Step 23: the transmit ring, programmed and not yet enabled.
pub(crate) fn program_tx<D: Device>(
    device: &D,
    features: &Features,
    ring: &DescArray,
    tail: &impl Doorbell,
) -> Result<(), OpenError> {
    let base = ring.iova();
    device.write(TDLEN, ring.byte_len());
    device.write(TDBAH, 0);
    device.write(TDBAL, base.low());
    tail.ring(0);
    device.write(TDH, 0);
    device.write(TIPG, TIPG_COPPER);
    device.write(TIDV, TIDV_UNUSED);
    if features.has_timers_and_manc {
        device.write(TADV, TADV_UNUSED);
    }
    // Write-back threshold 0: every report is written at once, whatever the reports' distance.
    device.write(TXDCTL, txdctl::GRAN);
    device.write(TCTL, TCTL_DISABLED);
    check_ring(device, "transmit", TDLEN, TDBAL, ring)
}

/// Step 24: the receive ring, programmed and not yet enabled.
pub(crate) fn program_rx<D: Device>(
    device: &D,
    features: &Features,
    ring: &DescArray,
    tail: &impl Doorbell,
) -> Result<(), OpenError> {
    let base = ring.iova();
    device.write(RCTL, 0);
    // Both receive timers are known to hang receivers and stay off (8254x fact sheet 5.4).
    device.write(RDTR, 0);
    if features.has_timers_and_manc {
        device.write(RADV, 0);
        device.write(ITR, 0);
    }
    device.write(RDLEN, ring.byte_len());
    device.write(RDBAH, 0);
    device.write(RDBAL, base.low());
    tail.ring(0);
    device.write(RDH, 0);
    device.write(RXCSUM, rxcsum::IPOFLD | rxcsum::TUOFLD);
    check_ring(device, "receive", RDLEN, RDBAL, ring)
}

/// A card that does not remember where its ring is would write anywhere.
fn check_ring<D: Device>(
    device: &D,
    ring: &'static str,
    len: u32,
    base: u32,
    wanted: &DescArray,
) -> Result<(), OpenError> {
    if device.read(len) == wanted.byte_len() && device.read(base) == wanted.iova().low() {
        Ok(())
    } else {
        Err(OpenError::RingRefused { ring })
    }
}

/// Steps 25 and 26: statistics at zero, both units on; hands the statistics on. The caller then publishes the receive
/// descriptors: QEMU receives nothing for a second after RCTL unless RDT is written. Receive pages are of `page_len`
/// bytes; with `long`, frames may be longer than the standard says.
pub(crate) fn enable<D: Device>(device: &D, page_len: usize, long: bool) -> Statistics {
    let statistics = Statistics::start(device);
    let buffers = match page_len {
        4_096 => rctl::BSIZE_4096,
        8_192 => rctl::BSIZE_8192,
        16_384 => rctl::BSIZE_16384,
        _ => rctl::BSIZE_2048,
    };
    let long = if long { rctl::LPE } else { 0 };
    device.write(RCTL, rctl::EN | rctl::BAM | buffers | long | rctl::SECRC);
    device.write(TCTL, TCTL_DISABLED | tctl::EN);
    statistics
}

/// Both units off, then a full reset: the card can no longer touch memory by itself.
pub(crate) fn shut_down<D: Device>(device: &D, features: &Features) {
    if is_gone(device) {
        return;
    }
    if let Err(e) = reset(device, features) {
        log::warn!("while shutting down: {e}");
    }
    device.write(WUC, 0);
}
