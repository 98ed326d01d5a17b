//! Known answers of the e-process.
