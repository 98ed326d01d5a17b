//! The heat map of models.

use std::collections::BTreeSet;

use super::order::similar_first;
use super::svg::{Canvas, at, is, number};
use super::text;
use crate::analysis::{Cast, Matrix};
use crate::wording;

/// Levels of the scale: classes `q0` to `q9` of the style sheet.
const LEVELS: usize = 10;

/// Width that cells share, in points.
const FIELD: f64 = 880.0;

/// Most models whose cells tell their values when pointed at: beyond, the file grows by megabytes.
const TITLED_MODELS: usize = 36;

/// Most characters of a label.
const LABEL_CHARS: usize = 26;

/// Returns the picture of a matrix; nothing when it holds no value.
pub(super) fn draw(matrix: &Matrix, cast: &Cast, asked: &BTreeSet<(&str, &str)>) -> Option<String> {
    let count = matrix.models.len();
    let value = |row: usize, column: usize| {
        let value = matrix.values.get(row * count + column).copied().flatten();
        value.filter(|value| row != column && value.is_finite())
    };
    let known = || (0..count * count).filter_map(|cell| value(cell / count, cell % count));
    let low = known().reduce(f64::min)?;
    let high = known().reduce(f64::max)?;
    let order = similar_first(count, value);
    let labels: Vec<String> = order
        .iter()
        .map(|n| label(&matrix.models[*n], cast))
        .collect();
    let field = Field::new(&labels);
    let mut canvas = Canvas::default();
    let level = |value: f64| level(value, low, high);
    cells(&mut canvas, &field, |row, column| {
        value(order[row], order[column]).map(level)
    });
    write_labels(&mut canvas, &field, &labels);
    let name = |place: usize| matrix.models[order[place]].as_str();
    outline(&mut canvas, &field, |row, column| {
        asked.contains(&(name(row), name(column)))
    });
    if count <= TITLED_MODELS {
        titles(&mut canvas, &field, |row, column| {
            let told = value(order[row], order[column]);
            let told = told.map_or("not measured".to_owned(), |value| format!("{value:.3}"));
            format!("{} and {}: {told}", name(row), name(column))
        });
    }
    legend(&mut canvas, &field, low, high);
    let title = format!(
        "Similarity of {count} models by {}",
        wording::detector(matrix.detector)
    );
    let description = format!(
        "A table of squares, one row and one column per model, similar models side by side. Values from {low:.3} to {high:.3}; lighter is more similar. The largest values are in the table below."
    );
    Some(canvas.finish(field.size(), &title, &description))
}

/// Returns the most similar pairs of a matrix, at most `most`: names and value.
pub(super) fn largest(matrix: &Matrix, most: usize) -> Vec<(String, String, f64)> {
    let count = matrix.models.len();
    let mut pairs: Vec<(usize, usize, f64)> = (0..count * count)
        .map(|cell| (cell / count, cell % count))
        .filter(|(row, column)| row < column)
        .filter_map(|(row, column)| {
            let both = [row * count + column, column * count + row];
            let values = both.map(|at| matrix.values.get(at).copied().flatten());
            let value = values
                .into_iter()
                .flatten()
                .filter(|v| v.is_finite())
                .reduce(f64::max)?;
            Some((row, column, value))
        })
        .collect();
    pairs.sort_by(|a, b| b.2.total_cmp(&a.2).then((a.0, a.1).cmp(&(b.0, b.1))));
    pairs.truncate(most);
    let name = |n: usize| matrix.models[n].clone();
    pairs
        .into_iter()
        .map(|(row, column, value)| (name(row), name(column), value))
        .collect()
}

/// Returns the level of a value between the ends of the scale.
fn level(value: f64, low: f64, high: f64) -> usize {
    if high <= low {
        return LEVELS / 2;
    }
    let share = (value - low) / (high - low) * LEVELS as f64;
    (0..LEVELS - 1)
        .find(|level| share < (level + 1) as f64)
        .unwrap_or(LEVELS - 1)
}

/// Returns a model's label, with a mark for its part that needs no colour.
fn label(model: &str, cast: &Cast) -> String {
    let has = |names: &[String]| names.iter().any(|name| name == model);
    let mark = if has(&cast.suspects) {
        "▲ "
    } else if has(&cast.candidates) {
        "◆ "
    } else {
        ""
    };
    format!("{mark}{}", text::cut(model, LABEL_CHARS))
}

/// Where cells and labels are.
struct Field {
    count: usize,
    cell: f64,
    font: f64,
    gutter: f64,
}

impl Field {
    fn new(labels: &[String]) -> Self {
        let cell = (FIELD / labels.len().max(1) as f64).clamp(6.0, 22.0);
        let font = (cell * 0.86).clamp(5.0, 12.0);
        let longest = labels
            .iter()
            .map(|label| label.chars().count())
            .max()
            .unwrap_or(0);
        Self {
            count: labels.len(),
            cell,
            font,
            // Characters of a proportional font are narrower than this.
            gutter: longest as f64 * font * 0.62 + 8.0,
        }
    }

    fn size(&self) -> (f64, f64) {
        let side = self.gutter + self.count as f64 * self.cell + 2.0;
        (side.max(300.0), side + 52.0)
    }

    fn place(&self, position: usize) -> f64 {
        self.gutter + position as f64 * self.cell
    }
}

/// Draws all cells of one level as one path: a hundred models have ten thousand cells.
fn cells(canvas: &mut Canvas, field: &Field, level: impl Fn(usize, usize) -> Option<usize>) {
    let mut paths = vec![String::new(); LEVELS + 1];
    let side = number(field.cell - if field.cell > 10.0 { 1.0 } else { 0.0 });
    for row in 0..field.count {
        for column in 0..field.count {
            if row == column {
                continue;
            }
            let path = &mut paths[level(row, column).unwrap_or(LEVELS)];
            let (x, y) = (number(field.place(column)), number(field.place(row)));
            path.extend(["M", &x, " ", &y, "h", &side, "v", &side, "h-", &side, "z"]);
        }
    }
    for (level, path) in paths.into_iter().enumerate() {
        if !path.is_empty() {
            let class = if level == LEVELS {
                "absent".to_owned()
            } else {
                format!("q{level}")
            };
            canvas.element("path", &[is("class", &class), ("d", path)]);
        }
    }
}

fn write_labels(canvas: &mut Canvas, field: &Field, labels: &[String]) {
    let size = || at("font-size", field.font);
    for (position, label) in labels.iter().enumerate() {
        let middle = field.place(position) + field.cell / 2.0;
        let near = field.gutter - 5.0;
        let row = [
            is("text-anchor", "end"),
            at("x", near),
            at("y", middle + field.font * 0.34),
            size(),
        ];
        canvas.text("text", &row, label);
        let turn = format!(
            "translate({} {}) rotate(-90)",
            number(middle + field.font * 0.34),
            number(near)
        );
        canvas.text("text", &[("transform", turn), size()], label);
    }
}

fn outline(canvas: &mut Canvas, field: &Field, is_asked: impl Fn(usize, usize) -> bool) {
    for row in 0..field.count {
        for column in 0..field.count {
            if is_asked(row, column) && row != column {
                let side = field.cell;
                canvas.element(
                    "rect",
                    &[
                        is("class", "asked"),
                        at("x", field.place(column) - 0.5),
                        at("y", field.place(row) - 0.5),
                        at("width", side),
                        at("height", side),
                    ],
                );
            }
        }
    }
}

fn titles(canvas: &mut Canvas, field: &Field, title: impl Fn(usize, usize) -> String) {
    for row in 0..field.count {
        for column in 0..field.count {
            if row != column {
                let place = [
                    is("class", "over"),
                    at("x", field.place(column)),
                    at("y", field.place(row)),
                    at("width", field.cell),
                    at("height", field.cell),
                ];
                canvas.titled("rect", &place, &title(row, column));
            }
        }
    }
}

fn legend(canvas: &mut Canvas, field: &Field, low: f64, high: f64) {
    let top = field.gutter + field.count as f64 * field.cell + 14.0;
    let left = 8.0;
    let width = 20.0;
    for level in 0..LEVELS {
        canvas.element(
            "rect",
            &[
                ("class", format!("q{level}")),
                at("x", left + level as f64 * width),
                at("y", top),
                at("width", width),
                at("height", 12.0),
            ],
        );
    }
    let end = left + LEVELS as f64 * width;
    let below = at("y", top + 26.0);
    canvas.text(
        "text",
        &[at("x", left), below.clone(), at("font-size", 11.0)],
        &format!("{low:.2}"),
    );
    canvas.text(
        "text",
        &[
            at("x", end),
            below,
            at("font-size", 11.0),
            is("text-anchor", "end"),
        ],
        &format!("{high:.2}"),
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example::analysis;

    #[test]
    fn every_measured_cell_is_drawn_and_asked_ones_are_outlined() {
        let made = analysis(5);
        let asked = BTreeSet::from([("borea-taught", "atlas")]);
        let svg = draw(&made.matrices[0], &made.cast, &asked).expect("it holds values");
        assert_eq!(svg.matches('M').count(), 20, "{svg}");
        assert_eq!(svg.matches("class=\"asked\"").count(), 1);
        assert!(svg.contains("▲ borea-taught") && svg.contains("◆ atlas"));
        assert!(svg.contains("borea-taught and atlas: 0.310"));
    }

    #[test]
    fn large_maps_stay_small_and_empty_ones_are_not_drawn() {
        let made = analysis(150);
        let svg = draw(&made.matrices[0], &made.cast, &BTreeSet::new()).expect("it holds values");
        assert!(svg.len() < 1_000_000, "{}", svg.len());
        let mut empty = made.matrices[0].clone();
        empty.values.iter_mut().for_each(|value| *value = None);
        assert_eq!(draw(&empty, &made.cast, &BTreeSet::new()), None);
        empty.values.clear();
        assert_eq!(draw(&empty, &made.cast, &BTreeSet::new()), None);
    }

    #[test]
    fn levels_cover_the_scale() {
        assert_eq!(
            [0.0, 0.05, 0.5, 1.0].map(|v| level(v, 0.0, 1.0)),
            [0, 0, 5, 9]
        );
        assert_eq!(level(3.0, 3.0, 3.0), 5);
    }
}
