//! Positioned writes: they work everywhere, and every fault is an error number.

use super::parts::Parts;
use super::sys;
use std::fs::File;
use std::io::{self, IoSlice};

/// Slices of one system call: 256 KiB of whole blocks. The kernel caches what comes in one call in one folio as large as
/// it; folios of 2 MiB are cleared, split or, in a virtual machine, fetched from the host at three times the price
/// (CPU seconds per GiB of a whole download on such a machine: 1.1 with 16 slices, 1.5 with 32, 2.0 with 64, 3.4 with 128).
const SLICES: usize = 16;

/// Writes the next `length` bytes of `parts` at `offset`, in as many calls as it takes. After a fault some of them
/// may be in the file.
pub(super) fn store(file: &File, mut offset: u64, length: u64, parts: &mut Parts<'_>) -> io::Result<()> {
    let end = offset.saturating_add(length);
    while offset < end {
        let mut slices = [IoSlice::new(&[]); SLICES];
        let used = parts.gather(end - offset, &mut slices);
        let written = sys::retry(|| sys::write_at(file, &slices[..used], offset))?;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        parts.advance(written);
        offset += written as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::FileExt;

    #[test]
    fn more_parts_than_one_call_takes_arrive_in_order() {
        let path = std::env::temp_dir().join(format!("swarmlet-positioned-{}", std::process::id()));
        let file = File::options().read(true).write(true).create_new(true).open(&path).expect("new file");
        std::fs::remove_file(&path).expect("ours");
        let bytes: Vec<u8> = (0..3 * SLICES as u32 * 7 + 5).map(|n| (n % 251) as u8).collect();
        let parts: Vec<&[u8]> = bytes.chunks(7).collect();
        store(&file, 1 << 33, bytes.len() as u64, &mut Parts::new(&parts, 0)).expect("stored");
        let mut back = vec![0; bytes.len()];
        file.read_exact_at(&mut back, 1 << 33).expect("there");
        assert!(back == bytes);
    }

    #[test]
    fn missing_bytes_are_a_fault_and_not_a_hang() {
        let file = File::options().write(true).open("/dev/null").expect("/dev/null is there");
        let fault = store(&file, 0, 3, &mut Parts::new(&[b"ab"], 0)).expect_err("one byte is missing");
        assert_eq!(fault.kind(), io::ErrorKind::WriteZero);
    }
}
