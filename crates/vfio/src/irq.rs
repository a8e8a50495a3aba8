//! Event descriptors of a VFIO device: its interrupt, and the request to let it go.
#![allow(unsafe_code, reason = "EventFd lends its descriptor as a number only")]

use std::os::fd::{AsRawFd, BorrowedFd};
use std::sync::Arc;
use vfio_ioctls::VfioDevice;
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

/// VFIO's interrupt indices of a PCI device (linux/vfio.h).
const VFIO_PCI_INTX_IRQ_INDEX: u32 = 0;
const VFIO_PCI_REQ_IRQ_INDEX: u32 = 4;

/// INTx as an event descriptor. Level-triggered: VFIO masks the line when it fires.
pub(crate) struct Intx {
    event: EventFd,
    device: Arc<VfioDevice>,
}

impl Intx {
    pub(crate) fn enable(device: &Arc<VfioDevice>) -> std::io::Result<Intx> {
        let event = EventFd::new(EFD_NONBLOCK)?;
        device.enable_irq(VFIO_PCI_INTX_IRQ_INDEX, vec![&event]).map_err(std::io::Error::other)?;
        Ok(Intx { event, device: device.clone() })
    }
}

impl naio_device::Irq for Intx {
    fn fd(&self) -> BorrowedFd<'_> {
        descriptor(&self.event)
    }

    fn acknowledge(&self) {
        // Nothing to read means it did not fire: unmasking is right in both cases.
        let _ = self.event.read();
        if let Err(e) = self.device.unmask_irq(VFIO_PCI_INTX_IRQ_INDEX) {
            log::warn!("the interrupt cannot be unmasked: {e}");
        }
    }
}

impl Drop for Intx {
    fn drop(&mut self) {
        if let Err(e) = self.device.disable_irq(VFIO_PCI_INTX_IRQ_INDEX) {
            log::debug!("the interrupt cannot be switched off: {e}");
        }
    }
}

/// Signalled when somebody wants the card back. Without it an unbind waits for ever.
pub(crate) struct ReleaseRequest {
    event: EventFd,
    device: Arc<VfioDevice>,
}

impl ReleaseRequest {
    pub(crate) fn enable(device: &Arc<VfioDevice>) -> std::io::Result<ReleaseRequest> {
        let event = EventFd::new(EFD_NONBLOCK)?;
        device.enable_irq(VFIO_PCI_REQ_IRQ_INDEX, vec![&event]).map_err(std::io::Error::other)?;
        Ok(ReleaseRequest { event, device: device.clone() })
    }

    /// Whether it was signalled since the last look.
    pub(crate) fn is_pending(&self) -> bool {
        self.event.read().is_ok()
    }
}

impl Drop for ReleaseRequest {
    fn drop(&mut self) {
        if let Err(e) = self.device.disable_irq(VFIO_PCI_REQ_IRQ_INDEX) {
            log::debug!("the release request cannot be switched off: {e}");
        }
    }
}

fn descriptor(event: &EventFd) -> BorrowedFd<'_> {
    // SAFETY:
    // 1. The descriptor is open as long as `event`, which the result borrows.
    // 2. It is not -1: the event was constructed.
    unsafe { BorrowedFd::borrow_raw(event.as_raw_fd()) }
}
