//! News as objects.

use crate::app::json::Object;
use crate::app::logger::level_of;
use crate::app::text::notes;
use crate::app::torrents::Torrents;
use crate::session::Note;

/// The object of a piece of news: its words as on the screen, and its values.
pub fn event(note: &Note, torrents: &Torrents) -> Object {
    let level = level_of(note.level()).as_str().to_ascii_lowercase();
    let object = Object::new(kind(note))
        .number("torrent", notes::torrent_of(note).0)
        .text("level", &level)
        .text("text", &notes::line(note, torrents));
    values(object, note)
}

fn kind(note: &Note) -> &'static str {
    match note {
        Note::Checked { .. } => "checked",
        Note::Complete { .. } => "complete",
        Note::GivenEnough { .. } => "given_enough",
        Note::PeerConnected { .. } => "peer_connected",
        Note::PeerGone { .. } => "peer_gone",
        Note::PeerBanned { .. } => "peer_banned",
        Note::PieceFailed { .. } => "piece_failed",
        Note::PieceStored { .. } => "piece_stored",
        Note::TrackerAnswered { .. } => "tracker_answered",
        Note::TrackerFailed { .. } => "tracker_failed",
        Note::TrackerSkipped { .. } => "tracker_skipped",
        Note::TrackerWarning { .. } => "tracker_warning",
        Note::Resumed { .. } => "resumed",
        Note::StateNotSaved { .. } => "state_not_saved",
        Note::StorageFault { .. } => "storage_fault",
        Note::StorageRecovered { .. } => "storage_recovered",
    }
}

fn values(object: Object, note: &Note) -> Object {
    match note {
        Note::Checked { good, pieces, unreadable, .. } => {
            object.number("good", *good).number("pieces", *pieces).number("unreadable", *unreadable)
        }
        Note::Complete { downloaded_bytes, took, stays, .. } => {
            let object = object.number("downloaded_bytes", *downloaded_bytes);
            object.seconds("took_seconds", Some(*took)).flag("stays", *stays)
        }
        Note::GivenEnough { by_ratio, .. } => object.flag("by_ratio", *by_ratio),
        Note::PeerConnected { address, .. } => object.text("address", &address.to_string()),
        Note::PeerGone { address, why, guilty, .. } => {
            object.text("address", &address.to_string()).text("why", why).flag("guilty", *guilty)
        }
        Note::PeerBanned { address, piece, .. } => {
            object.text("address", &address.to_string()).number("piece", *piece)
        }
        Note::PieceFailed { piece, .. } | Note::PieceStored { piece, .. } => object.number("piece", *piece),
        Note::TrackerAnswered { url, peers, next, .. } => {
            object.text("url", url).number("peers", *peers).seconds("next_seconds", Some(*next))
        }
        Note::TrackerFailed { url, why, next, .. } => {
            object.text("url", url).text("why", why).seconds("next_seconds", Some(*next))
        }
        Note::TrackerWarning { url, text: why, .. } | Note::TrackerSkipped { url, why, .. } => {
            object.text("url", url).text("why", why)
        }
        Note::StorageFault { fault, retried, .. } => {
            object.number("file", fault.file).number("os_error", fault.os_error).flag("retried", *retried)
        }
        Note::Resumed { believed, pieces, doubtful_files, .. } => object
            .number("believed", *believed)
            .number("pieces", *pieces)
            .number("doubtful_files", *doubtful_files),
        Note::StateNotSaved { fault, .. } => object.number("os_error", fault.os_error),
        Note::StorageRecovered { .. } => object,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::TorrentId;

    #[test]
    fn news_have_words_and_values() {
        let note = Note::PeerGone {
            torrent: TorrentId(0),
            address: "1.2.3.4:5".parse().unwrap(),
            why: "bad \"length\"".into(),
            guilty: true,
        };
        let line = event(&note, &Torrents::samples(&["a"])).end();
        let beginning = r#"{"type":"peer_gone","torrent":0,"level":"debug","text":"peer 1.2.3.4:5 dropped"#;
        assert!(line.starts_with(beginning), "{line}");
        assert!(line.ends_with(r#""address":"1.2.3.4:5","why":"bad \"length\"","guilty":true}"#), "{line}");
    }
}
