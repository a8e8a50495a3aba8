//! `cargo tidy`, the house inspector: reads the dependency graph, the syntax trees and the tracked texts, and says
//! what is not as the house has it. It receives the repository around the current folder, prints one line for each
//! finding and never changes a file, except the ratchet when asked to.

#![forbid(unsafe_code)]

mod conformance;
mod finding;
mod imports;
mod layout;
mod lengths;
mod manifests;
mod markdown;
mod ratchet;
mod rooms;
mod source;
mod text;
mod tree;
mod unsafe_rooms;
mod workspace;

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

use finding::Finding;
use source::Source;
use tree::Tree;

/// Checks that the repository is as the house plan has it.
///
/// Each finding is one line, `path:line: what is wrong; what to do`; any finding makes the exit code 1.
#[derive(Debug, Parser)]
#[command(name = "cargo tidy", bin_name = "cargo tidy", after_long_help = TEACHING)]
struct Arguments {
    /// Record in tools/tidy/ratchet.txt what has become shorter, and drop exceptions no longer needed.
    #[arg(long)]
    update: bool,
    /// Inspect the repository around this folder.
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    root: std::path::PathBuf,
}

const TEACHING: &str = "\
What is checked, over the files git tracks (add a new file to have it looked at):
  rooms     each dependency between our crates is an arrow of the import table in tools/tidy/src/rooms.rs;
            only `stack` names smoltcp, only `vfio` names vfio-ioctls; in aio-api only src/open.rs knows cards
  unsafe    only where the table opens it; each block and impl under a numbered SAFETY list; the rest forbids it
  lengths   400 lines of code a file, 70 a function; comments and blank lines are free, so are test modules;
            exceptions stand in tools/tidy/ratchet.txt with a reason and may only shrink
  openings  each .rs file but tests opens with a `//!` paragraph
  manifests workspace lints and rust-version everywhere; one reason above each outside dependency
  text      no blanks at line ends, no tabs in Rust, no path of one machine, scripts in .ci executable
  documents relative links lead somewhere; every path docs/ARCHITECTURE.md names exists; every row of
            docs/conformance.md names a test that exists, or says why there is none

A rule that stands wrong is changed in tools/tidy/src/rooms.rs together with a record in docs/decisions/.";

/// Why the inspection itself could not be made.
#[derive(Debug, thiserror::Error)]
enum InspectError {
    #[error("cargo metadata failed: {0}")]
    Metadata(#[from] cargo_metadata::Error),
    #[error(transparent)]
    Tree(#[from] tree::ReadTreeError),
    #[error("cannot write: {0}")]
    Write(#[from] io::Error),
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            let _ = writeln!(io::stderr(), "cargo tidy: {error}");
            ExitCode::from(2)
        }
    }
}

/// Inspects and reports; `true` when nothing was found.
fn run(arguments: &Arguments) -> Result<bool, InspectError> {
    let workspace = workspace::read(&arguments.root)?;
    let tree = Tree::read(&workspace.root)?;
    let (sources, mut findings) = parse(&tree);

    findings.extend(imports::check(&workspace.members, &tree));
    findings.extend(imports::check_doorway(&sources));
    findings.extend(unsafe_rooms::check_roots(&workspace.members, &sources));
    let (misplaced, census) = unsafe_rooms::check_uses(&sources);
    findings.extend(misplaced);
    findings.extend(layout::check_top(&tree));
    findings.extend(layout::check_members(&tree, &workspace.members));
    findings.extend(layout::check_openings(&sources));
    findings.extend(manifests::check(&tree, &workspace.members));
    findings.extend(text::check(&tree));
    findings.extend(markdown::check(&tree));
    findings.extend(conformance::check(&tree, &sources));
    let verdict = lengths(&workspace.root, &tree, &sources, arguments.update)?;
    findings.extend(verdict.findings);

    findings.sort();
    let mut out = io::stdout().lock();
    for finding in &findings {
        writeln!(out, "{finding}")?;
    }
    for hint in &verdict.hints {
        writeln!(out, "hint: {hint}")?;
    }
    for (package, census) in census {
        writeln!(out, "unsafe in {package}: {census}")?;
    }
    let files: BTreeSet<&str> = findings.iter().map(|finding| finding.path.as_str()).collect();
    writeln!(
        out,
        "tidy: {} findings in {} files ({} files read, {} of Rust)",
        findings.len(),
        files.len(),
        tree.files.len(),
        sources.len()
    )?;
    Ok(findings.is_empty())
}

/// Parses every tracked Rust file, and marks as test code what a `#[cfg(test)] mod` declares.
fn parse(tree: &Tree) -> (Vec<Source>, Vec<Finding>) {
    let mut sources = Vec::new();
    let mut findings = Vec::new();
    for (file, text) in tree.texts().filter(|(file, _)| file.path.ends_with(".rs")) {
        match Source::parse(&file.path, text) {
            Ok(source) => sources.push(source),
            Err(finding) => findings.push(finding),
        }
    }
    let tests: BTreeSet<String> = sources.iter().flat_map(Source::test_files).collect();
    for source in &mut sources {
        source.test_code |= tests.contains(&source.path);
    }
    (sources, findings)
}

/// Measures everything and holds it against the ratchet, which is judged again after an update.
fn lengths(
    root: &Path,
    tree: &Tree,
    sources: &[Source],
    update: bool,
) -> Result<ratchet::Verdict, InspectError> {
    let measures: Vec<lengths::Measure> = sources.iter().flat_map(lengths::measure).collect();
    let recorded = tree.text(ratchet::PATH);
    let verdict = ratchet::judge(recorded, &measures);
    if !update || verdict.updated == recorded {
        return Ok(verdict);
    }
    std::fs::write(root.join(ratchet::PATH), &verdict.updated)?;
    Ok(ratchet::judge(&verdict.updated, &measures))
}
