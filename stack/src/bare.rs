//! A segment as smoltcp sees it: its headers, and zeros where its data would be.
//!
//! Receives headers and a length; hands on one packet, valid until the next. smoltcp stores what it accepts into the
//! socket's receive ring, which so never holds anything but zeros: the bytes themselves go another way
//! (`reassembly`).

/// IPv4 and TCP headers with all the options there can be: 60 bytes each; IPv6 has 40 and TCP's 60.
pub(crate) const HEADERS_MAX: usize = 120;
/// What an IPv4 packet's total length can say, and an IPv6 packet's payload length.
const LEN_MAX: usize = 65_535;

/// Headers end where zeros begin.
#[derive(Default)]
pub(crate) struct Bare(Box<[u8]>);

impl Bare {
    pub(crate) fn new() -> Bare {
        Bare(vec![0; HEADERS_MAX + LEN_MAX].into())
    }

    /// The packet with these headers and `len` bytes of data.
    #[inline]
    pub(crate) fn packet(&mut self, headers: &[u8], len: usize) -> &[u8] {
        debug_assert!(headers.len() <= HEADERS_MAX && len <= LEN_MAX, "the lengths have been proved");
        let start = HEADERS_MAX - headers.len().min(HEADERS_MAX);
        self.0[start..HEADERS_MAX].copy_from_slice(&headers[..HEADERS_MAX - start]);
        &self.0[start..HEADERS_MAX + len.min(LEN_MAX)]
    }
}
