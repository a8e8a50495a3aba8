//! The internet checksum in its plainest form (RFC 1071), to check the fast one against.
//!
//! Receives frames and says whether their checksums are right, or completes one the way a card
//! does. It shares no code with `naio_sys::checksum`.

/// Bytes of an Ethernet header.
const ETHER_LEN: usize = 14;

/// The folded ones' complement sum of `pieces`, one after the other; only the last may be odd.
#[must_use]
pub fn folded(pieces: &[&[u8]]) -> u16 {
    let mut total = 0u64;
    for piece in pieces {
        for pair in piece.chunks(2) {
            total += u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0));
        }
    }
    while total > 0xffff {
        total = (total & 0xffff) + (total >> 16);
    }
    total as u16
}

/// Whether every checksum of a frame is right: IPv4 header, and TCP, UDP or ICMP. Frames that are
/// fragments, or no IP, have nothing to be wrong; nor have IPv6 extension headers.
#[must_use]
pub fn frame_is_right(frame: &[u8]) -> bool {
    let Some(ip) = frame.get(ETHER_LEN..) else { return true };
    if frame[12..14] == [0x86, 0xdd] {
        return ipv6_is_right(ip);
    }
    if frame[12..14] != [8, 0] || ip.len() < 20 {
        return true;
    }
    let header_len = usize::from(ip[0] & 15) * 4;
    let total_len = usize::from(u16::from_be_bytes([ip[2], ip[3]]));
    if header_len < 20 || total_len < header_len || total_len > ip.len() {
        return false;
    }
    if folded(&[&ip[..header_len]]) != 0xffff {
        return false;
    }
    let fragmented = u16::from_be_bytes([ip[6], ip[7]]) & 0x3fff != 0;
    let payload = &ip[header_len..total_len];
    match ip[9] {
        _ if fragmented => true,
        1 => folded(&[payload]) == 0xffff,
        6 | 17 => {
            let len = (payload.len() as u16).to_be_bytes();
            folded(&[&ip[12..20], &[0, ip[9]], &len, payload]) == 0xffff
        }
        _ => true,
    }
}

fn ipv6_is_right(ip: &[u8]) -> bool {
    let Some(payload) = ip.get(40..40 + usize::from(u16::from_be_bytes([ip[4], ip[5]]))) else {
        return false;
    };
    let len = (payload.len() as u16).to_be_bytes();
    match ip[6] {
        6 | 17 | 58 => folded(&[&ip[8..40], &[0, ip[6]], &len, payload]) == 0xffff,
        _ => true,
    }
}

/// Completes a partial checksum as an 8254x does: sums from `start` to the end of the frame (the
/// field holds the sum of the pseudo-header), inverts, stores at `start + offset`.
///
/// # Panics
/// If the field is not inside the frame.
pub fn complete(frame: &mut [u8], start: usize, offset: usize) {
    let checksum = !folded(&[&frame[start..]]);
    frame[start + offset..start + offset + 2].copy_from_slice(&checksum.to_be_bytes());
}

#[cfg(test)]
mod tests {
    use crate::segment::Segment;

    #[test]
    fn etherparse_and_the_plain_sum_agree() {
        let frame = Segment::new([10, 0, 0, 1], 1, [10, 0, 0, 2], 2).payload(b"odd").ethernet([2; 6], [4; 6]);
        assert!(super::frame_is_right(&frame));
        let mut bad = frame.clone();
        *bad.last_mut().expect("not empty") ^= 1;
        assert!(!super::frame_is_right(&bad));
    }
}
