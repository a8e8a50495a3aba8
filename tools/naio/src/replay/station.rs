//! Who we are in a capture: the receiver that it was made for, unless the user says otherwise.
//!
//! Receives packets, hands on a station and IPv4 address. It guesses from addresses alone.

use aio_api::Cidr;
use naio_e1000_model::wire::pcap::Packet;
use std::collections::HashMap;
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// Where a capture names no receiver.
const MAC: [u8; 6] = [0x02, 0x00, 0x5e, 0x10, 0x00, 0x02];
const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
const PREFIX_LEN: u8 = 24;

/// Who we are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Station {
    pub(super) mac: MacText,
    pub(super) address: Cidr,
    /// Somebody said so, or the capture did.
    pub(super) guessed: bool,
}

/// A station address as people write it: `02:00:5e:10:00:02`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct MacText(pub(super) [u8; 6]);

/// Text that is no station address.
#[derive(Clone, Debug, thiserror::Error)]
#[error("`{0}` is no station address; write six bytes, for example 02:00:5e:10:00:02, of one station")]
pub(super) struct MacError(String);

impl FromStr for MacText {
    type Err = MacError;

    fn from_str(text: &str) -> Result<MacText, MacError> {
        let byte = |part: &str| (part.len() <= 2).then(|| u8::from_str_radix(part, 16).ok()).flatten();
        let bytes: Option<Vec<u8>> = text.split([':', '-']).map(byte).collect();
        let mac = bytes.and_then(|bytes| <[u8; 6]>::try_from(bytes).ok());
        // A group, or nobody, is no station (IEEE 802.3 3.2.3).
        let station = mac.filter(|mac| mac[0] & 1 == 0 && *mac != [0; 6]);
        station.map(MacText).ok_or_else(|| MacError(text.to_owned()))
    }
}

impl fmt::Display for MacText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl Station {
    /// What the user says; for the rest, the receiver of most IPv4 packets to one station.
    pub(super) fn choose(mac: Option<MacText>, address: Option<Cidr>, packets: &[Packet]) -> Station {
        let mut receivers: HashMap<([u8; 6], Ipv4Addr), usize> = HashMap::new();
        for (to, ip) in packets.iter().filter_map(|packet| receiver(&packet.bytes)) {
            let is_theirs =
                mac.is_none_or(|mac| mac.0 == to) && address.is_none_or(|cidr| cidr.address == ip);
            if is_theirs {
                *receivers.entry((to, ip)).or_default() += 1;
            }
        }
        // Of equals the lowest, so that two replays of one file agree.
        let most = receivers.into_iter().max_by_key(|(who, count)| (*count, std::cmp::Reverse(*who)));
        let (theirs, ip) = most.map_or((MAC, ADDRESS), |(who, _)| who);
        Station {
            mac: mac.unwrap_or(MacText(theirs)),
            address: address.unwrap_or(Cidr { address: ip, prefix_len: PREFIX_LEN }),
            guessed: mac.is_none() || address.is_none(),
        }
    }
}

/// Who an IPv4 packet is for, if that is one station with an address that a host can have.
fn receiver(frame: &[u8]) -> Option<([u8; 6], Ipv4Addr)> {
    let to = *frame.first_chunk::<6>()?;
    let ip: [u8; 4] = frame.get(30..34)?.try_into().ok()?;
    let is_ipv4 = frame[12..14] == [0x08, 0x00] && frame[14] >> 4 == 4;
    let ip = Ipv4Addr::from(ip);
    let is_host = !ip.is_multicast() && !ip.is_broadcast() && !ip.is_loopback() && ip.octets()[0] != 0;
    (is_ipv4 && is_host && to[0] & 1 == 0 && to != [0; 6]).then_some((to, ip))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packet(to: [u8; 6], ip: [u8; 4]) -> Packet {
        let mut bytes = to.to_vec();
        bytes.extend([2, 0, 0, 0, 0, 9, 0x08, 0x00, 0x45]);
        bytes.resize(30, 0);
        bytes.extend(ip);
        Packet { at_ns: 0, original_len: bytes.len(), bytes }
    }

    #[test]
    fn the_most_frequent_receiver_is_us_unless_the_user_says_otherwise() {
        let (a, b) = ([2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2]);
        let packets = [packet(a, [10, 0, 0, 1]), packet(b, [10, 0, 0, 2]), packet(b, [10, 0, 0, 2])];
        let station = Station::choose(None, None, &packets);
        assert_eq!((station.mac, station.address.address), (MacText(b), Ipv4Addr::new(10, 0, 0, 2)));
        let station = Station::choose(Some(MacText(a)), None, &packets);
        assert_eq!(station.address.address, Ipv4Addr::new(10, 0, 0, 1), "the address that goes with it");
        let multicast = packet([1, 0, 0x5e, 0, 0, 1], [224, 0, 0, 1]);
        assert_eq!(Station::choose(None, None, &[multicast]).mac, MacText(MAC));
    }

    #[test]
    fn station_addresses_are_read_as_they_are_written() {
        let mac: MacText = "02:00:5E-10-0:2".parse().expect("an address");
        assert_eq!(mac.to_string(), "02:00:5e:10:00:02");
        for wrong in ["", "02:00:5e:10:00", "01:00:5e:00:00:01", "00:00:00:00:00:00", "zz:0:0:0:0:0"] {
            assert!(wrong.parse::<MacText>().is_err(), "{wrong}");
        }
    }
}
