//! A reading as the evaluator keeps it: in place, and as the evidence of an alert.

use std::sync::Arc;

use model::EventId;

use crate::condition::Value;

/// Number of a metric in [`crate::metrics::Metrics`].
pub(crate) type MetricId = u32;

/// A reading in place, with all that an alert says of it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct PlacedReading {
    pub(crate) event_id: EventId,
    pub(crate) reading_index: u32,
    pub(crate) metric: MetricId,
    pub(crate) value: Value,
    /// `None` where it has none.
    pub(crate) unit: Option<Arc<str>>,
    pub(crate) observed_at_us: i64,
    pub(crate) log_offset: i64,
}

/// What started an episode, which its id is made of.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cause {
    Reading(PlacedReading),
    /// A dead-man's last sign of life, or the instant at which its rule took effect.
    Silence {
        last_us: i64,
    },
}

/// What an alert keeps of its start.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Episode {
    pub(crate) cause: Cause,
    /// The readings in place among the rule's metrics then; empty where that is the cause alone.
    pub(crate) evidence: Vec<PlacedReading>,
    /// What was known of the device then: it stays the alert's, so that it does not matter when a timer speaks.
    pub(crate) place: Place,
    pub(crate) location: Option<(f64, f64)>,
    /// The *now* of the start.
    pub(crate) started_us: i64,
    /// Set while it is said to be firing.
    pub(crate) raised_us: Option<i64>,
    /// The opening edge of `active` at which it was raised, where that is not its own instant.
    pub(crate) edge_us: Option<i64>,
}

/// The attributes of a device that its messages carry; empty where one is missing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// One after the other, so that one look into memory tells whether a message says the same.
    texts: Arc<str>,
    domain_end: u32,
    asset_end: u32,
}

impl Place {
    pub(crate) fn new(domain: &str, asset_id: &str, gateway_id: &str) -> Self {
        Place {
            texts: [domain, asset_id, gateway_id].concat().into(),
            // Texts of a record are far shorter than 4 GiB.
            domain_end: domain.len() as u32,
            asset_end: (domain.len() + asset_id.len()) as u32,
        }
    }

    pub(crate) fn domain(&self) -> &str {
        &self.texts[..self.domain_end as usize]
    }

    pub(crate) fn asset_id(&self) -> &str {
        &self.texts[self.domain_end as usize..self.asset_end as usize]
    }

    pub(crate) fn gateway_id(&self) -> &str {
        &self.texts[self.asset_end as usize..]
    }
}
