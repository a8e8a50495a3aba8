//! What opening a card must end in, for each thing that can be wrong with it (8254x fact sheet 7.3, 7.4).

use naio_e1000::{EepromError, OpenError, PhyError};
use naio_e1000_model::Profile;
use naio_e1000_model::faults::{EepromFault, Faults, MdicFault, ResetFault};

/// How an attempt ends.
#[derive(Clone, Copy)]
pub(crate) enum Ends {
    /// The card comes up, with its address, and works.
    Up,
    /// With an error for which this holds.
    With(fn(&OpenError) -> bool),
}

pub(crate) struct Opening {
    /// The field of [`Faults`].
    pub(crate) field: &'static str,
    pub(crate) inject: fn(&mut Faults),
    pub(crate) eeprom: Option<EepromFault>,
    pub(crate) device_id: u16,
    pub(crate) profile: Profile,
    pub(crate) ends: Ends,
}

const fn row(field: &'static str, inject: fn(&mut Faults), ends: Ends) -> Opening {
    Opening { field, inject, eeprom: None, device_id: 0x100e, profile: Profile::Silicon, ends }
}

/// An EEPROM that is wrong; nothing else is.
const fn eeprom(fault: EepromFault, profile: Profile, ends: Ends) -> Opening {
    let mut row = of(profile, row("the EEPROM", |_| {}, ends));
    row.eeprom = Some(fault);
    row
}

const fn on(device_id: u16, mut row: Opening) -> Opening {
    row.device_id = device_id;
    row
}

const fn of(profile: Profile, mut row: Opening) -> Opening {
    row.profile = profile;
    row
}

const GONE: Ends = Ends::With(|e| matches!(e, OpenError::Gone));
const PHY_SILENT: Ends = Ends::With(|e| matches!(e, OpenError::Phy(PhyError::Silent(_))));
const PHY_REFUSED: Ends = Ends::With(|e| matches!(e, OpenError::Phy(PhyError::Refused { register: 2 })));
const NO_RESET: Ends = Ends::With(|e| matches!(e, OpenError::Timeout(t) if t.what == "leave its reset"));
const NO_GRANT: Ends = Ends::With(|e| matches!(e, OpenError::NoAddress(EepromError::Busy(_))));
const RING_REFUSED: Ends = Ends::With(|e| matches!(e, OpenError::RingRefused { ring: "transmit" }));
const BLANK: Ends = Ends::With(|e| matches!(e, OpenError::NoAddress(EepromError::Checksum { sum: 0xffc0 })));
const ZERO: Ends = Ends::With(|e| matches!(e, OpenError::NoAddress(EepromError::Checksum { sum: 0 })));
const BAD_SUM: Ends =
    Ends::With(|e| matches!(e, OpenError::NoAddress(EepromError::Checksum { sum }) if *sum != 0xbaba));
const GROUP: Ends =
    Ends::With(|e| matches!(e, OpenError::NoAddress(EepromError::Address(mac)) if !mac.is_station()));

fn stranger(e: &OpenError) -> bool {
    let expected = 0x0141_0c20;
    matches!(e, OpenError::Phy(PhyError::Stranger { expected: e, found }) if *e == expected && found >> 4 != e >> 4)
}

/// Faults from the first access on.
pub(crate) const OPENING: &[Opening] = &[
    row("gone", |f| f.gone = true, GONE),
    row("mdic", |f| f.mdic = MdicFault::NeverReady, PHY_SILENT),
    row("mdic", |f| f.mdic = MdicFault::AlwaysError, PHY_REFUSED),
    of(Profile::Qemu, row("mdic", |f| f.mdic = MdicFault::AlwaysError, PHY_REFUSED)),
    // The pins are there for it, and the other way round.
    row("eerd_never_done", |f| f.eerd_never_done = true, Ends::Up),
    row("eecd_never_grants", |f| f.eecd_never_grants = true, Ends::Up),
    on(0x1008, row("eecd_never_grants", |f| f.eecd_never_grants = true, Ends::Up)),
    // Then the card's own copy in RA0 is all that is left; VMware's is not valid after a reset.
    row("eerd_never_done", |f| (f.eerd_never_done, f.eecd_never_grants) = (true, true), Ends::Up),
    of(
        Profile::Vmware,
        row("eerd_never_done", |f| (f.eerd_never_done, f.eecd_never_grants) = (true, true), NO_GRANT),
    ),
    row("reset", |f| f.reset = ResetFault::Never, NO_RESET),
    on(0x1008, row("reset", |f| f.reset = ResetFault::Never, NO_RESET)),
    row("reset", |f| f.reset = ResetFault::AfterReads(20), Ends::Up),
    row("reset", |f| f.reset = ResetFault::AfterReads(1_000), NO_RESET),
    row("phy_id", |f| f.phy_id = Some(0), Ends::With(stranger)),
    row("phy_id", |f| f.phy_id = Some(u32::MAX), Ends::With(stranger)),
    row("phy_id", |f| f.phy_id = Some(0x0141_0c30), Ends::With(stranger)),
    row("phy_id", |f| f.phy_id = Some(0x02a8_0380), Ends::With(stranger)),
    // The revision is nobody's business.
    row("phy_id", |f| f.phy_id = Some(0x0141_0c2f), Ends::Up),
    row("bmsr_low", |f| f.bmsr_low = true, Ends::Up),
    row("status_flaps", |f| f.status_flaps = true, Ends::Up),
    row("ring_len", |f| f.ring_len = Some(0), RING_REFUSED),
    row("ring_len", |f| f.ring_len = Some(80 * 16 + 128), RING_REFUSED),
    row("ring_len", |f| f.ring_len = Some(u32::MAX), RING_REFUSED),
    row("rdh", |f| f.rdh = Some(u32::MAX), Ends::Up),
    row("tdh", |f| f.tdh = Some(0xffff), Ends::Up),
    row("heads_jump", |f| f.heads_jump = true, Ends::Up),
    row("icr", |f| f.icr = Some(u32::MAX), Ends::Up),
    row("cause_storm", |f| f.cause_storm = 0x1_ffff, Ends::Up),
    row("counters_lie", |f| f.counters_lie = true, Ends::Up),
    row("slow_mmio_us", |f| f.slow_mmio_us = 3, Ends::Up),
    // Four wrong EEPROMs. A wrong sum alone leaves RA0, which the card loads without looking at the sum.
    eeprom(EepromFault::Checksum, Profile::Silicon, Ends::Up),
    eeprom(EepromFault::Checksum, Profile::Vmware, BAD_SUM),
    eeprom(EepromFault::Blank, Profile::Silicon, BLANK),
    eeprom(EepromFault::Zero, Profile::Silicon, ZERO),
    eeprom(EepromFault::MulticastAddress, Profile::Silicon, GROUP),
    eeprom(EepromFault::MulticastAddress, Profile::VirtualBox, GROUP),
    eeprom(EepromFault::Blank, Profile::Vmware, BLANK),
];
