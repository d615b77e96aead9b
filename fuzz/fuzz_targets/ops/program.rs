//! What a program is made of: calls, fetches, and the clock between them.

use std::panic::resume_unwind;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use arbitrary::{Arbitrary, Result, Unstructured};
use lastcache::ManualClock;

use super::span::Span;

/// Below the capacity of a roomy cache.
pub const KEYS: u8 = 32;

/// One step of a program.
#[derive(Clone, Copy, Debug)]
pub enum Op {
    Get(u8, Plan),
    GetStale(u8, Plan),
    GetSwr(u8, Plan),
    Peek(u8),
    Set(u8),
    Delete(u8),
    Ttl(u8),
    Contains(u8),
    Len,
    Walk,
    Clear,
    Purge,
    Forward(Span),
    Back(Span),
    EndOfTime,
}

/// What a fetch does: how long it takes, and how it ends. The time never steps back in it.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub takes: Span,
    pub end: End,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Value,
    Error(Fault),
    Panic,
}

/// The error of a fetch, named for what the verdict on it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Down,
    Definite,
    NoMore,
}

fn key(u: &mut Unstructured<'_>) -> Result<u8> {
    // Mostly few keys, so that they are met again.
    Ok(match u.arbitrary::<u8>()? {
        byte @ 192.. => byte % KEYS,
        byte => byte % 4,
    })
}

impl Arbitrary<'_> for Plan {
    fn arbitrary(u: &mut Unstructured<'_>) -> Result<Self> {
        let end = match u.int_in_range(0..=7u8)? {
            0..=2 => End::Value,
            3 | 4 => End::Error(Fault::Down),
            5 => End::Error(Fault::Definite),
            6 => End::Error(Fault::NoMore),
            _ => End::Panic,
        };
        Ok(Self { takes: u.arbitrary()?, end })
    }
}

impl Arbitrary<'_> for Op {
    fn arbitrary(u: &mut Unstructured<'_>) -> Result<Self> {
        Ok(match u.int_in_range(0..=16u8)? {
            0 => Self::Get(key(u)?, u.arbitrary()?),
            1 | 2 => Self::GetStale(key(u)?, u.arbitrary()?),
            3 | 4 => Self::GetSwr(key(u)?, u.arbitrary()?),
            5 => Self::Peek(key(u)?),
            6 => Self::Set(key(u)?),
            7 => Self::Delete(key(u)?),
            8 => Self::Ttl(key(u)?),
            9 => Self::Contains(key(u)?),
            10 => Self::Len,
            11 => Self::Walk,
            12 => Self::Clear,
            13 => Self::Forward(u.arbitrary()?),
            14 => Self::Back(u.arbitrary()?),
            15 => Self::Purge,
            _ => Self::EndOfTime,
        })
    }
}

/// The fetch of a plan: takes its time, counts its run, and makes a value at the end if that is due.
pub fn fetch<V, F: FnOnce() -> V>(
    plan: Plan,
    clock: &ManualClock,
    runs: &Arc<AtomicU32>,
    value: F,
) -> impl FnOnce() -> std::result::Result<V, Fault> + use<V, F> {
    let (clock, runs) = (clock.clone(), Arc::clone(runs));
    move || {
        runs.fetch_add(1, Relaxed);
        clock.advance(plan.takes.0);
        match plan.end {
            End::Value => Ok(value()),
            End::Error(fault) => Err(fault),
            // Past the panic hook, which would end the run.
            End::Panic => resume_unwind(Box::new("planned")),
        }
    }
}
