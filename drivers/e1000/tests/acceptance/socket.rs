//! A socket that a card stays in while drivers come and go: hands out a [`Device`] that gives the card back when it is
//! dropped, and counts what the driver does to its registers.

use naio_device::{Attention, Device, DeviceError, Identity, Irq, Registers};
use naio_dma::Domain;
use naio_e1000_model::{Model, Tail};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Register reads that are remembered while asked for.
const TRACE_MAX: usize = 1 << 16;

#[derive(Default)]
struct Inside {
    card: Option<Model>,
    identity: Option<Identity>,
    reads: u64,
    waited: Duration,
    trace: Option<Vec<u32>>,
    no_interrupt: bool,
}

/// The socket; clones are the same.
#[derive(Clone, Default)]
pub(crate) struct Socket {
    inside: Arc<Mutex<Inside>>,
}

impl Socket {
    pub(crate) fn new(card: Model) -> Socket {
        let inside = Inside { card: Some(card), ..Inside::default() };
        Socket { inside: Arc::new(Mutex::new(inside)) }
    }

    fn with<T>(&self, look: impl FnOnce(&mut Inside) -> T) -> T {
        look(&mut self.inside.lock().expect("no test panics in here"))
    }

    /// The card for one driver.
    pub(crate) fn device(&self) -> Seated {
        let card = self.with(|inside| inside.card.take()).expect("the driver before has gone");
        Seated { card: Some(card), socket: self.clone() }
    }

    /// What the card in here says it is.
    pub(crate) fn pretend(&self, identity: Identity) {
        self.with(|inside| inside.identity = Some(identity));
    }

    /// The platform has no interrupt for this card.
    pub(crate) fn without_interrupt(&self) {
        self.with(|inside| inside.no_interrupt = true);
    }

    /// Register reads and time waited for the card since the last call.
    pub(crate) fn take_cost(&self) -> (u64, Duration) {
        self.with(|inside| (std::mem::take(&mut inside.reads), std::mem::take(&mut inside.waited)))
    }

    /// The offsets that `work` reads, in order.
    pub(crate) fn trace_reads(&self, work: impl FnOnce()) -> Vec<u32> {
        self.with(|inside| inside.trace = Some(Vec::new()));
        work();
        self.with(|inside| inside.trace.take()).unwrap_or_default()
    }
}

/// The card as its driver has it.
pub(crate) struct Seated {
    card: Option<Model>,
    socket: Socket,
}

impl Seated {
    fn card(&self) -> &Model {
        self.card.as_ref().expect("it goes with the last drop only")
    }
}

impl Drop for Seated {
    fn drop(&mut self) {
        let card = self.card.take();
        self.socket.with(|inside| inside.card = card);
    }
}

impl Registers for Seated {
    fn read(&self, offset: u32) -> u32 {
        self.socket.with(|inside| {
            inside.reads += 1;
            if let Some(trace) = inside.trace.as_mut().filter(|trace| trace.len() < TRACE_MAX) {
                trace.push(offset);
            }
        });
        self.card().read(offset)
    }

    fn write(&self, offset: u32, value: u32) {
        self.card().write(offset, value);
    }
}

impl Device for Seated {
    type Doorbell = Tail;

    fn identity(&self) -> Identity {
        self.socket.with(|inside| inside.identity).unwrap_or_else(|| self.card().identity())
    }

    fn domain(&self) -> &Domain {
        self.card().domain()
    }

    fn doorbell(&self, offset: u32) -> Result<Tail, DeviceError> {
        self.card().doorbell(offset)
    }

    fn set_bus_master(&mut self, on: bool) -> Result<(), DeviceError> {
        self.card.as_mut().map_or(Ok(()), |card| card.set_bus_master(on))
    }

    fn enable_irq(&mut self) -> Result<(), DeviceError> {
        if self.socket.with(|inside| inside.no_interrupt) {
            let source = std::io::Error::from(std::io::ErrorKind::Unsupported);
            return Err(DeviceError { what: "interrupt", source });
        }
        self.card.as_mut().map_or(Ok(()), Model::enable_irq)
    }

    fn irq(&self) -> Option<&dyn Irq> {
        self.card().irq()
    }

    fn attention(&self) -> Attention {
        self.card().attention()
    }

    fn delay(&self, span: Duration) {
        self.socket.with(|inside| inside.waited += span);
        self.card().delay(span);
    }
}
