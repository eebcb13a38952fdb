//! The values of options: numbers within bounds, words of which there are few.

use crate::app::cli::Fault;
use crate::base::limits;
use crate::base::text::Quoted;
use crate::base::units::KIB;
use crate::session::peer_address;
use std::fmt;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// A number of `unit`; `None` if the option is not given.
///
/// # Errors
/// What is allowed.
pub fn number<N: FromStr + PartialOrd + fmt::Display>(
    option: &str,
    text: Option<&str>,
    allowed: RangeInclusive<N>,
    unit: &str,
) -> Result<Option<N>, Fault> {
    let Some(text) = text else { return Ok(None) };
    let number = text.parse().ok().filter(|number| allowed.contains(number));
    number.map(Some).ok_or_else(|| {
        let (least, most) = (allowed.start(), allowed.end());
        Fault::new(format!("{option} {}: allowed is {unit} from {least} to {most}", Quoted(text)))
    })
}

/// The length of a piece: what all clients can read is a power of two, and a block at least.
///
/// # Errors
/// What is allowed.
pub fn piece_bytes(text: &str) -> Result<u32, Fault> {
    let (least, most) = (limits::BLOCK_BYTES / KIB, limits::PIECE_BYTES_MAX / KIB);
    let kib = text.parse().ok().filter(|kib: &u32| kib.is_power_of_two() && (least..=most).contains(kib));
    kib.map(|kib| kib * KIB).ok_or_else(|| {
        let text = Quoted(text);
        Fault::new(format!("--piece-size {text}: allowed is a power of two from {least} to {most}, in KiB"))
    })
}

/// Where a peer is.
///
/// # Errors
/// What is allowed.
pub fn peer(text: &str) -> Result<SocketAddr, Fault> {
    let fault = || Fault::new(format!("--peer {}: allowed is IP:PORT or [IPv6]:PORT", Quoted(text)));
    peer_address(text).ok_or_else(fault)
}

/// Whether space is reserved.
///
/// # Errors
/// What is allowed.
pub fn reserve(text: &str) -> Result<bool, Fault> {
    match text {
        "full" => Ok(true),
        "sparse" => Ok(false),
        _ => Err(Fault::new(format!("--allocate {}: allowed is full or sparse", Quoted(text)))),
    }
}
