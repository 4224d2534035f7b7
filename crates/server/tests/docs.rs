//! The tables of `docs/operations.md` are what the code says. After a change: `UPDATE_DOCS=1 cargo test -p
//! urban-neuron-server --test docs` writes them anew.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use urban_neuron_server::config::documented_keys;
use urban_neuron_server::metrics::METRICS;

#[test]
fn the_table_of_config_keys_is_the_code() {
    let mut table = String::from("| key | kind | default | range | meaning |\n|---|---|---|---|---|\n");
    for key in documented_keys() {
        let cells = [
            format!("`{}`", key.key),
            key.kind.to_owned(),
            code(&key.default),
            key.range,
            key.text.to_owned(),
        ];
        writeln!(table, "| {} |", cells.map(|cell| cell.replace('|', "\\|")).join(" | ")).unwrap();
    }
    check_block("config keys", &table);
}

#[test]
fn the_table_of_metrics_is_the_code() {
    let mut table = String::from("| metric | kind | labels | meaning |\n|---|---|---|---|\n");
    for metric in METRICS {
        let kind = format!("{:?}", metric.kind).to_lowercase();
        writeln!(table, "| `{}` | {kind} | {} | {} |", metric.name, metric.labels, metric.text).unwrap();
    }
    check_block("metrics", &table);
}

#[test]
fn every_metric_of_the_sources_is_in_the_catalog() {
    let mut used = BTreeSet::new();
    for crate_dir in std::fs::read_dir(root().join("crates")).unwrap() {
        collect_metrics(&crate_dir.unwrap().path().join("src"), &mut used);
    }
    let known: BTreeSet<String> = METRICS.iter().map(|metric| metric.name.to_owned()).collect();
    let unknown: Vec<_> = used.difference(&known).collect();
    let unused: Vec<_> = known.difference(&used).collect();
    assert!(
        unknown.is_empty(),
        "in the sources and not in crates/server/src/metrics/catalog.rs: {unknown:?}"
    );
    assert!(
        unused.is_empty(),
        "in crates/server/src/metrics/catalog.rs and nowhere in the sources: {unused:?}"
    );
}

fn collect_metrics(path: &Path, used: &mut BTreeSet<String>) {
    if path.is_dir() {
        for entry in std::fs::read_dir(path).unwrap() {
            collect_metrics(&entry.unwrap().path(), used);
        }
    } else if path.extension().is_some_and(|extension| extension == "rs")
        && !path.ends_with("metrics/catalog.rs")
    {
        let text = std::fs::read_to_string(path).unwrap();
        for literal in text.split('"').filter(|literal| literal.starts_with("urban_neuron_")) {
            if literal.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
            {
                used.insert(literal.to_owned());
            }
        }
    }
}

/// Compares, or with `UPDATE_DOCS` writes, what stands between the two marks of a block.
fn check_block(name: &str, wanted: &str) {
    static FILE: Mutex<()> = Mutex::new(());
    let _one_at_a_time = FILE.lock();
    let path = root().join("docs/operations.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (begin, end) = (format!("<!-- begin {name} -->\n"), format!("<!-- end {name} -->"));
    let start = text.find(&begin).expect("the block begins") + begin.len();
    let stop = start + text[start..].find(&end).expect("the block ends");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, format!("{}{wanted}{}", &text[..start], &text[stop..])).unwrap();
    } else {
        assert!(
            text[start..stop] == *wanted,
            "the {name} in {} are not the code's, see the head of this file",
            path.display()
        );
    }
}

fn code(default: &str) -> String {
    format!("`{}`", default.trim_matches('"')).replace("``", "")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
