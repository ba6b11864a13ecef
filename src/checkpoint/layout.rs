//! Other orders of the elements of a tensor: files differ in the order, backends do not.

use crate::backend::HostTensor;

impl HostTensor {
    /// Appends `other`. Tensors of different precision are joined in `f32`.
    pub(crate) fn append(&mut self, other: Self) {
        match (&mut *self, other) {
            (Self::F32(a), Self::F32(b)) => a.extend(b),
            (Self::F16(a), Self::F16(b)) => a.extend(b),
            (Self::Bf16(a), Self::Bf16(b)) => a.extend(b),
            (a, b) => {
                let mut wide = a.values().to_f32();
                wide.extend(b.values().to_f32());
                *self = Self::F32(wide);
            }
        }
    }

    /// The transpose of a matrix with `cols` columns.
    pub(crate) fn transposed(self, cols: usize) -> Self {
        let rows = self.values().len().checked_div(cols).unwrap_or(0);
        self.picked(
            1,
            (0..cols).flat_map(|c| (0..rows).map(move |r| r * cols + c)),
        )
    }

    /// Reorders rows of `cols` elements, in which the two halves of the first `rotated` of the `dim`
    /// rows of each head alternate, to one half after the other.
    pub(crate) fn halves_first(self, dim: usize, rotated: usize, cols: usize) -> Self {
        let heads = (self.values().len() / cols.max(1))
            .checked_div(dim)
            .unwrap_or(0);
        let half = (rotated / 2).max(1);
        let place = |r: usize| {
            if r < rotated {
                2 * (r % half) + r / half
            } else {
                r
            }
        };
        let order = (0..heads).flat_map(|head| (0..dim).map(move |r| (head, r)));
        let order = order.map(|(head, r)| head * dim + place(r));
        self.picked(cols, order)
    }

    /// Reorders `groups` of `queries` blocks, a key and a value each to all queries, then all keys,
    /// then all values.
    pub(crate) fn queries_first(self, groups: usize, queries: usize, block: usize) -> Self {
        let all = queries + 2;
        let parts = [0..queries, queries..queries + 1, queries + 1..all];
        let order = parts.into_iter().flat_map(move |part| {
            (0..groups).flat_map(move |g| part.clone().map(move |p| g * all + p))
        });
        self.picked(block, order)
    }

    /// The second half of the elements, then the first.
    pub(crate) fn halves_swapped(self) -> Self {
        let half = self.values().len() / 2;
        self.picked(half, [1, 0].into_iter())
    }

    /// The blocks of `block` elements in another order.
    pub(super) fn picked(self, block: usize, order: impl Iterator<Item = usize>) -> Self {
        fn pick<T: Copy>(v: &[T], block: usize, order: impl Iterator<Item = usize>) -> Vec<T> {
            let blocks = order.size_hint().1;
            let mut out = Vec::with_capacity(blocks.map_or(v.len(), |n| n * block));
            for i in order {
                out.extend_from_slice(&v[i * block..][..block]);
            }
            out
        }
        match self {
            Self::F32(v) => Self::F32(pick(&v, block, order)),
            Self::F16(v) => Self::F16(pick(&v, block, order)),
            Self::Bf16(v) => Self::Bf16(pick(&v, block, order)),
        }
    }

    /// Each element plus one, in `f32`.
    pub(crate) fn plus_one(&self) -> Self {
        let mut values = self.values().to_f32();
        values.iter_mut().for_each(|x| *x += 1.0);
        Self::F32(values)
    }

    /// Index of the first value that is not finite.
    pub(super) fn first_not_finite(&self) -> Option<usize> {
        match self {
            Self::F32(v) => v.iter().position(|x| !x.is_finite()),
            Self::F16(v) => v.iter().position(|x| !x.is_finite()),
            Self::Bf16(v) => v.iter().position(|x| !x.is_finite()),
        }
    }
}
