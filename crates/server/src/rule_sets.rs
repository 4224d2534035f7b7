//! Rule sets as records: which were made, and which is the newest.

use std::error::Error as StdError;

use rules::{RuleSet, RuleSetStore};
use tracing::{info, warn};

use crate::state_store::{StateStore, StateStoreError};

/// The rule sets of one lake.
#[derive(Clone, Debug)]
pub struct RuleSets {
    store: StateStore,
}

/// The newest rule set, by number and digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newest {
    pub n: u64,
    /// SHA-256 of its bytes, lower-case hex.
    pub digest: String,
}

impl RuleSets {
    pub fn new(store: StateStore) -> Self {
        RuleSets { store }
    }

    /// # Errors
    /// The store cannot be read.
    pub fn newest(&self) -> Result<Option<Newest>, StateStoreError> {
        let Some(n) = self.store.rule_set_numbers()?.pop() else { return Ok(None) };
        Ok(Some(Newest { n, digest: rules::digest(&self.store.rule_set(n)?) }))
    }

    /// Makes `set` the newest unless it is. With `may_return` false, a set whose digest stands under an older number is left
    /// alone: a rolling deploy must not flip rules back and forth.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub fn propose(&self, set: &RuleSet, may_return: bool) -> Result<Newest, StateStoreError> {
        let (bytes, digest) = (set.to_bytes(), set.digest());
        loop {
            let newest = self.newest()?;
            if let Some(newest) = newest.as_ref().filter(|newest| newest.digest == digest) {
                metrics::gauge!("urban_neuron_rules_outdated").set(0.0);
                return Ok(newest.clone());
            }
            if let Some(newest) = &newest
                && !may_return
                && self.stands_under_older(&digest, newest.n)?
            {
                warn!(newest = newest.n, digest, "rules_outdated: these rule files were replaced before");
                metrics::gauge!("urban_neuron_rules_outdated").set(1.0);
                return Ok(newest.clone());
            }
            let n = newest.map_or(1, |newest| newest.n + 1);
            if self.store.put_rule_set(n, &bytes)? {
                info!(n, digest, rules = set.rules().len(), "new rule set");
                return Ok(Newest { n, digest });
            }
        }
    }

    fn stands_under_older(&self, digest: &str, below: u64) -> Result<bool, StateStoreError> {
        for n in self.store.rule_set_numbers()?.into_iter().filter(|n| *n < below) {
            if rules::digest(&self.store.rule_set(n)?) == digest {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

impl RuleSetStore for RuleSets {
    fn rule_set(&self, n: u64) -> Result<Vec<u8>, Box<dyn StdError + Send + Sync>> {
        Ok(self.store.rule_set(n)?)
    }
}
