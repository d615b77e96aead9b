//! Errors: why a value could not be had, and why a cache could not be built.

use std::fmt::{self, Debug, Display};
use std::sync::Arc;

/// The default error of a fetch: anything that `?` converts.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why there is no value, or why the one served is stale.
///
/// Everybody who waited for the same flight gets the same `Arc<E>`. It is a `std::error::Error`
/// wherever `E: Debug + Display`, also for boxed errors; those are not `Error`s themselves, so
/// `source()` is none and [`fetch_error`](Error::fetch_error) gives the fetch's own.
///
/// ```
/// use lastcache::{Cache, Error};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let cache: Cache<u32, u32> = Cache::builder().build()?;
/// let error = cache.get(&1, |_| Err("no route to host".into())).unwrap_err();
/// assert_eq!(error.to_string(), "fetch failed: no route to host");
/// assert!(matches!(error, Error::Fetch(_)));
/// # Ok(())
/// # }
/// ```
#[non_exhaustive]
pub enum Error<E = BoxError> {
    /// The fetch returned this.
    Fetch(Arc<E>),
    /// The fetch, or a hook that judges its result, panicked; in the caller that ran it the panic
    /// itself goes on.
    Panicked,
    /// The fetch of a key asked for the same key and would have had to wait for itself. What the thread does
    /// while it runs or polls a fetch counts as the fetch's: also another task, if a blocking fetch runs a runtime that
    /// polls it. Told wherever thread-locals work; in the destructor of one, as its thread ends, such a fetch may wait
    /// for ever.
    Reentrant,
    /// The refresh was given up without an outcome; the cache need not be closed for that. Told by a
    /// [`RefreshHandle`](crate::RefreshHandle), never by the `get` family, when
    ///
    /// * the cache was closed;
    /// * the refresh's [`Job`](crate::Job) was dropped, or the task that led it, or had taken it over;
    /// * the value that it was to replace was deleted before it began, or replaced by one that found no room.
    Closed,
}

impl<E> Error<E> {
    /// The fetch's own error, if it was that.
    ///
    /// ```
    /// # use lastcache::Cache;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let cache: Cache<&str, u32> = Cache::builder().build()?;
    /// let error = cache.get(&"x", |key| Ok(key.parse()?)).unwrap_err();
    /// let own = error.fetch_error().expect("neither a panic nor re-entrance");
    /// assert!(own.is::<std::num::ParseIntError>());
    /// # Ok(())
    /// # }
    /// ```
    pub fn fetch_error(&self) -> Option<&E> {
        match self {
            Error::Fetch(error) => Some(error),
            _ => None,
        }
    }
}

impl<E> Clone for Error<E> {
    fn clone(&self) -> Self {
        match self {
            Error::Fetch(error) => Error::Fetch(Arc::clone(error)),
            Error::Panicked => Error::Panicked,
            Error::Reentrant => Error::Reentrant,
            Error::Closed => Error::Closed,
        }
    }
}

impl<E: Debug> Debug for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Fetch(error) => f.debug_tuple("Fetch").field(error).finish(),
            Error::Panicked => f.write_str("Panicked"),
            Error::Reentrant => f.write_str("Reentrant"),
            Error::Closed => f.write_str("Closed"),
        }
    }
}

impl<E: Display> Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Fetch(error) => write!(f, "fetch failed: {error}"),
            Error::Panicked => f.write_str("fetch panicked"),
            Error::Reentrant => f.write_str("fetch asked for its own key"),
            Error::Closed => f.write_str("refresh given up without an outcome"),
        }
    }
}

impl<E: Debug + Display + 'static> std::error::Error for Error<E> {}

/// Which settings of a builder disagree, or are out of range, and what would be right.
///
/// ```
/// use lastcache::{BuildError, Cache};
/// let error: BuildError = Cache::<u32, u32>::builder().capacity(0).build().unwrap_err();
/// assert_eq!(error.settings(), ["capacity"]);
/// assert_eq!(error.to_string(), "capacity is 0: give at least 1 entry");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BuildError {
    settings: Vec<&'static str>,
    message: String,
}

impl BuildError {
    pub(crate) fn new(settings: &[&'static str], message: impl Into<String>) -> BuildError {
        BuildError { settings: settings.to_vec(), message: message.into() }
    }

    /// The builder's settings that are at fault, by their method names.
    pub fn settings(&self) -> &[&'static str] {
        &self.settings
    }
}

impl Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for BuildError {}
