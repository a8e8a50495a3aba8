//! One run as it goes into the table and the JSON file.

use super::job::{Report, Work};
use crate::marks::Counts;
use serde::Serialize;

/// A measured run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Record {
    /// Always `driver`.
    pub experiment: &'static str,
    /// `tx` or `rx`.
    pub mode: &'static str,
    /// Bytes of a frame without FCS.
    pub size: u16,
    /// `naio` or `testpmd`.
    pub arm: &'static str,
    /// Round, from 1.
    pub run: u32,
    /// Frames between the marks.
    pub frames: u64,
    /// Mean frames of a poll that found any, or of a burst sent.
    pub frames_per_poll: f64,
    /// The guest's clock between the marks, without waiting to be fed; under emulation and with the plugin: indicative.
    pub seconds: f64,
    /// The same as a rate.
    pub frames_per_s: f64,
    /// Guest user instructions per frame, `rep` iterations and empty turns apart: the figure that decides.
    pub insn_user_per_frame: f64,
    /// The same in the kernel: its timer, above all.
    pub insn_kernel_per_frame: f64,
    /// User instructions in turns that found nothing, per frame: being fed, and the marks of testpmd, are in here.
    pub empty_insn_user_per_frame: f64,
    /// Iterations of `rep` string instructions per frame, user mode; not in the figures above.
    pub rep_user_per_frame: f64,
    /// The job again, for code.
    #[serde(skip)]
    pub work: Work,
}

impl Record {
    pub(super) fn new(work: Work, run: u32, report: &Report, counts: &Counts) -> Self {
        // No run without frames comes this far; dividing by one shows one as absurd figures, not as NaN.
        let per_frame = |n: u64| n as f64 / report.frames.max(1) as f64;
        let figure = counts.insns - counts.empty;
        Self {
            experiment: "driver",
            mode: work.mode.name(),
            size: work.size,
            arm: work.who.name(),
            run,
            frames: report.frames,
            frames_per_poll: report.frames_per_poll,
            seconds: report.seconds,
            frames_per_s: report.frames_per_s,
            insn_user_per_frame: per_frame(figure.user),
            insn_kernel_per_frame: per_frame(figure.kernel),
            empty_insn_user_per_frame: per_frame(counts.empty.user),
            rep_user_per_frame: per_frame(counts.rep.user),
            work,
        }
    }

    pub(super) fn brief(&self) -> String {
        format!(
            "{} {} {}: {:.1} user instructions/frame, {:.0} frames/s",
            self.arm, self.mode, self.size, self.insn_user_per_frame, self.frames_per_s
        )
    }
}
