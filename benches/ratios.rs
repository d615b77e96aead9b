//! The ratios that the cache promises, measured in one run, each with its target and a verdict.
//!
//! ```text
//! cargo bench --bench ratios
//! cargo bench --bench ratios -- --json
//! ```
//!
//! Rounds are interleaved: every round measures each configuration once, in an order that turns by
//! one each time, and gives one value of every ratio. A row shows the median of the rounds and,
//! as its spread, the first and third quartile. Absolute times move between machines; ratios
//! of one run hold, provided that nothing else uses the processors: threads that take turns
//! on one processor do not contend. Takes a minute.

mod support;

use std::fmt;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use support::{
    Candidate, Lastcache, MutexMap, OneMutex, RwLockMap, Walk, read, time, time_own, with_hot_sets,
};

// Many short rounds: a few that something else disturbed do not move the median.
const ROUNDS: usize = 101;
const CALLS: u64 = 400_000;

/// One thing that is measured in every round: nanoseconds per call and thread.
struct Configuration<'a> {
    name: String,
    measure: Box<dyn Fn() -> f64 + 'a>,
    rounds: Vec<f64>,
}

fn hits<'a, C: Candidate>(cache: &'a C, walk: &'a Walk, threads: usize) -> Configuration<'a> {
    let measure = move || {
        let taken = time(threads, CALLS, |step| cache.get(walk.key(step)));
        taken.as_secs_f64() * 1e9 / CALLS as f64
    };
    let name = format!("{} hit, ns, threads: {threads}", C::NAME);
    Configuration { name, measure: Box::new(measure), rounds: Vec::new() }
}

fn reads<'a>(cache: &'a Lastcache, walk: &'a Walk, threads: usize) -> Configuration<'a> {
    let measure = move || {
        let taken = time_own(threads, CALLS, || read(cache, walk));
        taken.as_secs_f64() * 1e9 / CALLS as f64
    };
    let name = format!("lastcache hit through a Reader, ns, threads: {threads}");
    Configuration { name, measure: Box::new(measure), rounds: Vec::new() }
}

/// One thread, a call on each key of the walk.
fn calls<'a>(
    name: &str,
    walk: &'a Walk,
    call: impl Fn(u64) -> u64 + Sync + 'a,
) -> Configuration<'a> {
    let measure = move || {
        let taken = time(1, CALLS, |step| call(walk.key(step)));
        taken.as_secs_f64() * 1e9 / CALLS as f64
    };
    Configuration { name: format!("{name}, ns"), measure: Box::new(measure), rounds: Vec::new() }
}

/// The output of a future that is ready at its first poll.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => unreachable!("a hit is ready at the first poll"),
    }
}

/// Every call of one front on fresh and on stale values: what the rows about fronts compare.
fn fronts<'a>(
    fresh: &'a Lastcache,
    stale: &'a Lastcache,
    walk: &'a Walk,
) -> [Configuration<'a>; 8] {
    let never = |_: &u64| -> Result<u64, ()> { unreachable!("nothing is missing") };
    let later = || async { unreachable!("nothing is missing") };
    [
        calls("get, fresh", walk, move |key| fresh.get(&key, never).unwrap_or(0)),
        calls("get_async, fresh", walk, move |key| {
            at_once(fresh.get_async(&key, later())).unwrap_or(0)
        }),
        calls("get_stale, fresh", walk, move |key| fresh.get_stale(&key, never).map_or(0, |s| *s)),
        calls("get_stale_async, fresh", walk, move |key| {
            at_once(fresh.get_stale_async(&key, later())).map_or(0, |s| *s)
        }),
        calls("get_swr, fresh", walk, move |key| fresh.get_swr(&key, never).map_or(0, |s| *s)),
        calls("get_swr, stale", walk, move |key| stale.get_swr(&key, never).map_or(0, |s| *s)),
        calls("get_swr_async, fresh", walk, move |key| {
            at_once(fresh.get_swr_async(&key, later())).map_or(0, |s| *s)
        }),
        calls("get_swr_async, stale", walk, move |key| {
            at_once(stale.get_swr_async(&key, later())).map_or(0, |s| *s)
        }),
    ]
}

enum Target {
    AtMost(f64),
    AtLeast(f64),
    /// For the reader only.
    None,
}

impl Target {
    fn met_by(&self, figure: f64) -> Option<bool> {
        match self {
            Self::AtMost(most) => Some(figure <= *most),
            Self::AtLeast(least) => Some(figure >= *least),
            Self::None => None,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AtMost(most) => write!(f, "<= {most}"),
            Self::AtLeast(least) => write!(f, ">= {least}"),
            Self::None => write!(f, "-"),
        }
    }
}

struct Row {
    name: String,
    low: f64,
    median: f64,
    high: f64,
    target: Target,
}

impl Row {
    fn new(name: &str, mut rounds: Vec<f64>, target: Target) -> Self {
        rounds.sort_unstable_by(f64::total_cmp);
        let [low, median, high] = [1, 2, 3].map(|quarter| rounds[(rounds.len() - 1) * quarter / 4]);
        Self { name: name.into(), low, median, high, target }
    }

    fn verdict(&self) -> &'static str {
        match self.target.met_by(self.median) {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "-",
        }
    }

    fn print(&self) {
        let spread = format!("{:.2} to {:.2}", self.low, self.high);
        let Self { name, median, target, .. } = self;
        let (target, verdict) = (target.to_string(), self.verdict());
        println!("{name:<64} {median:>8.2}  {spread:<18} {target:<8} {verdict}");
    }

    fn json(&self) -> serde_json::Value {
        serde_json::json!({
            "name": self.name,
            "figure": self.median,
            "spread": [self.low, self.high],
            "target": self.target.to_string(),
            "met": self.target.met_by(self.median),
        })
    }
}

/// Every configuration once per round. The first round warms up and is forgotten.
fn measure(configurations: &mut [Configuration<'_>]) {
    let count = configurations.len();
    for round in 0..=ROUNDS {
        for turn in 0..count {
            let it = &mut configurations[(round + turn) % count];
            let nanos = (it.measure)();
            if round > 0 {
                it.rounds.push(nanos);
            }
        }
    }
}

/// How many threads wanted to run in the last minute, where the system says so.
fn load_average() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    text.split_whitespace().next()?.parse().ok()
}

fn main() {
    let json = std::env::args().any(|argument| argument == "--json");
    let busy = load_average();
    let walk = Walk::new();
    let (cache, own, mutex) = (Lastcache::full(), with_hot_sets(), MutexMap::full());
    let (rwlock, naive) = (RwLockMap::full(), OneMutex::full());
    let loop_alone = Configuration {
        name: "the measuring loop alone, ns (contained in every figure)".into(),
        measure: Box::new(|| {
            time(1, CALLS, |step| walk.key(step)).as_secs_f64() * 1e9 / CALLS as f64
        }),
        rounds: Vec::new(),
    };
    let mut all = [
        hits(&cache, &walk, 1),
        hits(&cache, &walk, 2),
        reads(&cache, &walk, 1),
        reads(&cache, &walk, 2),
        Configuration {
            name: "lastcache hit with `thread_hot_set`, ns, threads: 1".into(),
            ..hits(&own, &walk, 1)
        },
        hits(&mutex, &walk, 1),
        hits(&mutex, &walk, 2),
        hits(&rwlock, &walk, 1),
        hits(&rwlock, &walk, 2),
        hits(&naive, &walk, 1),
        hits(&naive, &walk, 2),
        loop_alone,
    ];
    measure(&mut all);
    let stale = Lastcache::stale();
    let mut fronts = fronts(&cache, &stale, &walk);
    measure(&mut fronts);

    let [cache_1, cache_2, reader_1, reader_2, own_1, mutex_1, mutex_2, ..] = &all;
    let per_round = |upper: &Configuration<'_>, lower: &Configuration<'_>| {
        upper.rounds.iter().zip(&lower.rounds).map(|(upper, lower)| upper / lower).collect()
    };
    let mut rows = vec![
        Row::new(
            "hit, 1 thread: lastcache / Mutex<HashMap>",
            per_round(cache_1, mutex_1),
            Target::AtMost(1.3),
        ),
        Row::new(
            "hit, 1 thread: lastcache through a Reader / plain",
            per_round(reader_1, cache_1),
            Target::AtMost(0.35),
        ),
        Row::new(
            "hit, 1 thread: lastcache with `thread_hot_set` / without",
            per_round(own_1, cache_1),
            Target::None,
        ),
        Row::new(
            "hit, Reader per thread: 2 threads / 1 thread",
            per_round(reader_2, reader_1),
            Target::AtMost(1.1),
        ),
        Row::new(
            "hit, lastcache per thread: 2 threads / 1 thread",
            per_round(cache_2, cache_1),
            Target::AtMost(1.1),
        ),
        Row::new(
            "hit, 2 threads: Mutex<HashMap> / lastcache",
            per_round(mutex_2, cache_2),
            Target::AtLeast(3.0),
        ),
    ];
    let [get, get_async, get_stale, get_stale_async, swr, swr_stale, swr_async, swr_async_stale] =
        &fronts;
    rows.extend([
        Row::new(
            "stale hit under a running refresh / fresh hit, get_swr",
            per_round(swr_stale, swr),
            Target::AtMost(1.2),
        ),
        Row::new("fresh hit: get_async / get", per_round(get_async, get), Target::AtMost(1.15)),
        Row::new(
            "fresh hit: get_stale_async / get_stale",
            per_round(get_stale_async, get_stale),
            Target::None,
        ),
        Row::new(
            "stale hit under a running refresh / fresh hit, get_swr_async",
            per_round(swr_async_stale, swr_async),
            Target::AtMost(1.2),
        ),
    ]);
    rows.extend(
        all.into_iter().chain(fronts).map(|it| Row::new(&it.name, it.rounds, Target::None)),
    );

    if json {
        let rows: Vec<_> = rows.iter().map(Row::json).collect();
        println!("{}", serde_json::json!({ "load_before": busy, "rows": rows }));
        return;
    }
    println!("{:<64} {:>8}  {:<18} {:<8} verdict", "", "median", "quartiles", "target");
    rows.iter().for_each(Row::print);
    if let Some(busy) = busy.filter(|busy| *busy > 0.5) {
        println!("not a quiet machine: its load was {busy} before the run, so repeat it later");
    }
}
