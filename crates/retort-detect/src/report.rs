//! The report: an analysis as one HTML file that opens offline, on a phone, in the dark, on paper.
//!
//! Nothing is loaded and nothing runs: a content security policy allows the page its own style
//! sheet, by hash, and nothing else. Texts of models are escaped by the template engine and cut.

mod heat;
mod newick;
mod order;
mod plots;
mod svg;
mod text;
mod tree;
mod view;

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Serde, Value};
use minijinja::{AutoEscape, Environment};
use retort_types::Digest;

use crate::analysis::Analysis;

const TEMPLATE: &str = include_str!("../templates/report.html");
const STYLE: &str = include_str!("../templates/report.css");

/// The report could not be written.
#[derive(Debug, thiserror::Error)]
#[error("failed to write the report")]
pub struct ReportError(#[from] minijinja::Error);

/// Returns the report as an HTML page.
///
/// The same analysis gives the same bytes.
///
/// # Errors
/// When the template fails, which only a bug makes it do.
pub fn html(analysis: &Analysis) -> Result<String, ReportError> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    environment.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
    let syntax = SyntaxConfig::builder()
        .trim_blocks(true)
        .lstrip_blocks(true)
        .build()?;
    environment.set_syntax(syntax);
    environment.add_template("report", TEMPLATE)?;
    let context = minijinja::context! {
        style => Value::from_safe_string(STYLE.to_owned()),
        style_hash => base64(Digest::of(STYLE.as_bytes()).as_bytes()),
        report => Value::from(Serde(view::of(analysis))),
    };
    Ok(environment.get_template("report")?.render(context)?)
}

/// Returns bytes in base64, as content security policies write hashes.
fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let byte = |at: usize| u32::from(chunk.get(at).copied().unwrap_or(0));
        let group = (byte(0) << 16) | (byte(1) << 8) | byte(2);
        for place in 0..4 {
            let is_padding = place > chunk.len();
            let index = (group >> (18 - 6 * place)) & 63;
            text.push(if is_padding {
                '='
            } else {
                char::from(ALPHABET[index as usize])
            });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;

    #[test]
    fn texts_of_models_stay_texts() {
        let mut analysis = example::analysis(12);
        analysis.warnings.push(example::HOSTILE.to_owned());
        analysis
            .settings
            .insert("note".to_owned(), example::HOSTILE.into());
        analysis.statements[0]
            .notes
            .push(example::HOSTILE.to_owned());
        analysis.coverage[0].model = example::HOSTILE.to_owned();
        analysis.matrices[0].models[3] = example::HOSTILE.to_owned();
        let page = html(&analysis).expect("it renders");
        assert_eq!(page.matches("<script").count(), 0);
        assert_eq!(page.matches("<img").count(), 0);
        assert_eq!(page.matches("</style>").count(), 1);
        assert!(!page.contains('\u{202e}') && !page.contains('\u{0}'));
        assert!(page.contains("&lt;script&gt;"));
        assert!(
            page.contains("{{ 7 * 7 }}"),
            "no template is made of a text"
        );
        assert!(
            page.len() < 400_000,
            "{} bytes: long replies are cut",
            page.len()
        );
    }

    #[test]
    fn nothing_is_loaded_and_the_style_is_the_one_allowed() {
        let mut analysis = example::analysis(5);
        analysis.exclusions.clear();
        analysis.statements[2].exhibits.truncate(1);
        let page = html(&analysis).expect("it renders");
        let policy = format!(
            "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-{}'; base-uri 'none'; form-action 'none'\">",
            base64(Digest::of(STYLE.as_bytes()).as_bytes())
        );
        assert!(
            page.contains(&policy),
            "{}",
            page.get(..900).unwrap_or_default()
        );
        assert!(page.contains(&format!("<style>{STYLE}</style>")));
        for loading in [
            "src=",
            "@import",
            "url(",
            "<link",
            "<iframe",
            "<object",
            "javascript:",
            " style=",
        ] {
            assert!(!page.contains(loading), "{loading}");
        }
        let addresses: Vec<&str> = page
            .match_indices("http")
            .map(|(at, _)| page.get(at..at + 26).unwrap_or_default())
            .collect();
        let known = |address: &&str| {
            !address.starts_with("http://www.w3.org/2000/svg") && !address.starts_with("http-equiv")
        };
        assert_eq!(
            addresses.iter().filter(|a| known(a)).count(),
            0,
            "{addresses:?}"
        );
    }

    #[test]
    fn everything_a_reader_needs_is_there() {
        let page = html(&example::analysis(12)).expect("it renders");
        let needed = [
            "<html lang=\"en\">",
            "<h1>",
            "<main",
            "<caption>",
            "Exploratory",
            "the campaign carries no analysis",
            "cdcdcdcd",
            "Tippett plot of kin",
            "Similarity of 12 models by kin",
            "Tree of 12 models by genes",
            "<mark>let me think</mark>",
            "retort dataset show known-truth --row 5d1c09a7e0b14d6f8a1c2b3d4e5f6071",
            "4.6 %",
            "88 %",
            "moderate support",
            "none of these",
            "12 replies were empty",
            "closer than a control pair should be",
            "Do both names answer from one distribution now? (same)",
            "not the probability",
            "prefers-color-scheme: dark",
            "@media print",
        ];
        for text in needed {
            assert!(page.contains(text), "{text} is missing");
        }
        assert_eq!(
            html(&example::analysis(12)).expect("it renders"),
            page,
            "the same twice"
        );
    }

    #[test]
    fn an_analysis_of_nothing_is_told() {
        let mut analysis = example::analysis(2);
        analysis.statements.clear();
        analysis.decisions.clear();
        analysis.matrices.clear();
        analysis.trees.clear();
        analysis.calibrations.clear();
        analysis.coverage.clear();
        analysis.teachers.clear();
        analysis.plan_hash = None;
        let page = html(&analysis).expect("it renders");
        assert!(page.contains("No pair was asked about"));
    }

    #[test]
    fn base64_is_the_usual_one() {
        let all = ["", "f", "fo", "foo", "foob"].map(|text| base64(text.as_bytes()));
        assert_eq!(all, ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg=="]);
    }
}
