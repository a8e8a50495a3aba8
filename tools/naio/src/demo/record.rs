//! One run as it goes into the table, the charts and the JSON file, and what many of them say together.

use super::transfer::Style;
use serde::Serialize;

/// What is measured, from where the measured side stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Experiment {
    Receive,
    Send,
}

impl Experiment {
    pub(crate) const ALL: [Experiment; 2] = [Experiment::Receive, Experiment::Send];

    /// As in `cargo rig compare`; also the name of the chart's files.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Experiment::Receive => "recv",
            Experiment::Send => "send",
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Experiment::Receive => "Receive",
            Experiment::Send => "Send",
        }
    }
}

/// One way of doing one experiment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arm {
    pub(crate) experiment: Experiment,
    pub(crate) style: Style,
}

impl Arm {
    /// Both arms of an experiment, in the order in which they alternate.
    pub(crate) fn of(experiment: Experiment) -> [Arm; 2] {
        [Style::Asynchronous, Style::Synchronous].map(|style| Arm { experiment, style })
    }

    pub(crate) fn name(self) -> &'static str {
        match (self.experiment, self.style) {
            (Experiment::Receive, Style::Asynchronous) => "async-recv",
            (Experiment::Receive, Style::Synchronous) => "sync-recv",
            (Experiment::Send, Style::Asynchronous) => "async-send",
            (Experiment::Send, Style::Synchronous) => "sync-send",
        }
    }
}

/// A measured run. The keys are those of `cargo rig compare`, with `null` for what only an emulator can count,
/// and behind them what only this demonstration has.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Record {
    pub(crate) experiment: &'static str,
    /// `model-tap`: a card in software and the host's Linux. `model-pair`: two cards on one wire in memory.
    pub(crate) topology: &'static str,
    pub(crate) arm: &'static str,
    /// Always `none`.
    pub(crate) iommu: &'static str,
    pub(crate) model: &'static str,
    /// Round, from 1.
    pub(crate) run: u32,
    pub(crate) bytes: u64,
    pub(crate) seconds: f64,
    /// 10^6 bytes a second.
    pub(crate) mb_per_s: f64,
    /// Share of this machine's CPUs that was not idle, 0 to 1.
    pub(crate) cpu_busy: f64,
    pub(crate) insn_user_per_mib: Option<f64>,
    pub(crate) insn_kernel_per_mib: Option<f64>,
    pub(crate) empty_turn_insn_per_mib: Option<f64>,
    pub(crate) empty_turns_per_mib: f64,
    pub(crate) rep_user_per_mib: Option<f64>,
    pub(crate) rep_kernel_per_mib: Option<f64>,
    /// Mean frames in a turn of the measured queue that found any.
    pub(crate) frames_per_turn: Option<f64>,
    /// Whether the hashed run of this arm was right.
    pub(crate) sha256_ok: Option<bool>,
    /// CPU seconds of the measured program's thread: its queue, stack and driver.
    pub(crate) program_cpu_s: f64,
    /// CPU seconds of the partner: its thread, or its process.
    pub(crate) remote_cpu_s: f64,
    /// CPU seconds of our process that are none of those two's: the cards in software.
    pub(crate) cards_cpu_s: f64,
}

impl Record {
    /// A run of `arm` with what every run has.
    pub(crate) fn new(arm: Arm, bytes: u64, seconds: f64, cpu_busy: f64) -> Record {
        Record {
            experiment: arm.experiment.name(),
            topology: "model-pair",
            arm: arm.name(),
            iommu: "none",
            model: "82540EM in software",
            run: 0,
            bytes,
            seconds,
            // A clock of microseconds may see no time pass over a few bytes.
            mb_per_s: bytes as f64 / 1e6 / seconds.max(1e-6),
            cpu_busy,
            insn_user_per_mib: None,
            insn_kernel_per_mib: None,
            empty_turn_insn_per_mib: None,
            empty_turns_per_mib: 0.0,
            rep_user_per_mib: None,
            rep_kernel_per_mib: None,
            frames_per_turn: None,
            sha256_ok: None,
            program_cpu_s: 0.0,
            remote_cpu_s: 0.0,
            cards_cpu_s: 0.0,
        }
    }
}

/// The medians of one arm.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Medians {
    pub(crate) mb_per_s: f64,
    pub(crate) program_cpu_s: f64,
    pub(crate) remote_cpu_s: f64,
    pub(crate) cards_cpu_s: f64,
    pub(crate) frames_per_turn: f64,
}

impl Medians {
    /// Of the runs of `arm` among `records`.
    pub(crate) fn of(arm: Arm, records: &[Record]) -> Medians {
        let over = |figure: fn(&Record) -> f64| {
            median(records.iter().filter(|record| record.arm == arm.name()).map(figure).collect())
        };
        Medians {
            mb_per_s: over(|r| r.mb_per_s),
            program_cpu_s: over(|r| r.program_cpu_s),
            remote_cpu_s: over(|r| r.remote_cpu_s),
            cards_cpu_s: over(|r| r.cards_cpu_s),
            frames_per_turn: over(|r| r.frames_per_turn.unwrap_or(0.0)),
        }
    }
}

/// The middle one, or the mean of the middle two; zero of none.
fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    match figures.len() {
        0 => 0.0,
        n if n.is_multiple_of(2) => (figures[n / 2 - 1] + figures[n / 2]) / 2.0,
        n => figures[n / 2],
    }
}

const HEADINGS: &str = "arm         run      MB/s   CPU s: program   remote    cards   frames/turn";

/// The runs and medians of one experiment as lines of text.
pub(crate) fn table(experiment: Experiment, records: &[Record]) -> String {
    let mut text = format!("{}\n{HEADINGS}\n", experiment.title());
    let line = |arm: &str, run: &str, m: &Medians| {
        format!(
            "{arm:<11} {run:>3} {:>9.1} {:>16.3} {:>8.3} {:>8.2} {:>13.1}\n",
            m.mb_per_s, m.program_cpu_s, m.remote_cpu_s, m.cards_cpu_s, m.frames_per_turn
        )
    };
    for arm in Arm::of(experiment) {
        for record in records.iter().filter(|record| record.arm == arm.name()) {
            let alone = Medians::of(arm, std::slice::from_ref(record));
            text += &line(arm.name(), &record.run.to_string(), &alone);
        }
    }
    let medians = Arm::of(experiment).map(|arm| Medians::of(arm, records));
    for (arm, medians) in Arm::of(experiment).iter().zip(&medians) {
        text += &line(arm.name(), "med", medians);
    }
    text + &format!(
        "async / sync: speed {:.2}, CPU of the program {:.2}\n",
        medians[0].mb_per_s / medians[1].mb_per_s,
        medians[0].program_cpu_s / medians[1].program_cpu_s
    )
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn medians_of_odd_even_and_no_runs() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(Vec::new()), 0.0);
    }
}
