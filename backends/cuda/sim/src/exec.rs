//! Execution of a kernel: every thread of a block its own state machine.
//!
//! A thread runs until it ends, until its turn is over, or until an instruction that needs others:
//! there it is parked until all lanes of the mask (all threads, for a block barrier) have arrived at
//! the same instruction. Which warp and which lane runs next is drawn from the seed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::memory::{self, Allocation, MemoryFault, Shared, Snapshot, Who};
use crate::mma;
use crate::ptx::{
    AtomOp, AtomType, Kernel, LOCAL_WINDOW, Op, PARAM_WINDOW, SHARED_START, SHARED_WINDOW, SPECIAL,
    ShflMode, Slot, Space, VoteMode, WINDOW,
};

/// The kind of a fault, for the error code of the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultKind {
    /// An access outside every allocation (`CUDA_ERROR_ILLEGAL_ADDRESS`).
    IllegalAddress,
    /// An address that is no multiple of the access (`CUDA_ERROR_MISALIGNED_ADDRESS`).
    Misaligned,
    /// A race, a missing wait, divergence, deadlock (`CUDA_ERROR_LAUNCH_FAILED`).
    LaunchFailed,
    /// More instructions than allowed (`CUDA_ERROR_LAUNCH_TIMEOUT`).
    Timeout,
}

/// A fault of a kernel, with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The rule that was broken.
    pub kind: FaultKind,
    /// Name of the kernel.
    pub kernel: String,
    /// Index of the block in the grid.
    pub block: [u32; 3],
    /// Index of the thread in its block, x fastest.
    pub thread: u32,
    /// Line of the PTX text, from 1.
    pub line: u32,
    /// That line.
    pub source: String,
    /// The fault, in one sentence.
    pub message: String,
}

impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let [x, y, z] = self.block;
        write!(
            f,
            "kernel {}, block ({x}, {y}, {z}), thread {} (warp {}, lane {}), PTX line {}: {}\n    {}",
            self.kernel,
            self.thread,
            self.thread / 32,
            self.thread % 32,
            self.line,
            self.message,
            self.source
        )
    }
}

impl std::error::Error for Report {}

/// A kernel with all that its launch was given.
#[derive(Debug)]
pub(crate) struct Launch<'a> {
    pub(crate) kernel: &'a Kernel,
    /// Initial registers with addresses of variables filled in.
    pub(crate) registers: &'a [u64],
    pub(crate) lines: &'a [String],
    pub(crate) memory: Snapshot,
    pub(crate) params: Vec<u8>,
    pub(crate) grid: [u32; 3],
    pub(crate) block: [u32; 3],
    pub(crate) dynamic: u32,
    pub(crate) seed: u64,
    /// Instructions that one block may execute, all threads together.
    pub(crate) limit: u64,
    pub(crate) workers: usize,
}

struct Fault {
    kind: FaultKind,
    thread: usize,
    pc: u32,
    message: String,
}

/// SplitMix64: small, seeded, good enough to shuffle.
#[derive(Clone, Debug)]
pub(crate) struct Rng(pub(crate) u64);

impl Rng {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn shuffle<T>(&mut self, items: &mut [T]) {
        for i in (1..items.len()).rev() {
            items.swap(i, (self.next() % (i as u64 + 1)) as usize);
        }
    }
}

impl Launch<'_> {
    /// Runs all blocks; gives the number of thread-instructions, or the first fault.
    pub(crate) fn run(&self) -> Result<u64, Report> {
        let blocks: usize = self.grid.iter().map(|&n| n as usize).product();
        let mut order: Vec<u32> = (0..blocks as u32).collect();
        if self.seed != 0 {
            Rng(self.seed).shuffle(&mut order);
        }
        let next = AtomicUsize::new(0);
        let steps = AtomicU64::new(0);
        // The first block in order that fails, whatever the number of workers: those before it run on.
        let first = AtomicUsize::new(usize::MAX);
        let reports = Mutex::new(BTreeMap::new());
        let work = || {
            let mut block = Block::new(self);
            loop {
                let position = next.fetch_add(1, Ordering::Relaxed);
                let Some(&index) = order.get(position) else {
                    break;
                };
                if position > first.load(Ordering::Relaxed) {
                    break;
                }
                block.start(index);
                let result = block.run();
                steps.fetch_add(block.steps, Ordering::Relaxed);
                if let Err(fault) = result {
                    first.fetch_min(position, Ordering::Relaxed);
                    let line = self.kernel.code[fault.pc as usize].line;
                    let text = self.lines.get(line as usize - 1).map_or("", |l| l.trim());
                    let report = Report {
                        kind: fault.kind,
                        kernel: self.kernel.name.clone(),
                        block: block.index,
                        thread: fault.thread as u32,
                        line,
                        source: text.to_owned(),
                        message: fault.message,
                    };
                    reports
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .insert(position, report);
                }
            }
        };
        let workers = self.workers.min(blocks);
        if workers <= 1 {
            work();
        } else {
            std::thread::scope(|s| {
                for _ in 1..workers {
                    s.spawn(work);
                }
                work();
            });
        }
        let mut reports = reports.into_inner().unwrap_or_else(PoisonError::into_inner);
        match reports.pop_first() {
            Some((_, report)) => Err(report),
            None => Ok(steps.into_inner()),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Ready,
    Parked,
    Done,
}

/// One `cp.async` under way.
#[derive(Clone, Debug)]
struct Flight {
    to: usize,
    from: u64,
    bytes: usize,
    /// Bytes that are read; the rest is zero.
    size: usize,
}

#[derive(Clone, Debug, Default)]
struct Flights {
    open: Vec<Flight>,
    groups: Vec<Vec<Flight>>,
}

struct Block<'a> {
    l: &'a Launch<'a>,
    index: [u32; 3],
    threads: usize,
    registers: Vec<u64>,
    pc: Vec<u32>,
    state: Vec<State>,
    local: Vec<u8>,
    shared: Shared,
    /// Allocation that each instruction used last: the first place to look for the next.
    hints: Vec<u32>,
    epoch: u32,
    warp_epoch: Vec<u32>,
    flights: Vec<Flights>,
    rng: Rng,
    steps: u64,
}

/// Atomic instructions are atomic among all blocks.
static ATOMIC: Mutex<()> = Mutex::new(());

impl<'a> Block<'a> {
    fn new(l: &'a Launch<'a>) -> Self {
        let threads = l.block.iter().map(|&n| n as usize).product();
        let end = l.kernel.dynamic_start.max(l.kernel.shared_end) + u64::from(l.dynamic);
        let end = if l.dynamic == 0 {
            l.kernel.shared_end
        } else {
            end
        };
        Self {
            l,
            index: [0; 3],
            threads,
            registers: Vec::with_capacity(threads * l.registers.len()),
            pc: Vec::new(),
            state: Vec::new(),
            local: Vec::new(),
            shared: Shared::new(SHARED_START, end, l.kernel.shadow_shift),
            hints: vec![0; l.kernel.code.len()],
            epoch: 0,
            warp_epoch: Vec::new(),
            flights: Vec::new(),
            rng: Rng(0),
            steps: 0,
        }
    }

    fn start(&mut self, linear: u32) {
        let [gx, gy, _] = self.l.grid;
        self.index = [linear % gx, linear / gx % gy, linear / gx / gy];
        let [bx, by, bz] = self.l.block;
        self.registers.clear();
        for t in 0..self.threads as u32 {
            let base = self.registers.len();
            self.registers.extend_from_slice(self.l.registers);
            let lane = u64::from(t % 32);
            let bit = 1_u64 << lane;
            let special: [u64; SPECIAL.len()] = [
                u64::from(t % bx),
                u64::from(t / bx % by),
                u64::from(t / bx / by),
                u64::from(bx),
                u64::from(by),
                u64::from(bz),
                u64::from(self.index[0]),
                u64::from(self.index[1]),
                u64::from(self.index[2]),
                u64::from(self.l.grid[0]),
                u64::from(self.l.grid[1]),
                u64::from(self.l.grid[2]),
                lane,
                u64::from(t / 32),
                bit,
                bit | (bit - 1),
                bit - 1,
                !(bit - 1) & 0xffff_ffff,
                !(bit | (bit - 1)) & 0xffff_ffff,
                u64::from(self.l.dynamic),
                self.l.kernel.shared_end - SHARED_START + u64::from(self.l.dynamic),
            ];
            self.registers[base..base + SPECIAL.len()].copy_from_slice(&special);
        }
        self.pc = vec![0; self.threads];
        self.state = vec![State::Ready; self.threads];
        self.local = vec![0xff; self.threads * self.l.kernel.local_bytes];
        self.shared.reset();
        // Epoch 0 is the shadow's "never".
        self.epoch = 1;
        self.warp_epoch = vec![1; self.threads.div_ceil(32)];
        self.flights = vec![Flights::default(); self.threads];
        self.rng = Rng(self.l.seed ^ (u64::from(linear) << 32));
        self.steps = 0;
    }

    fn run(&mut self) -> Result<(), Fault> {
        let mut warps: Vec<usize> = (0..self.threads.div_ceil(32)).collect();
        loop {
            let before = self.steps;
            if self.l.seed != 0 {
                self.rng.shuffle(&mut warps);
            }
            for &w in &warps {
                self.run_warp(w)?;
            }
            if self.state.iter().all(|&s| s == State::Done) {
                return Ok(());
            }
            if self.steps > self.l.limit {
                let thread = self
                    .state
                    .iter()
                    .position(|&s| s != State::Done)
                    .unwrap_or(0);
                return Err(Fault {
                    kind: FaultKind::Timeout,
                    thread,
                    pc: self.pc[thread],
                    message: format!(
                        "the block has executed {} instructions: no end in sight",
                        self.steps
                    ),
                });
            }
            if !self.state.contains(&State::Ready)
                && !self.release_barrier()?
                && self.steps == before
            {
                return Err(self.deadlock());
            }
        }
    }

    /// Runs the lanes of a warp until none of them can go on alone, or their turn is over.
    fn run_warp(&mut self, w: usize) -> Result<(), Fault> {
        let mut lanes: Vec<usize> = (w * 32..self.threads.min(w * 32 + 32)).collect();
        for _ in 0..64 {
            if self.l.seed != 0 {
                self.rng.shuffle(&mut lanes);
            }
            for &t in &lanes {
                if self.state[t] == State::Ready {
                    // Without a seed a turn is long; with one it is short now and then.
                    let turn = match self.l.seed {
                        0 => 10_000,
                        _ => 16 << (self.rng.next() % 12),
                    };
                    self.run_thread(t, turn).map_err(|(kind, message)| Fault {
                        kind,
                        thread: t,
                        pc: self.pc[t],
                        message,
                    })?;
                }
            }
            if !self.resolve(w)? {
                break;
            }
        }
        Ok(())
    }

    fn op(&self, t: usize) -> &'a Op {
        &self.l.kernel.code[self.pc[t] as usize].op
    }

    fn register(&self, t: usize, slot: Slot) -> u64 {
        self.registers[t * self.l.registers.len() + slot as usize]
    }

    fn set(&mut self, t: usize, slot: Slot, value: u64) {
        let n = self.l.registers.len();
        self.registers[t * n + slot as usize] = value;
    }

    /// Lanes that a parked thread waits for.
    fn mask(&self, t: usize) -> Option<u32> {
        Some(match self.op(t) {
            Op::Shfl { mask, .. } | Op::Vote { mask, .. } | Op::WarpBarrier { mask } => {
                self.register(t, *mask) as u32
            }
            Op::Ldmatrix { .. } | Op::Mma { .. } => u32::MAX,
            _ => return None,
        })
    }

    /// Executes the warp instructions for which every lane has arrived. Whether there was one.
    fn resolve(&mut self, w: usize) -> Result<bool, Fault> {
        let first = w * 32;
        let end = self.threads.min(first + 32);
        let mut progress = false;
        for t in first..end {
            if self.state[t] != State::Parked {
                continue;
            }
            let Some(mask) = self.mask(t) else { continue };
            let pc = self.pc[t];
            let fail = |message: String| Fault {
                kind: FaultKind::LaunchFailed,
                thread: t,
                pc,
                message,
            };
            if mask >> (t - first) & 1 == 0 {
                return Err(fail(format!(
                    "the lane is not in its own mask {mask:#010x}"
                )));
            }
            let mut ready = true;
            for lane in 0..32 {
                if mask >> lane & 1 == 0 {
                    continue;
                }
                let other = first + lane;
                if other >= end {
                    return Err(fail(format!(
                        "the mask {mask:#010x} names lane {lane}, which the block does not have"
                    )));
                }
                match self.state[other] {
                    State::Done => {
                        return Err(fail(format!(
                            "waits for lane {lane}, which has ended (mask {mask:#010x})"
                        )));
                    }
                    State::Ready => ready = false,
                    State::Parked if self.pc[other] != pc => ready = false,
                    State::Parked => {
                        if self.mask(other) != Some(mask) {
                            return Err(fail(format!(
                                "mask {mask:#010x}, but lane {lane} arrived with mask {:#010x}",
                                self.mask(other).unwrap_or(0)
                            )));
                        }
                    }
                }
            }
            if ready {
                let lanes: Vec<usize> = (0..32)
                    .filter(|l| mask >> l & 1 == 1)
                    .map(|l| first + l)
                    .collect();
                self.collective(t, mask, &lanes)?;
                for &lane in &lanes {
                    self.state[lane] = State::Ready;
                    self.pc[lane] += 1;
                }
                progress = true;
            }
        }
        Ok(progress)
    }

    fn collective(&mut self, t: usize, mask: u32, lanes: &[usize]) -> Result<(), Fault> {
        let first = t / 32 * 32;
        match self.op(t) {
            Op::WarpBarrier { .. } => {
                // Only a barrier of all live lanes orders the whole warp's accesses.
                let end = self.threads.min(first + 32);
                if (first..end)
                    .all(|l| self.state[l] == State::Done || mask >> (l - first) & 1 == 1)
                {
                    self.warp_epoch[t / 32] += 1;
                }
            }
            Op::Shfl {
                mode,
                d,
                p,
                a,
                b,
                c,
                ..
            } => {
                let values: Vec<u64> = lanes.iter().map(|&l| self.register(l, *a)).collect();
                for &t in lanes {
                    let lane = (t % 32) as u32;
                    let b = self.register(t, *b) as u32 & 31;
                    let c = self.register(t, *c) as u32;
                    let (clamp, segment) = (c & 31, c >> 8 & 31);
                    let max = (lane & segment) | (clamp & !segment);
                    let min = lane & segment;
                    let (source, inside) = match mode {
                        ShflMode::Up => (
                            lane.wrapping_sub(b),
                            lane as i64 - i64::from(b) >= i64::from(max),
                        ),
                        ShflMode::Down => (lane + b, lane + b <= max),
                        ShflMode::Bfly => (lane ^ b, (lane ^ b) <= max),
                        ShflMode::Idx => (min | (b & !segment), (min | (b & !segment)) <= max),
                    };
                    let source = if inside { source } else { lane };
                    let Some(i) = lanes.iter().position(|&l| (l % 32) as u32 == source) else {
                        return Err(Fault {
                            kind: FaultKind::LaunchFailed,
                            thread: t,
                            pc: self.pc[t],
                            message: format!(
                                "reads lane {source}, which is not in the mask {mask:#010x}"
                            ),
                        });
                    };
                    self.set(t, *d, values[i] & 0xffff_ffff);
                    self.set(t, *p, u64::from(inside));
                }
            }
            Op::Vote {
                mode, d, p, negate, ..
            } => {
                let ballot = lanes.iter().fold(0_u32, |b, &l| {
                    b | u32::from((self.register(l, *p) & 1 == 1) != *negate) << (l % 32)
                });
                let value = match mode {
                    VoteMode::All => u64::from(ballot == mask),
                    VoteMode::Any => u64::from(ballot != 0),
                    VoteMode::Uni => u64::from(ballot == 0 || ballot == mask),
                    VoteMode::Ballot => u64::from(ballot),
                };
                for &t in lanes {
                    self.set(t, *d, value);
                }
            }
            Op::Ldmatrix { trans, d, at } => {
                // Lane l gives the address of row l mod 8 of matrix l / 8.
                let mut matrices = vec![[[0_u16; 8]; 8]; d.len()];
                for (m, matrix) in matrices.iter_mut().enumerate() {
                    for (i, row) in matrix.iter_mut().enumerate() {
                        let t = first + 8 * m + i;
                        let address =
                            self.register(t, at.base).wrapping_add_signed(at.offset) & 0xffff_ffff;
                        let who = self.who(t);
                        let read = aligned(address, 16)
                            .and_then(|()| self.shared.locate(address, 16))
                            .and_then(|o| self.shared.check_read(o, 16, who).map(|()| o));
                        let offset = read.map_err(|f| self.fault(t, f))?;
                        for (j, x) in row.iter_mut().enumerate() {
                            *x = self.shared.load(offset + 2 * j, 2) as u16;
                        }
                    }
                }
                for &t in lanes {
                    for (m, &d) in d.iter().enumerate() {
                        self.set(t, d, mma::ldmatrix(&matrices[m], t % 32, *trans));
                    }
                }
            }
            Op::Mma {
                bf16,
                k,
                d,
                a,
                b,
                c,
            } => {
                let mut am = [[0; 4]; 32];
                let mut bm = [[0; 2]; 32];
                let mut cm = [[0; 4]; 32];
                for (l, &t) in lanes.iter().enumerate() {
                    for (i, &s) in a.iter().enumerate() {
                        am[l][i] = self.register(t, s);
                    }
                    for (i, &s) in b.iter().enumerate() {
                        bm[l][i] = self.register(t, s);
                    }
                    cm[l] = c.map(|s| self.register(t, s));
                }
                mma::mma(*bf16, usize::from(*k), &am, &bm, &mut cm);
                for (l, &t) in lanes.iter().enumerate() {
                    for (i, &s) in d.iter().enumerate() {
                        self.set(t, s, cm[l][i]);
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn who(&self, t: usize) -> Who {
        Who {
            thread: t as u16,
            epoch: self.epoch,
            warp_epoch: self.warp_epoch[t / 32],
        }
    }

    fn fault(&self, thread: usize, fault: MemoryFault) -> Fault {
        let (kind, message) = explain(fault);
        Fault {
            kind,
            thread,
            pc: self.pc[thread],
            message,
        }
    }

    /// Lets everybody go on when all live threads wait at one barrier. Whether it did.
    fn release_barrier(&mut self) -> Result<bool, Fault> {
        let live: Vec<usize> = (0..self.threads)
            .filter(|&t| self.state[t] != State::Done)
            .collect();
        let mut id = None;
        for &t in &live {
            let Op::Barrier { id: slot, aligned } = self.op(t) else {
                return Ok(false);
            };
            let here = (
                self.register(t, *slot),
                if *aligned { self.pc[t] } else { 0 },
            );
            if *id.get_or_insert(here) != here {
                return Err(self.deadlock());
            }
        }
        for t in live {
            self.state[t] = State::Ready;
            self.pc[t] += 1;
        }
        self.epoch += 1;
        Ok(true)
    }

    /// Says who waits where.
    #[cold]
    fn deadlock(&self) -> Fault {
        let mut places: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
        let mut ended = 0;
        for t in 0..self.threads {
            match self.state[t] {
                State::Done => ended += 1,
                _ => places.entry(self.pc[t]).or_default().push(t),
            }
        }
        let mut message =
            "divergence: threads wait for one another at different instructions".to_owned();
        for (pc, threads) in &places {
            let line = self.l.kernel.code[*pc as usize].line;
            let text = self.l.lines.get(line as usize - 1).map_or("", |l| l.trim());
            let _ = write!(
                message,
                "; {} threads (the first {}) at line {line} `{text}`",
                threads.len(),
                threads[0]
            );
        }
        if ended > 0 {
            let _ = write!(message, "; {ended} threads have ended");
        }
        let (pc, threads) = places.iter().next().map_or((0, 0), |(pc, t)| (*pc, t[0]));
        Fault {
            kind: FaultKind::LaunchFailed,
            thread: threads,
            pc,
            message,
        }
    }

    /// Runs a thread until it ends, is parked or has used up its turn.
    fn run_thread(&mut self, t: usize, turn: u64) -> Result<(), (FaultKind, String)> {
        let n = self.l.registers.len();
        let who = self.who(t);
        let code = &self.l.kernel.code;
        let local_bytes = self.l.kernel.local_bytes;
        let Self {
            l,
            registers,
            shared,
            local,
            hints,
            pc,
            state,
            flights,
            steps,
            ..
        } = self;
        let r = &mut registers[t * n..(t + 1) * n];
        let local = &mut local[t * local_bytes..(t + 1) * local_bytes];
        let mut here = pc[t] as usize;
        let mut left = turn;
        macro_rules! fail {
            ($result:expr) => {
                match $result {
                    Ok(value) => value,
                    Err(fault) => {
                        pc[t] = here as u32;
                        return Err(explain(fault));
                    }
                }
            };
        }
        macro_rules! r {
            ($slot:expr) => {
                r[$slot as usize]
            };
        }
        loop {
            if left == 0 {
                break;
            }
            left -= 1;
            let instruction = &code[here];
            if let Some((slot, negate)) = instruction.guard
                && (r!(slot) & 1 == 1) == negate
            {
                here += 1;
                continue;
            }
            match &instruction.op {
                Op::Bin { f, d, a, b } => r!(*d) = f(r!(*a), r!(*b)),
                Op::Tri { f, d, a, b, c } => r!(*d) = f(r!(*a), r!(*b), r!(*c)),
                Op::Un { f, d, a } => r!(*d) = f(r!(*a)),
                Op::Bra { target } => {
                    here = *target as usize;
                    continue;
                }
                Op::Setp {
                    f,
                    d,
                    e,
                    a,
                    b,
                    combine,
                } => {
                    let yes = f(r!(*a), r!(*b));
                    let (p, q) = match combine {
                        None => (yes, yes ^ 1),
                        Some((how, c, negate)) => {
                            let c = (r!(*c) & 1) ^ u64::from(*negate);
                            match how {
                                0 => (yes & c, (yes ^ 1) & c),
                                1 => (yes | c, (yes ^ 1) | c),
                                _ => (yes ^ c, yes ^ 1 ^ c),
                            }
                        }
                    };
                    r!(*d) = p;
                    r!(*e) = q;
                }
                Op::Ld {
                    space,
                    element,
                    d,
                    at,
                } => {
                    let bytes = usize::from(element.bytes);
                    let total = bytes * d.len();
                    let (space, address) = resolve_space(*space, r!(at.base), at.offset);
                    fail!(aligned(address, total as u64));
                    let extend = |value: u64| match (element.signed, element.bytes) {
                        (true, 1) => value as i8 as u32 as u64,
                        (true, 2) => value as i16 as u32 as u64,
                        _ => value,
                    };
                    match space {
                        Space::Shared => {
                            let offset = fail!(shared.locate(address, total as u64));
                            fail!(shared.check_read(offset, total, who));
                            for (i, &d) in d.iter().enumerate() {
                                r!(d) = extend(shared.load(offset + i * bytes, bytes));
                            }
                        }
                        Space::Local | Space::Param => {
                            let from: &[u8] = if space == Space::Local {
                                local
                            } else {
                                &l.params
                            };
                            let offset = fail!(inside(from, address, total, space));
                            for (i, &d) in d.iter().enumerate() {
                                r!(d) = extend(memory::load(from, offset + i * bytes, bytes));
                            }
                        }
                        _ => {
                            let (a, offset) =
                                fail!(l.memory.find(address, total as u64, &mut hints[here]));
                            for (i, &d) in d.iter().enumerate() {
                                r!(d) = extend(a.load(offset + (i * bytes) as u64, bytes as u64));
                            }
                        }
                    }
                }
                Op::St {
                    space,
                    bytes,
                    s,
                    at,
                } => {
                    let bytes = usize::from(*bytes);
                    let total = bytes * s.len();
                    let (space, address) = resolve_space(*space, r!(at.base), at.offset);
                    fail!(aligned(address, total as u64));
                    match space {
                        Space::Shared => {
                            let offset = fail!(shared.locate(address, total as u64));
                            fail!(shared.check_write(offset, total, who, false));
                            for (i, &s) in s.iter().enumerate() {
                                shared.store(offset + i * bytes, bytes, r!(s));
                            }
                        }
                        Space::Local => {
                            let offset = fail!(inside(local, address, total, space));
                            for (i, &s) in s.iter().enumerate() {
                                memory::store(local, offset + i * bytes, bytes, r!(s));
                            }
                        }
                        Space::Param => {
                            fail!(Err(MemoryFault::Bounds("store to a parameter".into())));
                        }
                        _ => {
                            let (a, offset) =
                                fail!(l.memory.find(address, total as u64, &mut hints[here]));
                            for (i, &s) in s.iter().enumerate() {
                                a.store(offset + (i * bytes) as u64, bytes as u64, r!(s));
                            }
                        }
                    }
                }
                Op::Cvt { spec, d, a } => r!(*d) = spec.apply(r!(*a)),
                Op::Pack { d, bits, parts } => {
                    let keep = (1_u64 << bits) - 1;
                    r!(*d) = parts
                        .iter()
                        .rev()
                        .fold(0, |x, &p| x << bits | (r!(p) & keep));
                }
                Op::Unpack { a, bits, parts } => {
                    let keep = (1_u64 << bits) - 1;
                    let value = r!(*a);
                    for (i, &p) in parts.iter().enumerate() {
                        r!(p) = value >> (*bits as usize * i) & keep;
                    }
                }
                Op::Set { f, d, a, b, yes } => r!(*d) = f(r!(*a), r!(*b)) * yes,
                Op::Bfi { bits, d, s } => {
                    r!(*d) = crate::alu::bfi(r!(s[0]), r!(s[1]), r!(s[2]), r!(s[3]), *bits)
                }
                Op::Lop3 { d, s } => {
                    r!(*d) = crate::alu::lop3(r!(s[0]), r!(s[1]), r!(s[2]), r!(s[3]))
                }
                Op::Atom {
                    space,
                    op,
                    ty,
                    d,
                    at,
                    b,
                    c,
                } => {
                    let bytes = if *ty == AtomType::U64 { 8 } else { 4 };
                    let (space, address) = resolve_space(*space, r!(at.base), at.offset);
                    fail!(aligned(address, bytes));
                    let _guard = ATOMIC.lock().unwrap_or_else(PoisonError::into_inner);
                    let (b, c) = (r!(*b), r!(*c));
                    match space {
                        Space::Shared => {
                            let offset = fail!(shared.locate(address, bytes));
                            let old = shared.load(offset, bytes as usize);
                            shared.store(offset, bytes as usize, atomic(*op, *ty, old, b, c));
                            r!(*d) = old;
                        }
                        Space::Global => {
                            let (a, offset): (&Allocation, u64) =
                                fail!(l.memory.find(address, bytes, &mut hints[here]));
                            let old = a.load(offset, bytes);
                            a.store(offset, bytes, atomic(*op, *ty, old, b, c));
                            r!(*d) = old;
                        }
                        _ => {
                            fail!(Err(MemoryFault::Bounds("atomic on local memory".into())));
                        }
                    }
                }
                Op::BrxIdx { index, targets } => match targets.get(r!(*index) as u32 as usize) {
                    Some(&target) => {
                        here = target as usize;
                        continue;
                    }
                    None => {
                        fail!(Err(MemoryFault::Bounds(format!(
                            "branch index {}, {} targets",
                            r!(*index) as u32,
                            targets.len()
                        ))));
                    }
                },
                Op::Exit => {
                    state[t] = State::Done;
                    left += 1;
                    break;
                }
                Op::Trap => {
                    pc[t] = here as u32;
                    return Err((FaultKind::LaunchFailed, "trap".into()));
                }
                Op::Nop => {}
                // Lanes run on their own, so any set that holds the lane is a true answer: the smallest.
                Op::ActiveMask { d } => r!(*d) = 1 << (t % 32),
                Op::CpAsync {
                    bytes,
                    dst,
                    src,
                    size,
                } => {
                    let bytes = usize::from(*bytes);
                    let to = r!(dst.base).wrapping_add_signed(dst.offset) & 0xffff_ffff;
                    let from = r!(src.base).wrapping_add_signed(src.offset);
                    let count = size.map_or(bytes, |s| r!(s) as u32 as usize);
                    if count > bytes {
                        fail!(Err(MemoryFault::Bounds(format!(
                            "source size {count} of a copy of {bytes} bytes"
                        ))));
                    }
                    fail!(aligned(to, bytes as u64));
                    fail!(aligned(from, bytes as u64));
                    let to = fail!(shared.locate(to, bytes as u64));
                    if count > 0 {
                        fail!(l.memory.find(from, count as u64, &mut hints[here]));
                    }
                    fail!(shared.check_write(to, bytes, who, true));
                    shared.poison(to, bytes);
                    flights[t].open.push(Flight {
                        to,
                        from,
                        bytes,
                        size: count,
                    });
                }
                Op::CpCommit => {
                    let group = std::mem::take(&mut flights[t].open);
                    flights[t].groups.push(group);
                }
                Op::CpWait { groups } => {
                    let own = &mut flights[t];
                    let mut landing = Vec::new();
                    match groups {
                        Some(keep) => {
                            let n = own
                                .groups
                                .len()
                                .saturating_sub(usize::try_from(*keep).unwrap_or(usize::MAX));
                            landing.extend(own.groups.drain(..n).flatten());
                        }
                        None => {
                            landing.extend(own.groups.drain(..).flatten());
                            landing.append(&mut own.open);
                        }
                    }
                    for f in landing {
                        let mut data = [0; 16];
                        if f.size > 0 {
                            let (a, offset) =
                                fail!(l.memory.find(f.from, f.size as u64, &mut hints[here]));
                            a.read(offset, &mut data[..f.size]);
                        }
                        shared.land(f.to, &data[..f.bytes], who);
                    }
                }
                Op::Barrier { .. }
                | Op::WarpBarrier { .. }
                | Op::Shfl { .. }
                | Op::Vote { .. }
                | Op::Ldmatrix { .. }
                | Op::Mma { .. } => {
                    state[t] = State::Parked;
                    break;
                }
            }
            here += 1;
        }
        pc[t] = here as u32;
        *steps += turn - left;
        Ok(())
    }
}

fn explain(fault: MemoryFault) -> (FaultKind, String) {
    match fault {
        MemoryFault::Bounds(m) => (FaultKind::IllegalAddress, format!("out of bounds: {m}")),
        MemoryFault::Misaligned(m) => (FaultKind::Misaligned, m),
        MemoryFault::Race(m) => (FaultKind::LaunchFailed, m),
    }
}

/// The state space of an address, and the address in it.
#[inline]
fn resolve_space(space: Space, base: u64, offset: i64) -> (Space, u64) {
    let address = base.wrapping_add_signed(offset);
    match space {
        Space::Generic => {
            for (window, space) in [
                (SHARED_WINDOW, Space::Shared),
                (LOCAL_WINDOW, Space::Local),
                (PARAM_WINDOW, Space::Param),
            ] {
                if (window..window + WINDOW).contains(&address) {
                    return (space, address - window);
                }
            }
            (Space::Global, address)
        }
        // 32-bit registers may hold shared and local addresses; a negative offset then wraps at 32 bits.
        Space::Shared | Space::Local => (
            space,
            if base >> 32 == 0 {
                address & 0xffff_ffff
            } else {
                address
            },
        ),
        _ => (space, address),
    }
}

#[inline]
fn aligned(address: u64, bytes: u64) -> Result<(), MemoryFault> {
    if address & (bytes - 1) == 0 {
        return Ok(());
    }
    Err(MemoryFault::Misaligned(format!(
        "misaligned: {bytes} bytes at {address:#x}"
    )))
}

fn inside(memory: &[u8], address: u64, bytes: usize, space: Space) -> Result<usize, MemoryFault> {
    let offset = usize::try_from(address).unwrap_or(usize::MAX);
    if offset
        .checked_add(bytes)
        .is_some_and(|end| end <= memory.len())
    {
        return Ok(offset);
    }
    Err(MemoryFault::Bounds(format!(
        "{bytes} bytes at {address:#x} of {} bytes of {space:?} memory",
        memory.len()
    )))
}

fn atomic(op: AtomOp, ty: AtomType, old: u64, b: u64, c: u64) -> u64 {
    let keep = if ty == AtomType::U64 {
        u64::MAX
    } else {
        0xffff_ffff
    };
    let (b, c) = (b & keep, c & keep);
    let value = match (op, ty) {
        (AtomOp::Add, AtomType::F32) => {
            u64::from((f32::from_bits(old as u32) + f32::from_bits(b as u32)).to_bits())
        }
        (AtomOp::Add, _) => old.wrapping_add(b),
        (AtomOp::Min, AtomType::S32) => (old as i32).min(b as i32) as u32 as u64,
        (AtomOp::Max, AtomType::S32) => (old as i32).max(b as i32) as u32 as u64,
        (AtomOp::Min, _) => old.min(b),
        (AtomOp::Max, _) => old.max(b),
        (AtomOp::And, _) => old & b,
        (AtomOp::Or, _) => old | b,
        (AtomOp::Xor, _) => old ^ b,
        (AtomOp::Exch, _) => b,
        (AtomOp::Cas, _) => {
            if old == b {
                c
            } else {
                old
            }
        }
    };
    value & keep
}
