//! Two plots: how ratios are distributed (Tippett), and effects with their intervals.

use super::svg::{Canvas, at, is, number, ticks};
use super::text;
use crate::analysis::{Calibration, Detector, Finding, Interval, Statement};
use crate::wording;

const WIDTH: f64 = 640.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 14.0;
const BOTTOM: f64 = 46.0;

/// Steps of a curve at most; more are not seen.
const STEPS: usize = 400;

/// Statements that the plot of effects has room for.
const EFFECTS: usize = 40;

/// Height of a line of the plot of effects, in points.
const LINE: f64 = 22.0;

/// Characters of a label of the plot of effects.
const LABEL_CHARS: usize = 44;

/// A horizontal scale.
#[derive(Clone, Copy)]
struct Scale {
    low: f64,
    high: f64,
    left: f64,
    width: f64,
}

impl Scale {
    fn x(self, value: f64) -> f64 {
        let share = (value - self.low) / (self.high - self.low);
        self.left + share.clamp(0.0, 1.0) * self.width
    }
}

/// Returns the Tippett plot of a calibration: for each log10 likelihood ratio, which share of the
/// related and of the unrelated pairs has a larger one. Nothing when one of them is empty.
pub(super) fn tippett(calibration: &Calibration) -> Option<String> {
    let finite = |values: &[f64]| {
        let mut values: Vec<f64> = values.iter().copied().filter(|v| v.is_finite()).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let (related, unrelated) = (finite(&calibration.related), finite(&calibration.unrelated));
    let ends = [
        related.first(),
        related.last(),
        unrelated.first(),
        unrelated.last(),
    ];
    if related.is_empty() || unrelated.is_empty() {
        return None;
    }
    let reach = ends
        .into_iter()
        .flatten()
        .fold(1.0_f64, |most, value| most.max(value.abs()));
    let reach = (reach * 1.05).min(12.0);
    let scale = Scale {
        low: -reach,
        high: reach,
        left: LEFT,
        width: WIDTH - LEFT - RIGHT,
    };
    let mut canvas = Canvas::default();
    axes(&mut canvas, scale);
    curve(&mut canvas, scale, &unrelated, "line unrelated");
    curve(&mut canvas, scale, &related, "line related");
    let [one, other] = calibration.pairs;
    let name = wording::detector(calibration.detector);
    keys(
        &mut canvas,
        [
            &format!("{one} related pairs"),
            &format!("{other} unrelated pairs"),
        ],
    );
    Some(canvas.finish(
        (WIDTH, HEIGHT),
        &format!("Tippett plot of {name}"),
        "Share of pairs whose log10 likelihood ratio is larger than the value on the horizontal axis. Related pairs, solid, should lie far to the right of 0; unrelated pairs, dashed, far to the left.",
    ))
}

fn y(share: f64) -> f64 {
    TOP + (1.0 - share) * (HEIGHT - TOP - BOTTOM)
}

fn axes(canvas: &mut Canvas, scale: Scale) {
    for share in [0.0, 0.25, 0.5, 0.75, 1.0] {
        line(
            canvas,
            "grid",
            [(LEFT, y(share)), (WIDTH - RIGHT, y(share))],
        );
        let place = [
            at("x", LEFT - 8.0),
            at("y", y(share) + 4.0),
            is("text-anchor", "end"),
            is("class", "small"),
        ];
        canvas.text("text", &place, &format!("{:.0} %", share * 100.0));
    }
    for tick in ticks(scale.low, scale.high, 8) {
        let x = scale.x(tick);
        line(
            canvas,
            if tick == 0.0 { "zero" } else { "grid" },
            [(x, TOP), (x, HEIGHT - BOTTOM)],
        );
        let place = [
            at("x", x),
            at("y", HEIGHT - BOTTOM + 16.0),
            is("text-anchor", "middle"),
            is("class", "small"),
        ];
        canvas.text("text", &place, &number(tick));
    }
    let place = [
        at("x", LEFT.midpoint(WIDTH - RIGHT)),
        at("y", HEIGHT - 10.0),
        is("text-anchor", "middle"),
        is("class", "small"),
    ];
    canvas.text("text", &place, "log10 likelihood ratio larger than");
}

fn line(canvas: &mut Canvas, class: &str, [(x1, y1), (x2, y2)]: [(f64, f64); 2]) {
    canvas.element(
        "line",
        &[
            is("class", class),
            at("x1", x1),
            at("y1", y1),
            at("x2", x2),
            at("y2", y2),
        ],
    );
}

/// Draws the share of sorted values that are larger, as steps.
fn curve(canvas: &mut Canvas, scale: Scale, values: &[f64], class: &str) {
    let count = values.len();
    let stride = count.div_ceil(STEPS).max(1);
    let mut path = format!("M{} {}", number(scale.x(scale.low)), number(y(1.0)));
    let mut last = count - 1;
    for at in (0..count).step_by(stride) {
        // The last of a stride, so that the curve ends at no share.
        last = (at + stride - 1).min(count - 1);
        let share = (count - 1 - last) as f64 / count as f64;
        let (x, y) = (number(scale.x(values[last])), number(y(share)));
        path.extend(["H", &x, "V", &y]);
    }
    debug_assert_eq!(last, count - 1, "the last step ends at no share");
    path.extend(["H", &number(scale.x(scale.high))]);
    canvas.element("path", &[is("class", class), ("d", path)]);
}

fn keys(canvas: &mut Canvas, [related, unrelated]: [&str; 2]) {
    for (row, (class, label)) in [("line related", related), ("line unrelated", unrelated)]
        .into_iter()
        .enumerate()
    {
        let top = TOP + 14.0 + row as f64 * 18.0;
        let left = WIDTH - RIGHT - 180.0;
        line(canvas, class, [(left, top), (left + 28.0, top)]);
        canvas.text(
            "text",
            &[
                at("x", left + 36.0),
                at("y", top + 4.0),
                is("class", "small"),
            ],
            label,
        );
    }
}

/// What a line of the plot of effects shows.
struct Effect<'a> {
    statement: &'a Statement,
    label: String,
    interval: Interval,
}

impl<'a> Effect<'a> {
    /// Returns the line of a statement that has an effect against controls.
    fn of(statement: &'a Statement) -> Option<Self> {
        // Effects of `same` have another scale: permuted labels.
        let interval = statement
            .effect
            .filter(|_| statement.detector != Detector::Same)?;
        let all = [interval.value, interval.low, interval.high];
        let pair = format!("{} · {}", statement.suspect, statement.candidate);
        let pair = text::cut(&pair, LABEL_CHARS);
        all.iter().all(|v| v.is_finite()).then(|| Self {
            statement,
            label: format!("{} · {pair}", wording::detector(statement.detector)),
            interval,
        })
    }

    fn draw(&self, canvas: &mut Canvas, scale: Scale, middle: f64) {
        let place = [
            at("x", scale.left - 8.0),
            at("y", middle + 4.0),
            is("text-anchor", "end"),
            is("class", "small"),
        ];
        canvas.text("text", &place, &self.label);
        let Interval { value, low, high } = self.interval;
        let ends = [low, high].map(|end| (scale.x(end), middle));
        line(canvas, "interval", ends);
        let found = wording::finding(&self.statement.finding);
        let is_supported = self.statement.finding == Finding::Supported;
        let class = if is_supported {
            "point supported"
        } else {
            "point"
        };
        let point = [
            is("class", class),
            at("cx", scale.x(value)),
            at("cy", middle),
            at("r", 5.0),
        ];
        let told = format!(
            "{}: {value:.2} ({low:.2} to {high:.2}), {found}",
            self.label
        );
        canvas.titled("circle", &point, &told);
    }
}

/// Returns the plot of effects with intervals, against the controls' mean and standard deviation;
/// nothing when no statement has one.
pub(super) fn effects(statements: &[&Statement]) -> Option<String> {
    let with = statements
        .iter()
        .filter_map(|statement| Effect::of(statement));
    let with: Vec<Effect<'_>> = with.take(EFFECTS).collect();
    let low = with.iter().map(|e| e.interval.low).reduce(f64::min)?;
    let high = with.iter().map(|e| e.interval.high).reduce(f64::max)?;
    let longest = with.iter().map(|e| e.label.chars().count()).max()?;
    let left = longest as f64 * 6.6 + 12.0;
    let width = left + 460.0;
    let height = with.len() as f64 * LINE + 44.0;
    let scale = Scale {
        low: low.min(-2.0),
        high: high.max(2.0),
        left,
        width: width - left - RIGHT,
    };
    let mut canvas = Canvas::default();
    effects_axis(&mut canvas, scale, height);
    for (row, effect) in with.iter().enumerate() {
        effect.draw(&mut canvas, scale, row as f64 * LINE + LINE / 2.0);
    }
    let description = "One line per statement: the effect with its 95 % interval. 0 is the mean of the controls, the band two standard deviations of theirs. Filled points are supported statements. The same figures stand in the table of evidence.";
    Some(canvas.finish((width, height), "Effects against the controls", description))
}

fn effects_axis(canvas: &mut Canvas, scale: Scale, height: f64) {
    let bottom = height - 34.0;
    let (from, to) = (scale.x(-2.0), scale.x(2.0));
    let band = [
        is("class", "band"),
        at("x", from),
        at("y", 0.0),
        at("width", to - from),
        at("height", bottom),
    ];
    canvas.element("rect", &band);
    let mut write = |x: f64, y: f64, text: &str| {
        let place = [
            at("x", x),
            at("y", y),
            is("text-anchor", "middle"),
            is("class", "small"),
        ];
        canvas.text("text", &place, text);
    };
    let middle = scale.left + scale.width / 2.0;
    write(
        middle,
        height - 4.0,
        "standard deviations of the controls above their mean",
    );
    let marks = ticks(scale.low, scale.high, 8);
    for tick in &marks {
        write(scale.x(*tick), bottom + 14.0, &number(*tick));
    }
    for tick in marks {
        let x = scale.x(tick);
        let class = if tick == 0.0 { "zero" } else { "grid" };
        line(canvas, class, [(x, 0.0), (x, bottom)]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;

    #[test]
    fn the_tippett_plot_falls_from_everything_to_nothing() {
        let mut calibration = example::analysis(3).calibrations.remove(0);
        let svg = tippett(&calibration).expect("both kinds are there");
        assert!(svg.contains("27 related pairs") && svg.contains("1176 unrelated pairs"));
        let lowest = format!("V{}H", number(y(0.0)));
        assert_eq!(
            svg.matches(&lowest).count(),
            2,
            "both curves end at no share"
        );
        calibration.related = (0..100_000).map(f64::from).collect();
        assert!(tippett(&calibration).expect("drawn").len() < 40_000);
        calibration.unrelated = vec![f64::NAN];
        assert_eq!(tippett(&calibration), None);
    }

    #[test]
    fn effects_are_drawn_with_their_intervals() {
        let made = example::statement("s", "<t>", Detector::Kin, 1.4);
        let mut broken = example::statement("s", "u", Detector::Kin, 1.4);
        broken.effect = Some(Interval {
            value: f64::NAN,
            low: 0.0,
            high: 1.0,
        });
        let svg = effects(&[&made, &broken]).expect("one is there");
        assert_eq!(svg.matches("<circle").count(), 1);
        assert!(svg.contains("s · &lt;t&gt;"), "{svg}");
        assert_eq!(effects(&[&broken]), None);
        assert_eq!(effects(&[]), None);
    }
}
