//! `or`, `and`, `not` and parentheses over leaves of any kind: conditions compare readings, `where` compares attributes.

use serde::{Deserialize, Serialize};

use crate::diagnostic::Finding;
use crate::lexer::{Lexer, Token};

/// Deepest nesting of parentheses and `not`.
pub const CONDITION_DEPTH_MAX: u32 = 64;

/// A boolean combination of leaves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Tree<L> {
    Or(Vec<Tree<L>>),
    And(Vec<Tree<L>>),
    Not(Box<Tree<L>>),
    #[serde(untagged)]
    Leaf(L),
}

impl<L> Tree<L> {
    /// Every leaf, left to right.
    pub(crate) fn leaves<'a>(&'a self, visit: &mut dyn FnMut(&'a L)) {
        match self {
            Tree::Or(parts) | Tree::And(parts) => parts.iter().for_each(|part| part.leaves(visit)),
            Tree::Not(part) => part.leaves(visit),
            Tree::Leaf(leaf) => visit(leaf),
        }
    }

    /// The same tree over other leaves; every leaf is visited, also past the first error.
    pub(crate) fn try_map<M>(&self, map: &mut dyn FnMut(&L) -> Option<M>) -> Option<Tree<M>> {
        let all = |parts: &[Tree<L>], map: &mut dyn FnMut(&L) -> Option<M>| {
            let mapped: Vec<_> = parts.iter().map(|part| part.try_map(map)).collect();
            mapped.into_iter().collect::<Option<Vec<_>>>()
        };
        Some(match self {
            Tree::Or(parts) => Tree::Or(all(parts, map)?),
            Tree::And(parts) => Tree::And(all(parts, map)?),
            Tree::Not(part) => Tree::Not(Box::new(part.try_map(map)?)),
            Tree::Leaf(leaf) => Tree::Leaf(map(leaf)?),
        })
    }

    /// Parses the whole text, whose leaves `leaf` reads.
    pub(crate) fn parse(text: &str, leaf: fn(&mut Lexer<'_>) -> Result<L, Finding>) -> Result<Self, Finding> {
        let mut parser = Parser { lexer: Lexer::new(text), leaf, depth: 0 };
        let tree = parser.or()?;
        match parser.lexer.next()? {
            (Token::End, _) => Ok(tree),
            (token, span) => Err(Finding::new(
                span,
                format!("found {}", token.describe()),
                "`and`, `or` or the end would do here",
            )),
        }
    }
}

struct Parser<'a, L> {
    lexer: Lexer<'a>,
    leaf: fn(&mut Lexer<'_>) -> Result<L, Finding>,
    depth: u32,
}

impl<L> Parser<'_, L> {
    fn or(&mut self) -> Result<Tree<L>, Finding> {
        let mut parts = vec![self.and()?];
        while self.lexer.take_word("or")? {
            parts.push(self.and()?);
        }
        Ok(one_or(parts, Tree::Or))
    }

    fn and(&mut self) -> Result<Tree<L>, Finding> {
        let mut parts = vec![self.not()?];
        while self.lexer.take_word("and")? {
            parts.push(self.not()?);
        }
        Ok(one_or(parts, Tree::And))
    }

    fn not(&mut self) -> Result<Tree<L>, Finding> {
        if self.lexer.take_word("not")? {
            let part = self.nested(Self::not)?;
            return Ok(Tree::Not(Box::new(part)));
        }
        if self.lexer.take_symbol("(")? {
            let part = self.nested(Self::or)?;
            self.lexer.expect_symbol(")")?;
            return Ok(part);
        }
        (self.leaf)(&mut self.lexer).map(Tree::Leaf)
    }

    fn nested(&mut self, inner: fn(&mut Self) -> Result<Tree<L>, Finding>) -> Result<Tree<L>, Finding> {
        if self.depth == CONDITION_DEPTH_MAX {
            let (_, span) = self.lexer.next()?;
            let found = format!("nested deeper than {CONDITION_DEPTH_MAX}");
            return Err(Finding::new(span, found, "fewer parentheses and `not` would do"));
        }
        self.depth += 1;
        let part = inner(self);
        self.depth -= 1;
        part
    }
}

fn one_or<L>(mut parts: Vec<Tree<L>>, many: fn(Vec<Tree<L>>) -> Tree<L>) -> Tree<L> {
    match parts.pop() {
        Some(only) if parts.is_empty() => only,
        Some(last) => {
            parts.push(last);
            many(parts)
        }
        None => many(parts),
    }
}
