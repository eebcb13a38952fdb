//! What is on disk before anything is done: is there something to continue, something in the way, room enough?

use super::fault::{Found, OpenFault};
use super::reserve::{Allocate, allocated};
use super::tree::Tree;
use crate::meta::{File, Layout};
use std::fs::Metadata;
use std::io;

/// Whether anything of the torrent is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Nothing that could hold a byte: no check is needed.
    Nothing,
    /// Files with bytes in them: a check finds out what they are worth.
    Something,
}

/// Looks at every place where a file has to be, and compares what is needed, `claimed` by others of the run included, with
/// what is free. Also answers the bytes that the files of the torrent still need.
pub(super) fn survey(
    tree: &mut Tree,
    layout: &Layout,
    allocate: Allocate,
    claimed: u64,
) -> Result<(Existing, u64), OpenFault> {
    let (mut existing, mut needed) = (Existing::Nothing, 0_u64);
    for file in layout.files().filter(|file| !file.is_pad()) {
        let mut room = 0;
        if let Some(metadata) = tree.look(&file).map_err(|error| in_the_way(tree, &file, error))? {
            usable(tree, &file, &metadata)?;
            room = allocated(&metadata).min(file.length);
            if metadata.len() > 0 {
                existing = Existing::Something;
            }
        }
        needed += file.length - room;
    }
    let wanted = needed.saturating_add(claimed);
    match (allocate, tree.free_bytes()) {
        // What needs nothing more is not refused because of others.
        (Allocate::Full, Some(free)) if needed > 0 && wanted > free => {
            Err(OpenFault::NoSpace { needed: wanted, free })
        }
        _ => Ok((existing, needed)),
    }
}

/// A plain file that is not too long can be continued; everything else is in the way.
fn usable(tree: &Tree, file: &File<'_>, metadata: &Metadata) -> Result<(), OpenFault> {
    let (length, expected) = (metadata.len(), file.length);
    let found = match metadata.is_file() {
        true if length <= expected => return Ok(()),
        true => Found::Longer { length, expected },
        false => Found::of(metadata),
    };
    Err(OpenFault::Occupied { path: tree.place(file.components()), found })
}

/// Finds what stopped the way down to `file`: the first thing that is no directory, or else the fault itself.
fn in_the_way(tree: &Tree, file: &File<'_>, error: io::Error) -> OpenFault {
    let directories = file.components().count().saturating_sub(1);
    for depth in 1..=directories {
        let path = tree.place(file.components().take(depth));
        match std::fs::symlink_metadata(&path) {
            Ok(metadata) if !metadata.is_dir() => {
                return OpenFault::Occupied { path, found: Found::of(&metadata) };
            }
            _ => {}
        }
    }
    OpenFault::System { path: tree.place(file.components()), error }
}
