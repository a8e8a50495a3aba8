//! `naio model info`: the family as a table, or one part in full.

use crate::card::CardArguments;
use crate::failure::Failure;
use crate::say;
use naio_device::Identity;
use naio_e1000::ids::identify;
use naio_e1000_model::parts::{EerdLayout, Mac, Media, PARTS, Part};
use naio_e1000_model::{Model, wire};

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    card: CardArguments,
}

const INTEL: u16 = 0x8086;

pub(super) fn run(arguments: &Arguments) -> Result<(), Failure> {
    if arguments.card.is_chosen() { one(arguments) } else { all() }
}

fn all() -> Result<(), Failure> {
    say(format!(
        "{:<6}  {:<15} {:<7} {:<8} {:<4} {:<5} {:<6} {:<6} {:>7} {:>6}  {:<4} {:<6}",
        "id",
        "part",
        "media",
        "offloads",
        "TSO",
        "v6sum",
        "timers",
        "PHY",
        "FIFO KB",
        "ring",
        "EERD",
        "driver"
    ));
    for part in PARTS.iter().copied() {
        say(format!(
            "{:#06x}  {:<15} {:<7} {:<8} {:<4} {:<5} {:<6} {:<6} {:>7} {:>6}  {:<4} {:<6}",
            part.id,
            part.name,
            media(part),
            yes(part.has_offloads()),
            yes(part.has_tso()),
            yes(part.has_rx_ipv6_checksum()),
            yes(part.is_82540_or_later()),
            phy(part),
            part.packet_buffer_kb(),
            part.ring_max(),
            eerd(part),
            yes(is_driven(part)),
        ));
    }
    say("");
    say(
        "offloads: extended descriptors, checksums, VLAN, jumbo frames. TSO: TCP segmentation. v6sum: checksum verdict \
         on received IPv6.",
    );
    say(
        "timers: ITR, RADV, TADV. FIFO: packet buffer, both ways. ring: most descriptors. EERD: layout of the EEPROM \
         read register.",
    );
    say("driver: naio drives it. All of them can be modelled; --id or --part tells more about one.");
    Ok(())
}

fn one(arguments: &Arguments) -> Result<(), Failure> {
    let options = arguments.card.options()?;
    let domain = naio_dma::Domain::new();
    let model = Model::new(options, &domain, wire::Null)?;
    let card = model.card();
    let part = card.part();
    let line = |name: &str, value: String| say(format!("{name:<30} {value}"));
    line("part", part.name.to_owned());
    line("PCI id", format!("{INTEL:04x}:{:04x}, revision {}", part.id, part.revision()));
    line("media", media(part).to_owned());
    line("PHY", phy_in_full(part));
    line("two ports", yes(part.is_dual()).to_owned());
    line("checksum offload, VLAN, jumbo", yes(part.has_offloads()).to_owned());
    line("TCP segmentation", yes(part.has_tso()).to_owned());
    line("receive IP and UDP checksums", yes(part.has_rx_ip_checksum()).to_owned());
    line("receive checksums of IPv6", yes(part.has_rx_ipv6_checksum()).to_owned());
    line("ITR, RADV, TADV, LEDCTL", yes(part.is_82540_or_later()).to_owned());
    let (all, receive) = (part.packet_buffer_kb(), part.rx_buffer_kb());
    line("packet buffer", format!("{all} KB, of which {receive} receive after power-on"));
    line(
        "descriptor rings",
        format!("up to {} descriptors, aligned to {} bytes", part.ring_max(), part.ring_align()),
    );
    line("EEPROM read register", eerd_in_full(part).to_owned());
    line("EEPROM pins need a grant", yes(part.needs_eeprom_grant()).to_owned());
    line("MDIC", yes(part.has_mdic()).to_owned());
    line("registers with a name", card.registers().len().to_string());
    line("driven by naio", driver(part));
    let words = card.eeprom();
    line("EEPROM", format!("{} words, the first:", words.len()));
    for (n, row) in words.chunks(8).take(8).enumerate() {
        let row: Vec<String> = row.iter().map(|word| format!("{word:04x}")).collect();
        say(format!("  {:02x}: {}", n * 8, row.join(" ")));
    }
    Ok(())
}

fn yes(is: bool) -> &'static str {
    if is { "yes" } else { "-" }
}

fn media(part: Part) -> &'static str {
    match part.media {
        Media::Copper => "copper",
        Media::Fiber => "fibre",
        Media::Serdes => "serdes",
    }
}

fn has_phy(part: Part) -> bool {
    part.media == Media::Copper && part.mac != Mac::I82542
}

fn phy(part: Part) -> &'static str {
    match has_phy(part) {
        false => "-",
        true if part.is_82541_or_82547() => "IGP",
        true => "M88",
    }
}

fn phy_in_full(part: Part) -> String {
    match phy(part) {
        "-" => "none: ten-bit interface or serialiser".into(),
        name => format!("{name}, {:#010x}", part.phy_id()),
    }
}

fn eerd(part: Part) -> &'static str {
    match part.eerd() {
        EerdLayout::Absent => "-",
        EerdLayout::A => "A",
        EerdLayout::B => "B",
    }
}

fn eerd_in_full(part: Part) -> &'static str {
    match part.eerd() {
        EerdLayout::Absent => "none, only pins",
        EerdLayout::A => "layout A: DONE is bit 4, the address starts at bit 8",
        EerdLayout::B => "layout B: DONE is bit 1, the address starts at bit 2",
    }
}

fn identity(part: Part) -> Identity {
    let revision = part.revision();
    Identity { vendor: INTEL, device: part.id, subsystem_vendor: INTEL, subsystem: 0, revision }
}

fn is_driven(part: Part) -> bool {
    identify(identity(part)).is_ok()
}

fn driver(part: Part) -> String {
    identify(identity(part)).map_or_else(|why| format!("no: {why}"), |_| "yes".into())
}
