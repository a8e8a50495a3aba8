//! Interrupts: causes, mask, throttle and the pin (8254x SDM 13.4.17 to 13.4.21).
//!
//! Receives causes and register accesses, hands on the level of the pin and, where somebody waits,
//! an event on a file descriptor. It never knows why a cause was raised.

use crate::regs::icr;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

/// ITR counts in units of this.
const ITR_UNIT_NS: u64 = 256;

/// The interrupt unit of one card.
#[derive(Default)]
pub(crate) struct Interrupts {
    icr: u32,
    ims: u32,
    itr: u32,
    /// An emulator without the throttle.
    pub(crate) itr_ignored: bool,
    /// The pin.
    line: bool,
    /// No assertion before this.
    open_ns: u64,
    /// What the platform's INTx does: one event, then masked until acknowledged.
    sink: Option<Arc<OwnedFd>>,
    fired: bool,
    /// Interrupts are messages: the pin is silent.
    messages: bool,
    /// In D3 nothing is signalled.
    silent: bool,
    /// A message was sent and ICR not read since (8254x SDM 4.1.3.3).
    unread: bool,
    /// Assertions of the pin so far.
    pub(crate) assertions: u64,
}

impl Interrupts {
    pub(crate) fn reset(&mut self) {
        self.icr = 0;
        self.ims = 0;
        self.itr = 0;
        self.open_ns = 0;
        self.line = false;
    }

    pub(crate) fn connect(&mut self, sink: Arc<OwnedFd>) {
        self.sink = Some(sink);
    }

    pub(crate) fn raise(&mut self, causes: u32, now_ns: u64) {
        self.icr |= causes;
        self.update(now_ns);
    }

    /// The level of the pin; it never moves while interrupts are messages.
    pub(crate) fn pin(&self) -> bool {
        self.line && !self.messages
    }

    /// Interrupts are messages from now on, or the pin again.
    pub(crate) fn set_messages(&mut self, on: bool) {
        if self.messages != on {
            self.messages = on;
            self.line = false;
            self.unread = false;
        }
    }

    pub(crate) fn set_silent(&mut self, silent: bool) {
        self.silent = silent;
    }

    pub(crate) fn causes(&self) -> u32 {
        self.icr
    }

    pub(crate) fn mask(&self) -> u32 {
        self.ims
    }

    pub(crate) fn itr(&self) -> u32 {
        self.itr
    }

    pub(crate) fn set_itr(&mut self, value: u32) {
        self.itr = value & 0xffff;
    }

    /// Reads ICR: everything is cleared and the pin falls.
    pub(crate) fn take_causes(&mut self, now_ns: u64) -> u32 {
        let causes = std::mem::take(&mut self.icr);
        self.unread = false;
        self.update(now_ns);
        causes
    }

    /// Writes ICR: ones clear.
    pub(crate) fn clear_causes(&mut self, ones: u32, now_ns: u64) {
        self.icr &= !ones;
        self.update(now_ns);
    }

    pub(crate) fn enable(&mut self, ones: u32, now_ns: u64) {
        self.ims |= ones & icr::DEFINED;
        self.update(now_ns);
    }

    pub(crate) fn disable(&mut self, ones: u32, now_ns: u64) {
        self.ims &= !ones;
        self.update(now_ns);
    }

    /// When the throttle opens for a cause that waits.
    pub(crate) fn deadline_ns(&self) -> Option<u64> {
        let waits = self.icr & self.ims != 0 && !self.line && !self.silent && !self.unread;
        waits.then_some(self.open_ns)
    }

    /// The pin follows `ICR & IMS`; it rises no earlier than ITR allows.
    pub(crate) fn update(&mut self, now_ns: u64) {
        let wanted = self.icr & self.ims != 0 && !self.silent;
        if !wanted {
            self.line = false;
        } else if !self.line && !self.unread && now_ns >= self.open_ns {
            self.line = true;
            self.unread = self.messages;
            self.assertions += 1;
            let gap = if self.itr_ignored { 0 } else { u64::from(self.itr) };
            self.open_ns = now_ns + gap * ITR_UNIT_NS;
            self.fire();
        }
    }

    /// An event although nothing happened (fault injection).
    pub(crate) fn fire_spuriously(&mut self) {
        self.fired = false;
        self.fire();
    }

    fn fire(&mut self) {
        // The platform masks a level after its event; a message is an event each time.
        if self.fired && !self.messages {
            return;
        }
        if let Some(sink) = &self.sink {
            self.fired = true;
            // A full counter means that the reader is told already.
            let _ = rustix::io::write(sink, &1u64.to_ne_bytes());
        }
    }

    /// The platform unmasks the pin; a pin that is still up fires again at once.
    pub(crate) fn acknowledge(&mut self) {
        if let Some(sink) = &self.sink {
            let mut count = [0; 8];
            // Empty is fine: nothing had fired.
            let _ = rustix::io::read(sink, &mut count);
        }
        self.fired = false;
        if self.pin() {
            self.fire();
        }
    }
}

/// The descriptor behind [`Irq`](naio_device::Irq).
pub(crate) fn event() -> std::io::Result<Arc<OwnedFd>> {
    use rustix::event::{EventfdFlags, eventfd};
    Ok(Arc::new(eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?))
}

pub(crate) fn borrow(fd: &Arc<OwnedFd>) -> BorrowedFd<'_> {
    fd.as_fd()
}
