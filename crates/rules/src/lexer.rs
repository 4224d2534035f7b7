//! The words of conditions and of `where`, one after the other. A number takes the unit behind it along, since a unit
//! may hold characters that mean something else elsewhere (`mol/(m2.s)`, `%`, `[degF]`).

use std::ops::Range;

use crate::diagnostic::Finding;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Token<'a> {
    /// Decimal text as written, and the unit as written.
    Number {
        decimal: &'a str,
        unit: Option<&'a str>,
    },
    /// In single quotes.
    Text(String),
    /// A metric in double quotes.
    Quoted(String),
    Word(&'a str),
    /// One of `( ) , > >= < <= = !=`.
    Symbol(&'static str),
    End,
}

impl Token<'_> {
    /// How a finding names it.
    pub(crate) fn describe(&self) -> String {
        match self {
            Token::Number { decimal, unit: None } => format!("the number {decimal}"),
            Token::Number { decimal, unit: Some(unit) } => format!("the number {decimal} {unit}"),
            Token::Text(text) => format!("the text '{text}'"),
            Token::Quoted(name) => format!("\"{name}\""),
            Token::Word(word) => format!("`{word}`"),
            Token::Symbol(symbol) => format!("`{symbol}`"),
            Token::End => "the end".to_owned(),
        }
    }
}

/// Words that cannot be a unit or a bare metric name.
pub(crate) const KEYWORDS: [&str; 12] =
    ["and", "or", "not", "between", "in", "is", "missing", "inside", "outside", "like", "true", "false"];

const SYMBOLS: [&str; 9] = [">=", "<=", "!=", "(", ")", ",", ">", "<", "="];

/// Reads one token at a time, with one token of lookahead.
pub(crate) struct Lexer<'a> {
    text: &'a str,
    at: usize,
    peeked: Option<(Token<'a>, Range<usize>)>,
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Lexer { text, at: 0, peeked: None }
    }

    pub(crate) fn peek(&mut self) -> Result<&Token<'a>, Finding> {
        if self.peeked.is_none() {
            self.peeked = Some(self.read()?);
        }
        Ok(self.peeked.as_ref().map_or(&Token::End, |(token, _)| token))
    }

    pub(crate) fn next(&mut self) -> Result<(Token<'a>, Range<usize>), Finding> {
        match self.peeked.take() {
            Some(peeked) => Ok(peeked),
            None => self.read(),
        }
    }

    /// Takes the next token if it is this keyword.
    pub(crate) fn take_word(&mut self, word: &str) -> Result<bool, Finding> {
        let is_it = *self.peek()? == Token::Word(word);
        if is_it {
            self.peeked = None;
        }
        Ok(is_it)
    }

    /// Takes the next token if it is this symbol.
    pub(crate) fn take_symbol(&mut self, symbol: &'static str) -> Result<bool, Finding> {
        let is_it = *self.peek()? == Token::Symbol(symbol);
        if is_it {
            self.peeked = None;
        }
        Ok(is_it)
    }

    pub(crate) fn expect_symbol(&mut self, symbol: &'static str) -> Result<(), Finding> {
        let (token, span) = self.next()?;
        if token == Token::Symbol(symbol) {
            return Ok(());
        }
        Err(Finding::new(span, format!("found {}", token.describe()), format!("`{symbol}` would do here")))
    }

    fn read(&mut self) -> Result<(Token<'a>, Range<usize>), Finding> {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start().len();
        let start = self.at;
        let rest = &self.text[start..];
        let token = match rest.chars().next() {
            None => Token::End,
            Some('\'') => Token::Text(self.read_quoted('\'')?),
            Some('"') => Token::Quoted(self.read_quoted('"')?),
            Some(c) if c.is_ascii_digit() || (matches!(c, '-' | '+' | '.') && is_number(&rest[1..])) => {
                self.read_number()
            }
            Some(c) if is_word_start(c) => self.read_word(),
            Some(c) => match SYMBOLS.into_iter().find(|symbol| rest.starts_with(symbol)) {
                Some(symbol) => {
                    self.at += symbol.len();
                    Token::Symbol(symbol)
                }
                None => return Err(unknown_character(c, start)),
            },
        };
        Ok((token, start..self.at))
    }

    /// A quote inside is written twice.
    fn read_quoted(&mut self, quote: char) -> Result<String, Finding> {
        let start = self.at;
        let mut text = String::new();
        let mut chars = self.text[start + 1..].char_indices().peekable();
        while let Some((at, c)) = chars.next() {
            if c != quote {
                text.push(c);
            } else if chars.next_if(|(_, next)| *next == quote).is_some() {
                text.push(quote);
            } else {
                self.at = start + 1 + at + 1;
                return Ok(text);
            }
        }
        Err(Finding::new(
            start..self.text.len(),
            "a text without its closing quote",
            format!("end it with {quote}"),
        ))
    }

    fn read_number(&mut self) -> Token<'a> {
        let rest = &self.text[self.at..];
        let len = number_len(rest);
        let decimal = &rest[..len];
        let tail = &rest[len..];
        let gap = tail.len() - tail.trim_start().len();
        let unit = unit_of(&tail[gap..]);
        self.at += len + unit.map_or(0, |unit| gap + unit.len());
        Token::Number { decimal, unit }
    }

    fn read_word(&mut self) -> Token<'a> {
        let rest = &self.text[self.at..];
        // The names of tags may hold dashes; a metric that does is quoted.
        let takes_dashes = rest.starts_with("tag.");
        let is_part = |c: char| c.is_alphanumeric() || matches!(c, '_' | '.') || (takes_dashes && c == '-');
        let len = rest.find(|c| !is_part(c)).unwrap_or(rest.len());
        self.at += len;
        Token::Word(&rest[..len])
    }
}

fn unknown_character(c: char, at: usize) -> Finding {
    let help = match c {
        '&' => "write `and`",
        '|' => "write `or`",
        '!' => "write `not`, or `!=` for unequal",
        _ => "a metric, a number, a text in single quotes, a comparison or a parenthesis would do",
    };
    Finding::new(at..at + c.len_utf8(), format!("found the character {c:?}"), help)
}

fn is_word_start(c: char) -> bool {
    c.is_alphabetic() || c == '_'
}

fn is_number(rest: &str) -> bool {
    rest.trim_start_matches('.').starts_with(|c: char| c.is_ascii_digit())
}

/// Bytes of the decimal number that the text starts with: sign, digits, fraction, exponent.
fn number_len(text: &str) -> usize {
    let bytes = text.as_bytes();
    let digits_from =
        |from: usize| from + bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut len = digits_from(usize::from(matches!(bytes[0], b'-' | b'+')));
    if bytes.get(len) == Some(&b'.') {
        len = digits_from(len + 1);
    }
    if matches!(bytes.get(len), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(len + 1), Some(b'-' | b'+')));
        let end = digits_from(len + 1 + sign);
        // `5 eV` is a unit, `5e3` an exponent.
        if end > len + 1 + sign {
            len = end;
        }
    }
    len
}

/// The unit that the text starts with: up to white space, a comma, a comparison or a closing parenthesis that is not its own.
fn unit_of(text: &str) -> Option<&str> {
    let mut depth = 0;
    let end = text
        .find(|c: char| {
            match c {
                '(' => depth += 1,
                ')' => depth -= 1,
                _ => {}
            }
            depth < 0 || c.is_whitespace() || matches!(c, ',' | '<' | '>' | '=' | '!' | '&' | '|' | '\'')
        })
        .unwrap_or(text.len());
    let unit = &text[..end];
    (!unit.is_empty() && !KEYWORDS.contains(&unit)).then_some(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<Token<'_>> {
        let mut lexer = Lexer::new(text);
        std::iter::from_fn(|| lexer.next().ok().map(|(token, _)| token).filter(|token| *token != Token::End))
            .collect()
    }

    #[test]
    fn numbers_take_their_units_along() {
        let cases = [
            ("2.5 m", "2.5", Some("m")),
            ("75ug/m3", "75", Some("ug/m3")),
            ("12 %", "12", Some("%")),
            ("-5 Cel", "-5", Some("Cel")),
            ("9 [degF]", "9", Some("[degF]")),
            ("1e3 mol/(m2.s)", "1e3", Some("mol/(m2.s)")),
            ("5 eV", "5", Some("eV")),
            ("5eV", "5", Some("eV")),
            ("+.5", "+.5", None),
            ("3", "3", None),
            ("3 10*3/uL", "3", Some("10*3/uL")),
        ];
        for (text, decimal, unit) in cases {
            assert_eq!(tokens(text), [Token::Number { decimal, unit }], "{text}");
        }
    }

    #[test]
    fn a_unit_ends_where_the_condition_goes_on() {
        let number = |decimal, unit| Token::Number { decimal, unit };
        assert_eq!(tokens("1 m and")[..], [number("1", Some("m")), Token::Word("and")]);
        assert_eq!(tokens("1 and")[..], [number("1", None), Token::Word("and")]);
        assert_eq!(tokens("(1 m,2 m)").len(), 5);
        assert_eq!(tokens("a>=-5")[..], [Token::Word("a"), Token::Symbol(">="), number("-5", None)]);
    }

    #[test]
    fn quotes_inside_quotes_are_written_twice() {
        assert_eq!(
            tokens("'it''s' \"PM2.5-a\"")[..],
            [Token::Text("it's".into()), Token::Quoted("PM2.5-a".into())]
        );
        assert!(Lexer::new("'open").next().is_err());
        assert!(Lexer::new("a && b").read().is_ok());
        assert_eq!(Lexer::new("&&").next().unwrap_err().help, "write `and`");
    }
}
