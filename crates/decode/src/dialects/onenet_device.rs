//! China Mobile OneNET Studio's OneJSON on device topics: <https://open.iot.10086.cn/doc/iot_platform/book/device-connect&manager/thing-model/protocol/OneJSON/OneJSON-introduce.html>.

use model::{RawMessage, Rejection};

use super::thing_model::{Post, ThingMessage};
use crate::dialect::{Certainty, Dialect};
use crate::sink::Sink;

pub(crate) const DIALECT: Dialect = Dialect {
    name: "onenet-device",
    version: 1,
    topics: "$sys/{product_id}/{device_name}/thing/property/post, $sys/{product_id}/{device_name}/thing/event/post, \
             $sys/{product_id}/{device_name}/thing/pack/post, $sys/{product_id}/{device_name}/thing/history/post",
    standard: "OneNET Studio, OneJSON protocol",
    certainty: Certainty::Documented,
    recognizes: |message| topic(message.topic).is_some(),
    device: |name| topic(name).map(|(device, _)| device),
    decode,
};

/// The device and what it posts.
fn topic(topic: &str) -> Option<(&str, Post<'_>)> {
    let mut levels = topic.strip_prefix("$sys/")?.splitn(3, '/');
    let (_product, device, rest) = (levels.next()?, levels.next()?, levels.next()?);
    let post = match rest.strip_prefix("thing/")? {
        "property/post" => Post::Properties,
        "event/post" => Post::Event(None),
        "pack/post" => Post::Pack,
        "history/post" => Post::History,
        _ => return None,
    };
    (!device.is_empty()).then_some((device, post))
}

fn decode(message: &RawMessage<'_>, sink: &mut Sink<'_>) -> Result<(), Rejection> {
    let (device, post) = topic(message.topic).unwrap_or(("", Post::Properties));
    ThingMessage { message, device, post }.decode(sink)
}
