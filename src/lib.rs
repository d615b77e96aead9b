//! A lock-free concurrent cache for values that are loaded from somewhere that can be slow or down.
//!
//! It always prefers an answer: fresh if it can, the last good value if it must, an error only when
//! there is nothing to serve. Reads take no lock, and a burst of callers for one key causes one load.
//! It implements stale-while-revalidate and stale-if-error (RFC 5861) with built-in single flight,
//! after the Go module LastCache; [`coming_from_go`] maps its names.
//!
//! Unless you say otherwise, a value is fresh for 60 s; `get` serves nothing stale, as `stale_if_error` is
//! zero; `get_swr` serves stale values however old, as `stale_while_revalidate` has no end.
//!
//! A cache holds at most `capacity` entries (10,000 by default), in a table whose memory is all taken
//! when it is built.
//!
//! ```
//! use std::time::Duration;
//! use lastcache::Cache;
//!
//! fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let cache: Cache<String, String> = Cache::builder()
//!         .ttl(Duration::from_secs(30))
//!         .stale_if_error(Duration::from_secs(3_600))
//!         .build()?;
//!     let page = cache.get("/index", |path| Ok(format!("the page at {path}")))?;
//!     assert_eq!(page, "the page at /index");
//!     Ok(())
//! }
//! ```
//!
//! # The life of a value
//!
//! ```text
//!  published          fresh_until                 swr_until              sie_until
//!     ├────── ttl ────────┤─ stale_while_revalidate ──┤                      │
//!     │                   │──────────────────── stale_if_error ──────────────┤
//!     │       fresh       │                     stale                        │  gone
//!     │                   │                                                  │
//!  get, get_stale: value  │ one fetch, waited for; if it fails: the fallback │ as if absent
//!  get_swr:        value  │ at once, a refresh behind │ as get_stale         │ as if absent
//! ```
//!
//! Deadlines are fixed when a value is published, and only a successful load or a `set` publishes one:
//! a failed refresh never makes old data look younger. A boundary belongs to the later state. After a
//! failed load a [`BackOff`] serves the stale value without trying again for a while.
//!
//! # Who runs the fetch
//!
//! | call | a fresh value | a stale one | none |
//! |---|---|---|---|
//! | [`get`](Cache::get), [`get_with`](Cache::get_with), [`get_stale`](Cache::get_stale) | at once | this caller, or it waits for who does | the same |
//! | [`get_swr`](Cache::get_swr) | at once | at once; a background thread or [`Executor`]. Past `swr_until` as above | this caller, or it waits for who does |
//! | [`peek`](Cache::peek) | at once | at once | `None` |
//!
//! [`get_async`](Cache::get_async), [`get_stale_async`](Cache::get_stale_async) and
//! [`get_swr_async`](Cache::get_swr_async) are the same for tasks: the caller polls the fetch, which is a
//! future, and a wait is a pending poll. They need no runtime. The blocking calls are not for tasks: on a
//! runtime with one thread they may wait for ever for what only that thread polls.
//!
//! All of them share one *flight* per key: one *leader* runs the fetch, *joiners* wait, and all get the
//! same outcome, which is the first: a [`set`](Cache::set) during the load ends the wait with its value.
//! A foreground caller takes over a refresh of its key that is queued and not started.
//!
//! # When things go wrong
//!
//! What holds then, and how that is shown, is the page of [`guarantees`]. In short:
//!
//! * **The fetch fails**: every caller of the flight gets the stale value if one is inside its
//!   stale-if-error window, flagged with the error, else the same `Arc<E>`. The builder's `verdict`
//!   hook may say that an error is an answer ([`Verdict::Propagate`]) or a removal
//!   ([`Verdict::Remove`]).
//! * **The fetch panics**: it counts as failed. The panic goes on in the caller that ran the fetch; the
//!   others get the stale value or [`Error::Panicked`]; the key is free again.
//! * **The leader goes away** without an outcome (a future or a refresh that is dropped): callers that
//!   wait start over; a [`RefreshHandle`] says [`Error::Closed`].
//! * **A write comes first**: `set`, `delete` and `clear` win over every load that started before them.
//! * **The fetch asks for its own key**: [`Error::Reentrant`] where it would wait for itself. A cycle
//!   through several keys and threads (A waits for B, B waits for A) is not detected, nor is a
//!   background fetch that waits for a refresh which is queued for its own permit: avoid both.
//! * **The clock steps back**: nothing panics, and nothing is served past its windows by more than the
//!   step.
//!
//! # Errors of your own
//!
//! The fetches of a `Cache<K, V>` fail with a [`BoxError`], which `?` makes of any error. For a type of your
//! own, tell the builder: [`error_type`](Builder::error_type), before the hooks that take an error. All callers of
//! a flight share one error, so it comes as an `Arc<E>`, inside [`Error::Fetch`];
//! [`fetch_error`](Error::fetch_error) gives it by reference. [`Error`] has no `source()`, since a boxed error is
//! none: to keep the chain, make the `Arc` the source of your callers' error.
//!
//! ```
//! use std::{error::Error, fmt, sync::Arc};
//! use lastcache::Cache;
//!
//! #[derive(Debug)]
//! enum DbError { Down, NoRow }
//!
//! #[derive(Debug)]
//! enum ApiError { NotFound, Database(Arc<DbError>), Cache(String) }
//!
//! impl From<lastcache::Error<DbError>> for ApiError {
//!     fn from(error: lastcache::Error<DbError>) -> ApiError {
//!         match error {
//!             lastcache::Error::Fetch(e) if matches!(*e, DbError::NoRow) => ApiError::NotFound,
//!             lastcache::Error::Fetch(e) => ApiError::Database(e),
//!             other => ApiError::Cache(other.to_string()), // a panic, or re-entrance
//!         }
//!     }
//! }
//! impl Error for ApiError {
//!     fn source(&self) -> Option<&(dyn Error + 'static)> {
//!         match self {
//!             ApiError::Database(e) => Some(e), // an `Arc<DbError>` is an error as well
//!             _ => None,
//!         }
//!     }
//! }
//! # impl Error for DbError {}
//! # impl fmt::Display for DbError {
//! #     fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str("the database is down") }
//! # }
//! # impl fmt::Display for ApiError {
//! #     fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str("no answer") }
//! # }
//!
//! fn name(users: &Cache<u32, String, DbError>, id: u32) -> Result<String, ApiError> {
//!     let load = |id: &u32| if *id == 0 { Err(DbError::NoRow) } else { Err(DbError::Down) };
//!     Ok(users.get(&id, load)?)
//! }
//!
//! # fn main() -> Result<(), Box<dyn Error>> {
//! let users: Cache<u32, String, DbError> = Cache::builder().error_type().build()?;
//! let error = users.get(&1, |_| Err(DbError::Down)).unwrap_err();
//! match error.fetch_error() {
//!     Some(own) => assert!(matches!(own, DbError::Down)),
//!     None => unreachable!("neither a panic nor re-entrance"),
//! }
//! assert!(matches!(name(&users, 0), Err(ApiError::NotFound)));
//! let error = name(&users, 1).unwrap_err();
//! assert_eq!(error.source().expect("the chain").to_string(), "the database is down");
//! # Ok(())
//! # }
//! ```
//!
//! # What is lock-free
//!
//! | call | progress |
//! |---|---|
//! | a hit, a stale hit under a running refresh, `peek`, `ttl`, `contains_key`, `len`, `stats`, all of them through a [`Reader`] too | takes no lock and waits for no thread |
//! | starting a refresh, `set`, `delete`, `clear`, `purge`, `iter`, eviction, publishing a load | lock-free: some thread always makes progress |
//! | a joiner | waits for its leader, by parking; a task by a pending poll |
//! | starting the cache's own refresh thread | what the system's thread creation does |
//!
//! Nothing runs user code or waits in the middle of a step of the protocol: where user code may panic, what
//! it would leave undone has an owner whose end does it. Values are reclaimed when
//! the last reader lets go of them, by reference counts (hot sets let go later: see [`Reader`]); the
//! memory of flights that others may be looking at goes through epoch reclamation.
//!
//! # What it costs
//!
//! A hit is a hash, two cache lines (a bucket, a snapshot), arc-swap's two uncontended
//! read-modify-writes and a clock read: no allocation but for a thread's first, and no shared write
//! once the entry is marked used. A cold load allocates three times, a foreground or background
//! refresh two or three, and once more for a value with a stale window of its own. A thread that reads
//! the same keys again and again saves both read-modify-writes with a [`Reader`] of its own, which holds
//! on to at most a fixed number of values; the builder's [`thread_hot_set`](Builder::thread_hot_set) puts
//! the like behind the plain calls. Dropping a cache takes time with the number of its values times the
//! number of threads that were ever alive at once.
//!
//! # Feature flags
//!
//! `tokio`, off unless asked for: [`Executor`] for `tokio::runtime::Handle`, so that background refreshes run on a
//! tokio runtime. The async calls need no feature.
#![deny(unsafe_code)]

mod answer;
mod apart;
mod blocking;
mod builder;
mod cache;
mod core;
mod duty;
mod error;
mod fifo;
mod flight;
mod future;
mod hot;
mod iter;
mod load;
mod local;
mod lookup;
mod nest;
mod own;
mod panics;
mod policy;
mod queue;
mod reader;
mod refresh;
mod rest;
mod served;
mod snapshot;
mod state;
mod stats;
mod sync;
mod table;
mod threads;
mod time;
mod waiters;
mod weak;
mod word;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}

#[doc = include_str!("../docs/coming-from-go.md")]
pub mod coming_from_go {}

#[doc = include_str!("../docs/guarantees.md")]
pub mod guarantees {}

pub use builder::Builder;
pub use cache::Cache;
pub use error::{BoxError, BuildError, Error};
pub use iter::{Entry, Iter};
pub use policy::{BackOff, Lifetime, Ttl, Verdict};
pub use reader::Reader;
pub use refresh::{CallerRuns, Executor, Job};
pub use served::{RefreshHandle, Served, State};
pub use stats::Stats;
pub use time::{Clock, ManualClock};
pub use weak::WeakCache;
