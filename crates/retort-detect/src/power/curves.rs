//! How well each question tells related from unrelated pairs, by number of prompts.

use statrs::distribution::{ContinuousCDF as _, Normal};

use crate::analysis::Detector;

/// Areas under the ROC curve by number of prompts.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Curve {
    /// Prompts, rising, and the area.
    pub points: &'static [(u32, f64)],
    /// Which effect was measured.
    pub effect: &'static str,
    /// On what.
    pub source: &'static str,
}

/// Derivation on 227 models × 400 instructions of `AlpacaEval`, one draw each, features of word,
/// style and opening runs, centred by prompt.
const KIN: Curve = Curve {
    points: &[
        (8, 0.964),
        (16, 0.982),
        (32, 0.989),
        (64, 0.993),
        (128, 0.994),
        (256, 0.995),
    ],
    effect: "fine-tuned from the candidate",
    source: "measured on 227 models of AlpacaEval, 27 derived pairs (English, 2023 to 2024)",
};

/// Mean area within candidates on 148 models × 409 instructions of `AlpacaEval`.
const TEACHER: Curve = Curve {
    points: &[
        (32, 0.87),
        (64, 0.91),
        (128, 0.93),
        (256, 0.94),
        (409, 0.95),
    ],
    effect: "trained on replies of the candidate, from another base",
    source: "measured on 148 models of AlpacaEval, within candidates (English, 2023 to 2024; few \
             independent students)",
};

/// Made-up families of this crate's tests whose descendant answers for itself in four fifths of
/// the cases; 16 draws.
const GENES_MANY: Curve = Curve {
    points: &[(16, 0.985), (32, 0.998), (64, 0.9995), (128, 0.9999)],
    effect: GENES_EFFECT,
    source: GENES_SOURCE,
};

/// The same with four draws.
const GENES_FEW: Curve = Curve {
    points: &[(16, 0.86), (32, 0.91), (64, 0.98), (128, 0.998)],
    effect: GENES_EFFECT,
    source: GENES_SOURCE,
};

/// The same with single draws, where agreement is counted.
const GENES_SINGLE: Curve = Curve {
    points: &[(16, 0.57), (32, 0.64), (64, 0.71), (128, 0.78)],
    effect: GENES_EFFECT,
    source: GENES_SOURCE,
};

const GENES_EFFECT: &str =
    "tuned from the candidate so that four fifths of its completions changed";
const GENES_SOURCE: &str = "simulated families";

/// Returns the curve of a question that compares with controls, for this many draws of a prompt.
/// That of `same` is that of `kin`, for want of one; its power follows from draws alone.
pub fn curve(question: Detector, draws: u32) -> Curve {
    match (question, draws) {
        (Detector::Kin | Detector::Same, _) => KIN,
        (Detector::Teacher, _) => TEACHER,
        (Detector::Genes, 0..=1) => GENES_SINGLE,
        (Detector::Genes, 2..=7) => GENES_FEW,
        (Detector::Genes, _) => GENES_MANY,
    }
}

impl Curve {
    /// Returns the distance of two normal distributions of equal spread with the area that belongs
    /// to `prompts`: between points in proportion to the logarithm, below the first towards none,
    /// and beyond the last nothing more.
    pub fn distance(&self, prompts: u32) -> f64 {
        let normal = Normal::standard();
        let of_area = |area: f64| std::f64::consts::SQRT_2 * normal.inverse_cdf(area);
        let mut before = (1.0_f64, 0.0);
        if prompts == 0 {
            return 0.0;
        }
        let wanted = f64::from(prompts);
        for (count, area) in self.points {
            let here = (f64::from(*count), of_area(*area));
            if wanted <= here.0 {
                let span = (here.0 / before.0).ln();
                let part = (wanted / before.0).ln() / span;
                return before.1 + part * (here.1 - before.1);
            }
            before = here;
        }
        before.1
    }
}
