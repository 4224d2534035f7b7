//! What others rely on: the admin API, the topics and the commands around rules, each against a running service and
//! against the document that describes it.

#![allow(clippy::unwrap_used, clippy::panic)]

mod asyncapi;
mod openapi;
mod rules_api;
mod running;
mod schema;
mod shadow;
