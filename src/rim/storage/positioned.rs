//! Positioned writes: they work everywhere, and every fault is an error number.

use super::parts::Parts;
use super::sys;
use std::fs::File;
use std::io::{self, IoSlice};

/// Slices of one system call: an extent of whole blocks. The kernel takes 1,024 (`IOV_MAX`).
const SLICES: usize = 128;

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
        store(&file, 1 << 33, bytes.len() as u64, &mut Parts::new(&parts)).expect("stored");
        let mut back = vec![0; bytes.len()];
        file.read_exact_at(&mut back, 1 << 33).expect("there");
        assert!(back == bytes);
    }

    #[test]
    fn missing_bytes_are_a_fault_and_not_a_hang() {
        let file = File::options().write(true).open("/dev/null").expect("/dev/null is there");
        let fault = store(&file, 0, 3, &mut Parts::new(&[b"ab"])).expect_err("one byte is missing");
        assert_eq!(fault.kind(), io::ErrorKind::WriteZero);
    }
}
