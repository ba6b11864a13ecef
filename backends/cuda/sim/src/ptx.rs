//! PTX text to instructions.
//!
//! Everything that cannot be executed faithfully is an error here, when the module is loaded: unknown
//! opcodes, modifiers, directives, special registers, operands of the wrong shape.

use std::collections::{HashMap, HashSet};
use std::fmt;

use crate::alu::{self, Alu, Mods};

/// Generic address of the first byte of a block's shared memory.
pub(crate) const SHARED_WINDOW: u64 = 0x7000_0000_0000_0000;
/// Generic address of the first byte of a thread's local memory.
pub(crate) const LOCAL_WINDOW: u64 = 0x7100_0000_0000_0000;
/// Generic address of the first byte of a kernel's parameters.
pub(crate) const PARAM_WINDOW: u64 = 0x7200_0000_0000_0000;
/// Width of each of these windows.
pub(crate) const WINDOW: u64 = 1 << 32;
/// Address of the first shared variable. Lower addresses belong to nobody, so a null offset is caught.
pub(crate) const SHARED_START: u64 = 1024;

/// A text that is not a module that can run here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadError {
    /// Line of the PTX text, from 1.
    pub line: u32,
    /// The fault, in one sentence.
    pub message: String,
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PTX line {}: {}", self.line, self.message)
    }
}

impl std::error::Error for LoadError {}

/// Index of a register of a thread. Special registers and constants have slots too.
pub(crate) type Slot = u32;

/// Slots that every kernel has: special registers, set when a thread starts.
pub(crate) const SPECIAL: [&str; 21] = [
    "%tid.x",
    "%tid.y",
    "%tid.z",
    "%ntid.x",
    "%ntid.y",
    "%ntid.z",
    "%ctaid.x",
    "%ctaid.y",
    "%ctaid.z",
    "%nctaid.x",
    "%nctaid.y",
    "%nctaid.z",
    "%laneid",
    "%warpid",
    "%lanemask_eq",
    "%lanemask_le",
    "%lanemask_lt",
    "%lanemask_ge",
    "%lanemask_gt",
    "%dynamic_smem_size",
    "%total_smem_size",
];
/// The slot of results that nobody wants.
pub(crate) const SINK: Slot = SPECIAL.len() as Slot;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Space {
    Global,
    Shared,
    Local,
    Param,
    Generic,
}

/// One element of a load: bytes and whether its sign extends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Element {
    pub(crate) bytes: u8,
    pub(crate) signed: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Address {
    pub(crate) base: Slot,
    pub(crate) offset: i64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AtomOp {
    Add,
    Min,
    Max,
    And,
    Or,
    Xor,
    Exch,
    Cas,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum AtomType {
    U32,
    S32,
    U64,
    F32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ShflMode {
    Up,
    Down,
    Bfly,
    Idx,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum VoteMode {
    All,
    Any,
    Uni,
    Ballot,
}

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Un {
        f: fn(u64) -> u64,
        d: Slot,
        a: Slot,
    },
    Bin {
        f: fn(u64, u64) -> u64,
        d: Slot,
        a: Slot,
        b: Slot,
    },
    Tri {
        f: fn(u64, u64, u64) -> u64,
        d: Slot,
        a: Slot,
        b: Slot,
        c: Slot,
    },
    Cvt {
        spec: alu::Cvt,
        d: Slot,
        a: Slot,
    },
    Bfi {
        bits: u32,
        d: Slot,
        s: [Slot; 4],
    },
    Lop3 {
        d: Slot,
        s: [Slot; 4],
    },
    /// d = compare(a, b) combined with c (0 and, 1 or, 2 xor), e = the complement, likewise combined;
    /// with `mask`, d is all ones or zero (or 1.0 with `float`).
    Setp {
        f: fn(u64, u64) -> u64,
        d: Slot,
        e: Slot,
        a: Slot,
        b: Slot,
        combine: Option<(u8, Slot, bool)>,
    },
    Set {
        f: fn(u64, u64) -> u64,
        d: Slot,
        a: Slot,
        b: Slot,
        yes: u64,
    },
    Pack {
        d: Slot,
        bits: u32,
        parts: Vec<Slot>,
    },
    Unpack {
        a: Slot,
        bits: u32,
        parts: Vec<Slot>,
    },
    Ld {
        space: Space,
        element: Element,
        d: Vec<Slot>,
        at: Address,
    },
    St {
        space: Space,
        bytes: u8,
        s: Vec<Slot>,
        at: Address,
    },
    Atom {
        space: Space,
        op: AtomOp,
        ty: AtomType,
        d: Slot,
        at: Address,
        b: Slot,
        c: Slot,
    },
    Bra {
        target: u32,
    },
    BrxIdx {
        index: Slot,
        targets: Vec<u32>,
    },
    Exit,
    Trap,
    Nop,
    Barrier {
        id: Slot,
        aligned: bool,
    },
    WarpBarrier {
        mask: Slot,
    },
    Shfl {
        mode: ShflMode,
        d: Slot,
        p: Slot,
        a: Slot,
        b: Slot,
        c: Slot,
        mask: Slot,
    },
    Vote {
        mode: VoteMode,
        d: Slot,
        p: Slot,
        negate: bool,
        mask: Slot,
    },
    ActiveMask {
        d: Slot,
    },
    Ldmatrix {
        trans: bool,
        d: Vec<Slot>,
        at: Address,
    },
    Mma {
        bf16: bool,
        k: u8,
        d: [Slot; 4],
        a: Vec<Slot>,
        b: Vec<Slot>,
        c: [Slot; 4],
    },
    CpAsync {
        bytes: u8,
        dst: Address,
        src: Address,
        size: Option<Slot>,
    },
    CpCommit,
    /// Waits until at most this many of the newest groups are in flight; nothing: all, committed or not.
    CpWait {
        groups: Option<u64>,
    },
}

#[derive(Clone, Debug)]
pub(crate) struct Instruction {
    /// Executed where this register is 1 (or 0 with `true`).
    pub(crate) guard: Option<(Slot, bool)>,
    pub(crate) op: Op,
    pub(crate) line: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct Param {
    pub(crate) offset: usize,
    pub(crate) size: usize,
}

#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    pub(crate) name: String,
    pub(crate) code: Vec<Instruction>,
    pub(crate) params: Vec<Param>,
    pub(crate) param_bytes: usize,
    /// Initial values of the registers: all ones, constants where constants are.
    pub(crate) registers: Vec<u64>,
    /// Registers that hold addresses of module variables: slot, variable, offset.
    pub(crate) relocations: Vec<(Slot, String, i64)>,
    /// End of the statically allocated shared memory.
    pub(crate) shared_end: u64,
    /// Address of the first byte of dynamic shared memory.
    pub(crate) dynamic_start: u64,
    pub(crate) local_bytes: usize,
    pub(crate) max_threads: u32,
    /// Bytes a cell of the race shadow: 1 where bytes of shared memory are accessed alone, else 2.
    pub(crate) shadow_shift: u32,
    /// Registers declared (for `cuFuncGetAttribute`).
    pub(crate) declared: u32,
}

/// A variable of a module in global or constant memory.
#[derive(Clone, Debug)]
pub(crate) struct Variable {
    pub(crate) name: String,
    pub(crate) align: u64,
    pub(crate) bytes: Vec<u8>,
}

/// A parsed PTX module.
#[derive(Clone, Debug)]
pub(crate) struct Ptx {
    pub(crate) kernels: Vec<Kernel>,
    pub(crate) variables: Vec<Variable>,
    pub(crate) target: u32,
    pub(crate) lines: Vec<String>,
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Number(u64),
    Text,
    Punct(char),
}

fn tokenize(text: &str) -> Result<Vec<(Token, u32)>> {
    let b = text.as_bytes();
    let mut tokens = Vec::new();
    let (mut i, mut line) = (0, 1);
    let word = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'_' | b'$' | b'.' | b'%');
    while i < b.len() {
        let c = b[i];
        let error = |message: String| LoadError { line, message };
        match c {
            b'\n' => {
                line += 1;
                i += 1;
            }
            b' ' | b'\t' | b'\r' | 0 => i += 1,
            b'/' if b.get(i + 1) == Some(&b'/') => {
                while i < b.len() && b[i] != b'\n' {
                    i += 1;
                }
            }
            b'/' if b.get(i + 1) == Some(&b'*') => {
                while i < b.len() && !(b[i] == b'*' && b.get(i + 1) == Some(&b'/')) {
                    line += u32::from(b[i] == b'\n');
                    i += 1;
                }
                i += 2;
            }
            b'"' => {
                i += 1;
                while i < b.len() && b[i] != b'"' {
                    line += u32::from(b[i] == b'\n');
                    i += 1;
                }
                i += 1;
                tokens.push((Token::Text, line));
            }
            b'0'..=b'9' => {
                let start = i;
                while i < b.len() && word(b[i]) {
                    i += 1;
                }
                let s = &text[start..i];
                let lower = s.to_ascii_lowercase();
                let value = if let Some(hex) = lower.strip_prefix("0x") {
                    u64::from_str_radix(hex.trim_end_matches('u'), 16).ok()
                } else if let Some(hex) = lower
                    .strip_prefix("0f")
                    .or_else(|| lower.strip_prefix("0d"))
                {
                    u64::from_str_radix(hex, 16).ok()
                } else {
                    lower.trim_end_matches('u').parse().ok()
                };
                tokens.push((
                    Token::Number(value.ok_or_else(|| error(format!("`{s}` is not a number")))?),
                    line,
                ));
            }
            _ if word(c) => {
                let start = i;
                // `::` belongs to names of cache hints, a single colon ends a label.
                while i < b.len()
                    && (word(b[i])
                        || (b[i] == b':' && (b.get(i + 1) == Some(&b':') || b[i - 1] == b':')))
                {
                    i += 1;
                }
                tokens.push((Token::Word(text[start..i].to_owned()), line));
            }
            _ if b",;{}()[]+-@!|:=<>".contains(&c) => {
                tokens.push((Token::Punct(c as char), line));
                i += 1;
            }
            _ => return Err(error(format!("unexpected character {:?}", c as char))),
        }
    }
    Ok(tokens)
}

#[derive(Clone, Debug)]
enum Operand {
    /// A register or a constant.
    Slot(Slot),
    Not(Slot),
    Pair(Slot, Slot),
    Vector(Vec<Slot>),
    Memory(Address),
    Label(String),
}

struct Parser<'a> {
    tokens: &'a [(Token, u32)],
    at: usize,
    /// Shared variables of the module: name, alignment, size (nothing for dynamic).
    shared: Vec<(String, u64, Option<u64>)>,
    variables: Vec<Variable>,
}

type Result<T> = std::result::Result<T, LoadError>;

impl Ptx {
    /// Reads a module.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let tokens = tokenize(text)?;
        let mut p = Parser {
            tokens: &tokens,
            at: 0,
            shared: Vec::new(),
            variables: Vec::new(),
        };
        let mut kernels = Vec::new();
        let mut target = 0;
        while p.at < p.tokens.len() {
            let word = p.word()?;
            match word.as_str() {
                ".version" => {
                    // The tokenizer leaves `8.4` to the number rule, which knows no point.
                    return Err(p.error("internal: .version must be read before tokens".into()));
                }
                ".target" => {
                    let name = p.word()?;
                    target = name
                        .strip_prefix("sm_")
                        .and_then(|n| n.parse().ok())
                        .ok_or_else(|| p.error(format!("unknown target `{name}`")))?;
                    while p.punct(',') {
                        let mode = p.word()?;
                        if mode != "debug" {
                            return Err(p.error(format!("unknown target mode `{mode}`")));
                        }
                    }
                }
                ".address_size" => {
                    if p.number()? != 64 {
                        return Err(p.error("only 64-bit addresses".into()));
                    }
                }
                ".file" => p.skip_line(),
                ".visible" | ".weak" => {}
                ".extern" | ".shared" | ".global" | ".const" => {
                    let space = if word == ".extern" { p.word()? } else { word };
                    p.variable(&space)?;
                }
                ".entry" => kernels.push(p.kernel()?),
                _ => return Err(p.error(format!("unknown directive `{word}`"))),
            }
        }
        if target == 0 {
            return Err(LoadError {
                line: 1,
                message: "no .target".into(),
            });
        }
        Ok(Self {
            kernels,
            variables: p.variables,
            target,
            lines: text.lines().map(str::to_owned).collect(),
        })
    }

    /// Takes `.version` out of the text (leaving the line) and gives it as major·10 + minor.
    pub(crate) fn version(text: &str) -> Result<(String, u32)> {
        let none = || LoadError {
            line: 1,
            message: "no .version".into(),
        };
        let start = text.lines().scan(0, |at, l| {
            let here = *at;
            *at += l.len() + 1;
            Some((here, l))
        });
        let (at, line) = start
            .into_iter()
            .find(|(_, l)| l.trim_start().starts_with(".version"))
            .ok_or_else(none)?;
        let value = line.trim().trim_start_matches(".version").trim();
        let (major, minor) = value.split_once('.').ok_or_else(none)?;
        let major: u32 = major.parse().map_err(|_| none())?;
        let minor: u32 = minor.trim().parse().map_err(|_| none())?;
        let mut rest = text.to_owned();
        rest.replace_range(at..at + line.len(), "");
        Ok((rest, major * 10 + minor))
    }
}

impl Parser<'_> {
    fn line(&self) -> u32 {
        self.tokens
            .get(self.at.min(self.tokens.len().saturating_sub(1)))
            .map_or(1, |t| t.1)
    }
    fn error(&self, message: String) -> LoadError {
        let i = self.at.saturating_sub(1);
        LoadError {
            line: self.tokens.get(i).map_or(1, |t| t.1),
            message,
        }
    }
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.at).map(|t| &t.0)
    }
    fn punct(&mut self, c: char) -> bool {
        let found = self.peek() == Some(&Token::Punct(c));
        self.at += usize::from(found);
        found
    }
    fn expect(&mut self, c: char) -> Result<()> {
        if self.punct(c) {
            return Ok(());
        }
        self.at += 1;
        Err(self.error(format!(
            "expected `{c}`, found {:?}",
            self.tokens.get(self.at - 1).map(|t| &t.0)
        )))
    }
    fn word(&mut self) -> Result<String> {
        self.at += 1;
        match self.tokens.get(self.at - 1) {
            Some((Token::Word(w), _)) => Ok(w.clone()),
            other => Err(self.error(format!("expected a name, found {:?}", other.map(|t| &t.0)))),
        }
    }
    fn number(&mut self) -> Result<u64> {
        let negative = self.punct('-');
        self.at += 1;
        match self.tokens.get(self.at - 1) {
            Some((Token::Number(n), _)) => Ok(if negative { n.wrapping_neg() } else { *n }),
            other => Err(self.error(format!(
                "expected a number, found {:?}",
                other.map(|t| &t.0)
            ))),
        }
    }
    fn skip_line(&mut self) {
        let line = self.tokens[self.at - 1].1;
        while self.tokens.get(self.at).is_some_and(|t| t.1 == line) {
            self.at += 1;
        }
    }

    /// `[.align n] .type name [size] [= values];`
    fn declaration(&mut self) -> Result<(String, u64, u64, Option<u64>)> {
        let mut align = 0;
        let mut word = self.word()?;
        if word == ".align" {
            align = self.number()?;
            word = self.word()?;
        }
        let size = type_bytes(&word).ok_or_else(|| self.error(format!("unknown type `{word}`")))?;
        if !align.max(size).is_power_of_two() {
            return Err(self.error(format!("alignment {align} is no power of two")));
        }
        let name = self.word()?;
        let mut count = Some(1);
        while self.punct('[') {
            count = if self.peek() == Some(&Token::Punct(']')) {
                None
            } else {
                let n = self.number()?;
                count.and_then(|c: u64| c.checked_mul(n))
            };
            self.expect(']')?;
        }
        Ok((name, align.max(size), size, count))
    }

    fn variable(&mut self, space: &str) -> Result<()> {
        let (name, align, size, count) = self.declaration()?;
        match space {
            ".shared" => {
                self.shared.push((name, align, count.map(|c| c * size)));
            }
            ".global" | ".const" => {
                let bytes = count
                    .and_then(|c| c.checked_mul(size))
                    .filter(|&b| b <= 1 << 26);
                let bytes =
                    bytes.ok_or_else(|| self.error(format!("`{name}` has no sensible size")))?;
                let mut data = vec![0; bytes as usize];
                if self.punct('=') {
                    let braces = self.punct('{');
                    let mut at = 0;
                    loop {
                        let value = self.number()?.to_le_bytes();
                        let end = at + size as usize;
                        let slot = data.get_mut(at..end).ok_or_else(|| LoadError {
                            line: self.tokens[self.at - 1].1,
                            message: format!("too many values for `{name}`"),
                        })?;
                        slot.copy_from_slice(&value[..size as usize]);
                        at = end;
                        if !braces || !self.punct(',') {
                            break;
                        }
                    }
                    if braces {
                        self.expect('}')?;
                    }
                }
                self.variables.push(Variable {
                    name,
                    align,
                    bytes: data,
                });
            }
            _ => return Err(self.error(format!("unknown state space `{space}`"))),
        }
        self.expect(';')
    }

    fn kernel(&mut self) -> Result<Kernel> {
        let name = self.word()?;
        let mut params = Vec::new();
        let mut names = HashMap::new();
        let mut end = 0;
        if self.punct('(') {
            while !self.punct(')') {
                let word = self.word()?;
                if word != ".param" {
                    return Err(self.error(format!("expected .param, found `{word}`")));
                }
                // `.ptr .global .align n` between type and name says nothing that is needed here.
                let (name, align, size, count) = self.declaration()?;
                let size = count
                    .map(|c| c * size)
                    .ok_or_else(|| self.error(format!("`{name}` has no size")))?;
                let offset = (end as u64).next_multiple_of(align);
                end = (offset + size) as usize;
                if end > 4096 {
                    return Err(self.error("more than 4096 bytes of parameters".into()));
                }
                names.insert(name, offset);
                params.push(Param {
                    offset: offset as usize,
                    size: size as usize,
                });
                self.punct(',');
            }
        }
        let mut max_threads = 1024;
        while !self.punct('{') {
            let word = self.word()?;
            match word.as_str() {
                ".maxntid" | ".reqntid" => {
                    max_threads = self.number()? as u32;
                    while self.punct(',') {
                        max_threads = max_threads.saturating_mul(self.number()? as u32);
                    }
                }
                ".minnctapersm" | ".maxnreg" => {
                    self.number()?;
                }
                _ => return Err(self.error(format!("unknown kernel directive `{word}`"))),
            }
        }
        let mut body = Body::new(names);
        let mut dynamic = Vec::new();
        for (name, align, size) in &self.shared {
            match size {
                Some(size) => body.shared(name, *align, *size),
                None => dynamic.push((name.clone(), *align)),
            }
        }
        for v in &self.variables {
            body.module_names.push(v.name.clone());
        }
        // Where dynamic memory starts is known only once every static variable is: a relocation.
        body.dynamic.clone_from(&dynamic);
        let mut depth = 1;
        while depth > 0 {
            if self.at >= self.tokens.len() {
                return Err(self.error(format!("kernel `{name}` has no end")));
            }
            if self.punct('{') {
                depth += 1;
                body.open();
            } else if self.punct('}') {
                depth -= 1;
                body.close();
            } else {
                self.statement(&mut body)?;
            }
        }
        let line = self.line();
        body.push(None, Op::Exit, line);
        let mut dynamic_start = body.shared_end;
        for (_, align) in &dynamic {
            dynamic_start = dynamic_start.next_multiple_of(*align);
        }
        body.finish(name, params, end, max_threads, dynamic_start)
    }

    fn statement(&mut self, body: &mut Body) -> Result<()> {
        let line = self.line();
        let mut guard = None;
        if self.punct('@') {
            let negate = self.punct('!');
            let name = self.word()?;
            guard = Some((
                body.register(&name)
                    .ok_or_else(|| self.error(format!("unknown register `{name}`")))?,
                negate,
            ));
        }
        let word = self.word()?;
        if guard.is_none() && self.punct(':') {
            if self.peek() == Some(&Token::Word(".branchtargets".into())) {
                self.at += 1;
                let mut targets = vec![self.word()?];
                while self.punct(',') {
                    targets.push(self.word()?);
                }
                self.expect(';')?;
                body.tables.insert(word, targets);
                return Ok(());
            }
            return if body.label(word.clone()) {
                Ok(())
            } else {
                Err(self.error(format!("label `{word}` twice")))
            };
        }
        if word.starts_with('.') {
            return self.body_directive(&word, body);
        }
        let mut operands = Vec::new();
        let control = matches!(word.split('.').next(), Some("bra" | "brx"));
        if !self.punct(';') {
            loop {
                operands.push(self.operand(body, control)?);
                if !self.punct(',') {
                    break;
                }
            }
            self.expect(';')?;
        }
        decode(&word, &operands, body, guard, line).map_err(|message| LoadError { line, message })
    }

    fn body_directive(&mut self, word: &str, body: &mut Body) -> Result<()> {
        match word {
            ".reg" => {
                let ty = self.word()?;
                if !matches!(
                    ty.as_str(),
                    ".pred" | ".f16" | ".f16x2" | ".bf16" | ".bf16x2"
                ) && type_bytes(&ty).is_none()
                {
                    return Err(self.error(format!("unknown register type `{ty}`")));
                }
                loop {
                    let name = self.word()?;
                    if self.punct('<') {
                        let n = self.number()?;
                        self.expect('>')?;
                        if n > 1 << 20 {
                            return Err(self.error(format!("{n} registers are too many")));
                        }
                        for i in 0..n {
                            body.declare(format!("{name}{i}"), ty == ".pred");
                        }
                    } else {
                        body.declare(name, ty == ".pred");
                    }
                    if !self.punct(',') {
                        break;
                    }
                }
                self.expect(';')
            }
            ".shared" | ".local" => {
                let (name, align, size, count) = self.declaration()?;
                let bytes = count
                    .and_then(|c| c.checked_mul(size))
                    .filter(|&b| b <= 1 << 20);
                let bytes =
                    bytes.ok_or_else(|| self.error(format!("`{name}` has no sensible size")))?;
                if word == ".shared" {
                    body.shared(&name, align, bytes);
                } else {
                    body.local(&name, align, bytes);
                }
                self.expect(';')
            }
            ".pragma" => {
                while !self.punct(';') {
                    self.at += 1;
                    if self.at >= self.tokens.len() {
                        return Err(self.error("unfinished .pragma".into()));
                    }
                }
                Ok(())
            }
            ".loc" => {
                self.skip_line();
                Ok(())
            }
            _ => Err(self.error(format!("unknown directive `{word}`"))),
        }
    }

    /// A register, number, name of a variable (plus offset) or `_` as one slot.
    fn slot(&mut self, body: &mut Body) -> Result<Slot> {
        if matches!(self.peek(), Some(Token::Number(_) | Token::Punct('-'))) {
            let n = self.number()?;
            return Ok(body.constant(n));
        }
        let name = self.word()?;
        if name == "_" {
            return Ok(SINK);
        }
        if let Some(slot) = body.register(&name) {
            return Ok(slot);
        }
        let mut offset = 0;
        if self.punct('+') {
            offset = self.number()? as i64;
        }
        body.symbol(&name, offset)
            .ok_or_else(|| self.error(format!("unknown name `{name}`")))
    }

    fn operand(&mut self, body: &mut Body, control: bool) -> Result<Operand> {
        if self.punct('[') {
            let (base, mut offset) = match self.peek() {
                Some(Token::Number(_)) => (body.constant(0), self.number()? as i64),
                _ => (self.slot(body)?, 0),
            };
            if self.punct('+') || self.peek() == Some(&Token::Punct('-')) {
                offset = self.number()? as i64;
            }
            self.expect(']')?;
            return Ok(Operand::Memory(Address { base, offset }));
        }
        if self.punct('{') {
            let mut parts = Vec::new();
            loop {
                parts.push(self.slot(body)?);
                if !self.punct(',') {
                    break;
                }
            }
            self.expect('}')?;
            return Ok(Operand::Vector(parts));
        }
        if self.punct('!') {
            return Ok(Operand::Not(self.slot(body)?));
        }
        if control
            && let Some(Token::Word(w)) = self.peek()
            && body.register(w).is_none()
        {
            return Ok(Operand::Label(self.word()?));
        }
        let first = self.slot(body)?;
        if self.punct('|') {
            return Ok(Operand::Pair(first, self.slot(body)?));
        }
        Ok(Operand::Slot(first))
    }
}

fn type_bytes(ty: &str) -> Option<u64> {
    Some(match ty {
        ".b8" | ".u8" | ".s8" => 1,
        ".b16" | ".u16" | ".s16" | ".f16" | ".bf16" => 2,
        ".b32" | ".u32" | ".s32" | ".f32" | ".f16x2" | ".bf16x2" => 4,
        ".b64" | ".u64" | ".s64" | ".f64" => 8,
        _ => return None,
    })
}

/// A kernel under construction.
struct Body {
    code: Vec<Instruction>,
    /// Names of registers by scope, innermost last, each scope with its number.
    scopes: Vec<(u32, HashMap<String, Slot>)>,
    next_scope: u32,
    /// Slot of each constant.
    constants: HashMap<u64, Slot>,
    registers: Vec<u64>,
    relocations: Vec<(Slot, String, i64)>,
    params: HashMap<String, u64>,
    shared_names: HashMap<String, u64>,
    local_names: HashMap<String, u64>,
    module_names: Vec<String>,
    dynamic: Vec<(String, u64)>,
    dynamic_uses: Vec<(Slot, i64)>,
    labels: HashMap<(u32, String), u32>,
    tables: HashMap<String, Vec<String>>,
    /// Branches to resolve: instruction, label, enclosing scopes.
    pending: Vec<(usize, String, Vec<u32>)>,
    shared_end: u64,
    local_end: u64,
    byte_shared: bool,
    declared: u32,
    predicates: HashSet<Slot>,
}

impl Body {
    fn new(params: HashMap<String, u64>) -> Self {
        let special = SPECIAL
            .iter()
            .enumerate()
            .map(|(i, n)| ((*n).to_owned(), i as Slot))
            .collect();
        Self {
            code: Vec::new(),
            scopes: vec![(0, special)],
            next_scope: 1,
            constants: HashMap::new(),
            registers: vec![u64::MAX; SPECIAL.len() + 1],
            relocations: Vec::new(),
            params,
            shared_names: HashMap::new(),
            local_names: HashMap::new(),
            module_names: Vec::new(),
            dynamic: Vec::new(),
            dynamic_uses: Vec::new(),
            labels: HashMap::new(),
            tables: HashMap::new(),
            pending: Vec::new(),
            shared_end: SHARED_START,
            local_end: 0,
            byte_shared: false,
            declared: 0,
            predicates: HashSet::new(),
        }
    }
    fn open(&mut self) {
        self.scopes.push((self.next_scope, HashMap::new()));
        self.next_scope += 1;
    }
    fn close(&mut self) {
        self.scopes.pop();
    }
    fn declare(&mut self, name: String, predicate: bool) {
        let slot = self.temporary();
        self.declared += 1;
        if predicate {
            self.predicates.insert(slot);
        }
        if let Some((_, names)) = self.scopes.last_mut() {
            names.insert(name, slot);
        }
    }
    fn temporary(&mut self) -> Slot {
        self.registers.push(u64::MAX);
        (self.registers.len() - 1) as Slot
    }
    fn register(&self, name: &str) -> Option<Slot> {
        if name == "WARP_SZ" {
            return None;
        }
        self.scopes
            .iter()
            .rev()
            .find_map(|(_, names)| names.get(name))
            .copied()
    }
    fn constant(&mut self, value: u64) -> Slot {
        if let Some(&slot) = self.constants.get(&value) {
            return slot;
        }
        let slot = self.temporary();
        self.registers[slot as usize] = value;
        self.constants.insert(value, slot);
        slot
    }
    /// The value of an operand that must be a constant.
    fn value(&self, slot: Slot) -> Option<u64> {
        let value = *self.registers.get(slot as usize)?;
        (self.constants.get(&value) == Some(&slot)).then_some(value)
    }
    fn symbol(&mut self, name: &str, offset: i64) -> Option<Slot> {
        if name == "WARP_SZ" {
            return Some(self.constant(32));
        }
        let maps = [&self.params, &self.shared_names, &self.local_names];
        if let Some(&address) = maps.iter().find_map(|m| m.get(name)) {
            return Some(self.constant(address.wrapping_add_signed(offset)));
        }
        if self.dynamic.iter().any(|(n, _)| n == name) {
            let slot = self.temporary();
            self.dynamic_uses.push((slot, offset));
            return Some(slot);
        }
        if self.module_names.iter().any(|n| n == name) {
            let slot = self.temporary();
            self.relocations.push((slot, name.to_owned(), offset));
            return Some(slot);
        }
        None
    }
    fn shared(&mut self, name: &str, align: u64, size: u64) {
        let start = self.shared_end.next_multiple_of(align);
        self.shared_end = start + size;
        self.shared_names.insert(name.to_owned(), start);
    }
    fn local(&mut self, name: &str, align: u64, size: u64) {
        let start = self.local_end.next_multiple_of(align);
        self.local_end = start + size;
        self.local_names.insert(name.to_owned(), start);
    }
    fn label(&mut self, name: String) -> bool {
        let scope = self.scopes.last().map_or(0, |s| s.0);
        self.labels
            .insert((scope, name), self.code.len() as u32)
            .is_none()
    }
    fn push(&mut self, guard: Option<(Slot, bool)>, op: Op, line: u32) {
        self.code.push(Instruction { guard, op, line });
    }
    fn scope_path(&self) -> Vec<u32> {
        self.scopes.iter().rev().map(|s| s.0).collect()
    }

    fn finish(
        mut self,
        name: String,
        params: Vec<Param>,
        param_bytes: usize,
        max_threads: u32,
        dynamic_start: u64,
    ) -> Result<Kernel> {
        for (slot, offset) in &self.dynamic_uses {
            self.registers[*slot as usize] = dynamic_start.wrapping_add_signed(*offset);
        }
        for (at, label, path) in std::mem::take(&mut self.pending) {
            let line = self.code[at].line;
            let find = |l: &str| {
                path.iter()
                    .find_map(|s| self.labels.get(&(*s, l.to_owned())))
                    .copied()
                    .ok_or_else(|| LoadError {
                        line,
                        message: format!("unknown label `{l}`"),
                    })
            };
            let resolved = match &self.code[at].op {
                Op::BrxIdx { index, .. } => {
                    let table = self.tables.get(&label);
                    let table = table.ok_or_else(|| LoadError {
                        line,
                        message: format!("unknown table `{label}`"),
                    })?;
                    Op::BrxIdx {
                        index: *index,
                        targets: table.iter().map(|l| find(l)).collect::<Result<_>>()?,
                    }
                }
                _ => Op::Bra {
                    target: find(&label)?,
                },
            };
            self.code[at].op = resolved;
        }
        Ok(Kernel {
            name,
            code: self.code,
            params,
            param_bytes,
            registers: self.registers,
            relocations: self.relocations,
            shared_end: self.shared_end,
            dynamic_start,
            local_bytes: self.local_end as usize,
            max_threads,
            shadow_shift: u32::from(!self.byte_shared),
            declared: self.declared,
        })
    }
}

fn element(ty: &str) -> Option<Element> {
    let (bytes, signed) = match ty {
        "b8" | "u8" => (1, false),
        "s8" => (1, true),
        "b16" | "u16" | "f16" | "bf16" => (2, false),
        "s16" => (2, true),
        "b32" | "u32" | "f32" | "s32" | "f16x2" | "bf16x2" => (4, false),
        "b64" | "u64" | "f64" | "s64" => (8, false),
        _ => return None,
    };
    Some(Element { bytes, signed })
}

fn space(m: &mut Mods<'_>) -> Space {
    match m.one_of(&["global", "const", "shared", "shared::cta", "local", "param"]) {
        Some("global" | "const") => Space::Global,
        Some("shared" | "shared::cta") => Space::Shared,
        Some("local") => Space::Local,
        Some("param") => Space::Param,
        _ => Space::Generic,
    }
}

/// Takes any of the modifiers that change nothing here.
fn ignore(m: &mut Mods<'_>, names: &[&'static str]) {
    while m.one_of(names).is_some() {}
}

const CACHE: [&str; 18] = [
    "ca",
    "cg",
    "cs",
    "lu",
    "cv",
    "wb",
    "wt",
    "nc",
    "L1::evict_normal",
    "L1::evict_unchanged",
    "L1::evict_first",
    "L1::evict_last",
    "L1::no_allocate",
    "L2::64B",
    "L2::128B",
    "L2::256B",
    "L2::evict_first",
    "L2::evict_last",
];

fn decode(
    opcode: &str,
    operands: &[Operand],
    body: &mut Body,
    guard: Option<(Slot, bool)>,
    line: u32,
) -> std::result::Result<(), String> {
    let shape = || format!("`{opcode}` with operands that it does not take: {operands:?}");
    use Operand::{Label, Memory, Not, Pair, Slot as S, Vector};

    if let Some(alu) = alu::scalar(opcode)? {
        // Vectors pack and unpack.
        if opcode.starts_with("mov.") {
            let bits = match opcode {
                "mov.b16" => 16,
                "mov.b32" => 32,
                "mov.b64" => 64,
                _ => 0,
            };
            match operands {
                [S(d), Vector(parts)] if bits > 0 && matches!(parts.len(), 2 | 4) => {
                    body.push(
                        guard,
                        Op::Pack {
                            d: *d,
                            bits: bits / parts.len() as u32,
                            parts: parts.clone(),
                        },
                        line,
                    );
                    return Ok(());
                }
                [Vector(parts), S(a)] if bits > 0 && matches!(parts.len(), 2 | 4) => {
                    body.push(
                        guard,
                        Op::Unpack {
                            a: *a,
                            bits: bits / parts.len() as u32,
                            parts: parts.clone(),
                        },
                        line,
                    );
                    return Ok(());
                }
                _ => {}
            }
        }
        let (d, rest) = match operands {
            [S(d), rest @ ..] => (*d, rest),
            _ => return Err(shape()),
        };
        let mut sources = Vec::new();
        for operand in rest {
            match operand {
                S(s) => sources.push(*s),
                Not(s) => {
                    let t = body.temporary();
                    body.push(
                        guard,
                        Op::Un {
                            f: |a| (a & 1) ^ 1,
                            d: t,
                            a: *s,
                        },
                        line,
                    );
                    sources.push(t);
                }
                _ => return Err(shape()),
            }
        }
        let op = match (alu, sources.as_slice()) {
            (Alu::Un(f), &[a]) => Op::Un { f, d, a },
            (Alu::Bin(f), &[a, b]) => Op::Bin { f, d, a, b },
            (Alu::Tri(f), &[a, b, c]) => Op::Tri { f, d, a, b, c },
            (Alu::Cvt(spec), &[a]) => Op::Cvt { spec, d, a },
            _ => return Err(shape()),
        };
        body.push(guard, op, line);
        return Ok(());
    }

    let mut m = Mods::new(opcode);
    let base = m.next()?;
    let op = match base {
        "bfi" => {
            let bits = match m.next()? {
                "b32" => 32,
                "b64" => 64,
                _ => return Err(m.unknown()),
            };
            match operands {
                [S(d), S(a), S(b), S(c), S(e)] => Op::Bfi {
                    bits,
                    d: *d,
                    s: [*a, *b, *c, *e],
                },
                _ => return Err(shape()),
            }
        }
        "lop3" => match (m.next()?, operands) {
            ("b32", [S(d), S(a), S(b), S(c), S(e)]) => Op::Lop3 {
                d: *d,
                s: [*a, *b, *c, *e],
            },
            _ => return Err(shape()),
        },
        "setp" => {
            let cmp = m.next()?;
            let combine = m.one_of(&["and", "or", "xor"]);
            let ftz = m.take("ftz");
            let ty = m.next()?;
            let f = alu::comparison(&mut m, cmp, ty, ftz)?;
            let (d, e, rest) = match operands {
                [S(d), rest @ ..] => (*d, SINK, rest),
                [Pair(d, e), rest @ ..] => (*d, *e, rest),
                _ => return Err(shape()),
            };
            let which = |c: &str| match c {
                "and" => 0,
                "or" => 1,
                _ => 2,
            };
            match (rest, combine) {
                ([S(a), S(b)], None) => Op::Setp {
                    f,
                    d,
                    e,
                    a: *a,
                    b: *b,
                    combine: None,
                },
                ([S(a), S(b), S(c)], Some(k)) => Op::Setp {
                    f,
                    d,
                    e,
                    a: *a,
                    b: *b,
                    combine: Some((which(k), *c, false)),
                },
                ([S(a), S(b), Not(c)], Some(k)) => Op::Setp {
                    f,
                    d,
                    e,
                    a: *a,
                    b: *b,
                    combine: Some((which(k), *c, true)),
                },
                _ => return Err(shape()),
            }
        }
        "set" => {
            let cmp = m.next()?;
            let ftz = m.take("ftz");
            let yes = match m.next()? {
                "u32" | "s32" => 0xffff_ffff,
                "f32" => u64::from(1.0_f32.to_bits()),
                _ => return Err(m.unknown()),
            };
            let ty = m.next()?;
            let f = alu::comparison(&mut m, cmp, ty, ftz)?;
            match operands {
                [S(d), S(a), S(b)] => Op::Set {
                    f,
                    d: *d,
                    a: *a,
                    b: *b,
                    yes,
                },
                _ => return Err(shape()),
            }
        }
        "ld" | "ldu" | "st" => {
            ignore(
                &mut m,
                &["volatile", "relaxed", "weak", "gpu", "cta", "sys"],
            );
            let space = space(&mut m);
            ignore(&mut m, &CACHE);
            let n = match m.one_of(&["v2", "v4"]) {
                Some("v2") => 2,
                Some(_) => 4,
                None => 1,
            };
            let ty = m.next()?;
            let element = element(ty).ok_or_else(|| m.unknown())?;
            if n * usize::from(element.bytes) > 16 {
                return Err(m.unknown());
            }
            body.byte_shared |=
                element.bytes == 1 && matches!(space, Space::Shared | Space::Generic);
            let (list, at) = match (base, operands) {
                ("st", [Memory(at), v]) | (_, [v, Memory(at)]) => (v, *at),
                _ => return Err(shape()),
            };
            let slots = match list {
                S(s) if n == 1 => vec![*s],
                Vector(v) if v.len() == n => v.clone(),
                _ => return Err(shape()),
            };
            match base {
                "st" if space == Space::Param => return Err(m.unknown()),
                "st" => Op::St {
                    space,
                    bytes: element.bytes,
                    s: slots,
                    at,
                },
                _ => Op::Ld {
                    space,
                    element,
                    d: slots,
                    at,
                },
            }
        }
        "atom" | "red" => {
            ignore(&mut m, &["relaxed", "acq_rel", "gpu", "cta", "sys"]);
            let space = space(&mut m);
            if !matches!(space, Space::Global | Space::Shared | Space::Generic) {
                return Err(m.unknown());
            }
            ignore(&mut m, &["cta", "gpu", "sys"]);
            let op = match m.next()? {
                "add" => AtomOp::Add,
                "min" => AtomOp::Min,
                "max" => AtomOp::Max,
                "and" => AtomOp::And,
                "or" => AtomOp::Or,
                "xor" => AtomOp::Xor,
                "exch" => AtomOp::Exch,
                "cas" => AtomOp::Cas,
                _ => return Err(m.unknown()),
            };
            let ty = match m.next()? {
                "u32" | "b32" => AtomType::U32,
                "s32" => AtomType::S32,
                "u64" | "b64" => AtomType::U64,
                "f32" if op == AtomOp::Add => AtomType::F32,
                _ => return Err(m.unknown()),
            };
            match (base, op, operands) {
                ("red", _, [Memory(at), S(b)]) if op != AtomOp::Cas && op != AtomOp::Exch => {
                    Op::Atom {
                        space,
                        op,
                        ty,
                        d: SINK,
                        at: *at,
                        b: *b,
                        c: SINK,
                    }
                }
                ("atom", AtomOp::Cas, [S(d), Memory(at), S(b), S(c)]) => Op::Atom {
                    space,
                    op,
                    ty,
                    d: *d,
                    at: *at,
                    b: *b,
                    c: *c,
                },
                ("atom", _, [S(d), Memory(at), S(b)]) if op != AtomOp::Cas => Op::Atom {
                    space,
                    op,
                    ty,
                    d: *d,
                    at: *at,
                    b: *b,
                    c: SINK,
                },
                _ => return Err(shape()),
            }
        }
        "cvta" => {
            let to = m.take("to");
            let window = match space(&mut m) {
                Space::Global => 0,
                Space::Shared => SHARED_WINDOW,
                Space::Local => LOCAL_WINDOW,
                Space::Param if !to => PARAM_WINDOW,
                _ => return Err(m.unknown()),
            };
            if m.next()? != "u64" {
                return Err(m.unknown());
            }
            match operands {
                [S(d), S(a)] => {
                    let b = body.constant(if to { window.wrapping_neg() } else { window });
                    Op::Bin {
                        f: u64::wrapping_add,
                        d: *d,
                        a: *a,
                        b,
                    }
                }
                _ => return Err(shape()),
            }
        }
        "bra" => {
            m.take("uni");
            match operands {
                [Label(l)] => {
                    let path = body.scope_path();
                    body.pending.push((body.code.len(), l.clone(), path));
                    Op::Bra { target: 0 }
                }
                _ => return Err(shape()),
            }
        }
        "brx" => match (m.next()?, operands) {
            ("idx", [S(index), Label(table)]) => {
                m.take("uni");
                let path = body.scope_path();
                body.pending.push((body.code.len(), table.clone(), path));
                Op::BrxIdx {
                    index: *index,
                    targets: Vec::new(),
                }
            }
            _ => return Err(shape()),
        },
        "ret" | "exit" => {
            m.take("uni");
            Op::Exit
        }
        "trap" => Op::Trap,
        "membar" | "fence" => {
            ignore(&mut m, &["sc", "acq_rel", "cta", "gl", "gpu", "sys"]);
            Op::Nop
        }
        "bar" | "barrier" => {
            ignore(&mut m, &["cta"]);
            if base == "bar" && m.take("warp") {
                match (m.next()?, operands) {
                    ("sync", [S(mask)]) => Op::WarpBarrier { mask: *mask },
                    _ => return Err(shape()),
                }
            } else {
                if !m.take("sync") {
                    return Err(m.unknown());
                }
                let aligned = m.take("aligned") || base == "bar";
                match operands {
                    [S(id)] => Op::Barrier { id: *id, aligned },
                    _ => {
                        return Err(format!(
                            "`{opcode}` of a part of the block is not simulated"
                        ));
                    }
                }
            }
        }
        "shfl" => {
            if !m.take("sync") {
                return Err(m.unknown());
            }
            let mode = match m.next()? {
                "up" => ShflMode::Up,
                "down" => ShflMode::Down,
                "bfly" => ShflMode::Bfly,
                "idx" => ShflMode::Idx,
                _ => return Err(m.unknown()),
            };
            if m.next()? != "b32" {
                return Err(m.unknown());
            }
            match operands {
                [S(d), S(a), S(b), S(c), S(mask)] => Op::Shfl {
                    mode,
                    d: *d,
                    p: SINK,
                    a: *a,
                    b: *b,
                    c: *c,
                    mask: *mask,
                },
                [Pair(d, p), S(a), S(b), S(c), S(mask)] => Op::Shfl {
                    mode,
                    d: *d,
                    p: *p,
                    a: *a,
                    b: *b,
                    c: *c,
                    mask: *mask,
                },
                _ => return Err(shape()),
            }
        }
        "vote" => {
            if !m.take("sync") {
                return Err(m.unknown());
            }
            let (mode, ty) = match m.next()? {
                "all" => (VoteMode::All, "pred"),
                "any" => (VoteMode::Any, "pred"),
                "uni" => (VoteMode::Uni, "pred"),
                "ballot" => (VoteMode::Ballot, "b32"),
                _ => return Err(m.unknown()),
            };
            if m.next()? != ty {
                return Err(m.unknown());
            }
            match operands {
                [S(d), S(p), S(mask)] => Op::Vote {
                    mode,
                    d: *d,
                    p: *p,
                    negate: false,
                    mask: *mask,
                },
                [S(d), Not(p), S(mask)] => Op::Vote {
                    mode,
                    d: *d,
                    p: *p,
                    negate: true,
                    mask: *mask,
                },
                _ => return Err(shape()),
            }
        }
        "activemask" => match (m.next()?, operands) {
            ("b32", [S(d)]) => Op::ActiveMask { d: *d },
            _ => return Err(shape()),
        },
        "ldmatrix" => {
            if !(m.take("sync") && m.take("aligned") && m.take("m8n8")) {
                return Err(m.unknown());
            }
            let n = match m.next()? {
                "x1" => 1,
                "x2" => 2,
                "x4" => 4,
                _ => return Err(m.unknown()),
            };
            let trans = m.take("trans");
            if !(m.take("shared") || m.take("shared::cta")) || m.next()? != "b16" {
                return Err(m.unknown());
            }
            match operands {
                [Vector(d), Memory(at)] if d.len() == n => Op::Ldmatrix {
                    trans,
                    d: d.clone(),
                    at: *at,
                },
                [S(d), Memory(at)] if n == 1 => Op::Ldmatrix {
                    trans,
                    d: vec![*d],
                    at: *at,
                },
                _ => return Err(shape()),
            }
        }
        "mma" => {
            if !(m.take("sync") && m.take("aligned")) {
                return Err(m.unknown());
            }
            let k = match m.next()? {
                "m16n8k16" => 16_u8,
                "m16n8k8" => 8,
                _ => return Err(m.unknown()),
            };
            if !(m.take("row") && m.take("col") && m.take("f32")) {
                return Err(m.unknown());
            }
            let ty = m.next()?;
            if !matches!(ty, "bf16" | "f16") || m.next()? != ty || m.next()? != "f32" {
                return Err(m.unknown());
            }
            let n = usize::from(k / 4);
            match operands {
                [Vector(d), Vector(a), Vector(b), Vector(c)]
                    if d.len() == 4 && a.len() == n && b.len() == n / 2 && c.len() == 4 =>
                {
                    Op::Mma {
                        bf16: ty == "bf16",
                        k,
                        d: [d[0], d[1], d[2], d[3]],
                        a: a.clone(),
                        b: b.clone(),
                        c: [c[0], c[1], c[2], c[3]],
                    }
                }
                _ => return Err(shape()),
            }
        }
        "cp" => {
            if !m.take("async") {
                return Err(m.unknown());
            }
            match m.next()? {
                "commit_group" if operands.is_empty() => Op::CpCommit,
                "wait_all" if operands.is_empty() => Op::CpWait { groups: None },
                "wait_group" => match operands {
                    [S(n)] => Op::CpWait {
                        groups: Some(body.value(*n).ok_or_else(shape)?),
                    },
                    _ => return Err(shape()),
                },
                cache @ ("ca" | "cg") => {
                    if !(m.take("shared") || m.take("shared::cta")) || !m.take("global") {
                        return Err(m.unknown());
                    }
                    ignore(&mut m, &["L2::64B", "L2::128B", "L2::256B"]);
                    let (dst, src, bytes, rest) = match operands {
                        [Memory(d), Memory(s), S(n), rest @ ..] => {
                            (*d, *s, body.value(*n).ok_or_else(shape)?, rest)
                        }
                        _ => return Err(shape()),
                    };
                    if !(bytes == 16 || (cache == "ca" && matches!(bytes, 4 | 8))) {
                        return Err(format!("`{opcode}` of {bytes} bytes"));
                    }
                    // The fourth operand is the size of the source, the rest being zero; the form with a
                    // predicate in its place is not simulated.
                    let size = match rest {
                        [] => None,
                        [S(n)] if !body.predicates.contains(n) => Some(*n),
                        _ => return Err(shape()),
                    };
                    Op::CpAsync {
                        bytes: bytes as u8,
                        dst,
                        src,
                        size,
                    }
                }
                _ => return Err(m.unknown()),
            }
        }
        _ => return Err(format!("unknown opcode `{opcode}`")),
    };
    m.finish()?;
    body.push(guard, op, line);
    Ok(())
}
