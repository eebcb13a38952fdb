//! Every bound on what strangers may make us store, wait for or do; each with its unit and its reason.
//! Where bounds depend on each other, the compiler checks it in `fit`.

mod connections;
mod disk;
mod files;
mod fit;
mod memory;
mod places;
mod trackers;

pub use connections::*;
pub use disk::*;
pub use files::*;
pub use memory::*;
pub use places::*;
pub use trackers::*;

use crate::base::units::{KIB, MIB};
use core::time::Duration;

// ---- Metainfo: what a `.torrent` may contain -------------------------------------------------------------

/// Largest `.torrent` file read, in bytes. The largest real one known is 15 MB.
pub const TORRENT_FILE_BYTES_MAX: usize = 32 << 20;
/// Deepest nesting of lists and dictionaries in bencode. Real metainfo needs 6; others allow 32 to 100.
pub const BENCODE_DEPTH_MAX: usize = 50;
/// Most tokens (strings, integers, lists, dictionaries, ends) in one bencoded value. A file takes 8, with `attr` 10, and
/// [`FILES_MAX`] files must fit.
pub const BENCODE_TOKENS_MAX: u32 = 12_000_000;
/// Most keys of a dictionary whose keys are out of order and must be compared: they are remembered meanwhile. Real ones
/// have 30.
pub const BENCODE_UNSORTED_KEYS_MAX: usize = 1_000;
/// Most pieces of a torrent.
pub const PIECES_MAX: u32 = 1 << 21;
/// Longest piece, in bytes.
pub const PIECE_BYTES_MAX: u32 = 512 * MIB;
/// Most files of a torrent, pad files included.
pub const FILES_MAX: usize = 1 << 20;
/// Longest path component, in bytes: the `NAME_MAX` of Linux.
pub const PATH_COMPONENT_BYTES_MAX: usize = 255;
/// Most components of a path.
pub const PATH_DEPTH_MAX: usize = 100;
/// Most trackers kept of one `.torrent`.
pub const TRACKERS_MAX: usize = 100;
/// Longest URL of a tracker or web seed, in bytes.
pub const URL_BYTES_MAX: usize = 8 << 10;
/// Most web seeds (`url-list`, BEP 19) kept.
pub const WEB_SEEDS_MAX: usize = 100;
/// Longest `comment` or `created by` kept, in bytes.
pub const METAINFO_TEXT_BYTES_MAX: usize = 8 << 10;
/// Most lines that tell the user what was cleaned in one `.torrent`: a million bad names must not flood a log.
pub const CLEANED_LINES_MAX: usize = 20;

// ---- The peer wire -----------------------------------------------------------------------------------------

/// The part of a piece that is asked for at a time, in bytes. Everybody uses this size; some refuse more.
pub const BLOCK_BYTES: u32 = 16 * KIB;
/// Longest block that a peer may ask of us, in bytes.
pub const REQUEST_BYTES_MAX: u32 = 128 * KIB;
/// Length prefix, id, index and begin of a `piece` message, in bytes.
pub const PIECE_HEADER_BYTES: usize = 13;
/// A whole `request` message, in bytes.
pub const REQUEST_MESSAGE_BYTES: usize = 17;
/// Longest extended message (BEP 10) that is stored, in bytes; longer ones are skipped. Only the handshake is of use, and
/// real ones have some hundred.
pub const EXTENDED_BYTES_MAX: usize = 2 << 10;
/// Longest message that is skipped, because we do not know its id or it is too long to be stored: only patience bounds it.
pub const UNKNOWN_BYTES_MAX: usize = MIB as usize;
/// Bytes waiting to be sent to one peer. Requests and haves fill it; a peer that never reads stops there.
pub const OUTBOX_BYTES_MAX: usize = 32 << 10;
/// Of these, what is kept free for other messages when requests are rejected: suggestions for a run of pieces and a few
/// short words.
pub const OUTBOX_REST_BYTES: usize = 2 << 10;
/// Bytes waiting to be sent to one peer from which on `have` messages wait until it has read others: behind them there has
/// to be room for rejecting [`REQQ`] requests.
pub const OUTBOX_HAVES_BYTES: usize = 8 << 10;
/// Peers that are gone whose addresses are remembered, in case a piece that they helped with fails.
pub const DEPARTED_MAX: usize = 256;
/// Longest client name (`v` of BEP 10) kept, in bytes.
pub const CLIENT_NAME_BYTES_MAX: usize = 64;
/// Pieces that one peer's `allowed fast` messages may name; more are ignored. BEP 6 recommends to name 10.
pub const ALLOWED_FAST_MAX: usize = 32;
/// Memory that a peer may cost beside its bitfield while it is idle, in bytes.
pub const IDLE_PEER_BYTES_MAX: usize = 2 << 10;
/// Most messages without use (choke, have of known pieces, keep-alive …) that a peer may send in a row of
/// [`FLOOD_WINDOW`] before it is dropped as a flood.
pub const FLOOD_MESSAGES_MAX: u32 = 20_000;
/// The span over which flood messages are counted.
pub const FLOOD_WINDOW: Duration = Duration::from_secs(10);

// ---- Peers and streams -------------------------------------------------------------------------------------

/// Connected peers of all torrents by default (`--max-peers`).
pub const PEERS_DEFAULT: u32 = 200;
/// Most peers that `--max-peers` may ask for.
pub const PEERS_MAX: u32 = 5_000;
/// Connections being opened at a time. Cheap routers drop packets when many more are half open.
pub const HALF_OPEN_MAX: usize = 30;
/// Open peers of a torrent from which on others are dialled one by one, every [`DIAL_SPACING`]; less where `--max-peers`
/// is below twice as many.
pub const ENOUGH_PEERS: u32 = 40;
/// Wait between two dials when there are enough peers.
pub const DIAL_SPACING: Duration = Duration::from_millis(250);
/// Connections to us that have not shaken hands, at a time; when another comes, the oldest of the address with the most
/// of them is closed.
pub const ARRIVALS_MAX: usize = 64;
/// Of these, from one address; more are closed at once: one machine must not keep the others out.
pub const ARRIVALS_PER_ADDRESS_MAX: usize = 8;
/// Open connections that came from one address. A network behind one address may well have some.
pub const INCOMING_PER_ADDRESS_MAX: usize = 64;
/// Connections taken from the queue of one listening socket before the peers get their turn.
pub const TURN_ACCEPTS_MAX: usize = 32;
/// Of two connections with the same peer, opened by either side, each side keeps the same one if they are younger than
/// this; an older one stays.
pub const TWIN_AGE_MAX: Duration = Duration::from_secs(10);
/// Without descriptors for another connection, those that wait to be accepted are looked at again after this.
pub const ACCEPT_RETRY_INTERVAL: Duration = Duration::from_secs(1);
/// Addresses remembered per torrent.
pub const CANDIDATES_MAX: usize = 2_000;
/// Addresses taken from one tracker reply.
pub const PEERS_PER_REPLY_MAX: usize = 500;
/// A TCP connection that takes longer to open is given up.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// A handshake that takes longer to arrive is given up.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(15);
/// A peer that is silent for longer is dropped (BEP 3 suggests two minutes between keep-alives).
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(180);
/// We send a keep-alive after this long without sending anything, at the latest.
pub const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(110);
/// So much earlier it is sent if we are awake anyway: peers that came one after another do not wake us one after another.
pub const KEEP_ALIVE_EARLY: Duration = Duration::from_secs(40);
/// Wait before an address is dialled again; doubles with each failure up to [`RECONNECT_MAX`].
pub const RECONNECT_MIN: Duration = Duration::from_secs(5);
/// Longest wait before an address is dialled again.
pub const RECONNECT_MAX: Duration = Duration::from_secs(15 * 60);
/// After this many failures without a single success an address is forgotten.
pub const CONNECT_FAILURES_MAX: u8 = 6;
/// Where nothing was heard from anybody for so long, our own network may be cut off: addresses that cannot be reached are
/// not to blame for it, and are kept. Longer than [`CONNECT_TIMEOUT`].
pub const OUTAGE_MIN: Duration = Duration::from_secs(20);
/// A peer that alone has what is missing keeps its place for so long after it has given something, unchoked us, or come. An
/// only seed with a hundred peers in front of us may well take some minutes.
pub const SOURCE_PATIENCE: Duration = Duration::from_secs(5 * 60);
/// Addresses per torrent that are not spoken to again; the oldest gives way.
pub const BANS_MAX: usize = 256;
/// Addresses per torrent remembered as our own; a machine has few. The oldest gives way.
pub const OWN_ADDRESSES_MAX: usize = 16;

// ---- Requests ----------------------------------------------------------------------------------------------

/// Requests outstanding to a new peer.
pub const REQUESTS_START: u32 = 4;
/// Requests outstanding to a new peer where memory has room for as many for every peer: two round trips of slow start
/// are saved.
pub const REQUESTS_EAGER: u32 = 16;
/// How much the line brings is looked at this often.
pub const LINE_INTERVAL: Duration = Duration::from_millis(5);
/// Who is slow is looked at this often.
pub const LANES_INTERVAL: Duration = Duration::from_millis(500);
/// A peer is slow if it gives less than one part in so many of what is usual.
pub const SLOW_PART: u128 = 8;
/// With `--down-limit` no more is asked for than what comes in this time, though of each peer at least [`REQUESTS_MIN`]
/// blocks.
pub const LIMITED_QUEUE: Duration = Duration::from_secs(20);
/// Fewest requests that keep a connection from idling between two blocks.
pub const REQUESTS_MIN: u32 = 2;
/// Most requests outstanding to one peer, whatever it offers (`reqq`): 16 MiB, which 100 MiB/s fill in 160 ms.
pub const REQUESTS_MAX: u32 = 1024;
/// What we promise to queue for a peer (`reqq` of BEP 10); 12 bytes each while they wait. Transmission asks once a
/// second for as many as that: with 256 it gets 4 MiB/s, whatever the line carries.
pub const REQQ: u32 = 1024;
/// What a peer queues that does not say (`reqq` of BEP 10 is 250 in the field's oldest client).
pub const REQQ_DEFAULT: u32 = 250;
/// Bytes of blocks that a peer may send without having been asked, before it is dropped. A cancelled window may still
/// be on its way, several times over.
pub const UNASKED_BYTES_MAX: u64 = 64 << 20;
/// Shortest silence after which a peer with requests outstanding is snubbed.
pub const SNUB_MIN: Duration = Duration::from_secs(2);
/// Longest silence that a peer's own rhythm can excuse.
pub const SNUB_MAX: Duration = Duration::from_secs(45);
/// Patience with a peer that has not sent a block yet.
pub const FIRST_BLOCK_PATIENCE: Duration = Duration::from_secs(15);
/// A block may take so many times as long as a silence may, as long as bytes of it come: the first one two minutes.
pub const FLOW_FACTOR: u32 = 8;
/// A peer that rejects a request without choking us is not asked for anything until this has passed, unless it has sent
/// something else meanwhile.
pub const REJECT_REST: Duration = Duration::from_secs(3);
/// A peer that rejects a request without choking us is not asked for other blocks of that piece until this has passed.
pub const REFUSED_TIME: Duration = Duration::from_secs(60);
/// Pieces for which that is remembered of one peer, 16 bytes each.
pub const REFUSED_MAX: usize = 16;
/// Peers that may be asked for the same block at once, in the endgame.
pub const REQUESTERS_MAX: usize = 2;
/// A piece that failed is fetched again from one peer alone for so many times as long as that should take.
pub const SOLE_TIME_FACTOR: u32 = 3;
/// Shortest and longest time for that: who drips blocks must not hold up a piece for hours.
pub const SOLE_TIME_MIN: Duration = Duration::from_secs(30);
/// See [`SOLE_TIME_MIN`].
pub const SOLE_TIME_MAX: Duration = Duration::from_secs(2 * 60);

/// Peers that could not be given anything are asked again after this, because others may be late by then.
pub const STARVED_INTERVAL: Duration = Duration::from_millis(100);
/// A block is not asked of a second peer before it is this late, unless nothing else is left to ask for.
pub const LATE_MIN: Duration = Duration::from_secs(2);

// ---- Giving ------------------------------------------------------------------------------------------------

/// Who is served is settled anew this often (BEP 3).
pub const CHOKE_INTERVAL: Duration = Duration::from_secs(10);
/// Who is served by chance stays for so long (BEP 3).
pub const OPTIMISTIC_INTERVAL: Duration = Duration::from_secs(30);
/// A peer is a newcomer for so long, and has three chances where others have one.
pub const NEWCOMER_AGE_MAX: Duration = Duration::from_secs(90);
/// A peer that gives us nothing is served for so long while others wait.
pub const SEED_TURN: Duration = Duration::from_secs(60);
/// A peer that is served and has asked for nothing for so long gives way.
pub const CHOKE_IDLE_MIN: Duration = Duration::from_secs(15);
/// Pieces that a choked newcomer may ask for (BEP 6 recommends 10); and as long as it has fewer pieces than that.
pub const ALLOWED_FAST_GRANTED: usize = 10;
/// Pieces that a peer may have suggested (BEP 6) and that have not been opened; more are ignored. Two runs of the
/// smallest pieces that fill an extent.
pub const SUGGESTED_MAX: usize = 256;
/// Pieces of a run that a seed suggests or tells one peer of: those of 16 KiB that fill an extent. Of smaller ones more would
/// not find room among what waits to be sent.
pub const RUN_PIECES_MAX: u32 = 128;
/// A seed that has suggested something is not asked for anything else before this has passed, unless little is asked of
/// it: what it suggests next is on its way.
pub const SUGGESTED_REST: Duration = Duration::from_secs(1);
/// Pieces looked at to find some that nobody has, before the search goes on another time.
pub const SPREAD_STEPS_MAX: u32 = 1024;
/// When every piece has been dealt out, those that nobody has are dealt out again after this.
pub const SPREAD_LAP_MIN: Duration = Duration::from_secs(60);
/// Runs of pieces that a peer is told of and that nobody else has got from it (BEP 16): with one, it would be idle
/// while it passes the pieces on.
pub const SUPER_SEED_RUNS: u32 = 2;
/// A peer that has got a piece and could pass it to nobody for so long is told of others all the same (BEP 16).
pub const SUPER_SEED_PASS_MAX: Duration = Duration::from_secs(15);
/// A piece that a peer was told of and has not got for so long is given to another (BEP 16).
pub const SUPER_SEED_TAKE_MAX: Duration = Duration::from_secs(60);
/// Peers are told of new pieces at most this often: each time costs a write for each peer.
pub const TELL_INTERVAL: Duration = Duration::from_millis(50);
/// Pieces that peers are not told of yet, before they are told at once: 4 bytes each.
pub const UNTOLD_MAX: usize = 1024;
/// A peer that has not read what it was told that we have is told the rest after this.
pub const TELL_REST_INTERVAL: Duration = Duration::from_secs(1);
/// Super-seeding looks this often for peers that are late.
pub const SUPER_SEED_INTERVAL: Duration = Duration::from_secs(5);
/// When a torrent has been given as often as was wished, its peers are not asked to leave before this: what the kernel
/// has taken is lost to them if the connection is closed while they speak.
pub const PARTING_TIME: Duration = Duration::from_secs(5);
/// Bytes sent to one peer before the others get their turn.
pub const TURN_SEND_BYTES: usize = 256 << 10;
/// A peer that has asked for [`REQQ`] blocks is read again when so many of them are sent: one read for a MiB.
pub const REQUESTS_HEARD_MIN: u32 = 64;
/// A peer that takes no byte of a block, or of what else is said to it, for so long is dropped.
pub const SEND_PATIENCE: Duration = Duration::from_secs(120);

// ---- Memory ------------------------------------------------------------------------------------------------

/// Default of `--memory`, in MiB: enough for what 8 MiB a second at a second's distance, or 80 at a tenth, have on their
/// way.
pub const MEMORY_DEFAULT_MIB: u32 = 10;
/// What the program needs by itself, in bytes: heap and stack without peers.
pub const PROGRAM_BYTES: usize = 1 << 20;
/// What is set aside for a peer beside its bitfield, in bytes: more than most take that send and are asked for more. See
/// [`peers_bytes`].
pub const BUSY_PEER_BYTES: usize = 4 << 10;
/// Peers for which there is room whatever else `--memory` has to hold.
pub const PEERS_MIN: u32 = 10;
/// Of what tables leave of `--memory`, peers may take one part in so many, and blocks have the rest: blocks are what makes
/// a download fast.
pub const PEERS_PART: (u64, u64) = (1, 4);
/// The same where the user asks for a number of peers.
pub const PEERS_PART_ASKED: (u64, u64) = (2, 3);
/// Bytes of blocks for which there is room whatever else `--memory` has to hold: two pieces of 256 KiB.
pub const BLOCKS_MIN_BYTES: u64 = 512 << 10;
/// Least `--memory`, in MiB.
pub const MEMORY_MIN_MIB: u32 = 2;
/// Most `--memory`, in MiB: more never helps, and 32-bit boxes cannot give it.
pub const MEMORY_MAX_MIB: u32 = 1024;
/// The unit of storing, in bytes: one huge page of most processors, so one fault maps it. See `meta::layout`.
pub const EXTENT_BYTES: u64 = 2 << 20;
/// What is stored without looking around, in bytes: least, and at first. Below the least a call costs more than what it
/// does; the most is an extent, and what fits into a few milliseconds is found out from these on.
pub const STORE_SLICE_BYTES: (usize, usize) = (64 << 10, 256 << 10);
/// Files that are stored into without looking around: small ones cost by their number, to open or to make.
pub const STORE_SLICE_FILES: usize = 8;
/// Wait before storing is tried again after a fault.
pub const STORE_RETRY_INTERVAL: Duration = Duration::from_secs(3);
/// Tries after which a fault that is not a full disk ends the run.
pub const STORE_TRIES_MAX: u32 = 3;
/// Pieces that may be lost to faults of reading before the run ends: a disk that does not give back what it took would
/// have them fetched again and again.
pub const READ_FAULTS_MAX: u32 = 64;
/// A verified piece waits at most this long for the rest of its extent.
pub const HELD_MAX: Duration = Duration::from_secs(5);
/// Blocks of failed pieces whose digests are kept until a good copy shows who spoiled them; 16 bytes each. As many as the
/// longest piece has.
pub const SUSPECT_BLOCKS_MAX: usize = 32 << 10;
/// Extents that are remembered as begun; their other pieces are fetched first.
pub const BEGUN_EXTENTS_MAX: usize = 64;
/// An unfinished piece that nobody has been asked for since is given up when memory is full.
pub const ORPHAN_AGE: Duration = Duration::from_secs(10);
/// Such pieces are looked for this often at most.
pub const ORPHAN_HUNT_INTERVAL: Duration = Duration::from_secs(1);
/// Of those of other torrents, so many are given up at a time, as far as one piece needs their memory.
pub const ORPHANS_MAX: u32 = 64;
/// Bytes read from one stream before the others get their turn.
pub const TURN_READ_BYTES: usize = 256 << 10;
/// The buffer for bytes that may land anywhere, in bytes: larger ones do not make reading cheaper.
pub const RECEIVE_BYTES: usize = 64 << 10;
/// Blocks that one scatter read may fill.
pub const SCATTER_BLOCKS_MAX: usize = 20;

// ---- Names ---------------------------------------------------------------------------------------------------

/// Longest DNS answer read, in bytes: over UDP a server may send 512 without being asked for more (RFC 1035). Of what
/// comes over TCP this is the beginning: room for [`DNS_RECORDS_MAX`] addresses and aliases.
pub const DNS_MESSAGE_BYTES_MAX: usize = 4 << 10;
/// Records looked at in one DNS answer.
pub const DNS_RECORDS_MAX: usize = 64;
/// Compression pointers followed in one name: more than labels fit into a name.
pub const DNS_JUMPS_MAX: usize = 32;
/// Aliases (`CNAME`) followed from the name asked for.
pub const DNS_ALIASES_MAX: usize = 8;
/// Name servers used, as in the C library.
pub const NAME_SERVERS_MAX: usize = 3;
/// Domains in which short names are looked for (`search`), as in the C library.
pub const SEARCH_DOMAINS_MAX: usize = 6;
/// Most `ndots` of resolv.conf(5).
pub const NDOTS_MAX: u8 = 15;
/// How often the whole list of name servers is gone through for one name, unless `attempts` says otherwise.
pub const DNS_ROUNDS: u8 = 3;
/// Most `attempts` of resolv.conf(5).
pub const DNS_ROUNDS_MAX: u8 = 5;
/// The next name server is asked as well when one has not answered by then; it doubles with each round. `timeout` of
/// resolv.conf(5) takes its place, in all rounds alike.
pub const DNS_PATIENCE: Duration = Duration::from_secs(1);
/// Most `timeout` of resolv.conf(5): an announce ends earlier.
pub const DNS_TIMEOUT_MAX: Duration = Duration::from_secs(10);
/// When one family has addresses, they are handed out after this, and the other's follow (RFC 8305, 3).
pub const DNS_SECOND_FAMILY_WAIT: Duration = Duration::from_millis(50);
/// Names being resolved at a time; others wait for their turn.
pub const DNS_LOOKUPS_MAX: usize = 16;
/// Names waiting to be resolved; more are answered with no address.
pub const DNS_WAITING_MAX: usize = 2_000;
/// Streams to name servers at a time, for answers that fit into no datagram: one for each question.
pub const DNS_STREAMS_MAX: usize = 2 * DNS_LOOKUPS_MAX;
/// Names whose addresses are remembered.
pub const DNS_CACHE_MAX: usize = 128;
/// Shortest and longest time for which a name's addresses are remembered, whatever the server says.
pub const DNS_TTL_MIN: Duration = Duration::from_secs(10);
/// See [`DNS_TTL_MIN`].
pub const DNS_TTL_MAX: Duration = Duration::from_secs(60 * 60);
/// Longest time for which addresses are remembered while it is unknown whether the other family has some.
pub const DNS_HALF_TTL_MAX: Duration = Duration::from_secs(5 * 60);
/// Longest time for which it is remembered that a name has no address (RFC 2308 allows hours; people mend such faults).
pub const DNS_NEGATIVE_TTL_MAX: Duration = Duration::from_secs(5 * 60);
/// For how long it is remembered that nobody could say: many torrents may ask, but a tracker that is tried again
/// ([`TRACKER_BACKOFF_MIN`]) is looked for again.
pub const DNS_FAILURE_TTL: Duration = Duration::from_secs(10);
/// The files that say how names are found are looked at this often at most.
pub const NAME_FILES_INTERVAL: Duration = Duration::from_secs(1);
/// Lines of the hosts file that are kept.
pub const HOSTS_MAX: usize = 10_000;
/// Most bytes read of `/etc/hosts` and of `/etc/resolv.conf`.
pub const NAME_FILE_BYTES_MAX: u64 = 1 << 20;

// ---- Proxies and TLS ---------------------------------------------------------------------------------------

/// Longest head of an HTTP proxy's answer to CONNECT, in bytes. Real ones have some hundred.
pub const PROXY_HEAD_BYTES_MAX: usize = 8 << 10;
/// Longest user name and longest password for a proxy, in bytes: what RFC 1929 can carry.
pub const PROXY_LOGIN_BYTES_MAX: usize = 255;
/// Datagrams that wait until a proxy carries them; more are lost, and sent again after [`UDP_RETRY`].
pub const RELAY_WAITING_MAX: usize = 64;
/// The stream for which a proxy carries datagrams is closed when no answer has come through it for so long, and opened anew
/// for the next announce: routers forget such streams without a word.
pub const RELAY_QUIET_MAX: Duration = Duration::from_secs(60);
/// Entries of `NO_PROXY` that are kept.
pub const NO_PROXY_MAX: usize = 256;
/// TLS connections at a time, over all torrents; others wait. See [`TLS_CONNECTION_BYTES_MAX`].
pub const TLS_CONNECTIONS_MAX: usize = 16;
/// Memory that one TLS connection may take, in bytes; it is not part of `--memory`. rustls joins handshake messages of at
/// most 64 KiB, keeps the certificates in them, and a record of 16 KiB as it came and decrypted. A test measures 15 KB for one
/// that waits for its answer, and 107 KB where the server sends as many certificates as it can.
pub const TLS_CONNECTION_BYTES_MAX: usize = 128 << 10;
/// Most bytes read of one file with certificates of authorities. The usual one has 220 KB.
pub const ROOTS_FILE_BYTES_MAX: u64 = 8 << 20;
/// Most certificates of authorities that are taken from the system; there are about 150.
pub const ROOTS_MAX: usize = 2_000;
/// Servers with which TLS can be resumed: what is kept for one takes some kilobytes, at most the 64 KiB of a ticket and those
/// of its certificates.
pub const TLS_RESUMED_SERVERS_MAX: usize = 8;

// ---- The user ----------------------------------------------------------------------------------------------

/// Longest command line on stdin, in bytes.
pub const COMMAND_BYTES_MAX: usize = 4 << 10;
/// Most `--down-limit` and `--up-limit`, in KiB/s: a thousand times what networks carry.
pub const LIMIT_KIB_MAX: u64 = 1 << 30;
/// Most `--up-slots`.
pub const UP_SLOTS_MAX: u32 = PEERS_MAX;
/// Torrents of one run.
pub const TORRENTS_MAX: usize = 1_000;
