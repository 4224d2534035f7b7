//! Which selectors match a device, without trying each: a selector that wants one of some values of an attribute is
//! found by the device's value. Devices with the same matches share one profile.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use crate::selector::{Attribute, Attributes, Selector};

/// Number of a selector in a [`Matching`].
pub(crate) type SelectorId = u32;
/// Number of a set of selectors that match together.
pub(crate) type ProfileId = u32;

/// The distinct selectors of a rule set.
#[derive(Debug, Default)]
pub(crate) struct Selectors {
    selectors: Vec<Option<Selector>>,
    by_text: HashMap<String, SelectorId>,
    by_value: HashMap<Attribute, HashMap<String, Vec<SelectorId>>>,
    unkeyed: Vec<SelectorId>,
    used: HashSet<Attribute>,
}

/// Which of them match the devices seen so far.
#[derive(Debug, Default)]
pub(crate) struct Matching {
    selectors: Arc<Selectors>,
    profiles: Vec<Box<[SelectorId]>>,
    /// As [`crate::compiled::CompiledRules`] numbers plans.
    first_profile: ProfileId,
    profile_ids: HashMap<Box<[SelectorId]>, ProfileId>,
}

impl Selectors {
    /// The number of a selector, `None` matching every device.
    pub(crate) fn add(&mut self, selector: Option<&Selector>) -> SelectorId {
        let text = serde_json::to_string(&selector).expect("a selector holds nothing that JSON cannot");
        if let Some(id) = self.by_text.get(&text) {
            return *id;
        }
        if let Some(selector) = selector {
            selector.leaves(&mut |test| {
                self.used.insert(test.attribute().clone());
            });
        }
        let id = self.selectors.len() as SelectorId;
        match selector.and_then(Selector::key) {
            Some((attribute, values)) => {
                let by_value = self.by_value.entry(attribute.clone()).or_default();
                for value in values {
                    by_value.entry(value.clone()).or_default().push(id);
                }
            }
            None => self.unkeyed.push(id),
        }
        self.selectors.push(selector.cloned());
        self.by_text.insert(text, id);
        id
    }

    /// Those that match a device with these attributes, rising.
    pub(crate) fn matching(&self, device: &impl Attributes) -> Vec<SelectorId> {
        let keyed = self
            .by_value
            .iter()
            .filter_map(|(attribute, by_value)| by_value.get(device.attribute(attribute)?));
        let mut matching: Vec<SelectorId> = keyed.flatten().chain(&self.unkeyed).copied().collect();
        matching.retain(|id| {
            self.selectors[*id as usize].as_ref().is_none_or(|selector| selector.matches(device))
        });
        matching.sort_unstable();
        matching.dedup();
        matching
    }
}

impl Matching {
    pub(crate) fn new(selectors: Arc<Selectors>) -> Self {
        Matching { selectors, ..Matching::default() }
    }

    /// The profile of a device with these attributes.
    pub(crate) fn profile(&mut self, device: &impl Attributes) -> ProfileId {
        let matching = self.selectors.matching(device);
        if let Some(id) = self.profile_ids.get(matching.as_slice()) {
            return *id;
        }
        let id = self.first_profile + self.profiles.len() as ProfileId;
        let matching = matching.into_boxed_slice();
        self.profiles.push(matching.clone());
        self.profile_ids.insert(matching, id);
        id
    }

    /// Whether a selector asks for this attribute.
    pub(crate) fn uses(&self, attribute: &Attribute) -> bool {
        self.selectors.used.contains(attribute)
    }

    pub(crate) fn selectors_of(&self, profile: ProfileId) -> &[SelectorId] {
        &self.profiles[(profile - self.first_profile) as usize]
    }

    pub(crate) fn is_of_this_set(&self, profile: ProfileId) -> bool {
        profile >= self.first_profile
    }

    pub(crate) fn number_on(&mut self, before: &Matching) {
        self.first_profile = before.first_profile + before.profiles.len() as ProfileId;
    }

    pub(crate) fn is_in(&self, profile: ProfileId, selector: SelectorId) -> bool {
        self.selectors_of(profile).binary_search(&selector).is_ok()
    }
}
