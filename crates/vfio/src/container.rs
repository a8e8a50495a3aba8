//! The IOMMU, through a VFIO container: the [`Mapper`] of every card on hardware.
#![allow(unsafe_code, reason = "mapping memory for a device")]

use naio_dma::{Iova, MapRefused, Mapper};
use std::io;
use std::ptr::NonNull;
use std::sync::Arc;
use vfio_ioctls::{VfioContainer, VfioError};

/// One container, with the card's group in it.
pub(crate) struct Container(pub(crate) Arc<VfioContainer>);

// SAFETY:
// 1. After VFIO_IOMMU_UNMAP_DMA returned success for a range, the IOMMU no longer translates it.
// 2. `map` passes on exactly the range it was given.
unsafe impl Mapper for Container {
    unsafe fn map(&self, iova: Iova, start: NonNull<u8>, len: usize) -> Result<(), MapRefused> {
        // SAFETY: `vfio_dma_map` asks for
        // 1. memory that stays mapped until the unmap: the caller's promise 1;
        // 2. no reference to it while the device may write: relaxed to HW-1, the caller's promise 2,
        //    as `naio_dma` states and argues.
        let outcome = unsafe { self.0.vfio_dma_map(iova.as_u64(), len, start.as_ptr()) };
        outcome.map_err(|e| refused(iova, len, e))
    }

    fn unmap(&self, iova: Iova, len: usize) -> Result<(), MapRefused> {
        self.0.vfio_dma_unmap(iova.as_u64(), len).map_err(|e| refused(iova, len, e))
    }
}

fn refused(iova: Iova, len: usize, error: VfioError) -> MapRefused {
    let source = match error {
        VfioError::IommuDmaMap(e) | VfioError::IommuDmaUnmap(e) => io::Error::from(e),
        other => io::Error::other(other),
    };
    // ENOMEM is how VFIO says that RLIMIT_MEMLOCK is used up.
    let is_memlock = source.raw_os_error() == Some(rustix::io::Errno::NOMEM.raw_os_error());
    let memlock = if is_memlock { naio_sys::limits::memlock() } else { None };
    MapRefused { iova: iova.as_u64(), len, memlock, source }
}
