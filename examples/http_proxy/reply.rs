//! An answer read to its end, so that it can be given again and again.

use std::mem;
use std::pin::Pin;
use std::task::{Context, Poll};

use axum::body::{Body, HttpBody};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header, response};
use axum::response::{IntoResponse, Response};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Frame, Incoming};

use crate::upstream::NoAnswer;

#[derive(Clone, Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reply {
    pub(crate) fn new(parts: response::Parts, body: Bytes) -> Self {
        let (status, mut headers) = (parts.status, parts.headers);
        // Told anew each time it is given.
        headers.remove(header::CONTENT_LENGTH);
        headers.remove(header::AGE);
        Reply { status, headers, body }
    }

    /// Bytes that it takes, about.
    pub(crate) fn weight(&self) -> usize {
        let headers = self.headers.iter().map(|(name, value)| name.as_str().len() + value.len());
        size_of::<Self>() + self.body.len() + headers.sum::<usize>()
    }
}

/// The proxy's own answer where the upstream gave none.
impl From<NoAnswer> for Reply {
    fn from(no_answer: NoAnswer) -> Self {
        let status = match no_answer {
            NoAnswer::Unreachable(_) => StatusCode::BAD_GATEWAY,
            NoAnswer::TimedOut(_) => StatusCode::GATEWAY_TIMEOUT,
        };
        let text = HeaderValue::from_static("text/plain; charset=utf-8");
        let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, text)]);
        Reply { status, headers, body: format!("{no_answer}\n").into() }
    }
}

impl IntoResponse for &Reply {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body.clone()));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers.clone();
        response
    }
}

/// How far a body was read.
pub(crate) enum Read {
    Whole(Bytes),
    /// It is larger than what was asked for.
    Begun(Begun),
}

/// Reads a body to its end, unless that is more than `most` bytes away.
pub(crate) async fn read(mut body: Incoming, most: usize) -> Result<Read, hyper::Error> {
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        // Trailers are not kept.
        let Ok(data) = frame?.into_data() else { continue };
        read.extend_from_slice(&data);
        if read.len() > most {
            return Ok(Read::Begun(Begun { read: read.freeze(), rest: body }));
        }
    }
    Ok(Read::Whole(read.freeze()))
}

/// A body whose beginning has been read.
pub(crate) struct Begun {
    read: Bytes,
    rest: Incoming,
}

impl HttpBody for Begun {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if self.read.is_empty() {
            return Pin::new(&mut self.rest).poll_frame(cx);
        }
        Poll::Ready(Some(Ok(Frame::data(mem::take(&mut self.read)))))
    }
}
