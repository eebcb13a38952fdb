//! Bytes that a device may have refused, brought to it after all.
//!
//! A page whose write-back has failed is clean for the kernel: reading gives what was stored, and no sync tries again. The
//! kernel can be made to forget it only if nobody else holds it (a map of another program, a socket on whose way it is). So
//! what is read is stored again. On ext4 that is not enough: the page also says that its place was written before, which it
//! never was, and what is stored into it is written to a place that counts as empty. So there the pages are taken away
//! first.

use super::known::stale;
use super::reading::read_or_zero;
use super::{Storage, sys};
use crate::base::limits::EXTENT_BYTES;
use crate::meta::Segment;
use crate::session::StorageFault;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

impl Storage {
    /// Reads like [`Storage::load`], and stores what it has read, so that a sync has to bring it to the device.
    ///
    /// # Errors
    /// The first fault; then nothing is promised about `buffer`.
    pub fn renew(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), StorageFault> {
        self.load(offset, buffer)?;
        let metainfo = Arc::clone(&self.metainfo);
        let segments = metainfo.layout.segments(offset, buffer.len() as u64);
        for segment in segments.filter(|segment| segment.length > 0) {
            self.take_away(segment).map_err(|error| self.fault(segment.file, &error))?;
        }
        let (length, mut done) = (buffer.len() as u64, 0);
        while done < length {
            done = self.store(offset, &[&*buffer], done, EXTENT_BYTES)?;
        }
        Ok(())
    }

    /// Has the kernel forget the pages of a range, where it would else not write what is stored into them.
    fn take_away(&mut self, segment: Segment) -> io::Result<()> {
        let metainfo = Arc::clone(&self.metainfo);
        let Some(file) = metainfo.layout.file(segment.file).filter(|file| !file.is_pad()) else {
            return Ok(());
        };
        let open = self.files.get(&mut self.tree, segment.file, &file, true, self.now)?;
        let range = segment.file_offset..segment.file_offset + segment.length;
        let whole = pages(&range, sys::page_bytes() as u64);
        let shares = whole.start < range.start || whole.end.min(file.length) > range.end;
        if !sys::is_ext(&open.file) || open.file.metadata()?.len() < range.end {
            return Ok(());
        }
        if shares {
            // For a moment bytes are gone that a state may call durable.
            self.state.doubt();
        }
        make_fresh(&open.file, whole)
    }
}

/// The pages of a range.
fn pages(range: &Range<u64>, page_bytes: u64) -> Range<u64> {
    range.start / page_bytes * page_bytes..range.end.next_multiple_of(page_bytes)
}

/// Gives whole pages of a file the same bytes in pages that know nothing of the old ones.
fn make_fresh(file: &File, pages: Range<u64>) -> io::Result<()> {
    let end = pages.end.min(file.metadata()?.len());
    let mut bytes = vec![0; end.saturating_sub(pages.start) as usize];
    read_or_zero(file, pages.start, &mut bytes)?;
    match sys::zero(file, pages.start, pages.end - pages.start) {
        // Whatever then fails has taken bytes away: everything is looked at anew.
        Ok(()) => file.write_all_at(&bytes, pages.start).map_err(|_| stale()),
        // Without extents (ext2, ext3) there are no places that count as empty.
        Err(error) if matches!(error.raw_os_error(), Some(libc::EOPNOTSUPP | libc::ENOSYS)) => Ok(()),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_are_whole() {
        assert_eq!(pages(&(4096..8192), 4096), 4096..8192);
        assert_eq!(pages(&(4095..8193), 4096), 0..12_288);
    }

    #[test]
    fn fresh_pages_have_the_same_bytes_also_at_the_end_of_a_file() {
        let path = std::env::temp_dir().join(format!("swarmlet-fresh-{}", std::process::id()));
        let content: Vec<u8> = (0..50_000_u32).map(|n| (n % 251) as u8).collect();
        std::fs::write(&path, &content).expect("room");
        let file = File::options().read(true).write(true).open(&path).expect("there");
        for range in [0..8192, 8192..12_288, 40_960..53_248, 53_248..57_344] {
            make_fresh(&file, range).expect("room");
        }
        assert!(std::fs::read(&path).expect("there") == content);
        std::fs::remove_file(&path).expect("ours");
    }
}
