//! The serial protocols behind EECD's pins: Microwire (93C46, 93C66) and SPI (25xx).
//!
//! Receives clock edges with a data bit and hands on the data-out pin. It never knows a register.

/// Microwire opcodes with their start bit (8254x SDM 5.3.1).
const READ: u32 = 0b110;
const WRITE: u32 = 0b101;
const ERASE: u32 = 0b111;
const EXTENDED: u32 = 0b100;
/// The two address bits that tell the extended operations apart.
const EXTENDED_WRITE_ENABLE: u32 = 0b11;
const EXTENDED_WRITE_DISABLE: u32 = 0b00;

#[derive(Clone, Copy, Debug)]
enum Phase {
    /// Start bit, opcode and address are being shifted in.
    Command { bits: u32, count: u32 },
    /// A word is being shifted out.
    Out { address: usize, bit: u32 },
    /// A word is being shifted in.
    In { address: usize, bits: u32, count: u32 },
    /// Nothing until chip select falls.
    Over,
}

/// A Microwire chip.
pub(crate) struct Microwire {
    address_bits: u32,
    phase: Phase,
    out: bool,
    writable: bool,
}

const IDLE: Phase = Phase::Command { bits: 0, count: 0 };

impl Microwire {
    pub(crate) fn new(address_bits: u32) -> Microwire {
        Microwire { address_bits, phase: IDLE, out: true, writable: false }
    }

    /// The data-out pin; high while nothing drives it, which also means "ready" after a write.
    pub(crate) fn out(&self) -> bool {
        self.out
    }

    /// Chip select falls: a complete write is carried out, anything else is forgotten.
    pub(crate) fn deselect(&mut self, words: &mut [u16]) {
        if let Phase::In { address, bits, count: 16 } = self.phase
            && self.writable
            && let Some(word) = words.get_mut(address)
        {
            *word = bits as u16;
        }
        self.phase = IDLE;
        self.out = true;
    }

    /// The clock rises while the chip is selected.
    pub(crate) fn clock(&mut self, di: bool, words: &[u16]) {
        self.phase = match self.phase {
            // Zeros before the start bit do not count.
            Phase::Command { count: 0, .. } if !di => IDLE,
            Phase::Command { bits, count } => self.command(bits << 1 | u32::from(di), count + 1),
            Phase::Out { address, bit } => {
                let word = words.get(address).copied().unwrap_or(0xffff);
                self.out = word >> (15 - bit) & 1 != 0;
                if bit == 15 {
                    Phase::Out { address: address + 1, bit: 0 }
                } else {
                    Phase::Out { address, bit: bit + 1 }
                }
            }
            Phase::In { address, bits, count } if count < 16 => {
                Phase::In { address, bits: bits << 1 | u32::from(di), count: count + 1 }
            }
            other => other,
        };
    }

    fn command(&mut self, bits: u32, count: u32) -> Phase {
        if count < 3 + self.address_bits {
            return Phase::Command { bits, count };
        }
        let address = (bits & ((1 << self.address_bits) - 1)) as usize;
        match bits >> self.address_bits {
            READ => {
                // A zero comes before the first data bit.
                self.out = false;
                Phase::Out { address, bit: 0 }
            }
            WRITE => Phase::In { address, bits: 0, count: 0 },
            ERASE => Phase::In { address, bits: 0xffff, count: 16 },
            EXTENDED => {
                match address >> (self.address_bits - 2) {
                    code if code as u32 == EXTENDED_WRITE_ENABLE => self.writable = true,
                    code if code as u32 == EXTENDED_WRITE_DISABLE => self.writable = false,
                    _ => {}
                }
                Phase::Over
            }
            _ => Phase::Over,
        }
    }
}

/// SPI opcodes (8254x SDM 5.3.2).
const SPI_WRITE: u8 = 0x02;
const SPI_READ: u8 = 0x03;
const SPI_WRDI: u8 = 0x04;
const SPI_RDSR: u8 = 0x05;
const SPI_WREN: u8 = 0x06;

/// In READ and WRITE of a chip with 9 address bits: the ninth.
const SPI_A8: u8 = 0x08;

/// An SPI chip with 16 address bits, or with 9 of which the highest is in the opcode. A write is complete at once: RDSR always says "ready".
#[derive(Debug, Default)]
pub(crate) struct Spi {
    shift: u8,
    bits: u32,
    small: bool,
    opcode: Option<u8>,
    /// Address bytes so far, then the running byte address.
    address: usize,
    address_bytes: u32,
    sending: Option<u8>,
    out: bool,
    write_enabled: bool,
}

impl Spi {
    pub(crate) fn new(small: bool) -> Spi {
        Spi { small, ..Spi::default() }
    }

    pub(crate) fn out(&self) -> bool {
        self.out
    }

    pub(crate) fn deselect(&mut self) {
        // A write closes the latch behind it.
        let closes = self.opcode == Some(SPI_WRITE);
        let write_enabled = self.write_enabled && !closes;
        *self = Spi { write_enabled, ..Spi::new(self.small) };
    }

    /// The clock rises: the chip samples data in.
    pub(crate) fn clock_in(&mut self, di: bool, words: &mut [u16]) {
        if let Some(byte) = self.sending {
            self.out = byte >> (7 - self.bits) & 1 != 0;
        }
        self.shift = self.shift << 1 | u8::from(di);
        self.bits += 1;
        if self.bits == 8 {
            self.bits = 0;
            self.byte(self.shift, words);
        }
    }

    /// The clock falls: data out stays until the next bit.
    pub(crate) fn clock_out(&mut self) {
        if let Some(byte) = self.sending {
            self.out = byte >> (7 - self.bits) & 1 != 0;
        }
    }

    fn byte(&mut self, byte: u8, words: &mut [u16]) {
        match self.opcode {
            None => {
                let plain = byte & !SPI_A8;
                let has_bit = self.small && matches!(plain, SPI_READ | SPI_WRITE);
                // The ninth address bit counts as the high byte of the address.
                let code = if has_bit { plain } else { byte };
                (self.address, self.address_bytes) =
                    (usize::from(has_bit && byte != plain), u32::from(has_bit));
                self.opcode = Some(code);
                match code {
                    SPI_WREN => self.write_enabled = true,
                    SPI_WRDI => self.write_enabled = false,
                    SPI_RDSR => self.sending = Some(u8::from(self.write_enabled) << 1),
                    _ => {}
                }
            }
            Some(SPI_READ | SPI_WRITE) if self.address_bytes < 2 => {
                self.address = (self.address << 8 | usize::from(byte)) & 0xffff;
                self.address_bytes += 1;
                if self.address_bytes == 2 && self.opcode == Some(SPI_READ) {
                    self.sending = Some(byte_at(words, self.address));
                }
            }
            Some(SPI_READ) => {
                self.address = (self.address + 1) & 0xffff;
                self.sending = Some(byte_at(words, self.address));
            }
            Some(SPI_WRITE) if self.write_enabled => {
                if let Some(word) = words.get_mut(self.address / 2) {
                    let mut bytes = word.to_le_bytes();
                    bytes[self.address % 2] = byte;
                    *word = u16::from_le_bytes(bytes);
                }
                self.address = (self.address + 1) & 0xffff;
            }
            Some(_) => {}
        }
    }
}

fn byte_at(words: &[u16], address: usize) -> u8 {
    words.get(address / 2).map_or(0xff, |word| word.to_le_bytes()[address % 2])
}
