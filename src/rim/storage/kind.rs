//! What has to be known of a file system before it is used, because finding out by trying costs dearly.

use super::fault::OpenFault;
use super::names::Names;
use super::sys;
use super::tree::Tree;
use crate::meta::Layout;

/// FAT (`MSDOS_SUPER_MAGIC` of linux/magic.h).
const FAT: u32 = 0x4d44;
/// exFAT and ntfs3, which share FAT's manners.
const LIKE_FAT: [u32; 2] = [0x2011_bab0, 0x7366_746e];
/// HFS and HFS+, which have no holes either.
const WITHOUT_HOLES: [u32; 2] = [0x4244, 0x482b];
/// Longest file of FAT, in bytes.
const FAT_FILE_BYTES_MAX: u64 = u32::MAX as u64;

/// The kind of a file system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind {
    /// There are no holes: all of a file up to where something is written is filled with zeros first, by the same call.
    pub fills_holes: bool,
    /// The longest file, in bytes.
    pub file_bytes_max: u64,
    /// The names that it takes.
    pub names: Names,
}

impl Kind {
    /// One that needs no care.
    pub const PLAIN: Self = Self { fills_holes: false, file_bytes_max: u64::MAX, names: Names::All };

    /// That of the output directory, or of the nearest directory above it that exists.
    pub(super) fn of(tree: &Tree) -> Self {
        tree.nearest().and_then(|directory| sys::magic(&directory)).map_or(Self::PLAIN, Self::of_magic)
    }

    fn of_magic(magic: u32) -> Self {
        let is_like_fat = magic == FAT || LIKE_FAT.contains(&magic);
        Self {
            fills_holes: is_like_fat || WITHOUT_HOLES.contains(&magic),
            file_bytes_max: if magic == FAT { FAT_FILE_BYTES_MAX } else { u64::MAX },
            names: if is_like_fat { Names::Folded } else { Names::All },
        }
    }

    /// Finds a file that cannot be as long as it has to be, and files that would be one.
    pub(super) fn fits(self, tree: &Tree, layout: &Layout) -> Result<(), OpenFault> {
        let too_long = layout.files().find(|file| !file.is_pad() && file.length > self.file_bytes_max);
        too_long.map_or_else(
            || self.names.all_differ(tree, layout),
            |file| {
                let path = tree.place(file.components());
                Err(OpenFault::TooLong { path, length: file.length, most: self.file_bytes_max })
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fat_has_no_holes_and_no_files_of_4_gib() {
        let cases = [
            (0x4d44, true, u64::from(u32::MAX), Names::Folded), // vfat
            (0x2011_bab0, true, u64::MAX, Names::Folded),       // exFAT
            (0x482b, true, u64::MAX, Names::All),               // HFS+
            (0xef53, false, u64::MAX, Names::All),              // ext4
            (0x0102_1994, false, u64::MAX, Names::All),         // tmpfs
        ];
        for (magic, fills_holes, file_bytes_max, names) in cases {
            assert_eq!(Kind::of_magic(magic), Kind { fills_holes, file_bytes_max, names }, "{magic:x}");
        }
    }
}
