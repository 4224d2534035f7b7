//! The lake through its public face, against slow references and with faults.

#![allow(clippy::unwrap_used, clippy::panic, reason = "assertions, in functions that tests share")]

mod city;
mod columns;
mod crash;
mod limits;
mod log;
mod replay;
mod rivals;
mod table;
mod verification;
