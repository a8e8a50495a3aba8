//! PCI addresses as Linux writes them: `0000:00:02.0`.

use std::fmt;
use std::str::FromStr;

/// Domain, bus, device and function of a PCI card.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct PciAddress {
    domain: u32,
    bus: u8,
    device: u8,
    function: u8,
}

/// Text that is no PCI address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a PCI address; it looks like 0000:00:02.0 (`lspci -D` lists them)")]
pub struct AddressError {
    /// The text.
    pub text: String,
}

impl FromStr for PciAddress {
    type Err = AddressError;

    /// Reads `0000:00:02.0`, or `00:02.0` in domain 0.
    fn from_str(text: &str) -> Result<PciAddress, AddressError> {
        parse(text).ok_or_else(|| AddressError { text: text.into() })
    }
}

fn parse(text: &str) -> Option<PciAddress> {
    let (rest, function) = text.rsplit_once('.')?;
    let mut parts = rest.rsplit(':');
    let device = hex(parts.next()?, 2, 0x1f)?;
    let bus = hex(parts.next()?, 2, 0xff)?;
    let domain = parts.next().map_or(Some(0), |domain| hex(domain, 8, u32::MAX))?;
    let function = hex(function, 1, 7)?;
    // The limits above make the narrowing exact.
    let address = PciAddress { domain, bus: bus as u8, device: device as u8, function: function as u8 };
    parts.next().is_none().then_some(address)
}

fn hex(text: &str, digits_max: usize, max: u32) -> Option<u32> {
    let plain = (1..=digits_max).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit());
    let value = u32::from_str_radix(text, 16).ok()?;
    (plain && value <= max).then_some(value)
}

impl fmt::Display for PciAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let PciAddress { domain, bus, device, function } = self;
        write!(f, "{domain:04x}:{bus:02x}:{device:02x}.{function}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes() {
        for text in ["0000:00:02.0", "0001:ff:1f.7", "10000:02:00.1"] {
            assert_eq!(text.parse::<PciAddress>().expect(text).to_string(), text);
        }
        assert_eq!("00:02.0".parse::<PciAddress>().expect("short form").to_string(), "0000:00:02.0");
    }

    #[test]
    fn nothing_else_becomes_part_of_a_path() {
        for text in [
            "",
            "eth0",
            "0000:00:02",
            "0000:00:20.0",
            "0000:00:02.8",
            "../../:00:02.0",
            "0:0:0:0.0",
            "+1:02.0",
        ] {
            assert!(text.parse::<PciAddress>().is_err(), "{text}");
        }
    }
}
