//! Trackers: how often and how many at a time, how long they may take, and what they may make us remember.

use core::time::Duration;

/// Longest head of an HTTP reply, in bytes.
pub const HTTP_HEAD_BYTES_MAX: usize = 16 << 10;
/// Most header lines of an HTTP reply.
pub const HTTP_HEADERS_MAX: usize = 64;
/// Longest body of a tracker's reply, in bytes, after chunks are joined.
pub const HTTP_BODY_BYTES_MAX: usize = 1 << 20;
/// Bytes of HTTP replies that are kept until they are whole, over all trackers of all torrents; it is not part of
/// `--memory`. Where more would be kept, the longest of them is given up: real ones have some kilobytes.
pub const ANSWERS_BYTES_MAX: usize = 2 << 20;
/// Most bytes of chunk sizes, chunk extensions and trailers in one reply: they carry nothing that we want.
pub const HTTP_FRAMING_BYTES_MAX: usize = 256 << 10;
/// Redirects followed for one announce.
pub const REDIRECTS_MAX: u8 = 5;
/// A tracker that has not answered completely by then has failed.
pub const ANNOUNCE_TIMEOUT: Duration = Duration::from_secs(30);
/// `stopped` announces may delay the exit by at most this.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(2);
/// `completed` announces may delay the exit by this; what they take is missing from [`STOP_TIMEOUT`].
pub const COMPLETED_TIMEOUT: Duration = Duration::from_secs(1);
/// Shortest interval between two announces that we honour without being asked by the user.
pub const ANNOUNCE_INTERVAL_MIN: Duration = Duration::from_secs(60);
/// The user may ask for an announce this soon after the last try, unless the tracker's `min interval` is longer.
pub const ANNOUNCE_ASKED_INTERVAL_MIN: Duration = Duration::from_secs(10);
/// Trackers of one torrent asked at a time; `stopped` ones are not counted, nor those that have had [`ANNOUNCE_LATE`] to
/// answer.
pub const ANNOUNCES_MAX: usize = 8;
/// A tracker that has not answered for so long makes room for others to be asked beside it: most trackers that a
/// `.torrent` lists are dead.
pub const ANNOUNCE_LATE: Duration = Duration::from_secs(1);
/// Open peers of a torrent below which further trackers of each tier are asked (BEP 12 has one of them in the end).
pub const HUNGRY_PEERS: u32 = 10;
/// Without enough peers the next tracker of a tier is asked this long after the last.
pub const HUNGRY_STEP: Duration = Duration::from_millis(250);
/// A tracker's answer that has peers in it is given so long to become connections, before others of its tier are asked.
pub const HUNGRY_REST: Duration = Duration::from_secs(3);
/// With enough peers the next tracker of a tier is asked when the last has been silent for so long.
pub const TIER_PATIENCE: Duration = Duration::from_secs(15);
/// A request to a UDP tracker is sent again after this, then after twice as long, and so on (BEP 15).
pub const UDP_RETRY: Duration = Duration::from_secs(15);
/// The same when we leave: a goodbye that is lost cannot wait.
pub const UDP_RETRY_LEAVING: Duration = Duration::from_millis(700);
/// A UDP tracker that has not answered by then has failed. BEP 15 would have us wait for over two hours.
pub const UDP_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a UDP tracker's connection id is used (BEP 15).
pub const UDP_CONNECTION_AGE_MAX: Duration = Duration::from_secs(60);
/// Longest path and query that a UDP tracker is told (BEP 41), in bytes: the announce still fits into one packet.
pub const UDP_TARGET_BYTES_MAX: usize = 1_000;
/// Datagrams taken from one socket before the peers get their turn.
pub const TURN_DATAGRAMS_MAX: usize = 64;
/// Shortest wait between two scrapes of a tracker.
pub const SCRAPE_INTERVAL_MIN: Duration = Duration::from_secs(5 * 60);
/// A tracker that has other addresses is given so long to open a connection at the first.
pub const TRACKER_CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// Addresses of one host name that are tried or kept.
pub const ADDRESSES_PER_NAME_MAX: usize = 8;
/// Interval when the tracker does not say.
pub const ANNOUNCE_INTERVAL_DEFAULT: Duration = Duration::from_secs(30 * 60);
/// Longest interval that a tracker may impose.
pub const ANNOUNCE_INTERVAL_MAX: Duration = Duration::from_secs(6 * 60 * 60);
/// Who has too few peers asks a tracker again after this, though it would like to be asked later (BEP 3), unless its
/// `min interval` is longer; doubles, with jitter, up to [`NEEDY_INTERVAL_MAX`].
pub const NEEDY_INTERVAL_MIN: Duration = Duration::from_secs(2 * 60);
/// See [`NEEDY_INTERVAL_MIN`].
pub const NEEDY_INTERVAL_MAX: Duration = Duration::from_secs(30 * 60);
/// Wait after a tracker's first failure; doubles, with jitter, up to [`TRACKER_BACKOFF_MAX`].
pub const TRACKER_BACKOFF_MIN: Duration = Duration::from_secs(15);
/// Longest wait after failures of a tracker.
pub const TRACKER_BACKOFF_MAX: Duration = Duration::from_secs(30 * 60);
/// Peers asked for in an announce (`numwant`).
pub const NUMWANT: u32 = 200;
/// Longest `failure reason`, `warning message` or `tracker id` kept, in bytes.
pub const TRACKER_TEXT_BYTES_MAX: usize = 512;
