//! The forest of segments as the attention kernels read it, kept from layer to layer.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use relscale::backend::Segment;

use crate::device::Device;
use crate::error::CudaError;
use crate::memory::Memory;

/// Number of queries of a warp of the tensor-core kernel.
const QUERIES: usize = 16;
/// Number of keys of a block of the tensor-core kernel.
const KEYS: usize = 64;
/// Segment of a warp without queries.
const NONE: u32 = u32::MAX;
/// Numbers of warps of a tile. The large one reads keys and values half as often, and is idle for the most
/// part where segments are short.
const WARPS: [usize; 2] = [4, 8];
/// Number of uploads kept: layers alternate between few.
const KEPT: usize = 4;

/// The last uploads, by the values they were made from.
#[derive(Debug)]
pub(crate) struct Recent<K, V>(Mutex<Vec<(K, Arc<V>)>>);

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K, V> Recent<K, V> {
    /// The value whose key satisfies `is`, or the one that `make` returns.
    pub(crate) fn find(
        &self,
        is: impl Fn(&K) -> bool,
        make: impl FnOnce() -> Result<(K, V), CudaError>,
    ) -> Result<Arc<V>, CudaError> {
        // A panic on another thread leaves the list whole, so its lock can be taken anyway.
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, value)) = kept.iter().find(|(key, _)| is(key)) {
            return Ok(Arc::clone(value));
        }
        let (key, value) = make()?;
        if kept.len() == KEPT {
            kept.remove(0);
        }
        let value = Arc::new(value);
        kept.push((key, Arc::clone(&value)));
        Ok(value)
    }
}

/// A forest on the device.
#[derive(Debug)]
pub(crate) struct Forest {
    /// Start, length, parent and position of each segment; a root is its own parent.
    pub(crate) segments: Memory,
    /// Segment of each row.
    pub(crate) segment_of: Memory,
    /// Number of warps of a tile of queries.
    pub(crate) warps: u32,
    /// Segment and offset in it of each warp of each tile, from the first query on.
    pub(crate) tiles: Memory,
    /// Number of blocks of keys that all warps of a tile share, for each tile.
    pub(crate) shared: Memory,
    pub(crate) tile_count: u32,
}

impl Forest {
    /// Uploads segments that have been checked and have fewer than 2³¹ rows, of which the first `past`
    /// have no query. If `large`, there is a kernel for large tiles.
    pub(crate) fn new(
        device: &Arc<Device>,
        segments: &[Segment],
        past: usize,
        large: bool,
    ) -> Result<Self, CudaError> {
        let (mut words, mut segment_of) = (Vec::new(), Vec::new());
        for (index, s) in segments.iter().enumerate() {
            let parent = s.parent.unwrap_or(index);
            words.extend([s.start, s.len, parent, s.position].map(|x| x as u32));
            segment_of.extend(std::iter::repeat_n(index as u32, s.len));
        }
        let warps = WARPS[usize::from(large && fills_large_tiles(segments, past))];
        let tiles = tiles(segments, past, warps);
        let (mut places, mut shared) = (Vec::<u32>::new(), Vec::<u32>::new());
        for tile in &tiles {
            places.extend(tile.warps.iter().flatten());
            places.extend([NONE, 0].repeat(warps - tile.warps.len()));
            shared.push(tile.shared);
        }
        Ok(Self {
            segments: device.upload(&words)?,
            segment_of: device.upload(&segment_of)?,
            warps: warps as u32,
            tiles: device.upload(&places)?,
            shared: device.upload(&shared)?,
            tile_count: tiles.len() as u32,
        })
    }
}

/// Queries that one block of threads computes.
#[derive(Debug, PartialEq, Eq)]
struct Tile {
    /// Segment, and offset in it of the first query, of each warp; one segment's warps side by side.
    warps: Vec<[u32; 2]>,
    /// Number of blocks of keys, from position 0 on, that all warps see: what a prefix has in full.
    shared: u32,
}

impl Tile {
    /// Number of blocks of keys that the tile takes.
    fn blocks(&self, segments: &[Segment]) -> usize {
        let shared = self.shared as usize;
        let runs = self.warps.chunk_by(|a, b| a[0] == b[0]);
        let own = runs.map(|run| {
            let [index, offset] = run[run.len() - 1].map(|x| x as usize);
            let end = (offset + QUERIES).min(segments[index].len);
            (segments[index].position + end).div_ceil(KEYS) - shared
        });
        shared + own.sum::<usize>()
    }
}

/// First query of a segment, as an offset in it.
fn first_query(segment: &Segment, past: usize) -> usize {
    past.saturating_sub(segment.start).min(segment.len)
}

/// True if at least half of the queries fill large tiles of one segment.
fn fills_large_tiles(segments: &[Segment], past: usize) -> bool {
    let size = WARPS[1] * QUERIES;
    let queries = segments.iter().map(|s| s.len - first_query(s, past));
    let (all, full) = queries.fold((0, 0), |(all, full), n| (all + n, full + n / size * size));
    full * 2 >= all
}

/// Tiles of up to `warps` warps, those with the most keys first: the device starts blocks in this order, and a
/// long one that starts last would leave it idle.
///
/// The rest of a segment after its full tiles shares a tile with its siblings, if they have whole blocks of keys
/// in common.
fn tiles(segments: &[Segment], past: usize, warps: usize) -> Vec<Tile> {
    let mut found = Vec::new();
    let mut siblings: BTreeMap<usize, Vec<[u32; 2]>> = BTreeMap::new();
    for (index, s) in segments.iter().enumerate() {
        let offsets = (first_query(s, past)..s.len).step_by(QUERIES);
        let all: Vec<[u32; 2]> = offsets.map(|at| [index as u32, at as u32]).collect();
        for tile in all.chunks(warps) {
            match s.parent {
                Some(parent) if tile.len() < warps && s.position >= KEYS => {
                    siblings.entry(parent).or_default().extend(tile);
                }
                _ => found.push(Tile {
                    warps: tile.to_vec(),
                    shared: 0,
                }),
            }
        }
    }
    for left in siblings.values() {
        for tile in left.chunks(warps) {
            let first = tile[0][0];
            let alone = tile.iter().all(|warp| warp[0] == first);
            let common = segments[first as usize].position / KEYS;
            found.push(Tile {
                warps: tile.to_vec(),
                shared: if alone { 0 } else { common as u32 },
            });
        }
    }
    found.sort_by_key(|tile| Reverse(tile.blocks(segments)));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(start: usize, len: usize, parent: Option<usize>, position: usize) -> Segment {
        Segment {
            start,
            len,
            parent,
            position,
        }
    }

    /// Segment and first offset of each tile.
    fn starts(tiles: &[Tile]) -> Vec<[u32; 2]> {
        tiles.iter().map(|tile| tile.warps[0]).collect()
    }

    #[test]
    fn tiles_with_the_most_keys_come_first() {
        let forest = [
            segment(0, 150, None, 0),
            segment(150, 3, Some(0), 150),
            segment(153, 70, None, 0),
        ];
        let all = tiles(&forest, 0, 4);
        assert_eq!(
            starts(&all),
            [[0, 128], [1, 0], [0, 64], [2, 64], [0, 0], [2, 0]]
        );
        // Rows before the first query have no tile.
        assert_eq!(
            starts(&tiles(&forest, 100, 4)),
            [[0, 100], [1, 0], [2, 64], [2, 0]]
        );
    }

    #[test]
    fn siblings_share_tiles() {
        let mut forest = vec![segment(0, 150, None, 0)];
        for choice in 0..6 {
            forest.push(segment(150 + 10 * choice, 10, Some(0), 150));
        }
        let all = tiles(&forest, 150, 4);
        let [first, second] = &all[..] else {
            panic!("{all:?}");
        };
        assert_eq!(first.warps, [[1, 0], [2, 0], [3, 0], [4, 0]]);
        assert_eq!(second.warps, [[5, 0], [6, 0]]);
        // Of 150 positions the first 128 are whole blocks; each choice adds a block of its own.
        assert_eq!([first.shared, second.shared], [2, 2]);
        assert_eq!([first, second].map(|t| t.blocks(&forest)), [6, 4]);
    }

    /// Siblings of different parents see different keys, and a root shares none.
    #[test]
    fn strangers_share_no_tile() {
        let forest = [
            segment(0, 64, None, 0),
            segment(64, 64, None, 0),
            segment(128, 5, Some(0), 64),
            segment(133, 5, Some(1), 64),
            segment(138, 5, None, 0),
            segment(143, 5, Some(4), 5),
            segment(148, 5, Some(4), 5),
        ];
        let all = tiles(&forest, 128, 4);
        assert_eq!(all.len(), 5);
        assert!(all.iter().all(|tile| tile.shared == 0));
    }

    /// The rest after full tiles joins its siblings, and a tile of one segment shares nothing.
    #[test]
    fn rests_share_tiles() {
        let forest = [
            segment(0, 64, None, 0),
            segment(64, 70, Some(0), 64),
            segment(134, 20, Some(0), 64),
        ];
        let all = tiles(&forest, 64, 4);
        let packed: Vec<_> = all.iter().filter(|tile| tile.shared == 1).collect();
        assert_eq!(all.len(), 2);
        assert_eq!(packed[0].warps, [[1, 64], [2, 0], [2, 16]]);
    }

    #[test]
    fn large_tiles_are_for_long_segments() {
        let long = [segment(0, 300, None, 0), segment(300, 40, Some(0), 300)];
        assert!(fills_large_tiles(&long, 0));
        // What is left to ask is short.
        assert!(!fills_large_tiles(&long, 300));
    }
}
