//! All rules that are in force together, as one self-contained record: what it says depends on no file, catalog or
//! registry that may have changed since.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::inhibition::Inhibition;
use crate::known_registry::KnownRegistry;
use crate::prepared::PreparedRules;
use crate::rule::{Rule, hex};

/// Format of [`RuleSet::bytes`].
pub const RULE_SET_FORMAT: u32 = 3;
/// Of a set without inhibitions.
const RULE_SET_FORMAT_PLAIN: u32 = 2;
/// The oldest format that is read: later ones only added to it.
const RULE_SET_FORMAT_OLDEST: u32 = 1;

/// Rules in the order of their ids, and the units that they count on.
#[derive(Clone, Debug)]
pub struct RuleSet {
    rules: Vec<Rule>,
    prepared: Arc<PreparedRules>,
    units: BTreeMap<String, String>,
    registry: KnownRegistry,
    inhibitions: Vec<Inhibition>,
    bytes: Vec<u8>,
    digest: String,
}

/// Equal bytes are equal rules, units and registries.
impl PartialEq for RuleSet {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

/// The bytes are no rule set of this version.
#[derive(Debug, thiserror::Error)]
pub enum RuleSetError {
    #[error("the rule set does not parse")]
    Malformed(#[source] serde_json::Error),
    #[error(
        "the rule set has format {found}, this build understands {RULE_SET_FORMAT}: upgrade consumers first"
    )]
    OtherFormat { found: u32 },
    #[error("the rules of the set are not in the order of their ids: {id}")]
    OutOfOrder { id: String },
    #[error("the rule {id} of the set names what it does not list")]
    Inconsistent { id: String },
}

#[derive(Serialize)]
struct Written<'a> {
    format: u32,
    units: &'a BTreeMap<String, String>,
    rules: &'a [Rule],
    registry: &'a KnownRegistry,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    inhibitions: &'a [Inhibition],
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Read {
    #[serde(rename = "format")]
    _format: u32,
    units: BTreeMap<String, String>,
    rules: Vec<Rule>,
    #[serde(default)]
    registry: KnownRegistry,
    #[serde(default)]
    inhibitions: Vec<Inhibition>,
}

impl RuleSet {
    /// Rules with unique ids, the canonical unit of every metric that has one, and what the rules use of the registry.
    pub(crate) fn new(
        mut rules: Vec<Rule>,
        units: BTreeMap<String, String>,
        registry: KnownRegistry,
        inhibitions: Vec<Inhibition>,
    ) -> Self {
        rules.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        let written = Written {
            // A set that says nothing new is readable by older builds, and the same set as before.
            format: if inhibitions.is_empty() { RULE_SET_FORMAT_PLAIN } else { RULE_SET_FORMAT },
            units: &units,
            rules: &rules,
            registry: &registry,
            inhibitions: &inhibitions,
        };
        let bytes = serde_json::to_vec(&written).expect("a rule set holds nothing that JSON cannot");
        let prepared = Arc::new(PreparedRules::new(&rules, &registry));
        RuleSet { digest: digest_of(&bytes), rules, prepared, units, registry, inhibitions, bytes }
    }

    /// In the order of their ids.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    pub fn len(&self) -> usize {
        self.rules.len()
    }

    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The unit without which a reading of this metric is not in place.
    pub fn unit(&self, metric: &str) -> Option<&str> {
        self.units.get(metric).map(String::as_str)
    }

    pub(crate) fn prepared(&self) -> &Arc<PreparedRules> {
        &self.prepared
    }

    /// In the order of their ids.
    pub fn inhibitions(&self) -> &[Inhibition] {
        &self.inhibitions
    }

    /// The registered devices behind each gateway; known where a rule is a dead-man or something asks for gateways.
    pub fn devices_of_gateways(&self) -> BTreeMap<&str, Vec<&str>> {
        let mut gateways: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for (id, device) in self.registry.devices().filter(|(_, device)| !device.gateway_id.is_empty()) {
            gateways.entry(device.gateway_id.as_str()).or_default().push(id);
        }
        gateways
    }

    pub(crate) fn registry(&self) -> &KnownRegistry {
        &self.registry
    }

    /// The stored form: equal rule sets give equal bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// SHA-256 of the stored form, lower-case hex: what the log's record names.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// # Errors
    /// See [`RuleSetError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, RuleSetError> {
        let Format { format } = serde_json::from_slice(bytes).map_err(RuleSetError::Malformed)?;
        if !(RULE_SET_FORMAT_OLDEST..=RULE_SET_FORMAT).contains(&format) {
            return Err(RuleSetError::OtherFormat { found: format });
        }
        let Read { units, rules, registry, inhibitions, .. } =
            serde_json::from_slice(bytes).map_err(RuleSetError::Malformed)?;
        if let Some(pair) = rules.windows(2).find(|pair| pair[0].id >= pair[1].id) {
            return Err(RuleSetError::OutOfOrder { id: pair[1].id.clone() });
        }
        if let Some(rule) = rules.iter().find(|rule| !rule.meaning.is_consistent()) {
            return Err(RuleSetError::Inconsistent { id: rule.id.clone() });
        }
        let (bytes, digest) = (bytes.to_vec(), digest_of(bytes));
        let prepared = Arc::new(PreparedRules::new(&rules, &registry));
        Ok(RuleSet { rules, prepared, units, registry, inhibitions, bytes, digest })
    }
}

impl Default for RuleSet {
    fn default() -> Self {
        RuleSet::new(Vec::new(), BTreeMap::new(), KnownRegistry::default(), Vec::new())
    }
}

/// SHA-256 of a stored rule set, lower-case hex.
pub fn digest_of(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}
