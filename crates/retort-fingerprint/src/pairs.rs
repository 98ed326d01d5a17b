//! One number for each unordered pair of models.

/// Numbers of unordered pairs, row by row; NaN where a pair was not measured.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Pairs {
    models: usize,
    pub(crate) values: Vec<f32>,
}

/// Returns where the pair of `i < j` stands.
pub(crate) const fn place(models: usize, i: usize, j: usize) -> usize {
    i * (2 * models - i - 1) / 2 + (j - i - 1)
}

/// Returns a number as sums are stored: seven digits are more than replies determine.
#[expect(
    clippy::cast_possible_truncation,
    reason = "similarities are small numbers"
)]
pub(crate) const fn narrow(value: f64) -> f32 {
    value as f32
}

/// Returns how many unordered pairs there are.
pub(crate) const fn count(models: usize) -> usize {
    models * models.saturating_sub(1) / 2
}

impl Pairs {
    pub(crate) fn zeros(models: usize) -> Self {
        Self {
            models,
            values: vec![0.0; count(models)],
        }
    }

    /// Returns the pairs of `i` with the models behind it.
    pub(crate) fn row_mut(&mut self, i: usize) -> &mut [f32] {
        if i + 1 >= self.models {
            return &mut [];
        }
        let from = place(self.models, i, i + 1);
        let to = from + (self.models - i - 1);
        self.values.get_mut(from..to).unwrap_or_default()
    }

    pub(crate) fn map_in_place(&mut self, change: impl Fn(usize, usize, f32) -> f32) {
        let models = self.models;
        for i in 0..models {
            for (offset, value) in self.row_mut(i).iter_mut().enumerate() {
                *value = change(i, i + 1 + offset, *value);
            }
        }
    }
}

/// A symmetric matrix of similarities between models.
#[derive(Debug, Clone, PartialEq)]
pub struct Similarities {
    models: usize,
    /// NaN where not measured.
    values: Vec<f64>,
}

impl Similarities {
    /// Returns a matrix without a value.
    pub fn absent(models: usize) -> Self {
        Self {
            models,
            values: vec![f64::NAN; count(models)],
        }
    }

    pub(crate) fn of(models: usize, values: Vec<f64>) -> Self {
        Self { models, values }
    }

    /// Returns how many models there are.
    pub const fn models(&self) -> usize {
        self.models
    }

    /// Returns the similarity of two models, absent for a model with itself and where not measured.
    pub fn get(&self, i: usize, j: usize) -> Option<f64> {
        if i == j || i.max(j) >= self.models {
            return None;
        }
        let value = self.values.get(place(self.models, i.min(j), i.max(j)))?;
        value.is_finite().then_some(*value)
    }

    /// Sets the similarity of two different models.
    pub fn set(&mut self, i: usize, j: usize, value: f64) {
        if i != j && i.max(j) < self.models {
            self.values[place(self.models, i.min(j), i.max(j))] = value;
        }
    }

    /// Returns the measured values between the models that `takes`.
    pub fn values(&self, takes: impl Fn(usize) -> bool) -> Vec<f64> {
        let mut found = Vec::with_capacity(self.values.len());
        for i in (0..self.models).filter(|i| takes(*i)) {
            found.extend(
                (i + 1..self.models)
                    .filter(|j| takes(*j))
                    .filter_map(|j| self.get(i, j)),
            );
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pair_has_its_place() {
        let mut seen = Vec::new();
        for i in 0..7 {
            for j in i + 1..7 {
                seen.push(place(7, i, j));
            }
        }
        assert_eq!(seen, (0..count(7)).collect::<Vec<_>>());
    }

    #[test]
    fn absent_pairs_are_absent() {
        let mut matrix = Similarities::absent(3);
        matrix.set(2, 0, 0.5);
        assert_eq!(
            (matrix.get(0, 2), matrix.get(0, 1), matrix.get(1, 1)),
            (Some(0.5), None, None)
        );
        assert_eq!(matrix.get(0, 9), None);
        assert_eq!(matrix.values(|_| true), [0.5]);
    }
}
