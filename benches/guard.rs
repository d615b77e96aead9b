//! The guard: how many instructions each call takes, counted by callgrind and compared with what was recorded.
//!
//! ```text
//! cargo bench --bench guard              # fails where a call takes over 3 % more than recorded
//! cargo bench --bench guard -- --record  # writes benches/guard.txt anew: say why in the commit
//! ```
//!
//! Counts do not depend on how busy the machine is, only on the compiler, the code and its inputs: the
//! hasher is fixed, the clock manual, the keys are walked in order. Each kind runs twice, the second time
//! for twice as many calls; the difference is the calls' own. Needs valgrind.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::process::{Command, ExitCode};
use std::time::Duration;

use foldhash::fast::FixedState;
use lastcache::{Cache, Job, ManualClock};

const RECORD: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/guard.txt");
const CALLS: u64 = 20_000;
const KEYS: u64 = 1_000;
/// How much more than recorded is too much, in percent.
const MOST: f64 = 3.0;

type Guarded = Cache<u64, u64, (), FixedState>;

fn cache(clock: &ManualClock, capacity: u64) -> Guarded {
    windows(clock, capacity, Duration::MAX)
}

/// Values are past their windows so long after their minute.
fn windows(clock: &ManualClock, capacity: u64, late: Duration) -> Guarded {
    let builder = Cache::builder().capacity(capacity as usize).ttl(Duration::from_secs(60));
    let builder = builder.stale_while_revalidate(late).stale_if_error(late);
    // Refreshes that never run: stale hits stay stale.
    let builder = builder.executor(|job: Job| std::mem::forget(job)).clock(clock);
    let builder = builder.max_concurrent_refresh(KEYS as usize).hasher(FixedState::default());
    builder.error_type::<()>().build().expect("valid settings")
}

fn full(clock: &ManualClock) -> Guarded {
    let cache = cache(clock, KEYS);
    (0..KEYS).for_each(|key| _ = cache.set(key, key));
    cache
}

/// Every kind of call, and so many of it.
const KINDS: &[(&str, fn(u64))] = &[
    ("hit", |calls| {
        let cache = full(&ManualClock::new());
        (0..calls).for_each(|n| _ = black_box(cache.get(&(n % KEYS), |_| Err(()))));
    }),
    ("stale hit", |calls| {
        let clock = ManualClock::new();
        let cache = full(&clock);
        clock.advance(Duration::from_secs(61));
        (0..KEYS).for_each(|key| _ = black_box(cache.get_swr(&key, |_| Err(()))));
        (0..calls).for_each(|n| _ = black_box(cache.get_swr(&(n % KEYS), |_| Err(()))));
    }),
    ("reader hit", |calls| {
        let cache = full(&ManualClock::new());
        let mut reader = cache.reader();
        // So few that each has a spot of its own.
        let keys = 16;
        (0..4 * keys).for_each(|n| _ = black_box(reader.get(&(n % keys), |_| Err(()))));
        (0..calls).for_each(|n| _ = black_box(reader.get(&(n % keys), |_| Err(()))));
    }),
    ("miss", |calls| {
        let cache = cache(&ManualClock::new(), 4 * CALLS);
        (0..calls).for_each(|n| _ = black_box(cache.get(&n, |key| Ok(*key))));
    }),
    ("miss at capacity", |calls| {
        let cache = full(&ManualClock::new());
        (KEYS..KEYS + calls).for_each(|n| _ = black_box(cache.get(&n, |key| Ok(*key))));
    }),
    // Half of what is asked for was asked for lately. Hardly a value is kept until its windows are over, so
    // there is seldom one to look for.
    ("miss at capacity, windows that end", |calls| {
        let clock = ManualClock::new();
        let cache = windows(&clock, KEYS, Duration::from_secs(60));
        for n in 0..2 * calls {
            clock.advance(Duration::from_millis(10));
            let key = if n % 2 == 0 { n } else { n - n.min(301) };
            _ = black_box(cache.get(&key, |key| Ok(*key)));
        }
    }),
    ("set", |calls| {
        let cache = full(&ManualClock::new());
        (0..calls).for_each(|n| _ = black_box(cache.set(n % KEYS, n)));
    }),
];

/// The instructions of a whole process that makes so many calls.
fn instructions(kind: &str, calls: u64) -> Result<u64, String> {
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]).arg(this);
    valgrind.args(["--run", kind, &calls.to_string()]);
    let output = valgrind.output().map_err(|error| format!("valgrind cannot be run: {error}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    let counted =
        text.lines().find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok());
    counted.ok_or_else(|| format!("valgrind counted nothing for {kind}:\n{text}"))
}

fn recorded() -> BTreeMap<String, f64> {
    let text = std::fs::read_to_string(RECORD).unwrap_or_default();
    let figure = |line: &str| {
        let (kind, figure) = line.split_once(':')?;
        Some((kind.to_owned(), figure.trim().parse().ok()?))
    };
    text.lines().filter_map(figure).collect()
}

fn guard(record: bool) -> Result<bool, String> {
    let before = recorded();
    let (mut text, mut holds) = (String::new(), true);
    println!("{:<36} {:>12} {:>10} {:>8}", "call", "instructions", "recorded", "more");
    for (kind, _) in KINDS {
        let twice = instructions(kind, 2 * CALLS)?;
        let each = (twice - instructions(kind, CALLS)?) as f64 / CALLS as f64;
        text += &format!("{kind}: {each:.1}\n");
        let Some(old) = before.get(*kind).filter(|_| !record) else {
            holds &= record;
            println!("{kind:<36} {each:>12.1} {:>10} {:>8}", "-", "-");
            continue;
        };
        let more = (each / old - 1.0) * 100.0;
        holds &= more <= MOST;
        let verdict = if more > MOST { "  TOO MANY" } else { "" };
        println!("{kind:<36} {each:>12.1} {old:>10.1} {more:>6.1} %{verdict}");
    }
    if record {
        std::fs::write(RECORD, text).map_err(|error| format!("{RECORD}: {error}"))?;
    }
    Ok(holds)
}

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|it| it != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["--run", kind, calls] => {
            let run = KINDS.iter().find(|it| it.0 == kind).map(|it| it.1);
            match (run, calls.parse()) {
                (Some(run), Ok(calls)) => {
                    run(calls);
                    Ok(true)
                }
                _ => Err(format!("no such kind, or no such number: {kind} {calls}")),
            }
        }
        [] => guard(false),
        ["--record"] => guard(true),
        _ => Err("nothing but --record may be asked for".to_owned()),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("a call takes over {MOST} % more instructions than benches/guard.txt says");
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}
