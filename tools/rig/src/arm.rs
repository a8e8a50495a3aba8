//! The arms of an experiment: which program, with which flags, on which card. The one place that knows the command
//! lines of naio's programs.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// PCI address of the card under test.
pub const CARD: &str = "0000:00:02.0";
/// PCI address of the peer's card in the two-card topology.
pub const PEER_CARD: &str = "0000:00:03.0";
/// Address of the side under test.
pub const HERE: &str = "10.9.0.2/24";
/// The same without its prefix length.
pub const HERE_HOST: &str = "10.9.0.2";
/// Address of the peer.
pub const THERE: &str = "10.9.0.1/24";
/// Where the peer's `naio-remote` serves payload.
pub const REMOTE: &str = "10.9.0.1:5001";

/// Who receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum Arm {
    /// naio: our driver over vfio-pci, smoltcp, the event queue.
    #[value(name = "naio-recv")]
    Naio,
    /// The kernel: its e1000 driver, its TCP, `recv()`.
    #[value(name = "kernel-recv")]
    Kernel,
}

impl Arm {
    /// Its name in tables and JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Naio => "naio-recv",
            Self::Kernel => "kernel-recv",
        }
    }

    /// The program that plays it.
    #[must_use]
    pub fn program(self) -> &'static str {
        match self {
            Self::Naio => "naio-recv",
            Self::Kernel => "sync-recv",
        }
    }

    /// Shell lines that give the card to this arm.
    #[must_use]
    pub fn prepare(self) -> String {
        match self {
            Self::Naio => format!(
                "try vfio load vfio_iommu_type1\ntry vfio-pci load vfio-pci\ntry bind bind {CARD} vfio-pci\n"
            ),
            Self::Kernel => {
                format!("try e1000 load e1000\ntry bind bind {CARD} e1000\ntry up up {CARD} {HERE}\n")
            }
        }
    }

    /// The command that receives `mib` MiB and prints one JSON object.
    #[must_use]
    pub fn command(self, mib: u64, hashed: bool) -> String {
        let program = self.program();
        let hash = if hashed { " --sha256" } else { "" };
        let own = match self {
            Self::Naio => format!(" --device vfio:{CARD} --address {HERE} --marks"),
            Self::Kernel => String::new(),
        };
        format!("{program}{own} --remote {REMOTE} --size {mib}MiB --json{hash}")
    }
}

/// What the rig reads of an arm's JSON object; fields it does not know are ignored.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// Payload bytes received.
    pub bytes: u64,
    /// Wall time.
    pub seconds: f64,
    /// Rate in 10^6 bytes a second.
    pub mb_per_s: f64,
    /// Share of the guest's CPU that was not idle, 0 to 1.
    pub cpu_busy: f64,
    /// Whether payload and remote agree on the hash, if it was asked for.
    pub sha256_ok: Option<bool>,
    /// Mean frames in a turn that found any (naio only).
    pub frames_per_turn: Option<f64>,
    /// Driver counters by name (naio only).
    pub counters: BTreeMap<String, u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_with_fields_we_do_not_know_is_read() {
        let text =
            r#"{"program":"naio-recv","bytes":5,"turns":7,"counters":{"rx_frames":9},"sha256_ok":true}"#;
        let report: Report = serde_json::from_str(text).unwrap();
        assert_eq!((report.bytes, report.counters["rx_frames"], report.sha256_ok), (5, 9, Some(true)));
    }
}
