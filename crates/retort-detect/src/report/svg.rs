//! Pictures as SVG text: elements, escaped texts, short numbers. Colours are classes of the style
//! sheet, so that light and dark differ there alone.

/// An SVG picture as it is drawn.
#[derive(Debug, Default)]
pub(super) struct Canvas {
    body: String,
}

impl Canvas {
    /// Adds an element with these attributes.
    pub(super) fn element(&mut self, name: &str, attributes: &[(&str, String)]) {
        self.open(name, attributes);
        self.body.push_str("/>");
    }

    /// Adds an element that holds a text.
    pub(super) fn text(&mut self, name: &str, attributes: &[(&str, String)], text: &str) {
        self.open(name, attributes);
        self.body.push('>');
        self.body.push_str(&escape(text));
        self.end(name);
    }

    /// Adds an element that shows `title` when it is pointed at.
    pub(super) fn titled(&mut self, name: &str, attributes: &[(&str, String)], title: &str) {
        self.open(name, attributes);
        self.body.push('>');
        self.text("title", &[], title);
        self.end(name);
    }

    fn open(&mut self, name: &str, attributes: &[(&str, String)]) {
        self.body.push('<');
        self.body.push_str(name);
        for (key, value) in attributes {
            for part in [" ", key, "=\"", &escape(value), "\""] {
                self.body.push_str(part);
            }
        }
    }

    fn end(&mut self, name: &str) {
        for part in ["</", name, ">"] {
            self.body.push_str(part);
        }
    }

    /// Returns the picture, as wide and high as told, in the units of a screen's points. `title`
    /// and `description` are read where the picture cannot be seen.
    pub(super) fn finish(
        self,
        (width, height): (f64, f64),
        title: &str,
        description: &str,
    ) -> String {
        let (w, h) = (number(width), number(height));
        format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {w} {h}\" width=\"{w}\" height=\"{h}\" role=\"img\"><title>{}</title><desc>{}</desc>{}</svg>",
            escape(title),
            escape(description),
            self.body
        )
    }
}

/// Returns an attribute for [`Canvas`] from a number.
pub(super) fn at(name: &str, value: f64) -> (&str, String) {
    (name, number(value))
}

/// Returns an attribute for [`Canvas`] from a text.
pub(super) fn is<'a>(name: &'a str, value: &str) -> (&'a str, String) {
    (name, value.to_owned())
}

/// Returns a number with at most two decimals; what is not finite is 0.
pub(super) fn number(value: f64) -> String {
    if !value.is_finite() {
        return "0".to_owned();
    }
    let text = format!("{value:.2}");
    let text = text.trim_end_matches('0').trim_end_matches('.');
    if text == "-0" {
        "0".to_owned()
    } else {
        text.to_owned()
    }
}

/// Returns a text in which nothing is markup and no control character is left.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in super::text::visible(text).chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

/// Round values between `low` and `high` that an axis is marked at, about `count` of them.
pub(super) fn ticks(low: f64, high: f64, count: usize) -> Vec<f64> {
    let span = high - low;
    if !span.is_finite() || span <= 0.0 {
        return vec![low];
    }
    let rough = span / count.max(1) as f64;
    let power = 10_f64.powf(rough.log10().floor());
    let step = [1.0, 2.0, 5.0, 10.0]
        .map(|factor| factor * power)
        .into_iter()
        .find(|step| *step >= rough)
        .unwrap_or(rough);
    let first = (low / step).ceil();
    (0..=2 * count.max(1))
        .map(|n| (first + n as f64) * step)
        .take_while(|tick| *tick <= high + step * 1e-9)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short_and_always_numbers() {
        let all = [1.0, -0.0, 2.345, f64::NAN, f64::INFINITY, -0.001].map(number);
        assert_eq!(all, ["1", "0", "2.35", "0", "0", "0"].map(str::to_owned));
    }

    #[test]
    fn texts_cannot_become_markup() {
        let mut canvas = Canvas::default();
        canvas.text(
            "text",
            &[is("class", "\"><script>")],
            "</text><script>alert('1')</script>&",
        );
        let svg = canvas.finish((10.0, 10.0), "<b>", "\u{202e}");
        assert!(!svg.contains("<script"), "{svg}");
        assert!(!svg.contains("<b>"), "{svg}");
        assert!(svg.contains("&lt;script&gt;alert(&#39;1&#39;)"), "{svg}");
        assert!(!svg.contains('\u{202e}'), "{svg}");
    }

    #[test]
    fn axes_are_marked_at_round_values() {
        assert_eq!(ticks(-2.0, 2.0, 4), [-2.0, -1.0, 0.0, 1.0, 2.0]);
        assert_eq!(ticks(0.0, 1.0, 4), [0.0, 0.5, 1.0]);
        assert_eq!(ticks(3.0, 3.0, 4), [3.0]);
        assert_eq!(ticks(0.0, f64::NAN, 4), [0.0]);
    }
}
