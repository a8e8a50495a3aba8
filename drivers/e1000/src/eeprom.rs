//! The EEPROM: where the card keeps its station address.
//!
//! Reads the 64 words by driving the Microwire pins through EECD, the one way that silicon, QEMU and
//! VirtualBox all understand (8254x fact sheet 2.2), and by the read register (`eerd`) where that
//! fails. Hands on an address only from words whose checksum is right.

use crate::eerd;
use crate::ids::Features;
use crate::regs::{EECD, STATUS, eecd, status};
use crate::wait::{self, Timeout};
use naio_device::Device;
use naio_nic::Mac;
use std::time::Duration;

/// Words covered by the checksum (8254x fact sheet 2.4).
pub(crate) const WORDS: u32 = 0x40;
pub(crate) type Words = [u16; WORDS as usize];
/// What words 0x00 to 0x3F must add up to (8254x fact sheet 2.4).
pub(crate) const CHECKSUM: u16 = 0xbaba;
/// Half a clock of a Microwire part (8254x fact sheet 2.3).
const HALF_CLOCK: Duration = Duration::from_micros(50);
/// The firmware may hold the EEPROM for a while (8254x fact sheet 4.14).
const GRANT_PAUSE: Duration = Duration::from_micros(50);
const GRANT_WITHIN: Duration = Duration::from_millis(50);
/// READ, start bit included (Microwire opcode 110).
const OPCODE_READ: u32 = 0b110;
const OPCODE_BITS: u32 = 3;

/// The EEPROM gave nothing usable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EepromError {
    /// It could not be had from the firmware.
    #[error(transparent)]
    Busy(#[from] Timeout),
    /// The words do not add up: blank, broken or absent.
    #[error("the EEPROM's words add up to {sum:#06x} instead of 0xbaba")]
    Checksum {
        /// What they add up to.
        sum: u16,
    },
    /// The words add up, but no station may have the address they hold.
    #[error("the EEPROM says {0}, which is no station address")]
    Address(Mac),
}

/// The station address in words 0 to 2, low byte first.
pub(crate) fn station_address<D: Device>(device: &D, features: &Features) -> Result<Mac, EepromError> {
    let words = read(device, features).or_else(|pins| {
        log::info!("{pins}; trying its read register");
        // The pins are the better source: what was wrong there is what is said in the end.
        eerd::read(device).map_err(|_| pins)
    })?;
    let [a, b, c] = [words[0], words[1], words[2]].map(u16::to_le_bytes);
    let mut mac = Mac([a[0], a[1], b[0], b[1], c[0], c[1]]);
    if features.dual_port && device.read(STATUS) & status::FUNC_1 != 0 {
        mac.0[5] ^= 1;
    }
    if mac.is_station() { Ok(mac) } else { Err(EepromError::Address(mac)) }
}

/// Reads words 0x00 to 0x3F.
fn read<D: Device>(device: &D, features: &Features) -> Result<Words, EepromError> {
    let mut pins = Microwire::acquire(device, features)?;
    let mut words = [0; WORDS as usize];
    for (address, word) in words.iter_mut().enumerate() {
        *word = pins.read(address as u32);
    }
    pins.release();
    let sum = sum(&words);
    if sum == CHECKSUM { Ok(words) } else { Err(EepromError::Checksum { sum }) }
}

pub(crate) fn sum(words: &Words) -> u16 {
    words.iter().fold(0, |sum, word| sum.wrapping_add(*word))
}

/// The four pins, held.
struct Microwire<'d, D: Device> {
    device: &'d D,
    /// EECD as last written: the card's copy is not trusted to hold our bits.
    pins: u32,
    address_bits: u32,
    granted: bool,
}

impl<'d, D: Device> Microwire<'d, D> {
    fn acquire(device: &'d D, features: &Features) -> Result<Microwire<'d, D>, Timeout> {
        let mut pins = device.read(EECD) & !(eecd::SK | eecd::CS | eecd::DI);
        let large = features.eeprom_size_bit && pins & eecd::SIZE != 0;
        if features.eeprom_needs_grant {
            pins |= eecd::REQ;
        }
        // Deselected and with the clock low, whatever the card was left in.
        device.write(EECD, pins);
        if features.eeprom_needs_grant {
            let granted = wait::until(device, "grant its EEPROM", GRANT_PAUSE, GRANT_WITHIN, |d| {
                (d.read(EECD) & eecd::GNT != 0).then_some(())
            });
            if let Err(timeout) = granted {
                device.write(EECD, pins & !eecd::REQ);
                return Err(timeout);
            }
        }
        let address_bits = if large { 8 } else { 6 };
        Ok(Microwire { device, pins, address_bits, granted: features.eeprom_needs_grant })
    }

    fn release(mut self) {
        if self.granted {
            self.set(eecd::REQ, false);
        }
    }

    fn read(&mut self, address: u32) -> u16 {
        self.set(eecd::CS, true);
        self.shift_out(OPCODE_READ, OPCODE_BITS);
        self.shift_out(address, self.address_bits);
        let word = self.shift_in();
        self.set(eecd::CS, false);
        self.clock();
        word
    }

    /// Most significant bit first; DI is stable before SK rises.
    fn shift_out(&mut self, value: u32, bits: u32) {
        for bit in (0..bits).rev() {
            self.set(eecd::DI, value >> bit & 1 != 0);
            self.clock();
        }
        self.set(eecd::DI, false);
    }

    /// Sixteen bits, sampled while SK is high.
    fn shift_in(&mut self) -> u16 {
        let mut word = 0;
        for _ in 0..16 {
            self.set(eecd::SK, true);
            let level = self.device.read(EECD) & eecd::DO != 0;
            word = word << 1 | u16::from(level);
            self.set(eecd::SK, false);
        }
        word
    }

    fn clock(&mut self) {
        self.set(eecd::SK, true);
        self.set(eecd::SK, false);
    }

    fn set(&mut self, pin: u32, high: bool) {
        self.pins = if high { self.pins | pin } else { self.pins & !pin };
        self.device.write(EECD, self.pins);
        // Posted writes must not overtake the half clock (8254x fact sheet 4.1).
        self.device.read(STATUS);
        self.device.delay(HALF_CLOCK);
    }
}
