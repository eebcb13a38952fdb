//! Two files of one name, and a file that is called like a directory: the first would overwrite the second, or could not
//! be created. The later file, or the one in the way of a directory, gets a number behind its name.
//!
//! Numbers count up over the whole torrent, so no two renamed files are alike and each taken name is stepped over once:
//! a million files of one name cost a sort, not a million searches each.

use super::cleaned::Cleaned;
use super::layout::{Builder, SEPARATOR};
use super::paths::shorten;
use crate::base::Printable;
use crate::base::limits::PATH_COMPONENT_BYTES_MAX;
use alloc::format;
use alloc::vec::Vec;

/// Makes all paths differ, and none the beginning of another.
pub(super) fn resolve(builder: &mut Builder, cleaned: &mut Cleaned) {
    if is_ascending(builder) {
        return;
    }
    let order = sorted(builder);
    let clashing = find(builder, &order);
    if !clashing.is_empty() {
        rename(builder, &order, &clashing, cleaned);
    }
}

/// True if the files stand in the order of their paths and nothing clashes: what most programs write.
fn is_ascending(builder: &Builder) -> bool {
    let mut paths = (0..builder.count()).map(|file| builder.path(file)).filter(|path| !path.is_empty());
    let Some(mut before) = paths.next() else { return true };
    paths.all(|path| {
        let fine = before < path && !is_inside(path, before);
        before = path;
        fine
    })
}

/// The files that have a path, by path and then by their order in the torrent.
fn sorted(builder: &Builder) -> Vec<u32> {
    let mut order: Vec<u32> = (0..builder.count()).filter(|file| !builder.path(*file).is_empty()).collect();
    order.sort_unstable_by(|a, b| builder.path(*a).cmp(builder.path(*b)).then(a.cmp(b)));
    order
}

/// The files that must be renamed, in the order of the torrent.
fn find(builder: &Builder, order: &[u32]) -> Vec<u32> {
    let mut clashing = Vec::new();
    let mut rest = order;
    while let Some(first) = rest.first() {
        let path = builder.path(*first);
        let alike = rest.iter().take_while(|file| builder.path(**file) == path).count();
        let (run, behind) = rest.split_at(alike);
        // What is in a directory sorts directly behind it.
        let is_directory = behind.first().is_some_and(|next| is_inside(builder.path(*next), path));
        clashing.extend_from_slice(if is_directory { run } else { &run[1..] });
        rest = behind;
    }
    clashing.sort_unstable();
    clashing
}

/// Gives each of `clashing` a path that nobody has.
fn rename(builder: &mut Builder, order: &[u32], clashing: &[u32], cleaned: &mut Cleaned) {
    let mut paths = Vec::with_capacity(builder.paths.len() + clashing.len() * 4);
    let mut ends = Vec::with_capacity(builder.count() as usize);
    let mut clashing = clashing.iter().copied().peekable();
    let mut number = 0u32;
    for file in 0..builder.count() {
        let path = builder.path(file);
        if clashing.next_if_eq(&file).is_some() {
            let start = paths.len();
            loop {
                paths.truncate(start);
                number += 1;
                push_numbered(path, number, &mut paths);
                if !is_taken(builder, order, &paths[start..]) {
                    break;
                }
            }
            let (old, new) = (last_component(path), last_component(&paths[start..]));
            cleaned.note(format_args!(
                "file {file} \"{}\" is written as \"{}\": its name is that of another file or a directory",
                Printable(old).within(60),
                Printable(new).within(60)
            ));
        } else {
            paths.extend_from_slice(path);
        }
        ends.push(paths.len() as u32);
    }
    builder.replace_paths(paths, &ends);
}

/// Appends `path` with `.number` behind its last component, which is cut where it would become too long.
fn push_numbered(path: &[u8], number: u32, out: &mut Vec<u8>) {
    let last = last_component(path);
    let suffix = format!(".{number}");
    out.extend_from_slice(&path[..path.len() - last.len()]);
    if last.len() + suffix.len() > PATH_COMPONENT_BYTES_MAX {
        let (stem, extension) = shorten(last, PATH_COMPONENT_BYTES_MAX - suffix.len());
        out.extend_from_slice(stem);
        out.extend_from_slice(extension);
    } else {
        out.extend_from_slice(last);
    }
    out.extend_from_slice(suffix.as_bytes());
}

/// True if a file or directory of the torrent has this path from the start.
fn is_taken(builder: &Builder, order: &[u32], path: &[u8]) -> bool {
    let at = order.partition_point(|file| builder.path(*file) < path);
    order.get(at).is_some_and(|file| {
        let found = builder.path(*file);
        found == path || is_inside(found, path)
    })
}

/// True if `path` is in the directory `directory`, at any depth.
fn is_inside(path: &[u8], directory: &[u8]) -> bool {
    path.strip_prefix(directory).is_some_and(|rest| rest.first() == Some(&SEPARATOR))
}

fn last_component(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == SEPARATOR).next().unwrap_or(path)
}

#[cfg(test)]
mod tests {
    use super::super::layout::{FileKind, Layout};
    use super::*;

    fn resolved(paths: &[&str]) -> (Vec<String>, Vec<String>) {
        let mut builder = Layout::builder(None);
        for path in paths {
            builder.paths.extend(path.bytes().map(|byte| if byte == b'/' { SEPARATOR } else { byte }));
            let kind = if path.is_empty() { FileKind::Pad } else { FileKind::Normal };
            assert!(builder.push(1, kind, false));
        }
        let mut cleaned = Cleaned::default();
        resolve(&mut builder, &mut cleaned);
        let layout = builder.finish();
        (layout.files().map(|file| String::from_utf8(file.path()).unwrap()).collect(), cleaned.into_lines())
    }

    #[test]
    fn clashing_files_get_numbers_and_everybody_else_keeps_the_name() {
        let cases: [(&[&str], &[&str]); 9] = [
            (&["a", "b", "c/d"], &["a", "b", "c/d"]),
            (&["b", "a"], &["b", "a"]),
            (&["a", "a", "a"], &["a", "a.1", "a.2"]),
            (&["a", "a.1", "a", "a.2"], &["a", "a.1", "a.3", "a.2"]),
            (&["d", "d/x"], &["d.1", "d/x"]),
            (&["d/x/y", "d/x", "d", "d"], &["d/x/y", "d/x.1", "d.2", "d.3"]),
            (&["d", "d.1/x", "d/x"], &["d.2", "d.1/x", "d/x"]),
            (&["z/b", "z/a", "z/b"], &["z/b", "z/a", "z/b.1"]),
            (&["a", "", "a", ""], &["a", "", "a.1", ""]),
        ];
        for (paths, expected) in cases {
            let (got, lines) = resolved(paths);
            assert_eq!(got, expected);
            let renamed = paths.iter().zip(expected).filter(|(a, b)| a != b).count();
            assert_eq!(lines.len(), renamed, "{lines:?}");
        }
    }

    #[test]
    fn a_name_of_full_length_is_cut_to_make_room() {
        let long = "x".repeat(251) + ".mp3";
        let (got, _) = resolved(&[&long, &long]);
        assert_eq!(got[1], "x".repeat(249) + ".mp3.1");
    }

    #[test]
    fn many_files_of_one_name_cost_no_search_each() {
        let start = std::time::Instant::now();
        let taken: Vec<String> = (1..50_000).map(|n| format!("same.{n}")).collect();
        let mut paths = vec!["same"; 50_000];
        paths.extend(taken.iter().map(String::as_str));
        let (got, lines) = resolved(&paths);
        assert_eq!((got[49_999].as_str(), lines.len()), ("same.99998", 21));
        assert!(start.elapsed().as_secs() < 30);
    }
}
