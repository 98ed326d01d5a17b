//! The properties every twin must have.
