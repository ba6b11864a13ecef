//! LoRA adapters as PEFT saves them, merged into their base while its tensors are read.

use std::collections::BTreeMap;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;

use super::files::read_text;
use super::folder::Layout;
use super::{Entry, Weights, gguf};
use crate::error::Error;
use merge::Delta;
use names::{Part, Target};
use settings::Settings;

pub(super) mod merge;
mod names;
mod settings;

/// The configuration of an adapter.
pub(super) const ADAPTER: &str = "adapter_config.json";
const MODEL_CONFIG: &str = "config.json";
/// Largest accepted configuration, as that of a model.
const MAX_CONFIG_BYTES: u64 = 1 << 20;
/// Way out for an adapter whose base is not known.
const NAME_BASE: &str = "name its folder (`--base DIR`, the column `base` of a table of runs, \
                         `Checkpoint::with_base`), or write it into this field";
/// Way out for adapters that are not read.
const MERGE_IT: &str =
    "merge it with PEFT (`merge_and_unload`, `save_pretrained`) and name the merged folder";

/// The folder of an adapter, without the weights of a whole model.
#[derive(Debug)]
pub(crate) struct Adapter {
    dir: PathBuf,
    settings: Settings,
    layout: Layout,
}

impl Adapter {
    /// The adapter in `dir`, if there is one and no whole model.
    ///
    /// # Errors
    /// An adapter of another kind, or one without weights.
    pub(crate) fn of(dir: &Path) -> Result<Option<Self>, Error> {
        let config = dir.join(ADAPTER);
        if !config.exists() || Layout::of(dir).is_some() || gguf::find(dir)?.is_some() {
            return Ok(None);
        }
        let settings = Settings::parse(&read_text(&config, MAX_CONFIG_BYTES)?, &config)?;
        let Some(layout) = Layout::of_adapter(dir) else {
            let message = format!(
                "holds {ADAPTER}, but neither adapter_model.safetensors nor adapter_model.bin"
            );
            return Err(Error::format(dir, message));
        };
        Ok(Some(Self {
            dir: dir.to_owned(),
            settings,
            layout,
        }))
    }

    /// The folder of the base that the configuration names.
    ///
    /// # Errors
    /// No local folder.
    pub(crate) fn base(&self) -> Result<PathBuf, Error> {
        let error = |message: String| Error::Config {
            path: self.dir.join(ADAPTER),
            field: "base_model_name_or_path".to_owned(),
            message,
        };
        let name = self.settings.base.as_deref().unwrap_or_default();
        if name.is_empty() {
            return Err(error(format!("names no model; {NAME_BASE}")));
        }
        // Against the working directory, as PEFT.
        let base = PathBuf::from(name);
        if !base.is_dir() {
            return Err(error(format!("`{name}` is no local folder; {NAME_BASE}")));
        }
        Ok(base)
    }

    /// The base in `folder`, or `folder` itself if it is no folder of bases.
    ///
    /// # Errors
    /// A folder without a model that does not hold the base either.
    pub(crate) fn base_in(&self, folder: &Path) -> Result<PathBuf, Error> {
        let is_model = |dir: &Path| dir.join(MODEL_CONFIG).exists();
        if is_model(folder) || !folder.is_dir() {
            return Ok(folder.to_owned());
        }
        let name = self.settings.base.as_deref().unwrap_or_default();
        let name = name.trim_end_matches('/');
        let last = name.rsplit('/').next().unwrap_or_default();
        // A name comes with a download; it must not lead out of the folder.
        let is_plain = |name: &str| {
            let mut parts = Path::new(name).components();
            !name.is_empty() && parts.all(|part| matches!(part, Component::Normal(_)))
        };
        let cached = folder.join(format!("models--{}", name.replace('/', "--")));
        let places = [name, last].map(|name| is_plain(name).then(|| folder.join(name)));
        let places = places.into_iter().flatten();
        let snapshot = is_plain(name).then(|| snapshot(&cached)).flatten();
        let mut found = places.chain(snapshot).filter(|dir| is_model(dir));
        found.next().ok_or_else(|| {
            let named = match name {
                "" => "names none".to_owned(),
                name => format!("names `{name}`, which is not in it"),
            };
            let adapter = self.dir.join(ADAPTER);
            let message = format!(
                "holds no model ({MODEL_CONFIG}); {} {named}",
                adapter.display()
            );
            Error::format(folder, message)
        })
    }

    /// The files that determine what is merged.
    pub(crate) fn files(&self) -> [PathBuf; 2] {
        [self.dir.join(ADAPTER), self.dir.join(self.layout.file())]
    }

    /// The base with this adapter.
    pub(super) fn merge(&self, mut base: Weights) -> Result<Weights, Error> {
        if base.is_gguf {
            let message = "is a GGUF file and the base of an adapter, whose tensors have other \
                           names; name the folder that it was converted from";
            return Err(Error::format(&base.dir, message));
        }
        let mut own = Weights::empty(&self.dir);
        own.open_folder(&self.layout)?;
        own.unwrap_names()?;
        let by_inputs = Inputs::of(&base.dir)?;
        let first = base.files.len();
        let mut pairs: BTreeMap<String, Pair> = BTreeMap::new();
        let mut replaced = Vec::new();
        for (name, mut entry) in std::mem::take(&mut own.entries) {
            let error = own.error_in(entry.file, &name);
            entry.file += first;
            match Target::of(&name) {
                Target::Factor(part, module) => {
                    if let Some((before, _)) =
                        pairs.entry(module).or_default().put(part, name, entry)
                    {
                        return Err(error(format!("is there twice, once as `{before}`")));
                    }
                }
                Target::Whole(plain) => replaced.push((name, plain, entry)),
                Target::Unknown(message) => return Err(error(format!("{message}; {MERGE_IT}"))),
            }
        }
        if pairs.is_empty() {
            return Err(Error::format(&self.dir, "holds no matrices of LoRA"));
        }
        base.files.append(&mut own.files);
        for (name, plain, entry) in replaced {
            let error = base.error_in(entry.file, &name);
            // A head that the base ties to its embedding table and the adapter does not.
            let target = match base.resolve(&plain) {
                None if plain == HEAD => HEAD.to_owned(),
                None => return Err(error(format!("`{plain}` is not in the base"))),
                Some(target) => target,
            };
            // Two names may stand for one tensor of the base, with and without that of the model.
            if !base.replaced.insert(target.clone()) {
                return Err(error(format!(
                    "takes the place of `{target}`, which is there twice"
                )));
            }
            base.entries.insert(target, entry);
        }
        for (module, pair) in pairs {
            let (target, delta) = self.delta(&base, &module, pair, &by_inputs)?;
            base.deltas.insert(target, delta);
        }
        base.unread = base.entries.keys().cloned().collect();
        Ok(base)
    }

    /// The addition to a matrix of the base, and the name of the matrix.
    fn delta(
        &self,
        base: &Weights,
        module: &str,
        pair: Pair,
        by_inputs: &Inputs,
    ) -> Result<(String, Delta), Error> {
        let whole = |part: &str| Error::Tensor {
            path: self.files()[1].clone(),
            tensor: format!("{module}.{part}"),
            message: "missing; the other matrix of its pair is there".to_owned(),
        };
        let is_embedding = pair.is_embedding;
        let (name, a) = pair.a.ok_or_else(|| whole("lora_A"))?;
        let (_, b) = pair.b.ok_or_else(|| whole("lora_B"))?;
        let error = base.error_in(a.file, &name);
        let (&[rank, inputs], &[outputs, other]) = (&a.shape[..], &b.shape[..]) else {
            return Err(error(format!("shapes {:?} and {:?}", a.shape, b.shape)));
        };
        let said = self.settings.rank(module)?;
        if rank != other || rank != said {
            return Err(error(format!(
                "ranks {rank} of lora_A and {other} of lora_B; {ADAPTER} says {said}"
            )));
        }
        let plain = format!("{module}.weight");
        let Some(target) = base.resolve(&plain) else {
            return Err(error(format!(
                "`{plain}`, which it is added to, is not in the base"
            )));
        };
        if base.deltas.contains_key(&target) {
            return Err(error(format!(
                "is added to `{target}`, for which a pair is there twice"
            )));
        }
        let by_inputs = is_embedding || by_inputs.holds(module);
        let expected = if by_inputs {
            [inputs, outputs]
        } else {
            [outputs, inputs]
        };
        let shape = &base.entries[&target].shape;
        if *shape != expected {
            return Err(error(format!(
                "adds to {expected:?}, but `{target}` has {shape:?}"
            )));
        }
        let scale = self.settings.scale(module, rank)?;
        Ok((target, Delta::new(a, b, by_inputs, rank, scale)))
    }
}

/// The folder of the main revision of a model in the cache of the Hugging Face hub.
fn snapshot(cached: &Path) -> Option<PathBuf> {
    /// Longest accepted name of a revision; a commit has 40 letters.
    const MAX_REVISION_BYTES: u64 = 256;
    let revision = read_text(&cached.join("refs/main"), MAX_REVISION_BYTES).ok()?;
    let revision = revision.trim();
    let plain = !revision.is_empty() && revision.chars().all(char::is_alphanumeric);
    plain.then(|| cached.join("snapshots").join(revision))
}

/// Name of the LM head in the classes of transformers.
const HEAD: &str = "lm_head.weight";

/// The two matrices of one module.
#[derive(Default)]
struct Pair {
    a: Option<(String, Entry)>,
    b: Option<(String, Entry)>,
    is_embedding: bool,
}

impl Pair {
    /// Keeps a matrix; the one before in its place.
    fn put(&mut self, part: Part, name: String, entry: Entry) -> Option<(String, Entry)> {
        self.is_embedding |= matches!(part, Part::EmbeddingA | Part::EmbeddingB);
        match part {
            Part::A | Part::EmbeddingA => self.a.replace((name, entry)),
            Part::B | Part::EmbeddingB => self.b.replace((name, entry)),
        }
    }
}

/// Which matrices of a base are stored with a row per input.
struct Inputs {
    conv1d: bool,
}

impl Inputs {
    /// Those of the model in `dir`.
    fn of(dir: &Path) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Config {
            model_type: Option<String>,
        }
        let path = dir.join(MODEL_CONFIG);
        let text = read_text(&path, MAX_CONFIG_BYTES)?;
        let config: Config = serde_json::from_str(&text).map_err(|e| Error::format(&path, e))?;
        // The only class with `Conv1D`. PEFT corrects `fan_in_fan_out` by the class of the layer, so
        // the field decides nothing.
        Ok(Self {
            conv1d: config.model_type.as_deref() == Some("gpt2"),
        })
    }

    fn holds(&self, module: &str) -> bool {
        self.conv1d && module != "lm_head"
    }
}

impl Weights {
    /// The name under which the base holds a tensor that transformers calls `name`.
    fn resolve(&self, name: &str) -> Option<String> {
        // Some checkpoints are saved without the name of the model within its class.
        let bare = name.split_once('.').map(|(_, rest)| rest);
        let mut names = [Some(name), bare].into_iter().flatten();
        names.find(|name| self.contains(name)).map(str::to_owned)
    }
}
