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
/// The same without its prefix length.
pub const THERE_HOST: &str = "10.9.0.1";
/// Where the peer's `naio-remote` serves payload.
pub const REMOTE: &str = "10.9.0.1:5001";
/// Where it reads what senders send.
pub const SINK: &str = "10.9.0.1:5002";

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum Experiment {
    /// Pull --size bytes over one connection.
    Recv,
    /// Send --size bytes over --sockets connections, from buffers.
    Send,
    /// Send --size bytes over --sockets connections, from a file in memory.
    Sendfile,
}

impl Experiment {
    /// Its name in JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Recv => "recv",
            Self::Send => "send",
            Self::Sendfile => "sendfile",
        }
    }

    /// What an arm does with its payload, for a line of progress.
    #[must_use]
    pub fn verb(self) -> &'static str {
        match self {
            Self::Recv => "receives",
            Self::Send | Self::Sendfile => "sends",
        }
    }

    /// Its arms: naio's, the kernel's usual one, and what else the kernel has.
    #[must_use]
    pub fn arms(self) -> &'static [Arm] {
        match self {
            Self::Recv => &[Arm::NaioRecv, Arm::NaioRecvLent, Arm::KernelRecv],
            Self::Send => &[Arm::NaioSend, Arm::KernelSend, Arm::KernelSendZerocopy],
            Self::Sendfile => &[Arm::NaioSendfile, Arm::KernelSendfile],
        }
    }
}

/// Who moves the bytes, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, clap::ValueEnum)]
pub enum Arm {
    /// naio: our driver over vfio-pci, smoltcp, the event queue; receives posted ahead.
    NaioRecv,
    /// The same, but the bytes are lent where the card wrote them.
    NaioRecvLent,
    /// The kernel: its e1000 driver, its TCP, `recv()`.
    KernelRecv,
    /// naio: sends from buffers, submitted ahead.
    NaioSend,
    /// The kernel: epoll and `send()`.
    KernelSend,
    /// The kernel: epoll and `send()` with `MSG_ZEROCOPY`.
    KernelSendZerocopy,
    /// naio: `sendfile` operations, submitted ahead.
    NaioSendfile,
    /// The kernel: epoll and `sendfile()`.
    KernelSendfile,
}

impl Arm {
    /// Its name in tables and JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NaioRecv => "naio-recv",
            Self::NaioRecvLent => "naio-recv-lent",
            Self::KernelRecv => "kernel-recv",
            Self::NaioSend => "naio-send",
            Self::KernelSend => "kernel-send",
            Self::KernelSendZerocopy => "kernel-send-zerocopy",
            Self::NaioSendfile => "naio-sendfile",
            Self::KernelSendfile => "kernel-sendfile",
        }
    }

    /// The program that plays it.
    #[must_use]
    pub fn program(self) -> &'static str {
        match self {
            Self::KernelRecv => "sync-recv",
            Self::KernelSend | Self::KernelSendZerocopy => "sync-send",
            Self::KernelSendfile => "sync-sendfile",
            Self::NaioRecvLent => "naio-recv",
            Self::NaioRecv | Self::NaioSend | Self::NaioSendfile => self.name(),
        }
    }

    /// Whether it runs over naio; otherwise over the kernel.
    #[must_use]
    pub fn is_naio(self) -> bool {
        matches!(self, Self::NaioRecv | Self::NaioRecvLent | Self::NaioSend | Self::NaioSendfile)
    }

    /// The experiment it belongs to.
    #[must_use]
    pub fn experiment(self) -> Experiment {
        match self {
            Self::NaioRecv | Self::NaioRecvLent | Self::KernelRecv => Experiment::Recv,
            Self::NaioSend | Self::KernelSend | Self::KernelSendZerocopy => Experiment::Send,
            Self::NaioSendfile | Self::KernelSendfile => Experiment::Sendfile,
        }
    }

    /// Shell lines that give the card to this arm.
    #[must_use]
    pub fn prepare(self) -> String {
        if self.is_naio() {
            format!(
                "try vfio load vfio_iommu_type1\ntry vfio-pci load vfio-pci\ntry bind bind {CARD} vfio-pci\n"
            )
        } else {
            format!("try e1000 load e1000\ntry bind bind {CARD} e1000\ntry up up {CARD} {HERE}\n")
        }
    }

    /// The command that moves `mib` MiB, over `sockets` connections if it sends, and prints one JSON object.
    #[must_use]
    pub fn command(self, mib: u64, sockets: u32, hashed: bool) -> String {
        let program = self.program();
        let hash = if hashed { " --sha256" } else { "" };
        let own =
            if self.is_naio() { format!(" --device vfio:{CARD} --address {HERE}") } else { String::new() };
        let there = match self.experiment() {
            Experiment::Recv => format!("--remote {REMOTE}"),
            Experiment::Send | Experiment::Sendfile => format!("--remote {SINK} --sockets {sockets}"),
        };
        let how = match self {
            Self::KernelSendZerocopy => " --zerocopy",
            Self::NaioRecvLent => " --lent",
            _ => "",
        };
        format!("{program}{own} {there} --size {mib}MiB --json{hash}{how}")
    }
}

/// What the rig reads of an arm's JSON object; fields it does not know are ignored.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Report {
    /// Payload bytes moved.
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
    fn every_arm_of_an_experiment_belongs_to_it_and_naio_comes_first() {
        for experiment in [Experiment::Recv, Experiment::Send, Experiment::Sendfile] {
            let arms = experiment.arms();
            assert!(arms.iter().all(|arm| arm.experiment() == experiment));
            assert!(arms[0].is_naio() && arms.is_sorted_by_key(|arm| !arm.is_naio()), "ours first");
        }
    }

    #[test]
    fn the_arm_without_copy_differs_from_send_by_its_flag_alone() {
        let (plain, zerocopy) = (Arm::KernelSend, Arm::KernelSendZerocopy);
        assert_eq!(zerocopy.command(8, 10, true), plain.command(8, 10, true) + " --zerocopy");
        assert_eq!((zerocopy.prepare(), zerocopy.program()), (plain.prepare(), plain.program()));
    }

    #[test]
    fn a_report_with_fields_we_do_not_know_is_read() {
        let text =
            r#"{"program":"naio-recv","bytes":5,"turns":7,"counters":{"rx_frames":9},"sha256_ok":true}"#;
        let report: Report = serde_json::from_str(text).unwrap();
        assert_eq!((report.bytes, report.counters["rx_frames"], report.sha256_ok), (5, 9, Some(true)));
    }
}
