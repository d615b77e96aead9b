//! A thread that calls the cache, half of the time through a reader, and checks each answer.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

use lastcache::{Error, Reader, Served, State};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use crate::origin::{End, is_calm};
use crate::round::Scene;
use crate::value::{Moment, Value};

type Answer = Result<Served<u32, Value, &'static str>, Error<&'static str>>;

/// Values that a thread holds on to at once.
const HELD: usize = 12;

/// Calls the cache some thousand times, or until the moment.
pub(crate) fn work(scene: &Arc<Scene>, seed: u64, until: Instant) {
    let mut dice = SmallRng::seed_from_u64(seed);
    let mut held = VecDeque::new();
    let mut reader = scene.cache.reader();
    for _ in 0..dice.random_range(100..20_000) {
        if Instant::now() >= until {
            break;
        }
        let served = call(scene, &mut reader, &mut dice);
        scene.calls.fetch_add(1, SeqCst);
        if let Some(served) = served
            && dice.random_ratio(1, 16)
        {
            held.push_back(served);
        }
        if held.len() > HELD {
            held.pop_front();
        }
    }
    for served in held {
        scene.faults.check("what is held stays whole", served.is_of(*served.key()), || "no".into());
    }
}

/// Few keys are asked for often, many seldom.
fn key(scene: &Scene, dice: &mut SmallRng) -> u32 {
    let few = if dice.random_ratio(3, 4) { 16 } else { scene.keys };
    dice.random_range(0..few.min(scene.keys))
}

fn call(
    scene: &Arc<Scene>,
    reader: &mut Reader<u32, Value, &'static str>,
    dice: &mut SmallRng,
) -> Option<Served<u32, Value, &'static str>> {
    let (key, kind) = (key(scene, dice), dice.random_range(0..32));
    let asked = scene.time.now();
    let by_reader = dice.random();
    match kind {
        0..=7 => get(scene, dice, key, |fetch| {
            let read = |value: &Value| value.is_of(key);
            let whole = if by_reader {
                reader.get_with(&key, read, fetch)
            } else {
                scene.cache.get_with(&key, read, fetch)
            };
            whole.map(|whole| {
                scene.faults.check("no foreign value", whole, || format!("for {key}"));
                None
            })
        }),
        8..=15 => get(scene, dice, key, |fetch| {
            let answer = if by_reader {
                reader.get_stale(&key, fetch)
            } else {
                scene.cache.get_stale(&key, fetch)
            };
            judge(scene, key, asked, &answer);
            answer.map(Some)
        }),
        16..=25 => get(scene, dice, key, |fetch| {
            let answer = if by_reader {
                reader.get_swr(&key, fetch)
            } else {
                scene.cache.get_swr(&key, fetch)
            };
            judge(scene, key, asked, &answer);
            answer.map(Some)
        }),
        26 if !is_calm(key) => {
            scene.cache.set(key, Value::new(key, asked, &scene.living));
            None
        }
        27 if !is_calm(key) => {
            scene.cache.delete(&key);
            None
        }
        28 if dice.random_ratio(1, 64) => {
            let whole = scene.cache.iter().all(|entry| entry.value().is_of(*entry.key()));
            scene.faults.check("no foreign value", whole, || "in an iteration".into());
            None
        }
        28 if dice.random_ratio(1, 64) => {
            scene.cache.purge();
            None
        }
        29 => {
            let (len, capacity) = (scene.cache.len(), scene.cache.capacity());
            scene.faults.check("residents within capacity", len <= capacity, || format!("{len}"));
            let weight = scene.cache.weight();
            scene.faults.check("weight within its limit", weight <= scene.max_weight, || {
                format!("{weight}")
            });
            let _ = (scene.cache.ttl(&key), scene.cache.contains_key(&key));
            None
        }
        _ => {
            let served = if by_reader { reader.peek(&key)? } else { scene.cache.peek(&key)? };
            let windows = scene.windows;
            let last = windows.ttl + windows.revalidate.max(windows.if_error);
            whole(scene, key, asked, &served, last);
            Some(served)
        }
    }
}

/// One call of the `get` family, with a fetch; its panic, if it leads and that is how it ends, stops here.
fn get(
    scene: &Arc<Scene>,
    dice: &mut SmallRng,
    key: u32,
    call: impl FnOnce(
        Box<dyn FnOnce(&u32) -> Result<Value, &'static str> + Send>,
    ) -> Result<Option<Served<u32, Value, &'static str>>, Error<&'static str>>,
) -> Option<Served<u32, Value, &'static str>> {
    let end = match dice.random_range(0..64) {
        0 => End::Panic,
        1..=3 => End::Error,
        _ => End::Value,
    };
    let slow = dice.random_ratio(1, 8);
    // The cache drops the fetch before it is gone itself, so a strong hold is no cycle for long.
    let theirs = Arc::clone(scene);
    let clears = scene.origin.clears.load(SeqCst);
    let fetch = Box::new(move |_: &u32| {
        theirs.origin.fetch(key, clears, end, slow, &theirs.faults)?;
        Ok(Value::new(key, theirs.time.now(), &theirs.living))
    });
    scene.gets.fetch_add(1, SeqCst);
    match catch_unwind(AssertUnwindSafe(|| call(fetch))) {
        Ok(Ok(served)) => served,
        Ok(Err(error)) => {
            let known = match &error {
                Error::Fetch(error) => ["down", "failed"].contains(&**error),
                Error::Panicked => true,
                _ => false,
            };
            scene.faults.check("only errors that happened", known, || format!("{error:?}"));
            None
        }
        Err(panic) => {
            let quietly = panic.downcast_ref::<&str>() == Some(&"quietly");
            scene.faults.check("no panic but the fetch's", quietly, || format!("for {key}"));
            None
        }
    }
}

/// Whether an answer is inside the window that its state says.
fn judge(scene: &Scene, key: u32, asked: Moment, answer: &Answer) {
    let Ok(served) = answer else { return };
    let windows = scene.windows;
    let window = match served.state() {
        State::Fresh => windows.ttl,
        State::Stale => windows.ttl + windows.revalidate,
        State::Fallback { .. } => windows.ttl + windows.if_error,
        _ => windows.ttl + windows.revalidate.max(windows.if_error),
    };
    // A load that this call waited for is its own, however late it comes.
    let waited = served.age() == Duration::ZERO;
    whole(scene, key, asked, served, if waited { Duration::MAX } else { window });
}

/// Whether a value is the key's own and was asked for inside its window.
fn whole(
    scene: &Scene,
    key: u32,
    asked: Moment,
    served: &Served<u32, Value, &'static str>,
    window: Duration,
) {
    let own = *served.key() == key && served.is_of(key);
    scene.faults.check("no foreign value", own, || format!("{} for {key}", served.key()));
    let answered = scene.time.now();
    let over = served.outlasted(window, asked, answered);
    scene.faults.check("nothing is served past its window", !over, || {
        format!("{key} as {:?}, asked for at {asked:?}, {:?} old", served.state(), served.age())
    });
    served.was_seen(answered);
}
