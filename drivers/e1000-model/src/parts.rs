//! Which part a card is: every PCI id of the family, and what that part can do.
//!
//! Receives a device id and hands on a [`Part`], whose questions (`has_tso`, `packet_buffer_kb`, …)
//! are the feature matrix. It never holds state: two cards of one id have the same part.

/// The MAC inside a part, in order of generation (not of number).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[expect(missing_docs, reason = "the variants are part numbers")]
pub enum Mac {
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

/// What the frames leave by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    /// A 1000BASE-T PHY, internal or external.
    Copper,
    /// The ten-bit interface with optics.
    Fiber,
    /// The internal serialiser, as in blade backplanes.
    Serdes,
}

/// The shape of EERD: where DONE and the address lie (8254x SDM 13.4.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EerdLayout {
    /// The part has no EERD.
    Absent,
    /// DONE is bit 4, the address starts at bit 8.
    A,
    /// DONE is bit 1, the address starts at bit 2.
    B,
}

/// One member of the family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// PCI device id.
    pub id: u16,
    /// Its name, for people.
    pub name: &'static str,
    /// The MAC inside.
    pub mac: Mac,
    /// What the frames leave by.
    pub media: Media,
}

/// The default: what emulators show, and what most programs meet.
pub const DEFAULT_ID: u16 = 0x100e;

macro_rules! parts {
    ($($id:literal $name:literal $mac:ident $media:ident;)*) => {
        /// Every id of the family (8254x SDM 5.2, the drivers of record).
        pub const PARTS: &[Part] =
            &[$(Part { id: $id, name: $name, mac: Mac::$mac, media: Media::$media },)*];
    };
}

parts! {
    0x1000 "82542" I82542 Fiber;
    0x1001 "82543GC" I82543 Fiber;
    0x1004 "82543GC" I82543 Copper;
    0x1008 "82544EI" I82544 Copper;
    0x1009 "82544EI" I82544 Fiber;
    0x100c "82544GC" I82544 Copper;
    0x100d "82544GC LOM" I82544 Copper;
    0x100e "82540EM" I82540 Copper;
    0x1015 "82540EM LOM" I82540 Copper;
    0x1016 "82540EP LOM" I82540 Copper;
    0x1017 "82540EP" I82540 Copper;
    0x101e "82540EP LP" I82540 Copper;
    0x100f "82545EM" I82545 Copper;
    0x1011 "82545EM" I82545 Fiber;
    0x1026 "82545GM" I82545Rev3 Copper;
    0x1027 "82545GM" I82545Rev3 Fiber;
    0x1028 "82545GM" I82545Rev3 Serdes;
    0x1010 "82546EB" I82546 Copper;
    0x1012 "82546EB" I82546 Fiber;
    0x101d "82546EB quad" I82546 Copper;
    0x1079 "82546GB" I82546Rev3 Copper;
    0x107a "82546GB" I82546Rev3 Fiber;
    0x107b "82546GB" I82546Rev3 Serdes;
    0x108a "82546GB PCIE" I82546Rev3 Copper;
    0x1099 "82546GB quad" I82546Rev3 Copper;
    0x10b5 "82546GB quad KSP3" I82546Rev3 Copper;
    0x1013 "82541EI" I82541 Copper;
    0x1014 "82541ER LOM" I82541 Copper;
    0x1018 "82541EI mobile" I82541 Copper;
    0x1076 "82541GI" I82541Rev2 Copper;
    0x1077 "82541GI mobile" I82541Rev2 Copper;
    0x1078 "82541ER" I82541Rev2 Copper;
    0x107c "82541PI" I82541Rev2 Copper;
    0x1019 "82547EI" I82547 Copper;
    0x101a "82547EI mobile" I82547 Copper;
    0x1075 "82547GI" I82547Rev2 Copper;
}

impl Part {
    /// The part with this PCI device id, `None` for a stranger.
    #[must_use]
    pub fn of_id(id: u16) -> Option<Part> {
        PARTS.iter().copied().find(|part| part.id == id)
    }

    /// Extended transmit descriptors, receive checksums, VLAN, jumbo frames.
    #[must_use]
    pub fn has_offloads(self) -> bool {
        self.mac >= Mac::I82543
    }

    /// TCP segmentation that works (8254x SDM 3.5; not on 82542, 82543 and the first 82547).
    #[must_use]
    pub fn has_tso(self) -> bool {
        self.mac >= Mac::I82544 && self.mac != Mac::I82547
    }

    /// Checks TCP and UDP checksums of received IPv6 packets.
    #[must_use]
    pub fn has_rx_ipv6_checksum(self) -> bool {
        self.mac >= Mac::I82540
    }

    /// Checks UDP and IPv4 header checksums of received packets; the 82543 is trusted with TCP only.
    #[must_use]
    pub fn has_rx_ip_checksum(self) -> bool {
        self.mac >= Mac::I82544
    }

    /// ITR, RADV, TADV, LEDCTL, MANC, RSRPD, the management counters, TXD_LOW and SRPD.
    #[must_use]
    pub fn is_82540_or_later(self) -> bool {
        self.mac >= Mac::I82540
    }

    /// The IGP PHY, EERD layout B, a choice of EEPROM: 82541 and 82547.
    #[must_use]
    pub fn is_82541_or_82547(self) -> bool {
        self.mac >= Mac::I82541
    }

    /// The first or second 82547, with its small packet buffer.
    #[must_use]
    pub fn is_82547(self) -> bool {
        matches!(self.mac, Mac::I82547 | Mac::I82547Rev2)
    }

    /// Runs in PCI-X mode and has 64-bit base address registers.
    #[must_use]
    pub fn is_pci_x(self) -> bool {
        self.mac >= Mac::I82544 && self.mac != Mac::I82540 && !self.is_82541_or_82547()
    }

    /// Registers can be reached through two I/O ports. Of the 82547 on its own bus nothing is known.
    #[must_use]
    pub fn has_io_bar(self) -> bool {
        self.mac >= Mac::I82544 && !self.is_82547()
    }

    /// Interrupts can be messages (8254x SDM 4.1.3.3: not on 82541 and 82547).
    #[must_use]
    pub fn has_messages(self) -> bool {
        self.mac >= Mac::I82544 && !self.is_82541_or_82547()
    }

    /// PHY registers are reached through MDIC. The 82542 has no PHY, the 82543 uses pins.
    #[must_use]
    pub fn has_mdic(self) -> bool {
        self.mac >= Mac::I82544
    }

    /// EEPROM accesses over pins must ask first (EECD.REQ, EECD.GNT).
    #[must_use]
    pub fn needs_eeprom_grant(self) -> bool {
        self.mac > Mac::I82544
    }

    /// Packet buffer in KB, split between receive and transmit by PBA (8254x SDM 13.4.35).
    #[must_use]
    pub fn packet_buffer_kb(self) -> u32 {
        if self.is_82547() { 40 } else { 64 }
    }

    /// The receive share of the packet buffer after power-on, in KB.
    #[must_use]
    pub fn rx_buffer_kb(self) -> u32 {
        match self.mac {
            Mac::I82547 => 0x16,
            Mac::I82547Rev2 => 0x1e,
            _ => 0x30,
        }
    }

    /// Most descriptors of a ring.
    #[must_use]
    pub fn ring_max(self) -> u32 {
        if self.mac < Mac::I82544 { 256 } else { 65_528 }
    }

    /// Alignment of ring bases, in bytes.
    #[must_use]
    pub fn ring_align(self) -> u32 {
        if self.mac == Mac::I82542 { 4096 } else { 16 }
    }

    /// Which EERD the silicon has.
    #[must_use]
    pub fn eerd(self) -> EerdLayout {
        match self.mac {
            Mac::I82542 | Mac::I82543 => EerdLayout::Absent,
            mac if mac >= Mac::I82541 => EerdLayout::B,
            _ => EerdLayout::A,
        }
    }

    /// PHY registers 2 and 3 as one number; the low 4 bits are a revision.
    #[must_use]
    pub fn phy_id(self) -> u32 {
        match self.mac {
            Mac::I82542 | Mac::I82543 => 0x0141_0c50,
            Mac::I82544 => 0x0141_0c30,
            mac if mac >= Mac::I82541 => 0x02a8_0380,
            _ => 0x0141_0c20,
        }
    }

    /// Two ports on one chip: the second has its own function number and station address.
    #[must_use]
    pub fn is_dual(self) -> bool {
        matches!(self.mac, Mac::I82546 | Mac::I82546Rev3)
    }

    /// The PCI revision this part reports when nothing else is asked for.
    #[must_use]
    pub fn revision(self) -> u8 {
        if self.mac == Mac::I82542 { 3 } else { 2 }
    }
}
