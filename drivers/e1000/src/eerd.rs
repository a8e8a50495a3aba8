//! The EEPROM by its read register, for cards whose EECD pins lead nowhere.
//!
//! There are two layouts of EERD, and emulators do not keep to the part's own (8254x fact sheet 2.2):
//! both are tried, and the checksum of the words tells which was right.

use crate::eeprom::{CHECKSUM, EepromError, WORDS, Words, sum};
use crate::regs::EERD;
use crate::wait;
use naio_device::Device;
use std::time::Duration;

const START: u32 = 1 << 0;
const DATA_SHIFT: u32 = 16;
/// A word takes some 10 µs; the budget is the fact sheet's.
const PAUSE: Duration = Duration::from_micros(5);
const WITHIN: Duration = Duration::from_millis(5);

/// Where EERD has its fields.
struct Layout {
    done: u32,
    address_shift: u32,
}

/// 82544 to 82546 (and VirtualBox), then 82541 and 82547 (and QEMU).
const LAYOUTS: [Layout; 2] =
    [Layout { done: 1 << 4, address_shift: 8 }, Layout { done: 1 << 1, address_shift: 2 }];

/// Words 0x00 to 0x3F in whichever layout gives the right checksum.
pub(crate) fn read<D: Device>(device: &D) -> Result<Words, EepromError> {
    let mut outcome = Err(EepromError::Checksum { sum: 0 });
    for layout in &LAYOUTS {
        outcome = read_as(device, layout);
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

fn read_as<D: Device>(device: &D, layout: &Layout) -> Result<Words, EepromError> {
    let mut words: Words = [0; WORDS as usize];
    for (address, word) in (0..).zip(&mut words) {
        device.write(EERD, START | address << layout.address_shift);
        *word = wait::until(device, "read its EEPROM", PAUSE, WITHIN, |d| {
            let eerd = d.read(EERD);
            (eerd & layout.done != 0).then_some((eerd >> DATA_SHIFT) as u16)
        })?;
    }
    let sum = sum(&words);
    if sum == CHECKSUM { Ok(words) } else { Err(EepromError::Checksum { sum }) }
}
