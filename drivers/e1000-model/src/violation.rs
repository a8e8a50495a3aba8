//! What the driver did wrong: receives findings from every part of the card and keeps them, bounded,
//! for tests to assert that there are none. It never changes what the card does.

/// Most violations that are kept; more are only counted.
const VIOLATIONS_MAX: usize = 256;

/// Which of the two rings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ring {
    /// Receive descriptors.
    Receive,
    /// Transmit descriptors.
    Transmit,
}

/// A rule of the datasheet that the driver broke.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Wrong {
    /// A descriptor or buffer lies where the card sees nothing.
    #[error("DMA outside of the mapped memory: {len} bytes at {iova:#x}")]
    DmaOutside {
        /// Where.
        iova: u64,
        /// How much.
        len: usize,
    },
    /// A tail was set to an index that the ring does not have.
    #[error("tail {value} outside of a ring of {len}")]
    TailOutside {
        /// The index.
        value: u32,
        /// Descriptors of the ring.
        len: u32,
    },
    /// A tail was moved past the head: descriptors the card owns were given to it again.
    #[error("tail {value} gives descriptors that the card already owns")]
    TailOverrun {
        /// The new tail.
        value: u32,
    },
    /// A tail was written by an ordinary register write although it has a doorbell.
    #[error("tail at {offset:#x} written without its doorbell")]
    TailWithoutDoorbell {
        /// The register.
        offset: u32,
    },
    /// A ring register was written while its engine is on.
    #[error("ring register {offset:#x} written while the engine is enabled")]
    RingWhileEnabled {
        /// The register.
        offset: u32,
    },
    /// A base, length or head that makes no ring (8254x SDM 2.6).
    #[error("not a ring: base {base:#x}, {len} descriptors, head {head}")]
    NotARing {
        /// The base address.
        base: u64,
        /// Descriptors.
        len: u32,
        /// The head.
        head: u32,
    },
    /// The engine has work but the card may not master the bus.
    #[error("the engine is enabled but bus mastering is off")]
    NotBusMaster,
    /// A descriptor changed between the doorbell and its use.
    #[error("a descriptor changed while the card owned it")]
    DescriptorTouched,
    /// A buffer changed between the doorbell and its use.
    #[error("a buffer changed while the card owned it")]
    BufferTouched,
    /// Two descriptors that the card owns name one receive buffer.
    #[error("the receive buffer at {iova:#x} is posted twice")]
    BufferTwice {
        /// The buffer.
        iova: u64,
    },
    /// A receive descriptor without a buffer.
    #[error("a receive descriptor with address 0")]
    NullBuffer,
    /// A register was accessed between CTRL.RST and the end of the reset.
    #[error("register {offset:#x} accessed during reset")]
    AccessInReset {
        /// The register.
        offset: u32,
    },
    /// Reserved bits were written as ones.
    #[error("reserved bits {bits:#x} written to register {offset:#x}")]
    ReservedBits {
        /// The register.
        offset: u32,
        /// Which of them.
        bits: u32,
    },
    /// A delay began, or a neighbour was written, while a write may still be posted.
    #[error("no flush after the write to register {offset:#x}")]
    MissingFlush {
        /// The register that was written.
        offset: u32,
    },
    /// A register was written with less than 32 bits: the card ignores that.
    #[error("{len} bytes written at {offset:#x}: registers take 32 bits only")]
    NarrowWrite {
        /// Where.
        offset: u32,
        /// How many bytes.
        len: usize,
    },
    /// A read-only register was written.
    #[error("read-only register {offset:#x} written")]
    ReadOnly {
        /// The register.
        offset: u32,
    },
    /// EEPROM pins were moved without the grant.
    #[error("EEPROM pins moved without EECD.GNT")]
    EepromWithoutGrant,
    /// MDIC was written while an access was under way.
    #[error("MDIC written while an access is under way")]
    MdicBusy,
    /// A packet mixes kinds of descriptors, or a context came inside a packet.
    #[error("a packet mixes descriptor kinds")]
    MixedPacket,
    /// A descriptor type that the part does not have.
    #[error("descriptor type {kind:#x} is unknown to this part")]
    UnknownDescriptor {
        /// DEXT and DTYP.
        kind: u32,
    },
    /// A packet beyond 16288 bytes or beyond the transmit FIFO (8254x SDM 3.3.3).
    #[error("a packet of {len} bytes does not fit")]
    PacketTooLong {
        /// Its length.
        len: usize,
    },
    /// A packet of less than 48 bytes before padding (8254x SDM 13.4.33).
    #[error("a packet of {len} bytes is too short")]
    PacketTooShort {
        /// Its length.
        len: usize,
    },
    /// An offload names bytes that the packet does not have.
    #[error("an offload position lies outside of the packet")]
    OffloadOutside,
    /// Segmentation on a part without it, or with lengths that do not add up.
    #[error("segmentation context: header {header}, MSS {mss}, payload {payload}")]
    BadSegmentation {
        /// HDRLEN.
        header: usize,
        /// MSS.
        mss: usize,
        /// PAYLEN.
        payload: usize,
    },
    /// A segmentation of IPv6, whose payload length the card gets wrong (8254x SDM 3.5.7).
    #[error("segmentation of IPv6")]
    SegmentationOfIpv6,
    /// The header that is copied to each segment has an IPv4 length or checksum that is not 0 (8254x SDM 3.5.5).
    #[error("segmentation: the IPv4 length is {len:#x} and its checksum {checksum:#x}, not 0")]
    SegmentationHeader {
        /// Total length.
        len: u16,
        /// Header checksum.
        checksum: u16,
    },
    /// Headers of a segmentation lie in several buffers, and one of them is cut (8254x SDM 3.5.4).
    #[error("segmentation: a buffer ends {at} bytes into the headers, inside one of them")]
    HeaderCut {
        /// Where.
        at: usize,
    },
    /// An erratum of this part that a driver must work around (only where it is asked for).
    #[error("erratum not worked around: {what:?}")]
    Erratum {
        /// Which.
        what: crate::errata::Erratum,
    },
    /// TIDV is zero, which is not allowed (8254x SDM 13.4.44).
    #[error("TIDV is 0")]
    TidvZero,
}

/// One finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule.
    pub wrong: Wrong,
    /// The ring and descriptor, where there is one.
    pub place: Option<(Ring, u32)>,
    /// When, in nanoseconds of the card's clock.
    pub at_ns: u64,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ns: {}", self.at_ns, self.wrong)?;
        match self.place {
            Some((ring, index)) => write!(f, " ({ring:?} descriptor {index})"),
            None => Ok(()),
        }
    }
}

/// The findings so far.
#[derive(Debug, Default)]
pub(crate) struct Violations {
    kept: Vec<Violation>,
    count: u64,
}

impl Violations {
    pub(crate) fn add(&mut self, at_ns: u64, wrong: Wrong, place: Option<(Ring, u32)>) {
        self.count += 1;
        if self.kept.len() < VIOLATIONS_MAX {
            self.kept.push(Violation { wrong, place, at_ns });
        }
    }

    pub(crate) fn kept(&self) -> &[Violation] {
        &self.kept
    }

    pub(crate) fn take(&mut self) -> Vec<Violation> {
        self.count = 0;
        std::mem::take(&mut self.kept)
    }

    pub(crate) fn count(&self) -> u64 {
        self.count
    }
}
