//! Worlds that wait more than they compute are lived through at the same time, whatever number of
//! tests runs at once. Each keeps a test of its own name.

use std::collections::BTreeMap;
use std::panic::resume_unwind;
use std::sync::{Mutex, OnceLock};
use std::thread;

type Ended = thread::Result<()>;

/// Worlds that are lived through together, by the first test that asks for one of them.
pub(crate) struct SideBySide {
    worlds: &'static [(&'static str, fn())],
    ended: OnceLock<BTreeMap<&'static str, Mutex<Option<Ended>>>>,
}

impl SideBySide {
    pub(crate) const fn new(worlds: &'static [(&'static str, fn())]) -> Self {
        let ended = OnceLock::new();
        Self { worlds, ended }
    }

    /// Fails as the world of this name did.
    pub(crate) fn check(&self, name: &str) {
        let ended = self.ended.get_or_init(|| self.live());
        let own = ended[name].lock().unwrap().take();
        if let Err(panic) = own.expect("each world has one test") {
            resume_unwind(panic);
        }
    }

    /// All have ended when it returns, so that none outlives the tests.
    fn live(&self) -> BTreeMap<&'static str, Mutex<Option<Ended>>> {
        thread::scope(|scope| {
            let begun = self.worlds.iter().map(|(name, world)| {
                let named = thread::Builder::new().name((*name).to_owned());
                (*name, named.spawn_scoped(scope, world).unwrap())
            });
            let begun: Vec<_> = begun.collect();
            begun
                .into_iter()
                .map(|(name, thread)| (name, Mutex::new(Some(thread.join()))))
                .collect()
        })
    }
}
