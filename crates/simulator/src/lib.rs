//! A city of sensors that speaks the real protocols.
