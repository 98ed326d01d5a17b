//! Reads recorded exchanges that are kept outside the repository. Runs on demand:
//! `RETORT_FIXTURES=<folder of exchanges/> cargo test -p retort-wire --test fixtures`.
