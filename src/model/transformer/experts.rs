//! A mixture of experts in place of the MLP of a layer.

use super::load::Loader;
use super::{Block, Projection, Transformer};
use crate::backend::{Backend, Choice, Columns, Role, Route, Routing, Tensor, Values};
use crate::error::Error;

/// Weights of the experts of a layer.
#[derive(Debug)]
pub(super) struct Mixture<T> {
    pub(super) router: Projection<T>,
    pub(super) experts: Vec<Block<T>>,
    /// Gate and MLP of the expert that every token visits.
    pub(super) shared: Option<(Projection<T>, Block<T>)>,
}

impl<B: Backend> Transformer<B> {
    /// The weighted sum of the experts that each row is routed to.
    ///
    /// Experts are added by rising number, the shared one last. The sum of a row therefore depends on the
    /// row alone.
    pub(super) fn mixture(
        &self,
        mixture: &Mixture<B::Buffer>,
        x: &B::Buffer,
        rows: usize,
    ) -> Result<B::Buffer, Error> {
        let (backend, width) = (&self.backend, self.config.hidden_size);
        let (top_k, normalise) = match &self.config.experts {
            Some(experts) => (experts.top_k, experts.normalise),
            None => (1, true),
        };
        let op = Route {
            top_k,
            function: Routing::Softmax,
            normalise,
        };
        let logits = self.project(x, rows, &mixture.router)?;
        let count = mixture.router.outputs;
        let choices = backend.route(Columns::all(&logits, rows, count), &op)?;
        let mut sum = self.zeros(rows)?;
        for (number, expert) in mixture.experts.iter().enumerate() {
            let (at, weights) = routed_to(number, &choices, top_k);
            if at.is_empty() {
                continue;
            }
            let input = backend.gather(Columns::all(x, rows, width), &at)?;
            let output = self.block(expert, &input, at.len())?;
            let output = Columns::all(&output, at.len(), width);
            sum = backend.add_rows(sum, output, &at, &weights)?;
        }
        if let Some((gate, expert)) = &mixture.shared {
            let op = Route {
                top_k: 1,
                function: Routing::Sigmoid,
                normalise: false,
            };
            let gate = self.project(x, rows, gate)?;
            let choices = backend.route(Columns::all(&gate, rows, 1), &op)?;
            let (at, weights) = routed_to(0, &choices, 1);
            let output = self.block(expert, x, rows)?;
            sum = backend.add_rows(sum, Columns::all(&output, rows, width), &at, &weights)?;
        }
        Ok(sum)
    }

    /// Hidden states of zeros.
    fn zeros(&self, rows: usize) -> Result<B::Buffer, Error> {
        let cols = self.config.hidden_size;
        self.backend.upload(&Tensor {
            values: Values::F32(&vec![0.0; rows * cols]),
            rows,
            cols,
            role: Role::Dense,
        })
    }
}

impl<B: Backend> Loader<'_, B> {
    /// Uploads the experts of the layer with the prefix `at`.
    pub(super) fn mixture(&mut self, at: &str) -> Result<Mixture<B::Buffer>, Error> {
        let (config, names) = (self.config, &self.names.experts);
        let hidden = config.hidden_size;
        let Some(experts) = &config.experts else {
            return Err(Error::batch("a mixture without experts"));
        };
        let router = self.projection(at, &[names.router], &[experts.count], hidden, false)?;
        let parts = (names.gate_up, names.down);
        let mut blocks = Vec::new();
        for number in 0..experts.count {
            let at = format!("{at}{}.{number}.", names.expert);
            blocks.push(self.block(&at, parts, experts.intermediate_size)?);
        }
        let shared = match experts.shared_intermediate_size {
            None => None,
            Some(width) => {
                let gate = self.projection(at, &[names.shared_gate], &[1], hidden, false)?;
                let at = format!("{at}{}.", names.shared);
                Some((gate, self.block(&at, parts, width)?))
            }
        };
        Ok(Mixture {
            router,
            experts: blocks,
            shared,
        })
    }
}

/// The rows that are routed to an expert, rising, and the weight of each.
fn routed_to(expert: usize, choices: &[Choice], top_k: usize) -> (Vec<usize>, Vec<f64>) {
    let all = choices.iter().enumerate();
    let mine = all.filter(|(_, choice)| choice.expert == expert);
    mine.map(|(i, choice)| (i / top_k, choice.weight)).unzip()
}
