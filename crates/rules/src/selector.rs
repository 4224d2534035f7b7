//! `where`: which devices a rule is about. Two-valued: what a device does not have makes `=`, `in` and `like` false.

use std::ops::Range;

use serde::{Deserialize, Serialize};

use crate::condition_syntax::IN_VALUES_MAX;
use crate::diagnostic::Finding;
use crate::lexer::{Lexer, Token};
use crate::tree::Tree;

/// A whole `where`. `!=` is `not` around `=`.
pub(crate) type Selector = Tree<AttributeTest>;

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum AttributeTest {
    In {
        attribute: Attribute,
        values: Vec<String>,
    },
    /// `*` stands for any run of characters.
    Like {
        attribute: Attribute,
        pattern: String,
    },
}

/// What is known of a device.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum Attribute {
    Domain,
    DeviceId,
    AssetId,
    GatewayId,
    /// In the registry only.
    Model,
    /// In the registry only.
    Tag(String),
}

impl Attribute {
    pub(crate) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "domain" => Attribute::Domain,
            "device_id" => Attribute::DeviceId,
            "asset_id" => Attribute::AssetId,
            "gateway_id" => Attribute::GatewayId,
            "model" => Attribute::Model,
            _ => Attribute::Tag(name.strip_prefix("tag.").filter(|tag| !tag.is_empty())?.to_owned()),
        })
    }
}

/// The attributes of one device.
pub(crate) trait Attributes {
    fn attribute(&self, attribute: &Attribute) -> Option<&str>;
}

/// Parses a whole `where`.
pub(crate) fn parse(text: &str) -> Result<Selector, Finding> {
    let written: Tree<Written> = Tree::parse(text, written)?;
    Ok(negate(written))
}

struct Written {
    test: AttributeTest,
    is_negated: bool,
}

fn negate(tree: Tree<Written>) -> Selector {
    match tree {
        Tree::Or(parts) => Tree::Or(parts.into_iter().map(negate).collect()),
        Tree::And(parts) => Tree::And(parts.into_iter().map(negate).collect()),
        Tree::Not(part) => Tree::Not(Box::new(negate(*part))),
        Tree::Leaf(Written { test, is_negated: false }) => Tree::Leaf(test),
        Tree::Leaf(Written { test, is_negated: true }) => Tree::Not(Box::new(Tree::Leaf(test))),
    }
}

fn written(lexer: &mut Lexer<'_>) -> Result<Written, Finding> {
    let (token, span) = lexer.next()?;
    let attribute = attribute_of(&token, span)?;
    let (token, span) = lexer.next()?;
    let (test, is_negated) = match token {
        Token::Symbol("=") => (AttributeTest::In { attribute, values: vec![text(lexer)?] }, false),
        Token::Symbol("!=") => (AttributeTest::In { attribute, values: vec![text(lexer)?] }, true),
        Token::Word("in") => (AttributeTest::In { attribute, values: texts(lexer)? }, false),
        Token::Word("like") => (AttributeTest::Like { attribute, pattern: text(lexer)? }, false),
        token => {
            let found = format!("found {}", token.describe());
            return Err(Finding::new(span, found, "=, !=, in or like would do here"));
        }
    };
    Ok(Written { test, is_negated })
}

fn attribute_of(token: &Token<'_>, span: Range<usize>) -> Result<Attribute, Finding> {
    let named = if let Token::Word(word) = token { Attribute::named(word) } else { None };
    named.ok_or_else(|| {
        let help = "domain, device_id, asset_id, gateway_id, model or tag.NAME would do here";
        Finding::new(span, format!("found {}", token.describe()), help)
    })
}

fn text(lexer: &mut Lexer<'_>) -> Result<String, Finding> {
    match lexer.next()? {
        (Token::Text(text), _) => Ok(text),
        (token, span) => Err(Finding::new(
            span,
            format!("found {}", token.describe()),
            "a text in single quotes would do here",
        )),
    }
}

fn texts(lexer: &mut Lexer<'_>) -> Result<Vec<String>, Finding> {
    lexer.expect_symbol("(")?;
    let mut values = vec![text(lexer)?];
    while values.len() < IN_VALUES_MAX && lexer.take_symbol(",")? {
        values.push(text(lexer)?);
    }
    lexer.expect_symbol(")")?;
    Ok(values)
}

impl Selector {
    pub(crate) fn matches(&self, device: &impl Attributes) -> bool {
        match self {
            Tree::Or(parts) => parts.iter().any(|part| part.matches(device)),
            Tree::And(parts) => parts.iter().all(|part| part.matches(device)),
            Tree::Not(part) => !part.matches(device),
            Tree::Leaf(test) => test.matches(device),
        }
    }

    /// Values of one attribute of which every matching device has one, where the selector names such.
    pub(crate) fn key(&self) -> Option<(&Attribute, &[String])> {
        match self {
            Tree::Leaf(AttributeTest::In { attribute, values }) => Some((attribute, values)),
            // The key with the fewest values tells devices apart best.
            Tree::And(parts) => parts.iter().filter_map(Selector::key).min_by_key(|(_, values)| values.len()),
            Tree::Or(_) | Tree::Not(_) | Tree::Leaf(AttributeTest::Like { .. }) => None,
        }
    }
}

impl AttributeTest {
    pub(crate) fn attribute(&self) -> &Attribute {
        match self {
            AttributeTest::In { attribute, .. } | AttributeTest::Like { attribute, .. } => attribute,
        }
    }

    fn matches(&self, device: &impl Attributes) -> bool {
        let Some(value) = device.attribute(self.attribute()) else {
            return false;
        };
        match self {
            AttributeTest::In { values, .. } => values.iter().any(|one| one == value),
            AttributeTest::Like { pattern, .. } => is_like(value, pattern),
        }
    }
}

/// Greedy with one step back to the last `*`: no pattern takes more than value times pattern.
fn is_like(value: &str, pattern: &str) -> bool {
    let (value, pattern) = (value.as_bytes(), pattern.as_bytes());
    let (mut v, mut p) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while v < value.len() {
        match pattern.get(p) {
            Some(b'*') => {
                star = Some((p, v));
                p += 1;
            }
            Some(byte) if *byte == value[v] => {
                p += 1;
                v += 1;
            }
            _ => match &mut star {
                Some((at, taken)) => {
                    *taken += 1;
                    (p, v) = (*at + 1, *taken);
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Device;

    impl Attributes for Device {
        fn attribute(&self, attribute: &Attribute) -> Option<&str> {
            match attribute {
                Attribute::Domain => Some("drainage"),
                Attribute::DeviceId => Some("manhole-0017"),
                Attribute::AssetId => Some("井-3"),
                Attribute::GatewayId | Attribute::Model | Attribute::Tag(_) => None,
            }
        }
    }

    #[test]
    fn selectors_select() {
        let cases = [
            ("domain = 'drainage'", true),
            ("domain != 'drainage'", false),
            ("gateway_id = 'g'", false),
            ("gateway_id != 'g'", true),
            ("gateway_id like '*'", false),
            ("not gateway_id in ('g', 'h')", true),
            ("device_id like 'manhole-*'", true),
            ("device_id like '*00*7'", true),
            ("device_id like 'manhole'", false),
            ("device_id like '*manhole-0017*'", true),
            ("device_id like '*8'", false),
            ("asset_id like '井*'", true),
            ("tag.floor-no != '3' and model != 'x'", true),
            ("domain = 'air' or domain = 'drainage' and device_id in ('x', 'manhole-0017')", true),
            ("(domain = 'air' or domain = 'drainage') and device_id = 'x'", false),
            ("not not domain = 'drainage'", true),
        ];
        for (text, expected) in cases {
            let selector = parse(text).map_err(|finding| finding.found);
            assert_eq!(selector.map(|selector| selector.matches(&Device)), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_selector_says_what_would_do() {
        let cases = [
            ("domian = 'x'", 0, "tag.NAME"),
            ("domain > 'x'", 7, "like"),
            ("domain = x", 9, "single quotes"),
            ("domain = 'x' domain", 13, "`and`"),
            ("(domain = 'x'", 13, "`)`"),
            ("domain in ()", 11, "single quotes"),
            ("tag. = 'x'", 0, "tag.NAME"),
            ("", 0, "domain"),
        ];
        for (text, at, help) in cases {
            let finding = parse(text).unwrap_err();
            assert_eq!(finding.span.start, at, "{text}: {finding:?}");
            assert!(finding.help.contains(help), "{text}: {finding:?}");
        }
    }

    #[test]
    fn the_key_is_what_every_match_has() {
        let key =
            |text| parse(text).unwrap().key().map(|(attribute, values)| (attribute.clone(), values.to_vec()));
        assert_eq!(key("domain = 'a' and device_id like 'x*'"), Some((Attribute::Domain, vec!["a".into()])));
        assert_eq!(
            key("domain in ('a', 'b') and device_id = 'x'"),
            Some((Attribute::DeviceId, vec!["x".into()]))
        );
        assert_eq!(key("domain = 'a' or device_id = 'x'"), None);
        assert_eq!(key("domain != 'a'"), None);
    }
}
