//! A PCI card over Linux VFIO: the [`Device`](naio_device::Device) of silicon and of emulators.
//!
//! Receives a PCI address; hands on registers, doorbells, interrupts and bus mastering, and attaches
//! the card to a [`Domain`](naio_dma::Domain). `open` says in words what is wrong with a machine
//! that cannot do that, `container` maps memory through the IOMMU, `bar` is the register window,
//! `irq` the event descriptors, `pci` holds it all and takes it down in the right order. It never
//! knows what kind of card it is.
//!
//! Group mode only: `/dev/vfio/vfio` with a type 1 IOMMU. Needs read and write permission on
//! `/dev/vfio/<group>`, and RLIMIT_MEMLOCK (or `CAP_IPC_LOCK`) for the memory; root is not needed
//! beyond that. Binding the card to `vfio-pci` is done before, by root.

mod address;
mod bar;
mod container;
mod irq;
mod open;
mod pci;

pub use address::{AddressError, PciAddress};
pub use bar::BarDoorbell;
pub use open::OpenError;
pub use pci::PciDevice;
