//! The file of the resume state, beside the output: `.NAME.swarmlet`. A new state is written beside it and takes its
//! place when it is on the device, so that at any moment there is one that is whole.
//!
//! Its lock says that somebody works on the output. What is in it is the session's business; see
//! [`resume`](crate::resume).

use super::beside::state_names;
use super::names::Names;
use super::pulse::{Heart, exact_clock_ns, is_stamped_by_kernel, stamp_clock_ns};
use super::survey::stamp_of;
use super::sys;
use super::tree::Tree;
use crate::base::InfoHash;
use crate::base::limits::STATE_BYTES_MAX;
use crate::meta::Metainfo;
use crate::resume::{HEAD_BYTES, MAGIC, State};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::thread;
use std::time::{Duration, Instant};

/// How often the file may be replaced between opening and locking before that is a fault of its own.
const TRIES: u32 = 10;

/// The files' clock goes on at least once in half of this, unless the machine is busy elsewhere.
const LAST_BEAT_TIME: Duration = Duration::from_millis(20);

/// A clock that is so far behind what it has shown was set back; less than that passes by itself.
const SET_BACK_NS: i64 = 1_000_000_000;

/// The state file of one torrent.
pub(super) struct StateFile {
    name: Vec<u8>,
    next_name: Vec<u8>,
    info_hash: InfoHash,
    /// The file in its place, locked.
    locked: Option<File>,
    /// The next one, locked too.
    next: Option<Next>,
    /// The end of the file in its place, if this run has written it.
    heart: Option<Heart>,
    /// By the clock of the files: when the last sign of life was given.
    beat_ns: i64,
    /// When bytes were stored last.
    stored_ns: i64,
    /// Somebody else was noticed to have been at the files since the next state was made.
    is_outdated: bool,
    /// It told when it was locked that an earlier run has worked on this torrent.
    was_ours: bool,
    /// It tells that this run does.
    is_ours: bool,
    /// Nothing was ever written to it.
    is_empty: bool,
    /// Nothing is to be kept any more.
    is_forgotten: bool,
    /// Why there is none: an error number.
    absence: i32,
}

/// What locking found.
pub(super) enum Locked {
    /// It is ours; this is what was in it.
    Ours(Vec<u8>),
    /// Another process has it.
    Busy,
    /// There is none and there cannot be one, or what is there is no state: it is left alone.
    Absent(io::Error),
}

/// A state that is on its way to the device.
struct Next {
    file: File,
    /// Bytes.
    length: u64,
    is_stamped_by_kernel: bool,
}

impl Next {
    /// Its end, with a first sign of life: until now, whatever happens to the files is told by the state before it. `None`
    /// where the file system shares no maps or stamps files by another clock than ours.
    fn heart(&self) -> Option<Heart> {
        if !self.is_stamped_by_kernel {
            return None;
        }
        let heart = Heart::new(&self.file, self.length, stamp_clock_ns());
        heart.inspect_err(|error| log::debug!("the state has no pulse: {error}")).ok()
    }
}

impl StateFile {
    /// Nothing is opened or made yet.
    pub(super) fn new(metainfo: &Metainfo, names: Names) -> Self {
        let [name, next_name] = state_names(metainfo).map(|name| names.fitting(&name).into_owned());
        Self {
            name,
            next_name,
            info_hash: metainfo.info_hash,
            locked: None,
            next: None,
            heart: None,
            beat_ns: 0,
            stored_ns: 0,
            is_outdated: false,
            was_ours: false,
            is_ours: false,
            is_empty: true,
            is_forgotten: false,
            absence: libc::ENOLCK,
        }
    }

    /// The name of the file within the output directory.
    pub(super) fn name(&self) -> &[u8] {
        &self.name
    }

    /// True if an earlier run has stored something of this torrent, or was about to. One that has only looked at what is
    /// there leaves nothing that says so, and what another torrent's says is no word about this one.
    pub(super) fn was_ours(&self) -> bool {
        self.was_ours
    }

    /// Makes the file, if it is missing, locks and reads it.
    pub(super) fn lock(&mut self, tree: &mut Tree) -> Locked {
        for _ in 0..TRIES {
            match self.try_lock(tree) {
                Ok(Some(locked)) => return locked,
                Ok(None) => {}
                Err(error) => {
                    self.absence = error.raw_os_error().unwrap_or(libc::ENOLCK);
                    return Locked::Absent(error);
                }
            }
        }
        Locked::Busy
    }

    /// `None` if it was replaced meanwhile.
    fn try_lock(&mut self, tree: &mut Tree) -> io::Result<Option<Locked>> {
        let root = tree.root(true)?;
        let open = |flags| sys::retry(|| sys::open_at(root, &self.name, flags, 0o666)).map(File::from);
        let mut file = open(libc::O_RDWR | libc::O_CREAT)?;
        if !sys::try_lock(&file)? {
            return Ok(Some(Locked::Busy));
        }
        let (ours, theirs) = (file.metadata()?, open(libc::O_PATH)?.metadata()?);
        if (ours.dev(), ours.ino()) != (theirs.dev(), theirs.ino()) {
            return Ok(None);
        }
        let mut bytes = Vec::new();
        (&mut file).take(STATE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
        if !ours.is_file() || !(bytes.is_empty() || bytes.starts_with(MAGIC)) {
            return Err(io::Error::from_raw_os_error(libc::EEXIST));
        }
        self.is_empty = bytes.is_empty();
        self.was_ours = State::is_of(&bytes, self.info_hash);
        self.is_ours = self.was_ours;
        self.locked = Some(file);
        Ok(Some(Locked::Ours(bytes)))
    }

    /// Something is about to be stored: from now on what is there may be ours.
    pub(super) fn begin(&mut self) {
        if let Some(locked) = self.locked.as_ref().filter(|_| !self.is_ours) {
            // Where it cannot be said now, it will be when the first state is written.
            let _ = locked.set_len(0).and_then(|()| locked.write_all_at(&State::head(self.info_hash), 0));
            (self.is_ours, self.is_empty) = (true, false);
        }
    }

    /// Another state is made, by somebody who knows of all that was noticed.
    pub(super) fn expect(&mut self) {
        self.is_outdated = false;
    }

    /// Writes `bytes` beside the state; they are still to be synced. `None` if nothing is to be kept.
    ///
    /// # Errors
    /// What the system says, also of an earlier try to lock the state; `EEXIST` if something else has the name.
    pub(super) fn write(&mut self, tree: &mut Tree, bytes: &[u8]) -> io::Result<Option<File>> {
        if self.is_forgotten {
            return Ok(None);
        }
        if self.locked.is_none() {
            return Err(io::Error::from_raw_os_error(self.absence));
        }
        self.next = None;
        let root = tree.root(true)?;
        let flags = libc::O_RDWR | libc::O_CREAT;
        let file = sys::retry(|| sys::open_at(root, &self.next_name, flags, 0o666)).map(File::from)?;
        // Whoever finds the new one in its place finds it locked.
        if !sys::try_lock(&file)? {
            return Err(io::Error::from_raw_os_error(libc::ENOLCK));
        }
        if !is_rest_of_state(&file)? {
            return Err(io::Error::from_raw_os_error(libc::EEXIST));
        }
        file.set_len(0)?;
        let before_ns = stamp_clock_ns();
        // Looking at what was there has moved on in it.
        file.write_all_at(bytes, 0)?;
        let stamp = stamp_of(&file.metadata()?);
        self.next = Some(Next {
            file: file.try_clone()?,
            length: stamp.length,
            is_stamped_by_kernel: is_stamped_by_kernel(before_ns, stamp.changed_ns),
        });
        Ok(Some(file))
    }

    /// Puts what was written in the place of the state.
    pub(super) fn put(&mut self, tree: &mut Tree) -> io::Result<()> {
        if self.is_forgotten {
            return Ok(());
        }
        let root = tree.root(false)?;
        let next = self.next.take().ok_or(io::ErrorKind::NotFound)?;
        if self.is_outdated {
            // It was written when nobody had noticed yet; the session knows, and writes another.
            return Ok(());
        }
        let heart = next.heart();
        sys::rename_at(root, &self.next_name, &self.name)?;
        (self.locked, self.heart) = (Some(next.file), heart);
        (self.is_ours, self.is_empty) = (true, false);
        Ok(())
    }

    /// The program is alive, and whatever it has stored is its own work.
    pub(super) fn beat(&mut self) {
        if let Some(heart) = &mut self.heart {
            let now_ns = stamp_clock_ns();
            if now_ns < self.beat_ns.saturating_sub(SET_BACK_NS) {
                // The clock was set back: no sign of life will tell of what was stored before, and none is waited for.
                self.stored_ns = i64::MIN;
            }
            self.beat_ns = now_ns;
            if !heart.beat(self.beat_ns) {
                self.heart = None;
            }
        }
    }

    /// The last sign of life: later than whatever was stored, so that the next run knows all of it for ours. For that it
    /// waits until the files' clock goes on, which takes milliseconds.
    pub(super) fn beat_last(&mut self) {
        let start = Instant::now();
        self.beat();
        while self.awaits_beat() && start.elapsed() < LAST_BEAT_TIME {
            thread::sleep(LAST_BEAT_TIME / 20);
            self.beat();
        }
    }

    /// Bytes were stored. By the exact clock, because some kernels stamp by that, and the other may be some ticks behind.
    pub(super) fn stored(&mut self) {
        self.stored_ns = exact_clock_ns();
    }

    /// True if what was stored last is known to be ours only after another sign of life: the files' clock has not gone on
    /// since.
    pub(super) fn awaits_beat(&self) -> bool {
        self.heart.is_some() && self.beat_ns <= self.stored_ns
    }

    /// Somebody else has been at the files: what was said of them counts no more, and no time of change tells whose work
    /// it is, until the next state is written.
    pub(super) fn doubt(&mut self) {
        self.is_outdated = true;
        if let Some(heart) = self.heart.take() {
            heart.stop();
        }
        // Where that cannot be done the state is without a pulse at least.
        let left = if self.is_ours { HEAD_BYTES as u64 } else { 0 };
        let _ = self.locked.as_ref().map(|locked| locked.set_len(left));
    }

    /// Removes the state: there is nothing to be resumed, and what is on its way to the device is in vain.
    pub(super) fn remove(&mut self, tree: &mut Tree) {
        let Some(locked) = self.locked.take() else { return };
        (self.heart, self.is_forgotten) = (None, true);
        if let Ok(root) = tree.root(false) {
            // What cannot be removed is found wanting by the next run.
            if self.next.take().is_some() || is_left_behind(root, &self.next_name) {
                let _ = sys::remove_at(root, &self.next_name);
            }
            let _ = sys::remove_at(root.as_fd(), &self.name);
        }
        drop(locked);
    }

    /// Leaves no empty file behind.
    pub(super) fn remove_if_empty(&mut self, tree: &mut Tree) {
        if self.is_empty {
            self.remove(tree);
        }
    }
}

/// True if an earlier run, which did not come to its end, has left this file.
fn is_left_behind(root: BorrowedFd<'_>, name: &[u8]) -> bool {
    let file = sys::retry(|| sys::open_at(root, name, libc::O_RDONLY, 0)).map(File::from);
    file.is_ok_and(|file| is_rest_of_state(&file).unwrap_or(false))
}

/// True if a file holds a state, or what is left of one that was not written to its end.
fn is_rest_of_state(file: &File) -> io::Result<bool> {
    if !file.metadata()?.is_file() {
        return Ok(false);
    }
    let mut head = Vec::new();
    file.take(MAGIC.len() as u64).read_to_end(&mut head)?;
    Ok(MAGIC.starts_with(&head))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resume::{PULSE_BYTES, Pulse};
    use std::fs;
    use std::path::PathBuf;

    /// A folder that goes with its test, and the state file of a torrent called `n`.
    struct Place {
        path: PathBuf,
        tree: Tree,
        state: StateFile,
    }

    impl Place {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("swarmlet-state-{name}-{}", std::process::id()));
            fs::create_dir(&path).expect("a new folder");
            let torrent = b"d4:infod6:lengthi1e4:name1:n12:piece lengthi1e6:pieces20:xxxxxxxxxxxxxxxxxxxxee";
            let metainfo = Metainfo::parse(torrent).expect("a good torrent");
            Self { tree: Tree::new(&path), path, state: StateFile::new(&metainfo, Names::All) }
        }

        fn lock(&mut self) -> bool {
            matches!(self.state.lock(&mut self.tree), Locked::Ours(_))
        }

        fn write(&mut self, bytes: &[u8]) -> Result<bool, Option<i32>> {
            let written = self.state.write(&mut self.tree, bytes);
            written.map(|file| file.is_some()).map_err(|error| error.raw_os_error())
        }

        fn save(&mut self, bytes: &[u8]) {
            assert_eq!(self.write(bytes), Ok(true));
            self.state.put(&mut self.tree).expect("in its place");
        }

        fn read(&self, name: &str) -> Option<Vec<u8>> {
            fs::read(self.path.join(name)).ok()
        }

        fn pulse(&self) -> Option<Pulse> {
            Pulse::of(&self.read(".n.swarmlet").expect("there"))
        }
    }

    impl Drop for Place {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.path);
        }
    }

    /// What passes for a state here, written so long after 1970.
    fn state(written_ns: i64) -> Vec<u8> {
        let mut bytes = [&MAGIC[..], &[0; 100 + PULSE_BYTES]].concat();
        bytes[54..62].copy_from_slice(&written_ns.to_be_bytes());
        bytes
    }

    #[test]
    fn what_is_not_ours_is_not_written_over() {
        for (name, content, ours) in [
            ("foreign", &b"a letter"[..], false),
            ("half", b"swarm", true),
            ("rest", b"swarmlet and more", true),
            ("empty", b"", true),
        ] {
            let mut place = Place::new(name);
            fs::write(place.path.join(".n.swarmlet.new"), content).expect("new");
            assert!(place.lock());
            let expected = if ours { Ok(true) } else { Err(Some(libc::EEXIST)) };
            assert_eq!(place.write(&state(i64::MAX)), expected, "{name}");
            let written = if ours { state(i64::MAX) } else { content.to_vec() };
            assert_eq!(place.read(".n.swarmlet.new"), Some(written), "{name}");
            place.state.remove(&mut place.tree);
            assert_eq!(place.read(".n.swarmlet.new").as_deref(), (!ours).then_some(content), "{name}");
        }
    }

    #[test]
    fn only_who_has_begun_to_store_this_torrent_has_worked_on_it() {
        let place = Place::new("whose");
        let ours = place.state.info_hash;
        let states = [vec![], State::head(InfoHash([9; 20])).to_vec(), State::head(ours).to_vec(), state(1)];
        for (bytes, is_ours) in states.into_iter().zip([false, false, true, false]) {
            let mut place = Place::new("whose-state");
            fs::write(place.path.join(".n.swarmlet"), &bytes).expect("new");
            assert!(place.lock());
            assert_eq!(place.state.was_ours(), is_ours, "{bytes:?}");
            place.state.remove_if_empty(&mut place.tree);
            assert_eq!(place.read(".n.swarmlet"), Some(bytes.clone()).filter(|bytes| !bytes.is_empty()));
            if place.state.locked.is_none() {
                assert!(place.lock());
            }
            place.state.begin();
            let left = if is_ours { bytes } else { State::head(ours).to_vec() };
            assert!(place.read(".n.swarmlet") == Some(left) && !place.state.is_empty);
        }
    }

    #[test]
    fn what_an_earlier_run_left_goes_with_the_state_also_if_this_one_saved_nothing() {
        let mut place = Place::new("left");
        fs::write(place.path.join(".n.swarmlet.new"), b"swarm").expect("new");
        assert!(place.lock());
        place.state.remove(&mut place.tree);
        assert_eq!((place.read(".n.swarmlet"), place.read(".n.swarmlet.new")), (None, None));
    }

    #[test]
    fn a_save_that_comes_after_the_end_is_in_vain_and_no_fault() {
        let mut place = Place::new("late");
        assert!(place.lock());
        place.save(&state(i64::MAX));
        assert_eq!(place.write(&state(i64::MAX)), Ok(true));
        place.state.remove(&mut place.tree);
        place.state.put(&mut place.tree).expect("nothing to be put is nothing to fail");
        assert_eq!(place.write(&state(i64::MAX)), Ok(false));
        assert_eq!((place.read(".n.swarmlet"), place.read(".n.swarmlet.new")), (None, None));
    }

    #[test]
    fn a_state_that_cannot_be_locked_tells_why_whenever_it_is_to_be_written() {
        let mut place = Place::new("absent");
        fs::write(place.path.join(".n.swarmlet"), b"a letter").expect("new");
        assert!(!place.lock());
        assert_eq!(place.write(&state(i64::MAX)), Err(Some(libc::EEXIST)));
        assert_eq!(place.read(".n.swarmlet").as_deref(), Some(&b"a letter"[..]));
    }

    #[test]
    fn a_clock_that_was_set_back_is_not_waited_for() {
        let mut place = Place::new("back");
        assert!(place.lock());
        place.save(&state(1));
        place.state.beat();
        let hour_ns = 3_600_000_000_000;
        place.state.beat_ns += hour_ns;
        place.state.stored_ns = place.state.beat_ns + 1;
        assert!(place.state.awaits_beat());
        place.state.beat();
        assert!(!place.state.awaits_beat());
        place.state.stored();
        assert!(place.state.awaits_beat(), "by the new time");
    }

    #[test]
    fn as_long_as_it_runs_the_state_says_so_until_somebody_else_was_at_the_files() {
        let mut place = Place::new("pulse");
        assert!(place.lock());
        place.save(&state(i64::MAX));
        let first = place.pulse().expect("from the beginning");
        place.state.stored();
        assert!(place.state.awaits_beat());
        while place.state.awaits_beat() {
            place.state.beat();
        }
        let second = place.pulse().expect("alive");
        assert!(second.0 > first.0, "{first:?} {second:?}");
        // While the next one is on its way, the one in its place lives on; then the next one does.
        assert_eq!(place.write(&state(i64::MAX)), Ok(true));
        std::thread::sleep(std::time::Duration::from_millis(25));
        place.state.beat();
        let third = place.pulse().expect("alive");
        place.state.put(&mut place.tree).expect("in its place");
        assert!(third.0 > second.0 && place.pulse().is_some_and(|last| last.0 >= third.0));

        // A state of a time when the clock was behind is as good as any other.
        place.state.expect();
        place.save(&state(1));
        place.state.expect();
        assert_eq!(place.write(&state(i64::MAX)), Ok(true));
        place.state.doubt();
        place.state.beat();
        let head = state(1)[..HEAD_BYTES].to_vec();
        assert_eq!(place.read(".n.swarmlet"), Some(head.clone()));
        place.state.put(&mut place.tree).expect("no fault");
        assert_eq!(place.read(".n.swarmlet"), Some(head), "that was written before");
        place.state.expect();
        place.save(&state(i64::MAX));
        assert!(place.pulse().is_some());
    }
}
