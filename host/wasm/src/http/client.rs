//! The client: checks, pools, time limits and redirects around hyper's client. Requests that are whole may follow
//! redirects, streamed ones are sent once; each hop passes through the one function `exchange`.

use std::collections::HashMap;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use apflow_core::plugin::services::{NoServices, SecretSource};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, Version, header};
use hyper_util::client::legacy::connect::capture_connection;
use hyper_util::client::legacy::{Client, Error as ClientError};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, RootCertStore};
use tokio::time::{timeout, timeout_at};

use super::body::{OutgoingBody, ResponseBody};
use super::budget::{Budget, Deadline};
use super::connector::{ConnectFailure, Connector};
use super::error::{HttpError, Phase, root_cause, sources};
use super::headers::{check_streamed, check_whole};
use super::redirect::Hop;
use super::request::{OutRequest, OutResponse, Timeouts};
use super::resolver::{Resolver, SystemResolver};
use super::stand_in::{self, StandIn};
use super::target::Target;
use super::unix;
use crate::grants::{Grants, NetworkPolicy};
use crate::secrets::{Filled, SHORTEST, fill, hide, mentioned, placeholder};

/// Policies that are in use at the same time; with more the pools are begun anew.
const MAX_POOLS: usize = 64;

/// What of a redirect's body is read to keep its connection, in bytes and for how long.
const REDIRECT_BODY: usize = 64 * 1024;
const REDIRECT_TIME: Duration = Duration::from_secs(1);

/// How a client connects.
#[derive(Debug, Clone)]
pub struct HttpClientOptions {
    /// The longest that resolution, connection and TLS may take together.
    pub connect_timeout: Duration,
    /// How long an unused connection is kept.
    pub idle_timeout: Duration,
    /// Unused connections kept for one server.
    pub max_idle_per_host: usize,
    /// Sent where a plugin sets no `user-agent`.
    pub user_agent: String,
    /// Where addresses come from.
    pub resolver: Arc<dyn Resolver>,
    /// Certificate authorities trusted besides the public ones.
    pub extra_roots: Vec<CertificateDer<'static>>,
    /// Answers in the network's stead, behind every check.
    pub stand_in: Option<Arc<dyn StandIn>>,
    /// Where the values of secrets come from.
    pub secrets: Arc<dyn SecretSource>,
}

impl Default for HttpClientOptions {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(30),
            max_idle_per_host: 32,
            user_agent: concat!("apflow/", env!("CARGO_PKG_VERSION")).into(),
            resolver: Arc::new(SystemResolver),
            extra_roots: Vec::new(),
            stand_in: None,
            secrets: Arc::new(NoServices),
        }
    }
}

impl HttpClientOptions {
    /// What TLS is spoken with: the public web's authorities and the extra ones, no certificate of our own, no ALPN yet.
    ///
    /// # Errors
    /// If a root certificate cannot be read.
    pub(crate) fn trust(&self) -> Result<ClientConfig, rustls::Error> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        for certificate in &self.extra_roots {
            roots.add(certificate.clone())?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        Ok(tls.with_root_certificates(roots).with_no_client_auth())
    }
}

/// One for a whole host; cheap to share.
#[derive(Debug)]
pub struct HttpClient {
    options: HttpClientOptions,
    tls: ClientConfig,
    /// A connection serves only requests under an equal policy: what one plugin may reach, another may not.
    pools: Mutex<HashMap<NetworkPolicy, Pool>>,
}

#[derive(Debug, Clone)]
struct Pool {
    negotiated: Client<Connector, OutgoingBody>,
    /// HTTP/2 without TLS, which nobody negotiates: for gRPC.
    prior_knowledge: Client<Connector, OutgoingBody>,
}

impl HttpClient {
    /// A client without connections.
    ///
    /// # Errors
    /// If a root certificate cannot be read.
    pub fn new(options: HttpClientOptions) -> Result<Self, rustls::Error> {
        let tls = options.trust()?;
        Ok(Self { options, tls, pools: Mutex::default() })
    }

    /// Sends a request and follows its redirects, each checked like the first. Gives the response as soon as its
    /// headers are there.
    ///
    /// # Errors
    /// Any [`HttpError`]. Nothing was sent where it is `Denied`, `ProhibitedAddress` or `BadRequest`, but for
    /// redirects that came before.
    pub async fn send(
        &self,
        grants: &Grants,
        request: OutRequest,
        budget: Arc<Budget>,
    ) -> Result<OutResponse, HttpError> {
        let OutRequest { method, url, mut headers, body, max_redirects, timeouts } = request;
        let limits = Limits::new(timeouts, &budget);
        if let (false, Ok(value)) =
            (headers.contains_key(header::USER_AGENT), self.options.user_agent.parse())
        {
            headers.insert(header::USER_AGENT, value);
        }
        match body.into_whole() {
            Ok(body) => {
                check_whole(&headers)?;
                let hop = Hop { method, target: Target::parse(&url)?, headers, body };
                self.follow(grants, hop, max_redirects, limits, &budget).await
            }
            Err(body) => {
                // From here on a refusal lets the writer finish.
                let body = OutgoingBody::streamed(body, &budget);
                check_streamed(&headers)?;
                let target = Target::parse(&url)?;
                let filled = self.filled(grants, &target, &headers, &[]).await?;
                if !filled.is_empty() {
                    fill(&filled, &mut headers, &mut Bytes::new())?;
                }
                let request = request_of(method, headers, body);
                let response = self.exchange(grants, request, &target, limits, &budget).await?;
                Ok(OutResponse::new(target, hidden(response, filled)))
            }
        }
    }

    async fn follow(
        &self,
        grants: &Grants,
        mut hop: Hop,
        max_redirects: u32,
        limits: Limits,
        budget: &Arc<Budget>,
    ) -> Result<OutResponse, HttpError> {
        let mut response = self.send_hop(grants, &hop, limits, budget).await?;
        for _ in 0..max_redirects {
            let Some(next) = hop.next(response.status(), response.headers())? else { break };
            if next.target.upstream != hop.target.upstream {
                return Err(HttpError::Other {
                    code: "http_redirect",
                    message: format!(
                        "{} redirects to {}, from or to a socket, which is not followed",
                        hop.target.origin, next.target.origin
                    ),
                });
            }
            discard(response.into_body()).await;
            let sent = self.send_hop(grants, &next, limits, budget).await;
            response = sent.map_err(|error| error.redirected_from(&hop.target.origin))?;
            hop = next;
        }
        if max_redirects > 0 && hop.next(response.status(), response.headers())?.is_some() {
            let message = format!("{}: more than {max_redirects} redirects", hop.target.origin);
            return Err(HttpError::Other { code: "http_redirects_limit", message });
        }
        Ok(OutResponse::new(hop.target, response))
    }

    async fn send_hop(
        &self,
        grants: &Grants,
        hop: &Hop,
        limits: Limits,
        budget: &Arc<Budget>,
    ) -> Result<Response<ResponseBody>, HttpError> {
        let (mut headers, mut body) = (hop.headers.clone(), hop.body.clone());
        let filled = self.filled(grants, &hop.target, &headers, &body).await?;
        if !filled.is_empty() {
            fill(&filled, &mut headers, &mut body)?;
        }
        let request = request_of(hop.method.clone(), headers, OutgoingBody::whole(body, budget));
        let response = self.exchange(grants, request, &hop.target, limits, budget).await?;
        Ok(hidden(response, filled))
    }

    /// The secrets that a request refers to, with their values, if they may be sent there.
    async fn filled(
        &self,
        grants: &Grants,
        target: &Target,
        headers: &HeaderMap,
        body: &[u8],
    ) -> Result<Vec<Filled>, HttpError> {
        let mut filled = Vec::new();
        for name in mentioned(grants, headers, body) {
            let from = grants.secret_for(name, &target.url)?;
            let missing = |problem: String| {
                let message = format!("the secret '{name}' has no value: {problem}");
                HttpError::Other { code: "secret_unavailable", message }
            };
            let value = self.options.secrets.secret(from).await.map_err(|error| missing(error.message))?;
            let value = value.trim_end_matches(['\r', '\n']);
            if value.len() < SHORTEST {
                return Err(missing(format!(
                    "it must have {SHORTEST} bytes or more, so that it can be told from other text"
                )));
            }
            filled.push(Filled::new(&placeholder(grants.plugin(), name), value));
        }
        Ok(filled)
    }

    /// The one way out: every request of every plugin passes here.
    async fn exchange(
        &self,
        grants: &Grants,
        mut request: Request<OutgoingBody>,
        target: &Target,
        limits: Limits,
        budget: &Arc<Budget>,
    ) -> Result<Response<ResponseBody>, HttpError> {
        if request.method() == Method::CONNECT {
            return Err(HttpError::BadRequest("method CONNECT would make a tunnel past the grants".into()));
        }
        if let Some(name) = &target.upstream {
            let socket = grants.unix(name)?;
            budget.begin_request()?;
            if let Some(stand_in) = &self.options.stand_in {
                let answered = stand_in::exchange(&**stand_in, request, target, budget, limits.deadline);
                return limits.whole(&target.origin, answered).await;
            }
            return limits
                .whole(&target.origin, unix::exchange(socket, request, target, budget, limits))
                .await;
        }
        grants.http(request.method(), &target.url)?;
        budget.begin_request()?;
        if let Some(stand_in) = &self.options.stand_in {
            stand_in::check_address(grants, target)?;
            let answered = stand_in::exchange(&**stand_in, request, target, budget, limits.deadline);
            return limits.whole(&target.origin, answered).await;
        }
        *request.uri_mut() = target.uri.clone();
        *request.version_mut() = Version::HTTP_11;
        let client = self.pool(grants.network()).client_for(&request);
        let request = request.map(|body| body.sent_to(&target.origin));
        let sent = limits.whole(&target.origin, limits.head(&client, request, target, budget)).await?;
        let (head, body) = sent.map_err(|error| failure(&error, grants, target))?.into_parts();
        let body = ResponseBody::new(body, &target.origin, budget, limits.deadline, limits.between_bytes)?;
        Ok(Response::from_parts(head, body))
    }

    fn pool(&self, policy: &NetworkPolicy) -> Pool {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pool) = pools.get(policy) {
            return pool.clone();
        }
        if pools.len() >= MAX_POOLS {
            pools.clear();
        }
        pools.entry(policy.clone()).or_insert_with(|| self.new_pool(policy)).clone()
    }

    fn new_pool(&self, policy: &NetworkPolicy) -> Pool {
        let HttpClientOptions { connect_timeout, idle_timeout, max_idle_per_host, resolver, .. } =
            &self.options;
        let connector =
            Connector::new(policy.clone(), Arc::clone(resolver), self.tls.clone(), *connect_timeout);
        let mut builder = Client::builder(TokioExecutor::new());
        builder.timer(TokioTimer::new()).pool_timer(TokioTimer::new());
        builder.pool_idle_timeout(*idle_timeout).pool_max_idle_per_host(*max_idle_per_host);
        let negotiated = builder.build(connector.clone());
        Pool { negotiated, prior_knowledge: builder.http2_only(true).build(connector) }
    }
}

impl Pool {
    fn client_for(self, request: &Request<OutgoingBody>) -> Client<Connector, OutgoingBody> {
        let plain = request.uri().scheme_str() == Some("http");
        let content_type = request.headers().get(header::CONTENT_TYPE).map(http::HeaderValue::as_bytes);
        let grpc = content_type.is_some_and(|value| value.starts_with(b"application/grpc"));
        if plain && grpc { self.prior_knowledge } else { self.negotiated }
    }
}

/// [`Timeouts`] with the deadline worked out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub connect: Option<Duration>,
    pub first_byte: Option<Duration>,
    pub between_bytes: Option<Duration>,
    pub deadline: Option<Deadline>,
}

impl Limits {
    fn new(timeouts: Timeouts, budget: &Budget) -> Self {
        let Timeouts { connect, first_byte, between_bytes, total } = timeouts;
        Self { connect, first_byte, between_bytes, deadline: budget.deadline(total) }
    }

    /// Waits for connection and headers, each within its time, and notes the contact in between.
    async fn head(
        &self,
        client: &Client<Connector, OutgoingBody>,
        mut request: Request<OutgoingBody>,
        target: &Target,
        budget: &Budget,
    ) -> Result<Result<Response<hyper::body::Incoming>, ClientError>, HttpError> {
        let mut captured = capture_connection(&mut request);
        let mut response = pin!(client.request(request));
        let connected = async {
            tokio::select! {
                biased;
                early = &mut response => Some(early),
                _ = captured.wait_for_connection_metadata() => None,
            }
        };
        let early = within(self.connect, &target.origin, Phase::Connect, connected).await?;
        if captured.connection_metadata().is_some() {
            budget.record_contact(&target.peer());
        }
        match early {
            Some(response) => Ok(response),
            None => within(self.first_byte, &target.origin, Phase::FirstByte, response).await,
        }
    }

    async fn whole<T>(
        &self,
        origin: &str,
        work: impl Future<Output = Result<T, HttpError>>,
    ) -> Result<T, HttpError> {
        let Some(Deadline { at, after }) = self.deadline else { return work.await };
        let timeout = || HttpError::Timeout { origin: origin.to_owned(), phase: Phase::Total, after };
        timeout_at(at, work).await.unwrap_or_else(|_| Err(timeout()))
    }
}

pub(super) async fn within<T>(
    span: Option<Duration>,
    origin: &str,
    phase: Phase,
    work: impl Future<Output = T>,
) -> Result<T, HttpError> {
    let Some(after) = span else { return Ok(work.await) };
    let late = |_| HttpError::Timeout { origin: origin.to_owned(), phase, after };
    timeout(after, work).await.map_err(late)
}

fn hidden(response: Response<ResponseBody>, filled: Vec<Filled>) -> Response<ResponseBody> {
    if filled.is_empty() {
        return response;
    }
    let (mut head, body) = response.into_parts();
    hide(&filled, &mut head.headers);
    Response::from_parts(head, body.without(filled))
}

fn request_of(method: Method, headers: HeaderMap, body: OutgoingBody) -> Request<OutgoingBody> {
    let mut request = Request::new(body);
    *request.method_mut() = method;
    *request.headers_mut() = headers;
    request
}

/// What went wrong, in the words of the contract.
fn failure(error: &ClientError, grants: &Grants, target: &Target) -> HttpError {
    let origin = target.origin.clone();
    let connecting = sources(error).find_map(|source| source.downcast_ref::<ConnectFailure>());
    match connecting {
        Some(ConnectFailure::Prohibited(address)) => match grants.address(target.host(), *address) {
            Err(denied) => HttpError::ProhibitedAddress(Box::new(denied)),
            Ok(()) => HttpError::Connect { origin, problem: "the address may not be reached".into() },
        },
        Some(ConnectFailure::Timeout(after)) => {
            HttpError::Timeout { origin, phase: Phase::Connect, after: *after }
        }
        Some(other) => HttpError::Connect { origin, problem: other.to_string() },
        None if error.is_connect() => HttpError::Connect { origin, problem: root_cause(error) },
        None => HttpError::broken(&origin, error),
    }
}

/// Reads the rest of a small body, so that its connection can be used again; gives up on a large or slow one.
pub(crate) async fn discard(mut body: ResponseBody) {
    let small = async {
        let mut read = 0;
        while let (true, Ok(Some(piece))) = (read <= REDIRECT_BODY, body.read(usize::MAX).await) {
            read += piece.len();
        }
    };
    // Late is as good as done: the connection is closed, and the next hop makes its own.
    timeout(REDIRECT_TIME, small).await.unwrap_or_default();
}
