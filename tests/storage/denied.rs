//! Disks and files that can be read and not written to.

use super::*;

#[test]
fn a_read_only_disk_can_be_read_and_says_no_to_writing() {
    let place = Place::mounted("read-only", "tmpfs", "size=16m", "none");
    let metainfo = torrent("t", &[("x", E, ""), ("y", 5, "")]);
    let (mut storage, _) = open(&place.path, &metainfo, &FULL);
    assert_eq!(store(&mut storage, 0, E), Ok(()));
    assert_eq!(store(&mut storage, E, 5), Ok(()));
    drop(storage);
    place.mount(&["-o", "remount,ro", "none"]);
    let (mut storage, existing) = open(&place.path, &metainfo, &FULL);
    assert_eq!(existing, Existing::Something);
    assert!(load(&mut storage, 0, E + 5) == content(0, E + 5));
    complete(&mut storage).expect("there is nothing to change");
    assert_eq!(store(&mut storage, 0, E), Err(StorageFaultKind::Denied));
}

#[test]
fn what_may_not_be_written_to_is_known_at_the_start_and_refused_where_something_is_missing() {
    let place = Place::mounted("may-not", "tmpfs", "size=16m", "none");
    let whole = torrent("t", &[("d/x", E, "x"), ("y", 5, "")]);
    assert_eq!(store(&mut open(&place.path, &whole, &FULL).0, 0, E + 5), Ok(()));
    assert_eq!(open(&place.path, &whole, &FULL).0.read_only().expect("all is there"), None);
    fs::set_permissions(place.path.join("t/d/x"), PermissionsExt::from_mode(0o444)).expect("ours");
    place.mount(&["-o", "remount,ro", "none"]);
    let (mut storage, _) = open(&place.path, &whole, &FULL);
    let (files, os_error) = storage.read_only().expect("all is there").expect("nothing may be written");
    assert_eq!((files.iter().collect::<Vec<_>>(), os_error), (vec![0, 1], libc::EROFS));
    complete(&mut storage).expect("a mode that cannot be changed makes nothing wrong");
    let short = torrent("t", &[("d/x", E, ""), ("y", 6, "")]);
    let missing = torrent("t", &[("d/x", E, ""), ("e/z", 6, "")]);
    for (metainfo, name) in [(short, "t/y"), (missing, "t/e/z")] {
        match open(&place.path, &metainfo, &SPARSE).0.read_only() {
            Err(OpenFault::Denied { path, error }) => {
                assert_eq!((path, error.raw_os_error()), (place.path.join(name), Some(libc::EROFS)));
            }
            other => panic!("{other:?}"),
        }
    }
    // What is to be made is nobody's, as far as can be told.
    let elsewhere = torrent("u", &[("x", 5, "")]);
    assert!(open(Path::new("/tmp/swarmlet-not-there/at-all"), &elsewhere, &SPARSE).0.read_only().is_ok());
}

#[test]
fn a_place_where_nothing_can_be_made_is_refused_at_the_start() {
    let place = Place::mounted("nothing-made", "tmpfs", "size=16m", "none");
    let (there, missing) = (torrent("t", &[("x", E, ""), ("y", E, "")]), torrent("u", &[("x", 5, "")]));
    assert_eq!(store(&mut open(&place.path, &there, &FULL).0, 0, E), Ok(()));
    place.mount(&["-o", "remount,ro", "none"]);
    for root in [place.path.clone(), place.path.join("not/there")] {
        match open(&root, &missing, &FULL).0.take() {
            Err(OpenFault::System { path, error }) => {
                assert_eq!((path, error.kind()), (root, std::io::ErrorKind::ReadOnlyFilesystem));
            }
            other => panic!("{other:?}"),
        }
    }
    // What is there may be complete, or lie in a folder that can be written to.
    assert!(open(&place.path, &there, &FULL).0.take().is_ok_and(|state| state.is_empty()));
}
