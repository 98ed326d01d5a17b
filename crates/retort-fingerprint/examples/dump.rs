//! Scratch.
#![allow(warnings)]
use retort_fingerprint::*;
use std::io::Write;
fn main() {
    let t = std::time::Instant::now();
    let path = std::env::args().nth(1).unwrap();
    let corpus =
        Corpus::from_parquet(&[std::path::Path::new(&path)], &Selection::default()).unwrap();
    eprintln!(
        "read {:?} {} models {} prompts",
        t.elapsed(),
        corpus.models.len(),
        corpus.prompts.len()
    );
    for u in corpus.unfit() {
        eprintln!("unfit {u:?}");
    }
    let f = Fingerprints::of(
        &corpus,
        &Settings {
            outside: std::fs::read_to_string("/tmp/h1/outside.txt")
                .unwrap()
                .lines()
                .map(str::to_owned)
                .collect(),
        },
        &|a, b| eprintln!("{a}/{b}"),
    );
    eprintln!("compared {:?}", t.elapsed());
    std::fs::write("/tmp/h1/models.txt", f.models().join("\n")).unwrap();
    let mut dump = |name: String, m: &Similarities| {
        let n = m.models();
        let mut out = Vec::new();
        for i in 0..n {
            for j in 0..n {
                out.extend(m.get(i, j).unwrap_or(f64::NAN).to_le_bytes());
            }
        }
        std::fs::write(format!("/tmp/h1/m_{name}.bin"), out).unwrap();
    };
    for fam in f.families() {
        for (c, n) in [(Centring::Raw, "raw"), (Centring::Double, "cen")] {
            dump(
                format!("{}_{n}", fam.as_str()),
                &f.similarities(fam, c, &|_| true).unwrap(),
            );
        }
    }
    for (k, m) in f.correlations(&|_| true).iter().enumerate() {
        dump(format!("num{k}"), m);
    }
    eprintln!("done {:?}", t.elapsed());
}
