//! The async front: what a task sees, when it is cancelled, and how it shares flights with threads.
//!
//! What each call answers in each state is `rules`' affair, for both fronts. Here: polls, wakers,
//! cancellation at every poll, mixed callers, background refreshes that are polled, and runtimes.

#[path = "tasks/background.rs"]
mod background;
#[path = "tasks/cancelled.rs"]
mod cancelled;
#[path = "support/controlled.rs"]
mod controlled;
#[path = "tasks/fetches.rs"]
mod fetches;
#[path = "tasks/mixed.rs"]
mod mixed;
#[path = "tasks/polls.rs"]
mod polls;
#[path = "tasks/runtimes.rs"]
mod runtimes;
#[path = "support/tasks.rs"]
mod support;
#[path = "tasks/told.rs"]
mod told;
