//! The forest of segments as the attention kernels read it, kept from layer to layer.

use std::sync::{Arc, Mutex, PoisonError};

use relscale::backend::Segment;

use crate::device::Device;
use crate::error::CudaError;
use crate::memory::Memory;

/// Number of queries of a block of the tensor-core kernel.
const TILE: usize = 64;
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
    /// Segment and offset in it of each tile of queries, from the first query on.
    pub(crate) tiles: Memory,
    pub(crate) tile_count: u32,
}

impl Forest {
    /// Uploads segments that have been checked and have fewer than 2³¹ rows, of which the first `past`
    /// have no query.
    pub(crate) fn new(
        device: &Arc<Device>,
        segments: &[Segment],
        past: usize,
    ) -> Result<Self, CudaError> {
        let (mut words, mut segment_of) = (Vec::new(), Vec::new());
        for (index, s) in segments.iter().enumerate() {
            let parent = s.parent.unwrap_or(index);
            words.extend([s.start, s.len, parent, s.position].map(|x| x as u32));
            segment_of.extend(std::iter::repeat_n(index as u32, s.len));
        }
        let tiles = tiles(segments, past).concat();
        Ok(Self {
            segments: device.upload(&words)?,
            segment_of: device.upload(&segment_of)?,
            tile_count: (tiles.len() / 2) as u32,
            tiles: device.upload(&tiles)?,
        })
    }
}

/// Segment and offset of each tile of queries, those with the most keys first: the device starts blocks in
/// this order, and a long one that starts last would leave it idle.
fn tiles(segments: &[Segment], past: usize) -> Vec<[u32; 2]> {
    let mut found = Vec::new();
    for (index, s) in segments.iter().enumerate() {
        for offset in (past.saturating_sub(s.start)..s.len).step_by(TILE) {
            found.push([index as u32, offset as u32]);
        }
    }
    found.sort_by_key(|&[index, offset]| {
        std::cmp::Reverse(segments[index as usize].position + offset as usize)
    });
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tiles_with_the_most_keys_come_first() {
        let segment = |start, len, parent, position| Segment {
            start,
            len,
            parent,
            position,
        };
        let forest = [
            segment(0, 150, None, 0),
            segment(150, 3, Some(0), 150),
            segment(153, 70, None, 0),
        ];
        let all = [[1, 0], [0, 128], [0, 64], [2, 64], [0, 0], [2, 0]];
        assert_eq!(tiles(&forest, 0), all);
        // Rows before the first query have no tile.
        assert_eq!(tiles(&forest, 100), [[1, 0], [0, 100], [2, 64], [2, 0]]);
    }
}
