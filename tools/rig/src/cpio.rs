//! Writes initramfs archives in the kernel's `newc` cpio format (Documentation/driver-api/early-userspace/buffer-format).
//!
//! Receives names and contents, hands on bytes. The kernel unpacks archives that follow one another, so a job's
//! archive is simply appended to the base image.

/// Mode bits of a regular file (`S_IFREG`).
const REGULAR: u32 = 0o100_000;
/// Mode bits of a directory (`S_IFDIR`).
const DIRECTORY: u32 = 0o040_000;
/// Mode bits of a character device (`S_IFCHR`).
const CHARACTER: u32 = 0o020_000;
/// Name of the last entry.
const TRAILER: &str = "TRAILER!!!";

/// An archive under construction.
#[derive(Debug, Default)]
pub struct Archive {
    bytes: Vec<u8>,
    inode: u32,
}

impl Archive {
    /// An empty archive.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a directory. Parents must have been added before.
    pub fn directory(&mut self, name: &str) {
        self.entry(name, DIRECTORY | 0o755, (0, 0), &[]);
    }

    /// Adds a file with the given permission bits.
    ///
    /// # Errors
    /// The format's length field has 32 bits; a longer file is refused.
    pub fn file(&mut self, name: &str, permissions: u32, content: &[u8]) -> Result<(), TooLong> {
        if u32::try_from(content.len()).is_err() {
            return Err(TooLong(name.to_owned()));
        }
        self.entry(name, REGULAR | (permissions & 0o7777), (0, 0), content);
        Ok(())
    }

    /// Adds a character device node; writing one into an archive needs no privilege.
    pub fn character_device(&mut self, name: &str, permissions: u32, major: u32, minor: u32) {
        self.entry(name, CHARACTER | (permissions & 0o7777), (major, minor), &[]);
    }

    /// The finished archive, padded to a multiple of four so that another may follow.
    #[must_use]
    pub fn finish(mut self) -> Vec<u8> {
        self.inode = 0;
        self.entry(TRAILER, 0, (0, 0), &[]);
        self.bytes
    }

    fn entry(&mut self, name: &str, mode: u32, device: (u32, u32), content: &[u8]) {
        // c_ino c_mode c_uid c_gid c_nlink c_mtime c_filesize c_maj c_min c_rmaj c_rmin c_namesize c_chksum
        let fields = [
            self.inode,
            mode,
            0,
            0,
            1,
            0,
            content.len() as u32,
            0,
            0,
            device.0,
            device.1,
            name.len() as u32 + 1,
            0,
        ];
        self.inode += 1;
        self.bytes.extend_from_slice(b"070701");
        for field in fields {
            self.bytes.extend_from_slice(format!("{field:08x}").as_bytes());
        }
        self.bytes.extend_from_slice(name.as_bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend_from_slice(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// A file that the format cannot hold.
#[derive(Debug, thiserror::Error)]
#[error("{0} is longer than 4 GiB and does not fit an initramfs")]
pub struct TooLong(String);

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::process::{Command, Stdio};

    #[test]
    fn entries_are_aligned_and_end_with_the_trailer() {
        let mut archive = Archive::new();
        archive.directory("d");
        archive.file("d/f", 0o755, b"12345").unwrap();
        let bytes = archive.finish();
        assert_eq!(bytes.len() % 4, 0);
        // Header (6 + 13 * 8 = 110), the name with its NUL, padding.
        assert_eq!(&bytes[110..112], b"d\0");
        assert_eq!(&bytes[112..118], b"070701");
        assert_eq!(&bytes[112 + 54..112 + 62], b"00000005");
        assert!(bytes.windows(TRAILER.len()).any(|w| w == TRAILER.as_bytes()));
    }

    #[test]
    fn cpio_lists_what_was_written() {
        let mut archive = Archive::new();
        archive.directory("d");
        archive.file("d/f", 0o640, &[7; 1001]).unwrap();
        archive.character_device("console", 0o600, 5, 1);
        let mut cpio = Command::new("cpio");
        cpio.args(["-tv", "--quiet"]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = match cpio.spawn() {
            Ok(child) => child,
            Err(error) => {
                eprintln!("skipped: no cpio program to ask ({error})");
                return;
            }
        };
        child.stdin.take().unwrap().write_all(&archive.finish()).unwrap();
        let listing = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
        let lines: Vec<&str> = listing.lines().collect();
        assert_eq!(lines.len(), 3, "{listing}");
        assert!(lines[0].starts_with("drwxr-xr-x") && lines[1].starts_with("-rw-r-----"), "{listing}");
        assert!(lines[1].contains(" 1001 ") && lines[2].starts_with("crw-------"), "{listing}");
    }
}
