//! Slow ways kept apart from the fast ones beside them.
//!
//! A function whose result may come from a call that is not inlined returns it through memory, so its fast way
//! writes there too, word by word. A caller that then copies the whole by larger pieces waits until those words
//! have left the processor's store buffer, which does not put them together. With a place of its own for the slow
//! way's result, the fast way's stays in registers.
//!
//! Where the result is small and nothing waits for stores it costs more than it gains: so not in a reader's `get_with`.

/// The result of a slow way.
#[inline(always)]
pub(crate) fn apart<T>(slow: impl FnOnce() -> T) -> T {
    let mut place = None;
    fill(&mut place, slow);
    match place {
        Some(result) => result,
        None => unreachable!("it was filled"),
    }
}

#[cold]
#[inline(never)]
fn fill<T>(place: &mut Option<T>, slow: impl FnOnce() -> T) {
    *place = Some(slow());
}
