//! Running text: corpora as JSON lines or Parquet, plain files, and a folder of regions.
//!
//! A document is one item. It is its own cluster unless a field names one (an author, a speaker).

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Ids, entries, name, stem};
use relscale::distribution::jsonl::each_line;
use relscale::distribution::{Content, Distribution, Item, Items};
use relscale::{Error, input};

/// Names of the fields of a corpus in JSON lines.
///
/// Exhaustive: it mirrors the fields of a study's file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, schemars::JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct TextFields {
    /// Field of the text.
    pub text: String,
    /// Field of the document's id; a line without it has its number as id.
    pub id: String,
    /// Field that dependent documents share (an author); `None` makes each document a cluster.
    pub cluster: Option<String>,
}

impl Default for TextFields {
    /// `text` and `id`.
    fn default() -> Self {
        Self {
            text: "text".to_owned(),
            id: "id".to_owned(),
            cluster: None,
        }
    }
}

/// Reads a corpus in JSON lines; the distribution is named after the file.
///
/// # Errors
/// A file that cannot be read or has no documents; the first line whose text is missing or empty or
/// whose id occurred before, by number.
///
/// # Examples
/// ```
/// use relscale_cli::readers::texts::{self, TextFields};
/// use relscale::distribution::Distribution;
///
/// let path = std::env::temp_dir().join("relscale-doc-corpus.jsonl");
/// std::fs::write(&path, r#"{"body": "Once upon a time", "author": "Anon"}"#)?;
/// let fields = TextFields {
///     text: "body".into(),
///     cluster: Some("author".into()),
///     ..TextFields::default()
/// };
/// let corpus = texts::from_jsonl(&path, &fields)?;
/// assert_eq!((corpus.len(), corpus.item(0)?.cluster.as_str()), (1, "Anon"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn from_jsonl(path: impl AsRef<Path>, fields: &TextFields) -> Result<Items, Error> {
    let path = path.as_ref();
    let mut items = Vec::new();
    let mut seen = Ids::default();
    each_line(path, |number, mut line: Map<String, Value>| {
        let id = name(&line, &fields.id)?.unwrap_or_else(|| number.to_string());
        seen.insert(&id, number)?;
        let cluster = match &fields.cluster {
            None => id.clone(),
            Some(field) => name(&line, field)?.ok_or_else(|| format!("no `{field}`"))?,
        };
        let text = match line.remove(&fields.text) {
            Some(Value::String(text)) if !text.is_empty() => text,
            Some(Value::String(_)) => return Err(format!("`{}` is empty", fields.text)),
            _ => return Err(format!("no `{}` that is a string", fields.text)),
        };
        items.push(Item {
            id,
            cluster,
            content: Content::Text(text),
        });
        Ok(())
    })?;
    if items.is_empty() {
        return Err(Error::format(path, "no documents"));
    }
    Items::new(stem(path), items)
}

/// Reads a plain text file as one document, or each `.txt` file of a folder as one; the distribution
/// is named after the file or folder. The files may be compressed ([`input::open`]).
///
/// # Errors
/// A folder without `.txt` files; a file that cannot be read, is not UTF-8 or is empty.
pub fn from_plain(path: impl AsRef<Path>) -> Result<Items, Error> {
    let path = path.as_ref();
    let (name, documents) = if path.is_dir() {
        let name = path
            .file_name()
            .map_or_else(String::new, |n| n.to_string_lossy().into_owned());
        let mut documents = entries(path)?;
        documents.retain(|file| file.is_file() && kind(file) == "txt");
        (name, documents)
    } else {
        (stem(path), vec![path.to_owned()])
    };
    if documents.is_empty() {
        return Err(Error::format(path, "no file `.txt`"));
    }
    let mut items = Vec::with_capacity(documents.len());
    for document in documents {
        let io = |e| Error::io(&document, e);
        let mut bytes = Vec::new();
        let mut file = input::open(&document).map_err(io)?;
        file.read_to_end(&mut bytes).map_err(io)?;
        let text = String::from_utf8(bytes)
            .map_err(|e| Error::format(&document, format!("not UTF-8: {}", e.utf8_error())))?;
        if text.is_empty() {
            return Err(Error::format(&document, "the text is empty"));
        }
        let id = stem(&document);
        items.push(Item {
            id: id.clone(),
            cluster: id,
            content: Content::Text(text),
        });
    }
    Items::new(name, items)
}

/// Reads the regions (or dialects, genres, speakers) of a folder, in alphabetical order. A region is a
/// sub-folder of `.txt` files, or a file `<region>.jsonl`, `.parquet` (with columns for fields) or `.txt` (one
/// document). Text files may be compressed, with `.gz` or `.zst` at the end of the name.
///
/// Other files and folders are left out ([`others`]); so are files of text named `README`, `SOURCES` or
/// `LICENSE`, and a folder of licences.
///
/// # Errors
/// A folder without regions; a region that occurs twice; a file that looks like texts and is not read
/// (`.json`, `.arrow`, other compressions); the errors of [`from_jsonl`] and [`from_plain`].
pub fn regions(dir: impl AsRef<Path>, fields: &TextFields) -> Result<Vec<Items>, Error> {
    let dir = dir.as_ref();
    let mut found: BTreeMap<String, Items> = BTreeMap::new();
    for path in entries(dir)? {
        let Some(form) = form(&path) else {
            continue;
        };
        let items = match form {
            Form::Plain => from_plain(&path)?,
            Form::Lines => from_jsonl(&path, fields)?,
            Form::Unread(way_out) => return Err(Error::format(path, way_out)),
        };
        let name = items.name().to_owned();
        if found.insert(name, items).is_some() {
            return Err(Error::format(
                path,
                "a folder or a file of this name is there too",
            ));
        }
    }
    if found.is_empty() {
        let message = "neither folders of texts nor `.jsonl`, `.parquet` or `.txt`";
        return Err(Error::format(dir, message));
    }
    Ok(found.into_values().collect())
}

/// The files and folders beside the regions of a folder, which are left out.
///
/// # Errors
/// A folder that cannot be read.
pub fn others(dir: impl AsRef<Path>) -> Result<Vec<PathBuf>, Error> {
    let mut found = entries(dir.as_ref())?;
    found.retain(|path| form(path).is_none());
    Ok(found)
}

/// Kind of an entry of a folder of texts.
enum Form {
    /// A folder of `.txt` files, or one such file.
    Plain,
    /// Lines of JSON, or Parquet.
    Lines,
    /// Texts that are not read, with the way out.
    Unread(&'static str),
}

fn form(path: &Path) -> Option<Form> {
    const NOTES: [&str; 5] = ["readme", "source", "sources", "license", "licence"];
    const LICENCES: [&str; 4] = ["license", "licence", "licenses", "licences"];
    if path.is_dir() {
        let is_licences = LICENCES.contains(&stem(path).to_ascii_lowercase().as_str());
        // A folder that cannot be listed is not left out: reading it says why.
        let has_texts = entries(path).map_or(true, |all| all.iter().any(|p| kind(p) == "txt"));
        return (has_texts && !is_licences).then_some(Form::Plain);
    }
    if NOTES.contains(&stem(path).to_ascii_lowercase().as_str()) {
        return None;
    }
    Some(match kind(path).as_str() {
        "txt" => Form::Plain,
        "jsonl" | "ndjson" | "parquet" => Form::Lines,
        "xz" | "bz2" | "zip" | "gz" | "zst" => Form::Unread(
            "is compressed in a way or holds files that are not read; unpack it, or move it elsewhere",
        ),
        "arrow" | "json" => Form::Unread(
            "is not read; write it as JSON lines, `.jsonl`, or as Parquet, or move it elsewhere",
        ),
        _ => return None,
    })
}

/// The extension in lower case, that before `.gz` and `.zst`.
fn kind(path: &Path) -> String {
    let of = |path: &Path| {
        let extension = path.extension().and_then(|e| e.to_str());
        extension.unwrap_or_default().to_ascii_lowercase()
    };
    match of(path).as_str() {
        compressed @ ("gz" | "zst") => match of(&path.with_extension("")).as_str() {
            "" | "tar" => compressed.to_owned(),
            inner => inner.to_owned(),
        },
        plain => plain.to_owned(),
    }
}
