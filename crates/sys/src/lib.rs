//! To be written.
pub mod mark;
