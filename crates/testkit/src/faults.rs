//! Faults of a wire, drawn from one seed.

/// How often a frame suffers, each in frames per 10 000, independently.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// Lost without a trace.
    pub loss: u32,
    /// Arrives twice.
    pub duplicate: u32,
    /// Arrives up to [`Faults::reorder_us`] late, so that later frames overtake it.
    pub reorder: u32,
    /// Largest extra delay of a reordered frame, in microseconds.
    pub reorder_us: u64,
    /// One byte behind the Ethernet header of an IPv4 packet is replaced.
    pub corrupt: u32,
}

/// What a fault did to one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fate {
    pub(crate) lost: bool,
    pub(crate) copies: u32,
    pub(crate) extra_us: u64,
    pub(crate) corrupt: bool,
}

impl Faults {
    /// A wire without faults.
    pub const NONE: Faults = Faults { loss: 0, duplicate: 0, reorder: 0, reorder_us: 0, corrupt: 0 };

    pub(crate) fn draw(&self, random: &mut fastrand::Rng) -> Fate {
        let mut hit = |per_10_000: u32| per_10_000 > 0 && random.u32(0..10_000) < per_10_000;
        let lost = hit(self.loss);
        let copies = 1 + u32::from(hit(self.duplicate));
        let late = hit(self.reorder);
        let corrupt = hit(self.corrupt);
        let extra_us = if late { random.u64(1..=self.reorder_us.max(1)) } else { 0 };
        Fate { lost, copies, extra_us, corrupt }
    }
}

/// The seeds of a randomised test, which it prints: `count` of them from `default` on, or the one in
/// `NAIO_SEED`; `NAIO_SEEDS` times as many if that is set. Name the seed in what the test says when it fails.
///
/// # Panics
/// If `NAIO_SEED` or `NAIO_SEEDS` is no number.
#[expect(clippy::print_stdout, reason = "a test shows this only when it fails")]
pub fn seeds(default: u64, count: u64) -> impl Iterator<Item = u64> {
    let (first, count) = match std::env::var("NAIO_SEED") {
        Ok(text) => (text.parse().expect("NAIO_SEED is a decimal number"), 1),
        Err(_) => {
            let times =
                std::env::var("NAIO_SEEDS").map_or(1, |text| text.parse().expect("NAIO_SEEDS is a number"));
            (default, count * times)
        }
    };
    (first..first + count).inspect(|seed| println!("NAIO_SEED={seed}"))
}
