//! A region: one mapping of memory, visible to every card of its domain, freed only when no card
//! can reach it any more. The other files of this room carve it into pages, rings and buffers.
#![allow(unsafe_code, reason = "raw memory shared with a device")]

use crate::domain::{Access, AddError, Domain, MapRefused, Visible};
use crate::iova::{Iova, IovaExhausted};
use naio_sys::mapping::{FileMapping, Mapping, MappingError, PAGE_LEN};
use std::fs::File;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::Arc;

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
    /// Memory that was brought along does not consist of whole pages.
    #[error(
        "memory at {start:#x}, {len} bytes, is not made of whole pages: both must be multiples of {PAGE_LEN}"
    )]
    Alignment {
        /// Its address.
        start: usize,
        /// Its length.
        len: usize,
    },
    /// Pools are told apart by number, and there is none left.
    #[error("this process has made as many pools of pages as there are numbers for them: 4 billion")]
    Pools,
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
pub(crate) const REGION_LEN_MAX: usize = 1 << 31;

/// Memory with an owner who frees it when dropped.
pub(crate) struct Memory {
    start: NonNull<u8>,
    len: usize,
    _owner: Owner,
}

/// Who owns memory.
#[expect(dead_code, reason = "an owner is kept to be dropped")]
enum Owner {
    /// Ours.
    Mapping(Mapping),
    /// A window of a file, which nobody may look into.
    File(FileMapping),
    /// Brought along; the owner keeps it valid and never touches it, as promised to `Buffer::register`.
    Foreign(Box<dyn Send + Sync>),
}

// SAFETY:
// 1. The mappings are `Send`, and so is the owner; the address of foreign memory is used under the rules of the
//    region's users, which hold on every thread.
unsafe impl Send for Memory {}
// SAFETY:
// 1. As above: shared access reads two plain fields.
unsafe impl Sync for Memory {}

impl Memory {
    fn of_mapping(mapping: Mapping) -> Memory {
        Memory { start: mapping.start(), len: mapping.len(), _owner: Owner::Mapping(mapping) }
    }

    fn of_file(mapping: FileMapping) -> Memory {
        Memory { start: mapping.start(), len: mapping.len(), _owner: Owner::File(mapping) }
    }
}

pub(crate) struct Region {
    domain: Domain,
    iova: Iova,
    /// Dropped by hand: only after every card lost sight of it.
    memory: ManuallyDrop<Memory>,
}

impl Region {
    /// Memory for `count` pieces of `len` bytes, zeroed.
    pub(crate) fn new(
        domain: &Domain,
        count: usize,
        len: usize,
        access: Access,
    ) -> Result<Region, RegionError> {
        let bytes = count
            .checked_mul(len)
            .filter(|&bytes| bytes > 0 && bytes <= REGION_LEN_MAX)
            .ok_or(RegionError::Size { count, len })?;
        Region::of_mapping(domain, Mapping::anonymous(bytes)?, access)
    }

    /// A mapping of ours.
    pub(crate) fn of_mapping(
        domain: &Domain,
        mapping: Mapping,
        access: Access,
    ) -> Result<Region, RegionError> {
        if access == Access::Read {
            // Else the card might go on seeing the kernel's page of zeros after the program's first write.
            mapping.populate()?;
        }
        // SAFETY:
        // 1. The mapping is owned, and dropped by nobody but the region.
        // 2. Accessors exist only on Page, Buffer and DescArray, which go by HW-1.
        // 3. It maps no file that can be cut: anonymous memory, or a memfd sealed against it.
        unsafe { Region::show(domain, Memory::of_mapping(mapping), access, None) }
    }

    /// A window of `file` from `offset`, to be read by cards; there must be no accessor to it.
    pub(crate) fn of_file(
        domain: &Domain,
        mapping: FileMapping,
        file: &Arc<File>,
        offset: u64,
    ) -> Result<Region, RegionError> {
        // SAFETY:
        // 1. The mapping is owned, and dropped by nobody but the region.
        // 2. Nobody in the program accesses it: `FileWindow` has no accessor, and `Bus` asks the file.
        // 3. It says so.
        unsafe { Region::show(domain, Memory::of_file(mapping), Access::Read, Some((file.clone(), offset))) }
    }

    /// Memory that was brought along.
    ///
    /// # Safety
    /// 1. `start..start + len` is memory, mapped for reading and writing, until `owner` is dropped.
    /// 2. Nobody but the region's holder accesses it meanwhile.
    /// 3. It maps no file that anybody could cut.
    pub(crate) unsafe fn of_foreign(
        domain: &Domain,
        start: NonNull<u8>,
        len: usize,
        owner: Box<dyn Send + Sync>,
    ) -> Result<Region, RegionError> {
        let at = start.as_ptr() as usize;
        if len == 0 || len > REGION_LEN_MAX {
            return Err(RegionError::Size { count: 1, len });
        }
        if !at.is_multiple_of(PAGE_LEN) || !len.is_multiple_of(PAGE_LEN) {
            return Err(RegionError::Alignment { start: at, len });
        }
        // SAFETY:
        // 1. Whole pages (checked above), mapped for reading and writing (the caller's promise 1).
        unsafe { naio_sys::mapping::populate(start, len) }?;
        let memory = Memory { start, len, _owner: Owner::Foreign(owner) };
        // SAFETY:
        // 1. to 3. are the caller's promises, word for word; the owner lives in the region.
        unsafe { Region::show(domain, memory, Access::Read, None) }
    }

    /// Shows memory to every card.
    ///
    /// # Safety
    /// 1. The memory stays mapped until `memory` is dropped.
    /// 2. Who accesses it goes by HW-1.
    /// 3. If it maps a file that can be cut, `file` says so, and nobody accesses it.
    unsafe fn show(
        domain: &Domain,
        memory: Memory,
        access: Access,
        file: Option<(Arc<File>, u64)>,
    ) -> Result<Region, RegionError> {
        let visible = Visible { start: memory.start, len: memory.len, access, file };
        // SAFETY:
        // 1. The memory moves into the region below and is dropped only after `remove` succeeded; it is
        //    leaked after `Stuck`.
        // 2. and 3. are the caller's promises.
        let iova = match unsafe { domain.add(visible) } {
            Ok(iova) => iova,
            Err(AddError::Exhausted(e)) => return Err(e.into()),
            Err(AddError::Refused(e)) => return Err(e.into()),
            Err(AddError::Stuck(e)) => {
                log::error!("{} bytes leak on purpose: a card may still see them", memory.len);
                std::mem::forget(memory);
                return Err(e.into());
            }
        };
        Ok(Region { domain: domain.clone(), iova, memory: ManuallyDrop::new(memory) })
    }

    /// Length in bytes.
    pub(crate) fn len(&self) -> usize {
        self.memory.len
    }

    /// Address of the first byte for the program.
    #[inline]
    pub(crate) fn start(&self) -> NonNull<u8> {
        self.memory.start
    }

    /// Address of the first byte for a card.
    #[inline]
    pub(crate) fn first(&self) -> Iova {
        self.iova
    }

    /// Address of byte `offset` for the program. The caller keeps `offset` within the length.
    #[inline]
    pub(crate) fn at(&self, offset: usize) -> NonNull<u8> {
        assert!(offset < self.memory.len, "offset inside the region");
        // SAFETY:
        // 1. `offset` is inside the one allocation that the memory is (asserted above).
        unsafe { self.memory.start.add(offset) }
    }

    /// Address of byte `offset` for a card.
    #[inline]
    pub(crate) fn iova(&self, offset: usize) -> Iova {
        assert!(offset < self.memory.len, "offset inside the region");
        self.iova.offset(offset)
    }
}

impl Drop for Region {
    fn drop(&mut self) {
        match self.domain.remove(self.iova, self.memory.len) {
            // SAFETY:
            // 1. `memory` is not touched again: this is drop, and the field is dropped once, here.
            // 2. No card can reach the memory any more: `remove` says so.
            Ok(()) => unsafe { ManuallyDrop::drop(&mut self.memory) },
            Err(refused) => {
                log::error!("{refused}: {}; {} bytes leak on purpose", refused.source, self.memory.len);
            }
        }
    }
}
