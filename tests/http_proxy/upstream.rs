//! An upstream that the test controls: what it answers, when it answers, and whether it answers at all.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::Body;
use axum::http::uri::Authority;
use axum::http::{HeaderName, HeaderValue, Method, Response, StatusCode, header};
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::watch;

/// How the upstream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    /// It answers.
    Up,
    /// It takes requests and answers when it is up again.
    Holding,
    /// It answers 503.
    Unavailable,
    /// It hangs up on whoever asks, and takes no note of it.
    HangingUp,
    /// It does not listen, for good; nobody else gets its port.
    Gone,
}

/// One request that it got.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) headers: axum::http::HeaderMap,
}

/// What it answers for a path.
#[derive(Clone)]
struct Script {
    status: StatusCode,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: String,
}

#[derive(Default)]
struct Told {
    asked: Vec<Asked>,
    scripts: HashMap<String, Script>,
    /// Counts what it has answered, so that no two bodies are the same.
    edition: u64,
}

pub(crate) struct Upstream {
    address: SocketAddr,
    health: watch::Sender<Health>,
    told: Arc<Mutex<Told>>,
    /// Keeps the port, and never listens.
    _port: Option<TcpSocket>,
}

/// A socket that shares its port with the others from here.
fn bound(port: u16) -> TcpSocket {
    let socket = TcpSocket::new_v4().expect("a socket");
    #[cfg(unix)]
    socket.set_reuseport(true).expect("a port can be shared");
    socket.bind(([127, 0, 0, 1], port).into()).expect("loopback has a free port");
    socket
}

impl Upstream {
    pub(crate) async fn start() -> Self {
        let socket = bound(0);
        let address = socket.local_addr().expect("it is bound");
        let port = cfg!(unix).then(|| bound(address.port()));
        let listener = socket.listen(1_024).expect("nobody else listens");
        let (health, watching) = watch::channel(Health::Up);
        let told = Arc::default();
        drop(tokio::spawn(accept(listener, watching, Arc::clone(&told))));
        Upstream { address, health, told, _port: port }
    }

    pub(crate) fn authority(&self) -> Authority {
        self.address.to_string().parse().expect("an address is an authority")
    }

    /// Every page of this path from now on: status, `Cache-Control` and other headers.
    pub(crate) fn script(&self, path: &str, status: u16, headers: &[(&str, &str)], body: &str) {
        let headers = headers.iter().map(|(name, value)| {
            let name = name.parse::<HeaderName>().expect("a header's name");
            (name, value.parse::<HeaderValue>().expect("a header's value"))
        });
        let status = StatusCode::from_u16(status).expect("a status");
        let script = Script { status, headers: headers.collect(), body: body.to_owned() };
        lock(&self.told).scripts.insert(path.to_owned(), script);
    }

    pub(crate) fn serve(&self, path: &str, cache_control: &str) {
        self.script(path, 200, &[("cache-control", cache_control)], "");
    }

    /// Changes how it is, for requests that it holds too.
    pub(crate) fn turn(&self, health: Health) {
        self.health.send_replace(health);
    }

    /// Whether it refuses whoever connects.
    pub(crate) fn refuses(&self) -> bool {
        let refused = TcpStream::connect(self.address).map_err(|error| error.kind());
        refused.is_err_and(|kind| kind == io::ErrorKind::ConnectionRefused)
    }

    /// What it was asked since the last time this was called.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut lock(&self.told).asked)
    }

    /// How many requests it has got since the last call of `asked`.
    pub(crate) fn waiting(&self) -> usize {
        lock(&self.told).asked.len()
    }
}

fn lock(told: &Mutex<Told>) -> std::sync::MutexGuard<'_, Told> {
    told.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn accept(
    listener: TcpListener,
    mut health: watch::Receiver<Health>,
    told: Arc<Mutex<Told>>,
) {
    loop {
        let stream = tokio::select! {
            gone = health.wait_for(|health| *health == Health::Gone) => {
                drop(gone);
                return;
            }
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(_) => return,
            },
        };
        let (health, told) = (health.clone(), Arc::clone(&told));
        drop(tokio::spawn(async move {
            let service = service_fn(|request| answer(request, health.clone(), &told));
            drop(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await);
        }));
    }
}

async fn answer(
    request: Request<Incoming>,
    mut health: watch::Receiver<Health>,
    told: &Mutex<Told>,
) -> io::Result<Response<Body>> {
    // Open connections end with what is asked over them next.
    if matches!(*health.borrow(), Health::HangingUp | Health::Gone) {
        return Err(io::ErrorKind::ConnectionAborted.into());
    }
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let (method, headers) = (request.method().clone(), request.headers().clone());
    lock(told).asked.push(Asked { method, path: path.clone(), headers });
    let settled = health.wait_for(|health| *health != Health::Holding).await;
    let is_up = settled.is_ok_and(|health| *health == Health::Up);
    let mut response = Response::new(Body::empty());
    if !is_up {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        return Ok(response);
    }
    let mut told = lock(told);
    told.edition += 1;
    let edition = told.edition;
    let Some(script) = told.scripts.get(&path) else {
        *response.status_mut() = StatusCode::NOT_FOUND;
        return Ok(response);
    };
    *response.status_mut() = script.status;
    response.headers_mut().extend(script.headers.iter().cloned());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    *response.body_mut() = Body::from(format!("{path} {edition}{}", script.body));
    Ok(response)
}
