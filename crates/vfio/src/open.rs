//! What must be true of the machine before a card can be used, checked in the order in which a
//! person would mend it, and said in words.

use crate::address::{AddressError, PciAddress};
use naio_dma::AttachError;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use vfio_ioctls::VfioError;

/// The container device.
const CONTAINER: &str = "/dev/vfio/vfio";
/// Drivers that do not stand in the way of a group (kernel `vfio_dev_driver_allowed`).
const HARMLESS_DRIVERS: &[&str] = &["vfio-pci", "pci-stub", "pcieport"];

/// A neighbour in an IOMMU group, and the driver that holds it.
type Neighbour = (String, String);

/// The card cannot be used. `Display` says what is wrong, [`OpenError::help`] what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Not an address.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// Nothing there.
    #[error("there is no PCI device {address}")]
    NoDevice {
        /// The address.
        address: PciAddress,
    },
    /// The machine gives the card no IOMMU group.
    #[error("{address} is in no IOMMU group: this machine has no IOMMU, or it is off")]
    NoIommu {
        /// The address.
        address: PciAddress,
    },
    /// Some other driver has the card, or none.
    #[error("{address} is {}, not to vfio-pci", holder(.driver))]
    NotBound {
        /// The address.
        address: PciAddress,
        /// The driver that has it.
        driver: Option<String>,
    },
    /// VFIO is not there.
    #[error("{CONTAINER} cannot be opened")]
    NoVfio(#[source] io::Error),
    /// The user may not use the group.
    #[error("no permission to open {}", .path.display())]
    Permission {
        /// The device file.
        path: PathBuf,
    },
    /// Somebody uses the card already.
    #[error("{address} is in use by another program (IOMMU group {group} is open)")]
    Busy {
        /// The address.
        address: PciAddress,
        /// The IOMMU group.
        group: String,
    },
    /// Other devices of the group belong to kernel drivers.
    #[error("IOMMU group {group} of {address} is not viable: {}", list(.others))]
    NotViable {
        /// The address.
        address: PciAddress,
        /// The IOMMU group.
        group: String,
        /// Each neighbour in the way and its driver.
        others: Vec<Neighbour>,
    },
    /// The platform cannot remap interrupts, so the kernel refuses.
    #[error("the kernel refuses to hand {address} to a program, because interrupts are not remapped")]
    NoInterruptRemapping {
        /// The address.
        address: PciAddress,
    },
    /// BAR0 is no register window.
    #[error("{address} has no usable register window: {what}")]
    Registers {
        /// The address.
        address: PciAddress,
        /// What is wrong with it.
        what: &'static str,
    },
    /// Mapping the register window or making a descriptor failed.
    #[error("{what}")]
    System {
        /// What was tried.
        what: &'static str,
        /// The reason.
        #[source]
        source: io::Error,
    },
    /// Configuration space does not take writes.
    #[error(transparent)]
    Device(#[from] naio_device::DeviceError),
    /// The memory of the process cannot be shown to the card.
    #[error(transparent)]
    Memory(#[from] AttachError),
    /// Anything else that VFIO refused.
    #[error("VFIO refuses {address}")]
    Vfio {
        /// The address.
        address: PciAddress,
        /// Its reason.
        #[source]
        source: VfioError,
    },
}

impl OpenError {
    /// What the user can do about it, as a sentence or a command.
    #[must_use]
    pub fn help(&self) -> Option<String> {
        Some(match self {
            OpenError::NoDevice { .. } => "`lspci -D -d 8086:` lists the Intel devices".into(),
            OpenError::NoIommu { .. } => {
                "switch the IOMMU on in the firmware and boot with `intel_iommu=on` (Intel) or \
                 `amd_iommu=on`; in QEMU add `-device intel-iommu,intremap=on`"
                    .into()
            }
            OpenError::NotBound { address, .. } => format!(
                "as root: modprobe vfio-pci; echo vfio-pci > /sys/bus/pci/devices/{address}/driver_override; \
                 echo {address} > /sys/bus/pci/devices/{address}/driver/unbind; \
                 echo {address} > /sys/bus/pci/drivers_probe"
            ),
            OpenError::NoVfio(_) => "as root: modprobe vfio-pci".into(),
            OpenError::Permission { path } => {
                format!("run as root, or let root give you the group: chown $USER {}", path.display())
            }
            OpenError::Busy { .. } => "end the other program first; `fuser -v /dev/vfio/*` names it".into(),
            OpenError::NotViable { .. } => {
                "bind these devices to vfio-pci too, or unbind them from their drivers: a group is one \
                 unit of protection"
                    .into()
            }
            OpenError::NoInterruptRemapping { .. } => {
                "switch interrupt remapping on in the firmware (QEMU: `-device intel-iommu,intremap=on`); \
                 only where you trust the card: `vfio_iommu_type1.allow_unsafe_interrupts=1`"
                    .into()
            }
            OpenError::Memory(_) => "raise RLIMIT_MEMLOCK (`ulimit -l`), or use smaller rings".into(),
            _ => return None,
        })
    }
}

fn holder(driver: &Option<String>) -> String {
    driver.as_ref().map_or("bound to no driver".into(), |driver| format!("bound to {driver}"))
}

fn list(others: &[Neighbour]) -> String {
    let each: Vec<String> =
        others.iter().map(|(address, driver)| format!("{address} belongs to {driver}")).collect();
    each.join(", ")
}

/// A card that passed every check which needs no permission.
#[derive(Debug)]
pub(crate) struct Candidate {
    pub(crate) address: PciAddress,
    pub(crate) sysfs: PathBuf,
    pub(crate) group: String,
}

/// Looks at sysfs under `root` (`/sys` outside of tests).
pub(crate) fn check(root: &Path, address: PciAddress) -> Result<Candidate, OpenError> {
    let sysfs = root.join("bus/pci/devices").join(address.to_string());
    if !sysfs.exists() {
        return Err(OpenError::NoDevice { address });
    }
    let group = link_name(&sysfs.join("iommu_group")).ok_or(OpenError::NoIommu { address })?;
    let driver = link_name(&sysfs.join("driver"));
    if driver.as_deref() != Some("vfio-pci") {
        return Err(OpenError::NotBound { address, driver });
    }
    Ok(Candidate { address, sysfs, group })
}

impl Candidate {
    /// Turns what VFIO refused into what a person can act on.
    pub(crate) fn explain(&self, source: VfioError) -> OpenError {
        let address = self.address;
        match source {
            VfioError::OpenContainer(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                OpenError::Permission { path: CONTAINER.into() }
            }
            VfioError::OpenContainer(e) => OpenError::NoVfio(e),
            VfioError::OpenGroup(e, group) if e.kind() == io::ErrorKind::PermissionDenied => {
                OpenError::Permission { path: Path::new("/dev/vfio").join(group) }
            }
            VfioError::OpenGroup(e, group)
                if e.raw_os_error() == Some(rustix::io::Errno::BUSY.raw_os_error()) =>
            {
                OpenError::Busy { address, group }
            }
            VfioError::GroupViable => {
                OpenError::NotViable { address, group: self.group.clone(), others: self.in_the_way() }
            }
            VfioError::ContainerSetIOMMU(e) if e.errno() == rustix::io::Errno::PERM.raw_os_error() => {
                OpenError::NoInterruptRemapping { address }
            }
            // The kernel looks at the whole group when it joins a container.
            VfioError::GroupSetContainer if !self.in_the_way().is_empty() => {
                OpenError::NotViable { address, group: self.group.clone(), others: self.in_the_way() }
            }
            source => OpenError::Vfio { address, source },
        }
    }

    /// Devices of the group that a kernel driver holds.
    fn in_the_way(&self) -> Vec<Neighbour> {
        let Ok(devices) = fs::read_dir(self.sysfs.join("iommu_group/devices")) else { return Vec::new() };
        let mut others: Vec<Neighbour> = devices
            .flatten()
            .filter_map(|entry| {
                let driver = link_name(&entry.path().join("driver"))?;
                let harmless = HARMLESS_DRIVERS.contains(&driver.as_str());
                (!harmless).then(|| (entry.file_name().to_string_lossy().into_owned(), driver))
            })
            .collect();
        others.sort();
        others
    }
}

/// Last component of what a symbolic link points at.
fn link_name(link: &Path) -> Option<String> {
    let target = fs::read_link(link).ok()?;
    Some(target.file_name()?.to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    /// A sysfs with one card in group 5, in a folder that goes away.
    struct FakeSysfs(PathBuf);

    impl FakeSysfs {
        fn new(name: &str, drivers: &[(&str, Option<&str>)], iommu: bool) -> FakeSysfs {
            let root = std::env::temp_dir().join(format!("naio-vfio-{name}-{}", std::process::id()));
            for (device, driver) in drivers {
                let at = root.join("bus/pci/devices").join(device);
                fs::create_dir_all(&at).expect("a folder in the temporary directory");
                if let Some(driver) = driver {
                    symlink(Path::new("../drivers").join(driver), at.join("driver")).expect("link");
                }
                if iommu {
                    symlink(root.join("kernel/iommu_groups/5"), at.join("iommu_group")).expect("link");
                    let members = root.join("kernel/iommu_groups/5/devices");
                    fs::create_dir_all(&members).expect("folder");
                    symlink(&at, members.join(device)).expect("link");
                }
            }
            FakeSysfs(root)
        }

        fn check(&self) -> Result<Candidate, OpenError> {
            check(&self.0, "0000:00:02.0".parse().expect("an address"))
        }
    }

    impl Drop for FakeSysfs {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn each_obstacle_is_named_in_the_order_of_mending() {
        let none = FakeSysfs::new("none", &[("0000:00:03.0", None)], true);
        assert!(matches!(none.check(), Err(OpenError::NoDevice { .. })));
        let no_iommu = FakeSysfs::new("iommu", &[("0000:00:02.0", Some("e1000"))], false);
        assert!(matches!(no_iommu.check(), Err(OpenError::NoIommu { .. })));
        let kernel = FakeSysfs::new("kernel", &[("0000:00:02.0", Some("e1000"))], true);
        let e = kernel.check().expect_err("the kernel has it");
        assert_eq!(e.to_string(), "0000:00:02.0 is bound to e1000, not to vfio-pci");
        assert!(e.help().expect("a way out").contains("driver_override"));
        let good = FakeSysfs::new("good", &[("0000:00:02.0", Some("vfio-pci"))], true);
        assert_eq!(good.check().expect("usable").group, "5");
    }

    #[test]
    fn the_neighbours_of_a_group_that_is_not_viable_are_named() {
        let drivers = [
            ("0000:00:02.0", Some("vfio-pci")),
            ("0000:00:02.1", Some("e1000")),
            ("0000:00:1e.0", Some("pcieport")),
        ];
        let sysfs = FakeSysfs::new("viable", &drivers, true);
        let candidate = sysfs.check().expect("bound");
        let e = candidate.explain(VfioError::GroupViable);
        assert_eq!(
            e.to_string(),
            "IOMMU group 5 of 0000:00:02.0 is not viable: 0000:00:02.1 belongs to e1000"
        );
    }

    #[test]
    fn what_the_kernel_answers_becomes_what_a_person_can_do() {
        let sysfs = FakeSysfs::new("answers", &[("0000:00:02.0", Some("vfio-pci"))], true);
        let candidate = sysfs.check().expect("bound");
        let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
        let e = candidate.explain(VfioError::OpenGroup(denied(), "5".into()));
        assert_eq!(e.to_string(), "no permission to open /dev/vfio/5");
        let busy = io::Error::from(rustix::io::Errno::BUSY);
        let e = candidate.explain(VfioError::OpenGroup(busy, "5".into()));
        assert!(matches!(e, OpenError::Busy { .. }));
        let missing = io::Error::from(io::ErrorKind::NotFound);
        let e = candidate.explain(VfioError::OpenContainer(missing));
        assert_eq!(e.help().as_deref(), Some("as root: modprobe vfio-pci"));
    }
}
