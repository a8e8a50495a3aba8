//! Names for people: which register lies where, tables and statistics included.
//!
//! Receives an offset of the part's own map, or a name, and hands on the other. It never holds a
//! value; [`Card::registers`](crate::Card::registers) joins names with values.

use super::canonical;
use crate::parts::{Mac, Part};
use std::fmt;

/// A register, or a table of them, in the map of parts from the 82543 on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The datasheet's name.
    pub name: &'static str,
    /// The offset of the (first) register.
    pub offset: u32,
    /// How many there are.
    pub count: u32,
    /// Bytes from one to the next.
    pub stride: u32,
}

/// A register's name, with its index where it belongs to a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name {
    /// The datasheet's name.
    pub base: &'static str,
    /// Which of a table.
    pub index: Option<u32>,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            Some(index) => write!(f, "{}[{index}]", self.base),
            None => f.write_str(self.base),
        }
    }
}

macro_rules! entries {
    ($($name:ident $offset:literal $(* $count:literal / $stride:literal)?,)*) => {
        /// Every register of the family in the order of offsets.
        pub const ENTRIES: &[Entry] = &[$(entries!(@ $name $offset $(* $count / $stride)?),)*];
    };
    (@ $name:ident $offset:literal) => {
        Entry { name: stringify!($name), offset: $offset, count: 1, stride: 4 }
    };
    (@ $name:ident $offset:literal * $count:literal / $stride:literal) => {
        Entry { name: stringify!($name), offset: $offset, count: $count, stride: $stride }
    };
}

// 8254x SDM table 13-2 and section 13.7.
entries! {
    CTRL 0x0000, STATUS 0x0008, EECD 0x0010, EERD 0x0014, CTRL_EXT 0x0018, FLA 0x001c, MDIC 0x0020,
    FCAL 0x0028, FCAH 0x002c, FCT 0x0030, VET 0x0038, ICR 0x00c0, ITR 0x00c4, ICS 0x00c8, IMS 0x00d0,
    IMC 0x00d8, RCTL 0x0100, FCTTV 0x0170, TXCW 0x0178, RXCW 0x0180, TCTL 0x0400, TIPG 0x0410,
    TBT 0x0448, AIT 0x0458, LEDCTL 0x0e00, PBA 0x1000, FCRTL 0x2160, FCRTH 0x2168,
    RDFH 0x2410, RDFT 0x2418, RDFHS 0x2420, RDFTS 0x2428, RDFPC 0x2430,
    RDBAL 0x2800, RDBAH 0x2804, RDLEN 0x2808, RDH 0x2810, RDT 0x2818, RDTR 0x2820, RXDCTL 0x2828,
    RADV 0x282c, RSRPD 0x2c00, RAID 0x2c08, TXDMAC 0x3000,
    TDFH 0x3410, TDFT 0x3418, TDFHS 0x3420, TDFTS 0x3428, TDFPC 0x3430,
    TDBAL 0x3800, TDBAH 0x3804, TDLEN 0x3808, TDH 0x3810, TDT 0x3818, TIDV 0x3820, TXDCTL 0x3828,
    TADV 0x382c, TSPMT 0x3830,
    CRCERRS 0x4000, ALGNERRC 0x4004, SYMERRS 0x4008, RXERRC 0x400c, MPC 0x4010, SCC 0x4014, ECOL 0x4018,
    MCC 0x401c, LATECOL 0x4020, COLC 0x4028, DC 0x4030, TNCRS 0x4034, SEC 0x4038, CEXTERR 0x403c,
    RLEC 0x4040, XONRXC 0x4048, XONTXC 0x404c, XOFFRXC 0x4050, XOFFTXC 0x4054, FCRUC 0x4058,
    PRC64 0x405c, PRC127 0x4060, PRC255 0x4064, PRC511 0x4068, PRC1023 0x406c, PRC1522 0x4070,
    GPRC 0x4074, BPRC 0x4078, MPRC 0x407c, GPTC 0x4080, GORCL 0x4088, GORCH 0x408c, GOTCL 0x4090,
    GOTCH 0x4094, RNBC 0x40a0, RUC 0x40a4, RFC 0x40a8, ROC 0x40ac, RJC 0x40b0, MGTPRC 0x40b4,
    MGTPDC 0x40b8, MGTPTC 0x40bc, TORL 0x40c0, TORH 0x40c4, TOTL 0x40c8, TOTH 0x40cc, TPR 0x40d0,
    TPT 0x40d4, PTC64 0x40d8, PTC127 0x40dc, PTC255 0x40e0, PTC511 0x40e4, PTC1023 0x40e8,
    PTC1522 0x40ec, MPTC 0x40f0, BPTC 0x40f4, TSCTC 0x40f8, TSCTFC 0x40fc,
    RXCSUM 0x5000, MTA 0x5200 * 128 / 4, RAL 0x5400 * 16 / 8, RAH 0x5404 * 16 / 8, VFTA 0x5600 * 128 / 4,
    WUC 0x5800, WUFC 0x5808, WUS 0x5810, MANC 0x5820, IPAV 0x5838, IP4AT 0x5840 * 4 / 8,
    IP6AT 0x5880 * 4 / 4, WUPL 0x5900, WUPM 0x5a00 * 32 / 4, FFLT 0x5f00 * 4 / 8, FFMT 0x9000 * 128 / 8,
    FFVT 0x9800 * 128 / 8,
}

impl Entry {
    /// Every register of this entry on `part`: its name and the offset it has there. Empty where the
    /// part's map has no place for it; whether the part implements it is another question.
    pub(crate) fn registers(self, part: Part) -> impl Iterator<Item = (Name, u32)> {
        (0..self.count).filter_map(move |n| {
            let index = (self.count > 1).then_some(n);
            let at = located(part, self.offset + n * self.stride)?;
            Some((Name { base: self.name, index }, at))
        })
    }
}

/// The name of the register at `offset` in the map of `part`; `None` between registers. Aliases have
/// the name of what they are an alias of.
#[must_use]
pub fn name(part: Part, offset: u32) -> Option<Name> {
    let at = canonical(part.mac == Mac::I82542, offset & !3)?;
    ENTRIES.iter().find_map(|entry| {
        let distance = at.checked_sub(entry.offset)?;
        let n = distance / entry.stride;
        let hit = n < entry.count && distance.is_multiple_of(entry.stride);
        hit.then_some(Name { base: entry.name, index: (entry.count > 1).then_some(n) })
    })
}

/// The offset of a register by its name, any case, `MTA[3]` for one of a table: in the map of `part`.
#[must_use]
pub fn offset(part: Part, name: &str) -> Option<u32> {
    let (base, n) = match name.split_once('[') {
        Some((base, index)) => (base, index.strip_suffix(']')?.parse::<u32>().ok()?),
        None => (name, 0),
    };
    let entry = ENTRIES.iter().find(|entry| entry.name.eq_ignore_ascii_case(base))?;
    (n < entry.count).then_some(())?;
    located(part, entry.offset + n * entry.stride)
}

/// Where `part` keeps the register that has `offset` in today's map.
fn located(part: Part, offset: u32) -> Option<u32> {
    if part.mac != Mac::I82542 {
        return Some(offset);
    }
    // The older layout lies below 0x800 and at 0x8000 (8254x SDM 13.3).
    let old = (0x40..0x800).step_by(4).chain(0x8000..0x8020).find(|at| canonical(true, *at) == Some(offset));
    old.or_else(|| (canonical(true, offset) == Some(offset)).then_some(offset))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(id: u16) -> Part {
        Part::of_id(id).expect("in the table")
    }

    #[test]
    fn names_and_offsets_are_each_others_inverse_on_every_part() {
        for part in crate::parts::PARTS.iter().copied() {
            for entry in ENTRIES {
                for (found, at) in entry.registers(part) {
                    assert_eq!(name(part, at), Some(found), "{} {at:#x}", part.name);
                    assert_eq!(offset(part, &found.to_string()), Some(at));
                }
            }
        }
    }

    #[test]
    fn the_82542_keeps_its_older_places() {
        assert_eq!(offset(part(0x1000), "tdt"), Some(0x438));
        assert_eq!(offset(part(0x1000), "MTA[1]"), Some(0x204));
        assert_eq!(offset(part(0x100e), "MTA[1]"), Some(0x5204));
        assert_eq!(name(part(0x100e), 0x5404).map(|name| name.to_string()).as_deref(), Some("RAH[0]"));
        assert_eq!(name(part(0x100e), 0x4024), None);
        assert_eq!(offset(part(0x100e), "MTA[128]"), None);
        assert_eq!(offset(part(0x100e), "nothing"), None);
    }
}
