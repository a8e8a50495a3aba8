//! Descriptor layouts (8254x SDM 3.2.3, 3.3.3 to 3.3.7), as the two quadwords of a ring slot.
//!
//! The first quadword is the buffer address everywhere but in a context descriptor. Bit numbers are
//! those of the second quadword: the datasheet's dword 2 is its low, dword 3 its high half.

use naio_nic::TxChecksum;
use naio_nic::tx::TxProtocol;

/// Receive, legacy layout: the only one of this family.
pub(crate) mod rx {
    /// Descriptor done.
    pub(crate) const DD: u64 = 1 << 32;
    /// End of packet.
    pub(crate) const EOP: u64 = 1 << 33;
    /// Ignore the checksum indications.
    pub(crate) const IXSM: u64 = 1 << 34;
    /// TCP or UDP checksum was computed.
    pub(crate) const TCPCS: u64 = 1 << 37;
    /// IP checksum was computed.
    pub(crate) const IPCS: u64 = 1 << 38;
    /// CE, SE, SEQ, CXE and RXE: the frame itself is bad (8254x fact sheet 3.1).
    pub(crate) const FRAME_ERRORS: u64 = 0x97 << 40;
    /// TCP or UDP checksum is wrong.
    pub(crate) const TCPE: u64 = 1 << 45;
    /// IP checksum is wrong.
    pub(crate) const IPE: u64 = 1 << 46;

    /// Bytes in this buffer.
    pub(crate) const fn len(word: u64) -> usize {
        word as u16 as usize
    }
}

/// Transmit, extended layout (DEXT = 1).
pub(crate) mod tx {
    pub(crate) const DTYP_DATA: u64 = 1 << 20;
    pub(crate) const EOP: u64 = 1 << 24;
    pub(crate) const IFCS: u64 = 1 << 25;
    /// Cut into segments; in a context, the one for that.
    pub(crate) const TSE: u64 = 1 << 26;
    pub(crate) const RS: u64 = 1 << 27;
    pub(crate) const DEXT: u64 = 1 << 29;
    /// Descriptor done, where RS was set.
    pub(crate) const DD: u64 = 1 << 32;
    /// POPTS: insert the IPv4 header checksum.
    pub(crate) const IXSM: u64 = 1 << 40;
    /// POPTS: insert the TCP or UDP checksum.
    pub(crate) const TXSM: u64 = 1 << 41;
    /// Bytes of the buffer.
    pub(crate) const LEN: u64 = 0xf_ffff;
    /// HDRLEN and MSS of a context.
    pub(crate) const HDRLEN_SHIFT: u32 = 40;
    pub(crate) const MSS_SHIFT: u32 = 48;
    /// TUCMD of a context: the transport is TCP.
    pub(crate) const TUCMD_TCP: u64 = 1 << 24;
    /// TUCMD of a context: the network is IPv4.
    pub(crate) const TUCMD_IP: u64 = 1 << 25;
}

/// Both quadwords of the context that makes the card complete `checksum` (8254x SDM 3.3.6).
///
/// Every offset of it fits a byte; [`Offload::can`](crate::offload::Offload::can) has seen to that.
pub(crate) fn context(checksum: TxChecksum) -> (u64, u64) {
    let ip = u64::from(checksum.ip_start);
    let transport = u64::from(checksum.start);
    // IPCSE is inclusive; IPv6 has no header checksum, and 0 is what the SDM asks for there.
    let ip_end = if checksum.ipv4 { transport.saturating_sub(1) } else { 0 };
    // The IPv4 checksum is at byte 10 of its header. Set for IPv6 too, though unused.
    let ipcs = ip | (ip + 10) << 8 | ip_end << 16;
    // TUCSE 0: to the end of the packet.
    let tucs = transport | (transport + u64::from(checksum.offset())) << 8;
    let mut command = tx::DEXT;
    if checksum.protocol == TxProtocol::Tcp {
        command |= tx::TUCMD_TCP;
    }
    if checksum.ipv4 {
        command |= tx::TUCMD_IP;
    }
    (ipcs | tucs << 32, command)
}

/// Both quadwords of the context that makes the card cut `payload` bytes behind a header of `header_len` bytes
/// into segments of `mss` (8254x SDM 3.5.5). The header is at most 128 bytes, the payload within 20 bits.
pub(crate) fn segmentation(checksum: TxChecksum, header_len: usize, mss: u16, payload: u32) -> (u64, u64) {
    let (low, command) = context(checksum);
    let lengths = (header_len as u64) << tx::HDRLEN_SHIFT | u64::from(mss) << tx::MSS_SHIFT;
    (low, command | tx::TSE | lengths | u64::from(payload))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tcp_context_has_the_layout_of_sdm_3_3_6() {
        let checksum = TxChecksum { protocol: TxProtocol::Tcp, ipv4: true, ip_start: 14, start: 34 };
        let (low, high) = context(checksum);
        // IPCSS 14, IPCSO 24, IPCSE 33; TUCSS 34, TUCSO 50, TUCSE 0.
        assert_eq!(low, 0x0000_3222_0021_180e);
        // DEXT, TCP, IP; DTYP 0.
        assert_eq!(high, 0x2300_0000);
    }

    #[test]
    fn a_segmentation_context_has_the_layout_of_sdm_3_5_5() {
        let checksum = TxChecksum { protocol: TxProtocol::Tcp, ipv4: true, ip_start: 14, start: 34 };
        let (low, high) = segmentation(checksum, 54, 1460, 65_000);
        assert_eq!(low, context(checksum).0);
        // MSS 1460, HDRLEN 54; DEXT, TSE, IP, TCP; PAYLEN 65000.
        assert_eq!(high, 0x05b4_3600_2700_fde8);
    }
}
