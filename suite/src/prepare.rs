//! Documents → training and validation streams, test distributions and the aggregate sample.
//!
//! Whole documents go to one side or the other: a hash of the document's name decides the order in which
//! they are taken for the tests, the aggregate, validation and, last, training. After that every training
//! paragraph that repeats [`OVERLAP`] bytes of a held-out text is dropped.

use crate::data::write_tokens;
use crate::shape::BOS;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::error::Error;
use std::fmt::Write as _;
use std::path::Path;

/// A part of the mixtures. `share` is its percentage of the bytes of the aggregate and of validation; `test` the
/// distribution made of it.
struct Component {
    name: &'static str,
    share: f64,
    test: Option<&'static str>,
}

const fn part(name: &'static str, share: f64, test: Option<&'static str>) -> Component {
    Component { name, share, test }
}

const COMPONENTS: [Component; 20] = [
    part("essays", 18.0, None),
    part("english-manuals", 17.0, Some("english-help")),
    part("novels", 12.0, Some("english-novel")),
    part("python", 8.0, Some("python-code")),
    part("scripture", 6.0, Some("english-scripture")),
    part("german", 6.0, Some("german-help")),
    part("manual-pages", 5.0, Some("manual-pages")),
    part("rust", 5.0, Some("rust-code")),
    part("database-manual", 4.0, Some("database-manual")),
    part("french", 4.0, Some("french-help")),
    part("go", 3.0, Some("go-code")),
    part("spanish", 3.0, Some("spanish-help")),
    part("russian", 3.0, Some("russian-help")),
    part("portuguese", 1.5, Some("portuguese-help")),
    part("chinese", 1.5, Some("chinese-help")),
    part("gnome-help", 1.0, None),
    part("polish", 1.0, Some("polish-help")),
    part("japanese", 1.0, Some("japanese-help")),
    part("italian", 0.0, Some("italian-help")),
    part("czech", 0.0, Some("czech-help")),
];

/// Percentages of the training bytes in the corpora of the suite, in the order of [`COMPONENTS`]: mostly
/// English, many languages alike, and mostly code and manuals. Tests, aggregate and validation are
/// the same for all, so that corpora can be compared.
pub const CORPORA: [(&str, [f64; 20]); 3] = [
    (
        "english",
        [
            21.0, 25.0, 14.0, 6.0, 8.0, 2.0, 6.0, 4.0, 5.0, 2.0, 3.0, 1.0, 0.7, 0.5, 0.4, 1.0, 0.2,
            0.2, 0.0, 0.0,
        ],
    ),
    (
        "balanced",
        [
            6.0, 12.0, 6.0, 4.0, 3.0, 9.0, 4.0, 3.0, 3.0, 8.0, 3.0, 7.0, 7.0, 6.0, 6.0, 1.0, 6.0,
            6.0, 0.0, 0.0,
        ],
    ),
    (
        "technical",
        [
            3.0, 22.0, 2.0, 14.0, 1.0, 2.0, 14.0, 12.0, 12.0, 2.0, 10.0, 1.5, 1.0, 0.8, 0.7, 1.0,
            0.5, 0.5, 0.0, 0.0,
        ],
    ),
];

const TRAIN_BYTES: f64 = 24e6;
const VALID_BYTES: f64 = 384e3;
const AGGREGATE_BYTES: f64 = 60e3;
/// A test distribution ends with the document that reaches this.
const TEST_BYTES: usize = 28_500;
/// At most this much of one document, so that a distribution has at least ten.
const DOCUMENT_BYTES: usize = 2_600;
const ITEM_BYTES: usize = 1_200;
const SHORTEST_ITEM: usize = 300;
/// Held-out and training text share no stretch of this many bytes.
pub const OVERLAP: usize = 96;
/// Pages of the LibreOffice help are translations of each other: held out in every language or in none.
const PARALLEL_PAGES: usize = 60;
const HELD_OUT_BOOKS: [&str; 8] = ["Est", "Eccl", "Ruth", "Hab", "Gal", "Jas", "Lam", "Jonah"];

#[derive(Deserialize)]
struct Document {
    id: String,
    text: String,
}

/// A line of a test file.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
pub struct Item {
    pub id: String,
    pub cluster: String,
    pub text: String,
}

/// The test distribution made of a component, if there is one.
pub fn test_of(component: &str) -> Option<&'static str> {
    COMPONENTS.iter().find(|c| c.name == component)?.test
}

fn fnv(bytes: &[u8]) -> u64 {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325u64, |h, &b| {
        (h ^ u64::from(b)).wrapping_mul(0x0100_0000_01b3)
    });
    // FNV's high bits mix poorly on short names.
    (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

fn read_documents(docs: &Path, name: &str) -> Result<Vec<Document>, Box<dyn Error>> {
    let path = docs.join(format!("{name}.jsonl"));
    let text = std::fs::read_to_string(&path)
        .map_err(|e| format!("{}: {e} (run fetch.sh first)", path.display()))?;
    let mut all: Vec<Document> = text
        .lines()
        .map(serde_json::from_str)
        .collect::<Result<_, _>>()?;
    all.sort_by_key(|d| (fnv(d.id.as_bytes()), d.id.clone()));
    Ok(all)
}

fn is_parallel(d: &Document) -> bool {
    d.id.starts_with("libreoffice/")
}

/// The help in English: which of its pages are held out, and its paragraphs, to know what a translation left as it was.
struct English {
    held_out: HashSet<String>,
    paragraphs: HashSet<String>,
}

impl English {
    /// Held out are pages of middling length, first by hash.
    fn read(docs: &Path) -> Result<English, Box<dyn Error>> {
        let mut pages = read_documents(docs, "english-manuals")?;
        pages.retain(is_parallel);
        let middling = pages
            .iter()
            .filter(|d| (900..2_600).contains(&d.text.len()));
        let held_out = middling
            .take(PARALLEL_PAGES)
            .map(|d| d.id.clone())
            .collect();
        let paragraphs = pages
            .iter()
            .flat_map(|d| {
                d.text
                    .split("\n\n")
                    .filter(|p| p.len() >= 30)
                    .map(String::from)
            })
            .collect();
        Ok(English {
            held_out,
            paragraphs,
        })
    }

    fn translated(&self, d: &mut Document) {
        if is_parallel(d) {
            d.text = d
                .text
                .split("\n\n")
                .filter(|&p| !self.paragraphs.contains(p))
                .collect::<Vec<_>>()
                .join("\n\n");
        }
    }
}

/// Cuts text into items of at most `ITEM_BYTES` at paragraph, line or, at worst, character boundaries.
fn cut(text: &str, most: usize) -> Vec<String> {
    let mut items: Vec<String> = Vec::new();
    let mut rest = text.trim();
    let mut taken = 0;
    while !rest.is_empty() && taken + SHORTEST_ITEM <= most {
        let mut end = ITEM_BYTES.min(most - taken).min(rest.len());
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        if end < rest.len() {
            let tail = ["\n\n", "\n", ". ", "。", " "].iter().find_map(|mark| {
                rest[..end]
                    .rfind(mark)
                    .map(|at| at + mark.len())
                    .filter(|&at| at > end / 2)
            });
            end = tail.unwrap_or(end);
        }
        let item = rest[..end].trim();
        taken += item.len();
        items.push(item.to_string());
        rest = rest[end..].trim_start_matches('\n');
    }
    items.retain(|item| item.len() >= SHORTEST_ITEM);
    items
}

/// Start of an excerpt of a long document: 0 for prose, a third in for code, whose beginnings
/// (imports, notices) resemble each other.
fn excerpt(component: &str, text: &str) -> usize {
    if !["python", "rust", "go", "manual-pages"].contains(&component)
        || text.len() < 4 * DOCUMENT_BYTES
    {
        return 0;
    }
    let mut start = text.len() / 3;
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    start + text[start..].find("\n\n").map_or(0, |at| at + 2)
}

fn items_of(component: &str, d: &Document, most: usize) -> Vec<Item> {
    let start = excerpt(component, &d.text);
    cut(&d.text[start..], most)
        .into_iter()
        .enumerate()
        .map(|(i, text)| Item {
            id: format!("{}#{i}", d.id),
            cluster: d.id.clone(),
            text,
        })
        .collect()
}

fn write_items(path: &Path, items: &[Item]) -> Result<(), Box<dyn Error>> {
    let mut out = String::new();
    for item in items {
        out.push_str(&serde_json::to_string(item)?);
        out.push('\n');
    }
    Ok(std::fs::write(path, out)?)
}

/// Every stretch of `OVERLAP` bytes of the texts added, by a rolling hash.
#[derive(Default)]
struct Stretches(HashSet<u64>);

impl Stretches {
    const BASE: u64 = 0x0100_0000_01b3;

    fn each(text: &[u8], mut see: impl FnMut(u64) -> bool) {
        let lead = (0..OVERLAP).fold(1u64, |p, _| p.wrapping_mul(Self::BASE));
        let mut hash = 0u64;
        for (i, &b) in text.iter().enumerate() {
            hash = hash.wrapping_mul(Self::BASE).wrapping_add(u64::from(b) + 1);
            if i >= OVERLAP {
                hash = hash.wrapping_sub(lead.wrapping_mul(u64::from(text[i - OVERLAP]) + 1));
            }
            if i + 1 >= OVERLAP && see(hash) {
                return;
            }
        }
    }

    fn add(&mut self, text: &str) {
        Self::each(text.as_bytes(), |h| {
            self.0.insert(h);
            false
        });
    }

    fn touch(&self, text: &str) -> bool {
        let mut found = false;
        Self::each(text.as_bytes(), |h| {
            found = self.0.contains(&h);
            found
        });
        found
    }
}

/// The document without the paragraphs (and, if need be, lines) that repeat held-out text.
fn clean(text: &str, held: &Stretches) -> String {
    if !held.touch(text) {
        return text.to_string();
    }
    let keep = |piece: &&str| !held.touch(piece);
    let kept = text
        .split("\n\n")
        .filter(keep)
        .collect::<Vec<_>>()
        .join("\n\n");
    // A stretch may also cross paragraphs; then the document is left out.
    if held.touch(&kept) {
        String::new()
    } else {
        kept
    }
}

/// Writes `data/valid.bin`, `texts/*.jsonl`, and `train.bin` and `mixture.csv` of every
/// corpus of the suite to `data/<corpus>/`.
pub fn prepare(suite: &Path) -> Result<(), Box<dyn Error>> {
    let (docs, texts, data) = (
        suite.join("data/docs"),
        suite.join("texts"),
        suite.join("data"),
    );
    let english = English::read(&docs)?;
    let mut held = Stretches::default();
    let (mut aggregate, mut valid) = (Vec::new(), Vec::<String>::new());
    let mut rest = Vec::new();
    for c in &COMPONENTS {
        let mut test: Vec<Item> = Vec::new();
        let mut size = 0;
        let mut others = Vec::new();
        let help = c.test.is_some_and(|t| t.ends_with("-help"));
        for mut d in read_documents(&docs, c.name)? {
            if c.name != "english-manuals" {
                english.translated(&mut d);
            }
            let own = match c.name {
                "novels" => d.id.starts_with("Northanger Abbey/"),
                "scripture" => HELD_OUT_BOOKS.contains(&d.id.split('/').next().unwrap_or_default()),
                _ if help => is_parallel(&d) && english.held_out.contains(&d.id),
                _ => c.test.is_some() && d.text.len() >= 1_500,
            };
            if own && c.test.is_some() && size < TEST_BYTES {
                let items = items_of(c.name, &d, DOCUMENT_BYTES);
                size += items.iter().map(|i| i.text.len()).sum::<usize>();
                test.extend(items);
            } else if !(own && (help || ["novels", "scripture"].contains(&c.name))) {
                others.push(d);
            }
        }
        if let Some(name) = c.test {
            test.iter().for_each(|i| held.add(&i.text));
            write_items(&texts.join(format!("{name}.jsonl")), &test)?;
            let clusters: HashSet<_> = test.iter().map(|i| &i.cluster).collect();
            println!(
                "{name}: {} items, {} documents, {size} bytes",
                test.len(),
                clusters.len()
            );
        }
        rest.push(others);
    }
    // The aggregate and validation: other documents, each component by its share. None may repeat a tested text.
    let mut left = Vec::new();
    for (c, others) in COMPONENTS.iter().zip(rest) {
        let (mut want, mut want_valid) = (
            AGGREGATE_BYTES * c.share / 100.0,
            VALID_BYTES * c.share / 100.0,
        );
        let mut others = others.into_iter().peekable();
        while want > SHORTEST_ITEM as f64 {
            let Some(d) = others.next() else { break };
            let mut items = items_of(c.name, &d, want.min(2_000.0) as usize);
            items.retain(|i| !held.touch(&i.text));
            for mut item in items {
                item.id = format!("{}/{}", c.name, item.id);
                item.cluster = format!("{}/{}", c.name, item.cluster);
                want -= item.text.len() as f64;
                aggregate.push(item);
            }
        }
        while want_valid > 0.0 {
            let Some(d) = others.next() else { break };
            let excerpt: String = clean(&d.text, &held).chars().take(4_000).collect();
            want_valid -= excerpt.len() as f64;
            valid.push(excerpt);
        }
        left.push(others.collect::<Vec<_>>());
    }
    aggregate.iter().for_each(|i| held.add(&i.text));
    valid.iter().for_each(|t| held.add(t));
    write_items(&texts.join("aggregate.jsonl"), &aggregate)?;
    write_stream(&data.join("valid.bin"), valid)?;
    for (corpus, shares) in &CORPORA {
        println!("corpus {corpus}");
        let folder = data.join(corpus);
        std::fs::create_dir_all(&folder)?;
        write_training(&folder, shares, &left, &held)?;
    }
    Ok(())
}

/// Writes `train.bin` and `mixture.csv` of a corpus with these shares.
fn write_training(
    folder: &Path,
    shares: &[f64],
    left: &[Vec<Document>],
    held: &Stretches,
) -> Result<(), Box<dyn Error>> {
    let mut table = String::from("component,share_wanted,documents,bytes,share\n");
    let mut train = Vec::new();
    for ((c, share), documents) in COMPONENTS.iter().zip(shares).zip(left) {
        let (mut size, mut count) = (0usize, 0);
        for d in documents {
            if size as f64 >= TRAIN_BYTES * share / 100.0 {
                break;
            }
            let text = clean(&d.text, held);
            if text.len() >= 200 {
                size += text.len();
                count += 1;
                train.push(text);
            }
        }
        writeln!(
            table,
            "{},{share},{count},{size},{:.2}",
            c.name,
            size as f64 / TRAIN_BYTES * 100.0
        )?;
    }
    assert!(
        !train.iter().any(|t| held.touch(t)),
        "training text repeats a held-out text"
    );
    // Windows are shuffled in training; documents are shuffled here so that a window may hold two that differ.
    train.sort_by_key(|t| fnv(t.as_bytes()));
    print!("{table}");
    std::fs::write(folder.join("mixture.csv"), table)?;
    write_stream(&folder.join("train.bin"), train)
}

fn write_stream(path: &Path, texts: Vec<String>) -> Result<(), Box<dyn Error>> {
    let tokens: Vec<u16> = texts
        .iter()
        .flat_map(|t| t.bytes().map(u16::from).chain([BOS]))
        .collect();
    println!("{}: {} tokens", path.display(), tokens.len());
    Ok(write_tokens(path, &tokens)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_whole_characters_of_bounded_size() {
        let text = "Wörter und Sätze. ".repeat(400);
        let items = cut(&text, DOCUMENT_BYTES);
        assert!(items.len() >= 2);
        assert!(
            items
                .iter()
                .all(|i| (SHORTEST_ITEM..=ITEM_BYTES).contains(&i.len()))
        );
        assert!(text.starts_with(&items[0]));
    }

    #[test]
    fn repeated_stretches_are_found_and_dropped() {
        let mut held = Stretches::default();
        let secret = "the quick brown fox jumps over the lazy dog, ".repeat(4);
        held.add(&secret);
        let text = format!(
            "first paragraph\n\nintro:{}:outro\n\nlast",
            &secret[10..10 + OVERLAP]
        );
        assert_eq!(clean(&text, &held), "first paragraph\n\nlast");
        let short = format!("intro:{}:outro", &secret[10..10 + OVERLAP - 1]);
        assert_eq!(clean(&short, &held), short);
    }

    #[test]
    fn shares_add_up() {
        assert_eq!(COMPONENTS.iter().map(|c| c.share).sum::<f64>(), 100.0);
        for (corpus, shares) in CORPORA {
            let sum: f64 = shares.iter().sum();
            assert!((sum - 100.0).abs() < 1e-9, "{corpus}: {sum}");
        }
    }
}
