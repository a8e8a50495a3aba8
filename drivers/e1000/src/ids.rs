//! Which part is this, and what follows from it.
//!
//! Receives a PCI identity and hands on a [`Part`] with its [`Features`]. Every other room asks the
//! features, never the part: a difference between two cards stands here and nowhere else.

use naio_device::Identity;
use std::time::Duration;

/// Intel.
const VENDOR_INTEL: u16 = 0x8086;

/// The MAC generations, in the order of the drivers of record (not the numeric order).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the variants are the part numbers")]
pub enum MacType {
    I82542,
    I82543,
    I82544,
    I82540,
    I82545,
    I82545Rev3,
    I82546,
    I82546Rev3,
    I82541,
    I82541Rev2,
    I82547,
    I82547Rev2,
}

/// How the part reaches the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// A 1000BASE-T PHY.
    Copper,
    /// Ten-bit interface optics.
    Fiber,
    /// The MAC's own serialiser.
    Serdes,
}

/// One row of the family's table (8254x fact sheet 1.1).
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// PCI device id.
    pub device: u16,
    /// The name on the chip.
    pub name: &'static str,
    /// Generation.
    pub mac: MacType,
    /// Medium.
    pub media: Media,
}

const fn part(device: u16, name: &'static str, mac: MacType, media: Media) -> Part {
    Part { device, name, mac, media }
}

/// The whole family. 82546 parts appear once for each function.
#[rustfmt::skip]
pub const PARTS: &[Part] = {
    use MacType::*;
    use Media::*;
    &[
        part(0x1000, "82542",          I82542,     Fiber),
        part(0x1001, "82543GC",        I82543,     Fiber),
        part(0x1004, "82543GC",        I82543,     Copper),
        part(0x1008, "82544EI",        I82544,     Copper),
        part(0x1009, "82544EI",        I82544,     Fiber),
        part(0x100c, "82544GC",        I82544,     Copper),
        part(0x100d, "82544GC LOM",    I82544,     Copper),
        part(0x100e, "82540EM",        I82540,     Copper),
        part(0x1015, "82540EM LOM",    I82540,     Copper),
        part(0x1016, "82540EP LOM",    I82540,     Copper),
        part(0x1017, "82540EP",        I82540,     Copper),
        part(0x101e, "82540EP LP",     I82540,     Copper),
        part(0x100f, "82545EM",        I82545,     Copper),
        part(0x1011, "82545EM",        I82545,     Fiber),
        part(0x1026, "82545GM",        I82545Rev3, Copper),
        part(0x1027, "82545GM",        I82545Rev3, Fiber),
        part(0x1028, "82545GM",        I82545Rev3, Serdes),
        part(0x1010, "82546EB",        I82546,     Copper),
        part(0x1012, "82546EB",        I82546,     Fiber),
        part(0x101d, "82546EB quad",   I82546,     Copper),
        part(0x1079, "82546GB",        I82546Rev3, Copper),
        part(0x107a, "82546GB",        I82546Rev3, Fiber),
        part(0x107b, "82546GB",        I82546Rev3, Serdes),
        part(0x108a, "82546GB PCIE",   I82546Rev3, Copper),
        part(0x1099, "82546GB quad",   I82546Rev3, Copper),
        part(0x10b5, "82546GB KSP3",   I82546Rev3, Copper),
        part(0x1013, "82541EI",        I82541,     Copper),
        part(0x1014, "82541ER LOM",    I82541,     Copper),
        part(0x1018, "82541EI mobile", I82541,     Copper),
        part(0x1076, "82541GI",        I82541Rev2, Copper),
        part(0x1077, "82541GI mobile", I82541Rev2, Copper),
        part(0x1078, "82541ER",        I82541Rev2, Copper),
        part(0x107c, "82541PI",        I82541Rev2, Copper),
        part(0x1019, "82547EI",        I82547,     Copper),
        part(0x101a, "82547EI mobile", I82547,     Copper),
        part(0x1075, "82547GI",        I82547Rev2, Copper),
    ]
};

/// Which packets the card judges on receive (8254x fact sheet 1.2 and 3.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RxVerdict {
    /// None, or not to be trusted.
    None,
    /// TCP and UDP over IPv4.
    Ipv4,
}

/// What a part can do and what it asks of its driver (8254x fact sheet 1.2, 1.6, 4.2).
#[derive(Clone, Copy, Debug)]
pub struct Features {
    /// Most descriptors in a ring.
    pub ring_max: u32,
    /// The receive checksum verdict.
    pub rx_verdict: RxVerdict,
    /// Context descriptors: TCP and UDP checksum of IPv4 and IPv6 packets on transmit.
    pub tx_checksum: bool,
    /// RADV, TADV, ITR and MANC exist.
    pub has_timers_and_manc: bool,
    /// What to wait for after CTRL.RST before any register is touched.
    pub reset_settle: Duration,
    /// CTRL_EXT.EE_RST must follow CTRL.RST to load the EEPROM again.
    pub reset_reloads_eeprom_by_hand: bool,
    /// VET must stay zero and VFTA be cleared before it is set (MAC before 82545 rev 3).
    pub clear_vet_first: bool,
    /// EECD.REQ and GNT guard the EEPROM.
    pub eeprom_needs_grant: bool,
    /// EECD.SIZE says whether the Microwire part has 6 or 8 address bits.
    pub eeprom_size_bit: bool,
    /// The second function's address is the EEPROM's with the last bit flipped.
    pub dual_port: bool,
    /// Writing an odd word of MTA or VFTA corrupts the even one before (82544 erratum).
    pub table_words_from_the_top: bool,
    /// The card cuts long TCP packets of IPv4 into segments (policy of the drivers of record).
    pub tx_segmentation: bool,
    /// A single-descriptor packet after one that the card cut needs a last descriptor of its own.
    pub tx_sentinel_behind: bool,
    /// In PCI-X mode data is corrupted if a buffer's last byte lies in an even dword (8254x fact sheet 5.4).
    pub tx_odd_ends_in_pcix: bool,
    /// Largest IP packet of a jumbo frame (8254x fact sheet 1.3).
    pub mtu_max: usize,
    /// All of the packet buffer, in KB.
    pub packet_buffer_kb: u32,
    /// What the PHY must say it is (register 2 and 3, revision masked).
    pub phy_id: u32,
    /// The part of the packet buffer that receives, in KB, for PBA.
    pub rx_fifo_kb: u32,
}

impl Features {
    /// Bytes of the transmit FIFO.
    #[must_use]
    pub fn tx_fifo_len(&self) -> usize {
        self.packet_buffer_kb.saturating_sub(self.rx_fifo_kb) as usize * 1024
    }
}

/// The identity belongs to no part this driver knows how to drive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PartError {
    /// Another family or maker.
    #[error("{vendor:04x}:{device:04x} is not a card of the Intel 8254x family")]
    Unknown {
        /// PCI vendor id.
        vendor: u16,
        /// PCI device id.
        device: u16,
    },
    /// In the family, but its bring-up is not written yet.
    #[error("the {name} ({device:04x}) is of the 8254x family, but naio cannot drive it yet")]
    NotYet {
        /// Name of the part.
        name: &'static str,
        /// PCI device id.
        device: u16,
    },
}

/// Finds the part, if it is one this driver drives.
///
/// # Errors
/// A stranger, or a part whose PHY or EEPROM needs code that does not exist yet.
pub fn identify(identity: Identity) -> Result<(&'static Part, Features), PartError> {
    let Identity { vendor, device, .. } = identity;
    let part = PARTS
        .iter()
        .find(|part| vendor == VENDOR_INTEL && part.device == device)
        .ok_or(PartError::Unknown { vendor, device })?;
    let features =
        features(part.mac, part.media).ok_or(PartError::NotYet { name: part.name, device: part.device })?;
    Ok((part, features))
}

/// Frames of 16128 bytes with FCS, as the drivers of record allow (8254x fact sheet 1.3), without header and FCS.
const MTU_MAX: usize = 16_110;

/// PHY ids without the revision (8254x fact sheet 1.1).
const PHY_82544: u32 = 0x0141_0c30;
const PHY_88E1011: u32 = 0x0141_0c20;

/// Whether the part cuts long TCP packets of IPv4, as the drivers of record let it (8254x fact sheet 1.2).
pub(crate) fn cuts(mac: MacType) -> bool {
    mac >= MacType::I82544 && mac != MacType::I82547
}

fn features(mac: MacType, media: Media) -> Option<Features> {
    use MacType::*;
    // 82542 and 82543 lack MDIC, 82541 and 82547 have another PHY and EEPROM, optics have no PHY:
    // their bring-up is not written.
    let supported = (I82544..=I82546Rev3).contains(&mac) && media == Media::Copper;
    supported.then(|| Features {
        ring_max: 4096,
        rx_verdict: RxVerdict::Ipv4,
        tx_checksum: true,
        has_timers_and_manc: mac > I82544,
        reset_settle: if mac > I82544 { Duration::from_millis(5) } else { Duration::from_micros(10) },
        reset_reloads_eeprom_by_hand: mac <= I82544,
        clear_vet_first: mac < I82545Rev3,
        eeprom_needs_grant: mac > I82544,
        eeprom_size_bit: true,
        dual_port: mac == I82546 || mac == I82546Rev3,
        table_words_from_the_top: mac == I82544,
        tx_segmentation: cuts(mac),
        tx_sentinel_behind: mac != I82544,
        tx_odd_ends_in_pcix: mac == I82544,
        mtu_max: MTU_MAX,
        packet_buffer_kb: 64,
        phy_id: if mac == I82544 { PHY_82544 } else { PHY_88E1011 },
        rx_fifo_kb: 48,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(vendor: u16, device: u16) -> Identity {
        Identity { vendor, device, subsystem_vendor: 0, subsystem: 0, revision: 0 }
    }

    #[test]
    fn no_id_stands_twice() {
        let mut ids: Vec<u16> = PARTS.iter().map(|p| p.device).collect();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), PARTS.len());
    }

    #[test]
    fn the_emulators_cards_are_driven_and_strangers_are_named() {
        for device in [0x100e, 0x100c, 0x100f] {
            assert!(identify(identity(0x8086, device)).is_ok(), "{device:#x}");
        }
        let virtio = identify(identity(0x1af4, 0x1000)).expect_err("not Intel's");
        assert_eq!(virtio.to_string(), "1af4:1000 is not a card of the Intel 8254x family");
        let e1000e = identify(identity(0x8086, 0x10d3));
        assert!(matches!(e1000e, Err(PartError::Unknown { .. })), "82574L is another family");
        let pi = identify(identity(0x8086, 0x107c)).expect_err("not yet");
        assert!(pi.to_string().contains("82541PI"));
    }
}
