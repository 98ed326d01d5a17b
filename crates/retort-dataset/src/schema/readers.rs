//! How common tools read a snapshot, one line each: what cards and the reference page show.

/// A tool and the line that reads a snapshot with it, run inside the snapshot's folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reader {
    /// The tool.
    pub tool: &'static str,
    /// What the line is written in, as code blocks name it.
    pub language: &'static str,
    /// The line.
    pub line: &'static str,
}

/// Every tool that is tried against snapshots.
pub const READERS: &[Reader] = &[
    Reader {
        tool: "DuckDB",
        language: "sql",
        line: "select model, outcome, count(*) as n from 'responses/**/*.parquet' group by all order by all",
    },
    Reader {
        tool: "Polars",
        language: "python",
        line: r#"import polars; polars.scan_parquet("responses/**/*.parquet").group_by("model", "outcome").len().collect()"#,
    },
    Reader {
        tool: "pandas",
        language: "python",
        line: r#"import pandas; pandas.read_parquet("responses", columns=["model", "outcome", "response_text"])"#,
    },
    Reader {
        tool: "pyarrow",
        language: "python",
        line: r#"import pyarrow.dataset; pyarrow.dataset.dataset("responses", partitioning="hive").to_table(columns=["model", "outcome"])"#,
    },
    Reader {
        tool: "Hugging Face datasets",
        language: "python",
        line: r#"import datasets, os; datasets.load_dataset(os.getcwd(), "responses", split="train")"#,
    },
];
