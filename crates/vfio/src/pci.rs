//! The card: configuration space, register window, events and memory, taken down in an order that
//! leaves it no way to touch memory that is gone.
#![allow(unsafe_code, reason = "the VFIO device file is borrowed from a crate without AsFd")]

use crate::address::PciAddress;
use crate::bar::{Bar, BarDoorbell};
use crate::container::Container;
use crate::irq::{Intx, ReleaseRequest};
use crate::open::{self, OpenError};
use naio_device::{Attention, Device, DeviceError, Identity, Irq, Registers};
use naio_dma::{Attachment, Domain};
use naio_sys::clock;
use std::cell::Cell;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use vfio_ioctls::{VfioContainer, VfioDevice};

/// VFIO's region indices of a PCI device (linux/vfio.h).
const VFIO_PCI_BAR0_REGION_INDEX: u32 = 0;
const VFIO_PCI_CONFIG_REGION_INDEX: u32 = 7;
/// Region flag: it may be mapped (linux/vfio.h).
const VFIO_REGION_INFO_FLAG_MMAP: u32 = 1 << 2;

/// Configuration space (PCI Local Bus 3.0, 6.1).
const CONFIG_VENDOR: u64 = 0x00;
const CONFIG_DEVICE: u64 = 0x02;
const CONFIG_COMMAND: u64 = 0x04;
const CONFIG_REVISION: u64 = 0x08;
const CONFIG_SUBSYSTEM_VENDOR: u64 = 0x2c;
const CONFIG_SUBSYSTEM: u64 = 0x2e;
const COMMAND_MEMORY: u16 = 1 << 1;
const COMMAND_BUS_MASTER: u16 = 1 << 2;

/// Smallest register window accepted; a larger one is the driver's to ask for.
const BAR0_LEN_MIN: u64 = 4096;
/// Largest register window mapped.
const BAR0_LEN_MAX: u64 = 16 << 20;
/// Shorter pauses are spun, because a sleep takes longer than they last.
const SPIN_BELOW: Duration = Duration::from_micros(500);

/// A PCI card behind VFIO.
pub struct PciDevice {
    address: PciAddress,
    identity: Identity,
    domain: Domain,
    bar: Arc<Bar>,
    // `Drop` takes these down in the order of the comments there.
    intx: Option<Intx>,
    release: Option<ReleaseRequest>,
    attachment: Option<Attachment>,
    device: Option<Arc<VfioDevice>>,
    /// Once asked for, the card stays asked for.
    release_requested: Cell<bool>,
}

impl PciDevice {
    /// Opens the card and shows it the memory of `domain`. Bus mastering is off.
    ///
    /// # Errors
    /// See [`OpenError`]; [`OpenError::help`] says what to do.
    pub fn open(address: PciAddress, domain: &Domain) -> Result<PciDevice, OpenError> {
        let candidate = open::check(Path::new("/sys"), address)?;
        let container = Arc::new(VfioContainer::new(None).map_err(|e| candidate.explain(e))?);
        let device = VfioDevice::new(&candidate.sysfs, container.clone(), false);
        let device = Arc::new(device.map_err(|e| candidate.explain(e))?);
        let config = Config(&device);
        config.change_command(COMMAND_MEMORY, COMMAND_BUS_MASTER)?;
        let identity = config.identity();
        let bar = Arc::new(map_bar0(address, &device)?);
        let mut card = PciDevice {
            address,
            identity,
            domain: domain.clone(),
            bar,
            intx: None,
            release: None,
            attachment: None,
            device: Some(device.clone()),
            release_requested: Cell::new(false),
        };
        card.attachment = Some(domain.attach(Arc::new(Container(container)))?);
        match ReleaseRequest::enable(&device) {
            Ok(request) => card.release = Some(request),
            Err(e) => log::info!("{address}: no release requests from this kernel: {e}"),
        }
        Ok(card)
    }

    /// Where the card sits.
    #[must_use]
    pub fn address(&self) -> PciAddress {
        self.address
    }

    fn config(&self) -> Result<Config<'_>, DeviceError> {
        let missing = || DeviceError { what: "configuration", source: io::ErrorKind::NotConnected.into() };
        self.device.as_deref().map(Config).ok_or_else(missing)
    }
}

fn map_bar0(address: PciAddress, device: &VfioDevice) -> Result<Bar, OpenError> {
    let len = device.get_region_size(VFIO_PCI_BAR0_REGION_INDEX);
    if !(BAR0_LEN_MIN..=BAR0_LEN_MAX).contains(&len) || !len.is_multiple_of(4096) {
        return Err(OpenError::Registers { address, what: "its size is implausible" });
    }
    if device.get_region_flags(VFIO_PCI_BAR0_REGION_INDEX) & VFIO_REGION_INFO_FLAG_MMAP == 0 {
        return Err(OpenError::Registers { address, what: "it cannot be mapped" });
    }
    let offset = device.get_region_offset(VFIO_PCI_BAR0_REGION_INDEX);
    // SAFETY:
    // 1. The descriptor is open as long as `device`, which outlives the borrow.
    // 2. It is not -1.
    let file = unsafe { BorrowedFd::borrow_raw(device.as_raw_fd()) };
    let mapped = Bar::map(file, offset, len as usize);
    mapped.map_err(|source| OpenError::System { what: "the register window cannot be mapped", source })
}

/// Configuration space, through the region that VFIO makes of it.
struct Config<'d>(&'d VfioDevice);

impl Config<'_> {
    fn read16(&self, offset: u64) -> u16 {
        // `region_read` swallows errors: all ones is what a missing device answers.
        let mut bytes = [0xff; 2];
        self.0.region_read(VFIO_PCI_CONFIG_REGION_INDEX, &mut bytes, offset);
        u16::from_le_bytes(bytes)
    }

    fn identity(&self) -> Identity {
        Identity {
            vendor: self.read16(CONFIG_VENDOR),
            device: self.read16(CONFIG_DEVICE),
            subsystem_vendor: self.read16(CONFIG_SUBSYSTEM_VENDOR),
            subsystem: self.read16(CONFIG_SUBSYSTEM),
            revision: self.read16(CONFIG_REVISION) as u8,
        }
    }

    /// Sets and clears bits of COMMAND and looks whether they stay.
    fn change_command(&self, set: u16, clear: u16) -> Result<(), DeviceError> {
        let wanted = self.read16(CONFIG_COMMAND) & !clear | set;
        self.0.region_write(VFIO_PCI_CONFIG_REGION_INDEX, &wanted.to_le_bytes(), CONFIG_COMMAND);
        let now = self.read16(CONFIG_COMMAND);
        if now != u16::MAX && now & set == set && now & clear == 0 {
            Ok(())
        } else {
            let source = io::Error::other(format!("COMMAND reads {now:#06x} after writing {wanted:#06x}"));
            Err(DeviceError { what: "COMMAND register", source })
        }
    }
}

impl Registers for PciDevice {
    #[inline]
    fn read(&self, offset: u32) -> u32 {
        self.bar.read(offset)
    }

    #[inline]
    fn write(&self, offset: u32, value: u32) {
        self.bar.write(offset, value);
    }
}

impl Device for PciDevice {
    type Doorbell = BarDoorbell;

    fn identity(&self) -> Identity {
        self.identity
    }

    fn domain(&self) -> &Domain {
        &self.domain
    }

    fn doorbell(&self, offset: u32) -> Result<BarDoorbell, DeviceError> {
        let outside = || DeviceError { what: "tail register", source: io::ErrorKind::InvalidInput.into() };
        BarDoorbell::new(self.bar.clone(), offset).ok_or_else(outside)
    }

    fn set_bus_master(&mut self, on: bool) -> Result<(), DeviceError> {
        let (set, clear) = if on { (COMMAND_BUS_MASTER, 0) } else { (0, COMMAND_BUS_MASTER) };
        self.config()?.change_command(set, clear)
    }

    fn enable_irq(&mut self) -> Result<(), DeviceError> {
        if self.intx.is_some() {
            return Ok(());
        }
        let missing = || DeviceError { what: "interrupt", source: io::ErrorKind::NotConnected.into() };
        let device = self.device.as_ref().ok_or_else(missing)?;
        self.intx = Some(Intx::enable(device).map_err(|source| DeviceError { what: "interrupt", source })?);
        Ok(())
    }

    fn irq(&self) -> Option<&dyn Irq> {
        self.intx.as_ref().map(|intx| intx as &dyn Irq)
    }

    fn attention(&self) -> Attention {
        if self.release.as_ref().is_some_and(ReleaseRequest::is_pending) {
            self.release_requested.set(true);
        }
        if self.release_requested.get() { Attention::Release } else { Attention::None }
    }

    fn delay(&self, span: Duration) {
        if span >= SPIN_BELOW {
            std::thread::sleep(span);
            return;
        }
        let start = clock::now();
        while clock::now().since(start) < span {
            std::hint::spin_loop();
        }
    }
}

impl Drop for PciDevice {
    fn drop(&mut self) {
        // 1. The card can start no transfer any more.
        if let Err(e) = self.set_bus_master(false) {
            log::warn!("{}: {e}: {}", self.address, e.source);
        }
        // 2. No more events.
        self.intx = None;
        self.release = None;
        // 3. The memory leaves the IOMMU while the container still has one.
        self.attachment = None;
        // 4. The device file, then its group and container. `VfioDevice` looks its group up in sysfs
        //    when dropped and panics if the device is no longer there.
        let Some(device) = self.device.take() else { return };
        if !Path::new("/sys/bus/pci/devices").join(self.address.to_string()).join("iommu_group").exists() {
            log::warn!("{}: unplugged while open; its file stays open", self.address);
            std::mem::forget(device);
        }
    }
}
