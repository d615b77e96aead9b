//! The command line: what may be asked for, and every refusal as one line.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::time::Duration;

use axum::http::Uri;
use axum::http::uri::Authority;
use clap::Parser;
use clap::error::ErrorKind;
use lastcache::{BackOff, Clock};

use crate::proxy::Settings;
use crate::windows::{Defaults, Windows};

/// A caching reverse proxy that goes on answering while its upstream is slow or down.
#[derive(Debug, Parser)]
#[command(name = "http_proxy")]
pub(crate) struct Options {
    /// Where to listen
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub(crate) listen: SocketAddr,

    /// What to stand in front of, as http://HOST[:PORT] [default: a flaky one of its own]
    #[arg(long, value_name = "URL", value_parser = authority)]
    pub(crate) upstream: Option<Authority>,

    /// Ask for these paths again and again; without any, for those of its own upstream, which is also what
    /// happens when no upstream is given
    #[arg(long, value_name = "PATH", num_args = 0.., value_parser = path)]
    pub(crate) demo: Option<Vec<Uri>>,

    /// How many pages are kept at most
    #[arg(long, value_name = "PAGES", default_value = "10000")]
    capacity: usize,

    /// How many bytes all of them may take
    #[arg(long, value_name = "BYTES", default_value = "67108864", value_parser = clap::value_parser!(u64).range(1..))]
    max_weight: u64,

    /// The largest body that is kept; larger ones are passed on
    #[arg(long, value_name = "BYTES", default_value = "1048576")]
    max_body: u32,

    /// How long a page is fresh that does not say, in seconds as all times
    #[arg(long, value_name = "SECONDS", default_value = "5", value_parser = seconds)]
    ttl: Duration,

    /// How long after that it is served at once while it is refreshed, unless it says otherwise
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    stale_while_revalidate: Duration,

    /// How long after that it is served when the upstream fails, unless it says otherwise
    #[arg(long, value_name = "SECONDS", default_value = "600", value_parser = seconds)]
    stale_if_error: Duration,

    /// How long it is known that there is no such page, unless the upstream says otherwise
    #[arg(long, value_name = "SECONDS", default_value = "1", value_parser = seconds)]
    negative_ttl: Duration,

    /// How long the upstream is not asked for a page again after it failed; twice that the next time, and
    /// so on up to sixteen times
    #[arg(long, value_name = "SECONDS", default_value = "0.5", value_parser = seconds)]
    back_off: Duration,

    /// How many refreshes run at once in the background
    #[arg(long, value_name = "REFRESHES", default_value = "8")]
    max_concurrent_refresh: usize,

    /// How long the upstream may take
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = more_than_none)]
    pub(crate) upstream_time_out: Duration,
}

/// Why there are no options to go on with.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The caller asked for this text.
    Shown(String),
    /// The caller asked for something that cannot be.
    Refused(String),
}

impl Options {
    /// Reads arguments, the first of which is the program's name.
    pub(crate) fn read(
        arguments: impl IntoIterator<Item = impl Into<OsString> + Clone>,
    ) -> Result<Self, Stop> {
        Self::try_parse_from(arguments).map_err(|error| {
            let text = error.render().to_string();
            match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Stop::Shown(text),
                _ => Stop::Refused(first_paragraph(&text)),
            }
        })
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings {
            capacity: self.capacity,
            max_weight: self.max_weight,
            max_body: self.max_body as usize,
            defaults: Defaults {
                windows: Windows {
                    ttl: self.ttl,
                    stale_while_revalidate: self.stale_while_revalidate,
                    stale_if_error: self.stale_if_error,
                },
                negative_ttl: self.negative_ttl,
            },
            back_off: BackOff::exponential(self.back_off, self.back_off.saturating_mul(16)),
            max_concurrent_refresh: self.max_concurrent_refresh,
            clock: Clock::precise(),
        }
    }
}

/// What is wrong stands before the first blank line; tips and usage come after it.
fn first_paragraph(text: &str) -> String {
    let lines = text.lines().map(str::trim);
    let words: Vec<&str> = lines.take_while(|line| !line.is_empty()).collect();
    let joined = words.join(" ");
    joined.strip_prefix("error: ").map_or(joined.clone(), String::from)
}

fn seconds(text: &str) -> Result<Duration, String> {
    let number: f64 = text.parse().map_err(|_| "expected a number of seconds".to_owned())?;
    Duration::try_from_secs_f64(number).map_err(|error| error.to_string())
}

fn more_than_none(text: &str) -> Result<Duration, String> {
    seconds(text).and_then(|time| match time {
        Duration::ZERO => Err("expected more than no time".into()),
        time => Ok(time),
    })
}

fn authority(text: &str) -> Result<Authority, String> {
    let url: Uri = text.parse().map_err(|_| "expected http://HOST[:PORT]".to_owned())?;
    if url.scheme_str() != Some("http") {
        return Err("expected http://HOST[:PORT]; there is no TLS in this example".into());
    }
    if !matches!(url.path(), "" | "/") || url.query().is_some() {
        return Err("expected no path: the proxy's paths are the upstream's".into());
    }
    url.authority().cloned().ok_or_else(|| "expected a host".into())
}

fn path(text: &str) -> Result<Uri, String> {
    if !text.starts_with('/') {
        return Err("expected a path that begins with /".into());
    }
    text.parse().map_err(|_| "expected a path".into())
}
