//! The benchmark on models whose lineage we made, and its files.

use std::sync::Arc;

use arrow::array::{RecordBatch, StringArray, UInt32Array};
use parquet::arrow::ArrowWriter;

use super::*;
use crate::roles::{Kind, ModelFacts, Roles};
use crate::testing::{Speaker, corpus};

/// Forty strangers, a child of each of the first six, and six students of one of them.
fn tables() -> Tables {
    let mut speakers: Vec<Speaker> = (0..40)
        .map(|n| (format!("m{n:02}"), vec![(n + 1, 1.0)]))
        .collect();
    let (mut roles, mut pairs) = (Roles::default(), Vec::new());
    let mut label = |student: &str, candidate: &str, label: Label| {
        pairs.push(LabelledPair {
            student: student.to_owned(),
            candidate: candidate.to_owned(),
            label,
            confidence: "high".to_owned(),
        });
    };
    for n in 0..6_u64 {
        let (child, parent) = (format!("x-child{n}"), format!("m{n:02}"));
        speakers.push((child.clone(), vec![(n + 1, 0.6), (60 + n, 1.0)]));
        label(&child, &parent, Label::Parent);
        let facts = ModelFacts {
            parents: [parent].into(),
            ..ModelFacts::default()
        };
        roles.facts.insert(child, facts);
        let student = format!("y-student{n}");
        speakers.push((student.clone(), vec![(40, 0.4), (80 + n, 1.0)]));
        label(&student, "m39", Label::Teacher);
        let facts = ModelFacts {
            kind: Kind::Student,
            ..ModelFacts::default()
        };
        roles.facts.insert(student, facts);
    }
    for n in 6..36 {
        for candidate in ["m38", "m39"] {
            label(&format!("m{n:02}"), candidate, Label::NegativeDocumented);
        }
    }
    pairs.sort();
    Tables {
        corpus: corpus(&speakers, 32),
        roles,
        pairs,
    }
}

fn settings() -> BenchSettings {
    BenchSettings {
        resamples: 40,
        draws: 20,
        seed: 1,
    }
}

fn value(report: &LineageReport, detector: &str, metric: &str) -> f64 {
    let mut all = report.figures.iter();
    let found = all.find(|figure| (figure.method, figure.metric) == (detector, metric));
    found
        .and_then(|figure| figure.value)
        .map_or(f64::NAN, |value| value.value)
}

#[test]
fn known_lineage_is_told_from_none() {
    let report = run(&tables(), &settings(), &|_, _| {});
    assert!(
        value(&report, "kin", "parent AUC") > 0.98,
        "{:?}",
        report.figures
    );
    assert!(
        value(&report, "teacher", "wc") > 0.95,
        "{:?}",
        report.figures
    );
    assert!(
        value(&report, "teacher", "Cllr") < 0.7,
        "{:?}",
        report.figures
    );
    assert!(value(&report, "always the usual vendor", "wc").is_nan() || report.sizes[0] == 52);
    let kin = report
        .false_positives
        .iter()
        .find(|r| r.detector == "kin" && r.controls == Some(20));
    let rates = kin.and_then(|rates| rates.rate.zip(rates.power));
    assert!(
        rates.is_some_and(|(rate, power)| rate.value <= 0.07 && power.value > 0.8),
        "{kin:?}"
    );
    assert_eq!(report.pairs.len(), 66 + 66);
    assert!(
        report
            .pairs
            .iter()
            .all(|pair| pair.log10_lr.is_none_or(|lr| lr.abs() <= pair.cap))
    );
}

#[test]
fn the_report_is_the_same_for_any_thread_count() {
    let tables = tables();
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| serde_json::to_string(&run(&tables, &settings(), &|_, _| {})).unwrap())
    };
    assert_eq!(with(1), with(2));
}

#[test]
fn too_few_models_give_absent_figures() {
    let mut tables = tables();
    tables.corpus = tables
        .corpus
        .only(|name| name == "m00" || name == "x-child0", |_| true);
    tables.pairs.retain(|pair| pair.student == "x-child0");
    let report = run(&tables, &settings(), &|_, _| {});
    assert!(
        report
            .figures
            .iter()
            .all(|figure| figure.value.is_none_or(|v| v.value.is_finite()))
    );
    assert!(report.false_positives.iter().all(|rates| rates.pairs == 0));
}

#[test]
fn tables_are_read_and_pairs_written() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let missing = Tables::read(folder.path()).unwrap_err().to_string();
    assert!(missing.contains("alpaca_eval.parquet"), "{missing}");
    let batch = RecordBatch::try_from_iter([
        (
            "model",
            Arc::new(StringArray::from(vec!["a", "b", "a"])) as arrow::array::ArrayRef,
        ),
        ("prompt_index", Arc::new(UInt32Array::from(vec![0, 0, 1]))),
        (
            "output",
            Arc::new(StringArray::from(vec![Some("one"), Some("two"), None])),
        ),
    ]);
    let batch = batch.unwrap();
    let file = std::fs::File::create(at("outputs.parquet")).unwrap();
    let mut writer = ArrowWriter::try_new(file, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    std::fs::write(
        at("lineage.csv"),
        "model,base_family,immediate_parent,distilled_from,teachers_in_list,variant_of,kind,\
         data_group,note,release_approx,other\n\
         a,llama-2,b,none,,,student,oasst,,2023-05,x\n\
         b,unknown-7b,,undisclosed,c;d,,origin,,please exclude,,x\n",
    )
    .unwrap();
    std::fs::write(
        at("pairs.csv"),
        "student,candidate,label,confidence\na,b,parent,high\na,gone,teacher,high\n",
    )
    .unwrap();
    let tables = Tables::read(folder.path()).unwrap();
    assert_eq!(tables.corpus.replies.len(), 3);
    assert_eq!(tables.pairs.len(), 1, "a pair without replies is left out");
    let (a, b) = (tables.roles.facts("a"), tables.roles.facts("b"));
    assert_eq!(
        (a.kind, a.vendor.as_deref(), a.teachers_known),
        (Kind::Student, Some("llama"), true)
    );
    assert_eq!(
        (b.kind, b.vendor, b.base, b.teachers_known),
        (Kind::Composite, None, None, false)
    );
    assert_eq!(b.teachers.len(), 2);
    let report = run(&tables, &settings(), &|_, _| {});
    write_pairs(&at("pairs.parquet"), &report.pairs).unwrap();
    assert!(std::fs::metadata(at("pairs.parquet")).unwrap().len() > 0);
    assert!(write_pairs(&at("no/such/folder.parquet"), &[]).is_err());
}
