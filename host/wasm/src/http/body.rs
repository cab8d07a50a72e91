//! Bodies on their way: what a plugin sends, counted and capped, and what comes back, counted, capped and timed. Nothing
//! is collected here unless a caller asks for the whole.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tokio::runtime::Handle;
use tokio::time::{Instant, Sleep, sleep, sleep_until, timeout};

use super::budget::{Budget, Deadline};
use super::error::{Direction, HttpError, Phase};
use crate::secrets::{Filled, Scrubber};

/// Any error, as hyper passes it on.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What a plugin sends.
#[derive(Debug)]
pub struct RequestBody(Source);

#[derive(Debug)]
enum Source {
    Whole(Bytes),
    Streamed(UnsyncBoxBody<Bytes, BoxError>),
}

impl RequestBody {
    /// A body that somebody is still writing. It can be sent once, so no redirect is followed; if the request is
    /// refused, the rest is read and thrown away for a while: a writer whose pipe breaks reports that, and not the
    /// refusal.
    pub fn streamed<B>(body: B) -> Self
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        Self(Source::Streamed(body.map_err(Into::into).boxed_unsync()))
    }

    /// The bytes, where they are there; the stream otherwise.
    pub(super) fn into_whole(self) -> Result<Bytes, UnsyncBoxBody<Bytes, BoxError>> {
        match self.0 {
            Source::Whole(bytes) => Ok(bytes),
            Source::Streamed(body) => Err(body),
        }
    }
}

impl<T: Into<Bytes>> From<T> for RequestBody {
    fn from(bytes: T) -> Self {
        Self(Source::Whole(bytes.into()))
    }
}

/// How long a body that nobody wants any more is still read.
const DRAIN: Duration = Duration::from_secs(5);

/// A request's body under its call's limits.
pub(super) struct OutgoingBody {
    inner: Option<UnsyncBoxBody<Bytes, BoxError>>,
    drain: bool,
    sent: u64,
    origin: String,
    budget: Arc<Budget>,
}

impl OutgoingBody {
    pub fn whole(bytes: Bytes, budget: &Arc<Budget>) -> Self {
        Self::new(Full::new(bytes).map_err(|never| match never {}).boxed_unsync(), false, budget)
    }

    /// See [`RequestBody::streamed`].
    pub fn streamed(body: UnsyncBoxBody<Bytes, BoxError>, budget: &Arc<Budget>) -> Self {
        Self::new(body, true, budget)
    }

    fn new(body: UnsyncBoxBody<Bytes, BoxError>, drain: bool, budget: &Arc<Budget>) -> Self {
        Self { inner: Some(body), drain, sent: 0, origin: String::new(), budget: Arc::clone(budget) }
    }

    pub fn sent_to(mut self, origin: &str) -> Self {
        origin.clone_into(&mut self.origin);
        self
    }

    fn count(&mut self, bytes: usize) -> Result<(), HttpError> {
        self.budget.count_sent(bytes);
        self.sent += bytes as u64;
        let limit = self.budget.limits.request_bytes;
        if self.sent <= limit {
            return Ok(());
        }
        Err(HttpError::TooLarge { origin: self.origin.clone(), direction: Direction::Request, limit })
    }
}

impl Body for OutgoingBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
        let Some(frame) = ready!(Pin::new(inner).poll_frame(cx)) else {
            self.inner = None;
            return Poll::Ready(None);
        };
        let bytes = frame.as_ref().ok().and_then(Frame::data_ref).map_or(0, Bytes::len);
        Poll::Ready(Some(self.count(bytes).map_err(BoxError::from).and(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for OutgoingBody {
    fn drop(&mut self) {
        let unfinished = self.drain && !self.is_end_stream();
        if let (true, Some(mut rest), Ok(runtime)) = (unfinished, self.inner.take(), Handle::try_current()) {
            // It ends by itself: with its writer, or with the time.
            runtime.spawn(timeout(DRAIN, async move { while let Some(Ok(_)) = rest.frame().await {} }));
        }
    }
}

/// A response's body under its call's limits. Read it with [`Self::read`] or [`Self::read_to_end`], or as a
/// [`Body`]. After an error or the end it is closed.
#[derive(Debug)]
pub struct ResponseBody {
    inner: Option<Incoming>,
    rest: Bytes,
    trailers: HeaderMap,
    received: u64,
    origin: String,
    budget: Arc<Budget>,
    total: Option<(Pin<Box<Sleep>>, Duration)>,
    idle: Option<(Pin<Box<Sleep>>, Duration)>,
    scrubber: Option<Scrubber>,
    /// Trailers that come after what the scrubber held back.
    after: Option<Frame<Bytes>>,
}

impl ResponseBody {
    /// Refuses a body that says itself that it is too large.
    pub(super) fn new(
        inner: Incoming,
        origin: &str,
        budget: &Arc<Budget>,
        deadline: Option<Deadline>,
        between_bytes: Option<Duration>,
    ) -> Result<Self, HttpError> {
        let body = Self {
            rest: Bytes::new(),
            trailers: HeaderMap::new(),
            received: 0,
            origin: origin.to_owned(),
            budget: Arc::clone(budget),
            total: deadline.map(|deadline| (Box::pin(sleep_until(deadline.at)), deadline.after)),
            idle: between_bytes.map(|span| (Box::pin(sleep(span)), span)),
            inner: None,
            scrubber: None,
            after: None,
        };
        if inner.size_hint().lower() > body.budget.limits.response_bytes {
            return Err(body.too_large());
        }
        Ok(Self { inner: Some(inner), ..body })
    }

    /// Takes the values of secrets out of what is read.
    pub(super) fn without(mut self, filled: Vec<Filled>) -> Self {
        self.scrubber = Scrubber::new(filled);
        self
    }

    /// The next piece, at most `max` bytes and at least one; none at the end.
    pub async fn read(&mut self, max: usize) -> Result<Option<Bytes>, HttpError> {
        while self.rest.is_empty() {
            match self.frame().await.transpose()?.map(Frame::into_data) {
                Some(Ok(data)) => self.rest = data,
                Some(Err(_)) => {}
                None => return Ok(None),
            }
        }
        let length = self.rest.len().min(max.max(1));
        Ok(Some(self.rest.split_to(length)))
    }

    /// All that is left.
    pub async fn read_to_end(&mut self) -> Result<Bytes, HttpError> {
        let Some(first) = self.read(usize::MAX).await? else { return Ok(Bytes::new()) };
        let Some(second) = self.read(usize::MAX).await? else { return Ok(first) };
        let mut whole = Vec::with_capacity(first.len() + second.len());
        whole.extend_from_slice(&first);
        whole.extend_from_slice(&second);
        while let Some(piece) = self.read(usize::MAX).await? {
            whole.extend_from_slice(&piece);
        }
        Ok(whole.into())
    }

    /// The trailers; empty before the end was read.
    pub fn trailers(&self) -> &HeaderMap {
        &self.trailers
    }

    fn poll_timers(&mut self, cx: &mut Context<'_>) -> Poll<HttpError> {
        for (timer, phase) in [(&mut self.total, Phase::Total), (&mut self.idle, Phase::BetweenBytes)] {
            if let Some((sleep, after)) = timer
                && sleep.as_mut().poll(cx).is_ready()
            {
                return Poll::Ready(HttpError::Timeout { origin: self.origin.clone(), phase, after: *after });
            }
        }
        Poll::Pending
    }

    fn poll_inner(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        if let Some(frame) = self.after.take() {
            return Poll::Ready(Some(Ok(frame)));
        }
        let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
        let Poll::Ready(frame) = Pin::new(inner).poll_frame(cx) else {
            return self.poll_timers(cx).map(|timeout| Some(Err(timeout)));
        };
        if let Some((sleep, span)) = &mut self.idle {
            sleep.as_mut().reset(Instant::now() + *span);
        }
        Poll::Ready(match frame {
            Some(Ok(frame)) => Some(self.count(&frame).map(|()| self.scrubbed(frame))),
            Some(Err(error)) => Some(Err(HttpError::broken(&self.origin, &error))),
            None => self.held_back().map(Ok),
        })
    }

    fn scrubbed(&mut self, frame: Frame<Bytes>) -> Frame<Bytes> {
        let Some(scrubber) = &mut self.scrubber else { return frame };
        match frame.into_data() {
            Ok(data) => Frame::data(scrubber.pass(&data)),
            Err(trailers) => {
                let trailers = match trailers.into_trailers() {
                    Ok(mut trailers) => {
                        scrubber.hide(&mut trailers);
                        self.trailers.clone_from(&trailers);
                        Frame::trailers(trailers)
                    }
                    Err(other) => other,
                };
                match self.held_back() {
                    None => trailers,
                    Some(rest) => {
                        self.after = Some(trailers);
                        rest
                    }
                }
            }
        }
    }

    /// What the scrubber still has at the end.
    fn held_back(&mut self) -> Option<Frame<Bytes>> {
        let rest = self.scrubber.take()?.end();
        (!rest.is_empty()).then(|| Frame::data(rest))
    }

    fn count(&mut self, frame: &Frame<Bytes>) -> Result<(), HttpError> {
        if let Some(trailers) = frame.trailers_ref() {
            self.trailers.clone_from(trailers);
        }
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        self.budget.count_received(bytes);
        self.received += bytes as u64;
        if self.received > self.budget.limits.response_bytes { Err(self.too_large()) } else { Ok(()) }
    }

    fn too_large(&self) -> HttpError {
        let limit = self.budget.limits.response_bytes;
        HttpError::TooLarge { origin: self.origin.clone(), direction: Direction::Response, limit }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        if !self.rest.is_empty() {
            return Poll::Ready(Some(Ok(Frame::data(std::mem::take(&mut self.rest)))));
        }
        let frame = ready!(self.poll_inner(cx));
        if !matches!(frame, Some(Ok(_))) {
            // Closes the connection unless the end was reached.
            self.inner = None;
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        let held = self.after.is_some() || self.scrubber.as_ref().is_some_and(Scrubber::holds);
        self.rest.is_empty() && !held && self.inner.as_ref().is_none_or(Body::is_end_stream)
    }
}
