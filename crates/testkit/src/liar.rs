//! A card that lies: a [`Device`] around another one which, told by a script of bytes, answers register reads with
//! nonsense and scribbles over descriptors at any moment.
//!
//! Receives a real (software) card and a script; hands on a device for a driver that must survive it. Without a
//! script, or at its end, it is the card inside. It never touches memory other than descriptors, so that it keeps
//! HW-1: the contents of pages change only through the card inside.

use naio_device::{Attention, Device, DeviceError, Doorbell, Identity, Irq, Registers};
use naio_dma::{Bus, Domain};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Where the rings are: base low, base high, length, tail (8254x fact sheet 2.4).
const RX_REGISTERS: [u32; 4] = [0x2800, 0x2804, 0x2808, 0x2818];
const TX_REGISTERS: [u32; 4] = [0x3800, 0x3804, 0x3808, 0x3818];
/// Bytes of a descriptor.
const DESCRIPTOR_LEN: u64 = 16;
/// Script bytes below this let the next reads be true: how many is in the low bits.
const TRUTH_BELOW: u8 = 200;
/// Most true reads that one script byte stands for.
const TRUTHS_MAX: u8 = 16;

/// What the card does next, byte by byte; shared between the card and the test that uses the rest of it.
#[derive(Clone)]
pub struct Lies {
    shared: Arc<Mutex<Script>>,
}

struct Script {
    bytes: Vec<u8>,
    at: usize,
    truths: u8,
    reads: u64,
    delayed: Duration,
    honest: bool,
    rings: [[u32; 4]; 2],
}

impl Lies {
    /// A script.
    #[must_use]
    pub fn new(bytes: &[u8]) -> Lies {
        let script = Script {
            bytes: bytes.to_vec(),
            at: 0,
            truths: 0,
            reads: 0,
            delayed: Duration::ZERO,
            honest: false,
            rings: [[0; 4]; 2],
        };
        Lies { shared: Arc::new(Mutex::new(script)) }
    }

    fn lock(&self) -> MutexGuard<'_, Script> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the next byte; `None` at the end.
    #[must_use]
    pub fn next_byte(&self) -> Option<u8> {
        self.lock().take()
    }

    /// Takes four bytes as a number; zeros at the end.
    #[must_use]
    pub fn next_word(&self) -> u32 {
        self.lock().word()
    }

    /// Whether the card tells the truth for now, taking nothing from the script for it.
    pub fn set_honest(&self, honest: bool) {
        self.lock().honest = honest;
    }

    /// Register reads since the last call.
    #[must_use]
    pub fn take_reads(&self) -> u64 {
        std::mem::take(&mut self.lock().reads)
    }

    /// Time that the driver has waited for the card since the last call.
    #[must_use]
    pub fn take_delayed(&self) -> Duration {
        std::mem::take(&mut self.lock().delayed)
    }

    /// Writes a word of the script over half of a descriptor of a ring, wherever in it.
    pub fn scribble(&self, bus: &Bus) {
        let mut script = self.lock();
        let choice = script.word();
        let [low, high, len, _] = script.rings[(choice & 1) as usize];
        let slots = u64::from(len) / DESCRIPTOR_LEN;
        if slots == 0 {
            return;
        }
        let slot = u64::from(choice >> 8) % slots;
        let at = (u64::from(high) << 32 | u64::from(low)) + slot * DESCRIPTOR_LEN + u64::from(choice & 2) * 4;
        let value = u64::from(script.word()) << 32 | u64::from(script.word());
        drop(script);
        // Outside of every mapping it is a bus fault, which a real card would be refused as well.
        let _ = bus.store(at, value);
    }
}

impl Script {
    fn take(&mut self) -> Option<u8> {
        let byte = self.bytes.get(self.at).copied();
        self.at += usize::from(byte.is_some());
        byte
    }

    fn word(&mut self) -> u32 {
        u32::from_le_bytes(std::array::from_fn(|_| self.take().unwrap_or(0)))
    }

    /// What a read of a register that holds `truth` gives.
    fn answer(&mut self, truth: u32) -> u32 {
        self.reads += 1;
        if self.honest {
            return truth;
        }
        if self.truths > 0 {
            self.truths -= 1;
            return truth;
        }
        match self.take() {
            None => truth,
            Some(byte @ ..TRUTH_BELOW) => {
                self.truths = byte % TRUTHS_MAX;
                truth
            }
            Some(byte) => match byte % 4 {
                0 => u32::MAX,
                1 => 0,
                2 => truth ^ 1 << (self.take().unwrap_or(0) % 32),
                _ => self.word(),
            },
        }
    }

    fn note(&mut self, offset: u32, value: u32) {
        for (ring, registers) in [RX_REGISTERS, TX_REGISTERS].iter().enumerate() {
            if let Some(which) = registers.iter().position(|register| *register == offset) {
                self.rings[ring][which] = value;
            }
        }
    }
}

/// The lying card.
pub struct Liar<D> {
    inner: D,
    lies: Lies,
}

impl<D: Device> Liar<D> {
    /// `inner`, as far as `lies` lets it speak.
    pub fn new(inner: D, lies: Lies) -> Liar<D> {
        Liar { inner, lies }
    }
}

impl<D: Device> Registers for Liar<D> {
    fn read(&self, offset: u32) -> u32 {
        let truth = self.inner.read(offset);
        self.lies.lock().answer(truth)
    }

    fn write(&self, offset: u32, value: u32) {
        self.lies.lock().note(offset, value);
        self.inner.write(offset, value);
    }
}

/// A tail register of the card inside. A tail outside of its ring is the driver's mistake, whatever the card said.
pub struct LiarBell<B> {
    inner: B,
    lies: Lies,
    ring: usize,
}

impl<B: Doorbell> Doorbell for LiarBell<B> {
    fn ring(&self, value: u32) {
        let slots = self.lies.lock().rings[self.ring][2] / DESCRIPTOR_LEN as u32;
        assert!(value < slots.max(1), "a tail of {value} in a ring of {slots}");
        self.inner.ring(value);
    }
}

impl<D: Device> Device for Liar<D> {
    type Doorbell = LiarBell<D::Doorbell>;

    fn identity(&self) -> Identity {
        self.inner.identity()
    }

    fn domain(&self) -> &Domain {
        self.inner.domain()
    }

    fn doorbell(&self, offset: u32) -> Result<Self::Doorbell, DeviceError> {
        let inner = self.inner.doorbell(offset)?;
        let ring = usize::from(offset == TX_REGISTERS[3]);
        Ok(LiarBell { inner, lies: self.lies.clone(), ring })
    }

    fn set_bus_master(&mut self, on: bool) -> Result<(), DeviceError> {
        self.inner.set_bus_master(on)
    }

    fn enable_irq(&mut self) -> Result<(), DeviceError> {
        self.inner.enable_irq()
    }

    fn irq(&self) -> Option<&dyn Irq> {
        self.inner.irq()
    }

    fn attention(&self) -> Attention {
        self.inner.attention()
    }

    fn delay(&self, span: Duration) {
        self.lies.lock().delayed += span;
        self.inner.delay(span);
    }
}
