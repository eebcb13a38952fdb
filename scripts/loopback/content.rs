//! The content of a torrent: its files one after the other, mapped.

use crate::torrent::Torrent;
use memmap2::Mmap;
use std::fs::File;
use std::io::{self, IoSlice};
use std::path::Path;

/// What pad files hold.
static ZEROS: [u8; 16 << 10] = [0; 16 << 10];
/// Every byte once, for putting a wrong one in place of a right one.
static BYTES: [u8; 256] = {
    let mut bytes = [0; 256];
    let mut nth = 0;
    while nth < 256 {
        bytes[nth] = nth as u8;
        nth += 1;
    }
    bytes
};

/// All files that are not empty, in order.
pub struct Content {
    parts: Vec<Part>,
}

struct Part {
    start: u64,
    bytes: u64,
    /// None for a pad file.
    map: Option<Mmap>,
}

impl Content {
    /// Maps the files; `data` is what the torrent was made from.
    pub fn open(torrent: &Torrent, data: &Path) -> io::Result<Self> {
        let mut start = 0;
        let mut parts = Vec::new();
        for file in &torrent.files {
            let path = file.path.as_ref().map_or(data.to_path_buf(), |path| data.join(path));
            if file.bytes > 0 {
                let map = if file.pad { None } else { Some(map(&path, file.bytes)?) };
                parts.push(Part { start, bytes: file.bytes, map });
            }
            start += file.bytes;
        }
        Ok(Self { parts })
    }

    /// Appends the slices of a range that lies within the content.
    pub fn gather<'a>(&'a self, offset: u64, len: usize, slices: &mut Vec<IoSlice<'a>>) {
        let mut nth = self.parts.partition_point(|part| part.start + part.bytes <= offset);
        let (mut offset, mut len) = (offset, len);
        while len > 0 {
            let Some(part) = self.parts.get(nth) else { return };
            let within = offset - part.start;
            let bytes = part.bytes.saturating_sub(within).min(len as u64) as usize;
            let slice = match &part.map {
                Some(map) => &map[within as usize..within as usize + bytes],
                None => &ZEROS[..bytes.min(ZEROS.len())],
            };
            slices.push(IoSlice::new(slice));
            offset += slice.len() as u64;
            len -= slice.len();
            nth += usize::from(offset == part.start + part.bytes);
        }
    }

    /// Appends the slices of a range, with its first byte wrong.
    pub fn gather_poisoned<'a>(&'a self, offset: u64, len: usize, slices: &mut Vec<IoSlice<'a>>) {
        let mut first = Vec::new();
        self.gather(offset, 1, &mut first);
        let wrong = usize::from(!first.first().map_or(0, |slice| slice[0]));
        slices.push(IoSlice::new(&BYTES[wrong..=wrong]));
        self.gather(offset + 1, len - 1, slices);
    }
}

fn map(path: &Path, bytes: u64) -> io::Result<Mmap> {
    let about = |error: io::Error| io::Error::new(error.kind(), format!("{}: {error}", path.display()));
    let file = File::open(path).map_err(about)?;
    if file.metadata().map_err(about)?.len() != bytes {
        return Err(io::Error::other(format!("{} does not have {bytes} bytes", path.display())));
    }
    // SAFETY: the map is only read, as bytes; who changes the files of a running test gets what he asked for.
    unsafe { Mmap::map(&file) }.map_err(about)
}
