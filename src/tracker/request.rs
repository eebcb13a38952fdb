//! What trackers are asked, and the bytes of it over HTTP (BEP 3, 7, 23, 48).

use crate::base::limits::NUMWANT;
use crate::base::{InfoHash, PeerId};
use crate::wire::escape::escape;
use crate::wire::url::Url;
use alloc::format;
use alloc::string::String;
use core::fmt::Write;

/// Who announces what: the same for the whole run.
#[derive(Clone, Copy, Debug)]
pub struct Identity {
    /// The torrent.
    pub info_hash: InfoHash,
    /// We.
    pub peer_id: PeerId,
    /// The port on which peers reach us; 0 if none is listened on.
    pub port: u16,
}

/// How far the torrent is, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Block bytes sent to peers in this run.
    pub uploaded: u64,
    /// Block bytes received from peers in this run.
    pub downloaded: u64,
    /// Bytes that are not there yet.
    pub left: u64,
}

/// Why a tracker is told something out of turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The regular announce.
    Regular,
    /// We begin.
    Started,
    /// The download has become whole in this run.
    Completed,
    /// We leave.
    Stopped,
    /// Nothing: it is only asked for the numbers of the swarm.
    Scrape,
}

/// The port told when we listen on none. With 0 some trackers refuse the announce, and others hand out an address that
/// nobody can dial; nobody listens on 1 (tcpmux), so that peers who try it are refused at once.
const NO_PORT: u16 = 1;

/// The port that trackers are told.
pub(crate) fn port(identity: &Identity) -> u16 {
    if identity.port == 0 { NO_PORT } else { identity.port }
}

/// Peers asked for.
pub(crate) fn numwant(kind: Kind) -> u32 {
    if kind == Kind::Stopped { 0 } else { NUMWANT }
}

/// Our part of a scrape's query (BEP 48).
pub(crate) fn scrape_query(identity: &Identity) -> String {
    let mut query = String::from("info_hash=");
    escape(&identity.info_hash.0, &mut query);
    query
}

/// Where a tracker is scraped; `None` where its URL does not tell (BEP 48).
pub(crate) fn scrape_url(url: &Url) -> Option<Url> {
    let (path, query) = url.target().split_at(url.target().find('?').unwrap_or(url.target().len()));
    let (folder, last) = path.rsplit_once('/')?;
    let rest = last.strip_prefix("announce")?;
    url.join(&format!("{folder}/scrape{rest}{query}")).ok()
}

/// Our part of the query, ready to be appended to the URL's own.
pub(crate) fn query(
    identity: &Identity,
    kind: Kind,
    totals: &Totals,
    key: u32,
    tracker_id: Option<&[u8]>,
) -> String {
    let mut query = String::with_capacity(400);
    query.push_str("info_hash=");
    escape(&identity.info_hash.0, &mut query);
    query.push_str("&peer_id=");
    escape(&identity.peer_id.0, &mut query);
    let Totals { uploaded, downloaded, left } = totals;
    let (port, numwant) = (port(identity), numwant(kind));
    // Writing to a String cannot fail.
    let _ = write!(query, "&port={port}&uploaded={uploaded}&downloaded={downloaded}&left={left}");
    let _ = write!(query, "&compact=1&no_peer_id=1&numwant={numwant}&key={key:08X}");
    match kind {
        Kind::Regular | Kind::Scrape => {}
        Kind::Started => query.push_str("&event=started"),
        Kind::Completed => query.push_str("&event=completed"),
        Kind::Stopped => query.push_str("&event=stopped"),
    }
    if let Some(id) = tracker_id {
        query.push_str("&trackerid=");
        escape(id, &mut query);
    }
    query
}

/// The whole request. A URL that names the info-hash already, as redirects do, is taken as it is.
pub(crate) fn request(url: &Url, query: &str) -> String {
    let target = url.target();
    let separator = match target.split_once('?') {
        Some((_, given)) if given.split('&').any(|part| part.starts_with("info_hash=")) => None,
        Some((_, given)) if given.is_empty() || given.ends_with('&') => Some(""),
        Some(_) => Some("&"),
        None => Some("?"),
    };
    let (separator, query) = separator.map_or(("", ""), |separator| (separator, query));
    let mut text = String::with_capacity(target.len() + query.len() + 200);
    let _ = write!(text, "GET {target}{separator}{query} HTTP/1.1\r\nHost: {}\r\n", url.authority());
    text.push_str(concat!("User-Agent: swarmlet/", env!("CARGO_PKG_VERSION"), "\r\n"));
    if let Some(authorization) = url.authorization() {
        let _ = write!(text, "Authorization: {authorization}\r\n");
    }
    text.push_str("Accept-Encoding: identity\r\nConnection: close\r\n\r\n");
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(port: u16) -> Identity {
        Identity { info_hash: InfoHash([0x1f; 20]), peer_id: PeerId(*b"-SW0100-abc~def/ghi "), port }
    }

    #[test]
    fn a_first_announce_says_everything_in_order() {
        let totals = Totals { uploaded: 1, downloaded: 2, left: u64::MAX };
        let query = query(&identity(6881), Kind::Started, &totals, 0xab, None);
        let wanted = format!(
            "info_hash={}&peer_id=-SW0100-abc~def%2Fghi%20&port=6881&uploaded=1&downloaded=2&left={}\
             &compact=1&no_peer_id=1&numwant=200&key=000000AB&event=started",
            "%1F".repeat(20),
            u64::MAX
        );
        assert_eq!(query, wanted);
    }

    #[test]
    fn events_ids_and_ports_are_said_where_they_belong() {
        let say = |kind, port, id| query(&identity(port), kind, &Totals::default(), 1, id);
        assert!(!say(Kind::Regular, 1, None).contains("event="));
        assert!(say(Kind::Completed, 1, Some(b"a&b\xff")).ends_with("&event=completed&trackerid=a%26b%FF"));
        let stopped = say(Kind::Stopped, 0, None);
        assert!(stopped.contains("&port=1&") && stopped.contains("&numwant=0&"), "{stopped}");
    }

    #[test]
    fn a_scrape_is_asked_for_where_the_announce_says() {
        let cases = [
            ("http://t.example/announce", Some("http://t.example/scrape")),
            ("http://t.example/x/announce.php?k=a/b", Some("http://t.example/x/scrape.php?k=a/b")),
            ("http://t.example/announce?k=announce", Some("http://t.example/scrape?k=announce")),
            ("http://t.example/k/announce/x", None),
            ("http://t.example/a", None),
            ("http://t.example/?announce", None),
        ];
        for (url, wanted) in cases {
            let found = scrape_url(&Url::parse(url).unwrap());
            assert_eq!(found.map(|url| url.to_string()).as_deref(), wanted, "{url}");
        }
        let url = scrape_url(&Url::parse("http://u:p@t.example/announce").unwrap()).unwrap();
        assert!(url.authorization().is_some(), "the password goes along");
        assert_eq!(scrape_query(&identity(1)), format!("info_hash={}", "%1F".repeat(20)));
    }

    #[test]
    fn the_request_line_keeps_what_the_url_has() {
        let cases = [
            ("http://t.example/announce", "GET /announce?Q=1 HTTP/1.1\r\nHost: t.example\r\n"),
            (
                "http://t.example:81/a?passkey=x%20",
                "GET /a?passkey=x%20&Q=1 HTTP/1.1\r\nHost: t.example:81\r\n",
            ),
            ("http://[::1]:81/a?", "GET /a?Q=1 HTTP/1.1\r\nHost: [::1]:81\r\n"),
            ("http://t.example/a?x&", "GET /a?x&Q=1 HTTP/1.1\r\nHost: t.example\r\n"),
            ("http://t.example/a?x&info_hash=y", "GET /a?x&info_hash=y HTTP/1.1\r\nHost: t.example\r\n"),
        ];
        for (url, start) in cases {
            let text = request(&Url::parse(url).unwrap(), "Q=1");
            assert!(text.starts_with(start), "{url}: {text}");
            assert!(text.ends_with("\r\nAccept-Encoding: identity\r\nConnection: close\r\n\r\n"));
            assert!(!text.contains("Authorization"));
        }
        let text = request(&Url::parse("http://u:p@t.example/").unwrap(), "Q=1");
        assert!(text.contains("\r\nAuthorization: Basic dTpw\r\n"));
    }
}
