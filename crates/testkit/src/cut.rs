//! A long TCP packet becomes segments: this crate's own reading of the contract of `TxPacket::mss`.
//!
//! Receives a packet whose bytes have been fetched and hands on the frames, each written from the packet's headers
//! anew. It insists on every clause of the contract, and says which one a sender broke.

use crate::sum;
use naio_nic::tx::{PACKET_LEN_MAX, TxProtocol};
use naio_nic::{TxChecksum, TxPacket};

/// FIN and PSH (RFC 9293 3.1).
const LAST_ONLY: u8 = 0b1001;

/// The frames of a packet that is to be cut, not padded; `bytes` are its header and fragments.
///
/// # Panics
/// If the packet is not as the contract wants it.
#[must_use]
pub fn segments(packet: &TxPacket, bytes: &[u8]) -> Vec<Vec<u8>> {
    let mss = usize::from(packet.mss.expect("a packet that is to be cut says into what").get());
    let checksum = packet.checksum.expect("a packet that is to be cut leaves its checksum to the card");
    check(packet, checksum, bytes);
    let (header, payload) = bytes.split_at(packet.header.len());
    let count = payload.len().div_ceil(mss).max(1);
    let segment = |n: usize| {
        let from = n * mss;
        let to = payload.len().min(from + mss);
        write(checksum, header, &payload[from..to], (n, from as u32, n + 1 == count))
    };
    (0..count).map(segment).collect()
}

/// One segment: the `n`th, `offset` bytes into the payload.
fn write(
    checksum: TxChecksum,
    header: &[u8],
    payload: &[u8],
    (n, offset, is_last): (usize, u32, bool),
) -> Vec<u8> {
    let mut frame = [header, payload].concat();
    let len = frame.len();
    let (ip, tcp) = (usize::from(checksum.ip_start), usize::from(checksum.start));
    if checksum.ipv4 {
        let id = word(&frame, ip + 4).wrapping_add(n as u16);
        set(&mut frame, ip + 2, (len - ip) as u16);
        set(&mut frame, ip + 4, id);
        set(&mut frame, ip + 10, 0);
        let sum = !sum::folded(&[&frame[ip..tcp]]);
        set(&mut frame, ip + 10, sum);
    } else {
        set(&mut frame, ip + 4, (len - ip - 40) as u16);
    }
    let first = u32::from(word(&frame, tcp + 4)) << 16 | u32::from(word(&frame, tcp + 6));
    let sequence = first.wrapping_add(offset);
    set(&mut frame, tcp + 4, (sequence >> 16) as u16);
    set(&mut frame, tcp + 6, sequence as u16);
    if !is_last {
        frame[tcp + 13] &= !LAST_ONLY;
    }
    let seed = sum::folded(&[&frame[tcp + 16..tcp + 18], &((len - tcp) as u16).to_be_bytes()]);
    set(&mut frame, tcp + 16, seed);
    sum::complete(&mut frame, tcp, 16);
    frame
}

fn check(packet: &TxPacket, checksum: TxChecksum, bytes: &[u8]) {
    let header = &packet.header;
    let (ip, tcp) = (usize::from(checksum.ip_start), usize::from(checksum.start));
    assert_eq!(checksum.protocol, TxProtocol::Tcp, "only TCP can be cut");
    assert!(bytes.len() <= PACKET_LEN_MAX, "a packet of {} bytes", bytes.len());
    assert!(packet.fragments.iter().all(|fragment| fragment.slice.len() > 0), "a fragment without a byte");
    assert!(ip < tcp && tcp + 20 <= header.len(), "headers at {ip} and {tcp} of {}", header.len());
    let version = if checksum.ipv4 { 4 } else { 6 };
    assert_eq!(header[ip] >> 4, version, "the IP version");
    if checksum.ipv4 {
        assert_eq!(ip + usize::from(header[ip] & 15) * 4, tcp, "the IP header ends where TCP begins");
    }
    let tcp_len = usize::from(header[tcp + 12] >> 4) * 4;
    assert_eq!(tcp + tcp_len, header.len(), "the header ends where the TCP header ends");
    let addresses = if checksum.ipv4 { ip + 12..ip + 20 } else { ip + 8..ip + 40 };
    let seed = sum::folded(&[&header[addresses], &[0, 6]]);
    let field = word(header, tcp + 16);
    // Zero has two forms in ones' complement.
    assert!(field == seed || field % 0xffff == seed % 0xffff, "the seed is {field:#x}, not {seed:#x}");
}

fn word(bytes: &[u8], at: usize) -> u16 {
    u16::from_be_bytes([bytes[at], bytes[at + 1]])
}

fn set(bytes: &mut [u8], at: usize, value: u16) {
    bytes[at..at + 2].copy_from_slice(&value.to_be_bytes());
}
