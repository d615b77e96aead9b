//! Histories: what was called, from when until when, with which answer; and whether that can be explained.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use todc_utils::linearizability::WGLChecker;
use todc_utils::linearizability::history::{Action, History};

use crate::register::{On, Op, Outcome, Sequential};

/// The clock of one history: each reading is later than all before it.
#[derive(Default)]
pub(crate) struct Stamps(AtomicU64);

impl Stamps {
    pub(crate) fn next(&self) -> u64 {
        self.0.fetch_add(1, SeqCst) + 1
    }
}

/// What becomes of one fetch; 0 where it never did. One that began and did not end was dropped.
#[derive(Default)]
pub(crate) struct Load {
    pub(crate) id: u32,
    pub(crate) fails: bool,
    pub(crate) began: AtomicU64,
    pub(crate) ended: AtomicU64,
    /// Not 0 when it ran behind its caller's back.
    pub(crate) behind: AtomicU64,
}

/// What a call was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Value(u32),
    Nothing,
    /// The error of this load.
    Error(u32),
    Done(bool),
    /// Nobody waited for it to the end.
    Dropped,
}

pub(crate) enum Call {
    Set(u32),
    Delete,
    Peek,
    /// Any of the `get` family; the fetch it would run, and whether its answer came from a load.
    Get {
        load: Arc<Load>,
        loaded: bool,
    },
}

/// One call, with when it began and returned.
pub(crate) struct Event {
    pub(crate) key: usize,
    pub(crate) call: Call,
    pub(crate) answer: Answer,
    pub(crate) began: u64,
    pub(crate) ended: u64,
}

/// An operation of the register that took effect at some moment of this interval.
#[derive(Clone, Copy)]
pub(crate) struct Interval {
    pub(crate) on: On,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

impl std::fmt::Display for Interval {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let On(key, op) = self.on;
        writeln!(f, "{:3} to {:3}, key {key}: {op:?}", self.from, self.to)
    }
}

impl Event {
    /// What the register saw of it; `rest` is when everything was over.
    pub(crate) fn intervals(&self, rest: u64) -> Vec<Interval> {
        let at = |key, op, from, to| Interval { on: On(key, op), from, to };
        let whole = |op| vec![at(self.key, op, self.began, self.ended)];
        match (&self.call, self.answer) {
            (Call::Set(value), Answer::Done(kept)) => {
                [whole(Op::Set { value: *value, kept }), whole(Op::Told(*value))].concat()
            }
            (Call::Delete, Answer::Done(found)) => whole(Op::Delete { found }),
            (Call::Peek, Answer::Value(value)) => whole(Op::Peek(Some(value))),
            (Call::Peek, Answer::Nothing) => whole(Op::Peek(None)),
            (Call::Get { load, .. }, answer) => {
                let (id, ok) = (load.id, !load.fails);
                let (began, ended) = (load.began.load(SeqCst), load.ended.load(SeqCst));
                let claim = at(self.key, Op::Claim(id), self.began, began.min(self.ended));
                let end = |got, to| at(self.key, Op::End { load: id, ok, got }, ended, to);
                let abandon = |to| at(self.key, Op::Abandon(id), began, to);
                let led = began > 0 && load.behind.load(SeqCst) == 0;
                let read = match answer {
                    Answer::Value(value) => Op::Got(value),
                    Answer::Error(load) => Op::Refused(load),
                    // Only joined, if anything.
                    Answer::Dropped if began == 0 => return vec![],
                    Answer::Dropped => {
                        assert!(led && ended == 0, "a load that ends answers who leads it");
                        return vec![claim, abandon(self.ended)];
                    }
                    other => panic!("a get is not answered {other:?}"),
                };
                match answer {
                    _ if began == 0 => whole(read),
                    _ if !led => {
                        // What is polled behind is dropped when the cache is closed.
                        let over = || end(Outcome::Unknown, rest);
                        let over = if ended == 0 { abandon(rest) } else { over() };
                        [vec![claim, over], whole(read)].concat()
                    }
                    Answer::Value(value) if ok => {
                        vec![claim, end(Outcome::Value(value), self.ended)]
                    }
                    // Its own load failed: what covers that was there.
                    Answer::Value(value) => {
                        [vec![claim, end(Outcome::Value(value), self.ended)], whole(read)].concat()
                    }
                    _ => {
                        assert_eq!(answer, Answer::Error(id), "a leader gets its own error");
                        vec![claim, end(Outcome::Error, self.ended)]
                    }
                }
            }
            (_, answer) => panic!("no such answer: {answer:?}"),
        }
    }
}

/// Whether there is an order in which the sequential cache does all this.
pub(crate) fn explained<const EVICTS: bool, const STALE: bool>(intervals: &[Interval]) -> bool {
    let mut actions: Vec<_> = intervals
        .iter()
        .enumerate()
        .flat_map(|(id, i)| {
            [((i.from, 0), (id, Action::Call(i.on))), ((i.to, 1), (id, Action::Response(i.on)))]
        })
        .collect();
    actions.sort_by_key(|(when, _)| *when);
    let actions = actions.into_iter().map(|(_, action)| action).collect();
    WGLChecker::<Sequential<EVICTS, STALE>>::is_linearizable(History::from_actions(actions))
}

/// A caller that waited for a load does not get what was published before it asked.
pub(crate) fn waiting_was_worth_it(events: &[Event], rest: u64) {
    let mut published = BTreeMap::new();
    for event in events {
        match &event.call {
            Call::Set(value) => drop(published.insert(*value, event.ended)),
            Call::Get { load, .. } if load.began.load(SeqCst) > 0 => {
                let led = load.behind.load(SeqCst) == 0;
                published.insert(load.id, if led { event.ended } else { rest });
            }
            _ => {}
        }
    }
    for event in events {
        if let (Call::Get { loaded: true, .. }, Answer::Value(value)) = (&event.call, event.answer)
        {
            assert!(published[&value] > event.began, "{value} was stale when it was asked for");
        }
    }
}
