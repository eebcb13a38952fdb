//! File systems to download onto: small ones that can be filled, and one that fails as it is told.

use crate::process::Scratch;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Runs a program of the system; it has to succeed.
fn run(program: &str, arguments: &[&str], install: &str) {
    let answer = Command::new(program).args(arguments).output();
    let answer = answer.unwrap_or_else(|error| panic!("{program}: {error}; {install}"));
    let text = String::from_utf8_lossy(&answer.stderr);
    assert!(answer.status.success(), "{program} {}: {text}; {install}", arguments.join(" "));
}

/// A mounted folder, unmounted when dropped.
pub struct Mounted {
    pub path: PathBuf,
}

impl Mounted {
    fn new(folder: &Path, arguments: &[&str]) -> Self {
        let target = folder.to_str().unwrap();
        run("mount", &[arguments, &[target]].concat(), "this test needs root, to mount");
        Self { path: folder.to_path_buf() }
    }

    /// An ext4 of `mib` MiB on a loop device over the file `image`.
    pub fn ext4(scratch: &Scratch, image: &Path, mib: u64) -> Self {
        if !image.exists() {
            File::create(image).and_then(|file| file.set_len(mib << 20)).unwrap();
        }
        let arguments = ["-q", "-F", "-m", "0", "-O", "^has_journal", image.to_str().unwrap()];
        run("mkfs.ext4", &arguments, "install it with: apt-get install -y e2fsprogs");
        Self::image(scratch, image)
    }

    /// What is on the file `image`.
    pub fn image(scratch: &Scratch, image: &Path) -> Self {
        Self::new(&scratch.folder("mount"), &["-t", "ext4", "-o", "loop", image.to_str().unwrap()])
    }

    /// Makes it read-only (`ro`), or not (`rw`).
    pub fn remount(&self, how: &str) {
        let target = self.path.to_str().unwrap();
        run("mount", &["-o", &format!("remount,{how}"), target], "this test needs root, to mount");
    }

    /// Leaves `left` bytes free, or a little more.
    pub fn fill(&self, left: u64) -> PathBuf {
        let filler = self.path.join("filler");
        let file = File::create(&filler).unwrap();
        let free = free_bytes(&self.path);
        let bytes = i64::try_from(free.saturating_sub(left)).unwrap();
        // SAFETY: takes numbers only.
        let answer = unsafe { libc::fallocate(std::os::fd::AsRawFd::as_raw_fd(&file), 0, 0, bytes) };
        assert_eq!(answer, 0, "{}", std::io::Error::last_os_error());
        filler
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.path).status();
    }
}

fn free_bytes(folder: &Path) -> u64 {
    let answer = Command::new("stat").args(["-f", "-c", "%a %S"]).arg(folder).output().expect("stat(1)");
    let text = String::from_utf8(answer.stdout).unwrap();
    text.split_whitespace().map(|word| word.parse::<u64>().unwrap()).product()
}

/// A file system that fails as told (`scripts/disks/fuse.py`).
pub struct Faults {
    pub path: PathBuf,
    control: PathBuf,
    server: Child,
}

impl Faults {
    pub fn new(folder: &Path) -> Self {
        fs::create_dir_all(folder).unwrap();
        let control = folder.with_extension("control");
        fs::write(&control, "").unwrap();
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/disks/fuse.py");
        let mut command = Command::new("python3");
        command.arg("-B").arg(script).arg(folder).arg(&control);
        let mut server =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("python3 is there");
        let mut line = String::new();
        BufReader::new(server.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "this test needs root and /dev/fuse");
        Self { path: folder.to_path_buf(), control, server }
    }

    /// What fails from here on: the words of `fuse.py`.
    pub fn tell(&self, words: &str) {
        // The server looks at time and length of the file, so it must not see half of it.
        let new = self.control.with_extension("new");
        fs::write(&new, words).unwrap();
        fs::rename(&new, &self.control).unwrap();
    }

    /// What was made, written, synced and renamed since it was told `log`, a line each.
    pub fn log(&self) -> String {
        fs::read_to_string(self.control.with_extension("control.log")).unwrap()
    }

    /// The end of the device: every call fails from here on.
    pub fn unplug(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

impl Drop for Faults {
    fn drop(&mut self) {
        // Nobody shall find the folder of a server that is gone: programs stop at one.
        let _ = Command::new("umount").arg("-l").arg(&self.path).stderr(Stdio::null()).status();
        self.unplug();
    }
}
