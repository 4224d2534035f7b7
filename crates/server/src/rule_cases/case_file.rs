//! A file of cases: TOML, each with rules of its own or with the rule files that the file names.

use model::catalog::Catalog;

use super::CaseRecord;

/// The cases of one file.
#[derive(Debug)]
pub struct CaseFile {
    /// Rule files that the cases are about, beside the file.
    pub rules: Vec<String>,
    pub cases: Vec<Case>,
}

/// Records in, alerts expected out.
#[derive(Debug)]
pub struct Case {
    pub name: String,
    pub records: Vec<CaseRecord>,
    /// Lines in the order in which they are said.
    pub expect: Vec<String>,
    /// A rule file of the case's own rules, where it has some.
    pub rule_text: Option<String>,
}

/// What is wrong with a file of cases.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{place}: {what}")]
pub struct CaseError {
    /// Line, or the case's name.
    pub place: String,
    pub what: String,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    rules: Vec<String>,
    #[serde(default)]
    case: Vec<RawCase>,
}

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCase {
    name: String,
    /// For people.
    #[serde(default, rename = "why")]
    _why: String,
    #[serde(default)]
    rule: Vec<toml::Table>,
    records: Vec<String>,
    expect: Vec<String>,
    /// Alert ids; examples of the language have them.
    #[serde(default, rename = "ids")]
    _ids: Vec<String>,
}

impl CaseFile {
    /// Reads a file of cases. Readings stand in the catalog's unit of their metric.
    ///
    /// # Errors
    /// Everything that is wrong with it.
    pub fn parse(text: &str, catalog: &Catalog) -> Result<Self, Vec<CaseError>> {
        let file: File = toml::from_str(text).map_err(|error| {
            let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
            let place = format!("line {}", before.matches('\n').count() + 1);
            vec![CaseError { place, what: error.message().to_owned() }]
        })?;
        let (mut cases, mut errors) = (Vec::new(), Vec::new());
        for raw in file.case {
            cases.push(case(raw, catalog, &mut errors));
        }
        if errors.is_empty() { Ok(CaseFile { rules: file.rules, cases }) } else { Err(errors) }
    }
}

fn case(raw: RawCase, catalog: &Catalog, errors: &mut Vec<CaseError>) -> Case {
    let unit_of = |metric: &str| {
        let unit = catalog.find(metric).and_then(|info| info.unit);
        unit.map(|unit| unit.code.to_owned()).unwrap_or_default()
    };
    let mut records = Vec::new();
    for (offset, line) in raw.records.iter().enumerate() {
        match CaseRecord::parse(line, offset, &unit_of) {
            Ok(record) => records.push(record),
            Err(what) => errors.push(CaseError { place: format!("case {:?}", raw.name), what }),
        }
    }
    let rule_text = (!raw.rule.is_empty()).then(|| rule_text(raw.rule));
    Case { name: raw.name, records, expect: raw.expect, rule_text }
}

/// The rules as a rule file; what describes a rule may be left out in a case.
fn rule_text(rules: Vec<toml::Table>) -> String {
    let with_defaults = rules.into_iter().map(|mut rule| {
        for (key, value) in [("id", "x"), ("title", "t"), ("severity", "warning")] {
            rule.entry(key).or_insert_with(|| value.into());
        }
        toml::Value::Table(rule)
    });
    let rules = toml::Value::Array(with_defaults.collect());
    toml::Table::from_iter([("rule".to_owned(), rules)]).to_string()
}
