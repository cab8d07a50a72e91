//! `http`: outgoing requests of plugins in every language. The client of the crate's `http` module does all of it; here
//! its types become those of the contract.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::Result;
use wasmtime::component::Resource;

use crate::bindings::v0_1::http::{
    Host, HostIncomingBody, HttpError as WitError, Request, Response, ResponseHead, StreamedResponse,
};
use crate::http::{
    Budget, HttpError, HttpLimits, OutRequest, OutResponse, ResponseBody, Timeouts, text_pairs,
};
use crate::state::GuestState;

/// A response's body that a guest reads piece by piece.
pub struct IncomingBody {
    body: ResponseBody,
    ended: bool,
}

impl Host for GuestState {
    async fn send(&mut self, req: Request) -> Result<Result<Response, WitError>> {
        self.enter()?;
        Ok(self.send_whole(req).await.map_err(WitError::from))
    }

    async fn send_streamed(&mut self, req: Request) -> Result<Result<StreamedResponse, WitError>> {
        self.enter()?;
        let response = match self.send_request(req).await {
            Ok(response) => response,
            Err(error) => return Ok(Err(error.into())),
        };
        let head = head(&response);
        let body = IncomingBody { body: response.body, ended: false };
        Ok(Ok(StreamedResponse { head, body: self.table.push(body)? }))
    }
}

impl HostIncomingBody for GuestState {
    async fn read(
        &mut self,
        body: Resource<IncomingBody>,
        max: u32,
    ) -> Result<Result<Option<Vec<u8>>, WitError>> {
        self.enter()?;
        Ok(self.table.get_mut(&body)?.read(max as usize).await.map_err(WitError::from))
    }

    async fn trailers(
        &mut self,
        body: Resource<IncomingBody>,
    ) -> Result<Result<Vec<(String, String)>, WitError>> {
        self.enter()?;
        let body = self.table.get_mut(&body)?;
        if !body.ended {
            let early = HttpError::BadRequest(
                "trailers come after the end of the body; read it to its end first".into(),
            );
            return Ok(Err(early.into()));
        }
        Ok(Ok(text_pairs(body.body.trailers())))
    }

    async fn drop(&mut self, body: Resource<IncomingBody>) -> Result<()> {
        self.table.delete(body)?;
        Ok(())
    }
}

impl GuestState {
    async fn send_whole(&mut self, req: Request) -> Result<Response, HttpError> {
        let mut response = self.send_request(req).await?;
        let head = head(&response);
        let body = response.body.read_to_end().await?.into();
        Ok(Response { head, body })
    }

    async fn send_request(&mut self, req: Request) -> Result<OutResponse, HttpError> {
        let Request { method, url, headers, body, timeout_ms, max_redirects, extra: _ } = req;
        let pairs = headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let request = OutRequest {
            body: body.into(),
            timeouts: Timeouts {
                total: timeout_ms.map(|ms| Duration::from_millis(ms.into())),
                ..Timeouts::default()
            },
            max_redirects,
            ..OutRequest::parse(&method, url, pairs)?
        };
        let budget = self.http_budget();
        self.identity.http.send(&self.identity.grants.get(), request, budget).await
    }

    /// What the present call may still send and receive.
    pub(crate) fn http_budget(&self) -> Arc<Budget> {
        let (limits, deadline) = (HttpLimits::from(&self.identity.limits), self.call.deadline);
        Arc::clone(self.call.usage.http(|| Budget::new(limits, Some(deadline.into()))))
    }
}

impl IncomingBody {
    async fn read(&mut self, max: usize) -> Result<Option<Vec<u8>>, HttpError> {
        let piece = self.body.read(max).await?;
        self.ended = piece.is_none();
        Ok(piece.map(Vec::from))
    }
}

fn head(response: &OutResponse) -> ResponseHead {
    ResponseHead {
        status: response.status.as_u16().into(),
        url: response.url.to_string(),
        headers: text_pairs(&response.headers),
        extra: "{}".into(),
    }
}

impl From<HttpError> for WitError {
    fn from(error: HttpError) -> Self {
        let text = error.to_string();
        match error {
            HttpError::Denied(_) => Self::Denied(text),
            HttpError::ProhibitedAddress(_) => Self::ProhibitedAddress(text),
            HttpError::Timeout { .. } => Self::Timeout(text),
            HttpError::Connect { .. } => Self::Connect(text),
            HttpError::TooLarge { .. } => Self::TooLarge(text),
            HttpError::BadRequest(_) => Self::BadRequest(text),
            HttpError::Other { code, .. } => {
                Self::Other(serde_json::json!({"code": code, "message": text}).to_string())
            }
        }
    }
}
