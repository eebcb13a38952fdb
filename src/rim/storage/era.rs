//! Which era it is: nothing that the kernel was given is lost before the machine starts anew or the disk is mounted anew.

use crate::resume::Era;
use std::os::fd::{AsFd, AsRawFd};

/// `STATX_MNT_ID_UNIQUE` of Linux 6.8: a number that no other mounting ever has.
const UNIQUE_MOUNT: u32 = 0x4000;
/// `stx_mnt_id` of `struct statx`, in units of eight bytes.
const MOUNT_AT: usize = 0x90 / 8;

/// The era of what is on the file system of `directory`; what the kernel does not tell is unknown.
pub(super) fn current(directory: &impl AsFd) -> Era {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok();
    let boot = boot.and_then(|text| digits(&text)).unwrap_or_default();
    // Before Linux 6.8 nobody knows.
    let mount = unique_mount(directory).unwrap_or(0);
    let mut era = Era::default();
    era.0[..16].copy_from_slice(&boot);
    era.0[16..].copy_from_slice(&mount.to_be_bytes());
    era
}

/// The 32 hexadecimal digits of a text, which may have others between them.
fn digits(text: &str) -> Option<[u8; 16]> {
    let digits: String = text.chars().filter(char::is_ascii_hexdigit).collect();
    u128::from_str_radix(&digits, 16).ok().filter(|_| digits.len() == 32).map(u128::to_be_bytes)
}

fn unique_mount(directory: &impl AsFd) -> Option<u64> {
    let mut answer = [0_u64; 32];
    // SAFETY: the path is empty and ends with a zero; the kernel writes one `struct statx` of 256 bytes through the
    // pointer, which is exclusive for the call and aligned for it.
    let failed = unsafe {
        let (fd, path) = (directory.as_fd().as_raw_fd(), c"".as_ptr());
        libc::syscall(libc::SYS_statx, fd, path, libc::AT_EMPTY_PATH, UNIQUE_MOUNT, answer.as_mut_ptr())
    };
    let [a, b, c, d, ..] = answer[0].to_ne_bytes();
    let told = failed == 0 && u32::from_ne_bytes([a, b, c, d]) & UNIQUE_MOUNT != 0;
    // An emulator that passes the kernel's answer on may leave out what it does not know: no mounting has the number 0.
    Some(answer[MOUNT_AT]).filter(|mount| told && *mount != 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn two_file_systems_have_two_eras_and_one_has_one() {
        let era = |path| current(&File::open(path).expect("a directory"));
        assert_eq!(era("/"), era("/"));
        assert!(!era("/").is_same(&era("/proc")) && era("/").is_same_boot(&era("/proc")));
    }

    #[test]
    fn the_digits_of_a_boot_id_are_read() {
        let id = digits("f47ac10b-58cc-4372-a567-0e02b2c3d479\n").expect("32 digits");
        assert_eq!((id[0], id[15]), (0xf4, 0x79));
        assert_eq!((digits(""), digits("f47a")), (None, None));
    }
}
