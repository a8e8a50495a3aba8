//! Frames of the peer, of every kind that the stack reads, and what it learns from ours.

use super::script::Script;
use super::segments::Connection;
use naio_testkit::Udp;
use naio_testkit::packets::{cut, ip};
use naio_testkit::segment::arp;
use naio_testkit::sum;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

pub(crate) const US: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
pub(crate) const THEM: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
pub(crate) const US6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1);
pub(crate) const THEM6: Ipv6Addr = Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 2);
pub(crate) const GROUP: Ipv4Addr = Ipv4Addr::new(239, 1, 2, 3);
pub(crate) const OUR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
pub(crate) const THEIR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 2];
const ALL_NODES: Ipv6Addr = Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1);
pub(super) const FRAME_MAX: usize = 1_514;
/// Frames of ours that it can quote.
const SENT_MAX: usize = 16;

/// The peer: what it has heard.
#[derive(Default)]
pub(crate) struct Peer {
    pub(super) connections: Vec<Connection>,
    sent: Vec<Vec<u8>>,
    /// Our link-local address and others that were told.
    pub(crate) ours: Vec<Ipv6Addr>,
    pub(super) next: usize,
}

/// Makes the checksums of a frame right, as far as its lengths allow.
pub(crate) fn repair(frame: &mut [u8]) {
    let Some((ether, packet)) = frame.split_at_mut_checked(14) else { return };
    let (start, protocol, addresses) = match (ether[12], ether[13], packet.len()) {
        (8, 0, 20..) => {
            let header_len = (usize::from(packet[0] & 15) * 4).clamp(20, packet.len());
            packet[10..12].fill(0);
            let checksum = !sum::folded(&[&packet[..header_len]]);
            packet[10..12].copy_from_slice(&checksum.to_be_bytes());
            (header_len, packet[9], 12..20)
        }
        (0x86, 0xdd, 40..) => (40, packet[6], 8..40),
        _ => return,
    };
    let end = match ether[12] {
        8 => usize::from(u16::from_be_bytes([packet[2], packet[3]])),
        _ => 40 + usize::from(u16::from_be_bytes([packet[4], packet[5]])),
    };
    let addresses = packet[addresses].to_vec();
    let Some(bytes) = packet.get_mut(start..end) else { return };
    let at = match protocol {
        6 => 16,
        17 => 6,
        1 | 58 => 2,
        _ => return,
    };
    let Some(field) = bytes.get_mut(at..at + 2) else { return };
    field.fill(0);
    let len = (bytes.len() as u16).to_be_bytes();
    let pseudo = [&addresses[..], &[0, protocol], &len];
    let sum = if protocol == 1 {
        sum::folded(&[bytes])
    } else {
        sum::folded(&[pseudo[0], pseudo[1], pseudo[2], bytes])
    };
    bytes[at..at + 2].copy_from_slice(&(!sum).to_be_bytes());
}

impl Peer {
    /// A frame of ours: the peer hears it. What it answers without being told to.
    pub(crate) fn hear(&mut self, frame: &[u8], is_there: bool) -> Option<Vec<u8>> {
        if self.sent.len() == SENT_MAX {
            self.sent.remove(0);
        }
        self.sent.push(frame.to_vec());
        match frame[12..14] {
            [8, 6] if is_there && frame[38..42] == THEM.octets() && frame[21] == 1 => {
                Some(arp(OUR_MAC, 2, (THEIR_MAC, THEM.octets()), (OUR_MAC, US.octets())))
            }
            [8, 0] if frame[23] == 6 => {
                let address =
                    |at: usize| IpAddr::from(<[u8; 4]>::try_from(&frame[at..at + 4]).expect("four"));
                let len = usize::from(u16::from_be_bytes([frame[16], frame[17]]));
                self.hear_tcp((address(26), address(30)), &frame[34..14 + len]);
                None
            }
            [0x86, 0xdd] if frame[20] == 6 => {
                let address =
                    |at: usize| IpAddr::from(<[u8; 16]>::try_from(&frame[at..at + 16]).expect("sixteen"));
                self.hear_tcp((address(22), address(38)), &frame[54..]);
                None
            }
            [0x86, 0xdd]
                if is_there && frame[20] == 58 && frame[54] == 135 && frame[62..78] == THEM6.octets() =>
            {
                let mut answer = vec![136, 0, 0, 0, 0x60, 0, 0, 0];
                answer.extend(THEM6.octets());
                answer.extend([2, 1]);
                answer.extend(THEIR_MAC);
                let source: [u8; 16] = frame[22..38].try_into().expect("sixteen");
                Some(icmp6(OUR_MAC, (THEM6, source.into()), 255, &answer))
            }
            _ => None,
        }
    }

    pub(crate) fn datagram(&mut self, script: &mut Script<'_>) -> Vec<Vec<u8>> {
        let shape = script.byte();
        let port = [9, 53, 77, 68][usize::from(shape & 3)];
        let from_port = [7, 53, 67, 7][usize::from(shape >> 2 & 3)];
        let len = if shape & 0x80 == 0 { script.below(200) } else { usize::from(script.half()) % 9_000 };
        let mut data = script.some(len.min(64)).to_vec();
        data.resize(len, shape);
        if shape & 0x10 != 0 {
            data.truncate(1_400);
            return vec![Udp::new((THEM6, from_port), (US6, port), &data).ethernet(THEIR_MAC, OUR_MAC)];
        }
        let (mac, to) = match shape >> 5 & 3 {
            0 | 1 => (OUR_MAC, US),
            2 => ([1, 0, 0x5e, 1, 2, 3], GROUP),
            _ => ([0xff; 6], Ipv4Addr::BROADCAST),
        };
        let frame = Udp::new((THEM, from_port), (to, port), &data).ethernet(THEIR_MAC, mac);
        if frame.len() <= FRAME_MAX {
            return vec![frame];
        }
        let step = script.choice(&[1_480, 1_000, 512]);
        let mut pieces = cut(&frame, step, script.byte().into());
        let order = script.byte();
        if order & 1 != 0 {
            pieces.reverse();
        }
        if order & 2 != 0 {
            pieces.remove(usize::from(order >> 2) % pieces.len());
        }
        pieces
    }

    /// A fragment of nothing in particular, of either version.
    pub(crate) fn fragment(&mut self, script: &mut Script<'_>) -> Vec<u8> {
        let (id, field) = (script.byte() & 7, script.half());
        let protocol = script.choice(&[17, 6, 1, 58, 44, 0, 60]);
        let len = script.choice(&[8, 16, 64, 512, 7, 0, 1_400]);
        if script.byte() & 1 == 0 {
            let mut frame =
                ip((THEIR_MAC, OUR_MAC), (THEM.into(), US.into()), (protocol, 64), &vec![field as u8; len]);
            frame[18..20].copy_from_slice(&[0, id]);
            frame[20..22].copy_from_slice(&(field & 0x3fff).to_be_bytes());
            frame[24..26].fill(0);
            let checksum = !sum::folded(&[&frame[14..34]]);
            frame[24..26].copy_from_slice(&checksum.to_be_bytes());
            return frame;
        }
        let [high, low] = field.to_be_bytes();
        let mut bytes = vec![protocol, 0, high, low & 0xf9, 0, 0, 0, id];
        bytes.extend(vec![low; len]);
        ip((THEIR_MAC, OUR_MAC), (THEM6.into(), US6.into()), (44, 64), &bytes)
    }

    pub(crate) fn address_resolution(&mut self, script: &mut Script<'_>) -> Vec<u8> {
        let shape = script.byte();
        let mac = [THEIR_MAC, [2, 0, 0, 0, 9, shape], [0xff; 6], OUR_MAC][usize::from(shape & 3)];
        let sender =
            [THEM.octets(), [10, 0, 0, script.byte()], US.octets(), [0; 4]][usize::from(shape >> 2 & 3)];
        let target = if shape & 0x10 == 0 { US.octets() } else { [10, 0, 0, script.byte()] };
        let to = if shape & 0x20 == 0 { OUR_MAC } else { [0xff; 6] };
        arp(to, 1 + u16::from(shape >> 6 & 1), (mac, sender), ([0; 6], target))
    }

    pub(crate) fn discovery(&mut self, script: &mut Script<'_>) -> Vec<u8> {
        let kind = script.choice(&[134, 135, 136, 134, 133, 137, 130, 143]);
        let shape = script.byte();
        let mut message = vec![kind, 0, 0, 0, script.byte(), shape, 0, script.byte()];
        let target = self.ours.get(usize::from(shape & 3)).copied().unwrap_or(THEM6);
        if kind == 134 {
            message.extend([0; 8]);
        } else {
            message.extend(if shape & 4 == 0 { target } else { THEM6 }.octets());
        }
        for _ in 0..shape >> 3 & 3 {
            match script.below(3) {
                0 => {
                    message.extend([1 + (shape & 1), 1]);
                    message.extend(THEIR_MAC);
                }
                1 => {
                    message.extend([3, 4, 64, 0xc0, 0, 0, script.byte(), 1, 0, 0, 0, 1, 0, 0, 0, 0]);
                    message
                        .extend(Ipv6Addr::new(0x2001, 0xdb8, script.byte().into(), 0, 0, 0, 0, 0).octets());
                }
                _ => message.extend(script.some(10)),
            }
        }
        let router = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, u16::from(shape >> 5));
        let source = match kind {
            134 | 130 => router,
            _ if shape & 0x80 != 0 => Ipv6Addr::UNSPECIFIED,
            _ => THEM6,
        };
        let (mac, to) =
            if shape & 0x40 == 0 { (OUR_MAC, target) } else { ([0x33, 0x33, 0, 0, 0, 1], ALL_NODES) };
        let hop_limit = if kind == 130 { 1 } else { 255 };
        icmp6(mac, (source, to), hop_limit, &message)
    }

    /// An error about a frame of ours, or an echo request.
    pub(crate) fn message(&mut self, script: &mut Script<'_>) -> Vec<u8> {
        let shape = script.byte();
        let quoted = match self.sent.len() {
            0 => None,
            count => self.sent.get(script.below(count)),
        };
        let Some(quoted) = quoted.filter(|quoted| shape & 0x80 == 0 && quoted.len() > 54) else {
            let mut message = vec![if shape & 1 == 0 { 8 } else { 128 }, 0, 0, 0, 1, 2, 3, 4];
            message.extend(vec![shape; usize::from(script.half()) % 1_400]);
            if shape & 1 == 1 {
                return icmp6(OUR_MAC, (THEM6, US6), 64, &message);
            }
            let mut frame = ip((THEIR_MAC, OUR_MAC), (THEM.into(), US.into()), (1, 64), &message);
            repair(&mut frame);
            return frame;
        };
        let v4 = quoted[12..14] == [8, 0];
        let kind = if v4 { [3, 4, 5, 11] } else { [1, 2, 3, 4] }[usize::from(shape & 3)];
        let mut message = vec![kind, script.byte() & 15, 0, 0];
        // The next hop's MTU, in IPv4 in the last two bytes.
        message.extend(script.choice(&[0u32, 68, 296, 576, 1_280, 1_400, 1_500, 0xffff]).to_be_bytes());
        let most = quoted.len().min(200);
        message.extend(&quoted[14..(34 + script.below(100)).min(most)]);
        let mut frame = if v4 {
            ip((THEIR_MAC, OUR_MAC), (THEM.into(), US.into()), (1, 64), &message)
        } else {
            icmp6(OUR_MAC, (THEM6, US6), 64, &message)
        };
        repair(&mut frame);
        frame
    }
}

fn icmp6(to: [u8; 6], ends: (Ipv6Addr, Ipv6Addr), hop_limit: u8, message: &[u8]) -> Vec<u8> {
    let mut frame = ip((THEIR_MAC, to), (ends.0.into(), ends.1.into()), (58, hop_limit), message);
    repair(&mut frame);
    frame
}
