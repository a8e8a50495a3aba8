//! Registers and their bits, under the datasheet's names (8254x SDM chapter 13; offsets are bytes).
//!
//! Only what this driver uses is here. Where a value is a choice and not a definition, the place that
//! uses it says why.

/// Device control (8254x SDM 13.4.1).
pub(crate) const CTRL: u32 = 0x00000;
/// Device status (8254x SDM 13.4.2).
pub(crate) const STATUS: u32 = 0x00008;
/// EEPROM control and data (8254x SDM 13.4.3).
pub(crate) const EECD: u32 = 0x00010;
/// EEPROM read (8254x SDM 13.4.4).
pub(crate) const EERD: u32 = 0x00014;
/// Extended device control (8254x fact sheet 2.1).
pub(crate) const CTRL_EXT: u32 = 0x00018;
/// MDI control (8254x fact sheet 2.5).
pub(crate) const MDIC: u32 = 0x00020;
/// Flow control address low, high and type (8254x fact sheet 2.6).
pub(crate) const FCAL: u32 = 0x00028;
pub(crate) const FCAH: u32 = 0x0002c;
pub(crate) const FCT: u32 = 0x00030;
/// VLAN Ether type (8254x fact sheet 2.6).
pub(crate) const VET: u32 = 0x00038;
/// Interrupt cause: reading clears (8254x SDM 13.4.17).
pub(crate) const ICR: u32 = 0x000c0;
/// Interrupt throttling (8254x SDM 13.4.18).
pub(crate) const ITR: u32 = 0x000c4;
/// Interrupt mask set (8254x SDM 13.4.20).
pub(crate) const IMS: u32 = 0x000d0;
/// Interrupt mask clear (8254x SDM 13.4.21).
pub(crate) const IMC: u32 = 0x000d8;
/// Receive control (8254x SDM 13.4.22).
pub(crate) const RCTL: u32 = 0x00100;
/// Flow control transmit timer (8254x fact sheet 2.6).
pub(crate) const FCTTV: u32 = 0x00170;
/// Transmit control (8254x SDM 13.4.33).
pub(crate) const TCTL: u32 = 0x00400;
/// Transmit inter-packet gap (8254x SDM 13.4.34).
pub(crate) const TIPG: u32 = 0x00410;
/// Packet buffer allocation (8254x fact sheet 2.9).
pub(crate) const PBA: u32 = 0x01000;
/// Flow control receive thresholds (8254x SDM 13.4.23, 13.4.24).
pub(crate) const FCRTL: u32 = 0x02160;
pub(crate) const FCRTH: u32 = 0x02168;
/// Receive descriptor ring (8254x SDM 13.4.25 to 13.4.29).
pub(crate) const RDBAL: u32 = 0x02800;
pub(crate) const RDBAH: u32 = 0x02804;
pub(crate) const RDLEN: u32 = 0x02808;
pub(crate) const RDH: u32 = 0x02810;
pub(crate) const RDT: u32 = 0x02818;
/// Receive delay timers (8254x SDM 13.4.30, 13.4.31).
pub(crate) const RDTR: u32 = 0x02820;
pub(crate) const RADV: u32 = 0x0282c;
/// Transmit descriptor ring (8254x SDM 13.4.36 to 13.4.40).
pub(crate) const TDBAL: u32 = 0x03800;
pub(crate) const TDBAH: u32 = 0x03804;
pub(crate) const TDLEN: u32 = 0x03808;
pub(crate) const TDH: u32 = 0x03810;
pub(crate) const TDT: u32 = 0x03818;
/// Transmit interrupt delays and descriptor control (8254x fact sheet 2.10).
pub(crate) const TIDV: u32 = 0x03820;
pub(crate) const TXDCTL: u32 = 0x03828;
pub(crate) const TADV: u32 = 0x0382c;
/// Receive checksum control (8254x fact sheet 2.11).
pub(crate) const RXCSUM: u32 = 0x05000;
/// Multicast table array, 128 words (8254x SDM 13.5.1).
pub(crate) const MTA: u32 = 0x05200;
pub(crate) const MTA_WORDS: u32 = 128;
/// Receive addresses, 16 pairs (8254x SDM 13.5.2, 13.5.3).
pub(crate) const RAL0: u32 = 0x05400;
pub(crate) const RAH0: u32 = 0x05404;
/// Pairs that belong to software; the last one is firmware's by convention of all drivers.
pub(crate) const RA_PAIRS: u32 = 15;
/// VLAN filter table array, 128 words (8254x fact sheet 2.11).
pub(crate) const VFTA: u32 = 0x05600;
pub(crate) const VFTA_WORDS: u32 = 128;
/// Wake-up control (8254x fact sheet 2.12).
pub(crate) const WUC: u32 = 0x05800;
/// Management control (8254x fact sheet 2.12).
pub(crate) const MANC: u32 = 0x05820;

/// Length of the register window, BAR0 (8254x fact sheet 1.4).
pub const REGISTER_WINDOW_LEN: usize = 0x20000;
/// What a card that is gone answers to every read.
pub(crate) const ALL_ONES: u32 = 0xffff_ffff;

pub(crate) mod ctrl {
    pub(crate) const ASDE: u32 = 1 << 5;
    pub(crate) const SLU: u32 = 1 << 6;
    pub(crate) const ILOS: u32 = 1 << 7;
    pub(crate) const FRCSPD: u32 = 1 << 11;
    pub(crate) const FRCDPX: u32 = 1 << 12;
    pub(crate) const RST: u32 = 1 << 26;
    pub(crate) const RFCE: u32 = 1 << 27;
    pub(crate) const TFCE: u32 = 1 << 28;
    pub(crate) const VME: u32 = 1 << 30;
    pub(crate) const PHY_RST: u32 = 1 << 31;
}

pub(crate) mod ctrl_ext {
    pub(crate) const EE_RST: u32 = 1 << 13;
}

pub(crate) mod status {
    pub(crate) const FD: u32 = 1 << 0;
    pub(crate) const LU: u32 = 1 << 1;
    /// Function number; port B of an 82546.
    pub(crate) const FUNC_1: u32 = 1 << 2;
    pub(crate) const SPEED_SHIFT: u32 = 6;
    pub(crate) const PCIX_MODE: u32 = 1 << 13;
}

pub(crate) mod eecd {
    pub(crate) const SK: u32 = 1 << 0;
    pub(crate) const CS: u32 = 1 << 1;
    pub(crate) const DI: u32 = 1 << 2;
    pub(crate) const DO: u32 = 1 << 3;
    pub(crate) const REQ: u32 = 1 << 6;
    pub(crate) const GNT: u32 = 1 << 7;
    pub(crate) const SIZE: u32 = 1 << 9;
}

pub(crate) mod mdic {
    pub(crate) const REG_SHIFT: u32 = 16;
    pub(crate) const PHY_SHIFT: u32 = 21;
    /// REG and PHY together, which the card echoes.
    pub(crate) const ADDRESS_MASK: u32 = 0x3ff << REG_SHIFT;
    pub(crate) const OP_WRITE: u32 = 1 << 26;
    pub(crate) const OP_READ: u32 = 2 << 26;
    pub(crate) const READY: u32 = 1 << 28;
    pub(crate) const E: u32 = 1 << 30;
}

pub(crate) mod icr {
    pub(crate) const TXDW: u32 = 1 << 0;
    pub(crate) const LSC: u32 = 1 << 2;
    pub(crate) const RXDMT0: u32 = 1 << 4;
    pub(crate) const RXO: u32 = 1 << 6;
    pub(crate) const RXT0: u32 = 1 << 7;
}

pub(crate) mod rctl {
    pub(crate) const EN: u32 = 1 << 1;
    pub(crate) const BAM: u32 = 1 << 15;
    /// Long packets: more than 1522 bytes with FCS.
    pub(crate) const LPE: u32 = 1 << 5;
    /// Buffer sizes: BSIZE, and BSEX (8254x fact sheet 2.8).
    pub(crate) const BSIZE_2048: u32 = 0;
    pub(crate) const BSIZE_16384: u32 = 1 << 16 | BSEX;
    pub(crate) const BSIZE_8192: u32 = 2 << 16 | BSEX;
    pub(crate) const BSIZE_4096: u32 = 3 << 16 | BSEX;
    const BSEX: u32 = 1 << 25;
    pub(crate) const SECRC: u32 = 1 << 26;
}

pub(crate) mod tctl {
    pub(crate) const EN: u32 = 1 << 1;
    pub(crate) const PSP: u32 = 1 << 3;
    /// Collision threshold 15, the recommended value (8254x fact sheet 2.8).
    pub(crate) const CT_15: u32 = 0x0f << 4;
    /// Collision distance 64 byte times, full duplex (8254x SDM; fact sheet 2.8).
    pub(crate) const COLD_FULL_DUPLEX: u32 = 0x40 << 12;
    pub(crate) const RTLC: u32 = 1 << 24;
}

pub(crate) mod rxcsum {
    pub(crate) const IPOFLD: u32 = 1 << 8;
    pub(crate) const TUOFLD: u32 = 1 << 9;
}

pub(crate) mod rah {
    pub(crate) const AV: u32 = 1 << 31;
}

pub(crate) mod manc {
    pub(crate) const ARP_EN: u32 = 1 << 13;
}

pub(crate) mod txdctl {
    /// Thresholds count descriptors, not cache lines.
    pub(crate) const GRAN: u32 = 1 << 24;
}
