//! Names on file systems that do not take every name, or take two for one: FAT, exFAT and NTFS, as Windows has them.

use super::fault::OpenFault;
use super::tree::Tree;
use crate::meta::{File, Layout};
use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};

/// Which names a file system takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Names {
    /// Every name.
    #[default]
    All,
    /// Names in UTF-8 without `"*:<>?\|` and control characters that do not end with a dot or a space; capitals count as
    /// small letters.
    Folded,
}

impl Names {
    /// What a file or directory called `name` in the torrent is called here.
    pub(super) fn fitting(self, name: &[u8]) -> Cow<'_, [u8]> {
        let fits = |name: &[u8]| std::str::from_utf8(name).is_ok_and(|text| text.chars().all(is_taken));
        let is_plain = self == Self::All || fits(name) && !name.ends_with(b".") && !name.ends_with(b" ");
        if is_plain {
            return Cow::Borrowed(name);
        }
        let mut fitting = String::with_capacity(name.len());
        for chunk in name.utf8_chunks() {
            fitting.extend(chunk.valid().chars().map(|char| if is_taken(char) { char } else { '_' }));
            fitting.extend(chunk.invalid().iter().map(|_| '_'));
        }
        if fitting.ends_with(['.', ' ']) {
            fitting.pop();
            fitting.push('_');
        }
        Cow::Owned(fitting.into_bytes())
    }

    /// Finds two files that would be one here.
    pub(super) fn all_differ(self, tree: &Tree, layout: &Layout) -> Result<(), OpenFault> {
        if self == Self::All {
            return Ok(());
        }
        // A number a file: the paths of a million would take more memory than the run.
        let mut seen: Vec<(u64, u32)> = layout
            .files()
            .filter(|file| !file.is_pad())
            .zip(0..)
            .map(|(file, nth)| (folded(&file), nth))
            .collect();
        seen.sort_unstable();
        let Some(twins) = seen.windows(2).find(|pair| pair[0].0 == pair[1].0) else { return Ok(()) };
        let place = |nth: u32| {
            let file = layout.files().filter(|file| !file.is_pad()).nth(nth as usize);
            file.map_or_else(Default::default, |file| tree.place(file.components()))
        };
        Err(OpenFault::Alike { path: place(twins[0].1), other: place(twins[1].1) })
    }
}

/// True for a character that may stand in any name.
fn is_taken(char: char) -> bool {
    !char.is_control() && !matches!(char, '"' | '*' | ':' | '<' | '>' | '?' | '\\' | '|')
}

/// A number that two files have whose paths are alike but for capitals, and hardly any others.
fn folded(file: &File<'_>) -> u64 {
    let mut hasher = DefaultHasher::new();
    for name in file.components() {
        let name = Names::Folded.fitting(name);
        String::from_utf8_lossy(&name).to_lowercase().hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_not_taken_become_such_that_are() {
        let cases: [(&[u8], &str); 8] = [
            (b"plain name.txt", "plain name.txt"),
            ("Ünï ✓".as_bytes(), "Ünï ✓"),
            (b"Who? \"Me\": a<b>c|d*e\\f", "Who_ _Me__ a_b_c_d_e_f"),
            (b"the end.", "the end_"),
            (b"the end ", "the end_"),
            (b"tab\tbell\x07", "tab_bell_"),
            (b"latin \xe9t\xe9", "latin _t_"),
            (b".hidden", ".hidden"),
        ];
        for (name, fitting) in cases {
            assert_eq!(Names::Folded.fitting(name), fitting.as_bytes());
            assert_eq!(Names::All.fitting(name), name);
        }
    }
}
