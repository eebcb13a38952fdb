//! What a `.torrent` says, as text: `--show`, `info`, and the lines at the start and at the end.

use crate::app::date;
use crate::app::progress::share;
use crate::app::text::{clean, count, percent};
use crate::app::torrents::{Torrent, shown};
use crate::base::units::{Bytes, Span};
use crate::session::TorrentStatus;
use std::fmt::Write;
use std::time::Duration;

/// Everything that is worth knowing, for `--show` and `info`.
pub fn listing(torrent: &Torrent) -> String {
    let metainfo = &torrent.metainfo;
    let mut text = format!("{}\n", torrent.name());
    let mut line = |label: &str, value: &str| {
        let _ = writeln!(text, "  {label:<10} {value}");
    };
    line("info-hash", &metainfo.info_hash.to_string());
    line("size", &size(torrent));
    line("pieces", &pieces(torrent));
    line("private", if metainfo.private { "yes, peers come from its trackers only" } else { "no" });
    if metainfo.hybrid {
        line("version", "1 and 2, read as 1");
    }
    if let Some(seconds) = metainfo.creation_date {
        line("created", &date::utc(seconds));
    }
    for (label, bytes) in [("by", &metainfo.created_by), ("comment", &metainfo.comment)] {
        if !bytes.is_empty() {
            line(label, &clean(bytes));
        }
    }
    for (number, tier) in metainfo.tiers.iter().enumerate() {
        tier.iter().for_each(|url| line("tracker", &format!("tier {number}  {}", clean(url.as_bytes()))));
    }
    metainfo.web_seeds.iter().for_each(|url| line("web seed", &clean(url.as_bytes())));
    metainfo.cleaned.iter().for_each(|what| line("cleaned", &clean(what.as_bytes())));
    for file in metainfo.layout.files().filter(|file| !file.is_pad()) {
        line("file", &format!("{:>10}  {}", Bytes(file.length).to_string(), clean(&file.path())));
    }
    text.truncate(text.trim_end().len());
    text
}

/// `3.70 GiB in 1 file`, with the exact number of bytes.
fn size(torrent: &Torrent) -> String {
    let layout = &torrent.metainfo.layout;
    let files = layout.files().filter(|file| !file.is_pad()).count() as u64;
    format!(
        "{} ({} bytes) in {}",
        Bytes(layout.wanted_bytes()),
        layout.wanted_bytes(),
        count(files, "file", "files")
    )
}

fn pieces(torrent: &Torrent) -> String {
    let pieces = count(u64::from(torrent.metainfo.pieces()), "piece", "pieces");
    format!("{pieces} of {}", Bytes(u64::from(torrent.metainfo.piece_bytes)))
}

/// The line at the start: what is fetched, and where it goes.
pub fn start(torrent: &Torrent) -> String {
    let layout = &torrent.metainfo.layout;
    let files = layout.files().filter(|file| !file.is_pad()).count() as u64;
    format!(
        "{}: {} in {}, {}, to {}",
        torrent.name(),
        Bytes(layout.wanted_bytes()),
        count(files, "file", "files"),
        pieces(torrent),
        shown(&torrent.output)
    )
}

/// The line at the end of a download: size, time, mean rate, where the files are. `took` is the time of the
/// download.
pub fn summary(torrent: &Torrent, state: &TorrentStatus, took: Duration) -> String {
    let (name, size, place) = (torrent.name(), Bytes(state.size_bytes), shown(&torrent.output));
    let came = match mean_rate(state.downloaded_bytes, took) {
        Some(mean) if state.downloaded_bytes > 0 => {
            format!(
                "{} received in {}, {}/s on average",
                Bytes(state.downloaded_bytes),
                Span(took),
                Bytes(mean)
            )
        }
        _ => format!("nothing received in {}", Span(took)),
    };
    if state.phase.is_complete() {
        let came = if state.downloaded_bytes == 0 { "it was all there".to_string() } else { came };
        let gone = match state.uploaded_bytes {
            0 => String::new(),
            bytes => format!(", {} sent", Bytes(bytes)),
        };
        return format!("{name}: {size} complete, {came}{gone}; it is in {place}");
    }
    let done = percent(share(state.done_bytes, state.size_bytes));
    format!("{name}: {done} of {size}, {came}; the same command goes on from there")
}

/// The line at the end of `--check`.
pub fn checked(torrent: &Torrent, state: &TorrentStatus) -> String {
    let (name, pieces) = (torrent.name(), count(u64::from(state.pieces), "piece", "pieces"));
    let missing = state.pieces - state.pieces_have.min(state.pieces);
    let unreadable = match state.pieces_unreadable {
        0 => String::new(),
        unreadable => format!(" ({unreadable} of them cannot be read)"),
    };
    match missing {
        0 => format!("{name}: all {pieces} are good, {}", Bytes(state.size_bytes)),
        _ => format!(
            "{name}: {missing} of {pieces} bad or missing{unreadable}, {} good",
            Bytes(state.done_bytes)
        ),
    }
}

/// Bytes per second; `None` for no time.
pub fn mean_rate(bytes: u64, took: Duration) -> Option<u64> {
    let rate = (u128::from(bytes) * 1_000_000).checked_div(took.as_micros())?;
    u64::try_from(rate).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::text::tests::torrent_status;
    use crate::app::torrents::Torrents;
    use crate::base::TorrentId;
    use crate::session::Phase;

    fn sample() -> Torrent {
        Torrents::samples(&["debian.iso"]).get(TorrentId(0)).unwrap().clone()
    }

    #[test]
    fn a_listing_has_a_line_for_each_thing() {
        let text = listing(&sample());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "debian.iso");
        assert_eq!(lines[2], "  size       1.0 KiB (1024 bytes) in 1 file");
        assert_eq!(lines[3], "  pieces     1 piece of 1.0 KiB");
        assert_eq!(lines.last(), Some(&"  file          1.0 KiB  debian.iso"));
    }

    #[test]
    fn the_start_says_what_and_where() {
        assert_eq!(start(&sample()), "debian.iso: 1.0 KiB in 1 file, 1 piece of 1.0 KiB, to ./debian.iso");
    }

    #[test]
    fn the_end_says_how_it_went() {
        let took = Duration::from_secs(100);
        let half = summary(&sample(), &torrent_status(), took);
        assert_eq!(
            half,
            "debian.iso: 45.2% of 3.70 GiB, 1.68 GiB received in 1 m 40 s, 17.2 MiB/s on average; \
             the same command goes on from there"
        );
        let there = TorrentStatus { phase: Phase::Complete, downloaded_bytes: 0, ..torrent_status() };
        let text = summary(&sample(), &there, took);
        assert_eq!(text, "debian.iso: 3.70 GiB complete, it was all there; it is in ./debian.iso");
        let given = TorrentStatus { uploaded_bytes: 3 << 20, ..there };
        let text = summary(&sample(), &given, took);
        assert_eq!(
            text,
            "debian.iso: 3.70 GiB complete, it was all there, 3.0 MiB sent; it is in ./debian.iso"
        );
        assert!(summary(&sample(), &torrent_status(), Duration::ZERO).contains("nothing received in 0 s"));
    }

    #[test]
    fn a_check_counts_what_is_bad() {
        assert_eq!(
            checked(&sample(), &torrent_status()),
            "debian.iso: 522 of 950 pieces bad or missing, 1.67 GiB good"
        );
        let unreadable = TorrentStatus { pieces_unreadable: 7, ..torrent_status() };
        assert_eq!(
            checked(&sample(), &unreadable),
            "debian.iso: 522 of 950 pieces bad or missing (7 of them cannot be read), 1.67 GiB good"
        );
        let good = TorrentStatus { pieces_have: 950, ..torrent_status() };
        assert_eq!(checked(&sample(), &good), "debian.iso: all 950 pieces are good, 3.70 GiB");
    }
}
