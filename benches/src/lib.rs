//! Shared set-up of the bench programs.
