//! The IOMMU, through a VFIO container: the [`Mapper`] of every card on hardware.
#![allow(unsafe_code, reason = "mapping memory for a device")]

use naio_dma::{Access, Iova, MapRefused, Mapper};
use rustix::ioctl::{Opcode, Setter, ioctl, opcode};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr::NonNull;
use std::sync::Arc;
use vfio_ioctls::{VfioContainer, VfioError};

/// One container, with the card's group in it.
pub(crate) struct Container(pub(crate) Arc<VfioContainer>);

/// VFIO_DMA_MAP_FLAG_READ and _WRITE (linux/vfio.h).
const READ: u32 = 1 << 0;
const WRITE: u32 = 1 << 1;

/// VFIO_IOMMU_MAP_DMA: `_IO(';', 100 + 13)`.
const MAP_DMA: Opcode = opcode::none(b';', 113);

/// `struct vfio_iommu_type1_dma_map`.
#[repr(C)]
struct DmaMap {
    argsz: u32,
    flags: u32,
    vaddr: u64,
    iova: u64,
    size: u64,
}

// SAFETY:
// 1. After VFIO_IOMMU_UNMAP_DMA returned success for a range, the IOMMU no longer translates it.
// 2. `map` passes on exactly the range it was given.
// 3. Without the write flag the IOMMU refuses the card's writes, and the kernel's to the pages.
// 4. `map` hands the address to the kernel and does not touch what is there.
unsafe impl Mapper for Container {
    unsafe fn map(
        &self,
        iova: Iova,
        start: NonNull<u8>,
        len: usize,
        access: Access,
    ) -> Result<(), MapRefused> {
        let request = DmaMap {
            argsz: size_of::<DmaMap>() as u32,
            flags: match access {
                Access::Read => READ,
                Access::ReadWrite => READ | WRITE,
            },
            vaddr: start.as_ptr() as u64,
            iova: iova.as_u64(),
            size: len as u64,
        };
        // Our own call, because `VfioContainer::vfio_dma_map` always sets the write flag, and the kernel then refuses
        // the pages of a file.
        // SAFETY:
        // 1. The descriptor is the container's, which `self` keeps open during the call.
        let container = unsafe { BorrowedFd::borrow_raw(self.0.as_raw_fd()) };
        // SAFETY: `Setter` and the call itself ask for
        // 1. an opcode whose argument is a pointer to a value of this type: MAP_DMA takes a `DmaMap`, read only;
        // 2. memory that stays mapped until the unmap: the caller's promise 1;
        // 3. no reference to it while the device may write: relaxed to HW-1, the caller's promise 2,
        //    as `naio_dma` states and argues.
        let outcome = unsafe { ioctl(container, Setter::<MAP_DMA, DmaMap>::new(request)) };
        outcome.map_err(|e| refused(iova, len, e.into()))
    }

    fn unmap(&self, iova: Iova, len: usize) -> Result<(), MapRefused> {
        self.0.vfio_dma_unmap(iova.as_u64(), len).map_err(|e| refused(iova, len, unmap_error(e)))
    }
}

fn unmap_error(error: VfioError) -> io::Error {
    match error {
        VfioError::IommuDmaUnmap(e) => io::Error::from(e),
        other => io::Error::other(other),
    }
}

fn refused(iova: Iova, len: usize, source: io::Error) -> MapRefused {
    // ENOMEM is how VFIO says that RLIMIT_MEMLOCK is used up.
    let is_memlock = source.raw_os_error() == Some(rustix::io::Errno::NOMEM.raw_os_error());
    let memlock = if is_memlock { naio_sys::limits::memlock() } else { None };
    MapRefused { iova: iova.as_u64(), len, memlock, source }
}
