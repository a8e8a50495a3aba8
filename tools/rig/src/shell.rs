//! `cargo rig shell`: a guest for a person to play in, naio's programs inside, the card bound to vfio-pci.

use crate::arm::{CARD, HERE, PEER_CARD, REMOTE, SINK, THERE};
use crate::guest::Job;
use crate::paths::Paths;
use crate::qemu::{self, Boot, BootError, Iommu, Machine};
use crate::setup::Parts;
use crate::topology::{TapWire, TopologyError, is_root};
use core::time::Duration;

/// Why there is no shell.
#[derive(Debug, thiserror::Error)]
pub enum ShellError {
    /// The guest.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// The wire.
    #[error(transparent)]
    Topology(#[from] TopologyError),
}

/// Boots the guest on our terminal: with root on a TAP to this machine, otherwise with a peer inside the guest.
///
/// # Errors
/// [`ShellError`].
pub fn run(paths: &Paths, parts: &Parts) -> Result<(), ShellError> {
    let root = is_root();
    let wire = if root { Some(TapWire::create(parts.tools.ip.as_deref())?) } else { None };
    let mut peer = None;
    if let (Some(wire), Some(remote)) = (&wire, parts.programs.find("naio-remote")) {
        std::fs::create_dir_all(paths.runs()).map_err(TopologyError::Log)?;
        let log = paths.runs().join(format!("{}-remote.log", std::process::id()));
        peer = Some(wire.peer(&remote, &log)?);
    }
    let machine =
        if root { Machine::on_tap(Iommu::Translated) } else { Machine::with_peer(Iommu::Translated) };
    let job = Job::with_everything(parts, &script(root));
    let boot = Boot { paths, parts, machine: &machine, job: &job, wire: wire.as_ref(), limit: Duration::MAX };
    qemu::boot_interactive(&boot)?;
    drop(peer);
    Ok(())
}

fn script(tap: bool) -> String {
    let mut script =
        "try vfio load vfio_iommu_type1\ntry vfio-pci load vfio-pci\ntry e1000 load e1000\n".to_owned();
    script.push_str(&format!("try bind bind {CARD} vfio-pci\n"));
    if !tap {
        script.push_str(&format!("try peer peer {PEER_CARD} {THERE}\ntry serve serve\n"));
    }
    let where_is_it = if tap { "on the machine you came from" } else { "in a namespace of this guest" };
    script.push_str(&format!(
        r#"cat <<'END'

  A guest with an 82540EM at {CARD}, bound to vfio-pci behind an IOMMU.
  A Linux peer {where_is_it} serves payload at {REMOTE}
  and reads it at {SINK}.

    naio-recv --device vfio:{CARD} --address {HERE} --remote {REMOTE} --size 64MiB --sha256
    naio-send --device vfio:{CARD} --address {HERE} --remote {SINK} --size 64MiB --sha256

  The same with the kernel's driver:

    bind {CARD} e1000 && up {CARD} {HERE}
    sync-recv --remote {REMOTE} --size 64MiB --sha256
    sync-send --remote {SINK} --size 64MiB --sha256

  And back:  bind {CARD} vfio-pci          Leave: exit          Stop QEMU: Ctrl-A X

END
export ENV=/lib.sh
setsid cttyhack sh -i
"#
    ));
    script
}
