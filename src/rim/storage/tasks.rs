//! What takes the device's time, one task after the other, in steps that never wait: see [`Syncer`].

use super::complete::complete_file;
use super::files::is_lack_of_descriptors;
use super::growth::GROWTH;
use super::survey::{Round, stamp_of};
use super::sync::{Synced, Syncer};
use super::{Storage, fault, sys};
use crate::base::TorrentId;
use crate::base::limits::TURN_FILES_MAX;
use crate::meta;
use crate::resume::Stamp;
use crate::session::{StorageFault, StorageFaultKind};
use std::collections::{BTreeSet, VecDeque};
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// The numbers of syncs that are no file's of the torrent, which are [`FILES_MAX`](crate::base::limits::FILES_MAX) at
/// most.
const DIRECTORY: u32 = u32::MAX;
const STATE: u32 = u32::MAX - 1;

/// Something that takes the device's time.
#[derive(Debug, PartialEq, Eq)]
pub enum Task {
    /// Make durable what was stored; `everything`: also what was there before this run.
    Sync {
        /// Not only what this run has stored.
        everything: bool,
    },
    /// Put the resume state in the place of the last one.
    Save(Vec<u8>),
    /// Give each file its exact length and mode, make durable what was stored, and close all.
    Complete,
}

/// A task that is over.
#[derive(Debug, PartialEq, Eq)]
pub enum Done {
    /// What was stored before the task began is durable, or why not.
    Synced(Result<(), StorageFault>),
    /// The state is durable, or why not: then the last one still holds.
    Saved(Result<(), StorageFault>),
    /// The files are what the torrent says, and durable.
    Completed(Result<(), StorageFault>),
}

/// The tasks of a torrent.
#[derive(Default)]
pub(super) struct Tasks {
    waiting: VecDeque<Task>,
    current: Option<Work>,
}

/// The task under way.
struct Work {
    task: Task,
    /// The next file whose length and mode are to be settled; beyond the last one when that is done or not wished.
    settling: u32,
    /// Files to be synced, the next one last.
    files: Vec<u32>,
    /// More of them could be opened at once, in another turn.
    has_more: bool,
    /// Directories with new entries: their names from the output directory down, each with a slash behind it.
    directories: BTreeSet<Vec<u8>>,
    /// Directories above that one, with new entries too.
    above: Vec<PathBuf>,
    under_way: u32,
    fault: Option<StorageFault>,
    /// The new state is in its place, or will never be.
    renamed: bool,
}

impl Tasks {
    /// True while the device has not answered.
    pub(super) fn is_syncing(&self) -> bool {
        self.current.as_ref().is_some_and(|work| work.under_way > 0)
    }

    /// True if somebody else was noticed to have been at the files, which is told when the task under way is over.
    fn hides_change(&self) -> bool {
        let fault = self.current.as_ref().and_then(|work| work.fault);
        fault.is_some_and(|fault| fault.kind == StorageFaultKind::Changed)
    }
}

impl Storage {
    /// Adds a task. [`Storage::go_on`] answers it.
    pub fn begin(&mut self, task: Task) {
        if matches!(task, Task::Save(_)) && !self.tasks.hides_change() {
            self.state.expect();
        }
        self.tasks.waiting.push_back(task);
    }

    /// True if [`Storage::go_on`] has something to do that waits for no answer of the device.
    pub fn is_busy(&self) -> bool {
        let settled = self.metainfo.layout.count();
        let settles = |work: &Work| work.settling < settled && !self.waits_to_grow() || work.has_more;
        self.is_growing() || self.tasks.current.as_ref().map_or(!self.tasks.waiting.is_empty(), settles)
    }

    /// Goes on with the task under way, a bounded step; what is over, if one is.
    pub fn go_on(&mut self, torrent: TorrentId, syncer: &mut Syncer) -> Option<Done> {
        self.state.beat();
        self.grow(torrent, syncer);
        let mut work = match self.tasks.current.take() {
            Some(work) => work,
            None => {
                let task = self.tasks.waiting.pop_front()?;
                self.work(task, torrent, syncer)
            }
        };
        self.settle(&mut work, syncer);
        self.sync_files(&mut work, torrent, syncer);
        let is_idle = |work: &Work| work.under_way == 0 && work.files.is_empty();
        if work.settling >= self.metainfo.layout.count() && is_idle(&work) {
            self.put_state(&mut work);
            self.sync_directories(&mut work, torrent, syncer);
            if is_idle(&work) && work.directories.is_empty() && work.above.is_empty() {
                return Some(self.done(&work));
            }
        }
        self.tasks.current = Some(work);
        None
    }

    /// The device has answered.
    pub fn synced(&mut self, answer: Synced) {
        if answer.number == GROWTH {
            return self.has_grown_on_device(answer);
        }
        let Some(mut work) = self.tasks.current.take() else { return };
        work.under_way = work.under_way.saturating_sub(1);
        match (answer.result, answer.number) {
            (Ok(()), _) => {}
            // A directory that cannot be synced (FUSE) loses names at worst, and what has no name is fetched again.
            (Err(error), DIRECTORY) => log::debug!("a directory cannot be synced: {error}"),
            (Err(error), STATE) => {
                work.renamed = true;
                work.fault = Some(fault::of_file(0, &error));
            }
            (Err(error), file) if cannot_change(&error) && !self.write_back.is_changed(file) => {
                log::debug!("file {file} cannot be synced, and need not be: {error}");
            }
            (Err(error), file) => {
                let lost = self.fault(file, &error);
                work.fault.get_or_insert(lost);
                self.forget_cached(file);
            }
        }
        self.tasks.current = Some(work);
    }

    /// What the task needs to be done.
    fn work(&mut self, task: Task, torrent: TorrentId, syncer: &mut Syncer) -> Work {
        let count = self.metainfo.layout.count();
        let (mut settling, mut files) = (count, Vec::new());
        match &task {
            Task::Sync { everything } => {
                if *everything {
                    let there: Vec<u32> = (0..count).filter(|file| self.exists(*file)).collect();
                    there.into_iter().for_each(|file| self.write_back.note_file(file));
                }
                files = self.write_back.take_files();
            }
            Task::Complete => {
                self.tell_ways();
                self.files.close_all();
                settling = 0;
            }
            Task::Save(_) => {}
        }
        let mut work = Work {
            task,
            settling,
            files,
            has_more: false,
            directories: BTreeSet::new(),
            above: Vec::new(),
            under_way: 0,
            fault: None,
            renamed: false,
        };
        self.write_state(&mut work, torrent, syncer);
        work
    }

    fn exists(&self, file: u32) -> bool {
        let was_there = self.stamps.get(file as usize).is_some_and(|stamp| *stamp != Stamp::default());
        was_there || self.files.is_known(file)
    }

    /// Gives some files their exact lengths and modes, as many as this turn has time for, and one at least.
    fn settle(&mut self, work: &mut Work, syncer: &mut Syncer) {
        let metainfo = Arc::clone(&self.metainfo);
        let count = metainfo.layout.count();
        let (first, most) = (work.settling, work.settling.saturating_add(TURN_FILES_MAX as u32).min(count));
        while work.settling < most && (syncer.has_time() || work.settling == first) {
            let index = work.settling;
            work.settling += 1;
            let Some(file) = metainfo.layout.file(index).filter(|file| !file.is_pad()) else { continue };
            if self.has_to_grow(index, file.length) {
                return work.settling = index;
            }
            self.files.close(index);
            match complete_file(&mut self.tree, &mut self.files, index, &file) {
                Ok(true) => self.write_back.note_changed(index),
                Ok(false) => {}
                Err(error) => {
                    // The others are looked at as well: all that was changed is told at once, and then read once.
                    let fault = self.fault(index, &error);
                    work.fault.get_or_insert(fault);
                }
            }
        }
        if first < count && work.settling == count && work.fault.is_none() {
            work.files = self.write_back.take_files();
        }
    }

    /// Begins as many syncs as may be under way and this turn has time for, and one at least.
    fn sync_files(&mut self, work: &mut Work, torrent: TorrentId, syncer: &mut Syncer) {
        let metainfo = Arc::clone(&self.metainfo);
        let count = work.files.len();
        work.has_more = false;
        while syncer.has_room()
            && let Some(index) = work.files.pop()
        {
            work.has_more = !syncer.has_time() && work.files.len() + 1 < count;
            if work.has_more {
                return work.files.push(index);
            }
            let Some(file) = metainfo.layout.file(index).filter(|file| !file.is_pad()) else { continue };
            match self.opened_for_sync(index, &file) {
                Ok(opened) => {
                    if !core::mem::replace(&mut self.entered[index as usize], true) {
                        let names: Vec<&[u8]> = file.components().collect();
                        note_directories(&names, &mut work.directories);
                        work.above.append(&mut self.above);
                    }
                    work.under_way += 1;
                    syncer.sync(torrent, index, opened, self.write_back.take_ranges(index));
                }
                // Those that are under way give theirs back.
                Err(error) if work.under_way > 0 && is_lack_of_descriptors(&error) => {
                    return work.files.push(index);
                }
                Err(error) => {
                    if error.kind() == io::ErrorKind::NotFound {
                        // Deleted by somebody: there is nothing of it that could be synced the next time.
                        self.stamps[index as usize] = Stamp::default();
                    }
                    let fault = self.fault(index, &error);
                    work.fault.get_or_insert(fault);
                }
            }
        }
    }

    /// A file that is to be synced. If it is open for writing it is that descriptor: it knows of each write that failed
    /// since it was opened, and a new one only of those that nobody was told of.
    fn opened_for_sync(&mut self, index: u32, file: &meta::File<'_>) -> io::Result<File> {
        let writer = self.files.writer(index)?;
        let found = self.files.with_descriptors(|| self.tree.open(file, libc::O_RDONLY))?;
        // What was stored went to the file that was opened, and what is found is what the next run believes.
        let metadata = self.files.expect(index, &found, false);
        self.stamps[index as usize] = stamp_of(&found.metadata()?);
        metadata?;
        Ok(writer.unwrap_or(found))
    }

    fn sync_directories(&mut self, work: &mut Work, torrent: TorrentId, syncer: &mut Syncer) {
        while syncer.has_room()
            && let Some(names) = work.directories.pop_first()
        {
            match self.files.with_descriptors(|| self.tree.open_directory(&names)) {
                Ok(directory) => {
                    work.under_way += 1;
                    syncer.sync(torrent, DIRECTORY, directory, Vec::new());
                }
                Err(error) if work.under_way > 0 && is_lack_of_descriptors(&error) => {
                    work.directories.insert(names);
                    return;
                }
                // Without the right to read it there is nothing that could be done; see `synced`.
                Err(_) => {}
            }
        }
        while syncer.has_room()
            && let Some(path) = work.above.pop()
        {
            if let Ok(directory) = self.files.with_descriptors(|| File::open(&path)) {
                work.under_way += 1;
                syncer.sync(torrent, DIRECTORY, directory, Vec::new());
            }
        }
    }

    fn write_state(&mut self, work: &mut Work, torrent: TorrentId, syncer: &mut Syncer) {
        let Task::Save(bytes) = &work.task else { return };
        match self.files.with_descriptors(|| self.state.write(&mut self.tree, bytes)) {
            Ok(Some(file)) => {
                work.under_way += 1;
                syncer.sync(torrent, STATE, file, Vec::new());
            }
            Ok(None) => work.renamed = true,
            Err(error) => {
                work.renamed = true;
                work.fault = Some(fault::of_file(0, &error));
            }
        }
    }

    /// The new state is on the device: it takes the place of the old one.
    fn put_state(&mut self, work: &mut Work) {
        if matches!(work.task, Task::Save(_)) && !core::mem::replace(&mut work.renamed, true) {
            match self.files.with_descriptors(|| self.state.put(&mut self.tree)) {
                Ok(()) => {
                    work.directories.insert(Vec::new());
                    work.above.append(&mut self.above);
                }
                Err(error) => work.fault = Some(fault::of_file(0, &error)),
            }
        }
    }

    fn done(&mut self, work: &Work) -> Done {
        let result = work.fault.map_or(Ok(()), Err);
        match work.task {
            Task::Sync { .. } => Done::Synced(result),
            Task::Save(_) => Done::Saved(result),
            Task::Complete => {
                self.tree.forget();
                Done::Completed(result)
            }
        }
    }

    /// A write may have failed in an earlier run: what is read of all files from now on comes from the device.
    pub(super) fn forget_all_cached(&mut self) {
        let metainfo = Arc::clone(&self.metainfo);
        let there = metainfo.layout.files().zip(&self.stamps).filter(|(_, stamp)| stamp.length > 0);
        let mut round = Round::new("having the kernel forget what it remembers of the files");
        for (file, _) in there {
            if !round.goes_on() {
                break;
            }
            if let Ok(opened) = self.tree.open(&file, libc::O_RDONLY) {
                sys::forget_cached(&opened);
            }
        }
    }

    /// The device has refused a file: what is read of it from now on comes from the device.
    fn forget_cached(&mut self, index: u32) {
        let metainfo = Arc::clone(&self.metainfo);
        let Some(file) = metainfo.layout.file(index) else { return };
        if let Ok(opened) = self.files.with_descriptors(|| self.tree.open(&file, libc::O_RDONLY)) {
            sys::forget_cached(&opened);
        }
    }
}

/// True for what file systems say of a sync that take no change: those without a way to sync, and those that are mounted
/// for reading.
fn cannot_change(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EINVAL | libc::EROFS))
}

/// Adds the directory of the file `names` and all above it, up to the output directory.
fn note_directories(names: &[&[u8]], directories: &mut BTreeSet<Vec<u8>>) {
    for depth in 0..names.len() {
        let path = names[..depth].iter().flat_map(|name| name.iter().chain(b"/")).copied().collect();
        directories.insert(path);
    }
}

#[cfg(test)]
mod tests;
