//! One file a dialect.

pub(crate) mod alink;
pub(crate) mod chirpstack;
pub(crate) mod chirpstack_json;
pub(crate) mod chirpstack_v3;
pub(crate) mod digits;
pub(crate) mod envelope;
pub(crate) mod flat_json;
pub(crate) mod frame_payload;
pub(crate) mod hj212;
pub(crate) mod hj212_factors;
pub(crate) mod homie;
pub(crate) mod iotda_device;
pub(crate) mod json_fields;
pub(crate) mod local_time;
pub(crate) mod onenet_device;
pub(crate) mod own_topic;
pub(crate) mod senml;
pub(crate) mod senml_cbor;
pub(crate) mod senml_json;
pub(crate) mod status;
pub(crate) mod tasmota;
pub(crate) mod thing_model;
pub(crate) mod thingsboard;
pub(crate) mod tts;
pub(crate) mod zigbee2mqtt;
