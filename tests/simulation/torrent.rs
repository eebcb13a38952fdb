//! Torrents made for the simulator: bytes that follow from a seed, and a `.torrent` written by an encoder of our own.

use sha1::{Digest, Sha1};
use std::ops::Range;
use std::sync::Arc;
use swarmlet::base::Rng;
use swarmlet::meta::Metainfo;

/// A torrent and the truth about its bytes.
#[derive(Debug)]
pub struct Torrent {
    pub metainfo: Arc<Metainfo>,
    /// The bytes repeat with this period, so that a torrent of many pieces costs little memory.
    pattern: Vec<u8>,
    pub total_bytes: u64,
    pub piece_bytes: u32,
    pub pieces: u32,
}

/// What a torrent shall look like.
#[derive(Clone, Debug)]
pub struct Shape {
    pub piece_bytes: u32,
    /// Lengths of its files; one makes a single-file torrent.
    pub files: Vec<u64>,
    /// All pieces are alike: many of them cost one hash.
    pub alike: bool,
    /// Trackers, tier by tier.
    pub tiers: Vec<Vec<String>>,
}

impl Shape {
    /// One file without trackers.
    pub fn single(piece_bytes: u32, total_bytes: u64) -> Self {
        Self { piece_bytes, files: vec![total_bytes], alike: false, tiers: Vec::new() }
    }

    /// A random small torrent: 1 to 64 pieces of 16 to 256 KiB, about 1 MiB in all; sometimes of several files.
    pub fn random(rng: &mut Rng) -> Self {
        let piece_bytes = 16_384 << rng.below(5);
        let most = (1_500_000 / piece_bytes).clamp(1, 64);
        let pieces = u64::from(1 + rng.below(most));
        let total =
            (pieces * u64::from(piece_bytes)).saturating_sub(u64::from(rng.below(piece_bytes))).max(1);
        let mut files = vec![];
        let mut left = total;
        while rng.one_in(2) && left > 1 && files.len() < 9 {
            let length = u64::from(rng.below(left.min(1 << 30) as u32));
            files.push(length);
            left -= length;
        }
        files.push(left);
        Self { piece_bytes, files, alike: false, tiers: Vec::new() }
    }
}

impl Torrent {
    pub fn new(shape: &Shape, rng: &mut Rng) -> Arc<Self> {
        let total_bytes: u64 = shape.files.iter().sum();
        let period = if shape.alike { u64::from(shape.piece_bytes) } else { total_bytes };
        let mut pattern = vec![0; period as usize];
        rng.fill(&mut pattern);
        let pieces = total_bytes.div_ceil(u64::from(shape.piece_bytes)) as u32;
        let mut torrent = Self {
            metainfo: Arc::new(Metainfo::parse(TINY).expect("a sound torrent")),
            pattern,
            total_bytes,
            piece_bytes: shape.piece_bytes,
            pieces,
        };
        let bytes = torrent.encode(shape);
        torrent.metainfo = Arc::new(Metainfo::parse(&bytes).expect("a sound torrent"));
        Arc::new(torrent)
    }

    /// The true bytes of a range.
    pub fn bytes(&self, range: Range<u64>) -> Vec<u8> {
        let period = self.pattern.len() as u64;
        let (mut at, mut bytes) = (range.start, Vec::with_capacity((range.end - range.start) as usize));
        while at < range.end {
            let from = at % period;
            let here = (period - from).min(range.end - at);
            bytes.extend_from_slice(&self.pattern[from as usize..(from + here) as usize]);
            at += here;
        }
        bytes
    }

    /// True if `bytes` are the torrent's at `offset`.
    pub fn is_right(&self, offset: u64, bytes: &[u8]) -> bool {
        self.bytes(offset..offset + bytes.len() as u64) == bytes
    }

    pub fn piece_range(&self, piece: u32) -> Range<u64> {
        let start = u64::from(piece) * u64::from(self.piece_bytes);
        start..(start + u64::from(self.piece_bytes)).min(self.total_bytes)
    }

    /// True if such a block may be asked for: aligned, and as long as its place allows.
    pub fn is_block(&self, [piece, begin, length]: [u32; 3]) -> bool {
        let range = self.piece_range(piece);
        let left = (range.end.saturating_sub(range.start)).saturating_sub(begin.into());
        piece < self.pieces
            && begin.is_multiple_of(16_384)
            && u64::from(length) == left.min(16_384)
            && left > 0
    }

    fn encode(&self, shape: &Shape) -> Vec<u8> {
        let mut info = b"d".to_vec();
        if let [length] = shape.files[..] {
            info.extend(format!("6:lengthi{length}e").bytes());
        } else {
            info.extend(b"5:filesl");
            for (nth, length) in shape.files.iter().enumerate() {
                let name = format!("file {nth}");
                info.extend(format!("d6:lengthi{length}e4:pathl{}:{name}ee", name.len()).bytes());
            }
            info.push(b'e');
        }
        info.extend(
            format!("4:name4:data12:piece lengthi{}e6:pieces{}:", self.piece_bytes, self.pieces * 20).bytes(),
        );
        let alike: Option<[u8; 20]> = shape.alike.then(|| Sha1::digest(&self.pattern).into());
        for piece in 0..self.pieces {
            let range = self.piece_range(piece);
            let is_whole = range.end - range.start == u64::from(self.piece_bytes);
            let digest = alike.filter(|_| is_whole).unwrap_or_else(|| Sha1::digest(self.bytes(range)).into());
            info.extend(digest);
        }
        info.push(b'e');
        let mut bytes = b"d13:announce-listl".to_vec();
        for tier in &shape.tiers {
            bytes.push(b'l');
            tier.iter().for_each(|url| bytes.extend(format!("{}:{url}", url.len()).bytes()));
            bytes.push(b'e');
        }
        bytes.extend(b"e4:info");
        bytes.extend(info);
        bytes.push(b'e');
        bytes
    }
}

/// Stands in until the real one is written.
const TINY: &[u8] = b"d4:infod6:lengthi1e4:name1:a12:piece lengthi1e6:pieces20:aaaaaaaaaaaaaaaaaaaaee";
