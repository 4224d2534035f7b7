//! One file a dialect.

pub(crate) mod envelope;
pub(crate) mod flat_json;
pub(crate) mod own_topic;
pub(crate) mod senml;
pub(crate) mod senml_cbor;
pub(crate) mod senml_json;
pub(crate) mod status;
