//! Known answers of the allele test.
