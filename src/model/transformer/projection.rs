//! Loading the matrices of projections, several of a file as one.

use std::ops::Range;

use super::Projection;
use super::load::Loader;
use crate::backend::{Backend, HostTensor, Role};
use crate::checkpoint::Weights;
use crate::error::Error;
use crate::model::config::Positions;

/// A matrix of the file: name without `.weight`, and number of outputs.
type Part = (String, usize);

impl<B: Backend> Loader<'_, B> {
    /// Uploads `[outputs, inputs]` matrices as one, their outputs one after the other.
    ///
    /// `names` are those of the parts, or the one name of all; `outputs` are the numbers of outputs
    /// of the parts.
    pub(super) fn projection(
        &mut self,
        at: &str,
        names: &[&str],
        outputs: &[usize],
        inputs: usize,
        bias: bool,
    ) -> Result<Projection<B::Buffer>, Error> {
        let whole = outputs.iter().sum();
        let outputs = if names.len() == 1 { &[whole] } else { outputs };
        let parts = names.iter().zip(outputs);
        let parts: Vec<Part> = parts.map(|(name, n)| (format!("{at}{name}"), *n)).collect();
        let weight = if self.is_as_stored(names, &parts) {
            self.as_stored(&parts, [whole, inputs])?
        } else {
            let weight = self.weight(names, &parts, inputs)?;
            self.upload(&weight, whole, inputs, Role::Matrix)?
        };
        let bias = match bias {
            false => None,
            true => {
                let bias = self.bias(names, &parts)?;
                Some(self.upload(&bias, 1, whole, Role::Dense)?)
            }
        };
        Ok(Projection {
            weight,
            bias,
            inputs,
            outputs: whole,
        })
    }

    /// True if the rows of the parts in the file are those of the projection, in their order and in one
    /// precision, and can be read a few at a time.
    fn is_as_stored(&self, names: &[&str], parts: &[Part]) -> bool {
        let of = self.names;
        let reordered = names == of.qkv && (of.halves_alternate || of.head_by_head)
            || names == of.gate_up && of.up_first;
        let precision = |(name, _): &Part| self.weights.precision(&format!("{name}.weight"));
        let is_by_rows = |(name, _): &Part| self.weights.is_by_rows(&format!("{name}.weight"));
        let first = parts.first().and_then(precision);
        !of.transposed
            && !reordered
            && first.is_some()
            && parts.iter().all(|p| precision(p) == first && is_by_rows(p))
    }

    /// Uploads parts that need no change, a few megabytes at a time: memory that is used again costs no new
    /// pages, and what was just read is still in the cache when the backend packs it.
    fn as_stored(&mut self, parts: &[Part], [rows, cols]: [usize; 2]) -> Result<B::Buffer, Error> {
        let weights = &mut self.weights;
        let mut read = |rows| rows_of(weights, parts, cols, rows);
        self.backend
            .upload_rows([rows, cols], Role::Matrix, &mut read)
    }

    /// The weights of parts that the file has in another order or transposed.
    fn weight(
        &mut self,
        names: &[&str],
        parts: &[Part],
        inputs: usize,
    ) -> Result<HostTensor, Error> {
        let mut whole = None;
        for (number, (name, outputs)) in parts.iter().enumerate() {
            let (name, outputs) = (format!("{name}.weight"), *outputs);
            let part = if self.names.transposed {
                let stored = self.weights.tensor(&name, &[inputs, outputs])?;
                stored.transposed(outputs)
            } else {
                self.weights.tensor(&name, &[outputs, inputs])?
            };
            extend(&mut whole, self.rotation_order(names, number, part, inputs));
        }
        let whole = whole.ok_or_else(|| Error::batch("a projection without parts"))?;
        Ok(self.part_order(names, whole, inputs))
    }

    /// The biases of parts, in the order of their outputs.
    fn bias(&mut self, names: &[&str], parts: &[Part]) -> Result<HostTensor, Error> {
        let mut whole = None;
        for (number, (name, outputs)) in parts.iter().enumerate() {
            let part = self.weights.tensor(&format!("{name}.bias"), &[*outputs])?;
            extend(&mut whole, self.rotation_order(names, number, part, 1));
        }
        let whole = whole.ok_or_else(|| Error::batch("a projection without parts"))?;
        Ok(self.part_order(names, whole, 1))
    }

    /// A part with the halves that are rotated together one after the other.
    fn rotation_order(
        &self,
        names: &[&str],
        number: usize,
        part: HostTensor,
        cols: usize,
    ) -> HostTensor {
        // Only queries and keys are rotated, so the halves of values do not alternate.
        if self.names.halves_alternate && names == self.names.qkv && number < 2 {
            part.halves_first(self.config.head_dim, self.rotated(), cols)
        } else {
            part
        }
    }

    /// The joined parts in the order that the decoder wants them in.
    fn part_order(&self, names: &[&str], mut whole: HostTensor, cols: usize) -> HostTensor {
        if self.names.head_by_head && names == self.names.qkv {
            let (groups, dim) = (self.config.num_key_value_heads, self.config.head_dim);
            let queries = self.config.num_attention_heads / groups;
            // The file has each key and value after the queries that see it; the decoder wants all
            // queries first.
            whole = whole.queries_first(groups, queries, dim * cols);
        }
        if self.names.up_first && names == self.names.gate_up {
            whole = whole.halves_swapped();
        }
        whole
    }

    /// Number of rotated elements of a head.
    fn rotated(&self) -> usize {
        match &self.config.positions {
            Positions::Rotary { full, .. } => full.rotary_dim(self.config.head_dim),
            Positions::Learned { .. } | Positions::LinearBiases => 0,
        }
    }
}

/// Some rows of parts that follow each other.
fn rows_of(
    weights: &mut Weights,
    parts: &[Part],
    cols: usize,
    rows: Range<usize>,
) -> Result<HostTensor, Error> {
    let (mut found, mut start) = (None, 0);
    for (name, outputs) in parts {
        let end = start + outputs;
        let (from, to) = (rows.start.max(start), rows.end.min(end));
        if from < to {
            let name = format!("{name}.weight");
            let part = weights.rows(&name, [*outputs, cols], from - start..to - start)?;
            extend(&mut found, part);
        }
        start = end;
    }
    found.ok_or_else(|| Error::batch("a projection without parts"))
}

fn extend(whole: &mut Option<HostTensor>, part: HostTensor) {
    match whole {
        None => *whole = Some(part),
        Some(whole) => whole.append(part),
    }
}

#[cfg(test)]
mod tests {
    use half::bf16;
    use safetensors::tensor::{Dtype, TensorView, serialize_to_file};

    use super::*;

    /// A folder with matrices of these numbers of rows, whose elements count up from 0 across all of them.
    fn matrices(rows: &[usize], cols: usize) -> (std::path::PathBuf, Vec<Part>) {
        let name = format!("relscale-{}-parts", std::process::id());
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let mut next = 0u8;
        let stored: Vec<(String, usize, Vec<u8>)> = (rows.iter().enumerate())
            .map(|(part, &rows)| {
                let values = (0..rows * cols).flat_map(|_| {
                    next += 1;
                    bf16::from_f32(f32::from(next - 1)).to_le_bytes()
                });
                (format!("part{part}.weight"), rows, values.collect())
            })
            .collect();
        let views = stored.iter().map(|(name, rows, bytes)| {
            let view = TensorView::new(Dtype::BF16, vec![*rows, cols], bytes).unwrap();
            (name.clone(), view)
        });
        serialize_to_file(views, None, &folder.join("model.safetensors")).unwrap();
        let parts = (0..rows.len()).map(|part| (format!("part{part}"), rows[part]));
        (folder, parts.collect())
    }

    #[test]
    fn pieces_of_joined_parts_are_their_rows_wherever_they_are_cut() {
        let (rows, cols) = ([5, 1, 3, 7], 4);
        let (folder, parts) = matrices(&rows, cols);
        let mut weights = Weights::open(folder.as_path()).unwrap();
        for from in 0..16 {
            for to in from + 1..=16 {
                let found = rows_of(&mut weights, &parts, cols, from..to).unwrap();
                let expected: Vec<f32> = (from * cols..to * cols).map(|x| x as f32).collect();
                assert_eq!(found.values().to_f32(), expected, "{from}..{to}");
            }
        }
        let wrong = [("part0".to_owned(), 5), ("part1".to_owned(), 2)];
        let error = rows_of(&mut weights, &wrong, cols, 0..7).unwrap_err();
        assert!(error.to_string().contains("part1.weight"), "{error}");
        std::fs::remove_dir_all(folder).unwrap();
    }
}
