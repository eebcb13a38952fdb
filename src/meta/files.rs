//! The files that the `info` dictionary tells of: `length` for one, `files` for many.

use super::clashes;
use super::cleaned::Cleaned;
use super::fault::{Expected, MetainfoFault};
use super::layout::{Builder, FileKind, Layout, SEPARATOR};
use super::paths::clean_component;
use crate::base::Printable;
use crate::base::limits::{FILES_MAX, PATH_DEPTH_MAX};
use crate::wire::bencode::{Dict, List, Value};
use alloc::vec::Vec;

/// What a file may be beside its bytes (BEP 47): letters of `attr`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Attributes {
    pad: bool,
    symlink: bool,
    executable: bool,
}

impl Attributes {
    /// Reads the letters; unknown ones say nothing.
    pub(super) fn of(attr: Option<Value<'_>>) -> Self {
        let letters = attr.and_then(Value::as_bytes).unwrap_or_default();
        let has = |letter| letters.contains(&letter);
        Self { pad: has(b'p'), symlink: has(b'l'), executable: has(b'x') }
    }
}

/// The layout of a torrent of one file, which is called `name`.
pub(super) fn single(name: &[u8], length: i64, attributes: Attributes) -> Result<Layout, MetainfoFault> {
    let length = u64::try_from(length).map_err(|_| MetainfoFault::Length { file: 0, length })?;
    let mut builder = Layout::builder(None);
    builder.paths.extend_from_slice(name);
    if !builder.push(length, FileKind::Normal, attributes.executable) {
        return Err(MetainfoFault::TotalTooLarge(0));
    }
    Ok(builder.finish())
}

/// The layout of a torrent of `files` in the directory `name`.
pub(super) fn many(name: &[u8], files: List<'_>, cleaned: &mut Cleaned) -> Result<Layout, MetainfoFault> {
    let mut builder = Layout::builder(Some(name));
    for (index, file) in files.iter().enumerate() {
        if index == FILES_MAX {
            return Err(MetainfoFault::TooManyFiles);
        }
        let expected = MetainfoFault::File { file: index, field: "entry", expected: Expected::Dictionary };
        let file = Entry::read(index, file.as_dict().ok_or(expected)?)?;
        file.add(&mut builder, cleaned)?;
    }
    if builder.count() == 0 {
        return Err(MetainfoFault::NoFiles);
    }
    clashes::resolve(&mut builder, cleaned);
    Ok(builder.finish())
}

/// One dictionary of `files`.
struct Entry<'a> {
    index: usize,
    length: u64,
    path: List<'a>,
    attributes: Attributes,
}

impl<'a> Entry<'a> {
    fn read(index: usize, dict: Dict<'a>) -> Result<Self, MetainfoFault> {
        dict.check_keys().map_err(|fault| MetainfoFault::keys("a file of files", fault))?;
        let (mut length, mut path, mut path_utf8, mut attr) = (None, None, None, None);
        for (key, value) in dict.entries() {
            match key {
                b"length" => length = Some(value),
                b"path" => path = value.as_list(),
                b"path.utf-8" => path_utf8 = value.as_list().filter(|list| is_utf8(*list)),
                b"attr" => attr = Some(value),
                _ => {}
            }
        }
        let attributes = Attributes::of(attr);
        let fault = |field, expected| MetainfoFault::File { file: index, field, expected };
        let length = match length.map(Value::as_int) {
            Some(Some(length)) => length,
            // BEP 47: what a symlink points at has no bytes in the torrent.
            None if attributes.symlink => 0,
            _ => return Err(fault("length", Expected::Integer)),
        };
        let length = u64::try_from(length).map_err(|_| MetainfoFault::Length { file: index, length })?;
        let path = path_utf8.or(path);
        let path = match path {
            Some(path) => path,
            None if attributes.pad => List::EMPTY,
            None => return Err(fault("path", Expected::List)),
        };
        Ok(Self { index, length, path, attributes })
    }

    /// Adds the file to the layout. A pad has no path there, for it is never written; a symlink is none either, for it
    /// could lead out of the output directory, unless bytes of the torrent belong to it: these become an ordinary file.
    fn add(&self, builder: &mut Builder, cleaned: &mut Cleaned) -> Result<(), MetainfoFault> {
        let start = builder.paths.len();
        let mut kind = FileKind::Pad;
        if self.attributes.symlink || !self.attributes.pad {
            kind = FileKind::Normal;
            self.add_path(builder, cleaned)?;
        }
        if self.attributes.symlink {
            self.note_symlink(&builder.paths[start..], cleaned);
            if self.length == 0 {
                kind = FileKind::Pad;
                builder.paths.truncate(start);
            }
        }
        let fits = builder.push(self.length, kind, self.attributes.executable && kind == FileKind::Normal);
        if fits { Ok(()) } else { Err(MetainfoFault::TotalTooLarge(self.index)) }
    }

    fn add_path(&self, builder: &mut Builder, cleaned: &mut Cleaned) -> Result<(), MetainfoFault> {
        let file = self.index;
        let start = builder.paths.len();
        let mut changed = false;
        let mut depth = 0;
        for component in self.path {
            let not_bytes = MetainfoFault::File { file, field: "path", expected: Expected::Bytes };
            let component = component.as_bytes().ok_or(not_bytes)?;
            if depth == PATH_DEPTH_MAX {
                return Err(MetainfoFault::DeepPath(file));
            }
            if depth > 0 {
                builder.paths.push(SEPARATOR);
            }
            changed |= clean_component(component, &mut builder.paths);
            depth += 1;
        }
        if depth == 0 {
            return Err(MetainfoFault::EmptyPath(file));
        }
        if changed {
            let path = slashed(&builder.paths[start..]);
            cleaned.note(format_args!(
                "file {file} is written as \"{}\": its path was not safe",
                Printable(&path).within(100)
            ));
        }
        Ok(())
    }

    fn note_symlink(&self, path: &[u8], cleaned: &mut Cleaned) {
        let what = if self.length == 0 { "left out" } else { "written as an ordinary file" };
        let path = slashed(path);
        cleaned.note(format_args!(
            "file {} \"{}\" is a symlink: {what}",
            self.index,
            Printable(&path).within(100)
        ));
    }
}

/// A stored path for the eye.
fn slashed(path: &[u8]) -> Vec<u8> {
    path.iter().map(|byte| if *byte == SEPARATOR { b'/' } else { *byte }).collect()
}

/// True for components that the key `path.utf-8` promises; without them `path` is believed.
fn is_utf8(path: List<'_>) -> bool {
    let mut components = path.iter().peekable();
    components.peek().is_some()
        && components.all(|part| part.as_bytes().is_some_and(|text| core::str::from_utf8(text).is_ok()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::bencode::parse;

    fn read(files: &str) -> Result<(Layout, Vec<String>), MetainfoFault> {
        let mut cleaned = Cleaned::default();
        let files = parse(files.as_bytes()).unwrap().as_list().unwrap();
        many(b"top", files, &mut cleaned).map(|layout| (layout, cleaned.into_lines()))
    }

    #[test]
    fn every_attribute_of_a_file_is_read() {
        let (layout, lines) = read(
            "ld4:attr1:x6:lengthi3e4:pathl3:bin3:runeed4:attr1:p6:lengthi5e4:pathl4:.pad1:5eed4:attr1:p6:lengthi1eed6:lengthi0e4:pathl5:emptyeee",
        )
        .unwrap();
        let files: Vec<_> =
            layout.files().map(|file| (file.path(), file.length, file.is_pad(), file.executable)).collect();
        let expected = [
            (b"top/bin/run".to_vec(), 3, false, true),
            (vec![], 5, true, false),
            (vec![], 1, true, false),
            (b"top/empty".to_vec(), 0, false, false),
        ];
        assert_eq!(files, expected);
        assert!(lines.is_empty());
    }

    #[test]
    fn a_symlink_is_never_made() {
        let (layout, lines) = read(
            "ld4:attr1:l4:pathl1:ae12:symlink pathl2:..3:etceed4:attr1:l6:lengthi7e4:pathl1:beed6:lengthi1e4:pathl1:ceee",
        )
        .unwrap();
        let files: Vec<_> = layout.files().map(|file| (file.path(), file.length, file.is_pad())).collect();
        let expected = [(vec![], 0, true), (b"top/b".to_vec(), 7, false), (b"top/c".to_vec(), 1, false)];
        assert_eq!(files, expected);
        let expected =
            ["file 0 \"a\" is a symlink: left out", "file 1 \"b\" is a symlink: written as an ordinary file"];
        assert_eq!(lines, expected);
    }

    #[test]
    fn utf_8_paths_are_preferred_where_they_are_utf_8() {
        let path = |keys: &str| read(&format!("ld6:lengthi1e{keys}ee")).unwrap().0.file(0).unwrap().path();
        assert_eq!(path("4:pathl1:ae10:path.utf-8l2:äe"), "top/ä".as_bytes());
        assert_eq!(path("4:pathl1:ae10:path.utf-8le"), b"top/a");
        assert_eq!(path("4:pathl1:ae10:path.utf-8li1ee"), b"top/a");
        assert_eq!(path("10:path.utf-8l2:äe"), "top/ä".as_bytes());
    }

    #[test]
    fn faults_name_the_file_and_the_field() {
        let deep = format!("ld6:lengthi1e4:pathl{}eee", "1:a".repeat(PATH_DEPTH_MAX + 1));
        let cases = [
            ("li1ee", "entry of file 0 is not a dictionary"),
            ("ld4:pathl1:aeee", "length of file 0 is not an integer"),
            ("ld6:length1:a4:pathl1:aeee", "length of file 0 is not an integer"),
            ("ld4:attr1:l6:length1:a4:pathl1:aeee", "length of file 0 is not an integer"),
            ("ld6:lengthi1eee", "path of file 0 is not a list"),
            ("ld6:lengthi1e4:path1:aee", "path of file 0 is not a list"),
            ("ld6:lengthi1e4:pathli1eeee", "path of file 0 is not a string"),
            ("ld6:lengthi1e4:pathleee", "path of file 0 is empty"),
            ("ld6:lengthi-9e4:pathl1:aeee", "length of file 0 is -9, must not be negative"),
            ("ld6:lengthi1e6:lengthi2e4:pathl1:aeee", "a file of files has the key \"length\" twice"),
            (deep.as_str(), "path of file 0 is more than 100 directories deep"),
        ];
        for (files, expected) in cases {
            assert_eq!(read(files).unwrap_err().to_string(), expected, "{files}");
        }
        let huge = "d6:lengthi9223372036854775807e4:pathl1:aee".repeat(3);
        assert_eq!(read(&format!("l{huge}e")).unwrap_err(), MetainfoFault::TotalTooLarge(2));
    }

    #[test]
    fn unsafe_paths_are_cleaned_with_a_line() {
        let (layout, lines) =
            read("ld6:lengthi1e4:pathl2:..2:..11:/etc/passwdeed6:lengthi1e4:pathl3:a\0b0:eee").unwrap();
        let paths: Vec<_> = layout.files().map(|file| file.path()).collect();
        assert_eq!(paths, [&b"top/__/__/_etc_passwd"[..], b"top/a_b/_"]);
        assert_eq!(lines[0], "file 0 is written as \"__/__/_etc_passwd\": its path was not safe");
        assert_eq!(lines.len(), 2);
    }
}
