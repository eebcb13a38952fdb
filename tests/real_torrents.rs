//! Real metainfo, published freely, against what `transmission-show` 3.00 says about it.

use std::path::PathBuf;
use swarmlet::meta::Metainfo;

const ALICE: &str = "alice_in_wonderland_librivox_archive";
const ARCH: &str = "archlinux-2025.05.01-x86_64.iso";
const DEBIAN: &str = "debian-11.2.0-amd64-DVD-1.iso";

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/torrents").join(name)
}

fn read(name: &str) -> Metainfo {
    let bytes = std::fs::read(path(&format!("{name}.torrent"))).unwrap();
    swarmlet::fuzzing::meta::bencode(&bytes);
    swarmlet::fuzzing::meta::metainfo(&bytes);
    Metainfo::parse(&bytes).unwrap_or_else(|fault| panic!("{name}: {fault}"))
}

/// Decimal units with two digits behind the point below 100 and one above: how `transmission-show` writes sizes.
fn shown(bytes: u64) -> String {
    let bytes = bytes as f64;
    let (value, unit) = match bytes {
        ..1e6 => (bytes / 1e3, "kB"),
        ..1e9 => (bytes / 1e6, "MB"),
        _ => (bytes / 1e9, "GB"),
    };
    if value < 100.0 { format!("{value:.2} {unit}") } else { format!("{value:.1} {unit}") }
}

#[test]
fn one_large_file_without_trackers() {
    let arch = read(ARCH);
    assert_eq!(arch.info_hash.to_string(), "2e34989b1c60df821b2d046c884d8f4d1858b97a");
    assert_eq!((arch.pieces(), arch.piece_bytes, arch.private, arch.hybrid), (2373, 512 << 10, false, false));
    assert_eq!((&arch.name[..], shown(arch.layout.total_bytes()).as_str()), (ARCH.as_bytes(), "1.24 GB"));
    assert_eq!((arch.tiers.len(), arch.web_seeds.len(), arch.creation_date), (0, 0, None));
    assert_eq!(arch.cleaned, Vec::<String>::new());
    assert_eq!((arch.layout.total_bytes(), arch.piece_length(2372)), (1_243_643_904, 32_768));
}

#[test]
fn one_file_near_the_32_bit_border() {
    let debian = read(DEBIAN);
    assert_eq!(debian.info_hash.to_string(), "c9a337562cb0360fd6f5ab40fd2b1b81d5325dbd");
    assert_eq!((debian.pieces(), debian.piece_bytes), (3718, 1 << 20));
    assert_eq!((debian.layout.total_bytes(), shown(3_897_638_912).as_str()), (3_897_638_912, "3.90 GB"));
    assert_eq!(debian.tiers, [["http://bttracker.debian.org:6969/announce"]]);
    assert_eq!(debian.comment, b"\"Debian CD from cdimage.debian.org\"");
    assert_eq!(debian.creation_date, Some(1_639_833_788)); // Sat Dec 18 13:23:08 2021
    let file = debian.layout.file(0).unwrap();
    assert_eq!((file.path(), file.length), (DEBIAN.as_bytes().to_vec(), 3_897_638_912));
    assert_eq!(debian.cleaned, Vec::<String>::new());
}

#[test]
fn many_files_with_tiers_and_web_seeds() {
    let alice = read(ALICE);
    assert_eq!(alice.info_hash.to_string(), "55e5f8c36e7cb3208b164f31d3e0b28b0e687d04");
    assert_eq!((alice.pieces(), alice.piece_bytes), (876, 512 << 10));
    assert_eq!(shown(alice.layout.total_bytes()), "458.8 MB");
    assert_eq!(
        (&alice.name[..], &alice.created_by[..]),
        (&b"alice_in_wonderland_librivox"[..], &b"ia_make_torrent"[..])
    );
    let tiers = [["http://bt1.archive.org:6969/announce"], ["http://bt2.archive.org:6969/announce"]];
    assert_eq!(alice.tiers, tiers);
    let seeds = ["https://archive.org/download/", "http://ia600707.us.archive.org/8/items/"];
    assert_eq!(alice.web_seeds, seeds);
    assert_eq!(alice.cleaned, ["web seed \"/8/items/\" is left out: it is no URL"]);
    assert!(alice.comment.starts_with(b"This content hosted at the Internet Archive"));
    assert_eq!(alice.creation_date, Some(1_646_257_264)); // Wed Mar  2 21:41:04 2022
}

/// `transmission-show -u` of the same file, its lines below FILES: `name/path (size)` in the order of the torrent.
#[test]
fn every_file_has_the_path_and_size_that_transmission_shows() {
    let expected = std::fs::read_to_string(path(&format!("{ALICE}.files"))).unwrap();
    let alice = read(ALICE);
    let files = alice.layout.files().map(|file| {
        let path = String::from_utf8(file.path()).unwrap();
        format!("  {path} ({})", shown(file.length))
    });
    assert_eq!(files.collect::<Vec<_>>(), expected.lines().collect::<Vec<_>>());
}
