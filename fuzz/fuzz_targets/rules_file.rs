//! A rule file of somebody who does not know the language.

#![no_main]

use libfuzzer_sys::fuzz_target;
use urban_neuron_rules::{LoadOptions, RuleSource};

#[path = "../../crates/rules/tests/catalog/mod.rs"]
mod catalog;

fuzz_target!(|text: &str| {
    let files = [("rules.toml".to_owned(), text.to_owned())];
    if let Err(errors) = RuleSource::load(&files, &catalog::SmallCatalog, &LoadOptions::default()) {
        assert!(!errors.is_empty(), "a refusal says why");
    }
});
