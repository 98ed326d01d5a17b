//! `pairs.parquet`: every statement about a pair, one row each.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, UInt64Array};
use arrow::datatypes::{DataType, Field, Metadata, Schema};
use arrow::error::ArrowError;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;

use crate::analysis::{Analysis, Statement};
use crate::wording;

/// Version of the table, in its metadata.
pub const PAIRS_VERSION: &str = "1";

/// The table could not be written.
#[derive(Debug, thiserror::Error)]
#[error("failed to write the table of pairs")]
pub enum TableError {
    /// The columns do not fit together.
    Arrow(#[from] ArrowError),
    /// The file could not be made.
    Parquet(#[from] ParquetError),
}

/// A column of texts, of which some may be absent.
type Text = fn(&Statement) -> Option<String>;

/// A column of numbers, of which some may be absent.
type Number = fn(&Statement) -> Option<f64>;

/// A column of counts.
type Count = fn(&Statement) -> usize;

/// How a column is taken from a statement.
enum Take {
    Text(Text),
    Number(Number),
    Count(Count),
    /// The conclusion of the statement's pair.
    Conclusion,
}

/// The columns, in order: name, what it says, how it is taken.
const COLUMNS: &[(&str, &str, Take)] = &[
    (
        "suspect",
        "The model in question.",
        Take::Text(|s| Some(s.suspect.clone())),
    ),
    (
        "candidate",
        "Its possible teacher, ancestor or twin.",
        Take::Text(|s| Some(s.candidate.clone())),
    ),
    (
        "detector",
        "kin, genes, same or teacher.",
        Take::Text(|s| Some(wording::detector(s.detector).to_owned())),
    ),
    (
        "statistic",
        "The statistic, in its detector's units.",
        Take::Number(|s| s.statistic),
    ),
    (
        "effect",
        "Effect against the controls, in standard deviations of theirs.",
        Take::Number(|s| s.effect.map(|e| e.value)),
    ),
    (
        "effect_low",
        "Lower end of its 95 % interval.",
        Take::Number(|s| s.effect.map(|e| e.low)),
    ),
    (
        "effect_high",
        "Upper end of its 95 % interval.",
        Take::Number(|s| s.effect.map(|e| e.high)),
    ),
    (
        "p",
        "p-value against the controls; at least 1 / (n_controls + 1) where it is conformal.",
        Take::Number(|s| s.p),
    ),
    (
        "p_adjusted",
        "The same, adjusted over everything that was asked.",
        Take::Number(|s| s.p_adjusted),
    ),
    (
        "log10_lr",
        "Base-10 logarithm of the likelihood ratio, within the cap.",
        Take::Number(|s| s.log10_lr),
    ),
    (
        "log10_lr_cap",
        "Largest magnitude that the controls support.",
        Take::Number(|s| s.log10_lr_cap),
    ),
    (
        "result",
        "supported, not_supported, inconclusive, not_measured, underpowered or control_set_insufficient.",
        Take::Text(|s| Some(wording::finding(&s.finding).to_owned())),
    ),
    (
        "reason",
        "Why the result is no answer.",
        Take::Text(|s| wording::reason(&s.finding).map(str::to_owned)),
    ),
    (
        "n_prompts",
        "Prompts that both answered.",
        Take::Count(|s| s.prompts),
    ),
    (
        "n_controls",
        "Control models.",
        Take::Count(|s| s.controls.len()),
    ),
    (
        "conclusion",
        "What the decision tree concludes of the pair.",
        Take::Conclusion,
    ),
];

/// Returns the bytes of `pairs.parquet`: the analysis' statements in their order.
///
/// The same analysis gives the same bytes.
///
/// # Errors
/// When Arrow or Parquet refuse, which only a bug makes them do.
pub fn pairs(analysis: &Analysis) -> Result<Vec<u8>, TableError> {
    let statements = &analysis.statements;
    let mut fields = Vec::with_capacity(COLUMNS.len());
    let mut columns: Vec<ArrayRef> = Vec::with_capacity(COLUMNS.len());
    for (name, doc, take) in COLUMNS {
        let (kind, column): (DataType, ArrayRef) = match take {
            Take::Conclusion => (DataType::Utf8, Arc::new(conclusions(analysis))),
            Take::Text(take) => {
                let values: StringArray = statements.iter().map(take).collect();
                (DataType::Utf8, Arc::new(values))
            }
            Take::Number(take) => {
                // What is not a number was not measured.
                let values = statements.iter().map(|s| take(s).filter(|v| v.is_finite()));
                (
                    DataType::Float64,
                    Arc::new(values.collect::<Float64Array>()),
                )
            }
            Take::Count(take) => {
                let values = statements.iter().map(|s| take(s) as u64);
                (
                    DataType::UInt64,
                    Arc::new(UInt64Array::from_iter_values(values)),
                )
            }
        };
        let metadata: Metadata = [("doc", *doc)].into_iter().collect();
        fields.push(Field::new(*name, kind, true).with_metadata(metadata));
        columns.push(column);
    }
    let metadata: Metadata = [("retort.pairs", PAIRS_VERSION)].into_iter().collect();
    let schema = Arc::new(Schema::new(fields).with_metadata(metadata));
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns)?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_created_by("retort".to_owned())
        .build();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, schema, Some(properties))?;
    writer.write(&batch)?;
    writer.close()?;
    Ok(bytes)
}

fn conclusions(analysis: &Analysis) -> StringArray {
    let mut by_pair = std::collections::BTreeMap::new();
    for decision in &analysis.decisions {
        let pair = (decision.suspect.as_str(), decision.candidate.as_str());
        by_pair.insert(pair, wording::conclusion_name(decision.conclusion));
    }
    let of = |s: &Statement| {
        by_pair
            .get(&(s.suspect.as_str(), s.candidate.as_str()))
            .copied()
    };
    analysis.statements.iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use arrow::array::{Array as _, AsArray as _};
    use arrow::datatypes::Float64Type;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    use super::*;
    use crate::example;

    #[test]
    fn every_statement_is_a_row_and_what_is_no_number_is_null() {
        let mut analysis = example::analysis(5);
        analysis.statements[0].p = Some(f64::NAN);
        let bytes = pairs(&analysis).expect("written");
        assert_eq!(pairs(&analysis).expect("written"), bytes, "the same twice");
        let mut file = tempfile::tempfile().expect("a file");
        std::io::Write::write_all(&mut file, &bytes).expect("written");
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).expect("it is Parquet");
        let mut reader = builder.build().expect("it is Parquet");
        let batch = reader.next().expect("one batch").expect("readable");
        assert_eq!(batch.num_rows(), 5);
        let names: Vec<&str> = COLUMNS.iter().map(|(name, ..)| *name).collect();
        let found = batch.schema();
        let found: Vec<&str> = found
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .collect();
        assert_eq!(found, names);
        let column = |name: &str| batch.column_by_name(name).expect("a column");
        assert!(column("p").is_null(0));
        assert!((column("log10_lr").as_primitive::<Float64Type>().value(0) - 1.6).abs() < 1e-12);
        assert_eq!(
            column("conclusion").as_string::<i32>().value(0),
            "distillation_or_common_source"
        );
        assert_eq!(column("result").as_string::<i32>().value(3), "not_measured");
        assert!(column("reason").is_null(0) && column("reason").is_valid(3));
    }
}
