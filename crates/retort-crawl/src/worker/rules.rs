//! The rules of the protocol that promises rest on, each of which a test can switch off.

/// Which rules a worker keeps: all of them, but for tests that show that breaking one is noticed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// What is not durable is not acknowledged.
    pub durable_first: bool,
    /// What is held or finished is not asked again when it is delivered again.
    pub dedupe: bool,
    /// Whoever inherits a domain waits for the earlier owner's last requests.
    pub grace: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            durable_first: true,
            dedupe: true,
            grace: true,
        }
    }
}
