//! The page of each dialect: it is there, and its samples become what it says.

use std::path::Path;

use urban_neuron_decode::Decoder;

use super::{Found, decoder, lines, message};

/// One sample of a page.
pub(crate) struct Sample {
    pub dialect: &'static str,
    pub topic: String,
    pub payload: Vec<u8>,
    pub becomes: String,
}

/// The samples of all pages. A sample is a line "On `TOPIC`:", a block `json`, `text` or `hex` with the payload, and a block
/// `becomes`.
pub(crate) fn samples() -> Vec<Sample> {
    let pages = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/dialects");
    let mut samples = Vec::new();
    for dialect in Decoder::dialects() {
        let path = pages.join(format!("{}.md", dialect.name));
        let page = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
        let before = samples.len();
        read(dialect.name, &page, &mut samples);
        assert!(samples.len() > before, "{path:?} has no sample");
    }
    samples
}

fn read(dialect: &'static str, page: &str, samples: &mut Vec<Sample>) {
    let (mut topic, mut payload) = (None, None);
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(rest) = line.strip_prefix("On `") {
            topic = rest.split('`').next().map(str::to_owned);
        }
        let Some(kind) = line.strip_prefix("```").filter(|kind| !kind.is_empty()) else { continue };
        let block: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
        match kind {
            "json" | "text" => payload = Some(block.join("\n").into_bytes()),
            "hex" => payload = Some(super::hex(&block.concat())),
            "becomes" => samples.push(Sample {
                dialect,
                topic: topic.clone().unwrap(),
                payload: payload.take().unwrap(),
                becomes: block.join("\n"),
            }),
            _ => {}
        }
    }
}

#[test]
fn a_sample_becomes_what_its_page_says() {
    let mut decoder = decoder();
    let mut wrong = Vec::new();
    for sample in samples() {
        let found = Found::of(decoder.decode(&message(&sample.topic, &sample.payload)));
        let codecs: Vec<_> =
            found.telemetry.iter().map(|telemetry| telemetry.source.clone().unwrap().codec).collect();
        assert!(
            !codecs.is_empty() && codecs.iter().all(|codec| codec == sample.dialect),
            "{codecs:?} for {}",
            sample.dialect
        );
        let becomes = lines(&found).join("\n");
        if becomes != sample.becomes {
            wrong.push(format!("{} on {}:\n{becomes}\n", sample.dialect, sample.topic));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
