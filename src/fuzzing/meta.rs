//! Fuzz bodies: bencode, metainfo and the names of files.

use crate::base::limits::{BENCODE_DEPTH_MAX, EXTENT_BYTES, PATH_COMPONENT_BYTES_MAX};
use crate::meta::{Extents, File, FileKind, Layout, Metainfo};
use crate::wire::bencode::{self, Value};
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::vec::Vec;

/// Any bytes: what is read as bencode is, written again from what the views say, byte by byte what was read.
pub fn bencode(data: &[u8]) {
    match bencode::parse(data) {
        Ok(value) => {
            let mut written = Vec::new();
            write(value, &mut written, 0);
            assert_eq!(written, value.raw());
            assert!(data.starts_with(value.raw()));
            assert!(data[value.raw().len()..].iter().all(u8::is_ascii_whitespace));
        }
        Err(fault) => assert!(fault.offset <= data.len(), "{fault}"),
    }
    match (bencode::parse_dict(data), bencode::parse_dict_prefix(data)) {
        (Ok(dict), Ok((prefix, taken))) => assert!(dict == prefix && taken == dict.raw().len()),
        (Err(_), Ok((dict, taken))) => assert_eq!(dict.raw(), &data[..taken]),
        (Ok(_), Err(fault)) => panic!("the whole is read and its prefix is not: {fault}"),
        (Err(_), Err(_)) => {}
    }
}

/// Writes `value` canonically. Recursive, because the reader has bounded the depth.
fn write(value: Value<'_>, out: &mut Vec<u8>, depth: usize) {
    assert!(depth <= BENCODE_DEPTH_MAX);
    if let Some(text) = value.as_bytes() {
        write_bytes(text, out);
    } else if let Some(number) = value.as_int() {
        out.extend_from_slice(format!("i{number}e").as_bytes());
    } else if let Some(list) = value.as_list() {
        out.push(b'l');
        list.iter().for_each(|item| write(item, out, depth + 1));
        out.push(b'e');
    } else {
        let dict = value.as_dict().expect("ours: a value is one of four");
        out.push(b'd');
        for (key, value) in dict.entries() {
            write_bytes(key, out);
            write(value, out, depth + 1);
        }
        out.push(b'e');
    }
}

fn write_bytes(text: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(format!("{}:", text.len()).as_bytes());
    out.extend_from_slice(text);
}

/// Any bytes: a torrent that is accepted keeps every promise of [`Metainfo`].
pub fn metainfo(data: &[u8]) {
    match Metainfo::parse(data) {
        Ok(metainfo) => check_metainfo(&metainfo),
        Err(fault) => assert!(is_one_line(&format!("{fault}"))),
    }
}

/// The first byte says where a component ends, the second where a file does: the rest are the paths of a torrent.
pub fn paths(data: &[u8]) {
    let [component_end, file_end, rest @ ..] = data else { return };
    let mut torrent = b"d4:infod5:filesl".to_vec();
    let mut files = 0;
    for file in rest.split(|byte| byte == file_end) {
        torrent.extend_from_slice(b"d6:lengthi1e4:pathl");
        file.split(|byte| byte == component_end).for_each(|component| write_bytes(component, &mut torrent));
        torrent.extend_from_slice(b"ee");
        files += 1;
    }
    torrent.extend_from_slice(format!("e4:name1:n12:piece lengthi{files}e6:pieces20:").as_bytes());
    torrent.extend_from_slice(&[7; 20]);
    torrent.extend_from_slice(b"ee");
    if let Ok(metainfo) = Metainfo::parse(&torrent) {
        assert_eq!(metainfo.layout.count(), files);
        check_metainfo(&metainfo);
    }
}

fn check_metainfo(metainfo: &Metainfo) {
    let pieces = metainfo.pieces();
    let lengths: u64 = (0..pieces).map(|piece| u64::from(metainfo.piece_length(piece))).sum();
    assert_eq!(lengths, metainfo.layout.total_bytes());
    assert!(metainfo.piece_length(pieces - 1) > 0 && metainfo.piece_length(pieces) == 0);
    assert!(is_safe(&metainfo.name));
    assert!(metainfo.tiers.iter().all(|tier| !tier.is_empty()));
    let mut urls = metainfo.tiers.iter().flatten().chain(&metainfo.web_seeds);
    assert!(urls.all(|url| is_one_line(url) && url.contains("://")));
    assert!(metainfo.cleaned.iter().all(|line| is_one_line(line)));
    check_paths(&metainfo.layout);
    check_segments(&metainfo.layout, u64::from(metainfo.piece_bytes));
    check_extents(&metainfo.layout);
}

fn is_one_line(text: &str) -> bool {
    !text.is_empty() && !text.chars().any(char::is_control)
}

fn is_safe(component: &[u8]) -> bool {
    !component.is_empty()
        && component.len() <= PATH_COMPONENT_BYTES_MAX
        && !matches!(component, b"." | b"..")
        && !component.iter().any(|byte| matches!(byte, b'/' | 0))
}

/// Every file that is written has a safe path that no other file or directory has.
fn check_paths(layout: &Layout) {
    let paths =
        || layout.files().filter(|file| !file.is_pad()).map(|file| file.components().collect::<Vec<_>>());
    let mut files = BTreeSet::new();
    for path in paths() {
        assert!(!path.is_empty() && path.iter().all(|component| is_safe(component)));
        assert!(files.insert(path), "two files of one path");
    }
    for path in paths() {
        assert!(
            (1..path.len()).all(|depth| !files.contains(&path[..depth])),
            "a file in the way of a directory"
        );
    }
    assert!(layout.files().filter(File::is_pad).all(|file| file.components().next().is_none()));
}

/// Files and segments of steps of `step` bytes tile the torrent.
fn check_segments(layout: &Layout, step: u64) {
    let mut offset = 0;
    for file in layout.files() {
        assert_eq!(file.offset, offset);
        offset += file.length;
    }
    assert_eq!(offset, layout.total_bytes());
    assert_eq!(layout.segments(offset, 1).next(), None);
    // A torrent of few bytes may claim a million pieces; the first ones and the last tell as much.
    let starts = (0..64).map(|n| n * step).take_while(|start| *start < offset);
    for start in starts.chain([offset - offset.min(step)]) {
        let mut expected = start;
        for segment in layout.segments(start, step) {
            let file = layout.file(segment.file).expect("ours: segments name files of the layout");
            assert_eq!((file.offset + segment.file_offset, segment.kind), (expected, file.kind));
            assert!(segment.length > 0 && segment.file_offset + segment.length <= file.length);
            expected += segment.length;
        }
        assert_eq!(expected, offset.min(start + step));
    }
}

/// Extents tile the torrent, are never too long, and begin at multiples of their length in files that are long enough.
pub(crate) fn check_extents(layout: &Layout) {
    let extents = Extents::new(layout);
    let mut offset = 0;
    let few = extents.count().min(2000);
    for extent in 0..few {
        let range = extents.range(extent);
        assert!(range.start == offset && !range.is_empty() && range.end - range.start <= EXTENT_BYTES);
        assert_eq!((extents.at(range.start), extents.at(range.end - 1)), (extent, extent));
        let pieces = extents.pieces(extent, 16384);
        assert_eq!(u64::from(pieces.start), range.start / 16384);
        assert_eq!(u64::from(pieces.end - 1), (range.end - 1) / 16384);
        offset = range.end;
    }
    if few == extents.count() {
        assert_eq!(offset, layout.total_bytes());
    }
    let long = |file: &File<'_>| file.kind == FileKind::Normal && file.length >= EXTENT_BYTES;
    for file in layout.files().filter(long).take(2000) {
        assert_eq!(extents.range(extents.at(file.offset)), file.offset..file.offset + EXTENT_BYTES);
        let last = extents.range(extents.at(file.offset + file.length - 1));
        assert_eq!(((last.start - file.offset) % EXTENT_BYTES, last.end), (0, file.offset + file.length));
    }
}

#[cfg(test)]
mod tests {
    use crate::base::Rng;

    /// Random bytes of the letters that matter, so that they get somewhere.
    fn random(rng: &mut Rng, letters: &[u8]) -> Vec<u8> {
        let length = rng.below(60);
        (0..length).map(|_| letters[rng.below(letters.len() as u32) as usize]).collect()
    }

    #[test]
    fn random_bencode_keeps_the_promises() {
        for seed in 0..50_000 {
            super::bencode(&random(&mut Rng::new(seed), b"0123iiddlleeeeee:-:: \n"));
        }
    }

    #[test]
    fn random_paths_keep_the_promises() {
        for seed in 0..20_000 {
            let letters = random(&mut Rng::new(seed), b"aab..,,,,;;;;;1/\0\xff");
            super::paths(&[b",;", &letters[..]].concat());
        }
    }
}
