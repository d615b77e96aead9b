//! What the calls cost that a busy program makes all the time: hit, stale hit while a refresh is
//! under way, miss with insertion into a full cache, set; on one thread and on two.
//!
//! ```text
//! cargo bench --bench hot_path
//! cargo bench --bench hot_path -- 'hit/2'
//! ```
//!
//! Times are per call and thread. The candidates and the rules of the comparison are in `support`.

mod support;

use std::time::Duration;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion};
use support::{
    Candidate, GATE, KEYS, Lastcache, MutexMap, OneMutex, RwLockMap, Walk, read, time, time_own,
};

type Group<'a> = BenchmarkGroup<'a, WallTime>;

fn hit<C: Candidate>(group: &mut Group<'_>, threads: usize) {
    let (cache, walk) = (C::full(), Walk::new());
    group.bench_function(C::NAME, |bencher| {
        bencher.iter_custom(|count| time(threads, count, |step| cache.get(walk.key(step))));
    });
}

/// The same through a `Reader` for each thread.
fn reader_hit(group: &mut Group<'_>, threads: usize) {
    let (cache, walk) = (Lastcache::full(), Walk::new());
    group.bench_function("lastcache, Reader", |bencher| {
        bencher.iter_custom(|count| time_own(threads, count, || read(&cache, &walk)));
    });
}

fn stale_hit<C: Candidate>(group: &mut Group<'_>, threads: usize) {
    let (cache, walk) = (C::stale(), Walk::new());
    group.bench_function(C::NAME, |bencher| {
        bencher.iter_custom(|count| time(threads, count, |step| cache.get_swr(walk.key(step))));
    });
}

fn miss<C: Candidate>(group: &mut Group<'_>, threads: usize) {
    let cache = C::full();
    group.bench_function(C::NAME, |bencher| {
        bencher.iter_custom(|count| time(threads, count, |step| cache.get(KEYS + step)));
    });
}

fn set<C: Candidate>(group: &mut Group<'_>, threads: usize) {
    let (cache, walk) = (C::full(), Walk::new());
    group.bench_function(C::NAME, |bencher| {
        bencher.iter_custom(|count| {
            time(threads, count, |step| {
                cache.set(walk.key(step), step);
                step
            })
        });
    });
}

/// Runs one of the functions above for every candidate on one thread and on two.
macro_rules! compare {
    ($criterion:expr, $name:literal, $measure:ident) => {
        for threads in [1, 2] {
            let mut group = $criterion.benchmark_group(format!("{}/{threads}", $name));
            $measure::<Lastcache>(&mut group, threads);
            $measure::<MutexMap>(&mut group, threads);
            $measure::<RwLockMap>(&mut group, threads);
            $measure::<OneMutex>(&mut group, threads);
            group.finish();
        }
    };
}

fn main() {
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    compare!(criterion, "hit", hit);
    for threads in [1, 2] {
        let mut group = criterion.benchmark_group(format!("reader_hit/{threads}"));
        reader_hit(&mut group, threads);
        group.finish();
    }
    compare!(criterion, "stale_hit", stale_hit);
    compare!(criterion, "miss", miss);
    compare!(criterion, "set", set);
    GATE.get_or_init(|| ());
    criterion.final_summary();
}
