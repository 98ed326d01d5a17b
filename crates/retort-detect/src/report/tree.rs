//! The tree of models, with support at its forks.

use super::newick::{self, Newick};
use super::svg::{Canvas, at, is, number};
use super::text;
use crate::analysis::{Cast, Tree};
use crate::wording;

/// Height of a leaf, in points.
const LEAF: f64 = 20.0;

/// Width of the branches, in points.
const BRANCHES: f64 = 420.0;

const MARGIN: f64 = 10.0;

/// Most characters of a leaf's name.
const NAME_CHARS: usize = 40;

/// Support from which a fork is drawn in full.
const SUPPORTED_PERCENT: f64 = 70.0;

/// Where a node is drawn.
#[derive(Clone, Copy, Default)]
struct Place {
    x: f64,
    y: f64,
}

/// Returns the picture of a tree; nothing when its text is no tree.
pub(super) fn draw(tree: &Tree, cast: &Cast) -> Option<String> {
    let read = newick::read(&tree.newick)?;
    let places = places(&read)?;
    let leaves = read
        .nodes
        .iter()
        .filter(|node| node.children.is_empty())
        .count();
    let longest = read
        .nodes
        .iter()
        .map(|node| node.label.chars().count())
        .max()
        .unwrap_or(0);
    let width = BRANCHES + 3.0 * MARGIN + longest.min(NAME_CHARS) as f64 * 7.2 + 16.0;
    let height = leaves as f64 * LEAF + 2.0 * MARGIN;
    let mut canvas = Canvas::default();
    for (node, place) in read.nodes.iter().zip(&places) {
        let ends = node.children.iter().filter_map(|child| places.get(*child));
        let support: Option<f64> = node.label.parse().ok();
        let weak = support.is_some_and(|support| support < SUPPORTED_PERCENT);
        for end in ends {
            let (x, y) = (number(place.x), number(place.y));
            let path = format!("M{x} {y}V{}H{}", number(end.y), number(end.x));
            canvas.element(
                "path",
                &[
                    is("class", if weak { "branch weak" } else { "branch" }),
                    ("d", path),
                ],
            );
        }
    }
    for (node, place) in read.nodes.iter().zip(&places) {
        if node.children.is_empty() {
            let has = |names: &[String]| names.contains(&node.label);
            let (mark, class) = match (has(&cast.suspects), has(&cast.candidates)) {
                (true, _) => ("▲ ", "leaf suspect"),
                (false, true) => ("◆ ", "leaf candidate"),
                (false, false) => ("", "leaf"),
            };
            let name = format!("{mark}{}", text::cut(&node.label, NAME_CHARS));
            canvas.text(
                "text",
                &[
                    is("class", class),
                    at("x", place.x + 6.0),
                    at("y", place.y + 4.0),
                ],
                &name,
            );
        } else if !node.label.is_empty() {
            let at = [
                is("class", "support"),
                at("x", place.x - 3.0),
                at("y", place.y - 3.0),
                is("text-anchor", "end"),
            ];
            canvas.text("text", &at, &text::cut(&node.label, 6));
        }
    }
    let title = format!(
        "Tree of {leaves} models by {}",
        wording::detector(tree.detector)
    );
    let description = format!(
        "Neighbour joining; it has no root, the leftmost fork is where drawing began. Numbers are bootstrap support in per cent; forks below {SUPPORTED_PERCENT:.0} % are drawn dotted. The tree in Newick notation stands below."
    );
    Some(canvas.finish((width, height), &title, &description))
}

/// Returns where each node is drawn: leaves one below the other, forks in the middle of their
/// children, branches as long as they are.
fn places(tree: &Newick) -> Option<Vec<Place>> {
    let mut places = vec![Place::default(); tree.nodes.len()];
    // Children come after their parent, so one pass down the list sees parents first.
    for (number, node) in tree.nodes.iter().enumerate() {
        for child in &node.children {
            // Neighbour joining can make branches shorter than nothing.
            let length = tree.nodes.get(*child)?.length.unwrap_or(1.0).max(0.0);
            places[*child].x = places[number].x + length;
        }
    }
    let longest = places.iter().map(|place| place.x).fold(0.0, f64::max);
    let scale = if longest > 0.0 {
        BRANCHES / longest
    } else {
        0.0
    };
    let mut leaves = 0.0;
    for (node, place) in tree.nodes.iter().zip(&mut places) {
        place.x = 2.0 * MARGIN + place.x * scale;
        if node.children.is_empty() {
            place.y = MARGIN + (leaves + 0.5) * LEAF;
            leaves += 1.0;
        }
    }
    for number in (0..tree.nodes.len()).rev() {
        let children = &tree.nodes[number].children;
        if let (Some(first), Some(last)) = (children.first(), children.last()) {
            places[number].y = places[*first].y.midpoint(places[*last].y);
        }
    }
    Some(places)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::Detector;

    fn draw_text(newick: &str) -> Option<String> {
        let cast = Cast {
            suspects: vec!["s<1>".to_owned()],
            ..Cast::default()
        };
        draw(
            &Tree {
                detector: Detector::Genes,
                newick: newick.to_owned(),
            },
            &cast,
        )
    }

    #[test]
    fn leaves_support_and_weak_forks_are_drawn() {
        let svg = draw_text("((s<1>:1,b:2)55:1,(c:1,d:-0.1)99:1,e:3);").expect("a tree");
        assert!(svg.contains("▲ s&lt;1&gt;"), "{svg}");
        assert_eq!(svg.matches("class=\"branch weak\"").count(), 2);
        assert_eq!(svg.matches("class=\"branch\"").count(), 5);
        assert!(svg.contains(">55</text>") && svg.contains(">99</text>"));
        assert!(!svg.contains("NaN"));
    }

    #[test]
    fn odd_trees_are_drawn_or_refused() {
        assert!(draw_text("a;").is_some());
        assert!(draw_text("(a:0,b:0);").is_some_and(|svg| !svg.contains("NaN")));
        assert_eq!(draw_text("("), None);
    }
}
