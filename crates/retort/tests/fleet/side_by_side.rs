//! Worlds wait more than they compute. Several are lived through at the same time, however many tests
//! run at once; each has a test of its own name, which fails as its world did.

use std::collections::{BTreeMap, VecDeque};
use std::panic::{catch_unwind, resume_unwind};
use std::sync::{Mutex, OnceLock};
use std::thread;

/// Worlds at the same time: two cores are not busy with fewer, and late with many more.
const AT_ONCE: usize = 6;

/// A world and the path of its test.
pub(crate) type World = (&'static str, fn());

type Ended = BTreeMap<&'static str, Mutex<Option<thread::Result<()>>>>;

/// Declares tests whose worlds are lived through beside others.
macro_rules! worlds {
    ($($(#[$meta:meta])* fn $name:ident() $world:block)*) => {
        /// The worlds of this module.
        pub(crate) const WORLDS: &[$crate::side_by_side::World] =
            &[$((concat!(module_path!(), "::", stringify!($name)), || $world)),*];
        $(
            $(#[$meta])*
            #[test]
            fn $name() {
                $crate::side_by_side::check(concat!(module_path!(), "::", stringify!($name)));
            }
        )*
    };
}
pub(crate) use worlds;

/// Fails as the world of this test did. The first test that asks lives through all that were asked for
/// on the command line, and none outlives it.
pub(crate) fn check(path: &str) {
    static ENDED: OnceLock<Ended> = OnceLock::new();
    let ended = ENDED.get_or_init(live).get(path);
    let own = ended.and_then(|own| own.lock().unwrap().take());
    if let Err(panic) = own.expect("each world has one test and is wanted with it") {
        // What it said when it ended went to the test that lived it.
        if let Some(why) = panic.downcast_ref::<String>() {
            println!("{why}");
        }
        resume_unwind(panic);
    }
}

fn live() -> Ended {
    let filters: Vec<String> = std::env::args()
        .skip(1)
        .filter(|argument| !argument.starts_with('-'))
        .collect();
    let wanted = |(path, _): &&World| {
        filters.is_empty() || filters.iter().any(|filter| path.contains(filter.as_str()))
    };
    let all = crate::WORLDS.iter().flat_map(|worlds| worlds.iter());
    let waiting: VecDeque<&World> = all.filter(wanted).collect();
    let (waiting, ended) = (Mutex::new(waiting), Mutex::new(BTreeMap::new()));
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some((path, world)) = next(&waiting) {
                    let own = Mutex::new(Some(catch_unwind(world)));
                    ended.lock().unwrap().insert(*path, own);
                }
            });
        }
    });
    ended.into_inner().unwrap()
}

fn next<'a>(waiting: &Mutex<VecDeque<&'a World>>) -> Option<&'a World> {
    waiting.lock().unwrap().pop_front()
}
