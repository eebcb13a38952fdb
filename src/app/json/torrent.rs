//! What a `.torrent` says, as an object.

use crate::app::json::Object;
use crate::app::torrents::Torrent;
use std::os::unix::ffi::OsStrExt;

/// The object of type `torrent`; `number` is its place among the torrents of the run.
pub fn torrent(number: u32, torrent: &Torrent) -> Object {
    let metainfo = &torrent.metainfo;
    let tiers = metainfo.tiers.iter().enumerate();
    let trackers = tiers.flat_map(|(tier, urls)| urls.iter().map(move |url| (tier, url)));
    let files = metainfo.layout.files().filter(|file| !file.is_pad());
    Object::new("torrent")
        .number("torrent", number)
        .bytes("file", torrent.file.as_os_str().as_bytes())
        .bytes("name", &metainfo.name)
        .text("info_hash", &metainfo.info_hash.to_string())
        .number("size_bytes", metainfo.layout.wanted_bytes())
        .number("piece_bytes", metainfo.piece_bytes)
        .number("pieces", metainfo.pieces())
        .flag("private", metainfo.private)
        .flag("hybrid", metainfo.hybrid)
        .bytes("output", torrent.output.as_os_str().as_bytes())
        .list(
            "trackers",
            trackers.map(|(tier, url)| Object::inner().number("tier", tier as u64).text("url", url)),
        )
        .texts("web_seeds", metainfo.web_seeds.iter().map(String::as_str))
        .bytes("comment", &metainfo.comment)
        .bytes("created_by", &metainfo.created_by)
        .maybe("creation_date", metainfo.creation_date)
        .texts("cleaned", metainfo.cleaned.iter().map(String::as_str))
        .list(
            "files",
            files.map(|file| Object::inner().bytes("path", &file.path()).number("size_bytes", file.length)),
        )
}
