//! `rules test`: cases beside the rules, as unit tests of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use rules::RuleSet;

use super::output::print_line;
use super::{ConfigArgs, Failure};
use crate::metric_catalog::{self, SharedCatalog};
use crate::registry_files::RegistryFiles;
use crate::rule_cases::{Case, CaseFile, LineDifference, line_differences, said};
use crate::rule_files::RuleFiles;
use crate::rule_loader::load_rules;

#[derive(Args, Debug)]
pub(super) struct RulesTestArgs {
    #[command(flatten)]
    config: ConfigArgs,

    /// Files of cases (TOML)
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
}

/// What rules are loaded over.
struct Ground {
    catalog: Arc<SharedCatalog>,
    registry: model::registry::Registry,
    time_zone: String,
}

impl RulesTestArgs {
    pub(super) fn run(self, environment: &BTreeMap<String, String>) -> Result<(), Failure> {
        let config = self.config.load(environment)?;
        let catalog = metric_catalog::load(&config).map_err(|error| Failure::Usage(format!("{error:#}")))?;
        let registry = RegistryFiles::new(config.registry.path.clone(), catalog.0.clone()).read();
        let registry = registry.map_err(|error| Failure::Usage(error.to_string()))?;
        let ground = Ground { catalog, registry, time_zone: config.time_zone.clone() };
        let (mut cases, mut failed) = (0, 0);
        for path in &self.files {
            let (file, shared) = ground.open(path)?;
            for case in &file.cases {
                cases += 1;
                failed += usize::from(!ground.run(path, case, shared.as_ref())?);
            }
        }
        print_line(&format!("{cases} cases, {failed} failed"))?;
        if failed == 0 { Ok(()) } else { Err(Failure::Negative) }
    }
}

impl Ground {
    /// The cases of a file, and the set of the rule files that it names.
    fn open(&self, path: &Path) -> Result<(CaseFile, Option<Arc<RuleSet>>), Failure> {
        let wrong = |what: String| Failure::Usage(format!("{}: {what}", path.display()));
        let text = std::fs::read_to_string(path).map_err(|error| wrong(error.to_string()))?;
        let file = CaseFile::parse(&text, &self.catalog.0).map_err(|errors| {
            let lines: Vec<String> =
                errors.iter().map(|error| format!("{}: {error}", path.display())).collect();
            Failure::Usage(lines.join("\n"))
        })?;
        if file.rules.is_empty() {
            return Ok((file, None));
        }
        let beside = path.parent().unwrap_or(Path::new(""));
        let paths = file.rules.iter().map(|name| beside.join(name)).collect();
        let texts = RuleFiles::new(paths).read().map_err(|error| wrong(error.to_string()))?;
        let set = self.load(&texts).map_err(Failure::Usage)?;
        Ok((file, Some(set)))
    }

    fn load(&self, texts: &[(String, String)]) -> Result<Arc<RuleSet>, String> {
        match load_rules(texts, self.catalog.as_ref(), &self.registry, &self.time_zone) {
            Ok(loaded) => Ok(Arc::new(loaded.rule_set)),
            Err(errors) => Err(errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")),
        }
    }

    /// True when the case's rules say what is expected; else the differences are printed.
    fn run(&self, path: &Path, case: &Case, shared: Option<&Arc<RuleSet>>) -> Result<bool, Failure> {
        let name = format!("{}: {}", path.display(), case.name);
        let set = match (&case.rule_text, shared) {
            (Some(text), _) => self.load(&[(name.clone(), text.clone())]),
            (None, Some(shared)) => Ok(shared.clone()),
            (None, None) => Err("neither rules of its own nor `rules` at the head of the file".to_owned()),
        };
        let set = match set {
            Ok(set) => set,
            Err(what) => {
                print_line(&format!("{name}\n  does not load: {what}"))?;
                return Ok(false);
            }
        };
        let differences = line_differences(&case.expect, &said(case, &set));
        if !differences.is_empty() {
            print_line(&name)?;
        }
        for difference in &differences {
            print_line(&match difference {
                LineDifference::Missing(line) => format!("  not said:     {line}"),
                LineDifference::Unexpected(line) => format!("  not expected: {line}"),
            })?;
        }
        Ok(differences.is_empty())
    }
}
