//! How the bounds fit together: checked by the compiler.

use super::*;

const _: () = assert!((TORRENT_FILE_BYTES_MAX + FILES_MAX * 300) < u32::MAX as usize); // paths are found by u32
const _: () = assert!(FILES_MAX * 10 < BENCODE_TOKENS_MAX as usize);
const _: () = assert!(BLOCK_BYTES <= REQUEST_BYTES_MAX);
const _: () = assert!(EXTENT_BYTES.is_multiple_of(BLOCK_BYTES as u64));
const _: () = assert!(SUSPECT_BLOCKS_MAX >= (PIECE_BYTES_MAX / BLOCK_BYTES) as usize);
const _: () = assert!(REQUESTS_MIN <= REQUESTS_START && REQUESTS_START <= REQUESTS_MAX);
const _: () = assert!(REQUESTS_HEARD_MIN <= REQQ);
const _: () = assert!(REQQ as usize * REQUEST_MESSAGE_BYTES <= OUTBOX_BYTES_MAX);
/// A whole `have` or `suggest` message, in bytes.
const HAVE_BYTES: usize = 9;
const _: () = assert!(RUN_PIECES_MAX as usize * HAVE_BYTES <= OUTBOX_REST_BYTES);
const _: () = assert!(SUPER_SEED_RUNS as usize * RUN_PIECES_MAX as usize <= SUGGESTED_MAX);
const _: () = assert!(
    OUTBOX_HAVES_BYTES
        + RUN_PIECES_MAX as usize * HAVE_BYTES
        + REQQ as usize * REQUEST_MESSAGE_BYTES
        + OUTBOX_REST_BYTES
        <= OUTBOX_BYTES_MAX
);
const _: () = assert!(REQUESTS_MAX as usize * REQUEST_MESSAGE_BYTES <= OUTBOX_BYTES_MAX);
const _: () = assert!(
    OUTBOX_HAVES_BYTES + OUTBOX_REST_BYTES + REQQ as usize * REQUEST_MESSAGE_BYTES <= OUTBOX_BYTES_MAX
);
const _: () =
    assert!(TURN_READ_BYTES >= (SCATTER_BLOCKS_MAX + 1) * (BLOCK_BYTES as usize + PIECE_HEADER_BYTES) / 2);
const _: () = assert!(PIECES_MAX as usize * 20 + (1 << 20) <= TORRENT_FILE_BYTES_MAX * 2);
const _: () = assert!(UDP_RETRY_LEAVING.as_millis() * 2 < STOP_TIMEOUT.as_millis());
const _: () = assert!(COMPLETED_TIMEOUT.as_secs() < STOP_TIMEOUT.as_secs());
const _: () = assert!(HALF_OPEN_MAX < PEERS_DEFAULT as usize && PEERS_DEFAULT <= PEERS_MAX);
const _: () = assert!(ARRIVALS_PER_ADDRESS_MAX < ARRIVALS_MAX && ARRIVALS_MAX < PEERS_DEFAULT as usize);
const _: () = assert!(USELESS_AGE_MIN.as_secs() < SOURCE_PATIENCE.as_secs());
const _: () = assert!(CONNECT_TIMEOUT.as_secs() < OUTAGE_MIN.as_secs());
const _: () = assert!(HTTP_HEAD_BYTES_MAX + HTTP_BODY_BYTES_MAX <= ANSWERS_BYTES_MAX);
const _: () = assert!(ANNOUNCE_INTERVAL_MIN.as_secs() < NEEDY_INTERVAL_MIN.as_secs());
const _: () = assert!(READ_AHEAD_FILES_MAX < OPEN_FILES_MAX && READ_AHEAD_BYTES >= CHECK_SLICE_BYTES as u64);
const _: () = assert!(READ_PATIENCE_MAX.as_secs() * 2 < SEND_PATIENCE.as_secs());
const _: () = assert!(UNSYNCED_BYTES_MIN >= 2 * EXTENT_BYTES && UNSYNCED_BYTES_MIN <= UNSYNCED_BYTES_MAX);
const _: () = assert!(SYNC_AGE_MAX.as_secs() + STATE_INTERVAL.as_secs() < STATE_AGE_MAX.as_secs());
const _: () = assert!(TLS_CONNECTIONS_MAX * TLS_CONNECTION_BYTES_MAX <= 2 * MIB as usize);
const _: () = assert!(MEMORY_MIN_MIB <= MEMORY_DEFAULT_MIB && MEMORY_DEFAULT_MIB <= MEMORY_MAX_MIB);
