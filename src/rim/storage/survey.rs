//! What is on disk before anything is done: is there something to continue, something in the way, room enough?

use super::Options;
use super::fault::{Found, OpenFault};
use super::reserve::{Allocate, allocated};
use super::sys;
use super::tree::Tree;
use crate::base::Bitfield;
use crate::meta::{File, Layout, Metainfo};
use crate::resume::Stamp;
use crate::rim::signals::ask_to_end;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::time::{Duration, Instant};

/// Whether anything of the torrent is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Nothing that could hold a byte: no check is needed.
    Nothing,
    /// Files with bytes in them: a check finds out what they are worth.
    Something,
}

/// Before the loop nobody is heard: what takes longer than this says what it is.
const LONG: Duration = Duration::from_secs(1);

/// Something that is done to each file before the loop.
pub(super) struct Round {
    start: Instant,
    what: &'static str,
    told: bool,
}

impl Round {
    /// It begins.
    pub(super) fn new(what: &'static str) -> Self {
        Self { start: Instant::now(), what, told: false }
    }

    /// False if a signal asks to end. To be called for each file.
    pub(super) fn goes_on(&mut self) -> bool {
        if !self.told && self.start.elapsed() >= LONG {
            self.told = true;
            log::info!("still {}", self.what);
        }
        !ask_to_end()
    }
}

/// Looks at every place where a file has to be, and compares what is needed, by others of the run as well, with what is free.
/// Puts down in `stamps` how each file is. Also answers the bytes that the files of the torrent still need.
pub(super) fn survey(
    tree: &mut Tree,
    layout: &Layout,
    options: &Options,
    stamps: &mut [Stamp],
) -> Result<(Existing, u64), OpenFault> {
    let (mut existing, mut needed) = (Existing::Nothing, 0_u64);
    let mut round = Round::new("looking for the files");
    for (file, stamp) in layout.files().zip(stamps).filter(|(file, _)| !file.is_pad()) {
        if !round.goes_on() {
            return Err(OpenFault::Ended);
        }
        let mut room = 0;
        if let Some(metadata) = tree.look(&file).map_err(|error| in_the_way(tree, &file, error))? {
            usable(tree, &file, &metadata)?;
            *stamp = stamp_of(&metadata);
            room = allocated(&metadata).min(file.length);
            if metadata.len() > 0 {
                existing = Existing::Something;
            }
        }
        needed += file.length - room;
    }
    let wanted = needed.saturating_add(options.claimed_bytes);
    match (options.allocate, tree.free_bytes()) {
        // What needs nothing more is not refused because of others.
        (Allocate::Full, Some(free)) if needed > 0 && wanted > free => {
            Err(OpenFault::NoSpace { needed: wanted, free })
        }
        _ => Ok((existing, needed)),
    }
}

/// Finds a file that the process may not make as long as it has to be. One that is so long may be complete.
pub(super) fn within_limit(tree: &Tree, layout: &Layout, stamps: &[Stamp]) -> Result<(), OpenFault> {
    let most = sys::file_bytes_max();
    let mut files = layout.files().zip(stamps).filter(|(file, _)| !file.is_pad());
    let too_long = files.find(|(file, stamp)| file.length > most && stamp.length < file.length);
    too_long.map_or(Ok(()), |(file, _)| {
        Err(OpenFault::Limited { path: tree.place(file.components()), length: file.length, most })
    })
}

/// Files that have their whole length and may not be written to, if there are any, and why the first of them may not.
/// `stamps` as [`survey`] found.
pub(super) fn read_only(
    tree: &mut Tree,
    layout: &Layout,
    stamps: &[Stamp],
) -> Result<Option<(Bitfield, i32)>, OpenFault> {
    let (mut files, mut os_error) = (Bitfield::new(layout.count()), 0);
    // Files of one directory follow each other.
    let mut may_make_in: Option<Vec<u8>> = None;
    for (index, (file, stamp)) in
        (0..).zip(layout.files().zip(stamps)).filter(|(_, (file, _))| !file.is_pad())
    {
        let is_there = *stamp != Stamp::default();
        let directory = || file.components().rev().skip(1).flat_map(|name| name.iter().chain(b"/")).copied();
        let allowed = if is_there {
            tree.may_write(&file)
        } else if may_make_in.as_ref().is_some_and(|known| known.iter().copied().eq(directory())) {
            Ok(())
        } else {
            may_make_in = Some(directory().collect());
            tree.may_make(&file)
        };
        match allowed {
            Ok(()) => {}
            Err(error) if is_there && stamp.length == file.length => {
                os_error = if files.count() == 0 { error.raw_os_error().unwrap_or(0) } else { os_error };
                files.insert(index);
            }
            Err(error) => return Err(OpenFault::Denied { path: tree.place(file.components()), error }),
        }
    }
    Ok(Some((files, os_error)).filter(|(files, _)| files.count() > 0))
}

/// How a file is. One that is there is never like one that is not.
pub(super) fn stamp_of(metadata: &Metadata) -> Stamp {
    let seconds = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
    let changed_ns = i64::try_from(seconds).unwrap_or(i64::MAX);
    Stamp { length: metadata.len(), changed_ns: if changed_ns == 0 { 1 } else { changed_ns } }
}

/// Pieces for which the file system has nothing: they are all zeros without being read. `stamps` as the survey found.
pub(super) fn holes(tree: &mut Tree, metainfo: &Metainfo, stamps: &[Stamp]) -> Bitfield {
    let geometry = metainfo.geometry();
    let mut holes = Bitfield::full(geometry.pieces);
    let there = metainfo.layout.files().zip(stamps).filter(|(_, stamp)| stamp.length > 0);
    let mut round = Round::new("looking where the files are empty");
    for (file, _) in there {
        // Who is about to end need not know.
        let opened = if round.goes_on() { tree.open(&file, libc::O_RDONLY).ok() } else { None };
        let mut at = 0;
        while let Some(range) = next_data(opened.as_ref(), &file, at) {
            let (start, end) = (range.start.min(file.length), range.end.min(file.length));
            let pieces = geometry.pieces_of(file.offset + start..file.offset + end);
            for piece in pieces {
                holes.remove(piece);
            }
            at = range.end;
        }
    }
    holes
}

/// The next range of `file` that may be something else than zeros. A file that does not tell is all something.
fn next_data(opened: Option<&std::fs::File>, file: &File<'_>, at: u64) -> Option<std::ops::Range<u64>> {
    if at >= file.length {
        return None;
    }
    let range = opened.and_then(|opened| sys::next_data(opened, at).ok());
    range.unwrap_or(Some(at..file.length))
}

/// A plain file that is not too long can be continued; everything else is in the way.
fn usable(tree: &Tree, file: &File<'_>, metadata: &Metadata) -> Result<(), OpenFault> {
    let (length, expected) = (metadata.len(), file.length);
    let found = match metadata.is_file() {
        true if length <= expected => return Ok(()),
        true => Found::Longer { length, expected },
        false => Found::of(metadata),
    };
    Err(OpenFault::Occupied { path: tree.place(file.components()), found })
}

/// Finds what stopped the way down to `file`: the first thing that is no directory, or else the fault itself.
fn in_the_way(tree: &Tree, file: &File<'_>, error: io::Error) -> OpenFault {
    let directories = file.components().count().saturating_sub(1);
    for depth in 1..=directories {
        let path = tree.place(file.components().take(depth));
        match std::fs::symlink_metadata(&path) {
            Ok(metadata) if !metadata.is_dir() => {
                return OpenFault::Occupied { path, found: Found::of(&metadata) };
            }
            _ => {}
        }
    }
    OpenFault::System { path: tree.place(file.components()), error }
}
