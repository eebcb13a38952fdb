//! News as one line each. Lines name the torrent only where there are several.

use crate::app::text::{clause, clean, count};
use crate::app::torrents::Torrents;
use crate::base::TorrentId;
use crate::base::units::{Bytes, Span};
use crate::session::{Note, StorageFault, StorageFaultKind};
use std::fmt::Write;

/// The torrent that a piece of news is about.
pub fn torrent_of(note: &Note) -> TorrentId {
    match note {
        Note::Checked { torrent, .. }
        | Note::Complete { torrent, .. }
        | Note::GivenEnough { torrent, .. }
        | Note::PeerConnected { torrent, .. }
        | Note::PeerGone { torrent, .. }
        | Note::PeerBanned { torrent, .. }
        | Note::PieceFailed { torrent, .. }
        | Note::PieceStored { torrent, .. }
        | Note::TrackerAnswered { torrent, .. }
        | Note::TrackerFailed { torrent, .. }
        | Note::TrackerSkipped { torrent, .. }
        | Note::TrackerWarning { torrent, .. }
        | Note::Resumed { torrent, .. }
        | Note::StateNotSaved { torrent, .. }
        | Note::StorageFault { torrent, .. }
        | Note::StorageRecovered { torrent } => *torrent,
    }
}

/// The line.
pub fn line(note: &Note, torrents: &Torrents) -> String {
    let text = words(note, torrents);
    if torrents.len() > 1 { format!("{}: {text}", torrents.name(torrent_of(note))) } else { text }
}

fn words(note: &Note, torrents: &Torrents) -> String {
    match note {
        Note::Checked { good, pieces, unreadable, .. } => {
            let rest =
                if *unreadable == 0 { String::new() } else { format!(", {unreadable} cannot be read") };
            format!("checked: {good} of {} are good{rest}", count(u64::from(*pieces), "piece", "pieces"))
        }
        Note::Complete { downloaded_bytes, took, stays, .. } => {
            let came = match downloaded_bytes {
                0 => "it was all there".to_string(),
                bytes => format!("{} received in {}", Bytes(*bytes), Span(*took)),
            };
            format!("complete: {came}{}", if *stays { "; now it is given to others" } else { "" })
        }
        Note::GivenEnough { by_ratio: true, .. } => "given as often as --seed-ratio says".to_string(),
        Note::GivenEnough { .. } => "given for as long as --seed-time says".to_string(),
        Note::PeerConnected { address, .. } => format!("peer {address} connected"),
        Note::PeerGone { address, why, guilty: true, .. } => {
            format!("peer {address} dropped, it broke the protocol: {}", clean(why.as_bytes()))
        }
        Note::PeerGone { address, why, .. } => format!("peer {address} gone: {}", clean(why.as_bytes())),
        Note::PeerBanned { address, piece, .. } => format!("peer {address} banned: it spoiled piece {piece}"),
        Note::PieceFailed { piece, .. } => format!("piece {piece} has the wrong hash, fetched again"),
        Note::PieceStored { piece, .. } => format!("piece {piece} verified and in its files"),
        Note::TrackerAnswered { url, peers, next, .. } => {
            let peers = count(u64::from(*peers), "peer", "peers");
            format!("tracker {} gave {peers}, asked again in {}", clean(url.as_bytes()), Span(*next))
        }
        Note::TrackerFailed { url, why, next, .. } => {
            let (url, why) = (clean(url.as_bytes()), clause(why));
            format!("tracker {url} failed: {why}; asked again in {}", Span(*next))
        }
        Note::TrackerSkipped { url, why, .. } => {
            format!("tracker {} is skipped: {}", clean(url.as_bytes()), clause(why))
        }
        Note::TrackerWarning { url, text, .. } => {
            format!("tracker {} warns: {}", clean(url.as_bytes()), clean(text.as_bytes()))
        }
        Note::StorageFault { torrent, fault, retried } => {
            let then = if *retried { "; tried again every few seconds" } else { "" };
            format!("{}{then}", storage_fault(*torrent, fault, torrents))
        }
        Note::Resumed { fault: Some(fault), .. } => format!("{fault}: everything is verified"),
        Note::Resumed { believed, pieces, doubtful_files, .. } => {
            let pieces = count(u64::from(*pieces), "piece", "pieces");
            let doubt = match doubtful_files {
                0 => String::new(),
                files => format!("; {} may have been changed", count(u64::from(*files), "file", "files")),
            };
            format!("resumed: {believed} of {pieces} are known to be good{doubt}")
        }
        Note::StateNotSaved { fault, .. } => {
            let why = std::io::Error::from_raw_os_error(fault.os_error);
            format!("the resume state cannot be saved ({why}): the next start has more to verify")
        }
        Note::StorageRecovered { .. } => "storing works again".to_string(),
    }
}

/// Why a torrent cannot be completed: a file of it may not be written to.
pub fn denied(torrent: TorrentId, file: u32, os_error: i32, torrents: &Torrents) -> String {
    let why = std::io::Error::from_raw_os_error(os_error);
    format!(
        "{}: pieces of it are bad or missing, and it may not be written to: {why}; allow it, or choose another -o",
        path(torrent, file, torrents)
    )
}

fn path(torrent: TorrentId, file: u32, torrents: &Torrents) -> String {
    let found = torrents.get(torrent).and_then(|torrent| torrent.metainfo.layout.file(file));
    found.map_or_else(|| format!("file {file}"), |file| clean(&file.path()))
}

/// A storage fault in words: the file, what is wrong, and what the operating system said.
pub fn storage_fault(torrent: TorrentId, fault: &StorageFault, torrents: &Torrents) -> String {
    let what = match fault.kind {
        StorageFaultKind::NoSpace => "no space left for it",
        StorageFaultKind::TooLong => "the file system, or ulimit -f, takes no file so long",
        StorageFaultKind::Changed => "is not the file it was",
        StorageFaultKind::Denied => "may not be read or written",
        StorageFaultKind::Io => "cannot be read or written",
    };
    let mut text = path(torrent, fault.file, torrents);
    let _ = write!(text, ": {what}");
    if fault.os_error != 0 {
        let _ = write!(text, ": {}", std::io::Error::from_raw_os_error(fault.os_error));
    }
    if fault.missing_bytes > 0 {
        let _ = write!(text, ", {} are missing", Bytes(fault.missing_bytes));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::url::UrlFault;
    use std::time::Duration;

    #[test]
    fn news_are_one_line_that_strangers_cannot_break() {
        let note = Note::TrackerFailed {
            torrent: TorrentId(0),
            url: "http://t/\n".into(),
            why: "go\r\n\x1b[Haway.".into(),
            next: Duration::from_secs(15),
            again: false,
        };
        let text = line(&note, &Torrents::samples(&["a"]));
        assert_eq!(text, "tracker http://t/\\x0a failed: go\\x0d\\x0a\\x1b[Haway; asked again in 15 s");
    }

    #[test]
    fn a_tracker_that_is_never_asked_is_said_to_be_skipped() {
        let note = Note::TrackerSkipped {
            torrent: TorrentId(0),
            url: "wss://t.example".into(),
            why: UrlFault::Scheme("wss".into()).to_string(),
        };
        let wanted = "tracker wss://t.example is skipped: the scheme \"wss\" is not supported, only http, https and udp";
        assert_eq!(line(&note, &Torrents::samples(&["a"])), wanted);
    }

    #[test]
    fn what_is_complete_says_whether_it_stays() {
        let words = |downloaded_bytes, stays| {
            let took = Duration::from_secs(9);
            let note = Note::Complete { torrent: TorrentId(0), downloaded_bytes, took, stays };
            line(&note, &Torrents::samples(&["a"]))
        };
        assert_eq!(words(3 << 20, false), "complete: 3.0 MiB received in 9 s");
        assert_eq!(words(0, true), "complete: it was all there; now it is given to others");
    }

    #[test]
    fn only_what_is_tried_again_is_said_to_be() {
        let (kind, torrent) = (StorageFaultKind::Io, TorrentId(0));
        let fault = StorageFault { kind, file: 0, os_error: 0, missing_bytes: 0 };
        let words =
            |retried| line(&Note::StorageFault { torrent, fault, retried }, &Torrents::samples(&["a"]));
        assert_eq!(words(false), "a: cannot be read or written");
        assert_eq!(words(true), "a: cannot be read or written; tried again every few seconds");
    }

    #[test]
    fn several_torrents_are_named() {
        let note = Note::Checked { torrent: TorrentId(1), good: 3, pieces: 4, unreadable: 0 };
        assert_eq!(line(&note, &Torrents::samples(&["a", "b"])), "b: checked: 3 of 4 pieces are good");
        assert_eq!(line(&note, &Torrents::samples(&["b"])), "checked: 3 of 4 pieces are good");
        let note = Note::Checked { torrent: TorrentId(0), good: 1, pieces: 4, unreadable: 2 };
        let wanted = "checked: 1 of 4 pieces are good, 2 cannot be read";
        assert_eq!(line(&note, &Torrents::samples(&["b"])), wanted);
    }

    #[test]
    fn a_file_that_may_not_be_written_to_is_named_with_the_reason() {
        let text = denied(TorrentId(0), 0, libc::EROFS, &Torrents::samples(&["a.iso"]));
        let wanted =
            "a.iso: pieces of it are bad or missing, and it may not be written to: Read-only file system";
        assert!(text.starts_with(wanted), "{text}");
    }

    #[test]
    fn a_storage_fault_names_the_file_and_the_reason() {
        let (kind, os_error) = (StorageFaultKind::NoSpace, libc::ENOSPC);
        let fault = StorageFault { kind, file: 0, os_error, missing_bytes: 3 << 20 };
        let text = storage_fault(TorrentId(0), &fault, &Torrents::samples(&["a.iso"]));
        assert!(
            text.starts_with("a.iso: no space left for it: No space left on device (os error 28)"),
            "{text}"
        );
        assert!(text.ends_with(" 28), 3.0 MiB are missing"), "{text}");
        let nowhere = StorageFault { file: 9, os_error: 0, missing_bytes: 0, ..fault };
        let text = storage_fault(TorrentId(5), &nowhere, &Torrents::samples(&["a"]));
        assert_eq!(text, "file 9: no space left for it");
    }
}
