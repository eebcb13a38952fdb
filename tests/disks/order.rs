//! In which order the real program makes things durable, as the device sees it: the bytes, then the resume state beside the
//! last one, then its name.

use crate::mounts::Faults;
use crate::process::Scratch;
use crate::stage::{Client, Payload, Seeder};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use swarmlet::meta::Metainfo;
use swarmlet::resume::State;

const PIECE: usize = 64 << 10;
const PAGE: u64 = 4096;

/// What the device has for certain, line by line.
struct Device {
    metainfo: Metainfo,
    /// The folder of each thing and its name, by its number.
    names: BTreeMap<u64, (u64, String)>,
    /// Things whose name is not on the device.
    nameless: BTreeSet<u64>,
    /// Pages that were written and not synced, and those that were synced.
    dirty: BTreeSet<(u64, u64)>,
    clean: BTreeSet<(u64, u64)>,
    /// The state that took the place of another, as long as the folder is not synced.
    renamed: Option<u64>,
    /// Pieces that each state has called durable.
    claims: Vec<u32>,
}

impl Device {
    fn line(&mut self, line: &str) {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |nth: usize| words[nth].parse::<u64>().unwrap();
        match words[0] {
            "make" => self.make(number(1), number(2), words[3]),
            "write" => {
                for page in number(2) / PAGE..(number(2) + number(3)).div_ceil(PAGE) {
                    self.dirty.insert((number(1), page));
                    self.clean.remove(&(number(1), page));
                }
            }
            "sync" => self.sync(number(1)),
            "rename" => self.rename(number(1), number(2), words[3]),
            other => panic!("{other}"),
        }
    }

    fn make(&mut self, folder: u64, thing: u64, name: &str) {
        assert!(
            self.renamed.is_none(),
            "the next state is begun before the last one has its name for certain"
        );
        self.names.insert(thing, (folder, name.to_string()));
        self.nameless.insert(thing);
    }

    fn sync(&mut self, thing: u64) {
        let dirty = std::mem::take(&mut self.dirty).into_iter();
        let (mut now_clean, dirty) = dirty.partition(|page| page.0 == thing);
        self.dirty = dirty;
        self.clean.append(&mut now_clean);
        self.nameless.retain(|named| self.names[named].0 != thing);
        if self.renamed.is_some_and(|state| self.names[&state].0 == thing) {
            self.renamed = None;
        }
    }

    fn rename(&mut self, folder: u64, state: u64, content: &str) {
        assert_eq!((self.names[&state].0, self.renamed), (folder, None));
        assert!(self.is_clean(state), "the state takes the place of the last one before it is on the device");
        let hex = |at: usize| u8::from_str_radix(&content[at..at + 2], 16).unwrap();
        let bytes: Vec<u8> = (0..content.len()).step_by(2).map(hex).collect();
        let geometry = self.metainfo.geometry();
        let state_said = State::decode(&bytes, self.metainfo.info_hash, 1, geometry.pieces).unwrap();
        let payload = self.number_of("payload");
        for piece in state_said.durable.iter() {
            let range = geometry.piece_range(piece);
            let payload = payload.expect("it was made");
            let mut pages = range.start / PAGE..range.end.div_ceil(PAGE);
            assert!(
                pages.all(|page| self.clean.contains(&(payload, page))),
                "piece {piece} is not on the device"
            );
            self.assert_found(payload);
        }
        self.claims.push(state_said.durable.count());
        self.nameless.remove(&state);
        self.renamed = Some(state);
    }

    fn number_of(&self, wanted: &str) -> Option<u64> {
        self.names.iter().find(|(_, (_, name))| name == wanted).map(|(number, _)| *number)
    }

    fn is_clean(&self, thing: u64) -> bool {
        let written = self.clean.iter().any(|page| page.0 == thing);
        written && !self.dirty.iter().any(|page| page.0 == thing)
    }

    /// After a power cut it would be found, from the top down.
    fn assert_found(&self, mut thing: u64) {
        while let Some((folder, name)) = self.names.get(&thing) {
            assert!(!self.nameless.contains(&thing), "the name {name} is not on the device");
            thing = *folder;
        }
    }
}

#[test]
fn the_device_has_the_bytes_before_the_state_and_the_state_before_its_name() {
    let scratch = Scratch::new();
    let payload = Payload::new(&scratch, 24, PIECE);
    let disk = Faults::new(&scratch.folder("mount"));
    let seeder = Seeder::new(&payload, 1_300);
    disk.tell("log");
    let folder = disk.path.join("made/here");
    let mut client = Client::start(&scratch, &payload, &folder, &["--peer", &seeder.peer]);
    assert_eq!(client.end().code(), Some(0), "{}", client.log());
    payload.assert_same(&folder);
    let mut device = Device {
        metainfo: Metainfo::parse(&fs::read(&payload.torrent).unwrap()).unwrap(),
        names: BTreeMap::new(),
        nameless: BTreeSet::new(),
        dirty: BTreeSet::new(),
        clean: BTreeSet::new(),
        renamed: None,
        claims: Vec::new(),
    };
    disk.log().lines().for_each(|line| device.line(line));
    let growing = device.claims.windows(2).filter(|claims| claims[0] < claims[1]).count();
    assert!(growing >= 2, "too few states to judge: {:?}", device.claims);
    let file = device.number_of("payload").expect("it was made");
    assert!(device.is_clean(file), "complete was said of a file that is not on the device");
    device.assert_found(file);
    seeder.end();
}
