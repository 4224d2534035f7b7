//! Conditions as written: operands with their places in the text, nothing looked up or converted yet.

use std::ops::Range;

use crate::condition::Comparison;
use crate::diagnostic::Finding;
use crate::lexer::{KEYWORDS, Lexer, Token};
use crate::tree::Tree;

/// Most values in one `in (...)`.
pub const IN_VALUES_MAX: usize = 1_024;

/// No function takes more.
const ARGUMENTS_MAX: usize = 2;

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
        is_inside: bool,
        zone: Operand,
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
        arguments: Vec<Operand>,
    },
}

/// Parses a whole `when` or `clear`.
pub(crate) fn parse(text: &str) -> Result<Tree<Predicate>, Finding> {
    Tree::parse(text, predicate)
}

fn predicate(lexer: &mut Lexer<'_>) -> Result<Predicate, Finding> {
    if matches!(lexer.peek()?, Token::Word("inside" | "outside")) {
        let (word, _) = lexer.next()?;
        let is_inside = word == Token::Word("inside");
        return Ok(Predicate::Zone { is_inside, zone: operand(lexer)? });
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
    operand_of(lexer, true)
}

fn operand_of(lexer: &mut Lexer<'_>, takes_calls: bool) -> Result<Operand, Finding> {
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
                if !takes_calls {
                    let found = format!("{word}() as an argument");
                    return Err(Finding::new(
                        span,
                        found,
                        "a metric, a text, a number or a span would do here",
                    ));
                }
                let function = word.to_owned();
                let (arguments, end) = arguments(lexer)?;
                let kind = OperandKind::Call { function, arguments };
                return Ok(Operand { kind, span: span.start..end });
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

/// The arguments of a call, and where the parenthesis behind them ends. Calls do not nest.
fn arguments(lexer: &mut Lexer<'_>) -> Result<(Vec<Operand>, usize), Finding> {
    let mut arguments = vec![operand_of(lexer, false)?];
    while lexer.take_symbol(",")? {
        arguments.push(operand_of(lexer, false)?);
        if arguments.len() > ARGUMENTS_MAX {
            let found = format!("more than {ARGUMENTS_MAX} arguments");
            return Err(Finding::new(arguments[ARGUMENTS_MAX].span.clone(), found, "fewer would do"));
        }
    }
    let (token, span) = lexer.next()?;
    if token != Token::Symbol(")") {
        let found = format!("found {}", token.describe());
        return Err(Finding::new(span, found, "`,` or `)` would do here"));
    }
    Ok((arguments, span.end))
}
