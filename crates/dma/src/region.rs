//! A region: one mapping of memory, visible to every card of its domain, freed only when no card
//! can reach it any more. The other files of this room carve it into pages, rings and buffers.
#![allow(unsafe_code, reason = "raw memory shared with a device")]

use crate::domain::{AddError, Domain, MapRefused};
use crate::iova::{Iova, IovaExhausted};
use naio_sys::mapping::{Mapping, MappingError};
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

/// Card-visible memory could not be had.
#[derive(Debug, thiserror::Error)]
pub enum RegionError {
    /// The size asked for makes no sense (zero, or beyond the card's address space).
    #[error("{count} × {len} bytes is not a size of card memory: it must be more than 0 and below 4 GiB")]
    Size {
        /// How many pieces.
        count: usize,
        /// Bytes of each.
        len: usize,
    },
    /// The kernel gave no memory.
    #[error(transparent)]
    Memory(#[from] MappingError),
    /// No hole in the card's address space.
    #[error(transparent)]
    Addresses(#[from] IovaExhausted),
    /// The IOMMU refused the mapping.
    #[error(transparent)]
    Refused(#[from] MapRefused),
}

/// Largest region: half of the card's address space.
const REGION_LEN_MAX: usize = 1 << 31;

pub(crate) struct Region {
    domain: Domain,
    iova: Iova,
    /// Dropped by hand: only after every card lost sight of it.
    mapping: ManuallyDrop<Mapping>,
}

impl Region {
    /// Memory for `count` pieces of `len` bytes, zeroed.
    pub(crate) fn new(domain: &Domain, count: usize, len: usize) -> Result<Region, RegionError> {
        let bytes = count
            .checked_mul(len)
            .filter(|&bytes| bytes > 0 && bytes <= REGION_LEN_MAX)
            .ok_or(RegionError::Size { count, len })?;
        let mapping = Mapping::anonymous(bytes)?;
        // SAFETY:
        // 1. The mapping moves into the region below and is dropped only after `remove` succeeded; it is
        //    leaked after `Stuck`.
        // 2. Accessors exist only on Page, Buffer and DescArray, which go by HW-1.
        let iova = match unsafe { domain.add(mapping.start(), mapping.len()) } {
            Ok(iova) => iova,
            Err(AddError::Exhausted(e)) => return Err(e.into()),
            Err(AddError::Refused(e)) => return Err(e.into()),
            Err(AddError::Stuck(e)) => {
                log::error!("{} bytes leak on purpose: a card may still see them", mapping.len());
                std::mem::forget(mapping);
                return Err(e.into());
            }
        };
        Ok(Region { domain: domain.clone(), iova, mapping: ManuallyDrop::new(mapping) })
    }

    /// Address of byte `offset` for the program. The caller keeps `offset` within the length.
    pub(crate) fn at(&self, offset: usize) -> NonNull<u8> {
        assert!(offset < self.mapping.len(), "offset inside the region");
        // SAFETY:
        // 1. `offset` is inside the one allocation that the mapping is (asserted above).
        unsafe { self.mapping.start().add(offset) }
    }

    /// Address of byte `offset` for a card.
    pub(crate) fn iova(&self, offset: usize) -> Iova {
        assert!(offset < self.mapping.len(), "offset inside the region");
        self.iova.offset(offset)
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        match self.domain.remove(self.iova, self.mapping.len()) {
            // SAFETY:
            // 1. `mapping` is not touched again: this is drop, and the field is dropped once, here.
            // 2. No card can reach the memory any more: `remove` says so.
            Ok(()) => unsafe { ManuallyDrop::drop(&mut self.mapping) },
            Err(refused) => {
                log::error!("{refused}: {}; {} bytes leak on purpose", refused.source, self.mapping.len());
            }
        }
    }
}
