//! Lengths of socket rings that smoltcp can live with.

/// Bytes of a socket's ring: 1 to 65 535, or exactly 65 535 << s with s up to 6.
///
/// smoltcp 0.14 advertises a SYN's window unscaled and later takes the same number as scaled. With
/// any other length it then accepts bytes beyond its own ring: stale bytes are delivered, or it
/// panics (RingBuffer::enqueue_unallocated). With these lengths the scaled window is the ring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RingLen(usize);

/// Largest window without scaling (RFC 9293 3.1).
const UNSCALED_MAX: usize = 65_535;
/// Largest shift we use; RFC 7323 2.3 would allow 14.
const SHIFT_MAX: usize = 6;

impl RingLen {
    /// The longest ring: 65 535 << 6, a little less than 4 MiB.
    pub const MAX: RingLen = RingLen(UNSCALED_MAX << SHIFT_MAX);

    /// The shortest legal ring that holds `bytes`; [`RingLen::MAX`] if none does.
    #[must_use]
    pub const fn at_least(bytes: usize) -> RingLen {
        if bytes == 0 {
            return RingLen(1);
        }
        if bytes <= UNSCALED_MAX {
            return RingLen(bytes);
        }
        let mut shift = 1;
        while shift < SHIFT_MAX && UNSCALED_MAX << shift < bytes {
            shift += 1;
        }
        RingLen(UNSCALED_MAX << shift)
    }

    /// Bytes.
    #[must_use]
    pub const fn bytes(self) -> usize {
        self.0
    }

    /// A length that breaks the rule, to show in tests what then happens.
    #[cfg(test)]
    pub(crate) const fn illegal(bytes: usize) -> RingLen {
        RingLen(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rule itself, as smoltcp 0.14 needs it.
    fn is_legal(bytes: usize) -> bool {
        bytes <= 65_535 || (0..=6).any(|s| bytes == 65_535 << s)
    }

    #[test]
    fn only_legal_lengths_can_be_made() {
        for bytes in (0..5 << 20).step_by(997).chain([65_535, 65_536, 1 << 18, 1 << 20, usize::MAX]) {
            let ring = RingLen::at_least(bytes);
            assert!(is_legal(ring.bytes()), "{bytes} gave {ring:?}");
            assert!(ring.bytes() >= bytes || ring == RingLen::MAX);
        }
        assert_eq!(RingLen::at_least(65_536).bytes(), 131_070);
    }
}
