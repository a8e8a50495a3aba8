//! Registers without a side effect: which exist on a part, which bits stick, and what they hold
//! after reset. Hands on tables; the register file and its side effects are the core's.

use super::*;
use crate::parts::{Mac, Part};

/// Bits of a plain register that software can write and read back; `None` if the part has no such
/// register. Masks are those that the Linux register test finds on silicon.
pub(crate) fn stored_mask(part: Part, offset: u32) -> Option<u32> {
    let later = part.is_82540_or_later();
    let offloads = part.has_offloads();
    Some(match offset {
        // The second receive ring of the 82542 (fact sheet 2.15): stored, and nothing more.
        0x130 | 0x148 | 0x150 if !offloads => 0xffff,
        0x138 if !offloads => 0xffff_f000,
        0x13c if !offloads => u32::MAX,
        0x140 if !offloads => 0x000f_ff80,
        CTRL_EXT if offloads => 0x00c3_cfff,
        FLA => 0x0000_003f,
        FCAL | TBT => u32::MAX,
        FCAH | FCT | FCTTV | AIT => 0xffff,
        VET if offloads => 0xffff,
        TXCW if part.mac == Mac::I82542 => 0xffff,
        TXCW => 0xc000_ffff,
        TIPG => 0x3fff_ffff,
        LEDCTL if later => 0xefef_efef,
        FCRTL if part.mac == Mac::I82544 || part.is_82541_or_82547() => 0x8000_fff8,
        FCRTH if part.mac == Mac::I82544 => 0x8000_fff8,
        FCRTL | FCRTH => 0xfff8,
        RDBAL | TDBAL if part.mac == Mac::I82542 => 0xffff_f000,
        RDBAL | TDBAL => 0xffff_fff0,
        RDBAH | TDBAH => u32::MAX,
        RDLEN | TDLEN => 0x000f_ff80,
        RDH | TDH | RDT | TDT | RDTR | TIDV => 0xffff,
        RXDCTL => 0x013f_3f3f,
        TXDCTL => 0xff7f_3f3f,
        ITR | RADV | TADV if later => 0xffff,
        RSRPD if later => 0xfff,
        RAID => 0xffff,
        TXDMAC if part.mac >= Mac::I82544 => 1,
        TSPMT if part.mac >= Mac::I82544 => u32::MAX,
        RXCSUM if offloads => 0x7ff,
        RDFH | RDFT | RDFHS | RDFTS | TDFH | TDFT | TDFHS | TDFTS => 0x1fff,
        MTA..RA => u32::MAX,
        RA..0x5480 if offset & 4 == 0 => u32::MAX,
        RA..0x5480 => 0x8003_ffff,
        VFTA..0x5800 => u32::MAX,
        _ => return wake_mask(part, offset),
    })
}

/// Wake-up and management, and the diagnostic windows (8254x SDM 13.5, 13.6, 13.8).
fn wake_mask(part: Part, offset: u32) -> Option<u32> {
    if part.mac < Mac::I82544 {
        return None;
    }
    Some(match offset {
        WUC => 0x8000_000b,
        WUFC | WUS => 0x000f_80ff,
        MANC if part.is_82540_or_later() => 0x3fff_ff07,
        IPAV => 0x0001_000f,
        IP4AT..0x5860 if offset & 4 == 0 => u32::MAX,
        IP6AT..0x5890 => u32::MAX,
        FFLT..0x5f20 if offset & 4 == 0 => 0x7ff,
        FFMT..0x9400 if offset & 4 == 0 => 0xf,
        FFVT..0x9c00 if offset & 4 == 0 => u32::MAX,
        0x1_0000..WINDOW_LEN => u32::MAX,
        _ => return None,
    })
}

/// Bits that a driver must write as zero (or leave as it read them).
pub(crate) fn reserved_bits(part: Part, offset: u32) -> u32 {
    match offset {
        CTRL => ctrl::RESERVED,
        RCTL if part.mac == Mac::I82542 => !(rctl::STORED | rctl::RST),
        RCTL => !rctl::STORED,
        TCTL if part.mac == Mac::I82544 => !(tctl::STORED | tctl::NRTU),
        TCTL if part.mac == Mac::I82542 => !(tctl::STORED | tctl::RST),
        TCTL => !tctl::STORED,
        IMS | ICS => !icr::DEFINED,
        RDTR => 0x7fff_0000,
        TIPG | RXCSUM | ITR | RADV | TIDV | TADV | RDT | TDT | FCAH | FCT | FCTTV | VET | RDLEN | TDLEN => {
            stored_mask(part, offset).map_or(0, |mask| !mask)
        }
        _ => 0,
    }
}

/// What plain registers hold after power-on or CTRL.RST when it is not zero.
pub(crate) fn reset_values(part: Part) -> impl Iterator<Item = (u32, u32)> {
    let vet = part.has_offloads().then_some((VET, 0x8100));
    let tspmt = (part.mac >= Mac::I82544).then_some((TSPMT, 0x0100_0400));
    vet.into_iter().chain(tspmt)
}

/// Registers that CTRL.RST leaves alone, besides PCI configuration space (8254x SDM 13.4.1).
pub(crate) fn survives_reset(offset: u32) -> bool {
    matches!(offset, PBA | WUS | WUPL | 0x1_0000..) || (WUPM..WUPM + 0x80).contains(&offset)
}

/// Windows that software may read although nothing is specified in them.
pub(crate) fn is_window(offset: u32) -> bool {
    matches!(offset, 0x6000..0x6400 | 0x7000..0x7400 | WUPL | RDFPC | TDFPC)
        || (WUPM..WUPM + 0x80).contains(&offset)
}
