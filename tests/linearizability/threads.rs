//! The threads that play the rounds, all of them at once.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Condvar, Mutex, mpsc};
use std::thread;

use lastcache::Job;

use crate::controlled::PATIENCE;
use crate::history::Event;
use crate::program::{Round, Setting, THREADS, behind};

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
fn play(mut rounds: Vec<Round>) {
    let gate = Gate::default();
    let played: Vec<Vec<Vec<Event>>> = thread::scope(|scope| {
        let (gate, rounds) = (&gate, &rounds);
        let play = |thread| {
            scope.spawn(move || {
                let _breaks = Breaks(gate);
                let play = |(nth, round): (usize, &Round)| {
                    let mut reader = round.enter();
                    gate.meet(nth);
                    round.play(thread, &mut reader)
                };
                rounds.iter().enumerate().map(play).collect()
            })
        };
        let threads: Vec<_> = (0..THREADS).map(play).collect();
        threads.into_iter().map(|t| t.join().expect("the calls return")).collect()
    });
    let mut played: Vec<_> = played.into_iter().map(Vec::into_iter).collect();
    for round in &mut rounds {
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
            play(seeds.map(round).collect());
        }
    });
}

/// Runs and judges the history of this script.
pub(crate) fn scripted(setting: Setting, seed: u64, scripts: [Vec<u8>; THREADS]) {
    refreshing(|jobs| play(vec![Round::new(setting, seed, scripts, jobs)]));
}
