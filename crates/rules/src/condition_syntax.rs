//! Conditions as written: operands with their places in the text, nothing looked up or converted yet. The whole
//! language parses; what this version cannot evaluate is refused when names and units are resolved.

use std::ops::Range;

use crate::condition::Comparison;
use crate::diagnostic::Finding;
use crate::lexer::{KEYWORDS, Lexer, Token};
use crate::tree::Tree;

/// Most values in one `in (...)`.
pub const IN_VALUES_MAX: usize = 1_024;

/// One predicate as written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Predicate {
    Compare {
        left: Operand,
        comparison: Comparison,
        right: Operand,
    },
    Between {
        operand: Operand,
        low: Operand,
        high: Operand,
    },
    In {
        operand: Operand,
        list: Vec<Operand>,
    },
    Missing {
        operand: Operand,
    },
    /// `inside zone('z')`, `outside zone('z')`.
    Zone {
        span: Range<usize>,
    },
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Operand {
    pub(crate) kind: OperandKind,
    pub(crate) span: Range<usize>,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum OperandKind {
    Number {
        decimal: String,
        unit: Option<String>,
    },
    Text(String),
    Boolean(bool),
    Metric(String),
    /// `avg(m, 5m)`, `threshold('level_high', 2.5 m)`.
    Call {
        function: String,
    },
}

/// Parses a whole `when` or `clear`.
pub(crate) fn parse(text: &str) -> Result<Tree<Predicate>, Finding> {
    Tree::parse(text, predicate)
}

fn predicate(lexer: &mut Lexer<'_>) -> Result<Predicate, Finding> {
    if matches!(lexer.peek()?, Token::Word("inside" | "outside")) {
        let (_, start) = lexer.next()?;
        let zone = operand(lexer)?;
        return Ok(Predicate::Zone { span: start.start..zone.span.end });
    }
    let left = operand(lexer)?;
    let (token, span) = lexer.next()?;
    if let Token::Symbol(symbol) = token
        && let Some(comparison) = Comparison::from_symbol(symbol)
    {
        return Ok(Predicate::Compare { left, comparison, right: operand(lexer)? });
    }
    match token {
        Token::Word("between") => {
            let low = operand(lexer)?;
            expect_word(lexer, "and")?;
            Ok(Predicate::Between { operand: left, low, high: operand(lexer)? })
        }
        Token::Word("in") => Ok(Predicate::In { operand: left, list: list(lexer)? }),
        Token::Word("is") => {
            expect_word(lexer, "missing")?;
            Ok(Predicate::Missing { operand: left })
        }
        token => Err(Finding::new(
            span,
            format!("found {}", token.describe()),
            "a comparison would do here: > >= < <= = != between, in or is missing",
        )),
    }
}

fn list(lexer: &mut Lexer<'_>) -> Result<Vec<Operand>, Finding> {
    lexer.expect_symbol("(")?;
    let mut list = vec![operand(lexer)?];
    while lexer.take_symbol(",")? {
        let next = operand(lexer)?;
        if list.len() == IN_VALUES_MAX {
            let found = format!("more than {IN_VALUES_MAX} values");
            return Err(Finding::new(next.span, found, "a shorter list would do"));
        }
        list.push(next);
    }
    lexer.expect_symbol(")")?;
    Ok(list)
}

fn expect_word(lexer: &mut Lexer<'_>, word: &'static str) -> Result<(), Finding> {
    if lexer.take_word(word)? {
        return Ok(());
    }
    let (token, span) = lexer.next()?;
    Err(Finding::new(span, format!("found {}", token.describe()), format!("`{word}` would do here")))
}

fn operand(lexer: &mut Lexer<'_>) -> Result<Operand, Finding> {
    let (token, span) = lexer.next()?;
    let kind = match token {
        Token::Number { decimal, unit } => {
            OperandKind::Number { decimal: decimal.to_owned(), unit: unit.map(str::to_owned) }
        }
        Token::Text(text) => OperandKind::Text(text),
        Token::Word("true") => OperandKind::Boolean(true),
        Token::Word("false") => OperandKind::Boolean(false),
        Token::Quoted(name) if !name.is_empty() => OperandKind::Metric(name),
        Token::Word(word) if !KEYWORDS.contains(&word) => {
            if lexer.take_symbol("(")? {
                let end = skip_arguments(lexer)?;
                return Ok(Operand {
                    kind: OperandKind::Call { function: word.to_owned() },
                    span: span.start..end,
                });
            }
            OperandKind::Metric(word.to_owned())
        }
        token => {
            let help =
                "a metric, a number with its unit, a text in single quotes, true or false would do here";
            return Err(Finding::new(span, format!("found {}", token.describe()), help));
        }
    };
    Ok(Operand { kind, span })
}

/// Reads to the parenthesis that ends a call's arguments and returns where that is.
fn skip_arguments(lexer: &mut Lexer<'_>) -> Result<usize, Finding> {
    let mut depth = 1;
    loop {
        let (token, span) = lexer.next()?;
        match token {
            Token::Symbol("(") => depth += 1,
            Token::Symbol(")") => depth -= 1,
            Token::End => return Err(Finding::new(span, "found the end", "`)` would do here")),
            _ => {}
        }
        if depth == 0 {
            return Ok(span.end);
        }
    }
}
