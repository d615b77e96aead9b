//! Small random programs for a few threads, and running them.

use std::cell::{Cell, RefCell};
use std::hash::{Hash, Hasher};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, mpsc};
use std::thread;

use lastcache::{Error, Job, ManualClock, Served, State};

use crate::controlled::{Dice, PATIENCE, secs};
use crate::history::{
    Answer, Call, Event, Interval, Load, Stamps, explained, waiting_was_worth_it,
};
use crate::register::{KEYS, On, Op};

pub(crate) const THREADS: usize = 3;
const CALLS: usize = 4;

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

fn roll(sides: u32) -> u32 {
    CHOICES.with(|choices| {
        let Choices { script, dice } = &mut *choices.borrow_mut();
        script.pop().map_or_else(|| dice.roll(sides), |byte| (u32::from(byte) * sides) >> 8)
    })
}

/// Lets others go first, now and then; called from wherever the cache calls its user.
fn pause() {
    match roll(8) {
        0 => thread::yield_now(),
        1 => (0..roll(200)).for_each(|_| std::hint::spin_loop()),
        _ => {}
    }
}

/// A key that takes its time to be hashed, compared and cloned: between the cache's own steps.
#[derive(Debug)]
struct Key(usize);

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

type Cache = lastcache::Cache<Key, u32, u32>;

/// What the histories of one test have in common.
#[derive(Clone, Copy)]
pub(crate) struct Setting {
    pub(crate) keys: usize,
    pub(crate) evicts: bool,
    /// Nothing is ever fresh, and stale values are refreshed behind their readers.
    pub(crate) stale: bool,
}

/// One history: a cache of its own, what is called on it, and what came of that.
struct Round {
    cache: Cache,
    stamps: Arc<Stamps>,
    seed: u64,
    scripts: [Vec<u8>; THREADS],
    setting: Setting,
}

impl Round {
    fn new(
        setting: Setting,
        seed: u64,
        scripts: [Vec<u8>; THREADS],
        jobs: &mpsc::Sender<Job>,
    ) -> Round {
        let builder = lastcache::Cache::<Key, u32>::builder()
            .error_type::<u32>()
            .capacity(if setting.evicts { 1 } else { 8 });
        let builder = builder.clock(ManualClock::new()).lifetime(|_, _| {
            pause();
            lastcache::Lifetime::default()
        });
        let builder = if setting.stale {
            builder.ttl(secs(0)).stale_if_error(secs(1))
        } else {
            builder.ttl(secs(1))
        };
        // Behind the reader's back on another thread, or in the middle of its call.
        let jobs = jobs.clone();
        let cache = if seed.is_multiple_of(4) {
            builder.executor(|job: Job| behind(|| job.run())).build()
        } else {
            builder.executor(move |job| drop(jobs.send(job))).build()
        };
        let cache = cache.expect("the settings agree");
        Round { cache, stamps: Arc::default(), seed, scripts, setting }
    }

    /// What one thread does in it.
    fn play(&self, thread: usize) -> Vec<Event> {
        let script = self.scripts[thread].clone();
        let dice = Dice::new(self.seed * 31 + thread as u64);
        CHOICES.with(|choices| *choices.borrow_mut() = Choices { script, dice });
        let calls = 1 + roll(CALLS as u32) as usize;
        (0..calls).map(|nth| self.call((1 + thread * CALLS + nth) as u32)).collect()
    }

    fn call(&self, id: u32) -> Event {
        let key = roll(self.setting.keys as u32) as usize;
        let (kind, fails) = (roll(16), roll(5) == 0);
        let cache = &self.cache;
        let load = || Arc::new(Load { id, fails, ..Load::default() });
        pause();
        let began = self.stamps.next();
        let (call, answer) = match kind {
            0..=2 => (Call::Set(id), Answer::Done(cache.set(Key(key), id))),
            3..=4 => (Call::Delete, Answer::Done(cache.delete(&Key(key)))),
            5..=7 => {
                let value = cache.peek(&Key(key)).map(|served| *served);
                (Call::Peek, value.map_or(Answer::Nothing, Answer::Value))
            }
            8..=10 => {
                let load = load();
                let got = cache.get(&Key(key), self.fetch(&load)).map_err(refused);
                let answer = got.map_or_else(Answer::Error, Answer::Value);
                (Call::Get { load, loaded: false }, answer)
            }
            11..=13 => {
                let load = load();
                let got = cache.get_stale(&Key(key), self.fetch(&load));
                let loaded = self.setting.stale && got.as_ref().is_ok_and(was_loaded);
                (Call::Get { load, loaded }, answered(got))
            }
            _ => {
                let load = load();
                let got = cache.get_swr(&Key(key), self.fetch(&load));
                (Call::Get { load, loaded: false }, answered(got))
            }
        };
        Event { key, call, answer, began, ended: self.stamps.next() }
    }

    fn fetch(&self, load: &Arc<Load>) -> impl FnOnce(&Key) -> Result<u32, u32> + Send + 'static {
        let (load, stamps) = (Arc::clone(load), Arc::clone(&self.stamps));
        move |_| {
            load.behind.store(u64::from(BEHIND.get()), SeqCst);
            load.began.store(stamps.next(), SeqCst);
            pause();
            pause();
            let result = if load.fails { Err(load.id) } else { Ok(load.id) };
            load.ended.store(stamps.next(), SeqCst);
            result
        }
    }

    /// Waits for what runs behind, looks at every key once more, and judges.
    fn judge(&self, mut events: Vec<Event>) {
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
        assert!(explained, "no order explains history {}:\n{told}", self.seed);
        assert_eq!(self.cache.stats().uncached, 0, "there are more slots than calls");
        let most = if self.setting.evicts { 1 } else { KEYS };
        assert!(self.cache.len() <= most);
    }
}

fn behind(run: impl FnOnce()) {
    let before = BEHIND.replace(true);
    run();
    BEHIND.set(before);
}

fn refused(error: Error<u32>) -> u32 {
    match error {
        Error::Fetch(load) => *load,
        other => panic!("nothing panics, asks for itself or is closed: {other:?}"),
    }
}

fn answered(got: Result<Served<Key, u32, u32>, Error<u32>>) -> Answer {
    got.map_err(refused).map_or_else(Answer::Error, |served| Answer::Value(*served))
}

fn was_loaded(served: &Served<Key, u32, u32>) -> bool {
    !matches!(served.state(), State::Fallback { .. })
}

/// Where the threads meet before each round: asleep until all are there, then for a moment by spinning, so
/// that they start together.
#[derive(Default)]
struct Gate {
    arrived: Mutex<usize>,
    all_there: Condvar,
    awake: AtomicUsize,
    broken: AtomicBool,
}

impl Gate {
    fn meet(&self, round: usize) {
        let everybody = (round + 1) * THREADS;
        let mut arrived = self.arrived.lock().expect("nobody panics with it");
        *arrived += 1;
        self.all_there.notify_all();
        let late = |arrived: &mut usize| *arrived < everybody && !self.broken.load(SeqCst);
        let waited = self.all_there.wait_timeout_while(arrived, PATIENCE, late);
        let (arrived, _) = waited.expect("nobody panics with it");
        assert!(*arrived >= everybody, "another thread failed, or hangs");
        drop(arrived);
        self.awake.fetch_add(1, SeqCst);
        for _ in 0..3_000 {
            if self.awake.load(SeqCst) >= everybody {
                break;
            }
            std::hint::spin_loop();
        }
    }
}

/// Tells the others when a thread ends by a panic.
struct Breaks<'a>(&'a Gate);

impl Drop for Breaks<'_> {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.broken.store(true, SeqCst);
            self.0.all_there.notify_all();
        }
    }
}

/// Plays the rounds one after the other, each on the same threads, and judges them.
fn play(rounds: &[Round]) {
    let gate = Gate::default();
    let played: Vec<Vec<Vec<Event>>> = thread::scope(|scope| {
        let gate = &gate;
        let play = |thread| {
            scope.spawn(move || {
                let _breaks = Breaks(gate);
                let play = |(nth, round): (usize, &Round)| {
                    gate.meet(nth);
                    round.play(thread)
                };
                rounds.iter().enumerate().map(play).collect()
            })
        };
        let threads: Vec<_> = (0..THREADS).map(play).collect();
        threads.into_iter().map(|t| t.join().expect("the calls return")).collect()
    });
    let mut played: Vec<_> = played.into_iter().map(Vec::into_iter).collect();
    for round in rounds {
        round.judge(played.iter_mut().flat_map(|t| t.next().expect("one each")).collect());
    }
}

/// Runs `f` with a thread that does the refreshes.
fn refreshing(f: impl FnOnce(&mpsc::Sender<Job>)) {
    let (jobs, to_run) = mpsc::channel::<Job>();
    let refresher = thread::spawn(move || behind(|| to_run.into_iter().for_each(Job::run)));
    f(&jobs);
    drop(jobs);
    refresher.join().expect("a job never panics");
}

/// Runs and judges so many histories.
pub(crate) fn histories(setting: Setting, count: usize) {
    const BATCH: usize = 200;
    refreshing(|jobs| {
        for batch in 0..count.div_ceil(BATCH) {
            let seeds = (batch * BATCH) as u64..((batch + 1) * BATCH) as u64;
            let round = |seed| Round::new(setting, seed, Default::default(), jobs);
            play(&seeds.map(round).collect::<Vec<_>>());
        }
    });
}

/// Runs and judges the history of this script.
pub(crate) fn scripted(setting: Setting, seed: u64, scripts: [Vec<u8>; THREADS]) {
    refreshing(|jobs| play(&[Round::new(setting, seed, scripts, jobs)]));
}
