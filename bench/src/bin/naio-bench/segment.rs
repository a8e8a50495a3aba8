//! Frames of a far end: segments back to whoever sent one, and answers to ARP.
//!
//! Receives a frame from naio and what is to be said; hands on the bytes, checksums right. It knows no connection.

use naio_sys::checksum::Sum;

/// The far end's station address and its IPv4 address.
const STATION: [u8; 6] = [2, 0, 0, 0, 0, 9];
pub(crate) const ADDRESS: [u8; 4] = [10, 0, 0, 2];
/// Flags (RFC 9293 3.1).
pub(crate) const SYN: u8 = 2;
pub(crate) const PSH: u8 = 8;
pub(crate) const ACK: u8 = 16;
/// Ethernet, IPv4 and TCP without options.
pub(crate) const HEADERS_LEN: usize = 54;
/// Shorter frames are none (IEEE 802.3 3.2.8), without FCS.
const FRAME_LEN_MIN: usize = 60;
/// Everything from the IPv4 header on.
const IP: usize = 14;
/// Everything from the TCP header on.
const TCP: usize = 34;
/// The far end's window, shifted by [`SHIFT`]: 8 MiB, so that it is never what limits.
const WINDOW: u16 = u16::MAX;
const SHIFT: u8 = 7;
/// MSS 1460, window scale, SACK permitted.
pub(crate) const OPTIONS: [u8; 12] = [2, 4, 0x05, 0xb4, 1, 3, 3, SHIFT, 1, 1, 4, 2];

/// Ethernet, IPv4 and TCP headers of what goes back to whoever sent `frame`; sequence numbers, flags, lengths and
/// checksums are [`complete`]'s.
pub(crate) fn header(frame: &[u8]) -> [u8; HEADERS_LEN] {
    let mut out = [0; HEADERS_LEN];
    out[..6].copy_from_slice(&frame[6..12]);
    out[6..12].copy_from_slice(&STATION);
    out[12..14].copy_from_slice(&[8, 0]);
    let ip = &mut out[IP..TCP];
    ip[0] = 0x45;
    ip[6] = 0x40;
    ip[8] = 64;
    ip[9] = 6;
    ip[12..16].copy_from_slice(&frame[30..34]);
    ip[16..20].copy_from_slice(&frame[26..30]);
    let tcp = &mut out[TCP..];
    tcp[..2].copy_from_slice(&frame[36..38]);
    tcp[2..4].copy_from_slice(&frame[34..36]);
    tcp[14..16].copy_from_slice(&WINDOW.to_be_bytes());
    out
}

/// Writes what changes from segment to segment into a frame whose headers, options and payload are there.
pub(crate) fn complete(frame: &mut [u8], options_len: usize, (seq, ack): (u32, u32), flags: u8) {
    let len = (frame.len() - IP) as u16;
    let (ip, tcp) = frame[IP..].split_at_mut(TCP - IP);
    ip[2..4].copy_from_slice(&len.to_be_bytes());
    ip[10..12].fill(0);
    let sum = Sum::ZERO.bytes(ip).checksum();
    ip[10..12].copy_from_slice(&sum.to_be_bytes());
    tcp[4..8].copy_from_slice(&seq.to_be_bytes());
    tcp[8..12].copy_from_slice(&ack.to_be_bytes());
    tcp[12] = ((20 + options_len) as u8 / 4) << 4;
    tcp[13] = flags;
    tcp[16..18].fill(0);
    let pseudo = Sum::ZERO.bytes(&ip[12..20]).word(6).word(len - 20);
    let sum = pseudo.bytes(tcp).checksum();
    tcp[16..18].copy_from_slice(&sum.to_be_bytes());
}

/// A segment without payload back to whoever sent `frame`.
pub(crate) fn answer(frame: &[u8], numbers: (u32, u32), flags: u8, options: &[u8]) -> Vec<u8> {
    let mut out = [&header(frame)[..], options].concat();
    complete(&mut out, options.len(), numbers, flags);
    out.resize(out.len().max(FRAME_LEN_MIN), 0);
    out
}

/// The answer to a request for our station address.
pub(crate) fn arp_reply(request: &[u8]) -> Vec<u8> {
    let mut out = request[6..12].to_vec();
    out.extend(STATION);
    out.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 2]);
    out.extend(STATION);
    out.extend(ADDRESS);
    out.extend(&request[22..32]);
    out.resize(FRAME_LEN_MIN, 0);
    out
}

/// What a far end looks at in a segment of naio's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    /// naio's port, which names the connection.
    pub(crate) port: u16,
    pub(crate) seq: u32,
    pub(crate) ack: u32,
    pub(crate) flags: u8,
    pub(crate) window: u16,
    /// Shift of the window scale option, in a SYN.
    pub(crate) shift: Option<u8>,
    /// Bytes of payload.
    pub(crate) payload: u32,
}

/// Reads an IPv4 frame with a TCP segment.
pub(crate) fn read(frame: &[u8]) -> Seen {
    let word = |at: usize| u16::from_be_bytes([frame[at], frame[at + 1]]);
    let long = |at: usize| u32::from(word(at)) << 16 | u32::from(word(at + 2));
    let header = TCP + usize::from(frame[46] >> 4) * 4;
    Seen {
        port: word(34),
        seq: long(38),
        ack: long(42),
        flags: frame[47],
        window: word(48),
        shift: shift(&frame[HEADERS_LEN..header]),
        payload: (IP + usize::from(word(16)) - header) as u32,
    }
}

/// The window scale option (RFC 7323 2.2) among these.
fn shift(mut options: &[u8]) -> Option<u8> {
    loop {
        match *options {
            [3, 3, shift, ..] => return Some(shift),
            [1, ref rest @ ..] => options = rest,
            [kind, len, ..] if kind > 1 && len > 1 => options = options.get(usize::from(len)..)?,
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_scale_is_found_among_other_options() {
        assert_eq!(shift(&OPTIONS), Some(SHIFT));
        assert_eq!(shift(&[1, 1, 4, 2]), None);
        assert_eq!(shift(&[2, 4, 5]), None, "cut off");
        assert_eq!(shift(&[]), None);
    }

    #[test]
    fn what_is_written_reads_back_and_its_checksums_are_right() {
        let frame = [0; HEADERS_LEN];
        let mut out = [&header(&frame)[..], &[7; 5]].concat();
        complete(&mut out, 0, (9, 11), ACK | PSH);
        let seen = read(&out);
        assert_eq!((seen.seq, seen.ack, seen.flags, seen.payload), (9, 11, ACK | PSH, 5));
        assert!(Sum::ZERO.bytes(&out[IP..TCP]).is_valid());
        let pseudo = Sum::ZERO.bytes(&out[26..34]).word(6).word(25);
        assert!(pseudo.bytes(&out[TCP..]).is_valid());
    }
}
