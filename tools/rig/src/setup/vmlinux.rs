//! Takes the uncompressed kernel out of a `vmlinuz`: QEMU starts it five seconds faster, because the kernel need not
//! unpack itself under emulation.
//!
//! The layout is the x86 boot protocol's (kernel Documentation/arch/x86/boot.rst): the real-mode part says where
//! the compressed payload lies and how long it is, and its last four bytes are the length of the `vmlinux`.

use crate::process;
use core::time::Duration;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

/// `setup_sects`, at most 64 sectors of real-mode code.
const SETUP_SECTS: usize = 0x1f1;
/// `header`, the text `HdrS`.
const HEADER: usize = 0x202;
/// Boot protocol version; 2.08 brought the payload's position.
const VERSION: usize = 0x206;
const VERSION_WITH_PAYLOAD: u16 = 0x0208;
const PAYLOAD_OFFSET: usize = 0x248;
const PAYLOAD_LENGTH: usize = 0x24c;
const SECTOR: usize = 512;
/// How long unpacking may take.
const LIMIT: Duration = Duration::from_secs(120);

/// Magic bytes of what kernels are compressed with, and the program that undoes it.
const FORMATS: [(&[u8], &str, &[&str]); 6] = [
    (b"\xfd7zXZ\0", "xz", &["-dc", "--single-stream"]),
    (b"\x28\xb5\x2f\xfd", "zstd", &["-dc"]),
    (b"\x1f\x8b\x08", "gzip", &["-dc"]),
    (b"\x02\x21\x4c\x18", "lz4", &["-dc"]),
    (b"BZh", "bzip2", &["-dc"]),
    (b"\x5d\0\0", "xz", &["-dc", "--format=lzma"]),
];

/// Why there is no `vmlinux`.
#[derive(Debug, thiserror::Error)]
pub enum VmlinuxError {
    /// The file is no x86 kernel image.
    #[error("not a bzImage with a payload")]
    Image,
    /// Compressed with something we know no program for.
    #[error("compressed in an unknown way (begins with {0:02x?})")]
    Format(Vec<u8>),
    /// The program is missing or refuses.
    #[error("cannot unpack with {program}: {complaint}")]
    Unpack {
        /// The program.
        program: &'static str,
        /// What it said.
        complaint: String,
    },
    /// A file cannot be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Unpacks `vmlinuz` into the new file `vmlinux`.
pub(super) fn extract(vmlinuz: &Path, vmlinux: &Path) -> Result<(), VmlinuxError> {
    let image = fs::read(vmlinuz)?;
    let payload = payload(&image).ok_or(VmlinuxError::Image)?;
    let Some((_, program, arguments)) = FORMATS.iter().find(|(magic, ..)| payload.starts_with(magic)) else {
        return Err(VmlinuxError::Format(payload.iter().take(6).copied().collect()));
    };
    let compressed = vmlinux.with_extension("packed");
    fs::write(&compressed, payload)?;
    let mut command = Command::new(program);
    command.args(*arguments).stdin(Stdio::from(File::open(&compressed)?));
    // The status is not asked: the length behind the stream is garbage to the program. The result is asked instead.
    let result = process::capture(&mut command, LIMIT);
    fs::remove_file(&compressed)?;
    let failed = |complaint: String| VmlinuxError::Unpack { program, complaint };
    let (_, elf, complaint) = result.map_err(|e| failed(e.to_string()))?;
    let tail = payload.last_chunk().map_or(0, |n| u32::from_le_bytes(*n));
    if !elf.starts_with(b"\x7fELF") || elf.len() != tail as usize {
        return Err(failed(process::tail(&complaint)));
    }
    fs::write(vmlinux, elf)?;
    Ok(())
}

/// The compressed kernel inside an image.
fn payload(image: &[u8]) -> Option<&[u8]> {
    let word = |at: usize| Some(u32::from_le_bytes(image.get(at..at + 4)?.try_into().ok()?) as usize);
    let version = u16::from_le_bytes(image.get(VERSION..VERSION + 2)?.try_into().ok()?);
    if image.get(HEADER..HEADER + 4)? != b"HdrS" || version < VERSION_WITH_PAYLOAD {
        return None;
    }
    // Zero means four, for the sake of ancient loaders.
    let sectors = match image.get(SETUP_SECTS)? {
        0 => 4,
        n => usize::from(*n),
    };
    let start = (sectors + 1) * SECTOR + word(PAYLOAD_OFFSET)?;
    image.get(start..start.checked_add(word(PAYLOAD_LENGTH)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_payload_is_where_the_header_says() {
        let mut image = vec![0u8; 4096];
        image[SETUP_SECTS] = 2;
        image[HEADER..HEADER + 4].copy_from_slice(b"HdrS");
        image[VERSION..VERSION + 2].copy_from_slice(&0x020fu16.to_le_bytes());
        image[PAYLOAD_OFFSET] = 8;
        image[PAYLOAD_LENGTH] = 5;
        image[3 * 512 + 8..3 * 512 + 13].copy_from_slice(b"hello");
        assert_eq!(payload(&image), Some(&b"hello"[..]));
        // A length beyond the file, an old protocol, a short file: refused, never a panic.
        image[PAYLOAD_LENGTH + 2] = 0xff;
        assert_eq!(payload(&image), None);
        image[VERSION] = 0;
        image[VERSION + 1] = 2;
        assert_eq!(payload(&image), None);
        assert_eq!(payload(b"short"), None);
    }
}
