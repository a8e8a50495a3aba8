//! How emulators' cards differ from silicon: each deviation has a name, and a profile is a set of
//! them (fact sheet section 6). Hands on a plain value; who deviates asks for its own name.

use crate::parts::EerdLayout;
use crate::regs;

/// Whose card this pretends to be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Profile {
    /// As the datasheet says.
    #[default]
    Silicon,
    /// QEMU's `e1000`.
    Qemu,
    /// VirtualBox.
    VirtualBox,
    /// VMware, as far as drivers' comments tell.
    Vmware,
}

/// The deviations, each by its name. `Default` is silicon.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quirks {
    /// CTRL.RST clears itself and changes no register.
    pub reset_keeps_registers: bool,
    /// RA0 is not loaded from the EEPROM after a reset.
    pub reset_leaves_address_invalid: bool,
    /// Only RA0 filters.
    pub secondary_addresses_ignored: bool,
    /// EERD answers in this layout whatever the part.
    pub eerd_layout: Option<EerdLayout>,
    /// EERD is done at once.
    pub eerd_instant: bool,
    /// EECD pins work without asking.
    pub eeprom_grant_not_needed: bool,
    /// MDIC is ready at once.
    pub mdic_instant: bool,
    /// MDIC writes with I or READY set are ignored.
    pub mdic_ignores_interrupt_writes: bool,
    /// Autonegotiation takes this long instead of the configured time.
    pub autoneg_ns: Option<u64>,
    /// The link does not need CTRL.SLU.
    pub slu_ignored: bool,
    /// The whole transmit ring is sent inside the tail write.
    pub tx_synchronous: bool,
    /// TXQE after every burst (with `tx_synchronous`) or never.
    pub txqe_never: bool,
    /// TCTL.PSP is ignored: short frames leave short.
    pub tx_unpadded: bool,
    /// The checksum of legacy descriptors is not inserted.
    pub tx_legacy_checksum_ignored: bool,
    /// Frames leave although the link is down.
    pub tx_without_link: bool,
    /// Short received frames are padded to 60 bytes.
    pub rx_pads_short: bool,
    /// IXSM is always set and no checksum verdict given.
    pub rx_checksum_ignored: bool,
    /// The raw packet checksum is not written.
    pub rx_raw_checksum_untouched: bool,
    /// Without SECRC the length counts an FCS that is not written.
    pub rx_fcs_not_written: bool,
    /// PIF is never set.
    pub rx_pif_never: bool,
    /// PIF is set on exact matches instead of inexact ones.
    pub rx_pif_reversed: bool,
    /// Without a descriptor the card takes nothing off the wire, and counts nothing.
    pub rx_waits_on_the_wire: bool,
    /// A frame that needs more descriptors than there are is lost whole.
    pub rx_whole_or_lost: bool,
    /// What does not fit the descriptors there are is dropped; a truncated frame without EOP is left.
    pub rx_truncates: bool,
    /// A RCTL write stops reception for this long, unless a RDT write follows.
    pub rctl_write_blocks_rx_ns: Option<u64>,
    /// RDT may be the ring's size, meaning 0.
    pub tail_may_be_ring_size: bool,
    /// RCTL.LBM does nothing; only the PHY loops.
    pub mac_loopback_ignored: bool,
    /// Each half of a 64-bit statistic clears itself.
    pub stats_halves_clear_alone: bool,
    /// Only the common statistics exist, the others read 0.
    pub stats_subset: bool,
    /// MPC and RNBC stay when they are read.
    pub stats_missed_kept: bool,
    /// ICR keeps only these bits.
    pub icr_mask: Option<u32>,
    /// At least this much time between interrupts, in units of 256 ns.
    pub interrupt_gap: Option<u32>,
    /// Offsets that emulators do not implement: they read 0 and forget writes.
    pub sparse_registers: bool,
    /// Further offsets that it leaves out, from the first to the last of each range.
    pub absent_registers: &'static [(u32, u32)],
    /// What these registers hold after power-on, apart from what silicon has.
    pub reset_values: &'static [(u32, u32)],
    /// Bits that STATUS always shows.
    pub status_always: u32,
    /// Bits that STATUS never shows.
    pub status_never: u32,
    /// The PHY has registers 0 to 6, 9, 10, 0x10, 0x11, 0x14 and 0x15 only.
    pub phy_registers_few: bool,
    /// What these PHY registers hold after a reset.
    pub phy_defaults: &'static [(u8, u16)],
    /// The link is up from the start if the cable is plugged.
    pub link_up_at_start: bool,
    /// Autonegotiation takes this long when it is restarted.
    pub autoneg_restart_ns: Option<u64>,
    /// IFCS is ignored: the card always adds a right FCS.
    pub tx_ifcs_ignored: bool,
    /// A context descriptor inside a packet spoils the packet.
    pub tx_context_spoils_packet: bool,
    /// A received descriptor is written twice, DD in the second pass.
    pub rx_status_written_last: bool,
    /// RDTR and RADV delay nothing.
    pub rx_timers_ignored: bool,
    /// RXDMT0 with every frame while descriptors are few, not only when they become few.
    pub rxdmt0_by_level: bool,
    /// ITR does nothing.
    pub itr_ignored: bool,
    /// The subsystem ids that the emulator shows.
    pub subsystem: Option<(u16, u16)>,
    /// The subsystem ids follow the part that is shown.
    pub subsystem_by_part: bool,
    /// The PCI revision, if none was asked for.
    pub revision: Option<u8>,
    /// Base address registers are 32 bits wide; the I/O window has this number and length.
    pub io_bar: Option<(u8, u8)>,
    /// The I/O window reads 0 and forgets writes.
    pub io_window_dead: bool,
    /// No capability in configuration space.
    pub no_capabilities: bool,
    /// Interrupts are never messages.
    pub no_messages: bool,
    /// CTRL after a reset.
    pub ctrl_after_reset: Option<u32>,
}

/// What QEMU's card does not implement, beyond what no emulator does.
const QEMU_ABSENT: &[(u32, u32)] = &[
    (regs::TIPG, regs::TIPG),
    (regs::RSRPD, regs::RSRPD),
    (regs::TIDV, regs::TIDV),
    (regs::TSPMT, regs::TSPMT),
    (regs::RXCSUM, regs::RXCSUM),
];
/// What QEMU's card holds at power-on: MANC and LEDCTL.
const QEMU_VALUES: &[(u32, u32)] = &[(regs::MANC, 0x0022_2300), (regs::LEDCTL, 0x602)];
/// What VirtualBox reads as zero: FIFO registers, TXDMAC, the wake-up block.
const VIRTUALBOX_ABSENT: &[(u32, u32)] = &[
    (regs::RDFH, regs::RDFPC),
    (regs::TXDMAC, regs::TXDMAC),
    (regs::TDFH, regs::TDFPC),
    (regs::WUC, regs::WUS),
    (regs::IPAV, regs::FFLT + 0x1f),
    (regs::FFMT, regs::FFVT + 0x3ff),
];

/// A second, in nanoseconds.
const SECOND_NS: u64 = 1_000_000_000;

impl Quirks {
    /// Subsystem vendor and id that a fresh EEPROM of this part holds.
    pub(crate) fn subsystem_of(self, id: u16) -> (u16, u16) {
        match (self.subsystem_by_part, id) {
            (true, 0x1004) => (0x8086, 0x1004),
            (true, 0x100f) => (0x15ad, 0x0750),
            _ => self.subsystem.unwrap_or(BLANK_SUBSYSTEM),
        }
    }
}

/// The subsystem of a card with a blank EEPROM (8254x SDM 5.6.9).
pub(crate) const BLANK_SUBSYSTEM: (u16, u16) = (0x8086, 0x1008);

impl Profile {
    /// The deviations of this profile.
    #[must_use]
    pub fn quirks(self) -> Quirks {
        match self {
            Profile::Silicon => Quirks::default(),
            Profile::Qemu => qemu(),
            Profile::VirtualBox => virtualbox(),
            Profile::Vmware => vmware(),
        }
    }
}

fn qemu() -> Quirks {
    Quirks {
        reset_keeps_registers: true,
        eerd_layout: Some(EerdLayout::B),
        eerd_instant: true,
        eeprom_grant_not_needed: true,
        mdic_instant: true,
        autoneg_ns: Some(SECOND_NS / 2),
        slu_ignored: true,
        tx_synchronous: true,
        tx_unpadded: true,
        tx_legacy_checksum_ignored: true,
        tx_without_link: true,
        rx_pads_short: true,
        rx_checksum_ignored: true,
        rx_raw_checksum_untouched: true,
        rx_fcs_not_written: true,
        rx_pif_never: true,
        rx_waits_on_the_wire: true,
        rx_whole_or_lost: true,
        rctl_write_blocks_rx_ns: Some(SECOND_NS),
        mac_loopback_ignored: true,
        stats_subset: true,
        stats_missed_kept: true,
        interrupt_gap: Some(500),
        sparse_registers: true,
        absent_registers: QEMU_ABSENT,
        reset_values: QEMU_VALUES,
        status_always: 1 << 31 | 1 << 19 | 3 << 8,
        status_never: 1 << 11,
        phy_registers_few: true,
        link_up_at_start: true,
        tx_ifcs_ignored: true,
        rx_status_written_last: true,
        rx_timers_ignored: true,
        rxdmt0_by_level: true,
        subsystem: Some((0x1af4, 0x1100)),
        revision: Some(3),
        io_bar: Some((1, 64)),
        io_window_dead: true,
        no_capabilities: true,
        ctrl_after_reset: Some(0x0014_0240),
        ..Quirks::default()
    }
}

fn virtualbox() -> Quirks {
    Quirks {
        eerd_layout: Some(EerdLayout::A),
        eerd_instant: true,
        mdic_instant: true,
        mdic_ignores_interrupt_writes: true,
        autoneg_ns: Some(5 * SECOND_NS),
        txqe_never: true,
        rx_pads_short: true,
        rx_checksum_ignored: true,
        rx_pif_reversed: true,
        rx_truncates: true,
        tail_may_be_ring_size: true,
        stats_halves_clear_alone: true,
        icr_mask: Some(0x0001_f6df),
        sparse_registers: true,
        absent_registers: VIRTUALBOX_ABSENT,
        status_always: 1,
        status_never: 3 << 10,
        phy_defaults: &[(4, 0x01e1), (9, 0x1e00), (0x10, 0x0068), (0x14, 0x0d60)],
        autoneg_restart_ns: Some(2 * SECOND_NS),
        tx_context_spoils_packet: true,
        rx_timers_ignored: true,
        itr_ignored: true,
        subsystem: Some((0x8086, 0x001e)),
        subsystem_by_part: true,
        io_bar: Some((2, 8)),
        no_messages: true,
        ctrl_after_reset: Some(0x0000_0a09),
        ..Quirks::default()
    }
}

fn vmware() -> Quirks {
    Quirks {
        reset_leaves_address_invalid: true,
        secondary_addresses_ignored: true,
        subsystem: Some((0x15ad, 0x0750)),
        revision: Some(1),
        ..Quirks::default()
    }
}
