//! How emulators' cards differ from silicon: each deviation has a name, and a profile is a set of
//! them (fact sheet section 6). Hands on a plain value; who deviates asks for its own name.

use crate::parts::EerdLayout;

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
    /// ICR keeps only these bits.
    pub icr_mask: Option<u32>,
    /// At least this much time between interrupts, in units of 256 ns.
    pub interrupt_gap: Option<u32>,
    /// Offsets that emulators do not implement: they read 0 and forget writes.
    pub sparse_registers: bool,
    /// The subsystem ids that the emulator shows.
    pub subsystem: Option<(u16, u16)>,
    /// CTRL after a reset.
    pub ctrl_after_reset: Option<u32>,
}

/// A second, in nanoseconds.
const SECOND_NS: u64 = 1_000_000_000;

impl Profile {
    /// The deviations of this profile.
    #[must_use]
    pub fn quirks(self) -> Quirks {
        match self {
            Profile::Silicon => Quirks::default(),
            Profile::Qemu => Quirks {
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
                interrupt_gap: Some(500),
                sparse_registers: true,
                subsystem: Some((0x1af4, 0x1100)),
                ctrl_after_reset: Some(0x0014_0240),
                ..Quirks::default()
            },
            Profile::VirtualBox => Quirks {
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
                subsystem: Some((0x8086, 0x001e)),
                ctrl_after_reset: Some(0x0000_0a09),
                ..Quirks::default()
            },
            Profile::Vmware => Quirks {
                reset_leaves_address_invalid: true,
                secondary_addresses_ignored: true,
                subsystem: Some((0x15ad, 0x0750)),
                ..Quirks::default()
            },
        }
    }
}
