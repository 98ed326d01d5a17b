//! Neighbour-joining trees (Saitou and Nei 1987, doi:10.1093/oxfordjournals.molbev.a040454), with
//! bootstrap support (Felsenstein 1985) as labels of inner nodes.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use rand::{RngExt as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

/// Distances over resampled prompts: given how often each prompt counts, the distance of every two
/// items, row by row; all finite, or nothing where one cannot be told.
pub type Distances<'a> = dyn Fn(&[u32]) -> Option<Vec<f64>> + Sync + 'a;

/// How support is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bootstrap {
    /// Units that are drawn with replacement: prompts.
    pub units: usize,
    /// How often; 0 leaves support out.
    pub replicates: usize,
    /// Seeds the draws.
    pub seed: u64,
}

/// Returns the Newick text of the unrooted neighbour-joining tree of `names`, with the share of
/// replicates that hold each split, in per cent.
///
/// Replicates in which a distance cannot be told do not count. Nothing for fewer than three names, or where distances cannot be told.
pub fn newick(names: &[String], distances: &Distances<'_>, bootstrap: Bootstrap) -> Option<String> {
    if names.len() < 3 {
        return None;
    }
    let once = vec![1; bootstrap.units];
    let tree = join(names.len(), distances(&once)?)?;
    let replicates: Vec<Vec<Split>> = (0..bootstrap.replicates as u64)
        .into_par_iter()
        .filter_map(|replicate| {
            let weights = resampled(bootstrap.units, bootstrap.seed, replicate);
            let tree = join(names.len(), distances(&weights)?)?;
            Some(tree.splits())
        })
        .collect();
    let mut counts: BTreeMap<&Split, usize> = BTreeMap::new();
    for split in replicates.iter().flatten() {
        *counts.entry(split).or_default() += 1;
    }
    let support = |split: &Split| {
        let count = counts.get(split).copied().unwrap_or(0);
        (!replicates.is_empty()).then(|| (100.0 * count as f64 / replicates.len() as f64).round())
    };
    let mut text = String::new();
    tree.write(tree.root(), names, &support, &mut text);
    text.push(';');
    Some(text)
}

/// Returns how often each of `units` is drawn in replicate `replicate`.
pub(crate) fn resampled(units: usize, seed: u64, replicate: u64) -> Vec<u32> {
    let mut stream = ChaCha8Rng::seed_from_u64(seed);
    stream.set_stream(replicate);
    let mut weights = vec![0; units];
    for _ in 0..units {
        weights[stream.random_range(0..units)] += 1;
    }
    weights
}

/// A side of an edge, as a bit for each leaf: the side without the first leaf.
type Split = Vec<u64>;

/// A node: a leaf, or the nodes below it with the lengths of their edges.
#[derive(Debug)]
struct Node {
    below: Vec<(usize, f64)>,
    leaves: Split,
}

/// An unrooted tree, held by its last join. The first nodes are the leaves.
#[derive(Debug)]
struct Joined {
    nodes: Vec<Node>,
    count: usize,
}

/// Joins `count` items by their distances, row by row. Of equally good joins, the first by position.
fn join(count: usize, distances: Vec<f64>) -> Option<Joined> {
    let is_sound = distances.len() == count * count && distances.iter().all(|d| d.is_finite());
    if count < 3 || !is_sound {
        return None;
    }
    let words = count.div_ceil(64);
    let mut tree = Joined {
        nodes: Vec::with_capacity(2 * count),
        count,
    };
    for leaf in 0..count {
        let mut leaves = vec![0; words];
        leaves[leaf / 64] |= 1 << (leaf % 64);
        let below = Vec::new();
        tree.nodes.push(Node { below, leaves });
    }
    let mut table = Table {
        active: (0..count).collect(),
        distances,
        width: count,
    };
    while table.active.len() > 3 {
        let (one, other) = table.nearest();
        let lengths = table.lengths(one, other);
        let node = tree.add(vec![
            (table.active[one], lengths.0),
            (table.active[other], lengths.1),
        ]);
        table.merge(one, other, node);
    }
    let [a, b, c] = [(0, 1), (0, 2), (1, 2)].map(|(one, other)| table.at(one, other));
    let ends = [(a + b - c) / 2.0, (a + c - b) / 2.0, (b + c - a) / 2.0];
    tree.add(table.active.iter().copied().zip(ends).collect());
    Some(tree)
}

/// Distances between what is not joined yet.
struct Table {
    /// The node at each position.
    active: Vec<usize>,
    distances: Vec<f64>,
    width: usize,
}

impl Table {
    fn at(&self, one: usize, other: usize) -> f64 {
        self.distances[one * self.width + other]
    }

    fn sum(&self, position: usize) -> f64 {
        let row = &self.distances[position * self.width..][..self.active.len()];
        row.iter().sum::<f64>() - row[position]
    }

    /// Returns the two positions whose join makes the shortest tree.
    fn nearest(&self) -> (usize, usize) {
        let count = self.active.len();
        let sums: Vec<f64> = (0..count).map(|position| self.sum(position)).collect();
        let others = (count - 2) as f64;
        let mut best = (f64::INFINITY, (0, 1));
        for one in 0..count {
            for other in one + 1..count {
                let score = others * self.at(one, other) - sums[one] - sums[other];
                if score < best.0 {
                    best = (score, (one, other));
                }
            }
        }
        best.1
    }

    /// Returns the lengths of the edges from both to their join.
    fn lengths(&self, one: usize, other: usize) -> (f64, f64) {
        let others = (self.active.len() - 2) as f64;
        let distance = self.at(one, other);
        let first = distance / 2.0 + (self.sum(one) - self.sum(other)) / (2.0 * others);
        (first, distance - first)
    }

    /// Puts the join in the place of `one`; the last position takes the place of `other`.
    fn merge(&mut self, one: usize, other: usize, node: usize) {
        let distance = self.at(one, other);
        for position in 0..self.active.len() {
            let joined = (self.at(one, position) + self.at(other, position) - distance) / 2.0;
            self.distances[one * self.width + position] = joined;
            self.distances[position * self.width + one] = joined;
        }
        self.distances[one * self.width + one] = 0.0;
        self.active[one] = node;
        let last = self.active.len() - 1;
        for position in 0..last {
            let moved = self.at(last, position);
            self.distances[other * self.width + position] = moved;
            self.distances[position * self.width + other] = moved;
        }
        self.distances[other * self.width + other] = 0.0;
        self.active.swap_remove(other);
    }
}

impl Joined {
    /// Adds a node above others. Edges of negative length, which noise makes, become 0.
    fn add(&mut self, below: Vec<(usize, f64)>) -> usize {
        let mut leaves = vec![0; self.count.div_ceil(64)];
        for (node, _) in &below {
            for (all, own) in leaves.iter_mut().zip(&self.nodes[*node].leaves) {
                *all |= own;
            }
        }
        let below = below.into_iter().map(|(node, l)| (node, l.max(0.0)));
        self.nodes.push(Node {
            below: below.collect(),
            leaves,
        });
        self.nodes.len() - 1
    }

    fn root(&self) -> usize {
        self.nodes.len() - 1
    }

    /// Returns the side of the edge above `node` that has not the first leaf.
    fn split(&self, node: usize) -> Split {
        let leaves = &self.nodes[node].leaves;
        if leaves[0] & 1 == 0 {
            return leaves.clone();
        }
        let mut other: Split = leaves.iter().map(|word| !word).collect();
        let beyond = self.count % 64;
        if let Some(last) = other.last_mut().filter(|_| beyond > 0) {
            *last &= (1 << beyond) - 1;
        }
        other
    }

    /// Returns the splits of the inner edges.
    fn splits(&self) -> Vec<Split> {
        (self.count..self.root())
            .map(|node| self.split(node))
            .collect()
    }

    fn write(
        &self,
        node: usize,
        names: &[String],
        support: &dyn Fn(&Split) -> Option<f64>,
        text: &mut String,
    ) {
        let below = &self.nodes[node].below;
        if below.is_empty() {
            text.push_str(&quoted(&names[node]));
            return;
        }
        text.push('(');
        for (position, (child, length)) in below.iter().enumerate() {
            if position > 0 {
                text.push(',');
            }
            self.write(*child, names, support, text);
            write!(text, ":{length:.5}").expect("a String takes everything");
        }
        text.push(')');
        if node == self.root() {
            return;
        }
        if let Some(share) = support(&self.split(node)) {
            write!(text, "{share}").expect("a String takes everything");
        }
    }
}

/// Returns a name as a quoted Newick label.
fn quoted(name: &str) -> String {
    format!("'{}'", name.replace('\'', "''"))
}

#[cfg(test)]
mod tests;
