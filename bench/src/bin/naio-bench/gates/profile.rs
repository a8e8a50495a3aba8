//! Where the instructions are: receives what callgrind counted, hands on the dearest functions, source files and lines.

use crate::callgrind::{Counted, room};
use std::collections::BTreeMap;
use std::io::{self, Write};

/// Rows of each table.
const ROWS: usize = 40;

/// Prints instructions per segment: functions alone and with what they call, then source files and lines of what
/// counts, inlined code under the file that it was written in.
pub(super) fn print(name: &str, counted: &Counted, segments: f64) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{name}: instructions per segment, by function: alone, with callees")?;
    let mut functions: Vec<_> =
        counted.functions.iter().filter(|(name, _)| room(name) != "program").collect();
    functions.sort_by_key(|(_, (alone, _))| std::cmp::Reverse(*alone));
    for (function, (alone, with)) in functions.into_iter().take(ROWS) {
        let (alone, with) = (*alone as f64 / segments, *with as f64 / segments);
        writeln!(out, "{alone:>10.1} {with:>10.1}  {:<8} {function}", room(function))?;
    }
    writeln!(out, "{name}: instructions per segment, by source file")?;
    let mut files: BTreeMap<&str, u64> = BTreeMap::new();
    counted.lines.iter().for_each(|((file, _), cost)| *files.entry(tail(file)).or_default() += cost);
    let mut files: Vec<_> = files.into_iter().collect();
    files.sort_by_key(|(_, cost)| std::cmp::Reverse(*cost));
    for (file, cost) in files.into_iter().take(ROWS) {
        writeln!(out, "{:>10.1}  {file}", cost as f64 / segments)?;
    }
    writeln!(out, "{name}: instructions per segment, by source line")?;
    let mut lines: Vec<_> = counted.lines.iter().collect();
    lines.sort_by_key(|(_, cost)| std::cmp::Reverse(**cost));
    for ((file, line), cost) in lines.into_iter().take(ROWS) {
        writeln!(out, "{:>10.1}  {}:{line}", *cost as f64 / segments, tail(file))?;
    }
    Ok(())
}

/// The last four names of a path: crate, folders, file.
fn tail(path: &str) -> &str {
    path.rmatch_indices('/').nth(3).map_or(path, |(at, _)| &path[at + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_keeps_its_last_four_names() {
        assert_eq!(tail("registry/smoltcp-0.14.0/src/socket/tcp.rs"), "smoltcp-0.14.0/src/socket/tcp.rs");
        assert_eq!(tail("stack/src/flow.rs"), "stack/src/flow.rs");
    }
}
