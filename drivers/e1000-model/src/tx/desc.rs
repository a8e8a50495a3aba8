//! What transmit descriptors say (8254x SDM 3.3.3 to 3.3.7), and the checksums they ask for.
//!
//! Receives two quadwords as the driver wrote them, any bits at all, and hands on fields. Nothing
//! here touches memory or registers.

use naio_sys::checksum::Sum;

/// DD in the second quadword.
pub(crate) const DD: u64 = 1 << 32;

/// The three kinds of descriptors, and what is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Legacy,
    Context,
    Data,
    /// DEXT with a DTYP that nothing defines.
    Unknown(u32),
}

/// A descriptor as it was fetched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Descriptor {
    pub(crate) low: u64,
    pub(crate) high: u64,
}

impl Descriptor {
    pub(crate) fn new(low: u64, high: u64) -> Descriptor {
        Descriptor { low, high }
    }

    fn bit(self, n: u32) -> bool {
        self.high >> n & 1 != 0
    }

    pub(crate) fn kind(self) -> Kind {
        match (self.bit(29), self.high >> 20 & 0xf) {
            (false, _) => Kind::Legacy,
            (true, 0) => Kind::Context,
            (true, 1) => Kind::Data,
            (true, other) => Kind::Unknown(0x20 | other as u32),
        }
    }

    /// Bytes of the buffer.
    pub(crate) fn len(self) -> usize {
        let bits = if self.bit(29) { 0xf_ffff } else { 0xffff };
        (self.high & bits) as usize
    }

    pub(crate) fn eop(self) -> bool {
        self.bit(24)
    }

    pub(crate) fn ifcs(self) -> bool {
        self.bit(25)
    }

    /// TSE of extended descriptors; in legacy ones the bit is IC.
    pub(crate) fn tse(self) -> bool {
        self.bit(26) && self.bit(29)
    }

    pub(crate) fn rs(self) -> bool {
        self.bit(27)
    }

    /// 82544 only; reserved elsewhere.
    pub(crate) fn rps(self) -> bool {
        self.bit(28)
    }

    pub(crate) fn vle(self) -> bool {
        self.bit(30)
    }

    pub(crate) fn ide(self) -> bool {
        self.bit(31)
    }

    pub(crate) fn ixsm(self) -> bool {
        self.bit(40)
    }

    pub(crate) fn txsm(self) -> bool {
        self.bit(41)
    }

    pub(crate) fn special(self) -> u16 {
        (self.high >> 48) as u16
    }

    /// IC: sums from CSS to the end of the packet and stores at CSO. Out-of-range positions are
    /// ignored, as the datasheet says; the result tells whether they were in range.
    pub(crate) fn insert_legacy_checksum(self, bytes: &mut [u8], implemented: bool) -> bool {
        if !self.bit(26) || !implemented {
            return true;
        }
        let (start, at) = ((self.high >> 40 & 0xff) as usize, (self.high >> 16 & 0xff) as usize);
        if start >= bytes.len() || at + 1 >= bytes.len() {
            return false;
        }
        let sum = Sum::ZERO.bytes(&bytes[start..]).checksum();
        bytes[at..at + 2].copy_from_slice(&sum.to_be_bytes());
        true
    }
}

/// One checksum of a context: start, offset, inclusive end (0: the end of the packet).
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) offset: usize,
    pub(crate) end: usize,
}

impl Span {
    fn new(dword: u32) -> Span {
        let [start, offset, e0, e1] = dword.to_le_bytes();
        Span { start: start.into(), offset: offset.into(), end: u16::from_le_bytes([e0, e1]).into() }
    }

    /// Inserts the checksum; `extra` is added to what the field holds. False if it lies outside.
    fn insert(self, bytes: &mut [u8], extra: usize, zero_is_none: bool) -> bool {
        let end = if self.end == 0 { bytes.len() } else { (self.end + 1).min(bytes.len()) };
        if self.start >= end || self.offset + 2 > bytes.len() {
            return false;
        }
        let sum = Sum::ZERO.word(extra as u16).word((extra >> 16) as u16);
        let mut value = sum.bytes(&bytes[self.start..end]).checksum();
        if value == 0 && zero_is_none {
            value = 0xffff;
        }
        bytes[self.offset..self.offset + 2].copy_from_slice(&value.to_be_bytes());
        true
    }
}

/// A TCP/IP context; it stays until the next of its kind.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Context {
    pub(crate) ip: Span,
    pub(crate) transport: Span,
    pub(crate) payload_len: usize,
    pub(crate) header_len: usize,
    pub(crate) mss: usize,
    pub(crate) tcp: bool,
    pub(crate) ipv4: bool,
}

impl Context {
    pub(crate) fn new(descriptor: Descriptor) -> Context {
        let Descriptor { low, high } = descriptor;
        Context {
            ip: Span::new(low as u32),
            transport: Span::new((low >> 32) as u32),
            payload_len: (high & 0xf_ffff) as usize,
            header_len: (high >> 40 & 0xff) as usize,
            mss: (high >> 48) as usize,
            tcp: high >> 24 & 1 != 0,
            ipv4: high >> 25 & 1 != 0,
        }
    }

    /// Inserts what POPTS of the first data descriptor asks for. `length` is what segmentation adds
    /// to the pseudo-header's sum.
    pub(crate) fn insert(&self, first: Descriptor, bytes: &mut [u8], length: usize) -> bool {
        let ip = !first.ixsm() || self.ip.insert(bytes, 0, false);
        let transport = !first.txsm() || self.transport.insert(bytes, length, !self.tcp);
        ip && transport
    }
}
