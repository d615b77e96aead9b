//! What the recorded calls must be explained by: for each key a register, and the one flight attached to it.
//!
//! A load is two steps. It *claims* the key when no flight is attached to it, and *ends* between the end of
//! its fetch and the return of who ran it: stored if it is still attached by then, and nothing if a `set`
//! or `delete` came in between. So a load that is stored is a write that started at its claim, and one that
//! is not is none. Whoever joined a load that a `delete` detached gets its outcome all the same; he can only
//! have joined before, which the register notes as a promise that the rest of the history must keep.
//!
//! A `set` is two steps as well: it replaces, and then gives the load that it overtook its value. A load that
//! ends between the two is not stored, and yet it is its own value that its callers get.
//!
//! A load that is given up frees its key and is nothing else: who joined it asks again.
//!
//! With eviction on, absent is always a possible answer, but it empties the register: a vanished value that
//! returns is an error.

use std::collections::BTreeMap;

use todc_utils::Specification;

/// What one call did to one key, or one half of a load. Every write has a value of its own; a load's is its
/// name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    Set {
        value: u32,
        kept: bool,
    },
    /// The `set` of this value has told the load that it overtook, if any.
    Told(u32),
    Delete {
        found: bool,
    },
    Peek(Option<u32>),
    /// A call of the `get` family was answered with this value and ran no fetch for it.
    Got(u32),
    /// It was answered with the error of this load, which somebody else led.
    Refused(u32),
    Claim(u32),
    End {
        load: u32,
        ok: bool,
        got: Outcome,
    },
    /// The load was dropped before its end.
    Abandon(u32),
    /// At rest, over all keys: how many loads were not stored because a write came first.
    Rest {
        late: u64,
    },
}

/// What the leader of a load was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Value(u32),
    Error,
    /// A background load answers nobody.
    Unknown,
}

/// An operation and the key it is about.
#[derive(Clone, Copy, Debug)]
pub(crate) struct On(pub(crate) usize, pub(crate) Op);

pub(crate) const KEYS: usize = 2;

/// What was seen of a load's outcome before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd)]
enum Promise {
    Nothing,
    /// Somebody got its own outcome: it is told of no `set`.
    Own,
    /// And it is not stored: a write comes first.
    Late,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Standing {
    Attached,
    /// A `set` came first, with this value.
    Overtaken(u32),
    /// A `delete` came first.
    Detached,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
struct Register {
    value: Option<u32>,
    attached: Option<u32>,
    loads: BTreeMap<u32, (Standing, Promise)>,
    /// Values of sets that are between their two steps, and whether they were kept.
    telling: BTreeMap<u32, bool>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct State {
    keys: [Register; KEYS],
    late: u64,
}

/// The sequential cache. `EVICTS`: values may vanish. `STALE`: no value is ever fresh, so that a load may
/// start over one.
pub(crate) struct Sequential<const EVICTS: bool, const STALE: bool>;

impl<const EVICTS: bool, const STALE: bool> Specification for Sequential<EVICTS, STALE> {
    type State = State;
    type Operation = On;

    fn init() -> State {
        State::default()
    }

    fn apply(On(key, op): &On, state: &State) -> (bool, State) {
        if let Op::Rest { late } = *op {
            return (state.late == late, state.clone());
        }
        let mut next = state.clone();
        let State { keys, late } = &mut next;
        let valid = keys[*key].step::<EVICTS, STALE>(*op, late).is_some();
        (valid, if valid { next } else { state.clone() })
    }
}

impl Register {
    /// `None` when the operation cannot have happened now.
    fn step<const EVICTS: bool, const STALE: bool>(
        &mut self,
        op: Op,
        late: &mut u64,
    ) -> Option<()> {
        match op {
            Op::Set { value, kept } => {
                let fits = kept || EVICTS;
                fits.then_some(())?;
                self.detach(Standing::Overtaken(value));
                self.value = kept.then_some(value);
                self.telling.insert(value, kept).is_none().then_some(())
            }
            Op::Told(value) => self.telling.remove(&value).map(drop),
            Op::Delete { found } => {
                if found {
                    self.value?;
                } else {
                    self.absent::<EVICTS>()?;
                }
                self.detach(Standing::Detached);
                self.value = None;
                Some(())
            }
            Op::Peek(None) => self.absent::<EVICTS>(),
            Op::Peek(there) => (self.value == there).then_some(()),
            Op::Got(value) if self.value == Some(value) => Some(()),
            // A value that found no room is still what the callers of the overtaken load get.
            Op::Got(value) if self.telling.get(&value) == Some(&false) => Some(()),
            Op::Got(load) => self.promise(load, Promise::Late),
            Op::Refused(load) => self.promise(load, Promise::Own),
            Op::Claim(load) => {
                // One flight per key.
                self.attached.is_none().then_some(())?;
                if !STALE {
                    self.absent::<EVICTS>()?;
                }
                self.attached = Some(load);
                self.loads.insert(load, (Standing::Attached, Promise::Nothing));
                Some(())
            }
            Op::End { load, ok, got } => self.end(load, ok, got, late),
            Op::Abandon(load) => {
                let (standing, promise) = self.loads.remove(&load)?;
                if standing == Standing::Attached {
                    self.attached = None;
                }
                // It has no outcome that anybody could have got.
                (promise == Promise::Nothing).then_some(())
            }
            Op::Rest { .. } => None,
        }
    }

    fn absent<const EVICTS: bool>(&mut self) -> Option<()> {
        if EVICTS {
            self.value = None;
        }
        self.value.is_none().then_some(())
    }

    /// A write comes before the end of the attached load.
    fn detach(&mut self, by: Standing) {
        let load = self.attached.take().and_then(|load| self.loads.get_mut(&load));
        if let Some((standing, _)) = load {
            *standing = by;
        }
    }

    /// Somebody joined the load, and got its own outcome.
    fn promise(&mut self, load: u32, promise: Promise) -> Option<()> {
        let (standing, made) = self.loads.get_mut(&load)?;
        if *made < promise {
            *made = promise;
        }
        (*standing == Standing::Attached).then_some(())
    }

    fn end(&mut self, load: u32, ok: bool, got: Outcome, late: &mut u64) -> Option<()> {
        let (standing, promise) = self.loads.remove(&load)?;
        if standing == Standing::Attached {
            self.attached = None;
            if ok {
                let own = matches!(got, Outcome::Unknown) || got == Outcome::Value(load);
                (own && promise != Promise::Late).then_some(())?;
                self.value = Some(load);
            }
            // A failure may be covered by what is there then: a read of its own.
            return Some(());
        }
        *late += u64::from(ok);
        let own = if ok { Outcome::Value(load) } else { Outcome::Error };
        let its_own = got == own || got == Outcome::Unknown;
        let possible = match standing {
            Standing::Overtaken(value) => {
                let told = got == Outcome::Value(value) || got == Outcome::Unknown;
                (told && promise == Promise::Nothing)
                    || (its_own && self.telling.contains_key(&value))
            }
            _ => its_own,
        };
        possible.then_some(())
    }
}
