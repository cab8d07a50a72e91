//! The network of a case: the answers that it names, and a refusal of everything else. It stands behind grants, limits and
//! secrets, where the real one would be.

use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Request, Response};
use serde_json::Value;

use super::expect::same;
use super::file::HttpAnswer;
use super::report::Mismatch;
use crate::http::StandIn;

/// Answers, and what was asked of them.
#[derive(Debug)]
pub(crate) struct Network {
    answers: Vec<HttpAnswer>,
    seen: Mutex<Seen>,
}

#[derive(Debug)]
struct Seen {
    asked: Vec<u32>,
    unexpected: Vec<String>,
}

impl Network {
    pub fn new(answers: Vec<HttpAnswer>) -> Self {
        let seen = Seen { asked: vec![0; answers.len()], unexpected: Vec::new() };
        Self { answers, seen: Mutex::new(seen) }
    }

    /// Requests that no answer was for, and answers that were asked for too seldom.
    pub fn mismatches(&self) -> Vec<Mismatch> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let unexpected = seen
            .unexpected
            .iter()
            .map(|request| Mismatch::new("unexpected request", "a [[case.http]] for it", request.as_str()));
        let answers = self.answers.iter().zip(&seen.asked);
        let seldom = answers.filter(|(answer, asked)| **asked < answer.times).map(|(answer, asked)| {
            let what = format!("requests {} {}", answer.method, answer.url);
            Mismatch::new(&what, answer.times, *asked)
        });
        unexpected.chain(seldom).collect()
    }

    fn find(&self, request: &Request<Bytes>) -> Option<&HttpAnswer> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let fits =
            |at: &usize| self.answers[*at].is_for(request) && seen.asked[*at] < self.answers[*at].times;
        if let Some(at) = (0..self.answers.len()).find(fits) {
            seen.asked[at] += 1;
            return Some(&self.answers[at]);
        }
        let again = self.answers.iter().find(|answer| answer.is_for(request));
        let often = again.map(|answer| format!(" (more than {} times)", answer.times)).unwrap_or_default();
        seen.unexpected.push(format!("{} {}{often}", request.method(), request.uri()));
        None
    }
}

#[async_trait]
impl StandIn for Network {
    async fn answer(&self, request: Request<Bytes>) -> Result<Response<Bytes>, String> {
        let Some(answer) = self.find(&request) else {
            return Err(format!("no [[case.http]] answers {} {}", request.method(), request.uri()));
        };
        let text = match (&answer.json, &answer.body) {
            (Some(json), _) => json.to_string(),
            (None, Some(body)) => body.clone(),
            (None, None) => String::new(),
        };
        let mut response = Response::new(Bytes::from(text));
        *response.status_mut() =
            answer.status.try_into().map_err(|_| format!("{} is no status", answer.status))?;
        if answer.json.is_some() {
            response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
        }
        for (name, value) in &answer.headers {
            let name = HeaderName::try_from(name).map_err(|_| format!("`{name}` is no header"))?;
            let value = HeaderValue::try_from(value).map_err(|_| format!("the value of `{name}` is none"))?;
            response.headers_mut().insert(name, value);
        }
        Ok(response)
    }
}

impl HttpAnswer {
    fn is_for(&self, request: &Request<Bytes>) -> bool {
        let header = |name: &str| request.headers().get(name).and_then(|value| value.to_str().ok());
        let body = || String::from_utf8_lossy(request.body());
        let json = || serde_json::from_slice::<Value>(request.body()).ok();
        self.method.eq_ignore_ascii_case(request.method().as_str())
            && matches(&self.url, &request.uri().to_string())
            && self
                .request_headers
                .iter()
                .all(|(name, value)| header(name).is_some_and(|one| matches(value, one)))
            && self.request_contains.as_ref().is_none_or(|part| body().contains(part))
            && self.request_json.as_ref().is_none_or(|wanted| json().is_some_and(|got| same(wanted, &got)))
    }
}

/// Whether a text fits a pattern, in which `*` stands for any text.
fn matches(pattern: &str, text: &str) -> bool {
    let Some((before, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(text) = text.strip_prefix(before) else { return false };
    let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
    ends.into_iter().any(|at| matches(rest, &text[at..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(text: &str) -> HttpAnswer {
        toml::from_str(text).unwrap()
    }

    fn request(method: &str, url: &str, body: &'static str) -> Request<Bytes> {
        Request::builder()
            .method(method)
            .uri(url)
            .header("x-key", "abc")
            .body(Bytes::from_static(body.as_bytes()))
            .unwrap()
    }

    #[test]
    fn patterns_have_stars() {
        for (pattern, text, fits) in [
            ("a", "a", true),
            ("a", "ab", false),
            ("https://a.test/*", "https://a.test/x?y=1", true),
            ("*/x*z", "https://a.test/x/y/z", true),
            ("*/x*z", "https://a.test/x/y", false),
            ("ä*", "äö", true),
        ] {
            assert_eq!(matches(pattern, text), fits, "{pattern} {text}");
        }
    }

    #[test]
    fn an_answer_is_for_what_it_names() {
        let post = answer(
            "method = \"POST\"\nurl = \"https://a.test/*\"\nrequest_headers = { X-Key = \"a*\" }\nrequest_json = { n = 1 }",
        );
        assert!(post.is_for(&request("POST", "https://a.test/x", "{\"n\": 1.0}")));
        assert!(!post.is_for(&request("POST", "https://a.test/x", "{\"n\": 2}")));
        assert!(!post.is_for(&request("GET", "https://a.test/x", "{\"n\": 1}")));
        assert!(!post.is_for(&request("POST", "https://b.test/x", "{\"n\": 1}")));
    }

    #[tokio::test]
    async fn what_is_not_named_is_refused_and_told() {
        let network = Network::new(vec![answer("url = \"https://a.test/\"\nbody = \"hi\"\ntimes = 2")]);
        let got = network.answer(request("GET", "https://a.test/", "")).await.unwrap();
        assert_eq!((got.status().as_u16(), &got.body()[..]), (200, &b"hi"[..]));
        let refusal = network.answer(request("GET", "https://b.test/?q", "")).await.unwrap_err();
        assert!(refusal.contains("GET https://b.test/?q"), "{refusal}");
        let told: Vec<_> = network.mismatches().into_iter().map(|one| one.what).collect();
        assert_eq!(told, ["unexpected request", "requests GET https://a.test/"]);
    }
}
