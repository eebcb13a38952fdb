//! What a torrent keeps beside its output, by name.

use crate::base::limits::PATH_COMPONENT_BYTES_MAX;
use crate::meta::Metainfo;

/// The resume state, `.NAME.swarmlet`, or with the info-hash for a name that is too long for that; and the next one.
pub fn state_names(metainfo: &Metainfo) -> [Vec<u8>; 2] {
    let fits = metainfo.name.len() + b"..swarmlet.new".len() <= PATH_COMPONENT_BYTES_MAX;
    let hash = metainfo.info_hash.to_string();
    let middle = if fits { &metainfo.name[..] } else { hash.as_bytes() };
    [[b".", middle, b".swarmlet"].concat(), [b".", middle, b".swarmlet.new"].concat()]
}
