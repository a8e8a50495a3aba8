//! Which card in software a command means, and that card with the driver on it in virtual time.
//!
//! Receives flags, hands on options of the model, or an open driver. It moves no frame.

use crate::failure::Failure;
use naio_dma::Domain;
use naio_e1000::{Config, E1000};
use naio_e1000_model::faults::Faults;
use naio_e1000_model::parts::{DEFAULT_ID, PARTS, Part};
use naio_e1000_model::{Card, Model, Options, Profile, Wire};
use std::str::FromStr;

/// The card, by id or by name, and whose it pretends to be.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct CardArguments {
    /// PCI device id: 0x100e. `naio model info` lists them.
    #[arg(long, value_name = "ID", conflicts_with = "part")]
    id: Option<DeviceId>,
    /// Part by its name: 82540EM. Of several with one name, the first in the list.
    #[arg(long, value_name = "NAME")]
    part: Option<String>,
    /// Whose card it is: silicon, or an emulator's with its deviations.
    #[arg(long, value_enum, default_value_t = ProfileName::Silicon)]
    profile: ProfileName,
}

/// [`Profile`] as a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ProfileName {
    /// As the datasheet says.
    Silicon,
    /// QEMU's e1000.
    Qemu,
    /// VirtualBox.
    Virtualbox,
    /// VMware, as far as drivers' comments tell.
    Vmware,
}

/// A PCI device id in hexadecimal, with `0x` or without.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DeviceId(u16);

/// Text that is no id.
#[derive(Clone, Debug, thiserror::Error)]
#[error("`{0}` is no device id; write four hexadecimal digits, for example 0x100e")]
pub(crate) struct DeviceIdError(String);

impl FromStr for DeviceId {
    type Err = DeviceIdError;

    fn from_str(text: &str) -> Result<DeviceId, DeviceIdError> {
        let digits = text.strip_prefix("0x").unwrap_or(text);
        u16::from_str_radix(digits, 16).map(DeviceId).map_err(|_| DeviceIdError(text.to_owned()))
    }
}

impl CardArguments {
    /// Whether the user chose a part.
    pub(crate) fn is_chosen(&self) -> bool {
        self.id.is_some() || self.part.is_some()
    }

    /// The part, the default one unless the user chose.
    pub(crate) fn part(&self) -> Result<Part, Failure> {
        let found = match (&self.part, self.id) {
            (Some(name), _) => PARTS.iter().copied().find(|part| part.name.eq_ignore_ascii_case(name)),
            (None, id) => Part::of_id(id.map_or(DEFAULT_ID, |id| id.0)),
        };
        let told = || match (&self.part, self.id) {
            (Some(name), _) => name.clone(),
            (None, id) => format!("{:#06x}", id.map_or(DEFAULT_ID, |id| id.0)),
        };
        found.ok_or_else(|| Failure::NoPart(told()))
    }

    /// Options of a card like this, in virtual time.
    pub(crate) fn options(&self) -> Result<Options, Failure> {
        let profile = match self.profile {
            ProfileName::Silicon => Profile::Silicon,
            ProfileName::Qemu => Profile::Qemu,
            ProfileName::Virtualbox => Profile::VirtualBox,
            ProfileName::Vmware => Profile::Vmware,
        };
        Ok(Options { device_id: self.part()?.id, quirks: profile.quirks(), ..Options::default() })
    }
}

/// The driver over a card in software, its memory, and a hand on the card.
pub(crate) struct Driven {
    pub(crate) nic: E1000<Model>,
    pub(crate) domain: Domain,
    pub(crate) card: Card,
}

/// Powers a card on at one end of `wire`, with these `faults` from the beginning, and brings the driver up on it.
pub(crate) fn drive(
    options: Options,
    wire: impl Wire + 'static,
    faults: impl FnOnce(&mut Faults),
) -> Result<Driven, Failure> {
    let domain = Domain::new();
    let model = Model::new(options, &domain, wire)?;
    let card = model.card();
    card.inject(faults);
    let nic = E1000::open(model, &Config::default())?;
    Ok(Driven { nic, domain, card })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_hexadecimal_with_or_without_their_prefix() {
        for text in ["0x100e", "100e", "100E"] {
            assert_eq!(text.parse::<DeviceId>().expect("an id"), DeviceId(0x100e));
        }
        assert!("8254x".parse::<DeviceId>().is_err() && "0x".parse::<DeviceId>().is_err());
    }
}
