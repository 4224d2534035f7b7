//! Rule sets as records: which were made, which is the newest, and their compiled form, shared by all log partitions.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use rules::RuleSet;
use tracing::{info, warn};

use crate::state_store::{StateStore, StateStoreError};

/// Compiled sets kept for evaluators: the one in force and the one that takes its place.
const COMPILED_MAX: usize = 4;

/// The rule sets of one lake.
#[derive(Clone, Debug)]
pub struct RuleSets {
    store: StateStore,
    compiled: Arc<Mutex<BTreeMap<u64, Arc<RuleSet>>>>,
}

/// A rule set that records name cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RuleSetsError {
    #[error(transparent)]
    Store(#[from] StateStoreError),
    #[error("rule set {n} has digest {found}, the record says {expected}")]
    Digest { n: u64, found: String, expected: String },
    #[error("rule set {n} does not open: {source}")]
    Unreadable { n: u64, source: rules::RuleSetError },
    #[error("there is no rule set with digest {digest}")]
    Missing { digest: String },
}

/// The newest rule set, by number and digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Newest {
    pub n: u64,
    pub digest: String,
}

impl RuleSets {
    pub fn new(store: StateStore) -> Self {
        RuleSets { store, compiled: Arc::default() }
    }

    /// The compiled set that a record names.
    ///
    /// # Errors
    /// There is none with that number and digest, or it does not open.
    pub fn compiled(&self, n: u64, digest: &str) -> Result<Arc<RuleSet>, RuleSetsError> {
        if let Some(set) = self.compiled.lock().get(&n) {
            return check_digest(n, set, digest).map(|()| set.clone());
        }
        let set = Arc::new(self.open(n)?);
        check_digest(n, &set, digest)?;
        let mut compiled = self.compiled.lock();
        compiled.insert(n, set.clone());
        while compiled.len() > COMPILED_MAX {
            compiled.pop_first();
        }
        Ok(set)
    }

    /// The number of a set that a record names. The lake keeps digests only and gives 0: then it is the lowest one above
    /// `in_force` with that digest, since numbers rise along the log.
    ///
    /// # Errors
    /// There is none, or the store cannot be read.
    pub fn number(&self, named: u64, digest: &str, in_force: u64) -> Result<u64, RuleSetsError> {
        if named > 0 {
            return Ok(named);
        }
        for n in self.store.rule_set_numbers()?.into_iter().filter(|n| *n > in_force) {
            if rules::digest_of(&self.store.rule_set(n)?) == digest {
                return Ok(n);
            }
        }
        Err(RuleSetsError::Missing { digest: digest.to_owned() })
    }

    /// The set of a digest, whatever its number; a replay of the lake knows no numbers.
    ///
    /// # Errors
    /// There is none, or it does not open.
    pub fn with_digest(&self, digest: &str) -> Result<Arc<RuleSet>, RuleSetsError> {
        for n in self.store.rule_set_numbers()? {
            if rules::digest_of(&self.store.rule_set(n)?) == digest {
                return Ok(Arc::new(self.open(n)?));
            }
        }
        Err(RuleSetsError::Missing { digest: digest.to_owned() })
    }

    /// Every stored set, in the order of numbers.
    ///
    /// # Errors
    /// The store cannot be read, or a set does not open.
    pub fn each(&self, visit: &mut dyn FnMut(u64, &RuleSet)) -> Result<(), RuleSetsError> {
        for n in self.store.rule_set_numbers()? {
            visit(n, &self.open(n)?);
        }
        Ok(())
    }

    /// # Errors
    /// The store cannot be read, or the newest set does not open.
    pub fn newest(&self) -> Result<Option<Newest>, RuleSetsError> {
        let Some(n) = self.store.rule_set_numbers()?.pop() else { return Ok(None) };
        Ok(Some(Newest { n, digest: self.open(n)?.digest().to_owned() }))
    }

    /// Makes `set` the newest unless it is. On a start over Kafka (`may_return` false) a set whose digest stands under an older
    /// number is left alone: a rolling deploy must not flip rules back and forth.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub fn propose(&self, set: &RuleSet, may_return: bool) -> Result<Newest, RuleSetsError> {
        loop {
            let newest = self.newest()?;
            if let Some(newest) = &newest {
                if newest.digest == set.digest() {
                    metrics::gauge!("urban_neuron_rules_outdated").set(0.0);
                    return Ok(newest.clone());
                }
                if !may_return && self.stands_under_older(set.digest(), newest.n)? {
                    warn!(
                        newest = newest.n,
                        digest = set.digest(),
                        "rules_outdated: these rule files were replaced before"
                    );
                    metrics::gauge!("urban_neuron_rules_outdated").set(1.0);
                    return Ok(newest.clone());
                }
            }
            let n = newest.map_or(1, |newest| newest.n + 1);
            if self.store.put_rule_set(n, set.bytes())? {
                info!(n, digest = set.digest(), rules = set.len(), "new rule set");
                return Ok(Newest { n, digest: set.digest().to_owned() });
            }
        }
    }

    fn stands_under_older(&self, digest: &str, below: u64) -> Result<bool, RuleSetsError> {
        for n in self.store.rule_set_numbers()?.into_iter().filter(|n| *n < below) {
            if rules::digest_of(&self.store.rule_set(n)?) == digest {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn open(&self, n: u64) -> Result<RuleSet, RuleSetsError> {
        let bytes = self.store.rule_set(n)?;
        RuleSet::from_bytes(&bytes).map_err(|source| RuleSetsError::Unreadable { n, source })
    }
}

fn check_digest(n: u64, set: &RuleSet, expected: &str) -> Result<(), RuleSetsError> {
    if set.digest() == expected {
        return Ok(());
    }
    Err(RuleSetsError::Digest { n, found: set.digest().to_owned(), expected: expected.to_owned() })
}
