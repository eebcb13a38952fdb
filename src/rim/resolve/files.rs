//! The files that say how names are found, and whether they have changed.

use crate::base::Instant;
use crate::base::limits::{NAME_FILE_BYTES_MAX, NAME_FILES_INTERVAL};
use crate::resolver::{Hosts, Setup};
use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

/// Where the system has the number of each network interface.
const INTERFACES: &str = "/sys/class/net";
/// Network interfaces that are looked at: servers on a link are rare, and so are machines with more.
const INTERFACES_MAX: usize = 256;

/// Where the system says how names are found.
#[derive(Clone, Debug)]
pub struct NameFiles {
    /// Names and their addresses, hosts(5).
    pub hosts: PathBuf,
    /// The name servers, resolv.conf(5).
    pub servers: PathBuf,
}

impl Default for NameFiles {
    fn default() -> Self {
        Self { hosts: "/etc/hosts".into(), servers: "/etc/resolv.conf".into() }
    }
}

/// What tells a changed file from an unchanged one: device, inode, size, and time of change in seconds and nanoseconds.
type Stamp = (u64, u64, u64, i64, i64);

/// Looks at the files now and then.
#[derive(Debug)]
pub(super) struct Watch {
    files: NameFiles,
    looked: Option<Instant>,
    /// Both files as they were read; `None` is a file that is not there.
    stamps: Option<[Option<Stamp>; 2]>,
}

impl Watch {
    pub fn new(files: NameFiles) -> Self {
        Self { files, looked: None, stamps: None }
    }

    /// What the files say, if that may be news: two calls of the system, at most once in [`NAME_FILES_INTERVAL`].
    pub fn news(&mut self, now: Instant) -> Option<(Setup, Hosts)> {
        if self.looked.is_some_and(|looked| looked.until(now) < NAME_FILES_INTERVAL) {
            return None;
        }
        self.looked = Some(now);
        let stamps = Some([stamp(&self.files.hosts), stamp(&self.files.servers)]);
        if self.stamps == stamps {
            return None;
        }
        self.stamps = stamps;
        let servers = head_of(&self.files.servers);
        let interfaces = if servers.contains(&b'%') { interfaces() } else { Vec::new() };
        Some((Setup::parse(&servers, &interfaces), Hosts::parse(&head_of(&self.files.hosts))))
    }
}

fn stamp(path: &Path) -> Option<Stamp> {
    let data = fs::metadata(path).ok()?;
    Some((data.dev(), data.ino(), data.size(), data.mtime(), data.mtime_nsec()))
}

/// The first [`NAME_FILE_BYTES_MAX`] bytes of a file; nothing if it cannot be read.
fn head_of(path: &Path) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = File::open(path).and_then(|file| file.take(NAME_FILE_BYTES_MAX).read_to_end(&mut bytes));
    bytes
}

/// The names and numbers of the network interfaces.
fn interfaces() -> Vec<(String, u32)> {
    let entries = fs::read_dir(INTERFACES).into_iter().flatten().flatten().take(INTERFACES_MAX);
    let number =
        |entry: &fs::DirEntry| fs::read_to_string(entry.path().join("ifindex")).ok()?.trim().parse().ok();
    entries.filter_map(|entry| Some((entry.file_name().into_string().ok()?, number(&entry)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::time::Duration;

    #[test]
    fn files_are_read_again_when_they_have_changed() {
        let folder = std::env::temp_dir().join(format!("swarmlet-names-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let files = NameFiles { hosts: folder.join("hosts"), servers: folder.join("resolv.conf") };
        let mut watch = Watch::new(files.clone());
        let mut now = Instant::ZERO;
        let mut news = |watch: &mut Watch, wait| {
            now = now + wait;
            watch
                .news(now)
                .map(|(setup, _)| setup.servers.iter().map(ToString::to_string).collect::<Vec<_>>())
        };
        let machine = ["127.0.0.53:53", "127.0.0.1:53"].map(String::from);
        assert_eq!(news(&mut watch, Duration::ZERO).unwrap(), machine, "no file");
        assert_eq!(news(&mut watch, NAME_FILES_INTERVAL), None);
        fs::write(&files.servers, "nameserver 9.9.9.1\nnameserver fe80::1%lo\n").unwrap();
        assert_eq!(news(&mut watch, NAME_FILES_INTERVAL / 2), None, "not looked at so soon");
        assert_eq!(news(&mut watch, NAME_FILES_INTERVAL).unwrap(), ["9.9.9.1:53", "[fe80::1%1]:53"]);
        assert_eq!(news(&mut watch, NAME_FILES_INTERVAL), None);
        fs::write(&files.hosts, "10.0.0.1 box\n").unwrap();
        assert!(news(&mut watch, NAME_FILES_INTERVAL).is_some());
        // As programs do that write a new file and move it to its place.
        fs::write(folder.join("new"), "nameserver 9.9.9.2\nnameserver fe80::1%lo\n").unwrap();
        fs::rename(folder.join("new"), &files.servers).unwrap();
        assert_eq!(news(&mut watch, NAME_FILES_INTERVAL).unwrap()[0], "9.9.9.2:53");
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(news(&mut watch, NAME_FILES_INTERVAL).unwrap(), machine);
    }
}
