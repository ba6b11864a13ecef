//! A batch: the input of a model.

use crate::backend::{Segment, Target};
use crate::error::Error;

/// A forest of token segments with explicit scoring targets.
///
/// A prefix that several continuations share is in the batch once and computed once: a segment
/// attends to its ancestors and to itself, never to its siblings. Targets name exactly the
/// positions and tokens to score.
///
/// # Examples
/// A context of three tokens with two continuations, ⟨7 8⟩ and ⟨9⟩. The first token of each is
/// scored at the last row of the context, so the second continuation needs no segment. The last
/// token of a continuation is never an input:
/// ```
/// use relscale::model::Batch;
///
/// let mut batch = Batch::new();
/// let context = batch.segment(None, &[1, 2, 3])?;
/// let first = batch.segment(Some(context), &[7])?;
/// batch.target(context, 2, 7)?;
/// batch.target(first, 0, 8)?;
/// batch.target(context, 2, 9)?;
/// assert_eq!(batch.tokens().len(), 4);
/// # Ok::<(), relscale::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    tokens: Vec<u32>,
    segments: Vec<Segment>,
    targets: Vec<Target>,
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends a segment of tokens that continues `parent`, or starts a sequence; returns its index.
    ///
    /// # Errors
    /// No tokens, or a parent that does not exist.
    pub fn segment(&mut self, parent: Option<usize>, tokens: &[u32]) -> Result<usize, Error> {
        if tokens.is_empty() {
            return Err(Error::batch("a segment needs at least one token"));
        }
        let position = match parent {
            None => 0,
            Some(p) => {
                let parent = self
                    .segments
                    .get(p)
                    .ok_or_else(|| Error::batch(format!("there is no segment {p} to continue")))?;
                parent.position + parent.len
            }
        };
        self.segments.push(Segment {
            start: self.tokens.len(),
            len: tokens.len(),
            parent,
            position,
        });
        self.tokens.extend_from_slice(tokens);
        Ok(self.segments.len() - 1)
    }

    /// Appends a target: the log-probability of `token` right after the token at `offset` of
    /// `segment`.
    ///
    /// # Errors
    /// A segment or an offset that does not exist.
    pub fn target(&mut self, segment: usize, offset: usize, token: u32) -> Result<(), Error> {
        match self.segments.get(segment) {
            Some(s) if offset < s.len => {
                self.targets.push(Target {
                    row: s.start + offset,
                    token,
                });
                Ok(())
            }
            Some(s) => {
                let len = s.len;
                Err(Error::batch(format!(
                    "offset {offset} in segment {segment} of {len} tokens"
                )))
            }
            None => Err(Error::batch(format!(
                "there is no segment {segment} to score"
            ))),
        }
    }

    /// The tokens of all segments, in order.
    pub fn tokens(&self) -> &[u32] {
        &self.tokens
    }

    /// The segments.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The targets, in the order of the calls.
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// The logical position of every token.
    pub fn positions(&self) -> Vec<u32> {
        let mut positions = Vec::with_capacity(self.tokens.len());
        for segment in &self.segments {
            // A position beyond 2³² is wrong here, but far beyond any context: models check `depth`
            // first and refuse the batch.
            positions.extend((0..segment.len).map(|i| (segment.position + i) as u32));
        }
        positions
    }

    /// Number of tokens on the longest path from a root.
    pub fn depth(&self) -> usize {
        self.segments
            .iter()
            .map(|s| s.position + s.len)
            .max()
            .unwrap_or(0)
    }
}
