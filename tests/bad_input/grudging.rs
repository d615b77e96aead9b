//! Keys and values whose every deed can be made to panic, and that count how many of them live.
//!
//! All of it is the test thread's own: a *fuse* names the deed that will panic and how often it goes
//! well before. While a panic unwinds no other is started.

use std::borrow::Borrow;
use std::cell::Cell;
use std::hash::{BuildHasher, Hash, Hasher};
use std::thread;
use std::time::Duration;

use foldhash::fast::FixedState;
use lastcache::{Cache, CallerRuns, ManualClock};

use super::bench::{Fault, secs};

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Deed {
    Hash,
    Eq,
    Borrow,
    ToOwned,
    CloneKey,
    CloneValue,
    DropKey,
    DropValue,
}

thread_local! {
    static FUSE: Cell<Option<(Deed, usize)>> = const { Cell::new(None) };
    static BURNT: Cell<bool> = const { Cell::new(false) };
    static KEYS: Cell<isize> = const { Cell::new(0) };
    static VALUES: Cell<isize> = const { Cell::new(0) };
    static ABSENT: Cell<u32> = const { Cell::new(1_000) };
}

/// From now on `deed` goes well `after` times, then panics once.
pub(crate) fn light(deed: Deed, after: usize) {
    BURNT.set(false);
    FUSE.set(Some((deed, after)));
}

pub(crate) fn disarm() {
    FUSE.set(None);
}

/// Whether the panic happened.
pub(crate) fn burnt() -> bool {
    BURNT.get()
}

pub(crate) fn forget_the_living() {
    KEYS.set(0);
    VALUES.set(0);
}

/// Keys and values alive on this thread.
pub(crate) fn live() -> (isize, isize) {
    (KEYS.get(), VALUES.get())
}

fn spark(deed: Deed) {
    match FUSE.get() {
        Some((armed, 0)) if armed == deed && !thread::panicking() => {
            FUSE.set(None);
            BURNT.set(true);
            // Without the hook: thousands of reports would tell nothing.
            std::panic::resume_unwind(Box::new("a grudge"));
        }
        Some((armed, n)) if armed == deed && n > 0 => FUSE.set(Some((armed, n - 1))),
        _ => {}
    }
}

/// The borrowed form of a key. Not `Clone`, so that making a key of it is a deed of its own.
#[derive(Debug)]
pub(crate) struct Name(pub(crate) u32);

impl Hash for Name {
    fn hash<H: Hasher>(&self, state: &mut H) {
        spark(Deed::Hash);
        self.0.hash(state);
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Name) -> bool {
        spark(Deed::Eq);
        self.0 == other.0
    }
}

impl Eq for Name {}

impl std::borrow::ToOwned for Name {
    type Owned = Key;

    fn to_owned(&self) -> Key {
        spark(Deed::ToOwned);
        Key::new(self.0)
    }
}

#[derive(Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key(Name);

impl Key {
    pub(crate) fn new(n: u32) -> Key {
        KEYS.set(KEYS.get() + 1);
        Key(Name(n))
    }

    pub(crate) fn number(&self) -> u32 {
        self.0.0
    }
}

impl Borrow<Name> for Key {
    fn borrow(&self) -> &Name {
        spark(Deed::Borrow);
        &self.0
    }
}

impl Clone for Key {
    fn clone(&self) -> Key {
        spark(Deed::CloneKey);
        Key::new(self.number())
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        KEYS.set(KEYS.get() - 1);
        spark(Deed::DropKey);
    }
}

#[derive(Debug)]
pub(crate) struct Val(u32);

impl Val {
    pub(crate) fn new(n: u32) -> Val {
        VALUES.set(VALUES.get() + 1);
        Val(n)
    }

    pub(crate) fn number(&self) -> u32 {
        self.0
    }
}

impl Clone for Val {
    fn clone(&self) -> Val {
        spark(Deed::CloneValue);
        Val::new(self.0)
    }
}

impl Drop for Val {
    fn drop(&mut self) {
        VALUES.set(VALUES.get() - 1);
        spark(Deed::DropValue);
    }
}

/// An ordinary hasher, the same in every run, or one that gives all keys the same hash, so that `Eq` runs often.
#[derive(Clone)]
pub(crate) struct Maybe(Option<FixedState>);

pub(crate) enum MaybeHasher {
    Ordinary(<FixedState as BuildHasher>::Hasher),
    Constant,
}

impl BuildHasher for Maybe {
    type Hasher = MaybeHasher;

    fn build_hasher(&self) -> MaybeHasher {
        self.0
            .as_ref()
            .map_or(MaybeHasher::Constant, |fixed| MaybeHasher::Ordinary(fixed.build_hasher()))
    }
}

impl Hasher for MaybeHasher {
    fn write(&mut self, bytes: &[u8]) {
        if let MaybeHasher::Ordinary(hasher) = self {
            hasher.write(bytes);
        }
    }

    fn finish(&self) -> u64 {
        match self {
            MaybeHasher::Ordinary(hasher) => hasher.finish(),
            MaybeHasher::Constant => 0,
        }
    }
}

pub(crate) type Grudging = Cache<Key, Val, Fault, Maybe>;

const CAPACITY: usize = 3;

/// Room for three entries; refreshes run on the caller.
pub(crate) fn cache_of(collide: bool) -> (ManualClock, Grudging) {
    let clock = ManualClock::new();
    let cache = Cache::<Key, Val>::builder()
        .error_type::<Fault>()
        .hasher(Maybe((!collide).then(|| FixedState::with_seed(1))))
        .capacity(CAPACITY)
        .stale_if_error(Duration::MAX)
        .executor(CallerRuns)
        .clock(&clock)
        .build()
        .unwrap();
    (clock, cache)
}

const STALE: Name = Name(1);
const FRESH: Name = Name(2);

/// Another one after each [`prepare`]: what a call leaves behind, the next does not clear away.
fn absent() -> Name {
    Name(ABSENT.get())
}

/// Full: 1 is stale, 2 and 3 are fresh.
pub(crate) fn prepare(clock: &ManualClock, cache: &Grudging) {
    ABSENT.set(ABSENT.get() + 1);
    cache.clear();
    assert!(cache.set(Key::new(1), Val::new(1)), "the empty cache has room");
    clock.advance(secs(60));
    assert!(cache.set(Key::new(2), Val::new(2)) && cache.set(Key::new(3), Val::new(3)));
}

/// The cache does all that it did when it was new: nothing is held back, no slot and no unit.
pub(crate) fn as_good_as_new(cache: &Grudging) {
    assert_eq!(cache.len(), cache.iter().count(), "`len` is off");
    cache.clear();
    assert_eq!((cache.len(), cache.iter().count()), (0, 0), "`clear` left something");
    for n in 0..CAPACITY as u32 {
        assert!(cache.set(Key::new(n), Val::new(n)));
    }
    for n in 0..CAPACITY as u32 {
        let got = cache.get(&Name(n), |_| panic!("{n} is fresh"));
        assert_eq!(got.unwrap().number(), n);
    }
    for n in 10..100 {
        let got = cache.get(&Name(n), |key| Ok(Val::new(key.number())));
        assert_eq!(got.unwrap().number(), n);
        assert!(cache.contains_key(&Name(n)), "{n} has a slot");
    }
    assert_eq!(cache.len(), CAPACITY);
}

fn load(key: &Key) -> Result<Val, Fault> {
    Ok(Val::new(key.number() + 100))
}

fn fail(_: &Key) -> Result<Val, Fault> {
    Err("down")
}

fn ignore(_: bool) {}

type Call = (&'static str, fn(&Grudging), bool);

/// Every call, in every state that makes it take another path; and whether all of it runs in front:
/// what panics in the background panics there.
pub(crate) const CALLS: &[Call] = &[
    ("get of a fresh key", |c| drop(c.get(&FRESH, load)), true),
    ("get of a stale key", |c| drop(c.get(&STALE, load)), true),
    ("get of a stale key that fails", |c| drop(c.get(&STALE, fail)), true),
    ("get of an absent key", |c| drop(c.get(&absent(), load)), true),
    ("get of an absent key that fails", |c| drop(c.get(&absent(), fail)), true),
    ("get_with", |c| drop(c.get_with(&FRESH, Val::number, load)), true),
    ("get_stale of a fresh key", |c| drop(c.get_stale(&FRESH, load)), true),
    ("get_stale of a stale key", |c| drop(c.get_stale(&STALE, load)), true),
    ("get_stale of an absent key", |c| drop(c.get_stale(&absent(), load)), true),
    ("get_swr of a fresh key", |c| drop(c.get_swr(&FRESH, load)), true),
    ("get_swr of a stale key", |c| drop(c.get_swr(&STALE, load)), false),
    ("get_swr of a stale key that fails", |c| drop(c.get_swr(&STALE, fail)), false),
    ("get_swr of an absent key", |c| drop(c.get_swr(&absent(), load)), true),
    ("peek", |c| drop(c.peek(&STALE)), true),
    ("ttl", |c| ignore(c.ttl(&FRESH).is_some()), true),
    ("contains_key", |c| ignore(c.contains_key(&FRESH)), true),
    ("set of a known key", |c| ignore(c.set(Key::new(2), Val::new(20))), true),
    ("set of a new key", |c| ignore(c.set(Key::new(ABSENT.get()), Val::new(9))), true),
    ("delete of a known key", |c| ignore(c.delete(&FRESH)), true),
    ("delete of an absent key", |c| ignore(c.delete(&absent())), true),
    ("clear", |c| c.clear(), true),
    ("range", |c| c.range(|key, value, _| key.number() == value.number()), true),
    ("iter", |c| ignore(c.iter().all(|e| e.value().number() > 0)), true),
    (
        "set during a load",
        |c| {
            drop(c.get(&STALE, |k| {
                c.set(Key::new(1), Val::new(5));
                load(k)
            }))
        },
        true,
    ),
    (
        "delete during a load",
        |c| {
            drop(c.get(&STALE, |k| {
                c.delete(&STALE);
                load(k)
            }))
        },
        true,
    ),
    (
        "clear during a cold load",
        |c| {
            drop(c.get(&absent(), |k| {
                c.clear();
                load(k)
            }))
        },
        true,
    ),
    (
        "a held value dropped last",
        |c| {
            let held = c.get_stale(&FRESH, load);
            c.set(Key::new(2), Val::new(7));
            drop(held);
        },
        true,
    ),
];
