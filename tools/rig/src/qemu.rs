//! Boots a guest: QEMU's command line, a deadline, and what came out.
//!
//! Receives a [`Machine`] and a [`Job`]; hands on [`Outcome`]. Every option here has a reason, because a wrong one
//! does not fail but gives other figures.

use crate::deadline::Deadline;
use crate::guest::{self, GuestError, Job};
use crate::paths::Paths;
use crate::process::{self, Guard, ProcessError};
use crate::results::{Event, Results};
use crate::setup::Parts;
use crate::topology::TapWire;
use core::time::Duration;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

/// The card model that experiments use: the 82540EM.
pub const E1000: &str = "e1000";
/// QEMU's models of the family: the 82540EM, the 82544GC and the 82545EM.
pub const MODELS: [&str; 3] = [E1000, "e1000-82544gc", "e1000-82545em"];
const POLL: Duration = Duration::from_millis(50);
/// Exit status of QEMU when the guest says that its job went well: (16 << 1) | 1, see `leave` in `guest/lib.sh`.
const STATUS_DONE: i32 = 33;
/// The same when the job failed: (17 << 1) | 1.
const STATUS_JOB_FAILED: i32 = 35;
/// QEMU did not like its command line.
const STATUS_REFUSED: i32 = 1;
/// Socket of QEMU's monitor, in the folder of the run.
const MONITOR: &str = "monitor";
const PROMPT: &[u8] = b"(qemu)";
/// Length of a socket's address (unix(7): `sun_path`).
const SOCKET_PATH_MAX: usize = 108;
/// How long the monitor may take for a command.
const MONITOR_LIMIT: Duration = Duration::from_secs(10);
/// How much of the console goes into an error.
const CONSOLE_TAIL: usize = 1500;

/// How the guest's kernel treats DMA.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Iommu {
    /// There is an IOMMU and every card goes through it.
    Translated,
    /// There is one; cards with kernel drivers bypass it (`iommu=pt`).
    PassThrough,
    /// There is none.
    Absent,
}

impl Iommu {
    /// Its name in tables and JSON.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Translated => "translated",
            Self::PassThrough => "pt",
            Self::Absent => "none",
        }
    }
}

/// What a card is plugged into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// The TAP of the [`TapWire`] that the guest is booted with.
    Tap,
    /// A hub inside QEMU; cards on the same number are connected. The fastest wire between two cards.
    Hub(u8),
}

/// A network card.
#[derive(Debug, Clone, Copy)]
pub struct Card {
    /// Device number on the root bus, or behind the bridge.
    pub slot: u8,
    /// Behind a PCIe-to-PCI bridge, where all cards share one IOMMU group.
    pub behind_bridge: bool,
    /// QEMU's name for it.
    pub model: &'static str,
    /// Its cable.
    pub wire: Wire,
}

/// A guest's hardware.
#[derive(Debug, Clone)]
pub struct Machine {
    /// The IOMMU.
    pub iommu: Iommu,
    /// The cards.
    pub cards: Vec<Card>,
    /// Virtual CPUs.
    pub vcpus: u8,
    /// Whether the counting plugin is loaded.
    pub counting: bool,
    /// Whether the guest's clock counts its instructions, so that a run with both ends inside repeats. Only with
    /// one vCPU: with two, QEMU 7.2 hangs.
    pub icount: bool,
    /// Whether the guest's kernel speaks IPv6. Without it, no frame is on the wire that nobody asked for.
    pub ipv6: bool,
}

impl Machine {
    /// The same with another model as the card under test; a peer's card stays as it is.
    #[must_use]
    pub fn model(mut self, model: &'static str) -> Self {
        self.cards.iter_mut().take(1).for_each(|card| card.model = model);
        self
    }

    /// One vCPU and the card under test on a TAP: the guest is the measured side alone.
    #[must_use]
    pub fn on_tap(iommu: Iommu) -> Self {
        let card = Card { slot: 2, behind_bridge: false, model: E1000, wire: Wire::Tap };
        Self { iommu, cards: vec![card], vcpus: 1, counting: false, icount: false, ipv6: false }
    }

    /// The card under test and a peer's card, connected inside QEMU.
    #[must_use]
    pub fn with_peer(iommu: Iommu) -> Self {
        let card = |slot| Card { slot, behind_bridge: false, model: E1000, wire: Wire::Hub(1) };
        Self { iommu, cards: vec![card(2), card(3)], vcpus: 1, counting: false, icount: false, ipv6: false }
    }
}

/// A guest to boot.
#[derive(Debug)]
pub struct Boot<'a> {
    /// Folders.
    pub paths: &'a Paths,
    /// What it is made of.
    pub parts: &'a Parts,
    /// Its hardware.
    pub machine: &'a Machine,
    /// What it does.
    pub job: &'a Job,
    /// The TAP, if a card needs one.
    pub wire: Option<&'a TapWire>,
    /// When it must be done.
    pub limit: Duration,
}

/// What came out of a guest.
#[derive(Debug)]
pub struct Outcome {
    /// Its steps.
    pub results: Results,
    /// The plugin's file; empty without plugin.
    pub marks: String,
    /// Folder with console, results and QEMU's messages.
    pub logs: PathBuf,
}

/// Why a guest did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum BootError {
    /// It cannot be packed.
    #[error(transparent)]
    Guest(#[from] GuestError),
    /// A file cannot be read or written.
    #[error("cannot write below target/rig: {0}")]
    Io(#[from] io::Error),
    /// QEMU cannot be started.
    #[error(transparent)]
    Start(#[from] ProcessError),
    /// The machine asks for the plugin and there is none.
    #[error("counting instructions needs the plugin, and there was no C compiler to build it")]
    NoPlugin,
    /// It was still running at the deadline.
    #[error("the guest was not done after {} s; its console ends with:\n{console}", limit.as_secs())]
    Late {
        /// The deadline.
        limit: Duration,
        /// The end of its console.
        console: String,
    },
    /// It ended in another way than a job ends: QEMU refused, or the kernel panicked.
    #[error("the guest ended early (QEMU {status}): {qemu}\nits console ends with:\n{console}")]
    Ended {
        /// QEMU's exit status.
        status: std::process::ExitStatus,
        /// QEMU's messages.
        qemu: String,
        /// The end of its console.
        console: String,
    },
}

/// Boots the guest and waits until its job is done, telling `on_event` of each step.
///
/// A job whose own status is a failure is not an error here: its steps say more.
///
/// # Errors
/// [`BootError`].
pub fn boot(boot: &Boot<'_>, on_event: &mut dyn FnMut(&Event)) -> Result<Outcome, BootError> {
    let logs = run_folder(boot.paths)?;
    let initrd = logs.join("initrd");
    fs::write(&initrd, guest::image(boot.parts, boot.job)?)?;
    let mut command = command(boot, &logs)?;
    let serial = |name: &str| format!("file:{}", logs.join(name).display());
    command.args(["-display", "none", "-serial", &serial("console.log"), "-serial", &serial("results.log")]);
    let socket = logs.join(MONITOR);
    // Without a monitor the guest still runs; a job that asks for one then ends with an error that names the file.
    if socket.as_os_str().len() < SOCKET_PATH_MAX {
        command.arg("-monitor").arg(format!("unix:{},server=on,wait=off", socket.display()));
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(logs.join("qemu.log"))?);
    let mut guard = Guard::spawn(&mut command)?;
    let deadline = Deadline::after(boot.limit);
    let mut tail = Tail::new(logs.join("results.log"));
    let mut results = Results::default();
    let status = loop {
        let status = guard.poll();
        // Read after the look at the process, so that nothing written before its end is missed.
        for event in results.feed(&tail.read()) {
            if let Event::Monitor(line) = &event {
                monitor(&logs, line)?;
            }
            on_event(&event);
        }
        if let Some(status) = status {
            break status;
        }
        if deadline.has_passed() {
            guard.kill();
            return Err(BootError::Late { limit: deadline.limit(), console: log_tail(&logs, "console.log") });
        }
        std::thread::sleep(POLL);
    };
    fs::remove_file(&initrd)?;
    if !matches!(status.code(), Some(STATUS_DONE | STATUS_JOB_FAILED)) {
        let (qemu, console) = (log_tail(&logs, "qemu.log"), log_tail(&logs, "console.log"));
        return Err(BootError::Ended { status, qemu, console });
    }
    let marks = fs::read_to_string(logs.join("marks.log")).unwrap_or_default();
    Ok(Outcome { results, marks, logs })
}

/// Boots the guest with its console on our terminal and waits for its end, however long that takes.
///
/// # Errors
/// [`BootError`].
pub fn boot_interactive(boot: &Boot<'_>) -> Result<(), BootError> {
    let logs = run_folder(boot.paths)?;
    fs::write(logs.join("initrd"), guest::image(boot.parts, boot.job)?)?;
    let mut command = command(boot, &logs)?;
    // mux=on keeps Ctrl-A X as a way out; signal=off hands Ctrl-C to the guest.
    command.args(["-display", "none", "-chardev", "stdio,id=terminal,mux=on,signal=off"]);
    command.args(["-serial", "chardev:terminal", "-mon", "chardev=terminal"]);
    let mut guard = Guard::spawn(&mut command)?;
    let status = loop {
        match guard.poll() {
            Some(status) => break status,
            None => std::thread::sleep(POLL),
        }
    };
    if status.code() == Some(STATUS_REFUSED) {
        let (qemu, console) = ("see above".to_owned(), String::new());
        return Err(BootError::Ended { status, qemu, console });
    }
    Ok(())
}

/// QEMU with everything but its consoles.
fn command(boot: &Boot<'_>, logs: &Path) -> Result<Command, BootError> {
    let (tools, machine) = (&boot.parts.tools, boot.machine);
    let mut command = match boot.wire {
        Some(wire) => {
            let plain = tools.qemu_command();
            let mut command = wire.command(plain.get_program().as_ref());
            command.envs(plain.get_envs().filter_map(|(k, v)| Some((k, v?))));
            command
        }
        None => tools.qemu_command(),
    };
    for folder in tools.firmware() {
        command.arg("-L").arg(folder);
    }
    let threads = if machine.icount { "tcg,thread=single" } else { "tcg,thread=multi" };
    command.args(["-accel", threads, "-M", "q35"]);
    if machine.icount {
        // 4 ns an instruction: a CPU of 250 million a second, which is what the emulator reaches. With sleep=off an
        // idle guest costs no real time.
        command.args(["-icount", "shift=2,align=off,sleep=off"]);
    }
    // With ERMS the kernel copies by `rep movsb`, which TCG runs a byte at a time: its receive path would look
    // twice as slow as it is.
    command.args(["-cpu", "max,-erms", "-m", "512", "-smp", &machine.vcpus.to_string()]);
    command.args(["-nodefaults", "-no-reboot", "-device", "isa-debug-exit,iobase=0x501,iosize=1"]);
    let mut append = "console=ttyS0 panic=-1 quiet".to_owned();
    if !machine.ipv6 {
        append.push_str(" ipv6.disable=1");
    }
    if machine.iommu != Iommu::Absent {
        // Without interrupt remapping vfio's type1 driver refuses the group.
        command.args(["-device", "intel-iommu,intremap=on"]);
        append.push_str(" intel_iommu=on");
    }
    if machine.iommu == Iommu::PassThrough {
        append.push_str(" iommu=pt");
    }
    command.arg("-kernel").arg(&boot.parts.kernel.image).arg("-initrd").arg(logs.join("initrd"));
    command.args(["-append", &append]);
    add_cards(&mut command, &machine.cards);
    if machine.counting {
        let plugin = boot.parts.plugin.as_ref().ok_or(BootError::NoPlugin)?;
        let out = logs.join("marks.log");
        command.arg("-plugin").arg(format!("{},out={}", plugin.display(), out.display()));
    }
    Ok(command)
}

fn add_cards(command: &mut Command, cards: &[Card]) {
    if cards.iter().any(|card| card.behind_bridge) {
        command.args(["-device", "pcie-pci-bridge,id=bridge,addr=0x8"]);
    }
    for (i, card) in cards.iter().enumerate() {
        let netdev = match card.wire {
            Wire::Tap => format!("tap,id=n{i},ifname={},script=no,downscript=no", crate::topology::TAP),
            Wire::Hub(hub) => format!("hubport,id=n{i},hubid={hub}"),
        };
        let bus = if card.behind_bridge { "bridge" } else { "pcie.0" };
        // 52:54:00 is QEMU's own prefix; the slot makes each address another.
        let device = format!(
            "{},netdev=n{i},bus={bus},addr={:#x},mac=52:54:00:09:00:{:02x}",
            card.model, card.slot, card.slot
        );
        command.args(["-netdev", &netdev, "-device", &device]);
    }
}

/// A new folder for one guest. Folders of processes that are gone are removed.
fn run_folder(paths: &Paths) -> io::Result<PathBuf> {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let runs = paths.runs();
    fs::create_dir_all(&runs)?;
    for entry in fs::read_dir(&runs)?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid = name.split('-').next().unwrap_or_default();
        if !Path::new("/proc").join(pid).exists() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    let folder = runs.join(format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed)));
    fs::create_dir_all(&folder)?;
    Ok(folder)
}

/// Has QEMU's monitor do one command, and waits until it has: it prompts before and after.
fn monitor(logs: &Path, line: &str) -> io::Result<()> {
    let mut socket = UnixStream::connect(logs.join(MONITOR))?;
    socket.set_read_timeout(Some(MONITOR_LIMIT))?;
    socket.write_all(format!("{line}\n").as_bytes())?;
    let (mut said, mut byte) = (Vec::new(), [0]);
    while said.windows(PROMPT.len()).filter(|w| w == &PROMPT).count() < 2 {
        socket.read_exact(&mut byte)?;
        said.push(byte[0]);
    }
    Ok(())
}

fn log_tail(logs: &Path, name: &str) -> String {
    let bytes = fs::read(logs.join(name)).unwrap_or_default();
    process::tail(&bytes[bytes.len().saturating_sub(CONSOLE_TAIL)..])
}

/// Reads what a growing file has gained.
struct Tail {
    path: PathBuf,
    file: Option<File>,
}

impl Tail {
    fn new(path: PathBuf) -> Self {
        Self { path, file: None }
    }

    fn read(&mut self) -> Vec<u8> {
        let mut gained = Vec::new();
        if self.file.is_none() {
            // QEMU makes it a moment after it was started.
            self.file = File::open(&self.path).ok();
        }
        if let Some(file) = &mut self.file {
            // A read error shows as a guest that says nothing, and ends at its deadline.
            let _ = file.read_to_end(&mut gained);
        }
        gained
    }
}
