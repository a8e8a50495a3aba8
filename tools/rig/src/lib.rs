//! The QEMU rig: boots a stock Debian kernel with a real e1000 card model behind an IOMMU, runs naio's programs in
//! there beside the kernel's own driver, and brings their results out.
//!
//! It receives names of programs and a machine to build, and hands on what each step printed and what the counting
//! plugin counted. Everything it makes lies under `target/rig/`; nothing of it is needed by naio itself. The order
//! of a run: [`setup`] makes the parts, [`guest`] packs a job, [`topology`] makes the wire, [`qemu`] boots,
//! [`results`] and [`marks`] read what came out, [`compare`], [`driver`] and [`demo`]
//! print it.
#![forbid(unsafe_code)]

pub mod arm;
pub mod compare;
pub mod cpio;
pub mod deadline;
pub mod demo;
pub mod driver;
pub mod guest;
pub mod lock;
pub mod marks;
pub mod paths;
pub mod process;
pub mod qemu;
pub mod results;
pub mod setup;
pub mod shell;
mod table;
pub mod topology;
