//! What the rig's tests share: whether to run at all, the rig's parts, one boot for many tests, and how a user
//! starts naio.
#![allow(dead_code, reason = "each test binary uses its own part of this file")]
#![allow(clippy::print_stdout, reason = "a test that cannot run says so")]

use naio_rig::arm::{CARD, HERE, PEER_CARD, REMOTE, Report, THERE};
use naio_rig::guest::Job;
use naio_rig::lock::{self, Lock};
use naio_rig::paths::Paths;
use naio_rig::qemu::{self, Boot, MODELS, Machine, Outcome};
use naio_rig::results::Event;
use naio_rig::setup::{self, Parts};
use naio_rig::topology::TapWire;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

/// Payload of the hashed transfers.
pub(crate) const MIB: u64 = 64;
/// What one transfer may take inside a guest, hashing on both sides included.
pub(crate) const TRANSFER_SECONDS: u64 = 150;

/// Whether the rig's tests are to run; says so if not.
pub(crate) fn wanted() -> bool {
    let wanted = std::env::var_os("NAIO_RIG").is_some_and(|v| v == "required");
    if !wanted {
        println!("skipped: set NAIO_RIG=required (or run `cargo rig test`) to boot guests");
    }
    wanted
}

/// What a small transfer may take on a busy machine.
pub(crate) const BIG_STEP: u64 = 120;
/// The rig, ready and ours.
pub(crate) struct Rig {
    pub(crate) paths: Paths,
    pub(crate) parts: Parts,
    _lock: Lock,
}

impl Rig {
    /// Sets the rig up if need be. A rig that cannot be had fails the test: it was required.
    pub(crate) fn ready() -> Self {
        let say = |line: &str| eprintln!("rig: {line}");
        let paths = Paths::of_workspace();
        let lock = lock::acquire(&paths, &say).unwrap_or_else(|e| panic!("{e}"));
        let parts = setup::ensure(&paths, &say).unwrap_or_else(|e| panic!("{e}\nhelp: {}", e.help()));
        Self { paths, parts, _lock: lock }
    }

    /// Boots a guest with every program of naio that this tree has; a program it lacks fails its own step only.
    pub(crate) fn boot(&self, machine: &Machine, script: &str) -> Outcome {
        self.boot_on(machine, script, None, &mut |_| {})
    }

    /// The same on a wire, telling `on_event` of each step.
    pub(crate) fn boot_on(
        &self,
        machine: &Machine,
        script: &str,
        wire: Option<&TapWire>,
        on_event: &mut dyn FnMut(&Event),
    ) -> Outcome {
        let job = Job::with_everything(&self.parts, script);
        let limit = Duration::from_secs(60 + 3 * TRANSFER_SECONDS);
        let boot = Boot { paths: &self.paths, parts: &self.parts, machine, job: &job, wire, limit };
        qemu::boot(&boot, on_event).unwrap_or_else(|e| panic!("{e}"))
    }
}

/// One boot that several tests look at; whoever comes first pays for it. A boot that failed fails them all.
pub(crate) struct Shared<T>(OnceLock<Option<T>>);

impl<T> Shared<T> {
    pub(crate) const fn new() -> Self {
        Self(OnceLock::new())
    }

    /// The outcome, or `None` if the tests are not wanted.
    pub(crate) fn outcome(&self, make: impl FnOnce() -> T) -> Option<&T> {
        if !wanted() {
            return None;
        }
        let made = self.0.get_or_init(|| std::panic::catch_unwind(std::panic::AssertUnwindSafe(make)).ok());
        Some(
            made.as_ref().expect("the guest that these tests share did not boot; the first of them says why"),
        )
    }
}

/// Guests that boot at the same time: an emulated CPU takes a core.
const BOOTS_AT_A_TIME: usize = 2;

/// One boot of each card model that several tests look at; whoever comes first pays for all of them.
pub(crate) struct Fleet(Shared<Vec<(&'static str, Outcome)>>);

impl Fleet {
    pub(crate) const fn new() -> Self {
        Self(Shared::new())
    }

    /// Each model with its outcome; none if the tests are not wanted. The model is printed, so that a test which fails
    /// in a loop over them says where.
    pub(crate) fn outcomes(
        &self,
        machine: &Machine,
        script: &str,
    ) -> impl Iterator<Item = &(&'static str, Outcome)> + use<'_> {
        let all = self.0.outcome(|| {
            let rig = Rig::ready();
            let (next, outcomes) = (AtomicUsize::new(0), MODELS.map(|_| OnceLock::new()));
            std::thread::scope(|scope| {
                let boot = || {
                    while let Some(number) =
                        Some(next.fetch_add(1, Ordering::Relaxed)).filter(|n| *n < MODELS.len())
                    {
                        let machine = machine.clone().model(MODELS[number]);
                        let _ = outcomes[number].set(rig.boot(&machine, script));
                    }
                };
                let workers: Vec<_> = (0..BOOTS_AT_A_TIME).map(|_| scope.spawn(boot)).collect();
                workers.into_iter().for_each(|worker| worker.join().expect("a guest of each model boots"));
            });
            let outcomes = outcomes.into_iter().map(|outcome| outcome.into_inner().expect("each was booted"));
            MODELS.into_iter().zip(outcomes).collect()
        });
        all.into_iter().flatten().inspect(|(model, _)| println!("model {model}"))
    }
}

/// naio-recv as a user starts it, with extra flags.
pub(crate) fn naio(device: &str, mib: u64, extra: &str) -> String {
    format!("naio-recv --device vfio:{device} --address {HERE} --remote {REMOTE} --size {mib}MiB {extra}")
}

/// The same on the card under test.
pub(crate) fn naio_on_card(mib: u64, extra: &str) -> String {
    naio(CARD, mib, extra)
}

/// The card under test without a driver, and on the other card a Linux peer that serves payload.
pub(crate) fn prepare_two_cards() -> String {
    format!(
        "try vfio load vfio_iommu_type1\ntry vfio-pci load vfio-pci\ntry e1000 load e1000\n\
         try unbind unbind {CARD}\ntry peer peer {PEER_CARD} {THERE}\ntry serve serve\n"
    )
}

/// naio serves an echo, and the peer has that many connections held, that many come and go, and that much payload:
/// the steps `naio-echo` and `sync-echo`.
pub(crate) fn echo_steps(held: u64, churn: u64, mib: u64) -> String {
    let connections = held + churn + 1;
    let server = echo_server(connections, held + 2);
    let client = format!("sync-echo --held {held} --churn {churn}");
    format!(
        "{server}step sync-echo {BIG_STEP} nsenter -t $PEER_PID -n {client} --bulk {mib}MiB --json\nend naio-echo\n"
    )
}

/// Begins the echo server on the card under test, for that many connections and so many at a time, and waits until it
/// listens; `end naio-echo` reports it.
pub(crate) fn echo_server(connections: u64, limit: u64) -> String {
    format!(
        "begin naio-echo {BIG_STEP} naio-echo --device vfio:{CARD} --address {HERE} \
         --connections {connections} --limit {limit} --json --linger 2\n\
         until_true 20 grep -q listening /tmp/naio-echo.err\n"
    )
}

/// The report of a step that must have succeeded.
pub(crate) fn assert_report(outcome: &Outcome, step: &str) -> Report {
    outcome.results.report(step).unwrap_or_else(|e| panic!("{e}"))
}

/// Asserts that a step said `ok` to all of these.
pub(crate) fn assert_exercised(outcome: &Outcome, step: &str, names: &[&str]) {
    let result = outcome.results.step(step).unwrap_or_else(|e| panic!("{e}"));
    let said = |name: &&str| result.stdout.lines().any(|line| line.strip_prefix("ok ") == Some(name));
    let missing: Vec<_> = names.iter().filter(|name| !said(name)).collect();
    assert!(missing.is_empty(), "{step} lacks {missing:?}: {}{}", result.stdout, result.stderr);
}

/// Asserts that a step failed the way a user can do something about: status 1, one `error:` line that names what
/// matters, a `help:` line.
pub(crate) fn assert_clear_error(outcome: &Outcome, step: &str, names: &[&str]) {
    let step_result = outcome.results.step(step).unwrap_or_else(|e| panic!("{e}"));
    let stderr = &step_result.stderr;
    assert_eq!(step_result.status, Some(1), "{step}: {stderr}");
    assert!(stderr.lines().any(|l| l.starts_with("error: ")), "{step} has no error line: {stderr}");
    assert!(stderr.lines().any(|l| l.starts_with("help: ")), "{step} has no help line: {stderr}");
    for name in names {
        assert!(
            stderr.to_lowercase().contains(&name.to_lowercase()),
            "{step} does not mention {name}: {stderr}"
        );
    }
}
