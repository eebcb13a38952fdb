//! Replays the seed corpora of all fuzz targets on stable Rust, so that what a fuzzer once found stays found.

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use swarmlet::fuzzing::{command, meta, names, proxy, resume, session, tracker, wire};

/// Takes any bytes, and panics where a promise is broken.
type Body = fn(&[u8]);

/// Every file of `fuzz/fuzz_targets/`, with the body that it calls.
const TARGETS: [(&str, Body); 18] = [
    ("bencode", meta::bencode),
    ("command", command::line),
    ("dns", names::dns),
    ("extended_handshake", wire::extended_handshake),
    ("framer", wire::framer),
    ("handshake", wire::handshake),
    ("http_reply", tracker::http_reply),
    ("message", wire::message_roundtrip),
    ("metainfo", meta::metainfo),
    ("paths", meta::paths),
    ("peer", wire::peer),
    ("proxy", proxy::answers),
    ("session", session::script),
    ("state", resume::state),
    ("tracker_reply", tracker::tracker_reply),
    ("trackers", tracker::trackers),
    ("udp_tracker", tracker::udp_tracker),
    ("url", tracker::url),
];
/// A corpus of fewer files says little.
const FILES_MIN: usize = 5;

#[test]
fn every_file_of_every_corpus_passes_its_target() {
    let mut failed = Vec::new();
    for (target, body) in TARGETS {
        let files = files_of(&fuzz().join("corpus").join(target));
        assert!(files.len() >= FILES_MIN, "fuzz/corpus/{target} has only {} files", files.len());
        for path in files {
            let bytes = fs::read(&path).unwrap();
            if catch_unwind(|| body(&bytes)).is_err() {
                failed.push(format!("{target}: {}", path.display()));
            }
        }
    }
    assert!(failed.is_empty(), "these inputs fail:\n{}", failed.join("\n"));
}

#[test]
fn every_target_is_listed_built_and_has_a_corpus() {
    let listed: BTreeSet<String> = TARGETS.iter().map(|(target, _)| (*target).to_string()).collect();
    assert_eq!(stems(&fuzz().join("fuzz_targets")), listed, "fuzz/fuzz_targets/ and TARGETS differ");
    assert_eq!(stems(&fuzz().join("corpus")), listed, "fuzz/corpus/ and TARGETS differ");
    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    for (target, _) in TARGETS {
        let line = format!("path = \"fuzz_targets/{target}.rs\"");
        assert!(manifest.contains(&line), "fuzz/Cargo.toml does not build {target}");
    }
}

fn fuzz() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz"))
}

/// What lies in a folder, sorted; nothing if there is no such folder.
fn files_of(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths
}

fn stems(folder: &Path) -> BTreeSet<String> {
    files_of(folder).iter().map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect()
}
