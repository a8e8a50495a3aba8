//! The register map: offsets and bits under the names of the datasheet (8254x SDM chapter 13), the
//! 82542's older layout, and which bits of a plain register software can write.
//!
//! Hands on constants and pure functions of an offset. It never holds a value.

pub mod names;
pub(crate) mod plain;

/// Bytes of the register window (8254x SDM 4.1).
pub const WINDOW_LEN: u32 = 0x2_0000;

macro_rules! offsets {
    ($($name:ident $at:literal)*) => {
        $(#[doc = concat!("Offset of ", stringify!($name), ".")] pub const $name: u32 = $at;)*
        /// Every named register or first register of a table, for people who look at a card.
        pub const NAMES: &[(&str, u32)] = &[$((stringify!($name), $at),)*];
    };
}

offsets! {
    CTRL 0x0000  CTRL_DUP 0x0004  STATUS 0x0008  EECD 0x0010  EERD 0x0014  CTRL_EXT 0x0018  FLA 0x001c
    MDIC 0x0020  FCAL 0x0028  FCAH 0x002c  FCT 0x0030  VET 0x0038
    ICR 0x00c0  ITR 0x00c4  ICS 0x00c8  IMS 0x00d0  IMC 0x00d8
    RCTL 0x0100  FCTTV 0x0170  TXCW 0x0178  RXCW 0x0180  TCTL 0x0400  TIPG 0x0410  TBT 0x0448  AIT 0x0458
    LEDCTL 0x0e00  PBA 0x1000  FCRTL 0x2160  FCRTH 0x2168
    RDFH 0x2410  RDFT 0x2418  RDFHS 0x2420  RDFTS 0x2428  RDFPC 0x2430
    RDBAL 0x2800  RDBAH 0x2804  RDLEN 0x2808  RDH 0x2810  RDT 0x2818  RDTR 0x2820  RXDCTL 0x2828  RADV 0x282c
    RSRPD 0x2c00  RAID 0x2c08  TXDMAC 0x3000
    TDFH 0x3410  TDFT 0x3418  TDFHS 0x3420  TDFTS 0x3428  TDFPC 0x3430
    TDBAL 0x3800  TDBAH 0x3804  TDLEN 0x3808  TDH 0x3810  TDT 0x3818  TIDV 0x3820  TXDCTL 0x3828  TADV 0x382c
    TSPMT 0x3830
    STATS 0x4000  STATS_END 0x4100  RXCSUM 0x5000  MTA 0x5200  RA 0x5400  VFTA 0x5600
    WUC 0x5800  WUFC 0x5808  WUS 0x5810  MANC 0x5820  IPAV 0x5838  IP4AT 0x5840  IP6AT 0x5880
    WUPL 0x5900  WUPM 0x5a00  FFLT 0x5f00  FFMT 0x9000  FFVT 0x9800
}

/// CTRL (8254x SDM 13.4.1).
pub(crate) mod ctrl {
    pub(crate) const FD: u32 = 1;
    pub(crate) const LRST: u32 = 1 << 3;
    pub(crate) const SLU: u32 = 1 << 6;
    pub(crate) const ILOS: u32 = 1 << 7;
    pub(crate) const SPEED_SHIFT: u32 = 8;
    pub(crate) const FRCSPD: u32 = 1 << 11;
    pub(crate) const FRCDPX: u32 = 1 << 12;
    pub(crate) const SWDPIN1: u32 = 1 << 19;
    pub(crate) const MDIO: u32 = 1 << 20;
    pub(crate) const MDC: u32 = 1 << 21;
    pub(crate) const SWDPIO_SHIFT: u32 = 22;
    pub(crate) const MDIO_DIR: u32 = 1 << 24;
    pub(crate) const RST: u32 = 1 << 26;
    pub(crate) const RFCE: u32 = 1 << 27;
    pub(crate) const TFCE: u32 = 1 << 28;
    pub(crate) const VME: u32 = 1 << 30;
    pub(crate) const PHY_RST: u32 = 1 << 31;
    /// Bits that nothing in the table explains.
    pub(crate) const RESERVED: u32 = 7 << 15;
    pub(crate) const STORED: u32 = !(RESERVED | RST);
}

/// CTRL_EXT (8254x SDM 13.4.5).
pub(crate) mod ctrl_ext {
    pub(crate) const SDP4: u32 = 1 << 4;
    pub(crate) const SDP4_DIR: u32 = 1 << 8;
    pub(crate) const ASDCHK: u32 = 1 << 12;
    pub(crate) const EE_RST: u32 = 1 << 13;
}

/// RXDCTL and TXDCTL: thresholds count descriptors, not cache lines of two.
pub(crate) const GRAN: u32 = 1 << 24;

/// RCTL (8254x SDM 13.4.22).
pub(crate) mod rctl {
    pub(crate) const RST: u32 = 1;
    pub(crate) const EN: u32 = 1 << 1;
    pub(crate) const SBP: u32 = 1 << 2;
    pub(crate) const UPE: u32 = 1 << 3;
    pub(crate) const MPE: u32 = 1 << 4;
    pub(crate) const LPE: u32 = 1 << 5;
    pub(crate) const LBM_SHIFT: u32 = 6;
    pub(crate) const RDMTS_SHIFT: u32 = 8;
    pub(crate) const MO_SHIFT: u32 = 12;
    pub(crate) const BAM: u32 = 1 << 15;
    pub(crate) const BSIZE_SHIFT: u32 = 16;
    pub(crate) const VFE: u32 = 1 << 18;
    pub(crate) const CFIEN: u32 = 1 << 19;
    pub(crate) const CFI: u32 = 1 << 20;
    pub(crate) const DPF: u32 = 1 << 22;
    pub(crate) const PMCF: u32 = 1 << 23;
    pub(crate) const BSEX: u32 = 1 << 25;
    pub(crate) const SECRC: u32 = 1 << 26;
    /// What the register test of Linux finds writable.
    pub(crate) const STORED: u32 = 0x06df_b3fe;

    /// Bytes of each receive buffer. The reserved code with BSEX means 2048, as without.
    pub(crate) fn buffer_len(rctl: u32) -> usize {
        let code = (rctl >> BSIZE_SHIFT) & 3;
        match (code, rctl & BSEX != 0) {
            (0, _) => 2048,
            (code, false) => 2048 >> code,
            (code, true) => 32_768 >> code,
        }
    }
}

/// TCTL (8254x SDM 13.4.33).
pub(crate) mod tctl {
    pub(crate) const RST: u32 = 1;
    pub(crate) const EN: u32 = 1 << 1;
    pub(crate) const PSP: u32 = 1 << 3;
    pub(crate) const SWXOFF: u32 = 1 << 22;
    pub(crate) const RTLC: u32 = 1 << 24;
    pub(crate) const NRTU: u32 = 1 << 25;
    /// SWXOFF is in it: it is written and clears itself.
    pub(crate) const STORED: u32 = 0x017f_fffa;
}

/// Interrupt causes (8254x SDM 13.4.17).
pub mod icr {
    /// Transmit descriptor written back.
    pub const TXDW: u32 = 1;
    /// Transmit queue empty.
    pub const TXQE: u32 = 1 << 1;
    /// Link status change.
    pub const LSC: u32 = 1 << 2;
    /// Receive sequence error (TBI).
    pub const RXSEQ: u32 = 1 << 3;
    /// Receive descriptors are running low.
    pub const RXDMT0: u32 = 1 << 4;
    /// Receive FIFO overrun.
    pub const RXO: u32 = 1 << 6;
    /// Receive timer.
    pub const RXT0: u32 = 1 << 7;
    /// MDIO access complete.
    pub const MDAC: u32 = 1 << 9;
    /// /C/ ordered sets received (TBI).
    pub const RXCFG: u32 = 1 << 10;
    /// PHY interrupt.
    pub const PHYINT: u32 = 1 << 12;
    /// Transmit descriptors are running low.
    pub const TXD_LOW: u32 = 1 << 15;
    /// Small receive packet detected.
    pub const SRPD: u32 = 1 << 16;
    /// Bits that mean something on some part of the family.
    pub(crate) const DEFINED: u32 = 0x0001_ffff;
}

/// The address this part's register of today's map has: the 82542 keeps an older layout
/// (8254x SDM 13.3). `None` where the 82542 has nothing.
pub(crate) fn canonical(is_82542: bool, offset: u32) -> Option<u32> {
    if !is_82542 {
        return Some(match offset {
            CTRL_DUP => CTRL,
            0x8000 => RDFH,
            0x8008 => RDFT,
            0x8010 => TDFH,
            0x8018 => TDFT,
            other => other,
        });
    }
    Some(match offset {
        CTRL_DUP => CTRL,
        0x0040..0x00c0 => RA + (offset - 0x40),
        0x0108 => RDTR,
        0x0110 => RDBAL,
        0x0114 => RDBAH,
        0x0118 => RDLEN,
        0x0120 => RDH,
        0x0128 => RDT,
        0x0160 => FCRTH,
        0x0168 => FCRTL,
        0x0200..0x0400 => MTA + (offset - 0x200),
        0x0420 => TDBAL,
        0x0424 => TDBAH,
        0x0428 => TDLEN,
        0x0430 => TDH,
        0x0438 => TDT,
        0x0440 => TIDV,
        0x0600..0x0800 => VFTA + (offset - 0x600),
        0x8000 => RDFH,
        0x8008 => RDFT,
        0x8010 => TDFH,
        0x8018 => TDFT,
        RA..=0x547c | MTA..=0x53fc | VFTA..=0x57fc => return None,
        RDBAL | RDBAH | RDLEN | RDH | RDT | RDTR | TDBAL | TDBAH | TDLEN | TDH | TDT | TIDV => return None,
        FCRTL | FCRTH => return None,
        other => other,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seven_buffer_sizes() {
        let sizes = [
            (0, 0, 2048),
            (1, 0, 1024),
            (2, 0, 512),
            (3, 0, 256),
            (1, 1, 16_384),
            (2, 1, 8192),
            (3, 1, 4096),
        ];
        for (code, bsex, len) in sizes {
            assert_eq!(rctl::buffer_len(code << 16 | bsex << 25), len, "BSIZE {code} BSEX {bsex}");
        }
    }

    #[test]
    fn the_82542_has_its_rings_elsewhere() {
        assert_eq!(canonical(true, 0x438), Some(TDT));
        assert_eq!(canonical(true, TDT), None);
        assert_eq!(canonical(false, 0x438), Some(0x438));
        assert_eq!(canonical(false, CTRL_DUP), Some(CTRL));
    }
}
