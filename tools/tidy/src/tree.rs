//! The tracked files, read once: path, text and executable bit, as `git` has them in the index and as they lie on
//! disk now. Files that are ignored or not yet added are never looked at, so that a scratch file disturbs nobody
//! and a fresh clone is judged alike.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// Why the tracked files cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadTreeError {
    /// `git` could not be started.
    #[error("cannot start git to list the tracked files: {0}")]
    Start(#[source] std::io::Error),
    /// `git ls-files` failed, most likely because this is no clone.
    #[error("git ls-files failed (run this inside a clone): {0}")]
    Git(String),
    /// A tracked file exists and cannot be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
}

/// One tracked file.
#[derive(Debug, Clone)]
pub(crate) struct TrackedFile {
    /// Path from the repository root.
    pub(crate) path: String,
    /// The executable bit in the index.
    pub(crate) executable: bool,
    /// The text, or `None` for a file that is not UTF-8 text.
    pub(crate) text: Option<String>,
}

/// All tracked files, in the order of their paths.
#[derive(Debug, Default)]
pub(crate) struct Tree {
    /// The files.
    pub(crate) files: Vec<TrackedFile>,
    folders: BTreeSet<String>,
}

impl Tree {
    /// A tree of these files.
    pub(crate) fn new(mut files: Vec<TrackedFile>) -> Self {
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let folders = files.iter().flat_map(|file| ancestors(&file.path)).collect();
        Tree { files, folders }
    }

    /// Reads what `git` tracks below `root`. A file that is tracked but deleted on disk is left out.
    pub(crate) fn read(root: &Path) -> Result<Self, ReadTreeError> {
        let output = Command::new("git")
            .args(["ls-files", "-s", "-z"])
            .current_dir(root)
            .output()
            .map_err(ReadTreeError::Start)?;
        if !output.status.success() {
            return Err(ReadTreeError::Git(String::from_utf8_lossy(&output.stderr).trim().to_owned()));
        }
        let mut files = Vec::new();
        for (path, executable) in index_entries(&String::from_utf8_lossy(&output.stdout)) {
            match std::fs::read(root.join(&path)) {
                Ok(bytes) => files.push(TrackedFile { path, executable, text: text_of(bytes) }),
                Err(source) if source.kind() == std::io::ErrorKind::NotFound => {}
                // A submodule or a link to a folder is listed like a file.
                Err(source) if source.kind() == std::io::ErrorKind::IsADirectory => {}
                Err(source) => return Err(ReadTreeError::Read { path, source }),
            }
        }
        Ok(Tree::new(files))
    }

    /// Is there a tracked file or a folder with tracked files at `path`?
    pub(crate) fn holds(&self, path: &str) -> bool {
        path.is_empty() || self.file(path).is_some() || self.folders.contains(path)
    }

    /// The file at `path`.
    pub(crate) fn file(&self, path: &str) -> Option<&TrackedFile> {
        let at = self.files.binary_search_by(|file| file.path.as_str().cmp(path)).ok()?;
        self.files.get(at)
    }

    /// The text of the file at `path`, empty where there is none.
    pub(crate) fn text(&self, path: &str) -> &str {
        self.file(path).and_then(|file| file.text.as_deref()).unwrap_or_default()
    }

    /// Every text file with its text.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&TrackedFile, &str)> {
        self.files.iter().filter_map(|file| Some((file, file.text.as_deref()?)))
    }
}

/// The folders above `path`, the nearest last, without the root.
fn ancestors(path: &str) -> Vec<String> {
    path.match_indices('/').map(|(at, _)| path[..at].to_owned()).collect()
}

/// Path and executable bit of each entry of `git ls-files -s -z`: `mode hash stage TAB path NUL`.
fn index_entries(listing: &str) -> Vec<(String, bool)> {
    let entries = listing.split('\0').filter_map(|entry| entry.split_once('\t'));
    entries.map(|(meta, path)| (path.to_owned(), meta.starts_with("100755"))).collect()
}

fn text_of(bytes: Vec<u8>) -> Option<String> {
    if bytes.contains(&0) { None } else { String::from_utf8(bytes).ok() }
}

#[cfg(test)]
pub(crate) fn tree_of(files: &[(&str, &str)]) -> Tree {
    let file = |(path, text): &(&str, &str)| TrackedFile {
        path: (*path).to_owned(),
        executable: false,
        text: Some((*text).to_owned()),
    };
    Tree::new(files.iter().map(file).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_listing_gives_path_and_mode() {
        let listing = "100644 aa 0\tdocs/a b.md\x00100755 bb 0\t.ci/run\x00";
        assert_eq!(index_entries(listing), [("docs/a b.md".to_owned(), false), (".ci/run".to_owned(), true)]);
    }

    #[test]
    fn folders_of_tracked_files_are_held() {
        let tree = tree_of(&[("crates/dma/src/lib.rs", "")]);
        for path in ["crates", "crates/dma", "crates/dma/src", "crates/dma/src/lib.rs"] {
            assert!(tree.holds(path), "{path}");
        }
        assert!(!tree.holds("crates/dm") && !tree.holds("crates/dma/src/pool.rs"));
    }
}
