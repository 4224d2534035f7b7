//! Alibaba Cloud's Alink JSON on device topics: <https://www.alibabacloud.com/help/en/iot/user-guide/submit-device-properties-or-events>.

use model::{RawMessage, Rejection};

use super::thing_model::{Post, ThingMessage};
use crate::dialect::{Certainty, Dialect};
use crate::sink::Sink;

pub(crate) const DIALECT: Dialect = Dialect {
    name: "alink",
    version: 1,
    topics: "/sys/{product_key}/{device_name}/thing/event/property/post, /sys/{product_key}/{device_name}/thing/event/{event}/post, \
             /sys/{product_key}/{device_name}/thing/event/property/pack/post, \
             /sys/{product_key}/{device_name}/thing/event/property/history/post",
    standard: "Alibaba Cloud IoT Platform, Alink protocol",
    certainty: Certainty::Documented,
    recognizes: |message| topic(message.topic).is_some(),
    device: |name| topic(name).map(|(device, _)| device),
    decode,
};

/// The device and what it posts. Old firmware leaves the leading slash out.
fn topic(topic: &str) -> Option<(&str, Post<'_>)> {
    let mut levels = topic.strip_prefix('/').unwrap_or(topic).strip_prefix("sys/")?.splitn(3, '/');
    let (_product, device, rest) = (levels.next()?, levels.next()?, levels.next()?);
    let post = match rest.strip_prefix("thing/event/")?.strip_suffix("/post")? {
        "property" => Post::Properties,
        "property/pack" => Post::Pack,
        "property/history" => Post::History,
        event if !event.contains('/') && !event.is_empty() => Post::Event(Some(event)),
        _ => return None,
    };
    (!device.is_empty()).then_some((device, post))
}

fn decode(message: &RawMessage<'_>, sink: &mut Sink<'_>) -> Result<(), Rejection> {
    let (device, post) = topic(message.topic).unwrap_or(("", Post::Properties));
    ThingMessage { message, device, post }.decode(sink)
}
