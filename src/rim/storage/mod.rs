//! The files of a torrent: verified bytes go in, safely and cheaply; nothing else decides anything here.
//!
//! | what | where |
//! |---|---|
//! | what is there at the start, what is in the way | `survey` |
//! | names and directories, no symlink followed | `tree` |
//! | a few open files of many | `files` |
//! | what a device has refused | `renew` |
//! | whether a file is the one that it was | `known` |
//! | room on the device | `reserve` |
//! | what a file system cannot do | `kind` |
//! | files without holes | `growth` |
//! | names that it does not take | `names` |
//! | window or positioned write | `backend`, `window`, `positioned` |
//! | bytes on their way to a peer | `send` |
//! | bytes on their way from a slow device | `reading`, `ahead` |
//! | a disk or a neighbour that takes pages away | `sigbus` |
//! | what is not on the device yet | `write_back` |
//! | waiting for the device, in the kernel's time | `aio`, `sync` |
//! | making durable, step by step | `tasks` |
//! | exact lengths | `complete` |
//! | the resume state's file, and its lock | `state`, `names`, `era` |
//! | the clock of the files, and our sign of life | `pulse` |

mod ahead;
mod aio;
mod arena;
mod backend;
mod beside;
mod complete;
mod era;
mod fault;
mod files;
mod growth;
mod kind;
mod known;
mod names;
mod parts;
mod positioned;
mod prices;
mod pulse;
mod readiness;
mod reading;
mod renew;
mod reserve;
mod send;
mod sigbus;
mod state;
mod survey;
mod sync;
mod sys;
mod tasks;
mod tree;
mod window;
mod write_back;

pub use arena::arena;
pub use backend::{Map, Tally};
pub use beside::state_names;
pub use fault::{Found, OpenFault};
pub use kind::Kind;
pub use names::Names;
pub use pulse::wall;
pub use reserve::Allocate;
pub use survey::Existing;
pub use sync::{Synced, Syncer};
pub use tasks::{Done, Task};

use crate::base::limits::{EXTENT_BYTES, FILE_IDLE_MAX, STORE_SLICE_FILES};
use crate::base::units::Bytes;
use crate::base::{Bitfield, Instant, Printable};
use crate::meta::{File, Metainfo, Segment};
use crate::resume::{Era, Stamp, State};
use crate::session::{StorageFault, StorageFaultKind};
use ahead::{Probe, Reach};
use backend::Backend;
use files::Files;
use growth::Growth;
use parts::Parts;
use readiness::Readiness;
use reserve::Reserver;
use state::{Locked, StateFile};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tasks::Tasks;
use tree::Tree;
use write_back::{Range, WriteBack};

/// How the files of a torrent are written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Options {
    /// How space is taken.
    pub allocate: Allocate,
    /// Whether files are mapped.
    pub map: Map,
    /// Bytes of the same disk that other torrents of the run need: only what is free beside them is counted.
    pub claimed_bytes: u64,
    /// What the file system is taken for; by default for what it is.
    pub kind: Option<Kind>,
}

/// Why bytes of a torrent could not be sent.
#[derive(Debug)]
pub enum SendError {
    /// The socket does not take them: `WouldBlock` if only for the time being.
    Socket(io::Error),
    /// They cannot be read.
    Storage(StorageFault),
}

/// The files of one torrent.
pub struct Storage {
    metainfo: Arc<Metainfo>,
    tree: Tree,
    files: Files,
    /// For each file, whether it has its whole length and room on the device.
    reserved: Box<[bool]>,
    /// For each file, whether all of its room was taken by this run: then no byte of it has to be read to be written over.
    fresh: Box<[bool]>,
    reserver: Reserver,
    kind: Kind,
    /// A file that is made longer, and what came of that if it failed.
    growth: Option<Growth>,
    growth_fault: Option<io::Error>,
    /// Bytes that the files still need on the device, as far as that is known.
    needed_bytes: u64,
    backend: Backend,
    readiness: Readiness,
    probe: Probe,
    reach: Reach,
    /// What is read in order is announced up to here.
    announced_to: u64,
    write_back: WriteBack,
    /// For each file how it was when it was last synced, or at the start.
    stamps: Box<[Stamp]>,
    /// For each file, whether its name is on the device, as far as that is ours to see to.
    entered: Box<[bool]>,
    /// Directories above the output directory in which a name may not be on the device.
    above: Vec<PathBuf>,
    tasks: Tasks,
    state: StateFile,
    /// Faults of files so far, and how many there had been when a store last went on.
    faults: u32,
    faults_before_store: u32,
    now: Instant,
}

impl Storage {
    /// Looks at what is on disk below the directory `root`, which may be missing. Creates and changes nothing.
    ///
    /// # Errors
    /// Something else lies where the output has to be, there is not enough space, or the system does not let us look.
    pub fn open(
        root: &Path,
        metainfo: Arc<Metainfo>,
        options: &Options,
    ) -> Result<(Self, Existing), OpenFault> {
        sigbus::ignore_file_size_signal();
        let mut tree = Tree::new(root);
        let files = metainfo.layout.count();
        let kind = options.kind.unwrap_or_else(|| Kind::of(&tree));
        tree.take_names(kind.names);
        kind.fits(&tree, &metainfo.layout)?;
        if kind.fills_holes {
            log::debug!("the file system knows no holes: files are filled from front to back");
        }
        let mut stamps: Box<[Stamp]> = vec![Stamp::default(); files as usize].into();
        let (existing, needed_bytes) = survey::survey(&mut tree, &metainfo.layout, options, &mut stamps)?;
        let reserved = vec![false; files as usize].into();
        let storage = Self {
            write_back: WriteBack::new(files),
            // An earlier run may have been killed, or the power cut, before it saw to the names.
            entered: vec![false; files as usize].into(),
            above: tree.above(),
            files: Files::new(&stamps),
            stamps,
            tasks: Tasks::default(),
            state: StateFile::new(&metainfo, kind.names),
            metainfo,
            tree,
            fresh: vec![false; files as usize].into(),
            reserved,
            reserver: Reserver::new(if kind.fills_holes { Allocate::Sparse } else { options.allocate }),
            kind,
            growth: None,
            growth_fault: None,
            needed_bytes,
            backend: Backend::new(options.map),
            readiness: Readiness::default(),
            faults: 0,
            faults_before_store: 0,
            probe: Probe::default(),
            reach: Reach::default(),
            announced_to: 0,
            now: Instant::ZERO,
        };
        Ok((storage, existing))
    }

    /// Puts bytes into the files: contiguous in the torrent from `offset`, scattered in memory. They may cross files; bytes
    /// of pad files are dropped. Goes on behind the first `done` bytes, for about `most` (not 0) or a few files; answers
    /// how many are in the files by then. It stops at multiples of `most` within a file, so that whole extents stay whole.
    ///
    /// If a file had a fault since the bytes before were stored, they may be in another one, or lost: it begins anew, and
    /// the answer may be less than `done`.
    ///
    /// # Errors
    /// The first fault. Some of the bytes may be in the files; storing all of them again is harmless.
    pub fn store(&mut self, offset: u64, parts: &[&[u8]], done: u64, most: u64) -> Result<u64, StorageFault> {
        self.state.begin();
        self.state.beat();
        let before = core::mem::replace(&mut self.faults_before_store, self.faults);
        let done = if before == self.faults { done } else { 0 };
        let metainfo = Arc::clone(&self.metainfo);
        let mut rest = Parts::new(parts, done);
        let segments = metainfo.layout.segments(offset + done, rest.len());
        let mut stored = 0;
        for whole in segments.take(STORE_SLICE_FILES) {
            let Some(file) = metainfo.layout.file(whole.file).filter(|file| !file.is_pad()) else {
                rest.advance(whole.length as usize);
                stored += whole.length;
                continue;
            };
            let border = (whole.file_offset / most + 1).saturating_mul(most);
            let segment = Segment { length: whole.length.min(border - whole.file_offset), ..whole };
            self.store_segment(&file, segment, &mut rest).map_err(|e| self.fault(segment.file, &e))?;
            stored += segment.length;
            if segment.length < whole.length || stored >= most {
                break;
            }
        }
        // Behind the end of the torrent there is nothing to be stored.
        Ok(done + if stored == 0 { rest.len() } else { stored })
    }

    /// Takes the output for this process and reads the resume state: empty if there is none. Makes the output directory
    /// and an empty state, if they are missing. Where nothing can be written no state is kept, and nothing is taken.
    ///
    /// # Errors
    /// [`OpenFault::Busy`] if another process has taken it; [`OpenFault::Limited`] if a file may not become as long as it
    /// has to be; [`OpenFault::System`] if what is to be stored would have to be made where nothing can be made.
    pub fn take(&mut self) -> Result<Vec<u8>, OpenFault> {
        survey::within_limit(&self.tree, &self.metainfo.layout, &self.stamps)?;
        match self.state.lock(&mut self.tree) {
            Locked::Ours(bytes) => {
                if State::era_of(&bytes).is_same(&self.era()) {
                    self.forget_all_cached();
                }
                Ok(bytes)
            }
            Locked::Busy => {
                Err(OpenFault::Busy { path: self.tree.place(core::iter::once(self.state.name())) })
            }
            Locked::Absent(error) if self.cannot_begin(&error) => {
                Err(OpenFault::System { path: self.tree.place(core::iter::empty()), error })
            }
            Locked::Absent(error) => {
                let path = self.tree.place(core::iter::once(self.state.name()));
                log::info!("no resume state is kept in {}: {error}", Printable(path.as_os_str().as_bytes()));
                Ok(Vec::new())
            }
        }
    }

    /// True if what is stored far from the end of a file has all before it written, too: files are best filled from front to
    /// back.
    pub fn fills_holes(&self) -> bool {
        self.kind.fills_holes
    }

    /// Files that have their whole length and may not be written to, if there are any, and the system's number for why the
    /// first of them may not: what is in them has to be right.
    ///
    /// # Errors
    /// [`OpenFault::Denied`] if something is missing of another that may not be written to or made.
    pub fn read_only(&mut self) -> Result<Option<(Bitfield, i32)>, OpenFault> {
        survey::read_only(&mut self.tree, &self.metainfo.layout, &self.stamps)
    }

    /// True if an earlier run has worked on the torrent here, as far as can be told after [`Storage::take`].
    pub fn was_ours(&self) -> bool {
        self.state.was_ours()
    }

    /// True if neither the state nor the output is there, and nothing can be made beside it: `error` is why.
    fn cannot_begin(&self, error: &io::Error) -> bool {
        let is_missing = |name: &[u8]| {
            let looked = std::fs::symlink_metadata(self.tree.place(core::iter::once(name)));
            looked.is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
        };
        fault::of_file(0, error).kind == StorageFaultKind::Denied
            && is_missing(self.state.name())
            && is_missing(&self.metainfo.name)
    }

    /// As many files may be open at a time, at least 1.
    pub fn keep_open(&mut self, files: usize) {
        self.files.keep_open(files);
    }

    /// How each file was when it was last synced, or at the start.
    pub fn stamps(&self) -> &[Stamp] {
        &self.stamps
    }

    /// Pieces for which the file system has nothing: they are all zeros without being read.
    pub fn holes(&mut self) -> Bitfield {
        survey::holes(&mut self.tree, &self.metainfo, &self.stamps)
    }

    /// In which era the output directory is.
    pub fn era(&mut self) -> Era {
        self.tree.root(false).map_or_else(|_| Era::default(), |root| era::current(&root))
    }

    /// Removes the resume state: there is nothing to be resumed.
    pub fn forget_state(&mut self) {
        self.state.remove(&mut self.tree);
    }

    /// True if [`Storage::go_on`] is to be called soon, so that the resume state's pulse says that what was stored last is
    /// ours.
    pub fn awaits_beat(&self) -> bool {
        self.state.awaits_beat()
    }

    /// To be called now and then, with the time: files that nobody used for a while are closed, so that the user may
    /// move them or unmount their disk.
    pub fn tick(&mut self, now: Instant) {
        self.now = now;
        self.files.close_idle(now, FILE_IDLE_MAX);
    }

    /// Bytes that the files still need on the device, as far as that is known.
    pub fn needed_bytes(&self) -> u64 {
        self.needed_bytes
    }

    /// Bytes stored so far, by the way they went.
    pub fn tally(&self) -> Tally {
        self.backend.tally()
    }

    /// Says which ways the bytes took, at `-v`.
    fn tell_ways(&self) {
        let Tally { mapped_bytes, written_bytes } = self.backend.tally();
        let (mapped, written) = (Bytes(mapped_bytes), Bytes(written_bytes));
        log::debug!("{mapped} stored through maps, {written} by positioned writes");
    }

    fn store_segment(&mut self, file: &File<'_>, segment: Segment, parts: &mut Parts<'_>) -> io::Result<()> {
        let Segment { file: index, file_offset: at, length, .. } = segment;
        let reserved = self.reserved.get(index as usize).copied().unwrap_or(false);
        if let Some(error) = self.growth_fault.take() {
            return Err(error);
        }
        let open = self.files.get(&mut self.tree, index, file, true, self.now)?;
        if reserved {
            open.length = file.length;
        }
        let was_empty = open.unchanged()?.len() == 0;
        // A small file that is stored in one go gains nothing by being reserved first.
        let reserve = !reserved && (length < file.length || length >= EXTENT_BYTES);
        let fresh = &mut self.fresh[index as usize];
        *fresh = if reserve && open.reserved_bytes == 0 { was_empty } else { *fresh };
        let done = &mut open.reserved_bytes;
        let taken = if reserve { self.reserver.reserve(&open.file, done, file.length)? } else { None };
        let is_new = !reserved && at >= open.reserved_bytes;
        let reserved = reserved || open.reserved_bytes >= file.length;
        self.backend.store(open, reserved && *fresh, at, length, parts)?;
        self.needed_bytes =
            self.needed_bytes.saturating_sub(taken.unwrap_or(0) + if is_new { length } else { 0 });
        open.length = open.length.max(if reserved { file.length } else { at + length });
        if let Some(known) = self.reserved.get_mut(index as usize) {
            *known = reserved;
        }
        self.note_stored(Range { file: index, offset: at, length });
        Ok(())
    }

    /// A range that is remembered no longer starts its way to the device. A file that is closed by now is left to the
    /// kernel, as is a kernel that cannot do it.
    fn note_stored(&mut self, range: Range) {
        self.state.stored();
        if let Some(Range { file, offset, length }) = self.write_back.note(range)
            && let Some(open) = self.files.peek(file)
        {
            let _ = sys::start_write_back(&open.file, offset, length);
        }
    }

    /// The fault of a file, which is opened anew when it is needed again: it may be another one by then.
    fn fault(&mut self, index: u32, error: &io::Error) -> StorageFault {
        self.faults = self.faults.wrapping_add(1);
        if error.raw_os_error() == Some(libc::EIO)
            && let Some(open) = self.files.peek(index)
        {
            // After write-back failed, memory has bytes that the device has not: they must not pass for stored ones.
            sys::forget_cached(&open.file);
        }
        self.files.close(index);
        self.tree.forget();
        self.growth = None;
        if let Some(reserved) = self.reserved.get_mut(index as usize) {
            *reserved = false;
        }
        let mut fault = fault::of_file(index, error);
        if fault.kind == StorageFaultKind::Changed {
            self.state.doubt();
            self.files.forget(index);
        }
        if fault.kind == StorageFaultKind::NoSpace {
            // A quota, or a limit of a file's size, is not seen in what is free: all that is needed may be missing.
            let is_counted = fault.os_error == libc::ENOSPC;
            let free = self.tree.free_bytes().filter(|_| is_counted).unwrap_or(0);
            fault.missing_bytes = self.needed_bytes.saturating_sub(free);
        }
        fault
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        self.state.beat_last();
        self.state.remove_if_empty(&mut self.tree);
    }
}
