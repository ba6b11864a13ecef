//! Device memory, and the shared memory of a block with its race shadow.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// A fault of a memory access.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MemoryFault {
    /// Outside every live allocation; says where the nearest one is.
    Bounds(String),
    Misaligned(String),
    /// A race or a read of data still in flight.
    Race(String),
}

/// Addresses of device memory start here.
const FIRST: u64 = 0x0000_7f00_0000_0000;
/// Allocations start at multiples of this.
const ALIGN: u64 = 256;
/// Bytes around an allocation that belong to nobody.
const RED_ZONE: u64 = 4096;

/// One allocation; words are atomic because blocks run on several host threads.
#[derive(Debug)]
pub(crate) struct Allocation {
    pub(crate) base: u64,
    pub(crate) size: u64,
    words: Box<[AtomicU32]>,
}

impl Allocation {
    fn new(base: u64, size: u64) -> Self {
        // All ones is not-a-number in every floating-point type.
        let words = (0..size.div_ceil(4))
            .map(|_| AtomicU32::new(u32::MAX))
            .collect();
        Self { base, size, words }
    }

    /// The little-endian number of this many bytes (1, 2, 4 or 8), aligned to its size.
    pub(crate) fn load(&self, offset: u64, bytes: u64) -> u64 {
        let word = |i: u64| u64::from(self.words[i as usize].load(Ordering::Relaxed));
        match bytes {
            8 => word(offset / 4) | word(offset / 4 + 1) << 32,
            4 => word(offset / 4),
            _ => (word(offset / 4) >> (8 * (offset % 4))) & ((1 << (8 * bytes)) - 1),
        }
    }

    pub(crate) fn store(&self, offset: u64, bytes: u64, value: u64) {
        let i = (offset / 4) as usize;
        match bytes {
            8 => {
                self.words[i].store(value as u32, Ordering::Relaxed);
                self.words[i + 1].store((value >> 32) as u32, Ordering::Relaxed);
            }
            4 => self.words[i].store(value as u32, Ordering::Relaxed),
            _ => {
                let shift = 8 * (offset % 4);
                let mask = ((1_u32 << (8 * bytes)) - 1) << shift;
                let put = ((value as u32) << shift) & mask;
                let change = |w: u32| Some((w & !mask) | put);
                // The closure always gives a value, so this cannot fail.
                let _ = self.words[i].fetch_update(Ordering::Relaxed, Ordering::Relaxed, change);
            }
        }
    }

    /// The bytes from this offset on.
    pub(crate) fn read(&self, offset: u64, out: &mut [u8]) {
        let mut at = offset;
        let mut out = out;
        while !out.is_empty() {
            let word = self.words[(at / 4) as usize]
                .load(Ordering::Relaxed)
                .to_le_bytes();
            let start = (at % 4) as usize;
            let n = out.len().min(4 - start);
            out[..n].copy_from_slice(&word[start..start + n]);
            out = &mut out[n..];
            at += n as u64;
        }
    }

    pub(crate) fn write(&self, offset: u64, data: &[u8]) {
        let mut at = offset;
        let mut data = data;
        while !data.is_empty() {
            if at.is_multiple_of(4) && data.len() >= 4 {
                self.store(
                    at,
                    4,
                    u64::from(u32::from_le_bytes([data[0], data[1], data[2], data[3]])),
                );
                at += 4;
                data = &data[4..];
            } else {
                self.store(at, 1, u64::from(data[0]));
                at += 1;
                data = &data[1..];
            }
        }
    }
}

/// The allocations as a kernel sees them, sorted by address.
#[derive(Clone, Debug, Default)]
pub(crate) struct Snapshot {
    live: Arc<Vec<Arc<Allocation>>>,
    freed: Arc<BTreeMap<u64, u64>>,
}

impl Snapshot {
    /// The allocation that holds all these bytes, and the offset in it. `hint` remembers where the last
    /// search ended.
    #[inline]
    pub(crate) fn find(
        &self,
        address: u64,
        bytes: u64,
        hint: &mut u32,
    ) -> Result<(&Allocation, u64), MemoryFault> {
        if let Some(a) = self.live.get(*hint as usize) {
            let offset = address.wrapping_sub(a.base);
            if offset < a.size && a.size - offset >= bytes {
                return Ok((a, offset));
            }
        }
        let after = self.live.partition_point(|a| a.base <= address);
        if let Some(a) = after.checked_sub(1).and_then(|i| self.live.get(i)) {
            let offset = address - a.base;
            if offset < a.size && a.size - offset >= bytes {
                *hint = (after - 1) as u32;
                return Ok((a, offset));
            }
        }
        Err(MemoryFault::Bounds(self.explain(address, bytes)))
    }

    #[cold]
    fn explain(&self, address: u64, bytes: u64) -> String {
        let what = format!("{bytes} bytes at {address:#x}");
        if let Some((base, size)) = self.freed.range(..=address).next_back()
            && address - base < *size
        {
            return format!(
                "{what}, in a freed allocation of {size} bytes (offset {})",
                address - base
            );
        }
        let after = self.live.partition_point(|a| a.base <= address);
        if let Some(a) = after.checked_sub(1).and_then(|i| self.live.get(i)) {
            let offset = address - a.base;
            if offset < a.size + RED_ZONE {
                return format!(
                    "{what}, offset {offset} of an allocation of {} bytes",
                    a.size
                );
            }
        }
        if let Some(a) = self.live.get(after)
            && a.base - address <= RED_ZONE
        {
            return format!(
                "{what}, {} bytes before an allocation of {} bytes",
                a.base - address,
                a.size
            );
        }
        format!("{what}, in no allocation")
    }

    pub(crate) fn read(&self, address: u64, out: &mut [u8]) -> Result<(), MemoryFault> {
        let (a, offset) = self.find(address, out.len() as u64, &mut 0)?;
        a.read(offset, out);
        Ok(())
    }

    pub(crate) fn write(&self, address: u64, data: &[u8]) -> Result<(), MemoryFault> {
        let (a, offset) = self.find(address, data.len() as u64, &mut 0)?;
        a.write(offset, data);
        Ok(())
    }
}

/// The allocator. Addresses are never used twice, so that an access to freed memory is always seen.
#[derive(Debug)]
pub(crate) struct Heap {
    live: BTreeMap<u64, Arc<Allocation>>,
    freed: BTreeMap<u64, u64>,
    next: u64,
    pub(crate) used: u64,
    pub(crate) capacity: u64,
    snapshot: Option<Snapshot>,
}

impl Heap {
    pub(crate) fn new(capacity: u64) -> Self {
        Self {
            live: BTreeMap::new(),
            freed: BTreeMap::new(),
            next: FIRST,
            used: 0,
            capacity,
            snapshot: None,
        }
    }

    /// Nothing when there is not enough memory.
    pub(crate) fn allocate(&mut self, size: u64) -> Option<u64> {
        if size > self.capacity - self.used {
            return None;
        }
        let base = (self.next + RED_ZONE).next_multiple_of(ALIGN);
        self.next = base + size;
        self.used += size;
        self.live
            .insert(base, Arc::new(Allocation::new(base, size)));
        self.snapshot = None;
        Some(base)
    }

    /// Frees the allocation at `base`; false if there is none.
    pub(crate) fn free(&mut self, base: u64) -> bool {
        let Some(a) = self.live.remove(&base) else {
            return false;
        };
        self.used -= a.size;
        self.freed.insert(base, a.size);
        self.snapshot = None;
        true
    }

    pub(crate) fn contains(&self, base: u64) -> bool {
        self.live.contains_key(&base)
    }

    pub(crate) fn snapshot(&mut self) -> Snapshot {
        self.snapshot
            .get_or_insert_with(|| Snapshot {
                live: Arc::new(self.live.values().cloned().collect()),
                freed: Arc::new(self.freed.clone()),
            })
            .clone()
    }
}

const NOBODY: u16 = u16::MAX;

/// Who touched a cell of shared memory last. Two accesses of different threads, one of them a write,
/// are ordered when a block barrier lies between them, or, within a warp, a warp barrier.
#[derive(Clone, Copy, Debug)]
struct Shadow {
    write_epoch: u32,
    write_warp_epoch: u32,
    read_epoch: u32,
    read_warp_epoch: u32,
    writer: u16,
    /// The last reader, and a reader of another warp than the last one's.
    reader: u16,
    other: u16,
    /// More than one thread of the last reader's warp has read since its last barrier.
    several: bool,
    /// A `cp.async` of the writer is under way to here.
    in_flight: bool,
}

const CLEAN: Shadow = Shadow {
    write_epoch: 0,
    write_warp_epoch: 0,
    read_epoch: 0,
    read_warp_epoch: 0,
    writer: NOBODY,
    reader: NOBODY,
    other: NOBODY,
    several: false,
    in_flight: false,
};

/// A thread and its place in time, for the shadow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Who {
    pub(crate) thread: u16,
    pub(crate) epoch: u32,
    pub(crate) warp_epoch: u32,
}

/// Shared memory of one block.
#[derive(Debug)]
pub(crate) struct Shared {
    start: u64,
    bytes: Vec<u8>,
    shadow: Vec<Shadow>,
    shift: u32,
}

impl Shared {
    pub(crate) fn new(start: u64, end: u64, shift: u32) -> Self {
        let n = end.saturating_sub(start) as usize;
        Self {
            start,
            bytes: vec![0xff; n + 8],
            shadow: vec![CLEAN; (n >> shift) + 1],
            shift,
        }
    }

    pub(crate) fn reset(&mut self) {
        self.bytes.fill(0xff);
        self.shadow.fill(CLEAN);
    }

    fn size(&self) -> u64 {
        self.bytes.len() as u64 - 8
    }

    /// Offset of these bytes.
    pub(crate) fn locate(&self, address: u64, bytes: u64) -> Result<usize, MemoryFault> {
        let offset = address.wrapping_sub(self.start);
        let size = self.size();
        if offset >= size || size - offset < bytes {
            return Err(MemoryFault::Bounds(format!(
                "{bytes} bytes at shared address {address:#x}; the block has {:#x} to {:#x}",
                self.start,
                self.start + size
            )));
        }
        Ok(offset as usize)
    }

    fn cells(&self, offset: usize, bytes: usize) -> std::ops::RangeInclusive<usize> {
        (offset >> self.shift)..=((offset + bytes - 1) >> self.shift)
    }

    pub(crate) fn check_read(
        &mut self,
        offset: usize,
        bytes: usize,
        who: Who,
    ) -> Result<(), MemoryFault> {
        for cell in self.cells(offset, bytes) {
            let s = &mut self.shadow[cell];
            if s.in_flight {
                return Err(flight("read", cell << self.shift, self.start, s.writer));
            }
            if s.writer != who.thread && s.writer != NOBODY && s.write_epoch == who.epoch {
                let same_warp = s.writer / 32 == who.thread / 32;
                if !(same_warp && s.write_warp_epoch != who.warp_epoch) {
                    return Err(race(
                        "reads",
                        cell << self.shift,
                        self.start,
                        "written",
                        s.writer,
                    ));
                }
            }
            if s.read_epoch != who.epoch {
                *s = Shadow {
                    reader: NOBODY,
                    other: NOBODY,
                    several: false,
                    ..*s
                };
            }
            if s.reader != who.thread {
                if s.reader != NOBODY && s.reader / 32 != who.thread / 32 {
                    s.other = s.reader;
                    s.several = false;
                } else if s.reader != NOBODY {
                    s.several = s.read_warp_epoch == who.warp_epoch;
                }
            } else if s.read_warp_epoch != who.warp_epoch {
                s.several = false;
            }
            s.reader = who.thread;
            s.read_epoch = who.epoch;
            s.read_warp_epoch = who.warp_epoch;
        }
        Ok(())
    }

    pub(crate) fn check_write(
        &mut self,
        offset: usize,
        bytes: usize,
        who: Who,
        in_flight: bool,
    ) -> Result<(), MemoryFault> {
        for cell in self.cells(offset, bytes) {
            let s = &mut self.shadow[cell];
            if s.in_flight {
                return Err(flight("write", cell << self.shift, self.start, s.writer));
            }
            if s.writer != who.thread && s.writer != NOBODY && s.write_epoch == who.epoch {
                let same_warp = s.writer / 32 == who.thread / 32;
                if !(same_warp && s.write_warp_epoch != who.warp_epoch) {
                    return Err(race(
                        "writes",
                        cell << self.shift,
                        self.start,
                        "written",
                        s.writer,
                    ));
                }
            }
            if s.read_epoch == who.epoch {
                let same_warp = s.reader / 32 == who.thread / 32;
                let unordered = if same_warp {
                    s.read_warp_epoch == who.warp_epoch && (s.reader != who.thread || s.several)
                } else {
                    s.reader != NOBODY
                };
                if unordered {
                    return Err(race(
                        "writes",
                        cell << self.shift,
                        self.start,
                        "read",
                        s.reader,
                    ));
                }
                if s.other != NOBODY && s.other / 32 != who.thread / 32 {
                    return Err(race(
                        "writes",
                        cell << self.shift,
                        self.start,
                        "read",
                        s.other,
                    ));
                }
            }
            s.writer = who.thread;
            s.write_epoch = who.epoch;
            s.write_warp_epoch = who.warp_epoch;
            s.in_flight = in_flight;
        }
        Ok(())
    }

    /// A `cp.async` of `who` has arrived here.
    pub(crate) fn land(&mut self, offset: usize, data: &[u8], who: Who) {
        for cell in self.cells(offset, data.len()) {
            let s = &mut self.shadow[cell];
            s.in_flight = false;
            s.writer = who.thread;
            s.write_epoch = who.epoch;
            s.write_warp_epoch = who.warp_epoch;
        }
        self.bytes[offset..offset + data.len()].copy_from_slice(data);
    }

    pub(crate) fn load(&self, offset: usize, bytes: usize) -> u64 {
        load(&self.bytes, offset, bytes)
    }

    pub(crate) fn store(&mut self, offset: usize, bytes: usize, value: u64) {
        store(&mut self.bytes, offset, bytes, value);
    }

    pub(crate) fn poison(&mut self, offset: usize, bytes: usize) {
        self.bytes[offset..offset + bytes].fill(0xff);
    }
}

pub(crate) fn load(bytes: &[u8], offset: usize, n: usize) -> u64 {
    let mut word = [0; 8];
    word[..n].copy_from_slice(&bytes[offset..offset + n]);
    u64::from_le_bytes(word)
}

pub(crate) fn store(bytes: &mut [u8], offset: usize, n: usize, value: u64) {
    bytes[offset..offset + n].copy_from_slice(&value.to_le_bytes()[..n]);
}

#[cold]
fn race(does: &str, offset: usize, start: u64, was: &str, by: u16) -> MemoryFault {
    MemoryFault::Race(format!(
        "race: {does} shared byte {:#x}, {was} by thread {by} (warp {}) with no barrier between",
        start + offset as u64,
        by / 32
    ))
}

#[cold]
fn flight(does: &str, offset: usize, start: u64, by: u16) -> MemoryFault {
    MemoryFault::Race(format!(
        "{does} of shared byte {:#x}, to which a cp.async of thread {by} is under way: no wait before",
        start + offset as u64
    ))
}
