//! Small random programs for a few threads.

use std::cell::{Cell, RefCell};
use std::hash::{Hash, Hasher};
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, mpsc};
use std::thread;

use lastcache::{Job, Lifetime, ManualClock};

use crate::controlled::{Dice, PATIENCE, secs};
use crate::fronts::{Ask, Fronts};
use crate::history::{
    Answer, Call, Event, Interval, Load, Stamps, explained, waiting_was_worth_it,
};
use crate::register::{KEYS, On, Op};
use crate::tasks::turns;

pub(crate) const THREADS: usize = 3;
const CALLS: usize = 4;
/// Of a hot set: two keys may have to share one.
const SPOTS: usize = 4;
/// Reads after which a key is in a hot set, if it ever gets there.
const OFTEN: usize = 8;

thread_local! {
    static CHOICES: RefCell<Choices> =
        const { RefCell::new(Choices { script: Vec::new(), dice: Dice::new(0) }) };
    static BEHIND: Cell<bool> = const { Cell::new(false) };
}

/// Where a thread's choices come from: a script as far as it goes, last byte first, then dice.
struct Choices {
    script: Vec<u8>,
    dice: Dice,
}

pub(crate) fn roll(sides: u32) -> u32 {
    CHOICES.with(|choices| {
        let Choices { script, dice } = &mut *choices.borrow_mut();
        script.pop().map_or_else(|| dice.roll(sides), |byte| (u32::from(byte) * sides) >> 8)
    })
}

/// Lets others go first, now and then; called from wherever the cache calls its user.
pub(crate) fn pause() {
    match roll(8) {
        0 => thread::yield_now(),
        1 => (0..roll(200)).for_each(|_| std::hint::spin_loop()),
        _ => {}
    }
}

/// A key that takes its time to be hashed, compared and cloned: between the cache's own steps.
#[derive(Debug)]
pub(crate) struct Key(usize);

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
        pause();
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        pause();
        self.0 == other.0
    }
}

impl Eq for Key {}

impl Clone for Key {
    fn clone(&self) -> Key {
        pause();
        Key(self.0)
    }
}

pub(crate) type Cache = lastcache::Cache<Key, u32, u32>;
pub(crate) type Reader = lastcache::Reader<Key, u32, u32>;

/// What the histories of one test have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setting {
    pub(crate) keys: usize,
    pub(crate) evicts: bool,
    /// Nothing is ever fresh, or little (see `is_fresh`), and stale values are refreshed behind their readers.
    pub(crate) stale: bool,
    pub(crate) fronts: Fronts,
}

impl Setting {
    /// Whether a value is, for ever. Some have to be where there are hot sets, which answer with no others.
    fn is_fresh(self, value: u32) -> bool {
        !self.stale || self.fronts.are_hot() && value.is_multiple_of(2)
    }
}

/// One history: a cache of its own, what is called on it, and what came of that.
pub(crate) struct Round {
    cache: Cache,
    stamps: Arc<Stamps>,
    seed: u64,
    scripts: [Vec<u8>; THREADS],
    setting: Setting,
    /// Before the threads come.
    opening: Vec<Event>,
}

impl Round {
    pub(crate) fn new(
        setting: Setting,
        seed: u64,
        scripts: [Vec<u8>; THREADS],
        jobs: &mpsc::Sender<Job>,
    ) -> Round {
        let builder = lastcache::Cache::<Key, u32>::builder()
            .error_type::<u32>()
            .capacity(if setting.evicts { 1 } else { 8 })
            .thread_hot_set(if setting.fronts.have_hot_threads() { SPOTS } else { 0 });
        let builder = builder.clock(ManualClock::new()).lifetime(move |_, value| {
            pause();
            Lifetime::new().ttl(secs(u64::from(setting.is_fresh(*value))))
        });
        let builder = if setting.stale { builder.stale_if_error(secs(1)) } else { builder };
        // Behind the reader's back on another thread, or in the middle of its call.
        let jobs = jobs.clone();
        let cache = if seed.is_multiple_of(4) {
            builder.executor(|job: Job| behind(|| job.run())).build()
        } else {
            builder.executor(move |job| drop(jobs.send(job))).build()
        };
        let cache = cache.expect("the settings agree");
        let mut round =
            Round { cache, stamps: Arc::default(), seed, scripts, setting, opening: Vec::new() };
        if setting.fronts.are_hot() {
            let set = |key| round.set(key, (1 + THREADS * CALLS + key) as u32);
            round.opening = (0..setting.keys).map(set).collect();
        }
        round
    }

    fn set(&self, key: usize, value: u32) -> Event {
        let began = self.stamps.next();
        let answer = Answer::Done(self.cache.set(Key(key), value));
        Event { key, call: Call::Set(value), answer, began, ended: self.stamps.next() }
    }

    /// What a thread does before it begins, without a trace: it makes its reader, and fills its hot sets.
    pub(crate) fn enter(&self) -> Reader {
        let mut reader = self.cache.reader_with(SPOTS);
        if self.setting.fronts.are_hot() {
            for key in (0..self.setting.keys).map(Key) {
                for _ in 0..OFTEN {
                    let _ = self.cache.get(&key, |_| Err(0));
                    let _ = reader.get(&key, |_| Err(0));
                }
            }
        }
        reader
    }

    /// What one thread does in it.
    pub(crate) fn play(&self, thread: usize, reader: &mut Reader) -> Vec<Event> {
        let script = self.scripts[thread].clone();
        let dice = Dice::new(self.seed * 31 + thread as u64);
        CHOICES.with(|choices| *choices.borrow_mut() = Choices { script, dice });
        let calls = 1 + roll(CALLS as u32) as usize;
        (0..calls).map(|nth| self.call((1 + thread * CALLS + nth) as u32, reader)).collect()
    }

    fn call(&self, id: u32, reader: &mut Reader) -> Event {
        let key = roll(self.setting.keys as u32) as usize;
        let (kind, fails) = (roll(16), roll(5) == 0);
        let mut front = self.setting.fronts.choose(&self.cache, reader);
        pause();
        let ask = match kind {
            0..=2 => return self.set(key, id),
            3..=4 => {
                let began = self.stamps.next();
                let answer = Answer::Done(self.cache.delete(&Key(key)));
                return Event { key, call: Call::Delete, answer, began, ended: self.stamps.next() };
            }
            5..=7 => {
                let began = self.stamps.next();
                let answer = front.peek(&Key(key));
                return Event { key, call: Call::Peek, answer, began, ended: self.stamps.next() };
            }
            8..=10 => Ask::Get,
            11..=13 => Ask::Stale,
            _ => Ask::WhileRevalidate,
        };
        let load = Arc::new(Load { id, fails, ..Load::default() });
        let fetch = Fetch { load: Arc::clone(&load), stamps: Arc::clone(&self.stamps) };
        let began = self.stamps.next();
        let (answer, is_covered) = front.get(ask, &Key(key), fetch);
        let ended = self.stamps.next();
        let was_fresh = matches!(answer, Answer::Value(value) if self.setting.is_fresh(value));
        let loaded = ask == Ask::Stale && !was_fresh && !is_covered;
        Event { key, call: Call::Get { load, loaded }, answer, began, ended }
    }

    /// Waits for what runs behind, looks at every key once more, and judges.
    pub(crate) fn judge(&mut self, mut events: Vec<Event>) {
        events.append(&mut self.opening);
        assert!(self.cache.close_timeout(PATIENCE), "what runs ends");
        let rest = self.stamps.next();
        for key in 0..self.setting.keys {
            let value = self.cache.peek(&Key(key)).map(|served| *served);
            let answer = value.map_or(Answer::Nothing, Answer::Value);
            let (began, ended) = (self.stamps.next(), self.stamps.next());
            events.push(Event { key, call: Call::Peek, answer, began, ended });
        }
        waiting_was_worth_it(&events, rest);
        let mut intervals: Vec<_> = events.iter().flat_map(|event| event.intervals(rest)).collect();
        let late = Op::Rest { late: self.cache.stats().late_loads };
        let (from, to) = (self.stamps.next(), self.stamps.next());
        intervals.push(Interval { on: On(0, late), from, to });
        let explained = match (self.setting.evicts, self.setting.stale) {
            (false, false) => explained::<false, false>(&intervals),
            (false, true) => explained::<false, true>(&intervals),
            (true, false) => explained::<true, false>(&intervals),
            (true, true) => explained::<true, true>(&intervals),
        };
        intervals.sort_by_key(|interval| interval.from);
        let told: String = intervals.iter().map(Interval::to_string).collect();
        let Round { seed, setting, .. } = self;
        assert!(explained, "no order explains history {seed} of {setting:?}:\n{told}");
        assert_eq!(self.cache.stats().uncached, 0, "there are more slots than calls");
        let most = if self.setting.evicts { 1 } else { KEYS };
        assert!(self.cache.len() <= most);
    }
}

/// What a load runs, and what is noted of it.
pub(crate) struct Fetch {
    load: Arc<Load>,
    stamps: Arc<Stamps>,
}

impl Fetch {
    pub(crate) fn run(self) -> Result<u32, u32> {
        self.begin();
        self.end()
    }

    /// As a task's fetch: it is polled a few times.
    pub(crate) async fn polled(self) -> Result<u32, u32> {
        self.begin();
        turns(roll(3) as usize).await;
        self.end()
    }

    fn begin(&self) {
        let Fetch { load, stamps } = self;
        load.behind.store(u64::from(BEHIND.get()), SeqCst);
        load.began.store(stamps.next(), SeqCst);
        pause();
    }

    fn end(&self) -> Result<u32, u32> {
        let Fetch { load, stamps } = self;
        pause();
        let result = if load.fails { Err(load.id) } else { Ok(load.id) };
        load.ended.store(stamps.next(), SeqCst);
        result
    }
}

pub(crate) fn behind(run: impl FnOnce()) {
    let before = BEHIND.replace(true);
    run();
    BEHIND.set(before);
}
